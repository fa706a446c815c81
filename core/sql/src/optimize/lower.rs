//! Logical plan to physical plan.

use super::columns::{all_of, to_positions, used, used_into};
use crate::expr::{AggregateCall, Expr};
use crate::plan::logical::{ColumnId, Logical, LogicalKey, Query, Statement};
use crate::plan::{Field, JoinKind, KeyBounds, Op, PlanNode, SortKey};
use orrery_base::Result;
use std::collections::BTreeSet;

/// A physical node and which column stands at which position of its output.
pub struct Lowered {
    /// The node.
    pub node: PlanNode,
    /// Column ids by position.
    pub layout: Vec<ColumnId>,
}

/// Lowers the queries of one statement.
pub struct Lowering<'a> {
    statement: &'a Statement,
}

impl<'a> Lowering<'a> {
    /// For the queries of this statement.
    pub fn new(statement: &'a Statement) -> Self {
        Lowering { statement }
    }

    /// A whole query: its output columns in order, under the users' names.
    pub fn query(&self, query: &Query) -> Result<PlanNode> {
        let needed = query.output.iter().copied().collect();
        let input = self.node(&query.root, &needed)?;
        if input.layout == query.output {
            let mut node = input.node;
            node.fields = query.fields.clone();
            return Ok(node);
        }
        let exprs = query.output.iter().map(|&id| to_positions(&self.column(id), &input.layout));
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        let (rows, cost) = (input.node.row_estimate, input.node.cost_estimate);
        let op = Op::Project { input: Box::new(input.node), exprs };
        Ok(PlanNode { op, fields: query.fields.clone(), row_estimate: rows, cost_estimate: cost })
    }

    fn column(&self, id: ColumnId) -> Expr {
        Expr::Column { id, ty: self.statement.columns[id].ty }
    }

    fn fields(&self, layout: &[ColumnId]) -> Vec<Field> {
        let field = |&id: &ColumnId| Field { name: self.name(id), ty: self.statement.columns[id].ty };
        layout.iter().map(field).collect()
    }

    fn name(&self, id: ColumnId) -> String {
        let origin = self.statement.columns[id].origin;
        let named = origin.and_then(|(table, ordinal)| self.statement.tables.get(table)?.columns.get(ordinal));
        named.map_or_else(|| "?column?".to_owned(), |column| column.name.clone())
    }

    fn made(&self, op: Op, layout: Vec<ColumnId>, rows: f64, cost: f64) -> Lowered {
        let node = PlanNode { op, fields: self.fields(&layout), row_estimate: rows, cost_estimate: cost };
        Lowered { node, layout }
    }

    /// Lowers a node; its output has at least the `needed` columns.
    fn node(&self, logical: &Logical, needed: &BTreeSet<ColumnId>) -> Result<Lowered> {
        match logical {
            Logical::Values { columns, rows } => {
                let count = rows.len() as f64;
                Ok(self.made(Op::Values { rows: rows.clone() }, columns.clone(), count, 0.01 * count))
            }
            Logical::Scan { table, columns } => {
                let kept: Vec<_> = columns.iter().copied().filter(|(_, id)| needed.contains(id)).collect();
                let rows = table.statistics.as_ref().map_or(1000.0, |statistics| statistics.row_count as f64);
                let op = Op::TableScan {
                    table: table.clone(),
                    columns: kept.iter().map(|it| it.0).collect(),
                    bounds: KeyBounds::default(),
                    filter: None,
                    reverse: false,
                };
                Ok(self.made(op, kept.iter().map(|it| it.1).collect(), rows, rows * 0.02))
            }
            Logical::Series { args, column, position } => {
                let op = Op::GenerateSeries { args: args.clone(), position: *position };
                Ok(self.made(op, vec![*column], 1000.0, 10.0))
            }
            Logical::Filter { input, predicates } => self.filter(input, predicates, needed),
            Logical::Extend { input, exprs } => self.extend(input, exprs, needed),
            Logical::Join { left, right, kind, on } => self.join(left, right, *kind, on, needed),
            Logical::Aggregate { input, groups, aggregates } => self.aggregate(input, groups, aggregates),
            Logical::Sort { input, keys } => self.sort(input, keys, needed, None),
            Logical::Limit { input, limit, offset } => {
                let input = self.node(input, needed)?;
                let (rows, cost, layout) = (input.node.row_estimate, input.node.cost_estimate, input.layout);
                let op = Op::Limit { input: Box::new(input.node), limit: limit.clone(), offset: offset.clone() };
                Ok(self.made(op, layout, rows, cost))
            }
            Logical::Distinct { input, columns } => {
                let input = self.exactly(input, columns)?;
                let (rows, cost) = (input.row_estimate, input.cost_estimate);
                let op = Op::Distinct { input: Box::new(input) };
                Ok(self.made(op, columns.clone(), rows, cost + rows * 0.01))
            }
            Logical::Append { inputs, columns } => {
                let inputs = inputs.iter().map(|(input, give)| self.exactly(input, give));
                let inputs = inputs.collect::<Result<Vec<_>>>()?;
                let rows = inputs.iter().map(|input| input.row_estimate).sum();
                let cost = inputs.iter().map(|input| input.cost_estimate).sum();
                Ok(self.made(Op::Append { inputs }, columns.clone(), rows, cost))
            }
        }
    }

