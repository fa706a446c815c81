//! JSON made of SQL's values: `to_json`, `json_build_object` and their kin.

use super::arrays::{array_of, text_of};
use super::{TypedCall, Value};
use crate::array::{ArrayValue, subscript_error};
use crate::civil::DateStyle;
use crate::datum::Datum;
use crate::json;
use crate::record::RecordValue;
use crate::text::{self, FormatSettings};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

fn bad(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// Appends a value as `to_json` writes it.
fn write_value(into: &mut String, value: &Datum, ty: SqlType, settings: FormatSettings) {
    match (value, ty.base()) {
        (Datum::Null, _) => into.push_str("null"),
        (Datum::Bool(value), _) => into.push_str(if *value { "true" } else { "false" }),
        (Datum::Jsonb(text), _) | (Datum::Text(text), SqlType::Json) => into.push_str(text),
        (Datum::Array(array), _) => {
            let mut items = array.items.iter();
            write_level(into, array, 0, &mut items, settings);
        }
        (Datum::Record(record), _) => write_record(into, record, ",", settings),
        (value, _) => {
            // Moments are written by the standard, whatever the session's style.
            let settings = FormatSettings { date_style: DateStyle::Iso, ..settings };
            let mut shown = text::format(value, ty, settings);
            let number = match value {
                Datum::Int2(_) | Datum::Int4(_) | Datum::Int8(_) => true,
                Datum::Float4(value) => value.is_finite(),
                Datum::Float8(value) => value.is_finite(),
                Datum::Numeric(value) => value.is_finite(),
                _ => false,
            };
            match value {
                _ if number => return into.push_str(&shown),
                Datum::Timestamp(_) => shown = shown.replacen(' ', "T", 1),
                Datum::Timestamptz(_) => {
                    shown = shown.replacen(' ', "T", 1);
                    // Zones have minutes here.
                    let zone =
                        shown.rfind(['+', '-']).filter(|at| shown.len() - at == 3 && shown.contains('T'));
                    if zone.is_some() {
                        shown.push_str(":00");
                    }
                }
                _ => {}
            }
            json::quote(into, &shown);
        }
    }
}

/// Appends a row value as an object, with what stands between its members.
fn write_record(into: &mut String, record: &RecordValue, between: &str, settings: FormatSettings) {
    into.push('{');
    for (index, field) in record.fields.iter().enumerate() {
        if index > 0 {
            into.push_str(between);
        }
        json::quote(into, &field.name);
        into.push(':');
        write_value(into, &field.value, field.ty, settings);
    }
    into.push('}');
}

/// `row_to_json`; pretty: the members each on a line.
pub(super) fn row_to_json(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| {
        let Datum::Record(record) = &values[0] else {
            return Err(Error::internal("row_to_json of what is no row"));
        };
        let pretty = matches!(values.get(1), Some(Datum::Bool(true)));
        let mut text = String::new();
        write_record(&mut text, record, if pretty { ",\n " } else { "," }, call.settings());
        finish(text, false)
    })
}

fn write_level(
    into: &mut String,
    array: &ArrayValue,
    level: usize,
    items: &mut std::slice::Iter<'_, Datum>,
    settings: FormatSettings,
) {
    into.push('[');
    let length = array.dimensions.get(level).map_or(0, |dimension| dimension.length);
    for index in 0..length {
        if index > 0 {
            into.push(',');
        }
        if level + 1 < array.dimensions.len() {
            write_level(into, array, level + 1, items, settings);
        } else {
            write_value(into, items.next().unwrap_or(&Datum::Null), array.element, settings);
        }
    }
    into.push(']');
}

pub(super) fn to_json(call: &TypedCall<'_>, binary: bool) -> Result<Value> {
    call.rows(true, |values| {
        let mut text = String::new();
        write_value(&mut text, &values[0], call.types[0], call.settings());
        finish(text, binary)
    })
}

/// A text made here as json or jsonb.
pub(super) fn finish(text: String, binary: bool) -> Result<Datum> {
    Ok(if binary { Datum::Jsonb(json::normalize(&text)?.into()) } else { Datum::Text(text.into()) })
}

pub(super) fn build_array(call: &TypedCall<'_>, binary: bool) -> Result<Value> {
    call.rows(false, |values| {
        let mut text = String::from("[");
        for (index, (value, ty)) in values.iter().zip(call.types).enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            write_value(&mut text, value, *ty, call.settings());
        }
        text.push(']');
        finish(text, binary)
    })
}

pub(super) fn build_object(call: &TypedCall<'_>, binary: bool) -> Result<Value> {
    if !call.args.len().is_multiple_of(2) {
        let message = "argument list must have even number of elements";
        let function = if binary { "jsonb_build_object()" } else { "json_build_object()" };
        return Err(bad(message)
            .with_hint(format!("The arguments of {function} must consist of alternating keys and values.")));
    }
    call.rows(false, |values| {
        let mut text = String::from("{");
        for index in (0..values.len()).step_by(2) {
            if index > 0 {
                text.push_str(", ");
            }
            if values[index].is_null() {
                return Err(bad(format!("argument {} cannot be null", index + 1))
                    .with_hint("Object keys should be text."));
            }
            let key = match &values[index] {
                Datum::Bool(value) => if *value { "true" } else { "false" }.to_owned(),
                Datum::Array(_) | Datum::Jsonb(_) => {
                    return Err(bad("key value must be scalar, not array, composite, or json"));
                }
                _ if call.types[index] == SqlType::Json => {
                    return Err(bad("key value must be scalar, not array, composite, or json"));
                }
                key => text::format(key, call.types[index], call.settings()),
            };
            json::quote(&mut text, &key);
            text.push_str(" : ");
            write_value(&mut text, &values[index + 1], call.types[index + 1], call.settings());
        }
        text.push('}');
        finish(text, binary)
    })
}

/// `json_object`: from an array of keys and values in turn, or from one of each.
pub(super) fn object_of_texts(values: &[Datum], binary: bool) -> Result<Datum> {
    let first = array_of(&values[0])?;
    match (values.len(), first.dimensions.as_slice()) {
        (1, [_, columns]) if columns.length != 2 => {
            return Err(subscript_error("array must have two columns"));
        }
        (1, [] | [_] | [_, _]) | (2, [] | [_]) => {}
        _ => return Err(subscript_error("wrong number of array subscripts")),
    }
    let pairs: Vec<(&Datum, &Datum)> = match values.get(1) {
        Some(second) => {
            let second = array_of(second)?;
            if second.dimensions.len() > 1 {
                return Err(subscript_error("wrong number of array subscripts"));
            }
            if first.items.len() != second.items.len() {
                return Err(subscript_error("mismatched array dimensions"));
            }
            first.items.iter().zip(&second.items).collect()
        }
        None => {
            if first.items.len() % 2 != 0 {
                return Err(subscript_error("array must have even number of elements"));
            }
            first.items.chunks(2).map(|pair| (&pair[0], &pair[1])).collect()
        }
    };
    let mut text = String::from("{");
    for (index, (key, value)) in pairs.into_iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        if key.is_null() {
            let message = "null value not allowed for object key";
            return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message));
        }
        json::quote(&mut text, text_of(key)?);
        text.push_str(" : ");
        write_value(&mut text, value, SqlType::Text, FormatSettings::default());
    }
    text.push('}');
    finish(text, binary)
}
