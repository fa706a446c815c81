//! The one place where the shell meets the database. Everything else in this package speaks of [`Session`].
//!
//! It deliberately holds no logic: it opens, passes statements on, and turns errors and values into text.

use std::sync::Arc;

use crate::error::{Result, ShellError, SqlError};
use crate::format::RowSink;

/// Stops the statement that runs; callable from another thread at any time.
pub type Canceller = Arc<dyn Fn() + Send + Sync>;

/// A row of an import: one text a column, `None` for NULL.
pub type ImportRow = Vec<Option<String>>;

/// An open session on a database.
pub trait Session {
    /// Runs one statement and hands its result to `sink`.
    ///
    /// # Errors
    /// What the statement or the output says; the session goes on.
    fn execute(&mut self, statement: &str, sink: &mut dyn RowSink) -> Result<()>;

    /// Loads rows into `columns` of `table` inside the transaction that is open, converting each text to the column's
    /// type; `next` gives rows until `None`. Answers how many.
    ///
    /// # Errors
    /// The first row that does not fit, or what `next` says.
    fn load(
        &mut self,
        table: &str,
        columns: &[String],
        next: &mut dyn FnMut() -> Result<Option<ImportRow>>,
    ) -> Result<u64>;

    /// What cancels the statement that runs.
    fn canceller(&self) -> Canceller;

    /// Ends the session and closes the database.
    ///
    /// # Errors
    /// What the last writes say.
    fn close(self: Box<Self>) -> Result<()>;
}

/// Opens the database at `path` (`:memory:` for one without a file), making it if it is not there and `create` is set.
///
/// # Errors
/// Not a database, damaged, in use by another process, or not there.
pub fn open(_path: &str, _create: bool) -> Result<Box<dyn Session>> {
    Err(unsupported("opening a database from the shell"))
}

/// Checks the whole database and answers one line a finding.
///
/// # Errors
/// When it cannot be opened at all.
pub fn check(_path: &str) -> Result<Vec<String>> {
    Err(unsupported("check"))
}

/// A key-value verb with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum KeyValueVerb {
    /// Store a value under a key
    Set {
        /// The key
        key: String,
        /// The value
        value: String,
    },
    /// Print the value of a key; status 1 if there is none
    Get {
        /// The key
        key: String,
    },
    /// Remove a key; status 1 if there is none
    Delete {
        /// The key
        key: String,
    },
    /// Say whether a key is there; status 1 if not
    Exists {
        /// The key
        key: String,
    },
    /// List keys and values in key order
    List {
        /// Only keys that begin with this
        #[arg(long, default_value = "")]
        prefix: String,
        /// At most so many
        #[arg(long)]
        limit: Option<u64>,
    },
}

/// What a key-value verb answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValueAnswer {
    /// Done, or there.
    Yes,
    /// Not there.
    No,
    /// A value.
    Value(Vec<u8>),
    /// Keys with their values.
    Entries(Vec<(Vec<u8>, Vec<u8>)>),
}

/// Runs a key-value verb in a transaction of its own.
///
/// # Errors
/// What the database says.
pub fn key_value(_path: &str, _verb: &KeyValueVerb) -> Result<KeyValueAnswer> {
    Err(unsupported("kv"))
}

/// What is not built yet is refused by name.
pub fn unsupported(what: &str) -> ShellError {
    let message = format!("{what} is not supported");
    ShellError::Sql(SqlError { code: "0A000".into(), message, ..SqlError::default() })
}
