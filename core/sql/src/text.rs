//! Text input and output of every type, as PostgreSQL's type input and output functions do it.

use crate::array::ArrayValue;
use crate::civil::{self, BadMoment, DateOrder, DateStyle, IntervalStyle, Moment, Zone};
use crate::datum::Datum;
use crate::json;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState, limits};
use orrery_row::numeric::Numeric;
use std::fmt::Write as _;

/// The session's settings that text forms depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatSettings {
    /// `TimeZone`
    pub zone: Zone,
    /// `DateStyle`: how dates are written.
    pub date_style: DateStyle,
    /// `DateStyle`: how they are read.
    pub date_order: DateOrder,
    /// `IntervalStyle`
    pub interval_style: IntervalStyle,
    /// `extra_float_digits`: above 0 as many digits as it takes to read the same number back.
    pub extra_float_digits: i8,
    /// `bytea_output = escape`
    pub escapes_bytea: bool,
    /// The transaction's start, µs UTC: what `now`, `today` and their kin mean. `None` where there is no transaction.
    pub now: Option<i64>,
}

impl Default for FormatSettings {
    fn default() -> Self {
        FormatSettings {
            zone: Zone::default(),
            date_style: DateStyle::default(),
            date_order: DateOrder::default(),
            interval_style: IntervalStyle::default(),
            extra_float_digits: 1,
            escapes_bytea: false,
            now: None,
        }
    }
}

// ---- Output.

/// The value as text; NULL is the empty string (callers tell it apart before).
pub fn format(value: &Datum, ty: SqlType, settings: FormatSettings) -> String {
    let mut text = String::new();
    format_into(&mut text, value, ty, settings);
    text
}

/// Appends the value's text.
pub fn format_into(into: &mut String, value: &Datum, _ty: SqlType, settings: FormatSettings) {
    match value {
        Datum::Null => {}
        Datum::Bool(value) => into.push(if *value { 't' } else { 'f' }),
        Datum::Int2(value) => push(into, value),
        Datum::Int4(value) => push(into, value),
        Datum::Int8(value) => push(into, value),
        Datum::Float4(value) if settings.extra_float_digits > 0 => {
            format_float(into, f64::from(*value), format!("{value:e}"), 6);
        }
        Datum::Float8(value) if settings.extra_float_digits > 0 => {
            format_float(into, *value, format!("{value:e}"), 15);
        }
        Datum::Float4(value) => format_rounded(into, f64::from(*value), 6 + settings.extra_float_digits),
        Datum::Float8(value) => format_rounded(into, *value, 15 + settings.extra_float_digits),
        Datum::Numeric(value) => push(into, value),
        Datum::Text(value) => into.push_str(value),
        Datum::Bytea(value) if settings.escapes_bytea => escape_bytea(into, value),
        Datum::Bytea(value) => format_bytea(into, value),
        Datum::Date(days) => civil::format_date(into, *days, settings.date_style, settings.date_order),
        Datum::Timestamp(micros) => {
            civil::format_timestamp(into, *micros, None, settings.date_style, settings.date_order);
        }
        Datum::Timestamptz(micros) => {
            let zone = Some(settings.zone);
            civil::format_timestamp(into, *micros, zone, settings.date_style, settings.date_order);
        }
        Datum::Interval(interval) => civil::format_interval(into, *interval, settings.interval_style),
        Datum::Uuid(bytes) => format_uuid(into, bytes),
        Datum::Time(micros) => civil::format_time(into, *micros),
        Datum::Jsonb(text) => into.push_str(text),
        Datum::Array(array) => array.format_into(into, settings),
        Datum::Record(record) => record.format_into(into, settings),
    }
}

fn push(into: &mut String, value: impl std::fmt::Display) {
    write!(into, "{value}").expect("writing to a string cannot fail");
}

