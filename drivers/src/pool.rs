//! Threads that take sub-tasks. They are started when the first sub-task is offered, so that opening a database costs
//! no thread.

use crate::park::Parker;
use crate::{files::FileDisk, wall_clock};
use orrery_base::task::{SubTask, lock};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

pub(crate) struct Pool {
    thread_count: usize,
    disk: Arc<FileDisk>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    subtasks: VecDeque<SubTask>,
    closed: bool,
}

impl Pool {
    pub(crate) fn new(thread_count: usize, disk: Arc<FileDisk>) -> Self {
        Pool { thread_count, disk, shared: Arc::default(), threads: Mutex::default() }
    }

    /// Queues a sub-task; with no threads it goes back to its parent at once.
    pub(crate) fn offer(&self, subtask: SubTask) {
        if self.thread_count == 0 {
            return;
        }
        self.start_threads();
        lock(&self.shared.queue).subtasks.push_back(subtask);
        self.shared.arrived.notify_one();
    }

    fn start_threads(&self) {
        let mut threads = lock(&self.threads);
        while threads.len() < self.thread_count {
            let (shared, disk) = (self.shared.clone(), self.disk.clone());
            let named = std::thread::Builder::new().name(format!("orrery-subtask-{}", threads.len()));
            // A thread that the system refuses is no error: the parents run what nobody takes.
            let Ok(thread) = named.spawn(move || shared.work(&disk)) else { return };
            threads.push(thread);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.queue).closed = true;
        self.shared.arrived.notify_all();
        for thread in lock(&self.threads).drain(..) {
            // A sub-task that panicked has left its parent without a result, which the parent reports.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self, disk: &FileDisk) {
        while let Some(subtask) = self.next() {
            run_subtask(disk, subtask);
        }
    }

    fn next(&self) -> Option<SubTask> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.closed {
                return None;
            }
            if let Some(subtask) = queue.subtasks.pop_front() {
                return Some(subtask);
            }
            queue = self.arrived.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

fn run_subtask(disk: &FileDisk, mut subtask: SubTask) {
    Parker::with_current(|parker| {
        while subtask.poll(parker.waker(), wall_clock()).is_pending() {
            let requests = subtask.take_requests();
            if requests.is_empty() {
                parker.park(subtask.wake_at(), wall_clock, None);
            }
            for request in requests {
                let (op, completion) = request.split();
                completion.complete(disk.perform(op));
            }
        }
        for request in subtask.take_requests() {
            let (op, completion) = request.split();
            completion.complete(disk.perform(op));
        }
    });
}
