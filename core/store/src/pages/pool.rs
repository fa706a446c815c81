//! The buffer pool: immutable pages in memory, found by a flat table from page number to frame.
//!
//! - A lookup takes no lock and writes nothing but a two-bit counter: table entry, frame head, page.
//! - Pages are immutable (L4), so there is no dirty bit and no write-back; the table may hold an old version of a page
//!   number, so the frame's version and checksum are compared with the pointer's.
//! - Eviction is S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", 2023): new pages enter a small
//!   queue and leave it early unless they are touched again, so a scan does not wash the pool out.
//! - Frames unlinked from the table are freed when no pin can see them ([`super::epoch`]).
//!
//! All changes of the table happen under one mutex; only lookups run beside it.
//!
//! - The pages loaded last stay, whatever the budget: a way down and the long value at its end must be in memory together,
//!   or their reader would go round for ever.
//!
//! P1. A frame reachable from the table is alive. P2. A frame is freed once: by whoever took it out of the table and put
//! it into `limbo`, when its tag is older than every pin, or by the pool's drop. P3. A frame's bytes are never written
//! after it is linked, but for its atomics.
#![allow(unsafe_code, reason = "frames are one allocation each, shared with readers that hold no lock")]

use super::PoolStats;
use super::epoch::{Epochs, Slot};
use orrery_base::PagePtr;
use orrery_base::prefetch::prefetch_line;
use orrery_base::task::lock;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::{BTreeSet, VecDeque};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Bytes before the page in its frame.
const HEAD_BYTES: usize = 64;
/// Entries of the table's first chunk; each further one is twice as long.
const FIRST_CHUNK: u64 = 1024;
const CHUNK_COUNT: usize = 44;
/// Unlinked frames that may wait before the pins are looked at.
const LIMBO_COUNT: usize = 32;
const FREQUENCY_MAX: u8 = 3;
/// Pages loaded last that no eviction takes: a tree's height, a leaf and a value beside it.
const RECENT_COUNT: usize = 8;

#[repr(C)]
struct FrameHead {
    version: u64,
    checksum: u32,
    frequency: AtomicU8,
    in_main: AtomicBool,
    page_bytes: usize,
}

const _: () = assert!(size_of::<FrameHead>() <= HEAD_BYTES);

/// A frame: `HEAD_BYTES` with the head, then the page.
#[derive(Clone, Copy)]
struct Frame(*mut u8);

// SAFETY: a frame is plain memory with atomics; who may free it is ruled by P2, not by the thread.
unsafe impl Send for Frame {}

impl Frame {
    fn layout(page_bytes: usize) -> Layout {
        Layout::from_size_align(HEAD_BYTES + page_bytes, 128)
            .expect("a page is shorter than the address space")
    }

    fn new(ptr: &PagePtr, page: &[u8]) -> Frame {
        let layout = Self::layout(page.len());
        // SAFETY: the layout is not empty; the head and the page lie inside of it and do not overlap `page`.
        unsafe {
            let base = alloc(layout);
            if base.is_null() {
                handle_alloc_error(layout);
            }
            let head = FrameHead {
                version: ptr.version,
                checksum: ptr.checksum,
                frequency: AtomicU8::new(0),
                in_main: AtomicBool::new(false),
                page_bytes: page.len(),
            };
            base.cast::<FrameHead>().write(head);
            base.add(HEAD_BYTES).copy_from_nonoverlapping(page.as_ptr(), page.len());
            Frame(base)
        }
    }

    /// Caller: the frame is alive as long as `'f`.
    unsafe fn head<'f>(self) -> &'f FrameHead {
        // SAFETY: `new` wrote a head there, aligned to 128; only its atomics change.
        unsafe { &*self.0.cast::<FrameHead>() }
    }

    /// Caller: the frame is alive as long as `'f`.
    unsafe fn page<'f>(self) -> &'f [u8] {
        // SAFETY: `new` wrote that many bytes behind the head; nobody writes them again (P3).
        unsafe { std::slice::from_raw_parts(self.0.add(HEAD_BYTES), self.head().page_bytes) }
    }

