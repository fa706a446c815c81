//! ORDER BY: stable, in memory, by sorted runs in temporary files beyond the budget, or as a top-N that forgets what
//! cannot come among the first rows.
//!
//! Rows are compared by their encoded keys ([`super::keys`]); equal keys keep the order in which their rows came.

use super::Batch;
use super::filter::select;
use super::keys::{Bytes, SortForm, encode_sort};
use super::memory::Reservation;
use super::probe::empty;
use super::query::{BoxOperator, Operator, Place, batch_bytes};
use super::sort_merge::{Merge, reduce};
use super::spill::{SpillFile, SpillReader, data_types};
use crate::eval;
use crate::gather;
use crate::plan::SortKey;
use crate::types::SqlType;
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray};
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Error, Result};
use std::cmp::Ordering;
use std::sync::Arc;

/// Rows in the blocks of a run: a merge holds one block a run.
pub const RUN_BLOCK_ROW_COUNT: usize = 1024;

/// Rows sorted without giving way.
const SEGMENT_ROW_COUNT: usize = 8192;

/// See the module.
pub struct Sort {
    input: Option<BoxOperator>,
    keys: Vec<SortKey>,
    forms: Vec<SortForm>,
    limit: Option<usize>,
    types: Vec<SqlType>,
    held: Held,
    runs: Vec<SpillReader>,
    output: Output,
    reservation: Reservation,
    place: Place,
}

/// Rows in memory.
#[derive(Default)]
struct Held {
    batches: Vec<(Batch, Bytes)>,
    row_count: usize,
    bytes: usize,
    /// Top-N: rows with this key or a greater one cannot come among the first any more.
    threshold: Option<Vec<u8>>,
}

enum Output {
    Nothing,
    Memory { order: Vec<Item>, at: usize },
    Merge(Box<Merge>),
}

/// A row in memory: the first bytes of its key, and where it is.
#[derive(Clone, Copy)]
struct Item {
    prefix: u64,
    batch: u32,
    row: u32,
}

impl Sort {
    /// Sorts rows of these types.
    pub fn new(
        input: BoxOperator,
        keys: Vec<SortKey>,
        limit: Option<u64>,
        types: Vec<SqlType>,
        place: Place,
    ) -> Self {
        let form = |key: &SortKey| SortForm {
            ty: key.expr.ty(),
            descending: key.descending,
            nulls_first: key.nulls_first,
        };
        Sort {
            input: Some(input),
            forms: keys.iter().map(form).collect(),
            keys,
            limit: limit.and_then(|limit| usize::try_from(limit).ok()),
            types,
            held: Held::default(),
            runs: Vec::new(),
            output: Output::Nothing,
            reservation: place.reserve(),
            place,
        }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        if let Some(input) = self.input.take() {
            if self.limit == Some(0) {
                return Ok(None);
            }
            self.read(cx, input).await?;
        }
        let batch = match &mut self.output {
            Output::Nothing => None,
            Output::Memory { order, at } => {
                let end = order.len().min(*at + BATCH_ROW_COUNT);
                let batch = self.held.gather(&order[*at..end], &self.types)?;
                *at = end;
                (batch.row_count > 0).then_some(batch)
            }
            Output::Merge(merge) => merge.next(cx).await?.map(|(batch, _)| batch),
        };
        match &batch {
            Some(batch) => cx.charge(batch_bytes(batch)).await?,
            None => {
                (self.output, self.held) = (Output::Nothing, Held::default());
                self.reservation.set(0);
            }
        }
        Ok(batch)
    }

    async fn read(&mut self, cx: &Cx, mut input: BoxOperator) -> Result<()> {
        while let Some(batch) = input.next(cx).await? {
            cx.charge(2 * batch_bytes(&batch)).await?;
            self.take_in(batch)?;
            if let Some(limit) = self.limit
                && self.held.row_count / 2 >= limit.max(BATCH_ROW_COUNT)
            {
                self.held.keep_first(cx, limit, &self.types).await?;
            }
            if self.reservation.set(self.held.bytes) {
                self.spill(cx).await?;
            }
        }
        drop(input);
        if self.runs.is_empty() {
            let mut order = self.held.order(cx).await?;
            order.truncate(self.limit.unwrap_or(usize::MAX));
            self.output = Output::Memory { order, at: 0 };
            return Ok(());
        }
        self.spill(cx).await?;
        let runs = reduce(cx, std::mem::take(&mut self.runs), &self.types, self.limit, &self.place).await?;
        self.output = Output::Merge(Box::new(Merge::open(cx, runs, &self.types, self.limit).await?));
        Ok(())
    }

    fn take_in(&mut self, batch: Batch) -> Result<()> {
        let context = self.place.eval();
        let evaluate =
            |key: &SortKey| eval::evaluate_array(&key.expr, &batch.columns, batch.row_count, &context);
        let columns = self.keys.iter().map(evaluate).collect::<Result<Vec<ArrayRef>>>()?;
        let keys = encode_sort(&columns, &self.forms, batch.row_count)?;
        let Some(threshold) = &self.held.threshold else {
            self.held.push(batch, keys);
            return Ok(());
        };
        let below = BooleanArray::from_iter(
            (0..batch.row_count).map(|row| Some(keys.row(row) < threshold.as_slice())),
        );
        if below.true_count() == batch.row_count {
            self.held.push(batch, keys);
            return Ok(());
        }
        let batch = select(&batch, &below)?;
        if batch.row_count > 0 {
            let columns: Result<Vec<_>> =
                columns.iter().map(|column| gather::filter(column, &below)).collect();
            let keys = encode_sort(&columns?, &self.forms, batch.row_count)?;
            self.held.push(batch, keys);
        }
        Ok(())
    }

