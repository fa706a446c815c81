//! Civil-calendar arithmetic (proleptic Gregorian), time zones, and the text forms of dates, timestamps and intervals, as
//! PostgreSQL has them.
//!
//! Days and microseconds count from 1970-01-01. The smallest and the largest value of a type are its infinities.

mod interval;
mod moment;
mod style;
mod zone;

use crate::datum::Interval;
pub use interval::parse_interval;
pub use moment::{BadMoment, Moment, names_clock, parse_moment, parse_time, posix_zone, zone_abbreviation};
use orrery_base::{Error, Result, SqlState};
pub use style::{
    DateOrder, DateStyle, IntervalStyle, format_date, format_interval, format_time, format_timestamp,
};
pub use zone::Zone;

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

/// `timestamptz + interval` in a zone: months and days count in local time, microseconds in the one that runs evenly.
pub fn add_interval_in(micros: i64, interval: Interval, zone: Zone) -> Result<i64> {
    if micros == i64::MAX || micros == i64::MIN {
        return Ok(micros);
    }
    let mut micros = micros;
    if interval.months != 0 || interval.days != 0 {
        let days = Interval { micros: 0, ..interval };
        micros = zone.to_utc(add_interval(zone.to_local(micros)?, days)?)?;
    }
    add_interval(micros, Interval { months: 0, days: 0, micros: interval.micros })
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
