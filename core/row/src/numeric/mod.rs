//! PostgreSQL's `numeric`: exact decimals with a display scale per value, NaN and the infinities.
//!
//! A finite value is `coefficient / 10^scale`. The scale is what is shown (1.10 has scale 2) and takes no part in
//! equality, order or keys. Coefficients that fit an `i128` are kept there; the rest in a big integer. Result scales
//! follow PostgreSQL's `numeric.c` (the rules are documented at each operation).

mod arithmetic;
mod text;
mod transcendental;
mod wide;

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive, Zero};
use orrery_base::{Error, Result, SqlState};
use std::cmp::Ordering;

/// Most digits after the point that PostgreSQL keeps.
pub const SCALE_MAX: u32 = 16_383;
/// Most digits before the point that PostgreSQL keeps.
pub const INTEGER_DIGIT_COUNT_MAX: u64 = 131_072;

/// NaN among the 128-bit coefficients of `numeric(p,s)`: above every one of 38 digits, as NaN is above every number.
pub const DECIMAL_NAN: i128 = i128::MAX;
/// Coefficients of 38 digits are below this.
const DECIMAL_LIMIT: u128 = 10u128.pow(38);

/// A `numeric` value.
#[derive(Clone, Debug)]
pub enum Numeric {
    /// An ordinary number.
    Finite {
        /// All digits, with the sign.
        coefficient: Coefficient,
        /// How many of them stand after the point.
        scale: u16,
    },
    /// Not a number: equal to itself, above everything.
    NaN,
    /// Above every finite value.
    PositiveInfinity,
    /// Below every finite value.
    NegativeInfinity,
}

/// The digits of a finite value. `Big` is used only for what `Small` cannot hold, so equal values have equal forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coefficient {
    /// Fits 128 bits.
    Small(i128),
    /// Does not.
    Big(BigInt),
}

impl Coefficient {
    fn from_big(value: BigInt) -> Self {
        match value.to_i128() {
            Some(small) => Coefficient::Small(small),
            None => Coefficient::Big(value),
        }
    }

    fn to_big(&self) -> BigInt {
        match self {
            Coefficient::Small(small) => BigInt::from(*small),
            Coefficient::Big(big) => big.clone(),
        }
    }

    /// -1, 0 or 1.
    pub fn signum(&self) -> i32 {
        match self {
            Coefficient::Small(small) => small.signum() as i32,
            Coefficient::Big(big) => {
                if big.is_negative() {
                    -1
                } else {
                    1
                }
            }
        }
    }

    fn is_zero(&self) -> bool {
        matches!(self, Coefficient::Small(0))
    }

    /// The decimal digits without the sign.
    fn digits(&self) -> String {
        match self {
            Coefficient::Small(small) => small.unsigned_abs().to_string(),
            Coefficient::Big(big) => big.abs().to_string(),
        }
    }
}

/// 10 to the power of `exponent`, when it fits.
pub(crate) fn pow10(exponent: u32) -> Option<i128> {
    10i128.checked_pow(exponent)
}

