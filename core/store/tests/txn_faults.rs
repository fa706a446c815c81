//! One fault, one expectation: what the store must do when a disk fails, fills or loses bytes, and when tasks go away.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod txn_support;

use orrery_base::disk::FileId;
use orrery_base::kv::{Isolation, Transaction};
use orrery_base::rng::Rng;
use orrery_base::{Cx, Error, Result, SqlState, Timestamp, TreeId, World};
use orrery_store::kv::Map;
use orrery_store::{Durability, Store, StoreOptions, TxnOptions};
use std::future::Future;
use std::sync::Arc;
use txn_support::{Disk, Driver};

const TREE: TreeId = TreeId(1000);

fn map() -> Map<u64, Vec<u8>> {
    Map::new(TREE)
}

/// What the tests' tasks answer: anything.
type Answer = Box<dyn std::any::Any + Send>;

struct Sim(Driver<Answer>);

impl Sim {
    fn new(disk: Disk, seed: u64) -> Self {
        Sim(Driver::new(disk, seed, World::simulated(seed, 0, None)))
    }

    fn run<T: Send + 'static, F>(&mut self, body: impl FnOnce(Cx) -> F + Send + 'static) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let answer = self.0.block_on(move |cx| async move { Box::new(body(cx).await) as Answer });
        *answer.downcast().unwrap()
    }

    fn spawn<T: Send + 'static, F>(&mut self, body: impl FnOnce(Cx) -> F + Send + 'static) -> usize
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.0.spawn(move |cx| async move { Box::new(body(cx).await) as Answer })
    }

    fn answer<T: 'static>(&mut self, index: usize) -> T {
        *self.0.answer(index).unwrap().downcast().unwrap()
    }

    fn open(&mut self, options: StoreOptions) -> Result<Arc<Store>> {
        self.run(move |cx| async move { Store::open(&cx, options).await })
    }

    fn put(&mut self, store: &Arc<Store>, key: u64, value: &[u8]) -> Result<Timestamp> {
        let (store, value) = (store.clone(), value.to_vec());
        self.run(move |cx| async move { store.put_one(&cx, map(), &key, &value).await })
    }

    fn get(&mut self, store: &Arc<Store>, key: u64) -> Option<Vec<u8>> {
        let store = store.clone();
        self.run(move |cx| async move { store.get_one(&cx, map(), &key).await }).unwrap()
    }

    fn delete(&mut self, store: &Arc<Store>, key: u64) -> Result<bool> {
        let store = store.clone();
        self.run(move |cx| async move { store.delete_one(&cx, map(), &key).await })
    }

    fn check(&mut self, store: &Arc<Store>) {
        let store = store.clone();
        let findings: Vec<String> = self.run(move |cx| async move {
            let mut findings = vec![];
            store.check(&cx, &mut |finding| findings.push(finding.to_string())).await.unwrap();
            findings
        });
        assert!(findings.is_empty(), "{findings:?}");
    }

    fn checkpoint(&mut self, store: &Arc<Store>) -> Result<()> {
        let store = store.clone();
        self.run(move |cx| async move { store.checkpoint(&cx).await.map(drop) })
    }

    fn close(&mut self, store: &Arc<Store>) -> Result<()> {
        let store = store.clone();
        self.run(move |cx| async move { store.close(&cx).await })
    }

    fn crash(&mut self, keep_unsynced_percent: u64) -> Sim {
        let mut rng = Rng::new(7);
        Sim::new(self.0.disk.crash(&mut rng, keep_unsynced_percent), 9)
    }
}

fn small() -> StoreOptions {
    StoreOptions {
        log_segment_first_bytes: 4096,
        log_segment_max_bytes: 16384,
        memory_bytes: 64 << 20,
        pool_budget_bytes: 1 << 20,
        ..StoreOptions::default()
    }
}

fn started(options: StoreOptions) -> (Sim, Arc<Store>) {
    let mut sim = Sim::new(Disk::default(), 3);
    let store = sim.open(options).unwrap();
    (sim, store)
}

