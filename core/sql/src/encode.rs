//! How SQL rows lie in the store: the physical type of each SQL type, row values, primary keys, index entries, and the key
//! ranges of planned bounds.
//!
//! Invariants:
//! - N1: a row's value holds all of its columns, key columns too; nothing but covering index scans decodes a key.
//! - N2: equal SQL values have equal key bytes, whatever their display (1.1 and 1.10, 24 hours and 1 day, -0 and 0).
//! - N3: an index entry's key is its columns, followed, unless the index is unique and no column is NULL, by the row's
//!   primary key. Its value is the primary key's bytes.

use crate::array::ArrayValue;
use crate::catalog::{Index, Table};
use crate::civil::interval_key;
use crate::columns::{self, ColumnBuilder, Values};
use crate::datum::Datum;
use crate::eval;
use crate::functions;
use crate::functions::kernel::Arg;
use crate::functions::{EvalContext, Value};
use crate::json;
use crate::plan::KeyBounds;
use crate::record::RecordValue;
use crate::types::SqlType;
use arrow_array::Array;
use arrow_buffer::NullBuffer;
use orrery_base::kv::{KeyRange, RowRef, prefix_end};
use orrery_base::{Error, Result, TreeId};
use orrery_row::codec::{PhysicalType, RowLayout, RowView, RowWriter};
use orrery_row::key::{KeyReader, KeyWriter};
use std::ops::Bound;

/// How a SQL type lies in a row.
pub fn physical_type(ty: SqlType) -> PhysicalType {
    match ty {
        SqlType::Bool => PhysicalType::Bool,
        SqlType::Int2 => PhysicalType::I16,
        SqlType::Int4 | SqlType::Date => PhysicalType::I32,
        SqlType::Int8 | SqlType::Reg(_) | SqlType::Timestamp | SqlType::Timestamptz | SqlType::Time => {
            PhysicalType::I64
        }
        SqlType::Float4 => PhysicalType::F32,
        SqlType::Float8 => PhysicalType::F64,
        SqlType::Decimal { .. } => PhysicalType::I128,
        SqlType::Uuid | SqlType::Interval => PhysicalType::Fixed16,
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
        | SqlType::Bytea
        | SqlType::Unknown => PhysicalType::Bytes,
        SqlType::Fitted(fitted) => physical_type(fitted.layout()),
    }
}

/// What every row begins with. Columns are only ever added at the end (a dropped one stays, hidden), and a change of a type
/// writes all rows anew: so the column count in a row tells which columns it has.
const ROW_VERSION: u16 = 1;

/// Rows that were written before columns were added.
#[derive(Clone, Debug)]
pub struct OldRows {
    types: Vec<SqlType>,
    missing: Vec<Datum>,
}

impl OldRows {
    /// Those of a table.
    pub fn of(table: &Table) -> Self {
        let missing = table.columns.iter().map(|column| column.missing.clone()).collect();
        OldRows { types: types(table), missing }
    }

    /// The row as it would be written now. Errors: XX001 when it never was a row of the table.
    pub fn upgrade(&self, layout: &RowLayout, row: &[u8]) -> Result<Vec<u8>> {
        let misfit =
            || Error::corrupt(format!("a row of {} bytes does not fit its table's columns", row.len()));
        let count = row.get(2..4).map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
        let count = count.filter(|count| *count < self.types.len()).ok_or_else(misfit)?;
        let physical: Vec<_> = self.types[..count].iter().map(|ty| physical_type(*ty)).collect();
        let old = RowLayout::new(ROW_VERSION, &physical);
        if !old.fits(row) {
            return Err(misfit());
        }
        let mut values = decode_row(&old, &self.types[..count], row)?;
        values.extend(self.missing[count..].iter().cloned());
        let mut bytes = Vec::new();
        self::row(layout, &self.types, &values, &mut bytes)?;
        Ok(bytes)
    }

