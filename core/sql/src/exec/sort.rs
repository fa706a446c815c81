//! Sorting: rows are kept as bytes behind a memcomparable key, sorted by comparing those, written out as sorted runs
//! beyond the budget and merged. Equal keys stay in input order. With a limit only that many rows are kept.

use super::Batch;
use super::memory::Reservation;
use super::query::{Operator, Shared};
use super::rows::{RowDecoder, RowEncoder, values_of};
use super::spill::{SpillFile, SpillReader};
use crate::encode::KeyColumns;
use crate::eval;
use crate::functions::Value;
use crate::plan::SortKey;
use crate::types::SqlType;
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Error, Result};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Runs merged at once.
const FAN_IN: usize = 64;
/// A limit beyond this is sorted like no limit at all.
const TOP_COUNT_MAX: u64 = 100_000;

/// Rows in memory: key and row bytes, one after the other.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    /// Start, end of the key, end of the row.
    places: Vec<(usize, usize, usize)>,
}

impl Rows {
    fn key(&self, row: usize) -> &[u8] {
        let (start, middle, _) = self.places[row];
        &self.bytes[start..middle]
    }

    fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.places.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.key(a as usize).cmp(self.key(b as usize)).then(a.cmp(&b)));
        order
    }

    fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.places.capacity() * 28
    }

    /// Keeps the first `limit` rows in order.
    fn cut(&mut self, limit: usize) {
        let order = self.sorted();
        let mut kept = Rows::default();
        for &row in order.iter().take(limit) {
            let (start, middle, end) = self.places[row as usize];
            let at = kept.bytes.len();
            kept.bytes.extend_from_slice(&self.bytes[start..end]);
            kept.places.push((at, at + middle - start, at + end - start));
        }
        *self = kept;
    }
}

struct Run {
    _file: SpillFile,
    reader: SpillReader,
}

type Head = Reverse<(Vec<u8>, usize, Vec<u8>)>;

enum Stage {
    Input,
    Memory { rows: Rows, order: Vec<u32>, at: usize },
    Merge { runs: Vec<Run>, heads: BinaryHeap<Head> },
}

/// See the file's head.
pub struct Sort {
    shared: Arc<Shared>,
    input: Box<dyn Operator>,
    types: Vec<SqlType>,
    keys: Vec<SortKey>,
    limit: Option<usize>,
    runs: Vec<SpillFile>,
    stage: Stage,
    reservation: Reservation,
}

impl Sort {
    /// See `Op::Sort`.
    pub fn new(
        shared: &Arc<Shared>,
        input: Box<dyn Operator>,
        types: Vec<SqlType>,
        keys: Vec<SortKey>,
        limit: Option<u64>,
    ) -> Self {
        let limit = limit.filter(|&limit| limit <= TOP_COUNT_MAX).map(|limit| limit as usize);
        let reservation = Reservation::new(&shared.memory);
        Sort { shared: shared.clone(), input, types, keys, limit, runs: Vec::new(), stage: Stage::Input, reservation }
    }

