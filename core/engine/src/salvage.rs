//! The receiving side of a salvage: a new database takes in the rows and commits that were read of a damaged one, and then makes its
//! indexes anew where they do not fit the rows.

use crate::check;
use crate::database::Database;
use crate::duplicate::Piece;
use orrery_base::kv::{Flow, Isolation, KeyRange, Lookup, ReadMode, RowRef, RowSink, Transaction};
use orrery_base::task::Task;
use orrery_base::{Cx, Result, TreeId};
use orrery_sql::catalog::Table;
use orrery_sql::ddl::load_catalog;
use orrery_sql::encode;
use orrery_store::{
    Durability, FileSalvage, LogSalvage, SalvagedChange, Store, Txn, TxnOptions, salvage_log,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rows that one transaction of mending looks at.
const MEND_ROW_COUNT: usize = 4096;

/// A damaged database that is being read. Its tasks run on the driver of that.
pub struct Salvage(FileSalvage);

/// What became of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MendedTable {
    /// Its name.
    pub table: String,
    /// Its trees: its rows', then its indexes'.
    pub trees: Vec<TreeId>,
    /// Its rows.
    pub row_count: u64,
    /// Whether its indexes were made anew.
    pub is_mended: bool,
    /// Rows left out, because another one has their key in a unique index.
    pub duplicate_count: u64,
    /// Rows left out, because they could not be decoded.
    pub undecoded_count: u64,
}

impl Salvage {
    /// Begins. Errors: as [`FileSalvage::open`].
    pub fn open(world: Arc<orrery_base::World>) -> Task<Result<Salvage>> {
        Task::new(world, |cx| async move { FileSalvage::open(&cx).await.map(Salvage) })
    }

    /// The next rows, and the salvage to go on with; `None` at the end. Errors: the disk's.
    pub fn next(mut self, world: Arc<orrery_base::World>) -> Task<Result<(Option<Vec<Piece>>, Salvage)>> {
        Task::new(world, |cx| async move {
            let mut pieces: Vec<Piece> = Vec::new();
            let mut is_more = true;
            while is_more
                && pieces.iter().map(Piece::byte_count).sum::<usize>() < crate::duplicate::PIECE_BYTES
            {
                let mut take = |tree: TreeId, key: &[u8], value: &[u8]| {
                    if pieces.last().is_none_or(|piece| piece.tree() != tree) {
                        pieces.push(Piece::new(tree));
                    }
                    if let Some(piece) = pieces.last_mut() {
                        piece.push(key, value);
                    }
                };
                is_more = self.0.next(&cx, &mut take).await?;
            }
            let is_end = !is_more && pieces.is_empty();
            Ok(((!is_end).then_some(pieces), self))
        })
    }

    /// The log, once all rows were read; and what was read of the file. Errors: the disk's.
    pub fn finish(self, world: Arc<orrery_base::World>) -> Task<Result<(FileSalvage, LogSalvage)>> {
        Task::new(world, |cx| async move {
            let log = salvage_log(&cx, &self.0).await?;
            Ok((self.0, log))
        })
    }
}

fn begin(store: &Arc<Store>, cx: &Cx) -> Result<Arc<Txn>> {
    let options = TxnOptions { isolation: Isolation::ReadCommitted, read_only: false };
    let txn = store.begin(options, cx.now())?;
    // Nobody believes in the new database before its last checkpoint.
    txn.set_durability(Durability::None);
    txn.begin_statement()?;
    Ok(txn)
}

impl Database {
    /// Takes a commit of a damaged database's log in. Errors: those of writing.
    pub fn take_in_commit(&self, changes: Vec<SalvagedChange>) -> Task<Result<()>> {
        let db = self.0.clone();
        Task::new(self.0.world.clone(), move |cx| async move {
            let txn = begin(&db.store, &cx)?;
            for change in &changes {
                match change {
                    SalvagedChange::Put(tree, key, value) => txn.put(*tree, key, value)?,
                    SalvagedChange::Delete(tree, key) => txn.delete(*tree, key)?,
                    SalvagedChange::DropTree(tree) => txn.drop_tree(*tree)?,
                }
                if txn.wants_relief() {
                    txn.relieve(&cx).await?;
                }
            }
            txn.commit(&cx).await.map(drop)
        })
    }

