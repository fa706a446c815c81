//! Partitions, peers and frames of a block of rows.

use super::super::Batch;
use crate::columns::datum_at;
use crate::datum::Datum;
use crate::eval;
use crate::expr::{Expr, Frame, FrameBound, FrameExclude, FrameMode};
use crate::functions::EvalContext;
use crate::plan::SortKey;
use orrery_base::{Error, Result, SqlState};
use std::cmp::Ordering;

/// Whole partitions, one after the other.
pub struct Block {
    /// Its rows.
    pub row_count: usize,
    /// For each row its partition's first row and the row behind its last.
    partitions: Vec<(usize, usize)>,
    /// For each row the number of its group of peers.
    peers: Vec<usize>,
    /// Where each group of peers begins, and the end.
    peer_starts: Vec<usize>,
}

impl Block {
    /// Of partitions that begin at `starts`; `same` tells whether rows are peers.
    pub fn new(row_count: usize, starts: Vec<usize>, same: impl Fn(usize, usize) -> bool) -> Block {
        let mut partitions = Vec::with_capacity(row_count);
        let mut peers = Vec::with_capacity(row_count);
        let mut peer_starts = Vec::new();
        for (number, &start) in starts.iter().enumerate() {
            let end = starts.get(number + 1).copied().unwrap_or(row_count);
            for row in start..end {
                partitions.push((start, end));
                if row == start || !same(row - 1, row) {
                    peer_starts.push(row);
                }
                peers.push(peer_starts.len() - 1);
            }
        }
        peer_starts.push(row_count);
        Block { row_count, partitions, peers, peer_starts }
    }

    /// The first row of a row's partition.
    pub fn start(&self, row: usize) -> usize {
        self.partitions[row].0
    }

    /// The row behind the last of a row's partition.
    pub fn end(&self, row: usize) -> usize {
        self.partitions[row].1
    }

    /// The number of a row's group of peers.
    pub fn peer(&self, row: usize) -> usize {
        self.peers[row]
    }

    /// The first of a row's peers.
    pub fn peer_start(&self, row: usize) -> usize {
        self.peer_starts[self.peers[row]]
    }

    /// The row behind the last of a row's peers.
    pub fn peer_end(&self, row: usize) -> usize {
        self.peer_starts[self.peers[row] + 1]
    }

    /// A row's rank.
    pub fn rank(&self, row: usize) -> usize {
        self.peer_start(row) - self.start(row) + 1
    }
}

/// The frames of all rows of a block.
pub struct Frames {
    /// For each row the first row of its frame and the row behind the last.
    pub bounds: Vec<(usize, usize)>,
    /// Which of those rows are left out.
    pub exclude: FrameExclude,
}

/// A bound with what it counts known.
enum Known {
    Unbounded,
    Current,
    Count { back: bool, count: usize },
    Distance { values: Vec<Datum>, limits: Vec<Datum> },
}

impl Frames {
    /// Errors: 22013 for bounds that are NULL or negative.
    pub fn of(
        frame: &Frame,
        order: &[SortKey],
        batch: &Batch,
        block: &Block,
        context: &EvalContext<'_>,
    ) -> Result<Frames> {
        let start = known(&frame.start, "starting", batch, context)?;
        let end = known(&frame.end, "ending", batch, context)?;
        let descending = order.first().is_some_and(|key| key.descending);
        let mut bounds = Vec::with_capacity(block.row_count);
        for row in 0..block.row_count {
            let low = low(&start, frame.mode, descending, block, row);
            let high = high(&end, frame.mode, descending, block, row);
            bounds.push((low, high.max(low)));
        }
        Ok(Frames { bounds, exclude: frame.exclude })
    }

    /// The rows of a row's frame.
    pub fn rows<'a>(&'a self, block: &'a Block, row: usize) -> impl DoubleEndedIterator<Item = usize> + 'a {
        let (low, high) = self.bounds[row];
        let peers = block.peer_start(row)..block.peer_end(row);
        (low..high).filter(move |other| match self.exclude {
            FrameExclude::Nothing => true,
            FrameExclude::CurrentRow => *other != row,
            FrameExclude::Group => !peers.contains(other),
            FrameExclude::Ties => *other == row || !peers.contains(other),
        })
    }
}

