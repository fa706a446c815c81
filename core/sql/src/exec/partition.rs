//! Rows that did not fit in memory, in files by the top bits of their keys' hashes: what join, aggregate and distinct
//! fall back to. Each file is then a smaller problem of the same kind, on the next level.

use super::Batch;
use super::query::{BoxOperator, Place};
use super::spill::{SpillFile, SpillReader, data_types};
use crate::gather;
use arrow_array::UInt32Array;
use orrery_base::{Cx, Result};

/// Bits of the hash that one level uses, and how many files that makes.
const LEVEL_BITS: u32 = 3;
/// How many partitions a level has.
pub const PARTITION_COUNT: usize = 1 << LEVEL_BITS;
/// On this level nothing is partitioned any more: keys that are still together are (nearly) all equal, and more files
/// would not part them.
pub const LEVEL_MAX: u32 = 5;

/// The partition of a hash on a level.
#[inline]
pub fn partition_of(hash: u64, level: u32) -> usize {
    (hash >> (64 - LEVEL_BITS * (level + 1))) as usize & (PARTITION_COUNT - 1)
}

/// Files under construction.
pub struct Partitions {
    place: Place,
    level: u32,
    files: Vec<Option<SpillFile>>,
}

impl Partitions {
    /// Of a level below [`LEVEL_MAX`].
    pub fn new(place: &Place, level: u32) -> Self {
        let files = (0..PARTITION_COUNT).map(|_| None).collect();
        Partitions { place: place.clone(), level, files }
    }

    /// Writes rows by their hashes; of the rows, only those that `wanted` accepts.
    pub async fn write(
        &mut self,
        cx: &Cx,
        batch: &Batch,
        hashes: &[u64],
        wanted: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); PARTITION_COUNT];
        for (row, &hash) in hashes.iter().enumerate() {
            if wanted(row) {
                rows[partition_of(hash, self.level)].push(row as u32);
            }
        }
        drop(wanted);
        for (partition, rows) in rows.into_iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            let part = take(batch, &UInt32Array::from(rows))?;
            let file = self.files[partition]
                .get_or_insert_with(|| SpillFile::new(&self.place, data_types(batch), cx));
            file.write(cx, &part).await?;
        }
        Ok(())
    }

    /// Ends the writing: the files by partition, `None` where no row fell.
    pub async fn finish(self, cx: &Cx) -> Result<Vec<Option<SpillReader>>> {
        let mut readers = Vec::with_capacity(PARTITION_COUNT);
        for file in self.files {
            readers.push(match file {
                Some(file) => Some(file.into_reader(cx).await?),
                None => None,
            });
        }
        Ok(readers)
    }
}

/// Rows of a batch by number; a NULL number gives a row of NULLs.
pub fn take(batch: &Batch, rows: &UInt32Array) -> Result<Batch> {
    let columns = batch.columns.iter().map(|column| gather::take(column, rows));
    Ok(Batch { columns: columns.collect::<Result<_>>()?, row_count: rows.len() })
}

/// Where rows come from: an operator, or one of these files.
pub enum Source {
    /// An operator.
    Operator(BoxOperator),
    /// A file.
    File(SpillReader),
    /// Nowhere.
    Empty,
}

impl Source {
    /// The next batch.
    pub async fn next(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        match self {
            Source::Operator(operator) => operator.next(cx).await,
            Source::File(reader) => reader.next(cx).await,
            Source::Empty => Ok(None),
        }
    }
}

impl From<Option<SpillReader>> for Source {
    fn from(reader: Option<SpillReader>) -> Self {
        reader.map_or(Source::Empty, Source::File)
    }
}
