//! Loops that functions are made of: typed kernels over whole arrays, and row-wise ones for what is rarely hot.
//!
//! Every kernel is strict (a NULL argument gives NULL, and its row is not computed, so it cannot raise), and gives a
//! constant when all arguments are constants.

use super::Value;
use crate::array::ArrayValue;
use crate::columns::{self, ColumnBuilder};
use crate::datum::{Datum, Interval};
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::types as arrow;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType;
use orrery_base::{Error, Result};
use orrery_row::numeric::Numeric;
use std::sync::Arc;

/// Where the rows of an argument are: a constant answers every row from its one value.
#[inline]
fn index_mask(value: &Value) -> usize {
    if matches!(value, Value::Constant(_)) { 0 } else { usize::MAX }
}

/// Rows to compute, and the NULLs of the result.
pub struct Shape {
    /// Rows of the result: 1 when all arguments are constants.
    pub rows: usize,
    /// Where an argument is NULL.
    pub nulls: Option<NullBuffer>,
    all_constant: bool,
}

impl Shape {
    /// The shape of a strict function's result.
    pub fn of(args: &[Value], row_count: usize) -> Shape {
        let all_constant = args.iter().all(|arg| matches!(arg, Value::Constant(_)));
        let rows = if all_constant { 1 } else { row_count };
        let mut nulls: Option<NullBuffer> = None;
        for arg in args {
            let array = arg.array();
            if array.data_type() == &DataType::Null {
                nulls = Some(NullBuffer::new_null(rows));
                break;
            }
            if array.null_count() == 0 {
                continue;
            }
            if matches!(arg, Value::Constant(_)) && !all_constant {
                nulls = Some(NullBuffer::new_null(rows));
                break;
            }
            nulls = NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref());
        }
        Shape { rows, nulls, all_constant }
    }

    /// Whether every row is NULL.
    pub fn all_null(&self) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.null_count() == self.rows)
    }

    /// Whether row `index` is NULL.
    #[inline]
    pub fn is_null(&self, index: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(index))
    }

    /// Wraps the result.
    pub fn value(&self, array: ArrayRef) -> Value {
        if self.all_constant { Value::Constant(array) } else { Value::Array(array) }
    }
}

/// `f` over one primitive argument; `f` answers `None` for what `error` reports.
pub fn unary<A: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    args: &[Value],
    row_count: usize,
    f: impl Fn(A::Native) -> Option<O::Native>,
    error: impl Fn() -> Error,
) -> Result<Value> {
    let shape = Shape::of(args, row_count);
    if shape.all_null() {
        return Ok(
            shape.value(columns::primitive::<O>(vec![O::Native::default(); shape.rows], shape.nulls.clone()))
        );
    }
    let input = args[0].array().as_primitive::<A>().values();
    let mut out = Vec::with_capacity(shape.rows);
    for (index, &value) in input.iter().enumerate() {
        let computed = f(value);
        match computed {
            Some(value) => out.push(value),
            None if shape.is_null(index) => out.push(O::Native::default()),
            None => return Err(error()),
        }
    }
    Ok(shape.value(columns::primitive::<O>(out, shape.nulls.clone())))
}

/// `f` over two primitive arguments.
pub fn binary<A: ArrowPrimitiveType, B: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    args: &[Value],
    row_count: usize,
    f: impl Fn(A::Native, B::Native) -> Result<O::Native>,
) -> Result<Value> {
    let shape = Shape::of(args, row_count);
    if shape.all_null() {
        return Ok(
            shape.value(columns::primitive::<O>(vec![O::Native::default(); shape.rows], shape.nulls.clone()))
        );
    }
    let (left, left_mask) = (args[0].array().as_primitive::<A>().values(), index_mask(&args[0]));
    let (right, right_mask) = (args[1].array().as_primitive::<B>().values(), index_mask(&args[1]));
    let mut out = Vec::with_capacity(shape.rows);
    for index in 0..shape.rows {
        match f(left[index & left_mask], right[index & right_mask]) {
            Ok(value) => out.push(value),
            Err(_) if shape.is_null(index) => out.push(O::Native::default()),
            Err(error) => return Err(error),
        }
    }
    Ok(shape.value(columns::primitive::<O>(out, shape.nulls.clone())))
}

/// A predicate over two arguments whose values these are.
pub fn compare<N: Copy>(
    args: &[Value],
    row_count: usize,
    left: &[N],
    right: &[N],
    f: impl Fn(N, N) -> bool,
) -> Value {
    let shape = Shape::of(args, row_count);
    if shape.all_null() {
        return bools(&shape, |_| false);
    }
    match (&args[0], &args[1]) {
        (Value::Array(_), Value::Constant(_)) => {
            let (left, right) = (&left[..shape.rows], right[0]);
            bools(&shape, |index| f(left[index], right))
        }
        (Value::Constant(_), Value::Array(_)) => {
            let (left, right) = (left[0], &right[..shape.rows]);
            bools(&shape, |index| f(left, right[index]))
        }
        // Of two constants one row is asked for.
        _ => {
            let (left, right) = (&left[..shape.rows], &right[..shape.rows]);
            bools(&shape, |index| f(left[index], right[index]))
        }
    }
}