fn code<T>(result: Result<T>) -> SqlState {
    result.err().expect("it must fail").code()
}

#[test]
fn a_failed_log_sync_poisons_and_reads_go_on() {
    let (mut sim, store) = started(small());
    sim.put(&store, 1, b"one").unwrap();
    sim.0.disk.fail_sync = Some(|file| matches!(file, FileId::Log(_)));
    assert_eq!(code(sim.put(&store, 2, b"two")), SqlState::TRANSACTION_RESOLUTION_UNKNOWN);
    assert!(store.is_poisoned());
    sim.0.disk.fail_sync = None;
    assert_eq!(code(sim.put(&store, 3, b"three")), SqlState::IO_ERROR, "a sync is never retried");
    assert_eq!(code(sim.checkpoint(&store)), SqlState::IO_ERROR);
    assert_eq!(sim.get(&store, 1), Some(b"one".to_vec()));
    assert_eq!(sim.get(&store, 2), None, "nothing unknown is published");
    let mut sim = sim.crash(0);
    let store = sim.open(small()).unwrap();
    assert_eq!(sim.get(&store, 1), Some(b"one".to_vec()));
    sim.put(&store, 4, b"four").unwrap();
}

#[test]
fn a_failed_data_sync_poisons() {
    let (mut sim, store) = started(small());
    sim.put(&store, 1, b"one").unwrap();
    sim.0.disk.fail_sync = Some(|file| file == FileId::Data);
    assert!(sim.checkpoint(&store).is_err());
    sim.0.disk.fail_sync = None;
    assert_eq!(code(sim.put(&store, 2, b"two")), SqlState::IO_ERROR);
    assert_eq!(sim.get(&store, 1), Some(b"one".to_vec()));
    let mut sim = sim.crash(0);
    let store = sim.open(small()).unwrap();
    assert_eq!(sim.get(&store, 1), Some(b"one".to_vec()));
}

#[test]
fn a_full_disk_refuses_before_sequencing_and_writes_resume() {
    let (mut sim, store) =
        started(StoreOptions { log_segment_first_bytes: 4 << 20, log_segment_max_bytes: 4 << 20, ..small() });
    sim.put(&store, 0, b"first").unwrap();
    let used: u64 = sim.0.disk.files.values().map(|file| file.cached.len() as u64).sum();
    sim.0.disk.capacity = Some(used);
    let mut done = 0;
    let error = loop {
        match sim.put(&store, done + 1, &[1; 20_000]) {
            Ok(_) => done += 1,
            Err(error) => break error,
        }
        assert!(done < 1000, "the disk must fill");
    };
    assert_eq!(error.code(), SqlState::DISK_FULL);
    assert!(!store.is_poisoned());
    assert_eq!(sim.get(&store, done + 1), None);
    sim.checkpoint(&store).expect("it has its places already");
    assert_eq!(sim.get(&store, 1), (done > 0).then(|| vec![1; 20_000]));
    sim.0.disk.capacity = None;
    sim.put(&store, 5000, b"resumed").unwrap();
    sim.checkpoint(&store).unwrap();
    let mut sim = sim.crash(0);
    let store = sim.open(small()).unwrap();
    assert_eq!(sim.get(&store, 5000), Some(b"resumed".to_vec()));
    assert_eq!(sim.get(&store, done + 1), None);
}

