//! Tasks: everything the core does for someone (DESIGN §3).
//!
//! A [`Task`] wraps a private `async fn` of the core. The driver's whole duty is this loop:
//!
//! ```
//! use orrery_base::disk::{DiskOp, DiskReply};
//! use orrery_base::task::Task;
//! use orrery_base::World;
//! use std::task::{Poll, Waker};
//!
//! let mut task = Task::new(World::quiet(), |cx| async move {
//!     cx.disk(DiskOp::List).await.map(|_| 42).map_err(orrery_base::Error::from)
//! });
//! let answer = loop {
//!     match task.poll(Waker::noop(), 1_700_000_000_000_000) {
//!         Poll::Ready(answer) => break answer,
//!         Poll::Pending => {
//!             for request in task.take_requests() {
//!                 // Perform `request.op`, here or elsewhere, now or later, in any order; then:
//!                 request.complete(Ok(DiskReply::Files(vec![])));
//!             }
//!             // Nothing taken and not woken: wait for the waker, or until `task.wake_at()`.
//!         }
//!     }
//! };
//! assert_eq!(answer.unwrap(), 42);
//! ```
//!
//! Inside, the only awaits are: a disk reply, a lock or queue position, sub-tasks, and the budget ([`Cx::charge`]).
//! Dropping a task cancels it (up to the point of no return of a commit, DESIGN §5). A [`Cancel`] handle asks it to
//! stop with 57014 at its next budget check.

use crate::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult, FileId};
use crate::time::Micros;
use crate::{AlignedBuf, Error, Result, SqlState, World, limits};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Locks a mutex whose critical sections cannot panic half-way; a poisoned one is taken as it is.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A resumable computation with its context.
pub struct Task<T> {
    future: Option<BoxFuture<'static, T>>,
    cx: Cx,
}

impl<T> Task<T> {
    /// Makes a task. Nothing runs before the first poll.
    pub fn new<F>(world: Arc<World>, body: impl FnOnce(Cx) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        Self::with_cancel(world, Cancel::default(), body)
    }

    /// As [`Task::new`], cancelled by a handle that its owner already has (a session's).
    pub fn with_cancel<F>(world: Arc<World>, cancel: Cancel, body: impl FnOnce(Cx) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let cx = Cx::with_cancel(world, cancel);
        Task { future: Some(Box::pin(body(cx.clone()))), cx }
    }

    /// Runs until the answer, a wait, or the end of the budget. `now` is the wall clock. Panics when polled again after
    /// the answer.
    pub fn poll(&mut self, waker: &Waker, now: Micros) -> Poll<T> {
        let future = self.future.as_mut().expect("a task is not polled after its answer");
        self.cx.start_slice(now);
        let answer = future.as_mut().poll(&mut Context::from_waker(waker));
        if answer.is_ready() {
            self.future = None;
        }
        answer
    }

    /// The disk requests made since the last call. The driver performs all of them.
    pub fn take_requests(&mut self) -> Vec<IoRequest> {
        std::mem::take(&mut lock(&self.cx.0.outbox).requests)
    }

    /// To be called when the task gave its answer: whoever measures is told the time then ([`Cx::at_end`]). `now` is asked for only
    /// where somebody does.
    pub fn ended(&mut self, now: impl FnOnce() -> Micros) {
        let at_end = lock(&self.cx.0.outbox).at_end.take();
        if let Some(at_end) = at_end {
            at_end(now());
        }
    }

    /// Sub-tasks that another thread may run. Those not taken are run by the task itself.
    pub fn take_subtasks(&mut self) -> Vec<SubTask> {
        std::mem::take(&mut lock(&self.cx.0.outbox).subtasks)
    }

    /// When to poll again although nothing woke the task (a timeout inside it), if ever.
    pub fn wake_at(&self) -> Option<Micros> {
        self.cx.wake_at()
    }

    /// The handle that cancels it.
    pub fn cancel_handle(&self) -> Cancel {
        self.cx.0.cancel.clone()
    }

