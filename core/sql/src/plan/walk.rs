//! Walks over logical plans: inputs and expressions of a node. One place knows the variants.

use super::logical::Logical;
use crate::expr::Expr;

impl Logical {
    /// Its inputs.
    pub fn inputs(&self) -> Vec<&Logical> {
        match self {
            Logical::Values { .. }
            | Logical::Scan { .. }
            | Logical::Series { .. }
            | Logical::Live { .. }
            | Logical::Working { .. } => Vec::new(),
            Logical::Filter { input, .. }
            | Logical::Extend { input, .. }
            | Logical::Aggregate { input, .. }
            | Logical::Sort { input, .. }
            | Logical::Window { input, .. }
            | Logical::Limit { input, .. }
            | Logical::LockRows { input, .. }
            | Logical::Distinct { input, .. } => vec![input],
            Logical::Join { left, right, .. } | Logical::Apply { left, right, .. } => vec![left, right],
            Logical::Append { inputs, .. } => inputs.iter().map(|it| &it.0).collect(),
            Logical::Recursive { anchor, step, .. } => vec![&anchor.0, &step.0],
        }
    }

    /// Its inputs, to be changed.
    pub fn inputs_mut(&mut self) -> Vec<&mut Logical> {
        match self {
            Logical::Values { .. }
            | Logical::Scan { .. }
            | Logical::Series { .. }
            | Logical::Live { .. }
            | Logical::Working { .. } => Vec::new(),
            Logical::Filter { input, .. }
            | Logical::Extend { input, .. }
            | Logical::Aggregate { input, .. }
            | Logical::Sort { input, .. }
            | Logical::Window { input, .. }
            | Logical::Limit { input, .. }
            | Logical::LockRows { input, .. }
            | Logical::Distinct { input, .. } => vec![input],
            Logical::Join { left, right, .. } | Logical::Apply { left, right, .. } => vec![left, right],
            Logical::Append { inputs, .. } => inputs.iter_mut().map(|it| &mut it.0).collect(),
            Logical::Recursive { anchor, step, .. } => vec![&mut anchor.0, &mut step.0],
        }
    }

    /// The expressions of this node alone.
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            Logical::Scan { .. }
            | Logical::Sort { .. }
            | Logical::Distinct { .. }
            | Logical::Recursive { .. }
            | Logical::Working { .. }
            | Logical::Live { .. }
            | Logical::Append { .. } => Vec::new(),
            Logical::Values { rows, .. } => rows.iter().flatten().collect(),
            Logical::Series { args, .. } => args.iter().collect(),
            Logical::Filter { predicates, .. } => predicates.iter().collect(),
            Logical::Extend { exprs, .. } => exprs.iter().map(|it| &it.1).collect(),
            Logical::Join { on, .. } => on.iter().collect(),
            Logical::Apply { on, args, .. } => on.iter().chain(args.iter().map(|it| &it.1)).collect(),
            Logical::Aggregate { groups, aggregates, .. } => {
                let calls = aggregates.iter().flat_map(|it| it.1.exprs());
                groups.iter().map(|it| &it.1).chain(calls).collect()
            }
            Logical::Limit { limit, offset, .. } => limit.iter().chain(offset).collect(),
            Logical::LockRows { recheck, .. } => recheck.iter().collect(),
            Logical::Window { calls, .. } => calls.iter().flat_map(|it| it.1.exprs()).collect(),
        }
    }

    /// The expressions of this node alone, to be changed.
    pub fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Logical::Scan { .. }
            | Logical::Sort { .. }
            | Logical::Distinct { .. }
            | Logical::Recursive { .. }
            | Logical::Working { .. }
            | Logical::Live { .. }
            | Logical::Append { .. } => Vec::new(),
            Logical::Values { rows, .. } => rows.iter_mut().flatten().collect(),
            Logical::Series { args, .. } => args.iter_mut().collect(),
            Logical::Filter { predicates, .. } => predicates.iter_mut().collect(),
            Logical::Extend { exprs, .. } => exprs.iter_mut().map(|it| &mut it.1).collect(),
            Logical::Join { on, .. } => on.iter_mut().collect(),
            Logical::Apply { on, args, .. } => {
                on.iter_mut().chain(args.iter_mut().map(|it| &mut it.1)).collect()
            }
            Logical::Aggregate { groups, aggregates, .. } => {
                let calls = aggregates.iter_mut().flat_map(|it| it.1.exprs_mut());
                groups.iter_mut().map(|it| &mut it.1).chain(calls).collect()
            }
            Logical::Limit { limit, offset, .. } => limit.iter_mut().chain(offset).collect(),
            Logical::LockRows { recheck, .. } => recheck.iter_mut().collect(),
            Logical::Window { calls, .. } => calls.iter_mut().flat_map(|it| it.1.exprs_mut()).collect(),
        }
    }

    /// Whether `test` holds for any expression in the tree, or in one of those.
    pub fn any_expr(&self, test: &mut dyn FnMut(&Expr) -> bool) -> bool {
        self.exprs().into_iter().any(|expr| expr.any(test))
            || self.inputs().into_iter().any(|input| input.any_expr(test))
    }
}
