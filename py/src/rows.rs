//! The rows of a batch as tuples.

use crate::error;
use crate::value::to_python;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, Float64Array, Int16Array, Int32Array, Int64Array, StringArray};
use orrerydb::{Batch, Field, SqlType, ValueRef};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyString, PyTuple};

/// A batch with its columns looked at once.
pub(crate) struct Columns {
    batch: Batch,
    readers: Vec<Reader>,
}

/// See [`Columns::row`].
const NARROW_COLUMN_COUNT: usize = 8;

/// The commonest types are read without a value in between.
enum Reader {
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    Float64(Float64Array),
    Text(StringArray),
    Other(SqlType),
}

impl Columns {
    pub(crate) fn none() -> Columns {
        Columns { batch: Batch { columns: Vec::new(), row_count: 0 }, readers: Vec::new() }
    }

    pub(crate) fn new(batch: Batch, fields: &[Field]) -> Columns {
        let reader = |(column, field): (&arrow_array::ArrayRef, &Field)| match field.ty {
            SqlType::Int2 => column.as_primitive_opt::<Int16Type>().cloned().map(Reader::Int16),
            SqlType::Int4 => column.as_primitive_opt::<Int32Type>().cloned().map(Reader::Int32),
            SqlType::Int8 => column.as_primitive_opt::<Int64Type>().cloned().map(Reader::Int64),
            SqlType::Float8 => column.as_primitive_opt::<Float64Type>().cloned().map(Reader::Float64),
            SqlType::Text | SqlType::Varchar(_) | SqlType::Name | SqlType::QuotedChar => {
                column.as_string_opt::<i32>().cloned().map(Reader::Text)
            }
            _ => None,
        };
        let pairs = batch.columns.iter().zip(fields);
        let readers = pairs.map(|pair| reader(pair).unwrap_or(Reader::Other(pair.1.ty))).collect();
        Columns { batch, readers }
    }

    pub(crate) fn row_count(&self) -> usize {
        self.batch.row_count
    }

    /// What is left from `next` on.
    pub(crate) fn into_rest(self, next: usize) -> Option<Batch> {
        let row_count = self.batch.row_count.checked_sub(next).filter(|&left| left > 0)?;
        let columns = self.batch.columns.iter().map(|column| column.slice(next, row_count)).collect();
        Some(Batch { columns, row_count })
    }

    pub(crate) fn row<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyTuple>> {
        // Narrow rows need no heap between the values and the tuple.
        if self.readers.len() <= NARROW_COLUMN_COUNT {
            let mut values = [const { None }; NARROW_COLUMN_COUNT];
            for (column, reader) in self.readers.iter().enumerate() {
                values[column] = Some(self.value(py, column, reader, row)?);
            }
            let values = values.into_iter().take(self.readers.len());
            return PyTuple::new(py, values);
        }
        let values = self.readers.iter().enumerate().map(|(at, reader)| self.value(py, at, reader, row));
        PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)
    }

    fn value<'py>(
        &self,
        py: Python<'py>,
        column: usize,
        reader: &Reader,
        row: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(match reader {
            Reader::Int16(array) if array.is_valid(row) => array.value(row).into_pyobject(py)?.into_any(),
            Reader::Int32(array) if array.is_valid(row) => array.value(row).into_pyobject(py)?.into_any(),
            Reader::Int64(array) if array.is_valid(row) => array.value(row).into_pyobject(py)?.into_any(),
            Reader::Float64(array) if array.is_valid(row) => PyFloat::new(py, array.value(row)).into_any(),
            Reader::Text(array) if array.is_valid(row) => PyString::new(py, array.value(row)).into_any(),
            Reader::Other(ty) => {
                let value = orrerydb::value_at(&self.batch.columns[column], *ty, row);
                to_python(py, ValueRef::from(&value.map_err(|error| error::raise(py, &error))?))?
            }
            _ => py.None().into_bound(py),
        })
    }
}
