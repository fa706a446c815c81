//! A checkpoint cut at any request, with or without a power failure, leaves the state before it or the state after it,
//! whole; and the store can be used on.
#![allow(clippy::unwrap_used, reason = "a test")]

mod pages_disk;

use orrery_base::kv::KeyRange;
use orrery_base::rng::Rng;
use orrery_base::{TreeId, World};
use orrery_store::pages::{CursorStep, LeafValue, PageStore};
use pages_disk::{MemDisk, VecRun};
use std::collections::BTreeMap;
use std::sync::Arc;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn contents(disk: &mut MemDisk, store: &Arc<PageStore>) -> Rows {
    let (reader, mut rows) = (store.reader(), Rows::new());
    let mut cursor = store.cursor(store.current(), TreeId(1000), KeyRange::all(), false);
    loop {
        let missing = {
            let pin = reader.pin();
            match cursor.next(store, &pin).unwrap() {
                CursorStep::End => return rows,
                CursorStep::Missing(ptr) => ptr,
                CursorStep::Leaf(leaf) => {
                    for index in 0..leaf.len() {
                        let LeafValue::Inline(value) = leaf.value(index) else {
                            panic!("no long values here")
                        };
                        rows.insert([leaf.prefix(), leaf.suffix(index)].concat(), value.to_vec());
                    }
                    continue;
                }
            }
        };
        disk.load(store, missing).unwrap();
    }
}

fn assert_sound(disk: &mut MemDisk, store: &Arc<PageStore>) {
    let store = store.clone();
    let findings = disk.run(|cx| async move {
        let mut findings = Vec::new();
        store.check(&cx, &mut |finding| findings.push(finding)).await.unwrap();
        findings
    });
    // A superblock copy may be torn or of a cut attempt; everything else must be right.
    let others: Vec<_> = findings.iter().filter(|finding| !finding.place.starts_with("superblock")).collect();
    assert!(others.is_empty(), "{others:#?}");
}

fn cut_checkpoints(seed: u64, power_fails: bool) {
    let mut rng = Rng::new(seed);
    let mut disk = if seed.is_multiple_of(2) { MemDisk::new() } else { MemDisk::nasty(seed) };
    let world = if disk.shorten { World::shortening() } else { World::quiet() };
    let mut store = disk.create();
    let mut before = Rows::new();
    let (mut old_seen, mut new_seen) = (0, 0);
    for round in 1..80u64 {
        let mut changes = BTreeMap::new();
        for _ in 0..rng.below(600) {
            let value = rng.chance(4, 5).then(|| vec![round as u8; rng.below(200) as usize]);
            changes.insert((1000, (rng.below(3000) as u32).to_be_bytes().to_vec()), value);
        }
        let mut after = before.clone();
        for ((_, key), value) in &changes {
            match value {
                Some(value) => drop(after.insert(key.clone(), value.clone())),
                None => drop(after.remove(key)),
            }
        }
        let (run, sharer) = (VecRun::from_map(&changes, round), store.clone());
        let op_count_max = disk.op_count + rng.below(if disk.shorten { 60 } else { 16 });
        let outcome = disk.run_limited(&world, op_count_max, |cx| async move {
            pages_disk::checkpoint(&cx, &sharer, run, &[]).await
        });
        let is_acknowledged = outcome.is_some_and(|outcome| outcome.is_ok());
        if power_fails || store.is_poisoned() {
            if power_fails {
                disk.crash(&mut rng);
            }
            store = disk.open().unwrap().0;
        }
        let found = contents(&mut disk, &store);
        match (found == before, found == after) {
            (_, true) => new_seen += 1,
            (true, false) if !is_acknowledged => old_seen += 1,
            _ => panic!("round {round}: neither the state before nor the one after"),
        }
        before = found;
        assert_sound(&mut disk, &store);
    }
    assert!(old_seen > 5 && new_seen > 5, "{old_seen} {new_seen}");
}

#[test]
fn power_failures() {
    (0..6).for_each(|seed| cut_checkpoints(seed, true));
}

#[test]
fn dropped_tasks() {
    (10..16).for_each(|seed| cut_checkpoints(seed, false));
}
