//! `bit_and`, `bit_or`, `bit_xor` of integers, and the aggregates of two variables: `corr`, `covar_*`, `regr_*`.

use super::{State, float, integer, take};
use crate::datum::Datum;
use crate::functions::kernel::Arg;
use crate::types::SqlType;
use orrery_base::Result;

/// Which of the bit aggregates, and over which type.
#[derive(Clone, Copy)]
pub(super) struct BitConfig {
    pub kind: BitKind,
    pub ty: SqlType,
}

#[derive(Clone, Copy)]
pub(super) enum BitKind {
    And,
    Or,
    Xor,
}

#[derive(Clone, Default)]
pub(super) struct Bits(Option<i64>);

impl Bits {
    fn offer(&mut self, kind: BitKind, value: i64) {
        self.0 = Some(match (self.0, kind) {
            (None, _) => value,
            (Some(known), BitKind::And) => known & value,
            (Some(known), BitKind::Or) => known | value,
            (Some(known), BitKind::Xor) => known ^ value,
        });
    }
}

impl State for Bits {
    type Config = BitConfig;
    fn add(&mut self, config: &BitConfig, args: &[Arg<'_>], row: usize) -> Result<()> {
        self.offer(config.kind, integer(&args[0], row)?);
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        into.push(u8::from(self.0.is_some()));
        into.extend_from_slice(&self.0.unwrap_or(0).to_le_bytes());
    }
    fn merge(&mut self, config: &BitConfig, bytes: &mut &[u8]) -> Option<Result<()>> {
        let is_there = take::<1>(bytes)?[0] == 1;
        let value = i64::from_le_bytes(take(bytes)?);
        if is_there {
            self.offer(config.kind, value);
        }
        Some(Ok(()))
    }
    fn finish(&self, config: &BitConfig) -> Result<Datum> {
        Ok(match (self.0, config.ty) {
            (None, _) => Datum::Null,
            (Some(value), SqlType::Int2) => Datum::Int2(value as i16),
            (Some(value), SqlType::Int4) => Datum::Int4(value as i32),
            (Some(value), _) => Datum::Int8(value),
        })
    }
}

/// Which of the aggregates of two variables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PairKind {
    Corr,
    CovarPop,
    CovarSamp,
    AvgX,
    AvgY,
    Count,
    Intercept,
    R2,
    Slope,
    Sxx,
    Sxy,
    Syy,
}

/// Youngs and Cramer's sums, as PostgreSQL computes them: the same digits for rows in the same order.
#[derive(Clone, Default)]
pub(super) struct Pairs {
    count: f64,
    sum_x: f64,
    sxx: f64,
    sum_y: f64,
    syy: f64,
    sxy: f64,
}

impl State for Pairs {
    type Config = PairKind;

    /// The first argument is y, the second x.
    fn add(&mut self, _: &PairKind, args: &[Arg<'_>], row: usize) -> Result<()> {
        let (y, x) = (float(&args[0], row)?, float(&args[1], row)?);
        let before = self.clone();
        self.count += 1.0;
        self.sum_x += x;
        self.sum_y += y;
        if before.count > 0.0 {
            let (part_x, part_y) = (x * self.count - self.sum_x, y * self.count - self.sum_y);
            let scale = 1.0 / (self.count * before.count);
            self.sxx += part_x * part_x * scale;
            self.syy += part_y * part_y * scale;
            self.sxy += part_x * part_y * scale;
            let overflows =
                [self.sum_x, self.sxx, self.sum_y, self.syy, self.sxy].iter().any(|it| it.is_infinite());
            if overflows && [x, y, before.sum_x, before.sum_y].iter().all(|it| it.is_finite()) {
                return Err(crate::functions::arithmetic::float_overflow());
            }
        }
        if !x.is_finite() {
            (self.sxx, self.sxy) = (f64::NAN, f64::NAN);
        }
        if !y.is_finite() {
            (self.syy, self.sxy) = (f64::NAN, f64::NAN);
        }
        Ok(())
    }

    fn write(&self, into: &mut Vec<u8>) {
        for value in [self.count, self.sum_x, self.sxx, self.sum_y, self.syy, self.sxy] {
            into.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn merge(&mut self, _: &PairKind, bytes: &mut &[u8]) -> Option<Result<()>> {
        let mut next = || take::<8>(bytes).map(f64::from_le_bytes);
        let other = Pairs {
            count: next()?,
            sum_x: next()?,
            sxx: next()?,
            sum_y: next()?,
            syy: next()?,
            sxy: next()?,
        };
        if self.count == 0.0 {
            *self = other;
        } else if other.count > 0.0 {
            let count = self.count + other.count;
            let part_x = self.sum_x / self.count - other.sum_x / other.count;
            let part_y = self.sum_y / self.count - other.sum_y / other.count;
            let weight = self.count * other.count / count;
            self.sxx += other.sxx + weight * part_x * part_x;
            self.syy += other.syy + weight * part_y * part_y;
            self.sxy += other.sxy + weight * part_x * part_y;
            self.sum_x += other.sum_x;
            self.sum_y += other.sum_y;
            self.count = count;
        }
        Some(Ok(()))
    }

    fn finish(&self, kind: &PairKind) -> Result<Datum> {
        let Pairs { count, sum_x, sxx, sum_y, syy, sxy } = *self;
        let value = match kind {
            PairKind::Count => return Ok(Datum::Int8(count as i64)),
            _ if count < 1.0 => None,
            PairKind::AvgX => Some(sum_x / count),
            PairKind::AvgY => Some(sum_y / count),
            PairKind::Sxx => Some(sxx),
            PairKind::Sxy => Some(sxy),
            PairKind::Syy => Some(syy),
            PairKind::CovarPop => Some(sxy / count),
            PairKind::CovarSamp => (count >= 2.0).then(|| sxy / (count - 1.0)),
            PairKind::Corr => (sxx != 0.0 && syy != 0.0).then(|| sxy / (sxx * syy).sqrt()),
            PairKind::R2 if sxx == 0.0 => None,
            PairKind::R2 if syy == 0.0 => Some(1.0),
            PairKind::R2 => Some((sxy * sxy) / (sxx * syy)),
            PairKind::Slope => (sxx != 0.0).then(|| sxy / sxx),
            PairKind::Intercept => (sxx != 0.0).then(|| (sum_y - sum_x * sxy / sxx) / count),
        };
        Ok(value.map_or(Datum::Null, Datum::Float8))
    }
}
