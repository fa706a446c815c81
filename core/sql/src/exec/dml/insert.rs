//! INSERT.

use super::check::Checks;
use super::conflict::{Outcome, Upsert};
use super::foreign::Referential;
use super::target::Target;
use super::unique::{Conflict, mode};
use super::{asks_sequences, changed_concurrently, refuse_late_sequences, returned, rows_of};
use crate::catalog::Column;
use crate::columns::datum_at;
use crate::datum::Datum;
use crate::encode::{self, KeyColumns};
use crate::eval;
use crate::exec::query::reserve_sequences;
use crate::exec::{Batch, DmlOutcome, ExecContext, Query, Shared};
use crate::expr::Expr;
use crate::functions::{EvalContext, Run, Value};
use crate::plan::{Arbiters, Insert, Op, Plan};
use crate::types::SqlType;
use arrow_array::{Array, ArrayRef};
use orrery_base::kv::{Isolation, Lookup, RowLock};
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{Cx, Error, Result};
use std::sync::Arc;

pub(super) async fn run(cx: &Cx, context: &ExecContext, statement: &Insert) -> Result<DmlOutcome> {
    let target = Target::new(context, &statement.table);
    let mut source = Query::open(Arc::new(statement.source.clone()), context.clone());
    let runtime = source.start(cx).await?;
    let (mut row_count, mut returning) = (0, Vec::new());
    let asks_sequences = asks_sequences(statement.returning.as_ref());
    let mut upsert = Upsert::of(statement);
    let mut referential = statement.relations.as_deref().map(Referential::new);
    while let Some(batch) = source.next(cx).await? {
        let inserted =
            insert_batch(cx, &target, statement, &batch, &runtime, upsert.as_mut(), referential.as_mut())
                .await?;
        if let Some(referential) = referential.as_mut().filter(|it| it.is_apart(target.table)) {
            referential.settle(cx, context, &runtime).await?;
        }
        row_count += inserted.row_count;
        refuse_late_sequences(asks_sequences, row_count)?;
        let given = |context: &EvalContext<'_>| {
            returned(statement.returning.as_ref(), &inserted.rows, &target.types, context)
        };
        returning.extend(runtime.evaluate(cx, given).await?);
    }
    if let Some(referential) = &mut referential {
        referential.settle(cx, context, &runtime).await?;
    }
    Ok(DmlOutcome::Done { row_count, returning })
}

/// Runs `INSERT … VALUES` of one row for each row of `params` (of the source's parameter types), as one statement; `None`
/// when the statement is of another shape. RETURNING gives nothing here.
pub(super) async fn run_many(
    cx: &Cx,
    context: &ExecContext,
    statement: &Insert,
    params: &Batch,
) -> Result<Option<u64>> {
    // As one statement, DO UPDATE would refuse to change a row twice.
    let Some(row) = one_row(&statement.source).filter(|_| statement.conflict_update.is_none()) else {
        return Ok(None);
    };
    let exprs: Vec<Expr> = row.iter().map(|expr| expr.clone().params_as_columns()).collect();
    let target = Target::new(context, &statement.table);
    let runtime = Query::open(Arc::new(statement.source.clone()), context.clone()).start(cx).await?;
    let mut row_count = 0;
    let mut referential = statement.relations.as_deref().map(Referential::new);
    for start in (0..params.row_count).step_by(BATCH_ROW_COUNT) {
        let part_count = BATCH_ROW_COUNT.min(params.row_count - start);
        let part: Vec<_> = params.columns.iter().map(|column| column.slice(start, part_count)).collect();
        reserve_sequences(cx, &runtime, &exprs, part_count).await?;
        let compute = |expr| eval::evaluate_array(expr, &part, part_count, &runtime.eval());
        let columns = exprs.iter().map(compute).collect::<Result<_>>()?;
        let batch = Batch { columns, row_count: part_count };
        let inserted = insert_batch(cx, &target, statement, &batch, &runtime, None, referential.as_mut());
        row_count += inserted.await?.row_count;
    }
    if let Some(referential) = &mut referential {
        referential.settle(cx, context, &runtime).await?;
    }
    Ok(Some(row_count))
}

/// The one row of VALUES that a plan is, if it is.
fn one_row(source: &Plan) -> Option<&[Expr]> {
    if !source.subqueries.is_empty() {
        return None;
    }
    match &source.root.op {
        Op::Values { rows } if rows.len() == 1 => Some(&rows[0]),
        Op::Project { input, exprs } => match &input.op {
            Op::Values { rows } if rows.len() == 1 && rows[0].is_empty() => Some(exprs),
            _ => None,
        },
        _ => None,
    }
}

/// What a batch came to.
#[derive(Default)]
pub(super) struct Inserted {
    pub(super) row_count: u64,
    /// The rows that went in, where RETURNING asks for them.
    rows: Vec<Vec<Datum>>,
}

