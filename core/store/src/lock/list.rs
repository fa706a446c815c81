//! The locks as a list, for people: part by part, so that a large lock table is never copied whole. Each part is right at the moment
//! it is taken; together they are of no one moment.
//!
//! The table knows a row by its hash only; which table and key it is, it learns where somebody waits for it.

use super::queue::Fat;
use super::{FAT, LockId, LockTable, Modes, SHARD_COUNT, Thin};
use orrery_base::kv::AdvisoryKey;
use orrery_base::sorting;
use orrery_base::task::lock;
use orrery_base::time::Micros;
use orrery_base::{TreeId, TxnId};

/// Private rows of one part, at most.
const PRIVATE_PART_ROW_COUNT: usize = 4096;

/// What a lock is on, and in which mode it is held or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// A table, in a mode of [`orrery_base::kv::TableLock`] by number.
    Table(TreeId, u8),
    /// A row by its hash, in a mode of [`orrery_base::kv::RowLock`] by number.
    Row(u64, u8),
    /// An advisory lock: shared or exclusive.
    Advisory(AdvisoryKey, u8),
}

/// A lock that is held or waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockInfo {
    /// What on.
    pub mode: LockMode,
    /// Of a row that somebody waits for: its table and key.
    pub row: Option<(TreeId, Vec<u8>)>,
    /// Who holds it or waits: a transaction, or, of advisory locks that are held, a session's own number.
    pub owner: TxnId,
    /// Whether it is held.
    pub is_granted: bool,
    /// How many wait for it.
    pub waiter_count: u64,
    /// When the wait began.
    pub since: Option<Micros>,
}

fn of_modes(id: LockId, modes: Modes) -> impl Iterator<Item = LockMode> {
    (0..id.mode_count()).filter(move |mode| modes & (1 << mode) != 0).map(move |mode| named(id, mode))
}

fn named(id: LockId, mode: u8) -> LockMode {
    match id {
        LockId::Table(table) => LockMode::Table(table, mode),
        LockId::Row(hash) => LockMode::Row(hash, mode),
        LockId::Advisory(key) => LockMode::Advisory(key, mode),
    }
}

/// The holders and the waiters of a lock, in this order.
pub(super) fn of_fat(id: LockId, fat: &Fat) -> Vec<LockInfo> {
    let row = fat.waiters().find_map(|it| it.row.clone());
    let waiter_count = fat.waiters().count() as u64;
    let held =
        fat.holders().iter().flat_map(|&(owner, modes)| of_modes(id, modes).map(move |it| (owner, it)));
    let held = held.map(|(owner, mode)| (owner, mode, true, None));
    let waiting = fat.waiters().map(|it| (it.waits, named(id, it.mode), false, Some(it.since)));
    let all = held.chain(waiting).map(|(owner, mode, is_granted, since)| {
        let waiter_count = if is_granted { waiter_count } else { 0 };
        LockInfo { mode, row: row.clone(), owner, is_granted, waiter_count, since }
    });
    all.collect()
}

impl LockTable {
    /// The locks, part by part from 0 on; `None` behind the last. First those that are shared or waited for, and all of tables.
    pub fn list(&self, part: u64) -> Option<Vec<LockInfo>> {
        let part = usize::try_from(part).ok()?;
        if part == 0 {
            return Some(lock(&self.contended).list());
        }
        let plain = |hash: u64, owner, modes| {
            of_modes(LockId::Row(hash), modes).map(move |mode| LockInfo {
                mode,
                row: None,
                owner,
                is_granted: true,
                waiter_count: 0,
                since: None,
            })
        };
        if part <= SHARD_COUNT {
            let shard = lock(&self.shards[part - 1]);
            let mut thin: Vec<(u64, Thin)> = shard.iter().map(|(hash, thin)| (*hash, *thin)).collect();
            drop(shard);
            thin.retain(|it| it.1.holder != FAT);
            sorting::sort_by_key(&mut thin, |it| it.0);
            return Some(
                thin.iter().flat_map(|(hash, thin)| plain(*hash, thin.holder, thin.modes)).collect(),
            );
        }
        let first = (part - SHARD_COUNT - 1) * PRIVATE_PART_ROW_COUNT;
        let (owner, rows) = self.privacy.rows(first, PRIVATE_PART_ROW_COUNT)?;
        Some(rows.iter().flat_map(|row| plain(row.hash, owner, 1 << row.mode)).collect())
    }

    /// Bytes that row locks take, and may take, about.
    pub fn memory(&self) -> (u64, u64) {
        let bytes = |count: usize| (count * 24) as u64;
        (bytes(self.row_count()), bytes(self.shard_row_count_max * SHARD_COUNT))
    }
}
