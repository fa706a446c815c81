//! From a parsed statement to one that may run: the right catalog, a plan, the table locks.

use crate::database::Inner;
use crate::path::PathView;
use crate::plans::{Planned, Prepared};
use crate::run;
use crate::schema::same_definition;
use crate::session::{Session, StateGuard};
use crate::temporary::TemporarySpace;
use orrery_base::kv::{Isolation, TableLock, Transaction, Wait};
use orrery_base::{Cx, Error, Result, SqlState, TreeId};
use orrery_sql::bind::{BindSettings, Bound, Control};
use orrery_sql::catalog::{Catalog, Table};
use orrery_sql::ddl::{self, Ddl, SchemaChange};
use orrery_sql::exec::point::PointPlan;
use orrery_sql::plan::{Plan, Relations, Statement};
use orrery_store::{Txn, TxnOptions};
use std::sync::Arc;

/// The transaction a statement runs in, and what it knows of the schema.
pub(crate) struct Scope {
    pub(crate) txn: Arc<Txn>,
    pub(crate) isolation: Isolation,
    pub(crate) read_only: bool,
    /// What of the session's settings plans depend on.
    pub(crate) settings: BindSettings,
    /// When the transaction began.
    pub(crate) start: u64,
    /// The catalog of the transaction's own making, or of its one snapshot.
    pub(crate) own: OwnCatalog,
    /// Where the session's temporary tables are.
    pub(crate) temporary: Option<Arc<TemporarySpace>>,
    /// Where the session looks for names.
    pub(crate) path: Arc<PathView>,
    /// It reads at a time of the statement's choice.
    pub(crate) is_past: bool,
    /// The statement only locks tables, and the snapshot is taken by the first one behind it.
    pub(crate) is_locking: bool,
}

/// See [`Scope::own`].
#[derive(Clone, Default)]
pub(crate) struct OwnCatalog {
    /// The catalog as the transaction sees it.
    pub(crate) catalog: Option<Arc<Catalog>>,
    /// The epoch at which it was right (READ COMMITTED after DDL of its own).
    pub(crate) epoch: Option<u64>,
    /// What the snapshot of a higher level saw, before DDL of its own.
    pub(crate) snapshot: Option<Arc<Catalog>>,
    /// The transaction changed the schema.
    pub(crate) changed: bool,
}

/// A statement that may run.
pub(crate) struct Ready {
    pub(crate) bound: Arc<Bound>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) point: Option<Arc<PointPlan>>,
}

/// Rounds of waiting for locks and finding the schema changed before giving up.
const ROUND_COUNT_MAX: usize = 100;

/// Binds, plans and locks. Suspends for locks and the catalog's pages. Errors: those of binding, 40P01, 55P03, 40001 when a
/// transaction of a higher level would write under a schema newer than its snapshot, 25006.
pub(crate) async fn prepare_to_run(
    db: &Arc<Inner>,
    cx: &Cx,
    scope: &mut Scope,
    prepared: &Prepared,
) -> Result<Ready> {
    for _ in 0..ROUND_COUNT_MAX {
        scope.txn.begin_statement()?;
        let (base, from_cache) = catalog(db, cx, scope).await?;
        let catalog = scope.temporary.as_ref().map_or_else(|| base.clone(), |space| space.view(&base));
        let catalog = scope.path.view(&catalog);
        let Planned { bound, point, .. } = prepared.bind(&catalog, scope.settings)?;
        if scope.read_only {
            refuse_writes(&bound)?;
        }
        // Nobody changes the past: its tables need no lock, even when they are dropped meanwhile.
        if !scope.is_past && lock_tables(cx, &scope.txn, &bound).await? {
            // Whoever held the lock may have changed the data or the schema: a fresh snapshot, and the plan again.
            if scope.is_locking {
                scope.txn.restart_snapshot()?;
                scope.own = OwnCatalog::default();
            }
            continue;
        }
        if scope.isolation != Isolation::ReadCommitted {
            check_written_definitions(db, cx, scope, &bound).await?;
            return Ok(Ready { bound, catalog, point });
        }
        if from_cache && db.schema.is_current(&base) || is_unchanged(db, cx, scope, &bound, &base).await? {
            return Ok(Ready { bound, catalog, point });
        }
    }
    Err(Error::new(
        SqlState::SERIALIZATION_FAILURE,
        "the schema kept changing while the statement was planned",
    ))
}

