//! Statements about the session, the transaction and the engine.

use crate::all_settings;
use crate::bind::{self, Ready};
use crate::cursors;
use crate::live;
use crate::plans::Prepared;
use crate::result::{Execution, Link, Rows, Tag};
use crate::run::{self, Params, Running};
use crate::session::{Session, State, StateGuard};
use crate::settings::{Settings, on_off};
use crate::transaction;
use arrow_array::{ArrayRef, Int64Array, StringArray};
use orrery_base::{Cx, Error, Result, SqlState};
use orrery_sql::analyze;
use orrery_sql::bind::BindSettings;
use orrery_sql::bind::{Bound, Control, TableAs};
use orrery_sql::catalog::{Catalog, Table};
use orrery_sql::datum::Datum;
use orrery_sql::ddl;
use orrery_sql::eval;
use orrery_sql::exec::{Batch, Query};
use orrery_sql::explain;
use orrery_sql::parse::ast::{self, SetValue, TransactionModes};
use orrery_sql::parse::shift;
use orrery_sql::plan::{Field, Statement};
use orrery_sql::types::SqlType;
use orrery_store::MemoryBudget;
use std::sync::Arc;

/// Runs what needs no catalog and may be taken in a failed transaction; `None` when the statement is not of that kind.
pub(crate) async fn immediate(
    session: &Session,
    cx: &Cx,
    state: &mut StateGuard,
    prepared: &Arc<Prepared>,
) -> Option<Result<Execution>> {
    use ast::Statement as Ast;
    let may_end_failed = match &prepared.parsed.statement {
        Ast::Commit { .. } | Ast::Rollback { .. } | Ast::RollbackTo(_) => true,
        Ast::Begin(_)
        | Ast::Savepoint(_)
        | Ast::Release(_)
        | Ast::SetTransaction { .. }
        | Ast::Set { .. }
        | Ast::Reset(_)
        | Ast::Show(_)
        | Ast::Deallocate(_)
        | Ast::Fetch(_)
        | Ast::Close(_)
        | Ast::Checkpoint
        | Ast::AlterSystem { .. } => false,
        _ => return None,
    };
    if !may_end_failed && state.explicit.as_ref().is_some_and(|explicit| explicit.failed) {
        return Some(Err(run::failed_transaction()));
    }
    // None of these names anything in the catalog.
    let bound = match prepared.bind(&Arc::new(Catalog::default()), BindSettings::default()) {
        Ok(planned) => planned.bound,
        Err(error) => return Some(Err(error)),
    };
    let Bound::Control(control) = &*bound else {
        return Some(Err(Error::internal("a control statement was bound as another kind")));
    };
    Some(run_immediate(session, cx, state, control).await)
}

