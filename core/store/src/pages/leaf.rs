//! Row leaves.
//!
//! Layout behind the header ([`super::page`]), for n rows and a key prefix of p bytes, little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 64 | n heads of 8 bytes: the first bytes of each key's suffix, zero-padded ([`super::heads`]) |
//! | 64 + 8 n | n slots of 16 bytes: heap offset u16, suffix length u16, value length u16, schema version u16 (0), commit timestamp u64 |
//! | 64 + 24 n | the key prefix, p bytes; none when p ≤ 8, then it is in the header |
//! | 64 + 24 n + p | heap: for each row its suffix (only when longer than 8 bytes; else the head is the suffix) and its value |
//!
//! Value length 65535 marks a long value: its place in the heap holds the 24-byte pointer to its overflow page and the
//! length as u64. Rows lie in key order, everywhere.

use super::heads::{self, HEAD_BYTES};
use super::page::{self, HEADER_BYTES, PTR_BYTES, u16_at, u64_at};
use orrery_base::prefetch::prefetch_bytes;
use orrery_base::{PagePtr, Timestamp};

/// Bytes a row takes beside its heap bytes.
pub const ROW_FIXED_BYTES: usize = 24;
const SLOT_BYTES: usize = 16;
/// Bytes of a long value's reference.
pub const OVERFLOW_REF_BYTES: usize = PTR_BYTES + 8;
/// The value length that marks a long value.
pub const OVERFLOW_MARK: u16 = u16::MAX;

/// A leaf's value in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LeafValue<'p> {
    /// In the leaf.
    Inline(&'p [u8]),
    /// In an overflow page, with its length in bytes: [`super::PageStore::overflow`].
    Overflow(PagePtr, usize),
}

/// A view of a verified leaf.
#[derive(Clone, Copy)]
pub struct LeafView<'p> {
    page: &'p [u8],
    count: usize,
}

impl<'p> LeafView<'p> {
    /// The view of a page of kind `RowLeaf`.
    #[inline]
    pub fn new(page: &'p [u8]) -> Self {
        LeafView { page, count: page::entry_count(page) }
    }

