//! `string_agg`, with and without an order of its own.

use super::{State, take, wrong_argument};
use crate::datum::Datum;
use crate::functions::kernel::Arg;
use orrery_base::Result;

// ---- string_agg

#[derive(Clone, Default)]
pub(super) struct Joined(Option<(String, usize)>);

/// `string_agg(value, delimiter)`: the delimiter of the first value is not written. NULL delimiters are written as nothing,
/// so this aggregate handles its own NULLs: the accumulator below coalesces them before.
impl State for Joined {
    type Config = ();
    fn add(&mut self, (): &(), args: &[Arg<'_>], row: usize) -> Result<()> {
        let (Arg::Text(values, _), Arg::Text(delimiters, _)) = (&args[0], &args[1]) else {
            return Err(wrong_argument());
        };
        let (value, delimiter) = (values.value(row), delimiters.value(row));
        match &mut self.0 {
            // The first delimiter is kept in front, so that a merge knows it.
            None => self.0 = Some((format!("{delimiter}{value}"), delimiter.len())),
            Some((text, _)) => {
                text.push_str(delimiter);
                text.push_str(value);
            }
        }
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        let (text, first) =
            self.0.as_ref().map_or(("", u32::MAX), |(text, first)| (text.as_str(), *first as u32));
        into.extend_from_slice(&first.to_le_bytes());
        into.extend_from_slice(&(text.len() as u32).to_le_bytes());
        into.extend_from_slice(text.as_bytes());
    }
    fn merge(&mut self, (): &(), bytes: &mut &[u8]) -> Option<Result<()>> {
        let first = u32::from_le_bytes(take(bytes)?);
        let length = u32::from_le_bytes(take(bytes)?) as usize;
        let (text, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        if first == u32::MAX {
            return Some(Ok(()));
        }
        let text = std::str::from_utf8(text).ok()?;
        match &mut self.0 {
            None => self.0 = Some((text.to_owned(), first as usize)),
            Some((joined, _)) => joined.push_str(text),
        }
        Some(Ok(()))
    }
    fn finish(&self, (): &()) -> Result<Datum> {
        Ok(self.0.as_ref().map_or(Datum::Null, |(text, first)| Datum::Text(text[*first..].into())))
    }
    fn extra_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |(text, _)| text.capacity())
    }
}

/// Key, delimiter and value of a row.
type OrderedRow = (Box<[u8]>, Box<str>, Box<str>);

/// `string_agg(value, delimiter ORDER BY …)`: its rows in the order of arrival.
#[derive(Clone, Default)]
pub(super) struct OrderedJoined {
    rows: Vec<OrderedRow>,
    bytes: usize,
}

impl OrderedJoined {
    fn push(&mut self, key: &[u8], delimiter: &str, value: &str) {
        self.bytes += key.len() + delimiter.len() + value.len() + 64;
        self.rows.push((key.into(), delimiter.into(), value.into()));
    }
}

fn take_part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(bytes)?) as usize;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

impl State for OrderedJoined {
    type Config = ();
    fn add(&mut self, (): &(), args: &[Arg<'_>], row: usize) -> Result<()> {
        let (Arg::Text(values, _), Arg::Text(delimiters, _), Arg::Bytes(keys, _)) =
            (&args[0], &args[1], &args[2])
        else {
            return Err(wrong_argument());
        };
        self.push(keys.value(row), delimiters.value(row), values.value(row));
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&(self.rows.len() as u32).to_le_bytes());
        for (key, delimiter, value) in &self.rows {
            for part in [key, delimiter.as_bytes(), value.as_bytes()] {
                into.extend_from_slice(&(part.len() as u32).to_le_bytes());
                into.extend_from_slice(part);
            }
        }
    }
    fn merge(&mut self, (): &(), bytes: &mut &[u8]) -> Option<Result<()>> {
        for _ in 0..u32::from_le_bytes(take(bytes)?) {
            let key = take_part(bytes)?;
            let delimiter = std::str::from_utf8(take_part(bytes)?).ok()?;
            let value = std::str::from_utf8(take_part(bytes)?).ok()?;
            self.push(key, delimiter, value);
        }
        Some(Ok(()))
    }
    fn finish(&self, (): &()) -> Result<Datum> {
        if self.rows.is_empty() {
            return Ok(Datum::Null);
        }
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        let mut text = String::new();
        for (index, (_, delimiter, value)) in rows.into_iter().enumerate() {
            if index > 0 {
                text.push_str(delimiter);
            }
            text.push_str(value);
        }
        Ok(Datum::Text(text.into()))
    }
    fn extra_bytes(&self) -> usize {
        self.bytes
    }
}
