//! One seed: epochs of sessions at work, each ended by a crash (or a clean close), a recovery, and the checkers.
//!
//! The run of an epoch: open (recovering what the last one left; that may crash too), compare what is there with the
//! history, check the history, walk the structure; then sessions, a checkpointer and faults until the crash.

use crate::check;
use crate::disk::Disk;
use crate::history::{History, Key, State, ValueId};
use crate::injure::Injury;
use crate::knobs::{Door, Knobs};
use crate::report::{SeedOutcome, SeedReport};
use crate::trace::Trace;
use crate::workload::kv::{self, Legal, Log, Shared};
use crate::workload::{Everything, rows, sql, tables};
use crate::world::{ActorId, SimWorld, Step};
use orrery_base::kv::{Isolation, KeyRange, ReadMode, Transaction};
use orrery_base::rng::Rng;
use orrery_base::task::{Task, lock};
use orrery_base::world::Plant;
use orrery_base::{Cx, Error, Result, Timestamp, World};
use orrery_engine::{Database, DatabaseOptions};
use orrery_store::{Durability, Store, TxnOptions};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// How to run a seed.
#[derive(Clone, Debug, Default)]
pub struct SeedOptions {
    /// Keep the lines of the trace.
    pub keep_trace: bool,
    /// The planted bug; none is planted without the feature `orrery-base/plants`.
    pub plant: Option<Plant>,
    /// Enter here, whatever the seed says.
    pub door: Option<Door>,
    /// Run no more operations than this: shrinking.
    pub op_count_max: Option<u64>,
    /// Turn one source of trouble off: shrinking.
    pub without: Vec<Trouble>,
}

/// What a shrinker may turn off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Failing and short requests.
    Faults,
    /// The full disk.
    Full,
    /// Damage to files.
    Damage,
    /// `buggify!` points.
    Buggify,
    /// Dropped tasks.
    Drops,
    /// Checkpoints.
    Checkpoints,
    /// Slow disks.
    Latency,
}

impl Trouble {
    /// All of them, with the names that the command line takes.
    pub const ALL: &'static [(Trouble, &'static str)] = &[
        (Trouble::Faults, "faults"),
        (Trouble::Full, "full"),
        (Trouble::Damage, "damage"),
        (Trouble::Buggify, "buggify"),
        (Trouble::Drops, "drops"),
        (Trouble::Checkpoints, "checkpoints"),
        (Trouble::Latency, "latency"),
    ];
}

/// Runs the world of one seed from beginning to end.
pub fn run_seed(seed: u64, options: &SeedOptions) -> SeedReport {
    let mut run = Run::new(seed, options);
    let outcome = match catch_unwind(AssertUnwindSafe(|| run.run())) {
        Ok(Ok(())) => SeedOutcome::Pass,
        Ok(Err(Stop::Refused)) => {
            run.count("sim: damage refused", 1);
            SeedOutcome::Pass
        }
        Ok(Err(Stop::Wrong(what))) => SeedOutcome::Wrong(what),
        Ok(Err(Stop::Stuck(what))) => SeedOutcome::Stuck(what),
        Err(panic) => SeedOutcome::Panic(panic_text(panic.as_ref())),
    };
    run.report(outcome)
}

/// Why a seed ends before its time.
enum Stop {
    /// The database refuses damaged files, as it should.
    Refused,
    Wrong(String),
    Stuck(String),
}

struct Run {
    seed: u64,
    knobs: Knobs,
    options: SeedOptions,
    world: SimWorld,
    hooks: Arc<World>,
    rng: Rng,
    next_txn: u64,
    epoch: u64,
    log: Log,
    counts: BTreeMap<&'static str, u64>,
    injured: bool,
    /// XX001 is a legal answer.
    damaged: bool,
}

/// What one recovery found.
struct Recovered {
    store: Arc<Store>,
    db: Option<Database>,
    state: State,
    previous: Vec<(Key, ValueId, Option<ValueId>)>,
    snapshot: Timestamp,
}

type Slot<T> = Arc<Mutex<Option<Result<T>>>>;

