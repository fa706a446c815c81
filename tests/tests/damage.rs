//! Damaged and wrong files: each is a typed error, or the right rows; never other rows, never a panic.
//!
//! 1. A file that is not ours is refused and stays as it was, byte for byte.
//! 2. After any flipped byte or cut, reading gives the whole history or an error of class `Corrupt` or `Io`; and `check`
//!    says something when reading fails.
//! 3. A log that is gone or broken before its end is refused: never an older state.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrery_tests::history::{self, Verdict};
use orrerydb::{Database, Duty, Error, Options};
use std::path::{Path, PathBuf};

const TRANSACTION_COUNT: i32 = 120;

/// A database with a history, closed cleanly.
fn closed(dir: &Path) -> PathBuf {
    let path = dir.join("victim.orrery");
    let database = Database::open(&path).expect("a fresh file");
    history::create(&mut database.connect()).expect("a fresh file");
    let mut connection = database.connect();
    for n in 1..=TRANSACTION_COUNT {
        history::write(&mut connection, 0, n).expect("a healthy disk");
    }
    drop(connection);
    database.checkpoint().expect("a healthy disk");
    database.close().expect("a healthy disk");
    path
}

/// A copy of a database as a crash would leave it: taken while it is open, after everything was acknowledged. The last
/// checkpoint is at half of the history.
fn crashed(dir: &Path) -> PathBuf {
    let (path, copy) = (dir.join("alive.orrery"), dir.join("crashed.orrery"));
    let database = Database::open(&path).expect("a fresh file");
    history::create(&mut database.connect()).expect("a fresh file");
    let mut connection = database.connect();
    for n in 1..=TRANSACTION_COUNT {
        history::write(&mut connection, 0, n).expect("a healthy disk");
        if n == TRANSACTION_COUNT / 2 {
            database.checkpoint().expect("a healthy disk");
        }
    }
    std::fs::copy(&path, &copy).expect("a healthy disk");
    let (log, log_copy) = (log_dir(&path), log_dir(&copy));
    std::fs::create_dir(&log_copy).expect("a healthy disk");
    for file in files_of(&log) {
        std::fs::copy(&file, log_copy.join(file.file_name().expect("a file has a name")))
            .expect("a healthy disk");
    }
    copy
}

fn log_dir(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-log", path.display()))
}

fn files_of(dir: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(dir).map(|entries| entries.map(|entry| entry.expect("readable").path()).collect());
    let mut files: Vec<PathBuf> = entries.unwrap_or_default();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "log"));
    files.sort();
    files
}

/// Opens and reads everything: how much of the history is there, or what refused.
fn read_all(path: &Path) -> Result<i32, Error> {
    let database = Database::open_with(path, &Options { create: false, ..Options::default() })?;
    match history::read(&database, 0) {
        Ok(k) => Ok(k),
        Err(Verdict::Refused(error)) => {
            let found = database.check().map(|(_, findings)| findings.len());
            assert!(!matches!(found, Ok(0)), "reading says {error}, check says nothing");
            Err(error)
        }
        Err(Verdict::Wrong(what)) => panic!("{what}"),
    }
}

fn assert_typed(error: &Error, what: &str) {
    assert!(matches!(error.duty(), Duty::Corrupt | Duty::Io), "{what}: {error}");
}

#[test]
fn a_file_of_another_kind_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let mut sqlite = b"SQLite format 3\0".to_vec();
    sqlite.resize(40_960, 0);
    let noise: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let kinds = [
        ("text", b"hello, this is no database\n".repeat(1000)),
        ("short", b"x".to_vec()),
        ("sqlite", sqlite),
        ("zeros", vec![0; 65_536]),
        ("noise", noise),
    ];
    for (name, bytes) in kinds {
        let path = dir.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let Err(error) = Database::open(&path) else { panic!("{name} was opened") };
        assert_typed(&error, name);
        assert!(std::fs::read(&path).unwrap() == bytes, "{name} was changed");
    }
    let Err(error) = Database::open(dir.path()) else { panic!("a directory was opened") };
    assert_typed(&error, "a directory");
    let absent = Options { create: false, ..Options::default() };
    let Err(error) = Database::open_with(dir.path().join("absent"), &absent) else {
        panic!("an absent file was opened")
    };
    assert_eq!(error.code().as_str(), "58P01");
    let Err(error) = Database::open(dir.path().join("no/such/dir")) else {
        panic!("a file without a directory")
    };
    assert_eq!(error.code().as_str(), "58P01");
}