/// Shortest digits that read back the same, as `%g` would place the point: exponents from -4 to below `fixed_below`
/// without an `e`. `scientific` is Rust's shortest `d.ddde±x`.
fn format_float(into: &mut String, value: f64, scientific: String, fixed_below: i32) {
    if !value.is_finite() {
        into.push_str(if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = match mantissa.strip_prefix('-') {
        Some(rest) => {
            into.push('-');
            rest
        }
        None => mantissa,
    };
    if !(-4..fixed_below).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        push(into, format_args!("{mantissa}e{sign}{:02}", exponent.abs()));
        return;
    }
    let digits: String = mantissa.chars().filter(|&c| c != '.').collect();
    if exponent < 0 {
        into.push_str("0.");
        into.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        into.push_str(&digits);
    } else if digits.len() as i32 <= exponent + 1 {
        into.push_str(&digits);
        into.extend(std::iter::repeat_n('0', (exponent + 1) as usize - digits.len()));
    } else {
        let point = (exponent + 1) as usize;
        push(into, format_args!("{}.{}", &digits[..point], &digits[point..]));
    }
}

/// A number of at most `digits` digits, zeros at its end left out.
fn format_rounded(into: &mut String, value: f64, digits: i8) {
    let digits = usize::try_from(digits).unwrap_or(0).max(1);
    let mut scientific = format!("{value:.*e}", digits - 1);
    if let Some((mantissa, exponent)) = scientific.split_once('e')
        && mantissa.contains('.')
    {
        let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
        scientific = format!("{mantissa}e{exponent}");
    }
    format_float(into, value, scientific, digits as i32);
}

/// `bytea`'s older form: what is no ASCII character as `\ooo`.
fn escape_bytea(into: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'\\' => into.push_str("\\\\"),
            b' '..=b'~' => into.push(byte as char),
            _ => push(into, format_args!("\\{byte:03o}")),
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn push_hex(into: &mut String, byte: u8) {
    into.push(HEX[usize::from(byte >> 4)] as char);
    into.push(HEX[usize::from(byte & 15)] as char);
}

fn format_bytea(into: &mut String, bytes: &[u8]) {
    into.push_str("\\x");
    bytes.iter().for_each(|&byte| push_hex(into, byte));
}

fn format_uuid(into: &mut String, bytes: &[u8; 16]) {
    for (index, &byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            into.push('-');
        }
        push_hex(into, byte);
    }
}

// ---- Input.

fn invalid(ty: SqlType, text: &str) -> Error {
    let code = match ty {
        SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::Timestamptz | SqlType::Interval => {
            SqlState::INVALID_DATETIME_FORMAT
        }
        _ => SqlState::INVALID_TEXT_REPRESENTATION,
    };
    Error::new(code, format!("invalid input syntax for type {}: \"{text}\"", ty.base_name()))
}

fn out_of_range(ty: SqlType, text: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value \"{text}\" is out of range for type {}", ty.base_name()),
    )
}

/// Reads a value of `ty` (in zone UTC where a timestamptz names none).
///
/// Errors: 22P02, 22007, 22003, 22008, 22001 as PostgreSQL's input functions.
pub fn parse(text: &str, ty: SqlType) -> Result<Datum> {
    parse_with(text, ty, FormatSettings::default())
}

/// As [`parse`], under a session's settings.
pub fn parse_with(text: &str, ty: SqlType, settings: FormatSettings) -> Result<Datum> {
    Ok(match ty {
        SqlType::Unknown | SqlType::Text | SqlType::Varchar(None) => Datum::Text(text.into()),
        SqlType::Varchar(Some(limit)) => Datum::Text(fit_varchar(text, limit, false)?.into()),
        SqlType::Name => Datum::Text(fit_name(text).into()),
        SqlType::QuotedChar => Datum::Text(fit_quoted_char(text)?.into()),
        SqlType::Bool => Datum::Bool(parse_bool(text).ok_or_else(|| invalid(ty, text))?),
        SqlType::Int2 => Datum::Int2(parse_int(text, ty, i16::MIN.into(), i16::MAX.into())? as i16),
        SqlType::Int4 => Datum::Int4(parse_int(text, ty, i32::MIN.into(), i32::MAX.into())? as i32),
        SqlType::Int8 | SqlType::Reg(_) => Datum::Int8(parse_int(text, ty, i64::MIN, i64::MAX)?),
        SqlType::Float4 => Datum::Float4(parse_float4(text)?),
        SqlType::Float8 => Datum::Float8(parse_float8(text)?),
        SqlType::Numeric => Datum::Numeric(parse_numeric(text)?),
        SqlType::Decimal { precision, scale } => {
            Datum::Numeric(crate::functions::numeric::fit(&parse_numeric(text)?, precision, scale)?)
        }
        SqlType::Bytea => Datum::Bytea(parse_bytea(text)?.into()),
        SqlType::Uuid => Datum::Uuid(parse_uuid(text).ok_or_else(|| invalid(ty, text))?),
        SqlType::Date | SqlType::Timestamp | SqlType::Timestamptz => parse_moment(text, ty, settings)?,
        SqlType::Time => {
            match civil::parse_time(text, settings.date_order).map_err(|bad| bad_moment(bad, ty, text))? {
                Some(micros) => Datum::Time(micros),
                None => Datum::Time(local_now(text, settings)?.rem_euclid(civil::DAY)),
            }
        }
        SqlType::Fitted(fitted) => fitted.fit(&parse_with(text, fitted.layout(), settings)?)?,
        SqlType::Char(None) => Datum::Text(text.into()),
        SqlType::Char(Some(limit)) => Datum::Text(fit_char(text, limit, false)?.into()),
        SqlType::Json => {
            json::check(text)?;
            Datum::Text(text.into())
        }
        SqlType::Jsonb => Datum::Jsonb(json::normalize(text)?.into()),
        // Their labels and fields are the catalog's: the binder reads them.
        SqlType::Record(_) | SqlType::Enum(_) => {
            return Err(Error::unsupported("this text as a value of a user's type"));
        }
        SqlType::Array(element) => Datum::Array(ArrayValue::parse(text, element.ty(), settings)?.into()),
        SqlType::Interval => {
            let read = civil::parse_interval(text, settings.interval_style);
            Datum::Interval(read.map_err(|bad| bad_moment(bad, ty, text))?)
        }
    })
}

