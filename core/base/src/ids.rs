//! Newtypes for ids, so that a tree is never mistaken for a page.

use std::fmt;

/// A tree of the store: a table's rows, or an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(pub u32);

impl TreeId {
    /// Trees below this are fixed: the catalog's own (DESIGN §11). Users' trees are numbered from here.
    pub const FIRST_USER: TreeId = TreeId(1000);
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tree {}", self.0)
    }
}

/// A transaction. Persisted in frames, with a high-water mark in the superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId(pub u64);

/// A page's place in the data file, counted in page units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNo(pub u64);

/// A checked pointer to a page: where it is and what must be found there. A misdirected, lost, stale or rotten write
/// is found at the first read, because the pointer carries what the page itself cannot be trusted to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PagePtr {
    /// First unit of the page.
    pub page_no: PageNo,
    /// Length in page units, at least 1.
    pub unit_count: u32,
    /// The tree version (checkpoint sequence) that wrote it.
    pub version: u64,
    /// CRC-32 of the whole page.
    pub checksum: u32,
}
