//! `= <> < <= > >=` of every type, in PostgreSQL's order: NaN equals itself and is above everything, -0 is 0, text is in C
//! collation, intervals compare at 30 days a month and 24 hours a day.

use super::kernel::{self, Arg, Shape};
use super::{Scalar, Value, scalar};
use crate::array::ArrayValue;
use crate::civil::interval_key;
use crate::columns::interval_from;
use crate::record::RecordValue;
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::DataType;
use orrery_base::Result;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A comparison by its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}

impl Comparison {
    /// Whether it holds for this order of its operands.
    #[inline]
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order == Ordering::Equal,
            Comparison::NotEqual => order != Ordering::Equal,
            Comparison::Less => order == Ordering::Less,
            Comparison::LessEqual => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            Comparison::GreaterEqual => order != Ordering::Less,
        }
    }

    /// By its sign.
    pub fn by_name(name: &str) -> Option<Comparison> {
        Some(match name {
            "=" => Comparison::Equal,
            "<>" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterEqual,
            _ => return None,
        })
    }
}

/// PostgreSQL's order of floats.
#[inline]
pub fn float_order(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

/// Two loops, `=` and `<`, for all six: each is compiled for four widths.
fn integers<N: Copy + Ord>(op: Comparison, args: &[Value], rows: usize, left: &[N], right: &[N]) -> Value {
    let equal = || kernel::compare(args, rows, left, right, |a, b| a == b);
    let is_swapped = matches!(op, Comparison::Greater | Comparison::LessEqual);
    let less = || match (is_swapped, args) {
        (true, [first, second]) => {
            kernel::compare(&[second.clone(), first.clone()], rows, right, left, |a, b| a < b)
        }
        _ => kernel::compare(args, rows, left, right, |a, b| a < b),
    };
    match op {
        Comparison::Equal => equal(),
        Comparison::NotEqual => kernel::not(equal()),
        Comparison::Less | Comparison::Greater => less(),
        Comparison::LessEqual | Comparison::GreaterEqual => kernel::not(less()),
    }
}

/// The values of both sides.
fn sides<T: ArrowPrimitiveType>(args: &[Value]) -> [&[T::Native]; 2] {
    [0, 1].map(|side| &**args[side].array().as_primitive::<T>().values())
}

fn by_order(op: Comparison, args: &[Value], rows: usize, order: impl Fn(usize, usize) -> Ordering) -> Value {
    let shape = Shape::of(args, rows);
    let mask = |value: &Value| if matches!(value, Value::Constant(_)) { 0 } else { usize::MAX };
    let (left, right) = (mask(&args[0]), mask(&args[1]));
    if shape.all_null() {
        return kernel::bools(&shape, |_| false);
    }
    kernel::bools(&shape, |row| op.holds(order(row & left, row & right)))
}

fn bytes(op: Comparison, args: &[Value], rows: usize) -> Value {
    let (left, right) = (args[0].array().as_binary::<i32>(), args[1].array().as_binary::<i32>());
    by_order(op, args, rows, |a, b| left.value(a).cmp(right.value(b)))
}

fn texts(op: Comparison, args: &[Value], rows: usize) -> Value {
    let (left, right) = (args[0].array().as_string::<i32>(), args[1].array().as_string::<i32>());
    if op == Comparison::Equal || op == Comparison::NotEqual {
        // Lengths decide most of these without a look at the bytes.
        let equal = |a: &str, b: &str| if a == b { Ordering::Equal } else { Ordering::Less };
        return by_order(op, args, rows, |a, b| equal(left.value(a), right.value(b)));
    }
    by_order(op, args, rows, |a, b| left.value(a).as_bytes().cmp(right.value(b).as_bytes()))
}

fn fixed(op: Comparison, args: &[Value], rows: usize, is_interval: bool) -> Value {
    let (left, right) = (args[0].array().as_fixed_size_binary(), args[1].array().as_fixed_size_binary());
    if is_interval {
        let key = |bytes: &[u8]| interval_key(interval_from(bytes));
        return by_order(op, args, rows, |a, b| key(left.value(a)).cmp(&key(right.value(b))));
    }
    by_order(op, args, rows, |a, b| left.value(a).cmp(right.value(b)))
}

fn numerics(op: Comparison, args: &[Value], rows: usize) -> Result<Value> {
    if let Some(aligned) = super::numeric::align_for_comparison(args)? {
        let [left, right] = sides::<Decimal128Type>(&aligned);
        return Ok(integers(op, &aligned, rows, left, right));
    }
    kernel::predicate(args, rows, |row| Ok(op.holds(row.numeric(0)?.cmp(&row.numeric(1)?))))
}

/// Compares two arguments of one type.
pub fn compare(op: Comparison, args: &[Value], rows: usize, is_interval: bool) -> Result<Value> {
    if args.iter().any(|arg| arg.array().data_type() == &DataType::Null) {
        return Ok(kernel::bools(&Shape::of(args, rows), |_| false));
    }
    macro_rules! integers {
        ($ty:ty) => {{
            let [left, right] = sides::<$ty>(args);
            Ok(integers(op, args, rows, left, right))
        }};
    }
    match args[0].array().data_type() {
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::Date32 => integers!(Date32Type),
        DataType::Timestamp(..) => integers!(TimestampMicrosecondType),
        DataType::Time64(_) => integers!(Time64MicrosecondType),
        DataType::Float32 => {
            let [left, right] = sides::<Float32Type>(args);
            let holds = |a: f32, b: f32| op.holds(float_order(a.into(), b.into()));
            Ok(kernel::compare(args, rows, left, right, holds))
        }
        DataType::Float64 => {
            let [left, right] = sides::<Float64Type>(args);
            Ok(kernel::compare(args, rows, left, right, |a, b| op.holds(float_order(a, b))))
        }
        DataType::Boolean => {
            let (left, right) = (args[0].array().as_boolean(), args[1].array().as_boolean());
            Ok(by_order(op, args, rows, |a, b| left.value(a).cmp(&right.value(b))))
        }
        DataType::Utf8 => Ok(texts(op, args, rows)),
        DataType::FixedSizeBinary(_) => Ok(fixed(op, args, rows, is_interval)),
        DataType::Binary if !is_interval => Ok(bytes(op, args, rows)),
        other => Err(orrery_base::Error::internal(format!("no comparison of {other}"))),
    }
}

macro_rules! comparisons {
    ($($ty:ident),*) => {
        &[$(
            scalar!("=", [$ty, $ty] => Bool, |_, args, rows| operator!($ty, Equal, args, rows)),
            scalar!("<>", [$ty, $ty] => Bool, |_, args, rows| operator!($ty, NotEqual, args, rows)),
            scalar!("<", [$ty, $ty] => Bool, |_, args, rows| operator!($ty, Less, args, rows)),
            scalar!("<=", [$ty, $ty] => Bool, |_, args, rows| operator!($ty, LessEqual, args, rows)),
            scalar!(">", [$ty, $ty] => Bool, |_, args, rows| operator!($ty, Greater, args, rows)),
            scalar!(">=", [$ty, $ty] => Bool, |_, args, rows| operator!($ty, GreaterEqual, args, rows)),
        )*]
    };
}

macro_rules! operator {
    (Numeric, $op:ident, $args:ident, $rows:ident) => {
        numerics(Comparison::$op, $args, $rows)
    };
    (Interval, $op:ident, $args:ident, $rows:ident) => {
        compare(Comparison::$op, $args, $rows, true)
    };
    ($ty:ident, $op:ident, $args:ident, $rows:ident) => {
        compare(Comparison::$op, $args, $rows, false)
    };
}

pub(super) static ENTRIES: &[Scalar] = comparisons!(
    Int4,
    Int8,
    Text,
    Numeric,
    Float8,
    Int2,
    Float4,
    Bool,
    Date,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Bytea,
    Time
);

macro_rules! keyed_operator {
    ($ty:expr, $name:literal, $op:ident) => {
        Scalar {
            args: &[$ty, $ty],
            ..scalar!($name, [Jsonb, Jsonb] => Bool, |_, args, rows| by_key(Comparison::$op, args, rows, $ty))
        }
    };
}

macro_rules! keyed {
    ($($ty:expr),*) => { [$(
        keyed_operator!($ty, "=", Equal),
        keyed_operator!($ty, "<>", NotEqual),
        keyed_operator!($ty, "<", Less),
        keyed_operator!($ty, "<=", LessEqual),
        keyed_operator!($ty, ">", Greater),
        keyed_operator!($ty, ">=", GreaterEqual),
    )*] };
}

/// Comparisons of what has an order of its own.
pub(super) static KEYED: [Scalar; 24] =
    keyed!(SqlType::Char(None), SqlType::Jsonb, SqlType::Record(0), SqlType::ANY_ARRAY);

/// Bytes in a value's order, for types whose array bytes are not: see [`SqlType::is_keyed`].
pub fn value_key<'a>(arg: &Arg<'a>, row: usize, ty: SqlType) -> Result<Cow<'a, [u8]>> {
    Ok(match (arg, ty) {
        (Arg::Text(array, mask), SqlType::Jsonb) => Cow::Owned(crate::json::key(array.value(row & mask))),
        (Arg::Text(array, mask), _) => {
            Cow::Borrowed(array.value(row & mask).trim_end_matches(' ').as_bytes())
        }
        (Arg::Bytes(array, mask), SqlType::Array(_)) => {
            Cow::Owned(ArrayValue::decode(array.value(row & mask))?.key())
        }
        (Arg::Bytes(array, mask), SqlType::Record(_)) => {
            Cow::Owned(RecordValue::decode(array.value(row & mask))?.key())
        }
        _ => return Err(orrery_base::Error::internal("a key of a type that has none")),
    })
}

