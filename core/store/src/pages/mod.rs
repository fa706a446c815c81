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

use orrery_base::kv::KeyRange;
use orrery_base::{BoxFuture, Cx, Error, PagePtr, Result, Timestamp, TreeId};
use std::marker::PhantomData;
use std::sync::Arc;

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

/// A value as it lies in a leaf.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LeafValue<'p> {
    /// In place.
    Inline(&'p [u8]),
    /// In an overflow page: [`PageStore::overflow`].
    Overflow(PagePtr, usize),
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
    /// Their number.
    pub page_count: u64,
    /// Pages loaded from the disk so far.
    pub load_count: u64,
    /// Pages thrown out so far.
    pub evicted_count: u64,
}

/// Stand-in until the slice that builds it lands.
pub struct TreeVersion(());
/// Stand-in until the slice that builds it lands.
pub struct Reader(());
/// Stand-in until the slice that builds it lands.
pub struct Pin<'r>(PhantomData<&'r ()>);
/// Stand-in until the slice that builds it lands.
pub struct TreeCursor(());
/// Stand-in until the slice that builds it lands.
pub struct LeafRows<'p>(PhantomData<&'p ()>);
/// The page store of one data file.
pub struct PageStore(());

impl TreeVersion {
    /// Its checkpoint's sequence number.
    pub fn sequence(&self) -> u64 {
        0
    }
    /// The state that was written with it.
    pub fn state(&self) -> &StoreState {
        unreachable!("no version exists yet")
    }
}

impl Reader {
    /// Pages reached through the pin stay in memory while it lives. Never held across an await. May be nested and shared
    /// between threads.
    pub fn pin(&self) -> Pin<'_> {
        Pin(PhantomData)
    }
}

impl TreeCursor {
    /// The next leaf's rows, in scan order.
    pub fn next<'p>(&mut self, _store: &PageStore, _pin: &'p Pin<'_>) -> Result<CursorStep<'p>> {
        Err(not_yet())
    }
    /// Goes on behind `key`, in scan direction.
    pub fn seek_after(&mut self, _key: &[u8]) {}
}

impl<'p> LeafRows<'p> {
    /// How many rows.
    pub fn len(&self) -> usize {
        0
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// What all keys of the leaf begin with.
    pub fn prefix(&self) -> &'p [u8] {
        &[]
    }
    /// The rest of row `index`'s key.
    pub fn suffix(&self, _index: usize) -> &'p [u8] {
        &[]
    }
    /// Row `index`'s value.
    pub fn value(&self, _index: usize) -> LeafValue<'p> {
        LeafValue::Inline(&[])
    }
    /// When row `index` was committed.
    pub fn timestamp(&self, _index: usize) -> Timestamp {
        Timestamp::ZERO
    }
    /// Not below any row's timestamp.
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp::ZERO
    }
}

impl PageStore {
    /// Makes a new data file. Errors: 58P02-class when there is one with data already, disk errors.
    pub async fn create(_cx: &Cx, _options: PageStoreOptions, _state: StoreState) -> Result<Arc<PageStore>> {
        Err(not_yet())
    }
    /// Opens: chooses the newest valid superblock. Errors: 58P01 where there is no database (or its creation never
    /// finished), 58000 where the file is not ours, XX001 for damage.
    pub async fn open(_cx: &Cx, _options: PageStoreOptions) -> Result<(Arc<PageStore>, StoreState)> {
        Err(not_yet())
    }
    /// Opens the *older* generation: for salvage, and for the planted bug that falls back to it.
    pub async fn open_older(_cx: &Cx, _options: PageStoreOptions) -> Result<(Arc<PageStore>, StoreState)> {
        Err(not_yet())
    }
    /// Facts for recovery and for freeing the log.
    pub fn superblock_info(&self) -> SuperblockInfo {
        unreachable!("no store exists yet")
    }
    /// The newest published version; holding it pins its pages (I4).
    pub fn current(&self) -> Arc<TreeVersion> {
        unreachable!("no store exists yet")
    }
    /// A reader slot: one for each transaction or scan.
    pub fn reader(&self) -> Reader {
        Reader(())
    }
    /// Reads one key.
    pub fn get<'p>(
        &self,
        _version: &TreeVersion,
        _pin: &'p Pin<'_>,
        _tree: TreeId,
        _key: &[u8],
    ) -> Result<TreeGet<'p>> {
        Err(not_yet())
    }
    /// A long value's bytes; `None` when its page must be loaded first.
    pub fn overflow<'p>(&self, _pin: &'p Pin<'_>, _ptr: PagePtr, _len: usize) -> Result<Option<&'p [u8]>> {
        Err(not_yet())
    }
    /// Brings a page in, verified. Errors: XX001, disk errors.
    pub async fn load(&self, _cx: &Cx, _ptr: PagePtr) -> Result<()> {
        Err(not_yet())
    }
    /// A cursor over the rows of `range`.
    pub fn cursor(&self, _version: Arc<TreeVersion>, _tree: TreeId, _range: KeyRange, _reverse: bool) -> TreeCursor {
        TreeCursor(())
    }
    /// Cuts `range` into at most `parts` pieces by page boundaries in memory.
    pub fn split(&self, _version: &TreeVersion, _tree: TreeId, range: &KeyRange, _parts: usize) -> Vec<KeyRange> {
        vec![range.clone()]
    }
    /// A tree's figures.
    pub fn tree_stats(&self, _version: &TreeVersion, _tree: TreeId) -> TreeStats {
        TreeStats::default()
    }
    /// Merges a run into the trees and makes it durable: pages, sync, superblock copies, sync, publish.
    /// `before_superblock` is awaited after the pages' sync. On any error nothing is published and the old version
    /// stays (I6). When a sync failed, [`PageStore::is_poisoned`] is true afterwards (I5). Run entries of a tree in
    /// `dropped_trees` start it anew. One at a time: 55006 otherwise.
    pub async fn checkpoint(
        &self,
        _cx: &Cx,
        _run: &mut dyn RunCursor,
        _dropped_trees: &[TreeId],
        _state: StoreState,
        _before_superblock: BoxFuture<'_, Result<()>>,
    ) -> Result<CheckpointReport> {
        Err(not_yet())
    }
    /// Rewrites the other generation, so that both are at one root with `state` (clean close).
    pub async fn seal(&self, _cx: &Cx, _state: StoreState) -> Result<()> {
        Err(not_yet())
    }
    /// Whether a sync failed: nothing more may be written until the database is opened again.
    pub fn is_poisoned(&self) -> bool {
        false
    }
    /// Walks every page of both generations and says what is wrong where.
    pub async fn check(&self, _cx: &Cx, _report: &mut (dyn FnMut(CheckFinding) + Send)) -> Result<CheckSummary> {
        Err(not_yet())
    }
    /// Changes the pool's budget; pages over it are thrown out at once.
    pub fn set_pool_budget(&self, _bytes: u64) {}
    /// The pool's figures.
    pub fn pool_stats(&self) -> PoolStats {
        PoolStats::default()
    }
}

fn not_yet() -> Error {
    Error::unsupported("the page store")
}
