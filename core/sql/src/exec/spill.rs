//! Temporary files of records. One file holds one sequence of records, written in blocks, read back in order any number
//! of times. The file is removed when its owner says so, and otherwise when the owner is dropped (the request is then
//! submitted without waiting; what a crash leaves is emptied at open).

use super::query::Shared;
use orrery_base::disk::{DiskOp, FileId};
use orrery_base::{AlignedBuf, Cx, Error, Result};
use std::sync::Arc;

/// Bytes of a block.
const BLOCK_BYTES: usize = 256 << 10;

/// A file being written or read.
pub struct SpillFile {
    file: FileId,
    cx: Cx,
    pending: Vec<u8>,
    written_bytes: u64,
    record_count: u64,
}

impl SpillFile {
    /// A new, empty file. No I/O before the first full block.
    pub fn new(shared: &Arc<Shared>, cx: &Cx) -> Self {
        let file = FileId::Temp(shared.context.environment.temp_file());
        SpillFile { file, cx: cx.clone(), pending: Vec::new(), written_bytes: 0, record_count: 0 }
    }

    /// Appends a record.
    pub async fn push(&mut self, cx: &Cx, record: &[u8]) -> Result<()> {
        self.pending.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.pending.extend_from_slice(record);
        self.record_count += 1;
        if self.pending.len() >= BLOCK_BYTES {
            self.flush(cx).await?;
        }
        Ok(())
    }

    /// Writes what is pending. Errors: 53100 when the disk is full, 58030.
    pub async fn flush(&mut self, cx: &Cx) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        cx.charge(self.pending.len()).await?;
        cx.write(self.file, self.written_bytes, AlignedBuf::from(self.pending.as_slice())).await?;
        self.written_bytes += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Records in it.
    pub fn record_count(&self) -> u64 {
        self.record_count
    }

    /// A reader from the start. Everything must be flushed.
    pub fn reader(&self) -> SpillReader {
        SpillReader { file: self.file, end: self.written_bytes, next: 0, block: Vec::new(), at: 0 }
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        if self.written_bytes > 0 {
            // The reply is of no interest: what stays is removed when the database opens.
            drop(self.cx.submit(DiskOp::Remove { file: self.file }));
        }
    }
}

/// Reads a file's records in order.
pub struct SpillReader {
    file: FileId,
    end: u64,
    next: u64,
    block: Vec<u8>,
    at: usize,
}

fn damaged() -> Error {
    Error::internal("a temporary file is shorter than what was written")
}

impl SpillReader {
    /// The next record; `None` at the end.
    pub async fn next(&mut self, cx: &Cx) -> Result<Option<&[u8]>> {
        if !self.ensure(cx, 4).await? {
            return Ok(None);
        }
        let length = u32::from_le_bytes(self.block[self.at..self.at + 4].try_into().expect("four bytes")) as usize;
        if !self.ensure(cx, 4 + length).await? {
            return Err(damaged());
        }
        let start = self.at + 4;
        self.at = start + length;
        Ok(Some(&self.block[start..start + length]))
    }

    /// Reads on until `count` bytes lie ahead; false when the file ends before the first of them.
    async fn ensure(&mut self, cx: &Cx, count: usize) -> Result<bool> {
        while self.block.len() - self.at < count {
            if self.next >= self.end {
                return if self.block.len() == self.at { Ok(false) } else { Err(damaged()) };
            }
            self.block.drain(..self.at);
            self.at = 0;
            let missing = count - self.block.len();
            let length = missing.max(BLOCK_BYTES).min((self.end - self.next) as usize);
            cx.charge(length).await?;
            let part = cx.read(self.file, self.next, length).await?;
            if part.is_empty() {
                return Err(damaged());
            }
            self.next += part.len() as u64;
            self.block.extend_from_slice(&part);
        }
        Ok(true)
    }
}
