//! Relations of the running database ([`crate::system::LiveView`]): the engine gives their rows part by part, when they are asked for.

use super::Batch;
use super::query::{Operator, Place};
use crate::columns::ColumnBuilder;
use crate::datum::Datum;
use crate::system::LiveView;
use crate::types::SqlType;
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Result};

/// See the module.
pub struct LiveScan {
    view: &'static LiveView,
    columns: Vec<usize>,
    types: Vec<SqlType>,
    place: Place,
    next_part: u64,
    rows: std::vec::IntoIter<Vec<Datum>>,
}

impl LiveScan {
    /// These columns of `view`.
    pub fn new(view: &'static LiveView, columns: Vec<usize>, types: Vec<SqlType>, place: Place) -> Self {
        LiveScan { view, columns, types, place, next_part: 0, rows: Vec::new().into_iter() }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        while self.rows.len() == 0 {
            let environment = &self.place.shared.context.environment;
            let part = environment.live_rows(cx, self.view.what, &self.columns, self.next_part).await?;
            let Some(rows) = part else { return Ok(None) };
            self.next_part += 1;
            self.rows = rows.into_iter();
            cx.charge(64).await?;
        }
        let row_count = self.rows.len().min(BATCH_ROW_COUNT);
        let mut builders: Vec<_> = self.types.iter().map(|&ty| ColumnBuilder::new(ty, row_count)).collect();
        for row in self.rows.by_ref().take(row_count) {
            for (column, builder) in self.columns.iter().zip(&mut builders) {
                builder.push(&row[*column])?;
            }
        }
        cx.charge(32 * row_count * self.columns.len().max(1)).await?;
        let columns = builders.into_iter().map(ColumnBuilder::finish).collect::<Result<_>>()?;
        Ok(Some(Batch { columns, row_count }))
    }
}

impl Operator for LiveScan {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
