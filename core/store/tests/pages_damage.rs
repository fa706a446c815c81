//! Damage is a typed error, never a wrong answer: a flipped byte in every page and superblock copy, a cut file, a file
//! that is not ours, a failed sync, a full disk.
#![allow(clippy::unwrap_used, reason = "a test")]

mod pages_disk;

use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp};
use orrery_base::hash::checksum;
use orrery_base::rng::Rng;
use orrery_base::{Error, SqlState, TreeId};
use orrery_store::pages::{CheckFinding, PageStore, StoreState};
use pages_disk::{MemDisk, VecRun};
use std::sync::Arc;

const UNIT: usize = 8192;
/// Where the superblock copies lie: generation 0, generation 1; first copy, second copy.
const PLACES: [[usize; 2]; 2] = [[0, 524_288], [8_192, 532_480]];

fn rows(tree: u32, numbers: std::ops::Range<u32>, value_bytes: usize, timestamp: u64) -> VecRun {
    let row = |number: u32| {
        // A few long values among them.
        let len = if number.is_multiple_of(500) { 3 * UNIT } else { value_bytes };
        (tree, number.to_be_bytes().to_vec(), timestamp, Some(vec![number as u8; len]))
    };
    VecRun { entries: numbers.map(row).collect(), index: 0 }
}

/// One checkpoint and a seal: every unit that is not zero is reached by both generations.
fn sealed() -> MemDisk {
    let mut disk = MemDisk::new();
    let store = disk.create();
    let mut run = rows(1000, 0..12_000, 100, 1);
    run.entries.extend(rows(1001, 0..10, 5, 2).entries);
    disk.checkpoint(&store, run, &[]).unwrap();
    disk.run(|cx| async move { store.seal(&cx, StoreState::default()).await }).unwrap();
    disk
}

fn findings(disk: &mut MemDisk, store: &Arc<PageStore>) -> Vec<CheckFinding> {
    let store = store.clone();
    disk.run(|cx| async move {
        let mut findings = Vec::new();
        store.check(&cx, &mut |finding| findings.push(finding)).await.unwrap();
        findings
    })
}

fn reopened(disk: &MemDisk, change: impl FnOnce(&mut Vec<u8>)) -> (MemDisk, Result<Arc<PageStore>, Error>) {
    let mut copy = MemDisk { data: disk.data.clone(), exists: true, ..MemDisk::new() };
    change(&mut copy.data);
    let opened = copy.open().map(|(store, _)| store);
    (copy, opened)
}

#[test]
fn a_flipped_byte_in_any_page_is_found() {
    let disk = sealed();
    let (mut clean, store) = reopened(&disk, |_| ());
    assert_eq!(findings(&mut clean, &store.unwrap()), []);
    let mut rng = Rng::new(1);
    let mut kinds = std::collections::BTreeMap::<u8, usize>::new();
    for unit in 0..disk.data.len() / UNIT {
        let range = unit * UNIT..(unit + 1) * UNIT;
        let is_superblock = PLACES.iter().flatten().any(|place| range.contains(place));
        if is_superblock || disk.data[range.clone()].iter().all(|&byte| byte == 0) {
            continue;
        }
        *kinds.entry(disk.data[range.start]).or_default() += 1;
        let at = range.start + rng.below(UNIT as u64) as usize;
        let (mut copy, opened) = reopened(&disk, |data| data[at] ^= 1 << rng.below(8));
        match opened {
            Err(error) => assert_eq!(error.code(), SqlState::DATA_CORRUPTED, "unit {unit}"),
            Ok(store) => assert!(!findings(&mut copy, &store).is_empty(), "unit {unit}, byte {at}"),
        }
    }
    // Inner, leaf, overflow, free space and its root were all among them (an extent's later units count as what they
    // begin with).
    for kind in [1, 3, 5, 6, 7] {
        assert!(kinds.get(&kind).is_some_and(|&count| count > 0), "{kinds:?}");
    }
}

