//! UPDATE and DELETE.

use super::check::Checks;
use super::foreign::Referential;
use super::insert::put_new_row;
use super::target::{Newest, Target};
use super::{asks_sequences, changed_concurrently, columns_of, refuse_late_sequences, returned, rows_of};
use crate::catalog::Table;
use crate::datum::Datum;
use crate::encode;
use crate::eval;
use crate::exec::query::reserve_sequences;
use crate::exec::{Batch, DmlOutcome, ExecContext, Query};
use crate::expr::Expr;
use crate::functions::EvalContext;
use crate::plan::{Delete, Recheck, Update};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BinaryArray};
use orrery_base::kv::{Isolation, ReadMode, RowLock};
use orrery_base::{Cx, Error, Result, plant};
use std::sync::Arc;

/// The rows of a batch that are to be changed, as their newest versions are.
pub(super) struct Found {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) rows: Vec<Vec<Datum>>,
}

pub(super) async fn update(cx: &Cx, context: &ExecContext, statement: &Update) -> Result<DmlOutcome> {
    let target = Target::new(context, &statement.table);
    let lock = update_lock(&statement.table, &statement.assignments);
    let mut source = Query::open(Arc::new(statement.source.clone()), context.clone());
    let runtime = source.start(cx).await?;
    let (mut row_count, mut returning) = (0, Vec::new());
    let assigned_exprs = assigned_exprs(&statement.assignments)?;
    let asks_sequences = asks_sequences(statement.returning.as_ref());
    let mut referential = statement.relations.as_deref().map(Referential::new);
    while let Some(batch) = source.next(cx).await? {
        context.relieve(cx, target.table).await?;
        let found = lock_rows(cx, &target, statement.recheck.as_ref(), &batch, lock, &runtime.eval()).await?;
        let Some(found) = found else { return Ok(DmlOutcome::Restart) };
        reserve_sequences(cx, &runtime, &assigned_exprs, found.rows.len()).await?;
        // What the source computed beside the rows; a statement that has such columns drops no row here.
        let beside = &batch.columns[target.types.len() + 1..];
        let assigned =
            |context: &EvalContext<'_>| assign(&target, &statement.assignments, &found.rows, beside, context);
        let mut new_rows = runtime.evaluate(cx, assigned).await?;
        let rules = (statement.generated.as_slice(), statement.checks.as_slice());
        let rows = (found.keys.as_slice(), found.rows.as_slice());
        replace_rows(cx, &target, rules, rows, &mut new_rows, &runtime.eval()).await?;
        if let Some(referential) = &mut referential {
            for (row, new_row) in found.rows.iter().zip(&new_rows) {
                referential.updated(target.table, row, new_row)?;
            }
        }
        row_count += new_rows.len() as u64;
        refuse_late_sequences(asks_sequences, row_count)?;
        let given = |context: &EvalContext<'_>| {
            returned(statement.returning.as_ref(), &new_rows, &target.types, context)
        };
        returning.extend(runtime.evaluate(cx, given).await?);
    }
    if let Some(referential) = &mut referential {
        referential.settle(cx, context, &runtime).await?;
    }
    Ok(DmlOutcome::Done { row_count, returning })
}

pub(super) async fn delete(cx: &Cx, context: &ExecContext, statement: &Delete) -> Result<DmlOutcome> {
    let target = Target::new(context, &statement.table);
    let mut source = Query::open(Arc::new(statement.source.clone()), context.clone());
    let runtime = source.start(cx).await?;
    let (mut row_count, mut returning) = (0, Vec::new());
    let asks_sequences = asks_sequences(statement.returning.as_ref());
    let mut referential = statement.relations.as_deref().map(Referential::new);
    while let Some(batch) = source.next(cx).await? {
        context.relieve(cx, target.table).await?;
        let recheck = statement.recheck.as_ref();
        let found = lock_rows(cx, &target, recheck, &batch, RowLock::Update, &runtime.eval()).await?;
        let Some(found) = found else { return Ok(DmlOutcome::Restart) };
        for (key, row) in found.keys.iter().zip(&found.rows) {
            cx.charge(256).await?;
            target.delete_row(cx, key, row).await?;
            if let Some(referential) = &mut referential {
                referential.deleted(target.table, row)?;
            }
        }
        row_count += found.rows.len() as u64;
        refuse_late_sequences(asks_sequences, row_count)?;
        let given = |context: &EvalContext<'_>| {
            returned(statement.returning.as_ref(), &found.rows, &target.types, context)
        };
        returning.extend(runtime.evaluate(cx, given).await?);
    }
    if let Some(referential) = &mut referential {
        referential.settle(cx, context, &runtime).await?;
    }
    Ok(DmlOutcome::Done { row_count, returning })
}

