//! Scans of a table's main tree: rows are decoded column by column straight from the pages, filter columns first.

use super::filter::select;
use super::query::{Operator, Shared};
use super::{Batch, ExecContext};
use crate::catalog::Table;
use crate::columns::ColumnBuilder;
use crate::encode::{self, OldRows, RowBytes};
use crate::eval;
use crate::eval::each_column;
use crate::expr::Expr;
use crate::functions::EvalContext;
use crate::plan::{KeyBounds, ROW_KEY};
use crate::types::SqlType;
use orrery_base::kv::{Flow, ReadMode, RowRef, RowSink, Scan};
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::sorting;
use orrery_base::{BoxFuture, Cx, Result};
use orrery_row::codec::RowLayout;
use std::sync::Arc;

/// Bytes of values after which a batch is full whatever its row count.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// The type of an output column.
pub fn column_type(table: &Table, ordinal: usize) -> SqlType {
    if ordinal == ROW_KEY { SqlType::Bytea } else { table.columns[ordinal].ty }
}

/// Decodes rows into columns.
pub struct RowDecoder {
    layout: RowLayout,
    old: OldRows,
    columns: Vec<usize>,
    /// Up to where a row is looked at.
    wanted_bytes: usize,
    /// 0, 1, … up to the number of output columns.
    all_columns: Vec<usize>,
    types: Vec<SqlType>,
    builders: Vec<ColumnBuilder>,
    row_count: usize,
    filter: Option<Expr>,
    /// Output columns that the filter reads.
    filter_columns: Vec<usize>,
}

impl RowDecoder {
    /// For these columns of a table; a filter is over the output columns.
    pub fn new(table: &Table, columns: Vec<usize>, filter: Option<Expr>) -> Self {
        let types: Vec<_> = columns.iter().map(|&ordinal| column_type(table, ordinal)).collect();
        let mut filter_columns = Vec::new();
        if let Some(filter) = &filter {
            each_column(filter, &mut |id| filter_columns.push(id));
        }
        sorting::sort(&mut filter_columns);
        filter_columns.dedup();
        let layout = encode::layout(table);
        // With a filter the other columns are read of few rows.
        let reads = |column: &usize| filter.is_none() || filter_columns.contains(column);
        let is_variable = |&column: &usize| {
            columns[column] != ROW_KEY && layout.place(columns[column]).ty.width().is_none()
        };
        let has_variable = (0..columns.len()).filter(reads).any(|column| is_variable(&column));
        let mut decoder = RowDecoder {
            wanted_bytes: if has_variable { usize::MAX } else { layout.variable_offset() },
            layout,
            old: OldRows::of(table),
            all_columns: (0..columns.len()).collect(),
            columns,
            types,
            builders: Vec::new(),
            row_count: 0,
            filter,
            filter_columns,
        };
        decoder.builders = decoder.new_builders(0);
        decoder
    }

    fn new_builders(&self, capacity: usize) -> Vec<ColumnBuilder> {
        self.types.iter().map(|&ty| ColumnBuilder::new(ty, capacity)).collect()
    }

    /// Rows so far.
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// Whether a batch's worth is there.
    pub fn is_full(&self) -> bool {
        self.row_count >= BATCH_ROW_COUNT
            || self.builders.iter().map(ColumnBuilder::byte_count).sum::<usize>() >= BATCH_BYTES_MAX
    }

    /// The batch so far; starts a new one.
    pub fn finish(&mut self) -> Result<Batch> {
        let fresh = self.new_builders(BATCH_ROW_COUNT.min(self.row_count.max(16)));
        let builders = std::mem::replace(&mut self.builders, fresh);
        let columns = builders.into_iter().map(ColumnBuilder::finish).collect::<Result<_>>()?;
        Ok(Batch { columns, row_count: std::mem::take(&mut self.row_count) })
    }

