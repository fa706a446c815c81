//! Durability and atomicity: what is found after a recovery is every acknowledged commit and, of those whose owners got
//! no answer, some, each whole. None that another transaction saw may be missing: it was published, so it was durable.
//!
//! Per key the found value names a place in the key's chain of versions. It may not lie before the last acknowledged
//! version; the unanswered commits up to it happened, those after it did not. One commit must be told the same by all
//! its keys: that is atomicity, and since a chain's order is the log's order, also that the log has no holes.
//!
//! Where durability is relaxed, acknowledged commits after the last checkpoint may be missing too, and what others saw
//! of them; but only a suffix in the order of their timestamps.

use crate::history::{History, Key, Outcome, State, TxnIndex, Version};
use orrery_base::Timestamp;
use std::collections::BTreeMap;

/// Compares the recovered `state` with the history. Gives, for each transaction without an answer, whether it happened.
pub fn resolve(history: &History, state: &State) -> Result<BTreeMap<TxnIndex, bool>, String> {
    let mut verdicts = Verdicts { history, happened: BTreeMap::new() };
    let versions = history.versions(|_, _| true);
    for (key, found) in state {
        if !versions.contains_key(key) && history.base.get(key) != Some(found) {
            return Err(format!("{key:?} holds {found:?}, which nobody committed"));
        }
    }
    for key in history.base.keys() {
        if !versions.contains_key(key) && !state.contains_key(key) {
            return Err(format!("{key:?} was lost: it was there before the epoch and nobody wrote it"));
        }
    }
    for (key, chain) in &versions {
        verdicts.hear(key, chain, state)?;
    }
    if history.relaxed {
        verdicts.only_a_suffix_is_lost()?;
    } else {
        verdicts.hear_readers()?;
    }
    let unanswered = |txn: TxnIndex| !matches!(history.txns[txn].outcome, Outcome::Committed(_));
    // Nothing speaks against the silent ones, nothing for them either: they left no trace that differs.
    Ok(verdicts
        .happened
        .into_iter()
        .filter(|(txn, _)| unanswered(*txn))
        .map(|(txn, it)| (txn, it.0))
        .collect())
}

/// Writes the verdicts of [`resolve`] into the history.
pub fn settle(history: &mut History, happened: &BTreeMap<TxnIndex, bool>) {
    for (index, txn) in history.txns.iter_mut().enumerate() {
        let verdict = happened.get(&index).copied();
        txn.outcome = match txn.outcome {
            Outcome::Open if verdict == Some(true) && !history.relaxed => Outcome::Recovered,
            Outcome::Open | Outcome::Unknown if verdict == Some(false) && !history.relaxed => {
                Outcome::RolledBack
            }
            // Relaxed, it may have been there for a while; or nothing speaks for or against it. Others may have seen it.
            Outcome::Open | Outcome::Unknown if txn.commit_order.is_some() => Outcome::Unknown,
            Outcome::Open | Outcome::Unknown => Outcome::RolledBack,
            settled => settled,
        };
    }
}

struct Verdicts<'a> {
    history: &'a History,
    /// With the key or reader that says so.
    happened: BTreeMap<TxnIndex, (bool, String)>,
}

impl Verdicts<'_> {
    /// Takes what one key says.
    fn hear(&mut self, key: &Key, chain: &[Version], state: &State) -> Result<(), String> {
        let found = state.get(key).copied();
        let (relaxed, floor) = (self.history.relaxed, self.history.durable_floor);
        let acked = |version: &Version| version.timestamp.is_some_and(|at| !relaxed || at <= floor);
        // Place 0 is the state before the epoch, place n the n-th version.
        let first_place = chain.iter().rposition(acked).map_or(0, |index| index + 1);
        let value_at = |place: usize| match place {
            0 => self.history.base.get(key).copied(),
            place => chain[place - 1].value,
        };
        let places: Vec<usize> =
            (first_place..=chain.len()).filter(|&place| value_at(place) == found).collect();
        let (Some(&lowest), Some(&highest)) = (places.first(), places.last()) else {
            let expected: Vec<_> = (first_place..=chain.len()).map(value_at).collect();
            let chain: Vec<_> =
                chain.iter().map(|it| (it.value, self.history.txns[it.txn].outcome)).collect();
            return Err(format!(
                "{key:?} holds {found:?} but one of {expected:?} is due; versions: {chain:?}"
            ));
        };
        for (index, version) in chain.iter().enumerate() {
            // The lock of one whose task was dropped may have gone without its commit.
            let is_found = index + 1 == lowest && lowest == highest;
            if is_found || (index < lowest && !self.history.txns[version.txn].dropped) {
                self.say(version.txn, true, format!("{key:?}"))?;
            } else if index >= highest {
                self.say(version.txn, false, format!("{key:?}"))?;
            }
        }
        Ok(())
    }

    fn only_a_suffix_is_lost(&self) -> Result<(), String> {
        let mut kept: Option<(Timestamp, u64)> = None;
        let mut lost: Option<(Timestamp, u64)> = None;
        for (txn, (happened, _)) in &self.happened {
            let txn = &self.history.txns[*txn];
            let Outcome::Committed(at) = txn.outcome else { continue };
            if *happened {
                kept = kept.max(Some((at, txn.number)));
            } else {
                lost = Some(lost.map_or((at, txn.number), |lost| lost.min((at, txn.number))));
            }
        }
        match (kept, lost) {
            (Some(kept), Some(lost)) if kept > lost => {
                Err(format!("the log has a hole: {lost:?} is lost although the later {kept:?} is not"))
            }
            _ => Ok(()),
        }
    }

    /// Who was seen by another was published, and what is published is durable.
    fn hear_readers(&mut self) -> Result<(), String> {
        use crate::history::Seen;
        for (reader, txn) in self.history.txns.iter().enumerate() {
            for read in &txn.reads {
                let values: Vec<_> = match &read.seen {
                    Seen::Point { value, .. } => value.iter().copied().collect(),
                    Seen::Range { rows, .. } | Seen::Where { rows, .. } => {
                        rows.iter().map(|(_, value)| *value).collect()
                    }
                };
                for value in values {
                    let Some(writer) = self.history.writer(value).filter(|&writer| writer != reader) else {
                        continue;
                    };
                    if self.history.txns[writer].outcome == Outcome::RolledBack {
                        let (reader, writer) = (txn.number, self.history.txns[writer].number);
                        return Err(format!(
                            "transaction {reader} saw {value:?} of {writer}, which was rolled back"
                        ));
                    }
                    self.say(writer, true, format!("its reader {}", txn.number))?;
                }
            }
        }
        Ok(())
    }

    fn say(&mut self, txn: TxnIndex, happened: bool, who: String) -> Result<(), String> {
        if let Some((before, earlier)) = self.happened.get(&txn) {
            if *before != happened {
                let number = self.history.txns[txn].number;
                let (yes, no) = if happened { (&who, earlier) } else { (earlier, &who) };
                return Err(format!("transaction {number} happened in part: {yes} says yes, {no} says no"));
            }
            return Ok(());
        }
        self.happened.insert(txn, (happened, who));
        Ok(())
    }
}
