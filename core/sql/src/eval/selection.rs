//! Evaluating over some rows of a batch: narrowing the columns an expression reads, and putting the parts together again.

use crate::columns;
use crate::expr::Expr;
use crate::gather::{self, Selection};
use crate::types::SqlType;
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use orrery_base::Result;

/// Calls `f` with each column position that the expression reads.
pub fn each_column(expr: &Expr, f: &mut dyn FnMut(usize)) {
    expr.each_column(f);
}

/// The columns with only the selected rows in those that `expr` reads, and how many rows those are.
pub fn filter_columns(
    expr: &Expr,
    columns: &[ArrayRef],
    selected: &BooleanArray,
) -> Result<(Vec<ArrayRef>, usize)> {
    let count = selected.true_count();
    if count == selected.len() {
        return Ok((columns.to_vec(), count));
    }
    let mut narrowed = columns.to_vec();
    let mut done = vec![false; columns.len()];
    let mut outcome = Ok(());
    let selection = Selection::of(selected);
    each_column(expr, &mut |id| {
        if id < columns.len() && !std::mem::replace(&mut done[id], true) {
            match selection.filter(&columns[id]) {
                Ok(array) => narrowed[id] = array,
                Err(error) => outcome = Err(error),
            }
        }
    });
    outcome.map(|()| (narrowed, count))
}

/// Spreads bits of the selected rows over all rows; the others are unset.
pub fn spread(selected: &BooleanArray, bits: &BooleanBuffer) -> BooleanBuffer {
    if bits.len() == selected.len() {
        return bits.clone();
    }
    let mut all = BooleanBufferBuilder::new(selected.len());
    all.append_n(selected.len(), false);
    for (index, row) in selected.values().set_indices().enumerate() {
        if bits.value(index) {
            all.set_bit(row, true);
        }
    }
    all.finish()
}

/// One array of `row_count` values out of parts that each hold the values of the rows selected for them; rows that no part
/// has are NULL.
pub fn merge(parts: &[(BooleanArray, ArrayRef)], ty: SqlType, row_count: usize) -> Result<ArrayRef> {
    let fitting = |array: &ArrayRef| -> Result<ArrayRef> {
        let is_null = array.data_type() == &arrow_schema::DataType::Null && ty != SqlType::Unknown;
        if is_null { columns::nulls_of(ty, array.len()) } else { Ok(array.clone()) }
    };
    if let [(selected, array)] = parts
        && selected.true_count() == row_count
    {
        return fitting(array);
    }
    let mut arrays = vec![columns::nulls_of(ty, 1)?];
    let mut places = vec![(0, 0); row_count];
    for (selected, array) in parts {
        let part = arrays.len();
        arrays.push(fitting(array)?);
        for (index, row) in selected.values().set_indices().enumerate() {
            places[row] = (part, index);
        }
    }
    if ty == SqlType::Unknown {
        return columns::nulls_of(ty, row_count);
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
    gather::interleave(&arrays, &places)
}
