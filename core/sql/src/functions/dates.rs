//! Functions and operators of dates, timestamps and intervals. `timestamptz` is computed in the session's zone.

use super::arithmetic::{division_by_zero, float_overflow};
use super::kernel::{Row, datums};
use super::{EvalContext, ResultType, Scalar, Value, Volatility, scalar};
use crate::civil::{self, Civil, DAY, HOUR, MINUTE, SECOND, Zone};
use crate::datum::{Datum, Interval};
use crate::types::SqlType;
use orrery_base::time::Micros;
use orrery_base::{Error, Result, SqlState};
use orrery_row::numeric::Numeric;

fn is_infinite(micros: i64) -> bool {
    micros == i64::MAX || micros == i64::MIN
}

/// Days as a timestamp, the infinities kept.
pub fn date_to_timestamp(days: i32) -> Result<i64> {
    match days {
        i32::MAX => Ok(i64::MAX),
        i32::MIN => Ok(i64::MIN),
        _ => civil::timestamp_from(days.into(), 0)
            .map_err(|_| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range for timestamp")),
    }
}

/// The day of a timestamp.
pub fn timestamp_to_date(micros: i64) -> i32 {
    match micros {
        i64::MAX => i32::MAX,
        i64::MIN => i32::MIN,
        _ => civil::split_timestamp(micros).0 as i32,
    }
}

/// Moves a timestamp between UTC and local time.
pub fn shift(micros: i64, seconds: i32) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    let moved = i128::from(micros) + i128::from(seconds) * i128::from(SECOND);
    if civil::is_timestamp(moved) { Ok(moved as i64) } else { Err(civil::timestamp_out_of_range()) }
}

fn now(micros: Micros) -> Result<Value> {
    let micros = i64::try_from(micros).map_err(|_| civil::timestamp_out_of_range())?;
    Ok(Value::Constant(crate::columns::array_of([&Datum::Timestamptz(micros)], SqlType::Timestamptz)?))
}

fn local(micros: Micros, zone: Zone) -> Result<i64> {
    zone.to_local(i64::try_from(micros).map_err(|_| civil::timestamp_out_of_range())?)
}