async fn run_immediate(
    session: &Session,
    cx: &Cx,
    state: &mut StateGuard,
    control: &Control,
) -> Result<Execution> {
    let tag = match control {
        Control::Begin(modes) => begin(cx, state, modes),
        Control::Commit { chain } => {
            let next = chained(state, *chain, "COMMIT")?;
            let tag = commit(session, cx, state).await?;
            chain_on(state, cx, next);
            tag
        }
        Control::Rollback { chain } => {
            let next = chained(state, *chain, "ROLLBACK")?;
            let tag = rollback(state);
            chain_on(state, cx, next);
            tag
        }
        Control::Fetch(fetch) => return cursors::fetch(session, state, fetch),
        Control::Close(name) => cursors::close(state, name.as_deref())?,
        Control::Savepoint(name) => {
            let (settings, cursor_count) = (state.settings.clone(), state.cursors.count());
            block(state, "SAVEPOINT")?.savepoint(name.clone(), &settings, cursor_count);
            Tag::command("SAVEPOINT")
        }
        Control::Release(name) => {
            block(state, "RELEASE SAVEPOINT")?.release(name)?;
            Tag::command("RELEASE")
        }
        Control::RollbackTo(name) => {
            let (settings, cursor_count) = block(state, "ROLLBACK TO SAVEPOINT")?.rollback_to(name)?;
            state.settings = Arc::new(settings);
            state.cursors.rolled_back_to(cursor_count);
            Tag::command("ROLLBACK")
        }
        Control::SetTransaction { modes, session: true } => {
            change_settings(state, false, |settings| {
                settings.isolation = modes.isolation.unwrap_or(settings.isolation);
                settings.read_only = modes.read_only.unwrap_or(settings.read_only);
                Ok(())
            })?;
            Tag::command("SET")
        }
        Control::SetTransaction { modes, session: false } => set_transaction(state, modes)?,
        Control::Set { name, value, local } => set(state, name, value, *local)?,
        Control::Reset(name) => {
            change_settings(state, false, |settings| match name {
                Some(name) => settings.set(name, None),
                None => {
                    *settings = Settings::default();
                    Ok(())
                }
            })?;
            Tag::command("RESET")
        }
        Control::Show(name) => return show(session, state, name.as_deref()),
        Control::AlterSystem { name, value } => alter_system(session, state, name, value)?,
        Control::Deallocate(name) => deallocate(state, name.as_deref())?,
        Control::Checkpoint => {
            session.db.store.checkpoint(cx).await?;
            Tag::command("CHECKPOINT")
        }
        _ => return Err(Error::internal("a statement that needs a transaction was run without one")),
    };
    Ok(Execution::Done(tag))
}

fn begin(cx: &Cx, state: &mut StateGuard, modes: &TransactionModes) -> Tag {
    let mut tag = Tag::command("BEGIN");
    if state.explicit.is_some() {
        tag.notice = Some("there is already a transaction in progress".to_owned());
    } else {
        run::begin(state, cx, modes.isolation, modes.read_only);
        if let Some(explicit) = &mut state.explicit {
            explicit.deferrable = modes.deferrable.unwrap_or(false);
        }
    }
    tag
}

async fn commit(session: &Session, cx: &Cx, state: &mut StateGuard) -> Result<Tag> {
    let Some(mut explicit) = state.explicit.take() else {
        let mut tag = Tag::command("COMMIT");
        tag.notice = Some("there is no transaction in progress".to_owned());
        return Ok(tag);
    };
    let rolled_back = explicit.settings_after(false);
    let committed = explicit.settings_after(true);
    if explicit.failed {
        restore(state, rolled_back);
        state.cursors.rolled_back();
        if let Some(txn) = explicit.txn {
            txn.rollback();
        }
        return Ok(Tag::command("ROLLBACK"));
    }
    let outcome = match explicit.txn {
        Some(txn) => transaction::commit(&session.db, cx, &txn, explicit.own.changed).await.map(Some),
        None => Ok(None),
    };
    if let Ok(Some(at)) = outcome {
        state.last_commit = Some(at);
    }
    if outcome.is_ok() {
        state.cursors.committed();
    } else {
        state.cursors.rolled_back();
    }
    restore(state, if outcome.is_ok() { committed } else { rolled_back });
    outcome.map(|_| Tag::command("COMMIT"))
}

/// What AND CHAIN goes on with. Errors: 25P01 outside of a block.
fn chained(state: &mut StateGuard, chain: bool, command: &str) -> Result<Option<TransactionModes>> {
    if !chain {
        return Ok(None);
    }
    let explicit = block(state, &format!("{command} AND CHAIN"))?;
    Ok(Some(TransactionModes {
        isolation: Some(explicit.level),
        read_only: Some(explicit.read_only),
        deferrable: Some(explicit.deferrable),
    }))
}

fn chain_on(state: &mut StateGuard, cx: &Cx, next: Option<TransactionModes>) {
    if let Some(modes) = next {
        begin(cx, state, &modes);
    }
}

fn restore(state: &mut StateGuard, settings: Option<Box<Settings>>) {
    if let Some(settings) = settings {
        state.settings = Arc::new(*settings);
    }
}

