//! Statements: preparing, binding, stepping.

#![allow(unsafe_code, reason = "functions of C's interface: unmangled names, pointers that raw.rs follows")]

use crate::api_connection::{Connection, as_pointer, connection, orrery_connection};
use crate::error::{Outcome, Stop, c_text, guard, orrery_status};
use crate::handle::Table;
use crate::raw;
use crate::row::Row;
use orrerydb::{Answer, Field, RowStream, Value};
use std::ffi::{CString, c_char};
use std::sync::Arc;

/// A prepared statement with what is bound to it and the result it gives.
#[repr(C)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct orrery_statement {
    private: [u8; 0],
}

static STATEMENTS: Table<Statement> = Table::new(3);

pub(crate) struct Statement {
    pub(crate) connection: Arc<Connection>,
    pub(crate) state: State,
}

pub(crate) struct State {
    statement: orrerydb::Statement,
    params: Vec<Value>,
    batch: Vec<Value>,
    batch_count: usize,
    result: Run,
    /// Of the result, or of the one before. A point query's are looked at when they are asked for (`is_described`).
    fields: Arc<[Field]>,
    names: Vec<CString>,
    type_names: Vec<CString>,
    is_described: bool,
    /// The row that the last step gave.
    pub(crate) row: Row,
    /// Values of it as texts, once they were asked for.
    pub(crate) texts: Vec<Option<CString>>,
    row_count: i64,
}

enum Run {
    /// Not run, or reset.
    Ready,
    /// A point query's only row was given.
    Point,
    Stream(Box<RowStream>),
    Ended,
}

impl State {
    fn new(statement: orrerydb::Statement) -> State {
        let params = vec![Value::Null; statement.param_count()];
        State {
            statement,
            params,
            batch: Vec::new(),
            batch_count: 0,
            result: Run::Ready,
            fields: Arc::from([]),
            names: Vec::new(),
            type_names: Vec::new(),
            is_described: true,
            row: Row::default(),
            texts: Vec::new(),
            row_count: -1,
        }
    }

    fn reset(&mut self) {
        self.result = Run::Ready;
        self.row.clear();
        self.texts.clear();
    }

    /// A new value is for the next run: the one before ends.
    fn bind(&mut self, index: usize, value: Value) -> Outcome {
        if !matches!(self.result, Run::Ready) {
            self.reset();
        }
        let place = index.checked_sub(1).and_then(|index| self.params.get_mut(index));
        *place.ok_or(Stop::Misuse("there is no parameter of that number: they begin with 1"))? = value;
        Ok(orrery_status::ORRERY_OK)
    }

    fn describe(&mut self, fields: Arc<[Field]>) {
        if self.fields != fields {
            self.names = fields.iter().map(|field| c_text(&field.name)).collect();
            self.type_names = fields.iter().map(|field| c_text(&field.ty.name())).collect();
            self.fields = fields;
        }
        self.is_described = true;
    }

    /// The columns.
    pub(crate) fn fields(&mut self) -> &[Field] {
        if !self.is_described {
            if !self.statement.has_fields(&self.fields) {
                self.describe(self.statement.fields().unwrap_or_default().into());
            }
            self.is_described = true;
        }
        &self.fields
    }

    /// Their names, and those of their types.
    pub(crate) fn names(&mut self) -> (&[CString], &[CString]) {
        self.fields();
        (&self.names, &self.type_names)
    }

