//! An open-addressing hash table from keys to dense numbers, in the order of their first appearance. Join, aggregate and
//! distinct use it.
//!
//! Invariant H1: numbers depend on the order of insertion only, never on the hash.

use super::keys::{KeyLayout, Keys, Store};
use orrery_base::{Error, Result};

/// See the module.
pub struct HashTable {
    /// 0 is free; otherwise 32 bits of the hash above the number + 1. A power of two of them, at most half full.
    slots: Vec<u64>,
    keys: Store,
    hashes: Vec<u64>,
}

const SLOT_COUNT_MIN: usize = 64;

#[inline]
fn slot_value(hash: u64, number: u32) -> u64 {
    // The low bits chose the slot and the top bits the partition: the tag is from between.
    (hash << 8) & 0xffff_ffff_0000_0000 | u64::from(number + 1)
}

impl HashTable {
    /// An empty table for keys of this layout.
    pub fn new(layout: &KeyLayout) -> Self {
        HashTable { slots: vec![0; SLOT_COUNT_MIN], keys: layout.store(), hashes: Vec::new() }
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The number of a key.
    #[inline]
    pub fn find(&self, keys: &Keys, row: usize) -> Option<u32> {
        let hash = keys.hashes[row];
        let mask = self.slots.len() - 1;
        let tag = slot_value(hash, 0) >> 32;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == tag {
                let number = slot as u32 - 1;
                if self.keys.equal(number as usize, &keys.store, row) {
                    return Some(number);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// The number of a key, and whether it is new. Errors: XX000 beyond 4 billion keys or 4 GB of them.
    #[inline]
    pub fn insert(&mut self, keys: &Keys, row: usize) -> Result<(u32, bool)> {
        if let Some(number) = self.find(keys, row) {
            return Ok((number, false));
        }
        let number = u32::try_from(self.hashes.len()).ok().filter(|&number| number < u32::MAX);
        let number = number.ok_or_else(|| Error::internal("a hash table of more than 4 billion keys"))?;
        self.keys.push(&keys.store, row)?;
        let hash = keys.hashes[row];
        self.hashes.push(hash);
        if self.hashes.len() * 2 > self.slots.len() {
            self.grow();
        } else {
            self.place(hash, number);
        }
        Ok((number, true))
    }

    fn place(&mut self, hash: u64, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot_value(hash, number);
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 4];
        for number in 0..self.hashes.len() {
            self.place(self.hashes[number], number as u32);
        }
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        8 * self.slots.len() + 8 * self.hashes.capacity() + self.keys.memory_bytes()
    }
}