fn rollback(state: &mut StateGuard) -> Tag {
    let mut tag = Tag::command("ROLLBACK");
    match state.explicit.take() {
        None => tag.notice = Some("there is no transaction in progress".to_owned()),
        Some(mut explicit) => {
            restore(state, explicit.settings_after(false));
            state.cursors.rolled_back();
            if let Some(txn) = explicit.txn {
                txn.rollback();
            }
        }
    }
    tag
}

fn block<'a>(state: &'a mut StateGuard, command: &str) -> Result<&'a mut transaction::Explicit> {
    state.explicit.as_mut().ok_or_else(|| {
        let message = format!("{command} can only be used in transaction blocks");
        Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
    })
}

fn set_transaction(state: &mut StateGuard, modes: &TransactionModes) -> Result<Tag> {
    let mut tag = Tag::command("SET");
    let Some(explicit) = state.explicit.as_mut() else {
        tag.notice = Some("SET TRANSACTION can only be used in transaction blocks".to_owned());
        return Ok(tag);
    };
    let begun = explicit.txn.is_some();
    let refuse = |what: &str| {
        Err(Error::new(
            SqlState::ACTIVE_SQL_TRANSACTION,
            format!("SET TRANSACTION {what} must be called before any query"),
        ))
    };
    if let Some(level) = modes.isolation {
        if begun && level != explicit.level {
            return refuse("ISOLATION LEVEL");
        }
        explicit.level = level;
    }
    if let Some(read_only) = modes.read_only {
        if begun && !read_only && explicit.read_only {
            return refuse("READ WRITE");
        }
        explicit.read_only = read_only;
    }
    if let Some(deferrable) = modes.deferrable {
        if begun && deferrable != explicit.deferrable {
            return refuse("[NOT] DEFERRABLE");
        }
        explicit.deferrable = deferrable;
    }
    Ok(tag)
}

fn set(state: &mut StateGuard, name: &str, value: &SetValue, local: bool) -> Result<Tag> {
    let mut tag = Tag::command("SET");
    let joined = match value {
        SetValue::Default => None,
        SetValue::Values(values) if name == "search_path" => {
            let names: Vec<String> = values.iter().map(|it| crate::settings::quoted_identifier(it)).collect();
            Some(names.join(", "))
        }
        SetValue::Values(values) => Some(values.join(", ")),
    };
    if local && state.explicit.is_none() {
        tag.notice = Some("SET LOCAL can only be used in transaction blocks".to_owned());
        return Ok(tag);
    }
    if name == "transaction_isolation"
        && let Some(level) = &joined
    {
        // The level of the running transaction, by another name.
        let isolation = Some(crate::settings::isolation(name, level)?);
        return set_transaction(state, &TransactionModes { isolation, ..TransactionModes::default() });
    }
    if let ("transaction_read_only" | "transaction_deferrable", Some(value)) = (name, &joined) {
        let value = Some(crate::settings::boolean(name, value)?);
        let modes = match name {
            "transaction_read_only" => TransactionModes { read_only: value, ..TransactionModes::default() },
            _ => TransactionModes { deferrable: value, ..TransactionModes::default() },
        };
        return set_transaction(state, &modes);
    }
    change_settings(state, local, |settings| settings.set(name, joined.as_deref()))?;
    Ok(tag)
}

/// Changes settings so that the end of an open transaction can undo it.
fn change_settings(
    state: &mut StateGuard,
    local: bool,
    change: impl Fn(&mut Settings) -> Result<()>,
) -> Result<()> {
    let State { settings, explicit, .. } = &mut **state;
    let mut changed = Settings::clone(settings);
    change(&mut changed)?;
    if let Some(explicit) = explicit {
        explicit.before_set(settings, local);
        if let (false, Some(session)) = (local, explicit.session_settings()) {
            change(session)?;
        }
    }
    *settings = Arc::new(changed);
    Ok(())
}