#[test]
fn a_cut_file_is_refused_or_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = closed(dir.path());
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    let step = (whole.len() / 40).max(1);
    let lens =
        (0..whole.len()).step_by(step).chain([1, 100, 4096, 8191, 8193, whole.len() - 1, whole.len() - 8192]);
    for len in lens.filter(|len| *len > 0) {
        let cut = dir.path().join(format!("cut-{len}"));
        std::fs::write(&cut, &whole[..len]).unwrap();
        match read_all(&cut) {
            Ok(k) => assert_eq!(k, TRANSACTION_COUNT, "cut to {len}"),
            Err(error) => {
                assert_typed(&error, &format!("cut to {len}"));
                refused += 1;
            }
        }
        std::fs::remove_file(&cut).unwrap();
    }
    assert!(refused > 20, "{refused} of the cut files were refused");
    assert_eq!(read_all(&path).unwrap(), TRANSACTION_COUNT);
}

#[test]
fn a_flipped_byte_in_any_page_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = closed(dir.path());
    assert!(!log_dir(&path).exists(), "a clean close leaves one file");
    let whole = std::fs::read(&path).unwrap();
    let (mut refused, mut unreferenced) = (0, 0);
    for page in 0..whole.len() / 8192 {
        // The head, the middle (keys, slots), the tail.
        for offset in [4, 1000 + page % 3000, 8190] {
            let mut bytes = whole.clone();
            bytes[page * 8192 + offset] ^= 0x40;
            let flipped = dir.path().join("flipped");
            std::fs::write(&flipped, &bytes).unwrap();
            match read_all(&flipped) {
                Ok(k) => {
                    assert_eq!(k, TRANSACTION_COUNT, "page {page}, byte {offset}");
                    unreferenced += 1;
                }
                Err(error) => {
                    assert_typed(&error, &format!("page {page}, byte {offset}"));
                    refused += 1;
                }
            }
            drop(std::fs::remove_dir_all(log_dir(&flipped)));
        }
    }
    assert!(refused > unreferenced, "{refused} flips found, {unreferenced} in bytes nobody reads");
}

#[test]
fn a_log_that_is_gone_is_never_an_older_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = crashed(dir.path());
    let log = log_dir(&path);
    assert!(!files_of(&log).is_empty(), "there is a log to lose");
    let kept = dir.path().join("kept");
    std::fs::rename(&log, &kept).unwrap();
    let Err(error) = read_all(&path) else { panic!("opened without its log") };
    assert_eq!(error.code().as_str(), "XX001", "{error}");
    drop(std::fs::remove_dir_all(&log));
    std::fs::rename(&kept, &log).unwrap();
    assert_eq!(read_all(&path).unwrap(), TRANSACTION_COUNT);
}

#[test]
fn a_flipped_byte_in_the_log_is_never_an_older_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = crashed(dir.path());
    let (mut refused, mut tail, mut unread) = (0, 0, 0);
    for (index, file) in files_of(&log_dir(&path)).iter().enumerate() {
        let whole = std::fs::read(file).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for offset in (0..used).step_by((used / 60).max(1)) {
            let work = dir.path().join("work");
            std::fs::create_dir(&work).unwrap();
            let copy = work.join("copy.orrery");
            std::fs::copy(&path, &copy).unwrap();
            std::fs::create_dir(log_dir(&copy)).unwrap();
            for (other, file) in files_of(&log_dir(&path)).iter().enumerate() {
                let mut bytes = std::fs::read(file).unwrap();
                if other == index {
                    bytes[offset] ^= 0x10;
                }
                std::fs::write(log_dir(&copy).join(file.file_name().unwrap()), bytes).unwrap();
            }
            match read_all(&copy) {
                Ok(TRANSACTION_COUNT) => unread += 1,
                // The last batch: nothing in the file says that it was durable, so it may be a torn write.
                Ok(k) => {
                    assert!(
                        k == TRANSACTION_COUNT - 1,
                        "log {index}, byte {offset}: {k} of {TRANSACTION_COUNT} are left"
                    );
                    tail += 1;
                }
                Err(error) => {
                    assert_typed(&error, &format!("log {index}, byte {offset}"));
                    refused += 1;
                }
            }
            std::fs::remove_dir_all(&work).unwrap();
        }
    }
    assert!(
        refused > 0 && refused > tail,
        "{refused} refused, {tail} cut the last batch, {unread} in bytes nobody reads"
    );
}
