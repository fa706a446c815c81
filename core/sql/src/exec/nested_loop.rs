//! For every left row, every right row. The right side is materialised once, in memory or in a temporary file, and gone
//! through once for every left batch.

use super::Batch;
use super::filter::select;
use super::memory::Reservation;
use super::partition::take;
use super::probe::{Matcher, Outer};
use super::query::{BoxOperator, Operator, Place, batch_bytes};
use super::spill::{SpillFile, SpillReader, data_types};
use crate::expr::Expr;
use crate::plan::JoinKind;
use crate::types::SqlType;
use arrow_array::{BooleanArray, UInt32Array};
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Result};

/// See the module.
pub struct NestedLoop {
    left: BoxOperator,
    right: Option<BoxOperator>,
    inner: Inner,
    matcher: Matcher,
    outer: Option<Outer>,
    /// The right batch at hand, and the next left row to go over it.
    at: Option<(Batch, usize)>,
    /// FULL: which right rows have a match, those of the batches before the one at hand, and whether the left side ended.
    matched: Vec<bool>,
    passed: usize,
    is_left_done: bool,
    reservation: Reservation,
    place: Place,
}

/// The right side.
enum Inner {
    Memory { batches: Vec<Batch>, next: usize },
    File(SpillReader),
}

impl NestedLoop {
    /// Joins on `on`; without it every pair is a match.
    pub fn new(
        left: BoxOperator,
        right: BoxOperator,
        (left_types, right_types): (Vec<SqlType>, Vec<SqlType>),
        kind: JoinKind,
        on: Option<Expr>,
        place: Place,
    ) -> Self {
        NestedLoop {
            left,
            right: Some(right),
            inner: Inner::Memory { batches: Vec::new(), next: 0 },
            matcher: Matcher { kind, condition: on, left_types, right_types },
            outer: None,
            at: None,
            matched: Vec::new(),
            passed: 0,
            is_left_done: false,
            reservation: place.reserve(),
            place,
        }
    }

    async fn materialise(&mut self, cx: &Cx, mut right: BoxOperator) -> Result<()> {
        let mut batches: Vec<Batch> = Vec::new();
        let mut bytes = 0;
        let mut file: Option<SpillFile> = None;
        while let Some(batch) = right.next(cx).await? {
            if batch.row_count == 0 {
                continue;
            }
            cx.charge(batch_bytes(&batch)).await?;
            if let Some(file) = &mut file {
                file.write(cx, &batch).await?;
                continue;
            }
            bytes += batch_bytes(&batch);
            batches.push(batch);
            if self.reservation.set(bytes) {
                let mut spilled = SpillFile::new(&self.place, data_types(&batches[0]), cx);
                for batch in std::mem::take(&mut batches) {
                    spilled.write(cx, &batch).await?;
                }
                self.reservation.set(0);
                file = Some(spilled);
            }
        }
        self.inner = match file {
            Some(file) => Inner::File(file.into_reader(cx).await?),
            None => Inner::Memory { batches, next: 0 },
        };
        Ok(())
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        loop {
            if self.is_left_done {
                return self.right_only(cx).await;
            }
            if self.outer.is_none() {
                let Some(batch) = self.left.next(cx).await? else {
                    if self.matcher.kind != JoinKind::Full {
                        return Ok(None);
                    }
                    if let Some(right) = self.right.take() {
                        self.materialise(cx, right).await?;
                    }
                    self.is_left_done = true;
                    self.passed = 0;
                    self.inner.restart();
                    continue;
                };
                if batch.row_count == 0 {
                    continue;
                }
                if let Some(right) = self.right.take() {
                    self.materialise(cx, right).await?;
                }
                self.outer = Some(Outer::new(batch));
                self.passed = 0;
                self.inner.restart();
            }
            let Some(outer) = &mut self.outer else { continue };
            // Semi and anti joins, once every row has its match, have nothing more to learn.
            let decided = matches!(self.matcher.kind, JoinKind::Semi | JoinKind::Anti) && outer.all_matched();
            if self.at.is_none() && !decided {
                self.at = self.inner.next(cx).await?.map(|batch| (batch, 0));
            }
            let joined = match &mut self.at {
                Some((right, row)) if !decided => {
                    let (left_rows, right_rows) = block(outer.batch.row_count, row, right)?;
                    cx.charge(batch_bytes(&right_rows)).await?;
                    let (first, width) = (self.passed, right.row_count);
                    if self.matcher.kind == JoinKind::Full && self.matched.len() < first + width {
                        self.matched.resize(first + width, false);
                    }
                    let mut matched = |pair: usize| self.matched[first + pair % width] = true;
                    let place = &self.place;
                    let candidates =
                        self.matcher.candidates(cx, outer, &left_rows, right_rows, place, &mut matched);
                    let joined = candidates.await?;
                    if *row == outer.batch.row_count {
                        self.at = None;
                        self.passed += width;
                    }
                    joined
                }
                _ => {
                    let leftover = self.matcher.leftover(outer)?;
                    (self.outer, self.at) = (None, None);
                    leftover
                }
            };
            if joined.is_some() {
                return Ok(joined);
            }
        }
    }
}

impl NestedLoop {
    /// FULL: the next right rows that no left row matched.
    async fn right_only(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        while let Some(right) = self.inner.next(cx).await? {
            cx.charge(batch_bytes(&right)).await?;
            let first = self.passed;
            self.passed += right.row_count;
            let is_alone = |row| Some(!self.matched.get(first + row).copied().unwrap_or(false));
            let alone = select(&right, &BooleanArray::from_iter((0..right.row_count).map(is_alone)))?;
            if alone.row_count > 0 {
                return self.matcher.right_only(alone).map(Some);
            }
        }
        Ok(None)
    }
}

/// The next pairs: some left rows from `row` on, each with all rows of `right`.
fn block(left_count: usize, row: &mut usize, right: &Batch) -> Result<(Vec<u32>, Batch)> {
    let lefts = (BATCH_ROW_COUNT / right.row_count).clamp(1, left_count - *row);
    let first = *row;
    *row += lefts;
    let left_rows =
        (first..*row).flat_map(|left| std::iter::repeat_n(left as u32, right.row_count)).collect();
    if lefts == 1 {
        return Ok((left_rows, right.clone()));
    }
    let right_rows = UInt32Array::from_iter_values((0..lefts).flat_map(|_| 0..right.row_count as u32));
    Ok((left_rows, take(right, &right_rows)?))
}

impl Inner {
    fn restart(&mut self) {
        match self {
            Inner::Memory { next, .. } => *next = 0,
            Inner::File(reader) => reader.restart(),
        }
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        match self {
            Inner::Memory { batches, next } => {
                *next += 1;
                Ok(batches.get(*next - 1).cloned())
            }
            Inner::File(reader) => reader.next(cx).await,
        }
    }
}

impl Operator for NestedLoop {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
