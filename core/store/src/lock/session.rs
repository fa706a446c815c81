//! Advisory locks of a session: those it holds until it gives them back or ends, and those of its transactions. All are held
//! in the session's own name, so that they never conflict with each other (PostgreSQL documentation, 13.3.5).
//!
//! - A1: the lock table says that the session holds a mode as long as it is counted here, for the session or for one of
//!   its transactions; only a grant that is being waited for may be there before it is counted.
//! - A2: counting and the lock table change together, under `held`; nothing waits under it.

use super::{Attempt, LockId, LockTable, Modes};
use crate::store::Store;
use orrery_base::kv::{AdvisoryKey, AdvisoryMode, AdvisoryScope};
use orrery_base::task::lock;
use orrery_base::{Result, TxnId};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    session: u32,
    txns: u32,
}

/// See the file's head. Dropping it gives back what the session holds.
pub struct SessionLocks {
    store: Arc<Store>,
    owner: TxnId,
    held: Mutex<BTreeMap<(AdvisoryKey, AdvisoryMode), Counts>>,
}

impl SessionLocks {
    /// For a new session.
    pub fn new(store: &Arc<Store>) -> Self {
        let owner = TxnId(store.next_txn_id.fetch_add(1, Ordering::Relaxed));
        SessionLocks { store: store.clone(), owner, held: Mutex::default() }
    }

    /// In whose name locks are held.
    pub fn owner(&self) -> TxnId {
        self.owner
    }

    /// Takes a lock if that needs no wait, and counts it.
    pub(crate) fn attempt(&self, key: AdvisoryKey, mode: AdvisoryMode, scope: AdvisoryScope) -> Result<bool> {
        let mut held = lock(&self.held);
        if self.table().attempt(LockId::Advisory(key), self.owner, mode as u8)? == Attempt::Conflict {
            return Ok(false);
        }
        count(&mut held, key, mode, scope);
        Ok(true)
    }

    /// Counts a lock that was granted.
    pub(crate) fn granted(&self, key: AdvisoryKey, mode: AdvisoryMode, scope: AdvisoryScope) {
        count(&mut lock(&self.held), key, mode, scope);
    }

    /// Gives a lock back that is held for the session. Whether it was.
    pub fn unlock(&self, key: AdvisoryKey, mode: AdvisoryMode) -> bool {
        self.release(key, mode, |counts| {
            let is_held = counts.session > 0;
            counts.session -= u32::from(is_held);
            is_held
        })
    }

    /// Gives back everything that is held for the session; transactions keep theirs.
    pub fn unlock_all(&self) {
        let all: Vec<_> = lock(&self.held).keys().copied().collect();
        for (key, mode) in all {
            self.release(key, mode, |counts| std::mem::take(&mut counts.session) > 0);
        }
    }

    /// A transaction ended, or went back to before it took this.
    pub(crate) fn release_of_txn(&self, key: AdvisoryKey, mode: AdvisoryMode) {
        self.release(key, mode, |counts| {
            let is_held = counts.txns > 0;
            counts.txns -= u32::from(is_held);
            is_held
        });
    }

    fn release(&self, key: AdvisoryKey, mode: AdvisoryMode, take: impl FnOnce(&mut Counts) -> bool) -> bool {
        let mut held = lock(&self.held);
        let Some(counts) = held.get_mut(&(key, mode)) else { return false };
        let was_held = take(counts);
        if counts.session == 0 && counts.txns == 0 {
            held.remove(&(key, mode));
            let other = [AdvisoryMode::Shared, AdvisoryMode::Exclusive];
            let kept = other.into_iter().filter(|it| held.contains_key(&(key, *it)));
            let keep: Modes = kept.map(|it| 1 << it as u8).sum();
            self.table().exchange(LockId::Advisory(key), self.owner, 1 << mode as u8, keep);
        }
        was_held
    }

    fn table(&self) -> &LockTable {
        &self.store.locks
    }
}

impl Drop for SessionLocks {
    fn drop(&mut self) {
        self.unlock_all();
    }
}

fn count(
    held: &mut BTreeMap<(AdvisoryKey, AdvisoryMode), Counts>,
    key: AdvisoryKey,
    mode: AdvisoryMode,
    scope: AdvisoryScope,
) {
    let counts = held.entry((key, mode)).or_default();
    match scope {
        AdvisoryScope::Session => counts.session += 1,
        AdvisoryScope::Transaction => counts.txns += 1,
    }
}

/// What a transaction holds in its session's name.
#[derive(Default)]
pub(super) struct HeldAdvisory(Vec<(Arc<SessionLocks>, AdvisoryKey, AdvisoryMode, u32)>);

impl HeldAdvisory {
    pub(super) fn push(
        &mut self,
        session: Arc<SessionLocks>,
        key: AdvisoryKey,
        mode: AdvisoryMode,
        sequence: u32,
    ) {
        self.0.push((session, key, mode, sequence));
    }

    /// Gives back what was taken at `sequence` or later; 0: all.
    pub(super) fn release_from(&mut self, sequence: u32) {
        while let Some((session, key, mode, _)) = self.0.pop_if(|it| it.3 >= sequence) {
            session.release_of_txn(key, mode);
        }
    }
}
