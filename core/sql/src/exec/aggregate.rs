//! Groups and aggregates: by a hash table, or streaming over sorted input.
//!
//! Beyond the budget the hash table is frozen: rows of groups it knows are still folded in, all others wait in
//! partitions as they came. Each partition is then the same problem again. So no group is ever in two places, and a
//! group's rows are folded in the order they came.
//!
//! Groups are numbered in the order of their first rows.

use super::Batch;
use super::distinct::Deduplicator;
use super::filter::select;
use super::hash_table::HashTable;
use super::keys::{KeyLayout, SortForm, encode_sort};
use super::memory::Reservation;
use super::partition::{LEVEL_MAX, Partitions, Source, take};
use super::query::{BoxOperator, Operator, Place, batch_bytes};
use super::spill::SpillReader;
use crate::eval;
use crate::expr::{AggregateCall, ArgumentOrder, Expr};
use crate::functions::{EvalContext, GroupedAccumulator};
use crate::gather;
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, UInt32Array};
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Result};
use std::sync::Arc;

/// The operator for these groups and aggregates.
pub fn open(
    input: BoxOperator,
    groups: Vec<Expr>,
    aggregates: Vec<AggregateCall>,
    sorted: bool,
    place: Place,
) -> BoxOperator {
    let folds = Folds::new(aggregates, &place);
    if sorted && !groups.is_empty() {
        return Box::new(SortedAggregate::new(input, groups, folds, place));
    }
    Box::new(HashAggregate::new(input, groups, folds, place))
}

fn types_of(exprs: &[Expr]) -> Vec<SqlType> {
    exprs.iter().map(Expr::ty).collect()
}

/// All aggregates with their states.
struct Folds {
    folds: Vec<Fold>,
    place: Place,
}

/// One aggregate: its call, its states, and for DISTINCT the arguments seen.
struct Fold {
    call: AggregateCall,
    states: Box<dyn GroupedAccumulator>,
    seen: Option<Deduplicator>,
}

/// The types of what DISTINCT tells apart: the group's number, then the arguments.
fn distinct_types(call: &AggregateCall) -> Vec<SqlType> {
    [SqlType::Int8].into_iter().chain(call.args.iter().map(Expr::ty)).collect()
}

/// The types that the accumulator takes: those of the function's arguments, and for ORDER BY the key's.
fn accumulated_types(call: &AggregateCall) -> Vec<SqlType> {
    let mut types = types_of(&call.args);
    types.truncate(call.function.args.len());
    if !call.order_by.is_empty() {
        types.push(SqlType::Bytea);
    }
    types
}

impl Folds {
    fn new(aggregates: Vec<AggregateCall>, place: &Place) -> Self {
        let fold = |call: AggregateCall| Fold {
            states: (call.function.accumulator)(&accumulated_types(&call)),
            seen: call.distinct.then(|| Deduplicator::new(&distinct_types(&call), 0, place)),
            call,
        };
        Folds { folds: aggregates.into_iter().map(fold).collect(), place: place.clone() }
    }

    /// Folds a batch in, row i into group `groups[i]`.
    async fn update(&mut self, cx: &Cx, batch: &Batch, groups: &[u32], group_count: usize) -> Result<()> {
        for fold in &mut self.folds {
            cx.charge(8 * batch.row_count).await?;
            fold.update(cx, &self.place, batch, groups, group_count).await?;
        }
        Ok(())
    }

    /// The results of all groups. Starts anew.
    async fn finish(&mut self, cx: &Cx, group_count: usize) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::with_capacity(self.folds.len());
        for fold in &mut self.folds {
            fold.drain_strangers(cx, &self.place, group_count).await?;
            cx.charge(16 * group_count).await?;
            columns.push(fold.states.finish(group_count)?);
        }
        Ok(columns)
    }

    fn memory_bytes(&self) -> usize {
        self.folds.iter().map(|fold| fold.states.memory_bytes()).sum()
    }
}

