//! TPC-H: the answers and the plans of the 22 queries.
//!
//! 1. Answers at scale 0.01, on bare tables and with indexes, statistics and a checkpoint, are the reference's but for columns
//!    of free text (`tpch::Answer`); `cargo xtask test --full` adds 0.1 and 1, the queries within 512 MB.
//! 2. Plans (without costs) are golden files: `tests/plans/tpch/`; `ORRERY_WRITE_PLANS=1` writes them anew.
//!
//! Queries and answers are not part of the repository: without them the tests are skipped by name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrery_tests::tpch::{self, Answer, FREE_TEXT_QUERY, INDEXES, QUERY_COUNT};
use orrerydb::{Connection, Database, Options};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The queries; `None`, having said so, where they are missing.
fn corpus() -> Option<PathBuf> {
    let corpus = tpch::corpus();
    if corpus.is_none() {
        println!("skipped: the TPC-H queries are not here");
    }
    corpus
}

fn rows(connection: &mut Connection, sql: &str) -> orrerydb::Result<Vec<Vec<String>>> {
    let rows = connection.query(sql, &[])?.collect::<orrerydb::Result<Vec<_>>>()?;
    let cell = |row: &orrerydb::Row, column| row.text(column).map(Option::unwrap_or_default);
    rows.iter().map(|row| (0..row.len()).map(|column| cell(row, column)).collect()).collect()
}

/// Runs a query. Answers what differs from the reference.
fn compare(connection: &mut Connection, corpus: &Path, scale: &str, number: usize) -> Option<String> {
    match rows(connection, &tpch::query(corpus, number).unwrap()) {
        Ok(_) if number == FREE_TEXT_QUERY && scale != "0.01" => None,
        Ok(found) => Answer::read(corpus, scale, number).unwrap().difference(&found),
        Err(error) => Some(error.to_string()),
    }
}

fn check_answers(connection: &mut Connection, corpus: &Path, scale: &str, what: &str) -> Vec<String> {
    let mut failures = Vec::new();
    for number in 1..=QUERY_COUNT {
        let start = Instant::now();
        let difference = compare(connection, corpus, scale, number);
        println!("scale {scale}, {what}, q{number:02}: {} ms", start.elapsed().as_millis());
        failures.extend(difference.map(|it| format!("scale {scale}, {what}, q{number:02}: {it}")));
    }
    failures
}

#[test]
fn answers_and_plans_at_a_hundredth() {
    let Some(corpus) = corpus() else { return };
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect();
    tpch::load(&mut connection, 0.01).unwrap();
    let mut failures = check_answers(&mut connection, &corpus, "0.01", "bare");
    connection.run(INDEXES).unwrap();
    database.checkpoint().unwrap();
    failures.extend(check_answers(&mut connection, &corpus, "0.01", "indexed"));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    check_plans(&mut connection, &corpus);
}

fn check_plans(connection: &mut Connection, corpus: &Path) {
    let mut failures = Vec::new();
    for number in 1..=QUERY_COUNT {
        let query = tpch::query(corpus, number).unwrap();
        let plan = rows(connection, &format!("explain (costs off) {query}")).unwrap();
        let plan = plan.iter().fold(String::new(), |mut text, row| {
            writeln!(text, "{}", row[0]).unwrap();
            text
        });
        let file = tpch::plans().join(format!("q{number:02}.txt"));
        if std::env::var_os("ORRERY_WRITE_PLANS").is_some() {
            std::fs::write(&file, &plan).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        if golden != plan {
            failures.push(format!("q{number:02} was\n{golden}\nand is\n{plan}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
#[ignore = "slow: cargo xtask test --full"]
fn answers_at_a_tenth_and_at_one() {
    let Some(corpus) = corpus() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    for scale in ["0.1", "1"] {
        let path = dir.path().join(format!("tpch{scale}"));
        // An index is made in one transaction, whose changes must fit into memory: what the machine has.
        let database = Database::open(&path).unwrap();
        let mut connection = database.connect();
        tpch::load(&mut connection, scale.parse().unwrap()).unwrap();
        connection.run(INDEXES).unwrap();
        drop(connection);
        database.checkpoint().unwrap();
        database.close().unwrap();
        let options = Options { memory_bytes: 512 << 20, ..Options::default() };
        let database = Database::open_with(&path, &options).unwrap();
        let mut connection = database.connect();
        failures.extend(check_answers(&mut connection, &corpus, scale, "indexed"));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
