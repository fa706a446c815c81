//! SQL types and how each lies in an Arrow array.

use crate::datum::{Datum, Interval};
use arrow_schema::{DataType, TimeUnit};
use orrery_base::Result;
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
    /// `time without time zone`
    Time,
    /// `char(n)`, n in characters, stored padded; without a limit (`bpchar`) as given. Trailing spaces do not count.
    Char(Option<u32>),
    /// `json`: the text as it was given.
    Json,
    /// `jsonb`: the text in its normal form.
    Jsonb,
    /// `name`: a text of at most 63 bytes; longer ones are cut, as identifiers are.
    Name,
    /// `"char"`: a text of at most one ASCII character.
    QuotedChar,
    /// A row value, of the composite type or table with this id; 0: of no type in particular. See [`crate::record`].
    Record(u32),
    /// An enum type, by its id: its values are their labels' texts. Their order is known to the binder alone.
    Enum(u32),
    /// The number of an object of the catalog, `bigint` to everything but the binder, which knows what it is a number of.
    /// No column of a table is of it, and no result: users get the name, or the number.
    Reg(Reg),
    /// An array of any number of dimensions. Of [`Element::ANY`]: any array, in the signatures of functions.
    Array(Element),
    /// A type with a modifier that counts when a value is given to a column or cast, and nowhere else: no column and no
    /// expression is of it, but of its [`SqlType::layout`].
    Fitted(Fitted),
}

/// What a number of the catalog is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reg {
    /// `oid`
    Oid,
    /// `regclass`
    Class,
    /// `regtype`
    Type,
    /// `regnamespace`
    Namespace,
}

/// A modifier that rounds: `numeric(p, s)` that is no [`SqlType::Decimal`], or fewer than six digits of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fitted {
    tag: u8,
    precision: u16,
    scale: i16,
}

impl Fitted {
    /// `numeric(precision, scale)`
    pub const fn numeric(precision: u16, scale: i16) -> Fitted {
        Fitted { tag: SqlType::Numeric.tag(), precision, scale }
    }

    /// `timestamp(digits)` and its kin, `digits` below 6. `None` for another type.
    pub const fn seconds(ty: SqlType, digits: u8) -> Option<Fitted> {
        match ty {
            SqlType::Time | SqlType::Timestamp | SqlType::Timestamptz | SqlType::Interval if digits < 6 => {
                Some(Fitted { tag: ty.tag(), precision: digits as u16, scale: 0 })
            }
            _ => None,
        }
    }

    /// Its parts as they are stored.
    pub const fn parts(self) -> (u8, u16, i16) {
        (self.tag, self.precision, self.scale)
    }

    /// The other way round; `None` when there is no such modifier.
    pub fn of_parts(tag: u8, precision: u16, scale: i16) -> Option<Fitted> {
        if tag == SqlType::Numeric.tag() {
            let is_one = (1..=1000).contains(&precision) && (-1000..=1000).contains(&scale);
            return is_one.then_some(Fitted::numeric(precision, scale));
        }
        Fitted::seconds(SqlType::of_tag(tag)?, u8::try_from(precision).ok()?)
    }

    /// The type without it.
    pub const fn layout(self) -> SqlType {
        match SqlType::of_tag(self.tag) {
            Some(ty) => ty,
            None => SqlType::Unknown,
        }
    }

