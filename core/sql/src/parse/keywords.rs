//! PostgreSQL's reserved words (documentation, Appendix C), sorted, and the statements it has and we do not.

/// Reserved: neither a column, a table nor a function.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

/// Reserved, but for functions and types.
const RESERVED_BUT_FUNCTION: &[&str] = &[
    "authorization",
    "binary",
    "collation",
    "concurrently",
    "cross",
    "current_schema",
    "freeze",
    "full",
    "ilike",
    "inner",
    "is",
    "isnull",
    "join",
    "left",
    "like",
    "natural",
    "notnull",
    "outer",
    "overlaps",
    "right",
    "similar",
    "tablesample",
    "verbose",
];

/// Not reserved, yet no column alias without AS.
const NO_BARE_ALIAS: &[&str] = &[
    "char",
    "character",
    "day",
    "filter",
    "hour",
    "minute",
    "month",
    "over",
    "precision",
    "second",
    "varying",
    "within",
    "without",
    "year",
];

/// Statements of PostgreSQL that are not built: refused with 0A000, not as syntax errors.
const UNSUPPORTED_STATEMENTS: &[&str] = &[
    "alter", "call", "cluster", "discard", "do", "grant", "import", "listen", "load", "notify", "reassign",
    "refresh", "revoke", "security", "unlisten", "vacuum",
];

fn contains(words: &[&str], word: &str) -> bool {
    words.binary_search(&word).is_ok()
}

/// Whether `word` (folded) may name a column or a table unquoted.
pub(super) fn is_column_name(word: &str) -> bool {
    !contains(RESERVED, word) && !contains(RESERVED_BUT_FUNCTION, word)
}

/// Whether it may name a function.
pub(super) fn is_function_name(word: &str) -> bool {
    !contains(RESERVED, word)
}

/// Whether it may be a column alias without AS.
pub(super) fn is_bare_alias(word: &str) -> bool {
    is_column_name(word) && !contains(NO_BARE_ALIAS, word)
}

/// Whether a statement that begins so exists in PostgreSQL, but not here.
/// What CREATE and DROP take in PostgreSQL beside tables and indexes.
const OBJECTS: &[&str] = &[
    "access",
    "aggregate",
    "cast",
    "collation",
    "constraint",
    "conversion",
    "database",
    "default",
    "domain",
    "event",
    "extension",
    "foreign",
    "function",
    "global",
    "group",
    "language",
    "local",
    "materialized",
    "operator",
    "or",
    "owned",
    "policy",
    "procedural",
    "procedure",
    "publication",
    "recursive",
    "role",
    "routine",
    "rule",
    "schema",
    "sequence",
    "server",
    "statistics",
    "subscription",
    "tablespace",
    "temp",
    "temporary",
    "text",
    "transform",
    "trigger",
    "trusted",
    "type",
    "unlogged",
    "user",
    "view",
];

/// Whether CREATE or DROP goes on with this word in PostgreSQL.
pub(super) fn is_object(word: &str) -> bool {
    contains(OBJECTS, word)
}

pub(super) fn is_unsupported_statement(word: &str) -> bool {
    contains(UNSUPPORTED_STATEMENTS, word)
}

/// Words that PostgreSQL takes for types and functions of a grammar of their own; they may name columns.
const COLUMN_NAMES: &[&str] = &[
    "between",
    "bigint",
    "bit",
    "boolean",
    "char",
    "character",
    "coalesce",
    "dec",
    "decimal",
    "exists",
    "extract",
    "float",
    "greatest",
    "grouping",
    "inout",
    "int",
    "integer",
    "interval",
    "least",
    "national",
    "nchar",
    "none",
    "normalize",
    "nullif",
    "numeric",
    "out",
    "overlay",
    "position",
    "precision",
    "real",
    "row",
    "setof",
    "smallint",
    "substring",
    "time",
    "timestamp",
    "treat",
    "trim",
    "values",
    "varchar",
];

/// Whether a name must be quoted because it is a word of the language.
pub fn is_keyword(name: &str) -> bool {
    [RESERVED, RESERVED_BUT_FUNCTION, COLUMN_NAMES].iter().any(|words| words.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted() {
        for list in [RESERVED, RESERVED_BUT_FUNCTION, NO_BARE_ALIAS, UNSUPPORTED_STATEMENTS, OBJECTS] {
            assert!(list.is_sorted());
        }
    }
}
