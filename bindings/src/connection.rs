//! Connections: one session each, driven on the caller's thread.

use crate::database::Shared;
use crate::row_ref::RowRef;
use crate::rows::Rows;
use crate::stream::{self, Link, RowStream, State as StreamState};
use orrery_drivers::Driver;
use orrery_engine::base::{Error, Result, SqlState};
use orrery_engine::sql::datum::Datum;
use orrery_engine::sql::exec::point::PointRow;
use orrery_engine::sql::plan::Field;
use orrery_engine::{
    Cancel, Execution, PointStep, Prepared, SchemaScript, Session, TableDescription, Tag, Task,
};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime};

/// See [`Connection::query_row`].
const POINT_LOAD_COUNT_MAX: usize = 16;

/// A session. `Send`: it may move between threads, one at a time uses it (its methods take `&mut self`).
pub struct Connection {
    link: Link,
    session: Session,
    autocommit: bool,
    /// The newest result of a transaction block.
    open: Weak<Mutex<StreamState>>,
}

/// How far a statement is; see [`Connection::on_progress`].
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since this piece of work (a statement, or the next batch of its rows) began.
    pub elapsed: Duration,
}

/// Called while statements run.
#[derive(Clone)]
pub(crate) struct Watch {
    every: Duration,
    call: Arc<dyn Fn(Progress) -> bool + Send + Sync>,
}

impl Watch {
    pub(crate) fn run<T>(&self, driver: &dyn Driver, task: Task<T>) -> T {
        let (start, cancel) = (Instant::now(), task.cancel_handle());
        orrery_drivers::run_watched(driver, task, self.every, || {
            if !(self.call)(Progress { elapsed: start.elapsed() }) {
                cancel.cancel();
            }
        })
    }
}

/// Cancels the statement a connection is running, from any thread; the statement answers 57014.
#[derive(Clone)]
pub struct Interrupt(Cancel);

impl Interrupt {
    /// Asks.
    pub fn interrupt(&self) {
        self.0.cancel();
    }
}

/// A parsed statement; bound and planned at its first execution, and again when the schema changes.
#[derive(Clone)]
pub struct Statement(pub(crate) Arc<Prepared>);

impl Statement {
    /// Whether it is `COPY … TO STDOUT`, which is run by [`Connection::copy_statement_out`].
    pub fn is_copy_out(&self) -> bool {
        self.0.is_copy_out()
    }

    /// Its text.
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// Whether it is a SELECT.
    pub fn is_query(&self) -> bool {
        self.0.is_query()
    }

    /// The columns of a SELECT as it was last planned; `None` before its first execution.
    pub fn fields(&self) -> Option<Vec<Field>> {
        self.0.fields()
    }

    /// Whether [`Statement::fields`] are these; copies nothing.
    pub fn has_fields(&self, fields: &[Field]) -> bool {
        self.0.has_fields(fields)
    }

    /// How many parameters it has.
    pub fn param_count(&self) -> usize {
        self.0.param_count()
    }

    /// The same SELECT over data and schema as they were at a moment: what was committed by then, and nothing later. Statements
    /// of one moment see one state; they take no lock, and run beside an open transaction without being part of it. Errors:
    /// 42601 for what is no SELECT or has `AS OF SYSTEM TIME` in its text; when it runs, 72000 for a time that the history does
    /// not reach ([`Options::history_seconds`](crate::Options)), 22023 for the future.
    ///
    /// ```
    /// # fn main() -> orrerydb::Result<()> {
    /// # let db = orrerydb::Database::in_memory()?;
    /// # let mut connection = db.connect();
    /// # let a_moment = std::time::Duration::from_millis(2);
    /// connection.run("create table t (id integer primary key, a text); insert into t values (1, 'old')")?;
    /// # std::thread::sleep(a_moment);
    /// let then = std::time::SystemTime::now();
    /// # std::thread::sleep(a_moment);
    /// connection.run("update t set a = 'new'")?;
    /// let now = connection.prepare("select a from t where id = ?")?;
    /// assert_eq!(connection.query_row(&now, &[1.into()], |row| row.text(0).to_owned())?.as_deref(), Some("new"));
    /// let before = now.as_of(then)?;
    /// assert_eq!(connection.query_row(&before, &[1.into()], |row| row.text(0).to_owned())?.as_deref(), Some("old"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn as_of(&self, time: SystemTime) -> Result<Statement> {
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok();
        // Beyond the upper end the clock of commits has no room for a time (I2 counts within a microsecond).
        let micros = since_epoch.and_then(|it| u64::try_from(it.as_micros()).ok()).filter(|it| it >> 51 == 0);
        let micros = micros.ok_or_else(|| {
            Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "before 1970 and after 2041 there is nothing to read",
            )
        })?;
        self.0.as_of(micros).map(|prepared| Statement(Arc::new(prepared)))
    }
}

