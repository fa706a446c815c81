//! Statements: those of the `.slt` files, some as they are, some changed, one file's after another in a database of their own.

use crate::Tally;
use crate::disk::{BoundedDisk, Files};
use crate::image::options;
use crate::visit::judge;
use orrery_base::rng::Rng;
use orrerydb::{Connection, Database, Durability, Error, Options, Outcome, Progress};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The statements of a file, in order.
pub struct Script {
    statements: Vec<String>,
}

/// Statements of an iteration.
const STATEMENT_COUNT: usize = 40;
/// A statement may take long (a join of everything); then it is cancelled.
const PATIENCE: Duration = Duration::from_secs(2);
/// Rows of a result that are looked at.
const ROW_COUNT_MAX: usize = 20_000;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Bytes of a changed statement.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Reads all files under a folder, in order of their names.
///
/// # Errors
/// The folder cannot be read, or has nothing.
pub fn read_all(folder: &Path) -> Result<Vec<Script>, String> {
    let shown = |error: std::io::Error| format!("{}: {error}", folder.display());
    let (mut folders, mut files) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).map_err(shown)? {
            let path = entry.map_err(shown)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "slt") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut scripts = Vec::new();
    for file in files {
        scripts.push(Script { statements: statements(&std::fs::read_to_string(file).map_err(shown)?) });
    }
    scripts.retain(|it| !it.statements.is_empty());
    if scripts.is_empty() { Err(format!("{}: no statements", folder.display())) } else { Ok(scripts) }
}

/// The statements of a file: what follows `statement` and `query` up to the result or a blank line.
fn statements(text: &str) -> Vec<String> {
    let (mut found, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        if line.starts_with("statement ") || line.starts_with("query") {
            let body: Vec<&str> =
                lines.by_ref().take_while(|it| !it.trim().is_empty() && *it != "----").collect();
            found.push(body.join("\n"));
        }
    }
    found
}

/// Runs a part of a file, changed here and there.
///
/// # Errors
/// A finding.
pub fn iteration(scripts: &[Script], rng: &mut Rng, seen: &mut Tally) -> Result<(), String> {
    let options = Options { create: true, durability: Durability::None, ..options() };
    let disk = Arc::new(BoundedDisk::with(&Files::new()));
    let db = Database::with_driver(disk, &options).map_err(|error| format!("a new database: {error}"))?;
    let mut connection = db.connect();
    let watch = |progress: Progress| progress.elapsed < PATIENCE;
    connection.on_progress(LOOK_EVERY, Some(Arc::new(watch)));
    let script = rng.pick(scripts);
    for statement in script.statements.iter().take(STATEMENT_COUNT) {
        if rng.chance(1, 2) {
            // As it is, so that what it makes is there for the next ones.
            run(&mut connection, statement, seen)?;
        }
        if rng.chance(1, 2) {
            let changed = change(statement, scripts, rng);
            run(&mut connection, &changed, seen)?;
        }
    }
    drop(connection);
    let (_, findings) = db.check().map_err(|error| format!("the check: {error}"))?;
    match findings.first() {
        Some(first) => Err(format!("{} findings of the check: {first}", findings.len())),
        None => db.close().map_err(|error| format!("the close: {error}")),
    }
}

fn run(connection: &mut Connection, text: &str, seen: &mut Tally) -> Result<(), String> {
    *seen.entry("statements".into()).or_default() += 1;
    let error = match take_all(connection, text) {
        Ok(()) => {
            *seen.entry("ran".into()).or_default() += 1;
            return Ok(());
        }
        Err(error) => error,
    };
    let shown: String = text.chars().take(2000).collect();
    if error.code().as_str() == "XX001" {
        return Err(format!("{error} (XX001) from: {shown}"));
    }
    judge("statement", &error, seen).map_err(|finding| format!("{finding} from: {shown}"))
}

