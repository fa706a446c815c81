//! The disk model: what a file holds as programs see it (the page cache) beside what a power cut leaves (durable bytes).
//!
//! 1. A completed write is in the cache at once, and *pending* until a sync that was submitted after its completion
//!    completes. A crash keeps, of each pending write, any set of its sectors.
//! 2. `Allocate` and `Remove` are durable when they answer (the driver syncs the directory). A file that a `Write` made
//!    exists durably from its first completed sync on; before, a crash may take it away whole.
//! 3. Space that was never written reads as zeros, never as somebody's old bytes.
//! 4. Requests in flight at a crash were performed, or not, or in part: as if pending.
//!
//! Faults, and why each is legal:
//! - *Short read or write*: `read(2)` and `write(2)` may do less than asked.
//! - *Read or write error*: EIO of one request; a failed write may have reached the disk in part. Nothing was promised.
//! - *Failed sync*: of the pending writes it covered any set of sectors became durable; the rest stays readable in the
//!   cache but no later sync will write it (Linux marks the pages clean). So acknowledged data is never touched: it was
//!   covered by an earlier, successful sync.
//! - *Full*: a write or allocation that makes a file longer than the capacity allows fails; overwriting does not.
//! - *Damage* ([`crate::injure`] says which, and why each is legal): one in a seed.

use orrery_base::AlignedBuf;
use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult, FileId};
use orrery_base::rng::Rng;
use std::collections::BTreeMap;

/// What the disk may do, in times per thousand requests of the kind.
#[derive(Clone, Debug)]
pub struct DiskFaults {
    /// The unit that a power cut leaves whole: 512 or 4096.
    pub sector_bytes: usize,
    /// Reads and writes that do less than asked.
    pub short_per_mille: u64,
    /// Reads that fail.
    pub read_error_per_mille: u64,
    /// Writes that fail.
    pub write_error_per_mille: u64,
    /// Syncs that fail.
    pub sync_error_per_mille: u64,
    /// Bytes of all files together.
    pub capacity_bytes: u64,
}

impl Default for DiskFaults {
    /// A disk that only loses what was not synced.
    fn default() -> Self {
        DiskFaults {
            sector_bytes: 512,
            short_per_mille: 0,
            read_error_per_mille: 0,
            write_error_per_mille: 0,
            sync_error_per_mille: 0,
            capacity_bytes: u64::MAX,
        }
    }
}

/// What the disk did so far, for reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Requests that failed by [`DiskFaults`], the full disk left out.
    pub error_count: u64,
    /// Syncs that failed.
    pub sync_error_count: u64,
    /// Requests that met a full disk.
    pub full_count: u64,
    /// Short reads and writes.
    pub short_count: u64,
    /// Pending writes of which a crash kept some sectors and lost others.
    pub torn_count: u64,
    /// Pending writes that a crash lost whole.
    pub lost_count: u64,
    /// Pending writes that a crash kept although an earlier one was lost.
    pub reordered_count: u64,
    /// Damage done.
    pub damage_count: u64,
}

#[derive(Clone, Debug, Default)]
struct SimFile {
    cache: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
    entry_durable: bool,
}

#[derive(Clone, Debug)]
struct Pending {
    sequence: u64,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: AlignedBuf },
    Truncate { len: usize },
}

/// What a crash does with pending writes; drawn for each crash.
#[derive(Clone, Copy, Debug)]
enum Survival {
    None,
    All,
    Prefix,
    WholeWrites,
    Sectors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mischief {
    Misdirect,
    Lose,
}

/// One machine's disk.
pub struct Disk {
    files: BTreeMap<FileId, SimFile>,
    /// Settings may change while the world runs (space comes and goes).
    pub faults: DiskFaults,
    /// See [`DiskCounts`].
    pub counts: DiskCounts,
    rng: Rng,
    next_sequence: u64,
    mischief: Option<Mischief>,
    /// Synced writes to logs since each was last allocated, oldest first.
    synced_log_writes: Vec<SyncedWrite>,
    /// Syncs of logs so far.
    log_sync_count: u64,
}

/// A write to a log that a sync made durable.
struct SyncedWrite {
    file: FileId,
    offset: u64,
    len: u64,
    /// Which sync.
    sync: u64,
}

impl SyncedWrite {
    fn overlaps(&self, other: &SyncedWrite) -> bool {
        let apart = self.offset + self.len <= other.offset || other.offset + other.len <= self.offset;
        self.file == other.file && !apart
    }
}

impl Disk {
    /// An empty disk.
    pub fn new(seed: u64, faults: DiskFaults) -> Self {
        Disk {
            files: BTreeMap::new(),
            faults,
            counts: DiskCounts::default(),
            rng: Rng::fork(seed, "disk"),
            next_sequence: 0,
            mischief: None,
            synced_log_writes: vec![],
            log_sync_count: 0,
        }
    }

