//! The lock of a handle: held for the moment of a call, and hardly ever wanted by two threads at once. It costs one atomic exchange;
//! the standard library's costs two, which C's short calls feel.
//!
//! It deliberately keeps no queue: who finds it taken looks again, sooner at first, later when a statement of another thread runs.
//! What threads share and wait for in earnest is the connection, and that has the standard library's.

#![allow(unsafe_code, reason = "a lock hands out what only one thread may have")]

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Looks before the thread lets others run, and before it sleeps.
const SPIN_COUNT: u32 = 100;
const YIELD_COUNT: u32 = 200;
const SLEEP: Duration = Duration::from_micros(100);

pub(crate) struct Lock<T> {
    is_taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `is_taken` lets one thread at a time to the value, so it is as if the value were sent from thread to thread.
unsafe impl<T: Send> Sync for Lock<T> {}

/// The value, while this lives.
pub(crate) struct Locked<'l, T> {
    of: &'l Lock<T>,
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock { is_taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        if !self.take() {
            self.wait();
        }
        Locked { of: self }
    }

    #[inline]
    fn take(&self) -> bool {
        self.is_taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn wait(&self) {
        let mut looks = 0;
        while self.is_taken.load(Ordering::Relaxed) || !self.take() {
            match looks {
                0..SPIN_COUNT => std::hint::spin_loop(),
                SPIN_COUNT..YIELD_COUNT => std::thread::yield_now(),
                _ => std::thread::sleep(SLEEP),
            }
            looks = (looks + 1).min(YIELD_COUNT);
        }
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this thread has taken the lock, and gives it back when `self` is dropped.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; `self` is borrowed mutably, so no other reference was made through it.
        unsafe { &mut *self.of.value.get() }
    }
}

impl<T> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        self.of.is_taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_exclude_each_other_and_a_panic_lets_go() {
        let lock = Lock::new((0u64, 0u64));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..20_000 {
                        let mut pair = lock.lock();
                        pair.0 += 1;
                        if round % 5000 == 0 {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        pair.1 += 1;
                        assert_eq!(pair.0, pair.1);
                    }
                });
            }
        });
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = lock.lock();
            panic!("while it is held");
        }));
        assert!(panicked.is_err());
        assert_eq!(*lock.lock(), (80_000, 80_000));
    }
}
