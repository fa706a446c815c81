//! Free space: which units of the file are taken, in memory as bitmaps, on disk as pages written whole by each
//! checkpoint.
//!
//! - F1: `busy` ⊇ everything that the newest superblock, the older one, or a live tree version reaches (I4). Only units
//!   outside of `busy` are handed out.
//! - F2: what a checkpoint writes down is what *its own* tree version reaches (its free-space pages and the superblock
//!   places included), so the older generation's taken units are known from its own pages.
//!
//! On disk: a `FreeSpaceRoot` page whose payload is: units covered u64, then a 24-byte pointer for each chunk. A chunk is a
//! `FreeSpace` page whose payload is its part of the bitmap, little-endian words, bit set = taken. Chunk i covers units
//! from i × `CHUNK_UNIT_COUNT`.

use super::superblock::{PLACE_BYTES, PLACES};

/// Units that one chunk of the bitmap covers.
pub const CHUNK_UNIT_COUNT: u64 = 1 << 19;
/// Words of one summary group.
const GROUP_WORDS: usize = 64;

/// A run of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// First unit.
    pub start: u64,
    /// How many.
    pub count: u64,
}

/// A growing bitmap of units with a count for each group of 4,096.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bitmap {
    words: Vec<u64>,
    /// Taken units in each group.
    groups: Vec<u32>,
    unit_count: u64,
}

impl Bitmap {
    /// All free.
    pub fn new(unit_count: u64) -> Self {
        let mut bitmap = Bitmap::default();
        bitmap.grow(unit_count);
        bitmap
    }

    /// Covers more units; the new ones are free.
    pub fn grow(&mut self, unit_count: u64) {
        self.unit_count = self.unit_count.max(unit_count);
        self.words.resize(self.unit_count.div_ceil(64) as usize, 0);
        self.groups.resize(self.words.len().div_ceil(GROUP_WORDS), 0);
    }

    /// Covers no more than `unit_count` units; what lies behind is forgotten.
    pub fn truncate(&mut self, unit_count: u64) {
        if unit_count < self.unit_count {
            let (start, count) = (unit_count, self.unit_count - unit_count);
            self.clear(Extent { start, count });
            self.unit_count = unit_count;
            self.grow(unit_count);
        }
    }

    /// Units covered.
    pub fn unit_count(&self) -> u64 {
        self.unit_count
    }

    /// Whether a unit is taken.
    pub fn is_set(&self, unit: u64) -> bool {
        self.words.get((unit / 64) as usize).is_some_and(|word| word >> (unit % 64) & 1 == 1)
    }

    /// Units 64 × `index` to 64 × `index` + 63, the lowest bit first; free beyond the end.
    pub fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    /// Takes all units of `extent`; answers how many were taken before.
    pub fn set(&mut self, extent: Extent) -> u64 {
        self.grow(extent.start + extent.count);
        let mut before = 0;
        self.each_word(extent, |word, mask, group| {
            before += u64::from((*word & mask).count_ones());
            *group += (mask & !*word).count_ones();
            *word |= mask;
        });
        before
    }

    /// Frees all units of `extent`; answers how many were taken before.
    pub fn clear(&mut self, extent: Extent) -> u64 {
        let mut before = 0;
        self.each_word(extent, |word, mask, group| {
            before += u64::from((*word & mask).count_ones());
            *group -= (mask & *word).count_ones();
            *word &= !mask;
        });
        before
    }

    fn each_word(&mut self, extent: Extent, mut change: impl FnMut(&mut u64, u64, &mut u32)) {
        let (mut unit, end) = (extent.start, extent.start + extent.count);
        while unit < end {
            let (index, bit) = ((unit / 64) as usize, unit % 64);
            let count = (64 - bit).min(end - unit);
            let mask = (u64::MAX >> (64 - count)) << bit;
            change(&mut self.words[index], mask, &mut self.groups[index / GROUP_WORDS]);
            unit += count;
        }
    }

    /// Takes over all taken units of `other`.
    pub fn union(&mut self, other: &Bitmap) {
        self.grow(other.unit_count);
        for (index, word) in other.words.iter().enumerate() {
            self.groups[index / GROUP_WORDS] += (word & !self.words[index]).count_ones();
            self.words[index] |= word;
        }
    }

