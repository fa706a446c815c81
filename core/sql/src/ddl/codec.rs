//! The byte format of catalog rows. All integers are little-endian; `str` is u32 length then UTF-8; `list` is
//! u32 count then the items; `opt` is u8 0 or 1 then the item; `bool` is u8 0 or 1. Nothing may follow the last field.
//!
//! ```text
//! type        u8 tag: 0 unknown, 1 boolean, 2 smallint, 3 integer, 4 bigint, 5 real, 6 double, 7 numeric,
//!             8 numeric(p,s) + u8 p + u8 s, 9 text, 10 varchar + opt u32, 11 bytea, 12 date, 13 timestamp,
//!             14 timestamptz, 15 interval, 16 uuid, …, 24 row + u32 id, 25 enum + u32 id
//! table       u8 version = 2, u32 id, u32 tree, str name, u32 schema version, list column, list u32 primary key,
//!             opt str primary key name, opt u32 row-id sequence, list index, list check; version 1 ends here;
//!             list column more, list index more, list foreign key
//! column      str name, type, bool not null, opt str default, opt (bool always, u32 sequence)
//! index       u32 tree, str name, list (u32 ordinal, bool descending), bool unique, bool is constraint
//! check       str name, str expression
//! column more bool hidden, opt str generated, datum of rows from before the column
//! index more  opt str predicate, list u32 included columns
//! foreign key str name, list u32 columns, u32 target table, list u32 target columns, bool match full, u8 on delete, u8 on
//!             update (0 no action, 1 restrict, 2 cascade, 3 set null, 4 set default), list u32 columns set on delete,
//!             bool deferrable, bool initially deferred
//! sequence    u8 version = 2, u32 id, i64 start, i64 increment, u32 cache; version 1 ends here; u32 value id, opt str name,
//!             type, i64 min, i64 max, bool cycle, opt (u32 owning table, u32 column), i64 last value, bool is called
//! view        u8 version = 2 of a materialized one, else 1, u32 id, str name, list (str name, str inner name, type), str text,
//!             list u32 depends; version 1 ends here; bool populated
//! user's type u8 version = 1, u32 id, str name, u8 kind: 0 enum + list str labels; 1 composite + list (str name, type, opt u32
//!             domain); 2 domain + type, bool not null, opt str default, list (str name, str check)
//! schema      u8 version = 1, u32 id, str name
//! statistics  u8 version = 1, u64 rows, u64 bytes, list column statistics
//! column st.  f64 null fraction, f64 distinct, f64 width, list (datum, f64), list datum, f64 correlation
//! datum       u8 tag: 0 NULL, 1 boolean u8, 2 i16, 3 i32, 4 i64, 5 f32, 6 f64, 7 numeric (str of its wide form),
//!             9 text str, 11 bytea (u32 length, bytes), 12 date i32, 13 timestamp i64, 14 timestamptz i64,
//!             15 interval (i32 months, i32 days, i64 µs), 16 uuid (16 bytes)
//! ```

use crate::catalog::{
    Check, Column, ColumnStatistics, Identity, Index, IndexColumn, Table, TableStatistics, View, ViewColumn,
};
use crate::datum::{Datum, Interval};
use crate::types::{Fitted, SqlType};
use orrery_base::{Error, Result, TreeId};
use orrery_row::numeric::Numeric;

mod comments;
mod more;
mod types;

pub(super) use comments::{decode_comment, decode_commented, encode_comment, encode_commented};
pub(super) use more::{decode_sequence, encode_sequence};
pub(super) use types::{decode_schema, decode_type, encode_schema, encode_type};

const VERSION: u8 = 1;
/// Of tables and sequences.
const VERSION_2: u8 = 2;

