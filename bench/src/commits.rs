//! Durable single-row commits: latency of one writer beside the raw disk, and throughput of eight writers.

use crate::measure::median;
use crate::peers::orrery::Orrery;
use crate::peers::sqlite::Sqlite;
use orrerydb::Value;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const COMMITS: usize = 400;
const ROUNDS: usize = 7;
const WRITERS: usize = 8;

/// Prints the rows.
pub fn run(folder: &Path) {
    let raw = raw_file(&folder.join("raw"));
    let mut orrery = Orrery::open(&folder.join("commit.orrery"));
    let sqlite = Sqlite::open(&folder.join("commit.sqlite"), "full");
    let insert = orrery.prepare("insert into t values ($1, $2, $3)");
    let (mut raw_p50, mut our_p50, mut sqlite_p50) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = 0;
    for round in 0..ROUNDS {
        raw_p50.push(p50(COMMITS, |at| {
            raw.write_all_at(&[at as u8; 4096], (at % 64) as u64 * 4096).expect("write");
            raw.sync_data().expect("sync");
        }));
        our_p50.push(p50(COMMITS, |_| {
            next += 1;
            orrery.run(&insert, &[Value::Int8(next), Value::Int4(1), "x".repeat(100).into()]);
        }));
        sqlite_p50.push(p50(COMMITS, |at| sqlite.insert((round * COMMITS + at) as i64)));
    }
    let raw_p50 = median(&mut raw_p50);
    for (name, mut all) in [("orrery", our_p50), ("sqlite", sqlite_p50)] {
        let p50 = median(&mut all);
        println!(
            "{:<44} {:>12.0} wall ns  {:.2} x raw block + fdatasync ({raw_p50:.0})",
            format!("durable commit p50: {name}"),
            p50,
            p50 / raw_p50
        );
    }
    writers(&mut orrery, next);
}

/// A preallocated file of zeros, synced.
fn raw_file(path: &Path) -> File {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path).expect("file");
    file.write_all_at(&vec![0; 64 * 4096], 0).expect("write");
    file.sync_all().expect("sync");
    file
}

/// Median wall nanoseconds of one call.
fn p50(count: usize, mut work: impl FnMut(usize)) -> f64 {
    let mut times: Vec<f64> = (0..count)
        .map(|at| {
            let start = Instant::now();
            work(at);
            start.elapsed().as_nanos() as f64
        })
        .collect();
    median(&mut times)
}

/// Commits per second with one writer and with eight, interleaved.
fn writers(orrery: &mut Orrery, mut next: i64) {
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        for (count, rates) in [(1, &mut one), (WRITERS, &mut many)] {
            let window = Duration::from_millis(500);
            let start = Instant::now();
            let done: i64 = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..count as i64)
                    .map(|writer| {
                        let mut connection = orrery.db.connect();
                        let first = next + writer * 1_000_000;
                        scope.spawn(move || {
                            let insert =
                                connection.prepare("insert into t values ($1, $2, $3)").expect("prepare");
                            let mut done = 0;
                            while start.elapsed() < window {
                                done += 1;
                                let row = [Value::Int8(first + done), Value::Int4(1), "y".repeat(100).into()];
                                connection.execute_prepared(&insert, &row).expect("insert");
                            }
                            done
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("a writer")).sum()
            });
            next += WRITERS as i64 * 1_000_000;
            rates.push(done as f64 / start.elapsed().as_secs_f64());
        }
    }
    let (one, many) = (median(&mut one), median(&mut many));
    println!("{:<44} {one:>12.0} /s", "durable commits, 1 writer: orrery");
    println!("{:<44} {many:>12.0} /s  {:.2} x one", "durable commits, 8 writers: orrery", many / one);
}
