//! Drops repeated rows, streaming: a row goes out when it is first seen. Beyond the budget the set of rows seen is
//! frozen, rows that are not in it wait in partitions, and each partition is then the same problem again.

use super::Batch;
use super::hash_table::HashTable;
use super::keys::KeyLayout;
use super::memory::Reservation;
use super::partition::{LEVEL_MAX, Partitions, Source, take};
use super::query::{BoxOperator, Operator, Place, batch_bytes};
use super::spill::SpillReader;
use crate::types::SqlType;
use arrow_array::UInt32Array;
use orrery_base::{BoxFuture, Cx, Result};

/// Tells rows seen from rows not seen. DISTINCT inside aggregates uses it too.
pub struct Deduplicator {
    layout: KeyLayout,
    table: HashTable,
    /// There when the set is frozen.
    strangers: Option<Partitions>,
    level: u32,
    reservation: Reservation,
    place: Place,
}

impl Deduplicator {
    /// An empty set of rows of these types, on a level of partitioning.
    pub fn new(types: &[SqlType], level: u32, place: &Place) -> Self {
        let layout = KeyLayout::new(types);
        let table = HashTable::new(&layout);
        Deduplicator {
            layout,
            table,
            strangers: None,
            level,
            reservation: place.reserve(),
            place: place.clone(),
        }
    }

    /// The numbers of the batch's rows that were never seen before. Rows that the frozen set does not know are kept for
    /// [`Deduplicator::finish`].
    pub async fn offer(&mut self, cx: &Cx, batch: &Batch) -> Result<UInt32Array> {
        let keys = self.layout.encode(&batch.columns, batch.row_count)?;
        if let Some(strangers) = &mut self.strangers {
            let table = &self.table;
            strangers.write(cx, batch, &keys.hashes, |row| table.find(&keys, row).is_none()).await?;
            return Ok(UInt32Array::from(Vec::<u32>::new()));
        }
        let mut fresh = Vec::with_capacity(batch.row_count);
        for row in 0..batch.row_count {
            if self.table.insert(&keys, row)?.1 {
                fresh.push(row as u32);
            }
        }
        if self.reservation.set(self.table.memory_bytes()) && self.level < LEVEL_MAX {
            self.strangers = Some(Partitions::new(&self.place, self.level));
        }
        Ok(UInt32Array::from(fresh))
    }

    /// Empties the set, and gives the rows that it did not know: each file stands for itself, on the next level.
    pub async fn finish(&mut self, cx: &Cx) -> Result<Vec<SpillReader>> {
        self.table = HashTable::new(&self.layout);
        self.reservation.set(0);
        match self.strangers.take() {
            Some(strangers) => Ok(strangers.finish(cx).await?.into_iter().flatten().collect()),
            None => Ok(Vec::new()),
        }
    }
}

/// See the module.
pub struct Distinct {
    source: Source,
    types: Vec<SqlType>,
    seen: Deduplicator,
    waiting: Vec<(SpillReader, u32)>,
    place: Place,
}

impl Distinct {
    /// Of rows of these types.
    pub fn new(input: BoxOperator, types: &[SqlType], place: Place) -> Self {
        let seen = Deduplicator::new(types, 0, &place);
        Distinct { source: Source::Operator(input), types: types.to_vec(), seen, waiting: Vec::new(), place }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        loop {
            let Some(batch) = self.source.next(cx).await? else {
                let level = self.seen.level + 1;
                let files = self.seen.finish(cx).await?;
                self.waiting.extend(files.into_iter().map(|file| (file, level)));
                let Some((file, level)) = self.waiting.pop() else { return Ok(None) };
                self.source = Source::File(file);
                self.seen = Deduplicator::new(&self.types, level, &self.place);
                continue;
            };
            cx.charge(batch_bytes(&batch)).await?;
            let fresh = self.seen.offer(cx, &batch).await?;
            if fresh.values().len() == batch.row_count && batch.row_count > 0 {
                return Ok(Some(batch));
            }
            if !fresh.values().is_empty() {
                return take(&batch, &fresh).map(Some);
            }
        }
    }
}

impl Operator for Distinct {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