impl Run {
    fn new(seed: u64, options: &SeedOptions) -> Run {
        let mut knobs = Knobs::draw(seed);
        turn_off(&mut knobs, &options.without);
        knobs.door = options.door.unwrap_or(knobs.door);
        if let Some(max) = options.op_count_max {
            knobs.op_count = knobs.op_count.min(max);
            knobs.epoch_count_min = 1;
        }
        let disk = Disk::new(seed, knobs.faults.clone());
        let mut world = SimWorld::new(seed, disk, knobs.pace.clone(), Trace::new(options.keep_trace));
        world.event("world", format_args!("{knobs:?}"));
        Run {
            seed,
            hooks: World::simulated(seed, knobs.buggify_per_mille, options.plant),
            options: options.clone(),
            world,
            rng: Rng::fork(seed, "run"),
            next_txn: 1,
            epoch: 0,
            log: Log::default(),
            counts: BTreeMap::new(),
            injured: false,
            damaged: false,
            knobs,
        }
    }

    fn run(&mut self) -> Result<(), Stop> {
        loop {
            let recovered = self.recover()?;
            self.judge(&recovered)?;
            let relaxed = self.knobs.store.durability != Durability::Full;
            // Relaxed, the newest acknowledged commits may be gone.
            let before = if relaxed { Timestamp::ZERO } else { self.log.history.newest_acked };
            let newest_acked = before.max(recovered.snapshot);
            self.log.history = History::starting(recovered.state, newest_acked, relaxed);
            self.log.history.began_at = recovered.snapshot;
            self.log.history.unique_count = tables::unique_count(&self.knobs.mix);
            self.count("sim: recoveries checked", u64::from(self.epoch > 0));
            if self.log.op_count >= self.knobs.op_count && self.epoch >= self.knobs.epoch_count_min {
                return Ok(());
            }
            self.epoch += 1;
            self.work(recovered.store, recovered.db)?;
        }
    }

    /// Opens and reads everything, through crashes in between.
    fn recover(&mut self) -> Result<Recovered, Stop> {
        for attempt in 0.. {
            let faulty = self.knobs.faulty_recovery && attempt < 3 && self.rng.chance(1, 2);
            self.set_faults(faulty);
            let crash_in = (attempt < 3 && self.rng.chance(1, 4)).then(|| self.rng.range(1..60));
            let answer = self.try_recover(crash_in)?;
            match answer {
                Some(Ok(recovered)) => {
                    self.set_faults(true);
                    return Ok(recovered);
                }
                Some(Err(error)) if self.damaged && error.code() == orrery_base::SqlState::DATA_CORRUPTED => {
                    return Err(Stop::Refused);
                }
                Some(Err(error)) if faulty && self.legal(true).allows(&error) => {
                    self.count("sim: recovery failed and was repeated", 1);
                }
                Some(Err(error)) => {
                    return Err(Stop::Wrong(format!("the database does not open: {error:?}")));
                }
                None => self.count("sim: crash during recovery", 1),
            }
            self.world.crash();
        }
        unreachable!("the loop has no end")
    }

    /// One attempt; `None` when the power went first.
    fn try_recover(&mut self, crash_in: Option<u64>) -> Result<Option<Result<Recovered>>, Stop> {
        let slot: Slot<Recovered> = Arc::default();
        let (into, options) = (slot.clone(), self.knobs.store.clone());
        let knobs = (self.knobs.door, self.knobs.mix.clone());
        let task = Task::new(self.hooks.clone(), |cx| async move {
            let answer = recover_task(&cx, options, knobs).await;
            *lock(&into) = Some(answer);
        });
        let actor = self.world.spawn("recovery", task);
        let mut left = crash_in;
        loop {
            if left == Some(0) {
                return Ok(None);
            }
            left = left.map(|left| left - 1);
            match self.world.step() {
                Step::Finished(id) if id == actor => break,
                Step::Stuck | Step::Idle => return Err(Stop::Stuck("recovery waits for ever".into())),
                _ => {}
            }
        }
        Ok(lock(&slot).take())
    }

    /// Compares what was recovered with what was recorded.
    fn judge(&mut self, recovered: &Recovered) -> Result<(), Stop> {
        if let Some(failure) = self.log.failures.first() {
            return Err(Stop::Wrong(failure.clone()));
        }
        let wrong = |what| Stop::Wrong(what);
        for (key, value, previous) in &recovered.previous {
            self.log.history.note_previous(key.clone(), *value, *previous);
        }
        let happened = check::durability::resolve(&self.log.history, &recovered.state).map_err(wrong)?;
        check::durability::settle(&mut self.log.history, &happened);
        let unanswered = happened.values().filter(|happened| **happened).count();
        self.count("sim: unanswered commits that happened", unanswered as u64);
        self.count("sim: unanswered commits that did not", happened.len() as u64 - unanswered as u64);
        check::epoch(&self.log.history).map_err(wrong)
    }

