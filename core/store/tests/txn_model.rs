//! Random histories of several sessions with crashes, compared with a model: acknowledged commits survive (I1),
//! snapshots see exactly the commits at or before them (I2), commits are whole, and recovery can be repeated.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod txn_support;

use orrery_base::kv::{
    Flow, Isolation, KeyRange, Lookup, ReadMode, RowLock, RowRef, RowSink, Transaction, Wait,
};
use orrery_base::rng::Rng;
use orrery_base::world::Plant;
use orrery_base::{Cx, Result, SqlState, Timestamp, TreeId, World};
use orrery_store::{Durability, Store, StoreOptions, Txn, TxnOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use txn_support::{Disk, Driver, each_seed};

const TREE: TreeId = TreeId(1000);
const MARKERS: TreeId = TreeId(1001);
const KEY_COUNT: u64 = 60;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Default)]
struct History {
    committed: BTreeMap<Timestamp, Writes>,
    in_doubt: BTreeMap<u64, Writes>,
    scans: Vec<(Timestamp, Rows)>,
    next_marker: u64,
    error_count: u64,
}

impl History {
    fn rows_at(&self, at: Timestamp) -> Rows {
        let mut rows = Rows::new();
        for writes in self.committed.range(..=at).map(|(_, writes)| writes) {
            apply(&mut rows, writes);
        }
        rows
    }

    /// What the snapshots saw must be what was committed by then, but for keys of commits whose owners were not told.
    fn check_scans(&mut self, doubtful: &BTreeSet<Vec<u8>>) {
        for (at, mut rows) in std::mem::take(&mut self.scans) {
            let mut expected = self.rows_at(at);
            rows.retain(|key, _| !doubtful.contains(key));
            expected.retain(|key, _| !doubtful.contains(key));
            assert_same(&rows, &expected, &format!("a snapshot at {at}"));
        }
    }
}

fn apply(rows: &mut Rows, writes: &Writes) {
    for (key, value) in writes {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}

/// Compares and, on a difference, shows only the first few keys that differ.
fn assert_same(found: &Rows, expected: &Rows, what: &str) {
    let start = |rows: &Rows, key: &Vec<u8>| rows.get(key).map(|value| value[..value.len().min(8)].to_vec());
    let keys = found.keys().chain(expected.keys()).filter(|key| found.get(*key) != expected.get(*key));
    let differing: Vec<_> = keys.take(4).map(|key| (key, start(found, key), start(expected, key))).collect();
    assert!(differing.is_empty(), "{what}: (key, found, expected) {differing:?}");
}

struct Collect(Rows, usize);

impl RowSink for Collect {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = Vec::new();
            row.key_into(&mut key);
            assert!(self.0.insert(key, row.value.to_vec()).is_none(), "a key comes once");
        }
        self.1 += 1;
        Ok(if self.1.is_multiple_of(2) { Flow::Full } else { Flow::More })
    }
}

async fn scan(cx: &Cx, txn: &Txn, tree: TreeId, mode: ReadMode, reverse: bool) -> Result<Rows> {
    let mut sink = Collect(Rows::new(), 0);
    let mut scan = txn.scan(tree, KeyRange::all(), mode, reverse)?;
    while scan.next_batch(cx, &mut sink).await? {}
    Ok(sink.0)
}

async fn get(cx: &Cx, txn: &Txn, key: &[u8], mode: ReadMode) -> Result<(Option<Vec<u8>>, bool)> {
    loop {
        let mut value = None;
        match txn.get(TREE, key, mode, &mut |bytes| value = Some(bytes.to_vec()))? {
            Lookup::Missing(page) => txn.load(cx, page).await?,
            Lookup::Found { newer } => return Ok((Some(value.unwrap()), newer)),
            Lookup::Absent { newer } => return Ok((None, newer)),
        }
    }
}

fn is_expected(code: SqlState) -> bool {
    [SqlState::DEADLOCK_DETECTED, SqlState::SERIALIZATION_FAILURE].contains(&code)
}

