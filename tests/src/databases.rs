//! A fresh database under each driver the suite runs under.

use orrery_drivers::Nastiness;
use orrerydb::{Database, Driver, MemoryDriver, Options, Result, TestDriver};
use std::path::Path;
use std::sync::Arc;

/// Which driver a database runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// `:memory:`.
    Memory,
    /// A file in a directory that is gone afterwards.
    File,
    /// Every request suspends.
    Suspend,
    /// Requests complete in random order.
    Shuffle,
    /// Reads and writes do less than asked, and the core volunteers legal nastiness.
    Shorten,
}

/// All of them; the first two run everything, the others a cut.
pub const ALL: [Under; 5] = [Under::Memory, Under::File, Under::Suspend, Under::Shuffle, Under::Shorten];

impl Under {
    /// How test names say it.
    pub fn name(self) -> &'static str {
        match self {
            Under::Memory => "memory",
            Under::File => "file",
            Under::Suspend => "suspend",
            Under::Shuffle => "shuffle",
            Under::Shorten => "shorten",
        }
    }

    /// A fresh database; a file of it lies in `dir`.
    ///
    /// # Errors
    /// What opening says.
    pub fn open(self, dir: &Path) -> Result<Database> {
        let nasty = |nastiness| {
            let driver: Arc<dyn Driver> = Arc::new(TestDriver::new(MemoryDriver::new(), nastiness));
            // A small memtable and pool, so that checkpoints and misses happen in short files too.
            let options =
                Options { pool_bytes: Some(1 << 20), memtable_bytes: Some(64 << 10), ..Options::default() };
            Database::with_driver(driver, &options)
        };
        match self {
            Under::Memory => Database::in_memory(),
            Under::File => Database::open(dir.join("test.orrery")),
            Under::Suspend => nasty(Nastiness::Suspend),
            Under::Shuffle => nasty(Nastiness::Shuffle { seed: 7 }),
            Under::Shorten => nasty(Nastiness::Shorten { seed: 7 }),
        }
    }
}