/// For whoever only looks at the schema: the session's state, where its transaction stands, and the catalog there. Errors: 25P02.
pub(crate) async fn look(session: &Session, cx: &Cx) -> Result<(StateGuard, Scope, Arc<Catalog>)> {
    let mut state = session.slot.take()?;
    // Nothing is changed, whatever happens: an open transaction stays sound.
    state.ended_well();
    if state.explicit.as_ref().is_some_and(|explicit| explicit.failed) {
        return Err(run::failed_transaction());
    }
    run::refuse_open_rows(&state)?;
    let mut scope = run::scope(session, cx, &mut state)?;
    scope.txn.begin_statement()?;
    let (catalog, _) = catalog(&session.db, cx, &mut scope).await?;
    Ok((state, scope, catalog))
}

/// The catalog of the statement's snapshot, and whether it is the cached one. It may be a session's view already, when the
/// transaction changed the schema.
pub(crate) async fn catalog(db: &Arc<Inner>, cx: &Cx, scope: &mut Scope) -> Result<(Arc<Catalog>, bool)> {
    let read_committed = scope.isolation == Isolation::ReadCommitted;
    if let Some(own) = &scope.own.catalog
        && (!read_committed
            || scope.own.changed && scope.own.epoch.is_some() && scope.own.epoch == db.schema.quiet_epoch())
    {
        return Ok((own.clone(), false));
    }
    if !scope.own.changed
        && let Some(cached) = db.schema.current(scope.txn.snapshot_timestamp())
    {
        if !read_committed {
            scope.own.catalog = Some(cached.clone());
            scope.own.snapshot = Some(cached.clone());
        }
        return Ok((cached, true));
    }
    let epoch = db.schema.quiet_epoch();
    scope.txn.begin_statement()?;
    let loaded = Arc::new(ddl::load_catalog(cx, &*scope.txn).await?);
    if scope.own.changed {
        scope.own.catalog = Some(loaded.clone());
        scope.own.epoch = epoch;
    } else if !read_committed {
        scope.own.catalog = Some(loaded.clone());
        scope.own.snapshot = Some(loaded.clone());
    } else if let Some(epoch) = epoch {
        db.schema.offer(epoch, scope.txn.snapshot_timestamp(), &loaded);
    }
    Ok((loaded, false))
}

/// Takes the statement's table locks; whether any had to wait.
async fn lock_tables(cx: &Cx, txn: &Arc<Txn>, bound: &Bound) -> Result<bool> {
    let mut waited = false;
    if let Bound::Control(Control::LockTable { tables, mode, nowait: true }) = bound {
        for table in tables {
            if !txn.try_lock_table(table.id, *mode)? {
                let message = format!("could not obtain lock on relation \"{}\"", table.name);
                return Err(Error::new(SqlState::LOCK_NOT_AVAILABLE, message));
            }
        }
        return Ok(false);
    }
    for (table, mode) in table_locks(bound) {
        if !txn.try_lock_table(table, mode)? {
            txn.lock_table(cx, table, mode, Wait::Block).await?;
            waited = true;
        }
    }
    Ok(waited)
}

