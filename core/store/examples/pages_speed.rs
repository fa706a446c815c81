//! Measures the page store alone, over a disk in memory: bulk load, point reads, scans, merges of random updates.
//! `cargo run --release -p orrery-store --example pages_speed [rows] [load]`

#![allow(clippy::disallowed_types, reason = "it measures time, outside the core")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "a measuring program"
)]

#[path = "../tests/pages_disk/mod.rs"]
mod pages_disk;

use orrery_base::kv::KeyRange;
use orrery_base::rng::Rng;
use orrery_base::{BoxFuture, Error, Result, Timestamp, TreeId};
use orrery_store::pages::{
    CursorStep, LeafValue, PageStore, PageStoreOptions, RunCursor, RunEntry, StoreState, TreeGet,
};
use pages_disk::MemDisk;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const TREE: TreeId = TreeId(1000);
const VALUE_BYTES: usize = 110;

/// Rows with the given keys, in order; the value begins with the key.
struct KeyRun {
    tree: TreeId,
    keys: Box<dyn Iterator<Item = u64> + Send>,
    key: [u8; 8],
    value: Vec<u8>,
    is_done: bool,
}

impl KeyRun {
    fn new(keys: impl Iterator<Item = u64> + Send + 'static) -> Self {
        let mut run = KeyRun {
            tree: TREE,
            keys: Box::new(keys),
            key: [0; 8],
            value: vec![7; VALUE_BYTES],
            is_done: false,
        };
        run.advance();
        run
    }
}

impl RunCursor for KeyRun {
    fn entry(&self) -> Option<RunEntry<'_>> {
        (!self.is_done).then(|| RunEntry {
            tree: self.tree,
            key: &self.key,
            timestamp: Timestamp(5),
            value: Some(&self.value),
        })
    }

    fn advance(&mut self) {
        match self.keys.next() {
            Some(key) => {
                self.key = key.to_be_bytes();
                self.value[..8].copy_from_slice(&self.key);
            }
            None => self.is_done = true,
        }
    }
}

fn checkpoint(disk: &mut MemDisk, store: &Arc<PageStore>, mut run: KeyRun) -> u64 {
    let store = store.clone();
    let report = disk.run(|cx| async move {
        let before: BoxFuture<'_, Result<()>> = Box::pin(async { Ok::<(), Error>(()) });
        store.checkpoint(&cx, &mut run, &[], StoreState::default(), before).await
    });
    report.unwrap().bytes_written
}

/// Nanoseconds this thread has run: the machine may be busy with other work.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn main() {
    let rows: u64 = std::env::args().nth(1).map_or(1_000_000, |rows| rows.parse().unwrap());
    let mut disk = MemDisk { never_crashes: true, ..MemDisk::new() };
    disk.data.reserve(rows as usize * 900);
    disk.data.resize(rows as usize * 700, 0);
    disk.data.clear();
    let store = disk.run(|cx| async move {
        let options =
            PageStoreOptions { page_unit_bytes: 8192, pool_budget_bytes: 4 << 30, database_id: [1; 16] };
        PageStore::create(&cx, options, StoreState::default()).await.unwrap()
    });

    let mut time = |what: &str, count: u64, body: &mut dyn FnMut() -> String| {
        let (start, cpu_start) = (Instant::now(), cpu_ns());
        let note = body();
        let (wall, cpu) = (start.elapsed().as_nanos() as f64, (cpu_ns() - cpu_start) as f64);
        println!(
            "{what:<44} {:>8.1} ns CPU {:>8.1} ns wall  {note}",
            cpu / count as f64,
            wall / count as f64
        );
    };
    let user_bytes = |count: u64| count as f64 * (VALUE_BYTES + 8) as f64;
    time("bulk load, row", rows, &mut || {
        let bytes = checkpoint(&mut disk, &store, KeyRun::new((0..rows).map(|n| n * 4)));
        format!("{:.2} x written", bytes as f64 / user_bytes(rows))
    });
    println!("{:?} {:?}", store.tree_stats(&store.current(), TREE), store.pool_stats());

    // Once more into another tree, now that the pool has all its memory (a new page of memory costs the system more than
    // the rows in it cost us).
    store.set_pool_budget(store.pool_stats().used_bytes);
    time("bulk load, pool full, row", rows, &mut || {
        let mut run = KeyRun::new((0..rows).map(|n| n * 4));
        run.tree = TreeId(999);
        let bytes = checkpoint(&mut disk, &store, run);
        format!("{:.2} x written", bytes as f64 / user_bytes(rows))
    });
    store.set_pool_budget(4 << 30);
    if std::env::args().nth(2).is_some_and(|only| only == "load") {
        return;
    }
    warm(&mut disk, &store);
    reads(&store, rows, &mut time);
    for share in [100, 10, 2] {
        let count = rows / share;
        time(&format!("merge of random updates (1 row in {share}), row"), count, &mut || {
            let mut rng = Rng::new(share);
            let mut keys: Vec<u64> = (0..count).map(|_| rng.below(rows) * 4).collect();
            keys.sort_unstable();
            keys.dedup();
            let start = cpu_ns();
            let count = keys.len() as u64;
            let bytes = checkpoint(&mut disk, &store, KeyRun::new(keys.into_iter()));
            let ns = (cpu_ns() - start) as f64 / count as f64;
            format!("{:.1} x written, without sorting {ns:.1} ns CPU", bytes as f64 / user_bytes(count))
        });
    }
    let appended = rows / 20;
    time("append, row", appended, &mut || {
        let bytes = checkpoint(&mut disk, &store, KeyRun::new((rows..rows + appended).map(|n| n * 4)));
        format!("{:.2} x written", bytes as f64 / user_bytes(appended))
    });
    let inserted = rows / 20;
    time("random inserts, row", inserted, &mut || {
        let mut rng = Rng::new(77);
        let mut keys: Vec<u64> = (0..inserted).map(|_| rng.below(rows) * 4 + 1).collect();
        keys.sort_unstable();
        keys.dedup();
        let bytes = checkpoint(&mut disk, &store, KeyRun::new(keys.into_iter()));
        format!("{:.1} x written", bytes as f64 / user_bytes(inserted))
    });
    println!("{:?}", store.tree_stats(&store.current(), TREE));
    reads(&store, rows, &mut time);
    println!("file {} MB, read back {} MB", disk.data.len() >> 20, disk.bytes_read >> 20);
}

