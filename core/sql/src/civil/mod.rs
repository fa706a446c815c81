//! Civil-calendar arithmetic (proleptic Gregorian) and the text forms of dates, timestamps and intervals, as PostgreSQL
//! has them under `DateStyle = 'ISO, MDY'` and `IntervalStyle = 'postgres'`.
//!
//! Days and microseconds count from 1970-01-01. The smallest and the largest value of a type are its infinities. Zones are
//! fixed offsets here: names of zones are refused, never guessed.

mod interval;
mod moment;

use crate::datum::Interval;
pub use interval::parse_interval;
pub use moment::{BadMoment, Moment, parse_moment, parse_time, zone_abbreviation};
use orrery_base::{Error, Result, SqlState};

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds of a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Microseconds of an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Microseconds of a day.
pub const DAY: i64 = 24 * HOUR;

/// `date` infinities.
pub const DATE_INFINITY: i32 = i32::MAX;
/// See [`DATE_INFINITY`].
pub const DATE_MINUS_INFINITY: i32 = i32::MIN;

/// 4714-11-24 BC, the first day of the Julian calendar and of PostgreSQL's dates.
const DATE_FIRST: i64 = -2_440_588;
/// 5874897-12-31.
const DATE_LAST: i64 = 2_145_042_905;
/// In the year 294247. PostgreSQL's last (in 294276) does not fit, since it counts from 2000 and we from 1970.
const TIMESTAMP_LAST: i64 = i64::MAX - 1;

/// A calendar date; year 0 is 1 BC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Astronomical year.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

/// The date of a day number (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub fn civil_from_days(days: i64) -> Civil {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_shifted + 2) / 5 + 1) as u32;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 } as u32;
    Civil { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
}

