//! `SET a[1] = …` and `SET a[1:2] = …`: an array with an element or a slice put in.
//!
//! As in PostgreSQL, an array of one dimension grows at both ends, NULLs between; one of more does not grow; NULL is an empty array.

use super::arrays::{array_of, int4_of, special};
use super::{Scalar, TypedCall, Value};
use crate::array::{ArrayValue, Dimension, subscript_error, too_large};
use crate::datum::Datum;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

/// The most elements that an array grows to.
const ELEMENT_COUNT_MAX: i64 = 134_217_727;

/// Arguments: the array, the element, the subscripts.
pub static SET_ELEMENT: Scalar = special("[] =", set_elements);
/// Arguments: the array, the elements, which bounds are given (bits), how many subscripts, and the bounds.
pub static SET_SLICE: Scalar = special("[:] =", set_slices);

type Bounds = (Option<i32>, Option<i32>);

fn set_elements(call: &TypedCall<'_>) -> Result<Value> {
    let element = call.result.element().unwrap_or(SqlType::Unknown);
    call.rows(false, |values| {
        let subscripts = values[2..].iter().map(subscript).collect::<Result<Vec<_>>>()?;
        let array = changed(&values[0], element)?;
        set_element(array, &subscripts, &values[1]).map(|array| Datum::Array(Arc::new(array)))
    })
}

fn set_slices(call: &TypedCall<'_>) -> Result<Value> {
    let element = call.result.element().unwrap_or(SqlType::Unknown);
    call.rows(false, |values| {
        let (given, count) = (int4_of(&values[2])?, int4_of(&values[3])?);
        let mut rest = values[4..].iter();
        let mut bounds = Vec::with_capacity(count as usize);
        for place in 0..count {
            let mut side = |side: i32| match given >> (2 * place + side) & 1 {
                1 => rest.next().map(subscript).transpose(),
                _ => Ok(None),
            };
            bounds.push((side(0)?, side(1)?));
        }
        let array = changed(&values[0], element)?;
        let array = match &values[1] {
            Datum::Null => array,
            source => set_slice(array, &bounds, array_of(source)?)?,
        };
        Ok(Datum::Array(Arc::new(array)))
    })
}

fn subscript(value: &Datum) -> Result<i32> {
    match value {
        Datum::Null => {
            let message = "array subscript in assignment must not be null";
            Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message))
        }
        value => int4_of(value),
    }
}

fn changed(value: &Datum, element: SqlType) -> Result<ArrayValue> {
    match value {
        Datum::Null => Ok(ArrayValue::of(element, Vec::new())),
        value => array_of(value).map(|array| ArrayValue::clone(array)),
    }
}

fn wrong_count() -> Error {
    subscript_error("wrong number of array subscripts")
}

fn out_of_range() -> Error {
    subscript_error("array subscript out of range")
}

/// Errors: 54000 for more elements than an array has.
fn check_size(lengths: impl Iterator<Item = i64>) -> Result<i64> {
    let total = lengths.fold(1i64, i64::saturating_mul);
    match (0..=ELEMENT_COUNT_MAX).contains(&total) {
        true => Ok(total),
        false => Err(too_large(format!("array size exceeds the maximum allowed ({ELEMENT_COUNT_MAX})"))),
    }
}

/// Errors: 54000 when the subscript behind the last is no integer.
fn check_bounds(dimensions: &[Dimension]) -> Result<()> {
    for Dimension { length, lower } in dimensions {
        if i64::from(*lower) + i64::from(*length) > i64::from(i32::MAX) {
            return Err(too_large(format!("array lower bound is too large: {lower}")));
        }
    }
    Ok(())
}

/// An array of one dimension so grown that it has these subscripts. Errors: 54000.
fn grow(array: &mut ArrayValue, first: i32, last: i32) -> Result<()> {
    let dimension = array.dimensions[0];
    let (lower, upper) =
        (i64::from(dimension.lower), i64::from(dimension.lower) + i64::from(dimension.length) - 1);
    let before = (lower - i64::from(first)).max(0);
    let after = (i64::from(last) - upper).max(0);
    let length = check_size(std::iter::once(before + i64::from(dimension.length) + after))?;
    let grown = Dimension { length: length as u32, lower: first.min(dimension.lower) };
    check_bounds(&[grown])?;
    array.items.splice(0..0, std::iter::repeat_n(Datum::Null, before as usize));
    array.items.resize(length as usize, Datum::Null);
    array.dimensions[0] = grown;
    Ok(())
}

