//! SQLite's sqllogictest corpus, run in this process to the end of each file, with every record counted.
//!
//! The rules of the original runner: values are compared one a line, written by the type string (`I` an integer, `R` with
//! three decimals, `T` text with `@` for what is not printable ASCII); NULL is `NULL`, the empty string `(empty)`;
//! `rowsort` sorts rows, `valuesort` values; a single line `N values hashing to MD5` stands for many; queries under one
//! label give one result. The engine's label in `skipif` and `onlyif` is `postgresql`.
//!
//! It deliberately knows nothing of `.slt` files of ours: those have PostgreSQL's formats (`tests/slt.rs`).

use md5::{Digest, Md5};
use orrerydb::{Connection, Database, Error, Outcome, Row, Rows, Value};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The label of this engine.
const LABEL: &str = "postgresql";

/// One record of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// `statement ok` or `statement error`.
    Statement {
        /// Whether it must fail.
        fails: bool,
        /// Its text.
        sql: String,
    },
    /// `query`.
    Query {
        /// One letter a column.
        types: &'a str,
        /// How values are sorted before they are compared.
        sort: Sort,
        /// Queries of one label give one result.
        label: Option<&'a str>,
        /// Its text.
        sql: String,
        /// What must come.
        expected: Vec<&'a str>,
    },
    /// The end of the file for this engine.
    Halt,
}

/// The sort mode of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// As they come.
    No,
    /// By row.
    Rows,
    /// By value.
    Values,
}

/// What a file gave.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Queries that passed.
    pub query_pass: u64,
    /// Queries that failed.
    pub query_fail: u64,
    /// Statements that passed.
    pub statement_pass: u64,
    /// Statements that failed.
    pub statement_fail: u64,
    /// Records that are not for this engine.
    pub skipped: u64,
    /// Every failure.
    pub failures: Vec<Failure>,
}

/// One failing record.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The line of the record's head.
    pub line: usize,
    /// SQLSTATE, or `wrong` for a wrong result, `none` for an error that did not come, `panic`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// The statement, blanks folded, cut to 200 characters.
    pub sql: String,
}

/// The records that are for this engine, with the line of their heads, and how many are not.
pub fn parse(text: &str) -> (Vec<(usize, Record<'_>)>, u64) {
    let lines: Vec<&str> = text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let (mut records, mut skipped, mut for_us, mut at) = (Vec::new(), 0, true, 0);
    while at < lines.len() {
        let line = at + 1;
        let words: Vec<&str> = lines[at].split_whitespace().collect();
        at += 1;
        let Some(&kind) = words.first().filter(|_| !lines[line - 1].starts_with('#')) else { continue };
        match (kind, words.get(1)) {
            ("skipif", label) => for_us &= label != Some(&LABEL),
            ("onlyif", label) => for_us &= label == Some(&LABEL),
            _ => {
                let (record, next) = read(&lines, at, &words);
                at = next;
                match record {
                    Some(record) if for_us => records.push((line, record)),
                    Some(_) => skipped += 1,
                    None => {}
                }
                for_us = true;
            }
        }
    }
    (records, skipped)
}

/// The record whose head is `words` and whose body starts at line `at`; and where the next begins.
fn read<'a>(lines: &[&'a str], mut at: usize, words: &[&'a str]) -> (Option<Record<'a>>, usize) {
    if words[0] == "halt" {
        return (Some(Record::Halt), at);
    }
    if words[0] != "statement" && words[0] != "query" {
        return (None, at);
    }
    let start = at;
    while at < lines.len() && !lines[at].trim().is_empty() && lines[at].trim() != "----" {
        at += 1;
    }
    let sql = lines[start..at].join("\n");
    let mut expected = Vec::new();
    if lines.get(at).is_some_and(|line| line.trim() == "----") {
        at += 1;
        while at < lines.len() && !lines[at].is_empty() {
            expected.push(lines[at]);
            at += 1;
        }
    }
    if words[0] == "statement" {
        return (Some(Record::Statement { fails: words.get(1) == Some(&"error"), sql }), at);
    }
    let sort = match words.get(2) {
        Some(&"rowsort") => Sort::Rows,
        Some(&"valuesort") => Sort::Values,
        _ => Sort::No,
    };
    let types = words.get(1).copied().unwrap_or("");
    (Some(Record::Query { types, sort, label: words.get(3).copied(), sql, expected }), at)
}

/// Runs a file in a fresh database.
///
/// # Errors
/// When no database can be made.
pub fn run_file(text: &str) -> Result<Tally, Error> {
    let database = Database::in_memory()?;
    let mut connection = connect(&database);
    let (records, skipped) = parse(text);
    let mut tally = Tally { skipped, ..Tally::default() };
    let mut labels = BTreeMap::new();
    for (line, record) in &records {
        let answer = match record {
            Record::Halt => break,
            Record::Statement { .. } | Record::Query { .. } => {
                catch_unwind(AssertUnwindSafe(|| check(&mut connection, record, &mut labels)))
            }
        };
        let answer = answer.unwrap_or_else(|panic| {
            connection = connect(&database);
            let message = panic.downcast_ref::<String>().cloned();
            Err((
                "panic".into(),
                message
                    .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()))
                    .unwrap_or_default(),
            ))
        });
        let (sql, passed, failed) = match record {
            Record::Query { sql, .. } => (sql, &mut tally.query_pass, &mut tally.query_fail),
            Record::Statement { sql, .. } => (sql, &mut tally.statement_pass, &mut tally.statement_fail),
            Record::Halt => break,
        };
        match answer {
            Ok(()) => *passed += 1,
            Err((code, message)) => {
                *failed += 1;
                let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
                tally.failures.push(Failure { line: *line, code, message, sql });
            }
        }
    }
    Ok(tally)
}