impl Fold {
    async fn update(
        &mut self,
        cx: &Cx,
        place: &Place,
        batch: &Batch,
        groups: &[u32],
        group_count: usize,
    ) -> Result<()> {
        let call = &self.call;
        let given = |context: &EvalContext<'_>| arguments(&call.args, call.filter.as_ref(), batch, context);
        let (args, selected) = place.shared.evaluate(cx, given).await?;
        let Some(seen) = &mut self.seen else {
            return self.accumulate(args, groups, selected.as_ref(), group_count);
        };
        let numbers = Int64Array::from_iter_values(groups.iter().map(|&group| i64::from(group)));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(numbers)];
        columns.extend(args);
        let mut rows = Batch { columns, row_count: batch.row_count };
        if let Some(selected) = &selected {
            rows = select(&rows, selected)?;
        }
        let fresh = seen.offer(cx, &rows).await?;
        self.update_distinct(&take(&rows, &fresh)?, group_count)
    }

    /// Folds rows of group number and arguments in that were never seen before.
    fn update_distinct(&mut self, rows: &Batch, group_count: usize) -> Result<()> {
        let numbers = rows.columns[0].as_primitive::<Int64Type>();
        let groups: Vec<u32> = numbers.values().iter().map(|&number| number as u32).collect();
        self.accumulate(rows.columns[1..].to_vec(), &groups, None, group_count)
    }

    /// Hands the function its arguments, and for ORDER BY the key behind them.
    fn accumulate(
        &mut self,
        mut args: Vec<ArrayRef>,
        groups: &[u32],
        selected: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        let order_by = &self.call.order_by;
        if !order_by.is_empty() {
            let columns: Vec<ArrayRef> = order_by.iter().map(|key| args[key.arg].clone()).collect();
            let form = |key: &ArgumentOrder| SortForm {
                ty: self.call.args[key.arg].ty(),
                descending: key.descending,
                nulls_first: key.nulls_first,
            };
            let forms: Vec<SortForm> = order_by.iter().map(form).collect();
            let keys = encode_sort(&columns, &forms, groups.len())?;
            args.truncate(self.call.function.args.len());
            args.push(Arc::new(BinaryArray::from_iter_values((0..groups.len()).map(|row| keys.row(row)))));
        }
        self.states.update(&args, groups, selected, group_count)
    }

    /// Folds in what DISTINCT had no room to tell apart when it came.
    async fn drain_strangers(&mut self, cx: &Cx, place: &Place, group_count: usize) -> Result<()> {
        let Some(seen) = &mut self.seen else { return Ok(()) };
        let mut waiting: Vec<_> = seen.finish(cx).await?.into_iter().map(|file| (file, 1)).collect();
        let types = distinct_types(&self.call);
        while let Some((mut file, level)) = waiting.pop() {
            let mut seen = Deduplicator::new(&types, level, place);
            while let Some(rows) = file.next(cx).await? {
                cx.charge(batch_bytes(&rows)).await?;
                let fresh = seen.offer(cx, &rows).await?;
                self.update_distinct(&take(&rows, &fresh)?, group_count)?;
            }
            waiting.extend(seen.finish(cx).await?.into_iter().map(|file| (file, level + 1)));
        }
        Ok(())
    }
}

/// Gives a large result piece by piece.
#[derive(Default)]
struct Output {
    batch: Option<Batch>,
    at: usize,
}

impl Output {
    fn next(&mut self) -> Option<Batch> {
        let batch = self.batch.as_ref()?;
        let row_count = (batch.row_count - self.at).min(BATCH_ROW_COUNT);
        if row_count == 0 {
            *self = Output::default();
            return None;
        }
        let columns = batch.columns.iter().map(|column| column.slice(self.at, row_count)).collect();
        self.at += row_count;
        Some(Batch { columns, row_count })
    }
}

/// Aggregation by a hash table.
struct HashAggregate {
    source: Source,
    groups: Vec<Expr>,
    layout: KeyLayout,
    table: HashTable,
    /// The values of the groups, in parts: by group column.
    values: Vec<Vec<ArrayRef>>,
    values_bytes: usize,
    folds: Folds,
    /// There when the table is frozen.
    strangers: Option<Partitions>,
    level: u32,
    waiting: Vec<(SpillReader, u32)>,
    reservation: Reservation,
    output: Output,
    is_ended: bool,
    place: Place,
}

impl HashAggregate {
    fn new(input: BoxOperator, groups: Vec<Expr>, folds: Folds, place: Place) -> Self {
        let layout = KeyLayout::new(&types_of(&groups));
        HashAggregate {
            source: Source::Operator(input),
            table: HashTable::new(&layout),
            layout,
            values: vec![Vec::new(); groups.len()],
            values_bytes: 0,
            groups,
            folds,
            strangers: None,
            level: 0,
            waiting: Vec::new(),
            reservation: place.reserve(),
            output: Output::default(),
            is_ended: false,
            place,
        }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        loop {
            if let Some(batch) = self.output.next() {
                cx.charge(batch_bytes(&batch)).await?;
                return Ok(Some(batch));
            }
            if self.is_ended {
                return Ok(None);
            }
            while let Some(batch) = self.source.next(cx).await? {
                cx.charge(16 * batch.row_count).await?;
                if self.groups.is_empty() {
                    self.folds.update(cx, &batch, &vec![0; batch.row_count], 1).await?;
                    self.reservation.set(self.folds.memory_bytes());
                } else {
                    self.consume(cx, batch).await?;
                }
            }
            self.finish(cx).await?;
        }
    }

