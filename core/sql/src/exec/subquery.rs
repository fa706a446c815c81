//! Uncorrelated subqueries: how much of each is wanted, and running them.

use super::SubqueryResult;
use super::query::{BoxOperator, inputs, types};
use crate::columns;
use crate::datum::Datum;
use crate::expr::{Expr, SubqueryUse};
use crate::functions::nextval;
use crate::gather;
use crate::plan::{Op, Plan, PlanNode};
use arrow_array::ArrayRef;
use orrery_base::{Cx, Result};

/// How much of a subquery is wanted, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// Its result is never looked at.
    Nothing,
    /// EXISTS: whether there is a row.
    OneRow,
    /// A scalar: a value, and whether there is a second.
    TwoRows,
    /// IN, or somebody outside the plan.
    All,
}

/// What each subquery of a plan must give before the rest runs: nothing, if it is correlated. Those that nothing in the
/// plan refers to are wanted by the expressions beside it (assignments of an UPDATE), whole.
pub fn demands(plan: &Plan) -> Vec<Demand> {
    let mut demands = vec![Demand::Nothing; plan.subqueries.len()];
    for node in plan.subqueries.iter().chain([&plan.root]) {
        each_expr(node, &mut |expr| {
            visit(expr, &mut |expr| {
                let Expr::Subquery { index, kind, .. } = expr else { return };
                let demand = match kind {
                    SubqueryUse::Exists => Demand::OneRow,
                    SubqueryUse::Scalar => Demand::TwoRows,
                    SubqueryUse::In(_) | SubqueryUse::Any { .. } => Demand::All,
                };
                if let Some(most) = demands.get_mut(*index) {
                    *most = demand.max(*most);
                }
            });
        });
    }
    for (node, demand) in plan.subqueries.iter().zip(&mut demands) {
        if is_correlated(node, plan.param_types.len()) {
            *demand = Demand::Nothing;
        } else if *demand == Demand::Nothing {
            *demand = Demand::All;
        }
    }
    demands
}

/// Whether a tree reads parameters beyond the statement's own that it does not set itself: those stand for columns of rows
/// outside.
fn is_correlated(node: &PlanNode, param_count: usize) -> bool {
    has_free(node, param_count, &mut Vec::new())
}

fn has_free(node: &PlanNode, param_count: usize, set: &mut Vec<usize>) -> bool {
    let mut found = false;
    own_exprs(node, &mut |expr| {
        let is_free = |it: &Expr| matches!(it, Expr::Param { index, .. } if *index >= param_count && !set.contains(index));
        found = found || expr.any(&mut |it| is_free(it));
    });
    if found {
        return true;
    }
    if let Op::Apply { left, right, args, .. } = &node.op {
        if has_free(left, param_count, set) {
            return true;
        }
        let before = set.len();
        set.extend(args.iter().map(|arg| arg.0));
        let found = has_free(right, param_count, set);
        set.truncate(before);
        return found;
    }
    inputs(node).into_iter().any(|input| has_free(input, param_count, set))
}

/// The result of a subquery that nobody looks at.
pub fn nothing(node: &PlanNode) -> Result<SubqueryResult> {
    let columns = types(node).into_iter().map(|ty| columns::nulls_of(ty, 0)).collect::<Result<_>>()?;
    Ok(SubqueryResult { columns, row_count: 0 })
}