fn table_locks(bound: &Bound) -> Vec<(TreeId, TableLock)> {
    let mut locks = Vec::new();
    let reads = |plan: &Plan, locks: &mut Vec<_>| {
        let locked = plan.locked_tables();
        let mode = |id| if locked.contains(&id) { TableLock::RowShare } else { TableLock::AccessShare };
        locks.extend(plan.tables.iter().map(|table| (table.id, mode(table.id))));
        locks.extend(plan.sequences.iter().map(|&id| (TreeId(id), TableLock::RowExclusive)));
    };
    for related in relations_of(bound).into_iter().flat_map(|relations| relations.tables.values()) {
        let mode = if related.is_changed { TableLock::RowExclusive } else { TableLock::RowShare };
        locks.push((related.table.id, mode));
    }
    match bound {
        Bound::Dml(statement) => {
            for part in statement.parts() {
                locks.extend(part.target().map(|table| (table.id, TableLock::RowExclusive)));
                reads(part.source(), &mut locks);
            }
        }
        Bound::Ddl(
            Ddl::DropTable { tables, .. }
            | Ddl::Truncate { tables, .. }
            | Ddl::Schema(SchemaChange::Drop { tables, .. }),
        ) => {
            locks.extend(tables.iter().map(|table| (table.id, TableLock::AccessExclusive)));
        }
        Bound::Ddl(Ddl::CreateIndex { table, index }) => {
            // Hidden columns are written into all rows.
            let is_plain = index.hidden.is_empty();
            let mode = if is_plain { TableLock::Share } else { TableLock::AccessExclusive };
            locks.push((table.id, mode));
        }
        Bound::Ddl(Ddl::DropIndex(indexes)) => {
            locks.extend(indexes.iter().map(|(table, _)| (table.id, TableLock::AccessExclusive)));
        }
        Bound::Ddl(Ddl::AlterSequence(change, table)) => {
            locks.push((TreeId(change.id), TableLock::AccessExclusive));
            locks.extend(table.iter().map(|table| (table.id, TableLock::ShareRowExclusive)));
        }
        Bound::Ddl(Ddl::DropSequence { ids, .. }) => {
            locks.extend(ids.iter().map(|&id| (TreeId(id), TableLock::AccessExclusive)));
        }
        Bound::Ddl(Ddl::AlterTable { table, others, .. }) => {
            locks.push((table.id, TableLock::AccessExclusive));
            locks.extend(others.iter().map(|other| (other.id, TableLock::ShareRowExclusive)));
        }
        Bound::Ddl(Ddl::CreateTable(new)) => {
            let targets = new.foreign_keys.iter().map(|key| TreeId(key.target));
            locks.extend(targets.filter(|id| id.0 != 0).map(|id| (id, TableLock::ShareRowExclusive)));
        }
        Bound::Ddl(
            Ddl::CreateView(_)
            | Ddl::DropView { .. }
            | Ddl::CreateSequence(_)
            | Ddl::Schema(_)
            | Ddl::Comment(..)
            | Ddl::CreateType(_)
            | Ddl::AlterType(_)
            | Ddl::DropTypes { .. }
            | Ddl::Nothing(_),
        ) => {}
        Bound::Control(Control::Copy(copy)) => locks.push((copy.table.id, TableLock::RowExclusive)),
        Bound::Control(Control::LockTable { tables, mode, .. }) => {
            locks.extend(tables.iter().map(|table| (table.id, *mode)));
        }
        Bound::Control(Control::Analyze(tables) | Control::Vacuum { tables, .. }) => {
            locks.extend(tables.iter().map(|table| (table.id, TableLock::ShareUpdateExclusive)));
        }
        Bound::Control(_) => {}
    }
    locks
}

/// The tables whose definition a statement relies on, written ones first.
fn tables_of(bound: &Bound) -> (Vec<&Arc<Table>>, Vec<&Arc<Table>>) {
    let (mut written, read) = own_tables_of(bound);
    let relations = relations_of(bound).into_iter().flat_map(|relations| relations.tables.values());
    written.extend(relations.map(|related| &related.table));
    (written, read)
}

fn own_tables_of(bound: &Bound) -> (Vec<&Arc<Table>>, Vec<&Arc<Table>>) {
    match bound {
        Bound::Dml(statement) => {
            let parts = statement.parts();
            let written = parts.iter().filter_map(|part| part.target()).collect();
            (written, parts.iter().flat_map(|part| &part.source().tables).collect())
        }
        Bound::Ddl(
            Ddl::DropTable { tables, .. }
            | Ddl::Truncate { tables, .. }
            | Ddl::Schema(SchemaChange::Drop { tables, .. }),
        ) => (tables.iter().collect(), Vec::new()),
        Bound::Ddl(Ddl::CreateIndex { table, .. }) => (vec![table], Vec::new()),
        Bound::Ddl(Ddl::DropIndex(indexes)) => (indexes.iter().map(|(table, _)| table).collect(), Vec::new()),
        Bound::Ddl(Ddl::AlterTable { table, others, .. }) => {
            (std::iter::once(table).chain(others).collect(), Vec::new())
        }
        Bound::Ddl(Ddl::AlterSequence(_, table)) => (table.iter().collect(), Vec::new()),
        Bound::Ddl(
            Ddl::CreateTable(_)
            | Ddl::CreateView(_)
            | Ddl::DropView { .. }
            | Ddl::CreateSequence(_)
            | Ddl::Schema(_)
            | Ddl::Comment(..)
            | Ddl::CreateType(_)
            | Ddl::AlterType(_)
            | Ddl::DropTypes { .. }
            | Ddl::DropSequence { .. }
            | Ddl::Nothing(_),
        ) => (Vec::new(), Vec::new()),
        Bound::Control(Control::Copy(copy)) => (vec![&copy.table], Vec::new()),
        Bound::Control(
            Control::Analyze(tables) | Control::Vacuum { tables, .. } | Control::LockTable { tables, .. },
        ) => (tables.iter().collect(), Vec::new()),
        Bound::Control(_) => (Vec::new(), Vec::new()),
    }
}

