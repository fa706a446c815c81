//! What there is to set, as `pg_settings` tells it, and the settings of the whole database.

use crate::database::Inner;
use crate::settings::{HINTS, MEMORY_UNITS, Settings, bytes, in_units, unknown};
use orrery_base::{Error, Result, SqlState, sorting};

/// What `pg_settings` tells of a setting, beside its value.
#[derive(Clone, Copy)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    pub(crate) category: &'static str,
    pub(crate) says: &'static str,
    pub(crate) context: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) choices: &'static [&'static str],
}

impl About {
    /// Its value, in its unit where it has one.
    pub(crate) fn value(&self, settings: &Settings, db: &Inner) -> String {
        match self.name {
            "statement_timeout" => settings.statement_timeout_ms.to_string(),
            "lock_timeout" => settings.lock_timeout_ms.to_string(),
            "work_mem" => (settings.work_memory_bytes >> 10).to_string(),
            name => match shared_bytes(db, name) {
                Some(bytes) => (bytes >> 10).to_string(),
                None => settings.show(name).unwrap_or_default(),
            },
        }
    }
}

const CLIENT: &str = "Client Connection Defaults / Statement Behavior";
const LOCALE: &str = "Client Connection Defaults / Locale and Formatting";
const PRESET: &str = "Preset Options";
const MEMORY: &str = "Resource Usage / Memory";
const PLANNER: &str = "Query Tuning / Planner Method Configuration";
const LEVELS: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];

const fn about_one(
    (name, category, says): (&'static str, &'static str, &'static str),
    kind: &'static str,
    unit: &'static str,
    choices: &'static [&'static str],
) -> About {
    About { name, category, says, context: "user", kind, unit, choices }
}

const fn preset(name: &'static str, says: &'static str, kind: &'static str) -> About {
    About { name, category: PRESET, says, context: "internal", kind, unit: "", choices: &[] }
}

const fn planner(name: &'static str, says: &'static str) -> About {
    about_one((name, PLANNER, says), "bool", "", &[])
}

const fn of_all(name: &'static str, says: &'static str) -> About {
    About { name, category: MEMORY, says, context: "sighup", kind: "integer", unit: "kB", choices: &[] }
}

/// All settings, by name.
pub(crate) fn about() -> Vec<About> {
    let hints = HINTS.iter().map(|(name, default)| {
        let kind = if matches!(*default, "on" | "off") { "bool" } else { "string" };
        about_one((name, PLANNER, "A hint for PostgreSQL's planner, of no meaning here."), kind, "", &[])
    });
    let mut all: Vec<About> = ABOUT.iter().copied().chain(hints).collect();
    sorting::sort_by_key(&mut all, |it| it.name);
    all
}

static ABOUT: &[About] = &[
    about_one(
        ("application_name", "Reporting and Logging / What to Log", "The name of the program that asks."),
        "string",
        "",
        &[],
    ),
    about_one(("bytea_output", CLIENT, "How bytes are written."), "enum", "", &["escape", "hex"]),
    about_one(("client_encoding", LOCALE, "The client's encoding."), "string", "", &[]),
    about_one(("datestyle", LOCALE, "How dates are written and read."), "string", "", &[]),
    about_one(
        ("default_transaction_isolation", CLIENT, "The isolation level of new transactions."),
        "enum",
        "",
        LEVELS,
    ),
    about_one(
        ("default_transaction_read_only", CLIENT, "Whether new transactions may not write."),
        "bool",
        "",
        &[],
    ),
    planner("enable_hashagg", "Whether plans may aggregate by hash tables."),
    planner("enable_hashjoin", "Whether plans may join by hash tables."),
    planner("enable_indexscan", "Whether plans may read indexes."),
    planner("enable_nestloop", "Whether plans may join by nested loops."),
    planner("enable_seqscan", "Whether plans may read whole tables."),
    planner("enable_sort", "Whether plans may sort."),
    about_one(("extra_float_digits", LOCALE, "How many digits floats are written with."), "integer", "", &[]),
    preset("integer_datetimes", "Moments are integers.", "bool"),
    about_one(
        ("intervalstyle", LOCALE, "How intervals are written."),
        "enum",
        "",
        &["postgres", "postgres_verbose", "sql_standard", "iso_8601"],
    ),
    about_one(
        ("lock_timeout", CLIENT, "How long a statement waits for a lock; 0: for ever."),
        "integer",
        "ms",
        &[],
    ),
    of_all(MEMTABLES, "What changes may take in memory before they are folded into the trees."),
    of_all(POOL, "What pages may take in memory."),
    planner("orrery.decorrelate", "Whether subqueries may become joins."),
    about_one(
        ("search_path", CLIENT, "The schemas that are searched for names without one."),
        "string",
        "",
        &[],
    ),
    preset("server_encoding", "The database's encoding.", "string"),
    preset("server_version", "The version.", "string"),
    about_one(
        (
            "standard_conforming_strings",
            "Version and Platform Compatibility / Previous PostgreSQL Versions",
            "Backslashes in strings mean themselves.",
        ),
        "bool",
        "",
        &[],
    ),
    about_one(
        ("statement_timeout", CLIENT, "How long a statement may run; 0: for ever."),
        "integer",
        "ms",
        &[],
    ),
    about_one(("timezone", LOCALE, "The session's time zone."), "string", "", &[]),
    about_one(
        (
            "work_mem",
            MEMORY,
            "What a statement's sorts and hash tables may take before they go to temporary files.",
        ),
        "integer",
        "kB",
        &[],
    ),
];

/// What pages may take in memory.
pub(crate) const POOL: &str = "memory.pool";
/// What changes may take in memory before they are folded into the trees.
pub(crate) const MEMTABLES: &str = "memory.memtables";

/// Settings of the whole database, in bytes.
fn shared_bytes(db: &Inner, name: &str) -> Option<u64> {
    let budget = match name {
        POOL => "pool",
        MEMTABLES => "memtables",
        _ => return None,
    };
    db.store.memory_budgets().iter().find(|it| it.name == budget).and_then(|it| it.limit)
}

/// A setting of the whole database, as SHOW has it.
pub(crate) fn shared(db: &Inner, name: &str) -> Option<String> {
    shared_bytes(db, name).map(|bytes| in_units(bytes >> 10, MEMORY_UNITS))
}

/// ALTER SYSTEM. `None`: as the database was opened. Errors: 42704, 22023, 55P02.
pub(crate) fn set_shared(db: &Inner, name: &str, value: Option<&str>) -> Result<()> {
    let given = || -> Result<Option<u64>> {
        Ok(value.map(|value| bytes(name, value)).transpose()?.map(|bytes| bytes as u64))
    };
    match name {
        POOL => db.store.set_pool_budget(given()?),
        MEMTABLES => db.store.set_memtable_budget(given()?),
        _ if Settings::names().contains(&name) => {
            let message = format!("parameter \"{name}\" cannot be changed for all sessions");
            return Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message));
        }
        _ => return Err(unknown(name)),
    }
    Ok(())
}
