//! Functions and operators of arrays: over single values, each array decoded once a row (a constant one once a batch).

use super::{ResultType, Scalar, TypedCall, Value, Volatility, untyped};
use crate::array::{ArrayValue, DIMENSION_COUNT_MAX, Dimension, too_large};
use crate::datum::Datum;
use crate::text;
use crate::types::{Element, SqlType};
use orrery_base::sorting;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

const ANY: SqlType = SqlType::Unknown;
const ARRAY: SqlType = SqlType::ANY_ARRAY;
const INT4_ARRAY: SqlType = match Element::new(SqlType::Int4) {
    Some(element) => SqlType::Array(element),
    None => SqlType::ANY_ARRAY,
};
const TEXT_ARRAY: SqlType = match Element::new(SqlType::Text) {
    Some(element) => SqlType::Array(element),
    None => SqlType::ANY_ARRAY,
};

fn element_error(message: impl Into<String>) -> Error {
    Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
}

fn mismatch() -> Error {
    element_error("multidimensional arrays must have array expressions with matching dimensions")
}

/// The array of a value. Errors: XX000 for any other.
pub fn array_of(value: &Datum) -> Result<&Arc<ArrayValue>> {
    match value {
        Datum::Array(array) => Ok(array),
        _ => Err(Error::internal("an array was planned where there is none")),
    }
}

/// The integer of a value. Errors: XX000 for any other.
pub fn int4_of(value: &Datum) -> Result<i32> {
    match value {
        Datum::Int4(value) => Ok(*value),
        _ => Err(Error::internal("an integer was planned where there is none")),
    }
}

/// The text of a value. Errors: XX000 for any other.
pub fn text_of(value: &Datum) -> Result<&str> {
    match value {
        Datum::Text(value) => Ok(value),
        _ => Err(Error::internal("a text was planned where there is none")),
    }
}

fn datum(array: ArrayValue) -> Datum {
    Datum::Array(Arc::new(array))
}

/// An array of arrays becomes one of a dimension more; an array of others has one. Errors: 2202E.
pub fn build(element: SqlType, items: Vec<Datum>, nested: bool) -> Result<ArrayValue> {
    if !nested {
        return Ok(ArrayValue::of(element, items));
    }
    let mut inner: Option<Vec<Dimension>> = None;
    let mut all = Vec::new();
    let mut count = 0;
    for (index, item) in items.iter().enumerate() {
        let (dimensions, items): (&[Dimension], &[Datum]) = match item {
            Datum::Array(array) => (&array.dimensions, &array.items),
            _ => (&[], &[]),
        };
        match &inner {
            None if index == 0 => inner = Some(dimensions.to_vec()),
            Some(known) if known == dimensions => {}
            _ => return Err(mismatch()),
        }
        all.extend_from_slice(items);
        count += 1;
    }
    let inner = inner.unwrap_or_default();
    if all.is_empty() {
        return Ok(ArrayValue::of(element, Vec::new()));
    }
    if inner.len() >= DIMENSION_COUNT_MAX {
        let message =
            format!("number of array dimensions ({}) exceeds the maximum allowed (6)", inner.len() + 1);
        return Err(too_large(message));
    }
    let mut dimensions = vec![Dimension { length: count, lower: 1 }];
    dimensions.extend(inner);
    Ok(ArrayValue { element: element.base(), dimensions, items: all })
}

fn constructor(call: &TypedCall<'_>) -> Result<Value> {
    let element = call.result.element().unwrap_or(SqlType::Unknown);
    let nested = call.types.iter().any(|ty| matches!(ty, SqlType::Array(_)));
    call.rows(false, |values| build(element, values.to_vec(), nested).map(datum))
}

/// Where the element with these subscripts lies.
fn offset(array: &ArrayValue, subscripts: &[Datum]) -> Result<Option<usize>> {
    if subscripts.len() != array.dimensions.len() {
        return Ok(None);
    }
    let mut at = 0usize;
    for (subscript, dimension) in subscripts.iter().zip(&array.dimensions) {
        let place = i64::from(int4_of(subscript)?) - i64::from(dimension.lower);
        match usize::try_from(place) {
            Ok(place) if place < dimension.length as usize => at = at * dimension.length as usize + place,
            _ => return Ok(None),
        }
    }
    Ok(Some(at))
}

