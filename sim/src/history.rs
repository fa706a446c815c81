//! What the sessions of a world did and saw: the checkers' only input beside the recovered state.
//!
//! Every written value carries a number of its own ([`ValueId`]), so each value that is read names the one write it
//! came from. Transactions are numbered through all epochs of a seed; an epoch lasts from one recovery to the next
//! crash, and begins with the state that was recovered.

use crate::workload::tables;
use orrery_base::kv::{Isolation, KeyRange, ReadMode};
use orrery_base::{Timestamp, TreeId};
use std::collections::BTreeMap;
use std::fmt;

/// A key with its tree.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub TreeId, pub Vec<u8>);

impl fmt::Debug for Key {
    /// Short: a table's key is a number; runs of the padding's `p` are counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1.len() == 8 && self.1[0] == 0 {
            return write!(f, "t{}/{}", self.0.0 - TreeId::FIRST_USER.0, tables::id_of(&self.1));
        }
        write!(f, "{}/", self.0.0)?;
        let text = String::from_utf8_lossy(&self.1);
        let padding = text.chars().filter(|&c| c == 'p').count();
        write!(f, "{}", text.chars().filter(|&c| c != 'p').collect::<String>())?;
        if padding > 0 { write!(f, "+{padding}") } else { Ok(()) }
    }
}
/// The rows of a database.
pub type State = BTreeMap<Key, ValueId>;
/// A transaction's place in [`History::txns`].
pub type TxnIndex = usize;

/// Names one write: the transaction's number << 16 | its count of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValueId(pub u64);

impl ValueId {
    /// The number of the transaction that wrote it.
    pub fn txn_number(self) -> u64 {
        self.0 >> 16
    }
}

/// How a transaction ended, as far as its owner knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not ended: a crash or a cancellation came first.
    Open,
    /// Acknowledged, with its commit timestamp.
    Committed(Timestamp),
    /// Rolled back, or commit answered an error that means so.
    RolledBack,
    /// Commit was asked for and answered 08007: nobody knows.
    Unknown,
    /// No answer reached its owner, but it was found after the recovery.
    Recovered,
}

/// One transaction.
#[derive(Clone, Debug)]
pub struct TxnRecord {
    /// Unique in the seed.
    pub number: u64,
    /// Which session ran it.
    pub session: u64,
    /// Its level.
    pub isolation: Isolation,
    /// Its statements; READ COMMITTED has a snapshot for each.
    pub statements: Vec<Statement>,
    /// What it read of others.
    pub reads: Vec<Read>,
    /// What it leaves behind if it commits: `None` deletes.
    pub writes: BTreeMap<Key, Option<ValueId>>,
    /// Its place in the order of calls to commit, if it got that far.
    pub commit_order: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// Its task was dropped in the middle: if that was before its commit's point of no return, it was rolled back and
    /// its locks went, and nobody was told.
    pub dropped: bool,
}

impl TxnRecord {
    /// A transaction that begins.
    pub fn new(number: u64, session: u64, isolation: Isolation) -> Self {
        TxnRecord {
            number,
            session,
            isolation,
            statements: vec![],
            reads: vec![],
            writes: BTreeMap::new(),
            commit_order: None,
            outcome: Outcome::Open,
            dropped: false,
        }
    }
}

/// One statement's snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Where it reads.
    pub snapshot: Timestamp,
    /// The newest commit acknowledged to anybody before the statement (for the higher levels: the transaction) began.
    pub floor: Timestamp,
}

/// One read of what others wrote; reads of own writes are checked on the spot.
#[derive(Clone, Debug)]
pub struct Read {
    /// Index into the transaction's statements.
    pub statement: usize,
    /// The mode. `Current` reads are made under an exclusive lock on the key.
    pub mode: ReadMode,
    /// How many calls to commit had been made when this read's lock was granted.
    pub commit_order: u64,
    /// What was asked and answered.
    pub seen: Seen,
}

/// The answer of a read.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Of one key. `newer` as in [`orrery_base::kv::Lookup`].
    Point {
        /// The key.
        key: Key,
        /// The value, if there was one.
        value: Option<ValueId>,
        /// Whether it was said to be newer than the snapshot, where that is said at all.
        newer: Option<bool>,
    },
    /// Of a range, all of it.
    Range {
        /// The tree.
        tree: TreeId,
        /// The range, cut to what was really read.
        range: KeyRange,
        /// The rows in key order, own writes left out.
        rows: Vec<(Vec<u8>, ValueId)>,
        /// Keys that own writes covered.
        own: Vec<Vec<u8>>,
    },
    /// Of all rows of which a condition holds.
    Where {
        /// The table.
        tree: TreeId,
        /// The condition.
        predicate: Predicate,
        /// The rows in key order, own writes left out.
        rows: Vec<(Vec<u8>, ValueId)>,
        /// Keys that own writes covered.
        own: Vec<Vec<u8>>,
    },
}