/// Cuts (`cut`) or refuses (22001) what is longer than `limit` characters; trailing spaces beyond it never count.
pub fn fit_varchar(text: &str, limit: u32, cut: bool) -> Result<&str> {
    if text.len() <= limit as usize {
        return Ok(text);
    }
    match text.char_indices().nth(limit as usize) {
        None => Ok(text),
        Some((end, _)) if cut || text[end..].bytes().all(|byte| byte == b' ') => Ok(&text[..end]),
        Some(_) => Err(Error::new(
            SqlState::STRING_DATA_RIGHT_TRUNCATION,
            format!("value too long for type character varying({limit})"),
        )),
    }
}

/// A text as a `name`: what goes beyond 63 bytes is cut off, between characters.
pub fn fit_name(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::IDENTIFIER_BYTES_MAX)]
}

/// A text as a `"char"`: its first byte, or the one that `\ooo` says. Errors: 0A000 beyond ASCII.
pub fn fit_quoted_char(text: &str) -> Result<String> {
    let bytes = text.as_bytes();
    let byte = match bytes {
        [b'\\', digits @ ..] if digits.len() == 3 && digits.iter().all(|it| matches!(it, b'0'..=b'7')) => {
            digits.iter().fold(0_u32, |value, it| value * 8 + u32::from(it - b'0'))
        }
        _ => bytes.first().map_or(0, |&first| u32::from(first)),
    };
    match byte & 0xff {
        0 => Ok(String::new()),
        ascii @ 1..128 => Ok(char::from(ascii as u8).to_string()),
        _ => Err(Error::unsupported("\"char\" beyond ASCII")),
    }
}

/// As [`fit_varchar`] for `char(n)`, and fills up with spaces.
pub fn fit_char(text: &str, limit: u32, cut: bool) -> Result<String> {
    let length = text.chars().count();
    if length <= limit as usize {
        return Ok(text.chars().chain(std::iter::repeat_n(' ', limit as usize - length)).collect());
    }
    fit_varchar(text, limit, cut).map(str::to_owned).map_err(|_| {
        let message = format!("value too long for type character({limit})");
        Error::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, message)
    })
}

/// `true`, `yes`, `on`, `1` and their opposites, or an unambiguous prefix of the words.
pub fn parse_bool(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let prefix = |word: &str| !text.is_empty() && word.starts_with(&text);
    match text.as_str() {
        "1" => Some(true),
        "0" => Some(false),
        "o" => None,
        _ if prefix("true") || prefix("yes") || text == "on" => Some(true),
        _ if prefix("false") || prefix("no") || prefix("off") => Some(false),
        _ => None,
    }
}

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

fn parse_int(text: &str, ty: SqlType, least: i64, most: i64) -> Result<i64> {
    let trimmed = text.trim_matches(is_space);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(ty, text));
    }
    // What parsing refuses now is too large.
    match trimmed.parse::<i64>() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(out_of_range(ty, text)),
    }
}

