//! The checkers, one file a property. Each reads a [`History`](crate::history::History) and says what is wrong in one
//! sentence; none knows how the store works.
//!
//! | file | property |
//! |---|---|
//! | `durability` | after recovery: every acknowledged commit, no rolled-back one, each whole, none that others saw is missing |
//! | `snapshot` | a snapshot sees exactly the commits up to its timestamp, each whole (I2), and none acknowledged before is missing |
//! | `levels` | READ COMMITTED and REPEATABLE READ: which snapshots a transaction may have |
//! | `current` | a read under a lock sees the newest version, and says rightly whether it is newer than the snapshot |
//! | `previous` | `UPDATE … SET prev = v` saw the version that it replaced, at every level |
//! | `updates` | first committer wins: no update is lost above READ COMMITTED |
//! | `serial` | committed SERIALIZABLE transactions have an order: no cycle of ww, wr and rw dependencies |
//! | `structure` | the store's own walk over every page finds nothing (after each recovery) |

pub mod current;
pub mod durability;
pub mod levels;
pub mod previous;
pub mod serial;
pub mod snapshot;
pub mod structure;
pub mod updates;

use crate::history::History;

/// Checks everything that needs no recovered state beside the outcomes: call it when the epoch's outcomes are resolved.
pub fn epoch(history: &History) -> Result<(), String> {
    levels::check(history)?;
    snapshot::check(history)?;
    current::check(history)?;
    updates::check(history)?;
    previous::check(history)?;
    serial::check(history)
}

#[cfg(test)]
mod tests;
