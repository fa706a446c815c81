//! A clock that stands still: for tests and transcripts in which `now()` must be the same everywhere.

use orrery_drivers::Driver;
use orrery_engine::base::disk::{DiskOp, DiskResult};
use orrery_engine::base::time::Micros;
use std::sync::Arc;

/// A driver whose time is always `now`. Statement timeouts never pass under it.
pub(crate) struct FixedClock {
    pub(crate) inner: Arc<dyn Driver>,
    pub(crate) now: Micros,
}

impl Driver for FixedClock {
    fn perform(&self, op: DiskOp) -> DiskResult {
        self.inner.perform(op)
    }
    fn inner(&self) -> Option<&dyn Driver> {
        Some(&*self.inner)
    }
    fn now(&self) -> Micros {
        self.now
    }
    fn sleep(&self, until: Micros) {
        self.inner.sleep(self.inner.now() + until.saturating_sub(self.now));
    }
}
