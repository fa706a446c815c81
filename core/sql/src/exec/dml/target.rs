//! The table a statement writes to: its layout, and locking and reading its rows.

use super::changed_concurrently;
use crate::catalog::Table;
use crate::datum::Datum;
use crate::encode::{self, OldRows};
use crate::exec::ExecContext;
use crate::types::SqlType;
use orrery_base::kv::{Isolation, Lookup, ReadMode, RowLock, Wait};
use orrery_base::task::lock;
use orrery_base::{Cx, Result, TreeId};
use orrery_row::codec::RowLayout;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// A table being written to.
pub(in crate::exec) struct Target<'a> {
    pub(in crate::exec) context: &'a ExecContext,
    pub(super) table: &'a Arc<Table>,
    pub(super) layout: RowLayout,
    pub(in crate::exec) types: Vec<SqlType>,
    old: OldRows,
    /// Keys, by tree, that rows of this statement moved away from.
    vacated: Mutex<BTreeSet<(TreeId, Vec<u8>)>>,
}

/// The newest version of a row.
pub(in crate::exec) enum Newest {
    /// There, with its bytes; whether another transaction committed it after the snapshot.
    Row(Vec<u8>, bool),
    /// Not there.
    Gone,
}

impl<'a> Target<'a> {
    pub(in crate::exec) fn new(context: &'a ExecContext, table: &'a Arc<Table>) -> Self {
        Target {
            context,
            table,
            layout: encode::layout(table),
            types: encode::types(table),
            old: OldRows::of(table),
            vacated: Mutex::default(),
        }
    }

    /// Locks a row, waiting if it must.
    pub(super) async fn lock(&self, cx: &Cx, tree: TreeId, key: &[u8], mode: RowLock) -> Result<()> {
        if !self.context.txn.try_lock(tree, key, mode)? {
            self.context.txn.lock(cx, tree, key, mode, Wait::Block).await?;
        }
        Ok(())
    }

    /// The newest version of a key's value.
    pub(in crate::exec) async fn newest(
        &self,
        cx: &Cx,
        tree: TreeId,
        key: &[u8],
        mode: ReadMode,
    ) -> Result<Newest> {
        loop {
            let mut value = Vec::new();
            let mut found = |bytes: &[u8]| value.extend_from_slice(bytes);
            match self.context.txn.get(tree, key, mode, &mut found)? {
                Lookup::Found { newer } => return Ok(Newest::Row(value, newer)),
                Lookup::Absent { .. } => return Ok(Newest::Gone),
                Lookup::Missing(page) => self.context.txn.load(cx, page).await?,
            }
        }
    }

    /// Notes that this statement took a row away from a key: another of its rows may come there.
    pub(super) fn vacate(&self, tree: TreeId, key: &[u8]) {
        if self.context.txn.isolation() != Isolation::ReadCommitted {
            lock(&self.vacated).insert((tree, key.to_vec()));
        }
    }

    /// A key without a row is about to get one. Above READ COMMITTED the snapshot must not have one there either: its
    /// index entries would stay in sight beside the new row. Errors: 40001.
    pub(super) async fn check_vacant(&self, cx: &Cx, tree: TreeId, key: &[u8]) -> Result<()> {
        if self.context.txn.isolation() == Isolation::ReadCommitted
            || lock(&self.vacated).contains(&(tree, key.to_vec()))
        {
            return Ok(());
        }
        match self.newest(cx, tree, key, ReadMode::Snapshot).await? {
            Newest::Gone => Ok(()),
            Newest::Row(..) => Err(changed_concurrently("delete")),
        }
    }

    pub(in crate::exec) fn decode(&self, bytes: &[u8]) -> Result<Vec<Datum>> {
        self.old.decode(&self.layout, bytes)
    }

    /// Removes a locked row with its index entries.
    pub(super) async fn delete_row(&self, cx: &Cx, key: &[u8], row: &[Datum]) -> Result<()> {
        self.delete_entries(cx, &self.entries(row, key)?).await?;
        self.context.txn.delete(self.table.tree, key)
    }

    /// Writes a row under its key.
    pub(super) fn put_row(&self, key: &[u8], row: &[Datum], scratch: &mut Vec<u8>) -> Result<()> {
        encode::row(&self.layout, &self.types, row, scratch)?;
        self.context.txn.put(self.table.tree, key, scratch)
    }
}
