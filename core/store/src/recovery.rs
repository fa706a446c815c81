//! Opening a database that exists (I3): replay the log from the superblock's position, then go on behind it in a new
//! segment with a fresh salt. What was found is never appended to.
//!
//! A commit that the trees hold already (its timestamp is not above the superblock's) is skipped: a position may lie
//! before such commits, because the chunks of a later one begin there. Chunks without their commit are dead.

use crate::log::format::{
    BatchHeader, ChunkHeader, CommitHeader, FrameKind, Operation, first_operation, frames, operations,
};
use crate::log::read::{LogEnd, Replay, read_log};
use crate::mem::sealed::SealedWrites;
use crate::mem::spill::Piece;
use crate::mem::write_set::WriteSet;
use crate::options::StoreOptions;
use crate::pages::{PageStore, StoreState};
use crate::store::{Store, page_options};
use orrery_base::disk::{DiskOp, FileId};
use orrery_base::hash::checksum_chain;
use orrery_base::task::lock;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState, Timestamp, TxnId, plant, probe};
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
        let mut replay = LogReplay { store: &store, cx, chunks: BTreeMap::new(), txn_id_max: TxnId(0) };
        let end = read_log(cx, state.log_position, database, state.clean, keep_from, &mut replay).await?;
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
    /// The beginning of an operation that is not whole yet.
    rest: Vec<u8>,
    writes: WriteSet,
    /// Of everything so far, as the seal has them.
    checksum: u32,
    length: u64,
    operation_count: u64,
    /// The disk is full: what came later stays in memory.
    stays: bool,
}

impl Chunks {
    fn new() -> Self {
        Chunks {
            next_no: 0,
            is_whole: true,
            rest: Vec::new(),
            writes: WriteSet::default(),
            checksum: 0,
            length: 0,
            operation_count: 0,
            stays: false,
        }
    }

    fn add(&mut self, part: &[u8]) {
        self.next_no += 1;
        self.checksum = checksum_chain(self.checksum, part);
        self.length += part.len() as u64;
        self.rest.extend_from_slice(part);
        let mut bytes = &self.rest[..];
        while let Some((operation, behind)) = first_operation(bytes) {
            apply(&mut self.writes, operation);
            self.operation_count += 1;
            bytes = behind;
        }
        let done = self.rest.len() - bytes.len();
        self.rest.drain(..done);
    }

    /// Whether the seal of `header` fits.
    fn is_sealed_by(&self, header: &CommitHeader) -> bool {
        self.rest.is_empty()
            && self.checksum == header.operations_checksum
            && self.length == header.operations_length
            && self.operation_count == header.operation_count
    }
}

fn apply(set: &mut WriteSet, operation: Operation<'_>) {
    match operation {
        Operation::Put { tree, key, value } => set.write(tree, key, Some(value), 0),
        Operation::Delete { tree, key } => set.write(tree, key, None, 0),
        Operation::DropTree { tree } => set.drop_tree(tree, 0),
    }
}

struct LogReplay<'a> {
    store: &'a Arc<Store>,
    cx: &'a Cx,
    chunks: BTreeMap<TxnId, Chunks>,
    txn_id_max: TxnId,
}

impl Replay for LogReplay<'_> {
    fn batch<'a>(&'a mut self, header: &'a BatchHeader, batch: &'a [u8]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let at = |error: Error| error.with_detail(format!("in log batch {}", header.batch_no));
            for frame in frames(batch) {
                let frame = frame.map_err(at)?;
                match frame.kind {
                    FrameKind::Chunk => self.chunk(frame.payload).await.map_err(at)?,
                    FrameKind::Commit => self.commit(frame.payload).map_err(at)?,
                    other => return Err(at(Error::unsupported(format!("a log frame of kind {other:?}")))),
                }
            }
            Ok(())
        })
    }
}

impl LogReplay<'_> {
    async fn chunk(&mut self, payload: &[u8]) -> Result<()> {
        let (header, part) = ChunkHeader::decode(payload)?;
        let chunks = self.chunks.entry(header.txn).or_insert_with(Chunks::new);
        if header.chunk_no == 0 {
            *chunks = Chunks::new();
        }
        chunks.is_whole &= header.chunk_no == chunks.next_no;
        if !chunks.is_whole {
            return Ok(());
        }
        chunks.add(part);
        let store = self.store;
        if chunks.writes.byte_count() < store.spill_bytes_min() || store.options.read_only || chunks.stays {
            return Ok(());
        }
        let Some(frozen) = chunks.writes.freeze() else { return Ok(()) };
        probe!(store.world, "recovery: a replayed commit leaves memory");
        match Piece::write(&store.pages, self.cx, &frozen).await {
            Ok(piece) => chunks.writes.settle(&frozen, piece),
            // A full disk must not keep a database from being opened (I6).
            Err(error) if error.code() == SqlState::DISK_FULL => {
                drop(frozen);
                chunks.writes.thaw();
                chunks.stays = true;
            }
            Err(error) => return Err(error),
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
        let set = match chunks.filter(|_| header.chunk_count > 0) {
            Some(chunks) if !chunks.is_whole || chunks.next_no != header.chunk_count => {
                return Err(Error::corrupt("a chunk of a commit is missing from the log"));
            }
            Some(chunks) if !chunks.is_sealed_by(&header) => {
                return Err(Error::corrupt("the chunks of a commit do not match its seal"));
            }
            Some(chunks) => chunks.writes,
            None if header.chunk_count > 0 => {
                return Err(Error::corrupt("a chunk of a commit is missing from the log"));
            }
            None => parse(inline, &header)?,
        };
        let is_adopted = set.has_spilled() || set.byte_count() >= ADOPT_BYTES_MIN;
        self.install(Arc::new(set.seal(is_adopted)), is_adopted, header.timestamp);
        Ok(())
    }

    fn install(&self, writes: Arc<SealedWrites>, is_adopted: bool, timestamp: Timestamp) {
        let _installing = lock(&self.store.install);
        if is_adopted {
            self.store.adopt(writes, timestamp);
        } else {
            let (view, published) = self.store.views.current();
            let oldest = if self.store.keeps_history() { Timestamp::ZERO } else { published };
            view.active().install(&writes, timestamp, oldest, &self.store.world);
        }
        self.store.views.publish(timestamp);
    }
}

fn parse(bytes: &[u8], header: &CommitHeader) -> Result<WriteSet> {
    if bytes.len() as u64 != header.operations_length {
        return Err(Error::corrupt("a commit of the log has another length than it says"));
    }
    let mut set = WriteSet::default();
    let mut count = 0;
    for operation in operations(bytes) {
        apply(&mut set, operation?);
        count += 1;
    }
    if count != header.operation_count {
        return Err(Error::corrupt("a commit of the log holds another number of operations than it says"));
    }
    Ok(set)
}

/// Removes log files: those that are not needed any more, best effort after the point where it matters.
pub(crate) async fn remove_segments(cx: &Cx, files: Vec<u64>) -> Result<()> {
    for file in files {
        cx.disk(DiskOp::Remove { file: FileId::Log(file) }).await?;
    }
    Ok(())
}
