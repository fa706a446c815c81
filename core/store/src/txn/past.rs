//! Reading the past: a transaction whose snapshot lies at a time of the caller's choice ([`Store::begin_at`]). A row is
//! looked for in the layers, the tree and the history's runs; the newest version at or before the snapshot counts
//! (history's H1).
//!
//! Scans merge all sources row by row: simple rather than fast, the present is read by [`super::scan`].

use super::Txn;
use crate::mem::merge::{Patches, Sources};
use crate::mem::view::View;
use crate::pages::LongValue;
use crate::pages::{
    CursorStep, HISTORY_KEY_PREFIX_BYTES, LeafValue, Reader, TreeCursor, TreeGet, version_at,
};
use crate::store::Store;
use orrery_base::kv::{Flow, KeyRange, Lookup, RowRef, RowSink, SINK_ROW_COUNT_MAX, Scan, prefix_end};
use orrery_base::task::lock;
use orrery_base::{BoxFuture, Cx, Error, PagePtr, Result, SqlState, Timestamp, TreeId, probe};
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

impl Store {
    /// Begins a read-only transaction that sees what was committed up to `at`, which may lie in the past. Errors: 22023 for
    /// a time in the future, 72000 for one before [`Store::history_since`], 57P03 when the store is closed. Suspends until no
    /// commit can get a timestamp up to `at` any more (I2).
    pub fn begin_at<'a>(self: &'a Arc<Self>, cx: &'a Cx, at: Timestamp) -> BoxFuture<'a, Result<Arc<Txn>>> {
        Box::pin(async move {
            // The clock of commits may be ahead of the wall.
            if at.micros() > cx.now() && at > self.views.published() {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "a time of the future cannot be read",
                ));
            }
            if !self.keeps_history() {
                return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "this database keeps no history"));
            }
            self.close_time(cx, at).await?;
            let txn = Txn::begin_past(self.clone(), at);
            let since = txn.reading().as_ref().map_or(Timestamp::ZERO, |it| history_since(&it.view));
            match at >= since {
                true => Ok(txn),
                false => Err(too_old().with_detail(format!(
                    "the history begins {} microseconds later",
                    since.micros().saturating_sub(at.micros())
                ))),
            }
        })
    }

    /// From when on the past can be read.
    pub fn history_since(&self) -> Timestamp {
        history_since(&self.views.current().0)
    }
}

fn history_since(view: &View) -> Timestamp {
    view.tree.history().since.unwrap_or(view.tree.state().commit_timestamp)
}

fn too_old() -> Error {
    Error::new(SqlState::SNAPSHOT_TOO_OLD, "snapshot too old: the history does not reach back to it")
}

/// From when on versions of a tree count at `at`: behind its last drop. Errors: 72000 when it was dropped later.
fn dropped_before(view: &View, tree: TreeId, at: Timestamp) -> Result<Timestamp> {
    match view.tree.history().dropped_at.get(&tree) {
        Some(dropped) if *dropped > at => Err(too_old().with_detail("the table or index was dropped since")),
        Some(dropped) => Ok(*dropped),
        None => Ok(Timestamp::ZERO),
    }
}

fn history_key(tree: TreeId, key: &[u8]) -> Vec<u8> {
    [&tree.0.to_be_bytes()[..], key].concat()
}

/// Lookups that wait for a page, at most; more are of tasks that were cancelled.
const LOOKUPS_MAX: usize = 64;

/// The lookups of a past transaction that wait for a page.
#[derive(Default)]
pub(crate) struct PastLookups {
    begun: BTreeMap<(TreeId, Vec<u8>), PastLookup>,
    /// The long values read for them, which may not fit into the pool.
    pub(crate) long: Vec<LongValue>,
}

/// A lookup on its way through the tree and the runs.
#[derive(Default)]
struct PastLookup {
    /// How many sources were asked: the tree, then the runs.
    source_count: usize,
    /// The newest version found; its value is `None` when it was deleted.
    newest: Option<(Timestamp, Option<Vec<u8>>)>,
}

