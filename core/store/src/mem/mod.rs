//! What lies in memory over the trees: write sets, the memtable, runs, and the views that bind them together.
//!
//! A *write set* is private to a transaction; what does not fit into memory leaves it as *pieces*. Sealed, it is an immutable sorted run. Small ones are copied into the
//! active *memtable* at install; large ones are adopted whole as a frozen layer. A *view* is the active memtable, the
//! frozen layers newest first, and a tree version: all that a snapshot reads.

pub mod arena;
pub mod filter;
pub mod frozen;
mod index_key;
mod key_table;
pub mod memtable;
pub mod merge;
pub mod sealed;
pub mod spill;
pub mod view;
pub mod write_set;

use orrery_base::hash::hash64;
use orrery_base::kv::KeyRange;
use orrery_base::{Timestamp, TreeId};
use std::ops::Bound;

/// The hash of a key within its tree: for filters and row locks.
#[inline]
pub fn key_hash(tree: TreeId, key: &[u8]) -> u64 {
    hash64(0x6f72_7265_7279_0000 ^ u64::from(tree.0), key)
}

/// What writes will take in the trees, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of memory that they take.
    pub bytes: u64,
    /// Of these, values that lie in pages of their own.
    pub long_bytes: u64,
    /// Their number.
    pub long_count: u64,
}

impl Footprint {
    /// Bytes of the pages that a checkpoint adds for them at most: a leaf that was split is half empty, less a row, and a
    /// long value has its last page to itself.
    pub fn page_bytes(&self, unit_bytes: u64) -> u64 {
        let rows = self.bytes.saturating_sub(self.long_bytes);
        rows / 2 * 5 + self.long_bytes + self.long_count * unit_bytes
    }
}

impl std::ops::AddAssign for Footprint {
    fn add_assign(&mut self, other: Footprint) {
        self.bytes += other.bytes;
        self.long_bytes += other.long_bytes;
        self.long_count += other.long_count;
    }
}

/// A version of a key: when it was committed, and the value (`None`: a tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version<'a> {
    /// When.
    pub timestamp: Timestamp,
    /// What.
    pub value: Option<&'a [u8]>,
    /// Whether it replaced another one in the same place.
    pub has_older: bool,
}

impl<'a> Version<'a> {
    /// Not committed yet: newer than everything.
    fn own(value: Option<&'a [u8]>) -> Self {
        Version { timestamp: Timestamp::MAX, value, has_older: false }
    }
}

/// Takes a key and its value (`None`: deleted), or answers that it did not.
pub type EachWrite<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> bool + 'a;

/// The ends of a range of keys, borrowed.
pub type KeyBounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Borrows the ends of `range`.
pub fn bounds_of(range: &KeyRange) -> KeyBounds<'_> {
    (range.start.as_ref().map(Vec::as_slice), range.end.as_ref().map(Vec::as_slice))
}
