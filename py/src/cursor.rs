//! Cursors: running a statement and taking its rows.

use crate::connection::{Connection, execute_many, raised};
use crate::error;
use crate::rows::Columns;
use crate::{arrow, value};
use orrerydb::{Answer, ArrowReader, Field, RowStream, SqlState, Statement, Value, ValueRef};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList, PyString, PyTuple};

/// A cursor. Its rows come as they are asked for: a result of any size takes the memory of a batch.
///
/// >>> import orrerydb
/// >>> cur = orrerydb.connect().cursor()
/// >>> for n, square in cur.execute("select n, n * n from generate_series(1, 3) as s(n)"):
/// ...     print(n, square)
/// 1 1
/// 2 4
/// 3 9
#[pyclass(weakref, module = "orrerydb")]
pub(crate) struct Cursor {
    connection: Py<Connection>,
    result: Outcome,
    statement: Option<Statement>,
    closed: bool,
    /// Rows changed, or -1.
    #[pyo3(get)]
    rowcount: i64,
    /// How many rows `fetchmany` gives.
    #[pyo3(get, set)]
    arraysize: usize,
    /// See `Connection.row_factory`.
    #[pyo3(get, set)]
    row_factory: Option<Py<PyAny>>,
}

/// What the statement gave.
enum Outcome {
    /// No rows: nothing was run, or it gives none.
    Nothing,
    /// The row of a point query, or what is left of it.
    Point(Option<Vec<Value>>),
    /// Rows under way.
    Stream(Box<Stream>),
}

struct Stream {
    rows: RowStream,
    columns: Columns,
    next: usize,
}

impl Cursor {
    pub(crate) fn new(connection: Py<Connection>) -> Cursor {
        Cursor {
            connection,
            result: Outcome::Nothing,
            statement: None,
            closed: false,
            rowcount: -1,
            arraysize: 1,
            row_factory: None,
        }
    }

    fn begin(&mut self, py: Python<'_>) -> PyResult<()> {
        if self.closed {
            return Err(error::misuse(py, SqlState::INVALID_CURSOR_STATE, "the cursor is closed"));
        }
        self.result = Outcome::Nothing;
        self.rowcount = -1;
        Ok(())
    }

