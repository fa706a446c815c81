//! The private writes of a transaction, and their immutable form.
//!
//! Every write carries a number that the transaction raises at each statement and savepoint. A statement sees own writes
//! numbered below its start; a savepoint is a number to go back to. So statement visibility, savepoints and rollback are one mechanism: per key a chain of
//! entries, newest first, and per tree the entries in the order they were made, which is the undo log.
//!
//! Keys that come in order (a sorted load) are only appended. The others get numbers and are found by hash; they are
//! brought into order when a scan asks for it (a B-tree) or when the set is sealed (one sort).
//!
//! A set that grows too large for memory is frozen and leaves it as a piece ([`super::spill`]), and the set goes on empty over its pieces (I7).

mod counted;

use super::arena::{Arena, ArenaAt};
use super::frozen::FrozenWrites;
use super::index_key::{Headed, IndexKey, Wanted, as_dyn, head_of, wanted_bounds};
use super::key_table::KeyTable;
use super::sealed::{SealedTree, SealedWrites};
use super::spill::{Piece, Undone};
use super::{Footprint, KeyBounds};
use counted::Counted;
use orrery_base::TreeId;
use orrery_base::hash::hash64;
use orrery_base::limits::INLINE_VALUE_BYTES_MAX;
use orrery_base::sorting;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

pub(super) const NONE: u32 = u32::MAX;
pub(super) const TOMBSTONE: u32 = u32::MAX;
/// Keys from which on a scattered write set is copied into key order when it is sealed.
const COMPACT_COUNT_MIN: usize = 4096;
/// Bytes counted for an entry beside its key and value.
const ENTRY_BYTES: usize = std::mem::size_of::<Entry>() + 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) at: ArenaAt,
    pub(super) value_len: u32,
    pub(super) sequence: u32,
    pub(super) older: u32,
    pub(super) key_len: u16,
}

/// The writes of one tree.
#[derive(Debug, Default)]
pub(super) struct TreeWrites {
    arena: Arena,
    pub(super) entries: Vec<Entry>,
    /// The newest entry of each key that came in order, in key order.
    sorted: Vec<u32>,
    /// The newest entry of each other key, by its number: numbered as they came.
    newest: Vec<u32>,
    /// Those keys' numbers.
    numbers: KeyTable,
    /// The first of those keys, in order: all, once [`TreeWrites::put_in_order`] was called.
    ordered: BTreeMap<IndexKey, u32>,
}

/// See the file's head.
#[derive(Default)]
pub struct WriteSet {
    trees: BTreeMap<TreeId, TreeWrites>,
    dropped: Vec<(TreeId, u32)>,
    byte_count: usize,
    long: Footprint,
    /// Older writes, on their way out of the memory.
    frozen: Option<Arc<FrozenWrites>>,
    /// Still older writes, oldest first.
    pieces: Vec<Arc<Piece>>,
    /// Which of these two do not count.
    undone: Undone,
    /// What of `byte_count` is counted with all others'.
    counted: Counted,
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
    pub(super) fn key(&self, id: u32) -> &[u8] {
        let entry = &self.entries[id as usize];
        self.arena.get(entry.at, 0, usize::from(entry.key_len))
    }

