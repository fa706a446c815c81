//! Sessions, statements and results. A call's parameters lie in the session's buffer, and so does what comes of it: a frame.
//!
//! | bytes of a frame | what |
//! |---|---|
//! | u32 | what follows: see the constants |
//! | u32 | how many rows follow the header |
//! | f64 | rows changed, or -1 where that is not counted |
//! | u32 | the shape: as long as it stays, so do the columns |
//! | u32 | whether the result may have more rows |

use crate::codec::{self, Reader};
use crate::host::{self, thrown};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatchReader};
use orrery_ipc::StreamWriter;
use orrerydb::{
    Answer, Batch, Connection, Error, Field, Result, RowStream, SqlState, SqlType, Tag, Value, ValueRef,
};
use wasm_bindgen::prelude::*;

const HEADER_BYTES: usize = 24;
/// A command that gives no rows.
const FRAME_DONE: u32 = 0;
/// Rows.
const FRAME_ROWS: u32 = 1;
/// Rows, which [`Session::take`] has.
const FRAME_OPEN: u32 = 2;

/// Bytes of a COPY's data handed over at once.
const COPY_BYTES: usize = 1 << 20;

/// A parsed statement, and the columns that JavaScript knows of it.
#[wasm_bindgen]
pub struct Statement {
    inner: orrerydb::Statement,
    fields: Vec<Field>,
    shape: u32,
}

#[wasm_bindgen]
impl Statement {
    /// Names and types of the columns of the last frame, in turns.
    pub fn columns(&self) -> Vec<String> {
        self.fields.iter().flat_map(|field| [field.name.clone(), field.ty.to_string()]).collect()
    }

    fn point_shape(&mut self) -> u32 {
        if !self.inner.has_fields(&self.fields) {
            self.fields = self.inner.fields().unwrap_or_default();
            self.shape += 1;
        }
        self.shape
    }

    fn stream_shape(&mut self, fields: &[Field]) -> u32 {
        if self.fields != fields || self.shape == 0 {
            self.fields = fields.to_vec();
            self.shape += 1;
        }
        self.shape
    }
}

/// A connection with its buffer.
#[wasm_bindgen]
pub struct Session {
    connection: Connection,
    buffer: Vec<u8>,
    params: Vec<Value>,
    open: Option<RowStream>,
}

impl Session {
    pub(crate) fn new(connection: Connection) -> Session {
        Session { connection, buffer: Vec::new(), params: Vec::new(), open: None }
    }

    fn read_params(&mut self, len: usize) -> Result<()> {
        self.params.clear();
        let mut reader = Reader(self.buffer.get(..len).unwrap_or_default());
        while !reader.is_empty() {
            self.params.push(reader.value()?);
        }
        Ok(())
    }

    fn frame(&mut self, kind: u32, row_count: u32, tag: Option<&Tag>, shape: u32) -> usize {
        let changed = tag.and_then(|tag| tag.row_count).map_or(-1.0, |count| count as f64);
        write_header(&mut self.buffer, kind, row_count, changed, shape, false);
        self.buffer.as_ptr() as usize
    }

    /// The row or change that takes no waiting, or `None`.
    fn try_point(&mut self, statement: &mut Statement) -> Result<Option<usize>> {
        let Session { connection, buffer, params, .. } = self;
        buffer.clear();
        buffer.resize(HEADER_BYTES, 0);
        let mut written = Ok(());
        let count = connection.try_point(&statement.inner, params, &mut |row| {
            for column in 0..row.len() {
                // A point row knows its values' types; text is all that the column's type would add to.
                let value = row.get_ref(column);
                written = value.and_then(|value| codec::write(buffer, &value, SqlType::Text));
                if written.is_err() {
                    return;
                }
            }
        });
        let Some(count) = count else { return Ok(None) };
        written?;
        let changed = count as f64;
        if statement.inner.is_query() {
            let shape = statement.point_shape();
            write_header(buffer, FRAME_ROWS, count as u32, changed, shape, false);
        } else {
            write_header(buffer, FRAME_DONE, 0, changed, 0, false);
        }
        Ok(Some(buffer.as_ptr() as usize))
    }