    /// A node that gives exactly these columns in this order.
    fn exactly(&self, logical: &Logical, columns: &[ColumnId]) -> Result<PlanNode> {
        let input = self.node(logical, &columns.iter().copied().collect())?;
        if input.layout == columns {
            return Ok(input.node);
        }
        let exprs = columns.iter().map(|&id| to_positions(&self.column(id), &input.layout));
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        let (rows, cost) = (input.node.row_estimate, input.node.cost_estimate);
        Ok(self.made(Op::Project { input: Box::new(input.node), exprs }, columns.to_vec(), rows, cost).node)
    }

    fn filter(&self, input: &Logical, predicates: &[Expr], needed: &BTreeSet<ColumnId>) -> Result<Lowered> {
        let mut wanted = needed.clone();
        predicates.iter().for_each(|predicate| used_into(predicate, &mut wanted));
        let input = self.node(input, &wanted)?;
        let placed = predicates.iter().map(|predicate| to_positions(predicate, &input.layout));
        let Some(predicate) = all_of(placed.collect::<Result<_>>()?) else { return Ok(input) };
        let (rows, cost, layout) = (input.node.row_estimate, input.node.cost_estimate, input.layout);
        if let Op::TableScan { table, columns, bounds, filter: None, reverse } = input.node.op {
            let op = Op::TableScan { table, columns, bounds, filter: Some(predicate), reverse };
            return Ok(self.made(op, layout, (rows * 0.33).max(1.0), cost + rows * 0.0025));
        }
        let op = Op::Filter { input: Box::new(input.node), predicate };
        Ok(self.made(op, layout, (rows * 0.33).max(1.0), cost + rows * 0.0025))
    }

    fn extend(
        &self,
        input: &Logical,
        exprs: &[(ColumnId, Expr)],
        needed: &BTreeSet<ColumnId>,
    ) -> Result<Lowered> {
        let kept: Vec<_> = exprs.iter().filter(|(id, _)| needed.contains(id)).collect();
        let mut wanted: BTreeSet<_> = needed.iter().copied().filter(|id| exprs.iter().all(|it| it.0 != *id)).collect();
        kept.iter().for_each(|(_, expr)| used_into(expr, &mut wanted));
        let input = self.node(input, &wanted)?;
        let mut layout: Vec<_> = input.layout.iter().copied().filter(|id| needed.contains(id)).collect();
        let mut placed = layout.iter().map(|&id| to_positions(&self.column(id), &input.layout)).collect::<Result<Vec<_>>>()?;
        for (id, expr) in kept {
            layout.push(*id);
            placed.push(to_positions(expr, &input.layout)?);
        }
        let (rows, cost) = (input.node.row_estimate, input.node.cost_estimate);
        let op = Op::Project { input: Box::new(input.node), exprs: placed };
        Ok(self.made(op, layout, rows, cost + rows * 0.0025))
    }

