//! What a write set holds, and what write sets hold all together: each counts its own part, in steps, so that they hardly meet at the
//! counter.

use super::{TreeWrites, WriteSet};
use orrery_base::gauge::Gauge;
use std::sync::Arc;

/// A write set's part of what all together hold, by steps of [`COUNTED_STEP_BYTES`].
#[derive(Default)]
pub(super) struct Counted {
    gauge: Option<Arc<Gauge>>,
    bytes: usize,
}

/// Small write sets are not counted at all: they would meet at the counter.
const COUNTED_STEP_BYTES: usize = 64 << 10;

impl Counted {
    /// What is held is counted from now on, if it is much.
    #[inline]
    pub(super) fn begin(&mut self, gauge: &Arc<Gauge>, bytes: usize) {
        if bytes >= COUNTED_STEP_BYTES && self.gauge.is_none() {
            self.gauge = Some(gauge.clone());
            self.set(bytes);
        }
    }

    /// So much is held now.
    #[inline]
    pub(super) fn set(&mut self, bytes: usize) {
        if bytes.abs_diff(self.bytes) >= COUNTED_STEP_BYTES
            && let Some(gauge) = &self.gauge
        {
            gauge.change(self.bytes as u64, bytes as u64);
            self.bytes = bytes;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(gauge) = &self.gauge {
            gauge.change(self.bytes as u64, 0);
        }
    }
}

impl WriteSet {
    /// Once it has grown, what it holds is counted with that of others.
    #[inline]
    pub fn count_in(&mut self, gauge: &Arc<Gauge>) {
        self.counted.begin(gauge, self.byte_count);
    }

    pub(super) fn count_bytes(&mut self) {
        let memory: usize = self.trees.values().map(TreeWrites::byte_count).sum();
        let frozen = self.frozen.as_ref().map_or(0, |frozen| frozen.byte_count());
        self.byte_count = memory + frozen;
        self.counted.set(self.byte_count);
    }

    /// Bytes of memory that the pieces take.
    pub fn piece_bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.byte_count()).sum()
    }

    /// Bytes of memory taken by what is not in pieces, about.
    pub fn byte_count(&self) -> usize {
        self.byte_count
    }
}
