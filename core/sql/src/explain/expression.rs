//! Expressions as SQL text, in the style of PostgreSQL's EXPLAIN: every operator in parentheses, constants with their
//! types where the text alone would read as another one.

use crate::datum::Datum;
use crate::expr::{AggregateCall, Expr, SubqueryUse, WindowCall, WindowFunction};
use crate::text::{self, FormatSettings};
use crate::types::SqlType;

/// The text of `expr`; `names` are the texts of the columns by position.
pub fn print(expr: &Expr, names: &[String]) -> String {
    let one = |expr: &Expr| print(expr, names);
    match expr {
        Expr::Literal { value, ty } => literal(value, *ty),
        Expr::Param { index, .. } => format!("${}", index + 1),
        Expr::Column { id, .. } => names.get(*id).cloned().unwrap_or_else(|| format!("column{}", id + 1)),
        Expr::Call { function, args, .. } => call(function.name, &args.iter().map(one).collect::<Vec<_>>()),
        Expr::Cast { input, ty, .. } => format!("({})::{}", unwrapped(&one(input)), ty.name()),
        Expr::And(operands) => joined(operands, " AND ", names),
        Expr::Or(operands) => joined(operands, " OR ", names),
        Expr::Not(operand) => match operand.as_ref() {
            Expr::IsNull(inner) => format!("({} IS NOT NULL)", one(inner)),
            Expr::IsNotDistinct(left, right) => format!("({} IS DISTINCT FROM {})", one(left), one(right)),
            other => format!("(NOT {})", one(other)),
        },
        Expr::IsNull(operand) => format!("({} IS NULL)", one(operand)),
        Expr::IsNotDistinct(left, right) => format!("(NOT ({} IS DISTINCT FROM {}))", one(left), one(right)),
        Expr::Case { branches, otherwise, .. } => {
            let mut out = "CASE".to_owned();
            for (condition, value) in branches {
                out.push_str(&format!(" WHEN {} THEN {}", one(condition), one(value)));
            }
            format!("{out} ELSE {} END", one(otherwise))
        }
        Expr::Coalesce { args, .. } => format!("COALESCE({})", list(args, names)),
        Expr::InList { input, list } => {
            let elements: Vec<String> = list.iter().map(|value| element(value, input.ty())).collect();
            let array = format!("{{{}}}", elements.join(",")).replace('\'', "''");
            format!("({} = ANY ('{array}'::{}[]))", one(input), input.ty().base_name())
        }
        Expr::Subquery { index, kind, args, .. } if !args.is_empty() => {
            let args: Vec<&Expr> = args.iter().map(|arg| &arg.1).collect();
            let args = args.into_iter().map(one).collect::<Vec<_>>().join(", ");
            let plan = format!("SubPlan {} ({args})", index + 1);
            match kind {
                SubqueryUse::Scalar => format!("({plan})"),
                SubqueryUse::Exists => format!("EXISTS({plan})"),
                SubqueryUse::In(input) => format!("(ANY ({} = ({plan}).col1))", one(input)),
                SubqueryUse::Any { inputs, test } => {
                    format!("(ANY {})", comparison(inputs, test, &plan, names))
                }
            }
        }
        Expr::Subquery { index, kind, .. } => match kind {
            SubqueryUse::Scalar | SubqueryUse::Exists => format!("(InitPlan {}).col1", index + 1),
            SubqueryUse::In(input) => format!("(ANY ({} = (hashed SubPlan {}).col1))", one(input), index + 1),
            SubqueryUse::Any { inputs, test } => {
                format!("(ANY {})", comparison(inputs, test, &format!("SubPlan {}", index + 1), names))
            }
        },
    }
}

