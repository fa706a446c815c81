//! A single SQL value.

use crate::array::ArrayValue;
use crate::record::RecordValue;
use crate::types::SqlType;
use orrery_row::numeric::Numeric;
use std::sync::Arc;

/// One value. Its type is known from where it stands; `Null` fits every type.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// NULL
    Null,
    /// `boolean`
    Bool(bool),
    /// `smallint`
    Int2(i16),
    /// `integer`
    Int4(i32),
    /// `bigint`
    Int8(i64),
    /// `real`
    Float4(f32),
    /// `double precision`
    Float8(f64),
    /// `numeric`, with or without a modifier.
    Numeric(Numeric),
    /// `text`, `varchar`, `json`, and `char`, padded
    Text(Arc<str>),
    /// `bytea`
    Bytea(Arc<[u8]>),
    /// `date`: days since 1970-01-01.
    Date(i32),
    /// `timestamp`: µs since 1970-01-01 00:00.
    Timestamp(i64),
    /// `timestamptz`: µs since 1970-01-01 00:00 UTC.
    Timestamptz(i64),
    /// `interval`
    Interval(Interval),
    /// `uuid`
    Uuid([u8; 16]),
    /// `time`: µs of the day.
    Time(i64),
    /// `jsonb`, in its normal form.
    Jsonb(Arc<str>),
    /// An array.
    Array(Arc<ArrayValue>),
    /// A row value.
    Record(Arc<RecordValue>),
}

/// An interval: three parts that do not convert into one another (PostgreSQL documentation, 8.5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

impl Datum {
    /// Whether nothing tells the two apart: unlike under `==`, 1.0 and 1.00 are two numerics, and 0 and -0 two floats.
    pub fn identical(&self, other: &Datum) -> bool {
        match (self, other) {
            (Datum::Float4(a), Datum::Float4(b)) => a.to_bits() == b.to_bits(),
            (Datum::Float8(a), Datum::Float8(b)) => a.to_bits() == b.to_bits(),
            (Datum::Numeric(a), Datum::Numeric(b)) => a == b && a.scale() == b.scale(),
            (Datum::Array(a), Datum::Array(b)) => a.identical(b),
            (Datum::Record(a), Datum::Record(b)) => a.identical(b),
            (a, b) => a == b,
        }
    }

    /// The type a value has by itself; of NULL, `Unknown`.
    pub fn natural_type(&self) -> SqlType {
        match self {
            Datum::Null => SqlType::Unknown,
            Datum::Bool(_) => SqlType::Bool,
            Datum::Int2(_) => SqlType::Int2,
            Datum::Int4(_) => SqlType::Int4,
            Datum::Int8(_) => SqlType::Int8,
            Datum::Float4(_) => SqlType::Float4,
            Datum::Float8(_) => SqlType::Float8,
            Datum::Numeric(_) => SqlType::Numeric,
            Datum::Text(_) => SqlType::Text,
            Datum::Bytea(_) => SqlType::Bytea,
            Datum::Date(_) => SqlType::Date,
            Datum::Timestamp(_) => SqlType::Timestamp,
            Datum::Timestamptz(_) => SqlType::Timestamptz,
            Datum::Interval(_) => SqlType::Interval,
            Datum::Uuid(_) => SqlType::Uuid,
            Datum::Time(_) => SqlType::Time,
            Datum::Jsonb(_) => SqlType::Jsonb,
            Datum::Array(array) => array.element.array().unwrap_or(SqlType::Unknown),
            Datum::Record(_) => SqlType::Record(0),
        }
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }
}

macro_rules! datum_from {
    ($($ty:ty => $variant:ident),*) => {$(
        impl From<$ty> for Datum {
            fn from(value: $ty) -> Self {
                Datum::$variant(value.into())
            }
        }
    )*};
}

datum_from!(bool => Bool, i16 => Int2, i32 => Int4, i64 => Int8, f32 => Float4, f64 => Float8, &str => Text, String => Text);
datum_from!(&[u8] => Bytea, Vec<u8> => Bytea);

impl<T: Into<Datum>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Self {
        value.map_or(Datum::Null, Into::into)
    }
}
