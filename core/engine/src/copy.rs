//! COPY: from a file of the user's or from bytes that the client hands over; to a file, or as bytes for the client.

use crate::bind::{self, Ready, Scope};
use crate::plans::Prepared;
use crate::result::{Execution, Rows, Tag};
use crate::run::{self, Params, Running};
use crate::session::{Session, StateGuard};
use crate::transaction;
use orrery_base::AlignedBuf;
use orrery_base::disk::{DiskOp, DiskReply, FileId};
use orrery_base::kv::{Savepoint, Transaction};
use orrery_base::task::Task;
use orrery_base::{Cx, Error, Result, SqlState};
use orrery_sql::bind::{Bound, Control, CopyFrom, CopyTo};
use orrery_sql::copy;
use std::sync::Arc;

/// Bytes read from a file at once.
const READ_BYTES: usize = 1 << 20;
/// Bytes gathered before they are written to a file.
const WRITE_BYTES: usize = 256 << 10;

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
    let file = open(cx, name, false).await?;
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

/// The statement is no such COPY.
pub(crate) fn is_none(what: &str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, format!("the statement is not {what}"))
}

/// COPY … TO. `takes`: the client takes the bytes; the rows they are made of come then (see [`CopyOut`]).
pub(crate) async fn to(running: &mut Running<'_>, copy: &CopyTo, takes: bool) -> Result<Execution> {
    let source = Arc::new(Prepared::new(copy.source.clone(), Vec::new()));
    let none = || Params::One(Vec::new());
    let no_rows = || Error::internal("a COPY of what gives no rows");
    let Some(name) = &copy.file else {
        if !takes {
            let message = "COPY TO STDOUT needs a client that takes the data";
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint("Use COPY TO 'file'."));
        }
        // One level deep: it is a query, or a change of rows.
        let Execution::Rows(rows) = Box::pin(running.prepared(&source, none())).await? else {
            return Err(no_rows());
        };
        let out = copy::CopyOut::new(copy.format.clone(), rows.fields(), rows.format())?;
        return Ok(Execution::Rows(rows.with_copy(out)));
    };
    if takes {
        return Err(is_none("COPY … TO STDOUT"));
    }
    // It commits when the file is written.
    let mut whole = Running { is_implicit: false, ..running.reborrow() };
    let Execution::Rows(mut rows) = Box::pin(whole.prepared(&source, none())).await? else {
        return Err(no_rows());
    };
    let mut out = copy::CopyOut::new(copy.format.clone(), rows.fields(), rows.format())?;
    let cx = running.cx;
    let file = open(cx, name, true).await?;
    let outcome = async {
        let (mut offset, mut row_count, mut text) = (0, 0, String::new());
        out.header(&mut text);
        loop {
            let batch = rows.pull(cx).await?;
            if let Some(batch) = &batch {
                row_count += batch.row_count as u64;
                out.rows(batch, &mut text)?;
            }
            if text.len() >= WRITE_BYTES || batch.is_none() && !text.is_empty() {
                cx.write(file, offset, AlignedBuf::from(text.as_bytes())).await?;
                offset += text.len() as u64;
                text.clear();
            }
            if batch.is_none() {
                return Ok::<u64, Error>(row_count);
            }
        }
    }
    .await;
    // As above.
    drop(cx.submit(DiskOp::Remove { file }));
    Ok(Execution::Done(Tag::rows("COPY", outcome?)))
}

/// Opens a file of the user's.
async fn open(cx: &Cx, name: &str, write: bool) -> Result<FileId> {
    let could_not_open = |error: orrery_base::disk::DiskError| {
        let error = Error::from(error);
        let what = if write { "writing" } else { "reading" };
        Error::new(error.code(), format!("could not open file \"{name}\" for {what}: {}", error.message()))
    };
    let open = DiskOp::OpenStream { name: name.to_owned(), write };
    match cx.disk(open).await.map_err(could_not_open)? {
        DiskReply::Stream(file) => Ok(file),
        _ => Err(Error::internal("the driver opened no stream")),
    }
}

/// `COPY … TO STDOUT` under way. Dropping it ends it.
pub struct CopyOut {
    rows: Rows,
    out: copy::CopyOut,
    row_count: u64,
}

impl CopyOut {
    pub(crate) fn of(execution: Execution) -> Result<CopyOut> {
        let Execution::Rows(mut rows) = execution else { return Err(is_none("COPY … TO STDOUT")) };
        let out = rows.take_copy().ok_or_else(|| is_none("COPY … TO STDOUT"))?;
        Ok(CopyOut { rows, out, row_count: 0 })
    }

    /// The next bytes, some rows whole; `None` at the end. After an error there is nothing more. The task borrows nothing: it may be
    /// dropped, which ends the COPY.
    pub fn next(mut self) -> Task<Result<(CopyOut, Option<Vec<u8>>)>> {
        let (world, cancel) = self.rows.world_and_cancel();
        let deadline = self.rows.deadline();
        let task = Task::with_cancel(world, cancel, move |cx| async move {
            let mut text = String::new();
            self.out.header(&mut text);
            if let Some(batch) = self.rows.pull(&cx).await? {
                self.row_count += batch.row_count as u64;
                self.out.rows(&batch, &mut text)?;
            }
            // A batch that is left has rows, and a row has at least its end.
            let bytes = (!text.is_empty()).then(|| text.into_bytes());
            Ok((self, bytes))
        });
        task.cx().set_deadline(deadline);
        task
    }

    /// The command tag, right once `next` gave `None`.
    pub fn tag(&self) -> Tag {
        Tag::rows("COPY", self.row_count)
    }
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
            return Err(is_none("COPY … FROM STDIN"));
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
