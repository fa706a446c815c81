//! Writes of a large transaction that left its memory (I7): first *frozen*, then *pieces*, trees in the data file that only
//! this transaction points to ([`crate::pages::SpilledTrees`]). Once committed, its pieces are layers like any other until a checkpoint merges them.
//!
//! A key's value in a piece is its versions, newest first, as the history writes them; the place of the timestamp has the
//! write's number. So statement visibility and rollback to a savepoint work as in memory: a version counts when its number is below a
//! limit and it was not undone.

pub mod tiers;

use super::filter::Filter;
use super::frozen::FrozenWrites;
use super::{Footprint, key_hash};
use crate::pages::{
    CursorStep, LeafValue, LongValue, PageStore, Pin, RunCursor, RunEntry, SpilledTrees, TreeCursor, TreeGet,
    TreeVersion, encode_version, versions,
};
use orrery_base::kv::KeyRange;
use orrery_base::{Cx, PagePtr, Result, Timestamp, TreeId, probe};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Pages of a piece that are read together.
const READ_AHEAD_COUNT: usize = 16;

/// The numbers of writes that were rolled back after they had left the memory: spans, ends included, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone(Vec<(u32, u32)>);

impl Undone {
    /// The writes from `limit` to `last` are undone.
    pub fn add(&mut self, limit: u32, last: u32) {
        while self.0.last().is_some_and(|&(from, _)| from >= limit) {
            self.0.pop();
        }
        self.0.push((limit, last));
    }

    /// Whether this write is.
    #[inline]
    pub fn contains(&self, sequence: u32) -> bool {
        self.0.iter().any(|&(from, to)| (from..=to).contains(&sequence))
    }
}

