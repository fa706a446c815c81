//! The bench of "First light": Orrery beside SQLite, redb and LMDB in one process run, interleaved, medians of rounds.
//!
//! `cargo run --release -p orrery-bench -- [--rows N] [--only NAME]`; files go to a fresh folder under `target/bench-data`
//! (a real disk: `/tmp` may be memory). CPU time of the whole process; wall time where a disk is the question.

mod commits;
mod flights;
mod measure;
mod peers;

use measure::{Cost, Keys, interleaved, per_unit};
use peers::lmdb::Lmdb;
use peers::orrery::Orrery;
use peers::redb::Redb;
use peers::sqlite::Sqlite;
use std::path::{Path, PathBuf};

const ROUNDS: usize = 7;
const READS: usize = 200_000;

fn main() {
    let mut args = std::env::args().skip(1);
    let mut row_count: i64 = 1_000_000;
    let mut only = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--only" => only = args.next(),
            "--rows" => row_count = args.next().and_then(|rows| rows.parse().ok()).expect("--rows N"),
            other => {
                panic!("{other}? usage: orrery-bench [--rows N] [--only load|read|kv|scan|commit|flights]")
            }
        }
    }
    let wants = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    let folder = PathBuf::from("target/bench-data").join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).expect("a folder for the data");
    println!(
        "rows {row_count}; b is 100 bytes; SQLite: WAL, synchronous=FULL, cache 256 MiB, bundled; redb, LMDB: defaults"
    );
    println!("Orrery: durability full, checksums on, pool 256 MiB; ns are CPU unless marked wall\n");
    println!("{:<44} {:>12} {:>12}  ratio to orrery", "row", "ns", "per second");
    if wants("load") {
        loads(&folder, row_count);
    }
    if wants("read") || wants("scan") {
        reads(&folder, row_count, &wants);
    }
    if wants("commit") {
        commits::run(&folder);
    }
    if wants("flights") {
        flights::run(&folder);
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

/// Prints one line a contender; the first is ours.
pub fn print(row: &str, costs: &[(&'static str, Cost)]) {
    let ours = costs[0].1.cpu_ns;
    for (name, cost) in costs {
        let rate = 1e9 / cost.cpu_ns;
        println!(
            "{:<44} {:>12.1} {:>12.0}  {:.2}",
            format!("{row}: {name}"),
            cost.cpu_ns,
            rate,
            cost.cpu_ns / ours
        );
    }
}

fn shuffled(row_count: i64) -> Vec<i64> {
    let mut ids: Vec<i64> = (0..row_count).collect();
    let mut keys = Keys::new(1);
    for last in (1..ids.len()).rev() {
        ids.swap(last, keys.below(last as u64 + 1) as usize);
    }
    ids
}

fn loads(folder: &Path, row_count: i64) {
    for (order, ids) in [("sorted", (0..row_count).collect()), ("random", shuffled(row_count))] {
        let mut round = 0;
        let mut ours = || {
            round += 1;
            let mut db = Orrery::open(&folder.join(format!("load-{order}-{round}.orrery")));
            let cost = per_unit(row_count as u64, || db.load(&ids));
            db.db.close().expect("close");
            cost
        };
        let mut peer_round = 0;
        let mut sqlite = || {
            peer_round += 1;
            let db = Sqlite::open(&folder.join(format!("load-{order}-{peer_round}.sqlite")), "full");
            per_unit(row_count as u64, || db.load(&ids))
        };
        let costs = interleaved(3, &mut [("orrery", &mut ours), ("sqlite", &mut sqlite)]);
        print(&format!("load {order}, SQL, checkpoint included"), &costs);
    }
}

fn reads(folder: &Path, row_count: i64, wants: &dyn Fn(&str) -> bool) {
    let ids: Vec<i64> = (0..row_count).collect();
    let mut orrery = Orrery::open(&folder.join("read.orrery"));
    orrery.load(&ids);
    orrery.load_key_values(&ids);
    let sqlite = Sqlite::open(&folder.join("read.sqlite"), "full");
    sqlite.load(&ids);
    let redb = Redb::load(&folder.join("read.redb"), &ids);
    let lmdb = Lmdb::load(&folder.join("lmdb"), &ids);
    orrery.connection.execute("analyze t", &[]).expect("analyze");
    read_rows("after load", &mut orrery, &sqlite, &redb, &lmdb, row_count, wants);

    // 5 % of the rows updated, which also leaves the memtable about half full.
    let mut keys = Keys::new(7);
    let updated: Vec<i64> = (0..row_count / 20).map(|_| keys.below(row_count as u64) as i64).collect();
    orrery.update(&updated);
    sqlite.update(&updated);
    read_rows("5 % updated", &mut orrery, &sqlite, &redb, &lmdb, row_count, wants);
}

fn read_rows(
    state: &str,
    orrery: &mut Orrery,
    sqlite: &Sqlite,
    redb: &Redb,
    lmdb: &Lmdb,
    row_count: i64,
    wants: &dyn Fn(&str) -> bool,
) {
    let mut random = Keys::new(42);
    let keys: Vec<i64> = (0..READS).map(|_| random.below(row_count as u64) as i64).collect();
    let units = keys.len() as u64;
    if wants("read") {
        let expected = sqlite.get_all(&keys);
        assert_eq!(orrery.get_all(&keys), expected, "both read the same rows");
        let shared = std::cell::RefCell::new(&mut *orrery);
        let costs = interleaved(
            ROUNDS,
            &mut [
                ("orrery", &mut || per_unit(units, || _ = black_box(shared.borrow_mut().get_all(&keys)))),
                ("sqlite", &mut || per_unit(units, || _ = black_box(sqlite.get_all(&keys)))),
            ],
        );
        print(&format!("point read, autocommit, {state}"), &costs);
        let costs = interleaved(
            ROUNDS,
            &mut [
                ("orrery", &mut || {
                    per_unit(units, || drop(shared.borrow_mut().get_all_in_transaction(&keys)))
                }),
                ("sqlite", &mut || {
                    per_unit(units, || {
                        sqlite.db.execute_batch("begin").expect("begin");
                        sqlite.get_all(&keys);
                        sqlite.db.execute_batch("commit").expect("commit");
                    })
                }),
            ],
        );
        print(&format!("point read, in a transaction, {state}"), &costs);
        let costs = interleaved(
            ROUNDS,
            &mut [
                ("orrery", &mut || {
                    per_unit(units, || _ = black_box(shared.borrow().get_all_key_values(&keys)))
                }),
                ("redb", &mut || per_unit(units, || _ = black_box(redb.get_all(&keys)))),
                ("lmdb", &mut || per_unit(units, || _ = black_box(lmdb.get_all(&keys)))),
            ],
        );
        print(&format!("key-value point read, {state}"), &costs);
    }
    if wants("scan") {
        for (name, sql) in [
            ("SUM(a)", "select sum(a) from t"),
            ("COUNT(*) a % 7 = 3", "select count(*) from t where a % 7 = 3"),
        ] {
            assert_eq!(orrery.number(sql), sqlite.number(sql), "both scan the same rows");
            let costs = interleaved(
                ROUNDS,
                &mut [
                    ("orrery", &mut || per_unit(row_count as u64, || _ = black_box(orrery.number(sql)))),
                    ("sqlite", &mut || per_unit(row_count as u64, || _ = black_box(sqlite.number(sql)))),
                ],
            );
            print(&format!("scan {name}, {state}"), &costs);
        }
    }
}
