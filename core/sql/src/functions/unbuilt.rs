//! Names of PostgreSQL's functions that are not built: a call of one is 0A000, not an unknown name.

/// Sorted.
const NAMES: &[&str] = &[
    "any_value",
    "clock_timestamp",
    "convert",
    "cume_dist",
    "current_query",
    "current_setting",
    "dense_rank",
    "erf",
    "erfc",
    "first_value",
    "float4send",
    "float8send",
    "has_table_privilege",
    "hashint4",
    "hashint8",
    "hashtext",
    "inet_client_addr",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "json_to_tsvector",
    "jsonb_path_exists",
    "jsonb_path_exists_tz",
    "jsonb_path_match",
    "jsonb_path_match_tz",
    "jsonb_path_query",
    "jsonb_path_query_array",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_populate_recordset",
    "jsonb_set_lax",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "jsonb_to_tsvector",
    "lag",
    "last_value",
    "lead",
    "masklen",
    "normalize",
    "nth_value",
    "ntile",
    "numnode",
    "parse_ident",
    "percent_rank",
    "pg_backend_pid",
    "pg_column_size",
    "pg_lsn",
    "pg_relation_size",
    "pg_size_pretty",
    "pg_table_size",
    "pg_total_relation_size",
    "phraseto_tsquery",
    "plainto_tsquery",
    "range_agg",
    "rank",
    "row_number",
    "set_config",
    "shobj_description",
    "timeofday",
    "to_ascii",
    "to_regtype",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "txid_current",
    "xmlagg",
];

/// Whether PostgreSQL has a function or an operator of this name that Orrery may lack.
pub fn is_known(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok() || matches!(name, "@@" | "@?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::{aggregates, scalars};

    #[test]
    fn sorted_and_not_built() {
        assert!(NAMES.is_sorted());
        for name in NAMES {
            assert!(scalars(name).is_empty() && aggregates(name).is_empty(), "{name} is built");
        }
    }
}
