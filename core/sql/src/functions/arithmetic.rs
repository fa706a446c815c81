//! Operators of the integer and float types. Overflow and division by zero are errors (22003, 22012), never a wrapped
//! number.

use super::kernel::{self, binary, unary};
use super::numeric::out_of_range;
use super::{Scalar, Value, scalar};
use crate::types::SqlType;
use arrow_array::Array;
use arrow_array::cast::AsArray;
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

/// Integer remainders.
trait Remainder: Copy + PartialEq + Default {
    fn rem(self, divisor: Self) -> Self;
    /// The absolute value, where a fast way to divide by it exists.
    fn small(self) -> Option<u32>;
    /// The same number, given the remainder of its absolute value.
    fn signed(self, remainder: u32) -> Self;
}

macro_rules! remainders {
    ($($native:ident: $is_small:literal),*) => {$(
        impl Remainder for $native {
            #[inline]
            fn rem(self, divisor: Self) -> Self {
                self.wrapping_rem(divisor)
            }
            #[inline]
            fn small(self) -> Option<u32> {
                $is_small.then(|| self.unsigned_abs() as u32)
            }
            #[inline]
            fn signed(self, remainder: u32) -> Self {
                // Below the divisor's absolute value, so it fits with either sign.
                let remainder = remainder as $native;
                if self < 0 { remainder.wrapping_neg() } else { remainder }
            }
        }
    )*};
}

remainders!(i16: true, i32: true, i64: false);

/// `%`. A constant divisor of 32 bits is multiplied with instead (Lemire, Kaser, Kurz: "Faster remainder by direct
/// computation", 2019): exact for every dividend and divisor of 32 bits.
fn remainder<T: ArrowPrimitiveType>(args: &[Value], rows: usize) -> Result<Value>
where
    T::Native: Remainder,
{
    if let (Value::Array(_), Value::Constant(divisor)) = (&args[0], &args[1])
        && divisor.null_count() == 0
        && let Some(divisor) = divisor.as_primitive::<T>().value(0).small().filter(|&divisor| divisor != 0)
    {
        let inverse = (u64::MAX / u64::from(divisor)).wrapping_add(1);
        return unary::<T, T>(
            &args[..1],
            rows,
            |a| {
                let low = inverse.wrapping_mul(u64::from(a.small()?));
                Some(a.signed(((u128::from(low) * u128::from(divisor)) >> 64) as u32))
            },
            never,
        );
    }
    binary::<T, T, T>(args, rows, |a, b| {
        if b == T::Native::default() { Err(division_by_zero()) } else { Ok(a.rem(b)) }
    })
}

/// A call for each row, for operators that are rarely hot: one loop for each pair of types instead of one for each operator.
fn by_call<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
    args: &[Value],
    rows: usize,
    f: fn(A::Native, B::Native) -> Result<A::Native>,
) -> Result<Value> {
    binary::<A, B, A>(args, rows, f)
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
            scalar!("%", [$ty, $ty] => $ty, |_, args, rows| remainder::<$arrow>(args, rows)),
            scalar!("mod", [$ty, $ty] => $ty, |_, args, rows| remainder::<$arrow>(args, rows)),
            scalar!("&", [$ty, $ty] => $ty, |_, args, rows| by_call::<$arrow, $arrow>(args, rows, |a, b| Ok(a & b))),
            scalar!("|", [$ty, $ty] => $ty, |_, args, rows| by_call::<$arrow, $arrow>(args, rows, |a, b| Ok(a | b))),
            scalar!("#", [$ty, $ty] => $ty, |_, args, rows| by_call::<$arrow, $arrow>(args, rows, |a, b| Ok(a ^ b))),
            scalar!("<<", [$ty, Int4] => $ty, |_, args, rows| by_call::<$arrow, Int32Type>(args, rows, |a, b| {
                Ok(a.wrapping_shl(b as u32))
            })),
            scalar!(">>", [$ty, Int4] => $ty, |_, args, rows| by_call::<$arrow, Int32Type>(args, rows, |a, b| {
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
    args: &[Value],
    rows: usize,
    f: impl Fn(i64, i64) -> Option<i64>,
) -> Result<Value> {
    kernel::binary::<Int32Type, Int32Type, Int32Type>(args, rows, |a, b| {
        let value = f(a.into(), b.into()).and_then(|value| i32::try_from(value).ok());
        value.ok_or_else(|| out_of_range(SqlType::Int4))
    })
}

pub(super) fn bigint_pair(args: &[Value], rows: usize, f: impl Fn(i64, i64) -> Option<i64>) -> Result<Value> {
    kernel::binary::<Int64Type, Int64Type, Int64Type>(args, rows, |a, b| {
        f(a, b).ok_or_else(|| out_of_range(SqlType::Int8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int32Array;
    use std::sync::Arc;

    #[test]
    fn remainders_by_a_constant_are_those_of_the_machine() {
        let some = [
            0,
            1,
            -1,
            2,
            -2,
            3,
            7,
            -7,
            10,
            1000,
            -1000,
            65_537,
            i32::MAX - 1,
            i32::MAX,
            i32::MIN + 1,
            i32::MIN,
        ];
        let dividends: Vec<i32> = some.iter().copied().chain((-500..500).map(|it| it * 4_294_967)).collect();
        for divisor in some.into_iter().filter(|&divisor| divisor != 0) {
            let args = [
                Value::Array(Arc::new(Int32Array::from(dividends.clone()))),
                Value::Constant(Arc::new(Int32Array::from(vec![divisor]))),
            ];
            let got = remainder::<Int32Type>(&args, dividends.len()).unwrap();
            let expected: Vec<i32> = dividends.iter().map(|it| it.wrapping_rem(divisor)).collect();
            assert_eq!(got.array().as_primitive::<Int32Type>().values().to_vec(), expected, "% {divisor}");
        }
        let zero = [
            Value::Array(Arc::new(Int32Array::from(vec![1]))),
            Value::Constant(Arc::new(Int32Array::from(vec![0]))),
        ];
        assert!(remainder::<Int32Type>(&zero, 1).is_err());
    }
}
