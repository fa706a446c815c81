//! The syntax tree of the statements this database knows. Every node says where it stands (`at`: 1-based, in characters
//! of the statement's own text, 0 = nowhere), so that every later error can.
//!
//! The tree holds what the grammar accepts and nothing else: what it has no place for is refused while parsing (L6),
//! so no later stage can overlook a clause. Names are folded already.

mod changes;
mod cursors;
mod exprs;
mod types;

pub use changes::*;
pub use cursors::*;
pub use exprs::*;
pub use types::*;

use super::Parsed;
use crate::expr::{FrameExclude, FrameMode};
use crate::types::SqlType;
use orrery_base::kv::{Isolation, RowLock, Wait};
use std::sync::Arc;

/// An identifier, folded to lower case unless it was quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The folded text.
    pub text: String,
    /// Where it stands.
    pub at: u32,
}

/// A statement.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum Statement {
    Query(Query),
    Insert(Insert),
    Update(Update),
    Delete(Delete),
    Merge(Merge),
    CreateTable(CreateTable),
    DropTable {
        names: Vec<Name>,
        if_exists: bool,
        cascade: bool,
        materialized: bool,
    },
    CreateView(CreateView),
    DropView {
        names: Vec<Name>,
        if_exists: bool,
        cascade: bool,
    },
    Schema(SchemaStatement),
    Comment(Comment),
    CreateType(CreateType),
    AlterType(AlterType),
    /// DROP TYPE, DROP DOMAIN
    DropType {
        names: Vec<Name>,
        if_exists: bool,
        domain: bool,
    },
    CreateSequence(CreateSequence),
    AlterSequence(AlterSequence),
    DropSequence {
        names: Vec<Name>,
        if_exists: bool,
        cascade: bool,
    },
    AlterTable(AlterTable),
    RenameIndex {
        name: Name,
        if_exists: bool,
        to: Name,
    },
    CreateIndex(CreateIndex),
    DropIndex {
        names: Vec<Name>,
        if_exists: bool,
    },
    Truncate {
        names: Vec<Name>,
        restart_identity: bool,
        cascade: bool,
    },
    Copy(Copy),
    CopyTo(CopyTo),
    Begin(TransactionModes),
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(Name),
    Release(Name),
    RollbackTo(Name),
    SetTransaction {
        modes: TransactionModes,
        session: bool,
    },
    Set {
        name: Name,
        value: SetValue,
        local: bool,
    },
    Reset(Option<Name>),
    Show(Option<Name>),
    Prepare {
        name: Name,
        types: Vec<SqlType>,
        statement: Arc<Parsed>,
    },
    Execute {
        name: Name,
        args: Vec<Expr>,
    },
    Deallocate(Option<Name>),
    Declare(Declare),
    Fetch(Fetch),
    /// CLOSE: all cursors when none is named.
    Close(Option<Name>),
    /// REINDEX: the tables or indexes named.
    Reindex {
        names: Vec<Name>,
        /// What is named: INDEX (true), TABLE (false).
        index: bool,
    },
    Explain {
        options: ExplainOptions,
        statement: Arc<Parsed>,
    },
    Analyze(Vec<Name>),
    /// VACUUM: all tables when none is named.
    Vacuum {
        /// ANALYZE too.
        analyze: bool,
        /// Which.
        tables: Vec<Name>,
    },
    /// CREATE TABLE AS, SELECT INTO
    CreateTableAs(CreateTableAs),
    Refresh {
        name: Name,
        concurrently: bool,
        with_data: bool,
    },
    Checkpoint,
    /// ALTER SYSTEM SET, RESET
    AlterSystem {
        name: Name,
        value: SetValue,
    },
    /// LOCK TABLE
    LockTable(LockTable),
}

/// An isolation level as it was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum Level {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Level {
    /// What it means here: nobody reads what is not committed.
    pub fn isolation(self) -> Isolation {
        match self {
            Level::ReadUncommitted | Level::ReadCommitted => Isolation::ReadCommitted,
            Level::RepeatableRead => Isolation::RepeatableRead,
            Level::Serializable => Isolation::Serializable,
        }
    }

    /// PostgreSQL's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Level::ReadUncommitted => "read uncommitted",
            Level::ReadCommitted => "read committed",
            Level::RepeatableRead => "repeatable read",
            Level::Serializable => "serializable",
        }
    }
}