    /// Caller: nobody can reach the frame (P2).
    unsafe fn free(self) {
        // SAFETY: made by `new` with this layout; the head needs no drop.
        unsafe { dealloc(self.0, Self::layout(self.head().page_bytes)) }
    }
}

/// The pool of one data file.
pub struct Pool {
    chunks: [OnceLock<Box<[AtomicPtr<u8>]>>; CHUNK_COUNT],
    epochs: Epochs,
    queues: Mutex<Queues>,
    budget_bytes: AtomicU64,
}

#[derive(Default)]
struct Queues {
    /// (page number, version) of frames, oldest first. An id whose frame is gone is skipped.
    small: VecDeque<(u64, u64)>,
    main: VecDeque<(u64, u64)>,
    /// Page numbers thrown out of the small queue not long ago.
    ghost: VecDeque<u64>,
    ghost_set: BTreeSet<u64>,
    /// The pages loaded last.
    recent: VecDeque<(u64, u64)>,
    small_bytes: u64,
    used_bytes: u64,
    peak_bytes: u64,
    page_count: u64,
    load_count: u64,
    evicted_count: u64,
    limbo: VecDeque<(u64, Frame)>,
}

/// A registered reader: one for each transaction or scan. It may be shared between threads.
pub struct Reader {
    pool: Arc<Pool>,
    slot: Arc<Slot>,
}

/// While it lives, pages reached through it stay in memory. Never hold it across an await.
pub struct Pin<'r> {
    reader: &'r Reader,
}

impl Reader {
    /// A reader of `pool`.
    pub fn new(pool: &Arc<Pool>) -> Self {
        Reader { pool: pool.clone(), slot: pool.epochs.register() }
    }

    /// Takes a pin. Pins may be nested.
    #[inline]
    pub fn pin(&self) -> Pin<'_> {
        self.pool.epochs.pin(&self.slot);
        Pin { reader: self }
    }
}

impl Drop for Pin<'_> {
    #[inline]
    fn drop(&mut self) {
        self.reader.pool.epochs.unpin(&self.reader.slot);
    }
}

/// Chunk and place in it of a page number; a damaged pointer's may be any number, and has no chunk then.
#[inline]
fn place(page_no: u64) -> (usize, usize) {
    let shifted = page_no.saturating_add(FIRST_CHUNK);
    let level = shifted.ilog2();
    ((level - FIRST_CHUNK.ilog2()) as usize, (shifted - (1 << level)) as usize)
}

impl Pool {
    /// An empty pool.
    pub fn new(budget_bytes: u64) -> Self {
        Pool {
            chunks: [const { OnceLock::new() }; CHUNK_COUNT],
            epochs: Epochs::default(),
            queues: Mutex::default(),
            budget_bytes: AtomicU64::new(budget_bytes),
        }
    }

    #[inline]
    fn entry(&self, page_no: u64) -> Option<&AtomicPtr<u8>> {
        let (chunk, index) = place(page_no);
        self.chunks.get(chunk)?.get().map(|entries| &entries[index])
    }

    /// The page, if it is in memory.
    #[inline]
    pub fn lookup<'p>(&self, pin: &'p Pin<'_>, ptr: &PagePtr) -> Option<&'p [u8]> {
        assert!(std::ptr::eq(Arc::as_ptr(&pin.reader.pool), self), "a pin of another store");
        let frame = Frame(self.entry(ptr.page_no.0)?.load(Ordering::SeqCst));
        if frame.0.is_null() {
            return None;
        }
        // SAFETY: the frame was in the table while the pin was held, so it is not freed before the pin is given back
        // (module `epoch`), and the pin outlives 'p.
        let (head, page) = unsafe { (frame.head(), frame.page()) };
        if head.version != ptr.version || head.checksum != ptr.checksum {
            return None;
        }
        let frequency = head.frequency.load(Ordering::Relaxed);
        if frequency < FREQUENCY_MAX {
            head.frequency.store(frequency + 1, Ordering::Relaxed);
        }
        Some(page)
    }

