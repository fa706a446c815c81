//! LIMIT and OFFSET. It stops pulling when it has what it wants.

use super::Batch;
use super::query::{BoxOperator, Operator, Place};
use crate::datum::Datum;
use crate::eval;
use crate::expr::Expr;
use crate::functions::EvalContext;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState};

/// See the module.
pub struct Limit {
    input: BoxOperator,
    limit: Option<Expr>,
    offset: Option<Expr>,
    place: Place,
    /// Rows to skip and rows to give, once they are known.
    left: Option<(u64, u64)>,
}

impl Limit {
    /// Over `input`.
    pub fn new(input: BoxOperator, limit: Option<Expr>, offset: Option<Expr>, place: Place) -> Self {
        Limit { input, limit, offset, place, left: None }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        let (mut skip, mut give) = match self.left {
            Some(left) => left,
            None => {
                let exprs = (&self.limit, &self.offset);
                self.place.shared.evaluate(cx, |context| counts(exprs, context)).await?
            }
        };
        self.left = Some((skip, give));
        while give > 0 {
            cx.charge(64).await?;
            let Some(batch) = self.input.next(cx).await? else { return Ok(None) };
            let skipped = skip.min(batch.row_count as u64) as usize;
            skip -= skipped as u64;
            let row_count = give.min((batch.row_count - skipped) as u64) as usize;
            give -= row_count as u64;
            self.left = Some((skip, give));
            if row_count == batch.row_count {
                return Ok(Some(batch));
            }
            if row_count > 0 {
                let columns = batch.columns.iter().map(|column| column.slice(skipped, row_count)).collect();
                return Ok(Some(Batch { columns, row_count }));
            }
        }
        Ok(None)
    }
}

/// Rows to skip and rows to give.
fn counts((limit, offset): (&Option<Expr>, &Option<Expr>), context: &EvalContext<'_>) -> Result<(u64, u64)> {
    let offset = count(offset, 0, context, || {
        Error::new(SqlState::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE, "OFFSET must not be negative")
    })?;
    let limit = count(limit, u64::MAX, context, || {
        Error::new(SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE, "LIMIT must not be negative")
    })?;
    Ok((offset, limit))
}

fn count(expr: &Option<Expr>, none: u64, context: &EvalContext<'_>, negative: fn() -> Error) -> Result<u64> {
    let Some(expr) = expr else { return Ok(none) };
    match eval::constant(expr, context)? {
        Datum::Null => Ok(none),
        Datum::Int8(count) => u64::try_from(count).map_err(|_| negative()),
        _ => Err(Error::internal("LIMIT and OFFSET are planned as bigint")),
    }
}

impl Operator for Limit {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
