//! SELECT … FOR UPDATE and its kin: locks each row as it is asked for and gives it as it is then.
//!
//! A batch is one row, so that a LIMIT above leaves all others unlocked. A row that another transaction changed after the
//! snapshot is read again and judged again (READ COMMITTED), or is 40001 (above). One that is gone is left out; a row whose
//! primary key was changed counts as gone.
//!
//! FOR UPDATE locks the row's unique keys, too: a reference to one of them waits, as if the row were about to go.

use super::Batch;
use super::dml::{Newest, Target, changed_concurrently};
use super::query::{BoxOperator, Operator, Place};
use crate::catalog::{Index, Table};
use crate::columns::array_of;
use crate::encode;
use crate::eval;
use crate::expr::Expr;
use crate::functions::EvalContext;
use arrow_array::cast::AsArray;
use orrery_base::kv::{Isolation, ReadMode, RowLock, Wait};
use orrery_base::{BoxFuture, Cx, Result};
use std::sync::Arc;

/// Which rows, and how.
pub struct Spec {
    /// Of which table.
    pub table: Arc<Table>,
    /// Ordinals of the columns it gives.
    pub columns: Vec<usize>,
    /// See [`crate::plan::Op::LockRows`].
    pub recheck: Option<Expr>,
    /// Whether a changed row can be judged by itself.
    pub can_recheck: bool,
    /// How.
    pub lock: RowLock,
    /// What to do where another has a lock.
    pub wait: Wait,
}

/// See the module.
pub struct LockRows {
    input: BoxOperator,
    spec: Spec,
    place: Place,
    /// The batch being locked, and its next row.
    batch: Option<(Batch, usize)>,
}

impl LockRows {
    /// Over `input`.
    pub fn new(input: BoxOperator, spec: Spec, place: Place) -> Self {
        LockRows { input, spec, place, batch: None }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        loop {
            let (batch, row) = match self.batch.take() {
                Some((batch, row)) if row < batch.row_count => (batch, row),
                _ => match self.input.next(cx).await? {
                    Some(batch) => (batch, 0),
                    None => return Ok(None),
                },
            };
            if batch.row_count == 0 {
                continue;
            }
            let columns = batch.columns.iter().map(|column| column.slice(row, 1)).collect();
            self.batch = Some((batch, row + 1));
            cx.charge(256).await?;
            if let Some(locked) = self.row(cx, Batch { columns, row_count: 1 }).await? {
                return Ok(Some(locked));
            }
        }
    }

    /// One row, locked; `None`: it is left out.
    async fn row(&mut self, cx: &Cx, mut row: Batch) -> Result<Option<Batch>> {
        let context = &self.place.shared.context;
        let target = Target::new(context, &self.spec.table);
        let tree = self.spec.table.tree;
        let keys = row.columns.pop();
        let key = keys.as_ref().map_or(&[][..], |keys| keys.as_binary::<i32>().value(0));
        if !context.txn.try_lock(tree, key, self.spec.lock)?
            && !context.txn.lock(cx, tree, key, self.spec.lock, self.spec.wait).await?
        {
            return Ok(None);
        }
        let newest = match target.newest(cx, tree, key, ReadMode::Current).await? {
            Newest::Row(bytes, is_newer) => {
                if !lock_keys(cx, &self.spec, &target, &bytes, key).await? {
                    return Ok(None);
                }
                if !is_newer {
                    return Ok(Some(row));
                }
                Some(bytes)
            }
            Newest::Gone => None,
        };
        if context.txn.isolation() != Isolation::ReadCommitted {
            return Err(changed_concurrently(if newest.is_some() { "update" } else { "delete" }));
        }
        let Some(bytes) = newest else { return Ok(None) };
        if !self.spec.can_recheck {
            return Err(changed_concurrently("update"));
        }
        let values = target.decode(&bytes)?;
        let column = |ordinal: &usize| array_of(&values[*ordinal..=*ordinal], target.types[*ordinal]);
        let columns = self.spec.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let Some(recheck) = &self.spec.recheck else { return Ok(Some(Batch { columns, row_count: 1 })) };
        let mask = |context: &EvalContext<'_>| eval::filter_mask(recheck, &columns, 1, context);
        let still_qualifies = self.place.shared.evaluate(cx, mask).await?.value(0);
        Ok(still_qualifies.then_some(Batch { columns, row_count: 1 }))
    }
}

/// FOR UPDATE: locks what other tables may refer to the row by; `false`: it is left out.
async fn lock_keys(cx: &Cx, spec: &Spec, target: &Target<'_>, bytes: &[u8], key: &[u8]) -> Result<bool> {
    let Spec { table, lock, wait, .. } = spec;
    let is_key = |index: &Index| index.unique && index.predicate.is_none();
    if *lock != RowLock::Update || !table.indexes.iter().any(is_key) {
        return Ok(true);
    }
    let txn = &target.context.txn;
    for (tree, entry, _) in encode::index_entries(table, &target.decode(bytes)?, key)? {
        let is_key = table.indexes.iter().any(|index| index.tree == tree && is_key(index));
        if is_key && !txn.try_lock(tree, &entry, *lock)? && !txn.lock(cx, tree, &entry, *lock, *wait).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Operator for LockRows {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
