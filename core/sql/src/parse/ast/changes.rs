//! Statements that change rows or the schema.

use super::{CommonTable, Expr, Name, Query, SelectItem, Subscript, TableExpr};
use crate::catalog::Action;
use crate::types::SqlType;

/// INSERT
#[derive(Clone, Debug)]
pub struct Insert {
    /// WITH before it.
    pub with: Vec<CommonTable>,
    /// Into which table.
    pub table: Name,
    /// AS: what RETURNING may call it.
    pub alias: Option<Name>,
    /// The columns named.
    pub columns: Vec<Name>,
    /// The rows.
    pub source: InsertSource,
    /// OVERRIDING SYSTEM VALUE
    pub override_identity: bool,
    /// ON CONFLICT
    pub on_conflict: Option<OnConflict>,
    /// RETURNING
    pub returning: Option<Vec<SelectItem>>,
}

/// ON CONFLICT
#[derive(Clone, Debug)]
pub struct OnConflict {
    /// On which keys.
    pub target: ConflictTarget,
    /// DO UPDATE; otherwise DO NOTHING.
    pub update: Option<ConflictUpdate>,
    /// Where it stands.
    pub at: u32,
}

/// DO UPDATE
#[derive(Clone, Debug)]
pub struct ConflictUpdate {
    /// SET
    pub assignments: Vec<Assignment>,
    /// WHERE
    pub filter: Option<Expr>,
}

/// Which unique keys ON CONFLICT is about.
#[derive(Clone, Debug)]
pub enum ConflictTarget {
    /// All: no target was given.
    All,
    /// Those of exactly these columns and expressions.
    Keys {
        /// Which.
        keys: Vec<IndexKey>,
        /// WHERE: indexes of this predicate, too.
        filter: Option<Expr>,
        /// Where the list stands.
        at: u32,
    },
    /// ON CONSTRAINT
    Constraint(Name),
}

/// Where INSERT's rows come from.
#[derive(Clone, Debug)]
pub enum InsertSource {
    /// DEFAULT VALUES
    Defaults,
    /// VALUES, in which `ExprKind::Default` may stand, or a query.
    Query(Box<Query>),
    /// What the query of the materialized view gives that is inserted into.
    Materialized,
}

/// UPDATE
#[derive(Clone, Debug)]
pub struct Update {
    /// WITH before it.
    pub with: Vec<CommonTable>,
    /// Which table.
    pub table: Name,
    /// AS
    pub alias: Option<Name>,
    /// SET
    pub assignments: Vec<Assignment>,
    /// FROM
    pub from: Vec<TableExpr>,
    /// WHERE
    pub filter: Option<Expr>,
    /// RETURNING
    pub returning: Option<Vec<SelectItem>>,
}

/// What of a column is assigned to.
#[derive(Clone, Debug)]
pub enum AssignedPart {
    /// All of it.
    Whole,
    /// `c.field`, or a part of one.
    Field,
    /// `a[1]`, `a[1:2]`
    Elements(Vec<Subscript>),
}

/// SET column = value; `(a, b) = (1, 2)` is two of them.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The column.
    pub column: Name,
    /// What of it is meant.
    pub part: AssignedPart,
    /// Its new value, or `ExprKind::Default`.
    pub value: Expr,
}

/// DELETE
#[derive(Clone, Debug)]
pub struct Delete {
    /// WITH before it.
    pub with: Vec<CommonTable>,
    /// From which table.
    pub table: Name,
    /// AS
    pub alias: Option<Name>,
    /// USING
    pub using: Vec<TableExpr>,
    /// WHERE
    pub filter: Option<Expr>,
    /// RETURNING
    pub returning: Option<Vec<SelectItem>>,
}

/// MERGE
#[derive(Clone, Debug)]
pub struct Merge {
    /// WITH before it.
    pub with: Vec<CommonTable>,
    /// Into which table.
    pub table: Name,
    /// AS
    pub alias: Option<Name>,
    /// USING
    pub source: TableExpr,
    /// ON
    pub on: Expr,
    /// WHEN …
    pub clauses: Vec<MergeClause>,
}

/// WHEN [NOT] MATCHED
#[derive(Clone, Debug)]
pub struct MergeClause {
    /// MATCHED
    pub matched: bool,
    /// AND
    pub condition: Option<Expr>,
    /// THEN
    pub action: MergeAction,
    /// Where it stands.
    pub at: u32,
}

/// What a clause of MERGE does.
#[derive(Clone, Debug)]
pub enum MergeAction {
    /// DO NOTHING
    Nothing,
    /// DELETE
    Delete,
    /// UPDATE SET
    Update(Vec<Assignment>),
    /// INSERT
    Insert {
        /// The columns named.
        columns: Vec<Name>,
        /// OVERRIDING SYSTEM VALUE
        override_identity: bool,
        /// VALUES; none: DEFAULT VALUES.
        values: Vec<Expr>,
    },
}

