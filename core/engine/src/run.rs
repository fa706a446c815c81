//! Running statements: the transaction around them, their parameters, the executor, DDL.

use crate::bind::{self, Ready, Scope};
use crate::control;
use crate::copy;
use crate::many;
use crate::path::{PathView, shown_error};
use crate::plans::Prepared;
use crate::point::{self, PointBuffers};
use crate::result::{Execution, Link, Rows, Tag};
use crate::sequences::StatementEnvironment;
use crate::session::{Session, StateGuard};
use crate::statements::StatementRun;
use crate::temporary;
use crate::transaction::{self, Explicit};
use orrery_base::kv::{Isolation, Transaction};
use orrery_base::{Cx, Error, Result, SqlState};
use orrery_sql::bind::{Bound, Control};
use orrery_sql::catalog::{Catalog, UserTypeKind};
use orrery_sql::datum::Datum;
use orrery_sql::ddl::{self, Ddl, SchemaChange};
use orrery_sql::eval;
use orrery_sql::exec::point::{PointOutcome, PointPlan};
use orrery_sql::exec::{self, Batch, DmlOutcome, ExecContext, Query};
use orrery_sql::parse::ast::{Level, Statement as Ast};
use orrery_sql::plan::{Change, Field, Plan, Statement};
use orrery_sql::types::SqlType;
use orrery_store::{Txn, TxnOptions};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A statement may be restarted on a fresh snapshot so often before it gives up with 40001.
const RESTART_COUNT_MAX: usize = 1000;

/// What a statement's parameters are.
pub(crate) enum Params {
    /// Values.
    One(Vec<Datum>),
    /// Rows of values in columns of these types: the statement runs once for each.
    Many(Vec<SqlType>, Batch),
    /// There are none, and the client takes what COPY … TO STDOUT gives.
    TakesCopy,
}

/// Runs one statement of a session.
pub(crate) async fn statement(
    session: &Session,
    cx: &Cx,
    prepared: &Arc<Prepared>,
    params: Params,
) -> Result<Execution> {
    let mut state = session.slot.take()?;
    if let Err(error) = refuse_open_rows(&state) {
        // The transaction is sound: this is a mistake of the caller's, not a failure of a statement.
        state.ended_well();
        return Err(error);
    }
    let deadline = deadline(&state, cx);
    cx.set_deadline(deadline);
    state.points.hand_over();
    let run = session.db.statements.begin(prepared);
    run.measure(cx);
    state.run = Some(run.clone());
    let mut outcome = match control::immediate(session, cx, &mut state, prepared).await {
        Some(outcome) => outcome,
        None => within_transaction(session, cx, &mut state, prepared, params, deadline).await,
    };
    if let (Err(_), Some(temporary)) = (&outcome, &state.temporary) {
        let temporary = temporary.clone();
        outcome = outcome.map_err(|error| temporary.shown_error(error));
    }
    let outcome = outcome.map_err(shown_error);
    if outcome.is_ok() || state.explicit.as_ref().is_none_or(|explicit| explicit.failed) {
        state.ended_well();
    }
    session.db.empty_temp_trash(cx);
    state.run = None;
    count(outcome, run)
}

/// Counts what a statement came to; rows that are still to come count when they do.
fn count(mut outcome: Result<Execution>, run: Arc<StatementRun>) -> Result<Execution> {
    match &mut outcome {
        Ok(Execution::Rows(rows)) => rows.count_in(run),
        Ok(Execution::Done(tag)) => run.rows(tag.row_count.unwrap_or(0)),
        Err(_) => run.failed(),
    }
    outcome
}

/// Errors: 55006 while a result of the open transaction is being read: a new statement would move its snapshot.
pub(crate) fn refuse_open_rows(state: &StateGuard) -> Result<()> {
    if state.explicit.as_ref().is_some_and(|explicit| explicit.has_open_rows()) {
        let message = "a result of this transaction is still being read: finish or drop it first";
        return Err(Error::new(SqlState::OBJECT_IN_USE, message));
    }
    Ok(())
}

fn deadline(state: &StateGuard, cx: &Cx) -> Option<u64> {
    let timeout = state.settings.statement_timeout_ms;
    (timeout > 0).then(|| cx.now().saturating_add(timeout.saturating_mul(1000)))
}

