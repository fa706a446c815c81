//! Writes the pages of one checkpoint: gives them places in long runs, in key order, and keeps several large writes in
//! flight.
//!
//! W1. Every unit an attempt takes is known in `taken` before anything is written to it. An attempt that fails gives all
//! of them back after its last write is done; one that is *dropped* with writes in flight never gives them back (a late
//! write may still land there), they are found free again at the next open.

use super::PageStore;
use super::free_space::{Extent, Need};
use super::page::{self, HEADER_BYTES, Header, PageKind};
use orrery_base::disk::{DiskErrorKind, DiskOp, DiskReply, FileId};
use orrery_base::task::{IoReply, lock};
use orrery_base::{AlignedBuf, Cx, Error, PageNo, PagePtr, Result, TreeId, buggify, probe};
use std::collections::VecDeque;

/// Bytes of one write, at most.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// Writes in flight, at most.
const IN_FLIGHT_MAX: usize = 4;
/// Units a stream takes first; doubled each time.
const FIRST_RUN_UNITS: u64 = 4;
/// Long values up to this enter the pool when written.
const POOLED_OVERFLOW_BYTES_MAX: usize = 256 << 10;

/// Which run of places a page goes to: leaves and inner pages lie apart, each in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Leaves.
    Leaves = 0,
    /// Inner pages.
    Inner = 1,
}

#[derive(Default)]
struct OpenRun {
    start: u64,
    unit_count: u64,
    /// Index in `taken`.
    taken_index: usize,
    buf: AlignedBuf,
    ptrs: Vec<PagePtr>,
    next_unit_count: u64,
}

struct InFlight {
    reply: IoReply,
    offset: u64,
    len: usize,
    /// A copy of the bytes where the disk may do less than asked.
    copy: Option<AlignedBuf>,
}

/// The writer of one attempt.
pub struct PageWriter<'s> {
    store: &'s PageStore,
    cx: &'s Cx,
    /// The tree version being written.
    pub version: u64,
    runs: [OpenRun; 2],
    in_flight: VecDeque<InFlight>,
    taken: Vec<Extent>,
    freed: Vec<Extent>,
    /// Bytes written so far.
    pub bytes_written: u64,
    is_settled: bool,
}

impl<'s> PageWriter<'s> {
    /// A writer of pages of `version`.
    pub fn new(store: &'s PageStore, cx: &'s Cx, version: u64) -> Self {
        PageWriter {
            store,
            cx,
            version,
            runs: Default::default(),
            in_flight: VecDeque::new(),
            taken: vec![],
            freed: vec![],
            bytes_written: 0,
            is_settled: false,
        }
    }

