//! The chosen candidate as physical operators: column ids become positions, columns nobody needs are left out.

use super::access::Access;
use super::paths::{Lookup, Path, PathOp};
use super::{ColumnSet, Planner};
use crate::catalog::Table;
use crate::expr::Expr;
use crate::plan::logical::{ColumnId, LockRows, LogicalKey};
use crate::plan::{Field, JoinKind, Op, PlanNode, ROW_KEY, SortKey};
use crate::types::SqlType;

/// An operator and the ids of its output columns.
struct Emitted {
    node: PlanNode,
    layout: Vec<ColumnId>,
}

impl Planner {
    /// The whole plan with exactly the output wanted.
    pub(super) fn emit_output(&self, path: &Path, output: &[ColumnId], fields: Vec<Field>) -> PlanNode {
        // A computation at the top is the output's own projection.
        if let PathOp::Extend { input, exprs } = &path.op {
            let once = |id: ColumnId| output.iter().filter(|it| **it == id).count() <= 1;
            if exprs.iter().all(|(id, expr)| once(*id) || !expr.is_volatile()) {
                let mut required = ColumnSet::default();
                let outputs: Vec<Expr> = output.iter().map(|id| self.extended(*id, exprs)).collect();
                outputs.iter().for_each(|expr| expr.each_column(&mut |id| required.insert(id)));
                let input = self.emit(input, &required);
                let exprs = outputs.into_iter().map(|expr| placed(expr, &input.layout)).collect();
                return node(Op::Project { input: Box::new(input.node), exprs }, fields, path);
            }
        }
        let required = ColumnSet::of(output.iter().copied());
        let mut emitted = self.emit(path, &required);
        if emitted.layout == output {
            emitted.node.fields = fields;
            return emitted.node;
        }
        let exprs = output.iter().map(|id| placed(self.column(*id), &emitted.layout)).collect();
        node(Op::Project { input: Box::new(emitted.node), exprs }, fields, path)
    }

    fn column(&self, id: ColumnId) -> Expr {
        Expr::Column { id, ty: self.columns[id].ty }
    }

    fn extended(&self, id: ColumnId, exprs: &[(ColumnId, Expr)]) -> Expr {
        exprs.iter().find(|it| it.0 == id).map_or_else(|| self.column(id), |it| it.1.clone())
    }

    fn fields(&self, layout: &[ColumnId]) -> Vec<Field> {
        layout.iter().map(|id| Field { name: String::new(), ty: self.columns[*id].ty }).collect()
    }

    /// An operator that gives the required ones of its columns.
    fn emit_some(
        &self,
        columns: &[ColumnId],
        required: &ColumnSet,
        path: &Path,
        op: impl FnOnce(Vec<usize>) -> Op,
    ) -> Emitted {
        let places: Vec<usize> =
            (0..columns.len()).filter(|place| required.contains(columns[*place])).collect();
        let layout: Vec<ColumnId> = places.iter().map(|place| columns[*place]).collect();
        Emitted { node: node(op(places), self.fields(&layout), path), layout }
    }

