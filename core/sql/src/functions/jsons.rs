//! Operators and functions of `json` and `jsonb`. A part of a value is a part of its text: what `->` gives is cut out, not
//! written anew, which for `jsonb` is its normal form again.

use super::arrays::{array_of, int4_of, text_of};
use super::json_build::{build_array, build_object, object_of_texts, to_json};
use super::{Scalar, TypedCall, Value, Volatility, typed_entry as entry};
use crate::datum::Datum;
use crate::json::{self, Node, Value as Json};
use crate::types::{Element, SqlType};
use orrery_base::sorting;
use orrery_base::{Error, Result, SqlState};

const TEXT_ARRAY: SqlType = match Element::new(SqlType::Text) {
    Some(element) => SqlType::Array(element),
    None => SqlType::ANY_ARRAY,
};

pub(super) fn bad(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// The text of a json or jsonb.
pub(super) fn source(value: &Datum) -> Result<&str> {
    match value {
        Datum::Text(text) | Datum::Jsonb(text) => Ok(text),
        _ => Err(Error::internal("a json was planned where there is none")),
    }
}

/// A text as a value of the type of `like`.
fn alike(like: &Datum, text: &str) -> Datum {
    match like {
        Datum::Jsonb(_) => Datum::Jsonb(text.into()),
        _ => Datum::Text(text.into()),
    }
}

fn jsonb(node: Node) -> Datum {
    Datum::Jsonb(json::to_text(&node).into())
}

/// A part as its own text, or (`plain`) as plain text, of which null is NULL.
pub(super) fn part(whole: &Datum, found: Option<&Node>, plain: bool) -> Result<Datum> {
    let text = source(whole)?;
    Ok(match found {
        None => Datum::Null,
        Some(node) if plain => plain_text(text, node),
        Some(node) => alike(whole, &text[node.start..node.end]),
    })
}

fn plain_text(text: &str, node: &Node) -> Datum {
    match &node.value {
        Json::Null => Datum::Null,
        Json::String(text) => Datum::Text(text.as_str().into()),
        _ => Datum::Text(text[node.start..node.end].into()),
    }
}

fn member(values: &[Datum], plain: bool) -> Result<Datum> {
    let node = json::parse(source(&values[0])?)?;
    part(&values[0], node.member(text_of(&values[1])?), plain)
}

fn element(values: &[Datum], plain: bool) -> Result<Datum> {
    let node = json::parse(source(&values[0])?)?;
    part(&values[0], node.element(int4_of(&values[1])?.into()), plain)
}

/// The texts of a path; `None` when one is NULL.
fn path_of(value: &Datum) -> Result<Option<Vec<&str>>> {
    let array = array_of(value)?;
    if array.items.iter().any(Datum::is_null) {
        return Ok(None);
    }
    array.items.iter().map(text_of).collect::<Result<Vec<_>>>().map(Some)
}

fn step<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    match &node.value {
        Json::Object(_) => node.member(name),
        Json::Array(_) => node.element(name.trim().parse().ok()?),
        _ => None,
    }
}

fn at_path(values: &[Datum], plain: bool) -> Result<Datum> {
    let Some(path) = path_of(&values[1])? else { return Ok(Datum::Null) };
    let node = json::parse(source(&values[0])?)?;
    let found = path.iter().try_fold(&node, |node, name| step(node, name));
    part(&values[0], found, plain)
}

/// `json_extract_path`: the path in arguments of its own.
pub(super) fn extract_path(call: &TypedCall<'_>, plain: bool) -> Result<Value> {
    call.rows(true, |values| {
        let node = json::parse(source(&values[0])?)?;
        let mut found = Some(&node);
        for name in &values[1..] {
            let name = text_of(name)?;
            found = found.and_then(|node| step(node, name));
        }
        part(&values[0], found, plain)
    })
}

// ---- Comparisons.

