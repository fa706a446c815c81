//! Rows of expressions without columns.

use super::Batch;
use super::query::{Operator, Place, reserve_sequences};
use crate::columns::ColumnBuilder;
use crate::eval;
use crate::expr::Expr;
use crate::types::SqlType;
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Result};

/// See the module.
pub struct Values {
    rows: Vec<Vec<Expr>>,
    done_count: usize,
    types: Vec<SqlType>,
    place: Place,
}

impl Values {
    /// These rows.
    pub fn new(rows: Vec<Vec<Expr>>, types: Vec<SqlType>, place: Place) -> Self {
        Values { rows, done_count: 0, types, place }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        let rows = &self.rows[self.done_count..];
        let rows = &rows[..rows.len().min(BATCH_ROW_COUNT)];
        if rows.is_empty() {
            return Ok(None);
        }
        let mut builders: Vec<_> = self.types.iter().map(|&ty| ColumnBuilder::new(ty, rows.len())).collect();
        for row in rows {
            cx.charge(32 * row.len()).await?;
            reserve_sequences(cx, &self.place.shared, row, 1).await?;
            for (expr, builder) in row.iter().zip(&mut builders) {
                let value = self.place.shared.evaluate(cx, |context| eval::constant(expr, context)).await?;
                builder.push(&value)?;
            }
        }
        self.done_count += rows.len();
        let columns = builders.into_iter().map(ColumnBuilder::finish).collect::<Result<_>>()?;
        Ok(Some(Batch { columns, row_count: rows.len() }))
    }
}

impl Operator for Values {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
