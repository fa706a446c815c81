//! ON CONFLICT DO UPDATE.
//!
//! Invariants:
//! - U1: the row that is met is locked before the entry that led to it: in the order of UPDATE and DELETE, so that they and we
//!   do not wait in a circle. An entry's key that took a wait is let go again when a row came meanwhile.
//! - U2: what is updated is the newest version of the row, whether the statement's snapshot sees it or not (READ COMMITTED);
//!   above that level a version the snapshot does not see is 40001.
//! - U3: no row is changed twice by one statement, nor changed after the statement inserted it (21000).

use super::change::{replace_rows, update_lock};
use super::foreign::Referential;
use super::insert::put_new_row;
use super::target::{Newest, Target};
use super::unique::{Entry, mode};
use super::{changed_concurrently, columns_of};
use crate::columns::datum_at;
use crate::datum::Datum;
use crate::eval;
use crate::exec::Shared;
use crate::plan::{Arbiters, ConflictUpdate, Insert};
use orrery_base::kv::{Isolation, ReadMode, RowLock};
use orrery_base::{Cx, Error, Result, SqlState, TreeId};
use std::collections::BTreeSet;

/// What became of a row that was to be inserted.
pub(super) enum Outcome {
    /// It went in, or the row that it met has changed to this.
    Changed(Vec<Datum>),
    /// The row that it met did not qualify.
    Left,
}

/// One statement's DO UPDATE.
pub(super) struct Upsert<'a> {
    statement: &'a Insert,
    arbiters: &'a Arbiters,
    update: &'a ConflictUpdate,
    lock: RowLock,
    /// Keys of the rows that the statement inserted or changed (U3).
    touched: BTreeSet<Vec<u8>>,
}

/// A row that is there already.
struct Met {
    key: Vec<u8>,
    row: Vec<Datum>,
}

impl<'a> Upsert<'a> {
    /// `None` when the statement has no DO UPDATE.
    pub(super) fn of(statement: &'a Insert) -> Option<Self> {
        let (arbiters, update) = (statement.skip.as_ref()?, statement.conflict_update.as_ref()?);
        let lock = update_lock(&statement.table, &update.assignments);
        Some(Upsert { statement, arbiters, update, lock, touched: BTreeSet::new() })
    }

    /// Inserts a row whose checks passed, or updates the one that has its key.
    pub(super) async fn put(
        &mut self,
        cx: &Cx,
        target: &Target<'_>,
        (key, row, key_is_new): (&[u8], Vec<Datum>, bool),
        runtime: &Shared,
        (referential, scratch): (Option<&mut Referential<'_>>, &mut Vec<u8>),
    ) -> Result<Outcome> {
        let entries = target.entries(&row, key)?;
        let Some(met) = self.meet(cx, target, key, key_is_new, &entries).await? else {
            put_new_row(cx, target, key, &row, key_is_new, None, scratch).await?;
            self.touched.insert(key.to_vec());
            if let Some(referential) = referential {
                referential.inserted(target.table, &row)?;
            }
            return Ok(Outcome::Changed(row));
        };
        if self.touched.contains(&met.key) {
            let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
            let hint = "Ensure that no rows proposed for insertion within the same command have duplicate \
                        constrained values.";
            return Err(Error::new(SqlState::CARDINALITY_VIOLATION, message).with_hint(hint));
        }
        let Some(new_row) = self.changed(cx, target, &met.row, &row, runtime).await? else {
            return Ok(Outcome::Left);
        };
        let (keys, rows, mut new_rows) = ([met.key], [met.row], [new_row]);
        let rules = (self.statement.generated.as_slice(), self.statement.checks.as_slice());
        let new_keys =
            replace_rows(cx, target, rules, (&keys, &rows), &mut new_rows, &runtime.eval()).await?;
        self.touched.extend(new_keys);
        if let Some(referential) = referential {
            referential.updated(target.table, &rows[0], &new_rows[0])?;
        }
        let [new_row] = new_rows;
        Ok(Outcome::Changed(new_row))
    }

    /// The met row with the assignments made; `None` when it does not pass the filter.
    async fn changed(
        &self,
        cx: &Cx,
        target: &Target<'_>,
        met: &[Datum],
        row: &[Datum],
        runtime: &Shared,
    ) -> Result<Option<Vec<Datum>>> {
        let mut columns = columns_of(std::slice::from_ref(&met.to_vec()), &target.types)?;
        columns.extend(columns_of(std::slice::from_ref(&row.to_vec()), &target.types)?);
        if let Some(filter) = &self.update.filter {
            let passes =
                runtime.evaluate(cx, |context| eval::filter_mask(filter, &columns, 1, context)).await?;
            if !passes.value(0) {
                return Ok(None);
            }
        }
        let mut new_row = met.to_vec();
        for (ordinal, expr) in &self.update.assignments {
            let value =
                runtime.evaluate(cx, |context| eval::evaluate_array(expr, &columns, 1, context)).await?;
            new_row[*ordinal] = datum_at(&*value, target.types[*ordinal], 0)?;
        }
        Ok(Some(new_row))
    }

    /// The row that has one of the arbiters' keys, locked; `None`: there is none, and the keys are locked.
    async fn meet(
        &self,
        cx: &Cx,
        target: &Target<'_>,
        key: &[u8],
        key_is_new: bool,
        entries: &[Entry],
    ) -> Result<Option<Met>> {
        let mut keys: Vec<(TreeId, &[u8])> = Vec::new();
        if self.arbiters.has_primary() && !key_is_new {
            keys.push((target.table.tree, key));
        }
        let unique = entries.iter().filter(|it| it.is_unique && self.arbiters.has_index(it.tree));
        keys.extend(unique.map(|entry| (entry.tree, entry.key.as_slice())));
        let txn = &target.context.txn;
        loop {
            cx.charge(256).await?;
            if let Some(holder) = self.holder(cx, target, &keys).await? {
                target.lock(cx, target.table.tree, &holder, self.lock).await?;
                if self.holder(cx, target, &keys).await?.as_deref() != Some(&holder) {
                    continue;
                }
                let Newest::Row(bytes, is_newer) =
                    target.newest(cx, target.table.tree, &holder, ReadMode::Current).await?
                else {
                    return Err(Error::corrupt("an index entry leads to no row"));
                };
                if is_newer && txn.isolation() != Isolation::ReadCommitted {
                    return Err(changed_concurrently("update"));
                }
                return Ok(Some(Met { key: holder, row: target.decode(&bytes)? }));
            }
            let before = txn.savepoint();
            for (tree, key) in &keys {
                target.lock(cx, *tree, key, RowLock::Update).await?;
            }
            if self.holder(cx, target, &keys).await?.is_none() {
                return Ok(None);
            }
            txn.rollback_to(before);
        }
    }

    /// The key of the row that has one of the keys, in the newest version.
    async fn holder(
        &self,
        cx: &Cx,
        target: &Target<'_>,
        keys: &[(TreeId, &[u8])],
    ) -> Result<Option<Vec<u8>>> {
        for (tree, key) in keys {
            if let Newest::Row(value, _) = target.newest(cx, *tree, key, mode(cx)).await? {
                return Ok(Some(if *tree == target.table.tree { key.to_vec() } else { value }));
            }
        }
        Ok(None)
    }
}
