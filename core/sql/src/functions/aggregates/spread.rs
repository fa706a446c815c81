//! Variances and standard deviations, exact until the last division.

use super::{State, float, integer, take};
use crate::datum::Datum;
use crate::functions::exact_sum::ExactSum;
use crate::functions::kernel::Arg;
use orrery_base::Result;
use orrery_row::numeric::Numeric;

#[derive(Clone, Copy)]
pub(super) struct SpreadConfig {
    pub root: bool,
    pub population: bool,
    pub float: bool,
}

/// Exact count, sum and sum of squares.
#[derive(Clone)]
pub(super) struct Spread {
    count: i64,
    sum: Numeric,
    squares: Numeric,
    sum_float: ExactSum,
    squares_float: ExactSum,
}

impl Default for Spread {
    fn default() -> Self {
        Spread {
            count: 0,
            sum: Numeric::ZERO,
            squares: Numeric::ZERO,
            sum_float: ExactSum::default(),
            squares_float: ExactSum::default(),
        }
    }
}

impl Spread {
    fn numeric(&self, config: &SpreadConfig) -> Result<Datum> {
        let count = Numeric::from_i64(self.count);
        let divisor = if config.population { count.clone() } else { Numeric::from_i64(self.count - 1) };
        let numerator = count.mul(&self.squares)?.sub(&self.sum.mul(&self.sum)?)?;
        if numerator.is_finite() && numerator.signum() != Some(1) {
            return Ok(Datum::Numeric(Numeric::ZERO));
        }
        let variance = numerator.div(&count.mul(&divisor)?)?;
        Ok(Datum::Numeric(if config.root { variance.sqrt_to(variance.scale())? } else { variance }))
    }

    /// Sxx by the sums of exact products: x² as a double and its rounding error are both added.
    fn float(&self, config: &SpreadConfig) -> Result<Datum> {
        let count = self.count as f64;
        let (sum, squares) = (self.sum_float.value()?, self.squares_float.value()?);
        if sum.is_nan() || squares.is_nan() || squares.is_infinite() {
            return Ok(Datum::Float8(f64::NAN));
        }
        // Σx² − (Σx)²/n, the second term taken off exactly as a product of doubles.
        let mean = sum / count;
        let mut exact = self.squares_float.clone();
        let (product, error) = exact_product(mean, sum);
        exact.add(-product);
        exact.add(-error);
        let sxx = exact.value()?.max(0.0);
        let variance = sxx / if config.population { count } else { count - 1.0 };
        Ok(Datum::Float8(if config.root { variance.sqrt() } else { variance }))
    }
}

/// A product of doubles as a sum of two.
fn exact_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    let error = if product.is_finite() { libm::fma(a, b, -product) } else { 0.0 };
    (product, error)
}

impl State for Spread {
    type Config = SpreadConfig;
    fn add(&mut self, config: &SpreadConfig, args: &[Arg<'_>], row: usize) -> Result<()> {
        self.count += 1;
        if config.float {
            let value = float(&args[0], row)?;
            let (product, error) = exact_product(value, value);
            self.sum_float.add(value);
            if value.is_infinite() {
                self.squares_float.add(f64::NAN);
                return Ok(());
            }
            if product.is_infinite() {
                return Err(crate::functions::arithmetic::float_overflow());
            }
            self.squares_float.add(product);
            self.squares_float.add(error);
            return Ok(());
        }
        let value = match &args[0] {
            arg @ (Arg::Decimal(..) | Arg::Bytes(..)) => arg.numeric(row)?,
            arg => Numeric::from_i64(integer(arg, row)?),
        };
        self.sum = self.sum.add(&value)?;
        self.squares = self.squares.add(&value.mul(&value)?)?;
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.count.to_le_bytes());
        for numeric in [&self.sum, &self.squares] {
            let wide = numeric.to_wide();
            into.extend_from_slice(&(wide.len() as u32).to_le_bytes());
            into.extend_from_slice(&wide);
        }
        self.sum_float.write(into);
        self.squares_float.write(into);
    }
    fn merge(&mut self, _: &SpreadConfig, bytes: &mut &[u8]) -> Option<Result<()>> {
        self.count += i64::from_le_bytes(take(bytes)?);
        let mut numerics = Vec::new();
        for _ in 0..2 {
            let length = u32::from_le_bytes(take(bytes)?) as usize;
            let (wide, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            numerics.push(Numeric::from_wide(wide)?);
        }
        self.sum_float.merge(&ExactSum::read(bytes)?);
        self.squares_float.merge(&ExactSum::read(bytes)?);
        Some((|| {
            self.sum = self.sum.add(&numerics[0])?;
            self.squares = self.squares.add(&numerics[1])?;
            Ok(())
        })())
    }
    fn finish(&self, config: &SpreadConfig) -> Result<Datum> {
        let least = if config.population { 1 } else { 2 };
        if self.count < least {
            return Ok(Datum::Null);
        }
        if config.float { self.float(config) } else { self.numeric(config) }
    }
}
