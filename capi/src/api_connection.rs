//! The library, databases, connections, errors.

#![allow(unsafe_code, reason = "functions of C's interface: unmangled names, pointers that raw.rs follows")]

use crate::error::{Outcome, Stop, guard, last, last_text, orrery_status};
use crate::handle::Table;
use crate::raw;
use orrerydb::{Database, Options, SqlState};
use std::ffi::{c_char, c_int, c_void};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A database. Any number of threads may use it.
#[repr(C)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct orrery_database {
    private: [u8; 0],
}

/// A connection: one transaction at a time. Threads may share it; a call waits for the one before.
#[repr(C)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct orrery_connection {
    private: [u8; 0],
}

/// Called while a statement runs; anything but 0 cancels it.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type orrery_progress = Option<unsafe extern "C" fn(context: *mut c_void) -> c_int>;

/// The version of this interface, raised when a program built against an older one would break.
pub const ORRERY_ABI_VERSION: u32 = 1;

pub(crate) static DATABASES: Table<Database> = Table::new(1);
pub(crate) static CONNECTIONS: Table<Arc<Connection>> = Table::new(2);

pub(crate) struct Connection {
    inner: Mutex<Option<orrerydb::Connection>>,
    interrupt: orrerydb::Interrupt,
}

impl Connection {
    /// Runs something on it. Errors: 08000 when it is closed.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&mut orrerydb::Connection) -> orrerydb::Result<T>,
    ) -> Result<T, Stop> {
        let mut inner = lock(&self.inner);
        let closed = || orrerydb::Error::new(SqlState::CONNECTION_EXCEPTION, "the connection is closed");
        Ok(work(inner.as_mut().ok_or_else(closed)?)?)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn database(handle: *const orrery_database) -> Result<Database, Stop> {
    DATABASES
        .with(handle.addr(), |database| database.clone())
        .ok_or(Stop::Misuse("no such database: NULL or closed"))
}

pub(crate) fn connection(handle: *const orrery_connection) -> Result<Arc<Connection>, Stop> {
    CONNECTIONS
        .with(handle.addr(), |connection| connection.clone())
        .ok_or(Stop::Misuse("no such connection: NULL or closed"))
}

/// A number as the pointer that C holds.
pub(crate) fn as_pointer<T>(handle: Option<usize>) -> Result<*mut T, Stop> {
    handle.map(std::ptr::without_provenance_mut).ok_or(Stop::Misuse("too many handles"))
}

/// The version of the interface that the library has: compare with `ORRERY_ABI_VERSION` of the header.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_abi_version() -> u32 {
    ORRERY_ABI_VERSION
}

/// The version of the library, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn orrery_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Opens the database at `path`, making it when it is absent; ":memory:" is one without a file. `options` is NULL or words
/// like "create=off durability=interval seed=7 now=1700000000000000".
///
/// # Safety
/// `path` and `options` are NULL or texts that end with a NUL byte; `out` is NULL or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_open(
    path: *const c_char,
    options: *const c_char,
    out: *mut *mut orrery_database,
) -> orrery_status {
    guard(|| {
        raw::check_place(out)?;
        // SAFETY: this function's contract, here and below.
        let path = unsafe { raw::text(path)? };
        let options: Options = match options.is_null() {
            true => Options::default(),
            // SAFETY: as above.
            false => unsafe { raw::text(options)? }.parse()?,
        };
        let database = Database::open_with(Path::new(path), &options)?;
        // SAFETY: as above.
        unsafe { raw::give(out, as_pointer(DATABASES.insert(database))?)? };
        Ok(orrery_status::ORRERY_OK)
    })
}

/// Closes the database cleanly. Its connections and statements are of no use afterwards, and still to be closed.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_close(database: *mut orrery_database) -> orrery_status {
    guard(|| {
        let closed =
            DATABASES.remove(database.addr()).ok_or(Stop::Misuse("no such database: NULL or closed"))?;
        closed.close()?;
        Ok(orrery_status::ORRERY_OK)
    })
}

/// A new connection.
///
/// # Safety
/// `out` is NULL or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_connect(
    database: *mut orrery_database,
    out: *mut *mut orrery_connection,
) -> orrery_status {
    guard(|| {
        raw::check_place(out)?;
        let connection = self::database(database)?.connect();
        let interrupt = connection.interrupt_handle();
        let connection = Arc::new(Connection { inner: Mutex::new(Some(connection)), interrupt });
        // SAFETY: this function's contract.
        unsafe { raw::give(out, as_pointer(CONNECTIONS.insert(connection))?)? };
        Ok(orrery_status::ORRERY_OK)
    })
}