/// Its opposite; NULL stays NULL.
pub fn not(value: Value) -> Value {
    let turned = |array: &ArrayRef| -> ArrayRef {
        let bits = array.as_boolean();
        Arc::new(BooleanArray::new(!bits.values(), bits.nulls().cloned()))
    };
    match value {
        Value::Array(array) => Value::Array(turned(&array)),
        Value::Constant(array) => Value::Constant(turned(&array)),
    }
}

/// A boolean result computed by row number.
pub fn bools(shape: &Shape, f: impl FnMut(usize) -> bool) -> Value {
    shape.value(Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(shape.rows, f), shape.nulls.clone())))
}

/// One argument, its type resolved once per batch.
pub enum Arg<'a> {
    /// `boolean`
    Bool(&'a BooleanBuffer, usize),
    /// `smallint`
    I16(&'a [i16], usize),
    /// `integer`, `date`
    I32(&'a [i32], usize),
    /// `bigint`, timestamps
    I64(&'a [i64], usize),
    /// `real`
    F32(&'a [f32], usize),
    /// `double precision`
    F64(&'a [f64], usize),
    /// `numeric(p,s)` with its scale
    Decimal(&'a [i128], u16, usize),
    /// `text`
    Text(&'a arrow_array::StringArray, usize),
    /// `bytea`, `numeric`
    Bytes(&'a arrow_array::BinaryArray, usize),
    /// `uuid`, `interval`
    Fixed16(&'a arrow_array::FixedSizeBinaryArray, usize),
    /// All NULL.
    Null,
}

impl<'a> Arg<'a> {
    /// Resolves an argument's type.
    pub fn new(value: &'a Value) -> Result<Arg<'a>> {
        let (array, mask) = (value.array(), index_mask(value));
        Ok(match array.data_type() {
            DataType::Null => Arg::Null,
            DataType::Boolean => Arg::Bool(array.as_boolean().values(), mask),
            DataType::Int16 => Arg::I16(array.as_primitive::<arrow::Int16Type>().values(), mask),
            DataType::Int32 => Arg::I32(array.as_primitive::<arrow::Int32Type>().values(), mask),
            DataType::Date32 => Arg::I32(array.as_primitive::<arrow::Date32Type>().values(), mask),
            DataType::Int64 => Arg::I64(array.as_primitive::<arrow::Int64Type>().values(), mask),
            DataType::Timestamp(..) => {
                Arg::I64(array.as_primitive::<arrow::TimestampMicrosecondType>().values(), mask)
            }
            DataType::Time64(_) => {
                Arg::I64(array.as_primitive::<arrow::Time64MicrosecondType>().values(), mask)
            }
            DataType::Float32 => Arg::F32(array.as_primitive::<arrow::Float32Type>().values(), mask),
            DataType::Float64 => Arg::F64(array.as_primitive::<arrow::Float64Type>().values(), mask),
            DataType::Decimal128(_, scale) => {
                Arg::Decimal(array.as_primitive::<arrow::Decimal128Type>().values(), *scale as u16, mask)
            }
            DataType::Utf8 => Arg::Text(array.as_string(), mask),
            DataType::Binary => Arg::Bytes(array.as_binary(), mask),
            DataType::FixedSizeBinary(16) => Arg::Fixed16(array.as_fixed_size_binary(), mask),
            other => return Err(Error::internal(format!("an argument of type {other}"))),
        })
    }

    /// The numeric of a row.
    pub fn numeric(&self, row: usize) -> Result<Numeric> {
        match self {
            Arg::Decimal(values, scale, mask) => Ok(Numeric::from_decimal128(values[row & mask], *scale)),
            Arg::Bytes(array, mask) => columns::numeric_from(array.value(row & mask)),
            _ => Err(wrong_argument()),
        }
    }
}

fn wrong_argument() -> Error {
    Error::internal("an argument of another type than the function takes")
}

/// The arguments of one row.
pub struct Row<'a> {
    args: &'a [Arg<'a>],
    row: usize,
}

macro_rules! getters {
    ($($name:ident -> $ty:ty = $variant:ident: $what:literal;)*) => {
        impl Row<'_> { $(
            #[doc = $what]
            pub fn $name(&self, arg: usize) -> Result<$ty> {
                match &self.args[arg] {
                    Arg::$variant(values, mask) => Ok(values[self.row & mask]),
                    _ => Err(wrong_argument()),
                }
            }
        )* }
    };
}

getters! {
    i16 -> i16 = I16: "A smallint.";
    i32 -> i32 = I32: "An integer or date.";
    i64 -> i64 = I64: "A bigint or timestamp.";
    f32 -> f32 = F32: "A real.";
    f64 -> f64 = F64: "A double precision.";
}

impl<'a> Row<'a> {
    /// A boolean.
    pub fn bool(&self, arg: usize) -> Result<bool> {
        match &self.args[arg] {
            Arg::Bool(values, mask) => Ok(values.value(self.row & mask)),
            _ => Err(wrong_argument()),
        }
    }

    /// A text.
    pub fn text(&self, arg: usize) -> Result<&'a str> {
        match &self.args[arg] {
            Arg::Text(array, mask) => Ok(array.value(self.row & mask)),
            _ => Err(wrong_argument()),
        }
    }

    /// A bytea.
    pub fn bytes(&self, arg: usize) -> Result<&'a [u8]> {
        match &self.args[arg] {
            Arg::Bytes(array, mask) => Ok(array.value(self.row & mask)),
            _ => Err(wrong_argument()),
        }
    }

    /// An array.
    pub fn array(&self, arg: usize) -> Result<ArrayValue> {
        self.bytes(arg).and_then(ArrayValue::decode)
    }

    /// A uuid's or interval's bytes.
    pub fn fixed16(&self, arg: usize) -> Result<&'a [u8]> {
        match &self.args[arg] {
            Arg::Fixed16(array, mask) => Ok(array.value(self.row & mask)),
            _ => Err(wrong_argument()),
        }
    }

    /// An interval.
    pub fn interval(&self, arg: usize) -> Result<Interval> {
        self.fixed16(arg).map(columns::interval_from)
    }

    /// A numeric of either form.
    pub fn numeric(&self, arg: usize) -> Result<Numeric> {
        self.args[arg].numeric(self.row)
    }

    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.args.len()
    }
}

/// What computes a row's result and appends it, exactly one value.
type AppendRow<'f> = &'f mut dyn FnMut(&Row<'_>, &mut ColumnBuilder) -> Result<()>;

/// Runs `f` for each row without a NULL argument; `f` appends exactly one value to the builder.
pub fn rows(
    args: &[Value],
    row_count: usize,
    ty: SqlType,
    mut f: impl FnMut(&Row<'_>, &mut ColumnBuilder) -> Result<()>,
) -> Result<Value> {
    append_rows(args, row_count, ty, &mut f)
}

/// One loop for all: two hundred functions have theirs otherwise, and the loop is most of each.
fn append_rows(args: &[Value], row_count: usize, ty: SqlType, f: AppendRow<'_>) -> Result<Value> {
    let shape = Shape::of(args, row_count);
    let resolved = args.iter().map(Arg::new).collect::<Result<Vec<_>>>()?;
    let mut builder = ColumnBuilder::new(ty, shape.rows);
    for row in 0..shape.rows {
        if shape.is_null(row) {
            builder.push_null();
        } else {
            f(&Row { args: &resolved, row }, &mut builder)?;
        }
    }
    Ok(shape.value(builder.finish()?))
}

/// As [`rows`], each result a single value.
pub fn datums(
    args: &[Value],
    row_count: usize,
    ty: SqlType,
    f: impl Fn(&Row<'_>) -> Result<Datum>,
) -> Result<Value> {
    append_datums(args, row_count, ty, &f)
}

fn append_datums(
    args: &[Value],
    row_count: usize,
    ty: SqlType,
    f: &dyn Fn(&Row<'_>) -> Result<Datum>,
) -> Result<Value> {
    append_rows(args, row_count, ty, &mut |row, builder| builder.push(&f(row)?))
}

/// As [`rows`], each result a text that `f` appends to an empty string.
pub fn texts(
    args: &[Value],
    row_count: usize,
    f: impl Fn(&Row<'_>, &mut String) -> Result<()>,
) -> Result<Value> {
    append_texts(args, row_count, &f)
}

fn append_texts(
    args: &[Value],
    row_count: usize,
    f: &dyn Fn(&Row<'_>, &mut String) -> Result<()>,
) -> Result<Value> {
    let mut text = String::new();
    append_rows(args, row_count, SqlType::Text, &mut |row, builder| {
        text.clear();
        f(row, &mut text)?;
        builder.push_bytes(text.as_bytes())
    })
}

/// As [`rows`], each result a truth value.
pub fn predicate(args: &[Value], row_count: usize, f: impl Fn(&Row<'_>) -> Result<bool>) -> Result<Value> {
    append_truths(args, row_count, &f)
}

fn append_truths(args: &[Value], row_count: usize, f: &dyn Fn(&Row<'_>) -> Result<bool>) -> Result<Value> {
    append_rows(args, row_count, SqlType::Bool, &mut |row, builder| builder.push(&Datum::Bool(f(row)?)))
}
