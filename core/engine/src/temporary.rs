//! Temporary tables, views and sequences: each session that makes some has a number, which their stored names begin with.
//!
//! Invariants:
//! 1. No two sessions of an open database have the same number, and none has one under which the catalog holds tables of a
//!    session before it: numbers only grow, beyond all that the catalog knew when the session took its own.
//! 2. What sessions that are gone have left is dropped by the next session that takes a number outside of a transaction block.

use crate::bind::{self, Scope};
use crate::database::Inner;
use crate::run::Running;
use crate::session::{Session, StateGuard};
use crate::transaction;
use orrery_base::kv::{Isolation, Transaction};
use orrery_base::task::lock;
use orrery_base::{Cx, Error, Result};
use orrery_sql::catalog::{Catalog, TEMPORARY, is_temporary};
use orrery_sql::ddl::{self, Ddl};
use orrery_sql::parse::ast::Statement;
use orrery_store::TxnOptions;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// The numbers that sessions have.
#[derive(Default)]
pub(crate) struct TemporaryNumbers(Mutex<Numbers>);

#[derive(Default)]
struct Numbers {
    last: u64,
    live: BTreeSet<u64>,
}

/// A session's place for temporary tables. Dropped with the session.
pub(crate) struct TemporarySpace {
    db: Arc<Inner>,
    number: u64,
    prefix: Arc<str>,
    /// The newest catalog, and how the session sees it.
    seen: Mutex<Option<(Arc<Catalog>, Arc<Catalog>)>>,
}

impl Drop for TemporarySpace {
    fn drop(&mut self) {
        lock(&self.db.temporary.0).live.remove(&self.number);
    }
}

impl TemporarySpace {
    /// The catalog as the session sees it.
    pub(crate) fn view(&self, catalog: &Arc<Catalog>) -> Arc<Catalog> {
        if catalog.temporary.is_some() {
            return catalog.clone();
        }
        let mut seen = lock(&self.seen);
        if let Some((base, view)) = &*seen
            && Arc::ptr_eq(base, catalog)
        {
            return view.clone();
        }
        let view = Arc::new(Catalog { temporary: Some(self.prefix.clone()), ..(**catalog).clone() });
        *seen = Some((catalog.clone(), view.clone()));
        view
    }

    /// What a user reads: stored names without their beginning.
    pub(crate) fn shown(&self, text: &str) -> String {
        text.replace(&*self.prefix, "")
    }

    /// An error as a user reads it.
    pub(crate) fn shown_error(&self, error: Error) -> Error {
        if !error.message().contains(&*self.prefix)
            && !error.detail().is_some_and(|it| it.contains(&*self.prefix))
        {
            return error;
        }
        let mut shown = Error::new(error.code(), self.shown(error.message()));
        if let Some(position) = error.position() {
            shown = shown.at(position);
        }
        if let Some(detail) = error.detail() {
            shown = shown.with_detail(self.shown(detail));
        }
        if let Some(hint) = error.hint() {
            shown = shown.with_hint(self.shown(hint));
        }
        shown
    }
}

/// Whether a statement makes a temporary table.
pub(crate) fn makes_one(statement: &Statement) -> bool {
    match statement {
        Statement::CreateTable(create) => create.temporary,
        Statement::CreateTableAs(create) => create.temporary,
        Statement::CreateView(create) => create.temporary,
        Statement::CreateSequence(create) => create.temporary,
        _ => false,
    }
}

/// The number under which a temporary relation is stored.
fn number_of(name: &str) -> Option<u64> {
    is_temporary(name).then_some(())?;
    name.strip_prefix(TEMPORARY)?.split_once('.')?.0.parse().ok()
}