    /// The task's context.
    pub fn cx(&self) -> &'s Cx {
        self.cx
    }

    /// The store written to.
    pub fn store(&self) -> &'s PageStore {
        self.store
    }

    /// The new version does not reach this old page any more.
    pub fn free(&mut self, ptr: &PagePtr) {
        self.freed.push(Extent { start: ptr.page_no.0, count: u64::from(ptr.unit_count) });
    }

    /// Frees whole extents of the old version.
    pub fn free_extents(&mut self, extents: &[Extent]) {
        self.freed.extend_from_slice(extents);
    }

    /// Units taken and freed so far.
    pub fn taken_and_freed(&self) -> (&[Extent], &[Extent]) {
        (&self.taken, &self.freed)
    }

    /// Takes units, growing the file where it must. Errors: 53100.
    async fn take(&mut self, count: u64, mut need: Need) -> Result<Extent> {
        loop {
            let (found, file_units) = {
                let mut state = lock(&self.store.state);
                (state.free.take(count, need), state.free.file_unit_count())
            };
            if let Some(extent) = found {
                self.taken.push(extent);
                return Ok(extent);
            }
            let step = (file_units / 8).clamp(64, 8192).max(count);
            if let Err(error) = self.grow_to(file_units + step).await {
                if error.kind != DiskErrorKind::Full || need == Need::Any {
                    return Err(error.into());
                }
                probe!(self.cx.world(), "pages: little space left, the file grows by the least");
                match self.grow_to(file_units + count).await {
                    Ok(()) => {}
                    Err(error) if error.kind != DiskErrorKind::Full || need == Need::All => {
                        return Err(error.into());
                    }
                    // Single free units will do.
                    Err(_) => need = Need::Any,
                }
            }
        }
    }

    async fn grow_to(&mut self, unit_count: u64) -> Result<(), orrery_base::disk::DiskError> {
        let len = unit_count * self.store.unit_bytes as u64;
        self.cx.disk(DiskOp::Allocate { file: FileId::Data, len, fill: false }).await?;
        lock(&self.store.state).free.grow(unit_count);
        Ok(())
    }

    /// Makes room for one page of `stream`, to be filled with [`PageWriter::put`] next.
    pub async fn make_room(&mut self, stream: Stream) -> Result<()> {
        let run = &self.runs[stream as usize];
        if (run.ptrs.len() as u64) < run.unit_count {
            return Ok(());
        }
        self.flush(stream).await?;
        let longest = (WRITE_BYTES_MAX / self.store.unit_bytes) as u64;
        let short = buggify!(self.cx.world(), "pages: a short run of places");
        let count = if short {
            1
        } else {
            self.runs[stream as usize].next_unit_count.clamp(FIRST_RUN_UNITS, longest)
        };
        let extent = self.take(count, Need::LongRun).await?;
        let run = &mut self.runs[stream as usize];
        run.start = extent.start;
        run.unit_count = extent.count;
        run.taken_index = self.taken.len() - 1;
        run.next_unit_count = count * 2;
        run.buf = AlignedBuf::with_capacity(extent.count as usize * self.store.unit_bytes);
        Ok(())
    }

    /// Puts a page of one unit where [`PageWriter::make_room`] made room; `encode` fills its zeroed bytes.
    pub fn put<T>(&mut self, stream: Stream, encode: impl FnOnce(&mut [u8]) -> T) -> (PagePtr, T) {
        let (unit, version) = (self.store.unit_bytes, self.version);
        let run = &mut self.runs[stream as usize];
        let index = run.ptrs.len();
        assert!((index as u64) < run.unit_count, "room was made");
        run.buf.resize((index + 1) * unit);
        let bytes = &mut run.buf[index * unit..];
        let answer = encode(bytes);
        let ptr = page::finish(bytes, PageNo(run.start + index as u64), 1, version);
        run.ptrs.push(ptr);
        (ptr, answer)
    }

    /// Submits the open run of `stream` and gives its unused rest back.
    async fn flush(&mut self, stream: Stream) -> Result<()> {
        let unit = self.store.unit_bytes;
        let run = &mut self.runs[stream as usize];
        let used = run.ptrs.len() as u64;
        if used < run.unit_count {
            let rest = Extent { start: run.start + used, count: run.unit_count - used };
            self.taken[run.taken_index].count = used;
            lock(&self.store.state).free.give_back(rest);
        }
        run.unit_count = 0;
        if used == 0 {
            return Ok(());
        }
        let buf = std::mem::take(&mut run.buf);
        for (index, ptr) in run.ptrs.drain(..).enumerate() {
            self.store.pool.insert(&ptr, &buf[index * unit..(index + 1) * unit], false);
        }
        let offset = run.start * unit as u64;
        self.submit(offset, buf).await
    }

    async fn submit(&mut self, offset: u64, data: AlignedBuf) -> Result<()> {
        while self.in_flight.len() >= IN_FLIGHT_MAX {
            self.wait_oldest().await?;
        }
        let len = data.len();
        let copy = self.cx.world().may_shorten().then(|| data.clone());
        let reply = self.cx.submit(DiskOp::Write { file: FileId::Data, offset, data });
        self.in_flight.push_back(InFlight { reply, offset, len, copy });
        self.bytes_written += len as u64;
        Ok(())
    }

    async fn wait_oldest(&mut self) -> Result<()> {
        // Stays in the queue while it is awaited: a drop in between must still see it in flight (W1).
        let Some(oldest) = self.in_flight.front_mut() else { return Ok(()) };
        let reply = (&mut oldest.reply).await;
        let InFlight { offset, len, copy, .. } = self.in_flight.pop_front().expect("just seen");
        let DiskReply::Written(written) = reply? else {
            return Err(Error::internal("the driver answered another question"));
        };
        if written >= len {
            return Ok(());
        }
        probe!(self.cx.world(), "pages: a short write");
        let Some(copy) = copy else {
            return Err(Error::new(orrery_base::SqlState::IO_ERROR, "the disk wrote less than it was given"));
        };
        self.cx.write(FileId::Data, offset + written as u64, AlignedBuf::from(&copy[written..])).await?;
        Ok(())
    }

    /// Writes one long value into a page of its own.
    pub async fn write_overflow(&mut self, tree: TreeId, value: &[u8]) -> Result<PagePtr> {
        let header = Header {
            kind: PageKind::Overflow,
            tree: tree.0,
            entry_count: 0,
            prefix_bytes: 0,
            timestamp_max: 0,
            payload_bytes: value.len() as u64,
        };
        self.write_extent(header, value).await
    }

    /// Writes a page with a payload, as many units as it takes.
    pub async fn write_extent(&mut self, header: Header, payload: &[u8]) -> Result<PagePtr> {
        let unit_count = (HEADER_BYTES + payload.len()).div_ceil(self.store.unit_bytes);
        let extent = self.take(unit_count as u64, Need::All).await?;
        self.write_extent_at(extent, header, payload).await
    }

    /// Takes a place for [`PageWriter::write_extent_at`].
    pub async fn take_extent(&mut self, payload_bytes: usize) -> Result<Extent> {
        self.take((HEADER_BYTES + payload_bytes).div_ceil(self.store.unit_bytes) as u64, Need::All).await
    }

    /// Gives a place back that nothing was written to.
    pub fn give_back(&mut self, extent: Extent) {
        self.taken.retain(|taken| *taken != extent);
        lock(&self.store.state).free.give_back(extent);
    }

    /// Writes a page with a payload to a place taken before.
    pub async fn write_extent_at(
        &mut self,
        extent: Extent,
        header: Header,
        payload: &[u8],
    ) -> Result<PagePtr> {
        let unit = self.store.unit_bytes;
        let mut bytes = AlignedBuf::zeroed(extent.count as usize * unit);
        bytes[HEADER_BYTES..HEADER_BYTES + payload.len()].copy_from_slice(payload);
        header.encode(&mut bytes);
        let ptr = page::finish(&mut bytes, PageNo(extent.start), extent.count as u32, self.version);
        if header.kind == PageKind::Overflow && bytes.len() <= POOLED_OVERFLOW_BYTES_MAX {
            self.store.pool.insert(&ptr, &bytes, false);
        }
        let offset = extent.start * unit as u64;
        if bytes.len() <= WRITE_BYTES_MAX {
            self.submit(offset, bytes).await?;
        } else {
            for (index, part) in bytes.chunks(WRITE_BYTES_MAX).enumerate() {
                self.submit(offset + (index * WRITE_BYTES_MAX) as u64, AlignedBuf::from(part)).await?;
                self.cx.charge(part.len()).await?;
            }
        }
        Ok(ptr)
    }

    /// Writes out what is open and waits until all writes are done.
    pub async fn finish(&mut self) -> Result<()> {
        self.flush(Stream::Leaves).await?;
        self.flush(Stream::Inner).await?;
        while !self.in_flight.is_empty() {
            self.wait_oldest().await?;
        }
        Ok(())
    }

    /// The attempt failed: waits for its writes and gives all units back (W1). With `is_reachable` a superblock on disk
    /// may point to them, so they stay taken for two more checkpoints.
    pub async fn abandon(mut self, is_reachable: bool) {
        while !self.in_flight.is_empty() {
            // The attempt has failed already; what its other writes say changes nothing.
            let _ = self.wait_oldest().await;
        }
        let taken = std::mem::take(&mut self.taken);
        let mut state = lock(&self.store.state);
        if is_reachable {
            state.free.orphan(taken);
        } else {
            for extent in taken.into_iter().filter(|extent| extent.count > 0) {
                (0..extent.count).for_each(|unit| self.store.pool.remove(extent.start + unit));
                state.free.give_back(extent);
            }
        }
        drop(state);
        self.is_settled = true;
    }

    /// Nothing points to what was written, and its owner frees it: answers the units.
    pub fn settle_unpublished(mut self) -> Vec<Extent> {
        self.is_settled = true;
        std::mem::take(&mut self.taken).into_iter().filter(|extent| extent.count > 0).collect()
    }

    /// The attempt is durable and published: answers what it freed.
    pub fn settle(mut self) -> Vec<Extent> {
        self.is_settled = true;
        std::mem::take(&mut self.freed)
    }
}

impl Drop for PageWriter<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            probe!(self.cx.world(), "pages: a checkpoint was dropped half-way");
        }
    }
}
