//! The log's space: which segment is written now, which are ready behind it, which wait to be used again.
//!
//! Plain data under the sequencer's lock: nothing here does I/O. Space is taken twice. *Planning* happens before a
//! commit is sequenced and must succeed first (I6): each item is planned as a batch of its own, laid one after another
//! over the segments. *Placing* happens when the leader forms a batch, and needs at most what was planned, because a
//! batch of several items is never longer than the items apart.

use orrery_base::sorting;
use std::collections::VecDeque;

/// A preallocated file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The number in `FileId::Log`.
    pub file: u64,
    /// Bytes preallocated.
    pub len: u64,
}

/// A segment with batches in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedSegment {
    /// Which file.
    pub segment: Segment,
    /// The number of its first batch.
    pub first_batch: u64,
}

/// Where a batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which file.
    pub file: u64,
    /// Its salt.
    pub salt: u64,
    /// Where in it.
    pub offset: u64,
    /// How many bytes, at most, the batch may have here.
    pub room: u64,
}

/// See the file's head.
#[derive(Debug)]
pub struct LogSpace {
    current: Option<Segment>,
    offset: u64,
    salt: u64,
    ready: VecDeque<Segment>,
    idle: Vec<Segment>,
    used: VecDeque<UsedSegment>,
    plan_segment: usize,
    plan_offset: u64,
    next_file: u64,
    next_len: u64,
    next_bulk_len: u64,
    len_max: u64,
    /// Kept free for those who make room (I6).
    kept: u64,
    /// Bytes that may be planned before somebody makes sure again that a checkpoint could fold them (I6).
    admitted: u64,
}

/// Idle segments beyond this many are removed.
const IDLE_SEGMENT_COUNT_MAX: usize = 2;
/// Bytes kept free for those who make room on a full disk; less where segments are small.
const KEPT_BYTES_MAX: u64 = 64 << 10;

impl LogSpace {
    /// No segment yet; `salt` is below all to come, `next_file` above all that exist.
    pub fn new(salt: u64, next_file: u64, first_len: u64, len_max: u64) -> Self {
        LogSpace {
            current: None,
            offset: 0,
            salt,
            ready: VecDeque::new(),
            idle: Vec::new(),
            used: VecDeque::new(),
            plan_segment: 0,
            plan_offset: 0,
            next_file,
            next_len: first_len.min(len_max),
            next_bulk_len: first_len.min(len_max),
            len_max,
            kept: (first_len / 4).min(KEPT_BYTES_MAX),
            admitted: 0,
        }
    }

    /// Adds a segment that recovery read, oldest first.
    pub fn add_used(&mut self, used: UsedSegment) {
        self.next_len = self.next_len.max((used.segment.len * 2).min(self.len_max));
        self.used.push_back(used);
    }

    /// Adds the segment that is to be written next.
    pub fn add_ready(&mut self, segment: Segment) {
        self.ready.push_back(segment);
    }

    /// Adds a segment without anything of worth in it.
    pub fn add_idle(&mut self, segment: Segment) {
        self.idle.push(segment);
    }

    /// Whether the segments have room for `bytes`, admitted or not; all of it for an emergency.
    pub fn has_room(&self, bytes: u64, is_emergency: bool) -> bool {
        let end = self.end_of_plan(bytes);
        end.is_some_and(|end| is_emergency || self.room_behind(end) >= self.kept)
    }

    /// Plans `bytes` for an item. `false`: there is no room, or it is not admitted, and nothing changed. An emergency
    /// gets what is kept, and needs no admission.
    pub fn plan(&mut self, bytes: u64, is_emergency: bool) -> bool {
        let Some(end) = self.end_of_plan(bytes) else { return false };
        if !is_emergency {
            if self.admitted < bytes || self.room_behind(end) < self.kept {
                return false;
            }
            self.admitted -= bytes;
        }
        (self.plan_segment, self.plan_offset) = end;
        true
    }

    /// Where the plan would end with `bytes` more.
    fn end_of_plan(&self, bytes: u64) -> Option<(usize, u64)> {
        let (mut segment, mut offset) = (self.plan_segment, self.plan_offset);
        loop {
            let len = match segment {
                0 => self.current.map_or(0, |it| it.len),
                _ => self.ready.get(segment - 1)?.len,
            };
            if offset + bytes <= len {
                return Some((segment, offset + bytes));
            }
            (segment, offset) = (segment + 1, 0);
        }
    }

