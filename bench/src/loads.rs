//! Loading: one transaction, then a checkpoint, in key order and in random order.

use crate::measure::{Cost, Keys, interleaved, per_unit};
use crate::peers::lmdb::Lmdb;
use crate::peers::orrery::Orrery;
use crate::peers::redb::Redb;
use crate::peers::sqlite::Sqlite;
use crate::{Choice, print};
use std::cell::Cell;
use std::path::Path;

const ROUNDS: usize = 3;

fn shuffled(row_count: i64) -> Vec<i64> {
    let mut ids: Vec<i64> = (0..row_count).collect();
    let mut keys = Keys::new(1);
    for last in (1..ids.len()).rev() {
        ids.swap(last, keys.below(last as u64 + 1) as usize);
    }
    ids
}

/// Prints the rows.
pub fn run(folder: &Path, row_count: i64, choice: &Choice) {
    if !choice.wants("load") && !choice.wants("kv-load") {
        return;
    }
    for (order, ids) in [("sorted", (0..row_count).collect()), ("random", shuffled(row_count))] {
        if choice.wants("load") {
            sql(folder, order, &ids);
        }
        if choice.wants("kv-load") {
            key_values(folder, order, &ids);
        }
    }
}

/// What SQLite needs for one load.
fn sqlite(folder: &Path, ids: &[i64]) -> Cost {
    let db = Sqlite::open(&folder.join("load.sqlite"), "full");
    let cost = per_unit(ids.len() as u64, || db.load(ids));
    drop(db);
    remove(folder, "load.");
    cost
}

/// Through a prepared INSERT a row.
fn sql(folder: &Path, order: &str, ids: &[i64]) {
    let units = ids.len() as u64;
    let mut ours = || {
        let path = folder.join("load.orrery");
        let mut db = Orrery::open(&path);
        let cost = per_unit(units, || db.load(ids));
        db.close();
        remove(folder, "load.");
        cost
    };
    let mut sqlite = || sqlite(folder, ids);
    let costs = interleaved(ROUNDS, &mut [("orrery", &mut ours), ("sqlite", &mut sqlite)]);
    print(&format!("load {order}, prepared INSERT, checkpoint"), &costs);
}

/// Through the key-value interface: what the store's half of a load costs.
fn key_values(folder: &Path, order: &str, ids: &[i64]) {
    let units = ids.len() as u64;
    let round = Cell::new(0);
    let mut ours = || {
        let db = Orrery::open(&folder.join("load.orrery"));
        let cost = per_unit(units, || db.load_key_values(ids));
        db.close();
        remove(folder, "load.");
        cost
    };
    let mut sqlite = || sqlite(folder, ids);
    let mut redb = || {
        let cost = per_unit(units, || drop(Redb::load(&folder.join("load.redb"), ids)));
        remove(folder, "load.");
        cost
    };
    let mut lmdb = || {
        round.set(round.get() + 1);
        let path = folder.join(format!("load-lmdb-{}-{order}", round.get()));
        per_unit(units, || drop(Lmdb::load(&path, ids)))
    };
    let costs = interleaved(
        ROUNDS,
        &mut [
            ("orrery", &mut ours),
            ("sqlite, INSERT", &mut sqlite),
            ("redb", &mut redb),
            ("lmdb", &mut lmdb),
        ],
    );
    print(&format!("key-value load {order}, checkpoint"), &costs);
}

/// Removes the files of a round.
fn remove(folder: &Path, prefix: &str) {
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with(prefix) {
            continue;
        }
        if path.is_dir() {
            std::fs::remove_dir_all(&path).expect("removed");
        } else {
            std::fs::remove_file(&path).expect("removed");
        }
    }
}
