//! An allocator that counts, so that an iteration which takes too much is found.
//!
//! What is asked for counts, touched or not. Counts are of the whole process: iterations run one at a time.
#![allow(unsafe_code, reason = "an allocator is unsafe by its nature; it passes everything on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Passes on to the system's, and counts.
pub struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static BEFORE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn more(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

fn less(bytes: usize) {
    NOW.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came, and its answer goes back as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are ours.
        let at = unsafe { System.alloc(layout) };
        if !at.is_null() {
            more(layout.size());
        }
        at
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are ours.
        let at = unsafe { System.alloc_zeroed(layout) };
        if !at.is_null() {
            more(layout.size());
        }
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are ours.
        unsafe { System.dealloc(at, layout) };
        less(layout.size());
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are ours.
        let new = unsafe { System.realloc(at, layout, size) };
        if !new.is_null() {
            more(size);
            less(layout.size());
        }
        new
    }
}

/// An iteration begins.
pub fn begin() {
    let now = NOW.load(Ordering::Relaxed);
    BEFORE.store(now, Ordering::Relaxed);
    PEAK.store(now, Ordering::Relaxed);
}

/// The most that was allocated at once since it began; 0 where [`Counting`] is not the process's allocator.
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed).saturating_sub(BEFORE.load(Ordering::Relaxed))
}
