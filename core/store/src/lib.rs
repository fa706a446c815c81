//! The transactional ordered key-value store.

pub mod pages;
pub mod log;
pub mod mem;
pub mod lock;
