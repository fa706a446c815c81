//! The simulator's hooks: probes for rare states, legal nastiness, planted bugs. All are off in production, where a
//! [`World`] is quiet and each hook costs one branch.
//!
//! - `probe!(world, "log: torn tail cut")` marks a rare state; a run set that leaves a listed probe unreached fails.
//! - `buggify!(world, "checkpoint: start early")` is true now and then in a simulated world: the code volunteers
//!   something legal but unlikely.
//! - `plant!(world, SkipSync)` is true where a planted bug was asked for. It is compiled in by the feature `plants` only
//!   (enabled by the package `sim/plants`), and is the constant `false` elsewhere.

use crate::rng::Rng;
use crate::task::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The hooks of one world.
#[derive(Default)]
pub struct World {
    simulated: Option<Simulated>,
    may_shorten: bool,
}

struct Simulated {
    probes: Mutex<BTreeMap<&'static str, u64>>,
    buggify: Mutex<Rng>,
    buggify_per_mille: u64,
    plant: Option<Plant>,
}

impl World {
    /// No hooks: production.
    pub fn quiet() -> Arc<World> {
        Arc::new(World::default())
    }

    /// No hooks, but the disk may shorten writes (test drivers).
    pub fn shortening() -> Arc<World> {
        Arc::new(World { simulated: None, may_shorten: true })
    }

    /// Hooks drawn from `seed`: each buggify point fires `buggify_per_mille` times in a thousand; at most one bug is
    /// planted.
    pub fn simulated(seed: u64, buggify_per_mille: u64, plant: Option<Plant>) -> Arc<World> {
        let simulated = Simulated {
            probes: Mutex::default(),
            buggify: Mutex::new(Rng::fork(seed, "buggify")),
            buggify_per_mille,
            plant,
        };
        Arc::new(World { simulated: Some(simulated), may_shorten: true })
    }

    /// Whether the disk may do less than it was asked.
    pub fn may_shorten(&self) -> bool {
        self.may_shorten
    }

    /// See [`probe!`](crate::probe).
    #[inline]
    pub fn probe(&self, name: &'static str) {
        if let Some(simulated) = &self.simulated {
            *lock(&simulated.probes).entry(name).or_default() += 1;
        }
    }

    /// How often one probe was reached.
    pub fn probe_count(&self, name: &str) -> u64 {
        self.simulated.as_ref().and_then(|it| lock(&it.probes).get(name).copied()).unwrap_or(0)
    }

    /// How often each probe was reached, by name.
    pub fn probes(&self) -> BTreeMap<&'static str, u64> {
        self.simulated.as_ref().map(|simulated| lock(&simulated.probes).clone()).unwrap_or_default()
    }

    /// See [`buggify!`](crate::buggify).
    #[inline]
    pub fn buggify(&self) -> bool {
        match &self.simulated {
            None => false,
            Some(simulated) => lock(&simulated.buggify).chance(simulated.buggify_per_mille, 1000),
        }
    }

    /// See [`plant!`](crate::plant).
    #[inline]
    pub fn is_planted(&self, plant: Plant) -> bool {
        cfg!(feature = "plants") && self.simulated.as_ref().is_some_and(|it| it.plant == Some(plant))
    }
}

/// Marks a rare state.
#[macro_export]
macro_rules! probe {
    ($world:expr, $name:literal) => {
        $world.probe($name)
    };
}

/// True now and then in a simulated world: do something legal but unlikely.
#[macro_export]
macro_rules! buggify {
    ($world:expr, $why:literal) => {
        $world.buggify()
    };
}

/// True where this bug was planted. Constant false without the feature `plants`.
#[macro_export]
macro_rules! plant {
    ($world:expr, $plant:ident) => {
        $world.is_planted($crate::world::Plant::$plant)
    };
}

macro_rules! plants {
    ($($name:ident = $what:literal,)*) => {
        /// The planted bugs: each is one wrong line in the core that some checker must catch.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Plant { $(#[doc = $what] $name,)* }

        impl Plant {
            /// All of them, in order, with what each does.
            pub const ALL: &'static [(Plant, &'static str, &'static str)] =
                &[$((Plant::$name, stringify!($name), $what),)*];
        }
    };
}

plants! {
    SkipLogSync = "acknowledge a commit without syncing its batch",
    AckEarly = "acknowledge a commit when its batch is submitted, before the sync completes",
    PublishBeforeInstall = "publish a commit's timestamp before its write set is in the memtable",
    RecycleLogEarly = "recycle log segments past the newer superblock instead of the older",
    FallBackToOldSuperblock = "open the older superblock when the newer one's log does not connect",
    ResurrectCutBatch = "replay a batch that lies behind the first bad one",
    MissTombstoneInMerge = "drop a tombstone in the checkpoint merge instead of removing the row",
    ValidateInstalledOnly = "SERIALIZABLE validates against installed commits only, not sequenced ones",
    SkipRecheckAfterLock = "skip the newest-version check when the lock was granted without waiting",
    SnapshotReadUniqueCheck = "check uniqueness on the snapshot instead of the newest version",
    FreePageEarly = "free a replaced page one superblock generation early",
    CheckpointWithoutLogSync = "write the superblock before the log up to its position is synced",
    SuperblockBeforePages = "write the superblock before the pages are synced",
    SkipDeadlockCheck = "never look for a cycle of waiting transactions",
    LoseOldestVersion = "drop the version an old snapshot still needs when the memtable is frozen",
    RollbackKeepsWrites = "ROLLBACK TO leaves the writes made after the savepoint",
    ReleaseLocksBeforeInstall = "release row locks before the commit is installed",
    IgnorePageChecksum = "accept a page whose checksum differs from its pointer's",
    IgnoreIndexOnDelete = "leave the index entries of a deleted row",
    StaleFilter = "skip adding a key to the memtable's filter",
    HistoryForgetsDeletes = "keep no tombstone in the history, so that a deleted row stays in the past",
    HistoryForgetsChains = "keep of each key only the version that the tree had",
    ShareLockIsForgotten = "let who wants to change a row have its lock, although one transaction shares it",
    UpgradeForgetsWaiters = "a holder that waits for a stronger mode takes the places of those that waited already",
    GivenUpWaitKeepsPlace = "leave the place in a lock's queue when the wait is given up",
    AdvisoryUnlockTakesAll = "giving back one mode of an advisory lock gives back the other, too",
    SpillForgetsRollback = "commit writes of a piece that were rolled back to a savepoint",
    SpillShowsOwnStatement = "let a statement see its own writes once they have left memory",
    SpillPiecesReversed = "commit the pieces of a write set as if the oldest were the newest",
    HistoryHidesExpiry = "let a run of the history go and say nothing of it",
}
