//! Names of PostgreSQL's functions that are not built: a call of one is 0A000, not an unknown name.

/// Sorted.
const NAMES: &[&str] = &[
    "acosd", "acosh", "any_value", "array_agg", "array_append", "array_cat", "array_dims", "array_length",
    "array_lower", "array_ndims", "array_position", "array_positions", "array_prepend", "array_remove",
    "array_replace", "array_to_json", "array_to_string", "array_upper", "asind", "asinh", "atan2d", "atand",
    "atanh", "bit_and", "bit_or", "bit_xor", "cardinality", "clock_timestamp", "col_description", "convert",
    "convert_from", "convert_to", "corr", "cosd", "cot", "cotd", "covar_pop", "covar_samp", "cume_dist",
    "current_database", "current_query", "current_schema", "current_schemas", "current_setting", "currval",
    "date_bin", "dense_rank", "enum_first", "enum_last", "enum_range", "erf", "erfc", "factorial",
    "first_value", "format", "format_type", "gen_random_uuid", "get_bit", "get_byte", "has_table_privilege",
    "inet_client_addr", "json_agg", "json_build_array", "json_build_object", "json_object",
    "json_object_agg", "jsonb_agg", "jsonb_build_array", "jsonb_build_object", "jsonb_object_agg",
    "jsonb_set", "justify_interval", "lag", "last_value", "lastval", "lead", "make_interval", "make_time",
    "make_timestamp", "make_timestamptz", "masklen", "md5", "mode", "nextval", "normalize", "nth_value",
    "ntile", "num_nonnulls", "num_nulls", "numnode", "obj_description", "parse_ident", "percent_rank",
    "percentile_cont", "percentile_disc", "pg_backend_pid", "pg_column_size", "pg_get_constraintdef",
    "pg_get_expr", "pg_get_indexdef", "pg_get_userbyid", "pg_get_viewdef", "pg_relation_size",
    "pg_size_pretty", "pg_sleep", "pg_table_is_visible", "pg_table_size", "pg_total_relation_size",
    "pg_typeof", "quote_ident", "quote_nullable", "random", "range_agg", "rank", "regexp_count",
    "regexp_instr", "regexp_like", "regexp_match", "regexp_matches", "regexp_replace",
    "regexp_split_to_array", "regexp_split_to_table", "regexp_substr", "regr_avgx", "regr_avgy",
    "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy",
    "row_number", "row_to_json", "set_bit", "set_byte", "set_config", "setseed", "setval", "sha224",
    "sha256", "sha384", "sha512", "shobj_description", "sind", "string_to_array", "string_to_table", "tand",
    "timeofday", "to_ascii", "to_char", "to_date", "to_json", "to_jsonb", "to_number", "to_regclass",
    "to_regtype", "to_tsquery", "to_tsvector", "txid_current", "unistr", "unnest", "version",
    "width_bucket", "xmlagg",
];

/// Whether PostgreSQL has a function or an operator of this name that Orrery may lack.
pub fn is_known(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok() || matches!(name, "~" | "~*" | "!~" | "!~*" | "@@" | "->" | "->>" | "#>" | "#>>" | "@>" | "<@")
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
