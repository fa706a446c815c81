//! The structural check (I8): walks everything that both superblock generations reach and says what is wrong where.
//!
//! Of each page: checksum, place, kind, tree; of each leaf and inner page: key order, bounds, heads, timestamps; of each
//! tree: levels, rows, units; of the file: no page twice, free space = what nothing reaches, nothing reached is handed
//! out, superblock copies whole. It reads from the disk, past the pool, and changes nothing. What the values mean is not
//! its business.

use super::checkpoint::META_TREE;
use super::free_space::{Bitmap, Extent, superblock_extents, units_of};
use super::heads::{HEAD_BYTES, head_of};
use super::inner::InnerView;
use super::leaf::{LeafValue, LeafView};
use super::merge::TreeRoot;
use super::open::Loader;
use super::page::{self, PageKind};
use super::superblock::{self, COPY_BYTES, PLACES, Superblock};
use super::{CheckFinding, CheckSummary, PageStore, TreeVersion};
use orrery_base::disk::FileId;
use orrery_base::task::lock;
use orrery_base::{AlignedBuf, Cx, PagePtr, Result, SqlState, Timestamp, TreeId};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Differences between the bitmap and what was reached that are named one by one.
const NAMED_UNITS_MAX: usize = 20;
/// A creation that was cut leaves empty copies until the second checkpoint after it: creation writes superblocks 1 and 2.
const CREATION_SEQUENCE_MAX: u64 = 3;

/// See [`PageStore::check`].
pub async fn check(
    store: &PageStore,
    cx: &Cx,
    report: &mut (dyn FnMut(CheckFinding) + Send),
) -> Result<CheckSummary> {
    let (newest, older, busy, _pins) = pin_both(store);
    let mut check = Check { store, cx, report, summary: CheckSummary::default(), reached: Bitmap::new(0) };
    check.superblock_copies(&newest, older.as_ref()).await?;
    let trees = check.generation(&newest, "newest generation", &busy).await?;
    check.summary.tree_count = trees.len() as u64;
    check.summary.entry_count = trees.iter().map(|(_, root)| root.entry_count).sum();
    check.summary.free_unit_count = check.reached.unit_count() - check.reached.set_count();
    if let Some(older) = older {
        check.generation(&older, "older generation", &busy).await?;
    }
    Ok(check.summary)
}

/// Both superblocks, what may not be handed out, and pins on the pages of both.
fn pin_both(store: &PageStore) -> (Superblock, Option<Superblock>, Bitmap, Vec<Arc<TreeVersion>>) {
    let mut state = lock(&store.state);
    let mut pins = vec![state.current.clone()];
    // The older generation has no tree version of its own (any more): an empty one pins its pages just as well.
    if let Some(older) = &state.older {
        let pin = Arc::new(TreeVersion {
            sequence: older.sequence,
            state: older.state.clone(),
            roots: vec![],
            history: Arc::default(),
            meta: None,
            free_space_extents: vec![],
        });
        state.versions.push(Arc::downgrade(&pin));
        pins.push(pin);
    }
    (state.newest.clone(), state.older.clone(), state.free.busy().clone(), pins)
}

struct Check<'c, 'r> {
    store: &'c PageStore,
    cx: &'c Cx,
    report: &'r mut (dyn FnMut(CheckFinding) + Send),
    summary: CheckSummary,
    /// Units reached from the generation under check.
    reached: Bitmap,
}

/// What a tree's pages add up to.
#[derive(Default)]
struct Counts {
    entry_count: u64,
    unit_count: u64,
    overflow_unit_count: u64,
    timestamp_max: Timestamp,
}

/// A page to be checked, and what is known of it.
struct Todo {
    ptr: PagePtr,
    level: u32,
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
}