fn pow10_big(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

impl Numeric {
    /// Zero of scale 0.
    pub const ZERO: Numeric = Numeric::Finite { coefficient: Coefficient::Small(0), scale: 0 };

    /// `coefficient / 10^scale`.
    pub fn from_parts(coefficient: i128, scale: u16) -> Self {
        Numeric::Finite { coefficient: Coefficient::Small(coefficient), scale }
    }

    fn from_big_parts(coefficient: BigInt, scale: u32) -> Self {
        debug_assert!(scale <= SCALE_MAX, "every caller bounds the scale");
        Numeric::Finite { coefficient: Coefficient::from_big(coefficient), scale: scale as u16 }
    }

    /// An integer.
    pub fn from_i64(value: i64) -> Self {
        Numeric::from_parts(i128::from(value), 0)
    }

    /// As PostgreSQL casts `double precision`: 15 significant digits.
    pub fn from_f64(value: f64) -> Self {
        Self::from_float(value, 14)
    }

    /// As PostgreSQL casts `real`: 6 significant digits.
    pub fn from_f32(value: f32) -> Self {
        Self::from_float(f64::from(value), 5)
    }

    fn from_float(value: f64, digits_after_first: usize) -> Self {
        if value.is_nan() {
            return Numeric::NaN;
        }
        if value.is_infinite() {
            return if value > 0.0 { Numeric::PositiveInfinity } else { Numeric::NegativeInfinity };
        }
        let text = format!("{value:.digits_after_first$e}");
        let parsed: Numeric = text.parse().expect("a formatted float is a number");
        parsed.without_trailing_zeros()
    }

    /// Display scale; 0 for what is not finite.
    pub fn scale(&self) -> u16 {
        match self {
            Numeric::Finite { scale, .. } => *scale,
            _ => 0,
        }
    }

    /// Whether it is an ordinary number.
    pub fn is_finite(&self) -> bool {
        matches!(self, Numeric::Finite { .. })
    }

    /// Whether it is NaN.
    pub fn is_nan(&self) -> bool {
        matches!(self, Numeric::NaN)
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        matches!(self, Numeric::Finite { coefficient, .. } if coefficient.is_zero())
    }

    /// -1, 0 or 1; `None` for NaN.
    pub fn signum(&self) -> Option<i32> {
        match self {
            Numeric::Finite { coefficient, .. } => Some(coefficient.signum()),
            Numeric::NaN => None,
            Numeric::PositiveInfinity => Some(1),
            Numeric::NegativeInfinity => Some(-1),
        }
    }

    /// The value times `10^scale` when that is a whole number of at most 38 digits: the array form of
    /// `numeric(p, scale)`. The caller has rounded to `scale`. NaN is [`DECIMAL_NAN`]; infinities have no such form.
    pub fn to_decimal128(&self, scale: u8) -> Option<i128> {
        let (small, own) = match self {
            Numeric::Finite { coefficient: Coefficient::Small(small), scale: own } => {
                (*small, u32::from(*own))
            }
            Numeric::NaN => return Some(DECIMAL_NAN),
            _ => return None,
        };
        let wanted = u32::from(scale);
        let coefficient = if own <= wanted {
            small.checked_mul(pow10(wanted - own)?)
        } else {
            let divisor = pow10(own - wanted)?;
            (small % divisor == 0).then(|| small / divisor)
        };
        coefficient.filter(|it| it.unsigned_abs() < DECIMAL_LIMIT)
    }

    /// The inverse of [`Numeric::to_decimal128`].
    #[inline]
    pub fn from_decimal128(coefficient: i128, scale: u16) -> Self {
        if coefficient == DECIMAL_NAN { Numeric::NaN } else { Numeric::from_parts(coefficient, scale) }
    }

    /// Rounds to `numeric(precision, scale)`. Errors: 22003 when it has too many digits before the point.
    pub fn with_modifier(&self, precision: u32, scale: i32) -> Result<Self> {
        let shown_scale = scale.max(0) as u32;
        // Digits before the point; none when the scale takes them all.
        let whole = i64::from(precision) - i64::from(scale);
        let overflow = || {
            Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").with_detail(format!(
                "A field with precision {precision}, scale {scale} must round to an absolute value less than {}{}.",
                if whole == 0 { "" } else { "10^" },
                if whole == 0 { 1 } else { whole },
            ))
        };
        let rounded = match self {
            Numeric::NaN => return Ok(Numeric::NaN),
            Numeric::Finite { .. } => self.round(scale).with_scale(shown_scale),
            _ => {
                return Err(
                    overflow().with_detail("A field with precision and scale cannot hold an infinite value.")
                );
            }
        };
        let Numeric::Finite { coefficient, .. } = &rounded else { return Err(overflow()) };
        let digits = (whole + i64::from(shown_scale)) as u32;
        let fits = match coefficient {
            Coefficient::Small(small) => {
                pow10(digits).is_none_or(|limit| small.unsigned_abs() < limit.unsigned_abs())
            }
            Coefficient::Big(big) => big.abs() < pow10_big(digits),
        };
        if fits { Ok(rounded) } else { Err(overflow()) }
    }

    /// The same value shown with at least `scale` digits after the point.
    pub fn with_scale(&self, scale: u32) -> Self {
        match self {
            Numeric::Finite { coefficient, scale: own } if u32::from(*own) < scale => {
                let factor = scale - u32::from(*own);
                let coefficient = scale_up(coefficient, factor);
                Numeric::Finite { coefficient, scale: scale as u16 }
            }
            other => other.clone(),
        }
    }

    /// The same value at its smallest scale.
    pub fn without_trailing_zeros(&self) -> Self {
        let Numeric::Finite { coefficient, scale } = self else { return self.clone() };
        match coefficient {
            Coefficient::Small(small) => {
                let (mut small, mut scale) = (*small, *scale);
                while scale > 0 && small % 10 == 0 {
                    small /= 10;
                    scale -= 1;
                }
                Numeric::from_parts(small, scale)
            }
            Coefficient::Big(big) => {
                let (mut big, mut scale) = (big.clone(), *scale);
                while scale > 0 && (&big % 10u8).is_zero() {
                    big /= 10u8;
                    scale -= 1;
                }
                Numeric::from_big_parts(big, u32::from(scale))
            }
        }
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        match self {
            Numeric::NaN => f64::NAN,
            Numeric::PositiveInfinity => f64::INFINITY,
            Numeric::NegativeInfinity => f64::NEG_INFINITY,
            Numeric::Finite { coefficient: Coefficient::Small(small), scale }
                if small.unsigned_abs() < 1 << 53 && *scale <= 22 =>
            {
                // Both operands are exact, so the one division rounds correctly.
                *small as f64 / 10u128.pow(u32::from(*scale)) as f64
            }
            finite => finite.to_string().parse().expect("a shown number is a number"),
        }
    }

    /// Rounds half away from zero to an integer. Errors: 22003 when out of range, 0A000 for NaN and infinities.
    pub fn to_i64(&self) -> Result<i64> {
        let out_of_range = || Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range");
        match self.round(0) {
            Numeric::Finite { coefficient: Coefficient::Small(small), .. } => {
                small.to_i64().ok_or_else(out_of_range)
            }
            Numeric::Finite { .. } => Err(out_of_range()),
            Numeric::NaN => Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "cannot convert NaN to bigint")),
            _ => Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "cannot convert infinity to bigint")),
        }
    }

    /// For keys: the sign's digits without leading or trailing zeros, and the decimal exponent `e` such that the value is
    /// `0.digits × 10^e`. Empty for zero.
    pub fn key_digits(&self) -> (String, i32) {
        let Numeric::Finite { coefficient, scale } = self else { return (String::new(), 0) };
        if coefficient.is_zero() {
            return (String::new(), 0);
        }
        let mut digits = coefficient.digits();
        let exponent = digits.len() as i32 - i32::from(*scale);
        digits.truncate(digits.trim_end_matches('0').len());
        (digits, exponent)
    }

    /// The inverse of [`Numeric::key_digits`], at the smallest scale.
    pub(crate) fn from_key_digits(negative: bool, digits: &str, exponent: i32) -> Option<Self> {
        let missing = exponent - digits.len() as i32;
        let mut all = digits.to_owned();
        if missing > 0 {
            all.extend(std::iter::repeat_n('0', missing as usize));
        }
        let scale = u16::try_from(-missing.min(0)).ok()?;
        let magnitude: BigInt = all.parse().ok()?;
        Some(Numeric::from_big_parts(if negative { -magnitude } else { magnitude }, u32::from(scale)))
    }
}

