//! Row and table locks with PostgreSQL's modes and conflict tables (documentation, 13.3).
//!
//! A row lock nobody else wants is a *thin* entry of 24 bytes in a sharded table keyed by a 64-bit hash of (tree,
//! key). Two keys of one hash share a lock: that can only make someone wait who need not. As soon as a lock is shared
//! or waited for it is *fat*: holders and a fair queue under one mutex, where the wait-for graph is looked at whenever
//! somebody starts to wait. Table locks are always fat.
//!
//! Rules: a request is granted at once when no other holder and nobody in the queue conflicts; who holds a weaker mode
//! already asks at the head of the queue; the youngest transaction of a cycle is its victim (40P01).
//!
//! While a single transaction has row locks it keeps them to itself ([`private`]).
//!
//! Advisory locks ([`session`]) belong to sessions, which hold them beyond their transactions; in the wait-for graph a session is
//! the transaction in which it waits.
//!
//! Waiting is by `Waker` alone. Which locks a transaction holds is its own list ([`held`]).

pub mod held;
pub mod list;
mod private;
mod queue;
pub mod session;

use crate::mem::key_hash;
use orrery_base::kv::{AdvisoryKey, RowLock, TableLock};
use orrery_base::task::lock;
use orrery_base::time::Micros;
use orrery_base::{Error, Result, SqlState, TreeId, TxnId, World, plant, probe};
use private::Privacy;
use queue::{Contended, Fat};
pub use queue::{WaitOutcome, WaitSlot};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex};
use std::task::Waker;

/// A lock's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockId {
    /// A row, by the hash of its tree and key.
    Row(u64),
    /// A table.
    Table(TreeId),
    /// What only its users know the meaning of.
    Advisory(AdvisoryKey),
}

/// A set of modes, one bit each.
pub type Modes = u8;

/// What each row-lock mode conflicts with.
const ROW_CONFLICTS: [Modes; 4] = [0b1000, 0b1100, 0b1110, 0b1111];
/// What an advisory lock conflicts with: shared, exclusive.
const ADVISORY_CONFLICTS: [Modes; 2] = [0b10, 0b11];
/// What each table-lock mode conflicts with.
const TABLE_CONFLICTS: [Modes; 8] =
    [0b1000_0000, 0b1100_0000, 0b1111_0000, 0b1111_1000, 0b1110_1100, 0b1111_1100, 0b1111_1110, 0b1111_1111];

impl LockId {
    /// The lock of a row. Sixteen keys that differ in the low bits of their last byte only get neighbouring hashes: the locks
    /// of rows written in order then share cache lines of the table, which costs a large load less than two misses a row.
    /// The top bits, by which the table tells neighbours apart, differ too.
    #[inline]
    pub fn of_row(tree: TreeId, key: &[u8]) -> LockId {
        let (&last, rest) = key.split_last().unwrap_or((&0, &[]));
        let (block, place) = (u64::from(last >> 4), u64::from(last & 15));
        let hash = key_hash(tree, rest) ^ (block | 16).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        LockId::Row(((hash & !15) | place) ^ (place << 57))
    }

    fn conflicts(self, mode: u8) -> Modes {
        match self {
            LockId::Row(_) => ROW_CONFLICTS[usize::from(mode)],
            LockId::Table(_) => TABLE_CONFLICTS[usize::from(mode)],
            LockId::Advisory(_) => ADVISORY_CONFLICTS[usize::from(mode)],
        }
    }

    fn mode_count(self) -> u8 {
        match self {
            LockId::Row(_) => 4,
            LockId::Table(_) => 8,
            LockId::Advisory(_) => 2,
        }
    }

    /// Whether holding `held` already gives everything that `mode` does.
    fn covers(self, held: Modes, mode: u8) -> bool {
        let wanted = self.conflicts(mode);
        held != 0
            && (0..self.mode_count()).any(|it| held & (1 << it) != 0 && wanted & !self.conflicts(it) == 0)
    }
}

/// The number of a row-lock mode.
pub fn row_mode(mode: RowLock) -> u8 {
    mode as u8
}

/// The number of a table-lock mode.
pub fn table_mode(mode: TableLock) -> u8 {
    mode as u8
}

/// Who asks for a lock, and may wait for it.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Who will hold it.
    pub owner: TxnId,
    /// The transaction that waits meanwhile.
    pub txn: TxnId,
    /// Who else waits with it: the session it belongs to, if that holds locks of its own.
    pub session: Option<TxnId>,
    /// Which row it asks for, by table and key: for people who look at the locks.
    pub row: Option<(TreeId, Vec<u8>)>,
    /// When it began to ask.
    pub since: Micros,
}

/// The answer to a request that does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was held before.
    Held,
    /// Granted; the modes held before.
    Granted(Modes),
    /// It would take a wait.
    Conflict,
}

