//! Disks that refuse: full, read-only, failing at the worst request.
//!
//! 1. A statement that meets a full disk fails with 53100 and changes nothing; what was acknowledged is there; writing goes
//!    on when space is back.
//! 2. A failed request, whichever: the database answers an error or goes on; reopened on a healthy disk it holds what was
//!    acknowledged, at most one transaction more, and `check` finds nothing.
//!
//! The full disk and the read-only directory need root on Linux; elsewhere they are skipped by name, with `CI=true` they
//! must run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrery_base::disk::DiskErrorKind;
use orrery_drivers::Nastiness;
use orrery_tests::history;
use orrerydb::{Database, Driver, Error, MemoryDriver, Options, TestDriver};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A small file system in memory, unmounted when it is dropped.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(bytes: u64) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"]).arg(dir.path());
        let mounted = command.output().is_ok_and(|output| output.status.success());
        mounted.then_some(SmallDisk { dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn remount(&self, options: &str) {
        let mut command = Command::new("mount");
        let status = command.args(["-o", &format!("remount,{options}")]).arg(self.dir.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "remount {options}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.dir.path()).status());
    }
}

fn skipped(what: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} must run with CI=true");
    println!("skipped: {what} needs root on Linux");
}

#[test]
fn a_full_disk_loses_nothing_and_heals() {
    let Some(disk) = SmallDisk::mount(24 << 20) else { return skipped("the full disk") };
    let path = disk.path("full.orrery");
    let ballast = disk.path("ballast");
    std::fs::write(&ballast, vec![1; 8 << 20]).unwrap();
    let database = Database::open(&path).unwrap();
    let mut connection = database.connect();
    history::create(&mut connection).unwrap();
    let mut n = 0;
    let error = loop {
        match history::write(&mut connection, 0, n + 1) {
            Ok(()) => n += 1,
            Err(error) => break error,
        }
        assert!(n < 100_000, "the disk is never full");
    };
    assert_eq!(error.code().as_str(), "53100", "{error}");
    assert_eq!(history::read(&database, 0).unwrap_or_else(|verdict| panic!("{verdict:?}")), n);
    // The same again: the session goes on, the error stays typed; or a checkpoint has made room meanwhile.
    match history::write(&mut connection, 0, n + 1) {
        Ok(()) => n += 1,
        Err(again) => assert_eq!(again.code().as_str(), "53100", "{again}"),
    }
    std::fs::remove_file(&ballast).unwrap();
    for _ in 0..20 {
        history::write(&mut connection, 0, n + 1).expect("there is space again");
        n += 1;
    }
    drop(connection);
    database.close().unwrap();
    let database = Database::open(&path).unwrap();
    assert_eq!(history::read(&database, 0).unwrap_or_else(|verdict| panic!("{verdict:?}")), n);
    let (_, findings) = database.check().unwrap();
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn a_read_only_disk_is_a_typed_error() {
    let Some(disk) = SmallDisk::mount(8 << 20) else { return skipped("the read-only directory") };
    let path = disk.path("readonly.orrery");
    let database = Database::open(&path).unwrap();
    history::create(&mut database.connect()).unwrap();
    database.close().unwrap();
    let before = std::fs::read(&path).unwrap();
    disk.remount("ro");
    for name in ["readonly.orrery", "new.orrery"] {
        let Err(error) = Database::open(disk.path(name)) else { panic!("{name} was opened for writing") };
        assert_eq!(error.duty(), orrerydb::Duty::Io, "{name}: {error}");
    }
    disk.remount("rw");
    assert!(std::fs::read(&path).unwrap() == before, "a refused opening changes nothing");
    let database = Database::open(&path).unwrap();
    history::write(&mut database.connect(), 0, 1).unwrap();
}

#[test]
fn a_directory_of_another_user_is_a_typed_error() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let writer = dir.path().join("writer");
    std::fs::copy(env!("CARGO_BIN_EXE_writer"), &writer).unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = Command::new(&writer);
    command.arg(dir.path().join("new.orrery")).arg("try");
    if std::fs::write(dir.path().join("probe"), b"").is_ok() {
        // Root may write anywhere: the child is somebody else.
        command.uid(65_534).gid(65_534);
    }
    let output = command.output().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("error 58030"), "the child said {said:?}");
    assert!(!dir.path().join("new.orrery").exists());
}

/// Small budgets, so that a short history checkpoints and reads its pages back.
fn options() -> Options {
    Options { pool_bytes: Some(1 << 20), memtable_bytes: Some(64 << 10), ..Options::default() }
}

/// A history under a driver; how much was acknowledged.
fn run_history(driver: Arc<dyn Driver>) -> Result<(), (i32, Error)> {
    let mut acknowledged = 0;
    let attempt = || {
        let database = Database::with_driver(driver, &options())?;
        let mut connection = database.connect();
        history::create(&mut connection)?;
        for n in 1..=60 {
            history::write(&mut connection, 0, n)?;
            acknowledged = n;
            if n == 30 {
                database.checkpoint()?;
            }
        }
        drop(connection);
        database.close()
    };
    attempt().map_err(|error| (acknowledged, error))
}

#[test]
fn any_request_may_fail() {
    let memory = Arc::new(MemoryDriver::new());
    let counting = Arc::new(TestDriver::new(memory, Nastiness::Suspend));
    run_history(counting.clone()).unwrap_or_else(|(n, error)| panic!("a healthy disk at {n}: {error}"));
    let request_count = counting.request_count();
    assert!(request_count > 100, "{request_count} requests");
    let kinds = [DiskErrorKind::Other, DiskErrorKind::Full];
    for (index, nth) in (0..request_count).step_by((request_count as usize / 150).max(1)).enumerate() {
        fail_request(nth, kinds[index % 2]);
    }
}

fn fail_request(nth: u64, kind: DiskErrorKind) {
    let memory = Arc::new(MemoryDriver::new());
    let failing = TestDriver::new(memory.clone(), Nastiness::Fail { nth, kind });
    let acknowledged = match run_history(Arc::new(failing)) {
        Ok(()) => 60,
        Err((acknowledged, error)) => {
            let code = error.code();
            // 08007: the commit whose sync failed; 57P03 and 58030: the database stopped after it.
            let typed = ["58030", "53100", "08007", "57P03", "XX001"].contains(&code.as_str());
            assert!(typed, "request {nth} failed with {kind:?}: {error}");
            acknowledged
        }
    };
    let database = match Database::with_driver(memory, &options()) {
        Ok(database) => database,
        Err(error) => panic!("request {nth} ({kind:?}): it does not open again: {error}"),
    };
    let there = match history::read(&database, 0) {
        Ok(k) => k,
        // The failure came before the tables.
        Err(history::Verdict::Refused(error)) if error.code().as_str() == "42P01" && acknowledged == 0 => 0,
        Err(verdict) => panic!("request {nth} ({kind:?}): {verdict:?}"),
    };
    let fits = there == acknowledged || there == acknowledged + 1;
    assert!(fits, "request {nth} ({kind:?}): {acknowledged} acknowledged, {there} there");
    let (_, findings) = database.check().expect("a healthy disk");
    assert!(findings.is_empty(), "request {nth} ({kind:?}): {findings:?}");
}

#[test]
fn the_small_disk_is_gone_afterwards() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return skipped("the small disk") };
    let dir: PathBuf = Path::new(disk.dir.path()).to_owned();
    drop(disk);
    assert!(!dir.exists());
}
