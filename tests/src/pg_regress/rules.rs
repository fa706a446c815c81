//! Which statements are counted: all that give a table, but for those that need what no other database has.

/// Why a statement is not counted; `None`: it is.
pub fn reason(sql: &str) -> Option<&'static str> {
    let text = sql.to_ascii_lowercase();
    let words: Vec<&str> =
        text.split(|it: char| !(it.is_alphanumeric() || it == '_')).filter(|it| !it.is_empty()).collect();
    let has = |word: &str| words.contains(&word);
    let first = words.first().copied().unwrap_or_default();
    if text.starts_with('\\') || text.contains("\\g") {
        return Some("a command of psql's");
    }
    if has("plpgsql") || first == "do" {
        return Some("PL/pgSQL");
    }
    if has("language") && (has("c") || has("internal")) || text.contains("regresslib") {
        return Some("a C function");
    }
    const GEOMETRIC: [&str; 8] = ["point", "box", "circle", "polygon", "lseg", "path", "line", "tsvector"];
    if GEOMETRIC.iter().take(7).any(|name| has(name)) || has("gist") || has("spgist") {
        return Some("a geometric type");
    }
    if has("collate") && !text.contains("collate \"c\"") || has("lc_messages") || has("collation") {
        return Some("a locale");
    }
    if first == "explain" {
        return Some("the text of another planner's plan");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn what_no_other_database_has_is_not_counted() {
        assert_eq!(reason("SELECT 1"), None);
        assert_eq!(reason("\\d t"), Some("a command of psql's"));
        assert_eq!(reason("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS ''"), Some("PL/pgSQL"));
        assert_eq!(reason("SELECT '(1,2)'::point"), Some("a geometric type"));
        assert_eq!(reason("SELECT pointless FROM t"), None);
        assert_eq!(reason("EXPLAIN SELECT 1"), Some("the text of another planner's plan"));
    }
}
