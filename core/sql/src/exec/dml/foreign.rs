//! Foreign keys: what a change of rows must find, and what it brings with it.
//!
//! Invariants:
//! - F1: a referencing row is written, then its referenced key is locked (`KeyShare`) and looked up in its newest version; a
//!   referenced key is locked (`Update`) before it goes, then referencing rows are looked for in their newest versions. So of
//!   two transactions that meet, the later one waits, and sees what the first did.
//! - F2: checks and actions run after the statement's own changes, first come first served, as PostgreSQL's queue of triggers:
//!   rows of one statement may refer to each other.
//! - F3: an action on a row that the snapshot of a transaction above READ COMMITTED does not see is 40001.

use super::change::replace_rows;
use super::changed_concurrently;
use super::target::{Newest, Target};
use crate::catalog::{Action, Catalog, ForeignKey, Table};
use crate::datum::Datum;
use crate::encode;
use crate::eval;
use crate::exec::{ExecContext, Shared};
use crate::plan::{Referrer, Related, Relations};
use crate::text::{self, FormatSettings};
use crate::types::SqlType;
use orrery_base::kv::{Flow, Isolation, KeyRange, Lookup, ReadMode, RowLock, RowRef, RowSink, Wait};
use orrery_base::{Cx, Error, Result, SqlState, TreeId};
use std::collections::VecDeque;
use std::sync::Arc;

/// What is to be done after the statement's own changes.
enum Event {
    /// A row has these values in a foreign key's columns: number `key` of the table's.
    Refers { table: u32, key: usize, values: Vec<Datum> },
    /// A referenced row had these values in the columns of referrer number `referrer`, and has others now, or is gone.
    Left { table: u32, referrer: usize, old: Vec<Datum>, new: Option<Vec<Datum>> },
}

/// The queue of one statement.
pub(super) struct Referential<'a> {
    relations: &'a Relations,
    queue: VecDeque<Event>,
}

impl<'a> Referential<'a> {
    pub(super) fn new(relations: &'a Relations) -> Self {
        Referential { relations, queue: VecDeque::new() }
    }

