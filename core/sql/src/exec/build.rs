//! CREATE INDEX over rows that are there: every row of the newest version gets its entry.

use super::ExecContext;
use super::dml::index_conflict;
use crate::catalog::{Index, Table};
use crate::encode;
use crate::types::SqlType;
use orrery_base::kv::{Flow, KeyRange, ReadMode, RowRef, RowSink};
use orrery_base::{Cx, Result};
use orrery_row::codec::RowLayout;

/// Fills a new index. The caller holds a lock on the table that keeps writers out (`Share`). Errors: 23505 when rows repeat
/// a key of a unique index.
pub async fn build_index(cx: &Cx, context: &ExecContext, table: &Table, index: &Index) -> Result<()> {
    let mut scan = context.txn.scan(table.tree, KeyRange::all(), ReadMode::Current, false)?;
    let mut sink = Entries {
        table,
        index,
        layout: encode::layout(table),
        types: encode::types(table),
        entries: Vec::new(),
    };
    loop {
        let more = scan.next_batch(cx, &mut sink).await?;
        for (key, primary_key, row) in std::mem::take(&mut sink.entries) {
            cx.charge(key.len() + 64).await?;
            if let Some(row) = row {
                index_conflict(cx, context, table, index, &key, &row).await?;
            }
            context.txn.put(index.tree, &key, &primary_key)?;
        }
        if !more {
            return Ok(());
        }
    }
}

/// An entry's key, its row's primary key, and, where the key must be unique, the row.
type NewEntry = (Vec<u8>, Vec<u8>, Option<Vec<crate::datum::Datum>>);

struct Entries<'a> {
    table: &'a Table,
    index: &'a Index,
    layout: RowLayout,
    types: Vec<SqlType>,
    entries: Vec<NewEntry>,
}

impl RowSink for Entries<'_> {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut primary_key = Vec::new();
            row.key_into(&mut primary_key);
            let values = encode::decode_row(&self.layout, &self.types, row.value)?;
            let mut key = Vec::new();
            let is_unique = encode::index_key(self.table, self.index, &values, &primary_key, &mut key)?;
            self.entries.push((key, primary_key, is_unique.then_some(values)));
        }
        Ok(Flow::Full)
    }
}
