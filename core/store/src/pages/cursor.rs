//! A cursor over one tree of one version: a leaf at a time, forward or backward.
//!
//! It keeps its path as pointers, not as pages, so it holds nothing in memory between calls, and it can be set behind any
//! key of its range ([`TreeCursor::seek_after`]).

use super::inner::InnerView;
use super::leaf::{LeafValue, LeafView};
use super::page::{self, PageKind};
use super::pool::{Pin, Pool};
use super::tree::TreeVersion;
use super::{CursorStep, PageStore};
use orrery_base::kv::KeyRange;
use orrery_base::{PagePtr, Result, Timestamp, TreeId};
use std::ops::Bound;
use std::sync::Arc;

/// The rows of one leaf that lie in a cursor's range, counted in scan order.
#[derive(Clone, Copy)]
pub struct LeafRows<'p> {
    leaf: LeafView<'p>,
    start: usize,
    end: usize,
    is_reverse: bool,
    /// The leaf behind it: its memory is asked for while this one is read.
    next_leaf: Option<LeafView<'p>>,
}

impl<'p> LeafRows<'p> {
    /// How many rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    #[inline]
    fn row(&self, index: usize) -> usize {
        assert!(index < self.len(), "a row of the leaf");
        if self.is_reverse { self.end - 1 - index } else { self.start + index }
    }

    /// What all keys of the leaf begin with.
    #[inline]
    pub fn prefix(&self) -> &'p [u8] {
        self.leaf.prefix()
    }

    /// The rest of row `index`'s key.
    #[inline]
    pub fn suffix(&self, index: usize) -> &'p [u8] {
        self.leaf.suffix(self.row(index))
    }

    /// Row `index`'s value.
    #[inline]
    pub fn value(&self, index: usize) -> LeafValue<'p> {
        self.leaf.value(self.row(index))
    }

    /// The values of rows `from` to `until` up to the first long one; none in a backward scan. On the way the first
    /// `wanted_bytes` of the next leaf's values are asked for: a scan over pages in memory mostly waits for that memory, and
    /// only about a dozen requests for it may be under way at once, so no more is asked for than will be read.
    #[inline]
    pub fn inline_values(
        &self,
        from: usize,
        until: usize,
        wanted_bytes: usize,
    ) -> impl Iterator<Item = &'p [u8]> {
        assert!(from <= until && until <= self.len(), "rows of the leaf");
        let until = if self.is_reverse { from } else { until };
        let next_leaf = self.next_leaf;
        let values = self.leaf.inline_values(self.start + from..self.start + until);
        values.zip(from..).map(move |(value, index)| {
            if let Some(next) = &next_leaf {
                next.prefetch_value(index, wanted_bytes);
            }
            value
        })
    }

    /// When row `index` was committed.
    #[inline]
    pub fn timestamp(&self, index: usize) -> Timestamp {
        self.leaf.timestamp(self.row(index))
    }

    /// Not below any row's timestamp.
    #[inline]
    pub fn max_timestamp(&self) -> Timestamp {
        self.leaf.timestamp_max()
    }

    /// How many of the rows come before `key` in scan order, and whether `key` itself follows.
    #[inline]
    pub fn position(&self, key: &[u8]) -> (usize, bool) {
        let (row, found) = self.leaf.search(key).map_or_else(|row| (row, false), |row| (row, true));
        let found = found && row >= self.start && row < self.end;
        let index = match self.is_reverse {
            false => row.clamp(self.start, self.end) - self.start,
            true => self.end - (row + usize::from(found)).clamp(self.start, self.end),
        };
        (index, found)
    }
}

/// See the module.
pub struct TreeCursor {
    version: Arc<TreeVersion>,
    tree: TreeId,
    range: KeyRange,
    is_reverse: bool,
    /// The inner pages above the next leaf, from the root, each with the child to take next.
    path: Vec<(PagePtr, usize)>,
    place: Place,
    /// The two leaves after the next one, when they are known cheaply.
    following: [Option<PagePtr>; 2],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// Descend to the range's start.
    Seek,
    /// The leaf to take next; whether it is the first since the seek.
    At(PagePtr, bool),
    /// The lowest page of the path has the next child, or is done.
    Climb,
    End,
}

impl TreeCursor {
    /// A cursor at the start of `range` (at its end, if reverse).
    pub fn new(version: Arc<TreeVersion>, tree: TreeId, range: KeyRange, is_reverse: bool) -> Self {
        TreeCursor {
            version,
            tree,
            range,
            is_reverse,
            path: Vec::new(),
            place: Place::Seek,
            following: [None; 2],
        }
    }

