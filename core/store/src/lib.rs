//! The transactional ordered key-value store (DESIGN §3–§5): one data file of immutable pages under copy-on-write
//! B+ trees, one log, a multi-version memtable between them, snapshots, locks, and the life of a commit.
//!
//! - [`Store`] opens, recovers, checkpoints, closes; [`Txn`] implements [`orrery_base::kv::Transaction`].
//! - [`kv`] is a small typed key-value interface over them.
//!
//! It knows no SQL type, no name and no collation: trees are numbers, keys and values are bytes.

mod checkpoint;
mod commit;
mod full_disk;
pub mod kv;
mod lock;
mod log;
mod mem;
mod observe;
mod options;
pub mod pages;
mod recovery;
mod salvage;
mod store;
mod txn;

pub use lock::list::{LockInfo, LockMode};
pub use lock::session::SessionLocks;
pub use observe::{CheckpointReason, CheckpointRecord, MemoryBudget};
pub use options::{Durability, StoreOptions, StoreStats, TxnOptions};
pub use pages::{CheckFinding, CheckSummary, CheckpointReport, FileSalvage, TreeShape};
pub use salvage::{LogSalvage, SalvagedChange, salvage_log};
pub use store::Store;
pub use txn::Txn;