    /// Decodes a whole row of the table, old or not. Errors: XX001.
    pub fn decode(&self, layout: &RowLayout, row: &[u8]) -> Result<Vec<Datum>> {
        if layout.fits(row) {
            return decode_row(layout, &self.types, row);
        }
        decode_row(layout, &self.types, &self.upgrade(layout, row)?)
    }
}

/// The layout of a table's rows.
pub fn layout(table: &Table) -> RowLayout {
    let types: Vec<_> = table.columns.iter().map(|column| physical_type(column.ty)).collect();
    RowLayout::new(ROW_VERSION, &types)
}

/// The types of a table's columns.
pub fn types(table: &Table) -> Vec<SqlType> {
    table.columns.iter().map(|column| column.ty).collect()
}

// ---- Single values.

/// Appends a value to a key.
pub fn push_key(key: &mut Vec<u8>, value: &Datum, ty: SqlType, descending: bool) -> Result<()> {
    let mut writer = KeyWriter::new(key);
    match value {
        Datum::Null => writer.null(descending),
        Datum::Bool(value) => writer.bool(*value, descending),
        Datum::Int2(value) => writer.i16(*value, descending),
        Datum::Int4(value) | Datum::Date(value) => writer.i32(*value, descending),
        Datum::Int8(value) | Datum::Timestamp(value) | Datum::Timestamptz(value) | Datum::Time(value) => {
            writer.i64(*value, descending)
        }
        Datum::Float4(value) => writer.f32(*value, descending),
        Datum::Float8(value) => writer.f64(*value, descending),
        Datum::Numeric(value) if matches!(ty, SqlType::Decimal { .. }) => {
            writer.i128(columns::decimal_of(value, ty)?, descending);
        }
        Datum::Numeric(value) => writer.numeric(value, descending),
        Datum::Text(value) if matches!(ty, SqlType::Char(_)) => {
            writer.bytes(value.trim_end_matches(' ').as_bytes(), descending);
        }
        Datum::Text(value) => writer.bytes(value.as_bytes(), descending),
        Datum::Jsonb(value) => writer.bytes(&json::key(value), descending),
        Datum::Array(value) => writer.bytes(&value.key(), descending),
        Datum::Record(value) => writer.bytes(&value.key(), descending),
        Datum::Bytea(value) => writer.bytes(value, descending),
        Datum::Interval(value) => writer.i128(interval_key(*value), descending),
        Datum::Uuid(value) => writer.fixed(value, descending),
    }
    Ok(())
}

/// Writes a column of a row. Variable columns come in column order.
pub fn write_column(writer: &mut RowWriter<'_>, column: usize, value: &Datum, ty: SqlType) -> Result<()> {
    match value {
        Datum::Null => {}
        Datum::Bool(value) => writer.fixed(column, &[u8::from(*value)]),
        Datum::Int2(value) => writer.fixed(column, &value.to_le_bytes()),
        Datum::Int4(value) | Datum::Date(value) => writer.fixed(column, &value.to_le_bytes()),
        Datum::Int8(value) | Datum::Timestamp(value) | Datum::Timestamptz(value) | Datum::Time(value) => {
            writer.fixed(column, &value.to_le_bytes());
        }
        Datum::Float4(value) => writer.fixed(column, &value.to_le_bytes()),
        Datum::Float8(value) => writer.fixed(column, &value.to_le_bytes()),
        Datum::Numeric(value) if matches!(ty, SqlType::Decimal { .. }) => {
            writer.fixed(column, &columns::decimal_of(value, ty)?.to_le_bytes());
        }
        Datum::Numeric(value) => writer.bytes(column, &value.to_wide()),
        Datum::Text(value) | Datum::Jsonb(value) => writer.bytes(column, value.as_bytes()),
        Datum::Array(value) => writer.bytes(column, &value.encode()),
        Datum::Record(value) => writer.bytes(column, &value.encode()),
        Datum::Bytea(value) => writer.bytes(column, value),
        Datum::Interval(value) => writer.fixed(column, &columns::interval_bytes(*value)),
        Datum::Uuid(value) => writer.fixed(column, value),
    }
    Ok(())
}

