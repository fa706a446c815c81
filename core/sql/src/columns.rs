//! Between single values and Arrow arrays: a builder for a column of any SQL type, and reading one value out of an array.
//!
//! Invariant C1: an array built here has exactly the layout of [`SqlType::arrow`].

use crate::array::ArrayValue;
use crate::datum::{Datum, Interval};
use crate::record::RecordValue;
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::types as arrow;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, NullArray,
    PrimitiveArray, StringArray,
};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;
use orrery_base::{Error, Result, SqlState};
use orrery_row::numeric::Numeric;
use std::sync::Arc;

/// The values of a column under construction. NULLs hold a place here too.
#[derive(Debug)]
pub enum Values {
    /// See [`SqlType::Unknown`]: only NULLs.
    Null(usize),
    /// `boolean`
    Bool(Vec<bool>),
    /// `smallint`
    I16(Vec<i16>),
    /// `integer`, `date`
    I32(Vec<i32>),
    /// `bigint`, timestamps
    I64(Vec<i64>),
    /// `real`
    F32(Vec<f32>),
    /// `double precision`
    F64(Vec<f64>),
    /// `numeric(p,s)`
    I128(Vec<i128>),
    /// `uuid`, `interval`
    Fixed16(Vec<u8>),
    /// `text`, `bytea`, `numeric`: ends and bytes.
    Bytes(Vec<i32>, Vec<u8>),
}

/// Builds one column.
#[derive(Debug)]
pub struct ColumnBuilder {
    ty: SqlType,
    /// The values; whoever writes here writes as many to `valid`.
    pub values: Values,
    /// Which rows are not NULL.
    pub valid: BooleanBufferBuilder,
}

fn too_long() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a batch of values is longer than 2 GB")
}

impl ColumnBuilder {
    /// An empty column.
    pub fn new(ty: SqlType, capacity: usize) -> Self {
        let ty = ty.layout();
        let values = match ty {
            SqlType::Fitted(_) => Values::Null(0),
            SqlType::Unknown => Values::Null(0),
            SqlType::Bool => Values::Bool(Vec::with_capacity(capacity)),
            SqlType::Int2 => Values::I16(Vec::with_capacity(capacity)),
            SqlType::Int4 | SqlType::Date => Values::I32(Vec::with_capacity(capacity)),
            SqlType::Int8 | SqlType::Reg(_) | SqlType::Timestamp | SqlType::Timestamptz | SqlType::Time => {
                Values::I64(Vec::with_capacity(capacity))
            }
            SqlType::Float4 => Values::F32(Vec::with_capacity(capacity)),
            SqlType::Float8 => Values::F64(Vec::with_capacity(capacity)),
            SqlType::Decimal { .. } => Values::I128(Vec::with_capacity(capacity)),
            SqlType::Uuid | SqlType::Interval => Values::Fixed16(Vec::with_capacity(capacity * 16)),
            SqlType::Numeric
            | SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Name
            | SqlType::QuotedChar
            | SqlType::Char(_)
            | SqlType::Json
            | SqlType::Jsonb
            | SqlType::Array(_)
            | SqlType::Record(_)
            | SqlType::Enum(_)
            | SqlType::Bytea => {
                let mut offsets = Vec::with_capacity(capacity + 1);
                offsets.push(0);
                Values::Bytes(offsets, Vec::with_capacity(capacity * 8))
            }
        };
        ColumnBuilder { ty, values, valid: BooleanBufferBuilder::new(capacity) }
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.valid.is_empty()
    }

    /// Bytes of the values so far.
    pub fn byte_count(&self) -> usize {
        match &self.values {
            Values::Null(_) => 0,
            Values::Bool(values) => values.len(),
            Values::I16(values) => values.len() * 2,
            Values::I32(values) => values.len() * 4,
            Values::I64(values) => values.len() * 8,
            Values::F32(values) => values.len() * 4,
            Values::F64(values) => values.len() * 8,
            Values::I128(values) => values.len() * 16,
            Values::Fixed16(bytes) => bytes.len(),
            Values::Bytes(offsets, bytes) => offsets.len() * 4 + bytes.len(),
        }
    }

