//! Functions of `bytea` and `uuid`.

use super::kernel::{self, rows, texts};
use super::{Scalar, scalar};
use crate::datum::Datum;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

fn encode(bytes: &[u8], format: &str) -> Result<String> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        "base64" => Ok(encode_base64(bytes)),
        "escape" => {
            let mut out = String::with_capacity(bytes.len());
            for &byte in bytes {
                match byte {
                    0 | 0x80.. => out.push_str(&format!("\\{byte:03o}")),
                    b'\\' => out.push_str("\\\\"),
                    byte => out.push(char::from(byte)),
                }
            }
            Ok(out)
        }
        _ => Err(unknown_encoding(format)),
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Lines of 76 characters, as RFC 2045 has them.
fn encode_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() / 57 * 77 + 80);
    for (index, three) in bytes.chunks(3).enumerate() {
        if index > 0 && index % 19 == 0 {
            out.push('\n');
        }
        let group =
            three.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let sextet = (group >> (18 - 6 * place)) as usize & 63;
            out.push(if place > three.len() { '=' } else { char::from(BASE64[sextet]) });
        }
    }
    out
}

fn decode_base64(text: &str) -> Result<Vec<u8>> {
    let bad = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut length, mut padding) = (0u32, 0, 0);
    for c in text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')) {
        let sextet = if c == '=' {
            // One or two stand at the end of the last group.
            if padding == 0 && length < 2 {
                return Err(bad("unexpected \"=\" while decoding base64 sequence".to_owned()));
            }
            padding += 1;
            0
        } else {
            match BASE64.iter().position(|known| char::from(*known) == c) {
                Some(sextet) if padding == 0 => sextet as u32,
                _ => {
                    return Err(bad(format!("invalid symbol \"{c}\" found while decoding base64 sequence")));
                }
            }
        };
        group = group << 6 | sextet;
        length += 1;
        if length == 4 {
            out.extend_from_slice(&group.to_be_bytes()[1..4 - padding.min(2)]);
            (group, length) = (0, 0);
        }
    }
    if length != 0 {
        return Err(bad("invalid base64 end sequence".to_owned())
            .with_hint("Input data is missing padding, is truncated, or is otherwise corrupted."));
    }
    Ok(out)
}

fn position(bytes: &[u8], part: &[u8]) -> i32 {
    if part.is_empty() {
        return 1;
    }
    bytes.windows(part.len()).position(|window| window == part).map_or(0, |at| at as i32 + 1)
}

fn overlay(bytes: &[u8], new: &[u8], start: i32, length: i32) -> Result<Vec<u8>> {
    if start <= 0 {
        return Err(Error::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
    }
    let after = start.checked_add(length).ok_or_else(|| super::numeric::out_of_range(SqlType::Int4))?;
    Ok([substring(bytes, 1, Some(start - 1))?, new, substring(bytes, after, None)?].concat())
}

fn unknown_encoding(format: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{format}\""))
}

fn decode(text: &str, format: &str) -> Result<Datum> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => crate::text::parse(&format!("\\x{text}"), SqlType::Bytea),
        "base64" => decode_base64(text).map(|bytes| Datum::Bytea(bytes.into())),
        "escape" => crate::text::unescape_bytea(text).map(|bytes| Datum::Bytea(bytes.into())),
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
    scalar!("position", [Bytea, Bytea] => Int4, |_, args, count| {
        kernel::datums(args, count, SqlType::Int4, |row| Ok(Datum::Int4(position(row.bytes(0)?, row.bytes(1)?))))
    }),
    scalar!("overlay", [Bytea, Bytea, Int4, Int4] => Bytea, |_, args, count| {
        rows(args, count, SqlType::Bytea, |row, builder| {
            builder.push_bytes(&overlay(row.bytes(0)?, row.bytes(1)?, row.i32(2)?, row.i32(3)?)?)
        })
    }),
    scalar!("overlay", [Bytea, Bytea, Int4] => Bytea, |_, args, count| {
        rows(args, count, SqlType::Bytea, |row, builder| {
            let new = row.bytes(1)?;
            builder.push_bytes(&overlay(row.bytes(0)?, new, row.i32(2)?, new.len() as i32)?)
        })
    }),
    scalar!("bit_length", [Bytea] => Int4, |_, args, count| {
        kernel::datums(args, count, SqlType::Int4, |row| Ok(Datum::Int4(row.bytes(0)?.len() as i32 * 8)))
    }),
    scalar!("encode", [Bytea, Text] => Text, |_, args, count| texts(args, count, |row, out| {
        out.push_str(&encode(row.bytes(0)?, row.text(1)?)?);
        Ok(())
    })),
    scalar!("decode", [Text, Text] => Bytea, |_, args, count| {
        kernel::datums(args, count, SqlType::Bytea, |row| decode(row.text(0)?, row.text(1)?))
    }),
];
