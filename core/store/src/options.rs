//! Settings of a store and of a transaction, and the figures a store shows.

use crate::pages::PoolStats;
use orrery_base::Timestamp;
use orrery_base::kv::Isolation;
use orrery_base::limits::PAGE_UNIT_BYTES;

/// When a commit answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After its batch is synced (I1).
    Full,
    /// After its batch is written; a sync follows within `ms`. A crash loses a suffix, never a hole.
    Interval {
        /// Milliseconds between syncs.
        ms: u32,
    },
    /// After its batch is written; syncs happen at checkpoints only.
    None,
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Durability::Full => f.write_str("full"),
            Durability::Interval { ms } => write!(f, "interval ({ms} ms)"),
            Durability::None => f.write_str("none"),
        }
    }
}

/// How long replaced versions are kept by default: one hour.
pub const HISTORY_MICROS: u64 = 3_600_000_000;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Bytes of a page unit, for a new database.
    pub page_unit_bytes: usize,
    /// Bytes of pages kept in memory.
    pub pool_budget_bytes: u64,
    /// Bytes of the memtable at which a checkpoint is due; 0: min(memory / 8, max(16 MiB, data / 4)).
    pub memtable_budget_bytes: u64,
    /// Bytes of memory that the process may count on: an input, never asked of the machine (L2).
    pub memory_bytes: u64,
    /// Bytes of the first log segment.
    pub log_segment_first_bytes: u64,
    /// Bytes of the largest log segment (a single larger commit still gets what it needs).
    pub log_segment_max_bytes: u64,
    /// Bytes of used log at which a checkpoint is due; 0: four memtables, at least 64 MiB.
    pub log_budget_bytes: u64,
    /// Bytes of one transaction's writes; 0: half of the memory.
    pub write_set_budget_bytes: u64,
    /// Bytes of one transaction's writes from which on they leave memory where they can; 0: a quarter of their budget.
    pub spill_bytes_min: u64,
    /// Pieces of one transaction's writes, of one size and over each other, that become one; 0: 16.
    pub spill_piece_count_max: usize,
    /// When commits answer, unless a transaction says otherwise.
    pub durability: Durability,
    /// `:memory:`: there is no log device.
    pub in_memory: bool,
    /// Seed of everything that is drawn: the new database's id.
    pub seed: u64,
    /// Nothing is written, not even by recovery.
    pub read_only: bool,
    /// How long replaced versions are kept, in microseconds, so that the past can be read; 0: not at all.
    pub history_micros: u64,
    /// Bytes of pages that they may take; 0: max(64 MiB, 20 % of the data file).
    pub history_bytes_max: u64,
    /// Whether a database is made where there is none.
    pub create: bool,
}

impl StoreOptions {
    pub(crate) fn piece_count_max(&self) -> usize {
        if self.spill_piece_count_max == 0 { 16 } else { self.spill_piece_count_max }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            page_unit_bytes: PAGE_UNIT_BYTES,
            pool_budget_bytes: 256 << 20,
            memtable_budget_bytes: 0,
            memory_bytes: 1 << 30,
            log_segment_first_bytes: 256 << 10,
            log_segment_max_bytes: 64 << 20,
            log_budget_bytes: 0,
            write_set_budget_bytes: 0,
            spill_bytes_min: 0,
            spill_piece_count_max: 0,
            durability: Durability::Full,
            in_memory: false,
            seed: 0,
            read_only: false,
            history_micros: HISTORY_MICROS,
            history_bytes_max: 0,
            create: true,
        }
    }
}

/// How to begin a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnOptions {
    /// Its level.
    pub isolation: Isolation,
    /// Whether writing is refused (25006).
    pub read_only: bool,
}

impl Default for TxnOptions {
    fn default() -> Self {
        TxnOptions { isolation: Isolation::ReadCommitted, read_only: false }
    }
}

/// Figures of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoreStats {
    /// Commits with writes.
    pub commit_count: u64,
    /// Log batches written.
    pub batch_count: u64,
    /// Log syncs.
    pub sync_count: u64,
    /// Checkpoints done.
    pub checkpoint_count: u64,
    /// Bytes of all layers over the trees.
    pub memtable_bytes: u64,
    /// Layers over the trees, the active one included.
    pub layer_count: u64,
    /// Bytes of log that hold batches.
    pub log_bytes: u64,
    /// Row locks held.
    pub row_lock_count: u64,
    /// Transactions that wait for a lock now.
    pub lock_wait_count: u64,
    /// Live snapshots.
    pub snapshot_count: u64,
    /// The newest published commit.
    pub published: Timestamp,
    /// The buffer pool.
    pub pool: PoolStats,
}
