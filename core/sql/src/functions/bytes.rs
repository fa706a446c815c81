//! Functions of `bytea` and `uuid`.

use super::kernel::{self, rows, texts};
use super::{Scalar, scalar};
use crate::datum::Datum;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

fn encode(bytes: &[u8], format: &str) -> Result<String> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        "base64" | "escape" => Err(Error::unsupported(format_args!("encoding \"{format}\""))),
        _ => Err(unknown_encoding(format)),
    }
}

fn unknown_encoding(format: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{format}\""))
}

fn decode(text: &str, format: &str) -> Result<Datum> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => crate::text::parse(&format!("\\x{text}"), SqlType::Bytea),
        "base64" | "escape" => Err(Error::unsupported(format_args!("encoding \"{format}\""))),
        _ => Err(unknown_encoding(format)),
    }
}

fn substring(bytes: &[u8], start: i32, length: Option<i32>) -> Result<&[u8]> {
    if length.is_some_and(|length| length < 0) {
        return Err(Error::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
    }
    let first = i64::from(start) - 1;
    let end =
        length.map_or(bytes.len() as i64, |length| (first + i64::from(length)).clamp(0, bytes.len() as i64));
    let first = first.clamp(0, end);
    Ok(&bytes[first as usize..end as usize])
}

pub(super) static ENTRIES: &[Scalar] = &[
    scalar!("||", [Bytea, Bytea] => Bytea, |_, args, count| rows(args, count, SqlType::Bytea, |row, builder| {
        builder.push_bytes(&[row.bytes(0)?, row.bytes(1)?].concat())
    })),
    scalar!("length", [Bytea] => Int4, |_, args, count| {
        kernel::datums(args, count, SqlType::Int4, |row| Ok(Datum::Int4(row.bytes(0)?.len() as i32)))
    }),
    scalar!("octet_length", [Bytea] => Int4, |_, args, count| {
        kernel::datums(args, count, SqlType::Int4, |row| Ok(Datum::Int4(row.bytes(0)?.len() as i32)))
    }),
    scalar!("substr", [Bytea, Int4] => Bytea, |_, args, count| rows(args, count, SqlType::Bytea, |row, builder| {
        builder.push_bytes(substring(row.bytes(0)?, row.i32(1)?, None)?)
    })),
    scalar!("substr", [Bytea, Int4, Int4] => Bytea, |_, args, count| rows(args, count, SqlType::Bytea, |row, builder| {
        builder.push_bytes(substring(row.bytes(0)?, row.i32(1)?, Some(row.i32(2)?))?)
    })),
    scalar!("substring", [Bytea, Int4] => Bytea, |_, args, count| rows(args, count, SqlType::Bytea, |row, builder| {
        builder.push_bytes(substring(row.bytes(0)?, row.i32(1)?, None)?)
    })),
    scalar!("substring", [Bytea, Int4, Int4] => Bytea, |_, args, count| {
        rows(args, count, SqlType::Bytea, |row, builder| {
            builder.push_bytes(substring(row.bytes(0)?, row.i32(1)?, Some(row.i32(2)?))?)
        })
    }),
    scalar!("encode", [Bytea, Text] => Text, |_, args, count| texts(args, count, |row, out| {
        out.push_str(&encode(row.bytes(0)?, row.text(1)?)?);
        Ok(())
    })),
    scalar!("decode", [Text, Text] => Bytea, |_, args, count| {
        kernel::datums(args, count, SqlType::Bytea, |row| decode(row.text(0)?, row.text(1)?))
    }),
];
