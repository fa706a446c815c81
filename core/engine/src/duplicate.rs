//! Copies of a database: what one snapshot sees, tree by tree, in pieces that another database takes in (a backup).
//!
//! The two databases belong to two drivers, so whoever makes the copy polls a task of each in turn. What is written while it is
//! made is not in it; nobody waits for it. Keys and values are copied as they are, catalog and indexes among them, so the copy
//! has the same logical state; replaced versions (the past) stay behind.

use crate::database::{Database, Inner};
use orrery_base::kv::{Flow, Isolation, KeyRange, ReadMode, RowRef, RowSink, Scan, Transaction};
use orrery_base::task::Task;
use orrery_base::{Result, TreeId};
use orrery_store::{Durability, Txn, TxnOptions};
use std::sync::Arc;

/// Bytes of rows in a piece, about.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// A copy under way. Holds its snapshot, and with it the pages, until it is dropped.
pub struct Duplicate {
    db: Arc<Inner>,
    txn: Arc<Txn>,
    /// Trees still to be read, the next one last.
    trees: Vec<TreeId>,
    scan: Option<(TreeId, Box<dyn Scan>)>,
}

/// Rows of one tree, in order.
pub struct Piece {
    tree: TreeId,
    /// Lengths of each key and value.
    lengths: Vec<(u32, u32)>,
    bytes: Vec<u8>,
}

impl Piece {
    /// Without rows.
    pub(crate) fn new(tree: TreeId) -> Self {
        Piece { tree, lengths: Vec::new(), bytes: Vec::new() }
    }

    /// Whose rows.
    pub(crate) fn tree(&self) -> TreeId {
        self.tree
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.lengths.push((key.len() as u32, value.len() as u32));
    }

    /// How many rows.
    pub fn row_count(&self) -> usize {
        self.lengths.len()
    }

    /// Bytes of their keys and values.
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }
}

impl RowSink for Piece {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let start = self.bytes.len();
            row.key_into(&mut self.bytes);
            let key_len = self.bytes.len() - start;
            self.bytes.extend_from_slice(row.value);
            self.lengths.push((key_len as u32, row.value.len() as u32));
        }
        Ok(if self.bytes.len() >= PIECE_BYTES { Flow::Full } else { Flow::More })
    }
}

impl Database {
    /// Begins a copy of what is committed now. Errors: 57P03 when the database is closed.
    pub fn duplicate(&self) -> Task<Result<Duplicate>> {
        let db = self.0.clone();
        Task::new(self.0.world.clone(), move |cx| async move {
            let options = TxnOptions { isolation: Isolation::RepeatableRead, read_only: true };
            let txn = db.store.begin(options, cx.now())?;
            txn.begin_statement()?;
            let mut trees = txn.trees();
            trees.reverse();
            Ok(Duplicate { db, txn, trees, scan: None })
        })
    }

    /// Takes a piece of another database's copy in. Errors: those of writing.
    pub fn take_in(&self, piece: Piece) -> Task<Result<()>> {
        let db = self.0.clone();
        Task::new(self.0.world.clone(), move |cx| async move {
            let options = TxnOptions { isolation: Isolation::ReadCommitted, read_only: false };
            let txn = db.store.begin(options, cx.now())?;
            // Nobody believes in the copy before its last checkpoint.
            txn.set_durability(Durability::None);
            let mut at = 0;
            for (key_len, value_len) in &piece.lengths {
                let (key_end, end) = (at + *key_len as usize, at + (*key_len + *value_len) as usize);
                txn.put(piece.tree, &piece.bytes[at..key_end], &piece.bytes[key_end..end])?;
                at = end;
            }
            txn.commit(&cx).await.map(drop)
        })
    }
}

impl Duplicate {
    /// The next piece, and the copy to go on with; `None` at its end. Errors: XX001, the disk's.
    pub fn next(mut self) -> Task<Result<Option<(Piece, Duplicate)>>> {
        Task::new(self.db.world.clone(), move |cx| async move {
            loop {
                if self.scan.is_none() {
                    let Some(tree) = self.trees.pop() else {
                        self.txn.rollback();
                        return Ok(None);
                    };
                    let scan = self.txn.scan(tree, KeyRange::all(), ReadMode::Snapshot, false)?;
                    self.scan = Some((tree, scan));
                }
                let Some((tree, scan)) = &mut self.scan else { continue };
                let mut piece = Piece { tree: *tree, lengths: Vec::new(), bytes: Vec::new() };
                if !scan.next_batch(&cx, &mut piece).await? {
                    self.scan = None;
                }
                if piece.row_count() > 0 {
                    return Ok(Some((piece, self)));
                }
            }
        })
    }
}