    fn room_behind(&self, (segment, offset): (usize, u64)) -> u64 {
        let len = match segment {
            0 => self.current.map_or(0, |it| it.len),
            _ => self.ready.get(segment - 1).map_or(0, |it| it.len),
        };
        len.saturating_sub(offset) + self.ready.iter().skip(segment).map(|it| it.len).sum::<u64>()
    }

    /// Bytes that the segments have left behind the plan.
    pub fn room(&self) -> u64 {
        self.room_behind((self.plan_segment, self.plan_offset))
    }

    /// A checkpoint can fold what is there and `bytes` more.
    pub fn admit(&mut self, bytes: u64) {
        self.admitted = bytes;
    }

    /// The shortest segment that makes room for `bytes`.
    pub fn len_for(&self, bytes: u64) -> u64 {
        bytes + self.kept
    }

    /// Where the next batch goes, whose first item takes `bytes`. Moves on to the next segment when the current one has
    /// no room for that item.
    pub fn place(&mut self, bytes: u64, batch_no: u64) -> Place {
        while self.current.is_none_or(|it| self.offset + bytes > it.len) {
            let next = self.ready.pop_front().expect("I6: space was planned before sequencing");
            self.current = Some(next);
            self.offset = 0;
            self.salt += 1;
            if self.plan_segment == 0 {
                self.plan_offset = 0;
            }
            self.plan_segment = self.plan_segment.saturating_sub(1);
            self.used.push_back(UsedSegment { segment: next, first_batch: batch_no });
        }
        let current = self.current.expect("set above");
        Place { file: current.file, salt: self.salt, offset: self.offset, room: current.len - self.offset }
    }

    /// The batch placed last takes `bytes`.
    pub fn advance(&mut self, bytes: u64) {
        self.offset += bytes;
        debug_assert!(self.current.is_some_and(|it| self.offset <= it.len), "a batch stays in its segment");
    }

    /// Nothing is planned beyond what was placed: the plan starts again from there.
    pub fn forget_plan(&mut self) {
        (self.plan_segment, self.plan_offset) = (0, self.offset);
    }

    /// Where the first batch of the next segment will go: file and salt.
    pub fn next_segment(&self) -> Option<(u64, u64)> {
        self.ready.front().map(|it| (it.file, self.salt + 1))
    }

    /// Takes an idle segment with room for `bytes` into use; else says which file to allocate. Segments for a large write
    /// (`is_bulk`) double on their own: the small commits that follow it need no large segment filled with zeros.
    pub fn grow(&mut self, bytes: u64, is_bulk: bool) -> Result<(), Segment> {
        if let Some(at) = self.idle.iter().position(|it| it.len >= bytes) {
            let segment = self.idle.swap_remove(at);
            self.ready.push_back(segment);
            return Ok(());
        }
        let next_len = if is_bulk { self.next_bulk_len } else { self.next_len };
        let segment = Segment { file: self.next_file, len: next_len.max(bytes) };
        self.next_file += 1;
        Err(segment)
    }

    /// The file asked for by [`LogSpace::grow`] is there.
    pub fn grown(&mut self, segment: Segment, is_bulk: bool) {
        let next_len = if is_bulk { &mut self.next_bulk_len } else { &mut self.next_len };
        *next_len = (segment.len * 2).clamp(*next_len, self.len_max.max(*next_len));
        self.ready.push_back(segment);
    }

    /// How large the next segment would be.
    pub fn preallocation(&self) -> u64 {
        self.idle.iter().map(|it| it.len).max().unwrap_or(self.next_len)
    }

    /// Whether the next segment should be made ready ahead of its use.
    pub fn wants_ready(&self) -> bool {
        self.ready.is_empty() && self.current.is_some_and(|it| self.offset * 2 > it.len)
    }

    /// Frees the segments that lie wholly before batch `batch_no`. Gives the files to remove.
    ///
    /// The segment in which replay begins stays until the first batch of the next one is durable: a superblock may name
    /// the end of the one, and a crash may leave nothing in the other.
    pub fn free_before(&mut self, batch_no: u64, synced_through: u64) -> Vec<u64> {
        while self.used.len() > 1 && self.used[1].first_batch <= batch_no.min(synced_through) {
            let freed = self.used.pop_front().expect("there are two").segment;
            self.idle.push(freed);
        }
        let excess = self.idle.len().saturating_sub(IDLE_SEGMENT_COUNT_MAX);
        // The smallest go first: large segments cost most to make.
        sorting::sort_by_key(&mut self.idle, |it| (it.len, it.file));
        self.idle.drain(..excess).map(|it| it.file).collect()
    }