impl Txn {
    /// What the tree and the runs know of a key, where the layers know nothing.
    pub(crate) fn read_past(
        &self,
        view: &View,
        at: Timestamp,
        tree: TreeId,
        key: &[u8],
        found: &mut dyn FnMut(&[u8]),
    ) -> Result<Lookup> {
        let name = (tree, key.to_vec());
        let begun = lock(&self.lookups).begun.remove(&name);
        let mut lookup = begun.unwrap_or_default();
        let missing = self.look_up_past(view, at, (tree, key), &mut lookup)?;
        let mut lookups = lock(&self.lookups);
        if let Some(page) = missing {
            if lookups.begun.len() >= LOOKUPS_MAX {
                // Whoever began them may never come back; who does begins anew.
                lookups.begun.clear();
            }
            lookups.begun.insert(name, lookup);
            return Ok(Lookup::Missing(page));
        }
        if lookups.begun.is_empty() {
            lookups.long.clear();
        }
        drop(lookups);
        Ok(match lookup.newest {
            Some((_, Some(value))) => {
                found(&value);
                Lookup::Found { newer: false }
            }
            _ => Lookup::Absent { newer: false },
        })
    }

    /// Goes on with a lookup. Answers a page that is missing: with it in the pool, the next call gets further, even when
    /// the pool cannot hold the pages of all runs together.
    fn look_up_past(
        &self,
        view: &View,
        at: Timestamp,
        (tree, key): (TreeId, &[u8]),
        lookup: &mut PastLookup,
    ) -> Result<Option<PagePtr>> {
        let dropped = dropped_before(view, tree, at)?;
        let reader = self.reader.as_ref().expect("an open transaction has its reader");
        let pin = reader.pin();
        let pages = &self.store.pages;
        let lookups = lock(&self.lookups);
        if lookup.source_count == 0 {
            match pages.get_with(&view.tree, &pin, (tree, key), &lookups.long)? {
                TreeGet::Found { value, timestamp } if timestamp <= at => {
                    lookup.newest = Some((timestamp, Some(value.to_vec())));
                    return Ok(None);
                }
                TreeGet::Missing(page) => return Ok(Some(page)),
                TreeGet::Found { .. } | TreeGet::Absent => lookup.source_count = 1,
            }
        }
        let run_key = history_key(tree, key);
        let runs = view.tree.history().runs.iter().filter(|run| run.to > at);
        for run in runs.skip(lookup.source_count - 1) {
            match pages.get_with(&view.tree, &pin, (run.tree, &run_key), &lookups.long)? {
                TreeGet::Found { value, .. } => {
                    let version = version_at(value, at)?.filter(|(timestamp, _)| *timestamp > dropped);
                    let version = version.map(|(timestamp, value)| (timestamp, value.map(<[u8]>::to_vec)));
                    lookup.newest = lookup.newest.take().max_by_time(version);
                    probe!(self.store.world, "history: a replaced version read");
                }
                TreeGet::Absent => {}
                TreeGet::Missing(page) => return Ok(Some(page)),
            }
            lookup.source_count += 1;
        }
        Ok(None)
    }

    /// A scan of the past.
    pub(crate) fn scan_past(&self, tree: TreeId, range: KeyRange, reverse: bool) -> Result<PastScan> {
        self.check_open()?;
        let reading = self.reading();
        let reading = reading.as_ref().ok_or_else(super::not_open)?;
        let (at, view) = (reading.timestamp, reading.view.clone());
        let (depth, sees_tree) = view.depth(tree, at);
        let mut sources = Vec::new();
        let mut dropped = Timestamp::ZERO;
        if sees_tree {
            dropped = dropped_before(&view, tree, at)?;
            let pages = &self.store.pages;
            let mut add = |from: TreeId, range: KeyRange, is_run: bool| {
                let cursor = pages.cursor(view.tree.clone(), from, range, reverse);
                sources.push(Source { cursor, is_run, rows: VecDeque::new(), is_done: false });
            };
            add(tree, range.clone(), false);
            for run in view.tree.history().runs.iter().filter(|run| run.to > at) {
                add(run.tree, run_range(tree, &range), true);
            }
        }
        self.store.views.hold(at);
        Ok(PastScan {
            reader: Some(self.store.take_reader()),
            store: self.store.clone(),
            at,
            dropped,
            depth,
            view,
            reverse,
            patches: Patches::new(tree, range, reverse, at),
            sources,
            long: None,
            out: Vec::new(),
            is_done: false,
        })
    }
}

