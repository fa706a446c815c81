//! Reads: points and scans, right after load, and again with 5 % of the rows updated and the memtable half full.

use crate::measure::{Cost, Keys, interleaved, per_unit};
use crate::peers::lmdb::Lmdb;
use crate::peers::orrery::{MEMTABLE_BYTES, Orrery};
use crate::peers::redb::Redb;
use crate::peers::sqlite::Sqlite;
use crate::{Choice, print};
use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;

const ROUNDS: usize = 7;
const READS: usize = 200_000;

/// Prints the rows.
pub fn run(folder: &Path, row_count: i64, choice: &Choice) {
    if choice.wants("read") || choice.wants("scan") {
        tables(folder, row_count, choice);
    }
    if choice.wants("kv-read") || choice.wants("kv-scan") {
        key_values(folder, row_count, choice);
    }
}

/// 5 % of the keys.
fn some_keys(row_count: i64) -> Vec<i64> {
    let mut keys = Keys::new(7);
    (0..row_count / 20).map(|_| keys.below(row_count as u64) as i64).collect()
}

fn random_keys(row_count: i64) -> Vec<i64> {
    let mut random = Keys::new(42);
    (0..READS).map(|_| random.below(row_count as u64) as i64).collect()
}

/// Fills the memtable to a half with rows beside the measured ones; answers what the state is called.
fn half_full(orrery: &mut Orrery) -> String {
    orrery.pad(MEMTABLE_BYTES / 2);
    let stats = orrery.db.stats();
    let share = stats.memtable_bytes * 100 / MEMTABLE_BYTES;
    format!("5 % updated, memtable {share} %")
}

fn tables(folder: &Path, row_count: i64, choice: &Choice) {
    let ids: Vec<i64> = (0..row_count).collect();
    let mut orrery = Orrery::open(&folder.join("read.orrery"));
    orrery.load(&ids);
    let sqlite = Sqlite::open(&folder.join("read.sqlite"), "full");
    sqlite.load(&ids);
    orrery.connection.execute("analyze t", &[]).expect("analyze");
    table_rows("after load", &mut orrery, &sqlite, row_count, choice);
    let updated = some_keys(row_count);
    orrery.update(&updated);
    sqlite.update(&updated);
    let state = half_full(&mut orrery);
    table_rows(&state, &mut orrery, &sqlite, row_count, choice);
}

fn table_rows(state: &str, orrery: &mut Orrery, sqlite: &Sqlite, row_count: i64, choice: &Choice) {
    let ours = RefCell::new(orrery);
    if choice.wants("read") {
        let keys = random_keys(row_count);
        let units = keys.len() as u64;
        assert_eq!(ours.borrow_mut().get_all(&keys), sqlite.get_all(&keys), "both read the same rows");
        let costs = interleaved(
            ROUNDS,
            &mut [
                ("orrery", &mut || per_unit(units, || _ = black_box(ours.borrow_mut().get_all(&keys)))),
                ("sqlite", &mut || per_unit(units, || _ = black_box(sqlite.get_all(&keys)))),
            ],
        );
        print(&format!("point read, autocommit, {state}"), &costs);
        let costs = interleaved(
            ROUNDS,
            &mut [
                ("orrery", &mut || {
                    per_unit(units, || _ = black_box(ours.borrow_mut().get_all_in_transaction(&keys)))
                }),
                ("sqlite", &mut || per_unit(units, || _ = black_box(sqlite.get_all_in_transaction(&keys)))),
            ],
        );
        print(&format!("point read, transaction, {state}"), &costs);
    }
    if choice.wants("scan") {
        for (name, sql) in [
            ("SUM(a)", "select sum(a) from t"),
            ("COUNT(*) where a % 7 = 3", "select count(*) from t where a % 7 = 3"),
        ] {
            let units = row_count as u64;
            assert_eq!(ours.borrow_mut().number(sql), sqlite.number(sql), "both scan the same rows");
            let costs = interleaved(
                ROUNDS,
                &mut [
                    ("orrery", &mut || per_unit(units, || _ = black_box(ours.borrow_mut().number(sql)))),
                    ("sqlite", &mut || per_unit(units, || _ = black_box(sqlite.number(sql)))),
                ],
            );
            print(&format!("scan {name}, {state}"), &costs);
        }
    }
}

fn key_values(folder: &Path, row_count: i64, choice: &Choice) {
    let ids: Vec<i64> = (0..row_count).collect();
    let mut orrery = Orrery::open(&folder.join("kv.orrery"));
    orrery.load_key_values(&ids);
    let redb = Redb::load(&folder.join("kv.redb"), &ids);
    let lmdb = Lmdb::load(&folder.join("lmdb"), &ids);
    key_value_rows("after load", &orrery, &redb, &lmdb, row_count, choice);
    let updated = some_keys(row_count);
    orrery.update_key_values(&updated);
    redb.update(&updated);
    lmdb.update(&updated);
    let state = half_full(&mut orrery);
    key_value_rows(&state, &orrery, &redb, &lmdb, row_count, choice);
}

fn key_value_rows(state: &str, orrery: &Orrery, redb: &Redb, lmdb: &Lmdb, row_count: i64, choice: &Choice) {
    let compare = |row: &str,
                   units: u64,
                   ours: &dyn Fn() -> i64,
                   redb: &dyn Fn() -> i64,
                   lmdb: &dyn Fn() -> i64| {
        let answer = ours();
        assert!(answer == redb() && answer == lmdb(), "all read the same rows");
        let cost = |work: &dyn Fn() -> i64| -> Cost { per_unit(units, || _ = black_box(work())) };
        let costs = interleaved(
            ROUNDS,
            &mut [("orrery", &mut || cost(ours)), ("redb", &mut || cost(redb)), ("lmdb", &mut || cost(lmdb))],
        );
        print(&format!("{row}, {state}"), &costs);
    };
    if choice.wants("kv-read") {
        let keys = random_keys(row_count);
        compare(
            "key-value point read",
            keys.len() as u64,
            &|| orrery.get_all_key_values(&keys),
            &|| redb.get_all(&keys),
            &|| lmdb.get_all(&keys),
        );
    }
    if choice.wants("kv-scan") {
        compare(
            "key-value full scan",
            row_count as u64,
            &|| orrery.sum_key_values(),
            &|| redb.sum(),
            &|| lmdb.sum(),
        );
    }
}
