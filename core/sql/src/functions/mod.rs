//! The catalogue of functions, operators (functions named by their symbol), aggregates and casts. The binder resolves
//! overloads over it; the executor calls what it found. Each function works on whole arrays.

use crate::types::SqlType;
use arrow_array::ArrayRef;
use orrery_base::Result;
use orrery_base::time::Micros;

/// What an evaluation may look at beside its arguments.
pub struct EvalContext<'a> {
    /// The transaction's start: `now()`.
    pub transaction_start: Micros,
    /// The statement's start.
    pub statement_start: Micros,
    /// Seconds east of UTC of the session's time zone (First light: fixed offsets; zone data comes later).
    pub time_zone: i32,
    /// Parameters `$1…`, cast to their types.
    pub params: &'a [crate::datum::Datum],
    /// Results of the plan's subqueries.
    pub subqueries: &'a crate::exec::SubqueryResults,
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
}

/// A column of values, or one value for all rows.
#[derive(Clone, Debug)]
pub enum Value {
    /// One for each row.
    Array(ArrayRef),
    /// An array of length 1 that stands for every row.
    Constant(ArrayRef),
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