/// The new values' expressions. Errors: 0A000 for several sequence calls: they are computed column by column, PostgreSQL's row by
/// row.
pub(super) fn assigned_exprs(assignments: &[(usize, Expr)]) -> Result<Vec<Expr>> {
    let exprs: Vec<Expr> = assignments.iter().map(|it| it.1.clone()).collect();
    if exprs.iter().map(Expr::sequence_call_count).sum::<usize>() > 1 {
        return Err(Error::unsupported("several sequence functions in one SET"));
    }
    Ok(exprs)
}

/// An update that leaves all keys alone lets foreign-key checks go on.
pub(super) fn update_lock(table: &Table, assignments: &[(usize, Expr)]) -> RowLock {
    let is_key = |ordinal: &usize| {
        table.primary_key.contains(ordinal)
            || table
                .indexes
                .iter()
                .any(|index| index.unique && index.columns.iter().any(|it| it.ordinal == *ordinal))
    };
    // A generated column of a key changes with others.
    let is_generated_key = |ordinal: usize| table.columns[ordinal].generated.is_some() && is_key(&ordinal);
    if assignments.iter().any(|(ordinal, _)| is_key(ordinal))
        || (0..table.columns.len()).any(is_generated_key)
    {
        RowLock::Update
    } else {
        RowLock::NoKeyUpdate
    }
}

/// Locks the rows of a batch and looks at them again (M2): those that still qualify, in their newest version. `None`: the
/// statement must start again on a fresh snapshot.
pub(super) async fn lock_rows(
    cx: &Cx,
    target: &Target<'_>,
    recheck: Option<&Recheck>,
    batch: &Batch,
    lock: RowLock,
    context: &EvalContext<'_>,
) -> Result<Option<Found>> {
    let column_count = target.types.len();
    let keys: &BinaryArray = batch.columns[column_count].as_binary();
    let rows = rows_of(&batch.columns[..column_count], &target.types, batch.row_count)?;
    let mut found = Found { keys: Vec::with_capacity(rows.len()), rows: Vec::with_capacity(rows.len()) };
    let tree = target.table.tree;
    for (at, row) in rows.into_iter().enumerate() {
        cx.charge(256).await?;
        let key = keys.value(at);
        target.lock(cx, tree, key, lock).await?;
        if plant!(cx.world(), SkipRecheckAfterLock) {
            found.keys.push(key.to_vec());
            found.rows.push(row);
            continue;
        }
        let newest = match target.newest(cx, tree, key, ReadMode::Current).await? {
            Newest::Row(_, false) => {
                found.keys.push(key.to_vec());
                found.rows.push(row);
                continue;
            }
            Newest::Row(bytes, true) => Some(bytes),
            Newest::Gone => None,
        };
        if target.context.txn.isolation() != Isolation::ReadCommitted {
            return Err(changed_concurrently(if newest.is_some() { "update" } else { "delete" }));
        }
        // A row that is gone may have moved to another key, where only a fresh snapshot finds it.
        let (Some(Recheck(predicate)), Some(bytes)) = (recheck, newest) else { return Ok(None) };
        let row = target.decode(&bytes)?;
        let still_qualifies = match predicate {
            None => true,
            Some(predicate) => {
                let columns = columns_of(std::slice::from_ref(&row), &target.types)?;
                eval::filter_mask(predicate, &columns, 1, context)?.value(0)
            }
        };
        if still_qualifies {
            found.keys.push(key.to_vec());
            found.rows.push(row);
        }
    }
    Ok(Some(found))
}

