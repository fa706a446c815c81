//! Which predicates can bound a key, and the values they bound it with.
//!
//! Invariant B1: a bound is of exactly the key column's type and equal to the predicate's value; where no such value
//! exists the predicate stays a filter.

use crate::datum::Datum;
use crate::expr::Expr;
use crate::plan::logical::ColumnId;
use crate::types::SqlType;
use std::sync::Arc;

/// `column op value` with a value that is the same for all rows and of exactly the column's type.
pub(super) fn column_bound(predicate: &Expr, id: ColumnId, ty: SqlType) -> Option<(&'static str, Expr)> {
    let is_it = |expr: &Expr| matches!(expr, Expr::Column { id: column, .. } if *column == id);
    let truth = |value| Some(("=", Expr::bool(value)));
    let (function, args) = match predicate {
        Expr::Call { function, args, .. } => (function, args),
        // A condition that is a boolean column, or says it is false.
        Expr::Column { .. } if is_it(predicate) && ty == SqlType::Bool => return truth(true),
        Expr::Not(inner) if is_it(inner) && ty == SqlType::Bool => return truth(false),
        _ => return None,
    };
    let [a, b] = args.as_slice() else { return None };
    let is_widened =
        |expr: &Expr| matches!(expr, Expr::Cast { input, ty, .. } if is_it(input) && widens(input.ty(), *ty));
    let (column, value, op) = if is_it(a) || is_widened(a) {
        (a, b, as_written(function.name)?)
    } else if is_it(b) || is_widened(b) {
        (b, a, turned_round(function.name)?)
    } else {
        return None;
    };
    if value.has_columns() || !is_repeatable(value) {
        return None;
    }
    let value = if is_it(column) { as_key(value, ty)? } else { narrowed(value, ty)? };
    Some((op, value))
}

/// Whether the value is the same however often it is computed while the statement runs, and needs no waiting for.
fn is_repeatable(value: &Expr) -> bool {
    !value.is_volatile() && !value.has_correlated()
}

fn as_written(name: &str) -> Option<&'static str> {
    ["=", "<", "<=", ">", ">="].into_iter().find(|op| *op == name)
}

fn turned_round(name: &str) -> Option<&'static str> {
    Some(match name {
        "=" => "=",
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        _ => return None,
    })
}

/// Whether the cast is from an integer type to a larger one: equal values stay equal, order stays order.
fn widens(from: SqlType, to: SqlType) -> bool {
    matches!((from, to), (SqlType::Int2, SqlType::Int4 | SqlType::Int8) | (SqlType::Int4, SqlType::Int8))
}

/// An integer constant in a smaller type, when it fits.
fn narrowed(value: &Expr, ty: SqlType) -> Option<Expr> {
    let Expr::Literal { value, .. } = value else { return None };
    narrowed_datum(value, ty).map(|value| Expr::Literal { value, ty })
}

fn narrowed_datum(value: &Datum, ty: SqlType) -> Option<Datum> {
    let value = match value {
        Datum::Null => return Some(Datum::Null),
        Datum::Int2(value) => i64::from(*value),
        Datum::Int4(value) => i64::from(*value),
        Datum::Int8(value) => *value,
        _ => return None,
    };
    match ty {
        SqlType::Int2 => value.try_into().ok().map(Datum::Int2),
        SqlType::Int4 => value.try_into().ok().map(Datum::Int4),
        SqlType::Int8 => Some(Datum::Int8(value)),
        _ => None,
    }
}

/// The value as the key column's very type, if nothing of it is lost.
pub(super) fn as_key(value: &Expr, ty: SqlType) -> Option<Expr> {
    let from = value.ty();
    // A literal of a modified type may still be another value than the modifier allows (a folded cast is not).
    if from == ty && !matches!((value, ty), (Expr::Literal { .. }, SqlType::Decimal { .. })) {
        return Some(value.clone());
    }
    match (value, ty) {
        (Expr::Literal { value: Datum::Null, .. }, _) if from.base() == ty.base() => {
            Some(Expr::Literal { value: Datum::Null, ty })
        }
        // Text is text, whatever its limit.
        (_, SqlType::Text | SqlType::Varchar(_)) if from.base() == SqlType::Text => match value {
            Expr::Literal { value, .. } => Some(Expr::Literal { value: value.clone(), ty }),
            Expr::Param { index, .. } => Some(Expr::Param { index: *index, ty }),
            _ => None,
        },
        (Expr::Literal { value: Datum::Numeric(number), .. }, SqlType::Numeric) => {
            Some(Expr::Literal { value: Datum::Numeric(number.clone()), ty })
        }
        (Expr::Literal { value: Datum::Numeric(number), .. }, SqlType::Decimal { precision, scale }) => {
            let coefficient = number.to_decimal128(scale)?;
            let scaled = number.with_scale(u32::from(scale));
            let fits = scaled == *number && coefficient.unsigned_abs() < 10u128.pow(u32::from(precision));
            fits.then_some(Expr::Literal { value: Datum::Numeric(scaled), ty })
        }
        _ => None,
    }
}

/// `column LIKE 'prefix…'`: the bounds of all texts that begin so; the upper one is exclusive. The predicate must still be
/// asked.
pub(super) fn prefix_bounds(predicate: &Expr, id: ColumnId, ty: SqlType) -> Option<(Expr, Option<Expr>)> {
    let Expr::Call { function, args, .. } = predicate else { return None };
    let [Expr::Column { id: column, .. }, Expr::Literal { value: Datum::Text(pattern), .. }] =
        args.as_slice()
    else {
        return None;
    };
    if function.name != "~~" || *column != id || ty.base() != SqlType::Text {
        return None;
    }
    let prefix = fixed_prefix(pattern);
    if prefix.is_empty() {
        return None;
    }
    let literal = |text: &str| Expr::Literal { value: Datum::Text(Arc::from(text)), ty };
    Some((literal(&prefix), after_prefix(&prefix).map(|text| literal(&text))))
}

/// What every text that matches the pattern begins with.
fn fixed_prefix(pattern: &str) -> String {
    let mut prefix = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' | '_' => break,
            '\\' => match chars.next() {
                Some(c) => prefix.push(c),
                None => break,
            },
            c => prefix.push(c),
        }
    }
    prefix
}

/// The least text above all that begin with the prefix; none when there is no such text.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The order of code points is the order of UTF-8 bytes; surrogates are not characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(fixed_prefix("ab%c"), "ab");
        assert_eq!(fixed_prefix("a\\%b_"), "a%b");
        assert_eq!(fixed_prefix("%a"), "");
        assert_eq!(after_prefix("ab").as_deref(), Some("ac"));
        assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(after_prefix("\u{10ffff}"), None);
    }

    #[test]
    fn values_that_fit_and_values_that_do_not() {
        let number =
            |text: &str| Expr::Literal { value: Datum::Numeric(text.parse().unwrap()), ty: SqlType::Numeric };
        let decimal = SqlType::Decimal { precision: 5, scale: 2 };
        assert!(as_key(&number("1.5"), decimal).is_some());
        assert!(as_key(&number("1.500"), decimal).is_some());
        assert!(as_key(&number("1.505"), decimal).is_none());
        assert!(as_key(&number("1000.00"), decimal).is_none());
        assert!(as_key(&number("NaN"), decimal).is_none());
    }
}
