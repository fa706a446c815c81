//! The text of intervals read: PostgreSQL's own, the SQL standard's and ISO 8601's.

use super::moment::{BadMoment, number, seconds_micros};
use super::{DAY, HOUR, IntervalStyle, MINUTE, SECOND};
use crate::datum::Interval;

/// Units of intervals and of `date_trunc`, `extract`: as months, days or microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Months(i64),
    Days(i64),
    Micros(i64),
}

fn interval_unit(word: &str) -> Option<Unit> {
    Some(match word {
        "microsecond" | "microseconds" | "us" | "usec" | "usecs" | "usecond" | "useconds" => Unit::Micros(1),
        "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" | "msecond" | "mseconds" => {
            Unit::Micros(1000)
        }
        "second" | "seconds" | "sec" | "secs" | "s" => Unit::Micros(SECOND),
        "minute" | "minutes" | "min" | "mins" | "m" => Unit::Micros(MINUTE),
        "hour" | "hours" | "hr" | "hrs" | "h" => Unit::Micros(HOUR),
        "day" | "days" | "d" => Unit::Days(1),
        "week" | "weeks" | "w" => Unit::Days(7),
        "month" | "months" | "mon" | "mons" => Unit::Months(1),
        "year" | "years" | "yr" | "yrs" | "y" => Unit::Months(12),
        "decade" | "decades" | "decs" | "dec" => Unit::Months(120),
        "century" | "centuries" | "cent" | "c" => Unit::Months(1200),
        "millennium" | "millennia" | "mil" | "mils" => Unit::Months(12_000),
        _ => return None,
    })
}

/// Sums up parts of an interval without overflow.
#[derive(Default)]
struct IntervalSum {
    months: i128,
    days: i128,
    micros: i128,
}

impl IntervalSum {
    /// Adds `whole.fraction` units; fractions of units above months count whole months, of months 30 days, of days 24 hours.
    fn add(&mut self, unit: Unit, negative: bool, whole: i64, fraction: f64) {
        let sign = if negative { -1 } else { 1 };
        let whole = i128::from(whole) * sign;
        let fraction = fraction * sign as f64;
        match unit {
            Unit::Micros(size) => {
                self.micros += whole * i128::from(size) + (fraction * size as f64).round_ties_even() as i128;
            }
            Unit::Days(size) => {
                self.days += whole * i128::from(size);
                self.add_days(fraction * size as f64);
            }
            Unit::Months(1) => {
                self.months += whole;
                self.add_days(fraction * 30.0);
            }
            Unit::Months(size) => {
                self.months += whole * i128::from(size) + (fraction * size as f64).round_ties_even() as i128;
            }
        }
    }

    fn add_days(&mut self, days: f64) {
        self.days += days.trunc() as i128;
        self.micros += ((days - days.trunc()) * DAY as f64).round_ties_even() as i128;
    }

    fn finish(self, negative: bool) -> Option<Interval> {
        let sign = if negative { -1 } else { 1 };
        Some(Interval {
            months: i32::try_from(self.months * sign).ok()?,
            days: i32::try_from(self.days * sign).ok()?,
            micros: i64::try_from(self.micros * sign).ok()?,
        })
    }
}

