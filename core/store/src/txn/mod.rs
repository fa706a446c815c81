//! Transactions: a snapshot, a private write set, locks, and (SERIALIZABLE) a read set. What they do is in [`read`],
//! [`scan`] and [`api`]; how they end is here.
//!
//! A transaction is open until [`Txn::commit`] or [`Txn::rollback`] takes it; dropping an open one rolls it back. From
//! the point of no return on, its writes and row locks belong to the commit queue.

pub mod api;
pub mod past;
pub mod read;
pub mod scan;

use crate::commit::conflict::ReadSet;
use crate::commit::prepare::Prepared;
use crate::lock::held::HeldLocks;
use crate::lock::session::SessionLocks;
use crate::mem::spill::{Piece, tiers};
use crate::mem::view::{Snapshot, View};
use crate::mem::write_set::WriteSet;
use crate::options::{Durability, TxnOptions};
use crate::pages::Reader;
use crate::recovery::ADOPT_BYTES_MIN;
use crate::store::Store;
use orrery_base::kv::Isolation;
use orrery_base::task::lock;
use orrery_base::time::Micros;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState, Timestamp, TreeId, TxnId, plant, probe};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const OPEN: u8 = 0;
const COMMITTING: u8 = 1;
const ENDED: u8 = 2;

/// The snapshot in use; registered with the views.
pub(crate) struct Reading {
    pub timestamp: Timestamp,
    pub view: Arc<View>,
    pub epoch: u64,
}

/// See the file's head.
pub struct Txn {
    pub(crate) store: Arc<Store>,
    pub(crate) id: TxnId,
    pub(crate) options: TxnOptions,
    state: AtomicU8,
    durability: Mutex<Option<Durability>>,
    reading: RwLock<Option<Reading>>,
    pub(crate) reader: Option<Reader>,
    /// Raised at each statement and savepoint; writes and locks carry it.
    pub(crate) mark: AtomicU32,
    pub(crate) statement_start: AtomicU32,
    pub(crate) writes: Arc<Mutex<WriteSet>>,
    pub(crate) has_writes: AtomicBool,
    pub(crate) held: Mutex<HeldLocks>,
    /// A table lock covers rows, or did.
    pub(crate) has_cover: AtomicBool,
    /// The session it belongs to, if that holds locks of its own.
    pub(crate) session: OnceLock<Arc<SessionLocks>>,
    /// A wait for a lock ends after so long; 0: never.
    pub(crate) lock_timeout_micros: AtomicU64,
    pub(crate) reads: Option<Mutex<ReadSet>>,
    /// Whether the snapshot lies at a time of the caller's choice.
    pub(crate) is_past: bool,
    /// Of a past one.
    pub(crate) lookups: Mutex<past::PastLookups>,
}

impl Txn {
    pub(crate) fn begin(store: Arc<Store>, options: TxnOptions) -> Arc<Txn> {
        let is_validated = options.isolation == Isolation::Serializable && !options.read_only;
        let snapshot = store.views.snapshot(is_validated);
        Txn::with_snapshot(store, options, snapshot, is_validated, false)
    }

    /// See [`Store::begin_at`].
    pub(crate) fn begin_past(store: Arc<Store>, at: Timestamp) -> Arc<Txn> {
        let snapshot = store.views.snapshot_at(at);
        let options = TxnOptions { isolation: Isolation::RepeatableRead, read_only: true };
        Txn::with_snapshot(store, options, snapshot, false, true)
    }

    fn with_snapshot(
        store: Arc<Store>,
        options: TxnOptions,
        snapshot: Snapshot,
        is_validated: bool,
        is_past: bool,
    ) -> Arc<Txn> {
        let id = TxnId(store.next_txn_id.fetch_add(1, Ordering::Relaxed));
        let reading = Reading { timestamp: snapshot.timestamp, view: snapshot.view, epoch: snapshot.epoch };
        let reader = Some(store.take_reader());
        Arc::new(Txn {
            store,
            id,
            options,
            state: AtomicU8::new(OPEN),
            durability: Mutex::new(None),
            reading: RwLock::new(Some(reading)),
            reader,
            mark: AtomicU32::new(1),
            statement_start: AtomicU32::new(1),
            writes: Arc::default(),
            has_writes: AtomicBool::new(false),
            held: Mutex::default(),
            has_cover: AtomicBool::new(false),
            session: OnceLock::new(),
            lock_timeout_micros: AtomicU64::new(0),
            reads: is_validated.then(Mutex::default),
            is_past,
            lookups: Mutex::default(),
        })
    }

