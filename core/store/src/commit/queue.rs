//! The commit queue: sequenced commits, the batch in flight, and the one short lock around them.
//!
//! At most one batch is in flight. Its leader is the task that polls its disk replies; when the leader is dropped, any
//! other waiter takes over, and a request that was dropped unperformed is made again. A failed write or sync of the log
//! poisons the store (I5): nobody knows what reached the disk, so nothing more is written and nothing in flight is
//! answered with more than 08007.

use super::conflict::ConflictTable;
use super::slot::CommitSlot;
use crate::lock::held::HeldLocks;
use crate::log::format::{BATCH_HEADER_BYTES, BatchHeader, EncodedFrame, round_up_to_sector};
use crate::log::space::LogSpace;
use crate::mem::Footprint;
use crate::mem::sealed::SealedWrites;
use crate::pages::LogPosition;
use crate::store::Store;
use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, FileId};
use orrery_base::task::{IoReply, lock};
use orrery_base::{AlignedBuf, Cx, Error, Result, SqlState, Timestamp, TxnId, World, buggify, plant, probe};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Bytes of a batch beyond which no more items join it.
const BATCH_BYTES_MAX: u64 = 8 << 20;

/// A sequenced commit.
pub struct Commit {
    /// Its place in time.
    pub timestamp: Timestamp,
    /// What it changes.
    pub writes: Arc<SealedWrites>,
    /// What it releases once installed.
    pub locks: HeldLocks,
    /// Whether its writes become a layer of their own.
    pub is_adopted: bool,
}

/// An entry of the queue: a commit, or chunks of one to come.
pub struct Item {
    /// Who.
    pub txn: TxnId,
    /// What is logged; empty without a log.
    pub frame: EncodedFrame,
    /// `None` for chunks.
    pub commit: Option<Commit>,
    /// Who waits.
    pub slot: Arc<CommitSlot>,
    /// Whether the answer waits for a sync.
    pub needs_sync: bool,
}

/// A batch that landed: to be installed.
pub struct Landed {
    /// In log order.
    pub items: Vec<Item>,
    /// Behind the batch.
    pub end: LogPosition,
}

/// The log as the sequencer sees it.
pub struct LogState {
    /// Its segments.
    pub space: LogSpace,
    /// A hash of the database's id.
    pub database: u64,
    /// Behind the last batch formed.
    pub end: LogPosition,
    /// Every batch up to this one is durable.
    pub synced_through: u64,
    /// Someone waits until this batch is durable.
    pub sync_wanted: u64,
    /// Files with unsynced batches, oldest first.
    pub unsynced: Vec<u64>,
    /// The superblock says that the log is empty: it must say otherwise before anything is logged.
    pub is_superblock_clean: bool,
    /// Writing the superblock that declares a log failed: a copy may be there, whatever `is_superblock_clean` says.
    pub is_superblock_in_doubt: bool,
}

enum Stage {
    Write { file: u64, offset: u64, data: AlignedBuf, done: usize },
    Sync { files: VecDeque<u64> },
}

/// The batch being written and synced.
pub struct Flight {
    items: Vec<Item>,
    stage: Stage,
    reply: Option<IoReply>,
    leader: Arc<CommitSlot>,
    needs_sync: bool,
    sync_files: VecDeque<u64>,
    end: LogPosition,
}

/// Everything under the sequencer's lock.
pub struct Sequencer {
    /// `None` in memory.
    pub log: Option<LogState>,
    /// Sequenced, not yet in a batch.
    pub pending: VecDeque<Item>,
    /// The batch on its way.
    pub flight: Option<Flight>,
    /// Landed, not yet installed.
    pub landed: VecDeque<Landed>,
    /// Every batch before this is installed.
    pub installed: LogPosition,
    /// The last timestamp given.
    pub last_timestamp: Timestamp,
    /// See [`ConflictTable`].
    pub conflicts: ConflictTable,
    /// Where the chunks of commits to come begin.
    pub unsealed: BTreeMap<TxnId, LogPosition>,
    /// Why nothing is written any more.
    pub poisoned: Option<Error>,
    /// Who waits for a sync.
    pub sync_waiters: Vec<Waker>,
}

