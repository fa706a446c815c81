//! SET: the columns that an UPDATE or an ON CONFLICT gives new values. Of an array, elements and slices may be named.

use super::binder::Binder;
use super::expr::location;
use super::scope::Scope;
use crate::catalog::Table;
use crate::expr::Expr;
use crate::parse::ast::{self, ExprKind};
use crate::plan::logical::ColumnId;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

impl Binder<'_> {
    /// The columns that SET names with their new values. Errors: 42703, 42601, 428C9, 42804.
    pub(super) fn assignments(
        &mut self,
        table: &Table,
        seen: &Rc<Scope>,
        ids: &[ColumnId],
        assignments: &[ast::Assignment],
    ) -> Result<Vec<(usize, Expr)>> {
        let mut bound: Vec<(usize, Expr)> = Vec::with_capacity(assignments.len());
        // Columns whose elements are assigned to: one after the other, each to what the one before left.
        let mut in_parts: Vec<usize> = Vec::new();
        for ast::Assignment { column, part, value } in assignments {
            let ordinal = self.table_column(table, column)?;
            let definition = &table.columns[ordinal];
            if matches!(part, ast::AssignedPart::Field) {
                return Err(Error::unsupported("assignment to a field of a column").at(column.at));
            }
            let known = bound.iter().position(|known| known.0 == ordinal);
            let is_part = matches!(part, ast::AssignedPart::Elements(_));
            if known.is_some() && !(is_part && in_parts.contains(&ordinal)) {
                let message = format!("multiple assignments to same column \"{}\"", column.text);
                return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(column.at));
            }
            let value = if matches!(value.kind, ExprKind::Default) && !is_part {
                self.default_value(definition)?
            } else {
                if definition.generated.is_some() || definition.identity.is_some_and(|it| it.always) {
                    let message = format!("column \"{}\" can only be updated to DEFAULT", definition.name);
                    return Err(Error::new(SqlState::GENERATED_ALWAYS, message).at(column.at));
                }
                let at = location(value);
                let value = match part {
                    ast::AssignedPart::Elements(subscripts) => {
                        in_parts.push(ordinal);
                        let before = match known {
                            Some(known) => bound.remove(known).1,
                            None => Expr::Column { id: ids[ordinal], ty: definition.ty },
                        };
                        self.assigned_elements(seen, before, column, subscripts, value)?
                    }
                    _ => self.expr(seen, value)?,
                };
                self.coerce_assignment(value, &definition.name, definition.assigned(), at)?
            };
            bound.push((ordinal, value));
        }
        Ok(bound)
    }
}
