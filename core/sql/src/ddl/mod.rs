//! The catalog as rows (fixed trees), and the statements that change it.

use crate::catalog::{Catalog, Column, IndexColumn, Table, TableStatistics};
use crate::exec::ExecContext;
use orrery_base::kv::Transaction;
use orrery_base::{Cx, Result, TreeId};
use std::sync::Arc;

/// Where the sequences' values lie: key = sequence id (u32, big-endian), value = the next value not yet reserved
/// (i64, little-endian). Written by the engine's reservations, removed with the sequence.
pub const SEQUENCE_VALUES: TreeId = TreeId(14);

/// A bound schema change.
#[derive(Clone, Debug)]
pub enum Ddl {
    /// CREATE TABLE
    CreateTable(NewTable),
    /// DROP TABLE
    DropTable(Vec<Arc<Table>>),
    /// CREATE INDEX
    CreateIndex {
        /// On which table.
        table: Arc<Table>,
        /// What.
        index: NewIndex,
    },
    /// DROP INDEX: tables and index names.
    DropIndex(Vec<(Arc<Table>, String)>),
    /// TRUNCATE
    Truncate {
        /// Which.
        tables: Vec<Arc<Table>>,
        /// RESTART IDENTITY
        restart_identity: bool,
    },
    /// IF [NOT] EXISTS found nothing to do: the text of the notice.
    Nothing(String),
}

/// A table to be made; ids are handed out by [`execute`].
#[derive(Clone, Debug)]
pub struct NewTable {
    /// Its name.
    pub name: String,
    /// Its columns; `identity` is left `None` here.
    pub columns: Vec<Column>,
    /// Identity columns: ordinal, ALWAYS, start, increment.
    pub identities: Vec<(usize, bool, i64, i64)>,
    /// Ordinals of the primary key.
    pub primary_key: Vec<usize>,
    /// Its name.
    pub primary_key_name: Option<String>,
    /// UNIQUE constraints.
    pub indexes: Vec<NewIndex>,
    /// CHECK constraints: name and text.
    pub checks: Vec<(String, String)>,
}

/// An index to be made.
#[derive(Clone, Debug)]
pub struct NewIndex {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<IndexColumn>,
    /// UNIQUE
    pub unique: bool,
    /// Belongs to a constraint.
    pub is_constraint: bool,
}