fn show(session: &Session, state: &StateGuard, name: Option<&str>) -> Result<Execution> {
    let link = Link::detached(session);
    let Some(name) = name else {
        let names = Settings::names();
        let shown = |name: &&str| match all_settings::shared(&session.db, name) {
            Some(value) => Ok(value),
            None => state.settings.show(name),
        };
        let values = names.iter().map(shown).collect::<Result<Vec<_>>>()?;
        let row_count = names.len();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(names)), Arc::new(StringArray::from(values))];
        let field = |name: &str| Field { name: name.to_owned(), ty: SqlType::Text };
        let fields = vec![field("name"), field("setting")];
        return Ok(Execution::Rows(Rows::of_batches(
            vec![Batch { columns, row_count }],
            fields,
            Tag::command("SHOW"),
            link,
        )));
    };
    if name == "memory" {
        return Ok(Execution::Rows(show_memory(session, state, link)));
    }
    if let Some(value) = all_settings::shared(&session.db, name) {
        return Ok(Execution::Rows(Rows::of_lines(name, vec![value], "SHOW", link)));
    }
    let value = match (name, &state.explicit) {
        ("transaction_isolation", Some(explicit)) => explicit.level.name().to_owned(),
        ("transaction_read_only", Some(explicit)) => on_off(explicit.read_only),
        ("transaction_read_only", None) => on_off(state.settings.read_only),
        ("transaction_deferrable", explicit) => {
            on_off(explicit.as_ref().is_some_and(|explicit| explicit.deferrable))
        }
        ("durability", _) => session.db.store.durability().to_string(),
        _ => state.settings.show(name)?,
    };
    Ok(Execution::Rows(Rows::of_lines(name, vec![value], "SHOW", link)))
}

/// SHOW memory: what `orrery.memory` has.
fn show_memory(session: &Session, state: &StateGuard, link: Link) -> Rows {
    let budgets = live::memory(&session.db, state.settings.work_memory_bytes);
    let bytes = |of: fn(&MemoryBudget) -> Option<u64>| -> ArrayRef {
        Arc::new(Int64Array::from_iter(budgets.iter().map(|it| of(it).map(|bytes| bytes as i64))))
    };
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(budgets.iter().map(|it| it.name)));
    let columns = vec![names, bytes(|it| it.limit), bytes(|it| it.used), bytes(|it| it.peak)];
    let field = |name: &str, ty| Field { name: name.to_owned(), ty };
    let fields = ["limit_bytes", "used_bytes", "peak_bytes"].map(|name| field(name, SqlType::Int8));
    let fields = std::iter::once(field("name", SqlType::Text)).chain(fields).collect();
    let batch = Batch { columns, row_count: budgets.len() };
    Rows::of_batches(vec![batch], fields, Tag::command("SHOW"), link)
}

/// ALTER SYSTEM: changes what all sessions share, at once, for as long as the database is open. Errors: 25001, 42704, 22023.
fn alter_system(session: &Session, state: &StateGuard, name: &str, value: &SetValue) -> Result<Tag> {
    if state.explicit.is_some() {
        let message = "ALTER SYSTEM cannot run inside a transaction block";
        return Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
    }
    let value = match value {
        SetValue::Default => None,
        SetValue::Values(values) => Some(values.join(", ")),
    };
    all_settings::set_shared(&session.db, name, value.as_deref())?;
    Ok(Tag::command("ALTER SYSTEM"))
}

fn deallocate(state: &mut StateGuard, name: Option<&str>) -> Result<Tag> {
    match name {
        None => {
            state.prepared.clear();
            Ok(Tag::command("DEALLOCATE ALL"))
        }
        Some(name) => match state.prepared.remove(name) {
            Some(_) => Ok(Tag::command("DEALLOCATE")),
            None => Err(no_such_statement(name)),
        },
    }
}

fn no_such_statement(name: &str) -> Error {
    let message = format!("prepared statement \"{name}\" does not exist");
    Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
}

