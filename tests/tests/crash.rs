//! `kill -9` of a writing process, again and again on one file: nothing acknowledged is lost, no transaction is half there
//! (the rules of `history`). It does not test `sync` — the kernel keeps what was written; the simulated disk does that.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrery_tests::history;
use orrerydb::Database;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const WRITER_COUNT: i32 = 3;

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("crash.orrery");
    let mut acknowledged: BTreeMap<i32, i32> = (0..WRITER_COUNT).map(|writer| (writer, 0)).collect();
    for round in 0..12 {
        // Early, late, and in between: the tenth acknowledgement and the thousandth are different states of the log.
        write_until(&path, [3, 40, 200, 700][round % 4], &mut acknowledged);
        let database = Database::open(&path).expect("it recovers");
        for (writer, last) in &mut acknowledged {
            let k = history::read(&database, *writer)
                .unwrap_or_else(|verdict| panic!("round {round}: {verdict:?}"));
            assert!(
                k == *last || k == *last + 1,
                "round {round}: writer {writer} was told {last} and has {k}"
            );
            *last = k;
        }
        let (_, findings) = database.check().unwrap();
        assert!(findings.is_empty(), "round {round}: {findings:?}");
        if round % 3 == 0 {
            database.checkpoint().unwrap();
        }
        database.close().unwrap();
    }
    assert!(acknowledged.values().all(|n| *n > 20), "every writer got on: {acknowledged:?}");
}

/// Runs the writers until `count` transactions are acknowledged, then kills them; notes the last of each.
fn write_until(path: &Path, count: usize, acknowledged: &mut BTreeMap<i32, i32>) {
    let mut child = start(path, &["write", &WRITER_COUNT.to_string()]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    let mut note = |line: &str| {
        let (writer, n) = line.split_once(' ').unwrap_or_else(|| panic!("the writer says {line}"));
        let (writer, n): (i32, i32) = (writer.parse().expect(line), n.parse().expect(line));
        acknowledged.insert(writer, n);
    };
    for _ in 0..count {
        note(&lines.next().expect("the writer goes on").unwrap());
    }
    child.kill().unwrap();
    // What was in the pipe was acknowledged too; a line cut in the middle was not read by anybody.
    for line in lines.map_while(Result::ok) {
        if line.split_once(' ').is_some_and(|(_, n)| !n.is_empty()) {
            note(&line);
        }
    }
    child.wait().unwrap();
}

fn start(path: &Path, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_writer"));
    command.arg(path).args(words).stdout(Stdio::piped()).spawn().expect("the writer starts")
}

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shared.orrery");
    let mut child = start(&path, &["open"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    let Err(error) = Database::open(&path) else { panic!("a second opener got in") };
    assert_eq!(error.code().as_str(), "55006");
    let words = format!("{} {}", error.message(), error.detail().unwrap_or(""));
    assert!(words.contains(&child.id().to_string()), "the owner is named: {words}");
    child.kill().unwrap();
    child.wait().unwrap();
    // The lock died with its owner.
    let database = Database::open(&path).expect("the owner is gone");
    let Err(error) = Database::open(&path) else { panic!("a second opener in this process got in") };
    assert_eq!(error.code().as_str(), "55006");
    database.connect().run("create table t (a integer)").unwrap();
    database.close().unwrap();
}
