//! The logical plan: what is asked for, before how. Columns are numbered through the whole statement ([`ColumnId`]), and
//! every node passes its input's columns on; so moving a predicate or a projection never renumbers anything. What the
//! user gets is a list of ids ([`Query::output`]); nobody reads the rest, and the optimizer drops it.

use crate::catalog::Table;
use crate::expr::{AggregateCall, Expr, WindowCall};
use crate::functions::sets::SetFunction;
use crate::plan::{Field, JoinKind};
use crate::system::LiveView;
use crate::types::SqlType;
use orrery_base::kv::{RowLock, Wait};
use std::sync::Arc;

/// A column of the statement: an index into [`Statement::columns`]. [`Expr::Column`] holds it.
pub type ColumnId = usize;

/// What is known of a column.
#[derive(Clone, Debug)]
pub struct ColumnInfo {
    /// Its type.
    pub ty: SqlType,
    /// For columns of tables: which occurrence of a table in the statement, and which column of it.
    pub origin: Option<(usize, usize)>,
}

/// A query and what it gives.
#[derive(Clone, Debug)]
pub struct Query {
    /// Its tree.
    pub root: Logical,
    /// Its output columns, in order; one may stand twice.
    pub output: Vec<ColumnId>,
    /// Their names and types.
    pub fields: Vec<Field>,
}

/// What the binder gives the optimizer beside the queries.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// All columns by id.
    pub columns: Vec<ColumnInfo>,
    /// Uncorrelated subqueries; `Expr::Subquery` points here, each to smaller indexes only.
    pub subqueries: Vec<Query>,
    /// Tables by occurrence.
    pub tables: Vec<Arc<Table>>,
    /// Sequences that it names.
    pub sequences: Vec<u32>,
    /// Hidden columns, and the expressions that they hold the values of.
    pub hidden: Vec<(ColumnId, Expr)>,
}

/// A node.
#[derive(Clone, Debug)]
pub enum Logical {
    /// Rows of expressions without columns; each row as long as `columns`.
    Values {
        /// Its columns.
        columns: Vec<ColumnId>,
        /// Its rows.
        rows: Vec<Vec<Expr>>,
    },
    /// All rows of a table.
    Scan {
        /// Which.
        table: Arc<Table>,
        /// Ordinals ([`crate::plan::ROW_KEY`] too) with their ids.
        columns: Vec<(usize, ColumnId)>,
    },
    /// A relation of the running database: its rows are made when the statement runs.
    Live {
        /// Which.
        view: &'static LiveView,
        /// All its columns.
        columns: Vec<ColumnId>,
    },
    /// A set-returning function.
    Series {
        /// Which; `None`: `generate_series`.
        function: Option<&'static SetFunction>,
        /// Its arguments.
        args: Vec<Expr>,
        /// Its column.
        column: ColumnId,
        /// Where it stands.
        position: u32,
    },
    /// The rows for which all of `predicates` are true.
    Filter {
        /// From where.
        input: Box<Logical>,
        /// Conjuncts.
        predicates: Vec<Expr>,
    },
    /// Adds computed columns.
    Extend {
        /// From where.
        input: Box<Logical>,
        /// What is added.
        exprs: Vec<(ColumnId, Expr)>,
    },
    /// A join.
    Join {
        /// The outer side.
        left: Box<Logical>,
        /// The inner side.
        right: Box<Logical>,
        /// Which rows.
        kind: JoinKind,
        /// Conjuncts.
        on: Vec<Expr>,
    },
    /// A dependent join: `right` has parameters that stand for values of each left row.
    Apply {
        /// The outer side.
        left: Box<Logical>,
        /// The inner side.
        right: Box<Logical>,
        /// Which rows: [`JoinKind::Inner`] or [`JoinKind::Left`].
        kind: JoinKind,
        /// Conjuncts.
        on: Vec<Expr>,
        /// The parameters and their values, over the left columns.
        args: Vec<(usize, Expr)>,
    },
    /// Groups; gives its own columns only.
    Aggregate {
        /// From where.
        input: Box<Logical>,
        /// Group columns.
        groups: Vec<(ColumnId, Expr)>,
        /// Aggregates.
        aggregates: Vec<(ColumnId, AggregateCall)>,
    },
    /// Adds columns computed over windows.
    Window {
        /// From where.
        input: Box<Logical>,
        /// PARTITION BY
        partition: Vec<ColumnId>,
        /// ORDER BY
        order: Vec<LogicalKey>,
        /// What is added.
        calls: Vec<(ColumnId, WindowCall)>,
    },
    /// The rows of `anchor`, then those of `step` as long as it gives any, each time over the rows before (WITH RECURSIVE).
    Recursive {
        /// The first rows, and which columns of it count.
        anchor: Box<(Logical, Vec<ColumnId>)>,
        /// The next rows, likewise; a [`Logical::Working`] in it gives those before.
        step: Box<(Logical, Vec<ColumnId>)>,
        /// Its columns.
        columns: Vec<ColumnId>,
        /// Which working table it fills.
        working: usize,
        /// UNION: rows that came before are dropped.
        distinct: bool,
    },
    /// The rows that the last step of a recursion gave.
    Working {
        /// Which recursion's.
        working: usize,
        /// Its columns.
        columns: Vec<ColumnId>,
    },
    /// Sorts.
    Sort {
        /// From where.
        input: Box<Logical>,
        /// By what.
        keys: Vec<LogicalKey>,
    },
    /// Locks rows, and gives them as they are then.
    LockRows {
        /// The rows, sorted, before they are locked.
        input: Box<Logical>,
        /// Of which table, and how.
        rows: LockRows,
        /// What a row that changed meanwhile must satisfy still, over the new columns.
        recheck: Option<Expr>,
    },
    /// LIMIT, OFFSET.
    Limit {
        /// From where.
        input: Box<Logical>,
        /// LIMIT
        limit: Option<Expr>,
        /// OFFSET
        offset: Option<Expr>,
    },
    /// Drops rows that repeat in `columns`; gives these only.
    Distinct {
        /// From where.
        input: Box<Logical>,
        /// Which.
        columns: Vec<ColumnId>,
    },
    /// All rows of all inputs: the input's listed columns become `columns`.
    Append {
        /// From where.
        inputs: Vec<(Logical, Vec<ColumnId>)>,
        /// Its columns.
        columns: Vec<ColumnId>,
    },
}

