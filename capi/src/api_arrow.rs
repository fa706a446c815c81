//! Results as Arrow C streams, and Arrow C streams into tables.

#![allow(unsafe_code, reason = "streams of the Arrow C interface go through pointers")]

use crate::api_connection::{connection, lock, orrery_connection};
use crate::api_statement::{orrery_statement, statement};
use crate::error::{Stop, guard, orrery_status};
use crate::raw;
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use orrerydb::{Error, SqlState};
use std::ffi::c_char;

/// Gives what is left of the statement's result (all of it before the first step) as an Arrow C stream, which the caller releases.
/// The stream may outlive the statement.
///
/// # Safety
/// `out` is NULL or a place for a stream; what is there is not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_arrow_stream(
    statement: *mut orrery_statement,
    out: *mut FFI_ArrowArrayStream,
) -> orrery_status {
    guard(|| {
        if out.is_null() {
            return Err(Stop::Misuse("the place for the stream is NULL"));
        }
        let statement = self::statement(statement)?;
        let rows = lock(&statement.state).take_stream(&statement.connection)?;
        let stream = FFI_ArrowArrayStream::new(Box::new(rows.into_arrow()));
        // SAFETY: this function's contract.
        unsafe { raw::give(out, stream)? };
        Ok(orrery_status::ORRERY_OK)
    })
}

/// Inserts the rows of an Arrow C stream into a table, by column name, in one transaction (the open one, if one is). The stream is
/// consumed, also by an error. `row_count` is NULL or gets how many rows.
///
/// # Safety
/// `table` is NULL or a text that ends with a NUL byte; `stream` is NULL or a stream that was not released; `row_count` is NULL or
/// a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_insert_arrow(
    connection: *mut orrery_connection,
    table: *const c_char,
    stream: *mut FFI_ArrowArrayStream,
    row_count: *mut u64,
) -> orrery_status {
    guard(|| {
        if stream.is_null() {
            return Err(Stop::Misuse("the stream is NULL"));
        }
        // SAFETY: this function's contract, here and below; the stream is moved out, and a released one stays.
        let reader = unsafe { RecordBatchStreamReader::from_raw(stream) };
        let reader = reader.map_err(|error| Error::new(SqlState::DATA_EXCEPTION, error.to_string()))?;
        // SAFETY: as above.
        let table = unsafe { raw::text(table)? };
        let inserted =
            self::connection(connection)?.with(|connection| connection.insert_arrow(table, reader))?;
        // SAFETY: as above.
        unsafe { raw::offer(row_count, inserted) };
        Ok(orrery_status::ORRERY_OK)
    })
}
