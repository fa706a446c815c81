//! The one place where the shell meets the database. Everything else in this package speaks of [`Session`] (and
//! `describe` of the plain values that describe a table).
//!
//! It deliberately holds no logic: it opens, passes statements on, and turns errors and values into text.

use std::sync::Arc;

use orrerydb::{
    BackupSummary, CheckSummary, Connection, Database, Error, KeyValue, Options, Outcome, Rows,
    SalvageReport, SchemaScript, SqlType, TableDescription, Tag,
};

use crate::error::{Result, ShellError, SqlError};
use crate::format::{Column, Kind, RowSink};

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

    /// Runs `COPY … FROM stdin`; `next` gives the lines behind it, with their ends, until `None`. Answers how many rows came.
    ///
    /// # Errors
    /// The first row that does not fit, or what `next` says.
    fn copy_in(&mut self, statement: &str, next: &mut dyn FnMut() -> Result<Option<Vec<u8>>>) -> Result<u64>;

    /// The statements that make the schema anew, and how rows travel; of the snapshot of the transaction that is open.
    ///
    /// # Errors
    /// The transaction has failed.
    fn schema_script(&mut self) -> Result<SchemaScript>;

    /// Whether the database holds pairs of the key-value interface, too.
    ///
    /// # Errors
    /// What reading says.
    fn has_pairs(&mut self) -> Result<bool>;

    /// The tables, by name.
    ///
    /// # Errors
    /// The transaction has failed.
    fn describe(&mut self) -> Result<Vec<TableDescription>>;

    /// What cancels the statement that runs next, from now on.
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
pub fn open(path: &str, create: bool) -> Result<Box<dyn Session>> {
    open_with(path, &Options { create, ..Options::default() })
}

/// Opens the database at `path` as the words in `options` say, to read only if `read_only`, which goes beside whoever has
/// it open.
///
/// # Errors
/// As [`open`]; 22023 for a word that is no option.
pub fn open_as_told(path: &str, options: &[String], read_only: bool) -> Result<Box<dyn Session>> {
    let options: Options = options.join(" ").parse().map_err(from_database)?;
    match read_only {
        true => open_with(path, &Options { create: false, read_only, ..options }),
        false => open_with(path, &options),
    }
}

fn open_with(path: &str, options: &Options) -> Result<Box<dyn Session>> {
    let database = Database::open_with(path, options).map_err(from_database)?;
    let connection = database.connect();
    Ok(Box::new(Open { connection: Some(connection), database: Some(database) }))
}

/// A database with the shell's one connection to it.
struct Open {
    connection: Option<Connection>,
    database: Option<Database>,
}

impl Open {
    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("the connection lives as long as the session")
    }
}

impl Session for Open {
    fn execute(&mut self, statement: &str, sink: &mut dyn RowSink) -> Result<()> {
        let connection = self.connection();
        for statement in connection.parse(statement).map_err(from_database)? {
            if statement.is_copy_out() {
                let mut copy = connection.copy_statement_out(&statement).map_err(from_database)?;
                while let Some(bytes) = copy.read().map_err(from_database)? {
                    sink.data(&bytes).map_err(ShellError::io("output"))?;
                }
                continue;
            }
            match connection.execute_statement(&statement, &[]).map_err(from_database)? {
                Outcome::Done(tag) => done(&tag, sink)?,
                Outcome::Rows(rows) => show(rows, sink)?,
            }
        }
        Ok(())
    }

    fn load(
        &mut self,
        table: &str,
        columns: &[String],
        next: &mut dyn FnMut() -> Result<Option<ImportRow>>,
    ) -> Result<u64> {
        let names: Vec<String> =
            columns.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        let sql = format!("COPY {table} ({}) FROM STDIN WITH (FORMAT csv)", names.join(", "));
        let mut copy = self.connection().copy_in(&sql).map_err(from_database)?;
        let mut piece = String::new();
        while let Some(row) = next()? {
            push_csv(&mut piece, &row);
            if piece.len() >= COPY_PIECE_BYTES {
                copy.write(piece.as_bytes()).map_err(from_database)?;
                piece.clear();
            }
        }
        copy.write(piece.as_bytes()).map_err(from_database)?;
        copy.finish().map_err(from_database)
    }

    fn copy_in(&mut self, statement: &str, next: &mut dyn FnMut() -> Result<Option<Vec<u8>>>) -> Result<u64> {
        let mut copy = self.connection().copy_in(statement).map_err(from_database)?;
        let mut piece = Vec::new();
        while let Some(line) = next()? {
            piece.extend_from_slice(&line);
            if piece.len() >= COPY_PIECE_BYTES {
                copy.write(&piece).map_err(from_database)?;
                piece.clear();
            }
        }
        copy.write(&piece).map_err(from_database)?;
        copy.finish().map_err(from_database)
    }

    fn schema_script(&mut self) -> Result<SchemaScript> {
        self.connection().schema_script().map_err(from_database)
    }

    fn has_pairs(&mut self) -> Result<bool> {
        let database = self.database.as_ref().expect("the database lives as long as the session");
        Ok(!database.key_value().list(b"", 1).map_err(from_database)?.is_empty())
    }

    fn describe(&mut self) -> Result<Vec<TableDescription>> {
        self.connection().describe().map_err(from_database)
    }

