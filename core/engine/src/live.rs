//! The rows of the relations of the running database ([`orrery_sql::system::LIVE_VIEWS`]), made when a statement reads them. They tell
//! of one moment each part, not of the statement's snapshot.

use crate::all_settings;
use crate::sequences::StatementEnvironment;
use crate::settings::Settings;
use crate::statements;
use orrery_base::kv::AdvisoryKey;
use orrery_base::task::lock;
use orrery_base::time::Micros;
use orrery_base::{Cx, Error, Result, TreeId, TxnId};
use orrery_sql::array::ArrayValue;
use orrery_sql::catalog::is_temporary;
use orrery_sql::datum::Datum;
use orrery_sql::system::Live;
use orrery_sql::types::SqlType;
use orrery_store::{CheckpointRecord, CheckpointReport, LockInfo, LockMode, MemoryBudget, TreeShape};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// What others may know of a session while it works.
#[derive(Default)]
pub(crate) struct SessionFacts {
    pub(crate) id: u64,
    /// Its newest transaction; 0: none so far.
    pub(crate) txn: AtomicU64,
    /// In whose name it holds advisory locks; 0: in nobody's so far.
    pub(crate) advisory: AtomicU64,
    /// When that transaction began.
    pub(crate) since: AtomicU64,
}

/// The sessions that there are.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<(Vec<Weak<SessionFacts>>, usize)>);

impl Sessions {
    pub(crate) fn add(&self, facts: &Arc<SessionFacts>) {
        let mut state = lock(&self.0);
        if state.0.len() > 2 * state.1 {
            state.0.retain(|it| it.strong_count() > 0);
            state.1 = state.0.len().max(16);
        }
        state.0.push(Arc::downgrade(facts));
    }

    /// Sessions by what they hold locks as: number, and when the transaction began.
    fn owners(&self) -> BTreeMap<u64, (u64, Option<Micros>)> {
        let mut owners = BTreeMap::new();
        for facts in lock(&self.0).0.iter().filter_map(Weak::upgrade) {
            let since = facts.since.load(Ordering::Relaxed);
            owners.insert(facts.advisory.load(Ordering::Relaxed), (facts.id, None));
            owners.insert(facts.txn.load(Ordering::Relaxed), (facts.id, Some(since)));
        }
        owners.remove(&0);
        owners
    }
}

type Rows = Vec<Vec<Datum>>;

fn text(text: impl AsRef<str>) -> Datum {
    Datum::Text(Arc::from(text.as_ref()))
}

fn opt(value: Option<impl AsRef<str>>) -> Datum {
    value.map_or(Datum::Null, text)
}

fn int(value: u64) -> Datum {
    Datum::Int8(i64::try_from(value).unwrap_or(i64::MAX))
}

fn moment(micros: Micros) -> Datum {
    Datum::Timestamptz(i64::try_from(micros).unwrap_or(i64::MAX))
}

fn milliseconds(micros: u64) -> Datum {
    Datum::Float8(micros as f64 / 1000.0)
}

/// One part of a relation's rows; `None` behind the last. Errors: 0A000 in a statement about the past.
pub(crate) async fn rows(
    environment: &StatementEnvironment,
    cx: &Cx,
    what: Live,
    wanted: &[usize],
    part: u64,
) -> Result<Option<Rows>> {
    if environment.is_past {
        return Err(Error::unsupported("a relation of the running database AS OF SYSTEM TIME"));
    }
    match what {
        Live::TreeStatistics => return tree(environment, cx, wanted, part).await,
        Live::Locks => {
            return Ok(environment.db.store.locks(part).map(|locks| lock_rows(environment, &locks)));
        }
        _ if part > 0 => return Ok(None),
        _ => {}
    }
    Ok(Some(match what {
        Live::Checkpoints => checkpoints(environment),
        Live::Memory => budgets(environment).iter().map(budget_row).collect(),
        Live::Statements => statement_rows(environment),
        _ => setting_rows(environment),
    }))
}

