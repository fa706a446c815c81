//! Expressions.

use super::{Name, NamedType, OrderItem, Over, Query};
use crate::types::SqlType;
use std::sync::Arc;

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands: for operators the operator, as in PostgreSQL.
    pub at: u32,
}

/// What an expression is.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum ExprKind {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    /// `'name'::regclass`
    Regclass(String),
    Param(u32),
    /// DEFAULT, where INSERT and UPDATE allow it.
    Default,
    /// `a` or `t.a`
    Column {
        table: Option<Name>,
        name: Name,
    },
    Unary {
        op: String,
        input: Box<Expr>,
    },
    Binary {
        op: String,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull {
        input: Box<Expr>,
        negated: bool,
    },
    /// IS [NOT] TRUE, FALSE, UNKNOWN (`None`).
    IsTruth {
        input: Box<Expr>,
        value: Option<bool>,
        negated: bool,
    },
    IsDistinct {
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    Between {
        input: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
        symmetric: bool,
    },
    InList {
        input: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    InSubquery {
        input: Box<Expr>,
        query: Box<Query>,
        negated: bool,
    },
    /// `input op ANY (query)`, or ALL.
    Quantified {
        input: Box<Expr>,
        op: String,
        all: bool,
        query: Box<Query>,
    },
    /// `input op ANY (array)`, or ALL.
    QuantifiedArray {
        input: Box<Expr>,
        op: String,
        all: bool,
        array: Box<Expr>,
    },
    /// `ARRAY[…]`; in it, `[…]`.
    Array(Vec<Expr>),
    /// `ARRAY(SELECT …)`
    ArrayQuery(Box<Query>),
    /// `a[1]`, `a[1:2][1:2]`
    Subscript {
        input: Box<Expr>,
        subscripts: Vec<Subscript>,
    },
    /// `(a, b)`, `ROW(a, b)`
    Row(Vec<Expr>),
    /// `(input).name`
    Field {
        /// Of what.
        input: Box<Expr>,
        /// Which.
        name: Name,
    },
    /// `input.*`: a row value, or all its fields where a list stands.
    AllFields(Box<Expr>),
    Like {
        input: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<Box<Expr>>,
        negated: bool,
        fold_case: bool,
    },
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    /// A cast to a user's type.
    NamedCast {
        input: Box<Expr>,
        named: Box<NamedType>,
    },
    Cast {
        input: Box<Expr>,
        ty: SqlType,
    },
    Function(Box<FunctionCall>),
    Coalesce(Vec<Expr>),
    NullIf(Box<Expr>, Box<Expr>),
    /// GREATEST (true), LEAST (false)
    Extreme {
        greatest: bool,
        args: Vec<Expr>,
    },
    Exists(Box<Query>),
    Subquery(Box<Query>),
    /// One column of a subquery that stands for several values: `SET (a, b) = (SELECT …)`.
    SubqueryPart {
        query: Arc<Query>,
        part: usize,
        width: usize,
    },
}

/// One subscript.
#[derive(Clone, Debug)]
pub struct Subscript {
    /// The index, or where a slice begins.
    pub lower: Option<Expr>,
    /// Where a slice ends.
    pub upper: Option<Expr>,
    /// With a colon.
    pub slice: bool,
}

/// A function call.
#[derive(Clone, Debug)]
pub struct FunctionCall {
    /// Its name.
    pub name: Name,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// VARIADIC before the last argument.
    pub variadic: bool,
    /// `f(*)`
    pub star: bool,
    /// DISTINCT
    pub distinct: bool,
    /// ORDER BY inside the parentheses.
    pub order_by: Vec<OrderItem>,
    /// FILTER
    pub filter: Option<Expr>,
    /// WITHIN GROUP
    pub within: Vec<OrderItem>,
    /// OVER
    pub over: Option<Over>,
    /// What the output column is called when it is not the function's name (`EXTRACT`, `TRIM`, …).
    pub label: Option<&'static str>,
}
