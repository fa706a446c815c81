//! One machine in virtual time: tasks, their disk, a clock, and a scheduler that draws everything from the seed.
//!
//! A step is one poll of one woken task, or one completion of one disk request; which, the seed decides. So requests
//! complete in any order, tasks interleave in any order, and a crash between two steps is a crash at any request.
//! Nothing here knows a store or a transaction: the toy log in the tests runs on it too.
//!
//! Liveness: a world in which no task is woken, no request is in flight and no timer is set can never go on.
//! [`Step::Stuck`] says so.

use crate::disk::Disk;
use crate::trace::Trace;
use orrery_base::disk::DiskOp;
use orrery_base::rng::Rng;
use orrery_base::task::{IoCompletion, IoRequest, SubTask, Task};
use orrery_base::time::Micros;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};

/// When virtual time begins: 2026-01-01 UTC.
pub const START_MICROS: Micros = 1_767_225_600_000_000;

/// A task in the world, numbered in the order of spawning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActorId(pub u64);

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something moved.
    Progress,
    /// This task gave its answer.
    Finished(ActorId),
    /// No task is left.
    Idle,
    /// Tasks are left, and nothing can ever wake one.
    Stuck,
}

/// How fast this machine's parts are.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The longest a usual disk request takes.
    pub disk_micros_max: u64,
    /// Requests in a thousand that take a hundred times as long.
    pub slow_per_mille: u64,
    /// The longest a poll takes.
    pub poll_micros_max: u64,
    /// Sub-tasks in a thousand that run apart from their parents.
    pub subtask_per_mille: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { disk_micros_max: 100, slow_per_mille: 5, poll_micros_max: 20, subtask_per_mille: 500 }
    }
}

/// See the module's head.
pub struct SimWorld {
    /// The disk; it outlives crashes.
    pub disk: Disk,
    /// What happened.
    pub trace: Trace,
    clock: Micros,
    step_count: u64,
    crash_count: u64,
    actors: Vec<Actor>,
    in_flight: Vec<InFlight>,
    next_actor: u64,
    next_request: u64,
    pace: Pace,
    rng: Rng,
}

struct Actor {
    id: ActorId,
    name: String,
    body: Body,
    flag: Arc<Flag>,
    waker: Waker,
    wake_at: Option<Micros>,
    polled_step: u64,
}

enum Body {
    Task(Task<()>),
    SubTask(SubTask),
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

struct InFlight {
    number: u64,
    op: DiskOp,
    completion: IoCompletion,
    mark: u64,
    due: Micros,
}

impl SimWorld {
    /// A world without tasks.
    pub fn new(seed: u64, disk: Disk, pace: Pace, trace: Trace) -> Self {
        SimWorld {
            disk,
            trace,
            clock: START_MICROS,
            step_count: 0,
            crash_count: 0,
            actors: vec![],
            in_flight: vec![],
            next_actor: 0,
            next_request: 0,
            pace,
            rng: Rng::fork(seed, "scheduler"),
        }
    }

    /// Adds a task; it is ready at once.
    pub fn spawn(&mut self, name: impl Into<String>, task: Task<()>) -> ActorId {
        self.add(name.into(), Body::Task(task))
    }

    fn add(&mut self, name: String, body: Body) -> ActorId {
        let id = ActorId(self.next_actor);
        self.next_actor += 1;
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        self.actors.push(Actor { id, name, body, flag, waker, wake_at: None, polled_step: self.step_count });
        id
    }

    /// Drops a task where it stands: cancellation. Its requests in flight stay in flight.
    pub fn drop_actor(&mut self, id: ActorId) {
        if let Some(index) = self.actors.iter().position(|actor| actor.id == id) {
            let actor = self.actors.remove(index);
            self.trace.event(
                self.step_count,
                self.clock - START_MICROS,
                &actor.name,
                format_args!("dropped"),
            );
            let Body::Task(mut task) = actor.body else { return };
            // What it has submitted is on its way: a driver performs every request.
            let requests = task.take_requests();
            drop(task);
            self.submit(&actor.name, requests);
        }
    }

    /// Cuts the power: tasks are gone, the disk keeps what it keeps. The clock goes on, perhaps a little back.
    pub fn crash(&mut self) {
        self.crash_count += 1;
        self.event("world", format_args!("crash"));
        let in_flight = std::mem::take(&mut self.in_flight);
        // A dying task must not see replies: its requests are taken apart first, and the tasks dropped before them.
        self.actors.clear();
        self.disk.crash(in_flight.into_iter().map(|request| request.op).collect());
        if self.rng.chance(1, 4) {
            self.clock = (self.clock - self.rng.below(5_000_000)).max(START_MICROS);
        } else {
            self.clock += self.rng.below(10_000_000);
        }
    }

    /// Does one thing.
    pub fn step(&mut self) -> Step {
        self.step_count += 1;
        loop {
            for actor in &self.actors {
                if actor.wake_at.is_some_and(|at| at <= self.clock) {
                    actor.flag.0.store(true, Ordering::Release);
                }
            }
            let ready: Vec<_> =
                (0..self.actors.len()).filter(|&i| self.actors[i].flag.0.load(Ordering::Acquire)).collect();
            let due: Vec<_> =
                (0..self.in_flight.len()).filter(|&i| self.in_flight[i].due <= self.clock).collect();
            if ready.is_empty() && due.is_empty() {
                match self.next_time() {
                    Some(time) => self.clock = time,
                    None if self.actors.is_empty() => return Step::Idle,
                    None => return Step::Stuck,
                }
                continue;
            }
            let pick = self.rng.below((ready.len() + due.len()) as u64) as usize;
            if let Some(&index) = ready.get(pick) {
                return self.poll(index);
            }
            self.complete(due[pick - ready.len()]);
            return Step::Progress;
        }
    }

