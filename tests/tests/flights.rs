//! Joins, groups and subqueries over the five nycflights13 tables: the same rows as SQLite's.
//!
//! 1. Every query runs as it is written on both (text that means the same in both dialects), on the repository's month, and
//!    on the whole year where that is at hand (`ORRERY_FLIGHTS`, or beside the repository; `cargo xtask test --full`).
//! 2. Every query runs twice here: on bare tables, and with indexes and statistics, where other plans are chosen.
//! 3. Integers and texts must be equal, fractions to 1 part in 10⁹; the order must be the same (every query orders fully).
//!
//! SQLite is Python's (`flights_on_sqlite.py`): where there is none the test is skipped by name, with `CI=true` it fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrerydb::{Connection, Database};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const QUERIES: &[&str] = &[
    "SELECT count(*), count(dep_time), count(DISTINCT tailnum), sum(distance), min(air_time), max(arr_delay) FROM flights",
    "SELECT a.name, count(*), avg(f.arr_delay * 1.0) FROM flights f JOIN airlines a ON a.carrier = f.carrier \
     GROUP BY a.name ORDER BY a.name",
    "SELECT d.faa, d.name, count(*) FROM flights f JOIN airports d ON d.faa = f.dest GROUP BY d.faa, d.name \
     HAVING count(*) > 100 ORDER BY count(*) DESC, d.faa",
    // Rows without a partner stay.
    "SELECT f.dest, count(*) FROM flights f LEFT JOIN airports d ON d.faa = f.dest WHERE d.faa IS NULL \
     GROUP BY f.dest ORDER BY f.dest",
    "SELECT p.manufacturer, count(*), count(p.seats), sum(p.seats), min(p.year) FROM flights f \
     LEFT JOIN planes p ON p.tailnum = f.tailnum GROUP BY p.manufacturer \
     ORDER BY p.manufacturer IS NULL, p.manufacturer",
    // Five tables.
    "SELECT a.name, o.name, d.name, p.model, w.visib, count(*), sum(f.dep_delay) FROM flights f \
     JOIN airlines a ON a.carrier = f.carrier JOIN airports o ON o.faa = f.origin JOIN airports d ON d.faa = f.dest \
     JOIN planes p ON p.tailnum = f.tailnum JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour \
     WHERE w.visib < 1 AND f.day BETWEEN 5 AND 25 GROUP BY a.name, o.name, d.name, p.model, w.visib \
     ORDER BY a.name, o.name, d.name, p.model, w.visib",
    "SELECT CASE WHEN w.wind_speed > 20 THEN 'storm' WHEN w.wind_speed > 10 THEN 'wind' ELSE 'calm' END AS air, \
     f.origin, count(*), avg(f.dep_delay * 1.0), sum(CASE WHEN f.dep_time IS NULL THEN 1 ELSE 0 END) \
     FROM flights f JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour \
     GROUP BY 1, 2 ORDER BY 1, 2",
    // Subqueries: IN, NOT IN with NULLs, EXISTS, scalar, in FROM, WITH.
    "SELECT count(*) FROM flights WHERE tailnum IN (SELECT tailnum FROM planes WHERE manufacturer LIKE 'AIRBUS%')",
    "SELECT count(*) FROM flights WHERE tailnum NOT IN (SELECT tailnum FROM planes)",
    "SELECT count(*) FROM planes WHERE tailnum NOT IN (SELECT tailnum FROM flights)",
    "SELECT carrier, count(*) FROM flights WHERE distance > (SELECT avg(distance) FROM flights) \
     GROUP BY carrier ORDER BY 2 DESC, 1",
    "SELECT t.origin, max(t.n), min(t.n) FROM (SELECT origin, day, month, count(*) AS n FROM flights \
     GROUP BY origin, day, month) t GROUP BY t.origin ORDER BY t.origin",
    "WITH late AS (SELECT carrier, count(*) AS n FROM flights WHERE arr_delay > 60 GROUP BY carrier), \
     total AS (SELECT carrier, count(*) AS n FROM flights GROUP BY carrier) \
     SELECT a.name, late.n, total.n FROM total JOIN late ON late.carrier = total.carrier \
     JOIN airlines a ON a.carrier = total.carrier ORDER BY late.n DESC, a.name",
    "SELECT count(*) FROM weather WHERE EXISTS (SELECT 1 FROM planes WHERE year < 1960) AND temp IS NOT NULL",
    // A join of a table with itself, on more than equality.
    "SELECT count(*) FROM planes one JOIN planes two ON one.model = two.model AND one.year < two.year \
     WHERE one.manufacturer = 'BOEING'",
    "SELECT one.faa, two.faa FROM airports one JOIN airports two ON one.lat > two.lat AND one.lon < two.lon \
     WHERE one.tz = -9 AND two.tz = -9 AND one.alt > 1000 AND two.alt > 1000 ORDER BY 1, 2",
    "SELECT DISTINCT f.origin, a.name FROM flights f CROSS JOIN airlines a \
     WHERE a.carrier = f.carrier AND f.distance > 2000 ORDER BY 1, 2",
    "SELECT o.name, f.month, f.day, f.carrier, f.flight, f.dep_delay FROM flights f JOIN airports o ON o.faa = f.origin \
     WHERE f.dep_delay IS NOT NULL ORDER BY f.dep_delay DESC, f.month, f.day, f.carrier, f.flight LIMIT 20 OFFSET 3",
    "SELECT upper(substr(p.model, 1, 3)), length(p.engine), count(DISTINCT f.dest) FROM planes p \
     JOIN flights f ON f.tailnum = p.tailnum WHERE p.engines <> 2 GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT f.hour, count(*), count(w.precip), sum(f.distance) / count(*) FROM flights f LEFT JOIN weather w \
     ON w.origin = f.origin AND w.time_hour = f.time_hour AND w.precip > 0 GROUP BY f.hour ORDER BY f.hour",
];

