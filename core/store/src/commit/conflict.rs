//! SERIALIZABLE validation: what a transaction read, and what others committed since.
//!
//! The conflict table holds the writes of every commit from its sequencing until no live SERIALIZABLE transaction has
//! an older snapshot; commits still in flight are in it too. It shares the sealed write sets, so an entry costs no
//! copy. Over its budget the oldest entries go, and transactions older than them get 40001.

use crate::mem::bounds_of;
use crate::mem::sealed::{SealedTree, SealedWrites};
use orrery_base::kv::KeyRange;
use orrery_base::{Error, Result, SqlState, Timestamp, TreeId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// Keys and ranges of one tree that are kept apart before the whole tree counts as read.
const READ_COUNT_MAX: usize = 1 << 16;

#[derive(Default)]
struct TreeReads {
    keys: BTreeSet<Vec<u8>>,
    ranges: Vec<KeyRange>,
    is_whole: bool,
}

/// What a SERIALIZABLE transaction read: keys, present or not, and ranges, empty ones too.
#[derive(Default)]
pub struct ReadSet {
    trees: BTreeMap<TreeId, TreeReads>,
}

impl ReadSet {
    /// A key was read.
    pub fn add_key(&mut self, tree: TreeId, key: &[u8]) {
        let reads = self.trees.entry(tree).or_default();
        if !reads.is_whole && !reads.keys.contains(key) {
            reads.keys.insert(key.to_vec());
            reads.collapse_if_large();
        }
    }

    /// A range was scanned.
    pub fn add_range(&mut self, tree: TreeId, range: &KeyRange) {
        let reads = self.trees.entry(tree).or_default();
        if !reads.is_whole && reads.ranges.last() != Some(range) {
            reads.ranges.push(range.clone());
            reads.collapse_if_large();
        }
    }

    fn conflicts(&self, writes: &SealedWrites) -> bool {
        self.trees.iter().any(|(tree, reads)| {
            writes.dropped().binary_search(tree).is_ok()
                // Of what lies on the disk it is only known which trees.
                || writes.pieces().0.iter().any(|piece| piece.version().has_rows(*tree))
                || writes.trees().get(tree).is_some_and(|sealed| reads.conflicts(sealed))
        })
    }
}

impl TreeReads {
    fn collapse_if_large(&mut self) {
        if self.keys.len() + self.ranges.len() > READ_COUNT_MAX {
            *self = TreeReads { is_whole: true, ..TreeReads::default() };
        }
    }

    fn conflicts(&self, sealed: &SealedTree) -> bool {
        if self.is_whole {
            return !sealed.is_empty();
        }
        let by_range = self.ranges.iter().any(|range| {
            let (low, high) = sealed.span(bounds_of(range));
            low < high
        });
        // Walk the smaller side.
        let by_key = || match self.keys.len() < sealed.len() {
            true => self.keys.iter().any(|key| {
                let bound = Bound::Included(key.as_slice());
                let (low, high) = sealed.span((bound, bound));
                low < high
            }),
            false => (0..sealed.len()).any(|index| self.keys.contains(sealed.key(index))),
        };
        by_range || by_key()
    }
}

/// See the file's head.
pub struct ConflictTable {
    commits: VecDeque<(Timestamp, Arc<SealedWrites>)>,
    byte_count: usize,
    byte_count_max: usize,
    /// Transactions with an older snapshot cannot be validated any more.
    floor: Timestamp,
}

impl ConflictTable {
    /// With this budget; everything up to `floor` is unknown.
    pub fn new(byte_count_max: usize, floor: Timestamp) -> Self {
        ConflictTable { commits: VecDeque::new(), byte_count: 0, byte_count_max, floor }
    }

    /// Adds a commit at its sequencing.
    pub fn add(&mut self, timestamp: Timestamp, writes: Arc<SealedWrites>) {
        self.byte_count += writes.byte_count();
        self.commits.push_back((timestamp, writes));
    }

    /// Forgets commits that no live SERIALIZABLE transaction may conflict with, and the oldest beyond the budget. Those
    /// after `published` always stay: snapshots to come are older than them.
    pub fn prune(&mut self, oldest_snapshot: Timestamp, published: Timestamp) {
        while let Some((timestamp, writes)) = self.commits.front() {
            let is_over = self.byte_count > self.byte_count_max && *timestamp <= published;
            if *timestamp > oldest_snapshot && !is_over {
                break;
            }
            self.byte_count -= writes.byte_count();
            self.floor = *timestamp;
            self.commits.pop_front();
        }
    }

    /// The commits after `timestamp`, for validation outside the lock, and the newest one's timestamp.
    pub fn after(&self, timestamp: Timestamp) -> (Vec<(Timestamp, Arc<SealedWrites>)>, Timestamp) {
        let first = self.commits.partition_point(|it| it.0 <= timestamp);
        let newest = self.commits.back().map_or(timestamp, |it| it.0);
        (self.commits.range(first..).cloned().collect(), newest.max(timestamp))
    }

    /// Errors: 40001 when a transaction of this snapshot can no longer be validated.
    pub fn check_floor(&self, snapshot: Timestamp) -> Result<()> {
        if snapshot < self.floor {
            return Err(serialization_failure("its snapshot is older than what is kept for validation"));
        }
        Ok(())
    }
}

/// Errors: 40001 when one of `commits` up to `newest` wrote what was read.
pub fn validate(
    reads: &ReadSet,
    commits: &[(Timestamp, Arc<SealedWrites>)],
    newest: Timestamp,
) -> Result<()> {
    let conflicting =
        commits.iter().find(|(timestamp, writes)| *timestamp <= newest && reads.conflicts(writes));
    match conflicting {
        Some(_) => Err(serialization_failure("another transaction changed what it read")),
        None => Ok(()),
    }
}

/// 40001.
pub fn serialization_failure(why: &str) -> Error {
    Error::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent transactions")
        .with_detail(why)
        .with_hint("run the transaction again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::write_set::WriteSet;

    const TREE: TreeId = TreeId(1000);

    fn writes(key: &[u8]) -> Arc<SealedWrites> {
        let mut set = WriteSet::default();
        set.write(TREE, key, None, 0);
        Arc::new(set.seal(false))
    }

    #[test]
    fn keys_empty_ranges_and_dropped_trees_conflict() {
        let mut reads = ReadSet::default();
        reads.add_key(TREE, b"absent");
        reads.add_range(TREE, &KeyRange::prefix(b"p"));
        assert!(reads.conflicts(&writes(b"absent")) && reads.conflicts(&writes(b"p1")));
        assert!(!reads.conflicts(&writes(b"q")));
        let mut set = WriteSet::default();
        set.drop_tree(TREE, 0);
        assert!(reads.conflicts(&set.seal(false)));
    }

    #[test]
    fn what_is_in_flight_is_never_forgotten() {
        let mut table = ConflictTable::new(1, Timestamp(5));
        table.add(Timestamp(10), writes(b"a"));
        table.add(Timestamp(20), writes(b"b"));
        table.prune(Timestamp(3), Timestamp(15));
        assert_eq!(table.after(Timestamp::ZERO).0.len(), 1);
        assert!(table.check_floor(Timestamp(9)).is_err() && table.check_floor(Timestamp(10)).is_ok());
    }
}