    fn run(&mut self, connection: &mut orrerydb::Connection) -> orrerydb::Result<orrery_status> {
        self.row.clear();
        let (row, mut copied) = (&mut self.row, Ok(()));
        let point = connection.try_point(&self.statement, &self.params, &mut |found| {
            copied = row.copy(&found);
        });
        if let Some(row_count) = point {
            copied?;
            self.row_count = i64::try_from(row_count).unwrap_or(i64::MAX);
            self.result = Run::Point;
            if !self.statement.is_query() || row_count == 0 {
                return Ok(orrery_status::ORRERY_DONE);
            }
            self.is_described = false;
            return Ok(orrery_status::ORRERY_ROW);
        }
        match connection.answer(&self.statement, &self.params)? {
            Answer::Done(tag) => {
                self.row_count = tag.row_count.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX));
                self.result = Run::Ended;
                Ok(orrery_status::ORRERY_DONE)
            }
            Answer::Rows(stream) => {
                self.row_count = -1;
                self.describe(stream.fields().clone());
                self.result = Run::Stream(Box::new(stream));
                self.next()
            }
        }
    }

    fn next(&mut self) -> orrerydb::Result<orrery_status> {
        self.row.clear();
        if let Run::Stream(stream) = &mut self.result {
            if let Some(row) = stream.next().transpose()? {
                self.row.set(row.values()?);
                return Ok(orrery_status::ORRERY_ROW);
            }
            self.row_count =
                stream.tag().row_count.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.result = Run::Ended;
        Ok(orrery_status::ORRERY_DONE)
    }

    fn step(&mut self, connection: &Connection) -> Outcome {
        self.texts.clear();
        Ok(match self.result {
            Run::Ready => connection.with(|connection| self.run(connection))?,
            _ => self.next()?,
        })
    }

    /// The whole result, for Arrow.
    pub(crate) fn take_stream(&mut self, connection: &Connection) -> Result<RowStream, Stop> {
        self.texts.clear();
        self.row.clear();
        if matches!(self.result, Run::Ready) {
            let answer = connection.with(|connection| connection.answer(&self.statement, &self.params))?;
            match answer {
                Answer::Rows(stream) => self.result = Run::Stream(Box::new(stream)),
                Answer::Done(_) => self.result = Run::Ended,
            }
        }
        match std::mem::replace(&mut self.result, Run::Ended) {
            Run::Stream(stream) => Ok(*stream),
            _ => Err(Stop::Misuse("the statement has no rows to give: reset it first")),
        }
    }
}

/// Hands a statement to `work`; other calls with it wait.
pub(crate) fn with<R>(
    handle: *const orrery_statement,
    work: impl FnOnce(&mut State, &Connection) -> R,
) -> Result<R, Stop> {
    let done = STATEMENTS.with(handle.addr(), |statement| work(&mut statement.state, &statement.connection));
    done.ok_or(Stop::Misuse("no such statement: NULL or closed"))
}

fn on(handle: *mut orrery_statement, work: impl FnOnce(&mut State, &Connection) -> Outcome) -> orrery_status {
    guard(|| with(handle, work)?)
}

/// Prepares one statement. Parameters are written `?` or `$1`; all are NULL at first. Names and types are checked at the first step.
///
/// # Safety
/// `sql` is NULL or a text that ends with a NUL byte; `out` is NULL or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_prepare(
    connection: *mut orrery_connection,
    sql: *const c_char,
    out: *mut *mut orrery_statement,
) -> orrery_status {
    guard(|| {
        raw::check_place(out)?;
        let connection = self::connection(connection)?;
        // SAFETY: this function's contract, here and below.
        let sql = unsafe { raw::text(sql)? };
        let prepared = connection.with(|connection| connection.prepare(sql))?;
        let statement = Statement { connection, state: State::new(prepared) };
        // SAFETY: as above.
        unsafe { raw::give(out, as_pointer(STATEMENTS.insert(statement))?)? };
        Ok(orrery_status::ORRERY_OK)
    })
}

/// Closes the statement and its result.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_finalize(statement: *mut orrery_statement) -> orrery_status {
    guard(|| {
        let closed =
            STATEMENTS.remove(statement.addr()).ok_or(Stop::Misuse("no such statement: NULL or closed"))?;
        drop(closed);
        Ok(orrery_status::ORRERY_OK)
    })
}

/// Binds NULL to parameter `index`, from 1. As every bind: what the statement still has to give ends, and the next step runs it again.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_bind_null(statement: *mut orrery_statement, index: usize) -> orrery_status {
    on(statement, |state, _| state.bind(index, Value::Null))
}

