//! Expressions: names to columns, calls to functions, types to types.

use super::binder::{Binder, number};
use super::coerce::category;
use super::resolve::no_function;
use super::row::parts;
use super::scope::{Scope, no_column, no_from_entry};
use crate::datum::Datum;
use crate::expr::Expr;
use crate::functions::{self, CastContext};
use crate::parse::ast::{self, ExprKind, FunctionCall, Name};
use crate::types::{Reg, SqlType};
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

/// A bound expression and where it begins.
pub(super) type Located = (Expr, u32);

/// Where an expression begins: what PostgreSQL points at when the whole of it is wrong.
pub(super) fn location(expr: &ast::Expr) -> u32 {
    let inner = match &expr.kind {
        ExprKind::Binary { left: input, .. }
        | ExprKind::IsNull { input, .. }
        | ExprKind::IsTruth { input, .. }
        | ExprKind::IsDistinct { left: input, .. }
        | ExprKind::Between { input, .. }
        | ExprKind::InList { input, .. }
        | ExprKind::InSubquery { input, .. }
        | ExprKind::Quantified { input, .. }
        | ExprKind::QuantifiedArray { input, .. }
        | ExprKind::Subscript { input, .. }
        | ExprKind::Field { input, .. }
        | ExprKind::AllFields(input)
        | ExprKind::Like { input, .. }
        | ExprKind::NamedCast { input, .. }
        | ExprKind::Cast { input, .. } => location(input),
        ExprKind::And(parts) | ExprKind::Or(parts) => parts.first().map_or(expr.at, location),
        _ => expr.at,
    };
    inner.min(expr.at)
}

