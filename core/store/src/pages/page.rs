//! What all pages share: the 64-byte header, the pointer codec, and the checks made when a page comes from the disk.
//!
//! Header, little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 0 | kind ([`PageKind`]) |
//! | 1 | format of the kind: 0 |
//! | 2–3 | entry count |
//! | 4–7 | unit count |
//! | 8–15 | page number |
//! | 16–23 | tree version that wrote it |
//! | 24–27 | tree id; 0 for pages of no tree |
//! | 28–29 | key prefix length |
//! | 30–31 | newest schema version of a leaf's rows: reserved, 0 |
//! | 32–39 | newest timestamp of a leaf's rows |
//! | 40–47 | payload bytes (overflow and free-space pages); the first head (leaves: row 0, inner pages: separator 1) |
//! | 48–55 | the last head |
//! | 56–63 | the key prefix, when it has at most 8 bytes |
//!
//! The heads at both ends and a short prefix are in the header because a search begins with them: they come with the
//! cache line that is read anyway.
//!
//! A pointer is 24 bytes: page number u64, unit count u32, checksum u32, version u64. The checksum is the pointer's, not
//! the page's: it covers every byte of the page, and a page cannot vouch for itself.
//!
//! [`verify`] also checks that all offsets inside lie in the page, so that readers slice without asking again. A page
//! that passes may still hold wrong keys (a bug, not rot): `check` looks at those.

use super::{inner, leaf};
use orrery_base::hash::checksum;
use orrery_base::{Error, PageNo, PagePtr, Result};

/// Bytes of the header. The body begins 64-byte aligned.
pub const HEADER_BYTES: usize = 64;
/// Bytes of the longest prefix that lies in the header.
const PREFIX_IN_HEADER_BYTES: usize = 8;
/// Bytes of an encoded pointer.
pub const PTR_BYTES: usize = 24;

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PageKind {
    /// Separators and child pointers.
    Inner = 1,
    // 2: inner page with buffered messages, reserved.
    /// Rows.
    RowLeaf = 3,
    // 4: column leaf, reserved.
    /// One long value.
    Overflow = 5,
    /// A part of the free-space bitmap.
    FreeSpace = 6,
    /// The list of the bitmap's parts.
    FreeSpaceRoot = 7,
}

/// The header's fields as the encoder knows them; number, units and version are set when the page gets its place.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Its kind.
    pub kind: PageKind,
    /// Its tree, or 0.
    pub tree: u32,
    /// How many entries.
    pub entry_count: usize,
    /// Bytes that all keys share.
    pub prefix_bytes: usize,
    /// Of a leaf's rows.
    pub timestamp_max: u64,
    /// Of overflow and free-space pages.
    pub payload_bytes: u64,
}

impl Header {
    /// Writes the fields into `page`.
    pub fn encode(&self, page: &mut [u8]) {
        page[0] = self.kind as u8;
        page[1] = 0;
        page[2..4].copy_from_slice(&(self.entry_count as u16).to_le_bytes());
        page[24..28].copy_from_slice(&self.tree.to_le_bytes());
        page[28..30].copy_from_slice(&(self.prefix_bytes as u16).to_le_bytes());
        page[32..40].copy_from_slice(&self.timestamp_max.to_le_bytes());
        page[40..48].copy_from_slice(&self.payload_bytes.to_le_bytes());
    }
}

/// Gives an encoded page its place and answers the pointer to it.
pub fn finish(page: &mut [u8], page_no: PageNo, unit_count: u32, version: u64) -> PagePtr {
    page[4..8].copy_from_slice(&unit_count.to_le_bytes());
    page[8..16].copy_from_slice(&page_no.0.to_le_bytes());
    page[16..24].copy_from_slice(&version.to_le_bytes());
    PagePtr { page_no, unit_count, version, checksum: checksum(page) }
}

#[inline]
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[inline]
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The page's kind byte.
#[inline]
pub fn kind_byte(page: &[u8]) -> u8 {
    page[0]
}

/// How many entries the page has.
#[inline]
pub fn entry_count(page: &[u8]) -> usize {
    usize::from(u16_at(page, 2))
}

/// Bytes that all keys of the page share.
#[inline]
pub fn prefix_bytes(page: &[u8]) -> usize {
    usize::from(u16_at(page, 28))
}