    fn join(
        &self,
        left: &Logical,
        right: &Logical,
        kind: JoinKind,
        on: &[Expr],
        needed: &BTreeSet<ColumnId>,
    ) -> Result<Lowered> {
        let mut wanted = needed.clone();
        on.iter().for_each(|predicate| used_into(predicate, &mut wanted));
        let left = self.node(left, &wanted)?;
        let right = self.node(right, &wanted)?;
        let both: Vec<ColumnId> = left.layout.iter().chain(&right.layout).copied().collect();
        let layout = if matches!(kind, JoinKind::Inner | JoinKind::Left) { both.clone() } else { left.layout.clone() };
        let (mut left_keys, mut right_keys, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for predicate in on {
            match equality(predicate, &left.layout, &right.layout) {
                Some((one, other)) => {
                    left_keys.push(to_positions(one, &left.layout)?);
                    right_keys.push(to_positions(other, &right.layout)?);
                }
                None => rest.push(to_positions(predicate, &both)?),
            }
        }
        let rows = left.node.row_estimate.max(right.node.row_estimate);
        let inputs = left.node.cost_estimate + right.node.cost_estimate;
        let (pairs, sum) =
            (left.node.row_estimate * right.node.row_estimate, left.node.row_estimate + right.node.row_estimate);
        let (left, right) = (Box::new(left.node), Box::new(right.node));
        let residual = all_of(rest);
        if left_keys.is_empty() {
            let op = Op::NestedLoopJoin { left, right, kind, on: residual };
            return Ok(self.made(op, layout, pairs, inputs + pairs * 0.0025));
        }
        let op = Op::HashJoin { left, right, left_keys, right_keys, kind, residual };
        Ok(self.made(op, layout, rows, inputs + sum * 0.01))
    }

    fn aggregate(
        &self,
        input: &Logical,
        groups: &[(ColumnId, Expr)],
        aggregates: &[(ColumnId, AggregateCall)],
    ) -> Result<Lowered> {
        let mut wanted = BTreeSet::new();
        groups.iter().for_each(|(_, expr)| used_into(expr, &mut wanted));
        for (_, call) in aggregates {
            call.args.iter().chain(&call.filter).for_each(|expr| used_into(expr, &mut wanted));
        }
        let input = self.node(input, &wanted)?;
        let place = |expr: &Expr| to_positions(expr, &input.layout);
        let placed_groups = groups.iter().map(|(_, expr)| place(expr)).collect::<Result<Vec<_>>>()?;
        let mut calls = Vec::new();
        for (_, call) in aggregates {
            let args = call.args.iter().map(place).collect::<Result<Vec<_>>>()?;
            let filter = call.filter.as_ref().map(place).transpose()?;
            calls.push(AggregateCall { args, filter, ..call.clone() });
        }
        let layout = groups.iter().map(|it| it.0).chain(aggregates.iter().map(|it| it.0)).collect();
        let (rows, cost) = (input.node.row_estimate, input.node.cost_estimate);
        let out = if groups.is_empty() { 1.0 } else { (rows / 10.0).max(1.0) };
        let op =
            Op::Aggregate { input: Box::new(input.node), groups: placed_groups, aggregates: calls, sorted: false };
        Ok(self.made(op, layout, out, cost + rows * 0.01))
    }

    fn sort(
        &self,
        input: &Logical,
        keys: &[LogicalKey],
        needed: &BTreeSet<ColumnId>,
        limit: Option<u64>,
    ) -> Result<Lowered> {
        let mut wanted = needed.clone();
        wanted.extend(keys.iter().map(|key| key.column));
        let input = self.node(input, &wanted)?;
        let place = |key: &LogicalKey| {
            let expr = to_positions(&self.column(key.column), &input.layout)?;
            Ok(SortKey { expr, descending: key.descending, nulls_first: key.nulls_first })
        };
        let keys = keys.iter().map(place).collect::<Result<Vec<_>>>()?;
        let (rows, cost, layout) = (input.node.row_estimate, input.node.cost_estimate, input.layout);
        let op = Op::Sort { input: Box::new(input.node), keys, limit };
        Ok(self.made(op, layout, rows, cost + rows * (rows.max(2.0)).log2() * 0.005))
    }
}

/// `left = right` with each side over one input only, of one type; given left side first.
fn equality<'e>(predicate: &'e Expr, left: &[ColumnId], right: &[ColumnId]) -> Option<(&'e Expr, &'e Expr)> {
    let Expr::Call { function, args, .. } = predicate else { return None };
    let [one, other] = args.as_slice() else { return None };
    if function.name != "=" || one.ty() != other.ty() {
        return None;
    }
    let within = |expr: &Expr, layout: &[ColumnId]| {
        let columns = used(expr);
        !columns.is_empty() && columns.iter().all(|id| layout.contains(id))
    };
    if within(one, left) && within(other, right) {
        return Some((one, other));
    }
    (within(other, left) && within(one, right)).then_some((other, one))
}