    fn add(&self, rows: &mut Rows, batch: &Batch) -> Result<()> {
        let context = self.shared.eval();
        let mut values = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            values.push(Value::Array(eval::evaluate_array(&key.expr, &batch.columns, batch.row_count, &context)?));
        }
        let types: Vec<SqlType> = self.keys.iter().map(|key| key.expr.ty()).collect();
        let keys = KeyColumns::new(&values, &types)?;
        let whole = values_of(batch);
        let encoder = RowEncoder::new(&whole)?;
        for row in 0..batch.row_count {
            let start = rows.bytes.len();
            for (column, key) in self.keys.iter().enumerate() {
                // NULLs stand where NULLS FIRST or LAST says, whatever the direction.
                let is_null = keys.is_null(column, row);
                rows.bytes.push(u8::from(is_null != key.nulls_first));
                if !is_null {
                    keys.push(column, row, key.descending, &mut rows.bytes)?;
                }
            }
            let middle = rows.bytes.len();
            encoder.encode(row, &mut rows.bytes);
            rows.places.push((start, middle, rows.bytes.len()));
        }
        Ok(())
    }

    async fn write_run(&mut self, cx: &Cx, rows: &Rows) -> Result<()> {
        let mut file = SpillFile::new(&self.shared, cx);
        for row in rows.sorted() {
            let (start, middle, end) = rows.places[row as usize];
            let record = [&((middle - start) as u32).to_le_bytes()[..], &rows.bytes[start..end]].concat();
            file.push(cx, &record).await?;
        }
        file.flush(cx).await?;
        self.runs.push(file);
        Ok(())
    }

    async fn read_input(&mut self, cx: &Cx) -> Result<Stage> {
        let mut rows = Rows::default();
        while let Some(batch) = self.input.next(cx).await? {
            cx.charge(batch.row_count * 32).await?;
            self.add(&mut rows, &batch)?;
            if let Some(limit) = self.limit
                && rows.places.len() > 2 * limit + BATCH_ROW_COUNT
            {
                rows.cut(limit);
            }
            self.reservation.set(rows.memory_bytes());
            if self.reservation.is_over() && rows.places.len() >= 64 {
                self.write_run(cx, &rows).await?;
                rows = Rows::default();
                self.reservation.set(0);
            }
        }
        if self.runs.is_empty() {
            let order = rows.sorted();
            return Ok(Stage::Memory { rows, order, at: 0 });
        }
        self.write_run(cx, &rows).await?;
        drop(rows);
        self.reservation.set(0);
        while self.runs.len() > FAN_IN {
            // The first runs go together into one that takes their place, so that equal keys keep their order.
            let rest = self.runs.split_off(FAN_IN);
            let group = std::mem::replace(&mut self.runs, rest);
            let merged = self.merge_to_file(cx, group).await?;
            self.runs.insert(0, merged);
        }
        let runs = std::mem::take(&mut self.runs);
        let (runs, heads) = open_runs(cx, runs).await?;
        Ok(Stage::Merge { runs, heads })
    }

    async fn merge_to_file(&mut self, cx: &Cx, group: Vec<SpillFile>) -> Result<SpillFile> {
        let (mut runs, mut heads) = open_runs(cx, group).await?;
        let mut file = SpillFile::new(&self.shared, cx);
        while let Some((key, row)) = pop(cx, &mut runs, &mut heads).await? {
            let record = [&(key.len() as u32).to_le_bytes()[..], &key, &row].concat();
            file.push(cx, &record).await?;
        }
        file.flush(cx).await?;
        Ok(file)
    }
}

async fn read_head(cx: &Cx, run: &mut Run, number: usize) -> Result<Option<Head>> {
    let Some(record) = run.reader.next(cx).await? else { return Ok(None) };
    let damaged = || Error::internal("a sorted run is damaged");
    let (length, rest) = record.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (key, row) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
    Ok(Some(Reverse((key.to_vec(), number, row.to_vec()))))
}

async fn open_runs(cx: &Cx, files: Vec<SpillFile>) -> Result<(Vec<Run>, BinaryHeap<Head>)> {
    let mut runs: Vec<Run> = files.into_iter().map(|file| Run { reader: file.reader(), _file: file }).collect();
    let mut heads = BinaryHeap::new();
    for (number, run) in runs.iter_mut().enumerate() {
        heads.extend(read_head(cx, run, number).await?);
    }
    Ok((runs, heads))
}

/// The next row of a merge: earlier runs first among equals.
async fn pop(cx: &Cx, runs: &mut [Run], heads: &mut BinaryHeap<Head>) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let Some(Reverse((key, number, row))) = heads.pop() else { return Ok(None) };
    heads.extend(read_head(cx, &mut runs[number], number).await?);
    Ok(Some((key, row)))
}

impl Operator for Sort {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            if matches!(self.stage, Stage::Input) {
                self.stage = self.read_input(cx).await?;
            }
            let mut decoder = RowDecoder::new(&self.types);
            while decoder.row_count() < BATCH_ROW_COUNT && decoder.byte_count() < 4 << 20 {
                match &mut self.stage {
                    Stage::Input => break,
                    Stage::Memory { rows, order, at } => {
                        let Some(&row) = order.get(*at) else { break };
                        *at += 1;
                        let (_, middle, end) = rows.places[row as usize];
                        decoder.push(&mut &rows.bytes[middle..end])?;
                    }
                    Stage::Merge { runs, heads } => {
                        let Some((_, row)) = pop(cx, runs, heads).await? else { break };
                        decoder.push(&mut row.as_slice())?;
                    }
                }
            }
            cx.charge(decoder.byte_count()).await?;
            if decoder.row_count() == 0 { Ok(None) } else { decoder.finish().map(Some) }
        })
    }
}
