//! Operators and functions of `numeric`. Arguments come in either array form: `numeric(p,s)` as 128-bit coefficients,
//! unconstrained ones in the wide form. Sums, differences and products of the first stay in it where the result's bounds
//! are proven to fit 38 digits; everything else is computed value by value in the wide form.

use super::kernel::{self, Row, Shape};
use super::{EvalContext, ResultType, Scalar, Value, Volatility, scalar};
use crate::columns;
use crate::datum::Datum;
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, Decimal128Array};
use arrow_schema::DataType;
use orrery_base::{Error, Result, SqlState};
use orrery_row::numeric::{DECIMAL_NAN, Numeric};
use std::sync::Arc;

/// Most digits of a 128-bit decimal.
const DECIMAL_DIGITS_MAX: u8 = 38;

/// Rounds to `numeric(precision, scale)`. Errors: 22003.
pub fn fit(value: &Numeric, precision: u8, scale: u8) -> Result<Numeric> {
    value.with_modifier(u32::from(precision), i32::from(scale))
}

fn decimal_parts(ty: SqlType) -> Option<(u8, u8)> {
    match ty {
        SqlType::Decimal { precision, scale } => Some((precision, scale)),
        _ => None,
    }
}

fn bounded(precision: u8, scale: u8) -> SqlType {
    if precision <= DECIMAL_DIGITS_MAX { SqlType::Decimal { precision, scale } } else { SqlType::Numeric }
}

fn sum_type(args: &[SqlType]) -> SqlType {
    match (decimal_parts(args[0]), decimal_parts(args[1])) {
        (Some((p, s)), Some((q, t))) => {
            let scale = s.max(t);
            bounded((p - s).max(q - t) + scale + 1, scale)
        }
        _ => SqlType::Numeric,
    }
}

fn product_type(args: &[SqlType]) -> SqlType {
    match (decimal_parts(args[0]), decimal_parts(args[1])) {
        (Some((p, s)), Some((q, t))) => bounded(p.saturating_add(q), s.saturating_add(t)),
        _ => SqlType::Numeric,
    }
}

fn same_type(args: &[SqlType]) -> SqlType {
    args[0]
}

fn array_type(value: &Value) -> SqlType {
    match value.array().data_type() {
        DataType::Decimal128(precision, scale) => {
            SqlType::Decimal { precision: *precision, scale: *scale as u8 }
        }
        _ => SqlType::Numeric,
    }
}

fn pow10(exponent: u8) -> i128 {
    10i128.pow(u32::from(exponent))
}

/// Both arguments as coefficients of one scale, when that is possible without a loss.
pub fn align_for_comparison(args: &[Value]) -> Result<Option<Vec<Value>>> {
    let types = [array_type(&args[0]), array_type(&args[1])];
    let aligned = match (decimal_parts(types[0]), decimal_parts(types[1])) {
        (Some((_, s)), Some((_, t))) if s == t => Some(args.to_vec()),
        (Some((_, scale)), None) => {
            constant_at(&args[1], scale)?.map(|constant| vec![args[0].clone(), constant])
        }
        (None, Some((_, scale))) => {
            constant_at(&args[0], scale)?.map(|constant| vec![constant, args[1].clone()])
        }
        _ => None,
    };
    Ok(aligned)
}

fn constant_at(value: &Value, scale: u8) -> Result<Option<Value>> {
    let Value::Constant(array) = value else { return Ok(None) };
    if array.is_null(0) {
        return Ok(Some(Value::Constant(Arc::new(Decimal128Array::new_null(1)))));
    }
    let Datum::Numeric(constant) = columns::datum_at(array, SqlType::Numeric, 0)? else { return Ok(None) };
    Ok(constant.to_decimal128(scale).map(|coefficient| {
        let array: Decimal128Array = vec![coefficient].into();
        Value::Constant(Arc::new(array))
    }))
}

