//! Keys that must be unique: locking them, finding who has them, and keeping index entries.

use super::check::duplicate;
use super::target::{Newest, Target};
use crate::datum::Datum;
use crate::encode;
use orrery_base::kv::{ReadMode, RowLock};
use orrery_base::{Cx, Error, Result, TreeId, plant};

/// An index entry of a row.
pub(super) struct Entry {
    pub(super) tree: TreeId,
    pub(super) key: Vec<u8>,
    pub(super) is_unique: bool,
}

/// A key that another row has.
pub(super) struct Conflict {
    pub(super) error: Error,
    /// The other row was committed after the snapshot: the statement cannot see it.
    pub(super) is_invisible: bool,
}

impl Target<'_> {
    /// The index entries of a row.
    pub(super) fn entries(&self, row: &[Datum], primary_key: &[u8]) -> Result<Vec<Entry>> {
        let entries = encode::index_entries(self.table, row, primary_key)?;
        Ok(entries.into_iter().map(|(tree, key, is_unique)| Entry { tree, key, is_unique }).collect())
    }

    /// Locks the row's primary key and says whether another row has it (M3, M4).
    pub(super) async fn primary_conflict(
        &self,
        cx: &Cx,
        key: &[u8],
        row: &[Datum],
    ) -> Result<Option<Conflict>> {
        self.lock(cx, self.table.tree, key, RowLock::Update).await?;
        match self.newest(cx, self.table.tree, key, mode(cx)).await? {
            Newest::Gone => {
                self.check_vacant(cx, self.table.tree, key).await?;
                Ok(None)
            }
            Newest::Row(_, is_invisible) => {
                let name = self.table.primary_key_name.as_deref().unwrap_or(&self.table.name);
                let error = duplicate(self.table, name, &self.table.primary_key, row);
                Ok(Some(Conflict { error, is_invisible }))
            }
        }
    }

    /// Locks a unique entry's key and says whether a row other than `own` has it.
    pub(super) async fn entry_conflict(
        &self,
        cx: &Cx,
        entry: &Entry,
        row: &[Datum],
        own: Option<&[u8]>,
    ) -> Result<Option<Conflict>> {
        if !entry.is_unique {
            return Ok(None);
        }
        self.lock(cx, entry.tree, &entry.key, RowLock::Update).await?;
        match self.newest(cx, entry.tree, &entry.key, mode(cx)).await? {
            Newest::Row(holder, is_invisible) if own != Some(holder.as_slice()) => {
                let index = self.table.indexes.iter().find(|index| index.tree == entry.tree);
                let index = index.ok_or_else(|| Error::internal("an entry of no index"))?;
                let mut ordinals: Vec<_> = index.columns.iter().map(|column| column.ordinal).collect();
                if index.predicate.is_some() {
                    ordinals.pop();
                }
                let error = duplicate(self.table, &index.name, &ordinals, row);
                Ok(Some(Conflict { error, is_invisible }))
            }
            Newest::Row(..) => Ok(None),
            Newest::Gone => {
                self.check_vacant(cx, entry.tree, &entry.key).await?;
                Ok(None)
            }
        }
    }

    /// Removes a row's index entries, locking the unique ones (M3).
    pub(super) async fn delete_entries(&self, cx: &Cx, entries: &[Entry]) -> Result<()> {
        for entry in entries {
            if entry.is_unique {
                self.lock(cx, entry.tree, &entry.key, RowLock::Update).await?;
            }
            if !plant!(cx.world(), IgnoreIndexOnDelete) {
                self.context.txn.delete(entry.tree, &entry.key)?;
            }
        }
        Ok(())
    }

    /// Adds index entries whose conflicts were looked for.
    pub(super) fn put_entries(&self, entries: &[Entry], primary_key: &[u8]) -> Result<()> {
        entries.iter().try_for_each(|entry| self.context.txn.put(entry.tree, &entry.key, primary_key))
    }
}

/// Uniqueness is a matter of the newest versions (M4).
pub(super) fn mode(cx: &Cx) -> ReadMode {
    if plant!(cx.world(), SnapshotReadUniqueCheck) { ReadMode::Snapshot } else { ReadMode::Current }
}
