//! Mathematical functions of `double precision`. Transcendental ones come from `libm`: the same bits on every platform
//! (DESIGN §3).

use super::arithmetic::{bigint_pair, float_overflow, float_underflow, gcd, integer_pair, lcm};
use super::kernel::{binary, unary};
use super::{Scalar, Value, scalar};
use arrow_array::types::*;
use orrery_base::{Error, Result, SqlState};

fn one(args: &[Value], rows: usize, f: impl Fn(f64) -> Result<f64>) -> Result<Value> {
    // The second argument repeats the first: `binary` carries errors, `unary` only their absence.
    let both = [args[0].clone(), args[0].clone()];
    binary::<Float64Type, Float64Type, Float64Type>(&both, rows, |value, _| f(value).map(canonical))
}

fn canonical(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

fn plain(args: &[Value], rows: usize, f: impl Fn(f64) -> f64) -> Result<Value> {
    unary::<Float64Type, Float64Type>(
        args,
        rows,
        |value| Some(canonical(f(value))),
        || Error::internal("no error"),
    )
}

fn input_out_of_range() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range")
}

fn sqrt(value: f64) -> Result<f64> {
    if value < 0.0 {
        let message = "cannot take square root of a negative number";
        return Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
    }
    Ok(value.sqrt())
}

fn exp(value: f64) -> Result<f64> {
    let result = super::double::exp(value);
    if result.is_infinite() && value.is_finite() {
        return Err(float_overflow());
    }
    if result == 0.0 && value.is_finite() {
        return Err(float_underflow());
    }
    Ok(result)
}

fn check_log(value: f64) -> Result<()> {
    let message = match value {
        0.0 => "cannot take logarithm of zero",
        value if value < 0.0 => "cannot take logarithm of a negative number",
        _ => return Ok(()),
    };
    Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, message))
}

fn power(base: f64, exponent: f64) -> Result<f64> {
    let bad = |message| Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
    if base == 0.0 && exponent < 0.0 {
        return bad("zero raised to a negative power is undefined");
    }
    if base < 0.0 && exponent.is_finite() && exponent.trunc() != exponent {
        return bad("a negative number raised to a non-integer power yields a complex result");
    }
    let result = libm::pow(base, exponent);
    if result.is_infinite() && base.is_finite() && exponent.is_finite() {
        return Err(float_overflow());
    }
    if result == 0.0 && base != 0.0 && base.is_finite() && exponent.is_finite() {
        return Err(float_underflow());
    }
    Ok(canonical(result))
}

fn finite(value: f64, f: impl Fn(f64) -> f64) -> Result<f64> {
    if value.is_infinite() { Err(input_out_of_range()) } else { Ok(f(value)) }
}

fn within_one(value: f64, f: impl Fn(f64) -> f64) -> Result<f64> {
    if value.abs() > 1.0 { Err(input_out_of_range()) } else { Ok(f(value)) }
}

macro_rules! float_functions {
    ($($name:literal = $f:expr;)*) => {
        &[$( scalar!($name, [Float8] => Float8, |_, args, rows| one(args, rows, $f)), )*]
    };
}

macro_rules! plain_functions {
    ($($name:literal = $f:expr;)*) => {
        &[$( scalar!($name, [Float8] => Float8, |_, args, rows| plain(args, rows, $f)), )*]
    };
}

static CHECKED: &[Scalar] = float_functions! {
    "sqrt" = sqrt;
    "|/" = sqrt;
    "exp" = exp;
    "ln" = |value| check_log(value).map(|()| libm::log(value));
    "log" = |value| check_log(value).map(|()| libm::log10(value));
    "log10" = |value| check_log(value).map(|()| libm::log10(value));
    "sin" = |value| finite(value, libm::sin);
    "cos" = |value| finite(value, libm::cos);
    "tan" = |value| finite(value, libm::tan);
    "asin" = |value| within_one(value, libm::asin);
    "acos" = |value| within_one(value, libm::acos);
};

static PLAIN: &[Scalar] = plain_functions! {
    "ceil" = f64::ceil;
    "ceiling" = f64::ceil;
    "floor" = f64::floor;
    "trunc" = f64::trunc;
    "round" = f64::round_ties_even;
    "cbrt" = libm::cbrt;
    "||/" = libm::cbrt;
    "atan" = libm::atan;
    "sinh" = libm::sinh;
    "cosh" = libm::cosh;
    "tanh" = libm::tanh;
    "degrees" = f64::to_degrees;
    "radians" = f64::to_radians;
    "sign" = |value| if value > 0.0 { 1.0 } else if value < 0.0 { -1.0 } else { 0.0 };
};

static OTHERS: &[Scalar] = &[
    scalar!("power", [Float8, Float8] => Float8, |_, args, rows| {
        binary::<Float64Type, Float64Type, Float64Type>(args, rows, power)
    }),
    scalar!("pow", [Float8, Float8] => Float8, |_, args, rows| {
        binary::<Float64Type, Float64Type, Float64Type>(args, rows, power)
    }),
    scalar!("^", [Float8, Float8] => Float8, |_, args, rows| {
        binary::<Float64Type, Float64Type, Float64Type>(args, rows, power)
    }),
    scalar!("atan2", [Float8, Float8] => Float8, |_, args, rows| {
        binary::<Float64Type, Float64Type, Float64Type>(args, rows, |a, b| Ok(canonical(libm::atan2(a, b))))
    }),
    scalar!("pi", [] => Float8, |_, _, _| {
        Ok(Value::Constant(crate::columns::primitive::<Float64Type>(vec![std::f64::consts::PI], None)))
    }),
    scalar!("gcd", [Int8, Int8] => Int8, |_, args, rows| bigint_pair(args, rows, gcd)),
    scalar!("gcd", [Int4, Int4] => Int4, |_, args, rows| integer_pair(args, rows, gcd)),
    scalar!("lcm", [Int8, Int8] => Int8, |_, args, rows| bigint_pair(args, rows, lcm)),
    scalar!("lcm", [Int4, Int4] => Int4, |_, args, rows| integer_pair(args, rows, lcm)),
];

pub(super) static ENTRIES: [&[Scalar]; 3] = [CHECKED, PLAIN, OTHERS];
