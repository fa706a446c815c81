//! The planted bugs' runner: checks the checkers. This package alone enables `orrery-base/plants`, and it is outside
//! the default members, so no other build carries a planted bug.

use orrery_base::world::Plant;
use orrery_sim::{SeedOptions, SeedOutcome, run_seed};
use std::time::Duration;

/// What one plant came to.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The bug's name.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Seeds run until it was caught, and how; `None` when it was not.
    pub caught: Option<(u64, SeedOutcome)>,
}

/// The bugs that the first hundred seeds are sure to find: for a check at every change.
pub const QUICK: &[Plant] = &[
    Plant::SkipLogSync,
    Plant::AckEarly,
    Plant::PublishBeforeInstall,
    Plant::ResurrectCutBatch,
    Plant::MissTombstoneInMerge,
    Plant::ValidateInstalledOnly,
    Plant::FreePageEarly,
    Plant::CheckpointWithoutLogSync,
    Plant::SuperblockBeforePages,
    Plant::SkipDeadlockCheck,
    Plant::LoseOldestVersion,
    Plant::RollbackKeepsWrites,
    Plant::ReleaseLocksBeforeInstall,
    Plant::StaleFilter,
    Plant::HistoryForgetsDeletes,
    Plant::HistoryForgetsChains,
];
/// Seeds for each of them.
pub const QUICK_SEED_COUNT: u64 = 100;

/// Plants one bug and runs seeds from 0 until a checker catches it, at most `seed_count_max`. The seeds must pass without
/// the bug, which the ordinary runs see to.
pub fn hunt(plant: Plant, seed_count_max: u64) -> Finding {
    let (_, name, what) = *Plant::ALL.iter().find(|(it, _, _)| *it == plant).expect("every plant is listed");
    let options = SeedOptions { plant: Some(plant), ..SeedOptions::default() };
    let caught = (0..seed_count_max).find_map(|seed| {
        let outcome = run_guarded(seed, options.clone());
        (outcome != SeedOutcome::Pass).then_some((seed + 1, outcome))
    });
    Finding { name, what, caught }
}

/// How long one world may take. A bug may make a loop of the core endless, from which no scheduler of one thread comes
/// back; worlds take some thirty milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a seed on a thread of its own, which is left behind if it never ends.
fn run_guarded(seed: u64, options: SeedOptions) -> SeedOutcome {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more when it took too long.
        drop(sender.send(run_seed(seed, &options).outcome));
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(outcome) => outcome,
        Err(_) => SeedOutcome::Stuck("one step of the world does not end".into()),
    }
}
