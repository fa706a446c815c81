//! Range scans: tree leaves with a patch list over them. A stretch of a leaf without newer entries is pushed straight
//! from the page; a newer entry replaces, removes or adds a row between stretches.
//!
//! No page is held between batches. A scan keeps its own hold on its snapshot, so it may outlive the statement that
//! made it.

use super::Txn;
use crate::mem::merge::{Patches, Sources};
use crate::mem::view::View;
use crate::mem::write_set::WriteSet;
use crate::pages::{CursorStep, LeafRows, LeafValue, PageStore, Pin, Reader, TreeCursor};
use crate::store::Store;
use orrery_base::kv::{Flow, KeyRange, ReadMode, RowRef, RowSink, SINK_ROW_COUNT_MAX, Scan};
use orrery_base::task::lock;
use orrery_base::{BoxFuture, Cx, PagePtr, Result, Timestamp, TreeId};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// See the file's head.
pub struct StoreScan {
    store: Arc<Store>,
    reader: Option<Reader>,
    timestamp: Timestamp,
    view: Arc<View>,
    /// How many layers this scan sees of the tree.
    depth: usize,
    own: Option<(Arc<Mutex<WriteSet>>, u32)>,
    tree: TreeId,
    range: KeyRange,
    reverse: bool,
    /// `None`: a drop hides the tree.
    cursor: Option<TreeCursor>,
    patches: Patches,
    /// The last key of the tree that was dealt with.
    last_key: Vec<u8>,
    has_last: bool,
    is_done: bool,
    byte_count: usize,
    /// Room for the rows of a push, used again leaf after leaf.
    room: Vec<RowRef<'static>>,
}

enum Step {
    /// The sink is full.
    Full,
    /// A leaf is done.
    Leaf,
    /// A page is missing.
    Load(PagePtr),
    /// There is no more.
    End,
}

/// Why a stretch over one leaf and one window of patches ended.
#[derive(Clone, Copy, PartialEq)]
enum Stretch {
    LeafDone,
    WindowDone,
    Full,
    Load(PagePtr),
}

impl Txn {
    /// See [`orrery_base::kv::Transaction::scan`].
    pub(crate) fn scan_range(
        &self,
        tree: TreeId,
        range: KeyRange,
        mode: ReadMode,
        reverse: bool,
    ) -> Result<StoreScan> {
        self.check_open()?;
        if let Some(reads) = &self.reads {
            lock(reads).add_range(tree, &range);
        }
        let (timestamp, view) = match mode {
            ReadMode::Current => {
                let current = self.store.views.snapshot(false);
                (current.timestamp, current.view)
            }
            ReadMode::Snapshot => {
                let reading = self.reading();
                let reading = reading.as_ref().ok_or_else(super::not_open)?;
                self.store.views.hold(reading.timestamp);
                (reading.timestamp, reading.view.clone())
            }
        };
        let has_own = self.has_writes.load(Ordering::Acquire);
        let limit = self.own_limit(mode);
        let own = has_own.then(|| (self.writes.clone(), limit));
        let (mut depth, mut sees_tree) = view.depth(tree, timestamp);
        if has_own && lock(&self.writes).is_dropped(tree, limit) {
            (depth, sees_tree) = (0, false);
        }
        let cursor =
            sees_tree.then(|| self.store.pages.cursor(view.tree.clone(), tree, range.clone(), reverse));
        let own = if sees_tree || depth > 0 { own } else { None };
        Ok(StoreScan {
            reader: Some(self.store.take_reader()),
            store: self.store.clone(),
            timestamp,
            view,
            depth,
            own,
            tree,
            patches: Patches::new(tree, range.clone(), reverse, timestamp),
            range,
            reverse,
            cursor,
            last_key: Vec::new(),
            has_last: false,
            is_done: false,
            byte_count: 0,
            room: Vec::new(),
        })
    }
}

impl Scan for StoreScan {
    fn next_batch<'a>(&'a mut self, cx: &'a Cx, sink: &'a mut dyn RowSink) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            while !self.is_done {
                self.byte_count = 0;
                let step = self.step(sink)?;
                match step {
                    Step::Full => return Ok(true),
                    Step::Leaf => {}
                    Step::Load(page) => self.store.pages.load(cx, page).await?,
                    Step::End => self.is_done = true,
                }
                cx.charge(self.byte_count).await?;
            }
            Ok(false)
        })
    }
}

impl Drop for StoreScan {
    fn drop(&mut self) {
        self.store.views.release(self.timestamp, false);
        if let Some(reader) = self.reader.take() {
            self.store.give_reader(reader);
        }
    }
}