fn by_key(op: Comparison, args: &[Value], rows: usize, ty: SqlType) -> Result<Value> {
    let shape = Shape::of(args, rows);
    if shape.all_null() {
        return Ok(kernel::bools(&shape, |_| false));
    }
    let sides = [Arg::new(&args[0])?, Arg::new(&args[1])?];
    // A constant's key is made once.
    let fixed = |side: usize| match &args[side] {
        Value::Constant(_) => value_key(&sides[side], 0, ty).map(Some),
        Value::Array(_) => Ok(None),
    };
    let fixed = [fixed(0)?, fixed(1)?];
    let mut hits = BooleanBufferBuilder::new(shape.rows);
    for row in 0..shape.rows {
        if shape.is_null(row) {
            hits.append(false);
            continue;
        }
        let key = |side: usize| match &fixed[side] {
            Some(key) => Ok(Cow::Borrowed(&**key)),
            None => value_key(&sides[side], row, ty),
        };
        hits.append(op.holds(key(0)?.cmp(&key(1)?)));
    }
    let hits = hits.finish();
    Ok(kernel::bools(&shape, |row| hits.value(row)))
}

/// Equality of two values of type `ty`, NULL when one is NULL.
pub fn equal(args: &[Value], rows: usize, ty: SqlType) -> Result<Value> {
    match ty.base() {
        ty if ty.is_keyed() => by_key(Comparison::Equal, args, rows, ty),
        SqlType::Numeric => numerics(Comparison::Equal, args, rows),
        ty => compare(Comparison::Equal, args, rows, ty == SqlType::Interval),
    }
}

