//! What all joins share: candidate pairs of a left batch, the condition on them, and the left rows without a match.

use super::Batch;
use super::filter::select;
use super::partition::take;
use super::query::Place;
use crate::columns;
use crate::eval;
use crate::expr::Expr;
use crate::functions::EvalContext;
use crate::plan::JoinKind;
use crate::types::SqlType;
use arrow_array::{BooleanArray, UInt32Array};
use orrery_base::{Cx, Result};

/// A left batch on its way through a join.
pub struct Outer {
    /// The batch.
    pub batch: Batch,
    matched: Vec<bool>,
    matched_count: usize,
}

/// The condition of a join and what it gives.
pub struct Matcher {
    /// Which rows it gives.
    pub kind: JoinKind,
    /// What must hold for a candidate, over left columns then right columns.
    pub condition: Option<Expr>,
    /// The types of the left columns.
    pub left_types: Vec<SqlType>,
    /// The types of the right columns.
    pub right_types: Vec<SqlType>,
}

impl Outer {
    /// A batch of which no row has a match yet.
    pub fn new(batch: Batch) -> Self {
        Outer { matched: vec![false; batch.row_count], batch, matched_count: 0 }
    }

    /// Whether every row has a match.
    pub fn all_matched(&self) -> bool {
        self.matched_count == self.matched.len()
    }

    fn matched(&mut self, row: u32) {
        let matched = &mut self.matched[row as usize];
        self.matched_count += usize::from(!*matched);
        *matched = true;
    }
}

impl Matcher {
    /// Judges candidates: row `left_rows[i]` of the outer batch with row i of `right`. Gives the joined rows (none for
    /// semi and anti joins, which give theirs at the end), and calls `matched` with each i that is a match. Suspends for
    /// correlated subqueries.
    pub async fn candidates(
        &self,
        cx: &Cx,
        outer: &mut Outer,
        left_rows: &[u32],
        right: Batch,
        place: &Place,
        matched: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Option<Batch>> {
        let keeps_pairs = self.kind.has_right();
        let Some(condition) = &self.condition else {
            let joined = if keeps_pairs { Some(pair(&outer.batch, left_rows, &right)?) } else { None };
            if self.kind != JoinKind::Inner {
                left_rows.iter().for_each(|&row| outer.matched(row));
            }
            if self.kind == JoinKind::Full {
                (0..left_rows.len()).for_each(matched);
            }
            return Ok(joined);
        };
        let joined = pair(&outer.batch, left_rows, &right)?;
        let mask = |context: &EvalContext<'_>| {
            eval::filter_mask(condition, &joined.columns, joined.row_count, context)
        };
        let mask = place.shared.evaluate(cx, mask).await?;
        if self.kind != JoinKind::Inner {
            for (index, &row) in left_rows.iter().enumerate() {
                if mask.value(index) {
                    outer.matched(row);
                }
            }
        }
        if self.kind == JoinKind::Full {
            mask.values().set_indices().for_each(matched);
        }
        if !keeps_pairs || mask.true_count() == 0 {
            return Ok(None);
        }
        select(&joined, &mask).map(Some)
    }

    /// What the outer batch still gives when it has seen all its candidates.
    pub fn leftover(&self, outer: &Outer) -> Result<Option<Batch>> {
        let wanted = match self.kind {
            JoinKind::Inner => return Ok(None),
            JoinKind::Semi => true,
            JoinKind::Left | JoinKind::Full | JoinKind::Anti => false,
        };
        let mask = BooleanArray::from_iter(outer.matched.iter().map(|&matched| Some(matched == wanted)));
        if mask.true_count() == 0 {
            return Ok(None);
        }
        let mut rows = select(&outer.batch, &mask)?;
        if self.kind.has_right() {
            for &ty in &self.right_types {
                rows.columns.push(columns::nulls_of(ty, rows.row_count)?);
            }
        }
        Ok(Some(rows))
    }
}

impl Matcher {
    /// Right rows without a match, beside NULLs.
    pub fn right_only(&self, right: Batch) -> Result<Batch> {
        let row_count = right.row_count;
        let nulls = self.left_types.iter().map(|&ty| columns::nulls_of(ty, row_count));
        let mut columns = nulls.collect::<Result<Vec<_>>>()?;
        columns.extend(right.columns);
        Ok(Batch { columns, row_count })
    }
}

/// Left rows by number beside right rows.
pub fn pair(left: &Batch, left_rows: &[u32], right: &Batch) -> Result<Batch> {
    let is_whole = left_rows.len() == left.row_count
        && left_rows.iter().enumerate().all(|(index, &row)| index == row as usize);
    let mut joined =
        if is_whole { left.clone() } else { take(left, &UInt32Array::from(left_rows.to_vec()))? };
    joined.columns.extend(right.columns.iter().cloned());
    Ok(joined)
}

/// A batch of no rows.
pub fn empty(types: &[SqlType]) -> Result<Batch> {
    let columns = types.iter().map(|&ty| columns::nulls_of(ty, 0)).collect::<Result<_>>()?;
    Ok(Batch { columns, row_count: 0 })
}
