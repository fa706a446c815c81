//! The columns of a statement's result, and the values of the row that the last step gave.

#![allow(unsafe_code, reason = "functions of C's interface: unmangled names, pointers that raw.rs follows")]

use crate::api_statement::{State, orrery_statement, with};
use crate::error::{Outcome, Stop, c_text, guard, orrery_status};
use crate::raw;
use orrerydb::{Error, FromValue, SqlState, SqlType, Value, ValueRef};
use std::ffi::{CString, c_char};

/// A column's type, without its modifier.
#[repr(C)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub enum orrery_type {
    /// Unknown: bare NULLs. Also: no such column.
    ORRERY_TYPE_UNKNOWN = 0,
    /// boolean
    ORRERY_TYPE_BOOLEAN = 1,
    /// smallint
    ORRERY_TYPE_SMALLINT = 2,
    /// integer
    ORRERY_TYPE_INTEGER = 3,
    /// bigint
    ORRERY_TYPE_BIGINT = 4,
    /// real
    ORRERY_TYPE_REAL = 5,
    /// double precision
    ORRERY_TYPE_DOUBLE = 6,
    /// numeric
    ORRERY_TYPE_NUMERIC = 7,
    /// text, character varying
    ORRERY_TYPE_TEXT = 8,
    /// bytea
    ORRERY_TYPE_BYTEA = 9,
    /// date
    ORRERY_TYPE_DATE = 10,
    /// timestamp without time zone
    ORRERY_TYPE_TIMESTAMP = 11,
    /// timestamp with time zone
    ORRERY_TYPE_TIMESTAMPTZ = 12,
    /// interval
    ORRERY_TYPE_INTERVAL = 13,
    /// uuid
    ORRERY_TYPE_UUID = 14,
}

fn kind(ty: SqlType) -> orrery_type {
    match ty {
        SqlType::Unknown => orrery_type::ORRERY_TYPE_UNKNOWN,
        SqlType::Bool => orrery_type::ORRERY_TYPE_BOOLEAN,
        SqlType::Int2 => orrery_type::ORRERY_TYPE_SMALLINT,
        SqlType::Int4 => orrery_type::ORRERY_TYPE_INTEGER,
        SqlType::Int8 | SqlType::Reg(_) => orrery_type::ORRERY_TYPE_BIGINT,
        SqlType::Float4 => orrery_type::ORRERY_TYPE_REAL,
        SqlType::Float8 => orrery_type::ORRERY_TYPE_DOUBLE,
        SqlType::Numeric | SqlType::Decimal { .. } => orrery_type::ORRERY_TYPE_NUMERIC,
        // What has no kind of its own is read as text.
        SqlType::Text
        | SqlType::Varchar(_)
        | SqlType::Name
        | SqlType::QuotedChar
        | SqlType::Char(_)
        | SqlType::Json
        | SqlType::Jsonb
        | SqlType::Time
        | SqlType::Record(_)
        | SqlType::Enum(_)
        | SqlType::Array(_) => orrery_type::ORRERY_TYPE_TEXT,
        SqlType::Bytea => orrery_type::ORRERY_TYPE_BYTEA,
        SqlType::Date => orrery_type::ORRERY_TYPE_DATE,
        SqlType::Timestamp => orrery_type::ORRERY_TYPE_TIMESTAMP,
        SqlType::Timestamptz => orrery_type::ORRERY_TYPE_TIMESTAMPTZ,
        SqlType::Interval => orrery_type::ORRERY_TYPE_INTERVAL,
        SqlType::Uuid => orrery_type::ORRERY_TYPE_UUID,
        SqlType::Fitted(fitted) => kind(fitted.layout()),
    }
}

/// How many columns the result has: known after the first step; 0 when the statement gives no rows.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_column_count(statement: *const orrery_statement) -> usize {
    with(statement, |state, _| state.fields().len()).unwrap_or(0)
}

/// A column's name, from column 0; NULL when there is no such column. Valid until the statement runs again or is closed.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_column_name(statement: *const orrery_statement, column: usize) -> *const c_char {
    name(statement, column, |state| state.names().0)
}

/// The name of a column's type, such as "numeric(8,2)"; as `orrery_column_name`.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_column_type_name(
    statement: *const orrery_statement,
    column: usize,
) -> *const c_char {
    name(statement, column, |state| state.names().1)
}

fn name(
    handle: *const orrery_statement,
    column: usize,
    names: impl FnOnce(&mut State) -> &[CString],
) -> *const c_char {
    let name = |state: &mut State| names(state).get(column).map(|name| name.as_ptr());
    with(handle, |state, _| name(state)).ok().flatten().unwrap_or(std::ptr::null())
}

/// A column's type.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_column_type(statement: *const orrery_statement, column: usize) -> orrery_type {
    let field = with(statement, |state, _| state.fields().get(column).map(|field| field.ty)).ok().flatten();
    field.map_or(orrery_type::ORRERY_TYPE_UNKNOWN, kind)
}

