//! A small world for the store's own tests: an in-memory disk that keeps only synced bytes over a crash, and a
//! single-threaded driver that polls only woken tasks and completes requests in random order.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; tests may unwrap")]

use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult, FileId};
use orrery_base::rng::Rng;
use orrery_base::task::{IoRequest, Task};
use orrery_base::{AlignedBuf, Cx, World};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};

const SECTOR: usize = 512;

#[derive(Clone, Default)]
pub struct File {
    pub cached: Vec<u8>,
    pub durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

/// See the file's head.
#[derive(Clone, Default)]
pub struct Disk {
    pub files: BTreeMap<FileId, File>,
    /// Fails syncs of files for which this says so.
    pub fail_sync: Option<fn(FileId) -> bool>,
    /// Bytes that all files together may have.
    pub capacity: Option<u64>,
    pub sync_count: u64,
    pub write_count: u64,
}

impl Disk {
    fn used(&self) -> u64 {
        self.files.values().map(|file| file.cached.len() as u64).sum()
    }

    fn room_for(&self, file: FileId, len: usize) -> Result<(), DiskError> {
        let now = self.files.get(&file).map_or(0, |it| it.cached.len());
        let grown = len.saturating_sub(now) as u64;
        match self.capacity {
            Some(capacity) if grown > 0 && self.used() + grown > capacity => {
                Err(DiskError::new(DiskErrorKind::Full, "no space left"))
            }
            _ => Ok(()),
        }
    }

    pub fn perform(&mut self, op: DiskOp) -> DiskResult {
        let missing = || DiskError::new(DiskErrorKind::NotFound, "no such file");
        match op {
            DiskOp::List => Ok(DiskReply::Files(
                self.files.iter().map(|(&id, file)| (id, file.cached.len() as u64)).collect(),
            )),
            DiskOp::Len { file } => {
                self.files.get(&file).map(|it| DiskReply::Len(it.cached.len() as u64)).ok_or_else(missing)
            }
            DiskOp::Read { file, offset, len } => {
                let bytes = &self.files.get(&file).ok_or_else(missing)?.cached;
                let start = (offset as usize).min(bytes.len());
                let end = (start + len).min(bytes.len());
                Ok(DiskReply::Read(AlignedBuf::from(&bytes[start..end])))
            }
            DiskOp::Write { file, offset, data } => {
                self.room_for(file, offset as usize + data.len())?;
                self.write_count += 1;
                let file = self.files.entry(file).or_default();
                let (start, end) = (offset as usize, offset as usize + data.len());
                if file.cached.len() < end {
                    file.cached.resize(end, 0);
                }
                file.cached[start..end].copy_from_slice(&data);
                file.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
                Ok(DiskReply::Written(data.len()))
            }
            DiskOp::Sync { file } => {
                if self.fail_sync.is_some_and(|fails| fails(file)) {
                    return Err(DiskError::new(DiskErrorKind::Other, "sync failed"));
                }
                self.sync_count += 1;
                let file = self.files.get_mut(&file).ok_or_else(missing)?;
                file.durable.clone_from(&file.cached);
                file.dirty.clear();
                Ok(DiskReply::Done)
            }
            DiskOp::Allocate { file, len, .. } => {
                self.room_for(file, len as usize)?;
                let file = self.files.entry(file).or_default();
                let len = file.cached.len().max(len as usize);
                file.cached.resize(len, 0);
                file.durable.resize(len, 0);
                Ok(DiskReply::Done)
            }
            DiskOp::Truncate { file, len } => {
                let file = self.files.get_mut(&file).ok_or_else(missing)?;
                file.cached.truncate(len as usize);
                file.durable.truncate(len as usize);
                Ok(DiskReply::Done)
            }
            DiskOp::Remove { file } => {
                self.files.remove(&file);
                Ok(DiskReply::Done)
            }
            DiskOp::OpenStream { .. } => Err(DiskError::new(DiskErrorKind::Denied, "no streams here")),
        }
    }

    /// What is left after a power failure: synced bytes, and each unsynced sector by the toss of a coin.
    pub fn crash(&self, rng: &mut Rng, keep_unsynced_percent: u64) -> Disk {
        let mut left = Disk { capacity: self.capacity, ..Disk::default() };
        for (&id, file) in &self.files {
            let mut durable = file.durable.clone();
            for &sector in &file.dirty {
                let (start, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(file.cached.len()));
                if start < end && rng.below(100) < keep_unsynced_percent {
                    if durable.len() < end {
                        durable.resize(end, 0);
                    }
                    durable[start..end].copy_from_slice(&file.cached[start..end]);
                }
            }
            left.files.insert(id, File { cached: durable.clone(), durable, dirty: BTreeSet::new() });
        }
        left
    }

