//! Rows out of arrays: by number, by mask, end to end, or from several arrays in turn. Arrow's own kernels do the same for every
//! type that Arrow has, with code for each pair of them; ours have seven layouts, and a page waits for every byte of code.
//!
//! - G1: an array made here has the type of those it was made of, which is one of [`SqlType::arrow`]'s.
//! - G2: a value is copied whole, so text stays UTF-8.
//!
//! [`SqlType::arrow`]: crate::types::SqlType::arrow

#![allow(unsafe_code, reason = "texts copied whole out of texts need no second look for UTF-8 (G2)")]

use arrow_array::cast::AsArray;
use arrow_array::types as arrow;
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, GenericByteArray,
    NullArray, PrimitiveArray, StringArray, UInt32Array,
};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

/// Rows that follow one another in one of the arrays.
struct Range {
    part: usize,
    start: usize,
    len: usize,
}

/// Which rows, in which order.
enum Picks<'a> {
    /// Of the first array, by number; NULL where the number is.
    Rows(&'a [u32], Option<&'a NullBuffer>),
    /// By array and number.
    Places(&'a [(usize, usize)]),
    /// Runs of rows.
    Ranges(&'a [Range]),
}

/// The rows of these numbers; NULL where a number is NULL.
pub fn take(array: &dyn Array, rows: &UInt32Array) -> Result<ArrayRef> {
    let nulls = rows.nulls().filter(|nulls| nulls.null_count() > 0);
    gather(&[array], &Picks::Rows(rows.values(), nulls))
}

/// Rows of several arrays of one type: by array and number.
pub fn interleave(parts: &[&dyn Array], places: &[(usize, usize)]) -> Result<ArrayRef> {
    gather(parts, &Picks::Places(places))
}

/// Arrays of one type, end to end; at least one.
pub fn concat(parts: &[&dyn Array]) -> Result<ArrayRef> {
    let whole = |(part, array): (usize, &&dyn Array)| Range { part, start: 0, len: array.len() };
    let ranges: Vec<Range> = parts.iter().enumerate().map(whole).collect();
    gather(parts, &Picks::Ranges(&ranges))
}

/// The rows that a mask selects; a NULL selects nothing.
pub fn filter(array: &dyn Array, mask: &BooleanArray) -> Result<ArrayRef> {
    Selection::of(mask).filter(array)
}

/// The rows that a mask selects, found once for all columns of a batch.
pub struct Selection {
    row_count: usize,
    chosen: Chosen,
}

enum Chosen {
    Rows(Vec<u32>),
    Ranges(Vec<Range>),
}

/// Where most rows stay, runs of them are copied: one row in so many may go.
const DENSE_SHARE: usize = 5;

impl Selection {
    /// See the type; a NULL selects nothing.
    pub fn of(mask: &BooleanArray) -> Selection {
        let both = mask.nulls().map(|nulls| mask.values() & nulls.inner());
        let bits = both.as_ref().unwrap_or_else(|| mask.values());
        let row_count = bits.count_set_bits();
        let is_dense = row_count >= bits.len() - bits.len() / DENSE_SHARE;
        let chosen = if is_dense {
            let run = |(start, end): (usize, usize)| Range { part: 0, start, len: end - start };
            Chosen::Ranges(bits.set_slices().map(run).collect())
        } else {
            let mut rows = Vec::with_capacity(row_count);
            rows.extend(bits.set_indices().map(|row| row as u32));
            Chosen::Rows(rows)
        };
        Selection { row_count, chosen }
    }

    /// How many rows it selects.
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// They, out of an array as long as the mask.
    pub fn filter(&self, array: &dyn Array) -> Result<ArrayRef> {
        match &self.chosen {
            Chosen::Rows(rows) => gather(&[array], &Picks::Rows(rows, None)),
            Chosen::Ranges(ranges) => gather(&[array], &Picks::Ranges(ranges)),
        }
    }
}

impl Picks<'_> {
    fn len(&self) -> usize {
        match self {
            Picks::Rows(rows, _) => rows.len(),
            Picks::Places(places) => places.len(),
            Picks::Ranges(ranges) => ranges.iter().map(|range| range.len).sum(),
        }
    }
}

