//! History (DESIGN §4): the versions that newer ones replaced, so that the past can be read.
//!
//! Each checkpoint that replaces something writes a *history run*: a tree of its own in the range [`HISTORY_FIRST`], made
//! durable with the trees. Runs are listed in the tree [`HISTORY_LIST`] and, decoded, in the [`TreeVersion`].
//!
//! - H1: a version that was replaced or deleted by a commit in a run's interval (`after`, `to`] is in that run; so is the
//!   tombstone, where the newest version at the run's end is one. Hence of a key at `t` the newest version at or before `t` in
//!   the tree, the layers and the runs with `to` > `t` is what a snapshot taken at `t` saw.
//! - H2: what the runs say holds for times from [`History::since`] on; below it, and for a tree before it was last dropped
//!   ([`History::dropped_at`]), nothing is known.
//! - H3: a run is immutable. Small runs are merged into the next one; expiry drops whole runs, the oldest first.
//!
//! Formats, little-endian but for keys. A run's key is the tree's id (u32, big-endian) and the key in it; the value is the
//! key's versions, newest first, each: timestamp u64, length u32 ([`TOMBSTONE`]: deleted), value. The list's rows:
//!
//! | key | value |
//! |---|---|
//! | 0 | since u64 |
//! | 1, run's tree u32 big-endian | after u64, to u64, bytes u64 |
//! | 2, dropped tree u32 big-endian | when u64 |

use super::inner::InnerView;
use super::leaf::{LeafValue, LeafView};
use super::merge::TreeRoot;
use super::page::{self, PageKind};
use super::{PageStore, RunCursor, RunEntry};
use orrery_base::sorting::{self, map_of};
use orrery_base::{Cx, Error, PagePtr, Result, Timestamp, TreeId};
use std::collections::BTreeMap;

/// The tree of the list of runs.
pub const HISTORY_LIST: TreeId = TreeId(u32::MAX - 1);
/// The first tree of a run; those above it up to the list are runs, too.
pub const HISTORY_FIRST: TreeId = TreeId(0xC000_0000);
/// The length of a version that deletes.
pub const TOMBSTONE: u32 = u32::MAX;
/// Bytes of a version beside its value.
pub const VERSION_HEAD_BYTES: usize = 12;
/// Bytes of the tree's id in front of a run's key.
pub const KEY_PREFIX_BYTES: usize = 4;
/// A run up to this size is merged into the next one whatever that one's is.
const SMALL_RUN_BYTES: u64 = 64 << 10;
/// A merged run's size at most: the merge happens in memory.
const MERGED_RUN_BYTES_MAX: u64 = 4 << 20;

/// Whether a tree belongs to the history, not to a user.
#[inline]
pub fn is_history(tree: TreeId) -> bool {
    tree >= HISTORY_FIRST
}

/// A run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRun {
    /// Its tree.
    pub tree: TreeId,
    /// It has what commits later than this replaced,
    pub after: Timestamp,
    /// up to this one.
    pub to: Timestamp,
    /// Bytes of its keys and values.
    pub bytes: u64,
}

/// What is known of the past of one tree version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The runs, oldest first.
    pub runs: Vec<HistoryRun>,
    /// Trees that were dropped, and when last.
    pub dropped_at: BTreeMap<TreeId, Timestamp>,
    /// See H2; `None`: no history was ever kept.
    pub since: Option<Timestamp>,
}

/// What a checkpoint does with the history.
#[derive(Clone, Debug, Default)]
pub struct HistoryPlan {
    /// Whether replaced versions are kept. Not: what was kept goes.
    pub is_kept: bool,
    /// The newest commit of the checkpoint.
    pub to: Timestamp,
    /// When trees were dropped.
    pub dropped_at: BTreeMap<TreeId, Timestamp>,
    /// Runs that end before this expire.
    pub expire_before: Timestamp,
    /// Bytes of pages of all runs, at most; beyond, the oldest expire.
    pub bytes_max: u64,
    /// A planted bug: nobody is told what expired.
    pub hides_expiry: bool,
}

