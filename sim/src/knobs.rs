//! Swarm testing (Groce et al., 2012): each seed draws its own world, so that rare settings meet often enough. A knob
//! that is off in one seed is extreme in another.

use crate::disk::DiskFaults;
use crate::injure::Injury;
use crate::world::Pace;
use orrery_base::rng::Rng;
use orrery_store::{Durability, StoreOptions};

/// Everything a seed decides before the first step.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// The store's own settings.
    pub store: StoreOptions,
    /// What the disk may do while sessions run. At recovery it is spared, unless [`Knobs::faulty_recovery`].
    pub faults: DiskFaults,
    /// Whether recovery meets the same faults.
    pub faulty_recovery: bool,
    /// How fast the parts are.
    pub pace: Pace,
    /// How often a `buggify!` point fires, in a thousand.
    pub buggify_per_mille: u64,
    /// Sessions at work at the same time: at least 3.
    pub session_count: u64,
    /// Operations after which no new epoch begins: at least 500.
    pub op_count: u64,
    /// Epochs at least, each with its crash or close.
    pub epoch_count_min: u64,
    /// The most steps of an epoch before its crash.
    pub epoch_steps_max: u64,
    /// Whether space on the disk comes and goes.
    pub fills_up: bool,
    /// The damage done, if any.
    pub injury: Option<Injury>,
    /// Transactions in a thousand whose task is dropped in the middle.
    pub drop_per_mille: u64,
    /// The longest pause between checkpoints.
    pub checkpoint_pause_micros_max: u64,
    /// Through which door.
    pub door: Door,
    /// What transactions do.
    pub mix: Mix,
}

/// Where the workload enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The store's transactions.
    KeyValue,
    /// The engine's sessions.
    Sql,
}

impl Door {
    /// Both, with the names that the command line takes.
    pub const ALL: &'static [(Door, &'static str)] = &[(Door::KeyValue, "kv"), (Door::Sql, "sql")];

    /// The door of this name.
    pub fn named(name: &str) -> Option<Door> {
        Door::ALL.iter().find(|(_, known)| *known == name).map(|(door, _)| *door)
    }
}

/// The workload's proportions; weights are relative.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Trees.
    pub tree_count: u64,
    /// Keys a tree: few, so that sessions meet.
    pub key_count: u64,
    /// Bytes that lengthen every key.
    pub key_padding_bytes: u64,
    /// Bytes of the usual longest value.
    pub value_bytes_max: u64,
    /// Values in a thousand that need overflow pages.
    pub large_value_per_mille: u64,
    /// Statements a transaction, at most.
    pub statement_count_max: u64,
    /// Weights of: point read, scan, update, insert, delete, read-modify-write.
    pub weights: [u64; 6],
    /// Weights of READ COMMITTED, REPEATABLE READ, SERIALIZABLE.
    pub levels: [u64; 3],
    /// Statements in a thousand that set a savepoint.
    pub savepoint_per_mille: u64,
    /// Statements in a thousand that roll back to one.
    pub rollback_to_per_mille: u64,
    /// Transactions in a thousand that roll back at their end.
    pub rollback_per_mille: u64,
    /// Locks in a thousand that do not wait.
    pub nowait_per_mille: u64,
    /// Transactions in a thousand that lock a whole tree first.
    pub table_lock_per_mille: u64,
    /// Operations in a thousand that share a row, and hold on to it.
    pub share_per_mille: u64,
    /// Operations in a thousand that take or give back advisory locks.
    pub advisory_per_mille: u64,
    /// Transactions in a thousand that read the past instead.
    pub past_per_mille: u64,
    /// Statements in a thousand before which the relations of the running database are read.
    pub watch_per_mille: u64,
}

impl Knobs {
    /// Draws a world.
    pub fn draw(seed: u64) -> Knobs {
        let mut knobs = Knobs::draw_first(seed);
        // Drawn apart, so that what is above stays as it was in seeds of old.
        let rng = &mut Rng::fork(seed, "history knobs");
        knobs.store.history_micros = *rng.pick(&[0, 20_000, 3_600_000_000, 3_600_000_000]);
        knobs.store.history_bytes_max = *rng.pick(&[0, 64 << 10, 512 << 10]);
        if knobs.store.history_micros > 0 {
            knobs.mix.past_per_mille = *rng.pick(&[0, 50, 200]);
        }
        let rng = &mut Rng::fork(seed, "lock knobs");
        knobs.mix.share_per_mille = *rng.pick(&[0, 50, 200]);
        knobs.mix.advisory_per_mille = *rng.pick(&[0, 0, 50, 200]);
        let rng = &mut Rng::fork(seed, "spill knobs");
        knobs.store.spill_bytes_min = *rng.pick(&[0, 0, 1, 500]);
        knobs.store.spill_piece_count_max = *rng.pick(&[0, 2, 4]);
        let rng = &mut Rng::fork(seed, "watch knobs");
        knobs.mix.watch_per_mille = *rng.pick(&[0, 0, 0, 50]);
        knobs
    }

