//! Results as Arrow record batches. What the executor has in the right layout goes out without a copy: all types but
//! `numeric` without a modifier, `interval`, and NULLs of no type.
//!
//! | SQL | Arrow |
//! |---|---|
//! | `numeric` (any scale a value) | Utf8, the exact digits; the field's metadata says `orrery.type = numeric` |
//! | `numeric(p,s)` | Decimal128(p, s) |
//! | `interval` | Interval(MonthDayNano) |
//! | `uuid` | FixedSizeBinary(16), Arrow's extension type `arrow.uuid` |
//! | `timestamp`, `timestamptz` | Timestamp(µs), the latter of zone UTC |
//! | the others | their namesakes |

use crate::stream::RowStream;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, TimestampMicrosecondType};
use arrow_array::{
    ArrayRef, IntervalMonthDayNanoArray, RecordBatch, RecordBatchOptions, RecordBatchReader, StringArray,
};
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::{ArrowError, DataType, Field as ArrowField, IntervalUnit, Schema, SchemaRef, TimeUnit};
use orrery_engine::base::{Error, Result, SqlState};
use orrery_engine::row::numeric::DECIMAL_NAN;
use orrery_engine::sql::columns::{array_of, datum_at};
use orrery_engine::sql::datum::{Datum, Interval};
use orrery_engine::sql::exec::Batch;
use orrery_engine::sql::plan::Field;
use orrery_engine::sql::types::SqlType;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A result as Arrow's own reader: a schema, then record batches as they come. `Send`.
pub struct ArrowReader {
    rows: RowStream,
    schema: SchemaRef,
}

impl RowStream {
    /// The rows as Arrow record batches.
    ///
    /// ```
    /// # fn main() -> orrerydb::Result<()> {
    /// # let db = orrerydb::Database::in_memory()?;
    /// # let mut connection = db.connect();
    /// let rows = connection.query("select n, n * 1.5 as x from generate_series(1, 5000) as s(n)", &[])?;
    /// let mut row_count = 0;
    /// for batch in rows.into_arrow() {
    ///     row_count += batch.expect("a batch").num_rows();
    /// }
    /// assert_eq!(row_count, 5000);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_arrow(self) -> ArrowReader {
        let schema = schema_of(self.fields());
        ArrowReader { rows: self, schema }
    }
}

impl ArrowReader {
    /// The next record batch. Errors: what the query meets.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.rows.next_batch()? else { return Ok(None) };
        record_batch(&batch, self.rows.fields(), &self.schema).map(Some)
    }
}

impl Iterator for ArrowReader {
    type Item = Result<RecordBatch, ArrowError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().map_err(|error| ArrowError::ExternalError(Box::new(error))).transpose()
    }
}

impl RecordBatchReader for ArrowReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

fn schema_of(fields: &[Field]) -> SchemaRef {
    let field = |field: &Field| {
        let arrow = ArrowField::new(&field.name, type_of(field.ty), true);
        match field.ty {
            SqlType::Numeric => arrow.with_metadata(metadata("orrery.type", "numeric")),
            SqlType::Uuid => arrow.with_metadata(metadata("ARROW:extension:name", "arrow.uuid")),
            _ => arrow,
        }
    };
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

fn metadata(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

fn type_of(ty: SqlType) -> DataType {
    match ty {
        SqlType::Numeric | SqlType::Unknown | SqlType::Array(_) => DataType::Utf8,
        SqlType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        SqlType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        other => other.arrow(),
    }
}

fn record_batch(batch: &Batch, fields: &[Field], schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns.iter().zip(fields).map(|(column, field)| column_out(column, field.ty));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.row_count));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|error| Error::internal(error.to_string()))
}

fn column_out(column: &ArrayRef, ty: SqlType) -> Result<ArrayRef> {
    let values = || (0..column.len()).map(|row| datum_at(&**column, ty, row));
    Ok(match ty {
        SqlType::Numeric | SqlType::Unknown | SqlType::Array(_) => {
            let text = |value: Datum| match value {
                Datum::Null => None,
                Datum::Text(text) => Some(text.to_string()),
                Datum::Numeric(number) => Some(number.to_string()),
                Datum::Array(array) => {
                    let mut text = String::new();
                    array.format_into(&mut text, Default::default());
                    Some(text)
                }
                other => Some(format!("{other:?}")),
            };
            Arc::new(values().map(|value| value.map(text)).collect::<Result<StringArray>>()?)
        }
        SqlType::Interval => {
            let interval = |value: Datum| match value {
                Datum::Interval(interval) => month_day_nano(interval).map(Some),
                _ => Ok(None),
            };
            let intervals = values().map(|value| value.and_then(interval));
            Arc::new(intervals.collect::<Result<IntervalMonthDayNanoArray>>()?)
        }
        SqlType::Timestamptz if matches!(column.data_type(), DataType::Timestamp(..)) => {
            Arc::new(column.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC"))
        }
        SqlType::Decimal { .. } if holds_nan(column) => {
            let message =
                "a numeric column holds NaN, which Arrow's decimals cannot: cast it to double precision";
            return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
        }
        _ if column.data_type() == &ty.arrow() => column.clone(),
        _ => array_of(&values().collect::<Result<Vec<_>>>()?, ty)?,
    })
}

fn holds_nan(column: &ArrayRef) -> bool {
    let decimals = column.as_primitive_opt::<Decimal128Type>();
    decimals.is_some_and(|decimals| decimals.values().contains(&DECIMAL_NAN))
}

fn month_day_nano(interval: Interval) -> Result<IntervalMonthDayNano> {
    let nanos = interval.micros.checked_mul(1000).ok_or_else(|| {
        let message = "an interval of more than 292 years of time does not fit Arrow's nanoseconds";
        Error::new(SqlState::INTERVAL_FIELD_OVERFLOW, message)
    })?;
    Ok(IntervalMonthDayNano::new(interval.months, interval.days, nanos))
}