    pub(crate) fn run(
        &mut self,
        py: Python<'_>,
        sql: &Bound<'_, PyString>,
        params: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.begin(py)?;
        let shared = self.connection.clone_ref(py);
        let shared = shared.get();
        let mut inner = shared.lock(py)?;
        if self.row_factory.is_none() {
            self.row_factory = inner.row_factory.as_ref().map(|factory| factory.clone_ref(py));
        }
        let open = inner.open(py)?;
        let statement = open.statement(sql)?.map_err(|error| shared.raise(py, &error))?;
        open.params.clear();
        if let Some(params) = params {
            value::push_params(params, &mut open.params)?;
        }
        let mut found = Ok(None);
        let point = open.connection.try_point(&statement, &open.params, &mut |row| {
            found = (0..row.len()).map(|column| row.value(column)).collect::<orrerydb::Result<_>>().map(Some);
        });
        if let Some(row_count) = point {
            if statement.is_query() {
                self.result = Outcome::Point(found.map_err(|error| error::raise(py, &error))?);
            }
            self.rowcount = i64::try_from(row_count).unwrap_or(i64::MAX);
            self.statement = Some(statement);
            return Ok(());
        }
        let answer = py.detach(|| open.connection.answer(&statement, &open.params));
        match answer.map_err(|error| shared.raise(py, &error))? {
            Answer::Done(tag) => {
                self.rowcount = tag.row_count.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX));
            }
            Answer::Rows(rows) => {
                let columns = Columns::none();
                self.result = Outcome::Stream(Box::new(Stream { rows, columns, next: 0 }));
            }
        }
        self.statement = Some(statement);
        Ok(())
    }

    pub(crate) fn run_many(
        &mut self,
        py: Python<'_>,
        sql: &Bound<'_, PyString>,
        rows: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.begin(py)?;
        let row_count = execute_many(self.connection.get(), py, sql, rows)?;
        self.rowcount = i64::try_from(row_count).unwrap_or(i64::MAX);
        Ok(())
    }

    /// Appends rows to a list until there are `limit` or no more.
    fn take<'py>(slf: &Bound<'py, Self>, into: &Bound<'py, PyList>, limit: usize) -> PyResult<()> {
        let py = slf.py();
        let mut cursor = slf.borrow_mut();
        let Some(factory) = cursor.row_factory.as_ref().map(|factory| factory.clone_ref(py)) else {
            for _ in 0..limit {
                let Some(row) = cursor.next_row(py)? else { break };
                into.append(row)?;
            }
            return Ok(());
        };
        // The factory may look at the cursor, so nothing is borrowed while it runs.
        drop(cursor);
        for _ in 0..limit {
            let Some(row) = slf.borrow_mut().next_row(py)? else { break };
            into.append(factory.bind(py).call1((slf, row))?)?;
        }
        Ok(())
    }

    fn next_row<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let stream = match &mut self.result {
            Outcome::Nothing => return Err(self.no_rows(py)),
            Outcome::Point(row) => {
                let Some(row) = row.take() else { return Ok(None) };
                let values = row.iter().map(|value| value::to_python(py, ValueRef::from(value)));
                return PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?).map(Some);
            }
            Outcome::Stream(stream) => stream,
        };
        while stream.next >= stream.columns.row_count() {
            let batch = py.detach(|| stream.rows.next_batch());
            match batch.map_err(|error| self.connection.get().raise(py, &error))? {
                None => {
                    stream.columns = Columns::none();
                    stream.next = 0;
                    return Ok(None);
                }
                Some(batch) => {
                    stream.columns = Columns::new(batch, stream.rows.fields());
                    stream.next = 0;
                }
            }
        }
        stream.next += 1;
        stream.columns.row(py, stream.next - 1).map(Some)
    }

    fn no_rows(&self, py: Python<'_>) -> PyErr {
        let message = if self.closed { "the cursor is closed" } else { "the last statement gives no rows" };
        error::misuse(py, SqlState::INVALID_CURSOR_STATE, message)
    }

    /// The rest of the rows as an Arrow reader.
    fn arrow_reader(&mut self, py: Python<'_>) -> PyResult<ArrowReader> {
        match std::mem::replace(&mut self.result, Outcome::Nothing) {
            Outcome::Nothing => Err(self.no_rows(py)),
            Outcome::Stream(stream) => {
                let Stream { mut rows, columns, next } = *stream;
                if let Some(left) = columns.into_rest(next) {
                    rows.put_back(left);
                }
                Ok(rows.into_arrow())
            }
            Outcome::Point(row) => {
                let (shared, statement) = (self.connection.get(), self.statement.clone());
                let (Some(row), Some(statement)) = (row, statement) else { return Err(self.no_rows(py)) };
                let mut inner = shared.lock(py)?;
                let rows = inner.open(py)?.connection.stream_of_row(&statement, &row);
                Ok(rows.map_err(|error| shared.raise(py, &error))?.into_arrow())
            }
        }
    }
}