    /// The task's context: what its owner may set before the first poll (deadline, cancel handle).
    pub fn cx(&self) -> &Cx {
        &self.cx
    }
}

/// Asks a task to stop; shareable between threads and statements.
#[derive(Clone, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Default)]
struct CancelState {
    asked: AtomicBool,
    /// The next [`Cancel::reset`] leaves a request that is there.
    armed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Cancel {
    /// Asks. The task answers 57014 at its next budget check or lock wait.
    pub fn cancel(&self) {
        self.0.asked.store(true, Ordering::Release);
        if let Some(waker) = lock(&self.0.waker).take() {
            waker.wake();
        }
    }

    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }

    /// Takes the request back: before the next statement of a session. Not when [`Cancel::arm`] was called for it.
    pub fn reset(&self) {
        if !self.0.armed.swap(false, Ordering::AcqRel) {
            self.0.asked.store(false, Ordering::Release);
        }
    }

    /// From now on requests are for the session's next statement, even if they come before it starts.
    pub fn arm(&self) {
        self.0.asked.store(false, Ordering::Release);
        self.0.armed.store(true, Ordering::Release);
    }
}

/// What a computation of the core sees of the world: its disk, the time, its budget.
#[derive(Clone)]
pub struct Cx(Arc<CxInner>);

struct CxInner {
    outbox: Mutex<Outbox>,
    now: AtomicU64,
    budget: AtomicI64,
    deadline: AtomicU64,
    wake_at: AtomicU64,
    cancel: Cancel,
    world: Arc<World>,
}

#[derive(Default)]
struct Outbox {
    requests: Vec<IoRequest>,
    subtasks: Vec<SubTask>,
    at_end: Option<AtEnd>,
}

/// What is told when a task has ended: see [`Cx::at_end`].
pub type AtEnd = Box<dyn FnOnce(Micros) + Send>;

impl Cx {
    /// A context outside a task: for synchronous fast paths and tests that perform the requests themselves.
    pub fn new(world: Arc<World>) -> Self {
        Cx::with_cancel(world, Cancel::default())
    }

    fn with_cancel(world: Arc<World>, cancel: Cancel) -> Self {
        Cx(Arc::new(CxInner {
            outbox: Mutex::default(),
            now: AtomicU64::new(0),
            budget: AtomicI64::new(limits::POLL_BUDGET_BYTES),
            deadline: AtomicU64::new(u64::MAX),
            wake_at: AtomicU64::new(u64::MAX),
            cancel,
            world,
        }))
    }

    fn start_slice(&self, now: Micros) {
        self.0.now.store(now, Ordering::Relaxed);
        self.0.budget.store(limits::POLL_BUDGET_BYTES, Ordering::Relaxed);
        self.0.wake_at.store(u64::MAX, Ordering::Relaxed);
    }

    /// The wall clock at the start of this poll, in microseconds since the Unix epoch.
    pub fn now(&self) -> Micros {
        self.0.now.load(Ordering::Relaxed)
    }

    /// Has `tell` called with the wall clock when the task has come to its end: a computation sees the clock at the start of its polls
    /// only, and most end in the poll in which they began. A driver that does not say when it ended ([`Task::ended`]), or a task that
    /// is dropped, drops `tell`. One at a time.
    pub fn at_end(&self, tell: AtEnd) {
        lock(&self.0.outbox).at_end = Some(tell);
    }

    /// The simulator's hooks; quiet in production.
    pub fn world(&self) -> &Arc<World> {
        &self.0.world
    }

    /// The handle that cancels this task.
    pub fn cancel_handle(&self) -> &Cancel {
        &self.0.cancel
    }