    /// How many units are taken.
    pub fn set_count(&self) -> u64 {
        self.groups.iter().map(|&count| u64::from(count)).sum()
    }

    /// One above the highest taken unit.
    pub fn end(&self) -> u64 {
        let last = self.words.iter().rposition(|&word| word != 0);
        last.map_or(0, |index| index as u64 * 64 + 64 - u64::from(self.words[index].leading_zeros()))
    }

    /// The first free run at or after `from`: its start, and its length up to `count`.
    pub fn find_free(&self, from: u64, count: u64) -> Option<Extent> {
        let mut unit = from;
        while unit < self.unit_count {
            let (index, bit) = ((unit / 64) as usize, unit % 64);
            if bit == 0
                && index.is_multiple_of(GROUP_WORDS)
                && self.groups[index / GROUP_WORDS] == 64 * GROUP_WORDS as u32
            {
                unit += 64 * GROUP_WORDS as u64;
                continue;
            }
            let free = !self.words[index] >> bit;
            if free == 0 {
                unit += 64 - bit;
                continue;
            }
            let start = unit + u64::from(free.trailing_zeros());
            if start >= self.unit_count {
                return None;
            }
            return Some(Extent { start, count: self.free_run(start, count) });
        }
        None
    }

    /// Length of the free run at `start`, up to `count`.
    fn free_run(&self, start: u64, count: u64) -> u64 {
        let end = (start + count).min(self.unit_count);
        let mut unit = start;
        while unit < end {
            let (index, bit) = ((unit / 64) as usize, unit % 64);
            let free = u64::from((self.words[index] >> bit).trailing_zeros()).min(64 - bit);
            unit += free;
            if free < 64 - bit {
                break;
            }
        }
        unit.min(end) - start
    }

    /// The part of the bitmap in chunk `chunk`, as bytes.
    pub fn chunk_bytes(&self, chunk: u64) -> Vec<u8> {
        let words = (CHUNK_UNIT_COUNT / 64) as usize;
        let start = (chunk as usize * words).min(self.words.len());
        let end = (start + words).min(self.words.len());
        self.words[start..end].iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Takes a chunk's bytes over. False when they reach beyond the units covered.
    #[must_use]
    pub fn load_chunk(&mut self, chunk: u64, bytes: &[u8]) -> bool {
        let start = (chunk * CHUNK_UNIT_COUNT / 64) as usize;
        let words = bytes.as_chunks::<8>().0;
        if start + words.len() > self.words.len() {
            return false;
        }
        for (index, word) in words.iter().enumerate() {
            let (at, word) = (start + index, u64::from_le_bytes(*word));
            self.groups[at / GROUP_WORDS] += word.count_ones();
            self.groups[at / GROUP_WORDS] -= self.words[at].count_ones();
            self.words[at] = word;
        }
        true
    }
}

/// The units that the superblock places take.
pub fn superblock_extents(unit_bytes: usize) -> Vec<Extent> {
    let unit = unit_bytes as u64;
    let units = PLACES
        .iter()
        .flatten()
        .map(|at| Extent { start: at / unit, count: (at + PLACE_BYTES).div_ceil(unit) - at / unit });
    units.collect()
}

/// How much of what is asked for must be had in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// All.
    All,
    /// A good part, as long as the file may grow instead.
    LongRun,
    /// Anything: the file cannot grow.
    Any,
}

/// What becomes free later: `extents` stopped being reachable with tree version `sequence`.
#[derive(Clone, Debug)]
struct Deferred {
    sequence: u64,
    extents: Vec<Extent>,
}

/// The allocator of one data file.
#[derive(Debug)]
pub struct FreeSpace {
    /// Reached by the newest tree version (F2).
    live: Bitmap,
    /// Not to be handed out (F1).
    busy: Bitmap,
    deferred: Vec<Deferred>,
    /// Of a checkpoint that failed when its superblock was perhaps written: freed one checkpoint after the next.
    orphans: Vec<Extent>,
    cursor: u64,
    file_unit_count: u64,
}

