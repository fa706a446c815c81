//! Making and opening a data file.
//!
//! A new file is: space, then the four superblock copies, then a sync. No page is written before, so a file whose creation
//! was cut holds nothing but zero bytes beside its superblock places, and may be made again.

use super::free_space::{Bitmap, CHUNK_UNIT_COUNT, Extent, FreeSpace, superblock_extents};
use super::history::{self, HISTORY_LIST, History};
use super::merge::TreeRoot;
use super::page::{self, PageKind};
use super::pool::Pool;
use super::superblock::{self, COPY_BYTES, PLACES, Superblock};
use super::{PageStore, PageStoreOptions, State, StoreState};
use super::{inner::InnerView, leaf::LeafView};
use orrery_base::disk::{DiskErrorKind, DiskOp, DiskReply, FileId};
use orrery_base::task::lock;
use orrery_base::{AlignedBuf, Cx, Error, PagePtr, Result, SqlState, TreeId, probe};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Bytes of a new file.
pub(super) const FIRST_FILE_BYTES: u64 = 1 << 20;
/// Pages the pool holds at least: a path for each of a few readers, or loading one page could throw out the next.
const POOL_PAGES_MIN: u64 = 64;

/// The least budget of a pool.
pub fn pool_budget_min(unit_bytes: usize) -> u64 {
    POOL_PAGES_MIN * unit_bytes as u64
}

/// See [`PageStore::create`].
pub async fn create(cx: &Cx, options: PageStoreOptions, state: StoreState) -> Result<Arc<PageStore>> {
    if !superblock::is_unit_bytes(options.page_unit_bytes) {
        let message = format!("a page unit of {} bytes is not possible", options.page_unit_bytes);
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    let len = file_len(cx).await?.unwrap_or(0);
    if len > 0 && !is_unfinished(cx, len).await? {
        let first = cx.read(FileId::Data, PLACES[0][0], COPY_BYTES).await?;
        return Err(match Superblock::decode(&first, 0) {
            Err(superblock::CopyFault::Empty | superblock::CopyFault::Foreign) => {
                Error::new(SqlState::SYSTEM_ERROR, "not an Orrery database")
            }
            _ => Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "there is a data file already"),
        });
    }
    cx.disk(DiskOp::Allocate { file: FileId::Data, len: FIRST_FILE_BYTES, fill: false }).await?;
    let file_unit_count = FIRST_FILE_BYTES / options.page_unit_bytes as u64;
    let first = Superblock {
        unit_bytes: options.page_unit_bytes,
        database_id: options.database_id,
        sequence: 1,
        parent_checksum: 0,
        generation: 0,
        meta: None,
        free_space: None,
        file_unit_count,
        state,
    };
    let second =
        Superblock { sequence: 2, parent_checksum: first.checksum(), generation: 1, ..first.clone() };
    for superblock in [&first, &second] {
        for at in PLACES[superblock.generation] {
            cx.write(FileId::Data, at, AlignedBuf::from(&superblock.encode()[..])).await?;
        }
    }
    cx.sync(FileId::Data).await?;
    let live = reserved(options.page_unit_bytes, file_unit_count);
    let free = FreeSpace::new(live, None, file_unit_count);
    Ok(store(options.pool_budget_bytes, second, Some(first), free, vec![], vec![], vec![]))
}

