//! Access by secondary index, and joins that look the inner rows up by key.

use super::metrics::Counters;
use super::query::{Operator, Shared};
use super::scan::{RowDecoder, column_type, get};
use super::{Batch, ExecContext};
use crate::catalog::Table;
use crate::columns::ColumnBuilder;
use crate::encode;
use crate::eval;
use crate::expr::Expr;
use crate::functions::{EvalContext, Value};
use crate::gather::{self, Selection};
use crate::plan::{JoinKind, KeyBounds, ROW_KEY};
use crate::types::SqlType;
use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use orrery_base::kv::{Flow, KeyRange, Lookup, ReadMode, RowRef, RowSink, Scan};
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState, TreeId};
use orrery_row::key::KeyReader;
use std::collections::VecDeque;
use std::sync::Arc;

/// What to fetch of a table's rows.
pub struct Fetcher {
    table: Arc<Table>,
    columns: Vec<usize>,
}

impl Fetcher {
    /// These columns.
    pub fn new(table: Arc<Table>, columns: Vec<usize>) -> Self {
        Fetcher { table, columns }
    }
}

/// Byte strings one after the other.
#[derive(Default)]
struct Arena {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Arena {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    fn push_key(&mut self, row: &RowRef<'_>) {
        row.key_into(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn all(&self) -> Vec<&[u8]> {
        (0..self.len()).map(|index| self.get(index)).collect()
    }
}

/// Collects rows, or entries of an index: their values, and if they are asked for, their keys.
struct EntrySink<'a> {
    keys: Option<&'a mut Arena>,
    values: &'a mut Arena,
    limit: usize,
}

impl RowSink for EntrySink<'_> {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            if let Some(keys) = &mut self.keys {
                keys.push_key(row);
            }
            self.values.push(row.value);
        }
        Ok(if self.values.len() >= self.limit { Flow::Full } else { Flow::More })
    }

    fn wants_keys(&self) -> bool {
        self.keys.is_some()
    }
}

/// Sees whether there is a row.
struct First(bool);

impl RowSink for First {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        self.0 |= !rows.is_empty();
        Ok(if self.0 { Flow::Full } else { Flow::More })
    }

    fn wants_keys(&self) -> bool {
        false
    }
}

/// Fetches rows by primary key, in order. Errors: XX002 when an entry has no row.
async fn fetch(cx: &Cx, context: &ExecContext, table: &Table, keys: &Arena, rows: &mut Arena) -> Result<()> {
    for index in 0..keys.len() {
        let found =
            get(cx, context, table.tree, keys.get(index), ReadMode::Snapshot, &mut |row| rows.push(row))
                .await?;
        if !matches!(found, Lookup::Found { .. }) {
            let message = format!("an index entry of table \"{}\" has no row", table.name);
            return Err(Error::new(SqlState::INDEX_CORRUPTED, message));
        }
        cx.charge(128).await?;
    }
    Ok(())
}

/// Rows in the order of a secondary index.
pub struct IndexScan {
    shared: Arc<Shared>,
    table: Arc<Table>,
    columns: Vec<usize>,
    index: usize,
    bounds: KeyBounds,
    filter: Option<Expr>,
    reverse: bool,
    covering: bool,
    decoder: RowDecoder,
    scan: Option<Box<dyn Scan>>,
    done: bool,
    run: usize,
}

impl IndexScan {
    /// See `Op::IndexScan`.
    pub fn new(
        shared: &Arc<Shared>,
        rows: Fetcher,
        index: usize,
        bounds: KeyBounds,
        filter: Option<Expr>,
        reverse: bool,
        covering: bool,
    ) -> Self {
        let decoder = RowDecoder::new(&rows.table, rows.columns.clone(), filter.clone());
        let Fetcher { table, columns } = rows;
        // What a key does not give back exactly is read from the row after all (N2).
        let in_key = |ordinal: &usize| {
            *ordinal == ROW_KEY
                || (table.indexes[index].columns.iter().any(|column| column.ordinal == *ordinal)
                    && encode::is_invertible(table.columns[*ordinal].ty))
        };
        let covering = covering && columns.iter().all(in_key);
        let shared = shared.clone();
        // The first run is short: a LIMIT above may want few rows.
        IndexScan {
            shared,
            table,
            columns,
            index,
            bounds,
            filter,
            reverse,
            covering,
            decoder,
            scan: None,
            done: false,
            run: 16,
        }
    }

    fn open(&self) -> Result<Option<Box<dyn Scan>>> {
        let index = &self.table.indexes[self.index];
        let columns = encode::index_columns(&self.table, index);
        let Some(range) = encode::key_range(&self.bounds, &columns, &self.shared.eval())? else {
            return Ok(None);
        };
        Ok(Some(self.shared.context.txn.scan(index.tree, range, ReadMode::Snapshot, self.reverse)?))
    }

