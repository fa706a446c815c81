//! The file driver on a real file system: locking, layout on disk, errors, threads.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test panics on the unexpected")]

use orrery_base::disk::{DiskErrorKind, DiskOp, DiskReply, FileId};
use orrery_base::task::{SubTaskBody, Task, lock};
use orrery_base::{AlignedBuf, SqlState, World};
use orrery_drivers::{Driver, FileDriver, FileOptions, Nastiness, TestDriver};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

fn options() -> FileOptions {
    FileOptions { create: true, subtask_thread_count: 2, read_only: false }
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn keeps_every_rule() {
    let dir = tempfile::tempdir().unwrap();
    orrery_drivers::test::exercise(&FileDriver::open(dir.path().join("a"), &options()).unwrap());
    let driver = FileDriver::open(dir.path().join("b"), &options()).unwrap();
    orrery_drivers::test::exercise(&TestDriver::new(driver, Nastiness::Shorten { seed: 1 }));
}

#[test]
fn second_opener_learns_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let first = FileDriver::open(&path, &options()).unwrap();
    let error = FileDriver::open(&path, &options()).err().unwrap();
    assert_eq!(error.code(), SqlState::OBJECT_IN_USE);
    assert!(error.message().contains(&format!("process {} on ", std::process::id())), "{error}");
    drop(first);
    FileDriver::open(&path, &options()).unwrap();
}

#[test]
fn closed_without_log_is_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let driver = FileDriver::open(&path, &options()).unwrap();
    assert_eq!(names(dir.path()), ["db", "db-log"]);
    driver.perform(DiskOp::Allocate { file: FileId::Log(3), len: 1 << 18, fill: true }).unwrap();
    driver.perform(DiskOp::Write { file: FileId::Temp(0), offset: 0, data: AlignedBuf::zeroed(9) }).unwrap();
    assert_eq!(
        names(&dir.path().join("db-log")),
        ["0000000003.log", "owner"],
        "a temporary file has no name"
    );
    drop(driver);
    assert_eq!(names(&dir.path().join("db-log")), ["0000000003.log"], "a log stays");

    std::fs::write(dir.path().join("db-log/temp-9"), b"left by a crash").unwrap();
    let driver = FileDriver::open(&path, &options()).unwrap();
    let DiskReply::Files(files) = driver.perform(DiskOp::List).unwrap() else { panic!() };
    assert_eq!(files, [(FileId::Data, 0), (FileId::Log(3), 1 << 18)]);
    driver.perform(DiskOp::Remove { file: FileId::Log(3) }).unwrap();
    drop(driver);
    assert_eq!(names(dir.path()), ["db"]);
}

#[test]
fn refusals_are_typed() {
    let dir = tempfile::tempdir().unwrap();
    let absent = FileDriver::open(dir.path().join("no"), &FileOptions { create: false, ..options() });
    assert_eq!(absent.err().unwrap().code(), SqlState::UNDEFINED_FILE);
    let no_dir = FileDriver::open(dir.path().join("no/such"), &options());
    assert_eq!(no_dir.err().unwrap().code(), SqlState::UNDEFINED_FILE);
    let is_dir = FileDriver::open(dir.path(), &options());
    assert_eq!(is_dir.err().unwrap().code(), SqlState::IO_ERROR);
    let driver = FileDriver::open(dir.path().join("db"), &options()).unwrap();
    let missing = driver.perform(DiskOp::Read { file: FileId::Log(1), offset: 0, len: 1 }).unwrap_err();
    assert_eq!(missing.kind, DiskErrorKind::NotFound);
    // A length no file system takes.
    let huge = driver
        .perform(DiskOp::Allocate { file: FileId::Data, len: i64::MAX as u64, fill: false })
        .unwrap_err();
    assert!(matches!(huge.kind, DiskErrorKind::Full | DiskErrorKind::Other), "{huge:?}");
    assert!(huge.os_code.is_some());
}

/// `/dev/full` answers ENOSPC to every write.
#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let driver = FileDriver::open(dir.path().join("db"), &options()).unwrap();
    let open = DiskOp::OpenStream { name: "/dev/full".into(), write: true };
    let DiskReply::Stream(file) = driver.perform(open).unwrap() else { panic!() };
    let error = driver.perform(DiskOp::Write { file, offset: 0, data: AlignedBuf::zeroed(1) }).unwrap_err();
    assert_eq!((error.kind, error.os_code), (DiskErrorKind::Full, Some(28)));
    let error: orrery_base::Error = error.into();
    assert_eq!(error.code(), SqlState::DISK_FULL);
}

#[test]
fn streams_are_the_users_files() {
    let dir = tempfile::tempdir().unwrap();
    let driver = FileDriver::open(dir.path().join("db"), &options()).unwrap();
    let name = dir.path().join("out.csv").to_str().unwrap().to_owned();
    let DiskReply::Stream(file) =
        driver.perform(DiskOp::OpenStream { name: name.clone(), write: true }).unwrap()
    else {
        panic!()
    };
    driver.perform(DiskOp::Write { file, offset: 0, data: AlignedBuf::from(&b"a,b\n"[..]) }).unwrap();
    driver.perform(DiskOp::Remove { file }).unwrap();
    assert_eq!(std::fs::read(&name).unwrap(), b"a,b\n", "removing a stream closes it");
    assert_eq!(
        driver.perform(DiskOp::Read { file, offset: 0, len: 1 }).unwrap_err().kind,
        DiskErrorKind::NotFound
    );
}

