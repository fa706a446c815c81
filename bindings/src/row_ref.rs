//! A row in place: no copy, no allocation.

use crate::rows::FromValue;
use orrery_engine::base::{Error, Result, SqlState};
use orrery_engine::sql::datum::Datum;
use orrery_engine::sql::exec::point::{PointRow, PointValue};
use std::cell::Cell;

/// A row, valid while the closure of [`Connection::query_row`](crate::Connection::query_row) runs.
///
/// The typed getters give plain values, so that reading a row needs no `?` a column: where a column is not there, is NULL or
/// has another type they give zero or nothing, and `query_row` answers the error (42703, 22004, 42804) instead of the
/// closure's result. Ask [`RowRef::is_null`] first where NULL is possible, or take [`RowRef::get`] as an `Option`.
pub struct RowRef<'a> {
    source: Source<'a>,
    mistake: Cell<Option<Error>>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Point(&'a PointRow<'a>),
    Values(&'a [Datum]),
}

impl<'a> RowRef<'a> {
    pub(crate) fn of_point(row: &'a PointRow<'a>) -> Self {
        RowRef { source: Source::Point(row), mistake: Cell::new(None) }
    }

    pub(crate) fn of_values(values: &'a [Datum]) -> Self {
        RowRef { source: Source::Values(values), mistake: Cell::new(None) }
    }

    /// The first mistake of a getter.
    pub(crate) fn finish(self) -> Result<()> {
        self.mistake.into_inner().map_or(Ok(()), Err)
    }

    /// How many columns it has.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Point(row) => row.column_count(),
            Source::Values(values) => values.len(),
        }
    }

    /// Whether it has no column.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn at(&self, column: usize) -> Result<PointValue<'_>> {
        if column >= self.len() {
            let message = format!("the row has {} columns; column {column} was asked for", self.len());
            return Err(Error::new(SqlState::UNDEFINED_COLUMN, message));
        }
        match &self.source {
            Source::Point(row) => row.value(column),
            Source::Values(values) => Ok(PointValue::from(&values[column])),
        }
    }

    /// The value as `pick` sees it; a mistake is noted, and gives the default.
    #[inline]
    fn typed<'s, T: Default>(
        &'s self,
        column: usize,
        wanted: &str,
        pick: impl FnOnce(PointValue<'s>) -> Option<T>,
    ) -> T {
        let error = match self.at(column) {
            Ok(PointValue::Null) => {
                let message = format!("column {column} is NULL, and was read as {wanted}");
                Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message)
            }
            Ok(value) => match pick(value) {
                Some(value) => return value,
                None => {
                    Error::new(SqlState::DATATYPE_MISMATCH, format!("column {column} does not fit {wanted}"))
                }
            },
            Err(error) => error,
        };
        let first = self.mistake.take().unwrap_or(error);
        self.mistake.set(Some(first));
        T::default()
    }

    /// Whether a column is NULL.
    #[inline]
    pub fn is_null(&self, column: usize) -> bool {
        matches!(self.at(column), Ok(PointValue::Null))
    }

    /// An integer column of any width.
    #[inline]
    pub fn i64(&self, column: usize) -> i64 {
        if let Source::Point(row) = self.source
            && let Some(value) = row.integer(column)
        {
            return value;
        }
        self.typed(column, "i64", |value| match value {
            PointValue::Int2(value) => Some(value.into()),
            PointValue::Int4(value) => Some(value.into()),
            PointValue::Int8(value) => Some(value),
            _ => None,
        })
    }

    /// An integer column whose value fits.
    #[inline]
    pub fn i32(&self, column: usize) -> i32 {
        if let Source::Point(row) = self.source
            && let Some(Ok(value)) = row.integer(column).map(i32::try_from)
        {
            return value;
        }
        self.typed(column, "i32", |value| match value {
            PointValue::Int2(value) => Some(value.into()),
            PointValue::Int4(value) => Some(value),
            PointValue::Int8(value) => value.try_into().ok(),
            _ => None,
        })
    }

    /// A `real` or `double precision` column.
    #[inline]
    pub fn f64(&self, column: usize) -> f64 {
        self.typed(column, "f64", |value| match value {
            PointValue::Float4(value) => Some(value.into()),
            PointValue::Float8(value) => Some(value),
            _ => None,
        })
    }

    /// A `boolean` column.
    #[inline]
    pub fn bool(&self, column: usize) -> bool {
        self.typed(column, "bool", |value| match value {
            PointValue::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// A `text` column.
    #[inline]
    pub fn text(&self, column: usize) -> &str {
        self.typed(column, "text", |value| match value {
            PointValue::Text(value) => Some(value),
            _ => None,
        })
    }

    /// The bytes of a `text` or `bytea` column.
    #[inline]
    pub fn bytes(&self, column: usize) -> &[u8] {
        if let Source::Point(row) = self.source
            && let Some(bytes) = row.bytes(column)
        {
            return bytes;
        }
        self.typed(column, "bytes", |value| match value {
            PointValue::Text(value) => Some(value.as_bytes()),
            PointValue::Bytea(value) => Some(value),
            _ => None,
        })
    }

    /// A column's value, in place. Errors: 42703.
    #[inline]
    pub fn get_ref(&self, column: usize) -> Result<PointValue<'_>> {
        self.at(column)
    }

    /// A column's value, copied. Errors: 42703.
    pub fn value(&self, column: usize) -> Result<Datum> {
        self.at(column).map(Datum::from)
    }

    /// A column's value as a Rust type, copied; NULL only as an `Option`. Errors: 42703, 42804.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T> {
        T::from_value(&self.value(column)?).ok_or_else(|| {
            let message = format!("column {column} does not fit {}", std::any::type_name::<T>());
            Error::new(SqlState::DATATYPE_MISMATCH, message)
        })
    }
}
