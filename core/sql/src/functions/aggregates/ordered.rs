//! Ordered-set aggregates: `percentile_cont`, `percentile_disc`, `mode`. The last argument is the sort key of WITHIN GROUP.

use super::extremes::datum;
use super::{State, take};
use crate::datum::{Datum, Interval};
use crate::encode;
use crate::functions::kernel::Arg;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use orrery_row::codec::RowLayout;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderedKind {
    Continuous,
    Discrete,
    Mode,
}

#[derive(Clone)]
pub(super) struct OrderedConfig {
    pub kind: OrderedKind,
    pub ty: SqlType,
}

/// The rows of a group with their sort keys, and the fraction asked for.
#[derive(Clone, Default)]
pub(super) struct OrderedSet {
    fraction: Option<f64>,
    rows: Vec<(Box<[u8]>, Datum)>,
    bytes: usize,
}

impl OrderedSet {
    fn push(&mut self, key: &[u8], value: Datum) {
        self.bytes += key.len() + 64;
        self.rows.push((key.into(), value));
    }

    /// The place of the fraction's value among `count` sorted ones.
    fn discrete(fraction: f64, count: usize) -> usize {
        // Fractions of at most 1 of a count: exact enough for the rounding that PostgreSQL does, too.
        ((fraction * count as f64).ceil() as usize).max(1) - 1
    }
}

fn layout(ty: SqlType) -> RowLayout {
    RowLayout::new(0, &[encode::physical_type(ty)])
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(bytes)?) as usize;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

impl State for OrderedSet {
    type Config = OrderedConfig;

    fn add(&mut self, config: &OrderedConfig, args: &[Arg<'_>], row: usize) -> Result<()> {
        let place = usize::from(config.kind != OrderedKind::Mode);
        if let (Arg::F64(fractions, _), true) = (&args[0], place == 1) {
            let fraction = fractions[row];
            if !(0.0..=1.0).contains(&fraction) {
                let message = format!("percentile value {fraction} is not between 0 and 1");
                return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
            }
            self.fraction = Some(fraction);
        }
        let Some(Arg::Bytes(keys, _)) = args.get(place + 1) else { return Err(super::wrong_argument()) };
        self.push(keys.value(row), datum(&args[place], row, config.ty)?);
        Ok(())
    }

    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.fraction.unwrap_or(f64::NAN).to_le_bytes());
        into.extend_from_slice(&(self.rows.len() as u32).to_le_bytes());
        let mut bytes = Vec::new();
        for (key, value) in &self.rows {
            into.extend_from_slice(&(key.len() as u32).to_le_bytes());
            into.extend_from_slice(key);
            let ty = value.natural_type();
            // A value of a known type always has a row form.
            let written = encode::row(&layout(ty), &[ty], std::slice::from_ref(value), &mut bytes);
            debug_assert!(written.is_ok());
            into.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            into.extend_from_slice(&bytes);
        }
    }

    fn merge(&mut self, config: &OrderedConfig, bytes: &mut &[u8]) -> Option<Result<()>> {
        let fraction = f64::from_le_bytes(take(bytes)?);
        if !fraction.is_nan() {
            self.fraction = Some(fraction);
        }
        // Values were written in their plain forms.
        let ty = config.ty.base();
        for _ in 0..u32::from_le_bytes(take(bytes)?) {
            let key = part(bytes)?;
            let row = part(bytes)?;
            match encode::decode_row(&layout(ty), &[ty], row) {
                Ok(mut values) => self.push(key, values.pop()?),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(()))
    }

    fn finish(&self, config: &OrderedConfig) -> Result<Datum> {
        if self.rows.is_empty() {
            return Ok(Datum::Null);
        }
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        let fraction = self.fraction.unwrap_or(0.0);
        Ok(match config.kind {
            OrderedKind::Discrete => rows[Self::discrete(fraction, rows.len())].1.clone(),
            OrderedKind::Continuous => {
                let at = fraction * (rows.len() - 1) as f64;
                let (low, high) = (at.floor() as usize, at.ceil() as usize);
                between(&rows[low].1, &rows[high].1, at - at.floor())?
            }
            OrderedKind::Mode => {
                let most =
                    rows.chunk_by(|a, b| a.0 == b.0).fold(None, |best: Option<&[_]>, run| match best {
                        Some(best) if best.len() >= run.len() => Some(best),
                        _ => Some(run),
                    });
                most.map_or(Datum::Null, |run| run[0].1.clone())
            }
        })
    }

    fn extra_bytes(&self) -> usize {
        self.bytes
    }
}

/// The value a share of the way from one to the other.
fn between(low: &Datum, high: &Datum, share: f64) -> Result<Datum> {
    Ok(match (low, high) {
        (low, _) if share == 0.0 => low.clone(),
        (Datum::Float8(a), Datum::Float8(b)) => Datum::Float8(a + share * (b - a)),
        (Datum::Interval(a), Datum::Interval(b)) => {
            let months = share * f64::from(b.months - a.months);
            let days = share * f64::from(b.days - a.days) + (months - months.trunc()) * 30.0;
            let micros = share * (b.micros - a.micros) as f64 + (days - days.trunc()) * 86_400e6;
            Datum::Interval(Interval {
                months: a.months + months.trunc() as i32,
                days: a.days + days.trunc() as i32,
                micros: a.micros + libm::rint(micros) as i64,
            })
        }
        _ => return Err(Error::internal("percentile_cont of a type that has nothing between")),
    })
}
