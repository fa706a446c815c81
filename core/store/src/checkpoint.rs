//! Checkpoints, the clean close, and the housekeeping task that runs them.
//!
//! A checkpoint freezes the active memtable, merges all frozen layers into the trees, publishes a view without them,
//! and frees the log past the *older* superblock generation. Readers keep the view they have; writers go on in the new
//! memtable. Whatever fails leaves the layers where they are (I6).

use crate::commit::queue::LogState;
use crate::full_disk::Growth;
use crate::mem::Footprint;
use crate::mem::merge::{AdoptedRun, MergedRun};
use crate::mem::view::{Layer, View};
use crate::observe::{CheckpointReason, CheckpointRecord};
use crate::options::Durability;
use crate::pages::{CheckpointReport, LogPosition, RunCursor, StoreState};
use crate::recovery::remove_segments;
use crate::store::Store;
use orrery_base::Timestamp;
use orrery_base::sorting::map_of;
use orrery_base::task::lock;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState, TreeId, buggify, plant, probe};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

/// A clean close folds the memtable when it is not larger (about 50 ms of work).
const FOLD_BYTES_MAX: u64 = 32 << 20;
/// How long after a failed chore housekeeping tries again.
const RETRY_MICROS: u64 = 1_000_000;

enum Chore {
    Checkpoint(CheckpointReason),
    Sync(u64),
    Grow,
    Stop,
}

impl Store {
    /// Merges everything committed so far into the trees. One at a time; another waits its turn. Errors: 53100 (dropped
    /// whole, the memtable stays), 58030 when the store is or becomes poisoned, the disk's. Suspends on the disk.
    pub fn checkpoint<'a>(self: &'a Arc<Self>, cx: &'a Cx) -> BoxFuture<'a, Result<CheckpointReport>> {
        self.checkpoint_for(cx, CheckpointReason::Requested)
    }