    /// The value rounded. Errors: 22003, 22008.
    pub fn fit(self, value: &Datum) -> Result<Datum> {
        /// 2000-01-01 in µs since 1970: from there PostgreSQL rounds up and down.
        const EPOCH: i64 = 946_684_800_000_000;
        let unit = 10i64.pow(u32::from(6 - self.precision.min(6)));
        let round = |micros: i64| {
            let half = unit / 2;
            if micros >= 0 { (micros + half) / unit * unit } else { -((half - micros) / unit * unit) }
        };
        let moment = |micros: i64| -> Result<i64> {
            if micros == i64::MAX || micros == i64::MIN {
                return Ok(micros);
            }
            let since = micros.checked_sub(EPOCH).filter(|since| since.checked_add(unit).is_some());
            let since = since.ok_or_else(crate::civil::timestamp_out_of_range)?;
            Ok(round(since) + EPOCH)
        };
        Ok(match value {
            Datum::Numeric(value) => {
                Datum::Numeric(value.with_modifier(u32::from(self.precision), i32::from(self.scale))?)
            }
            Datum::Time(micros) => Datum::Time(round(*micros)),
            Datum::Timestamp(micros) => Datum::Timestamp(moment(*micros)?),
            Datum::Timestamptz(micros) => Datum::Timestamptz(moment(*micros)?),
            Datum::Interval(interval) => {
                let fits = interval.micros.checked_abs().and_then(|micros| micros.checked_add(unit));
                fits.ok_or_else(crate::civil::interval_out_of_range)?;
                Datum::Interval(Interval { micros: round(interval.micros), ..*interval })
            }
            other => other.clone(),
        })
    }

    pub(crate) fn name(self) -> String {
        let digits = self.precision;
        match self.layout() {
            SqlType::Numeric => format!("numeric({digits},{})", self.scale),
            SqlType::Interval => format!("interval({digits})"),
            other => {
                let (word, rest) = other.base_name().split_once(' ').unwrap_or((other.base_name(), ""));
                format!("{word}({digits}) {rest}")
            }
        }
    }
}

/// The type of an array's elements, with its modifier, in few bytes: a type cannot hold another one of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    tag: u8,
    modifier: u32,
}

impl Element {
    /// Stands for any type in the signatures of functions.
    pub const ANY: Element = Element { tag: 0, modifier: 0 };

    /// For elements of a type; `None` for arrays, which have no arrays.
    pub const fn new(ty: SqlType) -> Option<Element> {
        let (tag, modifier) = match ty {
            SqlType::Unknown | SqlType::Array(_) | SqlType::Fitted(_) => return None,
            SqlType::Decimal { precision, scale } => (8, (precision as u32) << 8 | scale as u32),
            SqlType::Varchar(None) => (10, 0),
            SqlType::Varchar(Some(limit)) => (10, limit + 1),
            SqlType::Char(None) => (18, 0),
            SqlType::Char(Some(limit)) => (18, limit + 1),
            SqlType::Record(id) => (24, id),
            SqlType::Enum(id) => (25, id),
            // `oid[]` is `bigint[]`.
            SqlType::Reg(_) => (4, 0),
            other => (other.tag(), 0),
        };
        Some(Element { tag, modifier })
    }

    /// The type; `Unknown` of [`Element::ANY`].
    pub const fn ty(self) -> SqlType {
        let limit = if self.modifier == 0 { None } else { Some(self.modifier - 1) };
        match self.tag {
            8 => SqlType::Decimal { precision: (self.modifier >> 8) as u8, scale: self.modifier as u8 },
            10 => SqlType::Varchar(limit),
            18 => SqlType::Char(limit),
            24 => SqlType::Record(self.modifier),
            25 => SqlType::Enum(self.modifier),
            tag => match SqlType::of_tag(tag) {
                Some(ty) => ty,
                None => SqlType::Unknown,
            },
        }
    }
}

impl SqlType {
    /// `anyarray` in a signature.
    pub const ANY_ARRAY: SqlType = SqlType::Array(Element::ANY);

