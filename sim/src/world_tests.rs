//! The scheduler and the disk under a toy write-ahead log: the right one never loses an acknowledged record, and each
//! of three wrong ones is caught. What catches the toy's bugs is what must catch the store's.

use super::*;
use crate::disk::DiskFaults;
use orrery_base::disk::{DiskError, FileId};
use orrery_base::hash::checksum;
use orrery_base::task::lock;
use orrery_base::{AlignedBuf, Cx};
use std::sync::Mutex;

const LOG: FileId = FileId::Log(1);
const RECORD_BYTES: u64 = 1024;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    None,
    NoSync,
    SyncBeforeWriteCompletes,
    NoChecksum,
}

/// Appends records of one number each, and acknowledges them in `acked`.
async fn append(cx: Cx, from: u64, bug: Bug, acked: Arc<Mutex<Vec<u64>>>) -> Result<(), DiskError> {
    for number in from..from + 20 {
        let mut record = vec![0; RECORD_BYTES as usize];
        record[..8].copy_from_slice(&number.to_le_bytes());
        record[1000..1008].copy_from_slice(&number.to_le_bytes());
        let sum = checksum(&record[..1020]);
        record[1020..].copy_from_slice(&sum.to_le_bytes());
        let offset = number * RECORD_BYTES;
        let write = cx.submit(DiskOp::Write { file: LOG, offset, data: AlignedBuf::from(&record[..]) });
        if bug == Bug::SyncBeforeWriteCompletes {
            let sync = cx.submit(DiskOp::Sync { file: LOG });
            write.await?;
            sync.await?;
        } else {
            write.await?;
            if bug != Bug::NoSync {
                cx.sync(LOG).await?;
            }
        }
        lock(&acked).push(number);
    }
    Ok(())
}

async fn recover(cx: Cx, bug: Bug, found: Arc<Mutex<Vec<u64>>>) {
    let bytes = cx.read(LOG, 0, 1 << 20).await.expect("no read fails here");
    for (index, record) in bytes.chunks_exact(RECORD_BYTES as usize).enumerate() {
        let word = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().expect("eight bytes"));
        let sum = u32::from_le_bytes(record[1020..].try_into().expect("four bytes"));
        if (bug != Bug::NoChecksum && sum != checksum(&record[..1020])) || word(0) != index as u64 {
            break;
        }
        lock(&found).push(word(1000));
    }
}

/// Runs one world; gives what went wrong, and the trace's hash.
fn run(seed: u64, bug: Bug) -> (Result<(), String>, u64) {
    let hooks = orrery_base::World::quiet;
    let disk = Disk::new(seed, DiskFaults { capacity_bytes: 1 << 20, ..DiskFaults::default() });
    let mut world = SimWorld::new(seed, disk, Pace::default(), Trace::new(false));
    world.spawn(
        "create",
        Task::new(hooks(), |cx| async move {
            cx.disk(DiskOp::Allocate { file: LOG, len: 40 * RECORD_BYTES, fill: false })
                .await
                .expect("there is room");
        }),
    );
    world.run_to_idle();
    let acked = Arc::new(Mutex::new(vec![]));
    let sink = acked.clone();
    let from = 0;
    world.spawn(
        "append",
        Task::new(hooks(), move |cx| async move {
            append(cx, from, bug, sink).await.expect("nothing fails here");
        }),
    );
    for _ in 0..Rng::fork(seed, "crash").below(150) {
        world.step();
    }
    world.crash();
    let found = Arc::new(Mutex::new(vec![]));
    let sink = found.clone();
    world.spawn("recover", Task::new(hooks(), move |cx| recover(cx, bug, sink)));
    world.run_to_idle();
    let (acked, found) = (lock(&acked).clone(), lock(&found).clone());
    let outcome = if !found.starts_with(&acked) {
        Err(format!("acknowledged {acked:?}, found {found:?}"))
    } else if found.iter().enumerate().any(|(index, &number)| index as u64 != number) {
        Err(format!("found {found:?}"))
    } else {
        Ok(())
    };
    (outcome, world.trace.hash())
}

#[test]
fn the_right_log_loses_nothing_and_replays() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let (outcome, hash) = run(seed, Bug::None);
        assert_eq!(outcome, Ok(()), "seed {seed}");
        assert_eq!(run(seed, Bug::None).1, hash, "seed {seed} does not replay");
        hashes.insert(hash);
    }
    assert_eq!(hashes.len(), 300);
}

#[test]
fn each_wrong_log_is_caught() {
    for bug in [Bug::NoSync, Bug::SyncBeforeWriteCompletes, Bug::NoChecksum] {
        let caught = (0..300).find(|&seed| run(seed, bug).0.is_err());
        assert!(caught.is_some(), "{bug:?}");
    }
}

#[test]
fn a_world_that_waits_for_nothing_is_stuck() {
    let disk = Disk::new(0, DiskFaults::default());
    let mut world = SimWorld::new(0, disk, Pace::default(), Trace::new(true));
    world.spawn("sleeper", Task::new(orrery_base::World::quiet(), |_| std::future::pending()));
    assert_eq!(world.step(), Step::Progress);
    assert_eq!(world.step(), Step::Stuck);
    assert_eq!(world.waiting_names(), ["sleeper"]);
}

#[test]
fn timers_move_the_clock() {
    let disk = Disk::new(0, DiskFaults::default());
    let mut world = SimWorld::new(0, disk, Pace::default(), Trace::new(false));
    world.spawn(
        "timer",
        Task::new(orrery_base::World::quiet(), |cx| async move {
            let until = cx.now() + 3_600_000_000;
            std::future::poll_fn(|_| {
                cx.wake_no_later_than(until);
                if cx.now() >= until { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }),
    );
    world.run_to_idle();
    assert!(world.now() >= START_MICROS + 3_600_000_000 && world.step_count() < 10);
}