    pub(crate) fn checkpoint_for<'a>(
        self: &'a Arc<Self>,
        cx: &'a Cx,
        reason: CheckpointReason,
    ) -> BoxFuture<'a, Result<CheckpointReport>> {
        Box::pin(async move {
            let _passage = self.checkpointing.enter().await;
            if self.is_closed.load(Ordering::Acquire) {
                // The log that its superblock would name is going away.
                return Err(Error::new(SqlState::CANNOT_CONNECT_NOW, "the database is closed"));
            }
            self.checkpoint_alone(cx, reason).await
        })
    }

    /// A checkpoint inside the gate.
    pub(crate) async fn checkpoint_alone(
        self: &Arc<Self>,
        cx: &Cx,
        reason: CheckpointReason,
    ) -> Result<CheckpointReport> {
        lock(&self.sequencer).check_poison()?;
        if self.options.read_only {
            return Err(Error::new(
                SqlState::READ_ONLY_SQL_TRANSACTION,
                "the database is open for reading only",
            ));
        }
        let begun = cx.now();
        let (layers, state) = self.freeze_for_checkpoint();
        self.gauges.memtables.saw(self.views.current().0.byte_count());
        let log_batch = state.log_position.batch_no;
        // A poisoned page store answers for itself.
        let is_split =
            !self.is_poisoned() && buggify!(self.world, "checkpoint: in parts though there is room");
        let mut result = match is_split {
            true => Err(Error::new(SqlState::DISK_FULL, "not tried")),
            false => self.merge_layers(cx, &layers, state.clone()).await,
        };
        if result.as_ref().is_err_and(|error| error.code() == SqlState::DISK_FULL) && !self.is_poisoned() {
            result = Box::pin(self.merge_in_parts(cx, &layers, &state)).await;
        }
        let outcome = result.as_ref().copied().map_err(Error::clone);
        self.checkpoint_log.push(CheckpointRecord { reason, begun, ended: cx.now(), log_batch, outcome });
        match result {
            Ok(report) => {
                self.counters.checkpoints.add(1);
                self.starved_not_before.store(0, Ordering::Relaxed);
                let removed = self.after_superblock(&state);
                self.measure_data(cx).await?;
                remove_segments(cx, removed).await?;
                Ok(report)
            }
            Err(error) => {
                self.poison_if_pages_are(&error);
                if error.code() == SqlState::DISK_FULL {
                    probe!(self.world, "checkpoint: dropped on a full disk");
                }
                Err(error)
            }
        }
    }

    /// Freezes the active memtable; says what the superblock will say.
    fn freeze_for_checkpoint(&self) -> (Vec<Arc<Layer>>, StoreState) {
        let _installing = lock(&self.install);
        let layers = self.freeze();
        let published = self.views.published();
        let sequencer = lock(&self.sequencer);
        let installed = sequencer.installed;
        // Chunks of commits to come are replayed from where they begin.
        let first_chunk = sequencer.unsealed.values().copied().min_by_key(|it| it.batch_no);
        let log_position = first_chunk.filter(|it| it.batch_no < installed.batch_no).unwrap_or(installed);
        let state = StoreState {
            log_position,
            commit_timestamp: published,
            clock_bound: sequencer.last_timestamp,
            next_txn_id: self.next_txn_id.load(Ordering::Relaxed),
            oldest_unsealed_txn: 0,
            clean: sequencer.log.as_ref().is_some_and(|log| log.is_superblock_clean),
        };
        (layers, state)
    }

    async fn merge_layers(
        &self,
        cx: &Cx,
        layers: &[Arc<Layer>],
        state: StoreState,
    ) -> Result<CheckpointReport> {
        let mut plan = self.history_plan(cx.now(), state.commit_timestamp);
        let mut run: Box<dyn RunCursor> = match layers {
            [layer] if let Layer::Run { writes, timestamp } = &**layer => {
                plan.dropped_at = map_of(writes.dropped().iter().map(|tree| (*tree, *timestamp)));
                Box::new(AdoptedRun::new(writes.clone(), *timestamp))
            }
            layers => {
                let run = MergedRun::new(layers.to_vec());
                plan.dropped_at = run.dropped_trees().clone();
                Box::new(run)
            }
        };
        let dropped: Vec<TreeId> = plan.dropped_at.keys().copied().collect();
        let batch_no = state.log_position.batch_no;
        let skip_sync = plant!(self.world, CheckpointWithoutLogSync);
        let before_superblock: BoxFuture<'_, Result<()>> =
            Box::pin(async move { if skip_sync { Ok(()) } else { self.sync_log(cx, batch_no).await } });
        let report = self.pages.checkpoint(cx, &mut *run, &dropped, &plan, state, before_superblock).await?;
        self.show_merged(layers);
        Ok(report)
    }

    /// A view of the trees as they are now, without the layers that they hold.
    pub(crate) fn show_merged(&self, layers: &[Arc<Layer>]) {
        let _installing = lock(&self.install);
        let tree = self.pages.current();
        self.views.replace(|view| {
            let is_merged = |layer: &Arc<Layer>| layers.iter().any(|it| Arc::ptr_eq(it, layer));
            View { layers: view.layers.iter().filter(|it| !is_merged(it)).cloned().collect(), tree }
        });
    }

    /// A superblock was written: the log before the older generation's position is free.
    pub(crate) fn after_superblock(&self, state: &StoreState) -> Vec<u64> {
        let free_before = {
            let mut generations = lock(&self.generations);
            generations.push(state.log_position.batch_no);
            if plant!(self.world, RecycleLogEarly) { generations.newer } else { generations.older }
        };
        let mut sequencer = lock(&self.sequencer);
        sequencer
            .log
            .as_mut()
            .map_or(Vec::new(), |log| log.space.free_before(free_before, log.synced_through))
    }

    pub(crate) fn poison_if_pages_are(&self, error: &Error) {
        if self.pages.is_poisoned() {
            self.poison(&format!("the data file could not be synced: {error}"));
        }
    }

    /// The superblock must not claim an empty log once there is one. Before the first commit after a clean close.
    pub(crate) async fn declare_log(&self, cx: &Cx) -> Result<()> {
        let state = {
            let mut sequencer = lock(&self.sequencer);
            let clock_bound = sequencer.last_timestamp;
            let Some(log) = sequencer.log.as_mut().filter(|log| log.is_superblock_clean) else {
                return Ok(());
            };
            let (segment, salt) = log.space.next_segment().expect("a segment was made ready");
            let log_position = LogPosition { segment, salt, offset: 0, ..log.end };
            StoreState {
                log_position,
                commit_timestamp: self.pages.current().state().commit_timestamp,
                clock_bound,
                next_txn_id: self.next_txn_id.load(Ordering::Relaxed),
                oldest_unsealed_txn: 0,
                clean: false,
            }
        };
        let _passage = self.checkpointing.enter().await;
        let sealed = self.pages.seal(cx, state.clone()).await;
        if let Err(error) = sealed {
            self.poison_if_pages_are(&error);
            // A copy of it may have been written, and that one needs the log.
            if let Some(log) = lock(&self.sequencer).log.as_mut() {
                log.is_superblock_in_doubt = true;
            }
            return Err(error);
        }
        lock(&self.generations).push(state.log_position.batch_no);
        let mut sequencer = lock(&self.sequencer);
        sequencer.installed = state.log_position;
        let log = sequencer.log.as_mut().expect("the log stays");
        log.end = state.log_position;
        log.is_superblock_clean = false;
        Ok(())
    }

    /// Closes: nothing is accepted any more; what is in flight lands; a small memtable is folded into the trees and the
    /// log goes, so that a plain small database is one file; on a full disk the log stays. Errors: as
    /// [`Store::checkpoint`]; the database is then as after a crash, with nothing lost.
    pub fn close<'a>(self: &'a Arc<Self>, cx: &'a Cx) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.is_closed.store(true, Ordering::Release);
            self.wake_housekeeping();
            if self.options.read_only || self.options.in_memory {
                return Ok(());
            }
            self.drain(cx).await?;
            if self.views.current().0.byte_count() > FOLD_BYTES_MAX {
                return Ok(());
            }
            let is_needed = |log: &LogState| !log.is_superblock_clean || log.is_superblock_in_doubt;
            let has_log = lock(&self.sequencer).log.as_ref().is_some_and(is_needed);
            if has_log {
                let _passage = self.checkpointing.enter().await;
                match self.checkpoint_alone(cx, CheckpointReason::Close).await {
                    Ok(_) => self.seal_clean(cx).await?,
                    // Nothing is lost: the log holds what was not folded, and stays.
                    Err(error) if error.code() == SqlState::DISK_FULL && !self.pages.is_poisoned() => {
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
            let files = lock(&self.sequencer).log.as_mut().map_or(Vec::new(), |log| log.space.take_all());
            remove_segments(cx, files).await?;
            if has_log {
                // Only what a checkpoint was kept ready for; nothing lies there.
                self.pages.give_tail_back(cx).await?;
            }
            Ok(())
        })
    }

    /// Refuses new commits and waits for those in flight.
    async fn drain(&self, cx: &Cx) -> Result<()> {
        let end = {
            let sequencer = lock(&self.sequencer);
            sequencer.check_poison()?;
            sequencer.log.as_ref().map_or(0, |log| log.end.batch_no)
        };
        loop {
            let is_idle = {
                let sequencer = lock(&self.sequencer);
                sequencer.pending.is_empty() && sequencer.flight.is_none()
            };
            if is_idle {
                break;
            }
            // A sync of everything formed so far; what is sequenced behind it comes with the next round.
            let end = {
                let sequencer = lock(&self.sequencer);
                let behind = u64::from(!sequencer.pending.is_empty());
                sequencer.log.as_ref().map_or(0, |log| log.end.batch_no + behind)
            };
            self.sync_log(cx, end).await?;
        }
        self.sync_log(cx, end).await
    }

    /// Waits until no commit can get a timestamp up to `at` any more, and those that have one are published (I2).
    pub(crate) async fn close_time(&self, cx: &Cx, at: Timestamp) -> Result<()> {
        loop {
            let end = {
                let mut sequencer = lock(&self.sequencer);
                sequencer.check_poison()?;
                sequencer.last_timestamp = sequencer.last_timestamp.max(at);
                let behind = u64::from(!sequencer.pending.is_empty());
                let end = sequencer.log.as_ref().map_or(0, |log| log.end.batch_no + behind);
                sequencer.has_commit_up_to(at).then_some(end)
            };
            // Who takes commits off the queue installs them under this lock.
            self.install_landed();
            let Some(end) = end else { return Ok(()) };
            probe!(self.world, "history: a commit on its way is waited for");
            // What is pending may be more than one batch: what this round leaves comes with the next.
            self.sync_log(cx, end).await?;
        }
    }

    async fn seal_clean(&self, cx: &Cx) -> Result<()> {
        let state = {
            let sequencer = lock(&self.sequencer);
            if self.views.published() > self.pages.current().state().commit_timestamp {
                return Err(Error::internal("a commit arrived while the database was being closed"));
            }
            let log = sequencer.log.as_ref().expect("a log is sealed");
            StoreState {
                log_position: LogPosition { segment: 0, offset: 0, ..log.end },
                commit_timestamp: self.views.published(),
                clock_bound: sequencer.last_timestamp,
                next_txn_id: self.next_txn_id.load(Ordering::Relaxed),
                oldest_unsealed_txn: 0,
                clean: true,
            }
        };
        // Both generations: whichever is found, the log is not needed.
        for _ in 0..2 {
            let sealed = self.pages.seal(cx, state.clone()).await;
            sealed.inspect_err(|error| self.poison_if_pages_are(error))?;
        }
        Ok(())
    }

    /// The store's own long-running task: the driver polls it beside the others. Checkpoints when one is due, syncs at
    /// the interval, makes the next log segment ready, and finishes batches whose owners are gone. Ends when the store
    /// is closed. A failed chore is not an error here: whoever needs its effect meets the same failure.
    pub fn housekeeping<'a>(self: &'a Arc<Self>, cx: &'a Cx) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            loop {
                let mut sync_due = None;
                let chore = std::future::poll_fn(|context| {
                    *lock(&self.housekeeping_waker) = Some(context.waker().clone());
                    self.drive_if_orphaned(cx, context.waker());
                    self.next_chore(cx, &mut sync_due).map_or(Poll::Pending, Poll::Ready)
                })
                .await;
                self.has_sync_timer.store(false, Ordering::Relaxed);
                match chore {
                    Chore::Stop => return Ok(()),
                    Chore::Checkpoint(reason) => {
                        if self.checkpoint_for(cx, reason).await.is_err() {
                            self.retry_not_before.store(cx.now() + RETRY_MICROS, Ordering::Relaxed);
                        }
                    }
                    Chore::Sync(batch_no) => {
                        let _ = self.sync_log(cx, batch_no).await;
                    }
                    Chore::Grow => {
                        let bytes =
                            lock(&self.sequencer).log.as_ref().map_or(0, |log| log.space.preallocation());
                        let growth = Growth {
                            bytes,
                            is_bulk: false,
                            unfolded: Footprint::default(),
                            makes_room: false,
                        };
                        if self.grow_log(cx, growth).await.is_err() {
                            self.retry_not_before.store(cx.now() + RETRY_MICROS, Ordering::Relaxed);
                        }
                    }
                }
                // Housekeeping gives way between chores: a failing one must not spin.
                cx.yield_now().await;
            }
        })
    }

    fn next_chore(&self, cx: &Cx, sync_due: &mut Option<u64>) -> Option<Chore> {
        if self.is_closed.load(Ordering::Acquire) {
            return Some(Chore::Stop);
        }
        if self.is_poisoned() || self.options.read_only {
            return None;
        }
        let not_before = self.retry_not_before.load(Ordering::Relaxed);
        if !self.checkpointing.is_taken()
            && let Some(reason) = self.due_checkpoint()
        {
            if cx.now() >= not_before {
                return Some(Chore::Checkpoint(reason));
            }
            cx.wake_no_later_than(not_before);
        }
        let sequencer = lock(&self.sequencer);
        let log = sequencer.log.as_ref()?;
        if log.space.wants_ready() {
            if cx.now() >= not_before {
                return Some(Chore::Grow);
            }
            cx.wake_no_later_than(not_before);
        }
        if let Durability::Interval { ms } = self.options.durability
            && !log.unsynced.is_empty()
        {
            let due = *sync_due.get_or_insert(cx.now() + u64::from(ms) * 1000);
            if cx.now() >= due {
                return Some(Chore::Sync(log.end.batch_no));
            }
            self.has_sync_timer.store(true, Ordering::Relaxed);
            cx.wake_no_later_than(due);
        }
        None
    }

    /// Wakes housekeeping if it has something to do.
    pub(crate) fn nudge_housekeeping(&self) {
        let is_interval = matches!(self.options.durability, Durability::Interval { .. });
        let wants_timer = is_interval && !self.has_sync_timer.load(Ordering::Relaxed);
        let wants_segment = || lock(&self.sequencer).log.as_ref().is_some_and(|log| log.space.wants_ready());
        let has_waker = lock(&self.housekeeping_waker).is_some();
        if has_waker
            && (wants_timer || wants_segment() || (!self.checkpointing.is_taken() && self.wants_checkpoint()))
        {
            self.wake_housekeeping();
        }
    }

    /// Wakes housekeeping.
    pub(crate) fn wake_housekeeping(&self) {
        let waker = lock(&self.housekeeping_waker).take();
        waker.into_iter().for_each(Waker::wake);
    }
}
