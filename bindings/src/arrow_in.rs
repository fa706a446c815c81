//! Arrow record batches into tables: the columns go to the executor as they are, without a row or a text between.

use crate::connection::{Connection, quote_name};
use arrow_array::cast::AsArray;
use arrow_array::types as arrow;
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch, RecordBatchReader, UInt32Array};
use arrow_schema::{DataType, Field as ArrowField, IntervalUnit, TimeUnit};
use orrery_engine::base::{Error, Result, SqlState};
use orrery_engine::sql::columns::{ColumnBuilder, nulls_of};
use orrery_engine::sql::datum::{Datum, Interval};
use orrery_engine::sql::exec::Batch;
use orrery_engine::sql::gather;
use orrery_engine::sql::types::SqlType;
use std::sync::Arc;

impl Connection {
    /// Inserts the rows of `reader` into a table, by column name, in one transaction (the open one, if one is); answers how
    /// many. Columns that the reader lacks get their defaults. Errors: 42703 for a column that the table lacks, 0A000 for a
    /// type that has no counterpart, those of INSERT; nothing is inserted then.
    pub fn insert_arrow(&mut self, table: &str, reader: impl RecordBatchReader) -> Result<u64> {
        let schema = reader.schema();
        let names: Vec<_> = schema.fields().iter().map(|field| quote_name(field.name())).collect();
        let places: Vec<_> = (1..=names.len()).map(|number| format!("${number}")).collect();
        let table = quote_name(table);
        let sql = format!("insert into {table} ({}) values ({})", names.join(", "), places.join(", "));
        let statement = self.prepare(&sql)?;
        let types = schema.fields().iter().map(|field| sql_type(field)).collect::<Result<Vec<_>>>()?;
        self.in_transaction(|connection| {
            let mut row_count = 0;
            for batch in reader {
                let batch = batch.map_err(unreadable)?;
                row_count += connection.execute_columns(&statement, &types, columns_in(&batch, &types)?)?;
            }
            Ok(row_count)
        })
    }

