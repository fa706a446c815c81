//! Aggregates: `count`, `sum`, `avg`, `min`, `max`, `bool_and`, `bool_or`, `every`, `string_agg`, and the variance family.
//!
//! Results do not depend on the order of the rows (but `string_agg`'s): integer sums are exact, float sums too
//! ([`super::exact_sum`]), and overflow is judged on the final sum.

use super::exact_sum::ExactSum;
use super::kernel::Arg;
use super::numeric::out_of_range;
use super::{Aggregate, GroupedAccumulator, ResultType, Value};
use crate::columns::{self, ColumnBuilder};
use crate::datum::{Datum, Interval};
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::DataType;
use orrery_base::{Error, Result};
use orrery_row::numeric::{DECIMAL_NAN, Numeric};

/// The state of one group.
trait State: Default + Clone + Send + 'static {
    /// What the accumulator knows beside the states.
    type Config: Clone + Send;
    /// Folds in row `row` of the arguments, none of which is NULL there.
    fn add(&mut self, config: &Self::Config, args: &[Arg<'_>], row: usize) -> Result<()>;
    /// Writes the state.
    fn write(&self, into: &mut Vec<u8>);
    /// Reads a state and folds it in; `None` when the bytes are no state.
    fn merge(&mut self, config: &Self::Config, bytes: &mut &[u8]) -> Option<Result<()>>;
    /// The result.
    fn finish(&self, config: &Self::Config) -> Result<Datum>;
    /// Bytes held beyond the struct.
    fn extra_bytes(&self) -> usize {
        0
    }
    /// Folds many rows of one group in, if there is a quicker way than one by one.
    fn add_all(&mut self, _config: &Self::Config, _args: &[ArrayRef]) -> Option<Result<()>> {
        None
    }
}

struct Accumulator<S: State> {
    config: S::Config,
    result: SqlType,
    states: Vec<S>,
    extra_bytes: usize,
}

fn boxed<S: State>(config: S::Config, result: SqlType) -> Box<dyn GroupedAccumulator> {
    Box::new(Accumulator::<S> { config, result, states: Vec::new(), extra_bytes: 0 })
}

fn damaged() -> Error {
    Error::internal("a spilled aggregate state is damaged")
}

impl<S: State> GroupedAccumulator for Accumulator<S> {
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[u32],
        selected: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.states.resize(group_count.max(self.states.len()), S::default());
        if group_count == 1
            && selected.is_none()
            && let Some(done) = self.states[0].add_all(&self.config, args)
        {
            return done;
        }
        if args.iter().any(|array| array.data_type() == &DataType::Null) {
            return Ok(());
        }
        let values: Vec<Value> = args.iter().map(|array| Value::Array(array.clone())).collect();
        let resolved = values.iter().map(Arg::new).collect::<Result<Vec<_>>>()?;
        let nullable: Vec<&ArrayRef> = args.iter().filter(|array| array.null_count() > 0).collect();
        let track = std::mem::needs_drop::<S>();
        for (row, &group) in groups.iter().enumerate() {
            if selected.is_some_and(|selected| !selected.value(row) || selected.is_null(row)) {
                continue;
            }
            if nullable.iter().any(|array| array.is_null(row)) {
                continue;
            }
            let state = &mut self.states[group as usize];
            if track {
                let before = state.extra_bytes();
                state.add(&self.config, &resolved, row)?;
                self.extra_bytes = self.extra_bytes + state.extra_bytes() - before;
            } else {
                state.add(&self.config, &resolved, row)?;
            }
        }
        Ok(())
    }

    fn states(&mut self, group_count: usize) -> Result<ArrayRef> {
        self.states.resize(group_count.max(self.states.len()), S::default());
        let mut builder = ColumnBuilder::new(SqlType::Bytea, group_count);
        let mut bytes = Vec::new();
        for state in &self.states {
            bytes.clear();
            state.write(&mut bytes);
            builder.push_bytes(&bytes)?;
        }
        self.states.clear();
        self.extra_bytes = 0;
        builder.finish()
    }

    fn merge(&mut self, states: &ArrayRef, groups: &[u32], group_count: usize) -> Result<()> {
        self.states.resize(group_count.max(self.states.len()), S::default());
        let bytes = states.as_binary::<i32>();
        for (row, &group) in groups.iter().enumerate() {
            let state = &mut self.states[group as usize];
            let before = state.extra_bytes();
            state.merge(&self.config, &mut bytes.value(row)).ok_or_else(damaged)??;
            self.extra_bytes = self.extra_bytes + state.extra_bytes() - before;
        }
        Ok(())
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        self.states.resize(group_count.max(self.states.len()), S::default());
        let mut builder = ColumnBuilder::new(self.result, group_count);
        for state in &self.states {
            builder.push(&state.finish(&self.config)?)?;
        }
        self.states.clear();
        self.extra_bytes = 0;
        builder.finish()
    }

    fn memory_bytes(&self) -> usize {
        self.states.capacity() * size_of::<S>() + self.extra_bytes
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn wrong_argument() -> Error {
    Error::internal("an aggregate's argument has another type than planned")
}

/// An integer argument widened.
#[inline]
fn integer(arg: &Arg<'_>, row: usize) -> Result<i64> {
    match arg {
        Arg::I16(values, _) => Ok(values[row].into()),
        Arg::I32(values, _) => Ok(values[row].into()),
        Arg::I64(values, _) => Ok(values[row]),
        _ => Err(wrong_argument()),
    }
}

#[inline]
fn float(arg: &Arg<'_>, row: usize) -> Result<f64> {
    match arg {
        Arg::F32(values, _) => Ok(values[row].into()),
        Arg::F64(values, _) => Ok(values[row]),
        _ => Err(wrong_argument()),
    }
}

// ---- count

#[derive(Clone, Default)]
struct Count(i64);

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
enum SumKind {
    Bigint,
    Numeric,
    Average,
}

#[derive(Clone, Default)]
struct IntegerSum {
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
struct NumericSum {
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
enum FloatKind {
    Real,
    Double,
    Average,
}

#[derive(Clone, Default)]
struct FloatSum {
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
                    return Err(super::arithmetic::float_overflow());
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
struct IntervalSum {
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
            SumKind::Average => super::dates::interval_over(sum, self.count as f64)?,
            _ => sum,
        }))
    }
}

// ---- min and max

#[derive(Clone, Default)]
struct Extreme(Option<Datum>);

#[derive(Clone, Copy)]
struct ExtremeConfig {
    ty: SqlType,
    greatest: bool,
}

fn datum(arg: &Arg<'_>, row: usize, ty: SqlType) -> Result<Datum> {
    Ok(match (arg, ty.base()) {
        (Arg::Bool(values, _), _) => Datum::Bool(values.value(row)),
        (Arg::I16(values, _), _) => Datum::Int2(values[row]),
        (Arg::I32(values, _), SqlType::Date) => Datum::Date(values[row]),
        (Arg::I32(values, _), _) => Datum::Int4(values[row]),
        (Arg::I64(values, _), SqlType::Timestamp) => Datum::Timestamp(values[row]),
        (Arg::I64(values, _), SqlType::Timestamptz) => Datum::Timestamptz(values[row]),
        (Arg::I64(values, _), _) => Datum::Int8(values[row]),
        (Arg::F32(values, _), _) => Datum::Float4(values[row]),
        (Arg::F64(values, _), _) => Datum::Float8(values[row]),
        (Arg::Decimal(..), _) | (Arg::Bytes(..), SqlType::Numeric) => Datum::Numeric(arg.numeric(row)?),
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
            _ => 0,
        }
    }
}

// ---- bool_and, bool_or

#[derive(Clone, Default)]
struct Truth(Option<bool>);

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

// ---- string_agg

#[derive(Clone, Default)]
struct Joined(Option<(String, usize)>);

/// `string_agg(value, delimiter)`: the delimiter of the first value is not written. NULL delimiters are written as nothing,
/// so this aggregate handles its own NULLs: the accumulator below coalesces them before.
impl State for Joined {
    type Config = ();
    fn add(&mut self, (): &(), args: &[Arg<'_>], row: usize) -> Result<()> {
        let (Arg::Text(values, _), Arg::Text(delimiters, _)) = (&args[0], &args[1]) else {
            return Err(wrong_argument());
        };
        let (value, delimiter) = (values.value(row), delimiters.value(row));
        match &mut self.0 {
            // The first delimiter is kept in front, so that a merge knows it.
            None => self.0 = Some((format!("{delimiter}{value}"), delimiter.len())),
            Some((text, _)) => {
                text.push_str(delimiter);
                text.push_str(value);
            }
        }
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        let (text, first) =
            self.0.as_ref().map_or(("", u32::MAX), |(text, first)| (text.as_str(), *first as u32));
        into.extend_from_slice(&first.to_le_bytes());
        into.extend_from_slice(&(text.len() as u32).to_le_bytes());
        into.extend_from_slice(text.as_bytes());
    }
    fn merge(&mut self, (): &(), bytes: &mut &[u8]) -> Option<Result<()>> {
        let first = u32::from_le_bytes(take(bytes)?);
        let length = u32::from_le_bytes(take(bytes)?) as usize;
        let (text, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        if first == u32::MAX {
            return Some(Ok(()));
        }
        let text = std::str::from_utf8(text).ok()?;
        match &mut self.0 {
            None => self.0 = Some((text.to_owned(), first as usize)),
            Some((joined, _)) => joined.push_str(text),
        }
        Some(Ok(()))
    }
    fn finish(&self, (): &()) -> Result<Datum> {
        Ok(self.0.as_ref().map_or(Datum::Null, |(text, first)| Datum::Text(text[*first..].into())))
    }
    fn extra_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |(text, _)| text.capacity())
    }
}

/// Key, delimiter and value of a row.
type OrderedRow = (Box<[u8]>, Box<str>, Box<str>);

/// `string_agg(value, delimiter ORDER BY …)`: its rows in the order of arrival.
#[derive(Clone, Default)]
struct OrderedJoined {
    rows: Vec<OrderedRow>,
    bytes: usize,
}

impl OrderedJoined {
    fn push(&mut self, key: &[u8], delimiter: &str, value: &str) {
        self.bytes += key.len() + delimiter.len() + value.len() + 64;
        self.rows.push((key.into(), delimiter.into(), value.into()));
    }
}

fn take_part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(bytes)?) as usize;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

