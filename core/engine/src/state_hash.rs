//! A hash of what a database holds: the same for the same logical state, wherever and however it was made.

use orrery_base::hash::hash64;
use orrery_base::kv::{Flow, Isolation, KeyRange, ReadMode, RowRef, RowSink, Transaction};
use orrery_base::{Cx, Result, TreeId};
use orrery_sql::ddl::{STATE_TREES, load_catalog};
use orrery_store::{Store, TxnOptions};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Hashes the keys and values, in order, of the catalog, every table, every index and the trees of `others`, in one snapshot.
/// Not file bytes, pages or timestamps; statistics are derived, so they do not count.
pub(crate) async fn state_hash(cx: &Cx, store: &Arc<Store>, others: &[TreeId]) -> Result<u64> {
    let options = TxnOptions { isolation: Isolation::RepeatableRead, read_only: true };
    let txn = store.begin(options, cx.now())?;
    txn.begin_statement()?;
    let catalog = load_catalog(cx, &*txn).await?;
    let mut trees: BTreeSet<TreeId> = STATE_TREES.iter().chain(others).copied().collect();
    for table in catalog.tables.values() {
        trees.insert(table.tree);
        trees.extend(table.indexes.iter().map(|index| index.tree));
    }
    let mut hasher = Hasher::default();
    for tree in trees {
        hasher.add(&tree.0.to_be_bytes());
        let mut scan = txn.scan(tree, KeyRange::all(), ReadMode::Snapshot, false)?;
        while scan.next_batch(cx, &mut hasher).await? {}
    }
    txn.rollback();
    Ok(hasher.state)
}

#[derive(Default)]
struct Hasher {
    state: u64,
    key: Vec<u8>,
}

impl Hasher {
    fn add(&mut self, bytes: &[u8]) {
        // The hash of a part depends on all before it, so parts cannot be cut otherwise.
        self.state = hash64(self.state, bytes);
    }
}

impl RowSink for Hasher {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = std::mem::take(&mut self.key);
            key.clear();
            row.key_into(&mut key);
            self.add(&key);
            self.add(row.value);
            self.key = key;
        }
        Ok(Flow::More)
    }
}