    /// The page, if it is in memory, without counting as a use of it: for those who only prefetch.
    #[inline]
    pub fn peek<'p>(&self, pin: &'p Pin<'_>, ptr: &PagePtr) -> Option<&'p [u8]> {
        assert!(std::ptr::eq(Arc::as_ptr(&pin.reader.pool), self), "a pin of another store");
        let frame = Frame(self.entry(ptr.page_no.0)?.load(Ordering::SeqCst));
        if frame.0.is_null() {
            return None;
        }
        // SAFETY: as in `lookup`.
        let (head, page) = unsafe { (frame.head(), frame.page()) };
        (head.version == ptr.version && head.checksum == ptr.checksum).then_some(page)
    }

    /// Asks the processor for the head of the page's frame and the page's header, so that [`Pool::peek`] need not wait.
    #[inline]
    pub fn prefetch_head(&self, ptr: &PagePtr) {
        let frame = self.entry(ptr.page_no.0).map_or(null_mut(), |entry| entry.load(Ordering::Relaxed));
        prefetch_line(frame);
        prefetch_line(frame.wrapping_add(HEAD_BYTES));
    }

    /// A copy of the page's bytes in `into`, if it is in memory. Leaves the page's standing as it is.
    pub fn copy_into(&self, ptr: &PagePtr, into: &mut orrery_base::AlignedBuf) -> bool {
        let queues = lock(&self.queues);
        let Some(frame) = self.linked(ptr.page_no.0) else { return false };
        // SAFETY: frames are taken out of the table and freed only under the mutex, which is held.
        let (head, page) = unsafe { (frame.head(), frame.page()) };
        let found = head.version == ptr.version && head.checksum == ptr.checksum;
        if found {
            into.resize(page.len());
            into.copy_from_slice(page);
        }
        drop(queues);
        found
    }

    /// Whether the page is in memory now.
    pub fn contains(&self, ptr: &PagePtr) -> bool {
        let _queues = lock(&self.queues);
        // SAFETY: as in `copy_into`.
        let head = self.linked(ptr.page_no.0).map(|frame| unsafe { frame.head() });
        head.is_some_and(|head| head.version == ptr.version && head.checksum == ptr.checksum)
    }

    /// Puts a page in, in place of whatever has its number.
    pub fn insert(&self, ptr: &PagePtr, page: &[u8], loaded: bool) {
        let mut queues = lock(&self.queues);
        let id = (ptr.page_no.0, ptr.version);
        if loaded {
            queues.load_count += 1;
            if !queues.recent.contains(&id) {
                queues.recent.push_back(id);
            }
            if queues.recent.len() > RECENT_COUNT {
                queues.recent.pop_front();
            }
        }
        if let Some(frame) = self.linked(ptr.page_no.0) {
            // SAFETY: as in `copy_into`.
            let head = unsafe { frame.head() };
            if head.version == ptr.version && head.checksum == ptr.checksum {
                return;
            }
            self.unlink(&mut queues, ptr.page_no.0);
        }
        let bytes = page.len() as u64;
        let budget = self.budget_bytes.load(Ordering::Relaxed);
        self.shrink(&mut queues, budget.saturating_sub(bytes));
        let frame = Frame::new(ptr, page);
        let to_main = queues.ghost_set.remove(&ptr.page_no.0);
        if to_main {
            // SAFETY: just made.
            unsafe { frame.head() }.in_main.store(true, Ordering::Relaxed);
            queues.main.push_back(id);
        } else {
            queues.small.push_back(id);
            queues.small_bytes += bytes;
        }
        queues.used_bytes += bytes;
        queues.peak_bytes = queues.peak_bytes.max(queues.used_bytes);
        queues.page_count += 1;
        let (chunk, index) = place(ptr.page_no.0);
        let entries = self.chunks[chunk].get_or_init(|| {
            let count = FIRST_CHUNK << chunk;
            (0..count).map(|_| AtomicPtr::new(null_mut())).collect()
        });
        entries[index].store(frame.0, Ordering::SeqCst);
        self.collect(&mut queues, LIMBO_COUNT);
    }

    /// Forgets whatever has this page number: the page was freed.
    pub fn remove(&self, page_no: u64) {
        let mut queues = lock(&self.queues);
        if self.linked(page_no).is_some() {
            self.unlink(&mut queues, page_no);
            self.collect(&mut queues, LIMBO_COUNT);
        }
    }