    /// All files, to be removed after a clean close.
    pub fn take_all(&mut self) -> Vec<u64> {
        let current = self.current.take();
        let mut files: Vec<u64> = self.used.drain(..).map(|it| it.segment.file).collect();
        files.extend(current.map(|it| it.file));
        files.extend(self.ready.drain(..).map(|it| it.file));
        files.extend(self.idle.drain(..).map(|it| it.file));
        sorting::sort(&mut files);
        files.dedup();
        (self.offset, self.plan_segment, self.plan_offset) = (0, 0, 0);
        files
    }

    /// Bytes of segments that hold batches.
    pub fn used_bytes(&self) -> u64 {
        let full: u64 = self.used.iter().map(|it| it.segment.len).sum();
        let unused_of_current = self.current.map_or(0, |it| it.len - self.offset);
        full.saturating_sub(unused_of_current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_segments(lens: &[u64]) -> LogSpace {
        let mut space = LogSpace::new(0, 10, 1024, 4096);
        for (file, &len) in (0..).zip(lens) {
            space.grown(Segment { file, len }, false);
        }
        space
    }

    #[test]
    fn planning_moves_over_segments() {
        let mut space = with_segments(&[1024, 1024]);
        assert!(space.plan(1024, true) && space.plan(512, true));
        assert!(!space.plan(1024, true));
        assert!(space.plan(512, true));
        assert!(!space.plan(512, true));
    }

    /// The last quarter of a small segment is for emergencies, and the rest for what is admitted.
    #[test]
    fn a_part_is_kept() {
        let mut space = with_segments(&[1024]);
        assert!(space.has_room(768, false) && !space.has_room(769, false) && space.has_room(1024, true));
        assert!(!space.plan(512, false), "nothing is admitted yet");
        space.admit(space.room());
        assert!(space.plan(512, false) && !space.plan(512, false) && space.plan(256, false));
        assert!(!space.plan(1, false) && space.plan(256, true));
        space.grown(Segment { file: 9, len: 1024 }, false);
        assert!(space.plan(100, false), "another segment keeps it");
        space.admit(50);
        assert!(!space.plan(51, false) && space.plan(50, false) && !space.plan(1, false));
    }

    /// Whatever the grouping, what was planned can be placed.
    #[test]
    fn placing_never_needs_more_than_was_planned() {
        let mut rng = orrery_base::rng::Rng::new(1);
        for _ in 0..500 {
            let lens: Vec<u64> = (0..6).map(|_| 512 * rng.range(4..20)).collect();
            let mut space = with_segments(&lens);
            let mut queue = VecDeque::new();
            let mut batch_no = 1;
            loop {
                let item = 512 * rng.range(1..4);
                if !space.plan(item, true) {
                    break;
                }
                queue.push_back(item);
                if rng.chance(1, 3) {
                    while let Some(&first) = queue.front() {
                        let place = space.place(first, batch_no);
                        let mut used = 0;
                        while let Some(&next) = queue.front().filter(|&&next| used + next <= place.room) {
                            used += next;
                            queue.pop_front();
                        }
                        // Grouping saves up to a sector per item but the first.
                        space.advance(used.saturating_sub(512).max(512));
                        batch_no += 1;
                    }
                    space.forget_plan();
                }
            }
            while let Some(first) = queue.pop_front() {
                space.place(first, batch_no);
                space.advance(first);
            }
        }
    }

    #[test]
    fn segments_are_used_again_with_a_fresh_salt() {
        let mut space = with_segments(&[1024, 1024]);
        let first = space.place(1024, 1);
        space.advance(1024);
        let second = space.place(1024, 2);
        assert!(second.salt > first.salt && second.file != first.file);
        space.advance(1024);
        assert!(space.free_before(2, 1).is_empty());
        assert!(space.grow(512, false).is_err(), "a crash may leave nothing of batch 2");
        assert!(space.free_before(2, 2).is_empty());
        assert_eq!(space.grow(512, false), Ok(()));
        let third = space.place(512, 3);
        assert_eq!(third.file, first.file);
        assert!(third.salt > second.salt);
    }
}