    /// The point in the order of completions at which a request was submitted: a sync covers what lies before.
    pub fn submission_mark(&self) -> u64 {
        self.next_sequence
    }

    /// Performs a request that was submitted at `mark`.
    pub fn perform(&mut self, op: DiskOp, mark: u64) -> DiskResult {
        match op {
            DiskOp::List => {
                let files = self.files.iter().map(|(id, file)| (*id, file.cache.len() as u64));
                Ok(DiskReply::Files(files.collect()))
            }
            DiskOp::Len { file } => Ok(DiskReply::Len(self.find(file)?.cache.len() as u64)),
            DiskOp::Read { file, offset, len } => self.read(file, offset, len),
            DiskOp::Write { file, offset, data } => self.write(file, offset, data),
            DiskOp::Sync { file } => self.sync(file, mark),
            DiskOp::Allocate { file, len, .. } => self.allocate(file, len),
            DiskOp::Truncate { file, len } => {
                let sequence = self.take_sequence();
                let file = self.find(file)?;
                file.cache.resize(len as usize, 0);
                file.pending.push(Pending { sequence, change: Change::Truncate { len: len as usize } });
                Ok(DiskReply::Done)
            }
            DiskOp::Remove { file } => {
                self.files.remove(&file);
                Ok(DiskReply::Done)
            }
            DiskOp::OpenStream { .. } => {
                Err(DiskError::new(DiskErrorKind::Denied, "a simulated disk has no streams"))
            }
        }
    }

    /// Cuts the power. What was in flight may have been performed, in whole or in part.
    pub fn crash(&mut self, in_flight: Vec<DiskOp>) {
        for op in in_flight {
            // `Sync` in flight: any part of what it covers may be durable, which pending writes are already.
            if !matches!(op, DiskOp::Sync { .. }) && self.rng.chance(1, 2) {
                let mark = self.submission_mark();
                let _ = self.perform(op, mark);
            }
        }
        self.files.retain(|id, _| !matches!(id, FileId::Temp(_)));
        let modes = [
            Survival::None,
            Survival::All,
            Survival::Prefix,
            Survival::WholeWrites,
            Survival::Sectors,
            Survival::Sectors,
        ];
        let survival = *self.rng.pick(&modes);
        let (mut rng, sector_bytes) = (self.rng.clone(), self.faults.sector_bytes);
        let counts = &mut self.counts;
        self.files.retain(|_, file| {
            file.lose_power(survival, &mut rng, sector_bytes, counts);
            file.entry_durable || rng.chance(1, 2)
        });
        self.rng = rng;
        self.mischief = None;
    }

    /// Turns one bit over in a file, in the cache and on the disk: bit rot. False when the file is absent or empty.
    pub fn flip_bit(&mut self, file: FileId, offset: u64, bit: u8) -> bool {
        let Some(file) = self.files.get_mut(&file) else { return false };
        let Ok(offset) = usize::try_from(offset) else { return false };
        if offset >= file.durable.len() || offset >= file.cache.len() {
            return false;
        }
        file.cache[offset] ^= 1 << bit;
        file.durable[offset] ^= 1 << bit;
        self.counts.damage_count += 1;
        true
    }

    /// Removes a file behind the database's back.
    pub fn remove_file(&mut self, file: FileId) -> bool {
        self.counts.damage_count += 1;
        self.files.remove(&file).is_some()
    }

    /// The next write to the data file lands elsewhere in it, on top of what is there.
    pub fn misdirect_next(&mut self) {
        self.mischief = Some(Mischief::Misdirect);
    }

    /// The next write to the data file is answered and never done.
    pub fn lose_next(&mut self) {
        self.mischief = Some(Mischief::Lose);
    }

