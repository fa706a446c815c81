//! The row that the last step gave. Texts and bytes lie in buffers that are used again from row to row, so that a row costs no
//! allocation.

use orrerydb::{FromValue, Result, RowRef, Value, ValueRef};
use std::ops::Range;

/// See the file's head; empty when there is no row.
#[derive(Default)]
pub(crate) struct Row {
    cells: Vec<Cell>,
    text: String,
    bytes: Vec<u8>,
}

enum Cell {
    Value(Value),
    /// Of `text`.
    Text(Range<usize>),
    /// Of `bytes`.
    Bytes(Range<usize>),
}

impl Row {
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.text.clear();
        self.bytes.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Copies a row that is valid for a moment.
    pub(crate) fn copy(&mut self, row: &RowRef<'_>) -> Result<()> {
        self.clear();
        for column in 0..row.len() {
            let cell = match row.get_ref(column)? {
                ValueRef::Text(text) => {
                    let start = self.text.len();
                    self.text.push_str(text);
                    Cell::Text(start..self.text.len())
                }
                ValueRef::Bytea(bytes) => {
                    let start = self.bytes.len();
                    self.bytes.extend_from_slice(bytes);
                    Cell::Bytes(start..self.bytes.len())
                }
                value => Cell::Value(Value::from(value)),
            };
            self.cells.push(cell);
        }
        Ok(())
    }

    /// Takes values over.
    pub(crate) fn set(&mut self, values: Vec<Value>) {
        self.clear();
        self.cells.extend(values.into_iter().map(Cell::Value));
    }

    /// The value of a column that there is.
    pub(crate) fn value(&self, column: usize) -> ValueRef<'_> {
        match &self.cells[column] {
            Cell::Value(value) => ValueRef::from(value),
            Cell::Text(range) => ValueRef::Text(&self.text[range.clone()]),
            Cell::Bytes(range) => ValueRef::Bytea(&self.bytes[range.clone()]),
        }
    }

    /// Whether it is NULL; true when there is no such column.
    pub(crate) fn is_null(&self, column: usize) -> bool {
        self.cells.get(column).is_none_or(|cell| matches!(cell, Cell::Value(Value::Null)))
    }

    /// As a number or truth value, if it is one.
    pub(crate) fn plain<T: FromValue>(&self, column: usize) -> Option<T> {
        match &self.cells[column] {
            Cell::Value(value) => T::from_value(value),
            Cell::Text(_) | Cell::Bytes(_) => None,
        }
    }
}
