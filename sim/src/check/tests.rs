//! Each checker on histories made by hand: one that is right, and wrong ones that it must refuse.

use super::*;
use crate::history::{Key, Outcome, Read, Seen, State, Statement, TxnRecord, ValueId};
use orrery_base::kv::{Isolation, KeyRange, ReadMode};
use orrery_base::{Timestamp, TreeId};
use std::collections::BTreeMap;

const SER: Isolation = Isolation::Serializable;
const RC: Isolation = Isolation::ReadCommitted;

fn key(name: &str) -> Key {
    Key(TreeId(1000), name.as_bytes().to_vec())
}

/// The value that transaction `number` writes.
fn v(number: u64) -> ValueId {
    ValueId(number << 16 | 1)
}

#[derive(Default)]
struct Builder(History);

impl Builder {
    /// A transaction at one snapshot that writes `writes` and ends so; commits are asked for in the order of calls.
    fn txn(&mut self, level: Isolation, snapshot: u64, writes: &[&str], outcome: Outcome) -> &mut TxnRecord {
        let number = self.0.txns.len() as u64 + 1;
        let commit_order = (outcome != Outcome::RolledBack).then(|| {
            self.0.commit_count += 1;
            self.0.commit_count - 1
        });
        self.0.begin(TxnRecord {
            statements: vec![Statement { snapshot: Timestamp(snapshot), floor: Timestamp::ZERO }],
            writes: writes.iter().map(|name| (key(name), Some(v(number)))).collect(),
            commit_order,
            outcome,
            ..TxnRecord::new(number, 0, level)
        });
        self.0.txns.last_mut().expect("just pushed")
    }
}

fn committed(at: u64) -> Outcome {
    Outcome::Committed(Timestamp(at))
}

fn point(name: &str, value: Option<ValueId>) -> Read {
    let seen = Seen::Point { key: key(name), value, newer: Some(false) };
    Read { statement: 0, mode: ReadMode::Snapshot, commit_order: 0, seen }
}

fn whole_range(rows: &[(&str, ValueId)]) -> Read {
    let rows = rows.iter().map(|(name, value)| (name.as_bytes().to_vec(), *value)).collect();
    let seen = Seen::Range { tree: TreeId(1000), range: KeyRange::all(), rows, own: vec![] };
    Read { statement: 0, mode: ReadMode::Snapshot, commit_order: 0, seen }
}

fn state(rows: &[(&str, ValueId)]) -> State {
    rows.iter().map(|(name, value)| (key(name), *value)).collect()
}

#[test]
fn durability_wants_every_acknowledged_commit_whole() {
    let mut made = Builder::default();
    made.txn(RC, 0, &["a", "b"], committed(1));
    made.txn(RC, 1, &["a", "c"], Outcome::Open);
    made.txn(RC, 1, &["d"], Outcome::RolledBack);
    let resolve = |rows: &[(&str, ValueId)]| durability::resolve(&made.0, &state(rows));
    let without = resolve(&[("a", v(1)), ("b", v(1))]);
    assert_eq!(without, Ok(BTreeMap::from([(1, false)])));
    let with = resolve(&[("a", v(2)), ("b", v(1)), ("c", v(2))]);
    assert_eq!(with, Ok(BTreeMap::from([(1, true)])));
    for (what, rows) in [
        ("lost", &[("a", v(1))][..]),
        ("in part", &[("a", v(2)), ("b", v(1))]),
        ("rolled back", &[("a", v(1)), ("b", v(1)), ("d", v(3))]),
        ("from nowhere", &[("a", v(1)), ("b", v(1)), ("z", v(1))]),
    ] {
        assert!(resolve(rows).is_err(), "{what}");
    }
}

#[test]
fn durability_wants_what_others_saw_and_the_state_before() {
    let mut made = Builder::default();
    made.0.base = state(&[("old", ValueId(5))]);
    made.txn(RC, 0, &["a"], Outcome::Open);
    made.txn(RC, 1, &[], committed(1)).reads.push(point("a", Some(v(1))));
    assert!(durability::resolve(&made.0, &state(&[("old", ValueId(5)), ("a", v(1))])).is_ok());
    assert!(durability::resolve(&made.0, &state(&[("old", ValueId(5))])).is_err(), "seen, then lost");
    assert!(durability::resolve(&made.0, &state(&[("a", v(1))])).is_err(), "the state before is lost");
}

#[test]
fn snapshots_see_the_newest_version_not_after_them() {
    let check_read = |snapshot: u64, read: Read| {
        let mut made = Builder::default();
        made.txn(RC, 0, &["a"], committed(10));
        made.txn(RC, 10, &["a", "b"], committed(20));
        made.txn(RC, snapshot, &[], committed(snapshot)).reads.push(read);
        snapshot::check(&made.0)
    };
    assert_eq!(check_read(5, point("a", None)), Ok(()));
    assert_eq!(check_read(10, point("a", Some(v(1)))), Ok(()));
    assert_eq!(check_read(20, whole_range(&[("a", v(2)), ("b", v(2))])), Ok(()));
    assert!(check_read(9, point("a", Some(v(1)))).is_err(), "from the future");
    assert!(check_read(25, point("a", Some(v(1)))).is_err(), "stale");
    assert!(check_read(25, whole_range(&[("a", v(2))])).is_err(), "a row is missing");
    assert!(check_read(25, whole_range(&[("b", v(2)), ("a", v(2))])).is_err(), "out of order");
    assert!(check_read(15, whole_range(&[("a", v(1)), ("b", v(2))])).is_err(), "half a commit");
}

