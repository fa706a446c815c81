//! Newer entries over older ones: the patches that a scan lays over tree leaves, and the run that a checkpoint merges
//! into the trees.
//!
//! Sources are ranked, newest first; of several entries for one key the first rank counts. They are read in chunks
//! that are copied out, so no lock is held between chunks, and a chunk of one source never outruns the others: entries
//! count only up to the nearest end of an unfinished source.
//!
//! What a large transaction spilled is read from pages, through a [`Feed`] each. A page that is missing is an answer, as everywhere:
//! whoever reads loads it and asks again; what the other feeds have read stays.

use super::frozen::FrozenWrites;
use super::sealed::SealedWrites;
use super::spill::{Feed, Piece, Undone, visible_version};
use super::view::Layer;
use super::write_set::WriteSet;
use super::{KeyBounds, Version, bounds_of};
use crate::pages::{LongValue, PageStore, Pin, RunCursor, RunEntry};
use orrery_base::kv::KeyRange;
use orrery_base::sorting::{self, map_of};
use orrery_base::{BoxFuture, Cx, Error, PagePtr, Result, Timestamp, TreeId};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Entries of a source's first chunk; later chunks grow to [`CHUNK_COUNT_MAX`].
const CHUNK_COUNT_MIN: usize = 32;
const CHUNK_COUNT_MAX: usize = 1024;
const CHUNK_BYTES_MAX: usize = 1 << 20;
const TOMBSTONE: usize = usize::MAX;

#[derive(Clone, Copy, Debug)]
struct Patch {
    key_at: usize,
    key_len: usize,
    value_len: usize,
    timestamp: Timestamp,
    rank: usize,
    has_older: bool,
}

/// A sorted window of newer entries over a range of one tree.
pub struct Patches {
    tree: TreeId,
    range: KeyRange,
    reverse: bool,
    at: Timestamp,
    bytes: Vec<u8>,
    items: Vec<Patch>,
    next: usize,
    chunk_count: usize,
    is_last: bool,
    /// The pieces among the sources, newest first.
    feeds: Vec<Feed>,
    /// Versions from feeds that newer ones of the window hide, in order.
    hidden: Vec<Patch>,
    /// A long value read for a feed.
    long: Option<LongValue>,
}

/// What patches are read from, newest first.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The own write set, with the number below which its writes count.
    pub own: Option<(&'a WriteSet, u32)>,
    /// The layers.
    pub layers: &'a [Arc<Layer>],
}

impl Patches {
    /// The entries of a range at `at`. Nothing is read yet.
    pub fn new(tree: TreeId, range: KeyRange, reverse: bool, at: Timestamp) -> Self {
        Patches {
            tree,
            range,
            reverse,
            at,
            bytes: Vec::new(),
            items: Vec::new(),
            next: 0,
            chunk_count: CHUNK_COUNT_MIN,
            is_last: false,
            feeds: Vec::new(),
            hidden: Vec::new(),
            long: None,
        }
    }

    /// The tree.
    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// Whether the window is used up and another must be read by [`Patches::refill`].
    #[inline]
    pub fn wants_refill(&self) -> bool {
        self.next == self.items.len() && !self.is_last
    }

    /// The index of the next entry; `None` when the window is used up.
    #[inline]
    pub fn peek(&self) -> Option<usize> {
        (self.next < self.items.len()).then_some(self.next)
    }

    /// The entry behind `index` in the window.
    #[inline]
    pub fn after(&self, index: usize) -> Option<usize> {
        (index + 1 < self.items.len()).then_some(index + 1)
    }

    /// Whether more may come behind the window.
    #[inline]
    pub fn is_unfinished(&self) -> bool {
        !self.is_last
    }

    /// Goes on to the next entry.
    #[inline]
    pub fn advance(&mut self) {
        self.next += 1;
    }

