//! A hash table of the keys of a write set: from a key's hash to its number. The keys themselves lie elsewhere; the
//! caller compares them.
//!
//! Open addressing with linear probing over eight bytes a slot, at most five eighths full; a removal moves what
//! follows back, so there are no gravestones. It is never walked: its order means nothing (L2).

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// [`EMPTY`]: none.
    number: u32,
}

const EMPTY: u32 = u32::MAX;
const FIRST_SLOT_COUNT: usize = 16;

/// See the file's head.
#[derive(Debug, Default)]
pub struct KeyTable {
    slots: Vec<Slot>,
    count: usize,
}

impl KeyTable {
    /// Bytes it takes.
    pub fn byte_count(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    #[inline]
    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    /// Where the key's slot is; `is_it` says whether a key of this number is the one.
    #[inline]
    fn place(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        if self.count == 0 {
            return None;
        }
        let mut at = hash as usize & self.mask();
        loop {
            let slot = self.slots[at];
            if slot.number == EMPTY {
                return None;
            }
            if slot.hash == hash && is_it(slot.number) {
                return Some(at);
            }
            at = (at + 1) & self.mask();
        }
    }

    /// The number of the key with this hash that `is_it` accepts.
    #[inline]
    pub fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.place(hash as u32, is_it).map(|at| self.slots[at].number)
    }

    /// Adds a key that is not there.
    pub fn insert(&mut self, hash: u64, number: u32) {
        assert!(number != EMPTY, "a write set has fewer than 2^32 keys");
        if (self.count + 1) * 8 > self.slots.len() * 5 {
            self.grow();
        }
        self.put(Slot { hash: hash as u32, number });
        self.count += 1;
    }

    fn put(&mut self, slot: Slot) {
        let mut at = slot.hash as usize & self.mask();
        while self.slots[at].number != EMPTY {
            at = (at + 1) & self.mask();
        }
        self.slots[at] = slot;
    }

    #[cold]
    fn grow(&mut self) {
        let len = (self.slots.len() * 2).max(FIRST_SLOT_COUNT);
        let old = std::mem::replace(&mut self.slots, vec![Slot { hash: 0, number: EMPTY }; len]);
        for slot in old.into_iter().filter(|slot| slot.number != EMPTY) {
            self.put(slot);
        }
    }

    /// Removes the key of this number.
    pub fn remove(&mut self, hash: u64, number: u32) {
        let mut hole = self.place(hash as u32, |it| it == number).expect("only what was added is removed");
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask();
            let slot = self.slots[at];
            if slot.number == EMPTY {
                break;
            }
            // It may move back unless its home lies behind the hole, on the way to where it is.
            let home = slot.hash as usize & self.mask();
            let from_home = at.wrapping_sub(home) & self.mask();
            let from_hole = at.wrapping_sub(hole) & self.mask();
            if from_home >= from_hole {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole].number = EMPTY;
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn follows_a_map_with_few_and_with_many_collisions() {
        for (seed, bits) in [(1, 64), (2, 3), (3, 5), (4, 16)] {
            let mut rng = Rng::new(seed);
            let (mut table, mut model) = (KeyTable::default(), BTreeMap::new());
            let hash_of = |number: u32| orrery_base::hash::hash64(7, &number.to_le_bytes()) >> (64 - bits);
            for _ in 0..3000 {
                let number = rng.below(400) as u32;
                let hash = hash_of(number);
                assert_eq!(table.find(hash, |it| it == number), model.get(&number).copied());
                if model.remove(&number).is_some() {
                    table.remove(hash, number);
                } else {
                    table.insert(hash, number);
                    model.insert(number, number);
                }
            }
            assert_eq!(table.count, model.len());
            assert!((0..400).all(|it| table.find(hash_of(it), |is| is == it) == model.get(&it).copied()));
        }
    }
}
