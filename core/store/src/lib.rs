//! The transactional ordered key-value store.
