//! Reading the log at recovery (I3): from a position on, batch after batch, until the first that fails; then a look at
//! everything behind it, to tell a torn tail from damage.
//!
//! - A batch counts when its number, its chain and both checksums are right.
//! - Where a segment begins with the expected batch and carries a newer salt, reading goes on there, whatever lies at
//!   the old place: recovery seals a torn tail by starting such a segment.
//! - If any batch behind the stop claims `synced_through` at or beyond the missing one, acknowledged data is damaged.
//!
//! It writes nothing and replays nothing: batches go to the caller one by one.

use super::format::{
    BATCH_HEADER_BYTES, BATCH_MAGIC, BatchHeader, SECTOR_BYTES, batch_checksum, round_up_to_sector,
};
use super::space::{Segment, UsedSegment};
use crate::pages::LogPosition;
use orrery_base::disk::{DiskOp, DiskReply, FileId};
use orrery_base::sorting;
use orrery_base::{AlignedBuf, BoxFuture, Cx, Error, Result, plant, probe};
use std::collections::BTreeMap;

/// What reading found.
#[derive(Debug)]
pub struct LogEnd {
    /// Where the next batch is expected.
    pub position: LogPosition,
    /// Segments with batches that were read, oldest first.
    pub used: Vec<UsedSegment>,
    /// The segment that the position is the beginning of: the next superblock may name it, so it is the next to be written.
    pub next: Option<Segment>,
    /// The other segments.
    pub idle: Vec<Segment>,
    /// The largest salt seen anywhere.
    pub salt_max: u64,
    /// Above every file number.
    pub next_file: u64,
    /// How many batches were read.
    pub batch_count: u64,
}

/// Who is given the batches.
pub trait Replay: Send {
    /// The next batch. Errors end the reading.
    fn batch<'a>(&'a mut self, header: &'a BatchHeader, batch: &'a [u8]) -> BoxFuture<'a, Result<()>>;
}

/// Bytes read at once.
const WINDOW_BYTES: usize = 1 << 20;

/// One log file as found.
struct Found {
    len: u64,
    head: Option<BatchHeader>,
}

/// Reads batches from `position` and hands them to `replay`. `clean`: the superblock says that the log was empty there.
/// Segments with batches from `keep_from` on (the older superblock's position) count as used even when they lie before.
/// Errors: XX001 when the log is missing, does not connect, or acknowledged batches are damaged; what `replay` gives.
pub async fn read_log(
    cx: &Cx,
    position: LogPosition,
    database: u64,
    clean: bool,
    keep_from: u64,
    replay: &mut dyn Replay,
) -> Result<LogEnd> {
    let found = find_segments(cx, database).await?;
    let mut reader =
        Reader { cx, database, found, at: position, used: Vec::new(), window: Window::default() };
    let has_successor = reader.successor().is_some();
    if !has_successor && clean {
        // Cleanly closed: what lies about is left over from before the close.
        return Ok(reader.finish(0, position.salt));
    }
    let connection = reader.check_connection();
    if connection.is_ok() && position.offset > 0 {
        // The next superblock may name this very place, so its segment stays until the next one's first batch is durable.
        reader.note_use(position.segment, position.batch_no);
    }
    if has_successor {
        // The position is the end of a segment that nobody may need any more.
        probe!(cx.world(), "recovery: replay begins with the next segment");
    }
    let mut batch_count = 0;
    while let Some((header, batch)) = reader.next_batch().await? {
        replay.batch(&header, &batch).await?;
        batch_count += 1;
    }
    if batch_count == 0 && !clean {
        connection?;
    }
    let salt_max = reader.look_behind(replay).await?;
    reader.keep_older(position.batch_no, keep_from);
    Ok(reader.finish(batch_count, salt_max))
}

async fn find_segments(cx: &Cx, database: u64) -> Result<BTreeMap<u64, Found>> {
    let DiskReply::Files(files) = cx.disk(DiskOp::List).await? else {
        return Err(Error::internal("the driver did not list the files"));
    };
    let mut found = BTreeMap::new();
    for (file, len) in files {
        let FileId::Log(number) = file else { continue };
        let bytes = cx.read(file, 0, BATCH_HEADER_BYTES).await?;
        let head = BatchHeader::decode(&bytes).filter(|it| it.database == database && it.offset == 0);
        found.insert(number, Found { len, head });
    }
    Ok(found)
}