    /// Writes what is in memory as a run: the rows, with their keys as a last column.
    async fn spill(&mut self, cx: &Cx) -> Result<()> {
        let mut order = self.held.order(cx).await?;
        order.truncate(self.limit.unwrap_or(usize::MAX));
        let mut file: Option<SpillFile> = None;
        for items in order.chunks(RUN_BLOCK_ROW_COUNT) {
            let mut block = self.held.gather(items, &self.types)?;
            let keys = items.iter().map(|item| self.held.key(item));
            block.columns.push(Arc::new(BinaryArray::from_iter_values(keys)));
            let file = file.get_or_insert_with(|| SpillFile::new(&self.place, data_types(&block), cx));
            file.write(cx, &block).await?;
        }
        // A threshold holds for all rows that come, whatever run the rows below it are in.
        let threshold = self.held.threshold.take();
        self.held = Held { threshold, ..Held::default() };
        self.reservation.set(0);
        if let Some(file) = file {
            self.runs.push(file.into_reader(cx).await?);
        }
        Ok(())
    }
}

impl Held {
    fn push(&mut self, batch: Batch, keys: Bytes) {
        if batch.row_count > 0 {
            self.row_count += batch.row_count;
            self.bytes += batch_bytes(&batch) + keys.memory_bytes() + batch.row_count * size_of::<Item>();
            self.batches.push((batch, keys));
        }
    }

    fn key(&self, item: &Item) -> &[u8] {
        self.batches[item.batch as usize].1.row(item.row as usize)
    }

    fn compare(&self, a: &Item, b: &Item) -> Ordering {
        a.prefix
            .cmp(&b.prefix)
            .then_with(|| self.key(a).cmp(self.key(b)))
            .then_with(|| (a.batch, a.row).cmp(&(b.batch, b.row)))
    }

    /// All rows in order: segments are sorted, then merged pairwise, giving way in between.
    async fn order(&self, cx: &Cx) -> Result<Vec<Item>> {
        let mut items = Vec::with_capacity(self.row_count);
        for (number, (batch, keys)) in self.batches.iter().enumerate() {
            let batch_number =
                u32::try_from(number).map_err(|_| Error::internal("a sort of 4 billion batches"))?;
            for row in 0..batch.row_count {
                items.push(Item { prefix: prefix(keys.row(row)), batch: batch_number, row: row as u32 });
            }
        }
        for segment in items.chunks_mut(SEGMENT_ROW_COUNT) {
            segment.sort_unstable_by(|a, b| self.compare(a, b));
            cx.charge(64 * segment.len()).await?;
        }
        let mut width = SEGMENT_ROW_COUNT;
        let mut spare = Vec::new();
        while width < items.len() {
            spare.clear();
            spare.reserve(items.len());
            for pair in items.chunks(2 * width) {
                let (left, right) = pair.split_at(width.min(pair.len()));
                self.merge(cx, left, right, &mut spare).await?;
            }
            std::mem::swap(&mut items, &mut spare);
            width *= 2;
        }
        Ok(items)
    }

    async fn merge(
        &self,
        cx: &Cx,
        mut left: &[Item],
        mut right: &[Item],
        into: &mut Vec<Item>,
    ) -> Result<()> {
        while let (Some(a), Some(b)) = (left.first(), right.first()) {
            if self.compare(a, b) == Ordering::Less {
                into.push(*a);
                left = &left[1..];
            } else {
                into.push(*b);
                right = &right[1..];
            }
            if into.len().is_multiple_of(SEGMENT_ROW_COUNT) {
                cx.charge(32 * SEGMENT_ROW_COUNT).await?;
            }
        }
        into.extend_from_slice(left);
        into.extend_from_slice(right);
        Ok(())
    }

    /// These rows, as a batch.
    fn gather(&self, items: &[Item], types: &[SqlType]) -> Result<Batch> {
        let picks: Vec<_> = items.iter().map(|item| (item.batch as usize, item.row as usize)).collect();
        let batches: Vec<&Batch> = self.batches.iter().map(|(batch, _)| batch).collect();
        interleave(&batches, &picks, types)
    }

    /// Forgets all rows but the first `limit`.
    async fn keep_first(&mut self, cx: &Cx, limit: usize, types: &[SqlType]) -> Result<()> {
        let mut order = self.order(cx).await?;
        order.truncate(limit);
        let threshold = order.last().filter(|_| order.len() == limit).map(|item| self.key(item).to_vec());
        let mut kept = Held::default();
        for items in order.chunks(BATCH_ROW_COUNT) {
            let mut keys = Bytes::default();
            items.iter().try_for_each(|item| keys.push(self.key(item)))?;
            kept.push(self.gather(items, types)?, keys);
        }
        kept.threshold = threshold.or(self.threshold.take());
        *self = kept;
        Ok(())
    }
}

/// The first eight bytes of a key, so that most comparisons are of two integers.
fn prefix(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = key.len().min(8);
    bytes[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(bytes)
}

/// Rows of several batches: by batch and row number.
pub fn interleave(batches: &[&Batch], picks: &[(usize, usize)], types: &[SqlType]) -> Result<Batch> {
    if picks.is_empty() || batches.is_empty() {
        return empty(types);
    }
    let column = |index: usize| {
        let arrays: Vec<&dyn Array> = batches.iter().map(|batch| &*batch.columns[index]).collect();
        gather::interleave(&arrays, picks)
    };
    let columns = (0..batches[0].columns.len()).map(column).collect::<Result<_>>()?;
    Ok(Batch { columns, row_count: picks.len() })
}

impl Operator for Sort {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