fn special_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let (negative, word) = match lower.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, lower.strip_prefix('+').unwrap_or(&lower)),
    };
    match word {
        "nan" if lower == "nan" => Some(f64::NAN),
        "inf" | "infinity" => Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ => None,
    }
}

fn looks_like_float(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
}

fn has_nonzero_digit(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or("");
    mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

fn float_out_of_range(text: &str, ty: SqlType) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("\"{text}\" is out of range for type {}", ty.base_name()),
    )
}

fn parse_float8(text: &str) -> Result<f64> {
    let trimmed = text.trim_matches(is_space);
    if let Some(value) = special_float(trimmed) {
        return Ok(value);
    }
    let value = trimmed.parse::<f64>().ok().filter(|_| looks_like_float(trimmed));
    let value = value.ok_or_else(|| invalid(SqlType::Float8, text))?;
    if value.is_infinite() || (value == 0.0 && has_nonzero_digit(trimmed)) {
        return Err(float_out_of_range(trimmed, SqlType::Float8));
    }
    Ok(value)
}

fn parse_float4(text: &str) -> Result<f32> {
    let trimmed = text.trim_matches(is_space);
    if let Some(value) = special_float(trimmed) {
        return Ok(value as f32);
    }
    let value = trimmed.parse::<f32>().ok().filter(|_| looks_like_float(trimmed));
    let value = value.ok_or_else(|| invalid(SqlType::Float4, text))?;
    if value.is_infinite() || (value == 0.0 && has_nonzero_digit(trimmed)) {
        return Err(float_out_of_range(trimmed, SqlType::Float4));
    }
    Ok(value)
}

/// Reads an unconstrained numeric.
pub fn parse_numeric(text: &str) -> Result<Numeric> {
    text.trim_matches(is_space).parse::<Numeric>().map_err(|error| match error.code() {
        SqlState::INVALID_TEXT_REPRESENTATION => invalid(SqlType::Numeric, text),
        _ => error,
    })
}

fn parse_bytea(text: &str) -> Result<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let mut digits = Vec::with_capacity(hex.len());
        for c in hex.chars().filter(|c| !is_space(*c)) {
            let digit = c.to_digit(16).ok_or_else(|| {
                Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid hexadecimal digit: \"{c}\""))
            })?;
            digits.push(digit as u8);
        }
        if digits.len() % 2 != 0 {
            let message = "invalid hexadecimal data: odd number of digits";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        return Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect());
    }
    unescape_bytea(text)
}

/// Reads bytea's older form, `\\` and `\ooo`. Errors: 22P02.
pub fn unescape_bytea(text: &str) -> Result<Vec<u8>> {
    let bad = || Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea");
    let (bytes, mut at, mut out) = (text.as_bytes(), 0, Vec::with_capacity(text.len()));
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
        } else if bytes.get(at + 1) == Some(&b'\\') {
            out.push(b'\\');
            at += 2;
        } else {
            let octal = bytes.get(at + 1..at + 4).ok_or_else(bad)?;
            if !(b'0'..=b'3').contains(&octal[0])
                || !octal[1..].iter().all(|digit| (b'0'..=b'7').contains(digit))
            {
                return Err(bad());
            }
            out.push(octal.iter().fold(0, |value, digit| value << 3 | (digit - b'0')));
            at += 4;
        }
    }
    Ok(out)
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut uuid = [0u8; 16];
    let mut digit_count = 0;
    let mut hyphen_before = false;
    for c in inner.chars() {
        if c == '-' {
            // Hyphens only after each group of four digits.
            if digit_count == 0 || digit_count % 4 != 0 || digit_count == 32 || hyphen_before {
                return None;
            }
            hyphen_before = true;
            continue;
        }
        hyphen_before = false;
        let digit = c.to_digit(16)? as u8;
        if digit_count == 32 {
            return None;
        }
        uuid[digit_count / 2] |= if digit_count % 2 == 0 { digit << 4 } else { digit };
        digit_count += 1;
    }
    (digit_count == 32).then_some(uuid)
}

