//! Where a commit's owner waits for its outcome.

use orrery_base::task::lock;
use orrery_base::{Result, Timestamp};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// Shared between an item of the commit queue and whoever waits for it.
#[derive(Default)]
pub struct CommitSlot(Mutex<SlotState>);

#[derive(Default)]
struct SlotState {
    outcome: Option<Result<Timestamp>>,
    waker: Option<Waker>,
    is_abandoned: bool,
}

impl CommitSlot {
    /// One without an outcome.
    pub fn new() -> Arc<CommitSlot> {
        Arc::default()
    }

    /// The outcome, if it is known; else `waker` is woken when it is.
    pub fn poll(&self, waker: &Waker) -> Poll<Result<Timestamp>> {
        let mut state = lock(&self.0);
        match &state.outcome {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                if state.waker.as_ref().is_none_or(|it| !it.will_wake(waker)) {
                    state.waker = Some(waker.clone());
                }
                Poll::Pending
            }
        }
    }

    /// Sets the outcome. Gives whom to wake.
    pub fn settle(&self, outcome: Result<Timestamp>) -> Option<Waker> {
        let mut state = lock(&self.0);
        state.outcome = Some(outcome);
        state.waker.take()
    }

    /// Whether the outcome is known.
    pub fn is_settled(&self) -> bool {
        lock(&self.0).outcome.is_some()
    }

    /// Nobody waits here any more.
    pub fn abandon(&self) {
        lock(&self.0).is_abandoned = true;
    }

    /// Whether nobody waits here any more.
    pub fn is_abandoned(&self) -> bool {
        lock(&self.0).is_abandoned
    }

    /// Whom to wake for a look at the queue.
    pub fn waker(&self) -> Option<Waker> {
        lock(&self.0).waker.clone()
    }
}