/// What BEGIN and SET TRANSACTION say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionModes {
    /// ISOLATION LEVEL
    pub isolation: Option<Level>,
    /// READ ONLY (true), READ WRITE (false)
    pub read_only: Option<bool>,
    /// DEFERRABLE (true), NOT DEFERRABLE (false): no answer depends on it.
    pub deferrable: Option<bool>,
}

/// The value of SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// TO DEFAULT
    Default,
    /// The values as text.
    Values(Vec<String>),
}

/// A query with everything that may stand around it.
#[derive(Clone, Debug)]
pub struct Query {
    /// WITH
    pub with: Vec<CommonTable>,
    /// What gives the rows.
    pub body: SetExpr,
    /// ORDER BY
    pub order_by: Vec<OrderItem>,
    /// LIMIT
    pub limit: Option<Expr>,
    /// OFFSET
    pub offset: Option<Expr>,
    /// FETCH … WITH TIES
    pub with_ties: bool,
    /// FOR UPDATE and its kin
    pub locks: Vec<Locking>,
    /// Where it stands.
    pub at: u32,
}

impl Query {
    /// One that gives nothing.
    pub fn empty(at: u32) -> Query {
        Query {
            with: Vec::new(),
            body: SetExpr::Values { rows: Vec::new(), at },
            order_by: Vec::new(),
            limit: None,
            offset: None,
            with_ties: false,
            locks: Vec::new(),
            at,
        }
    }
}

/// FOR UPDATE, FOR SHARE, ….
#[derive(Clone, Debug)]
pub struct Locking {
    /// How.
    pub lock: RowLock,
    /// NOWAIT, SKIP LOCKED
    pub wait: Wait,
    /// OF
    pub of: Vec<Name>,
    /// Where it stands.
    pub at: u32,
}

/// One name of WITH.
#[derive(Clone, Debug)]
pub struct CommonTable {
    /// Its name.
    pub name: Name,
    /// Names of its columns; fewer than it has, or none, keep the rest.
    pub columns: Vec<Name>,
    /// What it stands for; an empty query where it is a change.
    pub query: Arc<Query>,
    /// INSERT, UPDATE or DELETE.
    pub change: Option<Arc<Statement>>,
    /// WITH RECURSIVE: it may name itself.
    pub recursive: bool,
}

/// What gives the rows of a query.
#[derive(Clone, Debug)]
pub enum SetExpr {
    /// SELECT
    Select(Box<Select>),
    /// VALUES
    Values {
        /// The rows.
        rows: Vec<Vec<Expr>>,
        /// Where it stands.
        at: u32,
    },
    /// A query in parentheses.
    Query(Box<Query>),
    /// UNION, INTERSECT, EXCEPT.
    SetOperation {
        /// Which.
        kind: SetKind,
        /// ALL
        all: bool,
        /// The first operand.
        left: Box<SetExpr>,
        /// The second operand.
        right: Box<SetExpr>,
        /// Where the operator stands.
        at: u32,
    },
}

/// Set operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum SetKind {
    Union,
    Intersect,
    Except,
}

/// SELECT without what may follow a set operation.
#[derive(Clone, Debug)]
pub struct Select {
    /// DISTINCT
    pub distinct: bool,
    /// DISTINCT ON
    pub distinct_on: Vec<Expr>,
    /// The output columns; none is allowed.
    pub items: Vec<SelectItem>,
    /// FROM: the comma list.
    pub from: Vec<TableExpr>,
    /// WHERE
    pub filter: Option<Expr>,
    /// GROUP BY
    pub group_by: Vec<GroupItem>,
    /// GROUP BY DISTINCT
    pub group_distinct: bool,
    /// HAVING
    pub having: Option<Expr>,
    /// WINDOW
    pub windows: Vec<(Name, WindowSpec)>,
    /// Where it stands.
    pub at: u32,
}

impl Select {
    /// A SELECT without any clause.
    pub fn empty(at: u32) -> Select {
        Select {
            distinct: false,
            distinct_on: Vec::new(),
            items: Vec::new(),
            from: Vec::new(),
            filter: None,
            group_by: Vec::new(),
            group_distinct: false,
            having: None,
            windows: Vec::new(),
            at,
        }
    }
}

/// An item of GROUP BY.
#[derive(Clone, Debug)]
pub enum GroupItem {
    /// An expression.
    Expr(Expr),
    /// Several that stand or fall together; none: the empty grouping set.
    List(Vec<Expr>),
    /// ROLLUP
    Rollup(Vec<Vec<Expr>>, u32),
    /// CUBE
    Cube(Vec<Vec<Expr>>, u32),
    /// GROUPING SETS
    Sets(Vec<GroupItem>),
}

