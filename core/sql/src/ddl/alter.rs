//! ALTER TABLE, action by action, in PostgreSQL's order of passes.
//!
//! Invariants:
//! - A1: rows are written anew only where their bytes would change: for a type of another form, for a value that differs from
//!   row to row, and when the table's key changes. A column with a constant value is kept in the catalog for the rows from
//!   before ([`crate::encode::OldRows`]); a dropped column stays in the rows, hidden.
//! - A2: each action sees what the one before wrote: the transaction begins a new statement between them.

use super::NewColumnSequence;
use super::apply::Change;
use super::rewrite::{Fill, constant, has_rows, indexes_column, keep_all, rewrite, validate};
use crate::bind::{Alter, serial_default};
use crate::catalog::{Column, Identity, Index, Sequence, Table};
use crate::datum::Datum;
use crate::exec::ExecContext;
use crate::expr::Expr;
use crate::parse::ast::{AlterAction, AlterTable, ColumnDef, Constraint, IdentityDef, Name, SequenceOptions};
use crate::text::FormatSettings;
use crate::types::SqlType;
use orrery_base::sorting;
use orrery_base::{Cx, Error, Result, SqlState, TreeId, limits};
use std::sync::Arc;

/// The statement's context and task.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) cx: &'a Cx,
    pub(super) ctx: &'a ExecContext,
}

fn pass(action: &AlterAction) -> u8 {
    match action {
        AlterAction::DropColumn { .. }
        | AlterAction::DropConstraint { .. }
        | AlterAction::DropIdentity { .. }
        | AlterAction::SetDefault { default: None, .. }
        | AlterAction::SetNotNull { on: false, .. } => 0,
        AlterAction::SetType { .. } => 1,
        AlterAction::AddColumn { .. } => 2,
        AlterAction::SetNotNull { on: true, .. }
        | AlterAction::AddIdentity { .. }
        | AlterAction::SetIdentity { .. } => 3,
        AlterAction::AddConstraint(constraint) if constraint.is_key() => 4,
        AlterAction::AddConstraint(_) | AlterAction::SetDefault { .. } => 5,
        AlterAction::RenameColumn { .. }
        | AlterAction::RenameConstraint { .. }
        | AlterAction::RenameTo(_) => 6,
    }
}

impl Change {
    pub(super) async fn alter_table(
        &mut self,
        cx: &Cx,
        ctx: &ExecContext,
        table: &Table,
        alter: &AlterTable,
    ) -> Result<()> {
        let at = At { cx, ctx };
        let mut actions: Vec<&AlterAction> = alter.actions.iter().collect();
        sorting::sort_by_key(&mut actions, |action| pass(action));
        for (number, action) in actions.into_iter().enumerate() {
            if number > 0 {
                self.txn.begin_statement()?;
            }
            let current = self.catalog.table_by_id(table.id.0).cloned().ok_or_else(|| {
                let message = format!("relation \"{}\" does not exist", table.name);
                Error::new(SqlState::UNDEFINED_TABLE, message)
            })?;
            self.alter_action(at, &current, action).await?;
        }
        Ok(())
    }

    async fn alter_action(&mut self, at: At<'_>, table: &Arc<Table>, action: &AlterAction) -> Result<()> {
        match action {
            AlterAction::AddColumn { definition, constraints, if_not_exists } => {
                self.add_column(at, table, definition, constraints, *if_not_exists).await
            }
            AlterAction::DropColumn { name, if_exists, cascade } => {
                self.drop_column(at, table, name, *if_exists, *cascade).await
            }
            AlterAction::SetType { name, ty, using } => {
                self.set_type(at, table, name, *ty, using.as_ref()).await
            }
            AlterAction::SetDefault { name, default } => {
                self.set_default(at.ctx.format, table, name, default.as_ref())
            }
            AlterAction::SetNotNull { name, on } => self.set_not_null(at, table, name, *on).await,
            AlterAction::AddIdentity { name, identity } => self.add_identity(at, table, name, identity).await,
            AlterAction::SetIdentity { name, always, options } => {
                self.set_identity(at, table, name, *always, options).await
            }
            AlterAction::DropIdentity { name, if_exists } => self.drop_identity(table, name, *if_exists),
            AlterAction::AddConstraint(constraint) => self.add_constraint(at, table, constraint).await,
            AlterAction::DropConstraint { name, if_exists, cascade } => {
                self.drop_constraint(at, table, name, *if_exists, *cascade).await
            }
            AlterAction::RenameColumn { from, to } => self.rename_column(table, from, to),
            AlterAction::RenameConstraint { from, to } => self.rename_constraint(table, from, to),
            AlterAction::RenameTo(to) => self.rename_table(table, to),
        }
    }

