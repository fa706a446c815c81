//! What all joins share: candidate pairs of a left batch, the condition on them, and the left rows without a match.

use super::Batch;
use super::filter::select;
use super::partition::take;
use super::query::Place;
use crate::columns;
use crate::eval;
use crate::expr::Expr;
use crate::plan::JoinKind;
use crate::types::SqlType;
use arrow_array::{BooleanArray, UInt32Array};
use orrery_base::Result;

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
    /// semi and anti joins, which give theirs at the end).
    pub fn candidates(
        &self,
        outer: &mut Outer,
        left_rows: &[u32],
        right: Batch,
        place: &Place,
    ) -> Result<Option<Batch>> {
        let pairs = || pair(&outer.batch, left_rows, &right);
        let keeps_pairs = matches!(self.kind, JoinKind::Inner | JoinKind::Left);
        let Some(condition) = &self.condition else {
            let joined = if keeps_pairs { Some(pairs()?) } else { None };
            if self.kind != JoinKind::Inner {
                left_rows.iter().for_each(|&row| outer.matched(row));
            }
            return Ok(joined);
        };
        let joined = pairs()?;
        let mask = eval::filter_mask(condition, &joined.columns, joined.row_count, &place.eval())?;
        if self.kind != JoinKind::Inner {
            for (index, &row) in left_rows.iter().enumerate() {
                if mask.value(index) {
                    outer.matched(row);
                }
            }
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
            JoinKind::Left | JoinKind::Anti => false,
        };
        let mask = BooleanArray::from_iter(outer.matched.iter().map(|&matched| Some(matched == wanted)));
        if mask.true_count() == 0 {
            return Ok(None);
        }
        let mut rows = select(&outer.batch, &mask)?;
        if self.kind == JoinKind::Left {
            for &ty in &self.right_types {
                rows.columns.push(columns::nulls_of(ty, rows.row_count)?);
            }
        }
        Ok(Some(rows))
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
