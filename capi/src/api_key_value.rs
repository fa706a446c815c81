//! The key-value interface. Every call is a transaction of its own.

#![allow(unsafe_code, reason = "functions of C's interface: unmangled names, pointers that raw.rs follows")]

use crate::api_connection::{database, orrery_database};
use crate::error::{guard, orrery_status};
use crate::raw;
use std::ffi::{c_int, c_void};

/// Takes a pair of `orrery_kv_list`; anything but 0 ends the listing. The bytes are valid during the call.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type orrery_kv_each = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> c_int,
>;

/// Sets a key.
///
/// # Safety
/// `key` and `value` are NULL or point at as many bytes as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_kv_set(
    database: *mut orrery_database,
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
) -> orrery_status {
    guard(|| {
        // SAFETY: this function's contract.
        let (key, value) = unsafe { (raw::bytes(key, key_len)?, raw::bytes(value, value_len)?) };
        self::database(database)?.key_value().set(key, value)?;
        Ok(orrery_status::ORRERY_OK)
    })
}

/// The value of a key, to be given back with `orrery_free`; `ORRERY_DONE` when there is none.
///
/// # Safety
/// `key` is NULL or points at as many bytes as said; `value` and `value_len` are NULL or places for a pointer and a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_kv_get(
    database: *mut orrery_database,
    key: *const u8,
    key_len: usize,
    value: *mut *mut u8,
    value_len: *mut usize,
) -> orrery_status {
    guard(|| {
        // SAFETY: this function's contract, here and below.
        let key = unsafe { raw::bytes(key, key_len)? };
        // The places are written first, so that a mistake with them leaks nothing.
        // SAFETY: as above.
        unsafe { raw::give(value, std::ptr::null_mut())? };
        // SAFETY: as above.
        unsafe { raw::give(value_len, 0)? };
        let Some(found) = self::database(database)?.key_value().get(key)? else {
            return Ok(orrery_status::ORRERY_DONE);
        };
        let (bytes, len) = raw::give_bytes(found);
        // SAFETY: as above.
        unsafe { raw::give(value, bytes)? };
        // SAFETY: as above.
        unsafe { raw::give(value_len, len)? };
        Ok(orrery_status::ORRERY_OK)
    })
}

/// Gives back what `orrery_kv_get` gave. NULL is fine.
///
/// # Safety
/// `bytes` is NULL or came from `orrery_kv_get` with this length, and was not given back before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_free(bytes: *mut u8, len: usize) {
    // SAFETY: this function's contract.
    unsafe { raw::take_back(bytes, len) }
}

/// Removes a key; `ORRERY_DONE` when it was not there.
///
/// # Safety
/// `key` is NULL or points at as many bytes as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_kv_delete(
    database: *mut orrery_database,
    key: *const u8,
    key_len: usize,
) -> orrery_status {
    guard(|| {
        // SAFETY: this function's contract.
        let key = unsafe { raw::bytes(key, key_len)? };
        let was_there = self::database(database)?.key_value().delete(key)?;
        Ok(if was_there { orrery_status::ORRERY_OK } else { orrery_status::ORRERY_DONE })
    })
}

/// Calls `each` for the pairs whose keys begin with `prefix`, in order, `limit` at most (0: all).
///
/// # Safety
/// `prefix` is NULL or points at as many bytes as said; `each` is NULL or a function that may be called with `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn orrery_kv_list(
    database: *mut orrery_database,
    prefix: *const u8,
    prefix_len: usize,
    limit: usize,
    each: orrery_kv_each,
    context: *mut c_void,
) -> orrery_status {
    guard(|| {
        // SAFETY: this function's contract, here and below.
        let prefix = unsafe { raw::bytes(prefix, prefix_len)? };
        let each = each.ok_or(crate::error::Stop::Misuse("the function for the pairs is NULL"))?;
        let limit = if limit == 0 { usize::MAX } else { limit };
        for (key, value) in self::database(database)?.key_value().list(prefix, limit)? {
            // SAFETY: as above.
            if unsafe { each(context, key.as_ptr(), key.len(), value.as_ptr(), value.len()) } != 0 {
                break;
            }
        }
        Ok(orrery_status::ORRERY_OK)
    })
}
