//! What a running store tells of itself: its checkpoints of late, its budgets of memory. Everything here is a value taken at one
//! moment; nothing waits for it.

use crate::lock::list::LockInfo;
use crate::pages::{CheckpointReport, TreeShape, TreeStats};
use crate::store::Store;
use orrery_base::gauge::Gauge;
use orrery_base::task::lock;
use orrery_base::time::Micros;
use orrery_base::{Cx, Result, TreeId};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// Checkpoints remembered.
const RECORD_COUNT_MAX: usize = 256;

/// Why a checkpoint was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointReason {
    /// Somebody asked for it.
    Requested,
    /// The memtable reached its budget.
    Memtable,
    /// A large commit was adopted as a layer of its own.
    Layer,
    /// The log reached its budget.
    Log,
    /// Writers waited for room in memory.
    Room,
    /// The disk was full.
    Disk,
    /// The database was closed.
    Close,
    /// A simulated world volunteered it.
    Early,
}

impl CheckpointReason {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            CheckpointReason::Requested => "requested",
            CheckpointReason::Memtable => "memtable",
            CheckpointReason::Layer => "layer",
            CheckpointReason::Log => "log",
            CheckpointReason::Room => "room",
            CheckpointReason::Disk => "disk",
            CheckpointReason::Close => "close",
            CheckpointReason::Early => "early",
        }
    }
}

/// A checkpoint that was made, or tried.
#[derive(Clone, Debug)]
pub struct CheckpointRecord {
    /// What it was for.
    pub reason: CheckpointReason,
    /// When it began.
    pub begun: Micros,
    /// When it ended.
    pub ended: Micros,
    /// The batch from which on the log is replayed after it.
    pub log_batch: u64,
    /// What it did, or what went wrong.
    pub outcome: Result<CheckpointReport>,
}

/// The newest checkpoints, oldest first.
#[derive(Default)]
pub(crate) struct CheckpointLog(Mutex<VecDeque<CheckpointRecord>>);

impl CheckpointLog {
    pub(crate) fn push(&self, record: CheckpointRecord) {
        let mut records = lock(&self.0);
        if records.len() == RECORD_COUNT_MAX {
            records.pop_front();
        }
        records.push_back(record);
    }
}

/// A budget of memory, and what of it is used. `None`: not counted, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// What it is for.
    pub name: &'static str,
    /// Bytes that it may be.
    pub limit: Option<u64>,
    /// Bytes that it is.
    pub used: Option<u64>,
    /// Bytes that it was at most.
    pub peak: Option<u64>,
    /// Whom the limit is for.
    pub scope: &'static str,
}

/// Counters of memory that is not counted elsewhere.
#[derive(Default)]
pub(crate) struct Gauges {
    pub(crate) write_sets: std::sync::Arc<Gauge>,
    pub(crate) memtables: Gauge,
}

impl Store {
    /// The newest checkpoints, oldest first.
    pub fn checkpoint_records(&self) -> Vec<CheckpointRecord> {
        lock(&self.checkpoint_log.0).iter().cloned().collect()
    }

    /// The store's budgets, and what is used of them now.
    pub fn memory_budgets(&self) -> Vec<MemoryBudget> {
        let pool = self.pages.pool_stats();
        self.gauges.memtables.saw(self.views.current().0.byte_count());
        let (memtables, writes) = (&self.gauges.memtables, &self.gauges.write_sets);
        let (lock_bytes, lock_limit) = self.locks.memory();
        vec![
            MemoryBudget {
                name: "pool",
                limit: Some(pool.budget_bytes),
                used: Some(pool.used_bytes),
                peak: Some(pool.peak_bytes),
                scope: "database",
            },
            MemoryBudget {
                name: "memtables",
                limit: Some(self.memtable_budget()),
                used: Some(memtables.used()),
                peak: Some(memtables.peak()),
                scope: "database",
            },
            MemoryBudget {
                name: "write sets",
                limit: Some(self.write_set_budget() as u64),
                used: Some(writes.used()),
                peak: Some(writes.peak()),
                scope: "transaction",
            },
            MemoryBudget {
                name: "locks",
                limit: Some(lock_limit),
                used: Some(lock_bytes),
                peak: None,
                scope: "database",
            },
        ]
    }

    /// Locks that are held and waited for, part by part from 0 on; `None` behind the last.
    pub fn locks(&self, part: u64) -> Option<Vec<LockInfo>> {
        self.locks.list(part)
    }

    /// What a tree's root says of it, as of the last checkpoint. No I/O.
    pub fn tree_stats(&self, tree: TreeId) -> TreeStats {
        self.pages.tree_stats(&self.pages.current(), tree)
    }

    /// What a tree is made of, as of the last checkpoint; reads all its pages but long values'. Errors: XX001, disk errors, 57014.
    pub async fn tree_shape(&self, cx: &Cx, tree: TreeId) -> Result<TreeShape> {
        let version = self.pages.current();
        self.pages.tree_shape(cx, &version, tree).await
    }

    /// Changes the pool's budget, or makes it what it was at first; pages over it are thrown out at once. It is not remembered beyond
    /// this opening.
    pub fn set_pool_budget(&self, bytes: Option<u64>) {
        self.pages.set_pool_budget(bytes.unwrap_or(self.options.pool_budget_bytes));
    }

    /// Changes the memtables' budget, or makes it what it was at first. A checkpoint that is due by the new one is begun. It is not
    /// remembered beyond this opening.
    pub fn set_memtable_budget(&self, bytes: Option<u64>) {
        let bytes = bytes.unwrap_or(self.options.memtable_budget_bytes);
        self.memtable_budget_bytes.store(bytes, Ordering::Relaxed);
        self.nudge_housekeeping();
    }
}