/// What a statement gave.
pub enum Outcome<'c> {
    /// Rows.
    Rows(Rows<'c>),
    /// A command tag.
    Done(Tag),
}

/// As [`Outcome`], with rows that own what they need.
pub enum Answer {
    /// Rows.
    Rows(RowStream),
    /// A command tag.
    Done(Tag),
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let session = shared.engine.session();
        Connection { link: Link { shared, watch: None }, session, autocommit: true, open: Weak::new() }
    }

    pub(crate) fn drive<T>(&self, task: Task<T>) -> T {
        self.link.drive(task)
    }

    pub(crate) fn explain<T>(&self, answer: Result<T>) -> Result<T> {
        self.link.shared.explain(answer)
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Before any statement: what a result of the open block still has to give is read or ended, and a block is begun when
    /// commits are the caller's.
    pub(crate) fn before(&mut self, statement: &Statement) -> Result<()> {
        if let Some(open) = self.open.upgrade() {
            self.open = Weak::new();
            let mut open = stream::lock(&open);
            if statement.0.is_rollback() { open.end() } else { open.read_ahead(&self.link) }
        }
        if !self.autocommit && !statement.0.is_control() && self.transaction_status().is_none() {
            let begin = self.prepare("begin")?;
            self.drive(self.session.execute(&begin.0, Vec::new()))?;
        }
        Ok(())
    }

    /// Whether a result of the open block may have rows to give; never waits.
    fn has_open_result(&mut self) -> bool {
        let is_open =
            self.open.upgrade().is_some_and(|state| state.try_lock().map_or(true, |it| it.is_open()));
        if !is_open {
            self.open = Weak::new();
        }
        is_open
    }

    /// Whether each statement outside a transaction block commits by itself: the default. When off, the first statement begins
    /// a block, which `commit` or `rollback` ends.
    pub fn set_autocommit(&mut self, autocommit: bool) {
        self.autocommit = autocommit;
    }

    /// See [`Connection::set_autocommit`].
    pub fn autocommit(&self) -> bool {
        self.autocommit
    }

    /// Calls `watch` about every `every` while a statement runs or waits, on the thread that runs it; `false` cancels the
    /// statement (57014). `None` takes it back.
    ///
    /// ```
    /// # fn main() -> orrerydb::Result<()> {
    /// # let db = orrerydb::Database::in_memory()?;
    /// # let mut connection = db.connect();
    /// use std::{sync::Arc, time::Duration};
    /// connection.on_progress(Duration::from_millis(5), Some(Arc::new(|progress: orrerydb::Progress| {
    ///     progress.elapsed < Duration::from_millis(20)
    /// })));
    /// let error = connection.execute("select count(*) from generate_series(1, 1000000000)", &[]).unwrap_err();
    /// assert_eq!(error.code().as_str(), "57014");
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_progress(
        &mut self,
        every: Duration,
        watch: Option<Arc<dyn Fn(Progress) -> bool + Send + Sync>>,
    ) {
        self.link.watch = watch.map(|call| Watch { every, call });
    }

    /// Changes a setting of the session. Errors: 42704, 22023, 55P02.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let sql = format!("set {} = '{}'", quote_name(name), value.replace('\'', "''"));
        self.execute(&sql, &[]).map(drop)
    }

    /// A setting's value. Errors: 42704.
    pub fn show(&mut self, name: &str) -> Result<String> {
        let mut rows = self.query(&format!("show {}", quote_name(name)), &[])?;
        let row = rows.next().transpose()?;
        row.map_or_else(|| Ok(String::new()), |row| row.get(0))
    }

    /// Parses one statement, or finds it in the cache. Errors: 42601, 0A000.
    pub fn prepare(&self, sql: &str) -> Result<Statement> {
        self.session.prepare(sql).map(Statement)
    }

    /// Parses a text of any number of statements.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>> {
        Ok(self.session.parse(sql)?.into_iter().map(Statement).collect())
    }

    /// Runs a prepared statement.
    pub fn execute_statement(&mut self, statement: &Statement, params: &[Datum]) -> Result<Outcome<'_>> {
        match self.answer(statement, params)? {
            Answer::Done(tag) => Ok(Outcome::Done(tag)),
            Answer::Rows(stream) => Ok(Outcome::Rows(Rows::new(stream))),
        }
    }

    /// As [`Connection::execute_statement`], with rows that do not borrow the connection.
    pub fn answer(&mut self, statement: &Statement, params: &[Datum]) -> Result<Answer> {
        self.before(statement)?;
        let task = self.session.execute(&statement.0, params.to_vec());
        match self.explain(self.drive(task))? {
            Execution::Done(tag) => Ok(Answer::Done(tag)),
            Execution::Rows(rows) => {
                let stream = RowStream::new(self.link.clone(), rows);
                if self.transaction_status().is_some() {
                    self.open = Arc::downgrade(stream.state());
                }
                Ok(Answer::Rows(stream))
            }
        }
    }

    /// Runs one statement and answers how many rows it changed (or gave).
    pub fn execute(&mut self, sql: &str, params: &[Datum]) -> Result<u64> {
        let statement = self.prepare(sql)?;
        self.execute_prepared(&statement, params)
    }

    /// As [`Connection::execute`], of a prepared statement.
    pub fn execute_prepared(&mut self, statement: &Statement, params: &[Datum]) -> Result<u64> {
        self.before(statement)?;
        if let Some(row_count) = self.point(statement, params, &mut |_| {}) {
            return Ok(row_count);
        }
        match self.execute_statement(statement, params)? {
            Outcome::Done(tag) => Ok(tag.row_count.unwrap_or(0)),
            Outcome::Rows(mut rows) => {
                while rows.next_batch()?.is_some() {}
                Ok(rows.tag().row_count.unwrap_or(0))
            }
        }
    }

    /// Runs one statement that gives rows. Errors: 42601 when it gives none.
    pub fn query(&mut self, sql: &str, params: &[Datum]) -> Result<Rows<'_>> {
        let statement = self.prepare(sql)?;
        self.query_prepared(&statement, params)
    }

    /// As [`Connection::query`], of a prepared statement.
    pub fn query_prepared(&mut self, statement: &Statement, params: &[Datum]) -> Result<Rows<'_>> {
        match self.execute_statement(statement, params)? {
            Outcome::Rows(rows) => Ok(rows),
            Outcome::Done(tag) => {
                let message = format!("{} gives no rows: use execute", tag.command);
                Err(Error::new(SqlState::SYNTAX_ERROR, message))
            }
        }
    }

    /// Runs a statement that gives rows and hands its first row, in place, to `read`; `None` when there is no row. The
    /// cheapest way to read one row. Errors: 42601 when the statement gives no rows; 42703 and 42804 when `read` asked a
    /// getter for what is not there ([`RowRef`]).
    pub fn query_row<T>(
        &mut self,
        statement: &Statement,
        params: &[Datum],
        read: impl FnOnce(&RowRef<'_>) -> T,
    ) -> Result<Option<T>> {
        self.before(statement)?;
        let (mut read, mut answer) = (Some(read), Ok(None));
        let mut take = |row: RowRef<'_>| {
            if let Some(read) = read.take() {
                let value = read(&row);
                answer = row.finish().map(|()| Some(value));
            }
        };
        if statement.0.is_query() && self.point(statement, params, &mut |row| take(row)).is_some() {
            return answer;
        }
        if let Some(row) = self.query_prepared(statement, params)?.next().transpose()? {
            take(RowRef::of_values(&row.values()?));
        }
        answer
    }

    /// Runs a statement that names one row by its key at once, without touching the disk, or does nothing and answers `None`:
    /// then another method must run it. Answers how many rows it gave (handed to `found`, in place) or changed. Never an error.
    pub fn try_point(
        &mut self,
        statement: &Statement,
        params: &[Datum],
        found: &mut dyn FnMut(RowRef<'_>),
    ) -> Option<u64> {
        if self.has_open_result() {
            return None;
        }
        self.before(statement).ok()?;
        let found = &mut |row: &PointRow<'_>| found(RowRef::of_point(row));
        let driver = &*self.link.shared.driver;
        match self.session.point(&statement.0, params, &|| driver.now(), found) {
            PointStep::Done(row_count) => Some(row_count),
            PointStep::General | PointStep::Load(_) => None,
        }
    }

    /// The row that [`Connection::try_point`] found as a result like any other.
    pub fn stream_of_row(&self, statement: &Statement, values: &[Datum]) -> Result<RowStream> {
        RowStream::of_row(
            self.link.clone(),
            statement.fields().unwrap_or_default(),
            values,
            self.session.format(),
        )
    }

    /// Runs a point statement on this thread's stack; `None` when it must go the general way.
    pub(crate) fn point(
        &self,
        statement: &Statement,
        params: &[Datum],
        found: &mut dyn FnMut(RowRef<'_>),
    ) -> Option<u64> {
        let driver = &*self.link.shared.driver;
        // Each round brings in a page on the way down; more rounds than a tree is deep mean that memory is short.
        for _ in 0..POINT_LOAD_COUNT_MAX {
            let found = &mut |row: &PointRow<'_>| found(RowRef::of_point(row));
            match self.session.point(&statement.0, params, &|| driver.now(), found) {
                PointStep::Done(row_count) => return Some(row_count),
                PointStep::General => return None,
                PointStep::Load(task) => orrery_drivers::run(driver, task).ok()?,
            }
        }
        None
    }

    /// Runs a text of any number of statements, rows thrown away. Stops at the first error.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        for statement in self.parse(sql)? {
            self.execute_prepared(&statement, &[])?;
        }
        Ok(())
    }

    /// Runs `body` in a transaction: committed when it answers `Ok`, rolled back when it answers `Err`. Not tried again by
    /// itself: an error whose duty is `Retry` is for the caller to run again.
    pub fn transaction<T>(&mut self, body: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut transaction = self.begin()?;
        let answer = body(&mut transaction)?;
        transaction.commit()?;
        Ok(answer)
    }

    /// Begins a transaction; dropping the guard rolls it back.
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        self.execute("begin", &[])?;
        Ok(Transaction { connection: self, open: true })
    }

    /// Commits the open block; without one, nothing. Errors: 40001, 08007 when nobody knows whether it did, 25P02 when the block
    /// had failed: it is rolled back then.
    pub fn commit(&mut self) -> Result<()> {
        if self.transaction_status().is_none() {
            return Ok(());
        }
        let statement = self.prepare("commit")?;
        match self.answer(&statement, &[])? {
            Answer::Done(tag) if tag.command == "ROLLBACK" => {
                let message = "the transaction had failed: it was rolled back, not committed";
                Err(Error::new(SqlState::IN_FAILED_SQL_TRANSACTION, message))
            }
            _ => Ok(()),
        }
    }

    /// Rolls the open block back; without one, nothing.
    pub fn rollback(&mut self) -> Result<()> {
        if self.transaction_status().is_none() {
            return Ok(());
        }
        let statement = self.prepare("rollback")?;
        self.answer(&statement, &[]).map(drop)
    }

    /// Starts `COPY … FROM STDIN`.
    pub fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>> {
        let statement = self.prepare(sql)?;
        self.before(&statement)?;
        let copy = self.drive(self.session.copy_in(&statement.0))?;
        Ok(CopyIn { connection: self, copy: Some(copy) })
    }

    /// Starts `COPY … TO STDOUT`. Errors: those of its query; 42601 when the statement is another.
    pub fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_>> {
        let statement = self.prepare(sql)?;
        self.copy_statement_out(&statement)
    }

    /// The same for a prepared statement: see [`Statement::is_copy_out`].
    pub fn copy_statement_out(&mut self, statement: &Statement) -> Result<CopyOut<'_>> {
        self.before(statement)?;
        let copy = self.drive(self.session.copy_out(&statement.0))?;
        let tag = copy.tag();
        Ok(CopyOut { connection: self, copy: Some(copy), tag })
    }

    /// Describes the tables as this connection sees them now, by name: columns, indexes, constraints, sizes. Reads no rows.
    /// Errors: 25P02 in a failed transaction.
    pub fn describe(&self) -> Result<Vec<TableDescription>> {
        self.drive(self.session.describe())
    }

    /// The statements that make the schema anew in an empty database, as this connection sees it now, and how each table's rows
    /// travel: for exports. Inside a transaction of REPEATABLE READ schema and rows are of one snapshot. Errors: 25P02 in a failed
    /// transaction.
    pub fn schema_script(&self) -> Result<SchemaScript> {
        self.drive(self.session.schema_script())
    }

    /// What cancels a running statement.
    pub fn interrupt_handle(&self) -> Interrupt {
        Interrupt(self.session.cancel_handle())
    }

    /// The same, for the statement this connection runs next: an interrupt between now and its start stops it too, where one
    /// of [`Connection::interrupt_handle`] finds nothing running and is forgotten.
    pub fn interrupt_handle_for_next(&self) -> Interrupt {
        let cancel = self.session.cancel_handle();
        cancel.arm();
        Interrupt(cancel)
    }

    /// Whether a transaction block is open, and whether it has failed: `None`, `Some(false)`, `Some(true)`.
    pub fn transaction_status(&self) -> Option<bool> {
        self.session.transaction_status()
    }
}