/// Inserts a batch.
pub(super) async fn insert_batch(
    cx: &Cx,
    target: &Target<'_>,
    statement: &Insert,
    batch: &Batch,
    runtime: &Shared,
    mut upsert: Option<&mut Upsert<'_>>,
    mut referential: Option<&mut Referential<'_>>,
) -> Result<Inserted> {
    target.context.relieve(cx, target.table).await?;
    let mut ids = RowIds::reserve(cx, target, batch.row_count).await?;
    if is_plain(target, statement, batch) {
        return insert_plain(cx, target, batch, &mut ids).await;
    }
    let mut columns = batch.columns.clone();
    for (ordinal, expr) in &statement.generated {
        columns[*ordinal] = eval::evaluate_array(expr, &columns, batch.row_count, &runtime.eval())?;
    }
    let checks = Checks::evaluate(&statement.checks, &columns, batch.row_count, &runtime.eval())?;
    let rows = rows_of(&columns, &target.types, batch.row_count)?;
    let mut inserted = Inserted::default();
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
        if let Some(upsert) = &mut upsert {
            let proposed = (key.as_slice(), row, row_id);
            if let Outcome::Changed(row) =
                upsert.put(cx, target, proposed, runtime, (referential.as_deref_mut(), &mut scratch)).await?
            {
                inserted.row_count += 1;
                inserted.rows.extend(statement.returning.is_some().then_some(row));
            }
            continue;
        }
        let conflict =
            put_new_row(cx, target, &key, &row, row_id, statement.skip.as_ref(), &mut scratch).await?;
        if let Some(conflict) = conflict {
            if conflict.is_invisible && target.context.txn.isolation() != Isolation::ReadCommitted {
                return Err(changed_concurrently("update"));
            }
            continue;
        }
        if let Some(referential) = &mut referential {
            referential.inserted(target.table, &row)?;
        }
        inserted.row_count += 1;
        if statement.returning.is_some() {
            inserted.rows.push(row);
        }
    }
    Ok(inserted)
}

/// Whether a batch's rows can go from its columns into the tree without being values in between: nothing is to be evaluated over
/// them, kept of them or written beside them.
fn is_plain(target: &Target<'_>, statement: &Insert, batch: &Batch) -> bool {
    let is_laid_out =
        batch.columns.iter().zip(&target.types).all(|(column, ty)| column.data_type() == &ty.arrow());
    statement.checks.is_empty()
        && statement.generated.is_empty()
        && statement.skip.is_none()
        && statement.returning.is_none()
        && statement.relations.is_none()
        && target.table.indexes.is_empty()
        && is_laid_out
}

/// Inserts the rows of a plain batch. As on the short path of point statements (P1 of `exec::point`), a row that does not surely
/// succeed at once is the general path's, which waits for it or raises its error.
async fn insert_plain(
    cx: &Cx,
    target: &Target<'_>,
    batch: &Batch,
    ids: &mut Option<RowIds>,
) -> Result<Inserted> {
    let values: Vec<Value> = batch.columns.iter().cloned().map(Value::Array).collect();
    let columns = KeyColumns::new(&values, &target.types)?;
    let (mut key, mut bytes) = (Vec::new(), Vec::new());
    for row in 0..batch.row_count {
        key.clear();
        match ids {
            Some(ids) => encode::row_id_key(ids.next()?, &mut key),
            None => {
                let ordinals = target.table.primary_key.iter();
                ordinals.copied().try_for_each(|ordinal| columns.push(ordinal, row, false, &mut key))?;
            }
        }
        let lacks = |(ordinal, column): (usize, &Column)| column.not_null && columns.is_null(ordinal, row);
        let is_sound = !target.table.columns.iter().enumerate().any(lacks);
        if is_sound && (ids.is_some() || is_free(cx, target, &key)?) {
            cx.charge(64).await?;
            columns.row(&target.layout, row, &mut bytes);
            target.context.txn.put(target.table.tree, &key, &bytes)?;
            continue;
        }
        cx.charge(256).await?;
        let value = |(column, &ty): (&ArrayRef, &SqlType)| datum_at(&**column, ty, row);
        let datums = batch.columns.iter().zip(&target.types).map(value).collect::<Result<Vec<_>>>()?;
        Checks::none().row(target, row, &datums)?;
        put_new_row(cx, target, &key, &datums, ids.is_some(), None, &mut bytes).await?;
    }
    Ok(Inserted { row_count: batch.row_count as u64, rows: Vec::new() })
}

/// Locks a key if that takes no wait, and says whether surely no row has it (M3, M4).
fn is_free(cx: &Cx, target: &Target<'_>, key: &[u8]) -> Result<bool> {
    let (txn, tree) = (&target.context.txn, target.table.tree);
    Ok(txn.isolation() == Isolation::ReadCommitted
        && txn.try_lock(tree, key, RowLock::Update)?
        && matches!(txn.get(tree, key, mode(cx), &mut |_| {})?, Lookup::Absent { .. }))
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
struct RowIds(Vec<Run>);

impl RowIds {
    async fn reserve(cx: &Cx, target: &Target<'_>, count: usize) -> Result<Option<RowIds>> {
        let Some(sequence) = target.table.row_id_sequence.filter(|_| target.table.primary_key.is_empty())
        else {
            return Ok(None);
        };
        let count = u32::try_from(count).map_err(|_| Error::internal("a batch of more than 2^32 rows"))?;
        let mut runs = target.context.environment.reserve(cx, sequence, count).await?;
        runs.reverse();
        Ok(Some(RowIds(runs)))
    }

    fn next(&mut self) -> Result<i64> {
        let run = self.0.last_mut().ok_or_else(|| Error::internal("more rows than row ids"))?;
        let id = run.0;
        run.0 += 1;
        run.1 -= 1;
        if run.1 == 0 {
            self.0.pop();
        }
        Ok(id)
    }
}
