//! What bytes mean: physical types, order-preserving keys ([`key`]), the row codec ([`codec`]) and the `numeric` type
//! ([`numeric`]). No SQL: this crate does not know what a table is.

pub mod codec;
pub mod key;
pub mod numeric;
