//! The page store (DESIGN §4): the data file with its superblocks, pages, buffer pool, free space and copy-on-write
//! B+ trees. The rest of the store hands it sorted runs ([`PageStore::checkpoint`]) and reads the trees of one
//! [`TreeVersion`] ([`PageStore::get`], [`PageStore::cursor`]).
//!
//! Invariants (DESIGN's numbers):
//! - I4: no page reachable from any superblock copy, or from a live [`TreeVersion`], is ever overwritten.
//! - I5: after a failed sync nothing more is written ([`PageStore::is_poisoned`]).
//! - I6: a checkpoint that fails leaves everything as it was.
//! - L4: pages are immutable, so a pointer to one stays true as long as its version is pinned.
//!
//! It knows no transaction, no log and no memtable: [`StoreState`] is carried for its owner, not read.

mod assemble;
mod check;
mod checkpoint;
mod cursor;
mod epoch;
mod free_space;
mod heads;
mod history;
mod inner;
mod leaf;
mod merge;
mod open;
mod page;
mod pool;
mod salvage;
mod shape;
mod spill;
mod superblock;
mod tree;
mod writer;

pub use cursor::{LeafRows, TreeCursor};
pub use history::{History, HistoryPlan, HistoryRun, is_history};
pub(crate) use history::{
    KEY_PREFIX_BYTES as HISTORY_KEY_PREFIX_BYTES, encode_version, version_at, versions,
};
pub use leaf::LeafValue;
pub use pool::{Pin, Reader};
pub use salvage::{FileSalvage, Loss, TakeRow, TreeSalvage};
pub use shape::TreeShape;
pub use spill::SpilledTrees;
pub use tree::TreeVersion;

use free_space::FreeSpace;
use orrery_base::disk::{DiskOp, DiskReply, FileId};
use orrery_base::kv::KeyRange;
use orrery_base::sorting;
use orrery_base::task::lock;
use orrery_base::{AlignedBuf, BoxFuture, Cx, Error, PagePtr, Result, Timestamp, TreeId, plant};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use superblock::Superblock;

/// How to make or open a page store.
#[derive(Clone, Debug)]
pub struct PageStoreOptions {
    /// Bytes of a page unit, for [`PageStore::create`]; an existing file says its own.
    pub page_unit_bytes: usize,
    /// Bytes of pages kept in memory.
    pub pool_budget_bytes: u64,
    /// The new database's id, for [`PageStore::create`].
    pub database_id: [u8; 16],
}

/// A place in the log. The page store carries it and does not look inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// The segment's number.
    pub segment: u64,
    /// The segment's salt.
    pub salt: u64,
    /// The number of the next batch.
    pub batch_no: u64,
    /// Bytes from the segment's start.
    pub offset: u64,
    /// The checksum of the batch before, to which the next one is chained.
    pub chain_checksum: u32,
}

/// What the superblock says beside the roots: the log's half of the store owns the meaning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreState {
    /// Replay starts here.
    pub log_position: LogPosition,
    /// The newest commit contained in the trees.
    pub commit_timestamp: Timestamp,
    /// Upper bound of handed-out time.
    pub clock_bound: Timestamp,
    /// High-water mark of transaction ids.
    pub next_txn_id: u64,
    /// Reserved: 0.
    pub oldest_unsealed_txn: u64,
    /// Clean close: both generations at one root, log empty.
    pub clean: bool,
}

/// Facts of the superblock chosen at open, or of the newest one written since.
#[derive(Clone, Debug, PartialEq)]
pub struct SuperblockInfo {
    /// The newest generation's sequence number.
    pub sequence: u64,
    /// The database's id.
    pub database_id: [u8; 16],
    /// The older generation's state, where it is known: the log may be freed only up to its position.
    pub older: Option<StoreState>,
    /// Superblock copies found damaged at open, in words.
    pub damaged_copies: Vec<String>,
}

/// The answer of a point lookup in the trees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TreeGet<'p> {
    /// The row.
    Found {
        /// Its value, in place.
        value: &'p [u8],
        /// When it was committed.
        timestamp: Timestamp,
    },
    /// No such key in this version.
    Absent,
    /// A page (of the tree, or of a long value) is not in memory: [`PageStore::load`] it and ask again.
    Missing(PagePtr),
}