fn checkpoints(environment: &StatementEnvironment) -> Rows {
    let records = environment.db.store.checkpoint_records().into_iter();
    let row = |record: CheckpointRecord| {
        let report = record.outcome.as_ref().ok();
        let figure = |of: fn(&CheckpointReport) -> u64| report.map_or(Datum::Null, |it| int(of(it)));
        vec![
            figure(|it| it.sequence),
            text(record.reason.name()),
            moment(record.begun),
            moment(record.ended),
            milliseconds(record.ended.saturating_sub(record.begun)),
            int(record.log_batch),
            figure(|it| it.entry_count),
            figure(|it| it.leaf_count),
            figure(|it| it.bytes_written),
            opt(record.outcome.as_ref().err().map(Error::message)),
        ]
    };
    records.map(row).collect()
}

const ROW_MODES: [&str; 4] = ["KeyShare", "Share", "NoKeyUpdate", "Update"];
const TABLE_MODES: [&str; 8] = [
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
];
const ADVISORY_MODES: [&str; 2] = ["ShareLock", "ExclusiveLock"];

fn lock_rows(environment: &StatementEnvironment, locks: &[LockInfo]) -> Rows {
    let owners = environment.db.sessions.owners();
    let names = if locks.is_empty() { BTreeMap::new() } else { relation_names(environment) };
    let relation = |tree: TreeId| names.get(&tree).map_or_else(|| tree.to_string(), Clone::clone);
    let row = |info: &LockInfo| {
        let TxnId(owner) = info.owner;
        let session = owners.get(&owner);
        let since = info.since.or_else(|| session.and_then(|it| it.1));
        let (kind, of, row, mode) = match info.mode {
            LockMode::Table(table, mode) => {
                ("relation", Some(relation(table)), None, TABLE_MODES[usize::from(mode)])
            }
            LockMode::Row(hash, mode) => {
                let of = info.row.as_ref().map(|it| relation(it.0));
                let row = info.row.as_ref().map_or_else(|| format!("#{hash:016x}"), |it| hexadecimal(&it.1));
                ("row", of, Some(row), ROW_MODES[usize::from(mode)])
            }
            LockMode::Advisory(key, mode) => {
                let key = match key {
                    AdvisoryKey::One(key) => key.to_string(),
                    AdvisoryKey::Two(one, two) => format!("{one}, {two}"),
                };
                ("advisory", None, Some(key), ADVISORY_MODES[usize::from(mode)])
            }
        };
        vec![
            text(kind),
            opt(of),
            opt(row),
            text(mode),
            Datum::Bool(info.is_granted),
            int(owner),
            session.map_or(Datum::Null, |it| int(it.0)),
            int(info.waiter_count),
            since.filter(|&it| it > 0).map_or(Datum::Null, moment),
        ]
    };
    locks.iter().map(row).collect()
}

fn hexadecimal(key: &[u8]) -> String {
    key.iter().fold(String::from("\\x"), |text, byte| text + &format!("{byte:02x}"))
}

/// The names of tables and indexes, by the trees and numbers that are locked.
fn relation_names(environment: &StatementEnvironment) -> BTreeMap<TreeId, String> {
    let catalog = &environment.catalog;
    let mut names = BTreeMap::new();
    for table in catalog.tables.values() {
        let name = catalog.shown_name(&table.name);
        for index in &table.indexes {
            names.insert(index.tree, orrery_sql::names::last(&index.name).to_owned());
        }
        names.insert(table.tree, name.clone());
        names.insert(table.id, name);
    }
    names
}

/// All budgets: the store's, and what is above it.
pub(crate) fn budgets(environment: &StatementEnvironment) -> Vec<MemoryBudget> {
    memory(&environment.db, environment.settings.work_memory_bytes)
}

pub(crate) fn memory(db: &crate::database::Inner, work_memory_bytes: usize) -> Vec<MemoryBudget> {
    let mut all = db.store.memory_budgets();
    let work = MemoryBudget {
        name: "sorts and hash tables",
        limit: Some(work_memory_bytes as u64),
        used: Some(db.work.used()),
        peak: Some(db.work.peak()),
        scope: "statement",
    };
    let texts = MemoryBudget {
        name: "statement figures",
        limit: Some(statements::BYTES_MAX as u64),
        used: Some(db.statements.list().1 as u64),
        peak: None,
        scope: "database",
    };
    all.extend([work, texts]);
    all
}

