//! The operator tree and the query that drives it. Each operator pulls batches from its inputs; nothing is computed
//! before the first [`Query::next`], and a dropped query stops at once.
//!
//! Invariant X1: what an operator gives depends on plan, data and budgets only, never on timing.

use super::correlated::Correlated;
use super::memory::{Memory, Reservation};
use super::metrics::Counters;
use super::probe::Matcher;
use super::subquery::{self, Demand};
use super::{
    Batch, ExecContext, SubqueryResults, aggregate, append, apply, distinct, filter, hash_join, index, limit,
    live, lock_rows, nested_loop, project, recursive, scan, series, sort, values, window,
};
use crate::expr::Expr;
use crate::functions::{EvalContext, SequencePool};
use crate::plan::{Field, Op, Plan, PlanNode};
use crate::types::SqlType;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use orrery_base::sorting;
use orrery_base::{BoxFuture, Cx, Error, Result};
use std::sync::Arc;

/// Gives batches until there are no more. After an error, or after `None`, it is not called again.
pub trait Operator: Send {
    /// The next batch; it may be empty. `None`: no more. Suspends for the disk and the budget.
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>>;
}

/// A boxed operator.
pub type BoxOperator = Box<dyn Operator>;

/// What the operators of a run share.
pub struct Shared {
    /// The statement's context.
    pub context: ExecContext,
    /// Results of the subqueries.
    pub subqueries: Arc<SubqueryResults>,
    /// Values reserved for `nextval`.
    pub sequences: Arc<SequencePool>,
    /// The budget.
    pub memory: Memory,
    /// The rows that came last in each recursion under way around here.
    pub working: Vec<(usize, Arc<Vec<Batch>>)>,
}

impl Shared {
    /// For evaluating expressions.
    pub fn eval(&self) -> EvalContext<'_> {
        self.context.eval(&self.subqueries, &self.sequences)
    }
}

/// An operator's place: what it shares with the others, and its own counters.
#[derive(Clone)]
pub struct Place {
    /// Shared.
    pub shared: Arc<Shared>,
    /// Its own, when somebody counts.
    pub counters: Option<Arc<Counters>>,
}

impl Place {
    /// For evaluating expressions.
    pub fn eval(&self) -> EvalContext<'_> {
        self.shared.eval()
    }

    /// An empty reservation of the operator's.
    pub fn reserve(&self) -> Reservation {
        self.shared.memory.reserve(self.counters.clone())
    }
}

/// A query under way.
pub struct Query {
    plan: Arc<Plan>,
    state: State,
}

enum State {
    /// Not begun.
    Opened(ExecContext),
    /// Under way.
    Running { root: BoxOperator, shared: Arc<Shared> },
    /// Ended, well or not.
    Ended,
}

impl Query {
    /// Nothing runs before the first [`Query::next`].
    pub fn open(plan: Arc<Plan>, context: ExecContext) -> Query {
        Query { plan, state: State::Opened(context) }
    }

    /// The output columns.
    pub fn fields(&self) -> &[Field] {
        &self.plan.root.fields
    }

    /// Runs the subqueries and opens the operators, if that was not done yet. Gives what expressions outside the plan
    /// (assignments, RETURNING) are evaluated with.
    pub async fn start(&mut self, cx: &Cx) -> Result<Arc<Shared>> {
        if let State::Opened(_) = self.state {
            let State::Opened(context) = std::mem::replace(&mut self.state, State::Ended) else {
                return Err(Error::internal("a query changed its state under way"));
            };
            let (root, shared) = open(&self.plan, context, cx).await?;
            self.state = State::Running { root, shared };
        }
        match &self.state {
            State::Running { shared, .. } => Ok(shared.clone()),
            _ => Err(Error::internal("a query was used after its end")),
        }
    }

    /// The next batch, never empty; `None` at the end and ever after.
    pub fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            if matches!(self.state, State::Ended) {
                return Ok(None);
            }
            self.start(cx).await?;
            // Each wait for the disk renews the budget: work that waits often would never come to its end otherwise.
            cx.check_cancel()?;
            let outcome = self.pull(cx).await;
            if !matches!(outcome, Ok(Some(_))) {
                self.state = State::Ended;
            }
            outcome
        })
    }

    async fn pull(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        let State::Running { root, .. } = &mut self.state else { return Ok(None) };
        loop {
            cx.charge(64).await?;
            match root.next(cx).await? {
                Some(batch) if batch.row_count == 0 => {}
                batch => return Ok(batch),
            }
        }
    }
}

