//! What is done with damaged files: open, check, read every way, write, checkpoint, close; and how errors are judged.

use crate::Tally;
use crate::disk::{BoundedDisk, Files};
use crate::image::options;
use orrery_base::hash::hash64;
use orrerydb::{Connection, Database, Error};
use std::collections::BTreeMap;
use std::sync::Arc;

/// By query, a hash of its rows.
pub type Answers = BTreeMap<&'static str, u64>;

/// Scans, lookups through each index, long values, what the catalog makes of views and enums.
const QUERIES: [&str; 10] = [
    "select * from people order by id",
    "select count(*), sum(score), max(born) from people",
    "select * from people where name = 'name 13' order by id",
    "select id from people where score = 20 and id > 100 order by id",
    "select * from people where id = 700",
    "select id, person, length(body), md5(raw) from notes order by id",
    "select body from notes where id in (1, 2, 701, 706) order by id",
    "select count(*), min(twice) from happy",
    "select * from wide order by k",
    "select p.id, n.id from people p join notes n on n.person = p.id where p.id < 50 order by 1, 2",
];

const CHANGES: [&str; 4] = [
    "insert into people (id, name, m) values (9001, 'afterwards', 'ok')",
    "update people set score = score + 1 where id between 100 and 200",
    "delete from people where id in (3, 400, 1400)",
    "create index afterwards on wide (a)",
];

/// An error that is no answer is a finding; any other is counted.
///
/// # Errors
/// A finding.
pub fn judge(what: &str, error: &Error, seen: &mut Tally) -> Result<(), String> {
    let code = error.code().as_str().to_owned();
    if code == "XX000" {
        return Err(format!("{what}: {error} ({code})"));
    }
    *seen.entry(format!("{what}: {code}")).or_default() += 1;
    Ok(())
}

/// The answers of a database that nobody changed.
///
/// # Errors
/// It is refused, or the check finds something.
pub fn read(files: &Files) -> Result<Answers, String> {
    let mut seen = Tally::new();
    let answers = visit(files, None, &mut seen)?;
    match answers.len() == QUERIES.len() && seen.keys().all(|it| it == "opened" || it == "clean") {
        true => Ok(answers),
        false => Err(format!("an unchanged database: {seen:?}")),
    }
}

/// Does everything. `expected`: the right answers, where only those may come.
///
/// # Errors
/// A finding.
pub fn visit(files: &Files, expected: Option<&Answers>, seen: &mut Tally) -> Result<Answers, String> {
    let mut answers = Answers::new();
    let disk = Arc::new(BoundedDisk::with(files));
    let db = match Database::with_driver(disk, &options()) {
        Ok(db) => db,
        Err(error) => return judge("open", &error, seen).map(|()| answers),
    };
    *seen.entry("opened".into()).or_default() += 1;
    let mut connection = db.connect();
    for query in QUERIES {
        match rows(&mut connection, query) {
            Ok(hash) => {
                if expected.is_some_and(|it| it.get(query) != Some(&hash)) {
                    return Err(format!("another answer: {query}"));
                }
                answers.insert(query, hash);
            }
            Err(error) => judge("read", &error, seen)?,
        }
    }
    match db.check() {
        Ok((_, findings)) => {
            let what = if findings.is_empty() { "clean" } else { "found by the check" };
            *seen.entry(what.into()).or_default() += 1;
        }
        Err(error) => judge("check", &error, seen)?,
    }
    if let Err(error) = db.key_value().list(b"key/0", 1000) {
        judge("pairs", &error, seen)?;
    }
    for change in CHANGES {
        if let Err(error) = connection.execute(change, &[]) {
            judge("write", &error, seen)?;
        }
    }
    if let Err(error) = db.checkpoint() {
        judge("checkpoint", &error, seen)?;
    }
    drop(connection);
    if let Err(error) = db.close() {
        judge("close", &error, seen)?;
    }
    Ok(answers)
}

fn rows(connection: &mut Connection, query: &str) -> Result<u64, Error> {
    let mut hash = 0;
    for row in connection.query(query, &[])? {
        let row = row?;
        for column in 0..row.len() {
            let text = row.text(column)?;
            hash = hash64(hash, text.as_deref().unwrap_or("\0null").as_bytes());
        }
        hash = hash64(hash, b"\0end of row");
    }
    Ok(hash)
}
