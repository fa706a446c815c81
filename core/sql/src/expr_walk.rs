//! Walks over bound expressions: children, rewriting, comparison of shapes. One place knows the variants.

use crate::expr::{AggregateCall, Expr, FrameBound, SubqueryUse, WindowCall};
use crate::functions::{Volatility, asks_advisory, asks_sequence};

impl Expr {
    /// Calls `f` for each direct child.
    pub fn children(&self, mut f: impl FnMut(&Expr)) {
        match self {
            Expr::Literal { .. } | Expr::Param { .. } | Expr::Column { .. } => {}
            Expr::Call { args, .. } | Expr::Coalesce { args, .. } | Expr::And(args) | Expr::Or(args) => {
                args.iter().for_each(f);
            }
            Expr::Cast { input, .. }
            | Expr::Not(input)
            | Expr::IsNull(input)
            | Expr::InList { input, .. } => f(input),
            Expr::IsNotDistinct(left, right) => {
                f(left);
                f(right);
            }
            Expr::Case { branches, otherwise, .. } => {
                for (condition, value) in branches {
                    f(condition);
                    f(value);
                }
                f(otherwise);
            }
            Expr::Subquery { kind, args, .. } => {
                match kind {
                    SubqueryUse::Scalar | SubqueryUse::Exists => {}
                    SubqueryUse::In(input) => f(input),
                    SubqueryUse::Any { inputs, .. } => inputs.iter().for_each(&mut f),
                }
                args.iter().for_each(|arg| f(&arg.1));
            }
        }
    }

    /// Calls `f` for each direct child, which it may change.
    pub fn children_mut(&mut self, mut f: impl FnMut(&mut Expr)) {
        match self {
            Expr::Literal { .. } | Expr::Param { .. } | Expr::Column { .. } => {}
            Expr::Call { args, .. } | Expr::Coalesce { args, .. } | Expr::And(args) | Expr::Or(args) => {
                args.iter_mut().for_each(f);
            }
            Expr::Cast { input, .. }
            | Expr::Not(input)
            | Expr::IsNull(input)
            | Expr::InList { input, .. } => f(input),
            Expr::IsNotDistinct(left, right) => {
                f(left);
                f(right);
            }
            Expr::Case { branches, otherwise, .. } => {
                for (condition, value) in branches {
                    f(condition);
                    f(value);
                }
                f(otherwise);
            }
            Expr::Subquery { kind, args, .. } => {
                match kind {
                    SubqueryUse::Scalar | SubqueryUse::Exists => {}
                    SubqueryUse::In(input) => f(input),
                    SubqueryUse::Any { inputs, .. } => inputs.iter_mut().for_each(&mut f),
                }
                args.iter_mut().for_each(|arg| f(&mut arg.1));
            }
        }
    }

    /// Whether `test` holds for it or anything in it.
    pub fn any(&self, test: &mut dyn FnMut(&Expr) -> bool) -> bool {
        if test(self) {
            return true;
        }
        let mut found = false;
        self.children(|child| found = found || child.any(test));
        found
    }

    /// Calls `f` for each column in it.
    pub fn each_column(&self, f: &mut dyn FnMut(usize)) {
        if let Expr::Column { id, .. } = self {
            f(*id);
        }
        self.children(|child| child.each_column(f));
    }

    /// Whether a correlated subquery or a sequence function is in it: then its value may have to be waited for.
    pub fn has_correlated(&self) -> bool {
        self.any(&mut |expr| match expr {
            Expr::Subquery { args, .. } => !args.is_empty(),
            Expr::Call { function, .. } => asks_sequence(function),
            _ => false,
        })
    }

    /// How many calls of sequence functions are in it.
    pub fn sequence_call_count(&self) -> usize {
        let mut count = 0;
        self.any(&mut |expr| {
            count += usize::from(matches!(expr, Expr::Call { function, .. } if asks_sequence(function)));
            false
        });
        count
    }

    /// Whether it calls advisory lock functions: no row more than is wanted may be asked about.
    pub fn takes_advisory_locks(&self) -> bool {
        self.any(&mut |expr| matches!(expr, Expr::Call { function, .. } if asks_advisory(function)))
    }

    /// Whether it has a column in it.
    pub fn has_columns(&self) -> bool {
        self.any(&mut |expr| matches!(expr, Expr::Column { .. }))
    }

    /// Whether all its columns pass.
    pub fn columns_all(&self, mut test: impl FnMut(usize) -> bool) -> bool {
        !self.any(&mut |expr| matches!(expr, Expr::Column { id, .. } if !test(*id)))
    }

    /// Whether it may give another value each time.
    pub fn is_volatile(&self) -> bool {
        self.any(&mut |expr| {
            matches!(expr, Expr::Call { function, .. } if function.volatility == Volatility::Volatile)
        })
    }

    /// Rewrites columns: `f` gives what takes a column's place, if anything.
    #[must_use]
    pub fn replace_columns(mut self, f: &dyn Fn(usize) -> Option<Expr>) -> Expr {
        self.replace_columns_in_place(f);
        self
    }

    /// Reads parameter n from column n: for a run over rows of parameters.
    #[must_use]
    pub fn params_as_columns(mut self) -> Expr {
        self.params_to_columns_in_place();
        self
    }

    fn params_to_columns_in_place(&mut self) {
        if let Expr::Param { index, ty } = self {
            *self = Expr::Column { id: *index, ty: *ty };
            return;
        }
        self.children_mut(Expr::params_to_columns_in_place);
    }