impl State for OrderedJoined {
    type Config = ();
    fn add(&mut self, (): &(), args: &[Arg<'_>], row: usize) -> Result<()> {
        let (Arg::Text(values, _), Arg::Text(delimiters, _), Arg::Bytes(keys, _)) =
            (&args[0], &args[1], &args[2])
        else {
            return Err(wrong_argument());
        };
        self.push(keys.value(row), delimiters.value(row), values.value(row));
        Ok(())
    }
    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&(self.rows.len() as u32).to_le_bytes());
        for (key, delimiter, value) in &self.rows {
            for part in [key, delimiter.as_bytes(), value.as_bytes()] {
                into.extend_from_slice(&(part.len() as u32).to_le_bytes());
                into.extend_from_slice(part);
            }
        }
    }
    fn merge(&mut self, (): &(), bytes: &mut &[u8]) -> Option<Result<()>> {
        for _ in 0..u32::from_le_bytes(take(bytes)?) {
            let key = take_part(bytes)?;
            let delimiter = std::str::from_utf8(take_part(bytes)?).ok()?;
            let value = std::str::from_utf8(take_part(bytes)?).ok()?;
            self.push(key, delimiter, value);
        }
        Some(Ok(()))
    }
    fn finish(&self, (): &()) -> Result<Datum> {
        if self.rows.is_empty() {
            return Ok(Datum::Null);
        }
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        let mut text = String::new();
        for (index, (_, delimiter, value)) in rows.into_iter().enumerate() {
            if index > 0 {
                text.push_str(delimiter);
            }
            text.push_str(value);
        }
        Ok(Datum::Text(text.into()))
    }
    fn extra_bytes(&self) -> usize {
        self.bytes
    }
}