/// Eight threads, one driver: each waits for the one before it, so none may sleep through its wake-up.
#[test]
fn threads_wake_each_other() {
    const THREAD_COUNT: usize = 8;
    const ROUND_COUNT: usize = 500;
    #[derive(Default)]
    struct Turn {
        at: usize,
        waiting: VecDeque<Waker>,
    }
    let dir = tempfile::tempdir().unwrap();
    let driver = Arc::new(FileDriver::open(dir.path().join("db"), &options()).unwrap());
    let turn = Arc::new(Mutex::new(Turn::default()));
    let threads: Vec<_> = (0..THREAD_COUNT)
        .map(|me| {
            let (driver, turn) = (driver.clone(), turn.clone());
            std::thread::spawn(move || {
                driver.run(Task::new(World::quiet(), move |cx| async move {
                    for _ in 0..ROUND_COUNT {
                        std::future::poll_fn(|context| {
                            let mut turn = lock(&turn);
                            if turn.at % THREAD_COUNT == me {
                                return Poll::Ready(());
                            }
                            turn.waiting.push_back(context.waker().clone());
                            Poll::Pending
                        })
                        .await;
                        let file = FileId::Log(me as u64);
                        cx.write(file, 0, AlignedBuf::from(&[me as u8; 512][..])).await.unwrap();
                        let mut turn = lock(&turn);
                        turn.at += 1;
                        turn.waiting.drain(..).for_each(Waker::wake);
                    }
                }));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(lock(&turn).at, THREAD_COUNT * ROUND_COUNT);
}

#[test]
fn subtasks_run_on_other_threads_and_do_io() {
    let dir = tempfile::tempdir().unwrap();
    let driver = FileDriver::open(dir.path().join("db"), &options()).unwrap();
    let threads = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = threads.clone();
    let results = driver.run(Task::new(World::quiet(), |cx| async move {
        let parts: Vec<SubTaskBody<u64>> = (0..64u64)
            .map(|i| {
                let seen = seen.clone();
                Box::new(move |cx: orrery_base::Cx| -> orrery_base::BoxFuture<'static, _> {
                    Box::pin(async move {
                        let file = FileId::Temp(i);
                        cx.write(file, 0, AlignedBuf::from(&i.to_le_bytes()[..])).await?;
                        std::thread::sleep(std::time::Duration::from_micros(200));
                        lock(&seen).insert(format!("{:?}", std::thread::current().id()));
                        let back = cx.read(file, 0, 8).await?;
                        Ok(u64::from_le_bytes((*back).try_into().unwrap()))
                    })
                }) as SubTaskBody<u64>
            })
            .collect();
        cx.join(parts).await
    }));
    assert_eq!(results.unwrap(), (0..64).collect::<Vec<_>>());
    assert!(lock(&threads).len() > 1, "a pool thread took part");
}

#[test]
fn a_timer_wakes_the_task() {
    let dir = tempfile::tempdir().unwrap();
    let driver = FileDriver::open(dir.path().join("db"), &options()).unwrap();
    let start = driver.now();
    driver.run(Task::new(World::quiet(), |cx| async move {
        let until = cx.now() + 20_000;
        std::future::poll_fn(|_| {
            if cx.now() >= until {
                return Poll::Ready(());
            }
            cx.wake_no_later_than(until);
            Poll::Pending
        })
        .await;
    }));
    assert!(driver.now() >= start + 20_000);
}

/// A large segment is zeroed in another way than a small one; both read as zeros to the last byte.
#[test]
fn allocated_log_space_reads_as_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let driver = FileDriver::open(folder.path().join("x.db"), &FileOptions::default()).unwrap();
    let file = FileId::Log(1);
    for len in [10_000u64, (9 << 20) + 777] {
        driver.perform(DiskOp::Allocate { file, len, fill: true }).unwrap();
        assert!(matches!(driver.perform(DiskOp::Len { file }), Ok(DiskReply::Len(found)) if found == len));
        let DiskReply::Read(bytes) =
            driver.perform(DiskOp::Read { file, offset: 0, len: len as usize }).unwrap()
        else {
            panic!("a read gives bytes");
        };
        assert_eq!(bytes.len() as u64, len);
        assert!(bytes.iter().all(|&byte| byte == 0));
    }
    let len = 16 << 20;
    driver.perform(DiskOp::Allocate { file: FileId::Log(2), len, fill: true }).unwrap();
    let read = driver.perform(DiskOp::Read { file: FileId::Log(2), offset: len - 4, len: 8 }).unwrap();
    assert!(matches!(read, DiskReply::Read(bytes) if bytes[..] == [0; 4]));
}
