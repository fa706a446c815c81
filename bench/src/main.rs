//! The bench of "First light": Orrery beside SQLite, redb and LMDB in one process run, interleaved, medians of rounds.
//!
//! `cargo run --release -p orrery-bench -- [--rows N] [--scale S] [--only NAME,NAME] [--ours]`; names: load, kv-load, read, kv-read, scan,
//! kv-scan, commit, flights, tpch (a part of a name takes all that contain it). Files go to a fresh folder under
//! `target/bench-data` (a real disk: `/tmp` may be memory). CPU time of the whole process, so of all threads; wall time where
//! a disk is the question.

mod commits;
mod flights;
mod loads;
mod measure;
mod peers;
mod reads;
mod tpch;

use measure::Cost;
use std::path::PathBuf;

/// What to run.
pub struct Choice {
    only: Vec<String>,
}

impl Choice {
    /// Whether this row is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str()))
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut row_count: i64 = 1_000_000;
    let mut scale = 0.1;
    let mut choice = Choice { only: Vec::new() };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--only" => {
                choice.only = args.next().expect("--only NAME,NAME").split(',').map(str::to_owned).collect()
            }
            "--rows" => row_count = args.next().and_then(|rows| rows.parse().ok()).expect("--rows N"),
            "--scale" => scale = args.next().and_then(|scale| scale.parse().ok()).expect("--scale 0.1"),
            "--ours" => measure::OURS_ONLY.store(true, std::sync::atomic::Ordering::Relaxed),
            other => {
                panic!("{other}? usage: orrery-bench [--rows N] [--scale S] [--only NAME,NAME] [--ours]")
            }
        }
    }
    let folder = PathBuf::from("target/bench-data").join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).expect("a folder for the data");
    println!(
        "rows {row_count}: id bigint primary key, a integer, b text of 100 bytes (key-value: 8-byte key, 104-byte value)"
    );
    println!("Orrery: durability full, checksums on, pool 256 MiB, memtable 64 MiB, all its threads counted");
    println!(
        "SQLite: bundled, WAL, synchronous=FULL, cache 256 MiB; redb: cache 1 GiB, immediate; LMDB: sync"
    );
    println!(
        "ns are CPU unless marked wall; ratio: cost of the other by cost of Orrery, above 1 Orrery is cheaper\n"
    );
    println!("{:<52} {:>10} {:>12}  ratio", "row", "ns", "per second");
    loads::run(&folder, row_count, &choice);
    reads::run(&folder, row_count, &choice);
    if choice.wants("commit") {
        commits::run(&folder);
    }
    if choice.wants("flights") {
        flights::run(&folder);
    }
    if choice.wants("tpch") {
        tpch::run(&folder, scale);
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

/// Prints one line a contender; the first is ours.
pub fn print(row: &str, costs: &[(&'static str, Cost)]) {
    let ours = costs[0].1.cpu_ns;
    for (name, cost) in costs {
        println!(
            "{:<52} {:>10.1} {:>12.0}  {:.2}",
            format!("{row}: {name}"),
            cost.cpu_ns,
            1e9 / cost.cpu_ns,
            cost.cpu_ns / ours
        );
    }
}