    /// Puts a changed definition in the place of the table's own.
    pub(super) fn put_altered(&mut self, mut table: Table) -> Result<()> {
        table.schema_version += 1;
        let before = self.catalog.table_by_id(table.id.0).map(|old| old.name.clone());
        if let Some(before) = before {
            super::load::remove(&mut self.catalog, &before);
        }
        self.put_table(table)
    }

    /// Gives a changed table new trees and writes the rows into them.
    pub(super) async fn rewrite(
        &mut self,
        at: At<'_>,
        old: &Table,
        mut new: Table,
        fills: &mut [Fill],
    ) -> Result<(Table, u64)> {
        new.tree = TreeId(self.next_id()?);
        for index in &mut new.indexes {
            index.tree = TreeId(self.next_id()?);
        }
        for column in &mut new.columns {
            column.missing = Datum::Null;
        }
        let row_count = rewrite(at.cx, at.ctx, old, &new, fills).await?;
        // Only now: what is dropped is not read any more.
        self.drop_trees(old)?;
        Ok((new, row_count))
    }

    /// Views are kept as texts with names. Errors: 0A000 when one uses the table.
    fn refuse_views(&self, table: &Table, what: &str) -> Result<()> {
        match self.catalog.views.values().find(|view| view.depends.contains(&table.id.0)) {
            None => Ok(()),
            Some(view) => {
                let detail = format!("View {} uses table {}.", view.name, table.name);
                Err(Error::unsupported(format!("{what} of a table that a view uses")).with_detail(detail))
            }
        }
    }

    /// The table with hidden columns more, its rows written anew.
    pub(super) async fn with_hidden(
        &mut self,
        cx: &Cx,
        ctx: &ExecContext,
        table: &Table,
        hidden: &[Column],
    ) -> Result<Table> {
        let mut new = table.clone();
        new.columns.extend(hidden.iter().cloned());
        if new.columns.len() > limits::COLUMN_COUNT_MAX {
            let message = format!("tables can have at most {} columns", limits::COLUMN_COUNT_MAX);
            return Err(Error::new(SqlState::TOO_MANY_COLUMNS, message));
        }
        let mut fills = keep_all(table);
        let generated = Alter::new(&self.catalog, &Arc::new(new.clone())).generated()?;
        let added = generated.into_iter().filter(|it| it.0 >= table.columns.len());
        fills.extend(added.map(|it| Fill::Expr(it.1)));
        let (new, _) = self.rewrite(At { cx, ctx }, table, new, &mut fills).await?;
        Ok(new)
    }

    async fn add_column(
        &mut self,
        at: At<'_>,
        table: &Arc<Table>,
        definition: &ColumnDef,
        constraints: &[Constraint],
        if_not_exists: bool,
    ) -> Result<()> {
        if if_not_exists && table.column(&definition.name.text).is_some() {
            return Ok(());
        }
        if table.columns.len() >= limits::COLUMN_COUNT_MAX {
            let message = format!("tables can have at most {} columns", limits::COLUMN_COUNT_MAX);
            return Err(Error::new(SqlState::TOO_MANY_COLUMNS, message));
        }
        let alter = Alter::new(&self.catalog, table).under(at.ctx.format);
        let (mut column, sequence) = alter.new_column(definition)?;
        let value = if sequence.is_none() { Some(alter.default_value(&column)?) } else { None };
        let mut new = (**table).clone();
        let is_varying = value.as_ref().is_some_and(Expr::is_volatile);
        if sequence.is_none() && column.generated.is_none() && !is_varying {
            let value = value.unwrap_or_else(|| crate::bind::null(column.ty));
            column.missing = constant(at.cx, at.ctx, &value).await?;
            if column.not_null && column.missing.is_null() && has_rows(at.cx, at.ctx, table).await? {
                let message =
                    format!("column \"{}\" of relation \"{}\" contains null values", column.name, table.name);
                return Err(Error::new(SqlState::NOT_NULL_VIOLATION, message));
            }
            new.columns.push(column);
            self.put_altered(new)?;
        } else {
            let mut fills = keep_all(table);
            let mut widened = (**table).clone();
            widened.columns.push(column.clone());
            let generated = Alter::new(&self.catalog, &Arc::new(widened)).generated()?;
            let own = generated.into_iter().find(|it| it.0 == table.columns.len()).map(|it| it.1);
            fills.push(match (&sequence, own.or(value)) {
                (Some(new), _) => count_from(&new.sequence),
                (None, Some(value)) => Fill::Expr(value),
                (None, None) => Fill::Expr(crate::bind::null(column.ty)),
            });
            let ordinal = new.columns.len();
            new.columns.push(column);
            let (mut new, row_count) = self.rewrite(at, table, new, &mut fills).await?;
            if let Some(made) = sequence {
                self.feed_column(at, &mut new, ordinal, made, row_count).await?;
            }
            self.put_altered(new.clone())?;
            validate(at.cx, at.ctx, &new, &not_null_columns(&new, ordinal), &[]).await?;
        }
        for constraint in constraints {
            self.txn.begin_statement()?;
            let current = self.catalog.table_by_id(table.id.0).cloned();
            let current = current.ok_or_else(|| Error::internal("an altered table is gone"))?;
            self.add_constraint(at, &current, constraint).await?;
        }
        Ok(())
    }

