//! Grouping and aggregation in a hash table, and DISTINCT (grouping without aggregates).
//!
//! Beyond the memory budget the table takes no new group: rows of groups it does not have go to partition files by the
//! hash of their group, and each partition is aggregated like an input of its own afterwards. Groups come out in order of
//! first appearance, partitions after what stayed in memory.

use super::key_table::KeyTable;
use super::memory::Reservation;
use super::query::{Operator, Shared, batch_bytes, concat, filter_batch, out_of_memory, take_rows};
use super::source::{LEVEL_MAX, Partitions, Source, partition_of};
use super::Batch;
use crate::encode::KeyColumns;
use crate::eval;
use crate::expr::{AggregateCall, Expr};
use crate::functions::{GroupedAccumulator, Value};
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array};
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Result};
use std::collections::VecDeque;
use std::sync::Arc;

/// Groups that a table takes before it may spill: progress at every level.
const GROUP_COUNT_MIN: usize = 256;

/// What is computed, and where it lies among the evaluated columns: groups, then each aggregate's arguments and filter.
struct Layout {
    groups: Vec<Expr>,
    aggregates: Vec<AggregateCall>,
    types: Vec<SqlType>,
    /// First argument column and filter column of each aggregate.
    places: Vec<(usize, Option<usize>)>,
}

impl Layout {
    fn new(groups: Vec<Expr>, aggregates: Vec<AggregateCall>) -> Self {
        let mut types: Vec<SqlType> = groups.iter().map(Expr::ty).collect();
        let mut places = Vec::new();
        for call in &aggregates {
            let first = types.len();
            types.extend(call.args.iter().map(Expr::ty));
            let filter = call.filter.as_ref().map(|_| types.len());
            types.extend(filter.map(|_| SqlType::Bool));
            places.push((first, filter));
        }
        Layout { groups, aggregates, types, places }
    }

    fn evaluate(&self, shared: &Shared, batch: &Batch) -> Result<Batch> {
        let context = shared.eval();
        let compute = |expr: &Expr| eval::evaluate_array(expr, &batch.columns, batch.row_count, &context);
        let mut columns: Vec<ArrayRef> = self.groups.iter().map(compute).collect::<Result<_>>()?;
        for call in &self.aggregates {
            // What FILTER leaves out must not raise in the arguments.
            let mask = match &call.filter {
                Some(filter) => Some(eval::filter_mask(filter, &batch.columns, batch.row_count, &context)?),
                None => None,
            };
            for arg in &call.args {
                columns.push(match &mask {
                    Some(mask) if eval::may_raise(arg) => eval::evaluate_where(arg, &batch.columns, mask, &context)?,
                    _ => compute(arg)?,
                });
            }
            columns.extend(mask.map(|mask| Arc::new(mask) as ArrayRef));
        }
        Ok(Batch { columns, row_count: batch.row_count })
    }
}

/// The groups in memory.
struct Pass {
    level: u64,
    table: KeyTable,
    group_values: Vec<Vec<ArrayRef>>,
    group_bytes: usize,
    accumulators: Vec<Box<dyn GroupedAccumulator>>,
    distinct: Vec<Option<KeyTable>>,
    spilled: Option<Partitions>,
    reservation: Reservation,
}

impl Pass {
    fn new(layout: &Layout, shared: &Shared, level: u64) -> Self {
        let accumulator = |call: &AggregateCall| {
            let types: Vec<SqlType> = call.args.iter().map(Expr::ty).collect();
            (call.function.accumulator)(&types)
        };
        Pass {
            level,
            table: KeyTable::new(level + 1),
            group_values: vec![Vec::new(); layout.groups.len()],
            group_bytes: 0,
            accumulators: layout.aggregates.iter().map(accumulator).collect(),
            distinct: layout.aggregates.iter().map(|call| call.distinct.then(|| KeyTable::new(0))).collect(),
            spilled: None,
            reservation: Reservation::new(&shared.memory),
        }
    }

    fn group_count(&self, layout: &Layout) -> usize {
        if layout.groups.is_empty() { 1 } else { self.table.len() }
    }