/// Runs what needs the catalog or the transaction.
pub(crate) async fn in_transaction(
    running: &mut Running<'_>,
    control: &Control,
    ready: &Ready,
) -> Result<Execution> {
    match control {
        Control::Prepare { name, types, statement } => {
            if running.state.prepared.contains_key(name) {
                let message = format!("prepared statement \"{name}\" already exists");
                return Err(Error::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
            }
            // A parameter has no modifier: numeric(5,1) says numeric.
            let types = types.iter().map(SqlType::base).collect();
            let prepared = Arc::new(Prepared::new(statement.clone(), types));
            prepared
                .bind(&ready.catalog, running.scope.settings)
                .map_err(|error| shift(error, statement.offset_chars))?;
            running.state.prepared.insert(name.clone(), prepared);
            Ok(Execution::Done(Tag::command("PREPARE")))
        }
        Control::Execute { name, args } => execute(running, name, args, ready).await,
        Control::Explain { options, statement } => explain(running, *options, statement).await,
        Control::Analyze(tables) => analyze_tables(running, tables, ready).await,
        Control::Vacuum { analyze, tables } => vacuum(running, *analyze, tables, ready).await,
        Control::TableAs(create) => table_as(running, create, ready).await,
        Control::Declare(declare) => cursors::declare(running, declare).await,
        Control::Reindex => Ok(Execution::Done(Tag::command("REINDEX"))),
        // The locks were taken with those of its kind, before it came here.
        Control::LockTable { .. } => Ok(Execution::Done(Tag::command("LOCK TABLE"))),
        Control::Copy(copy) => crate::copy::from_file(running, copy, ready).await,
        _ => Err(Error::internal("an immediate statement was run in a transaction")),
    }
}

async fn execute(
    running: &mut Running<'_>,
    name: &str,
    args: &[ast::Expr],
    ready: &Ready,
) -> Result<Execution> {
    let (prepared, params) = prepared_with_arguments(running, name, args, ready)?;
    // One level deep: what was prepared is never itself EXECUTE.
    Box::pin(running.prepared(&prepared, Params::One(params))).await
}

/// The statement that EXECUTE names, and its arguments' values.
fn prepared_with_arguments(
    running: &Running<'_>,
    name: &str,
    args: &[ast::Expr],
    ready: &Ready,
) -> Result<(Arc<Prepared>, Vec<Datum>)> {
    let prepared = running.state.prepared.get(name).cloned().ok_or_else(|| no_such_statement(name))?;
    let bound = prepared.bind(&ready.catalog, running.scope.settings)?.bound;
    let types: &[SqlType] = match &*bound {
        Bound::Dml(statement) => run::param_types(statement),
        _ => &[],
    };
    let exprs = orrery_sql::bind::execute_arguments(args, types, &ready.catalog, running.scope.settings)?;
    let context = running.context(&ready.catalog, &[], &[])?;
    let params = exprs.iter().map(|expr| eval::constant_in(&context, expr)).collect::<Result<_>>()?;
    Ok((prepared, params))
}

async fn explain(
    running: &mut Running<'_>,
    options: ast::ExplainOptions,
    statement: &Arc<orrery_sql::parse::Parsed>,
) -> Result<Execution> {
    if let Some(as_of) = statement.as_of.as_ref().filter(|_| !running.scope.is_past) {
        let mut scope =
            running.scope_of_then(as_of).await.map_err(|error| shift(error, statement.offset_chars))?;
        let mut then = Running { scope: &mut scope, ..running.reborrow() };
        return Box::pin(explain(&mut then, options, statement)).await;
    }
    let mut prepared = Arc::new(Prepared::new(statement.clone(), Vec::new()));
    let mut ready = bind::prepare_to_run(&running.session.db, running.cx, running.scope, &prepared)
        .await
        .map_err(|error| shift(error, statement.offset_chars))?;
    let mut params = Vec::new();
    if let Bound::Control(Control::Execute { name, args }) = &*ready.bound {
        (prepared, params) = prepared_with_arguments(running, name, args, &ready)?;
        ready = bind::prepare_to_run(&running.session.db, running.cx, running.scope, &prepared).await?;
    }
    let Bound::Dml(planned) = &*ready.bound else {
        return Err(Error::unsupported("EXPLAIN of this kind of statement"));
    };
    if matches!(planned, Statement::With(_)) {
        return Err(Error::unsupported("EXPLAIN of a change in WITH"));
    }
    let mut lines = if options.analyze {
        // Time passes between polls only.
        running.cx.yield_now().await;
        let started = running.cx.now();
        let metrics = run_for_metrics(running, planned, &ready, &params).await?;
        let mut lines = explain::text(planned, options.costs, Some(&metrics));
        running.cx.yield_now().await;
        let elapsed = running.cx.now().saturating_sub(started) as f64 / 1000.0;
        if options.summary {
            lines.push(format!("Execution Time: {elapsed:.3} ms"));
        }
        lines
    } else {
        explain::text(planned, options.costs, None)
    };
    if let Some(temporary) = &running.state.temporary {
        lines.iter_mut().for_each(|line| *line = temporary.shown(line));
    }
    lines.iter_mut().for_each(|line| *line = orrery_sql::names::shown(line).into_owned());
    let link = running.link(false);
    if running.is_implicit && options.analyze {
        transaction::commit(&running.session.db, running.cx, &running.scope.txn, running.scope.own.changed)
            .await?;
    }
    Ok(Execution::Rows(Rows::of_lines("QUERY PLAN", lines, "EXPLAIN", link)))
}

async fn run_for_metrics(
    running: &mut Running<'_>,
    statement: &Statement,
    ready: &Ready,
    params: &[Datum],
) -> Result<orrery_sql::exec::RunMetrics> {
    let context = running.context(&ready.catalog, run::param_types(statement), params)?.with_metrics();
    if let Statement::Query(plan) = statement {
        let mut query = Query::open(Arc::new(plan.clone()), context.clone());
        while query.next(running.cx).await?.is_some() {}
    } else {
        running.change_rows(statement, &context).await?;
    }
    Ok(context.metrics())
}

async fn vacuum(
    running: &mut Running<'_>,
    analyze: bool,
    tables: &[Arc<Table>],
    ready: &Ready,
) -> Result<Execution> {
    if !running.is_implicit {
        let message = "VACUUM cannot run inside a transaction block";
        return Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
    }
    if analyze {
        analyze_tables(running, tables, ready).await?;
    }
    Ok(Execution::Done(Tag::command("VACUUM")))
}

/// Makes the table and fills it, under the one transaction.
async fn table_as(running: &mut Running<'_>, create: &TableAs, ready: &Ready) -> Result<Execution> {
    let made = running.ddl(&create.table, ready).await?;
    let Some(insert) = &create.insert else { return Ok(made) };
    let insert = Arc::new(Prepared::new(insert.clone(), Vec::new()));
    // One level deep: it is an INSERT.
    let filled = Box::pin(running.prepared(&insert, Params::One(Vec::new()))).await?;
    match filled {
        Execution::Done(_) if matches!(create.table, ddl::Ddl::Truncate { .. }) => Ok(made),
        Execution::Done(tag) => Ok(Execution::Done(Tag { command: "SELECT", ..tag })),
        rows @ Execution::Rows(_) => Ok(rows),
    }
}

async fn analyze_tables(
    running: &mut Running<'_>,
    tables: &[Arc<Table>],
    ready: &Ready,
) -> Result<Execution> {
    let context = running.context(&ready.catalog, &[], &[])?;
    let epoch = running.session.db.schema.quiet_epoch();
    let mut catalog = (*ready.catalog).clone();
    for table in tables {
        let statistics = analyze::analyze(running.cx, &context, table).await?;
        catalog = ddl::set_statistics(running.cx, &context, &catalog, table, statistics).await?;
    }
    running.scope.own.catalog = Some(Arc::new(catalog));
    running.scope.own.epoch = epoch;
    running.scope.own.changed = true;
    Ok(Execution::Done(Tag::command("ANALYZE")))
}
