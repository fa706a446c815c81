//! Hash join: the right side is built into a hash table, the left side probes it.
//!
//! When the right side does not fit the budget, both sides are partitioned into files by the hash of their keys, and each
//! pair of partitions is joined like a pair of inputs of its own, with another hash function.

use super::key_table::KeyTable;
use super::memory::Reservation;
use super::query::{Operator, Shared, batch_bytes, concat_batches, filter_batch, take_rows};
use super::source::{LEVEL_MAX, Partitions, Source, partition_of};
use super::Batch;
use crate::columns;
use crate::encode::KeyColumns;
use crate::eval;
use crate::expr::Expr;
use crate::functions::Value;
use crate::plan::JoinKind;
use crate::types::SqlType;
use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Result};
use std::sync::Arc;

const NONE: u32 = u32::MAX;

/// What a join computes, apart from where its rows come from.
struct Shape {
    types: Vec<Vec<SqlType>>,
    keys: [Vec<Expr>; 2],
    kind: JoinKind,
    residual: Option<Expr>,
}

impl Shape {
    /// Calls `f` with each row's key (`None`: it has a NULL and matches nothing).
    fn each_key(
        &self,
        side: usize,
        shared: &Shared,
        batch: &Batch,
        mut f: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        let context = shared.eval();
        let mut values = Vec::with_capacity(self.keys[side].len());
        for key in &self.keys[side] {
            values.push(Value::Array(eval::evaluate_array(key, &batch.columns, batch.row_count, &context)?));
        }
        let types: Vec<SqlType> = self.keys[side].iter().map(Expr::ty).collect();
        let columns = KeyColumns::new(&values, &types)?;
        let mut key = Vec::new();
        for row in 0..batch.row_count {
            if (0..columns.len()).any(|column| columns.is_null(column, row)) {
                f(row, None);
                continue;
            }
            key.clear();
            (0..columns.len()).try_for_each(|column| columns.push(column, row, false, &mut key))?;
            f(row, Some(&key));
        }
        Ok(())
    }

    fn needs_pairs(&self) -> bool {
        self.residual.is_some() || matches!(self.kind, JoinKind::Inner | JoinKind::Left)
    }
}

/// The right side in memory: rows of equal keys are chained.
struct Built {
    rows: Batch,
    table: KeyTable,
    first: Vec<u32>,
    next: Vec<u32>,
}

impl Built {
    fn new(shape: &Shape, shared: &Shared, batches: &[Batch], level: u64) -> Result<Self> {
        let rows = concat_batches(batches, &shape.types[1])?;
        let mut built =
            Built { table: KeyTable::new(level + 1), first: Vec::new(), next: vec![NONE; rows.row_count], rows };
        let Built { rows, table, first, next } = &mut built;
        let mut last: Vec<u32> = Vec::new();
        shape.each_key(1, shared, rows, |row, key| {
            let Some(key) = key else { return };
            let (id, is_new) = table.insert(key);
            if is_new {
                first.push(row as u32);
                last.push(row as u32);
            } else {
                next[last[id as usize] as usize] = row as u32;
                last[id as usize] = row as u32;
            }
        })?;
        Ok(built)
    }
}

/// A left batch being probed.
struct Probe {
    batch: Batch,
    /// First match of each left row.
    heads: Vec<u32>,
    row: usize,
    chain: u32,
    matched: Vec<bool>,
}

/// A pair of inputs that waits for its turn.
struct Work {
    left: Source,
    right: Source,
    level: u64,
}

enum Stage {
    Idle,
    Probing { left: Source, built: Box<Built>, probe: Option<Probe> },
}

/// See the file's head.
pub struct HashJoin {
    shared: Arc<Shared>,
    shape: Shape,
    waiting: Vec<Work>,
    stage: Stage,
    reservation: Reservation,
}

impl HashJoin {
    /// See `Op::HashJoin`.
    pub fn new(
        shared: &Arc<Shared>,
        inputs: [Box<dyn Operator>; 2],
        types: Vec<Vec<SqlType>>,
        keys: [Vec<Expr>; 2],
        kind: JoinKind,
        residual: Option<Expr>,
    ) -> Self {
        let [left, right] = inputs.map(Source::Operator);
        HashJoin {
            shared: shared.clone(),
            shape: Shape { types, keys, kind, residual },
            waiting: vec![Work { left, right, level: 0 }],
            stage: Stage::Idle,
            reservation: Reservation::new(&shared.memory),
        }
    }

    /// Reads the right side; probes if it fits, partitions both sides if not.
    async fn start(&mut self, cx: &Cx, mut work: Work) -> Result<Stage> {
        let mut batches = Vec::new();
        while let Some(batch) = work.right.next(cx).await? {
            cx.charge(batch.row_count * 16).await?;
            // The table takes about as much again for short rows.
            self.reservation.grow(batch_bytes(&batch) + batch.row_count * 40);
            batches.push(batch);
            if self.reservation.is_over() && work.level < LEVEL_MAX {
                self.partition(cx, work, batches).await?;
                return Ok(Stage::Idle);
            }
        }
        let built = Built::new(&self.shape, &self.shared, &batches, work.level)?;
        Ok(Stage::Probing { left: work.left, built: Box::new(built), probe: None })
    }

