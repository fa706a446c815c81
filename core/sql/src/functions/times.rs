//! Functions and operators of `time`, and `make_time`, `make_timestamp`, `make_timestamptz`, `make_interval`, `date_bin`.

use super::kernel::{Row, datums};
use super::{ResultType, Scalar, Volatility, dates, scalar};
use crate::civil::{self, DAY, HOUR, MINUTE, SECOND};
use crate::datum::{Datum, Interval};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use orrery_row::numeric::Numeric;

fn field_error(message: String) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
}

/// Microseconds of a clock's fields, 24:00 included. Errors: 22008.
fn clock(hour: i32, minute: i32, second: f64) -> Result<i64> {
    let in_range = (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..=60.0).contains(&second);
    let micros = i64::from(hour) * HOUR
        + i64::from(minute) * MINUTE
        + if in_range { libm::rint(second * SECOND as f64) as i64 } else { 0 };
    if !in_range || micros > DAY {
        let shown = crate::text::format(&Datum::Float8(second), SqlType::Float8, Default::default());
        let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
        let point = if fraction.is_empty() { "" } else { "." };
        let message =
            format!("time field value out of range: {hour}:{minute:02}:{whole:0>2}{point}{fraction}");
        return Err(field_error(message));
    }
    Ok(micros)
}

fn timestamp(row: &Row<'_>) -> Result<i64> {
    let (year, month, day) = (row.i32(0)?, row.i32(1)?, row.i32(2)?);
    let (hour, minute, second) = (row.i32(3)?, row.i32(4)?, row.f64(5)?);
    let astronomical = if year < 0 { i64::from(year) + 1 } else { i64::from(year) };
    let days = match (u32::try_from(month), u32::try_from(day)) {
        (Ok(month), Ok(day)) if year != 0 => civil::checked_days(astronomical, month, day),
        _ => None,
    };
    let days = days
        .ok_or_else(|| field_error(format!("date field value out of range: {year}-{month:02}-{day:02}")))?;
    civil::timestamp_from(days.into(), clock(hour, minute, second)?)
}

fn time_plus(time: i64, interval: Interval) -> Datum {
    Datum::Time((time + interval.micros % DAY).rem_euclid(DAY))
}

fn time_field(field: &str, micros: i64) -> Result<Numeric> {
    let scaled = |micros: i64, scale: u16| Numeric::from_decimal128(micros.into(), scale);
    Ok(match field {
        "microsecond" | "microseconds" => Numeric::from_i64(micros % MINUTE),
        "millisecond" | "milliseconds" => scaled(micros % MINUTE, 3),
        "second" | "seconds" => scaled(micros % MINUTE, 6),
        "minute" | "minutes" => Numeric::from_i64(micros / MINUTE % 60),
        "hour" | "hours" => Numeric::from_i64(micros / HOUR),
        "epoch" => scaled(micros, 6),
        _ => {
            let known = [
                "day",
                "month",
                "year",
                "decade",
                "century",
                "millennium",
                "week",
                "quarter",
                "dow",
                "doy",
                "isodow",
                "isoyear",
                "julian",
                "timezone",
                "timezone_hour",
                "timezone_minute",
            ];
            let (code, verb) = if known.contains(&field) {
                (SqlState::FEATURE_NOT_SUPPORTED, "supported")
            } else {
                (SqlState::INVALID_PARAMETER_VALUE, "recognized")
            };
            return Err(Error::new(
                code,
                format!("unit \"{field}\" not {verb} for type time without time zone"),
            ));
        }
    })
}

/// The start of the bin of `stride` from `origin` that a timestamp lies in.
fn date_bin(stride: Interval, source: i64, origin: i64) -> Result<i64> {
    let is_infinite = |micros: i64| micros == i64::MAX || micros == i64::MIN;
    if is_infinite(source) {
        return Ok(source);
    }
    if is_infinite(origin) {
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "origin out of range"));
    }
    if stride.months != 0 {
        return Err(Error::unsupported(
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    let width = i128::from(stride.days) * i128::from(DAY) + i128::from(stride.micros);
    let width = i64::try_from(width).map_err(|_| civil::interval_out_of_range())?;
    if width <= 0 {
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "stride must be greater than zero"));
    }
    let distance = i128::from(source) - i128::from(origin);
    let start = i128::from(origin) + distance.div_euclid(width.into()) * i128::from(width);
    if civil::is_timestamp(start) { Ok(start as i64) } else { Err(civil::timestamp_out_of_range()) }
}

/// `make_interval(years, months, weeks, days, hours, mins, secs)`, of which the last may be left out.
fn make_interval(row: &Row<'_>) -> Result<Datum> {
    let part = |index: usize| if index < row.len() { row.i32(index).map(i64::from) } else { Ok(0) };
    let seconds = if row.len() > 6 { row.f64(6)? } else { 0.0 };
    let out = civil::interval_out_of_range;
    let months = part(0)? * 12 + part(1)?;
    let days = part(2)? * 7 + part(3)?;
    let micros = libm::rint(seconds * SECOND as f64);
    if !micros.is_finite() || micros.abs() >= 9.2e18 {
        return Err(out());
    }
    Ok(Datum::Interval(Interval {
        months: i32::try_from(months).map_err(|_| out())?,
        days: i32::try_from(days).map_err(|_| out())?,
        micros: (part(4)? * HOUR + part(5)? * MINUTE).checked_add(micros as i64).ok_or_else(out)?,
    }))
}