    /// Sessions at work, until the crash or the close.
    fn work(&mut self, store: Arc<Store>, db: Option<Database>) -> Result<(), Stop> {
        let log = Mutex::new(std::mem::take(&mut self.log));
        let legal = Mutex::new(self.legal(true));
        let shared = Arc::new(Shared {
            store,
            db,
            mix: self.knobs.mix.clone(),
            log,
            legal,
            stop_checkpoints: AtomicBool::new(false),
            advisory: Default::default(),
        });
        let mut crew = Crew::default();
        for session in 0..self.knobs.session_count {
            self.start_transaction(&mut crew, &shared, session);
        }
        self.start_checkpointer(&shared);
        self.start_housekeeping(&shared);
        let outcome = self.work_until_the_end(&mut crew, &shared);
        self.log = std::mem::take(&mut *lock(&shared.log));
        outcome
    }

    fn work_until_the_end(&mut self, crew: &mut Crew, shared: &Arc<Shared>) -> Result<(), Stop> {
        let mut steps = self.rng.range(self.knobs.epoch_steps_max / 10..self.knobs.epoch_steps_max);
        let drains = self.rng.chance(1, 3);
        let closes = drains && self.epoch > 1 && self.rng.chance(1, 2);
        let injury_at = self.knobs.injury.filter(|_| !self.injured).map(|_| self.rng.below(steps));
        let failed_syncs = self.world.disk.counts.sync_error_count;
        let mut step = 0;
        while step < steps {
            step += 1;
            if Some(step) == injury_at {
                self.injure(Injury::while_running);
                lock(&shared.legal).damage = self.damaged;
            }
            self.let_space_come_and_go();
            if shared.store.is_poisoned() {
                // A little longer: what does a poisoned store answer? Then the power goes.
                self.count("sim: steps with a poisoned store", 1);
                steps = steps.min(step + 200);
            }
            match self.world.step() {
                Step::Stuck | Step::Idle => return Err(self.stuck()),
                Step::Finished(id) => {
                    if let Some((session, _)) = crew.actors.remove(&id) {
                        self.start_transaction(crew, shared, session);
                    }
                }
                Step::Progress => self.maybe_drop_one(crew, shared),
            }
            if self.world.disk.counts.sync_error_count > failed_syncs {
                lock(&shared.legal).sync_failed = true;
            }
        }
        if drains {
            self.drain(crew, shared)?;
        }
        if closes && !shared.store.is_poisoned() {
            self.close(shared)?;
        }
        self.world.crash();
        if self.rng.chance(1, 2) {
            self.injure(Injury::while_down);
        }
        Ok(())
    }

    /// Lets the sessions finish; each of them must.
    fn drain(&mut self, crew: &mut Crew, shared: &Shared) -> Result<(), Stop> {
        shared.stop_checkpoints.store(true, Ordering::Relaxed);
        let mut patience_end = self.world.now() + PATIENCE_MICROS;
        while !crew.actors.is_empty() {
            match self.world.step() {
                Step::Stuck | Step::Idle => return Err(self.stuck()),
                Step::Finished(id) => drop(crew.actors.remove(&id)),
                Step::Progress => {}
            }
            if self.world.newest_poll(|id| crew.actors.contains_key(&id)) == self.world.step_count() {
                patience_end = self.world.now() + PATIENCE_MICROS;
            } else if self.world.now() > patience_end {
                return Err(self.stuck());
            }
        }
        self.count("sim: drained epochs", 1);
        Ok(())
    }

    fn start_housekeeping(&mut self, shared: &Arc<Shared>) {
        let shared = shared.clone();
        let task = Task::new(self.hooks.clone(), |cx| async move {
            if let Err(error) = shared.store.housekeeping(&cx).await {
                kv::note_error(&shared, "housekeeping", &error);
            }
        });
        self.world.spawn("housekeeping", task);
    }

    fn start_transaction(&mut self, crew: &mut Crew, shared: &Arc<Shared>, session: u64) {
        let (number, shared) = (self.next_txn, shared.clone());
        self.next_txn += 1;
        let rng = Rng::fork(self.seed, &format!("txn-{number}"));
        let hooks = self.hooks.clone();
        let task = match self.knobs.door {
            Door::KeyValue => Task::new(hooks, |cx| kv::transaction(cx, shared, session, number, rng)),
            Door::Sql => Task::new(hooks, |cx| sql::transaction(cx, shared, session, number, rng)),
        };
        let id = self.world.spawn(format!("s{session}.t{number}"), task);
        crew.actors.insert(id, (session, number));
    }

