//! What merges do to the shape of a tree: replacements keep it, deletions shrink it, appends fill it, and the pages that
//! become free are used again.
#![allow(clippy::unwrap_used, reason = "a test")]

mod pages_disk;

use orrery_base::TreeId;
use orrery_base::rng::Rng;
use orrery_store::pages::{PageStore, TreeStats};
use pages_disk::{MemDisk, VecRun};
use std::sync::Arc;

const TREE: u32 = 1000;

fn rows(numbers: impl IntoIterator<Item = u32>, value: Option<&[u8]>) -> VecRun {
    let row = |number: u32| (TREE, number.to_be_bytes().to_vec(), 1, value.map(<[u8]>::to_vec));
    VecRun { entries: numbers.into_iter().map(row).collect(), index: 0 }
}

fn stats(store: &Arc<PageStore>) -> TreeStats {
    store.tree_stats(&store.current(), TreeId(TREE))
}

fn loaded(count: u32) -> (MemDisk, Arc<PageStore>) {
    let mut disk = MemDisk::new();
    let store = disk.create();
    store.set_pool_budget(64 << 20);
    disk.checkpoint(&store, rows(0..count, Some(&[1; 100])), &[]).unwrap();
    (disk, store)
}

#[test]
fn a_bulk_load_fills_its_pages() {
    let (disk, store) = loaded(100_000);
    let stats = stats(&store);
    let row_bytes = 100_000 * (24 + 100);
    assert!(stats.page_bytes < row_bytes * 103 / 100, "{stats:?}");
    assert_eq!((stats.entry_count, stats.height), (100_000, 3));
    assert!(disk.bytes_written < row_bytes * 104 / 100, "each page is written once: {}", disk.bytes_written);
}

#[test]
fn replacements_keep_the_pages() {
    let (mut disk, store) = loaded(50_000);
    let before = stats(&store);
    disk.checkpoint(&store, rows(0..50_000, Some(&[2; 100])), &[]).unwrap();
    assert_eq!(stats(&store), before);
    let mut rng = Rng::new(1);
    for _ in 0..20 {
        let numbers: std::collections::BTreeSet<u32> = (0..500).map(|_| rng.below(50_000) as u32).collect();
        disk.checkpoint(&store, rows(numbers, Some(&[3; 100])), &[]).unwrap();
        assert_eq!(stats(&store), before);
    }
    assert_eq!(disk.bytes_read, 0, "everything was in the pool");
}

#[test]
fn one_row_rewrites_one_path() {
    let (mut disk, store) = loaded(50_000);
    disk.checkpoint(&store, rows([7], Some(&[2; 100])), &[]).unwrap();
    let report = disk.checkpoint(&store, rows([31_000], Some(&[2; 100])), &[]).unwrap();
    assert_eq!((report.entry_count, report.leaf_count), (1, 1));
    // Leaf, inner page, root, meta leaf, two free-space pages, two superblock copies.
    assert_eq!(report.bytes_written, 6 * 8192 + 2 * 4096);
}

#[test]
fn deletions_shrink_the_tree() {
    let (mut disk, store) = loaded(100_000);
    let full = stats(&store);
    // Nine rows of ten, one after the other round: leaves run empty and their neighbours take them in.
    for digit in 1..10 {
        disk.checkpoint(&store, rows((0..100_000).filter(|n| n % 10 == digit), None), &[]).unwrap();
    }
    let tenth = stats(&store);
    assert_eq!(tenth.entry_count, 10_000);
    assert!(tenth.page_bytes * 100 < full.page_bytes * 26, "{tenth:?} after {full:?}");
    // A stretch in the middle goes: only its pages do.
    disk.checkpoint(&store, rows(20_000..90_000, None), &[]).unwrap();
    assert_eq!(stats(&store).entry_count, 3_000);
    assert!(stats(&store).page_bytes < tenth.page_bytes * 4 / 10, "{:?}", stats(&store));
    // All but the first hundred.
    disk.checkpoint(&store, rows(100..100_000, None), &[]).unwrap();
    assert_eq!((stats(&store).entry_count, stats(&store).height), (10, 1));
    disk.checkpoint(&store, rows(0..100, None), &[]).unwrap();
    assert_eq!(stats(&store), TreeStats::default());
    assert_eq!(store.current().trees().count(), 0);
}

#[test]
fn appends_fill_the_right_edge() {
    let mut disk = MemDisk::new();
    let store = disk.create();
    for part in 0..100 {
        disk.checkpoint(&store, rows(part * 500..(part + 1) * 500, Some(&[1; 100])), &[]).unwrap();
    }
    let stats = stats(&store);
    assert!(stats.page_bytes < 50_000 * 124 * 104 / 100, "{stats:?}");
}

#[test]
fn a_queue_does_not_grow() {
    let mut disk = MemDisk::new();
    let store = disk.create();
    let mut file_bytes = 0;
    for part in 0..300u32 {
        let mut run = rows(part.saturating_sub(5) * 200..part.saturating_sub(4) * 200, None);
        if part < 5 {
            run = VecRun::default();
        }
        run.entries.extend(rows(part * 200..(part + 1) * 200, Some(&[1; 100])).entries);
        disk.checkpoint(&store, run, &[]).unwrap();
        if part == 30 {
            file_bytes = disk.data.len();
        }
    }
    assert_eq!(disk.data.len(), file_bytes, "free pages are used again");
    assert_eq!(stats(&store).entry_count, 1000);
    assert!(stats(&store).page_bytes < 30 * 8192, "{:?}", stats(&store));
}
