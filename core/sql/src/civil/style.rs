//! Dates, times and intervals written, in each of PostgreSQL's styles.

use super::{Civil, DATE_INFINITY, DATE_MINUS_INFINITY, DAY, HOUR, MINUTE, SECOND, Zone, civil_from_days};
use crate::datum::Interval;
use std::fmt::Write as _;

/// How dates and timestamps are written: the first word of `DateStyle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateStyle {
    /// `2001-02-16 20:38:40+01`
    #[default]
    Iso,
    /// `Fri Feb 16 20:38:40 2001 CET`
    Postgres,
    /// `02/16/2001 20:38:40 CET`
    Sql,
    /// `16.02.2001 20:38:40 CET`
    German,
}

/// Which of three numbers of a date is which: the second word of `DateStyle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    /// Month, day, year.
    #[default]
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day.
    Ymd,
}

/// How intervals are written: `IntervalStyle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntervalStyle {
    /// `1 year 2 mons 3 days 04:05:06`
    #[default]
    Postgres,
    /// `@ 1 year 2 mons 3 days 4 hours 5 mins 6 secs`
    PostgresVerbose,
    /// `+1-2 +3 +4:05:06`
    SqlStandard,
    /// `P1Y2M3DT4H5M6S`
    Iso8601,
}

fn push(into: &mut String, parts: std::fmt::Arguments<'_>) {
    into.write_fmt(parts).expect("writing to a string cannot fail");
}

/// A date's year as it is shown, and whether it is one before Christ.
fn shown_year(civil: Civil) -> (i64, bool) {
    if civil.year <= 0 { (1 - civil.year, true) } else { (civil.year, false) }
}

fn push_numbers(into: &mut String, civil: Civil, style: DateStyle, order: DateOrder) {
    let Civil { month, day, .. } = civil;
    let (year, _) = shown_year(civil);
    let (first, second) = if order == DateOrder::Dmy { (day, month) } else { (month, day) };
    match style {
        DateStyle::Iso => push(into, format_args!("{year:04}-{month:02}-{day:02}")),
        DateStyle::Sql => push(into, format_args!("{first:02}/{second:02}/{year:04}")),
        DateStyle::Postgres => push(into, format_args!("{first:02}-{second:02}-{year:04}")),
        DateStyle::German => push(into, format_args!("{day:02}.{month:02}.{year:04}")),
    }
}

fn push_time(into: &mut String, micros: i64) {
    let (hours, minutes) = (micros / HOUR, micros / MINUTE % 60);
    push(into, format_args!("{hours:02}:{minutes:02}:"));
    push_seconds(into, micros % MINUTE, 2);
}

/// Seconds of at least `width` digits before the point.
fn push_seconds(into: &mut String, micros: i64, width: usize) {
    push(into, format_args!("{:0width$}", micros / SECOND));
    let fraction = micros % SECOND;
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        into.push('.');
        into.push_str(digits.trim_end_matches('0'));
    }
}

/// A date as text.
pub fn format_date(into: &mut String, days: i32, style: DateStyle, order: DateOrder) {
    match days {
        DATE_INFINITY => into.push_str("infinity"),
        DATE_MINUS_INFINITY => into.push_str("-infinity"),
        _ => {
            let civil = civil_from_days(i64::from(days));
            push_numbers(into, civil, style, order);
            if shown_year(civil).1 {
                into.push_str(" BC");
            }
        }
    }
}

/// A time of day as text.
pub fn format_time(into: &mut String, micros: i64) {
    push_time(into, micros);
}

fn push_offset(into: &mut String, offset: i32) {
    let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    push(into, format_args!("{sign}{:02}", offset / 3600));
    if offset % 3600 != 0 {
        push(into, format_args!(":{:02}", offset / 60 % 60));
    }
    if offset % 60 != 0 {
        push(into, format_args!(":{:02}", offset % 60));
    }
}

/// A timestamp as text; `zone`: of a timestamptz.
pub fn format_timestamp(
    into: &mut String,
    micros: i64,
    zone: Option<Zone>,
    style: DateStyle,
    order: DateOrder,
) {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if micros == i64::MAX || micros == i64::MIN {
        into.push_str(if micros > 0 { "infinity" } else { "-infinity" });
        return;
    }
    let offset = zone.map_or(0, |zone| zone.offset_at(micros));
    let local = i128::from(micros) + i128::from(offset) * i128::from(SECOND);
    let days = local.div_euclid(i128::from(DAY)) as i64;
    let time = local.rem_euclid(i128::from(DAY)) as i64;
    let civil = civil_from_days(days);
    if style == DateStyle::Postgres {
        let month = MONTHS[civil.month as usize - 1];
        into.push_str(WEEKDAYS[days.rem_euclid(7) as usize]);
        match order {
            DateOrder::Dmy => push(into, format_args!(" {:02} {month} ", civil.day)),
            _ => push(into, format_args!(" {month} {:02} ", civil.day)),
        }
        push_time(into, time);
        push(into, format_args!(" {:04}", shown_year(civil).0));
    } else {
        push_numbers(into, civil, style, order);
        into.push(' ');
        push_time(into, time);
    }
    match zone {
        Some(_) if style == DateStyle::Iso => push_offset(into, offset),
        Some(zone) => push(into, format_args!(" {}", zone.abbreviation_at(micros))),
        None => {}
    }
    if shown_year(civil).1 {
        into.push_str(" BC");
    }
}