    /// The key of entry `index` of the window.
    #[inline]
    pub fn key(&self, index: usize) -> &[u8] {
        let item = &self.items[index];
        &self.bytes[item.key_at..item.key_at + item.key_len]
    }

    /// The version of entry `index` of the window.
    #[inline]
    pub fn version(&self, index: usize) -> Version<'_> {
        self.version_of(&self.items[index])
    }

    #[inline]
    fn version_of(&self, item: &Patch) -> Version<'_> {
        let at = item.key_at + item.key_len;
        let value = (item.value_len != TOMBSTONE).then(|| &self.bytes[at..at + item.value_len]);
        Version { timestamp: item.timestamp, value, has_older: item.has_older }
    }

    /// Reads the next window. Afterwards it holds an entry, or there is none any more; or a page is missing, to be loaded
    /// before this is called again. Errors: XX001.
    pub fn refill(
        &mut self,
        sources: Sources<'_>,
        pages: &PageStore,
        pin: &Pin<'_>,
    ) -> Result<Option<PagePtr>> {
        while !self.refill_from_memory(sources)? {
            if let Some(page) = self.feed(pages, pin)? {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// As [`Patches::refill`], as far as it gets without pages; `false`: the feeds need some. Errors: XX001.
    fn refill_from_memory(&mut self, sources: Sources<'_>) -> Result<bool> {
        while self.wants_refill() {
            self.follow_pieces(sources);
            if self.feeds.iter().any(Feed::is_hungry) {
                return Ok(false);
            }
            self.read_window(sources)?;
        }
        Ok(true)
    }

    /// The pages behind the one that a hungry feed wants, where they are known.
    fn upcoming(&self, pages: &PageStore, pin: &Pin<'_>) -> Vec<PagePtr> {
        self.feeds
            .iter()
            .find(|feed| feed.is_hungry())
            .map_or_else(Vec::new, |feed| feed.upcoming(pages, pin))
    }

    /// Reads a leaf for each feed that has no row left. Answers a page that is missing. Errors: XX001.
    fn feed(&mut self, pages: &PageStore, pin: &Pin<'_>) -> Result<Option<PagePtr>> {
        for feed in &mut self.feeds {
            while feed.is_hungry() {
                if let Some(page) = feed.fill(pages, pin, self.long.as_ref())? {
                    return Ok(Some(page));
                }
            }
        }
        Ok(None)
    }

    /// A feed for each piece among the sources: own writes may have become one since the last window, and pieces go when
    /// they are rolled back.
    fn follow_pieces(&mut self, sources: Sources<'_>) {
        if self.feeds.is_empty() && !sources.has_pieces() {
            return;
        }
        let mut old = std::mem::take(&mut self.feeds);
        let pieces = sources.pieces(self.tree, self.at);
        self.feeds = pieces
            .map(|piece| match old.iter().position(|feed| feed.is_of(piece)) {
                Some(index) => old.swap_remove(index),
                None => Feed::new(piece.clone(), self.tree, self.range.clone(), self.reverse),
            })
            .collect();
    }

    fn read_window(&mut self, sources: Sources<'_>) -> Result<()> {
        self.bytes.clear();
        self.items.clear();
        self.hidden.clear();
        self.next = 0;
        let mut window = Window { horizon: self.feeds_horizon(), filled_count: 0, rank: 0 };
        if let Some((writes, limit)) = sources.own {
            let (pieces, undone) = writes.pieces();
            let done = self.gather(window.rank, |tree, bounds, reverse, take| {
                writes.gather(tree, bounds, reverse, limit, &mut |key, value| take(key, Version::own(value)))
            });
            self.note(&mut window, done);
            if let Some(frozen) = writes.frozen() {
                let done = self.gather_frozen(window.rank, frozen, (limit, undone));
                self.note(&mut window, done);
            }
            for piece in pieces.iter().rev() {
                let visible = Visible { limit, undone, timestamp: Timestamp::MAX };
                self.gather_feed(&mut window, piece, visible)?;
            }
        }
        for layer in sources.layers {
            if let Some((piece, undone, timestamp)) = layer.piece() {
                let visible = Visible { limit: u32::MAX, undone, timestamp };
                self.gather_feed(&mut window, piece, visible)?;
                continue;
            }
            let at = self.at;
            let done = self.gather(window.rank, |tree, bounds, reverse, take| {
                layer.gather(tree, bounds, reverse, at, take)
            });
            self.note(&mut window, done);
        }
        if window.filled_count > 1 {
            self.merge();
        }
        self.end_window(window.horizon);
        Ok(())
    }

    /// Copies a chunk of a source in memory. Answers whether it has no more.
    fn gather(
        &mut self,
        rank: usize,
        read: impl FnOnce(TreeId, KeyBounds<'_>, bool, &mut dyn FnMut(&[u8], Version<'_>) -> bool) -> bool,
    ) -> bool {
        let Patches { tree, range, reverse, bytes, items, chunk_count, .. } = self;
        let bounds: KeyBounds<'_> = bounds_of(range);
        let (item_limit, byte_limit) = (items.len() + *chunk_count, bytes.len() + CHUNK_BYTES_MAX);
        let first = items.len();
        let mut take = |key: &[u8], version: Version<'_>| {
            if items.len() >= item_limit || (bytes.len() >= byte_limit && items.len() > first) {
                return false;
            }
            items.push(copied(bytes, rank, key, version));
            true
        };
        read(*tree, bounds, *reverse, &mut take)
    }

    fn gather_frozen(&mut self, rank: usize, frozen: &FrozenWrites, visible: (u32, &Undone)) -> bool {
        self.gather(rank, |tree, bounds, reverse, take| {
            frozen.gather(tree, bounds, reverse, visible, &mut |key, value| take(key, Version::own(value)))
        })
    }

    /// After a source in memory: how far it reaches, and where the next one ranks.
    fn note(&mut self, window: &mut Window, done: bool) {
        let has_some = self.items.last().is_some_and(|item| item.rank == window.rank);
        window.filled_count += usize::from(has_some);
        if !done {
            let last = *self.items.last().expect("an unfinished source gave at least one entry");
            let key = self.bytes[last.key_at..last.key_at + last.key_len].to_vec();
            self.bring_nearer(&mut window.horizon, key);
        }
        window.rank += 1;
    }

    /// Copies what a piece's feed has. Errors: XX001.
    fn gather_feed(&mut self, window: &mut Window, piece: &Arc<Piece>, visible: Visible<'_>) -> Result<()> {
        let rank = window.rank;
        window.rank += 1;
        let Some(index) = self.feeds.iter().position(|feed| feed.is_of(piece)) else { return Ok(()) };
        let Patches { bytes, items, feeds, reverse, .. } = self;
        let feed = &feeds[index];
        let (first, byte_limit) = (items.len(), bytes.len() + CHUNK_BYTES_MAX);
        // What lies behind the horizon would only be copied to be forgotten, for each window again.
        let is_near = |key: &[u8], horizon: &Option<Vec<u8>>| {
            horizon.as_ref().is_none_or(|it| in_direction(*reverse, key, it) != Ordering::Greater)
        };
        let mut taken = 0;
        while taken < feed.len() && is_near(feed.row(taken).0, &window.horizon) {
            if taken > 0 && bytes.len() >= byte_limit {
                // It lies before the horizon.
                window.horizon = Some(feed.row(taken - 1).0.to_vec());
                break;
            }
            let (key, versions) = feed.row(taken);
            taken += 1;
            if let Some(value) = visible_version(versions, visible.limit, visible.undone)? {
                let version = Version { timestamp: visible.timestamp, value, has_older: false };
                items.push(copied(bytes, rank, key, version));
            }
        }
        window.filled_count += usize::from(items.len() > first);
        Ok(())
    }

    /// Up to where the feeds have everything; `None`: to the end.
    fn feeds_horizon(&self) -> Option<Vec<u8>> {
        let last = |feed: &Feed| {
            let count = feed.len().min(self.chunk_count);
            let is_all = count == feed.len() && feed.is_done();
            (!is_all).then(|| count - 1)
        };
        let ends = self.feeds.iter().filter_map(|feed| last(feed).map(|index| feed.row(index).0));
        ends.min_by(|one, other| self.in_direction(one, other)).map(<[u8]>::to_vec)
    }

    fn bring_nearer(&self, horizon: &mut Option<Vec<u8>>, key: Vec<u8>) {
        if horizon.as_ref().is_none_or(|it| self.in_direction(&key, it) == Ordering::Less) {
            *horizon = Some(key);
        }
    }

    /// Keeps what lies up to the horizon, and goes on behind it.
    fn end_window(&mut self, horizon: Option<Vec<u8>>) {
        self.chunk_count = (self.chunk_count * 4).min(CHUNK_COUNT_MAX);
        self.is_last = horizon.is_none();
        let Some(horizon) = horizon else {
            self.feeds.clear();
            return;
        };
        let is_near = |it: &Patch| {
            let key = &self.bytes[it.key_at..it.key_at + it.key_len];
            self.in_direction(key, &horizon) != Ordering::Greater
        };
        let (keep, keep_hidden) = (self.items.partition_point(is_near), self.hidden.partition_point(is_near));
        self.items.truncate(keep);
        self.hidden.truncate(keep_hidden);
        let reverse = self.reverse;
        for feed in &mut self.feeds {
            while feed.len() > 0 && in_direction(reverse, feed.row(0).0, &horizon) != Ordering::Greater {
                feed.pop();
            }
        }
        let from = Bound::Excluded(horizon);
        if self.reverse { self.range.end = from } else { self.range.start = from }
    }

    fn in_direction(&self, one: &[u8], other: &[u8]) -> Ordering {
        in_direction(self.reverse, one, other)
    }

    /// Orders by key in scan direction.
    fn order(&self, a: &Patch, b: &Patch) -> Ordering {
        let key = |it: &Patch| &self.bytes[it.key_at..it.key_at + it.key_len];
        self.in_direction(key(a), key(b))
    }

    fn merge(&mut self) {
        let mut items = std::mem::take(&mut self.items);
        items.sort_by(|a, b| self.order(a, b).then(a.rank.cmp(&b.rank)));
        let mut hidden = Vec::new();
        let keeps_hidden = !self.feeds.is_empty();
        items.dedup_by(|b, a| {
            let is_older = self.order(a, b) == Ordering::Equal;
            a.has_older |= is_older;
            if is_older && keeps_hidden {
                hidden.push(*b);
            }
            is_older
        });
        (self.items, self.hidden) = (items, hidden);
    }

    /// What the source of this rank has for the key of entry `index`, when a newer source hides it.
    fn hidden_version(&self, index: usize, rank: usize) -> Option<Version<'_>> {
        let wanted = &self.items[index];
        let first = self.hidden.partition_point(|it| self.order(it, wanted) == Ordering::Less);
        let same = self.hidden[first..].iter().take_while(|it| self.order(it, wanted) == Ordering::Equal);
        same.into_iter().find(|it| it.rank == rank).map(|it| self.version_of(it))
    }
}

