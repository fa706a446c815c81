//! The logical half of `check` (I8): every row decodes and lies under its key, every index holds exactly one right entry a
//! row.
//!
//! Of an index: each row's entry is looked up and its value compared; then the entries are counted. As many entries as
//! rows, and each row's entry there, means that none is too many. It reads one snapshot, and changes nothing. Pages that
//! cannot be read are the page walk's findings; here they end the look at one table.

use orrery_base::kv::{Flow, Isolation, KeyRange, Lookup, ReadMode, RowRef, RowSink, Transaction};
use orrery_base::{Cx, Error, Result, SqlState, TreeId};
use orrery_row::codec::RowLayout;
use orrery_sql::catalog::{Catalog, Index, Table};
use orrery_sql::ddl::load_catalog;
use orrery_sql::encode::{self, OldRows};
use orrery_store::{CheckFinding, Store, TxnOptions};
use std::sync::Arc;

/// Findings of one table or index that are named one by one.
const NAMED_MAX: u64 = 5;
/// Rows looked at between two batches of a scan.
const BATCH_ROW_COUNT: usize = 1024;

/// Holds every table of the database against its indexes. Errors: the disk's; damage is reported.
pub(crate) async fn tables(cx: &Cx, store: &Arc<Store>, report: &mut Vec<CheckFinding>) -> Result<()> {
    let options = TxnOptions { isolation: Isolation::RepeatableRead, read_only: true };
    let txn = store.begin(options, cx.now())?;
    txn.begin_statement()?;
    let catalog = match load_catalog(cx, &*txn).await {
        Ok(catalog) => catalog,
        Err(error) => return damage(error, "the catalog", report),
    };
    all(cx, &*txn, &catalog, report).await?;
    txn.rollback();
    Ok(())
}

async fn all(
    cx: &Cx,
    txn: &dyn Transaction,
    catalog: &Catalog,
    report: &mut Vec<CheckFinding>,
) -> Result<()> {
    for table in catalog.tables.values() {
        let mut look = Look { cx, txn, table, row_count: 0, wrong_count: 0, report };
        if let Err(error) = look.rows().await {
            damage(error, &format!("table {}", table.name), look.report)?;
            continue;
        }
        let row_count = look.row_count;
        for index in &table.indexes {
            match count(cx, txn, index.tree).await {
                Ok(entries) if entries != row_count => report.push(CheckFinding {
                    place: place(table, index),
                    message: format!("it has {entries} entries, and the table {row_count} rows"),
                }),
                Ok(_) => {}
                Err(error) => damage(error, &place(table, index), report)?,
            }
        }
    }
    Ok(())
}

/// Damage is a finding; anything else ends the check.
fn damage(error: Error, place: &str, report: &mut Vec<CheckFinding>) -> Result<()> {
    if error.code() != SqlState::DATA_CORRUPTED {
        return Err(error);
    }
    report.push(CheckFinding { place: place.to_owned(), message: error.message().to_owned() });
    Ok(())
}

pub(crate) fn place(table: &Table, index: &Index) -> String {
    format!("index {} of table {}", index.name, table.name)
}

async fn count(cx: &Cx, txn: &dyn Transaction, tree: TreeId) -> Result<u64> {
    let mut counter = Counter(0);
    let mut scan = txn.scan(tree, KeyRange::all(), ReadMode::Snapshot, false)?;
    while scan.next_batch(cx, &mut counter).await? {}
    Ok(counter.0)
}

struct Counter(u64);

impl RowSink for Counter {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        self.0 += rows.len() as u64;
        Ok(Flow::More)
    }

    fn wants_keys(&self) -> bool {
        false
    }
}

/// Rows with their keys, copied: a lookup may not run inside a scan's call.
#[derive(Default)]
struct Batch(Vec<(Vec<u8>, Vec<u8>)>);

impl RowSink for Batch {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = Vec::new();
            row.key_into(&mut key);
            self.0.push((key, row.value.to_vec()));
        }
        Ok(if self.0.len() < BATCH_ROW_COUNT { Flow::More } else { Flow::Full })
    }
}

/// One table.
struct Look<'a> {
    cx: &'a Cx,
    txn: &'a dyn Transaction,
    table: &'a Table,
    row_count: u64,
    wrong_count: u64,
    report: &'a mut Vec<CheckFinding>,
}

impl Look<'_> {
    async fn rows(&mut self) -> Result<()> {
        let (layout, old) = (encode::layout(self.table), encode::OldRows::of(self.table));
        let mut scan = self.txn.scan(self.table.tree, KeyRange::all(), ReadMode::Snapshot, false)?;
        loop {
            let mut batch = Batch::default();
            let is_more = scan.next_batch(self.cx, &mut batch).await?;
            for (key, value) in &batch.0 {
                self.row_count += 1;
                self.row(&layout, &old, key, value).await?;
            }
            if !is_more {
                break;
            }
        }
        if self.wrong_count > NAMED_MAX {
            let message = format!("{} findings in all; the first {NAMED_MAX} are named", self.wrong_count);
            self.report.push(CheckFinding { place: format!("table {}", self.table.name), message });
        }
        Ok(())
    }

    async fn row(&mut self, layout: &RowLayout, old: &OldRows, key: &[u8], value: &[u8]) -> Result<()> {
        let here = || format!("table {}, row {}", self.table.name, hex(key));
        let row = match old.decode(layout, value) {
            Ok(row) => row,
            Err(error) => {
                let place = here();
                self.wrong(place, error.message().to_owned());
                return Ok(());
            }
        };
        if !self.table.primary_key.is_empty() {
            let mut expected = Vec::new();
            encode::primary_key(self.table, &row, &mut expected)?;
            if expected != key {
                let place = here();
                self.wrong(place, format!("its primary key is {}", hex(&expected)));
            }
        }
        for (index, (tree, entry, _)) in
            self.table.indexes.iter().zip(encode::index_entries(self.table, &row, key)?)
        {
            let problem = match self.value_of(tree, &entry).await? {
                None => format!("no entry for row {}", hex(key)),
                Some(found) if found != key => {
                    format!("the entry of row {} leads to {}", hex(key), hex(&found))
                }
                Some(_) => continue,
            };
            self.wrong(place(self.table, index), problem);
        }
        Ok(())
    }

    async fn value_of(&self, tree: TreeId, key: &[u8]) -> Result<Option<Vec<u8>>> {
        loop {
            let mut value = None;
            let mut found = |bytes: &[u8]| value = Some(bytes.to_vec());
            match self.txn.get(tree, key, ReadMode::Snapshot, &mut found)? {
                Lookup::Found { .. } => return Ok(value),
                Lookup::Absent { .. } => return Ok(None),
                Lookup::Missing(page) => self.txn.load(self.cx, page).await?,
            }
        }
    }

    fn wrong(&mut self, place: String, message: String) {
        self.wrong_count += 1;
        if self.wrong_count <= NAMED_MAX {
            self.report.push(CheckFinding { place, message });
        }
    }
}

/// A key for people: its first bytes.
fn hex(key: &[u8]) -> String {
    let shown: String = key.iter().take(24).map(|byte| format!("{byte:02x}")).collect();
    if key.len() > 24 { format!("{shown}…") } else { shown }
}
