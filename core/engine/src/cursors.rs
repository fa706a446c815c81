//! Cursors: a query's rows, kept, and a place among them.
//!
//! Invariants:
//! 1. The rows are those of the snapshot DECLARE took: the query runs to its end there. What it keeps is bounded by `work_mem`.
//! 2. A cursor that is not held lives in the transaction that declared it; ROLLBACK TO closes those that are younger than the
//!    savepoint. A held one is the session's once that transaction committed.

use crate::bind::{self, Ready};
use crate::plans::Prepared;
use crate::result::{Execution, Link, Rows, Tag};
use crate::run::Running;
use crate::session::{Session, State};
use arrow_array::Array as _;
use orrery_base::{Error, Result, SqlState};
use orrery_sql::bind::Bound;
use orrery_sql::exec::{Batch, Query};
use orrery_sql::parse::ast::{Declare, Fetch, FetchStep};
use orrery_sql::parse::shift;
use orrery_sql::plan::{Field, Statement};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The cursors of a session.
#[derive(Default)]
pub(crate) struct Cursors {
    open: BTreeMap<String, Cursor>,
    /// How many were ever declared.
    count: u64,
}

struct Cursor {
    fields: Vec<Field>,
    batches: Vec<Batch>,
    /// In all batches.
    row_count: i64,
    /// 0: before the first row; from 1: on a row; `row_count + 1`: behind the last.
    position: i64,
    forward_only: bool,
    hold: bool,
    /// The transaction that declared it has committed.
    kept: bool,
    /// Its number among all that were declared.
    serial: u64,
}

impl Cursors {
    /// How many were declared so far: what [`Cursors::rolled_back_to`] goes back to.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The transaction committed.
    pub(crate) fn committed(&mut self) {
        self.open.retain(|_, cursor| cursor.hold);
        self.open.values_mut().for_each(|cursor| cursor.kept = true);
    }

    /// The transaction was undone.
    pub(crate) fn rolled_back(&mut self) {
        self.open.retain(|_, cursor| cursor.kept);
    }

    /// The transaction went back to a savepoint, when so many had been declared.
    pub(crate) fn rolled_back_to(&mut self, count: u64) {
        self.open.retain(|_, cursor| cursor.kept || cursor.serial <= count);
    }

    fn find(&mut self, name: &str) -> Result<&mut Cursor> {
        self.open.get_mut(name).ok_or_else(|| {
            Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
        })
    }
}

/// DECLARE: runs the query to its end. Errors: 25P01 outside of a block, 42P03, 53200 when the rows are too many to keep, and
/// those of the query.
pub(crate) async fn declare(running: &mut Running<'_>, declare: &Declare) -> Result<Execution> {
    let Declare { name, scroll, hold, statement } = declare;
    if running.is_implicit && !hold {
        let message = "DECLARE CURSOR can only be used in transaction blocks";
        return Err(Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
    }
    if running.state.cursors.open.contains_key(&name.text) {
        let message = format!("cursor \"{}\" already exists", name.text);
        return Err(Error::new(SqlState::DUPLICATE_CURSOR, message));
    }
    if let Some(as_of) = &statement.as_of {
        let refused = Error::unsupported("DECLARE CURSOR with AS OF SYSTEM TIME").at(as_of.at);
        return Err(shift(refused, statement.offset_chars));
    }
    let prepared = Arc::new(Prepared::new(statement.clone(), Vec::new()));
    let shifted = |error| shift(error, statement.offset_chars);
    let ready: Ready = bind::prepare_to_run(&running.session.db, running.cx, running.scope, &prepared)
        .await
        .map_err(shifted)?;
    let Bound::Dml(Statement::Query(plan)) = &*ready.bound else {
        return Err(Error::unsupported("DECLARE CURSOR of a change in WITH"));
    };
    let context = running.context(&ready.catalog, &plan.param_types, &[])?;
    let fields = plan.root.fields.clone();
    let mut query = Query::open(Arc::new(plan.clone()), context);
    let (mut batches, mut row_count, mut bytes) = (Vec::new(), 0, 0);
    while let Some(batch) = query.next(running.cx).await.map_err(shifted)? {
        bytes += batch.columns.iter().map(|column| column.get_array_memory_size()).sum::<usize>();
        if bytes > running.state.settings.work_memory_bytes {
            let message = "the rows of a cursor do not fit into work_mem";
            return Err(Error::new(SqlState::OUT_OF_MEMORY, message));
        }
        row_count += batch.row_count as i64;
        batches.push(batch);
    }
    let cursors = &mut running.state.cursors;
    cursors.count += 1;
    let cursor = Cursor {
        fields,
        batches,
        row_count,
        position: 0,
        forward_only: *scroll == Some(false),
        hold: *hold,
        kept: running.is_implicit,
        serial: cursors.count,
    };
    cursors.open.insert(name.text.clone(), cursor);
    Ok(Execution::Done(Tag::command("DECLARE CURSOR")))
}

/// FETCH and MOVE. Errors: 34000, 55000 when the cursor goes forward only.
pub(crate) fn fetch(session: &Session, state: &mut State, fetch: &Fetch) -> Result<Execution> {
    let Fetch { name, step, moves } = fetch;
    let cursor = state.cursors.find(&name.text)?;
    let run = cursor.step(*step)?;
    if *moves {
        return Ok(Execution::Done(Tag::rows("MOVE", run.count)));
    }
    let link = Link::detached(session);
    let tag = Tag::rows("FETCH", run.count);
    Ok(Execution::Rows(Rows::of_batches(cursor.rows(&run), cursor.fields.clone(), tag, link)))
}

/// CLOSE. Errors: 34000.
pub(crate) fn close(state: &mut State, name: Option<&str>) -> Result<Tag> {
    match name {
        None => {
            state.cursors.open.clear();
            Ok(Tag::command("CLOSE CURSOR ALL"))
        }
        Some(name) => {
            state.cursors.find(name)?;
            state.cursors.open.remove(name);
            Ok(Tag::command("CLOSE CURSOR"))
        }
    }
}

/// Rows that a step passes over.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    /// The first one, from 1.
    first: i64,
    count: u64,
    /// They come in the opposite order, `first` first.
    backward: bool,
}

