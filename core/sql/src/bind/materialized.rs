//! Materialized views: a table, and the query that its rows are made by.

use super::binder::Binder;
use super::{Control, TableAs};
use crate::catalog::{Table, ViewColumn, is_temporary};
use crate::ddl::{Ddl, NewTable, NewView};
use crate::names;
use crate::parse::Parsed;
use crate::parse::ast::{self, InsertSource, Name};
use crate::plan::Field;
use crate::plan::logical::Query;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

impl Binder<'_> {
    /// What is kept of the query of a materialized view that is made. Errors: 0A000 when it reads temporary relations.
    pub(super) fn materialized(
        &mut self,
        table: &NewTable,
        fields: &[Field],
        name: &Name,
        text: &str,
    ) -> Result<NewView> {
        self.check_params()?;
        for (_, named) in &self.named {
            if is_temporary(named) {
                let message = "materialized views must not use temporary tables or views";
                return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
            let is_twin = |other: &str| other != named && names::last(other) == names::last(named);
            if self.named.iter().any(|(_, other)| is_twin(other)) {
                // The text alone would not tell which is meant.
                return Err(Error::unsupported("view of two relations of one name").at(name.at));
            }
        }
        let column = |(column, field): (&crate::catalog::Column, &Field)| ViewColumn {
            name: column.name.clone(),
            inner_name: field.name.clone(),
            ty: field.ty,
        };
        Ok(NewView {
            name: table.name.clone(),
            columns: table.columns.iter().zip(fields).map(column).collect(),
            text: text.to_owned(),
            depends: std::mem::take(&mut self.named),
            replace: false,
        })
    }

    /// Errors: 42P01, 42809; 55000 and 0A000 where CONCURRENTLY is said and cannot be.
    pub(super) fn refresh(
        &mut self,
        name: &Name,
        concurrently: bool,
        with_data: bool,
        parsed: &Parsed,
    ) -> Result<Control> {
        let table = self.table(name)?;
        let Some(view) = self.catalog.materialized.get(&table.id.0) else {
            let message = format!("\"{}\" is not a materialized view", name.own().text);
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        };
        if concurrently {
            check_concurrently(&table, view.materialized == Some(true), with_data, name)?;
        }
        let target = match names::prefix_of(&table.name) {
            "" => names::written("public", &table.name),
            _ => table.name.clone(),
        };
        let insert = ast::Insert {
            with: Vec::new(),
            table: Name { text: target, at: name.at },
            alias: None,
            columns: Vec::new(),
            source: InsertSource::Materialized,
            override_identity: false,
            on_conflict: None,
            returning: None,
        };
        let insert = with_data
            .then(|| Arc::new(Parsed { statement: ast::Statement::Insert(insert), ..parsed.clone() }));
        let (tables, restart_identity, refreshes) = (vec![table], false, Some(with_data));
        let table = Ddl::Truncate { tables, restart_identity, refreshes };
        Ok(Control::TableAs(TableAs { table, insert }))
    }

    /// The rows that a materialized view is to have.
    pub(super) fn materialized_query(&mut self, table: &Table, name: &Name) -> Result<Query> {
        let view = self.catalog.materialized.get(&table.id.0).cloned();
        let view = view.ok_or_else(|| Error::internal("a table is no materialized view"))?;
        self.view_query(&view, name)
    }

    pub(super) fn is_materialized(&self, stored: &str) -> bool {
        self.catalog.table(stored).is_some_and(|table| self.catalog.materialized.contains_key(&table.id.0))
    }

    /// Errors: 55000 for a materialized view without its rows, where rows are wanted.
    pub(super) fn check_populated(&self, table: &Table, name: &Name) -> Result<()> {
        let Some(view) = self.catalog.materialized.get(&table.id.0) else { return Ok(()) };
        if view.materialized == Some(true) || self.defines {
            return Ok(());
        }
        let message = format!("materialized view \"{}\" has not been populated", name.own().text);
        Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with_hint("Use the REFRESH MATERIALIZED VIEW command."))
    }

    /// Errors: 42809 for a change of a materialized view.
    pub(super) fn refuse_change(&self, table: &Table, name: &Name) -> Result<()> {
        if !self.catalog.materialized.contains_key(&table.id.0) {
            return Ok(());
        }
        let message = format!("cannot change materialized view \"{}\"", name.own().text);
        Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message))
    }

    /// TRUNCATE. Errors: 42P01, 0A000; 42809 for a materialized view.
    pub(super) fn truncate(&self, names: &[Name], restart_identity: bool, cascade: bool) -> Result<Ddl> {
        let named = super::tables(self, names)?;
        let tables = super::foreign_key::truncated(self.catalog, named, cascade)?;
        let is_one = |table: &&Arc<Table>| self.catalog.materialized.contains_key(&table.id.0);
        if let Some(table) = tables.iter().find(is_one) {
            let message = format!("\"{}\" is not a table", names::last(&table.name));
            let at = names.first().map_or(0, |name| name.at);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        Ok(Ddl::Truncate { tables, restart_identity, refreshes: None })
    }
}

/// What PostgreSQL asks for; here it is refreshed as without the word.
fn check_concurrently(table: &Table, populated: bool, with_data: bool, name: &Name) -> Result<()> {
    if !with_data {
        let message = "CONCURRENTLY and WITH NO DATA options cannot be used together";
        return Err(Error::new(SqlState::SYNTAX_ERROR, message));
    }
    if !populated {
        let message = "CONCURRENTLY cannot be used when the materialized view is not populated";
        return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    let is_plain = |index: &crate::catalog::Index| {
        index.unique
            && index.predicate.is_none()
            && index.columns.iter().all(|it| !table.columns[it.ordinal].hidden)
    };
    if !table.indexes.iter().any(is_plain) {
        let message = format!("cannot refresh materialized view \"{}\" concurrently", name.own().text);
        return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).with_hint(
            "Create a unique index with no WHERE clause on one or more columns of the materialized view.",
        ));
    }
    Ok(())
}