#[derive(Clone, Copy)]
struct Thin {
    /// [`FAT`]: look among the contended.
    holder: TxnId,
    modes: Modes,
}

const FAT: TxnId = TxnId(u64::MAX);
const SHARD_COUNT: usize = 64;

/// The key is a hash already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are hashes");
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Shard = HashMap<u64, Thin, BuildHasherDefault<Identity>>;

/// See the file's head.
pub struct LockTable {
    shards: Box<[Mutex<Shard>]>,
    shard_row_count_max: usize,
    contended: Mutex<Contended>,
    privacy: Privacy,
    world: Arc<World>,
}

impl LockTable {
    /// Holds at most about `row_count_max` row locks.
    pub fn new(row_count_max: usize, world: Arc<World>) -> Self {
        let shards = (0..SHARD_COUNT).map(|_| Mutex::default()).collect();
        let shard_row_count_max = (row_count_max / SHARD_COUNT).max(16);
        LockTable {
            shards,
            shard_row_count_max,
            contended: Mutex::default(),
            privacy: Privacy::default(),
            world,
        }
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // The table inside uses the low and the top bits.
        &self.shards[(hash >> 40) as usize % SHARD_COUNT]
    }

    /// Takes a lock if that needs no wait. Errors: 53200 when the lock table is full.
    #[inline]
    pub fn attempt(&self, id: LockId, txn: TxnId, mode: u8) -> Result<Attempt> {
        let LockId::Row(hash) = id else {
            return Ok(lock(&self.contended).fat(id).attempt(id, txn, mode));
        };
        let _request = self.request();
        let mut shard = lock(self.shard(hash));
        if shard.len() >= self.shard_row_count_max && !shard.contains_key(&hash) {
            return Err(lock_table_full());
        }
        let thin = match shard.entry(hash) {
            Entry::Vacant(vacant) => {
                vacant.insert(Thin { holder: txn, modes: 1 << mode });
                self.privacy.added();
                return Ok(Attempt::Granted(0));
            }
            Entry::Occupied(occupied) => occupied.into_mut(),
        };
        if thin.holder == txn {
            let before = thin.modes;
            if id.covers(before, mode) {
                return Ok(Attempt::Held);
            }
            thin.modes |= 1 << mode;
            return Ok(Attempt::Granted(before));
        }
        if thin.modes == 1 << RowLock::Share as u8 && plant!(self.world, ShareLockIsForgotten) {
            *thin = Thin { holder: txn, modes: 1 << mode };
            return Ok(Attempt::Granted(0));
        }
        if thin.holder != FAT && id.conflicts(mode) & thin.modes != 0 {
            return Ok(Attempt::Conflict);
        }
        let mut contended = lock(&self.contended);
        fatten(&mut contended, id, thin);
        Ok(contended.fat(id).attempt(id, txn, mode))
    }

    /// Takes a lock or joins its queue. Errors: 40P01 when waiting would close a cycle whose youngest member is `txn`.
    pub fn enqueue(&self, id: LockId, asker: Asker, mode: u8) -> Result<Result<Attempt, Arc<WaitSlot>>> {
        let _request = self.request();
        let (owner, txn) = (asker.owner, asker.txn);
        let attempt = self.attempt(id, owner, mode)?;
        if attempt != Attempt::Conflict {
            return Ok(Ok(attempt));
        }
        let mut shard = match id {
            LockId::Row(hash) => Some((hash, lock(self.shard(hash)))),
            LockId::Table(_) | LockId::Advisory(_) => None,
        };
        let mut contended = lock(&self.contended);
        if let Some((hash, shard)) = &mut shard {
            match shard.get_mut(hash) {
                Some(thin) => fatten(&mut contended, id, thin),
                // Released in between: the fat lock made here is empty and grants at once.
                None => {
                    shard.insert(*hash, Thin { holder: FAT, modes: 0 });
                    self.privacy.added();
                }
            }
        }
        let attempt = contended.fat(id).attempt(id, owner, mode);
        if attempt != Attempt::Conflict {
            return Ok(Ok(attempt));
        }
        probe!(self.world, "lock: somebody waits");
        if contended.fat(id).modes_of(owner) != 0 {
            probe!(self.world, "lock: a holder waits for a stronger mode");
            if plant!(self.world, UpgradeForgetsWaiters) {
                contended.fat(id).forget_waiters();
            }
        }
        if matches!(id, LockId::Advisory(_)) {
            probe!(self.world, "lock: somebody waits for an advisory lock");
        }
        let slot = contended.enqueue(id, asker, mode);
        drop(shard);
        let (wakers, is_victim) = match plant!(self.world, SkipDeadlockCheck) {
            true => (Vec::new(), false),
            false => contended.break_cycles(txn, &self.world),
        };
        drop(contended);
        wakers.into_iter().for_each(Waker::wake);
        if is_victim { Err(deadlock()) } else { Ok(Err(slot)) }
    }