    /// The operator giving at least the required columns.
    fn emit(&self, path: &Path, required: &ColumnSet) -> Emitted {
        match &path.op {
            PathOp::Access(access) => self.emit_access(access, path, required),
            PathOp::Values { columns, rows } => {
                let op = Op::Values { rows: rows.clone() };
                Emitted { node: node(op, self.fields(columns), path), layout: columns.clone() }
            }
            PathOp::Series { function, args, column, position } => {
                let op = Op::GenerateSeries { function: *function, args: args.clone(), position: *position };
                Emitted { node: node(op, self.fields(&[*column]), path), layout: vec![*column] }
            }
            PathOp::Live { view, columns } => {
                self.emit_some(columns, required, path, |columns| Op::LiveScan { view, columns })
            }
            PathOp::Filter { input, predicates } => {
                let input = self.emit(input, &with(required, predicates));
                let predicate = conjunction(predicates, &input.layout);
                let fields = input.node.fields.clone();
                let op = Op::Filter {
                    input: Box::new(input.node),
                    predicate: predicate.unwrap_or_else(|| Expr::bool(true)),
                };
                Emitted { node: node(op, fields, path), layout: input.layout }
            }
            PathOp::Extend { input, exprs } => self.emit_extend(input, exprs, path, required),
            PathOp::Hash { left, right, keys, kind, residual } => {
                let mut needed = with(required, residual);
                for (a, b) in keys {
                    a.each_column(&mut |id| needed.insert(id));
                    b.each_column(&mut |id| needed.insert(id));
                }
                let (left, right) = (self.emit(left, &needed), self.emit(right, &needed));
                let both = concatenated(&left.layout, &right.layout);
                let residual = conjunction(residual, &both);
                let left_keys = keys.iter().map(|it| placed(it.0.clone(), &left.layout)).collect();
                let right_keys = keys.iter().map(|it| placed(it.1.clone(), &right.layout)).collect();
                let layout = join_layout(&left.layout, both, *kind);
                let (left, right) = (Box::new(left.node), Box::new(right.node));
                let op = Op::HashJoin { left, right, left_keys, right_keys, kind: *kind, residual };
                Emitted { node: node(op, self.fields(&layout), path), layout }
            }
            PathOp::Loop { left, right, kind, on } => {
                let needed = with(required, on);
                let (left, right) = (self.emit(left, &needed), self.emit(right, &needed));
                let both = concatenated(&left.layout, &right.layout);
                let on = conjunction(on, &both);
                let layout = join_layout(&left.layout, both, *kind);
                let (left, right) = (Box::new(left.node), Box::new(right.node));
                let op = Op::NestedLoopJoin { left, right, kind: *kind, on };
                Emitted { node: node(op, self.fields(&layout), path), layout }
            }
            PathOp::Apply { left, right, kind, on, args } => {
                self.emit_apply((left, right), *kind, on, args, path, required)
            }
            PathOp::Window { input, partition, order, calls } => {
                self.emit_window(input, partition, order, calls, path, required)
            }
            PathOp::Recursive { anchor, step, columns, working, distinct } => {
                let op = Op::Recursive {
                    anchor: Box::new(self.exactly(&anchor.0, &anchor.1)),
                    step: Box::new(self.exactly(&step.0, &step.1)),
                    working: *working,
                    distinct: *distinct,
                };
                Emitted { node: node(op, self.fields(columns), path), layout: columns.clone() }
            }
            PathOp::Working { working, columns } => {
                let working = *working;
                self.emit_some(columns, required, path, |columns| Op::Working { working, columns })
            }
            PathOp::Lookup(lookup) => self.emit_lookup(lookup, path, required),
            PathOp::Aggregate { input, groups, aggregates, sorted } => {
                self.emit_aggregate(input, groups, aggregates, *sorted, path, required)
            }
            PathOp::Sort { input, keys, limit } => {
                let mut needed = required.clone();
                keys.iter().for_each(|key| needed.insert(key.column));
                let input = self.emit(input, &needed);
                let keys = keys.iter().map(|key| self.sort_key(key, &input.layout)).collect();
                let fields = input.node.fields.clone();
                let op = Op::Sort { input: Box::new(input.node), keys, limit: *limit };
                Emitted { node: node(op, fields, path), layout: input.layout }
            }
            PathOp::Limit { input, limit, offset } => self.emit_limit(input, (limit, offset), path, required),
            PathOp::LockRows { input, rows, recheck } => {
                self.emit_lock(input, rows, recheck.as_ref(), path, required)
            }
            PathOp::Distinct { input, columns } => {
                let input = self.exactly(input, columns);
                let op = Op::Distinct { input: Box::new(input) };
                Emitted { node: node(op, self.fields(columns), path), layout: columns.clone() }
            }
            PathOp::Append { inputs, columns } => self.emit_append(inputs, columns, path, required),
        }
    }

