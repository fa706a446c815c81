//! Contended locks: holders, fair queues, and the wait-for graph, all under one mutex, so that a cycle is seen whole.

use super::list::{self, LockInfo};
use super::{Asker, Attempt, LockId, Modes};
use orrery_base::task::lock;
use orrery_base::time::Micros;
use orrery_base::{TreeId, TxnId, World, probe};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::Waker;

/// How a wait stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// Go on waiting.
    Waiting,
    /// Granted; the modes held before.
    Granted(Modes),
    /// Chosen to break a cycle: 40P01.
    Victim,
}

/// Where a waiting request is told its outcome.
pub struct WaitSlot(Mutex<(WaitOutcome, Option<Waker>)>);

impl WaitSlot {
    /// How it stands.
    pub fn outcome(&self) -> WaitOutcome {
        lock(&self.0).0
    }

    /// How it stands; while it waits, `waker` is woken at a change.
    pub fn poll(&self, waker: &Waker) -> WaitOutcome {
        let mut state = lock(&self.0);
        if state.0 == WaitOutcome::Waiting {
            state.1 = Some(waker.clone());
        }
        state.0
    }

    fn settle(&self, outcome: WaitOutcome) -> Option<Waker> {
        let mut state = lock(&self.0);
        state.0 = outcome;
        state.1.take()
    }
}

pub(super) struct Waiter {
    /// Who will hold the lock.
    txn: TxnId,
    /// The transaction that waits.
    pub(super) waits: TxnId,
    pub(super) mode: u8,
    /// Of a row: its table and key.
    pub(super) row: Option<(TreeId, Vec<u8>)>,
    /// Since when.
    pub(super) since: Micros,
    slot: Arc<WaitSlot>,
}

/// A lock with holders and a queue.
#[derive(Default)]
pub(super) struct Fat {
    holders: Vec<(TxnId, Modes)>,
    queue: VecDeque<Waiter>,
}

impl Fat {
    pub(super) fn held_by(txn: TxnId, modes: Modes) -> Self {
        Fat { holders: vec![(txn, modes)], queue: VecDeque::new() }
    }

    pub(super) fn modes_of(&self, txn: TxnId) -> Modes {
        self.holders.iter().find(|it| it.0 == txn).map_or(0, |it| it.1)
    }

    pub(super) fn holders(&self) -> &[(TxnId, Modes)] {
        &self.holders
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.queue.iter()
    }

    fn set_modes(&mut self, txn: TxnId, modes: Modes) {
        match self.holders.iter().position(|it| it.0 == txn) {
            Some(index) if modes == 0 => {
                self.holders.remove(index);
            }
            Some(index) => self.holders[index].1 = modes,
            None if modes != 0 => self.holders.push((txn, modes)),
            None => {}
        }
    }

    fn is_blocked_by_holders(&self, txn: TxnId, conflicts: Modes) -> bool {
        self.holders.iter().any(|it| it.0 != txn && it.1 & conflicts != 0)
    }

    /// For a planted bug.
    pub(super) fn forget_waiters(&mut self) {
        self.queue.clear();
    }

    pub(super) fn attempt(&mut self, id: LockId, txn: TxnId, mode: u8) -> Attempt {
        let before = self.modes_of(txn);
        if id.covers(before, mode) {
            return Attempt::Held;
        }
        let conflicts = id.conflicts(mode);
        let unfair = before == 0 && self.queue.iter().any(|it| conflicts & (1 << it.mode) != 0);
        if unfair || self.is_blocked_by_holders(txn, conflicts) {
            return Attempt::Conflict;
        }
        self.set_modes(txn, before | (1 << mode));
        Attempt::Granted(before)
    }

    /// Grants whatever can be granted now, in queue order.
    fn grant(&mut self, id: LockId) -> Vec<(TxnId, Arc<WaitSlot>, Option<Waker>)> {
        let mut granted = Vec::new();
        let mut passed: Modes = 0;
        let mut index = 0;
        while let Some(waiter) = self.queue.get(index) {
            let conflicts = id.conflicts(waiter.mode);
            let before = self.modes_of(waiter.txn);
            let unfair = before == 0 && passed & conflicts != 0;
            if unfair || self.is_blocked_by_holders(waiter.txn, conflicts) {
                passed |= 1 << waiter.mode;
                index += 1;
                continue;
            }
            let waiter = self.queue.remove(index).expect("the index was just read");
            self.set_modes(waiter.txn, before | (1 << waiter.mode));
            let waker = waiter.slot.settle(WaitOutcome::Granted(before));
            granted.push((waiter.waits, waiter.slot, waker));
        }
        granted
    }
}

