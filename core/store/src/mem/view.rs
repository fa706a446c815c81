//! Views, and which snapshots are alive.
//!
//! A [`View`] is immutable: layers newest first (the first is the active memtable) over a tree version. A snapshot is
//! (timestamp, view). I2: registering the snapshot, reading the published timestamp and loading the view are one step,
//! here under one short lock; a commit is published only after its writes are in the view's layers.

use super::memtable::Memtable;
use super::sealed::SealedWrites;
use super::spill::{Piece, Undone};
use super::{Footprint, KeyBounds, Version};
use crate::pages::TreeVersion;
use orrery_base::sorting;
use orrery_base::task::lock;
use orrery_base::{Timestamp, TreeId};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Newer than the trees, older than the layers above it.
pub enum Layer {
    /// Commits installed one by one.
    Memtable(Memtable),
    /// One large commit, adopted whole.
    Run {
        /// Its writes.
        writes: Arc<SealedWrites>,
        /// When it was committed.
        timestamp: Timestamp,
    },
    /// A piece of a commit that was too large for memory. It is read through [`Layer::piece`].
    Spilled {
        /// The whole commit.
        writes: Arc<SealedWrites>,
        /// Which of its pieces.
        index: usize,
        /// When it was committed.
        timestamp: Timestamp,
    },
}

impl Layer {
    /// The piece that the layer is, with the writes in it that do not count, and when it was committed.
    #[inline]
    pub fn piece(&self) -> Option<(&Arc<Piece>, &Undone, Timestamp)> {
        match self {
            Layer::Spilled { writes, index, timestamp } => {
                let (pieces, undone) = writes.pieces();
                Some((&pieces[*index], undone, *timestamp))
            }
            Layer::Memtable(_) | Layer::Run { .. } => None,
        }
    }

    /// The layers of a large commit, newest first: what it has in memory, then its pieces.
    pub fn of_commit(writes: &Arc<SealedWrites>, timestamp: Timestamp) -> Vec<Arc<Layer>> {
        let piece = |index| Arc::new(Layer::Spilled { writes: writes.clone(), index, timestamp });
        let pieces = (0..writes.pieces().0.len()).rev().map(piece);
        let run = (pieces.len() == 0 || !writes.trees().is_empty())
            .then(|| Arc::new(Layer::Run { writes: writes.clone(), timestamp }));
        run.into_iter().chain(pieces).collect()
    }

