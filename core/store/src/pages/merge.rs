//! Merges one tree's part of a run into the tree (DESIGN §4 "Tree").
//!
//! The old tree is walked once, left to right. A subtree that no entry of the run falls into is adopted as it is, by its
//! pointer, as high up as possible. A leaf that is touched is rewritten once, and so is the path above it. Everything
//! flows through one [`Assembler`] a level, which decides by fill where pages end.
//!
//! - M1: items reach each level in key order; a subtree is adopted into a level only when nothing is pending below.
//! - M2: every old page that is not adopted is freed, and every row not carried over frees its long value.
//! - M3: the counts kept for the tree (rows, units) change by exactly what was done.
//!
//! Old pages are read into buffers of the merge's own (from the pool's copy where there is one), so a checkpoint neither
//! pins pages across awaits nor washes the pool out.

use super::assemble::{Assembler, Cut, Next};
use super::history::{self, KEY_PREFIX_BYTES, Replaced, VERSION_HEAD_BYTES};
use super::inner::InnerView;
use super::leaf::{LeafValue, LeafView};
use super::page::{self, PTR_BYTES, PageKind};
use super::writer::{PageWriter, Stream};
use super::{RunCursor, RunEntry};
use orrery_base::disk::FileId;
use orrery_base::limits::{INLINE_VALUE_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use orrery_base::{AlignedBuf, Error, PagePtr, Result, SqlState, Timestamp, TreeId, plant, probe};

/// Bytes of leaves read ahead in one request, at most.
const READ_AHEAD_UNITS_MAX: usize = 32;

/// A tree's root and counts, as the meta tree keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeRoot {
    /// Its root page.
    pub ptr: PagePtr,
    /// Its levels; 1: the root is a leaf.
    pub height: u32,
    /// Its rows.
    pub entry_count: u64,
    /// Units of its pages and long values.
    pub unit_count: u64,
    /// Units of its long values.
    pub overflow_unit_count: u64,
    /// Not below any row's timestamp.
    pub timestamp_max: Timestamp,
}

/// Bytes of an encoded root.
pub const ROOT_BYTES: usize = 64;