/// Encodes a table. Its statistics lie in a row of their own.
pub(super) fn encode_table(table: &Table) -> Vec<u8> {
    let Table {
        id,
        tree,
        name,
        schema_version,
        columns,
        primary_key,
        primary_key_name,
        row_id_sequence,
        indexes,
        checks,
        foreign_keys,
        statistics: _,
    } = table;
    let mut out = Writer(vec![VERSION_2]);
    out.u32(id.0);
    out.u32(tree.0);
    out.str(name);
    out.u32(*schema_version);
    out.list(columns, |out, column| {
        let Column {
            name,
            ty: _,
            modifier: _,
            not_null,
            default,
            identity,
            generated: _,
            hidden: _,
            missing: _,
        } = column;
        out.str(name);
        out.ty(column.assigned());
        out.bool(*not_null);
        out.opt(default.as_ref(), |out, text| out.str(text));
        out.opt(identity.as_ref(), |out, identity| {
            out.bool(identity.always);
            out.u32(identity.sequence);
        });
    });
    out.list(primary_key, |out, ordinal| out.u32(*ordinal as u32));
    out.opt(primary_key_name.as_ref(), |out, name| out.str(name));
    out.opt(row_id_sequence.as_ref(), |out, sequence| out.u32(*sequence));
    out.list(indexes, |out, index| {
        let Index { tree, name, columns, unique, is_constraint, predicate: _, include: _ } = index;
        out.u32(tree.0);
        out.str(name);
        out.list(columns, |out, column| {
            out.u32(column.ordinal as u32);
            out.bool(column.descending);
        });
        out.bool(*unique);
        out.bool(*is_constraint);
    });
    out.list(checks, |out, check| {
        let Check { name, expression } = check;
        out.str(name);
        out.str(expression);
    });
    more::encode(&mut out, columns, indexes, foreign_keys);
    out.0
}

/// The other way round; XX001 for bytes that are no table.
pub(super) fn decode_table(bytes: &[u8]) -> Result<Table> {
    let (mut input, version) = Reader::versioned(bytes)?;
    let mut table = Table {
        id: TreeId(input.u32()?),
        tree: TreeId(input.u32()?),
        name: input.str()?,
        schema_version: input.u32()?,
        columns: input.list(|input| {
            let (name, ty) = (input.str()?, input.ty()?);
            Ok(Column {
                not_null: input.bool()?,
                default: input.opt(Reader::str)?,
                identity: input
                    .opt(|input| Ok(Identity { always: input.bool()?, sequence: input.u32()? }))?,
                ..Column::new(&name, ty)
            })
        })?,
        primary_key: input.list(|input| Ok(input.u32()? as usize))?,
        primary_key_name: input.opt(Reader::str)?,
        row_id_sequence: input.opt(Reader::u32)?,
        indexes: input.list(|input| {
            Ok(Index {
                tree: TreeId(input.u32()?),
                name: input.str()?,
                columns: input.list(|input| {
                    Ok(IndexColumn { ordinal: input.u32()? as usize, descending: input.bool()? })
                })?,
                unique: input.bool()?,
                is_constraint: input.bool()?,
                predicate: None,
                include: Vec::new(),
            })
        })?,
        checks: input.list(|input| Ok(Check { name: input.str()?, expression: input.str()? }))?,
        foreign_keys: Vec::new(),
        statistics: None,
    };
    if version >= VERSION_2 {
        more::decode(&mut input, &mut table)?;
    }
    input.end()?;
    let count = table.columns.len();
    let ordinals = table.indexes.iter().flat_map(|index| index.columns.iter().map(|column| column.ordinal));
    let referencing = table.foreign_keys.iter().flat_map(|key| key.columns.iter().copied());
    if table.primary_key.iter().copied().chain(ordinals).chain(referencing).any(|ordinal| ordinal >= count) {
        return Err(damaged());
    }
    Ok(table)
}

/// Encodes a view.
pub(super) fn encode_view(view: &View) -> Vec<u8> {
    let View { id, name, columns, text, depends, materialized } = view;
    let mut out = Writer(vec![if materialized.is_some() { VERSION_2 } else { VERSION }]);
    out.u32(*id);
    out.str(name);
    out.list(columns, |out, column| {
        out.str(&column.name);
        out.str(&column.inner_name);
        out.ty(column.ty);
    });
    out.str(text);
    out.list(depends, |out, id| out.u32(*id));
    if let Some(populated) = materialized {
        out.bool(*populated);
    }
    out.0
}

/// The other way round; XX001 for bytes that are no view.
pub(super) fn decode_view(bytes: &[u8]) -> Result<View> {
    let (mut input, version) = Reader::versioned(bytes)?;
    let mut view = View {
        id: input.u32()?,
        name: input.str()?,
        columns: input
            .list(|input| Ok(ViewColumn { name: input.str()?, inner_name: input.str()?, ty: input.ty()? }))?,
        text: input.str()?,
        depends: input.list(Reader::u32)?,
        materialized: None,
    };
    if version == VERSION_2 {
        view.materialized = Some(input.bool()?);
    }
    input.end()?;
    Ok(view)
}