impl Binder<'_> {
    /// Binds an expression over the columns of `scope`.
    pub(super) fn expr(&mut self, scope: &Rc<Scope>, expr: &ast::Expr) -> Result<Expr> {
        let at = expr.at;
        match &expr.kind {
            ExprKind::Null => Ok(Expr::Literal { value: Datum::Null, ty: SqlType::Unknown }),
            ExprKind::Bool(value) => Ok(Expr::bool(*value)),
            ExprKind::Number(digits) => number(digits, at),
            ExprKind::String(value) => {
                Ok(Expr::Literal { value: Datum::Text(value.as_str().into()), ty: SqlType::Unknown })
            }
            ExprKind::Param(number) => self.param(*number, at),
            ExprKind::Default => {
                Err(Error::new(SqlState::SYNTAX_ERROR, "DEFAULT is not allowed in this context").at(at))
            }
            ExprKind::Column { table, name } => self.column_ref(scope, table.as_ref(), name),
            ExprKind::Unary { op, input } => {
                let arg = (self.expr(scope, input)?, location(input));
                self.operator(op, vec![arg], at)
            }
            ExprKind::Binary { op, left, right } => {
                if let (Some(left), Some(right)) = (parts(left), parts(right)) {
                    return self.row_comparison(scope, op, left, right, at);
                }
                let left = (self.expr(scope, left)?, location(left));
                let right = (self.expr(scope, right)?, location(right));
                self.operator(op, vec![left, right], at)
            }
            ExprKind::And(parts) => self.logic(scope, parts, "AND", true),
            ExprKind::Or(parts) => self.logic(scope, parts, "OR", false),
            ExprKind::Not(input) => {
                let inner = self.expr(scope, input)?;
                let inner = self.coerce_bool(inner, "NOT", location(input))?;
                Ok(negate(inner))
            }
            ExprKind::IsNull { input, negated } => match parts(input) {
                Some(parts) => self.row_null(scope, parts, *negated),
                None if *negated => self.not_null_test(scope, input),
                None => self.null_test(scope, input),
            },
            ExprKind::IsTruth { input, value, negated } => self.truth_test(scope, input, *value, *negated),
            ExprKind::IsDistinct { left, right, negated } => {
                if let (Some(left), Some(right)) = (parts(left), parts(right)) {
                    return self.row_distinct(scope, (left, right), *negated, at);
                }
                let (left, right) = self.alike(scope, "IS DISTINCT FROM", left, right, at)?;
                Ok(negate_if(Expr::IsNotDistinct(Box::new(left), Box::new(right)), !*negated))
            }
            ExprKind::Between { input, low, high, negated, symmetric } => {
                self.between(scope, input, (low, high), *negated, *symmetric, at)
            }
            ExprKind::InList { input, list, negated } => match parts(input) {
                Some(parts) => self.row_in_list(scope, parts, list, *negated, at),
                None => self.in_list(scope, input, list, *negated, at),
            },
            ExprKind::InSubquery { input, query, negated } => {
                self.in_subquery(scope, input, query, *negated, at)
            }
            ExprKind::Quantified { input, op, all, query } => {
                self.quantified(scope, input, (op, *all), query, at)
            }
            ExprKind::QuantifiedArray { input, op, all, array } => {
                self.quantified_array(scope, input, (op, *all), array, at)
            }
            ExprKind::Array(items) => self.array_constructor(scope, items, None, at),
            ExprKind::ArrayQuery(query) => self.array_query(scope, query, at),
            ExprKind::Subscript { input, subscripts } => self.subscript(scope, input, subscripts, at),
            ExprKind::Row(parts) => self.row_value(scope, parts, at),
            ExprKind::Field { input, name } => self.field(scope, input, name),
            ExprKind::AllFields(input) => self.expr(scope, input),
            ExprKind::Like { input, pattern, escape, negated, fold_case } => {
                self.like(scope, (input, pattern, escape.as_deref()), *negated, *fold_case, at)
            }
            ExprKind::Case { operand, branches, otherwise } => {
                self.case(scope, operand.as_deref(), branches, otherwise.as_deref())
            }
            ExprKind::Cast { input, ty } => self.cast(scope, input, *ty, at),
            ExprKind::NamedCast { input, named } => self.named_cast(scope, input, named, at),
            ExprKind::Regclass(text) => self.reg_literal(text, Reg::Class, at),
            ExprKind::Function(function) => self.function_call(scope, function, at),
            ExprKind::Coalesce(args) => {
                let (args, ty) = self.one_type(scope, "COALESCE", args)?;
                Ok(if args.len() == 1 {
                    args.into_iter().next().expect("one")
                } else {
                    Expr::Coalesce { args, ty }
                })
            }
            ExprKind::NullIf(a, b) => self.null_if(scope, a, b, at),
            ExprKind::Extreme { greatest, args } => self.extreme(scope, *greatest, args, at),
            ExprKind::Exists(query) => self.exists(scope, query, at),
            ExprKind::Subquery(query) => self.scalar_subquery(scope, query, None, at),
            ExprKind::SubqueryPart { query, part, width } => {
                self.scalar_subquery(scope, query, Some((*part, *width)), at)
            }
        }
    }

    fn param(&self, number: u32, at: u32) -> Result<Expr> {
        let index = number as usize - 1;
        let Some(ty) = self.params.get(index).copied() else {
            let message = format!("there is no parameter ${number}");
            return Err(Error::new(SqlState::UNDEFINED_PARAMETER, message).at(at));
        };
        Ok(Expr::Param { index, ty })
    }

    fn cast(&mut self, scope: &Rc<Scope>, input: &ast::Expr, ty: SqlType, at: u32) -> Result<Expr> {
        let at_input = location(input);
        let inner = match (&input.kind, ty) {
            // The elements are cast, not the array.
            (ExprKind::Array(items), SqlType::Array(_)) => {
                self.array_constructor(scope, items, ty.element(), at_input)?
            }
            _ => self.expr(scope, input)?,
        };
        let at = if inner.ty() == SqlType::Unknown { at_input } else { at };
        self.coerce(inner, ty, CastContext::Explicit, at)
    }

    fn null_test(&mut self, scope: &Rc<Scope>, input: &ast::Expr) -> Result<Expr> {
        let inner = match self.expr(scope, input)? {
            // It says nothing about the type of a parameter.
            inner @ Expr::Param { .. } => inner,
            inner => self.known(inner, location(input))?,
        };
        Ok(match inner {
            Expr::Literal { value, .. } => Expr::bool(value.is_null()),
            inner if matches!(inner.ty(), SqlType::Record(_)) => self.all_null(inner, true)?,
            inner => Expr::IsNull(Box::new(inner)),
        })
    }

    /// IS NOT NULL: of a row value, that no field is.
    fn not_null_test(&mut self, scope: &Rc<Scope>, input: &ast::Expr) -> Result<Expr> {
        let test = self.null_test(scope, input)?;
        match test {
            Expr::Call { ref args, .. } if matches!(args[0].ty(), SqlType::Record(_)) => {
                self.all_null(args[0].clone(), false)
            }
            test => Ok(negate(test)),
        }
    }

    /// `IS [NOT] TRUE`, `FALSE` or (`None`) `UNKNOWN`.
    fn truth_test(
        &mut self,
        scope: &Rc<Scope>,
        input: &ast::Expr,
        value: Option<bool>,
        negated: bool,
    ) -> Result<Expr> {
        let clause = match value {
            Some(true) => "IS TRUE",
            Some(false) => "IS FALSE",
            None => "IS UNKNOWN",
        };
        let inner = self.expr(scope, input)?;
        let inner = Box::new(self.coerce_bool(inner, clause, location(input))?);
        let test = match value {
            Some(value) => Expr::IsNotDistinct(inner, Box::new(Expr::bool(value))),
            None => Expr::IsNull(inner),
        };
        Ok(negate_if(test, negated))
    }

    fn like(
        &mut self,
        scope: &Rc<Scope>,
        (input, pattern, escape): (&ast::Expr, &ast::Expr, Option<&ast::Expr>),
        negated: bool,
        fold_case: bool,
        at: u32,
    ) -> Result<Expr> {
        let input = (self.expr(scope, input)?, location(input));
        let mut pattern = (self.expr(scope, pattern)?, location(pattern));
        if let Some(escape) = escape {
            let escape = (self.expr(scope, escape)?, location(escape));
            let escaped = self.function("like_escape", vec![pattern, escape], at)?;
            pattern = (escaped.ok_or_else(|| Error::unsupported("ESCAPE").at(at))?, at);
        }
        let op = match (negated, fold_case) {
            (false, false) => "~~",
            (true, false) => "!~~",
            (false, true) => "~~*",
            (true, true) => "!~~*",
        };
        self.operator(op, vec![input, pattern], at)
    }

    /// A condition of a clause.
    pub(super) fn condition(&mut self, scope: &Rc<Scope>, expr: &ast::Expr, clause: &str) -> Result<Expr> {
        let bound = self.expr(scope, expr)?;
        self.coerce_bool(bound, clause, location(expr))
    }

    fn column_ref(&mut self, scope: &Rc<Scope>, table: Option<&Name>, name: &Name) -> Result<Expr> {
        if let Some(column) = scope.find(table, name)? {
            if let Some(names) = &mut self.column_names {
                names.push(name.clone());
            }
            let (id, ty) = (column.id, column.ty);
            if !self.level.in_aggregate && !self.level.references.iter().any(|it| it.0 == id) {
                let text = match &column.table {
                    Some(table) => format!("{table}.{}", column.name),
                    None => column.name.to_string(),
                };
                let at = table.map_or(name.at, |table| table.at);
                self.level.references.push((id, Name { text, at }));
            }
            return Ok(Expr::Column { id, ty });
        }
        if let Some(table) = table
            && scope.has_table(&table.text)
        {
            return Err(no_column(Some(table), name));
        }
        for depth in (0..self.outer.len()).rev() {
            if self.outer[depth].is_hidden {
                continue;
            }
            let outer = self.outer[depth].scope.clone();
            if let Some(column) = outer.find(table, name)? {
                let text = match &column.table {
                    Some(table) => format!("{table}.{}", column.name),
                    None => column.name.to_string(),
                };
                let at = table.map_or(name.at, |table| table.at);
                return Ok(self.capture(depth, column.id, column.ty, &Name { text, at }));
            }
            // The nearest table of that name is meant, whatever lies further outside.
            if table.is_some_and(|table| outer.has_table(&table.text)) {
                return Err(no_column(table, name));
            }
        }
        if let Some(table) = table {
            return Err(no_from_entry(table));
        }
        if table.is_none()
            && let Some(row) = self.whole_row(scope, name)?
        {
            return Ok(row);
        }
        Err(no_column(table, name))
    }

    fn logic(&mut self, scope: &Rc<Scope>, parts: &[ast::Expr], word: &str, is_and: bool) -> Result<Expr> {
        let mut bound = Vec::with_capacity(parts.len());
        for part in parts {
            let inner = self.expr(scope, part)?;
            match self.coerce_bool(inner, word, location(part))? {
                // TRUE decides OR, FALSE decides AND; the other changes nothing.
                Expr::Literal { value: Datum::Bool(value), .. } if value == is_and => {}
                Expr::And(inner) if is_and => bound.extend(inner),
                Expr::Or(inner) if !is_and => bound.extend(inner),
                other => bound.push(other),
            }
        }
        if bound
            .iter()
            .any(|part| matches!(part, Expr::Literal { value: Datum::Bool(value), .. } if *value != is_and))
        {
            return Ok(Expr::bool(!is_and));
        }
        Ok(match bound.len() {
            0 => Expr::bool(is_and),
            1 => bound.pop().expect("there is one"),
            _ if is_and => Expr::And(bound),
            _ => Expr::Or(bound),
        })
    }

    /// Two expressions as one type that can be compared.
    fn alike(
        &mut self,
        scope: &Rc<Scope>,
        what: &str,
        left: &ast::Expr,
        right: &ast::Expr,
        at: u32,
    ) -> Result<(Expr, Expr)> {
        let (at_left, at_right) = (location(left), location(right));
        let left = self.expr(scope, left)?;
        let right = self.expr(scope, right)?;
        if category(left.ty()) != category(right.ty())
            && left.ty() != SqlType::Unknown
            && right.ty() != SqlType::Unknown
        {
            let message =
                format!("operator does not exist: {} = {}", left.ty().base_name(), right.ty().base_name());
            return Err(Error::new(SqlState::UNDEFINED_FUNCTION, message).at(at));
        }
        let ty = self.common_type(what, &[(left.ty(), at_left), (right.ty(), at_right)])?;
        let left = self.coerce(left, ty, CastContext::Implicit, at_left)?;
        let right = self.coerce(right, ty, CastContext::Implicit, at_right)?;
        Ok((left, right))
    }

    fn between(
        &mut self,
        scope: &Rc<Scope>,
        input: &ast::Expr,
        (low, high): (&ast::Expr, &ast::Expr),
        negated: bool,
        symmetric: bool,
        at: u32,
    ) -> Result<Expr> {
        let at_input = location(input);
        let bound = self.expr(scope, input)?;
        if bound.is_volatile() {
            return Err(Error::unsupported("BETWEEN of a volatile expression").at(at));
        }
        let low = (self.expr(scope, low)?, location(low));
        let high = (self.expr(scope, high)?, location(high));
        let within = |binder: &mut Self, low: (Expr, u32), high: (Expr, u32)| -> Result<Expr> {
            let above = binder.operator(">=", vec![(bound.clone(), at_input), low], at)?;
            let below = binder.operator("<=", vec![(bound.clone(), at_input), high], at)?;
            Ok(Expr::And(vec![above, below]))
        };
        let test = if symmetric {
            let one = within(self, low.clone(), high.clone())?;
            let other = within(self, high, low)?;
            Expr::Or(vec![one, other])
        } else {
            within(self, low, high)?
        };
        Ok(negate_if(test, negated))
    }

    fn in_list(
        &mut self,
        scope: &Rc<Scope>,
        input: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        at: u32,
    ) -> Result<Expr> {
        let at_input = location(input);
        let bound = self.expr(scope, input)?;
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            items.push((self.expr(scope, item)?, location(item)));
        }
        let literals = items.len() > 1 && items.iter().all(|(item, _)| matches!(item, Expr::Literal { .. }));
        if literals && let Some(test) = self.literal_list(&bound, at_input, &items)? {
            return Ok(negate_if(test, negated));
        }
        if bound.is_volatile() && items.len() > 1 {
            return Err(Error::unsupported("IN of a volatile expression").at(at));
        }
        let mut tests = Vec::with_capacity(items.len());
        for item in items {
            tests.push(self.operator("=", vec![(bound.clone(), at_input), item], at)?);
        }
        let test = if tests.len() == 1 { tests.pop().expect("there is one") } else { Expr::Or(tests) };
        Ok(negate_if(test, negated))
    }

    /// A list of constants of the input's type; `None` when the types differ too much.
    pub(super) fn literal_list(
        &mut self,
        input: &Expr,
        at_input: u32,
        items: &[(Expr, u32)],
    ) -> Result<Option<Expr>> {
        let mut types = vec![(input.ty(), at_input)];
        types.extend(items.iter().map(|(item, at)| (item.ty(), *at)));
        let Ok(common) = self.common_type("IN", &types) else { return Ok(None) };
        let target = if input.ty().base() == common.base() { input.ty() } else { common.base() };
        let input = self.coerce(input.clone(), target, CastContext::Implicit, at_input)?;
        let mut list = Vec::with_capacity(items.len());
        for (item, at) in items {
            // Without the modifier: `'abcd'` is not cut to varchar(3), nor 1.25 rounded to numeric(5,1).
            let item = self.coerce(item.clone(), target.base(), CastContext::Implicit, *at)?;
            let Expr::Literal { value, .. } = item else { return Ok(None) };
            match (&value, target) {
                (Datum::Numeric(number), SqlType::Decimal { scale, .. })
                    if number.to_decimal128(scale).is_none() => {}
                _ => list.push(value),
            }
        }
        Ok(Some(Expr::InList { input: Box::new(input), list }))
    }

    fn case(
        &mut self,
        scope: &Rc<Scope>,
        operand: Option<&ast::Expr>,
        branches: &[(ast::Expr, ast::Expr)],
        otherwise: Option<&ast::Expr>,
    ) -> Result<Expr> {
        let operand = match operand {
            Some(operand) => {
                let bound = self.expr(scope, operand)?;
                if bound.is_volatile() {
                    return Err(Error::unsupported("CASE of a volatile expression").at(operand.at));
                }
                Some((self.known(bound, location(operand))?, location(operand)))
            }
            None => None,
        };
        let mut conditions = Vec::with_capacity(branches.len());
        let mut values = Vec::with_capacity(branches.len() + 1);
        for (condition, value) in branches {
            conditions.push(match &operand {
                None => self.condition(scope, condition, "CASE/WHEN")?,
                Some(operand) => {
                    let bound = (self.expr(scope, condition)?, location(condition));
                    self.operator("=", vec![operand.clone(), bound], condition.at)?
                }
            });
            values.push((self.expr(scope, value)?, location(value)));
        }
        values.push(match otherwise {
            Some(value) => (self.expr(scope, value)?, location(value)),
            None => (Expr::Literal { value: Datum::Null, ty: SqlType::Unknown }, 0),
        });
        // PostgreSQL looks at ELSE first.
        let mut types: Vec<(SqlType, u32)> = values.iter().map(|(value, at)| (value.ty(), *at)).collect();
        types.rotate_right(1);
        let ty = self.common_type("CASE", &types)?;
        let mut cast = Vec::with_capacity(values.len());
        for (value, at) in values {
            cast.push(self.coerce(value, ty, CastContext::Implicit, at)?);
        }
        let otherwise = Box::new(cast.pop().expect("ELSE was pushed last"));
        Ok(Expr::Case { branches: conditions.into_iter().zip(cast).collect(), otherwise, ty })
    }

    /// Expressions as one type.
    fn one_type(
        &mut self,
        scope: &Rc<Scope>,
        what: &str,
        args: &[ast::Expr],
    ) -> Result<(Vec<Expr>, SqlType)> {
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push((self.expr(scope, arg)?, location(arg)));
        }
        let types: Vec<(SqlType, u32)> = bound.iter().map(|(arg, at)| (arg.ty(), *at)).collect();
        let ty = self.common_type(what, &types)?;
        let mut cast = Vec::with_capacity(bound.len());
        for (arg, at) in bound {
            cast.push(self.coerce(arg, ty, CastContext::Implicit, at)?);
        }
        Ok((cast, ty))
    }

    fn null_if(&mut self, scope: &Rc<Scope>, a: &ast::Expr, b: &ast::Expr, at: u32) -> Result<Expr> {
        let (at_a, at_b) = (location(a), location(b));
        let first = self.expr(scope, a)?;
        let first = self.known(first, at_a)?;
        if first.is_volatile() {
            return Err(Error::unsupported("NULLIF of a volatile expression").at(at));
        }
        let second = self.expr(scope, b)?;
        let equal = self.operator("=", vec![(first.clone(), at_a), (second.clone(), at_b)], at)?;
        let first = self.compared_as(first, second.ty(), at_a)?;
        let ty = first.ty();
        let null = Expr::Literal { value: Datum::Null, ty };
        Ok(Expr::Case { branches: vec![(equal, null)], otherwise: Box::new(first), ty })
    }

    /// The first operand of a comparison in the type that PostgreSQL compares it in: its own, where there is an operator for
    /// both types, otherwise the common one.
    fn compared_as(&mut self, first: Expr, second: SqlType, at: u32) -> Result<Expr> {
        let group = |ty: SqlType| match ty.base() {
            SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => 1,
            SqlType::Float4 | SqlType::Float8 => 2,
            SqlType::Numeric => 3,
            _ => 0,
        };
        let (own, other) = (group(first.ty()), group(second));
        if own == other || own == 0 || other == 0 {
            return Ok(first);
        }
        let common = if own == 2 || other == 2 { SqlType::Float8 } else { SqlType::Numeric };
        self.coerce_argument(first, common, at)
    }

    /// GREATEST and LEAST ignore NULLs.
    fn extreme(&mut self, scope: &Rc<Scope>, greatest: bool, args: &[ast::Expr], at: u32) -> Result<Expr> {
        let what = if greatest { "GREATEST" } else { "LEAST" };
        let (args, ty) = self.one_type(scope, what, args)?;
        if args.iter().any(Expr::is_volatile) {
            return Err(Error::unsupported(format!("{what} of volatile expressions")).at(at));
        }
        let mut args = args.into_iter();
        let mut best = args.next().expect("the grammar asks for one");
        for (count, arg) in args.enumerate() {
            // Each argument is named twice below, so the expression doubles: keep it small.
            if count >= 7 {
                return Err(Error::unsupported(format!("{what} of more than 8 arguments")).at(at));
            }
            let op = if greatest { ">=" } else { "<=" };
            let better = self.operator(op, vec![(best.clone(), at), (arg.clone(), at)], at)?;
            let arg_is_null = Expr::IsNull(Box::new(arg.clone()));
            let keep = Expr::Or(vec![better, arg_is_null]);
            best = Expr::Case { branches: vec![(keep, best)], otherwise: Box::new(arg), ty };
        }
        Ok(best)
    }

    /// A call with VARIADIC before its last argument. Errors: 42804 when that is no array.
    fn spread_call(&mut self, scope: &Rc<Scope>, name: &str, args: &[ast::Expr], at: u32) -> Result<Expr> {
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push((self.expr(scope, arg)?, location(arg)));
        }
        if let Some((last, at)) = bound.last()
            && !matches!(last.ty(), SqlType::Array(_))
        {
            return Err(functions::not_an_array().at(*at));
        }
        let types: Vec<SqlType> = bound.iter().map(|(arg, _)| arg.ty().base()).collect();
        self.function(name, bound, at)?.ok_or_else(|| no_function(name, &types, at))
    }

    fn function_call(&mut self, scope: &Rc<Scope>, function: &FunctionCall, at: u32) -> Result<Expr> {
        let FunctionCall { name, args, variadic, star, distinct, order_by, filter, within, over, label: _ } =
            function;
        if *variadic {
            let spread = functions::spread_name(&name.text);
            if functions::scalars(&spread).is_empty() || over.is_some() {
                return Err(Error::unsupported(format!("VARIADIC in a call of {}", name.text)).at(at));
            }
            return self.spread_call(scope, &spread, args, at);
        }
        if let Some(over) = over {
            return self.window_call(scope, function, over, at);
        }
        if !functions::aggregates(&name.text).is_empty() {
            if let Some(other) = self.rewritten_aggregate(scope, function, at) {
                return self.expr(scope, &other);
            }
            return self.aggregate_call(scope, function, at);
        }
        if !within.is_empty() && super::window::is_window_function(&name.text) {
            return self.hypothetical(scope, function, at);
        }
        if super::window::is_window_function(&name.text) {
            let message = format!("window function {} requires an OVER clause", name.text);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        if name.text == "grouping" {
            return self.grouping_call(scope, args, at);
        }
        let is_plain = !*star && !*distinct && order_by.is_empty() && filter.is_none();
        if is_plain && let Some(call) = self.system_call(scope, name, args, at)? {
            return Ok(call);
        }
        let is_set = super::series::is_series(&name.text);
        if !is_set && functions::scalars(&name.text).is_empty() && functions::unbuilt::is_known(&name.text) {
            return Err(Error::unsupported(format!("function {}", name.text)).at(at));
        }
        if *star || *distinct || !order_by.is_empty() || filter.is_some() {
            let what = if *star {
                "(*)"
            } else if *distinct {
                "DISTINCT"
            } else if !order_by.is_empty() {
                "ORDER BY"
            } else {
                "FILTER"
            };
            if functions::scalars(&name.text).is_empty() && !is_set {
                return Err(no_function(&name.text, &[], at));
            }
            let message = format!("{what} specified, but {} is not an aggregate function", name.text);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(at));
        }
        if is_set {
            return self.series_call(scope, &name.text, args, at);
        }
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push((self.expr(scope, arg)?, location(arg)));
        }
        let types: Vec<SqlType> = bound.iter().map(|(arg, _)| arg.ty().base()).collect();
        // `int4(x)`: a type's name is a cast.
        if let ([_], Some(ty)) = (bound.as_slice(), cast_function(&name.text))
            && functions::scalars(&name.text).is_empty()
        {
            let (arg, at_arg) = bound.pop().expect("there is one");
            return self.coerce(arg, ty, CastContext::Explicit, at_arg);
        }
        if matches!(name.text.as_str(), "json_populate_record" | "jsonb_populate_record") && bound.len() == 2
        {
            let (fields, id) = self.populated_fields(&bound[0].0, &[], at)?;
            let (object, base) = (bound.pop().expect("two"), bound.pop().expect("two"));
            let no_object = Expr::IsNull(Box::new(object.0.clone()));
            let row = self.populated(base.clone(), object, &fields, id, at)?;
            if matches!(&no_object, Expr::IsNull(it) if matches!(**it, Expr::Literal { .. })) {
                return Ok(row);
            }
            let ty = row.ty();
            let base = self.coerce(base.0, ty, CastContext::Implicit, at)?;
            let branches = vec![(no_object, base)];
            return Ok(Expr::Case { branches, otherwise: Box::new(row), ty });
        }
        if let Some(call) = self.enum_function(&name.text, &bound, at)? {
            return Ok(call);
        }
        self.named_function(&name.text, bound, &types, at)
    }
}

