//! Queries as trees: built by [`super::generate`], made smaller by [`super::shrink`], printed as SQL.

use std::fmt;

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ty {
    /// `integer` or `bigint`
    Int,
    /// `text`
    Text,
    /// `double precision`, of halves and quarters only: sums are exact in any order
    Real,
    /// a condition
    Bool,
}

impl Ty {
    /// A literal that an expression of this type may become.
    pub fn literals(self) -> &'static [&'static str] {
        match self {
            Ty::Int => &["1", "CAST(NULL AS INTEGER)"],
            Ty::Text => &["'a'", "CAST(NULL AS TEXT)"],
            Ty::Real => &["0.5e0", "CAST(NULL AS DOUBLE PRECISION)"],
            Ty::Bool => &["(1 = 1)", "(1 = 0)"],
        }
    }
}

/// An expression: a text in which `{}` stands for the arguments, one after the other, and `{q}` for the query.
#[derive(Clone, Debug)]
pub struct Expr {
    /// The text.
    pub form: String,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// The query in it.
    pub query: Option<Box<Query>>,
    /// What it gives.
    pub ty: Ty,
}

impl Expr {
    /// A text without arguments: a column, a literal.
    pub fn leaf(form: impl Into<String>, ty: Ty) -> Self {
        Expr { form: form.into(), args: Vec::new(), query: None, ty }
    }

    /// A text with arguments.
    pub fn of(form: impl Into<String>, args: Vec<Expr>, ty: Ty) -> Self {
        Expr { form: form.into(), args, query: None, ty }
    }

    /// A text with a query and arguments.
    pub fn with(form: &str, args: Vec<Expr>, query: Query, ty: Ty) -> Self {
        Expr { form: form.into(), args, query: Some(Box::new(query)), ty }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut args = self.args.iter();
        let mut rest = self.form.as_str();
        while let Some(at) = rest.find('{') {
            f.write_str(&rest[..at])?;
            let end = at + rest[at..].find('}').expect("a form closes its braces");
            match (&rest[at..=end], &self.query) {
                ("{q}", Some(query)) => write!(f, "{query}")?,
                _ => write!(f, "{}", args.next().expect("a form has its arguments"))?,
            }
            rest = &rest[end + 1..];
        }
        f.write_str(rest)
    }
}

/// What stands in FROM.
#[derive(Clone, Debug)]
pub enum Source {
    /// A table or a name of WITH.
    Name(String),
    /// A subquery.
    Query(Box<Query>),
}

/// An item of FROM, and how it is joined to those before it.
#[derive(Clone, Debug)]
pub struct From {
    /// `JOIN`, `LEFT JOIN`, …; of no meaning for the first.
    pub join: &'static str,
    /// What.
    pub source: Source,
    /// Its name here.
    pub alias: String,
    /// The condition; `CROSS JOIN` has none.
    pub on: Option<Expr>,
}

/// A key of ORDER BY: the number of the output column, and in which way.
pub type OrderKey = (usize, &'static str);

/// A query.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// WITH.
    pub with: Vec<(String, Query)>,
    /// DISTINCT.
    pub distinct: bool,
    /// The output.
    pub items: Vec<Expr>,
    /// FROM.
    pub from: Vec<From>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// GROUP BY.
    pub group: Vec<Expr>,
    /// HAVING.
    pub having: Option<Expr>,
    /// Another query, and how the two are put together.
    pub set: Option<(&'static str, Box<Query>)>,
    /// ORDER BY: all output columns, when there is a limit.
    pub order: Vec<OrderKey>,
    /// LIMIT and OFFSET.
    pub limit: Option<(u64, u64)>,
}

impl Query {
    /// The types of its columns.
    pub fn types(&self) -> Vec<Ty> {
        self.items.iter().map(|item| item.ty).collect()
    }

    /// Whether it has window functions.
    pub fn has_windows(&self) -> bool {
        self.items.iter().any(|item| item.form.contains(" OVER "))
    }

    /// Whether it groups or aggregates.
    pub fn is_grouped(&self) -> bool {
        !self.group.is_empty() || self.having.is_some() || self.items.iter().any(is_aggregate)
    }
}

fn is_aggregate(expr: &Expr) -> bool {
    let starts = ["count(", "sum(", "min(", "max("];
    let form = expr.form.trim_start_matches("CAST(");
    starts.iter().any(|start| form.starts_with(start)) && !form.contains(" OVER ")
        || expr.args.iter().any(is_aggregate)
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, query)) in self.with.iter().enumerate() {
            let columns: Vec<String> = (0..query.items.len()).map(|it| format!("c{it}")).collect();
            let before = if index == 0 { "WITH " } else { ", " };
            write!(f, "{before}{name}({}) AS ({query})", columns.join(", "))?;
        }
        if !self.with.is_empty() {
            f.write_str(" ")?;
        }
        f.write_str(if self.distinct { "SELECT DISTINCT " } else { "SELECT " })?;
        for (index, item) in self.items.iter().enumerate() {
            write!(f, "{}{item} AS c{index}", if index == 0 { "" } else { ", " })?;
        }
        for (index, from) in self.from.iter().enumerate() {
            let join = if index == 0 { "FROM" } else { from.join };
            match &from.source {
                Source::Name(name) => write!(f, " {join} {name} AS {}", from.alias)?,
                Source::Query(query) => write!(f, " {join} ({query}) AS {}", from.alias)?,
            }
            if let (Some(on), true) = (&from.on, index > 0) {
                write!(f, " ON {on}")?;
            }
        }
        if let Some(filter) = &self.filter {
            write!(f, " WHERE {filter}")?;
        }
        for (index, expr) in self.group.iter().enumerate() {
            write!(f, "{}{expr}", if index == 0 { " GROUP BY " } else { ", " })?;
        }
        if let Some(having) = &self.having {
            write!(f, " HAVING {having}")?;
        }
        if let Some((how, other)) = &self.set {
            write!(f, " {how} {other}")?;
        }
        for (index, (column, way)) in self.order.iter().enumerate() {
            write!(f, "{}{} {way}", if index == 0 { " ORDER BY " } else { ", " }, column + 1)?;
        }
        if let Some((limit, offset)) = self.limit {
            write!(f, " LIMIT {limit} OFFSET {offset}")?;
        }
        Ok(())
    }
}