/// Encodes statistics.
pub(super) fn encode_statistics(statistics: &TableStatistics) -> Vec<u8> {
    let TableStatistics { row_count, byte_count, columns } = statistics;
    let mut out = Writer(vec![VERSION]);
    out.u64(*row_count);
    out.u64(*byte_count);
    out.list(columns, |out, column| {
        let ColumnStatistics {
            null_fraction,
            distinct_count,
            mean_width_bytes,
            most_common,
            histogram,
            correlation,
        } = column;
        out.f64(*null_fraction);
        out.f64(*distinct_count);
        out.f64(*mean_width_bytes);
        out.list(most_common, |out, (value, share)| {
            out.datum(value);
            out.f64(*share);
        });
        out.list(histogram, |out, value| out.datum(value));
        out.f64(*correlation);
    });
    out.0
}

/// The other way round.
pub(super) fn decode_statistics(bytes: &[u8]) -> Result<TableStatistics> {
    let mut input = Reader::new(bytes)?;
    let statistics = TableStatistics {
        row_count: input.u64()?,
        byte_count: input.u64()?,
        columns: input.list(|input| {
            Ok(ColumnStatistics {
                null_fraction: input.f64()?,
                distinct_count: input.f64()?,
                mean_width_bytes: input.f64()?,
                most_common: input.list(|input| Ok((input.datum()?, input.f64()?)))?,
                histogram: input.list(Reader::datum)?,
                correlation: input.f64()?,
            })
        })?,
    };
    input.end()?;
    Ok(statistics)
}

struct Writer(Vec<u8>);

impl Writer {
    fn bool(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn f64(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.u32(value.len() as u32);
        self.0.extend_from_slice(value);
    }

    fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.u32(items.len() as u32);
        for it in items {
            item(self, it);
        }
    }

    fn ordinals(&mut self, ordinals: &[usize]) {
        self.list(ordinals, |out, ordinal| out.u32(*ordinal as u32));
    }

    fn opt<T>(&mut self, value: Option<&T>, item: impl FnOnce(&mut Self, &T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            item(self, value);
        }
    }

    fn ty(&mut self, ty: SqlType) {
        let tag = ty.tag();
        self.0.push(tag);
        match ty {
            SqlType::Decimal { precision, scale } => self.0.extend_from_slice(&[precision, scale]),
            SqlType::Varchar(limit) | SqlType::Char(limit) => {
                self.opt(limit.as_ref(), |out, limit| out.u32(*limit));
            }
            SqlType::Array(element) => self.ty(element.ty()),
            SqlType::Record(id) | SqlType::Enum(id) => self.u32(id),
            SqlType::Fitted(fitted) => {
                let (tag, precision, scale) = fitted.parts();
                self.0.push(tag);
                self.0.extend_from_slice(&precision.to_le_bytes());
                self.0.extend_from_slice(&scale.to_le_bytes());
            }
            _ => {}
        }
    }

