//! Expressions that an index is on: where a predicate over a table has one, the hidden column with its values stands in its place,
//! and access by that index is access by a column like any other.

use crate::bind::without_positions;
use crate::expr::Expr;
use crate::plan::logical::{ColumnId, Logical};

/// The hidden columns of a statement's tables.
#[derive(Default)]
pub(super) struct Hidden(Vec<(String, Expr)>);

impl Hidden {
    /// Of these columns and their expressions.
    pub(super) fn new(hidden: Vec<(ColumnId, Expr)>) -> Self {
        let column = |(id, expr): (ColumnId, Expr)| (shape(&expr), Expr::Column { id, ty: expr.ty() });
        Hidden(hidden.into_iter().map(column).collect())
    }

    /// Puts the columns in place of their expressions, in the predicates over tables.
    pub(super) fn put_in(&self, node: &mut Logical) {
        if self.0.is_empty() {
            return;
        }
        if let Logical::Filter { input, predicates } = node
            && matches!(**input, Logical::Scan { .. })
        {
            predicates.iter_mut().for_each(|predicate| self.replace(predicate));
        }
        node.inputs_mut().into_iter().for_each(|input| self.put_in(input));
    }

    fn replace(&self, expr: &mut Expr) {
        if matches!(expr, Expr::Literal { .. } | Expr::Column { .. } | Expr::Param { .. }) {
            return;
        }
        let own = shape(expr);
        match self.0.iter().find(|it| it.0 == own) {
            Some((_, column)) => *expr = column.clone(),
            None => expr.children_mut(|child| self.replace(child)),
        }
    }
}

/// What is the same for two expressions that are the same wherever they stand.
fn shape(expr: &Expr) -> String {
    format!("{:?}", without_positions(expr.clone()))
}
