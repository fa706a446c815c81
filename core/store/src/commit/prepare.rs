//! A commit up to its point of no return: sealing, encoding, chunks, validation, sequencing.

use super::conflict::{ReadSet, validate};
use super::queue::{Commit, Item, Landed};
use super::slot::CommitSlot;
use crate::full_disk::Growth;
use crate::lock::held::HeldLocks;
use crate::log::format::{CommitHeader, EncodedFrame, Operation};
use crate::mem::Footprint;
use crate::mem::merge::MergedRun;
use crate::mem::sealed::SealedWrites;
use crate::mem::view::Layer;
use crate::observe::CheckpointReason;
use crate::pages::{RunCursor, RunEntry};
use crate::store::Store;
use orrery_base::hash::checksum_chain;
use orrery_base::limits::CHUNK_BYTES_MAX;
use orrery_base::task::lock;
use orrery_base::{AlignedBuf, BoxFuture, Cx, Error, Result, SqlState, Timestamp, TxnId, plant, probe};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of operations that a commit frame carries itself; more are written ahead as chunks.
const INLINE_BYTES_MAX: usize = 256 << 10;
/// Bytes of operations in one item of chunk frames.
const CHUNK_ITEM_BYTES: usize = 4 * CHUNK_BYTES_MAX;

/// Bytes of log that a commit which makes room on a full disk may take of the reserve.
const EMERGENCY_BYTES_MAX: u64 = 16 << 10;

/// What the sequencer needs of a commit.
pub(crate) struct Prepared {
    pub txn: TxnId,
    pub writes: Arc<SealedWrites>,
    pub frame: EncodedFrame,
    pub is_adopted: bool,
    pub needs_sync: bool,
}

/// The outcome of [`Store::try_sequence`].
enum Sequenced {
    /// Past the point of no return.
    Done,
    /// The log needs room for this many bytes first.
    NeedsSpace(u64),
}

/// All operations of sealed writes, in order.
fn operations(writes: &SealedWrites) -> impl Iterator<Item = Operation<'_>> {
    let dropped = writes.dropped().iter().map(|&tree| Operation::DropTree { tree });
    let changed = writes.trees().iter().flat_map(|(&tree, sealed)| {
        (0..sealed.len()).map(move |index| match sealed.pair(index) {
            (key, Some(value)) => Operation::Put { tree, key, value },
            (key, None) => Operation::Delete { tree, key },
        })
    });
    dropped.chain(changed)
}

fn operation_len(operation: &Operation<'_>) -> usize {
    match operation {
        Operation::Put { key, value, .. } => Operation::encoded_len(key.len(), value.len()),
        Operation::Delete { key, .. } => Operation::encoded_len(key.len(), 0),
        Operation::DropTree { .. } => Operation::encoded_len(0, 0),
    }
}

/// Whether a commit only takes away, and little of the reserve: deletes, or a tree that is dropped (what TRUNCATE and
/// DROP TABLE write beside that is small).
fn makes_room(writes: &SealedWrites, log_bytes: u64) -> bool {
    let is_delete = |operation: Operation<'_>| !matches!(operation, Operation::Put { .. });
    log_bytes <= EMERGENCY_BYTES_MAX && (!writes.dropped().is_empty() || operations(writes).all(is_delete))
}

/// Operations on their way into chunk frames.
struct Chunks<'s> {
    store: &'s Arc<Store>,
    /// What the pages will take.
    unfolded: Footprint,
    buffer: Vec<u8>,
    header: CommitHeader,
}

impl<'s> Chunks<'s> {
    fn new(store: &'s Arc<Store>, txn: TxnId, unfolded: Footprint) -> Self {
        let header = CommitHeader {
            txn,
            timestamp: Timestamp::ZERO,
            wall_micros: 0,
            chunk_count: 0,
            operations_checksum: 0,
            operations_length: 0,
            operation_count: 0,
        };
        Chunks { store, unfolded, buffer: Vec::with_capacity(CHUNK_ITEM_BYTES + (64 << 10)), header }
    }

    fn push(&mut self, operation: &Operation<'_>) {
        let (at, len) = (self.buffer.len(), operation_len(operation));
        self.buffer.resize(at + len, 0);
        operation.encode(&mut self.buffer[at..]);
        self.header.operation_count += 1;
        self.header.operations_length += len as u64;
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK_ITEM_BYTES
    }

