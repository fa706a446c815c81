//! What an output column is called when nobody names it (PostgreSQL's FigureColname).

use crate::parse::ast::{Expr, ExprKind, Query, SelectItem, SetExpr};
use crate::types::SqlType;

/// The name of an output column.
pub(super) fn output_name(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// A name, and whether it is a strong one (a column's or a function's).
/// What an index calls the column of an expression.
pub(super) fn index_column(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "expr".to_owned(), |it| it.0)
}

fn figure(expr: &Expr) -> Option<(String, bool)> {
    let weak = |name: &str| Some((name.to_owned(), false));
    let strong = |name: &str| Some((name.to_owned(), true));
    match &expr.kind {
        ExprKind::Column { name, .. } => strong(&name.text),
        ExprKind::Function(function) => strong(function.label.unwrap_or(&function.name.text)),
        ExprKind::Coalesce(_) => strong("coalesce"),
        ExprKind::NullIf(..) => strong("nullif"),
        ExprKind::Extreme { greatest, .. } => strong(if *greatest { "greatest" } else { "least" }),
        ExprKind::Exists(_) => strong("exists"),
        ExprKind::Bool(_) => weak("bool"),
        ExprKind::NamedCast { input, named } => match figure(input) {
            Some((name, true)) => Some((name, true)),
            _ => weak(crate::names::last(&named.name.text)),
        },
        ExprKind::Field { name, .. } => strong(&name.text),
        ExprKind::Row(_) => weak("row"),
        ExprKind::AllFields(input) => figure(input),
        ExprKind::Cast { input, ty } => match figure(input) {
            Some((name, true)) => Some((name, true)),
            _ => weak(type_name(*ty)),
        },
        ExprKind::Case { otherwise, .. } => match otherwise.as_deref().and_then(figure) {
            Some((name, true)) => Some((name, true)),
            _ => weak("case"),
        },
        ExprKind::Subquery(query) => subquery_name(query),
        _ => None,
    }
}

fn subquery_name(query: &Query) -> Option<(String, bool)> {
    let mut body = &query.body;
    while let SetExpr::Query(inner) = body {
        body = &inner.body;
    }
    let SetExpr::Select(select) = body else { return None };
    match select.items.first()? {
        SelectItem::Star { .. } => None,
        SelectItem::Expr { alias: Some(alias), .. } => Some((alias.text.clone(), true)),
        SelectItem::Expr { expr, alias: None } => figure(expr),
    }
}

/// The name `pg_type` has for it.
fn type_name(ty: SqlType) -> &'static str {
    match ty {
        SqlType::Unknown => "unknown",
        SqlType::Bool => "bool",
        SqlType::Int2 => "int2",
        SqlType::Int4 => "int4",
        SqlType::Int8 => "int8",
        SqlType::Reg(_) => ty.base_name(),
        SqlType::Float4 => "float4",
        SqlType::Float8 => "float8",
        SqlType::Numeric | SqlType::Decimal { .. } => "numeric",
        SqlType::Text => "text",
        SqlType::Varchar(_) => "varchar",
        SqlType::Name => "name",
        SqlType::QuotedChar => "char",
        SqlType::Bytea => "bytea",
        SqlType::Date => "date",
        SqlType::Timestamp => "timestamp",
        SqlType::Timestamptz => "timestamptz",
        SqlType::Interval => "interval",
        SqlType::Uuid => "uuid",
        SqlType::Time => "time",
        SqlType::Char(_) => "bpchar",
        SqlType::Json => "json",
        SqlType::Jsonb => "jsonb",
        // An array is called as its elements.
        SqlType::Array(element) => type_name(element.ty()),
        SqlType::Record(_) => "row",
        SqlType::Enum(_) => "enum",
        SqlType::Fitted(fitted) => type_name(fitted.layout()),
    }
}
