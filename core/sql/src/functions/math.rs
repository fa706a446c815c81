//! Mathematical functions of `double precision`. Transcendental ones come from `libm`: the same bits on every platform
//! (DESIGN §3).

use super::arithmetic::{bigint_pair, float_overflow, float_underflow, gcd, integer_pair, lcm};
use super::kernel::{binary, unary};
use super::{Scalar, Value, scalar};
use arrow_array::types::*;
use orrery_base::{Error, Result, SqlState};

fn one(args: &[Value], rows: usize, f: fn(f64) -> Result<f64>) -> Result<Value> {
    // The second argument repeats the first: `binary` carries errors, `unary` only their absence.
    let both = [args[0].clone(), args[0].clone()];
    binary::<Float64Type, Float64Type, Float64Type>(&both, rows, |value, _| f(value).map(canonical))
}

fn canonical(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

fn plain(args: &[Value], rows: usize, f: fn(f64) -> f64) -> Result<Value> {
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

/// The angle in degrees reduced, as PostgreSQL's `sind_q1` and `cosd_q1` need it.
fn sine_of_degrees(degrees: f64) -> f64 {
    // Exact where the result is.
    if degrees <= 30.0 {
        libm::sin(degrees.to_radians()) / libm::sin(30f64.to_radians()) / 2.0
    } else {
        cosine_0_60(90.0 - degrees)
    }
}

fn cosine_0_60(degrees: f64) -> f64 {
    let one_less = 1.0 - libm::cos(degrees.to_radians());
    1.0 - one_less / (1.0 - libm::cos(60f64.to_radians())) / 2.0
}

fn cosine_of_degrees(degrees: f64) -> f64 {
    if degrees <= 60.0 {
        cosine_0_60(degrees)
    } else {
        let rest = 90.0 - degrees;
        libm::sin(rest.to_radians()) / libm::sin(30f64.to_radians()) / 2.0
    }
}

/// The sine, or for `shift` the cosine.
fn trigonometry_of_degrees(value: f64, cosine: bool) -> Result<f64> {
    if value.is_nan() {
        return Ok(value);
    }
    if value.is_infinite() {
        return Err(input_out_of_range());
    }
    let mut angle = libm::fmod(value, 360.0);
    let mut sign = 1.0;
    if angle < 0.0 {
        angle = -angle;
        if !cosine {
            sign = -sign;
        }
    }
    if angle > 180.0 {
        angle = 360.0 - angle;
        if !cosine {
            sign = -sign;
        }
    }
    if angle > 90.0 {
        angle = 180.0 - angle;
        if cosine {
            sign = -sign;
        }
    }
    Ok(sign * if cosine { cosine_of_degrees(angle) } else { sine_of_degrees(angle) })
}

/// The tangent, or for `inverse` the cotangent.
fn tangent_of_degrees(value: f64, inverse: bool) -> Result<f64> {
    if value.is_nan() {
        return Ok(value);
    }
    if value.is_infinite() {
        return Err(input_out_of_range());
    }
    let mut angle = libm::fmod(value, 360.0);
    let mut sign = 1.0;
    for (limit, turned) in [(0.0, 0.0), (180.0, 360.0), (90.0, 180.0)] {
        if if limit == 0.0 { angle < 0.0 } else { angle > limit } {
            angle = turned - angle;
            sign = -sign;
        }
    }
    let ratio = |angle: f64| {
        let (sine, cosine) = (sine_of_degrees(angle), cosine_of_degrees(angle));
        if inverse { cosine / sine } else { sine / cosine }
    };
    let result = sign * (ratio(angle) / ratio(45.0));
    // No negative zero.
    Ok(if result == 0.0 { 0.0 } else { result })
}

/// The arc sine of 0 to 1, exact where the result is.
fn degrees_of_sine(value: f64) -> f64 {
    if value <= 0.5 {
        libm::asin(value) / libm::asin(0.5) * 30.0
    } else {
        90.0 - libm::acos(value) / libm::acos(0.5) * 60.0
    }
}

/// The arc cosine of 0 to 1.
fn degrees_of_cosine(value: f64) -> f64 {
    if value <= 0.5 {
        90.0 - libm::asin(value) / libm::asin(0.5) * 30.0
    } else {
        libm::acos(value) / libm::acos(0.5) * 60.0
    }
}

fn width_bucket(value: f64, low: f64, high: f64, count: i32) -> Result<i32> {
    let bad = |message| Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET, message));
    if count <= 0 {
        return bad("count must be greater than zero");
    }
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return bad("operand, lower bound, and upper bound cannot be NaN");
    }
    if low.is_infinite() || high.is_infinite() {
        return bad("lower and upper bounds must be finite");
    }
    if low == high {
        return bad("lower bound cannot equal upper bound");
    }
    let (place, ascending) = (value, low < high);
    let before = if ascending { place < low } else { place > low };
    let behind = if ascending { place >= high } else { place <= high };
    if before {
        return Ok(0);
    }
    if behind {
        return count.checked_add(1).ok_or_else(|| super::numeric::out_of_range(crate::types::SqlType::Int4));
    }
    let bucket = f64::from(count) * ((place - low) / (high - low));
    Ok((bucket as i32).min(count - 1) + 1)
}

