//! `min`, `max`, `bool_and`, `bool_or`.

use super::{State, take, wrong_argument};
use crate::columns;
use crate::datum::Datum;
use crate::functions::kernel::Arg;
use crate::types::SqlType;
use orrery_base::Result;

// ---- min and max

#[derive(Clone, Default)]
pub(super) struct Extreme(Option<Datum>);

#[derive(Clone, Copy)]
pub(super) struct ExtremeConfig {
    pub ty: SqlType,
    pub greatest: bool,
}

pub(super) fn datum(arg: &Arg<'_>, row: usize, ty: SqlType) -> Result<Datum> {
    Ok(match (arg, ty.base()) {
        (Arg::Bool(values, _), _) => Datum::Bool(values.value(row)),
        (Arg::I16(values, _), _) => Datum::Int2(values[row]),
        (Arg::I32(values, _), SqlType::Date) => Datum::Date(values[row]),
        (Arg::I32(values, _), _) => Datum::Int4(values[row]),
        (Arg::I64(values, _), SqlType::Timestamp) => Datum::Timestamp(values[row]),
        (Arg::I64(values, _), SqlType::Timestamptz) => Datum::Timestamptz(values[row]),
        (Arg::I64(values, _), SqlType::Time) => Datum::Time(values[row]),
        (Arg::I64(values, _), _) => Datum::Int8(values[row]),
        (Arg::F32(values, _), _) => Datum::Float4(values[row]),
        (Arg::F64(values, _), _) => Datum::Float8(values[row]),
        (Arg::Decimal(..), _) | (Arg::Bytes(..), SqlType::Numeric) => Datum::Numeric(arg.numeric(row)?),
        (Arg::Text(array, _), SqlType::Jsonb) => Datum::Jsonb(array.value(row).into()),
        (Arg::Bytes(array, _), SqlType::Array(_)) => {
            Datum::Array(crate::array::ArrayValue::decode(array.value(row))?.into())
        }
        (Arg::Text(array, _), _) => Datum::Text(array.value(row).into()),
        (Arg::Bytes(array, _), _) => Datum::Bytea(array.value(row).into()),
        (Arg::Fixed16(array, _), SqlType::Interval) => {
            Datum::Interval(columns::interval_from(array.value(row)))
        }
        (Arg::Fixed16(array, _), _) => Datum::Uuid(array.value(row).try_into().expect("sixteen bytes")),
        (Arg::Null, _) => Datum::Null,
    })
}

impl Extreme {
    fn offer(&mut self, value: Datum, greatest: bool) {
        let better = match &self.0 {
            None => true,
            Some(best) => {
                let order = value.order(best);
                if greatest { order.is_gt() } else { order.is_lt() }
            }
        };
        if better {
            self.0 = Some(value);
        }
    }
}

impl State for Extreme {
    type Config = ExtremeConfig;
    fn add(&mut self, config: &ExtremeConfig, args: &[Arg<'_>], row: usize) -> Result<()> {
        // Text is compared in place: most rows do not win, and need no copy.
        if let (Some(Datum::Text(best)), Arg::Text(array, _)) = (&self.0, &args[0]) {
            let order = array.value(row).as_bytes().cmp(best.as_bytes());
            if !(if config.greatest { order.is_gt() } else { order.is_lt() }) {
                return Ok(());
            }
        }
        self.offer(datum(&args[0], row, config.ty)?, config.greatest);
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        crate::exec::rows::write_datum(into, self.0.as_ref().unwrap_or(&Datum::Null));
    }
    fn merge(&mut self, config: &ExtremeConfig, bytes: &mut &[u8]) -> Option<Result<()>> {
        match crate::exec::rows::read_datum(bytes, config.ty)? {
            Datum::Null => {}
            value => self.offer(value, config.greatest),
        }
        Some(Ok(()))
    }
    fn finish(&self, _: &ExtremeConfig) -> Result<Datum> {
        Ok(self.0.clone().unwrap_or(Datum::Null))
    }
    fn extra_bytes(&self) -> usize {
        match &self.0 {
            Some(Datum::Text(text)) => text.len(),
            Some(Datum::Bytea(bytes)) => bytes.len(),
            Some(Datum::Array(array)) => 64 + 32 * array.items.len(),
            _ => 0,
        }
    }
}

// ---- bool_and, bool_or

#[derive(Clone, Default)]
pub(super) struct Truth(Option<bool>);

impl State for Truth {
    /// Whether all must hold (`bool_and`) or one is enough.
    type Config = bool;
    fn add(&mut self, all: &bool, args: &[Arg<'_>], row: usize) -> Result<()> {
        let Arg::Bool(values, _) = &args[0] else { return Err(wrong_argument()) };
        let value = values.value(row);
        let so_far = self.0.unwrap_or(*all);
        self.0 = Some(if *all { so_far && value } else { so_far || value });
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        into.push(self.0.map_or(2, u8::from));
    }
    fn merge(&mut self, all: &bool, bytes: &mut &[u8]) -> Option<Result<()>> {
        let value = match take::<1>(bytes)?[0] {
            2 => return Some(Ok(())),
            value => value == 1,
        };
        let so_far = self.0.unwrap_or(*all);
        self.0 = Some(if *all { so_far && value } else { so_far || value });
        Some(Ok(()))
    }
    fn finish(&self, _: &bool) -> Result<Datum> {
        Ok(self.0.map_or(Datum::Null, Datum::Bool))
    }
}