fn equal(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Json::Number(a), Json::Number(b)) => {
            a == b
                || matches!((a.parse::<orrery_row::numeric::Numeric>(), b.parse()), (Ok(a), Ok(b)) if a == b)
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && equal(&a.1, &b.1))
        }
        (a, b) => a == b,
    }
}

fn is_container(node: &Node) -> bool {
    matches!(node.value, Json::Array(_) | Json::Object(_))
}

fn contains(outer: &Node, inner: &Node, is_top: bool) -> bool {
    match (&outer.value, &inner.value) {
        (Json::Object(_), Json::Object(members)) => members.iter().all(|(key, wanted)| {
            outer.member(key).is_some_and(|found| {
                if is_container(wanted) { contains(found, wanted, false) } else { equal(found, wanted) }
            })
        }),
        (Json::Array(items), Json::Array(wanted)) => wanted.iter().all(|wanted| {
            items.iter().any(|item| {
                if is_container(wanted) { contains(item, wanted, false) } else { equal(item, wanted) }
            })
        }),
        (Json::Array(items), _) if is_top && !is_container(inner) => {
            items.iter().any(|item| equal(item, inner))
        }
        _ => !is_container(outer) && !is_container(inner) && equal(outer, inner),
    }
}

fn has_key(node: &Node, wanted: &str) -> bool {
    match &node.value {
        Json::Object(_) => node.member(wanted).is_some(),
        Json::Array(items) => items.iter().any(|item| item.value == Json::String(wanted.to_owned())),
        Json::String(text) => text == wanted,
        _ => false,
    }
}

fn has_keys(values: &[Datum], all: bool) -> Result<Datum> {
    let node = json::parse(source(&values[0])?)?;
    let wanted = &array_of(&values[1])?.items;
    let mut wanted = wanted.iter().filter(|key| !key.is_null()).map(text_of);
    Ok(Datum::Bool(if all {
        wanted.try_fold(true, |all, key| key.map(|key| all && has_key(&node, key)))?
    } else {
        wanted.try_fold(false, |any, key| key.map(|key| any || has_key(&node, key)))?
    }))
}

// ---- Changes.

fn concatenate(values: &[Datum]) -> Result<Datum> {
    let (left, right) = (json::parse(source(&values[0])?)?, json::parse(source(&values[1])?)?);
    let items = |node: Node| match node.value {
        Json::Array(items) => items,
        _ => vec![node],
    };
    let both = match (left, right) {
        (Node { value: Json::Object(mut a), .. }, Node { value: Json::Object(b), .. }) => {
            a.extend(b);
            return json::normal_text(Json::Object(a).into()).map(|text| Datum::Jsonb(text.into()));
        }
        (a, b) => items(a).into_iter().chain(items(b)).collect(),
    };
    Ok(jsonb(Json::Array(both).into()))
}

fn delete_keys(value: &Datum, keys: &[&str]) -> Result<Datum> {
    let mut node = json::parse(source(value)?)?;
    match &mut node.value {
        Json::Object(members) => members.retain(|(key, _)| !keys.contains(&key.as_str())),
        Json::Array(items) => {
            items.retain(|item| !matches!(&item.value, Json::String(text) if keys.contains(&text.as_str())));
        }
        _ => return Err(bad("cannot delete from scalar")),
    }
    Ok(jsonb(node))
}

fn delete_element(value: &Datum, index: i32) -> Result<Datum> {
    let mut node = json::parse(source(value)?)?;
    match &mut node.value {
        Json::Object(_) => return Err(bad("cannot delete from object using integer index")),
        Json::Array(items) => {
            if let Some(place) = place_of(index, items.len()).filter(|place| *place < items.len()) {
                items.remove(place);
            }
        }
        _ => return Err(bad("cannot delete from scalar")),
    }
    Ok(jsonb(node))
}

/// An index counted from the end when negative; `None` before the beginning.
fn place_of(index: i32, length: usize) -> Option<usize> {
    let index = i64::from(index);
    usize::try_from(if index < 0 { index + length as i64 } else { index }).ok()
}

