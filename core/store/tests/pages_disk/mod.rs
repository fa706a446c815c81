//! A disk in memory for the page store's tests: performs the requests of one task, in order or at random, whole or
//! short, and loses what was not synced when told to crash.
#![allow(dead_code, reason = "each test uses a part")]

use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult, FileId};
use orrery_base::rng::Rng;
use orrery_base::task::{BoxFuture, IoRequest, Task};
use orrery_base::{AlignedBuf, Cx, Error, PagePtr, Result, Timestamp, TreeId, World};
use orrery_store::pages::{
    CheckpointReport, HistoryPlan, PageStore, PageStoreOptions, RunCursor, RunEntry, StoreState, TreeGet,
    TreeVersion,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// Decides what goes wrong: called before each request is performed.
pub type Fault = Box<dyn FnMut(&DiskOp) -> Option<DiskError> + Send>;

#[derive(Default)]
pub struct MemDisk {
    pub data: Vec<u8>,
    pub exists: bool,
    /// Writes not covered by a sync: (offset, the bytes before, length before).
    pub unsynced: Vec<(usize, Vec<u8>, usize)>,
    pub rng: Option<Rng>,
    pub shorten: bool,
    pub fault: Option<Fault>,
    pub op_count: u64,
    pub bytes_read: u64,
    pub capacity: Option<u64>,
    /// No crash will be asked for: remember nothing.
    pub never_crashes: bool,
    pub bytes_written: u64,
}

impl MemDisk {
    pub fn new() -> Self {
        MemDisk::default()
    }

    /// Completes requests in random order and shortens some.
    pub fn nasty(seed: u64) -> Self {
        MemDisk { rng: Some(Rng::new(seed)), shorten: true, ..MemDisk::default() }
    }

    fn perform(&mut self, op: DiskOp) -> DiskResult {
        self.op_count += 1;
        if let Some(error) = self.fault.as_mut().and_then(|fault| fault(&op)) {
            return Err(error);
        }
        assert!(op.file().is_none_or(|file| file == FileId::Data), "the page store has one file");
        let part = |rng: &mut Option<Rng>, shorten: bool, len: usize| match rng {
            Some(rng) if shorten && len > 1 => match rng.chance(1, 8) {
                true => 1 + rng.below(len as u64 - 1) as usize,
                false => len,
            },
            _ => len,
        };
        match op {
            DiskOp::Len { .. } if !self.exists => {
                Err(DiskError::new(DiskErrorKind::NotFound, "no such file"))
            }
            DiskOp::Len { .. } => Ok(DiskReply::Len(self.data.len() as u64)),
            DiskOp::Read { offset, len, .. } => {
                let start = (offset as usize).min(self.data.len());
                let end = (offset as usize + len).min(self.data.len());
                let len = part(&mut self.rng, self.shorten, end - start);
                self.bytes_read += len as u64;
                Ok(DiskReply::Read(AlignedBuf::from(&self.data[start..start + len])))
            }
            DiskOp::Write { offset, data, .. } => {
                let len = part(&mut self.rng, self.shorten, data.len());
                let (start, end) = (offset as usize, offset as usize + len);
                assert!(end <= self.data.len(), "space is allocated before it is written");
                if !self.never_crashes {
                    self.unsynced.push((start, self.data[start..end].to_vec(), self.data.len()));
                }
                self.bytes_written += len as u64;
                self.data[start..end].copy_from_slice(&data[..len]);
                Ok(DiskReply::Written(len))
            }
            DiskOp::Sync { .. } => {
                self.unsynced.clear();
                Ok(DiskReply::Done)
            }
            DiskOp::Allocate { len, .. } => {
                if self.capacity.is_some_and(|capacity| len > capacity) {
                    return Err(DiskError::new(DiskErrorKind::Full, "no space left on device"));
                }
                self.exists = true;
                self.data.resize(self.data.len().max(len as usize), 0);
                Ok(DiskReply::Done)
            }
            other => panic!("the page store asks for {other:?}"),
        }
    }

    /// Power fails: of the unsynced writes, each 4,096-byte sector survives or not, as the coin falls.
    pub fn crash(&mut self, rng: &mut Rng) {
        while let Some((start, before, _)) = self.unsynced.pop() {
            let mut at = 0;
            while at < before.len() {
                let sector_end = ((start + at) / 4096 + 1) * 4096 - start;
                let end = sector_end.min(before.len());
                if rng.chance(1, 2) {
                    self.data[start + at..start + end].copy_from_slice(&before[at..end]);
                }
                at = end;
            }
        }
    }

    /// Runs a task to its end, or until `op_count_max` requests were performed (then it is dropped: `None`).
    pub fn run_limited<T, F>(
        &mut self,
        world: &Arc<World>,
        op_count_max: u64,
        body: impl FnOnce(Cx) -> F,
    ) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut task = Task::new(world.clone(), body);
        let mut waiting: Vec<IoRequest> = Vec::new();
        let mut idle = 0;
        loop {
            if let Poll::Ready(answer) = task.poll(Waker::noop(), 1_700_000_000_000_000) {
                // What is still in flight is performed all the same, late.
                waiting.extend(task.take_requests());
                self.perform_all(waiting);
                return Some(answer);
            }
            let taken = task.take_requests();
            idle = if taken.is_empty() && waiting.is_empty() { idle + 1 } else { 0 };
            assert!(idle < 1_000_000, "the task waits for nothing");
            waiting.extend(taken);
            let count = match &mut self.rng {
                None => waiting.len(),
                Some(rng) => {
                    rng.shuffle(&mut waiting);
                    (rng.below(3) as usize).min(waiting.len())
                }
            };
            for request in waiting.drain(..count).collect::<Vec<_>>() {
                if self.op_count >= op_count_max {
                    return None;
                }
                let (op, completion) = request.split();
                completion.complete(self.perform(op));
            }
        }
    }

    fn perform_all(&mut self, requests: Vec<IoRequest>) {
        for request in requests {
            let (op, completion) = request.split();
            completion.complete(self.perform(op));
        }
    }

    pub fn run<T, F>(&mut self, body: impl FnOnce(Cx) -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let world = if self.shorten { World::shortening() } else { World::quiet() };
        self.run_limited(&world, u64::MAX, body).expect("not limited")
    }

    pub fn create(&mut self) -> Arc<PageStore> {
        self.run(|cx| async move { PageStore::create(&cx, options(), StoreState::default()).await })
            .expect("a new store")
    }

    pub fn open(&mut self) -> Result<(Arc<PageStore>, StoreState)> {
        self.run(|cx| async move { PageStore::open(&cx, options()).await })
    }

    pub fn checkpoint(
        &mut self,
        store: &Arc<PageStore>,
        run: VecRun,
        dropped: &[u32],
    ) -> Result<CheckpointReport> {
        let (store, dropped) = (store.clone(), dropped.iter().map(|id| TreeId(*id)).collect::<Vec<_>>());
        self.run(|cx| async move { checkpoint(&cx, &store, run, &dropped).await })
    }

    /// Reads one key, loading what is missing.
    pub fn get(
        &mut self,
        store: &Arc<PageStore>,
        version: &TreeVersion,
        tree: u32,
        key: &[u8],
    ) -> Option<(Vec<u8>, u64)> {
        let reader = store.reader();
        loop {
            let missing = {
                let pin = reader.pin();
                match store.get(version, &pin, TreeId(tree), key).expect("no damage") {
                    TreeGet::Found { value, timestamp } => return Some((value.to_vec(), timestamp.0)),
                    TreeGet::Absent => return None,
                    TreeGet::Missing(ptr) => ptr,
                }
            };
            self.load(store, missing).expect("no damage");
        }
    }

    pub fn load(&mut self, store: &Arc<PageStore>, ptr: PagePtr) -> Result<()> {
        let store = store.clone();
        self.run(|cx| async move { store.load(&cx, ptr).await })
    }
}