fn in_direction(reverse: bool, one: &[u8], other: &[u8]) -> Ordering {
    if reverse { other.cmp(one) } else { one.cmp(other) }
}

/// A patch with its bytes copied.
fn copied(bytes: &mut Vec<u8>, rank: usize, key: &[u8], version: Version<'_>) -> Patch {
    let key_at = bytes.len();
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(version.value.unwrap_or_default());
    let value_len = version.value.map_or(TOMBSTONE, <[u8]>::len);
    let (timestamp, has_older) = (version.timestamp, version.has_older);
    Patch { key_at, key_len: key.len(), value_len, timestamp, rank, has_older }
}

/// A window being read.
struct Window {
    /// The nearest end of an unfinished source.
    horizon: Option<Vec<u8>>,
    filled_count: usize,
    rank: usize,
}

/// Which versions of a piece count, and as of when.
#[derive(Clone, Copy)]
struct Visible<'a> {
    limit: u32,
    undone: &'a Undone,
    timestamp: Timestamp,
}

impl<'a> Sources<'a> {
    fn has_pieces(&self) -> bool {
        self.own.is_some_and(|(writes, _)| !writes.pieces().0.is_empty())
            || self.layers.iter().any(|layer| layer.piece().is_some())
    }

    /// The pieces with rows of a tree that count at `at`, newest first.
    fn pieces(self, tree: TreeId, at: Timestamp) -> impl Iterator<Item = &'a Arc<Piece>> {
        let own = self.own.map_or(&[][..], |(writes, _)| writes.pieces().0);
        let layers = self.layers.iter().filter_map(move |layer| {
            let (piece, _, timestamp) = layer.piece()?;
            (timestamp <= at && layer.dropped(tree, at).is_none()).then_some(piece)
        });
        own.iter().rev().chain(layers).filter(move |piece| piece.version().has_rows(tree))
    }
}