const fn stable(
    name: &'static str,
    args: &'static [SqlType],
    result: SqlType,
    eval: fn(&EvalContext<'_>, &[Value], usize) -> Result<Value>,
) -> Scalar {
    let result = ResultType::Fixed(result);
    Scalar {
        name,
        args,
        variadic: false,
        result,
        strict: true,
        volatility: Volatility::Stable,
        eval,
        typed: None,
    }
}

fn date_plus(days: i32, more: i64) -> Result<Datum> {
    if days == i32::MAX || days == i32::MIN {
        return Ok(Datum::Date(days));
    }
    let sum = i64::from(days) + more;
    if civil::is_date(sum) { Ok(Datum::Date(sum as i32)) } else { Err(civil::date_out_of_range()) }
}

fn difference(left: i64, right: i64) -> Result<Datum> {
    if is_infinite(left) || is_infinite(right) {
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite timestamps"));
    }
    let micros = left.checked_sub(right).ok_or_else(civil::interval_out_of_range)?;
    let days = (micros / DAY) as i32;
    Ok(Datum::Interval(Interval { months: 0, days, micros: micros % DAY }))
}

fn interval_sum(a: Interval, b: Interval) -> Result<Interval> {
    let sum = (|| {
        Some(Interval {
            months: a.months.checked_add(b.months)?,
            days: a.days.checked_add(b.days)?,
            micros: a.micros.checked_add(b.micros)?,
        })
    })();
    sum.ok_or_else(civil::interval_out_of_range)
}

/// PostgreSQL's `interval_mul`: fractions of months go to days, of days to microseconds.
fn interval_times(interval: Interval, factor: f64) -> Result<Interval> {
    let (months, days) = (f64::from(interval.months) * factor, f64::from(interval.days) * factor);
    let in_i32 = |value: f64| value > f64::from(i32::MIN) - 1.0 && value < f64::from(i32::MAX) + 1.0;
    if months.is_nan() || !in_i32(months) || !in_i32(days) {
        return Err(civil::interval_out_of_range());
    }
    let (whole_months, whole_days) = (months.trunc(), days.trunc());
    let round = |value: f64| (value * SECOND as f64).round_ties_even() / SECOND as f64;
    let month_days = round((months - whole_months) * 30.0);
    let mut seconds = round((days - whole_days + month_days - month_days.trunc()) * 86_400.0);
    let mut extra_days = month_days.trunc();
    if seconds.abs() >= 86_400.0 {
        extra_days += (seconds / 86_400.0).trunc();
        seconds -= (seconds / 86_400.0).trunc() * 86_400.0;
    }
    let micros = (interval.micros as f64 * factor + seconds * SECOND as f64).round_ties_even();
    let total_days = whole_days + extra_days;
    if !in_i32(total_days) || micros.abs() >= 9.223_372_036_854_775e18 || micros.is_nan() {
        return Err(civil::interval_out_of_range());
    }
    Ok(Interval { months: whole_months as i32, days: total_days as i32, micros: micros as i64 })
}

pub(super) fn interval_over(interval: Interval, divisor: f64) -> Result<Interval> {
    if divisor == 0.0 {
        return Err(division_by_zero());
    }
    let (months, days) = (f64::from(interval.months) / divisor, f64::from(interval.days) / divisor);
    let (whole_months, whole_days) = (months.trunc(), days.trunc());
    let round = |value: f64| (value * SECOND as f64).round_ties_even() / SECOND as f64;
    let month_days = round((months - whole_months) * 30.0);
    let seconds = round((days - whole_days + month_days - month_days.trunc()) * 86_400.0);
    let carried = if seconds.abs() >= 86_400.0 { (seconds / 86_400.0).trunc() } else { 0.0 };
    let micros =
        (interval.micros as f64 / divisor + (seconds - carried * 86_400.0) * SECOND as f64).round_ties_even();
    let total_days = whole_days + month_days.trunc() + carried;
    if [months, total_days].iter().any(|value| value.is_nan() || value.abs() > f64::from(i32::MAX))
        || micros.is_nan()
    {
        return Err(civil::interval_out_of_range());
    }
    Ok(Interval { months: whole_months as i32, days: total_days as i32, micros: micros as i64 })
}

// ---- Fields.

fn unknown_field(field: &str, ty: SqlType) -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unit \"{field}\" not recognized for type {}", ty.base_name()),
    )
}

fn unsupported_field(field: &str, ty: SqlType) -> Error {
    Error::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("unit \"{field}\" not supported for type {}", ty.base_name()),
    )
}

/// ISO 8601 week: the year it belongs to and its number.
fn iso_week(days: i64) -> (i64, i64) {
    let weekday = (days + 3).rem_euclid(7);
    let thursday = days - weekday + 3;
    let year = civil::civil_from_days(thursday).year;
    let first = civil::days_from_civil(Civil { year, month: 1, day: 1 });
    (year, (thursday - first) / 7 + 1)
}

/// A year as users count: there is no year 0.
fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

fn whole(value: i64) -> Numeric {
    Numeric::from_i64(value)
}

fn micros_as(micros: i64, scale: u16) -> Numeric {
    Numeric::from_parts(i128::from(micros), scale)
}

