//! Fills a new secondary index from its table's rows.

use super::{ExecContext, scan};
use crate::catalog::{Index, Table};
use crate::datum::Datum;
use crate::encode;
use crate::text::{self, FormatSettings};
use orrery_base::kv::{Flow, Isolation, KeyRange, Lookup, ReadMode, RowRef, RowSink};
use orrery_base::{Cx, Error, Result, SqlState};

/// Rows of one run.
const RUN_ROW_COUNT: usize = 2048;

/// Rows copied out of a scan: key and value.
#[derive(Default)]
struct Run(Vec<(Vec<u8>, Vec<u8>)>);

impl RowSink for Run {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = Vec::new();
            row.key_into(&mut key);
            self.0.push((key, row.value.to_vec()));
        }
        Ok(if self.0.len() >= RUN_ROW_COUNT { Flow::Full } else { Flow::More })
    }
}

/// Writes the entries of all rows of the table, the transaction's own rows too. The caller holds a lock that keeps writers
/// out. Suspends.
///
/// Errors: 23505 when rows share a key that must be unique; 54000 for a key that is too long; 40001 above READ COMMITTED
/// when a row changed since the snapshot.
pub async fn build_index(cx: &Cx, context: &ExecContext, table: &Table, index: &Index) -> Result<()> {
    let (layout, rows) = (encode::layout(table), encode::OldRows::of(table));
    if context.txn.isolation() != Isolation::ReadCommitted {
        refuse_newer_rows(cx, context, table).await?;
    }
    let mut scan = context.txn.scan(table.tree, KeyRange::all(), ReadMode::Current, false)?;
    let mut entry = Vec::new();
    let mut more = true;
    while more {
        let mut run = Run::default();
        more = scan.next_batch(cx, &mut run).await?;
        context.relieve(cx, table).await?;
        for (key, value) in run.0 {
            cx.charge(value.len() + 128).await?;
            let row = rows.decode(&layout, &value)?;
            if encode::index_key(table, index, &row, &key, &mut entry)? {
                let taken =
                    scan::get(cx, context, index.tree, &entry, ReadMode::Current, &mut |_| {}).await?;
                if matches!(taken, Lookup::Found { .. }) {
                    return Err(duplicated(table, index, &row, context.format));
                }
            }
            context.txn.put(index.tree, &entry, &key)?;
        }
    }
    Ok(())
}

/// Errors: 40001 when a row changed since the snapshot of a transaction that keeps one: an index of the newest rows would
/// mislead its own later statements.
pub async fn refuse_newer_rows(cx: &Cx, context: &ExecContext, table: &Table) -> Result<()> {
    for mode in [ReadMode::Snapshot, ReadMode::Current] {
        let mut scan = context.txn.scan(table.tree, KeyRange::all(), mode, false)?;
        let mut more = true;
        while more {
            let mut run = Run::default();
            more = scan.next_batch(cx, &mut run).await?;
            for (key, _) in run.0 {
                cx.charge(128).await?;
                let newest = scan::get(cx, context, table.tree, &key, ReadMode::Current, &mut |_| {}).await?;
                if !matches!(newest, Lookup::Found { newer: false }) {
                    let message = "could not serialize access due to concurrent update";
                    return Err(Error::new(SqlState::SERIALIZATION_FAILURE, message));
                }
            }
        }
    }
    Ok(())
}

fn duplicated(table: &Table, index: &Index, row: &[Datum], settings: FormatSettings) -> Error {
    let shown_count = index.columns.len() - usize::from(index.predicate.is_some());
    let key = &index.columns[..shown_count];
    let columns = key.iter().map(|column| &table.columns[column.ordinal]);
    let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    let shown = |ordinal: usize| text::format(&row[ordinal], table.columns[ordinal].ty, settings);
    let values: Vec<String> = key.iter().map(|column| shown(column.ordinal)).collect();
    Error::new(SqlState::UNIQUE_VIOLATION, format!("could not create unique index \"{}\"", index.name))
        .with_detail(format!("Key ({})=({}) is duplicated.", names.join(", "), values.join(", ")))
}
