//! An open database: the store, the cached catalog, the plan cache, the sequences.

use crate::check;
use crate::live::Sessions;
use crate::plans::PlanCache;
use crate::schema::SchemaCache;
use crate::sequences::{self, Sequences};
use crate::session::Session;
use crate::state_hash;
use crate::statements::Statements;
use orrery_base::disk::{DiskOp, FileId};
use orrery_base::gauge::Gauge;
use orrery_base::task::{Task, lock};
use orrery_base::{Cx, Result, TreeId, World};
use orrery_store::{CheckFinding, CheckSummary, Store, StoreOptions, StoreStats};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How to open a database.
#[derive(Clone, Debug, Default)]
pub struct DatabaseOptions {
    /// The store's part.
    pub store: StoreOptions,
}

/// An open database. Cheap to clone; sessions of it may live on different threads.
#[derive(Clone)]
pub struct Database(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<Store>,
    pub(crate) schema: Arc<SchemaCache>,
    pub(crate) sequences: Sequences,
    pub(crate) plans: PlanCache,
    pub(crate) sessions: Sessions,
    pub(crate) statements: Arc<Statements>,
    /// What sorts and hash tables hold.
    pub(crate) work: Arc<Gauge>,
    pub(crate) world: Arc<World>,
    /// See `StoreOptions::seed`.
    pub(crate) seed: u64,
    next_session: AtomicU64,
    next_temp_file: AtomicU64,
    /// Temporary files that nobody uses any more.
    temp_trash: Mutex<Vec<u64>>,
    /// Who has temporary tables.
    pub(crate) temporary: crate::temporary::TemporaryNumbers,
}

impl Inner {
    /// A number for a temporary file that nobody else has.
    pub(crate) fn next_temp_file(&self) -> u64 {
        self.next_temp_file.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes a temporary file to be removed.
    pub(crate) fn discard_temp(&self, file: u64) {
        lock(&self.temp_trash).push(file);
    }

    /// Whether temporary files wait to be removed.
    pub(crate) fn has_temp_trash(&self) -> bool {
        !lock(&self.temp_trash).is_empty()
    }

    /// Asks the disk to remove the temporary files that nobody uses any more. A refusal is not waited for: what is left is
    /// emptied at the next open.
    pub(crate) fn empty_temp_trash(&self, cx: &Cx) {
        for file in std::mem::take(&mut *lock(&self.temp_trash)) {
            drop(cx.submit(DiskOp::Remove { file: FileId::Temp(file) }));
        }
    }
}

impl Database {
    /// Opens, makes or recovers a database on the files that the polling driver stands for. Errors: XX001 for damage, the
    /// disk's refusals.
    pub fn open(world: Arc<World>, options: DatabaseOptions) -> Task<Result<Database>> {
        Task::new(world.clone(), move |cx| async move {
            let seed = options.store.seed;
            let store = Store::open(&cx, options.store).await?;
            Ok(Database(Arc::new(Inner {
                store,
                schema: Arc::default(),
                sequences: Sequences::default(),
                plans: PlanCache::default(),
                sessions: Sessions::default(),
                statements: Arc::default(),
                work: Arc::default(),
                world,
                seed,
                next_session: AtomicU64::new(1),
                next_temp_file: AtomicU64::new(1),
                temp_trash: Mutex::default(),
                temporary: Default::default(),
            })))
        })
    }

    /// A new session.
    pub fn session(&self) -> Session {
        Session::new(self.0.clone(), self.0.next_session.fetch_add(1, Ordering::Relaxed))
    }

    /// The store below: the key-value interface, statistics.
    pub fn store(&self) -> &Arc<Store> {
        &self.0.store
    }

    /// The world's hooks.
    pub fn world(&self) -> &Arc<World> {
        &self.0.world
    }

    /// The one long-running task a driver keeps polling beside the sessions: checkpoints, interval syncs, log segments made
    /// ahead of use. It ends when the store is closed.
    pub fn housekeeping(&self) -> Task<Result<()>> {
        let store = self.0.store.clone();
        Task::new(self.0.world.clone(), move |cx| async move { store.housekeeping(&cx).await })
    }

    /// Folds the memtable into the trees.
    pub fn checkpoint(&self) -> Task<Result<()>> {
        let store = self.0.store.clone();
        Task::new(self.0.world.clone(), move |cx| async move { store.checkpoint(&cx).await.map(drop) })
    }

    /// Walks every page, holds every row against its indexes, and says what is wrong where (I8).
    pub fn check(&self) -> Task<Result<(CheckSummary, Vec<CheckFinding>)>> {
        let store = self.0.store.clone();
        Task::new(self.0.world.clone(), move |cx| async move {
            let mut findings = Vec::new();
            let mut summary = store.check(&cx, &mut |finding| findings.push(finding)).await?;
            check::tables(&cx, &store, &mut findings).await?;
            summary.finding_count = findings.len() as u64;
            Ok((summary, findings))
        })
    }

    /// A hash of the logical state: keys and values in order, of all tables, indexes and the trees of `others`. The same for
    /// the same state, whatever machine and driver made it. Reads everything.
    pub fn state_hash(&self, others: Vec<TreeId>) -> Task<Result<u64>> {
        let store = self.0.store.clone();
        Task::new(self.0.world.clone(), move |cx| async move {
            state_hash::state_hash(&cx, &store, &others).await
        })
    }

    /// What is left to do after a result was dropped before its end; `None` when nothing is: its temporary files are removed.
    /// The next statement of any session would do it too.
    pub fn tidy(&self) -> Option<Task<()>> {
        let db = self.0.clone();
        self.0
            .has_temp_trash()
            .then(|| Task::new(self.0.world.clone(), move |cx| async move { db.empty_temp_trash(&cx) }))
    }

    /// Closes cleanly. Sessions still open get 57P03 afterwards.
    pub fn close(&self) -> Task<Result<()>> {
        let db = self.0.clone();
        Task::new(self.0.world.clone(), move |cx| async move {
            // Numbers that cannot be given back are lost, as after a crash; the store is closed all the same.
            let given_back = match db.store.is_poisoned() {
                true => Ok(()),
                false => sequences::give_back(&db, &cx).await,
            };
            db.store.close(&cx).await.and(given_back)
        })
    }

    /// Counters.
    pub fn stats(&self) -> StoreStats {
        self.0.store.stats()
    }
}
