//! The private writes of a transaction, and their immutable form.
//!
//! Every write carries a number that the transaction raises at each statement and savepoint. A statement sees own writes
//! numbered below its start; a savepoint is a number to go back to. So statement visibility, savepoints and rollback are one mechanism: per key a chain of
//! entries, newest first, and per tree the entries in the order they were made, which is the undo log.
//!
//! Keys that come in order (a sorted load) are only appended. From the first on that does not, all are found by a hash index
//! ([`super::key_index`]), and the order is made when somebody asks for it: by a scan ([`WriteSet::tidy`]), or at the end.
//!
//! Nothing is spilled: beyond its budget a write set is refused with 53200 (I7).

use super::arena::{Arena, ArenaAt};
use super::filter::Filter;
use super::key_index::KeyIndex;
use super::{KeyBounds, key_hash};
use orrery_base::TreeId;
use std::collections::BTreeMap;
use std::ops::Bound;

const NONE: u32 = u32::MAX;
const TOMBSTONE: u32 = u32::MAX;
/// Keys from which on a scattered write set is copied into key order when it is sealed.
const COMPACT_COUNT_MIN: usize = 4096;
/// Bytes counted for an entry beside its key and value.
const ENTRY_BYTES: usize = std::mem::size_of::<Entry>() + 8;

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: ArenaAt,
    value_len: u32,
    sequence: u32,
    older: u32,
    /// Of a key's first entry: its newest one.
    newest: u32,
    key_len: u16,
}

/// The writes of one tree.
#[derive(Debug, Default)]
struct TreeWrites {
    arena: Arena,
    entries: Vec<Entry>,
    /// The first entries of keys, in key order.
    sorted: Vec<u32>,
    /// The first entries of keys that are not in `sorted` yet, as they came.
    recent: Vec<u32>,
    /// All keys, once one came out of order.
    index: Option<KeyIndex>,
    /// The numbers in `sorted` are below this.
    sorted_end: u32,
}

/// See the file's head.
#[derive(Debug, Default)]
pub struct WriteSet {
    trees: BTreeMap<TreeId, TreeWrites>,
    dropped: Vec<(TreeId, u32)>,
    byte_count: usize,
}

/// What a write set says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnWrite<'a> {
    /// Nothing: look further.
    None,
    /// Deleted, or its tree dropped.
    Deleted,
    /// Written.
    Value(&'a [u8]),
}

impl TreeWrites {
    #[inline]
    fn key(&self, id: u32) -> &[u8] {
        let entry = &self.entries[id as usize];
        self.arena.get(entry.at, 0, usize::from(entry.key_len))
    }

    fn value(&self, id: u32) -> Option<&[u8]> {
        let entry = &self.entries[id as usize];
        (entry.value_len != TOMBSTONE)
            .then(|| self.arena.get(entry.at, usize::from(entry.key_len), entry.value_len as usize))
    }

    fn search_sorted(&self, key: &[u8]) -> Result<usize, usize> {
        match self.sorted.last() {
            None => Err(0),
            Some(&last) if self.key(last) < key => Err(self.sorted.len()),
            Some(_) => self.sorted.binary_search_by(|&id| self.key(id).cmp(key)),
        }
    }

    /// The first entry of a key.
    #[inline]
    fn first(&self, key: &[u8]) -> Option<u32> {
        match &self.index {
            None => self.search_sorted(key).ok().map(|at| self.sorted[at]),
            Some(index) => index.find(KeyIndex::hash(key), |id| self.key(id) == key),
        }
    }

    fn newest(&self, key: &[u8]) -> Option<u32> {
        self.first(key).map(|first| self.entries[first as usize].newest)
    }

    /// The newest entry of the chain from `id` on that is numbered below `limit`.
    fn visible(&self, mut id: u32, limit: u32) -> Option<u32> {
        while id != NONE {
            let entry = &self.entries[id as usize];
            if entry.sequence < limit {
                return Some(id);
            }
            id = entry.older;
        }
        None
    }

