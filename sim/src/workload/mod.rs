//! What the sessions of a world do: `kv` works through the store's own transactions, `sql` through the engine's
//! sessions. Both record the same history, and the same checkers read it.

pub mod advisory;
pub mod kv;
pub mod rows;
pub mod sql;
pub mod tables;

use orrery_base::Result;
use orrery_base::kv::{Flow, RowRef, RowSink};

/// Takes all rows of a scan.
#[derive(Default)]
pub struct Everything {
    /// Keys and values.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
}

impl RowSink for Everything {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = vec![];
            row.key_into(&mut key);
            self.rows.push((key, row.value.to_vec()));
        }
        Ok(Flow::More)
    }
}
