//! The page store against a map: random merges of tiny and large keys and values into several trees, with point reads,
//! cursors in both directions, splits, reopening and the structural check after each; under a disk that performs
//! everything at once, and under one that completes in random order and shortens requests.
#![allow(clippy::unwrap_used, reason = "a test")]

mod pages_disk;

use orrery_base::kv::KeyRange;
use orrery_base::rng::Rng;
use orrery_base::{PagePtr, TreeId};
use orrery_store::pages::{CursorStep, LeafValue, PageStore, TreeVersion};
use pages_disk::{MemDisk, VecRun};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

type Model = BTreeMap<(u32, Vec<u8>), (Vec<u8>, u64)>;

/// One kind of workload.
#[derive(Clone, Copy, Debug)]
struct Mix {
    seed: u64,
    nasty: bool,
    trees: u64,
    key_space: u64,
    long_keys: bool,
    value_bytes: u64,
    changes: u64,
    deletes_per_cent: u64,
    rounds: u64,
}

fn key(rng: &mut Rng, mix: &Mix) -> Vec<u8> {
    let number = rng.below(mix.key_space);
    let mut key = if mix.long_keys { vec![b'k'; (number % 7 * 300) as usize] } else { vec![1] };
    key.extend_from_slice(&number.to_be_bytes());
    if mix.long_keys && number.is_multiple_of(3) {
        key.truncate((number % 9) as usize);
        key.extend_from_slice(&(number as u16).to_be_bytes());
    }
    key
}

fn changes(rng: &mut Rng, mix: &Mix, model: &Model) -> BTreeMap<(u32, Vec<u8>), Option<Vec<u8>>> {
    let mut changes = BTreeMap::new();
    for _ in 0..rng.below(mix.changes) {
        let tree = 1000 + rng.below(mix.trees) as u32;
        let value = (!rng.chance(mix.deletes_per_cent, 100)).then(|| {
            let len =
                if rng.chance(1, 50) { rng.below(mix.value_bytes * 20) } else { rng.below(mix.value_bytes) };
            let mut value = vec![0; len as usize];
            rng.fill(&mut value);
            value
        });
        changes.insert((tree, key(rng, mix)), value);
    }
    // Sometimes a whole stretch goes, so that pages empty and trees shrink.
    if rng.chance(1, 4) && !model.is_empty() {
        let from = rng.below(model.len() as u64) as usize;
        let count = rng.below(model.len() as u64 - from as u64) as usize + 1;
        changes.extend(model.keys().skip(from).take(count).map(|key| (key.clone(), None)));
    }
    changes
}

fn scan(
    disk: &mut MemDisk,
    store: &Arc<PageStore>,
    version: &Arc<TreeVersion>,
    tree: u32,
    range: &KeyRange,
    reverse: bool,
    mut restart: Option<Rng>,
) -> Vec<(Vec<u8>, Vec<u8>, u64)> {
    let reader = store.reader();
    let mut cursor = store.cursor(version.clone(), TreeId(tree), range.clone(), reverse);
    let mut found: Vec<(Vec<u8>, Vec<u8>, u64)> = Vec::new();
    loop {
        let mut long: Vec<(usize, PagePtr, usize)> = Vec::new();
        let missing = {
            let pin = reader.pin();
            match cursor.next(store, &pin).unwrap() {
                CursorStep::End => return found,
                CursorStep::Missing(ptr) => Some(ptr),
                CursorStep::Leaf(rows) => {
                    assert!(!rows.is_empty());
                    let stop = restart
                        .as_mut()
                        .and_then(|rng| rng.chance(1, 3).then(|| rng.below(rows.len() as u64) as usize));
                    for index in 0..rows.len() {
                        let key = [rows.prefix(), rows.suffix(index)].concat();
                        assert!(rows.timestamp(index) <= rows.max_timestamp());
                        assert_eq!(rows.position(&key), (index, true));
                        let value = match rows.value(index) {
                            LeafValue::Inline(value) => value.to_vec(),
                            LeafValue::Overflow(ptr, len) => {
                                long.push((found.len(), ptr, len));
                                vec![]
                            }
                        };
                        found.push((key, value, rows.timestamp(index).0));
                        if stop == Some(index) {
                            cursor.seek_after(&found.last().unwrap().0);
                            break;
                        }
                    }
                    None
                }
            }
        };
        if let Some(ptr) = missing {
            disk.load(store, ptr).unwrap();
        }
        for (index, ptr, len) in long {
            disk.load(store, ptr).unwrap();
            let pin = reader.pin();
            found[index].1 = store.overflow(&pin, ptr, len).unwrap().expect("just loaded").to_vec();
        }
    }
}

fn expected(model: &Model, tree: u32, range: &KeyRange, reverse: bool) -> Vec<(Vec<u8>, Vec<u8>, u64)> {
    let of_tree = model.iter().filter(|((id, key), _)| *id == tree && range.contains(key));
    let mut rows: Vec<_> =
        of_tree.map(|((_, key), (value, timestamp))| (key.clone(), value.clone(), *timestamp)).collect();
    if reverse {
        rows.reverse();
    }
    rows
}