    /// See [`Memtable::get`]. Not for pieces.
    #[inline]
    pub fn get<R>(
        &self,
        tree: TreeId,
        key: &[u8],
        hash: u64,
        at: Timestamp,
        found: impl FnOnce(Version<'_>) -> R,
    ) -> Option<R> {
        match self {
            Layer::Memtable(table) => table.get(tree, key, hash, at, found),
            Layer::Run { writes, timestamp } => {
                if *timestamp > at || !writes.may_contain(hash) {
                    return None;
                }
                writes
                    .get(tree, key)
                    .map(|value| found(Version { timestamp: *timestamp, value, has_older: false }))
            }
            Layer::Spilled { .. } => unreachable!("pieces are read from pages"),
        }
    }

    /// Whether the layer drops the tree, as seen at `at`: what lies in older layers and in the trees is gone.
    #[inline]
    pub fn dropped(&self, tree: TreeId, at: Timestamp) -> Option<Timestamp> {
        match self {
            Layer::Memtable(table) => table.dropped(tree, at),
            Layer::Run { writes, timestamp } | Layer::Spilled { writes, timestamp, .. } => {
                (*timestamp <= at && writes.dropped().binary_search(&tree).is_ok()).then_some(*timestamp)
            }
        }
    }

    /// See [`Memtable::gather`]. Not for pieces.
    pub fn gather(
        &self,
        tree: TreeId,
        bounds: KeyBounds<'_>,
        reverse: bool,
        at: Timestamp,
        each: &mut dyn FnMut(&[u8], Version<'_>) -> bool,
    ) -> bool {
        let (writes, timestamp) = match self {
            Layer::Memtable(table) => return table.gather(tree, bounds, reverse, at, each),
            Layer::Run { writes, timestamp } => (writes, *timestamp),
            Layer::Spilled { .. } => unreachable!("pieces are read from pages"),
        };
        let Some(sealed) = writes.trees().get(&tree).filter(|_| timestamp <= at) else { return true };
        let (low, high) = sealed.span(bounds);
        let mut take = |index: usize| {
            let (key, value) = sealed.pair(index);
            each(key, Version { timestamp, value, has_older: false })
        };
        if reverse { (low..high).rev().all(&mut take) } else { (low..high).all(&mut take) }
    }

    /// See [`Memtable::versions`]. Not for pieces.
    pub fn versions(&self, tree: TreeId, key: &[u8], each: &mut dyn FnMut(Version<'_>)) {
        match self {
            Layer::Memtable(table) => table.versions(tree, key, each),
            Layer::Run { writes, timestamp } => {
                if let Some(value) = writes.get(tree, key) {
                    each(Version { timestamp: *timestamp, value, has_older: false });
                }
            }
            Layer::Spilled { .. } => unreachable!("pieces are read from pages"),
        }
    }

    /// Bytes of memory taken, about.
    pub fn byte_count(&self) -> u64 {
        match self {
            Layer::Memtable(table) => table.byte_count(),
            Layer::Run { writes, .. } => writes.byte_count() as u64,
            Layer::Spilled { .. } => self.piece().map_or(0, |(piece, ..)| piece.byte_count() as u64),
        }
    }

    /// What it will take in the trees, about.
    pub fn footprint(&self) -> Footprint {
        match self {
            Layer::Memtable(table) => table.footprint(),
            Layer::Run { writes, .. } => writes.footprint(),
            Layer::Spilled { .. } => {
                self.piece().map_or_else(Footprint::default, |(piece, ..)| piece.footprint)
            }
        }
    }

    /// The trees with something in them, sorted.
    pub fn trees(&self) -> Vec<TreeId> {
        match self {
            Layer::Memtable(table) => table.trees(),
            Layer::Run { writes, .. } => {
                let mut trees: Vec<TreeId> = writes.trees().keys().copied().collect();
                trees.extend_from_slice(writes.dropped());
                sorting::sort(&mut trees);
                trees
            }
            Layer::Spilled { writes, index, .. } => {
                let in_piece = writes.pieces().0[*index].version().trees();
                let mut trees: Vec<TreeId> = in_piece.chain(writes.dropped().iter().copied()).collect();
                sorting::sort(&mut trees);
                trees.dedup();
                trees
            }
        }
    }

    /// About how many rows of the tree are new here.
    pub fn entry_count(&self, tree: TreeId) -> u64 {
        match self {
            Layer::Memtable(table) => table.entry_count(tree),
            Layer::Run { writes, .. } => writes.trees().get(&tree).map_or(0, |it| it.len() as u64),
            Layer::Spilled { .. } => self.piece().map_or(0, |(piece, ..)| piece.version().row_count(tree)),
        }
    }
}

/// See the file's head.
#[derive(Clone)]
pub struct View {
    /// Newest first; the first is the active memtable.
    pub layers: Vec<Arc<Layer>>,
    /// What lies below.
    pub tree: Arc<TreeVersion>,
}

impl View {
    /// The memtable that commits are installed in.
    pub fn active(&self) -> &Memtable {
        match &*self.layers[0] {
            Layer::Memtable(table) => table,
            Layer::Run { .. } | Layer::Spilled { .. } => {
                unreachable!("the first layer is the active memtable")
            }
        }
    }

    /// How many layers a reader at `at` sees of this tree, and whether it sees the trees below: a drop hides the rest.
    pub fn depth(&self, tree: TreeId, at: Timestamp) -> (usize, bool) {
        match self.layers.iter().position(|layer| layer.dropped(tree, at).is_some()) {
            Some(index) => (index + 1, false),
            None => (self.layers.len(), true),
        }
    }

    /// What all layers will take in the trees, about.
    pub fn footprint(&self) -> Footprint {
        let mut all = Footprint::default();
        self.layers.iter().for_each(|layer| all += layer.footprint());
        all
    }

    /// Bytes of all layers.
    pub fn byte_count(&self) -> u64 {
        self.layers.iter().map(|layer| layer.byte_count()).sum()
    }
}

/// Timestamps with how many hold each, ascending.
#[derive(Default)]
struct Holders(VecDeque<(Timestamp, u32)>);

impl Holders {
    fn add(&mut self, timestamp: Timestamp) {
        match self.0.back_mut() {
            Some((last, count)) if *last == timestamp => *count += 1,
            Some((last, _)) if *last > timestamp => {
                let at = self.0.partition_point(|&(it, _)| it < timestamp);
                match self.0.get_mut(at) {
                    Some((it, count)) if *it == timestamp => *count += 1,
                    _ => self.0.insert(at, (timestamp, 1)),
                }
            }
            _ => self.0.push_back((timestamp, 1)),
        }
    }

    fn remove(&mut self, timestamp: Timestamp) {
        let at = self.0.partition_point(|&(it, _)| it < timestamp);
        let (it, count) = self.0.get_mut(at).expect("a registered snapshot is known");
        assert_eq!(*it, timestamp, "a registered snapshot is known");
        *count -= 1;
        while self.0.front().is_some_and(|&(_, count)| count == 0) {
            self.0.pop_front();
        }
        while self.0.back().is_some_and(|&(_, count)| count == 0) {
            self.0.pop_back();
        }
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.0.front().map(|&(timestamp, _)| timestamp)
    }
}

struct State {
    view: Arc<View>,
    published: Timestamp,
    snapshots: Holders,
    serializable: Holders,
}

/// The current view, the published timestamp, and who reads at which.
pub struct Views {
    state: Mutex<State>,
    /// Counts publications and view changes, so that a statement can tell without the lock that nothing changed.
    epoch: AtomicU64,
}

/// A registered snapshot. It must be given back with [`Views::release`].
pub struct Snapshot {
    /// It sees the commits up to this.
    pub timestamp: Timestamp,
    /// What it reads.
    pub view: Arc<View>,
    /// The epoch in which it was taken.
    pub epoch: u64,
}

impl Views {
    /// Starts with this view, everything up to `published` in it.
    pub fn new(view: View, published: Timestamp) -> Self {
        let (snapshots, serializable) = (Holders::default(), Holders::default());
        let state = State { view: Arc::new(view), published, snapshots, serializable };
        Views { state: Mutex::new(state), epoch: AtomicU64::new(0) }
    }

    /// Takes a snapshot (I2: one step).
    pub fn snapshot(&self, serializable: bool) -> Snapshot {
        let mut state = lock(&self.state);
        let timestamp = state.published;
        state.snapshots.add(timestamp);
        if serializable {
            state.serializable.add(timestamp);
        }
        Snapshot { timestamp, view: state.view.clone(), epoch: self.epoch.load(Ordering::Relaxed) }
    }

    /// A snapshot at a time of the caller's choice, which must not be above the published timestamp unless no commit can
    /// come up to it.
    pub fn snapshot_at(&self, timestamp: Timestamp) -> Snapshot {
        let mut state = lock(&self.state);
        state.snapshots.add(timestamp);
        Snapshot { timestamp, view: state.view.clone(), epoch: self.epoch.load(Ordering::Relaxed) }
    }

    /// Registers once more at a timestamp that somebody holds.
    pub fn hold(&self, timestamp: Timestamp) {
        lock(&self.state).snapshots.add(timestamp);
    }

    /// Gives a snapshot back.
    pub fn release(&self, timestamp: Timestamp, serializable: bool) {
        let mut state = lock(&self.state);
        state.snapshots.remove(timestamp);
        if serializable {
            state.serializable.remove(timestamp);
        }
    }

    /// Whether a snapshot taken now would differ from one of this epoch.
    #[inline]
    pub fn is_current(&self, epoch: u64) -> bool {
        self.epoch.load(Ordering::Acquire) == epoch
    }

    /// The newest view and the published timestamp, unregistered: for current reads and installs.
    pub fn current(&self) -> (Arc<View>, Timestamp) {
        let state = lock(&self.state);
        (state.view.clone(), state.published)
    }

    /// The published timestamp.
    pub fn published(&self) -> Timestamp {
        lock(&self.state).published
    }

    /// No snapshot, now or later, reads below this.
    pub fn oldest_snapshot(&self) -> Timestamp {
        let state = lock(&self.state);
        state.snapshots.oldest().map_or(state.published, |oldest| oldest.min(state.published))
    }

    /// No SERIALIZABLE transaction, now or later, has an older snapshot.
    pub fn oldest_serializable(&self) -> Timestamp {
        let state = lock(&self.state);
        state.serializable.oldest().map_or(state.published, |oldest| oldest.min(state.published))
    }

    /// Publishes commits up to `timestamp`: they are in the view's layers (I2).
    pub fn publish(&self, timestamp: Timestamp) {
        let mut state = lock(&self.state);
        assert!(timestamp >= state.published, "commits are published in order");
        state.published = timestamp;
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Replaces the view by what `change` makes of it. Only whoever holds the install lock may change layers.
    pub fn replace(&self, change: impl FnOnce(&View) -> View) -> Arc<View> {
        let mut state = lock(&self.state);
        let new = Arc::new(change(&state.view));
        let old = std::mem::replace(&mut state.view, new);
        self.epoch.fetch_add(1, Ordering::Release);
        let view = state.view.clone();
        drop(state);
        // The old view may be the last holder of large layers: freed outside the lock.
        drop(old);
        view
    }

    /// How many snapshots are alive.
    pub fn snapshot_count(&self) -> u64 {
        lock(&self.state).snapshots.0.iter().map(|&(_, count)| u64::from(count)).sum()
    }
}
