//! Where an operator's rows come from: another operator, or a temporary file of rows written before.

use super::Batch;
use super::query::{Operator, Shared};
use super::rows::{RowDecoder, RowEncoder, values_of};
use super::spill::{SpillFile, SpillReader};
use crate::types::SqlType;
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{Cx, Result};
use std::sync::Arc;

/// A stream of batches.
pub enum Source {
    /// Of an operator.
    Operator(Box<dyn Operator>),
    /// Of a file, which lives as long.
    File {
        /// Keeps the file.
        _file: SpillFile,
        /// Reads it.
        reader: SpillReader,
        /// Types of its columns.
        types: Vec<SqlType>,
    },
}

impl Source {
    /// The rows of a file.
    pub async fn file(cx: &Cx, mut file: SpillFile, types: Vec<SqlType>) -> Result<Source> {
        file.flush(cx).await?;
        let reader = file.reader();
        Ok(Source::File { _file: file, reader, types })
    }

    /// The next batch.
    pub async fn next(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        match self {
            Source::Operator(operator) => operator.next(cx).await,
            Source::File { reader, types, .. } => read_batch(cx, reader, types).await,
        }
    }
}

/// The next batch of a file of rows.
pub async fn read_batch(cx: &Cx, reader: &mut SpillReader, types: &[SqlType]) -> Result<Option<Batch>> {
    let mut decoder = RowDecoder::new(types);
    while decoder.row_count() < BATCH_ROW_COUNT && decoder.byte_count() < 4 << 20 {
        let Some(mut record) = reader.next(cx).await? else { break };
        decoder.push(&mut record)?;
    }
    if decoder.row_count() == 0 { Ok(None) } else { decoder.finish().map(Some) }
}

/// Partitions of a level of spilling.
pub const PARTITION_COUNT: usize = 16;
/// Levels of spilling; what is still too large then (rows of one key) stays in memory.
pub const LEVEL_MAX: u64 = 6;

/// Files by the hash of a row's key.
pub struct Partitions {
    files: Vec<SpillFile>,
}

impl Partitions {
    /// New, empty files.
    pub fn new(shared: &Arc<Shared>, cx: &Cx) -> Self {
        Partitions { files: (0..PARTITION_COUNT).map(|_| SpillFile::new(shared, cx)).collect() }
    }

    /// Appends rows of a batch to the partitions that `place` names (`None`: nowhere).
    pub async fn push(&mut self, cx: &Cx, batch: &Batch, place: impl Fn(usize) -> Option<usize>) -> Result<()> {
        let mut records: Vec<(usize, Vec<u8>)> = Vec::new();
        {
            let values = values_of(batch);
            let encoder = RowEncoder::new(&values)?;
            for row in 0..batch.row_count {
                if let Some(partition) = place(row) {
                    let mut record = Vec::new();
                    encoder.encode(row, &mut record);
                    records.push((partition, record));
                }
            }
        }
        for (partition, record) in records {
            self.files[partition].push(cx, &record).await?;
        }
        Ok(())
    }

    /// The files.
    pub fn into_files(self) -> Vec<SpillFile> {
        self.files
    }
}

/// The partition of a key's hash.
pub fn partition_of(hash: u64) -> usize {
    // The table uses the low bits for its slots and the upper half as a tag: take bits in between.
    (hash >> 24) as usize % PARTITION_COUNT
}