    /// Appends a NULL.
    pub fn push_null(&mut self) {
        self.valid.append(false);
        match &mut self.values {
            Values::Null(count) => *count += 1,
            Values::Bool(values) => values.push(false),
            Values::I16(values) => values.push(0),
            Values::I32(values) => values.push(0),
            Values::I64(values) => values.push(0),
            Values::F32(values) => values.push(0.0),
            Values::F64(values) => values.push(0.0),
            Values::I128(values) => values.push(0),
            Values::Fixed16(bytes) => bytes.extend_from_slice(&[0; 16]),
            Values::Bytes(offsets, bytes) => offsets.push(bytes.len() as i32),
        }
    }

    /// Appends a string of bytes to a variable-width column. Errors: 54000 when the column grows beyond 2 GB.
    pub fn push_bytes(&mut self, value: &[u8]) -> Result<()> {
        let Values::Bytes(offsets, bytes) = &mut self.values else { return Err(wrong_type(self.ty)) };
        let end = i32::try_from(bytes.len() + value.len()).map_err(|_| too_long())?;
        bytes.extend_from_slice(value);
        offsets.push(end);
        self.valid.append(true);
        Ok(())
    }

    /// Appends a value. Errors: XX000 for a value of another type; 54000 when the column grows beyond 2 GB.
    pub fn push(&mut self, value: &Datum) -> Result<()> {
        match (&mut self.values, value) {
            (_, Datum::Null) => {
                self.push_null();
                return Ok(());
            }
            (Values::Bool(values), Datum::Bool(value)) => values.push(*value),
            (Values::I16(values), Datum::Int2(value)) => values.push(*value),
            (Values::I32(values), Datum::Int4(value) | Datum::Date(value)) => values.push(*value),
            (
                Values::I64(values),
                Datum::Int8(value) | Datum::Timestamp(value) | Datum::Timestamptz(value) | Datum::Time(value),
            ) => {
                values.push(*value);
            }
            (Values::F32(values), Datum::Float4(value)) => values.push(*value),
            (Values::F64(values), Datum::Float8(value)) => values.push(*value),
            (Values::I128(values), Datum::Numeric(value)) => values.push(decimal_of(value, self.ty)?),
            (Values::Fixed16(bytes), Datum::Uuid(value)) => bytes.extend_from_slice(value),
            (Values::Fixed16(bytes), Datum::Interval(value)) => {
                bytes.extend_from_slice(&interval_bytes(*value))
            }
            (Values::Bytes(..), Datum::Text(value) | Datum::Jsonb(value)) => {
                return self.push_bytes(value.as_bytes());
            }
            (Values::Bytes(..), Datum::Array(value)) => return self.push_bytes(&value.encode()),
            (Values::Bytes(..), Datum::Record(value)) => return self.push_bytes(&value.encode()),
            (Values::Bytes(..), Datum::Bytea(value)) => return self.push_bytes(value),
            (Values::Bytes(..), Datum::Numeric(value)) => return self.push_bytes(&value.to_wide()),
            _ => return Err(wrong_type(self.ty)),
        }
        self.valid.append(true);
        Ok(())
    }

    /// The finished column. Errors: 22021 for text that is not UTF-8.
    pub fn finish(mut self) -> Result<ArrayRef> {
        let valid = self.valid.finish();
        let nulls = (valid.count_set_bits() < valid.len()).then(|| NullBuffer::new(valid));
        Ok(match self.values {
            Values::Null(count) => Arc::new(NullArray::new(count)),
            Values::Bool(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls)),
            Values::I16(values) => primitive::<arrow::Int16Type>(values, nulls),
            Values::I32(values) if self.ty == SqlType::Date => primitive::<arrow::Date32Type>(values, nulls),
            Values::I32(values) => primitive::<arrow::Int32Type>(values, nulls),
            Values::I64(values) if matches!(self.ty, SqlType::Int8 | SqlType::Reg(_)) => {
                primitive::<arrow::Int64Type>(values, nulls)
            }
            Values::I64(values) if self.ty == SqlType::Time => {
                primitive::<arrow::Time64MicrosecondType>(values, nulls)
            }
            Values::I64(values) => primitive::<arrow::TimestampMicrosecondType>(values, nulls),
            Values::F32(values) => primitive::<arrow::Float32Type>(values, nulls),
            Values::F64(values) => primitive::<arrow::Float64Type>(values, nulls),
            Values::I128(values) => decimal_array(values, nulls, self.ty)?,
            Values::Fixed16(bytes) => fixed16(bytes, nulls)?,
            Values::Bytes(offsets, bytes) => {
                // The offsets were made ascending.
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let bytes = Buffer::from_vec(bytes);
                match self.ty {
                    SqlType::Numeric | SqlType::Bytea | SqlType::Array(_) | SqlType::Record(_) => {
                        Arc::new(BinaryArray::new(offsets, bytes, nulls))
                    }
                    _ => Arc::new(StringArray::try_new(offsets, bytes, nulls).map_err(not_utf8)?),
                }
            }
        })
    }
}