    /// When this transaction's commit answers, instead of the store's setting.
    pub fn set_durability(&self, durability: Durability) {
        *lock(&self.durability) = Some(durability);
    }

    /// Waits for locks end after so long, with 55P03; `None`: never.
    pub fn set_lock_timeout(&self, micros: Option<Micros>) {
        self.lock_timeout_micros.store(micros.unwrap_or(0), Ordering::Relaxed);
    }

    /// Says to which session the transaction belongs: whoever waits for what that holds waits for this transaction, while
    /// this waits. The first session counts.
    pub fn set_session(&self, session: &Arc<SessionLocks>) {
        self.session.get_or_init(|| session.clone());
    }

    /// Reads from now on, at any level: nothing was read or written so far but by who says so here. For a transaction that
    /// has only taken locks. Errors: 25000.
    pub fn restart_snapshot(&self) -> Result<()> {
        self.check_open()?;
        let is_validated = self.reads.is_some();
        let fresh = self.store.views.snapshot(is_validated);
        let fresh = Reading { timestamp: fresh.timestamp, view: fresh.view, epoch: fresh.epoch };
        let old = self.reading_mut().replace(fresh);
        if let Some(reads) = &self.reads {
            *lock(reads) = ReadSet::default();
        }
        if let Some(old) = old {
            self.store.views.release(old.timestamp, is_validated);
        }
        Ok(())
    }

    /// The trees that may have a row in its snapshot, in order.
    pub fn trees(&self) -> Vec<TreeId> {
        let Some(view) = self.reading().as_ref().map(|it| it.view.clone()) else { return Vec::new() };
        let mut trees: BTreeSet<TreeId> = view.tree.trees().collect();
        view.layers.iter().for_each(|layer| trees.extend(layer.trees()));
        trees.into_iter().collect()
    }

    /// Errors: 25000 when the transaction has ended.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.state.load(Ordering::Acquire) != OPEN {
            return Err(not_open());
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn reading(&self) -> RwLockReadGuard<'_, Option<Reading>> {
        self.reading.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading_mut(&self) -> RwLockWriteGuard<'_, Option<Reading>> {
        self.reading.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// READ COMMITTED: takes a fresh snapshot if anything was published or merged since.
    pub(crate) fn renew_snapshot(&self) {
        let is_stale = self.reading().as_ref().is_some_and(|it| !self.store.views.is_current(it.epoch));
        if is_stale {
            let fresh = self.store.views.snapshot(false);
            let fresh = Reading { timestamp: fresh.timestamp, view: fresh.view, epoch: fresh.epoch };
            let old = self.reading_mut().replace(fresh);
            if let Some(old) = old {
                self.store.views.release(old.timestamp, false);
            }
        }
    }

    /// Commits. Answers the commit's timestamp (a transaction without writes: its snapshot's). Errors: 25000 when it has
    /// ended already, 40001 when validation fails, 53100, 58030, 57P03 when the store is closed (in all these nothing
    /// is committed and the transaction is rolled back); 08007 when a sync failed and nobody knows. Suspends on the
    /// disk. Dropping the future before the point of no return rolls back; after it, the commit completes anyway.
    pub async fn commit(self: &Arc<Self>, cx: &Cx) -> Result<Timestamp> {
        if self.state.compare_exchange(OPEN, COMMITTING, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Err(not_open());
        }
        let ending = Ending(self);
        let snapshot = self.reading().as_ref().map_or(Timestamp::ZERO, |it| it.timestamp);
        if lock(&self.writes).is_empty() {
            return Ok(snapshot);
        }
        probe!(self.store.world, "commit: asked for");
        self.store.make_room(cx).await?;
        // A commit lies in memory or in pieces, never in both.
        while lock(&self.writes).has_spilled() && self.spill(cx).await? {}
        let writes = std::mem::take(&mut *lock(&self.writes));
        let is_adopted = writes.has_spilled() || writes.byte_count() >= ADOPT_BYTES_MIN;
        let mut sealed = writes.seal(is_adopted);
        if plant!(self.store.world, SpillForgetsRollback) {
            sealed.forget_rollbacks();
        }
        if plant!(self.store.world, SpillPiecesReversed) {
            sealed.reverse_pieces();
        }
        let writes = Arc::new(sealed);
        let frame = self.store.encode(cx, self.id, &writes).await?;
        let durability = lock(&self.durability).unwrap_or_else(|| self.store.durability());
        let needs_sync = durability == Durability::Full;
        let prepared = Prepared { txn: self.id, writes, frame, is_adopted, needs_sync };
        let reads = self.reads.as_ref().map(|reads| std::mem::take(&mut *lock(reads)));
        let reads = reads.as_ref().map(|reads| (reads, snapshot));
        let hand_over = || std::mem::take(&mut *lock(&self.held));
        let slot = self.store.sequence(cx, prepared, reads, hand_over).await?;
        // The point of no return: what is left to end here is the snapshot.
        drop(ending);
        self.store.wait_for(cx, slot).await
    }

