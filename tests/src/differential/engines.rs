//! Who answers: Orrery under a choice of settings, and SQLite in process.

use orrerydb::{Connection, Database, Error, Result, SqlType};

/// Rows as text, a line a row; or how the engine failed: the SQLSTATE (SQLite: its message).
pub type Answer = std::result::Result<Vec<String>, String>;

/// Settings of a session that must not change an answer.
pub const WAYS: [(&str, &str); 8] = [
    ("enable_hashjoin", "off"),
    ("enable_nestloop", "off"),
    ("enable_indexscan", "off"),
    ("enable_seqscan", "off"),
    ("enable_hashagg", "off"),
    ("enable_sort", "off"),
    ("orrery.decorrelate", "off"),
    ("work_mem", "64kB"),
];

/// An Orrery session.
pub struct Orrery(Connection);

impl Orrery {
    /// A session of `database`, with one setting if given.
    ///
    /// # Errors
    /// What SET says.
    pub fn new(database: &Database, way: Option<(&str, &str)>) -> Result<Self> {
        let mut connection = database.connect();
        if let Some((name, value)) = way {
            connection.set(name, value)?;
        }
        Ok(Orrery(connection))
    }

    /// Runs a statement without rows.
    ///
    /// # Errors
    /// What it raises.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        self.0.run(sql)
    }

    /// Runs a query.
    ///
    /// # Errors
    /// What it raises.
    pub fn rows(&mut self, sql: &str) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let rows = self.0.query(sql, &[])?;
        let types: Vec<SqlType> = rows.fields().iter().map(|field| field.ty).collect();
        for row in rows {
            let row = row?;
            let value = |column: usize| -> Result<String> {
                let text: Option<String> = row.text(column)?;
                Ok(match (text, types[column]) {
                    (None, _) => "NULL".to_owned(),
                    (Some(text), SqlType::Float4 | SqlType::Float8 | SqlType::Numeric) => number(&text),
                    (Some(text), _) => text,
                })
            };
            lines.push((0..row.len()).map(value).collect::<Result<Vec<_>>>()?.join("|"));
        }
        Ok(lines)
    }

    /// Runs a query; a failure is its SQLSTATE.
    pub fn answer(&mut self, sql: &str) -> Answer {
        self.rows(sql).map_err(|error: Error| format!("{} {}", error.code(), error.message()))
    }
}

fn number(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_owned(), |value| value.to_string())
}

/// SQLite in memory.
#[cfg(feature = "sqlite")]
pub struct Sqlite(rusqlite::Connection);

#[cfg(feature = "sqlite")]
impl Sqlite {
    /// An empty database in which LIKE minds the case, as PostgreSQL's does.
    ///
    /// # Errors
    /// SQLite's.
    pub fn new() -> rusqlite::Result<Self> {
        let connection = rusqlite::Connection::open_in_memory()?;
        connection.execute_batch("PRAGMA case_sensitive_like = ON")?;
        Ok(Sqlite(connection))
    }

    /// Runs statements without rows.
    ///
    /// # Errors
    /// SQLite's.
    pub fn run(&mut self, sql: &str) -> rusqlite::Result<()> {
        self.0.execute_batch(sql)
    }

    /// Runs a query; a failure is SQLite's message.
    pub fn answer(&mut self, sql: &str) -> Answer {
        self.rows(sql).map_err(|error| error.to_string())
    }

    fn rows(&mut self, sql: &str) -> rusqlite::Result<Vec<String>> {
        use rusqlite::types::ValueRef;
        let mut statement = self.0.prepare(sql)?;
        let count = statement.column_count();
        let mut rows = statement.query([])?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            let value = |column: usize| -> rusqlite::Result<String> {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => "NULL".to_owned(),
                    ValueRef::Integer(value) => value.to_string(),
                    ValueRef::Real(value) => value.to_string(),
                    ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
                })
            };
            lines.push((0..count).map(value).collect::<rusqlite::Result<Vec<_>>>()?.join("|"));
        }
        Ok(lines)
    }
}
