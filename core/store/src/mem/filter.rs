//! A register-blocked Bloom filter over key hashes: a miss costs one load. No false negatives.
//!
//! Four bits in one 64-bit word a key. Readers need no lock: a key's bits are set before its commit is published.

use std::sync::atomic::{AtomicU64, Ordering};

/// See the file's head.
pub struct Filter {
    words: Box<[AtomicU64]>,
}

impl Filter {
    /// Room for about `key_count` keys at 2–3 % false positives.
    pub fn with_capacity(key_count: usize) -> Self {
        let words = (key_count / 5).clamp(8, 1 << 22).next_power_of_two();
        Filter { words: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    #[inline]
    fn place(&self, hash: u64) -> (usize, u64) {
        let bits = (1 << (hash & 63)) | (1 << ((hash >> 6) & 63)) | (1 << ((hash >> 12) & 63)) | (1 << ((hash >> 18) & 63));
        ((hash >> 24) as usize & (self.words.len() - 1), bits)
    }

    /// Adds a key by its hash.
    #[inline]
    pub fn insert(&self, hash: u64) {
        let (word, bits) = self.place(hash);
        self.words[word].fetch_or(bits, Ordering::Relaxed);
    }

    /// `false`: certainly not added.
    #[inline]
    pub fn may_contain(&self, hash: u64) -> bool {
        let (word, bits) = self.place(hash);
        self.words[word].load(Ordering::Relaxed) & bits == bits
    }

    /// Bytes it takes.
    pub fn byte_count(&self) -> usize {
        self.words.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::key_hash;
    use orrery_base::TreeId;

    #[test]
    fn no_false_negative_and_few_false_positives() {
        let filter = Filter::with_capacity(10_000);
        let hash = |i: u64| key_hash(TreeId(1), &i.to_be_bytes());
        (0..10_000).for_each(|i| filter.insert(hash(i)));
        assert!((0..10_000).all(|i| filter.may_contain(hash(i))));
        let false_positives = (10_000..20_000).filter(|&i| filter.may_contain(hash(i))).count();
        assert!(false_positives < 600, "{false_positives}");
    }
}
