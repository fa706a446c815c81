//! Packs a stream of sorted items into pages of one level, by fill only.
//!
//! The merge pushes rows (level 0) or children (above) and says where an old page ended. The pending items are then one
//! page, or several, or wait for their neighbour's: see [`Plan`]. A merge of pure replacements thus keeps every page
//! where it was, a stream of new keys fills pages whole, and neighbours that both shrank become one.

use super::heads::{self, HEAD_BYTES};
use super::inner::{self, CHILD_FIXED_BYTES};
use super::leaf::{self, LeafRow, ROW_FIXED_BYTES};
use super::page::{self, HEADER_BYTES, PTR_BYTES};
use orrery_base::{Error, PagePtr, Result, Timestamp};

/// A page filled less than this, in hundredths, waits for its neighbour. Below a half, or the two halves of a split page
/// would soon be joined again.
const FILL_MIN_PER_CENT: usize = 40;
/// Pending bytes, in pages, from which pages are emitted although the old page goes on.
const SWOLLEN_PAGES: usize = 8;

#[derive(Clone, Copy)]
struct Item {
    key_at: u32,
    key_len: u32,
    value_len: u32,
    overflow: bool,
    timestamp: u64,
}

/// The pending items of one level.
pub struct Assembler {
    level: u32,
    unit_bytes: usize,
    arena: Vec<u8>,
    items: Vec<Item>,
    /// Lower bound of the page that begins with the first pending item.
    bound: Vec<u8>,
    /// Upper bound of what the pending items take.
    raw_bytes: usize,
    emitted: u64,
}

/// A page to be made: the first `count` pending items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Items.
    pub count: usize,
    prefix_len: usize,
    bytes: usize,
}

/// What follows the pending items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// An old page that is rewritten too: what is left over goes there.
    Rewritten,
    /// An old page that may stay as it is, or the end of the tree behind old rows.
    Kept,
    /// Nothing, and the last items were appended: pages are filled whole.
    Appended,
}

