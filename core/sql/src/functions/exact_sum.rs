//! An exact sum of doubles: the result is the correctly rounded true sum, so it depends neither on the order of the
//! values nor on how they were split between tasks (DESIGN §3; after R. M. Neal, "Fast exact summation using small and
//! large superaccumulators", 2015).
//!
//! The sum is kept as a big fixed-point number in signed 64-bit chunks of 32 bits each, chunk `i` weighing
//! 2^(32·i − 1074), of which only the touched range is stored. Carries are propagated before a chunk can overflow.

use super::arithmetic::float_overflow;
use orrery_base::Result;

/// Additions between two carry propagations: each adds less than 2^32 to a chunk of 63 bits.
const ADDITION_COUNT_MAX: u32 = 1 << 30;

/// The state of a sum.
#[derive(Clone, Debug, Default)]
pub struct ExactSum {
    base: usize,
    chunks: Vec<i64>,
    since_carry: u32,
    has_nan: bool,
    has_infinity: bool,
    has_minus_infinity: bool,
}

impl ExactSum {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.add_special(value);
            return;
        }
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        // Subnormals have exponent 1 without the hidden bit.
        let (mantissa, position) =
            if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        if mantissa == 0 {
            return;
        }
        let wide = u128::from(mantissa) << (position % 32);
        let at = self.reserve(position / 32, 3);
        let sign = if bits >> 63 == 1 { -1 } else { 1 };
        for (index, chunk) in self.chunks[at..at + 3].iter_mut().enumerate() {
            *chunk += sign * (wide >> (32 * index) & 0xffff_ffff) as i64;
        }
        self.since_carry += 1;
        if self.since_carry >= ADDITION_COUNT_MAX {
            self.carry();
        }
    }

    #[cold]
    fn add_special(&mut self, value: f64) {
        self.has_nan |= value.is_nan();
        self.has_infinity |= value == f64::INFINITY;
        self.has_minus_infinity |= value == f64::NEG_INFINITY;
    }

    /// Makes room for chunks `first..first + count`; answers where the first lies.
    #[inline]
    fn reserve(&mut self, first: usize, count: usize) -> usize {
        if self.chunks.is_empty() {
            self.base = first;
        } else if first < self.base {
            let missing = self.base - first;
            self.chunks.splice(0..0, std::iter::repeat_n(0, missing));
            self.base = first;
        }
        let end = first + count - self.base;
        if self.chunks.len() < end {
            self.chunks.resize(end, 0);
        }
        first - self.base
    }

    /// Brings every chunk but the topmost into 0..2^32.
    fn carry(&mut self) {
        self.since_carry = 0;
        let mut index = 0;
        while index < self.chunks.len() {
            let carry = self.chunks[index] >> 32;
            if carry == 0 || (carry == -1 && index + 1 == self.chunks.len()) {
                index += 1;
                continue;
            }
            self.chunks[index] &= 0xffff_ffff;
            if index + 1 == self.chunks.len() {
                self.chunks.push(0);
            }
            self.chunks[index + 1] += carry;
            index += 1;
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        self.has_nan |= other.has_nan;
        self.has_infinity |= other.has_infinity;
        self.has_minus_infinity |= other.has_minus_infinity;
        if other.chunks.is_empty() {
            return;
        }
        let mut other = other.clone();
        other.carry();
        self.carry();
        let at = self.reserve(other.base, other.chunks.len());
        for (chunk, more) in self.chunks[at..].iter_mut().zip(&other.chunks) {
            *chunk += more;
        }
        self.carry();
    }

    /// The sum, rounded once. Errors: 22003 when it is beyond the largest double although no value was infinite.
    pub fn value(&self) -> Result<f64> {
        if self.has_nan || (self.has_infinity && self.has_minus_infinity) {
            return Ok(f64::NAN);
        }
        if self.has_infinity || self.has_minus_infinity {
            return Ok(if self.has_infinity { f64::INFINITY } else { f64::NEG_INFINITY });
        }
        let mut sum = self.clone();
        sum.carry();
        let negative = sum.chunks.last().is_some_and(|&top| top < 0);
        if negative {
            sum.chunks.iter_mut().for_each(|chunk| *chunk = -*chunk);
            sum.carry();
        }
        let magnitude = round(sum.base, &sum.chunks)?;
        Ok(if negative { -magnitude } else { magnitude })
    }

    /// Bytes held beyond the struct itself.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.capacity() * 8
    }

    /// The serialised state.
    pub fn write(&self, into: &mut Vec<u8>) {
        let mut sum = self.clone();
        sum.carry();
        let flags =
            u8::from(sum.has_nan) | u8::from(sum.has_infinity) << 1 | u8::from(sum.has_minus_infinity) << 2;
        into.push(flags);
        into.extend_from_slice(&(sum.base as u16).to_le_bytes());
        into.extend_from_slice(&(sum.chunks.len() as u16).to_le_bytes());
        sum.chunks.iter().for_each(|chunk| into.extend_from_slice(&chunk.to_le_bytes()));
    }

    /// The inverse of [`ExactSum::write`]; `None` when the bytes are no such state.
    pub fn read(bytes: &mut &[u8]) -> Option<ExactSum> {
        let (head, rest) = bytes.split_at_checked(5)?;
        let (base, count) = (u16::from_le_bytes([head[1], head[2]]), u16::from_le_bytes([head[3], head[4]]));
        let (chunks, rest) = rest.split_at_checked(usize::from(count) * 8)?;
        *bytes = rest;
        Some(ExactSum {
            base: base.into(),
            chunks: chunks
                .chunks_exact(8)
                .map(|chunk| i64::from_le_bytes(chunk.try_into().expect("eight")))
                .collect(),
            since_carry: 0,
            has_nan: head[0] & 1 != 0,
            has_infinity: head[0] & 2 != 0,
            has_minus_infinity: head[0] & 4 != 0,
        })
    }
}