impl Cursor {
    /// Goes there, and says which rows that gives.
    fn step(&mut self, step: FetchStep) -> Result<Run> {
        let end = self.row_count + 1;
        let (from, wanted) = match step {
            FetchStep::Forward(count) => return self.go(count),
            FetchStep::Backward(count) => return self.go(count.saturating_neg()),
            FetchStep::Absolute(row) if row < 0 => (self.position, end.saturating_add(row).max(0)),
            FetchStep::Absolute(row) => (self.position, row.min(end)),
            FetchStep::Relative(rows) => (self.position, self.position.saturating_add(rows).clamp(0, end)),
        };
        if wanted < from || wanted == from && (1..end).contains(&wanted) {
            self.check_backward()?;
        }
        self.position = wanted;
        let count = u64::from((1..end).contains(&wanted));
        Ok(Run { first: wanted, count, backward: false })
    }

    /// So many rows on, or back.
    fn go(&mut self, count: i64) -> Result<Run> {
        let (from, end) = (self.position, self.row_count + 1);
        if count > 0 {
            let to = from.saturating_add(count).min(end);
            self.position = to;
            let count = to.min(self.row_count) - from;
            return Ok(Run { first: from + 1, count: count.max(0) as u64, backward: false });
        }
        if count < 0 {
            self.check_backward()?;
            let to = from.saturating_add(count).max(0);
            self.position = to;
            return Ok(Run { first: from - 1, count: (from - to.max(1)).max(0) as u64, backward: true });
        }
        // The row it stands on, again.
        let is_on_row = (1..end).contains(&from);
        if is_on_row {
            self.check_backward()?;
        }
        Ok(Run { first: from, count: u64::from(is_on_row), backward: false })
    }

    fn check_backward(&self) -> Result<()> {
        if !self.forward_only {
            return Ok(());
        }
        let message = "cursor can only scan forward";
        let hint = "Declare it with SCROLL option to enable backward scan.";
        Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).with_hint(hint))
    }

    fn rows(&self, run: &Run) -> Vec<Batch> {
        let Run { first, count, backward } = *run;
        let count = count as i64;
        if backward {
            return (0..count).flat_map(|back| self.slice(first - back, 1)).collect();
        }
        self.slice(first, count)
    }

    /// So many rows from this one on.
    fn slice(&self, first: i64, count: i64) -> Vec<Batch> {
        let (mut skip, mut left) = (first as usize - usize::from(first > 0), count as usize);
        let mut slices = Vec::new();
        for batch in &self.batches {
            if left == 0 {
                break;
            }
            if skip >= batch.row_count {
                skip -= batch.row_count;
                continue;
            }
            let row_count = left.min(batch.row_count - skip);
            let columns = batch.columns.iter().map(|column| column.slice(skip, row_count)).collect();
            slices.push(Batch { columns, row_count });
            (skip, left) = (0, left - row_count);
        }
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(row_count: i64) -> Cursor {
        Cursor {
            fields: Vec::new(),
            batches: Vec::new(),
            row_count,
            position: 0,
            forward_only: false,
            hold: false,
            kept: false,
            serial: 1,
        }
    }

    #[test]
    fn steps_stop_at_the_ends() {
        let mut it = cursor(3);
        let run = |first, count, backward| Run { first, count, backward };
        assert_eq!(it.step(FetchStep::Forward(2)).unwrap(), run(1, 2, false));
        assert_eq!(it.step(FetchStep::Forward(0)).unwrap(), run(2, 1, false));
        assert_eq!(it.step(FetchStep::Forward(i64::MAX)).unwrap(), run(3, 1, false));
        assert_eq!(it.position, 4);
        assert_eq!(it.step(FetchStep::Forward(1)).unwrap().count, 0);
        assert_eq!(it.step(FetchStep::Backward(2)).unwrap(), run(3, 2, true));
        assert_eq!(it.step(FetchStep::Backward(i64::MAX)).unwrap(), run(1, 1, true));
        assert_eq!(it.position, 0);
        assert_eq!(it.step(FetchStep::Absolute(-1)).unwrap(), run(3, 1, false));
        assert_eq!(it.step(FetchStep::Relative(-2)).unwrap(), run(1, 1, false));
        assert_eq!(it.step(FetchStep::Absolute(9)).unwrap().count, 0);
        assert_eq!(it.step(FetchStep::Absolute(-9)).unwrap().count, 0);
        assert_eq!(it.step(FetchStep::Backward(i64::MIN)).unwrap(), run(1, 3, false));
    }

    #[test]
    fn forward_only_never_goes_back() {
        let mut it = Cursor { forward_only: true, ..cursor(3) };
        it.step(FetchStep::Forward(2)).unwrap();
        for step in [FetchStep::Backward(1), FetchStep::Forward(0), FetchStep::Absolute(1)] {
            let code = it.step(step).unwrap_err().code();
            assert_eq!(code, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        }
        assert_eq!(it.step(FetchStep::Relative(1)).unwrap().first, 3);
    }
}
