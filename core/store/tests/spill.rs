//! Transactions whose writes leave memory, piece by piece, against a model: own reads, statements, savepoints, older snapshots,
//! the past, crashes before and after the commit, and the file's space.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod txn_support;

use orrery_base::kv::{Flow, KeyRange, Lookup, ReadMode, RowRef, RowSink, Savepoint, Transaction};
use orrery_base::rng::Rng;
use orrery_base::{Cx, Result, Timestamp, TreeId, World};
use orrery_store::{Store, StoreOptions, Txn, TxnOptions};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use txn_support::{Disk, Driver, each_seed};

const TREES: [TreeId; 2] = [TreeId(1000), TreeId(1001)];
const KEY_COUNT: u64 = 300;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
type State = BTreeMap<TreeId, Rows>;

struct Collect(Vec<(Vec<u8>, Vec<u8>)>);

impl RowSink for Collect {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = Vec::new();
            row.key_into(&mut key);
            self.0.push((key, row.value.to_vec()));
        }
        Ok(Flow::More)
    }
}

async fn scan(cx: &Cx, txn: &Txn, tree: TreeId, range: KeyRange, mode: ReadMode, reverse: bool) -> Rows {
    let mut sink = Collect(Vec::new());
    let mut scan = txn.scan(tree, range, mode, reverse).unwrap();
    while scan.next_batch(cx, &mut sink).await.unwrap() {}
    if reverse {
        sink.0.reverse();
    }
    assert!(sink.0.is_sorted_by(|one, other| one.0 < other.0), "keys come in order, each once");
    sink.0.into_iter().collect()
}

async fn get(cx: &Cx, txn: &Txn, tree: TreeId, key: &[u8], mode: ReadMode) -> Option<Vec<u8>> {
    loop {
        let mut value = None;
        match txn.get(tree, key, mode, &mut |bytes| value = Some(bytes.to_vec())).unwrap() {
            Lookup::Missing(page) => txn.load(cx, page).await.unwrap(),
            Lookup::Found { .. } => return value,
            Lookup::Absent { .. } => return None,
        }
    }
}

fn key_of(number: u64) -> Vec<u8> {
    [&b"some key "[..], &number.to_be_bytes()].concat()
}

/// What `txn` sees must be `state`.
async fn compare(cx: &Cx, txn: &Txn, state: &State, mode: ReadMode, rng: &mut Rng, what: &str) {
    for tree in TREES {
        let empty = Rows::new();
        let expected = state.get(&tree).unwrap_or(&empty);
        let reverse = rng.chance(1, 2);
        let found = scan(cx, txn, tree, KeyRange::all(), mode, reverse).await;
        assert!(
            found == *expected,
            "{what}: {tree}, {mode:?}: {} rows, {} expected",
            found.len(),
            expected.len()
        );
        let (low, high) = (key_of(rng.below(KEY_COUNT)), key_of(rng.below(KEY_COUNT)));
        let range = KeyRange { start: Bound::Excluded(low.clone()), end: Bound::Included(high.clone()) };
        let found = scan(cx, txn, tree, range, mode, reverse).await;
        let part = expected.iter().filter(|(key, _)| **key > low && **key <= high);
        assert_eq!(found, part.map(|(key, value)| (key.clone(), value.clone())).collect(), "{what}: a range");
        for _ in 0..20 {
            let key = key_of(rng.below(KEY_COUNT));
            let found = get(cx, txn, tree, &key, mode).await;
            assert_eq!(found.as_ref(), expected.get(&key), "{what}: one key");
        }
    }
}

/// One large transaction. Gives what is committed then.
async fn one_txn(
    cx: &Cx,
    store: &Arc<Store>,
    committed: &State,
    rng: &mut Rng,
) -> (State, Option<Timestamp>) {
    let txn = store.begin(TxnOptions::default(), cx.now()).unwrap();
    let mut state = committed.clone();
    // What the statement sees: what was there when it began.
    let mut at_statement = state.clone();
    let mut savepoints: Vec<(Savepoint, State)> = Vec::new();
    txn.begin_statement().unwrap();
    let drops = rng.chance(1, 6);
    for _ in 0..rng.range(100..700) {
        let tree = *rng.pick(&TREES);
        match rng.below(60) {
            0 => txn.relieve(cx).await.unwrap(),
            1 => {
                txn.begin_statement().unwrap();
                at_statement = state.clone();
            }
            2 => savepoints.push((txn.savepoint(), state.clone())),
            3 if !savepoints.is_empty() => {
                let keep = rng.below(savepoints.len() as u64) as usize;
                savepoints.truncate(keep + 1);
                let (savepoint, then) = savepoints[keep].clone();
                txn.rollback_to(savepoint);
                txn.begin_statement().unwrap();
                (state, at_statement) = (then.clone(), then);
            }
            4 => compare(cx, &txn, &state, ReadMode::Current, rng, "own writes").await,
            5 => compare(cx, &txn, &at_statement, ReadMode::Snapshot, rng, "a statement's view").await,
            6 if drops => {
                txn.drop_tree(tree).unwrap();
                txn.begin_statement().unwrap();
                state.remove(&tree);
                // A dropped tree ends empty: nothing is written to it any more.
                break;
            }
            7..15 => {
                let key = key_of(rng.below(KEY_COUNT));
                txn.delete(tree, &key).unwrap();
                state.entry(tree).or_default().remove(&key);
            }
            _ => {
                let key = key_of(rng.below(KEY_COUNT));
                let size = if rng.chance(1, 40) { 9000 } else { rng.below(200) as usize };
                let value = [&rng.next_u64().to_be_bytes()[..], &vec![7; size]].concat();
                txn.put(tree, &key, &value).unwrap();
                state.entry(tree).or_default().insert(key, value);
            }
        }
    }
    if rng.chance(1, 5) {
        txn.rollback();
        return (committed.clone(), None);
    }
    let at = txn.commit(cx).await.unwrap();
    (state, Some(at))
}