    /// The version it reads.
    pub fn version(&self) -> &Arc<TreeVersion> {
        &self.version
    }

    /// Goes on behind `key`, in scan direction.
    pub fn seek_after(&mut self, key: &[u8]) {
        let bound = Bound::Excluded(key.to_vec());
        if self.is_reverse {
            self.range.end = bound;
        } else {
            self.range.start = bound;
        }
        self.place = Place::Seek;
    }

    /// Goes on at `key`, in scan direction.
    pub fn seek_from(&mut self, key: &[u8]) {
        let bound = Bound::Included(key.to_vec());
        if self.is_reverse {
            self.range.end = bound;
        } else {
            self.range.start = bound;
        }
        self.place = Place::Seek;
    }

    /// The next leaf's rows in the range. Leaves without any are passed over.
    pub fn next<'p>(&mut self, store: &PageStore, pin: &'p Pin<'_>) -> Result<CursorStep<'p>> {
        loop {
            match self.place {
                Place::End => return Ok(CursorStep::End),
                Place::Seek => {
                    if let Some(missing) = self.seek(&store.pool, pin)? {
                        return Ok(CursorStep::Missing(missing));
                    }
                }
                Place::Climb => {
                    if let Some(missing) = self.climb(&store.pool, pin)? {
                        return Ok(CursorStep::Missing(missing));
                    }
                }
                Place::At(ptr, is_first) => {
                    let Some(page) = store.pool.lookup(pin, &ptr) else {
                        return Ok(CursorStep::Missing(ptr));
                    };
                    if page::kind_byte(page) != PageKind::RowLeaf as u8 {
                        return Err(page::wrong_kind(&ptr, page));
                    }
                    let mut rows = self.rows_in_range(LeafView::new(page), is_first);
                    rows.next_leaf = self.look_ahead(&store.pool, pin);
                    if !rows.is_empty() {
                        return Ok(CursorStep::Leaf(rows));
                    }
                }
            }
        }
    }

    /// The next leaf and those that follow it in the lowest inner page, up to `count`, as far as they are not in memory:
    /// to be loaded together ([`PageStore::load_all`]) when the scan is going to take them.
    pub fn upcoming(&self, store: &PageStore, pin: &Pin<'_>, count: usize) -> Vec<PagePtr> {
        let Some((ptr, index)) = self.path.last() else { return vec![] };
        let Some(page) = store.pool.lookup(pin, ptr) else { return vec![] };
        let inner = InnerView::new(page);
        let mut children: Vec<PagePtr> = match self.is_reverse {
            false => (*index..inner.len().min(index + count)).map(|index| inner.child(index)).collect(),
            true => (index.saturating_sub(count)..*index).rev().map(|index| inner.child(index)).collect(),
        };
        if let Place::At(next, _) = self.place {
            children.insert(0, next);
        }
        children.retain(|child| store.pool.lookup(pin, child).is_none());
        children
    }

    /// Descends from the root to the leaf where the range begins. Answers a missing page.
    fn seek(&mut self, pool: &Pool, pin: &Pin<'_>) -> Result<Option<PagePtr>> {
        let Some(root) = self.version.root(self.tree) else {
            self.place = Place::End;
            return Ok(None);
        };
        let (mut ptr, height) = (root.ptr, root.height);
        self.path.clear();
        for _ in 1..height {
            let Some(inner) = inner_page(pool, pin, &ptr)? else { return Ok(Some(ptr)) };
            let index = match (self.is_reverse, &self.range.start, &self.range.end) {
                (false, Bound::Included(key) | Bound::Excluded(key), _) => inner.child_index(key),
                (false, Bound::Unbounded, _) => 0,
                (true, _, Bound::Included(key) | Bound::Excluded(key)) => inner.child_index(key),
                (true, _, Bound::Unbounded) => inner.len() - 1,
            };
            self.path.push((ptr, self.next_index(index)));
            ptr = inner.child(index);
            self.following = self.following(&inner, index);
        }
        self.place = Place::At(ptr, true);
        Ok(None)
    }

    /// The pages after child `index` in a forward scan.
    fn following(&self, inner: &InnerView<'_>, index: usize) -> [Option<PagePtr>; 2] {
        let child = |index| (!self.is_reverse && index < inner.len()).then(|| inner.child(index));
        [child(index + 1), child(index + 2)]
    }