impl Sequencer {
    /// What the commits that are sequenced and not yet in a layer will take in the trees, about.
    pub fn uninstalled(&self) -> Footprint {
        let flying = self.flight.iter().flat_map(|flight| &flight.items);
        let landed = self.landed.iter().flat_map(|landed| &landed.items);
        let commits = self.pending.iter().chain(flying).chain(landed).filter_map(|item| item.commit.as_ref());
        let mut all = Footprint::default();
        commits.for_each(|commit| all += commit.writes.footprint());
        all
    }

    /// Errors: 58030 when the store is poisoned (I5).
    pub fn check_poison(&self) -> Result<()> {
        self.poisoned.clone().map_or(Ok(()), Err)
    }

    /// Makes the next batch. `false`: there is nothing to do.
    fn start_flight(&mut self, leader: &Arc<CommitSlot>, world: &World) -> bool {
        let Some(log) = &mut self.log else { return false };
        let needs_sync = log.sync_wanted > log.synced_through;
        let Some(first) = self.pending.pop_front() else {
            if !needs_sync {
                return false;
            }
            let stage = Stage::Sync { files: log.unsynced.iter().copied().collect() };
            let (items, leader, sync_files) = (Vec::new(), leader.clone(), VecDeque::new());
            self.flight =
                Some(Flight { items, stage, reply: None, leader, needs_sync, sync_files, end: log.end });
            return true;
        };
        let place = log.space.place(first.frame.log_bytes(), log.end.batch_no);
        let start = LogPosition { segment: place.file, salt: place.salt, offset: place.offset, ..log.end };
        let room = place.room.min(BATCH_BYTES_MAX);
        let mut items = vec![first];
        let mut data = std::mem::take(&mut items[0].frame.bytes);
        while let Some(next) = self.pending.front() {
            let joined = data.len() as u64 + next.frame.bytes.len() as u64 - BATCH_HEADER_BYTES as u64;
            if round_up_to_sector(joined) > room || buggify!(world, "log: tiny batch") {
                break;
            }
            let next = self.pending.pop_front().expect("it was just seen");
            data.extend_from_slice(next.frame.frames());
            items.push(next);
        }
        let header = BatchHeader {
            database: log.database,
            salt: place.salt,
            batch_no: start.batch_no,
            offset: place.offset,
            synced_through: log.synced_through,
            length: 0,
            previous: start.chain_checksum,
            checksum: 0,
        };
        let chain_checksum = header.seal(&mut data);
        data.resize(round_up_to_sector(data.len() as u64) as usize);
        log.space.advance(data.len() as u64);
        if self.pending.is_empty() {
            log.space.forget_plan();
        }
        let offset = start.offset + data.len() as u64;
        log.end = LogPosition { batch_no: start.batch_no + 1, offset, chain_checksum, ..start };
        if log.unsynced.last() != Some(&place.file) {
            log.unsynced.push(place.file);
        }
        // Chunks whose transaction is gone are dead: nothing need be kept for them.
        for item in items.iter().filter(|it| it.commit.is_none() && !it.slot.is_abandoned()) {
            self.unsealed.entry(item.txn).or_insert(start);
        }
        let needs_sync = needs_sync || items.iter().any(|it| it.needs_sync);
        let stage = Stage::Write { file: place.file, offset: place.offset, data, done: 0 };
        let sync_files = if needs_sync { log.unsynced.iter().copied().collect() } else { VecDeque::new() };
        let leader = leader.clone();
        self.flight =
            Some(Flight { items, stage, reply: None, leader, needs_sync, sync_files, end: log.end });
        true
    }