/// Encodes a whole row into `into`, which is cleared.
pub fn row(layout: &RowLayout, types: &[SqlType], values: &[Datum], into: &mut Vec<u8>) -> Result<()> {
    let mut writer = RowWriter::new(layout, into);
    for (column, (value, &ty)) in values.iter().zip(types).enumerate() {
        write_column(&mut writer, column, value, ty)?;
    }
    writer.finish();
    Ok(())
}

/// Decodes a whole row. Errors: XX001.
pub fn decode_row(layout: &RowLayout, types: &[SqlType], bytes: &[u8]) -> Result<Vec<Datum>> {
    let view = RowView::new(layout, bytes)?;
    types.iter().enumerate().map(|(column, &ty)| decode_column(&view, column, ty)).collect()
}

/// Decodes one column of a row. Errors: XX001.
pub fn decode_column(view: &RowView<'_>, column: usize, ty: SqlType) -> Result<Datum> {
    if view.is_null(column) {
        return Ok(Datum::Null);
    }
    Ok(match ty {
        SqlType::Bool => Datum::Bool(view.fixed::<1>(column)[0] != 0),
        SqlType::Int2 => Datum::Int2(i16::from_le_bytes(view.fixed(column))),
        SqlType::Int4 => Datum::Int4(i32::from_le_bytes(view.fixed(column))),
        SqlType::Date => Datum::Date(i32::from_le_bytes(view.fixed(column))),
        SqlType::Int8 | SqlType::Reg(_) => Datum::Int8(i64::from_le_bytes(view.fixed(column))),
        SqlType::Timestamp => Datum::Timestamp(i64::from_le_bytes(view.fixed(column))),
        SqlType::Timestamptz => Datum::Timestamptz(i64::from_le_bytes(view.fixed(column))),
        SqlType::Float4 => Datum::Float4(f32::from_le_bytes(view.fixed(column))),
        SqlType::Float8 => Datum::Float8(f64::from_le_bytes(view.fixed(column))),
        SqlType::Decimal { scale, .. } => {
            let coefficient = i128::from_le_bytes(view.fixed(column));
            Datum::Numeric(orrery_row::numeric::Numeric::from_decimal128(coefficient, scale.into()))
        }
        SqlType::Numeric => Datum::Numeric(columns::numeric_from(view.bytes(column)?)?),
        SqlType::Text
        | SqlType::Varchar(_)
        | SqlType::Name
        | SqlType::QuotedChar
        | SqlType::Char(_)
        | SqlType::Enum(_)
        | SqlType::Json => Datum::Text(utf8(view.bytes(column)?)?.into()),
        SqlType::Jsonb => Datum::Jsonb(utf8(view.bytes(column)?)?.into()),
        SqlType::Array(_) => Datum::Array(std::sync::Arc::new(ArrayValue::decode(view.bytes(column)?)?)),
        SqlType::Record(_) => Datum::Record(std::sync::Arc::new(RecordValue::decode(view.bytes(column)?)?)),
        SqlType::Time => Datum::Time(i64::from_le_bytes(view.fixed(column))),
        SqlType::Bytea | SqlType::Unknown => Datum::Bytea(view.bytes(column)?.into()),
        SqlType::Interval => Datum::Interval(columns::interval_from(&view.fixed::<16>(column))),
        SqlType::Uuid => Datum::Uuid(view.fixed(column)),
        SqlType::Fitted(fitted) => decode_column(view, column, fitted.layout())?,
    })
}

/// Text out of a row. Errors: XX001.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::corrupt("a text in a row is not UTF-8"))
}

