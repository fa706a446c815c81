//! The checkpoint (DESIGN §4 "File"): merge, free-space pages, sync, superblock copies, sync, publish. The order is the
//! correctness:
//!
//! - K1: the superblock is written when all its pages are durable, and the log up to its position is (the caller's
//!   `before_superblock`).
//! - K2: the place of the generation that is *not* the newest is overwritten, so a whole one remains at every moment.
//! - K3: what the new version no longer reaches is handed out again when the older generation is past it too, and no
//!   live [`TreeVersion`] is older (I4).

use super::free_space::{CHUNK_UNIT_COUNT, Extent};
use super::history::{self, HISTORY_LIST, History, HistoryPlan, Replaced};
use super::merge::{self, ROOT_BYTES, TreeRoot};
use super::page::{self, Header, PTR_BYTES, PageKind};
use super::superblock::{MetaRoot, PLACES, Superblock};
use super::writer::PageWriter;
use super::{CheckpointReport, PageStore, RunCursor, RunEntry, State, StoreState, TreeVersion};
use orrery_base::disk::FileId;
use orrery_base::sorting;
use orrery_base::task::lock;
use orrery_base::{
    AlignedBuf, BoxFuture, Cx, Error, PagePtr, Result, SqlState, Timestamp, TreeId, buggify, plant, probe,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The id under which the meta tree's pages are written.
pub const META_TREE: TreeId = TreeId(u32::MAX);

/// One writer at a time; and a superblock write cut by a drop poisons, because a late copy could land after the next
/// checkpoint's.
struct WriteGuard<'s> {
    store: &'s PageStore,
    is_superblock_open: bool,
}

impl<'s> WriteGuard<'s> {
    fn new(store: &'s PageStore) -> Result<Self> {
        if store.is_poisoned() {
            return Err(Error::new(
                SqlState::IO_ERROR,
                "a sync of the data file failed: open the database again",
            ));
        }
        if store.is_writing.swap(true, Ordering::AcqRel) {
            return Err(Error::new(SqlState::OBJECT_IN_USE, "a checkpoint is running"));
        }
        Ok(WriteGuard { store, is_superblock_open: false })
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        if self.is_superblock_open {
            self.store.is_poisoned.store(true, Ordering::Release);
        }
        self.store.is_writing.store(false, Ordering::Release);
    }
}

/// See [`PageStore::checkpoint`].
pub async fn checkpoint(
    store: &PageStore,
    cx: &Cx,
    run: &mut dyn RunCursor,
    (dropped_trees, history): (&[TreeId], &HistoryPlan),
    state: StoreState,
    before_superblock: BoxFuture<'_, Result<()>>,
) -> Result<CheckpointReport> {
    let mut guard = WriteGuard::new(store)?;
    let (base, version) = {
        let mut state = lock(&store.state);
        state.last_version += 1;
        release(store, &mut state, cx);
        (state.current.clone(), state.last_version)
    };
    let mut writer = PageWriter::new(store, cx, version);
    let report = CheckpointReport::default();
    let mut attempt = Attempt { guard: &mut guard, base: &base, history, state, report };
    match attempt.write(&mut writer, run, dropped_trees, before_superblock).await {
        Ok(version) => {
            let mut report = attempt.report;
            report.sequence = version.superblock.sequence;
            report.bytes_written = writer.bytes_written;
            publish(store, cx, version, writer);
            Ok(report)
        }
        Err(error) => {
            probe!(cx.world(), "pages: a checkpoint failed and was dropped whole");
            let is_reachable = attempt.guard.is_superblock_open;
            writer.abandon(is_reachable).await;
            // The failure is known and its units are kept: the next checkpoint writes the same place again. After a
            // failed sync the store is poisoned already.
            guard.is_superblock_open = false;
            Err(error)
        }
    }
}

/// A durable version, about to be published.
struct Durable {
    superblock: Superblock,
    roots: Vec<(TreeId, TreeRoot)>,
    free_space_extents: Vec<Extent>,
    live: super::free_space::Bitmap,
    history: Arc<History>,
}

struct Attempt<'a, 's> {
    guard: &'a mut WriteGuard<'s>,
    base: &'a TreeVersion,
    history: &'a HistoryPlan,
    state: StoreState,
    report: CheckpointReport,
}

