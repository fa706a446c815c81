//! Inner pages.
//!
//! Layout behind the header ([`super::page`]), for n children and a common separator prefix of p bytes, little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 64 | n heads of 8 bytes of the separators' suffixes ([`super::heads`]); the first is 0 |
//! | 64 + 8 n | n slots of 4 bytes: heap offset u16, suffix length u16; the first is 0 |
//! | 64 + 12 n | n child pointers of 24 bytes |
//! | 64 + 36 n | the prefix of separators 1.., p bytes; none when p ≤ 8, then it is in the header |
//! | 64 + 36 n + p | heap: suffixes longer than 8 bytes |
//!
//! Child i holds the keys from separator i (inclusive) up to separator i + 1. The first child's separator is not stored:
//! it is the page's own in its parent. The entry's level is the walker's to know (leaves are level 0).

use super::heads::{self, HEAD_BYTES};
use super::page::{self, HEADER_BYTES, PTR_BYTES, u16_at};
use orrery_base::PagePtr;

/// Bytes a child takes beside its heap bytes.
pub const CHILD_FIXED_BYTES: usize = HEAD_BYTES + 4 + PTR_BYTES;

/// A view of a verified inner page.
#[derive(Clone, Copy)]
pub struct InnerView<'p> {
    page: &'p [u8],
    count: usize,
}

impl<'p> InnerView<'p> {
    /// The view of a page of kind `Inner`.
    #[inline]
    pub fn new(page: &'p [u8]) -> Self {
        InnerView { page, count: page::entry_count(page) }
    }

    /// How many children.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    #[inline]
    fn heads(&self) -> &'p [[u8; 8]] {
        self.page[HEADER_BYTES..HEADER_BYTES + self.count * HEAD_BYTES].as_chunks().0
    }

    /// What all separators but the first begin with.
    #[inline]
    pub fn prefix(&self) -> &'p [u8] {
        let at = HEADER_BYTES + self.count * CHILD_FIXED_BYTES;
        page::prefix(self.page, at)
    }

    /// The rest of separator `index` (from 1).
    #[inline]
    pub fn suffix(&self, index: usize) -> &'p [u8] {
        let slot = HEADER_BYTES + self.count * HEAD_BYTES + index * 4;
        let len = usize::from(u16_at(self.page, slot + 2));
        if len <= HEAD_BYTES {
            return &self.heads()[index][..len];
        }
        let at = usize::from(u16_at(self.page, slot));
        &self.page[at..at + len]
    }

    /// Separator `index`'s head.
    pub fn head(&self, index: usize) -> u64 {
        u64::from_be_bytes(self.heads()[index])
    }

    /// Separator `index` (from 1).
    pub fn separator(&self, index: usize) -> Vec<u8> {
        [self.prefix(), self.suffix(index)].concat()
    }

    /// How separator `index` (from 1) stands to `key`.
    pub fn compare_separator(&self, index: usize, key: &[u8]) -> std::cmp::Ordering {
        match heads::against_prefix(key, self.prefix()) {
            Ok(suffix) => self.suffix(index).cmp(suffix),
            Err(ordering) => ordering.reverse(),
        }
    }

    /// The pointer to child `index`.
    #[inline]
    pub fn child(&self, index: usize) -> PagePtr {
        let at = HEADER_BYTES + self.count * (HEAD_BYTES + 4) + index * PTR_BYTES;
        page::decode_ptr(&self.page[at..at + PTR_BYTES])
    }

    /// The child whose range holds `key`: the last whose separator is not above it.
    #[inline]
    pub fn child_index(&self, key: &[u8]) -> usize {
        let suffix = match heads::against_prefix(key, self.prefix()) {
            Ok(suffix) => suffix,
            Err(std::cmp::Ordering::Less) => return 0,
            Err(_) => return self.count - 1,
        };
        let wanted = heads::head_of_end(key, suffix.len());
        let heads = &self.heads()[1..];
        let mut index = heads::lower_bound(heads, page::edge_heads(self.page), wanted);
        // `index` separators have a smaller head; those with an equal one are compared whole.
        while index < heads.len() && u64::from_be_bytes(heads[index]) == wanted {
            if index + 8 < heads.len() && u64::from_be_bytes(heads[index + 8]) == wanted {
                return self.child_index_among_equals(index, wanted, suffix);
            }
            if heads::compare_same_head(self.suffix(index + 1), suffix).is_gt() {
                break;
            }
            index += 1;
        }
        index
    }

    fn child_index_among_equals(&self, from: usize, wanted: u64, suffix: &[u8]) -> usize {
        let heads = &self.heads()[1..];
        let run = heads[from..].partition_point(|head| u64::from_be_bytes(*head) <= wanted);
        let (mut low, mut high) = (from, from + run);
        while low < high {
            let middle = (low + high) / 2;
            match self.suffix(middle + 1) <= suffix {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }
}

/// Writes an inner page of `count` children (separator, encoded pointer) into zeroed `page`. The first separator is not
/// stored, and `prefix_len` is what the others share.
pub fn encode<'a>(
    page: &mut [u8],
    tree: u32,
    count: usize,
    prefix_len: usize,
    children: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    let (slots, ptrs) = (HEADER_BYTES + count * 8, HEADER_BYTES + count * 12);
    let prefix_at = HEADER_BYTES + count * CHILD_FIXED_BYTES;
    let mut heap = prefix_at + page::heap_prefix_bytes(prefix_len);
    let mut prefix: &[u8] = &[];
    for (index, (separator, ptr)) in children.enumerate() {
        page[ptrs + index * PTR_BYTES..ptrs + (index + 1) * PTR_BYTES].copy_from_slice(ptr);
        if index == 0 {
            continue;
        }
        if index == 1 {
            prefix = &separator[..prefix_len];
        }
        let suffix = &separator[prefix_len..];
        let head = HEADER_BYTES + index * HEAD_BYTES;
        page[head..head + 8].copy_from_slice(&heads::head_of(suffix).to_be_bytes());
        let slot = slots + index * 4;
        page[slot..slot + 2].copy_from_slice(&(heap as u16).to_le_bytes());
        page[slot + 2..slot + 4].copy_from_slice(&(suffix.len() as u16).to_le_bytes());
        if suffix.len() > HEAD_BYTES {
            page[heap..heap + suffix.len()].copy_from_slice(suffix);
            heap += suffix.len();
        }
    }
    let header = page::Header {
        kind: page::PageKind::Inner,
        tree,
        entry_count: count,
        prefix_bytes: prefix_len,
        timestamp_max: 0,
        payload_bytes: 0,
    };
    header.encode(page);
    // A page of one child has no separator; its search begins with the zeros of the first.
    let first = if count > 1 { HEADER_BYTES + HEAD_BYTES } else { HEADER_BYTES };
    page::encode_search_start(page, first..slots, prefix, prefix_at);
}