impl crate::datum::Datum {
    /// PostgreSQL's order of two values of one type that are not NULL (NULL sorts last here).
    pub fn order(&self, other: &crate::datum::Datum) -> Ordering {
        use crate::datum::Datum::*;
        match (self, other) {
            (Null, Null) => Ordering::Equal,
            (Null, _) => Ordering::Greater,
            (_, Null) => Ordering::Less,
            (Bool(a), Bool(b)) => a.cmp(b),
            (Int2(a), Int2(b)) => a.cmp(b),
            (Int4(a), Int4(b)) | (Date(a), Date(b)) => a.cmp(b),
            (Int8(a), Int8(b)) | (Timestamp(a), Timestamp(b)) | (Timestamptz(a), Timestamptz(b)) => a.cmp(b),
            (Float4(a), Float4(b)) => float_order(f64::from(*a), f64::from(*b)),
            (Float8(a), Float8(b)) => float_order(*a, *b),
            (Numeric(a), Numeric(b)) => a.cmp(b),
            (Text(a), Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Time(a), Time(b)) => a.cmp(b),
            (Jsonb(a), Jsonb(b)) => crate::json::key(a).cmp(&crate::json::key(b)),
            (Array(a), Array(b)) => a.order(b),
            (Record(a), Record(b)) => a.key().cmp(&b.key()),
            (Bytea(a), Bytea(b)) => a.cmp(b),
            (Interval(a), Interval(b)) => interval_key(*a).cmp(&interval_key(*b)),
            (Uuid(a), Uuid(b)) => a.cmp(b),
            // The binder gives both sides one type.
            _ => Ordering::Equal,
        }
    }
}
