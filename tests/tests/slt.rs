//! Runs every `.slt` file in a fresh database: one test a file and driver, named `driver::topic/file`.
//!
//! 1. A file goes on after a failing record; the test lists all of them.
//! 2. After the file, `check` must find nothing.
//! 3. Under the nasty drivers only the topics that write run, whose point is the store, and those that wait in unusual places.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use libtest_mimic::{Arguments, Failed, Trial};
use orrery_tests::adapter::{self, Letter, TestSession};
use orrery_tests::databases::{ALL, Under};
use sqllogictest::{Record, Runner};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const NASTY_TOPICS: [&str; 8] =
    ["constraints", "copy", "ddl", "dml", "joins", "limits", "subqueries", "transactions"];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(files.len() > 20, "the corpus is at {}", root.display());
    let mut trials = Vec::new();
    for under in ALL {
        for file in &files {
            let name = file.strip_prefix(&root).expect("it was found there").with_extension("");
            let topic = name.iter().next().and_then(|topic| topic.to_str()).unwrap_or("");
            if matches!(under, Under::Memory | Under::File) || NASTY_TOPICS.contains(&topic) {
                let (file, name) = (file.clone(), format!("{}::{}", under.name(), name.display()));
                trials.push(Trial::test(name, move || run(&file, under)));
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the corpus can be read") {
        let path = entry.expect("the corpus can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
}

fn run(file: &Path, under: Under) -> Result<(), Failed> {
    let temp = tempfile::tempdir()?;
    copy_tables(file, temp.path())?;
    let database = under.open(temp.path()).map_err(|error| format!("open: {error}"))?;
    let records: Vec<Record<Letter>> = sqllogictest::parse_file(file).map_err(|error| error.to_string())?;
    let mut runner = Runner::new(|| async {
        Ok::<_, adapter::StatementError>(TestSession::new(database.connect(), temp.path().to_owned()))
    });
    runner.with_validator(adapter::rows_match);
    runner.with_column_validator(adapter::types_match);
    let (mut failures, mut failure_count, mut record_count) = (String::new(), 0, 0);
    for record in records {
        if matches!(record, Record::Halt { .. }) {
            break;
        }
        record_count += usize::from(matches!(record, Record::Statement { .. } | Record::Query { .. }));
        if let Err(error) = runner.run(record) {
            failure_count += 1;
            writeln!(failures, "{error}").expect("writing to a string");
        }
    }
    drop(runner);
    let (_, findings) = database.check().map_err(|error| format!("check: {error}"))?;
    if !findings.is_empty() {
        writeln!(failures, "check found {findings:?}").expect("writing to a string");
    }
    database.close().map_err(|error| format!("close: {error}"))?;
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!("{failure_count} of {record_count} records failed\n{failures}").into())
}

/// COPY reads them from there.
fn copy_tables(file: &Path, temp: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(file.parent().expect("a file lies in a directory"))? {
        let path = entry?.path();
        if let (Some(name), true) =
            (path.file_name(), path.extension().is_some_and(|extension| extension == "csv"))
        {
            std::fs::copy(&path, temp.join(name))?;
        }
    }
    Ok(())
}