/// Loads every page of the tree.
fn warm(disk: &mut MemDisk, store: &Arc<PageStore>) {
    let reader = store.reader();
    let mut cursor = store.cursor(store.current(), TREE, KeyRange::all(), false);
    loop {
        let missing = match cursor.next(store, &reader.pin()).unwrap() {
            CursorStep::End => return,
            CursorStep::Leaf(_) => continue,
            CursorStep::Missing(ptr) => ptr,
        };
        disk.load(store, missing).unwrap();
    }
}

fn reads(store: &Arc<PageStore>, rows: u64, time: &mut dyn FnMut(&str, u64, &mut dyn FnMut() -> String)) {
    let version = store.current();
    let reader = store.reader();
    let mut rng = Rng::new(9);
    let keys: Vec<[u8; 8]> = (0..1_000_000).map(|_| (rng.below(rows) * 4).to_be_bytes()).collect();
    let get_pinned = |pin: &orrery_store::pages::Pin<'_>, key: &[u8; 8]| -> u64 {
        match store.get(&version, pin, TREE, key).unwrap() {
            TreeGet::Found { value, .. } => u64::from_be_bytes(value[..8].try_into().unwrap()),
            _ => panic!("a key is missing"),
        }
    };
    let get = |key: &[u8; 8]| get_pinned(&reader.pin(), key);
    for _ in 0..2 {
        time("point get, independent keys, a pin for 64", keys.len() as u64, &mut || {
            let sum = keys.chunks(64).fold(0u64, |sum, keys| {
                let pin = reader.pin();
                keys.iter().fold(sum, |sum, key| sum.wrapping_add(get_pinned(&pin, key)))
            });
            black_box(sum);
            String::new()
        });
        time("point get, independent keys", keys.len() as u64, &mut || {
            let sum = keys.iter().fold(0u64, |sum, key| sum.wrapping_add(get(key)));
            black_box(sum);
            String::new()
        });
    }
    time("point get, each key from the last value", keys.len() as u64, &mut || {
        let mut last = 0;
        for key in &keys {
            let next = ((u64::from_be_bytes(*key) / 4) ^ (last & 1)) % rows * 4;
            last = get(&next.to_be_bytes());
        }
        black_box(last);
        String::new()
    });
    time("point get, absent keys", keys.len() as u64, &mut || {
        let pin = reader.pin();
        let absent = keys.iter().filter(|key| {
            let key = (u64::from_be_bytes(**key) + 2).to_be_bytes();
            store.get(&version, &pin, TREE, &key).unwrap() == TreeGet::Absent
        });
        assert_eq!(absent.count(), keys.len());
        String::new()
    });
    let count = store.tree_stats(&version, TREE).entry_count;
    for reverse in [false, true] {
        let what = if reverse { "scan backward, row" } else { "scan forward, row" };
        time(what, count, &mut || {
            let mut cursor = store.cursor(version.clone(), TREE, KeyRange::all(), reverse);
            let (mut seen, mut sum) = (0u64, 0u64);
            loop {
                let pin = reader.pin();
                match cursor.next(store, &pin).unwrap() {
                    CursorStep::End => break,
                    CursorStep::Missing(_) => panic!("a page is missing"),
                    CursorStep::Leaf(rows) => {
                        seen += rows.len() as u64;
                        for index in 0..rows.len() {
                            if let LeafValue::Inline(value) = rows.value(index) {
                                sum =
                                    sum.wrapping_add(u64::from(value[50]) + rows.suffix(index).len() as u64);
                            }
                        }
                    }
                }
            }
            assert_eq!(seen, count);
            black_box(sum);
            String::new()
        });
    }
}
