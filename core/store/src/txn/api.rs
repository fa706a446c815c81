//! [`Transaction`] for [`Txn`]: the door through which SQL comes in.

use super::Txn;
use crate::lock::session::SessionLocks;
use crate::lock::{
    Asker, Attempt, LockId, Modes, WaitOutcome, WaitSlot, deadlock, not_available, row_mode, table_mode,
    timed_out,
};
use crate::mem::write_set::OwnWrite;
use orrery_base::kv::{
    AdvisoryKey, AdvisoryMode, AdvisoryScope, Isolation, KeyRange, Lookup, ReadMode, RowLock, Savepoint,
    Scan, TableLock, Transaction, Wait,
};
use orrery_base::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use orrery_base::task::lock;
use orrery_base::{BoxFuture, Cx, Error, PagePtr, Result, SqlState, Timestamp, TreeId, TxnId, plant, probe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

impl Transaction for Txn {
    fn id(&self) -> TxnId {
        self.id
    }

    fn isolation(&self) -> Isolation {
        self.options.isolation
    }

    fn snapshot_timestamp(&self) -> Timestamp {
        self.reading().as_ref().map_or(Timestamp::ZERO, |it| it.timestamp)
    }

    fn begin_statement(&self) -> Result<()> {
        self.check_open()?;
        let mark = self.mark.fetch_add(1, Ordering::Relaxed) + 1;
        self.statement_start.store(mark, Ordering::Relaxed);
        if self.options.isolation == Isolation::ReadCommitted {
            self.renew_snapshot();
        }
        Ok(())
    }

    fn get(&self, tree: TreeId, key: &[u8], mode: ReadMode, found: &mut dyn FnMut(&[u8])) -> Result<Lookup> {
        self.read_key(tree, key, mode, found)
    }

    fn load<'a>(&'a self, cx: &'a Cx, missing: PagePtr) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.is_past && missing.unit_count > 1 {
                let long = self.store.pages.read_long(cx, missing).await?;
                lock(&self.lookups).long.push(long);
                return Ok(());
            }
            self.store.pages.load(cx, missing).await
        })
    }

    fn scan(&self, tree: TreeId, range: KeyRange, mode: ReadMode, reverse: bool) -> Result<Box<dyn Scan>> {
        if self.is_past {
            return Ok(Box::new(self.scan_past(tree, range, reverse)?));
        }
        Ok(Box::new(self.scan_range(tree, range, mode, reverse)?))
    }

    fn split(&self, tree: TreeId, range: &KeyRange, parts: usize) -> Vec<KeyRange> {
        match self.reading().as_ref() {
            Some(reading) => self.store.pages.split(&reading.view.tree, tree, range, parts),
            None => vec![range.clone()],
        }
    }

    fn estimated_row_count(&self, tree: TreeId) -> u64 {
        let Some((view, _)) = self.reading().as_ref().map(|it| (it.view.clone(), it.timestamp)) else {
            return 0;
        };
        let in_tree = self.store.pages.tree_stats(&view.tree, tree).entry_count;
        // New and changed rows cannot be told apart without reading the tree: an estimate from above.
        in_tree + view.layers.iter().map(|layer| layer.entry_count(tree)).sum::<u64>()
    }

    fn estimated_byte_count(&self, tree: TreeId) -> u64 {
        let view = self.reading().as_ref().map(|it| it.view.clone());
        view.map_or(0, |view| self.store.pages.tree_stats(&view.tree, tree).page_bytes)
    }

    fn put(&self, tree: TreeId, key: &[u8], value: &[u8]) -> Result<()> {
        if value.len() > VALUE_BYTES_MAX {
            let detail = format!("it has {} bytes; the limit is {VALUE_BYTES_MAX}", value.len());
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "value is too long").with_detail(detail));
        }
        self.write(tree, key, Some(value))
    }

    fn delete(&self, tree: TreeId, key: &[u8]) -> Result<()> {
        self.write(tree, key, None)
    }

    fn drop_tree(&self, tree: TreeId) -> Result<()> {
        self.check_writable()?;
        lock(&self.writes).drop_tree(tree, self.mark.load(Ordering::Relaxed));
        self.has_writes.store(true, Ordering::Release);
        Ok(())
    }

    #[inline]
    fn wants_relief(&self) -> bool {
        self.has_writes.load(Ordering::Relaxed)
            && (lock(&self.writes).byte_count() >= self.store.spill_bytes_min()
                || lock(&self.held).are_many(&self.store.locks))
    }

    fn cover_rows(&self, table: TreeId, trees: &[TreeId]) -> Result<()> {
        let is_due = {
            let held = lock(&self.held);
            held.are_many(&self.store.locks) && !trees.iter().all(|tree| held.covers(*tree))
        };
        if is_due && self.try_lock_table(table, TableLock::Exclusive)? {
            probe!(self.store.world, "lock: a table instead of rows");
            let mut held = lock(&self.held);
            if self.is_open() {
                held.cover(trees, self.mark.load(Ordering::Relaxed));
                self.has_cover.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn relieve<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if lock(&self.writes).byte_count() >= self.store.spill_bytes_min() {
                self.spill(cx).await?;
            }
            Ok(())
        })
    }

    fn savepoint(&self) -> Savepoint {
        Savepoint(u64::from(self.mark.fetch_add(1, Ordering::Relaxed) + 1))
    }

    fn rollback_to(&self, savepoint: Savepoint) {
        self.undo_writes_to(savepoint);
        lock(&self.held).rollback_to(mark_of(savepoint), &self.store.locks, self.id);
    }

    fn undo_writes_to(&self, savepoint: Savepoint) {
        if !plant!(self.store.world, RollbackKeepsWrites) {
            let keeps_some = lock(&self.writes).rollback_to(mark_of(savepoint));
            if keeps_some {
                probe!(self.store.world, "spill: rolled back to a savepoint within a piece");
                // What comes next must not be taken for what was undone.
                self.mark.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn try_lock(&self, tree: TreeId, key: &[u8], mode: RowLock) -> Result<bool> {
        if self.covers(tree)? {
            return Ok(true);
        }
        self.attempt(LockId::of_row(tree, key), row_mode(mode))
    }

    fn lock<'a>(
        &'a self,
        cx: &'a Cx,
        tree: TreeId,
        key: &'a [u8],
        mode: RowLock,
        wait: Wait,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            if self.covers(tree)? {
                return Ok(true);
            }
            self.acquire(cx, LockId::of_row(tree, key), Some((tree, key)), row_mode(mode), wait).await
        })
    }

    fn try_lock_table(&self, table: TreeId, mode: TableLock) -> Result<bool> {
        if lock(&self.held).has_table_mode(table, table_mode(mode)) {
            return Ok(true);
        }
        self.attempt(LockId::Table(table), table_mode(mode))
    }

    fn lock_table<'a>(
        &'a self,
        cx: &'a Cx,
        table: TreeId,
        mode: TableLock,
        wait: Wait,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.acquire(cx, LockId::Table(table), None, table_mode(mode), wait))
    }
}

