//! The session's transaction: explicit between BEGIN and COMMIT, implicit around a single statement.

use crate::Settings;
use crate::bind::OwnCatalog;
use crate::database::Inner;
use crate::schema::ChangeInFlight;
use orrery_base::kv::{Savepoint, Transaction};
use orrery_base::{Cx, Error, Result, SqlState, Timestamp};
use orrery_sql::parse::ast::Level;
use orrery_store::{Txn, TxnOptions};
use std::sync::Arc;

/// An open explicit transaction. The store's transaction begins with its first statement, so that its snapshot is that
/// statement's (as in PostgreSQL).
pub(crate) struct Explicit {
    pub(crate) level: Level,
    pub(crate) read_only: bool,
    pub(crate) deferrable: bool,
    /// Begun at (its `now()`).
    pub(crate) start: u64,
    pub(crate) txn: Option<Arc<Txn>>,
    /// What it knows of the schema by itself.
    pub(crate) own: OwnCatalog,
    /// Above READ COMMITTED: nothing but LOCK TABLE was run, and the snapshot is still to be taken.
    pub(crate) only_locked: bool,
    /// A statement failed: only ROLLBACK is taken (25P02).
    pub(crate) failed: bool,
    savepoints: Vec<NamedSavepoint>,
    /// Settings as they were before the transaction's first SET: what ROLLBACK goes back to.
    settings_at_begin: Option<Box<Settings>>,
    /// Settings without what SET LOCAL did, once it did: what COMMIT goes back to.
    settings_session: Option<Box<Settings>>,
    /// A result of it is still being read while this is shared.
    pub(crate) open_rows: std::sync::Weak<()>,
}

/// Whether nothing but LOCK TABLE has been run in the open transaction, and it is to see all of what was committed before its
/// first query.
pub(crate) fn may_take_snapshot_later(state: &crate::session::State) -> bool {
    let explicit = state.explicit.as_ref();
    explicit.is_some_and(|explicit| {
        let begun = explicit.txn.is_some() && !explicit.only_locked;
        explicit.level.isolation() != orrery_base::kv::Isolation::ReadCommitted && !begun
    })
}

struct NamedSavepoint {
    name: String,
    /// `None`: before the first statement, when there was nothing to go back over.
    at: Option<Savepoint>,
    own: OwnCatalog,
    /// The settings in force, and [`Explicit::settings_session`].
    settings: Settings,
    settings_session: Option<Box<Settings>>,
    /// How many cursors had been declared.
    cursor_count: u64,
    read_only: bool,
}

impl Explicit {
    pub(crate) fn new(level: Level, read_only: bool, start: u64) -> Self {
        Explicit {
            level,
            read_only,
            deferrable: false,
            start,
            txn: None,
            own: OwnCatalog::default(),
            only_locked: false,
            failed: false,
            savepoints: Vec::new(),
            settings_at_begin: None,
            settings_session: None,
            open_rows: std::sync::Weak::new(),
        }
    }

    /// The store's transaction, begun if it was not yet.
    pub(crate) fn txn(&mut self, db: &Arc<Inner>, now: u64) -> Result<Arc<Txn>> {
        if let Some(txn) = &self.txn {
            return Ok(txn.clone());
        }
        let options = TxnOptions { isolation: self.level.isolation(), read_only: self.read_only };
        let txn = db.store.begin(options, now)?;
        // Savepoints taken before the first statement go back to its beginning.
        let beginning = txn.savepoint();
        for savepoint in &mut self.savepoints {
            savepoint.at.get_or_insert(beginning);
        }
        self.txn = Some(txn.clone());
        Ok(txn)
    }

    /// SAVEPOINT name
    pub(crate) fn savepoint(&mut self, name: String, settings: &Settings, cursor_count: u64) {
        self.savepoints.push(NamedSavepoint {
            name,
            at: self.txn.as_ref().map(|txn| txn.savepoint()),
            own: self.own.clone(),
            settings: settings.clone(),
            settings_session: self.settings_session.clone(),
            cursor_count,
            read_only: self.read_only,
        });
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.savepoints.iter().rposition(|savepoint| savepoint.name == name).ok_or_else(|| {
            let message = format!("savepoint \"{name}\" does not exist");
            Error::new(SqlState::INVALID_SAVEPOINT_SPECIFICATION, message)
        })
    }

    /// RELEASE name: it and later ones are forgotten, what was done stays. Errors: 3B001.
    pub(crate) fn release(&mut self, name: &str) -> Result<()> {
        let at = self.find(name)?;
        self.read_only = self.savepoints[at].read_only;
        self.savepoints.truncate(at);
        Ok(())
    }

    /// ROLLBACK TO name: undoes what came after; the savepoint stays; a failed transaction is whole again. Answers the
    /// settings to go back to, and how many cursors had been declared. Errors: 3B001.
    pub(crate) fn rollback_to(&mut self, name: &str) -> Result<(Settings, u64)> {
        let at = self.find(name)?;
        self.savepoints.truncate(at + 1);
        let savepoint = &self.savepoints[at];
        if let (Some(txn), Some(at)) = (&self.txn, savepoint.at) {
            txn.rollback_to(at);
        }
        self.own = savepoint.own.clone();
        self.settings_session = savepoint.settings_session.clone();
        self.read_only = savepoint.read_only;
        self.failed = false;
        Ok((savepoint.settings.clone(), savepoint.cursor_count))
    }

    /// A setting is about to change: remembers what the transaction's end goes back to.
    pub(crate) fn before_set(&mut self, settings: &Settings, local: bool) {
        self.settings_at_begin.get_or_insert_with(|| Box::new(settings.clone()));
        if local {
            self.settings_session.get_or_insert_with(|| Box::new(settings.clone()));
        }
    }

    /// The settings that a plain SET changes beside those in force, after SET LOCAL.
    pub(crate) fn session_settings(&mut self) -> Option<&mut Settings> {
        self.settings_session.as_deref_mut()
    }

    /// The settings to go back to at the transaction's end, if they are not those in force.
    pub(crate) fn settings_after(&mut self, committed: bool) -> Option<Box<Settings>> {
        if committed { self.settings_session.take() } else { self.settings_at_begin.take() }
    }

    /// A statement failed: undoes what no savepoint keeps and gives back its locks at once, so that whoever waits for them
    /// goes on; the block stays, failed, until its end.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
        let Some(txn) = &self.txn else { return };
        match self.savepoints.last() {
            Some(NamedSavepoint { at: Some(at), .. }) => txn.rollback_to(*at),
            // A savepoint from before the first statement gets its place when the transaction begins.
            Some(NamedSavepoint { at: None, .. }) => {}
            None => txn.rollback(),
        }
    }

    /// Whether a result of this transaction is still being read.
    pub(crate) fn has_open_rows(&self) -> bool {
        self.open_rows.strong_count() > 0
    }
}

/// Commits, announcing a schema change around it. Answers the commit's timestamp.
pub(crate) async fn commit(
    db: &Arc<Inner>,
    cx: &Cx,
    txn: &Arc<Txn>,
    changed_schema: bool,
) -> Result<Timestamp> {
    let change: Option<ChangeInFlight> = changed_schema.then(|| db.schema.begin_change());
    let outcome = txn.commit(cx).await;
    if let Some(change) = change {
        change.done();
    }
    outcome
}
