//! Current reads: under an exclusive lock a read gives the newest version there is, and says `newer` exactly when
//! another transaction committed that version after the reader's snapshot.
//!
//! With the lock granted, every earlier writer of the key has let it go, so has installed or rolled back: the newest
//! version is the last of the chain among the commits asked for before the grant.

use crate::history::{History, Seen, Version};
use orrery_base::kv::ReadMode;

/// Checks every current read of the epoch.
pub fn check(history: &History) -> Result<(), String> {
    let versions = history.versions(|_, _| true);
    for txn in &history.txns {
        for read in txn.reads.iter().filter(|read| read.mode == ReadMode::Current) {
            let Seen::Point { key, value, newer } = &read.seen else { continue };
            let is_earlier = |it: &&Version| {
                it.commit_order < read.commit_order && history.txns[it.txn].number != txn.number
            };
            let chain: Vec<&Version> = versions.get(key).into_iter().flatten().filter(is_earlier).collect();
            // A store whose sync failed lets locks go although nothing was installed; a dropped task's commit may never
            // have begun. So only an answer makes it sure, and each later version may be the newest.
            let is_sure = |it: &&Version| it.timestamp.is_some();
            let sure = chain.iter().rposition(is_sure).map_or(0, |index| index + 1);
            let value_at = |place: usize| match place {
                0 => history.base.get(key).copied(),
                place => chain[place - 1].value,
            };
            let Some(place) = (sure..=chain.len()).rev().find(|&place| value_at(place) == *value) else {
                return Err(format!(
                    "transaction {} has a lock on {key:?} and saw {value:?}, due was {:?}",
                    txn.number,
                    value_at(chain.len())
                ));
            };
            let newest = place.checked_sub(1).map(|index| chain[index]);
            let snapshot = txn.statements[read.statement].snapshot;
            let Some(timestamp) = newest.and_then(|it| it.timestamp) else { continue };
            // A tombstone may be gone already, so for an absent row only a wrong "newer" is an error.
            let is_newer = timestamp > snapshot;
            if newer.is_some_and(|newer| newer != is_newer && (value.is_some() || newer)) {
                return Err(format!(
                    "transaction {} at {snapshot} was told newer = {newer:?} of {key:?} committed at {timestamp}",
                    txn.number
                ));
            }
        }
    }
    Ok(())
}