fn mark_of(savepoint: Savepoint) -> u32 {
    u32::try_from(savepoint.0).expect("savepoints come from the 32-bit mark")
}

impl Txn {
    /// Makes own writes so far visible to snapshot reads, without renewing the snapshot: for the key-value interface,
    /// whose every write is a statement of its own.
    pub(crate) fn begin_own_statement(&self) -> Result<()> {
        let mark = self.mark.fetch_add(1, Ordering::Relaxed) + 1;
        self.statement_start.store(mark, Ordering::Relaxed);
        Ok(())
    }

    /// Whether this transaction itself deleted the key.
    pub(crate) fn has_deleted(&self, tree: TreeId, key: &[u8]) -> bool {
        matches!(lock(&self.writes).get(tree, key, u32::MAX), OwnWrite::Deleted)
    }

    fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.options.read_only {
            return Err(Error::new(
                SqlState::READ_ONLY_SQL_TRANSACTION,
                "cannot write in a read-only transaction",
            ));
        }
        Ok(())
    }

    #[inline]
    fn write(&self, tree: TreeId, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.check_writable()?;
        if key.len() > KEY_BYTES_MAX {
            let detail = format!("it has {} bytes; the limit is {KEY_BYTES_MAX}", key.len());
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "key is too long").with_detail(detail));
        }
        let mut writes = lock(&self.writes);
        if writes.byte_count() > self.store.write_set_budget() {
            return Err(Error::new(
                SqlState::OUT_OF_MEMORY,
                "the transaction's changes do not fit into memory",
            )
            .with_hint("commit more often, or raise the store's memory"));
        }
        writes.write(tree, key, value, self.mark.load(Ordering::Relaxed));
        writes.count_in(&self.store.gauges.write_sets);
        drop(writes);
        self.has_writes.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether row locks of a tree need not be taken. Errors: 25000.
    #[inline]
    fn covers(&self, tree: TreeId) -> Result<bool> {
        if !self.has_cover.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.check_open()?;
        Ok(lock(&self.held).covers(tree))
    }

    fn attempt(&self, id: LockId, mode: u8) -> Result<bool> {
        self.check_open()?;
        if let LockId::Row(hash) = id {
            let held = lock(&self.held);
            let mark = self.mark.load(Ordering::Relaxed);
            if self.is_open() && held.take_private(hash, mode, mark, &self.store.locks) {
                return Ok(true);
            }
        }
        Ok(match self.store.locks.attempt(id, self.id, mode)? {
            Attempt::Held => true,
            Attempt::Granted(before) => {
                self.note_lock(id, mode, before);
                true
            }
            Attempt::Conflict => false,
        })
    }

    /// Notes a granted lock. A lock granted to a transaction that has ended meanwhile is given back at once.
    #[inline]
    fn note_lock(&self, id: LockId, mode: u8, before: Modes) {
        let mut held = lock(&self.held);
        if self.is_open() {
            held.note(id, mode, before, self.mark.load(Ordering::Relaxed));
            held.consider_privacy(&self.store.locks, self.id);
        } else {
            self.store.locks.reduce(id, self.id, before);
        }
    }

    async fn acquire(
        &self,
        cx: &Cx,
        id: LockId,
        row: Option<(TreeId, &[u8])>,
        mode: u8,
        wait: Wait,
    ) -> Result<bool> {
        if self.attempt(id, mode)? {
            return Ok(true);
        }
        match wait {
            Wait::Nowait => return Err(not_available()),
            Wait::Skip => return Ok(false),
            Wait::Block => {}
        }
        let slot = match self.store.locks.enqueue(id, self.asker(cx, self.id, row), mode)? {
            Ok(attempt) => {
                if let Attempt::Granted(before) = attempt {
                    self.note_lock(id, mode, before);
                }
                return Ok(true);
            }
            Err(slot) => slot,
        };
        self.wait(cx, LockWait::new(self, id, Hold::Own(mode), slot)).await
    }

    fn asker(&self, cx: &Cx, owner: TxnId, row: Option<(TreeId, &[u8])>) -> Asker {
        let session = self.session.get().map(|session| session.owner());
        let row = row.map(|(tree, key)| (tree, key.to_vec()));
        Asker { owner, txn: self.id, session, row, since: cx.now() }
    }

    /// Takes an advisory lock in the session's name, for the session or for this transaction. `Ok(false)` only under
    /// [`Wait::Skip`]. Errors: 40P01, 55P03, 57014. Dropping the future gives the wait up; a lock granted by then is held.
    pub async fn lock_advisory(
        &self,
        cx: &Cx,
        session: &Arc<SessionLocks>,
        (key, mode, scope): (AdvisoryKey, AdvisoryMode, AdvisoryScope),
        wait: Wait,
    ) -> Result<bool> {
        self.check_open()?;
        self.set_session(session);
        if session.attempt(key, mode, scope)? {
            self.note_advisory(session, key, mode, scope);
            return Ok(true);
        }
        match wait {
            Wait::Nowait => return Err(not_available()),
            Wait::Skip => return Ok(false),
            Wait::Block => {}
        }
        let id = LockId::Advisory(key);
        let hold = Hold::Session(session, key, mode, scope);
        match self.store.locks.enqueue(id, self.asker(cx, session.owner(), None), mode as u8)? {
            Ok(_) => {
                self.hold(hold, id, 0);
                Ok(true)
            }
            Err(slot) => self.wait(cx, LockWait::new(self, id, hold, slot)).await,
        }
    }

    fn note_advisory(
        &self,
        session: &Arc<SessionLocks>,
        key: AdvisoryKey,
        mode: AdvisoryMode,
        scope: AdvisoryScope,
    ) {
        if scope == AdvisoryScope::Session {
            return;
        }
        let mut held = lock(&self.held);
        if self.is_open() {
            held.note_advisory(session, key, mode, self.mark.load(Ordering::Relaxed));
        } else {
            session.release_of_txn(key, mode);
        }
    }

    /// Notes a lock that was granted.
    fn hold(&self, hold: Hold<'_>, id: LockId, before: Modes) {
        match hold {
            Hold::Own(mode) => self.note_lock(id, mode, before),
            Hold::Session(session, key, mode, scope) => {
                session.granted(key, mode, scope);
                self.note_advisory(session, key, mode, scope);
            }
        }
    }

    async fn wait(&self, cx: &Cx, waiting: LockWait<'_>) -> Result<bool> {
        let timeout = self.lock_timeout_micros.load(Ordering::Relaxed);
        let until = (timeout > 0).then(|| cx.now().saturating_add(timeout));
        std::future::poll_fn(|context| {
            cx.wake_on_cancel(context.waker());
            let outcome = waiting.slot.poll(context.waker());
            match outcome {
                WaitOutcome::Granted(_) => return waiting.granted(),
                WaitOutcome::Victim => return Poll::Ready(Err(deadlock())),
                WaitOutcome::Waiting => {}
            }
            cx.check_cancel()?;
            if let Some(until) = until {
                if cx.now() >= until {
                    return Poll::Ready(Err(timed_out()));
                }
                cx.wake_no_later_than(until);
            }
            // The holder may be a commit whose task was dropped.
            self.store.drive_if_orphaned(cx, context.waker());
            match waiting.slot.outcome() {
                WaitOutcome::Granted(_) => waiting.granted(),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

/// Leaves the queue when dropped; a lock granted by then is noted as held, but not one for the session that nobody was told of.
struct LockWait<'a> {
    txn: &'a Txn,
    id: LockId,
    hold: Hold<'a>,
    slot: Arc<WaitSlot>,
    is_answered: AtomicBool,
}

impl<'a> LockWait<'a> {
    fn new(txn: &'a Txn, id: LockId, hold: Hold<'a>, slot: Arc<WaitSlot>) -> Self {
        LockWait { txn, id, hold, slot, is_answered: AtomicBool::new(false) }
    }

    fn granted(&self) -> Poll<Result<bool>> {
        self.is_answered.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(true))
    }
}

/// Who will hold a lock that is waited for.
#[derive(Clone, Copy)]
enum Hold<'a> {
    /// The transaction, in this mode.
    Own(u8),
    /// The session.
    Session(&'a Arc<SessionLocks>, AdvisoryKey, AdvisoryMode, AdvisoryScope),
}

impl Drop for LockWait<'_> {
    fn drop(&mut self) {
        let store = &self.txn.store;
        match store.locks.leave(self.id, self.txn.id, &self.slot) {
            Some(before) => {
                self.txn.hold(self.hold, self.id, before);
                if let Hold::Session(session, key, mode, AdvisoryScope::Session) = self.hold
                    && !self.is_answered.load(Ordering::Relaxed)
                {
                    session.unlock(key, mode);
                }
            }
            None => probe!(store.world, "lock: wait given up"),
        }
        store.kick_if_orphaned();
    }
}
