//! Computes columns.

use super::filter::OneByOne;
use super::query::{BoxOperator, Operator, Place, batch_bytes, reserve_sequences};
use super::{Batch, Shared};
use crate::eval;
use crate::expr::Expr;
use crate::functions::EvalContext;
use crate::gather;
use arrow_array::{Array, ArrayRef};
use orrery_base::{BoxFuture, Cx, Result};

/// See the module.
pub struct Project {
    input: OneByOne,
    exprs: Vec<Expr>,
    /// Several calls of sequence functions: each row's come before the next row's.
    by_row: bool,
    place: Place,
}

impl Project {
    /// Over `input`.
    pub fn new(input: BoxOperator, exprs: Vec<Expr>, place: Place) -> Self {
        let by_row = exprs.iter().map(Expr::sequence_call_count).sum::<usize>() > 1;
        let input = OneByOne::new(input, exprs.iter().any(Expr::takes_advisory_locks));
        Project { input, exprs, by_row, place }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        let Some(batch) = self.input.next(cx).await? else { return Ok(None) };
        reserve_sequences(cx, &self.place.shared, &self.exprs, batch.row_count).await?;
        let shared = &*self.place.shared;
        let columns = if self.by_row && batch.row_count > 1 {
            let mut rows = Vec::with_capacity(batch.row_count);
            for row in 0..batch.row_count {
                let one: Vec<ArrayRef> = batch.columns.iter().map(|column| column.slice(row, 1)).collect();
                rows.push(compute(&self.exprs, shared, cx, &one, 1).await?);
            }
            let whole = |at: usize| {
                let parts: Vec<&dyn Array> = rows.iter().map(|row| &*row[at]).collect();
                gather::concat(&parts)
            };
            (0..self.exprs.len()).map(whole).collect::<Result<_>>()?
        } else {
            compute(&self.exprs, shared, cx, &batch.columns, batch.row_count).await?
        };
        let batch = Batch { columns, row_count: batch.row_count };
        cx.charge(batch_bytes(&batch)).await?;
        Ok(Some(batch))
    }
}

async fn compute(
    exprs: &[Expr],
    shared: &Shared,
    cx: &Cx,
    input: &[ArrayRef],
    row_count: usize,
) -> Result<Vec<ArrayRef>> {
    let mut columns = Vec::with_capacity(exprs.len());
    for expr in exprs {
        let one = |context: &EvalContext<'_>| eval::evaluate_array(expr, input, row_count, context);
        columns.push(shared.evaluate(cx, one).await?);
    }
    Ok(columns)
}

impl Operator for Project {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
