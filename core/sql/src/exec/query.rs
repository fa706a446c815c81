//! Runs a plan: builds the tree of operators and pulls batches from its root.

use super::memory::MemoryTracker;
use super::{Batch, ExecContext, SubqueryResult, SubqueryResults, aggregate, index, join, loops, scan, simple, sort};
use crate::columns;
use crate::functions::{EvalContext, SequencePool};
use crate::plan::{Field, Op, Plan, PlanNode};
use crate::types::SqlType;
use arrow_array::{Array, ArrayRef, BooleanArray};
use orrery_base::{BoxFuture, Cx, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the operators of one statement share.
pub struct Shared {
    /// The statement's context.
    pub context: ExecContext,
    /// Results of the subqueries that ran so far.
    pub subqueries: SubqueryResults,
    /// Reserved sequence values.
    pub sequences: Arc<SequencePool>,
    /// The memory budget.
    pub memory: Arc<MemoryTracker>,
    /// Counters for EXPLAIN ANALYZE.
    pub metrics: Option<Arc<RunMetrics>>,
}

impl Shared {
    /// For evaluating expressions.
    pub fn eval(&self) -> EvalContext<'_> {
        self.context.eval(&self.subqueries, &self.sequences)
    }
}

/// Gives batches until it gives `None`. A batch may be empty of rows only when nothing else would be (never, here).
pub trait Operator: Send {
    /// The next batch.
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>>;
}

/// What happened at one node.
#[derive(Debug, Default)]
pub struct NodeMetrics {
    /// Rows it gave.
    pub rows: AtomicU64,
    /// Batches it gave.
    pub batches: AtomicU64,
}

/// Counters of all nodes in preorder: the root, then its inputs left to right; then each subquery likewise.
#[derive(Debug, Default)]
pub struct RunMetrics {
    /// By preorder number.
    pub nodes: Vec<NodeMetrics>,
}

/// The inputs of an operator, left to right.
pub fn inputs(op: &Op) -> Vec<&PlanNode> {
    match op {
        Op::Values { .. } | Op::TableScan { .. } | Op::IndexScan { .. } | Op::GenerateSeries { .. } => vec![],
        Op::Filter { input, .. }
        | Op::Project { input, .. }
        | Op::Aggregate { input, .. }
        | Op::Sort { input, .. }
        | Op::Limit { input, .. }
        | Op::Distinct { input } => vec![input],
        Op::IndexJoin { outer, .. } => vec![outer],
        Op::NestedLoopJoin { left, right, .. } | Op::HashJoin { left, right, .. } => vec![left, right],
        Op::Append { inputs } => inputs.iter().collect(),
    }
}

fn node_count(node: &PlanNode) -> usize {
    1 + inputs(&node.op).into_iter().map(node_count).sum::<usize>()
}

impl RunMetrics {
    /// Zeros for a plan.
    pub fn new(plan: &Plan) -> Arc<Self> {
        let count = node_count(&plan.root) + plan.subqueries.iter().map(node_count).sum::<usize>();
        Arc::new(RunMetrics { nodes: (0..count).map(|_| NodeMetrics::default()).collect() })
    }
}

struct Metered {
    input: Box<dyn Operator>,
    metrics: Arc<RunMetrics>,
    number: usize,
}

impl Operator for Metered {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            let batch = self.input.next(cx).await?;
            if let (Some(batch), Some(node)) = (&batch, self.metrics.nodes.get(self.number)) {
                node.rows.fetch_add(batch.row_count as u64, Ordering::Relaxed);
                node.batches.fetch_add(1, Ordering::Relaxed);
            }
            Ok(batch)
        })
    }
}

/// The column types of a node.
pub fn types(node: &PlanNode) -> Vec<SqlType> {
    node.fields.iter().map(|field| field.ty).collect()
}

/// Builds the operators of a node. `number` is its preorder number.
pub fn build(node: &PlanNode, shared: &Arc<Shared>, number: usize) -> Box<dyn Operator> {
    let mut next = number + 1;
    let children: Vec<Box<dyn Operator>> = inputs(&node.op)
        .into_iter()
        .map(|input| {
            let operator = build(input, shared, next);
            next += node_count(input);
            operator
        })
        .collect();
    let operator = build_one(node, shared, children);
    match &shared.metrics {
        None => operator,
        Some(metrics) => Box::new(Metered { input: operator, metrics: metrics.clone(), number }),
    }
}