/// EXTRACT of a local timestamp; `utc` is the same moment in UTC.
fn moment_field(field: &str, local: i64, utc: i64, ty: SqlType, zone: i32) -> Result<Numeric> {
    let (days, time) = civil::split_timestamp(local);
    let date = civil::civil_from_days(days);
    let is_date = ty == SqlType::Date;
    Ok(match field {
        "year" | "years" | "y" => whole(shown_year(date.year)),
        "month" | "months" | "mon" | "mons" => whole(date.month.into()),
        "day" | "days" | "d" => whole(date.day.into()),
        "quarter" => whole((i64::from(date.month) - 1) / 3 + 1),
        "decade" | "decades" => whole(date.year.div_euclid(10)),
        "century" | "centuries" => whole(century(date.year, 100)),
        "millennium" | "millennia" => whole(century(date.year, 1000)),
        "week" | "weeks" | "w" => whole(iso_week(days).1),
        "isoyear" => whole(shown_year(iso_week(days).0)),
        "dow" => whole((days + 4).rem_euclid(7)),
        "isodow" => whole((days + 3).rem_euclid(7) + 1),
        "doy" => whole(days - civil::days_from_civil(Civil { year: date.year, month: 1, day: 1 }) + 1),
        "julian" if is_date => whole(days + 2_440_588),
        "julian" => {
            let fraction = Numeric::from_i64(time).div(&Numeric::from_i64(DAY))?;
            whole(days + 2_440_588).add(&fraction)?
        }
        "epoch" if is_date => whole(days * 86_400),
        "epoch" => micros_as(utc, 6),
        "hour" | "hours" | "h" if !is_date => whole(time / HOUR),
        "minute" | "minutes" | "min" | "mins" | "m" if !is_date => whole(time / MINUTE % 60),
        "second" | "seconds" | "sec" | "secs" | "s" if !is_date => micros_as(time % MINUTE, 6),
        "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" if !is_date => micros_as(time % MINUTE, 3),
        "microsecond" | "microseconds" | "us" | "usec" | "usecs" if !is_date => whole(time % MINUTE),
        "timezone" if ty == SqlType::Timestamptz => whole(zone.into()),
        "timezone_hour" if ty == SqlType::Timestamptz => whole(i64::from(zone / 3600)),
        "timezone_minute" if ty == SqlType::Timestamptz => whole(i64::from(zone / 60 % 60)),
        "hour" | "minute" | "second" | "millisecond" | "milliseconds" | "microsecond" | "microseconds"
        | "timezone" | "timezone_hour" | "timezone_minute" => return Err(unsupported_field(field, ty)),
        _ => return Err(unknown_field(field, ty)),
    })
}

fn century(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { -((length - 1 - (year - 1)) / length) }
}

fn interval_field(field: &str, interval: Interval) -> Result<Numeric> {
    let (months, time) = (i64::from(interval.months), interval.micros);
    Ok(match field {
        "year" | "years" => whole(months / 12),
        "month" | "months" => whole(months % 12),
        "day" | "days" => whole(interval.days.into()),
        "quarter" => whole(months % 12 / 3 + 1),
        "decade" | "decades" => whole(months / 120),
        "century" | "centuries" => whole(months / 1200),
        "millennium" | "millennia" => whole(months / 12_000),
        "hour" | "hours" => whole(time / HOUR),
        "minute" | "minutes" => whole(time / MINUTE % 60),
        "second" | "seconds" => micros_as(time % MINUTE, 6),
        "millisecond" | "milliseconds" => micros_as(time % MINUTE, 3),
        "microsecond" | "microseconds" => whole(time % MINUTE),
        // A year is 365.25 days here, a month 30.
        "epoch" => {
            let days = months / 12 * 1461 * 6 + (months % 12 * 30 + i64::from(interval.days)) * 24;
            let micros = i128::from(days) * i128::from(HOUR) + i128::from(time);
            Numeric::from_parts(micros, 6)
        }
        _ => return Err(unknown_field(field, SqlType::Interval)),
    })
}

/// EXTRACT of an infinite moment: an infinity for what grows without end, NULL for the rest.
fn infinite_field(field: &str, above: bool) -> Option<Numeric> {
    let endless = ["year", "decade", "century", "millennium", "julian", "isoyear", "epoch"];
    endless.contains(&field).then_some(if above {
        Numeric::PositiveInfinity
    } else {
        Numeric::NegativeInfinity
    })
}

