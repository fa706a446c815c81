//! Hints to the processor about memory that is needed soon. They change nothing but speed, and are nothing where there
//! is no such hint.
//!
//! Scans over pages and memtables in memory wait for that memory most of their time: the processor's own prefetching ends
//! at the next 4 KiB, and cannot follow pointers.
#![allow(unsafe_code, reason = "the prefetch instruction")]

/// What memory is fetched by.
pub const CACHE_LINE_BYTES: usize = 64;

/// Asks for the cache line at `at`, which may be any address.
#[inline]
pub fn prefetch_line(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch of any address, valid or not, has no effect that a program can see; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the first `limit` of these bytes.
#[inline]
pub fn prefetch_bytes(bytes: &[u8], limit: usize) {
    for at in (0..bytes.len().min(limit)).step_by(CACHE_LINE_BYTES) {
        prefetch_line(bytes.as_ptr().wrapping_add(at));
    }
}