    /// Writes out what the write set has in memory. `false`: there is nothing, or nowhere to put it. Errors: 53100, 58030, the disk's; the writes stay
    /// where they are.
    fn spill<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            if self.store.options.in_memory {
                return Ok(false);
            }
            let Some(frozen) = lock(&self.writes).freeze() else { return Ok(false) };
            probe!(self.store.world, "spill: a piece of a write set");
            let filter_bytes_max = self.store.piece_filter_bytes_max(lock(&self.writes).piece_bytes());
            let reserved = self.store.reserve_for_spill(cx, frozen.footprint()).await;
            let written = match reserved {
                Ok(()) => Piece::write(&self.store.pages, cx, &frozen, filter_bytes_max).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(piece) => lock(&self.writes).settle(&frozen, piece),
                Err(error) => {
                    drop(frozen);
                    lock(&self.writes).thaw();
                    return Err(error);
                }
            }
            drop(frozen);
            self.merge_pieces(cx).await?;
            Ok(true)
        })
    }

    /// Merges pieces that have become many. Errors: as [`Txn::spill`], but for a full disk: then they stay as they are.
    async fn merge_pieces(&self, cx: &Cx) -> Result<()> {
        let count = self.store.options.piece_count_max();
        loop {
            let pieces = tiers::to_be_merged(lock(&self.writes).pieces().0, count);
            let Some(pieces) = pieces else { return Ok(()) };
            let merged_bytes: usize = pieces.iter().map(|piece| piece.byte_count()).sum();
            let other_bytes = lock(&self.writes).piece_bytes().saturating_sub(merged_bytes);
            let filter_bytes_max = self.store.piece_filter_bytes_max(other_bytes);
            let reserved = self.store.reserve_for_spill(cx, Piece::footprint_of(&pieces)).await;
            let merged = match reserved {
                Ok(()) => Piece::merge(&self.store.pages, cx, &pieces, filter_bytes_max).await,
                Err(error) => Err(error),
            };
            match merged {
                Ok(merged) => tiers::replace(lock(&self.writes).pieces_mut(), &pieces, merged),
                Err(error) if error.code() == SqlState::DISK_FULL => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Rolls back. No effect on a transaction that has ended or is past its point of no return.
    pub fn rollback(&self) {
        if self.state.compare_exchange(OPEN, ENDED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.end();
        }
    }

    /// Whether it still takes reads and writes.
    pub fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) == OPEN
    }

    /// Gives back whatever it still has.
    fn end(&self) {
        self.state.store(ENDED, Ordering::Release);
        if self.has_writes.load(Ordering::Relaxed) {
            let writes = std::mem::take(&mut *lock(&self.writes));
            drop(writes);
        }
        if let Some(reading) = self.reading_mut().take() {
            self.store.views.release(reading.timestamp, self.reads.is_some());
        }
        lock(&self.held).release_all(&self.store.locks, self.id);
    }
}

/// Ends a committing transaction when dropped: after an error, a dropped future, or the point of no return.
struct Ending<'a>(&'a Arc<Txn>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end();
        self.0.store.forget_chunks(self.0.id);
    }
}

impl Drop for Txn {
    fn drop(&mut self) {
        self.rollback();
        if let Some(reader) = self.reader.take() {
            self.store.give_reader(reader);
        }
    }
}

fn not_open() -> Error {
    Error::new(SqlState::INVALID_TRANSACTION_STATE, "the transaction has ended")
}
