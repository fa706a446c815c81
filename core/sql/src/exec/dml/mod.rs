//! INSERT, UPDATE and DELETE (DESIGN §5): rows are read in the statement's snapshot, locked, looked at again in their
//! newest version, checked, and written into the transaction's private write set.
//!
//! Invariants:
//! - M1: a statement never sees its own writes (they carry its statement number), so writing while reading is gathering
//!   (L5): nothing shared changes before commit.
//! - M2: after *every* lock grant, waited for or not, the newest version is compared with the snapshot.
//! - M3: a key of a unique index is locked before it is added and before it is removed, so a uniqueness check made under the
//!   lock holds until the end of the transaction.
//! - M4: constraints are checked on the newest versions (`Current` reads), never on the snapshot.

mod change;
mod check;
mod conflict;
mod foreign;
mod insert;
mod merge;
mod target;
mod unique;

pub(super) use target::{Newest, Target};

pub use foreign::check_foreign_key;

use super::{Batch, DmlOutcome, ExecContext};
use crate::columns::{array_of, datum_at};
use crate::datum::Datum;
use crate::eval;
use crate::functions::EvalContext;
use crate::plan::{Delete, Insert, Merge, Returning, Update};
use crate::types::SqlType;
use arrow_array::ArrayRef;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState};

/// Runs INSERT. Errors: 23502, 23505, 23514, what the source raises; 40001 for a conflict that the snapshot cannot see.
pub fn insert<'a>(
    cx: &'a Cx,
    context: &'a ExecContext,
    statement: &'a Insert,
) -> BoxFuture<'a, Result<DmlOutcome>> {
    Box::pin(insert::run(cx, context, statement))
}

/// Runs INSERT once for each row of parameters, as one statement ([`crate::eval::cast_param_columns`] makes them); `None`
/// when only a loop over the rows can do it. Errors: as [`insert`].
pub fn insert_many<'a>(
    cx: &'a Cx,
    context: &'a ExecContext,
    statement: &'a Insert,
    params: &'a Batch,
) -> BoxFuture<'a, Result<Option<u64>>> {
    Box::pin(insert::run_many(cx, context, statement, params))
}

/// Runs UPDATE. Errors: as INSERT; 40001 above READ COMMITTED when a row changed since the snapshot.
pub fn update<'a>(
    cx: &'a Cx,
    context: &'a ExecContext,
    statement: &'a Update,
) -> BoxFuture<'a, Result<DmlOutcome>> {
    Box::pin(change::update(cx, context, statement))
}

/// Runs DELETE. Errors: as UPDATE.
pub fn delete<'a>(
    cx: &'a Cx,
    context: &'a ExecContext,
    statement: &'a Delete,
) -> BoxFuture<'a, Result<DmlOutcome>> {
    Box::pin(change::delete(cx, context, statement))
}

/// Runs MERGE. Errors: as UPDATE and INSERT; 21000 for a row that two rows of the source change.
pub fn merge<'a>(
    cx: &'a Cx,
    context: &'a ExecContext,
    statement: &'a Merge,
) -> BoxFuture<'a, Result<DmlOutcome>> {
    Box::pin(merge::run(cx, context, statement))
}

/// The rows of some columns, as values.
fn rows_of(columns: &[ArrayRef], types: &[SqlType], row_count: usize) -> Result<Vec<Vec<Datum>>> {
    let row =
        |row: usize| columns.iter().zip(types).map(|(column, &ty)| datum_at(&**column, ty, row)).collect();
    (0..row_count).map(row).collect()
}

/// The columns of some rows.
fn columns_of(rows: &[Vec<Datum>], types: &[SqlType]) -> Result<Vec<ArrayRef>> {
    let column = |(at, &ty): (usize, &SqlType)| array_of(rows.iter().map(|row| &row[at]), ty);
    types.iter().enumerate().map(column).collect()
}

/// RETURNING over rows of the table.
fn returned(
    returning: Option<&Returning>,
    rows: &[Vec<Datum>],
    types: &[SqlType],
    context: &EvalContext<'_>,
) -> Result<Option<Batch>> {
    let Some(returning) = returning.filter(|_| !rows.is_empty()) else { return Ok(None) };
    let columns = columns_of(rows, types)?;
    let given = returning.exprs.iter().map(|expr| eval::evaluate_array(expr, &columns, rows.len(), context));
    Ok(Some(Batch { columns: given.collect::<Result<_>>()?, row_count: rows.len() }))
}

pub(super) fn changed_concurrently(what: &str) -> Error {
    let message = format!("could not serialize access due to concurrent {what}");
    Error::new(SqlState::SERIALIZATION_FAILURE, message)
}

/// Whether RETURNING calls sequence functions.
fn asks_sequences(returning: Option<&Returning>) -> bool {
    returning.is_some_and(|it| it.exprs.iter().any(|expr| expr.sequence_call_count() > 0))
}

/// RETURNING is evaluated when all rows of a batch are in; PostgreSQL does it after each. Errors: 0A000 where that could be told.
fn refuse_late_sequences(asks: bool, row_count: u64) -> Result<()> {
    if asks && row_count > 1 {
        return Err(Error::unsupported("sequence functions in RETURNING of more than one row"));
    }
    Ok(())
}