    fn run_inner(&mut self, statement: &mut Statement, len: usize) -> Result<usize> {
        self.read_params(len)?;
        if let Some(frame) = self.try_point(statement)? {
            return Ok(frame);
        }
        match self.connection.answer(&statement.inner, &self.params)? {
            Answer::Done(tag) => Ok(self.frame(FRAME_DONE, 0, Some(&tag), 0)),
            Answer::Rows(rows) => {
                let shape = statement.stream_shape(rows.fields());
                self.open = Some(rows);
                Ok(self.frame(FRAME_OPEN, 0, None, shape))
            }
        }
    }

    fn many_inner(&mut self, statement: &Statement, len: usize) -> Result<u64> {
        let mut reader = Reader(self.buffer.get(..len).unwrap_or_default());
        let (row_count, width) = (reader.length()?, reader.length()?);
        let mut left = row_count;
        self.connection.execute_many(&statement.inner, &mut |row| {
            if left == 0 {
                return Ok(false);
            }
            left -= 1;
            for _ in 0..width {
                row.push(reader.value()?);
            }
            Ok(true)
        })
    }

    fn arrow_inner(&mut self, statement: &Statement, len: usize) -> Result<Vec<u8>> {
        self.read_params(len)?;
        let Answer::Rows(rows) = self.connection.answer(&statement.inner, &self.params)? else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "the statement gives no rows"));
        };
        let failed = |error: arrow_schema::ArrowError| Error::internal(error.to_string());
        let mut reader = rows.into_arrow();
        let mut writer = StreamWriter::new(&reader.schema());
        while let Some(batch) = reader.next_batch()? {
            writer.write(&batch).map_err(failed)?;
        }
        Ok(writer.finish())
    }

    fn copy_inner(&mut self, sql: &str) -> Result<u64> {
        let mut copy = self.connection.copy_in(sql)?;
        let mut part = vec![0; COPY_BYTES];
        loop {
            match host::copy_read(&mut part) as usize {
                0 => return copy.finish(),
                len => copy.write(&part[..len])?,
            }
        }
    }
}

#[wasm_bindgen]
impl Session {
    /// Parses one statement.
    pub fn prepare(&self, sql: &str) -> Result<Statement, JsValue> {
        let inner = self.connection.prepare(sql).map_err(thrown)?;
        Ok(Statement { inner, fields: Vec::new(), shape: 0 })
    }

    /// Room for `len` bytes of parameters: their address.
    pub fn room(&mut self, len: usize) -> usize {
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        self.buffer.as_ptr() as usize
    }

    /// Runs a statement with the parameters in the buffer's first `len` bytes: the address of a frame.
    pub fn run(&mut self, statement: &mut Statement, len: usize) -> Result<usize, JsValue> {
        self.run_inner(statement, len).map_err(thrown)
    }

    /// The result of the last run whose frame said that there is one.
    pub fn take(&mut self) -> Option<Cursor> {
        let stream = self.open.take()?;
        Some(Cursor { stream, batch: None, next: 0, buffer: Vec::new() })
    }

    /// Runs a statement for each row of parameters in the buffer: a row count, a width, the values. How many rows it changed.
    pub fn many(&mut self, statement: &Statement, len: usize) -> Result<f64, JsValue> {
        self.many_inner(statement, len).map(|count| count as f64).map_err(thrown)
    }

    /// Runs a text of any number of statements.
    pub fn exec(&mut self, sql: &str) -> Result<(), JsValue> {
        self.connection.run(sql).map_err(thrown)
    }

    /// A result as the bytes of an Arrow IPC stream.
    pub fn arrow(&mut self, statement: &Statement, len: usize) -> Result<Vec<u8>, JsValue> {
        self.arrow_inner(statement, len).map_err(thrown)
    }

    /// Runs `COPY … FROM STDIN` with what JavaScript reads; how many rows came.
    pub fn copy(&mut self, sql: &str) -> Result<f64, JsValue> {
        self.copy_inner(sql).map(|count| count as f64).map_err(thrown)
    }

    /// Begins a transaction.
    pub fn begin(&mut self) -> Result<(), JsValue> {
        self.connection.execute("begin", &[]).map(drop).map_err(thrown)
    }

    /// Commits it.
    pub fn commit(&mut self) -> Result<(), JsValue> {
        self.connection.commit().map_err(thrown)
    }