    pub fn log_files(&self) -> Vec<u64> {
        self.files
            .keys()
            .filter_map(|file| if let FileId::Log(number) = file { Some(*number) } else { None })
            .collect()
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

struct Running<T> {
    task: Option<Task<T>>,
    flag: Arc<Flag>,
    answer: Option<T>,
    is_background: bool,
}

/// Several tasks over one disk.
pub struct Driver<T> {
    pub disk: Disk,
    pub rng: Rng,
    pub now: u64,
    pub world: Arc<World>,
    tasks: Vec<Running<T>>,
    requests: Vec<IoRequest>,
    pub step_count: u64,
}

impl<T> Driver<T> {
    pub fn new(disk: Disk, seed: u64, world: Arc<World>) -> Self {
        let rng = Rng::fork(seed, "driver");
        let (tasks, requests) = (Vec::new(), Vec::new());
        Driver { disk, rng, now: 1_700_000_000_000_000, world, tasks, requests, step_count: 0 }
    }

    pub fn spawn<F>(&mut self, body: impl FnOnce(Cx) -> F) -> usize
    where
        F: Future<Output = T> + Send + 'static,
    {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let task = Some(Task::new(self.world.clone(), body));
        self.tasks.push(Running { task, flag, answer: None, is_background: false });
        self.tasks.len() - 1
    }

    /// A task that nobody waits for.
    pub fn spawn_background<F>(&mut self, body: impl FnOnce(Cx) -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let index = self.spawn(body);
        self.tasks[index].is_background = true;
    }

    /// Drops a task with whatever requests it has not handed out.
    pub fn drop_task(&mut self, index: usize) {
        self.tasks[index].task = None;
    }

    pub fn answer(&mut self, index: usize) -> Option<T> {
        self.tasks[index].answer.take()
    }

    pub fn is_running(&self, index: usize) -> bool {
        self.tasks[index].task.is_some()
    }

    fn is_busy(&self) -> bool {
        self.tasks.iter().any(|it| it.task.is_some() && !it.is_background)
    }

    /// One step: polls a woken task or completes a request. `false`: nothing can go on without time passing.
    pub fn step(&mut self) -> bool {
        self.step_count += 1;
        self.now += self.rng.below(50);
        let woken: Vec<usize> = (0..self.tasks.len())
            .filter(|&i| self.tasks[i].task.is_some() && self.tasks[i].flag.0.load(Ordering::Acquire))
            .collect();
        let choices = woken.len() + self.requests.len();
        if choices == 0 {
            return self.pass_time();
        }
        let choice = self.rng.below(choices as u64) as usize;
        match woken.get(choice) {
            Some(&index) => self.poll(index),
            None => {
                let request = self.requests.swap_remove(choice - woken.len());
                let (op, completion) = request.split();
                completion.complete(self.disk.perform(op));
            }
        }
        true
    }

    fn pass_time(&mut self) -> bool {
        let wakes = self.tasks.iter().filter_map(|it| it.task.as_ref().and_then(Task::wake_at));
        let Some(at) = wakes.min() else { return false };
        self.now = self.now.max(at);
        for it in &self.tasks {
            if it.task.as_ref().and_then(Task::wake_at).is_some_and(|wake| wake <= self.now) {
                it.flag.0.store(true, Ordering::Release);
            }
        }
        true
    }

    fn poll(&mut self, index: usize) {
        let running = &mut self.tasks[index];
        running.flag.0.store(false, Ordering::Release);
        let waker = Waker::from(running.flag.clone());
        let task = running.task.as_mut().unwrap();
        let answer = task.poll(&waker, self.now);
        self.requests.extend(task.take_requests());
        if let Poll::Ready(answer) = answer {
            running.answer = Some(answer);
            running.task = None;
        }
    }

    /// Runs until all tasks but background ones are done. Panics when they hang.
    pub fn run(&mut self) {
        while self.is_busy() {
            assert!(self.step(), "every task waits and nothing will wake it");
        }
    }

    /// Runs at most `count` steps; answers whether all tasks are done.
    pub fn run_steps(&mut self, count: u64) -> bool {
        for _ in 0..count {
            if !self.is_busy() {
                return true;
            }
            assert!(self.step(), "every task waits and nothing will wake it");
        }
        !self.is_busy()
    }

    /// Runs one task to its end and gives its answer.
    pub fn block_on<F>(&mut self, body: impl FnOnce(Cx) -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let index = self.spawn(body);
        while self.tasks[index].task.is_some() {
            assert!(self.step(), "the task waits and nothing will wake it");
        }
        self.answer(index).unwrap()
    }
}

/// Runs a world for each of so many seeds from 0 on, or for those that the environment names.
#[allow(clippy::disallowed_methods, reason = "which seeds to run is asked of the environment")]
pub fn each_seed(count: u64, world: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let told = |name| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let (first, count) = (told("TXN_SEED").unwrap_or(0), told("TXN_SEEDS").unwrap_or(count));
    for seed in first..first + count {
        let result = std::panic::catch_unwind(|| world(seed));
        assert!(result.is_ok(), "seed {seed}: rerun with TXN_SEED={seed} TXN_SEEDS=1");
    }
}