    /// How many rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// What all keys begin with.
    #[inline]
    pub fn prefix(&self) -> &'p [u8] {
        let at = HEADER_BYTES + self.count * ROW_FIXED_BYTES;
        page::prefix(self.page, at)
    }

    #[inline]
    fn heads(&self) -> &'p [[u8; 8]] {
        self.page[HEADER_BYTES..HEADER_BYTES + self.count * HEAD_BYTES].as_chunks().0
    }

    #[inline]
    fn slot(&self, index: usize) -> &'p [u8; SLOT_BYTES] {
        let at = HEADER_BYTES + self.count * HEAD_BYTES;
        &self.page[at..at + self.count * SLOT_BYTES].as_chunks().0[index]
    }

    /// The rest of row `index`'s key.
    #[inline]
    pub fn suffix(&self, index: usize) -> &'p [u8] {
        let slot = self.slot(index);
        let len = usize::from(u16_at(slot, 2));
        if len <= HEAD_BYTES {
            return &self.heads()[index][..len];
        }
        let at = usize::from(u16_at(slot, 0));
        &self.page[at..at + len]
    }

    /// Row `index`'s value.
    #[inline]
    pub fn value(&self, index: usize) -> LeafValue<'p> {
        let slot = self.slot(index);
        let suffix_len = usize::from(u16_at(slot, 2));
        let at = usize::from(u16_at(slot, 0)) + if suffix_len > HEAD_BYTES { suffix_len } else { 0 };
        match u16_at(slot, 4) {
            OVERFLOW_MARK => {
                let len = u64_at(self.page, at + PTR_BYTES) as usize;
                LeafValue::Overflow(page::decode_ptr(&self.page[at..at + PTR_BYTES]), len)
            }
            len => LeafValue::Inline(&self.page[at..at + usize::from(len)]),
        }
    }

    /// The values of rows `rows`, in order, up to the first that is long: for scans that do without keys.
    #[inline]
    pub fn inline_values(&self, rows: std::ops::Range<usize>) -> impl Iterator<Item = &'p [u8]> {
        let (page, at) = (self.page, HEADER_BYTES + self.count * HEAD_BYTES);
        let slots: &'p [[u8; SLOT_BYTES]] = page[at..at + self.count * SLOT_BYTES].as_chunks().0;
        slots[rows].iter().map_while(move |slot| {
            let suffix_len = usize::from(u16_at(slot, 2));
            let at = usize::from(u16_at(slot, 0)) + if suffix_len > HEAD_BYTES { suffix_len } else { 0 };
            let len = u16_at(slot, 4);
            (len != OVERFLOW_MARK).then(|| &page[at..at + usize::from(len)])
        })
    }

    /// Asks the processor for what [`LeafView::prefetch_value`] reads.
    #[inline]
    pub fn prefetch_slots(&self) {
        let at = HEADER_BYTES + self.count * HEAD_BYTES;
        prefetch_bytes(&self.page[at..at + self.count * SLOT_BYTES], usize::MAX);
    }

    /// Asks the processor for the first `limit` bytes of row `index`'s value, if there is such a row.
    #[inline]
    pub fn prefetch_value(&self, index: usize, limit: usize) {
        if index < self.count {
            let slot = self.slot(index);
            let (at, len) = (usize::from(u16_at(slot, 0)), usize::from(u16_at(slot, 4)));
            prefetch_bytes(&self.page[at..], len.min(limit));
        }
    }

    /// Row `index`'s value as it lies in the heap (a reference for a long one), and whether it is long.
    pub fn raw_value(&self, index: usize) -> (&'p [u8], bool) {
        let slot = self.slot(index);
        let suffix_len = usize::from(u16_at(slot, 2));
        let at = usize::from(u16_at(slot, 0)) + if suffix_len > HEAD_BYTES { suffix_len } else { 0 };
        match u16_at(slot, 4) {
            OVERFLOW_MARK => (&self.page[at..at + OVERFLOW_REF_BYTES], true),
            len => (&self.page[at..at + usize::from(len)], false),
        }
    }

    /// When row `index` was committed.
    #[inline]
    pub fn timestamp(&self, index: usize) -> Timestamp {
        Timestamp(u64_at(self.slot(index), 8))
    }

    /// Not below any row's timestamp.
    #[inline]
    pub fn timestamp_max(&self) -> Timestamp {
        Timestamp(u64_at(self.page, 32))
    }

    /// The index of `key`, or where it would stand.
    #[inline]
    pub fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let suffix = match heads::against_prefix(key, self.prefix()) {
            Ok(suffix) => suffix,
            Err(std::cmp::Ordering::Less) => return Err(0),
            Err(_) => return Err(self.count),
        };
        let wanted = heads::head_of_end(key, suffix.len());
        let heads = self.heads();
        let mut index = heads::lower_bound(heads, page::edge_heads(self.page), wanted);
        while index < self.count && u64::from_be_bytes(heads[index]) == wanted {
            match heads::compare_same_head(self.suffix(index), suffix) {
                std::cmp::Ordering::Equal => return Ok(index),
                std::cmp::Ordering::Greater => return Err(index),
                std::cmp::Ordering::Less => {}
            }
            index += 1;
            // Long runs of equal heads (keys that differ late) are halved by whole suffixes.
            if index + 8 < self.count && u64::from_be_bytes(heads[index + 8]) == wanted {
                return self.search_among_equals(index, wanted, suffix);
            }
        }
        Err(index)
    }

    fn search_among_equals(&self, from: usize, wanted: u64, suffix: &[u8]) -> Result<usize, usize> {
        let heads = self.heads();
        let run = heads[from..].partition_point(|head| u64::from_be_bytes(*head) <= wanted);
        let (mut low, mut high) = (from, from + run);
        while low < high {
            let middle = (low + high) / 2;
            match self.suffix(middle).cmp(suffix) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Row `index`'s head.
    pub fn head(&self, index: usize) -> u64 {
        u64::from_be_bytes(self.heads()[index])
    }

    /// Appends row `index`'s whole key to `into`.
    pub fn key_into(&self, index: usize, into: &mut Vec<u8>) {
        into.extend_from_slice(self.prefix());
        into.extend_from_slice(self.suffix(index));
    }
}

/// A row handed to [`encode`].
#[derive(Clone, Copy, Debug)]
pub struct LeafRow<'a> {
    /// The whole key.
    pub key: &'a [u8],
    /// The value, or the reference to it.
    pub value: &'a [u8],
    /// Whether `value` is a reference.
    pub overflow: bool,
    /// When it was committed.
    pub timestamp: Timestamp,
}

