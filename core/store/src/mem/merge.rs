//! Newer entries over older ones: the patches that a scan lays over tree leaves, and the run that a checkpoint merges
//! into the trees.
//!
//! Sources are ranked, newest first; of several entries for one key the first rank counts. They are read in chunks
//! that are copied out, so no lock is held between chunks, and a chunk of one source never outruns the others: entries
//! count only up to the nearest end of an unfinished source.

use super::view::Layer;
use super::write_set::{SealedWrites, WriteSet};
use super::{KeyBounds, Version, bounds_of};
use crate::pages::{RunCursor, RunEntry};
use orrery_base::kv::KeyRange;
use orrery_base::{Timestamp, TreeId};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Entries of a source's first chunk; later chunks grow to [`CHUNK_COUNT_MAX`].
const CHUNK_COUNT_MIN: usize = 32;
const CHUNK_COUNT_MAX: usize = 1024;
const CHUNK_BYTES_MAX: usize = 1 << 20;
const TOMBSTONE: usize = usize::MAX;

#[derive(Clone, Copy, Debug)]
struct Patch {
    key_at: usize,
    key_len: usize,
    value_len: usize,
    timestamp: Timestamp,
    rank: usize,
    has_older: bool,
}

/// A sorted window of newer entries over a range of one tree.
pub struct Patches {
    tree: TreeId,
    range: KeyRange,
    reverse: bool,
    at: Timestamp,
    bytes: Vec<u8>,
    items: Vec<Patch>,
    next: usize,
    chunk_count: usize,
    is_last: bool,
}

/// What patches are read from, newest first.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The own write set, with the number below which its writes count.
    pub own: Option<(&'a WriteSet, u32)>,
    /// The layers.
    pub layers: &'a [Arc<Layer>],
}

impl Patches {
    /// The entries of a range at `at`. Nothing is read yet.
    pub fn new(tree: TreeId, range: KeyRange, reverse: bool, at: Timestamp) -> Self {
        Patches {
            tree,
            range,
            reverse,
            at,
            bytes: Vec::new(),
            items: Vec::new(),
            next: 0,
            chunk_count: CHUNK_COUNT_MIN,
            is_last: false,
        }
    }

    /// The tree.
    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// Whether the window is used up and another must be read by [`Patches::refill`].
    #[inline]
    pub fn wants_refill(&self) -> bool {
        self.next == self.items.len() && !self.is_last
    }

    /// The index of the next entry; `None` when the window is used up.
    #[inline]
    pub fn peek(&self) -> Option<usize> {
        (self.next < self.items.len()).then_some(self.next)
    }

    /// The entry behind `index` in the window.
    #[inline]
    pub fn after(&self, index: usize) -> Option<usize> {
        (index + 1 < self.items.len()).then_some(index + 1)
    }

    /// Whether more may come behind the window.
    #[inline]
    pub fn is_unfinished(&self) -> bool {
        !self.is_last
    }

    /// Goes on to the next entry.
    #[inline]
    pub fn advance(&mut self) {
        self.next += 1;
    }

    /// The key of entry `index` of the window.
    #[inline]
    pub fn key(&self, index: usize) -> &[u8] {
        let item = &self.items[index];
        &self.bytes[item.key_at..item.key_at + item.key_len]
    }