/// The day number of a date that exists.
pub fn days_from_civil(civil: Civil) -> i64 {
    let year = civil.year - i64::from(civil.month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_shifted = i64::from((civil.month + 9) % 12);
    let day_of_year = (153 * month_shifted + 2) / 5 + i64::from(civil.day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Whether February has 29 days.
pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of a month.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day number, if the date exists and lies in `date`'s range.
pub fn checked_days(year: i64, month: u32, day: u32) -> Option<i32> {
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) || year.abs() > 6_000_000 {
        return None;
    }
    let days = days_from_civil(Civil { year, month, day });
    (DATE_FIRST..=DATE_LAST).contains(&days).then_some(days as i32)
}

/// Whether a finite day number is a `date`.
pub fn is_date(days: i64) -> bool {
    (DATE_FIRST..=DATE_LAST).contains(&days)
}

/// Whether finite microseconds are a `timestamp`.
pub fn is_timestamp(micros: i128) -> bool {
    micros >= i128::from(DATE_FIRST) * i128::from(DAY) && micros <= i128::from(TIMESTAMP_LAST)
}

/// Days and microseconds of the day.
pub fn split_timestamp(micros: i64) -> (i64, i64) {
    (micros.div_euclid(DAY), micros.rem_euclid(DAY))
}

fn out_of_range(what: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

/// 22008 for a timestamp.
pub fn timestamp_out_of_range() -> Error {
    out_of_range("timestamp")
}

/// 22008 for a date.
pub fn date_out_of_range() -> Error {
    out_of_range("date")
}

/// 22008 for an interval.
pub fn interval_out_of_range() -> Error {
    out_of_range("interval")
}

/// Days plus time of day, as a timestamp.
pub fn timestamp_from(days: i64, micros: i64) -> Result<i64> {
    let all = i128::from(days) * i128::from(DAY) + i128::from(micros);
    if is_timestamp(all) { Ok(all as i64) } else { Err(timestamp_out_of_range()) }
}

/// Adds months, the day clipped to the month's last.
pub fn add_months(days: i64, months: i32) -> Result<i64> {
    let civil = civil_from_days(days);
    let month_index = civil.year * 12 + i64::from(civil.month) - 1 + i64::from(months);
    let (year, month) = (month_index.div_euclid(12), month_index.rem_euclid(12) as u32 + 1);
    let day = civil.day.min(days_in_month(year, month));
    Ok(days_from_civil(Civil { year, month, day }))
}

/// `timestamp + interval`: months, then days, then microseconds.
pub fn add_interval(micros: i64, interval: Interval) -> Result<i64> {
    if micros == i64::MAX || micros == i64::MIN {
        return Ok(micros);
    }
    let (mut days, time) = split_timestamp(micros);
    if interval.months != 0 {
        days = add_months(days, interval.months)?;
    }
    days += i64::from(interval.days);
    let all = i128::from(days) * i128::from(DAY) + i128::from(time) + i128::from(interval.micros);
    if is_timestamp(all) { Ok(all as i64) } else { Err(timestamp_out_of_range()) }
}

/// The interval's negative.
pub fn negate(interval: Interval) -> Result<Interval> {
    let negated = (|| {
        Some(Interval {
            months: interval.months.checked_neg()?,
            days: interval.days.checked_neg()?,
            micros: interval.micros.checked_neg()?,
        })
    })();
    negated.ok_or_else(interval_out_of_range)
}

/// Interval order: 30 days a month, 24 hours a day.
pub fn interval_key(interval: Interval) -> i128 {
    (i128::from(interval.months) * 30 + i128::from(interval.days)) * i128::from(DAY)
        + i128::from(interval.micros)
}

// ---- Output.

fn push_date(into: &mut String, civil: Civil) -> bool {
    let bc = civil.year <= 0;
    let year = if bc { 1 - civil.year } else { civil.year };
    into.push_str(&format!("{year:04}-{:02}-{:02}", civil.month, civil.day));
    bc
}

fn push_time(into: &mut String, micros: i64) {
    let (hours, minutes) = (micros / HOUR, micros / MINUTE % 60);
    into.push_str(&format!("{hours:02}:{minutes:02}:"));
    push_seconds(into, micros % MINUTE);
}

fn push_seconds(into: &mut String, micros: i64) {
    into.push_str(&format!("{:02}", micros / SECOND));
    let fraction = micros % SECOND;
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        into.push('.');
        into.push_str(digits.trim_end_matches('0'));
    }
}

/// A date as text.
pub fn format_date(into: &mut String, days: i32) {
    match days {
        DATE_INFINITY => into.push_str("infinity"),
        DATE_MINUS_INFINITY => into.push_str("-infinity"),
        _ => {
            if push_date(into, civil_from_days(i64::from(days))) {
                into.push_str(" BC");
            }
        }
    }
}

/// A time of day as text.
pub fn format_time(into: &mut String, micros: i64) {
    push_time(into, micros);
}

/// A timestamp as text; `zone`: seconds east of UTC, for a timestamptz.
pub fn format_timestamp(into: &mut String, micros: i64, zone: Option<i32>) {
    if micros == i64::MAX || micros == i64::MIN {
        into.push_str(if micros > 0 { "infinity" } else { "-infinity" });
        return;
    }
    let local = i128::from(micros) + i128::from(zone.unwrap_or(0)) * i128::from(SECOND);
    let days = local.div_euclid(i128::from(DAY)) as i64;
    let bc = push_date(into, civil_from_days(days));
    into.push(' ');
    push_time(into, local.rem_euclid(i128::from(DAY)) as i64);
    if let Some(zone) = zone {
        let (sign, zone) = if zone < 0 { ('-', -zone) } else { ('+', zone) };
        into.push_str(&format!("{sign}{:02}", zone / 3600));
        if zone % 3600 != 0 {
            into.push_str(&format!(":{:02}", zone / 60 % 60));
        }
        if zone % 60 != 0 {
            into.push_str(&format!(":{:02}", zone % 60));
        }
    }
    if bc {
        into.push_str(" BC");
    }
}

/// An interval as text, in the style `postgres`.
pub fn format_interval(into: &mut String, interval: Interval) {
    let (mut is_zero, mut is_before) = (true, false);
    let parts = [(interval.months / 12, "year"), (interval.months % 12, "mon"), (interval.days, "day")];
    for (value, unit) in parts {
        if value == 0 {
            continue;
        }
        let space = if is_zero { "" } else { " " };
        let plus = if is_before && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        into.push_str(&format!("{space}{plus}{value} {unit}{plural}"));
        is_before = value < 0;
        is_zero = false;
    }
    if is_zero || interval.micros != 0 {
        if !is_zero {
            into.push(' ');
        }
        if interval.micros < 0 {
            into.push('-');
        } else if is_before {
            into.push('+');
        }
        let micros = interval.micros.unsigned_abs();
        let hour = HOUR as u64;
        into.push_str(&format!("{:02}:{:02}:", micros / hour, micros / MINUTE as u64 % 60));
        push_seconds(into, (micros % MINUTE as u64) as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-2_440_588..2_932_896).step_by(379) {
            let civil = civil_from_days(days);
            assert_eq!(days_from_civil(civil), days, "{civil:?}");
        }
        assert_eq!(civil_from_days(0), Civil { year: 1970, month: 1, day: 1 });
        assert_eq!(checked_days(2000, 2, 30), None);
        assert_eq!(days_from_civil(Civil { year: 5_874_897, month: 12, day: 31 }), DATE_LAST);
        assert_eq!(days_from_civil(Civil { year: -4713, month: 11, day: 24 }), DATE_FIRST);
    }

    #[test]
    fn months_clip_to_the_last_day() {
        let january = i64::from(checked_days(2001, 1, 31).unwrap());
        assert_eq!(civil_from_days(add_months(january, 1).unwrap()), Civil { year: 2001, month: 2, day: 28 });
        assert_eq!(
            civil_from_days(add_months(january, -2).unwrap()),
            Civil { year: 2000, month: 11, day: 30 }
        );
    }
}