fn gather(parts: &[&dyn Array], picks: &Picks<'_>) -> Result<ArrayRef> {
    let ty = parts.first().ok_or_else(|| Error::internal("rows of no array"))?.data_type();
    if let Some(other) = parts.iter().find(|part| part.data_type() != ty) {
        return Err(Error::internal(format!("rows of {ty} and of {} in one array", other.data_type())));
    }
    let nulls = nulls(parts, picks);
    Ok(match ty {
        DataType::Null => Arc::new(NullArray::new(picks.len())),
        DataType::Boolean => {
            let of: Vec<_> = parts.iter().map(|part| Some(part.as_boolean().values())).collect();
            Arc::new(BooleanArray::new(bits(&of, picks), nulls))
        }
        DataType::Int16 => primitive::<arrow::Int16Type>(parts, picks, nulls),
        DataType::Int32 => primitive::<arrow::Int32Type>(parts, picks, nulls),
        DataType::Int64 => primitive::<arrow::Int64Type>(parts, picks, nulls),
        DataType::Float32 => primitive::<arrow::Float32Type>(parts, picks, nulls),
        DataType::Float64 => primitive::<arrow::Float64Type>(parts, picks, nulls),
        DataType::Date32 => primitive::<arrow::Date32Type>(parts, picks, nulls),
        DataType::Time64(_) => primitive::<arrow::Time64MicrosecondType>(parts, picks, nulls),
        DataType::Timestamp(..) => primitive::<arrow::TimestampMicrosecondType>(parts, picks, nulls),
        DataType::Decimal128(..) => primitive::<arrow::Decimal128Type>(parts, picks, nulls),
        DataType::FixedSizeBinary(16) => {
            let bytes = parts.iter().map(|part| part.as_fixed_size_binary().value_data());
            let of: Vec<&[[u8; 16]]> = bytes.map(|bytes| bytes.as_chunks::<16>().0).collect();
            let bytes = Buffer::from_vec(fixed(&of, picks).into_flattened());
            Arc::new(FixedSizeBinaryArray::new(16, bytes, nulls))
        }
        DataType::Binary => {
            let of: Vec<_> = parts.iter().map(|part| strings_of(part.as_binary::<i32>())).collect();
            let (ends, bytes) = strings(&of, picks)?;
            Arc::new(BinaryArray::new(ends, bytes, nulls))
        }
        DataType::Utf8 => {
            let of: Vec<_> = parts.iter().map(|part| strings_of(part.as_string::<i32>())).collect();
            let (ends, bytes) = strings(&of, picks)?;
            // SAFETY: each value is one of `parts`, whole (G2), so it is UTF-8; the ends ascend and the last is where the bytes end.
            Arc::new(unsafe { StringArray::new_unchecked(ends, bytes, nulls) })
        }
        other => return Err(Error::internal(format!("rows of an array of {other}"))),
    })
}

/// Which rows of the answer are not NULL; `None` for all.
fn nulls(parts: &[&dyn Array], picks: &Picks<'_>) -> Option<NullBuffer> {
    let has_nulls = parts.iter().any(|part| part.nulls().is_some_and(|nulls| nulls.null_count() > 0));
    if !has_nulls && !matches!(picks, Picks::Rows(_, Some(_))) {
        return None;
    }
    let valid: Vec<_> = parts.iter().map(|part| part.nulls().map(NullBuffer::inner)).collect();
    Some(NullBuffer::new(bits(&valid, picks))).filter(|nulls| nulls.null_count() > 0)
}

