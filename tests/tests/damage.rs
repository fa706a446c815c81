//! Damaged and wrong files: each is a typed error, or the right rows; never other rows, never a panic.
//!
//! 1. A file that is not ours is refused and stays as it was, byte for byte.
//! 2. After any flipped byte or cut, reading gives the whole history or an error of class `Corrupt` or `Io`; and `check`
//!    says something when reading fails.
//! 3. A log that is gone or broken before its end is refused: never an older state.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrery_tests::history::{self, Verdict};
use orrerydb::{Database, Duty, Error, Options, SqlState};
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
        ("zeros", vec![0; 2 << 20]),
        ("noise", noise),
    ];
    for (name, bytes) in kinds {
        let path = dir.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let Err(error) = Database::open(&path) else { panic!("{name} was opened") };
        assert_typed(&error, name);
        assert!(std::fs::read(&path).unwrap() == bytes, "{name} was changed");
    }
    // What a creation leaves that was cut before its first superblock holds nothing, and is begun again.
    let unfinished = dir.path().join("unfinished");
    std::fs::write(&unfinished, vec![0; 65_536]).unwrap();
    Database::open(&unfinished).unwrap().close().unwrap();
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

/// Bytes of a page unit, and where the superblock copies lie (ARCHITECTURE, formats).
const UNIT_BYTES: usize = 8192;
const SUPERBLOCKS: [usize; 4] = [0, 8_192, 524_288, 532_480];
/// Page kinds by their first byte: inner, row leaf, overflow, free space, its root.
const KINDS: [u8; 5] = [1, 3, 5, 6, 7];

/// Flips a byte of a copy of the file: `None` when nobody says anything, and then everything was read right.
fn flip(whole: &[u8], at: usize, flipped: &Path) -> Option<Error> {
    let mut bytes = whole.to_vec();
    bytes[at] ^= 0x40;
    std::fs::write(flipped, &bytes).unwrap();
    let read = read_all(flipped);
    let said = match read {
        Ok(k) => {
            assert_eq!(k, TRANSACTION_COUNT, "byte {at}");
            let database = Database::open(flipped).expect("it was opened before");
            let (_, findings) = database.check().expect("it was read before");
            findings.first().map(|finding| Error::new(SqlState::DATA_CORRUPTED, finding.to_string()))
        }
        Err(error) => {
            assert_typed(&error, &format!("byte {at}"));
            Some(error)
        }
    };
    drop(std::fs::remove_dir_all(log_dir(flipped)));
    said
}

#[test]
fn a_flipped_byte_in_any_page_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = closed(dir.path());
    assert!(!log_dir(&path).exists(), "a clean close leaves one file");
    let whole = std::fs::read(&path).unwrap();
    let database = Database::open(&path).unwrap();
    let (summary, findings) = database.check().unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    database.close().unwrap();
    let flipped = dir.path().join("flipped");
    let (mut found_count, mut silent_count, mut kinds) = (0, 0, std::collections::BTreeSet::new());
    for page in (0..whole.len() / UNIT_BYTES).filter(|page| !SUPERBLOCKS.contains(&(page * UNIT_BYTES))) {
        // The head, the middle (keys, slots), the tail.
        for offset in [4, 1000 + page % 3000, UNIT_BYTES - 2] {
            match flip(&whole, page * UNIT_BYTES + offset, &flipped) {
                Some(_) => {
                    found_count += 1;
                    kinds.insert(whole[page * UNIT_BYTES]);
                }
                None => silent_count += 1,
            }
        }
    }
    // Only bytes of free units may change unseen. (Both generations have the same pages after a clean close.)
    let free_count = 3 * summary.free_unit_count;
    assert!(silent_count <= free_count, "{silent_count} flips unseen, {free_count} of them in free units");
    assert!(found_count > 50, "{found_count} flips found");
    let missing: Vec<u8> = KINDS.iter().copied().filter(|kind| !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "no page of kind {missing:?} was hit");
}

#[test]
fn a_flipped_byte_in_a_superblock_copy_is_survived_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = closed(dir.path());
    let whole = std::fs::read(&path).unwrap();
    let flipped = dir.path().join("flipped");
    for copy in SUPERBLOCKS {
        for offset in [0, 9, 33, 50, 160, 2000, 4095] {
            let said = flip(&whole, copy + offset, &flipped);
            let error = said.unwrap_or_else(|| panic!("copy at {copy}, byte {offset}: nobody noticed"));
            let text = error.to_string();
            // A format number that is not known is not ours to open.
            assert!(
                text.contains("superblock") || text.contains("format"),
                "copy at {copy}, byte {offset}: {text}"
            );
        }
    }
    let mut none = whole.clone();
    for copy in SUPERBLOCKS {
        none[copy + 40] ^= 1;
    }
    std::fs::write(&flipped, &none).unwrap();
    let error = read_all(&flipped).expect_err("no copy is whole");
    assert_eq!(error.code().as_str(), "XX001", "{error}");
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
