//! ON CONFLICT.

use super::binder::Binder;
use super::dml::TableScope;
use super::index::is_same;
use super::scope::no_column;
use crate::catalog::{Index, Table};
use crate::expr::Expr;
use crate::parse::ast::{self, ConflictTarget, IndexKey};
use crate::plan::{Arbiters, ConflictUpdate};
use orrery_base::sorting;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;
use std::sync::Arc;

impl Binder<'_> {
    /// The keys it is about, and what DO UPDATE does. `scope`: the table's columns as the statement names them.
    pub(super) fn on_conflict(
        &mut self,
        table: &Arc<Table>,
        scope: &TableScope,
        on_conflict: &ast::OnConflict,
    ) -> Result<(Option<Arbiters>, Option<ConflictUpdate>)> {
        let ast::OnConflict { target, update, at } = on_conflict;
        if matches!((target, update), (ConflictTarget::All, Some(_))) {
            let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message)
                .with_hint("For example, ON CONFLICT (column_name).")
                .at(*at));
        }
        let arbiters = self.arbiters(table, target)?;
        let Some(ast::ConflictUpdate { assignments, filter }) = update else {
            return Ok((Some(arbiters), None));
        };
        let excluded = TableScope::new(self, table, "excluded");
        let joined = (*scope.scope).clone().join((*excluded.scope).clone(), *at)?;
        let seen = Rc::new(joined);
        self.level.forbidden = Some("ON CONFLICT");
        let assignments = self.assignments(table, &seen, &scope.ids, assignments)?;
        let filter = filter.as_ref().map(|it| self.condition(&seen, it, "WHERE")).transpose()?;
        let (own, new, width) = (scope.ids.clone(), excluded.ids, table.columns.len());
        let placed = |expr: Expr| {
            expr.replace_columns(&|id| {
                let place = own.iter().position(|it| *it == id);
                let place = place.or_else(|| new.iter().position(|it| *it == id).map(|at| width + at))?;
                Some(Expr::Column { id: place, ty: table.columns[place % width].ty })
            })
        };
        let assignments = assignments.into_iter().map(|(ordinal, value)| (ordinal, placed(value))).collect();
        Ok((Some(arbiters), Some(ConflictUpdate { assignments, filter: filter.map(placed) })))
    }

    /// The unique keys that ON CONFLICT is about. Errors: 42703, 42P10, 42704.
    fn arbiters(&mut self, table: &Arc<Table>, target: &ConflictTarget) -> Result<Arbiters> {
        match target {
            ConflictTarget::All => Ok(Arbiters::All),
            ConflictTarget::Constraint(name) => {
                let stored = format!("{}{}", crate::names::prefix_of(&table.name), name.text);
                let primary = table.primary_key_name.as_deref() == Some(stored.as_str());
                let is_named = |index: &&Index| index.is_constraint && index.name == stored;
                let indexes: Vec<_> = table.indexes.iter().filter(is_named).map(|index| index.tree).collect();
                if !primary && indexes.is_empty() {
                    let message =
                        format!("constraint \"{}\" for table \"{}\" does not exist", name.text, table.name);
                    return Err(Error::new(SqlState::UNDEFINED_OBJECT, message).at(name.at));
                }
                Ok(Arbiters::Some { primary, indexes })
            }
            ConflictTarget::Keys { keys, filter, at } => self.inferred(table, keys, filter.as_ref(), *at),
        }
    }

    /// The unique keys of exactly these columns and expressions: those without a predicate, and those whose predicate is said.
    fn inferred(
        &mut self,
        table: &Arc<Table>,
        keys: &[IndexKey],
        filter: Option<&ast::Expr>,
        at: u32,
    ) -> Result<Arbiters> {
        let none = || {
            let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
            Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(at)
        };
        let hidden = self.hidden_exprs(table)?;
        let mut wanted = Vec::with_capacity(keys.len());
        for key in keys {
            wanted.push(match key {
                IndexKey::Column(name) => table.column(&name.text).ok_or_else(|| no_column(None, name))?,
                IndexKey::Expr(_, tree) => {
                    let bound = self.index_expr(table, tree, None)?;
                    hidden.iter().find(|it| is_same(&it.1, &bound)).map(|it| it.0).ok_or_else(none)?
                }
            });
        }
        let mut said = Vec::new();
        if let Some(filter) = filter {
            self.index_expr(table, filter, Some("WHERE"))?.into_conjuncts(&mut said);
        }
        sorting::sort(&mut wanted);
        wanted.dedup();
        let same = |mut ordinals: Vec<usize>| {
            sorting::sort(&mut ordinals);
            ordinals.dedup();
            ordinals == wanted
        };
        let mut indexes = Vec::new();
        for index in table.indexes.iter().filter(|index| index.unique) {
            let mut ordinals: Vec<usize> = index.columns.iter().map(|column| column.ordinal).collect();
            if let Some(text) = &index.predicate {
                ordinals.pop();
                let tree = crate::parse::expression(text)?;
                let mut needed = Vec::new();
                self.as_stored(|it| it.index_expr(table, &tree, Some("WHERE")))?.into_conjuncts(&mut needed);
                if !needed.iter().all(|part| said.iter().any(|it| is_same(it, part))) {
                    continue;
                }
            }
            if same(ordinals) {
                indexes.push(index.tree);
            }
        }
        let primary = same(table.primary_key.clone());
        if !primary && indexes.is_empty() {
            return Err(none());
        }
        Ok(Arbiters::Some { primary, indexes })
    }
}
