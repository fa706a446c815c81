//! A door that one task at a time may pass: checkpoints, log growth. Waiting is by `Waker`; a dropped holder opens it.

use orrery_base::task::lock;
use std::sync::Mutex;
use std::task::{Poll, Waker};

/// See the file's head.
#[derive(Default)]
pub struct Gate(Mutex<GateState>);

#[derive(Default)]
struct GateState {
    is_taken: bool,
    waiting: Vec<Waker>,
}

/// Opens the gate when dropped.
pub struct Passage<'a>(&'a Gate);

impl Gate {
    /// Waits until nobody is inside. Dropping the future gives the wait up.
    pub async fn enter(&self) -> Passage<'_> {
        std::future::poll_fn(|context| {
            let mut state = lock(&self.0);
            if state.is_taken {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            state.is_taken = true;
            Poll::Ready(())
        })
        .await;
        Passage(self)
    }

    /// Whether somebody is inside.
    pub fn is_taken(&self) -> bool {
        lock(&self.0).is_taken
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = lock(&self.0.0);
            state.is_taken = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}