impl History {
    /// The next free run's tree.
    fn next_tree(&self) -> TreeId {
        let last = self.runs.iter().map(|run| run.tree).max();
        let next = last.map_or(HISTORY_FIRST, |last| TreeId(last.0 + 1));
        if next < HISTORY_LIST {
            return next;
        }
        // After a thousand million runs the numbers begin anew.
        let is_free = |tree: &TreeId| self.runs.iter().all(|run| run.tree != *tree);
        (HISTORY_FIRST.0..HISTORY_LIST.0)
            .map(TreeId)
            .find(is_free)
            .expect("there are fewer runs than numbers")
    }

    fn rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let key = |kind: u8, tree: TreeId| [&[kind][..], &tree.0.to_be_bytes()].concat();
        let numbers = |numbers: &[u64]| numbers.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
        let since = self.since.iter().map(|since| (vec![0], numbers(&[since.0])));
        let runs = self.runs.iter().map(|it| (key(1, it.tree), numbers(&[it.after.0, it.to.0, it.bytes])));
        let drops = self.dropped_at.iter().map(|(tree, at)| (key(2, *tree), numbers(&[at.0])));
        map_of(since.chain(runs).chain(drops))
    }

    /// Reads the list's rows. Errors: XX001.
    pub fn decode(rows: &[Row]) -> Result<History> {
        let damaged = || Error::corrupt("the history list has a row that is none");
        let mut history = History::default();
        for row in rows {
            let numbers: Vec<u64> = row.value.chunks_exact(8).map(|it| page::u64_at(it, 0)).collect();
            let tree = row.key.get(1..5).map(|it| TreeId(u32::from_be_bytes([it[0], it[1], it[2], it[3]])));
            match (row.key.first(), tree, &numbers[..]) {
                (Some(0), None, &[since]) => history.since = Some(Timestamp(since)),
                (Some(1), Some(tree), &[after, to, bytes]) => {
                    history.runs.push(HistoryRun { tree, after: Timestamp(after), to: Timestamp(to), bytes });
                }
                (Some(2), Some(tree), &[at]) => {
                    history.dropped_at.insert(tree, Timestamp(at));
                }
                _ => return Err(damaged()),
            }
        }
        sorting::sort_by_key(&mut history.runs, |run| (run.to, run.tree));
        Ok(history)
    }

    /// The changes of the list's tree from `self` to `new`.
    pub(super) fn changes(&self, new: &History, timestamp: Timestamp) -> Rows {
        let (old, new) = (self.rows(), new.rows());
        let mut changes: BTreeMap<&Vec<u8>, Option<&Vec<u8>>> = BTreeMap::new();
        changes.extend(old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key, None)));
        let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(value));
        changes.extend(changed.map(|(key, value)| (key, Some(value))));
        let rows = changes.into_iter().map(|(key, value)| (key.clone(), timestamp, value.cloned()));
        Rows { tree: HISTORY_LIST, rows: rows.collect(), index: 0 }
    }

    /// Takes the runs off that a new one of `bytes` is merged with: they are the newest, so they stay in order (H3).
    pub(super) fn take_small(&mut self, bytes: u64) -> Vec<HistoryRun> {
        let (mut taken, mut bytes) = (Vec::new(), bytes);
        while let Some(last) = self.runs.last() {
            let is_small = last.bytes <= SMALL_RUN_BYTES.max(2 * bytes);
            if !is_small || bytes + last.bytes > MERGED_RUN_BYTES_MAX {
                break;
            }
            bytes += last.bytes;
            taken.push(*last);
            self.runs.pop();
        }
        taken.reverse();
        taken
    }

    /// A run with these bytes, behind all others.
    pub(super) fn add(&mut self, base: &History, after: Timestamp, to: Timestamp, bytes: u64) -> TreeId {
        // The numbers of runs that go with this checkpoint are not used again in it.
        let tree = base.next_tree().max(self.next_tree());
        self.runs.push(HistoryRun { tree, after, to, bytes });
        tree
    }

    /// Takes off what the plan lets expire, but not the run of this very checkpoint, whose pages may not be on the disk
    /// yet. `run_bytes`: bytes of a run's pages.
    pub(super) fn expire(&mut self, plan: &HistoryPlan, run_bytes: impl Fn(TreeId) -> u64) -> Vec<TreeId> {
        let mut total: u64 = self.runs.iter().map(|run| run_bytes(run.tree)).sum();
        let mut expired = Vec::new();
        while let Some(first) = self.runs.first().copied().filter(|run| run.to < plan.to) {
            if first.to >= plan.expire_before && total <= plan.bytes_max {
                break;
            }
            total -= run_bytes(first.tree);
            if !plan.hides_expiry {
                self.since = self.since.max(Some(first.to));
            }
            expired.push(first.tree);
            self.runs.remove(0);
        }
        let since = self.since.unwrap_or_default();
        self.dropped_at.retain(|_, at| *at > since);
        expired
    }
}