    fn replace_columns_in_place(&mut self, f: &dyn Fn(usize) -> Option<Expr>) {
        if let Expr::Column { id, .. } = self {
            if let Some(other) = f(*id) {
                *self = other;
            }
            return;
        }
        self.children_mut(|child| child.replace_columns_in_place(f));
    }

    /// Whether the other expression has the same shape: then it has the same value for the same row, unless it is
    /// volatile. Positions do not count.
    pub fn same(&self, other: &Expr) -> bool {
        let all = |a: &[Expr], b: &[Expr]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b));
        match (self, other) {
            (Expr::Literal { value: a, ty: s }, Expr::Literal { value: b, ty: t }) => {
                s == t && a.identical(b)
            }
            (Expr::Param { index: a, ty: s }, Expr::Param { index: b, ty: t }) => a == b && s == t,
            (Expr::Column { id: a, .. }, Expr::Column { id: b, .. }) => a == b,
            (Expr::Call { function: f, args: a, .. }, Expr::Call { function: g, args: b, .. }) => {
                std::ptr::eq(*f, *g) && all(a, b)
            }
            (
                Expr::Cast { input: a, ty: s, explicit: e, .. },
                Expr::Cast { input: b, ty: t, explicit: f, .. },
            ) => s == t && e == f && a.same(b),
            (Expr::And(a), Expr::And(b)) | (Expr::Or(a), Expr::Or(b)) => all(a, b),
            (Expr::Not(a), Expr::Not(b)) | (Expr::IsNull(a), Expr::IsNull(b)) => a.same(b),
            (Expr::IsNotDistinct(a, b), Expr::IsNotDistinct(c, d)) => a.same(c) && b.same(d),
            (
                Expr::Case { branches: a, otherwise: e, ty: s },
                Expr::Case { branches: b, otherwise: f, ty: t },
            ) => {
                s == t
                    && e.same(f)
                    && a.len() == b.len()
                    && a.iter().zip(b).all(|(a, b)| a.0.same(&b.0) && a.1.same(&b.1))
            }
            (Expr::Coalesce { args: a, ty: s }, Expr::Coalesce { args: b, ty: t }) => s == t && all(a, b),
            (Expr::InList { input: a, list: l }, Expr::InList { input: b, list: m }) => l == m && a.same(b),
            (
                Expr::Subquery { index: a, kind: k, args: s, .. },
                Expr::Subquery { index: b, kind: l, args: t, .. },
            ) => {
                a == b
                    && s.len() == t.len()
                    && s.iter().zip(t).all(|(a, b)| a.0 == b.0 && a.1.same(&b.1))
                    && match (k, l) {
                        (SubqueryUse::Scalar, SubqueryUse::Scalar)
                        | (SubqueryUse::Exists, SubqueryUse::Exists) => true,
                        (SubqueryUse::In(a), SubqueryUse::In(b)) => a.same(b),
                        (
                            SubqueryUse::Any { inputs: a, test: e },
                            SubqueryUse::Any { inputs: b, test: f },
                        ) => all(a, b) && e.same(f),
                        _ => false,
                    }
            }
            _ => false,
        }
    }

    /// TRUE or FALSE.
    pub fn bool(value: bool) -> Expr {
        Expr::Literal { value: crate::datum::Datum::Bool(value), ty: crate::types::SqlType::Bool }
    }

    /// Its conjuncts.
    pub fn into_conjuncts(self, into: &mut Vec<Expr>) {
        match self {
            Expr::And(parts) => parts.into_iter().for_each(|part| part.into_conjuncts(into)),
            other => into.push(other),
        }
    }

    /// The conjunction of several; none: no expression.
    pub fn conjunction(mut parts: Vec<Expr>) -> Option<Expr> {
        match parts.len() {
            0 => None,
            1 => parts.pop(),
            _ => Some(Expr::And(parts)),
        }
    }
}

impl AggregateCall {
    /// Whether the other gives the same value.
    pub fn same(&self, other: &AggregateCall) -> bool {
        std::ptr::eq(self.function, other.function)
            && self.distinct == other.distinct
            && self.order_by == other.order_by
            && self.args.len() == other.args.len()
            && self.args.iter().zip(&other.args).all(|(a, b)| a.same(b))
            && match (&self.filter, &other.filter) {
                (None, None) => true,
                (Some(a), Some(b)) => a.same(b),
                _ => false,
            }
            && !self.args.iter().chain(&self.filter).any(Expr::is_volatile)
    }

    /// Calls `f` for each expression in it.
    pub fn exprs_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        self.args.iter_mut().chain(&mut self.filter)
    }

    /// Its expressions.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.args.iter().chain(&self.filter)
    }
}

impl WindowCall {
    /// Its expressions.
    pub fn exprs(&self) -> Vec<&Expr> {
        let mut all: Vec<&Expr> = self.args.iter().chain(&self.filter).collect();
        for bound in [&self.frame.start, &self.frame.end] {
            match bound {
                FrameBound::Unbounded | FrameBound::Current => {}
                FrameBound::Count { count, .. } => all.push(count),
                FrameBound::Distance { distance, value, limit } => all.extend([&**distance, value, limit]),
            }
        }
        all
    }

    /// Its expressions, to be changed.
    pub fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        let mut all: Vec<&mut Expr> = self.args.iter_mut().chain(&mut self.filter).collect();
        for bound in [&mut self.frame.start, &mut self.frame.end] {
            match bound {
                FrameBound::Unbounded | FrameBound::Current => {}
                FrameBound::Count { count, .. } => all.push(count),
                FrameBound::Distance { distance, value, limit } => {
                    all.extend([&mut **distance, &mut **value, &mut **limit]);
                }
            }
        }
        all
    }
}
