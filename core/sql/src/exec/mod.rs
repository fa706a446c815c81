//! The executor: runs physical plans over a transaction, batch by batch.

use crate::datum::Datum;
use arrow_array::ArrayRef;
use orrery_base::kv::Transaction;
use orrery_base::time::Micros;
use orrery_base::{BoxFuture, Cx, Result};
use std::sync::Arc;

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
    /// Seconds east of UTC.
    pub time_zone: i32,
}

/// What the executor needs from the engine beside the transaction.
pub trait Environment: Send + Sync {
    /// Reserves `count` consecutive values of a sequence durably, and gives the first. Suspends.
    fn reserve<'a>(&'a self, cx: &'a Cx, sequence: u32, count: u32) -> BoxFuture<'a, Result<i64>>;
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

/// Results of subqueries.
pub struct SubqueryResults;
