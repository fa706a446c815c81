//! The executor: runs physical plans over a transaction, batch by batch.

mod aggregate;
mod append;
mod apply;
mod build;
mod correlated;
mod distinct;
mod dml;
mod filter;
mod hash_join;
mod hash_table;
mod index;
mod keys;
mod limit;
mod live;
mod lock_rows;
pub mod memory;
pub mod metrics;
mod nested_loop;
mod partition;
pub mod point;
mod probe;
mod project;
pub mod query;
mod recursive;
pub mod rows;
mod scan;
mod series;
mod sort;
mod sort_merge;
pub mod spill;
mod subquery;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod values;
mod window;

use crate::catalog::{Sequence, Table};
use crate::datum::Datum;
use crate::functions::{AdvisoryCall, EvalContext, Run, SequencePool, SessionSequences};
use crate::system::Live;
use arrow_array::ArrayRef;
pub use build::{build_index, refuse_newer_rows};
pub use dml::{check_foreign_key, delete, insert, insert_many, merge, update};
pub use metrics::{NodeMetrics, RunMetrics};
use orrery_base::gauge::Gauge;
use orrery_base::kv::Transaction;
use orrery_base::time::Micros;
use orrery_base::{BoxFuture, Cx, Error, Result, TreeId};
pub use query::{Operator, Query, Shared};
pub use scan::get;
use std::sync::Arc;
pub(crate) use subquery::own_exprs;

/// Rows in columns.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One array a field, each `row_count` long.
    pub columns: Vec<ArrayRef>,
    /// How many rows (a batch may have no column).
    pub row_count: usize,
}

/// What a statement runs in.
#[derive(Clone)]
pub struct ExecContext {
    /// The transaction.
    pub txn: Arc<dyn Transaction>,
    /// Things outside the transaction.
    pub environment: Arc<dyn Environment>,
    /// `$1…`, cast to the plan's parameter types.
    pub params: Arc<[Datum]>,
    /// Bytes that sorts, joins and aggregates of the statement may hold together; beyond it they spill.
    pub work_memory_bytes: usize,
    /// The transaction's start.
    pub transaction_start: Micros,
    /// The statement's start.
    pub statement_start: Micros,
    /// The session's time zone, and how it reads and writes values.
    pub format: crate::text::FormatSettings,
    /// What random numbers are drawn from.
    pub random: crate::functions::Randomness,
    /// What changes in WITH gave: the numbers of working tables, and their rows.
    pub working: Vec<(usize, Arc<Vec<Batch>>)>,
    /// Counters of the operators, for EXPLAIN ANALYZE ([`ExecContext::with_metrics`]).
    pub metrics: Option<Arc<metrics::Metrics>>,
}

/// What the executor needs from the engine beside the transaction.
pub trait Environment: Send + Sync {
    /// Reserves `count` values of a sequence durably, whatever becomes of the transaction, and gives them as runs. Suspends.
    /// Errors: 2200H when it has no further ones, 25006.
    fn reserve<'a>(&'a self, cx: &'a Cx, sequence: u32, count: u32) -> BoxFuture<'a, Result<Vec<Run>>>;

    /// Where a sequence stands now: its last value, and whether that was handed out. Suspends.
    fn position<'a>(&'a self, cx: &'a Cx, sequence: &'a Sequence) -> BoxFuture<'a, Result<(i64, bool)>>;

    /// Sets a sequence to these positions one after the other, durably, whatever becomes of the transaction. Suspends. Errors:
    /// 22003 for a value out of its bounds, 25006.
    fn set_value<'a>(
        &'a self,
        cx: &'a Cx,
        sequence: u32,
        values: &'a [(i64, bool)],
    ) -> BoxFuture<'a, Result<()>>;

    /// A key for a sequence's value that was never used, not even by a transaction that was rolled back. Suspends.
    fn new_value_id<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<u32>>;

    /// What the session remembers of sequences.
    fn session_sequences(&self) -> Arc<SessionSequences>;

    /// The step between a sequence's values.
    fn sequence_step(&self, sequence: u32) -> i64;

    /// A sequence's name, for messages.
    fn sequence_name(&self, sequence: u32) -> String;

    /// Does something with the session's advisory locks, for each key in order; 0 or 1 for each. Suspends for locks. Errors:
    /// 40P01, 55P03, 57014.
    fn advisory<'a>(&'a self, cx: &'a Cx, call: &'a AdvisoryCall) -> BoxFuture<'a, Result<Vec<i64>>>;

    /// Rows of a relation of the running database, part by part, from part 0 on; `None` behind the last. Columns that are not
    /// `wanted` may be NULL. Suspends. Errors: those of whoever knows them.
    fn live_rows<'a>(
        &'a self,
        _cx: &'a Cx,
        _what: Live,
        _wanted: &'a [usize],
        _part: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<Vec<Datum>>>>> {
        Box::pin(async { Err(Error::unsupported("a relation of the running database")) })
    }

    /// Where what sorts and hash tables hold is counted, over all statements.
    fn work_gauge(&self) -> Option<Arc<Gauge>> {
        None
    }

    /// So many bytes went to a temporary file.
    fn spilled(&self, _bytes: u64) {}

    /// A number for `FileId::Temp` that no other statement uses while this one runs. No I/O.
    fn temp_file(&self) -> u64;

    /// A temporary file is not used any more: whoever owns the environment removes it. Called while dropping, when no
    /// request can be made; possibly for a file that was never written.
    fn discard_temp(&self, file: u64);
}

