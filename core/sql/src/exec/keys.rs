//! Key columns as bytes: for hashing and equality (join, group, distinct) and, memcomparable, for sorting.
//!
//! Invariant K1: two rows have equal bytes exactly if SQL's `IS NOT DISTINCT FROM` holds for each column: -0 = 0,
//! NaN = NaN, numerics whatever their display scale, intervals by their length.
//! Invariant K2: in sort form the order of the bytes is ORDER BY's.

use crate::civil;
use crate::columns;
use crate::functions::Value;
use crate::functions::compare::value_key;
use crate::functions::kernel::Arg;
use crate::types::SqlType;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use orrery_base::hash::hash64;
use orrery_base::{Error, Result};
use orrery_row::key::KeyWriter;

/// The seed of the hash of keys.
const HASH_SEED: u64 = 0x6f72_7265_7279;

/// How a key column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As its Arrow values are.
    Plain,
    /// By numeric value: `Numeric`, or decimals of different scales on the two sides of a join.
    Numeric,
    /// By length.
    Interval,
    /// By the key of the value.
    Keyed(SqlType),
}

fn form_of(ty: SqlType) -> Form {
    match ty {
        SqlType::Numeric => Form::Numeric,
        SqlType::Interval => Form::Interval,
        ty if ty.is_keyed() => Form::Keyed(ty),
        _ => Form::Plain,
    }
}

/// How the keys of an operator are laid out: the same for all batches, and for both sides of a join.
#[derive(Clone, Debug)]
pub struct KeyLayout {
    forms: Vec<Form>,
    /// All columns fit 15 bytes, with a byte of NULL bits: the key is a u128.
    packed: bool,
}

fn packed_width(ty: SqlType) -> Option<usize> {
    match ty {
        SqlType::Bool => Some(1),
        SqlType::Int2 => Some(2),
        SqlType::Int4 | SqlType::Date => Some(4),
        SqlType::Int8 | SqlType::Reg(_) | SqlType::Timestamp | SqlType::Timestamptz | SqlType::Time => {
            Some(8)
        }
        _ => None,
    }
}

impl KeyLayout {
    /// For columns of these types.
    pub fn new(types: &[SqlType]) -> Self {
        let width = types.iter().try_fold(0, |sum, &ty| packed_width(ty).map(|width| sum + width));
        KeyLayout {
            forms: types.iter().map(|ty| form_of(*ty)).collect(),
            packed: types.len() <= 8 && width.is_some_and(|width| width <= 15),
        }
    }

    /// For the two sides of a join. Errors: XX000 when a pair of types cannot be compared.
    pub fn of_join(left: &[SqlType], right: &[SqlType]) -> Result<Self> {
        let mut layout = KeyLayout::new(left);
        for ((form, left), right) in layout.forms.iter_mut().zip(left).zip(right) {
            if left.base() != right.base() {
                return Err(Error::internal(format!("a join of {left} with {right}")));
            }
            if left.base() == SqlType::Numeric && left != right {
                *form = Form::Numeric;
            }
        }
        Ok(layout)
    }

    /// Writes the keys of `row_count` rows.
    pub fn encode(&self, columns: &[ArrayRef], row_count: usize) -> Result<Keys> {
        let store = if self.packed {
            Store::Packed(pack(columns, row_count)?)
        } else {
            let values: Vec<Value> = columns.iter().map(|column| Value::Array(column.clone())).collect();
            let writers = values.iter().zip(&self.forms);
            let writers =
                writers.map(|(value, &form)| Column::new(value, form)).collect::<Result<Vec<_>>>()?;
            let mut bytes = Bytes::with_capacity(row_count, row_count * 16);
            for row in 0..row_count {
                for column in &writers {
                    column.write(row, &mut bytes.data)?;
                }
                bytes.end_row()?;
            }
            Store::Bytes(bytes)
        };
        let hashes = match &store {
            Store::Packed(keys) => keys.iter().map(|key| hash64(HASH_SEED, &key.to_le_bytes())).collect(),
            Store::Bytes(bytes) => (0..row_count).map(|row| hash64(HASH_SEED, bytes.row(row))).collect(),
        };
        let mut nulls: Option<NullBuffer> = None;
        for column in columns {
            nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
        }
        Ok(Keys { store, hashes, nulls: nulls.filter(|nulls| nulls.null_count() > 0) })
    }

    /// An empty store for keys of this layout.
    pub fn store(&self) -> Store {
        if self.packed { Store::Packed(Vec::new()) } else { Store::Bytes(Bytes::with_capacity(0, 0)) }
    }
}

