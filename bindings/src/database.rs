//! Opening and closing.

use crate::clock::FixedClock;
use crate::connection::Connection;
use crate::key_value::{self, KeyValue};
use orrery_drivers::{Driver, MemoryDriver, Turns};
#[cfg(unix)]
use orrery_drivers::{FileDriver, FileOptions};
use orrery_engine::base::{Error, Result, SqlState};
use orrery_engine::store::{CheckFinding, CheckSummary, StoreOptions, StoreStats};
use orrery_engine::{DatabaseOptions, Task};
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub use orrery_engine::store::Durability;

/// How to open a database. The defaults suit a laptop.
#[derive(Clone, Debug)]
pub struct Options {
    /// When a commit answers. Default: [`Durability::Full`], after its log batch is synced.
    pub durability: Durability,
    /// Bytes of memory the machine has, from which budgets are derived. Default: what the system says.
    pub memory_bytes: u64,
    /// Bytes of the buffer pool; `None`: a quarter of `memory_bytes`.
    pub pool_bytes: Option<u64>,
    /// Bytes of changes held in memory before a checkpoint; `None`: by DESIGN's rule.
    pub memtable_bytes: Option<u64>,
    /// How long replaced rows are kept, in seconds, for `AS OF SYSTEM TIME`; 0: not at all. Default: an hour.
    pub history_seconds: u64,
    /// Bytes that they may take in the file; `None`: a fifth of it, at least 64 MiB.
    pub history_bytes: Option<u64>,
    /// Make the file when it is absent. Default: true.
    pub create: bool,
    /// Only read: no lock is taken, so another process may have the file open and write to it. What is seen is what was committed
    /// when it was opened; a statement that comes to something the writer has replaced since answers 72000.
    pub read_only: bool,
    /// Seed of all that is drawn; `None`: from the operating system.
    pub seed: Option<u64>,
    /// A clock that stands still, in microseconds since the Unix epoch: `now()` is this, and no timeout passes. For tests and
    /// runs that must come out the same; `None`: the wall clock.
    pub now: Option<u64>,
    /// Whether the database may start threads. Without, housekeeping (checkpoints, syncs by interval) is done by whoever runs a
    /// statement, and a statement that would wait for a lock of another connection answers 55P03 instead. Default: true, but
    /// false on WebAssembly.
    pub threads: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            durability: Durability::Full,
            memory_bytes: system_memory_bytes(),
            pool_bytes: None,
            memtable_bytes: None,
            history_seconds: HISTORY_SECONDS,
            history_bytes: None,
            create: true,
            read_only: false,
            seed: None,
            now: None,
            threads: !cfg!(target_family = "wasm"),
        }
    }
}

/// Options as words: `create=off durability=none seed=7 now=1700000000000000 memory=512MB pool=… memtable=… history=3600
/// history_bytes=…`, split by blanks; bytes may have a unit, as PostgreSQL's settings (`kB`, `MB`, `GB`, `TB`).
/// `durability` is `full`, `none` or `interval` (`interval:MILLISECONDS`); `threads=off`. Errors: 22023.
impl FromStr for Options {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let mut options = Options::default();
        for word in text.split_whitespace() {
            let invalid = || {
                Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("\"{word}\" is no option of a database"),
                )
            };
            let (name, value) = word.split_once('=').ok_or_else(invalid)?;
            let number = || value.parse::<u64>().map_err(|_| invalid());
            let bytes = || bytes(value).ok_or_else(invalid);
            match (name, value) {
                ("create", "on" | "off") => options.create = value == "on",
                ("read_only", "on" | "off") => options.read_only = value == "on",
                ("threads", "on" | "off") => options.threads = value == "on",
                ("durability", "full") => options.durability = Durability::Full,
                ("durability", "none") => options.durability = Durability::None,
                ("durability", _) => {
                    let ms = match value.strip_prefix("interval").ok_or_else(invalid)? {
                        "" => INTERVAL_MILLIS,
                        rest => rest.strip_prefix(':').and_then(|ms| ms.parse().ok()).ok_or_else(invalid)?,
                    };
                    options.durability = Durability::Interval { ms };
                }
                ("seed", _) => options.seed = Some(number()?),
                ("now", _) => options.now = Some(number()?),
                ("memory", _) => options.memory_bytes = bytes()?,
                ("pool", _) => options.pool_bytes = Some(bytes()?),
                ("memtable", _) => options.memtable_bytes = Some(bytes()?),
                ("history", _) => options.history_seconds = number()?,
                ("history_bytes", _) => options.history_bytes = Some(bytes()?),
                _ => return Err(invalid()),
            }
        }
        Ok(options)
    }
}