/// The rows of a run for a range of a tree.
fn run_range(tree: TreeId, range: &KeyRange) -> KeyRange {
    let prefix = tree.0.to_be_bytes();
    let start = match &range.start {
        Bound::Included(key) => Bound::Included(history_key(tree, key)),
        Bound::Excluded(key) => Bound::Excluded(history_key(tree, key)),
        Bound::Unbounded => Bound::Included(prefix.to_vec()),
    };
    let end = match &range.end {
        Bound::Included(key) => Bound::Included(history_key(tree, key)),
        Bound::Excluded(key) => Bound::Excluded(history_key(tree, key)),
        Bound::Unbounded => prefix_end(&prefix),
    };
    KeyRange { start, end }
}

trait Newest {
    fn max_by_time(self, other: Self) -> Self;
}

impl<T> Newest for Option<(Timestamp, T)> {
    fn max_by_time(self, other: Self) -> Self {
        match (&self, &other) {
            (Some((one, _)), Some((two, _))) if one >= two => self,
            (_, Some(_)) => other,
            (_, None) => self,
        }
    }
}

struct PastRow {
    key: Vec<u8>,
    timestamp: Timestamp,
    /// `None`: deleted.
    value: Option<Vec<u8>>,
}

struct Source {
    cursor: TreeCursor,
    is_run: bool,
    rows: VecDeque<PastRow>,
    is_done: bool,
}

/// See the file's head.
pub struct PastScan {
    store: Arc<Store>,
    reader: Option<Reader>,
    at: Timestamp,
    dropped: Timestamp,
    depth: usize,
    view: Arc<View>,
    reverse: bool,
    patches: Patches,
    sources: Vec<Source>,
    /// The long value read last.
    long: Option<LongValue>,
    /// Rows found, not yet pushed.
    out: Vec<(Vec<u8>, Vec<u8>)>,
    is_done: bool,
}

impl Scan for PastScan {
    fn next_batch<'a>(&'a mut self, cx: &'a Cx, sink: &'a mut dyn RowSink) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            loop {
                let mut byte_count = 0;
                while self.out.len() < SINK_ROW_COUNT_MAX && !self.is_done {
                    if let Some(index) = self.sources.iter().position(|it| it.rows.is_empty() && !it.is_done)
                    {
                        if let Some(page) = self.fill(index, &mut byte_count)? {
                            match page.unit_count > 1 {
                                true => self.long = Some(self.store.pages.read_long(cx, page).await?),
                                false => self.store.pages.load(cx, page).await?,
                            }
                        }
                        cx.charge(std::mem::take(&mut byte_count)).await?;
                        continue;
                    }
                    if let Some(page) = self.take_rows()? {
                        self.store.pages.load(cx, page).await?;
                    }
                }
                let rows =
                    self.out.iter().map(|(key, value)| RowRef { key_prefix: &[], key_suffix: key, value });
                let rows: Vec<RowRef<'_>> = rows.collect();
                let flow = if rows.is_empty() { Flow::More } else { sink.rows(&rows)? };
                drop(rows);
                self.out.clear();
                match flow {
                    _ if self.is_done => return Ok(false),
                    Flow::Full => return Ok(true),
                    Flow::More => cx.charge(SINK_ROW_COUNT_MAX).await?,
                }
            }
        })
    }
}

