//! WITH RECURSIVE: the rows of the anchor, then those of the step, run over the rows that came last until it gives none. What
//! goes on for ever is ended by LIMIT above it, by cancellation, or by the budget.

use super::Batch;
use super::distinct::Deduplicator;
use super::memory::Reservation;
use super::partition::{LEVEL_MAX, take};
use super::query::{BoxOperator, Operator, Place, batch_bytes, build};
use crate::plan::PlanNode;
use crate::types::SqlType;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState};
use std::sync::Arc;

/// See the module.
pub struct Recursive {
    /// The anchor, then the step of each round.
    running: Option<BoxOperator>,
    /// The step, and its first node's number in the metrics.
    step: (PlanNode, usize),
    working: usize,
    /// UNION: the rows that came before.
    seen: Option<Deduplicator>,
    /// What this round gave.
    fresh: Vec<Batch>,
    fresh_bytes: usize,
    reservation: Reservation,
    place: Place,
}

impl Recursive {
    /// Of rows of these types.
    pub fn new(
        anchor: BoxOperator,
        step: (PlanNode, usize),
        working: usize,
        distinct: bool,
        types: &[SqlType],
        place: Place,
    ) -> Self {
        // What came before cannot be parted into files: each new row is asked for at once.
        let seen = distinct.then(|| Deduplicator::new(types, LEVEL_MAX, &place));
        let reservation = place.reserve();
        Recursive {
            running: Some(anchor),
            step,
            working,
            seen,
            fresh: Vec::new(),
            fresh_bytes: 0,
            reservation,
            place,
        }
    }

    async fn next_batch(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        loop {
            cx.charge(128).await?;
            let Some(running) = &mut self.running else { return Ok(None) };
            let Some(batch) = running.next(cx).await? else {
                let rows = Arc::new(std::mem::take(&mut self.fresh));
                self.fresh_bytes = 0;
                self.running = None;
                if !rows.is_empty() {
                    let shared = self.place.shared.with_working(self.working, rows);
                    self.running = Some(build(&self.step.0, &shared, self.step.1)?);
                }
                continue;
            };
            let batch = match &mut self.seen {
                None => batch,
                Some(seen) => {
                    let fresh = seen.offer(cx, &batch).await?;
                    take(&batch, &fresh)?
                }
            };
            if batch.row_count == 0 {
                continue;
            }
            cx.charge(batch_bytes(&batch)).await?;
            self.fresh_bytes += batch_bytes(&batch);
            self.fresh.push(batch.clone());
            self.reservation.set(self.fresh_bytes);
            let memory = &self.place.shared.memory;
            if memory.used_bytes() > memory.budget_bytes().saturating_mul(2) {
                let message = "a recursive query holds more rows than memory for it";
                return Err(Error::new(SqlState::OUT_OF_MEMORY, message));
            }
            return Ok(Some(batch));
        }
    }
}

impl Operator for Recursive {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.next_batch(cx))
    }
}

/// The rows that came last.
pub struct Working {
    working: usize,
    columns: Vec<usize>,
    next: usize,
    place: Place,
}

impl Working {
    /// Of recursion number `working`: these of its columns.
    pub fn new(working: usize, columns: Vec<usize>, place: Place) -> Self {
        Working { working, columns, next: 0, place }
    }
}

impl Operator for Working {
    fn next<'a>(&'a mut self, _cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            let tables = &self.place.shared.working;
            let Some((_, rows)) = tables.iter().find(|it| it.0 == self.working) else {
                return Err(Error::internal("a recursion's rows were asked for outside of it"));
            };
            let Some(batch) = rows.get(self.next) else { return Ok(None) };
            self.next += 1;
            let columns = self.columns.iter().map(|column| batch.columns[*column].clone()).collect();
            Ok(Some(Batch { columns, row_count: batch.row_count }))
        })
    }
}
