//! Hash join: a table of the right side, probed with the left. When the right side is over the budget, both sides are
//! parted into files by their keys' hashes and each pair of files is a join of its own, on the next level. On the last
//! level (keys nearly all equal) the build side is held whatever it takes.

use super::Batch;
use super::filter::select;
use super::hash_table::HashTable;
use super::keys::{KeyLayout, Keys};
use super::memory::Reservation;
use super::partition::{LEVEL_MAX, Partitions, Source, take};
use super::probe::{Matcher, Outer, empty, pair};
use super::query::{BoxOperator, Operator, Place, batch_bytes};
use super::spill::SpillReader;
use crate::columns;
use crate::eval;
use crate::expr::Expr;
use crate::gather;
use crate::plan::JoinKind;
use crate::types::SqlType;
use arrow_array::{Array, BooleanArray, UInt32Array};
use arrow_buffer::NullBuffer;
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Error, Result};

/// What to join.
pub struct Spec {
    /// Types of the left columns.
    pub left_types: Vec<SqlType>,
    /// Types of the right columns.
    pub right_types: Vec<SqlType>,
    /// Over left columns.
    pub left_keys: Vec<Expr>,
    /// Over right columns.
    pub right_keys: Vec<Expr>,
    /// Which rows it gives.
    pub kind: JoinKind,
    /// What else must hold.
    pub residual: Option<Expr>,
}

/// No row: the end of a chain, or a left row without a match.
const NONE: u32 = u32::MAX;

/// See the module.
pub struct HashJoin {
    left: Source,
    right: Source,
    level: u32,
    left_keys: Vec<Expr>,
    right_keys: Vec<Expr>,
    matcher: Matcher,
    build: Option<Build>,
    probe: Option<Probe>,
    /// Pairs of files that wait: left, right, level.
    waiting: Vec<(Option<SpillReader>, Option<SpillReader>, u32)>,
    reservation: Reservation,
    place: Place,
}

/// The right side in memory. Rows of one key are a chain, in the order they came.
struct Build {
    layout: KeyLayout,
    table: HashTable,
    /// First and last row of each key.
    chains: Vec<(u32, u32)>,
    /// The next row of the same key.
    next: Vec<u32>,
    rows: Batch,
    /// FULL: which rows have a match, and the first not yet given if it has none.
    matched: Vec<bool>,
    alone: usize,
    /// Rows with a NULL in their key are kept: FULL gives them.
    keeps_nulls: bool,
}

/// A left batch on its way.
struct Probe {
    outer: Outer,
    keys: Keys,
    row: usize,
    /// The right row that comes next for `row`, when it is in the middle of its chain.
    chain: Option<u32>,
}

impl HashJoin {
    /// Joins `left` and `right`.
    pub fn new(left: BoxOperator, right: BoxOperator, spec: Spec, place: Place) -> Self {
        HashJoin {
            left: Source::Operator(left),
            right: Source::Operator(right),
            level: 0,
            left_keys: spec.left_keys,
            right_keys: spec.right_keys,
            matcher: Matcher {
                kind: spec.kind,
                condition: spec.residual,
                left_types: spec.left_types,
                right_types: spec.right_types,
            },
            build: None,
            probe: None,
            waiting: Vec::new(),
            reservation: place.reserve(),
            place,
        }
    }

    fn keeps_unmatched(&self) -> bool {
        matches!(self.matcher.kind, JoinKind::Left | JoinKind::Full | JoinKind::Anti)
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        loop {
            if self.build.is_none() && !self.open_build(cx).await? {
                return Ok(None);
            }
            if self.probe.is_none() {
                let Some(batch) = self.left.next(cx).await? else {
                    if let Some(alone) = self.right_only()? {
                        return Ok(Some(alone));
                    }
                    self.build = None;
                    self.reservation.set(0);
                    if !self.next_pair() {
                        return Ok(None);
                    }
                    continue;
                };
                if batch.row_count == 0 {
                    continue;
                }
                cx.charge(16 * batch.row_count).await?;
                self.begin_probe(batch)?;
            }
            if let Some(batch) = self.advance(cx).await? {
                cx.charge(batch_bytes(&batch)).await?;
                return Ok(Some(batch));
            }
        }
    }

