//! Window functions. The input comes sorted by partition, then order; whole partitions are put together into blocks, and
//! the functions are computed over a block at a time.
//!
//! A partition is held in memory whatever it takes (its bytes are counted against the budget, so that others spill).

mod frames;

use self::frames::{Block, Frames};
use super::Batch;
use super::aggregate::arguments;
use super::keys::{SortForm, encode_sort};
use super::memory::Reservation;
use super::query::{BoxOperator, Operator, Place, batch_bytes};
use crate::columns::{self, datum_at};
use crate::datum::Datum;
use crate::eval;
use crate::expr::{Expr, FrameExclude, WindowCall, WindowFunction};
use crate::functions::{Aggregate, EvalContext};
use crate::gather;
use crate::plan::SortKey;
use crate::types::SqlType;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, UInt32Array};
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState};
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows of a block, about; a partition is never cut.
const BLOCK_ROW_COUNT: usize = 8192;
/// Pairs of row and frame folded in at once.
const PAIR_COUNT: usize = 65_536;

/// See the module.
pub struct Window {
    input: BoxOperator,
    partition: Vec<Expr>,
    order: Vec<SortKey>,
    calls: Vec<WindowCall>,
    types: Vec<SqlType>,
    /// Rows of the block so far.
    held: Vec<Batch>,
    held_rows: usize,
    held_bytes: usize,
    /// Where its partitions begin.
    starts: Vec<usize>,
    /// The key of its last partition.
    last_key: Option<Vec<u8>>,
    ready: VecDeque<Batch>,
    is_ended: bool,
    reservation: Reservation,
    place: Place,
}

