//! The transactional ordered key-value store.

pub mod pages;