    /// Makes a table of the reader's columns and fills it, in one transaction; answers how many rows. Errors: 42P07 when there
    /// is one of that name, those of [`Connection::insert_arrow`].
    pub fn create_from_arrow(&mut self, table: &str, reader: impl RecordBatchReader) -> Result<u64> {
        let schema = reader.schema();
        let column = |field: &Arc<ArrowField>| {
            // What Arrow does not know the type of holds only NULLs.
            let ty = match sql_type(field)? {
                SqlType::Unknown => SqlType::Text,
                ty => ty,
            };
            Ok(format!("{} {}", quote_name(field.name()), ty.name()))
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        self.in_transaction(|connection| {
            connection
                .execute(&format!("create table {} ({})", quote_name(table), columns.join(", ")), &[])?;
            connection.insert_arrow(table, reader)
        })
    }
}

fn unreadable(error: arrow_schema::ArrowError) -> Error {
    Error::new(SqlState::DATA_EXCEPTION, format!("the Arrow stream gave an error: {error}"))
}

/// The SQL type that takes a field's values.
fn sql_type(field: &ArrowField) -> Result<SqlType> {
    let is_uuid = field.metadata().get("ARROW:extension:name").is_some_and(|name| name == "arrow.uuid");
    Ok(match field.data_type() {
        DataType::Null => SqlType::Unknown,
        DataType::Boolean => SqlType::Bool,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => SqlType::Int2,
        DataType::UInt16 | DataType::Int32 => SqlType::Int4,
        DataType::UInt32 | DataType::Int64 => SqlType::Int8,
        DataType::UInt64 => SqlType::Decimal { precision: 20, scale: 0 },
        DataType::Float32 => SqlType::Float4,
        DataType::Float64 => SqlType::Float8,
        DataType::Decimal128(precision, scale) if *scale >= 0 && scale.unsigned_abs() <= *precision => {
            SqlType::Decimal { precision: *precision, scale: scale.unsigned_abs() }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => SqlType::Text,
        DataType::FixedSizeBinary(16) if is_uuid => SqlType::Uuid,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            SqlType::Bytea
        }
        DataType::Date32 | DataType::Date64 => SqlType::Date,
        DataType::Timestamp(_, None) => SqlType::Timestamp,
        DataType::Timestamp(_, Some(_)) => SqlType::Timestamptz,
        DataType::Duration(_) | DataType::Interval(IntervalUnit::MonthDayNano) => SqlType::Interval,
        DataType::Dictionary(_, values) => {
            sql_type(&ArrowField::new(field.name(), (**values).clone(), true))?
        }
        other => {
            return Err(Error::unsupported(format!("column \"{}\" of Arrow type {other}", field.name())));
        }
    })
}

fn columns_in(batch: &RecordBatch, types: &[SqlType]) -> Result<Batch> {
    let columns = batch.columns().iter().zip(types).map(|(column, &ty)| column_in(column, ty));
    Ok(Batch { columns: columns.collect::<Result<_>>()?, row_count: batch.num_rows() })
}

fn column_in(column: &ArrayRef, ty: SqlType) -> Result<ArrayRef> {
    if column.data_type() == &ty.arrow() {
        return Ok(column.clone());
    }
    if let DataType::Timestamp(TimeUnit::Microsecond, Some(_)) = column.data_type() {
        let plain = column.as_primitive::<arrow::TimestampMicrosecondType>().clone();
        return Ok(Arc::new(plain.with_timezone_opt(None::<Arc<str>>)));
    }
    if let Some(dictionary) = column.as_any_dictionary_opt() {
        let values = column_in(dictionary.values(), ty)?;
        if values.is_empty() {
            return nulls_of(ty, column.len());
        }
        let rows = dictionary.normalized_keys().into_iter().map(|row| row as u32).collect::<Vec<_>>();
        let rows = UInt32Array::new(rows.into(), dictionary.nulls().cloned());
        return gather::take(&values, &rows);
    }
    let mut builder = ColumnBuilder::new(ty, column.len());
    let value = reader(column)?;
    for row in 0..column.len() {
        if column.is_null(row) { builder.push_null() } else { builder.push(&value(row)?)? }
    }
    builder.finish()
}

type ValueAt<'a> = Box<dyn Fn(usize) -> Result<Datum> + 'a>;

/// What reads a value of a column in another layout than ours.
fn reader(column: &ArrayRef) -> Result<ValueAt<'_>> {
    macro_rules! each {
        ($array:expr, $value:ident => $datum:expr) => {{
            let array = $array;
            Box::new(move |row| {
                let $value = array.value(row);
                Ok($datum)
            })
        }};
    }
    Ok(match column.data_type() {
        DataType::Int8 => each!(column.as_primitive::<arrow::Int8Type>(), it => Datum::Int2(it.into())),
        DataType::UInt8 => each!(column.as_primitive::<arrow::UInt8Type>(), it => Datum::Int2(it.into())),
        DataType::UInt16 => each!(column.as_primitive::<arrow::UInt16Type>(), it => Datum::Int4(it.into())),
        DataType::UInt32 => each!(column.as_primitive::<arrow::UInt32Type>(), it => Datum::Int8(it.into())),
        DataType::UInt64 => {
            let wide = |value: u64| {
                Datum::Numeric(orrery_engine::row::numeric::Numeric::from_decimal128(value.into(), 0))
            };
            each!(column.as_primitive::<arrow::UInt64Type>(), it => wide(it))
        }
        DataType::LargeUtf8 => each!(column.as_string::<i64>(), it => Datum::Text(it.into())),
        DataType::Utf8View => each!(column.as_string_view(), it => Datum::Text(it.into())),
        DataType::LargeBinary => each!(column.as_binary::<i64>(), it => Datum::Bytea(it.into())),
        DataType::BinaryView => each!(column.as_binary_view(), it => Datum::Bytea(it.into())),
        DataType::FixedSizeBinary(_) => each!(column.as_fixed_size_binary(), it => Datum::Bytea(it.into())),
        DataType::Date64 => {
            let days = |millis: i64| i32::try_from(millis.div_euclid(86_400_000)).map_err(|_| out_of_range());
            each!(column.as_primitive::<arrow::Date64Type>(), it => Datum::Date(days(it)?))
        }
        DataType::Timestamp(unit, zone) => timestamps(column, *unit, zone.is_some()),
        DataType::Duration(unit) => durations(column, *unit),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            each!(column.as_primitive::<arrow::IntervalMonthDayNanoType>(), it => Datum::Interval(Interval {
                months: it.months, days: it.days, micros: it.nanoseconds.div_euclid(1000),
            }))
        }
        other => return Err(Error::internal(format!("an Arrow column of {other} was not expected"))),
    })
}

fn timestamps(column: &ArrayRef, unit: TimeUnit, has_zone: bool) -> ValueAt<'_> {
    let count = counts(column, unit);
    Box::new(move |row| {
        let micros = count(row)?;
        Ok(if has_zone { Datum::Timestamptz(micros) } else { Datum::Timestamp(micros) })
    })
}

fn durations(column: &ArrayRef, unit: TimeUnit) -> ValueAt<'_> {
    let count = counts(column, unit);
    Box::new(move |row| Ok(Datum::Interval(Interval { months: 0, days: 0, micros: count(row)? })))
}

/// The values of a column of 64-bit counts of `unit`, as microseconds; nanoseconds are rounded down.
fn counts(column: &ArrayRef, unit: TimeUnit) -> impl Fn(usize) -> Result<i64> + '_ {
    let data = column.to_data();
    let counts = PrimitiveArray::<arrow::Int64Type>::new(data.buffers()[0].clone().into(), None)
        .slice(data.offset(), data.len());
    move |row| {
        let count = counts.value(row);
        match unit {
            TimeUnit::Second => count.checked_mul(1_000_000),
            TimeUnit::Millisecond => count.checked_mul(1000),
            TimeUnit::Microsecond => Some(count),
            TimeUnit::Nanosecond => Some(count.div_euclid(1000)),
        }
        .ok_or_else(out_of_range)
    }
}

fn out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "a date or time of the Arrow stream is out of range")
}
