//! `IN` over a list of constants, with SQL's NULL rules: true if some element equals; else NULL if the input or some
//! element is NULL; else false.

use crate::columns;
use crate::datum::Datum;
use crate::functions::Value;
use crate::functions::kernel::{Shape, bools};
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, BooleanArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType;
use orrery_base::Result;
use orrery_base::sorting;
use std::cmp::Ordering;
use std::sync::Arc;

/// See the file's head.
pub fn in_list(value: &Value, ty: SqlType, list: &[Datum], row_count: usize) -> Result<Value> {
    let args = std::slice::from_ref(value);
    if list.is_empty() {
        let rows = if matches!(value, Value::Constant(_)) { 1 } else { row_count };
        let none = Arc::new(BooleanArray::new(BooleanBuffer::new_unset(rows), None));
        return Ok(if rows == row_count { Value::Array(none) } else { Value::Constant(none) });
    }
    let shape = Shape::of(args, row_count);
    let has_null = list.iter().any(Datum::is_null);
    let mut sorted: Vec<&Datum> = list.iter().filter(|value| !value.is_null()).collect();
    let trimmed: Vec<Datum>;
    if matches!(ty, SqlType::Char(_)) {
        trimmed = sorted.iter().map(|value| trim(value)).collect();
        sorted = trimmed.iter().collect();
    }
    sorting::sort_by(&mut sorted, |a, b| a.order(b));
    let array = value.array();
    let found = if shape.all_null() {
        bools(&shape, |_| false)
    } else {
        match array.data_type() {
            DataType::Int32 => {
                let wanted: Vec<i32> = sorted.iter().filter_map(|value| int4(value)).collect();
                let values = array.as_primitive::<Int32Type>().values();
                bools(&shape, |row| has(&wanted, values[row]))
            }
            DataType::Int64 => {
                let wanted: Vec<i64> = sorted.iter().filter_map(|value| int8(value)).collect();
                let values = array.as_primitive::<Int64Type>().values();
                bools(&shape, |row| has(&wanted, values[row]))
            }
            DataType::Utf8 if !ty.is_keyed() => {
                let values = array.as_string::<i32>();
                bools(&shape, |row| {
                    sorted.binary_search_by(|item| text_order(item, values.value(row))).is_ok()
                })
            }
            DataType::Utf8 if matches!(ty, SqlType::Char(_)) => {
                let values = array.as_string::<i32>();
                let trimmed = |row| values.value(row).trim_end_matches(' ');
                bools(&shape, |row| sorted.binary_search_by(|item| text_order(item, trimmed(row))).is_ok())
            }
            _ => {
                let mut hits = Vec::with_capacity(shape.rows);
                for row in 0..shape.rows {
                    let value = trim(&columns::datum_at(array, ty, row)?);
                    hits.push(!value.is_null() && sorted.binary_search_by(|item| item.order(&value)).is_ok());
                }
                bools(&shape, |row| hits[row])
            }
        }
    };
    Ok(if has_null { with_nulls_for_false(found) } else { found })
}

/// A text without the spaces at its end, which do not count in `char`. Of other types in lists, none is a text.
fn trim(value: &Datum) -> Datum {
    match value {
        Datum::Text(text) => Datum::Text(text.trim_end_matches(' ').into()),
        other => other.clone(),
    }
}

fn has<T: Ord>(sorted: &[T], value: T) -> bool {
    if sorted.len() <= 8 { sorted.contains(&value) } else { sorted.binary_search(&value).is_ok() }
}

fn int4(value: &Datum) -> Option<i32> {
    if let Datum::Int4(value) = value { Some(*value) } else { None }
}

fn int8(value: &Datum) -> Option<i64> {
    if let Datum::Int8(value) = value { Some(*value) } else { None }
}

fn text_order(item: &Datum, value: &str) -> Ordering {
    if let Datum::Text(item) = item { item.as_bytes().cmp(value.as_bytes()) } else { Ordering::Less }
}

fn with_nulls_for_false(value: Value) -> Value {
    let bools = value.array().as_boolean();
    let valid = match bools.nulls() {
        None => bools.values().clone(),
        Some(nulls) => bools.values() & nulls.inner(),
    };
    let array = Arc::new(BooleanArray::new(bools.values().clone(), Some(NullBuffer::new(valid))));
    match value {
        Value::Array(_) => Value::Array(array),
        Value::Constant(_) => Value::Constant(array),
    }
}