    fn emit_limit(
        &self,
        input: &Path,
        (limit, offset): (&Option<Expr>, &Option<Expr>),
        path: &Path,
        required: &ColumnSet,
    ) -> Emitted {
        let input = self.emit(input, required);
        let fields = input.node.fields.clone();
        let op = Op::Limit { input: Box::new(input.node), limit: limit.clone(), offset: offset.clone() };
        Emitted { node: node(op, fields, path), layout: input.layout }
    }

    fn emit_lock(
        &self,
        input: &Path,
        rows: &LockRows,
        recheck: Option<&Expr>,
        path: &Path,
        required: &ColumnSet,
    ) -> Emitted {
        let required = with(required, recheck.map_or(&[], std::slice::from_ref));
        let ordinals: Vec<usize> =
            (0..rows.columns.len()).filter(|at| required.contains(rows.columns[*at])).collect();
        let layout: Vec<ColumnId> = ordinals.iter().map(|at| rows.columns[*at]).collect();
        let mut below: Vec<ColumnId> = ordinals.iter().map(|at| rows.old[*at]).collect();
        below.push(rows.key);
        let op = Op::LockRows {
            input: Box::new(self.exactly(input, &below)),
            table: rows.table.clone(),
            columns: ordinals,
            recheck: recheck.map(|expr| placed(expr.clone(), &layout)),
            can_recheck: rows.can_recheck,
            lock: rows.lock,
            wait: rows.wait,
        };
        Emitted { node: node(op, self.fields(&layout), path), layout }
    }

    /// An input with exactly these columns in this order.
    fn exactly(&self, path: &Path, columns: &[ColumnId]) -> PlanNode {
        self.emit_output(path, columns, self.fields(columns))
    }

    fn emit_apply(
        &self,
        (left, right): (&Path, &Path),
        kind: JoinKind,
        on: &[Expr],
        args: &[(usize, Expr)],
        path: &Path,
        required: &ColumnSet,
    ) -> Emitted {
        let needed = with(required, on);
        let mut outer = needed.clone();
        args.iter().for_each(|arg| arg.1.each_column(&mut |id| outer.insert(id)));
        let (left, right) = (self.emit(left, &outer), self.emit(right, &needed));
        let both = concatenated(&left.layout, &right.layout);
        let on = conjunction(on, &both);
        let args = args.iter().map(|(slot, arg)| (*slot, placed(arg.clone(), &left.layout))).collect();
        let (left, right) = (Box::new(left.node), Box::new(right.node));
        let op = Op::Apply { left, right, kind, on, args };
        Emitted { node: node(op, self.fields(&both), path), layout: both }
    }

    fn emit_append(
        &self,
        inputs: &[(std::rc::Rc<Path>, Vec<ColumnId>)],
        columns: &[ColumnId],
        path: &Path,
        required: &ColumnSet,
    ) -> Emitted {
        let places: Vec<usize> =
            (0..columns.len()).filter(|place| required.contains(columns[*place])).collect();
        let layout: Vec<ColumnId> = places.iter().map(|place| columns[*place]).collect();
        let inputs = inputs.iter().map(|(input, own)| {
            let own: Vec<ColumnId> = places.iter().map(|place| own[*place]).collect();
            self.exactly(input, &own)
        });
        let op = Op::Append { inputs: inputs.collect() };
        Emitted { node: node(op, self.fields(&layout), path), layout }
    }

    fn emit_access(&self, access: &Access, path: &Path, required: &ColumnSet) -> Emitted {
        let needed = with(required, &access.filter);
        let (columns, layout, fields) = self.scan_columns(&access.table, &access.columns, &needed);
        let filter = conjunction(&access.filter, &layout);
        let (table, bounds, reverse) = (access.table.clone(), access.bounds.clone(), access.reverse);
        let op = match access.index {
            None => Op::TableScan { table, columns, bounds, filter, reverse },
            Some(index) => {
                Op::IndexScan { table, index, columns, bounds, filter, reverse, covering: access.covering }
            }
        };
        Emitted { node: node(op, fields, path), layout }
    }

