//! The peers, each set up as its documentation recommends for the row it is in. Settings are printed with the tables.

pub mod lmdb;
pub mod orrery;
pub mod redb;
pub mod sqlite;