fn build_one(node: &PlanNode, shared: &Arc<Shared>, children: Vec<Box<dyn Operator>>) -> Box<dyn Operator> {
    let input_types: Vec<Vec<SqlType>> = inputs(&node.op).into_iter().map(types).collect();
    let mut children = children.into_iter();
    let mut child = || children.next().expect("as many operators as the node has inputs");
    match &node.op {
        Op::Values { rows } => Box::new(simple::Values::new(shared, rows.clone(), types(node))),
        Op::TableScan { table, columns, bounds, filter, reverse } => Box::new(scan::TableScan::new(
            shared,
            table.clone(),
            columns.clone(),
            bounds.clone(),
            filter.clone(),
            *reverse,
        )),
        Op::IndexScan { table, index, columns, bounds, filter, reverse, covering } => {
            let rows = index::Fetcher::new(table.clone(), columns.clone());
            Box::new(index::IndexScan::new(shared, rows, *index, bounds.clone(), filter.clone(), *reverse, *covering))
        }
        Op::GenerateSeries { args, position } => {
            Box::new(simple::GenerateSeries::new(shared, args.clone(), *position, types(node)))
        }
        Op::Filter { predicate, .. } => Box::new(simple::Filter::new(shared, child(), predicate.clone())),
        Op::Project { exprs, .. } => Box::new(simple::Project::new(shared, child(), exprs.clone())),
        Op::NestedLoopJoin { kind, on, .. } => {
            Box::new(loops::NestedLoop::new(shared, child(), child(), input_types, *kind, on.clone()))
        }
        Op::HashJoin { left_keys, right_keys, kind, residual, .. } => {
            let keys = [left_keys.clone(), right_keys.clone()];
            Box::new(join::HashJoin::new(shared, [child(), child()], input_types, keys, *kind, residual.clone()))
        }
        Op::IndexJoin { table, index, keys, columns, kind, residual, .. } => {
            let rows = index::Fetcher::new(table.clone(), columns.clone());
            Box::new(index::IndexJoin::new(shared, child(), rows, *index, keys.clone(), *kind, residual.clone()))
        }
        Op::Aggregate { groups, aggregates, sorted: _, .. } => {
            Box::new(aggregate::Aggregate::new(shared, child(), groups.clone(), aggregates.clone()))
        }
        Op::Distinct { input } => {
            let column = |(id, field): (usize, &Field)| crate::expr::Expr::Column { id, ty: field.ty };
            let groups = input.fields.iter().enumerate().map(column).collect();
            Box::new(aggregate::Aggregate::distinct(shared, child(), groups))
        }
        Op::Sort { keys, limit, .. } => {
            Box::new(sort::Sort::new(shared, child(), types(node), keys.clone(), *limit))
        }
        Op::Limit { limit, offset, .. } => {
            Box::new(simple::Limit::new(shared, child(), limit.clone(), offset.clone()))
        }
        Op::Append { .. } => Box::new(simple::Append::new(children.collect())),
    }
}

/// A running query.
pub struct Query {
    plan: Arc<Plan>,
    context: ExecContext,
    metrics: Option<Arc<RunMetrics>>,
    memory: Arc<MemoryTracker>,
    sequences: Arc<SequencePool>,
    root: Option<Box<dyn Operator>>,
    running: Option<Arc<Shared>>,
    done: bool,
}

impl Query {
    /// Opens a plan. Nothing runs before the first batch is asked for.
    pub fn open(plan: Arc<Plan>, context: ExecContext) -> Query {
        let memory = MemoryTracker::new(context.work_memory_bytes);
        let sequences = Arc::new(SequencePool::default());
        Query { plan, context, metrics: None, memory, sequences, root: None, running: None, done: false }
    }

    /// Opens a plan and counts what happens at its nodes.
    pub fn open_metered(plan: Arc<Plan>, context: ExecContext) -> (Query, Arc<RunMetrics>) {
        let metrics = RunMetrics::new(&plan);
        let mut query = Query::open(plan, context);
        query.metrics = Some(metrics.clone());
        (query, metrics)
    }

    /// The output columns.
    pub fn fields(&self) -> &[Field] {
        &self.plan.root.fields
    }