    /// Writes what was pushed. Errors: as [`Store::encode`].
    async fn flush(&mut self, cx: &Cx) -> Result<()> {
        // One value may be larger than an item: chunks are cut anywhere.
        for part in self.buffer.chunks(CHUNK_ITEM_BYTES) {
            let header = &mut self.header;
            header.operations_checksum = checksum_chain(header.operations_checksum, part);
            let frame = EncodedFrame::chunks(header.txn, header.chunk_count, part, CHUNK_BYTES_MAX);
            header.chunk_count += part.len().div_ceil(CHUNK_BYTES_MAX) as u32;
            cx.charge(part.len()).await?;
            self.store.write_chunk_item(cx, header.txn, frame, self.unfolded).await?;
        }
        self.buffer.clear();
        Ok(())
    }
}

impl Store {
    /// The commit frame of `writes`; a large write set is written ahead as chunks. Suspends for the latter.
    pub(crate) async fn encode(
        self: &Arc<Self>,
        cx: &Cx,
        txn: TxnId,
        writes: &Arc<SealedWrites>,
    ) -> Result<EncodedFrame> {
        if !writes.pieces().0.is_empty() {
            return self.encode_pieces(cx, txn, writes).await;
        }
        let (mut length, mut operation_count) = (0, 0);
        for operation in operations(writes) {
            length += operation_len(&operation);
            operation_count += 1;
        }
        let header = CommitHeader {
            txn,
            timestamp: Timestamp::ZERO,
            wall_micros: 0,
            chunk_count: 0,
            operations_checksum: 0,
            operations_length: length as u64,
            operation_count,
        };
        if self.options.in_memory {
            return Ok(EncodedFrame { bytes: AlignedBuf::default(), is_commit: true });
        }
        if length <= INLINE_BYTES_MAX {
            return Ok(EncodedFrame::commit(&header, length, |into| {
                let mut at = 0;
                for operation in operations(writes) {
                    at += operation.encode(&mut into[at..]);
                }
            }));
        }
        self.encode_in_chunks(cx, txn, writes).await
    }