/// Gives the session a place for temporary tables, if it has none.
pub(crate) async fn claim(session: &Session, cx: &Cx, state: &mut StateGuard) -> Result<()> {
    if state.temporary.is_some() {
        return Ok(());
    }
    let db = &session.db;
    let options = TxnOptions { isolation: Isolation::ReadCommitted, read_only: false };
    let txn = db.store.begin(options, cx.now())?;
    let mut scope = Scope {
        txn,
        isolation: Isolation::ReadCommitted,
        read_only: false,
        settings: state.settings.bind_settings(),
        start: cx.now(),
        own: bind::OwnCatalog::default(),
        temporary: None,
        path: state.path.clone(),
        is_past: false,
        is_locking: false,
    };
    scope.txn.begin_statement()?;
    let (catalog, _) = bind::catalog(db, cx, &mut scope).await?;
    let names = temporary_names(&catalog);
    let (number, is_left) = {
        let mut numbers = lock(&db.temporary.0);
        numbers.last = names.iter().copied().max().unwrap_or(0).max(numbers.last) + 1;
        let number = numbers.last;
        numbers.live.insert(number);
        (number, names.iter().any(|it| !numbers.live.contains(it)))
    };
    let prefix = Arc::from(format!("{TEMPORARY}{number}."));
    state.temporary =
        Some(Arc::new(TemporarySpace { db: db.clone(), number, prefix, seen: Mutex::default() }));
    // A transaction of one's own would wait for locks that the open block holds.
    if !is_left || state.explicit.is_some() {
        scope.txn.rollback();
        return Ok(());
    }
    let running = Running { session, cx, state, scope: &mut scope, deadline: None, is_implicit: true };
    let context = running.context(&catalog, &[], &[])?;
    let mut dropped = Ok((*catalog).clone());
    for drop in [left_views, left_tables, left_sequences] {
        if let Ok(catalog) = &dropped
            && let Some(ddl) = drop(catalog, &|name| is_gone(db, name))
        {
            dropped = ddl::execute(cx, &context, &Arc::new(catalog.clone()), ddl).await;
        }
    }
    match dropped {
        Ok(_) => transaction::commit(db, cx, &scope.txn, true).await.map(drop),
        Err(_) => {
            // Another session was first.
            scope.txn.rollback();
            Ok(())
        }
    }
}

/// The numbers under which the catalog holds something.
fn temporary_names(catalog: &Catalog) -> BTreeSet<u64> {
    let tables = catalog.tables.values().map(|table| &table.name);
    let views = catalog.views.values().map(|view| &view.name);
    let sequences = catalog.sequences.values().filter_map(|sequence| sequence.name.as_ref());
    tables.chain(views).chain(sequences).filter_map(|name| number_of(name)).collect()
}

/// Whether it belonged to a session that is gone.
fn is_gone(db: &Inner, name: &str) -> bool {
    number_of(name).is_some_and(|it| !lock(&db.temporary.0).live.contains(&it))
}

type IsGone<'a> = &'a dyn Fn(&str) -> bool;

fn left_views(catalog: &Catalog, is_gone: IsGone<'_>) -> Option<Ddl> {
    let views: Vec<_> = catalog.views.values().filter(|view| is_gone(&view.name)).cloned().collect();
    (!views.is_empty()).then_some(Ddl::DropView { views, cascade: true })
}

fn left_tables(catalog: &Catalog, is_gone: IsGone<'_>) -> Option<Ddl> {
    let tables: Vec<_> = catalog.tables.values().filter(|table| is_gone(&table.name)).cloned().collect();
    (!tables.is_empty()).then_some(Ddl::DropTable { tables, cascade: true })
}

fn left_sequences(catalog: &Catalog, is_gone: IsGone<'_>) -> Option<Ddl> {
    let is_left = |name: &Option<String>| name.as_deref().is_some_and(is_gone);
    let left = catalog.sequences.values().filter(|sequence| is_left(&sequence.name));
    let ids: Vec<u32> = left.map(|sequence| sequence.id).collect();
    (!ids.is_empty()).then_some(Ddl::DropSequence { ids, cascade: true })
}