/// The key of an index entry of a row: N3. `primary_key` are the row's key bytes. Answers whether the key alone must be
/// unique.
pub fn index_key(
    table: &Table,
    index: &Index,
    row: &[Datum],
    primary_key: &[u8],
    key: &mut Vec<u8>,
) -> Result<bool> {
    key.clear();
    let mut has_null = false;
    for column in &index.columns {
        let value = &row[column.ordinal];
        has_null |= value.is_null();
        push_key(key, value, table.columns[column.ordinal].ty, column.descending)?;
    }
    let is_unique = index.unique && !has_null;
    if !is_unique {
        key.extend_from_slice(primary_key);
    }
    Ok(is_unique)
}

/// All index entries of a row: tree, key, and whether the key alone must be unique. The value of each is `primary_key`.
pub fn index_entries(
    table: &Table,
    row: &[Datum],
    primary_key: &[u8],
) -> Result<Vec<(TreeId, Vec<u8>, bool)>> {
    let entry = |index: &Index| {
        let mut key = Vec::new();
        let is_unique = index_key(table, index, row, primary_key, &mut key)?;
        Ok((index.tree, key, is_unique))
    };
    table.indexes.iter().map(entry).collect()
}

/// The key bytes of a row with a declared primary key.
pub fn primary_key(table: &Table, row: &[Datum], key: &mut Vec<u8>) -> Result<()> {
    table
        .primary_key
        .iter()
        .try_for_each(|&ordinal| push_key(key, &row[ordinal], table.columns[ordinal].ty, false))
}

/// The key bytes of a hidden row id.
pub fn row_id_key(id: i64, key: &mut Vec<u8>) {
    KeyWriter::new(key).i64(id, false);
}

// ---- Whole batches.

/// Appends row `row` of an argument to a key; `ty` tells intervals from uuids and numerics from byte strings.
pub fn push_arg_key(
    key: &mut Vec<u8>,
    arg: &Arg<'_>,
    nulls: Option<&NullBuffer>,
    row: usize,
    ty: SqlType,
    descending: bool,
) -> Result<()> {
    let mut writer = KeyWriter::new(key);
    if nulls.is_some_and(|nulls| nulls.is_null(row)) {
        writer.null(descending);
        return Ok(());
    }
    match arg {
        Arg::Null => writer.null(descending),
        Arg::Bool(values, mask) => writer.bool(values.value(row & mask), descending),
        Arg::I16(values, mask) => writer.i16(values[row & mask], descending),
        Arg::I32(values, mask) => writer.i32(values[row & mask], descending),
        Arg::I64(values, mask) => writer.i64(values[row & mask], descending),
        Arg::F32(values, mask) => writer.f32(values[row & mask], descending),
        Arg::F64(values, mask) => writer.f64(values[row & mask], descending),
        Arg::Decimal(values, _, mask) => writer.i128(values[row & mask], descending),
        Arg::Text(..) | Arg::Bytes(..) if ty.is_keyed() => {
            writer.bytes(&functions::compare::value_key(arg, row, ty)?, descending);
        }
        Arg::Text(array, mask) => writer.bytes(array.value(row & mask).as_bytes(), descending),
        Arg::Bytes(..) if ty.base() == SqlType::Numeric => writer.numeric(&arg.numeric(row)?, descending),
        Arg::Bytes(array, mask) => writer.bytes(array.value(row & mask), descending),
        Arg::Fixed16(array, mask) if ty == SqlType::Interval => {
            writer.i128(interval_key(columns::interval_from(array.value(row & mask))), descending);
        }
        Arg::Fixed16(array, mask) => writer.fixed(array.value(row & mask), descending),
    }
    Ok(())
}

/// The columns of a batch with their types, ready to be encoded row by row.
pub struct KeyColumns<'a> {
    columns: Vec<(Arg<'a>, Option<&'a NullBuffer>, SqlType)>,
}

impl<'a> KeyColumns<'a> {
    /// For these columns.
    pub fn new(values: &'a [Value], types: &[SqlType]) -> Result<Self> {
        let columns =
            values.iter().zip(types).map(|(value, &ty)| Ok((Arg::new(value)?, value.array().nulls(), ty)));
        Ok(KeyColumns { columns: columns.collect::<Result<_>>()? })
    }