pub async fn checkpoint(
    cx: &Cx,
    store: &PageStore,
    mut run: VecRun,
    dropped: &[TreeId],
) -> Result<CheckpointReport> {
    let timestamp = run.entries.iter().map(|entry| entry.2).max().unwrap_or(0);
    let state = StoreState { commit_timestamp: Timestamp(timestamp), ..StoreState::default() };
    let before: BoxFuture<'_, Result<()>> = Box::pin(async { Ok::<(), Error>(()) });
    store.checkpoint(cx, &mut run, dropped, &HistoryPlan::default(), state, before).await
}

pub fn options() -> PageStoreOptions {
    PageStoreOptions { page_unit_bytes: 8192, pool_budget_bytes: 4 << 20, database_id: *b"a-test-database!" }
}

/// A run in memory: (tree, key, timestamp, value).
#[derive(Clone, Debug, Default)]
#[allow(clippy::type_complexity, reason = "said above")]
pub struct VecRun {
    pub entries: Vec<(u32, Vec<u8>, u64, Option<Vec<u8>>)>,
    pub index: usize,
}

impl VecRun {
    /// From changes by (tree, key).
    pub fn from_map(changes: &BTreeMap<(u32, Vec<u8>), Option<Vec<u8>>>, timestamp: u64) -> Self {
        let entries =
            changes.iter().map(|((tree, key), value)| (*tree, key.clone(), timestamp, value.clone()));
        VecRun { entries: entries.collect(), index: 0 }
    }
}

impl RunCursor for VecRun {
    fn entry(&self) -> Option<RunEntry<'_>> {
        self.entries.get(self.index).map(|(tree, key, timestamp, value)| RunEntry {
            tree: TreeId(*tree),
            key,
            timestamp: Timestamp(*timestamp),
            value: value.as_deref(),
        })
    }

    fn advance(&mut self) {
        self.index += 1;
    }
}
