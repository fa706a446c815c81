//! `orrery demo`: a database file from real data, a tour of queries, a process killed while it commits, and a simulated
//! crash replayed from its number. Everything shown is measured in this run; a claim that does not hold ends the demo with
//! status 1.
//!
//! The data lie inside the program (a copy of `data/nycflights13`), so the demo needs nothing beside it. It deliberately
//! uses what users have: the shell's session, `import`, `check`, and for the process to kill the plain shell reading a
//! script.

mod kill;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use orrery_sim::{SeedOptions, SeedReport, run_seed};

use crate::db::{self, Session};
use crate::describe::size;
use crate::error::{Result, ShellError};
use crate::format::{Column, Format, RowSink, Writer};
use crate::import::{self, Input};

macro_rules! embedded {
    ($name:literal) => {
        Input::Embedded($name, include_bytes!(concat!("../../../data/nycflights13/", $name)))
    };
}

/// Tables, their files, and how they are made where inference is not enough: a CSV file names no key.
const TABLES: [(&str, Input, &str); 5] = [
    (
        "airlines",
        embedded!("airlines.csv"),
        "CREATE TABLE airlines (carrier text PRIMARY KEY, name text NOT NULL)",
    ),
    (
        "airports",
        embedded!("airports.csv"),
        "CREATE TABLE airports (faa text PRIMARY KEY, name text NOT NULL, lat double precision, \
         lon double precision, alt integer, tz integer, dst text, tzone text)",
    ),
    (
        "planes",
        embedded!("planes.csv"),
        "CREATE TABLE planes (tailnum text PRIMARY KEY, year integer, type text, manufacturer text, \
         model text, engines integer, seats integer, speed integer, engine text)",
    ),
    ("weather", embedded!("weather-2013-01.csv.gz"), ""),
    ("flights", embedded!("flights-2013-01.csv.gz"), ""),
];

/// The world that is replayed.
const SEED: u64 = 7;

/// What the tour asks, each with the question in words.
const TOUR: [(&str, &str); 4] = [
    (
        "Which airlines made up time in the air?",
        "SELECT a.name, count(*) AS flights, round(avg(f.dep_delay), 1) AS left_late,
       round(avg(f.arr_delay), 1) AS came_late
FROM flights f JOIN airlines a ON a.carrier = f.carrier
GROUP BY a.name HAVING count(*) > 1000
ORDER BY avg(f.arr_delay) - avg(f.dep_delay) LIMIT 5;",
    ),
    (
        "Does bad sight delay flights? (flights and weather, by airport and hour)",
        "SELECT CASE WHEN w.visib < 2 THEN 'fog' WHEN w.visib < 8 THEN 'haze' ELSE 'clear' END AS sight,
       count(*) AS flights, round(avg(f.dep_delay), 1) AS delay,
       count(*) - count(f.dep_time) AS cancelled
FROM flights f JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
GROUP BY 1 ORDER BY delay DESC;",
    ),
    (
        "How far do old planes still fly?",
        "SELECT p.manufacturer, min(p.year) AS built, count(*) AS flights, max(f.distance) AS miles
FROM flights f JOIN planes p ON p.tailnum = f.tailnum JOIN airports d ON d.faa = f.dest
WHERE p.year < 1985
GROUP BY p.manufacturer ORDER BY flights DESC LIMIT 4;",
    ),
    (
        "One row by its key",
        "SELECT tailnum, year, manufacturer, model, seats FROM planes WHERE tailnum = 'N14228';",
    ),
];

/// The query whose plan is shown.
const EXPLAINED: &str = "EXPLAIN ANALYZE
SELECT d.name, count(*) FROM flights f JOIN airports d ON d.faa = f.dest
WHERE f.carrier = 'HA' GROUP BY d.name;";

/// Runs the demo in a new database at `path`, or in a new folder for temporary files.
///
/// # Errors
/// The path is taken, the database fails, or something promised did not hold.
pub fn run(path: Option<&str>) -> Result<ExitCode> {
    let path = match path {
        Some(path) => new_file(path)?,
        None => new_folder()?.join("flights.db"),
    };
    let name = path.to_str().ok_or_else(|| ShellError::Usage("the path is not UTF-8".into()))?;
    let start = Instant::now();
    let mut session = db::open(name, true)?;
    say(format_args!("A database file: {name}"))?;
    load(session.as_mut(), &path)?;
    tour(session.as_mut())?;
    plan(session.as_mut())?;
    session.close()?;
    kill::run(name)?;
    let report = simulate()?;
    if report.exit_code() != 0 {
        say(format_args!("{report}"))?;
        return Ok(ExitCode::from(report.exit_code()));
    }
    next(name, start.elapsed())?;
    Ok(ExitCode::SUCCESS)
}

fn new_file(path: &str) -> Result<PathBuf> {
    match Path::new(path).exists() {
        true => Err(ShellError::Usage(format!("{path} exists; the demo makes a new database"))),
        false => Ok(PathBuf::from(path)),
    }
}

fn new_folder() -> Result<PathBuf> {
    let mut number = std::process::id();
    loop {
        let folder = std::env::temp_dir().join(format!("orrery-demo-{number}"));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(ShellError::Io(folder.display().to_string(), error)),
        }
    }
}

