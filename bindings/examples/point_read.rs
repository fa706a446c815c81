//! Prepared point reads through the Rust API, for `bench/c/run.sh`: 100,000 rows in memory, keys in a fixed random order; prints
//! nanoseconds of CPU a read. `bench/c/point_read.c` does the same through C.

use orrerydb::{Database, Result};
use std::time::Instant;

const ROW_COUNT: u64 = 100_000;
const READ_COUNT: u64 = 1_000_000;

fn main() -> Result<()> {
    let db = Database::in_memory()?;
    let mut connection = db.connect();
    connection.run(
        "create table t (id integer primary key, a integer, b text);
         insert into t select n, n * 7 % 1000, 'text of row ' || n from generate_series(0, 99999) as s(n)",
    )?;
    let select = connection.prepare("select a, b from t where id = ?")?;
    let (mut state, mut sum) = (1u64, 0u64);
    let start = Instant::now();
    for _ in 0..READ_COUNT {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = i64::try_from((state >> 33) % ROW_COUNT).unwrap_or(0);
        let read = |row: &orrerydb::RowRef<'_>| row.i64(0).unsigned_abs() + row.text(1).len() as u64;
        sum += connection.query_row(&select, &[key.into()], read)?.unwrap_or(0);
    }
    println!("rust {:.1} ns (sum {sum})", start.elapsed().as_secs_f64() * 1e9 / READ_COUNT as f64);
    Ok(())
}
