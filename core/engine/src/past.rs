//! `AS OF SYSTEM TIME`: a statement that reads in a transaction of its own, whose snapshot lies in the past, under the
//! schema of then.

use crate::bind::{OwnCatalog, Scope};
use crate::plans::Prepared;
use crate::result::Execution;
use crate::run::{Params, Running};
use orrery_base::kv::Isolation;
use orrery_base::{Error, Result, SqlState, Timestamp};
use orrery_sql::bind::{self, Bound};
use orrery_sql::columns::datum_at;
use orrery_sql::datum::Datum;
use orrery_sql::exec::Query;
use orrery_sql::parse::{self, AsOf};
use orrery_sql::plan::Statement;
use std::sync::Arc;

impl Running<'_> {
    /// The statement's time as the clock of commits has it. Errors: those of the expression, 22023 and 22007 for what is no
    /// time, 0A000 for an expression that reads tables.
    async fn time_of(&mut self, as_of: &AsOf) -> Result<Timestamp> {
        let raw = self.constant(&as_of.text).await?;
        let is_ago = match &raw {
            Datum::Interval(_) => true,
            Datum::Text(text) => text.trim_start().starts_with('-'),
            _ => false,
        };
        let text = &as_of.text;
        let moment = match is_ago {
            true => self.constant(&format!("statement_timestamp() + ({text})::interval")).await?,
            false => self.constant(&format!("({text})::timestamptz")).await?,
        };
        match moment {
            // All that was committed within this microsecond.
            Datum::Timestamptz(micros) if (0..i64::MAX >> 12).contains(&micros) => {
                Ok(Timestamp(Timestamp::from_micros(micros as u64 + 1).0 - 1))
            }
            _ => Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "AS OF SYSTEM TIME is not a time that can be read",
            )),
        }
    }

    async fn constant(&mut self, text: &str) -> Result<Datum> {
        let parsed = parse::statements(&format!("select {text}"))?.pop();
        let parsed = parsed.ok_or_else(|| Error::internal("a SELECT is a statement"))?;
        let (catalog, _) = crate::bind::catalog(&self.session.db, self.cx, self.scope).await?;
        let Bound::Dml(Statement::Query(plan)) = bind::bind(&parsed, &catalog, &[], self.scope.settings)?
        else {
            return Err(Error::internal("a SELECT is a query"));
        };
        if !plan.tables.is_empty() || !plan.sequences.is_empty() {
            return Err(Error::unsupported("AS OF SYSTEM TIME with an expression that is not constant"));
        }
        let ty = plan.root.fields[0].ty;
        let context = self.context(&catalog, &[], &[])?;
        let mut query = Query::open(Arc::new(plan), context);
        match query.next(self.cx).await? {
            Some(batch) => datum_at(&*batch.columns[0], ty, 0),
            None => Ok(Datum::Null),
        }
    }

    /// Runs a statement in a transaction of its own at the statement's time. Errors: those of [`Running::time_of`] and
    /// `orrery_store::Store::begin_at` (72000, 22023).
    pub(crate) async fn in_the_past(
        &mut self,
        as_of: &AsOf,
        prepared: &Arc<Prepared>,
        params: Params,
    ) -> Result<Execution> {
        let mut scope = self.scope_of_then(as_of).await?;
        let mut then = Running { scope: &mut scope, ..self.reborrow() };
        Box::pin(then.prepared(prepared, params)).await
    }

    /// What a statement with AS OF runs in.
    pub(crate) async fn scope_of_then(&mut self, as_of: &AsOf) -> Result<Scope> {
        let at = self.time_of(as_of).await.map_err(|error| error.at(as_of.at))?;
        let txn = self.session.db.store.begin_at(self.cx, at).await.map_err(|error| error.at(as_of.at))?;
        Ok(Scope {
            txn,
            isolation: Isolation::RepeatableRead,
            read_only: true,
            settings: self.scope.settings,
            start: self.scope.start,
            own: OwnCatalog::default(),
            // What is temporary has no past.
            temporary: None,
            path: self.scope.path.clone(),
            is_past: true,
            is_locking: false,
        })
    }
}