    async fn consume(&mut self, cx: &Cx, batch: Batch) -> Result<()> {
        let columns = evaluate_all(cx, &self.groups, &batch, &self.place).await?;
        let keys = self.layout.encode(&columns, batch.row_count)?;
        if self.strangers.is_some() {
            return self.consume_frozen(cx, batch, &keys).await;
        }
        let mut numbers = Vec::with_capacity(batch.row_count);
        let mut fresh = Vec::new();
        for row in 0..batch.row_count {
            let (number, is_new) = self.table.insert(&keys, row)?;
            numbers.push(number);
            if is_new {
                fresh.push(row as u32);
            }
        }
        if !fresh.is_empty() {
            let part = take(&Batch { columns, row_count: batch.row_count }, &UInt32Array::from(fresh))?;
            self.values_bytes += batch_bytes(&part);
            for (parts, column) in self.values.iter_mut().zip(part.columns) {
                parts.push(column);
            }
        }
        self.folds.update(cx, &batch, &numbers, self.table.len()).await?;
        let bytes = self.table.memory_bytes() + self.values_bytes + self.folds.memory_bytes();
        if self.reservation.set(bytes) && self.level < LEVEL_MAX {
            self.strangers = Some(Partitions::new(&self.place, self.level));
        }
        Ok(())
    }

    /// Folds in the rows of known groups, and puts the others away.
    async fn consume_frozen(&mut self, cx: &Cx, batch: Batch, keys: &super::keys::Keys) -> Result<()> {
        let found: Vec<Option<u32>> = (0..batch.row_count).map(|row| self.table.find(keys, row)).collect();
        let known = BooleanArray::from_iter(found.iter().map(|number| Some(number.is_some())));
        if let Some(strangers) = &mut self.strangers {
            strangers.write(cx, &batch, &keys.hashes, |row| found[row].is_none()).await?;
        }
        let numbers: Vec<u32> = found.iter().flatten().copied().collect();
        if !numbers.is_empty() {
            self.folds.update(cx, &select(&batch, &known)?, &numbers, self.table.len()).await?;
        }
        Ok(())
    }

    /// Makes the output of the groups in the table, and turns to the next partition.
    async fn finish(&mut self, cx: &Cx) -> Result<()> {
        let group_count = if self.groups.is_empty() { 1 } else { self.table.len() };
        let mut columns = Vec::with_capacity(self.groups.len() + self.folds.folds.len());
        if group_count > 0 {
            for parts in &mut self.values {
                columns.push(concat(&std::mem::take(parts))?);
            }
            columns.extend(self.folds.finish(cx, group_count).await?);
            self.output = Output { batch: Some(Batch { columns, row_count: group_count }), at: 0 };
        }
        self.table = HashTable::new(&self.layout);
        self.values_bytes = 0;
        self.reservation.set(self.output.batch.as_ref().map_or(0, batch_bytes));
        if let Some(strangers) = self.strangers.take() {
            let level = self.level + 1;
            let files = strangers.finish(cx).await?.into_iter().flatten();
            self.waiting.extend(files.map(|file| (file, level)));
        }
        match self.waiting.pop() {
            Some((file, level)) => (self.source, self.level) = (Source::File(file), level),
            None => (self.source, self.is_ended) = (Source::Empty, true),
        }
        Ok(())
    }
}

fn concat(parts: &[ArrayRef]) -> Result<ArrayRef> {
    if let [one] = parts {
        return Ok(one.clone());
    }
    let parts: Vec<&dyn Array> = parts.iter().map(|part| &**part).collect();
    gather::concat(&parts)
}

async fn evaluate_all(cx: &Cx, exprs: &[Expr], batch: &Batch, place: &Place) -> Result<Vec<ArrayRef>> {
    let all = |context: &EvalContext<'_>| {
        let each =
            exprs.iter().map(|expr| eval::evaluate_array(expr, &batch.columns, batch.row_count, context));
        each.collect()
    };
    place.shared.evaluate(cx, all).await
}

