//! Temporary tables: each session that makes some has a number, which the stored names of its tables begin with.
//!
//! Invariants:
//! 1. No two sessions of an open database have the same number, and none has one under which the catalog holds tables of a
//!    session before it: numbers only grow, beyond all that the catalog knew when the session took its own.
//! 2. Tables of sessions that are gone are dropped by the next session that takes a number outside of a transaction block.

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
    let known = catalog.tables.values().filter_map(|table| number_of(&table.name));
    let (number, left) = {
        let mut numbers = lock(&db.temporary.0);
        numbers.last = known.max().unwrap_or(0).max(numbers.last) + 1;
        let number = numbers.last;
        numbers.live.insert(number);
        let is_left = |name: &str| number_of(name).is_some_and(|it| !numbers.live.contains(&it));
        let left = catalog.tables.values().filter(|table| is_left(&table.name)).cloned().collect::<Vec<_>>();
        (number, left)
    };
    let prefix = Arc::from(format!("{TEMPORARY}{number}."));
    state.temporary =
        Some(Arc::new(TemporarySpace { db: db.clone(), number, prefix, seen: Mutex::default() }));
    // A transaction of one's own would wait for locks that the open block holds.
    if left.is_empty() || state.explicit.is_some() {
        scope.txn.rollback();
        return Ok(());
    }
    let running = Running { session, cx, state, scope: &mut scope, deadline: None, is_implicit: true };
    let context = running.context(&catalog, &[], &[])?;
    let dropped = ddl::execute(cx, &context, &catalog, Ddl::DropTable { tables: left, cascade: true }).await;
    match dropped {
        Ok(_) => transaction::commit(db, cx, &scope.txn, true).await.map(drop),
        Err(_) => {
            // Another session was first.
            scope.txn.rollback();
            Ok(())
        }
    }
}
