//! The catalogue of functions, operators (functions named by their symbol), aggregates and casts. The binder resolves
//! overloads over it; the executor calls what it found. Each function works on whole arrays.

//!
//! Argument type [`SqlType::Unknown`] in a signature means "any type, passed as it is".

mod advisory;
pub mod aggregates;
mod arithmetic;
pub mod array_assign;
pub mod arrays;
mod bytes;
pub mod cast;
pub mod compare;
mod dates;
mod digests;
mod double;
pub mod enums;
mod exact_sum;
mod json_build;
mod json_records;
mod json_sets;
mod jsons;
pub(crate) mod kernel;
mod math;
mod moment_pattern;
mod number_pattern;
mod number_reading;
pub mod numeric;
mod pattern;
pub mod quantified;
mod randoms;
pub mod records;
mod regexps;
mod sequence;
pub mod sets;
mod spread;
mod strings;
pub mod system;
mod texts;
mod times;
pub mod unbuilt;

use crate::types::SqlType;
pub use advisory::{AdvisoryAction, AdvisoryCall, asks_advisory};
pub use aggregates::{is_ordered_set, takes_order};
use arrow_array::{Array, ArrayRef};
use orrery_base::Result;
use orrery_base::sorting;
use orrery_base::time::Micros;
pub use randoms::Randomness;
pub use sequence::{
    Run, SequencePool, SequenceRequest, SessionSequences, asks_sequence, nextval, not_yet_defined,
    sequence_function,
};
pub use spread::{not_an_array, spread_name};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What an evaluation may look at beside its arguments.
pub struct EvalContext<'a> {
    /// The transaction's start: `now()`.
    pub transaction_start: Micros,
    /// The statement's start.
    pub statement_start: Micros,
    /// The session's time zone, and how it reads and writes values.
    pub format: crate::text::FormatSettings,
    /// What random numbers are drawn from; `None` where nothing may be drawn.
    pub random: Option<&'a Randomness>,
    /// Parameters `$1…`, cast to their types.
    pub params: &'a [crate::datum::Datum],
    /// Results of the plan's subqueries.
    pub subqueries: &'a crate::exec::SubqueryResults,
    /// Values reserved for [`nextval`] before the evaluation began.
    pub sequences: &'a SequencePool,
    /// Answers of correlated subqueries, and what is missing of them.
    pub lookups: crate::eval::subquery::Lookups,
}

impl EvalContext<'_> {
    /// What texts depend on.
    pub fn settings(&self) -> crate::text::FormatSettings {
        let now = i64::try_from(self.transaction_start).ok();
        crate::text::FormatSettings { now, ..self.format }
    }

    /// The session's time zone.
    pub fn zone(&self) -> crate::civil::Zone {
        self.format.zone
    }

    /// A context for constants: no parameters, no subqueries, no sequences.
    pub fn constant(
        transaction_start: Micros,
        statement_start: Micros,
        format: crate::text::FormatSettings,
    ) -> EvalContext<'static> {
        static SUBQUERIES: crate::exec::SubqueryResults = crate::exec::SubqueryResults::none();
        static SEQUENCES: SequencePool = SequencePool::empty();
        EvalContext {
            transaction_start,
            statement_start,
            format,
            random: None,
            params: &[],
            subqueries: &SUBQUERIES,
            sequences: &SEQUENCES,
            lookups: Default::default(),
        }
    }
}

