//! Set-returning functions of `json` and `jsonb`: their elements, keys and members.

use super::ResultType;
use super::jsons::{bad, part, source};
use super::sets::{SetFunction, set};
use crate::datum::Datum;
use crate::json::{self, Node, Value as Json};
use crate::types::SqlType::{self, Text};
use orrery_base::Result;

fn array_items(values: &[Datum], function: &str) -> Result<(Node, bool)> {
    let node = json::parse(source(&values[0])?)?;
    let binary = matches!(values[0], Datum::Jsonb(_));
    match (&node.value, binary) {
        (Json::Array(_), _) => Ok((node, binary)),
        (Json::Object(_), true) => Err(bad("cannot extract elements from an object")),
        (_, true) => Err(bad("cannot extract elements from a scalar")),
        (Json::Object(_), false) => Err(bad(format!("cannot call {function} on a non-array"))),
        (_, false) => Err(bad(format!("cannot call {function} on a scalar"))),
    }
}

fn elements(values: &[Datum], plain: bool, function: &str) -> Result<Vec<Datum>> {
    let (node, _) = array_items(values, function)?;
    let Json::Array(items) = &node.value else { return Ok(Vec::new()) };
    items.iter().map(|item| part(&values[0], Some(item), plain)).collect()
}

fn members(values: &[Datum], function: &str) -> Result<Vec<(String, Node)>> {
    let node = json::parse(source(&values[0])?)?;
    let binary = matches!(values[0], Datum::Jsonb(_));
    match node.value {
        Json::Object(members) => Ok(members),
        Json::Array(_) if !binary => Err(bad(format!("cannot call {function} on an array"))),
        Json::Array(_) if function.ends_with("keys") => {
            Err(bad(format!("cannot call {function} on an array")))
        }
        _ if function.ends_with("keys") => Err(bad(format!("cannot call {function} on a scalar"))),
        _ if binary => Err(bad(format!("cannot call {function} on a non-object"))),
        _ => Err(bad("cannot deconstruct a scalar")),
    }
}

fn keys(values: &[Datum], function: &str) -> Result<Vec<Datum>> {
    Ok(members(values, function)?.into_iter().map(|(key, _)| Datum::Text(key.into())).collect())
}

fn member_values(values: &[Datum], plain: bool, function: &str) -> Result<Vec<Datum>> {
    members(values, function)?.iter().map(|(_, node)| part(&values[0], Some(node), plain)).collect()
}

macro_rules! sets {
    ($ty:expr, $elements:literal, $elements_text:literal, $keys:literal, $each:literal, $each_text:literal) => {
        [
            SetFunction {
                label: Some("value"),
                ..set($elements, &[$ty], ResultType::Fixed($ty), true, |values, _| {
                    elements(values, false, $elements)
                })
            },
            SetFunction {
                label: Some("value"),
                ..set($elements_text, &[$ty], ResultType::Fixed(Text), true, |values, _| {
                    elements(values, true, $elements_text)
                })
            },
            set($keys, &[$ty], ResultType::Fixed(Text), true, |values, _| keys(values, $keys)),
            SetFunction {
                label: Some("key"),
                ..set($each, &[$ty], ResultType::Fixed(Text), true, |values, _| keys(values, $each))
            },
            SetFunction {
                label: Some("value"),
                ..set($each, &[$ty], ResultType::Fixed($ty), true, |values, _| {
                    member_values(values, false, $each)
                })
            },
            SetFunction {
                label: Some("key"),
                ..set($each_text, &[$ty], ResultType::Fixed(Text), true, |values, _| keys(values, $each_text))
            },
            SetFunction {
                label: Some("value"),
                ..set($each_text, &[$ty], ResultType::Fixed(Text), true, |values, _| {
                    member_values(values, true, $each_text)
                })
            },
        ]
    };
}

pub(super) static JSON_SETS: [SetFunction; 7] = sets!(
    SqlType::Json,
    "json_array_elements",
    "json_array_elements_text",
    "json_object_keys",
    "json_each",
    "json_each_text"
);

pub(super) static JSONB_SETS: [SetFunction; 7] = sets!(
    SqlType::Jsonb,
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_object_keys",
    "jsonb_each",
    "jsonb_each_text"
);