/// Whether the value of a column is NULL; true when there is no row or no such column.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_column_is_null(statement: *const orrery_statement, column: usize) -> bool {
    with(statement, |state, _| state.row.is_null(column)).unwrap_or(true)
}

/// Gives a value of the row to `with`.
fn on(
    handle: *const orrery_statement,
    column: usize,
    work: impl FnOnce(&mut State, usize) -> Outcome,
) -> orrery_status {
    guard(|| {
        with(handle, |state, _| {
            if column >= state.row.len() {
                return Err(Stop::Misuse("there is no row, or no such column in it"));
            }
            work(state, column)
        })?
    })
}

fn typed<T: FromValue>(state: &mut State, column: usize, wanted: &str) -> Result<T, Stop> {
    state.row.plain(column).ok_or_else(|| unfit(state, column, wanted))
}

fn ty_of(state: &mut State, column: usize) -> SqlType {
    state.fields().get(column).map_or(SqlType::Unknown, |field| field.ty)
}

#[cold]
fn unfit(state: &mut State, column: usize, wanted: &str) -> Stop {
    let (code, what) = match state.row.is_null(column) {
        true => (SqlState::NULL_VALUE_NOT_ALLOWED, "NULL".to_owned()),
        false => (SqlState::DATATYPE_MISMATCH, ty_of(state, column).name()),
    };
    Error::new(code, format!("column {column} is {what} and was read as {wanted}")).into()
}

/// The value of an integer column. Errors: 22004 for NULL, 42804 for another type.
///
/// # Safety
/// `out` is NULL or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_column_int64(
    statement: *const orrery_statement,
    column: usize,
    out: *mut i64,
) -> orrery_status {
    on(statement, column, |state, column| {
        // SAFETY: this function's contract.
        unsafe { raw::give(out, typed(state, column, "an integer")?)? };
        Ok(orrery_status::ORRERY_OK)
    })
}

/// The value of a real, double precision or numeric column as a double. Errors: 22004 for NULL, 42804 for another type.
///
/// # Safety
/// `out` is NULL or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_column_double(
    statement: *const orrery_statement,
    column: usize,
    out: *mut f64,
) -> orrery_status {
    on(statement, column, |state, column| {
        // SAFETY: this function's contract.
        unsafe { raw::give(out, typed(state, column, "a double")?)? };
        Ok(orrery_status::ORRERY_OK)
    })
}

/// The value of a boolean column. Errors: 22004 for NULL, 42804 for another type.
///
/// # Safety
/// `out` is NULL or a place for a boolean.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_column_bool(
    statement: *const orrery_statement,
    column: usize,
    out: *mut bool,
) -> orrery_status {
    on(statement, column, |state, column| {
        // SAFETY: this function's contract.
        unsafe { raw::give(out, typed(state, column, "a boolean")?)? };
        Ok(orrery_status::ORRERY_OK)
    })
}

/// The value of a column of any type as PostgreSQL's text; NULL for NULL. It ends with a NUL byte and is valid until the next step,
/// bind, reset or finalize. NULL too when there is no row or no such column.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_column_text(statement: *const orrery_statement, column: usize) -> *const c_char {
    let mut text = std::ptr::null();
    on(statement, column, |state, column| {
        if state.row.is_null(column) {
            return Ok(orrery_status::ORRERY_OK);
        }
        if state.texts.len() <= column {
            state.texts.resize(state.row.len(), None);
        }
        let ty = ty_of(state, column);
        let value = state.row.value(column);
        let made = state.texts[column].get_or_insert_with(|| match value {
            ValueRef::Text(text) => c_text(text),
            other => c_text(&orrerydb::format_value(&Value::from(other), ty)),
        });
        text = made.as_ptr();
        Ok(orrery_status::ORRERY_OK)
    });
    text
}

/// The bytes of a text or bytea column, in place: valid until the next step, bind, reset or finalize. Errors: 42804 for another type. NULL gives
/// `*out` = NULL.
///
/// # Safety
/// `out` and `len` are NULL or places for a pointer and a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_column_bytes(
    statement: *const orrery_statement,
    column: usize,
    out: *mut *const u8,
    len: *mut usize,
) -> orrery_status {
    on(statement, column, |state, column| {
        let bytes: Option<&[u8]> = match state.row.value(column) {
            ValueRef::Null => None,
            ValueRef::Text(text) => Some(text.as_bytes()),
            ValueRef::Bytea(bytes) => Some(bytes),
            _ => return Err(unfit(state, column, "bytes")),
        };
        // SAFETY: this function's contract, here and below.
        unsafe { raw::give(out, bytes.map_or(std::ptr::null(), <[u8]>::as_ptr))? };
        // SAFETY: as above.
        unsafe { raw::give(len, bytes.map_or(0, <[u8]>::len))? };
        Ok(orrery_status::ORRERY_OK)
    })
}