/// A scalar function or operator.
#[derive(Debug)]
pub struct Scalar {
    /// Its name: `lower`, `+`, `~~` (LIKE).
    pub name: &'static str,
    /// Its argument types, modifiers left out.
    pub args: &'static [SqlType],
    /// The last argument type may repeat.
    pub variadic: bool,
    /// Its result type.
    pub result: ResultType,
    /// NULL if any argument is NULL; the implementation sees the nulls and may skip them.
    pub strict: bool,
    /// Whether the same arguments always give the same result (constant folding).
    pub volatility: Volatility,
    /// The implementation: a result for `row_count` rows, a constant only when all arguments are.
    pub eval: fn(&EvalContext<'_>, &[Value], row_count: usize) -> Result<Value>,
    /// The implementation in place of `eval` for functions that must know the types of their arguments.
    pub typed: Option<fn(&TypedCall<'_>) -> Result<Value>>,
}

/// A function that must know the types of its arguments, and gives the same for the same.
const fn typed_entry(
    name: &'static str,
    args: &'static [SqlType],
    result: SqlType,
    strict: bool,
    typed: fn(&TypedCall<'_>) -> Result<Value>,
) -> Scalar {
    let (result, volatility) = (ResultType::Fixed(result), Volatility::Immutable);
    Scalar { name, args, variadic: false, result, strict, volatility, eval: untyped, typed: Some(typed) }
}

/// A call of a function that must know its types.
pub struct TypedCall<'a> {
    /// What it may look at.
    pub context: &'a EvalContext<'a>,
    /// Its arguments.
    pub args: &'a [Value],
    /// Their types.
    pub types: &'a [SqlType],
    /// Its result's type.
    pub result: SqlType,
    /// Rows of the batch.
    pub row_count: usize,
}

impl TypedCall<'_> {
    /// The session's settings that texts depend on.
    pub fn settings(&self) -> crate::text::FormatSettings {
        self.context.settings()
    }

    /// Computes each row from single values. `f` sees NULLs where the function is not strict; a strict one gives NULL.
    pub fn rows(
        &self,
        strict: bool,
        mut f: impl FnMut(&[crate::datum::Datum]) -> Result<crate::datum::Datum>,
    ) -> Result<Value> {
        self.each_row(strict, &mut f)
    }

    /// One loop for all callers of `rows`.
    fn each_row(
        &self,
        strict: bool,
        f: &mut dyn FnMut(&[crate::datum::Datum]) -> Result<crate::datum::Datum>,
    ) -> Result<Value> {
        let constant = self.args.iter().all(|arg| matches!(arg, Value::Constant(_)));
        let rows = if constant { 1 } else { self.row_count };
        let mut builder = crate::columns::ColumnBuilder::new(self.result, rows);
        let mut values = vec![crate::datum::Datum::Null; self.args.len()];
        for row in 0..rows {
            for (index, (value, arg)) in values.iter_mut().zip(self.args).enumerate() {
                // A constant is read once.
                if row == 0 || matches!(arg, Value::Array(_)) {
                    *value = crate::columns::datum_at(arg.array(), self.types[index], row)?;
                }
            }
            if strict && values.iter().any(crate::datum::Datum::is_null) {
                builder.push_null();
            } else {
                builder.push(&f(&values)?)?;
            }
        }
        let array = builder.finish()?;
        Ok(if constant { Value::Constant(array) } else { Value::Array(array) })
    }
}

/// The `eval` of functions that have `typed`.
pub(crate) fn untyped(_: &EvalContext<'_>, _: &[Value], _: usize) -> Result<Value> {
    Err(orrery_base::Error::internal("a call without the types of its arguments"))
}

/// A column of values, or one value for all rows.
#[derive(Clone, Debug)]
pub enum Value {
    /// One for each row.
    Array(ArrayRef),
    /// An array of length 1 that stands for every row.
    Constant(ArrayRef),
}

impl Value {
    /// Its array: as long as the batch, or of length 1.
    pub fn array(&self) -> &ArrayRef {
        match self {
            Value::Array(array) | Value::Constant(array) => array,
        }
    }

    /// An array of `row_count` values.
    pub fn into_array(self, row_count: usize) -> Result<ArrayRef> {
        match self {
            Value::Array(array) => Ok(array),
            Value::Constant(array) if row_count == 1 => Ok(array),
            Value::Constant(array) if array.data_type() == &arrow_schema::DataType::Null => {
                Ok(std::sync::Arc::new(arrow_array::NullArray::new(row_count)))
            }
            Value::Constant(array) => {
                let indices = arrow_array::UInt32Array::from(vec![0; row_count]);
                crate::gather::take(&array, &indices)
            }
        }
    }
}

/// How the result type follows from the argument types.
#[derive(Clone, Copy, Debug)]
pub enum ResultType {
    /// Always this.
    Fixed(SqlType),
    /// From the argument types with their modifiers (decimal precision and scale).
    From(fn(&[SqlType]) -> SqlType),
}

/// PostgreSQL's volatility classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// Same arguments, same result, for ever.
    Immutable,
    /// Same within a statement.
    Stable,
    /// New each time.
    Volatile,
}

/// An aggregate function.
#[derive(Debug)]
pub struct Aggregate {
    /// Its name: `sum`.
    pub name: &'static str,
    /// Its argument types; `count(*)` has none.
    pub args: &'static [SqlType],
    /// Its result type.
    pub result: ResultType,
    /// Makes an accumulator for the given argument types.
    pub accumulator: fn(&[SqlType]) -> Box<dyn GroupedAccumulator>,
}

