//! Advisory locks in the key-value workload: a few keys that all sessions take, and a list of who has which, held against each
//! grant. The list forgets a lock before the store does, so what it shows is held for sure.

use super::kv::Shared;
use orrery_base::kv::{AdvisoryKey, AdvisoryMode, AdvisoryScope, Wait};
use orrery_base::rng::Rng;
use orrery_base::task::lock;
use orrery_base::{Cx, Result};
use orrery_store::{SessionLocks, Txn};
use std::sync::Arc;

/// Who holds which lock for sure: the client's number, and how often.
#[derive(Default)]
pub struct Held(Vec<(u64, AdvisoryKey, AdvisoryMode)>);

/// What one client holds.
pub(super) struct Client {
    shared: Arc<Shared>,
    number: u64,
    session: Option<Arc<SessionLocks>>,
    /// In the order in which they were taken.
    of_session: Vec<(AdvisoryKey, AdvisoryMode)>,
    of_txn: Vec<(AdvisoryKey, AdvisoryMode)>,
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>, number: u64) -> Self {
        Client { shared, number, session: None, of_session: Vec::new(), of_txn: Vec::new() }
    }

    /// How many its transaction holds.
    pub(super) fn len(&self) -> usize {
        self.of_txn.len()
    }

    /// Takes one, or gives one back.
    pub(super) async fn operation(&mut self, cx: &Cx, txn: &Txn, rng: &mut Rng, wait: Wait) -> Result<()> {
        let session =
            self.session.get_or_insert_with(|| Arc::new(SessionLocks::new(&self.shared.store))).clone();
        if !self.of_session.is_empty() && rng.chance(1, 2) {
            let at = rng.below(self.of_session.len() as u64) as usize;
            let (key, mode) = self.of_session.remove(at);
            self.forget(key, mode);
            if !session.unlock(key, mode) {
                self.fail(format!("client {}: {key:?} {mode:?} was not held any more", self.number));
            }
            return Ok(());
        }
        let key = match rng.below(4) {
            0 => AdvisoryKey::Two(0, 1),
            other => AdvisoryKey::One(other as i64),
        };
        let mode = *rng.pick(&[AdvisoryMode::Shared, AdvisoryMode::Exclusive]);
        let scope = *rng.pick(&[AdvisoryScope::Session, AdvisoryScope::Transaction]);
        if !txn.lock_advisory(cx, &session, (key, mode, scope), wait).await? {
            return Ok(());
        }
        self.granted(key, mode);
        match scope {
            AdvisoryScope::Session => self.of_session.push((key, mode)),
            AdvisoryScope::Transaction => self.of_txn.push((key, mode)),
        }
        Ok(())
    }

    fn granted(&self, key: AdvisoryKey, mode: AdvisoryMode) {
        let mut held = lock(&self.shared.advisory);
        let other = held.0.iter().find(|(number, other, theirs)| {
            let conflicts = mode == AdvisoryMode::Exclusive || *theirs == AdvisoryMode::Exclusive;
            *number != self.number && *other == key && conflicts
        });
        let problem =
            other.map(|other| format!("client {} got {key:?} {mode:?} beside {other:?}", self.number));
        held.0.push((self.number, key, mode));
        drop(held);
        if let Some(problem) = problem {
            self.fail(problem);
        }
    }

    fn forget(&self, key: AdvisoryKey, mode: AdvisoryMode) {
        let mut held = lock(&self.shared.advisory);
        if let Some(at) = held.0.iter().position(|it| *it == (self.number, key, mode)) {
            held.0.remove(at);
        }
    }

    /// The transaction is about to give back what it took behind a savepoint.
    pub(super) fn rolled_back_to(&mut self, len: usize) {
        for (key, mode) in self.of_txn.split_off(len) {
            self.forget(key, mode);
        }
    }

    /// The client is about to end, whatever becomes of its transaction.
    pub(super) fn ends(&mut self) {
        lock(&self.shared.advisory).0.retain(|it| it.0 != self.number);
        if let Some(session) = self.session.take() {
            session.unlock_all();
        }
        self.of_session.clear();
        self.of_txn.clear();
    }

    fn fail(&self, what: String) {
        lock(&self.shared.log).failures.push(what);
    }
}

impl Drop for Client {
    /// Its task may be dropped anywhere; what it holds goes then.
    fn drop(&mut self) {
        self.ends();
    }
}
