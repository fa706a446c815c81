//! The part of the demo that kills: a second process (the plain shell, fed with a script) commits as fast as it can until
//! SIGKILL ends it, and then this process opens the file and counts.
//!
//! What must hold: every transaction that was acknowledged is there; at most one more is (its answer was on the way when the
//! process died); none is there by half. A transaction writes three tables, so half of one would show.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::{milliseconds, quiet, rows, say, title};
use crate::db;
use crate::error::{Result, ShellError};

/// The process dies after so many acknowledged transactions, or so long.
const ACKNOWLEDGED_MAX: u64 = 400;
const LIFE: Duration = Duration::from_millis(1500);
/// Transactions in the script: more than anyone waits for.
const SCRIPT_TRANSACTIONS: u64 = 1_000_000;
/// Rows that a transaction adds to `leg`.
const LEGS: u64 = 3;

/// See the head of the file.
pub fn run(database: &str) -> Result<()> {
    title("3. kill -9 in the middle of a write")?;
    prepare(database)?;
    let (pid, acknowledged, elapsed) = write_and_die(database)?;
    say(format_args!(
        "process {pid} sold trips: each transaction a row in trip, {LEGS} in leg, and an update of total.\n\
         {acknowledged} were acknowledged in {}, each synced; then SIGKILL.",
        milliseconds(elapsed)
    ))?;
    let start = Instant::now();
    let mut session = db::open(database, false)?;
    let opened = start.elapsed();
    let counts = rows(
        session.as_mut(),
        "SELECT (SELECT count(*) FROM trip), (SELECT count(*) FROM leg), (SELECT trips FROM total), \
         (SELECT coalesce(max(id), 0) FROM trip)",
    )?;
    session.close()?;
    let number = |column: usize| counts.first().and_then(|row| row[column].parse().ok()).unwrap_or(u64::MAX);
    let (trips, legs, total, newest) = (number(0), number(1), number(2), number(3));
    say(format_args!(
        "reopened, log replayed in {}: {trips} trips, {legs} legs, total says {total}",
        milliseconds(opened)
    ))?;
    let whole = legs == LEGS * trips && total == trips && newest == trips;
    if !whole || !(acknowledged..=acknowledged + 1).contains(&trips) {
        return Err(ShellError::Usage("a commit was lost, or is there by half: that is a bug".into()));
    }
    let extra = if trips > acknowledged { " (and one whose answer died on the way)" } else { "" };
    let (summary, findings) = db::check(database)?;
    for finding in &findings {
        say(format_args!("{finding}"))?;
    }
    if !findings.is_empty() {
        return Err(ShellError::Usage("the file is damaged: that is a bug".into()));
    }
    say(format_args!(
        "all that was acknowledged is there{extra}, nothing by half; check walked {} pages: no findings",
        summary.page_count
    ))
}

fn prepare(database: &str) -> Result<()> {
    let mut session = db::open(database, false)?;
    for sql in [
        "CREATE TABLE trip (id bigint PRIMARY KEY, passenger text NOT NULL)",
        "CREATE TABLE leg (trip bigint, number integer, dest text NOT NULL, PRIMARY KEY (trip, number))",
        "CREATE TABLE total (id integer PRIMARY KEY, trips bigint NOT NULL)",
        "INSERT INTO total VALUES (1, 0)",
    ] {
        quiet(session.as_mut(), sql)?;
    }
    session.close()
}

/// Answers the process's id, how many transactions it was seen to acknowledge, and how long it lived after the first.
fn write_and_die(database: &str) -> Result<(u32, u64, Duration)> {
    let program = std::env::current_exe().map_err(ShellError::io("this program"))?;
    let child = Command::new(program).arg(database).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(ShellError::io("a second process"))?;
    let input = child.stdin.take().expect("its input is a pipe");
    // Ends when the process does: then nobody reads the pipe.
    let feeder = std::thread::spawn(move || feed(input));
    let counted = count_and_kill(&mut child);
    // Whatever happened, it does not outlive this function.
    let _ = child.kill();
    child.wait().map_err(ShellError::io("a second process"))?;
    let _ = feeder.join();
    let (acknowledged, elapsed) = counted?;
    Ok((child.id(), acknowledged, elapsed))
}

fn count_and_kill(child: &mut Child) -> Result<(u64, Duration)> {
    let output = child.stdout.take().expect("its output is a pipe");
    let (mut acknowledged, mut start, mut life) = (0, None, None);
    // The lines that were in the pipe when it died count too: somebody was told.
    for line in BufReader::new(output).lines() {
        if line.map_err(ShellError::io("a second process"))? != "COMMIT" {
            continue;
        }
        acknowledged += 1;
        let start = *start.get_or_insert_with(Instant::now);
        if life.is_none() && (acknowledged == ACKNOWLEDGED_MAX || start.elapsed() > LIFE) {
            life = Some(start.elapsed());
            child.kill().map_err(ShellError::io("kill"))?;
        }
    }
    match life {
        Some(life) => Ok((acknowledged, life)),
        None => Err(ShellError::Usage("the second process ended by itself".into())),
    }
}

fn feed(mut input: ChildStdin) {
    for id in 1..=SCRIPT_TRANSACTIONS {
        let script = format!(
            "BEGIN;\nINSERT INTO trip VALUES ({id}, 'passenger {id}');\n\
             INSERT INTO leg VALUES ({id}, 1, 'ATL'), ({id}, 2, 'DEN'), ({id}, 3, 'SFO');\n\
             UPDATE total SET trips = trips + 1;\nCOMMIT;\n"
        );
        if input.write_all(script.as_bytes()).is_err() {
            return;
        }
    }
}