fn extract(context: &EvalContext<'_>, row: &Row<'_>, ty: SqlType) -> Result<Option<Numeric>> {
    let field = row.text(0)?.to_ascii_lowercase();
    if ty == SqlType::Interval {
        return interval_field(&field, row.interval(1)?).map(Some);
    }
    let utc = match ty {
        SqlType::Date => match row.i32(1)? {
            i32::MAX => i64::MAX,
            i32::MIN => i64::MIN,
            // Dates go further than timestamps: only the day counts.
            days => return date_field(&field, days).map(Some),
        },
        _ => row.i64(1)?,
    };
    if is_infinite(utc) {
        // The field's name is checked all the same.
        moment_field(&field, 0, 0, ty, 0)?;
        return Ok(infinite_field(&field, utc > 0));
    }
    let zone = if ty == SqlType::Timestamptz { context.zone() } else { Zone::default() };
    moment_field(&field, zone.to_local(utc)?, utc, ty, zone.offset_at(utc)).map(Some)
}

fn date_field(field: &str, days: i32) -> Result<Numeric> {
    match date_to_timestamp(days) {
        Ok(micros) => moment_field(field, micros, micros, SqlType::Date, 0),
        Err(error) => Err(error),
    }
}

fn extract_numeric(context: &EvalContext<'_>, args: &[Value], rows: usize, ty: SqlType) -> Result<Value> {
    datums(args, rows, SqlType::Numeric, |row| {
        Ok(extract(context, row, ty)?.map_or(Datum::Null, Datum::Numeric))
    })
}

fn extract_float(context: &EvalContext<'_>, args: &[Value], rows: usize, ty: SqlType) -> Result<Value> {
    datums(args, rows, SqlType::Float8, |row| {
        Ok(extract(context, row, ty)?.map_or(Datum::Null, |value| Datum::Float8(value.to_f64())))
    })
}

/// `date_trunc` of a local timestamp.
fn truncate(field: &str, local: i64, ty: SqlType) -> Result<i64> {
    let (days, time) = civil::split_timestamp(local);
    let date = civil::civil_from_days(days);
    let start = |year: i64, month: u32| {
        civil::timestamp_from(civil::days_from_civil(Civil { year, month, day: 1 }), 0)
    };
    let cut = |unit: i64| Ok(local - time % unit);
    match field {
        "microsecond" | "microseconds" => Ok(local),
        "millisecond" | "milliseconds" => cut(1000),
        "second" | "seconds" => cut(SECOND),
        "minute" | "minutes" => cut(MINUTE),
        "hour" | "hours" => cut(HOUR),
        "day" | "days" => Ok(local - time),
        "week" | "weeks" => civil::timestamp_from(days - (days + 3).rem_euclid(7), 0),
        "month" | "months" => start(date.year, date.month),
        "quarter" => start(date.year, (date.month - 1) / 3 * 3 + 1),
        "year" | "years" => start(date.year, 1),
        "decade" | "decades" => start(date.year.div_euclid(10) * 10, 1),
        "century" | "centuries" => start((date.year - 1).div_euclid(100) * 100 + 1, 1),
        "millennium" | "millennia" => start((date.year - 1).div_euclid(1000) * 1000 + 1, 1),
        _ => Err(unknown_field(field, ty)),
    }
}

/// `date_trunc` of a moment in a zone. What is at most an hour keeps its offset: it may lie in an hour there is twice.
fn truncate_in(field: &str, micros: i64, zone: Zone, ty: SqlType) -> Result<i64> {
    let cut = truncate(field, zone.to_local(micros)?, ty)?;
    let is_short = matches!(
        field,
        "microsecond"
            | "microseconds"
            | "millisecond"
            | "milliseconds"
            | "second"
            | "seconds"
            | "minute"
            | "minutes"
            | "hour"
            | "hours"
    );
    if is_short { shift(cut, -zone.offset_at(micros)) } else { zone.to_utc(cut) }
}

fn truncate_interval(field: &str, value: Interval) -> Result<Interval> {
    let months = |unit: i32| Interval { months: value.months / unit * unit, ..Interval::default() };
    let time = |unit: i64| Interval { micros: value.micros - value.micros % unit, ..value };
    Ok(match field {
        "microsecond" | "microseconds" => value,
        "millisecond" | "milliseconds" => time(1000),
        "second" | "seconds" => time(SECOND),
        "minute" | "minutes" => time(MINUTE),
        "hour" | "hours" => time(HOUR),
        "day" | "days" => Interval { micros: 0, ..value },
        "month" | "months" => months(1),
        "quarter" => months(3),
        "year" | "years" => months(12),
        "decade" | "decades" => months(120),
        "century" | "centuries" => months(1200),
        "millennium" | "millennia" => months(12_000),
        "week" | "weeks" => {
            return Err(unsupported_field(field, SqlType::Interval)
                .with_detail("Months usually have fractional weeks."));
        }
        _ => return Err(unknown_field(field, SqlType::Interval)),
    })
}

