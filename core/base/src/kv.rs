//! The traits at which SQL meets the store (DESIGN §11). SQL sees transactions over ordered trees of byte keys and
//! values; it sees no page, no log and no file. The store sees no SQL type.
//!
//! Point reads are plain functions: [`Transaction::get`] answers at once from memory, or says which page is missing;
//! the caller awaits [`Transaction::load`] and calls again. Scans push runs of rows into a [`RowSink`].
//!
//! **Visibility inside a transaction.** Every write carries the number of the statement that made it. A scan or a
//! snapshot read sees the transaction's own writes of *earlier* statements only, so a statement never sees its own
//! effects (PostgreSQL's command ids); a `Current` read sees all of them.

use crate::{BoxFuture, Cx, PagePtr, Result, Timestamp, TreeId, TxnId};
use std::ops::Bound;

/// Which version a read gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// The transaction's (READ COMMITTED: the statement's) snapshot, over own writes of earlier statements.
    Snapshot,
    /// The newest published version, over all own writes. Meaningful under a lock just taken: unique and foreign-key
    /// checks, re-evaluation after a lock wait.
    Current,
}

/// The answer of a point read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lookup {
    /// The value was handed to the closure. `newer`: (only in mode `Current`) another transaction committed this
    /// version after the reader's snapshot.
    Found {
        /// See above.
        newer: bool,
    },
    /// No such row. `newer` as for `Found`: a tombstone committed after the snapshot. A checkpoint may have dropped the
    /// tombstone already, so a row that the snapshot saw and `Current` does not is gone whatever `newer` says.
    Absent {
        /// See above.
        newer: bool,
    },
    /// A page is not in memory: await [`Transaction::load`] and ask again.
    Missing(PagePtr),
}

/// Isolation levels. READ UNCOMMITTED is READ COMMITTED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A fresh snapshot a statement.
    ReadCommitted,
    /// One snapshot; a newer version under a lock is 40001.
    RepeatableRead,
    /// One snapshot, validated at commit.
    Serializable,
}

/// A range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub start: Bound<Vec<u8>>,
    /// Last key.
    pub end: Bound<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        KeyRange { start: Bound::Unbounded, end: Bound::Unbounded }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        KeyRange { start: Bound::Included(prefix.to_vec()), end: prefix_end(prefix) }
    }

    /// Whether `key` lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        let above = match &self.start {
            Bound::Included(start) => key >= start.as_slice(),
            Bound::Excluded(start) => key > start.as_slice(),
            Bound::Unbounded => true,
        };
        above
            && match &self.end {
                Bound::Included(end) => key <= end.as_slice(),
                Bound::Excluded(end) => key < end.as_slice(),
                Bound::Unbounded => true,
            }
    }
}

/// The bound just above all keys that begin with `prefix`.
pub fn prefix_end(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// A row in place, valid for one call. The key is `prefix ++ suffix` (leaves store a common prefix once).
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    /// What the key shares with its neighbours.
    pub key_prefix: &'a [u8],
    /// The rest of the key.
    pub key_suffix: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

impl RowRef<'_> {
    /// Appends the whole key to `into`.
    pub fn key_into(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self.key_prefix);
        into.extend_from_slice(self.key_suffix);
    }
}

/// Takes rows of a scan.
pub trait RowSink: Send {
    /// Takes all of `rows` (at most [`SINK_ROW_COUNT_MAX`]) in scan order; answers whether it wants more now.
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow>;

    /// Whether it reads the rows' keys. Asked once a leaf; where not, they may be given as empty.
    fn wants_keys(&self) -> bool {
        true
    }

    /// How many bytes at the beginning of each value it is going to look at, about: only these are asked for in advance.
    /// A hint; the whole value is there all the same. Asked once a leaf.
    fn wanted_bytes(&self) -> usize {
        usize::MAX
    }
}

/// Rows of one [`RowSink::rows`] call, at most.
pub const SINK_ROW_COUNT_MAX: usize = 256;

/// Whether a sink wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// The batch is full: return from [`Scan::next_batch`].
    Full,
}

/// A scan under way. It holds no page between batches; it goes on from its last key.
pub trait Scan: Send {
    /// Pushes rows until the sink is full or the range ends. `Ok(true)`: there may be more. Suspends for pages and
    /// budget; errors as they come (57014, XX001, 72000).
    fn next_batch<'a>(&'a mut self, cx: &'a Cx, sink: &'a mut dyn RowSink) -> BoxFuture<'a, Result<bool>>;
}

/// Row-lock strengths with PostgreSQL's conflict table (documentation, 13.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowLock {
    /// Blocks `Update` only: foreign-key checks.
    KeyShare,
    /// Blocks writers.
    Share,
    /// Blocks all but `KeyShare`: updates that leave the key.
    NoKeyUpdate,
    /// Blocks all: deletes, key updates, inserts.
    Update,
}

/// Table-lock modes (PostgreSQL documentation, table 13.2), weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are PostgreSQL's")]
pub enum TableLock {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

/// The name of an advisory lock: the two kinds of names never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdvisoryKey {
    /// One number.
    One(i64),
    /// Two numbers.
    Two(i32, i32),
}

/// How strong an advisory lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdvisoryMode {
    /// Others may have it in this mode, too.
    Shared,
    /// Nobody else has it.
    Exclusive,
}

/// How long an advisory lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvisoryScope {
    /// Until it is given back as often as it was taken, whatever becomes of transactions.
    Session,
    /// Until the transaction ends, or is rolled back to before it.
    Transaction,
}

