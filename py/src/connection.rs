//! `connect` and connections.

use crate::cursor::Cursor;
use crate::error;
use crate::key_value::KeyValue;
use crate::{arrow, value};
use orrerydb::{Database, Options, SqlState, Statement, Value};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyString};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How often a statement that runs looks for Ctrl-C.
const SIGNAL_CHECK_MILLIS: u64 = 50;
/// Texts whose statements a connection keeps at hand.
const STATEMENT_COUNT_MAX: usize = 64;
/// Rows of parameters taken from Python at once.
const CHUNK_ROW_COUNT: usize = 1024;

/// What a signal handler raised while a statement ran.
pub(crate) type Raised = Arc<Mutex<Option<PyErr>>>;

/// A connection: one transaction at a time. Threads may share it; each call waits for the one before.
///
/// >>> import orrerydb
/// >>> con = orrerydb.connect()
/// >>> con.execute("select 40 + ?", (2,)).fetchone()
/// (42,)
#[pyclass(frozen, weakref, module = "orrerydb")]
pub(crate) struct Connection {
    inner: Mutex<Inner>,
    /// The thread that has `inner`; 0: none.
    user: AtomicUsize,
    interrupt: orrerydb::Interrupt,
    raised: Raised,
}

pub(crate) struct Inner {
    open: Option<Open>,
    pub(crate) row_factory: Option<Py<PyAny>>,
}

/// What `close` takes away.
pub(crate) struct Open {
    pub(crate) connection: orrerydb::Connection,
    database: Database,
    owns_database: bool,
    statements: Vec<(Py<PyString>, Statement)>,
    next: usize,
    pub(crate) params: Vec<Value>,
}

/// Opens a database: a file, made when it is absent, or `:memory:`.
///
/// `autocommit`: each statement commits by itself. Off, as DB-API wants it, the first statement begins a transaction, which
/// `commit` or `rollback` ends. `seed` and `now` (microseconds since 1970) make a run that comes out the same everywhere.
///
/// >>> con = orrerydb.connect("shop.orrery")    # doctest: +SKIP
#[pyfunction]
#[pyo3(signature = (database=None, *, autocommit=false, create=true, durability="full", seed=None, now=None))]
pub(crate) fn connect(
    py: Python<'_>,
    database: Option<PathBuf>,
    autocommit: bool,
    create: bool,
    durability: &str,
    seed: Option<u64>,
    now: Option<u64>,
) -> PyResult<Connection> {
    let path = database.unwrap_or_else(|| PathBuf::from(":memory:"));
    let opened = py.detach(|| {
        let options: Options = format!("durability={durability}").parse()?;
        Database::open_with(path, &Options { create, seed, now, ..options })
    });
    let database = opened.map_err(|error| error::raise(py, &error))?;
    Ok(Connection::new(database, autocommit, true))
}

impl Connection {
    fn new(database: Database, autocommit: bool, owns_database: bool) -> Connection {
        let mut connection = database.connect();
        connection.set_autocommit(autocommit);
        let raised = Raised::default();
        let watch = raised.clone();
        let look = move |_| {
            Python::attach(|py| match py.check_signals() {
                Ok(()) => true,
                Err(error) => {
                    *watch.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                    false
                }
            })
        };
        connection.on_progress(Duration::from_millis(SIGNAL_CHECK_MILLIS), Some(Arc::new(look)));
        let interrupt = connection.interrupt_handle();
        let open =
            Open { connection, database, owns_database, statements: Vec::new(), next: 0, params: Vec::new() };
        let inner = Mutex::new(Inner { open: Some(open), row_factory: None });
        Connection { inner, user: AtomicUsize::new(0), interrupt, raised }
    }

    /// The inside; others' calls are waited for with the interpreter let go (Y2). Errors: 55006 within a call of the same thread,
    /// as from a generator that gives its rows: that would wait for itself.
    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<Locked<'_>> {
        let thread = this_thread();
        if self.user.load(Ordering::Relaxed) == thread {
            let message = "the connection is in use: what gives parameters cannot run statements on it";
            return Err(error::misuse(py, SqlState::OBJECT_IN_USE, message));
        }
        let inner = self.inner.lock_py_attached(py).unwrap_or_else(std::sync::PoisonError::into_inner);
        self.user.store(thread, Ordering::Relaxed);
        Ok(Locked { inner, user: &self.user })
    }

    /// The exception for an error; what a signal handler raised comes before it.
    pub(crate) fn raise(&self, py: Python<'_>, error: &orrerydb::Error) -> PyErr {
        raised(&self.raised).unwrap_or_else(|| error::raise(py, error))
    }

    pub(crate) fn raised(&self) -> &Raised {
        &self.raised
    }

    /// Runs something with the interpreter let go.
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut orrerydb::Connection) -> orrerydb::Result<T> + Send,
    ) -> PyResult<T> {
        let mut inner = self.lock(py)?;
        let connection = &mut inner.open(py)?.connection;
        let done = py.detach(|| work(connection));
        done.map_err(|error| self.raise(py, &error))
    }
}