/// An interval as text.
pub fn format_interval(into: &mut String, interval: Interval, style: IntervalStyle) {
    match style {
        IntervalStyle::Postgres => plain(into, interval),
        IntervalStyle::PostgresVerbose => verbose(into, interval),
        IntervalStyle::SqlStandard => standard(into, interval),
        IntervalStyle::Iso8601 => iso(into, interval),
    }
}

fn plain(into: &mut String, interval: Interval) {
    let (mut is_zero, mut is_before) = (true, false);
    let parts = [(interval.months / 12, "year"), (interval.months % 12, "mon"), (interval.days, "day")];
    for (value, unit) in parts {
        if value == 0 {
            continue;
        }
        let space = if is_zero { "" } else { " " };
        let plus = if is_before && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        push(into, format_args!("{space}{plus}{value} {unit}{plural}"));
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
        push_clock(into, interval.micros.unsigned_abs(), 2);
    }
}

/// Hours of at least `width` digits, minutes and seconds.
fn push_clock(into: &mut String, micros: u64, width: usize) {
    let hour = HOUR as u64;
    push(into, format_args!("{:0width$}:{:02}:", micros / hour, micros / MINUTE as u64 % 60));
    push_seconds(into, (micros % MINUTE as u64) as i64, 2);
}

/// The first part's sign decides that of all: `@ 1 day -2 hours ago`.
fn verbose(into: &mut String, interval: Interval) {
    into.push('@');
    let mut ago: Option<bool> = None;
    let mut part = |into: &mut String, value: i64, unit: &str| {
        if value != 0 {
            let is_ago = *ago.get_or_insert(value < 0);
            let value = if is_ago { -value } else { value };
            push(into, format_args!(" {value} {unit}{}", if value == 1 { "" } else { "s" }));
        }
    };
    part(into, (interval.months / 12).into(), "year");
    part(into, (interval.months % 12).into(), "mon");
    part(into, interval.days.into(), "day");
    part(into, interval.micros / HOUR, "hour");
    part(into, interval.micros / MINUTE % 60, "min");
    let micros = interval.micros % MINUTE;
    if micros != 0 {
        let is_ago = *ago.get_or_insert(micros < 0);
        into.push(' ');
        if (micros < 0) != is_ago {
            into.push('-');
        }
        push_seconds(into, micros.abs(), 1);
        into.push_str(if micros.abs() == SECOND { " sec" } else { " secs" });
    }
    match ago {
        None => into.push_str(" 0"),
        Some(true) => into.push_str(" ago"),
        Some(false) => {}
    }
}

fn standard(into: &mut String, interval: Interval) {
    let Interval { months, days, micros } = interval;
    let has_less = months < 0 || days < 0 || micros < 0;
    let has_more = months > 0 || days > 0 || micros > 0;
    let (has_months, has_time) = (months != 0, days != 0 || micros != 0);
    let parts = usize::from(has_months) + usize::from(has_time);
    if parts == 0 {
        into.push('0');
    } else if has_less && has_more || parts == 2 {
        // What the standard has no form for: each part with its sign.
        let sign = |less: bool| if less { '-' } else { '+' };
        let months_abs = months.unsigned_abs();
        push(into, format_args!("{}{}-{} ", sign(months < 0), months_abs / 12, months_abs % 12));
        push(into, format_args!("{}{} {}", sign(days < 0), days.unsigned_abs(), sign(micros < 0)));
        push_clock(into, micros.unsigned_abs(), 1);
    } else {
        if has_less {
            into.push('-');
        }
        if has_months {
            push(into, format_args!("{}-{}", months.unsigned_abs() / 12, months.unsigned_abs() % 12));
        } else {
            if days != 0 {
                push(into, format_args!("{} ", days.unsigned_abs()));
            }
            push_clock(into, micros.unsigned_abs(), 1);
        }
    }
}

fn iso(into: &mut String, interval: Interval) {
    if interval == Interval::default() {
        into.push_str("PT0S");
        return;
    }
    let part = |into: &mut String, value: i64, unit: char| {
        if value != 0 {
            push(into, format_args!("{value}{unit}"));
        }
    };
    into.push('P');
    part(into, (interval.months / 12).into(), 'Y');
    part(into, (interval.months % 12).into(), 'M');
    part(into, interval.days.into(), 'D');
    if interval.micros != 0 {
        into.push('T');
        part(into, interval.micros / HOUR, 'H');
        part(into, interval.micros / MINUTE % 60, 'M');
        let micros = interval.micros % MINUTE;
        if micros != 0 {
            if micros < 0 {
                into.push('-');
            }
            push_seconds(into, micros.abs(), 1);
            into.push('S');
        }
    }
}
