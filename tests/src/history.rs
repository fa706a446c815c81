//! What the crash and damage tests write, and what they expect back.
//!
//! The history of a writer: transactions 1, 2, 3, …; number `n` inserts `(writer, n, tag, text of n)` into `history` and into
//! `mirror`. So after any crash:
//! 1. what a writer left is 1..=k without a gap;
//! 2. both tables hold the same;
//! 3. k is the number of the last acknowledged transaction, or one more.

use orrerydb::{Connection, Database, Error, Result, Value};
use std::sync::Arc;

/// Makes the tables.
///
/// # Errors
/// What the statements say.
pub fn create(connection: &mut Connection) -> Result<()> {
    connection.run(
        "create table history (writer integer, n integer, tag text, body text not null, primary key (writer, n));
         create unique index history_tag on history (tag);
         create table mirror (writer integer, n integer, tag text, body text not null, primary key (writer, n))",
    )
}

/// The text of transaction `n`: its length differs, now and then it fills pages.
pub fn body(writer: i32, n: i32) -> String {
    let len = if n % 50 == 0 { 20_000 } else { 20 + (n as usize * 37) % 300 };
    format!("{writer}:{n}:").repeat(len / 4 + 1)
}

/// Runs transaction `n` and answers when it is acknowledged.
///
/// # Errors
/// What the statements say.
pub fn write(connection: &mut Connection, writer: i32, n: i32) -> Result<()> {
    let row = [
        Value::Int4(writer),
        Value::Int4(n),
        Value::Text(tag(writer, n)),
        Value::Text(body(writer, n).into()),
    ];
    connection.transaction(|transaction| {
        for table in ["history", "mirror"] {
            transaction.execute(&format!("insert into {table} values ($1, $2, $3, $4)"), &row)?;
        }
        Ok(())
    })
}

fn tag(writer: i32, n: i32) -> Arc<str> {
    format!("{}-{writer}", n.wrapping_mul(7919) % 10_007).into()
}

/// How a history can be wrong.
#[derive(Debug)]
pub enum Verdict {
    /// A statement failed.
    Refused(Error),
    /// The database answered, and the answer is not the history.
    Wrong(String),
}

impl From<Error> for Verdict {
    fn from(error: Error) -> Self {
        Verdict::Refused(error)
    }
}

/// Reads both tables and holds them to the rules of the module's head; answers `k`.
///
/// # Errors
/// See [`Verdict`].
pub fn read(database: &Database, writer: i32) -> std::result::Result<i32, Verdict> {
    let mut connection = database.connect();
    let mut counts = Vec::new();
    for table in ["history", "mirror"] {
        let sql = format!("select n, body from {table} where writer = $1 order by n");
        let mut k = 0;
        for row in connection.query(&sql, &[Value::Int4(writer)])? {
            let row = row?;
            let (n, text): (i32, String) = (row.get(0)?, row.get(1)?);
            k += 1;
            if n != k {
                return Err(Verdict::Wrong(format!("{table} of writer {writer}: {n} follows {}", k - 1)));
            }
            if text != body(writer, n) {
                return Err(Verdict::Wrong(format!(
                    "{table} of writer {writer}: the text of {n} is another"
                )));
            }
        }
        counts.push(k);
    }
    if counts[0] != counts[1] {
        return Err(Verdict::Wrong(format!(
            "writer {writer}: {} in history, {} in mirror",
            counts[0], counts[1]
        )));
    }
    through_the_index(&mut connection, writer, counts[0])?;
    Ok(counts[0])
}

/// Every tenth row by the secondary index.
fn through_the_index(connection: &mut Connection, writer: i32, k: i32) -> std::result::Result<(), Verdict> {
    for n in (1..=k).step_by(10) {
        let found =
            connection.query("select n from history where tag = $1", &[Value::Text(tag(writer, n))])?;
        let found = found.map(|row| row?.get(0)).collect::<Result<Vec<i32>>>()?;
        if found != [n] {
            return Err(Verdict::Wrong(format!("writer {writer}: the index finds {found:?} for {n}")));
        }
    }
    Ok(())
}
