//! The locks of one transaction, in the order they were taken, with the number of the write sequence at which: what
//! ROLLBACK TO gives back, and what the end of the transaction releases.

use super::{LockId, LockTable, Modes};
use orrery_base::{TreeId, TxnId};

#[derive(Clone, Copy)]
struct HeldRow {
    hash: u64,
    sequence: u32,
    before: Modes,
}

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
    rows: Vec<HeldRow>,
    tables: Vec<HeldTable>,
}

impl HeldLocks {
    /// Notes a grant: `before` are the modes held until then.
    #[inline]
    pub fn note(&mut self, id: LockId, mode: u8, before: Modes, sequence: u32) {
        match id {
            LockId::Row(hash) => self.rows.push(HeldRow { hash, sequence, before }),
            LockId::Table(table) => {
                self.tables.push(HeldTable { table, sequence, before, modes: before | (1 << mode) });
            }
        }
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
        while let Some(held) = self.tables.pop_if(|it| it.sequence >= sequence) {
            table.reduce(LockId::Table(held.table), txn, held.before);
        }
    }

    /// Releases all.
    pub fn release_all(&mut self, table: &LockTable, txn: TxnId) {
        for row in self.rows.drain(..) {
            table.reduce(LockId::Row(row.hash), txn, 0);
        }
        for held in self.tables.drain(..) {
            table.reduce(LockId::Table(held.table), txn, 0);
        }
    }
}