/// The newest version of everything in some frozen layers, as a run for a checkpoint.
pub struct MergedRun {
    layers: Vec<Arc<Layer>>,
    trees: Vec<TreeId>,
    dropped: BTreeMap<TreeId, Timestamp>,
    next_tree: usize,
    patches: Option<Patches>,
    is_hungry: bool,
    /// Damage found while it went on without being asked.
    error: Option<Error>,
}

impl MergedRun {
    /// Of these layers, newest first. None of them changes any more.
    pub fn new(layers: Vec<Arc<Layer>>) -> Self {
        let mut trees: Vec<TreeId> = layers.iter().flat_map(|layer| layer.trees()).collect();
        sorting::sort(&mut trees);
        trees.dedup();
        let dropped_at = |&tree: &TreeId| {
            let newest = layers.iter().find_map(|layer| layer.dropped(tree, Timestamp::MAX));
            newest.map(|timestamp| (tree, timestamp))
        };
        let dropped = map_of(trees.iter().filter_map(dropped_at));
        let mut run =
            MergedRun { layers, trees, dropped, next_tree: 0, patches: None, is_hungry: false, error: None };
        run.settle();
        run
    }

    /// The trees that are dropped, and when.
    pub fn dropped_trees(&self) -> &BTreeMap<TreeId, Timestamp> {
        &self.dropped
    }

