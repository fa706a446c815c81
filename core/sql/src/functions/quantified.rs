//! `op ANY (array)` and `op ALL (array)`.

use super::arrays::special;
use super::{Scalar, TypedCall, Value};
use crate::columns;
use crate::datum::Datum;
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray};
use arrow_buffer::NullBuffer;
use orrery_base::{Error, Result};
use std::sync::Arc;

macro_rules! quantifiers {
    ($($op:literal),*) => {
        &[$(
            (special(concat!($op, " any"), |call| quantify(call, $op, false)),
             special(concat!($op, " all"), |call| quantify(call, $op, true))),
        )*]
    };
}

static QUANTIFIED: &[(Scalar, Scalar)] = quantifiers!(
    "=", "<>", "<", "<=", ">", ">=", "~~", "!~~", "~~*", "!~~*", "~", "~*", "!~", "!~*", "@>", "<@", "&&"
);

/// `op ANY (array)` or `op ALL (array)` as a function of the input and the array.
pub fn quantified(op: &str, all: bool) -> Option<&'static Scalar> {
    let found = QUANTIFIED.iter().find(|it| it.0.name.strip_suffix(" any") == Some(op))?;
    Some(if all { &found.1 } else { &found.0 })
}

/// SQL's rules: with ANY, true if true for an element, otherwise NULL if NULL for one, otherwise false; ALL is its mirror.
fn quantify(call: &TypedCall<'_>, op: &'static str, all: bool) -> Result<Value> {
    let element = call.types[1].element().unwrap_or(SqlType::Unknown).base();
    let wanted = [call.types[0].base(), element];
    let function = super::scalars(op).iter().find(|it| it.args == wanted);
    let function = function.ok_or_else(|| Error::unsupported(format!("{op} ANY of {}", wanted[1])))?;
    let [input, arrays] = call.args else { return Err(Error::internal("ANY takes two arguments")) };
    let run = |left: Value, right: Value, rows: usize| match function.typed {
        None => (function.eval)(call.context, &[left, right], rows),
        Some(typed) => typed(&TypedCall {
            context: call.context,
            args: &[left, right],
            types: &wanted,
            result: SqlType::Bool,
            row_count: rows,
        }),
    };
    // One array for all rows: each of its elements is compared with the whole column.
    if let (Value::Constant(array), Value::Array(_)) = (arrays, input) {
        let Datum::Array(array) = columns::datum_at(array, call.types[1], 0)? else {
            return Ok(Value::Constant(columns::nulls_of(SqlType::Bool, 1)?));
        };
        let mut truth = Truth::new(call.row_count, all);
        for item in &array.items {
            let item = Value::Constant(columns::array_of([item], element)?);
            let value = run(input.clone(), item, call.row_count)?.into_array(call.row_count)?;
            truth.add(&value);
        }
        return Ok(truth.finish());
    }
    call.rows(false, |values| {
        let Datum::Array(array) = &values[1] else { return Ok(Datum::Null) };
        let left = Value::Constant(columns::array_of([&values[0]], call.types[0])?);
        let items = Value::Array(columns::array_of(&array.items, element)?);
        let count = array.items.len();
        if count == 0 {
            return Ok(Datum::Bool(all));
        }
        let found = run(left, items, count)?.into_array(count)?;
        let mut unknown = false;
        for row in 0..count {
            if found.data_type() == &arrow_schema::DataType::Null || found.is_null(row) {
                unknown = true;
            } else if found.as_boolean().value(row) != all {
                return Ok(Datum::Bool(!all));
            }
        }
        Ok(if unknown { Datum::Null } else { Datum::Bool(all) })
    })
}

/// Truth values of many rows, put together element by element.
struct Truth {
    decided: arrow_buffer::BooleanBuffer,
    unknown: arrow_buffer::BooleanBuffer,
    all: bool,
}

impl Truth {
    fn new(rows: usize, all: bool) -> Truth {
        let none = arrow_buffer::BooleanBuffer::new_unset(rows);
        Truth { decided: none.clone(), unknown: none, all }
    }

    fn add(&mut self, value: &arrow_array::ArrayRef) {
        if value.data_type() == &arrow_schema::DataType::Null {
            self.unknown = arrow_buffer::BooleanBuffer::new_set(value.len());
            return;
        }
        let bools = value.as_boolean();
        let mut hits = if self.all { !bools.values() } else { bools.values().clone() };
        if let Some(nulls) = bools.nulls() {
            hits = &hits & nulls.inner();
            self.unknown = &self.unknown | &!nulls.inner();
        }
        self.decided = &self.decided | &hits;
    }

    fn finish(self) -> Value {
        let unknown = &self.unknown & &!&self.decided;
        let values = if self.all { !&self.decided } else { self.decided };
        Value::Array(Arc::new(BooleanArray::new(values, Some(NullBuffer::new(!&unknown)))))
    }
}