/// As the other, exactly.
fn numeric_bucket(row: &super::kernel::Row<'_>) -> Result<crate::datum::Datum> {
    use crate::datum::Datum;
    use orrery_row::numeric::Numeric;
    let (value, low, high, count) = (row.numeric(0)?, row.numeric(1)?, row.numeric(2)?, row.i32(3)?);
    let bad = |message| Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET, message));
    if count <= 0 {
        return bad("count must be greater than zero");
    }
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return bad("operand, lower bound, and upper bound cannot be NaN");
    }
    if !low.is_finite() || !high.is_finite() {
        return bad("lower and upper bounds must be finite");
    }
    if low == high {
        return bad("lower bound cannot equal upper bound");
    }
    let ascending = low < high;
    if if ascending { value < low } else { value > low } {
        return Ok(Datum::Int4(0));
    }
    if if ascending { value >= high } else { value <= high } {
        let above = count.checked_add(1);
        return above
            .map(Datum::Int4)
            .ok_or_else(|| super::numeric::out_of_range(crate::types::SqlType::Int4));
    }
    let (distance, width) = (value.sub(&low)?, high.sub(&low)?);
    let bucket = distance.mul(&Numeric::from_i64(count.into()))?.div_trunc(&width)?;
    Ok(Datum::Int4(bucket.to_i64()? as i32 + 1))
}

pub(super) static MORE: &[Scalar] = &[
    scalar!("sind", [Float8] => Float8, |_, args, rows| one(args, rows, |value| trigonometry_of_degrees(value, false))),
    scalar!("cosd", [Float8] => Float8, |_, args, rows| one(args, rows, |value| trigonometry_of_degrees(value, true))),
    scalar!("tand", [Float8] => Float8, |_, args, rows| one(args, rows, |value| tangent_of_degrees(value, false))),
    scalar!("cotd", [Float8] => Float8, |_, args, rows| one(args, rows, |value| tangent_of_degrees(value, true))),
    scalar!("asind", [Float8] => Float8, |_, args, rows| {
        one(args, rows, |value| within_one(value, |value| degrees_of_sine(value.abs()).copysign(value)))
    }),
    scalar!("acosd", [Float8] => Float8, |_, args, rows| {
        one(args, rows, |value| within_one(value, |value| {
            if value < 0.0 { 90.0 + degrees_of_sine(-value) } else { degrees_of_cosine(value) }
        }))
    }),
    scalar!("atand", [Float8] => Float8, |_, args, rows| {
        plain(args, rows, |value| libm::atan(value) / libm::atan(1.0) * 45.0)
    }),
    scalar!("atan2d", [Float8, Float8] => Float8, |_, args, rows| {
        binary::<Float64Type, Float64Type, Float64Type>(args, rows, |a, b| {
            Ok(canonical(libm::atan2(a, b) / libm::atan(1.0) * 45.0))
        })
    }),
    scalar!("cot", [Float8] => Float8, |_, args, rows| {
        one(args, rows, |value| finite(value, |value| 1.0 / libm::tan(value)))
    }),
    scalar!("asinh", [Float8] => Float8, |_, args, rows| plain(args, rows, libm::asinh)),
    scalar!("acosh", [Float8] => Float8, |_, args, rows| {
        one(args, rows, |value| if value < 1.0 { Err(input_out_of_range()) } else { Ok(libm::acosh(value)) })
    }),
    scalar!("atanh", [Float8] => Float8, |_, args, rows| {
        one(args, rows, |value| {
            if !(-1.0..=1.0).contains(&value) && !value.is_nan() {
                Err(input_out_of_range())
            } else if value.abs() == 1.0 {
                Ok(f64::INFINITY.copysign(value))
            } else {
                Ok(libm::atanh(value))
            }
        })
    }),
    scalar!("width_bucket", [Float8, Float8, Float8, Int4] => Int4, |_, args, rows| {
        super::kernel::datums(args, rows, crate::types::SqlType::Int4, |row| {
            width_bucket(row.f64(0)?, row.f64(1)?, row.f64(2)?, row.i32(3)?).map(crate::datum::Datum::Int4)
        })
    }),
    scalar!("width_bucket", [Numeric, Numeric, Numeric, Int4] => Int4, |_, args, rows| {
        super::kernel::datums(args, rows, crate::types::SqlType::Int4, numeric_bucket)
    }),
    scalar!("factorial", [Int8] => Numeric, |_, args, rows| {
        super::kernel::datums(args, rows, crate::types::SqlType::Numeric, |row| factorial(row.i64(0)?))
    }),
];

fn factorial(value: i64) -> Result<crate::datum::Datum> {
    use orrery_row::numeric::Numeric;
    if value < 0 {
        let message = "factorial of a negative number is undefined";
        return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    if value > 32_177 {
        return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format"));
    }
    let mut product = Numeric::from_i64(1);
    for factor in 2..=value {
        product = product.mul(&Numeric::from_i64(factor))?;
    }
    Ok(crate::datum::Datum::Numeric(product))
}