#[test]
fn readers_agree_on_commits_without_an_answer() {
    let readers = |first: (u64, Option<ValueId>), second: (u64, Option<ValueId>)| {
        let mut made = Builder::default();
        made.txn(RC, 0, &["a", "b"], Outcome::Unknown);
        made.txn(RC, first.0, &[], committed(1)).reads.push(point("a", first.1));
        made.txn(RC, second.0, &[], committed(1)).reads.push(point("b", second.1));
        snapshot::check(&made.0)
    };
    assert_eq!(readers((10, None), (20, Some(v(1)))), Ok(()));
    assert!(readers((20, None), (10, Some(v(1)))).is_err());
    assert!(readers((10, None), (10, Some(v(1)))).is_err(), "one snapshot, half a commit");
}

#[test]
fn levels_hold_their_snapshots() {
    let statements = |level, pairs: &[(u64, u64)]| {
        let mut made = Builder::default();
        made.txn(level, 0, &[], committed(1)).statements = pairs
            .iter()
            .map(|&(snapshot, floor)| Statement { snapshot: Timestamp(snapshot), floor: Timestamp(floor) })
            .collect();
        levels::check(&made.0)
    };
    assert_eq!(statements(RC, &[(5, 5), (7, 6)]), Ok(()));
    assert!(statements(RC, &[(5, 5), (7, 8)]).is_err(), "misses an acknowledged commit");
    assert!(statements(RC, &[(7, 5), (6, 5)]).is_err(), "goes back");
    assert!(statements(SER, &[(5, 5), (7, 5)]).is_err(), "moves");
    let mut made = Builder::default();
    made.txn(RC, 10, &["a"], committed(10));
    assert!(levels::check(&made.0).is_err(), "commits at its own snapshot");
}

#[test]
fn current_reads_see_the_newest() {
    let check_read = |value, newer, commit_order| {
        let mut made = Builder::default();
        made.txn(RC, 0, &["a"], committed(10));
        made.txn(RC, 10, &["a"], committed(20));
        let seen = Seen::Point { key: key("a"), value, newer: Some(newer) };
        let read = Read { statement: 0, mode: ReadMode::Current, commit_order, seen };
        made.txn(RC, 10, &[], committed(30)).reads.push(read);
        current::check(&made.0)
    };
    assert_eq!(check_read(Some(v(2)), true, 2), Ok(()));
    assert_eq!(check_read(Some(v(1)), false, 1), Ok(()), "the lock was granted before the second commit");
    assert!(check_read(Some(v(1)), false, 2).is_err(), "stale");
    assert!(check_read(Some(v(2)), false, 2).is_err(), "newer was not said");
    assert!(check_read(Some(v(1)), true, 1).is_err(), "newer was said wrongly");
}

#[test]
fn updates_above_read_committed_are_not_lost() {
    let second = |level, snapshot| {
        let mut made = Builder::default();
        made.txn(RC, 0, &["a"], committed(10));
        made.txn(level, snapshot, &["a"], committed(20));
        updates::check(&made.0)
    };
    assert_eq!(second(SER, 10), Ok(()));
    assert_eq!(second(RC, 5), Ok(()));
    assert!(second(SER, 9).is_err());
    assert!(second(Isolation::RepeatableRead, 9).is_err());
}

/// Write skew, the anomaly that snapshot isolation lets through: each reads what the other writes.
#[test]
fn write_skew_and_phantoms_are_cycles() {
    let skew = |level, first: Read, second: Read| {
        let mut made = Builder::default();
        made.txn(level, 1, &["a"], committed(10)).reads.push(first);
        made.txn(level, 1, &["b"], committed(11)).reads.push(second);
        serial::check(&made.0)
    };
    assert!(skew(SER, point("b", None), point("a", None)).is_err(), "write skew");
    assert!(skew(SER, whole_range(&[]), whole_range(&[])).is_err(), "phantoms");
    assert_eq!(skew(Isolation::RepeatableRead, point("b", None), point("a", None)), Ok(()));
    assert_eq!(skew(SER, point("b", None), point("b", None)), Ok(()), "one direction only");
}

#[test]
fn longer_cycles_are_found_and_reads_of_snapshots_make_none() {
    let mut made = Builder::default();
    made.txn(SER, 1, &["a"], committed(10)).reads.push(point("b", None));
    made.txn(SER, 1, &["b"], committed(11)).reads.push(point("c", None));
    let third = made.txn(SER, 1, &["c"], committed(12));
    assert_eq!(serial::check(&History::default()), Ok(()));
    third.reads.push(point("a", None));
    assert!(serial::check(&made.0).is_err());
    let mut made = Builder::default();
    for number in 0..50 {
        made.txn(SER, number * 10, &["a"], committed(number * 10 + 5))
            .reads
            .push(point("a", (number > 0).then(|| v(number))));
    }
    assert_eq!(epoch(&made.0), Ok(()));
}