struct Reader<'a> {
    cx: &'a Cx,
    database: u64,
    found: BTreeMap<u64, Found>,
    at: LogPosition,
    used: Vec<UsedSegment>,
    window: Window,
}

impl Reader<'_> {
    /// The chosen superblock's log must be there.
    fn check_connection(&self) -> Result<()> {
        let at = self.at;
        let refuse = |why: &str| {
            Err(Error::corrupt(format!("log segment {} {why}", at.segment))
                .with_detail(format!("the superblock needs batch {} at offset {}", at.batch_no, at.offset)))
        };
        let Some(found) = self.found.get(&at.segment) else { return refuse("is missing") };
        if found.len < at.offset {
            return refuse("is too short");
        }
        if at.offset > 0 && found.head.is_none_or(|head| head.salt != at.salt) {
            return refuse("does not connect to the superblock");
        }
        Ok(())
    }

    /// The segment that begins with the expected batch, if it is newer than the one being read.
    fn successor(&self) -> Option<(u64, u64)> {
        let connects = |head: &BatchHeader| {
            let newer = head.salt > self.at.salt || (head.salt == self.at.salt && self.at.offset == 0);
            head.batch_no == self.at.batch_no && head.previous == self.at.chain_checksum && newer
        };
        let heads = self.found.iter().filter_map(|(&file, found)| found.head.map(|head| (file, head)));
        heads.filter(|(_, head)| connects(head)).map(|(file, head)| (head.salt, file)).max()
    }

    /// The batch at the current position, or at the start of the segment that follows.
    async fn next_batch(&mut self) -> Result<Option<(BatchHeader, AlignedBuf)>> {
        let mut at = self.at;
        if let Some((salt, file)) = self.successor() {
            (at.segment, at.salt, at.offset) = (file, salt, 0);
        }
        // Where the batch is torn the old place stays: its segment is in use, the torn one is not.
        let Some((header, batch)) = self.batch_at(at.segment, at.offset).await? else {
            return Ok(None);
        };
        let expected =
            header.salt == at.salt && header.batch_no == at.batch_no && header.previous == at.chain_checksum;
        if !expected {
            return Ok(None);
        }
        self.note_use(at.segment, header.batch_no);
        at.offset += round_up_to_sector(u64::from(header.length));
        at.batch_no += 1;
        at.chain_checksum = header.checksum;
        self.at = at;
        Ok(Some((header, batch)))
    }

    /// A whole batch with right checksums at this place, whatever its number.
    async fn batch_at(&mut self, file: u64, offset: u64) -> Result<Option<(BatchHeader, AlignedBuf)>> {
        let Some(len) = self.found.get(&file).map(|found| found.len) else { return Ok(None) };
        let head = self.window.get(self.cx, file, offset, BATCH_HEADER_BYTES).await?;
        let Some(header) = head.and_then(BatchHeader::decode) else { return Ok(None) };
        let length = header.length as usize;
        let placed = header.database == self.database
            && header.offset == offset
            && length >= BATCH_HEADER_BYTES
            && offset + length as u64 <= len;
        if !placed {
            return Ok(None);
        }
        let Some(batch) = self.window.get(self.cx, file, offset, length).await? else { return Ok(None) };
        if batch_checksum(header.previous, batch) != header.checksum {
            probe!(self.cx.world(), "recovery: torn batch");
            return Ok(None);
        }
        Ok(Some((header, AlignedBuf::from(batch))))
    }

    fn note_use(&mut self, file: u64, batch_no: u64) {
        if self.used.last().is_none_or(|it| it.segment.file != file) {
            let len = self.found.get(&file).map_or(0, |found| found.len);
            self.used.push(UsedSegment { segment: Segment { file, len }, first_batch: batch_no });
        }
    }

    /// Keeps the segments that the older superblock would replay.
    fn keep_older(&mut self, start: u64, keep_from: u64) {
        let is_used = |file: u64| self.used.iter().any(|it| it.segment.file == file);
        let older = self.found.iter().filter_map(|(&file, found)| {
            let head = found.head.filter(|head| head.batch_no < start && !is_used(file))?;
            Some(UsedSegment { segment: Segment { file, len: found.len }, first_batch: head.batch_no })
        });
        let mut older: Vec<UsedSegment> = older.collect();
        sorting::sort_by_key(&mut older, |it| it.first_batch);
        // A segment goes only when the next one begins at or before what must be kept.
        let next_first =
            |index: usize, older: &[UsedSegment]| older.get(index + 1).map_or(start, |it| it.first_batch);
        let kept =
            (0..older.len()).filter(|&index| next_first(index, &older) > keep_from).map(|index| older[index]);
        let kept: Vec<UsedSegment> = if keep_from < start { kept.collect() } else { Vec::new() };
        self.used.splice(0..0, kept);
    }

    /// Looks through everything behind the stop for a batch that proves that the missing one was durable. Gives the
    /// largest salt seen.
    async fn look_behind(&mut self, replay: &mut dyn Replay) -> Result<u64> {
        let missing = self.at;
        let mut salt_max = missing.salt;
        let files: Vec<(u64, u64)> = self.found.iter().map(|(&file, found)| (file, found.len)).collect();
        for (file, len) in files {
            let is_read = self.used.iter().any(|it| it.segment.file == file) && file != missing.segment;
            if is_read {
                continue;
            }
            let mut offset = if file == missing.segment { missing.offset } else { 0 };
            while offset + BATCH_HEADER_BYTES as u64 <= len {
                let sector = self.window.get(self.cx, file, offset, BATCH_HEADER_BYTES).await?;
                let is_header = sector.is_some_and(|bytes| bytes[..4] == BATCH_MAGIC);
                let header = sector.filter(|_| is_header).and_then(BatchHeader::decode);
                if let Some(header) = header.filter(|it| it.database == self.database && it.offset == offset)
                {
                    salt_max = salt_max.max(header.salt);
                    self.judge(&header, file, replay).await?;
                }
                offset += SECTOR_BYTES as u64;
            }
        }
        Ok(salt_max)
    }

    async fn judge(&mut self, header: &BatchHeader, file: u64, replay: &mut dyn Replay) -> Result<()> {
        let missing = self.at;
        if header.batch_no <= missing.batch_no {
            return Ok(());
        }
        probe!(self.cx.world(), "recovery: a batch lies behind the torn one");
        if plant!(self.cx.world(), ResurrectCutBatch) && header.salt == missing.salt {
            if let Some((header, batch)) = self.batch_at(file, header.offset).await? {
                replay.batch(&header, &batch).await?;
            }
            return Ok(());
        }
        if header.synced_through >= missing.batch_no {
            probe!(self.cx.world(), "recovery: acknowledged batch damaged");
            return Err(Error::corrupt(format!(
                "log segment {} is damaged at offset {}: batch {} was acknowledged and cannot be read",
                missing.segment, missing.offset, missing.batch_no
            ))
            .with_detail(format!(
                "batch {} in segment {file} says that everything up to batch {} was durable",
                header.batch_no, header.synced_through
            )));
        }
        Ok(())
    }

    fn finish(self, batch_count: u64, salt_max: u64) -> LogEnd {
        let is_used = |file: u64| self.used.iter().any(|it| it.segment.file == file);
        let is_next = |file: u64| self.at.offset == 0 && file == self.at.segment && !is_used(file);
        let idle = self.found.iter().filter(|&(&file, _)| !is_used(file) && !is_next(file));
        let next = self.found.iter().find(|&(&file, _)| is_next(file));
        let heads = self.found.values().filter_map(|found| found.head.map(|head| head.salt));
        LogEnd {
            position: self.at,
            salt_max: heads.max().unwrap_or(0).max(salt_max).max(self.at.salt),
            next_file: self.found.keys().max().map_or(1, |file| file + 1),
            next: next.map(|(&file, found)| Segment { file, len: found.len }),
            idle: idle.map(|(&file, found)| Segment { file, len: found.len }).collect(),
            used: self.used,
            batch_count,
        }
    }
}

/// A read-ahead window over one file.
#[derive(Default)]
struct Window {
    file: u64,
    start: u64,
    bytes: AlignedBuf,
}

impl Window {
    /// `len` bytes at `offset`; `None` where the file ends before.
    async fn get(&mut self, cx: &Cx, file: u64, offset: u64, len: usize) -> Result<Option<&[u8]>> {
        let inside = file == self.file
            && offset >= self.start
            && offset + len as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            self.bytes = cx.read(FileId::Log(file), offset, len.max(WINDOW_BYTES)).await?;
            (self.file, self.start) = (file, offset);
        }
        cx.charge(len.min(SECTOR_BYTES)).await?;
        let at = (offset - self.start) as usize;
        Ok(self.bytes.get(at..at + len))
    }
}
