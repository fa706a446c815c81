//! Following the caller's pointers. Whatever can be checked is (NULL, UTF-8); the rest is the contract of `orrery.h`: a pointer
//! that is not NULL points at what the function says, for as long as the call runs.

#![allow(
    unsafe_code,
    reason = "C hands over pointers: this file is the only one that follows them, but for Arrow's"
)]

use crate::error::Stop;
use std::ffi::{CStr, c_char};

/// The text at `text`, which ends with a NUL byte.
///
/// # Safety
/// It is NULL or such a text.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Stop> {
    if text.is_null() {
        return Err(Stop::Misuse("a text is NULL"));
    }
    // SAFETY: not NULL, and by this function's contract a text that ends.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Stop::Misuse("a text is not UTF-8"))
}

/// The `len` bytes at `bytes`; NULL is fine where there are none.
///
/// # Safety
/// It is NULL or points at that many bytes.
pub(crate) unsafe fn bytes<'a>(bytes: *const u8, len: usize) -> Result<&'a [u8], Stop> {
    match (bytes.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Stop::Misuse("bytes are NULL")),
        // SAFETY: not NULL, and by this function's contract that many bytes.
        (false, len) => Ok(unsafe { std::slice::from_raw_parts(bytes, len) }),
    }
}

/// Whether there is a place for an answer: asked before anything is opened that nobody could close.
pub(crate) fn check_place<T>(out: *mut T) -> Result<(), Stop> {
    if out.is_null() { Err(Stop::Misuse("the place for an answer is NULL")) } else { Ok(()) }
}

/// Writes an answer to where the caller wants it.
///
/// # Safety
/// `out` is NULL or a place for a `T`.
pub(crate) unsafe fn give<T>(out: *mut T, value: T) -> Result<(), Stop> {
    check_place(out)?;
    // SAFETY: not NULL, and by this function's contract a place for a `T`; what was there is not read.
    unsafe { out.write(value) };
    Ok(())
}

/// As [`give`], where the caller may not want it.
///
/// # Safety
/// As [`give`].
pub(crate) unsafe fn offer<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: as in `give`.
        unsafe { out.write(value) };
    }
}

/// Takes back bytes that were given away with their length by [`give_bytes`].
///
/// # Safety
/// `bytes` is NULL, or came from there and was not taken back before.
pub(crate) unsafe fn take_back(bytes: *mut u8, len: usize) {
    if !bytes.is_null() {
        // SAFETY: by this function's contract it is the box that `give_bytes` leaked, of this length.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(bytes, len)) });
    }
}

/// Gives bytes away; never NULL.
pub(crate) fn give_bytes(bytes: Vec<u8>) -> (*mut u8, usize) {
    let len = bytes.len();
    let leaked: &'static mut [u8] = Box::leak(bytes.into_boxed_slice());
    (leaked.as_mut_ptr(), len)
}