    /// Changes the budget; what is over it goes at once.
    pub fn set_budget(&self, bytes: u64) {
        self.budget_bytes.store(bytes, Ordering::Relaxed);
        let mut queues = lock(&self.queues);
        self.shrink(&mut queues, bytes);
        self.collect(&mut queues, 0);
    }

    /// Figures.
    pub fn stats(&self) -> PoolStats {
        let queues = lock(&self.queues);
        PoolStats {
            budget_bytes: self.budget_bytes.load(Ordering::Relaxed),
            used_bytes: queues.used_bytes,
            peak_bytes: queues.peak_bytes,
            page_count: queues.page_count,
            load_count: queues.load_count,
            evicted_count: queues.evicted_count,
        }
    }

    /// Under the mutex.
    fn linked(&self, page_no: u64) -> Option<Frame> {
        let frame = Frame(self.entry(page_no)?.load(Ordering::SeqCst));
        (!frame.0.is_null()).then_some(frame)
    }

    /// Takes a linked frame out of the table and into limbo.
    fn unlink(&self, queues: &mut Queues, page_no: u64) {
        let entry = self.entry(page_no).expect("the page is linked");
        let frame = Frame(entry.swap(null_mut(), Ordering::SeqCst));
        // SAFETY: under the mutex, as in `copy_into`.
        let head = unsafe { frame.head() };
        let bytes = head.page_bytes as u64;
        queues.used_bytes -= bytes;
        queues.page_count -= 1;
        if !head.in_main.load(Ordering::Relaxed) {
            queues.small_bytes -= bytes;
        }
        queues.limbo.push_back((self.epochs.retire(), frame));
        self.drop_stale_ids(queues);
    }

    /// Keeps the queues as short as what they name: removed pages leave their ids behind.
    fn drop_stale_ids(&self, queues: &mut Queues) {
        let (ids, pages) = (queues.small.len() + queues.main.len(), queues.page_count as usize);
        if ids > 2 * pages + 1024 {
            queues.small.retain(|&id| self.frame_of(id).is_some());
            queues.main.retain(|&id| self.frame_of(id).is_some());
        }
    }

    /// Frees the frames in limbo that no pin can see, when there are more than `leave`.
    fn collect(&self, queues: &mut Queues, leave: usize) {
        if queues.limbo.len() <= leave {
            return;
        }
        let oldest = self.epochs.oldest_pin();
        while queues.limbo.front().is_some_and(|(tag, _)| *tag < oldest) {
            let (_, frame) = queues.limbo.pop_front().expect("just seen");
            // SAFETY: unlinked before its tag was drawn, and every pin is younger than the tag (P2).
            unsafe { frame.free() };
        }
    }

    /// Throws pages out until at most `bytes` are used, or only those loaded last are left.
    fn shrink(&self, queues: &mut Queues, bytes: u64) {
        if queues.used_bytes <= bytes {
            return;
        }
        let recent = queues.recent.iter().filter_map(|&id| self.frame_of(id));
        // SAFETY: under the mutex, as in `copy_into`.
        let recent_bytes: u64 = recent.map(|frame| unsafe { frame.head() }.page_bytes as u64).sum();
        // How many pages of each queue were passed over in a row: it may hold nothing but those loaded last, however few
        // bytes the other one has.
        let (mut small_passed, mut main_passed) = (0, 0);
        while queues.used_bytes > bytes.max(recent_bytes) {
            let is_small_left = small_passed < queues.small.len();
            // A page is passed over once for each of its uses.
            let is_main_left = main_passed < (usize::from(FREQUENCY_MAX) + 1) * queues.main.len();
            if !is_small_left && !is_main_left {
                return;
            }
            if is_small_left && (queues.small_bytes > bytes / 10 || !is_main_left) {
                let main_len = queues.main.len();
                small_passed = if self.evict_small(queues) { 0 } else { small_passed + 1 };
                main_passed = if queues.main.len() > main_len { 0 } else { main_passed };
            } else {
                main_passed = if self.evict_main(queues) { 0 } else { main_passed + 1 };
            }
        }
    }

