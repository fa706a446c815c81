//! Views as catalog rows, and what depends on what.

use super::apply::Change;
use super::{NewView, VIEWS, codec};
use crate::catalog::{Table, View};
use orrery_base::{Error, Result, SqlState};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Change {
    /// Errors: 42P07, 42P01; 42P16 when a replaced view would lose or change a column.
    pub(super) fn create_view(&mut self, new: NewView) -> Result<()> {
        let NewView { name, columns, text, depends, replace } = new;
        let old = self.catalog.views.get(&name).filter(|_| replace).cloned();
        if old.is_none() {
            self.check_free(&name)?;
        }
        self.check_depends(&depends)?;
        let id = match &old {
            None => self.next_id()?,
            Some(old) => {
                keeps_columns(old, &columns)?;
                old.id
            }
        };
        let depends = depends.into_iter().map(|it| it.0).collect();
        let view = View { id, name: name.clone(), columns, text, depends, materialized: None };
        self.txn.put(VIEWS, &id.to_be_bytes(), &codec::encode_view(&view))?;
        self.catalog.views.insert(name, Arc::new(view));
        Ok(())
    }

    /// Errors: 42P01.
    fn check_depends(&self, depends: &[(u32, String)]) -> Result<()> {
        for (id, used) in depends {
            let is_there = self.catalog.tables.values().any(|table| table.id.0 == *id)
                || self.catalog.views.values().any(|view| view.id == *id)
                || self.catalog.sequences.contains_key(id);
            if !is_there {
                let message = format!("relation \"{used}\" does not exist");
                return Err(Error::new(SqlState::UNDEFINED_TABLE, message));
            }
        }
        Ok(())
    }

    /// What makes a table the rows of a materialized view. Errors: 42P01.
    pub(super) fn create_materialized(&mut self, id: u32, new: NewView, populated: bool) -> Result<()> {
        let NewView { name, columns, text, depends, replace: _ } = new;
        self.check_depends(&depends)?;
        let depends = depends.into_iter().map(|it| it.0).collect();
        self.put_materialized(View { id, name, columns, text, depends, materialized: Some(populated) })
    }

    /// Whether a materialized view has its rows, from now on.
    pub(super) fn note_refresh(&mut self, id: u32, populated: bool) -> Result<()> {
        let Some(view) = self.catalog.materialized.get(&id) else {
            return Err(Error::new(
                SqlState::UNDEFINED_TABLE,
                "the materialized view does not exist any more",
            ));
        };
        let view = View { materialized: Some(populated), ..(**view).clone() };
        self.put_materialized(view)
    }

    fn put_materialized(&mut self, view: View) -> Result<()> {
        self.txn.put(VIEWS, &view.id.to_be_bytes(), &codec::encode_view(&view))?;
        self.catalog.materialized.insert(view.id, Arc::new(view));
        Ok(())
    }

    /// Errors: 42P01; 2BP01 when another view uses one of them and CASCADE was not said.
    pub(super) fn drop_views(&mut self, views: &[Arc<View>], cascade: bool) -> Result<()> {
        let mut going = BTreeSet::new();
        for view in views {
            match self.catalog.views.get(&view.name) {
                Some(current) if current.id == view.id => going.insert(view.id),
                _ => {
                    let message = format!("view \"{}\" does not exist", view.name);
                    return Err(Error::new(SqlState::UNDEFINED_TABLE, message));
                }
            };
        }
        let what: Vec<(u32, String)> =
            views.iter().map(|view| (view.id, format!("view {}", view.name))).collect();
        let dependents = self.dependents(&what, &going, cascade)?;
        going.extend(dependents);
        self.remove_views(&going)
    }

    fn shown_table(&self, table: &Table) -> String {
        let is_materialized = self.catalog.materialized.contains_key(&table.id.0);
        format!("{} {}", if is_materialized { "materialized view" } else { "table" }, table.name)
    }

    /// Drops the views that use tables which are about to go. Errors: 2BP01 without CASCADE.
    pub(super) fn drop_dependents(&mut self, tables: &[Arc<Table>], cascade: bool) -> Result<()> {
        let what: Vec<(u32, String)> =
            tables.iter().map(|table| (table.id.0, self.shown_table(table))).collect();
        let own = tables.iter().map(|table| table.id.0).collect();
        let going = self.dependents(&what, &own, cascade)?;
        self.remove_views(&going)
    }

    /// The views that use any of `what`, directly or not, `going` left out.
    pub(super) fn dependents(
        &self,
        what: &[(u32, String)],
        going: &BTreeSet<u32>,
        cascade: bool,
    ) -> Result<BTreeSet<u32>> {
        let mut found: BTreeSet<u32> = BTreeSet::new();
        let mut open: Vec<(u32, String)> = what.to_vec();
        let mut lines: Vec<String> = Vec::new();
        let first = what.first().map_or("", |it| it.1.as_str());
        while let Some((id, shown)) = open.pop() {
            for view in self.catalog.views.values().chain(self.catalog.materialized.values()) {
                if view.depends.contains(&id) && !going.contains(&view.id) && found.insert(view.id) {
                    let kind = if view.materialized.is_some() { "materialized view" } else { "view" };
                    lines.push(format!("{kind} {} depends on {shown}", view.name));
                    open.push((view.id, format!("{kind} {}", view.name)));
                }
            }
        }
        if found.is_empty() || cascade {
            return Ok(found);
        }
        let message = format!("cannot drop {first} because other objects depend on it");
        Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .with_detail(lines.join("\n"))
            .with_hint("Use DROP ... CASCADE to drop the dependent objects too."))
    }

    pub(super) fn remove_views(&mut self, ids: &BTreeSet<u32>) -> Result<()> {
        for id in ids {
            match self.catalog.table_by_id(*id).cloned() {
                // A materialized one.
                Some(table) => self.drop_table(&table, true)?,
                None => self.txn.delete(VIEWS, &id.to_be_bytes())?,
            }
        }
        self.catalog.views.retain(|_, view| !ids.contains(&view.id));
        Ok(())
    }
}

/// OR REPLACE may add columns at the end, and nothing else. Errors: 42P16.
fn keeps_columns(old: &View, new: &[crate::catalog::ViewColumn]) -> Result<()> {
    let refuse = |message: String| Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message));
    if new.len() < old.columns.len() {
        return refuse("cannot drop columns from view".to_owned());
    }
    for (before, now) in old.columns.iter().zip(new) {
        if before.name != now.name {
            return refuse(format!(
                "cannot change name of view column \"{}\" to \"{}\"",
                before.name, now.name
            ));
        }
        if before.ty != now.ty {
            return refuse(format!(
                "cannot change data type of view column \"{}\" from {} to {}",
                before.name,
                before.ty.name(),
                now.ty.name()
            ));
        }
    }
    Ok(())
}
