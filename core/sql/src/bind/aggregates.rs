//! Calls of aggregates: their arguments, the query they belong to, the order they want.

use super::binder::Binder;
use super::expr::{Located, location};
use super::resolve::no_function;
use super::scope::Scope;
use crate::expr::{ArgumentOrder, Expr};
use crate::functions;
use crate::parse::ast::{self, FunctionCall, Name};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

impl Binder<'_> {
    pub(super) fn aggregate_call(
        &mut self,
        scope: &Rc<Scope>,
        function: &FunctionCall,
        at: u32,
    ) -> Result<Expr> {
        let FunctionCall {
            name,
            args,
            variadic: _,
            star,
            distinct,
            order_by,
            filter,
            within,
            over: _,
            label: _,
        } = function;
        if self.level.in_aggregate {
            let message = "aggregate function calls cannot be nested";
            return Err(Error::new(SqlState::GROUPING_ERROR, message).at(at));
        }
        let is_ordered_set = functions::is_ordered_set(&name.text);
        if is_ordered_set && within.is_empty() {
            let message = format!("WITHIN GROUP is required for ordered-set aggregate {}", name.text);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        if !is_ordered_set && !within.is_empty() {
            return Err(no_function(&name.text, &[], at));
        }
        if is_ordered_set && (*distinct || !order_by.is_empty() || within.len() > 1) {
            return Err(Error::unsupported("DISTINCT, ORDER BY or several keys with WITHIN GROUP").at(at));
        }
        if *star != args.is_empty() && !is_ordered_set {
            let message = format!("{}(*) must be used to call a parameterless aggregate function", name.text);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        let captured: Vec<usize> = self.outer.iter().map(|outer| outer.captures.len()).collect();
        self.level.in_aggregate = true;
        let parts = self.aggregate_parts(scope, args, filter.as_ref());
        let keys = self.aggregate_keys(scope, if is_ordered_set { within } else { order_by });
        self.level.in_aggregate = false;
        let ((mut bound, filter), mut keys) = (parts?, keys?);
        let mut within_order = None;
        if is_ordered_set {
            let (value, at_value, descending, nulls_first) = keys.remove(0);
            within_order = Some(ArgumentOrder { arg: bound.len(), descending, nulls_first });
            bound.push((value, at_value));
        }
        let exprs = bound.iter().map(|it| &it.0).chain(&filter).chain(keys.iter().map(|it| &it.0));
        let depth = self.aggregate_depth(exprs);
        let clause = depth.map_or(self.level.forbidden, |depth| self.outer[depth].level.forbidden);
        if let Some(clause) = clause {
            let message = format!("aggregate functions are not allowed in {clause}");
            return Err(Error::new(SqlState::GROUPING_ERROR, message).at(at));
        }
        let (aggregate, mut args, ty) = self.aggregate(&name.text, bound, at)?;
        let order_by = match within_order {
            Some(order) => vec![order],
            None => argument_order(&name.text, &mut args, keys, *distinct)?,
        };
        let call = crate::expr::AggregateCall {
            function: aggregate,
            args,
            order_by,
            distinct: *distinct,
            filter,
            ty,
            position: at,
        };
        if let Some(depth) = depth {
            return self.outer_aggregate(depth, call, &captured);
        }
        if let Some((id, _)) = self.level.aggregates.iter().find(|(_, known)| known.same(&call)) {
            return Ok(Expr::Column { id: *id, ty });
        }
        let id = self.column(ty);
        self.level.aggregates.push((id, call));
        Ok(Expr::Column { id, ty })
    }

    /// An aggregate of nothing but columns outside is computed by the query outside. `captured`: how many columns each scope
    /// out there had given before.
    fn outer_aggregate(
        &mut self,
        depth: usize,
        mut call: crate::expr::AggregateCall,
        captured: &[usize],
    ) -> Result<Expr> {
        let (ty, at) = (call.ty, call.position);
        let own = self.outer[depth].captures.clone();
        for expr in call.exprs_mut() {
            *expr = super::subquery::resolved(std::mem::replace(expr, Expr::bool(true)), &own);
        }
        // Its arguments are not seen from inside any more, only its value.
        for (outer, count) in self.outer.iter_mut().zip(captured) {
            outer.captures.truncate(*count);
        }
        if call.exprs().any(|expr| self.sees_outside(expr)) {
            return Err(Error::unsupported("aggregate of columns of two outer queries").at(at));
        }
        let level = &mut self.outer[depth].level;
        if level.in_aggregate {
            let message = "aggregate function calls cannot be nested";
            return Err(Error::new(SqlState::GROUPING_ERROR, message).at(at));
        }
        let known = level.aggregates.iter().find(|(_, known)| known.same(&call)).map(|it| it.0);
        let id = match known {
            Some(id) => id,
            None => {
                let id = self.column(ty);
                self.outer[depth].level.aggregates.push((id, call));
                id
            }
        };
        Ok(self.capture(depth, id, ty, &Name { text: String::from("?"), at }))
    }

    /// `GROUPING(…)`: a column whose value is found when the groups are known.
    pub(super) fn grouping_call(&mut self, scope: &Rc<Scope>, args: &[ast::Expr], at: u32) -> Result<Expr> {
        if let Some(clause) = self.level.forbidden {
            let message = format!("grouping operations are not allowed in {clause}");
            return Err(Error::new(SqlState::GROUPING_ERROR, message).at(at));
        }
        if args.is_empty() || args.len() > 31 {
            let message = "GROUPING must have fewer than 32 arguments";
            return Err(Error::new(SqlState::TOO_MANY_ARGUMENTS, message).at(at));
        }
        let bound = args.iter().map(|arg| self.expr(scope, arg)).collect::<Result<Vec<_>>>()?;
        let id = self.column(SqlType::Int4);
        self.level.groupings.push((id, bound, at));
        Ok(Expr::Column { id, ty: SqlType::Int4 })
    }

    /// The keys of ORDER BY inside an aggregate's parentheses, and where each stands. Numbers are no columns here.
    fn aggregate_keys(
        &mut self,
        scope: &Rc<Scope>,
        order_by: &[ast::OrderItem],
    ) -> Result<Vec<(Expr, u32, bool, bool)>> {
        let mut keys = Vec::with_capacity(order_by.len());
        for ast::OrderItem { expr, descending, nulls_first } in order_by {
            let at = location(expr);
            let bound = self.expr(scope, expr)?;
            let bound = self.known(bound, at)?;
            keys.push((bound, at, *descending, nulls_first.unwrap_or(*descending)));
        }
        Ok(keys)
    }

    fn aggregate_parts(
        &mut self,
        scope: &Rc<Scope>,
        args: &[ast::Expr],
        filter: Option<&ast::Expr>,
    ) -> Result<(Vec<Located>, Option<Expr>)> {
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push((self.expr(scope, arg)?, location(arg)));
        }
        let filter = match filter {
            Some(filter) => Some(self.condition(scope, filter, "FILTER")?),
            None => None,
        };
        Ok((bound, filter))
    }
}

/// The order in which `string_agg` joins; no other aggregate minds one. With DISTINCT and no order of its own it goes by the
/// arguments. Keys that are no arguments are put behind those. Errors: 42P10.
fn argument_order(
    name: &str,
    args: &mut Vec<Expr>,
    keys: Vec<(Expr, u32, bool, bool)>,
    distinct: bool,
) -> Result<Vec<ArgumentOrder>> {
    let own = args.len();
    let mut order = Vec::with_capacity(keys.len());
    for (key, at, descending, nulls_first) in keys {
        let arg = match args.iter().position(|arg| arg.same(&key)) {
            Some(arg) => arg,
            None if distinct => {
                let message =
                    "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list";
                return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(at));
            }
            None => {
                args.push(key);
                args.len() - 1
            }
        };
        order.push(ArgumentOrder { arg, descending, nulls_first });
    }
    if !functions::takes_order(name) {
        args.truncate(own);
        return Ok(Vec::new());
    }
    if distinct && order.is_empty() {
        order = (0..own).map(|arg| ArgumentOrder { arg, descending: false, nulls_first: false }).collect();
    }
    Ok(order)
}
