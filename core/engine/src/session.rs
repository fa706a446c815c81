//! Sessions: one user's conversation. One statement at a time; between statements the state rests in a slot.

use crate::copy::{CopyIn, CopyOut};
use crate::database::Inner;
use crate::describe::{self, TableDescription};
use crate::export::{self, SchemaScript};
use crate::live::SessionFacts;
use crate::plans::Prepared;
use crate::point::PointCache;
use crate::result::Execution;
use crate::run::{self, Params};
use crate::settings::Settings;
use crate::statements::StatementRun;
use crate::transaction::Explicit;
use orrery_base::kv::Transaction;
use orrery_base::task::{Cancel, Task, lock};
use orrery_base::{Error, Result, SqlState, Timestamp};
use orrery_sql::datum::Datum;
use orrery_sql::exec::Batch;
use orrery_sql::functions::SessionSequences;
use orrery_sql::parse;
use orrery_sql::types::SqlType;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A session. Its methods give tasks that borrow nothing; running two at once is an error (55006), not a race.
#[derive(Clone)]
pub struct Session {
    pub(crate) db: Arc<Inner>,
    pub(crate) slot: StateSlot,
    cancel: Cancel,
    id: u64,
}

/// What a session remembers between statements.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) settings: Arc<Settings>,
    /// What others may know of it.
    pub(crate) facts: Arc<SessionFacts>,
    /// The statement that runs.
    pub(crate) run: Option<Arc<StatementRun>>,
    pub(crate) explicit: Option<Explicit>,
    pub(crate) prepared: BTreeMap<String, Arc<Prepared>>,
    pub(crate) points: PointCache,
    pub(crate) cursors: crate::cursors::Cursors,
    /// Where its temporary tables are, once it made one.
    pub(crate) temporary: Option<Arc<crate::temporary::TemporarySpace>>,
    /// Where it looks for names.
    pub(crate) path: Arc<crate::path::PathView>,
    /// What `currval` and `lastval` tell.
    pub(crate) sequences: Arc<SessionSequences>,
    /// The advisory locks it holds.
    pub(crate) advisory: crate::advisory::Advisory,
    /// What `random()` draws from.
    pub(crate) random: orrery_sql::functions::Randomness,
    /// See [`Session::last_snapshot`]; of the newest statement outside a transaction block.
    pub(crate) last_snapshot: Option<Timestamp>,
    /// See [`Session::last_commit`].
    pub(crate) last_commit: Option<Timestamp>,
}

impl Drop for State {
    fn drop(&mut self) {
        // The transaction's own go with it.
        self.explicit = None;
        self.advisory.end();
        self.points.hand_over();
    }
}

/// Where the state rests; empty while a statement runs.
#[derive(Clone)]
pub(crate) struct StateSlot(Arc<Mutex<Option<Box<State>>>>);

/// The state in a statement's hands. Goes back to its slot when dropped; if the statement did not say that it ended well,
/// an explicit transaction has failed.
pub(crate) struct StateGuard {
    state: Option<Box<State>>,
    slot: StateSlot,
    ended_well: bool,
}

impl StateSlot {
    /// Errors: 55006 while another statement of the session runs.
    pub(crate) fn take(&self) -> Result<StateGuard> {
        let state = lock(&self.0).take();
        let state = state.ok_or_else(|| {
            Error::new(SqlState::OBJECT_IN_USE, "another statement of this session is still running")
        })?;
        Ok(StateGuard { state: Some(state), slot: self.clone(), ended_well: false })
    }

    /// Takes the state for a moment in which nothing suspends. `None` while a statement runs.
    pub(crate) fn borrow(&self) -> Option<StateLoan<'_>> {
        let state = lock(&self.0).take();
        state.map(|state| StateLoan { state: Some(state), slot: self })
    }

    /// A result of an explicit transaction met an error while it was read.
    pub(crate) fn fail_transaction(&self) {
        if let Some(explicit) = lock(&self.0).as_mut().and_then(|state| state.explicit.as_mut()) {
            explicit.fail();
        }
    }
}

/// The state, out of its slot for a moment. It goes back when this is dropped.
pub(crate) struct StateLoan<'a> {
    state: Option<Box<State>>,
    slot: &'a StateSlot,
}

impl std::ops::Deref for StateLoan<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        self.state.as_ref().expect("a loan holds the state until it is dropped")
    }
}

impl std::ops::DerefMut for StateLoan<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_mut().expect("a loan holds the state until it is dropped")
    }
}

impl Drop for StateLoan<'_> {
    fn drop(&mut self) {
        *lock(&self.slot.0) = self.state.take();
    }
}

impl StateGuard {
    /// The statement did what it was asked to.
    pub(crate) fn ended_well(&mut self) {
        self.ended_well = true;
    }

    /// The slot the state came from.
    pub(crate) fn slot(&self) -> &StateSlot {
        &self.slot
    }
}

impl std::ops::Deref for StateGuard {
    type Target = State;
    fn deref(&self) -> &State {
        self.state.as_ref().expect("a guard holds the state until it is dropped")
    }
}

impl std::ops::DerefMut for StateGuard {
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_mut().expect("a guard holds the state until it is dropped")
    }
}

impl Drop for StateGuard {
    fn drop(&mut self) {
        if !self.ended_well
            && let Some(explicit) = &mut self.explicit
        {
            explicit.fail();
        }
        *lock(&self.slot.0) = self.state.take();
    }
}