fn justify_interval(value: Interval) -> Result<Interval> {
    // Signs of days and time agree before they are carried.
    let total = i128::from(value.months) * 30 * i128::from(DAY)
        + i128::from(value.days) * i128::from(DAY)
        + i128::from(value.micros);
    let months = total / (30 * i128::from(DAY));
    let rest = total % (30 * i128::from(DAY));
    Ok(Interval {
        months: i32::try_from(months).map_err(|_| civil::interval_out_of_range())?,
        days: (rest / i128::from(DAY)) as i32,
        micros: (rest % i128::from(DAY)) as i64,
    })
}

macro_rules! op {
    ($name:literal, [$($arg:ident),*] => $result:ident, |$row:ident| $body:expr) => {
        scalar!($name, [$($arg),*] => $result, |_, args, rows| datums(args, rows, SqlType::$result, |$row| $body))
    };
}

macro_rules! intervals {
    ($($args:expr),*) => { [$(
        Scalar {
            args: $args,
            ..op!("make_interval", [] => Interval, |row| make_interval(row))
        }
    ),*] };
}

use SqlType::{Float8, Int4};

pub(super) static INTERVALS: [Scalar; 8] = intervals!(
    &[],
    &[Int4],
    &[Int4, Int4],
    &[Int4, Int4, Int4],
    &[Int4, Int4, Int4, Int4],
    &[Int4, Int4, Int4, Int4, Int4],
    &[Int4, Int4, Int4, Int4, Int4, Int4],
    &[Int4, Int4, Int4, Int4, Int4, Int4, Float8]
);

pub(super) static ENTRIES: &[Scalar] = &[
    op!("+", [Time, Interval] => Time, |row| Ok(time_plus(row.i64(0)?, row.interval(1)?))),
    op!("+", [Interval, Time] => Time, |row| Ok(time_plus(row.i64(1)?, row.interval(0)?))),
    op!("-", [Time, Interval] => Time, |row| {
        let interval = row.interval(1)?;
        Ok(Datum::Time((row.i64(0)? - interval.micros % DAY).rem_euclid(DAY)))
    }),
    op!("-", [Time, Time] => Interval, |row| {
        Ok(Datum::Interval(Interval { micros: row.i64(0)? - row.i64(1)?, ..Interval::default() }))
    }),
    op!("+", [Date, Time] => Timestamp, |row| date_time(row.i32(0)?, row.i64(1)?)),
    op!("+", [Time, Date] => Timestamp, |row| date_time(row.i32(1)?, row.i64(0)?)),
    op!("extract", [Text, Time] => Numeric, |row| {
        time_field(&row.text(0)?.to_ascii_lowercase(), row.i64(1)?).map(Datum::Numeric)
    }),
    op!("date_part", [Text, Time] => Float8, |row| {
        let field = time_field(&row.text(0)?.to_ascii_lowercase(), row.i64(1)?)?;
        Ok(Datum::Float8(field.to_f64()))
    }),
    op!("make_time", [Int4, Int4, Float8] => Time, |row| {
        clock(row.i32(0)?, row.i32(1)?, row.f64(2)?).map(Datum::Time)
    }),
    op!("make_timestamp", [Int4, Int4, Int4, Int4, Int4, Float8] => Timestamp, |row| {
        timestamp(row).map(Datum::Timestamp)
    }),
    Scalar {
        volatility: Volatility::Stable,
        result: ResultType::Fixed(SqlType::Timestamptz),
        ..scalar!("make_timestamptz", [Int4, Int4, Int4, Int4, Int4, Float8] => Timestamptz, |context, args, rows| {
            datums(args, rows, SqlType::Timestamptz, |row| {
                context.zone().to_utc(timestamp(row)?).map(Datum::Timestamptz)
            })
        })
    },
    op!("make_timestamptz", [Int4, Int4, Int4, Int4, Int4, Float8, Text] => Timestamptz, |row| {
        dates::zone_of(row.text(6)?)?.to_utc(timestamp(row)?).map(Datum::Timestamptz)
    }),
    op!("date_bin", [Interval, Timestamp, Timestamp] => Timestamp, |row| {
        date_bin(row.interval(0)?, row.i64(1)?, row.i64(2)?).map(Datum::Timestamp)
    }),
    op!("date_bin", [Interval, Timestamptz, Timestamptz] => Timestamptz, |row| {
        date_bin(row.interval(0)?, row.i64(1)?, row.i64(2)?).map(Datum::Timestamptz)
    }),
    op!("justify_interval", [Interval] => Interval, |row| {
        justify_interval(row.interval(0)?).map(Datum::Interval)
    }),
];

fn date_time(days: i32, time: i64) -> Result<Datum> {
    let midnight = dates::date_to_timestamp(days)?;
    if midnight == i64::MAX || midnight == i64::MIN {
        return Ok(Datum::Timestamp(midnight));
    }
    let moved = i128::from(midnight) + i128::from(time);
    if civil::is_timestamp(moved) {
        Ok(Datum::Timestamp(moved as i64))
    } else {
        Err(civil::timestamp_out_of_range())
    }
}
