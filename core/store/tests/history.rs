//! The past as it was: random commits, drops, checkpoints, crashes and clean closes with time passing, and reads at times
//! before all that, held against what was committed by then (history's H1 and H2).
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod txn_support;

use orrery_base::kv::{Flow, KeyRange, Lookup, ReadMode, RowRef, RowSink, Transaction};
use orrery_base::rng::Rng;
use orrery_base::{Cx, Result, SqlState, Timestamp, TreeId, World};
use orrery_store::{Store, StoreOptions, Txn, TxnOptions};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use txn_support::{Disk, Driver};

const TREES: [TreeId; 2] = [TreeId(1000), TreeId(1001)];
const KEY_COUNT: u64 = 40;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

struct Collect(Rows, Vec<Vec<u8>>);

impl RowSink for Collect {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = Vec::new();
            row.key_into(&mut key);
            self.1.push(key.clone());
            assert!(self.0.insert(key, row.value.to_vec()).is_none(), "a key comes once");
        }
        Ok(Flow::Full)
    }
}

async fn scan(cx: &Cx, txn: &Txn, tree: TreeId, range: KeyRange, reverse: bool) -> Result<Rows> {
    let mut sink = Collect(Rows::new(), Vec::new());
    let mut scan = txn.scan(tree, range, ReadMode::Snapshot, reverse)?;
    while scan.next_batch(cx, &mut sink).await? {}
    if reverse {
        sink.1.reverse();
    }
    assert!(sink.1.is_sorted(), "rows come in order");
    Ok(sink.0)
}

async fn get(cx: &Cx, txn: &Txn, tree: TreeId, key: &[u8]) -> Result<Option<Vec<u8>>> {
    loop {
        let mut value = None;
        match txn.get(tree, key, ReadMode::Snapshot, &mut |bytes| value = Some(bytes.to_vec()))? {
            Lookup::Missing(page) => txn.load(cx, page).await?,
            Lookup::Found { .. } => return Ok(Some(value.unwrap())),
            Lookup::Absent { .. } => return Ok(None),
        }
    }
}

fn key(number: u64) -> Vec<u8> {
    // Some keys begin with others.
    vec![b'k'; 1 + (number % 7) as usize].into_iter().chain((number / 7).to_be_bytes()).collect()
}

/// What is expected of the past.
#[derive(Default)]
struct Model {
    now: [Rows; 2],
    states: Vec<(Timestamp, [Rows; 2])>,
    dropped: [Timestamp; 2],
    since: Timestamp,
    read_count: u64,
    replaced_read_count: u64,
    too_old_count: u64,
}

impl Model {
    fn at(&self, at: Timestamp) -> [Rows; 2] {
        let index = self.states.partition_point(|(timestamp, _)| *timestamp <= at);
        index.checked_sub(1).map_or_else(Default::default, |index| self.states[index].1.clone())
    }
}

#[allow(clippy::large_enum_variant, reason = "one at a time")]
enum Answer {
    Opened(Arc<Store>),
    Committed(Timestamp),
    Read(std::result::Result<[Option<PastOf>; 2], SqlState>),
    Done,
}

