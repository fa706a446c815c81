//! ON CONFLICT.

use super::binder::Binder;
use super::dml::TableScope;
use super::scope::no_column;
use crate::catalog::{Index, Table};
use crate::expr::Expr;
use crate::parse::ast::{self, ConflictTarget};
use crate::plan::{Arbiters, ConflictUpdate};
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
        let assignments = self.assignments(table, &seen, assignments)?;
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
    fn arbiters(&self, table: &Table, target: &ConflictTarget) -> Result<Arbiters> {
        match target {
            ConflictTarget::All => Ok(Arbiters::All),
            ConflictTarget::Constraint(name) => {
                let primary = table.primary_key_name.as_deref() == Some(name.text.as_str());
                let is_named = |index: &&Index| index.is_constraint && index.name == name.text;
                let indexes: Vec<_> = table.indexes.iter().filter(is_named).map(|index| index.tree).collect();
                if !primary && indexes.is_empty() {
                    let message =
                        format!("constraint \"{}\" for table \"{}\" does not exist", name.text, table.name);
                    return Err(Error::new(SqlState::UNDEFINED_OBJECT, message).at(name.at));
                }
                Ok(Arbiters::Some { primary, indexes })
            }
            ConflictTarget::Columns { names, at } => {
                let mut wanted = names
                    .iter()
                    .map(|name| table.column(&name.text).ok_or_else(|| no_column(None, name)))
                    .collect::<Result<Vec<_>>>()?;
                wanted.sort_unstable();
                wanted.dedup();
                let same = |mut ordinals: Vec<usize>| {
                    ordinals.sort_unstable();
                    ordinals == wanted
                };
                let primary = same(table.primary_key.clone());
                let unique = table.indexes.iter().filter(|index| index.unique);
                let indexes: Vec<_> = unique
                    .filter(|index| same(index.columns.iter().map(|column| column.ordinal).collect()))
                    .map(|index| index.tree)
                    .collect();
                if !primary && indexes.is_empty() {
                    let message =
                        "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                    return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(*at));
                }
                Ok(Arbiters::Some { primary, indexes })
            }
        }
    }
}