    pub(super) fn value(&self, id: u32) -> Option<&[u8]> {
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

    pub(super) fn newest(&self, key: &[u8]) -> Option<u32> {
        match self.search_sorted(key) {
            Ok(index) => Some(self.sorted[index]),
            Err(_) if self.newest.is_empty() => None,
            Err(_) => self.number(hash_of(key), key).map(|number| self.newest[number as usize]),
        }
    }

    /// The number of a key that did not come in order.
    #[inline]
    fn number(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.numbers.find(hash, |number| self.key(self.newest[number as usize]) == key)
    }

    /// Brings the keys that came since into order, for [`WriteSet::gather`].
    fn put_in_order(&mut self) {
        for number in self.ordered.len()..self.newest.len() {
            let key = Wanted::new(self.key(self.newest[number])).to_owned_key();
            self.ordered.insert(key, number as u32);
        }
    }

    /// The newest entry of the chain from `id` on that is numbered below `limit`.
    fn visible(&self, id: u32, limit: u32) -> Option<u32> {
        self.first_of_chain(id, |sequence| sequence < limit)
    }

    /// The newest entry of the chain from `id` on whose number is as wanted.
    pub(super) fn first_of_chain(&self, mut id: u32, is_wanted: impl Fn(u32) -> bool) -> Option<u32> {
        while id != NONE {
            let entry = &self.entries[id as usize];
            if is_wanted(entry.sequence) {
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
        let older = match self.search_sorted(key) {
            Ok(index) => std::mem::replace(&mut self.sorted[index], id),
            Err(index) if self.newest.is_empty() && index == self.sorted.len() => {
                self.sorted.push(id);
                NONE
            }
            Err(index) => {
                let hash = hash_of(key);
                match self.number(hash, key) {
                    Some(number) => std::mem::replace(&mut self.newest[number as usize], id),
                    None if index == self.sorted.len() => {
                        self.sorted.push(id);
                        NONE
                    }
                    None => {
                        self.numbers.insert(hash, self.newest.len() as u32);
                        self.newest.push(id);
                        NONE
                    }
                }
            }
        };
        let at = self.arena.push(key, value.unwrap_or_default());
        let value_len = value.map_or(TOMBSTONE, |value| value.len() as u32);
        self.entries.push(Entry { at, value_len, sequence, older, key_len: key.len() as u16 });
    }

    /// Undoes the newest write if it is numbered `limit` or above.
    fn undo_one(&mut self, limit: u32) -> bool {
        let Some(&entry) = self.entries.last().filter(|entry| entry.sequence >= limit) else { return false };
        let id = self.entries.len() as u32 - 1;
        let key = self.key(id).to_vec();
        match self.search_sorted(&key) {
            Ok(index) if entry.older != NONE => self.sorted[index] = entry.older,
            Ok(index) => {
                // What was appended later is undone already, so this is the last.
                assert_eq!(index + 1, self.sorted.len(), "writes are undone newest first");
                self.sorted.pop();
            }
            Err(_) => {
                let hash = hash_of(&key);
                let number = self.number(hash, &key).expect("a written key has its number");
                if entry.older != NONE {
                    self.newest[number as usize] = entry.older;
                } else {
                    assert_eq!(number as usize + 1, self.newest.len(), "writes are undone newest first");
                    self.numbers.remove(hash, number);
                    self.ordered.remove::<dyn Headed>(&Wanted::new(&key));
                    self.newest.pop();
                }
            }
        }
        self.entries.pop();
        self.arena.truncate(entry.at);
        true
    }

    pub(super) fn byte_count(&self) -> usize {
        self.data_bytes() + self.numbers.byte_count() + self.ordered.len() * 48
    }

    /// Without the index.
    fn data_bytes(&self) -> usize {
        self.arena.reserved_bytes() + self.entries.len() * ENTRY_BYTES
    }

    fn seal(self) -> SealedTree {
        if self.newest.is_empty() && self.sorted.len() == self.entries.len() {
            return SealedTree { arena: self.arena, entries: self.entries, order: None };
        }
        let order = self.merged_order();
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
            entries.push(Entry { at, older: NONE, ..entry });
        }
        SealedTree { arena, entries, order: None }
    }

    pub(super) fn merged_order(&self) -> Vec<u32> {
        let mut order = Vec::with_capacity(self.sorted.len() + self.newest.len());
        let mut sorted = self.sorted.iter().copied().peekable();
        for id in self.sorted_newest() {
            let key = self.key(id);
            while let Some(first) = sorted.next_if(|&first| self.key(first) < key) {
                order.push(first);
            }
            order.push(id);
        }
        order.extend(sorted);
        order
    }

    /// The keys that did not come in order, sorted by the eight bytes behind what all have in common: only where these are
    /// equal are the keys themselves looked at.
    fn sorted_newest(&self) -> Vec<u32> {
        let Some(&first) = self.newest.first() else { return Vec::new() };
        let first = self.key(first);
        let mut common = first.len();
        for &id in &self.newest {
            let differs = first[..common].iter().zip(self.key(id)).position(|(one, other)| one != other);
            common = differs.unwrap_or_else(|| common.min(self.key(id).len()));
        }
        let mut headed: Vec<(u64, u32)> =
            self.newest.iter().map(|&id| (head_of(&self.key(id)[common..]), id)).collect();
        headed.sort_unstable_by(|one, other| {
            one.0.cmp(&other.0).then_with(|| self.key(one.1).cmp(self.key(other.1)))
        });
        headed.into_iter().map(|(_, id)| id).collect()
    }
}

impl WriteSet {
    /// Whether nothing is to be committed.
    pub fn is_empty(&self) -> bool {
        self.dropped.is_empty() && !self.has_spilled() && self.is_memory_empty()
    }

    fn is_memory_empty(&self) -> bool {
        self.trees.values().all(|tree| tree.entries.is_empty())
    }

    /// Whether older writes lie elsewhere than in the set itself.
    #[inline]
    pub fn has_spilled(&self) -> bool {
        self.frozen.is_some() || !self.pieces.is_empty()
    }

    /// The writes on their way out, older than what is in the set itself.
    pub fn frozen(&self) -> Option<&Arc<FrozenWrites>> {
        self.frozen.as_ref()
    }

    /// The pieces, older than all others, oldest first; and which writes in them and in the frozen ones do not count.
    pub fn pieces(&self) -> (&[Arc<Piece>], &Undone) {
        (&self.pieces, &self.undone)
    }

    /// The pieces, to be merged.
    pub fn pieces_mut(&mut self) -> &mut Vec<Arc<Piece>> {
        &mut self.pieces
    }

    /// Makes the writes so far ready to be written out, unless others are under way already; `None`: there are none.
    pub fn freeze(&mut self) -> Option<Arc<FrozenWrites>> {
        if self.frozen.is_none() && !self.is_memory_empty() {
            let data_bytes: usize = self.trees.values().map(TreeWrites::data_bytes).sum();
            let footprint = Footprint { bytes: data_bytes as u64, ..self.long };
            let trees = std::mem::take(&mut self.trees);
            self.frozen = Some(Arc::new(FrozenWrites::new(trees, footprint)));
            self.long = Footprint::default();
            self.count_bytes();
        }
        self.frozen.clone()
    }

    /// The frozen writes could not be written out: they are as before, unless something was written since, or another
    /// task is writing them out; then they stay frozen until the next attempt.
    pub fn thaw(&mut self) {
        if !self.is_memory_empty() {
            return;
        }
        match self.frozen.take().map(Arc::try_unwrap) {
            Some(Ok(frozen)) => {
                self.long = Footprint { bytes: 0, ..frozen.footprint() };
                self.trees = frozen.into_trees();
                self.count_bytes();
            }
            Some(Err(held)) => self.frozen = Some(held),
            None => {}
        }
    }

    /// The frozen writes are in this piece. They may have been rolled back meanwhile.
    pub fn settle(&mut self, frozen: &Arc<FrozenWrites>, piece: Piece) {
        if self.frozen.as_ref().is_some_and(|it| Arc::ptr_eq(it, frozen)) {
            self.frozen = None;
            self.pieces.push(Arc::new(piece));
            self.count_bytes();
        }
    }

    /// Adds a write; `None` deletes.
    #[inline]
    pub fn write(&mut self, tree: TreeId, key: &[u8], value: Option<&[u8]>, sequence: u32) {
        let writes = self.trees.entry(tree).or_default();
        let before = writes.byte_count();
        writes.write(key, value, sequence);
        // The index may have shrunk, when it was sorted.
        self.byte_count = self.byte_count + writes.byte_count() - before;
        self.counted.set(self.byte_count);
        if let Some(value) = value.filter(|value| value.len() > INLINE_VALUE_BYTES_MAX) {
            self.long.long_bytes += value.len() as u64;
            self.long.long_count += 1;
        }
    }

    /// Marks a tree to be dropped at commit.
    pub fn drop_tree(&mut self, tree: TreeId, sequence: u32) {
        self.dropped.push((tree, sequence));
    }

    /// Whether the tree is dropped by a write numbered below `limit`.
    pub fn is_dropped(&self, tree: TreeId, limit: u32) -> bool {
        self.dropped.iter().any(|&(it, sequence)| it == tree && sequence < limit)
    }

    /// What the writes numbered below `limit` say of a key; the pieces must be asked apart, after the answer `None`.
    pub fn get(&self, tree: TreeId, key: &[u8], limit: u32) -> OwnWrite<'_> {
        if self.is_dropped(tree, limit) {
            return OwnWrite::Deleted;
        }
        let own = self.trees.get(&tree).and_then(|writes| {
            let id = writes.newest(key).and_then(|id| writes.visible(id, limit))?;
            Some(writes.value(id).map_or(OwnWrite::Deleted, OwnWrite::Value))
        });
        match (own, &self.frozen) {
            (Some(own), _) => own,
            (None, None) => OwnWrite::None,
            (None, Some(frozen)) => match frozen.get(tree, key, limit, &self.undone) {
                None => OwnWrite::None,
                Some(value) => value.map_or(OwnWrite::Deleted, OwnWrite::Value),
            },
        }
    }

    /// Undoes every write numbered `limit` or above. `true`: some of them keep their numbers, which must not be given to
    /// others.
    pub fn rollback_to(&mut self, limit: u32) -> bool {
        for writes in self.trees.values_mut() {
            while writes.undo_one(limit) {}
        }
        self.dropped.retain(|&(_, sequence)| sequence < limit);
        if self.frozen.as_ref().is_some_and(|frozen| frozen.marks().0 >= limit) {
            self.frozen = None;
        }
        self.pieces.retain(|piece| piece.marks.0 < limit);
        let frozen = self.frozen.iter().map(|frozen| frozen.marks().1);
        let last = frozen.chain(self.pieces.iter().map(|piece| piece.marks.1)).max();
        let keeps_some = last.is_some_and(|last| last >= limit);
        if let Some(last) = last.filter(|_| keeps_some) {
            self.undone.add(limit, last);
        }
        self.count_bytes();
        keeps_some
    }

    /// Makes a tree ready for [`WriteSet::gather`], after writes.
    pub fn put_in_order(&mut self, tree: TreeId) {
        if let Some(writes) = self.trees.get_mut(&tree) {
            writes.put_in_order();
        }
    }

    /// Hands own writes of a range to `each`, in scan order; only those numbered below `limit`. `each` answers whether
    /// it took the write; the first it did not take ends the walk. Answers whether all were taken. Call
    /// [`WriteSet::put_in_order`] before. What is frozen or in pieces is read apart.
    pub fn gather<'a>(
        &'a self,
        tree: TreeId,
        bounds: KeyBounds<'_>,
        reverse: bool,
        limit: u32,
        each: &mut dyn FnMut(&'a [u8], Option<&'a [u8]>) -> bool,
    ) -> bool {
        let Some(writes) = self.trees.get(&tree) else { return true };
        if bounds_inverted(bounds) {
            return true;
        }
        let (low, high) = sorted_span(writes.sorted.len(), bounds, |index| writes.key(writes.sorted[index]));
        let sorted = writes.sorted[low..high].iter().copied();
        let wanted = wanted_bounds(bounds);
        assert_eq!(writes.ordered.len(), writes.newest.len(), "the tree was put in order");
        let unsorted = writes.ordered.range::<dyn Headed, _>(as_dyn(&wanted));
        let unsorted = unsorted.map(|(_, &number)| writes.newest[number as usize]);
        let mut ids = Both::new(writes, sorted, unsorted, reverse);
        while let Some(id) = ids.next() {
            if let Some(id) = writes.visible(id, limit)
                && !each(writes.key(id), writes.value(id))
            {
                return false;
            }
        }
        true
    }

