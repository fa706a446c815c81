//! Casts between types: which there are (PostgreSQL's `pg_cast` for these types) and how each computes.

use super::kernel::{self, Row, datums};
use super::numeric::{fit, out_of_range};
use super::{CastContext, EvalContext, Value, dates};
use crate::array::ArrayValue;
use crate::civil::DAY;
use crate::columns;
use crate::datum::{Datum, Interval};
use crate::json;
use crate::text::{self, FormatSettings};
use crate::types::SqlType;
use arrow_array::types::*;
use arrow_schema::DataType;
use orrery_base::{Error, Result, SqlState};
use orrery_row::numeric::Numeric;

/// See [`super::cast_context`].
pub fn context(from: SqlType, to: SqlType) -> Option<CastContext> {
    use CastContext::{Assignment, Explicit, Implicit};
    use SqlType::{Array, Char, Json, Jsonb, Time, Timestamptz, Unknown, Uuid};
    use SqlType::{Bool, Bytea, Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Text, Timestamp};
    let (from, to) = (from.base(), to.base());
    if let (SqlType::Array(from), SqlType::Array(to)) = (from, to) {
        return context(from.ty(), to.ty());
    }
    Some(match (from, to) {
        (from, to) if from == to => Implicit,
        (Unknown, _) => Implicit,
        (_, Unknown) => return None,
        (Int2, Int4 | Int8 | Numeric | Float4 | Float8) => Implicit,
        (Int4, Int8 | Numeric | Float4 | Float8) => Implicit,
        (Int8, Numeric | Float4 | Float8) => Implicit,
        (Numeric, Float4 | Float8) => Implicit,
        (Float4, Float8) => Implicit,
        (Int4 | Int8 | Numeric | Float4 | Float8, Int2 | Int4 | Int8 | Numeric | Float4) => Assignment,
        (Int4, Bool) | (Bool, Int4) => Explicit,
        (Date, Timestamp | Timestamptz) => Implicit,
        (Timestamp, Timestamptz) => Implicit,
        (Timestamp | Timestamptz, Date) | (Timestamptz, Timestamp) => Assignment,
        (Char(_), Text) | (Text, Char(_)) => Implicit,
        (_, Text | Char(_)) => Assignment,
        (Time, Interval) => Implicit,
        (Interval | Timestamp | Timestamptz, Time) => Assignment,
        (Json, Jsonb) | (Jsonb, Json) => Assignment,
        (Jsonb, Bool | Int2 | Int4 | Int8 | Float4 | Float8 | Numeric) => Explicit,
        // A text is read as the type it names.
        (Char(_), to) => return context(Text, to),
        (Text, Time | Json | Jsonb | Array(_)) => Explicit,
        (Text, Bool | Int2 | Int4 | Int8 | Float4 | Float8 | Numeric | Bytea) => Explicit,
        (Text, Date | Timestamp | Timestamptz | Interval | Uuid) => Explicit,
        _ => return None,
    })
}

/// Casts `value` of type `from` to `to`.
///
/// Errors: 22003, 22001, 22P02, … as PostgreSQL's casts; XX000 for a pair without a cast.
pub fn cast(
    context: &EvalContext<'_>,
    value: &Value,
    from: SqlType,
    to: SqlType,
    explicit: bool,
    rows: usize,
) -> Result<Value> {
    if value.array().data_type() == &DataType::Null {
        let nulls = columns::nulls_of(to.layout(), value.array().len())?;
        return Ok(if matches!(value, Value::Constant(_)) {
            Value::Constant(nulls)
        } else {
            Value::Array(nulls)
        });
    }
    let plain = |ty: SqlType| matches!(ty, SqlType::Text | SqlType::Varchar(None));
    if from == to || plain(to) && (from.base() == SqlType::Text || from == SqlType::Json) {
        return Ok(value.clone());
    }
    let args = std::slice::from_ref(value);
    if let SqlType::Fitted(fitted) = to {
        return datums(args, rows, fitted.layout(), |row| fitted.fit(&read(row, from)?));
    }
    if let Some(done) = widen(args, from, to, rows) {
        return done;
    }
    let settings = context.settings();
    if to == SqlType::Text && !matches!(from.base(), SqlType::Text | SqlType::Char(_)) {
        return kernel::texts(args, rows, |row, out| {
            // A boolean casts to its whole word, but prints as one letter.
            match read(row, from)? {
                Datum::Bool(value) => out.push_str(if value { "true" } else { "false" }),
                value => text::format_into(out, &value, from, settings),
            }
            Ok(())
        });
    }
    if let SqlType::Char(_) = from {
        // What follows sees no padding, but between lengths of `char`.
        let keeps = matches!(to, SqlType::Char(None));
        return datums(args, rows, to, |row| {
            let text = row.text(0)?;
            let text = if keeps { text } else { text.trim_end_matches(' ') };
            cast_datum(&Datum::Text(text.into()), to, explicit, settings)
        });
    }
    datums(args, rows, to, |row| cast_datum(&read(row, from)?, to, explicit, settings))
}