/// How long replaced rows are kept.
const HISTORY_SECONDS: u64 = 3600;
/// Between two syncs under `durability=interval`.
const INTERVAL_MILLIS: u32 = 10;

/// A number of bytes, with a unit or without.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "kB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The machine's memory in bytes; 1 GiB where it cannot be told.
fn system_memory_bytes() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    told.map_or(1 << 30, |kilobytes| kilobytes << 10)
}

/// An open database. Clones share it; the last one dropped closes it as well as it can (use [`Database::close`] to hear of
/// errors).
#[derive(Clone)]
pub struct Database(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: orrery_engine::Database,
    pub(crate) driver: Arc<dyn Driver>,
    housekeeping: Housekeeping,
    is_closed: AtomicBool,
    is_read_only: bool,
}

/// Who does it.
enum Housekeeping {
    Thread(Mutex<Option<JoinHandle<()>>>),
    Turns(Arc<Turns>),
}

impl Housekeeping {
    fn start(task: Task<Result<()>>, driver: &Arc<dyn Driver>, turns: Option<Arc<Turns>>) -> Result<Self> {
        if let Some(turns) = turns {
            turns.adopt(task);
            return Ok(Housekeeping::Turns(turns));
        }
        let driver = driver.clone();
        // Its errors are the engine's state (poisoned): sessions hear of them.
        let work = move || drop(orrery_drivers::run(&*driver, task));
        let thread = std::thread::Builder::new().name("orrery-housekeeping".into()).spawn(work);
        let thread = thread.map_err(|error| Error::internal(format!("no thread: {error}")))?;
        Ok(Housekeeping::Thread(Mutex::new(Some(thread))))
    }
}

impl Database {
    /// Opens the database at `path`, making it when it is absent; `:memory:` is one that lives as long as this value. Errors:
    /// 55006 when another process has it open, XX001 for damage, 58030 and 58P01 from the system.
    pub fn open(path: impl AsRef<Path>) -> Result<Database> {
        Database::open_with(path, &Options::default())
    }

    /// As [`Database::open`], with options.
    pub fn open_with(path: impl AsRef<Path>, options: &Options) -> Result<Database> {
        let path = path.as_ref();
        if path == Path::new(":memory:") {
            return Database::in_memory_with(Arc::new(MemoryDriver::new()), options);
        }
        open_file(path, options)
    }

    /// As [`Database::with_driver`], over a disk that loses everything with this value: no commit waits for it.
    pub fn in_memory_with(driver: Arc<dyn Driver>, options: &Options) -> Result<Database> {
        Database::with_driver(driver, &Options { durability: Durability::None, ..options.clone() })
    }

    /// A database in memory.
    pub fn in_memory() -> Result<Database> {
        Database::open(":memory:")
    }

    /// A database over a driver of your own.
    pub fn with_driver(driver: Arc<dyn Driver>, options: &Options) -> Result<Database> {
        let driver: Arc<dyn Driver> = match options.now {
            Some(now) => Arc::new(FixedClock { inner: driver, now }),
            None => driver,
        };
        let turns = (!options.threads).then(|| Arc::new(Turns::new(driver.clone())));
        let driver: Arc<dyn Driver> = turns.clone().map_or(driver, |turns| turns);
        let store = StoreOptions {
            durability: options.durability,
            memory_bytes: options.memory_bytes,
            pool_budget_bytes: options.pool_bytes.unwrap_or(options.memory_bytes / 4),
            memtable_budget_bytes: options.memtable_bytes.unwrap_or(0),
            history_micros: options.history_seconds.saturating_mul(1_000_000),
            read_only: options.read_only,
            history_bytes_max: options.history_bytes.unwrap_or(0),
            seed: options.seed.unwrap_or_else(|| driver.entropy()),
            ..StoreOptions::default()
        };
        let open = orrery_engine::Database::open(driver.world(), DatabaseOptions { store });
        let engine = orrery_drivers::run(&*driver, open)?;
        let housekeeping = Housekeeping::start(engine.housekeeping(), &driver, turns)?;
        Ok(Database(Arc::new(Shared {
            engine,
            driver,
            housekeeping,
            is_closed: AtomicBool::new(false),
            is_read_only: options.read_only,
        })))
    }

