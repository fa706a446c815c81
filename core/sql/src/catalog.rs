//! What the database holds: tables, columns, indexes, constraints, sequences, statistics. An immutable value, shared by
//! all statements that were bound under one version of the schema. Its rows lie in the catalog trees ([`crate::ddl`]
//! reads and writes them); schemas are versioned because those are rows like any others.

use crate::datum::Datum;
use crate::types::{Fitted, SqlType};
use orrery_base::{Error, SqlState, TreeId};
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
    /// Materialized views, by the id of the table that has their rows.
    pub materialized: BTreeMap<u32, Arc<View>>,
    /// By name: which table holds the index.
    pub index_owner: BTreeMap<String, String>,
    /// By sequence id.
    pub sequences: BTreeMap<u32, Sequence>,
    /// Users' types, by id.
    pub types: BTreeMap<u32, Arc<UserType>>,
    /// Users' schemas by id: their names. `public` is none of them.
    pub schemas: BTreeMap<u32, String>,
    /// COMMENT ON: the texts.
    pub comments: Arc<BTreeMap<Commented, String>>,
    /// The next free tree id and object id.
    pub next_tree: u32,
    /// What the names of the session's temporary tables begin with, in the view of a session that has some: see
    /// [`TEMPORARY`].
    pub temporary: Option<Arc<str>>,
    /// Where the session looks for names, in its view of the catalog; `None`: in `public`.
    pub path: Option<SearchPath>,
}

/// What a comment is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Commented {
    /// The id of a table, a view, a sequence, a type or a schema; 0: the schema `public`.
    pub object: u32,
    /// What of it.
    pub part: CommentedPart,
}

/// What of an object a comment is on. Indexes and constraints are named, as their trees and places change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommentedPart {
    /// All of it.
    Whole,
    /// The column of this ordinal.
    Column(usize),
    /// A table's index, or that of its primary key, of this stored name.
    Index(String),
    /// A table's constraint of this name.
    Constraint(String),
}

/// The schemas of `search_path`, in order, whether they exist or not.
pub type SearchPath = Arc<[String]>;

/// What the names of temporary tables and of what belongs to them begin with; then comes a number, one for each session
/// that makes some, and a dot. They lie in the catalog like others; a session sees its own by their short names.
pub const TEMPORARY: &str = "pg_temp_";

/// Whether a stored name is one of a temporary table, or of what belongs to it.
pub fn is_temporary(name: &str) -> bool {
    name.strip_prefix(TEMPORARY)
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
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
    /// Grows with every change of its definition: a plan made for another version does not run.
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
    /// FOREIGN KEY constraints of this table.
    pub foreign_keys: Vec<ForeignKey>,
    /// What ANALYZE found.
    pub statistics: Option<Arc<TableStatistics>>,
}

/// A user's type.
#[derive(Clone, Debug, PartialEq)]
pub struct UserType {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: UserTypeKind,
}

/// What a user's type is.
#[derive(Clone, Debug, PartialEq)]
pub enum UserTypeKind {
    /// Its labels, in order.
    Enum(Vec<String>),
    /// The names and types of its fields; of a field of a domain, with the domain's id.
    Composite(Vec<(String, SqlType, Option<u32>)>),
    /// A domain.
    Domain(Domain),
}

/// A domain: a type with constraints. Columns and expressions are of its base type; the constraints are looked at where a value is
/// cast to it, and are constraints of the tables that have columns of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// The type under it.
    pub base: SqlType,
    /// NOT NULL
    pub not_null: bool,
    /// DEFAULT, as SQL text.
    pub default: Option<String>,
    /// CHECK: names and texts, in which the value is called `value`.
    pub checks: Vec<(String, String)>,
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
    /// A materialized one, whose rows lie in the table of the same id; whether they are there.
    pub materialized: Option<bool>,
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
    /// What of the declared type only counts when a value is given to the column.
    pub modifier: Option<Fitted>,
    /// NOT NULL (primary key columns too).
    pub not_null: bool,
    /// DEFAULT, as SQL text.
    pub default: Option<String>,
    /// GENERATED … AS IDENTITY.
    pub identity: Option<Identity>,
    /// GENERATED ALWAYS AS … STORED: its expression, as SQL text.
    pub generated: Option<String>,
    /// Users do not see it: it was dropped (then rows written since have NULL there), or holds the values of an
    /// expression that is indexed.
    pub hidden: bool,
    /// What rows have that were written before the column was added.
    pub missing: Datum,
}