    /// A byte of a synced log batch that is not the newest: damage there can be told from a torn write, because the
    /// newer batch says that the older was durable.
    pub fn draw_old_log_byte(&self, rng: &mut Rng) -> Option<(FileId, u64)> {
        // A batch may have been written in several pieces, and its place may have been used before: all that the newest
        // sync covered is left alone.
        let newest = self.synced_log_writes.last()?.sync;
        let split = self.synced_log_writes.partition_point(|it| it.sync < newest);
        let (older, newest) = self.synced_log_writes.split_at(split);
        let is_apart = |it: &&SyncedWrite| newest.iter().all(|other| !it.overlaps(other));
        let apart: Vec<_> = older.iter().rev().take(20).filter(is_apart).collect();
        let write = (!apart.is_empty()).then(|| rng.pick(&apart))?;
        Some((write.file, write.offset + rng.below(write.len)))
    }

    /// Overwrites with zeros, in the cache and on the disk.
    pub fn zero(&mut self, file: FileId, offset: u64, len: usize) {
        if let Some(file) = self.files.get_mut(&file) {
            for bytes in [&mut file.cache, &mut file.durable] {
                let end = (offset as usize + len).min(bytes.len());
                bytes[(offset as usize).min(end)..end].fill(0);
            }
            self.counts.damage_count += 1;
        }
    }

    /// What a file holds durably.
    pub fn durable(&self, file: FileId) -> Option<&[u8]> {
        self.files.get(&file).map(|file| file.durable.as_slice())
    }

    /// The files.
    pub fn file_ids(&self) -> Vec<FileId> {
        self.files.keys().copied().collect()
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.files.values().map(|file| file.cache.len() as u64).sum()
    }

    fn find(&mut self, file: FileId) -> Result<&mut SimFile, DiskError> {
        let absent = || DiskError::new(DiskErrorKind::NotFound, format!("there is no file {file:?}"));
        self.files.get_mut(&file).ok_or_else(absent)
    }

    fn take_sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence - 1
    }

    fn fails(&mut self, per_mille: u64) -> bool {
        let fails = per_mille > 0 && self.rng.chance(per_mille, 1000);
        self.counts.error_count += u64::from(fails);
        fails
    }

    fn shorten(&mut self, len: usize) -> usize {
        if len > 1 && self.faults.short_per_mille > 0 && self.rng.chance(self.faults.short_per_mille, 1000) {
            self.counts.short_count += 1;
            return 1 + self.rng.below(len as u64 - 1) as usize;
        }
        len
    }

    fn read(&mut self, file: FileId, offset: u64, len: usize) -> DiskResult {
        if self.fails(self.faults.read_error_per_mille) {
            return Err(io_error("read"));
        }
        let len = self.shorten(len);
        let bytes = &self.find(file)?.cache;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(len).min(bytes.len());
        Ok(DiskReply::Read(AlignedBuf::from(&bytes[start..end])))
    }

    fn write(&mut self, file: FileId, offset: u64, mut data: AlignedBuf) -> DiskResult {
        let len = self.shorten(data.len());
        data.resize(len);
        let failed = self.fails(self.faults.write_error_per_mille);
        if failed {
            data.resize(self.rng.below(len as u64 + 1) as usize);
        }
        let mut start = usize::try_from(offset).expect("simulated files are small");
        self.reserve(file, offset + data.len() as u64)?;
        if file == FileId::Data {
            match self.mischief.take() {
                Some(Mischief::Lose) => {
                    self.counts.damage_count += 1;
                    return Ok(DiskReply::Written(len));
                }
                Some(Mischief::Misdirect) => start = self.elsewhere(start),
                None => {}
            }
        }
        let sequence = self.take_sequence();
        let file = self.files.entry(file).or_default();
        write_into(&mut file.cache, start, &data);
        if !data.is_empty() {
            file.pending.push(Pending { sequence, change: Change::Write { offset: start, data } });
        }
        if failed { Err(io_error("write")) } else { Ok(DiskReply::Written(len)) }
    }

    /// Another place of the data file, at the same distance from a 4 KiB boundary.
    fn elsewhere(&mut self, start: usize) -> usize {
        const STEP: usize = 4096;
        let len = self.files.get(&FileId::Data).map_or(0, |file| file.cache.len());
        let place_count = (len / STEP).max(1) as u64;
        self.counts.damage_count += 1;
        self.rng.below(place_count) as usize * STEP + start % STEP
    }