    /// Appends column `column` of row `row`.
    #[inline]
    pub fn push(&self, column: usize, row: usize, descending: bool, key: &mut Vec<u8>) -> Result<()> {
        let (arg, nulls, ty) = &self.columns[column];
        push_arg_key(key, arg, *nulls, row, *ty, descending)
    }

    /// Whether column `column` of row `row` is NULL.
    #[inline]
    pub fn is_null(&self, column: usize, row: usize) -> bool {
        let (arg, nulls, _) = &self.columns[column];
        nulls.is_some_and(|nulls| nulls.is_null(row)) || matches!(arg, Arg::Null)
    }

    /// How many columns.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Encodes a table's row from as many columns as the table has.
    pub fn row(&self, layout: &RowLayout, row: usize, into: &mut Vec<u8>) {
        let mut writer = RowWriter::new(layout, into);
        for (column, (arg, nulls, _)) in self.columns.iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            match arg {
                Arg::Null => {}
                Arg::Bool(values, mask) => writer.fixed(column, &[u8::from(values.value(row & mask))]),
                Arg::I16(values, mask) => writer.fixed(column, &values[row & mask].to_le_bytes()),
                Arg::I32(values, mask) => writer.fixed(column, &values[row & mask].to_le_bytes()),
                Arg::I64(values, mask) => writer.fixed(column, &values[row & mask].to_le_bytes()),
                Arg::F32(values, mask) => writer.fixed(column, &values[row & mask].to_le_bytes()),
                Arg::F64(values, mask) => writer.fixed(column, &values[row & mask].to_le_bytes()),
                Arg::Decimal(values, _, mask) => writer.fixed(column, &values[row & mask].to_le_bytes()),
                Arg::Text(array, mask) => writer.bytes(column, array.value(row & mask).as_bytes()),
                Arg::Bytes(array, mask) => writer.bytes(column, array.value(row & mask)),
                Arg::Fixed16(array, mask) => writer.fixed(column, array.value(row & mask)),
            }
        }
        writer.finish();
    }
}

/// What row values are decoded from.
pub trait RowBytes {
    /// The row's value.
    fn bytes(&self) -> &[u8];
}

impl RowBytes for &[u8] {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl RowBytes for RowRef<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.value
    }
}

/// Appends one column of many rows to a builder. All rows [`RowLayout::fits`].
pub fn decode_rows<R: RowBytes>(
    layout: &RowLayout,
    column: usize,
    rows: &[R],
    builder: &mut ColumnBuilder,
) -> Result<()> {
    let (null_at, null_mask) = layout.null_bit(column);
    let at = layout.place(column).at;
    macro_rules! fixed {
        ($values:expr, $ty:ty, $width:literal) => {
            $values.extend(rows.iter().map(|row| {
                <$ty>::from_le_bytes(row.bytes()[at..at + $width].try_into().expect("as wide as its type"))
            }))
        };
    }
    match &mut builder.values {
        Values::Bool(values) => values.extend(rows.iter().map(|row| row.bytes()[at] != 0)),
        Values::I16(values) => fixed!(values, i16, 2),
        Values::I32(values) => fixed!(values, i32, 4),
        Values::I64(values) => fixed!(values, i64, 8),
        Values::F32(values) => fixed!(values, f32, 4),
        Values::F64(values) => fixed!(values, f64, 8),
        Values::I128(values) => fixed!(values, i128, 16),
        Values::Fixed16(bytes) => {
            rows.iter().for_each(|row| bytes.extend_from_slice(&row.bytes()[at..at + 16]))
        }
        Values::Bytes(..) | Values::Null(_) => {
            for row in rows {
                if row.bytes()[null_at] & null_mask != 0 {
                    builder.push_null();
                } else {
                    builder.push_bytes(layout.variable(row.bytes(), at)?)?;
                }
            }
            return Ok(());
        }
    }
    if rows.iter().all(|row| row.bytes()[null_at] & null_mask == 0) {
        builder.valid.append_n(rows.len(), true);
    } else {
        rows.iter().for_each(|row| builder.valid.append(row.bytes()[null_at] & null_mask == 0));
    }
    Ok(())
}