/// The arguments of an aggregate, and for FILTER the rows selected: those that are not must not raise.
pub(super) fn arguments(
    args: &[Expr],
    filter: Option<&Expr>,
    batch: &Batch,
    context: &EvalContext<'_>,
) -> Result<(Vec<ArrayRef>, Option<BooleanArray>)> {
    let all = |arg: &Expr| eval::evaluate_array(arg, &batch.columns, batch.row_count, context);
    let Some(filter) = filter else { return Ok((args.iter().map(all).collect::<Result<_>>()?, None)) };
    let selected = eval::filter_mask(filter, &batch.columns, batch.row_count, context)?;
    let some = |arg: &Expr| eval::evaluate_where(arg, &batch.columns, &selected, context);
    let args = if args.iter().any(eval::may_raise) {
        args.iter().map(some).collect::<Result<_>>()?
    } else {
        args.iter().map(all).collect::<Result<_>>()?
    };
    Ok((args, Some(selected)))
}

impl Operator for HashAggregate {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}

/// Aggregation of input that comes sorted by the groups. The last group of a batch stays open until another begins.
struct SortedAggregate {
    input: BoxOperator,
    groups: Vec<Expr>,
    layout: KeyLayout,
    folds: Folds,
    /// The open group: its values, and its key.
    open: Option<(Batch, super::keys::Keys)>,
    is_ended: bool,
    place: Place,
}

impl SortedAggregate {
    fn new(input: BoxOperator, groups: Vec<Expr>, folds: Folds, place: Place) -> Self {
        let layout = KeyLayout::new(&types_of(&groups));
        SortedAggregate { input, groups, layout, folds, open: None, is_ended: false, place }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        while !self.is_ended {
            let Some(batch) = self.input.next(cx).await? else {
                self.is_ended = true;
                let Some((values, _)) = self.open.take() else { return Ok(None) };
                return self.close(cx, values).await.map(Some);
            };
            cx.charge(16 * batch.row_count).await?;
            if batch.row_count == 0 {
                continue;
            }
            if let Some(done) = self.consume(cx, &batch).await? {
                return Ok(Some(done));
            }
        }
        Ok(None)
    }

    /// Folds a batch in; gives the groups that ended in it.
    async fn consume(&mut self, cx: &Cx, batch: &Batch) -> Result<Option<Batch>> {
        let columns = evaluate_all(cx, &self.groups, batch, &self.place).await?;
        let keys = self.layout.encode(&columns, batch.row_count)?;
        let values = Batch { columns, row_count: batch.row_count };
        // Where groups begin that are not the open one.
        let mut starts = Vec::new();
        for row in 0..batch.row_count {
            let continues = match (row, &self.open) {
                (0, None) => false,
                (0, Some((_, open))) => keys.store.equal(0, &open.store, 0),
                _ => keys.store.equal(row, &keys.store, row - 1),
            };
            if !continues {
                starts.push(row as u32);
            }
        }
        let Some(&last) = starts.last() else {
            self.folds.update(cx, batch, &vec![0; batch.row_count], 1).await?;
            return Ok(None);
        };
        let last = last as usize;
        let held = self.open.is_some();
        // Rows of the groups that end here: the open one has number 0, if there is one.
        let mut done = None;
        if held || last > 0 {
            let mut numbers = Vec::with_capacity(last);
            let mut number = if held { 0 } else { u32::MAX };
            let mut begins = starts.iter().peekable();
            for row in 0..last as u32 {
                if begins.next_if_eq(&&row).is_some() {
                    number = number.wrapping_add(1);
                }
                numbers.push(number);
            }
            let ended = starts.len() - 1;
            let group_count = ended + usize::from(held);
            if last > 0 {
                self.folds.update(cx, &slice(batch, 0, last), &numbers, group_count).await?;
            }
            let firsts = UInt32Array::from(starts[..ended].to_vec());
            let mut ended = take(&values, &firsts)?;
            if let Some((open, _)) = self.open.take() {
                let joined = open.columns.into_iter().zip(ended.columns).map(|(a, b)| concat(&[a, b]));
                ended = Batch { columns: joined.collect::<Result<_>>()?, row_count: group_count };
            }
            done = Some(self.close(cx, ended).await?);
        }
        let first = slice(&values, last, 1);
        let key = self.layout.encode(&first.columns, 1)?;
        self.open = Some((first, key));
        let rest = batch.row_count - last;
        self.folds.update(cx, &slice(batch, last, rest), &vec![0; rest], 1).await?;
        Ok(done)
    }

    /// The output of groups that have ended.
    async fn close(&mut self, cx: &Cx, values: Batch) -> Result<Batch> {
        let Batch { mut columns, row_count } = values;
        columns.extend(self.folds.finish(cx, row_count).await?);
        Ok(Batch { columns, row_count })
    }
}

fn slice(batch: &Batch, start: usize, row_count: usize) -> Batch {
    let columns = batch.columns.iter().map(|column| column.slice(start, row_count)).collect();
    Batch { columns, row_count }
}

impl Operator for SortedAggregate {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