impl Window {
    /// Over input of these types.
    pub fn new(
        input: BoxOperator,
        partition: Vec<Expr>,
        order: Vec<SortKey>,
        calls: Vec<WindowCall>,
        types: Vec<SqlType>,
        place: Place,
    ) -> Self {
        Window {
            input,
            partition,
            order,
            calls,
            types,
            held: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            starts: Vec::new(),
            last_key: None,
            ready: VecDeque::new(),
            is_ended: false,
            reservation: place.reserve(),
            place,
        }
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if self.is_ended {
                return Ok(None);
            }
            match self.input.next(cx).await? {
                Some(batch) if batch.row_count == 0 => {}
                Some(batch) => self.take_in(cx, batch).await?,
                None => {
                    self.is_ended = true;
                    self.close(cx).await?;
                }
            }
        }
    }

    /// Adds rows to the block; where a partition ends and there are enough of them, the block is computed.
    async fn take_in(&mut self, cx: &Cx, batch: Batch) -> Result<()> {
        cx.charge(batch_bytes(&batch)).await?;
        let exprs: Vec<&Expr> = self.partition.iter().collect();
        let columns = evaluate_all(&exprs, &batch, &self.place.eval())?;
        let forms: Vec<SortForm> = self.partition.iter().map(ascending).collect();
        let keys = encode_sort(&columns, &forms, batch.row_count)?;
        let mut first = 0;
        for row in 0..batch.row_count {
            let begins = match (row, &self.last_key) {
                (0, Some(last)) => keys.row(0) != last.as_slice(),
                (0, None) => true,
                _ => keys.row(row) != keys.row(row - 1),
            };
            if !begins {
                continue;
            }
            self.hold(slice(&batch, first, row - first));
            first = row;
            if self.held_rows >= BLOCK_ROW_COUNT {
                self.close(cx).await?;
            }
            self.starts.push(self.held_rows);
        }
        self.last_key = Some(keys.row(batch.row_count - 1).to_vec());
        self.hold(slice(&batch, first, batch.row_count - first));
        Ok(())
    }

    fn hold(&mut self, batch: Batch) {
        if batch.row_count > 0 {
            self.held_rows += batch.row_count;
            self.held_bytes += batch_bytes(&batch);
            self.held.push(batch);
            self.reservation.set(self.held_bytes);
        }
    }

    /// Computes the block.
    async fn close(&mut self, cx: &Cx) -> Result<()> {
        if self.held_rows == 0 {
            return Ok(());
        }
        let batch = whole(&std::mem::take(&mut self.held), &self.types)?;
        let starts = std::mem::take(&mut self.starts);
        (self.held_rows, self.held_bytes) = (0, 0);
        let exprs: Vec<&Expr> = self.order.iter().map(|key| &key.expr).collect();
        let order = evaluate_all(&exprs, &batch, &self.place.eval())?;
        let forms: Vec<SortForm> = self.order.iter().map(form).collect();
        let keys = encode_sort(&order, &forms, batch.row_count)?;
        let block = Block::new(batch.row_count, starts, |a, b| keys.row(a) == keys.row(b));
        let mut columns = batch.columns.clone();
        let calls = std::mem::take(&mut self.calls);
        for call in &calls {
            let computed = self.compute(cx, call, &batch, &block).await;
            columns.push(computed.map_err(|error| error.at(call.position))?);
        }
        self.calls = calls;
        for first in (0..batch.row_count).step_by(BATCH_ROW_COUNT) {
            let row_count = BATCH_ROW_COUNT.min(batch.row_count - first);
            let columns = columns.iter().map(|column| column.slice(first, row_count)).collect();
            self.ready.push_back(Batch { columns, row_count });
        }
        self.reservation.set(0);
        Ok(())
    }

    async fn compute(
        &mut self,
        cx: &Cx,
        call: &WindowCall,
        batch: &Batch,
        block: &Block,
    ) -> Result<ArrayRef> {
        cx.charge(16 * batch.row_count).await?;
        let rows = 0..batch.row_count;
        let bigint = |f: &dyn Fn(usize) -> usize| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| f(row) as i64)))
        };
        let double = |f: &dyn Fn(usize) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(rows.clone().map(f)))
        };
        match call.function {
            WindowFunction::RowNumber => Ok(bigint(&|row| row - block.start(row) + 1)),
            WindowFunction::Rank => Ok(bigint(&|row| block.rank(row))),
            WindowFunction::DenseRank => {
                Ok(bigint(&|row| block.peer(row) - block.peer(block.start(row)) + 1))
            }
            WindowFunction::PercentRank => Ok(double(&|row| {
                let count = block.end(row) - block.start(row);
                if count < 2 { 0.0 } else { (block.rank(row) - 1) as f64 / (count - 1) as f64 }
            })),
            WindowFunction::CumeDist => Ok(double(&|row| {
                (block.peer_end(row) - block.start(row)) as f64 / (block.end(row) - block.start(row)) as f64
            })),
            WindowFunction::Ntile => ntile(&evaluated(cx, &self.place, call, batch).await?.0, block),
            WindowFunction::Lag | WindowFunction::Lead => {
                let (args, _) = evaluated(cx, &self.place, call, batch).await?;
                shifted(&args, matches!(call.function, WindowFunction::Lag), call, block)
            }
            WindowFunction::FirstValue | WindowFunction::LastValue | WindowFunction::NthValue => {
                let (args, _) = evaluated(cx, &self.place, call, batch).await?;
                let frames = frames(cx, &self.place, call, &self.order, batch, block).await?;
                picked(&args, call.function, &frames, block)
            }
            WindowFunction::Aggregate(function) => {
                let frames = frames(cx, &self.place, call, &self.order, batch, block).await?;
                let (args, selected) = evaluated(cx, &self.place, call, batch).await?;
                aggregated(cx, function, call, &args, selected.as_ref(), &frames, block).await
            }
        }
    }
}

/// The arguments of a call, and for FILTER the rows selected.
async fn evaluated(
    cx: &Cx,
    place: &Place,
    call: &WindowCall,
    batch: &Batch,
) -> Result<(Vec<ArrayRef>, Option<BooleanArray>)> {
    let given = |context: &EvalContext<'_>| arguments(&call.args, call.filter.as_ref(), batch, context);
    place.shared.evaluate(cx, given).await
}

async fn frames(
    cx: &Cx,
    place: &Place,
    call: &WindowCall,
    order: &[SortKey],
    batch: &Batch,
    block: &Block,
) -> Result<Frames> {
    let given = |context: &EvalContext<'_>| Frames::of(&call.frame, order, batch, block, context);
    place.shared.evaluate(cx, given).await
}

fn evaluate_all(exprs: &[&Expr], batch: &Batch, context: &EvalContext<'_>) -> Result<Vec<ArrayRef>> {
    exprs.iter().map(|expr| eval::evaluate_array(expr, &batch.columns, batch.row_count, context)).collect()
}

fn ascending(expr: &Expr) -> SortForm {
    SortForm { ty: expr.ty(), descending: false, nulls_first: false }
}

fn form(key: &SortKey) -> SortForm {
    SortForm { ty: key.expr.ty(), descending: key.descending, nulls_first: key.nulls_first }
}

fn slice(batch: &Batch, start: usize, row_count: usize) -> Batch {
    let columns = batch.columns.iter().map(|column| column.slice(start, row_count)).collect();
    Batch { columns, row_count }
}

