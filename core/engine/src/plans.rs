//! Prepared statements and the plan cache. A statement is parsed once a text, and bound and planned once a version of the
//! catalog.

use crate::statements::StatementFigures;
use orrery_base::task::lock;
use orrery_base::{Error, Result, SqlState};
use orrery_sql::bind::{self, BindSettings, Bound};
use orrery_sql::catalog::Catalog;
use orrery_sql::exec::point::PointPlan;
use orrery_sql::parse::{self, AsOf, Parsed, ast};
use orrery_sql::plan::{Field, Statement};
use orrery_sql::types::SqlType;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

/// A parsed statement with its latest plan.
pub struct Prepared {
    pub(crate) parsed: Arc<Parsed>,
    declared: Vec<SqlType>,
    planned: Mutex<Option<Planned>>,
    /// Where what it does is counted.
    pub(crate) figures: OnceLock<Arc<StatementFigures>>,
}

/// A statement bound and planned under one catalog and one session's settings.
#[derive(Clone)]
pub(crate) struct Planned {
    pub(crate) catalog: Arc<Catalog>,
    settings: BindSettings,
    pub(crate) bound: Arc<Bound>,
    /// The short path, when it is a point statement.
    pub(crate) point: Option<Arc<PointPlan>>,
}

impl Prepared {
    /// Wraps a parsed statement. `declared`: parameter types given beforehand.
    pub fn new(parsed: Arc<Parsed>, declared: Vec<SqlType>) -> Self {
        Prepared { parsed, declared, planned: Mutex::new(None), figures: OnceLock::new() }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.parsed.text
    }

    /// Whether it is a SELECT.
    pub fn is_query(&self) -> bool {
        matches!(self.parsed.statement, ast::Statement::Query(_))
    }

    /// Whether it is `COPY … TO STDOUT`.
    pub fn is_copy_out(&self) -> bool {
        matches!(&self.parsed.statement, ast::Statement::CopyTo(copy) if copy.file.is_none())
    }

    /// Whether it is about the transaction or the session (BEGIN, COMMIT, SET, CHECKPOINT, …) and so needs no transaction
    /// begun for it.
    pub fn is_control(&self) -> bool {
        use ast::Statement as Ast;
        matches!(
            self.parsed.statement,
            Ast::Begin(_)
                | Ast::Commit { .. }
                | Ast::Rollback { .. }
                | Ast::Savepoint(_)
                | Ast::Release(_)
                | Ast::RollbackTo(_)
                | Ast::SetTransaction { .. }
                | Ast::Set { .. }
                | Ast::Reset(_)
                | Ast::Show(_)
                | Ast::Deallocate(_)
                | Ast::Fetch(_)
                | Ast::Close(_)
                | Ast::Checkpoint
                | Ast::AlterSystem { .. }
        )
    }

    /// Whether it is an INSERT.
    pub fn is_insert(&self) -> bool {
        matches!(self.parsed.statement, ast::Statement::Insert(_))
    }

    /// Whether it ends the transaction by undoing it.
    pub fn is_rollback(&self) -> bool {
        matches!(self.parsed.statement, ast::Statement::Rollback { .. })
    }

