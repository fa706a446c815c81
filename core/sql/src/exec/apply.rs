//! The dependent join: the inner side runs for each distinct tuple of the values it takes from the outer side. What it gave
//! is kept for outer rows with the same tuple, as far as the budget goes.

use super::Batch;
use super::memory::Reservation;
use super::probe::{Matcher, Outer};
use super::query::{BoxOperator, Operator, Place, batch_bytes, build};
use crate::eval::subquery::Tuples;
use crate::expr::Expr;
use crate::functions::EvalContext;
use crate::gather;
use crate::plan::PlanNode;
use arrow_array::Array;
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Share of the budget that inner rows kept for later may take.
const KEPT_SHARE: usize = 8;

/// See the module.
pub struct Apply {
    left: BoxOperator,
    /// The inner side, and its first node's number in the metrics.
    right: (PlanNode, usize),
    args: Vec<(usize, Expr)>,
    matcher: Matcher,
    at: Option<At>,
    kept: BTreeMap<Vec<u8>, Arc<Vec<Batch>>>,
    kept_bytes: usize,
    reservation: Reservation,
    place: Place,
}

/// A left batch on its way.
struct At {
    outer: Outer,
    tuples: Tuples,
    /// The next row to be looked at.
    row: usize,
    /// The inner side at work for the row before, its tuple, and what it gave so far, unless that is too much to be kept.
    running: Option<(BoxOperator, Vec<u8>, Option<Vec<Batch>>)>,
}

impl Apply {
    /// Joins `left` with what `right` gives for each of its rows.
    pub fn new(
        left: BoxOperator,
        right: (PlanNode, usize),
        args: Vec<(usize, Expr)>,
        matcher: Matcher,
        place: Place,
    ) -> Self {
        let reservation = place.reserve();
        Apply {
            left,
            right,
            args,
            matcher,
            at: None,
            kept: BTreeMap::new(),
            kept_bytes: 0,
            reservation,
            place,
        }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        loop {
            if self.at.is_none() {
                let Some(batch) = self.left.next(cx).await? else { return Ok(None) };
                if batch.row_count == 0 {
                    continue;
                }
                let args: Vec<&Expr> = self.args.iter().map(|arg| &arg.1).collect();
                let tuples = |context: &EvalContext<'_>| {
                    Tuples::evaluate(args.iter().copied(), &batch.columns, batch.row_count, context)
                };
                let tuples = self.place.shared.evaluate(cx, tuples).await?;
                self.at = Some(At { outer: Outer::new(batch), tuples, row: 0, running: None });
            }
            let (left_rows, rights) = self.collect(cx).await?;
            let Some(at) = &mut self.at else { continue };
            let given = if left_rows.is_empty() {
                let given = self.matcher.leftover(&at.outer)?;
                self.at = None;
                given
            } else {
                let right = whole(&rights)?;
                let place = &self.place;
                self.matcher.candidates(cx, &mut at.outer, &left_rows, right, place, &mut |_| {}).await?
            };
            if given.is_some() {
                return Ok(given);
            }
        }
    }

    /// The next pairs, about a batch of them; none at the end of the left batch.
    async fn collect(&mut self, cx: &Cx) -> Result<(Vec<u32>, Vec<Batch>)> {
        let (mut left_rows, mut rights) = (Vec::new(), Vec::new());
        while left_rows.len() < BATCH_ROW_COUNT {
            let Some(at) = &mut self.at else { break };
            cx.charge(128).await?;
            let Some((operator, _, given)) = &mut at.running else {
                if at.row == at.outer.batch.row_count {
                    break;
                }
                let row = at.row;
                at.row += 1;
                let key = at.tuples.key(row)?;
                if let Some(known) = self.kept.get(&key) {
                    for batch in known.iter() {
                        left_rows.extend(std::iter::repeat_n(row as u32, batch.row_count));
                        rights.push(batch.clone());
                    }
                    continue;
                }
                let values = at.tuples.row(row)?;
                let params: Vec<_> =
                    self.args.iter().zip(values).map(|(arg, value)| (arg.0, value.0)).collect();
                let shared = self.place.shared.with_params(&params);
                at.running = Some((build(&self.right.0, &shared, self.right.1)?, key, Some(Vec::new())));
                continue;
            };
            match operator.next(cx).await? {
                Some(batch) if batch.row_count == 0 => {}
                Some(batch) => {
                    left_rows.extend(std::iter::repeat_n(at.row as u32 - 1, batch.row_count));
                    match given {
                        Some(given) if given.len() < 4 => given.push(batch.clone()),
                        given => *given = None,
                    }
                    rights.push(batch);
                }
                None => {
                    if let Some((_, key, Some(given))) = at.running.take() {
                        self.keep(key, given);
                    }
                }
            }
        }
        Ok((left_rows, rights))
    }

    fn keep(&mut self, key: Vec<u8>, batches: Vec<Batch>) {
        self.kept_bytes += key.len() + 96 + batches.iter().map(batch_bytes).sum::<usize>();
        self.kept.insert(key, Arc::new(batches));
        let budget = self.place.shared.memory.budget_bytes();
        if self.reservation.set(self.kept_bytes) || self.kept_bytes > budget / KEPT_SHARE {
            self.kept.clear();
            self.kept_bytes = 0;
            self.reservation.set(0);
        }
    }
}

/// Several batches as one.
fn whole(batches: &[Batch]) -> Result<Batch> {
    if let [one] = batches {
        return Ok(one.clone());
    }
    let row_count = batches.iter().map(|batch| batch.row_count).sum();
    let column = |column: usize| {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| &*batch.columns[column]).collect();
        gather::concat(&parts)
    };
    let columns = (0..batches[0].columns.len()).map(column).collect::<Result<_>>()?;
    Ok(Batch { columns, row_count })
}

impl Operator for Apply {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