    fn sync(&mut self, file: FileId, mark: u64) -> DiskResult {
        let failed = self.fails(self.faults.sync_error_per_mille);
        let (mut rng, sector_bytes) = (self.rng.clone(), self.faults.sector_bytes);
        let file_id = file;
        let file = self.find(file_id)?;
        let (covered, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut file.pending).into_iter().partition(|pending| pending.sequence < mark);
        file.pending = later;
        let mut ignored = DiskCounts::default();
        let mut synced = vec![];
        for pending in covered {
            if let (Change::Write { offset, data }, false) = (&pending.change, failed) {
                synced.push((*offset as u64, data.len() as u64));
            }
            let survival = if failed { Survival::Sectors } else { Survival::All };
            pending.change.apply(&mut file.durable, survival, &mut rng, sector_bytes, &mut ignored);
        }
        if !failed {
            file.entry_durable = true;
            if let FileId::Log(_) = file_id {
                self.log_sync_count += 1;
                let sync = self.log_sync_count;
                let written =
                    synced.into_iter().map(|(offset, len)| SyncedWrite { file: file_id, offset, len, sync });
                self.synced_log_writes.extend(written);
            }
            return Ok(DiskReply::Done);
        }
        self.rng = rng;
        self.counts.sync_error_count += 1;
        Err(io_error("sync"))
    }

    fn allocate(&mut self, file: FileId, len: u64) -> DiskResult {
        self.reserve(file, len)?;
        let file = self.files.entry(file).or_default();
        let len = len as usize;
        if file.cache.len() < len {
            file.cache.resize(len, 0);
        }
        if file.durable.len() < len {
            file.durable.resize(len, 0);
        }
        file.entry_durable = true;
        Ok(DiskReply::Done)
    }

    /// Errors when the disk has no room for `file` to be `len` bytes long.
    fn reserve(&mut self, file: FileId, len: u64) -> Result<(), DiskError> {
        let old_len = self.files.get(&file).map_or(0, |file| file.cache.len() as u64);
        if len > old_len && self.used_bytes() + (len - old_len) > self.faults.capacity_bytes {
            self.counts.full_count += 1;
            let message = "no space left on the simulated disk";
            return Err(DiskError { os_code: Some(28), ..DiskError::new(DiskErrorKind::Full, message) });
        }
        Ok(())
    }
}

impl SimFile {
    fn lose_power(
        &mut self,
        survival: Survival,
        rng: &mut Rng,
        sector_bytes: usize,
        counts: &mut DiskCounts,
    ) {
        let pending = std::mem::take(&mut self.pending);
        let prefix = rng.below(pending.len() as u64 + 1) as usize;
        let mut lost_one = false;
        for (index, pending) in pending.into_iter().enumerate() {
            let survival = match survival {
                Survival::Prefix if index < prefix => Survival::All,
                Survival::Prefix => Survival::None,
                Survival::WholeWrites => *rng.pick(&[Survival::All, Survival::None]),
                // Among writes torn by sectors some come through whole.
                Survival::Sectors => *rng.pick(&[Survival::All, Survival::None, Survival::Sectors]),
                other => other,
            };
            match survival {
                Survival::None => lost_one = true,
                _ if lost_one => counts.reordered_count += 1,
                _ => {}
            }
            pending.change.apply(&mut self.durable, survival, rng, sector_bytes, counts);
        }
        self.cache = self.durable.clone();
    }
}

impl Change {
    fn apply(
        &self,
        durable: &mut Vec<u8>,
        survival: Survival,
        rng: &mut Rng,
        sector_bytes: usize,
        counts: &mut DiskCounts,
    ) {
        match (self, survival) {
            (_, Survival::None) => counts.lost_count += 1,
            (Change::Truncate { len }, Survival::All) => durable.resize(*len, 0),
            (Change::Truncate { len }, _) => {
                if rng.chance(1, 2) {
                    durable.resize(*len, 0);
                }
            }
            (Change::Write { offset, data }, Survival::Sectors) => {
                let mut kept_count = 0;
                let mut at = 0;
                while at < data.len() {
                    // Sectors are counted from the start of the file, so an unaligned write begins in the middle of one.
                    let end = (((offset + at) / sector_bytes + 1) * sector_bytes - offset).min(data.len());
                    if rng.chance(1, 2) {
                        write_into(durable, offset + at, &data[at..end]);
                        kept_count += end - at;
                    }
                    at = end;
                }
                counts.torn_count += u64::from(kept_count > 0 && kept_count < data.len());
            }
            (Change::Write { offset, data }, _) => write_into(durable, *offset, data),
        }
    }
}

fn write_into(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn io_error(what: &str) -> DiskError {
    let message = format!("simulated {what} error");
    DiskError { os_code: Some(5), ..DiskError::new(DiskErrorKind::Other, message) }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