impl Session {
    pub(crate) fn new(db: Arc<Inner>, id: u64) -> Self {
        // Each session draws its own numbers, whatever the others do.
        let seed = orrery_base::hash::hash64(db.seed, &id.to_le_bytes());
        let mut state = Box::<State>::default();
        state.random = orrery_sql::functions::Randomness::new(seed);
        state.facts = Arc::new(SessionFacts { id, ..SessionFacts::default() });
        db.sessions.add(&state.facts);
        let slot = StateSlot(Arc::new(Mutex::new(Some(state))));
        Session { db, slot, cancel: Cancel::default(), id }
    }

    /// Its number, unique while the database is open.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What texts of values depend on now; the defaults while a statement runs.
    pub fn format(&self) -> orrery_sql::text::FormatSettings {
        self.slot.borrow().map_or_else(Default::default, |state| state.settings.format)
    }

    /// The handle that cancels whatever statement is running (57014).
    pub fn cancel_handle(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Whether a transaction block is open, and whether it has failed: `None`, `Some(false)`, `Some(true)`.
    pub fn transaction_status(&self) -> Option<bool> {
        let state = lock(&self.slot.0);
        state.as_ref().and_then(|state| state.explicit.as_ref()).map(|explicit| explicit.failed)
    }

    /// Where the newest statement read: its snapshot.
    pub fn last_snapshot(&self) -> Option<Timestamp> {
        let state = lock(&self.slot.0);
        let state = state.as_ref()?;
        let open = state.explicit.as_ref().and_then(|explicit| explicit.txn.as_ref());
        open.map(|txn| txn.snapshot_timestamp()).or(state.last_snapshot)
    }

    /// When the session's newest commit happened.
    pub fn last_commit(&self) -> Option<Timestamp> {
        lock(&self.slot.0).as_ref().and_then(|state| state.last_commit)
    }

    /// Parses a text of any number of statements. Errors: 42601, 0A000, 54001, with positions in the whole text; they fail an
    /// open transaction block.
    pub fn parse(&self, text: &str) -> Result<Vec<Arc<Prepared>>> {
        let all = parse::statements(text).inspect_err(|_| self.slot.fail_transaction())?;
        Ok(all.into_iter().map(|parsed| Arc::new(Prepared::new(Arc::new(parsed), Vec::new()))).collect())
    }

    /// Parses a text of one statement, or finds it in the plan cache. Names and types are checked at execution. Errors: as
    /// [`Session::parse`].
    pub fn prepare(&self, text: &str) -> Result<Arc<Prepared>> {
        self.db.plans.get(text).inspect_err(|_| self.slot.fail_transaction())
    }

    /// Runs one statement. Parameters are cast to the types the statement gives them. Errors leave the database as it was;
    /// inside a transaction block they fail the block (25P02 until ROLLBACK). Dropping the task cancels the statement, up
    /// to the point of no return of its commit.
    pub fn execute(&self, prepared: &Arc<Prepared>, params: Vec<Datum>) -> Task<Result<Execution>> {
        self.cancel.reset();
        let (session, prepared) = (self.clone(), prepared.clone());
        Task::with_cancel(self.db.world.clone(), self.cancel.clone(), move |cx| async move {
            run::statement(&session, &cx, &prepared, Params::One(params)).await
        })
    }

    /// Runs INSERT, UPDATE or DELETE once for each row of `params`, columns of these types, as one statement: all of it or
    /// nothing. The tag counts the rows of all. Errors: as [`Session::execute`]; 42601 for another statement or one that gives
    /// rows.
    pub fn execute_many(
        &self,
        prepared: &Arc<Prepared>,
        types: Vec<SqlType>,
        params: Batch,
    ) -> Task<Result<Execution>> {
        self.cancel.reset();
        let (session, prepared) = (self.clone(), prepared.clone());
        Task::with_cancel(self.db.world.clone(), self.cancel.clone(), move |cx| async move {
            run::statement(&session, &cx, &prepared, Params::Many(types, params)).await
        })
    }

    /// Starts `COPY table FROM STDIN`. Errors: 42601 when the statement is not one.
    pub fn copy_in(&self, prepared: &Arc<Prepared>) -> Task<Result<CopyIn>> {
        self.cancel.reset();
        let (session, prepared) = (self.clone(), prepared.clone());
        Task::with_cancel(self.db.world.clone(), self.cancel.clone(), move |cx| async move {
            CopyIn::begin(&session, &cx, &prepared).await
        })
    }

    /// Starts `COPY … TO STDOUT`. Errors: those of the query; 42601 when the statement is not one.
    pub fn copy_out(&self, prepared: &Arc<Prepared>) -> Task<Result<CopyOut>> {
        self.cancel.reset();
        let (session, prepared) = (self.clone(), prepared.clone());
        Task::with_cancel(self.db.world.clone(), self.cancel.clone(), move |cx| async move {
            if !prepared.is_copy_out() {
                return Err(crate::copy::is_none("COPY … TO STDOUT"));
            }
            CopyOut::of(run::statement(&session, &cx, &prepared, Params::TakesCopy).await?)
        })
    }

    /// Describes the tables as the session sees them now, by name. Errors: 25P02 in a failed transaction block.
    pub fn describe(&self) -> Task<Result<Vec<TableDescription>>> {
        self.cancel.reset();
        let session = self.clone();
        Task::with_cancel(self.db.world.clone(), self.cancel.clone(), move |cx| async move {
            describe::tables(&session, &cx).await
        })
    }

    /// The statements that make the schema anew, as the session sees it now, and how the rows travel. Errors: 25P02 in a failed
    /// transaction block.
    pub fn schema_script(&self) -> Task<Result<SchemaScript>> {
        self.cancel.reset();
        let session = self.clone();
        Task::with_cancel(self.db.world.clone(), self.cancel.clone(), move |cx| async move {
            export::script(&session, &cx).await
        })
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}