    /// The immutable form. `with_filter`: it is to be adopted as a layer.
    pub fn seal(self, with_filter: bool) -> SealedWrites {
        let mut dropped: Vec<TreeId> = self.dropped.iter().map(|&(tree, _)| tree).collect();
        sorting::sort(&mut dropped);
        dropped.dedup();
        assert!(self.frozen.is_none(), "what is on its way out arrives or comes back before the end");
        let mut sealed = SealedWrites {
            long: self.long,
            pieces: self.pieces,
            undone: self.undone,
            ..SealedWrites::default()
        };
        for (tree, writes) in self.trees {
            // A dropped tree ends empty, whatever was written to it before or after.
            if !writes.entries.is_empty() && dropped.binary_search(&tree).is_err() {
                let writes = writes.seal();
                sealed.byte_count += writes.byte_count();
                sealed.trees.insert(tree, writes);
            }
        }
        sealed.dropped = dropped;
        if with_filter {
            sealed.build_filter();
        }
        sealed
    }
}

/// The hash by which keys of one tree are numbered.
#[inline]
fn hash_of(key: &[u8]) -> u64 {
    hash64(0, key)
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

/// Merges two sequences of entry ids by key, forwards or backwards.
struct Both<'a, A: Iterator<Item = u32>, B: Iterator<Item = u32>> {
    writes: &'a TreeWrites,
    a: A,
    b: B,
    next_a: Option<u32>,
    next_b: Option<u32>,
    reverse: bool,
}