    /// Makes the hash table, from this pair of sides or the first pair that has something to give. `false`: the end.
    async fn open_build(&mut self, cx: &Cx) -> Result<bool> {
        loop {
            self.build = self.read_right(cx).await?;
            let gives =
                self.build.as_ref().is_some_and(|build| build.rows.row_count > 0 || self.keeps_unmatched());
            if gives {
                return Ok(true);
            }
            self.build = None;
            if !self.next_pair() {
                return Ok(false);
            }
        }
    }

    /// Turns to the next pair of files.
    fn next_pair(&mut self) -> bool {
        let Some((left, right, level)) = self.waiting.pop() else {
            (self.left, self.right) = (Source::Empty, Source::Empty);
            return false;
        };
        (self.left, self.right, self.level) = (left.into(), right.into(), level);
        true
    }

    fn layout(&self) -> Result<KeyLayout> {
        let types = |keys: &[Expr]| keys.iter().map(Expr::ty).collect::<Vec<_>>();
        KeyLayout::of_join(&types(&self.left_keys), &types(&self.right_keys))
    }

    /// Reads the right side; `None` when both sides went to files.
    async fn read_right(&mut self, cx: &Cx) -> Result<Option<Build>> {
        let mut build = self.new_build(self.layout()?, &self.matcher.right_types)?;
        let mut batches: Vec<Batch> = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = self.right.next(cx).await? {
            cx.charge(batch_bytes(&batch)).await?;
            let (batch, keys) = build.keyed(batch, &self.right_keys, &self.place)?;
            if batch.row_count == 0 {
                continue;
            }
            build.insert(&keys, batch.row_count)?;
            bytes += batch_bytes(&batch);
            batches.push(batch);
            if self.reservation.set(bytes + build.memory_bytes()) && self.level < LEVEL_MAX {
                self.spill(cx, build, batches).await?;
                return Ok(None);
            }
        }
        build.complete(batches)?;
        if build.keeps_nulls {
            build.matched = vec![false; build.rows.row_count];
        }
        Ok(Some(build))
    }

    /// Parts both sides into files.
    async fn spill(&mut self, cx: &Cx, build: Build, batches: Vec<Batch>) -> Result<()> {
        let layout = build.layout.clone();
        let keyed = self.new_build(layout.clone(), &[])?;
        drop(build);
        let mut rights = Partitions::new(&self.place, self.level);
        for batch in batches {
            let (batch, keys) = keyed.keyed(batch, &self.right_keys, &self.place)?;
            rights.write(cx, &batch, &keys.hashes, |_| true).await?;
        }
        self.reservation.set(0);
        while let Some(batch) = self.right.next(cx).await? {
            let (batch, keys) = keyed.keyed(batch, &self.right_keys, &self.place)?;
            rights.write(cx, &batch, &keys.hashes, |_| true).await?;
        }
        let rights = rights.finish(cx).await?;
        let keeps_unmatched = self.keeps_unmatched();
        let mut lefts = Partitions::new(&self.place, self.level);
        while let Some(batch) = self.left.next(cx).await? {
            cx.charge(batch_bytes(&batch)).await?;
            let columns = evaluate_all(&self.left_keys, &batch, &self.place)?;
            let keys = layout.encode(&columns, batch.row_count)?;
            lefts.write(cx, &batch, &keys.hashes, |row| keeps_unmatched || !keys.is_null(row)).await?;
        }
        let lefts = lefts.finish(cx).await?;
        let level = self.level + 1;
        for (left, right) in lefts.into_iter().zip(rights) {
            let is_full = self.matcher.kind == JoinKind::Full;
            if left.is_some() && (right.is_some() || keeps_unmatched) || right.is_some() && is_full {
                self.waiting.push((left, right, level));
            }
        }
        (self.left, self.right) = (Source::Empty, Source::Empty);
        Ok(())
    }

