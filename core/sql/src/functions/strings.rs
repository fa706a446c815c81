//! String functions. Lengths and positions count characters; case mapping and collation are those of
//! PostgreSQL's locale C: only ASCII letters have a case.

use super::kernel::{self, Row, texts};
use super::{ResultType, Scalar, TypedCall, Value, Volatility, scalar, untyped};
use crate::datum::Datum;
use crate::text;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

/// Bytes of the longest text value (PostgreSQL's 1 GB).
const TEXT_BYTES_MAX: usize = orrery_base::limits::VALUE_BYTES_MAX - 4;

fn too_long() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large")
}

fn bad_parameter(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn int4(args: &[Value], rows: usize, f: impl Fn(&Row<'_>) -> Result<i32>) -> Result<Value> {
    kernel::datums(args, rows, SqlType::Int4, |row| f(row).map(Datum::Int4))
}

fn char_count(text: &str) -> i32 {
    (if text.is_ascii() { text.len() } else { text.chars().count() }) as i32
}

/// The byte offset of character number `index`.
fn char_offset(text: &str, index: usize) -> usize {
    if text.is_ascii() {
        return index.min(text.len());
    }
    text.char_indices().nth(index).map_or(text.len(), |(at, _)| at)
}

/// PostgreSQL's substring: `start` counts from 1 and may lie before the text.
fn substring(text: &str, start: i32, length: Option<i32>) -> Result<&str> {
    let from = i64::from(start) - 1;
    let end = match length {
        Some(length) if length < 0 => {
            return Err(Error::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
        }
        Some(length) => (from + i64::from(length)).max(0),
        None => i64::from(u32::MAX),
    };
    let first = char_offset(text, from.max(0) as usize);
    let last = char_offset(text, end as usize);
    Ok(if first < last { &text[first..last] } else { "" })
}

fn left(text: &str, count: i32) -> &str {
    let count = if count < 0 { (char_count(text) + count).max(0) } else { count };
    &text[..char_offset(text, count as usize)]
}

fn right(text: &str, count: i32) -> &str {
    let length = char_count(text);
    let dropped =
        if count < 0 { count.unsigned_abs() as i64 } else { (i64::from(length) - i64::from(count)).max(0) };
    &text[char_offset(text, dropped as usize)..]
}

fn pad(out: &mut String, text: &str, length: i32, fill: &str, at_left: bool) -> Result<()> {
    let length = length.max(0) as usize;
    if length.saturating_mul(4) > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    let have = char_count(text) as usize;
    if have >= length {
        out.push_str(&text[..char_offset(text, length)]);
        return Ok(());
    }
    let missing = if fill.is_empty() { 0 } else { length - have };
    if !at_left {
        out.push_str(text);
    }
    out.extend(fill.chars().cycle().take(missing));
    if at_left {
        out.push_str(text);
    }
    Ok(())
}

fn trim<'a>(text: &'a str, set: &str, start: bool, end: bool) -> &'a str {
    let inside = |c: char| set.contains(c);
    let text = if start { text.trim_start_matches(inside) } else { text };
    if end { text.trim_end_matches(inside) } else { text }
}

fn trims(args: &[Value], rows: usize, start: bool, end: bool) -> Result<Value> {
    texts(args, rows, |row, out| {
        let set = if row.len() > 1 { row.text(1)? } else { " " };
        out.push_str(trim(row.text(0)?, set, start, end));
        Ok(())
    })
}

fn position(text: &str, part: &str) -> i32 {
    text.find(part).map_or(0, |at| char_count(&text[..at]) + 1)
}

fn split_part<'a>(text: &'a str, delimiter: &str, field: i32) -> Result<&'a str> {
    if field == 0 {
        return Err(bad_parameter("field position must not be zero"));
    }
    if delimiter.is_empty() {
        return Ok(if field == 1 || field == -1 { text } else { "" });
    }
    let index = field.unsigned_abs() as usize - 1;
    Ok(if field > 0 { text.split(delimiter).nth(index) } else { text.rsplit(delimiter).nth(index) }
        .unwrap_or(""))
}

fn initcap(out: &mut String, text: &str) {
    let mut inside = false;
    for c in text.chars() {
        out.push(if inside { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() });
        inside = c.is_ascii_alphanumeric();
    }
}

fn translate(out: &mut String, text: &str, from: &str, to: &str) {
    for c in text.chars() {
        match from.chars().position(|candidate| candidate == c) {
            None => out.push(c),
            Some(index) => out.extend(to.chars().nth(index)),
        }
    }
}