fn bad_moment(bad: BadMoment, ty: SqlType, text: &str) -> Error {
    match bad {
        BadMoment::Syntax => invalid(ty, text),
        BadMoment::Field if ty == SqlType::Interval => Error::new(
            SqlState::INTERVAL_FIELD_OVERFLOW,
            format!("interval field value out of range: \"{text}\""),
        ),
        BadMoment::Field => Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date/time field value out of range: \"{text}\""),
        ),
        BadMoment::Displacement => Error::new(
            SqlState::INVALID_TIME_ZONE_DISPLACEMENT_VALUE,
            format!("time zone displacement out of range: \"{text}\""),
        ),
        BadMoment::Zone(zone) => {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{zone}\" not recognized"))
        }
    }
}

/// Whether a text means another moment in each transaction.
pub fn depends_on_clock(text: &str) -> bool {
    civil::names_clock(text)
}

/// The time it is, in the session's zone. Errors: 0A000 where there is no transaction.
fn local_now(text: &str, settings: FormatSettings) -> Result<i64> {
    let Some(now) = settings.now else {
        return Err(Error::unsupported(format_args!("the date/time input \"{text}\" here")));
    };
    settings.zone.to_local(now)
}

fn parse_moment(text: &str, ty: SqlType, settings: FormatSettings) -> Result<Datum> {
    let moment = civil::parse_moment(text, settings.date_order).map_err(|bad| bad_moment(bad, ty, text))?;
    let range =
        |_| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\""));
    let (days, micros, zone) = match moment {
        Moment::Infinity | Moment::MinusInfinity => {
            let above = moment == Moment::Infinity;
            return Ok(match ty {
                SqlType::Date => Datum::Date(if above { i32::MAX } else { i32::MIN }),
                SqlType::Timestamp => Datum::Timestamp(if above { i64::MAX } else { i64::MIN }),
                _ => Datum::Timestamptz(if above { i64::MAX } else { i64::MIN }),
            });
        }
        Moment::Now => {
            let local = local_now(text, settings)?;
            return Ok(match ty {
                SqlType::Date => Datum::Date(local.div_euclid(civil::DAY) as i32),
                SqlType::Timestamp => Datum::Timestamp(local),
                _ => Datum::Timestamptz(settings.now.unwrap_or_default()),
            });
        }
        Moment::Day { days, micros, zone } => {
            (local_now(text, settings)?.div_euclid(civil::DAY) as i32 + days, micros, zone)
        }
        Moment::At { days, micros, zone } => (days, micros, zone),
    };
    if ty == SqlType::Date {
        return Ok(Datum::Date(days));
    }
    let local = civil::timestamp_from(days.into(), micros);
    if ty == SqlType::Timestamp {
        return Ok(Datum::Timestamp(local.map_err(range)?));
    }
    Ok(Datum::Timestamptz(match zone.unwrap_or(settings.zone) {
        // The local time may lie where no timestamp is.
        Zone::Fixed(offset) => {
            let micros = micros - i64::from(offset) * civil::SECOND;
            civil::timestamp_from(days.into(), micros).map_err(range)?
        }
        zone => local.and_then(|local| zone.to_utc(local)).map_err(range)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ty: SqlType, input: &str, output: &str) {
        let got = match parse(input, ty) {
            Ok(value) => format(&value, ty, FormatSettings::default()),
            Err(error) => error.code().to_string(),
        };
        assert_eq!(got, output, "{ty}: {input:?}");
    }

    #[test]
    fn numbers() {
        let cases = [
            (SqlType::Int4, " 12 ", "12"),
            (SqlType::Int4, "-2147483648", "-2147483648"),
            (SqlType::Int4, "2147483648", "22003"),
            (SqlType::Int4, "1.5", "22P02"),
            (SqlType::Int2, "", "22P02"),
            (SqlType::Int8, "99999999999999999999", "22003"),
            (SqlType::Float8, "1e15", "1e+15"),
            (SqlType::Float8, "1e14", "100000000000000"),
            (SqlType::Float8, "0.0001", "0.0001"),
            (SqlType::Float8, "0.00001", "1e-05"),
            (SqlType::Float8, "0.1", "0.1"),
            (SqlType::Float8, "-0", "-0"),
            (SqlType::Float8, "123456789012345678", "1.2345678901234568e+17"),
            (SqlType::Float8, "123.5", "123.5"),
            (SqlType::Float8, "1e400", "22003"),
            (SqlType::Float8, "1e-400", "22003"),
            (SqlType::Float8, "inf", "Infinity"),
            (SqlType::Float8, "-Infinity", "-Infinity"),
            (SqlType::Float8, "nan", "NaN"),
            (SqlType::Float4, "1234567", "1.234567e+06"),
            (SqlType::Float4, "100000", "100000"),
            (SqlType::Float4, "0.1", "0.1"),
            (SqlType::Numeric, "1.500", "1.500"),
            (SqlType::Numeric, "1e3", "1000"),
            (SqlType::Numeric, "x", "22P02"),
            (SqlType::Decimal { precision: 4, scale: 2 }, "12.345", "12.35"),
            (SqlType::Decimal { precision: 4, scale: 2 }, "123.4", "22003"),
        ];
        for (ty, input, output) in cases {
            check(ty, input, output);
        }
    }

    #[test]
    fn strings_and_bytes() {
        let cases = [
            (SqlType::Bool, "yes", "t"),
            (SqlType::Bool, " OFF ", "f"),
            (SqlType::Bool, "o", "22P02"),
            (SqlType::Varchar(Some(3)), "abc  ", "abc"),
            (SqlType::Varchar(Some(3)), "abcd", "22001"),
            (SqlType::Varchar(Some(3)), "äöü", "äöü"),
            (SqlType::Bytea, "\\xDE ad", "\\xdead"),
            (SqlType::Bytea, "a\\\\b\\001", "\\x615c6201"),
            (SqlType::Bytea, "\\x1", "22023"),
            (SqlType::Bytea, "\\9", "22P02"),
            (SqlType::Uuid, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (SqlType::Uuid, "{a0eebc999c0b4ef8bb6d6bb9bd380a11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (SqlType::Uuid, "a0eebc999c0b4ef8bb6d6bb9bd380a1", "22P02"),
        ];
        for (ty, input, output) in cases {
            check(ty, input, output);
        }
    }

    #[test]
    fn moments() {
        let cases = [
            (SqlType::Date, "1999-01-08", "1999-01-08"),
            (SqlType::Date, "January 8, 1999", "1999-01-08"),
            (SqlType::Date, "1/8/1999", "1999-01-08"),
            (SqlType::Date, "19990108", "1999-01-08"),
            (SqlType::Date, "08-Jan-1999", "1999-01-08"),
            (SqlType::Date, "0044-03-15 BC", "0044-03-15 BC"),
            (SqlType::Date, "1999-02-29", "22008"),
            (SqlType::Date, "hello", "22007"),
            (SqlType::Date, "infinity", "infinity"),
            (SqlType::Date, "5874897-12-31", "5874897-12-31"),
            (SqlType::Timestamp, "2001-02-03 04:05:06.700", "2001-02-03 04:05:06.7"),
            (SqlType::Timestamp, "2001-02-03T04:05:06Z", "2001-02-03 04:05:06"),
            (SqlType::Timestamp, "2001-02-03", "2001-02-03 00:00:00"),
            (SqlType::Timestamp, "2001-02-03 04:05 PM", "2001-02-03 16:05:00"),
            (SqlType::Timestamp, "2001-02-03 24:00:00", "2001-02-04 00:00:00"),
            (SqlType::Timestamp, "2001-02-03 25:00:00", "22008"),
            (SqlType::Timestamp, "-infinity", "-infinity"),
            (SqlType::Timestamptz, "2001-02-03 04:05:06+02", "2001-02-03 02:05:06+00"),
            (SqlType::Timestamptz, "2001-02-03 04:05:06-05:30", "2001-02-03 09:35:06+00"),
            (SqlType::Interval, "1 year 2 months 3 days 04:05:06.5", "1 year 2 mons 3 days 04:05:06.5"),
            (SqlType::Interval, "-1 day +02:03", "-1 days +02:03:00"),
            (SqlType::Interval, "1.5 years", "1 year 6 mons"),
            (SqlType::Interval, "1.5 months", "1 mon 15 days"),
            (SqlType::Interval, "P1Y2M3DT4H5M6S", "1 year 2 mons 3 days 04:05:06"),
            (SqlType::Interval, "90 minutes", "01:30:00"),
            (SqlType::Interval, "2 hours ago", "-02:00:00"),
            (SqlType::Interval, "0", "00:00:00"),
            (SqlType::Interval, "1 12:00:00", "1 day 12:00:00"),
            (SqlType::Interval, "bogus", "22007"),
        ];
        for (ty, input, output) in cases {
            check(ty, input, output);
        }
    }
}