async fn open(plan: &Arc<Plan>, context: ExecContext, cx: &Cx) -> Result<(BoxOperator, Arc<Shared>)> {
    let memory = Memory::new(context.work_memory_bytes, context.environment.work_gauge());
    let sequences = Arc::new(SequencePool::of(context.environment.session_sequences()));
    let demands = subquery::demands(plan);
    let mut results: Vec<super::SubqueryResult> = Vec::new();
    let correlated = Arc::new(Correlated::new(plan.clone(), &memory));
    let shared = |results: &[super::SubqueryResult]| {
        let mut subqueries = SubqueryResults::with(correlated.clone());
        results.iter().for_each(|result| subqueries.push(result.clone()));
        Arc::new(Shared {
            context: context.clone(),
            subqueries: Arc::new(subqueries),
            sequences: sequences.clone(),
            memory: memory.clone(),
            working: context.working.clone(),
        })
    };
    let mut number = node_count(&plan.root);
    for (node, demand) in plan.subqueries.iter().zip(demands) {
        let first = number;
        number += node_count(node);
        let result = match demand {
            Demand::Nothing => subquery::nothing(node)?,
            _ => subquery::run(build(node, &shared(&results), first)?, node, demand, cx).await?,
        };
        results.push(result);
    }
    let shared = shared(&results);
    Ok((build(&plan.root, &shared, 0)?, shared))
}

/// The inputs of a node, in the order of their numbers.
pub fn inputs(node: &PlanNode) -> Vec<&PlanNode> {
    match &node.op {
        Op::Values { .. }
        | Op::TableScan { .. }
        | Op::IndexScan { .. }
        | Op::GenerateSeries { .. }
        | Op::LiveScan { .. }
        | Op::Working { .. } => Vec::new(),
        Op::Recursive { anchor, step, .. } => vec![anchor, step],
        Op::Filter { input, .. }
        | Op::Project { input, .. }
        | Op::Aggregate { input, .. }
        | Op::Sort { input, .. }
        | Op::Window { input, .. }
        | Op::Limit { input, .. }
        | Op::LockRows { input, .. }
        | Op::Distinct { input }
        | Op::IndexJoin { outer: input, .. } => vec![input],
        Op::NestedLoopJoin { left, right, .. }
        | Op::HashJoin { left, right, .. }
        | Op::Apply { left, right, .. } => vec![left, right],
        Op::Append { inputs } => inputs.iter().collect(),
    }
}

/// How many nodes a tree has.
pub fn node_count(node: &PlanNode) -> usize {
    1 + inputs(node).into_iter().map(node_count).sum::<usize>()
}

/// Builds the operator of a node and those below it. `number` is the node's number in the metrics.
pub fn build(node: &PlanNode, shared: &Arc<Shared>, number: usize) -> Result<BoxOperator> {
    let counters = shared.context.metrics.as_ref().map(|metrics| metrics.node(number));
    let place = Place { shared: shared.clone(), counters: counters.clone() };
    // The inner side of an Apply and the step of a recursion are built for each run.
    let below: Vec<&PlanNode> = match &node.op {
        Op::Apply { left, .. } => vec![left],
        Op::Recursive { anchor, .. } => vec![anchor],
        _ => inputs(node),
    };
    let mut next_number = number + 1;
    let mut operators = Vec::with_capacity(below.len());
    for input in &below {
        operators.push(build(input, shared, next_number)?);
        next_number += node_count(input);
    }
    let operator: BoxOperator = match &node.op {
        Op::Apply { right, kind, on, args, .. } => {
            let left = operators.pop().ok_or_else(|| Error::internal("an operator without its input"))?;
            let matcher = Matcher {
                kind: *kind,
                condition: on.clone(),
                left_types: below.iter().flat_map(|input| types(input)).collect(),
                right_types: types(right),
            };
            let right = (right.as_ref().clone(), next_number);
            Box::new(apply::Apply::new(left, right, args.clone(), matcher, place))
        }
        Op::Recursive { step, working, distinct, .. } => {
            let anchor = operators.pop().ok_or_else(|| Error::internal("an operator without its input"))?;
            let step = (step.as_ref().clone(), next_number);
            Box::new(recursive::Recursive::new(anchor, step, *working, *distinct, &types(node), place))
        }
        _ => assemble(node, operators, place)?,
    };
    Ok(match counters {
        None => operator,
        Some(counters) => Box::new(Measured { operator, counters }),
    })
}