/// A name as SQL writes it whatever is in it.
pub(crate) fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An open transaction. Dropping it rolls back.
pub struct Transaction<'c> {
    connection: &'c mut Connection,
    open: bool,
}

impl Transaction<'_> {
    /// Commits. Errors: as [`Connection::commit`].
    pub fn commit(mut self) -> Result<()> {
        self.open = false;
        self.connection.commit()
    }

    /// Rolls back.
    pub fn rollback(mut self) -> Result<()> {
        self.open = false;
        self.connection.rollback()
    }
}

impl std::ops::Deref for Transaction<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl std::ops::DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open {
            // A rollback that cannot run leaves nothing: the session's end drops the transaction.
            drop(self.connection.rollback());
        }
    }
}

/// `COPY … FROM STDIN` under way. Dropping it unfinished undoes it.
pub struct CopyIn<'c> {
    connection: &'c mut Connection,
    copy: Option<orrery_engine::CopyIn>,
}

impl CopyIn<'_> {
    /// Feeds bytes of the file; cut wherever you like. Errors: 22P04 and those of the rows; the COPY is over then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let copy = self.copy.take().ok_or_else(copy_is_over)?;
        self.copy = Some(self.connection.drive(copy.write(bytes.to_vec()))?);
        Ok(())
    }

    /// Ends it; answers how many rows were copied. Outside a transaction block this commits.
    pub fn finish(mut self) -> Result<u64> {
        let copy = self.copy.take().ok_or_else(copy_is_over)?;
        let tag = self.connection.drive(copy.finish())?;
        Ok(tag.row_count.unwrap_or(0))
    }
}

