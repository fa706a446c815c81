//! Arithmetic on `numeric` with PostgreSQL's result scales and its rules for NaN and infinities.

use super::{Coefficient, INTEGER_DIGIT_COUNT_MAX, Numeric, SCALE_MAX, pow10, pow10_big, scale_up};
use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{Signed, Zero};
use orrery_base::{Error, Result, SqlState};

/// PostgreSQL's NUMERIC_MIN_SIG_DIGITS: a quotient has at least so many significant digits.
pub(super) const SIGNIFICANT_DIGITS_MIN: i64 = 16;
/// PostgreSQL's NUMERIC_MAX_DISPLAY_SCALE.
pub(super) const DISPLAY_SCALE_MAX: i64 = 1000;

fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

impl Numeric {
    /// Sum; its scale is the larger one. Errors: 22003 beyond PostgreSQL's range.
    pub fn add(&self, other: &Numeric) -> Result<Numeric> {
        use Numeric::*;
        match (self, other) {
            (Finite { coefficient: a, scale: s }, Finite { coefficient: b, scale: t }) => {
                let scale = *s.max(t);
                let a = scale_up(a, u32::from(scale - s));
                let b = scale_up(b, u32::from(scale - t));
                if let (Coefficient::Small(a), Coefficient::Small(b)) = (&a, &b)
                    && let Some(sum) = a.checked_add(*b)
                {
                    return Ok(Numeric::from_parts(sum, scale));
                }
                Numeric::from_big_parts(a.to_big() + b.to_big(), u32::from(scale)).in_range()
            }
            (NaN, _) | (_, NaN) => Ok(NaN),
            (PositiveInfinity, NegativeInfinity) | (NegativeInfinity, PositiveInfinity) => Ok(NaN),
            (PositiveInfinity, _) | (_, PositiveInfinity) => Ok(PositiveInfinity),
            _ => Ok(NegativeInfinity),
        }
    }

    /// Difference; as [`Numeric::add`].
    pub fn sub(&self, other: &Numeric) -> Result<Numeric> {
        self.add(&other.neg())
    }

    /// Product; its scale is the sum of both. Errors: 22003 beyond PostgreSQL's range.
    pub fn mul(&self, other: &Numeric) -> Result<Numeric> {
        use Numeric::*;
        match (self, other) {
            (Finite { coefficient: a, scale: s }, Finite { coefficient: b, scale: t }) => {
                let scale = u32::from(*s) + u32::from(*t);
                let product = match (a, b) {
                    (Coefficient::Small(a), Coefficient::Small(b)) => {
                        a.checked_mul(*b).map(Coefficient::Small)
                    }
                    _ => None,
                };
                let product = product.unwrap_or_else(|| Coefficient::from_big(a.to_big() * b.to_big()));
                let over = scale.saturating_sub(SCALE_MAX);
                let coefficient = if over > 0 { divide_rounding(&product, over) } else { product };
                Finite { coefficient, scale: (scale - over) as u16 }.in_range()
            }
            (NaN, _) | (_, NaN) => Ok(NaN),
            _ => match (self.signum(), other.signum()) {
                (Some(0), _) | (_, Some(0)) => Ok(NaN),
                (a, b) if a == b => Ok(PositiveInfinity),
                _ => Ok(NegativeInfinity),
            },
        }
    }

    /// Quotient, rounded half away from zero at PostgreSQL's scale (`select_div_scale`: at least 16 significant digits and
    /// at least either input's scale). Errors: 22012.
    pub fn div(&self, other: &Numeric) -> Result<Numeric> {
        use Numeric::*;
        match (self, other) {
            (NaN, _) | (_, NaN) => Ok(NaN),
            (_, zero) if zero.is_zero() => Err(division_by_zero()),
            (Finite { coefficient: a, scale: s }, Finite { coefficient: b, scale: t }) => {
                let scale = division_scale(self, other);
                // a/10^s ÷ b/10^t at `scale` digits: a × 10^(scale + t - s) ÷ b.
                let shift = i64::from(scale) + i64::from(*t) - i64::from(*s);
                let (numerator, denominator) = if shift >= 0 {
                    (scale_up(a, shift as u32), b.clone())
                } else {
                    (a.clone(), scale_up(b, (-shift) as u32))
                };
                let coefficient = quotient_rounding(&numerator, &denominator);
                Finite { coefficient, scale: scale as u16 }.in_range()
            }
            (Finite { scale, .. }, _) => {
                // A finite value over an infinity.
                let _ = scale;
                Ok(Numeric::ZERO)
            }
            (_, Finite { .. }) => {
                Ok(if self.signum() == other.signum() { PositiveInfinity } else { NegativeInfinity })
            }
            _ => Ok(NaN),
        }
    }

