//! Civil-calendar arithmetic (proleptic Gregorian) and the text forms of dates, timestamps and intervals, as PostgreSQL
//! has them under `DateStyle = 'ISO, MDY'` and `IntervalStyle = 'postgres'`.
//!
//! Days and microseconds count from 1970-01-01. The smallest and the largest value of a type are its infinities. Zones are
//! fixed offsets here: names of zones are refused, never guessed.

use crate::datum::Interval;
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

// ---- Input.

/// What a date or timestamp text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `infinity`
    Infinity,
    /// `-infinity`
    MinusInfinity,
    /// A date, the time of day, and the zone if it has one.
    At {
        /// Day number.
        days: i32,
        /// Microseconds of the day.
        micros: i64,
        /// Seconds east of UTC.
        zone: Option<i32>,
    },
}

/// Why a text is no moment.
pub enum BadMoment {
    /// Not the syntax: 22007.
    Syntax,
    /// A field out of its range: 22008.
    Field,
    /// A zone's offset out of its range: 22009.
    Displacement,
    /// An unknown zone name: 22023.
    Zone(String),
    /// Depends on the clock: not built.
    Clock(String),
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

fn month_number(word: &str) -> Option<u32> {
    if word.len() < 3 {
        return None;
    }
    let is = |name: &&str| {
        **name == *word
            || (word.len() == 3 && name.starts_with(word))
            || (word == "sept" && **name == *"september")
    };
    MONTHS.iter().position(is).map(|index| index as u32 + 1)
}

fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    word.len() >= 3 && DAYS.iter().any(|day| day.starts_with(word))
}

#[derive(Default)]
struct Fields {
    date: Option<(i64, u32, u32)>,
    time: Option<i64>,
    zone: Option<i32>,
    month: Option<u32>,
    numbers: Vec<(i64, usize)>,
    /// A year of one or two digits as it was written.
    short_year: Option<i64>,
    bc: bool,
    afternoon: Option<bool>,
}

/// Reads a date with an optional time and zone.
pub fn parse_moment(text: &str) -> Result<Moment, BadMoment> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.as_str() {
        "infinity" | "+infinity" => return Ok(Moment::Infinity),
        "-infinity" => return Ok(Moment::MinusInfinity),
        "epoch" => return Ok(Moment::At { days: 0, micros: 0, zone: Some(0) }),
        "now" | "today" | "tomorrow" | "yesterday" => return Err(BadMoment::Clock(lower)),
        _ => {}
    }
    let mut fields = Fields::default();
    for word in lower.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()) {
        read_word(&mut fields, word)?;
    }
    finish_moment(fields)
}

fn read_word(fields: &mut Fields, word: &str) -> Result<(), BadMoment> {
    let first = word.as_bytes()[0];
    if first.is_ascii_digit() {
        // 1999-01-08t04:05:06z: date and time in one word.
        if fields.date.is_none()
            && fields.numbers.is_empty()
            && fields.month.is_none()
            && let Some(at) =
                word.find('t').filter(|&at| word[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            read_word(fields, &word[..at])?;
            return read_word(fields, &word[at + 1..]);
        }
        if word.contains(':') {
            return read_time(fields, word);
        }
        return read_date(fields, word);
    }
    if (first == b'+' || first == b'-') && fields.time.is_some() && fields.zone.is_none() {
        fields.zone = Some(read_zone(word)?);
        return Ok(());
    }
    match word {
        "bc" => fields.bc = true,
        "ad" | "at" => {}
        "am" | "pm" if fields.time.is_some() => fields.afternoon = Some(word == "pm"),
        "z" | "utc" | "gmt" | "zulu" if fields.zone.is_none() => fields.zone = Some(0),
        _ => {
            if let Some(month) = month_number(word).filter(|_| fields.month.is_none()) {
                fields.month = Some(month);
            } else if word.split_once('-').is_some_and(|(name, _)| month_number(name).is_some()) {
                return read_date(fields, word);
            } else if word.chars().all(|c| c.is_ascii_alphabetic()) && is_weekday(word) {
            } else if word.contains('/')
                || (fields.time.is_some() && word.chars().all(|c| c.is_ascii_alphabetic()))
            {
                return Err(BadMoment::Zone(word.to_owned()));
            } else {
                return Err(BadMoment::Syntax);
            }
        }
    }
    Ok(())
}

fn number(text: &str) -> Result<i64, BadMoment> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadMoment::Syntax);
    }
    text.parse().map_err(|_| BadMoment::Syntax)
}

fn read_date(fields: &mut Fields, word: &str) -> Result<(), BadMoment> {
    let separator = word.find(['-', '/', '.']).map(|at| word.as_bytes()[at] as char);
    let Some(separator) = separator else {
        if word.len() == 8 && fields.month.is_none() && fields.numbers.is_empty() && fields.date.is_none() {
            let parts = (number(&word[..4])?, number(&word[4..6])? as u32, number(&word[6..])? as u32);
            fields.date = Some(parts);
            return Ok(());
        }
        fields.numbers.push((number(word)?, word.len()));
        return Ok(());
    };
    if fields.date.is_some() {
        return Err(BadMoment::Syntax);
    }
    let parts: Vec<&str> = word.split(separator).collect();
    let [a, b, c] = parts[..] else { return Err(BadMoment::Syntax) };
    let year = |text: &str| year(text).map(|year| (year, number(text).ok().filter(|_| text.len() <= 2)));
    let named = [a, b].iter().position(|part| month_number(part).is_some());
    let ((year, short), month, day) = match named {
        // 1999-jan-08, jan-08-1999, 08-jan-1999
        Some(1) if a.len() > 2 => ((number(a)?, None), month_number(b).unwrap_or(0), number(c)? as u32),
        Some(1) => (year(c)?, month_number(b).unwrap_or(0), number(a)? as u32),
        Some(_) => (year(c)?, month_number(a).unwrap_or(0), number(b)? as u32),
        None if a.len() > 2 => ((number(a)?, None), number(b)? as u32, number(c)? as u32),
        None => (year(c)?, number(a)? as u32, number(b)? as u32),
    };
    fields.date = Some((year, month, day));
    fields.short_year = short;
    Ok(())
}