impl Column {
    /// A column without constraints.
    pub fn new(name: &str, ty: SqlType) -> Column {
        Column {
            name: name.to_owned(),
            ty: ty.layout(),
            modifier: modifier_of(ty),
            not_null: false,
            default: None,
            identity: None,
            generated: None,
            hidden: false,
            missing: Datum::Null,
        }
    }

    /// The declared type: what is given to the column is cast to it.
    pub fn assigned(&self) -> SqlType {
        self.modifier.map_or(self.ty, SqlType::Fitted)
    }

    /// Gives it another type.
    pub fn set_type(&mut self, ty: SqlType) {
        (self.ty, self.modifier) = (ty.layout(), modifier_of(ty));
    }
}

fn modifier_of(ty: SqlType) -> Option<Fitted> {
    match ty {
        SqlType::Fitted(fitted) => Some(fitted),
        _ => None,
    }
}

/// A FOREIGN KEY constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// The referencing columns' ordinals.
    pub columns: Vec<usize>,
    /// The id of the referenced table.
    pub target: u32,
    /// The referenced columns' ordinals, in the order of `columns`: together the target's primary key or a unique index.
    pub target_columns: Vec<usize>,
    /// MATCH FULL: all columns are NULL, or none.
    pub match_full: bool,
    /// ON DELETE
    pub on_delete: Action,
    /// ON UPDATE
    pub on_update: Action,
    /// ON DELETE SET NULL (columns); empty: all.
    pub delete_columns: Vec<usize>,
    /// DEFERRABLE
    pub deferrable: bool,
    /// INITIALLY DEFERRED
    pub deferred: bool,
}

/// What a foreign key does when the referenced row goes or gets another key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum Action {
    #[default]
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
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
    /// WHERE: only rows that pass have an entry. SQL text.
    pub predicate: Option<String>,
    /// INCLUDE: ordinals of columns that are no part of the key. Kept for what it says; entries do not hold them.
    pub include: Vec<usize>,
}

/// A column of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexColumn {
    /// The column's ordinal in the table.
    pub ordinal: usize,
    /// Descending order.
    pub descending: bool,
}

/// A sequence: the user's own, those of serial and identity columns, and hidden row ids. The value lies in the sequence tree;
/// blocks are reserved by small transactions of their own, so a crash leaves a gap, never a repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Its id.
    pub id: u32,
    /// The key of its value: another than `id` once ALTER SEQUENCE or RESTART IDENTITY gave it a new one.
    pub value_id: u32,
    /// Its name, in the space of tables' names; hidden row ids have none.
    pub name: Option<String>,
    /// smallint, integer or bigint.
    pub ty: SqlType,
    /// START
    pub start: i64,
    /// INCREMENT
    pub increment: i64,
    /// MINVALUE
    pub min: i64,
    /// MAXVALUE
    pub max: i64,
    /// How many values one reservation takes.
    pub cache: u32,
    /// CYCLE
    pub cycle: bool,
    /// OWNED BY, or whose identity it is: the table's id and the column's ordinal.
    pub owner: Option<(u32, usize)>,
    /// Where it stands before the first reservation: the last value, and whether that was handed out.
    pub position: (i64, bool),
}