/// CREATE VIEW
#[derive(Clone, Debug)]
pub struct CreateView {
    /// TEMPORARY
    pub temporary: bool,
    /// Its name.
    pub name: Name,
    /// OR REPLACE
    pub or_replace: bool,
    /// Names of its columns; fewer than it has, or none, keep the query's.
    pub columns: Vec<Name>,
    /// Its query.
    pub query: Query,
    /// The query's text.
    pub text: String,
}

/// CREATE TABLE
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// Its name.
    pub name: Name,
    /// TEMPORARY
    pub temporary: bool,
    /// IF NOT EXISTS
    pub if_not_exists: bool,
    /// Its columns.
    pub columns: Vec<ColumnDef>,
    /// Its constraints, those written at a column too.
    pub constraints: Vec<Constraint>,
    /// LIKE
    pub likes: Vec<Like>,
}

/// `LIKE table [INCLUDING …]` in CREATE TABLE.
#[derive(Clone, Debug)]
pub struct Like {
    /// Behind how many of the written columns.
    pub place: usize,
    /// Which.
    pub table: Name,
    /// What is copied beside columns, types and NOT NULL: the words of INCLUDING.
    pub including: Vec<String>,
}

/// CREATE TABLE AS, SELECT INTO
#[derive(Clone, Debug)]
pub struct CreateTableAs {
    /// Its name.
    pub name: Name,
    /// TEMPORARY
    pub temporary: bool,
    /// IF NOT EXISTS
    pub if_not_exists: bool,
    /// Names for its columns; the query's where there are none.
    pub columns: Vec<Name>,
    /// What it is made of.
    pub query: Box<Query>,
    /// Not WITH NO DATA.
    pub with_data: bool,
    /// CREATE MATERIALIZED VIEW: its query's text.
    pub materialized: Option<String>,
}

/// A column of CREATE TABLE.
#[derive(Clone, Debug)]
pub struct ColumnDef {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: super::TypeName,
    /// NOT NULL (serial too).
    pub not_null: bool,
    /// serial
    pub serial: bool,
    /// NULL was written.
    pub null: bool,
    /// DEFAULT: its text and tree.
    pub default: Option<(String, Expr)>,
    /// GENERATED … AS IDENTITY
    pub identity: Option<IdentityDef>,
    /// GENERATED ALWAYS AS (expression) STORED: its text and tree.
    pub generated: Option<(String, Expr)>,
}

/// An identity column.
#[derive(Clone, Debug)]
pub struct IdentityDef {
    /// ALWAYS
    pub always: bool,
    /// Of its sequence.
    pub options: SequenceOptions,
}

/// Options of a sequence, as far as they were said. `Some(None)`: NO MINVALUE, NO MAXVALUE, RESTART without a value, OWNED BY
/// NONE.
#[derive(Clone, Debug, Default)]
pub struct SequenceOptions {
    /// AS, and where it stands.
    pub ty: Option<(SqlType, u32)>,
    /// INCREMENT BY
    pub increment: Option<i64>,
    /// MINVALUE
    pub min: Option<Option<i64>>,
    /// MAXVALUE
    pub max: Option<Option<i64>>,
    /// START WITH
    pub start: Option<i64>,
    /// RESTART
    pub restart: Option<Option<i64>>,
    /// CACHE: checked; the engine chooses how many values it reserves at once.
    pub cache: Option<i64>,
    /// CYCLE
    pub cycle: Option<bool>,
    /// OWNED BY table.column
    pub owner: Option<Option<(Name, Name)>>,
}

impl SequenceOptions {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        let SequenceOptions { ty, increment, min, max, start, restart, cache, cycle, owner } = self;
        let numbers = increment.is_none() && start.is_none() && cache.is_none() && restart.is_none();
        numbers && ty.is_none() && min.is_none() && max.is_none() && cycle.is_none() && owner.is_none()
    }
}

/// CREATE SEQUENCE
#[derive(Clone, Debug)]
pub struct CreateSequence {
    /// TEMPORARY
    pub temporary: bool,
    /// Its name.
    pub name: Name,
    /// IF NOT EXISTS
    pub if_not_exists: bool,
    /// Its options.
    pub options: SequenceOptions,
}

/// ALTER SEQUENCE
#[derive(Clone, Debug)]
pub struct AlterSequence {
    /// Which.
    pub name: Name,
    /// IF EXISTS
    pub if_exists: bool,
    /// What changes.
    pub options: SequenceOptions,
    /// RENAME TO
    pub rename: Option<Name>,
}

/// A constraint of CREATE TABLE.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// CONSTRAINT name
    pub name: Option<Name>,
    /// What it asks for.
    pub kind: ConstraintKind,
    /// The column it was written at.
    pub column: Option<String>,
    /// DEFERRABLE, INITIALLY DEFERRED
    pub deferrable: (bool, bool),
    /// Where it stands.
    pub at: u32,
}

