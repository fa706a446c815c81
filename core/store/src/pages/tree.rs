//! Reading the trees of one version: point lookup, splitting a range, figures. Plain functions: a page that is not in
//! memory is an answer, not a wait.

use super::history::{History, is_history};
use super::inner::InnerView;
use super::leaf::{LeafValue, LeafView};
use super::merge::TreeRoot;
use super::page::{self, PageKind};
use super::pool::{Pin, Pool};
use super::superblock::MetaRoot;
use super::{LongValue, StoreState, TreeGet, TreeStats};
use orrery_base::kv::KeyRange;
use orrery_base::{PagePtr, Result, TreeId};
use std::ops::Bound;
use std::sync::Arc;

/// One published state of all trees. Holding it pins its pages on disk (I4).
#[derive(Clone, Debug)]
pub struct TreeVersion {
    pub(super) sequence: u64,
    pub(super) state: StoreState,
    /// By tree id.
    pub(super) roots: Vec<(TreeId, TreeRoot)>,
    pub(super) meta: Option<MetaRoot>,
    pub(super) free_space_extents: Vec<super::free_space::Extent>,
    pub(super) history: Arc<History>,
}

impl TreeVersion {
    /// Its checkpoint's sequence number.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The state that was written with it.
    pub fn state(&self) -> &StoreState {
        &self.state
    }

    /// Its trees that have rows, in order; not those of the history.
    pub fn trees(&self) -> impl Iterator<Item = TreeId> + '_ {
        self.roots.iter().map(|(tree, _)| *tree).filter(|tree| !is_history(*tree))
    }

    /// What is known of the past.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whether the tree has a row.
    #[inline]
    pub fn has_rows(&self, tree: TreeId) -> bool {
        self.root(tree).is_some()
    }

    /// The rows of a tree.
    pub fn row_count(&self, tree: TreeId) -> u64 {
        self.root(tree).map_or(0, |root| root.entry_count)
    }

    #[inline]
    pub(super) fn root(&self, tree: TreeId) -> Option<&TreeRoot> {
        let index = self.roots.binary_search_by_key(&tree, |(tree, _)| *tree).ok()?;
        Some(&self.roots[index].1)
    }
}

/// Looks one key up.
#[inline]
pub fn get<'p>(
    pool: &Pool,
    version: &TreeVersion,
    pin: &'p Pin<'_>,
    tree: TreeId,
    key: &[u8],
) -> Result<TreeGet<'p>> {
    get_with(pool, version, pin, (tree, key), &[])
}

/// See [`super::PageStore::get_with`].
#[inline]
pub fn get_with<'p>(
    pool: &Pool,
    version: &TreeVersion,
    pin: &'p Pin<'_>,
    (tree, key): (TreeId, &[u8]),
    long: &'p [LongValue],
) -> Result<TreeGet<'p>> {
    let Some(root) = version.root(tree) else { return Ok(TreeGet::Absent) };
    let mut ptr = root.ptr;
    for _ in 1..root.height {
        let Some(page) = pool.lookup(pin, &ptr) else { return Ok(TreeGet::Missing(ptr)) };
        if page::kind_byte(page) != PageKind::Inner as u8 {
            return Err(page::wrong_kind(&ptr, page));
        }
        let inner = InnerView::new(page);
        ptr = inner.child(inner.child_index(key));
    }
    let Some(page) = pool.lookup(pin, &ptr) else { return Ok(TreeGet::Missing(ptr)) };
    if page::kind_byte(page) != PageKind::RowLeaf as u8 {
        return Err(page::wrong_kind(&ptr, page));
    }
    let leaf = LeafView::new(page);
    let Ok(row) = leaf.search(key) else { return Ok(TreeGet::Absent) };
    let timestamp = leaf.timestamp(row);
    match leaf.value(row) {
        LeafValue::Inline(value) => Ok(TreeGet::Found { value, timestamp }),
        LeafValue::Overflow(ptr, len) => Ok(match long.iter().find_map(|long| long.of(&ptr)) {
            Some(value) => TreeGet::Found { value, timestamp },
            None => match overflow(pool, pin, &ptr, len)? {
                Some(value) => TreeGet::Found { value, timestamp },
                None => TreeGet::Missing(ptr),
            },
        }),
    }
}