/// Writes `bytes` at `at` of the page that the pointer at `ptr_at` names, and makes all checksums right again, so that
/// only the numbers themselves are wrong. `ptr_at` lies in both superblock generations, which are at one root.
fn forge(data: &mut [u8], ptr_at: usize, page_offset: usize, bytes: &[u8]) {
    let number = |data: &[u8], at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
    let start = number(data, ptr_at) as usize * UNIT;
    let unit_count = u32::from_le_bytes(data[ptr_at + 8..ptr_at + 12].try_into().unwrap()) as usize;
    data[start + page_offset..start + page_offset + bytes.len()].copy_from_slice(bytes);
    let sum = checksum(&data[start..start + unit_count * UNIT]);
    for place in PLACES.iter().flatten() {
        let at = place + ptr_at;
        data[at + 12..at + 16].copy_from_slice(&sum.to_le_bytes());
        let sum = checksum(&data[*place..place + 4092]);
        data[place + 4092..place + 4096].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Numbers in a page never decide how long the walk takes or how much memory it asks for: a checksum may be right by
/// chance, or made so.
#[test]
fn absurd_numbers_are_found_at_once() {
    // Where in the superblock the pointers to the meta tree's root (a leaf here) and to the free-space root are.
    const META: usize = 48;
    const FREE_SPACE: usize = 72;
    let disk = sealed();
    let meta_leaf = u64::from_le_bytes(disk.data[META..META + 8].try_into().unwrap()) as usize * UNIT;
    // The first tree's root is the leaf's first value, behind its key of 4 bytes, which is in the head: the slot says where.
    let slot = meta_leaf + 64 + 2 * 8;
    let root_at = u16::from_le_bytes(disk.data[slot..slot + 2].try_into().unwrap()) as usize;
    let cases: [(&str, usize, usize, &[u8]); 10] = [
        ("a root far away", META, root_at, &(1u64 << 44).to_le_bytes()),
        ("a root at the end of numbers", META, root_at, &u64::MAX.to_le_bytes()),
        ("a root of many units", META, root_at + 8, &u32::MAX.to_le_bytes()),
        ("a root of no unit", META, root_at + 8, &0u32.to_le_bytes()),
        ("a root of many levels", META, root_at + 24, &u32::MAX.to_le_bytes()),
        ("free space of many units", FREE_SPACE, 64, &(1u64 << 50).to_le_bytes()),
        ("free space of more units than the file", FREE_SPACE, 64, &(1u64 << 19).to_le_bytes()),
        ("free space of all units", FREE_SPACE, 64, &u64::MAX.to_le_bytes()),
        ("a part of free space far away", FREE_SPACE, 72, &(1u64 << 44).to_le_bytes()),
        ("a part of free space of many units", FREE_SPACE, 80, &u32::MAX.to_le_bytes()),
    ];
    for (what, ptr_at, page_offset, bytes) in cases {
        let (mut copy, opened) = reopened(&disk, |data| forge(data, ptr_at, page_offset, bytes));
        match opened {
            Err(error) => assert_eq!(error.code(), SqlState::DATA_CORRUPTED, "{what}"),
            Ok(store) => assert!(!findings(&mut copy, &store).is_empty(), "{what}"),
        }
        let (read, len) = (copy.bytes_read, copy.data.len() as u64);
        assert!(read < 4 * len, "{what}: {read} bytes of a file of {len} were read");
        let mut copy = MemDisk { data: copy.data, exists: true, ..MemDisk::new() };
        // What is read by key meets the same pointer.
        if let Ok((store, _)) = copy.open() {
            let version = store.current();
            let reader = store.reader();
            let pin = reader.pin();
            let found = store.get(&version, &pin, TreeId(1000), b"any").unwrap();
            if let orrery_store::pages::TreeGet::Missing(ptr) = found
                && ptr_at == META
                && page_offset < root_at + 24
            {
                assert_eq!(copy.load(&store, ptr).unwrap_err().code(), SqlState::DATA_CORRUPTED, "{what}");
            }
        }
    }
}

#[test]
fn a_damaged_page_is_an_error_where_it_is_read() {
    let disk = sealed();
    // Every leaf of the large tree damaged: each read fails with XX001 and says which page.
    let (mut copy, store) = reopened(&disk, |data| {
        let leaves =
            (0..data.len() / UNIT).filter(|unit| data[unit * UNIT] == 3 && data[unit * UNIT + 24] == 0xe8);
        for unit in leaves.collect::<Vec<_>>() {
            data[unit * UNIT + 5000] ^= 4;
        }
    });
    let store = store.unwrap();
    let version = store.current();
    let reader = store.reader();
    let error = loop {
        let missing = {
            let pin = reader.pin();
            match store.get(&version, &pin, TreeId(1000), &77u32.to_be_bytes()).unwrap() {
                orrery_store::pages::TreeGet::Missing(ptr) => ptr,
                found => panic!("{found:?}"),
            }
        };
        if let Err(error) = copy.load(&store, missing) {
            break error;
        }
    };
    assert_eq!(error.code(), SqlState::DATA_CORRUPTED);
    assert!(error.message().contains("page"), "{error:?}");
    assert!(copy.get(&store, &version, 1001, &7u32.to_be_bytes()).is_some(), "other trees are read");
    // A merge meets the damage too, and leaves all as it was.
    let error = copy.checkpoint(&store, rows(1000, 5..6, 10, 9), &[]).unwrap_err();
    assert_eq!(error.code(), SqlState::DATA_CORRUPTED);
    assert_eq!(store.current().sequence(), version.sequence());
    copy.checkpoint(&store, rows(1001, 5..6, 10, 9), &[]).unwrap();
}

#[test]
fn superblock_copies() {
    let disk = sealed();
    let mut rng = Rng::new(2);
    let flip = |data: &mut Vec<u8>, rng: &mut Rng, place: usize| {
        data[place + rng.below(4096) as usize] ^= 1 << rng.below(8)
    };
    for place in PLACES.iter().flatten() {
        let (mut copy, store) = reopened(&disk, |data| flip(data, &mut rng, *place));
        let store = store.unwrap();
        assert_eq!(store.superblock_info().damaged_copies.len(), 1);
        assert_eq!(findings(&mut copy, &store).len(), 1);
        // Two checkpoints later both generations are whole again.
        copy.checkpoint(&store, VecRun::default(), &[]).unwrap();
        copy.checkpoint(&store, VecRun::default(), &[]).unwrap();
        assert_eq!(findings(&mut copy, &store), []);
    }
    for places in PLACES {
        let (mut copy, store) =
            reopened(&disk, |data| places.iter().for_each(|place| flip(data, &mut rng, *place)));
        let store = store.unwrap();
        let info = store.superblock_info();
        assert_eq!((info.damaged_copies.len(), info.older), (2, None));
        assert_eq!(store.tree_stats(&store.current(), TreeId(1000)).entry_count, 12_000);
        copy.checkpoint(&store, VecRun::default(), &[]).unwrap();
        assert_eq!(findings(&mut copy, &store), []);
    }
    let (_, opened) =
        reopened(&disk, |data| PLACES.iter().flatten().for_each(|place| flip(data, &mut rng, *place)));
    assert_eq!(opened.err().unwrap().code(), SqlState::DATA_CORRUPTED);
}

#[test]
fn cut_and_foreign_files() {
    let disk = sealed();
    let code = |change: &dyn Fn(&mut Vec<u8>)| reopened(&disk, change).1.err().unwrap().code();
    assert_eq!(code(&|data| data.truncate(data.len() / 2)), SqlState::DATA_CORRUPTED);
    assert_eq!(code(&|data| data.truncate(600_000)), SqlState::DATA_CORRUPTED);
    assert_eq!(code(&|data| data.clear()), SqlState::UNDEFINED_FILE);
    assert_eq!(code(&|data| *data = b"SQLite format 3\0".repeat(100_000)), SqlState::SYSTEM_ERROR);
    assert_eq!(code(&|data| *data = b"a note".to_vec()), SqlState::SYSTEM_ERROR);
    assert_eq!(code(&|data| *data = vec![0; 1 << 20]), SqlState::UNDEFINED_FILE);
    // What exists is not made anew.
    let mut copy = MemDisk { data: disk.data.clone(), exists: true, ..MemDisk::new() };
    let made = copy
        .run(|cx| async move { PageStore::create(&cx, pages_disk::options(), StoreState::default()).await });
    assert_eq!(made.err().unwrap().code(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert_eq!(copy.data, disk.data);
    let mut missing = MemDisk::new();
    assert_eq!(missing.open().err().unwrap().code(), SqlState::UNDEFINED_FILE);
}

#[test]
fn a_cut_creation_is_begun_again() {
    for op_count_max in 0..7 {
        for seed in 0..20 {
            let mut disk = MemDisk::new();
            let world = orrery_base::World::quiet();
            let made = disk.run_limited(&world, op_count_max, |cx| async move {
                PageStore::create(&cx, pages_disk::options(), StoreState::default()).await
            });
            assert!(made.is_none());
            disk.crash(&mut Rng::new(seed));
            match disk.open() {
                Ok((store, _)) => assert_eq!(store.current().trees().count(), 0),
                Err(error) => {
                    let codes = [SqlState::UNDEFINED_FILE, SqlState::DATA_CORRUPTED, SqlState::SYSTEM_ERROR];
                    assert!(codes.contains(&error.code()), "{error:?}");
                    disk.create();
                    disk.open().unwrap();
                }
            }
        }
    }
}

#[test]
fn a_full_disk_drops_the_checkpoint_whole() {
    let mut disk = MemDisk::new();
    let store = disk.create();
    disk.checkpoint(&store, rows(1000, 0..3000, 100, 1), &[]).unwrap();
    disk.capacity = Some(disk.data.len() as u64);
    let sequence = store.current().sequence();
    for _ in 0..3 {
        let error = disk.checkpoint(&store, rows(1000, 0..90_000, 100, 2), &[]).unwrap_err();
        assert_eq!(error.code(), SqlState::DISK_FULL);
        assert_eq!(store.current().sequence(), sequence);
        assert_eq!(findings(&mut disk, &store), []);
        // A small one still has room, and so has the emptying of the tree.
        let small = disk.checkpoint(&store, rows(1000, 7..8, 50, 3), &[]);
        assert!(small.is_ok() || sequence == store.current().sequence());
        if small.is_ok() {
            break;
        }
    }
    assert_eq!(disk.get(&store, &store.current(), 1000, &9u32.to_be_bytes()), Some((vec![9; 100], 1)));
    disk.capacity = None;
    assert!(!store.is_poisoned());
    disk.checkpoint(&store, rows(1000, 0..90_000, 100, 4), &[]).unwrap();
    assert_eq!(findings(&mut disk, &store), []);
    assert_eq!(store.tree_stats(&store.current(), TreeId(1000)).entry_count, 90_000);
}

#[test]
fn failed_writes_and_syncs() {
    let mut rng = Rng::new(4);
    for fail_at in 0..40u64 {
        let mut disk = if fail_at % 2 == 0 { MemDisk::new() } else { MemDisk::nasty(fail_at) };
        let store = disk.create();
        disk.checkpoint(&store, rows(1000, 0..2000, 100, 1), &[]).unwrap();
        let mut left = fail_at / 2;
        let failed_sync = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let saw = failed_sync.clone();
        disk.fault = Some(Box::new(move |op| {
            let counts = matches!(op, DiskOp::Write { .. } | DiskOp::Sync { .. } | DiskOp::Allocate { .. });
            if !counts || left > 0 {
                left -= u64::from(counts);
                return None;
            }
            left = u64::MAX;
            saw.store(matches!(op, DiskOp::Sync { .. }), std::sync::atomic::Ordering::Relaxed);
            Some(DiskError::new(DiskErrorKind::Other, "input/output error"))
        }));
        let outcome = disk.checkpoint(&store, rows(1000, 500..4000, 300, 2), &[]);
        disk.fault = None;
        let failed_sync = failed_sync.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(store.is_poisoned(), failed_sync, "fault {fail_at}");
        let expected = if outcome.is_ok() { (vec![1; 300], 2) } else { (vec![1; 100], 1) };
        if let Err(error) = &outcome {
            assert_eq!(error.code(), SqlState::IO_ERROR);
        }
        assert_eq!(disk.get(&store, &store.current(), 1000, &513u32.to_be_bytes()), Some(expected));
        let again = disk.checkpoint(&store, rows(1000, 600..700, 50, 3), &[]);
        assert_eq!(again.is_err(), failed_sync, "a sync is never tried again (I5)");
        if !failed_sync {
            for timestamp in 4..8 {
                disk.checkpoint(&store, rows(1000, 0..300, 90, timestamp), &[]).unwrap();
                assert_eq!(findings(&mut disk, &store), []);
            }
        }
        disk.crash(&mut rng);
        let (store, _) = disk.open().unwrap();
        assert_eq!(
            findings(&mut disk, &store).iter().filter(|it| !it.place.contains("superblock")).count(),
            0
        );
    }
}
