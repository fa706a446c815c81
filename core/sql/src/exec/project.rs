//! Computes columns.

use super::Batch;
use super::query::{BoxOperator, Operator, Place, batch_bytes, reserve_sequences};
use crate::eval;
use crate::expr::Expr;
use crate::functions::EvalContext;
use orrery_base::{BoxFuture, Cx, Result};

/// See the module.
pub struct Project {
    input: BoxOperator,
    exprs: Vec<Expr>,
    place: Place,
}

impl Project {
    /// Over `input`.
    pub fn new(input: BoxOperator, exprs: Vec<Expr>, place: Place) -> Self {
        Project { input, exprs, place }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        let Some(batch) = self.input.next(cx).await? else { return Ok(None) };
        reserve_sequences(cx, &self.place.shared, &self.exprs, batch.row_count).await?;
        let mut columns = Vec::with_capacity(self.exprs.len());
        for expr in &self.exprs {
            let compute = |context: &EvalContext<'_>| {
                eval::evaluate_array(expr, &batch.columns, batch.row_count, context)
            };
            columns.push(self.place.shared.evaluate(cx, compute).await?);
        }
        let batch = Batch { columns, row_count: batch.row_count };
        cx.charge(batch_bytes(&batch)).await?;
        Ok(Some(batch))
    }
}

impl Operator for Project {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
