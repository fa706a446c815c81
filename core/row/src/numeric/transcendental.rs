//! `exp`, `ln`, `log` and `power` of `numeric`, at the scales that PostgreSQL's `numeric.c` chooses: at least 16
//! significant digits, and no fewer after the point than an argument shows.
//!
//! Values are computed in fixed point, as big integers of `10^-digits`, with guard digits for what the reductions of the
//! argument amplify, and rounded once at the end.

use super::arithmetic::{DISPLAY_SCALE_MAX, SIGNIFICANT_DIGITS_MIN, base_10000_head, divide_rounding};
use super::{Coefficient, Numeric, pow10_big};
use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{One, Signed, Zero};
use orrery_base::{Error, Result, SqlState};

/// PostgreSQL's NUMERIC_MAX_RESULT_SCALE: `exp` beyond three times this is out of range.
const RESULT_SCALE_MAX: f64 = 2000.0;
/// log10(e), with PostgreSQL's digits: it decides scales.
#[expect(clippy::approx_constant, reason = "as PostgreSQL has it")]
const LOG10_E: f64 = 0.434_294_481_903_252;
/// Digits beyond the wanted ones.
const GUARD_DIGITS: u32 = 12;

fn overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
}

fn bad_power(message: &'static str) -> Error {
    Error::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message)
}

fn check_logarithm(value: &Numeric) -> Result<()> {
    let message = match value.signum() {
        Some(0) => "cannot take logarithm of zero",
        Some(-1) => "cannot take logarithm of a negative number",
        _ => return Ok(()),
    };
    Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, message))
}

fn clamp_scale(scale: i64, least: u16) -> u32 {
    scale.max(i64::from(least)).clamp(0, DISPLAY_SCALE_MAX) as u32
}

impl Numeric {
    /// e to this power. Errors: 22003 beyond PostgreSQL's range.
    pub fn exp(&self) -> Result<Numeric> {
        match self {
            Numeric::Finite { scale, .. } => {
                let weight = (self.to_f64() * LOG10_E).clamp(-RESULT_SCALE_MAX, RESULT_SCALE_MAX);
                let scale = clamp_scale(SIGNIFICANT_DIGITS_MIN - weight as i64, *scale);
                if self.to_f64().abs() >= 3.0 * RESULT_SCALE_MAX {
                    return if self.signum() == Some(1) { Err(overflow()) } else { Ok(zero(scale)) };
                }
                let digits = scale + weight.max(0.0) as u32 + GUARD_DIGITS;
                Ok(from_fixed(&exp_fixed(&to_fixed(self, digits), digits), digits, scale))
            }
            Numeric::NegativeInfinity => Ok(Numeric::ZERO),
            other => Ok(other.clone()),
        }
    }

    /// The natural logarithm. Errors: 2201E for what is not positive.
    pub fn ln(&self) -> Result<Numeric> {
        check_logarithm(self)?;
        let Numeric::Finite { scale, .. } = self else { return Ok(self.clone()) };
        let scale = clamp_scale(SIGNIFICANT_DIGITS_MIN - logarithm_weight(self), *scale);
        let digits = scale + GUARD_DIGITS;
        Ok(from_fixed(&ln_fixed(self, digits), digits, scale))
    }

