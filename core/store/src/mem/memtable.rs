//! The active memtable: committed versions by tree and key, newest first, until a checkpoint merges them into the trees.
//!
//! One writer at a time (whoever installs), many readers. A filter in front makes a miss cheap without the lock. A
//! version goes as soon as no snapshot can read it. Frozen, it gets no more writes.

use super::filter::Filter;
use super::index_key::{Headed, IndexKey, Wanted, as_dyn, wanted_bounds};
use super::sealed::SealedWrites;
use super::write_set::bounds_inverted;
use super::{Footprint, KeyBounds, Version, key_hash};
use orrery_base::prefetch::{CACHE_LINE_BYTES, prefetch_bytes};
use orrery_base::{Timestamp, TreeId, World, plant};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How many entries ahead of a scan memory is asked for, and how much of each value.
const AHEAD_COUNT: usize = 8;
const AHEAD_BYTES: usize = 256;
/// Bytes counted for a version beside its key and value: nodes, boxes, chain.
const VERSION_BYTES: usize = 80;

struct Stored {
    timestamp: Timestamp,
    value: Option<Box<[u8]>>,
    older: Option<Box<Stored>>,
}

#[derive(Default)]
struct TreeTable {
    entries: BTreeMap<IndexKey, Stored>,
    /// When the tree was dropped, oldest first.
    dropped: Vec<Timestamp>,
}

impl Stored {
    fn as_version(&self) -> Version<'_> {
        Version { timestamp: self.timestamp, value: self.value.as_deref(), has_older: self.older.is_some() }
    }

    /// The newest version at or before `at`.
    fn visible(&self, at: Timestamp) -> Option<&Stored> {
        let mut stored = self;
        while stored.timestamp > at {
            stored = stored.older.as_deref()?;
        }
        Some(stored)
    }

    fn byte_count(&self) -> usize {
        VERSION_BYTES + self.value.as_ref().map_or(0, |value| value.len())
    }

    /// Cuts the chain behind the newest version at or before `oldest_snapshot`. Gives the bytes freed.
    fn prune(&mut self, oldest_snapshot: Timestamp) -> usize {
        let mut stored = self;
        while stored.timestamp > oldest_snapshot {
            match stored.older.as_deref_mut() {
                Some(older) => stored = older,
                None => return 0,
            }
        }
        let mut freed = 0;
        let mut cut = stored.older.take();
        while let Some(mut stored) = cut {
            freed += stored.byte_count();
            cut = stored.older.take();
        }
        freed
    }
}

impl TreeTable {
    /// The last drop that is seen at `at`.
    fn dropped_at(&self, at: Timestamp) -> Option<Timestamp> {
        self.dropped.iter().rev().copied().find(|dropped| *dropped <= at)
    }

    fn is_hidden(&self, version: &Stored, at: Timestamp) -> bool {
        self.dropped_at(at).is_some_and(|dropped| version.timestamp <= dropped)
    }
}

/// See the file's head.
pub struct Memtable {
    trees: RwLock<BTreeMap<TreeId, TreeTable>>,
    filter: Filter,
    byte_count: AtomicU64,
    version_count: AtomicU64,
    long_bytes: AtomicU64,
    long_count: AtomicU64,
    has_drops: AtomicBool,
    /// A bit for each tree that has something here, by its number modulo 64: most reads go no further.
    tree_bits: AtomicU64,
}

#[inline]
fn tree_bit(tree: TreeId) -> u64 {
    1 << (tree.0 % 64)
}