    fn begin_probe(&mut self, batch: Batch) -> Result<()> {
        let Some(build) = &self.build else {
            return Err(Error::internal("a join probed before it was built"));
        };
        let columns = evaluate_all(&self.left_keys, &batch, &self.place)?;
        let keys = build.layout.encode(&columns, batch.row_count)?;
        self.probe = Some(Probe { outer: Outer::new(batch), keys, row: 0, chain: None });
        Ok(())
    }

    fn new_build(&self, layout: KeyLayout, right_types: &[SqlType]) -> Result<Build> {
        let mut build = Build::new(layout, right_types)?;
        build.keeps_nulls = self.matcher.kind == JoinKind::Full;
        Ok(build)
    }

    /// FULL: the next rows of the table that no left row matched.
    fn right_only(&mut self) -> Result<Option<Batch>> {
        let Some(build) = self.build.as_mut().filter(|_| self.matcher.kind == JoinKind::Full) else {
            return Ok(None);
        };
        let mut rows = Vec::new();
        while build.alone < build.matched.len() && rows.len() < BATCH_ROW_COUNT {
            if !build.matched[build.alone] {
                rows.push(build.alone as u32);
            }
            build.alone += 1;
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let right = build.take(rows, &self.matcher.right_types)?;
        self.matcher.right_only(right).map(Some)
    }

    /// Goes on with the left batch at hand; `None`: nothing to give just now.
    async fn advance(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        let (Some(build), Some(probe)) = (&mut self.build, &mut self.probe) else { return Ok(None) };
        let plain = self.matcher.condition.is_none();
        if plain && matches!(self.matcher.kind, JoinKind::Semi | JoinKind::Anti) {
            let wanted = self.matcher.kind == JoinKind::Semi;
            let found = |row| !probe.keys.is_null(row) && build.table.find(&probe.keys, row).is_some();
            let mask = (0..probe.outer.batch.row_count).map(|row| Some(found(row) == wanted));
            let kept = select(&probe.outer.batch, &BooleanArray::from_iter(mask))?;
            self.probe = None;
            return Ok((kept.row_count > 0).then_some(kept));
        }
        let is_full = self.matcher.kind == JoinKind::Full;
        let inline_nulls = plain && matches!(self.matcher.kind, JoinKind::Left | JoinKind::Full);
        let (left_rows, right_rows) = probe.pairs(build, inline_nulls);
        let is_done = probe.row == probe.outer.batch.row_count;
        let mut joined = None;
        if !left_rows.is_empty() {
            let right = build.take(right_rows.clone(), &self.matcher.right_types)?;
            joined = if plain {
                if is_full {
                    right_rows.iter().filter(|row| **row != NONE).for_each(|row| build.match_row(*row));
                }
                Some(pair(&probe.outer.batch, &left_rows, &right)?)
            } else {
                let mut matched = |pair: usize| build.match_row(right_rows[pair]);
                let place = &self.place;
                self.matcher.candidates(cx, &mut probe.outer, &left_rows, right, place, &mut matched).await?
            };
        } else if is_done {
            if !plain {
                joined = self.matcher.leftover(&probe.outer)?;
            }
            self.probe = None;
        }
        Ok(joined)
    }
}

impl Probe {
    /// The next pairs of left and right rows, about a batch of them. Empty: there are none left.
    fn pairs(&mut self, build: &Build, inline_nulls: bool) -> (Vec<u32>, Vec<u32>) {
        let mut lefts = Vec::with_capacity(BATCH_ROW_COUNT);
        let mut rights = Vec::with_capacity(BATCH_ROW_COUNT);
        while self.row < self.outer.batch.row_count && lefts.len() < BATCH_ROW_COUNT {
            let mut right = match self.chain.take() {
                Some(right) => right,
                None if self.keys.is_null(self.row) => NONE,
                None => {
                    build.table.find(&self.keys, self.row).map_or(NONE, |key| build.chains[key as usize].0)
                }
            };
            if right == NONE && inline_nulls {
                lefts.push(self.row as u32);
                rights.push(NONE);
            }
            while right != NONE && lefts.len() < BATCH_ROW_COUNT {
                lefts.push(self.row as u32);
                rights.push(right);
                right = build.next[right as usize];
            }
            if right == NONE {
                self.row += 1;
            } else {
                self.chain = Some(right);
            }
        }
        (lefts, rights)
    }
}

impl Build {
    fn new(layout: KeyLayout, right_types: &[SqlType]) -> Result<Self> {
        let table = HashTable::new(&layout);
        Ok(Build {
            layout,
            table,
            chains: Vec::new(),
            next: Vec::new(),
            rows: empty(right_types)?,
            matched: Vec::new(),
            alone: 0,
            keeps_nulls: false,
        })
    }