    /// The group of each row. Rows of groups that the table does not take have none.
    fn assign(&mut self, layout: &Layout, batch: &Batch) -> Result<(Vec<Option<u32>>, Vec<u32>)> {
        let count = layout.groups.len();
        let values: Vec<Value> = batch.columns[..count].iter().map(|column| Value::Array(column.clone())).collect();
        let keys = KeyColumns::new(&values, &layout.types[..count])?;
        let may_spill = self.level < LEVEL_MAX;
        let closed = self.spilled.is_some()
            || (may_spill && self.table.len() >= GROUP_COUNT_MIN && self.reservation.is_over());
        let mut key = Vec::new();
        let mut groups = Vec::with_capacity(batch.row_count);
        let mut new_rows = Vec::new();
        for row in 0..batch.row_count {
            key.clear();
            (0..count).try_for_each(|column| keys.push(column, row, false, &mut key))?;
            if closed {
                groups.push(self.table.get(&key));
                continue;
            }
            let (group, is_new) = self.table.insert(&key);
            if is_new {
                new_rows.push(row as u32);
            }
            groups.push(Some(group));
        }
        Ok((groups, new_rows))
    }

    async fn consume(&mut self, cx: &Cx, shared: &Arc<Shared>, layout: &Layout, batch: Batch) -> Result<()> {
        cx.charge(batch.row_count * 8 * layout.types.len().max(1)).await?;
        if layout.groups.is_empty() {
            return self.update(layout, &batch, &vec![0; batch.row_count]);
        }
        let (groups, new_rows) = self.assign(layout, &batch)?;
        if !new_rows.is_empty() {
            let taken = take_rows(&batch.columns[..layout.groups.len()], &UInt32Array::from(new_rows))?;
            for (values, column) in self.group_values.iter_mut().zip(taken) {
                self.group_bytes += column.get_array_memory_size();
                values.push(column);
            }
        }
        if groups.iter().all(Option::is_some) {
            let groups: Vec<u32> = groups.into_iter().flatten().collect();
            return self.update(layout, &batch, &groups);
        }
        self.spill(cx, shared, layout, &batch, &groups).await?;
        let mask = BooleanArray::from(groups.iter().map(Option::is_some).collect::<Vec<_>>());
        let kept = filter_batch(batch, &mask)?;
        let groups: Vec<u32> = groups.into_iter().flatten().collect();
        self.update(layout, &kept, &groups)
    }

    async fn spill(
        &mut self,
        cx: &Cx,
        shared: &Arc<Shared>,
        layout: &Layout,
        batch: &Batch,
        groups: &[Option<u32>],
    ) -> Result<()> {
        let count = layout.groups.len();
        let mut places = Vec::with_capacity(batch.row_count);
        {
            let values: Vec<Value> = batch.columns[..count].iter().map(|column| Value::Array(column.clone())).collect();
            let keys = KeyColumns::new(&values, &layout.types[..count])?;
            let mut key = Vec::new();
            for (row, group) in groups.iter().enumerate() {
                key.clear();
                (0..count).try_for_each(|column| keys.push(column, row, false, &mut key))?;
                places.push(group.is_none().then(|| partition_of(self.table.hash(&key))));
            }
        }
        let partitions = self.spilled.get_or_insert_with(|| Partitions::new(shared, cx));
        partitions.push(cx, batch, |row| places[row]).await
    }

    fn update(&mut self, layout: &Layout, batch: &Batch, groups: &[u32]) -> Result<()> {
        let group_count = self.group_count(layout);
        for (index, call) in layout.aggregates.iter().enumerate() {
            let (first, filter) = layout.places[index];
            let args = &batch.columns[first..first + call.args.len()];
            let mut selected = filter.map(|filter| batch.columns[filter].as_boolean().clone());
            if let Some(seen) = &mut self.distinct[index] {
                let types = &layout.types[first..first + call.args.len()];
                selected = Some(first_seen(seen, args, types, groups, selected.as_ref())?);
            }
            self.accumulators[index].update(args, groups, selected.as_ref(), group_count)?;
        }
        let distinct_bytes: usize = self.distinct.iter().flatten().map(KeyTable::memory_bytes).sum();
        let states: usize = self.accumulators.iter().map(|accumulator| accumulator.memory_bytes()).sum();
        self.reservation.set(self.table.memory_bytes() + self.group_bytes + distinct_bytes + states);
        if distinct_bytes > 0 && self.reservation.is_over() && distinct_bytes * 2 > self.reservation.bytes() {
            return Err(out_of_memory("an aggregate with DISTINCT"));
        }
        Ok(())
    }