    /// A batch from the entries alone.
    fn covered(&self, keys: &Arena, row_keys: &Arena) -> Result<Batch> {
        let index = &self.table.indexes[self.index];
        let mut builders: Vec<_> = self
            .columns
            .iter()
            .map(|&ordinal| ColumnBuilder::new(column_type(&self.table, ordinal), 64))
            .collect();
        let place = |ordinal: usize| index.columns.iter().position(|column| column.ordinal == ordinal);
        let last = self.columns.iter().filter_map(|&ordinal| place(ordinal)).max().map_or(0, |last| last + 1);
        let mut values = Vec::with_capacity(last);
        for entry in 0..keys.len() {
            let mut reader = KeyReader::new(keys.get(entry));
            values.clear();
            for column in &index.columns[..last] {
                let ty = self.table.columns[column.ordinal].ty;
                if !encode::is_invertible(ty) {
                    return Err(Error::internal(
                        "a covering scan over a column that its key does not give back",
                    ));
                }
                values.push(encode::read_key(&mut reader, ty, column.descending)?);
            }
            for (&ordinal, builder) in self.columns.iter().zip(&mut builders) {
                if ordinal == ROW_KEY {
                    builder.push_bytes(row_keys.get(entry))?;
                    continue;
                }
                builder.push(&values[place(ordinal).expect("checked when the scan was made")])?;
            }
        }
        let columns = builders.into_iter().map(ColumnBuilder::finish).collect::<Result<_>>()?;
        let batch = Batch { columns, row_count: keys.len() };
        let Some(filter) = &self.filter else { return Ok(batch) };
        let mask = eval::filter_mask(filter, &batch.columns, batch.row_count, &self.shared.eval())?;
        filter_batch(batch, &mask)
    }

    fn is_covered(&self) -> bool {
        let index = &self.table.indexes[self.index];
        let readable =
            index.columns.iter().all(|column| encode::is_invertible(self.table.columns[column.ordinal].ty));
        self.covering && readable
    }
}

impl Operator for IndexScan {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            if self.scan.is_none() && !self.done {
                self.scan = self.open()?;
                self.done = self.scan.is_none();
            }
            while !self.done {
                let (mut keys, mut row_keys) = (Arena::default(), Arena::default());
                let is_covered = self.is_covered();
                let keys_wanted = is_covered.then_some(&mut keys);
                let mut entries = EntrySink { keys: keys_wanted, values: &mut row_keys, limit: self.run };
                self.run = (self.run * 4).min(BATCH_ROW_COUNT);
                let Some(scan) = self.scan.as_mut() else { break };
                self.done = !scan.next_batch(cx, &mut entries).await?;
                if is_covered {
                    let batch = self.covered(&keys, &row_keys)?;
                    if batch.row_count > 0 {
                        return Ok(Some(batch));
                    }
                    continue;
                }
                let mut rows = Arena::default();
                fetch(cx, &self.shared.context, &self.table, &row_keys, &mut rows).await?;
                self.decoder.push(
                    &rows.all(),
                    &|row, key| key.extend_from_slice(row_keys.get(row)),
                    &self.shared.eval(),
                )?;
                if self.decoder.row_count() > 0 {
                    return self.decoder.finish().map(Some);
                }
            }
            Ok(None)
        })
    }
}

/// Looks the inner rows of each outer row up by key.
pub struct IndexJoin {
    shared: Arc<Shared>,
    outer: Box<dyn Operator>,
    table: Arc<Table>,
    columns: Vec<usize>,
    index: Option<usize>,
    keys: Vec<Expr>,
    kind: JoinKind,
    residual: Option<Expr>,
    ready: VecDeque<Batch>,
    counters: Option<Arc<Counters>>,
    tree: TreeId,
    /// Types and directions of the columns of the tree's keys.
    key_columns: Vec<(SqlType, bool)>,
    /// Scratch: what the entries of one outer row point to.
    entries: Arena,
    pending: Option<Pending>,
}

/// Outer rows, some of them not looked up yet: what is found for one batch of them may not fit into memory.
struct Pending {
    outer: Batch,
    prefixes: Vec<Option<Vec<u8>>>,
    matched: Vec<bool>,
    /// The first that is not done.
    row: usize,
    /// The rest of its matches, and how many came.
    scan: Option<Box<dyn Scan>>,
    found_count: usize,
}

/// Inner rows, their keys, and the outer rows they were found for.
#[derive(Default)]
struct Found {
    keys: Arena,
    rows: Arena,
    owners: Vec<u32>,
}

