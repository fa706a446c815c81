//! Aggregates that keep all rows of a group, NULLs too, and make one value of them: `array_agg`, `json_agg` and their kin.

use super::super::GroupedAccumulator;
use super::damaged;
use crate::columns::{ColumnBuilder, datum_at};
use crate::datum::Datum;
use crate::exec::rows::{read_datum, write_datum};
use crate::functions::arrays;
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray};
use orrery_base::Result;

/// Makes the value of a group from its rows, of which there is at least one.
pub(super) type Finish = fn(&[SqlType], SqlType, Vec<Vec<Datum>>) -> Result<Datum>;

pub(super) struct Gathered {
    /// Of the function's own arguments.
    types: Vec<SqlType>,
    result: SqlType,
    finish: Finish,
    /// Behind the arguments stands the key of ORDER BY.
    is_ordered: bool,
    /// The rows of each group: for each the key's length and bytes, then the values.
    groups: Vec<Vec<u8>>,
    bytes: usize,
}

pub(super) fn gathered(
    args: &[SqlType],
    own: usize,
    result: SqlType,
    finish: Finish,
) -> Box<dyn GroupedAccumulator> {
    let types = args[..own].to_vec();
    Box::new(Gathered { types, result, finish, is_ordered: args.len() > own, groups: Vec::new(), bytes: 0 })
}

impl Gathered {
    fn rows(&self, mut bytes: &[u8]) -> Option<Vec<Vec<Datum>>> {
        let mut rows: Vec<(&[u8], Vec<Datum>)> = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            bytes = rest;
            let values =
                self.types.iter().map(|ty| read_datum(&mut bytes, ty.base())).collect::<Option<_>>()?;
            rows.push((key, values));
        }
        if self.is_ordered {
            rows.sort_by(|a, b| a.0.cmp(b.0));
        }
        Some(rows.into_iter().map(|row| row.1).collect())
    }

    fn grow(&mut self, group_count: usize) {
        self.groups.resize_with(group_count.max(self.groups.len()), Vec::new);
    }
}

impl GroupedAccumulator for Gathered {
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[u32],
        selected: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.grow(group_count);
        let key = args.get(self.types.len()).map(|keys| keys.as_binary::<i32>());
        for (row, &group) in groups.iter().enumerate() {
            if selected.is_some_and(|selected| selected.is_null(row) || !selected.value(row)) {
                continue;
            }
            let into = &mut self.groups[group as usize];
            let before = into.len();
            let key = key.map_or(&[][..], |keys| keys.value(row));
            into.extend_from_slice(&(key.len() as u32).to_le_bytes());
            into.extend_from_slice(key);
            for (column, ty) in args.iter().zip(&self.types) {
                write_datum(into, &datum_at(column, *ty, row)?);
            }
            self.bytes += into.len() - before;
        }
        Ok(())
    }

    fn states(&mut self, group_count: usize) -> Result<ArrayRef> {
        self.grow(group_count);
        let mut builder = ColumnBuilder::new(SqlType::Bytea, group_count);
        for group in self.groups.drain(..) {
            builder.push_bytes(&group)?;
        }
        self.bytes = 0;
        builder.finish()
    }

    fn merge(&mut self, states: &ArrayRef, groups: &[u32], group_count: usize) -> Result<()> {
        self.grow(group_count);
        let states = states.as_binary::<i32>();
        for (row, &group) in groups.iter().enumerate() {
            self.groups[group as usize].extend_from_slice(states.value(row));
            self.bytes += states.value(row).len();
        }
        Ok(())
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        self.grow(group_count);
        let mut builder = ColumnBuilder::new(self.result, group_count);
        for group in std::mem::take(&mut self.groups) {
            let rows = self.rows(&group).ok_or_else(damaged)?;
            let value =
                if rows.is_empty() { Datum::Null } else { (self.finish)(&self.types, self.result, rows)? };
            builder.push(&value)?;
        }
        self.bytes = 0;
        builder.finish()
    }

    fn memory_bytes(&self) -> usize {
        self.bytes + self.groups.capacity() * size_of::<Vec<u8>>()
    }
}

/// `array_agg`: arrays become one of a dimension more.
pub(super) fn array(types: &[SqlType], result: SqlType, rows: Vec<Vec<Datum>>) -> Result<Datum> {
    let element = result.element().unwrap_or(SqlType::Text);
    let nested = matches!(types[0], SqlType::Array(_));
    let items: Vec<Datum> = rows.into_iter().filter_map(|mut row| row.pop()).collect();
    if nested {
        let message = if items.iter().any(Datum::is_null) {
            Some("cannot accumulate null arrays")
        } else if items.iter().any(|item| matches!(item, Datum::Array(array) if array.dimensions.is_empty()))
        {
            Some("cannot accumulate empty arrays")
        } else {
            None
        };
        if let Some(message) = message {
            let code = match message {
                "cannot accumulate null arrays" => orrery_base::SqlState::NULL_VALUE_NOT_ALLOWED,
                _ => orrery_base::SqlState::ARRAY_SUBSCRIPT_ERROR,
            };
            return Err(orrery_base::Error::new(code, message));
        }
    }
    Ok(Datum::Array(arrays::build(element, items, nested)?.into()))
}

fn json_items(result: SqlType, rows: &[Vec<Datum>], separator: &str) -> Result<Datum> {
    let mut text = String::from("[");
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            text.push_str(separator);
        }
        match row.first() {
            Some(Datum::Text(item) | Datum::Jsonb(item)) => text.push_str(item),
            _ => text.push_str("null"),
        }
    }
    text.push(']');
    // The parts of jsonb are in their normal form.
    Ok(if result == SqlType::Jsonb { Datum::Jsonb(text.into()) } else { Datum::Text(text.into()) })
}

/// `json_agg`, `jsonb_agg`: the argument is json already.
pub(super) fn json_array(_: &[SqlType], result: SqlType, rows: Vec<Vec<Datum>>) -> Result<Datum> {
    json_items(result, &rows, ", ")
}

pub(super) fn json_lines(_: &[SqlType], result: SqlType, rows: Vec<Vec<Datum>>) -> Result<Datum> {
    json_items(result, &rows, ", \n ")
}

/// `json_object_agg`, `jsonb_object_agg`.
pub(super) fn json_object(_: &[SqlType], result: SqlType, rows: Vec<Vec<Datum>>) -> Result<Datum> {
    let mut text = String::from("{ ");
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        match row.first() {
            Some(Datum::Text(key)) => crate::json::quote(&mut text, key),
            _ => {
                let message = "field name must not be null";
                return Err(orrery_base::Error::new(orrery_base::SqlState::INVALID_PARAMETER_VALUE, message));
            }
        }
        text.push_str(" : ");
        match row.get(1) {
            Some(Datum::Text(value) | Datum::Jsonb(value)) => text.push_str(value),
            _ => text.push_str("null"),
        }
    }
    text.push_str(" }");
    Ok(match result {
        SqlType::Jsonb => Datum::Jsonb(crate::json::normalize(&text)?.into()),
        _ => Datum::Text(text.into()),
    })
}
