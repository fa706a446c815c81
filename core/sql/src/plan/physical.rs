//! The physical plan: a tree of operators with every column resolved to a position in its input's batches. What the
//! executor runs and EXPLAIN prints.

use crate::catalog::{ForeignKey, Table};
use crate::expr::{AggregateCall, Expr, WindowCall};
use crate::functions::sets::SetFunction;
use crate::system::LiveView;
use crate::types::SqlType;
use orrery_base::TreeId;
use orrery_base::kv::{RowLock, Wait};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An output column.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name as the user sees it.
    pub name: String,
    /// Its type.
    pub ty: SqlType,
}

/// A whole query plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The root.
    pub root: PlanNode,
    /// Uncorrelated subqueries, run once each before what uses them; `Expr::Subquery` points here. A subquery's own
    /// expressions point into this same list, to smaller indexes only.
    pub subqueries: Vec<PlanNode>,
    /// Types of `$1…`.
    pub param_types: Vec<SqlType>,
    /// Tables read, with their locks' strength decided by the statement; in name order.
    pub tables: Vec<Arc<Table>>,
    /// Sequences that its functions name, by id.
    pub sequences: Vec<u32>,
}

impl Plan {
    /// Whether it locks rows: FOR UPDATE and its kin.
    pub fn locks_rows(&self) -> bool {
        fn locks(node: &PlanNode) -> bool {
            matches!(node.op, Op::LockRows { .. }) || crate::exec::query::inputs(node).into_iter().any(locks)
        }
        std::iter::once(&self.root).chain(&self.subqueries).any(locks)
    }

    /// The tables of the rows it locks.
    pub fn locked_tables(&self) -> Vec<TreeId> {
        fn collect(node: &PlanNode, into: &mut Vec<TreeId>) {
            if let Op::LockRows { table, .. } = &node.op {
                into.push(table.id);
            }
            crate::exec::query::inputs(node).into_iter().for_each(|input| collect(input, into));
        }
        let mut tables = Vec::new();
        std::iter::once(&self.root).chain(&self.subqueries).for_each(|node| collect(node, &mut tables));
        tables
    }
}

/// An operator with what is known of it.
#[derive(Clone, Debug)]
pub struct PlanNode {
    /// What it does.
    pub op: Op,
    /// Its output columns.
    pub fields: Vec<Field>,
    /// Estimated output rows.
    pub row_estimate: f64,
    /// Estimated cost of producing all of them, inputs included, in PostgreSQL's units (a sequential page read = 1).
    pub cost_estimate: f64,
}