/// Whether a key column of this type gives the exact value back.
pub fn is_invertible(ty: SqlType) -> bool {
    !ty.is_keyed()
        && !matches!(
            ty,
            SqlType::Interval | SqlType::Numeric | SqlType::Float4 | SqlType::Float8 | SqlType::Unknown
        )
}

/// Reads a key column of an invertible type. Errors: XX001.
pub fn read_key(reader: &mut KeyReader<'_>, ty: SqlType, descending: bool) -> Result<Datum> {
    use orrery_row::numeric::Numeric;
    let value = match ty {
        SqlType::Bool => reader.bool(descending)?.map(Datum::Bool),
        SqlType::Int2 => reader.i16(descending)?.map(Datum::Int2),
        SqlType::Int4 => reader.i32(descending)?.map(Datum::Int4),
        SqlType::Date => reader.i32(descending)?.map(Datum::Date),
        SqlType::Int8 | SqlType::Reg(_) => reader.i64(descending)?.map(Datum::Int8),
        SqlType::Timestamp => reader.i64(descending)?.map(Datum::Timestamp),
        SqlType::Timestamptz => reader.i64(descending)?.map(Datum::Timestamptz),
        SqlType::Time => reader.i64(descending)?.map(Datum::Time),
        SqlType::Decimal { scale, .. } => reader
            .i128(descending)?
            .map(|value| Datum::Numeric(Numeric::from_decimal128(value, scale.into()))),
        SqlType::Text
        | SqlType::Varchar(_)
        | SqlType::Name
        | SqlType::QuotedChar
        | SqlType::Json
        | SqlType::Enum(_) => match reader.bytes(descending)? {
            Some(bytes) => Some(Datum::Text(utf8(&bytes)?.into())),
            None => None,
        },
        SqlType::Bytea => reader.bytes(descending)?.map(|bytes| Datum::Bytea(bytes.into())),
        SqlType::Uuid => reader.fixed::<16>(descending)?.map(Datum::Uuid),
        other => return Err(Error::internal(format!("a key column of {other} is not read back"))),
    };
    Ok(value.unwrap_or(Datum::Null))
}

// ---- Ranges.

/// The key range of planned bounds over key columns given as (type, descending); `None` when a bound is NULL and so
/// nothing qualifies. Errors: what the bounds' expressions raise.
pub fn key_range(
    bounds: &KeyBounds,
    key_columns: &[(SqlType, bool)],
    context: &EvalContext<'_>,
) -> Result<Option<KeyRange>> {
    let mut prefix = Vec::new();
    for (expr, &(ty, descending)) in bounds.equal.iter().zip(key_columns) {
        let value = eval::constant(expr, context)?;
        if value.is_null() {
            return Ok(None);
        }
        push_key(&mut prefix, &value, ty, descending)?;
    }
    let mut lower = None;
    let mut upper = None;
    for (side, bound) in [(&mut lower, &bounds.lower), (&mut upper, &bounds.upper)] {
        if let Some((expr, inclusive)) = bound {
            let value = eval::constant(expr, context)?;
            if value.is_null() {
                return Ok(None);
            }
            *side = Some((value, *inclusive));
        }
    }
    if lower.is_none() && upper.is_none() {
        return Ok(Some(if prefix.is_empty() { KeyRange::all() } else { KeyRange::prefix(&prefix) }));
    }
    let &(ty, descending) = key_columns
        .get(bounds.equal.len())
        .ok_or_else(|| Error::internal("a bound beyond the key's columns"))?;
    let encode = |value: &Datum| -> Result<Vec<u8>> {
        let mut key = prefix.clone();
        push_key(&mut key, value, ty, descending)?;
        Ok(key)
    };
    // In a descending column the larger values come first.
    let (first, last) = if descending { (upper, lower) } else { (lower, upper) };
    let start = match first {
        Some((value, true)) => Bound::Included(encode(&value)?),
        Some((value, false)) => match prefix_end(&encode(&value)?) {
            Bound::Excluded(end) => Bound::Included(end),
            _ => return Ok(None),
        },
        // NULLs come first when descending: begin behind them, at the tag of values.
        None => Bound::Included([prefix.as_slice(), &[value_tag(descending)]].concat()),
    };
    let end = match last {
        Some((value, true)) => prefix_end(&encode(&value)?),
        Some((value, false)) => Bound::Excluded(encode(&value)?),
        None => prefix_end(&[prefix.as_slice(), &[value_tag(descending)]].concat()),
    };
    Ok(Some(KeyRange { start, end }))
}

