//! What the sessions of a world do.
//!
//! `kv` works through the store's own transactions; a workload of SQL statements will stand beside it, over the engine,
//! and record the same history.

pub mod kv;
pub mod rows;