/// What an operator does.
#[derive(Clone, Debug)]
pub enum Op {
    /// Rows of expressions without columns. No row at all is an empty relation; one row of none is `SELECT 1`'s input.
    Values {
        /// The rows.
        rows: Vec<Vec<Expr>>,
    },
    /// All rows of a table in key order, or those within `bounds` on the primary key.
    TableScan {
        /// Which table.
        table: Arc<Table>,
        /// Ordinals of the columns it gives. The pseudo-ordinal [`ROW_KEY`] gives the row's encoded key (Bytea).
        columns: Vec<usize>,
        /// Bounds on a prefix of the primary key.
        bounds: KeyBounds,
        /// What else the rows must satisfy, over the output columns.
        filter: Option<Expr>,
        /// Backwards.
        reverse: bool,
    },
    /// Rows by a secondary index, in index order.
    IndexScan {
        /// Which table.
        table: Arc<Table>,
        /// Position in `table.indexes`.
        index: usize,
        /// As in `TableScan`.
        columns: Vec<usize>,
        /// Bounds on a prefix of the index columns.
        bounds: KeyBounds,
        /// As in `TableScan`.
        filter: Option<Expr>,
        /// As in `TableScan`.
        reverse: bool,
        /// All `columns` come from the entry itself: the row is not fetched.
        covering: bool,
    },
    /// A relation of the running database: its rows are made when the statement runs.
    LiveScan {
        /// Which.
        view: &'static LiveView,
        /// Its columns by ordinal.
        columns: Vec<usize>,
    },
    /// A set-returning function; one output column.
    GenerateSeries {
        /// Which; `None`: `generate_series(start, stop[, step])`.
        function: Option<&'static SetFunction>,
        /// Its arguments, without columns.
        args: Vec<Expr>,
        /// Where it stands, for errors.
        position: u32,
    },
    /// Keeps the rows for which `predicate` is true.
    Filter {
        /// From where.
        input: Box<PlanNode>,
        /// Which.
        predicate: Expr,
    },
    /// Computes columns.
    Project {
        /// From where.
        input: Box<PlanNode>,
        /// What.
        exprs: Vec<Expr>,
    },
    /// For every left row, every right row (materialised once, spilling).
    NestedLoopJoin {
        /// The outer side.
        left: Box<PlanNode>,
        /// The inner side.
        right: Box<PlanNode>,
        /// Which rows it gives.
        kind: JoinKind,
        /// Over left columns then right columns.
        on: Option<Expr>,
    },
    /// Builds a hash table of the right side, probes with the left; spills by partitions. Left order is kept while
    /// nothing spills, but nobody may rely on it.
    HashJoin {
        /// The probe side.
        left: Box<PlanNode>,
        /// The build side.
        right: Box<PlanNode>,
        /// Over left columns.
        left_keys: Vec<Expr>,
        /// Over right columns; types equal to `left_keys`'. NULL keys match nothing.
        right_keys: Vec<Expr>,
        /// Which rows it gives.
        kind: JoinKind,
        /// What else must hold, over left columns then right columns.
        residual: Option<Expr>,
    },
    /// For every outer row, looks the inner rows up by primary key or index.
    IndexJoin {
        /// The outer side.
        outer: Box<PlanNode>,
        /// The inner table.
        table: Arc<Table>,
        /// `None`: by primary key; `Some`: position in `table.indexes`.
        index: Option<usize>,
        /// Over outer columns: values for a prefix of the key's columns, of exactly their types. NULL matches nothing.
        keys: Vec<Expr>,
        /// Ordinals of the inner columns it gives.
        columns: Vec<usize>,
        /// Which rows it gives.
        kind: JoinKind,
        /// What else must hold, over outer columns then inner columns.
        residual: Option<Expr>,
    },
    /// For every left row, the rows of `right` run with its parameters set; once for each distinct tuple of those.
    Apply {
        /// The outer side.
        left: Box<PlanNode>,
        /// The inner side.
        right: Box<PlanNode>,
        /// Inner, or Left.
        kind: JoinKind,
        /// Over left columns then right columns.
        on: Option<Expr>,
        /// The parameters and their values, over left columns.
        args: Vec<(usize, Expr)>,
    },
    /// Groups and aggregates. Output: group columns, then aggregates. Without groups: exactly one row.
    Aggregate {
        /// From where.
        input: Box<PlanNode>,
        /// Over input columns.
        groups: Vec<Expr>,
        /// Over input columns.
        aggregates: Vec<AggregateCall>,
        /// The input comes sorted by the groups: one group at a time, no hash table.
        sorted: bool,
    },
    /// Adds columns computed over windows. The input comes sorted by partition, then order.
    Window {
        /// From where.
        input: Box<PlanNode>,
        /// PARTITION BY: over input columns.
        partition: Vec<Expr>,
        /// ORDER BY: over input columns.
        order: Vec<SortKey>,
        /// What is added.
        calls: Vec<WindowCall>,
    },
    /// The rows of `anchor`, then those of `step`, run over the rows that came last until it gives none.
    Recursive {
        /// The first rows.
        anchor: Box<PlanNode>,
        /// The next.
        step: Box<PlanNode>,
        /// Which working table the step reads.
        working: usize,
        /// Rows that came before are dropped.
        distinct: bool,
    },
    /// The rows that came last in a recursion.
    Working {
        /// Which recursion's.
        working: usize,
        /// Which of its columns.
        columns: Vec<usize>,
    },
    /// Sorts (stable), spilling; with `limit`, keeps only the first rows (top-N).
    Sort {
        /// From where.
        input: Box<PlanNode>,
        /// By what, over input columns.
        keys: Vec<SortKey>,
        /// Rows wanted, if few: LIMIT + OFFSET.
        limit: Option<u64>,
    },
    /// Locks rows one after the other, as they are asked for, and gives them in their newest version.
    LockRows {
        /// Columns `columns` of the rows, then their keys.
        input: Box<PlanNode>,
        /// Of which table.
        table: Arc<Table>,
        /// Ordinals of the columns it gives.
        columns: Vec<usize>,
        /// What a row that changed meanwhile must satisfy, over the output columns.
        recheck: Option<Expr>,
        /// Whether that can be said; otherwise it is 40001.
        can_recheck: bool,
        /// How.
        lock: RowLock,
        /// What to do where another has a lock.
        wait: Wait,
    },
    /// LIMIT and OFFSET: bigint expressions without columns. NULL is no limit; negative is 2201W/2201X.
    Limit {
        /// From where.
        input: Box<PlanNode>,
        /// LIMIT
        limit: Option<Expr>,
        /// OFFSET
        offset: Option<Expr>,
    },
    /// Drops repeated rows (NULLs equal).
    Distinct {
        /// From where.
        input: Box<PlanNode>,
    },
    /// The rows of all inputs, one after the other.
    Append {
        /// From where, all of the same types.
        inputs: Vec<PlanNode>,
    },
}

