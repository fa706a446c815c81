//! A disk in memory: `:memory:` databases and tests. Everything is durable at once and gone with the driver. The user's own
//! files (COPY) are the system's, where there are any.

use crate::Driver;
use crate::streams::Streams;
use orrery_base::AlignedBuf;
use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult, FileId};
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// A file's bytes lie in pieces of this size, each made when something is first written into it: room that is only allocated, as logs
/// and data files have much of, costs nothing, and growing moves nothing.
const PIECE_BYTES: usize = 1 << 20;

/// A file.
#[derive(Default)]
struct File {
    len: usize,
    /// As many as `len` needs; `None` is zeros. Behind `len` there are zeros.
    pieces: Vec<Option<Box<[u8]>>>,
}

impl File {
    fn set_len(&mut self, len: usize) {
        let (piece, at) = (len / PIECE_BYTES, len % PIECE_BYTES);
        if let Some(Some(last)) = self.pieces.get_mut(piece).filter(|_| len < self.len) {
            last[at..].fill(0);
        }
        self.pieces.resize_with(len.div_ceil(PIECE_BYTES), || None);
        self.len = len;
    }

    fn write(&mut self, mut offset: usize, mut data: &[u8]) {
        if self.len < offset + data.len() {
            self.set_len(offset + data.len());
        }
        while !data.is_empty() {
            let (piece, at) = (offset / PIECE_BYTES, offset % PIECE_BYTES);
            let (part, rest) = data.split_at(data.len().min(PIECE_BYTES - at));
            let piece = self.pieces[piece].get_or_insert_with(|| vec![0; PIECE_BYTES].into());
            piece[at..at + part.len()].copy_from_slice(part);
            offset += part.len();
            data = rest;
        }
    }

    /// Fills `into` with the bytes from `offset` on, all of which there are.
    fn read(&self, mut offset: usize, mut into: &mut [u8]) {
        while !into.is_empty() {
            let (piece, at) = (offset / PIECE_BYTES, offset % PIECE_BYTES);
            let count = into.len().min(PIECE_BYTES - at);
            let (part, rest) = into.split_at_mut(count);
            match &self.pieces[piece] {
                Some(bytes) => part.copy_from_slice(&bytes[at..at + count]),
                None => part.fill(0),
            }
            offset += count;
            into = rest;
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes);
        bytes
    }
}

/// See the module's head.
#[derive(Default)]
pub struct MemoryDriver {
    files: RwLock<BTreeMap<FileId, File>>,
    streams: Streams,
}

impl MemoryDriver {
    /// An empty disk.
    pub fn new() -> Self {
        MemoryDriver::default()
    }

    /// A copy of every file, for tests that damage or compare them.
    pub fn files(&self) -> BTreeMap<FileId, Vec<u8>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.iter().map(|(&id, file)| (id, file.bytes())).collect()
    }

    /// Replaces a file: for tests.
    pub fn set_file(&self, file: FileId, bytes: Vec<u8>) {
        let mut made = File::default();
        made.write(0, &bytes);
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(file, made);
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
fn look(files: &BTreeMap<FileId, File>, op: DiskOp) -> DiskResult {
    let find = |file| files.get(&file).ok_or_else(|| absent(file));
    Ok(match op {
        DiskOp::List => DiskReply::Files(files.iter().map(|(id, file)| (*id, file.len as u64)).collect()),
        DiskOp::Len { file } => DiskReply::Len(find(file)?.len as u64),
        DiskOp::Read { file, offset, len } => {
            let file = find(file)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len);
            let mut bytes = AlignedBuf::zeroed(len.min(file.len - start));
            file.read(start, &mut bytes);
            DiskReply::Read(bytes)
        }
        other => unreachable!("{other:?} changes files"),
    })
}

fn change(files: &mut BTreeMap<FileId, File>, op: DiskOp) -> DiskResult {
    Ok(match op {
        DiskOp::Write { file, offset, data } => {
            let start = usize::try_from(offset).map_err(|_| too_long())?;
            start.checked_add(data.len()).ok_or_else(too_long)?;
            files.entry(file).or_default().write(start, &data);
            DiskReply::Written(data.len())
        }
        DiskOp::Allocate { file, len, .. } => {
            let len = usize::try_from(len).map_err(|_| too_long())?;
            let file = files.entry(file).or_default();
            file.set_len(file.len.max(len));
            DiskReply::Done
        }
        DiskOp::Truncate { file, len } => {
            let found = files.get_mut(&file).ok_or_else(|| absent(file))?;
            found.set_len(usize::try_from(len).map_err(|_| too_long())?);
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

    /// Writes, cuts and reads across the pieces' edges, against a plain vector.
    #[test]
    fn pieces_are_one_file() {
        let (mut file, mut model) = (File::default(), Vec::new());
        let edges =
            [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 3 * PIECE_BYTES + 5];
        for (turn, &offset) in edges.iter().cycle().take(70).enumerate() {
            let len = edges[turn * 5 % edges.len()];
            if turn % 3 == 0 {
                file.set_len(len);
                model.resize(len, 0);
            } else {
                let data = vec![turn as u8 + 1; len / 2 + 1];
                file.write(offset, &data);
                model.resize(model.len().max(offset + data.len()), 0);
                model[offset..offset + data.len()].copy_from_slice(&data);
            }
            assert!(file.bytes() == model, "turn {turn}");
        }
    }
}
