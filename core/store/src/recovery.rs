//! Opening a database that exists (I3): replay the log from the superblock's position, then go on behind it in a new
//! segment with a fresh salt. What was found is never appended to.
//!
//! A commit that the trees hold already (its timestamp is not above the superblock's) is skipped: a position may lie
//! before such commits, because the chunks of a later one begin there. Chunks without their commit are dead.

use crate::log::format::{BatchHeader, ChunkHeader, CommitHeader, FrameKind, Operation, frames, operations};
use crate::log::read::{LogEnd, read_log};
use crate::mem::write_set::{SealedWrites, WriteSet};
use crate::options::StoreOptions;
use crate::pages::{PageStore, StoreState};
use crate::store::{Store, page_options};
use orrery_base::disk::{DiskOp, FileId};
use orrery_base::hash::checksum;
use orrery_base::task::lock;
use orrery_base::{Cx, Error, Result, SqlState, Timestamp, TxnId, plant, probe};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of writes above which a replayed commit becomes a layer of its own.
pub(crate) const ADOPT_BYTES_MIN: usize = 4 << 20;

impl Store {
    pub(crate) async fn recover(
        cx: &Cx,
        options: StoreOptions,
        pages: Arc<PageStore>,
        state: StoreState,
    ) -> Result<Arc<Store>> {
        let recovered = Store::replay_log(cx, options.clone(), pages, &state).await;
        match recovered {
            Err(error)
                if plant!(cx.world(), FallBackToOldSuperblock)
                    && error.code() == SqlState::DATA_CORRUPTED =>
            {
                let (pages, state) = PageStore::open_older(cx, page_options(&options)).await?;
                Store::replay_log(cx, options, pages, &state).await
            }
            recovered => recovered,
        }
    }

    async fn replay_log(
        cx: &Cx,
        options: StoreOptions,
        pages: Arc<PageStore>,
        state: &StoreState,
    ) -> Result<Arc<Store>> {
        let store = Store::assemble(cx, options, pages, state);
        store.measure_data(cx).await?;
        if store.options.in_memory {
            return Ok(store);
        }
        let database = lock(&store.sequencer).log.as_ref().expect("it has a log").database;
        let keep_from = lock(&store.generations).older;
        let mut replay = Replay { store: &store, chunks: BTreeMap::new(), txn_id_max: TxnId(0) };
        let mut each = |header: &BatchHeader, batch: &[u8]| replay.batch(header, batch);
        let end = read_log(cx, state.log_position, database, state.clean, keep_from, &mut each).await?;
        if !replay.chunks.is_empty() {
            probe!(store.world, "recovery: unsealed chunks are dead");
        }
        let txn_id_max = replay.txn_id_max;
        store.next_txn_id.fetch_max(txn_id_max.0 + 1, Ordering::Relaxed);
        if end.batch_count > 0 {
            probe!(store.world, "recovery: log replayed");
            store.make_replayed_durable(cx, &end).await?;
        }
        store.continue_behind(end);
        Ok(store)
    }

    /// What was replayed may have been read from the page cache of a process that died before its sync: it becomes
    /// durable before anyone sees it.
    async fn make_replayed_durable(&self, cx: &Cx, end: &LogEnd) -> Result<()> {
        if self.options.read_only {
            return Ok(());
        }
        for used in &end.used {
            cx.sync(FileId::Log(used.segment.file)).await?;
        }
        Ok(())
    }

    /// The log goes on in a segment of its own, behind what was found.
    fn continue_behind(&self, end: LogEnd) {
        let mut sequencer = lock(&self.sequencer);
        sequencer.installed = end.position;
        sequencer.last_timestamp = sequencer.last_timestamp.max(self.views.published());
        let log = sequencer.log.as_mut().expect("recovery is of a log");
        let (first, max) = (self.options.log_segment_first_bytes, self.options.log_segment_max_bytes);
        log.space = crate::log::space::LogSpace::new(end.salt_max, end.next_file, first, max.max(first));
        for used in end.used {
            log.space.add_used(used);
        }
        if let Some(next) = end.next {
            log.space.add_ready(next);
        }
        for idle in end.idle {
            log.space.add_idle(idle);
        }
        log.end = end.position;
        log.synced_through = end.position.batch_no - 1;
        // A clean superblock stays right as long as nothing was logged since; else it must not claim an empty log.
        log.is_superblock_clean &= end.batch_count == 0;
    }
}