/// Reads an interval: `1 year 2 mons 3 days 04:05:06`, `P1Y2M3DT4H5M6S`, `1-2`, a trailing `ago`.
pub fn parse_interval(text: &str, style: IntervalStyle) -> Result<Interval, BadMoment> {
    let lower = text.trim().to_ascii_lowercase();
    if let Some(iso) = lower.strip_prefix('p') {
        return parse_iso_interval(iso);
    }
    let mut sum = IntervalSum::default();
    let words = split_interval(&lower);
    // In the standard's style a sign before the first part is that of all, if no other part has one.
    let mut signs = words.iter().map(|word| word.starts_with(['-', '+']));
    let is_standard = style == IntervalStyle::SqlStandard && lower.starts_with('-');
    let all_negative = is_standard && signs.next() == Some(true) && !signs.any(|is_signed| is_signed);
    let mut words = words.into_iter().peekable();
    let (mut any, mut ago) = (false, false);
    while let Some(word) = words.next() {
        if word == "@" {
            continue;
        }
        if word == "ago" && any && words.peek().is_none() {
            ago = true;
            continue;
        }
        let (negative, digits) = signed(word);
        if digits.contains(':') {
            sum.add(Unit::Micros(1), negative, interval_clock(digits)?, 0.0);
        } else if let Some((years, months)) = digits.split_once('-') {
            let months = number(years)? * 12 + number(months)?;
            sum.add(Unit::Months(1), negative, months, 0.0);
        } else {
            let (whole, fraction) = decimal(digits)?;
            let unit = match words.peek() {
                Some(word) if word.starts_with(|c: char| c.is_ascii_alphabetic()) && *word != "ago" => {
                    let word = words.next().unwrap_or("");
                    interval_unit(word).ok_or(BadMoment::Syntax)?
                }
                // A bare number: days before a time, seconds at the end.
                Some(word) if signed(word).1.contains(':') => Unit::Days(1),
                None => Unit::Micros(SECOND),
                _ => return Err(BadMoment::Syntax),
            };
            sum.add(unit, negative, whole, fraction);
        }
        any = true;
    }
    if !any {
        return Err(BadMoment::Syntax);
    }
    if all_negative {
        (sum.months, sum.days, sum.micros) = (-sum.months.abs(), -sum.days.abs(), -sum.micros.abs());
    }
    sum.finish(ago).ok_or(BadMoment::Field)
}

/// Splits at spaces and between a number and its unit.
fn split_interval(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in text.split_ascii_whitespace() {
        let cut = word.find(|c: char| c.is_ascii_alphabetic()).filter(|&at| at > 0);
        match cut {
            Some(at) => words.extend([&word[..at], &word[at..]]),
            None => words.push(word),
        }
    }
    words
}

fn signed(word: &str) -> (bool, &str) {
    match word.as_bytes().first() {
        Some(b'-') => (true, &word[1..]),
        Some(b'+') => (false, &word[1..]),
        _ => (false, word),
    }
}

/// Whole and fraction of a plain decimal number.
fn decimal(text: &str) -> Result<(i64, f64), BadMoment> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
        || whole.len() + fraction.len() == 0
    {
        return Err(BadMoment::Syntax);
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| BadMoment::Field)? };
    let fraction = if fraction.is_empty() {
        0.0
    } else {
        format!("0.{fraction}").parse().map_err(|_| BadMoment::Syntax)?
    };
    Ok((whole, fraction))
}

fn interval_clock(text: &str) -> Result<i64, BadMoment> {
    let parts: Vec<&str> = text.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [minutes, seconds] if seconds.contains('.') => ("0", minutes, seconds),
        [hours, minutes] => (hours, minutes, "0"),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return Err(BadMoment::Syntax),
    };
    let (minutes, seconds) = (number(minutes)?, seconds_micros(seconds)?);
    if minutes > 59 || seconds >= 61 * SECOND {
        return Err(BadMoment::Field);
    }
    Ok(number(hours)? * HOUR + minutes * MINUTE + seconds)
}

fn parse_iso_interval(text: &str) -> Result<Interval, BadMoment> {
    let mut sum = IntervalSum::default();
    let (mut rest, mut in_time, mut any) = (text, false, false);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('t') {
            if in_time {
                return Err(BadMoment::Syntax);
            }
            (rest, in_time) = (after, true);
            continue;
        }
        let (negative, digits) = signed(rest);
        let end = digits.find(|c: char| c.is_ascii_alphabetic()).ok_or(BadMoment::Syntax)?;
        let (whole, fraction) = decimal(&digits[..end])?;
        let unit = match (in_time, &digits[end..=end]) {
            (false, "y") => Unit::Months(12),
            (false, "m") => Unit::Months(1),
            (false, "w") => Unit::Days(7),
            (false, "d") => Unit::Days(1),
            (true, "h") => Unit::Micros(HOUR),
            (true, "m") => Unit::Micros(MINUTE),
            (true, "s") => Unit::Micros(SECOND),
            _ => return Err(BadMoment::Syntax),
        };
        sum.add(unit, negative, whole, fraction);
        rest = &digits[end + 1..];
        any = true;
    }
    if !any {
        return Err(BadMoment::Syntax);
    }
    sum.finish(false).ok_or(BadMoment::Field)
}