    /// The frame of a queue's id, unless it is gone.
    fn frame_of(&self, (page_no, version): (u64, u64)) -> Option<Frame> {
        // SAFETY: under the mutex, as in `copy_into`.
        self.linked(page_no).filter(|frame| unsafe { frame.head() }.version == version)
    }

    fn evict_small(&self, queues: &mut Queues) -> bool {
        let Some(id) = queues.small.pop_front() else { return false };
        let Some(frame) = self.frame_of(id) else { return false };
        // SAFETY: under the mutex, as in `copy_into`.
        let head = unsafe { frame.head() };
        if head.in_main.load(Ordering::Relaxed) {
            return false;
        }
        if queues.recent.contains(&id) {
            queues.small.push_back(id);
            return false;
        }
        if head.frequency.load(Ordering::Relaxed) > 1 {
            head.frequency.store(0, Ordering::Relaxed);
            head.in_main.store(true, Ordering::Relaxed);
            queues.small_bytes -= head.page_bytes as u64;
            queues.main.push_back(id);
            return false;
        }
        self.unlink(queues, id.0);
        queues.evicted_count += 1;
        queues.ghost.push_back(id.0);
        queues.ghost_set.insert(id.0);
        while queues.ghost.len() > queues.main.len().max(16) {
            let gone = queues.ghost.pop_front().expect("longer than that");
            queues.ghost_set.remove(&gone);
        }
        true
    }

