//! What the operators of a run did, for EXPLAIN ANALYZE. Nodes are numbered in pre-order: the root's tree first, then
//! each subquery's tree. Everything counted here is a function of the plan, the data and the budget: it repeats.

use orrery_base::task::lock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Counters of one operator under way.
#[derive(Debug, Default)]
pub struct Counters {
    rows: AtomicU64,
    batches: AtomicU64,
    memory_bytes_peak: AtomicU64,
    spilled_bytes: AtomicU64,
    lookups: AtomicU64,
    looked_up_rows: AtomicU64,
}

impl Counters {
    /// A batch went out.
    pub fn batch(&self, row_count: usize) {
        self.rows.fetch_add(row_count as u64, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// It holds `bytes` now.
    pub fn memory(&self, bytes: usize) {
        self.memory_bytes_peak.fetch_max(bytes as u64, Ordering::Relaxed);
    }

    /// It looked a key up and found so many rows.
    pub fn looked_up(&self, row_count: usize) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.looked_up_rows.fetch_add(row_count as u64, Ordering::Relaxed);
    }

    /// It wrote `bytes` to a temporary file.
    pub fn spilled(&self, bytes: usize) {
        self.spilled_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The counters of all operators of a statement.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Vec<Arc<Counters>>>);

impl Metrics {
    /// The counters of a node.
    pub fn node(&self, number: usize) -> Arc<Counters> {
        let mut nodes = lock(&self.0);
        if nodes.len() <= number {
            nodes.resize_with(number + 1, Arc::default);
        }
        nodes[number].clone()
    }

    /// What they say now.
    pub fn read(&self) -> RunMetrics {
        let read = |counters: &Arc<Counters>| NodeMetrics {
            rows: counters.rows.load(Ordering::Relaxed),
            batches: counters.batches.load(Ordering::Relaxed),
            memory_bytes_peak: counters.memory_bytes_peak.load(Ordering::Relaxed),
            spilled_bytes: counters.spilled_bytes.load(Ordering::Relaxed),
            lookups: counters.lookups.load(Ordering::Relaxed),
            looked_up_rows: counters.looked_up_rows.load(Ordering::Relaxed),
        };
        RunMetrics { nodes: lock(&self.0).iter().map(read).collect() }
    }
}

/// What one operator did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeMetrics {
    /// Rows it gave.
    pub rows: u64,
    /// In how many batches.
    pub batches: u64,
    /// The most it held at once, for operators that hold rows.
    pub memory_bytes_peak: u64,
    /// What it wrote to temporary files.
    pub spilled_bytes: u64,
    /// Keys that an index join looked up.
    pub lookups: u64,
    /// Rows it found by them, before conditions that the key does not say.
    pub looked_up_rows: u64,
}

/// What all operators did, by node number. An operator that was never opened is missing or zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunMetrics {
    /// By node number.
    pub nodes: Vec<NodeMetrics>,
}

impl RunMetrics {
    /// Of one node; zeros for one that never ran.
    pub fn node(&self, number: usize) -> NodeMetrics {
        self.nodes.get(number).copied().unwrap_or_default()
    }
}
