//! A waker that unparks a thread.

use orrery_base::time::Micros;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// The parking place of one thread. It is made once a thread, because a warm point read must not allocate a waker.
pub(crate) struct Parker {
    state: Arc<ParkState>,
    waker: Waker,
}

struct ParkState {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for ParkState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Parker>> = const { RefCell::new(None) };
}

impl Parker {
    fn new() -> Self {
        let state = Arc::new(ParkState { thread: std::thread::current(), woken: AtomicBool::new(false) });
        Parker { waker: Waker::from(state.clone()), state }
    }

    /// Calls `body` with this thread's parker. A call inside a call gets one of its own, so that neither takes the
    /// other's wake-up.
    pub(crate) fn with_current<T>(body: impl FnOnce(&Parker) -> T) -> T {
        let parker = CURRENT.with(|current| current.borrow_mut().take()).unwrap_or_else(Parker::new);
        let answer = body(&parker);
        CURRENT.with(|current| *current.borrow_mut() = Some(parker));
        answer
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether parking would return at once.
    pub(crate) fn is_woken(&self) -> bool {
        self.state.woken.load(Ordering::Acquire)
    }

    /// Returns once woken since the last return, when `now` reaches `until`, or after `at_most`.
    pub(crate) fn park(&self, until: Option<Micros>, now: impl Fn() -> Micros, at_most: Option<Duration>) {
        let start = at_most.map(|at_most| (Instant::now(), at_most));
        while !self.state.woken.swap(false, Ordering::AcqRel) {
            if let Some((start, at_most)) = start {
                let Some(left) = at_most.checked_sub(start.elapsed()) else { return };
                let until = until.map_or(u64::MAX, |until| until.saturating_sub(now()));
                if until == 0 {
                    return;
                }
                std::thread::park_timeout(left.min(Duration::from_micros(until)));
                continue;
            }
            let Some(until) = until else {
                std::thread::park();
                continue;
            };
            let left = until.saturating_sub(now());
            if left == 0 {
                return;
            }
            std::thread::park_timeout(Duration::from_micros(left));
        }
    }
}