fn scale_up(coefficient: &Coefficient, factor: u32) -> Coefficient {
    if let (Coefficient::Small(small), Some(power)) = (coefficient, pow10(factor))
        && let Some(product) = small.checked_mul(power)
    {
        return Coefficient::Small(product);
    }
    Coefficient::from_big(coefficient.to_big() * pow10_big(factor))
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Numeric {}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// PostgreSQL's order: -Infinity, finite values, Infinity, NaN.
impl Ord for Numeric {
    fn cmp(&self, other: &Self) -> Ordering {
        fn rank(value: &Numeric) -> u8 {
            match value {
                Numeric::NegativeInfinity => 0,
                Numeric::Finite { .. } => 1,
                Numeric::PositiveInfinity => 2,
                Numeric::NaN => 3,
            }
        }
        let (
            Numeric::Finite { coefficient: left, scale: left_scale },
            Numeric::Finite { coefficient: right, scale: right_scale },
        ) = (self, other)
        else {
            return rank(self).cmp(&rank(other));
        };
        if left.signum() != right.signum() {
            return left.signum().cmp(&right.signum());
        }
        let scale = u32::from(*left_scale.max(right_scale));
        let left = scale_up(left, scale - u32::from(*left_scale));
        let right = scale_up(right, scale - u32::from(*right_scale));
        match (&left, &right) {
            (Coefficient::Small(left), Coefficient::Small(right)) => left.cmp(right),
            _ => left.to_big().cmp(&right.to_big()),
        }
    }
}
