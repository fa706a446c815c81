//! The words every other crate of the core speaks.
//!
//! Nothing here does I/O, reads a clock or draws entropy (L1, L2): this crate only names things. It holds the error
//! type with its SQLSTATE codes, ids and timestamps, the seeded generator and the one hash function, the task
//! machinery by which the core asks the world for disk requests ([`task`], [`disk`]), the key-value traits at which
//! SQL meets the store ([`kv`]), and the hooks by which the simulator looks inside ([`world`]).

pub mod buf;
pub mod disk;
pub mod error;
pub mod gauge;
pub mod hash;
pub mod ids;
pub mod kv;
pub mod limits;
pub mod prefetch;
pub mod rng;
pub mod sorting;
pub mod task;
pub mod time;
pub mod world;

pub use buf::AlignedBuf;
pub use error::{Duty, Error, Result, SqlState};
pub use ids::{PageNo, PagePtr, TreeId, TxnId};
pub use task::{BoxFuture, Cx};
pub use time::Timestamp;
pub use world::World;