    /// The leaf behind the one that was just found, its slots asked for; of the leaf behind that, the header.
    fn look_ahead<'p>(&mut self, pool: &Pool, pin: &'p Pin<'_>) -> Option<LeafView<'p>> {
        let [next, after] = std::mem::take(&mut self.following);
        if let Some(after) = after {
            pool.prefetch_head(&after);
        }
        let page = pool.peek(pin, &next?)?;
        let leaf = (page::kind_byte(page) == PageKind::RowLeaf as u8).then(|| LeafView::new(page))?;
        leaf.prefetch_slots();
        Some(leaf)
    }

    /// The child to take after `index`. Backward, children are counted from 1, so that 0 is "none left".
    fn next_index(&self, index: usize) -> usize {
        if self.is_reverse { index } else { index + 1 }
    }

    /// Goes to the next leaf by the path. Changes nothing when a page is missing.
    fn climb(&mut self, pool: &Pool, pin: &Pin<'_>) -> Result<Option<PagePtr>> {
        let mut kept = self.path.len();
        let (mut ptr, mut index);
        loop {
            if kept == 0 {
                self.place = Place::End;
                return Ok(None);
            }
            (ptr, index) = self.path[kept - 1];
            let Some(inner) = inner_page(pool, pin, &ptr)? else { return Ok(Some(ptr)) };
            if if self.is_reverse { index > 0 } else { index < inner.len() } {
                break;
            }
            kept -= 1;
        }
        let depth = self.path.len();
        if kept == depth {
            // The usual case: the next child of the same page.
            let Some(inner) = inner_page(pool, pin, &ptr)? else { return Ok(Some(ptr)) };
            let child = if self.is_reverse { index - 1 } else { index };
            if !self.is_reverse && self.ends_before(&inner, child) {
                self.place = Place::End;
                return Ok(None);
            }
            self.path[depth - 1].1 = self.next_index(child);
            self.place = Place::At(inner.child(child), false);
            self.following = self.following(&inner, child);
            return Ok(None);
        }
        let mut path = self.path[..kept - 1].to_vec();
        for level in kept - 1..depth {
            let Some(inner) = inner_page(pool, pin, &ptr)? else { return Ok(Some(ptr)) };
            if level > kept - 1 {
                index = if self.is_reverse { inner.len() } else { 0 };
            }
            let child = if self.is_reverse { index - 1 } else { index };
            path.push((ptr, self.next_index(child)));
            ptr = inner.child(child);
        }
        self.path = path;
        self.place = Place::At(ptr, false);
        Ok(None)
    }

    /// Whether the range ends at or before `child`'s lower bound.
    fn ends_before(&self, inner: &InnerView<'_>, child: usize) -> bool {
        match &self.range.end {
            Bound::Included(end) => child > 0 && inner.compare_separator(child, end).is_gt(),
            Bound::Excluded(end) => child > 0 && inner.compare_separator(child, end).is_ge(),
            Bound::Unbounded => false,
        }
    }

    /// Cuts the leaf by the range, and says where to go next.
    fn rows_in_range<'p>(&mut self, leaf: LeafView<'p>, is_first: bool) -> LeafRows<'p> {
        let (mut start, mut end) = (0, leaf.len());
        // The side where the scan began is cut in its first leaf only.
        if is_first || self.is_reverse {
            start = match &self.range.start {
                Bound::Included(key) => leaf.search(key).unwrap_or_else(|at| at),
                Bound::Excluded(key) => leaf.search(key).map_or_else(|at| at, |at| at + 1),
                Bound::Unbounded => 0,
            };
        }
        if is_first || !self.is_reverse {
            end = match &self.range.end {
                Bound::Included(key) => leaf.search(key).map_or_else(|at| at, |at| at + 1),
                Bound::Excluded(key) => leaf.search(key).unwrap_or_else(|at| at),
                Bound::Unbounded => leaf.len(),
            };
        }
        let is_last = if self.is_reverse { start > 0 } else { end < leaf.len() };
        self.place = if is_last { Place::End } else { Place::Climb };
        LeafRows { leaf, start: start.min(end), end, is_reverse: self.is_reverse, next_leaf: None }
    }
}

fn inner_page<'p>(pool: &Pool, pin: &'p Pin<'_>, ptr: &PagePtr) -> Result<Option<InnerView<'p>>> {
    let Some(page) = pool.lookup(pin, ptr) else { return Ok(None) };
    match page::kind_byte(page) == PageKind::Inner as u8 {
        true => Ok(Some(InnerView::new(page))),
        false => Err(page::wrong_kind(ptr, page)),
    }
}