impl Memtable {
    /// An empty one that is to hold about `budget_bytes`.
    pub fn new(budget_bytes: u64) -> Self {
        Memtable {
            trees: RwLock::default(),
            filter: Filter::with_capacity((budget_bytes / 128) as usize),
            byte_count: AtomicU64::new(0),
            version_count: AtomicU64::new(0),
            long_bytes: AtomicU64::new(0),
            long_count: AtomicU64::new(0),
            has_drops: AtomicBool::new(false),
            tree_bits: AtomicU64::new(0),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<TreeId, TreeTable>> {
        self.trees.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<TreeId, TreeTable>> {
        self.trees.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of memory taken, about.
    pub fn byte_count(&self) -> u64 {
        self.byte_count.load(Ordering::Relaxed)
    }

    /// What it will take in the trees, about.
    pub fn footprint(&self) -> Footprint {
        Footprint {
            bytes: self.byte_count(),
            long_bytes: self.long_bytes.load(Ordering::Relaxed),
            long_count: self.long_count.load(Ordering::Relaxed),
        }
    }

    /// Whether nothing was ever installed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.version_count.load(Ordering::Acquire) == 0
    }

    /// `false`: certainly nothing of this tree was ever installed, no drop either.
    #[inline]
    pub fn may_have(&self, tree: TreeId) -> bool {
        self.tree_bits.load(Ordering::Acquire) & tree_bit(tree) != 0
    }

    /// Installs a commit. No snapshot older than `oldest_snapshot` reads on.
    pub fn install(
        &self,
        writes: &SealedWrites,
        timestamp: Timestamp,
        oldest_snapshot: Timestamp,
        world: &World,
    ) {
        let mut trees = self.write();
        let written = writes.trees().keys().chain(writes.dropped());
        self.tree_bits.fetch_or(written.fold(0, |bits, &tree| bits | tree_bit(tree)), Ordering::Release);
        let (mut added, mut freed, mut count) = (0, 0, 0);
        for (&tree, sealed) in writes.trees() {
            let table = trees.entry(tree).or_default();
            for index in 0..sealed.len() {
                let (key, value) = sealed.pair(index);
                if !plant!(world, StaleFilter) {
                    self.filter.insert(key_hash(tree, key));
                }
                let stored = Stored { timestamp, value: value.map(Box::from), older: None };
                added += stored.byte_count();
                count += 1;
                match table.entries.get_mut::<dyn Headed>(&Wanted::new(key)) {
                    Some(newest) => {
                        let older = std::mem::replace(newest, stored);
                        newest.older = Some(Box::new(older));
                        let oldest =
                            if plant!(world, LoseOldestVersion) { timestamp } else { oldest_snapshot };
                        freed += newest.prune(oldest);
                    }
                    None => {
                        added += key.len();
                        table.entries.insert(Wanted::new(key).to_owned_key(), stored);
                    }
                }
            }
        }
        for &tree in writes.dropped() {
            trees.entry(tree).or_default().dropped.push(timestamp);
            self.has_drops.store(true, Ordering::Release);
            count += 1;
        }
        let long = writes.footprint();
        if long.long_count > 0 {
            self.long_bytes.fetch_add(long.long_bytes, Ordering::Relaxed);
            self.long_count.fetch_add(long.long_count, Ordering::Relaxed);
        }
        self.byte_count.fetch_add(added as u64, Ordering::Relaxed);
        self.byte_count.fetch_sub(freed as u64, Ordering::Relaxed);
        self.version_count.fetch_add(count, Ordering::Release);
    }

    /// Hands the version of `key` at `at` to `found`, if there is one here.
    #[inline]
    pub fn get<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        hash: u64,
        at: Timestamp,
        found: impl FnOnce(Version<'_>) -> R,
    ) -> Option<R> {
        if !self.filter.may_contain(hash) {
            return None;
        }
        let trees = self.read();
        let table = trees.get(&tree)?;
        let stored = table.entries.get::<dyn Headed>(&Wanted::new(key))?.visible(at)?;
        if table.is_hidden(stored, at) {
            return None;
        }
        Some(found(stored.as_version()))
    }

    /// Hands all versions of `key` that a drop does not hide to `each`, newest first.
    pub fn versions(&self, tree: TreeId, key: &[u8], each: &mut dyn FnMut(Version<'_>)) {
        let trees = self.read();
        let Some(table) = trees.get(&tree) else { return };
        let mut next = table.entries.get::<dyn Headed>(&Wanted::new(key));
        while let Some(stored) = next.filter(|stored| !table.is_hidden(stored, Timestamp::MAX)) {
            each(stored.as_version());
            next = stored.older.as_deref();
        }
    }

    /// When the tree was dropped here, as seen at `at`.
    #[inline]
    pub fn dropped(&self, tree: TreeId, at: Timestamp) -> Option<Timestamp> {
        if !self.has_drops.load(Ordering::Acquire) {
            return None;
        }
        self.read().get(&tree)?.dropped_at(at)
    }

    /// Hands the versions of a range at `at` to `each`, in scan order, until it refuses one. Answers whether all were
    /// taken.
    pub fn gather(
        &self,
        tree: TreeId,
        bounds: KeyBounds<'_>,
        reverse: bool,
        at: Timestamp,
        each: &mut dyn FnMut(&[u8], Version<'_>) -> bool,
    ) -> bool {
        let trees = self.read();
        let Some(table) = trees.get(&tree).filter(|_| !bounds_inverted(bounds)) else { return true };
        let wanted = wanted_bounds(bounds);
        let mut range = table.entries.range::<dyn Headed, _>(as_dyn(&wanted));
        // Keys and values lie anywhere in memory: they are asked for some entries before they are read.
        let mut ahead = range.clone();
        let mut ask = move || {
            let entry = if reverse { ahead.next_back() } else { ahead.next() };
            if let Some((key, newest)) = entry {
                prefetch_bytes(key.bytes(), CACHE_LINE_BYTES);
                prefetch_bytes(newest.value.as_deref().unwrap_or_default(), AHEAD_BYTES);
            }
        };
        (0..AHEAD_COUNT).for_each(|_| ask());
        loop {
            let next = if reverse { range.next_back() } else { range.next() };
            let Some((key, newest)) = next else { return true };
            ask();
            let Some(stored) = newest.visible(at).filter(|stored| !table.is_hidden(stored, at)) else {
                continue;
            };
            if !each(key.bytes(), stored.as_version()) {
                return false;
            }
        }
    }

    /// The trees with something in them, sorted.
    pub fn trees(&self) -> Vec<TreeId> {
        self.read().keys().copied().collect()
    }

    /// About how many rows of the tree are new here. For estimates only.
    pub fn entry_count(&self, tree: TreeId) -> u64 {
        self.read().get(&tree).map_or(0, |table| table.entries.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::write_set::WriteSet;

    const TREE: TreeId = TreeId(1000);

    fn commit(table: &Memtable, timestamp: u64, oldest: u64, key: &[u8], value: Option<&[u8]>) {
        let mut set = WriteSet::default();
        set.write(TREE, key, value, 0);
        table.install(&set.seal(false), Timestamp(timestamp), Timestamp(oldest), &World::default());
    }

    fn get(table: &Memtable, at: u64, key: &[u8]) -> Option<Option<Vec<u8>>> {
        table.get(TREE, key, key_hash(TREE, key), Timestamp(at), |version| version.value.map(<[u8]>::to_vec))
    }

    #[test]
    fn snapshots_read_their_version_and_unreadable_ones_go() {
        let table = Memtable::new(1 << 20);
        commit(&table, 10, 0, b"k", Some(b"a"));
        commit(&table, 20, 10, b"k", Some(b"b"));
        commit(&table, 30, 10, b"k", None);
        assert_eq!(get(&table, 9, b"k"), None);
        assert_eq!(get(&table, 15, b"k"), Some(Some(b"a".to_vec())));
        assert_eq!(get(&table, 25, b"k"), Some(Some(b"b".to_vec())));
        assert_eq!(get(&table, 35, b"k"), Some(None));
        let before = table.byte_count();
        commit(&table, 40, 30, b"k", Some(b"d"));
        assert_eq!(get(&table, 35, b"k"), Some(None));
        assert_eq!(get(&table, 15, b"k"), None);
        assert!(table.byte_count() < before);
    }
}