// ---- variance and standard deviation of numerics

#[derive(Clone, Copy)]
struct SpreadConfig {
    root: bool,
    population: bool,
    float: bool,
}

/// Exact count, sum and sum of squares.
#[derive(Clone)]
struct Spread {
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
        Ok(Datum::Numeric(if config.root { variance.sqrt()? } else { variance }))
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
                return Err(super::arithmetic::float_overflow());
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

// ---- The catalogue.

/// `count(*)` has no argument; `string_agg` takes NULL delimiters as empty. Both are wrapped.
struct Wrapped {
    inner: Box<dyn GroupedAccumulator>,
    kind: WrapKind,
}

#[derive(Clone, Copy, PartialEq)]
enum WrapKind {
    CountRows,
    EmptyDelimiters,
}

impl GroupedAccumulator for Wrapped {
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[u32],
        selected: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        match self.kind {
            WrapKind::CountRows => {
                let all: ArrayRef = std::sync::Arc::new(BooleanArray::from(vec![true; groups.len()]));
                self.inner.update(&[all], groups, selected, group_count)
            }
            WrapKind::EmptyDelimiters => {
                let mut delimiters = ColumnBuilder::new(SqlType::Text, groups.len());
                for row in 0..groups.len() {
                    let is_null = args[1].data_type() == &DataType::Null || args[1].is_null(row);
                    delimiters.push_bytes(if is_null {
                        b""
                    } else {
                        args[1].as_string::<i32>().value(row).as_bytes()
                    })?;
                }
                let mut args = args.to_vec();
                args[1] = delimiters.finish()?;
                self.inner.update(&args, groups, selected, group_count)
            }
        }
    }
    fn states(&mut self, group_count: usize) -> Result<ArrayRef> {
        self.inner.states(group_count)
    }
    fn merge(&mut self, states: &ArrayRef, groups: &[u32], group_count: usize) -> Result<()> {
        self.inner.merge(states, groups, group_count)
    }
    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        self.inner.finish(group_count)
    }
    fn memory_bytes(&self) -> usize {
        self.inner.memory_bytes()
    }
}

