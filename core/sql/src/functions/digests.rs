//! Digests, and the functions of `bytea` that look at bits and bytes.

use super::kernel::{Row, datums, rows, texts};
use super::pattern::Pattern;
use super::{Scalar, Value, scalar};
use crate::datum::Datum;
use crate::types::SqlType;
use md5::Digest;
use orrery_base::{Error, Result, SqlState};

fn out_of_range(index: i64, most: i64) -> Error {
    let message = format!("index {index} out of valid range, 0..{most}");
    Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
}

/// The byte with a number. Errors: 2202E.
fn byte_place(bytes: &[u8], index: i64) -> Result<usize> {
    let place = usize::try_from(index).ok().filter(|place| *place < bytes.len());
    place.ok_or_else(|| out_of_range(index, bytes.len() as i64 - 1))
}

/// The byte and the place in it of a bit. Errors: 2202E.
fn bit_place(bytes: &[u8], index: i64) -> Result<(usize, u32)> {
    let count = bytes.len() as i64 * 8;
    if !(0..count).contains(&index) {
        return Err(out_of_range(index, count - 1));
    }
    Ok(((index / 8) as usize, (index % 8) as u32))
}

fn set_bit(row: &Row<'_>) -> Result<Datum> {
    let mut bytes = row.bytes(0)?.to_vec();
    let (place, bit) = bit_place(&bytes, row.i64(1)?)?;
    match row.i32(2)? {
        0 => bytes[place] &= !(1 << bit),
        1 => bytes[place] |= 1 << bit,
        _ => return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "new bit must be 0 or 1")),
    }
    Ok(Datum::Bytea(bytes.into()))
}

fn set_byte(row: &Row<'_>) -> Result<Datum> {
    let mut bytes = row.bytes(0)?.to_vec();
    let place = byte_place(&bytes, row.i32(1)?.into())?;
    bytes[place] = row.i32(2)? as u8;
    Ok(Datum::Bytea(bytes.into()))
}

fn trim<'a>(mut bytes: &'a [u8], set: &[u8], start: bool, end: bool) -> &'a [u8] {
    while let Some((first, rest)) = bytes.split_first().filter(|it| start && set.contains(it.0)) {
        let _ = first;
        bytes = rest;
    }
    while let Some((last, rest)) = bytes.split_last().filter(|it| end && set.contains(it.0)) {
        let _ = last;
        bytes = rest;
    }
    bytes
}

fn trims(args: &[Value], count: usize, start: bool, end: bool) -> Result<Value> {
    rows(args, count, SqlType::Bytea, |row, builder| {
        builder.push_bytes(trim(row.bytes(0)?, row.bytes(1)?, start, end))
    })
}

/// Bytes as characters of the same codes, in which patterns work alike.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn like(args: &[Value], count: usize, negated: bool) -> Result<Value> {
    super::kernel::predicate(args, count, |row| {
        let pattern = Pattern::new(&latin(row.bytes(1)?), Some('\\'), false);
        Ok(pattern.matches(&latin(row.bytes(0)?))? != negated)
    })
}

macro_rules! digest {
    ($name:literal, $algorithm:ty) => {
        scalar!($name, [Bytea] => Bytea, |_, args, count| rows(args, count, SqlType::Bytea, |row, builder| {
            builder.push_bytes(&<$algorithm>::digest(row.bytes(0)?))
        }))
    };
}

fn hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        out.push_str(&format!("{byte:02x}"));
    }
}

pub(super) static ENTRIES: &[Scalar] = &[
    scalar!("md5", [Text] => Text, |_, args, count| texts(args, count, |row, out| {
        hex(&md5::Md5::digest(row.text(0)?), out);
        Ok(())
    })),
    scalar!("md5", [Bytea] => Text, |_, args, count| texts(args, count, |row, out| {
        hex(&md5::Md5::digest(row.bytes(0)?), out);
        Ok(())
    })),
    digest!("sha224", sha2::Sha224),
    digest!("sha256", sha2::Sha256),
    digest!("sha384", sha2::Sha384),
    digest!("sha512", sha2::Sha512),
    scalar!("get_byte", [Bytea, Int4] => Int4, |_, args, count| datums(args, count, SqlType::Int4, |row| {
        let bytes = row.bytes(0)?;
        Ok(Datum::Int4(bytes[byte_place(bytes, row.i32(1)?.into())?].into()))
    })),
    scalar!("set_byte", [Bytea, Int4, Int4] => Bytea, |_, args, count| {
        datums(args, count, SqlType::Bytea, set_byte)
    }),
    scalar!("get_bit", [Bytea, Int8] => Int4, |_, args, count| datums(args, count, SqlType::Int4, |row| {
        let bytes = row.bytes(0)?;
        let (place, bit) = bit_place(bytes, row.i64(1)?)?;
        Ok(Datum::Int4((bytes[place] >> bit & 1).into()))
    })),
    scalar!("set_bit", [Bytea, Int8, Int4] => Bytea, |_, args, count| datums(args, count, SqlType::Bytea, set_bit)),
    scalar!("bit_count", [Bytea] => Int8, |_, args, count| datums(args, count, SqlType::Int8, |row| {
        Ok(Datum::Int8(row.bytes(0)?.iter().map(|byte| i64::from(byte.count_ones())).sum()))
    })),
    scalar!("btrim", [Bytea, Bytea] => Bytea, |_, args, count| trims(args, count, true, true)),
    scalar!("ltrim", [Bytea, Bytea] => Bytea, |_, args, count| trims(args, count, true, false)),
    scalar!("rtrim", [Bytea, Bytea] => Bytea, |_, args, count| trims(args, count, false, true)),
    scalar!("like_escape", [Bytea, Bytea] => Bytea, |_, args, count| {
        rows(args, count, SqlType::Bytea, |row, builder| {
            let mut pattern = String::new();
            super::pattern::like_escape(&latin(row.bytes(0)?), &latin(row.bytes(1)?), &mut pattern)?;
            builder.push_bytes(&pattern.chars().map(|c| c as u8).collect::<Vec<_>>())
        })
    }),
    scalar!("~~", [Bytea, Bytea] => Bool, |_, args, count| like(args, count, false)),
    scalar!("!~~", [Bytea, Bytea] => Bool, |_, args, count| like(args, count, true)),
    scalar!("convert_from", [Bytea, Text] => Text, |_, args, count| texts(args, count, |row, out| {
        check_encoding(row.text(1)?, "source")?;
        let text = std::str::from_utf8(row.bytes(0)?).map_err(|error| {
            let bytes = &row.bytes(0).unwrap_or_default()[error.valid_up_to()..];
            let shown: Vec<String> = bytes.iter().take(1).map(|byte| format!("0x{byte:02x}")).collect();
            let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
            Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
        })?;
        out.push_str(text);
        Ok(())
    })),
    scalar!("convert_to", [Text, Text] => Bytea, |_, args, count| rows(args, count, SqlType::Bytea, |row, builder| {
        check_encoding(row.text(1)?, "destination")?;
        builder.push_bytes(row.text(0)?.as_bytes())
    })),
];

/// Only UTF-8 is there. Errors: 22023, 0A000.
fn check_encoding(name: &str, what: &str) -> Result<()> {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match plain.as_str() {
        "utf8" | "unicode" => Ok(()),
        "latin1" | "sqlascii" | "win1252" | "iso88591" => {
            Err(Error::unsupported(format!("encoding \"{name}\"")))
        }
        _ => {
            let message = format!("invalid {what} encoding name \"{name}\"");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
    }
}
