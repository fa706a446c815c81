//! Point reads: own writes, then the layers newest first, then the tree. No allocation, no await.

use super::Txn;
use crate::mem::key_hash;
use crate::mem::spill::{Piece, PieceGet, Undone};
use crate::mem::view::{Layer, View};
use crate::mem::write_set::{OwnWrite, WriteSet};
use crate::pages::TreeGet;
use orrery_base::kv::{Lookup, ReadMode};
use orrery_base::task::lock;
use orrery_base::{Result, Timestamp, TreeId, plant};
use std::sync::atomic::Ordering;

impl Txn {
    /// See [`orrery_base::kv::Transaction::get`].
    #[inline]
    pub(crate) fn read_key(
        &self,
        tree: TreeId,
        key: &[u8],
        mode: ReadMode,
        found: &mut dyn FnMut(&[u8]),
    ) -> Result<Lookup> {
        self.check_open()?;
        if let Some(reads) = &self.reads {
            lock(reads).add_key(tree, key);
        }
        if self.has_writes.load(Ordering::Acquire) {
            let limit = self.own_limit(mode);
            let writes = lock(&self.writes);
            match writes.get(tree, key, limit) {
                OwnWrite::None if writes.has_spilled() => {
                    if let Some(lookup) = self.read_own_pieces(&writes, limit, tree, key, found)? {
                        return Ok(lookup);
                    }
                }
                OwnWrite::None => {}
                OwnWrite::Deleted => return Ok(Lookup::Absent { newer: false }),
                OwnWrite::Value(value) => {
                    found(value);
                    return Ok(Lookup::Found { newer: false });
                }
            }
        }
        let reading = self.reading();
        let Some(reading) = reading.as_ref() else {
            drop(reading);
            self.check_open()?;
            return Err(super::not_open());
        };
        match mode {
            ReadMode::Snapshot => {
                let at = reading.timestamp;
                self.read_view(&reading.view, at, at, tree, key, found)
            }
            // Nothing was published since the snapshot was taken: it is the newest.
            ReadMode::Current if self.store.views.is_current(reading.epoch) => {
                let at = reading.timestamp;
                self.read_view(&reading.view, at, at, tree, key, found)
            }
            ReadMode::Current => {
                let (view, published) = self.store.views.current();
                self.read_view(&view, published, reading.timestamp, tree, key, found)
            }
        }
    }

    /// Own writes below this number are seen: a snapshot read sees earlier statements, a current read all.
    pub(crate) fn own_limit(&self, mode: ReadMode) -> u32 {
        match mode {
            ReadMode::Snapshot => self.statement_start.load(Ordering::Relaxed),
            ReadMode::Current => u32::MAX,
        }
    }

    /// What own writes that left the memory say of a key; `None`: nothing.
    fn read_own_pieces(
        &self,
        writes: &WriteSet,
        limit: u32,
        tree: TreeId,
        key: &[u8],
        found: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<Lookup>> {
        let (pieces, undone) = writes.pieces();
        let hash = key_hash(tree, key);
        let limit = if plant!(self.store.world, SpillShowsOwnStatement) { u32::MAX } else { limit };
        for piece in pieces.iter().rev() {
            let lookup = self.read_piece(piece, (tree, key, hash), (limit, undone), false, found)?;
            if lookup.is_some() {
                return Ok(lookup);
            }
        }
        Ok(None)
    }

    fn read_piece(
        &self,
        piece: &Piece,
        (tree, key, hash): (TreeId, &[u8], u64),
        visible: (u32, &Undone),
        newer: bool,
        found: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<Lookup>> {
        if !piece.may_contain(hash) {
            return Ok(None);
        }
        let reader = self.reader.as_ref().expect("an open transaction has its reader");
        let pin = reader.pin();
        let answer = piece.get(&self.store.pages, &pin, (tree, key), visible, |value| match value {
            Some(value) => {
                found(value);
                Lookup::Found { newer }
            }
            None => Lookup::Absent { newer },
        })?;
        Ok(match answer {
            PieceGet::Nothing => None,
            PieceGet::Missing(page) => Some(Lookup::Missing(page)),
            PieceGet::Found(lookup) => Some(lookup),
        })
    }

    fn read_view(
        &self,
        view: &View,
        at: Timestamp,
        snapshot: Timestamp,
        tree: TreeId,
        key: &[u8],
        found: &mut dyn FnMut(&[u8]),
    ) -> Result<Lookup> {
        let mut hash = None;
        for layer in &view.layers {
            if matches!(&**layer, Layer::Memtable(table) if !table.may_have(tree)) {
                continue;
            }
            let hash = *hash.get_or_insert_with(|| key_hash(tree, key));
            if let Some((piece, undone, timestamp)) = layer.piece() {
                if timestamp > at {
                    continue;
                }
                let newer = timestamp > snapshot;
                if layer.dropped(tree, at).is_some() {
                    return Ok(Lookup::Absent { newer });
                }
                match self.read_piece(piece, (tree, key, hash), (u32::MAX, undone), newer, found)? {
                    Some(lookup) => return Ok(lookup),
                    None => continue,
                }
            }
            let answer = layer.get(tree, key, hash, at, |version| {
                let newer = version.timestamp > snapshot;
                match version.value {
                    Some(value) => {
                        found(value);
                        Lookup::Found { newer }
                    }
                    None => Lookup::Absent { newer },
                }
            });
            if let Some(answer) = answer {
                return Ok(answer);
            }
            if let Some(dropped) = layer.dropped(tree, at) {
                return Ok(Lookup::Absent { newer: dropped > snapshot });
            }
        }
        if self.is_past {
            return self.read_past(view, at, tree, key, found);
        }
        if !view.tree.has_rows(tree) {
            return Ok(Lookup::Absent { newer: false });
        }
        let reader = self.reader.as_ref().expect("an open transaction has its reader");
        let pin = reader.pin();
        Ok(match self.store.pages.get(&view.tree, &pin, tree, key)? {
            TreeGet::Found { value, timestamp } => {
                found(value);
                Lookup::Found { newer: timestamp > snapshot }
            }
            TreeGet::Absent => Lookup::Absent { newer: false },
            TreeGet::Missing(page) => Lookup::Missing(page),
        })
    }
}
