//! What a transaction costs over a disk of memory: nanoseconds of one thread per row, read or commit. Run in release:
//! `cargo run --release -p orrery-store --example txn_bench -- [rows]`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a measuring program"
)]

use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult, FileId};
use orrery_base::kv::{Flow, KeyRange, Lookup, ReadMode, RowLock, RowRef, RowSink, Transaction};
use orrery_base::task::Task;
use orrery_base::{AlignedBuf, Cx, Result, TreeId, World};
use orrery_store::pages::TreeGet;
use orrery_store::{Store, StoreOptions, Txn, TxnOptions};
use std::collections::BTreeMap;
use std::future::Future;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

const TREE: TreeId = TreeId(1000);

#[derive(Default)]
struct RamDisk {
    files: Mutex<BTreeMap<FileId, Vec<u8>>>,
    sync: Duration,
}

impl RamDisk {
    fn perform(&self, op: DiskOp) -> DiskResult {
        if let (DiskOp::Sync { .. }, true) = (&op, self.sync > Duration::ZERO) {
            std::thread::sleep(self.sync);
        }
        let mut files = self.files.lock().unwrap();
        let missing = || DiskError::new(DiskErrorKind::NotFound, "no such file");
        Ok(match op {
            DiskOp::List => DiskReply::Files(files.iter().map(|(&id, it)| (id, it.len() as u64)).collect()),
            DiskOp::Len { file } => DiskReply::Len(files.get(&file).ok_or_else(missing)?.len() as u64),
            DiskOp::Read { file, offset, len } => {
                let bytes = files.get(&file).ok_or_else(missing)?;
                let start = (offset as usize).min(bytes.len());
                DiskReply::Read(AlignedBuf::from(&bytes[start..(start + len).min(bytes.len())]))
            }
            DiskOp::Write { file, offset, data } => {
                let bytes = files.entry(file).or_default();
                let end = offset as usize + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[offset as usize..end].copy_from_slice(&data);
                DiskReply::Written(data.len())
            }
            DiskOp::Allocate { file, len, .. } => {
                let bytes = files.entry(file).or_default();
                let len = bytes.len().max(len as usize);
                bytes.resize(len, 0);
                DiskReply::Done
            }
            DiskOp::Truncate { file, len } => {
                files.get_mut(&file).ok_or_else(missing)?.truncate(len as usize);
                DiskReply::Done
            }
            DiskOp::Remove { file } => {
                files.remove(&file);
                DiskReply::Done
            }
            _ => DiskReply::Done,
        })
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T, F: Future<Output = T> + Send + 'static>(disk: &RamDisk, body: impl FnOnce(Cx) -> F) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut task = Task::new(World::quiet(), body);
    loop {
        if let Poll::Ready(answer) = task.poll(&waker, 1_700_000_000_000_000) {
            return answer;
        }
        let requests = task.take_requests();
        if requests.is_empty() {
            std::thread::park();
        }
        for request in requests {
            let (op, completion) = request.split();
            completion.complete(disk.perform(op));
        }
    }
}

/// CPU time of this thread, as the kernel counts it: the machine may be busy with other things.
#[derive(Clone, Copy)]
struct Cpu(u64);

impl Cpu {
    fn now() -> Cpu {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Cpu(text.split(' ').next().unwrap().parse().unwrap())
    }
}

fn report(what: &str, count: u64, start: Cpu) {
    let ns = (Cpu::now().0 - start.0) as f64 / count as f64;
    println!("{what:<58} {ns:>9.0} ns");
}

fn options() -> StoreOptions {
    StoreOptions { memory_bytes: 8 << 30, pool_budget_bytes: 2 << 30, ..StoreOptions::default() }
}

/// A permutation of `0..count`.
fn scattered(i: u64, count: u64) -> u64 {
    i.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(i) % count
}

fn load(disk: &Arc<RamDisk>, store: &Arc<Store>, count: u64, random: bool, locks: bool) {
    let name = if random { "random" } else { "sorted" };
    let txn = store.begin(TxnOptions::default(), 0).unwrap();
    let value = [7u8; 112];
    let start = Cpu::now();
    for i in 0..count {
        let key =
            if random { (i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_be_bytes() } else { i.to_be_bytes() };
        if locks {
            assert!(txn.try_lock(TREE, &key, RowLock::Update).unwrap());
        }
        txn.put(TREE, &key, &value).unwrap();
    }
    report(&format!("load {name}: put{} a row", if locks { " + row lock" } else { "" }), count, start);
    let commit = Cpu::now();
    block_on(disk, |cx| async move { txn.commit(&cx).await }).unwrap();
    report(&format!("load {name}: commit (log, install) a row"), count, commit);
    report(&format!("load {name}: put + commit a row"), count, start);
    let merge = Cpu::now();
    let it = store.clone();
    block_on(disk, |cx| async move { it.checkpoint(&cx).await }).unwrap();
    report(&format!("load {name}: checkpoint a row"), count, merge);
}

struct Count(u64, u64);

impl RowSink for Count {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        self.0 += rows.len() as u64;
        self.1 += rows.iter().map(|row| u64::from(row.value[0])).sum::<u64>();
        Ok(Flow::More)
    }
}

fn scan(disk: &Arc<RamDisk>, store: &Arc<Store>, what: &str) {
    let txn = store.begin(TxnOptions::default(), 0).unwrap();
    let start = Cpu::now();
    let count = block_on(disk, |cx| async move {
        let mut sink = Count(0, 0);
        let mut scan = txn.scan(TREE, KeyRange::all(), ReadMode::Snapshot, false).unwrap();
        while scan.next_batch(&cx, &mut sink).await.unwrap() {}
        black_box(sink.1);
        sink.0
    });
    report(&format!("{what}: a row of {count}"), count, start);
}

fn warm(disk: &Arc<RamDisk>, txn: &Arc<Txn>, key: &[u8]) {
    loop {
        match txn.get(TREE, key, ReadMode::Snapshot, &mut |_| {}).unwrap() {
            Lookup::Missing(page) => {
                let it = txn.clone();
                block_on(disk, |cx| async move { it.load(&cx, page).await }).unwrap();
            }
            _ => return,
        }
    }
}

fn point_reads(disk: &Arc<RamDisk>, store: &Arc<Store>, count: u64, what: &str) {
    let txn = store.begin(TxnOptions::default(), 0).unwrap();
    for i in 0..count {
        warm(disk, &txn, &i.to_be_bytes());
    }
    let mut sum = 0u64;
    let start = Cpu::now();
    for i in 0..count {
        let key = scattered(i, count).to_be_bytes();
        let lookup =
            txn.get(TREE, &key, ReadMode::Snapshot, &mut |value| sum += u64::from(value[0])).unwrap();
        assert!(matches!(lookup, Lookup::Found { .. }));
    }
    report(&format!("{what}: get in a transaction"), count, start);
    drop(txn);
    let start = Cpu::now();
    for i in 0..count {
        let key = scattered(i, count).to_be_bytes();
        let txn = store.begin(TxnOptions { read_only: true, ..TxnOptions::default() }, 0).unwrap();
        txn.get(TREE, &key, ReadMode::Snapshot, &mut |value| sum += u64::from(value[0])).unwrap();
    }
    report(&format!("{what}: begin + get + drop"), count, start);
    let pages = store.pages();
    let (version, reader) = (pages.current(), pages.reader());
    let start = Cpu::now();
    for i in 0..count {
        let key = scattered(i, count).to_be_bytes();
        let pin = reader.pin();
        if let TreeGet::Found { value, .. } = pages.get(&version, &pin, TREE, &key).unwrap() {
            sum += u64::from(value[0]);
        }
    }
    black_box(sum);
    report(&format!("{what}: the tree's get alone"), count, start);
}

fn commits(disk: &Arc<RamDisk>, store: &Arc<Store>, count: u64) {
    let start = Cpu::now();
    let it = store.clone();
    block_on(disk, |cx| async move {
        for i in 0..count {
            let txn = it.begin(TxnOptions::default(), cx.now()).unwrap();
            let key = scattered(i, 1_000_000).to_be_bytes();
            assert!(txn.try_lock(TREE, &key, RowLock::Update).unwrap());
            txn.put(TREE, &key, &[9; 112]).unwrap();
            txn.commit(&cx).await.unwrap();
        }
    });
    report("single-row commit, disk of memory (CPU)", count, start);
}

fn group_commit(threads: u64) -> f64 {
    let disk = Arc::new(RamDisk { sync: Duration::from_micros(120), ..RamDisk::default() });
    let store = block_on(&disk, |cx| async move { Store::open(&cx, options()).await }).unwrap();
    let per_thread = 1500;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (disk, store) = (disk.clone(), store.clone());
            scope.spawn(move || {
                for i in 0..per_thread {
                    let store = store.clone();
                    block_on(&disk, |cx| async move {
                        let txn = store.begin(TxnOptions::default(), cx.now()).unwrap();
                        txn.put(TREE, &(thread * 1_000_000 + i).to_be_bytes(), &[9; 112]).unwrap();
                        txn.commit(&cx).await
                    })
                    .unwrap();
                }
            });
        }
    });
    let rate = (threads * per_thread) as f64 / start.elapsed().as_secs_f64();
    println!("{:<58} {rate:>9.0} commits/s", format!("group commit, sync of 120 µs, {threads} writers"));
    rate
}

fn main() {
    let count: u64 = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(1_000_000);
    for (random, locks) in [(false, false), (true, true), (false, true)] {
        let disk = Arc::new(RamDisk::default());
        let store = block_on(&disk, |cx| async move { Store::open(&cx, options()).await }).unwrap();
        load(&disk, &store, count, random, locks);
        if random || !locks {
            continue;
        }
        scan(&disk, &store, "scan after checkpoint (cold)");
        scan(&disk, &store, "scan after checkpoint");
        point_reads(&disk, &store, count, "after checkpoint");
        commits(&disk, &store, count / 20);
        point_reads(&disk, &store, count, "5 % of rows newer");
        scan(&disk, &store, "scan, 5 % of rows newer");
    }
    let one = group_commit(1);
    let eight = group_commit(8);
    println!("{:<58} {:>9.2} ×", "8 writers against 1", eight / one);
}