/// A row of a tree of the history, read or about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// Rows in order, as a run for a merge.
pub(super) struct Rows {
    tree: TreeId,
    rows: Vec<(Vec<u8>, Timestamp, Option<Vec<u8>>)>,
    index: usize,
}

impl Rows {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl RunCursor for Rows {
    fn entry(&self) -> Option<RunEntry<'_>> {
        self.rows.get(self.index).map(|(key, timestamp, value)| RunEntry {
            tree: self.tree,
            key,
            timestamp: *timestamp,
            value: value.as_deref(),
        })
    }

    fn advance(&mut self) {
        self.index += 1;
    }
}

/// The versions that a checkpoint replaces, as it meets them: by (tree, key), newest first.
#[derive(Default)]
pub struct Replaced {
    bytes: Vec<u8>,
    /// For each key: where it and its versions begin. They end where the next begins.
    keys: Vec<(usize, usize)>,
    bytes_max: u64,
    is_over: bool,
}

impl Replaced {
    /// Keeps up to so many bytes: beyond, all would expire at once.
    pub fn new(bytes_max: u64) -> Self {
        Replaced { bytes_max, ..Replaced::default() }
    }

    /// Begins a key.
    pub fn begin(&mut self, tree: TreeId, key: &[u8]) {
        self.keys.push((self.bytes.len(), self.bytes.len() + KEY_PREFIX_BYTES + key.len()));
        self.bytes.extend_from_slice(&tree.0.to_be_bytes());
        self.bytes.extend_from_slice(key);
    }

    /// Adds the next older version of the key.
    pub fn push(&mut self, timestamp: Timestamp, value: Option<&[u8]>) {
        encode_version(&mut self.bytes, timestamp, value);
    }

    /// Ends a key. One that has got no older version, only its newest being a tombstone, is taken back.
    pub fn end(&mut self) {
        let &(from, versions_at) = self.keys.last().expect("a key was begun");
        let has_value =
            versions(&self.bytes[versions_at..]).any(|version| version.is_ok_and(|(_, it)| it.is_some()));
        self.is_over |= self.bytes.len() as u64 > self.bytes_max;
        if !has_value || self.is_over {
            self.bytes.truncate(from);
            self.keys.pop();
        }
        if self.is_over {
            (self.bytes, self.keys) = (Vec::new(), Vec::new());
        }
    }

    /// Whether there was more than may be kept, so that nothing was.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Bytes of keys and versions.
    pub fn byte_count(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether nothing was replaced.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn row(&self, index: usize) -> (&[u8], &[u8]) {
        let (from, versions_at) = self.keys[index];
        let end = self.keys.get(index + 1).map_or(self.bytes.len(), |next| next.0);
        (&self.bytes[from..versions_at], &self.bytes[versions_at..end])
    }

    /// A run of all, over older runs' rows (each in order), oldest run first.
    pub(super) fn over(&self, older: Vec<Vec<Row>>, tree: TreeId) -> Rows {
        let mut merged: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        for index in 0..self.keys.len() {
            let (key, versions) = self.row(index);
            merged.insert(key, versions.to_vec());
        }
        for row in older.iter().rev().flatten() {
            merged.entry(&row.key).or_default().extend_from_slice(&row.value);
        }
        let newest = |versions: &[u8]| Timestamp(page::u64_at(versions, 0));
        let rows = merged.into_iter().map(|(key, value)| (key.to_vec(), newest(&value), Some(value)));
        Rows { tree, rows: rows.collect(), index: 0 }
    }
}

/// When a version was committed, and its value; `None`: deleted.
pub type KeptVersion<'a> = (Timestamp, Option<&'a [u8]>);