    fn finish(&mut self, layout: &Layout) -> Result<Batch> {
        let group_count = self.group_count(layout);
        let mut columns = Vec::with_capacity(layout.groups.len() + layout.aggregates.len());
        for (values, expr) in self.group_values.iter().zip(&layout.groups) {
            columns.push(concat(values, expr.ty())?);
        }
        for accumulator in &mut self.accumulators {
            columns.push(accumulator.finish(group_count)?);
        }
        Ok(Batch { columns, row_count: group_count })
    }
}

/// The rows whose arguments their group has not seen yet.
fn first_seen(
    seen: &mut KeyTable,
    args: &[ArrayRef],
    types: &[SqlType],
    groups: &[u32],
    selected: Option<&BooleanArray>,
) -> Result<BooleanArray> {
    let values: Vec<Value> = args.iter().map(|array| Value::Array(array.clone())).collect();
    let keys = KeyColumns::new(&values, types)?;
    let mut key = Vec::new();
    let mut new = Vec::with_capacity(groups.len());
    for (row, group) in groups.iter().enumerate() {
        if selected.is_some_and(|selected| selected.is_null(row) || !selected.value(row)) {
            new.push(false);
            continue;
        }
        key.clear();
        key.extend_from_slice(&group.to_le_bytes());
        (0..keys.len()).try_for_each(|column| keys.push(column, row, false, &mut key))?;
        new.push(seen.insert(&key).1);
    }
    Ok(BooleanArray::from(new))
}

/// See the file's head.
pub struct Aggregate {
    shared: Arc<Shared>,
    layout: Layout,
    input: Option<Box<dyn Operator>>,
    waiting: VecDeque<(Source, u64)>,
    result: Option<(Batch, usize)>,
    /// What the result being given holds.
    held: Reservation,
}

impl Aggregate {
    /// Groups and aggregates of this input.
    pub fn new(
        shared: &Arc<Shared>,
        input: Box<dyn Operator>,
        groups: Vec<Expr>,
        aggregates: Vec<AggregateCall>,
    ) -> Self {
        Aggregate {
            shared: shared.clone(),
            layout: Layout::new(groups, aggregates),
            input: Some(input),
            waiting: VecDeque::new(),
            result: None,
            held: Reservation::new(&shared.memory),
        }
    }

    /// The distinct rows of this input.
    pub fn distinct(shared: &Arc<Shared>, input: Box<dyn Operator>, columns: Vec<Expr>) -> Self {
        Aggregate::new(shared, input, columns, Vec::new())
    }

    async fn run(&mut self, cx: &Cx, mut source: Source, level: u64) -> Result<()> {
        let mut pass = Pass::new(&self.layout, &self.shared, level);
        while let Some(batch) = source.next(cx).await? {
            // A file holds evaluated rows already.
            let evaluated = if level == 0 { self.layout.evaluate(&self.shared, &batch)? } else { batch };
            pass.consume(cx, &self.shared, &self.layout, evaluated).await?;
        }
        if let Some(spilled) = pass.spilled.take() {
            for file in spilled.into_files().into_iter().filter(|file| file.record_count() > 0) {
                let source = Source::file(cx, file, self.layout.types.clone()).await?;
                self.waiting.push_back((source, level + 1));
            }
        }
        let result = pass.finish(&self.layout)?;
        drop(pass);
        self.held.set(batch_bytes(&result));
        self.result = Some((result, 0));
        Ok(())
    }
}

impl Operator for Aggregate {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            loop {
                if let Some((result, at)) = &mut self.result {
                    if *at < result.row_count {
                        let count = BATCH_ROW_COUNT.min(result.row_count - *at);
                        let columns = result.columns.iter().map(|column| column.slice(*at, count)).collect();
                        *at += count;
                        return Ok(Some(Batch { columns, row_count: count }));
                    }
                    self.result = None;
                    self.held.set(0);
                }
                if let Some(input) = self.input.take() {
                    self.run(cx, Source::Operator(input), 0).await?;
                } else if let Some((source, level)) = self.waiting.pop_front() {
                    self.run(cx, source, level).await?;
                } else {
                    return Ok(None);
                }
            }
        })
    }
}