/// What the uncorrelated subqueries of a plan gave, by index, and what the correlated ones answered.
#[derive(Debug, Default)]
pub struct SubqueryResults {
    results: Vec<SubqueryResult>,
    correlated: Option<Arc<correlated::Correlated>>,
}

/// The rows of one subquery.
#[derive(Clone, Debug)]
pub struct SubqueryResult {
    /// Its columns, all rows; for EXISTS and for subqueries without a column they may be shorter than `row_count`.
    pub columns: Vec<ArrayRef>,
    /// How many rows it gave (at least; EXISTS looks at one).
    pub row_count: usize,
}

impl SubqueryResults {
    /// No subqueries.
    pub const fn none() -> Self {
        SubqueryResults { results: Vec::new(), correlated: None }
    }

    /// No uncorrelated ones, so far.
    pub(crate) fn with(correlated: Arc<correlated::Correlated>) -> Self {
        SubqueryResults { results: Vec::new(), correlated: Some(correlated) }
    }

    /// Adds the result of the next one.
    pub fn push(&mut self, result: SubqueryResult) {
        self.results.push(result);
    }

    /// The answer that a correlated subquery gave before, if it is still known.
    pub fn answer(&self, key: &crate::eval::subquery::Key) -> Option<Datum> {
        self.correlated.as_ref().and_then(|correlated| correlated.get(key))
    }

    /// Result number `index`. Errors: XX000 when it has not run.
    pub fn get(&self, index: usize) -> Result<&SubqueryResult> {
        self.results.get(index).ok_or_else(|| Error::internal("a subquery was used before it ran"))
    }
}

impl ExecContext {
    /// To be called now and then by whoever writes much to a table: lets the transaction's writes leave memory, and makes very many row locks
    /// one of the table, if nobody minds (I7). Errors: 53100, the disk's. Suspends.
    pub async fn relieve(&self, cx: &Cx, table: &Table) -> Result<()> {
        if !self.txn.wants_relief() {
            return Ok(());
        }
        let trees: Vec<TreeId> =
            std::iter::once(table.tree).chain(table.indexes.iter().map(|index| index.tree)).collect();
        self.txn.cover_rows(table.id, &trees)?;
        self.txn.relieve(cx).await
    }

    /// Counts what the operators do. Clones made afterwards count into the same place.
    #[must_use]
    pub fn with_metrics(mut self) -> Self {
        self.metrics = Some(Arc::default());
        self
    }

    /// What was counted so far; nothing without [`ExecContext::with_metrics`].
    pub fn metrics(&self) -> RunMetrics {
        self.metrics.as_ref().map_or_else(RunMetrics::default, |metrics| metrics.read())
    }

    /// What texts depend on.
    pub fn settings(&self) -> crate::text::FormatSettings {
        let now = i64::try_from(self.transaction_start).ok();
        crate::text::FormatSettings { now, ..self.format }
    }

    /// The evaluation context of this statement.
    pub fn eval<'a>(
        &'a self,
        subqueries: &'a SubqueryResults,
        sequences: &'a SequencePool,
    ) -> EvalContext<'a> {
        EvalContext {
            transaction_start: self.transaction_start,
            statement_start: self.statement_start,
            format: self.format,
            random: Some(&self.random),
            params: &self.params,
            subqueries,
            sequences,
            lookups: Default::default(),
        }
    }
}

/// An Arrow kernel's error is a defect of ours.
pub fn arrow_result<T>(result: Result<T, arrow_schema::ArrowError>) -> Result<T> {
    result.map_err(|error| Error::internal(error.to_string()))
}

/// The outcome of INSERT, UPDATE or DELETE.
#[derive(Debug)]
pub enum DmlOutcome {
    /// Rows changed, and RETURNING's batches.
    Done {
        /// How many.
        row_count: u64,
        /// RETURNING.
        returning: Vec<Batch>,
    },
    /// A row had changed since the snapshot and the statement cannot re-evaluate just that row: roll back to the
    /// statement's start keeping its locks, take a fresh snapshot and run it again (READ COMMITTED only).
    Restart,
}