/// Two-digit years are 1970 to 2069.
fn year(text: &str) -> Result<i64, BadMoment> {
    let year = number(text)?;
    Ok(match text.len() {
        1 | 2 if year < 70 => year + 2000,
        1 | 2 => year + 1900,
        _ => year,
    })
}

fn read_zone(word: &str) -> Result<i32, BadMoment> {
    let (sign, rest) = if let Some(rest) = word.strip_prefix('-') { (-1, rest) } else { (1, &word[1..]) };
    let parts: Vec<&str> = rest.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours] if hours.len() <= 2 => (number(hours)?, 0, 0),
        [both] if both.len() == 4 || both.len() == 3 => {
            let cut = both.len() - 2;
            (number(&both[..cut])?, number(&both[cut..])?, 0)
        }
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return Err(BadMoment::Syntax),
    };
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(BadMoment::Displacement);
    }
    Ok(sign * (hours * 3600 + minutes * 60 + seconds) as i32)
}

fn read_time(fields: &mut Fields, word: &str) -> Result<(), BadMoment> {
    if fields.time.is_some() {
        return Err(BadMoment::Syntax);
    }
    let mut clock = word;
    if let Some(at) = clock.find(['+', '-']) {
        fields.zone = Some(read_zone(&clock[at..])?);
        clock = &clock[..at];
    } else if let Some(rest) = clock.strip_suffix('z').or_else(|| clock.strip_suffix("utc")) {
        fields.zone = Some(0);
        clock = rest;
    } else if let Some(rest) = clock.strip_suffix("am") {
        fields.afternoon = Some(false);
        clock = rest;
    } else if let Some(rest) = clock.strip_suffix("pm") {
        fields.afternoon = Some(true);
        clock = rest;
    }
    fields.time = Some(parse_clock(clock)?);
    Ok(())
}

/// `HH:MM[:SS[.ffffff]]` as microseconds of a day (24:00:00 included).
fn parse_clock(text: &str) -> Result<i64, BadMoment> {
    let mut parts = text.split(':');
    let hours = number(parts.next().unwrap_or(""))?;
    let minutes = number(parts.next().ok_or(BadMoment::Syntax)?)?;
    let seconds = parts.next().map_or(Ok(0), seconds_micros)?;
    if parts.next().is_some() {
        return Err(BadMoment::Syntax);
    }
    let micros = hours * HOUR + minutes * MINUTE + seconds;
    // A leap second counts as the next minute's first.
    if minutes > 59 || seconds > MINUTE || micros > DAY {
        return Err(BadMoment::Field);
    }
    Ok(micros)
}

fn seconds_micros(text: &str) -> Result<i64, BadMoment> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    Ok(number(whole)? * SECOND + fraction_micros(fraction)?)
}

/// Digits after the point as microseconds, rounded.
fn fraction_micros(digits: &str) -> Result<i64, BadMoment> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadMoment::Syntax);
    }
    let mut micros = 0;
    for index in 0..6 {
        micros = micros * 10 + i64::from(digits.as_bytes().get(index).map_or(0, |digit| digit - b'0'));
    }
    Ok(micros + i64::from(digits.as_bytes().get(6).is_some_and(|&digit| digit >= b'5')))
}

fn finish_moment(mut fields: Fields) -> Result<Moment, BadMoment> {
    if fields.date.is_none() {
        let month = fields.month.ok_or(BadMoment::Syntax)?;
        let [(first, first_len), (second, second_len)] = fields.numbers[..] else {
            return Err(BadMoment::Syntax);
        };
        let as_year = |value: i64, len: usize| match len {
            1 | 2 if value < 70 => value + 2000,
            1 | 2 => value + 1900,
            _ => value,
        };
        fields.short_year = (first_len <= 2 && second_len <= 2).then_some(second);
        fields.date = Some(match first_len > 2 {
            true => (first, month, second as u32),
            false => (as_year(second, second_len), month, first as u32),
        });
    } else if fields.month.is_some() || !fields.numbers.is_empty() {
        return Err(BadMoment::Syntax);
    }
    let (mut year, month, day) = fields.date.ok_or(BadMoment::Syntax)?;
    if year == 0 {
        return Err(BadMoment::Field);
    }
    if fields.bc {
        // Two digits before Christ are no year of our century.
        year = 1 - fields.short_year.unwrap_or(year);
    }
    let mut micros = fields.time.unwrap_or(0);
    if let Some(afternoon) = fields.afternoon {
        let hours = micros / HOUR;
        if hours > 12 {
            return Err(BadMoment::Field);
        }
        micros += match (afternoon, hours == 12) {
            (true, false) => 12 * HOUR,
            (false, true) => -12 * HOUR,
            _ => 0,
        };
    }
    let days = checked_days(year, month, day).ok_or(BadMoment::Field)?;
    Ok(Moment::At { days, micros, zone: fields.zone })
}

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
pub fn parse_interval(text: &str) -> Result<Interval, BadMoment> {
    let lower = text.trim().to_ascii_lowercase();
    if let Some(iso) = lower.strip_prefix('p') {
        return parse_iso_interval(iso);
    }
    let mut sum = IntervalSum::default();
    let mut words = split_interval(&lower).into_iter().peekable();
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