    fn evict_main(&self, queues: &mut Queues) -> bool {
        let Some(id) = queues.main.pop_front() else { return false };
        let Some(frame) = self.frame_of(id) else { return false };
        // SAFETY: under the mutex, as in `copy_into`.
        let head = unsafe { frame.head() };
        if queues.recent.contains(&id) {
            queues.main.push_back(id);
            return false;
        }
        let frequency = head.frequency.load(Ordering::Relaxed);
        if frequency > 0 {
            head.frequency.store(frequency - 1, Ordering::Relaxed);
            queues.main.push_back(id);
            return false;
        }
        self.unlink(queues, id.0);
        queues.evicted_count += 1;
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let queues = self.queues.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        for entry in self.chunks.iter_mut().filter_map(OnceLock::get_mut).flatten() {
            let frame = Frame(std::mem::replace(entry.get_mut(), null_mut()));
            if !frame.0.is_null() {
                // SAFETY: readers hold an `Arc` of the pool, so none is left; each linked frame is in one entry (P2).
                unsafe { frame.free() };
            }
        }
        for (_, frame) in queues.limbo.drain(..) {
            // SAFETY: as above; what is in limbo is in no entry.
            unsafe { frame.free() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::PageNo;
    use orrery_base::rng::Rng;

    fn ptr(page_no: u64, version: u64) -> PagePtr {
        PagePtr {
            page_no: PageNo(page_no),
            unit_count: 1,
            version,
            checksum: (page_no * 31 + version) as u32,
        }
    }

    fn page(page_no: u64, version: u64) -> Vec<u8> {
        let mut page = vec![(page_no * 7 + version) as u8; 8192];
        page[..8].copy_from_slice(&page_no.to_le_bytes());
        page
    }

    #[test]
    fn places_cover_all_numbers_once() {
        assert_eq!((place(0), place(1023), place(1024), place(3071)), ((0, 0), (0, 1023), (1, 0), (1, 2047)));
        assert!(place(1 << 50).0 < CHUNK_COUNT);
    }

    #[test]
    fn an_old_version_is_not_answered() {
        let pool = Arc::new(Pool::new(1 << 20));
        let reader = Reader::new(&pool);
        pool.insert(&ptr(5, 1), &page(5, 1), false);
        let pin = reader.pin();
        let old = pool.lookup(&pin, &ptr(5, 1)).expect("in the pool");
        pool.insert(&ptr(5, 2), &page(5, 2), false);
        assert!(pool.lookup(&pin, &ptr(5, 1)).is_none());
        assert_eq!(pool.lookup(&pin, &ptr(5, 2)), Some(&page(5, 2)[..]));
        assert_eq!(old, page(5, 1), "what a pin reached stays readable");
    }

    #[test]
    fn a_scan_does_not_wash_out_what_is_used() {
        let pool = Arc::new(Pool::new(100 * 8192));
        let reader = Reader::new(&pool);
        for page_no in 0..50 {
            pool.insert(&ptr(page_no, 1), &page(page_no, 1), true);
            for _ in 0..3 {
                pool.lookup(&reader.pin(), &ptr(page_no, 1));
            }
        }
        for page_no in 1000..5000 {
            pool.insert(&ptr(page_no, 1), &page(page_no, 1), true);
        }
        let kept = (0..50).filter(|&page_no| pool.lookup(&reader.pin(), &ptr(page_no, 1)).is_some()).count();
        assert!(kept >= 45, "only {kept} of 50 survived");
        let stats = pool.stats();
        assert!(stats.used_bytes <= 100 * 8192 && stats.page_count == stats.used_bytes / 8192);
        pool.set_budget(10 * 8192);
        assert!(pool.stats().used_bytes <= 10 * 8192);
    }

    #[test]
    fn a_way_down_and_a_value_larger_than_the_budget_stay_together() {
        let pool = Arc::new(Pool::new(10 * 8192));
        let reader = Reader::new(&pool);
        for page_no in 10..40 {
            pool.insert(&ptr(page_no, 1), &page(page_no, 1), true);
        }
        let mut way: Vec<(PagePtr, Vec<u8>)> = (0..6).map(|no| (ptr(no, 1), page(no, 1))).collect();
        way.push((ptr(6, 1), vec![7; 50 * 8192]));
        for round in 0..way.len() + 1 {
            let missing = way.iter().find(|(ptr, _)| pool.lookup(&reader.pin(), ptr).is_none());
            match missing {
                Some((ptr, page)) => pool.insert(ptr, page, true),
                None => break,
            }
            assert!(round < way.len(), "a page of the way was thrown out again");
        }
        // What comes later takes their places, one by one.
        for page_no in 100..100 + RECENT_COUNT as u64 {
            pool.insert(&ptr(page_no, 1), &page(page_no, 1), true);
        }
        assert!(pool.stats().used_bytes <= 10 * 8192);
    }

    /// A few bytes in the small queue, and in the main queue only what was loaded last: there is an end.
    #[test]
    fn pages_of_all_sizes_find_room() {
        let pool = Arc::new(Pool::new(64 << 10));
        let (reader, mut rng) = (Reader::new(&pool), Rng::new(7));
        for _ in 0..100_000 {
            let ptr = ptr(rng.range(0..40), 1);
            let len = *rng.pick(&[512, 512, 512, 4096, 16384, 65536]);
            if pool.lookup(&reader.pin(), &ptr).is_none() {
                pool.insert(&ptr, &vec![1; len], rng.chance(1, 2));
            }
        }
        let stats = pool.stats();
        assert!(stats.page_count > 0 && stats.used_bytes <= (64 << 10) + 8 * 65536);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "threads are what is tested")]
    fn threads_read_whole_pages_while_others_evict() {
        let pool = Arc::new(Pool::new(40 * 8192));
        let run = |seed: u64| {
            let pool = pool.clone();
            move || {
                let (reader, mut rng, mut hits) = (Reader::new(&pool), Rng::new(seed), 0u64);
                for round in 0..20_000u64 {
                    let (page_no, version) = (rng.below(100), 1 + rng.below(2));
                    let wanted = ptr(page_no, version);
                    let pin = reader.pin();
                    match pool.lookup(&pin, &wanted) {
                        Some(found) => {
                            hits += 1;
                            let other = rng.below(100);
                            pool.insert(&ptr(other, 1), &page(other, 1), true);
                            assert_eq!(found, page(page_no, version));
                        }
                        None => pool.insert(&wanted, &page(page_no, version), true),
                    }
                    if round % 1000 == 0 {
                        pool.set_budget((20 + rng.below(30)) * 8192);
                        pool.remove(rng.below(100));
                    }
                }
                hits
            }
        };
        let threads: Vec<_> = (0..4).map(|seed| std::thread::spawn(run(seed))).collect();
        let hits: u64 = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
        assert!(hits > 1000, "{hits}");
        assert!(pool.stats().page_count <= 50);
    }
}