    /// The flight is done. Gives the waiters to wake: who leads the next one, and who waited for a sync.
    fn land(&mut self, me: &Arc<CommitSlot>) -> Vec<Waker> {
        let flight = self.flight.take().expect("a flight lands once");
        let log = self.log.as_mut().expect("only a log has flights");
        let mut wakers = Vec::new();
        if flight.needs_sync {
            log.synced_through = flight.end.batch_no - 1;
            log.unsynced.clear();
        }
        if flight.needs_sync || log.sync_wanted > log.synced_through {
            // Whoever waits for a sync must look again, and lead it: this flight may have been without one.
            wakers.append(&mut self.sync_waiters);
        }
        self.landed.push_back(Landed { items: flight.items, end: flight.end });
        if !self.pending.iter().any(|it| Arc::ptr_eq(&it.slot, me)) {
            wakers.extend(
                self.pending.iter().find(|it| !it.slot.is_abandoned()).and_then(|it| it.slot.waker()),
            );
        }
        wakers
    }

    /// Whether a commit of this transaction is sequenced and not yet installed.
    fn has_commit_of(&self, txn: TxnId) -> bool {
        let flying = self.flight.iter().flat_map(|flight| &flight.items);
        let landed = self.landed.iter().flat_map(|landed| &landed.items);
        flying.chain(landed).chain(&self.pending).any(|it| it.txn == txn && it.commit.is_some())
    }

    /// Whether a commit with a timestamp up to this one is sequenced and not yet taken to be installed.
    pub fn has_commit_up_to(&self, at: Timestamp) -> bool {
        let flying = self.flight.iter().flat_map(|flight| &flight.items);
        let landed = self.landed.iter().flat_map(|landed| &landed.items);
        let mut commits = flying.chain(landed).chain(&self.pending).filter_map(|it| it.commit.as_ref());
        commits.any(|commit| commit.timestamp <= at)
    }

    /// Whether there is work that no waiter will do.
    fn is_orphaned(&self) -> bool {
        match &self.flight {
            Some(flight) => flight.leader.is_abandoned(),
            None => !self.pending.is_empty() && self.pending.iter().all(|it| it.slot.is_abandoned()),
        }
    }
}

