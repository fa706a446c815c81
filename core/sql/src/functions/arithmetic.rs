//! Operators of the integer and float types. Overflow and division by zero are errors (22003, 22012), never a wrapped
//! number.

use super::kernel::{self, binary, unary};
use super::numeric::out_of_range;
use super::{Scalar, scalar};
use crate::types::SqlType;
use arrow_array::types::*;
use orrery_base::{Error, Result, SqlState};

/// 22012.
pub fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// 22003 as PostgreSQL's `float_overflow_error`.
pub fn float_overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")
}

/// 22003 as PostgreSQL's `float_underflow_error`.
pub fn float_underflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow")
}

fn never() -> Error {
    Error::internal("an operation that cannot fail failed")
}

macro_rules! integer_entries {
    ($ty:ident, $arrow:ident, $native:ident) => {
        [
            scalar!("+", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, |a, b| {
                a.checked_add(b).ok_or_else(|| out_of_range(SqlType::$ty))
            })),
            scalar!("-", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, |a, b| {
                a.checked_sub(b).ok_or_else(|| out_of_range(SqlType::$ty))
            })),
            scalar!("*", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, |a, b| {
                a.checked_mul(b).ok_or_else(|| out_of_range(SqlType::$ty))
            })),
            scalar!("/", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, |a, b| {
                if b == 0 {
                    return Err(division_by_zero());
                }
                a.checked_div(b).ok_or_else(|| out_of_range(SqlType::$ty))
            })),
            scalar!("%", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, |a, b| {
                if b == 0 { Err(division_by_zero()) } else { Ok(a.wrapping_rem(b)) }
            })),
            scalar!("mod", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, |a, b| {
                if b == 0 { Err(division_by_zero()) } else { Ok(a.wrapping_rem(b)) }
            })),
            scalar!("&", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, |a, b| Ok(a & b))),
            scalar!("|", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, |a, b| Ok(a | b))),
            scalar!("#", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, |a, b| Ok(a ^ b))),
            scalar!("<<", [$ty, Int4] => $ty, |_, args, rows| binary::<$arrow, Int32Type, $arrow>(args, rows, |a, b| {
                Ok(a.wrapping_shl(b as u32))
            })),
            scalar!(">>", [$ty, Int4] => $ty, |_, args, rows| binary::<$arrow, Int32Type, $arrow>(args, rows, |a, b| {
                Ok(a.wrapping_shr(b as u32))
            })),
            scalar!("~", [$ty] => $ty, |_, args, rows| unary::<$arrow, $arrow>(args, rows, |a| Some(!a), never)),
            scalar!("+", [$ty] => $ty, |_, args, _| Ok(args[0].clone())),
            scalar!("-", [$ty] => $ty, |_, args, rows| {
                unary::<$arrow, $arrow>(args, rows, $native::checked_neg, || out_of_range(SqlType::$ty))
            }),
            scalar!("abs", [$ty] => $ty, |_, args, rows| {
                unary::<$arrow, $arrow>(args, rows, $native::checked_abs, || out_of_range(SqlType::$ty))
            }),
            scalar!("@", [$ty] => $ty, |_, args, rows| {
                unary::<$arrow, $arrow>(args, rows, $native::checked_abs, || out_of_range(SqlType::$ty))
            }),
        ]
    };
}

/// The operations that both float types share.
trait Float: Copy + PartialEq {
    fn check(self, any_infinite: bool, may_be_zero: bool) -> Result<Self>;
    fn is_inf(self) -> bool;
    fn is_nan_(self) -> bool;
    fn is_zero(self) -> bool;
}

macro_rules! float_checks {
    ($native:ident) => {
        impl Float for $native {
            fn check(self, any_infinite: bool, may_be_zero: bool) -> Result<Self> {
                if self.is_infinite() && !any_infinite {
                    return Err(float_overflow());
                }
                if self == 0.0 && !may_be_zero {
                    return Err(float_underflow());
                }
                Ok(if self.is_nan() { $native::NAN } else { self })
            }
            fn is_inf(self) -> bool {
                self.is_infinite()
            }
            fn is_nan_(self) -> bool {
                self.is_nan()
            }
            fn is_zero(self) -> bool {
                self == 0.0
            }
        }
    };
}