/// Runs a statement in the open transaction, or in one of its own.
async fn within_transaction(
    session: &Session,
    cx: &Cx,
    state: &mut StateGuard,
    prepared: &Arc<Prepared>,
    params: Params,
    deadline: Option<u64>,
) -> Result<Execution> {
    if state.explicit.as_ref().is_some_and(|explicit| explicit.failed) {
        return Err(failed_transaction());
    }
    if temporary::makes_one(&prepared.parsed.statement) {
        temporary::claim(session, cx, state).await?;
    }
    let is_implicit = state.explicit.is_none();
    let only_locks = matches!(prepared.parsed.statement, Ast::LockTable(_));
    if only_locks && is_implicit {
        let message = "LOCK TABLE can only be used in transaction blocks";
        return Err(Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
    }
    let keeps_snapshot = !only_locks || !transaction::may_take_snapshot_later(state);
    let mut scope = scope(session, cx, state)?;
    scope.is_locking = !keeps_snapshot;
    let start = scope.txn.savepoint();
    let mut running = Running { session, cx, state, scope: &mut scope, deadline, is_implicit };
    let outcome = running.prepared(prepared, params).await;
    if is_implicit && scope.txn.is_open() {
        state.last_snapshot = Some(scope.txn.snapshot_timestamp());
    }
    match (&outcome, &mut state.explicit) {
        (Ok(_), Some(explicit)) => {
            explicit.own = scope.own;
            explicit.only_locked = !keeps_snapshot;
        }
        // Gathering changes nothing, but a statement that fails half-way through applying must leave nothing (L6).
        (Err(_), Some(_)) => scope.txn.rollback_to(start),
        (Err(_), None) => scope.txn.rollback(),
        (Ok(Execution::Rows(_)), None) => {}
        (Ok(Execution::Done(_)), None) => {
            let at = transaction::commit(&session.db, cx, &scope.txn, scope.own.changed).await?;
            state.last_commit = Some(at);
        }
    }
    outcome
}

pub(crate) fn scope(session: &Session, cx: &Cx, state: &mut StateGuard) -> Result<Scope> {
    let settings = state.settings.bind_settings();
    let temporary = state.temporary.clone();
    if !state.path.is_of(state.settings.path.as_ref()) {
        state.path = Arc::new(PathView::new(state.settings.path.clone()));
    }
    let path = state.path.clone();
    let advisory = state.advisory.known();
    let facts = state.facts.clone();
    let lock_timeout = Some(state.settings.lock_timeout_ms.saturating_mul(1000)).filter(|&it| it > 0);
    let prepare = |txn: Arc<Txn>| {
        txn.set_lock_timeout(lock_timeout);
        if let Some(advisory) = &advisory {
            txn.set_session(advisory);
            facts.advisory.store(advisory.owner().0, Ordering::Relaxed);
        }
        txn
    };
    let note = |txn: &Arc<Txn>, start: u64| {
        facts.since.store(start, Ordering::Relaxed);
        facts.txn.store(txn.id().0, Ordering::Relaxed);
    };
    if let Some(explicit) = &mut state.explicit {
        let txn = prepare(explicit.txn(&session.db, cx.now())?);
        note(&txn, explicit.start);
        if std::mem::take(&mut explicit.only_locked) {
            txn.restart_snapshot()?;
            explicit.own = bind::OwnCatalog::default();
        }
        return Ok(Scope {
            txn,
            isolation: explicit.level.isolation(),
            read_only: explicit.read_only,
            settings,
            start: explicit.start,
            own: explicit.own.clone(),
            temporary,
            path,
            is_past: false,
            is_locking: false,
        });
    }
    let (isolation, read_only) = (state.settings.isolation.isolation(), state.settings.read_only);
    let txn = prepare(session.db.store.begin(TxnOptions { isolation, read_only }, cx.now())?);
    note(&txn, cx.now());
    let own = bind::OwnCatalog::default();
    Ok(Scope {
        txn,
        isolation,
        read_only,
        settings,
        start: cx.now(),
        own,
        temporary,
        path,
        is_past: false,
        is_locking: false,
    })
}

pub(crate) fn failed_transaction() -> Error {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    Error::new(SqlState::IN_FAILED_SQL_TRANSACTION, message)
}

/// A statement under way.
pub(crate) struct Running<'a> {
    pub(crate) session: &'a Session,
    pub(crate) cx: &'a Cx,
    pub(crate) state: &'a mut StateGuard,
    pub(crate) scope: &'a mut Scope,
    pub(crate) deadline: Option<u64>,
    pub(crate) is_implicit: bool,
}