fn known(bound: &FrameBound, which: &str, batch: &Batch, context: &EvalContext<'_>) -> Result<Known> {
    let refuse = |what: &str| {
        let message = format!("frame {which} offset must not be {what}");
        Err(Error::new(
            if what == "null" {
                SqlState::NULL_VALUE_NOT_ALLOWED
            } else {
                SqlState::INVALID_PRECEDING_OR_FOLLOWING_SIZE
            },
            message,
        ))
    };
    match bound {
        FrameBound::Unbounded => Ok(Known::Unbounded),
        FrameBound::Current => Ok(Known::Current),
        FrameBound::Count { back, count } => match eval::constant(count, context)? {
            Datum::Int8(count) if count >= 0 => {
                Ok(Known::Count { back: *back, count: usize::try_from(count).unwrap_or(usize::MAX) })
            }
            Datum::Null => refuse("null"),
            _ => refuse("negative"),
        },
        FrameBound::Distance { distance, value, limit } => {
            let far = eval::constant(distance, context)?;
            if far.is_null() {
                return refuse("null");
            }
            if is_negative(&far) {
                return Err(Error::new(
                    SqlState::INVALID_PRECEDING_OR_FOLLOWING_SIZE,
                    "invalid preceding or following size in window function",
                ));
            }
            let all = |expr: &Expr| -> Result<Vec<Datum>> {
                let array = eval::evaluate_array(expr, &batch.columns, batch.row_count, context)?;
                (0..batch.row_count).map(|row| datum_at(&*array, expr.ty(), row)).collect()
            };
            Ok(Known::Distance { values: all(value)?, limits: all(limit)? })
        }
    }
}

fn is_negative(value: &Datum) -> bool {
    match value {
        Datum::Int2(value) => *value < 0,
        Datum::Int4(value) => *value < 0,
        Datum::Int8(value) => *value < 0,
        Datum::Float4(value) => *value < 0.0 || value.is_nan(),
        Datum::Float8(value) => *value < 0.0 || value.is_nan(),
        Datum::Numeric(value) => *value < orrery_row::numeric::Numeric::from_i64(0),
        Datum::Interval(value) => {
            let days = i128::from(value.months) * 30 + i128::from(value.days);
            days * 86_400_000_000 + i128::from(value.micros) < 0
        }
        _ => false,
    }
}

/// The first row of a frame.
fn low(bound: &Known, mode: FrameMode, descending: bool, block: &Block, row: usize) -> usize {
    let (start, end) = (block.start(row), block.end(row));
    match bound {
        Known::Unbounded => start,
        Known::Current if mode == FrameMode::Rows => row,
        Known::Current => block.peer_start(row),
        Known::Count { back, count } if mode == FrameMode::Rows => {
            if *back {
                row.saturating_sub(*count).max(start)
            } else {
                row.saturating_add(*count).min(end)
            }
        }
        Known::Count { back, count } => match group(block, row, *back, *count) {
            Some(group) => block.peer_starts[group],
            None if *back => start,
            None => end,
        },
        Known::Distance { values, limits } => distance(values, limits, descending, block, row).map_or_else(
            || block.peer_start(row),
            |(range, before)| range.start + partition_point(range, |other| before(other, false)),
        ),
    }
}

/// The row behind the last of a frame.
fn high(bound: &Known, mode: FrameMode, descending: bool, block: &Block, row: usize) -> usize {
    let (start, end) = (block.start(row), block.end(row));
    match bound {
        Known::Unbounded => end,
        Known::Current if mode == FrameMode::Rows => row + 1,
        Known::Current => block.peer_end(row),
        Known::Count { back, count } if mode == FrameMode::Rows => {
            if *back {
                (row + 1).saturating_sub(*count).max(start)
            } else {
                row.saturating_add(*count).saturating_add(1).min(end)
            }
        }
        Known::Count { back, count } => match group(block, row, *back, *count) {
            Some(group) => block.peer_starts[group + 1],
            None if *back => start,
            None => end,
        },
        Known::Distance { values, limits } => distance(values, limits, descending, block, row).map_or_else(
            || block.peer_end(row),
            |(range, before)| range.start + partition_point(range, |other| before(other, true)),
        ),
    }
}

/// The group of peers so many before or after, if the partition has it.
fn group(block: &Block, row: usize, back: bool, count: usize) -> Option<usize> {
    let own = block.peer(row);
    let (first, last) = (block.peer(block.start(row)), block.peer(block.end(row) - 1));
    let group = if back { own.checked_sub(count)? } else { own.checked_add(count)? };
    (first..=last).contains(&group).then_some(group)
}

type Before<'a> = Box<dyn Fn(usize, bool) -> bool + 'a>;

/// The rows of the partition whose order value is not NULL, and whether one of them lies before the limit of `row` (or, when
/// asked so, at it). `None`: the row's own value is NULL.
fn distance<'a>(
    values: &'a [Datum],
    limits: &'a [Datum],
    descending: bool,
    block: &Block,
    row: usize,
) -> Option<(std::ops::Range<usize>, Before<'a>)> {
    if values[row].is_null() {
        return None;
    }
    let (mut low, mut high) = (block.start(row), block.end(row));
    // NULLs lie together at one end.
    while values[low].is_null() {
        low = block.peer_end(low);
    }
    while values[high - 1].is_null() {
        high = block.peer_start(high - 1);
    }
    let limit = &limits[row];
    let before = move |other: usize, at_too: bool| {
        let order = values[other].order(limit);
        let order = if descending { order.reverse() } else { order };
        order == Ordering::Less || at_too && order == Ordering::Equal
    };
    Some((low..high, Box::new(before)))
}

/// How many rows of the range come before the first that does not pass.
fn partition_point(range: std::ops::Range<usize>, passes: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if passes(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low - range.start
}
