//! Point reads: own writes, then the layers newest first, then the tree. No allocation, no await.

use super::Txn;
use crate::mem::key_hash;
use crate::mem::view::{Layer, View};
use crate::mem::write_set::OwnWrite;
use crate::pages::TreeGet;
use orrery_base::kv::{Lookup, ReadMode};
use orrery_base::task::lock;
use orrery_base::{Result, Timestamp, TreeId};
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
            match lock(&self.writes).get(tree, key, self.own_limit(mode)) {
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
