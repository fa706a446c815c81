//! Subqueries of expressions: EXISTS, IN, ANY, ALL, and those that stand for a value. What they see of the rows outside
//! comes to them as parameters (see [`Binder::inside`]).

use super::binder::Binder;
use super::expr::{location, negate, negate_if};
use super::from::is_volatile;
use super::scope::Scope;
use crate::expr::{Expr, SubqueryUse};
use crate::functions::CastContext;
use crate::parse::ast::{self, ExprKind};
use crate::plan::logical::Query;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;
use std::sync::Arc;

impl Binder<'_> {
    /// A subquery of an expression, and what it sees of the rows outside.
    pub(super) fn inner_query(
        &mut self,
        scope: &Rc<Scope>,
        query: &ast::Query,
    ) -> Result<(Query, Vec<(usize, Expr)>)> {
        let level = std::mem::take(&mut self.level);
        let (level, result) = self.inside(scope.clone(), level, |binder| binder.query(query));
        self.level = level;
        let (bound, captures) = result?;
        if !captures.is_empty() && is_volatile(&bound.root) {
            // It would have to run for each row, not for each distinct tuple.
            return Err(Error::unsupported("volatile function in a correlated subquery").at(query.at));
        }
        let mut args = Vec::with_capacity(captures.len());
        for (index, value, name) in captures {
            if let Expr::Column { id, .. } = value
                && !self.level.in_aggregate
                && !self.level.references.iter().any(|it| it.0 == id)
            {
                self.level.references.push((id, name));
            }
            args.push((index, value));
        }
        Ok((bound, args))
    }

    pub(super) fn exists(&mut self, scope: &Rc<Scope>, query: &ast::Query, at: u32) -> Result<Expr> {
        let (query, args) = self.inner_query(scope, query)?;
        let index = self.subquery(query);
        Ok(Expr::Subquery { index, kind: SubqueryUse::Exists, args, ty: SqlType::Bool, position: at })
    }

    /// The value of a subquery; with `part`, of one of so many columns.
    pub(super) fn scalar_subquery(
        &mut self,
        scope: &Rc<Scope>,
        query: &ast::Query,
        part: Option<(usize, usize)>,
        at: u32,
    ) -> Result<Expr> {
        let (mut query, args) = self.inner_query(scope, query)?;
        if let Some((part, width)) = part {
            if query.fields.len() != width {
                let message = "number of columns does not match number of values";
                return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
            }
            if is_volatile(&query.root) {
                return Err(Error::unsupported("volatile subquery assigned to several columns").at(at));
            }
            query.output = vec![query.output[part]];
            query.fields = vec![query.fields[part].clone()];
        }
        let [field] = query.fields.as_slice() else {
            let message = "subquery must return only one column";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        };
        let ty = field.ty;
        let index = self.subquery(query);
        Ok(Expr::Subquery { index, kind: SubqueryUse::Scalar, args, ty, position: at })
    }

    pub(super) fn in_subquery(
        &mut self,
        scope: &Rc<Scope>,
        input: &ast::Expr,
        query: &ast::Query,
        negated: bool,
        at: u32,
    ) -> Result<Expr> {
        if matches!(input.kind, ExprKind::Row(_)) {
            let any = self.quantified(scope, input, ("=", false), query, at)?;
            return Ok(negate_if(any, negated));
        }
        let at_input = location(input);
        let bound = self.expr(scope, input)?;
        let at_query = query.at;
        let (mut query, args) = self.inner_query(scope, query)?;
        let [field] = query.fields.as_slice() else {
            let message = "subquery has too many columns";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        };
        let types = [(bound.ty(), at_input), (field.ty, at_query)];
        let ty = self.common_type("IN", &types).map_err(|_| {
            let message =
                format!("operator does not exist: {} = {}", bound.ty().base_name(), field.ty.base_name());
            Error::new(SqlState::UNDEFINED_FUNCTION, message).at(at)
        })?;
        let bound = self.coerce(bound, ty, CastContext::Implicit, at_input)?;
        self.cast_output(&mut query, &[ty], CastContext::Implicit, at_query)?;
        let index = self.subquery(query);
        let kind = SubqueryUse::In(Box::new(bound));
        Ok(negate_if(Expr::Subquery { index, kind, args, ty: SqlType::Bool, position: at }, negated))
    }

    /// `input op ANY (query)`; `input op ALL (query)` is that no row fails the comparison.
    pub(super) fn quantified(
        &mut self,
        scope: &Rc<Scope>,
        input: &ast::Expr,
        (op, all): (&str, bool),
        query: &ast::Query,
        at: u32,
    ) -> Result<Expr> {
        let parts: &[ast::Expr] = match &input.kind {
            ExprKind::Row(parts) => parts,
            _ => std::slice::from_ref(input),
        };
        if parts.len() > 1 && !matches!(op, "=" | "<>") {
            return Err(Error::unsupported(format!("row {op} {}", if all { "ALL" } else { "ANY" })).at(at));
        }
        let mut inputs = Vec::with_capacity(parts.len());
        for part in parts {
            let at_part = location(part);
            let bound = self.expr(scope, part)?;
            inputs.push((self.known(bound, at_part)?, at_part));
        }
        let at_query = query.at;
        let (query, args) = self.inner_query(scope, query)?;
        if query.fields.len() != inputs.len() {
            let few = query.fields.len() < inputs.len();
            let message = if few { "subquery has too few columns" } else { "subquery has too many columns" };
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        let width = inputs.len();
        let mut tests = Vec::with_capacity(width);
        for (place, ((bound, at_part), field)) in inputs.iter().zip(&query.fields).enumerate() {
            let left = (Expr::Column { id: place, ty: bound.ty() }, *at_part);
            let right = (Expr::Column { id: width + place, ty: field.ty }, at_query);
            tests.push(self.operator(op, vec![left, right], at)?);
        }
        // `(a, b) <> (c, d)` is that one of the parts differs.
        let test = match (tests.len(), op) {
            (1, _) => tests.pop().expect("there is one"),
            (_, "<>") => Expr::Or(tests),
            _ => Expr::And(tests),
        };
        let test = self.coerce_bool(test, op, at)?;
        let test = Arc::new(negate_if(test, all));
        let index = self.subquery(query);
        let kind = SubqueryUse::Any { inputs: inputs.into_iter().map(|it| it.0).collect(), test };
        let any = Expr::Subquery { index, kind, args, ty: SqlType::Bool, position: at };
        Ok(if all { negate(any) } else { any })
    }
}

/// An expression as the scope sees it that gave the columns: parameters for them become the columns.
pub(super) fn resolved(mut expr: Expr, captures: &[(usize, Expr, ast::Name)]) -> Expr {
    fn walk(expr: &mut Expr, captures: &[(usize, Expr, ast::Name)]) {
        if let Expr::Param { index, .. } = expr {
            if let Some((_, value, _)) = captures.iter().find(|it| it.0 == *index) {
                *expr = value.clone();
            }
            return;
        }
        expr.children_mut(|child| walk(child, captures));
    }
    walk(&mut expr, captures);
    expr
}
