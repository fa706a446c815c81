//! The one hash table of joins, aggregates and DISTINCT: byte-string keys to dense ids 0, 1, 2, … in order of first
//! appearance. Open addressing with linear probing over 8-byte slots; keys lie one after the other in an arena.

use orrery_base::hash::hash64;

/// See the file's head.
pub struct KeyTable {
    /// Upper half: the hash's upper half; lower half: id + 1, or 0 for an empty slot.
    slots: Vec<u64>,
    hashes: Vec<u64>,
    ends: Vec<usize>,
    bytes: Vec<u8>,
    seed: u64,
}

impl KeyTable {
    /// An empty table whose hash function is `seed`'s.
    pub fn new(seed: u64) -> Self {
        KeyTable { slots: vec![0; 64], hashes: Vec::new(), ends: Vec::new(), bytes: Vec::new(), seed }
    }

    /// Distinct keys.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash64(self.seed, key)
    }

    fn key(&self, id: usize) -> &[u8] {
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start..self.ends[id]]
    }

    /// The slot of the key, or the empty slot where it belongs.
    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> (usize, Option<u32>) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return (at, None);
            }
            let id = (slot as u32) - 1;
            if slot >> 32 == hash >> 32 && self.key(id as usize) == key {
                return (at, Some(id));
            }
            at = (at + 1) & mask;
        }
    }

    /// The id of a key that is in the table.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<u32> {
        self.find(self.hash(key), key).1
    }

    /// The id of a key, which is added if it is new; the flag says whether it was.
    #[inline]
    pub fn insert(&mut self, key: &[u8]) -> (u32, bool) {
        let hash = self.hash(key);
        let (at, found) = self.find(hash, key);
        if let Some(id) = found {
            return (id, false);
        }
        let id = self.hashes.len() as u32;
        self.slots[at] = hash >> 32 << 32 | u64::from(id + 1);
        self.hashes.push(hash);
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        if self.hashes.len() * 4 > self.slots.len() * 3 {
            self.grow();
        }
        (id, true)
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        let mut slots = vec![0; mask + 1];
        for (id, &hash) in self.hashes.iter().enumerate() {
            let mut at = hash as usize & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = hash >> 32 << 32 | (id as u64 + 1);
        }
        self.slots = slots;
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.slots.len() * 8 + self.hashes.capacity() * 8 + self.ends.capacity() * 8 + self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_a_map() {
        let mut rng = Rng::new(3);
        let mut table = KeyTable::new(1);
        let mut model: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..20_000 {
            let key = rng.below(5_000).to_string().into_bytes();
            let next = model.len() as u32;
            let expected = *model.entry(key.clone()).or_insert(next);
            assert_eq!(table.insert(&key), (expected, expected == next));
        }
        for (key, id) in &model {
            assert_eq!(table.get(key), Some(*id));
        }
        assert_eq!(table.get(b"absent"), None);
    }
}
