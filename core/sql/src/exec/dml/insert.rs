//! INSERT.

use super::check::Checks;
use super::target::Target;
use super::unique::Conflict;
use super::{changed_concurrently, returned, rows_of};
use crate::datum::Datum;
use crate::encode;
use crate::exec::{Batch, DmlOutcome, ExecContext, Query};
use crate::functions::EvalContext;
use crate::plan::{Arbiters, Insert};
use orrery_base::kv::Isolation;
use orrery_base::{Cx, Error, Result};
use std::sync::Arc;

pub(super) async fn run(cx: &Cx, context: &ExecContext, statement: &Insert) -> Result<DmlOutcome> {
    let target = Target::new(context, &statement.table);
    let mut source = Query::open(Arc::new(statement.source.clone()), context.clone());
    let runtime = source.start(cx).await?;
    let (mut row_count, mut returning) = (0, Vec::new());
    while let Some(batch) = source.next(cx).await? {
        let inserted = insert_batch(cx, &target, statement, &batch, &runtime.eval()).await?;
        row_count += inserted.len() as u64;
        let given = |context: &EvalContext<'_>| {
            returned(statement.returning.as_ref(), &inserted, &target.types, context)
        };
        returning.extend(runtime.evaluate(cx, given).await?);
    }
    Ok(DmlOutcome::Done { row_count, returning })
}

/// Inserts a batch; gives the rows that went in (when anybody asks for more than their number, as values).
async fn insert_batch(
    cx: &Cx,
    target: &Target<'_>,
    statement: &Insert,
    batch: &Batch,
    context: &EvalContext<'_>,
) -> Result<Vec<Vec<Datum>>> {
    let checks = Checks::evaluate(&statement.checks, &batch.columns, batch.row_count, context)?;
    let rows = rows_of(&batch.columns, &target.types, batch.row_count)?;
    let mut ids = RowIds::reserve(cx, target, batch.row_count).await?;
    let mut inserted = Vec::with_capacity(rows.len());
    let (mut key, mut scratch) = (Vec::new(), Vec::new());
    for (at, row) in rows.into_iter().enumerate() {
        cx.charge(256).await?;
        checks.row(target, at, &row)?;
        key.clear();
        match &mut ids {
            Some(ids) => encode::row_id_key(ids.next()?, &mut key),
            None => encode::primary_key(target.table, &row, &mut key)?,
        }
        let row_id = ids.is_some();
        let conflict =
            put_new_row(cx, target, &key, &row, row_id, statement.skip.as_ref(), &mut scratch).await?;
        if let Some(conflict) = conflict {
            if conflict.is_invisible && target.context.txn.isolation() != Isolation::ReadCommitted {
                return Err(changed_concurrently("update"));
            }
            continue;
        }
        inserted.push(row);
    }
    Ok(inserted)
}

/// Writes a row that was not there, with its index entries; or says which key of `skip` it would repeat, and writes
/// nothing. Errors: 23505 for the other keys.
pub(super) async fn put_new_row(
    cx: &Cx,
    target: &Target<'_>,
    key: &[u8],
    row: &[Datum],
    key_is_new: bool,
    skip: Option<&Arbiters>,
    scratch: &mut Vec<u8>,
) -> Result<Option<Conflict>> {
    let entries = target.entries(row, key)?;
    // The keys that may be skipped come first: a row that is skipped violates nothing.
    for skipping in [true, false] {
        if !key_is_new
            && skip.is_some_and(Arbiters::has_primary) == skipping
            && let Some(conflict) = target.primary_conflict(cx, key, row).await?
        {
            return if skipping { Ok(Some(conflict)) } else { Err(conflict.error) };
        }
        for entry in &entries {
            if skip.is_some_and(|skip| skip.has_index(entry.tree)) == skipping
                && let Some(conflict) = target.entry_conflict(cx, entry, row, None).await?
            {
                return if skipping { Ok(Some(conflict)) } else { Err(conflict.error) };
            }
        }
    }
    target.put_row(key, row, scratch)?;
    target.put_entries(&entries, key)?;
    Ok(None)
}

/// Hidden row ids for a table without a primary key.
struct RowIds {
    next: i64,
    left: usize,
}

impl RowIds {
    async fn reserve(cx: &Cx, target: &Target<'_>, count: usize) -> Result<Option<RowIds>> {
        let Some(sequence) = target.table.row_id_sequence.filter(|_| target.table.primary_key.is_empty())
        else {
            return Ok(None);
        };
        let count = u32::try_from(count).map_err(|_| Error::internal("a batch of more than 2^32 rows"))?;
        let next = target.context.environment.reserve(cx, sequence, count).await?;
        Ok(Some(RowIds { next, left: count as usize }))
    }

    fn next(&mut self) -> Result<i64> {
        self.left = self.left.checked_sub(1).ok_or_else(|| Error::internal("more rows than row ids"))?;
        self.next += 1;
        Ok(self.next - 1)
    }
}