    /// Decodes rows; `keys` gives the key of row `i` when ROW_KEY is wanted. Answers which rows passed the filter
    /// (`None`: all).
    pub fn push<R: RowBytes>(
        &mut self,
        values: &[R],
        keys: &dyn Fn(usize, &mut Vec<u8>),
        context: &EvalContext<'_>,
    ) -> Result<Option<Vec<usize>>> {
        if values.iter().any(|value| !self.layout.fits(value.bytes())) {
            let whole = |row: &[u8]| {
                if self.layout.fits(row) { Ok(row.to_vec()) } else { self.old.upgrade(&self.layout, row) }
            };
            let upgraded = values.iter().map(|value| whole(value.bytes())).collect::<Result<Vec<_>>>()?;
            let upgraded: Vec<&[u8]> = upgraded.iter().map(Vec::as_slice).collect();
            return self.push_fitting(&upgraded, keys, context);
        }
        self.push_fitting(values, keys, context)
    }

    fn push_fitting<R: RowBytes>(
        &mut self,
        values: &[R],
        keys: &dyn Fn(usize, &mut Vec<u8>),
        context: &EvalContext<'_>,
    ) -> Result<Option<Vec<usize>>> {
        let Some(filter) = &self.filter else {
            let (all, builders) = (&self.all_columns, &mut self.builders);
            decode(&self.layout, &self.columns, all, values, None, &[], keys, builders)?;
            self.row_count += values.len();
            return Ok(None);
        };
        // The columns of the filter are decoded for all rows, the others for those that pass.
        let mut scratch: Vec<ColumnBuilder> = Vec::with_capacity(self.types.len());
        for (column, &ty) in self.types.iter().enumerate() {
            let wanted = self.filter_columns.binary_search(&column).is_ok();
            scratch.push(ColumnBuilder::new(ty, if wanted { values.len() } else { 0 }));
        }
        decode(&self.layout, &self.columns, &self.filter_columns, values, None, &[], keys, &mut scratch)?;
        let arrays = scratch.into_iter().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
        let mask = eval::filter_mask(filter, &arrays, values.len(), context)?;
        let passed: Vec<usize> = mask.values().set_indices().collect();
        if !passed.is_empty() {
            let kept: Vec<&[u8]> = passed.iter().map(|&row| values[row].bytes()).collect();
            decode(
                &self.layout,
                &self.columns,
                &self.all_columns,
                &kept,
                Some(()),
                &passed,
                keys,
                &mut self.builders,
            )?;
            self.row_count += kept.len();
        }
        Ok(Some(passed))
    }
}

/// Decodes output columns `which` of the rows; row `i` has number `numbers[i]` when some were left out.
#[allow(clippy::too_many_arguments, reason = "the parts of a decoder that are borrowed apart")]
fn decode<R: RowBytes>(
    layout: &RowLayout,
    ordinals: &[usize],
    which: &[usize],
    rows: &[R],
    renumbered: Option<()>,
    numbers: &[usize],
    keys: &dyn Fn(usize, &mut Vec<u8>),
    builders: &mut [ColumnBuilder],
) -> Result<()> {
    for &column in which {
        if ordinals[column] == ROW_KEY {
            let mut key = Vec::new();
            let number_of = |row: usize| if renumbered.is_some() { numbers[row] } else { row };
            for number in (0..rows.len()).map(number_of) {
                key.clear();
                keys(number, &mut key);
                builders[column].push_bytes(&key)?;
            }
        } else {
            encode::decode_rows(layout, ordinals[column], rows, &mut builders[column])?;
        }
    }
    Ok(())
}

/// Whether all output columns but short ones are decoded for the filter in any case.
fn is_decoded_anyway(table: &Table, columns: &[usize], filter: &Expr) -> bool {
    let mut is_read = vec![false; columns.len()];
    each_column(filter, &mut |id| is_read[id] = true);
    columns.iter().zip(is_read).all(|(&ordinal, is_read)| {
        is_read || encode::physical_type(column_type(table, ordinal)).width().is_some()
    })
}