/// A long value's bytes; `None` when its page is not in memory.
pub fn overflow<'p>(pool: &Pool, pin: &'p Pin<'_>, ptr: &PagePtr, len: usize) -> Result<Option<&'p [u8]>> {
    let Some(page) = pool.lookup(pin, ptr) else { return Ok(None) };
    if page::kind_byte(page) != PageKind::Overflow as u8 {
        return Err(page::wrong_kind(ptr, page));
    }
    let value = page::payload(page);
    if value.len() != len {
        return Err(page::damaged(ptr, format!("a value of {} bytes found, {len} expected", value.len())));
    }
    Ok(Some(value))
}

/// A tree's figures.
pub fn stats(version: &TreeVersion, tree: TreeId, unit_bytes: usize) -> TreeStats {
    version.root(tree).map_or(TreeStats::default(), |root| TreeStats {
        entry_count: root.entry_count,
        page_bytes: root.unit_count * unit_bytes as u64,
        height: root.height,
        max_timestamp: root.timestamp_max,
    })
}

/// Cuts `range` into at most `parts` pieces at separators of inner pages in memory, the highest level that has enough.
pub fn split(
    pool: &Pool,
    pin: &Pin<'_>,
    version: &TreeVersion,
    tree: TreeId,
    range: &KeyRange,
    parts: usize,
) -> Vec<KeyRange> {
    let Some(root) = version.root(tree).filter(|_| parts > 1) else { return vec![range.clone()] };
    let mut level_ptrs = vec![root.ptr];
    let mut separators: Vec<Vec<u8>> = Vec::new();
    for _ in 1..root.height {
        let (mut next_ptrs, mut next_separators) = (Vec::new(), Vec::new());
        for (index, ptr) in level_ptrs.iter().enumerate() {
            if index > 0 {
                next_separators.push(separators[index - 1].clone());
            }
            let Some(page) =
                pool.lookup(pin, ptr).filter(|page| page::kind_byte(page) == PageKind::Inner as u8)
            else {
                return cut_range(range, &separators, parts);
            };
            let inner = InnerView::new(page);
            next_ptrs.extend((0..inner.len()).map(|child| inner.child(child)));
            next_separators.extend((1..inner.len()).map(|child| inner.separator(child)));
        }
        (level_ptrs, separators) = (next_ptrs, next_separators);
        if separators.iter().filter(|key| is_inside(range, key)).count() >= 4 * parts {
            break;
        }
    }
    cut_range(range, &separators, parts)
}

/// Whether cutting before `key` leaves something on both sides.
fn is_inside(range: &KeyRange, key: &[u8]) -> bool {
    let above = match &range.start {
        Bound::Included(start) | Bound::Excluded(start) => key > start.as_slice(),
        Bound::Unbounded => true,
    };
    above
        && match &range.end {
            Bound::Included(end) | Bound::Excluded(end) => key < end.as_slice(),
            Bound::Unbounded => true,
        }
}

fn cut_range(range: &KeyRange, separators: &[Vec<u8>], parts: usize) -> Vec<KeyRange> {
    let inside: Vec<&Vec<u8>> = separators.iter().filter(|key| is_inside(range, key)).collect();
    let parts = parts.min(inside.len() + 1);
    let mut pieces = Vec::with_capacity(parts);
    let mut start = range.start.clone();
    for part in 1..parts {
        // Of n + 1 pages, the part's share ends before page (n + 1) × part / parts.
        let cut = inside[(inside.len() + 1) * part / parts - 1];
        pieces.push(KeyRange { start, end: Bound::Excluded(cut.clone()) });
        start = Bound::Included(cut.clone());
    }
    pieces.push(KeyRange { start, end: range.end.clone() });
    pieces
}