/// The keys of a batch.
pub struct Keys {
    /// The keys.
    pub store: Store,
    /// Their hashes.
    pub hashes: Vec<u64>,
    /// Where any column is NULL.
    pub nulls: Option<NullBuffer>,
}

impl Keys {
    /// Whether a column of the row's key is NULL.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

/// Keys one after the other.
pub enum Store {
    /// Integers side by side.
    Packed(Vec<u128>),
    /// Strings of bytes.
    Bytes(Bytes),
}

/// Strings of bytes, one after the other.
#[derive(Default)]
pub struct Bytes {
    data: Vec<u8>,
    ends: Vec<u32>,
}

impl Bytes {
    fn with_capacity(rows: usize, bytes: usize) -> Self {
        Bytes { data: Vec::with_capacity(bytes), ends: Vec::with_capacity(rows) }
    }

    fn end_row(&mut self) -> Result<()> {
        let end = u32::try_from(self.data.len()).map_err(|_| Error::internal("keys of more than 4 GB"))?;
        self.ends.push(end);
        Ok(())
    }

    /// Appends a string. Errors: XX000 beyond 4 GB.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.data.extend_from_slice(bytes);
        self.end_row()
    }

    /// String number `row`.
    #[inline]
    pub fn row(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.data[start..self.ends[row] as usize]
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.data.capacity() + 4 * self.ends.capacity()
    }
}

impl Store {
    /// Whether two rows of two stores of one layout are equal.
    #[inline]
    pub fn equal(&self, row: usize, other: &Store, other_row: usize) -> bool {
        match (self, other) {
            (Store::Packed(a), Store::Packed(b)) => a[row] == b[other_row],
            (Store::Bytes(a), Store::Bytes(b)) => a.row(row) == b.row(other_row),
            _ => false,
        }
    }

    /// Appends a row of another store of the same layout. Errors: XX000 beyond 4 GB.
    #[inline]
    pub fn push(&mut self, other: &Store, row: usize) -> Result<()> {
        match (self, other) {
            (Store::Packed(into), Store::Packed(from)) => into.push(from[row]),
            (Store::Bytes(into), Store::Bytes(from)) => into.push(from.row(row))?,
            _ => return Err(Error::internal("keys of two layouts")),
        }
        Ok(())
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Store::Packed(keys) => 16 * keys.capacity(),
            Store::Bytes(bytes) => bytes.memory_bytes(),
        }
    }
}

/// Packs integer columns side by side, the NULL bits in the last byte; a NULL's value is zero.
fn pack(columns: &[ArrayRef], row_count: usize) -> Result<Vec<u128>> {
    let mut keys = vec![0u128; row_count];
    let mut shift = 0;
    for (index, column) in columns.iter().enumerate() {
        let value = Value::Array(column.clone());
        macro_rules! put {
            ($values:expr, $bits:literal, $unsigned:ty) => {{
                for (key, &value) in keys.iter_mut().zip($values.iter()) {
                    *key |= u128::from(value as $unsigned) << shift;
                }
                $bits
            }};
        }
        let width = match Arg::new(&value)? {
            Arg::Bool(values, _) => {
                for (row, key) in keys.iter_mut().enumerate() {
                    *key |= u128::from(values.value(row)) << shift;
                }
                8
            }
            Arg::I16(values, _) => put!(values, 16, u16),
            Arg::I32(values, _) => put!(values, 32, u32),
            Arg::I64(values, _) => put!(values, 64, u64),
            _ => return Err(Error::internal("a packed key of another type")),
        };
        if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
            let mask = !(((1u128 << width) - 1) << shift);
            for (row, key) in keys.iter_mut().enumerate() {
                if nulls.is_null(row) {
                    *key = *key & mask | 1 << (120 + index);
                }
            }
        }
        shift += width;
    }
    Ok(keys)
}

/// A key column, ready to be written row by row.
struct Column<'a> {
    arg: Arg<'a>,
    nulls: Option<NullBuffer>,
    form: Form,
}

impl<'a> Column<'a> {
    fn new(value: &'a Value, form: Form) -> Result<Self> {
        Ok(Column { arg: Arg::new(value)?, nulls: value.array().logical_nulls(), form })
    }

    /// Appends the value of a row: a tag, then bytes that decode on their own, so that columns cannot run together.
    #[inline]
    fn write(&self, row: usize, into: &mut Vec<u8>) -> Result<()> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            into.push(0);
            return Ok(());
        }
        match (&self.arg, self.form) {
            (Arg::Null, _) => into.push(0),
            (arg, Form::Numeric) => KeyWriter::new(into).numeric(&arg.numeric(row)?, false),
            (arg @ (Arg::Text(..) | Arg::Bytes(..)), Form::Keyed(ty)) => {
                with_length(into, &value_key(arg, row, ty)?);
            }
            (Arg::Text(array, _), _) => with_length(into, array.value(row).as_bytes()),
            (Arg::Bytes(array, _), _) => with_length(into, array.value(row)),
            (arg, form) => {
                into.push(1);
                write_ordered(arg, form, row, into)?;
            }
        }
        Ok(())
    }
}