    fn match_row(&mut self, row: u32) {
        self.matched[row as usize] = true;
    }

    /// The rows of a right batch that can match, with their keys.
    fn keyed(&self, batch: Batch, exprs: &[Expr], place: &Place) -> Result<(Batch, Keys)> {
        let columns = evaluate_all(exprs, &batch, place)?;
        let keys = self.layout.encode(&columns, batch.row_count)?;
        let Some(nulls) = keys.nulls.as_ref().filter(|_| !self.keeps_nulls) else { return Ok((batch, keys)) };
        let batch = select(&batch, &BooleanArray::new(nulls.inner().clone(), None))?;
        let columns = evaluate_all(exprs, &batch, place)?;
        let keys = self.layout.encode(&columns, batch.row_count)?;
        Ok((batch, keys))
    }

    fn insert(&mut self, keys: &Keys, row_count: usize) -> Result<()> {
        for row in 0..row_count {
            let number = u32::try_from(self.next.len()).ok().filter(|&number| number != NONE);
            let number = number.ok_or_else(|| Error::internal("a hash join of more than 4 billion rows"))?;
            self.next.push(NONE);
            if keys.is_null(row) {
                continue;
            }
            let (key, is_new) = self.table.insert(keys, row)?;
            if is_new {
                self.chains.push((number, number));
            } else {
                let chain = &mut self.chains[key as usize];
                self.next[chain.1 as usize] = number;
                chain.1 = number;
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + 8 * self.chains.capacity() + 5 * self.next.capacity()
    }

    /// Puts the batches together, so that rows are taken from one array a column.
    fn complete(&mut self, batches: Vec<Batch>) -> Result<()> {
        if batches.is_empty() {
            return Ok(());
        }
        self.rows.row_count = batches.iter().map(|batch| batch.row_count).sum();
        let column_count = batches[0].columns.len();
        let mut parts: Vec<_> = batches.into_iter().map(|batch| batch.columns.into_iter()).collect();
        let mut columns = Vec::with_capacity(column_count);
        for _ in 0..column_count {
            // The parts of a column are dropped as soon as it is whole.
            let arrays: Vec<_> = parts.iter_mut().filter_map(Iterator::next).collect();
            let refs: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
            columns.push(gather::concat(&refs)?);
        }
        self.rows.columns = columns;
        Ok(())
    }

    /// Right rows by number; [`NONE`] gives NULLs.
    fn take(&self, rows: Vec<u32>, types: &[SqlType]) -> Result<Batch> {
        let row_count = rows.len();
        if self.rows.row_count == 0 {
            let columns = types.iter().map(|&ty| columns::nulls_of(ty, row_count)).collect::<Result<_>>()?;
            return Ok(Batch { columns, row_count });
        }
        if !rows.contains(&NONE) {
            return take(&self.rows, &UInt32Array::from(rows));
        }
        let nulls = NullBuffer::from_iter(rows.iter().map(|&row| row != NONE));
        let rows: Vec<u32> = rows.into_iter().map(|row| if row == NONE { 0 } else { row }).collect();
        take(&self.rows, &UInt32Array::new(rows.into(), Some(nulls)))
    }
}

fn evaluate_all(exprs: &[Expr], batch: &Batch, place: &Place) -> Result<Vec<arrow_array::ArrayRef>> {
    let context = place.eval();
    exprs.iter().map(|expr| eval::evaluate_array(expr, &batch.columns, batch.row_count, &context)).collect()
}

impl Operator for HashJoin {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