impl Sequence {
    /// One with PostgreSQL's defaults, of bigint.
    pub fn new(id: u32, start: i64, increment: i64, cache: u32) -> Sequence {
        let (min, max) = if increment < 0 { (i64::MIN, -1) } else { (1, i64::MAX) };
        let (min, max) = (min.min(start), max.max(start));
        Sequence {
            id,
            value_id: id,
            name: None,
            ty: SqlType::Int8,
            start,
            increment,
            min,
            max,
            cache,
            cycle: false,
            owner: None,
            position: (start, false),
        }
    }

    /// What comes after this position; `None` at the end.
    pub fn after(&self, (value, is_called): (i64, bool)) -> Option<i64> {
        if !is_called {
            return Some(value);
        }
        let next = value.checked_add(self.increment).filter(|next| (self.min..=self.max).contains(next));
        next.or_else(|| self.cycle.then_some(if self.increment < 0 { self.max } else { self.min }))
    }

    /// 2200H: there is no further value.
    pub fn exhausted(&self) -> Error {
        let name = self.name.as_deref().unwrap_or("");
        let (end, limit) = if self.increment < 0 { ("minimum", self.min) } else { ("maximum", self.max) };
        let message = format!("nextval: reached {end} value of sequence \"{name}\" ({limit})");
        Error::new(SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED, message)
    }
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
    /// A stored name as users read it: with its schema, unless that is `public`.
    pub fn shown_name(&self, stored: &str) -> String {
        match crate::names::schema_of(stored) {
            Some(_) => format!("{}.{}", self.schema_name(stored), crate::names::last(stored)),
            None => stored.to_owned(),
        }
    }

    /// The id of a user's schema.
    pub fn schema(&self, name: &str) -> Option<u32> {
        self.schemas.iter().find(|it| it.1 == name).map(|it| *it.0)
    }

    /// The name of the schema that something of this stored name is in.
    pub fn schema_name<'a>(&'a self, stored: &'a str) -> &'a str {
        match crate::names::schema_of(stored) {
            Some(id) => self.schemas.get(&id).map_or("", String::as_str),
            None if is_temporary(stored) => stored.split('.').next().unwrap_or(stored),
            None => "public",
        }
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// The view of this name.
    pub fn view(&self, name: &str) -> Option<&Arc<View>> {
        self.views.get(name)
    }

    /// The user's sequence of this name.
    pub fn sequence(&self, name: &str) -> Option<&Sequence> {
        self.sequences.values().find(|it| it.name.as_deref() == Some(name))
    }

    /// A stored DEFAULT as users wrote it: sequences are named, not numbered.
    pub fn shown_default(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        for sequence in self.sequences.values().filter(|_| text.contains("'#")) {
            if let Some(name) = &sequence.name {
                let name = self.shown_name(name);
                shown = shown.replace(&crate::ddl::stored_name(sequence.id), &format!("'{name}'"));
            }
        }
        shown
    }

    /// The stored name of a table, a view or a sequence.
    pub fn relation_name(&self, id: u32) -> Option<&str> {
        let table = self.table_by_id(id).map(|it| it.name.as_str());
        let view = || self.views.values().find(|it| it.id == id).map(|it| it.name.as_str());
        table.or_else(view).or_else(|| self.sequences.get(&id)?.name.as_deref())
    }

    /// The table with this id.
    pub fn table_by_id(&self, id: u32) -> Option<&Arc<Table>> {
        self.tables.values().find(|table| table.id.0 == id)
    }

    /// Whether a table, a view, an index or a sequence has this name: they share one space.
    pub fn is_taken(&self, name: &str) -> bool {
        self.tables.contains_key(name)
            || self.views.contains_key(name)
            || self.has_index_named(name)
            || self.sequence(name).is_some()
            || self.user_type(name).is_some()
    }

    /// The user's type of this name.
    pub fn user_type(&self, name: &str) -> Option<&Arc<UserType>> {
        self.types.values().find(|it| it.name == name)
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
        self.columns.iter().position(|column| !column.hidden && column.name == name)
    }

    /// The columns that users see, with their ordinals.
    pub fn visible(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(_, column)| !column.hidden)
    }
}