    /// The version of entry `index` of the window.
    #[inline]
    pub fn version(&self, index: usize) -> Version<'_> {
        let item = &self.items[index];
        let at = item.key_at + item.key_len;
        let value = (item.value_len != TOMBSTONE).then(|| &self.bytes[at..at + item.value_len]);
        Version { timestamp: item.timestamp, value, has_older: item.has_older }
    }

    /// Reads the next window. Afterwards it holds an entry, or there is none any more.
    pub fn refill(&mut self, sources: Sources<'_>) {
        while self.wants_refill() {
            self.read_window(sources);
        }
    }

    fn read_window(&mut self, sources: Sources<'_>) {
        self.bytes.clear();
        self.items.clear();
        self.next = 0;
        let mut horizon: Option<Patch> = None;
        let mut filled_count = 0;
        let own = usize::from(sources.own.is_some());
        for rank in 0..sources.layers.len() + own {
            let from = self.items.len();
            let done = self.gather(sources, rank, own);
            filled_count += usize::from(self.items.len() > from);
            if !done {
                let last = *self.items.last().expect("an unfinished source gave at least one entry");
                let nearer = horizon.is_none_or(|it| self.order(&last, &it) == Ordering::Less);
                horizon = if nearer { Some(last) } else { horizon };
            }
        }
        if filled_count > 1 {
            self.merge();
        }
        self.is_last = horizon.is_none();
        if let Some(horizon) = horizon {
            let keep = self.items.partition_point(|item| self.order(item, &horizon) != Ordering::Greater);
            self.items.truncate(keep);
            let key = self.bytes[horizon.key_at..horizon.key_at + horizon.key_len].to_vec();
            let from = Bound::Excluded(key);
            if self.reverse { self.range.end = from } else { self.range.start = from }
        }
        self.chunk_count = (self.chunk_count * 4).min(CHUNK_COUNT_MAX);
    }

    fn gather(&mut self, sources: Sources<'_>, rank: usize, own: usize) -> bool {
        let Patches { tree, range, reverse, at, bytes, items, chunk_count, .. } = self;
        let bounds: KeyBounds<'_> = bounds_of(range);
        let (item_limit, byte_limit) = (items.len() + *chunk_count, bytes.len() + CHUNK_BYTES_MAX);
        let first = items.len();
        let mut take = |key: &[u8], version: Version<'_>| {
            if items.len() >= item_limit || (bytes.len() >= byte_limit && items.len() > first) {
                return false;
            }
            let key_at = bytes.len();
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(version.value.unwrap_or_default());
            let value_len = version.value.map_or(TOMBSTONE, <[u8]>::len);
            let (timestamp, has_older) = (version.timestamp, version.has_older);
            items.push(Patch { key_at, key_len: key.len(), value_len, timestamp, rank, has_older });
            true
        };
        match sources.own {
            Some((writes, limit)) if rank == 0 => {
                writes.gather(*tree, bounds, *reverse, limit, &mut |key, value| {
                    take(key, Version { timestamp: Timestamp::MAX, value, has_older: false })
                })
            }
            _ => sources.layers[rank - own].gather(*tree, bounds, *reverse, *at, &mut take),
        }
    }

    /// Orders by key in scan direction.
    fn order(&self, a: &Patch, b: &Patch) -> Ordering {
        let key = |it: &Patch| &self.bytes[it.key_at..it.key_at + it.key_len];
        let order = key(a).cmp(key(b));
        if self.reverse { order.reverse() } else { order }
    }

    fn merge(&mut self) {
        let mut items = std::mem::take(&mut self.items);
        items.sort_by(|a, b| self.order(a, b).then(a.rank.cmp(&b.rank)));
        items.dedup_by(|b, a| {
            let is_older = self.order(a, b) == Ordering::Equal;
            a.has_older |= is_older;
            is_older
        });
        self.items = items;
    }
}

/// The newest version of everything in some frozen layers, as a run for a checkpoint.
pub struct MergedRun {
    layers: Vec<Arc<Layer>>,
    trees: Vec<TreeId>,
    dropped: BTreeMap<TreeId, Timestamp>,
    next_tree: usize,
    patches: Option<Patches>,
}

impl MergedRun {
    /// Of these layers, newest first. None of them changes any more.
    pub fn new(layers: Vec<Arc<Layer>>) -> Self {
        let mut trees: Vec<TreeId> = layers.iter().flat_map(|layer| layer.trees()).collect();
        trees.sort_unstable();
        trees.dedup();
        let dropped_at = |&tree: &TreeId| {
            let newest = layers.iter().find_map(|layer| layer.dropped(tree, Timestamp::MAX));
            newest.map(|timestamp| (tree, timestamp))
        };
        let dropped = trees.iter().filter_map(dropped_at).collect();
        let mut run = MergedRun { layers, trees, dropped, next_tree: 0, patches: None };
        run.settle();
        run
    }