    fn datum(&mut self, value: &Datum) {
        let mut fixed = |tag: u8, bytes: &[u8]| {
            self.0.push(tag);
            self.0.extend_from_slice(bytes);
        };
        match value {
            Datum::Null => fixed(0, &[]),
            Datum::Bool(value) => fixed(1, &[u8::from(*value)]),
            Datum::Int2(value) => fixed(2, &value.to_le_bytes()),
            Datum::Int4(value) => fixed(3, &value.to_le_bytes()),
            Datum::Int8(value) => fixed(4, &value.to_le_bytes()),
            Datum::Float4(value) => fixed(5, &value.to_bits().to_le_bytes()),
            Datum::Float8(value) => fixed(6, &value.to_bits().to_le_bytes()),
            Datum::Date(value) => fixed(12, &value.to_le_bytes()),
            Datum::Timestamp(value) => fixed(13, &value.to_le_bytes()),
            Datum::Timestamptz(value) => fixed(14, &value.to_le_bytes()),
            Datum::Uuid(value) => fixed(16, value),
            Datum::Time(value) => fixed(17, &value.to_le_bytes()),
            Datum::Jsonb(value) => {
                self.0.push(20);
                self.bytes(value.as_bytes());
            }
            Datum::Array(value) => {
                self.0.push(21);
                self.bytes(&value.encode());
            }
            Datum::Record(value) => {
                self.0.push(24);
                self.bytes(&value.encode());
            }
            Datum::Interval(Interval { months, days, micros }) => {
                fixed(15, &months.to_le_bytes());
                self.0.extend_from_slice(&days.to_le_bytes());
                self.0.extend_from_slice(&micros.to_le_bytes());
            }
            Datum::Numeric(value) => {
                self.0.push(7);
                self.bytes(&value.to_wide());
            }
            Datum::Text(value) => {
                self.0.push(9);
                self.str(value);
            }
            Datum::Bytea(value) => {
                self.0.push(11);
                self.bytes(value);
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

#[cold]
fn damaged() -> Error {
    Error::corrupt("a catalog row cannot be read")
}

impl<'a> Reader<'a> {
    /// Over a row; its version must be ours.
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut input = Reader(bytes);
        let version = input.u8()?;
        if version != VERSION {
            return Err(Error::corrupt(format!("a catalog row has the unknown version {version}")));
        }
        Ok(input)
    }

    /// Over a row of any version we know, with that version.
    fn versioned(bytes: &'a [u8]) -> Result<(Self, u8)> {
        let mut input = Reader(bytes);
        match input.u8()? {
            version @ (VERSION | VERSION_2) => Ok((input, version)),
            version => Err(Error::corrupt(format!("a catalog row has the unknown version {version}"))),
        }
    }

    fn ordinals(&mut self) -> Result<Vec<usize>> {
        self.list(|input| Ok(input.u32()? as usize))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        if self.0.len() < len {
            return Err(damaged());
        }
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("take gives the length asked for"))
    }

    fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(damaged()) }
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn bool(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(damaged()),
        }
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn f64(&mut self) -> Result<f64> {
        self.array().map(|bytes| f64::from_bits(u64::from_le_bytes(bytes)))
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    fn str(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| damaged())
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.u32()?;
        // A damaged count must not reserve memory: each item takes at least a byte.
        if count as usize > self.0.len() {
            return Err(damaged());
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn opt<T>(&mut self, item: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.bool()? { item(self).map(Some) } else { Ok(None) }
    }

    fn ty(&mut self) -> Result<SqlType> {
        Ok(match self.u8()? {
            8 => {
                let [precision, scale] = self.array()?;
                if !(1..=38).contains(&precision) || scale > precision {
                    return Err(damaged());
                }
                SqlType::Decimal { precision, scale }
            }
            10 => SqlType::Varchar(self.opt(Reader::u32)?),
            18 => SqlType::Char(self.opt(Reader::u32)?),
            21 => {
                // Nobody writes arrays of arrays: a damaged byte must not go deep.
                let element = if self.0.first() == Some(&21) { None } else { Some(self.ty()?) };
                element.and_then(|element| element.array()).ok_or_else(damaged)?
            }
            23 => {
                let [tag] = self.array()?;
                let (precision, scale) =
                    (u16::from_le_bytes(self.array()?), i16::from_le_bytes(self.array()?));
                SqlType::Fitted(Fitted::of_parts(tag, precision, scale).ok_or_else(damaged)?)
            }
            24 => SqlType::Record(self.u32()?),
            25 => SqlType::Enum(self.u32()?),
            tag => SqlType::of_tag(tag).ok_or_else(damaged)?,
        })
    }

    fn datum(&mut self) -> Result<Datum> {
        Ok(match self.u8()? {
            0 => Datum::Null,
            1 => Datum::Bool(self.bool()?),
            2 => Datum::Int2(i16::from_le_bytes(self.array()?)),
            3 => Datum::Int4(self.i32()?),
            4 => Datum::Int8(self.i64()?),
            5 => Datum::Float4(f32::from_bits(self.u32()?)),
            6 => Datum::Float8(self.f64()?),
            7 => Datum::Numeric(Numeric::from_wide(self.bytes()?).ok_or_else(damaged)?),
            9 => Datum::Text(self.str()?.into()),
            11 => Datum::Bytea(self.bytes()?.into()),
            12 => Datum::Date(self.i32()?),
            13 => Datum::Timestamp(self.i64()?),
            14 => Datum::Timestamptz(self.i64()?),
            15 => Datum::Interval(Interval { months: self.i32()?, days: self.i32()?, micros: self.i64()? }),
            16 => Datum::Uuid(self.array()?),
            17 => Datum::Time(self.i64()?),
            20 => Datum::Jsonb(self.str()?.into()),
            21 => {
                let array = crate::array::ArrayValue::decode(self.bytes()?).map_err(|_| damaged())?;
                Datum::Array(std::sync::Arc::new(array))
            }
            24 => {
                let record = crate::record::RecordValue::decode(self.bytes()?).map_err(|_| damaged())?;
                Datum::Record(std::sync::Arc::new(record))
            }
            _ => return Err(damaged()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Action, ForeignKey};

    fn table() -> Table {
        let column = Column::new;
        Table {
            id: TreeId(1000),
            tree: TreeId(1007),
            name: "naïve".into(),
            schema_version: 3,
            columns: vec![
                Column {
                    identity: Some(Identity { always: true, sequence: 1002 }),
                    ..column("id", SqlType::Int8)
                },
                Column {
                    default: Some("1 + 1".into()),
                    ..column("a", SqlType::Decimal { precision: 10, scale: 2 })
                },
                column("b", SqlType::Varchar(Some(7))),
                Column {
                    generated: Some("b".into()),
                    missing: Datum::Int4(7),
                    hidden: true,
                    ..column("c", SqlType::Varchar(None))
                },
            ],
            primary_key: vec![0],
            primary_key_name: Some("naïve_pkey".into()),
            row_id_sequence: None,
            indexes: vec![Index {
                tree: TreeId(1001),
                name: "i".into(),
                columns: vec![
                    IndexColumn { ordinal: 2, descending: true },
                    IndexColumn { ordinal: 1, descending: false },
                ],
                unique: true,
                is_constraint: true,
                predicate: Some("a > 0".into()),
                include: vec![3],
            }],
            checks: vec![Check { name: "c".into(), expression: "a > 0".into() }],
            foreign_keys: vec![ForeignKey {
                name: "f".into(),
                columns: vec![1],
                target: 1000,
                target_columns: vec![0],
                match_full: true,
                on_delete: Action::SetNull,
                on_update: Action::Cascade,
                delete_columns: vec![1],
                deferrable: true,
                deferred: true,
            }],
            statistics: None,
        }
    }

    #[test]
    fn tables_come_back() {
        let bytes = encode_table(&table());
        assert_eq!(format!("{:?}", decode_table(&bytes).unwrap()), format!("{:?}", table()));
    }

    #[test]
    fn damage_is_found_not_followed() {
        let bytes = encode_table(&table());
        for len in 0..bytes.len() {
            assert!(decode_table(&bytes[..len]).is_err(), "cut at {len}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(decode_table(&longer).is_err());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xff;
            // Never a panic; most flips are errors, those inside names are not.
            let _ = decode_table(&flipped);
        }
    }

    #[test]
    fn statistics_come_back() {
        let values = vec![
            Datum::Null,
            Datum::Bool(true),
            Datum::Int2(-2),
            Datum::Int4(3),
            Datum::Int8(i64::MIN),
            Datum::Float4(0.5),
            Datum::Float8(-0.25),
            Datum::Numeric("12.50".parse().unwrap()),
            Datum::Text("é".into()),
            Datum::Bytea(vec![0, 255].into()),
            Datum::Date(-1),
            Datum::Timestamp(5),
            Datum::Timestamptz(6),
            Datum::Interval(Interval { months: 1, days: -2, micros: 3 }),
            Datum::Uuid([7; 16]),
        ];
        let column = ColumnStatistics {
            null_fraction: 0.1,
            distinct_count: 15.0,
            mean_width_bytes: 4.5,
            most_common: values.iter().map(|value| (value.clone(), 0.01)).collect(),
            histogram: values,
            correlation: -1.0,
        };
        let statistics = TableStatistics { row_count: 10, byte_count: 100, columns: vec![column] };
        assert_eq!(decode_statistics(&encode_statistics(&statistics)).unwrap(), statistics);
    }
}