/// One entry of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunEntry<'a> {
    /// Its tree.
    pub tree: TreeId,
    /// Its key.
    pub key: &'a [u8],
    /// When it was committed.
    pub timestamp: Timestamp,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// A sorted run: entries by (tree, key), each key once.
pub trait RunCursor: Send {
    /// The entry under the cursor; `None` at the end.
    fn entry(&self) -> Option<RunEntry<'_>>;
    /// Goes to the next entry.
    fn advance(&mut self);
    /// Whether the entry under the cursor replaces others of the same run.
    fn has_older(&self) -> bool {
        false
    }
    /// The versions that the entry under the cursor replaces in the same run, newest first.
    fn older(&self, _each: &mut dyn FnMut(Timestamp, Option<&[u8]>)) {}
    /// Whether pages must be read before the cursor stands anywhere: it is asked nothing else until
    /// [`RunCursor::feed`] read them. To be asked after each [`RunCursor::advance`], and of a new cursor.
    #[inline]
    fn is_hungry(&self) -> bool {
        false
    }
    /// Reads them. Errors: XX001, disk errors.
    fn feed<'a>(&'a mut self, _store: &'a PageStore, _cx: &'a Cx) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// A long value outside of the pool.
pub(crate) struct LongValue {
    ptr: PagePtr,
    page: AlignedBuf,
}

impl LongValue {
    /// Its bytes, if it is the one of this page.
    pub fn of(&self, ptr: &PagePtr) -> Option<&[u8]> {
        (self.ptr == *ptr).then(|| page::payload(&self.page))
    }
}

/// What [`TreeCursor::next`] gives.
pub enum CursorStep<'p> {
    /// The rows of the next leaf that lie in the range.
    Leaf(LeafRows<'p>),
    /// A page is not in memory: [`PageStore::load`] it and call again.
    Missing(PagePtr),
    /// The range is done.
    End,
}

/// What a tree is estimated to hold. No I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeStats {
    /// Rows.
    pub entry_count: u64,
    /// Bytes of its pages, overflow pages included.
    pub page_bytes: u64,
    /// Levels; 0 for an empty tree.
    pub height: u32,
    /// The newest row.
    pub max_timestamp: Timestamp,
}

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// The new generation's sequence number.
    pub sequence: u64,
    /// Entries of the run.
    pub entry_count: u64,
    /// Leaves written.
    pub leaf_count: u64,
    /// Bytes written, superblocks included.
    pub bytes_written: u64,
}

/// Something wrong, found by [`PageStore::check`].
#[derive(Clone, Debug, PartialEq)]
pub struct CheckFinding {
    /// Where: a page, a tree, a superblock copy.
    pub place: String,
    /// What.
    pub message: String,
}

impl core::fmt::Display for CheckFinding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// What [`PageStore::check`] went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckSummary {
    /// Trees of the newest generation.
    pub tree_count: u64,
    /// Their rows.
    pub entry_count: u64,
    /// Pages read, both generations.
    pub page_count: u64,
    /// Units of the file that nothing reaches.
    pub free_unit_count: u64,
    /// Findings reported.
    pub finding_count: u64,
}

/// Figures of the buffer pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Budget.
    pub budget_bytes: u64,
    /// Pages in memory.
    pub used_bytes: u64,
    /// The most there ever were.
    pub peak_bytes: u64,
    /// Their number.
    pub page_count: u64,
    /// Pages loaded from the disk so far.
    pub load_count: u64,
    /// Pages thrown out so far.
    pub evicted_count: u64,
}

/// Bytes of one read, at most, when pages are loaded together.
const LOAD_BYTES_MAX: u64 = 1 << 20;

/// Units that the smallest part of a checkpoint may take: paths in a tree and in the meta tree, split, with neighbours.
const CHECKPOINT_UNITS_MIN: u64 = 32;
/// Unused units at the file's end that a clean close leaves.
const TAIL_UNITS_MAX: u64 = 64;

/// The page store of one data file.
pub struct PageStore {
    pool: Arc<pool::Pool>,
    unit_bytes: usize,
    /// Superblock copies found damaged at open.
    damaged_copies: Vec<String>,
    state: Mutex<State>,
    is_writing: AtomicBool,
    is_poisoned: AtomicBool,
}

