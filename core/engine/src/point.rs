//! Point statements without a task: SELECT, INSERT, UPDATE and DELETE of one row by its key, answered on the caller's stack
//! when nothing has to be waited for (DESIGN §10).
//!
//! - P2: this path does what [`run`](crate::run) would do (statement begun, table locked, schema looked at in this order), or
//!   it does nothing and says so ([`PointStep::General`]): the general path then runs the statement and raises its errors.
//! - P3: a plan is used only in the schema epoch that it was made in, asked for after the snapshot and the lock were taken.
//!
//! A write outside a transaction block must commit, which waits for the disk: that is the general path's.

use crate::database::Inner;
use crate::plans::Prepared;
use crate::session::{Session, State};
use crate::statements::Statements;
use orrery_base::kv::{Isolation, TableLock, Transaction};
use orrery_base::task::Task;
use orrery_base::time::Micros;
use orrery_base::{PagePtr, Result};
use orrery_sql::bind::BindSettings;
use orrery_sql::bind::Bound;
use orrery_sql::catalog::Catalog;
use orrery_sql::datum::Datum;
use orrery_sql::exec::point::{PointOutcome, PointPlan, PointRow, PointScratch};
use orrery_sql::optimize::Methods;
use orrery_sql::text::FormatSettings;
use orrery_sql::types::SqlType;
use orrery_store::{Txn, TxnOptions};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What came of a point statement.
pub enum PointStep {
    /// Done, with so many rows (0 or 1) given or changed.
    Done(u64),
    /// A page is not in memory: run this, then ask again.
    Load(Task<Result<()>>),
    /// Nothing was done: run it with [`Session::execute`].
    General,
}

/// Statements a session remembers the plans of; more take turns.
const ENTRY_COUNT_MAX: usize = 16;

/// Point plans of a session's own, so that sessions do not meet at a lock or a counter. Invariant P3.
#[derive(Default)]
pub(crate) struct PointCache {
    entries: Vec<Entry>,
    next: usize,
    buffers: PointBuffers,
    /// Where what was counted here goes.
    statements: Option<Arc<Statements>>,
}

/// Statements counted by a session itself before it hands the counts over.
const COUNTED_CALLS_MAX: u64 = 4096;

/// Buffers that statements reuse.
#[derive(Default)]
pub(crate) struct PointBuffers {
    pub(crate) params: Vec<Datum>,
    pub(crate) scratch: PointScratch,
}

struct Entry {
    prepared: Arc<Prepared>,
    epoch: u64,
    /// What its literals were read under.
    format: FormatSettings,
    catalog: Arc<Catalog>,
    bound: Arc<Bound>,
    point: Option<Arc<PointPlan>>,
    /// Calls that were not counted with other sessions' yet, and their rows.
    calls: u64,
    rows: u64,
}

impl PointCache {
    pub(crate) fn buffers(&mut self) -> &mut PointBuffers {
        &mut self.buffers
    }

    /// Counts what its statements did with what others did.
    pub(crate) fn hand_over(&mut self) {
        let Some(statements) = &self.statements else { return };
        for entry in self.entries.iter_mut().filter(|entry| entry.calls > 0) {
            let (calls, rows) = (std::mem::take(&mut entry.calls), std::mem::take(&mut entry.rows));
            statements.add_calls(&entry.prepared, calls, rows);
        }
    }

    /// The statement's entry, made anew when the schema has changed. `None` when it has no plan now.
    fn find(&mut self, db: &Inner, prepared: &Arc<Prepared>, format: FormatSettings) -> Option<usize> {
        let epoch = db.schema.quiet_epoch()?;
        let known = self.entries.iter().position(|entry| Arc::ptr_eq(&entry.prepared, prepared));
        if let Some(index) = known
            && self.entries[index].epoch == epoch
            && self.entries[index].format == format
        {
            return Some(index);
        }
        let (epoch, catalog) = db.schema.current_with_epoch()?;
        // A point statement has one plan, whatever methods are switched off.
        let planned = prepared.bind(&catalog, BindSettings { methods: Methods::default(), format }).ok()?;
        let entry = Entry {
            prepared: prepared.clone(),
            epoch,
            format,
            catalog,
            bound: planned.bound,
            point: planned.point,
            calls: 0,
            rows: 0,
        };
        if self.statements.is_none() {
            self.statements = Some(db.statements.clone());
        }
        self.hand_over();
        let index = known.unwrap_or_else(|| {
            let turn = self.next;
            self.next = (turn + 1) % ENTRY_COUNT_MAX;
            turn
        });
        if index < self.entries.len() {
            self.entries[index] = entry;
        } else {
            self.entries.push(entry);
        }
        Some(self.entries.len().min(index + 1) - 1)
    }
}

