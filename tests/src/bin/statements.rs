//! Runs statements one after the other in a database in memory, and prints what each gave: for holding a file of statements
//! against another server.
//!
//! `cargo run -p orrery-tests --bin statements < FILE`: statements end with a zero byte. For each, one line `ok COUNT`, `rows
//! COUNT` and the rows (values separated by tabs, as the `.slt` files write them), or `error CODE POSITION MESSAGE`.

use orrery_tests::adapter::show;
use orrerydb::{Connection, Database, Error, Outcome};
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let database = match Database::in_memory() {
        Ok(database) => database,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut connection = database.connect();
    let mut out = std::io::stdout().lock();
    for sql in text.split('\0').filter(|sql| !sql.trim().is_empty()) {
        let shown = run(&mut connection, sql).unwrap_or_else(|error| {
            let position = error.position().unwrap_or(0);
            format!("error {} {position} {}\n", error.code(), error.message().replace('\n', " "))
        });
        if out.write_all(shown.as_bytes()).and_then(|()| out.flush()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(connection: &mut Connection, sql: &str) -> Result<String, Error> {
    let statement = connection.prepare(sql)?;
    match connection.execute_statement(&statement, &[])? {
        Outcome::Done(tag) => Ok(format!("ok {}\n", tag.row_count.unwrap_or(0))),
        Outcome::Rows(rows) => {
            let mut lines = Vec::new();
            for row in rows {
                let row = row?;
                let values = (0..row.len()).map(|column| row.text(column).map(show));
                lines.push(values.collect::<Result<Vec<_>, _>>()?.join("\t"));
            }
            let count = lines.len();
            lines.insert(0, format!("rows {count}"));
            Ok(lines.join("\n") + "\n")
        }
    }
}