    /// Remainder with the sign of the dividend; its scale is the larger one. Errors: 22012.
    pub fn rem(&self, other: &Numeric) -> Result<Numeric> {
        use Numeric::*;
        match (self, other) {
            (NaN, _) | (_, NaN) => Ok(NaN),
            (_, zero) if zero.is_zero() => Err(division_by_zero()),
            (Finite { coefficient: a, scale: s }, Finite { coefficient: b, scale: t }) => {
                let scale = *s.max(t);
                let a = scale_up(a, u32::from(scale - s));
                let b = scale_up(b, u32::from(scale - t));
                if let (Coefficient::Small(a), Coefficient::Small(b)) = (&a, &b) {
                    return Ok(Numeric::from_parts(a.checked_rem(*b).unwrap_or(0), scale));
                }
                Ok(Numeric::from_big_parts(a.to_big() % b.to_big(), u32::from(scale)))
            }
            (Finite { .. }, _) => Ok(self.clone()),
            _ => Ok(NaN),
        }
    }

    /// The integer quotient, truncated towards zero (PostgreSQL's `div`). Errors: 22012.
    pub fn div_trunc(&self, other: &Numeric) -> Result<Numeric> {
        if self.is_finite() && other.is_finite() {
            let rest = self.rem(other)?;
            return self.sub(&rest)?.div(other).map(|quotient| quotient.round(0));
        }
        self.div(other)
    }

    /// The greatest common divisor, not negative; NaN when either is not finite. Its scale is the larger one.
    pub fn gcd(&self, other: &Numeric) -> Result<Numeric> {
        if !self.is_finite() || !other.is_finite() {
            return Ok(Numeric::NaN);
        }
        let scale = u32::from(self.scale().max(other.scale()));
        let (mut a, mut b) = (self.abs(), other.abs());
        while !b.is_zero() {
            let rest = a.rem(&b)?;
            (a, b) = (b, rest);
        }
        Ok(a.with_scale(scale))
    }

    /// The least common multiple, likewise. Errors: 22003 beyond PostgreSQL's range.
    pub fn lcm(&self, other: &Numeric) -> Result<Numeric> {
        let divisor = self.gcd(other)?;
        if divisor.is_nan() || divisor.is_zero() {
            return Ok(divisor);
        }
        let scale = u32::from(self.scale().max(other.scale()));
        let times = self.div_trunc(&divisor)?;
        Ok(times.mul(other)?.abs().round(scale as i32))
    }

    /// Negation.
    #[must_use]
    pub fn neg(&self) -> Numeric {
        match self {
            Numeric::Finite { coefficient: Coefficient::Small(small), scale } => match small.checked_neg() {
                Some(negated) => Numeric::from_parts(negated, *scale),
                None => Numeric::from_big_parts(-BigInt::from(*small), u32::from(*scale)),
            },
            Numeric::Finite { coefficient: Coefficient::Big(big), scale } => {
                Numeric::from_big_parts(-big.clone(), u32::from(*scale))
            }
            Numeric::NaN => Numeric::NaN,
            Numeric::PositiveInfinity => Numeric::NegativeInfinity,
            Numeric::NegativeInfinity => Numeric::PositiveInfinity,
        }
    }

    /// Absolute value.
    #[must_use]
    pub fn abs(&self) -> Numeric {
        if self.signum() == Some(-1) { self.neg() } else { self.clone() }
    }

    /// Rounds half away from zero to `digits` after the point (before it, when negative). The result shows
    /// `max(digits, 0)` of them.
    #[must_use]
    pub fn round(&self, digits: i32) -> Numeric {
        self.cut(digits, divide_rounding)
    }

    /// Cuts towards zero, likewise.
    #[must_use]
    pub fn trunc(&self, digits: i32) -> Numeric {
        self.cut(digits, |coefficient, power| match (coefficient, pow10(power)) {
            (Coefficient::Small(small), Some(power)) => Coefficient::Small(small / power),
            (Coefficient::Small(_), None) => Coefficient::Small(0),
            (big, _) => Coefficient::from_big(big.to_big() / pow10_big(power)),
        })
    }

