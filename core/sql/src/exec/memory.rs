//! The memory of one statement's operators (I7): they ask before they keep, and spill when the answer is no.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The budget that all operators of a statement share.
#[derive(Debug)]
pub struct MemoryTracker {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl MemoryTracker {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(MemoryTracker { limit_bytes, used_bytes: AtomicUsize::new(0) })
    }

    /// Whether the operators hold more than they may.
    pub fn is_over(&self) -> bool {
        self.used_bytes.load(Ordering::Relaxed) > self.limit_bytes
    }
}

/// What one operator holds; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    tracker: Arc<MemoryTracker>,
    bytes: usize,
}

impl Reservation {
    /// Holds nothing yet.
    pub fn new(tracker: &Arc<MemoryTracker>) -> Self {
        Reservation { tracker: tracker.clone(), bytes: 0 }
    }

    /// Sets how much is held now.
    pub fn set(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.tracker.used_bytes.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.tracker.used_bytes.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// Adds to what is held.
    pub fn grow(&mut self, bytes: usize) {
        self.set(self.bytes + bytes);
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the statement is over its budget.
    pub fn is_over(&self) -> bool {
        self.tracker.is_over()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.set(0);
    }
}
