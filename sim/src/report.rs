//! What running a seed came to, and how it is said.

use crate::knobs::Door;
use crate::seed::{SeedOptions, Trouble};
use std::collections::BTreeMap;
use std::fmt;

/// What a seed came to.
#[derive(Clone, Debug)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// The hash over the whole trace.
    pub trace_hash: u64,
    /// How often each rare state was reached (the probes), and what was done.
    pub reached: BTreeMap<&'static str, u64>,
    /// Whether all was well.
    pub outcome: SeedOutcome,
    /// The trace, if it was kept.
    pub trace: Vec<String>,
    /// How it was run.
    pub options: SeedOptions,
}

impl SeedReport {
    /// The exit status of `orrery sim`: 0 pass, 1 wrong answer or lost data, 2 no progress, 3 crash.
    pub fn exit_code(&self) -> u8 {
        self.outcome.exit_code()
    }

    /// Operations that the sessions ran.
    pub fn operation_count(&self) -> u64 {
        self.count("sim: operations")
    }

    /// Power cuts, those during a recovery included.
    pub fn crash_count(&self) -> u64 {
        self.count("sim: crashes")
    }

    /// Recoveries whose result was compared with the history.
    pub fn recovery_count(&self) -> u64 {
        self.count("sim: recoveries checked")
    }

    /// What was found wrong; empty when all was well.
    pub fn findings(&self) -> &str {
        self.outcome.message()
    }

    /// The command that runs this world again.
    pub fn rerun_command(&self) -> String {
        rerun_command(self.seed, &self.options)
    }

    fn count(&self, name: &str) -> u64 {
        self.reached.get(name).copied().unwrap_or(0)
    }
}

/// The command that runs the world of `seed` again. A cut-down world is for those who have the source at hand.
pub fn rerun_command(seed: u64, options: &SeedOptions) -> String {
    if options.op_count_max.is_none() && options.without.is_empty() && options.door.is_none() {
        return format!("orrery sim --seed {seed}");
    }
    let mut command = format!("cargo run --release -p orrery-sim -- --seed {seed}");
    for (_, name) in Door::ALL.iter().filter(|(door, _)| options.door == Some(*door)) {
        command += &format!(" --door {name}");
    }
    if let Some(max) = options.op_count_max {
        command += &format!(" --ops {max}");
    }
    for (trouble, name) in Trouble::ALL {
        if options.without.contains(trouble) {
            command += &format!(" --without {name}");
        }
    }
    command
}

impl fmt::Display for SeedReport {
    /// A few lines: the outcome, what was done, what was reached, the command.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.outcome)?;
        writeln!(f, "trace hash {:016x}", self.trace_hash)?;
        writeln!(
            f,
            "{} operations, {} crashes, {} recoveries checked",
            self.operation_count(),
            self.crash_count(),
            self.recovery_count()
        )?;
        for (name, count) in &self.reached {
            writeln!(f, "{count:>8}  {name}")?;
        }
        write!(f, "rerun: {}", self.rerun_command())
    }
}

/// What a seed found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedOutcome {
    /// Nothing.
    Pass,
    /// A wrong answer, or lost data.
    Wrong(String),
    /// Sessions that wait for ever.
    Stuck(String),
    /// A panic.
    Panic(String),
}

impl SeedOutcome {
    /// The exit status that tells the kinds apart.
    pub fn exit_code(&self) -> u8 {
        match self {
            SeedOutcome::Pass => 0,
            SeedOutcome::Wrong(_) => 1,
            SeedOutcome::Stuck(_) => 2,
            SeedOutcome::Panic(_) => 3,
        }
    }

    /// What was found, in words; empty when nothing was.
    pub fn message(&self) -> &str {
        match self {
            SeedOutcome::Pass => "",
            SeedOutcome::Wrong(what) | SeedOutcome::Stuck(what) | SeedOutcome::Panic(what) => what,
        }
    }
}

impl fmt::Display for SeedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeedOutcome::Pass => write!(f, "pass"),
            SeedOutcome::Wrong(what) => write!(f, "WRONG: {what}"),
            SeedOutcome::Stuck(what) => write!(f, "STUCK: {what}"),
            SeedOutcome::Panic(what) => write!(f, "PANIC: {what}"),
        }
    }
}