fn element(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| {
        let array = array_of(&values[0])?;
        Ok(offset(array, &values[1..])?.map_or(Datum::Null, |at| array.items[at].clone()))
    })
}

/// The part of an array between bounds, one pair for each of the first dimensions; the others whole.
fn slice(array: &ArrayValue, bounds: &[(Option<i32>, Option<i32>)]) -> ArrayValue {
    let none = || ArrayValue::of(array.element, Vec::new());
    if bounds.len() > array.dimensions.len() || array.dimensions.is_empty() {
        return none();
    }
    let mut ranges = Vec::with_capacity(array.dimensions.len());
    for (index, dimension) in array.dimensions.iter().enumerate() {
        let (lower, upper) = bounds.get(index).copied().unwrap_or((None, None));
        let first = i64::from(lower.unwrap_or(dimension.lower).max(dimension.lower));
        let last = i64::from(upper.unwrap_or(dimension.upper()).min(dimension.upper()));
        if first > last {
            return none();
        }
        let start = (first - i64::from(dimension.lower)) as usize;
        ranges.push((start, (last - first + 1) as usize, dimension.length as usize));
    }
    let total: usize = ranges.iter().map(|range| range.1).product();
    let mut items = Vec::with_capacity(total);
    for number in 0..total {
        let (mut rest, mut at, mut scale) = (number, 0, 1);
        for (start, count, length) in ranges.iter().rev() {
            at += (start + rest % count) * scale;
            rest /= count;
            scale *= length;
        }
        items.push(array.items[at].clone());
    }
    let dimensions = ranges.iter().map(|range| Dimension { length: range.1 as u32, lower: 1 }).collect();
    ArrayValue { element: array.element, dimensions, items }
}

/// Arguments: the array, which bounds are given (bits), how many subscripts, and the bounds.
fn slices(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| {
        let (given, count) = (int4_of(&values[1])?, int4_of(&values[2])?);
        let mut rest = values[3..].iter();
        let mut bounds = Vec::with_capacity(count as usize);
        for place in 0..count {
            let mut side = |side: i32| match given >> (2 * place + side) & 1 {
                1 => rest.next().map(int4_of).transpose(),
                _ => Ok(None),
            };
            bounds.push((side(0)?, side(1)?));
        }
        Ok(datum(slice(array_of(&values[0])?, &bounds)))
    })
}

pub(super) const fn special(name: &'static str, typed: fn(&TypedCall<'_>) -> Result<Value>) -> Scalar {
    Scalar {
        name,
        args: &[],
        variadic: false,
        result: ResultType::Fixed(SqlType::Unknown),
        strict: false,
        volatility: Volatility::Immutable,
        eval: untyped,
        typed: Some(typed),
    }
}

/// `ARRAY[…]`
pub static CONSTRUCTOR: Scalar = special("array", constructor);
/// `a[1]`
pub static ELEMENT: Scalar = special("[]", element);
/// `a[1:2]`
pub static SLICE: Scalar = special("[:]", slices);

// ---- Parts and pieces.

/// The dimension of a number, counted from 1.
fn dimension(array: &ArrayValue, number: i32) -> Option<&Dimension> {
    usize::try_from(number).ok().and_then(|number| array.dimensions.get(number.checked_sub(1)?))
}

fn maybe_int4(value: Option<i32>) -> Datum {
    value.map_or(Datum::Null, Datum::Int4)
}

fn item_key(item: &Datum, element: SqlType) -> Result<Vec<u8>> {
    let mut key = Vec::new();
    crate::encode::push_key(&mut key, item, element, false)?;
    Ok(key)
}

fn append(array: &Datum, item: &Datum, element: SqlType) -> Result<Datum> {
    extend(array, item, element, false)
}

