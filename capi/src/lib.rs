//! The C interface: `include/orrery.h` is made of these functions by cbindgen (`cargo xtask header`; the check of the doors holds the two together).
//!
//! - C1: no panic crosses: every body runs in [`error::guard`].
//! - C2: a handle is a number that is looked up, never an address that is followed: NULL, a closed handle or one of another
//!   kind gives `ORRERY_MISUSE` (`handle.rs`, which is safe code).
//! - C3: what a call failed with is the calling thread's last error (`orrery_error_*`), until its next call that fails.
//! - C4: pointers that come out stay valid as long as their function says, and no longer.
//!
//! The adapter holds no logic of its own.

mod api_arrow;
mod api_column;
mod api_connection;
mod api_key_value;
mod api_statement;
mod error;
mod handle;
mod lock;
mod raw;
mod row;