    /// Its number in stored bytes: never changes.
    pub const fn tag(&self) -> u8 {
        match self {
            SqlType::Unknown => 0,
            SqlType::Bool => 1,
            SqlType::Int2 => 2,
            SqlType::Int4 => 3,
            SqlType::Int8 => 4,
            SqlType::Float4 => 5,
            SqlType::Float8 => 6,
            SqlType::Numeric => 7,
            SqlType::Decimal { .. } => 8,
            SqlType::Text => 9,
            SqlType::Varchar(_) => 10,
            SqlType::Bytea => 11,
            SqlType::Date => 12,
            SqlType::Timestamp => 13,
            SqlType::Timestamptz => 14,
            SqlType::Interval => 15,
            SqlType::Uuid => 16,
            SqlType::Time => 17,
            SqlType::Char(_) => 18,
            SqlType::Json => 19,
            SqlType::Jsonb => 20,
            SqlType::Array(_) => 21,
            SqlType::Name => 22,
            SqlType::Fitted(_) => 23,
            SqlType::Record(_) => 24,
            SqlType::Enum(_) => 25,
            SqlType::QuotedChar => 26,
            // Nothing of it is kept.
            SqlType::Reg(_) => 4,
        }
    }

    /// The type without a modifier of a number; `None` for those that need one, and for no number of ours.
    pub const fn of_tag(tag: u8) -> Option<SqlType> {
        Some(match tag {
            0 => SqlType::Unknown,
            1 => SqlType::Bool,
            2 => SqlType::Int2,
            3 => SqlType::Int4,
            4 => SqlType::Int8,
            5 => SqlType::Float4,
            6 => SqlType::Float8,
            7 => SqlType::Numeric,
            9 => SqlType::Text,
            11 => SqlType::Bytea,
            12 => SqlType::Date,
            13 => SqlType::Timestamp,
            14 => SqlType::Timestamptz,
            15 => SqlType::Interval,
            16 => SqlType::Uuid,
            17 => SqlType::Time,
            19 => SqlType::Json,
            20 => SqlType::Jsonb,
            22 => SqlType::Name,
            24 => SqlType::Record(0),
            25 => SqlType::Enum(0),
            26 => SqlType::QuotedChar,
            _ => return None,
        })
    }

    /// The array type of this type. `None`: arrays and NULLs have none.
    pub fn array(&self) -> Option<SqlType> {
        Element::new(*self).map(SqlType::Array)
    }

    /// The element type of an array type.
    pub fn element(&self) -> Option<SqlType> {
        match self {
            SqlType::Array(element) => Some(element.ty()),
            _ => None,
        }
    }

    /// Whether values compare by [`crate::functions::compare::value_key`], not by their bytes in an array.
    pub fn is_keyed(&self) -> bool {
        matches!(self, SqlType::Char(_) | SqlType::Jsonb | SqlType::Array(_) | SqlType::Record(_))
    }

    /// PostgreSQL's full name, with the modifier.
    pub fn name(&self) -> String {
        match self {
            SqlType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
            SqlType::Varchar(Some(limit)) => format!("character varying({limit})"),
            SqlType::Char(Some(limit)) => format!("character({limit})"),
            SqlType::Array(element) => format!("{}[]", element.ty().name()),
            SqlType::Fitted(fitted) => fitted.name(),
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
            SqlType::Time => "time without time zone",
            SqlType::Char(None) => "bpchar",
            SqlType::Char(Some(_)) => "character",
            SqlType::Json => "json",
            SqlType::Jsonb => "jsonb",
            SqlType::Name => "name",
            SqlType::QuotedChar => "\"char\"",
            SqlType::Record(_) => "record",
            SqlType::Enum(_) => "enum",
            SqlType::Reg(Reg::Oid) => "oid",
            SqlType::Reg(Reg::Class) => "regclass",
            SqlType::Reg(Reg::Type) => "regtype",
            SqlType::Reg(Reg::Namespace) => "regnamespace",
            SqlType::Fitted(fitted) => fitted.layout().base_name(),
            SqlType::Array(element) => match element.ty() {
                SqlType::Unknown => "anyarray",
                SqlType::Bool => "boolean[]",
                SqlType::Int2 => "smallint[]",
                SqlType::Int4 => "integer[]",
                SqlType::Int8 => "bigint[]",
                SqlType::Float4 => "real[]",
                SqlType::Float8 => "double precision[]",
                SqlType::Numeric | SqlType::Decimal { .. } => "numeric[]",
                SqlType::Text => "text[]",
                SqlType::Varchar(_) => "character varying[]",
                SqlType::Bytea => "bytea[]",
                SqlType::Date => "date[]",
                SqlType::Timestamp => "timestamp without time zone[]",
                SqlType::Timestamptz => "timestamp with time zone[]",
                SqlType::Interval => "interval[]",
                SqlType::Uuid => "uuid[]",
                SqlType::Time => "time without time zone[]",
                SqlType::Char(None) => "bpchar[]",
                SqlType::Char(Some(_)) => "character[]",
                SqlType::Json => "json[]",
                SqlType::Jsonb => "jsonb[]",
                SqlType::Name => "name[]",
                SqlType::QuotedChar => "\"char\"[]",
                SqlType::Record(_) => "record[]",
                SqlType::Enum(_) => "enum[]",
                SqlType::Array(_) | SqlType::Fitted(_) | SqlType::Reg(_) => "array of arrays",
            },
        }
    }