/// All of a tree, a range of it, and single keys.
struct PastOf {
    all: [Rows; 2],
    range: [Rows; 2],
    keys: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn options(rng: &mut Rng) -> StoreOptions {
    StoreOptions {
        pool_budget_bytes: *rng.pick(&[64 << 10, 4 << 20]),
        memtable_budget_bytes: *rng.pick(&[32 << 10, 1 << 20]),
        memory_bytes: 64 << 20,
        log_segment_first_bytes: 64 << 10,
        log_segment_max_bytes: 256 << 10,
        history_micros: *rng.pick(&[20_000_000, 3_600_000_000]),
        history_bytes_max: *rng.pick(&[0, 256 << 10, 4 << 20]),
        ..StoreOptions::default()
    }
}

fn range_of(from: u64, to: u64) -> KeyRange {
    KeyRange { start: Bound::Included(key(from)), end: Bound::Excluded(key(to)) }
}

fn in_range(rows: &Rows, range: &KeyRange) -> Rows {
    rows.iter()
        .filter(|(key, _)| range.contains(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Reads both trees at a time in the past.
async fn read(cx: &Cx, store: &Arc<Store>, at: Timestamp, range: KeyRange) -> Answer {
    let txn = match store.begin_at(cx, at).await {
        Ok(txn) => txn,
        Err(error) => return Answer::Read(Err(error.code())),
    };
    let mut found = [None, None];
    for (index, tree) in TREES.into_iter().enumerate() {
        let all = match scan(cx, &txn, tree, KeyRange::all(), false).await {
            Ok(rows) => rows,
            // Dropped later: said so, everywhere.
            Err(error) => {
                assert_eq!(error.code(), SqlState::SNAPSHOT_TOO_OLD);
                assert_eq!(
                    get(cx, &txn, tree, &key(1)).await.unwrap_err().code(),
                    SqlState::SNAPSHOT_TOO_OLD
                );
                continue;
            }
        };
        let reverse = scan(cx, &txn, tree, KeyRange::all(), true).await.unwrap();
        let forth = scan(cx, &txn, tree, range.clone(), false).await.unwrap();
        let back = scan(cx, &txn, tree, range.clone(), true).await.unwrap();
        let mut keys = Vec::new();
        for number in 0..KEY_COUNT {
            keys.push((key(number), get(cx, &txn, tree, &key(number)).await.unwrap()));
        }
        found[index] = Some(PastOf { all: [all, reverse], range: [forth, back], keys });
    }
    Answer::Read(Ok(found))
}

/// Compares and, on a difference, shows only the first few keys that differ.
fn assert_same(found: &Rows, expected: &Rows, what: &str) {
    let start = |rows: &Rows, key: &Vec<u8>| rows.get(key).map(|value| value[..value.len().min(8)].to_vec());
    let keys = found.keys().chain(expected.keys()).filter(|key| found.get(*key) != expected.get(*key));
    let differing: Vec<_> = keys.take(4).map(|key| (key, start(found, key), start(expected, key))).collect();
    assert!(differing.is_empty(), "{what}: (key, found, expected) {differing:?}");
}

struct Test {
    driver: Driver<Answer>,
    store: Arc<Store>,
    options: StoreOptions,
    model: Model,
    rng: Rng,
}

fn open(driver: &mut Driver<Answer>, options: &StoreOptions) -> Arc<Store> {
    let options = options.clone();
    let opened =
        driver.block_on(|cx| async move { Answer::Opened(Store::open(&cx, options).await.unwrap()) });
    let Answer::Opened(store) = opened else { panic!("it was opened") };
    store
}

impl Test {
    fn new(seed: u64) -> Test {
        let mut rng = Rng::new(seed);
        let options = options(&mut rng);
        let mut driver = Driver::new(Disk::default(), seed, Arc::new(World::default()));
        let store = open(&mut driver, &options);
        Test { driver, store, options, model: Model::default(), rng }
    }

    fn commit(&mut self) {
        let count = if self.rng.chance(1, 12) { KEY_COUNT } else { 1 + self.rng.below(5) };
        let mut writes: Vec<(usize, Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for _ in 0..count {
            let tree = self.rng.below(2) as usize;
            let len = *self.rng.pick(&[0, 10, 100, 100, 1500, 2049, 9000]);
            let mut value = vec![0; len];
            self.rng.fill(&mut value);
            writes.push((tree, key(self.rng.below(KEY_COUNT)), (!self.rng.chance(1, 4)).then_some(value)));
        }
        let drops = self.rng.chance(1, 60).then(|| self.rng.below(2) as usize);
        let (store, planned) = (self.store.clone(), writes.clone());
        let answer = self.driver.block_on(|cx| async move {
            let txn = store.begin(TxnOptions::default(), cx.now()).unwrap();
            if let Some(tree) = drops {
                txn.drop_tree(TREES[tree]).unwrap();
            }
            for (tree, key, value) in planned {
                match value {
                    Some(value) => txn.put(TREES[tree], &key, &value).unwrap(),
                    None => txn.delete(TREES[tree], &key).unwrap(),
                }
            }
            Answer::Committed(txn.commit(&cx).await.unwrap())
        });
        let Answer::Committed(timestamp) = answer else { panic!("it was committed") };
        if let Some(tree) = drops {
            self.model.now[tree].clear();
            self.model.dropped[tree] = timestamp;
        }
        // A dropped tree ends empty, whatever the transaction wrote to it.
        for (tree, key, value) in writes.into_iter().filter(|(tree, ..)| drops != Some(*tree)) {
            match value {
                Some(value) => self.model.now[tree].insert(key, value),
                None => self.model.now[tree].remove(&key),
            };
        }
        self.model.states.push((timestamp, self.model.now.clone()));
    }

    fn read(&mut self) {
        let Some((first, _)) = self.model.states.first() else { return };
        let (from, to) = (first.micros() - 1000, self.driver.now);
        let at = Timestamp::from_micros(from + self.rng.below(to - from + 1));
        let at = if self.rng.chance(1, 3) { self.rng.pick(&self.model.states).0 } else { at };
        let (low, high) = (self.rng.below(KEY_COUNT), self.rng.below(KEY_COUNT));
        let range = range_of(low, high);
        let (store, asked) = (self.store.clone(), range.clone());
        let answer = self.driver.block_on(|cx| async move { read(&cx, &store, at, asked).await });
        let Answer::Read(answer) = answer else { panic!("it was read") };
        let since = self.store.history_since();
        assert!(since >= self.model.since, "the history's beginning never goes back");
        self.model.since = since;
        let found = match answer {
            Ok(found) => found,
            Err(code) => {
                assert_eq!(code, SqlState::SNAPSHOT_TOO_OLD);
                assert!(at < since, "{at} is not before {since}");
                self.model.too_old_count += 1;
                return;
            }
        };
        assert!(at >= since);
        let expected = self.model.at(at);
        for (tree, found) in found.into_iter().enumerate() {
            let Some(found) = found else {
                assert!(self.model.dropped[tree] > at, "only a tree that was dropped since is unknown");
                continue;
            };
            let all = &expected[tree];
            for rows in &found.all {
                assert_same(rows, all, &format!("{} at {at}", TREES[tree]));
            }
            for rows in &found.range {
                assert_same(rows, &in_range(all, &range), &format!("{} at {at}, {range:?}", TREES[tree]));
            }
            for (key, value) in &found.keys {
                assert!(value.as_ref() == all.get(key), "{} at {at}, {key:?}", TREES[tree]);
            }
            self.model.read_count += 1;
            let merged = self.store.pages().current().state().commit_timestamp;
            self.model.replaced_read_count += u64::from(at < merged && *all != self.model.now[tree]);
        }
    }

    fn step(&mut self) {
        let store = self.store.clone();
        match self.rng.below(100) {
            0..60 => self.commit(),
            60..80 => self.read(),
            80..90 => {
                self.driver.block_on(|cx| async move {
                    store.checkpoint(&cx).await.unwrap();
                    Answer::Done
                });
            }
            90..94 => self.driver.now += self.rng.below(5_000_000),
            94..97 => {
                self.driver.block_on(|cx| async move {
                    store.close(&cx).await.unwrap();
                    Answer::Done
                });
                self.store = open(&mut self.driver, &self.options);
            }
            _ => {
                let seed = self.rng.below(u64::MAX);
                let disk = self.driver.disk.crash(&mut self.rng, 50);
                let now = self.driver.now;
                self.driver = Driver::new(disk, seed, Arc::new(World::default()));
                self.driver.now = now;
                self.store = open(&mut self.driver, &self.options);
            }
        }
    }

    fn check(&mut self) {
        let store = self.store.clone();
        self.driver.block_on(|cx| async move {
            let mut findings = Vec::new();
            store.check(&cx, &mut |finding| findings.push(finding.to_string())).await.unwrap();
            assert_eq!(findings, Vec::<String>::new());
            Answer::Done
        });
    }
}

#[test]
fn the_past_stays_as_it_was() {
    let (mut read_count, mut replaced_read_count, mut too_old_count) = (0, 0, 0);
    for seed in 0..24 {
        let mut test = Test::new(seed);
        for _ in 0..400 {
            test.step();
        }
        test.check();
        read_count += test.model.read_count;
        replaced_read_count += test.model.replaced_read_count;
        too_old_count += test.model.too_old_count;
    }
    assert!(read_count > 1000, "{read_count} reads of a tree");
    assert!(
        replaced_read_count > 500,
        "{replaced_read_count} reads below a checkpoint of rows that changed since"
    );
    assert!(too_old_count > 20, "{too_old_count} reads before the history's beginning");
}