impl<'a, A, B> Both<'a, A, B>
where
    A: DoubleEndedIterator<Item = u32>,
    B: DoubleEndedIterator<Item = u32>,
{
    fn new(writes: &'a TreeWrites, a: A, b: B, reverse: bool) -> Self {
        let mut both = Both { writes, a, b, next_a: None, next_b: None, reverse };
        both.next_a = both.pull_a();
        both.next_b = both.pull_b();
        both
    }

    fn pull_a(&mut self) -> Option<u32> {
        if self.reverse { self.a.next_back() } else { self.a.next() }
    }

    fn pull_b(&mut self) -> Option<u32> {
        if self.reverse { self.b.next_back() } else { self.b.next() }
    }

    fn next(&mut self) -> Option<u32> {
        let a_first = match (self.next_a, self.next_b) {
            (Some(a), Some(b)) => (self.writes.key(a) < self.writes.key(b)) != self.reverse,
            (a, _) => a.is_some(),
        };
        if a_first {
            let next = self.pull_a();
            std::mem::replace(&mut self.next_a, next)
        } else {
            let next = self.pull_b();
            std::mem::replace(&mut self.next_b, next)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::rng::Rng;

    const TREE: TreeId = TreeId(1000);
    type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

    fn gathered(set: &WriteSet, reverse: bool, limit: u32) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut rows = Vec::new();
        let all = (Bound::Unbounded, Bound::Unbounded);
        let done = set.gather(TREE, all, reverse, limit, &mut |key, value| {
            rows.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            true
        });
        assert!(done);
        rows
    }

    fn compare(set: &WriteSet, model: &Model, limit: u32) {
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
            // Long common prefixes too: then the order is found beyond the first eight bytes.
            let prefix: &[u8] = if seed % 2 == 0 { b"" } else { b"a common prefix" };
            let mut model = Model::new();
            for step in 0..200u64 {
                let sequence = step as u32;
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
                        let key = [prefix, &rng.below(40).to_be_bytes()].concat();
                        set.write(TREE, &key, None, sequence);
                        model.insert(key, None);
                    }
                    kind => {
                        let key = if kind < 8 { step } else { rng.below(40) }.to_be_bytes();
                        let key = [prefix, &key, &key[7..]].concat();
                        let value = vec![kind as u8; rng.below(300) as usize];
                        set.write(TREE, &key, Some(&value), sequence);
                        model.insert(key, Some(value));
                    }
                }
                if rng.chance(1, 20) {
                    set.put_in_order(TREE);
                }
            }
            set.put_in_order(TREE);
            compare(&set, &model, u32::MAX);
            for (limit, then) in &marks {
                compare(&set, then, *limit);
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
    fn what_is_frozen_comes_back_but_not_from_under_another() {
        let mut set = WriteSet::default();
        set.write(TREE, b"b", Some(b"old"), 1);
        set.write(TREE, b"a", Some(b"1"), 1);
        set.write(TREE, b"b", Some(b"2"), 2);
        let before = set.byte_count();
        let held = set.freeze().expect("there are writes");
        set.thaw();
        assert!(set.has_spilled(), "somebody writes it out");
        assert_eq!(set.get(TREE, b"a", u32::MAX), OwnWrite::Value(b"1"));
        assert_eq!(set.get(TREE, b"b", 2), OwnWrite::Value(b"old"));
        drop(held);
        set.thaw();
        assert!(!set.has_spilled() && set.byte_count() == before);
        assert_eq!(set.get(TREE, b"b", u32::MAX), OwnWrite::Value(b"2"));
        assert!(!set.rollback_to(2));
        assert_eq!(set.get(TREE, b"b", u32::MAX), OwnWrite::Value(b"old"));
        drop(set.freeze());
        set.write(TREE, b"a", None, 3);
        set.thaw();
        assert!(set.has_spilled(), "newer writes lie over it");
        assert_eq!(set.get(TREE, b"a", u32::MAX), OwnWrite::Deleted);
        assert_eq!(set.get(TREE, b"a", 3), OwnWrite::Value(b"1"));
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