fn load(session: &mut dyn Session, path: &Path) -> Result<()> {
    title("1. Real data: flights from New York City, January 2013 (nycflights13, CC0)")?;
    let start = Instant::now();
    let mut total = 0;
    for (table, input, create) in &TABLES {
        if !create.is_empty() {
            quiet(session, create)?;
        }
        let count = import::import(session, input, table, Some("NA"), create.is_empty())?;
        say(format_args!("{table:>12} {count:>7} rows"))?;
        total += count;
    }
    let loaded = start.elapsed();
    for sql in ["CREATE INDEX flights_by_carrier ON flights (carrier)", "ANALYZE", "CHECKPOINT"] {
        quiet(session, sql)?;
    }
    let bytes = std::fs::metadata(path).map_err(ShellError::io(path.display().to_string()))?.len();
    let (loaded, settled) = (milliseconds(loaded), milliseconds(start.elapsed() - loaded));
    say(format_args!("{total} rows in {loaded}, a transaction a table, durable; types read from the files"))?;
    say(format_args!("an index, statistics, a checkpoint: {settled}; one file of {}", size(bytes)))
}

fn tour(session: &mut dyn Session) -> Result<()> {
    title("2. A tour")?;
    for (question, sql) in TOUR {
        say(format_args!("-- {question}\n{sql}"))?;
        let mut writer = Writer::new(io::stdout(), Format::Table);
        let start = Instant::now();
        session.execute(sql.trim_end_matches(';'), &mut writer)?;
        say(format_args!("Time: {}\n", milliseconds(start.elapsed())))?;
    }
    Ok(())
}

fn plan(session: &mut dyn Session) -> Result<()> {
    say(format_args!("-- What a query does\n{EXPLAINED}"))?;
    for line in rows(session, EXPLAINED.trim_end_matches(';'))? {
        say(format_args!("  {}", line.join(" ")))?;
    }
    Ok(())
}

/// Runs the world of [`SEED`] twice.
fn simulate() -> Result<SeedReport> {
    title(&format!("4. A power failure, simulated: world number {SEED}"))?;
    say(format_args!(
        "kill -9 leaves the system's cache whole. So the same engine runs on a simulated disk that loses,\n\
         tears and reorders what was not synced, and every recovery is compared with what was acknowledged."
    ))?;
    let start = Instant::now();
    let report = run_seed(SEED, &SeedOptions::default());
    let again = run_seed(SEED, &SeedOptions::default());
    let elapsed = start.elapsed();
    if again.trace_hash != report.trace_hash {
        return Err(ShellError::Usage(format!("two runs of seed {SEED} differ: that is a bug")));
    }
    if report.exit_code() != 0 {
        return Ok(report);
    }
    let count = |name: &str| report.reached.get(name).copied().unwrap_or(0);
    let disk = [
        (count("disk: lost writes"), "lost"),
        (count("disk: torn writes"), "torn"),
        (count("disk: reordered writes"), "reordered"),
        (count("disk: failed requests"), "failed"),
    ];
    let disk: Vec<String> =
        disk.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    say(format_args!(
        "{} operations, {} power cuts, {} recoveries checked; disk requests: {}",
        report.operation_count(),
        report.crash_count(),
        report.recovery_count(),
        if disk.is_empty() { "all well".to_string() } else { disk.join(", ") }
    ))?;
    say(format_args!(
        "{}; run twice, the same trace: {:016x} ({})",
        report.outcome,
        report.trace_hash,
        milliseconds(elapsed)
    ))?;
    Ok(report)
}

fn next(database: &str, elapsed: Duration) -> Result<()> {
    title("Next")?;
    let program = program();
    let lines = [
        (format!("{program} {database}"), "the shell on these flights; \\d lists the tables, \\? helps"),
        (format!("{program} import my.db mine FILE.csv --create"), "your own data"),
        (format!("{program} sim --seed 8 --seeds 100"), "a hundred other worlds"),
    ];
    let width = lines.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, what) in lines {
        say(format_args!("  {command:width$}  # {what}"))?;
    }
    say(format_args!("(the whole demo took {:.1} s)", elapsed.as_secs_f64()))
}

/// How this program is called from here.
fn program() -> String {
    let Ok(program) = std::env::current_exe() else { return "orrery".into() };
    let here = std::env::current_dir().unwrap_or_default();
    program.strip_prefix(&here).unwrap_or(&program).display().to_string()
}

/// Runs a statement whose result nobody sees.
fn quiet(session: &mut dyn Session, sql: &str) -> Result<()> {
    session.execute(sql, &mut Rows::default())
}

/// A small result's rows; NULL is shown as such.
fn rows(session: &mut dyn Session, sql: &str) -> Result<Vec<Vec<String>>> {
    let mut rows = Rows::default();
    session.execute(sql, &mut rows)?;
    Ok(rows.0)
}

#[derive(Default)]
struct Rows(Vec<Vec<String>>);

impl RowSink for Rows {
    fn begin(&mut self, _columns: &[Column]) -> io::Result<()> {
        Ok(())
    }
    fn row(&mut self, cells: &[Option<&str>]) -> io::Result<()> {
        self.0.push(cells.iter().map(|cell| cell.unwrap_or("NULL").to_string()).collect());
        Ok(())
    }
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn tag(&mut self, _tag: &str) -> io::Result<()> {
        Ok(())
    }
}

fn milliseconds(elapsed: Duration) -> String {
    format!("{:.1} ms", elapsed.as_secs_f64() * 1e3)
}

fn title(text: &str) -> Result<()> {
    say(format_args!("\n{text}\n{}", "─".repeat(text.chars().count())))
}

fn say(text: std::fmt::Arguments<'_>) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(ShellError::io("output"))
}
