//! `count`, and sums and averages of integers, numerics, floats and intervals. All are exact until the end.

use super::{State, float, integer, take, wrong_argument};
use crate::columns;
use crate::datum::{Datum, Interval};
use crate::functions::exact_sum::ExactSum;
use crate::functions::kernel::Arg;
use crate::functions::numeric::out_of_range;
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use orrery_base::Result;
use orrery_row::numeric::{DECIMAL_NAN, Numeric};

// ---- count

#[derive(Clone, Default)]
pub(super) struct Count(i64);

impl State for Count {
    type Config = ();
    #[inline]
    fn add(&mut self, (): &(), _: &[Arg<'_>], _: usize) -> Result<()> {
        self.0 += 1;
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0.to_le_bytes());
    }
    fn merge(&mut self, (): &(), bytes: &mut &[u8]) -> Option<Result<()>> {
        self.0 += i64::from_le_bytes(take(bytes)?);
        Some(Ok(()))
    }
    fn finish(&self, (): &()) -> Result<Datum> {
        Ok(Datum::Int8(self.0))
    }
    fn add_all(&mut self, (): &(), args: &[ArrayRef]) -> Option<Result<()>> {
        let array = args.first()?;
        if array.data_type() != &DataType::Null {
            self.0 += (array.len() - array.null_count()) as i64;
        }
        Some(Ok(()))
    }
}

// ---- sum and avg of integers

#[derive(Clone, Copy, PartialEq)]
pub(super) enum SumKind {
    Bigint,
    Numeric,
    Average,
}

#[derive(Clone, Default)]
pub(super) struct IntegerSum {
    count: i64,
    sum: i128,
}

/// Sums a slice without a branch per row; NULLs have been left out by the caller.
fn sum_all<T: Copy + Into<i64>>(values: &[T], array: &ArrayRef) -> i128 {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        // 2^31 values of 32 bits fit 64: widen once per run.
        None => values
            .chunks(1 << 16)
            .map(|run| run.iter().map(|&value| i128::from(value.into())).sum::<i128>())
            .sum(),
        Some(nulls) => nulls.valid_indices().map(|row| i128::from(values[row].into())).sum(),
    }
}

fn sum_i32(values: &[i32]) -> i128 {
    values.chunks(1 << 16).map(|run| i128::from(run.iter().map(|&value| i64::from(value)).sum::<i64>())).sum()
}

impl State for IntegerSum {
    type Config = SumKind;
    #[inline]
    fn add(&mut self, _: &SumKind, args: &[Arg<'_>], row: usize) -> Result<()> {
        self.count += 1;
        self.sum += i128::from(integer(&args[0], row)?);
        Ok(())
    }
    fn add_all(&mut self, _: &SumKind, args: &[ArrayRef]) -> Option<Result<()>> {
        use arrow_array::types::{Int16Type, Int32Type, Int64Type};
        let array = &args[0];
        self.sum += match array.data_type() {
            DataType::Int16 => sum_all(array.as_primitive::<Int16Type>().values(), array),
            DataType::Int32 if array.null_count() == 0 => sum_i32(array.as_primitive::<Int32Type>().values()),
            DataType::Int32 => sum_all(array.as_primitive::<Int32Type>().values(), array),
            DataType::Int64 => sum_all(array.as_primitive::<Int64Type>().values(), array),
            _ => return None,
        };
        self.count += (array.len() - array.null_count()) as i64;
        Some(Ok(()))
    }
    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.count.to_le_bytes());
        into.extend_from_slice(&self.sum.to_le_bytes());
    }
    fn merge(&mut self, _: &SumKind, bytes: &mut &[u8]) -> Option<Result<()>> {
        self.count += i64::from_le_bytes(take(bytes)?);
        self.sum += i128::from_le_bytes(take(bytes)?);
        Some(Ok(()))
    }
    fn finish(&self, kind: &SumKind) -> Result<Datum> {
        if self.count == 0 {
            return Ok(Datum::Null);
        }
        let sum = || Numeric::from_parts(self.sum, 0);
        match kind {
            SumKind::Bigint => {
                i64::try_from(self.sum).map(Datum::Int8).map_err(|_| out_of_range(SqlType::Int8))
            }
            SumKind::Numeric => Ok(Datum::Numeric(sum())),
            SumKind::Average => sum().div(&Numeric::from_i64(self.count)).map(Datum::Numeric),
        }
    }
}

// ---- sum and avg of numeric

#[derive(Clone, Default)]
pub(super) struct NumericSum {
    count: i64,
    small: i128,
    scale: u16,
    rest: Option<Box<Numeric>>,
}

impl NumericSum {
    fn total(&self) -> Result<Numeric> {
        let small = Numeric::from_parts(self.small, self.scale);
        self.rest.as_ref().map_or(Ok(small.clone()), |rest| rest.add(&small))
    }

    fn add_numeric(&mut self, value: &Numeric) -> Result<()> {
        let sum = match &self.rest {
            Some(rest) => rest.add(value)?,
            None => value.clone(),
        };
        self.rest = Some(Box::new(sum));
        Ok(())
    }
}

