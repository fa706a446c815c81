//! Aggregates that are said by means of others: hypothetical-set aggregates, percentiles of several fractions, `string_agg` of bytes.

use super::binder::Binder;
use super::scope::Scope;
use crate::parse::ast::{Expr, ExprKind, FunctionCall, Name, OrderItem};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

impl Binder<'_> {
    /// `rank(x) WITHIN GROUP (ORDER BY y)` and its kin: what the row x would get among the rows of the group. They are counts of the
    /// rows before it.
    pub(super) fn hypothetical(
        &mut self,
        scope: &Rc<Scope>,
        call: &FunctionCall,
        at: u32,
    ) -> Result<crate::expr::Expr> {
        let FunctionCall { name, args, within, filter, .. } = call;
        if args.len() != within.len() {
            let message = format!("function {} does not exist", name.text);
            return Err(Error::new(SqlState::UNDEFINED_FUNCTION, message).at(at));
        }
        let build = Build { at };
        let mut before: Option<Expr> = None;
        let mut equal: Option<Expr> = None;
        for (key, arg) in within.iter().zip(args).rev() {
            let own = build.before(key, arg);
            let same = build.same(&key.expr, arg);
            before = Some(match before {
                None => own,
                Some(later) => build.any(vec![own, build.all(vec![same.clone(), later])]),
            });
            equal = Some(match equal {
                None => same,
                Some(other) => build.all(vec![same, other]),
            });
        }
        let (Some(before), Some(equal)) = (before, equal) else {
            return Err(Error::unsupported(format!("{} without arguments", name.text)).at(at));
        };
        let among = |test: Option<Expr>| match (filter.clone(), test) {
            (Some(filter), Some(test)) => Some(build.all(vec![filter, test])),
            (filter, test) => filter.or(test),
        };
        let one = build.expr(ExprKind::Number("1".to_owned()));
        let rewritten = match name.text.as_str() {
            "rank" => build.op("+", build.count(None, among(Some(before))), one),
            "dense_rank" => {
                let keys = within.iter().map(|key| key.expr.clone()).collect();
                let row = build.expr(ExprKind::Row(keys));
                build.op("+", build.count(Some(row), among(Some(before))), one)
            }
            "percent_rank" => {
                let all = build.count(None, among(None));
                let share = build.ratio(build.count(None, among(Some(before))), all.clone());
                let zero = build.double(build.expr(ExprKind::Number("0".to_owned())));
                let is_empty = build.op("=", all, build.expr(ExprKind::Number("0".to_owned())));
                let branches = vec![(is_empty, zero)];
                build.expr(ExprKind::Case { operand: None, branches, otherwise: Some(Box::new(share)) })
            }
            "cume_dist" => {
                let until = build.any(vec![before, equal]);
                let until = build.op("+", build.count(None, among(Some(until))), one.clone());
                build.ratio(until, build.op("+", build.count(None, among(None)), one))
            }
            other => return Err(Error::unsupported(format!("hypothetical-set aggregate {other}")).at(at)),
        };
        self.expr(scope, &rewritten)
    }

    /// An aggregate call in other words. `None`: as it is.
    pub(super) fn rewritten_aggregate(
        &self,
        scope: &Rc<Scope>,
        call: &FunctionCall,
        at: u32,
    ) -> Option<Expr> {
        let build = Build { at };
        match (call.name.text.as_str(), call.args.as_slice()) {
            ("percentile_cont" | "percentile_disc", [Expr { kind: ExprKind::Array(items), .. }])
                if !call.within.is_empty() && !items.is_empty() =>
            {
                Some(each_fraction(call, items, at))
            }
            ("string_agg", [value, delimiter]) if !call.distinct && is_bytes(scope, value) => {
                let hex = |value: Expr| {
                    let bytes = build.cast(value, SqlType::Bytea);
                    build.call("encode", vec![bytes, build.expr(ExprKind::String("hex".to_owned()))])
                };
                let args = vec![hex(value.clone()), hex(delimiter.clone())];
                let inner = FunctionCall { args, ..call.clone() };
                let inner = build.expr(ExprKind::Function(Box::new(inner)));
                Some(build.call("decode", vec![inner, build.expr(ExprKind::String("hex".to_owned()))]))
            }
            _ => None,
        }
    }
}

/// An array of the aggregate for each fraction.
fn each_fraction(call: &FunctionCall, items: &[Expr], at: u32) -> Expr {
    let one = |item: &Expr| match &item.kind {
        ExprKind::Array(inner) => each_fraction(call, inner, at),
        _ => {
            let call = FunctionCall { args: vec![item.clone()], ..call.clone() };
            Expr { kind: ExprKind::Function(Box::new(call)), at }
        }
    };
    Expr { kind: ExprKind::Array(items.iter().map(one).collect()), at }
}

fn is_bytes(scope: &Scope, expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Column { table, name } => {
            matches!(scope.find(table.as_ref(), name), Ok(Some(column)) if column.ty == SqlType::Bytea)
        }
        ExprKind::Cast { ty, .. } => *ty == SqlType::Bytea,
        _ => false,
    }
}

/// Makes trees that stand in one place.
struct Build {
    at: u32,
}

impl Build {
    fn expr(&self, kind: ExprKind) -> Expr {
        Expr { kind, at: self.at }
    }

    fn op(&self, op: &str, left: Expr, right: Expr) -> Expr {
        self.expr(ExprKind::Binary { op: op.to_owned(), left: Box::new(left), right: Box::new(right) })
    }

    fn all(&self, parts: Vec<Expr>) -> Expr {
        self.expr(ExprKind::And(parts))
    }

    fn any(&self, parts: Vec<Expr>) -> Expr {
        self.expr(ExprKind::Or(parts))
    }

    fn is_null(&self, input: &Expr, negated: bool) -> Expr {
        self.expr(ExprKind::IsNull { input: Box::new(input.clone()), negated })
    }

    fn same(&self, left: &Expr, right: &Expr) -> Expr {
        let (left, right) = (Box::new(left.clone()), Box::new(right.clone()));
        self.expr(ExprKind::IsDistinct { left, right, negated: true })
    }

    /// Whether the key of a row sorts before the argument.
    fn before(&self, key: &OrderItem, arg: &Expr) -> Expr {
        let OrderItem { expr, descending, nulls_first } = key;
        let op = if *descending { ">" } else { "<" };
        let smaller = self.op(op, expr.clone(), arg.clone());
        let nulls_first = nulls_first.unwrap_or(*descending);
        // Of a NULL and another value, which one is first.
        let by_null = self.all(vec![self.is_null(expr, !nulls_first), self.is_null(arg, nulls_first)]);
        self.any(vec![smaller, by_null])
    }

    fn call(&self, name: &str, args: Vec<Expr>) -> Expr {
        let name = Name { text: name.to_owned(), at: self.at };
        self.expr(crate::parse::call(name, args))
    }

    fn count(&self, distinct: Option<Expr>, filter: Option<Expr>) -> Expr {
        let mut counted = self.call("count", distinct.iter().cloned().collect());
        if let ExprKind::Function(call) = &mut counted.kind {
            call.star = distinct.is_none();
            call.distinct = distinct.is_some();
            call.filter = filter;
        }
        counted
    }

    fn cast(&self, input: Expr, ty: SqlType) -> Expr {
        self.expr(ExprKind::Cast { input: Box::new(input), ty })
    }

    fn double(&self, input: Expr) -> Expr {
        self.cast(input, SqlType::Float8)
    }

    fn ratio(&self, part: Expr, whole: Expr) -> Expr {
        self.op("/", self.double(part), self.double(whole))
    }
}