/// Runs a subquery as far as it is wanted.
pub async fn run(mut root: BoxOperator, node: &PlanNode, demand: Demand, cx: &Cx) -> Result<SubqueryResult> {
    let enough = match demand {
        Demand::Nothing => 0,
        Demand::OneRow => 1,
        Demand::TwoRows => 2,
        Demand::All => usize::MAX,
    };
    let mut parts: Vec<Vec<ArrayRef>> = Vec::new();
    let mut row_count = 0;
    while row_count < enough {
        cx.charge(64).await?;
        let Some(batch) = root.next(cx).await? else { break };
        row_count += batch.row_count;
        if demand != Demand::OneRow && batch.row_count > 0 {
            parts.push(batch.columns);
        }
    }
    if parts.is_empty() {
        return Ok(SubqueryResult { row_count, ..nothing(node)? });
    }
    let whole = |column: usize| {
        let parts: Vec<&dyn arrow_array::Array> = parts.iter().map(|part| &*part[column]).collect();
        gather::concat(&parts)
    };
    let columns = (0..parts[0].len()).map(whole).collect::<Result<_>>()?;
    Ok(SubqueryResult { columns, row_count })
}

/// Calls `f` with each expression of a tree of operators.
fn each_expr(node: &PlanNode, f: &mut dyn FnMut(&Expr)) {
    own_exprs(node, f);
    inputs(node).into_iter().for_each(|input| each_expr(input, f));
}

/// Calls `f` with each expression of one operator.
pub fn own_exprs(node: &PlanNode, f: &mut dyn FnMut(&Expr)) {
    match &node.op {
        Op::Values { rows } => rows.iter().flatten().for_each(&mut *f),
        Op::TableScan { bounds, filter, .. } | Op::IndexScan { bounds, filter, .. } => {
            bounds.equal.iter().for_each(&mut *f);
            bounds.lower.iter().chain(&bounds.upper).for_each(|(bound, _)| f(bound));
            filter.iter().for_each(&mut *f);
        }
        Op::GenerateSeries { args, .. } => args.iter().for_each(&mut *f),
        Op::Filter { predicate, .. } => f(predicate),
        Op::Project { exprs, .. } => exprs.iter().for_each(&mut *f),
        Op::NestedLoopJoin { on, .. } => on.iter().for_each(&mut *f),
        Op::Apply { on, args, .. } => {
            on.iter().for_each(&mut *f);
            args.iter().for_each(|arg| f(&arg.1));
        }
        Op::HashJoin { left_keys, right_keys, residual, .. } => {
            left_keys.iter().chain(right_keys).chain(residual).for_each(&mut *f);
        }
        Op::IndexJoin { keys, residual, .. } => keys.iter().chain(residual).for_each(&mut *f),
        Op::Aggregate { groups, aggregates, .. } => {
            groups.iter().for_each(&mut *f);
            for call in aggregates {
                call.args.iter().chain(&call.filter).for_each(&mut *f);
            }
        }
        Op::Sort { keys, .. } => keys.iter().for_each(|key| f(&key.expr)),
        Op::Window { partition, order, calls, .. } => {
            partition.iter().for_each(&mut *f);
            order.iter().for_each(|key| f(&key.expr));
            calls.iter().flat_map(|call| call.exprs()).for_each(&mut *f);
        }
        Op::Limit { limit, offset, .. } => limit.iter().chain(offset).for_each(&mut *f),
        Op::LockRows { recheck, .. } => recheck.iter().for_each(&mut *f),
        Op::Distinct { .. }
        | Op::Append { .. }
        | Op::Recursive { .. }
        | Op::Working { .. }
        | Op::LiveScan { .. } => {}
    }
}

/// Calls `f` with an expression and all expressions inside it.
fn visit(expr: &Expr, f: &mut dyn FnMut(&Expr)) {
    f(expr);
    expr.children(|child| visit(child, f));
}

/// Calls `f` with the sequence and the step of each `nextval` in an expression.
pub fn each_sequence(expr: &Expr, f: &mut dyn FnMut(u32, i64)) {
    visit(expr, &mut |expr| {
        if let Expr::Call { function, args, .. } = expr
            && std::ptr::eq(*function, nextval())
            && let [
                Expr::Literal { value: Datum::Int8(id), .. },
                Expr::Literal { value: Datum::Int8(step), .. },
                ..,
            ] = args.as_slice()
            && let Ok(id) = u32::try_from(*id)
        {
            f(id, *step);
        }
    });
}