/// The pseudo-ordinal of a row's encoded key.
pub const ROW_KEY: usize = usize::MAX;

/// Which rows a join gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Matches.
    Inner,
    /// Matches, and left rows without one.
    Left,
    /// Matches, and rows of either side without one.
    Full,
    /// Left rows with a match, once; left columns only.
    Semi,
    /// Left rows without a match; left columns only.
    Anti,
}

impl JoinKind {
    /// Whether it gives the right columns too.
    pub fn has_right(self) -> bool {
        matches!(self, JoinKind::Inner | JoinKind::Left | JoinKind::Full)
    }
}

/// A sort key.
#[derive(Clone, Debug)]
pub struct SortKey {
    /// Over input columns.
    pub expr: Expr,
    /// DESC
    pub descending: bool,
    /// NULLS FIRST
    pub nulls_first: bool,
}

/// Bounds on a prefix of a key's columns: `equal` for the first columns, then at most one range on the next. The
/// expressions have no columns and exactly the columns' types. A NULL bound selects nothing.
#[derive(Clone, Debug, Default)]
pub struct KeyBounds {
    /// Values of the first key columns.
    pub equal: Vec<Expr>,
    /// Lower bound of the next column; the flag: inclusive.
    pub lower: Option<(Expr, bool)>,
    /// Upper bound of the next column.
    pub upper: Option<(Expr, bool)>,
}

impl KeyBounds {
    /// Whether it bounds nothing.
    pub fn is_unbounded(&self) -> bool {
        self.equal.is_empty() && self.lower.is_none() && self.upper.is_none()
    }
}

/// A statement that changes rows (or only reads them).
#[derive(Clone, Debug)]
pub enum Statement {
    /// SELECT, VALUES, TABLE.
    Query(Plan),
    /// INSERT.
    Insert(Insert),
    /// UPDATE.
    Update(Update),
    /// DELETE.
    Delete(Delete),
    /// MERGE.
    Merge(Merge),
    /// Changes in WITH, and what stands behind them.
    With(Box<With>),
}

/// A statement behind changes in WITH.
#[derive(Clone, Debug)]
pub struct With {
    /// Run in order, each once; none sees what the others do but through RETURNING.
    pub changes: Vec<Change>,
    /// What stands behind them.
    pub main: Statement,
}

/// INSERT, UPDATE or DELETE in WITH.
#[derive(Clone, Debug)]
pub struct Change {
    /// The working table that RETURNING's rows go into.
    pub working: usize,
    /// What.
    pub statement: Statement,
}

impl Statement {
    /// The statements that it is made of, in the order in which they run.
    pub fn parts(&self) -> Vec<&Statement> {
        match self {
            Statement::With(with) => {
                with.changes.iter().map(|change| &change.statement).chain([&with.main]).collect()
            }
            other => vec![other],
        }
    }