/// The parameters as the plan's types, when that takes no more than another width of integers. `widened` is a buffer.
pub(crate) fn fitting<'a>(
    types: &[SqlType],
    params: &'a [Datum],
    widened: &'a mut Vec<Datum>,
) -> Option<&'a [Datum]> {
    if types.len() != params.len() {
        return None;
    }
    let mut all_fit = true;
    for (value, &ty) in params.iter().zip(types) {
        match fit(value, ty) {
            Fit::Same => {}
            Fit::Resize(_) => all_fit = false,
            Fit::No => return None,
        }
    }
    if all_fit {
        return Some(params);
    }
    widened.clear();
    widened.extend(params.iter().zip(types).map(|(value, &ty)| match fit(value, ty) {
        Fit::Resize(wide) => wide,
        Fit::Same | Fit::No => value.clone(),
    }));
    Some(widened)
}

enum Fit {
    Same,
    Resize(Datum),
    No,
}

#[inline]
fn fit(value: &Datum, ty: SqlType) -> Fit {
    match (value, ty) {
        (Datum::Null, _)
        | (Datum::Bool(_), SqlType::Bool)
        | (Datum::Int2(_), SqlType::Int2)
        | (Datum::Int4(_), SqlType::Int4)
        | (Datum::Int8(_), SqlType::Int8)
        | (Datum::Float4(_), SqlType::Float4)
        | (Datum::Float8(_), SqlType::Float8)
        | (Datum::Numeric(_), SqlType::Numeric)
        | (Datum::Text(_), SqlType::Text | SqlType::Varchar(None))
        | (Datum::Bytea(_), SqlType::Bytea)
        | (Datum::Date(_), SqlType::Date)
        | (Datum::Timestamp(_), SqlType::Timestamp)
        | (Datum::Timestamptz(_), SqlType::Timestamptz)
        | (Datum::Interval(_), SqlType::Interval)
        | (Datum::Time(_), SqlType::Time)
        | (Datum::Jsonb(_), SqlType::Jsonb)
        | (Datum::Uuid(_), SqlType::Uuid) => Fit::Same,
        (Datum::Int2(value), SqlType::Int4) => Fit::Resize(Datum::Int4((*value).into())),
        (Datum::Int2(value), SqlType::Int8) => Fit::Resize(Datum::Int8((*value).into())),
        (Datum::Int4(value), SqlType::Int8) => Fit::Resize(Datum::Int8((*value).into())),
        (Datum::Int8(value), SqlType::Int4) => narrow(i32::try_from(*value).map(Datum::Int4)),
        (Datum::Int8(value), SqlType::Int2) => narrow(i16::try_from(*value).map(Datum::Int2)),
        (Datum::Int4(value), SqlType::Int2) => narrow(i16::try_from(*value).map(Datum::Int2)),
        _ => Fit::No,
    }
}

/// What is out of range is the general path's error.
fn narrow(value: Result<Datum, std::num::TryFromIntError>) -> Fit {
    value.map_or(Fit::No, Fit::Resize)
}

/// What a run came to, before the task that loads a page is made.
enum Step {
    Done(u64),
    Missing(PagePtr),
    General,
}