fn whole(batches: &[Batch], types: &[SqlType]) -> Result<Batch> {
    let row_count = batches.iter().map(|batch| batch.row_count).sum();
    let column = |column: usize| {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| &*batch.columns[column]).collect();
        gather::concat(&parts)
    };
    Ok(Batch { columns: (0..types.len()).map(column).collect::<Result<_>>()?, row_count })
}

/// `ntile(n)`; n is that of the partition's first row. Errors: 22014.
fn ntile(args: &[ArrayRef], block: &Block) -> Result<ArrayRef> {
    let mut values = Vec::with_capacity(block.row_count);
    for row in 0..block.row_count {
        let (start, end) = (block.start(row), block.end(row));
        let Datum::Int4(buckets) = datum_at(&*args[0], SqlType::Int4, start)? else {
            values.push(Datum::Null);
            continue;
        };
        if buckets <= 0 {
            let message = "argument of ntile must be greater than zero";
            return Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_NTILE, message));
        }
        let (count, place) = (end - start, row - start);
        let (size, larger) = (count / buckets as usize, count % buckets as usize);
        let bucket = if place < larger * (size + 1) {
            place / (size + 1)
        } else {
            larger + (place - larger * (size + 1)) / size.max(1)
        };
        values.push(Datum::Int4(bucket as i32 + 1));
    }
    columns::array_of(&values, SqlType::Int4)
}

/// `lag`, `lead`: the value so many rows before or after, or the default where the partition has no such row.
fn shifted(args: &[ArrayRef], is_lag: bool, call: &WindowCall, block: &Block) -> Result<ArrayRef> {
    let mut places = Vec::with_capacity(block.row_count);
    for row in 0..block.row_count {
        let offset = match args.get(1) {
            None => Some(1),
            Some(offsets) => match datum_at(&**offsets, SqlType::Int4, row)? {
                Datum::Int4(offset) => Some(i64::from(offset)),
                _ => None,
            },
        };
        let Some(offset) = offset else {
            // An offset of NULL gives NULL, whatever the default.
            places.push((2, 0));
            continue;
        };
        let place = if is_lag { row as i64 - offset } else { row as i64 + offset };
        let within = (block.start(row) as i64..block.end(row) as i64).contains(&place);
        places.push(if within { (0, place as usize) } else { (1, row) });
    }
    let nulls = columns::nulls_of(call.ty, block.row_count)?;
    let otherwise = args.get(2).unwrap_or(&nulls);
    let parts: [&dyn Array; 3] = [&*args[0], &**otherwise, &*nulls];
    gather::interleave(&parts, &places)
}

/// `first_value`, `last_value`, `nth_value`.
fn picked(args: &[ArrayRef], function: WindowFunction, frames: &Frames, block: &Block) -> Result<ArrayRef> {
    let mut places: Vec<Option<u32>> = Vec::with_capacity(block.row_count);
    for row in 0..block.row_count {
        let mut rows = frames.rows(block, row);
        let place = match function {
            WindowFunction::FirstValue => rows.next(),
            WindowFunction::LastValue => rows.next_back(),
            _ => match datum_at(&*args[1], SqlType::Int4, row)? {
                Datum::Int4(nth) if nth <= 0 => {
                    let message = "argument of nth_value must be greater than zero";
                    return Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_NTH_VALUE, message));
                }
                Datum::Int4(nth) => rows.nth(nth as usize - 1),
                _ => None,
            },
        };
        places.push(place.map(|place| place as u32));
    }
    gather::take(&args[0], &UInt32Array::from(places))
}

/// An aggregate over frames. Frames that follow one another and are the same are computed once; frames that only grow are
/// continued, not begun anew.
async fn aggregated(
    cx: &Cx,
    function: &'static Aggregate,
    call: &WindowCall,
    args: &[ArrayRef],
    selected: Option<&BooleanArray>,
    frames: &Frames,
    block: &Block,
) -> Result<ArrayRef> {
    let types: Vec<SqlType> = call.args.iter().map(Expr::ty).collect();
    let shared = frames.exclude == FrameExclude::Nothing;
    // The rows whose frames are computed, and for each row which of them is its own.
    let mut owners: Vec<usize> = Vec::new();
    let mut frame_of: Vec<u32> = Vec::with_capacity(block.row_count);
    for row in 0..block.row_count {
        let same = shared && row > 0 && frames.bounds[row] == frames.bounds[row - 1];
        if !same {
            owners.push(row);
        }
        frame_of.push(owners.len() as u32 - 1);
    }
    let grows = |pair: &[usize]| {
        let (before, now) = (frames.bounds[pair[0]], frames.bounds[pair[1]]);
        block.start(pair[0]) != block.start(pair[1]) || before.0 == now.0 && before.1 <= now.1
    };
    let pairs: usize = owners.iter().map(|row| frames.bounds[*row].1 - frames.bounds[*row].0).sum();
    let values = if shared && pairs > 2 * block.row_count && owners.windows(2).all(grows) {
        growing(cx, function, &types, args, selected, &owners, frames, block).await?
    } else {
        each_frame(cx, function, &types, args, selected, &owners, frames, block).await?
    };
    gather::take(&values, &UInt32Array::from(frame_of))
}

