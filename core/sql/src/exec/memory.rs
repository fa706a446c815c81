//! The memory budget that the operators of one statement share (I7).
//!
//! Invariant M1: every byte an operator holds between batches is in a [`Reservation`]; a dropped reservation is given
//! back. The budget is a promise to spill, not a hard wall: an operator that holds little never spills because its
//! neighbours hold much, so the total may pass the budget by a sixteenth an operator, a batch each, and the buffers of
//! temporary files (a sixty-fourth each).

use super::metrics::Counters;
use orrery_base::gauge::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Share of the budget below which an operator does not spill.
const UNTOUCHED_SHARE: usize = 16;

/// The budget of a statement.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    budget_bytes: usize,
    used_bytes: AtomicUsize,
    /// Where all statements' are counted together.
    gauge: Option<Arc<Gauge>>,
}

impl Memory {
    /// So many bytes; `gauge` counts what is reserved with that of others.
    pub fn new(budget_bytes: usize, gauge: Option<Arc<Gauge>>) -> Self {
        Memory(Arc::new(Pool { budget_bytes, used_bytes: AtomicUsize::new(0), gauge }))
    }

    /// What is reserved now.
    pub fn used_bytes(&self) -> usize {
        self.0.used_bytes.load(Ordering::Relaxed)
    }

    /// The whole budget.
    pub fn budget_bytes(&self) -> usize {
        self.0.budget_bytes
    }

    /// An empty reservation.
    pub fn reserve(&self, counters: Option<Arc<Counters>>) -> Reservation {
        Reservation { memory: self.clone(), bytes: 0, counters }
    }
}

/// What one operator holds.
#[derive(Debug)]
pub struct Reservation {
    memory: Memory,
    bytes: usize,
    counters: Option<Arc<Counters>>,
}

impl Reservation {
    /// States what the operator holds now. Answers whether it should spill.
    pub fn set(&mut self, bytes: usize) -> bool {
        let used = &self.memory.0.used_bytes;
        if bytes >= self.bytes {
            used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        if let Some(gauge) = self.memory.0.gauge.as_ref().filter(|_| bytes != self.bytes) {
            gauge.change(self.bytes as u64, bytes as u64);
        }
        self.bytes = bytes;
        if let Some(counters) = &self.counters {
            counters.memory(bytes);
        }
        let budget = self.memory.0.budget_bytes;
        bytes > budget / UNTOUCHED_SHARE && used.load(Ordering::Relaxed) > budget
    }

    /// What it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spills_over_the_budget_and_gives_back() {
        let memory = Memory::new(1600, None);
        let mut big = memory.reserve(None);
        let mut small = memory.reserve(None);
        assert!(!big.set(1600));
        assert!(!small.set(100), "a sixteenth is always free");
        assert!(small.set(101));
        assert!(big.set(1500));
        drop(big);
        assert!(!small.set(1600));
        drop(small);
        assert_eq!(memory.used_bytes(), 0);
    }
}