/// The inside of a connection, as long as this lives.
pub(crate) struct Locked<'c> {
    inner: MutexGuard<'c, Inner>,
    user: &'c AtomicUsize,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.user.store(0, Ordering::Relaxed);
    }
}

impl std::ops::Deref for Locked<'_> {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

/// A number that no other living thread has; never 0.
fn this_thread() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

/// Takes what a signal handler raised.
pub(crate) fn raised(raised: &Raised) -> Option<PyErr> {
    raised.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
}

impl Inner {
    pub(crate) fn open(&mut self, py: Python<'_>) -> PyResult<&mut Open> {
        let closed = || error::misuse(py, SqlState::CONNECTION_EXCEPTION, "the connection is closed");
        self.open.as_mut().ok_or_else(closed)
    }
}

impl Open {
    /// The statement of a text; texts used lately are known by their object.
    pub(crate) fn statement(&mut self, sql: &Bound<'_, PyString>) -> PyResult<orrerydb::Result<Statement>> {
        if let Some((_, statement)) = self.statements.iter().find(|(text, _)| text.is(sql)) {
            return Ok(Ok(statement.clone()));
        }
        let statement = match self.connection.prepare(sql.to_str()?) {
            Ok(statement) => statement,
            Err(error) => return Ok(Err(error)),
        };
        let entry = (sql.clone().unbind(), statement.clone());
        if self.statements.len() < STATEMENT_COUNT_MAX {
            self.statements.push(entry);
        } else {
            self.statements[self.next] = entry;
            self.next = (self.next + 1) % STATEMENT_COUNT_MAX;
        }
        Ok(Ok(statement))
    }
}

#[pymethods]
impl Connection {
    /// A new cursor.
    fn cursor(slf: Bound<'_, Self>) -> Cursor {
        Cursor::new(slf.unbind())
    }

    /// Runs a statement on a new cursor, and gives the cursor.
    #[pyo3(signature = (operation, parameters=None))]
    fn execute<'py>(
        slf: Bound<'py, Self>,
        operation: &Bound<'py, PyString>,
        parameters: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Cursor> {
        let py = slf.py();
        let mut cursor = Cursor::new(slf.unbind());
        cursor.run(py, operation, parameters)?;
        Ok(cursor)
    }

    /// Runs a statement once for each row of parameters, as one transaction; gives the cursor.
    fn executemany<'py>(
        slf: Bound<'py, Self>,
        operation: &Bound<'py, PyString>,
        seq_of_parameters: &Bound<'py, PyAny>,
    ) -> PyResult<Cursor> {
        let py = slf.py();
        let mut cursor = Cursor::new(slf.unbind());
        cursor.run_many(py, operation, seq_of_parameters)?;
        Ok(cursor)
    }

    /// Runs a text of any number of statements; rows are thrown away.
    fn executescript(&self, py: Python<'_>, script: &str) -> PyResult<()> {
        self.run(py, |connection| connection.run(script))
    }

    /// Begins a transaction (with `autocommit`; without, the first statement does).
    fn begin(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, |connection| connection.execute("begin", &[]).map(drop))
    }

    /// Commits the open transaction; without one, nothing.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, orrerydb::Connection::commit)
    }

    /// Rolls the open transaction back; without one, nothing.
    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, orrerydb::Connection::rollback)
    }

    /// Closes it; an open transaction is rolled back. The first connection of a database closes the database.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(open) = self.lock(py)?.open.take() else { return Ok(()) };
        let closed = py.detach(|| {
            let Open { mut connection, database, owns_database, .. } = open;
            connection.rollback()?;
            drop(connection);
            if owns_database { database.close() } else { Ok(()) }
        });
        closed.map_err(|error| self.raise(py, &error))
    }

    /// Another connection to the same database, for another thread or transaction.
    #[pyo3(signature = (*, autocommit=None))]
    fn connect(&self, py: Python<'_>, autocommit: Option<bool>) -> PyResult<Connection> {
        let mut inner = self.lock(py)?;
        let open = inner.open(py)?;
        let autocommit = autocommit.unwrap_or_else(|| open.connection.autocommit());
        Ok(Connection::new(open.database.clone(), autocommit, false))
    }

    /// Cancels the statement that runs (57014), from any thread.
    fn interrupt(&self) {
        self.interrupt.interrupt();
    }

    /// Whether each statement commits by itself.
    #[getter]
    fn autocommit(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.open(py)?.connection.autocommit())
    }

    #[setter]
    fn set_autocommit(&self, py: Python<'_>, autocommit: bool) -> PyResult<()> {
        self.lock(py)?.open(py)?.connection.set_autocommit(autocommit);
        Ok(())
    }

    /// Whether a transaction is open.
    #[getter]
    fn in_transaction(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.open(py)?.connection.transaction_status().is_some())
    }

    /// Called with the cursor and each row as a tuple; what it gives takes the row's place. New cursors take it over.
    #[getter]
    fn row_factory(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.lock(py)?.row_factory.as_ref().map(|factory| factory.clone_ref(py)))
    }

    #[setter]
    fn set_row_factory(&self, py: Python<'_>, factory: Option<Py<PyAny>>) -> PyResult<()> {
        self.lock(py)?.row_factory = factory;
        Ok(())
    }

    /// A setting's value.
    fn show(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        self.run(py, |connection| connection.show(name))
    }

    /// Changes a setting of the session: `con.set("statement_timeout", "2s")`.
    fn set(&self, py: Python<'_>, name: &str, value: &str) -> PyResult<()> {
        self.run(py, |connection| connection.set(name, value))
    }

    /// Inserts the rows of anything with the Arrow stream protocol (pyarrow, pandas, polars, duckdb) into a table, by column
    /// name, in one transaction; answers how many.
    fn insert_arrow(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let reader = arrow::import(data)?;
        self.run(py, |connection| connection.insert_arrow(table, reader))
    }

    /// Makes a table `name` of the columns of anything with the Arrow stream protocol, and fills it; answers how many rows.
    fn register(&self, py: Python<'_>, name: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let reader = arrow::import(data)?;
        self.run(py, |connection| connection.create_from_arrow(name, reader))
    }

    /// The tables by name: for each, its columns as (name, type, may be null, default or None, is in the primary key).
    fn describe<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tables = PyDict::new(py);
        for table in self.run(py, |connection| connection.describe())? {
            let key = table.indexes.iter().find(|index| index.is_primary);
            let column = |column: &orrerydb::ColumnDescription| {
                let is_key = key.is_some_and(|key| key.columns.iter().any(|(name, _)| *name == column.name));
                (column.name.clone(), column.ty.to_string(), !column.not_null, column.default.clone(), is_key)
            };
            tables.set_item(&table.name, table.columns.iter().map(column).collect::<Vec<_>>())?;
        }
        Ok(tables)
    }

    /// The key-value interface of the same database.
    fn key_value(&self, py: Python<'_>) -> PyResult<KeyValue> {
        Ok(KeyValue::new(self.lock(py)?.open(py)?.database.key_value()))
    }

    /// Folds what is in memory into the file.
    fn checkpoint(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, |connection| connection.execute("checkpoint", &[]).map(drop))
    }

    /// A hash of the database's logical state: keys and values in order. Reads everything.
    fn state_hash(&self, py: Python<'_>) -> PyResult<u64> {
        let database = self.lock(py)?.open(py)?.database.clone();
        py.detach(|| database.state_hash()).map_err(|error| self.raise(py, &error))
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Commits, or rolls back after an exception. The connection stays open.
    fn __exit__(
        &self,
        py: Python<'_>,
        exception: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        if exception.is_none() {
            self.commit(py)?
        } else {
            self.rollback(py)?
        }
        Ok(false)
    }
}