#[expect(clippy::too_many_arguments, reason = "the parts of one computation")]
async fn each_frame(
    cx: &Cx,
    function: &'static Aggregate,
    types: &[SqlType],
    args: &[ArrayRef],
    selected: Option<&BooleanArray>,
    owners: &[usize],
    frames: &Frames,
    block: &Block,
) -> Result<ArrayRef> {
    let mut states = (function.accumulator)(types);
    let (mut rows, mut groups): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
    for (group, owner) in owners.iter().enumerate() {
        for row in frames.rows(block, *owner) {
            rows.push(row as u32);
            groups.push(group as u32);
            if rows.len() >= PAIR_COUNT {
                cx.charge(16 * rows.len()).await?;
                fold(&mut *states, args, selected, &rows, &groups, owners.len())?;
                (rows, groups) = (Vec::new(), Vec::new());
            }
        }
    }
    fold(&mut *states, args, selected, &rows, &groups, owners.len())?;
    states.finish(owners.len())
}

/// Folds pairs of row and group in.
fn fold(
    states: &mut dyn crate::functions::GroupedAccumulator,
    args: &[ArrayRef],
    selected: Option<&BooleanArray>,
    rows: &[u32],
    groups: &[u32],
    group_count: usize,
) -> Result<()> {
    let places = UInt32Array::from(rows.to_vec());
    let taken = args.iter().map(|arg| gather::take(arg, &places));
    let taken = taken.collect::<Result<Vec<_>>>()?;
    let selected = selected
        .map(|selected| BooleanArray::from_iter(rows.iter().map(|row| Some(selected.value(*row as usize)))));
    states.update(&taken, groups, selected.as_ref(), group_count)
}

/// Frames of which each holds the one before: what comes in between is folded once, and put together one by one.
#[expect(clippy::too_many_arguments, reason = "the parts of one computation")]
async fn growing(
    cx: &Cx,
    function: &'static Aggregate,
    types: &[SqlType],
    args: &[ArrayRef],
    selected: Option<&BooleanArray>,
    owners: &[usize],
    frames: &Frames,
    block: &Block,
) -> Result<ArrayRef> {
    let mut states = (function.accumulator)(types);
    let (mut rows, mut groups): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut reached = None;
    for (group, owner) in owners.iter().enumerate() {
        let (low, high) = frames.bounds[*owner];
        let from = match reached {
            Some((start, end)) if start == block.start(*owner) => end,
            _ => low,
        };
        for row in from..high {
            rows.push(row as u32);
            groups.push(group as u32);
        }
        reached = Some((block.start(*owner), high.max(from)));
    }
    cx.charge(16 * rows.len()).await?;
    fold(&mut *states, args, selected, &rows, &groups, owners.len())?;
    let parts = states.states(owners.len())?;
    let mut running = (function.accumulator)(types);
    let mut sums: Vec<ArrayRef> = Vec::with_capacity(owners.len());
    let mut before: Option<(usize, ArrayRef)> = None;
    for (group, owner) in owners.iter().enumerate() {
        cx.charge(64).await?;
        if let Some((start, sum)) = &before
            && *start == block.start(*owner)
        {
            running.merge(sum, &[0], 1)?;
        }
        running.merge(&parts.slice(group, 1), &[0], 1)?;
        let sum = running.states(1)?;
        sums.push(sum.clone());
        before = Some((block.start(*owner), sum));
    }
    let sums: Vec<&dyn Array> = sums.iter().map(|sum| &**sum).collect();
    let sums = gather::concat(&sums)?;
    let numbers: Vec<u32> = (0..owners.len() as u32).collect();
    running.merge(&sums, &numbers, owners.len())?;
    running.finish(owners.len())
}

impl Operator for Window {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