/// Errors: 2202E, 54000.
fn set_element(mut array: ArrayValue, subscripts: &[i32], value: &Datum) -> Result<ArrayValue> {
    if array.dimensions.is_empty() {
        array.dimensions = subscripts.iter().map(|&lower| Dimension { length: 1, lower }).collect();
        check_bounds(&array.dimensions)?;
        array.items = vec![value.clone()];
        return Ok(array);
    }
    if array.dimensions.len() != subscripts.len() {
        return Err(wrong_count());
    }
    if let [only] = subscripts {
        grow(&mut array, *only, *only)?;
    }
    let mut at = 0;
    for (&subscript, dimension) in subscripts.iter().zip(&array.dimensions) {
        let place = usize::try_from(i64::from(subscript) - i64::from(dimension.lower));
        let place = place.ok().filter(|it| *it < dimension.length as usize).ok_or_else(out_of_range)?;
        at = at * dimension.length as usize + place;
    }
    array.items[at] = value.clone();
    Ok(array)
}

/// Errors: 2202E, 54000.
fn set_slice(mut array: ArrayValue, bounds: &[Bounds], source: &ArrayValue) -> Result<ArrayValue> {
    if array.dimensions.is_empty() {
        return new_slice(array.element, bounds, source);
    }
    if bounds.len() > array.dimensions.len() {
        return Err(wrong_count());
    }
    let is_flat = array.dimensions.len() == 1;
    // First subscripts and lengths.
    let mut ranges = Vec::with_capacity(array.dimensions.len());
    for (place, dimension) in array.dimensions.iter().enumerate() {
        let (lower, upper) = bounds.get(place).copied().unwrap_or_default();
        let (lower, upper) = (lower.unwrap_or(dimension.lower), upper.unwrap_or(dimension.upper()));
        if lower > upper {
            return Err(subscript_error("upper bound cannot be less than lower bound"));
        }
        if !is_flat && (lower < dimension.lower || upper > dimension.upper()) {
            return Err(out_of_range());
        }
        ranges.push((lower, i64::from(upper) - i64::from(lower) + 1));
    }
    let total = check_size(ranges.iter().map(|range| range.1))? as usize;
    if source.items.len() < total {
        return Err(subscript_error("source array too small"));
    }
    if is_flat {
        let (first, length) = ranges[0];
        grow(&mut array, first, (i64::from(first) + length - 1) as i32)?;
    }
    for (number, item) in source.items.iter().take(total).enumerate() {
        let (mut rest, mut at, mut scale) = (number, 0, 1);
        for ((first, length), dimension) in ranges.iter().zip(&array.dimensions).rev() {
            let start = (i64::from(*first) - i64::from(dimension.lower)) as usize;
            at += (start + rest % *length as usize) * scale;
            rest /= *length as usize;
            scale *= dimension.length as usize;
        }
        array.items[at] = item.clone();
    }
    Ok(array)
}

/// A slice put into an empty array.
fn new_slice(element: SqlType, bounds: &[Bounds], source: &ArrayValue) -> Result<ArrayValue> {
    let mut dimensions = Vec::with_capacity(bounds.len());
    for bound in bounds {
        let (Some(lower), Some(upper)) = *bound else {
            return Err(subscript_error("array slice subscript must provide both boundaries").with_detail(
                "When assigning to a slice of an empty array value, slice boundaries must be fully specified.",
            ));
        };
        let length = i64::from(upper) - i64::from(lower) + 1;
        check_size(std::iter::once(length))?;
        dimensions.push(Dimension { length: length as u32, lower });
    }
    let total = check_size(dimensions.iter().map(|it| i64::from(it.length)))? as usize;
    if source.items.len() < total {
        return Err(subscript_error("source array too small"));
    }
    if total == 0 {
        return Ok(ArrayValue::of(element, Vec::new()));
    }
    check_bounds(&dimensions)?;
    Ok(ArrayValue { element, dimensions, items: source.items[..total].to_vec() })
}
