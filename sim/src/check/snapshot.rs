//! Snapshot reads (I2): a snapshot at S sees, of every key, the newest version committed at or before S, and nothing
//! else; rows of a range come once each. Commits without an answer have no known timestamp, but one: what two readers
//! say about it must fit.

use crate::history::{
    History, Key, Predicate, Read, Seen, Statement, TxnIndex, TxnRecord, ValueId, Version, Versions,
};
use crate::workload::tables;
use orrery_base::kv::ReadMode;
use orrery_base::{Timestamp, TreeId};
use std::collections::{BTreeMap, BTreeSet};

/// A key and the value found there.
type FoundRow = (Vec<u8>, ValueId);

/// Checks every snapshot read of the epoch.
pub fn check(history: &History) -> Result<(), String> {
    let mut check = Check { history, versions: history.versions(|_, _| true), bounds: BTreeMap::new() };
    check.chains_ascend()?;
    for txn in &history.txns {
        for read in txn.reads.iter().filter(|read| read.mode == ReadMode::Snapshot) {
            check.read(txn, read, txn.statements[read.statement])?;
        }
    }
    Ok(())
}

struct Check<'a> {
    history: &'a History,
    versions: Versions,
    /// For commits without an answer: the newest snapshot that did not see them, the oldest that did.
    bounds: BTreeMap<TxnIndex, (Timestamp, Timestamp)>,
}

impl Check<'_> {
    /// Timestamps follow the order of the locks.
    fn chains_ascend(&self) -> Result<(), String> {
        for (key, chain) in &self.versions {
            let known: Vec<_> = chain.iter().filter_map(|it| it.timestamp.map(|at| (at, it.txn))).collect();
            if let Some(pair) = known.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
                let number = |index: TxnIndex| self.history.txns[index].number;
                let (first, second) = (number(pair[0].1), number(pair[1].1));
                return Err(format!(
                    "{key:?} was committed by {first} before {second}, but timestamps say otherwise"
                ));
            }
        }
        Ok(())
    }

    fn read(&mut self, txn: &TxnRecord, read: &Read, statement: Statement) -> Result<(), String> {
        match &read.seen {
            Seen::Point { key, value, .. } => self.key(txn, key, *value, statement.snapshot),
            Seen::Where { tree, predicate, rows, own } => {
                self.condition(txn, (*tree, *predicate), (rows, own), statement.snapshot)
            }
            Seen::Range { tree, range, rows, own } => {
                if let Some(pair) = rows.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
                    return Err(format!("transaction {} got rows out of order: {pair:?}", txn.number));
                }
                let mut expected: BTreeMap<Key, Option<ValueId>> = BTreeMap::new();
                let keys = self.history.base.keys().chain(self.versions.keys());
                for key in keys.filter(|key| key.0 == *tree && range.contains(&key.1)) {
                    expected.insert(key.clone(), None);
                }
                expected.extend(rows.iter().map(|(key, value)| (Key(*tree, key.clone()), Some(*value))));
                expected.retain(|key, _| own.binary_search(&key.1).is_err());
                expected.iter().try_for_each(|(key, value)| self.key(txn, key, *value, statement.snapshot))
            }
        }
    }

    /// Every row found is one of the snapshot; none is missing of which the condition holds for sure.
    fn condition(
        &mut self,
        txn: &TxnRecord,
        (tree, predicate): (TreeId, Predicate),
        (rows, own): (&[FoundRow], &[Vec<u8>]),
        snapshot: Timestamp,
    ) -> Result<(), String> {
        for (key, value) in rows {
            self.key(txn, &Key(tree, key.clone()), Some(*value), snapshot)?;
        }
        let keys: BTreeSet<&Key> =
            self.history.base.keys().chain(self.versions.keys()).filter(|key| key.0 == tree).collect();
        let found = |key: &Key| rows.binary_search_by(|(row, _)| row.cmp(&key.1)).is_ok();
        for key in keys.into_iter().filter(|key| !found(key) && own.binary_search(&key.1).is_err()) {
            let Some(value) = self.sure_value(key, snapshot) else { continue };
            if predicate.holds(tables::id_of(&key.1), value, self.history.unique_count) {
                return Err(format!(
                    "transaction {} at snapshot {snapshot} asked for {predicate:?} and was not given {key:?}, which is {value:?}",
                    txn.number
                ));
            }
        }
        Ok(())
    }

    /// What a key holds at a snapshot, when no commit without an answer makes that uncertain.
    fn sure_value(&self, key: &Key, snapshot: Timestamp) -> Option<ValueId> {
        let chain = self.versions.get(key).map_or(&[][..], Vec::as_slice);
        let newest = chain.iter().rposition(|it| it.timestamp.is_some_and(|at| at <= snapshot));
        let next = newest.map_or(0, |index| index + 1);
        if chain.get(next).is_some_and(|it| it.timestamp.is_none()) {
            return None;
        }
        newest.map_or_else(|| self.history.base.get(key).copied(), |index| chain[index].value)
    }

    fn key(
        &mut self,
        txn: &TxnRecord,
        key: &Key,
        value: Option<ValueId>,
        snapshot: Timestamp,
    ) -> Result<(), String> {
        let chain = self.versions.get(key).map_or(&[][..], Vec::as_slice);
        // Own versions are left out: the session compared those itself, and its commit is later than its snapshot.
        let chain: Vec<Version> =
            chain.iter().copied().filter(|it| self.history.txns[it.txn].number != txn.number).collect();
        let newest = chain.iter().rposition(|it| it.timestamp.is_some_and(|at| at <= snapshot));
        let after = newest.map_or(0, |index| index + 1);
        let unknown = chain[after..].iter().take_while(|it| it.timestamp.is_none()).count();
        let at = |place: usize| {
            if place == 0 { self.history.base.get(key).copied() } else { chain[place - 1].value }
        };
        let places: Vec<usize> = (after..=after + unknown).filter(|&place| at(place) == value).collect();
        let (Some(&lowest), Some(&highest)) = (places.first(), places.last()) else {
            let due: Vec<_> = (after..=after + unknown).map(at).collect();
            return Err(format!(
                "transaction {} at snapshot {snapshot} saw {value:?} in {key:?}, due was one of {due:?}; versions {:?}",
                txn.number,
                chain.iter().map(|it| (it.value, it.timestamp)).collect::<Vec<_>>()
            ));
        };
        for (index, version) in chain.iter().enumerate().skip(after).take(unknown) {
            // One whose task was dropped may never have happened; what others wrote over it says nothing about it.
            let is_found = index + 1 == lowest && lowest == highest;
            if is_found || (index < lowest && !self.history.txns[version.txn].dropped) {
                self.bound(version.txn, snapshot, true)?;
            } else if index >= highest {
                self.bound(version.txn, snapshot, false)?;
            }
        }
        Ok(())
    }

    fn bound(&mut self, txn: TxnIndex, snapshot: Timestamp, seen: bool) -> Result<(), String> {
        let (unseen_at, seen_at) = self.bounds.entry(txn).or_insert((Timestamp::ZERO, Timestamp::MAX));
        if seen {
            *seen_at = snapshot.min(*seen_at);
        } else {
            *unseen_at = snapshot.max(*unseen_at);
        }
        if unseen_at >= seen_at {
            let number = self.history.txns[txn].number;
            return Err(format!("transaction {number} is seen at {seen_at} but not at {unseen_at}"));
        }
        Ok(())
    }
}