/// The first byte of every key column that is not NULL.
fn value_tag(descending: bool) -> u8 {
    let mut key = Vec::new();
    KeyWriter::new(&mut key).bool(false, descending);
    key[0]
}

/// The key columns of a table's main tree: its primary key, or the hidden row id.
pub fn primary_key_columns(table: &Table) -> Vec<(SqlType, bool)> {
    if table.primary_key.is_empty() {
        return vec![(SqlType::Int8, false)];
    }
    table.primary_key.iter().map(|&ordinal| (table.columns[ordinal].ty, false)).collect()
}

/// The key columns of an index, without the primary key behind them.
pub fn index_columns(table: &Table, index: &Index) -> Vec<(SqlType, bool)> {
    index.columns.iter().map(|column| (table.columns[column.ordinal].ty, column.descending)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Column;

    fn table(missing: &[Datum]) -> Table {
        let columns = missing.iter().enumerate().map(|(at, value)| {
            let ty = if at % 2 == 0 { SqlType::Int4 } else { SqlType::Text };
            Column { missing: value.clone(), ..Column::new("c", ty) }
        });
        Table {
            id: TreeId(1000),
            tree: TreeId(1000),
            name: "t".into(),
            schema_version: 9,
            columns: columns.collect(),
            primary_key: Vec::new(),
            primary_key_name: None,
            row_id_sequence: None,
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            statistics: None,
        }
    }

    #[test]
    fn rows_from_before_a_column_was_added() {
        let missing =
            [Datum::Null, Datum::Null, Datum::Int4(7), Datum::Text("late".into()), Datum::Null, Datum::Null];
        let all = table(&missing);
        let values = [Datum::Int4(1), Datum::Text("x".into()), Datum::Int4(3), Datum::Text("y".into())];
        for count in 1..=4 {
            let old = table(&missing[..count]);
            let mut bytes = Vec::new();
            row(&layout(&old), &types(&old), &values[..count], &mut bytes).unwrap();
            let mut expected = values[..count].to_vec();
            expected.extend(missing[count..].iter().cloned());
            let (rows, layout) = (OldRows::of(&all), layout(&all));
            assert_eq!(rows.decode(&layout, &bytes).unwrap(), expected);
            assert!(layout.fits(&rows.upgrade(&layout, &bytes).unwrap()));
            // Damage is found, not read over.
            for len in 0..bytes.len() {
                assert!(rows.decode(&layout, &bytes[..len]).is_err(), "{count} columns cut at {len}");
            }
        }
    }

    #[test]
    fn a_row_of_more_columns_is_damaged() {
        let (more, less) = (table(&[Datum::Null, Datum::Null]), table(&[Datum::Null]));
        let mut bytes = Vec::new();
        row(&layout(&more), &types(&more), &[Datum::Int4(1), Datum::Null], &mut bytes).unwrap();
        assert!(OldRows::of(&less).decode(&layout(&less), &bytes).is_err());
    }
}