fn assemble(node: &PlanNode, inputs: Vec<BoxOperator>, place: Place) -> Result<BoxOperator> {
    let mut inputs = inputs.into_iter();
    let mut input = || inputs.next().ok_or_else(|| Error::internal("an operator without its input"));
    Ok(match &node.op {
        Op::Values { rows } => Box::new(values::Values::new(rows.clone(), types(node), place)),
        Op::GenerateSeries { function, args, position } => {
            Box::new(series::Series::new(*function, args.clone(), *position, types(node), place)?)
        }
        Op::LiveScan { view, columns } => {
            Box::new(live::LiveScan::new(view, columns.clone(), types(node), place))
        }
        Op::Filter { predicate, .. } => Box::new(filter::Filter::new(input()?, predicate.clone(), place)),
        Op::Project { exprs, .. } => Box::new(project::Project::new(input()?, exprs.clone(), place)),
        Op::LockRows { table, columns, recheck, can_recheck, lock, wait, .. } => {
            let spec = lock_rows::Spec {
                table: table.clone(),
                columns: columns.clone(),
                recheck: recheck.clone(),
                can_recheck: *can_recheck,
                lock: *lock,
                wait: *wait,
            };
            Box::new(lock_rows::LockRows::new(input()?, spec, place))
        }
        Op::Limit { limit, offset, .. } => {
            Box::new(limit::Limit::new(input()?, limit.clone(), offset.clone(), place))
        }
        Op::Append { .. } => Box::new(append::Append::new(inputs.collect())),
        Op::Distinct { input: below } => Box::new(distinct::Distinct::new(input()?, &types(below), place)),
        Op::Sort { keys, limit, input: below } => {
            Box::new(sort::Sort::new(input()?, keys.clone(), *limit, types(below), place))
        }
        Op::Aggregate { groups, aggregates, sorted, .. } => {
            aggregate::open(input()?, groups.clone(), aggregates.clone(), *sorted, place)
        }
        Op::Apply { .. } | Op::Recursive { .. } => {
            return Err(Error::internal("what runs again and again is built apart"));
        }
        Op::Working { working, columns } => {
            Box::new(recursive::Working::new(*working, columns.clone(), place))
        }
        Op::Window { partition, order, calls, input: below } => Box::new(window::Window::new(
            input()?,
            partition.clone(),
            order.clone(),
            calls.clone(),
            types(below),
            place,
        )),
        Op::HashJoin { left, right, left_keys, right_keys, kind, residual, .. } => {
            let spec = hash_join::Spec {
                left_types: types(left),
                right_types: types(right),
                left_keys: left_keys.clone(),
                right_keys: right_keys.clone(),
                kind: *kind,
                residual: residual.clone(),
            };
            Box::new(hash_join::HashJoin::new(input()?, input()?, spec, place))
        }
        Op::NestedLoopJoin { left, right, kind, on } => {
            let types = (types(left), types(right));
            Box::new(nested_loop::NestedLoop::new(input()?, input()?, types, *kind, on.clone(), place))
        }
        Op::TableScan { table, columns, bounds, filter, reverse } => Box::new(scan::TableScan::new(
            &place.shared,
            table.clone(),
            columns.clone(),
            bounds.clone(),
            filter.clone(),
            *reverse,
        )),
        Op::IndexScan { table, index: number, columns, bounds, filter, reverse, covering } => {
            let rows = index::Fetcher::new(table.clone(), columns.clone());
            let (bounds, filter) = (bounds.clone(), filter.clone());
            Box::new(index::IndexScan::new(&place.shared, rows, *number, bounds, filter, *reverse, *covering))
        }
        Op::IndexJoin { table, index: number, keys, columns, kind, residual, .. } => {
            let rows = index::Fetcher::new(table.clone(), columns.clone());
            let (keys, residual) = (keys.clone(), residual.clone());
            let (shared, counters) = (&place.shared, place.counters.clone());
            Box::new(index::IndexJoin::new(shared, input()?, rows, *number, keys, *kind, residual, counters))
        }
    })
}

/// The types of a node's columns.
pub fn types(node: &PlanNode) -> Vec<SqlType> {
    node.fields.iter().map(|field| field.ty).collect()
}

/// Counts what an operator gives.
struct Measured {
    operator: BoxOperator,
    counters: Arc<Counters>,
}

impl Operator for Measured {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            let batch = self.operator.next(cx).await?;
            if let Some(batch) = &batch {
                self.counters.batch(batch.row_count);
            }
            Ok(batch)
        })
    }
}

/// Reserves the values that the binder's own `nextval` takes when `exprs` are evaluated over `row_count` rows.
pub async fn reserve_sequences(cx: &Cx, shared: &Shared, exprs: &[Expr], row_count: usize) -> Result<()> {
    let mut needed = Vec::new();
    exprs
        .iter()
        .for_each(|expr| subquery::each_sequence(expr, &mut |sequence, step| needed.push((sequence, step))));
    sorting::sort(&mut needed);
    for calls in needed.chunk_by(|a, b| a.0 == b.0) {
        let (sequence, step) = calls[0];
        let count =
            u32::try_from(calls.len() * row_count).map_err(|_| Error::internal("a batch out of range"))?;
        let missing = count.saturating_sub(shared.sequences.available(sequence));
        if missing > 0 {
            let runs = shared.context.environment.reserve(cx, sequence, missing).await?;
            shared.sequences.put(sequence, runs, step);
        }
    }
    Ok(())
}

/// Bytes that a batch's values take, whatever larger buffers they are cut from.
pub fn batch_bytes(batch: &Batch) -> usize {
    batch.columns.iter().map(array_bytes).sum::<usize>() + 16
}

fn array_bytes(array: &ArrayRef) -> usize {
    use arrow_array::cast::AsArray;
    let values = match array.data_type() {
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            (offsets[offsets.len() - 1] - offsets[0]) as usize + 4 * offsets.len()
        }
        DataType::Binary => {
            let offsets = array.as_binary::<i32>().value_offsets();
            (offsets[offsets.len() - 1] - offsets[0]) as usize + 4 * offsets.len()
        }
        DataType::Boolean => array.len() / 8 + 1,
        DataType::FixedSizeBinary(width) => *width as usize * array.len(),
        DataType::Null => 0,
        other => other.primitive_width().unwrap_or(16) * array.len(),
    };
    values + array.nulls().map_or(0, |nulls| nulls.len() / 8 + 1)
}