    /// The layers over the last drop of a tree.
    fn layers_of(&self, tree: TreeId) -> &[Arc<Layer>] {
        let hides = |layer: &Arc<Layer>| layer.dropped(tree, Timestamp::MAX).is_some();
        let depth = match self.dropped.contains_key(&tree) {
            true => self.layers.iter().position(hides),
            false => None,
        };
        depth.map_or(&self.layers[..], |index| &self.layers[..=index])
    }

    /// Goes on until an entry is under the cursor, or there is none, or pages are needed.
    fn settle(&mut self) {
        self.is_hungry = false;
        loop {
            let tree = self.patches.as_ref().map(|patches| patches.tree);
            let layers = tree.map_or_else(Vec::new, |tree| self.layers_of(tree).to_vec());
            if let Some(patches) = &mut self.patches {
                let refilled = patches.refill_from_memory(Sources { own: None, layers: &layers });
                if patches.peek().is_some() {
                    return;
                }
                if !matches!(refilled, Ok(true)) {
                    // Whoever feeds it is told of the damage.
                    self.is_hungry = true;
                    self.error = refilled.err();
                    return;
                }
            }
            let Some(&tree) = self.trees.get(self.next_tree) else {
                self.patches = None;
                return;
            };
            self.next_tree += 1;
            self.patches = Some(Patches::new(tree, KeyRange::all(), false, Timestamp::MAX));
        }
    }