/// One session: transactions of a few writes each, and snapshot scans in between.
async fn session(cx: Cx, store: Arc<Store>, history: Arc<Mutex<History>>, seed: u64, txn_count: u64) {
    let mut rng = Rng::new(seed);
    for _ in 0..txn_count {
        if let Err(error) = one_txn(&cx, &store, &history, &mut rng).await {
            assert!(is_expected(error.code()), "{error:?}");
            history.lock().unwrap().error_count += 1;
        }
        cx.yield_now().await;
    }
}

async fn one_txn(cx: &Cx, store: &Arc<Store>, history: &Mutex<History>, rng: &mut Rng) -> Result<()> {
    let isolation =
        *rng.pick(&[Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable]);
    let txn = store.begin(TxnOptions { isolation, read_only: false }, cx.now())?;
    let at = txn.snapshot_timestamp();
    if rng.chance(1, 3) {
        let rows = scan(cx, &txn, TREE, ReadMode::Snapshot, rng.chance(1, 2)).await?;
        history.lock().unwrap().scans.push((at, rows));
    }
    if rng.chance(1, 4) {
        return Ok(());
    }
    let marker = {
        let mut history = history.lock().unwrap();
        history.next_marker += 1;
        history.next_marker
    };
    let mut writes: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    for _ in 0..rng.range(1..6) {
        let key = rng.below(KEY_COUNT).to_be_bytes().to_vec();
        if !txn.try_lock(TREE, &key, RowLock::Update)? {
            txn.lock(cx, TREE, &key, RowLock::Update, Wait::Block).await?;
        }
        let (current, newer) = get(cx, &txn, &key, ReadMode::Current).await?;
        if let Some(own) = writes.get(&key) {
            assert_eq!(&current, own, "a current read sees own writes");
        } else if newer && isolation != Isolation::ReadCommitted {
            return Err(orrery_base::Error::new(SqlState::SERIALIZATION_FAILURE, "changed"));
        }
        let mark = txn.savepoint();
        let size = if rng.chance(1, 20) { 5000 } else { rng.below(80) as usize };
        if rng.chance(1, 4) {
            txn.relieve(cx).await?;
        }
        let value = (!rng.chance(1, 4)).then(|| [&marker.to_be_bytes()[..], &vec![7; size]].concat());
        match &value {
            Some(value) => txn.put(TREE, &key, value)?,
            None => txn.delete(TREE, &key)?,
        }
        if rng.chance(1, 6) && !writes.contains_key(&key) {
            txn.rollback_to(mark);
            assert_eq!(get(cx, &txn, &key, ReadMode::Current).await?.0, current);
            continue;
        }
        writes.insert(key, value);
    }
    txn.put(MARKERS, &marker.to_be_bytes(), b"")?;
    let writes: Writes = writes.into_iter().collect();
    history.lock().unwrap().in_doubt.insert(marker, writes.clone());
    let outcome = txn.commit(cx).await;
    let mut history = history.lock().unwrap();
    let known = !outcome.as_ref().is_err_and(|it| it.code() == SqlState::TRANSACTION_RESOLUTION_UNKNOWN);
    if known {
        history.in_doubt.remove(&marker);
    }
    assert!(history.committed.insert(outcome?, writes).is_none(), "timestamps are unique");
    Ok(())
}

fn options(rng: &mut Rng) -> StoreOptions {
    StoreOptions {
        page_unit_bytes: 8192,
        pool_budget_bytes: 1 << 20,
        memtable_budget_bytes: 1 << rng.range(11..16),
        log_segment_first_bytes: 4096 << rng.below(4),
        log_segment_max_bytes: 32 << 10,
        memory_bytes: 64 << 20,
        spill_bytes_min: *rng.pick(&[0, 1, 200]),
        durability: Durability::Full,
        ..StoreOptions::default()
    }
}