    /// Writes the operations of a commit that is not in memory, pieces and all, as chunk frames.
    fn encode_pieces<'a>(
        self: &'a Arc<Self>,
        cx: &'a Cx,
        txn: TxnId,
        writes: &'a Arc<SealedWrites>,
    ) -> BoxFuture<'a, Result<EncodedFrame>> {
        Box::pin(async move {
            probe!(self.world, "log: commit of a spilled write set");
            let mut chunks = Chunks::new(self, txn, writes.footprint());
            writes.dropped().iter().for_each(|&tree| chunks.push(&Operation::DropTree { tree }));
            let mut run = MergedRun::new(Layer::of_commit(writes, Timestamp::ZERO));
            loop {
                if run.is_hungry() {
                    run.feed(&self.pages, cx).await?;
                }
                let Some(RunEntry { tree, key, value, .. }) = run.entry() else { break };
                chunks.push(&match value {
                    Some(value) => Operation::Put { tree, key, value },
                    None => Operation::Delete { tree, key },
                });
                run.advance();
                if chunks.is_full() {
                    chunks.flush(cx).await?;
                }
            }
            chunks.flush(cx).await?;
            Ok(EncodedFrame::commit(&chunks.header, 0, |_| {}))
        })
    }

    /// Writes all operations as chunk frames.
    fn encode_in_chunks<'a>(
        self: &'a Arc<Self>,
        cx: &'a Cx,
        txn: TxnId,
        writes: &'a SealedWrites,
    ) -> BoxFuture<'a, Result<EncodedFrame>> {
        Box::pin(async move {
            probe!(self.world, "log: commit in chunks");
            let mut chunks = Chunks::new(self, txn, writes.footprint());
            for operation in operations(writes) {
                chunks.push(&operation);
                if chunks.is_full() {
                    chunks.flush(cx).await?;
                }
            }
            chunks.flush(cx).await?;
            Ok(EncodedFrame::commit(&chunks.header, 0, |_| {}))
        })
    }

    async fn write_chunk_item(
        self: &Arc<Self>,
        cx: &Cx,
        txn: TxnId,
        frame: EncodedFrame,
        unfolded: Footprint,
    ) -> Result<()> {
        let slot = CommitSlot::new();
        let bytes = frame.log_bytes();
        let mut item = Some(Item { txn, frame, commit: None, slot: slot.clone(), needs_sync: false });
        loop {
            {
                let mut sequencer = lock(&self.sequencer);
                sequencer.check_poison()?;
                let log = sequencer.log.as_mut().expect("chunks are written to a log");
                if !log.is_superblock_clean && log.space.plan(bytes, false) {
                    sequencer.pending.extend(item.take());
                }
            }
            if item.is_none() {
                return self.wait_for(cx, slot).await.map(drop);
            }
            // Large writes follow at once: filling the segment first would only write everything twice.
            self.grow_log(cx, Growth { bytes, is_bulk: true, unfolded, makes_room: false }).await?;
        }
    }

    /// Validates, sequences and waits for a prepared commit. `reads` is what a SERIALIZABLE transaction of `snapshot`
    /// read. `sequenced` is called at the point of no return, under the lock, and hands the row locks over.
    pub(crate) async fn sequence(
        self: &Arc<Self>,
        cx: &Cx,
        prepared: Prepared,
        reads: Option<(&ReadSet, Timestamp)>,
        hand_over: impl FnOnce() -> HeldLocks,
    ) -> Result<Arc<CommitSlot>> {
        let slot = CommitSlot::new();
        let (mut prepared, mut hand_over) = (Some(prepared), Some(hand_over));
        let mut validated = reads.map(|(_, snapshot)| snapshot);
        let mut is_emergency = false;
        loop {
            if let (Some((reads, _)), Some(until)) = (reads, &mut validated) {
                let (commits, newest) = lock(&self.sequencer).conflicts.after(*until);
                validate(reads, &commits, self.validation_end(newest))?;
                *until = newest;
            }
            let delta =
                reads.map(|(reads, snapshot)| (reads, snapshot, validated.expect("set with the reads")));
            match self.try_sequence(cx, &mut prepared, delta, &mut hand_over, &slot, is_emergency)? {
                Sequenced::Done => break,
                Sequenced::NeedsSpace(bytes) => {
                    let makes_room = prepared.as_ref().is_some_and(|it| makes_room(&it.writes, bytes));
                    let growth = Growth { bytes, is_bulk: false, unfolded: Footprint::default(), makes_room };
                    is_emergency = self.grow_log(cx, growth).await?;
                }
            }
        }
        if self.options.in_memory {
            self.install_landed();
        }
        Ok(slot)
    }

    fn validation_end(&self, newest: Timestamp) -> Timestamp {
        if plant!(self.world, ValidateInstalledOnly) { self.views.published() } else { newest }
    }

    fn try_sequence(
        &self,
        cx: &Cx,
        prepared: &mut Option<Prepared>,
        delta: Option<(&ReadSet, Timestamp, Timestamp)>,
        hand_over: &mut Option<impl FnOnce() -> HeldLocks>,
        slot: &Arc<CommitSlot>,
        is_emergency: bool,
    ) -> Result<Sequenced> {
        let mut sequencer = lock(&self.sequencer);
        sequencer.check_poison()?;
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Error::new(SqlState::CANNOT_CONNECT_NOW, "the database is closed"));
        }
        if let Some((reads, snapshot, validated)) = delta {
            sequencer.conflicts.check_floor(snapshot)?;
            let (commits, newest) = sequencer.conflicts.after(validated);
            validate(reads, &commits, self.validation_end(newest))?;
        }
        let bytes = prepared.as_ref().map_or(0, |it| it.frame.log_bytes());
        if let Some(log) = &mut sequencer.log
            && (log.is_superblock_clean || !log.space.plan(bytes, is_emergency))
        {
            return Ok(Sequenced::NeedsSpace(bytes));
        }
        let Prepared { txn, writes, mut frame, is_adopted, needs_sync } =
            prepared.take().expect("a commit is sequenced once");
        let timestamp = sequencer.last_timestamp.tick(cx.now());
        sequencer.last_timestamp = timestamp;
        sequencer.conflicts.add(timestamp, writes.clone());
        let hand_over = hand_over.take().expect("a commit is sequenced once");
        let commit = Some(Commit { timestamp, writes, locks: hand_over(), is_adopted });
        if sequencer.log.is_some() {
            frame.stamp(timestamp, cx.now());
            sequencer.pending.push_back(Item { txn, frame, commit, slot: slot.clone(), needs_sync });
        } else {
            let items = vec![Item { txn, frame, commit, slot: slot.clone(), needs_sync }];
            let end = sequencer.installed;
            sequencer.landed.push_back(Landed { items, end });
        }
        Ok(Sequenced::Done)
    }

    /// Waits while the memtable is far over its budget (I7): a checkpoint must catch up first. Errors: what it gives.
    pub(crate) async fn make_room(self: &Arc<Self>, cx: &Cx) -> Result<()> {
        lock(&self.sequencer).check_poison()?;
        let is_over = |store: &Store| store.views.current().0.byte_count() > 4 * store.memtable_budget();
        while is_over(self) {
            probe!(self.world, "commit: waits for a checkpoint to make room");
            self.checkpoint_for(cx, CheckpointReason::Room).await?;
        }
        Ok(())
    }
}