impl StoreScan {
    /// Deals with one leaf, or with what lies behind the last one.
    fn step(&mut self, sink: &mut dyn RowSink) -> Result<Step> {
        // The reader is taken out so that the pin does not borrow all of `self`.
        let reader = self.reader.take().expect("a scan has its reader");
        let pin = reader.pin();
        let step = match &mut self.cursor {
            None => Ok(CursorStep::End),
            Some(cursor) => cursor.next(&self.store.pages, &pin),
        };
        let step = step.and_then(|step| match step {
            CursorStep::Missing(page) => Ok(Step::Load(page)),
            CursorStep::End => self.finish(sink, &pin),
            CursorStep::Leaf(rows) => {
                let leaf = Leaf { rows, pages: &self.store.pages, pin: &pin };
                let mut done = 0;
                let step = overlay_leaf(
                    &mut self.patches,
                    &SourcesOf {
                        own: &self.own,
                        view: &self.view,
                        depth: self.depth,
                        pages: &self.store.pages,
                        pin: &pin,
                    },
                    leaf,
                    &mut done,
                    sink,
                    &mut self.byte_count,
                    &mut self.room,
                );
                self.after_leaf(&rows, done, step)
            }
        });
        drop(pin);
        self.reader = Some(reader);
        step
    }

    /// Notes how far the leaf was dealt with, and sets the cursor back where it was not.
    fn after_leaf(&mut self, rows: &LeafRows<'_>, done: usize, step: Result<Step>) -> Result<Step> {
        if done > 0 {
            self.last_key.clear();
            self.last_key.extend_from_slice(rows.prefix());
            self.last_key.extend_from_slice(rows.suffix(done - 1));
            self.has_last = true;
        }
        if done < rows.len() {
            let cursor = self.cursor.as_mut().expect("a leaf came from it");
            if self.has_last {
                cursor.seek_after(&self.last_key);
            } else {
                let version = self.view.tree.clone();
                *cursor = self.store.pages.cursor(version, self.tree, self.range.clone(), self.reverse);
            }
        }
        step
    }

    /// Pushes the patches behind the last leaf.
    fn finish(&mut self, sink: &mut dyn RowSink, pin: &Pin<'_>) -> Result<Step> {
        loop {
            let (own, view, pages) = (&self.own, &*self.view, &*self.store.pages);
            let sources = SourcesOf { own, view, depth: self.depth, pages, pin };
            if let Some(page) = refill(&mut self.patches, &sources)? {
                return Ok(Step::Load(page));
            }
            if self.patches.peek().is_none() {
                return Ok(Step::End);
            }
            let mut out = Output::new(sink, std::mem::take(&mut self.room));
            let mut next = self.patches.peek();
            let mut taken = 0;
            while let Some(index) = next.filter(|_| !out.is_full) {
                if let Some(value) = self.patches.version(index).value {
                    out.push(&[], self.patches.key(index), value)?;
                }
                taken += 1;
                next = self.patches.after(index);
            }
            out.flush()?;
            let is_full = out.is_full;
            self.byte_count += out.byte_count;
            self.room = emptied(out.rows);
            (0..taken).for_each(|_| self.patches.advance());
            if is_full {
                return Ok(Step::Full);
            }
            if self.byte_count > orrery_base::limits::POLL_BUDGET_BYTES as usize {
                return Ok(Step::Leaf);
            }
        }
    }
}

/// What the patches of a scan are read from.
struct SourcesOf<'a> {
    own: &'a Option<(Arc<Mutex<WriteSet>>, u32)>,
    view: &'a View,
    depth: usize,
    pages: &'a PageStore,
    pin: &'a Pin<'a>,
}

/// Answers a page that is missing.
fn refill(patches: &mut Patches, from: &SourcesOf<'_>) -> Result<Option<PagePtr>> {
    if !patches.wants_refill() {
        return Ok(None);
    }
    let layers = &from.view.layers[..from.depth];
    match from.own {
        None => patches.refill(Sources { own: None, layers }, from.pages, from.pin),
        Some((writes, limit)) => {
            let mut writes = lock(writes);
            writes.put_in_order(patches.tree());
            patches.refill(Sources { own: Some((&writes, *limit)), layers }, from.pages, from.pin)
        }
    }
}

/// A leaf under work.
#[derive(Clone, Copy)]
struct Leaf<'p> {
    rows: LeafRows<'p>,
    pages: &'p PageStore,
    pin: &'p Pin<'p>,
}

fn overlay_leaf(
    patches: &mut Patches,
    sources: &SourcesOf<'_>,
    leaf: Leaf<'_>,
    next: &mut usize,
    sink: &mut dyn RowSink,
    byte_count: &mut usize,
    room: &mut Vec<RowRef<'static>>,
) -> Result<Step> {
    loop {
        if let Some(page) = refill(patches, sources)? {
            return Ok(Step::Load(page));
        }
        let mut out = Output::new(sink, std::mem::take(room));
        let mut taken = 0;
        let stretch = overlay_window(patches, &mut taken, leaf, next, &mut out);
        let flushed = out.flush();
        let is_full = out.is_full;
        *byte_count += out.byte_count;
        *room = emptied(out.rows);
        (0..taken).for_each(|_| patches.advance());
        flushed?;
        match stretch? {
            Stretch::LeafDone if !is_full => return Ok(Step::Leaf),
            Stretch::WindowDone if !is_full => {}
            Stretch::Load(page) if !is_full => return Ok(Step::Load(page)),
            _ => return Ok(Step::Full),
        }
    }
}