impl TreeRoot {
    /// The value in the meta tree, little-endian: pointer 24, levels u32, reserved u32, rows u64, units u64, overflow
    /// units u64, newest timestamp u64.
    pub fn encode(&self) -> [u8; ROOT_BYTES] {
        let mut bytes = [0; ROOT_BYTES];
        bytes[..PTR_BYTES].copy_from_slice(&page::encode_ptr(&self.ptr));
        bytes[24..28].copy_from_slice(&self.height.to_le_bytes());
        let numbers = [self.entry_count, self.unit_count, self.overflow_unit_count, self.timestamp_max.0];
        for (index, number) in numbers.into_iter().enumerate() {
            bytes[32 + index * 8..40 + index * 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Reads a value of the meta tree.
    pub fn decode(bytes: &[u8]) -> Option<TreeRoot> {
        let bytes: &[u8; ROOT_BYTES] = bytes.try_into().ok()?;
        Some(TreeRoot {
            ptr: page::decode_ptr(bytes),
            height: page::u32_at(bytes, 24),
            entry_count: page::u64_at(bytes, 32),
            unit_count: page::u64_at(bytes, 40),
            overflow_unit_count: page::u64_at(bytes, 48),
            timestamp_max: Timestamp(page::u64_at(bytes, 56)),
        })
    }
}

/// An inner page of the old tree, on the path that is walked.
struct Node {
    page: AlignedBuf,
    level: u32,
    next_index: usize,
    lower: Vec<u8>,
    /// `None`: the right edge of the tree.
    upper: Option<Vec<u8>>,
    /// Whether the child before was rewritten: then those that follow are probably too.
    was_touched: bool,
}

/// A child about to be handled.
struct Child {
    ptr: PagePtr,
    level: u32,
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
}

impl Node {
    fn take_child(&mut self) -> Option<Child> {
        let (view, index) = (InnerView::new(&self.page), self.next_index);
        if index == view.len() {
            return None;
        }
        self.next_index += 1;
        let lower = if index == 0 { self.lower.clone() } else { view.separator(index) };
        let upper = if index + 1 < view.len() { Some(view.separator(index + 1)) } else { self.upper.clone() };
        Some(Child { ptr: view.child(index), level: self.level - 1, lower, upper })
    }

    /// Upper bound of the child after the one taken last; `None` when that is not in this page.
    fn next_child_upper(&self) -> Option<Option<Vec<u8>>> {
        let view = InnerView::new(&self.page);
        let index = self.next_index;
        (index < view.len()).then(|| match index + 1 < view.len() {
            true => Some(view.separator(index + 1)),
            false => self.upper.clone(),
        })
    }
}

/// Leaves read in one request.
#[derive(Default)]
struct ReadAhead {
    first_unit: u64,
    bytes: AlignedBuf,
}

/// The merge of one tree.
pub struct TreeMerge<'a, 's> {
    writer: &'a mut PageWriter<'s>,
    run: &'a mut dyn RunCursor,
    tree: TreeId,
    levels: Vec<Assembler>,
    /// Where replaced versions go, if they are kept.
    replaced: Option<&'a mut Replaced>,
    read_ahead: ReadAhead,
    /// A page's buffer, used again.
    spare: AlignedBuf,
    entry_count: u64,
    unit_count: u64,
    overflow_unit_count: u64,
    timestamp_max: Timestamp,
    /// Entries of the run taken.
    taken_count: u64,
    leaf_count: u64,
}

/// What a merge of one tree gave.
pub struct Merged {
    /// The new root; `None`: the tree is empty.
    pub root: Option<TreeRoot>,
    /// Entries of the run taken.
    pub taken_count: u64,
    /// Leaves written.
    pub leaf_count: u64,
}

/// Merges the run's entries of `tree`, which come next in it, into `old`. What they replace goes into `replaced`.
pub async fn merge_tree(
    writer: &mut PageWriter<'_>,
    run: &mut dyn RunCursor,
    tree: TreeId,
    old: Option<TreeRoot>,
    replaced: Option<&mut Replaced>,
) -> Result<Merged> {
    let unit_bytes = writer.store().unit_bytes;
    let counts =
        old.map(|root| (root.entry_count, root.unit_count, root.overflow_unit_count, root.timestamp_max));
    let (entry_count, unit_count, overflow_unit_count, timestamp_max) = counts.unwrap_or_default();
    let merge = TreeMerge {
        writer,
        run,
        tree,
        levels: vec![Assembler::new(0, unit_bytes)],
        replaced,
        read_ahead: ReadAhead::default(),
        spare: AlignedBuf::default(),
        entry_count,
        unit_count,
        overflow_unit_count,
        timestamp_max,
        taken_count: 0,
        leaf_count: 0,
    };
    merge.merge(old).await
}

impl TreeMerge<'_, '_> {
    async fn merge(mut self, old: Option<TreeRoot>) -> Result<Merged> {
        let next = match old {
            None => {
                self.levels[0].begin_at(&[]);
                self.insert_below(None).await?;
                Next::Appended
            }
            Some(root) if root.height == 1 => {
                let child = Child { ptr: root.ptr, level: 0, lower: vec![], upper: None };
                self.merge_leaf(&child).await?
            }
            Some(root) => self.walk(root).await?,
        };
        let (root, height) = self.finish(next).await?.unzip();
        assert_eq!(root.is_none(), self.entry_count == 0, "a tree without rows has no pages (M3)");
        let root = root.zip(height).map(|(ptr, height)| TreeRoot {
            ptr,
            height,
            entry_count: self.entry_count,
            unit_count: self.unit_count,
            overflow_unit_count: self.overflow_unit_count,
            timestamp_max: self.timestamp_max,
        });
        Ok(Merged { root, taken_count: self.taken_count, leaf_count: self.leaf_count })
    }

    /// Walks the inner pages; answers how the right edge was left.
    async fn walk(&mut self, root: TreeRoot) -> Result<Next> {
        let mut edge = Next::Kept;
        let mut stack = vec![self.open_node(&root.ptr, root.height - 1, vec![], None).await?];
        while let Some(node) = stack.last_mut() {
            let Some(child) = node.take_child() else {
                let level = node.level;
                let at_edge = node.upper.is_none();
                stack.pop();
                if !at_edge {
                    self.emit_at_boundary(level, Next::Kept).await?;
                }
                continue;
            };
            let touched = self.entry_below(child.upper.as_deref()).is_some();
            if !touched && self.is_clean_up_to(child.level) {
                node.was_touched = false;
                self.adopt(&child)?;
            } else if child.level == 0 {
                if std::mem::replace(&mut node.was_touched, true) {
                    self.fill_read_ahead(&child.ptr, node).await?;
                }
                let next_upper = node.next_child_upper();
                let next = self.merge_leaf(&child).await?;
                if child.upper.is_none() {
                    edge = next;
                } else {
                    let rewritten =
                        next_upper.is_some_and(|upper| self.entry_below(upper.as_deref()).is_some());
                    self.emit_at_boundary(0, if rewritten { Next::Rewritten } else { Next::Kept }).await?;
                }
            } else {
                node.was_touched = true;
                let node = self.open_node(&child.ptr, child.level, child.lower, child.upper).await?;
                stack.push(node);
            }
            self.writer.cx().charge(256).await?;
        }
        Ok(edge)
    }

    async fn open_node(
        &mut self,
        ptr: &PagePtr,
        level: u32,
        lower: Vec<u8>,
        upper: Option<Vec<u8>>,
    ) -> Result<Node> {
        let mut page = AlignedBuf::default();
        self.read_into(ptr, &mut page).await?;
        if page::kind_byte(&page) != PageKind::Inner as u8 {
            return Err(page::wrong_kind(ptr, &page));
        }
        self.drop_page(ptr);
        Ok(Node { page, level, next_index: 0, lower, upper, was_touched: false })
    }

    /// An old page is not adopted (M2).
    fn drop_page(&mut self, ptr: &PagePtr) {
        self.writer.free(ptr);
        self.unit_count -= u64::from(ptr.unit_count);
    }

    /// The run's entry, if it belongs to this tree and lies below `upper`.
    fn entry_below(&self, upper: Option<&[u8]>) -> Option<RunEntry<'_>> {
        self.run
            .entry()
            .filter(|entry| entry.tree == self.tree && upper.is_none_or(|upper| entry.key < upper))
    }

    fn is_clean_up_to(&self, level: u32) -> bool {
        self.levels.iter().take(level as usize + 1).all(Assembler::is_empty)
    }

    fn level(&mut self, level: usize) -> &mut Assembler {
        let unit_bytes = self.writer.store().unit_bytes;
        while self.levels.len() <= level {
            self.levels.push(Assembler::new(self.levels.len() as u32, unit_bytes));
        }
        &mut self.levels[level]
    }

    fn adopt(&mut self, child: &Child) -> Result<()> {
        let ptr = page::encode_ptr(&child.ptr);
        self.level(child.level as usize + 1).push([&child.lower, &[]], &ptr, false, Timestamp::ZERO)
    }

    /// Rewrites one leaf with what the run has for its range. Answers what its rows end with.
    async fn merge_leaf(&mut self, child: &Child) -> Result<Next> {
        let mut page = std::mem::take(&mut self.spare);
        self.read_into(&child.ptr, &mut page).await?;
        let next = self.merge_leaf_page(child, &page).await?;
        self.spare = page;
        Ok(next)
    }

    async fn merge_leaf_page(&mut self, child: &Child, page: &[u8]) -> Result<Next> {
        if page::kind_byte(page) != PageKind::RowLeaf as u8 {
            return Err(page::wrong_kind(&child.ptr, page));
        }
        self.drop_page(&child.ptr);
        self.writer.cx().charge(page.len()).await?;
        let leaf = LeafView::new(page);
        self.levels[0].begin_at(&child.lower);
        let mut row = 0;
        let mut inserted_between = false;
        while let Some(entry) = self.entry_below(child.upper.as_deref()) {
            let found = leaf.search(entry.key);
            let (at, is_same) = found.map_or_else(|at| (at, false), |at| (at, true));
            if at == leaf.len() {
                break;
            }
            inserted_between |= !is_same;
            self.keep_rows(&leaf, row..at)?;
            row = at;
            self.keep_replaced(is_same.then_some((&leaf, at))).await?;
            if is_same {
                if plant!(self.writer.cx().world(), MissTombstoneInMerge) && self.run_is_at_tombstone() {
                    self.advance().await?;
                    self.taken_count += 1;
                    continue;
                }
                self.drop_row(&leaf, row);
                row += 1;
            }
            self.take_entry().await?;
        }
        self.keep_rows(&leaf, row..leaf.len())?;
        let appended = self.entry_below(child.upper.as_deref()).is_some();
        if appended {
            self.insert_below(child.upper.as_deref()).await?;
        }
        Ok(if appended && !inserted_between { Next::Appended } else { Next::Kept })
    }

    fn run_is_at_tombstone(&self) -> bool {
        self.run.entry().is_some_and(|entry| entry.value.is_none())
    }

    fn keep_rows(&mut self, leaf: &LeafView<'_>, rows: std::ops::Range<usize>) -> Result<()> {
        let prefix = leaf.prefix();
        for row in rows {
            let (value, overflow) = leaf.raw_value(row);
            self.levels[0].push([prefix, leaf.suffix(row)], value, overflow, leaf.timestamp(row))?;
        }
        Ok(())
    }

    /// A row is replaced or deleted.
    fn drop_row(&mut self, leaf: &LeafView<'_>, row: usize) {
        self.entry_count -= 1;
        if let (reference, true) = leaf.raw_value(row) {
            let ptr = page::decode_ptr(reference);
            self.drop_page(&ptr);
            self.overflow_unit_count -= u64::from(ptr.unit_count);
        }
    }

    /// Keeps what the run's entry replaces: versions of the run itself, and the row of the tree.
    #[inline]
    async fn keep_replaced(&mut self, row: Option<(&LeafView<'_>, usize)>) -> Result<()> {
        if self.replaced.is_some() && (row.is_some() || self.run.has_older()) {
            return self.keep_versions(row).await;
        }
        Ok(())
    }

    async fn keep_versions(&mut self, row: Option<(&LeafView<'_>, usize)>) -> Result<()> {
        let entry = self.run.entry().expect("the caller saw it");
        let mut long = None;
        // After a crash a part of the run may be in the tree already, and what it replaced in the history.
        let row = row.filter(|(leaf, row)| leaf.timestamp(*row) < entry.timestamp);
        if let Some((leaf, row)) = row
            && let LeafValue::Overflow(ptr, len) = leaf.value(row)
        {
            long = Some(history::read_long(self.writer.store(), self.writer.cx(), &ptr, len).await?);
        }
        let (entry, Some(replaced)) = (self.run.entry().expect("the caller saw it"), &mut self.replaced)
        else {
            return Ok(());
        };
        if replaced.is_over() {
            return Ok(());
        }
        replaced.begin(self.tree, entry.key);
        let world = self.writer.cx().world();
        if entry.value.is_none() && !plant!(world, HistoryForgetsDeletes) {
            replaced.push(entry.timestamp, None);
        }
        if !plant!(world, HistoryForgetsChains) {
            self.run.older(&mut |timestamp, value| replaced.push(timestamp, value));
        }
        if let Some((leaf, row)) = row {
            let value = match (&long, leaf.value(row)) {
                (Some(long), _) => long,
                (None, LeafValue::Inline(value)) => value,
                (None, LeafValue::Overflow(..)) => unreachable!("it was read above"),
            };
            replaced.push(leaf.timestamp(row), Some(value));
        }
        replaced.end();
        Ok(())
    }

    /// Takes all entries below `upper`: no old row lies among them. Here a bulk load spends its time.
    async fn insert_below(&mut self, upper: Option<&[u8]>) -> Result<()> {
        while self.entry_below(upper).is_some() {
            self.keep_replaced(None).await?;
            self.take_entry().await?;
        }
        Ok(())
    }

    /// Puts the run's entry into the leaf level, and advances.
    #[inline]
    async fn take_entry(&mut self) -> Result<()> {
        let entry = self.run.entry().expect("the caller saw it");
        if entry.key.len() > KEY_BYTES_MAX + KEY_PREFIX_BYTES {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a key is too long"));
        }
        self.taken_count += 1;
        if let Some(value) = entry.value {
            self.entry_count += 1;
            self.timestamp_max = self.timestamp_max.max(entry.timestamp);
            if value.len() > INLINE_VALUE_BYTES_MAX {
                self.take_long_value().await?;
            } else {
                self.levels[0].push([entry.key, &[]], value, false, entry.timestamp)?;
            }
        }
        self.advance().await?;
        if self.levels[0].is_swollen() {
            self.emit_swollen(0).await?;
        }
        Ok(())
    }

    #[inline]
    async fn advance(&mut self) -> Result<()> {
        self.run.advance();
        if self.run.is_hungry() {
            return self.run.feed(self.writer.store(), self.writer.cx()).await;
        }
        Ok(())
    }

    #[cold]
    async fn take_long_value(&mut self) -> Result<()> {
        let entry = self.run.entry().expect("the caller saw it");
        let value = entry.value.expect("the caller saw it");
        if value.len() > VALUE_BYTES_MAX + VERSION_HEAD_BYTES {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a value is too long"));
        }
        let (key, timestamp, len) = (entry.key.to_vec(), entry.timestamp, value.len());
        // The run's cursor is not shared between threads, so its bytes cannot be held while the write is awaited.
        let value = value.to_vec();
        let ptr = self.writer.write_overflow(self.tree, &value).await?;
        self.unit_count += u64::from(ptr.unit_count);
        self.overflow_unit_count += u64::from(ptr.unit_count);
        let reference = [&page::encode_ptr(&ptr)[..], &(len as u64).to_le_bytes()].concat();
        self.levels[0].push([&key, &[]], &reference, true, timestamp)
    }

    /// Emits whole pages of the levels that have many pending, so that memory stays bounded.
    async fn emit_swollen(&mut self, from: usize) -> Result<()> {
        let mut level = from;
        while level < self.levels.len() && self.levels[level].is_swollen() {
            while let Some(cut) = self.levels[level].cut_swollen() {
                self.emit(level, cut).await?;
            }
            level += 1;
        }
        Ok(())
    }

    async fn emit_at_boundary(&mut self, level: u32, next: Next) -> Result<()> {
        while let Some(cut) = self.level(level as usize).cut_at_boundary(next) {
            self.emit(level as usize, cut).await?;
        }
        if self.levels.get(level as usize + 1).is_some_and(Assembler::is_swollen) {
            self.emit_swollen(level as usize + 1).await?;
        }
        Ok(())
    }

    /// Makes one page of `level` and hands it to the level above.
    async fn emit(&mut self, level: usize, cut: Cut) -> Result<()> {
        let stream = if level == 0 { Stream::Leaves } else { Stream::Inner };
        self.writer.make_room(stream).await?;
        let (assembler, tree) = (&self.levels[level], self.tree.0);
        let (ptr, lower) = self.writer.put(stream, |page| assembler.encode(cut, tree, page));
        self.levels[level].consume(cut);
        self.unit_count += 1;
        self.leaf_count += u64::from(level == 0);
        self.level(level + 1).push([&lower, &[]], &page::encode_ptr(&ptr), false, Timestamp::ZERO)?;
        self.writer.cx().charge(self.writer.store().unit_bytes).await
    }

    /// Ends every level; answers the root and its levels.
    async fn finish(&mut self, next: Next) -> Result<Option<(PagePtr, u32)>> {
        let mut level = 0;
        loop {
            let is_unused = |level: &Assembler| level.is_empty() && level.emitted() == 0;
            if self.levels[level..].iter().all(is_unused) {
                return Ok(None);
            }
            if self.levels[level].emitted() == 0
                && self.levels[level + 1..].iter().all(is_unused)
                && let Some(root) = self.levels[level].only_child()
            {
                return Ok(Some((root, level as u32)));
            }
            while let Some(cut) = self.levels[level].cut_at_end(if level == 0 { next } else { Next::Kept }) {
                self.emit(level, cut).await?;
            }
            level += 1;
        }
    }

    /// An old page: read ahead, copied from the pool, or read.
    async fn read_into(&mut self, ptr: &PagePtr, page: &mut AlignedBuf) -> Result<()> {
        let unit = self.writer.store().unit_bytes;
        let ahead = &self.read_ahead;
        let at = ptr.page_no.0.wrapping_sub(ahead.first_unit) as usize;
        if ptr.page_no.0 >= ahead.first_unit && (at + 1) * unit <= ahead.bytes.len() && ptr.unit_count == 1 {
            page.resize(unit);
            page.copy_from_slice(&ahead.bytes[at * unit..(at + 1) * unit]);
            return self.writer.store().verify(self.writer.cx(), page, ptr);
        }
        if !self.writer.store().pool.copy_into(ptr, page) {
            *page = self.writer.store().read_from_disk(self.writer.cx(), ptr).await?;
        }
        Ok(())
    }

    /// When leaves are rewritten one after the other: reads `ptr` and those that follow it on the disk in one request.
    async fn fill_read_ahead(&mut self, ptr: &PagePtr, node: &Node) -> Result<()> {
        let store = self.writer.store();
        let unit = store.unit_bytes as u64;
        let have = self.read_ahead.first_unit
            ..self.read_ahead.first_unit + self.read_ahead.bytes.len() as u64 / unit;
        if have.contains(&ptr.page_no.0) || store.pool.contains(ptr) {
            return Ok(());
        }
        let view = InnerView::new(&node.page);
        let following = (node.next_index..view.len()).map(|index| view.child(index).page_no.0);
        let run = following.zip(ptr.page_no.0 + 1..).take_while(|(found, next)| found == next).count();
        let count = (1 + run.min(READ_AHEAD_UNITS_MAX - 1)) as u64;
        if count == 1 {
            return Ok(());
        }
        probe!(self.writer.cx().world(), "merge: leaves read ahead");
        let cx = self.writer.cx();
        let bytes = cx.read(FileId::Data, ptr.page_no.0 * unit, (count * unit) as usize).await?;
        self.read_ahead = ReadAhead { first_unit: ptr.page_no.0, bytes };
        Ok(())
    }
}

/// Frees all pages of a dropped tree. Leaves are read only when long values hang from them.
pub async fn free_tree(writer: &mut PageWriter<'_>, root: TreeRoot) -> Result<()> {
    let store = writer.store();
    let mut stack = vec![(root.ptr, root.height - 1)];
    let mut unit_count = 0;
    while let Some((ptr, level)) = stack.pop() {
        writer.free(&ptr);
        unit_count += u64::from(ptr.unit_count);
        if level == 0 && root.overflow_unit_count == 0 {
            continue;
        }
        let page = store.read_page(writer.cx(), &ptr).await?;
        writer.cx().charge(page.len()).await?;
        let expected = if level == 0 { PageKind::RowLeaf } else { PageKind::Inner };
        if page::kind_byte(&page) != expected as u8 {
            return Err(page::wrong_kind(&ptr, &page));
        }
        if level > 0 {
            let view = InnerView::new(&page);
            stack.extend((0..view.len()).map(|index| (view.child(index), level - 1)));
            continue;
        }
        let leaf = LeafView::new(&page);
        for (reference, _) in (0..leaf.len()).map(|row| leaf.raw_value(row)).filter(|(_, overflow)| *overflow)
        {
            let ptr = page::decode_ptr(reference);
            unit_count += u64::from(ptr.unit_count);
            writer.free(&ptr);
        }
    }
    match unit_count == root.unit_count {
        true => Ok(()),
        false => Err(Error::corrupt(format!(
            "a dropped tree has {unit_count} units, its root says {}",
            root.unit_count
        ))),
    }
}