    fn maybe_drop_one(&mut self, crew: &mut Crew, shared: &Arc<Shared>) {
        // A transaction takes some twenty steps.
        if self.knobs.drop_per_mille == 0 || !self.rng.chance(self.knobs.drop_per_mille, 20_000) {
            return;
        }
        let ids: Vec<_> = crew.actors.keys().copied().collect();
        let Some(&id) = (!ids.is_empty()).then(|| self.rng.pick(&ids)) else { return };
        let (session, number) = crew.actors.remove(&id).expect("picked from the crew");
        kv::note_dropped(shared, number);
        self.world.drop_actor(id);
        self.count("sim: task dropped in the middle", 1);
        self.start_transaction(crew, shared, session);
    }

    fn start_checkpointer(&mut self, shared: &Arc<Shared>) {
        if self.options.without.contains(&Trouble::Checkpoints) {
            return;
        }
        let mut rng = Rng::fork(self.seed, &format!("checkpointer-{}", self.epoch));
        let (shared, pause_max) = (shared.clone(), self.knobs.checkpoint_pause_micros_max);
        let task = Task::new(self.hooks.clone(), move |cx| async move {
            while !shared.stop_checkpoints.load(Ordering::Relaxed) {
                kv::pause(&cx, rng.range(1..pause_max)).await;
                let acked = lock(&shared.log).history.newest_acked;
                match shared.store.checkpoint(&cx).await {
                    Ok(_) => kv::note_durable(&shared, acked),
                    Err(error) => kv::note_error(&shared, "checkpoint", &error),
                }
            }
        });
        self.world.spawn("checkpointer", task);
    }

    /// Closes: the next opening must find everything.
    fn close(&mut self, shared: &Arc<Shared>) -> Result<(), Stop> {
        lock(&shared.legal).closing = true;
        let task = {
            let shared = shared.clone();
            Task::new(self.hooks.clone(), |cx| async move {
                let acked = lock(&shared.log).history.newest_acked;
                let closed = match &shared.db {
                    Some(db) => cx.run(db.close()).await,
                    None => shared.store.close(&cx).await,
                };
                match closed {
                    Ok(()) => kv::note_durable(&shared, acked),
                    Err(error) => kv::note_error(&shared, "close", &error),
                }
            })
        };
        let id = self.world.spawn("close", task);
        loop {
            match self.world.step() {
                Step::Finished(finished) if finished == id => break,
                Step::Stuck | Step::Idle => return Err(Stop::Stuck("closing waits for ever".into())),
                _ => {}
            }
        }
        self.count("sim: clean closes", 1);
        Ok(())
    }

    fn let_space_come_and_go(&mut self) {
        if !self.knobs.fills_up || !self.rng.chance(1, 200) {
            return;
        }
        let faults = &mut self.world.disk.faults;
        if faults.capacity_bytes == u64::MAX {
            let free = self.rng.below(100_000);
            self.world.disk.faults.capacity_bytes = self.world.disk.used_bytes() + free;
            self.world.event("disk", format_args!("has {free} bytes left"));
        } else {
            faults.capacity_bytes = u64::MAX;
            self.world.event("disk", format_args!("has space again"));
        }
    }

    fn injure(&mut self, how: impl Fn(Injury, &mut Disk, &mut Rng) -> bool) {
        let Some(injury) = self.knobs.injury.filter(|_| !self.injured) else { return };
        if how(injury, &mut self.world.disk, &mut self.rng) {
            self.injured = true;
            self.damaged = injury.may_refuse();
            self.world.event("disk", format_args!("{injury:?}"));
        }
    }

    fn set_faults(&mut self, on: bool) {
        let quiet = crate::disk::DiskFaults {
            sector_bytes: self.knobs.faults.sector_bytes,
            short_per_mille: self.knobs.faults.short_per_mille,
            ..Default::default()
        };
        self.world.disk.faults = if on { self.knobs.faults.clone() } else { quiet };
    }

    fn legal(&self, faults_on: bool) -> Legal {
        let faults = &self.knobs.faults;
        let rates = faults.read_error_per_mille + faults.write_error_per_mille + faults.sync_error_per_mille;
        Legal {
            io: faults_on && rates > 0,
            full: self.knobs.fills_up,
            damage: self.damaged,
            drops: self.knobs.drop_per_mille > 0,
            ..Legal::default()
        }
    }