    /// The same SELECT, reading at a moment in microseconds since the Unix epoch, as `AS OF SYSTEM TIME` in its text would. Errors:
    /// 42601 for what is no SELECT, or has a time of its own.
    pub fn as_of(&self, micros: u64) -> Result<Prepared> {
        if !self.is_query() || self.parsed.as_of.is_some() {
            let message = "only a SELECT without AS OF SYSTEM TIME of its own can be read at another time";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        let text = format!("timestamptz 'epoch' + interval '{micros} microseconds'").into();
        let parsed = Parsed { as_of: Some(AsOf { text, at: 0 }), ..(*self.parsed).clone() };
        Ok(Prepared::new(Arc::new(parsed), self.declared.clone()))
    }

    /// The output columns of a SELECT under its latest plan, if it has one.
    pub fn fields(&self) -> Option<Vec<Field>> {
        match &*lock(&self.planned).as_ref()?.bound {
            Bound::Dml(Statement::Query(plan)) => Some(plan.root.fields.clone()),
            _ => None,
        }
    }

    /// Whether [`Prepared::fields`] are these; copies nothing.
    pub fn has_fields(&self, fields: &[Field]) -> bool {
        matches!(
            lock(&self.planned).as_ref().map(|planned| &*planned.bound),
            Some(Bound::Dml(Statement::Query(plan))) if plan.root.fields == fields
        )
    }

    /// How many parameters it has.
    pub fn param_count(&self) -> usize {
        self.parsed.param_count as usize
    }

    /// The statement bound and planned under this catalog and these settings. Errors: every error of names and types, with position.
    pub(crate) fn bind(&self, catalog: &Arc<Catalog>, settings: BindSettings) -> Result<Planned> {
        if let Some(planned) = &*lock(&self.planned)
            && Arc::ptr_eq(&planned.catalog, catalog)
            && planned.settings == settings
        {
            return Ok(planned.clone());
        }
        let bound = Arc::new(bind::bind(&self.parsed, catalog, &self.declared, settings)?);
        let point = match &*bound {
            // The short path reads the present.
            Bound::Dml(statement) if self.parsed.as_of.is_none() => PointPlan::new(statement).map(Arc::new),
            _ => None,
        };
        let planned = Planned { catalog: catalog.clone(), settings, bound, point };
        *lock(&self.planned) = Some(planned.clone());
        Ok(planned)
    }
}

/// Statements of one text that were run before, by text; the least recently used go first.
#[derive(Default)]
pub(crate) struct PlanCache(Mutex<CacheState>);

#[derive(Default)]
struct CacheState {
    by_text: BTreeMap<Arc<str>, Entry>,
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
    bytes: usize,
}

struct Entry {
    prepared: Arc<Prepared>,
    used: u64,
}

/// Texts longer than this are not worth keeping.
const CACHED_TEXT_BYTES_MAX: usize = 16 << 10;
/// Bytes of texts kept; a plan is a few times its text.
const CACHE_BYTES_MAX: usize = 1 << 20;

impl PlanCache {
    /// The statement of a text that holds exactly one.
    pub(crate) fn get(&self, text: &str) -> Result<Arc<Prepared>> {
        let mut state = lock(&self.0);
        state.uses += 1;
        let now = state.uses;
        if let Some(entry) = state.by_text.get_mut(text) {
            let before = std::mem::replace(&mut entry.used, now);
            let prepared = entry.prepared.clone();
            if let Some(key) = state.by_use.remove(&before) {
                state.by_use.insert(now, key);
            }
            return Ok(prepared);
        }
        drop(state);
        let prepared = Arc::new(Prepared::new(Arc::new(parse_one(text)?), Vec::new()));
        if text.len() <= CACHED_TEXT_BYTES_MAX {
            self.insert(Arc::from(text), prepared.clone());
        }
        Ok(prepared)
    }

    fn insert(&self, text: Arc<str>, prepared: Arc<Prepared>) {
        let mut state = lock(&self.0);
        state.uses += 1;
        let used = state.uses;
        if let Some(old) = state.by_text.insert(text.clone(), Entry { prepared, used }) {
            state.by_use.remove(&old.used);
        } else {
            state.bytes += text.len();
        }
        state.by_use.insert(used, text);
        while state.bytes > CACHE_BYTES_MAX {
            let Some((_, oldest)) = state.by_use.pop_first() else { break };
            state.by_text.remove(&oldest);
            state.bytes -= oldest.len();
        }
    }
}

/// Parses a text that must hold one statement. Errors: 42601 when it holds none or several.
fn parse_one(text: &str) -> Result<Parsed> {
    let mut all = parse::statements(text)?;
    match (all.pop(), all.is_empty()) {
        (Some(parsed), true) => Ok(parsed),
        (None, _) => Err(syntax("no statement in the text")),
        (Some(second), false) => {
            Err(syntax("cannot insert multiple commands into a prepared statement")
                .at(second.offset_chars + 1))
        }
    }
}

fn syntax(message: &str) -> Error {
    Error::new(orrery_base::SqlState::SYNTAX_ERROR, message)
}