    /// Makes the sequence of a column that has its first values.
    async fn feed_column(
        &mut self,
        at: At<'_>,
        table: &mut Table,
        ordinal: usize,
        made: NewColumnSequence,
        used_count: u64,
    ) -> Result<()> {
        let mut sequence = Sequence { owner: Some((table.id.0, ordinal)), ..made.sequence };
        if used_count > 0 {
            let span = (used_count as i64 - 1).saturating_mul(sequence.increment);
            sequence.position = (sequence.start.saturating_add(span), true);
        }
        let id = self.create_sequence(at.cx, at.ctx, sequence).await?;
        let column = &mut table.columns[ordinal];
        match made.identity {
            Some(always) => column.identity = Some(Identity { always, sequence: id }),
            None => column.default = Some(serial_default(id)),
        }
        Ok(())
    }

    async fn drop_column(
        &mut self,
        at: At<'_>,
        table: &Arc<Table>,
        name: &Name,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let Some(ordinal) = table.column(&name.text) else {
            return if if_exists { Ok(()) } else { Alter::new(&self.catalog, table).column(name).map(drop) };
        };
        self.refuse_views(table, "DROP COLUMN")?;
        let generated = Alter::new(&self.catalog, table).generated()?;
        let uses = |it: &&(usize, Expr)| it.0 != ordinal && !it.1.columns_all(|column| column != ordinal);
        if let Some((user, _)) = generated.iter().find(uses) {
            if table.columns[*user].hidden {
                return Err(Error::unsupported("DROP COLUMN of a column that an index's expression uses"));
            }
            if cascade {
                return Err(Error::unsupported("DROP COLUMN CASCADE to a generated column"));
            }
            let message = format!(
                "cannot drop column {} of table {} because other objects depend on it",
                name.text, table.name
            );
            let detail = format!(
                "column {} of table {} depends on column {} of table {}",
                table.columns[*user].name, table.name, name.text, table.name
            );
            return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message).with_detail(detail));
        }
        let shown = format!("column {} of table {}", name.text, table.name);
        self.drop_referring_keys(table, &[table.id], &|columns| columns.contains(&ordinal), &shown, cascade)?;
        let table = &self.catalog.table_by_id(table.id.0).cloned().unwrap_or_else(|| table.clone());
        let mut new = (**table).clone();
        let checks = Alter::new(&self.catalog, table).checks()?;
        let uses = |name: &str| {
            let found = checks.iter().find(|check| check.0 == name);
            found.is_some_and(|check| !check.1.columns_all(|column| column != ordinal))
        };
        new.checks.retain(|check| !uses(&check.name));
        new.foreign_keys.retain(|key| !key.columns.contains(&ordinal));
        let (gone, kept): (Vec<Index>, Vec<Index>) =
            new.indexes.into_iter().partition(|index| indexes_column(index, ordinal));
        new.indexes = kept;
        for index in gone {
            self.txn.drop_tree(index.tree)?;
            drop_hidden(&mut new, &index);
        }
        let owned = self.owned_sequences(table, Some(ordinal));
        let column = &mut new.columns[ordinal];
        *column = dropped_column(ordinal, column.ty);
        if new.primary_key.contains(&ordinal) {
            // The trees of the indexes that are gone are dropped already; what is left is made anew.
            let mut old = (**table).clone();
            old.indexes.retain(|index| !indexes_column(index, ordinal));
            self.drop_primary_key(at, &old, new).await?;
        } else {
            self.put_altered(new)?;
        }
        self.drop_sequences(&owned, cascade)
    }

    async fn set_type(
        &mut self,
        at: At<'_>,
        table: &Arc<Table>,
        name: &Name,
        ty: SqlType,
        using: Option<&crate::parse::ast::Expr>,
    ) -> Result<()> {
        let alter = Alter::new(&self.catalog, table).under(at.ctx.format);
        let ordinal = alter.column(name)?;
        self.refuse_views(table, "ALTER COLUMN TYPE")?;
        if table.columns.iter().any(|column| column.generated.is_some()) {
            return Err(Error::unsupported("ALTER COLUMN TYPE in a table with generated columns"));
        }
        let is_referred = self.catalog.tables.values().any(|other| {
            other
                .foreign_keys
                .iter()
                .any(|key| key.target == table.id.0 && key.target_columns.contains(&ordinal))
        });
        if is_referred || table.foreign_keys.iter().any(|key| key.columns.contains(&ordinal)) {
            return Err(Error::unsupported("ALTER COLUMN TYPE of a column in a foreign key"));
        }
        let value = alter.retyped(ordinal, ty, using)?;
        if table.columns[ordinal].default.is_some() {
            alter.check_default(&table.columns[ordinal], ty)?;
        }
        let mut new = (**table).clone();
        let before = new.columns[ordinal].ty;
        new.columns[ordinal].set_type(ty);
        new.statistics = None;
        self.txn.delete(super::STATISTICS, &table.id.0.to_be_bytes())?;
        if let Some(identity) = new.columns[ordinal].identity {
            let mut sequence = self.sequence(identity.sequence)?;
            sequence.position = at.ctx.environment.position(at.cx, &sequence).await?;
            let options = SequenceOptions { ty: Some((ty, 0)), ..SequenceOptions::default() };
            super::apply_options(&mut sequence, &options, false)?;
            self.move_value(at.cx, at.ctx, sequence).await?;
        }
        let changed = Arc::new(new.clone());
        let alter = Alter::new(&self.catalog, &changed);
        let checks = alter.checks()?;
        if using.is_none() && keeps_bytes(before, ty) {
            return self.put_altered(new);
        }
        let mut fills = keep_all(table);
        fills[ordinal] = Fill::Expr(value);
        let (new, _) = self.rewrite(at, table, new, &mut fills).await?;
        self.put_altered(new.clone())?;
        validate(at.cx, at.ctx, &new, &not_null_columns(&new, ordinal), &checks).await
    }

    fn set_default(
        &mut self,
        format: FormatSettings,
        table: &Arc<Table>,
        name: &Name,
        default: Option<&(String, crate::parse::ast::Expr)>,
    ) -> Result<()> {
        let alter = Alter::new(&self.catalog, table).under(format);
        let ordinal = alter.column(name)?;
        let column = &table.columns[ordinal];
        if column.identity.is_some() || column.generated.is_some() {
            let what = if column.identity.is_some() { "an identity" } else { "a generated" };
            let message =
                format!("column \"{}\" of relation \"{}\" is {what} column", column.name, table.name);
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        let mut new = (**table).clone();
        new.columns[ordinal].default = default.map(|default| alter.default(ordinal, default)).transpose()?;
        self.put_altered(new)
    }

    async fn set_not_null(&mut self, at: At<'_>, table: &Arc<Table>, name: &Name, on: bool) -> Result<()> {
        let ordinal = Alter::new(&self.catalog, table).column(name)?;
        let column = &table.columns[ordinal];
        if on {
            validate(at.cx, at.ctx, table, &[ordinal], &[]).await?;
        } else if column.identity.is_some() {
            let message =
                format!("column \"{}\" of relation \"{}\" is an identity column", column.name, table.name);
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        } else if table.primary_key.contains(&ordinal) {
            let message = format!("column \"{}\" is in a primary key", column.name);
            return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        let mut new = (**table).clone();
        new.columns[ordinal].not_null = on;
        self.put_altered(new)
    }

    async fn add_identity(
        &mut self,
        at: At<'_>,
        table: &Arc<Table>,
        name: &Name,
        identity: &IdentityDef,
    ) -> Result<()> {
        let alter = Alter::new(&self.catalog, table);
        let ordinal = alter.column(name)?;
        let column = &table.columns[ordinal];
        let refuse = |what: &str| {
            let message = format!("column \"{}\" of relation \"{}\" {what}", column.name, table.name);
            Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message))
        };
        if !column.not_null {
            return refuse("must be declared NOT NULL before identity can be added");
        }
        if column.identity.is_some() {
            return refuse("is already an identity column");
        }
        if column.default.is_some() {
            return refuse("already has a default value");
        }
        let made = alter.identity(ordinal, identity)?;
        let mut new = (**table).clone();
        self.feed_column(at, &mut new, ordinal, made, 0).await?;
        self.put_altered(new)
    }

    async fn set_identity(
        &mut self,
        at: At<'_>,
        table: &Arc<Table>,
        name: &Name,
        always: Option<bool>,
        options: &SequenceOptions,
    ) -> Result<()> {
        let alter = Alter::new(&self.catalog, table);
        let ordinal = alter.column(name)?;
        alter.identity_options(options)?;
        let Some(identity) = table.columns[ordinal].identity else { return Err(no_identity(table, name)) };
        if !options.is_empty() {
            let mut sequence = self.sequence(identity.sequence)?;
            sequence.position = at.ctx.environment.position(at.cx, &sequence).await?;
            super::apply_options(&mut sequence, options, false)?;
            self.move_value(at.cx, at.ctx, sequence).await?;
        }
        let mut new = (**table).clone();
        let always = always.unwrap_or(identity.always);
        new.columns[ordinal].identity = Some(Identity { always, ..identity });
        self.put_altered(new)
    }

    fn drop_identity(&mut self, table: &Arc<Table>, name: &Name, if_exists: bool) -> Result<()> {
        let ordinal = Alter::new(&self.catalog, table).column(name)?;
        let Some(identity) = table.columns[ordinal].identity else {
            return if if_exists { Ok(()) } else { Err(no_identity(table, name)) };
        };
        let mut new = (**table).clone();
        new.columns[ordinal].identity = None;
        self.drop_sequence(identity.sequence)?;
        self.put_altered(new)
    }

    fn rename_column(&mut self, table: &Arc<Table>, from: &Name, to: &Name) -> Result<()> {
        let Some(ordinal) = table.column(&from.text) else {
            let message = format!("column \"{}\" does not exist", from.text);
            return Err(Error::new(SqlState::UNDEFINED_COLUMN, message));
        };
        if table.column(&to.text).is_some() {
            let message = format!("column \"{}\" of relation \"{}\" already exists", to.text, table.name);
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
        self.refuse_views(table, "RENAME COLUMN")?;
        let alter = Alter::new(&self.catalog, table);
        let mut new = (**table).clone();
        for check in &mut new.checks {
            check.expression = alter.renamed(&check.expression, &from.text, &to.text)?;
        }
        for column in &mut new.columns {
            if let Some(text) = &mut column.generated {
                *text = alter.renamed(text, &from.text, &to.text)?;
            }
        }
        for index in &mut new.indexes {
            if let Some(text) = &mut index.predicate {
                *text = alter.renamed(text, &from.text, &to.text)?;
            }
        }
        new.columns[ordinal].name.clone_from(&to.text);
        self.put_altered(new)
    }

    fn rename_table(&mut self, table: &Arc<Table>, to: &Name) -> Result<()> {
        self.check_free(&to.text)?;
        self.refuse_views(table, "RENAME")?;
        let mut new = (**table).clone();
        new.name.clone_from(&to.text);
        self.put_altered(new)
    }
}