fn not_utf8(_: arrow_schema::ArrowError) -> Error {
    Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\"")
}

fn wrong_type(ty: SqlType) -> Error {
    Error::internal(format!("a value of another type in a column of {ty}"))
}

/// A primitive array of these values.
pub fn primitive<T: arrow_array::ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls))
}

/// A column of `numeric(p,s)` coefficients.
pub fn decimal_array(values: Vec<i128>, nulls: Option<NullBuffer>, ty: SqlType) -> Result<ArrayRef> {
    let array = Decimal128Array::new(ScalarBuffer::from(values), nulls);
    Ok(Arc::new(array.with_data_type(ty.arrow())))
}

fn fixed16(bytes: Vec<u8>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let array = FixedSizeBinaryArray::try_new(16, Buffer::from_vec(bytes), nulls);
    Ok(Arc::new(array.map_err(|error| Error::internal(error.to_string()))?))
}

/// The coefficient that a value has in a column of `numeric(p,s)`.
pub fn decimal_of(value: &Numeric, ty: SqlType) -> Result<i128> {
    let SqlType::Decimal { scale, .. } = ty else { return Err(wrong_type(ty)) };
    value.to_decimal128(scale).ok_or_else(|| wrong_type(ty))
}

/// The array form of an interval.
pub fn interval_bytes(value: Interval) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&value.micros.to_le_bytes());
    bytes[8..12].copy_from_slice(&value.days.to_le_bytes());
    bytes[12..].copy_from_slice(&value.months.to_le_bytes());
    bytes
}

/// The inverse of [`interval_bytes`].
pub fn interval_from(bytes: &[u8]) -> Interval {
    let part = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let micros = i64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    Interval { micros, days: part(8), months: part(12) }
}

/// A numeric out of its wide array form. Errors: XX001.
pub fn numeric_from(bytes: &[u8]) -> Result<Numeric> {
    Numeric::from_wide(bytes).ok_or_else(|| Error::corrupt("the bytes of a numeric are damaged"))
}