async fn file_len(cx: &Cx) -> Result<Option<u64>> {
    match cx.disk(DiskOp::Len { file: FileId::Data }).await {
        Ok(DiskReply::Len(len)) => Ok(Some(len)),
        Ok(_) => Err(Error::internal("the driver answered another question")),
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a file is what a cut creation leaves.
async fn is_unfinished(cx: &Cx, len: u64) -> Result<bool> {
    if len > FIRST_FILE_BYTES {
        return Ok(false);
    }
    let bytes = cx.read(FileId::Data, 0, len as usize).await?;
    // A small file of somebody else's is none of ours to write over: a torn copy has bytes where a copy has them.
    let in_place = |at: u64| {
        PLACES.iter().flatten().any(|place| at >= *place && superblock::has_field((at - place) as usize))
    };
    let is_empty = bytes.iter().enumerate().all(|(at, byte)| *byte == 0 || in_place(at as u64))
        && PLACES
            .iter()
            .flatten()
            .all(|&at| superblock::may_be_torn(bytes.get(at as usize..).unwrap_or_default()));
    // The space is durable before the first copy is written: a shorter file with a copy in it was cut.
    let is_empty = is_empty && (len == FIRST_FILE_BYTES || bytes.iter().all(|&byte| byte == 0));
    let is_whole = |generation: usize, at: u64| {
        let at = at as usize;
        bytes.get(at..at + COPY_BYTES).is_some_and(|copy| Superblock::decode(copy, generation).is_ok())
    };
    let any_whole = PLACES
        .iter()
        .enumerate()
        .any(|(generation, places)| places.iter().any(|&at| is_whole(generation, at)));
    if is_empty && !any_whole {
        probe!(cx.world(), "pages: an unfinished creation is begun again");
    }
    Ok(is_empty && !any_whole)
}

/// See [`PageStore::open`].
pub async fn open(
    cx: &Cx,
    options: PageStoreOptions,
    take_older: bool,
) -> Result<(Arc<PageStore>, StoreState)> {
    let len = file_len(cx).await?.filter(|&len| len > 0);
    let len = len.ok_or_else(|| Error::new(SqlState::UNDEFINED_FILE, "there is no database"))?;
    let mut copies: [[Vec<u8>; 2]; 2] = Default::default();
    for (generation, places) in PLACES.iter().enumerate() {
        for (copy, at) in places.iter().enumerate() {
            copies[generation][copy] = cx.read(FileId::Data, *at, COPY_BYTES).await?.to_vec();
        }
    }
    let mut chosen = match superblock::choose(&copies) {
        // The first copy ever written is torn: nothing was in the file yet.
        Err(error)
            if [SqlState::DATA_CORRUPTED, SqlState::SYSTEM_ERROR].contains(&error.code())
                && is_unfinished(cx, len).await? =>
        {
            return Err(Error::new(
                SqlState::UNDEFINED_FILE,
                "there is no database: its creation never finished",
            ));
        }
        chosen => chosen?,
    };
    if !chosen.damaged.is_empty() {
        probe!(cx.world(), "pages: a damaged superblock copy at open");
    }
    if chosen.older.is_none() {
        probe!(cx.world(), "pages: only one superblock generation at open");
    }
    let last_version = chosen.newest.sequence;
    if take_older {
        let older = chosen.older.take().ok_or_else(|| Error::corrupt("there is no older superblock"))?;
        chosen.newest = older;
    }
    let newest = chosen.newest;
    let unit_bytes = newest.unit_bytes;
    let file_unit_count = len / unit_bytes as u64;
    let loader = Loader { cx, unit_bytes, file_unit_count };
    let (mut live, free_space_extents) = loader.free_space(&newest).await?;
    if live.end() > file_unit_count {
        let message = format!("the data file was cut: it has {file_unit_count} page units of {}", live.end());
        return Err(Error::corrupt(message));
    }
    // A clean close gives the unused tail back (`give_tail_back`).
    live.truncate(file_unit_count);
    let roots = loader.roots(&newest).await?;
    let free = match &chosen.older {
        Some(older) => {
            let mut taken = loader.taken_by_older(older, cx).await?;
            taken.truncate(file_unit_count);
            FreeSpace::new(live, Some((newest.sequence, &taken)), file_unit_count)
        }
        None => FreeSpace::new(live, None, file_unit_count),
    };
    let state = newest.state.clone();
    let budget = options.pool_budget_bytes;
    let store = store(budget, newest, chosen.older, free, roots, free_space_extents, chosen.damaged);
    lock(&store.state).last_version = last_version;
    load_history(&store, cx).await?;
    Ok((store, state))
}

/// Reads the history's list into the newest version.
async fn load_history(store: &Arc<PageStore>, cx: &Cx) -> Result<()> {
    let current = store.current();
    let Some(root) = current.root(HISTORY_LIST) else { return Ok(()) };
    let history = Arc::new(History::decode(&history::read_rows(store, cx, root).await?)?);
    let current = Arc::new(super::TreeVersion { history, ..(*current).clone() });
    let mut state = lock(&store.state);
    state.versions = vec![Arc::downgrade(&current)];
    state.current = current;
    Ok(())
}

fn store(
    pool_budget_bytes: u64,
    newest: Superblock,
    older: Option<Superblock>,
    free: FreeSpace,
    roots: Vec<(TreeId, TreeRoot)>,
    free_space_extents: Vec<Extent>,
    damaged_copies: Vec<String>,
) -> Arc<PageStore> {
    let unit_bytes = newest.unit_bytes;
    let current = Arc::new(super::TreeVersion {
        sequence: newest.sequence,
        state: newest.state.clone(),
        roots,
        meta: newest.meta,
        free_space_extents,
        history: Arc::default(),
    });
    let state = State {
        versions: vec![Arc::downgrade(&current)],
        current,
        free,
        last_version: newest.sequence,
        newest,
        older,
    };
    Arc::new(PageStore {
        pool: Arc::new(Pool::new(pool_budget_bytes.max(pool_budget_min(unit_bytes)))),
        unit_bytes,
        damaged_copies,
        state: Mutex::new(state),
        is_writing: AtomicBool::new(false),
        is_poisoned: AtomicBool::new(false),
    })
}

/// What a file without pages has taken.
fn reserved(unit_bytes: usize, unit_count: u64) -> Bitmap {
    let mut bitmap = Bitmap::new(unit_count);
    for extent in superblock_extents(unit_bytes) {
        bitmap.set(extent);
    }
    bitmap
}

/// Reads the pages that a superblock points to directly.
pub(super) struct Loader<'c> {
    pub cx: &'c Cx,
    pub unit_bytes: usize,
    /// What the file has: nothing beyond it is read.
    pub file_unit_count: u64,
}

impl Loader<'_> {
    /// A verified page.
    pub async fn page(&self, ptr: &PagePtr) -> Result<AlignedBuf> {
        let ignore = orrery_base::plant!(self.cx.world(), IgnorePageChecksum);
        page::verify_place(ptr, self.file_unit_count)?;
        let offset = ptr.page_no.0 * self.unit_bytes as u64;
        let page = self.cx.read(FileId::Data, offset, ptr.unit_count as usize * self.unit_bytes).await?;
        page::verify(&page, ptr, self.unit_bytes, ignore)?;
        Ok(page)
    }

    async fn page_of_kind(&self, ptr: &PagePtr, kind: PageKind) -> Result<AlignedBuf> {
        let page = self.page(ptr).await?;
        if page::kind_byte(&page) != kind as u8 {
            return Err(page::wrong_kind(ptr, &page));
        }
        Ok(page)
    }

    /// A superblock's bitmap, and the extents of its pages.
    pub async fn free_space(&self, superblock: &Superblock) -> Result<(Bitmap, Vec<Extent>)> {
        let mut bitmap = reserved(self.unit_bytes, superblock.file_unit_count);
        let Some(root) = superblock.free_space else { return Ok((bitmap, vec![])) };
        let page = self.page_of_kind(&root, PageKind::FreeSpaceRoot).await?;
        let payload = page::payload(&page);
        if payload.len() < 8 || !(payload.len() - 8).is_multiple_of(page::PTR_BYTES) {
            return Err(page::damaged(&root, "its list of parts is cut".into()));
        }
        let unit_count = page::u64_at(payload, 0);
        let mut extents = vec![Extent { start: root.page_no.0, count: u64::from(root.unit_count) }];
        let chunks = &payload[8..];
        if (chunks.len() / page::PTR_BYTES) as u64 != unit_count.div_ceil(CHUNK_UNIT_COUNT) {
            return Err(page::damaged(&root, "its list of parts has another length than the file".into()));
        }
        if unit_count > superblock.file_unit_count {
            return Err(page::damaged(&root, format!("it covers {unit_count} units, more than the file")));
        }
        bitmap.grow(unit_count);
        for (index, bytes) in chunks.chunks(page::PTR_BYTES).enumerate() {
            let ptr = page::decode_ptr(bytes);
            let chunk = self.page_of_kind(&ptr, PageKind::FreeSpace).await?;
            if !bitmap.load_chunk(index as u64, page::payload(&chunk)) {
                return Err(page::damaged(&ptr, "it covers more than the file".into()));
            }
            extents.push(Extent { start: ptr.page_no.0, count: u64::from(ptr.unit_count) });
        }
        Ok((bitmap, extents))
    }

    /// Like `free_space` for the older generation, which must not be overwritten (I4) even when its own bitmap is
    /// damaged: then everything it may reach counts as taken.
    async fn taken_by_older(&self, older: &Superblock, cx: &Cx) -> Result<Bitmap> {
        match self.free_space(older).await {
            Ok((bitmap, _)) => Ok(bitmap),
            Err(error) if error.code() == SqlState::DATA_CORRUPTED => {
                probe!(cx.world(), "pages: the older generation's bitmap is damaged");
                let mut all = Bitmap::new(older.file_unit_count);
                all.set(Extent { start: 0, count: older.file_unit_count });
                Ok(all)
            }
            Err(error) => Err(error),
        }
    }

    /// Decodes the meta tree.
    pub async fn roots(&self, superblock: &Superblock) -> Result<Vec<(TreeId, TreeRoot)>> {
        let Some(meta) = superblock.meta else { return Ok(vec![]) };
        let mut roots: Vec<(TreeId, TreeRoot)> = Vec::new();
        let mut stack = vec![(meta.ptr, meta.height)];
        let mut page_count = 0;
        while let Some((ptr, height)) = stack.pop() {
            page_count += 1;
            if page_count > self.file_unit_count {
                return Err(page::damaged(&ptr, "the meta tree has more pages than the file".into()));
            }
            if height == 0 {
                return Err(page::damaged(&ptr, "the meta tree has no such level".into()));
            }
            let kind = if height == 1 { PageKind::RowLeaf } else { PageKind::Inner };
            let page = self.page_of_kind(&ptr, kind).await?;
            if height > 1 {
                let inner = InnerView::new(&page);
                stack.extend((0..inner.len()).rev().map(|index| (inner.child(index), height - 1)));
                continue;
            }
            let leaf = LeafView::new(&page);
            for row in 0..leaf.len() {
                let mut key = Vec::with_capacity(4);
                leaf.key_into(row, &mut key);
                let tree = key.try_into().map(|key| TreeId(u32::from_be_bytes(key)));
                match (tree, TreeRoot::decode(leaf.raw_value(row).0)) {
                    (Ok(tree), Some(root)) => roots.push((tree, root)),
                    _ => return Err(page::damaged(&ptr, format!("entry {row} is no tree root"))),
                }
            }
        }
        match roots.len() as u64 == meta.entry_count && roots.is_sorted_by(|one, other| one.0 < other.0) {
            true => Ok(roots),
            false => Err(Error::corrupt("the meta tree is not what the superblock says")),
        }
    }
}