    #[inline]
    fn write(&mut self, key: &[u8], value: Option<&[u8]>, sequence: u32) {
        let id = self.entries.len() as u32;
        assert!(id != NONE, "a transaction makes fewer than 2^32 writes");
        let older = match self.first(key) {
            Some(first) => std::mem::replace(&mut self.entries[first as usize].newest, id),
            None => {
                self.add_key(key, id);
                NONE
            }
        };
        let at = self.arena.push(key, value.unwrap_or_default());
        let value_len = value.map_or(TOMBSTONE, |value| value.len() as u32);
        self.entries.push(Entry { at, value_len, sequence, older, newest: id, key_len: key.len() as u16 });
    }

    /// Adds a key that is not there, by the number of its first entry.
    #[inline]
    fn add_key(&mut self, key: &[u8], id: u32) {
        let in_order = self.recent.is_empty() && self.sorted.last().is_none_or(|&last| self.key(last) < key);
        if in_order {
            self.sorted.push(id);
            self.sorted_end = id + 1;
        } else {
            if self.index.is_none() {
                self.index =
                    Some(KeyIndex::of(self.sorted.iter().map(|&id| (KeyIndex::hash(self.key(id)), id))));
            }
            self.recent.push(id);
        }
        if let Some(index) = &mut self.index {
            index.insert(KeyIndex::hash(key), id);
        }
    }

    /// Undoes the writes numbered `limit` or above, newest first.
    fn rollback_to(&mut self, limit: u32) {
        let kept = self.entries.iter().rposition(|entry| entry.sequence < limit).map_or(0, |at| at + 1);
        let end = kept as u32;
        while self.recent.pop_if(|id| *id >= end).is_some() {}
        if self.sorted_end > end {
            self.sorted.retain(|&id| id < end);
            self.sorted_end = end;
        }
        for id in (end..self.entries.len() as u32).rev() {
            let Entry { at, older, .. } = self.entries[id as usize];
            let key = self.key(id).to_vec();
            if older != NONE && older >= end {
                // Undone too, in a moment.
            } else if older != NONE {
                let first = self.first(&key).expect("an older entry's key is known");
                self.entries[first as usize].newest = older;
            } else if let Some(index) = &mut self.index {
                index.remove(KeyIndex::hash(&key), id);
            }
            self.entries.pop();
            self.arena.truncate(at);
        }
    }

    /// Puts the recent keys in order.
    fn tidy(&mut self) {
        if self.recent.is_empty() {
            return;
        }
        let recent = self.in_key_order(&self.recent);
        let mut merged = Vec::with_capacity(self.sorted.len() + recent.len());
        let mut rest = self.sorted.as_slice();
        for id in recent {
            let key = self.key(id);
            if rest.first().is_some_and(|&next| self.key(next) < key) {
                let below = rest.partition_point(|&it| self.key(it) < key);
                merged.extend_from_slice(&rest[..below]);
                rest = &rest[below..];
            }
            merged.push(id);
        }
        merged.extend_from_slice(rest);
        self.sorted = merged;
        self.sorted_end = self.entries.len() as u32;
        self.recent.clear();
    }