impl FreeSpace {
    /// The allocator after open: `live` is the newest generation's bitmap, `older` the older one's.
    pub fn new(live: Bitmap, older: Option<(u64, &Bitmap)>, file_unit_count: u64) -> Self {
        let mut busy = live.clone();
        busy.grow(file_unit_count);
        let mut deferred = Vec::new();
        if let Some((sequence, older)) = older {
            let only_older = difference(older, &live);
            busy.union(older);
            deferred.push(Deferred { sequence, extents: only_older });
        }
        FreeSpace { live, busy, deferred, orphans: Vec::new(), cursor: 0, file_unit_count }
    }

    /// The file's units.
    pub fn file_unit_count(&self) -> u64 {
        self.file_unit_count
    }

    /// The file grew; perhaps it is longer already.
    pub fn grow(&mut self, unit_count: u64) {
        self.file_unit_count = self.file_unit_count.max(unit_count);
        self.busy.grow(unit_count);
    }

    /// The file ends behind its last unit in use, or at `unit_count_min`, if there are more than `slack` units behind
    /// that. Answers where.
    pub fn cut_tail(&mut self, unit_count_min: u64, slack: u64) -> Option<u64> {
        let end = self.busy.end().max(self.live.end()).max(unit_count_min);
        if end + slack >= self.file_unit_count {
            return None;
        }
        self.busy.truncate(end);
        self.live.truncate(end);
        self.file_unit_count = end;
        Some(end)
    }

    /// Units that may be handed out now.
    pub fn free_unit_count(&self) -> u64 {
        self.busy.unit_count() - self.busy.set_count()
    }

    /// Everything that may not be handed out.
    pub fn busy(&self) -> &Bitmap {
        &self.busy
    }

    /// Takes a run of 1 to `count` units, as long as can be had without waste; `None`: the file must grow.
    ///
    /// Looks for a run that holds all, then for one of at least an eighth, from where the last one ended; a single unit
    /// only where more than a quarter of the file is free, so that checkpoints write long runs and the file still stays
    /// bounded.
    pub fn take(&mut self, count: u64, need: Need) -> Option<Extent> {
        let free = self.free_unit_count();
        let wanted = if need == Need::All { vec![count] } else { vec![count, (count / 8).max(1), 1] };
        for minimum in wanted {
            if need == Need::LongRun && minimum == 1 && count > 1 && free * 4 < self.busy.unit_count() {
                continue;
            }
            for from in [self.cursor, 0] {
                if let Some(extent) = self.find(from, minimum, count) {
                    self.busy.set(extent);
                    self.cursor = extent.start + extent.count;
                    return Some(extent);
                }
            }
        }
        None
    }

    fn find(&self, from: u64, minimum: u64, count: u64) -> Option<Extent> {
        let mut from = from;
        loop {
            let extent = self.busy.find_free(from, count)?;
            if extent.count >= minimum {
                return Some(extent);
            }
            from = extent.start + extent.count;
        }
    }

    /// Gives units back that were taken and never reached.
    pub fn give_back(&mut self, extent: Extent) {
        let before = self.busy.clear(extent);
        assert_eq!(before, extent.count, "units given back were taken: {extent:?}");
        self.cursor = self.cursor.min(extent.start);
    }

    /// Units of a failed checkpoint that a superblock on disk may reach.
    pub fn orphan(&mut self, extents: Vec<Extent>) {
        self.orphans.extend(extents);
    }

    /// A checkpoint is published: `taken` is reached by it, `freed` no longer.
    pub fn publish(&mut self, sequence: u64, live: Bitmap, mut freed: Vec<Extent>) {
        self.live = live;
        freed.append(&mut self.orphans);
        self.deferred.push(Deferred { sequence, extents: freed });
    }

    /// What the next tree version will reach. `taken` are new pages, `freed` replaced ones.
    pub fn live_after(&self, taken: &[Extent], freed: &[Extent]) -> Bitmap {
        let mut live = self.live.clone();
        for extent in freed {
            let before = live.clear(*extent);
            assert_eq!(before, extent.count, "a replaced page was reachable: {extent:?}");
        }
        for extent in taken {
            let before = live.set(*extent);
            assert_eq!(before, 0, "a new page was free: {extent:?}");
        }
        live
    }