impl Flight {
    /// Goes on with the batch. Errors: the disk's.
    fn poll(&mut self, cx: &Cx, waker: &Waker, store: &Store) -> Poll<Result<(), DiskError>> {
        loop {
            let reply = match &mut self.reply {
                Some(reply) => reply,
                None => match self.next_op(store) {
                    Some(op) => self.reply.insert(cx.submit(op)),
                    None => return Poll::Ready(Ok(())),
                },
            };
            let Poll::Ready(answer) = Pin::new(reply).poll(&mut Context::from_waker(waker)) else {
                return Poll::Pending;
            };
            self.reply = None;
            match answer {
                Ok(DiskReply::Written(0)) => {
                    return Poll::Ready(Err(DiskError::new(DiskErrorKind::Other, "the disk wrote nothing")));
                }
                Ok(reply) => self.done(&reply, store),
                // Dropped with its task and never performed: made again by whoever polls now.
                Err(error) if error.kind == DiskErrorKind::Abandoned => {
                    probe!(cx.world(), "commit: request of a dropped leader redone");
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn next_op(&mut self, store: &Store) -> Option<DiskOp> {
        match &self.stage {
            Stage::Write { file, offset, data, done } => {
                let data = if *done == 0 { data.clone() } else { AlignedBuf::from(&data[*done..]) };
                Some(DiskOp::Write { file: FileId::Log(*file), offset: offset + *done as u64, data })
            }
            Stage::Sync { .. } if plant!(store.world, SkipLogSync) => None,
            Stage::Sync { files } => files.front().map(|&file| DiskOp::Sync { file: FileId::Log(file) }),
        }
    }

    fn done(&mut self, reply: &DiskReply, store: &Store) {
        match (&mut self.stage, reply) {
            (Stage::Write { data, done, .. }, DiskReply::Written(written)) => {
                *done += written;
                if *done < data.len() {
                    probe!(store.world, "log: short write continued");
                    return;
                }
                store.counters.batches.add(1);
                self.stage = Stage::Sync { files: std::mem::take(&mut self.sync_files) };
            }
            (Stage::Sync { files }, _) => {
                store.counters.syncs.add(1);
                files.pop_front();
            }
            (Stage::Write { .. }, _) => unreachable!("the driver answered another question"),
        }
    }
}

impl Store {
    /// Does what can be done for the queue now: `me` leads when nobody else does.
    pub(crate) fn drive(&self, cx: &Cx, me: &Arc<CommitSlot>, waker: &Waker) {
        // A leader whose own commit landed leaves the next batch to one who waits for it.
        while !me.is_settled() {
            let mut sequencer = lock(&self.sequencer);
            if sequencer.poisoned.is_some() {
                return;
            }
            if sequencer.flight.is_none() && !sequencer.start_flight(me, &self.world) {
                return;
            }
            let flight = sequencer.flight.as_mut().expect("it was just made");
            if !Arc::ptr_eq(&flight.leader, me) {
                if !flight.leader.is_abandoned() {
                    return;
                }
                probe!(self.world, "commit: another waiter took the batch over");
                flight.leader = me.clone();
            }
            self.plant_early(&mut sequencer);
            let flight = sequencer.flight.as_mut().expect("it is still there");
            let landed = flight.poll(cx, waker, self);
            let wakers = match landed {
                Poll::Pending => Vec::new(),
                Poll::Ready(Ok(())) => sequencer.land(me),
                Poll::Ready(Err(error)) => {
                    // Under the lock, so that nobody submits the request again (I5).
                    let why = format!("the log could not be written: {error}");
                    sequencer.poisoned.get_or_insert_with(|| refusal(&why));
                    drop(sequencer);
                    self.poison(&why);
                    return;
                }
            };
            drop(sequencer);
            wakers.into_iter().for_each(Waker::wake);
            self.install_landed();
            if landed.is_pending() {
                return;
            }
            if me.is_settled() {
                // What is left may be commits of dropped tasks only, which no waiter leads.
                self.kick_if_orphaned();
            }
        }
    }

    /// Planted bugs that act between the submission of a batch and its landing.
    fn plant_early(&self, sequencer: &mut Sequencer) {
        let Some(flight) = sequencer.flight.as_mut().filter(|flight| flight.reply.is_none()) else { return };
        if plant!(self.world, PublishBeforeInstall)
            && let Some(commit) = flight.items.iter().rev().find_map(|it| it.commit.as_ref())
        {
            self.views.publish(commit.timestamp.max(self.views.published()));
        }
        if plant!(self.world, ReleaseLocksBeforeInstall) {
            for item in &mut flight.items {
                if let Some(commit) = &mut item.commit {
                    commit.locks.release_all(&self.locks, item.txn);
                }
            }
        }
        if plant!(self.world, AckEarly) && !flight.items.is_empty() {
            let landed = Landed { items: std::mem::take(&mut flight.items), end: flight.end };
            sequencer.landed.push_back(landed);
        }
    }

    /// Goes on with work whose waiters are all gone: called by tasks that wait for something else.
    pub(crate) fn drive_if_orphaned(&self, cx: &Cx, waker: &Waker) {
        let is_orphaned = lock(&self.sequencer).is_orphaned();
        if is_orphaned {
            probe!(self.world, "commit: orphaned batch finished by another task");
            let me = CommitSlot::new();
            self.drive(cx, &me, waker);
            // Not a waiter of its own: the next look takes over again.
            me.abandon();
        }
    }

    /// Wakes everyone if there is work that no waiter will do: whoever looked after it goes away.
    pub(crate) fn kick_if_orphaned(&self) {
        let is_orphaned = lock(&self.sequencer).is_orphaned();
        if is_orphaned {
            self.kick();
        }
    }

    /// Forgets where an ended transaction's chunks begin.
    pub(crate) fn forget_chunks(&self, txn: TxnId) {
        let mut sequencer = lock(&self.sequencer);
        if !sequencer.unsealed.is_empty() {
            let is_sequenced = sequencer.has_commit_of(txn);
            if !is_sequenced {
                sequencer.unsealed.remove(&txn);
            }
        }
    }

    /// Wakes everyone who could go on with the queue.
    pub(crate) fn kick(&self) {
        let mut wakers = Vec::new();
        {
            let mut sequencer = lock(&self.sequencer);
            let sequencer = &mut *sequencer;
            let in_flight = sequencer.flight.iter().flat_map(|flight| &flight.items);
            for item in in_flight.chain(&sequencer.pending).filter(|it| !it.slot.is_abandoned()) {
                wakers.extend(item.slot.waker());
            }
            wakers.append(&mut sequencer.sync_waiters);
        }
        wakers.into_iter().for_each(Waker::wake);
        self.wake_housekeeping();
    }

    /// I5: nothing more is written or acknowledged. Commits in flight answer 08007; reads go on.
    pub(crate) fn poison(&self, why: &str) {
        probe!(self.world, "store: poisoned");
        let unknown = Error::new(
            SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
            "the outcome of the transaction is unknown: it may be found committed after the database is opened again",
        )
        .with_detail(why.to_owned());
        let (mut items, mut wakers) = (Vec::new(), Vec::new());
        {
            let mut sequencer = lock(&self.sequencer);
            sequencer.poisoned.get_or_insert_with(|| refusal(why));
            items.extend(sequencer.flight.take().into_iter().flat_map(|flight| flight.items));
            items.extend(sequencer.pending.drain(..));
            wakers.append(&mut sequencer.sync_waiters);
        }
        for mut item in items {
            if let Some(commit) = &mut item.commit {
                commit.locks.release_all(&self.locks, item.txn);
            }
            wakers.extend(item.slot.settle(Err(unknown.clone())));
        }
        wakers.into_iter().for_each(Waker::wake);
        self.wake_housekeeping();
    }

    /// Waits for a slot's outcome, leading the queue where nobody else does. Dropped early, it hands the lead on.
    pub(crate) async fn wait_for(&self, cx: &Cx, slot: Arc<CommitSlot>) -> Result<Timestamp> {
        let waiting = Waiting { store: self, slot };
        std::future::poll_fn(|context| {
            if let Poll::Ready(outcome) = waiting.slot.poll(context.waker()) {
                return Poll::Ready(outcome);
            }
            self.drive(cx, &waiting.slot, context.waker());
            waiting.slot.poll(context.waker())
        })
        .await
    }

    /// Waits until every batch before `batch_no` is durable. Errors: 58030 when the store is poisoned.
    pub(crate) async fn sync_log(&self, cx: &Cx, batch_no: u64) -> Result<()> {
        let waiting = Waiting { store: self, slot: CommitSlot::new() };
        std::future::poll_fn(|context| {
            for _ in 0..2 {
                {
                    let mut sequencer = lock(&self.sequencer);
                    sequencer.check_poison()?;
                    let Some(log) = &mut sequencer.log else { return Poll::Ready(Ok(())) };
                    if log.synced_through + 1 >= batch_no {
                        return Poll::Ready(Ok(()));
                    }
                    log.sync_wanted = log.sync_wanted.max(batch_no - 1);
                    sequencer.sync_waiters.push(context.waker().clone());
                }
                self.drive(cx, &waiting.slot, context.waker());
            }
            Poll::Pending
        })
        .await
    }
}

fn refusal(why: &str) -> Error {
    Error::new(SqlState::IO_ERROR, "the database accepts no more writes until it is opened again")
        .with_detail(why.to_owned())
}

/// Hands the lead on when the wait is given up.
struct Waiting<'a> {
    store: &'a Store,
    slot: Arc<CommitSlot>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let is_settled = self.slot.is_settled();
        self.slot.abandon();
        if !is_settled {
            self.store.kick();
        }
    }
}
