//! Rows as bytes: how operators keep single rows (spilled runs, partitions, top-N heaps) and rebuild columns from them.
//! A private form that lives as long as the statement: each value is a tag (0 = NULL) and its bytes.

use crate::columns::{self, ColumnBuilder, Values};
use crate::datum::Datum;
use crate::exec::Batch;
use crate::functions::Value;
use crate::functions::kernel::Arg;
use crate::types::SqlType;
use arrow_array::Array;
use orrery_base::{Error, Result};

fn damaged() -> Error {
    Error::internal("a spilled row is damaged")
}

/// The columns of a batch, ready to be written row by row.
pub struct RowEncoder<'a> {
    columns: Vec<(Arg<'a>, Option<&'a arrow_buffer::NullBuffer>)>,
}

/// The columns of a batch as evaluation's values.
pub fn values_of(batch: &Batch) -> Vec<Value> {
    batch.columns.iter().map(|column| Value::Array(column.clone())).collect()
}

impl<'a> RowEncoder<'a> {
    /// For these columns.
    pub fn new(values: &'a [Value]) -> Result<Self> {
        let column = |value: &'a Value| Ok((Arg::new(value)?, value.array().nulls()));
        Ok(RowEncoder { columns: values.iter().map(column).collect::<Result<_>>()? })
    }

    /// Appends a row.
    pub fn encode(&self, row: usize, into: &mut Vec<u8>) {
        for (arg, nulls) in &self.columns {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) || matches!(arg, Arg::Null) {
                into.push(0);
                continue;
            }
            into.push(1);
            match arg {
                Arg::Null => {}
                Arg::Bool(values, _) => into.push(u8::from(values.value(row))),
                Arg::I16(values, _) => into.extend_from_slice(&values[row].to_le_bytes()),
                Arg::I32(values, _) => into.extend_from_slice(&values[row].to_le_bytes()),
                Arg::I64(values, _) => into.extend_from_slice(&values[row].to_le_bytes()),
                Arg::F32(values, _) => into.extend_from_slice(&values[row].to_le_bytes()),
                Arg::F64(values, _) => into.extend_from_slice(&values[row].to_le_bytes()),
                Arg::Decimal(values, ..) => into.extend_from_slice(&values[row].to_le_bytes()),
                Arg::Text(array, _) => push_bytes(into, array.value(row).as_bytes()),
                Arg::Bytes(array, _) => push_bytes(into, array.value(row)),
                Arg::Fixed16(array, _) => into.extend_from_slice(array.value(row)),
            }
        }
    }
}

fn push_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    into.extend_from_slice(bytes);
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(head)
}

fn fixed<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take(bytes, N)?.try_into().ok()
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(fixed(bytes)?);
    take(bytes, length as usize)
}

/// Rebuilds columns from rows.
pub struct RowDecoder {
    builders: Vec<ColumnBuilder>,
    row_count: usize,
}

impl RowDecoder {
    /// For rows of these types.
    pub fn new(types: &[SqlType]) -> Self {
        RowDecoder { builders: types.iter().map(|&ty| ColumnBuilder::new(ty, 64)).collect(), row_count: 0 }
    }

    /// Rows so far.
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// Bytes so far.
    pub fn byte_count(&self) -> usize {
        self.builders.iter().map(ColumnBuilder::byte_count).sum()
    }

    /// Appends a row; what is left of `bytes` belongs to the caller.
    pub fn push(&mut self, bytes: &mut &[u8]) -> Result<()> {
        self.row_count += 1;
        self.builders.iter_mut().try_for_each(|builder| push_value(builder, bytes))
    }

    /// The columns. Starts anew.
    pub fn finish(self) -> Result<Batch> {
        let columns = self.builders.into_iter().map(ColumnBuilder::finish).collect::<Result<_>>()?;
        Ok(Batch { columns, row_count: self.row_count })
    }
}

fn push_value(builder: &mut ColumnBuilder, bytes: &mut &[u8]) -> Result<()> {
    if fixed::<1>(bytes).ok_or_else(damaged)?[0] == 0 {
        builder.push_null();
        return Ok(());
    }
    if matches!(builder.values, Values::Bytes(..)) {
        let value = take_bytes(bytes).ok_or_else(damaged)?;
        return builder.push_bytes(value);
    }
    push_fixed(&mut builder.values, bytes).ok_or_else(damaged)?;
    builder.valid.append(true);
    Ok(())
}