enum Outcome {
    Store(Arc<Store>),
    Done(State, Vec<(Timestamp, State)>),
    Checked,
}

fn open(driver: &mut Driver<Outcome>, options: StoreOptions) -> Arc<Store> {
    let opened =
        driver.block_on(move |cx| async move { Outcome::Store(Store::open(&cx, options).await.unwrap()) });
    let Outcome::Store(store) = opened else { panic!("a store") };
    store
}

fn options(rng: &mut Rng) -> StoreOptions {
    StoreOptions {
        page_unit_bytes: 8192,
        pool_budget_bytes: 1 << 19,
        memtable_budget_bytes: 1 << rng.range(12..18),
        log_segment_first_bytes: 16 << 10,
        log_segment_max_bytes: 64 << 10,
        memory_bytes: 64 << 20,
        spill_bytes_min: *rng.pick(&[1, 2000, 20_000]),
        spill_piece_count_max: *rng.pick(&[0, 2, 3, 1000]),
        history_micros: *rng.pick(&[0, 3_600_000_000]),
        ..StoreOptions::default()
    }
}

/// Transactions one after the other, with readers of older snapshots and of the past beside them.
async fn history(cx: Cx, store: Arc<Store>, mut state: State, mut rng: Rng) -> Outcome {
    let mut commits: Vec<(Timestamp, State)> = Vec::new();
    let mut readers: Vec<(Arc<Txn>, State)> = Vec::new();
    for _ in 0..6 {
        let isolation = orrery_base::kv::Isolation::RepeatableRead;
        let reader = store.begin(TxnOptions { isolation, read_only: true }, cx.now()).unwrap();
        readers.push((reader, state.clone()));
        let (then, at) = one_txn(&cx, &store, &state, &mut rng).await;
        state = then;
        commits.extend(at.map(|at| (at, state.clone())));
        let fresh = store.begin(TxnOptions::default(), cx.now()).unwrap();
        compare(&cx, &fresh, &state, ReadMode::Snapshot, &mut rng, "after the commit").await;
        drop(fresh);
        if rng.chance(1, 3) {
            store.checkpoint(&cx).await.unwrap();
            let fresh = store.begin(TxnOptions::default(), cx.now()).unwrap();
            compare(&cx, &fresh, &state, ReadMode::Snapshot, &mut rng, "after a checkpoint").await;
        }
        for (reader, then) in &readers {
            compare(&cx, reader, then, ReadMode::Snapshot, &mut rng, "an older snapshot").await;
        }
        if rng.chance(1, 2) {
            readers.remove(0);
        }
    }
    Outcome::Done(state, commits)
}

async fn check(
    cx: Cx,
    store: Arc<Store>,
    state: State,
    commits: Vec<(Timestamp, State)>,
    mut rng: Rng,
) -> Outcome {
    let txn = store.begin(TxnOptions::default(), cx.now()).unwrap();
    compare(&cx, &txn, &state, ReadMode::Snapshot, &mut rng, "after the crash").await;
    drop(txn);
    for (at, then) in commits {
        // A tree that was dropped since, or what was kept no longer, answers with an error instead.
        if let Ok(past) = store.begin_at(&cx, at).await {
            let is_known =
                TREES.iter().all(|tree| past.scan(*tree, KeyRange::all(), ReadMode::Snapshot, false).is_ok());
            if is_known && store.keeps_history() {
                compare(&cx, &past, &then, ReadMode::Snapshot, &mut rng, "the past").await;
            }
        }
    }
    // Two: a crash may have torn a copy of either superblock.
    store.checkpoint(&cx).await.unwrap();
    store.checkpoint(&cx).await.unwrap();
    let mut findings = Vec::new();
    store.check(&cx, &mut |finding| findings.push(finding)).await.unwrap();
    assert_eq!(findings, []);
    Outcome::Checked
}