impl Drop for PastScan {
    fn drop(&mut self) {
        self.store.views.release(self.at, false);
        if let Some(reader) = self.reader.take() {
            self.store.give_reader(reader);
        }
    }
}

impl PastScan {
    /// Reads a source's next leaf. Answers a page that is missing.
    fn fill(&mut self, index: usize, byte_count: &mut usize) -> Result<Option<PagePtr>> {
        let reader = self.reader.as_ref().expect("a scan has its reader");
        let pin = reader.pin();
        let Source { cursor, is_run, rows, is_done } = &mut self.sources[index];
        let leaf = match cursor.next(&self.store.pages, &pin)? {
            CursorStep::Missing(page) => return Ok(Some(page)),
            CursorStep::End => {
                *is_done = true;
                return Ok(None);
            }
            CursorStep::Leaf(leaf) => leaf,
        };
        for row in 0..leaf.len() {
            let key = [leaf.prefix(), leaf.suffix(row)].concat();
            if !*is_run && leaf.timestamp(row) > self.at {
                continue;
            }
            let value = match leaf.value(row) {
                LeafValue::Inline(value) => value,
                LeafValue::Overflow(page, len) => {
                    let kept = self.long.as_ref().and_then(|long| long.of(&page));
                    let value = match kept {
                        Some(value) => Some(value),
                        None => self.store.pages.overflow(&pin, page, len)?,
                    };
                    match value {
                        Some(value) => value,
                        None => {
                            // The rows before it are taken; the scan comes back for this one.
                            cursor.seek_from(&key);
                            return Ok(Some(page));
                        }
                    }
                }
            };
            *byte_count += key.len() + value.len();
            let found = match *is_run {
                false => Some((leaf.timestamp(row), Some(value))),
                true => version_at(value, self.at)?.filter(|(timestamp, _)| *timestamp > self.dropped),
            };
            let skipped = if *is_run { HISTORY_KEY_PREFIX_BYTES } else { 0 };
            if let Some((timestamp, value)) = found {
                let key = key[skipped..].to_vec();
                rows.push_back(PastRow { key, timestamp, value: value.map(<[u8]>::to_vec) });
            }
        }
        Ok(None)
    }

    /// Takes rows until a source is used up or there are enough. Answers a page that the layers miss.
    fn take_rows(&mut self) -> Result<Option<PagePtr>> {
        let reader = self.reader.as_ref().expect("a scan has its reader");
        let pin = reader.pin();
        while self.out.len() < SINK_ROW_COUNT_MAX {
            if self.sources.iter().any(|it| it.rows.is_empty() && !it.is_done) {
                break;
            }
            let sources = Sources { own: None, layers: &self.view.layers[..self.depth] };
            let missing = self.patches.refill(sources, &self.store.pages, &pin)?;
            if missing.is_some() {
                return Ok(missing);
            }
            let patch = self.patches.peek();
            let heads = self.sources.iter().filter_map(|it| it.rows.front()).map(|row| &row.key[..]);
            let keys = heads.chain(patch.map(|index| self.patches.key(index)));
            let reverse = self.reverse;
            let order = |a: &&[u8], b: &&[u8]| if reverse { b.cmp(a) } else { a.cmp(b) };
            let Some(key) = keys.min_by(order).map(<[u8]>::to_vec) else {
                self.is_done = true;
                break;
            };
            let mut newest: Option<(Timestamp, Option<Vec<u8>>)> = None;
            if let Some(index) = patch.filter(|index| self.patches.key(*index).cmp(&key) == Ordering::Equal) {
                let version = self.patches.version(index);
                newest = Some((version.timestamp, version.value.map(<[u8]>::to_vec)));
                self.patches.advance();
            }
            for source in &mut self.sources {
                if source.rows.front().is_some_and(|row| row.key == key) {
                    let row = source.rows.pop_front().expect("just seen");
                    newest = newest.max_by_time(Some((row.timestamp, row.value)));
                }
            }
            if let Some((_, Some(value))) = newest {
                self.out.push((key, value));
            }
        }
        Ok(None)
    }
}