    fn related(&self, table: u32) -> Result<&'a Related> {
        self.relations.tables.get(&table).ok_or_else(|| Error::internal("a table without its foreign keys"))
    }

    /// A row came.
    pub(super) fn inserted(&mut self, table: &Table, row: &[Datum]) -> Result<()> {
        for key in 0..self.related(table.id.0)?.table.foreign_keys.len() {
            let values = pick(row, &table.foreign_keys[key].columns);
            self.queue.push_back(Event::Refers { table: table.id.0, key, values });
        }
        Ok(())
    }

    /// A row changed.
    pub(super) fn updated(&mut self, table: &Table, old: &[Datum], new: &[Datum]) -> Result<()> {
        let related = self.related(table.id.0)?;
        for (referrer, Referrer { key, .. }) in related.referrers.iter().enumerate() {
            let (before, after) = (pick(old, &key.target_columns), pick(new, &key.target_columns));
            if !same(&before, &after) && !before.iter().any(Datum::is_null) {
                let new = Some(after);
                self.queue.push_back(Event::Left { table: table.id.0, referrer, old: before, new });
            }
        }
        for (key, foreign) in table.foreign_keys.iter().enumerate() {
            let (before, after) = (pick(old, &foreign.columns), pick(new, &foreign.columns));
            if !same(&before, &after) {
                self.queue.push_back(Event::Refers { table: table.id.0, key, values: after });
            }
        }
        Ok(())
    }

    /// A row went.
    pub(super) fn deleted(&mut self, table: &Table, row: &[Datum]) -> Result<()> {
        let related = self.related(table.id.0)?;
        for (referrer, Referrer { key, .. }) in related.referrers.iter().enumerate() {
            let old = pick(row, &key.target_columns);
            if !old.iter().any(Datum::is_null) {
                self.queue.push_back(Event::Left { table: table.id.0, referrer, old, new: None });
            }
        }
        Ok(())
    }

    /// Whether all waits that a batch of new rows brought may be settled before the next batch: none refers to the table itself.
    pub(super) fn is_apart(&self, table: &Table) -> bool {
        table.foreign_keys.iter().all(|key| key.target != table.id.0)
    }

    /// Works the queue off (F2). Errors: 23503; of actions, those of UPDATE and DELETE.
    pub(super) async fn settle(&mut self, cx: &Cx, context: &ExecContext, runtime: &Shared) -> Result<()> {
        while let Some(event) = self.queue.pop_front() {
            cx.charge(256).await?;
            match event {
                Event::Refers { table, key, values } => {
                    let related = self.related(table)?;
                    let foreign = &related.table.foreign_keys[key];
                    let target = &self.related(foreign.target)?.table;
                    must_refer(cx, context, &related.table, foreign, target, &values).await?;
                }
                Event::Left { table, referrer, old, new } => {
                    self.left(cx, context, runtime, self.related(table)?, referrer, (&old, new.as_deref()))
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn left(
        &mut self,
        cx: &Cx,
        context: &ExecContext,
        runtime: &Shared,
        parent: &Related,
        referrer: usize,
        (old, new): (&[Datum], Option<&[Datum]>),
    ) -> Result<()> {
        let Referrer { table, key } = &parent.referrers[referrer];
        let action = if new.is_some() { key.on_update } else { key.on_delete };
        if action == Action::NoAction
            && find(cx, context, &parent.table, &key.target_columns, old, None).await?
        {
            // Another row has the key by now.
            return Ok(());
        }
        let child = self.related(*table)?;
        let target = Target::new(context, &child.table);
        let Some(wanted) = converted(old, &parent.table, &key.target_columns, &child.table, &key.columns)
        else {
            return Ok(());
        };
        for row_key in referring(cx, context, &child.table, &key.columns, &wanted).await? {
            cx.charge(256).await?;
            let lock = match action {
                Action::NoAction | Action::Restrict => RowLock::KeyShare,
                _ => RowLock::Update,
            };
            target.lock(cx, child.table.tree, &row_key, lock).await?;
            let newest = target.newest(cx, child.table.tree, &row_key, ReadMode::Current).await?;
            let Newest::Row(bytes, is_newer) = newest else { continue };
            let row = target.decode(&bytes)?;
            if !same(&pick(&row, &key.columns), &wanted) {
                continue;
            }
            if matches!(action, Action::NoAction | Action::Restrict) {
                return Err(still_referenced(&parent.table, &child.table, key, old));
            }
            if is_newer && context.txn.isolation() != Isolation::ReadCommitted {
                return Err(changed_concurrently("update"));
            }
            let new =
                new.map(|new| converted(new, &parent.table, &key.target_columns, &child.table, &key.columns));
            if action == Action::Cascade && new.is_none() {
                target.delete_row(cx, &row_key, &row).await?;
                self.deleted(&child.table, &row)?;
                continue;
            }
            let mut new_row = row.clone();
            match (action, new) {
                (Action::Cascade, Some(new)) => {
                    let new = new.ok_or_else(|| out_of_range(&child.table, key))?;
                    for (&column, value) in key.columns.iter().zip(new) {
                        new_row[column] = value;
                    }
                }
                (action, new) => {
                    let some = if new.is_none() { &key.delete_columns } else { &Vec::new() };
                    for &column in if some.is_empty() { &key.columns } else { some } {
                        new_row[column] = match action {
                            Action::SetDefault => {
                                let default = &child.defaults[column];
                                runtime.evaluate(cx, |context| eval::constant(default, context)).await?
                            }
                            _ => Datum::Null,
                        };
                    }
                }
            }
            let (keys, rows, mut new_rows) = ([row_key], [row], [new_row]);
            let rules = (child.generated.as_slice(), child.checks.as_slice());
            let eval = runtime.eval();
            replace_rows(cx, &target, rules, (&keys, &rows), &mut new_rows, &eval).await?;
            self.updated(&child.table, &rows[0], &new_rows[0])?;
            if action == Action::SetDefault {
                // The same value again must be there, too.
                let place = child.table.foreign_keys.iter().position(|it| it.name == key.name);
                let place = place.ok_or_else(|| Error::internal("a foreign key that is not its table's"))?;
                let values = pick(&new_rows[0], &key.columns);
                self.queue.push_back(Event::Refers { table: child.table.id.0, key: place, values });
            }
        }
        Ok(())
    }
}

fn pick(row: &[Datum], ordinals: &[usize]) -> Vec<Datum> {
    ordinals.iter().map(|&ordinal| row[ordinal].clone()).collect()
}

fn same(one: &[Datum], other: &[Datum]) -> bool {
    one.iter().zip(other).all(|(a, b)| a.is_null() == b.is_null() && a.order(b).is_eq())
}

/// The values as those of other columns; `None` where one does not fit: then no row there has it.
fn converted(
    values: &[Datum],
    from: &Table,
    from_columns: &[usize],
    to: &Table,
    to_columns: &[usize],
) -> Option<Vec<Datum>> {
    let types = from_columns.iter().zip(to_columns);
    let types = types.map(|(&from_at, &to_at)| (from.columns[from_at].ty, to.columns[to_at].ty));
    values.iter().zip(types).map(|(value, (from, to))| convert(value, from, to)).collect()
}

fn convert(value: &Datum, from: SqlType, to: SqlType) -> Option<Datum> {
    let number = match value {
        Datum::Int2(value) => i64::from(*value),
        Datum::Int4(value) => i64::from(*value),
        Datum::Int8(value) => *value,
        other => return Some(other.clone()),
    };
    if from == to {
        return Some(value.clone());
    }
    match to {
        SqlType::Int2 => i16::try_from(number).ok().map(Datum::Int2),
        SqlType::Int4 => i32::try_from(number).ok().map(Datum::Int4),
        SqlType::Int8 => Some(Datum::Int8(number)),
        _ => Some(value.clone()),
    }
}

/// Errors: 23503 unless the values are NULL or a row of `target` has them; its key is locked then (F1).
async fn must_refer(
    cx: &Cx,
    context: &ExecContext,
    table: &Arc<Table>,
    key: &ForeignKey,
    target: &Arc<Table>,
    values: &[Datum],
) -> Result<()> {
    let null_count = values.iter().filter(|value| value.is_null()).count();
    if null_count == values.len() || null_count > 0 && !key.match_full {
        return Ok(());
    }
    let message = format!(
        "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
        table.name, key.name
    );
    let violated =
        |detail: String| Error::new(SqlState::FOREIGN_KEY_VIOLATION, message.clone()).with_detail(detail);
    if null_count > 0 {
        return Err(violated("MATCH FULL does not allow mixing of null and nonnull key values.".to_owned()));
    }
    let wanted = converted(values, table, &key.columns, target, &key.target_columns);
    let is_there = match &wanted {
        Some(wanted) => {
            let lock = Some(RowLock::KeyShare);
            find(cx, context, target, &key.target_columns, wanted, lock).await?
        }
        None => false,
    };
    if is_there {
        return Ok(());
    }
    let shown = shown_key(table, &key.columns, values);
    Err(violated(format!("Key {shown} is not present in table \"{}\".", target.name)))
}

/// Whether a row has these values in the columns of a key of the table. With a lock: the key is locked first.
async fn find(
    cx: &Cx,
    context: &ExecContext,
    table: &Arc<Table>,
    columns: &[usize],
    values: &[Datum],
    lock: Option<RowLock>,
) -> Result<bool> {
    let (tree, order) = key_tree(table, columns)?;
    let mut key = Vec::new();
    for (ordinal, descending) in order {
        let place = columns.iter().position(|column| *column == ordinal);
        let place = place.ok_or_else(|| Error::internal("a key of other columns"))?;
        encode::push_key(&mut key, &values[place], table.columns[ordinal].ty, descending)?;
    }
    if let Some(lock) = lock
        && !context.txn.try_lock(tree, &key, lock)?
    {
        context.txn.lock(cx, tree, &key, lock, Wait::Block).await?;
    }
    let found = crate::exec::get(cx, context, tree, &key, ReadMode::Current, &mut |_| {}).await?;
    Ok(matches!(found, Lookup::Found { .. }))
}

/// The tree whose keys are exactly these columns, and their order in it.
fn key_tree(table: &Table, columns: &[usize]) -> Result<(TreeId, Vec<(usize, bool)>)> {
    let is_same =
        |other: &[usize]| other.len() == columns.len() && other.iter().all(|it| columns.contains(it));
    if is_same(&table.primary_key) {
        return Ok((table.tree, table.primary_key.iter().map(|&ordinal| (ordinal, false)).collect()));
    }
    for index in table.indexes.iter().filter(|index| index.unique && index.predicate.is_none()) {
        let ordinals: Vec<usize> = index.columns.iter().map(|column| column.ordinal).collect();
        if is_same(&ordinals) {
            return Ok((index.tree, index.columns.iter().map(|it| (it.ordinal, it.descending)).collect()));
        }
    }
    Err(Error::internal("a foreign key without the key that it refers to"))
}

/// Keys and values of a scan.
#[derive(Default)]
struct Pairs(Vec<(Vec<u8>, Vec<u8>)>);

impl RowSink for Pairs {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = Vec::new();
            row.key_into(&mut key);
            self.0.push((key, row.value.to_vec()));
        }
        Ok(Flow::Full)
    }
}

/// The keys of the rows that have these values in these columns, in their newest versions: through an index that begins with the
/// columns, if there is one, else by looking at all rows.
async fn referring(
    cx: &Cx,
    context: &ExecContext,
    table: &Arc<Table>,
    columns: &[usize],
    values: &[Datum],
) -> Result<Vec<Vec<u8>>> {
    let begins = |ordinals: &[usize]| {
        ordinals.len() >= columns.len() && ordinals[..columns.len()].iter().all(|it| columns.contains(it))
    };
    let mut path: Option<(TreeId, Vec<(usize, bool)>)> = None;
    if begins(&table.primary_key) {
        path = Some((table.tree, table.primary_key.iter().map(|&ordinal| (ordinal, false)).collect()));
    }
    for index in table.indexes.iter().filter(|index| index.predicate.is_none()) {
        let ordinals: Vec<usize> = index.columns.iter().map(|column| column.ordinal).collect();
        if path.is_none() && begins(&ordinals) {
            path = Some((index.tree, index.columns.iter().map(|it| (it.ordinal, it.descending)).collect()));
        }
    }
    let (tree, mut range) = (path.as_ref().map_or(table.tree, |path| path.0), KeyRange::all());
    if let Some((_, order)) = &path {
        let mut prefix = Vec::new();
        for &(ordinal, descending) in &order[..columns.len()] {
            let place = columns.iter().position(|column| *column == ordinal).unwrap_or(0);
            encode::push_key(&mut prefix, &values[place], table.columns[ordinal].ty, descending)?;
        }
        range = KeyRange::prefix(&prefix);
    }
    let target = Target::new(context, table);
    let mut scan = context.txn.scan(tree, range, ReadMode::Current, false)?;
    let (mut found, mut more) = (Vec::new(), true);
    while more {
        let mut pairs = Pairs::default();
        more = scan.next_batch(cx, &mut pairs).await?;
        for (key, value) in pairs.0 {
            cx.charge(value.len() + 64).await?;
            match &path {
                Some((tree, _)) if *tree != table.tree => found.push(value),
                Some(_) => found.push(key),
                None if same(&pick(&target.decode(&value)?, columns), values) => found.push(key),
                None => {}
            }
        }
    }
    Ok(found)
}

/// Holds the rows of a table against a foreign key that it is about to get. Errors: 23503.
pub async fn check_foreign_key(
    cx: &Cx,
    context: &ExecContext,
    catalog: &Catalog,
    table: &Arc<Table>,
    key: &ForeignKey,
) -> Result<()> {
    let target = catalog.table_by_id(key.target).cloned();
    let target =
        target.ok_or_else(|| Error::new(SqlState::UNDEFINED_TABLE, "the referenced table is gone"))?;
    let rows = Target::new(context, table);
    let mut scan = context.txn.scan(table.tree, KeyRange::all(), ReadMode::Current, false)?;
    let mut more = true;
    while more {
        let mut pairs = Pairs::default();
        more = scan.next_batch(cx, &mut pairs).await?;
        for (_, value) in pairs.0 {
            cx.charge(value.len() + 64).await?;
            let row = rows.decode(&value)?;
            must_refer(cx, context, table, key, &target, &pick(&row, &key.columns)).await?;
        }
    }
    Ok(())
}

fn shown_key(table: &Table, columns: &[usize], values: &[Datum]) -> String {
    let settings = FormatSettings::default();
    let names: Vec<&str> = columns.iter().map(|&at| table.columns[at].name.as_str()).collect();
    let shown =
        columns.iter().zip(values).map(|(&at, value)| text::format(value, table.columns[at].ty, settings));
    format!("({})=({})", names.join(", "), shown.collect::<Vec<_>>().join(", "))
}

fn still_referenced(parent: &Table, child: &Table, key: &ForeignKey, old: &[Datum]) -> Error {
    let message = format!(
        "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
        parent.name, key.name, child.name
    );
    let shown = shown_key(parent, &key.target_columns, old);
    let detail = format!("Key {shown} is still referenced from table \"{}\".", child.name);
    Error::new(SqlState::FOREIGN_KEY_VIOLATION, message).with_detail(detail)
}

fn out_of_range(child: &Table, key: &ForeignKey) -> Error {
    let ty = child.columns[key.columns[0]].ty;
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", ty.name()))
}