fn world(seed: u64) {
    let mut rng = Rng::fork(seed, "spill");
    let options = options(&mut rng);
    let (mut disk, mut state) = (Disk::default(), State::new());
    let mut commits = Vec::new();
    for round in 0..3 {
        let mut driver = Driver::new(disk, seed * 31 + round, World::simulated(seed * 10 + round, 10, None));
        let store = open(&mut driver, options.clone());
        let (it, then, kept, fork) =
            (store.clone(), state.clone(), std::mem::take(&mut commits), Rng::new(rng.next_u64()));
        driver.block_on(move |cx| check(cx, it, then, kept, fork));
        let keeper = store.clone();
        driver.spawn_background(move |cx| async move {
            keeper.housekeeping(&cx).await.unwrap();
            Outcome::Checked
        });
        let (it, then, fork) = (store.clone(), state.clone(), Rng::new(rng.next_u64()));
        let Outcome::Done(after, made) = driver.block_on(move |cx| history(cx, it, then, fork)) else {
            panic!("a history")
        };
        (state, commits) = (after, made);
        disk = driver.disk.crash(&mut rng, 50);
    }
    let mut driver = Driver::new(disk, seed, World::quiet());
    let store = open(&mut driver, options);
    driver.block_on(move |cx| check(cx, store, state, commits, rng));
}

#[test]
fn what_leaves_memory_is_read_committed_and_recovered() {
    each_seed(25, world);
}

/// A transaction of some hundred pieces, which are merged in tiers: its own reads, statements and savepoints against the model, then
/// what is committed. Gives how many pages a read of one key needs at the end, about.
async fn many_pieces(cx: Cx, store: Arc<Store>, mut rng: Rng) -> Outcome {
    let txn = store.begin(TxnOptions::default(), cx.now()).unwrap();
    let (mut state, mut savepoint) = (State::new(), None);
    txn.begin_statement().unwrap();
    let mut at_statement = state.clone();
    for piece in 0..400 {
        for _ in 0..8 {
            let (tree, key) = (*rng.pick(&TREES), key_of(rng.below(KEY_COUNT)));
            if rng.chance(1, 6) {
                txn.delete(tree, &key).unwrap();
                state.entry(tree).or_default().remove(&key);
            } else {
                let value = rng.next_u64().to_be_bytes().to_vec();
                txn.put(tree, &key, &value).unwrap();
                state.entry(tree).or_default().insert(key, value);
            }
        }
        txn.relieve(&cx).await.unwrap();
        match piece {
            100 => savepoint = Some((txn.savepoint(), state.clone())),
            // Long after the merges that put it together with what came before.
            230 => {
                let (at, then) = savepoint.clone().unwrap();
                txn.rollback_to(at);
                (state, at_statement) = (then.clone(), then);
                txn.begin_statement().unwrap();
            }
            _ if piece % 10 == 0 => {
                txn.begin_statement().unwrap();
                at_statement = state.clone();
            }
            _ => {}
        }
        if piece % 13 == 0 {
            compare(&cx, &txn, &state, ReadMode::Current, &mut rng, "own writes").await;
            compare(&cx, &txn, &at_statement, ReadMode::Snapshot, &mut rng, "a statement's view").await;
        }
    }
    let at = txn.commit(&cx).await.unwrap();
    Outcome::Done(state.clone(), vec![(at, state)])
}

#[test]
fn hundreds_of_pieces_are_merged_in_tiers() {
    for count in [2, 4, 16] {
        let options = StoreOptions {
            memory_bytes: 64 << 20,
            spill_bytes_min: 1,
            spill_piece_count_max: count,
            ..StoreOptions::default()
        };
        let world = World::simulated(7, 0, None);
        let mut driver = Driver::new(Disk::default(), 7, world.clone());
        let store = open(&mut driver, options.clone());
        let (it, rng) = (store.clone(), Rng::new(count as u64));
        let Outcome::Done(state, commits) = driver.block_on(move |cx| many_pieces(cx, it, rng)) else {
            panic!("a history")
        };
        let (pieces, merged) = (
            world.probe_count("spill: a piece of a write set"),
            world.probe_count("spill: pieces became one"),
        );
        assert!(pieces >= 400, "{pieces} pieces");
        // Each merge takes `count` away and gives one: what is left over, or was rolled back, is few of each tier.
        let left = pieces - merged * (count as u64 - 1);
        let tiers = u64::from(400_u32.ilog(count as u32)) + 2;
        assert!(merged > 0 && left <= 2 * tiers * count as u64, "{left} of {pieces}, {merged} merges");
        let (it, then) = (store.clone(), state.clone());
        driver.block_on(move |cx| check(cx, it, then, commits, Rng::new(1)));
        drop(store);
        let disk = driver.disk.crash(&mut Rng::new(3), 0);
        let mut driver = Driver::new(disk, 8, World::quiet());
        let store = open(&mut driver, options);
        driver.block_on(move |cx| check(cx, store, state, Vec::new(), Rng::new(2)));
    }
}