    /// The logarithm to a base. Errors: 2201E for what is not positive, 22012 for base 1.
    pub fn log(&self, base: &Numeric) -> Result<Numeric> {
        if self.is_nan() || base.is_nan() {
            return Ok(Numeric::NaN);
        }
        check_logarithm(base)?;
        check_logarithm(self)?;
        match (self.is_finite(), base.is_finite()) {
            (true, true) => {}
            (false, true) => return Ok(Numeric::PositiveInfinity),
            (true, false) => return Ok(Numeric::ZERO),
            (false, false) => return Ok(Numeric::NaN),
        }
        let (base_weight, own_weight) = (logarithm_weight(base), logarithm_weight(self));
        let least = self.scale().max(base.scale());
        let scale = clamp_scale(SIGNIFICANT_DIGITS_MIN - (own_weight - base_weight), least);
        let spare = own_weight.max(0) + base_weight.abs() * 2;
        let digits = scale + spare as u32 + GUARD_DIGITS;
        let divisor = ln_fixed(base, digits);
        if divisor.is_zero() {
            return Err(Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"));
        }
        let quotient = ln_fixed(self, digits) * pow10_big(digits) / divisor;
        Ok(from_fixed(&quotient, digits, scale))
    }

    /// This to the power of `exponent`. Errors: 2201F where it is undefined or complex, 22003 beyond PostgreSQL's range.
    pub fn power(&self, exponent: &Numeric) -> Result<Numeric> {
        let one = Numeric::from_i64(1);
        if self.is_nan() || exponent.is_nan() {
            // POSIX: NaN^0 and 1^NaN are 1.
            return Ok(if exponent.is_zero() || *self == one { one } else { Numeric::NaN });
        }
        if self.is_zero() && exponent.signum() == Some(-1) {
            return Err(bad_power("zero raised to a negative power is undefined"));
        }
        let is_integral = exponent.trunc(0) == *exponent;
        if self.signum() == Some(-1) && !is_integral {
            return Err(bad_power("a negative number raised to a non-integer power yields a complex result"));
        }
        if !self.is_finite() || !exponent.is_finite() {
            return Ok(power_of_infinities(self, exponent));
        }
        if is_integral
            && let Ok(exponent) = exponent.to_i64()
            && let Ok(exponent) = i32::try_from(exponent)
        {
            return power_integer(self, exponent);
        }
        power_fraction(self, exponent, is_integral)
    }
}

fn zero(scale: u32) -> Numeric {
    Numeric::ZERO.with_scale(scale)
}

/// One of the two is infinite, the other is a number.
fn power_of_infinities(base: &Numeric, exponent: &Numeric) -> Numeric {
    let one = Numeric::from_i64(1);
    if *base == one || exponent.is_zero() {
        return one;
    }
    if base.is_zero() {
        return Numeric::ZERO;
    }
    if base.is_finite() {
        let size = base.abs();
        return match (size == one, (size > one) == (exponent.signum() == Some(1))) {
            (true, _) => one,
            (false, true) => Numeric::PositiveInfinity,
            (false, false) => Numeric::ZERO,
        };
    }
    if exponent.signum() == Some(-1) {
        return Numeric::ZERO;
    }
    if base.signum() == Some(-1) && is_odd(exponent) {
        Numeric::NegativeInfinity
    } else {
        Numeric::PositiveInfinity
    }
}

fn is_odd(whole: &Numeric) -> bool {
    match whole.trunc(0) {
        Numeric::Finite { coefficient, .. } => coefficient.to_big().is_odd(),
        _ => false,
    }
}

/// PostgreSQL's `power_var_int`.
fn power_integer(base: &Numeric, exponent: i32) -> Result<Numeric> {
    let scale = clamp_scale(SIGNIFICANT_DIGITS_MIN, base.scale());
    let Numeric::Finite { coefficient, scale: own } = base else { return Ok(Numeric::NaN) };
    if exponent == 0 {
        return Ok(Numeric::from_i64(1).with_scale(scale));
    }
    if coefficient.is_zero() {
        return Ok(zero(scale));
    }
    let logarithm = f64::from(exponent) * log10(base);
    if logarithm > 393_204.0 {
        return Err(overflow());
    }
    if logarithm + 1.0 < -f64::from(scale) {
        return Ok(zero(scale));
    }
    let errors = libm::log10(f64::from(exponent).abs()) as i64;
    let keep =
        (1 + i64::from(scale) + logarithm.abs() as i64 + errors + i64::from(GUARD_DIGITS)).max(40) as u64;
    let mut square = Digits { digits: coefficient.to_big(), exponent: -i64::from(*own) };
    let mut product = Digits { digits: BigInt::one(), exponent: 0 };
    let mut rest = exponent.unsigned_abs();
    while rest > 0 {
        if rest & 1 == 1 {
            product = product.times(&square, keep);
        }
        rest >>= 1;
        if rest > 0 {
            square = square.times(&square, keep);
        }
    }
    let shift = i64::from(scale);
    let (numerator, denominator) = if exponent > 0 {
        let shift = product.exponent + shift;
        let power = pow10_big(shift.unsigned_abs() as u32);
        if shift >= 0 { (product.digits * power, BigInt::one()) } else { (product.digits, power) }
    } else {
        let shift = shift - product.exponent;
        if shift < 0 {
            return Ok(zero(scale));
        }
        (pow10_big(shift as u32), product.digits)
    };
    let coefficient = super::arithmetic::quotient_rounding(
        &Coefficient::from_big(numerator),
        &Coefficient::from_big(denominator),
    );
    Numeric::Finite { coefficient, scale: scale as u16 }.in_range()
}

/// `digits × 10^exponent`
struct Digits {
    digits: BigInt,
    exponent: i64,
}

impl Digits {
    /// The product, cut to about `keep` digits.
    fn times(&self, other: &Digits, keep: u64) -> Digits {
        let digits = &self.digits * &other.digits;
        let exponent = self.exponent + other.exponent;
        let excess = (digits.bits() as f64 * std::f64::consts::LOG10_2) as i64 - keep as i64;
        if excess <= 0 {
            return Digits { digits, exponent };
        }
        Digits { digits: digits / pow10_big(excess as u32), exponent: exponent + excess }
    }
}

/// PostgreSQL's `power_var` for exponents that are no integers of 32 bits. A negative base comes with a whole exponent.
fn power_fraction(base: &Numeric, exponent: &Numeric, is_integral: bool) -> Result<Numeric> {
    if base.is_zero() {
        return Ok(zero(SIGNIFICANT_DIGITS_MIN as u32));
    }
    let negative = base.signum() == Some(-1) && is_integral && is_odd(exponent);
    let base = base.abs();
    let value = exponent.to_f64() * from_fixed(&ln_fixed(&base, 40), 40, 40).to_f64();
    if value.abs() > RESULT_SCALE_MAX * 3.01 {
        return if value > 0.0 { Err(overflow()) } else { Ok(zero(DISPLAY_SCALE_MAX as u32)) };
    }
    let weight = value * LOG10_E;
    let scale = clamp_scale(SIGNIFICANT_DIGITS_MIN - weight as i64, base.scale().max(exponent.scale()));
    let digits = scale + weight.max(0.0) as u32 + GUARD_DIGITS;
    // The logarithm's error is multiplied by the exponent.
    let spare = log10(exponent).max(0.0) as u32 + 1;
    let logarithm = ln_fixed(&base, digits + spare);
    let Numeric::Finite { coefficient, scale: exponent_scale } = exponent else { return Ok(Numeric::NaN) };
    let product = logarithm * coefficient.to_big() / pow10_big(u32::from(*exponent_scale) + spare);
    let result = from_fixed(&exp_fixed(&product, digits), digits, scale);
    if negative { result.neg() } else { result }.in_range()
}

/// The decimal logarithm of the size of a number that is not zero, about.
fn log10(value: &Numeric) -> f64 {
    let (digits, exponent) = value.key_digits();
    let head: f64 = digits[..digits.len().min(17)].parse().expect("digits are a number");
    libm::log10(head) - digits.len().min(17) as f64 + f64::from(exponent)
}

/// PostgreSQL's `estimate_ln_dweight`: the decimal weight of the logarithm of a positive number.
fn logarithm_weight(value: &Numeric) -> i64 {
    let near_one = *value >= Numeric::from_parts(9, 1) && *value <= Numeric::from_parts(11, 1);
    if near_one {
        let Ok(beyond) = value.sub(&Numeric::from_i64(1)) else { return 0 };
        if beyond.is_zero() {
            return 0;
        }
        let (weight, head) = base_10000_head(&beyond.abs());
        return weight * 4 + libm::log10(head as f64) as i64;
    }
    libm::log10((log10(value) * std::f64::consts::LN_10).abs()) as i64
}

/// The value in units of `10^-digits`, cut.
fn to_fixed(value: &Numeric, digits: u32) -> BigInt {
    let Numeric::Finite { coefficient, scale } = value else { return BigInt::zero() };
    let scale = u32::from(*scale);
    if scale <= digits {
        coefficient.to_big() * pow10_big(digits - scale)
    } else {
        coefficient.to_big() / pow10_big(scale - digits)
    }
}

/// Rounds units of `10^-digits` to a scale below.
fn from_fixed(value: &BigInt, digits: u32, scale: u32) -> Numeric {
    let coefficient = divide_rounding(&Coefficient::from_big(value.clone()), digits - scale);
    Numeric::Finite { coefficient, scale: scale as u16 }
}

/// e^x in units of `10^-digits`: x is halved until it is small, and the result of the series squared as often.
fn exp_fixed(value: &BigInt, digits: u32) -> BigInt {
    let one = pow10_big(digits);
    let whole_bits = (value.abs() / &one).bits() as u32;
    let halvings = whole_bits + 8;
    let extra = halvings * 31 / 100 + 4;
    let unit = pow10_big(digits + extra);
    let small: BigInt = (value * pow10_big(extra)) >> halvings;
    let (mut sum, mut term) = (unit.clone(), unit.clone());
    for index in 1u32.. {
        term = term * &small / &unit / index;
        if term.is_zero() {
            break;
        }
        sum += &term;
    }
    for _ in 0..halvings {
        sum = &sum * &sum / &unit;
    }
    sum / pow10_big(extra)
}

/// The natural logarithm of a positive number in units of `10^-digits`: `value = m × 10^e` with m about 1, whose roots
/// are taken until the series of the inverse hyperbolic tangent is short.
fn ln_fixed(value: &Numeric, digits: u32) -> BigInt {
    const ROOT_COUNT: u32 = 8;
    let digits_inside = digits + 10;
    let unit = pow10_big(digits_inside);
    let (shown, mut exponent) = value.key_digits();
    // 0.digits × 10^exponent, the mantissa brought between 0.32 and 3.2.
    let head: f64 = format!("0.{}", &shown[..shown.len().min(17)]).parse().expect("digits are a number");
    let mut mantissa_digits = 0;
    if head < 0.32 {
        exponent -= 1;
        mantissa_digits = 1;
    }
    let all: BigInt = shown.parse().expect("digits are a number");
    let shift = i64::from(digits_inside) + mantissa_digits - shown.len() as i64;
    let power = pow10_big(shift.unsigned_abs() as u32);
    let mut mantissa = if shift >= 0 { all * power } else { all / power };
    for _ in 0..ROOT_COUNT {
        mantissa = (mantissa * &unit).sqrt();
    }
    let ratio = (&mantissa - &unit) * &unit / (&mantissa + &unit);
    let mut sum = atanh(&ratio, &unit) << (ROOT_COUNT + 1);
    if exponent != 0 {
        sum += ln_10(&unit) * exponent;
    }
    sum / pow10_big(digits_inside - digits)
}

/// The inverse hyperbolic tangent of a small number.
fn atanh(value: &BigInt, unit: &BigInt) -> BigInt {
    let square = value * value / unit;
    let (mut sum, mut power) = (value.clone(), value.clone());
    for index in 1u32.. {
        power = power * &square / unit;
        if power.is_zero() {
            break;
        }
        sum += &power / (2 * index + 1);
    }
    sum
}

/// ln 10 = 46 atanh(1/31) + 34 atanh(1/49) + 20 atanh(1/161)
fn ln_10(unit: &BigInt) -> BigInt {
    [(46, 31), (34, 49), (20, 161)]
        .iter()
        .map(|&(times, divisor)| atanh(&(unit / divisor), unit) * times)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Numeric {
        text.parse().unwrap()
    }

    /// Values shown by PostgreSQL 15.
    #[test]
    fn results_show_as_in_postgresql() {
        let check = |value: Result<Numeric>, shown: &str| assert_eq!(value.unwrap().to_string(), shown);
        check(n("1.0").exp(), "2.7182818284590452");
        check(n("0").exp(), "1.0000000000000000");
        check(n("-5").exp(), "0.006737946999085467");
        check(n("2.718281828").ln(), "0.9999999998311267");
        check(n("1").ln(), "0.0000000000000000");
        check(n("10").ln(), "2.3025850929940457");
        check(n("100.0").log(&n("10")), "2.0000000000000000");
        check(n("64.0").log(&n("2.0")), "6.0000000000000000");
        check(n("2").power(&n("0.5")), "1.4142135623730950");
        check(n("10.0").power(&n("-2")), "0.0100000000000000");
        check(n("0.0").power(&n("0")), "1.0000000000000000");
        check(n("2.5").power(&n("2")), "6.2500000000000000");
        check(n("-8").power(&n("3")), "-512.0000000000000000");
        check(
            n("2").power(&n("200")),
            "1606938044258990275541962092341162602522202993782792835301376.0000000000000000",
        );
        check(n("0").power(&n("0.5")), "0.0000000000000000");
        check(n("1.0000001").power(&n("10000000")), "2.7182816925449663");
    }

    #[test]
    fn inverses_of_each_other() {
        for text in ["0.001", "1.05", "3", "12345.678", "1e50", "1e-50"] {
            let value = n(text).with_scale(60);
            let back = value.ln().unwrap().exp().unwrap();
            let error = back.sub(&value).unwrap().abs().div(&value).unwrap();
            assert!(error < n("1e-55"), "{text}: {back}");
        }
    }

    #[test]
    fn what_is_undefined() {
        assert_eq!(n("0").ln().unwrap_err().code(), SqlState::INVALID_ARGUMENT_FOR_LOGARITHM);
        assert_eq!(n("2").log(&n("1")).unwrap_err().code(), SqlState::DIVISION_BY_ZERO);
        assert_eq!(n("0").power(&n("-1")).unwrap_err().code(), SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION);
        assert_eq!(
            n("-2").power(&n("0.5")).unwrap_err().code(),
            SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION
        );
        assert_eq!(n("6001").exp().unwrap_err().code(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(n("10").power(&n("1000000")).unwrap_err().code(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert!(Numeric::NaN.power(&n("0")).unwrap() == n("1"));
        assert_eq!(Numeric::NegativeInfinity.power(&n("3")).unwrap(), Numeric::NegativeInfinity);
    }
}