/// Runs a statement over the rows of an iterable, taken a chunk at a time.
pub(crate) fn execute_many(
    connection: &Connection,
    py: Python<'_>,
    sql: &Bound<'_, PyString>,
    rows: &Bound<'_, PyAny>,
) -> PyResult<u64> {
    let rows = rows.try_iter()?.unbind();
    let mut inner = connection.lock(py)?;
    let open = inner.open(py)?;
    let statement = open.statement(sql)?.map_err(|error| connection.raise(py, &error))?;
    let mut failed = None;
    let mut chunk = Chunk { rows: rows.into_any(), values: Vec::new(), lengths: Vec::new(), next: 0, at: 0 };
    let done = py.detach(|| {
        open.connection.execute_many(&statement, &mut |row| {
            chunk.next_row(row).map_err(|error| {
                failed = Some(error);
                orrerydb::Error::new(SqlState::DATA_EXCEPTION, "a row of parameters could not be read")
            })
        })
    });
    done.map_err(|error| failed.unwrap_or_else(|| connection.raise(py, &error)))
}

/// Rows of parameters on their way.
struct Chunk {
    rows: Py<PyAny>,
    values: Vec<Value>,
    lengths: Vec<usize>,
    /// Which row is next.
    next: usize,
    /// Where its values begin.
    at: usize,
}

impl Chunk {
    fn next_row(&mut self, row: &mut Vec<Value>) -> PyResult<bool> {
        if self.next == self.lengths.len() {
            Python::attach(|py| self.fill(py))?;
        }
        let Some(&length) = self.lengths.get(self.next) else { return Ok(false) };
        let values = &mut self.values[self.at..self.at + length];
        row.extend(values.iter_mut().map(|value| std::mem::replace(value, Value::Null)));
        self.at += length;
        self.next += 1;
        Ok(true)
    }

    fn fill(&mut self, py: Python<'_>) -> PyResult<()> {
        self.values.clear();
        self.lengths.clear();
        (self.next, self.at) = (0, 0);
        let mut rows = self.rows.bind(py).try_iter()?;
        while self.lengths.len() < CHUNK_ROW_COUNT {
            let Some(row) = rows.next() else { break };
            let before = self.values.len();
            value::push_params(&row?, &mut self.values)?;
            self.lengths.push(self.values.len() - before);
        }
        py.check_signals()
    }
}