    /// The statement behind WITH.
    pub fn main(&self) -> &Statement {
        match self {
            Statement::With(with) => &with.main,
            other => other,
        }
    }

    /// What reads the rows.
    pub fn source(&self) -> &Plan {
        match self {
            Statement::Query(plan) => plan,
            Statement::Insert(insert) => &insert.source,
            Statement::Update(update) => &update.source,
            Statement::Delete(delete) => &delete.source,
            Statement::Merge(merge) => &merge.source,
            Statement::With(with) => with.main.source(),
        }
    }

    /// Types of its parameters.
    pub fn param_types(&self) -> &[SqlType] {
        &self.source().param_types
    }

    /// The table that it changes by itself.
    pub fn target(&self) -> Option<&Arc<Table>> {
        match self {
            Statement::Insert(insert) => Some(&insert.table),
            Statement::Update(update) => Some(&update.table),
            Statement::Delete(delete) => Some(&delete.table),
            Statement::Merge(merge) => Some(&merge.table),
            Statement::Query(_) | Statement::With(_) => None,
        }
    }

    /// The foreign keys around what it changes by itself.
    pub fn relations(&self) -> Option<&Arc<Relations>> {
        match self {
            Statement::Insert(insert) => insert.relations.as_ref(),
            Statement::Update(update) => update.relations.as_ref(),
            Statement::Delete(delete) => delete.relations.as_ref(),
            Statement::Merge(merge) => merge.relations.as_ref(),
            Statement::Query(_) | Statement::With(_) => None,
        }
    }

    /// RETURNING.
    pub fn returning(&self) -> Option<&Returning> {
        match self {
            Statement::Query(_) | Statement::Merge(_) => None,
            Statement::Insert(insert) => insert.returning.as_ref(),
            Statement::Update(update) => update.returning.as_ref(),
            Statement::Delete(delete) => delete.returning.as_ref(),
            Statement::With(with) => with.main.returning(),
        }
    }
}

/// INSERT: `source` gives one column for each table column in order (defaults, casts and identity already in place;
/// identity values come from [`Expr::Call`] of `nextval`). Checks: NOT NULL (23502), CHECK (23514), unique (23505).
#[derive(Clone, Debug)]
pub struct Insert {
    /// Into which.
    pub table: Arc<Table>,
    /// The rows.
    pub source: Plan,
    /// Generated columns: ordinals and their expressions over the table's columns.
    pub generated: Vec<(usize, Expr)>,
    /// CHECK constraints over the table's columns: name and predicate (NULL passes).
    pub checks: Vec<(String, Expr)>,
    /// ON CONFLICT: on which unique keys. `None`: a conflict is 23505.
    pub skip: Option<Arbiters>,
    /// DO UPDATE; otherwise the row is left out.
    pub conflict_update: Option<ConflictUpdate>,
    /// Foreign keys, if there are any.
    pub relations: Option<Arc<Relations>>,
    /// RETURNING over the table's columns.
    pub returning: Option<Returning>,
}

/// ON CONFLICT DO UPDATE: over the columns of the row that is there, then those of the row that was to be inserted.
#[derive(Clone, Debug)]
pub struct ConflictUpdate {
    /// Ordinal and new value.
    pub assignments: Vec<(usize, Expr)>,
    /// WHERE
    pub filter: Option<Expr>,
}

/// The unique keys on which ON CONFLICT looks away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arbiters {
    /// All of the table.
    All,
    /// Those that the statement's target names.
    Some {
        /// The primary key is one.
        primary: bool,
        /// Trees of the unique indexes.
        indexes: Vec<TreeId>,
    },
}

impl Arbiters {
    /// Whether the primary key is one.
    pub fn has_primary(&self) -> bool {
        matches!(self, Arbiters::All | Arbiters::Some { primary: true, .. })
    }

    /// Whether the unique index with this tree is one.
    pub fn has_index(&self, tree: TreeId) -> bool {
        match self {
            Arbiters::All => true,
            Arbiters::Some { indexes, .. } => indexes.contains(&tree),
        }
    }
}