    /// Reads the pages that the feeds need.
    async fn read_pages(&mut self, store: &PageStore, cx: &Cx) -> Result<()> {
        let reader = store.reader();
        while self.is_hungry {
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            let patches = self.patches.as_mut().expect("it is hungry for patches");
            let missing = {
                let pin = reader.pin();
                let missing = patches.feed(store, &pin)?;
                missing.map(|page| (page, patches.upcoming(store, &pin)))
            };
            match missing {
                None => {
                    patches.long = None;
                    self.settle();
                }
                Some((page, _)) if page.unit_count > 1 => {
                    patches.long = Some(store.read_long(cx, page).await?);
                }
                Some((page, mut upcoming)) => {
                    upcoming.push(page);
                    store.load_all(cx, &upcoming).await?;
                }
            }
        }
        Ok(())
    }
}

impl RunCursor for MergedRun {
    fn entry(&self) -> Option<RunEntry<'_>> {
        let patches = self.patches.as_ref()?;
        let index = patches.peek()?;
        let version = patches.version(index);
        Some(RunEntry {
            tree: patches.tree,
            key: patches.key(index),
            timestamp: version.timestamp,
            value: version.value,
        })
    }

    fn advance(&mut self) {
        if let Some(patches) = &mut self.patches {
            patches.advance();
            if patches.peek().is_none() {
                self.settle();
            }
        }
    }

    fn is_hungry(&self) -> bool {
        self.is_hungry
    }

    fn feed<'a>(&'a mut self, store: &'a PageStore, cx: &'a Cx) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.read_pages(store, cx))
    }

    fn has_older(&self) -> bool {
        let patches = self.patches.as_ref();
        patches.is_some_and(|it| it.peek().is_some_and(|index| it.version(index).has_older))
    }

    fn older(&self, each: &mut dyn FnMut(Timestamp, Option<&[u8]>)) {
        let Some(patches) = self.patches.as_ref().filter(|_| self.has_older()) else { return };
        let Some(index) = patches.peek() else { return };
        // Of one commit's writes the last one counts.
        let mut last = patches.version(index).timestamp;
        let mut give = |version: Version<'_>| {
            if version.timestamp < last {
                last = version.timestamp;
                each(version.timestamp, version.value);
            }
        };
        for (rank, layer) in self.layers_of(patches.tree).iter().enumerate() {
            match layer.piece() {
                Some(_) => patches.hidden_version(index, rank).into_iter().for_each(&mut give),
                None => layer.versions(patches.tree, patches.key(index), &mut give),
            }
        }
    }
}

/// A single adopted run, read in place.
pub struct AdoptedRun {
    writes: Arc<SealedWrites>,
    timestamp: Timestamp,
    trees: Vec<TreeId>,
    tree: usize,
    index: usize,
}

impl AdoptedRun {
    /// Of this commit.
    pub fn new(writes: Arc<SealedWrites>, timestamp: Timestamp) -> Self {
        let trees = writes.trees().keys().copied().collect();
        AdoptedRun { writes, timestamp, trees, tree: 0, index: 0 }
    }
}

impl RunCursor for AdoptedRun {
    fn entry(&self) -> Option<RunEntry<'_>> {
        let &tree = self.trees.get(self.tree)?;
        let (key, value) = self.writes.trees()[&tree].pair(self.index);
        Some(RunEntry { tree, key, timestamp: self.timestamp, value })
    }

    fn advance(&mut self) {
        self.index += 1;
        if self.index == self.writes.trees()[&self.trees[self.tree]].len() {
            (self.tree, self.index) = (self.tree + 1, 0);
        }
    }
}