struct State {
    current: Arc<TreeVersion>,
    /// Published versions, oldest first; those nobody holds are dropped from the list.
    versions: Vec<Weak<TreeVersion>>,
    free: FreeSpace,
    newest: Superblock,
    older: Option<Superblock>,
    /// The last version number used, by failed checkpoints too: a page's number and version together are used once.
    last_version: u64,
}

impl PageStore {
    /// Makes a new data file. Errors: 55000 when there is one with data already, 58000 when the file is not ours, 22023
    /// for an impossible page unit, disk errors.
    pub async fn create(cx: &Cx, options: PageStoreOptions, state: StoreState) -> Result<Arc<PageStore>> {
        open::create(cx, options, state).await
    }

    /// Opens: chooses the newest valid superblock. Errors: 58P01 where there is no database (or its creation never
    /// finished), 58000 where the file is not ours, XX001 for damage.
    pub async fn open(cx: &Cx, options: PageStoreOptions) -> Result<(Arc<PageStore>, StoreState)> {
        open::open(cx, options, false).await
    }

    /// Opens the *older* generation: for salvage, and for the planted bug that falls back to it. XX001 without one.
    pub async fn open_older(cx: &Cx, options: PageStoreOptions) -> Result<(Arc<PageStore>, StoreState)> {
        open::open(cx, options, true).await
    }

    /// Facts for recovery and for freeing the log.
    pub fn superblock_info(&self) -> SuperblockInfo {
        let state = lock(&self.state);
        SuperblockInfo {
            sequence: state.newest.sequence,
            database_id: state.newest.database_id,
            older: state.older.as_ref().map(|older| older.state.clone()),
            damaged_copies: self.damaged_copies.clone(),
        }
    }

    /// The newest published version; holding it pins its pages (I4).
    pub fn current(&self) -> Arc<TreeVersion> {
        lock(&self.state).current.clone()
    }

    /// A reader slot: one for each transaction or scan.
    pub fn reader(&self) -> Reader {
        Reader::new(&self.pool)
    }

