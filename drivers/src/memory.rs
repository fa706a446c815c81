//! A disk in memory: `:memory:` databases and tests. Everything is durable at once and gone with the driver. The user's own
//! files (COPY) are the system's, where there are any.

use crate::Driver;
use crate::streams::Streams;
use orrery_base::AlignedBuf;
use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult, FileId};
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// See the module's head.
#[derive(Default)]
pub struct MemoryDriver {
    files: RwLock<BTreeMap<FileId, Vec<u8>>>,
    streams: Streams,
}

impl MemoryDriver {
    /// An empty disk.
    pub fn new() -> Self {
        MemoryDriver::default()
    }

    /// A copy of every file, for tests that damage or compare them.
    pub fn files(&self) -> BTreeMap<FileId, Vec<u8>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces a file: for tests.
    pub fn set_file(&self, file: FileId, bytes: Vec<u8>) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(file, bytes);
    }
}

impl Driver for MemoryDriver {
    fn perform(&self, op: DiskOp) -> DiskResult {
        if matches!(op, DiskOp::OpenStream { .. }) || matches!(op.file(), Some(FileId::Stream(_))) {
            return self.streams.perform(op);
        }
        if let DiskOp::Read { .. } | DiskOp::Len { .. } | DiskOp::List = op {
            look(&self.files.read().unwrap_or_else(PoisonError::into_inner), op)
        } else {
            change(&mut self.files.write().unwrap_or_else(PoisonError::into_inner), op)
        }
    }
}

/// Performs a request that changes nothing.
fn look(files: &BTreeMap<FileId, Vec<u8>>, op: DiskOp) -> DiskResult {
    let find = |file| files.get(&file).ok_or_else(|| absent(file));
    Ok(match op {
        DiskOp::List => {
            DiskReply::Files(files.iter().map(|(file, bytes)| (*file, bytes.len() as u64)).collect())
        }
        DiskOp::Len { file } => DiskReply::Len(find(file)?.len() as u64),
        DiskOp::Read { file, offset, len } => {
            let bytes = find(file)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let end = start.saturating_add(len).min(bytes.len());
            DiskReply::Read(AlignedBuf::from(&bytes[start..end]))
        }
        other => unreachable!("{other:?} changes files"),
    })
}

fn change(files: &mut BTreeMap<FileId, Vec<u8>>, op: DiskOp) -> DiskResult {
    Ok(match op {
        DiskOp::Write { file, offset, data } => {
            let bytes = files.entry(file).or_default();
            let start = usize::try_from(offset).map_err(|_| too_long())?;
            let end = start.checked_add(data.len()).ok_or_else(too_long)?;
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(&data);
            DiskReply::Written(data.len())
        }
        DiskOp::Allocate { file, len, .. } => {
            let len = usize::try_from(len).map_err(|_| too_long())?;
            let bytes = files.entry(file).or_default();
            if bytes.len() < len {
                bytes.resize(len, 0);
            }
            DiskReply::Done
        }
        DiskOp::Truncate { file, len } => {
            let bytes = files.get_mut(&file).ok_or_else(|| absent(file))?;
            bytes.resize(usize::try_from(len).map_err(|_| too_long())?, 0);
            DiskReply::Done
        }
        DiskOp::Remove { file } => {
            files.remove(&file);
            DiskReply::Done
        }
        DiskOp::Sync { file } => {
            if !files.contains_key(&file) {
                return Err(absent(file));
            }
            DiskReply::Done
        }
        other => unreachable!("{other:?} changes nothing"),
    })
}

fn absent(file: FileId) -> DiskError {
    DiskError::new(DiskErrorKind::NotFound, format!("there is no file {file:?}"))
}

fn too_long() -> DiskError {
    DiskError::new(DiskErrorKind::Full, "the file would not fit into memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::exercise;

    #[test]
    fn keeps_every_rule() {
        exercise(&MemoryDriver::new());
    }
}