fn date_trunc(context: &EvalContext<'_>, args: &[Value], rows: usize, ty: SqlType) -> Result<Value> {
    datums(args, rows, ty, |row| {
        let field = row.text(0)?.to_ascii_lowercase();
        if ty == SqlType::Interval {
            return truncate_interval(&field, row.interval(1)?).map(Datum::Interval);
        }
        let micros = row.i64(1)?;
        let zone = if ty == SqlType::Timestamptz { context.zone() } else { Zone::default() };
        let cut = if is_infinite(micros) { micros } else { truncate_in(&field, micros, zone, ty)? };
        Ok(if ty == SqlType::Timestamptz { Datum::Timestamptz(cut) } else { Datum::Timestamp(cut) })
    })
}

fn make_date(year: i32, month: i32, day: i32) -> Result<Datum> {
    // Negative years are BC; there is no year 0.
    let astronomical = if year < 0 { i64::from(year) + 1 } else { i64::from(year) };
    let parts = (u32::try_from(month).ok(), u32::try_from(day).ok());
    let days = match parts {
        (Some(month), Some(day)) if year != 0 => civil::checked_days(astronomical, month, day),
        _ => None,
    };
    days.map(Datum::Date).ok_or_else(|| {
        Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date field value out of range: {year}-{month:02}-{day:02}"),
        )
    })
}

fn to_timestamp(seconds: f64) -> Result<Datum> {
    if seconds.is_nan() {
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        return Ok(Datum::Timestamptz(if seconds > 0.0 { i64::MAX } else { i64::MIN }));
    }
    let micros = (seconds * SECOND as f64).round_ties_even();
    if micros.is_infinite() {
        return Err(float_overflow());
    }
    if !civil::is_timestamp(micros as i128) {
        let message = format!("timestamp out of range: \"{seconds}\"");
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message));
    }
    Ok(Datum::Timestamptz(micros as i64))
}

/// PostgreSQL's `age`: years, months and days as a calendar counts them.
fn age(left: i64, right: i64) -> Result<Interval> {
    if is_infinite(left) || is_infinite(right) {
        return Err(civil::timestamp_out_of_range());
    }
    if left < right {
        return civil::negate(age(right, left)?);
    }
    let ((left_days, left_time), (right_days, right_time)) =
        (civil::split_timestamp(left), civil::split_timestamp(right));
    let (later, earlier) = (civil::civil_from_days(left_days), civil::civil_from_days(right_days));
    let mut months = (later.year - earlier.year) * 12 + i64::from(later.month) - i64::from(earlier.month);
    let mut days = i64::from(later.day) - i64::from(earlier.day);
    let mut micros = left_time - right_time;
    if micros < 0 {
        micros += DAY;
        days -= 1;
    }
    if days < 0 {
        // Days are borrowed from the earlier date's month.
        days += i64::from(civil::days_in_month(earlier.year, earlier.month));
        months -= 1;
    }
    Ok(Interval { months: months as i32, days: days as i32, micros })
}

fn justify_hours(value: Interval) -> Result<Interval> {
    let days = i64::from(value.days) + value.micros / DAY;
    let mut days = i32::try_from(days).map_err(|_| civil::interval_out_of_range())?;
    let mut micros = value.micros % DAY;
    if days > 0 && micros < 0 {
        micros += DAY;
        days -= 1;
    } else if days < 0 && micros > 0 {
        micros -= DAY;
        days += 1;
    }
    Ok(Interval { months: value.months, days, micros })
}