    fn scan_columns(
        &self,
        table: &Table,
        columns: &[(usize, ColumnId)],
        needed: &ColumnSet,
    ) -> (Vec<usize>, Vec<ColumnId>, Vec<Field>) {
        let mut ordinals = Vec::new();
        let mut layout = Vec::new();
        let mut fields = Vec::new();
        for (ordinal, id) in columns.iter().filter(|it| needed.contains(it.1)) {
            ordinals.push(*ordinal);
            layout.push(*id);
            let (name, ty) = if *ordinal == ROW_KEY {
                (String::from("row_key"), SqlType::Bytea)
            } else {
                (table.columns[*ordinal].name.clone(), table.columns[*ordinal].ty)
            };
            fields.push(Field { name, ty });
        }
        (ordinals, layout, fields)
    }

    fn emit_extend(
        &self,
        input: &Path,
        exprs: &[(ColumnId, Expr)],
        path: &Path,
        required: &ColumnSet,
    ) -> Emitted {
        let wanted: Vec<&(ColumnId, Expr)> = exprs.iter().filter(|it| required.contains(it.0)).collect();
        if wanted.is_empty() {
            return self.emit(input, required);
        }
        let mut needed = required.clone();
        wanted.iter().for_each(|it| it.1.each_column(&mut |id| needed.insert(id)));
        let input = self.emit(input, &needed);
        let mut layout: Vec<ColumnId> =
            input.layout.iter().copied().filter(|id| required.contains(*id)).collect();
        let mut placed_exprs: Vec<Expr> =
            layout.iter().map(|id| placed(self.column(*id), &input.layout)).collect();
        for (id, expr) in wanted {
            layout.push(*id);
            placed_exprs.push(placed(expr.clone(), &input.layout));
        }
        let op = Op::Project { input: Box::new(input.node), exprs: placed_exprs };
        Emitted { node: node(op, self.fields(&layout), path), layout }
    }

    fn emit_lookup(&self, lookup: &Lookup, path: &Path, required: &ColumnSet) -> Emitted {
        let Lookup { outer, table, columns, index, keys, kind, residual } = lookup;
        let needed = with(&with(required, residual), keys);
        let outer = self.emit(outer, &needed);
        // The inner side gives what is asked of it above, and what the rest of the condition looks at.
        let inner_needed = with(required, residual);
        let (ordinals, inner, _) = self.scan_columns(table, columns, &inner_needed);
        let both = concatenated(&outer.layout, &inner);
        let keys = keys.iter().map(|it| placed(it.clone(), &outer.layout)).collect();
        let residual = conjunction(residual, &both);
        let layout = join_layout(&outer.layout, both, *kind);
        let op = Op::IndexJoin {
            outer: Box::new(outer.node),
            table: table.clone(),
            index: *index,
            keys,
            columns: ordinals,
            kind: *kind,
            residual,
        };
        Emitted { node: node(op, self.fields(&layout), path), layout }
    }

