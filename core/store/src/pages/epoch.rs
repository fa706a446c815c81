//! Epochs: when memory that readers may still look at can be given back. No unsafe code here; the pool relies on it.
//!
//! A reader that pins writes the global epoch into its slot before it looks at the page table, and takes it back after.
//! Whoever unlinks a page from the table then calls [`Epochs::retire`] for a tag, and frees the page when
//! [`Epochs::is_safe`] says that no pin is as old as the tag.
//!
//! Why that is enough: the slot's write, the table's read (reader) and the table's write, the slot's read (writer) are all
//! sequentially consistent. So either the writer sees the pin, or the reader sees the page unlinked. And a pin made after
//! the tag was drawn carries a higher epoch, and saw the page unlinked.

use orrery_base::task::lock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const COUNT_BITS: u32 = 16;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// A reader's place: its pin's epoch << 16 | how many pins it holds.
#[repr(align(128))]
#[derive(Default)]
pub struct Slot(AtomicU64);

/// The epochs of one pool.
pub struct Epochs {
    global: AtomicU64,
    slots: Mutex<Vec<Arc<Slot>>>,
}

impl Default for Epochs {
    fn default() -> Self {
        Epochs { global: AtomicU64::new(1), slots: Mutex::default() }
    }
}

impl Epochs {
    /// A new reader's slot. It is forgotten some time after the reader drops its handle.
    pub fn register(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        lock(&self.slots).push(slot.clone());
        slot
    }

    /// Takes a pin. Pins of one slot may be nested and shared between threads: the oldest one's epoch holds.
    #[inline]
    pub fn pin(&self, slot: &Slot) {
        let mut state = slot.0.load(Ordering::Relaxed);
        loop {
            let next = match state & COUNT_MASK {
                0 => self.global.load(Ordering::SeqCst) << COUNT_BITS | 1,
                COUNT_MASK => panic!("65,535 pins of one reader"),
                _ => state + 1,
            };
            match slot.0.compare_exchange_weak(state, next, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => state = found,
            }
        }
    }

    /// Gives a pin back.
    #[inline]
    pub fn unpin(&self, slot: &Slot) {
        slot.0.fetch_sub(1, Ordering::Release);
    }

    /// The tag of something that was just unlinked.
    pub fn retire(&self) -> u64 {
        self.global.fetch_add(1, Ordering::SeqCst)
    }

    /// The oldest pin's epoch; `u64::MAX` without pins. What was retired with a lower tag is safe to free.
    pub fn oldest_pin(&self) -> u64 {
        let mut slots = lock(&self.slots);
        // A slot only we hold has no reader left, so nobody can pin it again.
        slots.retain(|slot| Arc::strong_count(slot) > 1);
        let epochs = slots.iter().filter_map(|slot| {
            let state = slot.0.load(Ordering::SeqCst);
            (state & COUNT_MASK > 0).then_some(state >> COUNT_BITS)
        });
        epochs.min().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_holds_what_was_retired_during_it() {
        let epochs = Epochs::default();
        let slot = epochs.register();
        let before = epochs.retire();
        epochs.pin(&slot);
        let during = epochs.retire();
        assert!(before < epochs.oldest_pin() && during >= epochs.oldest_pin());
        // A nested pin keeps the older epoch.
        epochs.pin(&slot);
        epochs.unpin(&slot);
        assert!(during >= epochs.oldest_pin());
        epochs.unpin(&slot);
        assert_eq!(epochs.oldest_pin(), u64::MAX);
        epochs.pin(&slot);
        assert!(during < epochs.oldest_pin(), "a later pin does not hold it");
        epochs.unpin(&slot);
    }
}