fn justify_days(value: Interval) -> Result<Interval> {
    let months = i64::from(value.months) + i64::from(value.days / 30);
    let mut months = i32::try_from(months).map_err(|_| civil::interval_out_of_range())?;
    let mut days = value.days % 30;
    if months > 0 && days < 0 {
        days += 30;
        months -= 1;
    } else if months < 0 && days > 0 {
        days -= 30;
        months += 1;
    }
    Ok(Interval { months, days, micros: value.micros })
}

/// A timestamptz moved by an interval: months and days count in local time.
fn zoned_plus(context: &EvalContext<'_>, micros: i64, interval: Interval) -> Result<Datum> {
    civil::add_interval_in(micros, interval, context.zone()).map(Datum::Timestamptz)
}

macro_rules! op {
    ($name:literal, [$($arg:ident),*] => $result:ident, |$row:ident| $body:expr) => {
        scalar!($name, [$($arg),*] => $result, |_, args, rows| datums(args, rows, SqlType::$result, |$row| $body))
    };
}

macro_rules! fields {
    ($($ty:ident),*) => { [$(
        stable("extract", &[SqlType::Text, SqlType::$ty], SqlType::Numeric, |context, args, rows| {
            extract_numeric(context, args, rows, SqlType::$ty)
        }),
        stable("date_part", &[SqlType::Text, SqlType::$ty], SqlType::Float8, |context, args, rows| {
            extract_float(context, args, rows, SqlType::$ty)
        }),
    )*] };
}

static FIELDS: [Scalar; 8] = fields!(Date, Timestamp, Timestamptz, Interval);

static OPERATORS: &[Scalar] = &[
    op!("+", [Date, Int4] => Date, |row| date_plus(row.i32(0)?, row.i32(1)?.into())),
    op!("+", [Int4, Date] => Date, |row| date_plus(row.i32(1)?, row.i32(0)?.into())),
    op!("-", [Date, Int4] => Date, |row| date_plus(row.i32(0)?, -i64::from(row.i32(1)?))),
    op!("-", [Date, Date] => Int4, |row| {
        let (left, right) = (row.i32(0)?, row.i32(1)?);
        if [left, right].iter().any(|days| *days == i32::MAX || *days == i32::MIN) {
            return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite dates"));
        }
        left.checked_sub(right).map(Datum::Int4).ok_or_else(civil::date_out_of_range)
    }),
    op!("+", [Date, Interval] => Timestamp, |row| {
        civil::add_interval(date_to_timestamp(row.i32(0)?)?, row.interval(1)?).map(Datum::Timestamp)
    }),
    op!("+", [Interval, Date] => Timestamp, |row| {
        civil::add_interval(date_to_timestamp(row.i32(1)?)?, row.interval(0)?).map(Datum::Timestamp)
    }),
    op!("-", [Date, Interval] => Timestamp, |row| {
        civil::add_interval(date_to_timestamp(row.i32(0)?)?, civil::negate(row.interval(1)?)?).map(Datum::Timestamp)
    }),
    op!("+", [Timestamp, Interval] => Timestamp, |row| {
        civil::add_interval(row.i64(0)?, row.interval(1)?).map(Datum::Timestamp)
    }),
    op!("+", [Interval, Timestamp] => Timestamp, |row| {
        civil::add_interval(row.i64(1)?, row.interval(0)?).map(Datum::Timestamp)
    }),
    op!("-", [Timestamp, Interval] => Timestamp, |row| {
        civil::add_interval(row.i64(0)?, civil::negate(row.interval(1)?)?).map(Datum::Timestamp)
    }),
    op!("-", [Timestamp, Timestamp] => Interval, |row| difference(row.i64(0)?, row.i64(1)?)),
    op!("-", [Timestamptz, Timestamptz] => Interval, |row| difference(row.i64(0)?, row.i64(1)?)),
    stable("+", &[SqlType::Timestamptz, SqlType::Interval], SqlType::Timestamptz, |context, args, rows| {
        datums(args, rows, SqlType::Timestamptz, |row| zoned_plus(context, row.i64(0)?, row.interval(1)?))
    }),
    stable("+", &[SqlType::Interval, SqlType::Timestamptz], SqlType::Timestamptz, |context, args, rows| {
        datums(args, rows, SqlType::Timestamptz, |row| zoned_plus(context, row.i64(1)?, row.interval(0)?))
    }),
    stable("-", &[SqlType::Timestamptz, SqlType::Interval], SqlType::Timestamptz, |context, args, rows| {
        datums(args, rows, SqlType::Timestamptz, |row| {
            zoned_plus(context, row.i64(0)?, civil::negate(row.interval(1)?)?)
        })
    }),
    op!("+", [Interval, Interval] => Interval, |row| {
        interval_sum(row.interval(0)?, row.interval(1)?).map(Datum::Interval)
    }),
    op!("-", [Interval, Interval] => Interval, |row| {
        interval_sum(row.interval(0)?, civil::negate(row.interval(1)?)?).map(Datum::Interval)
    }),
    op!("-", [Interval] => Interval, |row| civil::negate(row.interval(0)?).map(Datum::Interval)),
    op!("*", [Interval, Float8] => Interval, |row| {
        interval_times(row.interval(0)?, row.f64(1)?).map(Datum::Interval)
    }),
    op!("*", [Float8, Interval] => Interval, |row| {
        interval_times(row.interval(1)?, row.f64(0)?).map(Datum::Interval)
    }),
    op!("/", [Interval, Float8] => Interval, |row| {
        interval_over(row.interval(0)?, row.f64(1)?).map(Datum::Interval)
    }),
];

