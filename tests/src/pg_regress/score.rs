//! A file run and compared.

use super::expected::{self, Expected};
use super::rules;
use super::script::{self, Step, Variables};
use orrerydb::{Connection, Database, Error, Outcome};
use std::path::Path;

/// What a file came to.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Statements that give a table and are counted.
    pub counted: usize,
    /// Those of them with equal rows.
    pub equal: usize,
    /// Counted statements that give no table: run or refused as expected, of how many.
    pub others: (usize, usize),
    /// What is not equal: line (from 1), statement, what happened.
    pub failures: Vec<(usize, String, String)>,
    /// What is not counted: line, why.
    pub uncounted: Vec<(usize, &'static str)>,
}

/// What came of a statement here.
enum Actual {
    Rows(Vec<Vec<String>>),
    Done,
    Failed(String),
}

/// Runs `test_setup` and then the file `name` of the suite in `dir` in a fresh database.
///
/// # Errors
/// A file that cannot be read, a database that cannot be opened.
pub fn file(dir: &Path, name: &str) -> Result<Score, String> {
    let database = Database::in_memory().map_err(|error| error.to_string())?;
    let mut connection = database.connect();
    set_options(&mut connection);
    let mut score = Score::default();
    if name != "test_setup" {
        run(dir, "test_setup", &mut connection, &mut Score::default())?;
    }
    run(dir, name, &mut connection, &mut score)?;
    Ok(score)
}

/// The settings that `pg_regress` connects with. What is not built stays as it is, and shows in the score.
fn set_options(connection: &mut Connection) {
    for (setting, value) in
        [("datestyle", "Postgres, MDY"), ("timezone", "PST8PDT"), ("intervalstyle", "postgres_verbose")]
    {
        let _ = connection.set(setting, value);
    }
}

fn run(dir: &Path, name: &str, connection: &mut Connection, score: &mut Score) -> Result<(), String> {
    let read =
        |path: String| std::fs::read_to_string(dir.join(&path)).map_err(|error| format!("{path}: {error}"));
    let (sql, out) = (read(format!("sql/{name}.sql"))?, read(format!("expected/{name}.out"))?);
    let steps = script::steps(&sql);
    let expected = expected::outcomes(&sql, &steps, &out);
    let source = dir.canonicalize().unwrap_or_else(|_| dir.to_owned()).to_string_lossy().into_owned();
    let build = tempfile::tempdir().map_err(|error| error.to_string())?;
    std::fs::create_dir(build.path().join("results")).map_err(|error| error.to_string())?;
    let environment = |name: &str| match name {
        "PG_ABS_SRCDIR" => source.clone(),
        "PG_ABS_BUILDDIR" => build.path().to_string_lossy().into_owned(),
        _ => String::new(),
    };
    let (mut variables, mut null) = (Variables::default(), String::new());
    for (step, expected) in steps.iter().zip(&expected) {
        if step.is_command() {
            if let Some(text) = step.text.strip_prefix("\\pset null ") {
                null = text.trim_matches('\'').to_owned();
            } else if !variables.command(&step.text, &environment) {
                score.uncounted.push((step.lines.0 + 1, "a command of psql's"));
            }
            continue;
        }
        let sql = variables.fill(&step.text);
        let actual = perform(connection, step, &sql, &null);
        // RESET goes back to what the connection began with.
        if sql.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("reset ")) {
            set_options(connection);
        }
        match rules::reason(&sql) {
            Some(reason) => score.uncounted.push((step.lines.0 + 1, reason)),
            None => compare(score, step, &sql, expected, actual),
        }
    }
    Ok(())
}

fn compare(score: &mut Score, step: &Step, sql: &str, expected: &Expected, actual: Actual) {
    let Some(rows) = &expected.rows else {
        score.others.1 += 1;
        score.others.0 += usize::from(matches!(actual, Actual::Failed(_)) == expected.is_error);
        if let (Actual::Failed(error), false) = (&actual, expected.is_error) {
            score.failures.push((step.lines.0 + 1, sql.to_owned(), error.clone()));
        }
        return;
    };
    score.counted += 1;
    let what = match actual {
        Actual::Rows(mut actual) => {
            let mut rows = rows.clone();
            // Without ORDER BY any order is right.
            if !sql.to_ascii_lowercase().contains("order by") {
                rows.sort();
                actual.sort();
            }
            if rows == actual {
                score.equal += 1;
                return;
            }
            difference(&rows, &actual)
        }
        Actual::Done => "no table".to_owned(),
        Actual::Failed(error) => error,
    };
    score.failures.push((step.lines.0 + 1, sql.to_owned(), what));
}

fn difference(expected: &[Vec<String>], actual: &[Vec<String>]) -> String {
    let at = expected.iter().zip(actual).position(|(one, other)| one != other);
    let row = at.unwrap_or(expected.len().min(actual.len()));
    format!(
        "{} rows expected, {} given; row {row}: expected {:?}, given {:?}",
        expected.len(),
        actual.len(),
        expected.get(row),
        actual.get(row)
    )
}

fn perform(connection: &mut Connection, step: &Step, sql: &str, null: &str) -> Actual {
    let outcome = match &step.data {
        Some(data) => copy(connection, sql, data).map(|()| Actual::Done),
        None => rows(connection, sql, null),
    };
    outcome.unwrap_or_else(|error| Actual::Failed(format!("{} {}", error.code(), error.message())))
}

fn copy(connection: &mut Connection, sql: &str, data: &[String]) -> Result<(), Error> {
    let mut copy = connection.copy_in(sql)?;
    for line in data {
        copy.write(format!("{line}\n").as_bytes())?;
    }
    copy.finish().map(drop)
}

fn rows(connection: &mut Connection, sql: &str, null: &str) -> Result<Actual, Error> {
    let statement = connection.prepare(sql)?;
    if statement.is_copy_out() {
        // What it gives is no table.
        let mut copy = connection.copy_statement_out(&statement)?;
        while copy.read()?.is_some() {}
        return Ok(Actual::Done);
    }
    match connection.execute_statement(&statement, &[])? {
        Outcome::Done(_) => Ok(Actual::Done),
        Outcome::Rows(rows) => {
            let mut all = Vec::new();
            for row in rows {
                let row = row?;
                let value = |column| {
                    let text: Option<String> = row.text(column)?;
                    let lines = text.unwrap_or_else(|| null.to_owned());
                    // As psql shows it, blanks around each line cut off.
                    Ok(lines.split('\n').map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned())
                };
                all.push((0..row.len()).map(value).collect::<Result<Vec<_>, Error>>()?);
            }
            Ok(Actual::Rows(all))
        }
    }
}