    /// The next batch of at least one row; `None` at the end. Suspends on pages, temporary files, locks of sequences and
    /// the budget.
    pub fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            if self.done {
                return Ok(None);
            }
            self.prepare(cx).await?;
            let root = self.root.as_mut().expect("started just now");
            let batch = root.next(cx).await?;
            if batch.is_none() {
                self.done = true;
                self.root = None;
            }
            Ok(batch)
        })
    }

    /// All rows as one list of batches (for small results).
    pub async fn collect(&mut self, cx: &Cx) -> Result<Vec<Batch>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next(cx).await? {
            batches.push(batch);
        }
        Ok(batches)
    }

    fn shared(&self, subqueries: SubqueryResults) -> Arc<Shared> {
        Arc::new(Shared {
            context: self.context.clone(),
            subqueries,
            sequences: self.sequences.clone(),
            memory: self.memory.clone(),
            metrics: self.metrics.clone(),
        })
    }

    /// Runs the subqueries and opens the operators, if that was not done yet. Gives what expressions beside the plan
    /// (assignments, RETURNING) are evaluated with.
    pub async fn prepare(&mut self, cx: &Cx) -> Result<Arc<Shared>> {
        if let Some(shared) = &self.running {
            return Ok(shared.clone());
        }
        let (root, shared) = self.start(cx).await?;
        self.root = Some(root);
        self.running = Some(shared.clone());
        Ok(shared)
    }

    /// Runs the subqueries in order, then builds the root.
    async fn start(&mut self, cx: &Cx) -> Result<(Box<dyn Operator>, Arc<Shared>)> {
        let mut done: Vec<SubqueryResult> = Vec::new();
        let mut number = node_count(&self.plan.root);
        let results = |done: &[SubqueryResult]| {
            let mut results = SubqueryResults::none();
            done.iter().for_each(|result| results.push(result.clone()));
            results
        };
        let plan = self.plan.clone();
        for node in &plan.subqueries {
            let shared = self.shared(results(&done));
            let mut operator = build(node, &shared, number);
            number += node_count(node);
            done.push(materialise(operator.as_mut(), node, cx).await?);
        }
        let shared = self.shared(results(&done));
        Ok((build(&self.plan.root, &shared, 0), shared))
    }
}

async fn materialise(operator: &mut dyn Operator, node: &PlanNode, cx: &Cx) -> Result<SubqueryResult> {
    let ty = node.fields.first().map_or(SqlType::Unknown, |field| field.ty);
    let mut parts: Vec<ArrayRef> = Vec::new();
    let mut row_count = 0;
    while let Some(batch) = operator.next(cx).await? {
        row_count += batch.row_count;
        parts.extend(batch.columns.into_iter().next());
    }
    Ok(SubqueryResult { column: concat(&parts, ty)?, row_count })
}

/// One array out of many.
pub fn concat(parts: &[ArrayRef], ty: SqlType) -> Result<ArrayRef> {
    match parts {
        [] => columns::nulls_of(ty, 0),
        [one] => Ok(one.clone()),
        _ if ty == SqlType::Unknown => columns::nulls_of(ty, parts.iter().map(|part| part.len()).sum()),
        many => {
            let many: Vec<&dyn Array> = many.iter().map(|part| part.as_ref()).collect();
            super::arrow_result(arrow_select::concat::concat(&many))
        }
    }
}

/// One batch out of many.
pub fn concat_batches(batches: &[Batch], types: &[SqlType]) -> Result<Batch> {
    let mut all = Vec::with_capacity(types.len());
    for (column, &ty) in types.iter().enumerate() {
        let parts: Vec<ArrayRef> = batches.iter().map(|batch| batch.columns[column].clone()).collect();
        all.push(concat(&parts, ty)?);
    }
    Ok(Batch { columns: all, row_count: batches.iter().map(|batch| batch.row_count).sum() })
}

/// The rows of a batch that a mask selects.
pub fn filter_batch(batch: Batch, mask: &BooleanArray) -> Result<Batch> {
    let row_count = mask.true_count();
    if row_count == batch.row_count {
        return Ok(batch);
    }
    let keep = |column: &ArrayRef| super::arrow_result(arrow_select::filter::filter(column, mask));
    Ok(Batch { columns: batch.columns.iter().map(keep).collect::<Result<_>>()?, row_count })
}

/// Rows by number; `None` gives NULLs.
pub fn take_rows(columns: &[ArrayRef], rows: &arrow_array::UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| super::arrow_result(arrow_select::take::take(column, rows, None))).collect()
}

/// About how many bytes a batch holds.
pub fn batch_bytes(batch: &Batch) -> usize {
    batch.columns.iter().map(|column| column.get_array_memory_size()).sum::<usize>() + 64
}

/// 53200, for what cannot spill.
pub fn out_of_memory(what: &str) -> Error {
    Error::new(orrery_base::SqlState::OUT_OF_MEMORY, format!("{what} needs more memory than the statement may use"))
}
