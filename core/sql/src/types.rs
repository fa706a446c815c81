//! SQL types and how each lies in an Arrow array.

use arrow_schema::{DataType, TimeUnit};
use std::fmt;

/// A SQL type with its modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SqlType {
    /// A literal or parameter whose type is not known yet. Never reaches the executor, but as the type of bare NULLs.
    Unknown,
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric` with a display scale per value.
    Numeric,
    /// `numeric(p, s)` with p ≤ 38: a decimal of 128 bits. The binder also gives it to derived values whose bounds it
    /// can prove.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to precision.
        scale: u8,
    },
    /// `text`
    Text,
    /// `varchar(n)`, n in characters; without a limit it is `Text` with another name.
    Varchar(Option<u32>),
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    Timestamptz,
    /// `interval`
    Interval,
    /// `uuid`
    Uuid,
}

impl SqlType {
    /// PostgreSQL's full name, with the modifier.
    pub fn name(&self) -> String {
        match self {
            SqlType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
            SqlType::Varchar(Some(limit)) => format!("character varying({limit})"),
            other => other.base_name().to_owned(),
        }
    }

    /// PostgreSQL's name without the modifier, as error messages have it.
    pub fn base_name(&self) -> &'static str {
        match self {
            SqlType::Unknown => "unknown",
            SqlType::Bool => "boolean",
            SqlType::Int2 => "smallint",
            SqlType::Int4 => "integer",
            SqlType::Int8 => "bigint",
            SqlType::Float4 => "real",
            SqlType::Float8 => "double precision",
            SqlType::Numeric | SqlType::Decimal { .. } => "numeric",
            SqlType::Text => "text",
            SqlType::Varchar(_) => "character varying",
            SqlType::Bytea => "bytea",
            SqlType::Date => "date",
            SqlType::Timestamp => "timestamp without time zone",
            SqlType::Timestamptz => "timestamp with time zone",
            SqlType::Interval => "interval",
            SqlType::Uuid => "uuid",
        }
    }

    /// The type without its modifier, for function and operator resolution: `Decimal` is `Numeric`, `Varchar` is `Text`.
    pub fn base(&self) -> SqlType {
        match self {
            SqlType::Decimal { .. } => SqlType::Numeric,
            SqlType::Varchar(_) => SqlType::Text,
            other => *other,
        }
    }

    /// The Arrow layout of its values:
    /// - `Numeric`: `Binary`, each value in the wide form of `orrery_row::numeric`.
    /// - `Uuid`: `FixedSizeBinary(16)`; `Interval`: `FixedSizeBinary(16)` = i64 µs, i32 days, i32 months, little-endian.
    /// - `Date`: days since 1970-01-01, `Timestamp[tz]`: µs since 1970-01-01 UTC; the smallest and the largest value are the
    ///   infinities.
    /// - `Unknown`: a Null array.
    pub fn arrow(&self) -> DataType {
        match self {
            SqlType::Unknown => DataType::Null,
            SqlType::Bool => DataType::Boolean,
            SqlType::Int2 => DataType::Int16,
            SqlType::Int4 => DataType::Int32,
            SqlType::Int8 => DataType::Int64,
            SqlType::Float4 => DataType::Float32,
            SqlType::Float8 => DataType::Float64,
            SqlType::Numeric | SqlType::Bytea => DataType::Binary,
            SqlType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
            SqlType::Text | SqlType::Varchar(_) => DataType::Utf8,
            SqlType::Date => DataType::Date32,
            SqlType::Timestamp | SqlType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, None),
            SqlType::Interval | SqlType::Uuid => DataType::FixedSizeBinary(16),
        }
    }

    /// The largest value of an integer type; of any other, of `bigint`.
    pub fn integer_max(&self) -> i64 {
        match self {
            SqlType::Int2 => i16::MAX.into(),
            SqlType::Int4 => i32::MAX.into(),
            _ => i64::MAX,
        }
    }

    /// The smallest value of an integer type; of any other, of `bigint`.
    pub fn integer_min(&self) -> i64 {
        -1 - self.integer_max()
    }

    /// Whether it is one of the number types.
    pub fn is_numeric(&self) -> bool {
        matches!(
            self.base(),
            SqlType::Int2
                | SqlType::Int4
                | SqlType::Int8
                | SqlType::Float4
                | SqlType::Float8
                | SqlType::Numeric
        )
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