/// What to do when a lock is held by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Wait in the fair queue; 40P01 for the victim of a deadlock.
    Block,
    /// 55P03 at once.
    Nowait,
    /// Answer `false` at once (SKIP LOCKED).
    Skip,
}

/// A point in a transaction to which its writes and locks can be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Savepoint(pub u64);

/// An open transaction. All methods take `&self`: operators and sub-tasks share it.
///
/// Errors that any method may give: 57P03 or 58030 when the engine is poisoned (I5), XX001 for damage, 72000 when the
/// snapshot's versions are gone. State is unchanged by a method that fails.
pub trait Transaction: Send + Sync {
    /// Its id.
    fn id(&self) -> TxnId;
    /// Its level.
    fn isolation(&self) -> Isolation;
    /// The timestamp its snapshot reads at.
    fn snapshot_timestamp(&self) -> Timestamp;

    /// Starts a statement: later writes get a new statement number, and under READ COMMITTED the snapshot is renewed.
    /// Called again to restart a statement on a fresh snapshot (with [`Transaction::undo_writes_to`] before).
    fn begin_statement(&self) -> Result<()>;

    /// Reads one key. `found` is called at most once, with the value in place; it must not call back into the store.
    fn get(&self, tree: TreeId, key: &[u8], mode: ReadMode, found: &mut dyn FnMut(&[u8])) -> Result<Lookup>;

    /// Brings a missing page in. Suspends on the disk.
    fn load<'a>(&'a self, cx: &'a Cx, missing: PagePtr) -> BoxFuture<'a, Result<()>>;

    /// Scans a range, backwards if `reverse`. Under SERIALIZABLE the range joins the read set.
    fn scan(&self, tree: TreeId, range: KeyRange, mode: ReadMode, reverse: bool) -> Result<Box<dyn Scan>>;

    /// Cuts a range into at most `parts` pieces of about equal size by leaf boundaries in memory: by data, never by
    /// thread count.
    fn split(&self, tree: TreeId, range: &KeyRange, parts: usize) -> Vec<KeyRange>;

    /// About how many rows the tree holds. No I/O.
    fn estimated_row_count(&self, tree: TreeId) -> u64;

    /// About how many bytes of pages the tree takes. No I/O.
    fn estimated_byte_count(&self, tree: TreeId) -> u64;

    /// Writes into the private write set. Errors: 54000 for a key or value over the limits, 25006 in a read-only
    /// transaction, 53200 when the write set is over its budget.
    fn put(&self, tree: TreeId, key: &[u8], value: &[u8]) -> Result<()>;

    /// Deletes in the private write set. A key that does not exist is no error.
    fn delete(&self, tree: TreeId, key: &[u8]) -> Result<()>;

    /// Drops the whole tree at commit. The caller holds an `AccessExclusive` lock on its table.
    fn drop_tree(&self, tree: TreeId) -> Result<()>;

    /// Whether the write set should leave memory ([`Transaction::relieve`]), or row locks should become one table lock
    /// ([`Transaction::cover_rows`]).
    fn wants_relief(&self) -> bool {
        false
    }

    /// If the transaction has very many row locks and an `Exclusive` lock on this table can be had at once, takes that: from then on, until
    /// it is rolled back to before, row locks in these trees, which are the table's, are as good as held. Whoever locks rows of the table holds a table lock that this one keeps out.
    fn cover_rows(&self, table: TreeId, trees: &[TreeId]) -> Result<()> {
        let _ = (table, trees);
        Ok(())
    }

    /// Writes the write set out if it has grown large. To be called now and then by whoever writes much, between writes. Errors:
    /// 53100, the disk's; the writes stay where they are, and more may follow until the budget is used up.
    fn relieve<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<()>> {
        let _ = cx;
        Box::pin(async { Ok(()) })
    }

    /// Where [`Transaction::rollback_to`] can go back to.
    fn savepoint(&self) -> Savepoint;

    /// Undoes the writes made since, and gives back the locks taken since.
    fn rollback_to(&self, savepoint: Savepoint);

    /// Undoes the writes made since, and keeps the locks: before a statement starts again.
    fn undo_writes_to(&self, savepoint: Savepoint);

    /// Takes a row lock without waiting; `false` when that would take a wait. A key is locked whether it exists or not.
    fn try_lock(&self, tree: TreeId, key: &[u8], mode: RowLock) -> Result<bool>;

    /// Takes a row lock. `Ok(false)` only under [`Wait::Skip`]. The lock is kept until the transaction ends or is rolled
    /// back to before it. Errors: 40P01, 55P03, 57014.
    fn lock<'a>(
        &'a self,
        cx: &'a Cx,
        tree: TreeId,
        key: &'a [u8],
        mode: RowLock,
        wait: Wait,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Takes a table lock without waiting; `false` when that would take a wait. `table` is the id of the table's main
    /// tree.
    fn try_lock_table(&self, table: TreeId, mode: TableLock) -> Result<bool>;

    /// Takes a table lock. As [`Transaction::lock`].
    fn lock_table<'a>(
        &'a self,
        cx: &'a Cx,
        table: TreeId,
        mode: TableLock,
        wait: Wait,
    ) -> BoxFuture<'a, Result<bool>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ranges() {
        let range = KeyRange::prefix(b"ab\xff");
        assert_eq!(range.end, Bound::Excluded(b"ac".to_vec()));
        assert!(range.contains(b"ab\xff\xff") && !range.contains(b"ac"));
        assert_eq!(prefix_end(b"\xff\xff"), Bound::Unbounded);
    }
}
