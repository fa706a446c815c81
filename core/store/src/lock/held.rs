//! The locks of one transaction, in the order they were taken, with the number of the write sequence at which: what
//! ROLLBACK TO gives back, and what the end of the transaction releases.

use super::private::{HeldRow, PrivateRows};
use super::session::{HeldAdvisory, SessionLocks};
use super::{LockId, LockTable, Modes, SHARD_COUNT};
use orrery_base::kv::{AdvisoryKey, AdvisoryMode};
use orrery_base::{TreeId, TxnId, buggify};
use std::sync::Arc;

/// With this many row locks a transaction tries to keep them to itself.
const PRIVATE_ROW_COUNT_MIN: usize = 64;

#[derive(Clone, Copy)]
struct HeldTable {
    table: TreeId,
    sequence: u32,
    before: Modes,
    modes: Modes,
}

/// See the file's head.
#[derive(Default)]
pub struct HeldLocks {
    /// Those in the shared table, all taken after those in `private`.
    rows: Vec<HeldRow>,
    private: Option<Arc<PrivateRows>>,
    tables: Vec<HeldTable>,
    advisory: Option<Box<HeldAdvisory>>,
    /// Trees of which no row need be locked, and since when: a table lock keeps everybody else's locks out.
    covered: Vec<(TreeId, u32)>,
}

impl HeldLocks {
    /// Whether row locks of this tree are held already, all of them.
    #[inline]
    pub fn covers(&self, tree: TreeId) -> bool {
        self.covered.iter().any(|(covered, _)| *covered == tree)
    }

    /// The table lock just taken covers these trees.
    pub fn cover(&mut self, trees: &[TreeId], sequence: u32) {
        self.covered.extend(trees.iter().map(|tree| (*tree, sequence)));
    }

    /// Whether there are so many row locks that the lock table could fill up.
    pub fn are_many(&self, table: &LockTable) -> bool {
        let count = self.rows.len() + self.private.as_ref().map_or(0, |private| private.len());
        count >= table.shard_row_count_max * SHARD_COUNT / 4
            || (count > 0 && buggify!(table.world, "lock: a table for few rows"))
    }

    /// Takes a row lock that nobody else needs to hear of; `false`: ask the lock table.
    #[inline]
    pub fn take_private(&self, hash: u64, mode: u8, sequence: u32, table: &LockTable) -> bool {
        let Some(private) = &self.private else { return false };
        let limit = table.shard_row_count_max * SHARD_COUNT;
        private.take(HeldRow { hash, sequence, mode, before: 0 }, limit)
    }

    /// Keeps the row locks private from now on, if they are many and `txn` alone has any.
    #[inline]
    pub fn consider_privacy(&mut self, table: &LockTable, txn: TxnId) {
        let count = self.rows.len();
        let is_early = buggify!(table.world, "lock: private from the first row on");
        let is_due = count.is_power_of_two() && (count >= PRIVATE_ROW_COUNT_MIN || is_early);
        if is_due && self.private.is_none() {
            self.private = table.make_private(txn, &mut self.rows);
        }
    }

    /// Notes a grant: `before` are the modes held until then.
    #[inline]
    pub fn note(&mut self, id: LockId, mode: u8, before: Modes, sequence: u32) {
        match id {
            LockId::Row(hash) => self.rows.push(HeldRow { hash, sequence, mode, before }),
            LockId::Table(table) => {
                self.tables.push(HeldTable { table, sequence, before, modes: before | (1 << mode) });
            }
            LockId::Advisory(_) => debug_assert!(false, "a session holds it: see note_advisory"),
        }
    }

    /// Notes an advisory lock that the session holds for this transaction.
    pub fn note_advisory(
        &mut self,
        session: &Arc<SessionLocks>,
        key: AdvisoryKey,
        mode: AdvisoryMode,
        sequence: u32,
    ) {
        self.advisory.get_or_insert_default().push(session.clone(), key, mode, sequence);
    }

    /// Whether this table lock is known to be held in just this mode: spares the lock table.
    pub fn has_table_mode(&self, table: TreeId, mode: u8) -> bool {
        self.tables.iter().any(|it| it.table == table && it.modes & (1 << mode) != 0)
    }

    /// Gives back what was taken at `sequence` or later.
    pub fn rollback_to(&mut self, sequence: u32, table: &LockTable, txn: TxnId) {
        while let Some(row) = self.rows.pop_if(|it| it.sequence >= sequence) {
            table.reduce(LockId::Row(row.hash), txn, row.before);
        }
        if let Some(private) = &self.private {
            private.rollback_to(sequence, table);
        }
        while let Some(held) = self.tables.pop_if(|it| it.sequence >= sequence) {
            table.reduce(LockId::Table(held.table), txn, held.before);
        }
        self.covered.retain(|(_, since)| *since < sequence);
        if let Some(advisory) = &mut self.advisory {
            advisory.release_from(sequence);
        }
    }

    /// Releases all.
    pub fn release_all(&mut self, table: &LockTable, txn: TxnId) {
        for row in self.rows.drain(..) {
            table.reduce(LockId::Row(row.hash), txn, 0);
        }
        if let Some(private) = self.private.take() {
            table.release_private(&private);
        }
        self.covered.clear();
        for held in self.tables.drain(..) {
            table.reduce(LockId::Table(held.table), txn, 0);
        }
        if let Some(mut advisory) = self.advisory.take() {
            advisory.release_from(0);
        }
    }
}
