//! Advisory locks of a session: made when it first asks for one, given back when it ends.

use crate::database::Inner;
use orrery_base::kv::{AdvisoryKey, Wait};
use orrery_base::task::lock;
use orrery_base::{Cx, Result};
use orrery_sql::functions::{AdvisoryAction, AdvisoryCall};
use orrery_store::{SessionLocks, Txn};
use std::sync::{Arc, Mutex};
use std::task::Poll;

/// See the file's head. What still refers to it when the session ends may take no further locks that outlive it.
#[derive(Clone, Default)]
pub(crate) struct Advisory(Arc<Mutex<Option<Arc<SessionLocks>>>>);

impl Advisory {
    /// The session's locks, if it ever asked for one.
    pub(crate) fn known(&self) -> Option<Arc<SessionLocks>> {
        lock(&self.0).clone()
    }

    fn locks(&self, db: &Inner) -> Arc<SessionLocks> {
        lock(&self.0).get_or_insert_with(|| Arc::new(SessionLocks::new(&db.store))).clone()
    }

    /// The session ends.
    pub(crate) fn end(&self) {
        if let Some(locks) = lock(&self.0).take() {
            locks.unlock_all();
        }
    }

    /// Does what a function asks, for each key in order. Suspends for locks.
    pub(crate) async fn call(
        &self,
        db: &Inner,
        txn: &Arc<Txn>,
        cx: &Cx,
        call: &AdvisoryCall,
    ) -> Result<Vec<i64>> {
        let locks = self.locks(db);
        if call.action == AdvisoryAction::UnlockAll {
            locks.unlock_all();
        }
        let mut answers = Vec::with_capacity(call.keys.len());
        for &key in &call.keys {
            if let (AdvisoryAction::Sleep, AdvisoryKey::One(micros)) = (call.action, key) {
                sleep(cx, u64::try_from(micros).unwrap_or(0)).await?;
                continue;
            }
            let wanted = (key, call.mode, call.scope);
            answers.push(i64::from(match call.action {
                AdvisoryAction::Lock => txn.lock_advisory(cx, &locks, wanted, Wait::Block).await?,
                AdvisoryAction::Try => txn.lock_advisory(cx, &locks, wanted, Wait::Skip).await?,
                AdvisoryAction::Sleep => false,
                AdvisoryAction::Unlock | AdvisoryAction::UnlockAll => locks.unlock(key, call.mode),
            }));
        }
        Ok(answers)
    }
}

/// Lets time pass. Errors: 57014.
async fn sleep(cx: &Cx, micros: u64) -> Result<()> {
    let until = cx.now().saturating_add(micros);
    std::future::poll_fn(|context| {
        if cx.now() >= until {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = cx.check_cancel() {
            return Poll::Ready(Err(error));
        }
        cx.wake_no_later_than(until);
        cx.wake_on_cancel(context.waker());
        Poll::Pending
    })
    .await
}