/// Computes on coefficients when the result type is a bounded decimal, else value by value.
fn arithmetic(
    args: &[Value],
    rows: usize,
    result: SqlType,
    small: impl Fn(i128, i128) -> i128,
    align: bool,
    wide: impl Fn(&Numeric, &Numeric) -> Result<Numeric>,
) -> Result<Value> {
    let Some((_, scale)) = decimal_parts(result) else {
        return numerics(args, rows, |row| wide(&row.numeric(0)?, &row.numeric(1)?));
    };
    let shape = Shape::of(args, rows);
    let factor = |value: &Value| {
        decimal_parts(array_type(value)).filter(|_| align).map_or(1, |(_, s)| pow10(scale - s))
    };
    let (left_factor, right_factor) = (factor(&args[0]), factor(&args[1]));
    let (left, right) =
        (args[0].array().as_primitive::<Decimal128Type>(), args[1].array().as_primitive::<Decimal128Type>());
    let mask = |value: &Value| if matches!(value, Value::Constant(_)) { 0 } else { usize::MAX };
    let (left_mask, right_mask) = (mask(&args[0]), mask(&args[1]));
    let compute = |row: usize| {
        let (a, b) = (left.values()[row & left_mask], right.values()[row & right_mask]);
        if a == DECIMAL_NAN || b == DECIMAL_NAN {
            return DECIMAL_NAN;
        }
        // What lies under a NULL may be anything: wrap there, it is not looked at.
        small(a.wrapping_mul(left_factor), b.wrapping_mul(right_factor))
    };
    let out: Vec<i128> = (0..shape.rows).map(compute).collect();
    Ok(shape.value(columns::decimal_array(out, shape.nulls.clone(), result)?))
}

fn pair(args: &[Value]) -> [SqlType; 2] {
    [array_type(&args[0]), array_type(&args[1])]
}

fn has_null_array(args: &[Value]) -> bool {
    args.iter().any(|arg| arg.array().data_type() == &DataType::Null)
}

fn add(_: &EvalContext<'_>, args: &[Value], rows: usize) -> Result<Value> {
    let result = if has_null_array(args) { SqlType::Numeric } else { sum_type(&pair(args)) };
    arithmetic(args, rows, result, i128::wrapping_add, true, Numeric::add)
}

fn subtract(_: &EvalContext<'_>, args: &[Value], rows: usize) -> Result<Value> {
    let result = if has_null_array(args) { SqlType::Numeric } else { sum_type(&pair(args)) };
    arithmetic(args, rows, result, i128::wrapping_sub, true, Numeric::sub)
}

fn multiply(_: &EvalContext<'_>, args: &[Value], rows: usize) -> Result<Value> {
    let result = if has_null_array(args) { SqlType::Numeric } else { product_type(&pair(args)) };
    arithmetic(args, rows, result, i128::wrapping_mul, false, Numeric::mul)
}

