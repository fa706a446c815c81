//! The catalog as rows (fixed trees), and the statements that change it.
//!
//! | tree | key | value |
//! |---|---|---|
//! | 10 tables | table id, u32 big-endian | the table (see [`codec`]) |
//! | 11 statistics | table id, u32 big-endian | what ANALYZE found |
//! | 12 sequences | sequence id, u32 big-endian | the definition |
//! | 13 state | one zero byte | u8 version = 1, u64 schema version, u32 next free id |
//! | 14 sequence values | value id, u32 big-endian | i64 the last value reserved and u8 1; or i64 the next one (and u8 0) |
//! | 15 views | view id, u32 big-endian | the view |
//! | 16 types | type id, u32 big-endian | the user's type |
//! | 17 schemas | schema id, u32 big-endian | the user's schema |
//! | 18 comments | object id, u32 big-endian; u8 kind of part; a column's ordinal (u32 big-endian) or a name | the text |
//!
//! Invariants:
//! 1. Whoever changes the catalog holds the lock on the state row until the end of the transaction: changes are serial, and
//!    ids are never handed out twice.
//! 2. Under that lock the catalog is read anew (mode `Current`) unless its version is the one the statement was bound
//!    under; what binding found is checked again then.

mod alter;
mod apply;
mod codec;
mod comments;
mod constraints;
mod load;
mod rewrite;
mod schemas;
mod sequences;
mod user_types;
mod views;

pub use apply::{execute, set_statistics};
pub use load::load_catalog;
pub use sequences::{apply_options, names_sequence, stored_name};
pub(crate) use user_types::domain_mark;

use crate::catalog::{
    Column, Commented, ForeignKey, IndexColumn, Sequence, Table, UserType, View, ViewColumn,
};
use crate::parse::ast::{AlterTable, SequenceOptions};
use orrery_base::TreeId;
use std::sync::Arc;

pub(crate) const TABLES: TreeId = TreeId(10);
pub(crate) const STATISTICS: TreeId = TreeId(11);
pub(crate) const SEQUENCES: TreeId = TreeId(12);
pub(crate) const STATE: TreeId = TreeId(13);
/// The one key of [`STATE`].
pub(crate) const STATE_KEY: &[u8] = &[0];
pub(crate) const VIEWS: TreeId = TreeId(15);
pub(crate) const TYPES: TreeId = TreeId(16);
pub(crate) const SCHEMAS: TreeId = TreeId(17);
pub(crate) const COMMENTS: TreeId = TreeId(18);
/// Where the sequences' values lie: key = value id (u32, big-endian), value = a position (i64, little-endian) and whether that
/// value was handed out (u8; not there in old files: no). Written by the engine's reservations, removed with the sequence.
pub const SEQUENCE_VALUES: TreeId = TreeId(14);

/// The catalog's trees that are part of a database's logical state (statistics are not: they are derived).
pub const STATE_TREES: [TreeId; 8] =
    [TABLES, SEQUENCES, STATE, SEQUENCE_VALUES, VIEWS, TYPES, SCHEMAS, COMMENTS];

/// A change of schemas in the sense of SQL's CREATE SCHEMA.
#[derive(Clone, Debug)]
pub enum SchemaChange {
    /// A new one of this name.
    Create(String),
    /// Another name.
    Rename(u32, String),
    /// DROP SCHEMA
    Drop {
        /// Which.
        ids: Vec<u32>,
        /// The tables in them.
        tables: Vec<Arc<Table>>,
        /// CASCADE: what is in them goes, too.
        cascade: bool,
    },
}