/// Merges the rest of the leaf with the rest of the window. `next`: how many rows of the leaf are dealt with.
fn overlay_window<'a>(
    patches: &'a Patches,
    taken: &mut usize,
    leaf: Leaf<'a>,
    next: &mut usize,
    out: &mut Output<'a, '_>,
) -> Result<Stretch> {
    let mut patch = patches.peek();
    loop {
        // Without a patch left in an unfinished window, nobody knows whether the next row has one.
        if patch.is_none() && patches.is_unfinished() {
            return Ok(Stretch::WindowDone);
        }
        let (until, replaces) = match patch {
            Some(index) => leaf.rows.position(patches.key(index)),
            None => (leaf.rows.len(), false),
        };
        let stretch = push_rows(leaf, next, until, out)?;
        if stretch != Stretch::LeafDone {
            return Ok(stretch);
        }
        let Some(index) = patch.filter(|_| replaces || until < leaf.rows.len()) else {
            return Ok(Stretch::LeafDone);
        };
        *next += usize::from(replaces);
        if let Some(value) = patches.version(index).value {
            out.push(&[], patches.key(index), value)?;
        }
        *taken += 1;
        patch = patches.after(index);
        if out.is_full {
            return Ok(Stretch::Full);
        }
    }
}

/// Pushes the leaf's rows up to `until` as they lie.
fn push_rows<'a>(
    leaf: Leaf<'a>,
    next: &mut usize,
    until: usize,
    out: &mut Output<'a, '_>,
) -> Result<Stretch> {
    let prefix = leaf.rows.prefix();
    while *next < until {
        if out.is_full {
            return Ok(Stretch::Full);
        }
        if !out.wants_keys {
            let count = out.push_values(leaf.rows.inline_values(*next, until, out.wanted_bytes))?;
            *next += count;
            if count > 0 {
                continue;
            }
        }
        let value = match leaf.rows.value(*next) {
            LeafValue::Inline(value) => value,
            LeafValue::Overflow(page, len) => match leaf.pages.overflow(leaf.pin, page, len)? {
                Some(value) => value,
                None => return Ok(Stretch::Load(page)),
            },
        };
        out.push(prefix, leaf.rows.suffix(*next), value)?;
        *next += 1;
    }
    Ok(Stretch::LeafDone)
}

/// The vector without its rows. Collecting an emptied vector into one of the same layout keeps its allocation.
fn emptied(mut rows: Vec<RowRef<'_>>) -> Vec<RowRef<'static>> {
    rows.clear();
    rows.into_iter().map(|_| RowRef { key_prefix: &[], key_suffix: &[], value: &[] }).collect()
}

/// Collects rows for the sink.
struct Output<'a, 's> {
    rows: Vec<RowRef<'a>>,
    sink: &'s mut dyn RowSink,
    is_full: bool,
    wants_keys: bool,
    wanted_bytes: usize,
    byte_count: usize,
}

impl<'a, 's> Output<'a, 's> {
    fn new(sink: &'s mut dyn RowSink, room: Vec<RowRef<'static>>) -> Self {
        let (wants_keys, wanted_bytes) = (sink.wants_keys(), sink.wanted_bytes());
        Output { rows: room, sink, is_full: false, wants_keys, wanted_bytes, byte_count: 0 }
    }

    /// Pushes rows without their keys, as many as there is room for; answers how many.
    #[inline]
    fn push_values(&mut self, values: impl Iterator<Item = &'a [u8]>) -> Result<usize> {
        let before = self.rows.len();
        let mut byte_count = 0;
        self.rows.extend(values.take(SINK_ROW_COUNT_MAX - before).map(|value| {
            byte_count += value.len();
            RowRef { key_prefix: &[], key_suffix: &[], value }
        }));
        self.byte_count += byte_count;
        let count = self.rows.len() - before;
        if self.rows.len() == SINK_ROW_COUNT_MAX {
            self.flush()?;
        }
        Ok(count)
    }

    #[inline]
    fn push(&mut self, key_prefix: &'a [u8], key_suffix: &'a [u8], value: &'a [u8]) -> Result<()> {
        self.rows.push(RowRef { key_prefix, key_suffix, value });
        self.byte_count += key_prefix.len() + key_suffix.len() + value.len();
        if self.rows.len() == SINK_ROW_COUNT_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.rows.is_empty() {
            self.is_full |= self.sink.rows(&self.rows)? == Flow::Full;
            self.rows.clear();
        }
        Ok(())
    }
}