/// Appends a version.
pub fn encode_version(into: &mut Vec<u8>, timestamp: Timestamp, value: Option<&[u8]>) {
    into.extend_from_slice(&timestamp.0.to_le_bytes());
    into.extend_from_slice(&value.map_or(TOMBSTONE, |it| it.len() as u32).to_le_bytes());
    into.extend_from_slice(value.unwrap_or_default());
}

/// The versions of a run's value, newest first. Errors: XX001.
pub fn versions(mut bytes: &[u8]) -> impl Iterator<Item = Result<KeptVersion<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let mut take = || {
            let (head, rest) = bytes.split_at_checked(VERSION_HEAD_BYTES)?;
            let len = page::u32_at(head, 8);
            let (value, rest) = rest.split_at_checked(if len == TOMBSTONE { 0 } else { len as usize })?;
            bytes = rest;
            Some((Timestamp(page::u64_at(head, 0)), (len != TOMBSTONE).then_some(value)))
        };
        let version = take().ok_or_else(|| Error::corrupt("a row of the history is cut"));
        if version.is_err() {
            bytes = &[];
        }
        Some(version)
    })
}

/// The newest version at or before `at`. Errors: XX001.
pub fn version_at(bytes: &[u8], at: Timestamp) -> Result<Option<KeptVersion<'_>>> {
    versions(bytes)
        .find(|version| version.as_ref().map_or(true, |(timestamp, _)| *timestamp <= at))
        .transpose()
}

/// Reads all rows of a small tree. Errors: XX001, the disk's.
pub(super) async fn read_rows(store: &PageStore, cx: &Cx, root: &TreeRoot) -> Result<Vec<Row>> {
    let mut rows = Vec::with_capacity(root.entry_count as usize);
    let mut stack = vec![(root.ptr, root.height)];
    while let Some((ptr, height)) = stack.pop() {
        let page = store.read_page(cx, &ptr).await?;
        cx.charge(page.len()).await?;
        let expected = if height == 1 { PageKind::RowLeaf } else { PageKind::Inner };
        if page::kind_byte(&page) != expected as u8 || height == 0 {
            return Err(page::wrong_kind(&ptr, &page));
        }
        if height > 1 {
            let inner = InnerView::new(&page);
            stack.extend((0..inner.len()).rev().map(|index| (inner.child(index), height - 1)));
            continue;
        }
        let leaf = LeafView::new(&page);
        for row in 0..leaf.len() {
            let mut key = Vec::new();
            leaf.key_into(row, &mut key);
            let value = match leaf.value(row) {
                LeafValue::Inline(value) => value.to_vec(),
                LeafValue::Overflow(ptr, len) => read_long(store, cx, &ptr, len).await?,
            };
            rows.push(Row { key, value });
        }
    }
    Ok(rows)
}

/// Reads a long value. Errors: XX001, the disk's.
pub(super) async fn read_long(store: &PageStore, cx: &Cx, ptr: &PagePtr, len: usize) -> Result<Vec<u8>> {
    let page = store.read_page(cx, ptr).await?;
    if page::kind_byte(&page) != PageKind::Overflow as u8 {
        return Err(page::wrong_kind(ptr, &page));
    }
    let value = page::payload(&page);
    match value.len() == len {
        true => Ok(value.to_vec()),
        false => Err(page::damaged(ptr, format!("a value of {} bytes found, {len} expected", value.len()))),
    }
}