    /// Frees what stopped being reachable with version `sequence_max` or before. Answers it.
    pub fn release(&mut self, sequence_max: u64) -> Vec<Extent> {
        let (ready, waiting) =
            std::mem::take(&mut self.deferred).into_iter().partition(|it| it.sequence <= sequence_max);
        self.deferred = waiting;
        let extents: Vec<Extent> = Vec::into_iter(ready).flat_map(|it: Deferred| it.extents).collect();
        for extent in &extents {
            let before = self.busy.clear(*extent);
            assert_eq!(before, extent.count, "a unit is freed once: {extent:?}");
        }
        if !extents.is_empty() {
            self.cursor = 0;
        }
        extents
    }
}

/// The runs of units set in `of` and not in `without`.
fn difference(of: &Bitmap, without: &Bitmap) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for index in 0..of.words.len() {
        for unit in units_of(index, of.word(index) & !without.word(index)) {
            match extents.last_mut() {
                Some(last) if last.start + last.count == unit => last.count += 1,
                _ => extents.push(Extent { start: unit, count: 1 }),
            }
        }
    }
    extents
}

/// The units whose bits are set in word `index` of a bitmap, in order.
pub fn units_of(index: usize, mut word: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        // With its lowest bit taken away; 0 stays 0.
        word &= word.wrapping_sub(1);
        (bit < 64).then(|| index as u64 * 64 + u64::from(bit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::rng::Rng;

    #[test]
    fn agrees_with_a_plain_set() {
        let mut rng = Rng::new(5);
        let (mut bitmap, mut model) = (Bitmap::new(9000), vec![false; 9000]);
        for _ in 0..2000 {
            let start = rng.below(9000);
            let extent = Extent { start, count: 1 + rng.below((9000 - start).min(5000)) };
            let (range, on) = (start as usize..(start + extent.count) as usize, rng.chance(1, 2));
            let before = model[range.clone()].iter().filter(|&&set| set).count() as u64;
            assert_eq!(if on { bitmap.set(extent) } else { bitmap.clear(extent) }, before);
            model[range].fill(on);
            assert_eq!(bitmap.set_count(), model.iter().filter(|&&set| set).count() as u64);
            assert_eq!(bitmap.end(), model.iter().rposition(|&set| set).map_or(0, |at| at as u64 + 1));
            let from = rng.below(9000) as usize;
            let expected = model[from..].iter().position(|&set| !set).map(|at| {
                let run = model[from + at..].iter().take(70).take_while(|&&set| !set).count();
                Extent { start: (from + at) as u64, count: run as u64 }
            });
            assert_eq!(bitmap.find_free(from as u64, 70), expected);
            let mut copy = Bitmap::new(9000);
            assert!(copy.load_chunk(0, &bitmap.chunk_bytes(0)));
            assert_eq!(copy, bitmap);
        }
    }

    #[test]
    fn a_file_is_cut_behind_its_last_unit() {
        let mut live = Bitmap::new(1000);
        live.set(Extent { start: 3, count: 130 });
        let mut free = FreeSpace::new(live.clone(), None, 1000);
        assert_eq!(free.cut_tail(0, 900), None);
        assert_eq!(free.cut_tail(200, 10), Some(200));
        assert_eq!((free.file_unit_count(), free.free_unit_count()), (200, 70));
        assert_eq!(free.cut_tail(0, 10), Some(133));
        assert_eq!(free.take(4, Need::All), None);
        assert_eq!(free.take(3, Need::All), Some(Extent { start: 0, count: 3 }));
        live.truncate(100);
        assert_eq!((live.unit_count(), live.set_count(), live.end()), (100, 97, 100));
    }

    #[test]
    fn replaced_pages_wait() {
        let mut live = Bitmap::new(64);
        live.set(Extent { start: 0, count: 10 });
        let mut free = FreeSpace::new(live, None, 64);
        let taken = free.take(4, Need::LongRun).expect("room");
        assert_eq!(taken, Extent { start: 10, count: 4 });
        let freed = vec![Extent { start: 3, count: 2 }];
        let live = free.live_after(&[taken], &freed);
        free.publish(7, live, freed.clone());
        assert!(free.release(6).is_empty());
        assert!(free.busy().is_set(3) && !free.live.is_set(3));
        assert_eq!(free.release(7), freed);
        assert!(!free.busy().is_set(3));
        assert_eq!(free.take(100, Need::All), None);
    }
}
