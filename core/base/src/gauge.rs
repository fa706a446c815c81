//! What a budget's users hold now, and the most they ever held.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in use, summed over whoever holds some.
#[derive(Debug, Default)]
pub struct Gauge {
    used: AtomicU64,
    peak: AtomicU64,
}

impl Gauge {
    /// Somebody who held `before` bytes holds `after` now.
    pub fn change(&self, before: u64, after: u64) {
        if after >= before {
            let added = after - before;
            let used = self.used.fetch_add(added, Ordering::Relaxed) + added;
            self.peak.fetch_max(used, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// So much is in use, counted elsewhere.
    pub fn saw(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
        self.peak.fetch_max(used, Ordering::Relaxed);
    }

    /// What is in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that ever was.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}
