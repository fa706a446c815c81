//! Names, literals, types, options and stored texts as SQL writes them.

use orrery_sql::catalog::{Catalog, Sequence, View};
use orrery_sql::ddl::stored_name;
use orrery_sql::parse::is_keyword;
use orrery_sql::types::SqlType;
use std::collections::BTreeSet;

/// A name, quoted where it must be.
pub(super) fn name(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !is_keyword(text);
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// A string constant.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}

/// A type's name; a user's type by its own.
pub(super) fn type_name(catalog: &Catalog, ty: SqlType) -> String {
    match ty {
        SqlType::Array(element) => format!("{}[]", type_name(catalog, element.ty())),
        SqlType::Record(id) | SqlType::Enum(id) if catalog.types.contains_key(&id) => {
            name(&catalog.types[&id].name)
        }
        other => other.name(),
    }
}

/// A stored DEFAULT: sequences in it by their names.
pub(super) fn stored(catalog: &Catalog, text: &str) -> String {
    let mut shown = text.to_owned();
    for sequence in catalog.sequences.values().filter(|_| text.contains("'#")) {
        if let Some(it) = &sequence.name {
            shown = shown.replace(&stored_name(sequence.id), &literal(&name(it)));
        }
    }
    shown
}

/// What CREATE SEQUENCE and an identity say.
pub(super) fn sequence_options(sequence: &Sequence) -> String {
    let Sequence { start, increment, min, max, cycle, .. } = sequence;
    let cycle = if *cycle { " CYCLE" } else { "" };
    format!("START WITH {start} INCREMENT BY {increment} MINVALUE {min} MAXVALUE {max}{cycle}")
}

/// CREATE VIEW. Where its text ends in `*`, that may be more columns by now than the view has: then it picks its own by name.
pub(super) fn view(view: &View) -> String {
    let outer = list(view.columns.iter().map(|it| name(&it.name)));
    let inner: BTreeSet<&str> = view.columns.iter().map(|it| it.inner_name.as_str()).collect();
    let text = match has_star(&view.text) && inner.len() == view.columns.len() {
        true => {
            let picked = list(view.columns.iter().map(|it| name(&it.inner_name)));
            format!("SELECT {picked} FROM ({}) AS {}", view.text, name(&view.name))
        }
        false => view.text.clone(),
    };
    let columns = if view.columns.is_empty() { String::new() } else { format!(" ({outer})") };
    match view.materialized {
        None => format!("CREATE VIEW {}{columns} AS {text}", name(&view.name)),
        Some(_) => format!("CREATE MATERIALIZED VIEW {}{columns} AS {text} WITH NO DATA", name(&view.name)),
    }
}

/// Whether a query's own SELECT lists, not those in parentheses, have a `*` that stands for columns.
fn has_star(text: &str) -> bool {
    let (mut depth, mut quote, mut last_word) = (0_usize, None, String::new());
    for c in text.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                last_word.clear();
            }
            None if c == '*' && depth == 0 => {
                let word = last_word.trim_end().to_ascii_lowercase();
                if word.ends_with([',', '.']) || matches!(word.as_str(), "select" | "distinct" | "all") {
                    return true;
                }
            }
            None => {
                depth = if c == '(' { depth + 1 } else { depth.saturating_sub(usize::from(c == ')')) };
                // A word, or what stands between two, with the blanks behind it.
                let begins = !c.is_whitespace()
                    && last_word.chars().next_back().is_some_and(|last| {
                        last.is_whitespace() || !(last.is_alphanumeric() && c.is_alphanumeric())
                    });
                if begins {
                    last_word.clear();
                }
                last_word.push(c);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars() {
        for (text, expected) in [
            ("SELECT * FROM t", true),
            ("select distinct\n * from t", true),
            ("SELECT a, * FROM t", true),
            ("SELECT t.* FROM t", true),
            ("SELECT \"T\".* FROM \"T\"", true),
            ("SELECT count(*), a * b, 2*3 FROM t", false),
            ("SELECT a FROM (SELECT * FROM t) AS x", false),
            ("SELECT '* , *' FROM t", false),
        ] {
            assert_eq!(has_star(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        for (text, expected) in [
            ("a_1", "a_1"),
            ("A", "\"A\""),
            ("a b", "\"a b\""),
            ("q\"", "\"q\"\"\""),
            ("select", "\"select\""),
            ("1a", "\"1a\""),
        ] {
            assert_eq!(name(text), expected);
        }
    }
}
