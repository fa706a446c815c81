//! The store: one data file, one log, the views over them, and everybody who waits.
//!
//! Lock order: `install`, then `sequencer`, then the views' and the lock table's own. None is held across an await.

use crate::commit::conflict::ConflictTable;
use crate::commit::gate::Gate;
use crate::commit::queue::{LogState, Sequencer};
use crate::lock::LockTable;
use crate::log::space::LogSpace;
use crate::mem::memtable::Memtable;
use crate::mem::view::{Layer, View, Views};
use crate::observe::{CheckpointLog, CheckpointReason, Gauges};
use crate::options::{Durability, StoreOptions, StoreStats, TxnOptions};
use crate::pages::{
    CheckFinding, CheckSummary, HistoryPlan, LogPosition, PageStore, PageStoreOptions, Reader, StoreState,
};
use crate::txn::Txn;
use orrery_base::disk::{DiskOp, DiskReply, FileId};
use orrery_base::rng::Rng;
use orrery_base::task::lock;
use orrery_base::time::Micros;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState, Timestamp, World};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

/// A counter for [`StoreStats`].
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) commits: Counter,
    pub(crate) batches: Counter,
    pub(crate) syncs: Counter,
    pub(crate) checkpoints: Counter,
}

/// Where the log of each superblock generation begins, by batch number.
pub(crate) struct Generations {
    pub(crate) newer: u64,
    pub(crate) older: u64,
}

impl Generations {
    /// A new generation was written.
    pub(crate) fn push(&mut self, batch_no: u64) {
        self.older = std::mem::replace(&mut self.newer, batch_no);
    }
}

/// See the file's head.
pub struct Store {
    pub(crate) options: StoreOptions,
    pub(crate) world: Arc<World>,
    pub(crate) pages: Arc<PageStore>,
    pub(crate) views: Views,
    pub(crate) locks: LockTable,
    pub(crate) sequencer: Mutex<Sequencer>,
    pub(crate) install: Mutex<()>,
    pub(crate) growing: Gate,
    pub(crate) checkpointing: Gate,
    pub(crate) generations: Mutex<Generations>,
    pub(crate) next_txn_id: AtomicU64,
    pub(crate) data_bytes: AtomicU64,
    pub(crate) retry_not_before: AtomicU64,
    pub(crate) starved_not_before: AtomicU64,
    pub(crate) housekeeping_waker: Mutex<Option<Waker>>,
    pub(crate) has_sync_timer: AtomicBool,
    pub(crate) is_closed: AtomicBool,
    pub(crate) counters: Counters,
    pub(crate) checkpoint_log: CheckpointLog,
    pub(crate) gauges: Gauges,
    /// The memtables' budget: see [`StoreOptions::memtable_budget_bytes`].
    pub(crate) memtable_budget_bytes: AtomicU64,
    readers: Mutex<Vec<Reader>>,
}

/// Reader slots kept for the next transactions.
const READER_COUNT_MAX: usize = 64;