/// A sort key: a column, never an expression (those are computed before).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogicalKey {
    /// Which column.
    pub column: ColumnId,
    /// DESC
    pub descending: bool,
    /// NULLS FIRST
    pub nulls_first: bool,
}

/// Rows to be locked.
#[derive(Clone, Debug)]
pub struct LockRows {
    /// Of which table.
    pub table: Arc<Table>,
    /// The columns before, by ordinal.
    pub old: Vec<ColumnId>,
    /// The row's key.
    pub key: ColumnId,
    /// The columns as they are once the row is locked, by ordinal.
    pub columns: Vec<ColumnId>,
    /// How.
    pub lock: RowLock,
    /// What to do where another has a lock.
    pub wait: Wait,
    /// Whether a row that changed meanwhile can be judged by itself.
    pub can_recheck: bool,
}

impl Logical {
    /// One row without columns.
    pub fn one_row() -> Logical {
        Logical::Values { columns: Vec::new(), rows: vec![Vec::new()] }
    }

    /// No row at all.
    pub fn no_row(columns: Vec<ColumnId>) -> Logical {
        Logical::Values { columns, rows: Vec::new() }
    }

    /// The columns it gives, in no order that matters.
    pub fn columns(&self) -> Vec<ColumnId> {
        let mut all = Vec::new();
        self.columns_into(&mut all);
        all
    }

    fn columns_into(&self, all: &mut Vec<ColumnId>) {
        match self {
            Logical::Values { columns, .. }
            | Logical::Distinct { columns, .. }
            | Logical::Recursive { columns, .. }
            | Logical::Working { columns, .. }
            | Logical::Live { columns, .. }
            | Logical::Append { columns, .. } => {
                all.extend(columns);
            }
            Logical::Scan { columns, .. } => all.extend(columns.iter().map(|it| it.1)),
            Logical::LockRows { rows, .. } => all.extend(&rows.columns),
            Logical::Series { column, .. } => all.push(*column),
            Logical::Filter { input, .. } | Logical::Sort { input, .. } | Logical::Limit { input, .. } => {
                input.columns_into(all);
            }
            Logical::Extend { input, exprs } => {
                input.columns_into(all);
                all.extend(exprs.iter().map(|it| it.0));
            }
            Logical::Window { input, calls, .. } => {
                input.columns_into(all);
                all.extend(calls.iter().map(|it| it.0));
            }
            Logical::Join { left, right, kind, .. } | Logical::Apply { left, right, kind, .. } => {
                left.columns_into(all);
                if kind.has_right() {
                    right.columns_into(all);
                }
            }
            Logical::Aggregate { groups, aggregates, .. } => {
                all.extend(groups.iter().map(|it| it.0));
                all.extend(aggregates.iter().map(|it| it.0));
            }
        }
    }
}
