//! Rows as they come.

use crate::arrow::ArrowReader;
use crate::connection::Connection;
use crate::stream::RowStream;
use arrow_array::ArrayRef;
use orrery_engine::Tag;
use orrery_engine::base::{Error, Result, SqlState};
use orrery_engine::sql::columns::datum_at;
use orrery_engine::sql::datum::Datum;
use orrery_engine::sql::exec::Batch;
use orrery_engine::sql::plan::Field;
use orrery_engine::sql::text::{self, FormatSettings};
use orrery_engine::sql::types::SqlType;
use std::marker::PhantomData;
use std::sync::Arc;

/// The rows of a query that borrow their connection: see [`RowStream`], which does not.
pub struct Rows<'c> {
    stream: RowStream,
    connection: PhantomData<&'c mut Connection>,
}

impl Rows<'_> {
    pub(crate) fn new(stream: RowStream) -> Self {
        Rows { stream, connection: PhantomData }
    }

    /// The columns.
    pub fn fields(&self) -> &[Field] {
        self.stream.fields()
    }

    /// The command tag (`SELECT 3`), right once all rows were taken.
    pub fn tag(&self) -> Tag {
        self.stream.tag()
    }

    /// The next batch of columns. Errors: what the query meets; nothing comes after one.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        self.stream.next_batch()
    }

    /// The rows as Arrow record batches.
    pub fn into_arrow(self) -> ArrowReader {
        self.stream.into_arrow()
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row>;
    fn next(&mut self) -> Option<Result<Row>> {
        self.stream.next()
    }
}

/// One row. It stays valid as long as it is kept.
#[derive(Clone)]
pub struct Row {
    fields: Arc<[Field]>,
    batch: Arc<Batch>,
    index: usize,
    format: FormatSettings,
}

impl Row {
    pub(crate) fn new(fields: Arc<[Field]>, batch: Arc<Batch>, index: usize, format: FormatSettings) -> Row {
        Row { fields, batch, index, format }
    }

    /// How many columns it has.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it has no column.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// A column's value. Errors: 42703 when there is no such column.
    pub fn value(&self, column: usize) -> Result<Datum> {
        let Some(field) = self.fields.get(column) else {
            let message = format!("the row has {} columns; column {column} was asked for", self.fields.len());
            return Err(Error::new(SqlState::UNDEFINED_COLUMN, message));
        };
        datum_at(&*self.batch.columns[column], field.ty, self.index)
    }

    /// All values.
    pub fn values(&self) -> Result<Vec<Datum>> {
        (0..self.len()).map(|column| self.value(column)).collect()
    }

    /// A column's value as a Rust type; NULL only as an `Option`. Errors: 42703, 42804 when the type does not fit.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T> {
        let value = self.value(column)?;
        T::from_value(&value).ok_or_else(|| {
            let ty = self.fields[column].ty;
            let message = format!("column {column} of type {ty} does not fit {}", std::any::type_name::<T>());
            Error::new(SqlState::DATATYPE_MISMATCH, message)
        })
    }

    /// A column's value as PostgreSQL would show it under the session's settings; `None` for NULL. Errors: 42703.
    pub fn text(&self, column: usize) -> Result<Option<String>> {
        let value = self.value(column)?;
        let shown = || text::format(&value, self.fields[column].ty, self.format);
        Ok((!value.is_null()).then(shown))
    }
}

/// Rust types that a value can be read as.
pub trait FromValue: Sized {
    /// `None` when the value does not fit.
    fn from_value(value: &Datum) -> Option<Self>;
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Datum) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::from_value(value).map(Some) }
    }
}

macro_rules! from_integers {
    ($($ty:ty),*) => {$(
        impl FromValue for $ty {
            fn from_value(value: &Datum) -> Option<Self> {
                match value {
                    Datum::Int2(value) => (*value).try_into().ok(),
                    Datum::Int4(value) => (*value).try_into().ok(),
                    Datum::Int8(value) => (*value).try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

from_integers!(i8, i16, i32, i64, u8, u16, u32, u64, usize);

impl FromValue for f64 {
    fn from_value(value: &Datum) -> Option<Self> {
        match value {
            Datum::Float4(value) => Some(f64::from(*value)),
            Datum::Float8(value) => Some(*value),
            Datum::Numeric(value) => Some(value.to_f64()),
            _ => None,
        }
    }
}

impl FromValue for bool {
    fn from_value(value: &Datum) -> Option<Self> {
        match value {
            Datum::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Datum) -> Option<Self> {
        match value {
            Datum::Text(value) => Some(value.to_string()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Datum) -> Option<Self> {
        match value {
            Datum::Bytea(value) => Some(value.to_vec()),
            _ => None,
        }
    }
}

impl FromValue for Datum {
    fn from_value(value: &Datum) -> Option<Self> {
        Some(value.clone())
    }
}

/// One value of a batch's column. Errors: XX000 when the column is not of that type.
pub fn value_at(column: &ArrayRef, ty: SqlType, row: usize) -> Result<Datum> {
    datum_at(&**column, ty, row)
}

/// A value as PostgreSQL would show it under its default settings; NULL as nothing.
pub fn format_value(value: &Datum, ty: SqlType) -> String {
    text::format(value, ty, FormatSettings::default())
}
