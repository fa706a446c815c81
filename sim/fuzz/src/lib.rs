//! Fuzzing by mutation, in this process, from a seed: an iteration is a valid input of the database (a data file, a log, the
//! statements of a test) changed here and there, given to the database, and judged.
//!
//! 1. No panic, no iteration without an end, no memory beyond [`MEMORY_BYTES_MAX`], no disk request without a bound.
//! 2. Only typed errors: XX000 is a finding, whatever was changed; from statements XX001 is, too.
//! 3. Where a page was changed and its checksum was not mended, every answer is an error or the right one.
//! 4. After statements, whatever they were, the structural check finds nothing.
//!
//! Half of the changes to pages and log batches get checksums that fit, all the way up to the superblock, so that the code behind the
//! checksums is reached. The same seed is the same iteration, on any machine, as long as the inputs are the same.
//!
//! What it does not do: follow coverage. Inputs are close to valid ones, which is where the code is.

pub mod disk;
pub mod files;
pub mod image;
pub mod log;
pub mod memory;
pub mod mutate;
pub mod statements;
pub mod visit;

use orrery_base::rng::Rng;
use std::panic::AssertUnwindSafe;
use std::path::Path;

/// What an iteration may allocate at its peak.
pub const MEMORY_BYTES_MAX: usize = 1 << 30;

/// What is fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Superblocks and pages.
    Pages,
    /// Log batches.
    Log,
    /// The text of statements.
    Sql,
}

impl Target {
    /// All of them, with their names.
    pub const ALL: [(Target, &'static str); 3] =
        [(Target::Pages, "pages"), (Target::Log, "log"), (Target::Sql, "sql")];
}

/// Seeds that once found something, run first. (What they come to changes with the images and the corpus.)
pub const KEPT: [(Target, u64); 4] =
    // "keys reached a merge out of order" as XX000: a page with a right checksum and wrong keys.
    [(Target::Pages, 13), (Target::Pages, 78), (Target::Pages, 132), (Target::Pages, 164)];

/// Everything that iterations start from.
pub struct Fuzzer {
    images: Vec<image::Image>,
    scripts: Vec<statements::Script>,
}

/// What an iteration saw, for the summary: how often, and what.
pub type Tally = std::collections::BTreeMap<String, u64>;

impl Fuzzer {
    /// Makes the files, and reads the statements of the `.slt` files under `corpus`.
    ///
    /// # Errors
    /// The corpus cannot be read, or an unchanged input is refused.
    pub fn new(corpus: &Path) -> Result<Fuzzer, String> {
        Ok(Fuzzer { images: image::make_all()?, scripts: statements::read_all(corpus)? })
    }

    /// Runs one iteration.
    ///
    /// # Errors
    /// A finding.
    pub fn run(&self, target: Target, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let mut rng = Rng::new(seed);
        memory::begin();
        let mut seen = Tally::new();
        let run = AssertUnwindSafe(|| match target {
            Target::Pages => files::iteration(rng.pick(&self.images), &mut rng, &mut seen),
            Target::Log => log::iteration(rng.pick(&self.images), &mut rng, &mut seen),
            Target::Sql => statements::iteration(&self.scripts, &mut rng, &mut seen),
        });
        let result = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        });
        for (what, count) in seen {
            *tally.entry(what).or_default() += count;
        }
        let peak = memory::peak();
        result?;
        match peak > MEMORY_BYTES_MAX {
            true => Err(format!("{} MiB of memory at the peak", peak >> 20)),
            false => Ok(()),
        }
    }
}