fn random_bound(rng: &mut Rng, mix: &Mix) -> Bound<Vec<u8>> {
    match rng.below(4) {
        0 => Bound::Unbounded,
        1 => Bound::Excluded(key(rng, mix)),
        _ => Bound::Included(key(rng, mix)),
    }
}

fn compare(
    disk: &mut MemDisk,
    store: &Arc<PageStore>,
    version: &Arc<TreeVersion>,
    model: &Model,
    rng: &mut Rng,
    mix: &Mix,
) {
    for tree in 1000..1000 + mix.trees as u32 {
        let count = model.keys().filter(|(id, _)| *id == tree).count() as u64;
        assert_eq!(store.tree_stats(version, TreeId(tree)).entry_count, count);
        let all = KeyRange::all();
        assert_eq!(scan(disk, store, version, tree, &all, false, None), expected(model, tree, &all, false));
        for reverse in [false, true] {
            let range = KeyRange { start: random_bound(rng, mix), end: random_bound(rng, mix) };
            let restart = rng.chance(1, 2).then(|| Rng::new(rng.next_u64()));
            let found = scan(disk, store, version, tree, &range, reverse, restart);
            assert_eq!(found, expected(model, tree, &range, reverse), "{range:?} reverse {reverse}");
            let pieces = store.split(version, TreeId(tree), &range, 1 + rng.below(8) as usize);
            let joined: Vec<_> = pieces
                .iter()
                .flat_map(|piece| scan(disk, store, version, tree, piece, false, None))
                .collect();
            assert_eq!(joined, expected(model, tree, &range, false), "{pieces:?}");
        }
        for _ in 0..30 {
            let key = key(rng, mix);
            let found = disk.get(store, version, tree, &key);
            assert_eq!(found, model.get(&(tree, key)).cloned());
        }
    }
}

fn check(disk: &mut MemDisk, store: &Arc<PageStore>) {
    let store = store.clone();
    let (summary, findings) = disk.run(|cx| async move {
        let mut findings = Vec::new();
        let summary = store.check(&cx, &mut |finding| findings.push(finding)).await.unwrap();
        (summary, findings)
    });
    assert!(findings.is_empty(), "{findings:#?}");
    assert_eq!(summary.finding_count, 0);
}

fn run(mix: Mix) {
    let mut rng = Rng::new(mix.seed);
    let mut disk = if mix.nasty { MemDisk::nasty(mix.seed) } else { MemDisk::new() };
    let mut store = disk.create();
    let mut model = Model::new();
    let mut held: Vec<(Arc<TreeVersion>, Model)> = Vec::new();
    for round in 1..=mix.rounds {
        let changes = changes(&mut rng, &mix, &model);
        let dropped: Vec<u32> =
            (rng.chance(1, 10)).then(|| 1000 + rng.below(mix.trees) as u32).into_iter().collect();
        model.retain(|(tree, _), _| !dropped.contains(tree));
        let report = disk.checkpoint(&store, VecRun::from_map(&changes, round), &dropped).unwrap();
        assert_eq!(report.entry_count, changes.len() as u64);
        for (key, value) in changes {
            match value {
                Some(value) => drop(model.insert(key, (value, round))),
                None => drop(model.remove(&key)),
            }
        }
        let version = store.current();
        compare(&mut disk, &store, &version, &model, &mut rng, &mix);
        check(&mut disk, &store);
        if rng.chance(1, 4) {
            held.push((version, model.clone()));
        }
        // Versions held stay readable, whatever was written since (I4).
        if let Some((version, model)) = held.first() {
            compare(&mut disk, &store, version, model, &mut rng, &mix);
        }
        if held.len() > 2 {
            held.remove(0);
        }
        if rng.chance(1, 5) {
            held.clear();
            store = disk.open().unwrap().0;
            check(&mut disk, &store);
        }
        store.set_pool_budget(if rng.chance(1, 2) { 0 } else { 8 << 20 });
    }
    let used: usize = model.iter().map(|((_, key), (value, _))| 60 + key.len() + value.len()).sum();
    assert!(disk.data.len() < 20 * used + (8 << 20), "the file has {} bytes for {used}", disk.data.len());
}

const SMALL: Mix = Mix {
    seed: 1,
    nasty: false,
    trees: 3,
    key_space: 5000,
    long_keys: false,
    value_bytes: 100,
    changes: 1500,
    deletes_per_cent: 20,
    rounds: 25,
};

#[test]
fn tiny_rows() {
    run(SMALL);
    run(Mix { seed: 2, value_bytes: 3, key_space: 300_000, changes: 8000, rounds: 12, ..SMALL });
}

#[test]
fn tiny_rows_nasty_disk() {
    run(Mix { seed: 3, nasty: true, rounds: 12, ..SMALL });
}

#[test]
fn long_keys_and_values() {
    run(Mix { seed: 4, long_keys: true, value_bytes: 2500, changes: 300, ..SMALL });
    run(Mix { seed: 5, long_keys: true, value_bytes: 2500, changes: 300, nasty: true, rounds: 8, ..SMALL });
}

#[test]
fn mostly_deletes() {
    run(Mix { seed: 6, trees: 1, deletes_per_cent: 60, value_bytes: 400, ..SMALL });
}