/// The double nearest to a non-negative fixed-point number (ties to even). `chunks` are in 0..2^32.
fn round(base: usize, chunks: &[i64]) -> Result<f64> {
    let Some(top) = chunks.iter().rposition(|&chunk| chunk != 0) else { return Ok(0.0) };
    let chunk = |index: usize| u128::from(chunks.get(index).map_or(0, |&chunk| chunk as u64));
    // Up to 96 bits from the top chunk down; below that only whether anything is there.
    let low = top.saturating_sub(2);
    let mut window = 0u128;
    for index in (low..=top).rev() {
        window = window << 32 | chunk(index);
    }
    let sticky = chunks[..low].iter().any(|&chunk| chunk != 0);
    let bit_count = 128 - window.leading_zeros() as i64;
    let window_position = 32 * (base + low) as i64;
    // The mantissa's lowest bit cannot lie below 2^-1074, which is position 0.
    let drop = (bit_count - 53).max(-window_position);
    if drop <= 0 {
        // Everything fits: exact. `window` has at most 53 bits, and nothing lies below it.
        return Ok(scale((window << -drop) as u64, window_position + drop));
    }
    let mut mantissa = (window >> drop) as u64;
    let rest = window & ((1 << drop) - 1);
    let half = 1u128 << (drop - 1);
    if rest > half || (rest == half && (sticky || mantissa & 1 == 1)) {
        mantissa += 1;
    }
    let value = scale(mantissa, window_position + drop);
    if value.is_infinite() { Err(float_overflow()) } else { Ok(value) }
}

/// `mantissa × 2^(position − 1074)` for a mantissa of at most 54 bits; infinite when it is too large.
fn scale(mut mantissa: u64, mut position: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    while mantissa >= 1 << 53 {
        // Only a mantissa rounded up to 2^53 comes here: its lowest bit is 0.
        mantissa >>= 1;
        position += 1;
    }
    while mantissa < 1 << 52 && position > 0 {
        mantissa <<= 1;
        position -= 1;
    }
    if mantissa < 1 << 52 {
        return f64::from_bits(mantissa);
    }
    let exponent = position + 1;
    if exponent >= 0x7ff {
        return f64::INFINITY;
    }
    f64::from_bits((exponent as u64) << 52 | (mantissa & ((1 << 52) - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::rng::Rng;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|&value| sum.add(value));
        sum.value().unwrap()
    }

    #[test]
    fn known_sums() {
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[-0.5, 0.25]), -0.25);
        assert_eq!(sum(&[f64::MIN_POSITIVE / 4.0, f64::MIN_POSITIVE / 4.0]), f64::MIN_POSITIVE / 2.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[9_007_199_254_740_992.0, 1.0]), 9_007_199_254_740_992.0);
        assert_eq!(sum(&[9_007_199_254_740_992.0, 1.0, 1e-300]), 9_007_199_254_740_994.0);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        let mut over = ExactSum::default();
        over.add(f64::MAX);
        over.add(f64::MAX);
        assert_eq!(over.value().unwrap_err().code().as_str(), "22003");
    }

    /// Sums of integers scaled by powers of two are exact in `i128`, which gives the true answer to compare with.
    #[test]
    fn agrees_with_integers_in_any_order_and_split() {
        let mut rng = Rng::new(1);
        for _ in 0..300 {
            let scale_bits = rng.below(60) as i32;
            let integers: Vec<i64> =
                (0..rng.below(40) + 1).map(|_| rng.next_u64() as i64 >> rng.below(60)).collect();
            let integers: Vec<i64> =
                integers.into_iter().map(|value| value as f64 as i64).filter(|v| *v != i64::MAX).collect();
            let factor = libm::ldexp(1.0, -scale_bits);
            let exact: i128 = integers.iter().map(|&value| i128::from(value)).sum();
            let expected = exact as f64 * factor;
            let mut values: Vec<f64> = integers.iter().map(|&value| value as f64 * factor).collect();
            assert_eq!(sum(&values), expected);
            rng.shuffle(&mut values);
            let cut = rng.below(values.len() as u64 + 1) as usize;
            let (mut left, mut right) = (ExactSum::default(), ExactSum::default());
            values[..cut].iter().for_each(|&value| left.add(value));
            values[cut..].iter().for_each(|&value| right.add(value));
            let mut bytes = Vec::new();
            right.write(&mut bytes);
            left.merge(&ExactSum::read(&mut bytes.as_slice()).unwrap());
            assert_eq!(left.value().unwrap(), expected);
        }
    }
}