/// A zone by its abbreviation, its name or as POSIX writes it. Errors: 22023; 0A000 for rules of summer time.
pub(super) fn zone_of(name: &str) -> Result<Zone> {
    if let Some(offset) = civil::zone_abbreviation(&name.to_ascii_lowercase()) {
        return Ok(Zone::Fixed(offset));
    }
    if let Some(zone) = Zone::named(name).or_else(|| civil::posix_zone(name)) {
        return Ok(zone);
    }
    if cfg!(not(feature = "zones")) || name.contains(|c: char| c.is_ascii_digit()) {
        return Err(Error::unsupported(format_args!("time zone \"{name}\"")));
    }
    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized")))
}

/// The offset that an interval stands for. Errors: 22023 when it has months or days.
fn interval_offset(interval: Interval) -> Result<i32> {
    if interval.months != 0 || interval.days != 0 {
        let message = "interval time zone must not include months or days";
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    i32::try_from(interval.micros / SECOND).map_err(|_| civil::timestamp_out_of_range())
}

static FUNCTIONS: &[Scalar] = &[
    op!("timezone", [Text, Timestamp] => Timestamptz, |row| {
        zone_of(row.text(0)?)?.to_utc(row.i64(1)?).map(Datum::Timestamptz)
    }),
    op!("timezone", [Text, Timestamptz] => Timestamp, |row| {
        zone_of(row.text(0)?)?.to_local(row.i64(1)?).map(Datum::Timestamp)
    }),
    op!("timezone", [Interval, Timestamp] => Timestamptz, |row| {
        shift(row.i64(1)?, -interval_offset(row.interval(0)?)?).map(Datum::Timestamptz)
    }),
    op!("timezone", [Interval, Timestamptz] => Timestamp, |row| {
        shift(row.i64(1)?, interval_offset(row.interval(0)?)?).map(Datum::Timestamp)
    }),
    stable("now", &[], SqlType::Timestamptz, |context, _, _| now(context.transaction_start)),
    stable(
        "transaction_timestamp",
        &[],
        SqlType::Timestamptz,
        |context, _, _| now(context.transaction_start),
    ),
    stable("current_timestamp", &[], SqlType::Timestamptz, |context, _, _| now(context.transaction_start)),
    stable("statement_timestamp", &[], SqlType::Timestamptz, |context, _, _| now(context.statement_start)),
    stable("localtimestamp", &[], SqlType::Timestamp, |context, _, _| {
        let value = Datum::Timestamp(local(context.transaction_start, context.zone())?);
        Ok(Value::Constant(crate::columns::array_of([&value], SqlType::Timestamp)?))
    }),
    stable("localtime", &[], SqlType::Time, |context, _, _| {
        let now = local(context.transaction_start, context.zone())?;
        Ok(Value::Constant(crate::columns::array_of([&Datum::Time(now.rem_euclid(DAY))], SqlType::Time)?))
    }),
    stable("current_date", &[], SqlType::Date, |context, _, _| {
        let value = Datum::Date(timestamp_to_date(local(context.transaction_start, context.zone())?));
        Ok(Value::Constant(crate::columns::array_of([&value], SqlType::Date)?))
    }),
    op!("date_trunc", [Text, Timestamp] => Timestamp, |row| {
        let micros = row.i64(1)?;
        let field = row.text(0)?.to_ascii_lowercase();
        let cut = if is_infinite(micros) { micros } else { truncate(&field, micros, SqlType::Timestamp)? };
        Ok(Datum::Timestamp(cut))
    }),
    stable(
        "date_trunc",
        &[SqlType::Text, SqlType::Timestamptz],
        SqlType::Timestamptz,
        |context, args, rows| date_trunc(context, args, rows, SqlType::Timestamptz),
    ),
    op!("date_trunc", [Text, Timestamptz, Text] => Timestamptz, |row| {
        let (field, zone) = (row.text(0)?.to_ascii_lowercase(), zone_of(row.text(2)?)?);
        let micros = row.i64(1)?;
        let cut = if is_infinite(micros) { micros } else { truncate_in(&field, micros, zone, SqlType::Timestamptz)? };
        Ok(Datum::Timestamptz(cut))
    }),
    stable("date_trunc", &[SqlType::Text, SqlType::Interval], SqlType::Interval, |context, args, rows| {
        date_trunc(context, args, rows, SqlType::Interval)
    }),
    op!("make_date", [Int4, Int4, Int4] => Date, |row| make_date(row.i32(0)?, row.i32(1)?, row.i32(2)?)),
    op!("to_timestamp", [Float8] => Timestamptz, |row| to_timestamp(row.f64(0)?)),
    op!("age", [Timestamp, Timestamp] => Interval, |row| age(row.i64(0)?, row.i64(1)?).map(Datum::Interval)),
    stable("age", &[SqlType::Timestamptz, SqlType::Timestamptz], SqlType::Interval, |context, args, rows| {
        datums(args, rows, SqlType::Interval, |row| {
            age(context.zone().to_local(row.i64(0)?)?, context.zone().to_local(row.i64(1)?)?)
                .map(Datum::Interval)
        })
    }),
    stable("age", &[SqlType::Timestamp], SqlType::Interval, |context, args, rows| {
        let today = date_to_timestamp(timestamp_to_date(local(context.transaction_start, context.zone())?))?;
        datums(args, rows, SqlType::Interval, |row| age(today, row.i64(0)?).map(Datum::Interval))
    }),
    stable("age", &[SqlType::Timestamptz], SqlType::Interval, |context, args, rows| {
        let today = date_to_timestamp(timestamp_to_date(local(context.transaction_start, context.zone())?))?;
        datums(args, rows, SqlType::Interval, |row| {
            age(today, context.zone().to_local(row.i64(0)?)?).map(Datum::Interval)
        })
    }),
    op!("isfinite", [Date] => Bool, |row| Ok(Datum::Bool(row.i32(0)? != i32::MAX && row.i32(0)? != i32::MIN))),
    op!("isfinite", [Timestamp] => Bool, |row| Ok(Datum::Bool(!is_infinite(row.i64(0)?)))),
    op!("isfinite", [Timestamptz] => Bool, |row| Ok(Datum::Bool(!is_infinite(row.i64(0)?)))),
    op!("justify_hours", [Interval] => Interval, |row| justify_hours(row.interval(0)?).map(Datum::Interval)),
    op!("justify_days", [Interval] => Interval, |row| justify_days(row.interval(0)?).map(Datum::Interval)),
];

pub(super) static ENTRIES: [&[Scalar]; 3] = [&FIELDS, OPERATORS, FUNCTIONS];
