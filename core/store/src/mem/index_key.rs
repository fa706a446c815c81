//! Keys of in-memory B-trees: the first eight bytes stand beside the pointer, so that most comparisons do not follow it.

use super::KeyBounds;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Bound;

/// An owned key.
#[derive(Debug)]
pub struct IndexKey {
    head: u64,
    bytes: Box<[u8]>,
}

/// A key to look for.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    head: u64,
    bytes: &'a [u8],
}

/// What owned and wanted keys have in common, so that one may be looked up by the other.
pub trait Headed {
    /// The first eight bytes, big-endian, zero-filled: it orders as the keys do, but for ties.
    fn head(&self) -> u64;
    /// The whole key.
    fn bytes(&self) -> &[u8];
}

/// The first eight bytes, big-endian, zero-filled.
#[inline]
pub fn head_of(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(head) => u64::from_be_bytes(*head),
        None => {
            let mut head = [0; 8];
            head[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(head)
        }
    }
}

impl<'a> Wanted<'a> {
    /// This key.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Wanted { head: head_of(bytes), bytes }
    }

    /// Its owned form.
    pub fn to_owned_key(self) -> IndexKey {
        IndexKey { head: self.head, bytes: self.bytes.into() }
    }
}

impl Headed for IndexKey {
    #[inline]
    fn head(&self) -> u64 {
        self.head
    }
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Headed for Wanted<'_> {
    #[inline]
    fn head(&self) -> u64 {
        self.head
    }
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.bytes
    }
}

impl Ord for dyn Headed + '_ {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.head().cmp(&other.head()).then_with(|| self.bytes().cmp(other.bytes()))
    }
}

impl PartialOrd for dyn Headed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Headed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for dyn Headed + '_ {}

impl Ord for IndexKey {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.head.cmp(&other.head).then_with(|| self.bytes.cmp(&other.bytes))
    }
}

impl PartialOrd for IndexKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for IndexKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for IndexKey {}

impl<'a> Borrow<dyn Headed + 'a> for IndexKey {
    #[inline]
    fn borrow(&self) -> &(dyn Headed + 'a) {
        self
    }
}

/// Bounds to look up by.
pub fn wanted_bounds<'a>(bounds: KeyBounds<'a>) -> (Bound<Wanted<'a>>, Bound<Wanted<'a>>) {
    (bounds.0.map(Wanted::new), bounds.1.map(Wanted::new))
}

/// Borrows bounds for `BTreeMap::range`.
pub fn as_dyn<'a, 'b>(
    bounds: &'b (Bound<Wanted<'a>>, Bound<Wanted<'a>>),
) -> (Bound<&'b (dyn Headed + 'b)>, Bound<&'b (dyn Headed + 'b)>) {
    fn one<'b>(bound: &'b Bound<Wanted<'_>>) -> Bound<&'b (dyn Headed + 'b)> {
        match bound {
            Bound::Included(key) => Bound::Included(key),
            Bound::Excluded(key) => Bound::Excluded(key),
            Bound::Unbounded => Bound::Unbounded,
        }
    }
    (one(&bounds.0), one(&bounds.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_order_as_keys_do() {
        let keys: [&[u8]; 8] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"aaaaaaaa", b"aaaaaaaa\0", b"aaaaaaab"];
        for (i, a) in keys.iter().enumerate() {
            for (j, b) in keys.iter().enumerate() {
                let (a, b) = (Wanted::new(a), Wanted::new(b));
                let (a, b): (&dyn Headed, &dyn Headed) = (&a, &b);
                assert_eq!(a.cmp(b), i.cmp(&j));
            }
        }
    }
}
