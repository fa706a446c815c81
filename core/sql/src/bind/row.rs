//! Row constructors: compared part by part.

use super::binder::Binder;
use super::expr::{location, negate, negate_if};
use super::scope::Scope;
use crate::expr::Expr;
use crate::parse::ast::{self, ExprKind};
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

/// The parts of a row constructor.
pub(super) fn parts(expr: &ast::Expr) -> Option<&[ast::Expr]> {
    match &expr.kind {
        ExprKind::Row(parts) => Some(parts),
        _ => None,
    }
}

impl Binder<'_> {
    /// `(a, b) op (c, d)`.
    pub(super) fn row_comparison(
        &mut self,
        scope: &Rc<Scope>,
        op: &str,
        left: &[ast::Expr],
        right: &[ast::Expr],
        at: u32,
    ) -> Result<Expr> {
        self.same_width(left, right, at)?;
        match op {
            "=" => Ok(Expr::And(self.pairwise(scope, "=", left, right, at)?)),
            "<>" => Ok(Expr::Or(self.pairwise(scope, "<>", left, right, at)?)),
            "<" | "<=" | ">" | ">=" => {
                let strict = &op[..1];
                // The first parts that differ decide; the last ones as the operator says.
                let mut last = self.pairwise(scope, op, left, right, at)?.pop();
                let smaller = self.pairwise(scope, strict, left, right, at)?;
                let equal = self.pairwise(scope, "=", left, right, at)?;
                for (smaller, equal) in smaller.into_iter().zip(equal).rev().skip(1) {
                    let rest = last.take().into_iter();
                    last = Some(Expr::Or(vec![
                        smaller,
                        Expr::And(std::iter::once(equal).chain(rest).collect()),
                    ]));
                }
                last.ok_or_else(|| Error::internal("a row without parts"))
            }
            _ => Err(Error::unsupported(format!("row {op} row")).at(at)),
        }
    }

    fn same_width(&self, left: &[ast::Expr], right: &[ast::Expr], at: u32) -> Result<()> {
        if left.len() == right.len() {
            return Ok(());
        }
        let message = "unequal number of entries in row expressions";
        Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at))
    }

    fn pairwise(
        &mut self,
        scope: &Rc<Scope>,
        op: &str,
        left: &[ast::Expr],
        right: &[ast::Expr],
        at: u32,
    ) -> Result<Vec<Expr>> {
        let mut all = Vec::with_capacity(left.len());
        for (a, b) in left.iter().zip(right) {
            let (at_a, at_b) = (location(a), location(b));
            let (a, b) = (self.expr(scope, a)?, self.expr(scope, b)?);
            if a.is_volatile() || b.is_volatile() {
                return Err(Error::unsupported("row comparison of a volatile expression").at(at));
            }
            all.push(self.operator(op, vec![(a, at_a), (b, at_b)], at)?);
        }
        Ok(all)
    }

    /// `(a, b) IS [NOT] DISTINCT FROM (c, d)`; `negated`: NOT.
    pub(super) fn row_distinct(
        &mut self,
        scope: &Rc<Scope>,
        (left, right): (&[ast::Expr], &[ast::Expr]),
        negated: bool,
        at: u32,
    ) -> Result<Expr> {
        self.same_width(left, right, at)?;
        let mut same = Vec::with_capacity(left.len());
        for (a, b) in left.iter().zip(right) {
            let kind =
                ExprKind::IsDistinct { left: Box::new(a.clone()), right: Box::new(b.clone()), negated: true };
            same.push(self.expr(scope, &ast::Expr { kind, at })?);
        }
        Ok(negate_if(Expr::And(same), !negated))
    }

    /// `(a, b) IS [NOT] NULL`: all parts are, or none is.
    pub(super) fn row_null(&mut self, scope: &Rc<Scope>, parts: &[ast::Expr], negated: bool) -> Result<Expr> {
        let mut tests = Vec::with_capacity(parts.len());
        for part in parts {
            let kind = ExprKind::IsNull { input: Box::new(part.clone()), negated };
            tests.push(self.expr(scope, &ast::Expr { kind, at: part.at })?);
        }
        Ok(Expr::And(tests))
    }

    /// `(a, b) [NOT] IN ((c, d), …)`.
    pub(super) fn row_in_list(
        &mut self,
        scope: &Rc<Scope>,
        input: &[ast::Expr],
        list: &[ast::Expr],
        negated: bool,
        at: u32,
    ) -> Result<Expr> {
        let mut tests = Vec::with_capacity(list.len());
        for item in list {
            let Some(item) = parts(item) else {
                return Err(Error::unsupported("row beside what is no row constructor").at(item.at));
            };
            tests.push(self.row_comparison(scope, "=", input, item, at)?);
        }
        let any = if tests.len() == 1 { tests.pop().expect("there is one") } else { Expr::Or(tests) };
        Ok(if negated { negate(any) } else { any })
    }
}
