//! A driver for where there are no threads: whoever runs a task also does the background work (housekeeping), in turns.
//!
//! - S1: background work gets its turn when a task ends, and whenever one waits for something other than the disk.
//! - S2: the background task is polled until it waits, its requests performed: it is never left in the midst of one.
//! - S3: a task that waits for what nobody is left to give (a row lock of a transaction whose owner is the caller) is
//!   cancelled, and [`Turns::take_stuck`] says so, where a thread would sleep for ever.

use crate::{Driver, run_loop};
use orrery_base::Result;
use orrery_base::disk::{DiskOp, DiskResult};
use orrery_base::task::{Cancel, Task, lock};
use orrery_base::time::Micros;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

/// See the module's head.
pub struct Turns {
    inner: Arc<dyn Driver>,
    /// Taken out while it has its turn, so that it cannot begin a second one inside.
    background: Mutex<Option<Background>>,
    due: Arc<Due>,
    is_stuck: AtomicBool,
}

struct Background {
    task: Task<Result<()>>,
    wake_at: Option<Micros>,
}

#[derive(Default)]
struct Due(AtomicBool);

impl Wake for Due {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Turns {
    /// Turns over `inner`.
    pub fn new(inner: Arc<dyn Driver>) -> Self {
        Turns { inner, background: Mutex::default(), due: Arc::default(), is_stuck: AtomicBool::new(false) }
    }

    /// Takes the background task. Its answer is forgotten.
    pub fn adopt(&self, task: Task<Result<()>>) {
        self.due.0.store(true, Ordering::Release);
        *lock(&self.background) = Some(Background { task, wake_at: None });
        self.turn();
    }

    /// Whether the background task has come to its end, or there never was one.
    pub fn is_idle(&self) -> bool {
        lock(&self.background).is_none()
    }

    /// When the background task wants its next turn although no task runs: the owner calls [`Turns::turn`] then.
    pub fn wake_at(&self) -> Option<Micros> {
        lock(&self.background).as_ref().and_then(|it| it.wake_at)
    }

    /// Whether a task was cancelled because it could never have gone on (S3), since the last call.
    pub fn take_stuck(&self) -> bool {
        self.is_stuck.swap(false, Ordering::AcqRel)
    }

    /// Gives the background task a turn if it has something to do; whether it had.
    pub fn turn(&self) -> bool {
        // Every task's end asks, so the answer "no" must cost next to nothing.
        let is_woken = self.due.0.swap(false, Ordering::AcqRel);
        let mut background = lock(&self.background);
        let is_timely = |at| self.inner.now() >= at;
        if !is_woken && !background.as_ref().and_then(|it| it.wake_at).is_some_and(is_timely) {
            return false;
        }
        let Some(mut current) = background.take() else { return false };
        drop(background);
        if self.poll(&mut current) {
            *lock(&self.background) = Some(current);
        }
        true
    }

    /// Polls until it waits for something other than the disk (S2); `false` at its end.
    fn poll(&self, background: &mut Background) -> bool {
        let waker = Waker::from(self.due.clone());
        loop {
            self.due.0.store(false, Ordering::Release);
            let answer = background.task.poll(&waker, self.inner.now());
            let mut waiting = background.task.take_requests();
            let is_waiting = waiting.is_empty() && !self.due.0.load(Ordering::Acquire);
            while !waiting.is_empty() {
                self.inner.perform_some(&mut waiting);
            }
            if answer.is_ready() {
                return false;
            }
            drop(background.task.take_subtasks());
            if is_waiting {
                background.wake_at = background.task.wake_at();
                return true;
            }
        }
    }
}

impl Driver for Turns {
    fn perform(&self, op: DiskOp) -> DiskResult {
        self.inner.perform(op)
    }
    fn inner(&self) -> Option<&dyn Driver> {
        Some(&*self.inner)
    }

    fn meanwhile(&self, wake_at: Option<Micros>, cancel: &Cancel) -> bool {
        if self.turn() {
            return true;
        }
        let at = wake_at.into_iter().chain(self.wake_at()).min();
        if let Some(at) = at {
            let before = self.inner.now();
            self.inner.sleep(at);
            // A clock that stands still brings nothing about.
            if self.inner.now() > before || before >= at {
                return true;
            }
        }
        assert!(!cancel.is_asked(), "a cancelled task ends");
        self.is_stuck.store(true, Ordering::Release);
        cancel.cancel();
        true
    }

    fn after_task(&self) {
        self.turn();
    }
}

/// Runs a task under turns: what [`crate::run`] does.
impl Turns {
    /// As [`Driver::run`].
    pub fn run<T>(&self, task: Task<T>) -> T {
        run_loop(self, task, None, || {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDriver;
    use orrery_base::disk::FileId;
    use orrery_base::{AlignedBuf, Error, World};
    use std::task::Poll;

    fn turns() -> Turns {
        Turns::new(Arc::new(MemoryDriver::new()))
    }

    #[test]
    fn background_work_is_done_between_tasks() {
        let turns = turns();
        let (asked, done) = (Arc::new(Mutex::new(None::<Waker>)), Arc::new(AtomicBool::new(false)));
        let (ask, finished) = (asked.clone(), done.clone());
        turns.adopt(Task::new(World::quiet(), move |cx| async move {
            let mut polled = false;
            std::future::poll_fn(|context| {
                *lock(&ask) = Some(context.waker().clone());
                if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            cx.write(FileId::Data, 0, AlignedBuf::from(&b"x"[..])).await.map_err(Error::from)?;
            finished.store(true, Ordering::Release);
            Ok(())
        }));
        assert!(!done.load(Ordering::Acquire) && !turns.is_idle());
        let waker = asked.clone();
        turns.run(Task::new(World::quiet(), move |_| async move {
            lock(&waker).take().expect("the background waits").wake();
        }));
        assert!(done.load(Ordering::Acquire) && turns.is_idle());
    }

    #[test]
    fn a_wait_for_nobody_is_cancelled_and_a_timer_is_slept_to() {
        let turns = turns();
        let forever = Task::new(World::quiet(), |cx| async move {
            std::future::poll_fn(|context| {
                cx.wake_on_cancel(context.waker());
                cx.check_cancel().map_or_else(Poll::Ready, |()| Poll::Pending)
            })
            .await
        });
        assert_eq!(turns.run(forever).code().as_str(), "57014");
        assert!(turns.take_stuck() && !turns.take_stuck());
        let start = turns.now();
        let timed = Task::new(World::quiet(), move |cx| async move {
            std::future::poll_fn(|_| {
                cx.wake_no_later_than(start + 3_000);
                if cx.now() >= start + 3_000 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
        turns.run(timed);
        assert!(turns.now() >= start + 3_000 && !turns.take_stuck());
    }
}
