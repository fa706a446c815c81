//! What a disjunction over several relations says of one of them alone: `(a.x = 1 AND b.y = 2) OR (a.x = 3 AND b.y = 4)`
//! implies `a.x = 1 OR a.x = 3`, by which rows of `a` go before the join (PostgreSQL's `orclauses.c`). The disjunction itself
//! stays with the join.

use super::unnest::raises;
use crate::expr::Expr;

/// What `expr` says of the columns for which `is_own` holds; `None`: nothing, or something that may raise for a row which the
/// join would have dropped.
pub(super) fn restriction(expr: &Expr, is_own: &dyn Fn(usize) -> bool) -> Option<Expr> {
    let Expr::Or(arms) = expr else { return None };
    let mut said = Vec::with_capacity(arms.len());
    for arm in arms {
        let parts = match arm {
            Expr::And(parts) => parts.as_slice(),
            other => std::slice::from_ref(other),
        };
        let own = parts.iter().filter_map(|part| match part {
            Expr::Or(_) if !part.columns_all(is_own) => restriction(part, is_own),
            part => is_plain(part, is_own).then(|| part.clone()),
        });
        said.push(Expr::conjunction(own.collect())?);
    }
    Some(Expr::Or(said))
}

fn is_plain(part: &Expr, is_own: &dyn Fn(usize) -> bool) -> bool {
    part.has_columns()
        && part.columns_all(is_own)
        && !part.is_volatile()
        && !part.has_correlated()
        && !raises(part)
}