/// An element behind an array, or before it. A NULL array is empty.
fn extend(array: &Datum, item: &Datum, element: SqlType, before: bool) -> Result<Datum> {
    let Datum::Array(array) = array else { return Ok(datum(ArrayValue::of(element, vec![item.clone()]))) };
    if array.dimensions.len() > 1 {
        return Err(Error::new(SqlState::DATA_EXCEPTION, "argument must be empty or one-dimensional array"));
    }
    let mut array = ArrayValue::clone(array);
    match array.dimensions.first_mut() {
        None => return Ok(datum(ArrayValue::of(element, vec![item.clone()]))),
        Some(dimension) => dimension.length += 1,
    }
    if before {
        array.items.insert(0, item.clone());
    } else {
        array.items.push(item.clone());
    }
    Ok(datum(array))
}

fn concatenate(left: &Datum, right: &Datum) -> Result<Datum> {
    let (left, right) = match (left, right) {
        (Datum::Null, other) | (other, Datum::Null) => return Ok(other.clone()),
        (left, right) => (array_of(left)?, array_of(right)?),
    };
    if left.dimensions.is_empty() {
        return Ok(Datum::Array(right.clone()));
    }
    if right.dimensions.is_empty() {
        return Ok(Datum::Array(left.clone()));
    }
    let incompatible = || element_error("cannot concatenate incompatible arrays");
    let same = |a: &[Dimension], b: &[Dimension]| a.iter().zip(b).all(|(a, b)| a.length == b.length);
    let (a, b) = (&left.dimensions, &right.dimensions);
    let dimensions = match a.len() as i64 - b.len() as i64 {
        0 if same(&a[1..], &b[1..]) => {
            let mut dimensions = a.clone();
            dimensions[0].length += b[0].length;
            dimensions
        }
        1 if same(&a[1..], b) => {
            let mut dimensions = a.clone();
            dimensions[0].length += 1;
            dimensions
        }
        -1 if same(a, &b[1..]) => {
            let mut dimensions = b.clone();
            dimensions[0].length += 1;
            dimensions
        }
        _ => return Err(incompatible()),
    };
    let items = left.items.iter().chain(&right.items).cloned().collect();
    Ok(datum(ArrayValue { element: left.element, dimensions, items }))
}

fn one_dimensional(array: &ArrayValue, what: &str) -> Result<()> {
    if array.dimensions.len() > 1 {
        return Err(Error::unsupported(what.to_owned()));
    }
    Ok(())
}

/// The subscripts of the elements that are equal to a value; NULL equals NULL.
fn positions(array: &ArrayValue, wanted: &Datum, from: i32) -> Result<Vec<i32>> {
    one_dimensional(array, "searching for elements in multidimensional arrays is not supported")?;
    let lower = array.dimensions.first().map_or(1, |dimension| dimension.lower);
    let key = item_key(wanted, array.element)?;
    let mut found = Vec::new();
    for (index, item) in array.items.iter().enumerate() {
        let place = lower.wrapping_add(index as i32);
        if place >= from && item_key(item, array.element)? == key {
            found.push(place);
        }
    }
    Ok(found)
}

fn replace(array: &ArrayValue, from: &Datum, to: Option<&Datum>) -> Result<Datum> {
    if to.is_none() {
        one_dimensional(array, "removing elements from multidimensional arrays is not supported")?;
    }
    let key = item_key(from, array.element)?;
    let mut changed = ArrayValue { items: Vec::with_capacity(array.items.len()), ..array.clone() };
    changed.items.clear();
    for item in &array.items {
        if item_key(item, array.element)? != key {
            changed.items.push(item.clone());
        } else if let Some(to) = to {
            changed.items.push(to.clone());
        }
    }
    match changed.dimensions.first_mut() {
        Some(dimension) if to.is_none() => dimension.length = changed.items.len() as u32,
        _ => {}
    }
    if changed.items.is_empty() {
        changed.dimensions.clear();
    }
    Ok(datum(changed))
}