/// Checks that everything in the page lies in the page.
pub fn verify_bounds(page: &[u8]) -> Result<(), String> {
    let count = page::entry_count(page);
    let heap = HEADER_BYTES + count * CHILD_FIXED_BYTES + page::heap_prefix_bytes(page::prefix_bytes(page));
    if count == 0 || heap > page.len() {
        return Err("its child count is impossible".into());
    }
    for index in 1..count {
        let slot = HEADER_BYTES + count * HEAD_BYTES + index * 4;
        let (at, len) = (usize::from(u16_at(page, slot)), usize::from(u16_at(page, slot + 2)));
        if at < heap || (len > HEAD_BYTES && at + len > page.len()) {
            return Err(format!("separator {index} lies outside of it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::PageNo;

    fn page_of(separators: &[&[u8]], prefix_len: usize) -> Vec<u8> {
        let ptrs: Vec<_> = (0..separators.len() as u64)
            .map(|n| {
                page::encode_ptr(&PagePtr { page_no: PageNo(n + 10), unit_count: 1, version: 1, checksum: 5 })
            })
            .collect();
        let mut page = vec![0; 8192];
        let children = separators.iter().zip(&ptrs).map(|(separator, ptr)| (*separator, ptr.as_slice()));
        encode(&mut page, 4, separators.len(), prefix_len, children);
        verify_bounds(&page).expect("a good page");
        page
    }

    #[test]
    fn finds_the_child() {
        let page = page_of(&[b"", b"row-b", b"row-bb", b"row-long-separator", b"row-z"], 4);
        let inner = InnerView::new(&page);
        let cases: [(&[u8], usize); 11] = [
            (b"", 0),
            (b"row", 0),
            (b"row-a", 0),
            (b"row-b", 1),
            (b"row-ba", 1),
            (b"row-bb", 2),
            (b"row-long-separato", 2),
            (b"row-long-separator", 3),
            (b"row-z", 4),
            (b"row.", 4),
            (b"s", 4),
        ];
        for (key, child) in cases {
            assert_eq!(inner.child_index(key), child, "{key:?}");
        }
        assert_eq!(inner.child(3).page_no, PageNo(13));
        assert_eq!(inner.separator(3), b"row-long-separator");
    }

    #[test]
    fn finds_the_child_among_equal_heads() {
        let separators: Vec<Vec<u8>> =
            (0..100u8).map(|n| [&b"0same-head"[..], &[n / 2, n % 2]].concat()).collect();
        let mut all: Vec<&[u8]> = vec![b""];
        all.extend(separators.iter().map(Vec::as_slice));
        let page = page_of(&all, 1);
        let inner = InnerView::new(&page);
        for (index, separator) in separators.iter().enumerate() {
            assert_eq!(inner.child_index(separator), index + 1);
            assert_eq!(inner.child_index(&[separator, &b"+"[..]].concat()), index + 1);
        }
        assert_eq!(inner.child_index(b"0same-head"), 0);
    }

    /// Golden bytes: part of the file format (docs/format.md).
    #[test]
    fn golden_bytes() {
        let mut page = page_of(&[b"", b"k-is-longer", b"k1"], 1);
        page::finish(&mut page, PageNo(6), 1, 2);
        let hex = |range: std::ops::Range<usize>| -> String {
            page[range].iter().map(|b| format!("{b:02x}")).collect()
        };
        assert_eq!(hex(0..32), "0100030001000000060000000000000002000000000000000400000001000000");
        assert_eq!(hex(40..64), "2d69732d6c6f6e6731000000000000006b00000000000000");
        assert_eq!(hex(64..88), "00000000000000002d69732d6c6f6e673100000000000000");
        assert_eq!(hex(88..100), "00000000ac000a00b6000100");
        assert_eq!(hex(100..124), "0a0000000000000001000000050000000100000000000000");
        assert_eq!(hex(172..182), "2d69732d6c6f6e676572");
    }
}