fn connect(database: &Database) -> Connection {
    let mut connection = database.connect();
    // Should it be refused, statements run as long as they like.
    drop(connection.run("set statement_timeout = 10000"));
    connection
}

/// `Err`: the code and message of a [`Failure`].
fn check(
    connection: &mut Connection,
    record: &Record<'_>,
    labels: &mut BTreeMap<String, String>,
) -> Result<(), (String, String)> {
    let failure = |error: Error| (error.code().as_str().to_owned(), error.message().to_owned());
    match record {
        Record::Halt => Ok(()),
        Record::Statement { fails, sql } => match (fails, connection.execute(sql, &[])) {
            (false, Ok(_)) | (true, Err(_)) => Ok(()),
            (true, Ok(_)) => Err(("none".into(), "an error was expected".into())),
            (false, Err(error)) => Err(failure(error)),
        },
        Record::Query { types, sort, label, sql, expected } => {
            let statement = connection.prepare(sql).map_err(failure)?;
            let rows = match connection.execute_statement(&statement, &[]).map_err(failure)? {
                Outcome::Rows(rows) => rows,
                Outcome::Done(_) => return Err(("wrong".into(), "no rows came".into())),
            };
            if rows.fields().len() != types.len() {
                return Err(("wrong".into(), format!("{} columns came", rows.fields().len())));
            }
            let values = values(rows, types, *sort).map_err(failure)?;
            compare(&values, expected)?;
            let Some(label) = label else { return Ok(()) };
            let hash = hash(&values);
            if *labels.entry((*label).to_owned()).or_insert_with(|| hash.clone()) != hash {
                return Err(("wrong".into(), format!("another query of {label} gave another result")));
            }
            Ok(())
        }
    }
}

fn compare(values: &[String], expected: &[&str]) -> Result<(), (String, String)> {
    let matches = match expected {
        [line] if line.contains(" values hashing to ") => {
            **line == format!("{} values hashing to {}", values.len(), hash(values))
        }
        _ => values.iter().map(String::as_str).eq(expected.iter().copied()),
    };
    if matches {
        return Ok(());
    }
    let came = values.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(" ");
    let wanted = expected.iter().take(8).copied().collect::<Vec<_>>().join(" ");
    Err(("wrong".into(), format!("{} values came: {came} … wanted: {wanted}", values.len())))
}

fn hash(values: &[String]) -> String {
    let mut hasher = Md5::new();
    for value in values {
        hasher.update(value);
        hasher.update("\n");
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn values(rows: Rows<'_>, types: &str, sort: Sort) -> Result<Vec<String>, Error> {
    let mut written = Vec::new();
    for row in rows {
        let row = row?;
        let columns = types.chars().enumerate();
        written.push(
            columns.map(|(column, letter)| write(&row, column, letter)).collect::<Result<Vec<_>, _>>()?,
        );
    }
    if sort == Sort::Rows {
        written.sort_unstable();
    }
    let mut values: Vec<String> = written.into_iter().flatten().collect();
    if sort == Sort::Values {
        values.sort_unstable();
    }
    Ok(values)
}

/// A value as the corpus writes it under a type letter.
fn write(row: &Row, column: usize, letter: char) -> Result<String, Error> {
    let value = row.value(column)?;
    let integer = match &value {
        Value::Null => return Ok("NULL".into()),
        Value::Bool(value) if letter == 'I' => return Ok(i32::from(*value).to_string()),
        Value::Int2(value) => Some(i64::from(*value)),
        Value::Int4(value) => Some(i64::from(*value)),
        Value::Int8(value) => Some(*value),
        _ => None,
    };
    if let ('I', Some(integer)) = (letter, integer) {
        return Ok(integer.to_string());
    }
    let text = row.text(column)?.unwrap_or_default();
    Ok(match letter {
        'I' => text.parse::<f64>().map_or("0".into(), |number| format!("{}", number.trunc() as i128)),
        'R' => text.parse::<f64>().map_or("0.000".into(), |number| format!("{number:.3}")),
        _ if text.is_empty() => "(empty)".into(),
        _ => text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '@' }).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "hash-threshold 8\n\n# a comment\nstatement ok\nCREATE TABLE t (a)\n\nskipif postgresql\nquery I\nSELECT 0\n\
        ----\n0\n\nonlyif postgresql # why\nquery IR rowsort label-1\nSELECT a,\n b FROM t\n----\n1\n2.500\n\nonlyif mysql\nhalt\n\n\
        statement error\nSELECT nosuch\n\nhalt\n";

    #[test]
    fn records_for_us_are_read() {
        let (records, skipped) = parse(FILE);
        assert_eq!(skipped, 2);
        let lines: Vec<usize> = records.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [4, 14, 24, 27]);
        let sql = "SELECT a,\n b FROM t".to_owned();
        let expected = vec!["1", "2.500"];
        let query = Record::Query { types: "IR", sort: Sort::Rows, label: Some("label-1"), sql, expected };
        assert_eq!(records[1].1, query);
        assert_eq!(records[2].1, Record::Statement { fails: true, sql: "SELECT nosuch".into() });
        assert_eq!(records[3].1, Record::Halt);
    }

    #[test]
    fn results_are_compared_by_value_or_hash() {
        let values = ["1".to_owned(), "2".to_owned()];
        assert_eq!(compare(&values, &["1", "2"]), Ok(()));
        assert!(compare(&values, &["1"]).is_err());
        assert!(compare(&values, &["2", "1"]).is_err());
        // printf '1\n2\n' | md5sum
        assert_eq!(compare(&values, &["2 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e0"]), Ok(()));
        assert!(compare(&values, &["3 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e0"]).is_err());
    }
}
