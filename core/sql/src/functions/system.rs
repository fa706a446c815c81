//! What functions of the catalog answer about an object by its number. The binder calls these with what the catalog says as literals.

use super::arrays::{array_of, text_of};
use super::{Scalar, typed_entry};
use crate::datum::Datum;
use crate::types::SqlType;
use orrery_base::{Error, Result};

use SqlType::{Int4, Int8, Text, Unknown};

/// The number itself, as one of another kind of object.
pub static RETYPE: Scalar = typed_entry("retype", &[Unknown], Unknown, true, |call| Ok(call.args[0].clone()));

/// The text of a number: the number, the known numbers in order, their texts. NULL for others.
pub static LOOKUP: Scalar =
    typed_entry("lookup", &[Int8, SqlType::ANY_ARRAY, SqlType::ANY_ARRAY], Text, true, |call| {
        call.rows(true, |values| Ok(find(values)?.unwrap_or(Datum::Null)))
    });

/// The same; the digits of others, and of 0 a dash.
pub static NAME: Scalar =
    typed_entry("reg name", &[Int8, SqlType::ANY_ARRAY, SqlType::ANY_ARRAY], Text, true, |call| {
        call.rows(true, |values| match (find(values)?, number(&values[0])?) {
            (Some(name), _) => Ok(name),
            (None, 0) => Ok(Datum::Text("-".into())),
            (None, number) => Ok(Datum::Text(number.to_string().into())),
        })
    });

/// `format_type`: the number, the modifier, the known numbers in order, their names.
pub static FORMAT_TYPE: Scalar =
    typed_entry("format type", &[Int8, Int4, SqlType::ANY_ARRAY, SqlType::ANY_ARRAY], Text, false, |call| {
        call.rows(false, |values| {
            if values[0].is_null() {
                return Ok(Datum::Null);
            }
            let modifier = match &values[1] {
                Datum::Int4(modifier) => Some(i64::from(*modifier)),
                _ => None,
            };
            let known = [values[0].clone(), values[2].clone(), values[3].clone()];
            let shown = match (find(&known)?, number(&values[0])?) {
                (Some(name), number) => crate::system::format_type(number, text_of(&name)?, modifier),
                (None, 0) => "-".to_owned(),
                (None, _) => "???".to_owned(),
            };
            Ok(Datum::Text(shown.into()))
        })
    });

fn number(value: &Datum) -> Result<i64> {
    match value {
        Datum::Int8(number) => Ok(*number),
        _ => Err(Error::internal("an object's number that is none")),
    }
}

fn find(values: &[Datum]) -> Result<Option<Datum>> {
    let wanted = number(&values[0])?;
    let (numbers, texts) = (array_of(&values[1])?, array_of(&values[2])?);
    let found = numbers.items.binary_search_by_key(&wanted, |it| number(it).unwrap_or(i64::MAX));
    Ok(found.ok().and_then(|place| texts.items.get(place).cloned()))
}