/// What a window function is called over.
#[derive(Clone, Debug)]
pub enum Over {
    /// A window of the WINDOW clause.
    Name(Name),
    /// One of its own.
    Spec(Box<WindowSpec>),
}

/// A window.
#[derive(Clone, Debug)]
pub struct WindowSpec {
    /// The window it refines.
    pub base: Option<Name>,
    /// PARTITION BY
    pub partition_by: Vec<Expr>,
    /// ORDER BY
    pub order_by: Vec<OrderItem>,
    /// The frame.
    pub frame: Option<FrameClause>,
    /// Where it stands.
    pub at: u32,
}

/// ROWS, RANGE, GROUPS.
#[derive(Clone, Debug)]
pub struct FrameClause {
    /// Which.
    pub mode: FrameMode,
    /// Where frames begin.
    pub start: FrameEdge,
    /// Where they end.
    pub end: FrameEdge,
    /// EXCLUDE
    pub exclude: FrameExclude,
    /// Where it stands.
    pub at: u32,
}

/// An edge of a frame.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum FrameEdge {
    UnboundedPreceding,
    Preceding(Expr),
    CurrentRow,
    Following(Expr),
    UnboundedFollowing,
}

/// An output column.
#[derive(Clone, Debug)]
pub enum SelectItem {
    /// `*` or `t.*`
    Star {
        /// The table, if named.
        table: Option<Name>,
        /// Where it stands.
        at: u32,
    },
    /// An expression.
    Expr {
        /// Which.
        expr: Expr,
        /// AS
        alias: Option<Name>,
    },
}

/// An ORDER BY item.
#[derive(Clone, Debug)]
pub struct OrderItem {
    /// By what.
    pub expr: Expr,
    /// DESC
    pub descending: bool,
    /// NULLS FIRST or LAST; when not said: last for ASC, first for DESC.
    pub nulls_first: Option<bool>,
}

/// Something in FROM.
#[derive(Clone, Debug)]
pub enum TableExpr {
    /// A table or a name of WITH.
    Table {
        /// Its name.
        name: Name,
        /// AS
        alias: Option<Alias>,
    },
    /// A query.
    Subquery {
        /// Which.
        query: Box<Query>,
        /// LATERAL
        lateral: bool,
        /// AS
        alias: Option<Alias>,
        /// Where it stands.
        at: u32,
    },
    /// A function that gives rows.
    Function {
        /// Its name.
        name: Name,
        /// Its arguments.
        args: Vec<Expr>,
        /// WITH ORDINALITY
        ordinality: bool,
        /// AS
        alias: Option<Alias>,
        /// The columns' names and types, where the query defines them.
        definitions: Vec<(Name, TypeName)>,
    },
    /// A join in parentheses with a name of its own.
    Aliased {
        /// The join.
        inner: Box<TableExpr>,
        /// AS
        alias: Alias,
    },
    /// A join.
    Join {
        /// The first side.
        left: Box<TableExpr>,
        /// The second side.
        right: Box<TableExpr>,
        /// Which rows.
        kind: JoinKind,
        /// On what.
        condition: JoinCondition,
        /// Where JOIN stands.
        at: u32,
    },
}

impl TableExpr {
    /// Where it begins.
    pub fn at(&self) -> u32 {
        match self {
            TableExpr::Table { name, .. } | TableExpr::Function { name, .. } => name.at,
            TableExpr::Subquery { at, .. } => *at,
            TableExpr::Join { left, .. } => left.at(),
            TableExpr::Aliased { inner, .. } => inner.at(),
        }
    }
}

/// AS name (columns).
#[derive(Clone, Debug)]
pub struct Alias {
    /// The name.
    pub name: Name,
    /// Names of the columns.
    pub columns: Vec<Name>,
}

/// Joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Cross,
}

/// What a join is on.
#[derive(Clone, Debug)]
pub enum JoinCondition {
    /// CROSS JOIN
    None,
    /// ON
    On(Expr),
    /// USING, and AS behind it
    Using(Vec<Name>, Option<Name>),
    /// NATURAL
    Natural,
}

/// The options of EXPLAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExplainOptions {
    /// ANALYZE: run it too.
    pub analyze: bool,
    /// COSTS: print what was estimated.
    pub costs: bool,
    /// SUMMARY: print how long it took.
    pub summary: bool,
}