impl Attempt<'_, '_> {
    async fn write(
        &mut self,
        writer: &mut PageWriter<'_>,
        run: &mut dyn RunCursor,
        dropped_trees: &[TreeId],
        before_superblock: BoxFuture<'_, Result<()>>,
    ) -> Result<Durable> {
        let (store, cx) = (writer.store(), writer.cx());
        let mut replaced = self.history.is_kept.then(|| Replaced::new(self.history.bytes_max));
        let mut changes = self.merge_trees(writer, run, dropped_trees, replaced.as_mut()).await?;
        let history = self.write_history(writer, replaced, &mut changes).await?;
        let meta = self.merge_meta(writer, &changes).await?;
        let roots = apply(&self.base.roots, &changes);
        let (free_space, free_space_extents, live) = self.write_free_space(writer).await?;
        writer.finish().await?;
        if !plant!(cx.world(), SuperblockBeforePages) {
            sync(store, cx).await?;
        }
        before_superblock.await?;
        let superblock = {
            let state = lock(&store.state);
            let newest = &state.newest;
            Superblock {
                sequence: writer.version,
                parent_checksum: newest.checksum(),
                generation: 1 - newest.generation,
                meta,
                free_space: Some(free_space),
                file_unit_count: state.free.file_unit_count(),
                state: self.state.clone(),
                ..newest.clone()
            }
        };
        self.guard.is_superblock_open = true;
        writer.bytes_written += write_superblock(store, cx, &superblock).await?;
        self.guard.is_superblock_open = false;
        Ok(Durable { superblock, roots, free_space_extents, live, history })
    }

    /// Frees the dropped trees and merges the run, tree by tree. Answers the new roots of the trees that changed.
    async fn merge_trees(
        &mut self,
        writer: &mut PageWriter<'_>,
        run: &mut dyn RunCursor,
        dropped_trees: &[TreeId],
        mut replaced: Option<&mut Replaced>,
    ) -> Result<BTreeMap<TreeId, Option<TreeRoot>>> {
        let mut changes = BTreeMap::new();
        for tree in dropped_trees {
            if let Some(root) = self.base.root(*tree)
                && changes.insert(*tree, None).is_none()
            {
                merge::free_tree(writer, *root).await?;
            }
        }
        let mut last = None;
        if run.is_hungry() {
            run.feed(writer.store(), writer.cx()).await?;
        }
        while let Some(tree) = run.entry().map(|entry| entry.tree) {
            if last.replace(tree).is_some_and(|last| last >= tree) || history::is_history(tree) {
                return Err(Error::internal(format!("{tree} reached a merge out of order")));
            }
            let old = if changes.contains_key(&tree) { None } else { self.base.root(tree).copied() };
            let merged = merge::merge_tree(writer, run, tree, old, replaced.as_deref_mut()).await?;
            self.report.entry_count += merged.taken_count;
            self.report.leaf_count += merged.leaf_count;
            changes.insert(tree, merged.root);
        }
        Ok(changes)
    }

    /// Writes what was replaced as a run, lets old runs go, and answers what is known of the past now.
    async fn write_history(
        &mut self,
        writer: &mut PageWriter<'_>,
        replaced: Option<Replaced>,
        changes: &mut BTreeMap<TreeId, Option<TreeRoot>>,
    ) -> Result<Arc<History>> {
        let (base, plan) = (&*self.base.history, self.history);
        let mut new = base.clone();
        let mut gone = Vec::new();
        let everything_goes = match &replaced {
            Some(replaced) => {
                new.since = new.since.or(Some(self.base.state.commit_timestamp));
                new.dropped_at.extend(&plan.dropped_at);
                replaced.is_over()
            }
            // A part of a checkpoint has versions of commits behind the state's.
            None => new.since.is_some() || plan.to > self.state.commit_timestamp,
        };
        if everything_goes {
            gone.extend(new.runs.iter().map(|run| run.tree));
            new = History { since: Some(plan.to), ..History::default() };
        } else if let Some(replaced) = replaced.filter(|replaced| !replaced.is_empty()) {
            gone.extend(self.write_run(writer, &replaced, &mut new, changes).await?);
        }
        let unit_bytes = writer.store().unit_bytes as u64;
        let run_bytes = |tree: TreeId| {
            let root = changes.get(&tree).copied().flatten().or_else(|| self.base.root(tree).copied());
            root.map_or(0, |root| root.unit_count * unit_bytes)
        };
        let expired = new.expire(plan, run_bytes);
        for tree in gone.into_iter().chain(expired) {
            changes.insert(tree, None);
            if let Some(root) = self.base.root(tree).copied() {
                merge::free_tree(writer, root).await?;
            }
        }
        let mut list = base.changes(&new, plan.to);
        if !list.is_empty() {
            let old = self.base.root(HISTORY_LIST).copied();
            let merged = merge::merge_tree(writer, &mut list, HISTORY_LIST, old, None).await?;
            changes.insert(HISTORY_LIST, merged.root);
        }
        Ok(if new == *base { self.base.history.clone() } else { Arc::new(new) })
    }

