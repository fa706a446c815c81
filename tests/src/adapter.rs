//! A connection as `sqllogictest` sees one, and how values, types and errors are written in `.slt` files.
//!
//! - NULL is `NULL`, the empty string `(empty)`; line feed, carriage return and tab are `\n`, `\r` and `\t`. The rest is
//!   PostgreSQL's text. Columns are separated by one blank and compared exactly (blanks at a line's end aside).
//! - Types are one letter a column ([`Letter`]) and compared exactly.
//! - An error reads `message at POSITION (SQLSTATE code)`, the position only where one is known.
//! - `__TEMP__` in a statement becomes the path of a directory that holds the `.csv` files beside the `.slt` file.

use orrerydb::{Connection, Error, Outcome, SqlType};
use sqllogictest::{ColumnType, DB, DBOutput, Normalizer};
use std::fmt;
use std::path::PathBuf;

/// A session under test.
pub struct TestSession {
    connection: Connection,
    temp: PathBuf,
}

impl TestSession {
    /// A session that finds its files in `temp`.
    pub fn new(connection: Connection, temp: PathBuf) -> Self {
        TestSession { connection, temp }
    }
}

impl DB for TestSession {
    type Error = StatementError;
    type ColumnType = Letter;

    fn run(&mut self, sql: &str) -> Result<DBOutput<Letter>, StatementError> {
        let sql = sql.replace("__TEMP__", &self.temp.to_string_lossy());
        run(&mut self.connection, &sql).map_err(StatementError)
    }

    fn engine_name(&self) -> &str {
        "orrery"
    }

    fn error_sql_state(error: &StatementError) -> Option<String> {
        Some(error.0.code().as_str().to_owned())
    }
}

fn run(connection: &mut Connection, sql: &str) -> Result<DBOutput<Letter>, Error> {
    let statement = connection.prepare(sql)?;
    match connection.execute_statement(&statement, &[])? {
        Outcome::Done(tag) => Ok(DBOutput::StatementComplete(tag.row_count.unwrap_or(0))),
        Outcome::Rows(rows) => {
            let types = rows.fields().iter().map(|field| Letter::of(field.ty)).collect();
            let mut shown = Vec::new();
            for row in rows {
                let row = row?;
                shown
                    .push((0..row.len()).map(|column| row.text(column).map(show)).collect::<Result<_, _>>()?);
            }
            Ok(DBOutput::Rows { types, rows: shown })
        }
    }
}

/// A value as the `.slt` files write it.
pub fn show(text: Option<String>) -> String {
    match text {
        None => "NULL".into(),
        Some(text) if text.is_empty() => "(empty)".into(),
        Some(text) => text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"),
    }
}

/// Compares rows exactly, blanks at the end of a line aside.
pub fn rows_match(_: Normalizer, actual: &[Vec<String>], expected: &[String]) -> bool {
    let lines = actual.iter().map(|row| row.join(" ").trim_end().to_owned());
    lines.eq(expected.iter().map(|line| line.trim_end().to_owned()))
}

/// Compares types letter by letter; `?` in the file fits anything.
#[allow(clippy::ptr_arg, reason = "the signature is the library's")]
pub fn types_match(actual: &Vec<Letter>, expected: &Vec<Letter>) -> bool {
    let fits = |(actual, expected): (&Letter, &Letter)| expected.0 == '?' || actual == expected;
    actual.len() == expected.len() && actual.iter().zip(expected).all(fits)
}

/// A column's type as one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter(char);

impl Letter {
    /// The letter of a type.
    pub fn of(ty: SqlType) -> Letter {
        Letter(match ty {
            SqlType::Bool => 'B',
            SqlType::Int2 => 'S',
            SqlType::Int4 => 'I',
            SqlType::Int8 | SqlType::Reg(_) => 'L',
            SqlType::Float4 => 'F',
            SqlType::Float8 => 'D',
            SqlType::Numeric | SqlType::Decimal { .. } => 'N',
            SqlType::Unknown | SqlType::Text | SqlType::Varchar(_) | SqlType::Name | SqlType::Char(_) => 'T',
            SqlType::QuotedChar => 'T',
            // Shown as texts.
            SqlType::Record(_) | SqlType::Enum(_) => 'T',
            SqlType::Time => 'C',
            SqlType::Json | SqlType::Jsonb => 'J',
            SqlType::Array(_) => 'R',
            SqlType::Bytea => 'X',
            SqlType::Date => 'A',
            SqlType::Timestamp => 'M',
            SqlType::Timestamptz => 'Z',
            SqlType::Uuid => 'U',
            SqlType::Interval => 'V',
            SqlType::Fitted(fitted) => return Letter::of(fitted.layout()),
        })
    }
}

impl ColumnType for Letter {
    fn from_char(letter: char) -> Option<Self> {
        "BSILFDNTXAMZUVCJR?".contains(letter).then_some(Letter(letter))
    }

    fn to_char(&self) -> char {
        self.0
    }
}

/// An error as the `.slt` files match it.
#[derive(Clone, Debug)]
pub struct StatementError(pub Error);

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.message())?;
        if let Some(position) = self.0.position() {
            write!(f, " at {position}")?;
        }
        write!(f, " (SQLSTATE {})", self.0.code())
    }
}

impl std::error::Error for StatementError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_exactly() {
        let normalizer: Normalizer = String::clone;
        let rows = |row: &[&str]| vec![row.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>()];
        let matches = |row: &[&str], line: &str| rows_match(normalizer, &rows(row), &[line.to_owned()]);
        assert!(matches(&["1", "a"], "1 a"));
        assert!(matches(&["1", "a "], "1 a"));
        assert!(!matches(&["1", "a"], "1  a"));
        assert!(!matches(&["1", "a"], "1"));
        assert!(!rows_match(normalizer, &rows(&["1"]), &[]));
    }

    #[test]
    fn types_are_compared_by_letter() {
        let letters = |text: &str| text.chars().filter_map(Letter::from_char).collect::<Vec<_>>();
        assert!(types_match(&letters("IL"), &letters("IL")));
        assert!(types_match(&letters("IL"), &letters("I?")));
        assert!(!types_match(&letters("IL"), &letters("II")));
        assert!(!types_match(&letters("I"), &letters("II")));
    }

    #[test]
    fn values_that_cannot_be_seen_are_spelled() {
        assert_eq!(show(None), "NULL");
        assert_eq!(show(Some(String::new())), "(empty)");
        assert_eq!(show(Some("a\tb\n".into())), "a\\tb\\n");
    }
}
