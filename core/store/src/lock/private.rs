//! Row locks that one transaction keeps to itself: while nobody else holds or asks for a row lock, a transaction that
//! takes many (a bulk load) writes them into a list of its own, which costs a tenth of the shared table.
//!
//! - P1: while a list is private, no other transaction has an entry in the shared table, and its owner has none either.
//! - P2: whoever is going to look into the shared table counts itself in `users` first and looks for a private list
//!   then; whoever makes its list private says so first and looks at `users` then. So one of the two sees the other.
//! - P3: who sees a private list publishes it: the locks go into the shared table, as if they had been taken there, and
//!   the list stays as the record of what its owner holds.
//!
//! Lock order: the owner's own locks, the slot of the private list, the list, a shard.

use super::{FAT, LockId, LockTable, Modes, Thin};
use orrery_base::TxnId;
use orrery_base::probe;
use orrery_base::task::lock;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A row lock a transaction holds.
#[derive(Clone, Copy)]
pub(super) struct HeldRow {
    pub(super) hash: u64,
    pub(super) sequence: u32,
    pub(super) mode: u8,
    /// The modes held before, in the shared table.
    pub(super) before: Modes,
}

/// A list that was private once; it still may be.
pub(super) struct PrivateRows(Mutex<Rows>);

struct Rows {
    txn: TxnId,
    rows: Vec<HeldRow>,
    is_published: bool,
}

/// What the lock table knows of the private list.
#[derive(Default)]
pub(super) struct Privacy {
    /// Entries of the shared table, and requests that look into it.
    users: AtomicUsize,
    /// Whose list is private; 0: nobody's.
    owner: AtomicU64,
    slot: Mutex<Option<Arc<PrivateRows>>>,
}

/// A request that looks into the shared table (P2).
pub(super) struct Request<'a>(&'a Privacy);

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Privacy {
    /// An entry was added to the shared table.
    pub(super) fn added(&self) {
        self.users.fetch_add(1, Ordering::SeqCst);
    }

    /// An entry was removed from the shared table.
    pub(super) fn removed(&self) {
        self.users.fetch_sub(1, Ordering::SeqCst);
    }

    /// Some of the private list, from row `first` on, and whose it is; `None` behind its end.
    pub(super) fn rows(&self, first: usize, count: usize) -> Option<(TxnId, Vec<HeldRow>)> {
        let slot = lock(&self.slot);
        let list = lock(&slot.as_ref()?.0);
        let rows: Vec<HeldRow> = list.rows.iter().skip(first).take(count).copied().collect();
        (!rows.is_empty()).then_some((list.txn, rows))
    }

    /// How many locks are in the private list.
    pub(super) fn row_count(&self) -> usize {
        lock(&self.slot).as_ref().map_or(0, |list| lock(&list.0).rows.len())
    }
}

impl PrivateRows {
    /// Notes a lock if the list is private and shorter than `limit`.
    #[inline]
    pub(super) fn take(&self, row: HeldRow, limit: usize) -> bool {
        let mut list = lock(&self.0);
        if list.is_published || list.rows.len() >= limit {
            return false;
        }
        // The same row again, as updates in a loop do.
        let is_held = list.rows.last().is_some_and(|last| last.hash == row.hash && last.mode == row.mode);
        if !is_held {
            list.rows.push(row);
        }
        true
    }

    /// Gives back what was taken at `sequence` or later.
    pub(super) fn rollback_to(&self, sequence: u32, table: &LockTable) {
        let mut list = lock(&self.0);
        let txn = list.txn;
        while let Some(row) = list.rows.pop_if(|it| it.sequence >= sequence) {
            if list.is_published {
                table.reduce(LockId::Row(row.hash), txn, row.before);
            }
        }
    }
}

impl PrivateRows {
    /// How many row locks.
    pub(super) fn len(&self) -> usize {
        lock(&self.0).rows.len()
    }
}

