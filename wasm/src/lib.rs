//! Orrery for JavaScript: what the npm package `orrerydb` has below its own JavaScript. It holds no logic: it turns bytes
//! into values and back, and disk requests into calls of the page's or Node's file handles.
//!
//! - J1: parameters and rows cross as bytes in a buffer that the session owns (`codec.rs`); nothing else crosses by row.
//! - J2: a disk is a number to Rust and an object to JavaScript (`js/host.js`): no JavaScript object is held here.
//! - J3: there are no threads: the database does its housekeeping in turns with the statements.
//! - J4: a panic leaves the module without a state to rely on: JavaScript is told, and calls no more.

mod codec;
mod database;
mod driver;
mod host;
mod session;

pub use database::Database;
pub use session::{Cursor, Session, Statement};
use wasm_bindgen::prelude::*;

/// Called by the module's loader, once.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| host::panicked(&info.to_string())));
}