/// Whether all elements of `inner` are elements of `outer`; NULL is an element of nothing.
fn contains(outer: &ArrayValue, inner: &ArrayValue) -> Result<bool> {
    let mut keys = outer.items.iter().map(|it| item_key(it, outer.element)).collect::<Result<Vec<_>>>()?;
    sorting::sort(&mut keys);
    for item in &inner.items {
        if item.is_null() || keys.binary_search(&item_key(item, inner.element)?).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn overlaps(left: &ArrayValue, right: &ArrayValue) -> Result<bool> {
    let mut keys = left.items.iter().map(|it| item_key(it, left.element)).collect::<Result<Vec<_>>>()?;
    sorting::sort(&mut keys);
    for item in right.items.iter().filter(|item| !item.is_null()) {
        if keys.binary_search(&item_key(item, right.element)?).is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn to_string(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(false, |values| {
        let (Datum::Array(array), Datum::Text(separator)) = (&values[0], &values[1]) else {
            return Ok(Datum::Null);
        };
        let null = match values.get(2) {
            Some(Datum::Text(text)) => Some(text),
            _ => None,
        };
        let mut out = String::new();
        let mut first = true;
        for item in &array.items {
            if item.is_null() && null.is_none() {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push_str(separator);
            }
            match (item, null) {
                (Datum::Null, Some(null)) => out.push_str(null),
                (item, _) => text::format_into(&mut out, item, array.element, call.settings()),
            }
        }
        Ok(Datum::Text(out.into()))
    })
}

/// The parts of a text; `None` as the separator: its characters. Parts equal to `null` are NULL.
pub fn split(text: &str, separator: Option<&str>, null: Option<&str>) -> Vec<Datum> {
    let part = |part: &str| {
        if null == Some(part) { Datum::Null } else { Datum::Text(part.into()) }
    };
    match separator {
        _ if text.is_empty() => Vec::new(),
        None => text.chars().map(|c| part(c.encode_utf8(&mut [0; 4]))).collect(),
        Some("") => vec![part(text)],
        Some(separator) => text.split(separator).map(part).collect(),
    }
}

fn string_to_array(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(false, |values| {
        Ok(split_values(values)?.map_or(Datum::Null, |items| datum(ArrayValue::of(SqlType::Text, items))))
    })
}

/// The parts of `string_to_array` and `string_to_table`; `None` for NULL.
pub fn split_values(values: &[Datum]) -> Result<Option<Vec<Datum>>> {
    if values[0].is_null() {
        return Ok(None);
    }
    let separator = if values[1].is_null() { None } else { Some(text_of(&values[1])?) };
    let null = match values.get(2) {
        Some(Datum::Text(text)) => Some(&**text),
        _ => None,
    };
    Ok(Some(split(text_of(&values[0])?, separator, null)))
}

fn fill(call: &TypedCall<'_>) -> Result<Value> {
    let element = call.types[0].base();
    call.rows(false, |values| {
        let whole = |value: Option<&Datum>| -> Result<Option<Vec<i32>>> {
            let Some(value) = value else { return Ok(None) };
            let Datum::Array(array) = value else {
                let message = "dimension array or low bound array cannot be null";
                return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message));
            };
            if array.items.iter().any(Datum::is_null) {
                return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "dimension values cannot be null"));
            }
            array.items.iter().map(int4_of).collect::<Result<Vec<_>>>().map(Some)
        };
        let lengths = whole(values.get(1))?.unwrap_or_default();
        let lowers = whole(values.get(2))?.unwrap_or_else(|| vec![1; lengths.len()]);
        if lowers.len() != lengths.len() {
            return Err(element_error("wrong number of array subscripts")
                .with_detail("Low bound array has different size than dimensions array."));
        }
        if lengths.len() > DIMENSION_COUNT_MAX {
            let message =
                format!("number of array dimensions ({}) exceeds the maximum allowed (6)", lengths.len());
            return Err(too_large(message));
        }
        let total = lengths.iter().try_fold(1usize, |total, length| {
            usize::try_from(*length)
                .ok()
                .and_then(|length| total.checked_mul(length))
                .filter(|it| *it <= 134_217_727)
        });
        let total = total.ok_or_else(|| too_large("array size exceeds the maximum allowed (134217727)"))?;
        if total == 0 || lengths.is_empty() {
            return Ok(datum(ArrayValue::of(element, Vec::new())));
        }
        let dimensions = lengths
            .iter()
            .zip(&lowers)
            .map(|(length, lower)| Dimension { length: *length as u32, lower: *lower });
        let dimensions = dimensions.collect();
        Ok(datum(ArrayValue { element, dimensions, items: vec![values[0].clone(); total] }))
    })
}