#[pymethods]
impl Cursor {
    /// Runs a statement; gives the cursor itself. Parameters are written `?`, `:1` or `$1`.
    #[pyo3(signature = (operation, parameters=None))]
    fn execute<'py>(
        slf: Bound<'py, Self>,
        operation: &Bound<'py, PyString>,
        parameters: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        slf.borrow_mut().run(slf.py(), operation, parameters)?;
        Ok(slf)
    }

    /// Runs INSERT, UPDATE or DELETE once for each row of parameters of an iterable, as one transaction.
    fn executemany<'py>(
        slf: Bound<'py, Self>,
        operation: &Bound<'py, PyString>,
        seq_of_parameters: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        slf.borrow_mut().run_many(slf.py(), operation, seq_of_parameters)?;
        Ok(slf)
    }

    /// The next row, or None.
    fn fetchone<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(row) = slf.borrow_mut().next_row(slf.py())? else { return Ok(None) };
        Cursor::made(slf, row).map(Some)
    }

    /// The next `size` rows, `arraysize` if it is not given.
    #[pyo3(signature = (size=None))]
    fn fetchmany<'py>(slf: &Bound<'py, Self>, size: Option<usize>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(slf.py());
        let limit = size.unwrap_or_else(|| slf.borrow().arraysize);
        Cursor::take(slf, &rows, limit)?;
        Ok(rows)
    }

    /// All rows that are left, as a list.
    fn fetchall<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(slf.py());
        Cursor::take(slf, &rows, usize::MAX)?;
        Ok(rows)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Cursor::fetchone(slf)
    }

    /// The columns: (name, type, None, None, None, None, None) each; None when the last statement gives no rows. The types
    /// compare equal to STRING, BINARY, NUMBER or DATETIME.
    #[getter]
    fn description<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let fields = match &self.result {
            Outcome::Nothing => return Ok(None),
            Outcome::Point(_) => self.statement.as_ref().and_then(Statement::fields).unwrap_or_default(),
            Outcome::Stream(stream) => stream.rows.fields().to_vec(),
        };
        let none = || py.None();
        let column = |field: &Field| {
            (field.name.clone(), field.ty.name(), none(), none(), none(), none(), none()).into_pyobject(py)
        };
        let columns = fields.iter().map(column).collect::<PyResult<Vec<_>>>()?;
        PyTuple::new(py, columns).map(Some)
    }

    /// The connection it belongs to.
    #[getter]
    fn connection(&self, py: Python<'_>) -> Py<Connection> {
        self.connection.clone_ref(py)
    }

    /// The rows that are left, for anything that speaks Arrow's stream protocol: `pyarrow.table(cur)`, `polars.DataFrame(cur)`.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &mut self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The protocol allows a producer to give its own schema whatever is asked for.
        drop(requested_schema);
        let reader = self.arrow_reader(py)?;
        arrow::export(py, reader)
    }

    /// The rows that are left as a pyarrow.Table.
    fn fetch_arrow_table<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Cursor::through(slf, "pyarrow", "table")
    }

    /// The rows that are left as a pandas.DataFrame (through pyarrow).
    fn df<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Cursor::fetch_arrow_table(slf)?.call_method0("to_pandas")
    }

    /// The rows that are left as a polars.DataFrame.
    fn pl<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Cursor::through(slf, "polars", "DataFrame")
    }

    /// Ends it: its rows are gone.
    fn close(&mut self) {
        self.result = Outcome::Nothing;
        self.closed = true;
    }

    /// Does nothing: sizes of parameters are of no use here.
    fn setinputsizes(&self, _sizes: &Bound<'_, PyAny>) {}

    /// Does nothing: sizes of columns are of no use here.
    #[pyo3(signature = (_size, _column=None))]
    fn setoutputsize(&self, _size: &Bound<'_, PyAny>, _column: Option<&Bound<'_, PyAny>>) {}

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(&mut self, _type: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>, _tb: &Bound<'_, PyAny>) {
        self.close();
    }
}

impl Cursor {
    /// A row as the row factory makes it.
    fn made<'py>(slf: &Bound<'py, Self>, row: Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let factory = slf.borrow().row_factory.as_ref().map(|factory| factory.clone_ref(slf.py()));
        match factory {
            None => Ok(row.into_any()),
            Some(factory) => factory.bind(slf.py()).call1((slf, row)),
        }
    }

    /// `module.function(self)`; a signal handler's exception comes before what that says.
    fn through<'py>(slf: &Bound<'py, Self>, module: &str, function: &str) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let done = py.import(module)?.call_method1(function, (slf,));
        let connection = slf.borrow().connection.clone_ref(py);
        done.map_err(|error| raised(connection.get().raised()).unwrap_or(error))
    }
}