/// The chunks of one transaction so far. Not whole: replay began behind its first ones, which is so only for a commit
/// that the trees hold already.
struct Chunks {
    next_no: u32,
    is_whole: bool,
    bytes: Vec<u8>,
}

impl Chunks {
    fn new() -> Self {
        Chunks { next_no: 0, is_whole: true, bytes: Vec::new() }
    }
}

struct Replay<'a> {
    store: &'a Store,
    chunks: BTreeMap<TxnId, Chunks>,
    txn_id_max: TxnId,
}

impl Replay<'_> {
    fn batch(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<()> {
        let at = |error: Error| error.with_detail(format!("in log batch {}", header.batch_no));
        for frame in frames(batch) {
            let frame = frame.map_err(at)?;
            match frame.kind {
                FrameKind::Chunk => self.chunk(frame.payload).map_err(at)?,
                FrameKind::Commit => self.commit(frame.payload).map_err(at)?,
                other => return Err(at(Error::unsupported(format!("a log frame of kind {other:?}")))),
            }
        }
        Ok(())
    }

    fn chunk(&mut self, payload: &[u8]) -> Result<()> {
        let (header, part) = ChunkHeader::decode(payload)?;
        let chunks = self.chunks.entry(header.txn).or_insert_with(Chunks::new);
        if header.chunk_no == 0 {
            *chunks = Chunks::new();
        }
        chunks.is_whole &= header.chunk_no == chunks.next_no;
        if chunks.is_whole {
            chunks.next_no += 1;
            chunks.bytes.extend_from_slice(part);
        }
        Ok(())
    }

    fn commit(&mut self, payload: &[u8]) -> Result<()> {
        let (header, inline) = CommitHeader::decode(payload)?;
        self.txn_id_max = self.txn_id_max.max(header.txn);
        let chunks = self.chunks.remove(&header.txn);
        if header.timestamp <= self.store.views.published() {
            return Ok(());
        }
        let joined = match chunks {
            Some(chunks) if !chunks.is_whole || chunks.next_no != header.chunk_count => {
                return Err(Error::corrupt("a chunk of a commit is missing from the log"));
            }
            chunks => chunks.map_or(Vec::new(), |chunks| chunks.bytes),
        };
        let bytes = if header.chunk_count == 0 { inline } else { joined.as_slice() };
        let is_sealed = header.chunk_count == 0 || checksum(bytes) == header.operations_checksum;
        if !is_sealed || bytes.len() as u64 != header.operations_length {
            return Err(Error::corrupt("the chunks of a commit do not match its seal"));
        }
        let writes = Arc::new(parse(bytes, &header)?);
        self.install(writes, header.timestamp);
        Ok(())
    }

    fn install(&self, writes: Arc<SealedWrites>, timestamp: Timestamp) {
        let _installing = lock(&self.store.install);
        if writes.byte_count() >= ADOPT_BYTES_MIN {
            self.store.adopt(writes, timestamp);
        } else {
            let (view, published) = self.store.views.current();
            let oldest = if self.store.keeps_history() { Timestamp::ZERO } else { published };
            view.active().install(&writes, timestamp, oldest, &self.store.world);
        }
        self.store.views.publish(timestamp);
    }
}

fn parse(bytes: &[u8], header: &CommitHeader) -> Result<SealedWrites> {
    let mut set = WriteSet::default();
    let mut count = 0;
    for operation in operations(bytes) {
        match operation? {
            Operation::Put { tree, key, value } => set.write(tree, key, Some(value), 0),
            Operation::Delete { tree, key } => set.write(tree, key, None, 0),
            Operation::DropTree { tree } => set.drop_tree(tree, 0),
        }
        count += 1;
    }
    if count != header.operation_count {
        return Err(Error::corrupt("a commit of the log holds another number of operations than it says"));
    }
    let is_adopted = set.byte_count() >= ADOPT_BYTES_MIN;
    Ok(set.seal(is_adopted))
}

/// Removes log files: those that are not needed any more, best effort after the point where it matters.
pub(crate) async fn remove_segments(cx: &Cx, files: Vec<u64>) -> Result<()> {
    for file in files {
        cx.disk(DiskOp::Remove { file: FileId::Log(file) }).await?;
    }
    Ok(())
}
