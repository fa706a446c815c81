//! COPY … FROM: from a file of the user's, or from bytes that the client hands over.

use crate::bind::{self, Ready, Scope};
use crate::plans::Prepared;
use crate::result::{Execution, Tag};
use crate::run::{self, Running};
use crate::session::{Session, StateGuard};
use crate::transaction;
use orrery_base::disk::{DiskOp, DiskReply};
use orrery_base::kv::{Savepoint, Transaction};
use orrery_base::task::Task;
use orrery_base::{Cx, Error, Result, SqlState};
use orrery_sql::bind::{Bound, Control, CopyFrom};
use orrery_sql::copy;
use std::sync::Arc;

/// Bytes read from a file at once.
const READ_BYTES: usize = 1 << 20;

/// COPY table FROM 'file'.
pub(crate) async fn from_file(
    running: &mut Running<'_>,
    copy: &CopyFrom,
    ready: &Ready,
) -> Result<Execution> {
    let Some(name) = &copy.file else {
        let message = "COPY FROM STDIN needs a client that sends the data";
        return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint("Use COPY FROM 'file'."));
    };
    let cx = running.cx;
    let open = DiskOp::OpenStream { name: name.clone(), write: false };
    let could_not_open = |error: orrery_base::disk::DiskError| {
        let error = Error::from(error);
        Error::new(error.code(), format!("could not open file \"{name}\" for reading: {}", error.message()))
    };
    let DiskReply::Stream(file) = cx.disk(open).await.map_err(could_not_open)? else {
        return Err(Error::internal("the driver opened no stream"));
    };
    let context = running.context(&ready.catalog, &[], &[])?;
    let mut into = copy::CopyIn::new(copy.clone(), context);
    let outcome = async {
        let mut offset = 0;
        loop {
            let piece = cx.read(file, offset, READ_BYTES).await?;
            if piece.is_empty() {
                return into.finish(cx).await;
            }
            offset += piece.len() as u64;
            into.write(cx, &piece).await?;
        }
    }
    .await;
    // Closes it, whatever came of it; nobody waits for that.
    drop(cx.submit(DiskOp::Remove { file }));
    Ok(Execution::Done(Tag::rows("COPY", outcome?)))
}

/// `COPY table FROM STDIN` under way. Dropping it unfinished undoes it.
pub struct CopyIn {
    session: Session,
    state: StateGuard,
    scope: Scope,
    start: Savepoint,
    into: Option<copy::CopyIn>,
}

impl CopyIn {
    pub(crate) async fn begin(session: &Session, cx: &Cx, prepared: &Arc<Prepared>) -> Result<CopyIn> {
        let mut state = session.slot.take()?;
        if state.explicit.as_ref().is_some_and(|explicit| explicit.failed) {
            return Err(run::failed_transaction());
        }
        if let Err(error) = run::refuse_open_rows(&state) {
            state.ended_well();
            return Err(error);
        }
        let is_implicit = state.explicit.is_none();
        let mut scope = run::scope(session, cx, &mut state)?;
        let start = scope.txn.savepoint();
        let ready = bind::prepare_to_run(&session.db, cx, &mut scope, prepared).await?;
        let Bound::Control(Control::Copy(copy @ CopyFrom { file: None, .. })) = &*ready.bound else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "the statement is not COPY … FROM STDIN"));
        };
        let running =
            Running { session, cx, state: &mut state, scope: &mut scope, deadline: None, is_implicit };
        let context = running.context(&ready.catalog, &[], &[])?;
        let into = Some(copy::CopyIn::new(copy.clone(), context));
        Ok(CopyIn { session: session.clone(), state, scope, start, into })
    }

    /// Feeds bytes, cut anywhere. After an error the COPY is over and undone.
    pub fn write(mut self, bytes: Vec<u8>) -> Task<Result<CopyIn>> {
        let (world, cancel) = (self.session.db.world.clone(), self.session.cancel_handle());
        Task::with_cancel(world, cancel, move |cx| async move {
            let into = self.into.as_mut().ok_or_else(|| Error::internal("a COPY was used after its end"))?;
            into.write(&cx, &bytes).await?;
            Ok(self)
        })
    }

    /// Ends it: commits when it is a transaction of its own.
    pub fn finish(mut self) -> Task<Result<Tag>> {
        let (world, cancel) = (self.session.db.world.clone(), self.session.cancel_handle());
        Task::with_cancel(world, cancel, move |cx| async move {
            let into = self.into.take().ok_or_else(|| Error::internal("a COPY was used after its end"))?;
            let count = match into.finish(&cx).await {
                Ok(count) => count,
                Err(error) => {
                    self.undo();
                    return Err(error);
                }
            };
            match &mut self.state.explicit {
                Some(explicit) => explicit.own = self.scope.own.clone(),
                None => drop(transaction::commit(&self.session.db, &cx, &self.scope.txn, false).await?),
            }
            self.state.ended_well();
            Ok(Tag::rows("COPY", count))
        })
    }

    fn undo(&mut self) {
        if self.state.explicit.is_some() {
            self.scope.txn.rollback_to(self.start);
        } else {
            self.scope.txn.rollback();
        }
    }
}

impl Drop for CopyIn {
    fn drop(&mut self) {
        if self.into.take().is_some() {
            self.undo();
        }
    }
}