/// I6: on a full disk a checkpoint still runs, rows can be deleted, and their room is used again; whatever the rows'
/// size, the segments', and the order of keys.
#[test]
fn a_full_disk_can_be_emptied_again() {
    for (case, value_bytes, first_log_bytes, spread) in [
        (0, 300, 16 << 10, 1),
        (1, 700, 64 << 10, 7919),
        (2, 20_000, 256 << 10, 1),
        (3, 3000, 256 << 10, 7919),
    ] {
        let options = StoreOptions {
            log_segment_first_bytes: first_log_bytes,
            log_segment_max_bytes: 1 << 20,
            memtable_budget_bytes: 1 << 20,
            ..small()
        };
        let (mut sim, store) = started(options.clone());
        let key = |n: u64| n * spread % 1_000_003;
        sim.put(&store, key(0), &[0; 10]).unwrap();
        sim.0.disk.capacity = Some(8 << 20);
        let mut done = 0;
        let fill = |sim: &mut Sim, done: &mut u64| loop {
            match sim.put(&store, key(*done + 1), &vec![*done as u8; value_bytes]) {
                Ok(_) => *done += 1,
                Err(error) => break error.code(),
            }
        };
        assert_eq!(fill(&mut sim, &mut done), SqlState::DISK_FULL, "case {case}");
        let payload = done * (value_bytes as u64 + 8);
        assert!(payload > 3 << 19, "case {case}: {payload} bytes of rows fill a disk of 8 MiB");
        assert!(!store.is_poisoned());
        sim.checkpoint(&store).unwrap_or_else(|error| panic!("case {case}: {error:?}"));
        // Deletes go through, however many, with the checkpoints that they need.
        for n in 1..=done / 2 {
            sim.delete(&store, key(n)).unwrap_or_else(|error| panic!("case {case}: delete {n}: {error:?}"));
        }
        sim.checkpoint(&store).unwrap();
        let first = done;
        assert_eq!(fill(&mut sim, &mut done), SqlState::DISK_FULL);
        assert!(
            done - first > first / 5,
            "case {case}: {} rows more after {} were deleted",
            done - first,
            first / 2
        );
        sim.check(&store);
        // After a crash, on the same full disk: everything is there, and a delete still finds its way.
        let mut sim = sim.crash(30);
        sim.0.disk.capacity = Some(8 << 20);
        let store = sim.open(options).unwrap();
        for n in 1..=done {
            let expected = (n > first / 2).then(|| vec![(n - 1) as u8; value_bytes]);
            assert_eq!(sim.get(&store, key(n)), expected, "case {case}: row {n} of {done}");
        }
        sim.check(&store);
        sim.checkpoint(&store).unwrap();
        sim.close(&store).unwrap();
    }
}

/// What is allocated ahead for checkpoints goes back at a clean close, and a small database never has any.
#[test]
fn a_closed_database_keeps_no_reserve() {
    for (row_count, data_bytes_max) in [(1, 1 << 20), (300, 1 << 20), (4_000, 3 << 20)] {
        let (mut sim, store) = started(StoreOptions { memory_bytes: 64 << 20, ..StoreOptions::default() });
        for n in 0..row_count {
            sim.put(&store, n, &[7; 200]).unwrap();
        }
        let bytes = |sim: &Sim| sim.0.disk.files[&FileId::Data].cached.len() as u64;
        let open_bytes = bytes(&sim);
        assert!(
            row_count < 4_000 || open_bytes > 3 << 20,
            "{open_bytes} bytes are kept ready for the checkpoint"
        );
        sim.close(&store).unwrap();
        let closed_bytes = bytes(&sim);
        assert!(
            closed_bytes <= data_bytes_max,
            "{row_count} rows: {open_bytes} bytes, closed {closed_bytes}"
        );
        let mut sim = sim.crash(0);
        let store = sim.open(StoreOptions::default()).unwrap();
        assert_eq!(sim.get(&store, row_count - 1), Some(vec![7; 200]));
        sim.check(&store);
        for n in 0..row_count {
            sim.put(&store, n, &[8; 200]).unwrap();
        }
        sim.checkpoint(&store).unwrap();
        sim.check(&store);
    }
}

#[test]
fn a_missing_log_is_refused() {
    let (mut sim, store) = started(small());
    sim.put(&store, 1, b"one").unwrap();
    for number in sim.0.disk.log_files() {
        sim.0.disk.files.remove(&FileId::Log(number));
    }
    let error: Error = sim.crash(0).open(small()).err().expect("refused");
    assert_eq!(error.code(), SqlState::DATA_CORRUPTED);
    assert!(error.message().contains("missing"), "{error:?}");
}

