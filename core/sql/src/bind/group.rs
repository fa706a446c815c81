//! GROUP BY: what may stand in the output of a grouped query, and in which terms.

use super::binder::Binder;
use crate::expr::{Expr, SubqueryUse};
use crate::plan::logical::ColumnId;
use orrery_base::{Error, Result, SqlState};

/// The group columns of a SELECT; aggregates have theirs from the start.
pub(super) struct Grouping {
    pub(super) groups: Vec<(ColumnId, Expr)>,
}

impl Grouping {
    pub(super) fn new(binder: &mut Binder<'_>, groups: Vec<Expr>) -> Self {
        let groups = groups.into_iter().map(|expr| (binder.column(expr.ty()), expr)).collect();
        Grouping { groups }
    }

    /// An output expression in terms of group columns and aggregates. Errors: 42803.
    pub(super) fn rewrite(&mut self, binder: &mut Binder<'_>, mut expr: Expr) -> Result<Expr> {
        let mut failed = None;
        self.rewrite_in_place(binder, &mut expr, &mut failed);
        match failed {
            Some(error) => Err(error),
            None => Ok(expr),
        }
    }

    fn rewrite_in_place(&mut self, binder: &mut Binder<'_>, expr: &mut Expr, failed: &mut Option<Error>) {
        if let Some((id, group)) = self.groups.iter().find(|(_, group)| group.same(expr)) {
            *expr = Expr::Column { id: *id, ty: group.ty() };
            return;
        }
        if let &mut Expr::Column { id, ty } = expr {
            let is_aggregate = binder.level.aggregates.iter().any(|call| call.0 == id);
            if is_aggregate {
                return;
            }
            if self.depends_on_key(binder, id) {
                // The primary key is grouped, so each group has one value: group by it too.
                let new = binder.column(ty);
                self.groups.push((new, expr.clone()));
                *expr = Expr::Column { id: new, ty };
                return;
            }
            if failed.is_none() {
                *failed = Some(ungrouped(binder, id, false));
            }
            return;
        }
        if let Expr::Subquery { kind, args, .. } = expr {
            match kind {
                SubqueryUse::Scalar | SubqueryUse::Exists => {}
                SubqueryUse::In(input) => self.rewrite_in_place(binder, input, failed),
                SubqueryUse::Any { inputs, .. } => {
                    inputs.iter_mut().for_each(|input| self.rewrite_in_place(binder, input, failed));
                }
            }
            for (_, arg) in args {
                let id = if let Expr::Column { id, .. } = arg { *id } else { 0 };
                let mut refused = None;
                self.rewrite_in_place(binder, arg, &mut refused);
                if refused.is_some() && failed.is_none() {
                    *failed = Some(ungrouped(binder, id, true));
                }
            }
            return;
        }
        expr.children_mut(|child| self.rewrite_in_place(binder, child, failed));
    }

    /// Whether the column is of a table whose whole primary key is grouped.
    fn depends_on_key(&self, binder: &Binder<'_>, id: ColumnId) -> bool {
        let columns = &binder.statement.columns;
        let Some((occurrence, _)) = columns[id].origin else { return false };
        let table = &binder.statement.tables[occurrence];
        !table.primary_key.is_empty()
            && table.primary_key.iter().all(|ordinal| {
                self.groups.iter().any(|(_, group)| {
                    matches!(group, Expr::Column { id, .. } if columns[*id].origin == Some((occurrence, *ordinal)))
                })
            })
    }
}

fn ungrouped(binder: &Binder<'_>, id: ColumnId, by_subquery: bool) -> Error {
    let reference = binder.level.references.iter().find(|it| it.0 == id);
    let (name, at) = reference.map_or(("?", 0), |(_, name)| (name.text.as_str(), name.at));
    let message = if by_subquery {
        format!("subquery uses ungrouped column \"{name}\" from outer query")
    } else {
        format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function")
    };
    Error::new(SqlState::GROUPING_ERROR, message).at(at)
}