impl State for NumericSum {
    type Config = SumKind;
    #[inline]
    fn add(&mut self, _: &SumKind, args: &[Arg<'_>], row: usize) -> Result<()> {
        self.count += 1;
        match &args[0] {
            Arg::Decimal(values, ..) if values[row] == DECIMAL_NAN => self.add_numeric(&Numeric::NaN),
            Arg::Decimal(values, scale, _) => {
                self.scale = *scale;
                match self.small.checked_add(values[row]) {
                    Some(sum) => self.small = sum,
                    None => {
                        let full =
                            Numeric::from_parts(std::mem::replace(&mut self.small, values[row]), *scale);
                        self.add_numeric(&full)?;
                    }
                }
                Ok(())
            }
            arg => self.add_numeric(&arg.numeric(row)?),
        }
    }
    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.count.to_le_bytes());
        into.extend_from_slice(&self.small.to_le_bytes());
        into.extend_from_slice(&self.scale.to_le_bytes());
        let wide = self.rest.as_ref().map(|rest| rest.to_wide()).unwrap_or_default();
        into.extend_from_slice(&(wide.len() as u32).to_le_bytes());
        into.extend_from_slice(&wide);
    }
    fn merge(&mut self, _: &SumKind, bytes: &mut &[u8]) -> Option<Result<()>> {
        let count = i64::from_le_bytes(take(bytes)?);
        let small = i128::from_le_bytes(take(bytes)?);
        let scale = u16::from_le_bytes(take(bytes)?);
        let length = u32::from_le_bytes(take(bytes)?) as usize;
        let (wide, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        if count == 0 {
            return Some(Ok(()));
        }
        self.count += count;
        let other = if wide.is_empty() { None } else { Some(Numeric::from_wide(wide)?) };
        Some((|| {
            if let Some(other) = other {
                self.add_numeric(&other)?;
            }
            self.add_numeric(&Numeric::from_parts(small, scale))
        })())
    }
    fn finish(&self, kind: &SumKind) -> Result<Datum> {
        if self.count == 0 {
            return Ok(Datum::Null);
        }
        let total = self.total()?;
        let result =
            if *kind == SumKind::Average { total.div(&Numeric::from_i64(self.count))? } else { total };
        Ok(Datum::Numeric(result))
    }
    fn extra_bytes(&self) -> usize {
        if self.rest.is_some() { size_of::<Numeric>() } else { 0 }
    }
}

// ---- sum and avg of floats

#[derive(Clone, Copy, PartialEq)]
pub(super) enum FloatKind {
    Real,
    Double,
    Average,
}

#[derive(Clone, Default)]
pub(super) struct FloatSum {
    count: i64,
    sum: ExactSum,
}

impl State for FloatSum {
    type Config = FloatKind;
    #[inline]
    fn add(&mut self, _: &FloatKind, args: &[Arg<'_>], row: usize) -> Result<()> {
        self.count += 1;
        self.sum.add(float(&args[0], row)?);
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.count.to_le_bytes());
        self.sum.write(into);
    }
    fn merge(&mut self, _: &FloatKind, bytes: &mut &[u8]) -> Option<Result<()>> {
        self.count += i64::from_le_bytes(take(bytes)?);
        self.sum.merge(&ExactSum::read(bytes)?);
        Some(Ok(()))
    }
    fn finish(&self, kind: &FloatKind) -> Result<Datum> {
        if self.count == 0 {
            return Ok(Datum::Null);
        }
        let sum = self.sum.value()?;
        Ok(match kind {
            FloatKind::Double => Datum::Float8(sum),
            FloatKind::Average => Datum::Float8(sum / self.count as f64),
            FloatKind::Real => {
                let narrow = sum as f32;
                if narrow.is_infinite() && sum.is_finite() {
                    return Err(crate::functions::arithmetic::float_overflow());
                }
                Datum::Float4(narrow)
            }
        })
    }
    fn extra_bytes(&self) -> usize {
        self.sum.memory_bytes()
    }
}

// ---- sum and avg of intervals

#[derive(Clone, Default)]
pub(super) struct IntervalSum {
    count: i64,
    months: i128,
    days: i128,
    micros: i128,
}

impl State for IntervalSum {
    type Config = SumKind;
    fn add(&mut self, _: &SumKind, args: &[Arg<'_>], row: usize) -> Result<()> {
        let Arg::Fixed16(array, _) = &args[0] else { return Err(wrong_argument()) };
        let value = columns::interval_from(array.value(row));
        self.count += 1;
        self.months += i128::from(value.months);
        self.days += i128::from(value.days);
        self.micros += i128::from(value.micros);
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.count.to_le_bytes());
        for part in [self.months, self.days, self.micros] {
            into.extend_from_slice(&part.to_le_bytes());
        }
    }
    fn merge(&mut self, _: &SumKind, bytes: &mut &[u8]) -> Option<Result<()>> {
        self.count += i64::from_le_bytes(take(bytes)?);
        for part in [&mut self.months, &mut self.days, &mut self.micros] {
            *part += i128::from_le_bytes(take(bytes)?);
        }
        Some(Ok(()))
    }
    fn finish(&self, kind: &SumKind) -> Result<Datum> {
        if self.count == 0 {
            return Ok(Datum::Null);
        }
        let sum = (|| {
            Some(Interval {
                months: i32::try_from(self.months).ok()?,
                days: i32::try_from(self.days).ok()?,
                micros: i64::try_from(self.micros).ok()?,
            })
        })();
        let sum = sum.ok_or_else(crate::civil::interval_out_of_range)?;
        Ok(Datum::Interval(match kind {
            SumKind::Average => crate::functions::dates::interval_over(sum, self.count as f64)?,
            _ => sum,
        }))
    }
}
