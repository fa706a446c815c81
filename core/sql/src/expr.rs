//! Bound expressions: every name resolved, every type known, every implicit cast written out.

use crate::datum::Datum;
use crate::functions::{Aggregate, Scalar};
use crate::types::SqlType;
use std::sync::Arc;

/// A bound scalar expression. `position` is where it stands in the statement text (1-based, 0 = unknown).
#[derive(Clone, Debug)]
pub enum Expr {
    /// A constant.
    Literal {
        /// Its value.
        value: Datum,
        /// Its type.
        ty: SqlType,
    },
    /// A parameter `$n`, by index from 0.
    Param {
        /// Which.
        index: usize,
        /// Its type.
        ty: SqlType,
    },
    /// A column. In logical plans `id` is unique in the statement; in physical plans it is the position in the input batch.
    Column {
        /// See above.
        id: usize,
        /// Its type.
        ty: SqlType,
    },
    /// A function or operator (operators are functions named by their symbol, as in PostgreSQL).
    Call {
        /// Which.
        function: &'static Scalar,
        /// Its arguments, cast to its argument types.
        args: Vec<Expr>,
        /// Its result type.
        ty: SqlType,
        /// See the type.
        position: u32,
    },
    /// A cast that does something. Explicit casts to `varchar(n)` cut, implicit and assignment ones refuse (22001).
    Cast {
        /// What.
        input: Box<Expr>,
        /// To which type.
        ty: SqlType,
        /// `CAST(…)` or `::` in the text.
        explicit: bool,
        /// See the type.
        position: u32,
    },
    /// AND of two or more. Evaluated in order; a later operand is not evaluated for rows that are already false.
    And(Vec<Expr>),
    /// OR of two or more, likewise.
    Or(Vec<Expr>),
    /// NOT
    Not(Box<Expr>),
    /// IS NULL
    IsNull(Box<Expr>),
    /// IS [NOT] DISTINCT FROM is `Not` of this: equality in which NULL equals NULL.
    IsNotDistinct(Box<Expr>, Box<Expr>),
    /// CASE: branches of condition and value, then ELSE. Values are evaluated only for the rows they apply to.
    Case {
        /// WHEN … THEN …
        branches: Vec<(Expr, Expr)>,
        /// ELSE
        otherwise: Box<Expr>,
        /// Its type.
        ty: SqlType,
    },
    /// COALESCE; arguments are evaluated only where those before are NULL.
    Coalesce {
        /// Its arguments, of one type.
        args: Vec<Expr>,
        /// Its type.
        ty: SqlType,
    },
    /// `input IN (literals)`: all of `list` constants of the input's type.
    InList {
        /// What is looked up.
        input: Box<Expr>,
        /// In what; NULLs included.
        list: Vec<Datum>,
    },
    /// A subquery; the index is into the plan's `subqueries`. Without `args` it is run once before the rest; with them it
    /// is correlated, and run for each distinct tuple of them.
    Subquery {
        /// Which.
        index: usize,
        /// How its rows are used.
        kind: SubqueryUse,
        /// What it sees of the rows outside: the parameters that stand for them in its plan, numbered after the
        /// statement's own, and their values.
        args: Vec<(usize, Expr)>,
        /// Its type.
        ty: SqlType,
        /// See the type.
        position: u32,
    },
}

/// How the rows of a subquery are used.
#[derive(Clone, Debug)]
pub enum SubqueryUse {
    /// One value: NULL when there is no row, 21000 when there are more than one.
    Scalar,
    /// Whether there is a row.
    Exists,
    /// `input IN (subquery)` with SQL's NULL rules.
    In(Box<Expr>),
    /// `inputs op ANY (subquery)` with SQL's NULL rules: whether `test` is true for any row.
    Any {
        /// What is compared.
        inputs: Vec<Expr>,
        /// The comparison: the first columns are the inputs, the next the subquery's.
        test: Arc<Expr>,
    },
}

/// One key of ORDER BY inside an aggregate's parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgumentOrder {
    /// By which of the call's arguments.
    pub arg: usize,
    /// DESC
    pub descending: bool,
    /// NULLS FIRST
    pub nulls_first: bool,
}

/// An aggregate call.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    /// Which.
    pub function: &'static Aggregate,
    /// Its arguments; none for `count(*)`. Behind those of the function may stand more that only `order_by` looks at.
    pub args: Vec<Expr>,
    /// In which order it takes the rows of a group; empty where that does not matter.
    pub order_by: Vec<ArgumentOrder>,
    /// DISTINCT
    pub distinct: bool,
    /// FILTER (WHERE …)
    pub filter: Option<Expr>,
    /// Its result type.
    pub ty: SqlType,
    /// Where it stands.
    pub position: u32,
}

impl Expr {
    /// The type of its value.
    pub fn ty(&self) -> SqlType {
        match self {
            Expr::Literal { ty, .. }
            | Expr::Param { ty, .. }
            | Expr::Column { ty, .. }
            | Expr::Call { ty, .. }
            | Expr::Case { ty, .. }
            | Expr::Coalesce { ty, .. }
            | Expr::Subquery { ty, .. } => *ty,
            Expr::Cast { ty, .. } => ty.layout(),
            Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotDistinct(..)
            | Expr::InList { .. } => SqlType::Bool,
        }
    }
}

/// A call of a window function, or of an aggregate over frames.
#[derive(Clone, Debug)]
pub struct WindowCall {
    /// Which.
    pub function: WindowFunction,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// FILTER, of aggregates.
    pub filter: Option<Expr>,
    /// Which rows an aggregate, `first_value` and its kin see.
    pub frame: Frame,
    /// Its result type.
    pub ty: SqlType,
    /// See [`Expr`].
    pub position: u32,
}

/// Window functions.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    NthValue,
    Aggregate(&'static Aggregate),
}

/// The rows of a partition that a call sees from a row.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What is counted.
    pub mode: FrameMode,
    /// Its first row; `Unbounded` is the partition's first.
    pub start: FrameBound,
    /// Its last row; `Unbounded` is the partition's last.
    pub end: FrameBound,
    /// Which rows in it are left out.
    pub exclude: FrameExclude,
}

/// What the bounds of a frame count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum FrameMode {
    Rows,
    Range,
    Groups,
}

/// Rows left out of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum FrameExclude {
    Nothing,
    CurrentRow,
    Group,
    Ties,
}

/// A bound of a frame.
#[derive(Clone, Debug)]
pub enum FrameBound {
    /// UNBOUNDED PRECEDING, UNBOUNDED FOLLOWING
    Unbounded,
    /// CURRENT ROW
    Current,
    /// So many rows or groups PRECEDING (`back`) or FOLLOWING.
    Count {
        /// PRECEDING
        back: bool,
        /// How many: a bigint without columns.
        count: Box<Expr>,
    },
    /// RANGE: so far PRECEDING or FOLLOWING in the order's value.
    Distance {
        /// How far, to be judged: without columns.
        distance: Box<Expr>,
        /// The order's value, as it is compared.
        value: Box<Expr>,
        /// What it is compared with: the value less or plus the distance.
        limit: Box<Expr>,
    },
}
