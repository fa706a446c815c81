//! `json[b]_to_record[set]`: the objects as rows, and the members of one as the text that a column's type reads. The binder puts
//! them together (`bind/record.rs`).

use super::jsons::{bad, part, source};
use super::sets::{SetFunction, set};
use super::{ResultType, Scalar, TypedCall, Value, Volatility, untyped};
use crate::datum::Datum;
use crate::json::{self, Node, Value as Json};
use crate::types::SqlType;
use orrery_base::Result;

fn kind(node: &Node) -> &'static str {
    match node.value {
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
        _ => "a scalar",
    }
}

/// The object as the one row. NULL is a row of NULLs.
fn record(values: &[Datum], function: &str) -> Result<Vec<Datum>> {
    if !values[0].is_null() {
        let node = json::parse(source(&values[0])?)?;
        if !matches!(node.value, Json::Object(_)) {
            return Err(bad(format!("cannot call {function} on {}", kind(&node))));
        }
    }
    Ok(vec![values[0].clone()])
}

/// The objects of an array.
fn records(values: &[Datum], function: &str) -> Result<Vec<Datum>> {
    let node = json::parse(source(&values[0])?)?;
    let Json::Array(items) = &node.value else {
        return Err(bad(format!("cannot call {function} on {}", kind(&node))));
    };
    let item = |item: &Node| match item.value {
        Json::Object(_) => part(&values[0], Some(item), false),
        _ => Err(bad(format!("argument of {function} must be an array of objects"))),
    };
    items.iter().map(item).collect()
}

const JSON: ResultType = ResultType::Fixed(SqlType::Json);
const JSONB: ResultType = ResultType::Fixed(SqlType::Jsonb);

pub(super) static SETS: [SetFunction; 4] = [
    set("json_to_record rows", &[SqlType::Json], JSON, false, |values, _| record(values, "json_to_record")),
    set("jsonb_to_record rows", &[SqlType::Jsonb], JSONB, false, |values, _| {
        record(values, "jsonb_to_record")
    }),
    set("json_to_recordset rows", &[SqlType::Json], JSON, true, |values, _| {
        records(values, "json_to_recordset")
    }),
    set("jsonb_to_recordset rows", &[SqlType::Jsonb], JSONB, true, |values, _| {
        records(values, "jsonb_to_recordset")
    }),
];

/// Whether an object has a member of this name. Errors: 22023 for what is no object.
fn has(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| {
        let node = json::parse(source(&values[0])?)?;
        if !matches!(node.value, Json::Object(_)) {
            return Err(bad(format!("cannot call populate_composite on {}", kind(&node))));
        }
        Ok(Datum::Bool(node.member(super::arrays::text_of(&values[1])?).is_some()))
    })
}

fn member(values: &[Datum], write: impl Fn(&str, &Node) -> Result<Datum>) -> Result<Datum> {
    let text = source(&values[0])?;
    let node = json::parse(text)?;
    match node.member(super::arrays::text_of(&values[1])?) {
        None | Some(Node { value: Json::Null, .. }) => Ok(Datum::Null),
        Some(found) => write(text, found),
    }
}

/// A member as it is; `null` is NULL.
fn field(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| member(values, |_, node| part(&values[0], Some(node), false)))
}

/// A member that is to be an array, as an array's text: lists become braces, a string is such a text already.
fn array_field(call: &TypedCall<'_>, of_json: bool) -> Result<Value> {
    call.rows(true, |values| {
        member(values, |text, node| {
            let mut out = String::new();
            match &node.value {
                Json::String(literal) => out.push_str(literal),
                _ => array_text(&mut out, text, node, of_json),
            }
            Ok(Datum::Text(out.into()))
        })
    })
}

fn array_text(out: &mut String, text: &str, node: &Node, of_json: bool) {
    let mut quoted = |item: &str| {
        out.push('"');
        for c in item.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    };
    match &node.value {
        Json::Array(items) => {
            out.push('{');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                array_text(out, text, item, of_json);
            }
            out.push('}');
        }
        Json::Null => out.push_str("NULL"),
        Json::String(item) if !of_json => quoted(item),
        _ => quoted(&text[node.start..node.end]),
    }
}

const fn entry(
    name: &'static str,
    args: &'static [SqlType],
    result: ResultType,
    typed: fn(&TypedCall<'_>) -> Result<Value>,
) -> Scalar {
    let volatility = Volatility::Immutable;
    Scalar {
        name,
        args,
        variadic: false,
        result,
        strict: true,
        volatility,
        eval: untyped,
        typed: Some(typed),
    }
}

use SqlType::{Json as J, Jsonb as B, Text as T};

const TEXT: ResultType = ResultType::Fixed(T);

pub(super) static ENTRIES: &[Scalar] = &[
    entry("json field", &[J, T], JSON, field),
    entry("json field", &[B, T], JSONB, field),
    entry("json has", &[J, T], ResultType::Fixed(SqlType::Bool), has),
    entry("json has", &[B, T], ResultType::Fixed(SqlType::Bool), has),
    entry("json field array", &[J, T], TEXT, |call| array_field(call, false)),
    entry("json field array", &[B, T], TEXT, |call| array_field(call, false)),
    entry("json field of json", &[J, T], TEXT, |call| array_field(call, true)),
    entry("json field of json", &[B, T], TEXT, |call| array_field(call, true)),
];