const INDEXES: &str = "
    CREATE UNIQUE INDEX ON airlines (carrier); CREATE UNIQUE INDEX ON airports (faa); CREATE UNIQUE INDEX ON planes (tailnum);
    CREATE INDEX ON weather (origin, time_hour); CREATE INDEX ON flights (carrier); CREATE INDEX ON flights (tailnum, day);
    CREATE INDEX ON flights (dest DESC); ANALYZE";

const TABLES: [(&str, &str); 5] = [
    ("airlines", "carrier text, name text"),
    (
        "airports",
        "faa text, name text, lat double precision, lon double precision, alt integer, tz integer, dst text, tzone text",
    ),
    (
        "planes",
        "tailnum text, year integer, type text, manufacturer text, model text, engines integer, seats integer, \
         speed integer, engine text",
    ),
    (
        "weather",
        "origin text, year integer, month integer, day integer, hour integer, temp double precision, \
         dewp double precision, humid double precision, wind_dir integer, wind_speed double precision, \
         wind_gust double precision, precip double precision, pressure double precision, visib double precision, \
         time_hour timestamptz",
    ),
    (
        "flights",
        "year integer, month integer, day integer, dep_time integer, sched_dep_time integer, dep_delay integer, \
         arr_time integer, sched_arr_time integer, arr_delay integer, carrier text, flight integer, tailnum text, \
         origin text, dest text, air_time integer, distance integer, hour integer, minute integer, time_hour timestamptz",
    ),
];

#[test]
fn a_month_of_flights_gives_the_rows_that_sqlite_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/nycflights13");
    compare(&folder, ["", "", "", "-2013-01", "-2013-01"], 27_004);
}

#[test]
#[ignore = "slow, and it needs the full data set (ORRERY_FLIGHTS)"]
fn the_whole_year_gives_the_rows_that_sqlite_gives() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/nycflights13");
    let folder = std::env::var_os("ORRERY_FLIGHTS").map_or_else(beside, PathBuf::from);
    if !folder.join("flights.csv.gz").exists() {
        return println!("skipped: the whole year is not here (ORRERY_FLIGHTS)");
    }
    compare(&folder, [""; 5], 336_776);
}

