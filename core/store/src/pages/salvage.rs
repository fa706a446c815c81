//! Reading what can be read of a damaged data file: both superblock generations, tree by tree, past everything that does not verify.
//!
//! - V1: a page counts only if its checksum, its place and its version are what the pointer to it says. Without a whole superblock copy
//!   there is no pointer to begin with, and nothing is read.
//! - V2: where a page of the newer generation does not verify, the older generation is read for just that range of keys. What it has
//!   there is older; the log from the older generation's position on makes it the newest again ([`crate::salvage`]).
//! - V3: what is read from neither is told: where, of which tree, which keys.
//!
//! It writes nothing, needs no free space and no history, and reads each page at most twice.

use super::StoreState;
use super::checkpoint::META_TREE;
use super::history::is_history;
use super::inner::InnerView;
use super::leaf::{LeafValue, LeafView};
use super::merge::TreeRoot;
use super::open::Loader;
use super::page::{self, PageKind};
use super::superblock::{self, COPY_BYTES, PLACES, Superblock};
use orrery_base::disk::{DiskOp, DiskReply, FileId};
use orrery_base::{AlignedBuf, Cx, Error, PagePtr, Result, SqlState, TreeId};
use std::collections::BTreeMap;

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The tree, if it lies in one.
    pub tree: Option<TreeId>,
    /// What is wrong where.
    pub message: String,
    /// Whether the older generation was read in its place.
    pub is_replaced: bool,
    /// The keys that it is about: from here on.
    pub lower: Vec<u8>,
    /// Up to here; `None`: to the end.
    pub upper: Option<Vec<u8>>,
}

/// What of one tree was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeSalvage {
    /// Rows read.
    pub row_count: u64,
    /// Rows that its root tells of, where that was read.
    pub expected: Option<u64>,
    /// Places that neither generation gave.
    pub lost_count: u64,
}

impl Loss {
    /// Whether rows of this tree and key are lost by it.
    pub fn lacks(&self, tree: TreeId, key: &[u8]) -> bool {
        let is_below = self.upper.as_ref().is_none_or(|upper| key < upper.as_slice());
        !self.is_replaced && self.tree == Some(tree) && key >= self.lower.as_slice() && is_below
    }
}

/// One superblock and its trees.
struct Generation {
    state: StoreState,
    roots: BTreeMap<TreeId, TreeRoot>,
    free_space: Option<Error>,
}

/// A page to be read, for the keys from `lower` to `upper`.
struct Todo {
    generation: usize,
    ptr: PagePtr,
    level: u32,
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
}

/// Reading under way: see the file's head.
pub struct FileSalvage {
    unit_bytes: usize,
    file_unit_count: u64,
    /// The database's id.
    pub database_id: [u8; 16],
    /// Newest first.
    generations: Vec<Generation>,
    /// What could not be read.
    pub losses: Vec<Loss>,
    /// What was read, by tree.
    pub trees: BTreeMap<TreeId, TreeSalvage>,
    /// Trees still to be read, the next one last.
    waiting: Vec<TreeId>,
    current: Option<TreeId>,
    stack: Vec<Todo>,
}

/// Takes a row of a tree.
pub type TakeRow<'a> = dyn FnMut(TreeId, &[u8], &[u8]) + Send + 'a;

impl FileSalvage {
    /// Reads the superblock copies and the lists of trees. Errors: 58P01 where there is no file, 58000 where it is not ours, XX001 when
    /// no superblock copy is whole, the disk's.
    pub async fn open(cx: &Cx) -> Result<FileSalvage> {
        let DiskReply::Len(len) = cx.disk(DiskOp::Len { file: FileId::Data }).await? else {
            return Err(Error::internal("the driver answered another question"));
        };
        let mut copies: [[Vec<u8>; 2]; 2] = Default::default();
        for (generation, places) in PLACES.iter().enumerate() {
            for (copy, at) in places.iter().enumerate() {
                // A place that cannot be read is like one that is damaged.
                let bytes = cx.read(FileId::Data, *at, COPY_BYTES).await;
                copies[generation][copy] = bytes.map(|bytes| bytes.to_vec()).unwrap_or_default();
                copies[generation][copy].resize(COPY_BYTES, 0);
            }
        }
        let chosen = superblock::choose(&copies)?;
        let (newest, older) = (chosen.newest, chosen.older);
        let mut salvage = FileSalvage {
            unit_bytes: newest.unit_bytes,
            file_unit_count: len / newest.unit_bytes as u64,
            database_id: newest.database_id,
            generations: Vec::new(),
            losses: Vec::new(),
            trees: BTreeMap::new(),
            waiting: Vec::new(),
            current: None,
            stack: Vec::new(),
        };
        for message in chosen.damaged {
            salvage.lose(None, message, true, Vec::new(), None);
        }
        let mut lost = Vec::new();
        for superblock in [Some(newest), older].into_iter().flatten() {
            let (generation, unread) = salvage.generation(cx, &superblock).await?;
            salvage.generations.push(generation);
            lost.push(unread);
        }
        salvage.choose_trees(&lost);
        Ok(salvage)
    }

