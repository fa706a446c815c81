//! `pg_catalog` and `information_schema`: relations that are made of the catalog when a statement is bound, so they show what its
//! snapshot has, and a plan that has them is as old as its catalog.
//!
//! Numbers of objects (oids) are `bigint` here. They are made of the ids of the catalog ([`oids`]), so they stay as long as the object.
//! What this database has none of (roles, extensions, policies, publications) is there without rows, because programs ask for it.

mod comments;
mod constraints;
mod definitions;
mod info;
mod live;
pub mod oids;
mod relations;
mod types;

use crate::catalog::Catalog;
use crate::datum::Datum;
use crate::types::SqlType;
pub use definitions::{COLUMNS, Lookup, PARTS, SYSTEM_RELATIONS, full_name, lookup};
pub use live::{LIVE_SCHEMA, LIVE_VIEWS, Live, LiveView, live_view};
use std::sync::Arc;
pub use types::{format_type, type_oid};

/// A relation of a system schema.
pub struct SystemView {
    /// Its schema.
    pub schema: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [(&'static str, SqlType)],
    /// Its rows.
    pub rows: fn(&Catalog) -> Vec<Vec<Datum>>,
}

/// The relation of this name.
pub fn view(schema: &str, name: &str) -> Option<&'static SystemView> {
    all().find(|it| it.schema == schema && it.name == name)
}

fn all() -> impl Iterator<Item = &'static SystemView> {
    [relations::VIEWS, types::VIEWS, constraints::VIEWS, info::VIEWS].into_iter().flatten()
}

const OID: SqlType = SqlType::Reg(crate::types::Reg::Oid);
const NAME: SqlType = SqlType::Name;
const TEXT: SqlType = SqlType::Text;
const BOOL: SqlType = SqlType::Bool;
const INT2: SqlType = SqlType::Int2;
const INT4: SqlType = SqlType::Int4;

const fn array_of(element: SqlType) -> SqlType {
    match crate::types::Element::new(element) {
        Some(element) => SqlType::Array(element),
        None => SqlType::Unknown,
    }
}

fn none(_: &Catalog) -> Vec<Vec<Datum>> {
    Vec::new()
}

fn text(text: impl AsRef<str>) -> Datum {
    Datum::Text(Arc::from(text.as_ref()))
}

fn opt_text(value: Option<impl AsRef<str>>) -> Datum {
    value.map_or(Datum::Null, text)
}

fn oid(oid: i64) -> Datum {
    Datum::Int8(oid)
}

fn int2(value: usize) -> Datum {
    Datum::Int2(i16::try_from(value).unwrap_or(i16::MAX))
}

fn int4(value: i64) -> Datum {
    Datum::Int4(i32::try_from(value).unwrap_or(i32::MAX))
}

fn yes_no(value: bool) -> Datum {
    text(if value { "YES" } else { "NO" })
}

/// An array of numbers.
fn numbers(items: impl IntoIterator<Item = usize>) -> Datum {
    let items = items.into_iter().map(int2).collect();
    Datum::Array(crate::array::ArrayValue::of(SqlType::Int2, items).into())
}

/// The same with subscripts from 0, as those of an `int2vector`.
fn vector(items: impl IntoIterator<Item = usize>) -> Datum {
    let items = items.into_iter().map(int2).collect();
    let mut array = crate::array::ArrayValue::of(SqlType::Int2, items);
    array.dimensions.iter_mut().for_each(|it| it.lower = 0);
    Datum::Array(array.into())
}