    /// Steps until no task is left, for tests. Panics when stuck.
    pub fn run_to_idle(&mut self) {
        loop {
            match self.step() {
                Step::Idle => return,
                Step::Stuck => panic!("no task can go on: {}", self.waiting_names().join(", ")),
                Step::Progress | Step::Finished(_) => {}
            }
        }
    }

    /// The names of the tasks that are left.
    pub fn waiting_names(&self) -> Vec<String> {
        self.actors.iter().map(|actor| actor.name.clone()).collect()
    }

    /// The last step in which one of `ids` was polled or spawned.
    pub fn newest_poll(&self, ids: impl Fn(ActorId) -> bool) -> u64 {
        self.actors.iter().filter(|actor| ids(actor.id)).map(|actor| actor.polled_step).max().unwrap_or(0)
    }

    /// Steps so far.
    pub fn step_count(&self) -> u64 {
        self.step_count
    }

    /// Power cuts so far.
    pub fn crash_count(&self) -> u64 {
        self.crash_count
    }

    /// The wall clock.
    pub fn now(&self) -> Micros {
        self.clock
    }

    /// Moves the clock: time passes, or somebody set it.
    pub fn set_clock(&mut self, now: Micros) {
        self.clock = now;
    }

    /// Adds a line to the trace.
    pub fn event(&mut self, who: &str, what: fmt::Arguments<'_>) {
        self.trace.event(self.step_count, self.clock.saturating_sub(START_MICROS), who, what);
    }

    /// When the next request is due or the next timer rings.
    fn next_time(&self) -> Option<Micros> {
        let due = self.in_flight.iter().map(|request| request.due);
        due.chain(self.actors.iter().filter_map(|actor| actor.wake_at)).min()
    }

    fn poll(&mut self, index: usize) -> Step {
        self.clock += self.rng.below(self.pace.poll_micros_max + 1);
        let actor = &mut self.actors[index];
        actor.flag.0.store(false, Ordering::Release);
        actor.polled_step = self.step_count;
        let (answer, requests, subtasks) = match &mut actor.body {
            Body::Task(task) => {
                let answer = task.poll(&actor.waker, self.clock);
                actor.wake_at = task.wake_at();
                (answer, task.take_requests(), task.take_subtasks())
            }
            Body::SubTask(subtask) => {
                let answer = subtask.poll(&actor.waker, self.clock);
                actor.wake_at = subtask.wake_at();
                (answer, subtask.take_requests(), vec![])
            }
        };
        let (id, name) = (actor.id, actor.name.clone());
        self.submit(&name, requests);
        for (part, subtask) in subtasks.into_iter().enumerate() {
            if self.rng.chance(self.pace.subtask_per_mille, 1000) {
                self.add(format!("{name}/{part}"), Body::SubTask(subtask));
            }
        }
        let Poll::Ready(()) = answer else {
            self.event(&name, format_args!("waits"));
            return Step::Progress;
        };
        self.event(&name, format_args!("ends"));
        let finished =
            self.actors.remove(self.actors.iter().position(|actor| actor.id == id).expect("still there"));
        if matches!(finished.body, Body::Task(_)) { Step::Finished(id) } else { Step::Progress }
    }

    fn submit(&mut self, who: &str, requests: Vec<IoRequest>) {
        for request in requests {
            let mut latency = self.rng.below(self.pace.disk_micros_max + 1);
            if self.rng.chance(self.pace.slow_per_mille, 1000) {
                latency *= 100;
            }
            let (op, completion) = request.split();
            let number = self.next_request;
            self.next_request += 1;
            self.event(who, format_args!("asks #{number} {}", Brief(&op)));
            let mark = self.disk.submission_mark();
            self.in_flight.push(InFlight { number, op, completion, mark, due: self.clock + latency });
        }
    }

    fn complete(&mut self, index: usize) {
        let request = self.in_flight.swap_remove(index);
        let reply = self.disk.perform(request.op, request.mark);
        match &reply {
            Ok(_) => self.event("disk", format_args!("did #{}", request.number)),
            Err(error) => self.event("disk", format_args!("failed #{}: {error}", request.number)),
        }
        request.completion.complete(reply);
    }
}

impl Drop for SimWorld {
    fn drop(&mut self) {
        // As at a crash: tasks go before the requests they wait for.
        self.actors.clear();
    }
}

/// A request in a few words, its bytes as a checksum.
struct Brief<'a>(&'a DiskOp);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DiskOp::Write { file, offset, data } => {
                let sum = orrery_base::hash::checksum(data);
                write!(f, "write {file:?} {offset}+{} {sum:08x}", data.len())
            }
            DiskOp::Read { file, offset, len } => write!(f, "read {file:?} {offset}+{len}"),
            DiskOp::Sync { file } => write!(f, "sync {file:?}"),
            DiskOp::Allocate { file, len, .. } => write!(f, "allocate {file:?} {len}"),
            DiskOp::Truncate { file, len } => write!(f, "truncate {file:?} {len}"),
            DiskOp::Remove { file } => write!(f, "remove {file:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