fn push_fixed(values: &mut Values, bytes: &mut &[u8]) -> Option<()> {
    match values {
        Values::Null(count) => *count += 1,
        Values::Bool(values) => values.push(fixed::<1>(bytes)?[0] != 0),
        Values::I16(values) => values.push(i16::from_le_bytes(fixed(bytes)?)),
        Values::I32(values) => values.push(i32::from_le_bytes(fixed(bytes)?)),
        Values::I64(values) => values.push(i64::from_le_bytes(fixed(bytes)?)),
        Values::F32(values) => values.push(f32::from_le_bytes(fixed(bytes)?)),
        Values::F64(values) => values.push(f64::from_le_bytes(fixed(bytes)?)),
        Values::I128(values) => values.push(i128::from_le_bytes(fixed(bytes)?)),
        Values::Fixed16(all) => all.extend_from_slice(take(bytes, 16)?),
        Values::Bytes(..) => return None,
    }
    Some(())
}

/// Writes one value.
pub fn write_datum(into: &mut Vec<u8>, value: &Datum) {
    if value.is_null() {
        into.push(0);
        return;
    }
    into.push(1);
    match value {
        Datum::Null => {}
        Datum::Bool(value) => into.push(u8::from(*value)),
        Datum::Int2(value) => into.extend_from_slice(&value.to_le_bytes()),
        Datum::Int4(value) | Datum::Date(value) => into.extend_from_slice(&value.to_le_bytes()),
        Datum::Int8(value) | Datum::Timestamp(value) | Datum::Timestamptz(value) | Datum::Time(value) => {
            into.extend_from_slice(&value.to_le_bytes());
        }
        Datum::Float4(value) => into.extend_from_slice(&value.to_le_bytes()),
        Datum::Float8(value) => into.extend_from_slice(&value.to_le_bytes()),
        Datum::Numeric(value) => push_bytes(into, &value.to_wide()),
        Datum::Text(value) | Datum::Jsonb(value) => push_bytes(into, value.as_bytes()),
        Datum::Array(value) => push_bytes(into, &value.encode()),
        Datum::Record(value) => push_bytes(into, &value.encode()),
        Datum::Bytea(value) => push_bytes(into, value),
        Datum::Interval(value) => into.extend_from_slice(&columns::interval_bytes(*value)),
        Datum::Uuid(value) => into.extend_from_slice(value),
    }
}

/// The inverse of [`write_datum`]; `None` when the bytes are no such value.
pub fn read_datum(bytes: &mut &[u8], ty: SqlType) -> Option<Datum> {
    if fixed::<1>(bytes)?[0] == 0 {
        return Some(Datum::Null);
    }
    Some(match ty {
        SqlType::Unknown => Datum::Null,
        SqlType::Bool => Datum::Bool(fixed::<1>(bytes)?[0] != 0),
        SqlType::Int2 => Datum::Int2(i16::from_le_bytes(fixed(bytes)?)),
        SqlType::Int4 => Datum::Int4(i32::from_le_bytes(fixed(bytes)?)),
        SqlType::Date => Datum::Date(i32::from_le_bytes(fixed(bytes)?)),
        SqlType::Int8 | SqlType::Reg(_) => Datum::Int8(i64::from_le_bytes(fixed(bytes)?)),
        SqlType::Timestamp => Datum::Timestamp(i64::from_le_bytes(fixed(bytes)?)),
        SqlType::Timestamptz => Datum::Timestamptz(i64::from_le_bytes(fixed(bytes)?)),
        SqlType::Float4 => Datum::Float4(f32::from_le_bytes(fixed(bytes)?)),
        SqlType::Float8 => Datum::Float8(f64::from_le_bytes(fixed(bytes)?)),
        SqlType::Numeric | SqlType::Decimal { .. } => {
            Datum::Numeric(orrery_row::numeric::Numeric::from_wide(take_bytes(bytes)?)?)
        }
        SqlType::Time => Datum::Time(i64::from_le_bytes(fixed(bytes)?)),
        SqlType::Jsonb => Datum::Jsonb(std::str::from_utf8(take_bytes(bytes)?).ok()?.into()),
        SqlType::Array(_) => {
            let array = crate::array::ArrayValue::decode(take_bytes(bytes)?).ok()?;
            Datum::Array(std::sync::Arc::new(array))
        }
        SqlType::Record(_) => {
            let record = crate::record::RecordValue::decode(take_bytes(bytes)?).ok()?;
            Datum::Record(std::sync::Arc::new(record))
        }
        SqlType::Text
        | SqlType::Varchar(_)
        | SqlType::Name
        | SqlType::QuotedChar
        | SqlType::Char(_)
        | SqlType::Enum(_)
        | SqlType::Json => Datum::Text(std::str::from_utf8(take_bytes(bytes)?).ok()?.into()),
        SqlType::Bytea => Datum::Bytea(take_bytes(bytes)?.into()),
        SqlType::Interval => Datum::Interval(columns::interval_from(take(bytes, 16)?)),
        SqlType::Uuid => Datum::Uuid(fixed(bytes)?),
        SqlType::Fitted(_) => return None,
    })
}