    fn cut(&self, digits: i32, divide: impl Fn(&Coefficient, u32) -> Coefficient) -> Numeric {
        let Numeric::Finite { coefficient, scale } = self else { return self.clone() };
        // No number has half of the unit one place above the largest digit.
        let digits = digits.clamp(-(INTEGER_DIGIT_COUNT_MAX as i32) - 1, SCALE_MAX as i32);
        let dropped = i32::from(*scale) - digits;
        if dropped <= 0 {
            return self.with_scale(digits as u32);
        }
        let coefficient = divide(coefficient, dropped as u32);
        if digits >= 0 {
            return Numeric::Finite { coefficient, scale: digits as u16 };
        }
        Numeric::Finite { coefficient: scale_up(&coefficient, digits.unsigned_abs()), scale: 0 }
    }

    /// The smallest integer not below.
    #[must_use]
    pub fn ceil(&self) -> Numeric {
        let cut = self.trunc(0);
        if *self > cut { cut.add(&Numeric::from_i64(1)).unwrap_or(cut) } else { cut }
    }

    /// The largest integer not above.
    #[must_use]
    pub fn floor(&self) -> Numeric {
        let cut = self.trunc(0);
        if *self < cut { cut.sub(&Numeric::from_i64(1)).unwrap_or(cut) } else { cut }
    }

    /// Square root at PostgreSQL's scale (16 significant digits at least). Errors: 2201F for a negative argument.
    pub fn sqrt(&self) -> Result<Numeric> {
        let Numeric::Finite { coefficient, scale } = self else {
            return match self {
                Numeric::NegativeInfinity => Err(negative_root()),
                other => Ok(other.clone()),
            };
        };
        if coefficient.signum() < 0 {
            return Err(negative_root());
        }
        let (weight, _) = base_10000_head(self);
        let root_weight = (weight + 1) * 4 / 2 - 1;
        let result_scale =
            (SIGNIFICANT_DIGITS_MIN - root_weight).max(i64::from(*scale)).clamp(0, DISPLAY_SCALE_MAX);
        self.sqrt_to(result_scale as u16)
    }

    /// Square root with so many digits behind the point. Errors: 2201F for a negative argument.
    pub fn sqrt_to(&self, result_scale: u16) -> Result<Numeric> {
        let Numeric::Finite { coefficient, scale } = self else { return self.sqrt() };
        if coefficient.signum() < 0 {
            return Err(negative_root());
        }
        let result_scale = i64::from(result_scale);
        // One digit more than wanted, then round: sqrt(c / 10^s) × 10^r = sqrt(c × 10^(2r - s)).
        let exponent = 2 * (result_scale + 1) - i64::from(*scale);
        let shifted = if exponent >= 0 {
            coefficient.to_big() * pow10_big(exponent as u32)
        } else {
            coefficient.to_big() / pow10_big((-exponent) as u32)
        };
        let root = Coefficient::from_big(shifted.sqrt());
        Ok(Numeric::Finite { coefficient: divide_rounding(&root, 1), scale: result_scale as u16 })
    }

    pub(super) fn in_range(self) -> Result<Numeric> {
        if let Numeric::Finite { coefficient: Coefficient::Big(big), scale } = &self {
            let digits = big.bits() as f64 * std::f64::consts::LOG10_2;
            let most = INTEGER_DIGIT_COUNT_MAX + u64::from(*scale);
            // The bits tell but for the last digit.
            if digits > most as f64 + 1.0 || digits > most as f64 - 1.0 && big.abs() >= pow10_big(most as u32)
            {
                return Err(Error::new(
                    SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                    "value overflows numeric format",
                ));
            }
        }
        Ok(self)
    }
}

fn negative_root() -> Error {
    Error::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, "cannot take square root of a negative number")
}

/// Divides by `10^power`, half away from zero.
pub(super) fn divide_rounding(coefficient: &Coefficient, power: u32) -> Coefficient {
    match pow10(power) {
        Some(divisor) => quotient_rounding(coefficient, &Coefficient::Small(divisor)),
        None => quotient_rounding(coefficient, &Coefficient::from_big(pow10_big(power))),
    }
}