impl<'c> Check<'c, '_> {
    fn found(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.summary.finding_count += 1;
        (self.report)(CheckFinding { place: place.into(), message: message.into() });
    }

    fn loader(&self) -> Loader<'c> {
        let file_unit_count = self.store.file_unit_count();
        Loader { cx: self.cx, unit_bytes: self.store.unit_bytes, file_unit_count }
    }

    /// Reads the four copies again.
    async fn superblock_copies(&mut self, newest: &Superblock, older: Option<&Superblock>) -> Result<()> {
        for (generation, places) in PLACES.iter().enumerate() {
            let expected = if newest.generation == generation { Some(newest) } else { older };
            let mut is_whole = false;
            let mut twins = Vec::new();
            for (copy, at) in places.iter().enumerate() {
                let bytes = self.cx.read(FileId::Data, *at, COPY_BYTES).await?;
                let message = match Superblock::decode(&bytes, generation) {
                    Ok(found) if expected.is_none_or(|expected| *expected == found) => {
                        is_whole = true;
                        continue;
                    }
                    // The write of the two copies was cut between them: the twin holds what was there before.
                    Ok(found) if expected.is_some_and(|expected| found.sequence < expected.sequence) => {
                        twins.push((copy, format!("it is of checkpoint {}, an older one", found.sequence)));
                        continue;
                    }
                    Err(superblock::CopyFault::Empty) if newest.sequence <= CREATION_SEQUENCE_MAX => {
                        twins.push((copy, "it was never written".to_string()));
                        continue;
                    }
                    Ok(found) => format!("it is of checkpoint {}, another one is current", found.sequence),
                    Err(superblock::CopyFault::Damaged(what)) => what,
                    Err(fault) => format!("{fault:?}"),
                };
                // A checkpoint running beside the check may be writing it.
                let is_settled = lock(&self.store.state).newest.sequence == newest.sequence;
                if is_settled && !self.store.is_writing.load(Ordering::Acquire) {
                    self.found(format!("superblock generation {generation}, copy {copy}"), message);
                }
            }
            if expected.is_some() && !is_whole {
                for (copy, message) in twins {
                    self.found(format!("superblock generation {generation}, copy {copy}"), message);
                }
            }
        }
        Ok(())
    }

    async fn generation(
        &mut self,
        superblock: &Superblock,
        name: &str,
        busy: &Bitmap,
    ) -> Result<Vec<(TreeId, TreeRoot)>> {
        self.reached = Bitmap::new(superblock.file_unit_count.min(self.store.file_unit_count()));
        for extent in superblock_extents(self.store.unit_bytes) {
            self.reached.set(extent);
        }
        let loader = self.loader();
        if let Some(meta) = superblock.meta {
            let root = TreeRoot {
                ptr: meta.ptr,
                height: meta.height,
                entry_count: meta.entry_count,
                unit_count: meta.unit_count,
                overflow_unit_count: 0,
                timestamp_max: Timestamp::ZERO,
            };
            self.tree(META_TREE, &root).await?;
        }
        let roots = match loader.roots(superblock).await {
            Ok(roots) => roots,
            Err(error) => {
                self.damage(error, name)?;
                return Ok(vec![]);
            }
        };
        for (tree, root) in &roots {
            self.tree(*tree, root).await?;
        }
        match loader.free_space(superblock).await {
            Ok((bitmap, extents)) => {
                for extent in extents {
                    self.reach(extent, "free space");
                }
                self.compare(&bitmap, busy, name);
            }
            Err(error) => self.damage(error, name)?,
        }
        Ok(roots)
    }

    /// Damage is a finding; other errors end the check.
    fn damage(&mut self, error: orrery_base::Error, place: &str) -> Result<()> {
        if error.code() != SqlState::DATA_CORRUPTED {
            return Err(error);
        }
        self.found(place, error.message().to_string());
        Ok(())
    }

    /// Counts an extent as reached. `false`: it lies outside of the generation's file or was reached before, which is
    /// reported; it is not walked then, so that numbers in a damaged page never make the walk longer than the file.
    fn reach(&mut self, extent: Extent, place: &str) -> bool {
        let end = extent.start.checked_add(extent.count);
        let unit_count = self.reached.unit_count();
        let problem = if end.is_none_or(|end| end > unit_count) || extent.count == 0 {
            let what = format!("page {} with {} units", extent.start, extent.count);
            format!("{what} lies outside of the file's {unit_count}")
        } else if self.reached.set(extent) > 0 {
            format!("page {} is reached twice", extent.start)
        } else {
            return true;
        };
        self.found(place, problem);
        false
    }

    /// Free space must be what nothing reaches.
    fn compare(&mut self, bitmap: &Bitmap, busy: &Bitmap, name: &str) {
        let end = bitmap.unit_count().max(self.reached.unit_count()).div_ceil(64) as usize;
        let mut wrong_count = 0;
        for index in 0..end {
            let (reached, taken) = (self.reached.word(index), bitmap.word(index));
            let wrong = (reached ^ taken) | (reached & !busy.word(index));
            let unnamed = NAMED_UNITS_MAX.saturating_sub(wrong_count);
            wrong_count += wrong.count_ones() as usize;
            for unit in units_of(index, wrong).take(unnamed) {
                let problem = match (self.reached.is_set(unit), bitmap.is_set(unit)) {
                    (true, false) => "is reached, but free space has it",
                    (false, _) => "is reached by nothing, and not free",
                    (true, true) => "is reached, but may be handed out",
                };
                self.found(format!("free space of the {name}"), format!("page unit {unit} {problem}"));
            }
        }
        if wrong_count > NAMED_UNITS_MAX {
            let message = format!("{wrong_count} page units in all are wrong");
            self.found(format!("free space of the {name}"), message);
        }
    }

    async fn tree(&mut self, tree: TreeId, root: &TreeRoot) -> Result<()> {
        let mut counts = Counts::default();
        let height = root.height.max(1);
        let mut stack = vec![Todo { ptr: root.ptr, level: height - 1, lower: vec![], upper: None }];
        while let Some(todo) = stack.pop() {
            let ptr = todo.ptr;
            let place = format!("{tree}, page {}", ptr.page_no.0);
            counts.unit_count += u64::from(ptr.unit_count);
            if !self.reach(extent_of(&ptr), &place) {
                continue;
            }
            let Some(page) = self.page(&ptr, tree, &place).await? else { continue };
            let kind = if todo.level == 0 { PageKind::RowLeaf } else { PageKind::Inner };
            if page::kind_byte(&page) != kind as u8 {
                self.found(&place, format!("page kind {} at level {}", page::kind_byte(&page), todo.level));
            } else if todo.level == 0 {
                self.leaf(&page, &todo, &place, &mut counts);
                self.long_values(&page, tree, &place, &mut counts).await?;
            } else {
                self.inner(&page, &todo, &place, &mut stack);
            }
            self.cx.charge(page.len()).await?;
        }
        let pairs = [
            ("rows", counts.entry_count, root.entry_count),
            ("page units", counts.unit_count, root.unit_count),
            ("units of long values", counts.overflow_unit_count, root.overflow_unit_count),
        ];
        for (what, found, expected) in pairs {
            if found != expected {
                self.found(tree.to_string(), format!("{found} {what} found, its root says {expected}"));
            }
        }
        if counts.timestamp_max > root.timestamp_max {
            self.found(tree.to_string(), "a row is newer than its root says");
        }
        Ok(())
    }

    /// A verified page of `tree`; `None` when it is damaged, which is reported.
    async fn page(&mut self, ptr: &PagePtr, tree: TreeId, place: &str) -> Result<Option<AlignedBuf>> {
        self.summary.page_count += 1;
        match self.loader().page(ptr).await {
            Ok(page) => {
                if page::tree_id(&page) != tree.0 {
                    self.found(place, format!("it belongs to tree {}", page::tree_id(&page)));
                }
                Ok(Some(page))
            }
            Err(error) => self.damage(error, place).map(|()| None),
        }
    }

    fn leaf(&mut self, page: &[u8], todo: &Todo, place: &str, counts: &mut Counts) {
        let leaf = LeafView::new(page);
        let mut before: Option<Vec<u8>> = None;
        for row in 0..leaf.len() {
            let suffix = leaf.suffix(row);
            let key = [leaf.prefix(), suffix].concat();
            if suffix.len() > HEAD_BYTES && leaf.head(row) != head_of(suffix) {
                self.found(place, format!("row {row}: its head is not its key's"));
            }
            if before.as_ref().is_some_and(|before| *before >= key) {
                self.found(place, format!("row {row} is not above the one before"));
            }
            if key < todo.lower || todo.upper.as_ref().is_some_and(|upper| key >= *upper) {
                self.found(place, format!("row {row} lies outside of the page's bounds"));
            }
            if leaf.timestamp(row) > leaf.timestamp_max() {
                self.found(place, format!("row {row} is newer than the page says"));
            }
            before = Some(key);
        }
        if page::edge_heads(page) != (leaf.head(0), leaf.head(leaf.len() - 1)) {
            self.found(place, "the heads in its header are not those of its rows");
        }
        counts.entry_count += leaf.len() as u64;
        counts.timestamp_max = counts.timestamp_max.max(leaf.timestamp_max());
    }

    async fn long_values(
        &mut self,
        page: &[u8],
        tree: TreeId,
        place: &str,
        counts: &mut Counts,
    ) -> Result<()> {
        let leaf = LeafView::new(page);
        for row in 0..leaf.len() {
            let LeafValue::Overflow(ptr, len) = leaf.value(row) else { continue };
            let units = u64::from(ptr.unit_count);
            counts.unit_count += units;
            counts.overflow_unit_count += units;
            if !self.reach(extent_of(&ptr), place) {
                continue;
            }
            let Some(value) = self.page(&ptr, tree, place).await? else { continue };
            if page::kind_byte(&value) != PageKind::Overflow as u8 || page::payload(&value).len() != len {
                self.found(place, format!("row {row}: its long value is not the one it names"));
            }
            self.cx.charge(value.len()).await?;
        }
        Ok(())
    }

    fn inner(&mut self, page: &[u8], todo: &Todo, place: &str, stack: &mut Vec<Todo>) {
        let inner = InnerView::new(page);
        let (first, last) = (1.min(inner.len() - 1), inner.len() - 1);
        if page::edge_heads(page) != (inner.head(first), inner.head(last)) {
            self.found(place, "the heads in its header are not those of its separators");
        }
        let mut lower = todo.lower.clone();
        for child in 0..inner.len() {
            let upper =
                if child + 1 < inner.len() { Some(inner.separator(child + 1)) } else { todo.upper.clone() };
            if child > 0 {
                let suffix = inner.suffix(child);
                if suffix.len() > HEAD_BYTES && inner.head(child) != head_of(suffix) {
                    self.found(place, format!("separator {child}: its head is not its key's"));
                }
            }
            if upper.as_ref().is_some_and(|upper| *upper <= lower) {
                self.found(place, format!("separator {} is not above the one before", child + 1));
            }
            if upper > todo.upper && todo.upper.is_some() {
                self.found(place, format!("separator {} lies outside of the page's bounds", child + 1));
            }
            stack.push(Todo { ptr: inner.child(child), level: todo.level - 1, lower, upper: upper.clone() });
            lower = upper.unwrap_or_default();
        }
    }
}

fn extent_of(ptr: &PagePtr) -> Extent {
    Extent { start: ptr.page_no.0, count: u64::from(ptr.unit_count) }
}