/// After a crash: every acknowledged commit is there, every other whole or not at all.
fn check_recovered(driver: &mut Driver<Outcome>, store: &Arc<Store>, history: &Mutex<History>) {
    let it = store.clone();
    let outcome = driver.block_on(move |cx| async move {
        let txn = it.begin(TxnOptions::default(), 0).unwrap();
        let rows = scan(&cx, &txn, TREE, ReadMode::Snapshot, false).await.unwrap();
        let backwards = scan(&cx, &txn, TREE, ReadMode::Current, true).await.unwrap();
        assert_eq!(rows, backwards);
        Outcome::State(
            txn.snapshot_timestamp(),
            rows,
            scan(&cx, &txn, MARKERS, ReadMode::Snapshot, false).await.unwrap(),
        )
    });
    let Outcome::State(at, rows, markers) = outcome else { panic!("a state") };
    let mut history = history.lock().unwrap();
    let mut survivors = Writes::new();
    for (marker, writes) in std::mem::take(&mut history.in_doubt) {
        if markers.contains_key(marker.to_be_bytes().as_slice()) {
            survivors.extend(writes);
        }
    }
    let newest_known = history.committed.keys().next_back().copied().unwrap_or(Timestamp::ZERO);
    assert!(at >= newest_known, "the newest acknowledged commit is there");
    // A commit whose owner was not told: its keys hold its value, what was there before, or what came over it.
    let mut expected = history.rows_at(Timestamp::MAX);
    for (key, value) in &survivors {
        if rows.get(key) == value.as_ref() {
            apply(&mut expected, &vec![(key.clone(), value.clone())]);
        }
    }
    assert_same(&rows, &expected, "the recovered state");
    let doubtful = survivors.into_iter().map(|(key, _)| key).collect();
    history.check_scans(&doubtful);
    history.committed =
        BTreeMap::from([(at, rows.into_iter().map(|(key, value)| (key, Some(value))).collect())]);
}

enum Outcome {
    Store(Result<Arc<Store>>),
    State(Timestamp, Rows, Rows),
    Done,
}

fn open(driver: &mut Driver<Outcome>, options: StoreOptions) -> Arc<Store> {
    let opened = driver.block_on(move |cx| async move { Outcome::Store(Store::open(&cx, options).await) });
    let Outcome::Store(store) = opened else { panic!("a store") };
    store.unwrap()
}

/// The planted bug that the environment names, to see that this model catches it. Only with the feature
/// `orrery-base/plants`.
#[allow(clippy::disallowed_methods, reason = "which bug to plant is asked of the environment")]
fn planted() -> Option<Plant> {
    let wanted = std::env::var("TXN_PLANT").ok()?;
    let plant = Plant::ALL.iter().find(|it| it.1 == wanted);
    Some(plant.expect("a planted bug of this name").0)
}

fn world(seed: u64) {
    let mut rng = Rng::fork(seed, "world");
    let options = options(&mut rng);
    let history = Arc::new(Mutex::new(History::default()));
    let mut disk = Disk::default();
    for round in 0..4 {
        let hooks = World::simulated(seed * 10 + round, 20, planted());
        let mut driver = Driver::new(disk, seed * 31 + round, hooks);
        let store = open(&mut driver, options.clone());
        check_recovered(&mut driver, &store, &history);
        let keeper = store.clone();
        driver.spawn_background(move |cx| async move {
            keeper.housekeeping(&cx).await.unwrap();
            Outcome::Done
        });
        for number in 0..4 {
            let (store, history, seed) = (store.clone(), history.clone(), rng.next_u64() ^ number);
            driver.spawn(move |cx| async move {
                session(cx, store, history, seed, 25).await;
                Outcome::Done
            });
        }
        let crash_after = rng.below(3000);
        let is_done = driver.run_steps(crash_after);
        if is_done && rng.chance(1, 2) {
            let it = store.clone();
            driver.block_on(move |cx| async move {
                it.close(&cx).await.unwrap();
                Outcome::Done
            });
            assert_eq!(driver.disk.log_files(), Vec::<u64>::new(), "a closed small database is one file");
        }
        disk = driver.disk.crash(&mut rng, [0, 50, 100][round as usize % 3]);
    }
    let mut driver = Driver::new(disk, seed, World::quiet());
    let store = open(&mut driver, options);
    check_recovered(&mut driver, &store, &history);
}

#[test]
fn acknowledged_commits_survive_and_snapshots_are_exact() {
    each_seed(60, world);
}