    /// Reads one key. Errors: XX001.
    #[inline]
    pub fn get<'p>(
        &self,
        version: &TreeVersion,
        pin: &'p Pin<'_>,
        tree: TreeId,
        key: &[u8],
    ) -> Result<TreeGet<'p>> {
        tree::get(&self.pool, version, pin, tree, key)
    }

    /// Like [`PageStore::get`]; a long value may be one that the caller has.
    pub(crate) fn get_with<'p>(
        &self,
        version: &TreeVersion,
        pin: &'p Pin<'_>,
        (tree, key): (TreeId, &[u8]),
        long: &'p [LongValue],
    ) -> Result<TreeGet<'p>> {
        tree::get_with(&self.pool, version, pin, (tree, key), long)
    }

    /// A long value's bytes; `None` when its page must be loaded first.
    pub fn overflow<'p>(&self, pin: &'p Pin<'_>, ptr: PagePtr, len: usize) -> Result<Option<&'p [u8]>> {
        tree::overflow(&self.pool, pin, &ptr, len)
    }

    /// Brings a page in, verified. Several loads of one page do no harm. Errors: XX001, disk errors.
    pub async fn load(&self, cx: &Cx, ptr: PagePtr) -> Result<()> {
        let page = self.read_from_disk(cx, &ptr).await?;
        self.pool.insert(&ptr, &page, true);
        Ok(())
    }

    /// A long value's page, read past the pool, which may be too small for it. Errors: XX001, disk errors.
    pub(crate) async fn read_long(&self, cx: &Cx, ptr: PagePtr) -> Result<LongValue> {
        let page = self.read_from_disk(cx, &ptr).await?;
        match page::kind_byte(&page) == page::PageKind::Overflow as u8 {
            true => Ok(LongValue { ptr, page }),
            false => Err(page::wrong_kind(&ptr, &page)),
        }
    }

    /// Brings pages in together: what lies side by side on the disk comes in one read, and all reads are in flight at
    /// once. For scans: see [`TreeCursor::upcoming`]. Errors: XX001, disk errors.
    pub async fn load_all(&self, cx: &Cx, ptrs: &[PagePtr]) -> Result<()> {
        let mut sorted = ptrs.to_vec();
        sorting::sort_by_key(&mut sorted, |ptr| ptr.page_no);
        sorted.dedup();
        let unit = self.unit_bytes as u64;
        let units_max = LOAD_BYTES_MAX / unit;
        let mut groups: Vec<(u64, u64, Vec<PagePtr>)> = Vec::new();
        let file_unit_count = self.file_unit_count();
        for ptr in sorted {
            page::verify_place(&ptr, file_unit_count)?;
            let (start, count) = (ptr.page_no.0, u64::from(ptr.unit_count));
            match groups.last_mut() {
                Some((first, units, group)) if *first + *units == start && *units + count <= units_max => {
                    *units += count;
                    group.push(ptr);
                }
                _ => groups.push((start, count, vec![ptr])),
            }
        }
        let read = |first: u64, units: u64| {
            cx.submit(DiskOp::Read { file: FileId::Data, offset: first * unit, len: (units * unit) as usize })
        };
        let replies: Vec<_> = groups.iter().map(|(first, units, _)| read(*first, *units)).collect();
        for ((first, _, group), reply) in groups.into_iter().zip(replies) {
            let DiskReply::Read(bytes) = reply.await? else {
                return Err(Error::internal("the driver answered another question"));
            };
            for ptr in group {
                let at = ((ptr.page_no.0 - first) * unit) as usize;
                match bytes.get(at..at + ptr.unit_count as usize * self.unit_bytes) {
                    Some(page) => {
                        self.verify(cx, page, &ptr)?;
                        self.pool.insert(&ptr, page, true);
                    }
                    // A short read: the rest comes alone.
                    None => self.load(cx, ptr).await?,
                }
                cx.charge(self.unit_bytes).await?;
            }
        }
        Ok(())
    }

    /// A cursor over the rows of `range`, backwards if `reverse`.
    pub fn cursor(
        &self,
        version: Arc<TreeVersion>,
        tree: TreeId,
        range: KeyRange,
        reverse: bool,
    ) -> TreeCursor {
        TreeCursor::new(version, tree, range, reverse)
    }

    /// Cuts `range` into at most `parts` pieces by page boundaries in memory.
    pub fn split(
        &self,
        version: &TreeVersion,
        tree: TreeId,
        range: &KeyRange,
        parts: usize,
    ) -> Vec<KeyRange> {
        let reader = self.reader();
        tree::split(&self.pool, &reader.pin(), version, tree, range, parts)
    }

    /// A tree's figures.
    pub fn tree_stats(&self, version: &TreeVersion, tree: TreeId) -> TreeStats {
        tree::stats(version, tree, self.unit_bytes)
    }

    /// What a tree is made of, from reading all of its pages but long values'. Reads from the disk, past the pool. Errors: XX001,
    /// disk errors, 57014.
    pub async fn tree_shape(&self, cx: &Cx, version: &TreeVersion, tree: TreeId) -> Result<TreeShape> {
        shape::shape(self, cx, version, tree).await
    }

    /// Merges a run into the trees and makes it durable: pages, sync, superblock copies, sync, publish.
    /// `before_superblock` is awaited after the pages' sync.
    ///
    /// Run entries of a tree in `dropped_trees` start it anew. `history` says what becomes of replaced versions. Errors: 55006 when another one runs; 53100; disk errors;
    /// XX001. On any error nothing is published and the old version stays (I6). When a sync failed,
    /// [`PageStore::is_poisoned`] is true afterwards (I5). Dropping it drops the checkpoint; dropped while the superblock
    /// is being written, it poisons.
    pub async fn checkpoint(
        &self,
        cx: &Cx,
        run: &mut dyn RunCursor,
        dropped_trees: &[TreeId],
        history: &HistoryPlan,
        state: StoreState,
        before_superblock: BoxFuture<'_, Result<()>>,
    ) -> Result<CheckpointReport> {
        checkpoint::checkpoint(self, cx, run, (dropped_trees, history), state, before_superblock).await
    }

    /// Writes a run as trees that no superblock reaches; see [`SpilledTrees`]. It may run beside a checkpoint. Errors: 53100, 58030, disk errors.
    pub async fn spill(self: &Arc<Self>, cx: &Cx, run: &mut dyn RunCursor) -> Result<SpilledTrees> {
        spill::spill(self, cx, run).await
    }

    /// Rewrites the other generation, so that both are at one root with the newest one's trees; it gets `state`. A clean
    /// close is a checkpoint and a seal with the same state.
    pub async fn seal(&self, cx: &Cx, state: StoreState) -> Result<()> {
        checkpoint::seal(self, cx, state).await
    }

    /// What the newest superblock says.
    pub fn newest_state(&self) -> StoreState {
        lock(&self.state).newest.state.clone()
    }

    /// Makes sure that a checkpoint finds places for `bytes` of pages beside what each needs (I6); the file grows where
    /// it must. Errors: 53100, disk errors.
    pub async fn reserve(&self, cx: &Cx, bytes: u64) -> Result<()> {
        let (free, file_units) = {
            let state = lock(&self.state);
            (state.free.free_unit_count(), state.free.file_unit_count())
        };
        let unit = self.unit_bytes as u64;
        // The bitmap is written whole, beside the one that it replaces.
        let bitmap_units = 2 * (1 + (file_units / 8).div_ceil(unit));
        let wanted = bytes.div_ceil(unit) + CHECKPOINT_UNITS_MIN + bitmap_units;
        if free >= wanted {
            return Ok(());
        }
        let unit_count = file_units + (wanted - free);
        cx.disk(DiskOp::Allocate { file: FileId::Data, len: unit_count * unit, fill: false }).await?;
        lock(&self.state).free.grow(unit_count);
        Ok(())
    }

    /// Cuts the file behind its last page, if much is unused there: at a clean close, when both generations are at one
    /// root. Errors: disk errors.
    pub async fn give_tail_back(&self, cx: &Cx) -> Result<()> {
        let unit = self.unit_bytes as u64;
        let unit_count_min = open::FIRST_FILE_BYTES / unit;
        let Some(end) = lock(&self.state).free.cut_tail(unit_count_min, TAIL_UNITS_MAX) else {
            return Ok(());
        };
        cx.disk(DiskOp::Truncate { file: FileId::Data, len: end * unit }).await?;
        Ok(())
    }

    /// Whether a sync failed: nothing more is written until the database is opened again (I5).
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned.load(Ordering::Acquire)
    }

    /// Walks every page of both generations and says what is wrong where. Reads from the disk, past the pool. Errors:
    /// disk errors and cancellation; damage is reported, not an error. A checkpoint may run beside it.
    pub async fn check(
        &self,
        cx: &Cx,
        report: &mut (dyn FnMut(CheckFinding) + Send),
    ) -> Result<CheckSummary> {
        check::check(self, cx, report).await
    }

    /// Changes the pool's budget; pages over it are thrown out at once.
    pub fn set_pool_budget(&self, bytes: u64) {
        self.pool.set_budget(bytes.max(open::pool_budget_min(self.unit_bytes)));
    }

    /// The pool's figures.
    pub fn pool_stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Bytes of a page unit.
    pub fn page_unit_bytes(&self) -> usize {
        self.unit_bytes
    }

    /// A page's bytes, from the pool or the disk, for whoever changes trees.
    async fn read_page(&self, cx: &Cx, ptr: &PagePtr) -> Result<AlignedBuf> {
        let mut page = AlignedBuf::default();
        if self.pool.copy_into(ptr, &mut page) {
            return Ok(page);
        }
        self.read_from_disk(cx, ptr).await
    }

    async fn read_from_disk(&self, cx: &Cx, ptr: &PagePtr) -> Result<AlignedBuf> {
        page::verify_place(ptr, self.file_unit_count())?;
        let offset = ptr.page_no.0 * self.unit_bytes as u64;
        let page = cx.read(FileId::Data, offset, ptr.unit_count as usize * self.unit_bytes).await?;
        self.verify(cx, &page, ptr)?;
        Ok(page)
    }

    /// How many page units the file has.
    fn file_unit_count(&self) -> u64 {
        lock(&self.state).free.file_unit_count()
    }

    fn verify(&self, cx: &Cx, page: &[u8], ptr: &PagePtr) -> Result<()> {
        page::verify(page, ptr, self.unit_bytes, plant!(cx.world(), IgnorePageChecksum))
    }
}