fn budget_row(budget: &MemoryBudget) -> Vec<Datum> {
    let bytes = |bytes: Option<u64>| bytes.map_or(Datum::Null, int);
    vec![text(budget.name), bytes(budget.limit), bytes(budget.used), bytes(budget.peak), text(budget.scope)]
}

fn statement_rows(environment: &StatementEnvironment) -> Rows {
    let row = |(statement, it): (Arc<str>, statements::Figures)| {
        let timed = |micros| if it.timed_calls > 0 { milliseconds(micros) } else { Datum::Null };
        vec![
            Datum::Text(statement),
            int(it.calls),
            int(it.errors),
            int(it.rows),
            int(it.timed_calls),
            timed(it.micros),
            timed(it.micros_min),
            timed(it.micros_max),
            int(it.spilled_bytes),
        ]
    };
    environment.db.statements.list().0.into_iter().map(row).collect()
}

fn setting_rows(environment: &StatementEnvironment) -> Rows {
    let defaults = Settings::default();
    let row = |about: &all_settings::About| {
        let now = about.value(&environment.settings, &environment.db);
        let default = about.value(&defaults, &environment.db);
        let source = if now == default { "default" } else { "session" };
        let choices = about.choices.iter().map(text).collect();
        let choices = match about.choices.is_empty() {
            true => Datum::Null,
            false => Datum::Array(ArrayValue::of(SqlType::Text, choices).into()),
        };
        vec![
            text(about.name),
            text(now),
            opt((!about.unit.is_empty()).then_some(about.unit)),
            text(about.category),
            text(about.says),
            Datum::Null,
            text(about.context),
            text(about.kind),
            text(source),
            Datum::Null,
            Datum::Null,
            choices,
            text(&default),
            text(&default),
            Datum::Null,
            Datum::Null,
            Datum::Bool(false),
        ]
    };
    all_settings::about().iter().map(row).collect()
}

/// The name of a table, of an index of it, and where that lies, by its place among all.
fn nth_tree(environment: &StatementEnvironment, part: u64) -> Option<(String, Option<String>, TreeId)> {
    let catalog = &environment.catalog;
    let mut left = usize::try_from(part).ok()?;
    for table in catalog.tables.values() {
        let is_own = |prefix: &Arc<str>| table.name.starts_with(&**prefix);
        if is_temporary(&table.name) && !catalog.temporary.as_ref().is_some_and(is_own) {
            continue;
        }
        let name = || catalog.shown_name(&table.name);
        match left.checked_sub(1) {
            None => return Some((name(), None, table.tree)),
            Some(place) if place < table.indexes.len() => {
                let index = &table.indexes[place];
                return Some((name(), Some(orrery_sql::names::last(&index.name).to_owned()), index.tree));
            }
            Some(place) => left = place - table.indexes.len(),
        }
    }
    None
}

/// Columns of `orrery.tree_statistics` for which the whole tree is read.
const SHAPE: [usize; 5] = [4, 5, 6, 8, 9];

/// The tree of a table or an index, by its place among all.
async fn tree(
    environment: &StatementEnvironment,
    cx: &Cx,
    wanted: &[usize],
    part: u64,
) -> Result<Option<Rows>> {
    let Some((table, index, tree)) = nth_tree(environment, part) else { return Ok(None) };
    let store = &environment.db.store;
    let stats = store.tree_stats(tree);
    let shape = match wanted.iter().any(|column| SHAPE.contains(column)) {
        true => Some(store.tree_shape(cx, tree).await?),
        false => None,
    };
    let figure = |of: fn(&TreeShape) -> u64| shape.as_ref().map_or(Datum::Null, |it| int(of(it)));
    let fill = shape.filter(|it| it.leaf_bytes > 0);
    let fill = fill.map_or(Datum::Null, |it| Datum::Float8(it.leaf_used_bytes as f64 / it.leaf_bytes as f64));
    Ok(Some(vec![vec![
        text(table),
        opt(index),
        int(stats.entry_count),
        int(u64::from(stats.height)),
        figure(|it| it.inner_page_count),
        figure(|it| it.leaf_count),
        figure(|it| it.long_value_count),
        int(stats.page_bytes),
        figure(|it| it.leaf_bytes),
        fill,
    ]]))
}
