//! The schema `orrery`, and what of `pg_catalog` is like it: relations of the running database. Their rows are no part of any
//! snapshot: they are made while the statement runs ([`crate::exec::Environment::live_rows`]), so a plan that is kept shows what is
//! there then. They are read only, and a statement about the past has none of them.

use super::{BOOL, TEXT};
use crate::types::SqlType;

/// The schema that they are in.
pub const LIVE_SCHEMA: &str = "orrery";

/// What the engine is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// The checkpoints of late.
    Checkpoints,
    /// Locks held and waited for.
    Locks,
    /// Budgets of memory.
    Memory,
    /// The session's settings.
    Settings,
    /// Statements that ran, by their text without literals.
    Statements,
    /// What the trees of tables and indexes are made of.
    TreeStatistics,
}

/// A relation of the running database.
#[derive(Debug)]
pub struct LiveView {
    /// What its rows are.
    pub what: Live,
    /// Its schema.
    pub schema: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [(&'static str, SqlType)],
    /// How many rows the planner takes it for.
    pub row_estimate: f64,
}

const INT8: SqlType = SqlType::Int8;
const FLOAT8: SqlType = SqlType::Float8;
const MOMENT: SqlType = SqlType::Timestamptz;
const TEXTS: SqlType = super::array_of(SqlType::Text);

const SETTINGS: &[(&str, SqlType)] = &[
    ("name", TEXT),
    ("setting", TEXT),
    ("unit", TEXT),
    ("category", TEXT),
    ("short_desc", TEXT),
    ("extra_desc", TEXT),
    ("context", TEXT),
    ("vartype", TEXT),
    ("source", TEXT),
    ("min_val", TEXT),
    ("max_val", TEXT),
    ("enumvals", TEXTS),
    ("boot_val", TEXT),
    ("reset_val", TEXT),
    ("sourcefile", TEXT),
    ("sourceline", SqlType::Int4),
    ("pending_restart", BOOL),
];

/// All of them.
pub static LIVE_VIEWS: &[LiveView] = &[
    LiveView {
        what: Live::Checkpoints,
        schema: LIVE_SCHEMA,
        name: "checkpoints",
        columns: &[
            ("number", INT8),
            ("reason", TEXT),
            ("begun", MOMENT),
            ("ended", MOMENT),
            ("duration_ms", FLOAT8),
            ("log_batch", INT8),
            ("rows", INT8),
            ("leaves", INT8),
            ("bytes_written", INT8),
            ("error", TEXT),
        ],
        row_estimate: 100.0,
    },
    LiveView {
        what: Live::Locks,
        schema: LIVE_SCHEMA,
        name: "locks",
        columns: &[
            ("kind", TEXT),
            ("relation", TEXT),
            ("row", TEXT),
            ("mode", TEXT),
            ("granted", BOOL),
            ("holder", INT8),
            ("session", INT8),
            ("waiters", INT8),
            ("since", MOMENT),
        ],
        row_estimate: 1000.0,
    },
    LiveView {
        what: Live::Memory,
        schema: LIVE_SCHEMA,
        name: "memory",
        columns: &[
            ("name", TEXT),
            ("limit_bytes", INT8),
            ("used_bytes", INT8),
            ("peak_bytes", INT8),
            ("scope", TEXT),
        ],
        row_estimate: 10.0,
    },
    LiveView {
        what: Live::Settings,
        schema: LIVE_SCHEMA,
        name: "settings",
        columns: SETTINGS,
        row_estimate: 50.0,
    },
    LiveView {
        what: Live::Statements,
        schema: LIVE_SCHEMA,
        name: "statements",
        columns: &[
            ("statement", TEXT),
            ("calls", INT8),
            ("errors", INT8),
            ("rows", INT8),
            ("timed_calls", INT8),
            ("total_ms", FLOAT8),
            ("min_ms", FLOAT8),
            ("max_ms", FLOAT8),
            ("spilled_bytes", INT8),
        ],
        row_estimate: 1000.0,
    },
    LiveView {
        what: Live::TreeStatistics,
        schema: LIVE_SCHEMA,
        name: "tree_statistics",
        columns: &[
            ("relation", TEXT),
            ("index", TEXT),
            ("rows", INT8),
            ("levels", INT8),
            ("inner_pages", INT8),
            ("leaves", INT8),
            ("long_values", INT8),
            ("bytes", INT8),
            ("leaf_bytes", INT8),
            ("fill", FLOAT8),
        ],
        row_estimate: 100.0,
    },
    LiveView {
        what: Live::Settings,
        schema: "pg_catalog",
        name: "pg_settings",
        columns: SETTINGS,
        row_estimate: 50.0,
    },
];

/// The relation of this name.
pub fn live_view(schema: &str, name: &str) -> Option<&'static LiveView> {
    LIVE_VIEWS.iter().find(|it| it.schema == schema && it.name == name)
}