fn widen(args: &[Value], from: SqlType, to: SqlType, rows: usize) -> Option<Result<Value>> {
    use SqlType::{Float4, Float8, Int2, Int4, Int8};
    fn to_wider<A: ArrowPrimitiveType, O: ArrowPrimitiveType>(
        args: &[Value],
        rows: usize,
        f: impl Fn(A::Native) -> O::Native,
    ) -> Result<Value> {
        kernel::unary::<A, O>(args, rows, |value| Some(f(value)), || Error::internal("widening cannot fail"))
    }
    Some(match (from, to) {
        (Int2, Int4) => to_wider::<Int16Type, Int32Type>(args, rows, i32::from),
        (Int2, Int8) => to_wider::<Int16Type, Int64Type>(args, rows, i64::from),
        (Int4, Int8) => to_wider::<Int32Type, Int64Type>(args, rows, i64::from),
        (Int2, Float8) => to_wider::<Int16Type, Float64Type>(args, rows, f64::from),
        (Int4, Float8) => to_wider::<Int32Type, Float64Type>(args, rows, f64::from),
        (Int8, Float8) => to_wider::<Int64Type, Float64Type>(args, rows, |value| value as f64),
        (Float4, Float8) => to_wider::<Float32Type, Float64Type>(args, rows, f64::from),
        (Int8, Int4) => kernel::unary::<Int64Type, Int32Type>(
            args,
            rows,
            |value| i32::try_from(value).ok(),
            || out_of_range(Int4),
        ),
        (Int4, Int2) => kernel::unary::<Int32Type, Int16Type>(
            args,
            rows,
            |value| i16::try_from(value).ok(),
            || out_of_range(Int2),
        ),
        _ => return None,
    })
}

/// The value of the first argument.
fn read(row: &Row<'_>, ty: SqlType) -> Result<Datum> {
    Ok(match ty {
        SqlType::Unknown | SqlType::Fitted(_) => Datum::Null,
        SqlType::Bool => Datum::Bool(row.bool(0)?),
        SqlType::Int2 => Datum::Int2(row.i16(0)?),
        SqlType::Int4 => Datum::Int4(row.i32(0)?),
        SqlType::Int8 | SqlType::Reg(_) => Datum::Int8(row.i64(0)?),
        SqlType::Float4 => Datum::Float4(row.f32(0)?),
        SqlType::Float8 => Datum::Float8(row.f64(0)?),
        SqlType::Numeric | SqlType::Decimal { .. } => Datum::Numeric(row.numeric(0)?),
        SqlType::Text
        | SqlType::Varchar(_)
        | SqlType::Name
        | SqlType::QuotedChar
        | SqlType::Char(_)
        | SqlType::Enum(_)
        | SqlType::Json => Datum::Text(row.text(0)?.into()),
        SqlType::Bytea => Datum::Bytea(row.bytes(0)?.into()),
        SqlType::Date => Datum::Date(row.i32(0)?),
        SqlType::Timestamp => Datum::Timestamp(row.i64(0)?),
        SqlType::Timestamptz => Datum::Timestamptz(row.i64(0)?),
        SqlType::Interval => Datum::Interval(row.interval(0)?),
        SqlType::Uuid => Datum::Uuid(row.fixed16(0)?.try_into().expect("sixteen bytes")),
        SqlType::Time => Datum::Time(row.i64(0)?),
        SqlType::Jsonb => Datum::Jsonb(row.text(0)?.into()),
        SqlType::Array(_) => Datum::Array(row.array(0)?.into()),
        SqlType::Record(_) => Datum::Record(crate::record::RecordValue::decode(row.bytes(0)?)?.into()),
    })
}