    /// These entries by their keys, which differ. Eight bytes behind what all keys begin with stand beside the number, so
    /// that hardly a comparison looks at the keys.
    fn in_key_order(&self, ids: &[u32]) -> Vec<u32> {
        let first = ids.first().map_or(&[][..], |&id| self.key(id));
        let shared = ids.iter().fold(first.len(), |shared, &id| {
            let same = self.key(id).iter().zip(&first[..shared]).take_while(|(a, b)| a == b);
            same.count()
        });
        let head = |id: u32| {
            let rest = &self.key(id)[shared..];
            let mut head = [0; 8];
            let len = rest.len().min(8);
            head[..len].copy_from_slice(&rest[..len]);
            u64::from_be_bytes(head)
        };
        let mut order: Vec<(u64, u32)> = ids.iter().map(|&id| (head(id), id)).collect();
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| self.key(a.1).cmp(self.key(b.1))));
        order.into_iter().map(|(_, id)| id).collect()
    }

    fn byte_count(&self) -> usize {
        self.reserved_bytes() + self.entries.len() * ENTRY_BYTES
    }

    /// Bytes taken beside the entries.
    #[inline]
    fn reserved_bytes(&self) -> usize {
        self.arena.reserved_bytes() + self.index.as_ref().map_or(0, KeyIndex::byte_count)
    }

    fn seal(mut self) -> SealedTree {
        if self.index.is_none() && self.sorted.len() == self.entries.len() {
            return SealedTree { arena: self.arena, entries: self.entries, order: None };
        }
        self.tidy();
        self.index = None;
        let order: Vec<u32> = self.sorted.iter().map(|&first| self.entries[first as usize].newest).collect();
        if order.len() >= COMPACT_COUNT_MIN {
            return self.compacted(&order);
        }
        SealedTree { arena: self.arena, entries: self.entries, order: Some(order) }
    }

    /// A copy that lies in key order: it is walked several times, and each walk of scattered entries would cost a cache
    /// miss or two an entry.
    fn compacted(&self, order: &[u32]) -> SealedTree {
        let mut arena = Arena::default();
        let mut entries = Vec::with_capacity(order.len());
        for &id in order {
            let entry = self.entries[id as usize];
            let value_len = if entry.value_len == TOMBSTONE { 0 } else { entry.value_len as usize };
            let at = arena.push(self.arena.get(entry.at, 0, usize::from(entry.key_len) + value_len), &[]);
            entries.push(Entry { at, ..entry });
        }
        SealedTree { arena, entries, order: None }
    }
}