    /// Does the housekeeping that is due, where there are no threads; answers when it wants the next turn although no statement
    /// runs, in microseconds since the Unix epoch. With threads: nothing, never.
    pub fn housekeep(&self) -> Option<u64> {
        let Housekeeping::Turns(turns) = &self.0.housekeeping else { return None };
        turns.turn();
        turns.wake_at()
    }

    /// A new connection: a session of its own.
    pub fn connect(&self) -> Connection {
        Connection::new(self.0.clone())
    }

    /// The key-value interface over the same store.
    pub fn key_value(&self) -> KeyValue {
        KeyValue::new(self.0.clone())
    }

    /// Folds what is in memory into the file's trees.
    pub fn checkpoint(&self) -> Result<()> {
        orrery_drivers::run(&*self.0.driver, self.0.engine.checkpoint())
    }

    /// Walks every page and every free unit, decodes every row and looks up its entry in every index; an empty list of
    /// findings is a clean bill.
    pub fn check(&self) -> Result<(CheckSummary, Vec<CheckFinding>)> {
        orrery_drivers::run(&*self.0.driver, self.0.engine.check())
    }

    /// A hash of what the database holds: keys and values in order, of the catalog, all tables, indexes and the key-value pairs.
    /// The same state has the same hash, on any machine and through any language. Reads everything.
    pub fn state_hash(&self) -> Result<u64> {
        orrery_drivers::run(&*self.0.driver, self.0.engine.state_hash(vec![key_value::TREE]))
    }

    /// Counters of the store.
    pub fn stats(&self) -> StoreStats {
        self.0.engine.stats()
    }

    /// Closes cleanly: a small database is one plain file afterwards. Connections still open get 57P03.
    pub fn close(self) -> Result<()> {
        self.0.close()
    }
}

impl Shared {
    fn close(&self) -> Result<()> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let closed = orrery_drivers::run(&*self.driver, self.engine.close());
        if let Housekeeping::Thread(handle) = &self.housekeeping {
            let handle = handle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            if handle.is_some_and(|handle| handle.join().is_err()) {
                return Err(Error::internal("the housekeeping thread panicked"));
            }
        }
        closed
    }

    /// What a task answered; a wait that nobody could have ended is told from an interrupt.
    pub(crate) fn explain<T>(&self, answer: Result<T>) -> Result<T> {
        match &self.housekeeping {
            _ if self.is_read_only => answer.map_err(|error| match error.code() {
                SqlState::DATA_CORRUPTED => replaced(&error),
                _ => error,
            }),
            Housekeeping::Turns(turns) if turns.take_stuck() => answer.map_err(|error| match error.code() {
                SqlState::QUERY_CANCELED => would_wait(),
                _ => error,
            }),
            _ => answer,
        }
    }
}

/// Of a file that is only read: what it says there may be newer than what was opened.
#[cold]
fn replaced(error: &Error) -> Error {
    let message = "what this snapshot reads was replaced in the file by whoever writes to it";
    Error::new(SqlState::SNAPSHOT_TOO_OLD, message)
        .with_detail(error.message().to_owned())
        .with_hint("Open the database again. If that answers the same, the file is damaged: see check.")
}

#[cold]
fn would_wait() -> Error {
    let message = "the lock is held by another transaction, which cannot go on while this statement waits";
    Error::new(SqlState::LOCK_NOT_AVAILABLE, message)
        .with_hint("End the other transaction first, or run this statement in it.")
}

#[cfg(unix)]
fn open_file(path: &Path, options: &Options) -> Result<Database> {
    Database::with_driver(file_driver(path, options)?, options)
}

/// The driver over a file. Errors: as [`Database::open`], but for damage.
#[cfg(unix)]
pub(crate) fn file_driver(path: &Path, options: &Options) -> Result<Arc<dyn Driver>> {
    let subtask_thread_count = if options.threads { FileOptions::default().subtask_thread_count } else { 0 };
    let read_only = options.read_only;
    let file_options = FileOptions { create: options.create && !read_only, subtask_thread_count, read_only };
    Ok(Arc::new(FileDriver::open(path, &file_options)?))
}

#[cfg(not(unix))]
fn open_file(path: &Path, _options: &Options) -> Result<Database> {
    Err(Error::unsupported(format!("opening {} without a driver for files", path.display())))
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nobody is left to hear of an error; recovery takes care of what was not folded.
        drop(self.close());
    }
}
