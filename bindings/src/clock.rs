//! A clock that stands still: for tests and transcripts in which `now()` must be the same everywhere.

use orrery_drivers::Driver;
use orrery_engine::IoRequest;
use orrery_engine::SubTask;
use orrery_engine::base::World;
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
    fn perform_some(&self, waiting: &mut Vec<IoRequest>) {
        self.inner.perform_some(waiting);
    }
    fn offer(&self, subtask: SubTask) {
        self.inner.offer(subtask);
    }
    fn now(&self) -> Micros {
        self.now
    }
    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }
    fn world(&self) -> Arc<World> {
        self.inner.world()
    }
    fn sleep(&self, until: Micros) {
        self.inner.sleep(self.inner.now() + until.saturating_sub(self.now));
    }
}