/// The rows with their assignments made.
pub(super) fn assign(
    target: &Target<'_>,
    assignments: &[(usize, Expr)],
    rows: &[Vec<Datum>],
    beside: &[ArrayRef],
    context: &EvalContext<'_>,
) -> Result<Vec<Vec<Datum>>> {
    let mut new_rows = rows.to_vec();
    if rows.is_empty() {
        return Ok(new_rows);
    }
    let mut columns = columns_of(rows, &target.types)?;
    columns.extend(beside.iter().cloned());
    for (ordinal, expr) in assignments {
        let values = eval::evaluate_array(expr, &columns, rows.len(), context)?;
        for (at, row) in new_rows.iter_mut().enumerate() {
            row[*ordinal] = crate::columns::datum_at(&*values, target.types[*ordinal], at)?;
        }
    }
    Ok(new_rows)
}

/// What a table computes and asks of its rows: generated columns by ordinal, and CHECK constraints by name.
pub(super) type Rules<'a> = (&'a [(usize, Expr)], &'a [(String, Expr)]);

/// Puts rows in place of others, which are locked. Gives their keys.
///
/// Errors: 23502, 23514, 23505.
pub(super) async fn replace_rows(
    cx: &Cx,
    target: &Target<'_>,
    (generated, checks): Rules<'_>,
    (keys, rows): (&[Vec<u8>], &[Vec<Datum>]),
    new_rows: &mut [Vec<Datum>],
    context: &EvalContext<'_>,
) -> Result<Vec<Vec<u8>>> {
    let mut new_keys = Vec::with_capacity(new_rows.len());
    if new_rows.is_empty() {
        return Ok(new_keys);
    }
    let mut columns = columns_of(new_rows, &target.types)?;
    for (ordinal, expr) in generated {
        let values = eval::evaluate_array(expr, &columns, new_rows.len(), context)?;
        for (at, row) in new_rows.iter_mut().enumerate() {
            row[*ordinal] = crate::columns::datum_at(&*values, target.types[*ordinal], at)?;
        }
        columns[*ordinal] = values;
    }
    let checks = Checks::evaluate(checks, &columns, new_rows.len(), context)?;
    let mut scratch = Vec::new();
    for (at, new_row) in new_rows.iter().enumerate() {
        cx.charge(256).await?;
        checks.row(target, at, new_row)?;
        let (key, row) = (&keys[at], &rows[at]);
        let mut new_key = Vec::with_capacity(key.len());
        if target.table.primary_key.is_empty() {
            new_key.extend_from_slice(key);
        } else {
            encode::primary_key(target.table, new_row, &mut new_key)?;
        }
        if new_key == *key {
            replace_row(cx, target, key, row, new_row, &mut scratch).await?;
        } else {
            move_row(cx, target, (key, row), (&new_key, new_row), &mut scratch).await?;
        }
        new_keys.push(new_key);
    }
    Ok(new_keys)
}

/// The key stays: only the index entries that differ are touched.
async fn replace_row(
    cx: &Cx,
    target: &Target<'_>,
    key: &[u8],
    row: &[Datum],
    new_row: &[Datum],
    scratch: &mut Vec<u8>,
) -> Result<()> {
    let (old, new) = (target.entries(row, key)?, target.entries(new_row, key)?);
    for (old, new) in old.iter().zip(&new) {
        if old.key == new.key {
            continue;
        }
        if let Some(conflict) = target.entry_conflict(cx, new, new_row, Some(key)).await? {
            return Err(conflict.error);
        }
        target.delete_entries(cx, std::slice::from_ref(old)).await?;
        target.vacate(old.tree, &old.key);
        target.put_entries(std::slice::from_ref(new), key)?;
    }
    target.put_row(key, new_row, scratch)
}

/// The key changes: the row goes and comes anew.
async fn move_row(
    cx: &Cx,
    target: &Target<'_>,
    (key, row): (&[u8], &[Datum]),
    (new_key, new_row): (&[u8], &[Datum]),
    scratch: &mut Vec<u8>,
) -> Result<()> {
    if new_key.is_empty() {
        return Err(Error::internal("a row with an empty key"));
    }
    let entries = target.entries(row, key)?;
    target.delete_entries(cx, &entries).await?;
    target.context.txn.delete(target.table.tree, key)?;
    target.vacate(target.table.tree, key);
    entries.iter().for_each(|entry| target.vacate(entry.tree, &entry.key));
    put_new_row(cx, target, new_key, new_row, false, None, scratch).await.map(drop)
}
