//! What a statement gives: rows, or a tag.

use crate::database::Inner;
use crate::session::StateSlot;
use crate::statements::StatementRun;
use arrow_array::{ArrayRef, StringArray};
use orrery_base::task::{Cancel, Task};
use orrery_base::world::World;
use orrery_base::{Cx, Result};
use orrery_sql::copy::CopyOut;
use orrery_sql::exec::{Batch, Query};
use orrery_sql::plan::Field;
use orrery_sql::text::FormatSettings;
use orrery_sql::types::SqlType;
use orrery_store::Txn;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// The outcome of a statement.
pub enum Execution {
    /// It gives rows; they come as they are asked for.
    Rows(Rows),
    /// It is done.
    Done(Tag),
}

/// PostgreSQL's command tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// `INSERT`, `CREATE TABLE`, …
    pub command: &'static str,
    /// Rows concerned, where the command counts them.
    pub row_count: Option<u64>,
    /// What the user should know although it is no error (IF EXISTS found nothing).
    pub notice: Option<String>,
}

impl Tag {
    pub(crate) fn command(command: &'static str) -> Self {
        Tag { command, row_count: None, notice: None }
    }

    pub(crate) fn rows(command: &'static str, row_count: u64) -> Self {
        Tag { command, row_count: Some(row_count), notice: None }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row_count {
            Some(count) if self.command == "INSERT" => write!(f, "INSERT 0 {count}"),
            Some(count) => write!(f, "{} {count}", self.command),
            None => f.write_str(self.command),
        }
    }
}

/// Rows under way. Dropping them ends the statement.
pub struct Rows {
    fields: Vec<Field>,
    /// What the command counts as, once the rows are all there (`INSERT … RETURNING`).
    tag: Tag,
    source: Option<Source>,
    row_count: u64,
    link: Link,
    /// They are on their way into COPY's text.
    copy: Option<Box<CopyOut>>,
}

enum Source {
    Query(Box<Query>),
    Batches(VecDeque<Batch>),
}

/// What a result keeps of the session it came from.
pub(crate) struct Link {
    pub(crate) db: Arc<Inner>,
    pub(crate) cancel: Cancel,
    /// The implicit transaction that ends with the rows, or the explicit one that they keep alive.
    pub(crate) txn: Option<Arc<Txn>>,
    /// Where to note that an explicit transaction failed; dropping it tells the session that no rows are open.
    pub(crate) explicit: Option<(StateSlot, Arc<()>)>,
    pub(crate) deadline: Option<u64>,
    /// What texts of its values depend on.
    pub(crate) format: FormatSettings,
    /// Where its rows are counted.
    pub(crate) run: Option<Arc<StatementRun>>,
}

impl Link {
    /// For results that read nothing any more.
    pub(crate) fn detached(session: &crate::session::Session) -> Link {
        let (db, cancel) = (session.db.clone(), session.cancel().clone());
        let format = FormatSettings::default();
        Link { db, cancel, txn: None, explicit: None, deadline: None, format, run: None }
    }
}

impl Rows {
    pub(crate) fn of_query(query: Query, fields: Vec<Field>, link: Link) -> Self {
        let source = Some(Source::Query(Box::new(query)));
        Rows { fields, tag: Tag::rows("SELECT", 0), source, row_count: 0, link, copy: None }
    }

    pub(crate) fn with_copy(self, copy: CopyOut) -> Self {
        Rows { copy: Some(Box::new(copy)), ..self }
    }

    pub(crate) fn take_copy(&mut self) -> Option<CopyOut> {
        self.copy.take().map(|it| *it)
    }

    pub(crate) fn world_and_cancel(&self) -> (Arc<World>, Cancel) {
        (self.link.db.world.clone(), self.link.cancel.clone())
    }

    /// Until when they may be read.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.link.deadline
    }

    pub(crate) fn of_batches(batches: Vec<Batch>, fields: Vec<Field>, tag: Tag, link: Link) -> Self {
        Rows { fields, tag, source: Some(Source::Batches(batches.into())), row_count: 0, link, copy: None }
    }

    /// One text column.
    pub(crate) fn of_lines(name: &str, lines: Vec<String>, command: &'static str, link: Link) -> Self {
        let row_count = lines.len();
        let column: ArrayRef = Arc::new(StringArray::from(lines));
        let fields = vec![Field { name: name.to_owned(), ty: SqlType::Text }];
        let batch = Batch { columns: vec![column], row_count };
        Rows::of_batches(vec![batch], fields, Tag::command(command), link)
    }

    /// They are counted as this statement's.
    pub(crate) fn count_in(&mut self, run: Arc<StatementRun>) {
        self.link.run = Some(run);
    }

    /// The columns.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// What texts of its values depend on: the session's settings when the statement began.
    pub fn format(&self) -> FormatSettings {
        self.link.format
    }

    /// The command tag; its count is right once `next` gave `None`.
    pub fn tag(&self) -> Tag {
        let mut tag = self.tag.clone();
        if tag.command == "SELECT" {
            tag.row_count = Some(self.row_count);
        }
        tag
    }

    /// The next batch; `None` at the end. After an error there is nothing more. The task borrows nothing: it may be dropped,
    /// which ends the statement.
    pub fn next_batch(mut self) -> Task<Result<(Rows, Option<Batch>)>> {
        let (world, cancel) = (self.link.db.world.clone(), self.link.cancel.clone());
        let deadline = self.link.deadline;
        let task = Task::with_cancel(world, cancel, move |cx| async move {
            if let Some(run) = &self.link.run {
                run.measure(&cx);
            }
            let batch = self.pull(&cx).await?;
            Ok((self, batch))
        });
        task.cx().set_deadline(deadline);
        task
    }

    /// The same, in the task of whoever asks.
    pub(crate) async fn pull(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        let batch = match &mut self.source {
            None => None,
            Some(Source::Batches(batches)) => batches.pop_front(),
            Some(Source::Query(query)) => match query.next(cx).await {
                Ok(batch) => batch,
                Err(error) => {
                    if let Some(run) = &self.link.run {
                        run.failed();
                    }
                    self.source = None;
                    self.link.db.empty_temp_trash(cx);
                    if let Some((slot, _)) = &self.link.explicit {
                        slot.fail_transaction();
                    }
                    return Err(error);
                }
            },
        };
        match &batch {
            Some(batch) => {
                self.row_count += batch.row_count as u64;
                if let Some(run) = &self.link.run {
                    run.rows(batch.row_count as u64);
                }
            }
            None => {
                self.link.run = None;
                // The end: an implicit transaction that only read has nothing to commit.
                self.source = None;
                self.link.txn = None;
                self.link.explicit = None;
                self.link.db.empty_temp_trash(cx);
            }
        }
        Ok(batch)
    }
}