impl WriteSet {
    /// Whether nothing is to be committed.
    pub fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.trees.values().all(|tree| tree.entries.is_empty())
    }

    /// Bytes of memory taken, about.
    pub fn byte_count(&self) -> usize {
        self.byte_count
    }

    /// Adds a write; `None` deletes.
    #[inline]
    pub fn write(&mut self, tree: TreeId, key: &[u8], value: Option<&[u8]>, sequence: u32) {
        let writes = self.trees.entry(tree).or_default();
        let reserved = writes.reserved_bytes();
        writes.write(key, value, sequence);
        self.byte_count += ENTRY_BYTES + writes.reserved_bytes() - reserved;
    }

    /// Marks a tree to be dropped at commit.
    pub fn drop_tree(&mut self, tree: TreeId, sequence: u32) {
        self.dropped.push((tree, sequence));
    }

    /// Whether the tree is dropped by a write numbered below `limit`.
    pub fn is_dropped(&self, tree: TreeId, limit: u32) -> bool {
        self.dropped.iter().any(|&(it, sequence)| it == tree && sequence < limit)
    }

    /// What the writes numbered below `limit` say of a key.
    pub fn get(&self, tree: TreeId, key: &[u8], limit: u32) -> OwnWrite<'_> {
        if self.is_dropped(tree, limit) {
            return OwnWrite::Deleted;
        }
        let Some(writes) = self.trees.get(&tree) else { return OwnWrite::None };
        match writes.newest(key).and_then(|id| writes.visible(id, limit)) {
            None => OwnWrite::None,
            Some(id) => writes.value(id).map_or(OwnWrite::Deleted, OwnWrite::Value),
        }
    }

    /// Undoes every write numbered `limit` or above.
    pub fn rollback_to(&mut self, limit: u32) {
        for writes in self.trees.values_mut() {
            writes.rollback_to(limit);
        }
        self.dropped.retain(|&(_, sequence)| sequence < limit);
        self.byte_count = self.trees.values().map(TreeWrites::byte_count).sum();
    }

    /// Puts the writes of a tree in order, as [`WriteSet::gather`] needs them.
    pub fn tidy(&mut self, tree: TreeId) {
        if let Some(writes) = self.trees.get_mut(&tree) {
            writes.tidy();
        }
    }

    /// Hands own writes of a range to `each`, in scan order; only those numbered below `limit`. `each` answers whether
    /// it took the write; the first it did not take ends the walk. Answers whether all were taken. The tree is tidy.
    pub fn gather<'a>(
        &'a self,
        tree: TreeId,
        bounds: KeyBounds<'_>,
        reverse: bool,
        limit: u32,
        each: &mut dyn FnMut(&'a [u8], Option<&'a [u8]>) -> bool,
    ) -> bool {
        let Some(writes) = self.trees.get(&tree) else { return true };
        let (low, high) = sorted_span(writes.sorted.len(), bounds, |index| writes.key(writes.sorted[index]));
        debug_assert!(writes.recent.is_empty(), "the tree is tidy");
        let mut take = |&first: &u32| {
            let newest = writes.entries[first as usize].newest;
            writes.visible(newest, limit).is_none_or(|id| each(writes.key(id), writes.value(id)))
        };
        let mut firsts = writes.sorted[low..high].iter();
        if reverse { firsts.rev().all(&mut take) } else { firsts.all(&mut take) }
    }

    /// The immutable form. `with_filter`: it is to be adopted as a layer.
    pub fn seal(self, with_filter: bool) -> SealedWrites {
        let mut dropped: Vec<TreeId> = self.dropped.iter().map(|&(tree, _)| tree).collect();
        dropped.sort_unstable();
        dropped.dedup();
        let mut sealed = SealedWrites { byte_count: self.byte_count, ..SealedWrites::default() };
        for (tree, writes) in self.trees {
            // A dropped tree ends empty, whatever was written to it before or after.
            if !writes.entries.is_empty() && dropped.binary_search(&tree).is_err() {
                sealed.trees.insert(tree, writes.seal());
            }
        }
        sealed.dropped = dropped;
        if with_filter {
            sealed.build_filter();
        }
        sealed
    }
}

/// The indexes of a sorted sequence that lie within `bounds`.
pub fn sorted_span<'a>(len: usize, bounds: KeyBounds<'_>, key: impl Fn(usize) -> &'a [u8]) -> (usize, usize) {
    let first = |is_below: &dyn Fn(&[u8]) -> bool| {
        let (mut low, mut high) = (0, len);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_below(key(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    };
    let low = match bounds.0 {
        Bound::Unbounded => 0,
        Bound::Included(start) => first(&|key| key < start),
        Bound::Excluded(start) => first(&|key| key <= start),
    };
    let high = match bounds.1 {
        Bound::Unbounded => len,
        Bound::Included(end) => first(&|key| key <= end),
        Bound::Excluded(end) => first(&|key| key < end),
    };
    (low, high.max(low))
}

/// Whether no key can lie within `bounds` (which `BTreeMap::range` would panic about).
pub fn bounds_inverted(bounds: KeyBounds<'_>) -> bool {
    match bounds {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Excluded(start), Bound::Excluded(end)) => start >= end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start >= end
        }
    }
}

/// The sealed writes of one tree: sorted, each key once.
#[derive(Debug)]
pub struct SealedTree {
    arena: Arena,
    entries: Vec<Entry>,
    /// Which entries, in key order; `None`: all, as they lie.
    order: Option<Vec<u32>>,
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
    trees: BTreeMap<TreeId, SealedTree>,
    dropped: Vec<TreeId>,
    byte_count: usize,
    filter: Option<Filter>,
}

