//! A disk in memory with bounds: whoever asks it too often, or for too much room, is found out.

use orrerydb::disk::{DiskError, DiskErrorKind, DiskOp, DiskResult, FileId};
use orrerydb::{Driver, MemoryDriver};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The files of a database.
pub type Files = BTreeMap<FileId, Vec<u8>>;

/// More requests than any iteration has: the loop behind them has no end.
const REQUEST_COUNT_MAX: u64 = 200_000;
/// Room for each file.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// See the head of the file.
pub struct BoundedDisk {
    inner: MemoryDriver,
    request_count: AtomicU64,
}

impl BoundedDisk {
    /// With these files on it.
    pub fn with(files: &Files) -> BoundedDisk {
        let inner = MemoryDriver::new();
        for (file, bytes) in files {
            inner.set_file(*file, bytes.clone());
        }
        BoundedDisk { inner, request_count: AtomicU64::new(0) }
    }

    /// A copy of what is on it.
    pub fn files(&self) -> Files {
        self.inner.files()
    }
}

impl Driver for BoundedDisk {
    fn perform(&self, op: DiskOp) -> DiskResult {
        let count = self.request_count.fetch_add(1, Ordering::Relaxed);
        assert!(count < REQUEST_COUNT_MAX, "disk requests without an end: {op:?}");
        let end = match &op {
            DiskOp::Write { offset, data, .. } => offset.saturating_add(data.len() as u64),
            DiskOp::Allocate { len, .. } => *len,
            _ => 0,
        };
        if end > FILE_BYTES_MAX {
            return Err(DiskError::new(DiskErrorKind::Full, "the disk is full"));
        }
        match op {
            // Nothing of the machine that this runs on.
            DiskOp::OpenStream { name, .. } => Err(DiskError::new(DiskErrorKind::NotFound, name)),
            op => self.inner.perform(op),
        }
    }
}