    fn emit_aggregate(
        &self,
        input: &Path,
        groups: &[(ColumnId, Expr)],
        aggregates: &[(ColumnId, crate::expr::AggregateCall)],
        sorted: bool,
        path: &Path,
        required: &ColumnSet,
    ) -> Emitted {
        let aggregates: Vec<_> = aggregates.iter().filter(|it| required.contains(it.0)).collect();
        let mut needed = ColumnSet::default();
        groups.iter().for_each(|it| it.1.each_column(&mut |id| needed.insert(id)));
        for expr in aggregates.iter().flat_map(|it| it.1.exprs()) {
            expr.each_column(&mut |id| needed.insert(id));
        }
        let input = self.emit(input, &needed);
        let mut layout: Vec<ColumnId> = groups.iter().map(|it| it.0).collect();
        layout.extend(aggregates.iter().map(|it| it.0));
        let groups = groups.iter().map(|it| placed(it.1.clone(), &input.layout)).collect();
        let calls = aggregates.into_iter().map(|(_, call)| {
            let mut call = call.clone();
            for expr in call.exprs_mut() {
                *expr = placed(expr.clone(), &input.layout);
            }
            call
        });
        let aggregates = calls.collect();
        let op = Op::Aggregate { input: Box::new(input.node), groups, aggregates, sorted };
        Emitted { node: node(op, self.fields(&layout), path), layout }
    }

    fn emit_window(
        &self,
        input: &Path,
        partition: &[ColumnId],
        order: &[LogicalKey],
        calls: &[(ColumnId, crate::expr::WindowCall)],
        path: &Path,
        required: &ColumnSet,
    ) -> Emitted {
        let mut needed = required.clone();
        partition.iter().for_each(|id| needed.insert(*id));
        order.iter().for_each(|key| needed.insert(key.column));
        for expr in calls.iter().flat_map(|it| it.1.exprs()) {
            expr.each_column(&mut |id| needed.insert(id));
        }
        let input = self.emit(input, &needed);
        let mut layout = input.layout.clone();
        layout.extend(calls.iter().map(|it| it.0));
        let partition = partition.iter().map(|id| placed(self.column(*id), &input.layout)).collect();
        let order = order.iter().map(|key| self.sort_key(key, &input.layout)).collect();
        let calls = calls.iter().map(|(_, call)| {
            let mut call = call.clone();
            for expr in call.exprs_mut() {
                *expr = placed(expr.clone(), &input.layout);
            }
            call
        });
        let calls = calls.collect();
        let op = Op::Window { input: Box::new(input.node), partition, order, calls };
        Emitted { node: node(op, self.fields(&layout), path), layout }
    }

    fn sort_key(&self, key: &LogicalKey, layout: &[ColumnId]) -> SortKey {
        SortKey {
            expr: placed(self.column(key.column), layout),
            descending: key.descending,
            nulls_first: key.nulls_first,
        }
    }
}

fn node(op: Op, fields: Vec<Field>, path: &Path) -> PlanNode {
    PlanNode { op, fields, row_estimate: path.rows, cost_estimate: path.total }
}

/// The set with the columns of the expressions.
fn with(set: &ColumnSet, exprs: &[Expr]) -> ColumnSet {
    let mut all = set.clone();
    exprs.iter().for_each(|expr| expr.each_column(&mut |id| all.insert(id)));
    all
}

fn concatenated(left: &[ColumnId], right: &[ColumnId]) -> Vec<ColumnId> {
    left.iter().chain(right).copied().collect()
}

fn join_layout(left: &[ColumnId], both: Vec<ColumnId>, kind: JoinKind) -> Vec<ColumnId> {
    match kind {
        JoinKind::Inner | JoinKind::Left | JoinKind::Full => both,
        JoinKind::Semi | JoinKind::Anti => left.to_vec(),
    }
}

/// Ids become positions in the layout.
fn placed(mut expr: Expr, layout: &[ColumnId]) -> Expr {
    fn walk(expr: &mut Expr, layout: &[ColumnId]) {
        if let Expr::Column { id, .. } = expr {
            *id = layout
                .iter()
                .position(|it| it == id)
                .expect("the input gives every column that is asked for");
            return;
        }
        expr.children_mut(|child| walk(child, layout));
    }
    walk(&mut expr, layout);
    expr
}

fn conjunction(predicates: &[Expr], layout: &[ColumnId]) -> Option<Expr> {
    Expr::conjunction(predicates.iter().map(|it| placed(it.clone(), layout)).collect())
}