    fn loader<'c>(&self, cx: &'c Cx) -> Loader<'c> {
        Loader { cx, unit_bytes: self.unit_bytes, file_unit_count: self.file_unit_count }
    }

    /// The states of the generations that there are, newest first.
    pub fn states(&self) -> Vec<StoreState> {
        self.generations.iter().map(|it| it.state.clone()).collect()
    }

    /// Why the newest generation's free space could not be read, if that is so. Nothing of it is needed.
    pub fn free_space(&self) -> Option<&Error> {
        self.generations.first().and_then(|it| it.free_space.as_ref())
    }

    fn lose(
        &mut self,
        tree: Option<TreeId>,
        message: String,
        is_replaced: bool,
        lower: Vec<u8>,
        upper: Option<Vec<u8>>,
    ) {
        self.losses.push(Loss { tree, message, is_replaced, lower, upper });
    }

    /// A generation's trees, and the ranges of its list of trees that could not be read.
    async fn generation(&mut self, cx: &Cx, superblock: &Superblock) -> Result<(Generation, Vec<Range>)> {
        let loader = self.loader(cx);
        let free_space = damage(loader.free_space(superblock).await)?.err();
        let (mut roots, mut unread) = (BTreeMap::new(), Vec::new());
        let mut stack = Vec::new();
        if let Some(meta) = superblock.meta {
            stack.push(Todo {
                generation: 0,
                ptr: meta.ptr,
                level: meta.height.max(1) - 1,
                lower: Vec::new(),
                upper: None,
            });
        }
        while let Some(todo) = stack.pop() {
            let page = match damage(self.page(cx, &todo, META_TREE).await)? {
                Ok(page) => page,
                Err(error) => {
                    let message =
                        format!("the list of trees, checkpoint {}: {}", superblock.sequence, error.message());
                    self.lose(Some(META_TREE), message, false, todo.lower.clone(), todo.upper.clone());
                    unread.push((todo.lower, todo.upper));
                    continue;
                }
            };
            if todo.level > 0 {
                push_children(&page, &todo, &mut stack);
                continue;
            }
            let leaf = LeafView::new(&page);
            for row in 0..leaf.len() {
                let mut key = Vec::with_capacity(4);
                leaf.key_into(row, &mut key);
                let tree = key.try_into().map(|key| TreeId(u32::from_be_bytes(key)));
                if let (Ok(tree), Some(root)) = (tree, TreeRoot::decode(leaf.raw_value(row).0)) {
                    roots.insert(tree, root);
                }
            }
        }
        Ok((Generation { state: superblock.state.clone(), roots, free_space }, unread))
    }

    /// The trees to be read: those of the newest generation; where its list could not be read, those of the older one's.
    fn choose_trees(&mut self, unread: &[Vec<Range>]) {
        let newest = unread.first().map_or(&[][..], Vec::as_slice);
        let is_unread = |tree: &TreeId| newest.iter().any(|range| contains(range, &tree.0.to_be_bytes()));
        let mut all: Vec<TreeId> = Vec::new();
        for (number, generation) in self.generations.iter().enumerate() {
            all.extend(generation.roots.keys().filter(|tree| number == 0 || is_unread(tree)));
        }
        let has_older = unread.get(1).is_some_and(Vec::is_empty);
        for loss in self.losses.iter_mut().filter(|it| it.tree == Some(META_TREE)) {
            loss.is_replaced = has_older;
        }
        all.retain(|tree| !is_history(*tree) && *tree != META_TREE);
        all.sort_unstable();
        all.dedup();
        all.reverse();
        self.waiting = all;
    }

    /// Reads the next page and hands its rows to `take`; `false`: all was read. The rows of one tree come one after the other, but in no
    /// order that matters. Errors: the disk's where it is not about one place; damage is noted.
    pub async fn next(&mut self, cx: &Cx, take: &mut TakeRow<'_>) -> Result<bool> {
        let Some(todo) = self.stack.pop() else {
            let Some(tree) = self.waiting.pop() else { return Ok(false) };
            self.current = Some(tree);
            let first = self.generations.iter().position(|it| it.roots.contains_key(&tree)).unwrap_or(0);
            let expected = self.generations[first].roots.get(&tree).map(|root| root.entry_count);
            self.trees.insert(tree, TreeSalvage { expected, ..TreeSalvage::default() });
            self.begin(first, tree, Vec::new(), None);
            return Ok(true);
        };
        let tree = self.current.expect("pages are read of a tree");
        let page = match damage(self.page(cx, &todo, tree).await)? {
            Ok(page) => page,
            Err(error) => {
                self.give_up(tree, todo, &error);
                return Ok(true);
            }
        };
        if todo.level > 0 {
            push_children(&page, &todo, &mut self.stack);
        } else {
            self.rows(cx, tree, &page, &todo, take).await?;
        }
        cx.charge(page.len()).await?;
        Ok(true)
    }

    /// Begins to read a range of a tree in a generation; `false`: that does not have the tree.
    fn begin(&mut self, generation: usize, tree: TreeId, lower: Vec<u8>, upper: Option<Vec<u8>>) -> bool {
        let root = self.generations.get(generation).and_then(|it| it.roots.get(&tree));
        let Some(root) = root else { return false };
        let (ptr, level) = (root.ptr, root.height.max(1) - 1);
        self.stack.push(Todo { generation, ptr, level, lower, upper });
        true
    }

    /// A page does not verify: the older generation is asked (V2), or the range is lost (V3).
    fn give_up(&mut self, tree: TreeId, todo: Todo, error: &Error) {
        let is_replaced = self.begin(todo.generation + 1, tree, todo.lower.clone(), todo.upper.clone());
        if !is_replaced {
            self.trees.entry(tree).or_default().lost_count += 1;
        }
        self.lose(Some(tree), error.message().to_owned(), is_replaced, todo.lower, todo.upper);
    }

    async fn rows(
        &mut self,
        cx: &Cx,
        tree: TreeId,
        page: &AlignedBuf,
        todo: &Todo,
        take: &mut TakeRow<'_>,
    ) -> Result<()> {
        let leaf = LeafView::new(page);
        let range = (todo.lower.clone(), todo.upper.clone());
        for row in 0..leaf.len() {
            let mut key = Vec::new();
            leaf.key_into(row, &mut key);
            if !contains(&range, &key) {
                continue;
            }
            let value = match leaf.value(row) {
                LeafValue::Inline(value) => {
                    take(tree, &key, value);
                    self.trees.entry(tree).or_default().row_count += 1;
                    continue;
                }
                LeafValue::Overflow(ptr, len) => damage(self.long_value(cx, &ptr, len).await)?,
            };
            match value {
                Ok(value) => {
                    take(tree, &key, page::payload(&value));
                    self.trees.entry(tree).or_default().row_count += 1;
                }
                Err(error) => {
                    let behind = [&key[..], &[0]].concat();
                    let Todo { generation, ptr, level, .. } = *todo;
                    self.give_up(
                        tree,
                        Todo { generation, ptr, level, lower: key, upper: Some(behind) },
                        &error,
                    );
                }
            }
        }
        Ok(())
    }

    async fn long_value(&self, cx: &Cx, ptr: &PagePtr, len: usize) -> Result<AlignedBuf> {
        let page = self.loader(cx).page(ptr).await?;
        match page::kind_byte(&page) == PageKind::Overflow as u8 && page::payload(&page).len() == len {
            true => Ok(page),
            false => Err(page::wrong_kind(ptr, &page)),
        }
    }

    async fn page(&self, cx: &Cx, todo: &Todo, tree: TreeId) -> Result<AlignedBuf> {
        let page = self.loader(cx).page(&todo.ptr).await?;
        let kind = if todo.level == 0 { PageKind::RowLeaf } else { PageKind::Inner };
        if page::kind_byte(&page) != kind as u8 || page::tree_id(&page) != tree.0 {
            return Err(page::wrong_kind(&todo.ptr, &page));
        }
        Ok(page)
    }
}