/// The newest version numbered below `limit` that was not undone. Errors: XX001.
pub fn visible_version<'a>(bytes: &'a [u8], limit: u32, undone: &Undone) -> Result<Option<Option<&'a [u8]>>> {
    for version in versions(bytes) {
        let (Timestamp(number), value) = version?;
        if number < u64::from(limit) && !undone.contains(number as u32) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// A part of a transaction's writes on the disk. It never changes.
pub struct Piece {
    trees: SpilledTrees,
    /// `None`: there are too many pieces to have one for each.
    filter: Option<Filter>,
    /// The least and the greatest key of each tree: what a sorted load adds lies behind all pieces.
    spans: BTreeMap<TreeId, (Vec<u8>, Vec<u8>)>,
    /// The least and the greatest number of its writes.
    pub marks: (u32, u32),
    /// What it will take in the trees, about.
    pub footprint: Footprint,
    /// How often its writes were merged ([`tiers`]).
    tier: u32,
    key_count: usize,
    /// Bytes of a key's versions, at most.
    value_bytes_max: u64,
}

impl Piece {
    /// Writes frozen writes out; with a filter if that takes no more than `filter_bytes_max`. Errors: as
    /// [`PageStore::spill`].
    pub async fn write(
        pages: &Arc<PageStore>,
        cx: &Cx,
        frozen: &Arc<FrozenWrites>,
        filter_bytes_max: usize,
    ) -> Result<Piece> {
        let filter = Filter::with_capacity(frozen.key_count());
        let filter = (filter.byte_count() <= filter_bytes_max).then_some(filter);
        if let Some(filter) = &filter {
            frozen.each_key(&mut |tree, key| filter.insert(key_hash(tree, key)));
        } else {
            probe!(cx.world(), "spill: a piece without a filter");
        }
        let mut run = FrozenRun::new(frozen.clone());
        let trees = pages.spill(cx, &mut run).await?;
        let (marks, footprint) = (frozen.marks(), frozen.footprint());
        let (key_count, value_bytes_max) = (frozen.key_count(), run.value_bytes_max);
        let spans = frozen.spans();
        Ok(Piece { trees, filter, spans, marks, footprint, tier: 0, key_count, value_bytes_max })
    }

    /// How its trees are read.
    pub fn version(&self) -> &Arc<TreeVersion> {
        self.trees.version()
    }

    /// Whether it may have this key.
    #[inline]
    pub fn may_contain(&self, tree: TreeId, key: &[u8], hash: u64) -> bool {
        let Some((least, greatest)) = self.spans.get(&tree) else { return false };
        key <= greatest.as_slice()
            && key >= least.as_slice()
            && self.filter.as_ref().is_none_or(|filter| filter.may_contain(hash))
    }

    /// Bytes of memory taken.
    pub fn byte_count(&self) -> usize {
        self.filter.as_ref().map_or(0, Filter::byte_count)
    }

    /// What it says of a key to who may see writes below `limit`. Errors: XX001.
    pub fn get<R>(
        &self,
        pages: &PageStore,
        pin: &Pin<'_>,
        (tree, key): (TreeId, &[u8]),
        (limit, undone): (u32, &Undone),
        found: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<PieceGet<R>> {
        Ok(match pages.get(self.version(), pin, tree, key)? {
            TreeGet::Missing(page) => PieceGet::Missing(page),
            TreeGet::Absent => PieceGet::Nothing,
            TreeGet::Found { value, .. } => match visible_version(value, limit, undone)? {
                Some(value) => PieceGet::Found(found(value)),
                None => PieceGet::Nothing,
            },
        })
    }
}

/// The answer of [`Piece::get`].
pub enum PieceGet<R> {
    /// Nothing of this key: look further.
    Nothing,
    /// A page must be loaded first.
    Missing(PagePtr),
    /// What became of it.
    Found(R),
}

/// Frozen writes as a run for the page store.
struct FrozenRun {
    frozen: Arc<FrozenWrites>,
    trees: Vec<TreeId>,
    tree: usize,
    index: usize,
    value: Vec<u8>,
    value_bytes_max: u64,
}

impl FrozenRun {
    fn new(frozen: Arc<FrozenWrites>) -> Self {
        let trees = frozen.trees().collect();
        let mut run = FrozenRun { frozen, trees, tree: 0, index: 0, value: Vec::new(), value_bytes_max: 0 };
        run.settle();
        run
    }

    fn settle(&mut self) {
        while let Some(tree) = self.trees.get(self.tree).copied() {
            self.value.clear();
            let FrozenRun { frozen, index, value, .. } = self;
            if frozen.each_version(tree, *index, &mut |number, version| {
                encode_version(value, Timestamp(u64::from(number)), version);
            }) {
                self.value_bytes_max = self.value_bytes_max.max(self.value.len() as u64);
                return;
            }
            (self.tree, self.index) = (self.tree + 1, 0);
        }
    }
}

impl RunCursor for FrozenRun {
    fn entry(&self) -> Option<RunEntry<'_>> {
        let &tree = self.trees.get(self.tree)?;
        let key = self.frozen.key(tree, self.index);
        Some(RunEntry { tree, key, timestamp: Timestamp::ZERO, value: Some(&self.value) })
    }

    fn advance(&mut self) {
        self.index += 1;
        self.settle();
    }
}

struct FeedRow {
    at: usize,
    key_len: usize,
    value_len: usize,
}

/// The rows of one tree of a piece, a leaf at a time, copied out: for whoever merges several sources.
pub struct Feed {
    piece: Arc<Piece>,
    cursor: TreeCursor,
    bytes: Vec<u8>,
    rows: VecDeque<FeedRow>,
    is_done: bool,
}

impl Feed {
    /// The rows of a range.
    pub fn new(piece: Arc<Piece>, tree: TreeId, range: KeyRange, reverse: bool) -> Self {
        let cursor = TreeCursor::new(piece.version().clone(), tree, range, reverse);
        Feed { piece, cursor, bytes: Vec::new(), rows: VecDeque::new(), is_done: false }
    }

    /// Whether it reads this piece.
    pub fn is_of(&self, piece: &Arc<Piece>) -> bool {
        Arc::ptr_eq(&self.piece, piece)
    }

    /// Whether a leaf must be read before it can say what comes next.
    #[inline]
    pub fn is_hungry(&self) -> bool {
        self.rows.is_empty() && !self.is_done
    }

    /// Whether nothing comes behind the rows that are copied out.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Rows copied out.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Row `index` of these: its key and its versions.
    pub fn row(&self, index: usize) -> (&[u8], &[u8]) {
        let row = &self.rows[index];
        self.bytes[row.at..row.at + row.key_len + row.value_len].split_at(row.key_len)
    }

    /// Forgets the first row.
    pub fn pop(&mut self) {
        self.rows.pop_front();
    }

    /// The pages that will be read next, where that is known.
    pub fn upcoming(&self, pages: &PageStore, pin: &Pin<'_>) -> Vec<PagePtr> {
        self.cursor.upcoming(pages, pin, READ_AHEAD_COUNT)
    }

    /// Reads the next leaf. Answers a page that is missing; `long`: a long value that the caller has. Errors: XX001.
    pub fn fill(
        &mut self,
        pages: &PageStore,
        pin: &Pin<'_>,
        long: Option<&LongValue>,
    ) -> Result<Option<PagePtr>> {
        if self.rows.is_empty() {
            self.bytes.clear();
        }
        let leaf = match self.cursor.next(pages, pin)? {
            CursorStep::Missing(page) => return Ok(Some(page)),
            CursorStep::End => {
                self.is_done = true;
                return Ok(None);
            }
            CursorStep::Leaf(leaf) => leaf,
        };
        for row in 0..leaf.len() {
            let at = self.bytes.len();
            self.bytes.extend_from_slice(leaf.prefix());
            self.bytes.extend_from_slice(leaf.suffix(row));
            let key_len = self.bytes.len() - at;
            let value = match leaf.value(row) {
                LeafValue::Inline(value) => Some(value),
                LeafValue::Overflow(page, len) => {
                    let value = match long.and_then(|long| long.of(&page)) {
                        Some(value) => Some(value),
                        None => pages.overflow(pin, page, len)?,
                    };
                    if value.is_none() {
                        // The rows before it are taken; the feed comes back for this one.
                        self.cursor.seek_from(&self.bytes[at..]);
                        self.bytes.truncate(at);
                        return Ok(self.rows.is_empty().then_some(page));
                    }
                    value
                }
            };
            let value = value.expect("a missing one was answered");
            self.bytes.extend_from_slice(value);
            self.rows.push_back(FeedRow { at, key_len, value_len: value.len() });
        }
        Ok(None)
    }
}