fn chr(code: i32) -> Result<char> {
    if code < 0 {
        return Err(bad_parameter("character number must be positive"));
    }
    if code == 0 {
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "null character not permitted"));
    }
    u32::try_from(code).ok().and_then(char::from_u32).ok_or_else(|| {
        let message = format!("requested character too large for encoding: {code}");
        Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
    })
}

/// `concat` and `concat_ws`: NULLs are skipped, every type is written as text.
pub(super) fn concatenate(call: &TypedCall<'_>, separated: bool) -> Result<Value> {
    let settings = call.settings();
    call.rows(false, |values| {
        let separator = match &values[0] {
            _ if !separated => "",
            Datum::Text(separator) => separator,
            _ => return Ok(Datum::Null),
        };
        let mut out = String::new();
        let mut first = true;
        for (value, ty) in values.iter().zip(call.types).skip(usize::from(separated)) {
            if value.is_null() {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push_str(separator);
            }
            text::format_into(&mut out, value, *ty, settings);
        }
        Ok(Datum::Text(out.into()))
    })
}

const fn variadic(
    name: &'static str,
    args: &'static [SqlType],
    typed: fn(&TypedCall<'_>) -> Result<Value>,
) -> Scalar {
    let result = ResultType::Fixed(SqlType::Text);
    let volatility = Volatility::Stable;
    Scalar {
        name,
        args,
        variadic: true,
        result,
        strict: false,
        volatility,
        eval: untyped,
        typed: Some(typed),
    }
}

fn repeat(out: &mut String, text: &str, count: i32) -> Result<()> {
    let count = count.max(0) as usize;
    if text.len().saturating_mul(count) > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    (0..count).for_each(|_| out.push_str(text));
    Ok(())
}

fn overlay(out: &mut String, text: &str, new: &str, start: i32, length: i32) -> Result<()> {
    if start <= 0 {
        return Err(Error::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
    }
    out.push_str(substring(text, 1, Some(start - 1))?);
    out.push_str(new);
    let after = start.checked_add(length).ok_or_else(|| super::numeric::out_of_range(SqlType::Int4))?;
    out.push_str(substring(text, after, None)?);
    Ok(())
}

/// A text function that appends to `out`.
macro_rules! text_fn {
    ($name:literal, [$($arg:ident),*], |$row:ident, $out:ident| $body:expr) => {
        scalar!($name, [$($arg),*] => Text, |_, args, rows| texts(args, rows, |$row, $out| {
            $body;
            Ok(())
        }))
    };
}

pub(super) static ENTRIES: &[Scalar] = &[
    text_fn!("||", [Text, Text], |row, out| {
        out.push_str(row.text(0)?);
        out.push_str(row.text(1)?);
    }),
    scalar!("length", [Text] => Int4, |_, args, rows| int4(args, rows, |row| Ok(char_count(row.text(0)?)))),
    scalar!("char_length", [Text] => Int4, |_, args, rows| int4(args, rows, |row| Ok(char_count(row.text(0)?)))),
    scalar!("character_length", [Text] => Int4, |_, args, rows| int4(args, rows, |row| Ok(char_count(row.text(0)?)))),
    scalar!("octet_length", [Text] => Int4, |_, args, rows| int4(args, rows, |row| Ok(row.text(0)?.len() as i32))),
    Scalar {
        args: &[SqlType::Char(None)],
        ..scalar!("octet_length", [Text] => Int4, |_, args, rows| int4(args, rows, |row| Ok(row.text(0)?.len() as i32)))
    },
    scalar!("bit_length", [Text] => Int4, |_, args, rows| int4(args, rows, |row| Ok(row.text(0)?.len() as i32 * 8))),
    text_fn!("lower", [Text], |row, out| out.push_str(&row.text(0)?.to_ascii_lowercase())),
    text_fn!("upper", [Text], |row, out| out.push_str(&row.text(0)?.to_ascii_uppercase())),
    text_fn!("initcap", [Text], |row, out| initcap(out, row.text(0)?)),
    text_fn!("substr", [Text, Int4], |row, out| out.push_str(substring(row.text(0)?, row.i32(1)?, None)?)),
    text_fn!("substr", [Text, Int4, Int4], |row, out| {
        out.push_str(substring(row.text(0)?, row.i32(1)?, Some(row.i32(2)?))?)
    }),
    text_fn!("substring", [Text, Int4], |row, out| out.push_str(substring(row.text(0)?, row.i32(1)?, None)?)),
    text_fn!("substring", [Text, Int4, Int4], |row, out| {
        out.push_str(substring(row.text(0)?, row.i32(1)?, Some(row.i32(2)?))?)
    }),
    text_fn!("left", [Text, Int4], |row, out| out.push_str(left(row.text(0)?, row.i32(1)?))),
    text_fn!("right", [Text, Int4], |row, out| out.push_str(right(row.text(0)?, row.i32(1)?))),
    text_fn!("lpad", [Text, Int4], |row, out| pad(out, row.text(0)?, row.i32(1)?, " ", true)?),
    text_fn!("lpad", [Text, Int4, Text], |row, out| pad(out, row.text(0)?, row.i32(1)?, row.text(2)?, true)?),
    text_fn!("rpad", [Text, Int4], |row, out| pad(out, row.text(0)?, row.i32(1)?, " ", false)?),
    text_fn!("rpad", [Text, Int4, Text], |row, out| pad(
        out,
        row.text(0)?,
        row.i32(1)?,
        row.text(2)?,
        false
    )?),
    scalar!("btrim", [Text] => Text, |_, args, rows| trims(args, rows, true, true)),
    scalar!("btrim", [Text, Text] => Text, |_, args, rows| trims(args, rows, true, true)),
    scalar!("ltrim", [Text] => Text, |_, args, rows| trims(args, rows, true, false)),
    scalar!("ltrim", [Text, Text] => Text, |_, args, rows| trims(args, rows, true, false)),
    scalar!("rtrim", [Text] => Text, |_, args, rows| trims(args, rows, false, true)),
    scalar!("rtrim", [Text, Text] => Text, |_, args, rows| trims(args, rows, false, true)),
    text_fn!("replace", [Text, Text, Text], |row, out| {
        let (text, from) = (row.text(0)?, row.text(1)?);
        out.push_str(&if from.is_empty() { text.to_owned() } else { text.replace(from, row.text(2)?) })
    }),
    text_fn!("translate", [Text, Text, Text], |row, out| translate(
        out,
        row.text(0)?,
        row.text(1)?,
        row.text(2)?
    )),
    text_fn!("overlay", [Text, Text, Int4, Int4], |row, out| {
        overlay(out, row.text(0)?, row.text(1)?, row.i32(2)?, row.i32(3)?)?
    }),
    text_fn!("overlay", [Text, Text, Int4], |row, out| {
        overlay(out, row.text(0)?, row.text(1)?, row.i32(2)?, char_count(row.text(1)?))?
    }),
    scalar!("strpos", [Text, Text] => Int4, |_, args, rows| {
        int4(args, rows, |row| Ok(position(row.text(0)?, row.text(1)?)))
    }),
    scalar!("position", [Text, Text] => Int4, |_, args, rows| {
        int4(args, rows, |row| Ok(position(row.text(0)?, row.text(1)?)))
    }),
    text_fn!("split_part", [Text, Text, Int4], |row, out| {
        out.push_str(split_part(row.text(0)?, row.text(1)?, row.i32(2)?)?)
    }),
    text_fn!("reverse", [Text], |row, out| out.extend(row.text(0)?.chars().rev())),
    text_fn!("repeat", [Text, Int4], |row, out| repeat(out, row.text(0)?, row.i32(1)?)?),
    scalar!("starts_with", [Text, Text] => Bool, |_, args, rows| {
        kernel::predicate(args, rows, |row| Ok(row.text(0)?.starts_with(row.text(1)?)))
    }),
    scalar!("^@", [Text, Text] => Bool, |_, args, rows| {
        kernel::predicate(args, rows, |row| Ok(row.text(0)?.starts_with(row.text(1)?)))
    }),
    scalar!("ascii", [Text] => Int4, |_, args, rows| {
        int4(args, rows, |row| Ok(row.text(0)?.chars().next().map_or(0, |c| c as i32)))
    }),
    text_fn!("chr", [Int4], |row, out| out.push(chr(row.i32(0)?)?)),
    text_fn!("to_hex", [Int4], |row, out| out.push_str(&format!("{:x}", row.i32(0)?))),
    text_fn!("to_hex", [Int8], |row, out| out.push_str(&format!("{:x}", row.i64(0)?))),
    text_fn!("quote_literal", [Text], |row, out| {
        let text = row.text(0)?;
        out.push_str(if text.contains('\\') { "E'" } else { "'" });
        out.push_str(&text.replace('\'', "''").replace('\\', "\\\\"));
        out.push('\'')
    }),
    variadic("concat", &[SqlType::Unknown], |call| concatenate(call, false)),
    variadic("concat_ws", &[SqlType::Text, SqlType::Unknown], |call| concatenate(call, true)),
];