fn dims(array: &ArrayValue) -> Datum {
    if array.dimensions.is_empty() {
        return Datum::Null;
    }
    let text: String = array.dimensions.iter().map(|it| format!("[{}:{}]", it.lower, it.upper())).collect();
    Datum::Text(text.into())
}

fn trim_array(array: &ArrayValue, count: i32) -> Result<Datum> {
    let length = array.dimensions.first().map_or(0, |dimension| dimension.length);
    if count < 0 || count as u32 > length {
        let message = format!("number of elements to trim must be between 0 and {length}");
        return Err(element_error(message));
    }
    let upper = array.dimensions.first().map(|dimension| dimension.upper() - count);
    Ok(datum(slice(array, &[(None, upper)])))
}

// ---- The catalogue.

fn first_type(types: &[SqlType]) -> SqlType {
    types[0]
}

fn second_type(types: &[SqlType]) -> SqlType {
    types[1]
}

fn array_of_first(types: &[SqlType]) -> SqlType {
    types[0].base().array().unwrap_or(TEXT_ARRAY)
}

/// A function of single values, which sees NULLs only where it is not strict.
macro_rules! typed {
    ($name:literal, $args:expr, $result:expr, strict $strict:literal, $body:expr) => {
        Scalar {
            name: $name,
            args: $args,
            variadic: false,
            result: $result,
            strict: $strict,
            volatility: Volatility::Immutable,
            eval: untyped,
            typed: Some(|call| {
                let body: fn(&[Datum]) -> Result<Datum> = $body;
                call.rows($strict, body)
            }),
        }
    };
}

const fn whole(
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
        strict: false,
        volatility,
        eval: untyped,
        typed: Some(typed),
    }
}

const FIRST: ResultType = ResultType::From(first_type);
const SECOND: ResultType = ResultType::From(second_type);
const INT4: ResultType = ResultType::Fixed(SqlType::Int4);
const BOOL: ResultType = ResultType::Fixed(SqlType::Bool);
const TEXT: ResultType = ResultType::Fixed(SqlType::Text);

fn appended(call: &TypedCall<'_>) -> Result<Value> {
    let element = call.result.element().unwrap_or(SqlType::Text).base();
    call.rows(false, |values| append(&values[0], &values[1], element))
}

fn prepended(call: &TypedCall<'_>) -> Result<Value> {
    let element = call.result.element().unwrap_or(SqlType::Text).base();
    call.rows(false, |values| extend(&values[1], &values[0], element, true))
}