fn wrapped(inner: Box<dyn GroupedAccumulator>, kind: WrapKind) -> Box<dyn GroupedAccumulator> {
    Box::new(Wrapped { inner, kind })
}

const fn entry(
    name: &'static str,
    args: &'static [SqlType],
    result: SqlType,
    accumulator: fn(&[SqlType]) -> Box<dyn GroupedAccumulator>,
) -> Aggregate {
    Aggregate { name, args, result: ResultType::Fixed(result), accumulator }
}

fn first_type(args: &[SqlType]) -> SqlType {
    args[0]
}

fn extreme(args: &[SqlType], greatest: bool) -> Box<dyn GroupedAccumulator> {
    boxed::<Extreme>(ExtremeConfig { ty: args[0], greatest }, args[0])
}

macro_rules! extremes {
    ($($ty:ident),*) => { [$(
        Aggregate {
            name: "min",
            args: &[SqlType::$ty],
            result: ResultType::From(first_type),
            accumulator: |args| extreme(args, false),
        },
        Aggregate {
            name: "max",
            args: &[SqlType::$ty],
            result: ResultType::From(first_type),
            accumulator: |args| extreme(args, true),
        },
    )*] };
}

macro_rules! spreads {
    ($($name:literal: $root:literal, $population:literal;)*) => { [$(
        entry($name, &[SqlType::Numeric], SqlType::Numeric, |_| {
            let config = SpreadConfig { root: $root, population: $population, float: false };
            boxed::<Spread>(config, SqlType::Numeric)
        }),
        entry($name, &[SqlType::Int8], SqlType::Numeric, |_| {
            let config = SpreadConfig { root: $root, population: $population, float: false };
            boxed::<Spread>(config, SqlType::Numeric)
        }),
        entry($name, &[SqlType::Int4], SqlType::Numeric, |_| {
            let config = SpreadConfig { root: $root, population: $population, float: false };
            boxed::<Spread>(config, SqlType::Numeric)
        }),
        entry($name, &[SqlType::Float8], SqlType::Float8, |_| {
            let config = SpreadConfig { root: $root, population: $population, float: true };
            boxed::<Spread>(config, SqlType::Float8)
        }),
    )*] };
}