/// Bits of bitmaps; where there is none all are set. Unset where the number of a row is NULL.
fn bits(parts: &[Option<&BooleanBuffer>], picks: &Picks<'_>) -> BooleanBuffer {
    let bit = |part: usize, row: usize| parts[part].is_none_or(|bits| bits.value(row));
    match picks {
        Picks::Rows(rows, None) => BooleanBuffer::collect_bool(rows.len(), |at| bit(0, rows[at] as usize)),
        Picks::Rows(rows, Some(nulls)) => {
            BooleanBuffer::collect_bool(rows.len(), |at| nulls.is_valid(at) && bit(0, rows[at] as usize))
        }
        Picks::Places(places) => {
            BooleanBuffer::collect_bool(places.len(), |at| bit(places[at].0, places[at].1))
        }
        Picks::Ranges(ranges) => {
            let mut all = BooleanBufferBuilder::new(picks.len());
            for range in *ranges {
                match parts[range.part] {
                    Some(bits) => all.append_buffer(&bits.slice(range.start, range.len)),
                    None => all.append_n(range.len, true),
                }
            }
            all.finish()
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(
    parts: &[&dyn Array],
    picks: &Picks<'_>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let of: Vec<&[T::Native]> = parts.iter().map(|part| &**part.as_primitive::<T>().values()).collect();
    let array = PrimitiveArray::<T>::new(ScalarBuffer::from(fixed(&of, picks)), nulls);
    Arc::new(array.with_data_type(parts[0].data_type().clone()))
}

/// Values of one width. What stands where the answer is NULL is of no account.
#[inline(never)]
fn fixed<N: Copy + Default>(parts: &[&[N]], picks: &Picks<'_>) -> Vec<N> {
    match picks {
        Picks::Rows(rows, None) => {
            let part = parts[0];
            rows.iter().map(|&row| part[row as usize]).collect()
        }
        Picks::Rows(rows, Some(_)) => {
            let part = parts[0];
            rows.iter().map(|&row| part.get(row as usize).copied().unwrap_or_default()).collect()
        }
        Picks::Places(places) => places.iter().map(|&(part, row)| parts[part][row]).collect(),
        Picks::Ranges(ranges) => {
            let mut values = Vec::with_capacity(picks.len());
            for range in *ranges {
                values.extend_from_slice(&parts[range.part][range.start..range.start + range.len]);
            }
            values
        }
    }
}

/// Strings of bytes: where each ends, and where the first begins; all of them.
type Strings<'a> = (&'a [i32], &'a [u8]);

fn strings_of<T: arrow::ByteArrayType<Offset = i32>>(array: &GenericByteArray<T>) -> Strings<'_> {
    (array.value_offsets(), array.values())
}

fn too_long() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a batch of values is longer than 2 GB")
}

fn strings(parts: &[Strings<'_>], picks: &Picks<'_>) -> Result<(OffsetBuffer<i32>, Buffer)> {
    let range_of = |part: usize, row: usize| {
        let ends = parts[part].0;
        ends[row] as usize..ends[row + 1] as usize
    };
    match picks {
        Picks::Rows(rows, None) => {
            one_by_one(rows.iter().map(|&row| (parts[0].1, range_of(0, row as usize))))
        }
        Picks::Rows(rows, Some(nulls)) => {
            let range = |(at, &row): (usize, &u32)| {
                if nulls.is_valid(at) { range_of(0, row as usize) } else { 0..0 }
            };
            one_by_one(rows.iter().enumerate().map(|pick| (parts[0].1, range(pick))))
        }
        Picks::Places(places) => {
            one_by_one(places.iter().map(|&(part, row)| (parts[part].1, range_of(part, row))))
        }
        Picks::Ranges(ranges) => runs(parts, ranges, picks.len()),
    }
}

fn one_by_one<'a>(
    values: impl Iterator<Item = (&'a [u8], std::ops::Range<usize>)> + Clone,
) -> Result<(OffsetBuffer<i32>, Buffer)> {
    let mut end = 0;
    let mut ends = Vec::with_capacity(values.size_hint().0 + 1);
    ends.push(0);
    for (_, range) in values.clone() {
        end += range.len();
        // Past the largest it wraps, and then is refused.
        ends.push(end as i32);
    }
    i32::try_from(end).map_err(|_| too_long())?;
    let mut bytes = Vec::with_capacity(end);
    for (part, range) in values {
        bytes.extend_from_slice(&part[range]);
    }
    Ok((OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(bytes)))
}

fn runs(parts: &[Strings<'_>], ranges: &[Range], len: usize) -> Result<(OffsetBuffer<i32>, Buffer)> {
    let span = |range: &Range| {
        let ends = &parts[range.part].0[range.start..=range.start + range.len];
        (ends, ends[0] as usize..ends[range.len] as usize)
    };
    let byte_count: usize = ranges.iter().map(|range| span(range).1.len()).sum();
    i32::try_from(byte_count).map_err(|_| too_long())?;
    let (mut ends, mut bytes) = (Vec::with_capacity(len + 1), Vec::with_capacity(byte_count));
    ends.push(0);
    for range in ranges {
        let (from, within) = span(range);
        let (base, first) = (bytes.len() as i32, from[0]);
        ends.extend(from[1..].iter().map(|end| end - first + base));
        bytes.extend_from_slice(&parts[range.part].1[within]);
    }
    Ok((OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{array_of, datum_at};
    use crate::datum::{Datum, Interval};
    use crate::types::SqlType;

    /// For each layout some values, NULLs among them.
    fn columns() -> Vec<(SqlType, Vec<Datum>)> {
        let of = |make: &dyn Fn(i32) -> Datum| -> Vec<Datum> {
            (0..40).map(|n| if n % 7 == 3 { Datum::Null } else { make(n) }).collect()
        };
        let decimal = SqlType::Decimal { precision: 9, scale: 2 };
        let interval = |n| Datum::Interval(Interval { months: n, days: -n, micros: i64::from(n) });
        vec![
            (SqlType::Unknown, vec![Datum::Null; 40]),
            (SqlType::Bool, of(&|n| Datum::Bool(n % 3 == 0))),
            (SqlType::Int2, of(&|n| Datum::Int2(n as i16))),
            (SqlType::Int4, of(&Datum::Int4)),
            (SqlType::Int8, of(&|n| Datum::Int8(n.into()))),
            (SqlType::Float4, of(&|n| Datum::Float4(n as f32))),
            (SqlType::Float8, of(&|n| Datum::Float8(n.into()))),
            (decimal, of(&|n| Datum::Numeric(format!("{n}.25").parse().unwrap()))),
            (SqlType::Date, of(&Datum::Date)),
            (SqlType::Time, of(&|n| Datum::Time(n.into()))),
            (SqlType::Timestamptz, of(&|n| Datum::Timestamptz(n.into()))),
            (SqlType::Interval, of(&interval)),
            (SqlType::Text, of(&|n| Datum::Text("ä".repeat(n as usize % 5).into()))),
            (SqlType::Bytea, of(&|n| Datum::Bytea(vec![n as u8; n as usize % 4].into()))),
            (SqlType::Int4, (0..40).map(Datum::Int4).collect()),
            (SqlType::Text, (0..40).map(|n| Datum::Text(n.to_string().into())).collect()),
        ]
    }

    fn check(found: &ArrayRef, ty: SqlType, expected: &[Datum]) {
        assert_eq!(found.data_type(), &ty.arrow());
        let found: Vec<_> = (0..found.len()).map(|row| datum_at(found, ty, row).unwrap()).collect();
        assert_eq!(found, expected, "{ty}");
    }

    #[test]
    fn every_layout_in_every_way() {
        for (ty, values) in columns() {
            // Slices, so that nothing begins where its buffer does.
            let array = array_of(&values, ty).unwrap().slice(5, 30);
            let values = &values[5..35];
            let other = array.slice(11, 9);

            let rows = [3, 3, 29, 0, 12];
            let expected: Vec<_> = rows.iter().map(|&row| values[row as usize].clone()).collect();
            check(&take(&array, &UInt32Array::from(rows.to_vec())).unwrap(), ty, &expected);
            let some = UInt32Array::from(vec![Some(1), None, Some(29)]);
            let expected = [values[1].clone(), Datum::Null, values[29].clone()];
            check(&take(&array, &some).unwrap(), ty, &expected);
            // The number where there is none may be any.
            let wild = UInt32Array::new(vec![u32::MAX, 2].into(), Some(vec![false, true].into()));
            check(&take(&array, &wild).unwrap(), ty, &[Datum::Null, values[2].clone()]);

            let places = [(1, 0), (0, 29), (1, 8), (0, 0)];
            let expected = [11, 29, 19, 0].map(|row: usize| values[row].clone());
            check(&interleave(&[&array, &other], &places).unwrap(), ty, &expected);

            let expected: Vec<_> =
                values[11..20].iter().chain(values).chain(&values[11..20]).cloned().collect();
            check(&concat(&[&other, &array, &other]).unwrap(), ty, &expected);

            // Few, most, all, none.
            for keep in
                [|row| row % 6 == 1, |row| row % 10 != 4, |_| true, |_| false] as [fn(usize) -> bool; 4]
            {
                let mask = BooleanArray::from((0..30).map(keep).collect::<Vec<_>>());
                let expected: Vec<_> =
                    (0..30).filter(|&row| keep(row)).map(|row| values[row].clone()).collect();
                check(&filter(&array, &mask).unwrap(), ty, &expected);
                assert_eq!(Selection::of(&mask).row_count(), expected.len());
            }
            let mask =
                BooleanArray::from((0..30).map(|row| (row % 2 == 0).then_some(row > 9)).collect::<Vec<_>>());
            let expected: Vec<_> = (10..30).step_by(2).map(|row| values[row].clone()).collect();
            check(&filter(&array, &mask).unwrap(), ty, &expected);
        }
    }

    #[test]
    fn arrays_of_different_types_are_refused() {
        let (left, right) =
            (array_of(&[Datum::Int4(1)], SqlType::Int4), array_of(&[Datum::Int8(1)], SqlType::Int8));
        assert!(concat(&[&left.unwrap(), &right.unwrap()]).is_err());
        assert!(concat(&[]).is_err());
    }
}
