//! Backups beside writers, and reading a file that another has open.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

use orrerydb::{Connection, Database, Options, SqlState};
use std::sync::atomic::{AtomicBool, Ordering};

fn value(connection: &mut Connection, sql: &str) -> String {
    let row = connection.query(sql, &[]).unwrap().next().unwrap().unwrap();
    row.text(0).unwrap().unwrap().to_owned()
}

fn options() -> Options {
    Options { seed: Some(7), memory_bytes: 256 << 20, ..Options::default() }
}

/// Two accounts a transaction, so that each snapshot sums up to nothing.
fn setup(db: &Database) {
    db.connect()
        .run(
            "create table account (id serial primary key, n bigint not null, code text unique);
             create index by_n on account (n);
             create table note (t text);
             create view positive as select * from account where n > 0;
             insert into account (n, code) select 0, 'code ' || g from generate_series(1, 2000) g;
             insert into note values (repeat('long ', 50000))",
        )
        .unwrap();
}

#[test]
fn a_backup_beside_writers_is_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open_with(dir.path().join("a.db"), &options()).unwrap();
    setup(&db);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                let mut connection = db.connect();
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let (one, two) =
                        (1 + (round * 7 + writer * 1000) % 2000, 1 + (round * 13 + writer) % 2000);
                    let sql = format!(
                        "begin; update account set n = n + {round} where id = {one};
                         update account set n = n - {round} where id = {two}; commit"
                    );
                    // Two that meet crosswise are a deadlock, which one of them survives.
                    if connection.run(&sql).is_err() {
                        connection.run("rollback").unwrap();
                    }
                }
            });
        }
        for round in 0..3 {
            if round == 1 {
                db.checkpoint().unwrap();
            }
            let target = dir.path().join(format!("copy{round}.db"));
            let summary = db.backup(&target).unwrap();
            assert!(summary.row_count >= 3 * 2000 && summary.file_bytes > 0, "{summary:?}");
            assert!(!dir.path().join(format!("copy{round}.db.part")).exists());
            assert!(!dir.path().join(format!("copy{round}.db-log")).exists(), "one plain file");
            let copy = Database::open_with(&target, &options()).unwrap();
            assert_eq!(copy.check().unwrap().1, []);
            let mut reader = copy.connect();
            assert_eq!(value(&mut reader, "select sum(n) || ' of ' || count(*) from account"), "0 of 2000");
            assert_eq!(value(&mut reader, "select length(t) from note"), "250000");
            value(&mut reader, "select count(*) from positive");
            reader.run("insert into account (n) values (1); delete from account where id = 1").unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    // Nobody writes any more: the same state to the last row.
    let target = dir.path().join("last.db");
    db.backup(&target).unwrap();
    assert_eq!(
        Database::open_with(&target, &options()).unwrap().state_hash().unwrap(),
        db.state_hash().unwrap()
    );
}

#[test]
fn a_backup_replaces_nothing_and_clears_up_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open_with(dir.path().join("a.db"), &options()).unwrap();
    setup(&db);
    let target = dir.path().join("copy.db");
    std::fs::write(&target, "somebody's").unwrap();
    assert_eq!(db.backup(&target).unwrap_err().code(), SqlState::IO_ERROR);
    assert_eq!(std::fs::read(&target).unwrap(), b"somebody's");
    std::fs::remove_file(&target).unwrap();
    assert_eq!(db.backup(dir.path().join("nowhere/copy.db")).unwrap_err().code(), SqlState::UNDEFINED_FILE);
    // What a crash in the middle left: half a copy under the other name, and a log.
    let part = dir.path().join("copy.db.part");
    std::fs::write(&part, [7; 100]).unwrap();
    std::fs::create_dir(dir.path().join("copy.db.part-log")).unwrap();
    std::fs::write(dir.path().join("copy.db.part-log/0000000001.log"), [7; 100]).unwrap();
    assert!(!target.exists(), "nothing looks like a backup");
    db.backup(&target).unwrap();
    assert_eq!(db.state_hash().unwrap(), Database::open(&target).unwrap().state_hash().unwrap());
    assert_eq!(
        std::fs::read_dir(dir.path())
            .unwrap()
            .filter(|it| { it.as_ref().unwrap().file_name().to_string_lossy().contains("part") })
            .count(),
        0
    );
}

#[test]
fn a_reader_beside_the_writer_sees_what_was_committed_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let db = Database::open_with(&path, &options()).unwrap();
    setup(&db);
    let mut writer = db.connect();
    writer.run("update account set n = 5 where id = 1").unwrap();
    let read_only = Options { read_only: true, ..options() };
    let beside = Database::open_with(&path, &read_only).unwrap();
    let mut reader = beside.connect();
    assert_eq!(value(&mut reader, "select sum(n) || ' of ' || count(*) from account"), "5 of 2000");
    for sql in [
        "update account set n = 6 where id = 1",
        "insert into note values ('x')",
        "create table other (a int)",
        "drop table note",
        "select nextval('account_id_seq')",
    ] {
        assert_eq!(reader.run(sql).unwrap_err().code(), SqlState::READ_ONLY_SQL_TRANSACTION, "{sql}");
    }
    // A sort that spills has its temporary files elsewhere.
    reader.run("set work_mem = '64kB'").unwrap();
    assert_eq!(
        value(&mut reader, "select count(*) from (select code, n from account order by code desc) s"),
        "2000"
    );
    // The writer goes on, and replaces what the reader reads: it sees its moment, or is told; never a mixture.
    for round in 0..20 {
        writer.run(&format!("update account set n = n + {round}")).unwrap();
        db.checkpoint().unwrap();
        match reader.query("select sum(n) || ' of ' || count(*) from account", &[]) {
            Ok(mut rows) => match rows.next() {
                Some(Ok(row)) => assert_eq!(row.text(0).unwrap().unwrap(), "5 of 2000"),
                Some(Err(error)) => assert_eq!(error.code(), SqlState::SNAPSHOT_TOO_OLD),
                None => panic!("no row"),
            },
            Err(error) => assert_eq!(error.code(), SqlState::SNAPSHOT_TOO_OLD, "{error}"),
        }
    }
    drop((reader, beside));
    // A backup of a file that is open elsewhere.
    let target = dir.path().join("copy.db");
    Database::backup_file(&path, &target).unwrap();
    let expected = db.state_hash().unwrap();
    assert_eq!(Database::open(&target).unwrap().state_hash().unwrap(), expected);
    // The writer noticed nothing.
    writer.run("insert into note values ('y')").unwrap();
    assert_eq!(db.check().unwrap().1, []);
    drop(writer);
    db.close().unwrap();
    // And of one that is open nowhere.
    Database::backup_file(&path, dir.path().join("copy2.db")).unwrap();
    assert_eq!(
        Database::backup_file(dir.path().join("none"), dir.path().join("c")).unwrap_err().code(),
        SqlState::UNDEFINED_FILE
    );
}