fn take_all(connection: &mut Connection, text: &str) -> Result<(), Error> {
    for statement in connection.parse(text)? {
        if let Outcome::Rows(mut rows) = connection.execute_statement(&statement, &[])? {
            // A recursion may give rows for ever, each of them at once.
            for row in rows.by_ref().take(ROW_COUNT_MAX) {
                let row = row?;
                for column in 0..row.len() {
                    row.text(column)?;
                }
            }
        }
    }
    Ok(())
}

/// Numbers and texts at the edges.
const VALUES: [&str; 20] = [
    "0",
    "-1",
    "1",
    "2147483647",
    "-2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "1e-400",
    "'NaN'",
    "'infinity'",
    "NULL",
    "''",
    "'{}'",
    "'[]'",
    "32768",
    "0.1",
    "999999999999999999999999999999999999999",
    "'\\x'",
    "$1",
];

/// Changes a statement in one to four places.
fn change(statement: &str, scripts: &[Script], rng: &mut Rng) -> String {
    let mut words = split(statement);
    for _ in 0..=rng.below(4) {
        let at = rng.below(words.len() as u64 + 1) as usize;
        match rng.below(10) {
            0 if at < words.len() => drop(words.remove(at)),
            1 if at < words.len() => words.insert(at, words[at].clone()),
            2 if at < words.len() => {
                let with = rng.below(words.len() as u64) as usize;
                words.swap(at, with);
            }
            3 | 4 => {
                // A piece of another statement.
                let other = rng.pick(scripts);
                let from = split(rng.pick::<String>(&other.statements));
                let start = rng.below(from.len() as u64 + 1) as usize;
                let end = (start + 1 + rng.below(12) as usize).min(from.len());
                words.splice(at..at, from[start.min(end)..end].iter().cloned());
            }
            5 | 6 => {
                let value = (*rng.pick(&VALUES)).to_owned();
                match words
                    .iter()
                    .skip(at)
                    .position(|it| it.starts_with(|c: char| c.is_ascii_digit() || c == '\''))
                {
                    Some(found) => words[at + found] = value,
                    None => words.insert(at, value),
                }
            }
            7 => {
                let depth = 1 << rng.below(13);
                let (open, close) = *rng.pick(&[
                    ("(", ")"),
                    ("-", ""),
                    ("not ", ""),
                    ("array[", "]"),
                    ("(select ", ")"),
                    ("/*", "*/"),
                ]);
                words.insert(at, open.repeat(depth));
                let end = (at + 2).min(words.len());
                words.insert(end, close.repeat(depth));
            }
            8 => words.truncate(at),
            _ if at < words.len() => words[at] = letters(&words[at], rng),
            _ => {}
        }
    }
    let mut text = words.concat();
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
    text
}

/// A word with a character changed, doubled or gone.
fn letters(word: &str, rng: &mut Rng) -> String {
    const LETTERS: [char; 16] =
        ['\'', '"', '\\', '\0', '(', ')', ';', '$', '-', '%', 'é', '\u{10ffff}', '9', 'e', '_', '\n'];
    let mut letters: Vec<char> = word.chars().collect();
    if letters.is_empty() {
        return String::new();
    }
    let at = rng.below(letters.len() as u64) as usize;
    match rng.below(3) {
        0 => letters[at] = *rng.pick(&LETTERS),
        1 => letters.insert(at, *rng.pick(&LETTERS)),
        _ => drop(letters.remove(at)),
    }
    letters.into_iter().collect()
}

/// Words, quoted texts, blanks and single marks; together they are the statement.
fn split(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quote = None;
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    for c in text.chars() {
        let goes_on = match (quote, words.last().and_then(|it| it.chars().next_back())) {
            (Some(_), _) => true,
            (None, Some(last)) => is_word(last) && is_word(c),
            (None, None) => false,
        };
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None => {}
        }
        match words.last_mut().filter(|_| goes_on) {
            Some(last) => last.push(c),
            None => words.push(c.to_string()),
        }
    }
    words
}