/// See the file's head.
#[derive(Default)]
pub(super) struct Contended {
    locks: BTreeMap<LockId, Fat>,
    /// Who waits, where. A transaction waits at several places only when its sub-tasks do.
    waiting: BTreeMap<TxnId, Vec<(LockId, Arc<WaitSlot>)>>,
    /// Sessions that hold locks of their own, while a transaction of theirs waits: what they hold is held up by it.
    sessions: BTreeMap<TxnId, TxnId>,
}

impl Contended {
    /// The lock, made when it is absent.
    pub(super) fn fat(&mut self, id: LockId) -> &mut Fat {
        self.locks.entry(id).or_default()
    }

    /// All of them, in the order of their names.
    pub(super) fn list(&self) -> Vec<LockInfo> {
        self.locks.iter().flat_map(|(id, fat)| list::of_fat(*id, fat)).collect()
    }

    /// How many transactions wait.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits, and nothing of a wait is left.
    #[cfg(test)]
    fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.sessions.is_empty()
    }

    pub(super) fn has(&self, id: LockId) -> bool {
        self.locks.contains_key(&id)
    }

    /// Joins the queue: at its head (behind others like it) when a weaker mode is held already.
    pub(super) fn enqueue(&mut self, id: LockId, asker: Asker, mode: u8) -> Arc<WaitSlot> {
        let slot = Arc::new(WaitSlot(Mutex::new((WaitOutcome::Waiting, None))));
        let Asker { owner, txn, session, row, since } = asker;
        let fat = self.fat(id);
        let waiter = Waiter { txn: owner, waits: txn, mode, row, since, slot: slot.clone() };
        if fat.modes_of(owner) != 0 {
            let behind = fat.queue.iter().take_while(|it| fat.modes_of(it.txn) != 0).count();
            fat.queue.insert(behind, waiter);
        } else {
            fat.queue.push_back(waiter);
        }
        self.waiting.entry(txn).or_default().push((id, slot.clone()));
        if let Some(session) = session {
            self.sessions.insert(session, txn);
        }
        slot
    }

    /// Leaves the queue; gives the wakers of those granted by that.
    pub(super) fn leave(&mut self, id: LockId, txn: TxnId, slot: &Arc<WaitSlot>) -> Vec<Waker> {
        if let Some(fat) = self.locks.get_mut(&id) {
            fat.queue.retain(|it| !Arc::ptr_eq(&it.slot, slot));
        }
        self.forget(txn, slot);
        self.settle(id)
    }

    /// See [`super::LockTable::reduce`]; gives the wakers of those granted by that.
    pub(super) fn reduce(&mut self, id: LockId, txn: TxnId, modes: Modes) -> Vec<Waker> {
        let Some(fat) = self.locks.get_mut(&id) else { return Vec::new() };
        fat.set_modes(txn, modes);
        self.settle(id)
    }

    /// See [`super::LockTable::exchange`]; gives the wakers of those granted by that.
    pub(super) fn exchange(&mut self, id: LockId, owner: TxnId, remove: Modes, keep: Modes) -> Vec<Waker> {
        let Some(fat) = self.locks.get_mut(&id) else { return Vec::new() };
        fat.set_modes(owner, (fat.modes_of(owner) & !remove) | keep);
        self.settle(id)
    }

    fn settle(&mut self, id: LockId) -> Vec<Waker> {
        let Some(fat) = self.locks.get_mut(&id) else { return Vec::new() };
        let granted = fat.grant(id);
        if fat.holders.is_empty() && fat.queue.is_empty() {
            self.locks.remove(&id);
        }
        let mut wakers = Vec::new();
        for (txn, slot, waker) in granted {
            self.forget(txn, &slot);
            wakers.extend(waker);
        }
        wakers
    }

    fn forget(&mut self, txn: TxnId, slot: &Arc<WaitSlot>) {
        if let Some(places) = self.waiting.get_mut(&txn) {
            places.retain(|(_, it)| !Arc::ptr_eq(it, slot));
            if places.is_empty() {
                self.waiting.remove(&txn);
                self.sessions.retain(|_, waits| *waits != txn);
            }
        }
    }

    /// The only holder of a lock nobody waits for: the lock is taken out and may be thin again.
    pub(super) fn thin(&mut self, id: LockId) -> Option<(TxnId, Modes)> {
        let fat = self.locks.get(&id)?;
        let &[holder] = fat.holders.as_slice() else { return None };
        if !fat.queue.is_empty() {
            return None;
        }
        self.locks.remove(&id);
        Some(holder)
    }

    /// Whom a waiting transaction waits for.
    fn waits_for(&self, txn: TxnId) -> BTreeSet<TxnId> {
        let mut others = BTreeSet::new();
        for (id, slot) in self.waiting.get(&txn).into_iter().flatten() {
            let Some(fat) = self.locks.get(id) else { continue };
            let Some(place) = fat.queue.iter().position(|it| Arc::ptr_eq(&it.slot, slot)) else { continue };
            let &Waiter { txn: owner, mode, .. } = &fat.queue[place];
            let conflicts = id.conflicts(mode);
            let holders = fat.holders.iter().filter(|it| it.1 & conflicts != 0 && it.0 != owner);
            // Who holds a weaker mode already passes those that wait.
            let is_passed = fat.modes_of(owner) != 0;
            let ahead =
                fat.queue.iter().take(place).filter(|it| !is_passed && conflicts & (1 << it.mode) != 0);
            others.extend(holders.map(|it| self.who(it.0)).chain(ahead.map(|it| it.waits)));
        }
        others.remove(&txn);
        others
    }

    /// The transaction that holds up what `owner` holds.
    fn who(&self, owner: TxnId) -> TxnId {
        self.sessions.get(&owner).copied().unwrap_or(owner)
    }

    /// Breaks every cycle through `txn` by its youngest member. Gives wakers, and whether `txn` itself is a victim.
    pub(super) fn break_cycles(&mut self, txn: TxnId, world: &World) -> (Vec<Waker>, bool) {
        let mut wakers = Vec::new();
        while let Some(cycle) = self.cycle_through(txn) {
            probe!(world, "lock: deadlock");
            let victim = cycle.into_iter().max().expect("a cycle has members");
            for (id, slot) in self.waiting.get(&victim).cloned().unwrap_or_default() {
                wakers.extend(slot.settle(WaitOutcome::Victim));
                wakers.extend(self.leave(id, victim, &slot));
            }
            if victim == txn {
                return (wakers, true);
            }
        }
        (wakers, false)
    }

    fn cycle_through(&self, start: TxnId) -> Option<Vec<TxnId>> {
        let mut seen = BTreeSet::from([start]);
        let mut path = vec![(start, self.waits_for(start).into_iter().collect::<Vec<_>>())];
        while let Some((_, next)) = path.last_mut() {
            match next.pop() {
                None => {
                    path.pop();
                }
                Some(txn) if txn == start => return Some(path.iter().map(|it| it.0).collect()),
                Some(txn) if seen.insert(txn) => {
                    let further = self.waits_for(txn).into_iter().collect();
                    path.push((txn, further));
                }
                Some(_) => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use orrery_base::kv::RowLock::{KeyShare, NoKeyUpdate, Share, Update};

    const ROW: LockId = LockId::Row(42);
    const OTHER: LockId = LockId::Row(43);

    fn table() -> LockTable {
        LockTable::new(1 << 20, World::quiet())
    }

    fn asker(txn: u64) -> Asker {
        Asker { owner: TxnId(txn), txn: TxnId(txn), session: None, row: None, since: 0 }
    }

    fn wait(table: &LockTable, id: LockId, txn: u64, mode: RowLock) -> Arc<WaitSlot> {
        match table.enqueue(id, asker(txn), row_mode(mode)).expect("no deadlock") {
            Err(slot) => slot,
            Ok(attempt) => panic!("{attempt:?} without waiting"),
        }
    }

    fn take(table: &LockTable, id: LockId, txn: u64, mode: RowLock) -> Attempt {
        table.attempt(id, TxnId(txn), row_mode(mode)).expect("room")
    }

    #[test]
    fn the_conflict_tables_are_postgresqls() {
        let rows = [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]];
        for (held, row) in [KeyShare, Share, NoKeyUpdate, Update].into_iter().zip(rows) {
            for (mode, conflict) in [KeyShare, Share, NoKeyUpdate, Update].into_iter().zip(row) {
                let table = table();
                take(&table, ROW, 1, held);
                assert_eq!(
                    take(&table, ROW, 2, mode) == Attempt::Conflict,
                    conflict == 1,
                    "{held:?} {mode:?}"
                );
            }
        }
        for (mode, conflicts) in TABLE_CONFLICTS.iter().enumerate() {
            for (other, mirror) in TABLE_CONFLICTS.iter().enumerate() {
                let mirrored = mirror & (1 << mode) != 0;
                assert_eq!(conflicts & (1 << other) != 0, mirrored, "the table is symmetric");
            }
        }
    }

    #[test]
    fn the_queue_is_fair_and_upgrades_go_first() {
        let table = table();
        assert_eq!(take(&table, ROW, 1, Share), Attempt::Granted(0));
        assert_eq!(take(&table, ROW, 2, Share), Attempt::Granted(0));
        let writer = wait(&table, ROW, 3, Update);
        // Compatible with the holders, but not with who waits already.
        let reader = wait(&table, ROW, 4, Share);
        let upgrade = wait(&table, ROW, 1, Update);
        table.reduce(ROW, TxnId(2), 0);
        assert_eq!(upgrade.outcome(), WaitOutcome::Granted(1 << row_mode(Share)));
        assert_eq!(writer.outcome(), WaitOutcome::Waiting);
        table.reduce(ROW, TxnId(1), 0);
        assert_eq!(writer.outcome(), WaitOutcome::Granted(0));
        assert_eq!(reader.outcome(), WaitOutcome::Waiting);
        table.reduce(ROW, TxnId(3), 0);
        assert_eq!(reader.outcome(), WaitOutcome::Granted(0));
        table.reduce(ROW, TxnId(4), 0);
        assert_eq!((table.row_count(), lock(&table.contended).has(ROW)), (0, false));
    }

    #[test]
    fn the_youngest_of_a_cycle_is_the_victim() {
        let table = table();
        take(&table, ROW, 1, Update);
        take(&table, OTHER, 2, Update);
        let young = wait(&table, ROW, 2, Update);
        let old = wait(&table, OTHER, 1, Update);
        assert_eq!(young.outcome(), WaitOutcome::Victim);
        table.reduce(OTHER, TxnId(2), 0);
        assert_eq!(old.outcome(), WaitOutcome::Granted(0));
        take(&table, LockId::Row(5), 3, Update);
        wait(&table, LockId::Row(5), 1, Update);
        let error = table.enqueue(OTHER, asker(3), row_mode(Update)).err().expect("a cycle");
        assert_eq!(error.code(), SqlState::DEADLOCK_DETECTED);
    }

    #[test]
    fn two_upgrades_of_one_shared_lock_are_a_cycle() {
        let table = table();
        take(&table, ROW, 1, Share);
        take(&table, ROW, 2, Share);
        let first = wait(&table, ROW, 1, Update);
        assert!(table.enqueue(ROW, asker(2), row_mode(Update)).is_err());
        table.reduce(ROW, TxnId(2), 0);
        assert!(matches!(first.outcome(), WaitOutcome::Granted(_)));
    }

    #[test]
    fn what_a_session_holds_is_held_up_by_its_transaction() {
        let table = table();
        let advisory = LockId::Advisory(AdvisoryKey::One(7));
        let (session, other) = (TxnId(1), TxnId(2));
        assert_eq!(table.attempt(advisory, session, 1).expect("room"), Attempt::Granted(0));
        // The session's transaction 10 waits for a row of 11, which waits for the session.
        take(&table, ROW, 11, Update);
        let of_session = Asker { session: Some(session), ..asker(10) };
        let older =
            table.enqueue(ROW, of_session, row_mode(Share)).expect("no cycle yet").expect_err("a wait");
        let asks = Asker { owner: other, session: Some(other), ..asker(11) };
        assert_eq!(
            table.enqueue(advisory, asks, 0).err().expect("a cycle").code(),
            SqlState::DEADLOCK_DETECTED
        );
        table.reduce(ROW, TxnId(11), 0);
        assert!(matches!(older.outcome(), WaitOutcome::Granted(_)));
        assert!(lock(&table.contended).is_quiet());
        // Nobody waits any more, so the session may be waited for.
        let asks = Asker { owner: other, ..asker(12) };
        assert!(table.enqueue(advisory, asks, 0).expect("no cycle").is_err());
        table.exchange(advisory, session, 0b10, 0);
        assert_eq!(table.attempt(advisory, other, 0).expect("room"), Attempt::Held);
    }

    #[test]
    fn held_locks_are_given_back_to_a_savepoint() {
        let table = table();
        let mut held = held::HeldLocks::default();
        for (sequence, id, mode) in [(1, ROW, KeyShare), (5, ROW, Update), (6, OTHER, Update)] {
            let Attempt::Granted(before) = take(&table, id, 1, mode) else { panic!("free") };
            held.note(id, row_mode(mode), before, sequence);
        }
        held.rollback_to(5, &table, TxnId(1));
        assert_eq!(take(&table, ROW, 2, Share), Attempt::Granted(0));
        assert_eq!(take(&table, OTHER, 2, Update), Attempt::Granted(0));
        held.release_all(&table, TxnId(1));
        assert_eq!(take(&table, ROW, 2, Update), Attempt::Granted(0b10));
    }
}
