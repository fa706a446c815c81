//! Nested-loop join: every left row with every right row. The right side is read once and kept, in a temporary file when
//! it does not fit the budget.

use super::Batch;
use super::join::leftovers;
use super::memory::Reservation;
use super::query::{Operator, Shared, batch_bytes, filter_batch, take_rows};
use super::rows::{RowEncoder, values_of};
use super::source::read_batch;
use super::spill::{SpillFile, SpillReader};
use crate::eval;
use crate::expr::Expr;
use crate::plan::JoinKind;
use crate::types::SqlType;
use arrow_array::{BooleanArray, UInt32Array};
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Result};
use std::sync::Arc;

/// The right side, kept.
struct Kept {
    batches: Vec<Batch>,
    file: Option<SpillFile>,
}

/// A pass over the right side for one left batch.
struct Pass {
    left: Batch,
    matched: Vec<bool>,
    next_batch: usize,
    reader: Option<SpillReader>,
    right: Option<Batch>,
    /// Next left row to pair with `right`.
    row: usize,
}

/// See the file's head.
pub struct NestedLoop {
    shared: Arc<Shared>,
    left: Box<dyn Operator>,
    right: Option<Box<dyn Operator>>,
    types: Vec<Vec<SqlType>>,
    kind: JoinKind,
    on: Option<Expr>,
    kept: Kept,
    pass: Option<Pass>,
    reservation: Reservation,
}

impl NestedLoop {
    /// See `Op::NestedLoopJoin`.
    pub fn new(
        shared: &Arc<Shared>,
        left: Box<dyn Operator>,
        right: Box<dyn Operator>,
        types: Vec<Vec<SqlType>>,
        kind: JoinKind,
        on: Option<Expr>,
    ) -> Self {
        NestedLoop {
            shared: shared.clone(),
            left,
            right: Some(right),
            types,
            kind,
            on,
            kept: Kept { batches: Vec::new(), file: None },
            pass: None,
            reservation: Reservation::new(&shared.memory),
        }
    }

    async fn keep(&mut self, cx: &Cx, right: &mut dyn Operator) -> Result<()> {
        while let Some(batch) = right.next(cx).await? {
            if self.kept.file.is_none() {
                self.reservation.grow(batch_bytes(&batch));
                self.kept.batches.push(batch);
                if !self.reservation.is_over() {
                    continue;
                }
                self.kept.file = Some(SpillFile::new(&self.shared, cx));
                for batch in std::mem::take(&mut self.kept.batches) {
                    self.write(cx, &batch).await?;
                }
                self.reservation.set(0);
            } else {
                self.write(cx, &batch).await?;
            }
        }
        if let Some(file) = &mut self.kept.file {
            file.flush(cx).await?;
        }
        Ok(())
    }

    async fn write(&mut self, cx: &Cx, batch: &Batch) -> Result<()> {
        let mut records = Vec::with_capacity(batch.row_count);
        {
            let values = values_of(batch);
            let encoder = RowEncoder::new(&values)?;
            for row in 0..batch.row_count {
                let mut record = Vec::new();
                encoder.encode(row, &mut record);
                records.push(record);
            }
        }
        if let Some(file) = &mut self.kept.file {
            for record in records {
                file.push(cx, &record).await?;
            }
        }
        Ok(())
    }
}

impl Pass {
    async fn advance(&mut self, cx: &Cx, kept: &Kept, types: &[SqlType]) -> Result<bool> {
        self.row = 0;
        self.right = match &mut self.reader {
            Some(reader) => read_batch(cx, reader, types).await?,
            None => kept.batches.get(self.next_batch).cloned(),
        };
        self.next_batch += 1;
        Ok(self.right.is_some())
    }

    /// Left rows paired with the whole right batch, as many as make about one batch.
    fn pair(&mut self, shared: &Shared, on: Option<&Expr>) -> Result<Option<Batch>> {
        let Some(right) = &self.right else { return Ok(None) };
        let rows = (BATCH_ROW_COUNT / right.row_count.max(1)).max(1).min(self.left.row_count - self.row);
        if rows == 0 || right.row_count == 0 {
            return Ok(None);
        }
        let count = right.row_count as u32;
        let first = self.row as u32;
        self.row += rows;
        let left_rows: Vec<u32> = (0..rows as u32 * count).map(|pair| first + pair / count).collect();
        let right_rows: Vec<u32> = (0..rows as u32 * count).map(|pair| pair % count).collect();
        let mut columns = take_rows(&self.left.columns, &UInt32Array::from(left_rows.clone()))?;
        columns.extend(take_rows(&right.columns, &UInt32Array::from(right_rows))?);
        let batch = Batch { columns, row_count: left_rows.len() };
        let mask = match on {
            Some(on) => eval::filter_mask(on, &batch.columns, batch.row_count, &shared.eval())?,
            None => BooleanArray::from(vec![true; batch.row_count]),
        };
        mask.values().set_indices().for_each(|pair| self.matched[left_rows[pair] as usize] = true);
        filter_batch(batch, &mask).map(Some)
    }
}

impl Operator for NestedLoop {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            if let Some(mut right) = self.right.take() {
                self.keep(cx, right.as_mut()).await?;
            }
            loop {
                let Some(pass) = &mut self.pass else {
                    let Some(left) = self.left.next(cx).await? else { return Ok(None) };
                    let matched = vec![false; left.row_count];
                    let reader = self.kept.file.as_ref().map(SpillFile::reader);
                    let mut pass = Pass { left, matched, next_batch: 0, reader, right: None, row: 0 };
                    pass.advance(cx, &self.kept, &self.types[1]).await?;
                    self.pass = Some(pass);
                    continue;
                };
                cx.charge(BATCH_ROW_COUNT * 8).await?;
                if let Some(batch) = pass.pair(&self.shared, self.on.as_ref())? {
                    if batch.row_count > 0 && matches!(self.kind, JoinKind::Inner | JoinKind::Left) {
                        return Ok(Some(batch));
                    }
                    continue;
                }
                if pass.right.is_some() && pass.advance(cx, &self.kept, &self.types[1]).await? {
                    continue;
                }
                let done = self.pass.take().expect("a pass under way");
                let rest = leftovers(self.kind, done.left, &done.matched, &self.types[1])?;
                if rest.is_some() {
                    return Ok(rest);
                }
            }
        })
    }
}