    /// Writes a run, the small ones before it merged in; answers those.
    async fn write_run(
        &mut self,
        writer: &mut PageWriter<'_>,
        replaced: &Replaced,
        new: &mut History,
        changes: &mut BTreeMap<TreeId, Option<TreeRoot>>,
    ) -> Result<Vec<TreeId>> {
        let (store, cx) = (writer.store(), writer.cx());
        let small = new.take_small(replaced.byte_count());
        let mut older = Vec::with_capacity(small.len());
        for run in &small {
            let root = self.base.root(run.tree);
            let root = root.ok_or_else(|| Error::corrupt("a run of the history has no tree"))?;
            older.push(history::read_rows(store, cx, root).await?);
        }
        if !small.is_empty() {
            probe!(cx.world(), "history: small runs merged");
        }
        let bytes = replaced.byte_count() + small.iter().map(|run| run.bytes).sum::<u64>();
        let after = small.first().map_or(self.base.state.commit_timestamp, |run| run.after);
        let tree = new.add(&self.base.history, after, self.history.to, bytes);
        let mut rows = replaced.over(older, tree);
        let merged = merge::merge_tree(writer, &mut rows, tree, None, None).await?;
        changes.insert(tree, merged.root);
        Ok(small.iter().map(|run| run.tree).collect())
    }

    /// The changed roots go into the meta tree, by the same merge.
    async fn merge_meta(
        &mut self,
        writer: &mut PageWriter<'_>,
        changes: &BTreeMap<TreeId, Option<TreeRoot>>,
    ) -> Result<Option<MetaRoot>> {
        let old = self.base.meta.map(|meta| TreeRoot {
            ptr: meta.ptr,
            height: meta.height,
            entry_count: meta.entry_count,
            unit_count: meta.unit_count,
            overflow_unit_count: 0,
            timestamp_max: Timestamp::ZERO,
        });
        if changes.is_empty() {
            return Ok(self.base.meta);
        }
        let entries =
            changes.iter().map(|(tree, root)| (tree.0.to_be_bytes(), root.map(|root| root.encode())));
        let mut run = MetaRun { entries: entries.collect(), index: 0 };
        let merged = merge::merge_tree(writer, &mut run, META_TREE, old, None).await?;
        Ok(merged.root.map(|root| MetaRoot {
            ptr: root.ptr,
            height: root.height,
            entry_count: root.entry_count,
            unit_count: root.unit_count,
        }))
    }

    /// Writes the bitmap of what the new version reaches, its own pages included (F2).
    async fn write_free_space(
        &mut self,
        writer: &mut PageWriter<'_>,
    ) -> Result<(PagePtr, Vec<Extent>, super::free_space::Bitmap)> {
        let store = writer.store();
        // The open runs' unused units are given back first, so that they are not written as taken.
        writer.finish().await?;
        writer.free_extents(&self.base.free_space_extents);
        // Taking places may grow the file, and then the bitmap: places are taken until none is missing.
        let mut places: Vec<Extent> = vec![writer.take_extent(0).await?];
        let (mut sized_for, mut unit_count) = (0, lock(&store.state).free.file_unit_count());
        while sized_for != unit_count {
            sized_for = unit_count;
            let chunk_count = unit_count.div_ceil(CHUNK_UNIT_COUNT);
            let root_bytes = 8 + chunk_count as usize * PTR_BYTES;
            let sizes = std::iter::once(root_bytes)
                .chain((0..chunk_count).map(|chunk| chunk_bytes(unit_count, chunk)));
            for (index, payload_bytes) in sizes.enumerate() {
                let needed = (page::HEADER_BYTES + payload_bytes).div_ceil(store.unit_bytes) as u64;
                if places.get(index).is_some_and(|place| place.count >= needed) {
                    continue;
                }
                let place = writer.take_extent(payload_bytes).await?;
                match places.get_mut(index) {
                    Some(old) => {
                        let small = std::mem::replace(old, place);
                        writer.give_back(small);
                    }
                    None => places.push(place),
                }
            }
            unit_count = lock(&store.state).free.file_unit_count();
        }
        let live = {
            let (taken, freed) = writer.taken_and_freed();
            let mut live = lock(&store.state).free.live_after(taken, freed);
            live.grow(unit_count);
            live
        };
        let mut root = unit_count.to_le_bytes().to_vec();
        let mut chunk = 0;
        while chunk < unit_count.div_ceil(CHUNK_UNIT_COUNT) {
            let bytes = live.chunk_bytes(chunk);
            let ptr = writer
                .write_extent_at(places[chunk as usize + 1], header(PageKind::FreeSpace, &bytes), &bytes)
                .await?;
            root.extend_from_slice(&page::encode_ptr(&ptr));
            chunk += 1;
        }
        let ptr = writer.write_extent_at(places[0], header(PageKind::FreeSpaceRoot, &root), &root).await?;
        Ok((ptr, places, live))
    }
}

fn chunk_bytes(unit_count: u64, chunk: u64) -> usize {
    ((unit_count - chunk * CHUNK_UNIT_COUNT).min(CHUNK_UNIT_COUNT).div_ceil(64) * 8) as usize
}