fn compare(folder: &Path, suffixes: [&str; 5], flight_count: u64) {
    let files: Vec<PathBuf> =
        TABLES.iter().zip(suffixes).map(|((table, _), suffix)| file(folder, table, suffix)).collect();
    let Some(expected) = on_sqlite(&files) else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "python3 with sqlite3 must be there with CI=true"
        );
        return println!("skipped: needs python3 with sqlite3");
    };
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path().join("flights.orrery")).unwrap();
    let mut connection = database.connect();
    for ((table, columns), file) in TABLES.iter().zip(&files) {
        let count = load(&mut connection, table, columns, file);
        assert!(*table != "flights" || count == flight_count, "{count} flights");
    }
    let mut failures = Vec::new();
    for plans in ["bare", "indexed", "checkpointed"] {
        match plans {
            "indexed" => connection.run(INDEXES).unwrap(),
            "checkpointed" => database.checkpoint().unwrap(),
            _ => {}
        }
        for (query, expected) in QUERIES.iter().zip(&expected) {
            if let Err(difference) = same_rows(&mut connection, query, expected) {
                failures.push(format!("{plans}: {query}\n  {difference}"));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} differ:\n{}",
        failures.len(),
        3 * QUERIES.len(),
        failures.join("\n")
    );
    drop(connection);
    let (_, findings) = database.check().unwrap();
    assert!(findings.is_empty(), "{findings:?}");
}

fn file(folder: &Path, table: &str, suffix: &str) -> PathBuf {
    let plain = folder.join(format!("{table}{suffix}.csv"));
    if plain.exists() { plain } else { folder.join(format!("{table}{suffix}.csv.gz")) }
}

/// The rows of every query; `None` where Python or its SQLite is missing.
fn on_sqlite(files: &[PathBuf]) -> Option<Vec<serde_json::Value>> {
    let has = Command::new("python3")
        .args(["-c", "import sqlite3, gzip, csv, json"])
        .stderr(Stdio::null())
        .status();
    if !has.is_ok_and(|status| status.success()) {
        return None;
    }
    let files: serde_json::Map<String, serde_json::Value> = TABLES
        .iter()
        .zip(files)
        .map(|((table, _), file)| (table.to_string(), file.to_str().expect("UTF-8").into()))
        .collect();
    let request = serde_json::json!({ "files": files, "queries": QUERIES });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("flights_on_sqlite.py");
    let mut command = Command::new("python3");
    let mut child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "SQLite refuses a query");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn load(connection: &mut Connection, table: &str, columns: &str, file: &Path) -> u64 {
    connection.run(&format!("CREATE TABLE {table} ({columns})")).unwrap();
    let bytes = match file.extension().is_some_and(|extension| extension == "gz") {
        true => unpack(file),
        false => std::fs::read(file).unwrap(),
    };
    let sql = format!("COPY {table} FROM STDIN WITH (FORMAT csv, HEADER true, NULL 'NA')");
    let mut copy = connection.copy_in(&sql).unwrap();
    for piece in bytes.chunks(1 << 20) {
        copy.write(piece).unwrap();
    }
    copy.finish().unwrap()
}

fn unpack(file: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packed = std::fs::File::open(file).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(packed), &mut bytes).unwrap();
    bytes
}

fn same_rows(connection: &mut Connection, query: &str, expected: &serde_json::Value) -> Result<(), String> {
    let expected = expected.as_array().expect("rows");
    let rows = connection.query(query, &[]).map_err(|error| error.to_string())?;
    let rows = rows.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if rows.len() != expected.len() {
        return Err(format!("{} rows, SQLite has {}", rows.len(), expected.len()));
    }
    for (index, (row, expected)) in rows.iter().zip(expected).enumerate() {
        let texts: Vec<Option<String>> =
            (0..row.len()).map(|column| row.text(column).expect("a column")).collect();
        let expected = expected.as_array().expect("a row");
        let is_same = texts.len() == expected.len()
            && texts.iter().zip(expected).all(|(text, expected)| same_value(text.as_deref(), expected));
        if !is_same {
            return Err(format!("row {index}: {texts:?}, SQLite has {expected:?}"));
        }
    }
    Ok(())
}

fn same_value(text: Option<&str>, expected: &serde_json::Value) -> bool {
    match (text, expected) {
        (None, serde_json::Value::Null) => true,
        (Some(text), serde_json::Value::String(expected)) => text == expected,
        (Some(text), serde_json::Value::Number(expected)) => match expected.as_i64() {
            Some(expected) if text.parse() == Ok(expected) => true,
            _ => {
                let (one, other) = (text.parse().unwrap_or(f64::NAN), expected.as_f64().unwrap_or(f64::NAN));
                (one - other).abs() <= 1e-9 * other.abs().max(1.0)
            }
        },
        _ => false,
    }
}