/// Bytes that a prefix takes outside of the header.
#[inline]
pub fn heap_prefix_bytes(prefix_bytes: usize) -> usize {
    if prefix_bytes > PREFIX_IN_HEADER_BYTES { prefix_bytes } else { 0 }
}

/// What all keys of the page begin with; a long one lies at `at`.
#[inline]
pub fn prefix(page: &[u8], at: usize) -> &[u8] {
    match prefix_bytes(page) {
        len if len <= PREFIX_IN_HEADER_BYTES => &page[56..56 + len],
        len => &page[at..at + len],
    }
}

/// The first and the last head.
#[inline]
pub fn edge_heads(page: &[u8]) -> (u64, u64) {
    let at = |at: usize| u64::from_be_bytes(page[at..at + 8].try_into().expect("eight bytes"));
    (at(40), at(48))
}

/// Writes what a search begins with, behind [`Header::encode`]. `heads` are all of the page's, `long_prefix_at` is where
/// a prefix goes that is too long for the header.
pub fn encode_search_start(
    page: &mut [u8],
    heads: std::ops::Range<usize>,
    prefix: &[u8],
    long_prefix_at: usize,
) {
    page.copy_within(heads.start..heads.start + 8, 40);
    page.copy_within(heads.end - 8..heads.end, 48);
    let at = if prefix.len() <= PREFIX_IN_HEADER_BYTES { 56 } else { long_prefix_at };
    page[at..at + prefix.len()].copy_from_slice(prefix);
}

/// The tree the page belongs to.
pub fn tree_id(page: &[u8]) -> u32 {
    u32_at(page, 24)
}

/// Payload bytes of an overflow or free-space page.
pub fn payload(page: &[u8]) -> &[u8] {
    &page[HEADER_BYTES..HEADER_BYTES + u64_at(page, 40) as usize]
}

/// Encodes a pointer.
#[inline]
pub fn encode_ptr(ptr: &PagePtr) -> [u8; PTR_BYTES] {
    let mut bytes = [0; PTR_BYTES];
    bytes[0..8].copy_from_slice(&ptr.page_no.0.to_le_bytes());
    bytes[8..12].copy_from_slice(&ptr.unit_count.to_le_bytes());
    bytes[12..16].copy_from_slice(&ptr.checksum.to_le_bytes());
    bytes[16..24].copy_from_slice(&ptr.version.to_le_bytes());
    bytes
}

/// Decodes a pointer from the first 24 bytes.
#[inline]
pub fn decode_ptr(bytes: &[u8]) -> PagePtr {
    PagePtr {
        page_no: PageNo(u64_at(bytes, 0)),
        unit_count: u32_at(bytes, 8),
        checksum: u32_at(bytes, 12),
        version: u64_at(bytes, 16),
    }
}

/// Encodes a pointer that may be absent (24 zero bytes: page 0 is a superblock's).
pub fn encode_optional_ptr(ptr: Option<&PagePtr>) -> [u8; PTR_BYTES] {
    ptr.map_or([0; PTR_BYTES], encode_ptr)
}

/// Decodes a pointer that may be absent.
pub fn decode_optional_ptr(bytes: &[u8]) -> Option<PagePtr> {
    let ptr = decode_ptr(bytes);
    (ptr.unit_count > 0).then_some(ptr)
}

/// Checks, before anything is read or counted, that a pointer names a place of a file of `file_unit_count` units: a
/// length taken from a damaged page must not decide how much is read. Errors: XX001.
pub fn verify_place(ptr: &PagePtr, file_unit_count: u64) -> Result<()> {
    let end = ptr.page_no.0.checked_add(u64::from(ptr.unit_count));
    match end.is_some_and(|end| ptr.unit_count > 0 && end <= file_unit_count) {
        true => Ok(()),
        false => {
            let what = format!("its {} units lie outside of the file's {file_unit_count}", ptr.unit_count);
            Err(damaged(ptr, what))
        }
    }
}

