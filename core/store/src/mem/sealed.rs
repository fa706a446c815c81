//! The immutable form of a write set: what a commit is from its sequencing on, and a layer when it is large.

use super::arena::Arena;
use super::filter::Filter;
use super::spill::{Piece, Undone};
use super::write_set::{Entry, TOMBSTONE, sorted_span};
use super::{Footprint, KeyBounds, key_hash};
use orrery_base::TreeId;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The sealed writes of one tree: sorted, each key once.
#[derive(Debug)]
pub struct SealedTree {
    pub(super) arena: Arena,
    pub(super) entries: Vec<Entry>,
    /// Which entries, in key order; `None`: all, as they lie.
    pub(super) order: Option<Vec<u32>>,
}

impl SealedTree {
    /// How many keys.
    pub fn len(&self) -> usize {
        self.order.as_ref().map_or(self.entries.len(), Vec::len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn entry(&self, index: usize) -> &Entry {
        match &self.order {
            None => &self.entries[index],
            Some(order) => &self.entries[order[index] as usize],
        }
    }

    /// The key at `index`.
    #[inline]
    pub fn key(&self, index: usize) -> &[u8] {
        let entry = self.entry(index);
        self.arena.get(entry.at, 0, usize::from(entry.key_len))
    }

    /// The key and the value at `index`; `None` is a tombstone.
    #[inline]
    pub fn pair(&self, index: usize) -> (&[u8], Option<&[u8]>) {
        let entry = self.entry(index);
        let key_len = usize::from(entry.key_len);
        if entry.value_len == TOMBSTONE {
            return (self.arena.get(entry.at, 0, key_len), None);
        }
        let (key, value) = self.arena.get(entry.at, 0, key_len + entry.value_len as usize).split_at(key_len);
        (key, Some(value))
    }

    /// Bytes of memory taken.
    pub(super) fn byte_count(&self) -> usize {
        let order = self.order.as_ref().map_or(0, |order| size_of_val(&**order));
        self.arena.reserved_bytes() + size_of_val(&*self.entries) + order
    }

    /// The indexes of the keys within `bounds`.
    pub fn span(&self, bounds: KeyBounds<'_>) -> (usize, usize) {
        sorted_span(self.len(), bounds, |index| self.key(index))
    }

    /// The index of `key`.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let (low, high) = self.span((Bound::Included(key), Bound::Included(key)));
        (low < high).then_some(low)
    }
}

/// A write set that will not change any more.
#[derive(Default)]
pub struct SealedWrites {
    pub(super) trees: BTreeMap<TreeId, SealedTree>,
    pub(super) dropped: Vec<TreeId>,
    pub(super) byte_count: usize,
    pub(super) long: Footprint,
    pub(super) filter: Option<Filter>,
    /// Where older writes lie that did not fit into memory, oldest first.
    pub(super) pieces: Vec<Arc<Piece>>,
    pub(super) undone: Undone,
}

impl SealedWrites {
    pub(super) fn build_filter(&mut self) {
        let filter = Filter::with_capacity(self.trees.values().map(SealedTree::len).sum());
        for (&tree, writes) in &self.trees {
            for index in 0..writes.len() {
                filter.insert(key_hash(tree, writes.key(index)));
            }
        }
        self.byte_count += filter.byte_count();
        self.filter = Some(filter);
    }

    /// A planted bug.
    pub fn forget_rollbacks(&mut self) {
        self.undone = Undone::default();
    }

    /// A planted bug.
    pub fn reverse_pieces(&mut self) {
        self.pieces.reverse();
    }

    /// Its trees in memory.
    pub fn trees(&self) -> &BTreeMap<TreeId, SealedTree> {
        &self.trees
    }

    /// Trees it drops, sorted.
    pub fn dropped(&self) -> &[TreeId] {
        &self.dropped
    }

    /// Bytes of memory taken, about.
    pub fn byte_count(&self) -> usize {
        self.byte_count
    }

    /// What it will take in the trees, about; values that were replaced within it count too.
    pub fn footprint(&self) -> Footprint {
        let mut all = Footprint { bytes: self.byte_count as u64, ..self.long };
        self.pieces.iter().for_each(|piece| all += piece.footprint);
        all
    }

    /// The pieces that lie under the writes in memory, oldest first, and which writes in them do not count; none for a
    /// write set that stayed in memory.
    pub fn pieces(&self) -> (&[Arc<Piece>], &Undone) {
        (&self.pieces, &self.undone)
    }

    /// Whether it may write this key.
    #[inline]
    pub fn may_contain(&self, hash: u64) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.may_contain(hash))
    }

    /// What it says of a key: `None` nothing, `Some(None)` deleted.
    pub fn get(&self, tree: TreeId, key: &[u8]) -> Option<Option<&[u8]>> {
        let writes = self.trees.get(&tree)?;
        writes.find(key).map(|index| writes.pair(index).1)
    }
}