/// The foreign keys around what a statement changes.
fn relations_of(bound: &Bound) -> Vec<&Arc<Relations>> {
    match bound {
        Bound::Dml(statement) => statement.parts().into_iter().filter_map(Statement::relations).collect(),
        Bound::Control(Control::Copy(copy)) => copy.relations.iter().collect(),
        _ => Vec::new(),
    }
}

/// The sequences whose definition a statement relies on, beside those of its tables' columns.
fn sequences_of(bound: &Bound) -> Vec<u32> {
    match bound {
        Bound::Dml(statement) => {
            statement.parts().into_iter().flat_map(|part| &part.source().sequences).copied().collect()
        }
        Bound::Ddl(Ddl::DropSequence { ids, .. }) => ids.clone(),
        Bound::Ddl(_) | Bound::Control(_) => Vec::new(),
    }
}

/// READ COMMITTED, now that the locks are held: whether the definitions of the statement's tables are still the newest.
async fn is_unchanged(
    db: &Arc<Inner>,
    cx: &Cx,
    scope: &Scope,
    bound: &Bound,
    planned_under: &Arc<Catalog>,
) -> Result<bool> {
    let (written, read) = tables_of(bound);
    let sequences = sequences_of(bound);
    if written.is_empty() && read.is_empty() && sequences.is_empty() {
        return Ok(true);
    }
    let epoch = db.schema.quiet_epoch();
    scope.txn.begin_statement()?;
    let newest = ddl::load_catalog(cx, &*scope.txn).await?;
    let same =
        |table: &&Arc<Table>| newest.table(&table.name).is_some_and(|newest| same_definition(newest, table));
    let same_sequence = |id: &u32| newest.sequences.get(id) == planned_under.sequences.get(id);
    let unchanged = written.iter().chain(&read).all(same) && sequences.iter().all(same_sequence);
    if let (true, Some(epoch), false) = (unchanged, epoch, scope.own.changed)
        && newest.version == planned_under.version
        && planned_under.temporary.is_none()
        && planned_under.path.is_none()
    {
        db.schema.offer(epoch, scope.txn.snapshot_timestamp(), planned_under);
    }
    Ok(unchanged)
}

/// Higher levels read by their snapshot's schema, but may write only under the newest: an index that the snapshot does not
/// know would miss the entry.
async fn check_written_definitions(db: &Arc<Inner>, cx: &Cx, scope: &Scope, bound: &Bound) -> Result<()> {
    let (written, _) = tables_of(bound);
    let Some(snapshot) = &scope.own.snapshot else { return Ok(()) };
    if written.is_empty() || db.schema.is_current(snapshot) {
        return Ok(());
    }
    let newest = {
        let options = TxnOptions { isolation: Isolation::ReadCommitted, read_only: true };
        let txn = db.store.begin(options, cx.now())?;
        ddl::load_catalog(cx, &*txn).await?
    };
    for table in written {
        let Some(before) = snapshot.table(&table.name) else { continue };
        if !newest.table(&table.name).is_some_and(|newest| same_definition(newest, before)) {
            let message = "could not serialize access due to a concurrent change of the table's definition";
            return Err(Error::new(SqlState::SERIALIZATION_FAILURE, message));
        }
    }
    Ok(())
}

fn refuse_writes(bound: &Bound) -> Result<()> {
    let what = match bound {
        Bound::Dml(Statement::Query(plan)) if plan.locks_rows() => "SELECT FOR UPDATE",
        Bound::Dml(Statement::Query(_)) => return Ok(()),
        Bound::Dml(Statement::Insert(_)) => "INSERT",
        Bound::Dml(Statement::Update(_)) => "UPDATE",
        Bound::Dml(Statement::Delete(_)) => "DELETE",
        Bound::Dml(Statement::Merge(_)) => "MERGE",
        Bound::Dml(Statement::With(_)) => "a change in WITH",
        Bound::Ddl(ddl) => crate::run::ddl_command(ddl),
        Bound::Control(Control::Copy(_)) => "COPY FROM",
        Bound::Control(Control::Analyze(_)) => "ANALYZE",
        Bound::Control(Control::Vacuum { .. }) => "VACUUM",
        Bound::Control(Control::TableAs(_)) => "CREATE TABLE AS",
        Bound::Control(_) => return Ok(()),
    };
    let message = format!("cannot execute {what} in a read-only transaction");
    Err(Error::new(SqlState::READ_ONLY_SQL_TRANSACTION, message))
}