static SUMS: [Aggregate; 19] = {
    use SqlType::{Bool, Float4, Float8, Int2, Int4, Int8, Interval, Numeric as Num, Text, Unknown};
    [
        entry("count", &[], Int8, |_| wrapped(boxed::<Count>((), Int8), WrapKind::CountRows)),
        entry("count", &[Unknown], Int8, |_| boxed::<Count>((), Int8)),
        entry("sum", &[Int2], Int8, |_| boxed::<IntegerSum>(SumKind::Bigint, Int8)),
        entry("sum", &[Int4], Int8, |_| boxed::<IntegerSum>(SumKind::Bigint, Int8)),
        entry("sum", &[Int8], Num, |_| boxed::<IntegerSum>(SumKind::Numeric, Num)),
        entry("sum", &[Num], Num, |_| boxed::<NumericSum>(SumKind::Numeric, Num)),
        entry("sum", &[Float4], Float4, |_| boxed::<FloatSum>(FloatKind::Real, Float4)),
        entry("sum", &[Float8], Float8, |_| boxed::<FloatSum>(FloatKind::Double, Float8)),
        entry("sum", &[Interval], Interval, |_| boxed::<IntervalSum>(SumKind::Numeric, Interval)),
        entry("avg", &[Int2], Num, |_| boxed::<IntegerSum>(SumKind::Average, Num)),
        entry("avg", &[Int4], Num, |_| boxed::<IntegerSum>(SumKind::Average, Num)),
        entry("avg", &[Int8], Num, |_| boxed::<IntegerSum>(SumKind::Average, Num)),
        entry("avg", &[Num], Num, |_| boxed::<NumericSum>(SumKind::Average, Num)),
        entry("avg", &[Float4], Float8, |_| boxed::<FloatSum>(FloatKind::Average, Float8)),
        entry("avg", &[Float8], Float8, |_| boxed::<FloatSum>(FloatKind::Average, Float8)),
        entry("avg", &[Interval], Interval, |_| boxed::<IntervalSum>(SumKind::Average, Interval)),
        entry("bool_and", &[Bool], Bool, |_| boxed::<Truth>(true, Bool)),
        entry("bool_or", &[Bool], Bool, |_| boxed::<Truth>(false, Bool)),
        entry("string_agg", &[Text, Text], Text, |args| {
            // A third argument is the key of ORDER BY.
            let joined =
                if args.len() > 2 { boxed::<OrderedJoined>((), Text) } else { boxed::<Joined>((), Text) };
            wrapped(joined, WrapKind::EmptyDelimiters)
        }),
    ]
};

static EVERY: [Aggregate; 1] =
    [entry("every", &[SqlType::Bool], SqlType::Bool, |_| boxed::<Truth>(true, SqlType::Bool))];

static EXTREMES: [Aggregate; 22] =
    extremes!(Int2, Int4, Int8, Float4, Float8, Numeric, Text, Date, Timestamp, Timestamptz, Interval);

static SPREADS: [Aggregate; 24] = spreads! {
    "variance": false, false;
    "var_samp": false, false;
    "var_pop": false, true;
    "stddev": true, false;
    "stddev_samp": true, false;
    "stddev_pop": true, true;
};

pub(super) static ENTRIES: [&[Aggregate]; 4] = [&SUMS, &EVERY, &EXTREMES, &SPREADS];
