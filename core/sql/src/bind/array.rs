//! Arrays: constructors, subscripts, `op ANY (array)`, and functions of arrays of any type.
//!
//! A function whose signature holds [`SqlType::ANY_ARRAY`] takes arrays of one element type, which is that of its places of
//! type `Unknown`, too. Comparisons want arrays of the same type; the others agree on a common one, as PostgreSQL's
//! `anycompatiblearray` does.

use super::binder::Binder;
use super::coerce::is_implicit;
use super::expr::{Located, location};
use super::scope::Scope;
use crate::array::ArrayValue;
use crate::datum::Datum;
use crate::expr::{AggregateCall, ArgumentOrder, Expr, SubqueryUse};
use crate::functions::{self, CastContext, Scalar, array_assign, arrays, quantified};
use crate::parse::ast::{self, ExprKind, Name, Subscript};
use crate::plan::logical::Logical;
use crate::types::{Element, SqlType};
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

impl Binder<'_> {
    /// `ARRAY[…]`, its elements of type `target` if a cast says so.
    pub(super) fn array_constructor(
        &mut self,
        scope: &Rc<Scope>,
        items: &[ast::Expr],
        target: Option<SqlType>,
        at: u32,
    ) -> Result<Expr> {
        let mut bound = Vec::with_capacity(items.len());
        for item in items {
            let at_item = location(item);
            let expr = match &item.kind {
                ExprKind::Array(inner) => self.array_constructor(scope, inner, target, at_item)?,
                _ => self.expr(scope, item)?,
            };
            bound.push((expr, at_item));
        }
        if bound.is_empty() && target.is_none() {
            let message = "cannot determine type of empty array";
            return Err(Error::new(SqlState::INDETERMINATE_DATATYPE, message)
                .with_hint("Explicitly cast to the desired type, for example ARRAY[]::integer[].")
                .at(at));
        }
        let nested = bound.iter().any(|(expr, _)| matches!(expr.ty(), SqlType::Array(_)));
        let (ty, context) = match target {
            Some(element) if nested => (element.array().unwrap_or(element), CastContext::Explicit),
            Some(element) => (element, CastContext::Explicit),
            None => {
                let types: Vec<(SqlType, u32)> = bound.iter().map(|(expr, at)| (expr.ty(), *at)).collect();
                (self.common_type("ARRAY", &types)?, CastContext::Implicit)
            }
        };
        let mut args = Vec::with_capacity(bound.len());
        for (expr, at) in bound {
            args.push(self.coerce(expr, ty, context, at)?);
        }
        let ty = ty.array().unwrap_or(ty);
        self.fold(Expr::Call { function: &arrays::CONSTRUCTOR, args, ty, position: at })
    }

    /// `ARRAY(SELECT …)`: the rows in the query's order.
    pub(super) fn array_query(&mut self, scope: &Rc<Scope>, query: &ast::Query, at: u32) -> Result<Expr> {
        let (mut query, args) = self.inner_query(scope, query)?;
        let ([output], [field]) = (query.output.as_slice(), query.fields.as_mut_slice()) else {
            let message = "subquery must return only one column";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        };
        let function = functions::aggregates("array_agg").first().copied();
        let function = function.ok_or_else(|| Error::internal("array_agg is missing"))?;
        let element = field.ty;
        let ty = if matches!(element, SqlType::Array(_)) { Some(element) } else { element.array() };
        let ty = ty.ok_or_else(|| Error::unsupported("array of this type").at(at))?;
        // The order is the aggregate's own, so that no rewriting loses it.
        let mut call_args = vec![Expr::Column { id: *output, ty: element }];
        let mut order_by = Vec::new();
        let mut node = &query.root;
        while let Logical::Limit { input, .. } = node {
            node = input;
        }
        if let Logical::Sort { keys, .. } = node {
            for key in keys {
                order_by.push(ArgumentOrder {
                    arg: call_args.len(),
                    descending: key.descending,
                    nulls_first: key.nulls_first,
                });
                call_args.push(self.column_expr(key.column));
            }
        }
        let call = AggregateCall {
            function,
            args: call_args,
            order_by,
            distinct: false,
            filter: None,
            ty,
            position: at,
        };
        let id = self.column(ty);
        let input = Box::new(std::mem::replace(
            &mut query.root,
            Logical::Values { columns: Vec::new(), rows: Vec::new() },
        ));
        query.root = Logical::Aggregate { input, groups: Vec::new(), aggregates: vec![(id, call)] };
        query.output = vec![id];
        field.ty = ty;
        let index = self.subquery(query);
        let rows = Expr::Subquery { index, kind: SubqueryUse::Scalar, args, ty, position: at };
        let none = ArrayValue::of(ty.element().unwrap_or(SqlType::Text), Vec::new());
        let none = Expr::Literal { value: Datum::Array(none.into()), ty };
        Ok(Expr::Coalesce { args: vec![rows, none], ty })
    }

    /// `a[1]`, `a[1:2]`; of a jsonb, its members.
    pub(super) fn subscript(
        &mut self,
        scope: &Rc<Scope>,
        input: &ast::Expr,
        subscripts: &[Subscript],
        at: u32,
    ) -> Result<Expr> {
        let at_input = location(input);
        let mut bound = self.expr(scope, input)?;
        if bound.ty() == SqlType::Jsonb {
            for Subscript { lower, slice, .. } in subscripts {
                let Some(index) = lower.as_ref().filter(|_| !slice) else {
                    let message = "jsonb subscript does not support slices";
                    return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).at(at));
                };
                let index = (self.expr(scope, index)?, location(index));
                bound = self.operator("->", vec![(bound, at_input), index], at)?;
            }
            return Ok(bound);
        }
        let Some(element) = bound.ty().element() else {
            let message = format!(
                "cannot subscript type {} because it does not support subscripting",
                bound.ty().base_name()
            );
            return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).at(at_input));
        };
        let (bounds, given) = self.subscript_bounds(scope, subscripts, at)?;
        let mut args = vec![bound];
        let (function, ty) = match given {
            Some(given) => {
                args.extend(slice_shape(given, subscripts));
                (&arrays::SLICE, args[0].ty())
            }
            None => (&arrays::ELEMENT, element),
        };
        args.extend(bounds);
        self.fold(Expr::Call { function, args, ty, position: at })
    }

    /// The bounds that are written, and of a slice which of all they are (bits). Errors: 54000, 42804.
    fn subscript_bounds(
        &mut self,
        scope: &Rc<Scope>,
        subscripts: &[Subscript],
        at: u32,
    ) -> Result<(Vec<Expr>, Option<i32>)> {
        if subscripts.len() > crate::array::DIMENSION_COUNT_MAX {
            let message =
                format!("number of array dimensions ({}) exceeds the maximum allowed (6)", subscripts.len());
            return Err(crate::array::too_large(message).at(at));
        }
        let is_slice = subscripts.iter().any(|it| it.slice);
        let mut args = Vec::new();
        let mut given = 0;
        for (place, Subscript { lower, upper, slice }) in subscripts.iter().enumerate() {
            // In a slice, `[n]` means `[1:n]`.
            let (lower, upper) = if is_slice && !slice { (&None, lower) } else { (lower, upper) };
            for (side, bound) in [lower, upper].into_iter().enumerate() {
                match bound {
                    Some(bound) => {
                        given |= 1 << (2 * place + side);
                        args.push(self.subscript_bound(scope, bound)?);
                    }
                    None if is_slice && side == 0 && !slice => {
                        given |= 1 << (2 * place);
                        args.push(Expr::Literal { value: Datum::Int4(1), ty: SqlType::Int4 });
                    }
                    None => {}
                }
            }
        }
        Ok((args, is_slice.then_some(given)))
    }

    /// `before` with the elements that `subscripts` name put in: SET a[1] = …. Errors: 42804, 0A000.
    pub(super) fn assigned_elements(
        &mut self,
        scope: &Rc<Scope>,
        before: Expr,
        column: &Name,
        subscripts: &[Subscript],
        value: &ast::Expr,
    ) -> Result<Expr> {
        let ty = before.ty().layout();
        let at = location(value);
        if ty == SqlType::Jsonb {
            return Err(Error::unsupported("assignment to a member of a jsonb").at(column.at));
        }
        let Some(element) = ty.element() else {
            let message =
                format!("cannot subscript type {} because it does not support subscripting", ty.base_name());
            return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).at(column.at));
        };
        if matches!(value.kind, ExprKind::Default) {
            return Err(Error::unsupported("DEFAULT for an element of an array").at(at));
        }
        let (bounds, given) = self.subscript_bounds(scope, subscripts, column.at)?;
        let value = self.expr(scope, value)?;
        let (target, from) = (if given.is_some() { ty } else { element }, value.ty());
        let value = self.coerce_assignment(value, &column.text, target, at).map_err(|error| {
            if error.code() != SqlState::DATATYPE_MISMATCH {
                return error;
            }
            let message = format!(
                "subscripted assignment to \"{}\" requires type {} but expression is of type {}",
                column.text,
                target.base_name(),
                from.base_name()
            );
            Error::new(SqlState::DATATYPE_MISMATCH, message)
                .with_hint("You will need to rewrite or cast the expression.")
                .at(at)
        })?;
        let mut args = vec![before, value];
        let function = match given {
            Some(given) => {
                args.extend(slice_shape(given, subscripts));
                &array_assign::SET_SLICE
            }
            None => &array_assign::SET_ELEMENT,
        };
        args.extend(bounds);
        self.fold(Expr::Call { function, args, ty, position: column.at })
    }

    fn subscript_bound(&mut self, scope: &Rc<Scope>, bound: &ast::Expr) -> Result<Expr> {
        let at = location(bound);
        let expr = self.expr(scope, bound)?;
        self.coerce(expr, SqlType::Int4, CastContext::Assignment, at).map_err(|error| {
            if error.code() == SqlState::CANNOT_COERCE {
                Error::new(SqlState::DATATYPE_MISMATCH, "array subscript must have type integer").at(at)
            } else {
                error
            }
        })
    }

    /// `input op ANY (array)`, `input op ALL (array)`.
    pub(super) fn quantified_array(
        &mut self,
        scope: &Rc<Scope>,
        input: &ast::Expr,
        (op, all): (&str, bool),
        array: &ast::Expr,
        at: u32,
    ) -> Result<Expr> {
        let (at_input, at_array) = (location(input), location(array));
        let input = self.expr(scope, input)?;
        let array = self.expr(scope, array)?;
        let array = if array.ty() == SqlType::Unknown {
            let element = if input.ty() == SqlType::Unknown { SqlType::Text } else { input.ty().base() };
            let ty = element.array().ok_or_else(|| Error::unsupported("ANY of an array of arrays").at(at))?;
            self.coerce(array, ty, CastContext::Implicit, at_array)?
        } else {
            array
        };
        let Some(element) = array.ty().element() else {
            let message = "op ANY/ALL (array) requires array on right side";
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        };
        if op == "="
            && !all
            && !element.is_keyed()
            && let Expr::Literal { value: Datum::Array(known), .. } = &array
        {
            let item = |item: &Datum| (Expr::Literal { value: item.clone(), ty: element.base() }, at_array);
            let items: Vec<Located> = known.items.iter().map(item).collect();
            if !items.is_empty()
                && let Some(test) = self.literal_list(&input, at_input, &items)?
            {
                return Ok(test);
            }
        }
        // The operator is found for an element; what casts it needs, the array gets.
        let stand_in = self.column(element);
        let sides = vec![(input, at_input), (Expr::Column { id: stand_in, ty: element }, at_array)];
        let test = self.operator(op, sides, at)?;
        if test.ty() != SqlType::Bool {
            let message = "op ANY/ALL (array) requires operator to yield boolean";
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        let refused = || Error::unsupported(format!("{op} {}", if all { "ALL" } else { "ANY" })).at(at);
        let Expr::Call { function, args, .. } = test else { return Err(refused()) };
        let quantified = quantified::quantified(function.name, all).ok_or_else(refused)?;
        let Ok([input, side]) = <[Expr; 2]>::try_from(args) else { return Err(refused()) };
        let array = match side {
            Expr::Column { .. } => array,
            other => {
                let ty = other.ty().base().array().ok_or_else(refused)?;
                self.coerce(array, ty, CastContext::Explicit, at_array)?
            }
        };
        self.fold(Expr::Call {
            function: quantified,
            args: vec![input, array],
            ty: SqlType::Bool,
            position: at,
        })
    }

    /// Which of the functions of arrays of any type a call means, its arguments cast; `None` when it means none of them.
    pub(super) fn polymorphic(
        &mut self,
        all: &[&'static Scalar],
        args: &[Located],
    ) -> Result<Option<(&'static Scalar, Vec<Located>)>> {
        if !args.iter().any(|(arg, _)| matches!(arg.ty(), SqlType::Array(_))) {
            return Ok(None);
        }
        for function in all {
            let takes = function.args.len() == args.len() && function.args.contains(&SqlType::ANY_ARRAY);
            if !takes {
                continue;
            }
            let Some(element) = self.element_of(function, args) else { continue };
            let mut cast = Vec::with_capacity(args.len());
            for ((arg, at), place) in args.iter().cloned().zip(function.args) {
                let target = match *place {
                    SqlType::ANY_ARRAY => element.array().unwrap_or(element),
                    SqlType::Unknown => element,
                    other => other,
                };
                let arg = match arg.ty().base() == target.base() {
                    true => arg,
                    false => self.coerce(arg, target, CastContext::Implicit, at)?,
                };
                cast.push((arg, at));
            }
            return Ok(Some((function, cast)));
        }
        Ok(None)
    }

    /// The element type that a function's arguments agree on, if they fit its signature.
    fn element_of(&self, function: &Scalar, args: &[Located]) -> Option<SqlType> {
        let strict = matches!(function.name, "=" | "<>" | "<" | "<=" | ">" | ">=" | "@>" | "<@" | "&&");
        let mut elements = Vec::new();
        for ((arg, at), place) in args.iter().zip(function.args) {
            match (*place, arg.ty()) {
                (SqlType::ANY_ARRAY, SqlType::Array(element)) => elements.push((element.ty().base(), *at)),
                (SqlType::ANY_ARRAY | SqlType::Unknown, SqlType::Unknown) => {}
                (SqlType::ANY_ARRAY, _) | (SqlType::Unknown, SqlType::Array(_)) => return None,
                (SqlType::Unknown, ty) => elements.push((ty.base(), *at)),
                (place, ty) if is_implicit(ty, place) => {}
                _ => return None,
            }
        }
        let first = elements.first()?.0;
        if strict && elements.iter().any(|it| it.0 != first) {
            return None;
        }
        self.common_type("ARRAY", &elements).ok().map(|ty| ty.base())
    }
}

/// Which bounds a slice has (bits), and how many subscripts.
fn slice_shape(given: i32, subscripts: &[Subscript]) -> [Expr; 2] {
    let number = |value| Expr::Literal { value: Datum::Int4(value), ty: SqlType::Int4 };
    [number(given), number(subscripts.len() as i32)]
}

/// A list of types in which nothing stands for any array.
pub(super) fn is_any(ty: SqlType) -> bool {
    ty == SqlType::Array(Element::ANY)
}