/// What stands in the place of a column that is gone.
fn dropped_column(ordinal: usize, ty: SqlType) -> Column {
    Column { name: format!("........dropped.{}........", ordinal + 1), hidden: true, ..Column::new("", ty) }
}

/// The hidden columns of an index that is gone are as dropped ones. Whether there were any.
pub(super) fn drop_hidden(table: &mut Table, index: &Index) -> bool {
    let hidden: Vec<usize> =
        index.columns.iter().map(|it| it.ordinal).filter(|&ordinal| table.columns[ordinal].hidden).collect();
    for &ordinal in &hidden {
        table.columns[ordinal] = dropped_column(ordinal, table.columns[ordinal].ty);
    }
    !hidden.is_empty()
}

fn count_from(sequence: &Sequence) -> Fill {
    let limit = if sequence.increment < 0 { sequence.min } else { sequence.max };
    let name = sequence.name.clone().unwrap_or_default();
    Fill::Count { next: Some(sequence.start), step: sequence.increment, limit, name }
}

fn not_null_columns(table: &Table, ordinal: usize) -> Vec<usize> {
    if table.columns[ordinal].not_null { vec![ordinal] } else { Vec::new() }
}

/// Whether every value of the one type has the same bytes as one of the other, in rows and in keys.
fn keeps_bytes(from: SqlType, to: SqlType) -> bool {
    match (from, to) {
        (SqlType::Varchar(_) | SqlType::Name | SqlType::Text, SqlType::Text | SqlType::Varchar(None)) => true,
        (SqlType::Varchar(Some(before)), SqlType::Varchar(Some(now))) => now >= before,
        _ => from == to,
    }
}

fn no_identity(table: &Table, name: &Name) -> Error {
    let message =
        format!("column \"{}\" of relation \"{}\" is not an identity column", name.text, table.name);
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}