impl Constraint {
    /// Whether it makes an index.
    pub fn is_key(&self) -> bool {
        matches!(self.kind, ConstraintKind::PrimaryKey(_) | ConstraintKind::Unique(_))
    }
}

/// ALTER TABLE
#[derive(Clone, Debug)]
pub struct AlterTable {
    /// Which.
    pub name: Name,
    /// IF EXISTS
    pub if_exists: bool,
    /// What changes.
    pub actions: Vec<AlterAction>,
}

/// One action of ALTER TABLE.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum AlterAction {
    AddColumn {
        definition: Box<ColumnDef>,
        constraints: Vec<Constraint>,
        if_not_exists: bool,
    },
    DropColumn {
        name: Name,
        if_exists: bool,
        cascade: bool,
    },
    SetType {
        name: Name,
        ty: SqlType,
        using: Option<Expr>,
    },
    /// `None`: DROP DEFAULT
    SetDefault {
        name: Name,
        default: Option<(String, Expr)>,
    },
    SetNotNull {
        name: Name,
        on: bool,
    },
    AddIdentity {
        name: Name,
        identity: IdentityDef,
    },
    SetIdentity {
        name: Name,
        always: Option<bool>,
        options: SequenceOptions,
    },
    DropIdentity {
        name: Name,
        if_exists: bool,
    },
    AddConstraint(Constraint),
    DropConstraint {
        name: Name,
        if_exists: bool,
        cascade: bool,
    },
    RenameColumn {
        from: Name,
        to: Name,
    },
    RenameConstraint {
        from: Name,
        to: Name,
    },
    RenameTo(Name),
}

/// FOREIGN KEY … REFERENCES
#[derive(Clone, Debug)]
pub struct References {
    /// The referencing columns.
    pub columns: Vec<Name>,
    /// The referenced table.
    pub table: Name,
    /// The referenced columns; none: its primary key.
    pub target_columns: Vec<Name>,
    /// MATCH FULL
    pub match_full: bool,
    /// ON DELETE
    pub on_delete: Action,
    /// ON DELETE SET NULL (columns), SET DEFAULT (columns)
    pub delete_columns: Vec<Name>,
    /// ON UPDATE
    pub on_update: Action,
}

/// Constraints.
#[derive(Clone, Debug)]
pub enum ConstraintKind {
    /// PRIMARY KEY
    PrimaryKey(Vec<Name>),
    /// UNIQUE
    Unique(Vec<Name>),
    /// CHECK: its text and tree.
    Check(String, Expr),
    /// FOREIGN KEY
    ForeignKey(References),
}

/// CREATE INDEX
#[derive(Clone, Debug)]
pub struct CreateIndex {
    /// Its name, if given.
    pub name: Option<Name>,
    /// IF NOT EXISTS
    pub if_not_exists: bool,
    /// On which table.
    pub table: Name,
    /// Columns and DESC.
    pub columns: Vec<(IndexKey, bool)>,
    /// Their operator classes, where they are named.
    pub classes: Vec<Option<Name>>,
    /// UNIQUE
    pub unique: bool,
    /// INCLUDE
    pub include: Vec<Name>,
    /// WHERE: its text, and what it means.
    pub predicate: Option<(String, Expr)>,
}

/// What an index is on.
#[derive(Clone, Debug)]
pub enum IndexKey {
    /// A column.
    Column(Name),
    /// An expression: its text, and what it means.
    Expr(String, Expr),
}

/// COPY table FROM
#[derive(Clone, Debug)]
pub struct Copy {
    /// Into which table.
    pub table: Name,
    /// Which columns; none: all.
    pub columns: Vec<Name>,
    /// A file's name; `None` is STDIN.
    pub file: Option<String>,
    /// Options by name, folded, with their values.
    pub options: Vec<(Name, CopyValue)>,
}

/// COPY … TO
#[derive(Clone, Debug)]
pub struct CopyTo {
    /// What is copied.
    pub source: CopySource,
    /// A file's name; `None` is STDOUT.
    pub file: Option<String>,
    /// As [`Copy::options`].
    pub options: Vec<(Name, CopyValue)>,
}

/// What COPY … TO reads.
#[derive(Clone, Debug)]
pub enum CopySource {
    /// A table, and which columns; none: all.
    Table(Name, Vec<Name>),
    /// A query, or a change with RETURNING.
    Statement(Box<super::Statement>),
}

/// The value of a COPY option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyValue {
    /// None given: true.
    None,
    /// A word or number.
    Word(String),
    /// A string.
    String(String),
    /// `*`
    Star,
    /// Columns' names.
    Names(Vec<Name>),
}

/// LOCK TABLE
#[derive(Clone, Debug)]
pub struct LockTable {
    /// Which.
    pub names: Vec<Name>,
    /// How.
    pub mode: orrery_base::kv::TableLock,
    /// NOWAIT
    pub nowait: bool,
}