/// What is done at the end of a path.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    Delete,
    /// Replace; create what is not there, if asked.
    Set {
        create: bool,
    },
    Insert {
        after: bool,
    },
}

fn change_at(node: &mut Node, path: &[&str], depth: usize, change: Change, new: Option<&Node>) -> Result<()> {
    let Some((name, rest)) = path.split_first() else { return Ok(()) };
    let is_last = rest.is_empty();
    match &mut node.value {
        Json::Object(members) => {
            let place = members.iter().position(|(key, _)| key == name);
            match (place, is_last, new) {
                (Some(place), false, _) => {
                    return change_at(&mut members[place].1, rest, depth + 1, change, new);
                }
                (None, false, _) => {}
                (Some(place), true, new) => match (change, new) {
                    (Change::Delete, _) => drop(members.remove(place)),
                    (Change::Set { .. }, Some(new)) => members[place].1 = new.clone(),
                    (Change::Insert { .. }, _) => {
                        return Err(bad("cannot replace existing key")
                            .with_hint("Try using the function jsonb_set to replace key value."));
                    }
                    _ => {}
                },
                (None, true, Some(new)) if change != (Change::Set { create: false }) => {
                    members.push(((*name).to_owned(), new.clone()));
                    sorting::sort_by(members, |(a, _), (b, _)| json::key_order(a, b));
                }
                (None, true, _) => {}
            }
            Ok(())
        }
        Json::Array(items) => {
            let index: i32 = name.trim().parse().map_err(|_| {
                let message = format!("path element at position {} is not an integer: \"{name}\"", depth + 1);
                Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
            })?;
            let place = place_of(index, items.len());
            let inside = place.filter(|place| *place < items.len());
            match (inside, is_last) {
                (Some(place), false) => change_at(&mut items[place], rest, depth + 1, change, new),
                (None, false) => Ok(()),
                (inside, true) => {
                    change_element(items, inside, index, change, new);
                    Ok(())
                }
            }
        }
        // Scalars have nothing inside.
        _ => Ok(()),
    }
}

fn change_element(
    items: &mut Vec<Node>,
    inside: Option<usize>,
    index: i32,
    change: Change,
    new: Option<&Node>,
) {
    match (change, inside, new) {
        (Change::Delete, Some(place), _) => drop(items.remove(place)),
        (Change::Set { .. }, Some(place), Some(new)) => items[place] = new.clone(),
        (Change::Insert { after }, Some(place), Some(new)) => {
            items.insert(place + usize::from(after), new.clone());
        }
        (Change::Set { create: true } | Change::Insert { .. }, None, Some(new)) => {
            items.insert(if index < 0 { 0 } else { items.len() }, new.clone());
        }
        _ => {}
    }
}

fn changed(values: &[Datum], change: Change) -> Result<Datum> {
    let path = path_of(&values[1])?;
    let path = path.ok_or_else(|| {
        let position =
            array_of(&values[1]).map_or(0, |array| array.items.iter().position(Datum::is_null).unwrap_or(0));
        Error::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            format!("path element at position {} is null", position + 1),
        )
    })?;
    let mut node = json::parse(source(&values[0])?)?;
    if !is_container(&node) {
        let verb = if change == Change::Delete { "delete" } else { "set" };
        return Err(bad(format!("cannot {verb} path in scalar")));
    }
    let new = match (change, values.get(2)) {
        (Change::Delete, _) | (_, None) => None,
        (_, Some(new)) => Some(json::parse(source(new)?)?),
    };
    change_at(&mut node, &path, 0, change, new.as_ref())?;
    Ok(jsonb(node))
}

fn flag(values: &[Datum], index: usize, default: bool) -> bool {
    match values.get(index) {
        Some(Datum::Bool(value)) => *value,
        _ => default,
    }
}