/// Casts one value. NULL stays NULL. Errors: as [`cast`].
pub fn cast_datum(value: &Datum, to: SqlType, explicit: bool, settings: FormatSettings) -> Result<Datum> {
    Ok(match (value, to) {
        (Datum::Null, _) => Datum::Null,
        (value, SqlType::Fitted(fitted)) => {
            fitted.fit(&cast_datum(value, fitted.layout(), explicit, settings)?)?
        }
        (Datum::Text(text), SqlType::Varchar(Some(limit))) => {
            Datum::Text(text::fit_varchar(text, limit, explicit)?.into())
        }
        (Datum::Text(text), SqlType::Name) => Datum::Text(text::fit_name(text).into()),
        (Datum::Text(text), SqlType::QuotedChar) => Datum::Text(text::fit_quoted_char(text)?.into()),
        (Datum::Text(_), SqlType::Text | SqlType::Varchar(None) | SqlType::Char(None) | SqlType::Unknown) => {
            value.clone()
        }
        (Datum::Text(text), SqlType::Char(Some(limit))) => {
            Datum::Text(text::fit_char(text, limit, explicit)?.into())
        }
        (Datum::Array(array), SqlType::Array(element)) => {
            let item = |item| cast_datum(item, element.ty(), explicit, settings);
            let items = array.items.iter().map(item).collect::<Result<_>>()?;
            let dimensions = array.dimensions.clone();
            Datum::Array(ArrayValue { element: element.ty().base(), dimensions, items }.into())
        }
        (Datum::Text(text), to) => text::parse_with(text, to, settings)?,
        (Datum::Bool(value), SqlType::Int4) => Datum::Int4(i32::from(*value)),
        (Datum::Int4(value), SqlType::Bool) => Datum::Bool(*value != 0),
        (value, SqlType::Text | SqlType::Varchar(None) | SqlType::Char(None)) => {
            Datum::Text(as_text(value, settings).into())
        }
        (value, SqlType::Name) => Datum::Text(text::fit_name(&as_text(value, settings)).into()),
        (value, SqlType::Char(Some(limit))) => {
            Datum::Text(text::fit_char(&as_text(value, settings), limit, explicit)?.into())
        }
        (value, SqlType::Varchar(Some(limit))) => {
            Datum::Text(text::fit_varchar(&as_text(value, settings), limit, explicit)?.into())
        }
        (Datum::Jsonb(text), SqlType::Json) => Datum::Text(text.clone()),
        (Datum::Jsonb(text), to) if to != SqlType::Jsonb => from_jsonb(text, to)?,
        (Datum::Time(micros), SqlType::Interval) => {
            Datum::Interval(Interval { micros: *micros, ..Interval::default() })
        }
        (Datum::Interval(interval), SqlType::Time) => Datum::Time(interval.micros.rem_euclid(DAY)),
        (Datum::Timestamp(micros), SqlType::Time) => time_of(*micros)?,
        (Datum::Timestamptz(micros), SqlType::Time) => time_of(settings.zone.to_local(*micros)?)?,
        (Datum::Int2(value), to) => from_integer(i64::from(*value), to)?,
        (Datum::Int4(value), to) => from_integer(i64::from(*value), to)?,
        (Datum::Int8(value), to) => from_integer(*value, to)?,
        (Datum::Float4(value), to) => from_float(f64::from(*value), Some(*value), to)?,
        (Datum::Float8(value), to) => from_float(*value, None, to)?,
        (Datum::Numeric(value), to) => from_numeric(value, to)?,
        (Datum::Date(days), SqlType::Timestamp) => Datum::Timestamp(dates::date_to_timestamp(*days)?),
        (Datum::Date(days), SqlType::Timestamptz) => {
            Datum::Timestamptz(settings.zone.to_utc(dates::date_to_timestamp(*days)?)?)
        }
        (Datum::Timestamp(micros), SqlType::Date) => Datum::Date(dates::timestamp_to_date(*micros)),
        (Datum::Timestamp(micros), SqlType::Timestamptz) => {
            Datum::Timestamptz(settings.zone.to_utc(*micros)?)
        }
        (Datum::Timestamptz(micros), SqlType::Timestamp) => {
            Datum::Timestamp(settings.zone.to_local(*micros)?)
        }
        (Datum::Timestamptz(micros), SqlType::Date) => {
            Datum::Date(dates::timestamp_to_date(settings.zone.to_local(*micros)?))
        }
        (value, to) if is_already(value, to) => value.clone(),
        (_, to) => return Err(Error::new(SqlState::CANNOT_COERCE, format!("cannot cast this type to {to}"))),
    })
}

fn as_text(value: &Datum, settings: FormatSettings) -> String {
    match value {
        Datum::Bool(value) => if *value { "true" } else { "false" }.to_owned(),
        value => text::format(value, SqlType::Text, settings),
    }
}

fn is_already(value: &Datum, to: SqlType) -> bool {
    matches!(
        (value, to),
        (Datum::Bool(_), SqlType::Bool)
            | (Datum::Bytea(_), SqlType::Bytea)
            | (Datum::Date(_), SqlType::Date)
            | (Datum::Timestamp(_), SqlType::Timestamp)
            | (Datum::Timestamptz(_), SqlType::Timestamptz)
            | (Datum::Interval(_), SqlType::Interval)
            | (Datum::Uuid(_), SqlType::Uuid)
            | (Datum::Time(_), SqlType::Time)
            | (Datum::Jsonb(_), SqlType::Jsonb)
            | (Datum::Record(_), SqlType::Record(_))
    )
}

