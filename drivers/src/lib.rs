//! The drivers: they poll the core's tasks and perform the disk requests that come out (DESIGN §3).
//!
//! - [`FileDriver`] (unix): files, positioned I/O, `fdatasync`, an exclusive lock, a pool of threads for sub-tasks.
//! - [`MemoryDriver`]: a disk that lives as long as the process.
//! - [`TestDriver`]: wraps another; suspends, reorders, fails or shortens requests.
//! - [`Turns`]: wraps another where there are no threads; background work is done in turns with the tasks.
//!
//! All of them may be used by many threads at once: each thread calls [`Driver::run`] with its own task, and performs
//! the requests that came out of its own polls. So the leader of a group commit writes and syncs on its own thread.
//!
//! Nothing here knows a page, a log batch or a statement.

#[cfg(unix)]
mod direct;
#[cfg(unix)]
pub mod files;
pub mod memory;
mod park;
#[cfg(unix)]
mod pool;
mod streams;
pub mod test;
mod turns;

#[cfg(unix)]
pub use files::{FileDriver, FileOptions};
pub use memory::MemoryDriver;
pub use test::{Nastiness, TestDriver};
pub use turns::Turns;

use orrery_base::World;
use orrery_base::disk::{DiskOp, DiskResult};
use orrery_base::task::{Cancel, IoRequest, SubTask, Task};
use orrery_base::time::Micros;
use park::Parker;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Performs what tasks ask for, and runs tasks to their end.
pub trait Driver: Send + Sync {
    /// Performs one request on this thread. Blocks while the disk works.
    fn perform(&self, op: DiskOp) -> DiskResult;

    /// The driver that this one is a layer over: it does what is not written here anew.
    fn inner(&self) -> Option<&dyn Driver> {
        None
    }

    /// Performs and completes at least one of `waiting` (not empty), and takes the completed ones out.
    fn perform_some(&self, waiting: &mut Vec<IoRequest>) {
        if let Some(inner) = self.inner() {
            return inner.perform_some(waiting);
        }
        for request in waiting.drain(..) {
            let (op, completion) = request.split();
            completion.complete(self.perform(op));
        }
    }

    /// Takes a sub-task to run elsewhere. Dropping it gives it back to its parent: what a driver without threads does.
    fn offer(&self, subtask: SubTask) {
        match self.inner() {
            Some(inner) => inner.offer(subtask),
            None => drop(subtask),
        }
    }

    /// The wall clock.
    fn now(&self) -> Micros {
        self.inner().map_or_else(wall_clock, |inner| inner.now())
    }

    /// A number nobody can guess, for database ids and the like: the core draws no entropy itself (L1).
    fn entropy(&self) -> u64 {
        self.inner().map_or_else(entropy, |inner| inner.entropy())
    }

    /// The world that tasks of this driver are made with.
    fn world(&self) -> Arc<World> {
        self.inner().map_or_else(World::quiet, |inner| inner.world())
    }

    /// Blocks this thread until the wall clock says `until`, or shorter.
    fn sleep(&self, until: Micros) {
        match self.inner() {
            Some(inner) => inner.sleep(until),
            None => std::thread::sleep(Duration::from_micros(until.saturating_sub(self.now()))),
        }
    }

    /// Called when a task waits for something other than the disk, before its thread is parked. A driver that is the only one
    /// who could bring about what it waits for does so here, and answers `true`: the task is polled again.
    fn meanwhile(&self, wake_at: Option<Micros>, cancel: &Cancel) -> bool {
        self.inner().is_some_and(|inner| inner.meanwhile(wake_at, cancel))
    }

    /// Called when a task has come to its end.
    fn after_task(&self) {
        if let Some(inner) = self.inner() {
            inner.after_task();
        }
    }

    /// Runs a task to its answer on this thread. All requests that it made are performed when this returns, those
    /// nobody waits for included.
    fn run<T>(&self, task: Task<T>) -> T
    where
        Self: Sized,
    {
        run(self, task)
    }
}

impl<D: Driver + ?Sized> Driver for Arc<D> {
    fn perform(&self, op: DiskOp) -> DiskResult {
        (**self).perform(op)
    }
    fn perform_some(&self, waiting: &mut Vec<IoRequest>) {
        (**self).perform_some(waiting);
    }
    fn offer(&self, subtask: SubTask) {
        (**self).offer(subtask);
    }
    fn now(&self) -> Micros {
        (**self).now()
    }
    fn entropy(&self) -> u64 {
        (**self).entropy()
    }
    fn world(&self) -> Arc<World> {
        (**self).world()
    }
    fn sleep(&self, until: Micros) {
        (**self).sleep(until);
    }
    fn meanwhile(&self, wake_at: Option<Micros>, cancel: &Cancel) -> bool {
        (**self).meanwhile(wake_at, cancel)
    }
    fn after_task(&self) {
        (**self).after_task();
    }
}

/// [`Driver::run`] for a driver behind `dyn`.
pub fn run<T>(driver: &(impl Driver + ?Sized), task: Task<T>) -> T {
    run_loop(driver, task, None, || {})
}

/// As [`run`]; `watch` is called about every `every` while the task is under way, also while it waits, but not while the
/// disk works. It may cancel the task by its handle.
pub fn run_watched<T>(
    driver: &(impl Driver + ?Sized),
    task: Task<T>,
    every: Duration,
    mut watch: impl FnMut(),
) -> T {
    let mut next = Instant::now() + every;
    run_loop(driver, task, Some(every), || {
        if Instant::now() >= next {
            watch();
            next = Instant::now() + every;
        }
    })
}

fn run_loop<T>(
    driver: &(impl Driver + ?Sized),
    mut task: Task<T>,
    park_max: Option<Duration>,
    mut between: impl FnMut(),
) -> T {
    Parker::with_current(|parker| {
        let mut waiting = Vec::new();
        loop {
            let answer = task.poll(parker.waker(), driver.now());
            waiting.append(&mut task.take_requests());
            if let Poll::Ready(answer) = answer {
                task.ended(|| driver.now());
                while !waiting.is_empty() {
                    driver.perform_some(&mut waiting);
                }
                driver.after_task();
                return answer;
            }
            for subtask in task.take_subtasks() {
                driver.offer(subtask);
            }
            between();
            if waiting.is_empty() {
                if !parker.is_woken() && driver.meanwhile(task.wake_at(), &task.cancel_handle()) {
                    continue;
                }
                parker.park(task.wake_at(), || driver.now(), park_max);
            } else {
                driver.perform_some(&mut waiting);
            }
        }
    })
}

fn wall_clock() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn entropy() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library draws its hash keys from the operating system.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u64(wall_clock());
    hasher.write_u32(std::process::id());
    hasher.finish()
}