/// One value of an array. Errors: XX000 when the array is not laid out as `ty`; XX001 for a damaged numeric.
pub fn datum_at(array: &dyn Array, ty: SqlType, row: usize) -> Result<Datum> {
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return Ok(Datum::Null);
    }
    Ok(match (ty, array.data_type()) {
        (SqlType::Bool, DataType::Boolean) => Datum::Bool(array.as_boolean().value(row)),
        (SqlType::Int2, DataType::Int16) => Datum::Int2(array.as_primitive::<arrow::Int16Type>().value(row)),
        (SqlType::Int4, DataType::Int32) => Datum::Int4(array.as_primitive::<arrow::Int32Type>().value(row)),
        (SqlType::Int8 | SqlType::Reg(_), DataType::Int64) => {
            Datum::Int8(array.as_primitive::<arrow::Int64Type>().value(row))
        }
        (SqlType::Float4, DataType::Float32) => {
            Datum::Float4(array.as_primitive::<arrow::Float32Type>().value(row))
        }
        (SqlType::Float8, DataType::Float64) => {
            Datum::Float8(array.as_primitive::<arrow::Float64Type>().value(row))
        }
        (SqlType::Decimal { .. } | SqlType::Numeric, DataType::Decimal128(_, scale)) => {
            let coefficient = array.as_primitive::<arrow::Decimal128Type>().value(row);
            Datum::Numeric(Numeric::from_decimal128(coefficient, *scale as u16))
        }
        (SqlType::Numeric | SqlType::Decimal { .. }, DataType::Binary) => {
            Datum::Numeric(numeric_from(array.as_binary::<i32>().value(row))?)
        }
        (SqlType::Jsonb, DataType::Utf8) => Datum::Jsonb(array.as_string::<i32>().value(row).into()),
        (SqlType::Array(_), DataType::Binary) => {
            Datum::Array(Arc::new(ArrayValue::decode(array.as_binary::<i32>().value(row))?))
        }
        (SqlType::Record(_), DataType::Binary) => {
            Datum::Record(Arc::new(RecordValue::decode(array.as_binary::<i32>().value(row))?))
        }
        (SqlType::Time, DataType::Time64(_)) => {
            Datum::Time(array.as_primitive::<arrow::Time64MicrosecondType>().value(row))
        }
        (
            SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Name
            | SqlType::QuotedChar
            | SqlType::Char(_)
            | SqlType::Json
            | SqlType::Enum(_)
            | SqlType::Unknown,
            DataType::Utf8,
        ) => Datum::Text(array.as_string::<i32>().value(row).into()),
        (SqlType::Bytea, DataType::Binary) => Datum::Bytea(array.as_binary::<i32>().value(row).into()),
        (SqlType::Date, DataType::Date32) => {
            Datum::Date(array.as_primitive::<arrow::Date32Type>().value(row))
        }
        (SqlType::Timestamp, DataType::Timestamp(..)) => {
            Datum::Timestamp(array.as_primitive::<arrow::TimestampMicrosecondType>().value(row))
        }
        (SqlType::Timestamptz, DataType::Timestamp(..)) => {
            Datum::Timestamptz(array.as_primitive::<arrow::TimestampMicrosecondType>().value(row))
        }
        (SqlType::Interval, DataType::FixedSizeBinary(16)) => {
            Datum::Interval(interval_from(array.as_fixed_size_binary().value(row)))
        }
        (SqlType::Uuid, DataType::FixedSizeBinary(16)) => {
            Datum::Uuid(array.as_fixed_size_binary().value(row).try_into().expect("sixteen bytes"))
        }
        (ty, found) => return Err(Error::internal(format!("an array of {found} where {ty} was planned"))),
    })
}

/// An array of these values.
pub fn array_of<'a>(values: impl IntoIterator<Item = &'a Datum>, ty: SqlType) -> Result<ArrayRef> {
    let values = values.into_iter();
    let mut builder = ColumnBuilder::new(ty, values.size_hint().0);
    for value in values {
        builder.push(value)?;
    }
    builder.finish()
}

/// `count` NULLs.
pub fn nulls_of(ty: SqlType, count: usize) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(ty, count);
    for _ in 0..count {
        builder.push_null();
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_there_and_back() {
        let numeric = |text: &str| Datum::Numeric(text.parse().unwrap());
        let decimal = SqlType::Decimal { precision: 5, scale: 2 };
        let cases = [
            (SqlType::Bool, Datum::Bool(true)),
            (SqlType::Int2, Datum::Int2(-3)),
            (SqlType::Int4, Datum::Int4(-3)),
            (SqlType::Int8, Datum::Int8(-3)),
            (SqlType::Float4, Datum::Float4(1.5)),
            (SqlType::Float8, Datum::Float8(1.5)),
            (SqlType::Numeric, numeric("123.450")),
            (decimal, numeric("123.45")),
            (SqlType::Text, Datum::Text("häh".into())),
            (SqlType::Bytea, Datum::Bytea([0, 1][..].into())),
            (SqlType::Date, Datum::Date(7)),
            (SqlType::Timestamp, Datum::Timestamp(7)),
            (SqlType::Timestamptz, Datum::Timestamptz(7)),
            (SqlType::Interval, Datum::Interval(Interval { months: 1, days: -2, micros: 3 })),
            (SqlType::Uuid, Datum::Uuid([9; 16])),
            (SqlType::Time, Datum::Time(7)),
            (SqlType::Char(Some(3)), Datum::Text("a  ".into())),
            (SqlType::Jsonb, Datum::Jsonb("[1]".into())),
            (
                SqlType::Int4.array().unwrap(),
                Datum::Array(ArrayValue::of(SqlType::Int4, vec![Datum::Int4(1), Datum::Null]).into()),
            ),
        ];
        for (ty, value) in cases {
            let array = array_of([&Datum::Null, &value], ty).unwrap();
            assert_eq!(array.data_type(), &ty.arrow());
            assert_eq!(datum_at(&array, ty, 0).unwrap(), Datum::Null);
            assert_eq!(datum_at(&array, ty, 1).unwrap(), value);
        }
    }
}