#[test]
fn a_missing_data_file_is_not_made_anew_over_a_log() {
    let (mut sim, store) = started(small());
    sim.put(&store, 1, b"one").unwrap();
    sim.0.disk.files.remove(&FileId::Data);
    assert_eq!(code(sim.crash(0).open(small())), SqlState::DATA_CORRUPTED);
}

/// Where batch `index` of the (single) log segment begins, and how long it is.
fn batch_at(disk: &Disk, index: usize) -> (u64, usize, usize) {
    let number = disk.log_files()[0];
    let bytes = &disk.files[&FileId::Log(number)].durable;
    let starts: Vec<usize> =
        (0..bytes.len() / 512).map(|it| it * 512).filter(|&at| &bytes[at..at + 4] == b"OrLb").collect();
    let at = starts[index];
    (number, at, u32::from_le_bytes(bytes[at + 48..at + 52].try_into().unwrap()) as usize)
}

fn flip(disk: &mut Disk, number: u64, at: usize) {
    let file = disk.files.get_mut(&FileId::Log(number)).unwrap();
    file.cached[at] ^= 1;
    file.durable[at] ^= 1;
}

#[test]
fn a_flipped_bit_in_an_acknowledged_batch_is_refused_with_its_place() {
    let options = StoreOptions { log_segment_first_bytes: 16384, ..small() };
    let (mut sim, store) = started(options.clone());
    for key in 0..6 {
        sim.put(&store, key, b"value").unwrap();
    }
    let (number, start, length) = batch_at(&sim.0.disk, 3);
    for at in start..start + length {
        let mut damaged = sim.crash(0);
        flip(&mut damaged.0.disk, number, at);
        let error = damaged.open(options.clone()).err().expect("refused");
        assert_eq!(error.code(), SqlState::DATA_CORRUPTED);
        assert!(error.message().contains(&format!("offset {start}")), "{error:?}");
    }
}

#[test]
fn damage_in_the_last_batch_cuts_it_like_a_torn_write() {
    let options = StoreOptions { log_segment_first_bytes: 16384, ..small() };
    let (mut sim, store) = started(options.clone());
    for key in 0..6 {
        sim.put(&store, key, b"value").unwrap();
    }
    let (number, start, length) = batch_at(&sim.0.disk, 5);
    for at in start..start + length {
        let mut damaged = sim.crash(0);
        flip(&mut damaged.0.disk, number, at);
        let store = damaged.open(options.clone()).unwrap();
        assert_eq!((damaged.get(&store, 4), damaged.get(&store, 5)), (Some(b"value".to_vec()), None));
        // The log goes on elsewhere, and stays readable.
        damaged.put(&store, 7, b"after").unwrap();
        let mut again = damaged.crash(0);
        let store = again.open(options.clone()).unwrap();
        assert_eq!((again.get(&store, 5), again.get(&store, 7)), (None, Some(b"after".to_vec())));
    }
}

#[test]
fn weaker_durability_loses_a_suffix_and_never_a_hole() {
    for (durability, seed) in (0..40)
        .map(|seed| (if seed % 2 == 0 { Durability::None } else { Durability::Interval { ms: 1 } }, seed))
    {
        let options = StoreOptions { durability, ..small() };
        let mut sim = Sim::new(Disk::default(), seed);
        let store = sim.open(options.clone()).unwrap();
        let keeper = store.clone();
        sim.0.spawn_background(move |cx| async move { Box::new(keeper.housekeeping(&cx).await) as Answer });
        for key in 0..30 {
            sim.put(&store, key, b"value").unwrap();
        }
        let mut rng = Rng::new(seed);
        let mut sim = Sim::new(sim.0.disk.crash(&mut rng, 60), seed);
        let store = sim.open(options).unwrap();
        let there: Vec<bool> = (0..30).map(|key| sim.get(&store, key).is_some()).collect();
        let kept = there.iter().take_while(|&&it| it).count();
        assert!(there[kept..].iter().all(|&it| !it), "a hole: {there:?}");
    }
}

