//! What the database holds: tables, columns, indexes, constraints, sequences, statistics. An immutable value, shared by
//! all statements that were bound under one version of the schema. Its rows lie in the catalog trees ([`crate::ddl`]
//! reads and writes them); schemas are versioned because those are rows like any others.

use crate::datum::Datum;
use crate::types::SqlType;
use orrery_base::TreeId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One version of the schema.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Grows with every change of the schema.
    pub version: u64,
    /// By name. Names are folded to lower case by the parser unless quoted.
    pub tables: BTreeMap<String, Arc<Table>>,
    /// Views, by name: tables, views and indexes share one space of names.
    pub views: BTreeMap<String, Arc<View>>,
    /// By name: which table holds the index.
    pub index_owner: BTreeMap<String, String>,
    /// By sequence id.
    pub sequences: BTreeMap<u32, Sequence>,
    /// The next free tree id and object id.
    pub next_tree: u32,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its id: the id of its main tree when it was made. Locks are taken on it.
    pub id: TreeId,
    /// Where its rows lie now (another than `id` after TRUNCATE).
    pub tree: TreeId,
    /// Its name.
    pub name: String,
    /// Grows with every ALTER; rows carry the version they were written under.
    pub schema_version: u32,
    /// Its columns, in order. The position is the column's ordinal.
    pub columns: Vec<Column>,
    /// Ordinals of the primary key's columns, in key order; empty: keyed by the hidden row id (a bigint from
    /// `row_id_sequence`).
    pub primary_key: Vec<usize>,
    /// The primary key constraint's name.
    pub primary_key_name: Option<String>,
    /// Which sequence the hidden row ids come from.
    pub row_id_sequence: Option<u32>,
    /// Its secondary indexes.
    pub indexes: Vec<Index>,
    /// CHECK constraints: name and expression text (bound again when the table is loaded).
    pub checks: Vec<Check>,
    /// What ANALYZE found.
    pub statistics: Option<Arc<TableStatistics>>,
}

/// A view: a query under a name. Its text is bound anew wherever it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<ViewColumn>,
    /// Its query, as SQL text.
    pub text: String,
    /// Ids of the tables and views that its query names.
    pub depends: Vec<u32>,
}

/// A column of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewColumn {
    /// Its name.
    pub name: String,
    /// What the query calls it.
    pub inner_name: String,
    /// Its type.
    pub ty: SqlType,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: SqlType,
    /// NOT NULL (primary key columns too).
    pub not_null: bool,
    /// DEFAULT, as SQL text.
    pub default: Option<String>,
    /// GENERATED … AS IDENTITY.
    pub identity: Option<Identity>,
}

/// An identity column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// GENERATED ALWAYS: explicit values are refused (428C9).
    pub always: bool,
    /// Which sequence feeds it.
    pub sequence: u32,
}

/// A CHECK constraint.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Its expression, as SQL text.
    pub expression: String,
}

/// A secondary index: a tree whose keys are the indexed columns followed, unless the index is unique and none of them is
/// NULL, by the row's primary key. The value of an entry is the row's primary key (encoded as the main tree's key).
#[derive(Clone, Debug)]
pub struct Index {
    /// Its tree.
    pub tree: TreeId,
    /// Its name.
    pub name: String,
    /// Its columns in order.
    pub columns: Vec<IndexColumn>,
    /// Whether equal keys are refused (NULLs are distinct).
    pub unique: bool,
    /// Whether it belongs to a UNIQUE constraint (then it cannot be dropped alone).
    pub is_constraint: bool,
}

/// A column of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexColumn {
    /// The column's ordinal in the table.
    pub ordinal: usize,
    /// Descending order.
    pub descending: bool,
}

/// A sequence: identity columns and hidden row ids. The value lies in the sequence tree; blocks are reserved by small
/// transactions of their own, so a crash leaves a gap, never a repeat.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Its id.
    pub id: u32,
    /// Its first value.
    pub start: i64,
    /// Its step.
    pub increment: i64,
    /// How many values one reservation takes.
    pub cache: u32,
}

/// What ANALYZE found out about a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableStatistics {
    /// Rows when analysed.
    pub row_count: u64,
    /// Bytes of its values when analysed.
    pub byte_count: u64,
    /// By column ordinal.
    pub columns: Vec<ColumnStatistics>,
}

/// What ANALYZE found out about a column (PostgreSQL's pg_stats).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnStatistics {
    /// Share of NULLs, 0 to 1.
    pub null_fraction: f64,
    /// Distinct values that are not NULL (estimated).
    pub distinct_count: f64,
    /// Mean bytes of a value.
    pub mean_width_bytes: f64,
    /// Most common values with their share of all rows, most common first.
    pub most_common: Vec<(Datum, f64)>,
    /// Bounds of equally populated buckets over the values that are not in `most_common`, ascending.
    pub histogram: Vec<Datum>,
    /// Correlation of value order and key order, -1 to 1.
    pub correlation: f64,
}

impl Catalog {
    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// The view of this name.
    pub fn view(&self, name: &str) -> Option<&Arc<View>> {
        self.views.get(name)
    }

    /// Whether an index or a primary key constraint has this name.
    pub fn has_index_named(&self, name: &str) -> bool {
        self.index_owner.contains_key(name)
            || self.tables.values().any(|table| table.primary_key_name.as_deref() == Some(name))
    }
}

impl Table {
    /// The ordinal of the column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}