impl Running<'_> {
    /// The same, for a part of it.
    pub(crate) fn reborrow(&mut self) -> Running<'_> {
        Running {
            session: self.session,
            cx: self.cx,
            state: self.state,
            scope: self.scope,
            deadline: self.deadline,
            is_implicit: self.is_implicit,
        }
    }

    /// Binds, locks and runs.
    pub(crate) async fn prepared(&mut self, prepared: &Arc<Prepared>, params: Params) -> Result<Execution> {
        if let Some(as_of) = prepared.parsed.as_of.as_ref().filter(|_| !self.scope.is_past) {
            return self.in_the_past(as_of, prepared, params).await;
        }
        let ready = bind::prepare_to_run(&self.session.db, self.cx, self.scope, prepared).await?;
        if let Bound::Control(Control::CopyTo(copy)) = &*ready.bound {
            return copy::to(self, copy, matches!(params, Params::TakesCopy)).await;
        }
        let params = match params {
            Params::One(params) => params,
            Params::TakesCopy => return Err(copy::is_none("COPY … TO STDOUT")),
            Params::Many(types, batch) => return many::dml(self, &ready, &types, &batch).await,
        };
        match &*ready.bound {
            Bound::Dml(statement) => self.dml(statement, &ready, &params).await,
            Bound::Ddl(ddl) => self.ddl(ddl, &ready).await,
            Bound::Control(control) => control::in_transaction(self, control, &ready).await,
        }
    }

    /// What the executor runs in. `params` are cast to the plan's types.
    pub(crate) fn context(
        &self,
        catalog: &Arc<Catalog>,
        types: &[SqlType],
        params: &[Datum],
    ) -> Result<ExecContext> {
        let environment = StatementEnvironment {
            db: self.session.db.clone(),
            catalog: catalog.clone(),
            session: self.state.sequences.clone(),
            advisory: self.state.advisory.clone(),
            txn: self.scope.txn.clone(),
            read_only: self.scope.read_only,
            is_past: self.scope.is_past,
            settings: self.state.settings.clone(),
            run: self.state.run.clone(),
        };
        let mut context = ExecContext {
            txn: self.scope.txn.clone(),
            environment: Arc::new(environment),
            params: Arc::from([]),
            work_memory_bytes: self.state.settings.work_memory_bytes,
            transaction_start: self.scope.start,
            statement_start: self.cx.now(),
            format: self.state.settings.format,
            random: self.state.random.clone(),
            working: Vec::new(),
            metrics: None,
        };
        context.params = eval::cast_params(&context, types, params)?.into();
        Ok(context)
    }

    async fn dml(&mut self, statement: &Statement, ready: &Ready, params: &[Datum]) -> Result<Execution> {
        let types = param_types(statement);
        if let Some(point) = ready.point.as_ref().filter(|point| point.is_write())
            && let Some(row_count) = self.change_point(point, types, params).await?
        {
            return Ok(Execution::Done(Tag::rows(command_of(statement), row_count)));
        }
        let context = self.context(&ready.catalog, types, params)?;
        if let Statement::Query(plan) = statement {
            let fields = plan.root.fields.clone();
            if plan.locks_rows() {
                return self.locking_query(plan, context, fields).await;
            }
            let query = Query::open(Arc::new(plan.clone()), context);
            return Ok(Execution::Rows(Rows::of_query(query, fields, self.link(true))));
        }
        let command = command_of(statement);
        let fields = match statement.main() {
            Statement::Query(plan) => Some(&plan.root.fields),
            change => change.returning().map(|returning| &returning.fields),
        };
        let (row_count, batches) = self.change_rows(statement, &context).await?;
        let Some(fields) = fields else {
            return Ok(Execution::Done(Tag::rows(command, row_count)));
        };
        if self.is_implicit {
            // Rows that a commit could still undo are not shown.
            let changed = self.scope.own.changed;
            self.state.last_snapshot = Some(self.scope.txn.snapshot_timestamp());
            let at = transaction::commit(&self.session.db, self.cx, &self.scope.txn, changed).await?;
            self.state.last_commit = Some(at);
        }
        let link = self.link(false);
        Ok(Execution::Rows(Rows::of_batches(batches, fields.clone(), Tag::rows(command, row_count), link)))
    }

    /// A query that locks rows runs to its end at once: whoever executed it has the locks.
    async fn locking_query(
        &mut self,
        plan: &Plan,
        context: ExecContext,
        fields: Vec<Field>,
    ) -> Result<Execution> {
        let mut query = Query::open(Arc::new(plan.clone()), context);
        let mut batches = Vec::new();
        while let Some(batch) = query.next(self.cx).await? {
            batches.push(batch);
        }
        drop(query);
        if self.is_implicit {
            self.state.last_snapshot = Some(self.scope.txn.snapshot_timestamp());
            self.scope.txn.rollback();
        }
        let link = self.link(false);
        Ok(Execution::Rows(Rows::of_batches(batches, fields, Tag::rows("SELECT", 0), link)))
    }

    /// Runs INSERT, UPDATE or DELETE without RETURNING; how many rows it changed.
    pub(crate) async fn change(
        &mut self,
        statement: &Statement,
        ready: &Ready,
        params: &[Datum],
    ) -> Result<u64> {
        let types = param_types(statement);
        if let Some(point) = ready.point.as_ref().filter(|point| point.is_write())
            && let Some(row_count) = self.change_point(point, types, params).await?
        {
            return Ok(row_count);
        }
        let context = self.context(&ready.catalog, types, params)?;
        Ok(self.change_rows(statement, &context).await?.0)
    }

    /// Changes one row by its key without a plan; `None` when the general path must do it.
    async fn change_point(
        &mut self,
        point: &PointPlan,
        types: &[SqlType],
        params: &[Datum],
    ) -> Result<Option<u64>> {
        let PointBuffers { params: widened, scratch } = self.state.points.buffers();
        let Some(params) = point::fitting(types, params, widened) else { return Ok(None) };
        let (world, txn) = (self.cx.world(), &*self.scope.txn);
        loop {
            match point.try_run(world, txn, params, scratch, &mut |_| Ok(()))? {
                PointOutcome::Done(row_count) => return Ok(Some(row_count)),
                PointOutcome::Missing(page) => txn.load(self.cx, page).await?,
                PointOutcome::Fallback => return Ok(None),
            }
        }
    }

    /// Runs INSERT, UPDATE or DELETE, again on a fresh snapshot when the executor asks for it: what it had written is undone,
    /// and its locks stay, so that it gets through in the end.
    pub(crate) async fn change_rows(
        &mut self,
        statement: &Statement,
        context: &ExecContext,
    ) -> Result<(u64, Vec<exec::Batch>)> {
        let start = self.scope.txn.savepoint();
        for _ in 0..RESTART_COUNT_MAX {
            match self.run_once(statement, context).await? {
                DmlOutcome::Done { row_count, returning } => return Ok((row_count, returning)),
                DmlOutcome::Restart if self.scope.isolation == Isolation::ReadCommitted => {
                    self.scope.txn.undo_writes_to(start);
                    self.scope.txn.begin_statement()?;
                }
                DmlOutcome::Restart => break,
            }
        }
        Err(Error::new(
            SqlState::SERIALIZATION_FAILURE,
            "could not serialize access due to concurrent update",
        ))
    }

    /// Runs a statement and the changes in WITH before it, once.
    async fn run_once(&self, statement: &Statement, context: &ExecContext) -> Result<DmlOutcome> {
        let Statement::With(with) = statement else { return run_part(self.cx, statement, context).await };
        let mut context = context.clone();
        for Change { working, statement } in &with.changes {
            match run_part(self.cx, statement, &context).await? {
                DmlOutcome::Done { returning, .. } => context.working.push((*working, Arc::new(returning))),
                DmlOutcome::Restart => return Ok(DmlOutcome::Restart),
            }
        }
        run_part(self.cx, &with.main, &context).await
    }

    /// What rows keep of this statement. `keeps_transaction`: they still read from it.
    pub(crate) fn link(&mut self, keeps_transaction: bool) -> Link {
        let slot = self.state.slot().clone();
        let mut explicit = None;
        let keeps_block = keeps_transaction && !self.scope.is_past;
        if let (Some(open), true) = (&mut self.state.explicit, keeps_block) {
            let token = Arc::new(());
            open.open_rows = Arc::downgrade(&token);
            explicit = Some((slot, token));
        }
        Link {
            db: self.session.db.clone(),
            cancel: self.session.cancel().clone(),
            txn: keeps_transaction.then(|| self.scope.txn.clone()),
            explicit,
            deadline: self.deadline,
            format: self.state.settings.format,
            run: None,
        }
    }

    pub(crate) async fn ddl(&mut self, ddl: &Ddl, ready: &Ready) -> Result<Execution> {
        if let Ddl::Nothing(notice) = ddl {
            let mut tag = Tag::command("");
            tag.notice = Some(orrery_sql::names::shown(notice).into_owned());
            return Ok(Execution::Done(tag));
        }
        let context = self.context(&ready.catalog, &[], &[])?;
        let epoch = self.session.db.schema.quiet_epoch();
        let catalog = ddl::execute(self.cx, &context, &ready.catalog, ddl.clone()).await?;
        self.scope.own.catalog = Some(Arc::new(catalog));
        self.scope.own.epoch = epoch;
        self.scope.own.changed = true;
        Ok(Execution::Done(Tag::command(ddl_command(ddl))))
    }
}