    fn draw_first(seed: u64) -> Knobs {
        let rng = &mut Rng::fork(seed, "knobs");
        let fills_up = rng.chance(1, 8);
        let injury = rng.chance(1, 5).then(|| *rng.pick(Injury::ALL));
        Knobs {
            store: draw_store(rng, seed),
            faults: draw_faults(rng),
            faulty_recovery: rng.chance(1, 3),
            pace: Pace {
                disk_micros_max: *rng.pick(&[0, 20, 100, 1000]),
                slow_per_mille: *rng.pick(&[0, 5, 30]),
                poll_micros_max: *rng.pick(&[0, 5, 20]),
                subtask_per_mille: *rng.pick(&[0, 500, 1000]),
            },
            buggify_per_mille: *rng.pick(&[0, 10, 50, 200]),
            session_count: rng.range(3..8),
            op_count: rng.range(500..700),
            epoch_count_min: rng.range(2..4),
            epoch_steps_max: *rng.pick(&[400, 1500, 3000]),
            fills_up,
            injury,
            drop_per_mille: *rng.pick(&[0, 0, 20, 100]),
            checkpoint_pause_micros_max: *rng.pick(&[500, 3_000, 20_000, 1_000_000]),
            mix: draw_mix(rng),
            door: *rng.pick(&[Door::KeyValue, Door::Sql]),
        }
    }
}

fn draw_store(rng: &mut Rng, seed: u64) -> StoreOptions {
    let log_segment_first_bytes = *rng.pick(&[16 << 10, 32 << 10, 64 << 10]);
    StoreOptions {
        pool_budget_bytes: *rng.pick(&[64 << 10, 256 << 10, 4 << 20]),
        memtable_budget_bytes: *rng.pick(&[16 << 10, 64 << 10, 1 << 20]),
        memory_bytes: 64 << 20,
        log_segment_first_bytes,
        log_segment_max_bytes: log_segment_first_bytes * *rng.pick(&[1, 2, 4]),
        log_budget_bytes: *rng.pick(&[64 << 10, 256 << 10, 1 << 20]),
        write_set_budget_bytes: 4 << 20,
        durability: match rng.below(8) {
            0 => Durability::None,
            1 => Durability::Interval { ms: rng.range(1..20) as u32 },
            _ => Durability::Full,
        },
        seed,
        ..StoreOptions::default()
    }
}

fn draw_faults(rng: &mut Rng) -> DiskFaults {
    let mut now_and_then = |rates: &[u64]| if rng.chance(1, 4) { *rng.pick(rates) } else { 0 };
    let mut faults = DiskFaults {
        short_per_mille: now_and_then(&[10, 100, 500]),
        read_error_per_mille: now_and_then(&[2, 20]),
        write_error_per_mille: now_and_then(&[2, 10]),
        sync_error_per_mille: now_and_then(&[2, 20]),
        ..DiskFaults::default()
    };
    faults.sector_bytes = *rng.pick(&[512, 4096]);
    faults
}

fn draw_mix(rng: &mut Rng) -> Mix {
    Mix {
        tree_count: rng.range(1..4),
        key_count: *rng.pick(&[4, 12, 40, 150]),
        key_padding_bytes: *rng.pick(&[0, 0, 10, 300, 1500]),
        value_bytes_max: *rng.pick(&[20, 100, 400, 1900]),
        large_value_per_mille: *rng.pick(&[0, 0, 10, 50]),
        statement_count_max: rng.range(2..7),
        weights: [0; 6].map(|_| rng.range(0..6)).map(|weight| weight + 1),
        levels: [0; 3].map(|_| rng.range(1..5)),
        savepoint_per_mille: *rng.pick(&[0, 100, 300]),
        rollback_to_per_mille: *rng.pick(&[100, 300]),
        rollback_per_mille: *rng.pick(&[10, 100]),
        nowait_per_mille: *rng.pick(&[0, 50, 300]),
        table_lock_per_mille: *rng.pick(&[0, 10, 50]),
        share_per_mille: 0,
        advisory_per_mille: 0,
        past_per_mille: 0,
        watch_per_mille: 0,
    }
}