    /// The trees that are dropped, and when.
    pub fn dropped_trees(&self) -> &BTreeMap<TreeId, Timestamp> {
        &self.dropped
    }

    /// The layers over the last drop of a tree.
    fn layers_of(&self, tree: TreeId) -> &[Arc<Layer>] {
        let hides = |layer: &Arc<Layer>| layer.dropped(tree, Timestamp::MAX).is_some();
        let depth = match self.dropped.contains_key(&tree) {
            true => self.layers.iter().position(hides),
            false => None,
        };
        depth.map_or(&self.layers[..], |index| &self.layers[..=index])
    }

    /// Goes on until an entry is under the cursor or there is none.
    fn settle(&mut self) {
        loop {
            let tree = self.patches.as_ref().map(|patches| patches.tree);
            let layers = tree.map_or_else(Vec::new, |tree| self.layers_of(tree).to_vec());
            if let Some(patches) = &mut self.patches {
                patches.refill(Sources { own: None, layers: &layers });
                if patches.peek().is_some() {
                    return;
                }
            }
            let Some(&tree) = self.trees.get(self.next_tree) else {
                self.patches = None;
                return;
            };
            self.next_tree += 1;
            self.patches = Some(Patches::new(tree, KeyRange::all(), false, Timestamp::MAX));
        }
    }
}

impl RunCursor for MergedRun {
    fn entry(&self) -> Option<RunEntry<'_>> {
        let patches = self.patches.as_ref()?;
        let index = patches.peek()?;
        let version = patches.version(index);
        Some(RunEntry {
            tree: patches.tree,
            key: patches.key(index),
            timestamp: version.timestamp,
            value: version.value,
        })
    }

    fn advance(&mut self) {
        if let Some(patches) = &mut self.patches {
            patches.advance();
            if patches.peek().is_none() {
                self.settle();
            }
        }
    }

    fn has_older(&self) -> bool {
        let patches = self.patches.as_ref();
        patches.is_some_and(|it| it.peek().is_some_and(|index| it.version(index).has_older))
    }

    fn older(&self, each: &mut dyn FnMut(Timestamp, Option<&[u8]>)) {
        let Some(patches) = self.patches.as_ref().filter(|_| self.has_older()) else { return };
        let Some(index) = patches.peek() else { return };
        let newest = patches.version(index).timestamp;
        for layer in self.layers_of(patches.tree) {
            layer.versions(patches.tree, patches.key(index), &mut |version| {
                if version.timestamp < newest {
                    each(version.timestamp, version.value);
                }
            });
        }
    }
}

/// A single adopted run, read in place.
pub struct AdoptedRun {
    writes: Arc<SealedWrites>,
    timestamp: Timestamp,
    trees: Vec<TreeId>,
    tree: usize,
    index: usize,
}

impl AdoptedRun {
    /// Of this commit.
    pub fn new(writes: Arc<SealedWrites>, timestamp: Timestamp) -> Self {
        let trees = writes.trees().keys().copied().collect();
        AdoptedRun { writes, timestamp, trees, tree: 0, index: 0 }
    }
}

impl RunCursor for AdoptedRun {
    fn entry(&self) -> Option<RunEntry<'_>> {
        let &tree = self.trees.get(self.tree)?;
        let (key, value) = self.writes.trees()[&tree].pair(self.index);
        Some(RunEntry { tree, key, timestamp: self.timestamp, value })
    }

    fn advance(&mut self) {
        self.index += 1;
        if self.index == self.writes.trees()[&self.trees[self.tree]].len() {
            (self.tree, self.index) = (self.tree + 1, 0);
        }
    }
}