/// The time of day of a timestamp; an infinity has none, and gives NULL.
fn time_of(micros: i64) -> Result<Datum> {
    let is_infinite = micros == i64::MAX || micros == i64::MIN;
    Ok(if is_infinite { Datum::Null } else { Datum::Time(micros.rem_euclid(DAY)) })
}

/// A number or truth value out of a `jsonb`. Errors: 22023 for anything else.
fn from_jsonb(text: &str, to: SqlType) -> Result<Datum> {
    let node = json::parse(text)?;
    match (&node.value, to) {
        (json::Value::Bool(value), SqlType::Bool) => Ok(Datum::Bool(*value)),
        (json::Value::Number(number), to) if to != SqlType::Bool => from_numeric(&number.parse()?, to),
        _ => {
            let message = format!("cannot cast jsonb {} to type {}", node.cast_name(), to.base_name());
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
    }
}

fn from_integer(value: i64, to: SqlType) -> Result<Datum> {
    Ok(match to {
        SqlType::Int2 => Datum::Int2(i16::try_from(value).map_err(|_| out_of_range(to))?),
        SqlType::Int4 => Datum::Int4(i32::try_from(value).map_err(|_| out_of_range(to))?),
        SqlType::Int8 => Datum::Int8(value),
        SqlType::Float4 => Datum::Float4(value as f32),
        SqlType::Float8 => Datum::Float8(value as f64),
        SqlType::Numeric => Datum::Numeric(Numeric::from_i64(value)),
        SqlType::Decimal { precision, scale } => {
            Datum::Numeric(fit(&Numeric::from_i64(value), precision, scale)?)
        }
        _ => return Err(Error::new(SqlState::CANNOT_COERCE, format!("cannot cast type bigint to {to}"))),
    })
}

/// `single`: the value is of single precision; its decimal digits are fewer.
fn from_float(value: f64, single: Option<f32>, to: SqlType) -> Result<Datum> {
    let numeric = || single.map_or_else(|| Numeric::from_f64(value), Numeric::from_f32);
    let integer = |least: f64, above: f64| {
        let rounded = value.round_ties_even();
        if rounded >= least && rounded < above { Ok(rounded as i64) } else { Err(out_of_range(to)) }
    };
    Ok(match to {
        SqlType::Int2 => Datum::Int2(integer(-32_768.0, 32_768.0)? as i16),
        SqlType::Int4 => Datum::Int4(integer(-2_147_483_648.0, 2_147_483_648.0)? as i32),
        SqlType::Int8 => Datum::Int8(integer(-9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0)?),
        SqlType::Float8 => Datum::Float8(value),
        SqlType::Float4 => {
            let narrow = value as f32;
            if narrow.is_infinite() && value.is_finite() {
                return Err(super::arithmetic::float_overflow());
            }
            if narrow == 0.0 && value != 0.0 {
                return Err(super::arithmetic::float_underflow());
            }
            Datum::Float4(narrow)
        }
        SqlType::Numeric => Datum::Numeric(numeric()),
        SqlType::Decimal { precision, scale } => Datum::Numeric(fit(&numeric(), precision, scale)?),
        _ => {
            return Err(Error::new(
                SqlState::CANNOT_COERCE,
                format!("cannot cast type double precision to {to}"),
            ));
        }
    })
}

fn from_numeric(value: &Numeric, to: SqlType) -> Result<Datum> {
    let integer = |least: i64, most: i64| {
        let named = |kind: &str| {
            Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("cannot convert {kind} to {}", to.base_name()),
            )
        };
        if value.is_nan() {
            return Err(named("NaN"));
        }
        if !value.is_finite() {
            return Err(named("infinity"));
        }
        value.to_i64().ok().filter(|whole| (least..=most).contains(whole)).ok_or_else(|| out_of_range(to))
    };
    Ok(match to {
        SqlType::Int2 => Datum::Int2(integer(i16::MIN.into(), i16::MAX.into())? as i16),
        SqlType::Int4 => Datum::Int4(integer(i32::MIN.into(), i32::MAX.into())? as i32),
        SqlType::Int8 => Datum::Int8(integer(i64::MIN, i64::MAX)?),
        SqlType::Numeric => Datum::Numeric(value.clone()),
        SqlType::Decimal { precision, scale } => Datum::Numeric(fit(value, precision, scale)?),
        SqlType::Float8 | SqlType::Float4 if !value.is_finite() => from_float(value.to_f64(), None, to)?,
        SqlType::Float8 => text::parse(&value.to_string(), SqlType::Float8)?,
        SqlType::Float4 => text::parse(&value.to_string(), SqlType::Float4)?,
        _ => return Err(Error::new(SqlState::CANNOT_COERCE, format!("cannot cast type numeric to {to}"))),
    })
}