    /// Leaves the queue. Gives the modes held before, if the lock was granted meanwhile: it is kept.
    pub fn leave(&self, id: LockId, txn: TxnId, slot: &Arc<WaitSlot>) -> Option<Modes> {
        let mut contended = lock(&self.contended);
        let outcome = slot.outcome();
        if plant!(self.world, GivenUpWaitKeepsPlace) {
            return if let WaitOutcome::Granted(before) = outcome { Some(before) } else { None };
        }
        let mut wakers = Vec::new();
        if outcome == WaitOutcome::Waiting {
            wakers = contended.leave(id, txn, slot);
        }
        drop(contended);
        wakers.into_iter().for_each(Waker::wake);
        match outcome {
            WaitOutcome::Granted(before) => Some(before),
            WaitOutcome::Waiting | WaitOutcome::Victim => None,
        }
    }

    /// Leaves `txn` with exactly `modes` of a lock it holds; 0 releases it.
    pub fn reduce(&self, id: LockId, txn: TxnId, modes: Modes) {
        let LockId::Row(hash) = id else {
            let wakers = lock(&self.contended).reduce(id, txn, modes);
            wakers.into_iter().for_each(Waker::wake);
            return;
        };
        let mut shard = lock(self.shard(hash));
        let Some(thin) = shard.get_mut(&hash) else { return };
        if thin.holder == txn && modes != 0 {
            thin.modes = modes;
        } else if thin.holder == txn {
            shard.remove(&hash);
            self.privacy.removed();
            if shard.is_empty() && shard.capacity() > 4096 {
                shard.shrink_to_fit();
            }
        } else if thin.holder == FAT {
            let mut contended = lock(&self.contended);
            let wakers = contended.reduce(id, txn, modes);
            match contended.thin(id) {
                Some((holder, modes)) => *thin = Thin { holder, modes },
                None if !contended.has(id) => {
                    shard.remove(&hash);
                    self.privacy.removed();
                }
                None => {}
            }
            drop(contended);
            drop(shard);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes modes away from `owner`, who may keep others: `keep` are those it is entitled to.
    pub fn exchange(&self, id: LockId, owner: TxnId, remove: Modes, keep: Modes) {
        if keep != 0 {
            probe!(self.world, "lock: an advisory lock kept in its other mode");
        }
        let (remove, keep) = match plant!(self.world, AdvisoryUnlockTakesAll) {
            true => (!0, 0),
            false => (remove, keep),
        };
        let wakers = lock(&self.contended).exchange(id, owner, remove, keep);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// How many transactions wait.
    pub fn waiting_count(&self) -> usize {
        lock(&self.contended).waiting_count()
    }

    /// How many row locks are held, about.
    pub fn row_count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum::<usize>() + self.privacy.row_count()
    }
}

/// Moves a thin entry among the contended.
fn fatten(contended: &mut Contended, id: LockId, thin: &mut Thin) {
    if thin.holder != FAT {
        let holder = std::mem::replace(thin, Thin { holder: FAT, modes: 0 });
        *contended.fat(id) = Fat::held_by(holder.holder, holder.modes);
    }
}

/// 55P03.
pub fn not_available() -> Error {
    Error::new(SqlState::LOCK_NOT_AVAILABLE, "could not obtain lock: it is held by another transaction")
}

/// 55P03, because of `lock_timeout`.
pub fn timed_out() -> Error {
    Error::new(SqlState::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout")
}

/// 40P01.
pub fn deadlock() -> Error {
    Error::new(SqlState::DEADLOCK_DETECTED, "deadlock detected")
        .with_detail("this transaction is the youngest of a cycle of transactions that wait for each other")
        .with_hint("run the transaction again")
}

fn lock_table_full() -> Error {
    Error::new(SqlState::OUT_OF_MEMORY, "out of memory for locks")
        .with_detail("the transactions at work hold as many row locks as the lock table may have")
        .with_hint("commit more often, or raise the store's memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rows_that_differ_have_locks_that_differ() {
        let tree = TreeId(1000);
        let mut all = BTreeSet::new();
        for number in 0..20_000u64 {
            let LockId::Row(hash) = LockId::of_row(tree, &number.to_be_bytes()) else { unreachable!() };
            assert!(all.insert(hash), "{number}");
            if number % 16 > 0 {
                let before = LockId::of_row(tree, &(number - 1).to_be_bytes());
                let LockId::Row(before) = before else { unreachable!() };
                assert_eq!((hash ^ before) & !(15 | 15 << 57), 0, "neighbours lie together");
            }
        }
        for (tree, key) in [(tree, &b"\0"[..]), (TreeId(1001), b""), (tree, b"\x10"), (tree, b"\x10\0")] {
            let LockId::Row(hash) = LockId::of_row(tree, key) else { unreachable!() };
            assert!(all.insert(hash), "{key:?}");
        }
    }
}
