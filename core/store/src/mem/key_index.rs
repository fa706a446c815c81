//! Where keys of a write set are: a hash table of 8-byte slots, so that looking for a key that is not there, and adding it
//! then, costs one cache miss.
//!
//! It knows no key: a slot holds 32 bits of the key's hash and the number of an entry, and the caller compares. The first
//! bits of the hash choose the slot, linear probing does the rest. At most three slots in four are taken.

use orrery_base::hash::hash64;

const FREE: u32 = u32::MAX;
const SLOT_COUNT_MIN: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    id: u32,
}

/// See the file's head.
#[derive(Debug)]
pub struct KeyIndex {
    slots: Vec<Slot>,
    count: usize,
}

impl KeyIndex {
    /// The hash of a key.
    #[inline]
    pub fn hash(key: &[u8]) -> u32 {
        (hash64(0x6b65_7973, key) >> 32) as u32
    }

    /// An index of these keys, which all differ.
    pub fn of(keys: impl ExactSizeIterator<Item = (u32, u32)>) -> Self {
        let slot_count = (keys.len() * 2).next_power_of_two().max(SLOT_COUNT_MIN);
        let mut index = KeyIndex { slots: free_slots(slot_count), count: 0 };
        keys.for_each(|(hash, id)| index.insert(hash, id));
        index
    }

    /// Where the search for a hash begins.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        // The number of slots is a power of two, 2^32 at most: entries have 32-bit numbers.
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    /// The entry whose key `is_it` says is the one.
    #[inline]
    pub fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at];
            if slot.id == FREE {
                return None;
            }
            if slot.hash == hash && is_it(slot.id) {
                return Some(slot.id);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Adds the entry of a key that is not there.
    #[inline]
    pub fn insert(&mut self, hash: u32, id: u32) {
        if (self.count + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.count += 1;
        self.place(Slot { hash, id });
    }

    #[inline]
    fn place(&mut self, slot: Slot) {
        let mut at = self.home(slot.hash);
        while self.slots[at].id != FREE {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = slot;
    }

    #[cold]
    fn grow(&mut self) {
        let slots = free_slots(self.slots.len() * 2);
        // In the order of the old slots, the new ones are filled front to back.
        for slot in std::mem::replace(&mut self.slots, slots) {
            if slot.id != FREE {
                self.place(slot);
            }
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, hash: u32, id: u32) {
        let mask = self.slots.len() - 1;
        let mut hole = self.home(hash);
        while self.slots[hole].id != id {
            if self.slots[hole].id == FREE {
                return;
            }
            hole = (hole + 1) & mask;
        }
        self.count -= 1;
        // Those behind move up, unless they would come before their home.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot.id == FREE {
                break;
            }
            let (from_home, from_hole) =
                (at.wrapping_sub(self.home(slot.hash)) & mask, at.wrapping_sub(hole) & mask);
            if from_home >= from_hole {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole].id = FREE;
    }

    /// Bytes of memory taken.
    #[inline]
    pub fn byte_count(&self) -> usize {
        self.slots.len() * std::mem::size_of::<Slot>()
    }
}

fn free_slots(count: usize) -> Vec<Slot> {
    vec![Slot { hash: 0, id: FREE }; count]
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn it_follows_a_model_with_many_collisions() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut index = KeyIndex::of(std::iter::empty());
            let mut model: BTreeMap<u32, u32> = BTreeMap::new();
            for id in 0..3000 {
                // Few homes, the last of them at the end of the table.
                let hash_of = |key: u32| if key % 3 == 0 { u32::MAX } else { key % 7 };
                let key = rng.below(600) as u32;
                let found = index.find(hash_of(key), |it| model.get(&key) == Some(&it));
                assert_eq!(found, model.get(&key).copied());
                match found {
                    None => {
                        index.insert(hash_of(key), id);
                        model.insert(key, id);
                    }
                    Some(id) => {
                        index.remove(hash_of(key), id);
                        model.remove(&key);
                    }
                }
                assert_eq!(index.count, model.len());
            }
        }
    }
}