/// UPDATE: `source` gives all table columns in order, then [`ROW_KEY`], then what UPDATE … FROM computed. Its filter is also kept in `recheck` for
/// re-evaluation on the newest version of a row (DESIGN §5).
#[derive(Clone, Debug)]
pub struct Update {
    /// Which.
    pub table: Arc<Table>,
    /// The rows to change.
    pub source: Plan,
    /// The whole WHERE over the table's columns when the statement is over this one relation without subqueries: such
    /// a statement re-evaluates, any other restarts.
    pub recheck: Option<Recheck>,
    /// Ordinal and new value, over the table's columns and those that the source gives behind the row's key.
    pub assignments: Vec<(usize, Expr)>,
    /// As in `Insert`.
    pub generated: Vec<(usize, Expr)>,
    /// As in `Insert`.
    pub checks: Vec<(String, Expr)>,
    /// As in `Insert`.
    pub relations: Option<Arc<Relations>>,
    /// As in `Insert`, of the new row.
    pub returning: Option<Returning>,
}

/// DELETE: `source` as in `Update`.
#[derive(Clone, Debug)]
pub struct Delete {
    /// From which.
    pub table: Arc<Table>,
    /// The rows to delete.
    pub source: Plan,
    /// As in `Update`.
    pub recheck: Option<Recheck>,
    /// As in `Insert`.
    pub relations: Option<Arc<Relations>>,
    /// As in `Insert`, of the old row.
    pub returning: Option<Returning>,
}

/// MERGE: `source` gives all table columns in order (NULL where no row matched), then [`ROW_KEY`], then the number of the action from
/// 1 (0: none), then what the actions read beside the table's columns.
#[derive(Clone, Debug)]
pub struct Merge {
    /// Into which.
    pub table: Arc<Table>,
    /// The join.
    pub source: Plan,
    /// What the clauses do.
    pub actions: Vec<MergeAction>,
    /// As in `Insert`.
    pub generated: Vec<(usize, Expr)>,
    /// As in `Insert`.
    pub checks: Vec<(String, Expr)>,
    /// As in `Insert`.
    pub relations: Option<Arc<Relations>>,
}

/// What a clause of MERGE does; over the table's columns, then those that the source gives behind the action's number.
#[derive(Clone, Debug)]
pub enum MergeAction {
    /// Nothing.
    Nothing,
    /// DELETE.
    Delete,
    /// UPDATE: ordinal and new value.
    Update(Vec<(usize, Expr)>),
    /// INSERT: a value for each column of the table.
    Insert(Vec<Expr>),
}

/// The whole WHERE of a single-relation statement, over the table's columns; `None` is true.
#[derive(Clone, Debug)]
pub struct Recheck(pub Option<Expr>);

/// RETURNING.
#[derive(Clone, Debug)]
pub struct Returning {
    /// Over the table's columns.
    pub exprs: Vec<Expr>,
    /// Its output.
    pub fields: Vec<Field>,
}

/// The foreign keys around a table that changes: those of the table, those that refer to it, and what the latter's actions change
/// in turn.
#[derive(Clone, Debug, Default)]
pub struct Relations {
    /// By id: all tables of which rows are looked up or changed.
    pub tables: BTreeMap<u32, Related>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Related {
    /// Which.
    pub table: Arc<Table>,
    /// Foreign keys that refer to it.
    pub referrers: Vec<Referrer>,
    /// Rows of it may change: the statement's own table, or one that an action reaches.
    pub is_changed: bool,
    /// Its generated columns, where actions change it.
    pub generated: Vec<(usize, Expr)>,
    /// CHECK constraints over its columns, where actions change it.
    pub checks: Vec<(String, Expr)>,
    /// What its columns get by SET DEFAULT.
    pub defaults: Vec<Expr>,
}

/// A foreign key that refers to a table.
#[derive(Clone, Debug)]
pub struct Referrer {
    /// Whose it is.
    pub table: u32,
    /// The key.
    pub key: ForeignKey,
}
