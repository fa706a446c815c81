//! Keeps the rows for which a predicate is true.

use super::Batch;
use super::query::{BoxOperator, Operator, Place, batch_bytes};
use crate::eval;
use crate::expr::Expr;
use crate::functions::EvalContext;
use crate::gather::Selection;
use arrow_array::BooleanArray;
use orrery_base::{BoxFuture, Cx, Result};

/// See the module.
pub struct Filter {
    input: OneByOne,
    predicate: Expr,
    place: Place,
}

/// An input whose rows are given one by one where what is done with them has effects: no row is asked about that a LIMIT above
/// does not come to.
pub struct OneByOne {
    input: BoxOperator,
    by_row: bool,
    /// What is left to give, from this row on.
    rest: Option<(Batch, usize)>,
}

impl OneByOne {
    /// Over `input`; whole batches unless `by_row`.
    pub fn new(input: BoxOperator, by_row: bool) -> Self {
        OneByOne { input, by_row, rest: None }
    }

    /// The next rows.
    pub async fn next(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        if !self.by_row {
            return self.input.next(cx).await;
        }
        loop {
            if let Some((batch, at)) = &mut self.rest
                && *at < batch.row_count
            {
                let columns = batch.columns.iter().map(|column| column.slice(*at, 1)).collect();
                *at += 1;
                return Ok(Some(Batch { columns, row_count: 1 }));
            }
            let Some(batch) = self.input.next(cx).await? else { return Ok(None) };
            self.rest = Some((batch, 0));
        }
    }
}

impl Filter {
    /// Over `input`.
    pub fn new(input: BoxOperator, predicate: Expr, place: Place) -> Self {
        let input = OneByOne::new(input, predicate.takes_advisory_locks());
        Filter { input, predicate, place }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        while let Some(batch) = self.input.next(cx).await? {
            cx.charge(batch_bytes(&batch)).await?;
            let mask = |context: &EvalContext<'_>| {
                eval::filter_mask(&self.predicate, &batch.columns, batch.row_count, context)
            };
            let mask = self.place.shared.evaluate(cx, mask).await?;
            let kept = select(&batch, &mask)?;
            if kept.row_count > 0 {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }
}

/// The rows of a batch for which the mask is true.
pub fn select(batch: &Batch, mask: &BooleanArray) -> Result<Batch> {
    let row_count = mask.true_count();
    if row_count == batch.row_count {
        return Ok(batch.clone());
    }
    let selection = Selection::of(mask);
    let columns = batch.columns.iter().map(|column| selection.filter(column)).collect::<Result<_>>()?;
    Ok(Batch { columns, row_count })
}

impl Operator for Filter {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