/// The states of one aggregate for all groups.
pub trait GroupedAccumulator: Send {
    /// Folds row i into group `groups[i]`, for the rows selected (`None`: all). Groups are numbered from 0 to `group_count`.
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[u32],
        selected: Option<&arrow_array::BooleanArray>,
        group_count: usize,
    ) -> Result<()>;
    /// Serialised states, one value a group (spilling, partial aggregation): a Binary array.
    fn states(&mut self, group_count: usize) -> Result<ArrayRef>;
    /// Folds serialised states in.
    fn merge(&mut self, states: &ArrayRef, groups: &[u32], group_count: usize) -> Result<()>;
    /// The results of all groups; resets.
    fn finish(&mut self, group_count: usize) -> Result<ArrayRef>;
    /// Bytes held.
    fn memory_bytes(&self) -> usize;
}

/// When a cast may be applied without being written (PostgreSQL's castcontext).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastContext {
    /// Anywhere.
    Implicit,
    /// In INSERT and UPDATE.
    Assignment,
    /// Only when written.
    Explicit,
}

type Index<T> = BTreeMap<&'static str, Vec<&'static T>>;

static SCALARS: LazyLock<Index<Scalar>> = LazyLock::new(|| {
    let mut all = vec![compare::ENTRIES];
    all.extend([
        &compare::KEYED[..],
        &times::INTERVALS,
        times::ENTRIES,
        &jsons::JSON,
        &jsons::JSONB,
        jsons::ENTRIES,
    ]);
    all.extend(arithmetic::ENTRIES);
    all.extend(math::ENTRIES);
    all.extend(dates::ENTRIES);
    all.extend([
        numeric::ENTRIES,
        strings::ENTRIES,
        bytes::ENTRIES,
        pattern::ENTRIES,
        arrays::ENTRIES,
        regexps::ENTRIES,
    ]);
    all.extend([
        randoms::ENTRIES,
        digests::ENTRIES,
        math::MORE,
        texts::ENTRIES,
        number_pattern::ENTRIES,
        number_reading::ENTRIES,
        spread::ENTRIES,
        json_records::ENTRIES,
        records::ENTRIES,
        moment_pattern::ENTRIES,
    ]);
    let mut index: Index<Scalar> = BTreeMap::new();
    for scalar in all.into_iter().flatten().chain(advisory::entries()) {
        index.entry(scalar.name).or_default().push(scalar);
    }
    index
});

static AGGREGATES: LazyLock<Index<Aggregate>> = LazyLock::new(|| {
    let mut index: Index<Aggregate> = BTreeMap::new();
    for aggregate in aggregates::ENTRIES.into_iter().flatten() {
        index.entry(aggregate.name).or_default().push(aggregate);
    }
    index
});

/// All overloads of a function or operator; none when there is no such function.
pub fn scalars(name: &str) -> &'static [&'static Scalar] {
    SCALARS.get(name).map_or(&[], Vec::as_slice)
}

/// All overloads of an aggregate.
pub fn aggregates(name: &str) -> &'static [&'static Aggregate] {
    AGGREGATES.get(name).map_or(&[], Vec::as_slice)
}

/// The names of all functions, operators and aggregates, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = SCALARS.keys().chain(AGGREGATES.keys()).copied().collect();
    sorting::sort(&mut names);
    names.dedup();
    names
}

/// When a cast may be applied unwritten; `None` when there is no such cast. Types of one base with other modifiers, and
/// NULLs of unknown type, cast implicitly.
pub fn cast_context(from: SqlType, to: SqlType) -> Option<CastContext> {
    cast::context(from, to)
}

/// A strict, immutable scalar with a fixed result type.
macro_rules! scalar {
    ($name:literal, [$($arg:ident),*] => $result:ident, $eval:expr) => {
        $crate::functions::Scalar {
            name: $name,
            args: &[$($crate::types::SqlType::$arg),*],
            variadic: false,
            result: $crate::functions::ResultType::Fixed($crate::types::SqlType::$result),
            strict: true,
            volatility: $crate::functions::Volatility::Immutable,
            eval: $eval,
            typed: None,
        }
    };
}
pub(crate) use scalar;

#[cfg(test)]
mod tests;