impl Session {
    /// Runs a point statement at once, on the caller's thread; `found` gets the row of a SELECT, in place, at most once.
    /// `now` is asked for at the beginning of a transaction only. Never an error: what fails is for the general path.
    pub fn point(
        &self,
        prepared: &Arc<Prepared>,
        params: &[Datum],
        now: &dyn Fn() -> Micros,
        found: &mut dyn FnMut(&PointRow<'_>),
    ) -> PointStep {
        let Some(mut state) = self.slot.borrow() else { return PointStep::General };
        // Names may mean something else to this session than to others.
        if state.temporary.is_some() || state.settings.path.is_some() {
            return PointStep::General;
        }
        let format = state.settings.format;
        let Some(index) = state.points.find(&self.db, prepared, format) else { return PointStep::General };
        if state.points.entries[index].point.is_none() {
            return PointStep::General;
        }
        let Some(txn) = self.transaction_for(&mut state, index, now) else { return PointStep::General };
        match run_in(&self.db, &txn, &mut state, index, params, found) {
            Step::Done(row_count) => {
                let entry = &mut state.points.entries[index];
                entry.calls += 1;
                entry.rows += row_count;
                if entry.calls >= COUNTED_CALLS_MAX {
                    state.points.hand_over();
                }
                PointStep::Done(row_count)
            }
            Step::General => PointStep::General,
            Step::Missing(page) => {
                let body = |cx| async move { txn.load(&cx, page).await };
                PointStep::Load(Task::with_cancel(self.db.world.clone(), self.cancel_handle(), body))
            }
        }
    }

    /// The transaction to run it in; `None` when the general path has something to say first.
    fn transaction_for(&self, state: &mut State, index: usize, now: &dyn Fn() -> Micros) -> Option<Arc<Txn>> {
        let entry = &state.points.entries[index];
        let is_write = entry.point.as_ref().is_some_and(|point| point.is_write());
        let Some(explicit) = &mut state.explicit else {
            if is_write {
                return None;
            }
            let options = TxnOptions {
                isolation: state.settings.isolation.isolation(),
                read_only: state.settings.read_only,
            };
            // Nothing of the transaction outlives this call, so nobody asks when it began.
            return self.db.store.begin(options, 0).ok();
        };
        let is_refused = explicit.failed
            || explicit.only_locked
            || explicit.has_open_rows()
            || explicit.own.changed
            || (explicit.read_only && is_write);
        let is_planned_for_it = explicit.level.isolation() == Isolation::ReadCommitted
            || explicit.own.catalog.as_ref().is_some_and(|own| Arc::ptr_eq(own, &entry.catalog));
        if is_refused || !is_planned_for_it {
            return None;
        }
        match &explicit.txn {
            Some(txn) => Some(txn.clone()),
            None => {
                let txn = explicit.txn(&self.db, now()).ok()?;
                state.facts.since.store(explicit.start, Ordering::Relaxed);
                state.facts.txn.store(txn.id().0, Ordering::Relaxed);
                Some(txn)
            }
        }
    }
}

fn run_in(
    db: &Inner,
    txn: &Txn,
    state: &mut State,
    index: usize,
    params: &[Datum],
    found: &mut dyn FnMut(&PointRow<'_>),
) -> Step {
    let PointCache { entries, buffers, .. } = &mut state.points;
    let entry = &entries[index];
    let (Some(point), Bound::Dml(statement)) = (&entry.point, &*entry.bound) else { return Step::General };
    let types = crate::run::param_types(statement);
    let Some(params) = fitting(types, params, &mut buffers.params) else { return Step::General };
    let mode = if point.is_write() { TableLock::RowExclusive } else { TableLock::AccessShare };
    let is_locked = txn.begin_statement().is_ok() && txn.try_lock_table(point.table().id, mode) == Ok(true);
    if !is_locked || db.schema.quiet_epoch() != Some(entry.epoch) {
        return Step::General;
    }
    let mut take = |row: &PointRow<'_>| {
        found(row);
        Ok(())
    };
    match point.try_run(&db.world, txn, params, &mut buffers.scratch, &mut take) {
        Ok(PointOutcome::Done(row_count)) => Step::Done(row_count),
        Ok(PointOutcome::Missing(page)) => Step::Missing(page),
        Ok(PointOutcome::Fallback) | Err(_) => Step::General,
    }
}