/// Runs one statement to its end.
async fn run_part(cx: &Cx, statement: &Statement, context: &ExecContext) -> Result<DmlOutcome> {
    match statement {
        Statement::Insert(insert) => exec::insert(cx, context, insert).await,
        Statement::Update(update) => exec::update(cx, context, update).await,
        Statement::Delete(delete) => exec::delete(cx, context, delete).await,
        Statement::Merge(merge) => exec::merge(cx, context, merge).await,
        Statement::Query(plan) => {
            let mut query = Query::open(Arc::new(plan.clone()), context.clone());
            let (mut row_count, mut returning) = (0, Vec::new());
            while let Some(batch) = query.next(cx).await? {
                row_count += batch.row_count as u64;
                returning.push(batch);
            }
            Ok(DmlOutcome::Done { row_count, returning })
        }
        Statement::With(_) => Err(Error::internal("WITH in a part of WITH")),
    }
}

/// The command tag of DDL.
pub(crate) fn ddl_command(ddl: &Ddl) -> &'static str {
    match ddl {
        Ddl::CreateTable(new) if new.materialized.is_some() => "CREATE MATERIALIZED VIEW",
        Ddl::CreateTable(_) => "CREATE TABLE",
        Ddl::DropTable { .. } => "DROP TABLE",
        Ddl::Schema(SchemaChange::Create(_)) => "CREATE SCHEMA",
        Ddl::Schema(SchemaChange::Rename(..)) => "ALTER SCHEMA",
        Ddl::Schema(SchemaChange::Drop { .. }) => "DROP SCHEMA",
        Ddl::Comment(..) => "COMMENT",
        Ddl::CreateType(new) if matches!(new.kind, UserTypeKind::Domain(_)) => "CREATE DOMAIN",
        Ddl::CreateType(_) => "CREATE TYPE",
        Ddl::AlterType(_) => "ALTER TYPE",
        Ddl::DropTypes { domain: true, .. } => "DROP DOMAIN",
        Ddl::DropTypes { .. } => "DROP TYPE",
        Ddl::CreateView(_) => "CREATE VIEW",
        Ddl::DropView { .. } => "DROP VIEW",
        Ddl::AlterTable { .. } => "ALTER TABLE",
        Ddl::CreateSequence(_) => "CREATE SEQUENCE",
        Ddl::AlterSequence(..) => "ALTER SEQUENCE",
        Ddl::DropSequence { .. } => "DROP SEQUENCE",
        Ddl::CreateIndex { .. } => "CREATE INDEX",
        Ddl::DropIndex(_) => "DROP INDEX",
        Ddl::Truncate { refreshes: Some(_), .. } => "REFRESH MATERIALIZED VIEW",
        Ddl::Truncate { .. } => "TRUNCATE TABLE",
        Ddl::Nothing(_) => "",
    }
}

/// The command tag of DML.
pub(crate) fn command_of(statement: &Statement) -> &'static str {
    match statement {
        Statement::Query(_) => "SELECT",
        Statement::Insert(_) => "INSERT",
        Statement::Update(_) => "UPDATE",
        Statement::Delete(_) => "DELETE",
        Statement::Merge(_) => "MERGE",
        Statement::With(with) => command_of(&with.main),
    }
}

/// The parameter types of a planned statement.
pub(crate) fn param_types(statement: &Statement) -> &[SqlType] {
    statement.param_types()
}

/// Begins an explicit transaction.
pub(crate) fn begin(state: &mut StateGuard, cx: &Cx, level: Option<Level>, read_only: Option<bool>) {
    let level = level.unwrap_or(state.settings.isolation);
    let read_only = read_only.unwrap_or(state.settings.read_only);
    state.explicit = Some(Explicit::new(level, read_only, cx.now()));
}