/// Closes the connection; an open transaction is rolled back.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_disconnect(connection: *mut orrery_connection) -> orrery_status {
    guard(|| {
        let closed = CONNECTIONS
            .remove(connection.addr())
            .ok_or(Stop::Misuse("no such connection: NULL or closed"))?;
        let inner = lock(&closed.inner).take();
        if let Some(mut inner) = inner {
            inner.rollback()?;
        }
        Ok(orrery_status::ORRERY_OK)
    })
}

/// Cancels the statement that the connection runs, from any thread; it answers 57014.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_interrupt(connection: *mut orrery_connection) -> orrery_status {
    guard(|| {
        self::connection(connection)?.interrupt.interrupt();
        Ok(orrery_status::ORRERY_OK)
    })
}

/// A context of the caller's, for a callback.
struct Context(*mut c_void);

// SAFETY: `orrery_on_progress` asks for a context that any thread may use.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

/// Calls `progress(context)` about every `every_ms` milliseconds while a statement of the connection runs or waits, on the
/// thread that runs it. NULL takes it back. The function may call `orrery_interrupt`, and nothing else of this interface.
///
/// # Safety
/// `progress` is NULL or a function that may be called with `context` from any thread until it is taken back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_on_progress(
    connection: *mut orrery_connection,
    every_ms: u32,
    progress: orrery_progress,
    context: *mut c_void,
) -> orrery_status {
    guard(|| {
        let context = Arc::new(Context(context));
        self::connection(connection)?.with(|connection| {
            let every = Duration::from_millis(every_ms.into());
            let Some(progress) = progress else {
                connection.on_progress(every, None);
                return Ok(());
            };
            connection.on_progress(
                every,
                Some(Arc::new(move |_| {
                    let context: &Context = &context;
                    // SAFETY: this function's contract.
                    unsafe { progress(context.0) == 0 }
                })),
            );
            Ok(())
        })?;
        Ok(orrery_status::ORRERY_OK)
    })
}

fn on(
    connection: *mut orrery_connection,
    work: impl FnOnce(&mut orrerydb::Connection) -> orrerydb::Result<()>,
) -> Outcome {
    self::connection(connection)?.with(work)?;
    Ok(orrery_status::ORRERY_OK)
}

/// Runs a text of any number of statements; rows are thrown away. Stops at the first error.
///
/// # Safety
/// `sql` is NULL or a text that ends with a NUL byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_run(connection: *mut orrery_connection, sql: *const c_char) -> orrery_status {
    guard(|| {
        // SAFETY: this function's contract.
        let sql = unsafe { raw::text(sql)? };
        on(connection, |connection| connection.run(sql))
    })
}

/// Begins a transaction.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_begin(connection: *mut orrery_connection) -> orrery_status {
    guard(|| on(connection, |connection| connection.execute("begin", &[]).map(drop)))
}

/// Commits the open transaction; without one, nothing. A transaction that has failed is rolled back, which is an error (25P02).
#[unsafe(no_mangle)]
pub extern "C" fn orrery_commit(connection: *mut orrery_connection) -> orrery_status {
    guard(|| on(connection, orrerydb::Connection::commit))
}

/// Rolls the open transaction back; without one, nothing.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_rollback(connection: *mut orrery_connection) -> orrery_status {
    guard(|| on(connection, orrerydb::Connection::rollback))
}

/// Whether each statement outside of `orrery_begin` and `orrery_commit` commits by itself: the default.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_set_autocommit(
    connection: *mut orrery_connection,
    autocommit: bool,
) -> orrery_status {
    guard(|| {
        on(connection, |connection| {
            connection.set_autocommit(autocommit);
            Ok(())
        })
    })
}

/// The hash of the database's logical state: keys and values in order. Reads everything.
///
/// # Safety
/// `out` is NULL or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_state_hash(database: *mut orrery_database, out: *mut u64) -> orrery_status {
    guard(|| {
        let hash = self::database(database)?.state_hash()?;
        // SAFETY: this function's contract.
        unsafe { raw::give(out, hash)? };
        Ok(orrery_status::ORRERY_OK)
    })
}

/// The SQLSTATE of this thread's last error, five characters ("HY010" for misuse); NULL before the first. Like the other texts
/// of the error it is valid until the thread's next call that fails.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_error_sqlstate() -> *const c_char {
    last_text(|last| Some(&last.sqlstate))
}

/// The message of this thread's last error; NULL before the first.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_error_message() -> *const c_char {
    last_text(|last| Some(&last.message))
}

/// The second line of this thread's last error; NULL when there is none.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_error_detail() -> *const c_char {
    last_text(|last| last.detail.as_ref())
}

/// The advice of this thread's last error; NULL when there is none.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_error_hint() -> *const c_char {
    last_text(|last| last.hint.as_ref())
}

/// Where in the statement this thread's last error is: 1-based, in characters; 0 when it is not known.
#[unsafe(no_mangle)]
pub extern "C" fn orrery_error_position() -> u32 {
    last(|last| last.map_or(0, |last| last.position))
}
