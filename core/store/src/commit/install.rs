//! The end of a commit: landed write sets go into the memtable in log order, then are published once, then their locks
//! are released and their owners woken (I2). One at a time, under the install lock; so is everything that changes the
//! layers of a view.

use super::queue::{Commit, Landed};
use crate::mem::memtable::Memtable;
use crate::mem::sealed::SealedWrites;
use crate::mem::view::{Layer, View};
use crate::store::Store;
use orrery_base::task::lock;
use orrery_base::{Timestamp, probe};
use std::sync::Arc;
use std::task::Waker;

/// Layers over the trees beyond which a large commit is copied into the memtable instead of becoming one more.
const LAYER_COUNT_MAX: usize = 8;

impl Store {
    /// Installs everything that landed.
    pub(crate) fn install_landed(&self) {
        let mut wakers = Vec::new();
        {
            let _installing = lock(&self.install);
            loop {
                let Some(landed) = lock(&self.sequencer).landed.pop_front() else { break };
                self.install_one(landed, &mut wakers);
            }
        }
        let any = !wakers.is_empty();
        wakers.into_iter().for_each(Waker::wake);
        if any || self.options.in_memory {
            self.nudge_housekeeping();
        }
    }

    fn install_one(&self, landed: Landed, wakers: &mut Vec<Waker>) {
        let mut newest = None;
        for commit in landed.items.iter().filter_map(|item| item.commit.as_ref()) {
            self.install_commit(commit);
            newest = Some(commit.timestamp);
        }
        if let Some(timestamp) = newest {
            self.views.publish(timestamp);
        }
        {
            let (oldest, published) = (self.views.oldest_serializable(), self.views.published());
            let mut sequencer = lock(&self.sequencer);
            sequencer.installed = landed.end;
            sequencer.conflicts.prune(oldest, published);
            if !sequencer.unsealed.is_empty() {
                for item in landed.items.iter().filter(|it| it.commit.is_some()) {
                    sequencer.unsealed.remove(&item.txn);
                }
            }
        }
        for mut item in landed.items {
            let timestamp = item.commit.as_ref().map_or(Timestamp::ZERO, |it| it.timestamp);
            if let Some(commit) = &mut item.commit {
                commit.locks.release_all(&self.locks, item.txn);
                self.counters.commits.add(1);
            }
            if item.slot.is_abandoned() {
                probe!(self.world, "commit: completed after its task was dropped");
            }
            wakers.extend(item.slot.settle(Ok(timestamp)));
        }
    }

    fn install_commit(&self, commit: &Commit) {
        let (view, _) = self.views.current();
        let has_pieces = !commit.writes.pieces().0.is_empty();
        if has_pieces || (commit.is_adopted && view.layers.len() < LAYER_COUNT_MAX) {
            self.adopt(commit.writes.clone(), commit.timestamp);
        } else {
            let oldest = self.oldest_readable();
            view.active().install(&commit.writes, commit.timestamp, oldest, &self.world);
        }
    }

    /// Makes a large commit a layer of its own, between the active memtable so far and a new one. Under the install
    /// lock (recovery has the store to itself).
    pub(crate) fn adopt(&self, writes: Arc<SealedWrites>, timestamp: Timestamp) {
        probe!(self.world, "memtable: large commit adopted as a run");
        let budget = self.memtable_budget();
        self.views.replace(|view| {
            let mut layers = vec![self.new_memtable(budget)];
            layers.extend(Layer::of_commit(&writes, timestamp));
            layers.extend(view.layers.iter().filter(|layer| !is_empty(layer)).cloned());
            View { layers, tree: view.tree.clone() }
        });
    }

    /// Puts a new active memtable in front. Gives the layers behind it. Under the install lock.
    pub(crate) fn freeze(&self) -> Vec<Arc<Layer>> {
        let budget = self.memtable_budget();
        let view = self.views.replace(|view| {
            if is_empty(&view.layers[0]) {
                return view.clone();
            }
            let mut layers = vec![self.new_memtable(budget)];
            layers.extend(view.layers.iter().cloned());
            View { layers, tree: view.tree.clone() }
        });
        view.layers[1..].to_vec()
    }

    pub(crate) fn new_memtable(&self, budget: u64) -> Arc<Layer> {
        Arc::new(Layer::Memtable(Memtable::new(budget)))
    }
}

fn is_empty(layer: &Layer) -> bool {
    matches!(layer, Layer::Memtable(table) if table.is_empty())
}