/// A bound schema change.
#[derive(Clone, Debug)]
pub enum Ddl {
    /// CREATE TABLE
    CreateTable(NewTable),
    /// DROP TABLE
    DropTable {
        /// Which.
        tables: Vec<Arc<Table>>,
        /// CASCADE: views that use them go, too.
        cascade: bool,
    },
    /// CREATE VIEW
    CreateView(NewView),
    /// DROP VIEW
    DropView {
        /// Which.
        views: Vec<Arc<View>>,
        /// CASCADE: views that use them go, too.
        cascade: bool,
    },
    /// CREATE, ALTER, DROP SCHEMA
    Schema(SchemaChange),
    /// COMMENT ON; `None`: there is to be none.
    Comment(Commented, Option<String>),
    /// CREATE TYPE, CREATE DOMAIN: its id is handed out by [`execute`].
    CreateType(UserType),
    /// ALTER TYPE: what it is now.
    AlterType(UserType),
    /// DROP TYPE, DROP DOMAIN
    DropTypes {
        /// Which.
        types: Vec<Arc<UserType>>,
        /// DROP DOMAIN
        domain: bool,
    },
    /// CREATE SEQUENCE: its ids are handed out by [`execute`].
    CreateSequence(Sequence),
    /// ALTER SEQUENCE, and the table that owns it.
    AlterSequence(Box<SequenceChange>, Option<Arc<Table>>),
    /// DROP SEQUENCE
    DropSequence {
        /// Which.
        ids: Vec<u32>,
        /// CASCADE: defaults that use them go, too.
        cascade: bool,
    },
    /// ALTER TABLE
    AlterTable {
        /// Which.
        table: Arc<Table>,
        /// What: bound when it is carried out, action by action.
        alter: Arc<AlterTable>,
        /// Tables that new foreign keys refer to.
        others: Vec<Arc<Table>>,
    },
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
        /// They are materialized views: whether their rows come anew.
        refreshes: Option<bool>,
    },
    /// IF [NOT] EXISTS found nothing to do: the text of the notice.
    Nothing(String),
}

/// A table to be made; ids are handed out by [`execute`].
#[derive(Clone, Debug)]
pub struct NewTable {
    /// Its id, when it is there already; otherwise [`crate::bind::ITSELF`].
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its columns; `identity` and the default of a serial one are left `None` here.
    pub columns: Vec<Column>,
    /// The sequences of identity and serial columns.
    pub sequences: Vec<NewColumnSequence>,
    /// Ordinals of the primary key.
    pub primary_key: Vec<usize>,
    /// Its name.
    pub primary_key_name: Option<String>,
    /// UNIQUE constraints.
    pub indexes: Vec<NewIndex>,
    /// CHECK constraints: name and text.
    pub checks: Vec<(String, String)>,
    /// FOREIGN KEY constraints.
    pub foreign_keys: Vec<ForeignKey>,
    /// A materialized view's query, and whether its rows come at once.
    pub materialized: Option<(NewView, bool)>,
}

impl NewTable {
    /// Whether a constraint of the table has this name.
    pub fn has_constraint(&self, name: &str) -> bool {
        self.primary_key_name.as_deref() == Some(name)
            || self.checks.iter().any(|check| check.0 == name)
            || self.foreign_keys.iter().any(|key| key.name == name)
            || self.indexes.iter().any(|index| index.is_constraint && index.name == name)
    }
}

/// The sequence of a column that is being made.
#[derive(Clone, Debug)]
pub struct NewColumnSequence {
    /// The column's ordinal.
    pub column: usize,
    /// Of an identity: ALWAYS. `None`: serial.
    pub identity: Option<bool>,
    /// Its definition, but for its ids and its owner.
    pub sequence: Sequence,
}

/// ALTER SEQUENCE
#[derive(Clone, Debug)]
pub struct SequenceChange {
    /// Which.
    pub id: u32,
    /// What changes (the owner is in `owner`).
    pub options: SequenceOptions,
    /// OWNED BY
    pub owner: Option<Option<(u32, usize)>>,
    /// RENAME TO
    pub rename: Option<String>,
}

/// A view to be made.
#[derive(Clone, Debug)]
pub struct NewView {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<ViewColumn>,
    /// Its query's text.
    pub text: String,
    /// The tables and views its query names: id and name.
    pub depends: Vec<(u32, String)>,
    /// OR REPLACE
    pub replace: bool,
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
    /// WHERE, as SQL text; its value is the last of `columns`.
    pub predicate: Option<String>,
    /// INCLUDE: ordinals.
    pub include: Vec<usize>,
    /// Hidden columns that its expressions need beside those of the table: their ordinals follow the table's.
    pub hidden: Vec<Column>,
}

impl NewIndex {
    /// One of plain columns.
    pub fn plain(name: String, columns: Vec<IndexColumn>, unique: bool, is_constraint: bool) -> NewIndex {
        let (predicate, include, hidden) = (None, Vec::new(), Vec::new());
        NewIndex { name, columns, unique, is_constraint, predicate, include, hidden }
    }
}