fn strip_nulls(node: &mut Node) {
    match &mut node.value {
        Json::Object(members) => {
            members.retain(|(_, value)| value.value != Json::Null);
            members.iter_mut().for_each(|(_, value)| strip_nulls(value));
        }
        Json::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// Without any blank.
fn write_tight(into: &mut String, node: &Node) {
    match &node.value {
        Json::Array(items) => {
            into.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                write_tight(into, item);
            }
            into.push(']');
        }
        Json::Object(members) => {
            into.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                json::quote(into, key);
                into.push(':');
                write_tight(into, value);
            }
            into.push('}');
        }
        _ => json::write(into, node),
    }
}

fn array_length(values: &[Datum]) -> Result<Datum> {
    let node = json::parse(source(&values[0])?)?;
    match &node.value {
        Json::Array(items) => Ok(Datum::Int4(items.len() as i32)),
        Json::Object(_) => Err(bad("cannot get array length of a non-array")),
        _ => Err(bad("cannot get array length of a scalar")),
    }
}

// ---- The catalogue.

/// A strict function of single values.
macro_rules! plain {
    ($name:literal, [$($arg:expr),*] => $result:expr, $body:expr) => {
        entry($name, &[$($arg),*], $result, true, |call| {
            let body: fn(&[Datum]) -> Result<Datum> = $body;
            call.rows(true, body)
        })
    };
}

/// What there is of json and of jsonb alike.
macro_rules! both {
    ($ty:expr, $binary:literal, $typeof:literal, $length:literal, $strip:literal, $path:literal, $path_text:literal,
     $build_array:literal, $build_object:literal, $to:literal, $object:literal) => { [
        plain!("->", [$ty, SqlType::Text] => $ty, |values| member(values, false)),
        plain!("->", [$ty, SqlType::Int4] => $ty, |values| element(values, false)),
        plain!("->>", [$ty, SqlType::Text] => SqlType::Text, |values| member(values, true)),
        plain!("->>", [$ty, SqlType::Int4] => SqlType::Text, |values| element(values, true)),
        plain!("#>", [$ty, TEXT_ARRAY] => $ty, |values| at_path(values, false)),
        plain!("#>>", [$ty, TEXT_ARRAY] => SqlType::Text, |values| at_path(values, true)),
        plain!($typeof, [$ty] => SqlType::Text, |values| {
            Ok(Datum::Text(json::parse(source(&values[0])?)?.type_name().into()))
        }),
        plain!($length, [$ty] => SqlType::Int4, array_length),
        plain!($strip, [$ty] => $ty, |values| {
            let mut node = json::parse(source(&values[0])?)?;
            strip_nulls(&mut node);
            let mut text = String::new();
            if $binary { json::write(&mut text, &node) } else { write_tight(&mut text, &node) }
            Ok(alike(&values[0], &text))
        }),
        Scalar { variadic: true, ..entry($path, &[$ty, SqlType::Text], $ty, true, |call| extract_path(call, false)) },
        Scalar {
            variadic: true,
            ..entry($path_text, &[$ty, SqlType::Text], SqlType::Text, true, |call| extract_path(call, true))
        },
        Scalar {
            variadic: true,
            volatility: Volatility::Stable,
            ..entry($build_array, &[SqlType::Unknown], $ty, false, |call| build_array(call, $binary))
        },
        entry($build_array, &[], $ty, false, |call| build_array(call, $binary)),
        Scalar {
            variadic: true,
            volatility: Volatility::Stable,
            ..entry($build_object, &[SqlType::Unknown], $ty, false, |call| build_object(call, $binary))
        },
        entry($build_object, &[], $ty, false, |call| build_object(call, $binary)),
        Scalar {
            volatility: Volatility::Stable,
            ..entry($to, &[SqlType::Unknown], $ty, true, |call| to_json(call, $binary))
        },
        plain!($object, [TEXT_ARRAY] => $ty, |values| object_of_texts(values, $binary)),
        plain!($object, [TEXT_ARRAY, TEXT_ARRAY] => $ty, |values| object_of_texts(values, $binary)),
    ] };
}