impl Store {
    /// Opens the database, makes it where there is none (unless the options forbid it), recovers it where it was not
    /// closed. Errors: 58P01 where there is none, 58000 for a file that is not ours, XX001 for damage, the disk's.
    /// Suspends on the disk. Dropping the future leaves the database as a crash would.
    pub fn open<'a>(cx: &'a Cx, options: StoreOptions) -> BoxFuture<'a, Result<Arc<Store>>> {
        Box::pin(async move {
            let may_create = options.create && !options.read_only;
            match PageStore::open(cx, page_options(&options)).await {
                Ok((pages, state)) => Store::recover(cx, options, pages, state).await,
                Err(error) if error.code() == SqlState::UNDEFINED_FILE && may_create => {
                    Store::create(cx, options).await
                }
                Err(error) => Err(error),
            }
        })
    }

    async fn create(cx: &Cx, options: StoreOptions) -> Result<Arc<Store>> {
        if let DiskReply::Files(files) = cx.disk(DiskOp::List).await?
            && files.iter().any(|(file, _)| matches!(file, FileId::Log(_)))
        {
            return Err(Error::corrupt("there are log segments but no data file")
                .with_hint("put the data file back, or remove the log segments to start anew"));
        }
        let position = LogPosition { batch_no: 1, ..LogPosition::default() };
        let state =
            StoreState { log_position: position, next_txn_id: 1, clean: true, ..StoreState::default() };
        let pages = PageStore::create(cx, page_options(&options), state.clone()).await?;
        let store = Store::assemble(cx, options, pages, &state);
        store.measure_data(cx).await?;
        Ok(store)
    }

    /// A store at the state of a superblock: what the log says is not in it yet.
    pub(crate) fn assemble(
        cx: &Cx,
        options: StoreOptions,
        pages: Arc<PageStore>,
        state: &StoreState,
    ) -> Arc<Store> {
        let world = cx.world().clone();
        let info = pages.superblock_info();
        let position = state.log_position;
        let older =
            info.older.map_or(position.batch_no, |older| older.log_position.batch_no.min(position.batch_no));
        let log = (!options.in_memory).then(|| LogState {
            space: LogSpace::new(
                position.salt,
                1,
                options.log_segment_first_bytes,
                options.log_segment_max_bytes.max(options.log_segment_first_bytes),
            ),
            database: database_hash(&info.database_id),
            end: position,
            synced_through: position.batch_no.saturating_sub(1),
            sync_wanted: 0,
            unsynced: Vec::new(),
            is_superblock_clean: state.clean,
            is_superblock_in_doubt: false,
        });
        let published = state.commit_timestamp;
        let sequencer = Sequencer {
            log,
            pending: VecDeque::new(),
            flight: None,
            landed: VecDeque::new(),
            installed: position,
            last_timestamp: state.commit_timestamp.max(state.clock_bound),
            conflicts: ConflictTable::new((options.memory_bytes / 16) as usize, published),
            unsealed: BTreeMap::new(),
            poisoned: None,
            sync_waiters: Vec::new(),
        };
        let budget = budget_of(&options, options.memtable_budget_bytes, 0);
        let layers = vec![Arc::new(Layer::Memtable(Memtable::new(budget)))];
        let row_count_max = (options.memory_bytes / 8 / 24).max(1 << 16) as usize;
        Arc::new(Store {
            views: Views::new(View { layers, tree: pages.current() }, published),
            locks: LockTable::new(row_count_max, world.clone()),
            sequencer: Mutex::new(sequencer),
            install: Mutex::default(),
            growing: Gate::default(),
            checkpointing: Gate::default(),
            generations: Mutex::new(Generations { newer: position.batch_no, older }),
            next_txn_id: AtomicU64::new(state.next_txn_id.max(1)),
            data_bytes: AtomicU64::new(0),
            retry_not_before: AtomicU64::new(0),
            starved_not_before: AtomicU64::new(0),
            housekeeping_waker: Mutex::default(),
            has_sync_timer: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            counters: Counters::default(),
            checkpoint_log: CheckpointLog::default(),
            gauges: Gauges::default(),
            memtable_budget_bytes: AtomicU64::new(options.memtable_budget_bytes),
            readers: Mutex::default(),
            options,
            world,
            pages,
        })
    }

    /// Begins a transaction. `now` is not used by its snapshot (I2: the published timestamp is) but by nothing else
    /// either for now. Errors: 57P03 when the store is closed.
    pub fn begin(self: &Arc<Self>, options: TxnOptions, now: Micros) -> Result<Arc<Txn>> {
        let _ = now;
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Error::new(SqlState::CANNOT_CONNECT_NOW, "the database is closed"));
        }
        let read_only = options.read_only || self.options.read_only;
        Ok(Txn::begin(self.clone(), TxnOptions { read_only, ..options }))
    }

    /// Whether a log or data sync failed, so that nothing is written any more (I5).
    pub fn is_poisoned(&self) -> bool {
        lock(&self.sequencer).poisoned.is_some() || self.pages.is_poisoned()
    }

    /// Whether a checkpoint is due: by memtable size, by layers, or by log size.
    pub fn wants_checkpoint(&self) -> bool {
        self.due_checkpoint().is_some()
    }

    /// What a checkpoint is due for, if one is.
    pub(crate) fn due_checkpoint(&self) -> Option<CheckpointReason> {
        let (view, _) = self.views.current();
        let log_bytes = lock(&self.sequencer).log.as_ref().map_or(0, |log| log.space.used_bytes());
        let has_writes = !view.active().is_empty() || view.layers.len() > 1;
        let is_early = has_writes && orrery_base::buggify!(self.world, "checkpoint: start early");
        if view.active().byte_count() >= self.memtable_budget() {
            Some(CheckpointReason::Memtable)
        } else if view.layers.len() > 1 {
            Some(CheckpointReason::Layer)
        } else if has_writes && log_bytes >= self.log_budget() {
            Some(CheckpointReason::Log)
        } else {
            is_early.then_some(CheckpointReason::Early)
        }
    }

    /// The page store: for tools that walk it.
    pub fn pages(&self) -> &Arc<PageStore> {
        &self.pages
    }

    /// The newest published commit.
    pub fn published(&self) -> Timestamp {
        self.views.published()
    }

    /// Walks every page of the data file (I8). Errors: the disk's; damage is reported, not an error.
    pub async fn check(
        &self,
        cx: &Cx,
        report: &mut (dyn FnMut(CheckFinding) + Send),
    ) -> Result<CheckSummary> {
        // A checkpoint would change what is reachable while it is looked at.
        let _passage = self.checkpointing.enter().await;
        self.pages.check(cx, report).await
    }

    /// Figures.
    pub fn stats(&self) -> StoreStats {
        let (view, published) = self.views.current();
        StoreStats {
            commit_count: self.counters.commits.get(),
            batch_count: self.counters.batches.get(),
            sync_count: self.counters.syncs.get(),
            checkpoint_count: self.counters.checkpoints.get(),
            memtable_bytes: view.byte_count(),
            layer_count: view.layers.len() as u64,
            log_bytes: lock(&self.sequencer).log.as_ref().map_or(0, |log| log.space.used_bytes()),
            row_lock_count: self.locks.row_count() as u64,
            lock_wait_count: self.locks.waiting_count() as u64,
            snapshot_count: self.views.snapshot_count(),
            published,
            pool: self.pages.pool_stats(),
        }
    }

    /// A reader slot of the pool, used again where one is free.
    pub(crate) fn take_reader(&self) -> Reader {
        let free = lock(&self.readers).pop();
        free.unwrap_or_else(|| self.pages.reader())
    }

    /// Gives a reader slot back.
    pub(crate) fn give_reader(&self, reader: Reader) {
        let mut readers = lock(&self.readers);
        if readers.len() < READER_COUNT_MAX {
            readers.push(reader);
        }
    }

    pub(crate) fn memtable_budget(&self) -> u64 {
        let given = self.memtable_budget_bytes.load(Ordering::Relaxed);
        budget_of(&self.options, given, self.data_bytes.load(Ordering::Relaxed))
    }

    fn log_budget(&self) -> u64 {
        match self.options.log_budget_bytes {
            0 => (4 * self.memtable_budget()).max(64 << 20),
            bytes => bytes,
        }
    }

    pub(crate) fn write_set_budget(&self) -> usize {
        match self.options.write_set_budget_bytes {
            0 => (self.options.memory_bytes / 2) as usize,
            bytes => bytes as usize,
        }
    }

    /// Bytes of a write set from which on it is written out, if its transaction gets to it.
    pub(crate) fn spill_bytes_min(&self) -> usize {
        match self.options.spill_bytes_min {
            0 => self.write_set_budget() / 4,
            bytes => bytes as usize,
        }
    }

    /// Bytes that the filter of one more piece may take beside those that there are.
    pub(crate) fn piece_filter_bytes_max(&self, piece_bytes: usize) -> usize {
        if orrery_base::buggify!(self.world, "spill: no room for a filter") {
            return 0;
        }
        (self.write_set_budget() / 8).saturating_sub(piece_bytes)
    }

    /// Whether replaced versions are kept, so that the past can be read.
    pub fn keeps_history(&self) -> bool {
        self.options.history_micros > 0
    }

    /// What a checkpoint up to `to` does with replaced versions.
    pub(crate) fn history_plan(&self, now: Micros, to: Timestamp) -> HistoryPlan {
        let bytes_max = match self.options.history_bytes_max {
            0 => (64 << 20).max(self.data_bytes.load(Ordering::Relaxed) / 5),
            bytes => bytes,
        };
        let expire_before = Timestamp::from_micros(now.saturating_sub(self.options.history_micros));
        let hides_expiry = orrery_base::plant!(self.world, HistoryHidesExpiry);
        HistoryPlan {
            is_kept: self.keeps_history(),
            to,
            expire_before,
            bytes_max,
            hides_expiry,
            ..HistoryPlan::default()
        }
    }

    /// No version that somebody may read is older: the memtable may forget those before.
    pub(crate) fn oldest_readable(&self) -> Timestamp {
        if self.keeps_history() { Timestamp::ZERO } else { self.views.oldest_snapshot() }
    }

    /// When commits answer, unless a transaction says otherwise.
    pub fn durability(&self) -> Durability {
        self.options.durability
    }

    /// Asks how large the data file is: the default memtable grows with it.
    pub(crate) async fn measure_data(&self, cx: &Cx) -> Result<()> {
        if let DiskReply::Len(len) = cx.disk(DiskOp::Len { file: FileId::Data }).await? {
            self.data_bytes.store(len, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn budget_of(options: &StoreOptions, given: u64, data_bytes: u64) -> u64 {
    match given {
        0 => (options.memory_bytes / 8).min((16 << 20).max(data_bytes / 4)),
        bytes => bytes,
    }
}

pub(crate) fn page_options(options: &StoreOptions) -> PageStoreOptions {
    let mut database_id = [0; 16];
    Rng::fork(options.seed, "database id").fill(&mut database_id);
    PageStoreOptions {
        page_unit_bytes: options.page_unit_bytes,
        pool_budget_bytes: options.pool_budget_bytes,
        database_id,
    }
}

pub(crate) fn database_hash(database_id: &[u8; 16]) -> u64 {
    orrery_base::hash::hash64(0, database_id)
}