    /// Rolls it back.
    pub fn rollback(&mut self) -> Result<(), JsValue> {
        self.connection.rollback().map_err(thrown)
    }

    /// Whether a transaction is open.
    #[wasm_bindgen(js_name = inTransaction)]
    pub fn in_transaction(&self) -> bool {
        self.connection.transaction_status().is_some()
    }
}

/// A result: its rows as they are asked for.
#[wasm_bindgen]
pub struct Cursor {
    stream: RowStream,
    batch: Option<Batch>,
    next: usize,
    buffer: Vec<u8>,
}

#[wasm_bindgen]
impl Cursor {
    /// At most `row_count_max` rows more: the address of a frame.
    pub fn fetch(&mut self, row_count_max: usize) -> Result<usize, JsValue> {
        self.fetch_inner(row_count_max).map_err(thrown)
    }

    fn fetch_inner(&mut self, row_count_max: usize) -> Result<usize> {
        self.buffer.clear();
        self.buffer.resize(HEADER_BYTES, 0);
        if self.batch.as_ref().is_none_or(|batch| self.next >= batch.row_count) {
            (self.batch, self.next) = (self.stream.next_batch()?, 0);
        }
        let Some(batch) = &self.batch else {
            write_header(&mut self.buffer, FRAME_ROWS, 0, -1.0, 0, false);
            return Ok(self.buffer.as_ptr() as usize);
        };
        let end = batch.row_count.min(self.next + row_count_max);
        write_rows(&mut self.buffer, batch, self.stream.fields(), self.next..end)?;
        let row_count = (end - self.next) as u32;
        self.next = end;
        write_header(&mut self.buffer, FRAME_ROWS, row_count, -1.0, 0, true);
        Ok(self.buffer.as_ptr() as usize)
    }
}

fn write_header(buffer: &mut Vec<u8>, kind: u32, row_count: u32, changed: f64, shape: u32, more: bool) {
    if buffer.len() < HEADER_BYTES {
        buffer.resize(HEADER_BYTES, 0);
    }
    buffer[..4].copy_from_slice(&kind.to_le_bytes());
    buffer[4..8].copy_from_slice(&row_count.to_le_bytes());
    buffer[8..16].copy_from_slice(&changed.to_le_bytes());
    buffer[16..20].copy_from_slice(&shape.to_le_bytes());
    buffer[20..24].copy_from_slice(&u32::from(more).to_le_bytes());
}

/// Writes a value of a column.
type WriteValue<'a> = Box<dyn Fn(&mut Vec<u8>, usize) -> Result<()> + 'a>;

fn write_rows(
    into: &mut Vec<u8>,
    batch: &Batch,
    fields: &[Field],
    rows: std::ops::Range<usize>,
) -> Result<()> {
    let columns = batch.columns.iter().zip(fields);
    let writers: Vec<_> = columns.map(|(column, field)| writer(column, field.ty)).collect();
    for row in rows {
        for write in &writers {
            write(into, row)?;
        }
    }
    Ok(())
}

/// The commonest types are read without a value in between.
fn writer(column: &arrow_array::ArrayRef, ty: SqlType) -> WriteValue<'_> {
    macro_rules! each {
        ($array:expr, $value:ident => $shown:expr) => {{
            let array = $array;
            Box::new(move |into, row| {
                let value = if array.is_null(row) {
                    ValueRef::Null
                } else {
                    let $value = array.value(row);
                    $shown
                };
                codec::write(into, &value, ty)
            })
        }};
    }
    match ty {
        SqlType::Int2 => each!(column.as_primitive::<Int16Type>(), it => ValueRef::Int2(it)),
        SqlType::Int4 => each!(column.as_primitive::<Int32Type>(), it => ValueRef::Int4(it)),
        SqlType::Int8 => each!(column.as_primitive::<Int64Type>(), it => ValueRef::Int8(it)),
        SqlType::Float8 => each!(column.as_primitive::<Float64Type>(), it => ValueRef::Float8(it)),
        SqlType::Text | SqlType::Varchar(_) | SqlType::Name | SqlType::QuotedChar => {
            each!(column.as_string::<i32>(), it => ValueRef::Text(it))
        }
        _ => Box::new(move |into, row| {
            let value = orrerydb::value_at(column, ty, row)?;
            codec::write(into, &ValueRef::from(&value), ty)
        }),
    }
}
