//! Results that own what they need: what [`Rows`](crate::Rows) is made of, and what the other languages' cursors hold.
//!
//! - O1: a result of any size takes the memory of a batch, with one exception: a result of an open transaction block whose
//!   block goes on with another statement is read to its end first, because that statement moves the block's snapshot.
//! - O2: a result whose transaction was rolled back gives 24000, never rows of another state.

use crate::connection::Watch;
use crate::database::Shared;
use crate::rows::Row;
use orrery_engine::base::{Error, Result, SqlState};
use orrery_engine::sql::columns::array_of;
use orrery_engine::sql::datum::Datum;
use orrery_engine::sql::exec::Batch;
use orrery_engine::sql::plan::Field;
use orrery_engine::sql::text::FormatSettings;
use orrery_engine::{Tag, Task};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows of a query, fetched as they are asked for, free of the connection's borrow. `Send`. Dropping it ends the query.
///
/// Rows of a query outside a transaction block live in a snapshot of their own. Inside a block, the connection's next
/// statement first reads the rest of the result into memory, and a rollback ends it (24000).
pub struct RowStream {
    link: Link,
    fields: Arc<[Field]>,
    format: FormatSettings,
    state: SharedState,
    batch: Option<Arc<Batch>>,
    next: usize,
}

/// What running a task takes.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) shared: Arc<Shared>,
    pub(crate) watch: Option<Watch>,
}

impl Link {
    pub(crate) fn drive<T>(&self, task: Task<T>) -> T {
        let driver = &*self.shared.driver;
        match &self.watch {
            None => orrery_drivers::run(driver, task),
            Some(watch) => watch.run(driver, task),
        }
    }
}

pub(crate) type SharedState = Arc<Mutex<State>>;

/// The part that the connection may reach.
pub(crate) struct State {
    rows: Option<orrery_engine::Rows>,
    ahead: VecDeque<Batch>,
    error: Option<Error>,
    tag: Tag,
}

pub(crate) fn lock(state: &SharedState) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn pull(&mut self, link: &Link) -> Result<Option<Batch>> {
        let Some(rows) = self.rows.take() else { return Ok(None) };
        let (rows, batch) = link.shared.explain(link.drive(rows.next_batch()))?;
        self.tag = rows.tag();
        if batch.is_some() {
            self.rows = Some(rows);
        }
        Ok(batch)
    }

    /// Whether there may be rows that were not fetched.
    pub(crate) fn is_open(&self) -> bool {
        self.rows.is_some()
    }

    /// Reads the rest, so that the transaction may go on (O1).
    pub(crate) fn read_ahead(&mut self, link: &Link) {
        loop {
            match self.pull(link) {
                Ok(Some(batch)) => self.ahead.push_back(batch),
                Ok(None) => return,
                Err(error) => {
                    self.error = Some(error);
                    return;
                }
            }
        }
    }

    /// The transaction is about to be rolled back (O2).
    pub(crate) fn end(&mut self) {
        if self.rows.take().is_some() {
            let message = "the transaction of this result was rolled back before it was read to its end";
            self.error = Some(Error::new(SqlState::INVALID_CURSOR_STATE, message));
            self.ahead.clear();
        }
    }
}

impl RowStream {
    pub(crate) fn new(link: Link, rows: orrery_engine::Rows) -> Self {
        let (fields, tag, format) = (rows.fields().into(), rows.tag(), rows.format());
        let state = State { rows: Some(rows), ahead: VecDeque::new(), error: None, tag };
        RowStream { link, fields, format, state: Arc::new(Mutex::new(state)), batch: None, next: 0 }
    }

    /// A result of one row that was read already.
    pub(crate) fn of_row(
        link: Link,
        fields: Vec<Field>,
        values: &[Datum],
        format: FormatSettings,
    ) -> Result<Self> {
        let columns = values.iter().zip(&fields).map(|(value, field)| array_of([value], field.ty));
        let batch = Batch { columns: columns.collect::<Result<_>>()?, row_count: 1 };
        let tag = Tag { command: "SELECT", row_count: Some(1), notice: None };
        let state = State { rows: None, ahead: VecDeque::from([batch]), error: None, tag };
        Ok(RowStream {
            link,
            fields: fields.into(),
            format,
            state: Arc::new(Mutex::new(state)),
            batch: None,
            next: 0,
        })
    }

    /// Puts a batch, or the part of it that was not used, back to where it came from.
    pub fn put_back(&mut self, batch: Batch) {
        self.batch = Some(Arc::new(batch));
        self.next = 0;
    }

    pub(crate) fn state(&self) -> &SharedState {
        &self.state
    }

    /// The columns.
    pub fn fields(&self) -> &Arc<[Field]> {
        &self.fields
    }

    /// The command tag (`SELECT 3`), right once all rows were taken.
    pub fn tag(&self) -> Tag {
        lock(&self.state).tag.clone()
    }

    /// The next batch of columns; what is left of a batch whose rows were being read is given first. Errors: what the query
    /// meets; nothing comes after one.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        if let Some(batch) = self.batch.take()
            && self.next < batch.row_count
        {
            let row_count = batch.row_count - self.next;
            let columns = batch.columns.iter().map(|column| column.slice(self.next, row_count)).collect();
            self.next = 0;
            return Ok(Some(Batch { columns, row_count }));
        }
        self.next = 0;
        self.fetch()
    }

    fn fetch(&self) -> Result<Option<Batch>> {
        let mut state = lock(&self.state);
        if let Some(batch) = state.ahead.pop_front() {
            return Ok(Some(batch));
        }
        match state.error.take() {
            Some(error) => Err(error),
            None => state.pull(&self.link),
        }
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(batch) = &self.batch
                && self.next < batch.row_count
            {
                let row = Row::new(self.fields.clone(), batch.clone(), self.next, self.format);
                self.next += 1;
                return Ok(Some(row));
            }
            self.next = 0;
            self.batch = None;
            match self.fetch()? {
                Some(batch) => self.batch = Some(Arc::new(batch)),
                None => return Ok(None),
            }
        }
    }
}

impl Drop for RowStream {
    fn drop(&mut self) {
        // A sort or join that was not read to its end leaves files behind.
        lock(&self.state).rows = None;
        if let Some(task) = self.link.shared.engine.tidy() {
            self.link.drive(task);
        }
    }
}

impl Iterator for RowStream {
    type Item = Result<Row>;
    fn next(&mut self) -> Option<Result<Row>> {
        self.next_row().transpose()
    }
}