/// Types that may be called like a function.
pub(super) fn cast_function(name: &str) -> Option<SqlType> {
    Some(match name {
        "bool" => SqlType::Bool,
        "int2" => SqlType::Int2,
        "int4" => SqlType::Int4,
        "int8" => SqlType::Int8,
        "float4" => SqlType::Float4,
        "float8" => SqlType::Float8,
        "numeric" => SqlType::Numeric,
        "text" => SqlType::Text,
        "varchar" => SqlType::Varchar(None),
        "name" => SqlType::Name,
        "bytea" => SqlType::Bytea,
        "date" => SqlType::Date,
        "timestamp" => SqlType::Timestamp,
        "timestamptz" => SqlType::Timestamptz,
        "interval" => SqlType::Interval,
        "uuid" => SqlType::Uuid,
        "time" => SqlType::Time,
        "bpchar" => SqlType::Char(None),
        "json" => SqlType::Json,
        "jsonb" => SqlType::Jsonb,
        _ => return None,
    })
}

pub(super) fn negate_if(expr: Expr, negated: bool) -> Expr {
    if negated { negate(expr) } else { expr }
}

/// NOT, without piling up.
pub(super) fn negate(expr: Expr) -> Expr {
    match expr {
        Expr::Not(inner) => *inner,
        Expr::Literal { value: Datum::Bool(value), .. } => Expr::bool(!value),
        other => Expr::Not(Box::new(other)),
    }
}