pub(super) static ENTRIES: &[Scalar] = &[
    typed!("||", &[ARRAY, ARRAY], FIRST, strict false, |values| concatenate(&values[0], &values[1])),
    whole("||", &[ARRAY, ANY], FIRST, appended),
    whole("||", &[ANY, ARRAY], SECOND, prepended),
    typed!("array_cat", &[ARRAY, ARRAY], FIRST, strict false, |values| concatenate(&values[0], &values[1])),
    whole("array_append", &[ARRAY, ANY], FIRST, appended),
    whole("array_prepend", &[ANY, ARRAY], SECOND, prepended),
    typed!("array_length", &[ARRAY, SqlType::Int4], INT4, strict true, |values| {
        let array = array_of(&values[0])?;
        Ok(maybe_int4(dimension(array, int4_of(&values[1])?).map(|it| it.length as i32)))
    }),
    typed!("array_lower", &[ARRAY, SqlType::Int4], INT4, strict true, |values| {
        let array = array_of(&values[0])?;
        Ok(maybe_int4(dimension(array, int4_of(&values[1])?).map(|it| it.lower)))
    }),
    typed!("array_upper", &[ARRAY, SqlType::Int4], INT4, strict true, |values| {
        let array = array_of(&values[0])?;
        Ok(maybe_int4(dimension(array, int4_of(&values[1])?).map(Dimension::upper)))
    }),
    typed!("array_ndims", &[ARRAY], INT4, strict true, |values| {
        let count = array_of(&values[0])?.dimensions.len() as i32;
        Ok(maybe_int4(Some(count).filter(|count| *count > 0)))
    }),
    typed!("array_dims", &[ARRAY], TEXT, strict true, |values| Ok(dims(array_of(&values[0])?))),
    typed!("cardinality", &[ARRAY], INT4, strict true, |values| {
        Ok(Datum::Int4(array_of(&values[0])?.items.len() as i32))
    }),
    typed!("trim_array", &[ARRAY, SqlType::Int4], FIRST, strict true, |values| {
        trim_array(array_of(&values[0])?, int4_of(&values[1])?)
    }),
    typed!("array_position", &[ARRAY, ANY], INT4, strict false, |values| {
        if values[0].is_null() {
            return Ok(Datum::Null);
        }
        Ok(maybe_int4(positions(array_of(&values[0])?, &values[1], i32::MIN)?.first().copied()))
    }),
    typed!("array_position", &[ARRAY, ANY, SqlType::Int4], INT4, strict false, |values| {
        if values[0].is_null() {
            return Ok(Datum::Null);
        }
        if values[2].is_null() {
            return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "initial position must not be null"));
        }
        let from = int4_of(&values[2])?;
        Ok(maybe_int4(positions(array_of(&values[0])?, &values[1], from)?.first().copied()))
    }),
    typed!("array_positions", &[ARRAY, ANY], ResultType::Fixed(INT4_ARRAY), strict false, |values| {
        if values[0].is_null() {
            return Ok(Datum::Null);
        }
        let found = positions(array_of(&values[0])?, &values[1], i32::MIN)?;
        Ok(datum(ArrayValue::of(SqlType::Int4, found.into_iter().map(Datum::Int4).collect())))
    }),
    typed!("array_remove", &[ARRAY, ANY], FIRST, strict false, |values| match &values[0] {
        Datum::Array(array) => replace(array, &values[1], None),
        _ => Ok(Datum::Null),
    }),
    typed!("array_replace", &[ARRAY, ANY, ANY], FIRST, strict false, |values| match &values[0] {
        Datum::Array(array) => replace(array, &values[1], Some(&values[2])),
        _ => Ok(Datum::Null),
    }),
    typed!("@>", &[ARRAY, ARRAY], BOOL, strict true, |values| {
        contains(array_of(&values[0])?, array_of(&values[1])?).map(Datum::Bool)
    }),
    typed!("<@", &[ARRAY, ARRAY], BOOL, strict true, |values| {
        contains(array_of(&values[1])?, array_of(&values[0])?).map(Datum::Bool)
    }),
    typed!("&&", &[ARRAY, ARRAY], BOOL, strict true, |values| {
        overlaps(array_of(&values[0])?, array_of(&values[1])?).map(Datum::Bool)
    }),
    Scalar {
        volatility: Volatility::Stable,
        ..whole("array_to_string", &[ARRAY, SqlType::Text], TEXT, to_string)
    },
    Scalar {
        volatility: Volatility::Stable,
        ..whole("array_to_string", &[ARRAY, SqlType::Text, SqlType::Text], TEXT, to_string)
    },
    whole("string_to_array", &[SqlType::Text, SqlType::Text], ResultType::Fixed(TEXT_ARRAY), string_to_array),
    whole(
        "string_to_array",
        &[SqlType::Text, SqlType::Text, SqlType::Text],
        ResultType::Fixed(TEXT_ARRAY),
        string_to_array,
    ),
    whole("array_fill", &[ANY, INT4_ARRAY], ResultType::From(array_of_first), fill),
    whole("array_fill", &[ANY, INT4_ARRAY, INT4_ARRAY], ResultType::From(array_of_first), fill),
];
