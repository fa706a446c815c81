//! TPC-H, query by query, beside SQLite: rows from `tpchgen`, primary keys, indexes on the referencing columns, both analysed.
//!
//! What it deliberately does not do: hold the queries, which lie beside the repository (`orrery_tests::tpch`). The row is left
//! out where they are missing.

use crate::measure::{Cost, OURS_ONLY, interleaved, per_unit};
use crate::print;
use orrery_tests::tpch::{self, INDEXES, QUERY_COUNT, SCHEMA, TABLES};
use orrerydb::{Connection, Database, Options};
use std::path::Path;
use std::sync::atomic::Ordering;

const ROUNDS: usize = 5;

/// Prints a row a query, and the geometric mean.
pub fn run(folder: &Path, scale: f64) {
    let Some(corpus) = tpch::corpus() else {
        println!("tpch: left out, the queries are not here");
        return;
    };
    let options = Options { memory_bytes: 512 << 20, ..Options::default() };
    let orrery = Database::open_with(folder.join("tpch.orrery"), &options).expect("orrery opens");
    let mut connection = orrery.connect();
    connection.run("set max_parallel_workers_per_gather = 0").ok();
    let load = per_unit(1, || tpch::load(&mut connection, scale).expect("the load"));
    connection.run(INDEXES).expect("indexes");
    orrery.checkpoint().expect("a checkpoint");
    let mut loads = vec![("orrery", load)];
    let sqlite = (!OURS_ONLY.load(Ordering::Relaxed)).then(|| {
        let sqlite = rusqlite::Connection::open(folder.join("tpch.sqlite")).expect("sqlite opens");
        sqlite.execute_batch("pragma journal_mode = wal; pragma cache_size = -262144").expect("pragmas");
        loads.push(("sqlite", per_unit(1, || load_sqlite(&sqlite, scale))));
        sqlite.execute_batch(INDEXES).expect("indexes");
        sqlite
    });
    println!("TPC-H {scale}: one thread, memory 512 MiB; SQLite: cache 256 MiB; ns a query");
    print(&format!("tpch {scale} load from CSV"), &loads);
    let mut means = [0.0; 2];
    for number in 1..=QUERY_COUNT {
        let query = tpch::query(&corpus, number).expect("a query");
        let costs = compare(&mut connection, sqlite.as_ref(), &query, number);
        costs.iter().zip(&mut means).for_each(|((_, cost), mean)| *mean += cost.cpu_ns.ln());
        print(&format!("tpch {scale} q{number:02}"), &costs);
    }
    let mean = |at: usize| {
        let ns = (means[at] / QUERY_COUNT as f64).exp();
        Cost { cpu_ns: ns, wall_ns: ns }
    };
    let names = ["orrery", "sqlite"];
    let means: Vec<_> = (0..loads.len()).map(|at| (names[at], mean(at))).collect();
    print(&format!("tpch {scale} geometric mean"), &means);
}

fn load_sqlite(sqlite: &rusqlite::Connection, scale: f64) {
    sqlite.execute_batch(SCHEMA).expect("schema");
    sqlite.execute_batch("begin").expect("begin");
    for table in TABLES {
        tpch::rows(table, scale, &mut |text| {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
            for record in reader.records() {
                let record = record.expect("a record");
                let marks = vec!["?"; record.len()].join(", ");
                let insert = format!("insert into {table} values ({marks})");
                let mut insert = sqlite.prepare_cached(&insert).expect("prepare");
                insert.execute(rusqlite::params_from_iter(record.iter())).expect("insert");
            }
        });
    }
    sqlite.execute_batch("commit").expect("commit");
}

fn compare(
    connection: &mut Connection,
    sqlite: Option<&rusqlite::Connection>,
    query: &str,
    number: usize,
) -> Vec<(&'static str, Cost)> {
    let (mut our_rows, mut their_rows) = (Vec::new(), Vec::new());
    let mut ours = || {
        per_unit(1, || {
            let rows = connection.query(query, &[]).expect("query");
            our_rows = rows
                .map(|row| {
                    let row = row.expect("row");
                    let cell = |at| row.text(at).expect("a column").unwrap_or_default();
                    (0..row.len()).map(cell).collect::<Vec<String>>()
                })
                .collect();
        })
    };
    let Some(sqlite) = sqlite else {
        return interleaved(ROUNDS, &mut [("orrery", &mut ours)]);
    };
    let translated = for_sqlite(query);
    let mut theirs = || {
        per_unit(1, || {
            let mut query = sqlite.prepare_cached(&translated).expect("prepare");
            let column_count = query.column_count();
            let row = |row: &rusqlite::Row<'_>| (0..column_count).map(|at| row.get(at).map(text)).collect();
            their_rows = query
                .query_map([], row)
                .expect("query")
                .collect::<Result<Vec<Vec<String>>, _>>()
                .expect("rows");
        })
    };
    let costs = interleaved(ROUNDS, &mut [("orrery", &mut ours), ("sqlite", &mut theirs)]);
    let is_same = |(one, two): (&Vec<String>, &Vec<String>)| {
        one.iter().zip(two).all(|(one, two)| tpch::same_cell(one, two))
    };
    assert_eq!(our_rows.len(), their_rows.len(), "q{number:02} has as many rows");
    assert!(our_rows.iter().zip(&their_rows).all(is_same), "q{number:02} has the same rows");
    costs
}

fn text(value: rusqlite::types::Value) -> String {
    match value {
        rusqlite::types::Value::Null => String::new(),
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Real(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        rusqlite::types::Value::Blob(_) => unreachable!("no column of TPC-H is a blob"),
    }
}

/// A query in SQLite's dialect: dates are ISO texts there, functions have other names, and a subquery's columns cannot be
/// renamed behind it.
fn for_sqlite(query: &str) -> String {
    let query = query
        .replace(
            "c_custkey,\n        count(o_orderkey)\n",
            "c_custkey,\n        count(o_orderkey) as c_count\n",
        )
        .replace(" AS c_orders (c_custkey,\n        c_count)", " AS c_orders")
        .replace("extract(year FROM ", "strftime('%Y', ")
        .replace("substring(c_phone FROM 1 FOR 2)", "substr(c_phone, 1, 2)")
        .replace("date '", "'");
    let mut out = String::new();
    let mut rest = query.as_str();
    while let Some((before, date)) = rest.split_once("CAST('") {
        let (date, after) = date.split_once("' AS date)").expect("only dates are cast");
        out.push_str(&format!("{before}'{date}'"));
        rest = after;
    }
    out + rest
}