/// Runs `f` for each row; results in the wide form.
pub fn numerics(args: &[Value], rows: usize, f: impl Fn(&Row<'_>) -> Result<Numeric>) -> Result<Value> {
    kernel::rows(args, rows, SqlType::Numeric, |row, builder| {
        let wide = f(row)?.to_wide();
        builder.push_bytes(&wide)
    })
}

fn log10(value: &Numeric) -> Result<Numeric> {
    value.log(&Numeric::from_i64(10))
}

/// A result in the array form of the one argument.
fn same_form(args: &[Value], rows: usize, f: impl Fn(&Numeric) -> Numeric) -> Result<Value> {
    let ty = array_type(&args[0]);
    kernel::datums(args, rows, ty, |row| Ok(Datum::Numeric(f(&row.numeric(0)?))))
}

const fn typed(
    name: &'static str,
    args: &'static [SqlType],
    result: fn(&[SqlType]) -> SqlType,
    eval: fn(&EvalContext<'_>, &[Value], usize) -> Result<Value>,
) -> Scalar {
    let result = ResultType::From(result);
    Scalar {
        name,
        args,
        variadic: false,
        result,
        strict: true,
        volatility: Volatility::Immutable,
        eval,
        typed: None,
    }
}

const ONE: &[SqlType] = &[SqlType::Numeric];
const TWO: &[SqlType] = &[SqlType::Numeric, SqlType::Numeric];

pub(super) static ENTRIES: &[Scalar] = &[
    typed("+", TWO, sum_type, add),
    typed("-", TWO, sum_type, subtract),
    typed("*", TWO, product_type, multiply),
    typed("-", ONE, same_type, |_, args, rows| same_form(args, rows, Numeric::neg)),
    typed("+", ONE, same_type, |_, args, _| Ok(args[0].clone())),
    typed("abs", ONE, same_type, |_, args, rows| same_form(args, rows, Numeric::abs)),
    scalar!("/", [Numeric, Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| row.numeric(0)?.div(&row.numeric(1)?))
    }),
    scalar!("%", [Numeric, Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| row.numeric(0)?.rem(&row.numeric(1)?))
    }),
    scalar!("mod", [Numeric, Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| row.numeric(0)?.rem(&row.numeric(1)?))
    }),
    scalar!("div", [Numeric, Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| row.numeric(0)?.div_trunc(&row.numeric(1)?))
    }),
    scalar!("ceil", [Numeric] => Numeric, |_, args, rows| numerics(args, rows, |row| Ok(row.numeric(0)?.ceil()))),
    scalar!("ceiling", [Numeric] => Numeric, |_, args, rows| numerics(args, rows, |row| Ok(row.numeric(0)?.ceil()))),
    scalar!("floor", [Numeric] => Numeric, |_, args, rows| numerics(args, rows, |row| Ok(row.numeric(0)?.floor()))),
    scalar!("round", [Numeric] => Numeric, |_, args, rows| numerics(args, rows, |row| Ok(row.numeric(0)?.round(0)))),
    scalar!("round", [Numeric, Int4] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| Ok(row.numeric(0)?.round(row.i32(1)?)))
    }),
    scalar!("trunc", [Numeric] => Numeric, |_, args, rows| numerics(args, rows, |row| Ok(row.numeric(0)?.trunc(0)))),
    scalar!("trunc", [Numeric, Int4] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| Ok(row.numeric(0)?.trunc(row.i32(1)?)))
    }),
    scalar!("sqrt", [Numeric] => Numeric, |_, args, rows| numerics(args, rows, |row| row.numeric(0)?.sqrt())),
    scalar!("sign", [Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| {
            let value = row.numeric(0)?;
            Ok(value.signum().map_or(Numeric::NaN, |sign| Numeric::from_i64(i64::from(sign))))
        })
    }),
    scalar!("power", [Numeric, Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| row.numeric(0)?.power(&row.numeric(1)?))
    }),
    scalar!("pow", [Numeric, Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| row.numeric(0)?.power(&row.numeric(1)?))
    }),
    scalar!("^", [Numeric, Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| row.numeric(0)?.power(&row.numeric(1)?))
    }),
    scalar!("exp", [Numeric] => Numeric, |_, args, rows| numerics(args, rows, |row| row.numeric(0)?.exp())),
    scalar!("ln", [Numeric] => Numeric, |_, args, rows| numerics(args, rows, |row| row.numeric(0)?.ln())),
    scalar!("log", [Numeric] => Numeric, |_, args, rows| numerics(args, rows, |row| log10(&row.numeric(0)?))),
    scalar!("log10", [Numeric] => Numeric, |_, args, rows| numerics(args, rows, |row| log10(&row.numeric(0)?))),
    scalar!("log", [Numeric, Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| row.numeric(1)?.log(&row.numeric(0)?))
    }),
    scalar!("gcd", [Numeric, Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| row.numeric(0)?.gcd(&row.numeric(1)?))
    }),
    scalar!("lcm", [Numeric, Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| row.numeric(0)?.lcm(&row.numeric(1)?))
    }),
    scalar!("scale", [Numeric] => Int4, |_, args, rows| {
        kernel::datums(args, rows, SqlType::Int4, |row| {
            Ok(match row.numeric(0)? {
                Numeric::Finite { scale, .. } => Datum::Int4(i32::from(scale)),
                _ => Datum::Null,
            })
        })
    }),
    scalar!("min_scale", [Numeric] => Int4, |_, args, rows| {
        kernel::datums(args, rows, SqlType::Int4, |row| {
            Ok(match row.numeric(0)?.without_trailing_zeros() {
                value @ Numeric::Finite { .. } => Datum::Int4(i32::from(value.scale())),
                _ => Datum::Null,
            })
        })
    }),
    scalar!("trim_scale", [Numeric] => Numeric, |_, args, rows| {
        numerics(args, rows, |row| Ok(row.numeric(0)?.without_trailing_zeros()))
    }),
];

/// 22003 with PostgreSQL's words.
pub fn out_of_range(ty: SqlType) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", ty.base_name()))
}
