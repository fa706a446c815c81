//! A three-table join with grouping over the flights of the repository's demo data (or the full year when
//! `ORRERY_FLIGHTS` names its folder), both sides analysed and indexed.

use crate::measure::{interleaved, per_unit};
use crate::print;
use orrerydb::{Database, Value};
use std::io::Read;
use std::path::{Path, PathBuf};

const SCHEMA: &str = "
    create table airlines (carrier text primary key, name text);
    create table planes (tailnum text primary key, year integer, manufacturer text, seats integer);
    create table flights (id bigint primary key, month integer, day integer, dep_delay integer, arr_delay integer,
        carrier text, tailnum text, origin text, dest text, distance integer);
    create index flights_carrier on flights (carrier);
    create index flights_tailnum on flights (tailnum);";

const QUERY: &str = "
    select a.name, p.manufacturer, count(*), sum(f.distance), avg(f.arr_delay)
    from flights f join airlines a on a.carrier = f.carrier join planes p on p.tailnum = f.tailnum
    where f.dep_delay > 0
    group by a.name, p.manufacturer order by 3 desc, 1, 2";

/// Prints the row.
pub fn run(folder: &Path) {
    let source =
        std::env::var("ORRERY_FLIGHTS").map_or_else(|_| PathBuf::from("data/nycflights13"), PathBuf::from);
    let orrery = Database::open(folder.join("flights.orrery")).expect("orrery opens");
    let mut connection = orrery.connect();
    connection.run(SCHEMA).expect("schema");
    let sqlite = rusqlite::Connection::open(folder.join("flights.sqlite")).expect("sqlite opens");
    sqlite.execute_batch("pragma journal_mode = wal; pragma cache_size = -262144;").expect("pragmas");
    sqlite.execute_batch(SCHEMA).expect("schema");
    let mut flight_count = 0;
    connection.execute("begin", &[]).expect("begin");
    sqlite.execute_batch("begin").expect("begin");
    for (table, columns) in [
        ("airlines", vec!["carrier", "name"]),
        ("planes", vec!["tailnum", "year", "manufacturer", "seats"]),
        (
            "flights",
            vec![
                "",
                "month",
                "day",
                "dep_delay",
                "arr_delay",
                "carrier",
                "tailnum",
                "origin",
                "dest",
                "distance",
            ],
        ),
    ] {
        for row in rows_of(&source, table, &columns) {
            flight_count += u64::from(table == "flights");
            let marks: Vec<String> = (1..=row.len()).map(|at| format!("${at}")).collect();
            let insert = format!("insert into {table} values ({})", marks.join(", "));
            let ours: Vec<Value> = row.iter().map(|cell| Value::from(cell.as_deref())).collect();
            connection.execute(&insert, &ours).expect("insert");
            let theirs = rusqlite::params_from_iter(row.iter());
            sqlite
                .prepare_cached(&insert.replace('$', "?"))
                .expect("prepare")
                .execute(theirs)
                .expect("insert");
        }
    }
    connection.execute("commit", &[]).expect("commit");
    sqlite.execute_batch("commit; analyze").expect("commit");
    connection.run("checkpoint; analyze").expect("analyze");
    let mut ours_rows = Vec::new();
    let mut ours = || {
        per_unit(flight_count, || {
            let rows = connection.query(QUERY, &[]).expect("query");
            ours_rows =
                rows.map(|row| row.expect("row").text(2).expect("a column").expect("a count")).collect();
        })
    };
    let mut sqlite_rows: Vec<String> = Vec::new();
    let mut theirs = || {
        per_unit(flight_count, || {
            let mut query = sqlite.prepare_cached(QUERY).expect("prepare");
            let rows = query.query_map([], |row| row.get::<_, i64>(2)).expect("query");
            sqlite_rows = rows.map(|count| count.expect("row").to_string()).collect();
        })
    };
    let costs = interleaved(7, &mut [("orrery", &mut ours), ("sqlite", &mut theirs)]);
    assert_eq!(ours_rows, sqlite_rows, "both count the same groups");
    print(&format!("join of 3 tables + group by, {flight_count} flights"), &costs);
}

/// The rows of a table's CSV, cut to these columns; `NA` is NULL, an empty column name is the row's number.
fn rows_of(source: &Path, table: &str, columns: &[&str]) -> Vec<Vec<Option<String>>> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(source).expect("the data folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !name.starts_with(table) || !name.contains(".csv") {
            continue;
        }
        let bytes = std::fs::read(&path).expect("the file");
        let mut text = String::new();
        if name.ends_with(".gz") {
            flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
        } else {
            text = String::from_utf8(bytes).expect("UTF-8");
        }
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().expect("a header").clone();
        let places: Vec<_> =
            columns.iter().map(|column| header.iter().position(|name| name == *column)).collect();
        for record in reader.records() {
            let record = record.expect("a record");
            let number = rows.len() + 1;
            let cell = |place: &Option<usize>| match place {
                None => Some(number.to_string()),
                Some(at) => record.get(*at).filter(|cell| *cell != "NA").map(str::to_owned),
            };
            rows.push(places.iter().map(cell).collect());
        }
    }
    rows
}