/// The text of a window call, without its window.
pub fn print_window(call: &WindowCall, names: &[String]) -> String {
    let name = match call.function {
        WindowFunction::RowNumber => "row_number",
        WindowFunction::Rank => "rank",
        WindowFunction::DenseRank => "dense_rank",
        WindowFunction::PercentRank => "percent_rank",
        WindowFunction::CumeDist => "cume_dist",
        WindowFunction::Ntile => "ntile",
        WindowFunction::Lag => "lag",
        WindowFunction::Lead => "lead",
        WindowFunction::FirstValue => "first_value",
        WindowFunction::LastValue => "last_value",
        WindowFunction::NthValue => "nth_value",
        WindowFunction::Aggregate(aggregate) => aggregate.name,
    };
    let is_count = call.args.is_empty() && matches!(call.function, WindowFunction::Aggregate(_));
    let args = if is_count { "*".to_owned() } else { list(&call.args, names) };
    let filter = call.filter.as_ref().map(|filter| format!(" FILTER (WHERE {})", print(filter, names)));
    format!("{name}({args}){} OVER (?)", filter.unwrap_or_default())
}

/// The comparison of a quantified subquery.
fn comparison(inputs: &[Expr], test: &Expr, plan: &str, names: &[String]) -> String {
    let mut all: Vec<String> = inputs.iter().map(|input| print(input, names)).collect();
    all.extend((1..=inputs.len()).map(|place| format!("({plan}).col{place}")));
    print(test, &all)
}

/// The text of an aggregate call.
pub fn print_aggregate(call: &AggregateCall, names: &[String]) -> String {
    let own = &call.args[..call.args.len().min(call.function.args.len())];
    let mut args = if call.args.is_empty() { "*".to_owned() } else { list(own, names) };
    for (index, key) in call.order_by.iter().enumerate() {
        args.push_str(if index == 0 { " ORDER BY " } else { ", " });
        args.push_str(&print(&call.args[key.arg], names));
        if key.descending {
            args.push_str(" DESC");
        }
        if key.nulls_first != key.descending {
            args.push_str(if key.nulls_first { " NULLS FIRST" } else { " NULLS LAST" });
        }
    }
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let filter = call.filter.as_ref().map(|filter| format!(" FILTER (WHERE {})", print(filter, names)));
    format!("{}({distinct}{args}){}", call.function.name, filter.unwrap_or_default())
}

/// The texts, with commas between.
pub fn list(exprs: &[Expr], names: &[String]) -> String {
    exprs.iter().map(|expr| print(expr, names)).collect::<Vec<_>>().join(", ")
}

fn joined(operands: &[Expr], word: &str, names: &[String]) -> String {
    let texts: Vec<String> = operands.iter().map(|operand| print(operand, names)).collect();
    format!("({})", texts.join(word))
}

fn call(name: &str, args: &[String]) -> String {
    let is_operator = name.chars().all(|c| "+-*/<>=~!@#%^&|`?".contains(c));
    match args {
        [operand] if is_operator => format!("({name} {operand})"),
        [left, right] if is_operator => format!("({left} {name} {right})"),
        _ => format!("{name}({})", args.join(", ")),
    }
}

/// Without the outer parentheses, when one pair encloses all of it.
fn unwrapped(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) else { return text };
    let mut depth = 0i32;
    for c in inner.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        // A quote may hide parentheses: leave such texts as they are.
        if depth < 0 || c == '\'' || c == '"' {
            return text;
        }
    }
    inner
}

fn literal(value: &Datum, ty: SqlType) -> String {
    let text = text::format(value, ty, FormatSettings::default());
    match value {
        Datum::Null => format!("NULL::{}", ty.name()),
        Datum::Bool(value) => value.to_string(),
        Datum::Int4(value) if *value >= 0 => text,
        Datum::Numeric(_) if !text.starts_with('-') && text.contains('.') => text,
        _ => format!("'{}'::{}", text.replace('\'', "''"), ty.name()),
    }
}

/// A value inside an array's text.
fn element(value: &Datum, ty: SqlType) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    let text = text::format(value, ty, FormatSettings::default());
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.chars().any(|c| c.is_whitespace() || "{},\"\\".contains(c));
    if plain { text } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}