/// Writes a leaf of `count` rows into zeroed `page`. The caller made sure that they fit.
pub fn encode<'a>(
    page: &mut [u8],
    tree: u32,
    count: usize,
    prefix_len: usize,
    rows: impl Iterator<Item = LeafRow<'a>>,
) {
    let slots = HEADER_BYTES + count * HEAD_BYTES;
    let prefix_at = HEADER_BYTES + count * ROW_FIXED_BYTES;
    let mut heap = prefix_at + page::heap_prefix_bytes(prefix_len);
    let mut prefix: &[u8] = &[];
    let mut timestamp_max = 0;
    for (index, row) in rows.enumerate() {
        if index == 0 {
            prefix = &row.key[..prefix_len];
        }
        let suffix = &row.key[prefix_len..];
        let head = HEADER_BYTES + index * HEAD_BYTES;
        page[head..head + 8].copy_from_slice(&heads::head_of(suffix).to_be_bytes());
        let value_len = if row.overflow { OVERFLOW_MARK } else { row.value.len() as u16 };
        let lens = u64::from(heap as u16) | (suffix.len() as u64) << 16 | u64::from(value_len) << 32;
        let slot = &mut page[slots + index * SLOT_BYTES..slots + (index + 1) * SLOT_BYTES];
        slot[..8].copy_from_slice(&lens.to_le_bytes());
        slot[8..].copy_from_slice(&row.timestamp.0.to_le_bytes());
        timestamp_max = timestamp_max.max(row.timestamp.0);
        if suffix.len() > HEAD_BYTES {
            page[heap..heap + suffix.len()].copy_from_slice(suffix);
            heap += suffix.len();
        }
        page[heap..heap + row.value.len()].copy_from_slice(row.value);
        heap += row.value.len();
    }
    let header = page::Header {
        kind: page::PageKind::RowLeaf,
        tree,
        entry_count: count,
        prefix_bytes: prefix_len,
        timestamp_max,
        payload_bytes: 0,
    };
    header.encode(page);
    page::encode_search_start(page, HEADER_BYTES..slots, prefix, prefix_at);
}

/// Checks that everything in the page lies in the page.
pub fn verify_bounds(page: &[u8]) -> Result<(), String> {
    let count = page::entry_count(page);
    let heap = HEADER_BYTES + count * ROW_FIXED_BYTES + page::heap_prefix_bytes(page::prefix_bytes(page));
    if count == 0 || heap > page.len() {
        return Err("its row count is impossible".into());
    }
    let view = LeafView { page, count };
    for index in 0..count {
        let slot = view.slot(index);
        let (at, suffix_len) = (usize::from(u16_at(slot, 0)), usize::from(u16_at(slot, 2)));
        let value_len = match u16_at(slot, 4) {
            OVERFLOW_MARK => OVERFLOW_REF_BYTES,
            len => usize::from(len),
        };
        let stored = if suffix_len > HEAD_BYTES { suffix_len } else { 0 };
        if at < heap || at + stored + value_len > page.len() {
            return Err(format!("row {index} lies outside of it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::PageNo;

    fn sample() -> Vec<u8> {
        let mut page = vec![0; 8192];
        let reference = [7; OVERFLOW_REF_BYTES];
        let rows = [
            LeafRow { key: b"key-a", value: b"one", overflow: false, timestamp: Timestamp(5) },
            LeafRow { key: b"key-bcdefghijk", value: b"", overflow: false, timestamp: Timestamp(9) },
            LeafRow { key: b"key-c", value: &reference, overflow: true, timestamp: Timestamp(2) },
        ];
        encode(&mut page, 12, 3, 4, rows.into_iter());
        page::finish(&mut page, PageNo(3), 1, 8);
        page
    }

    #[test]
    fn reads_back_what_was_written() {
        let page = sample();
        verify_bounds(&page).expect("a good page");
        let leaf = LeafView::new(&page);
        assert_eq!((leaf.len(), leaf.prefix(), leaf.timestamp_max()), (3, &b"key-"[..], Timestamp(9)));
        assert_eq!(leaf.suffix(1), b"bcdefghijk");
        assert_eq!(leaf.value(0), LeafValue::Inline(b"one"));
        assert_eq!(leaf.value(1), LeafValue::Inline(b""));
        assert!(matches!(leaf.value(2), LeafValue::Overflow(_, len) if len == 0x0707_0707_0707_0707));
        assert_eq!(leaf.timestamp(2), Timestamp(2));
        assert_eq!(leaf.search(b"key-bcdefghijk"), Ok(1));
        assert_eq!(leaf.search(b"key-bcdefghij"), Err(1));
        assert_eq!(leaf.search(b"key-bcdefghijkl"), Err(2));
        assert_eq!((leaf.search(b"kex"), leaf.search(b"key"), leaf.search(b"kez")), (Err(0), Err(0), Err(3)));
    }

    /// Golden bytes: part of the file format (docs/format.md).
    #[test]
    fn golden_bytes() {
        let page = sample();
        let hex = |range: std::ops::Range<usize>| -> String {
            page[range].iter().map(|b| format!("{b:02x}")).collect()
        };
        assert_eq!(
            hex(0..32),
            "03000300010000000300000000000000".to_string() + "08000000000000000c00000004000000"
        );
        assert_eq!(
            hex(32..64),
            "09000000000000006100000000000000".to_string() + "63000000000000006b65792d00000000"
        );
        assert_eq!(hex(64..88), "61000000000000006263646566676869".to_string() + "6300000000000000");
        assert_eq!(
            hex(88..120),
            "88000100030000000500000000000000".to_string() + "8b000a00000000000900000000000000"
        );
        assert_eq!(hex(120..136), "95000100ffff00000200000000000000");
        assert_eq!(hex(136..149), "6f6e65".to_string() + "62636465666768696a6b");
    }
}