/// A condition on columns that follow from a row's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// `k` lies between these.
    K(i64, i64),
    /// `u` is this.
    U(i64),
}

impl Predicate {
    /// Whether a row satisfies it.
    pub fn holds(self, id: i64, value: ValueId, unique_count: u64) -> bool {
        match self {
            Predicate::K(low, high) => (low..=high).contains(&tables::k_of(value, id)),
            Predicate::U(u) => tables::u_of(value, unique_count) == Some(u),
        }
    }
}

/// All transactions of one epoch over the state it began with.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What the epoch began with.
    pub base: State,
    /// In the order in which they began, which is not the order of their numbers.
    pub txns: Vec<TxnRecord>,
    by_number: BTreeMap<u64, TxnIndex>,
    /// Which write each write replaced, as rows say it themselves.
    pub previous: BTreeMap<(Key, ValueId), Option<ValueId>>,
    /// Different values of the tables' unique column.
    pub unique_count: u64,
    /// When the epoch began: what the recovered state is a snapshot of.
    pub began_at: Timestamp,
    /// The newest acknowledged commit, of earlier epochs too.
    pub newest_acked: Timestamp,
    /// Calls to commit so far.
    pub commit_count: u64,
    /// Commits are acknowledged before they are durable: a crash may take a suffix of them.
    pub relaxed: bool,
    /// Up to here commits are durable all the same: a checkpoint or a close holds them.
    pub durable_floor: Timestamp,
}

/// One version of a key.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// Who wrote it.
    pub txn: TxnIndex,
    /// The calls to commit, in order.
    pub commit_order: u64,
    /// When, if the commit was acknowledged.
    pub timestamp: Option<Timestamp>,
    /// What; `None` deletes.
    pub value: Option<ValueId>,
}

/// The versions of every key that was written in the epoch, oldest first.
///
/// Writers of one key exclude each other by its lock, and the lock of a committed write goes when the write is
/// installed. So the order of calls to commit is the order of a key's versions, acknowledged or not.
pub type Versions = BTreeMap<Key, Vec<Version>>;

impl History {
    /// The versions of all transactions of which `include` holds.
    pub fn versions(&self, include: impl Fn(TxnIndex, &TxnRecord) -> bool) -> Versions {
        let mut versions = Versions::new();
        for (index, txn) in self.txns.iter().enumerate() {
            let Some(commit_order) = txn.commit_order else { continue };
            if txn.outcome == Outcome::RolledBack || !include(index, txn) {
                continue;
            }
            let timestamp = match txn.outcome {
                Outcome::Committed(timestamp) => Some(timestamp),
                _ => None,
            };
            for (key, value) in &txn.writes {
                let version = Version { txn: index, commit_order, timestamp, value: *value };
                versions.entry(key.clone()).or_default().push(version);
            }
        }
        for chain in versions.values_mut() {
            chain.sort_by_key(|version| version.commit_order);
        }
        versions
    }

    /// A new epoch's.
    pub fn starting(base: State, newest_acked: Timestamp, relaxed: bool) -> History {
        History { base, newest_acked, relaxed, ..History::default() }
    }

    /// Adds a transaction that begins.
    pub fn begin(&mut self, txn: TxnRecord) -> TxnIndex {
        let index = self.txns.len();
        let before = self.by_number.insert(txn.number, index);
        assert!(before.is_none(), "numbers are unique");
        self.txns.push(txn);
        index
    }

    /// The transaction of this number, if it began in this epoch.
    pub fn find(&self, number: u64) -> Option<TxnIndex> {
        self.by_number.get(&number).copied()
    }

    /// A row was read that says which write it replaced.
    pub fn note_previous(&mut self, key: Key, value: ValueId, previous: Option<ValueId>) {
        self.previous.insert((key, value), previous);
    }

    /// Who wrote a value, if it was written in this epoch.
    pub fn writer(&self, value: ValueId) -> Option<TxnIndex> {
        self.find(value.txn_number())
    }
}