impl SealedWrites {
    fn build_filter(&mut self) {
        let filter = Filter::with_capacity(self.trees.values().map(SealedTree::len).sum());
        for (&tree, writes) in &self.trees {
            for index in 0..writes.len() {
                filter.insert(key_hash(tree, writes.key(index)));
            }
        }
        self.byte_count += filter.byte_count();
        self.filter = Some(filter);
    }

    /// Its trees.
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

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::rng::Rng;

    const TREE: TreeId = TreeId(1000);
    type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

    fn gathered(set: &mut WriteSet, reverse: bool, limit: u32) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut rows = Vec::new();
        set.tidy(TREE);
        let all = (Bound::Unbounded, Bound::Unbounded);
        let done = set.gather(TREE, all, reverse, limit, &mut |key, value| {
            rows.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            true
        });
        assert!(done);
        rows
    }

    fn compare(set: &mut WriteSet, model: &Model, limit: u32) {
        let expected: Vec<_> = model.clone().into_iter().collect();
        assert_eq!(gathered(set, false, limit), expected);
        let mut reversed = gathered(set, true, limit);
        reversed.reverse();
        assert_eq!(reversed, expected);
        for (key, value) in model {
            let own = set.get(TREE, key, limit);
            assert_eq!(own, value.as_deref().map_or(OwnWrite::Deleted, OwnWrite::Value));
        }
    }

    #[test]
    fn random_writes_savepoints_and_statements_follow_a_model() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let mut set = WriteSet::default();
            let mut marks: Vec<(u32, Model)> = Vec::new();
            let mut model = Model::new();
            for step in 0..200u64 {
                let sequence = step as u32;
                if seed % 2 == 0 && rng.below(10) == 0 {
                    compare(&mut set, &model, u32::MAX);
                }
                match rng.below(12) {
                    0 => marks.push((sequence, model.clone())),
                    1 if !marks.is_empty() => {
                        let keep = rng.below(marks.len() as u64) as usize;
                        marks.truncate(keep + 1);
                        let (limit, then) = marks[keep].clone();
                        set.rollback_to(limit);
                        model = then;
                    }
                    2..5 => {
                        let key = rng.below(40).to_be_bytes();
                        set.write(TREE, &key, None, sequence);
                        model.insert(key.to_vec(), None);
                    }
                    kind => {
                        let key = if kind < 8 { step } else { rng.below(40) }.to_be_bytes();
                        let value = vec![kind as u8; rng.below(300) as usize];
                        set.write(TREE, &key, Some(&value), sequence);
                        model.insert(key.to_vec(), Some(value));
                    }
                }
            }
            compare(&mut set, &model, u32::MAX);
            for (limit, then) in &marks {
                compare(&mut set, then, *limit);
            }
            let sealed = set.seal(true);
            let empty = Model::new();
            let tree = sealed.trees().get(&TREE);
            let rows: Model = tree.map_or(empty, |tree| {
                (0..tree.len())
                    .map(|i| tree.pair(i))
                    .map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec)))
                    .collect()
            });
            assert_eq!(rows, model);
            assert!(tree.is_none_or(|tree| (1..tree.len()).all(|i| tree.key(i - 1) < tree.key(i))));
        }
    }

    #[test]
    fn a_dropped_tree_hides_its_writes_and_comes_back_with_a_rollback() {
        let mut set = WriteSet::default();
        set.write(TREE, b"a", Some(b"1"), 0);
        let mark = 1;
        set.drop_tree(TREE, mark);
        assert_eq!(set.get(TREE, b"a", u32::MAX), OwnWrite::Deleted);
        assert_eq!(set.get(TREE, b"a", mark), OwnWrite::Value(b"1"));
        set.rollback_to(mark);
        assert_eq!(set.get(TREE, b"a", u32::MAX), OwnWrite::Value(b"1"));
        assert!(!set.is_empty());
        set.drop_tree(TREE, 2);
        let sealed = set.seal(false);
        assert!(sealed.trees().is_empty() && sealed.dropped() == [TREE]);
    }
}