impl LockTable {
    /// Before looking into the shared table.
    #[inline]
    pub(super) fn request(&self) -> Request<'_> {
        self.privacy.users.fetch_add(1, Ordering::SeqCst);
        let request = Request(&self.privacy);
        if self.privacy.owner.load(Ordering::SeqCst) != 0 {
            self.publish();
        }
        request
    }

    /// Makes a transaction's locks private, if it alone has any. `rows`: all row locks it holds.
    pub(super) fn make_private(&self, txn: TxnId, rows: &mut Vec<HeldRow>) -> Option<Arc<PrivateRows>> {
        let entry_count = rows.iter().filter(|row| row.before == 0).count();
        if self.privacy.users.load(Ordering::SeqCst) != entry_count {
            return None;
        }
        let mut slot = lock(&self.privacy.slot);
        if slot.is_some() {
            return None;
        }
        self.privacy.owner.store(txn.0, Ordering::SeqCst);
        let is_thin =
            |row: &HeldRow| lock(self.shard(row.hash)).get(&row.hash).is_some_and(|it| it.holder == txn);
        // From here on newcomers wait for the slot (P2): what is counted now is all there is.
        if self.privacy.users.load(Ordering::SeqCst) != entry_count || !rows.iter().all(is_thin) {
            self.privacy.owner.store(0, Ordering::SeqCst);
            return None;
        }
        for row in rows.iter() {
            if lock(self.shard(row.hash)).remove(&row.hash).is_some() {
                self.privacy.removed();
            }
        }
        probe!(self.world, "lock: a transaction keeps its locks to itself");
        let rows = std::mem::take(rows);
        let list = Arc::new(PrivateRows(Mutex::new(Rows { txn, rows, is_published: false })));
        *slot = Some(list.clone());
        Some(list)
    }

    /// Puts the private list into the shared table (P3).
    #[cold]
    pub(super) fn publish(&self) {
        let mut slot = lock(&self.privacy.slot);
        let Some(list) = slot.take() else { return };
        probe!(self.world, "lock: private locks are published");
        let mut list = lock(&list.0);
        let Rows { txn, rows, is_published } = &mut *list;
        for row in rows {
            row.before = match lock(self.shard(row.hash)).entry(row.hash) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Thin { holder: *txn, modes: 1 << row.mode });
                    self.privacy.added();
                    0
                }
                Entry::Occupied(occupied) => {
                    let thin = occupied.into_mut();
                    assert!(thin.holder == *txn && *txn != FAT, "P1: nobody else has an entry");
                    let before = thin.modes;
                    thin.modes |= 1 << row.mode;
                    before
                }
            };
        }
        *is_published = true;
        self.privacy.owner.store(0, Ordering::SeqCst);
    }

    /// Releases all locks of a list.
    pub(super) fn release_private(&self, list: &Arc<PrivateRows>) {
        let mut slot = lock(&self.privacy.slot);
        let mut rows = lock(&list.0);
        if !rows.is_published {
            rows.is_published = true;
            rows.rows = Vec::new();
            *slot = None;
            self.privacy.owner.store(0, Ordering::SeqCst);
            return;
        }
        drop(slot);
        let (txn, rows) = (rows.txn, std::mem::take(&mut rows.rows));
        for row in rows {
            self.reduce(LockId::Row(row.hash), txn, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::held::HeldLocks;
    use super::super::{Attempt, row_mode};
    use super::*;
    use orrery_base::World;
    use orrery_base::kv::RowLock::{Share, Update};
    use orrery_base::rng::Rng;
    use std::collections::BTreeMap;

    fn table() -> LockTable {
        LockTable::new(1 << 20, World::quiet())
    }

    /// As a transaction takes a lock.
    fn take(table: &LockTable, held: &mut HeldLocks, txn: u64, hash: u64, mode: u8, sequence: u32) -> bool {
        if held.take_private(hash, mode, sequence, table) {
            return true;
        }
        match table.attempt(LockId::Row(hash), TxnId(txn), mode).expect("room") {
            Attempt::Held => true,
            Attempt::Granted(before) => {
                held.note(LockId::Row(hash), mode, before, sequence);
                held.consider_privacy(table, TxnId(txn));
                true
            }
            Attempt::Conflict => false,
        }
    }

    fn is_private(table: &LockTable) -> bool {
        lock(&table.privacy.slot).is_some()
    }

    #[test]
    fn a_second_transaction_sees_private_locks() {
        let (table, update) = (table(), row_mode(Update));
        let (mut one, mut two) = (HeldLocks::default(), HeldLocks::default());
        for row in 0..200 {
            assert!(take(&table, &mut one, 1, row, update, row as u32));
        }
        assert!(is_private(&table));
        assert_eq!(table.row_count(), 200);
        one.rollback_to(190, &table, TxnId(1));
        assert_eq!(table.row_count(), 190);
        assert!(take(&table, &mut two, 2, 195, update, 1));
        assert!(!is_private(&table));
        assert!(!take(&table, &mut two, 2, 100, update, 1));
        one.rollback_to(100, &table, TxnId(1));
        assert!(take(&table, &mut two, 2, 100, update, 1));
        assert!(!take(&table, &mut one, 1, 100, update, 300));
        assert!(take(&table, &mut one, 1, 300, update, 300));
        one.release_all(&table, TxnId(1));
        assert_eq!(table.row_count(), 2);
        two.release_all(&table, TxnId(2));
        assert_eq!((table.row_count(), table.privacy.users.load(Ordering::SeqCst)), (0, 0));
    }

    /// Grants, savepoints and releases of three transactions against a plain model.
    #[test]
    fn follows_a_model() {
        let (mut private_count, mut published_count) = (0, 0);
        for seed in 0..200 {
            let (table, mut rng) = (table(), Rng::new(seed));
            let mut held: Vec<HeldLocks> = (0..3).map(|_| HeldLocks::default()).collect();
            // Per transaction: (row, mode) by the number of the write sequence.
            let mut model: Vec<Vec<(u32, u64, u8)>> = vec![Vec::new(); 3];
            let mut sequence = 1;
            for _ in 0..600 {
                sequence += 1;
                // Long stretches of one transaction, so that its locks become private.
                let txn = if rng.chance(1, 60) { rng.below(3) as usize } else { seed as usize % 3 };
                let id = TxnId(txn as u64 + 1);
                match rng.below(300) {
                    0 => {
                        held[txn].release_all(&table, id);
                        model[txn].clear();
                    }
                    1 => {
                        let back_to = sequence - rng.below(100).min(u64::from(sequence)) as u32;
                        held[txn].rollback_to(back_to, &table, id);
                        model[txn].retain(|it| it.0 < back_to);
                    }
                    _ => {
                        let mode = row_mode(if rng.chance(1, 4) { Share } else { Update });
                        let row = rng.below(400);
                        let others = (0..3).filter(|&it| it != txn).flat_map(|it| &model[it]);
                        let conflicts = LockId::Row(row).conflicts(mode);
                        let is_free = others.filter(|it| it.1 == row).all(|it| conflicts & (1 << it.2) == 0);
                        let was_private = is_private(&table);
                        let granted = take(&table, &mut held[txn], id.0, row, mode, sequence);
                        assert_eq!(granted, is_free, "seed {seed}");
                        private_count += usize::from(!was_private && is_private(&table));
                        published_count += usize::from(was_private && !is_private(&table));
                        if granted {
                            model[txn].push((sequence, row, mode));
                        }
                    }
                }
            }
            for (txn, held) in held.iter_mut().enumerate() {
                held.release_all(&table, TxnId(txn as u64 + 1));
            }
            assert_eq!((table.row_count(), table.privacy.users.load(Ordering::SeqCst)), (0, 0));
        }
        assert!(private_count > 50 && published_count > 50, "{private_count} {published_count}");
    }

    /// Threads that come and go: no row ever has two owners.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "threads are what is tested")]
    fn threads_exclude_each_other() {
        let table = table();
        let owners: Vec<AtomicU64> = (0..300).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 1..=4u64 {
                let (table, owners) = (&table, &owners);
                scope.spawn(move || {
                    let mut rng = Rng::new(thread);
                    for round in 0..400 {
                        let txn = round * 4 + thread;
                        let mut held = HeldLocks::default();
                        let mut mine = BTreeMap::new();
                        for sequence in 0..rng.below(150) {
                            let row = rng.below(300);
                            if take(table, &mut held, txn, row, row_mode(Update), sequence as u32) {
                                let before = owners[row as usize].swap(txn, Ordering::SeqCst);
                                assert!(before == 0 || before == txn, "row {row} has two owners");
                                mine.insert(row, ());
                            }
                        }
                        for row in mine.into_keys() {
                            owners[row as usize].store(0, Ordering::SeqCst);
                        }
                        held.release_all(table, TxnId(txn));
                    }
                });
            }
        });
        assert_eq!((table.row_count(), table.privacy.users.load(Ordering::SeqCst)), (0, 0));
    }
}
