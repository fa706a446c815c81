//! Constraints of a table that is there: added, dropped, renamed; the primary key, too.

use super::NewTable;
use super::alter::At;
use super::apply::{Change, ROW_ID_CACHE};
use super::rewrite::{keep_all, validate};
use crate::bind::Alter;
use crate::catalog::{Sequence, Table};
use crate::parse::ast::{Constraint, Name};
use orrery_base::{Error, Result, SqlState, TreeId};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Change {
    pub(super) async fn add_constraint(
        &mut self,
        at: At<'_>,
        table: &Arc<Table>,
        constraint: &Constraint,
    ) -> Result<()> {
        let NewTable { primary_key, primary_key_name, indexes, checks, foreign_keys, .. } =
            Alter::new(&self.catalog, table).under(at.ctx.format).with_constraint(constraint)?;
        let mut new = (**table).clone();
        if primary_key != table.primary_key {
            return self.add_primary_key(at, table, primary_key, primary_key_name).await;
        }
        if let Some(made) = indexes.into_iter().nth(table.indexes.len()) {
            self.check_free(&made.name)?;
            let index = self.new_index(made)?;
            crate::exec::build_index(at.cx, at.ctx, &new, &index).await?;
            new.indexes.push(index);
        }
        if let Some((name, expression)) = checks.into_iter().nth(table.checks.len()) {
            new.checks.push(crate::catalog::Check { name: name.clone(), expression });
            let changed = Arc::new(new.clone());
            let mut bound = Alter::new(&self.catalog, &changed).checks()?;
            bound.retain(|check| check.0 == name);
            validate(at.cx, at.ctx, &new, &[], &bound).await?;
        }
        if let Some(key) = foreign_keys.into_iter().nth(table.foreign_keys.len()) {
            crate::exec::check_foreign_key(at.cx, at.ctx, &self.catalog, table, &key).await?;
            let target = key.target;
            new.foreign_keys.push(key);
            if target != table.id.0 {
                self.touch(target)?;
            }
        }
        self.put_altered(new)
    }

    /// The rows are keyed by the columns.
    async fn add_primary_key(
        &mut self,
        at: At<'_>,
        table: &Arc<Table>,
        primary_key: Vec<usize>,
        name: Option<String>,
    ) -> Result<()> {
        if let Some(name) = &name {
            self.check_free(name)?;
        }
        let mut new = (**table).clone();
        for &ordinal in &primary_key {
            new.columns[ordinal].not_null = true;
        }
        new.primary_key = primary_key;
        new.primary_key_name = name;
        let row_ids = new.row_id_sequence.take();
        let (new, _) = self.rewrite(at, table, new, &mut keep_all(table)).await?;
        if let Some(sequence) = row_ids {
            self.drop_sequence(sequence)?;
        }
        self.put_altered(new)
    }

    pub(super) async fn drop_constraint(
        &mut self,
        at: At<'_>,
        table: &Arc<Table>,
        name: &Name,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let name = name.text.as_str();
        let mut new = (**table).clone();
        let shown = format!("constraint {name} on table {}", table.name);
        if table.primary_key_name.as_deref() == Some(name) {
            let key = table.primary_key.clone();
            self.drop_referring_keys(
                table,
                &[table.id],
                &|columns| same_columns(columns, &key),
                &shown,
                cascade,
            )?;
            let table = &self.catalog.table_by_id(table.id.0).cloned().unwrap_or_else(|| table.clone());
            return self.drop_primary_key(at, table, (**table).clone()).await;
        }
        if let Some(place) = table.indexes.iter().position(|it| it.is_constraint && it.name == name) {
            let columns: Vec<usize> = table.indexes[place].columns.iter().map(|it| it.ordinal).collect();
            self.drop_referring_keys(
                table,
                &[table.id],
                &|other| same_columns(other, &columns),
                &shown,
                cascade,
            )?;
            new = self.catalog.table_by_id(table.id.0).map_or(new, |table| (**table).clone());
            let index = new.indexes.remove(place);
            self.txn.drop_tree(index.tree)?;
            return self.put_altered(new);
        }
        let before = new.checks.len() + new.foreign_keys.len();
        new.checks.retain(|check| check.name != name);
        new.foreign_keys.retain(|key| key.name != name);
        if new.checks.len() + new.foreign_keys.len() == before {
            if if_exists {
                return Ok(());
            }
            return Err(no_constraint(table, name));
        }
        self.put_altered(new)
    }

    /// Drops the foreign keys that refer to some columns of a table. Errors: 2BP01 without CASCADE.
    pub(super) fn drop_referring_keys(
        &mut self,
        table: &Table,
        going: &[TreeId],
        refers: &dyn Fn(&[usize]) -> bool,
        shown: &str,
        cascade: bool,
    ) -> Result<()> {
        let mut lines = Vec::new();
        let mut changed = Vec::new();
        for other in self.catalog.tables.values() {
            let is_gone =
                |key: &crate::catalog::ForeignKey| key.target == table.id.0 && refers(&key.target_columns);
            let gone: Vec<_> = other.foreign_keys.iter().filter(|key| is_gone(key)).collect();
            if gone.is_empty() {
                continue;
            }
            // The table's own keys, and those of tables that go with it, are not asked for.
            if !going.contains(&other.id) {
                for key in gone {
                    let what = format!("constraint {} on table {}", key.name, other.name);
                    lines.push(format!("{what} depends on {shown}"));
                }
            }
            let mut new = (**other).clone();
            new.foreign_keys.retain(|key| !is_gone(key));
            changed.push(new);
        }
        if !lines.is_empty() && !cascade {
            let message = format!("cannot drop {shown} because other objects depend on it");
            return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_detail(lines.join("\n"))
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        changed.into_iter().try_for_each(|table| self.put_altered(table))
    }

    pub(super) fn rename_constraint(&mut self, table: &Arc<Table>, from: &Name, to: &Name) -> Result<()> {
        let mut new = (**table).clone();
        let name = from.text.as_str();
        let is_index = new.indexes.iter().any(|index| index.name == name);
        if is_index || new.primary_key_name.as_deref() == Some(name) {
            self.check_free(&to.text)?;
        }
        let checks = new.checks.iter().map(|check| &check.name);
        if checks.chain(new.foreign_keys.iter().map(|key| &key.name)).any(|known| *known == to.text) {
            let message =
                format!("constraint \"{}\" for relation \"{}\" already exists", to.text, table.name);
            return Err(Error::new(SqlState::DUPLICATE_OBJECT, message));
        }
        let mut names: Vec<&mut String> = Vec::new();
        names.extend(&mut new.primary_key_name);
        names.extend(new.indexes.iter_mut().map(|index| &mut index.name));
        names.extend(new.checks.iter_mut().map(|check| &mut check.name));
        names.extend(new.foreign_keys.iter_mut().map(|key| &mut key.name));
        match names.into_iter().find(|known| *known == name) {
            Some(found) => found.clone_from(&to.text),
            None => return Err(no_constraint(table, name)),
        }
        self.put_altered(new)
    }

    /// The rows get hidden ids for keys.
    pub(super) async fn drop_primary_key(&mut self, at: At<'_>, old: &Table, mut new: Table) -> Result<()> {
        new.primary_key = Vec::new();
        new.primary_key_name = None;
        let (mut new, row_count) = self.rewrite(at, old, new, &mut keep_all(old)).await?;
        let mut row_ids = Sequence::new(0, 1, 1, ROW_ID_CACHE);
        if row_count > 0 {
            row_ids.position = (row_count as i64, true);
        }
        new.row_id_sequence = Some(self.create_sequence(at.cx, at.ctx, row_ids).await?);
        self.put_altered(new)
    }
}

fn same_columns(one: &[usize], other: &[usize]) -> bool {
    let set = |columns: &[usize]| columns.iter().copied().collect::<BTreeSet<usize>>();
    set(one) == set(other)
}

fn no_constraint(table: &Table, name: &str) -> Error {
    let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name);
    Error::new(SqlState::UNDEFINED_OBJECT, message)
}