    async fn partition(&mut self, cx: &Cx, mut work: Work, mut batches: Vec<Batch>) -> Result<()> {
        let hasher = KeyTable::new(work.level + 1);
        let mut files = Vec::new();
        for (side, source) in [(1, &mut work.right), (0, &mut work.left)] {
            let mut partitions = Partitions::new(&self.shared, cx);
            let mut early = std::mem::take(&mut batches).into_iter();
            loop {
                let batch = match early.next() {
                    Some(batch) => Some(batch),
                    None => source.next(cx).await?,
                };
                let Some(batch) = batch else { break };
                let mut places = vec![None; batch.row_count];
                let keep_null = side == 0;
                self.shape.each_key(side, &self.shared, &batch, |row, key| {
                    // Left rows without a key may still be wanted, and match nothing anywhere.
                    places[row] = match key {
                        Some(key) => Some(partition_of(hasher.hash(key))),
                        None => keep_null.then_some(0),
                    };
                })?;
                cx.charge(batch.row_count * 16).await?;
                partitions.push(cx, &batch, |row| places[row]).await?;
            }
            self.reservation.set(0);
            files.push(partitions.into_files());
        }
        let (left_files, right_files) = (files.pop().expect("two sides"), files.pop().expect("two sides"));
        for (left, right) in left_files.into_iter().zip(right_files) {
            if left.record_count() == 0 {
                continue;
            }
            let left = Source::file(cx, left, self.shape.types[0].clone()).await?;
            let right = Source::file(cx, right, self.shape.types[1].clone()).await?;
            self.waiting.push(Work { left, right, level: work.level + 1 });
        }
        Ok(())
    }
}

fn probe_of(shape: &Shape, shared: &Shared, built: &Built, batch: Batch) -> Result<Probe> {
    let mut heads = vec![NONE; batch.row_count];
    shape.each_key(0, shared, &batch, |row, key| {
        if let Some(id) = key.and_then(|key| built.table.get(key)) {
            heads[row] = built.first[id as usize];
        }
    })?;
    let matched = match shape.needs_pairs() {
        true => vec![false; batch.row_count],
        false => heads.iter().map(|&head| head != NONE).collect(),
    };
    // Nothing to pair: go straight to the end.
    let row = if shape.needs_pairs() { 0 } else { batch.row_count };
    let chain = heads.first().copied().unwrap_or(NONE);
    Ok(Probe { batch, heads, row, chain, matched })
}

impl Probe {
    /// The next pairs of left and right rows, at most a batch of them.
    fn pairs(&mut self, next: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        while self.row < self.batch.row_count && left.len() < BATCH_ROW_COUNT {
            if self.chain == NONE {
                self.row += 1;
                self.chain = self.heads.get(self.row).copied().unwrap_or(NONE);
                continue;
            }
            left.push(self.row as u32);
            right.push(self.chain);
            self.chain = next[self.chain as usize];
        }
        (left, right)
    }

    /// The next batch of matches; `None` when there are no more pairs.
    fn matches(&mut self, shape: &Shape, shared: &Shared, built: &Built) -> Result<Option<Batch>> {
        let (left, right) = self.pairs(&built.next);
        if left.is_empty() {
            return Ok(None);
        }
        let row_count = left.len();
        let mut columns = take_rows(&self.batch.columns, &UInt32Array::from(left.clone()))?;
        columns.extend(take_rows(&built.rows.columns, &UInt32Array::from(right))?);
        let mut batch = Batch { columns, row_count };
        match &shape.residual {
            None => left.iter().for_each(|&row| self.matched[row as usize] = true),
            Some(residual) => {
                let mask = eval::filter_mask(residual, &batch.columns, row_count, &shared.eval())?;
                mask.values().set_indices().for_each(|row| self.matched[left[row] as usize] = true);
                batch = filter_batch(batch, &mask)?;
            }
        }
        if matches!(shape.kind, JoinKind::Semi | JoinKind::Anti) {
            return Ok(Some(Batch { columns: Vec::new(), row_count: 0 }));
        }
        Ok(Some(batch))
    }
}

/// What a join gives of left rows by whether they matched: nothing, the matched ones, or the unmatched ones (with NULLs
/// for the right side of an outer join).
pub fn leftovers(kind: JoinKind, left: Batch, matched: &[bool], right_types: &[SqlType]) -> Result<Option<Batch>> {
    let wanted: Vec<bool> = match kind {
        JoinKind::Inner => return Ok(None),
        JoinKind::Semi => matched.to_vec(),
        JoinKind::Left | JoinKind::Anti => matched.iter().map(|matched| !matched).collect(),
    };
    let mut kept = filter_batch(left, &BooleanArray::from(wanted))?;
    if kept.row_count == 0 {
        return Ok(None);
    }
    if kind == JoinKind::Left {
        for &ty in right_types {
            let nulls: ArrayRef = columns::nulls_of(ty, kept.row_count)?;
            kept.columns.push(nulls);
        }
    }
    Ok(Some(kept))
}

impl Operator for HashJoin {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            loop {
                let Stage::Probing { left, built, probe } = &mut self.stage else {
                    let Some(work) = self.waiting.pop() else { return Ok(None) };
                    self.stage = self.start(cx, work).await?;
                    continue;
                };
                let Some(current) = probe else {
                    match left.next(cx).await? {
                        Some(batch) => *probe = Some(probe_of(&self.shape, &self.shared, built, batch)?),
                        None => {
                            self.stage = Stage::Idle;
                            self.reservation.set(0);
                        }
                    }
                    continue;
                };
                cx.charge(current.batch.row_count * 16).await?;
                match current.matches(&self.shape, &self.shared, built)? {
                    Some(batch) if batch.row_count > 0 => return Ok(Some(batch)),
                    Some(_) => {}
                    None => {
                        let done = probe.take().expect("being probed");
                        let rest = leftovers(self.shape.kind, done.batch, &done.matched, &self.shape.types[1])?;
                        if rest.is_some() {
                            return Ok(rest);
                        }
                    }
                }
            }
        })
    }
}
