//! Which catalog a statement is bound under.
//!
//! Invariant: a catalog read in the same snapshot as the data is always right. The cached one is used only where that
//! cannot be told apart: no schema change was sequenced since it was read.
//!
//! A schema change bumps the epoch before its commit is sequenced and again after it is installed, and counts as in
//! flight between. A catalog enters the cache only if the epoch did not move while it was read and nothing was in flight.

use orrery_base::Timestamp;
use orrery_base::task::lock;
use orrery_sql::catalog::{Catalog, Table};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The cached catalog and its epoch.
#[derive(Default)]
pub(crate) struct SchemaCache {
    epoch: AtomicU64,
    in_flight: AtomicU64,
    cached: Mutex<Option<Cached>>,
}

struct Cached {
    epoch: u64,
    /// The snapshot it was read in.
    read_at: Timestamp,
    catalog: Arc<Catalog>,
}

/// A schema change on its way through commit. Dropped without [`ChangeInFlight::done`] (the commit's task was dropped,
/// and nobody knows when the queue installs it), it counts as in flight for ever: catalogs are then read anew each time.
pub(crate) struct ChangeInFlight(Arc<SchemaCache>);

impl SchemaCache {
    /// The epoch to remember before taking the snapshot that reads a catalog; `None` while a change is in flight.
    pub(crate) fn quiet_epoch(&self) -> Option<u64> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        (self.in_flight.load(Ordering::SeqCst) == 0).then_some(epoch)
    }

    /// The cached catalog, if nothing changed since, for a statement that reads in this snapshot. One read in a later
    /// snapshot may know an index that was filled after this one was taken.
    pub(crate) fn current(&self, snapshot: Timestamp) -> Option<Arc<Catalog>> {
        let epoch = self.quiet_epoch()?;
        let cached = lock(&self.cached);
        let fits = |it: &&Cached| it.epoch == epoch && it.read_at <= snapshot;
        cached.as_ref().filter(fits).map(|it| it.catalog.clone())
    }

    /// The cached catalog with its epoch, if nothing changed since; whoever takes a snapshot now must find the epoch
    /// unmoved afterwards.
    pub(crate) fn current_with_epoch(&self) -> Option<(u64, Arc<Catalog>)> {
        let epoch = self.quiet_epoch()?;
        let cached = lock(&self.cached);
        cached.as_ref().filter(|it| it.epoch == epoch).map(|it| (epoch, it.catalog.clone()))
    }

    /// Whether `catalog` is the cached one and nothing changed since.
    #[inline]
    pub(crate) fn is_current(&self, catalog: &Arc<Catalog>) -> bool {
        self.current_with_epoch().is_some_and(|(_, current)| Arc::ptr_eq(&current, catalog))
    }

    /// Caches a catalog read in the snapshot `read_at`, which was taken after `epoch` was asked for.
    pub(crate) fn offer(&self, epoch: u64, read_at: Timestamp, catalog: &Arc<Catalog>) {
        if self.quiet_epoch() == Some(epoch) {
            *lock(&self.cached) = Some(Cached { epoch, read_at, catalog: catalog.clone() });
        }
    }

    /// Called before a schema change is committed.
    pub(crate) fn begin_change(self: &Arc<Self>) -> ChangeInFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        ChangeInFlight(self.clone())
    }
}

impl ChangeInFlight {
    /// Called when the commit has ended, whatever its outcome.
    pub(crate) fn done(self) {
        self.0.epoch.fetch_add(1, Ordering::SeqCst);
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a plan made for one definition of a table may run under the other.
pub(crate) fn same_definition(one: &Table, other: &Table) -> bool {
    let indexes = |table: &Table| table.indexes.iter().map(|index| index.tree).collect::<Vec<_>>();
    one.id == other.id
        && one.tree == other.tree
        && one.schema_version == other.schema_version
        && indexes(one) == indexes(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_read_across_a_change_is_not_cached() {
        let cache = Arc::new(SchemaCache::default());
        let catalog = Arc::new(Catalog::default());
        let before = cache.quiet_epoch().unwrap();
        let change = cache.begin_change();
        assert!(cache.quiet_epoch().is_none());
        cache.offer(before, Timestamp(7), &catalog);
        assert!(cache.current(Timestamp(9)).is_none());
        change.done();
        cache.offer(before, Timestamp(7), &catalog);
        assert!(cache.current(Timestamp(9)).is_none(), "the epoch moved on");
        cache.offer(cache.quiet_epoch().unwrap(), Timestamp(7), &catalog);
        assert!(cache.current(Timestamp(6)).is_none(), "a snapshot older than the catalog");
        assert!(cache.current(Timestamp(7)).is_some());
        assert!(cache.is_current(&catalog));
    }

    #[test]
    fn an_abandoned_change_stays_in_flight() {
        let cache = Arc::new(SchemaCache::default());
        drop(cache.begin_change());
        assert!(cache.quiet_epoch().is_none());
    }
}