    fn canceller(&self) -> Canceller {
        let connection = self.connection.as_ref().expect("the connection lives as long as the session");
        let handle = connection.interrupt_handle_for_next();
        Arc::new(move || handle.interrupt())
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.connection = None;
        match self.database.take() {
            Some(database) => database.close().map_err(from_database),
            None => Ok(()),
        }
    }
}

/// Bytes handed to COPY at once.
const COPY_PIECE_BYTES: usize = 256 << 10;

/// A row as a line of CSV: everything but NULL in quotes.
fn push_csv(into: &mut String, row: &[Option<String>]) {
    for (index, cell) in row.iter().enumerate() {
        if index > 0 {
            into.push(',');
        }
        if let Some(cell) = cell {
            into.push('"');
            into.push_str(&cell.replace('"', "\"\""));
            into.push('"');
        }
    }
    into.push('\n');
}

fn done(tag: &Tag, sink: &mut dyn RowSink) -> Result<()> {
    if let Some(notice) = &tag.notice {
        eprintln!("NOTICE:  {notice}");
    }
    let text = tag.to_string();
    if text.is_empty() { Ok(()) } else { sink.tag(&text).map_err(ShellError::io("output")) }
}

fn show(mut rows: Rows<'_>, sink: &mut dyn RowSink) -> Result<()> {
    let output = || ShellError::io("output");
    let columns: Vec<Column> =
        rows.fields().iter().map(|field| Column { name: field.name.clone(), kind: kind(field.ty) }).collect();
    // What fails before its first row shows nothing but the error.
    let mut next = rows.next().transpose().map_err(from_database)?;
    sink.begin(&columns).map_err(output())?;
    while let Some(row) = next {
        let cells = (0..row.len()).map(|column| row.text(column)).collect::<orrerydb::Result<Vec<_>>>();
        let cells = cells.map_err(from_database)?;
        let cells: Vec<Option<&str>> = cells.iter().map(Option::as_deref).collect();
        sink.row(&cells).map_err(output())?;
        next = rows.next().transpose().map_err(from_database)?;
    }
    sink.end().map_err(output())
}

fn kind(ty: SqlType) -> Kind {
    match ty {
        SqlType::Bool => Kind::Boolean,
        ty if ty.is_numeric() => Kind::Number,
        _ => Kind::Text,
    }
}

/// The database's error as the shell shows it.
fn from_database(error: Error) -> ShellError {
    ShellError::Sql(SqlError {
        code: error.code().to_string(),
        message: error.message().to_string(),
        position: error.position().map(|position| position as usize),
        detail: error.detail().map(str::to_string),
        hint: error.hint().map(str::to_string),
    })
}

/// Checks the whole database and answers what was walked, and one line a finding.
///
/// # Errors
/// When it cannot be opened at all.
pub fn check(path: &str) -> Result<(CheckSummary, Vec<String>)> {
    let options = Options { create: false, ..Options::default() };
    let database = Database::open_with(path, &options).map_err(from_database)?;
    let (summary, findings) = database.check().map_err(from_database)?;
    database.close().map_err(from_database)?;
    Ok((summary, findings.iter().map(ToString::to_string).collect()))
}

/// Copies the database at `path` into a new file at `target`, beside whoever has it open.
///
/// # Errors
/// Not a database, damaged, not there; a file at `target`.
pub fn backup(path: &str, target: &str) -> Result<BackupSummary> {
    Database::backup_file(path, target).map_err(from_database)
}

/// Writes what can be read of the damaged database at `path` into a new file at `target`.
///
/// # Errors
/// Not a database, nothing of it can be read, not there; a file at `target`.
pub fn salvage(path: &str, target: &str) -> Result<SalvageReport> {
    Database::salvage(path, target).map_err(from_database)
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

/// Runs a key-value verb in a transaction of its own. Only `set` makes a database that is not there.
///
/// # Errors
/// What the database says.
pub fn key_value(path: &str, verb: &KeyValueVerb) -> Result<KeyValueAnswer> {
    let create = matches!(verb, KeyValueVerb::Set { .. });
    let options = Options { create, ..Options::default() };
    let database = Database::open_with(path, &options).map_err(from_database)?;
    let answer = run_verb(&database.key_value(), verb).map_err(from_database)?;
    database.close().map_err(from_database)?;
    Ok(answer)
}

fn run_verb(pairs: &KeyValue, verb: &KeyValueVerb) -> orrerydb::Result<KeyValueAnswer> {
    let yes_or_no = |is_there| if is_there { KeyValueAnswer::Yes } else { KeyValueAnswer::No };
    Ok(match verb {
        KeyValueVerb::Set { key, value } => {
            pairs.set(key.as_bytes(), value.as_bytes())?;
            KeyValueAnswer::Yes
        }
        KeyValueVerb::Get { key } => {
            pairs.get(key.as_bytes())?.map_or(KeyValueAnswer::No, KeyValueAnswer::Value)
        }
        KeyValueVerb::Delete { key } => yes_or_no(pairs.delete(key.as_bytes())?),
        KeyValueVerb::Exists { key } => yes_or_no(pairs.exists(key.as_bytes())?),
        KeyValueVerb::List { prefix, limit } => {
            let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
            KeyValueAnswer::Entries(pairs.list(prefix.as_bytes(), limit)?)
        }
    })
}
