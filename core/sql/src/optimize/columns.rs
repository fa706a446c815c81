//! Which columns an expression uses, and turning their ids into positions.

use crate::expr::{Expr, SubqueryUse};
use crate::plan::logical::ColumnId;
use orrery_base::{Error, Result};
use std::collections::BTreeSet;

/// Calls `each` for every direct operand.
pub fn operands<'e>(expr: &'e Expr, each: &mut dyn FnMut(&'e Expr)) {
    match expr {
        Expr::Literal { .. } | Expr::Param { .. } | Expr::Column { .. } => {}
        Expr::Call { args, .. } | Expr::And(args) | Expr::Or(args) | Expr::Coalesce { args, .. } => {
            args.iter().for_each(each);
        }
        Expr::Cast { input, .. } | Expr::Not(input) | Expr::IsNull(input) | Expr::InList { input, .. } => each(input),
        Expr::IsNotDistinct(left, right) => {
            each(left);
            each(right);
        }
        Expr::Case { branches, otherwise, .. } => {
            for (condition, value) in branches {
                each(condition);
                each(value);
            }
            each(otherwise);
        }
        Expr::Subquery { kind, .. } => {
            if let SubqueryUse::In(input) = kind {
                each(input);
            }
        }
    }
}

/// Replaces columns: `replace` gives what stands for a column, `None` leaves it.
pub fn replace(expr: &mut Expr, with: &mut dyn FnMut(ColumnId) -> Result<Option<Expr>>) -> Result<()> {
    if let Expr::Column { id, .. } = expr {
        if let Some(other) = with(*id)? {
            *expr = other;
        }
        return Ok(());
    }
    let mut outcome = Ok(());
    operands_mut(expr, &mut |operand| {
        if outcome.is_ok() {
            outcome = replace(operand, with);
        }
    });
    outcome
}

fn operands_mut(expr: &mut Expr, each: &mut dyn FnMut(&mut Expr)) {
    match expr {
        Expr::Literal { .. } | Expr::Param { .. } | Expr::Column { .. } => {}
        Expr::Call { args, .. } | Expr::And(args) | Expr::Or(args) | Expr::Coalesce { args, .. } => {
            args.iter_mut().for_each(each);
        }
        Expr::Cast { input, .. } | Expr::Not(input) | Expr::IsNull(input) | Expr::InList { input, .. } => each(input),
        Expr::IsNotDistinct(left, right) => {
            each(left);
            each(right);
        }
        Expr::Case { branches, otherwise, .. } => {
            for (condition, value) in branches {
                each(condition);
                each(value);
            }
            each(otherwise);
        }
        Expr::Subquery { kind, .. } => {
            if let SubqueryUse::In(input) = kind {
                each(input);
            }
        }
    }
}

/// Adds the columns an expression uses.
pub fn used_into(expr: &Expr, used: &mut BTreeSet<ColumnId>) {
    if let Expr::Column { id, .. } = expr {
        used.insert(*id);
    }
    operands(expr, &mut |operand| used_into(operand, used));
}

/// The columns an expression uses.
pub fn used(expr: &Expr) -> BTreeSet<ColumnId> {
    let mut all = BTreeSet::new();
    used_into(expr, &mut all);
    all
}

/// The expression over positions in `layout` instead of ids. Errors: XX000 when a column is not there.
pub fn to_positions(expr: &Expr, layout: &[ColumnId]) -> Result<Expr> {
    let mut expr = expr.clone();
    place(&mut expr, layout)?;
    Ok(expr)
}

fn place(expr: &mut Expr, layout: &[ColumnId]) -> Result<()> {
    if let Expr::Column { id, .. } = expr {
        let position = layout.iter().position(|column| column == id);
        *id = position.ok_or_else(|| Error::internal(format!("column {id} is not in the operator's input")))?;
        return Ok(());
    }
    let mut outcome = Ok(());
    operands_mut(expr, &mut |operand| {
        if outcome.is_ok() {
            outcome = place(operand, layout);
        }
    });
    outcome
}

/// One predicate of several conjuncts; `None` when there is none.
pub fn all_of(mut predicates: Vec<Expr>) -> Option<Expr> {
    match predicates.len() {
        0 => None,
        1 => predicates.pop(),
        _ => Some(Expr::And(predicates)),
    }
}