type Range = (Vec<u8>, Option<Vec<u8>>);

fn contains((lower, upper): &Range, key: &[u8]) -> bool {
    key >= lower.as_slice() && upper.as_ref().is_none_or(|upper| key < upper.as_slice())
}

/// The children of an inner page that may have keys of the range, the first one last.
fn push_children(page: &[u8], todo: &Todo, stack: &mut Vec<Todo>) {
    let inner = InnerView::new(page);
    for child in (0..inner.len()).rev() {
        let own_lower = if child > 0 { inner.separator(child) } else { Vec::new() };
        let own_upper = (child + 1 < inner.len()).then(|| inner.separator(child + 1));
        let lower = own_lower.max(todo.lower.clone());
        let upper = match (own_upper, todo.upper.clone()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        if upper.as_ref().is_none_or(|upper| lower < *upper) {
            let (generation, ptr, level) = (todo.generation, inner.child(child), todo.level - 1);
            stack.push(Todo { generation, ptr, level, lower, upper });
        }
    }
}

/// Damage of one place, and what the disk refuses to read there, is a value; other errors end the salvage.
fn damage<T>(outcome: Result<T>) -> Result<Result<T, Error>> {
    match outcome {
        Err(error)
            if ![SqlState::DATA_CORRUPTED, SqlState::IO_ERROR, SqlState::SYSTEM_ERROR]
                .contains(&error.code()) =>
        {
            Err(error)
        }
        outcome => Ok(outcome),
    }
}