    fn stuck(&self) -> Stop {
        Stop::Stuck(format!("these wait for ever: {}", self.world.waiting_names().join(", ")))
    }

    fn count(&mut self, name: &'static str, times: u64) {
        *self.counts.entry(name).or_default() += times;
    }

    fn report(mut self, outcome: SeedOutcome) -> SeedReport {
        let disk = self.world.disk.counts.clone();
        let mut reached = std::mem::take(&mut self.counts);
        reached.extend([
            ("sim: crashes", self.world.crash_count()),
            ("sim: epochs", self.epoch),
            ("sim: operations", self.log.op_count),
            ("sim: steps", self.world.step_count()),
            ("sim: transactions", self.next_txn - 1),
            ("disk: failed requests", disk.error_count),
            ("disk: failed syncs", disk.sync_error_count),
            ("disk: full", disk.full_count),
            ("disk: short requests", disk.short_count),
            ("disk: torn writes", disk.torn_count),
            ("disk: lost writes", disk.lost_count),
            ("disk: reordered writes", disk.reordered_count),
            ("disk: damage", disk.damage_count),
        ]);
        reached.extend(self.hooks.probes());
        reached.retain(|_, count| *count > 0);
        self.world.event("world", format_args!("{outcome:?}"));
        let trace = std::mem::replace(&mut self.world.trace, Trace::new(false));
        SeedReport {
            seed: self.seed,
            trace_hash: trace.hash(),
            reached,
            outcome,
            trace: trace.into_lines(),
            options: self.options,
        }
    }
}

/// The sessions' transactions under way.
#[derive(Default)]
struct Crew {
    /// Each with its session and its transaction's number.
    actors: BTreeMap<ActorId, (u64, u64)>,
}

/// Virtual time in which no session is polled, after which they are said to wait for ever: longer than any timer.
const PATIENCE_MICROS: u64 = 100_000_000;

async fn recover_task(
    cx: &Cx,
    options: orrery_store::StoreOptions,
    knobs: (Door, crate::knobs::Mix),
) -> Result<Recovered> {
    let (door, mix) = knobs;
    if door == Door::Sql {
        let db = cx.run(Database::open(cx.world().clone(), DatabaseOptions { store: options })).await?;
        check_structure(cx, db.store()).await?;
        let tables::Contents { state, previous, snapshot } = tables::read_all(cx, &db, &mix).await?;
        return Ok(Recovered { store: db.store().clone(), db: Some(db), state, previous, snapshot });
    }
    let store = Store::open(cx, options).await?;
    check_structure(cx, &store).await?;
    let txn = store.begin(TxnOptions { isolation: Isolation::RepeatableRead, read_only: true }, cx.now())?;
    txn.begin_statement()?;
    let mut state = State::new();
    for tree in rows::trees(&mix) {
        let mut sink = Everything::default();
        let mut scan = txn.scan(tree, KeyRange::all(), ReadMode::Snapshot, false)?;
        while scan.next_batch(cx, &mut sink).await? {}
        drop(scan);
        for (key, bytes) in sink.rows {
            let value = rows::decode(&key, &bytes).map_err(Error::internal)?;
            state.insert(Key(tree, key), value);
        }
    }
    let snapshot = txn.snapshot_timestamp();
    txn.rollback();
    Ok(Recovered { store, db: None, state, previous: vec![], snapshot })
}

async fn check_structure(cx: &Cx, store: &Arc<Store>) -> Result<()> {
    let findings = check::structure::check(cx, store).await?;
    if findings.is_empty() { Ok(()) } else { Err(Error::corrupt(findings.join("; "))) }
}

fn turn_off(knobs: &mut Knobs, without: &[Trouble]) {
    for trouble in without {
        match trouble {
            Trouble::Faults => {
                let sector_bytes = knobs.faults.sector_bytes;
                knobs.faults = crate::disk::DiskFaults { sector_bytes, ..Default::default() };
            }
            Trouble::Full => knobs.fills_up = false,
            Trouble::Damage => knobs.injury = None,
            Trouble::Buggify => knobs.buggify_per_mille = 0,
            Trouble::Drops => knobs.drop_per_mille = 0,
            Trouble::Checkpoints => {}
            Trouble::Latency => knobs.pace.slow_per_mille = 0,
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
}