    /// From this time on the task answers 57014 (statement timeout).
    pub fn set_deadline(&self, deadline: Option<Micros>) {
        self.0.deadline.store(deadline.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Asks to be polled again at `at` at the latest, although nothing may wake the task. Holds for one poll: whoever
    /// waits asks again each time it is polled.
    pub fn wake_no_later_than(&self, at: Micros) {
        self.0.wake_at.fetch_min(at, Ordering::Relaxed);
    }

    /// See [`Task::wake_at`].
    pub fn wake_at(&self) -> Option<Micros> {
        let deadline = self.0.deadline.load(Ordering::Relaxed);
        Some(self.0.wake_at.load(Ordering::Relaxed).min(deadline)).filter(|&at| at != u64::MAX)
    }

    /// Submits a request without waiting. The future gives the reply; dropping it forgets the reply, not the request.
    pub fn submit(&self, op: DiskOp) -> IoReply {
        let slot = Arc::new(IoSlot::default());
        lock(&self.0.outbox).requests.push(IoRequest { op, slot: Some(slot.clone()) });
        IoReply(slot)
    }

    /// Submits a request and waits for its reply.
    pub async fn disk(&self, op: DiskOp) -> DiskResult {
        self.submit(op).await
    }

    /// Runs a task of its own kind inside this one, as a driver would: its requests, sub-tasks and timers become this
    /// one's. For callers that are tasks themselves (the simulator's clients).
    pub async fn run<T>(&self, mut task: Task<T>) -> T {
        std::future::poll_fn(|context| {
            let answer = task.poll(context.waker(), self.now());
            let (mut requests, mut subtasks) = (task.take_requests(), task.take_subtasks());
            let mut outbox = lock(&self.0.outbox);
            outbox.requests.append(&mut requests);
            outbox.subtasks.append(&mut subtasks);
            drop(outbox);
            if let Some(at) = task.wake_at() {
                self.wake_no_later_than(at);
            }
            if answer.is_ready() {
                task.ended(|| self.now());
            }
            answer
        })
        .await
    }

    /// Reads exactly `len` bytes, however short the single reads are; fewer only where the file ends.
    pub async fn read(&self, file: FileId, offset: u64, len: usize) -> Result<AlignedBuf, DiskError> {
        let mut all = AlignedBuf::default();
        loop {
            let missing = len - all.len();
            let op = DiskOp::Read { file, offset: offset + all.len() as u64, len: missing };
            let DiskReply::Read(part) = self.disk(op).await? else { return Err(wrong_reply()) };
            let done = part.is_empty() || part.len() == missing;
            if all.is_empty() {
                all = part;
            } else {
                all.extend_from_slice(&part);
            }
            if done {
                return Ok(all);
            }
        }
    }

    /// Writes all of `data`, however short the single writes are.
    pub async fn write(&self, file: FileId, offset: u64, data: AlignedBuf) -> Result<(), DiskError> {
        let len = data.len();
        // A short write needs the rest again, and the request owns its bytes: keep a copy only where it can happen.
        let mut rest = (len > 1).then(|| data.clone()).filter(|_| self.0.world.may_shorten());
        let mut at = offset;
        let mut reply = self.disk(DiskOp::Write { file, offset, data }).await?;
        loop {
            let DiskReply::Written(written) = reply else { return Err(wrong_reply()) };
            at += written as u64;
            let done = (at - offset) as usize;
            if done >= len {
                return Ok(());
            }
            let Some(rest) = rest.as_mut() else {
                return Err(DiskError::new(DiskErrorKind::Other, "the disk wrote less than it was given"));
            };
            if written == 0 {
                return Err(DiskError::new(DiskErrorKind::Full, "the disk wrote nothing"));
            }
            let data = AlignedBuf::from(&rest[done..]);
            reply = self.disk(DiskOp::Write { file, offset: at, data }).await?;
        }
    }

    /// Makes completed writes of `file` durable.
    pub async fn sync(&self, file: FileId) -> Result<(), DiskError> {
        self.disk(DiskOp::Sync { file }).await.map(drop)
    }

    /// Spends `bytes` of logical work; gives way when the slice's budget is gone. Errors: 57014 when the task was
    /// cancelled or its deadline passed. Suspends at most once.
    #[inline]
    pub async fn charge(&self, bytes: usize) -> Result<()> {
        if self.0.budget.fetch_sub(bytes as i64, Ordering::Relaxed) - (bytes as i64) < 0 {
            self.yield_now().await;
            self.check_cancel()?;
        }
        Ok(())
    }

    /// Gives way once.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Errors: 57014 when the task was cancelled or its deadline passed.
    pub fn check_cancel(&self) -> Result<()> {
        if self.0.cancel.is_asked() {
            return Err(Error::new(SqlState::QUERY_CANCELED, "canceling statement due to user request"));
        }
        if self.now() >= self.0.deadline.load(Ordering::Relaxed) {
            return Err(Error::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout"));
        }
        Ok(())
    }

    /// Registers the waker that a cancellation wakes: called by whoever waits for something other than the disk.
    pub fn wake_on_cancel(&self, waker: &Waker) {
        *lock(&self.0.cancel.0.waker) = Some(waker.clone());
    }

    /// Runs the parts as sub-tasks, here or wherever the driver takes them, and gives their results in order. The first
    /// error *in part order* is the answer (DESIGN §3), whatever finished first.
    pub async fn join<T: Send + 'static>(&self, parts: Vec<SubTaskBody<T>>) -> Result<Vec<T>> {
        let subtasks: Vec<_> = parts.into_iter().map(|part| Part::start(self, part)).collect();
        lock(&self.0.outbox)
            .subtasks
            .extend(subtasks.iter().map(|part| SubTask { shared: part.shared.clone() }));
        std::future::poll_fn(|context| {
            let mut all_done = true;
            for part in &subtasks {
                all_done &= part.shared.poll_as_parent(self, context.waker()).is_ready();
            }
            if all_done { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        lock(&self.0.outbox).subtasks.clear();
        subtasks.into_iter().map(Part::into_result).collect()
    }
}

fn wrong_reply() -> DiskError {
    DiskError::new(DiskErrorKind::Other, "the driver answered another question")
}

/// A disk request on its way to the driver.
pub struct IoRequest {
    /// What to do.
    pub op: DiskOp,
    slot: Option<Arc<IoSlot>>,
}

impl IoRequest {
    /// Hands the reply in and wakes whoever waits for it.
    pub fn complete(mut self, reply: DiskResult) {
        let slot = self.slot.take().expect("a request is completed once");
        slot.fill(reply);
    }

    /// Takes the request apart: the operation to perform, and what its reply goes to.
    pub fn split(mut self) -> (DiskOp, IoCompletion) {
        let op = std::mem::replace(&mut self.op, DiskOp::List);
        (op, IoCompletion(IoRequest { op: DiskOp::List, slot: self.slot.take() }))
    }
}

impl Drop for IoRequest {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.fill(Err(DiskError::new(DiskErrorKind::Abandoned, "the request was dropped")));
        }
    }
}

/// Where the reply to a request goes, once its operation was taken out.
pub struct IoCompletion(IoRequest);

impl IoCompletion {
    /// Hands the reply in.
    pub fn complete(self, reply: DiskResult) {
        self.0.complete(reply);
    }
}

#[derive(Default)]
struct IoSlot(Mutex<IoSlotState>);

#[derive(Default)]
struct IoSlotState {
    reply: Option<DiskResult>,
    waker: Option<Waker>,
}

impl IoSlot {
    fn fill(&self, reply: DiskResult) {
        let mut state = lock(&self.0);
        state.reply = Some(reply);
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }
}

/// The reply to a submitted request. It may be polled by whoever holds it: it does not belong to the submitting task.
pub struct IoReply(Arc<IoSlot>);

impl Future for IoReply {
    type Output = DiskResult;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DiskResult> {
        let mut state = lock(&self.0.0);
        match state.reply.take() {
            Some(reply) => Poll::Ready(reply),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The body of a sub-task: a future made from the sub-task's own context.
pub type SubTaskBody<T> = Box<dyn FnOnce(Cx) -> BoxFuture<'static, Result<T>> + Send>;

struct Part<T> {
    shared: Arc<SubTaskShared>,
    result: Arc<Mutex<Option<Result<T>>>>,
}

impl<T: Send + 'static> Part<T> {
    fn start(parent: &Cx, body: SubTaskBody<T>) -> Self {
        let cx = Cx::with_cancel(parent.0.world.clone(), parent.0.cancel.clone());
        cx.0.deadline.store(parent.0.deadline.load(Ordering::Relaxed), Ordering::Relaxed);
        let result = Arc::new(Mutex::new(None));
        let (future, into) = (body(cx.clone()), result.clone());
        let future: BoxFuture<'static, ()> = Box::pin(async move {
            let answer = future.await;
            *lock(&into) = Some(answer);
        });
        let state = SubTaskState { future: Some(future), claimed: false, parent: None };
        Part { shared: Arc::new(SubTaskShared { state: Mutex::new(state), cx }), result }
    }

    fn into_result(self) -> Result<T> {
        lock(&self.result).take().expect("a finished sub-task left its result")
    }
}

struct SubTaskShared {
    state: Mutex<SubTaskState>,
    cx: Cx,
}

struct SubTaskState {
    future: Option<BoxFuture<'static, ()>>,
    claimed: bool,
    parent: Option<Waker>,
}

impl SubTaskShared {
    fn poll_as_parent(&self, parent: &Cx, waker: &Waker) -> Poll<()> {
        let Ok(mut state) = self.state.try_lock() else {
            // The claimer is polling it right now and wakes us when it ends; wake ourselves in case it ended before
            // our waker was in place.
            waker.wake_by_ref();
            return Poll::Pending;
        };
        state.parent = Some(waker.clone());
        if state.claimed {
            return if state.future.is_some() { Poll::Pending } else { Poll::Ready(()) };
        }
        let Some(future) = state.future.as_mut() else { return Poll::Ready(()) };
        self.cx.start_slice(parent.now());
        let answer = future.as_mut().poll(&mut Context::from_waker(waker));
        if answer.is_ready() {
            state.future = None;
        }
        // Nested sub-tasks are not offered on: their own parent runs them.
        let mut requests = std::mem::take(&mut lock(&self.cx.0.outbox).requests);
        lock(&parent.0.outbox).requests.append(&mut requests);
        if let Some(at) = self.cx.wake_at() {
            parent.wake_no_later_than(at);
        }
        answer
    }
}

/// A part of a task that may run on any thread. Dropping it unfinished gives it back to its parent.
pub struct SubTask {
    shared: Arc<SubTaskShared>,
}

impl SubTask {
    /// Runs it like [`Task::poll`]. `Ready` also when the parent already ran it, or is running it.
    pub fn poll(&mut self, waker: &Waker, now: Micros) -> Poll<()> {
        let Ok(mut state) = self.shared.state.try_lock() else { return Poll::Ready(()) };
        let Some(future) = state.future.as_mut() else { return Poll::Ready(()) };
        self.shared.cx.start_slice(now);
        let answer = future.as_mut().poll(&mut Context::from_waker(waker));
        state.claimed = true;
        if answer.is_ready() {
            state.future = None;
            if let Some(parent) = state.parent.take() {
                parent.wake();
            }
        }
        answer
    }

    /// Like [`Task::take_requests`].
    pub fn take_requests(&mut self) -> Vec<IoRequest> {
        std::mem::take(&mut lock(&self.shared.cx.0.outbox).requests)
    }

    /// Like [`Task::wake_at`].
    pub fn wake_at(&self) -> Option<Micros> {
        self.shared.cx.wake_at()
    }
}

impl Drop for SubTask {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        if state.claimed && state.future.is_some() {
            state.claimed = false;
            if let Some(parent) = state.parent.take() {
                parent.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_armed_request_outlives_one_reset() {
        let cancel = Cancel::default();
        cancel.cancel();
        cancel.reset();
        assert!(!cancel.is_asked(), "a request between statements is for none");
        cancel.cancel();
        cancel.arm();
        assert!(!cancel.is_asked(), "what came before is not for the next statement");
        cancel.cancel();
        cancel.reset();
        assert!(cancel.is_asked(), "the statement that starts now is the one that was meant");
        cancel.reset();
        assert!(!cancel.is_asked());
    }
}