/// Binds a boolean.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_bind_bool(
    statement: *mut orrery_statement,
    index: usize,
    value: bool,
) -> orrery_status {
    on(statement, |state, _| state.bind(index, Value::Bool(value)))
}

/// Binds an integer. It fits every integer type that has room for it.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_bind_int64(
    statement: *mut orrery_statement,
    index: usize,
    value: i64,
) -> orrery_status {
    on(statement, |state, _| state.bind(index, Value::Int8(value)))
}

/// Binds a double.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_bind_double(
    statement: *mut orrery_statement,
    index: usize,
    value: f64,
) -> orrery_status {
    on(statement, |state, _| state.bind(index, Value::Float8(value)))
}

/// Binds a text; it is copied. A text fits every type, as a literal in quotes does.
///
/// # Safety
/// `value` is NULL (which binds nothing and is misuse) or a text that ends with a NUL byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_bind_text(
    statement: *mut orrery_statement,
    index: usize,
    value: *const c_char,
) -> orrery_status {
    on(statement, |state, _| {
        // SAFETY: this function's contract.
        let value = unsafe { raw::text(value)? };
        state.bind(index, Value::from(value))
    })
}

/// Binds bytes; they are copied.
///
/// # Safety
/// `value` is NULL or points at `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_bind_bytes(
    statement: *mut orrery_statement,
    index: usize,
    value: *const u8,
    len: usize,
) -> orrery_status {
    on(statement, |state, _| {
        // SAFETY: this function's contract.
        let value = unsafe { raw::bytes(value, len)? };
        state.bind(index, Value::from(value))
    })
}

/// How many parameters it has; 0 for no statement.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_param_count(statement: *const orrery_statement) -> usize {
    with(statement, |state, _| state.params.len()).unwrap_or(0)
}

/// Runs the statement at the first call; gives its next row: `ORRERY_ROW`, and `ORRERY_DONE` when there is none (any more).
#[unsafe(no_mangle)]
pub extern "C" fn orrery_step(statement: *mut orrery_statement) -> orrery_status {
    on(statement, State::step)
}

/// Ends the result, so that the next step runs the statement again with what is bound.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_reset(statement: *mut orrery_statement) -> orrery_status {
    on(statement, |state, _| {
        state.reset();
        Ok(orrery_status::ORRERY_OK)
    })
}

/// How many rows the last run changed, or gave when its end was reached; -1 when it counts none.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_row_count(statement: *const orrery_statement) -> i64 {
    with(statement, |state, _| state.row_count).unwrap_or(-1)
}

/// Notes what is bound as a row of parameters for `orrery_run_batch`.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_add_batch(statement: *mut orrery_statement) -> orrery_status {
    on(statement, |state, _| {
        state.batch.extend_from_slice(&state.params);
        state.batch_count += 1;
        Ok(orrery_status::ORRERY_OK)
    })
}

/// Runs the statement once for each row noted, as one transaction (the open one, if one is), and forgets the rows. `row_count` is
/// NULL or gets how many rows were changed.
///
/// # Safety
/// `row_count` is NULL or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_run_batch(
    statement: *mut orrery_statement,
    row_count: *mut u64,
) -> orrery_status {
    on(statement, |state, connection| {
        state.reset();
        let (width, count) = (state.params.len(), std::mem::take(&mut state.batch_count));
        let mut values = std::mem::take(&mut state.batch).into_iter();
        let mut left = count;
        let changed = connection.with(|connection| {
            connection.execute_many(&state.statement, &mut |row| {
                row.extend(values.by_ref().take(width));
                let has_row = left > 0;
                left = left.saturating_sub(1);
                Ok(has_row)
            })
        })?;
        state.row_count = i64::try_from(changed).unwrap_or(i64::MAX);
        // SAFETY: this function's contract.
        unsafe { raw::offer(row_count, changed) };
        Ok(orrery_status::ORRERY_OK)
    })
}