struct DecodingSink<'a> {
    decoder: &'a mut RowDecoder,
    context: EvalContext<'a>,
}

impl RowSink for DecodingSink<'_> {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        self.decoder.push(rows, &|row, key| rows[row].key_into(key), &self.context)?;
        Ok(if self.decoder.is_full() { Flow::Full } else { Flow::More })
    }

    fn wants_keys(&self) -> bool {
        self.decoder.columns.contains(&ROW_KEY)
    }

    fn wanted_bytes(&self) -> usize {
        self.decoder.wanted_bytes
    }
}

/// Scans a table's main tree.
pub struct TableScan {
    shared: Arc<Shared>,
    table: Arc<Table>,
    bounds: KeyBounds,
    reverse: bool,
    decoder: RowDecoder,
    /// The filter, where whole batches are filtered.
    late_filter: Option<Expr>,
    scan: Option<Box<dyn Scan>>,
    done: bool,
}

impl TableScan {
    /// See `Op::TableScan`.
    pub fn new(
        shared: &Arc<Shared>,
        table: Arc<Table>,
        columns: Vec<usize>,
        bounds: KeyBounds,
        filter: Option<Expr>,
        reverse: bool,
    ) -> Self {
        // Where the filter saves the decoding of long values, it is run on each run of rows before them; where it saves
        // next to nothing, once a batch.
        let (early, late) = match filter {
            Some(filter) if is_decoded_anyway(&table, &columns, &filter) => (None, Some(filter)),
            filter => (filter, None),
        };
        let decoder = RowDecoder::new(&table, columns, early);
        TableScan {
            shared: shared.clone(),
            table,
            bounds,
            reverse,
            decoder,
            late_filter: late,
            scan: None,
            done: false,
        }
    }

    /// Decodes the next batch, before the late filter.
    async fn decode_batch(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        if self.scan.is_none() && !self.done {
            self.scan = self.open()?;
            self.done = self.scan.is_none();
        }
        while !self.done && !self.decoder.is_full() {
            let Some(scan) = self.scan.as_mut() else { break };
            let mut sink = DecodingSink { decoder: &mut self.decoder, context: self.shared.eval() };
            self.done = !scan.next_batch(cx, &mut sink).await?;
        }
        if self.decoder.row_count() == 0 {
            return Ok(None);
        }
        self.decoder.finish().map(Some)
    }

    fn open(&self) -> Result<Option<Box<dyn Scan>>> {
        let columns = encode::primary_key_columns(&self.table);
        let Some(range) = encode::key_range(&self.bounds, &columns, &self.shared.eval())? else {
            return Ok(None);
        };
        let txn = &self.shared.context.txn;
        Ok(Some(txn.scan(self.table.tree, range, ReadMode::Snapshot, self.reverse)?))
    }
}

impl Operator for TableScan {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            while let Some(batch) = self.decode_batch(cx).await? {
                let Some(filter) = &self.late_filter else { return Ok(Some(batch)) };
                let mask = eval::filter_mask(filter, &batch.columns, batch.row_count, &self.shared.eval())?;
                match mask.true_count() {
                    0 => {}
                    count if count == batch.row_count => return Ok(Some(batch)),
                    _ => return select(&batch, &mask).map(Some),
                }
            }
            Ok(None)
        })
    }
}

/// Reads one row by key, waiting for its page. `found` gets the value; the answer is whether there was one.
pub async fn get(
    cx: &Cx,
    context: &ExecContext,
    tree: orrery_base::TreeId,
    key: &[u8],
    mode: ReadMode,
    found: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<orrery_base::kv::Lookup> {
    loop {
        match context.txn.get(tree, key, mode, found)? {
            orrery_base::kv::Lookup::Missing(page) => context.txn.load(cx, page).await?,
            lookup => return Ok(lookup),
        }
    }
}
