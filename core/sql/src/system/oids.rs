//! Numbers of objects.

use crate::catalog::{Catalog, Table};
use crate::names;
use std::collections::BTreeMap;

/// The first number that is a user's object's.
pub const FIRST_USER: i64 = 16_384;
/// `pg_catalog`
pub const PG_CATALOG: i64 = 11;
/// `public`
pub const PUBLIC: i64 = 2_200;
/// `information_schema`
pub const INFORMATION_SCHEMA: i64 = 13_000;
/// `orrery`
pub const LIVE: i64 = 13_003;
/// The one role.
pub const ROLE: i64 = 10;
/// The access method of indexes.
pub const BTREE: i64 = 403;
/// That of tables.
pub const HEAP: i64 = 2;

/// The number of a table, a view, an index, a sequence, a type or a schema of this id.
pub fn of(id: u32) -> i64 {
    FIRST_USER + 8 * i64::from(id)
}

/// That of a table's primary key's index, which has no tree of its own.
pub fn primary_key(table: &Table) -> i64 {
    of(table.id.0) + 1
}

/// That of the row type of a table or a view.
pub fn row_type(relation: u32) -> i64 {
    of(relation) + 2
}

/// That of the array type of a user's type.
pub fn array_type(id: u32) -> i64 {
    of(id) + 3
}

/// That of the default of a column.
pub fn default(table: &Table, ordinal: usize) -> i64 {
    (1 << 40) + i64::from(table.id.0) * 4_096 + ordinal as i64
}

/// That of a table's check.
pub fn check(table: &Table, number: usize) -> i64 {
    (1 << 45) + i64::from(table.id.0) * 4_096 + number as i64
}

/// That of a table's foreign key.
pub fn foreign_key(table: &Table, number: usize) -> i64 {
    (1 << 46) + i64::from(table.id.0) * 4_096 + number as i64
}

/// The relations of `orrery`, by number.
pub fn live() -> impl Iterator<Item = (i64, &'static super::LiveView)> {
    super::LIVE_VIEWS
        .iter()
        .filter(|it| it.schema == super::LIVE_SCHEMA)
        .zip(LIVE + 1..)
        .map(|it| (it.1, it.0))
}

/// The number of the schema that something of this stored name is in.
pub fn schema(catalog: &Catalog, stored: &str) -> i64 {
    match names::schema_of(stored) {
        Some(id) => of(id),
        None if catalog.temporary.as_ref().is_some_and(|prefix| stored.starts_with(&**prefix)) => 13_001,
        None if crate::catalog::is_temporary(stored) => 13_002,
        None => PUBLIC,
    }
}

/// All relations: numbers and stored names.
pub fn relations(catalog: &Catalog) -> BTreeMap<i64, &str> {
    let mut all = BTreeMap::new();
    for table in catalog.tables.values() {
        all.insert(of(table.id.0), table.name.as_str());
        if let Some(name) = &table.primary_key_name {
            all.insert(primary_key(table), name);
        }
        for index in &table.indexes {
            all.insert(of(index.tree.0), &index.name);
        }
    }
    all.extend(catalog.views.values().map(|view| (of(view.id), view.name.as_str())));
    let sequences = catalog.sequences.values();
    all.extend(sequences.filter_map(|it| Some((of(it.id), it.name.as_deref()?))));
    all
}
