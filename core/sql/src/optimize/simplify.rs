//! Expressions made smaller before planning, as PostgreSQL's `eval_const_expressions` does: what is constant is computed,
//! a strict function of NULL is NULL whatever its other arguments are, and branches that cannot be taken are dropped. So a
//! part that would raise goes away with what makes its value unimportant (`1 / 0 > NULL`).

use crate::datum::Datum;
use crate::eval;
use crate::expr::Expr;
use crate::functions::{EvalContext, Volatility};
use crate::plan::logical::Logical;
use crate::types::SqlType;

/// Simplifies all expressions of a tree.
pub(super) fn tree(node: &mut Logical) {
    node.exprs_mut().into_iter().for_each(simplify);
    node.inputs_mut().into_iter().for_each(tree);
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal { value: Datum::Null, .. })
}

fn truth(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Literal { value: Datum::Bool(value), .. } => Some(*value),
        _ => None,
    }
}

fn null(ty: SqlType) -> Expr {
    Expr::Literal { value: Datum::Null, ty }
}

fn simplify(expr: &mut Expr) {
    expr.children_mut(simplify);
    let smaller = match expr {
        Expr::Call { function, args, ty, .. } => {
            if function.strict && function.volatility != Volatility::Volatile && args.iter().any(is_null) {
                Some(null(*ty))
            } else {
                computed(expr)
            }
        }
        Expr::Cast { input, ty, .. } if is_null(input) => Some(null(*ty)),
        Expr::Not(input) if is_null(input) => Some(null(SqlType::Bool)),
        Expr::Not(input) => truth(input).map(|value| Expr::bool(!value)),
        Expr::IsNull(input) => match &**input {
            Expr::Literal { value, .. } => Some(Expr::bool(value.is_null())),
            _ => None,
        },
        Expr::And(operands) => connected(operands, true),
        Expr::Or(operands) => connected(operands, false).or_else(|| factored(operands)),
        Expr::Case { branches, otherwise, .. } => {
            branches.retain(|(when, _)| truth(when) != Some(false) && !is_null(when));
            if let Some(index) = branches.iter().position(|(when, _)| truth(when) == Some(true)) {
                **otherwise = branches.swap_remove(index).1;
                branches.truncate(index);
            }
            branches.is_empty().then(|| (**otherwise).clone())
        }
        Expr::Coalesce { args, ty } => {
            args.retain(|arg| !is_null(arg));
            if let Some(index) = args.iter().position(|arg| matches!(arg, Expr::Literal { .. })) {
                args.truncate(index + 1);
            }
            match args.len() {
                0 => Some(null(*ty)),
                1 => args.pop(),
                _ => None,
            }
        }
        _ => None,
    };
    if let Some(smaller) = smaller {
        *expr = smaller;
    }
}

/// AND (`neutral` true) or OR (false) without operands that change nothing, or the one that decides.
fn connected(operands: &mut Vec<Expr>, neutral: bool) -> Option<Expr> {
    if operands.iter().any(|it| truth(it) == Some(!neutral)) {
        return Some(Expr::bool(!neutral));
    }
    operands.retain(|it| truth(it) != Some(neutral));
    match operands.len() {
        0 => Some(Expr::bool(neutral)),
        1 => operands.pop(),
        _ => None,
    }
}

/// `(a AND b) OR (a AND c)` as `a AND (b OR c)`: what all branches ask can then be a join's condition.
fn factored(operands: &[Expr]) -> Option<Expr> {
    let parts = |expr: &Expr| match expr {
        Expr::And(parts) => parts.clone(),
        other => vec![other.clone()],
    };
    let mut branches: Vec<Vec<Expr>> = operands.iter().map(parts).collect();
    let is_common = |candidate: &Expr| {
        !candidate.is_volatile() && branches.iter().all(|branch| branch.iter().any(|it| it.same(candidate)))
    };
    let mut common: Vec<Expr> = Vec::new();
    for candidate in &branches[0] {
        if is_common(candidate) && !common.iter().any(|known| known.same(candidate)) {
            common.push(candidate.clone());
        }
    }
    if common.is_empty() {
        return None;
    }
    for branch in &mut branches {
        branch.retain(|it| !common.iter().any(|known| known.same(it)));
    }
    // A branch that asks for nothing more makes the rest of the others unimportant.
    if branches.iter().all(|branch| !branch.is_empty()) {
        common.push(Expr::Or(branches.into_iter().filter_map(Expr::conjunction).collect()));
    }
    Expr::conjunction(common)
}

/// The value of an immutable call of constants; none where it raises: the execution may never come to it.
fn computed(expr: &Expr) -> Option<Expr> {
    let Expr::Call { function, args, ty, .. } = expr else { return None };
    let constant = function.volatility == Volatility::Immutable
        && args.iter().all(|arg| matches!(arg, Expr::Literal { .. }));
    if !constant {
        return None;
    }
    let value = eval::constant(expr, &EvalContext::constant(0, 0, Default::default())).ok()?;
    Some(Expr::Literal { value, ty: *ty })
}