#[test]
fn a_dropped_commit_past_its_point_of_no_return_completes_and_frees_its_locks() {
    for steps in 0..60 {
        let (mut sim, store) = started(small());
        sim.put(&store, 0, b"warm").unwrap();
        let it = store.clone();
        let client =
            sim.spawn(move |cx| async move { it.put_one(&cx, map(), &1, &b"dropped".to_vec()).await });
        sim.0.run_steps(steps);
        sim.0.drop_task(client);
        // No housekeeping here: the next writer of the same row finishes the orphan, or the row was free all along.
        sim.put(&store, 1, b"next").unwrap();
        assert_eq!(sim.get(&store, 1), Some(b"next".to_vec()));
        assert_eq!(store.stats().row_lock_count, 0);
        assert_eq!(store.stats().snapshot_count, 0);
        let mut sim = sim.crash(0);
        let store = sim.open(small()).unwrap();
        assert_eq!(sim.get(&store, 1), Some(b"next".to_vec()));
    }
}

#[test]
fn housekeeping_alone_finishes_a_dropped_commit() {
    let mut completed = 0;
    for steps in 0..40 {
        let (mut sim, store) = started(small());
        sim.put(&store, 0, b"warm").unwrap();
        let keeper = store.clone();
        sim.0.spawn_background(move |cx| async move { Box::new(keeper.housekeeping(&cx).await) as Answer });
        let it = store.clone();
        let client =
            sim.spawn(move |cx| async move { it.put_one(&cx, map(), &1, &b"dropped".to_vec()).await });
        sim.0.run_steps(steps);
        sim.0.drop_task(client);
        for _ in 0..200 {
            sim.0.step();
        }
        assert_eq!(store.stats().row_lock_count, 0);
        completed += u64::from(sim.get(&store, 1).is_some());
    }
    assert!(completed > 0);
}

#[test]
fn the_leaders_task_may_go_and_the_others_go_on() {
    for steps in 0..80 {
        let (mut sim, store) = started(small());
        sim.put(&store, 0, b"warm").unwrap();
        let clients: Vec<usize> = (1..6)
            .map(|key| {
                let it = store.clone();
                sim.spawn(move |cx| async move { it.put_one(&cx, map(), &key, &b"value".to_vec()).await })
            })
            .collect();
        sim.0.run_steps(steps);
        let gone = clients[steps as usize % clients.len()];
        sim.0.drop_task(gone);
        sim.0.run();
        for (&client, key) in clients.iter().zip(1..) {
            if client != gone {
                sim.answer::<Result<Timestamp>>(client).unwrap();
                assert_eq!(sim.get(&store, key), Some(b"value".to_vec()));
            }
        }
    }
}

#[test]
fn waiting_commits_share_one_write_and_one_sync() {
    let (mut sim, store) = started(StoreOptions { log_segment_first_bytes: 64 << 10, ..small() });
    sim.put(&store, 0, b"warm").unwrap();
    let before = store.stats();
    let clients: Vec<usize> = (1..33)
        .map(|key| {
            let it = store.clone();
            sim.spawn(move |cx| async move { it.put_one(&cx, map(), &key, &b"value".to_vec()).await })
        })
        .collect();
    sim.0.run();
    for client in clients {
        sim.answer::<Result<Timestamp>>(client).unwrap();
    }
    let batches = store.stats().batch_count - before.batch_count;
    assert!(batches <= 12, "{batches} batches for 32 commits");
    assert_eq!(store.stats().sync_count - before.sync_count, batches);
}