/// Checks a page that came from the disk against the pointer to it. `ignore_checksum` is the planted bug.
/// Errors: XX001 with what is wrong.
pub fn verify(page: &[u8], ptr: &PagePtr, unit_bytes: usize, ignore_checksum: bool) -> Result<()> {
    let wanted = ptr.unit_count as usize * unit_bytes;
    if page.len() != wanted {
        return Err(damaged(ptr, format!("the file ends inside it ({} of {wanted} bytes)", page.len())));
    }
    let found = checksum(page);
    if found != ptr.checksum && !ignore_checksum {
        let same_place = u64_at(page, 8) == ptr.page_no.0;
        let version = u64_at(page, 16);
        let what = match same_place {
            true if version != ptr.version => format!("version {version} found, {} expected", ptr.version),
            true => format!("checksum {found:08x} found, {:08x} expected", ptr.checksum),
            false => format!(
                "checksum {found:08x} found, {:08x} expected; it says page {}",
                ptr.checksum,
                u64_at(page, 8)
            ),
        };
        return Err(damaged(ptr, what));
    }
    if u64_at(page, 8) != ptr.page_no.0
        || u64_at(page, 16) != ptr.version
        || u32_at(page, 4) != ptr.unit_count
    {
        return Err(damaged(ptr, "it is another page".into()));
    }
    verify_bounds(page).map_err(|what| damaged(ptr, what))
}

fn verify_bounds(page: &[u8]) -> Result<(), String> {
    let kind = kind_byte(page);
    if page[1] != 0 {
        return Err(format!("unknown format {} of page kind {kind}", page[1]));
    }
    match kind {
        k if k == PageKind::RowLeaf as u8 => leaf::verify_bounds(page),
        k if k == PageKind::Inner as u8 => inner::verify_bounds(page),
        k if k >= PageKind::Overflow as u8 && k <= PageKind::FreeSpaceRoot as u8 => {
            match u64_at(page, 40) <= (page.len() - HEADER_BYTES) as u64 {
                true => Ok(()),
                false => Err("its payload is longer than the page".into()),
            }
        }
        _ => Err(format!("unknown page kind {kind}")),
    }
}

/// The error for a damaged page: XX001.
pub fn damaged(ptr: &PagePtr, what: String) -> Error {
    Error::corrupt(format!("page {} (version {}) is damaged: {what}", ptr.page_no.0, ptr.version))
}

/// The error for a page of the wrong kind where a tree is walked: XX001.
#[cold]
pub fn wrong_kind(ptr: &PagePtr, page: &[u8]) -> Error {
    damaged(ptr, format!("page kind {} does not belong there", kind_byte(page)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_round_trip() {
        let ptr = PagePtr { page_no: PageNo(7), unit_count: 2, version: 9, checksum: 0xdead_beef };
        assert_eq!(decode_ptr(&encode_ptr(&ptr)), ptr);
        assert_eq!(decode_optional_ptr(&encode_optional_ptr(None)), None);
        assert_eq!(
            encode_ptr(&ptr),
            [7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 9, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn a_place_lies_in_the_file() {
        let ptr =
            |page_no, unit_count| PagePtr { page_no: PageNo(page_no), unit_count, version: 9, checksum: 0 };
        for (page_no, unit_count) in [(0, 1), (99, 1), (90, 10)] {
            verify_place(&ptr(page_no, unit_count), 100).expect("in the file");
        }
        for (page_no, unit_count) in [(100, 1), (99, 2), (5, 0), (5, u32::MAX), (u64::MAX, 1), (1 << 60, 1)] {
            verify_place(&ptr(page_no, unit_count), 100).expect_err("outside of the file");
        }
    }

    #[test]
    fn a_page_is_not_taken_for_another() {
        let mut page = vec![0; 8192];
        let header = Header {
            kind: PageKind::Overflow,
            tree: 3,
            entry_count: 0,
            prefix_bytes: 0,
            timestamp_max: 0,
            payload_bytes: 5,
        };
        header.encode(&mut page);
        let ptr = finish(&mut page, PageNo(11), 1, 4);
        verify(&page, &ptr, 8192, false).expect("a whole page");
        for wrong in [
            PagePtr { page_no: PageNo(12), ..ptr },
            PagePtr { version: 5, ..ptr },
            PagePtr { checksum: ptr.checksum ^ 1, ..ptr },
            PagePtr { unit_count: 2, ..ptr },
        ] {
            let error = verify(&page, &wrong, 8192, false).expect_err("the pointer says otherwise");
            assert_eq!(error.code(), orrery_base::SqlState::DATA_CORRUPTED);
        }
        for at in [0, 1, 5, 20, 60, 70, 8191] {
            let mut flipped = page.clone();
            flipped[at] ^= 0x10;
            verify(&flipped, &ptr, 8192, false).expect_err("a flipped bit is found");
        }
    }
}