float_checks!(f32);
float_checks!(f64);

fn plus<F: Float + std::ops::Add<Output = F>>(a: F, b: F) -> Result<F> {
    (a + b).check(a.is_inf() || b.is_inf(), true)
}

fn minus<F: Float + std::ops::Sub<Output = F>>(a: F, b: F) -> Result<F> {
    (a - b).check(a.is_inf() || b.is_inf(), true)
}

fn times<F: Float + std::ops::Mul<Output = F>>(a: F, b: F) -> Result<F> {
    (a * b).check(a.is_inf() || b.is_inf(), a.is_zero() || b.is_zero())
}

fn over<F: Float + std::ops::Div<Output = F>>(a: F, b: F) -> Result<F> {
    if b.is_zero() && !a.is_nan_() {
        return Err(division_by_zero());
    }
    (a / b).check(a.is_inf() || b.is_zero(), a.is_zero() || b.is_inf())
}

macro_rules! float_entries {
    ($ty:ident, $arrow:ident, $native:ident) => {
        [
            scalar!("+", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, plus)),
            scalar!("-", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, minus)),
            scalar!("*", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, times)),
            scalar!("/", [$ty, $ty] => $ty, |_, args, rows| binary::<$arrow, $arrow, $arrow>(args, rows, over)),
            scalar!("+", [$ty] => $ty, |_, args, _| Ok(args[0].clone())),
            scalar!("-", [$ty] => $ty, |_, args, rows| unary::<$arrow, $arrow>(args, rows, |a| Some(-a), never)),
            scalar!("abs", [$ty] => $ty, |_, args, rows| unary::<$arrow, $arrow>(args, rows, |a| Some(a.abs()), never)),
            scalar!("@", [$ty] => $ty, |_, args, rows| unary::<$arrow, $arrow>(args, rows, |a| Some(a.abs()), never)),
        ]
    };
}

static INT2: [Scalar; 16] = integer_entries!(Int2, Int16Type, i16);
static INT4: [Scalar; 16] = integer_entries!(Int4, Int32Type, i32);
static INT8: [Scalar; 16] = integer_entries!(Int8, Int64Type, i64);
static FLOAT4: [Scalar; 8] = float_entries!(Float4, Float32Type, f32);
static FLOAT8: [Scalar; 8] = float_entries!(Float8, Float64Type, f64);

/// By type.
pub(super) static ENTRIES: [&[Scalar]; 5] = [&INT4, &INT8, &FLOAT8, &INT2, &FLOAT4];

/// Greatest common divisor of two bigints, for `gcd` and `lcm`. `None` when it does not fit.
pub fn gcd(a: i64, b: i64) -> Option<i64> {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).ok()
}

/// Least common multiple, likewise.
pub fn lcm(a: i64, b: i64) -> Option<i64> {
    match gcd(a, b)? {
        0 => Some(0),
        divisor => (a / divisor).checked_mul(b)?.checked_abs(),
    }
}

pub(super) fn integer_pair(
    args: &[super::Value],
    rows: usize,
    f: impl Fn(i64, i64) -> Option<i64>,
) -> Result<super::Value> {
    kernel::binary::<Int32Type, Int32Type, Int32Type>(args, rows, |a, b| {
        let value = f(a.into(), b.into()).and_then(|value| i32::try_from(value).ok());
        value.ok_or_else(|| out_of_range(SqlType::Int4))
    })
}

pub(super) fn bigint_pair(
    args: &[super::Value],
    rows: usize,
    f: impl Fn(i64, i64) -> Option<i64>,
) -> Result<super::Value> {
    kernel::binary::<Int64Type, Int64Type, Int64Type>(args, rows, |a, b| {
        f(a, b).ok_or_else(|| out_of_range(SqlType::Int8))
    })
}