fn with_length(into: &mut Vec<u8>, bytes: &[u8]) {
    into.push(1);
    into.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    into.extend_from_slice(bytes);
}

/// The bytes of a value of fixed width, in its order.
#[inline]
fn write_ordered(arg: &Arg<'_>, form: Form, row: usize, into: &mut Vec<u8>) -> Result<()> {
    match arg {
        Arg::Bool(values, _) => into.push(u8::from(values.value(row))),
        Arg::I16(values, _) => into.extend_from_slice(&(values[row] ^ i16::MIN).to_be_bytes()),
        Arg::I32(values, _) => into.extend_from_slice(&(values[row] ^ i32::MIN).to_be_bytes()),
        Arg::I64(values, _) => into.extend_from_slice(&(values[row] ^ i64::MIN).to_be_bytes()),
        Arg::F32(values, _) => into.extend_from_slice(&ordered_f64(f64::from(values[row])).to_be_bytes()),
        Arg::F64(values, _) => into.extend_from_slice(&ordered_f64(values[row]).to_be_bytes()),
        Arg::Decimal(values, ..) => into.extend_from_slice(&(values[row] ^ i128::MIN).to_be_bytes()),
        Arg::Fixed16(array, _) if form == Form::Interval => {
            let length = civil::interval_key(columns::interval_from(array.value(row)));
            into.extend_from_slice(&(length ^ i128::MIN).to_be_bytes());
        }
        Arg::Fixed16(array, _) => into.extend_from_slice(array.value(row)),
        Arg::Null | Arg::Text(..) | Arg::Bytes(..) => return Err(Error::internal("a key of variable width")),
    }
    Ok(())
}

/// Bits whose order is the float's: -0 is 0, NaN is one value and the greatest.
#[inline]
fn ordered_f64(value: f64) -> u64 {
    if value.is_nan() {
        return u64::MAX;
    }
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits ^ 1 << 63 } else { !bits }
}

/// How a sort key column is ordered.
#[derive(Clone, Copy, Debug)]
pub struct SortForm {
    /// Its type.
    pub ty: SqlType,
    /// DESC
    pub descending: bool,
    /// NULLS FIRST
    pub nulls_first: bool,
}

/// Writes the sort keys of `row_count` rows (K2).
pub fn encode_sort(columns: &[ArrayRef], forms: &[SortForm], row_count: usize) -> Result<Bytes> {
    let values: Vec<Value> = columns.iter().map(|column| Value::Array(column.clone())).collect();
    let mut writers = Vec::with_capacity(forms.len());
    for (value, form) in values.iter().zip(forms) {
        writers.push((Column::new(value, form_of(form.ty))?, *form));
    }
    let mut bytes = Bytes::with_capacity(row_count, row_count * 12 * forms.len());
    for row in 0..row_count {
        for (column, form) in &writers {
            write_sort(column, form, row, &mut bytes.data)?;
        }
        bytes.end_row()?;
    }
    Ok(bytes)
}

fn write_sort(column: &Column<'_>, form: &SortForm, row: usize, into: &mut Vec<u8>) -> Result<()> {
    let is_null =
        column.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) || matches!(column.arg, Arg::Null);
    if is_null {
        into.push(if form.nulls_first { 0 } else { 2 });
        return Ok(());
    }
    into.push(1);
    let start = into.len();
    match &column.arg {
        arg if column.form == Form::Numeric => KeyWriter::new(into).numeric(&arg.numeric(row)?, false),
        arg @ (Arg::Text(..) | Arg::Bytes(..)) if let Form::Keyed(ty) = column.form => {
            escape(&value_key(arg, row, ty)?, into);
        }
        Arg::Text(array, _) => escape(array.value(row).as_bytes(), into),
        Arg::Bytes(array, _) => escape(array.value(row), into),
        arg => write_ordered(arg, column.form, row, into)?,
    }
    if form.descending {
        into[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
    Ok(())
}

/// A string so that it ends before any longer one: `00` is written `00 ff`, the end `00 00`.
fn escape(bytes: &[u8], into: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(zero) = rest.iter().position(|&byte| byte == 0) {
        into.extend_from_slice(&rest[..=zero]);
        into.push(0xff);
        rest = &rest[zero + 1..];
    }
    into.extend_from_slice(rest);
    into.extend_from_slice(&[0, 0]);
}
