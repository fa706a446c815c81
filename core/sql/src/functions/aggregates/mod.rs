//! Aggregates: `count`, `sum`, `avg`, `min`, `max`, `bool_and`, `bool_or`, `every`, `string_agg`, and the variance family.
//!
//! Results do not depend on the order of the rows (but `string_agg`'s): integer sums are exact, float sums too
//! ([`super::exact_sum`]), and overflow is judged on the final sum.

mod bits;
mod extremes;
mod gathered;
mod joined;
mod ordered;
mod spread;
mod sums;

use self::bits::{BitConfig, BitKind, Bits, PairKind, Pairs};
use self::extremes::{Extreme, ExtremeConfig, Truth};
use self::joined::{Joined, OrderedJoined};
use self::ordered::{OrderedConfig, OrderedKind, OrderedSet};
use self::spread::{Spread, SpreadConfig};
use self::sums::{Count, FloatKind, FloatSum, IntegerSum, IntervalSum, NumericSum, SumKind};
use super::kernel::Arg;
use super::{Aggregate, GroupedAccumulator, ResultType, Value};
use crate::columns::ColumnBuilder;
use crate::datum::Datum;
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::DataType;
use orrery_base::{Error, Result};

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

static EXTREMES: [Aggregate; 24] =
    extremes!(Int2, Int4, Int8, Float4, Float8, Numeric, Text, Date, Timestamp, Timestamptz, Interval, Time);

static SPREADS: [Aggregate; 24] = spreads! {
    "variance": false, false;
    "var_samp": false, false;
    "var_pop": false, true;
    "stddev": true, false;
    "stddev_samp": true, false;
    "stddev_pop": true, true;
};

fn second_type(args: &[SqlType]) -> SqlType {
    args[1]
}

/// The value argument of an ordered set stands before the key.
fn ordered(args: &[SqlType], kind: OrderedKind) -> Box<dyn GroupedAccumulator> {
    let ty = args[usize::from(kind != OrderedKind::Mode)];
    boxed::<OrderedSet>(OrderedConfig { kind, ty }, ty)
}

static ORDERED: [Aggregate; 4] = [
    Aggregate {
        name: "percentile_disc",
        args: &[SqlType::Float8, SqlType::Unknown],
        result: ResultType::From(second_type),
        accumulator: |args| ordered(args, OrderedKind::Discrete),
    },
    entry("percentile_cont", &[SqlType::Float8, SqlType::Float8], SqlType::Float8, |args| {
        ordered(args, OrderedKind::Continuous)
    }),
    entry("percentile_cont", &[SqlType::Float8, SqlType::Interval], SqlType::Interval, |args| {
        ordered(args, OrderedKind::Continuous)
    }),
    Aggregate {
        name: "mode",
        args: &[SqlType::Unknown],
        result: ResultType::From(first_type),
        accumulator: |args| ordered(args, OrderedKind::Mode),
    },
];

/// Whether an aggregate takes its values by WITHIN GROUP.
pub fn is_ordered_set(name: &str) -> bool {
    matches!(name, "percentile_disc" | "percentile_cont" | "mode")
}

fn gathered_type(args: &[SqlType]) -> SqlType {
    if matches!(args[0], SqlType::Array(_)) { args[0] } else { args[0].array().unwrap_or(args[0]) }
}

macro_rules! bit_aggregates {
    ($($name:literal $kind:ident),*) => { [$(
        entry($name, &[SqlType::Int4], SqlType::Int4, |_| bits(BitKind::$kind, SqlType::Int4)),
        entry($name, &[SqlType::Int8], SqlType::Int8, |_| bits(BitKind::$kind, SqlType::Int8)),
        entry($name, &[SqlType::Int2], SqlType::Int2, |_| bits(BitKind::$kind, SqlType::Int2)),
    )*] };
}

fn bits(kind: BitKind, ty: SqlType) -> Box<dyn GroupedAccumulator> {
    boxed::<Bits>(BitConfig { kind, ty }, ty)
}

static BITS: [Aggregate; 9] = bit_aggregates!("bit_and" And, "bit_or" Or, "bit_xor" Xor);

macro_rules! pair_aggregates {
    ($($name:literal $kind:ident $result:ident),*) => { [$(
        entry($name, &[SqlType::Float8, SqlType::Float8], SqlType::$result, |_| {
            boxed::<Pairs>(PairKind::$kind, SqlType::$result)
        }),
    )*] };
}

static PAIRS: [Aggregate; 12] = pair_aggregates!(
    "corr" Corr Float8,
    "covar_pop" CovarPop Float8,
    "covar_samp" CovarSamp Float8,
    "regr_avgx" AvgX Float8,
    "regr_avgy" AvgY Float8,
    "regr_count" Count Int8,
    "regr_intercept" Intercept Float8,
    "regr_r2" R2 Float8,
    "regr_slope" Slope Float8,
    "regr_sxx" Sxx Float8,
    "regr_sxy" Sxy Float8,
    "regr_syy" Syy Float8
);

static KEYED: [Aggregate; 4] = [
    keyed_extreme("min", &[SqlType::Char(None)], |args| extreme(args, false)),
    keyed_extreme("max", &[SqlType::Char(None)], |args| extreme(args, true)),
    keyed_extreme("min", &[SqlType::ANY_ARRAY], |args| extreme(args, false)),
    keyed_extreme("max", &[SqlType::ANY_ARRAY], |args| extreme(args, true)),
];

const fn keyed_extreme(
    name: &'static str,
    args: &'static [SqlType],
    accumulator: fn(&[SqlType]) -> Box<dyn GroupedAccumulator>,
) -> Aggregate {
    Aggregate { name, args, result: ResultType::From(first_type), accumulator }
}

/// Aggregates that mind the order of their rows.
pub fn takes_order(name: &str) -> bool {
    name == "string_agg" || GATHERED.iter().any(|it| it.name == name)
}

static GATHERED: [Aggregate; 6] = {
    use SqlType::{Json, Jsonb, Text, Unknown};
    [
        Aggregate {
            name: "array_agg",
            args: &[Unknown],
            result: ResultType::From(gathered_type),
            accumulator: |args| gathered::gathered(args, 1, gathered_type(args), gathered::array),
        },
        entry("json_agg", &[Json], Json, |args| gathered::gathered(args, 1, Json, gathered::json_array)),
        // Of arrays each stands on a line of its own.
        entry("json_agg array", &[Json], Json, |args| {
            gathered::gathered(args, 1, Json, gathered::json_lines)
        }),
        entry("jsonb_agg", &[Jsonb], Jsonb, |args| gathered::gathered(args, 1, Jsonb, gathered::json_array)),
        entry("json_object_agg", &[Text, Json], Json, |args| {
            gathered::gathered(args, 2, Json, gathered::json_object)
        }),
        entry("jsonb_object_agg", &[Text, Jsonb], Jsonb, |args| {
            gathered::gathered(args, 2, Jsonb, gathered::json_object)
        }),
    ]
};

pub(super) static ENTRIES: [&[Aggregate]; 9] =
    [&SUMS, &EVERY, &EXTREMES, &SPREADS, &ORDERED, &GATHERED, &KEYED, &BITS, &PAIRS];