fn header(kind: PageKind, payload: &[u8]) -> Header {
    Header {
        kind,
        tree: 0,
        entry_count: 0,
        prefix_bytes: 0,
        timestamp_max: 0,
        payload_bytes: payload.len() as u64,
    }
}

fn apply(
    roots: &[(TreeId, TreeRoot)],
    changes: &BTreeMap<TreeId, Option<TreeRoot>>,
) -> Vec<(TreeId, TreeRoot)> {
    let kept = roots.iter().copied().filter(|(tree, _)| !changes.contains_key(tree));
    let changed = changes.iter().filter_map(|(tree, root)| root.map(|root| (*tree, root)));
    let mut all: Vec<_> = kept.chain(changed).collect();
    sorting::sort_by_key(&mut all, |(tree, _)| *tree);
    all
}

/// The run of a meta tree's merge.
struct MetaRun {
    entries: Vec<([u8; 4], Option<[u8; ROOT_BYTES]>)>,
    index: usize,
}

impl RunCursor for MetaRun {
    fn entry(&self) -> Option<RunEntry<'_>> {
        self.entries.get(self.index).map(|(key, value)| RunEntry {
            tree: META_TREE,
            key,
            timestamp: Timestamp::ZERO,
            value: value.as_ref().map(|value| &value[..]),
        })
    }

    fn advance(&mut self) {
        self.index += 1;
    }
}

/// A failed sync poisons (I5). It is never tried again.
async fn sync(store: &PageStore, cx: &Cx) -> Result<()> {
    let result = cx.sync(FileId::Data).await;
    if result.is_err() {
        probe!(cx.world(), "pages: a sync of the data file failed");
        store.is_poisoned.store(true, Ordering::Release);
    }
    Ok(result?)
}

/// Writes both copies and syncs. Answers the bytes written.
async fn write_superblock(store: &PageStore, cx: &Cx, superblock: &Superblock) -> Result<u64> {
    let bytes = superblock.encode();
    let mut places = PLACES[superblock.generation];
    if buggify!(cx.world(), "pages: superblock copies in the other order") {
        places.reverse();
    }
    for at in places {
        cx.write(FileId::Data, at, AlignedBuf::from(&bytes[..])).await?;
    }
    sync(store, cx).await?;
    Ok(2 * bytes.len() as u64)
}

fn publish(store: &PageStore, cx: &Cx, durable: Durable, writer: PageWriter<'_>) {
    let freed = writer.settle();
    let mut state = lock(&store.state);
    let Durable { superblock, roots, free_space_extents, live, history } = durable;
    let version = Arc::new(TreeVersion {
        sequence: superblock.sequence,
        state: superblock.state.clone(),
        roots,
        meta: superblock.meta,
        free_space_extents,
        history,
    });
    state.free.publish(superblock.sequence, live, freed);
    state.versions.push(Arc::downgrade(&version));
    state.current = version;
    state.older = Some(std::mem::replace(&mut state.newest, superblock));
    release(store, &mut state, cx);
}

/// Hands out again what neither generation nor a live version reaches (K3).
fn release(store: &PageStore, state: &mut State, cx: &Cx) {
    let State { versions, current, free, newest, older, .. } = state;
    versions.retain(|version| version.strong_count() > 0);
    let oldest_held =
        versions.iter().filter_map(|version| version.upgrade()).map(|version| version.sequence).min();
    let oldest_held = oldest_held.unwrap_or(current.sequence);
    let older_sequence = match older {
        Some(_) if plant!(cx.world(), FreePageEarly) => newest.sequence,
        Some(older) => older.sequence,
        // The other generation's copies are damaged: nothing is reached through them.
        None => newest.sequence,
    };
    if oldest_held < older_sequence {
        probe!(cx.world(), "pages: a held version keeps pages from being freed");
    }
    for extent in free.release(oldest_held.min(older_sequence)) {
        (0..extent.count).for_each(|unit| store.pool.remove(extent.start + unit));
    }
}

/// See [`PageStore::seal`].
pub async fn seal(store: &PageStore, cx: &Cx, state: StoreState) -> Result<()> {
    let mut guard = WriteGuard::new(store)?;
    let superblock = {
        let mut locked = lock(&store.state);
        locked.last_version += 1;
        let newest = &locked.newest;
        Superblock {
            sequence: locked.last_version,
            parent_checksum: newest.checksum(),
            generation: 1 - newest.generation,
            state,
            ..newest.clone()
        }
    };
    guard.is_superblock_open = true;
    let written = write_superblock(store, cx, &superblock).await;
    guard.is_superblock_open = false;
    written?;
    let mut locked = lock(&store.state);
    locked.older = Some(std::mem::replace(&mut locked.newest, superblock));
    release(store, &mut locked, cx);
    Ok(())
}