    /// The type without its modifier, for function and operator resolution: `Decimal` is `Numeric`, `Varchar` and
    /// `Name` are `Text`.
    pub fn base(&self) -> SqlType {
        match self {
            SqlType::Decimal { .. } => SqlType::Numeric,
            SqlType::Varchar(_) | SqlType::Name | SqlType::QuotedChar => SqlType::Text,
            SqlType::Char(_) => SqlType::Char(None),
            SqlType::Record(_) => SqlType::Record(0),
            SqlType::Reg(_) => SqlType::Int8,
            SqlType::Fitted(fitted) => fitted.layout(),
            SqlType::Array(element) => element.ty().base().array().unwrap_or(*self),
            other => *other,
        }
    }

    /// The type that columns and expressions have of it.
    pub const fn layout(self) -> SqlType {
        match self {
            SqlType::Fitted(fitted) => fitted.layout(),
            other => other,
        }
    }

    /// The Arrow layout of its values:
    /// - `Numeric`: `Binary`, each value in the wide form of `orrery_row::numeric`.
    /// - `Uuid`: `FixedSizeBinary(16)`; `Interval`: `FixedSizeBinary(16)` = i64 µs, i32 days, i32 months, little-endian.
    /// - `Date`: days since 1970-01-01, `Timestamp[tz]`: µs since 1970-01-01 UTC; the smallest and the largest value are the
    ///   infinities.
    /// - `Time`: µs of the day, 24:00 included. Arrays: `Binary`, each in the form of [`crate::array`].
    /// - `Unknown`: a Null array.
    pub fn arrow(&self) -> DataType {
        match self {
            SqlType::Unknown => DataType::Null,
            SqlType::Bool => DataType::Boolean,
            SqlType::Int2 => DataType::Int16,
            SqlType::Int4 => DataType::Int32,
            SqlType::Int8 | SqlType::Reg(_) => DataType::Int64,
            SqlType::Float4 => DataType::Float32,
            SqlType::Float8 => DataType::Float64,
            SqlType::Numeric | SqlType::Bytea | SqlType::Array(_) | SqlType::Record(_) => DataType::Binary,
            SqlType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
            SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Name
            | SqlType::QuotedChar
            | SqlType::Char(_)
            | SqlType::Json
            | SqlType::Enum(_)
            | SqlType::Jsonb => DataType::Utf8,
            SqlType::Time => DataType::Time64(TimeUnit::Microsecond),
            SqlType::Date => DataType::Date32,
            SqlType::Timestamp | SqlType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, None),
            SqlType::Interval | SqlType::Uuid => DataType::FixedSizeBinary(16),
            SqlType::Fitted(fitted) => fitted.layout().arrow(),
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