    /// Holds every table's rows against its indexes, and makes the indexes anew of those where they do not fit. Errors: XX001 when the
    /// catalogue cannot be understood; those of writing.
    pub fn mend(&self) -> Task<Result<Vec<MendedTable>>> {
        let db = self.0.clone();
        Task::new(self.0.world.clone(), move |cx| async move {
            let catalog = {
                let txn = begin(&db.store, &cx)?;
                let catalog = load_catalog(&cx, &*txn).await?;
                txn.rollback();
                catalog
            };
            let mut damaged = Vec::new();
            check::tables(&cx, &db.store, &mut damaged).await?;
            let mut tables = Vec::new();
            for table in catalog.tables.values() {
                let name = catalog.shown_name(&table.name);
                let place = |index: &orrery_sql::catalog::Index| check::place(table, index);
                let places: BTreeSet<String> = table.indexes.iter().map(place).collect();
                let own = format!("table {}", table.name);
                let is_own =
                    |at: &str| at == own || at.strip_prefix(&own).is_some_and(|it| it.starts_with(','));
                let is_damaged = damaged.iter().any(|it| places.contains(&it.place) || is_own(&it.place));
                let trees =
                    std::iter::once(table.tree).chain(table.indexes.iter().map(|it| it.tree)).collect();
                let mut mend = Mend {
                    store: &db.store,
                    cx: &cx,
                    table,
                    is_damaged,
                    made: MendedTable {
                        table: name,
                        trees,
                        row_count: 0,
                        is_mended: is_damaged && !table.indexes.is_empty(),
                        duplicate_count: 0,
                        undecoded_count: 0,
                    },
                };
                mend.run().await?;
                tables.push(mend.made);
            }
            Ok(tables)
        })
    }
}

struct Mend<'a> {
    store: &'a Arc<Store>,
    cx: &'a Cx,
    table: &'a Table,
    is_damaged: bool,
    made: MendedTable,
}

/// Rows from a key on.
#[derive(Default)]
struct Rows(Vec<(Vec<u8>, Vec<u8>)>);

impl RowSink for Rows {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = Vec::new();
            row.key_into(&mut key);
            self.0.push((key, row.value.to_vec()));
        }
        Ok(if self.0.len() < MEND_ROW_COUNT { Flow::More } else { Flow::Full })
    }
}

impl Mend<'_> {
    async fn run(&mut self) -> Result<()> {
        if self.is_damaged {
            let txn = begin(self.store, self.cx)?;
            for index in &self.table.indexes {
                txn.drop_tree(index.tree)?;
            }
            txn.commit(self.cx).await?;
        }
        let mut from: Option<Vec<u8>> = None;
        loop {
            let txn = begin(self.store, self.cx)?;
            let mut range = KeyRange::all();
            if let Some(from) = &from {
                range.start = std::ops::Bound::Excluded(from.clone());
            }
            let mut scan = txn.scan(self.table.tree, range, ReadMode::Snapshot, false)?;
            let mut rows = Rows::default();
            scan.next_batch(self.cx, &mut rows).await?;
            drop(scan);
            let Some((last, _)) = rows.0.last() else {
                txn.rollback();
                return Ok(());
            };
            from = Some(last.clone());
            if self.is_damaged {
                self.rows(&txn, &rows.0).await?;
            } else {
                self.made.row_count += rows.0.len() as u64;
            }
            txn.commit(self.cx).await?;
        }
    }

    async fn rows(&mut self, txn: &Arc<Txn>, rows: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
        let (layout, old) = (encode::layout(self.table), encode::OldRows::of(self.table));
        let mut own: BTreeMap<(TreeId, Vec<u8>), ()> = BTreeMap::new();
        for (key, value) in rows {
            let Ok(row) = old.decode(&layout, value) else {
                txn.delete(self.table.tree, key)?;
                self.made.undecoded_count += 1;
                continue;
            };
            let entries = encode::index_entries(self.table, &row, key)?;
            let mut is_duplicate = false;
            for (tree, entry, _) in &entries {
                let is_known =
                    own.contains_key(&(*tree, entry.clone())) || has(txn, self.cx, *tree, entry).await?;
                is_duplicate |= is_known;
            }
            if is_duplicate {
                txn.delete(self.table.tree, key)?;
                self.made.duplicate_count += 1;
                continue;
            }
            for (tree, entry, _) in entries {
                txn.put(tree, &entry, key)?;
                own.insert((tree, entry), ());
            }
            self.made.row_count += 1;
        }
        Ok(())
    }
}

async fn has(txn: &Arc<Txn>, cx: &Cx, tree: TreeId, key: &[u8]) -> Result<bool> {
    loop {
        match txn.get(tree, key, ReadMode::Snapshot, &mut |_| ())? {
            Lookup::Found { .. } => return Ok(true),
            Lookup::Absent { .. } => return Ok(false),
            Lookup::Missing(page) => txn.load(cx, page).await?,
        }
    }
}