#[test]
fn a_large_commit_goes_in_chunks_and_comes_back_whole() {
    for checkpoint in [false, true] {
        let (mut sim, store) = started(StoreOptions { memory_bytes: 1 << 30, ..small() });
        sim.put(&store, 0, b"warm").unwrap();
        let it = store.clone();
        sim.run(move |cx| async move {
            let txn = it.begin(TxnOptions::default(), cx.now()).unwrap();
            for key in 0..60_000u64 {
                txn.put(TREE, &(key * 7919 % 60_000).to_be_bytes(), &[key as u8; 100]).unwrap();
            }
            txn.commit(&cx).await.unwrap();
        });
        assert_eq!(store.stats().layer_count, 3, "adopted between two memtables");
        sim.put(&store, 3, b"newer").unwrap();
        if checkpoint {
            sim.checkpoint(&store).unwrap();
            assert_eq!(store.stats().layer_count, 1);
        }
        let mut sim = sim.crash(0);
        let store = sim.open(small()).unwrap();
        let it = store.clone();
        let count = sim.run(move |cx| async move {
            let txn = it.begin(TxnOptions::default(), cx.now()).unwrap();
            map().prefix(&cx, &txn, b"", usize::MAX).await.unwrap().len()
        });
        assert_eq!(count, 60_000);
        assert_eq!(sim.get(&store, 3), Some(b"newer".to_vec()));
        sim.close(&store).unwrap();
        assert!(sim.0.disk.log_files().is_empty());
        let store = sim.open(small()).unwrap();
        assert_eq!(sim.get(&store, 4).map(|it| it.len()), Some(100));
    }
}

#[test]
fn a_crash_in_the_middle_of_chunks_leaves_nothing() {
    let (mut sim, store) = started(StoreOptions { memory_bytes: 1 << 30, ..small() });
    sim.put(&store, 0, b"warm").unwrap();
    let it = store.clone();
    let client = sim.spawn(move |cx| async move {
        let txn = it.begin(TxnOptions::default(), cx.now()).unwrap();
        for key in 1..100_000u64 {
            txn.put(TREE, &key.to_be_bytes(), &[1; 100]).unwrap();
        }
        txn.commit(&cx).await
    });
    let writes = sim.0.disk.write_count;
    while sim.0.disk.write_count < writes + 2 {
        assert!(sim.0.step());
    }
    let mut crashed = sim.crash(100);
    let reopened = crashed.open(small()).unwrap();
    assert_eq!((crashed.get(&reopened, 0), crashed.get(&reopened, 1)), (Some(b"warm".to_vec()), None));
    crashed.put(&reopened, 1, b"after").unwrap();
    // The transaction that goes on is whole after its own crash, although a checkpoint lies between its chunks.
    sim.put(&store, 200_000, b"other").unwrap();
    sim.checkpoint(&store).unwrap();
    sim.0.run();
    sim.answer::<Result<Timestamp>>(client).unwrap();
    let mut crashed = sim.crash(0);
    let reopened = crashed.open(small()).unwrap();
    assert_eq!(crashed.get(&reopened, 99_999).map(|it| it.len()), Some(100));
    assert_eq!(crashed.get(&reopened, 200_000), Some(b"other".to_vec()));
}

#[test]
fn write_skew_is_refused_under_serializable_only() {
    for (isolation, both) in [(Isolation::RepeatableRead, true), (Isolation::Serializable, false)] {
        let (mut sim, store) = started(small());
        let it = store.clone();
        let (first, second) = sim.run(move |cx| async move {
            let options = TxnOptions { isolation, read_only: false };
            let a = it.begin(options, cx.now()).unwrap();
            let b = it.begin(options, cx.now()).unwrap();
            // Each sees nobody on duty under the other's key and goes off itself; the range is empty.
            assert!(map().prefix(&cx, &a, b"", 10).await.unwrap().is_empty());
            assert!(map().prefix(&cx, &b, b"", 10).await.unwrap().is_empty());
            map().put(&cx, &a, &1, &b"a".to_vec()).await.unwrap();
            map().put(&cx, &b, &2, &b"b".to_vec()).await.unwrap();
            (a.commit(&cx).await, b.commit(&cx).await)
        });
        first.unwrap();
        assert_eq!(second.is_ok(), both);
        if !both {
            assert_eq!(code(second), SqlState::SERIALIZATION_FAILURE);
        }
        assert_eq!(store.stats().row_lock_count, 0);
    }
}

