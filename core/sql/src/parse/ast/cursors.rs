//! The syntax tree of cursors.

use super::Name;
use crate::parse::Parsed;
use std::sync::Arc;

/// DECLARE … CURSOR
#[derive(Clone, Debug)]
pub struct Declare {
    /// Its name.
    pub name: Name,
    /// SCROLL (true), NO SCROLL (false)
    pub scroll: Option<bool>,
    /// WITH HOLD
    pub hold: bool,
    /// Its query, with a text of its own.
    pub statement: Arc<Parsed>,
}

/// FETCH and MOVE
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Of which cursor.
    pub name: Name,
    /// Where to, and how far.
    pub step: FetchStep,
    /// MOVE: the rows are not given.
    pub moves: bool,
}

/// Where FETCH goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchStep {
    /// So many rows on; `i64::MAX`: all.
    Forward(i64),
    /// So many rows back; `i64::MAX`: all.
    Backward(i64),
    /// To this row, from the end when negative.
    Absolute(i64),
    /// To the row so far from here.
    Relative(i64),
}
