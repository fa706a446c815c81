//! The table a statement writes to: its layout, and locking and reading its rows.

use crate::catalog::Table;
use crate::datum::Datum;
use crate::encode;
use crate::exec::ExecContext;
use crate::types::SqlType;
use orrery_base::kv::{Lookup, ReadMode, RowLock, Wait};
use orrery_base::{Cx, Result, TreeId};
use orrery_row::codec::RowLayout;
use std::sync::Arc;

/// A table being written to.
pub(super) struct Target<'a> {
    pub(super) context: &'a ExecContext,
    pub(super) table: &'a Arc<Table>,
    pub(super) layout: RowLayout,
    pub(super) types: Vec<SqlType>,
}

/// The newest version of a row.
pub(super) enum Newest {
    /// There, with its bytes; whether another transaction committed it after the snapshot.
    Row(Vec<u8>, bool),
    /// Not there.
    Gone,
}

impl<'a> Target<'a> {
    pub(super) fn new(context: &'a ExecContext, table: &'a Arc<Table>) -> Self {
        Target { context, table, layout: encode::layout(table), types: encode::types(table) }
    }

    /// Locks a row, waiting if it must.
    pub(super) async fn lock(&self, cx: &Cx, tree: TreeId, key: &[u8], mode: RowLock) -> Result<()> {
        if !self.context.txn.try_lock(tree, key, mode)? {
            self.context.txn.lock(cx, tree, key, mode, Wait::Block).await?;
        }
        Ok(())
    }

    /// The newest version of a key's value.
    pub(super) async fn newest(&self, cx: &Cx, tree: TreeId, key: &[u8], mode: ReadMode) -> Result<Newest> {
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

    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Vec<Datum>> {
        encode::decode_row(&self.layout, &self.types, bytes)
    }

    /// Writes a row under its key.
    pub(super) fn put_row(&self, key: &[u8], row: &[Datum], scratch: &mut Vec<u8>) -> Result<()> {
        encode::row(&self.layout, &self.types, row, scratch)?;
        self.context.txn.put(self.table.tree, key, scratch)
    }
}
