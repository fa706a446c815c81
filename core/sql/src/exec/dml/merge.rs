//! MERGE: of each batch of the join, the rows of each clause are deleted, changed or inserted by the code of DELETE, UPDATE and
//! INSERT. A row that changed since the snapshot begins the statement again on a fresh one (READ COMMITTED).
//!
//! Invariant G1: no row is changed twice by one statement (21000).

use super::change::{Found, assign, assigned_exprs, lock_rows, replace_rows, update_lock};
use super::foreign::Referential;
use super::insert::insert_batch;
use super::target::Target;
use crate::eval;
use crate::exec::partition::take;
use crate::exec::query::reserve_sequences;
use crate::exec::{Batch, DmlOutcome, ExecContext, Query, Shared};
use crate::expr::Expr;
use crate::plan::{Insert, Merge, MergeAction, Op, Plan, PlanNode};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{BinaryArray, UInt32Array};
use orrery_base::kv::RowLock;
use orrery_base::{Cx, Error, Result, SqlState};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One statement under way.
struct Merging<'a> {
    statement: &'a Merge,
    target: Target<'a>,
    /// What the inserted rows are subject to.
    insert: Insert,
    referential: Option<Referential<'a>>,
    /// Keys of the rows that were changed (G1).
    touched: BTreeSet<Vec<u8>>,
}

pub(super) async fn run(cx: &Cx, context: &ExecContext, statement: &Merge) -> Result<DmlOutcome> {
    let mut merging = Merging {
        statement,
        target: Target::new(context, &statement.table),
        insert: insert_of(statement),
        referential: statement.relations.as_deref().map(Referential::new),
        touched: BTreeSet::new(),
    };
    let mut source = Query::open(Arc::new(statement.source.clone()), context.clone());
    let runtime = source.start(cx).await?;
    let mut row_count = 0;
    while let Some(batch) = source.next(cx).await? {
        context.relieve(cx, &statement.table).await?;
        // What goes makes room for what comes.
        for kind in 0..3 {
            for (at, action) in statement.actions.iter().enumerate() {
                if kind_of(action) != Some(kind) {
                    continue;
                }
                let part = part_of(&batch, merging.target.types.len() + 1, at + 1)?;
                if part.row_count == 0 {
                    continue;
                }
                let Some(count) = merging.act(cx, action, &part, &runtime).await? else {
                    return Ok(DmlOutcome::Restart);
                };
                row_count += count;
            }
        }
    }
    if let Some(referential) = &mut merging.referential {
        referential.settle(cx, context, &runtime).await?;
    }
    Ok(DmlOutcome::Done { row_count, returning: Vec::new() })
}

/// In which order the actions of a batch are taken.
fn kind_of(action: &MergeAction) -> Option<usize> {
    match action {
        MergeAction::Nothing => None,
        MergeAction::Delete => Some(0),
        MergeAction::Update(_) => Some(1),
        MergeAction::Insert(_) => Some(2),
    }
}

/// The rows to which a clause applies: those whose `column` is its number.
fn part_of(batch: &Batch, column: usize, number: usize) -> Result<Batch> {
    let choices = batch.columns[column].as_primitive::<Int32Type>().values();
    let chosen = choices.iter().enumerate().filter(|(_, choice)| **choice as usize == number);
    take(batch, &UInt32Array::from(chosen.map(|(row, _)| row as u32).collect::<Vec<_>>()))
}

impl Merging<'_> {
    /// Does one thing to the rows of a batch; how many there were. `None`: the statement must start again.
    async fn act(
        &mut self,
        cx: &Cx,
        action: &MergeAction,
        part: &Batch,
        runtime: &Arc<Shared>,
    ) -> Result<Option<u64>> {
        let width = self.target.types.len();
        let beside = &part.columns[width + 2..];
        let lock = match action {
            MergeAction::Nothing => return Ok(Some(0)),
            MergeAction::Insert(row) => return self.insert(cx, row, part, runtime).await.map(Some),
            MergeAction::Update(assignments) => update_lock(&self.statement.table, assignments),
            MergeAction::Delete => RowLock::Update,
        };
        // Before it is looked for: what this statement took away would seem to have gone meanwhile.
        let keys: &BinaryArray = part.columns[width].as_binary();
        if keys.iter().flatten().any(|key| !self.touched.insert(key.to_vec())) {
            let message = "MERGE command cannot affect row a second time";
            let hint = "Ensure that not more than one source row matches any one target row.";
            return Err(Error::new(SqlState::CARDINALITY_VIOLATION, message).with_hint(hint));
        }
        let found = lock_rows(cx, &self.target, None, part, lock, &runtime.eval()).await?;
        let Some(Found { keys, rows }) = found else { return Ok(None) };
        if let MergeAction::Update(assignments) = action {
            reserve_sequences(cx, runtime, &assigned_exprs(assignments)?, rows.len()).await?;
            let target = &self.target;
            let assigned = |context: &crate::functions::EvalContext<'_>| {
                assign(target, assignments, &rows, beside, context)
            };
            let mut new_rows = runtime.evaluate(cx, assigned).await?;
            let rules = (self.statement.generated.as_slice(), self.statement.checks.as_slice());
            replace_rows(cx, target, rules, (&keys, &rows), &mut new_rows, &runtime.eval()).await?;
            if let Some(referential) = &mut self.referential {
                for (row, new_row) in rows.iter().zip(&new_rows) {
                    referential.updated(self.target.table, row, new_row)?;
                }
            }
        } else {
            for (key, row) in keys.iter().zip(&rows) {
                cx.charge(256).await?;
                self.target.delete_row(cx, key, row).await?;
                if let Some(referential) = &mut self.referential {
                    referential.deleted(self.target.table, row)?;
                }
            }
        }
        Ok(Some(rows.len() as u64))
    }

    async fn insert(&mut self, cx: &Cx, row: &[Expr], part: &Batch, runtime: &Arc<Shared>) -> Result<u64> {
        let width = self.target.types.len();
        let mut columns = part.columns[..width].to_vec();
        columns.extend_from_slice(&part.columns[width + 2..]);
        if row.iter().map(Expr::sequence_call_count).sum::<usize>() > 1 {
            return Err(Error::unsupported("several sequence functions in one INSERT of MERGE"));
        }
        reserve_sequences(cx, runtime, row, part.row_count).await?;
        let compute = |context: &crate::functions::EvalContext<'_>| {
            let value = |expr| eval::evaluate_array(expr, &columns, part.row_count, context);
            row.iter().map(value).collect::<Result<Vec<_>>>()
        };
        let columns = runtime.evaluate(cx, compute).await?;
        let batch = Batch { columns, row_count: part.row_count };
        let referential = self.referential.as_mut();
        let inserted =
            insert_batch(cx, &self.target, &self.insert, &batch, runtime, None, referential).await?;
        Ok(inserted.row_count)
    }
}

/// The INSERT that the rows are put in by; its source is never run.
fn insert_of(merge: &Merge) -> Insert {
    let op = Op::Values { rows: Vec::new() };
    let root = PlanNode { op, fields: Vec::new(), row_estimate: 0.0, cost_estimate: 0.0 };
    Insert {
        table: merge.table.clone(),
        source: Plan {
            root,
            subqueries: Vec::new(),
            param_types: Vec::new(),
            tables: Vec::new(),
            sequences: Vec::new(),
        },
        generated: merge.generated.clone(),
        checks: merge.checks.clone(),
        skip: None,
        conflict_update: None,
        relations: merge.relations.clone(),
        returning: None,
    }
}
