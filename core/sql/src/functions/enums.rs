//! Enums and domains: labels read, their order, and the constraints of a domain. The binder calls these with what the catalog says
//! as literals.

use super::arrays::{array_of, text_of};
use super::{Scalar, typed_entry};
use crate::datum::Datum;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

use SqlType::{Bool, Int4, Text, Unknown};

/// A label's place among the labels.
pub static RANK: Scalar = typed_entry("enum rank", &[Unknown, SqlType::ANY_ARRAY], Int4, true, |call| {
    call.rows(true, |values| place(values).map(|place| Datum::Int4(place.unwrap_or(0) as i32)))
});

/// A text as a label: the text, the labels, the type's name.
pub static READ: Scalar =
    typed_entry("enum read", &[Text, SqlType::ANY_ARRAY, Text], Unknown, true, |call| {
        call.rows(true, |values| match place(values)? {
            Some(_) => Ok(values[0].clone()),
            None => Err(no_label(text_of(&values[2])?, text_of(&values[0])?)),
        })
    });

/// The texts of an array as labels: the array, the labels, the type's name.
pub static READ_ALL: Scalar =
    typed_entry("enums read", &[SqlType::ANY_ARRAY, SqlType::ANY_ARRAY, Text], Unknown, true, |call| {
        let element = call.result.element().unwrap_or(Text);
        call.rows(true, |values| {
            let (mut array, labels) = ((**array_of(&values[0])?).clone(), array_of(&values[1])?);
            if let Some(Datum::Text(stray)) =
                array.items.iter().find(|it| !it.is_null() && !labels.items.contains(it))
            {
                return Err(no_label(text_of(&values[2])?, stray));
            }
            array.element = element;
            Ok(Datum::Array(array.into()))
        })
    });

/// A value that has passed a constraint: the value, whether it does, the domain, the constraint's name (NULL: NOT NULL).
pub static CHECKED: Scalar =
    typed_entry("domain check", &[Unknown, Bool, Text, Text], Unknown, false, |call| {
        call.rows(false, |values| match &values[1] {
            Datum::Bool(false) => Err(violated(&values[2], &values[3])),
            _ => Ok(values[0].clone()),
        })
    });

fn place(values: &[Datum]) -> Result<Option<usize>> {
    let label = text_of(&values[0])?;
    let labels = array_of(&values[1])?;
    Ok(labels.items.iter().position(|it| matches!(it, Datum::Text(text) if **text == *label)))
}

/// 22P02
pub fn no_label(ty: &str, label: &str) -> Error {
    let message = format!("invalid input value for enum {ty}: \"{label}\"");
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
}

fn violated(domain: &Datum, constraint: &Datum) -> Error {
    let name = |value: &Datum| text_of(value).map(str::to_owned).unwrap_or_default();
    if constraint.is_null() {
        let message = format!("domain {} does not allow null values", name(domain));
        return Error::new(SqlState::NOT_NULL_VIOLATION, message);
    }
    let message =
        format!("value for domain {} violates check constraint \"{}\"", name(domain), name(constraint));
    Error::new(SqlState::CHECK_VIOLATION, message)
}