/// `COPY … TO STDOUT` under way: its text in pieces of whole rows, never all of it in memory. Dropping it ends it.
pub struct CopyOut<'c> {
    connection: &'c mut Connection,
    copy: Option<orrery_engine::CopyOut>,
    tag: Tag,
}

impl CopyOut<'_> {
    /// The next bytes; `None` at the end. Errors: what the query meets; nothing comes after one.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(copy) = self.copy.take() else { return Ok(None) };
        let (copy, bytes) = self.connection.drive(copy.next())?;
        self.tag = copy.tag();
        if bytes.is_some() {
            self.copy = Some(copy);
        }
        Ok(bytes)
    }

    /// The command tag (`COPY 3`), right once all bytes were taken.
    pub fn tag(&self) -> &Tag {
        &self.tag
    }
}

fn copy_is_over() -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, "this COPY ended with an error")
}

#[cfg(test)]
mod tests {
    use crate::{Database, Value};

    #[test]
    fn point_statements_take_the_short_path() {
        let db = Database::in_memory().unwrap();
        let mut connection = db.connect();
        connection.run("create table t (id bigint primary key, a integer)").unwrap();
        // Whoever goes the general way reads the catalog for all.
        connection.run("select * from t").unwrap();
        let insert = connection.prepare("insert into t values ($1, $2)").unwrap();
        let select = connection.prepare("select a from t where id = $1").unwrap();
        let params = [Value::Int8(1), Value::Int4(2)];
        assert_eq!(connection.point(&insert, &params, &mut |_| {}), None, "outside a block it must commit");
        connection.run("begin").unwrap();
        assert_eq!(connection.point(&insert, &params, &mut |_| {}), Some(1));
        assert_eq!(connection.point(&insert, &params, &mut |_| {}), None, "a duplicate");
        for sql in ["update t set a = 3 where id = $1", "delete from t where id = $1"] {
            let change = connection.prepare(sql).unwrap();
            let mut a = 0;
            assert_eq!(connection.point(&select, &params[..1], &mut |row| a = row.i32(0)), Some(1));
            assert_eq!(connection.point(&change, &params[..1], &mut |_| {}), Some(1));
            assert!(a > 0);
        }
        connection.run("commit").unwrap();
        assert_eq!(connection.point(&select, &params[..1], &mut |_| {}), Some(0));
        let other = connection.prepare("select a from t where a = $1").unwrap();
        assert_eq!(connection.point(&other, &params[1..], &mut |_| {}), None);
    }
}