#[test]
fn old_snapshots_read_their_own_past_over_checkpoints_and_drops() {
    let (mut sim, store) = started(small());
    for key in 0..50 {
        sim.put(&store, key, b"old").unwrap();
    }
    let options = TxnOptions { isolation: Isolation::RepeatableRead, read_only: true };
    let old = store.begin(options, 0).unwrap();
    for round in 0..4u64 {
        for key in 0..50 {
            sim.put(&store, key, &round.to_be_bytes()).unwrap();
        }
        sim.checkpoint(&store).unwrap();
    }
    let it = store.clone();
    sim.run(move |cx| async move {
        let txn = it.begin(TxnOptions::default(), cx.now()).unwrap();
        txn.drop_tree(TREE).unwrap();
        txn.commit(&cx).await.unwrap();
    });
    let count = |sim: &mut Sim, txn: Arc<orrery_store::Txn>| {
        sim.run(move |cx| async move { map().prefix(&cx, &txn, b"", usize::MAX).await.unwrap() })
    };
    for step in 0..2 {
        let rows = count(&mut sim, old.clone());
        assert_eq!(rows.len(), 50, "step {step}");
        assert!(rows.iter().all(|(_, value)| value == b"old"));
        let new = store.begin(options, 0).unwrap();
        assert!(count(&mut sim, new).is_empty());
        assert_eq!(sim.get(&store, 7), None);
        sim.checkpoint(&store).unwrap();
    }
    sim.put(&store, 7, b"again").unwrap();
    let mut sim = sim.crash(0);
    let store = sim.open(small()).unwrap();
    assert_eq!((sim.get(&store, 7), sim.get(&store, 8)), (Some(b"again".to_vec()), None));
}

#[test]
fn in_memory_needs_no_log() {
    let (mut sim, store) = started(StoreOptions { in_memory: true, ..small() });
    for key in 0..100 {
        sim.put(&store, key, b"value").unwrap();
    }
    sim.checkpoint(&store).unwrap();
    sim.put(&store, 5, b"newer").unwrap();
    assert_eq!((sim.get(&store, 5), sim.get(&store, 6)), (Some(b"newer".to_vec()), Some(b"value".to_vec())));
    assert!(sim.0.disk.log_files().is_empty());
}

#[test]
fn a_closed_database_takes_no_more_and_opens_again() {
    let (mut sim, store) = started(small());
    sim.put(&store, 1, b"one").unwrap();
    sim.close(&store).unwrap();
    assert_eq!(code(store.begin(TxnOptions::default(), 0)), SqlState::CANNOT_CONNECT_NOW);
    for round in 0..3u64 {
        let store = sim.open(small()).unwrap();
        assert_eq!(sim.get(&store, 1), Some(b"one".to_vec()));
        if round == 1 {
            sim.put(&store, 2, b"two").unwrap();
            sim = sim.crash(0);
            let store = sim.open(small()).unwrap();
            assert_eq!(sim.get(&store, 2), Some(b"two".to_vec()));
        }
        sim.close(&store).unwrap_or(());
    }
}

#[test]
fn the_log_is_used_again_and_stays_bounded() {
    let (mut sim, store) = started(small());
    for round in 0..40 {
        for key in 0..20 {
            sim.put(&store, key, &[round; 200]).unwrap();
        }
        sim.checkpoint(&store).unwrap();
    }
    let log: u64 = sim
        .0
        .disk
        .files
        .iter()
        .filter(|(id, _)| matches!(id, FileId::Log(_)))
        .map(|(_, it)| it.cached.len() as u64)
        .sum();
    assert!(log <= 8 * 16384, "{log} bytes of log");
    let mut sim = sim.crash(0);
    let store = sim.open(small()).unwrap();
    assert_eq!(sim.get(&store, 19), Some(vec![39; 200]));
}