impl IndexJoin {
    /// See `Op::IndexJoin`.
    #[allow(clippy::too_many_arguments, reason = "the parts of the plan's node")]
    pub fn new(
        shared: &Arc<Shared>,
        outer: Box<dyn Operator>,
        inner: Fetcher,
        index: Option<usize>,
        keys: Vec<Expr>,
        kind: JoinKind,
        residual: Option<Expr>,
        counters: Option<Arc<Counters>>,
    ) -> Self {
        let Fetcher { table, columns } = inner;
        let (tree, key_columns) = match index {
            None => (table.tree, encode::primary_key_columns(&table)),
            Some(index) => (table.indexes[index].tree, encode::index_columns(&table, &table.indexes[index])),
        };
        let (shared, ready, entries) = (shared.clone(), VecDeque::new(), Arena::default());
        IndexJoin {
            shared,
            outer,
            table,
            columns,
            index,
            keys,
            kind,
            residual,
            ready,
            counters,
            tree,
            key_columns,
            entries,
            pending: None,
        }
    }

    /// Whether a prefix is the key of one row.
    fn is_row_key(&self) -> bool {
        self.index.is_none() && self.keys.len() == self.key_columns.len()
    }

    /// The key prefix of each outer row; `None` where a key is NULL.
    fn prefixes(&self, batch: &Batch) -> Result<Vec<Option<Vec<u8>>>> {
        let key_columns = &self.key_columns;
        let context = self.shared.eval();
        let mut values = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            values.push(Value::Array(eval::evaluate_array(key, &batch.columns, batch.row_count, &context)?));
        }
        let types: Vec<_> = key_columns.iter().map(|column| column.0).take(values.len()).collect();
        let columns = encode::KeyColumns::new(&values, &types)?;
        let mut prefixes = Vec::with_capacity(batch.row_count);
        for row in 0..batch.row_count {
            if (0..columns.column_count()).any(|column| columns.is_null(column, row)) {
                prefixes.push(None);
                continue;
            }
            let mut key = Vec::new();
            for (column, &(_, descending)) in key_columns.iter().enumerate().take(columns.column_count()) {
                columns.push(column, row, descending, &mut key)?;
            }
            prefixes.push(Some(key));
        }
        Ok(prefixes)
    }

    /// Adds inner rows (key and value) of the first outer row that is not done; goes on to the next when there are no more.
    async fn look_up(&mut self, cx: &Cx, pending: &mut Pending, found: &mut Found) -> Result<()> {
        let context = &self.shared.context;
        let before = found.rows.len();
        if let Some(prefix) = &pending.prefixes[pending.row] {
            let Found { keys, rows, .. } = found;
            if self.is_row_key() {
                let mut take = |row: &[u8]| rows.push(row);
                let answer = get(cx, context, self.tree, prefix, ReadMode::Snapshot, &mut take).await?;
                if matches!(answer, Lookup::Found { .. }) {
                    keys.push(prefix);
                }
            } else {
                let mut scan = match pending.scan.take() {
                    Some(scan) => scan,
                    None => {
                        context.txn.scan(self.tree, KeyRange::prefix(prefix), ReadMode::Snapshot, false)?
                    }
                };
                let has_more = if self.index.is_none() {
                    let mut sink = EntrySink { keys: Some(keys), values: rows, limit: BATCH_ROW_COUNT };
                    scan.next_batch(cx, &mut sink).await?
                } else {
                    self.entries.clear();
                    let limit = BATCH_ROW_COUNT;
                    let mut sink = EntrySink { keys: None, values: &mut self.entries, limit };
                    let has_more = scan.next_batch(cx, &mut sink).await?;
                    fetch(cx, context, &self.table, &self.entries, rows).await?;
                    (0..self.entries.len()).for_each(|entry| keys.push(self.entries.get(entry)));
                    has_more
                };
                pending.scan = has_more.then_some(scan);
            }
            cx.charge(128).await?;
            found.owners.resize(found.rows.len(), pending.row as u32);
            pending.found_count += found.rows.len() - before;
            if let Some(counters) = self.counters.as_ref().filter(|_| pending.scan.is_none()) {
                counters.looked_up(std::mem::take(&mut pending.found_count));
            }
        }
        pending.row += usize::from(pending.scan.is_none());
        Ok(())
    }

    /// Whether a prefix has an inner row; which is not read.
    async fn exists(&mut self, cx: &Cx, prefix: &[u8]) -> Result<bool> {
        let context = &self.shared.context;
        cx.charge(128).await?;
        if self.is_row_key() {
            let found = get(cx, context, self.tree, prefix, ReadMode::Snapshot, &mut |_| {}).await?;
            return Ok(matches!(found, Lookup::Found { .. }));
        }
        let mut scan = context.txn.scan(self.tree, KeyRange::prefix(prefix), ReadMode::Snapshot, false)?;
        let mut first = First(false);
        while !first.0 && scan.next_batch(cx, &mut first).await? {}
        Ok(first.0)
    }

    /// Begins with the next outer rows. `false`: there are none.
    async fn begin(&mut self, cx: &Cx) -> Result<bool> {
        let Some(outer) = self.outer.next(cx).await? else { return Ok(false) };
        let prefixes = self.prefixes(&outer)?;
        let matched = vec![false; outer.row_count];
        self.pending = Some(Pending { outer, prefixes, matched, row: 0, scan: None, found_count: 0 });
        Ok(true)
    }

    /// Looks up until there is a batch of inner rows, or all outer rows are done.
    async fn join(&mut self, cx: &Cx, mut pending: Pending) -> Result<()> {
        if self.residual.is_none() && matches!(self.kind, JoinKind::Semi | JoinKind::Anti) {
            for (matched, prefix) in pending.matched.iter_mut().zip(&pending.prefixes) {
                if let Some(prefix) = prefix {
                    *matched = self.exists(cx, prefix).await?;
                    if let Some(counters) = &self.counters {
                        counters.looked_up(usize::from(*matched));
                    }
                }
            }
            return self.finish(pending.outer, &pending.matched);
        }
        let mut found = Found::default();
        while pending.row < pending.outer.row_count && found.rows.len() < BATCH_ROW_COUNT {
            self.look_up(cx, &mut pending, &mut found).await?;
        }
        self.emit(cx, &found, &mut pending).await?;
        if pending.row < pending.outer.row_count {
            self.pending = Some(pending);
            return Ok(());
        }
        self.finish(pending.outer, &pending.matched)
    }

    /// Joins the collected rows with their outer rows.
    async fn emit(&mut self, cx: &Cx, found: &Found, pending: &mut Pending) -> Result<()> {
        let Found { keys, rows, owners } = found;
        if rows.len() == 0 {
            return Ok(());
        }
        let mut decoder = RowDecoder::new(&self.table, self.columns.clone(), None);
        decoder.push(&rows.all(), &|row, key| key.extend_from_slice(keys.get(row)), &self.shared.eval())?;
        let inner = decoder.finish()?;
        let mut columns = take_rows(&pending.outer.columns, &UInt32Array::from(owners.clone()))?;
        columns.extend(inner.columns);
        let batch = Batch { columns, row_count: rows.len() };
        let mask = match &self.residual {
            Some(residual) => {
                let mask = |context: &EvalContext<'_>| {
                    eval::filter_mask(residual, &batch.columns, batch.row_count, context)
                };
                self.shared.evaluate(cx, mask).await?
            }
            None => BooleanArray::from(vec![true; batch.row_count]),
        };
        mask.values().set_indices().for_each(|row| pending.matched[owners[row] as usize] = true);
        if matches!(self.kind, JoinKind::Inner | JoinKind::Left) {
            let kept = filter_batch(batch, &mask)?;
            if kept.row_count > 0 {
                self.ready.push_back(kept);
            }
        }
        Ok(())
    }

    /// What the join gives of outer rows by whether they matched.
    fn finish(&mut self, outer: Batch, matched: &[bool]) -> Result<()> {
        let wanted = match self.kind {
            JoinKind::Inner => return Ok(()),
            JoinKind::Semi => matched.to_vec(),
            JoinKind::Full => return Err(Error::internal("a FULL JOIN by lookups")),
            JoinKind::Left | JoinKind::Anti => matched.iter().map(|matched| !matched).collect(),
        };
        let mut kept = filter_batch(outer, &BooleanArray::from(wanted))?;
        if kept.row_count == 0 {
            return Ok(());
        }
        if self.kind == JoinKind::Left {
            for &ordinal in &self.columns {
                let nulls: ArrayRef =
                    crate::columns::nulls_of(column_type(&self.table, ordinal), kept.row_count)?;
                kept.columns.push(nulls);
            }
        }
        self.ready.push_back(kept);
        Ok(())
    }
}

impl Operator for IndexJoin {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            loop {
                if let Some(batch) = self.ready.pop_front() {
                    return Ok(Some(batch));
                }
                match self.pending.take() {
                    Some(pending) => self.join(cx, pending).await?,
                    None if self.begin(cx).await? => {}
                    None => return Ok(None),
                }
            }
        })
    }
}

/// The rows of a batch that a mask selects.
fn filter_batch(batch: Batch, mask: &BooleanArray) -> Result<Batch> {
    let row_count = mask.true_count();
    if row_count == batch.row_count {
        return Ok(batch);
    }
    let selection = Selection::of(mask);
    let keep = |column: &ArrayRef| selection.filter(column);
    Ok(Batch { columns: batch.columns.iter().map(keep).collect::<Result<_>>()?, row_count })
}

/// Rows by number; `None` gives NULLs.
fn take_rows(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| gather::take(column, rows)).collect()
}