pub(super) static JSON: [Scalar; 18] = both!(
    SqlType::Json,
    false,
    "json_typeof",
    "json_array_length",
    "json_strip_nulls",
    "json_extract_path",
    "json_extract_path_text",
    "json_build_array",
    "json_build_object",
    "to_json",
    "json_object"
);

pub(super) static JSONB: [Scalar; 18] = both!(
    SqlType::Jsonb,
    true,
    "jsonb_typeof",
    "jsonb_array_length",
    "jsonb_strip_nulls",
    "jsonb_extract_path",
    "jsonb_extract_path_text",
    "jsonb_build_array",
    "jsonb_build_object",
    "to_jsonb",
    "jsonb_object"
);

use SqlType::{Bool, Int4, Jsonb, Text};

pub(super) static ENTRIES: &[Scalar] = &[
    plain!("@>", [Jsonb, Jsonb] => Bool, |values| {
        Ok(Datum::Bool(contains(&json::parse(source(&values[0])?)?, &json::parse(source(&values[1])?)?, true)))
    }),
    plain!("<@", [Jsonb, Jsonb] => Bool, |values| {
        Ok(Datum::Bool(contains(&json::parse(source(&values[1])?)?, &json::parse(source(&values[0])?)?, true)))
    }),
    plain!("?", [Jsonb, Text] => Bool, |values| {
        Ok(Datum::Bool(has_key(&json::parse(source(&values[0])?)?, text_of(&values[1])?)))
    }),
    plain!("?|", [Jsonb, TEXT_ARRAY] => Bool, |values| has_keys(values, false)),
    plain!("?&", [Jsonb, TEXT_ARRAY] => Bool, |values| has_keys(values, true)),
    plain!("||", [Jsonb, Jsonb] => Jsonb, concatenate),
    plain!("-", [Jsonb, Text] => Jsonb, |values| delete_keys(&values[0], &[text_of(&values[1])?])),
    plain!("-", [Jsonb, Int4] => Jsonb, |values| delete_element(&values[0], int4_of(&values[1])?)),
    plain!("-", [Jsonb, TEXT_ARRAY] => Jsonb, |values| {
        let keys = array_of(&values[1])?.items.iter().filter(|key| !key.is_null()).map(text_of);
        delete_keys(&values[0], &keys.collect::<Result<Vec<_>>>()?)
    }),
    plain!("#-", [Jsonb, TEXT_ARRAY] => Jsonb, |values| changed(values, Change::Delete)),
    plain!("jsonb_delete_path", [Jsonb, TEXT_ARRAY] => Jsonb, |values| changed(values, Change::Delete)),
    plain!("jsonb_set", [Jsonb, TEXT_ARRAY, Jsonb] => Jsonb, |values| changed(values, Change::Set { create: true })),
    plain!("jsonb_set", [Jsonb, TEXT_ARRAY, Jsonb, Bool] => Jsonb, |values| {
        changed(values, Change::Set { create: flag(values, 3, true) })
    }),
    plain!("jsonb_insert", [Jsonb, TEXT_ARRAY, Jsonb] => Jsonb, |values| {
        changed(values, Change::Insert { after: false })
    }),
    plain!("jsonb_insert", [Jsonb, TEXT_ARRAY, Jsonb, Bool] => Jsonb, |values| {
        changed(values, Change::Insert { after: flag(values, 3, false) })
    }),
    plain!("jsonb_pretty", [Jsonb] => Text, |values| {
        let mut text = String::new();
        json::write_pretty(&mut text, &json::parse(source(&values[0])?)?, 0);
        Ok(Datum::Text(text.into()))
    }),
    Scalar {
        volatility: Volatility::Stable,
        ..entry("array_to_json", &[SqlType::ANY_ARRAY], SqlType::Json, true, |call| to_json(call, false))
    },
];