/// Divides, half away from zero.
pub(super) fn quotient_rounding(numerator: &Coefficient, denominator: &Coefficient) -> Coefficient {
    if let (Coefficient::Small(numerator), Coefficient::Small(denominator)) = (numerator, denominator)
        && let (Some(quotient), Some(rest)) =
            (numerator.checked_div(*denominator), numerator.checked_rem(*denominator))
    {
        let away = rest.unsigned_abs() >= denominator.unsigned_abs() - rest.unsigned_abs();
        let sign = if (*numerator < 0) == (*denominator < 0) { 1 } else { -1 };
        return Coefficient::Small(if away && rest != 0 { quotient + sign } else { quotient });
    }
    let (numerator, denominator) = (numerator.to_big(), denominator.to_big());
    let (quotient, rest) = numerator.div_rem(&denominator);
    if !rest.is_zero() && rest.abs() * 2u8 >= denominator.abs() {
        let sign = if numerator.is_negative() == denominator.is_negative() { 1 } else { -1 };
        return Coefficient::from_big(quotient + sign);
    }
    Coefficient::from_big(quotient)
}

/// PostgreSQL thinks in digits of base 10,000: the weight of the first one that is not zero, and its value.
pub(super) fn base_10000_head(value: &Numeric) -> (i64, i64) {
    let (digits, exponent) = value.key_digits();
    if digits.is_empty() {
        return (0, 0);
    }
    // The first decimal digit stands for 10^(exponent - 1).
    let weight = (i64::from(exponent) - 1).div_euclid(4);
    let head_len = ((i64::from(exponent) - 1).rem_euclid(4) + 1) as usize;
    let head = digits.bytes().chain(std::iter::repeat(b'0')).take(head_len);
    (weight, head.fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
}

fn division_scale(left: &Numeric, right: &Numeric) -> u32 {
    let (left_weight, left_head) = base_10000_head(left);
    let (right_weight, right_head) = base_10000_head(right);
    let mut weight = left_weight - right_weight;
    if left_head <= right_head {
        weight -= 1;
    }
    let scale =
        (SIGNIFICANT_DIGITS_MIN - weight * 4).max(i64::from(left.scale())).max(i64::from(right.scale()));
    scale.clamp(0, DISPLAY_SCALE_MAX) as u32
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
        let check = |value: Numeric, shown: &str| assert_eq!(value.to_string(), shown);
        check(n("1").div(&n("3")).unwrap(), "0.33333333333333333333");
        check(n("10").div(&n("3")).unwrap(), "3.3333333333333333");
        check(n("2").div(&n("3")).unwrap(), "0.66666666666666666667");
        check(n("100").div(&n("8")).unwrap(), "12.5000000000000000");
        check(n("1.10").mul(&n("2.0")).unwrap(), "2.200");
        check(n("1.1").add(&n("2.25")).unwrap(), "3.35");
        check(n("-7.5").rem(&n("2")).unwrap(), "-1.5");
        check(n("2").sqrt().unwrap(), "1.414213562373095");
        check(n("2.5").round(0), "3");
        check(n("-2.5").round(0), "-3");
        check(n("1250").round(-2), "1300");
        check(n("1.239").trunc(2), "1.23");
        check(n("-1.2").ceil(), "-1");
        check(n("-1.2").floor(), "-2");
        check(n("1e-3"), "0.001");
        check(n("1.5e3"), "1500");
        check(n(".5"), "0.5");
        check(Numeric::from_f64(0.1), "0.1");
        check(Numeric::from_f64(1e20), "100000000000000000000");
        check(Numeric::from_f32(1.1), "1.1");
        check(n("7").div_trunc(&n("-2")).unwrap(), "-3");
    }

    #[test]
    fn beyond_128_bits() {
        let big = n("123456789012345678901234567890123456789012345");
        assert_eq!(big.mul(&big).unwrap().div(&big).unwrap(), big);
        assert_eq!(big.sub(&big).unwrap(), Numeric::ZERO);
        assert!(n(&i128::MIN.to_string()).neg() > Numeric::ZERO);
    }

    #[test]
    fn special_values() {
        let infinity = Numeric::PositiveInfinity;
        assert!(infinity.sub(&infinity).unwrap().is_nan());
        assert!(infinity.mul(&Numeric::ZERO).unwrap().is_nan());
        assert_eq!(n("1").div(&Numeric::ZERO).unwrap_err().code(), SqlState::DIVISION_BY_ZERO);
        assert!(Numeric::NaN > infinity && Numeric::NaN == Numeric::NaN);
        assert_eq!(n("12345").with_modifier(4, 0).unwrap_err().code(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(n("1.005").with_modifier(5, 2).unwrap().to_string(), "1.01");
    }
}