impl Assembler {
    /// An empty one for pages of `level` (0: leaves).
    pub fn new(level: u32, unit_bytes: usize) -> Self {
        Assembler { level, unit_bytes, arena: vec![], items: vec![], bound: vec![], raw_bytes: 0, emitted: 0 }
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Pages made so far.
    pub fn emitted(&self) -> u64 {
        self.emitted
    }

    /// The next item, if it is the first pending, lies at or above `bound`.
    pub fn begin_at(&mut self, bound: &[u8]) {
        if self.items.is_empty() {
            self.bound.clear();
            self.bound.extend_from_slice(bound);
        }
    }

    /// Adds a row, or a child (value: its encoded pointer). Errors: XX000 when it is not above the one before.
    pub fn push(
        &mut self,
        key: [&[u8]; 2],
        value: &[u8],
        overflow: bool,
        timestamp: Timestamp,
    ) -> Result<()> {
        let key_at = self.arena.len();
        self.arena.extend_from_slice(key[0]);
        self.arena.extend_from_slice(key[1]);
        let key_len = self.arena.len() - key_at;
        if let Some(last) = self.items.last() {
            let last_at = last.key_at as usize;
            let (last, key) = (&self.arena[last_at..last_at + last.key_len as usize], &self.arena[key_at..]);
            // Heads decide almost always, without a call.
            if heads::head_of(last) >= heads::head_of(key) && last >= key {
                // Pages whose checksums are right may hold wrong keys; they are not copied on.
                return Err(Error::corrupt("keys reached a merge out of order"));
            }
        }
        self.arena.extend_from_slice(value);
        self.items.push(Item {
            key_at: key_at as u32,
            key_len: key_len as u32,
            value_len: value.len() as u32,
            overflow,
            timestamp: timestamp.0,
        });
        self.raw_bytes += self.fixed_bytes() + key_len + value.len();
        Ok(())
    }

    /// Whether pages should be emitted before more is pushed.
    #[inline]
    pub fn is_swollen(&self) -> bool {
        self.raw_bytes > SWOLLEN_PAGES * self.unit_bytes
    }

    /// The only pending child, as (pointer).
    pub fn only_child(&self) -> Option<PagePtr> {
        (self.items.len() == 1 && self.level > 0).then(|| page::decode_ptr(self.value(0)))
    }

    /// The next page to emit while the stream goes on: whole pages, as long as more than two remain.
    pub fn cut_swollen(&self) -> Option<Cut> {
        (self.raw_bytes > 2 * self.unit_bytes)
            .then(|| self.cut(0, self.capacity()))
            .filter(|cut| cut.count < self.items.len())
    }

    /// The next page to emit at the end of an old page; `None`: what is pending waits, or nothing is.
    pub fn cut_at_boundary(&self, next: Next) -> Option<Cut> {
        if self.items.is_empty() {
            return None;
        }
        let whole = self.cut(0, self.capacity());
        if whole.count == self.items.len() {
            let is_filled = whole.bytes * 100 >= self.unit_bytes * FILL_MIN_PER_CENT;
            return is_filled.then_some(whole);
        }
        match next {
            Next::Rewritten | Next::Appended => Some(whole),
            Next::Kept => Some(self.cut_even()),
        }
    }

    /// The next page to emit at the end of the tree.
    pub fn cut_at_end(&self, next: Next) -> Option<Cut> {
        if self.items.is_empty() {
            return None;
        }
        Some(if next == Next::Appended { self.cut(0, self.capacity()) } else { self.cut_even() })
    }

    /// The first of as few pages as will do, all about equally full.
    fn cut_even(&self) -> Cut {
        let (mut from, mut pages, mut bytes) = (0, 0, 0);
        while from < self.items.len() {
            let cut = self.cut(from, self.capacity());
            from += cut.count;
            bytes += cut.bytes - HEADER_BYTES;
            pages += 1;
        }
        self.cut(0, HEADER_BYTES + bytes.div_ceil(pages))
    }

    fn capacity(&self) -> usize {
        self.unit_bytes
    }

    fn fixed_bytes(&self) -> usize {
        // A child's pointer is its value.
        if self.level == 0 { ROW_FIXED_BYTES } else { CHILD_FIXED_BYTES - PTR_BYTES }
    }

    fn key(&self, index: usize) -> &[u8] {
        let item = &self.items[index];
        &self.arena[item.key_at as usize..(item.key_at + item.key_len) as usize]
    }

    fn value(&self, index: usize) -> &[u8] {
        let item = &self.items[index];
        let at = (item.key_at + item.key_len) as usize;
        &self.arena[at..at + item.value_len as usize]
    }

    /// As many items from `from` as fit into a page and reach `target` bytes; at least one.
    fn cut(&self, from: usize, target: usize) -> Cut {
        let keyed_from = if self.level == 0 { from } else { from + 1 };
        let mut cut = Cut { count: 0, prefix_len: 0, bytes: HEADER_BYTES };
        for index in from..self.items.len() {
            let item = &self.items[index];
            let mut prefix_len = cut.prefix_len;
            let mut bytes = cut.bytes + self.fixed_bytes() + item.value_len as usize;
            if index == keyed_from {
                prefix_len = item.key_len as usize;
                bytes += page::heap_prefix_bytes(prefix_len);
            } else if index > keyed_from {
                let shared = shared_len(&self.key(keyed_from)[..prefix_len], self.key(index));
                if shared < prefix_len {
                    let before = self.heap_key_bytes(keyed_from..index, prefix_len);
                    bytes += self.heap_key_bytes(keyed_from..index, shared) + page::heap_prefix_bytes(shared);
                    bytes -= before + page::heap_prefix_bytes(prefix_len);
                    prefix_len = shared;
                }
                bytes += self.heap_key_bytes(index..index + 1, prefix_len);
            }
            if cut.count > 0 && (bytes > self.capacity() || cut.bytes >= target) {
                break;
            }
            cut = Cut { count: index + 1 - from, prefix_len, bytes };
        }
        assert!(cut.bytes <= self.unit_bytes, "one item fits into a page");
        cut
    }

    fn heap_key_bytes(&self, items: std::ops::Range<usize>, prefix_len: usize) -> usize {
        let lens = self.items[items].iter().map(|item| item.key_len as usize - prefix_len);
        lens.filter(|&len| len > HEAD_BYTES).sum()
    }

    /// Encodes the page of `cut` into zeroed `page` and answers its lower bound.
    pub fn encode(&self, cut: Cut, tree: u32, page: &mut [u8]) -> Vec<u8> {
        if self.level == 0 {
            let rows = (0..cut.count).map(|index| LeafRow {
                key: self.key(index),
                value: self.value(index),
                overflow: self.items[index].overflow,
                timestamp: Timestamp(self.items[index].timestamp),
            });
            leaf::encode(page, tree, cut.count, cut.prefix_len, rows);
            self.bound.clone()
        } else {
            let children = (0..cut.count).map(|index| (self.key(index), self.value(index)));
            inner::encode(page, tree, cut.count, cut.prefix_len, children);
            self.key(0).to_vec()
        }
    }

    /// Forgets the items of `cut`: their page is made.
    pub fn consume(&mut self, cut: Cut) {
        self.emitted += 1;
        if cut.count == self.items.len() {
            self.items.clear();
            self.arena.clear();
            self.raw_bytes = 0;
            return;
        }
        let next = self.key(cut.count);
        let shared = shared_len(self.key(cut.count - 1), next);
        // The shortest key above the last row of this page and not above the first of the next.
        self.bound = next[..shared + 1].to_vec();
        let start = self.items[cut.count].key_at;
        let gone: usize =
            self.items[..cut.count].iter().map(|item| (item.key_len + item.value_len) as usize).sum();
        self.raw_bytes -= gone + cut.count * self.fixed_bytes();
        self.arena.drain(..start as usize);
        self.items.drain(..cut.count);
        self.items.iter_mut().for_each(|item| item.key_at -= start);
    }
}

fn shared_len(one: &[u8], other: &[u8]) -> usize {
    if heads::against_prefix(other, one).is_ok() {
        return one.len();
    }
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::rng::Rng;

    /// Pages cut from random items hold all of them in order, and `cut` knows their size to the byte.
    #[test]
    fn sizes_are_exact() {
        let mut rng = Rng::new(11);
        for level in [0, 1] {
            for _ in 0..60 {
                let mut assembler = Assembler::new(level, 8192);
                assembler.begin_at(b"");
                let mut keys: Vec<Vec<u8>> = (0..rng.range(1..400))
                    .map(|_| {
                        let mut key = b"shared".repeat(rng.below(6) as usize);
                        key.extend_from_slice(&rng.next_u64().to_be_bytes()[..rng.below(9) as usize]);
                        key.resize(
                            key.len() + if rng.chance(1, 20) { 700 } else { rng.below(9) as usize },
                            b'x',
                        );
                        key
                    })
                    .collect();
                keys.sort();
                keys.dedup();
                for key in &keys {
                    let value = vec![9; if level == 0 { rng.below(900) as usize } else { PTR_BYTES }];
                    assembler.push([&key[..], b""], &value, false, Timestamp(1)).expect("sorted");
                }
                let mut seen = 0;
                while let Some(cut) =
                    assembler.cut_at_end(if rng.chance(1, 2) { Next::Kept } else { Next::Appended })
                {
                    // A page of exactly the promised size holds it; encoding panics when it is too small.
                    let mut page = vec![0; cut.bytes];
                    assembler.encode(cut, 1, &mut page);
                    if level == 0 {
                        let view = leaf::LeafView::new(&page);
                        for index in 0..view.len() {
                            assert_eq!([view.prefix(), view.suffix(index)].concat(), keys[seen + index]);
                        }
                    } else {
                        let view = inner::InnerView::new(&page);
                        for index in 1..view.len() {
                            assert_eq!(view.separator(index), keys[seen + index]);
                        }
                    }
                    seen += cut.count;
                    assembler.consume(cut);
                }
                assert_eq!(seen, keys.len());
            }
        }
    }

    #[test]
    fn items_out_of_order_are_refused() {
        let mut assembler = Assembler::new(0, 8192);
        assembler.push([b"b", b""], b"", false, Timestamp(1)).expect("the first");
        assert!(assembler.push([b"b", b""], b"", false, Timestamp(1)).is_err());
    }
}
