//! Text in and out of `numeric`, as PostgreSQL's `numeric_in` and `numeric_out`.

use super::{Coefficient, INTEGER_DIGIT_COUNT_MAX, Numeric, SCALE_MAX, pow10_big};
use num_bigint::BigInt;
use orrery_base::{Error, SqlState};
use std::fmt;
use std::str::FromStr;

impl FromStr for Numeric {
    type Err = Error;

    /// Errors: 22P02 when it is no number, 22003 when it has too many digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || {
            Error::new(
                SqlState::INVALID_TEXT_REPRESENTATION,
                format!("invalid input syntax for type numeric: \"{text}\""),
            )
        };
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        match trimmed.to_ascii_lowercase().as_str() {
            "nan" => return Ok(Numeric::NaN),
            "infinity" | "+infinity" | "inf" | "+inf" => return Ok(Numeric::PositiveInfinity),
            "-infinity" | "-inf" => return Ok(Numeric::NegativeInfinity),
            _ => {}
        }
        let (negative, rest) = match trimmed.as_bytes().first() {
            Some(b'-') => (true, &trimmed[1..]),
            Some(b'+') => (false, &trimmed[1..]),
            _ => (false, trimmed),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], parse_exponent(&rest[at + 1..]).ok_or_else(invalid)?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(invalid());
        }
        from_digits(negative, whole, fraction, exponent)
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Anything longer overflows below all the same.
    text.parse().ok().or(Some(if text.starts_with('-') { -i64::from(i32::MAX) } else { i64::from(i32::MAX) }))
}

fn from_digits(negative: bool, whole: &str, fraction: &str, exponent: i64) -> Result<Numeric, Error> {
    let overflow = || Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format");
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    let scale = fraction.len() as i64 - exponent;
    if significant.is_empty() {
        let scale = u16::try_from(scale.clamp(0, i64::from(SCALE_MAX))).expect("clamped");
        return Ok(Numeric::from_parts(0, scale));
    }
    if significant.len() as i64 - scale > INTEGER_DIGIT_COUNT_MAX as i64 || scale > i64::from(SCALE_MAX) {
        return Err(overflow());
    }
    let padding = u32::try_from(-scale.min(0)).map_err(|_| overflow())?;
    let scale = u32::try_from(scale.max(0)).map_err(|_| overflow())?;
    if significant.len() as u32 + padding <= 38 {
        let small: i128 = significant.parse().expect("at most 38 digits");
        let small = small * super::pow10(padding).expect("at most 38 digits");
        return Ok(Numeric::from_parts(if negative { -small } else { small }, scale as u16));
    }
    let magnitude: BigInt = significant.parse().map_err(|_| overflow())?;
    let magnitude = magnitude * pow10_big(padding);
    Ok(Numeric::from_big_parts(if negative { -magnitude } else { magnitude }, scale))
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (coefficient, scale) = match self {
            Numeric::NaN => return f.write_str("NaN"),
            Numeric::PositiveInfinity => return f.write_str("Infinity"),
            Numeric::NegativeInfinity => return f.write_str("-Infinity"),
            Numeric::Finite { coefficient, scale } => (coefficient, usize::from(*scale)),
        };
        show(f, coefficient, scale)
    }
}

fn show(f: &mut fmt::Formatter<'_>, coefficient: &Coefficient, scale: usize) -> fmt::Result {
    let digits = coefficient.digits();
    if coefficient.signum() < 0 {
        f.write_str("-")?;
    }
    if scale == 0 {
        return f.write_str(&digits);
    }
    match digits.len().checked_sub(scale) {
        Some(point) if point > 0 => write!(f, "{}.{}", &digits[..point], &digits[point..]),
        _ => write!(f, "0.{digits:0>scale$}"),
    }
}
