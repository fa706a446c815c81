//! The writes of a transaction that are about to leave its memory, while they are written out. They stay readable until they are readable
//! there, and remain where they are if that fails.

use super::spill::Undone;
use super::write_set::{NONE, TreeWrites, bounds_inverted, sorted_span};
use super::{EachWrite, Footprint, KeyBounds};
use orrery_base::TreeId;
use orrery_base::sorting::map_of;
use std::collections::BTreeMap;

struct FrozenTree {
    writes: TreeWrites,
    /// The newest entry of each key, in key order.
    order: Vec<u32>,
}

/// See the file's head.
pub struct FrozenWrites {
    trees: BTreeMap<TreeId, FrozenTree>,
    marks: (u32, u32),
    footprint: Footprint,
}

impl FrozenWrites {
    pub(super) fn new(trees: BTreeMap<TreeId, TreeWrites>, footprint: Footprint) -> Self {
        let sequences = || trees.values().flat_map(|it| &it.entries).map(|entry| entry.sequence);
        let marks = (sequences().min().unwrap_or(0), sequences().max().unwrap_or(0));
        let trees = trees.into_iter().filter(|(_, writes)| !writes.entries.is_empty());
        let trees = trees.map(|(tree, writes)| (tree, FrozenTree { order: writes.merged_order(), writes }));
        FrozenWrites { trees: map_of(trees), marks, footprint }
    }

    pub(super) fn into_trees(self) -> BTreeMap<TreeId, TreeWrites> {
        map_of(self.trees.into_iter().map(|(tree, frozen)| (tree, frozen.writes)))
    }

    /// The least and the greatest number of a write.
    pub fn marks(&self) -> (u32, u32) {
        self.marks
    }

    /// What they will take in the trees, about.
    pub fn footprint(&self) -> Footprint {
        self.footprint
    }

    /// Bytes of memory taken, about.
    pub fn byte_count(&self) -> usize {
        self.trees.values().map(|tree| tree.writes.byte_count() + size_of_val(&*tree.order)).sum()
    }

    /// How many keys.
    pub fn key_count(&self) -> usize {
        self.trees.values().map(|tree| tree.order.len()).sum()
    }

    /// The trees with writes, in order.
    pub fn trees(&self) -> impl Iterator<Item = TreeId> + '_ {
        self.trees.keys().copied()
    }

    /// The least and the greatest key of each tree.
    pub fn spans(&self) -> BTreeMap<TreeId, (Vec<u8>, Vec<u8>)> {
        let span = |frozen: &FrozenTree| {
            let end = |id: Option<&u32>| frozen.writes.key(*id.expect("a frozen tree has a key")).to_vec();
            (end(frozen.order.first()), end(frozen.order.last()))
        };
        map_of(self.trees.iter().map(|(tree, frozen)| (*tree, span(frozen))))
    }

    /// Hands every key to `each`.
    pub fn each_key(&self, each: &mut dyn FnMut(TreeId, &[u8])) {
        for (&tree, frozen) in &self.trees {
            frozen.order.iter().for_each(|&id| each(tree, frozen.writes.key(id)));
        }
    }

    /// Key `index` of a tree.
    ///
    /// # Panics
    /// When there is none.
    pub fn key(&self, tree: TreeId, index: usize) -> &[u8] {
        let frozen = &self.trees[&tree];
        frozen.writes.key(frozen.order[index])
    }

    /// Hands the versions of key `index` of a tree to `each`, newest first. `false`: there is no such key.
    pub fn each_version(&self, tree: TreeId, index: usize, each: &mut dyn FnMut(u32, Option<&[u8]>)) -> bool {
        let Some(frozen) = self.trees.get(&tree) else { return false };
        let Some(&first) = frozen.order.get(index) else { return false };
        let mut id = first;
        while id != NONE {
            let entry = &frozen.writes.entries[id as usize];
            each(entry.sequence, frozen.writes.value(id));
            id = entry.older;
        }
        true
    }

    /// What the writes below `limit` say of a key: `None` nothing, `Some(None)` deleted.
    pub fn get(&self, tree: TreeId, key: &[u8], limit: u32, undone: &Undone) -> Option<Option<&[u8]>> {
        let writes = &self.trees.get(&tree)?.writes;
        let is_wanted = |sequence| sequence < limit && !undone.contains(sequence);
        writes.first_of_chain(writes.newest(key)?, is_wanted).map(|id| writes.value(id))
    }

    /// Hands the writes of a range to `each`, as [`super::write_set::WriteSet::gather`].
    pub fn gather(
        &self,
        tree: TreeId,
        bounds: KeyBounds<'_>,
        reverse: bool,
        (limit, undone): (u32, &Undone),
        each: &mut EachWrite<'_>,
    ) -> bool {
        let Some(FrozenTree { writes, order }) = self.trees.get(&tree) else { return true };
        if bounds_inverted(bounds) {
            return true;
        }
        let (low, high) = sorted_span(order.len(), bounds, |index| writes.key(order[index]));
        let is_wanted = |sequence| sequence < limit && !undone.contains(sequence);
        let mut take = |index: usize| match writes.first_of_chain(order[index], is_wanted) {
            Some(id) => each(writes.key(id), writes.value(id)),
            None => true,
        };
        if reverse { (low..high).rev().all(&mut take) } else { (low..high).all(&mut take) }
    }
}
