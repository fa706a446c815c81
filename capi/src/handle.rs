//! Handles as numbers: the index of a slot and how often the slot was used. A closed handle's number never comes back (until
//! a slot was used four thousand million times), so using it is noticed, not undefined.
//!
//! A value lies in its slot behind one lock: a call takes it once. Whoever must not wait for a call under way keeps its value in
//! an `Arc` and takes a copy of that.

use crate::lock::{Lock, Locked};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Slots of the first block; each block is twice the one before.
const FIRST_BLOCK_SLOT_COUNT: usize = 64;
const BLOCK_COUNT: usize = 24;

/// What a slot holds.
pub(crate) struct Slot<T> {
    state: Lock<State<T>>,
}

struct State<T> {
    generation: u32,
    value: Option<T>,
}

/// The objects of one kind.
pub(crate) struct Table<T> {
    blocks: [OnceLock<Box<[Slot<T>]>>; BLOCK_COUNT],
    free: Mutex<Free>,
    /// Kinds differ in it, so that a handle of another kind is noticed.
    kind: usize,
}

struct Free {
    indexes: Vec<usize>,
    next: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which block an index lies in, and where.
#[inline]
fn place(index: usize) -> (usize, usize) {
    let block = (index / FIRST_BLOCK_SLOT_COUNT + 1).ilog2() as usize;
    (block, index - FIRST_BLOCK_SLOT_COUNT * ((1 << block) - 1))
}

impl<T> Table<T> {
    pub(crate) const fn new(kind: usize) -> Self {
        let free = Mutex::new(Free { indexes: Vec::new(), next: 0 });
        Table { blocks: [const { OnceLock::new() }; BLOCK_COUNT], free, kind }
    }

    #[inline]
    fn slot(&self, index: usize) -> Option<&Slot<T>> {
        let (block, at) = place(index);
        self.blocks.get(block)?.get()?.get(at)
    }

    /// A handle for a value; never 0. `None` when there are more handles than numbers.
    pub(crate) fn insert(&self, value: T) -> Option<usize> {
        let index = {
            let mut free = lock(&self.free);
            match free.indexes.pop() {
                Some(index) => index,
                None => {
                    let index = free.next;
                    let (block, _) = place(index);
                    let slot_count = FIRST_BLOCK_SLOT_COUNT << block;
                    let new_slot = || Slot { state: Lock::new(State { generation: 1, value: None }) };
                    self.blocks.get(block)?.get_or_init(|| (0..slot_count).map(|_| new_slot()).collect());
                    free.next += 1;
                    index
                }
            }
        };
        let mut state = self.slot(index)?.state.lock();
        state.value = Some(value);
        Some((state.generation as usize) << 32 | index << 3 | self.kind)
    }

    #[inline]
    fn find(&self, handle: usize) -> Option<(usize, Locked<'_, State<T>>)> {
        let index = (handle & 0xffff_ffff) >> 3;
        let state = self.slot(index)?.state.lock();
        (handle & 7 == self.kind && state.generation as usize == handle >> 32).then_some((index, state))
    }

    /// Hands the value of a handle to `work`, if it is one; other calls with the handle wait.
    #[inline]
    pub(crate) fn with<R>(&self, handle: usize, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.find(handle)?.1.value.as_mut().map(work)
    }

    /// Takes the value out: the handle is none afterwards.
    pub(crate) fn remove(&self, handle: usize) -> Option<T> {
        let (index, mut state) = self.find(handle)?;
        let value = state.value.take()?;
        state.generation = state.generation.wrapping_add(1).max(1);
        drop(state);
        lock(&self.free).indexes.push(index);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_handle_is_none_even_when_its_slot_is_used_again() {
        let table = Table::new(3);
        let get = |handle| table.with(handle, |value| *value);
        let first = table.insert("a").unwrap();
        assert_eq!(get(first), Some("a"));
        assert_eq!(table.remove(first), Some("a"));
        let second = table.insert("b").unwrap();
        assert_eq!((get(first), table.remove(first)), (None, None));
        assert_eq!(get(second), Some("b"));
        assert_ne!(first, second);
    }

    #[test]
    fn numbers_that_were_never_given_are_none() {
        let table: Table<u8> = Table::new(1);
        table.insert(1).unwrap();
        let other: Table<u8> = Table::new(2);
        for handle in [0, 1, 8, 9, usize::MAX, 1 << 32, other.insert(1).unwrap(), 0x7fff_1234_5678] {
            assert_eq!(table.with(handle, |value| *value), None, "{handle:x}");
        }
    }

    #[test]
    fn many_handles_cross_the_blocks() {
        let table = Table::new(0);
        let handles: Vec<_> = (0..1000).map(|value| table.insert(value).unwrap()).collect();
        for (value, handle) in handles.iter().enumerate() {
            assert_eq!(table.with(*handle, |value| *value), Some(value));
        }
    }
}
