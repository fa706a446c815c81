//! Schema changes as catalog rows.

use super::alter::drop_hidden;
use super::load::{encode_state, insert, load, read_state, remove};
use super::{
    Ddl, NewColumnSequence, NewIndex, NewTable, STATE, STATE_KEY, STATISTICS, SchemaChange, TABLES, VIEWS,
    codec,
};
use crate::bind::{ITSELF, serial_default};
use crate::catalog::{Catalog, Check, Identity, Index, IndexColumn, Sequence, Table, TableStatistics};
use crate::exec::ExecContext;
use orrery_base::kv::{Isolation, ReadMode, RowLock, TableLock, Transaction, Wait};
use orrery_base::{Cx, Error, Result, SqlState, TreeId};
use std::sync::Arc;

/// Hidden row ids that one reservation takes.
pub(super) const ROW_ID_CACHE: u32 = 1024;

/// Carries out a schema change in the transaction and gives the catalog as it is then. Suspends for locks and pages.
///
/// # Errors
/// 42P07, 42P01, 42704 when another transaction was first; 40001 when it was and the level is above READ COMMITTED; 23505
/// when a unique index finds equal keys; those of locks.
pub async fn execute(cx: &Cx, ctx: &ExecContext, catalog: &Catalog, ddl: Ddl) -> Result<Catalog> {
    let (mode, tables): (_, Vec<&Arc<Table>>) = match &ddl {
        Ddl::Nothing(_) => return Ok(catalog.clone()),
        Ddl::CreateTable(new) => {
            for key in new.foreign_keys.iter().filter(|key| key.target != ITSELF) {
                let (target, mode) = (TreeId(key.target), TableLock::ShareRowExclusive);
                ctx.txn.lock_table(cx, target, mode, Wait::Block).await?;
            }
            (TableLock::AccessExclusive, Vec::new())
        }
        Ddl::AlterTable { table, others, .. } => {
            for other in others {
                ctx.txn.lock_table(cx, other.id, TableLock::ShareRowExclusive, Wait::Block).await?;
            }
            (TableLock::AccessExclusive, vec![table])
        }
        Ddl::CreateView(_)
        | Ddl::DropView { .. }
        | Ddl::CreateSequence(_)
        | Ddl::CreateType(_)
        | Ddl::AlterType(_)
        | Ddl::DropTypes { .. } => (TableLock::AccessShare, Vec::new()),
        Ddl::AlterSequence(change, table) => {
            ctx.txn.lock_table(cx, TreeId(change.id), TableLock::AccessExclusive, Wait::Block).await?;
            (TableLock::ShareRowExclusive, table.iter().collect())
        }
        Ddl::DropSequence { ids, .. } => {
            for id in ids {
                ctx.txn.lock_table(cx, TreeId(*id), TableLock::AccessExclusive, Wait::Block).await?;
            }
            (TableLock::AccessExclusive, Vec::new())
        }
        Ddl::DropTable { tables, .. }
        | Ddl::Truncate { tables, .. }
        | Ddl::Schema(SchemaChange::Drop { tables, .. }) => {
            (TableLock::AccessExclusive, tables.iter().collect())
        }
        Ddl::Schema(_) | Ddl::Comment(..) => (TableLock::AccessShare, Vec::new()),
        // Hidden columns are written into all rows.
        Ddl::CreateIndex { table, index } if !index.hidden.is_empty() => {
            (TableLock::AccessExclusive, vec![table])
        }
        Ddl::CreateIndex { table, .. } => (TableLock::Share, vec![table]),
        Ddl::DropIndex(indexes) => (TableLock::AccessExclusive, indexes.iter().map(|it| &it.0).collect()),
    };
    for table in tables {
        ctx.txn.lock_table(cx, table.id, mode, Wait::Block).await?;
    }
    let mut change = Change::begin(cx, ctx, catalog).await?;
    match ddl {
        Ddl::Nothing(_) => {}
        Ddl::CreateTable(new) => change.create_table(cx, ctx, new).await?,
        Ddl::AlterTable { table, alter, .. } => change.alter_table(cx, ctx, &table, &alter).await?,
        Ddl::CreateSequence(new) => drop(change.create_sequence(cx, ctx, new).await?),
        Ddl::AlterSequence(alter, _) => change.alter_sequence(cx, ctx, *alter).await?,
        Ddl::DropSequence { ids, cascade } => change.drop_sequences(&ids, cascade)?,
        Ddl::CreateType(new) => change.create_type(new)?,
        Ddl::AlterType(changed) => change.alter_type(changed)?,
        Ddl::DropTypes { types, domain } => change.drop_types(&types, domain)?,
        Ddl::CreateView(new) => change.create_view(new)?,
        Ddl::DropView { views, cascade } => change.drop_views(&views, cascade)?,
        Ddl::Schema(it) => change.change_schema(it)?,
        Ddl::Comment(on, text) => change.change_comment(&on, text)?,
        Ddl::DropTable { tables, cascade } => change.drop_tables(&tables, cascade)?,
        Ddl::CreateIndex { table, index } => change.create_index(cx, ctx, &table, index).await?,
        Ddl::DropIndex(indexes) => {
            for (table, name) in indexes {
                change.drop_index(&table, &name)?;
            }
        }
        Ddl::Truncate { tables, restart_identity, refreshes } => {
            for table in tables {
                change.truncate(cx, ctx, &table, restart_identity).await?;
                if let Some(populated) = refreshes {
                    change.note_refresh(table.id.0, populated)?;
                }
            }
        }
    }
    change.finish()
}

/// Keeps what ANALYZE found, and gives the catalog as it is then.
///
/// # Errors
/// 42P01 when the table is gone; those of locks.
pub async fn set_statistics(
    cx: &Cx,
    ctx: &ExecContext,
    catalog: &Catalog,
    table: &Table,
    statistics: TableStatistics,
) -> Result<Catalog> {
    let mut change = Change::begin(cx, ctx, catalog).await?;
    let mut table = change.current(table)?;
    change.txn.put(STATISTICS, &table.id.0.to_be_bytes(), &codec::encode_statistics(&statistics))?;
    table.statistics = Some(Arc::new(statistics));
    insert(&mut change.catalog, table);
    change.finish()
}

/// A change under way: the newest catalog, under the lock (invariants 1 and 2).
pub(super) struct Change {
    pub(super) txn: Arc<dyn Transaction>,
    pub(super) catalog: Catalog,
    /// The tables with comments as they were before.
    pub(super) commented: Vec<Arc<Table>>,
}

impl Change {
    async fn begin(cx: &Cx, ctx: &ExecContext, bound_under: &Catalog) -> Result<Change> {
        let txn = ctx.txn.clone();
        txn.lock(cx, STATE, STATE_KEY, RowLock::Update, Wait::Block).await?;
        let (version, next_tree) = read_state(cx, &*txn, ReadMode::Current).await?;
        let catalog = if version == bound_under.version && next_tree == bound_under.next_tree {
            bound_under.clone()
        } else if txn.isolation() != Isolation::ReadCommitted {
            // The newest catalog may name an index that was filled after this transaction's snapshot was taken.
            let message = "could not serialize access due to a concurrent schema change";
            return Err(Error::new(SqlState::SERIALIZATION_FAILURE, message));
        } else {
            let (temporary, path) = (bound_under.temporary.clone(), bound_under.path.clone());
            Catalog { temporary, path, ..load(cx, &*txn, ReadMode::Current).await? }
        };
        let commented = super::comments::commented_tables(&catalog);
        Ok(Change { txn, catalog, commented })
    }

    fn finish(mut self) -> Result<Catalog> {
        self.keep_comments()?;
        self.catalog.version += 1;
        self.txn.put(STATE, STATE_KEY, &encode_state(self.catalog.version, self.catalog.next_tree))?;
        Ok(self.catalog)
    }

    pub(super) fn next_id(&mut self) -> Result<u32> {
        let id = self.catalog.next_tree;
        self.catalog.next_tree = id
            .checked_add(1)
            .ok_or_else(|| Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "no object id is left"))?;
        Ok(id)
    }

    /// The newest definition of a table that binding found.
    fn current(&self, table: &Table) -> Result<Table> {
        match self.catalog.tables.get(&table.name) {
            Some(current) if current.id == table.id => Ok((**current).clone()),
            _ => {
                let message = format!("relation \"{}\" does not exist", table.name);
                Err(Error::new(SqlState::UNDEFINED_TABLE, message))
            }
        }
    }

    /// Tables, views and indexes share one space of names.
    pub(super) fn check_free(&self, name: &str) -> Result<()> {
        self.check_schema(name)?;
        if self.catalog.is_taken(name) {
            let message = format!("relation \"{name}\" already exists");
            return Err(Error::new(SqlState::DUPLICATE_TABLE, message));
        }
        Ok(())
    }

    pub(super) fn put_table(&mut self, table: Table) -> Result<()> {
        self.txn.put(TABLES, &table.id.0.to_be_bytes(), &codec::encode_table(&table))?;
        insert(&mut self.catalog, table);
        Ok(())
    }

    async fn create_table(&mut self, cx: &Cx, ctx: &ExecContext, new: NewTable) -> Result<()> {
        let NewTable {
            id: _,
            name,
            mut columns,
            sequences,
            primary_key,
            primary_key_name,
            indexes,
            checks,
            mut foreign_keys,
            materialized,
        } = new;
        self.check_free(&name)?;
        if let Some(key_name) = &primary_key_name {
            self.check_free(key_name)?;
        }
        let id = TreeId(self.next_id()?);
        for NewColumnSequence { column, identity, mut sequence } in sequences {
            sequence.owner = Some((id.0, column));
            let sequence = self.create_sequence(cx, ctx, sequence).await?;
            match identity {
                Some(always) => columns[column].identity = Some(Identity { always, sequence }),
                None => columns[column].default = Some(serial_default(sequence)),
            }
        }
        let mut row_id_sequence = None;
        if primary_key.is_empty() {
            let row_ids = Sequence::new(0, 1, 1, ROW_ID_CACHE);
            row_id_sequence = Some(self.create_sequence(cx, ctx, row_ids).await?);
        }
        let mut made = Vec::with_capacity(indexes.len());
        for index in indexes {
            self.check_free(&index.name)?;
            made.push(self.new_index(index)?);
        }
        for key in &mut foreign_keys {
            if key.target == ITSELF {
                key.target = id.0;
            }
        }
        let targets: Vec<u32> = foreign_keys.iter().map(|key| key.target).collect();
        let checks = checks.into_iter().map(|(name, expression)| Check { name, expression }).collect();
        self.put_table(Table {
            id,
            tree: id,
            name,
            schema_version: 1,
            columns,
            primary_key,
            primary_key_name,
            row_id_sequence,
            indexes: made,
            checks,
            foreign_keys,
            statistics: None,
        })?;
        if let Some((view, populated)) = materialized {
            self.create_materialized(id.0, view, populated)?;
        }
        targets.into_iter().filter(|target| *target != id.0).try_for_each(|target| self.touch(target))
    }

    /// A table's foreign keys from elsewhere changed: plans made before do not know. Errors: 42P01.
    pub(super) fn touch(&mut self, id: u32) -> Result<()> {
        let Some(table) = self.catalog.table_by_id(id) else {
            return Err(Error::new(
                SqlState::UNDEFINED_TABLE,
                "the referenced table does not exist any more",
            ));
        };
        let mut table = (**table).clone();
        table.schema_version += 1;
        self.put_table(table)
    }

    /// Drops the foreign keys of other tables that refer to tables about to go. Errors: 2BP01 without CASCADE.
    fn drop_keys_to(&mut self, tables: &[Arc<Table>], cascade: bool) -> Result<()> {
        for table in tables {
            let shown = format!("table {}", table.name);
            let going: Vec<TreeId> = tables.iter().map(|table| table.id).collect();
            self.drop_referring_keys(table, &going, &|_| true, &shown, cascade)?;
        }
        Ok(())
    }

    pub(super) fn new_index(&mut self, new: NewIndex) -> Result<Index> {
        let NewIndex { name, columns, unique, is_constraint, predicate, include, hidden: _ } = new;
        Ok(Index { tree: TreeId(self.next_id()?), name, columns, unique, is_constraint, predicate, include })
    }

    /// Errors: 42P01; 2BP01 without CASCADE.
    pub(super) fn drop_tables(&mut self, tables: &[Arc<Table>], cascade: bool) -> Result<()> {
        self.drop_dependents(tables, cascade)?;
        self.drop_keys_to(tables, cascade)?;
        tables.iter().try_for_each(|table| self.drop_table(table, cascade))
    }

    pub(super) fn drop_table(&mut self, table: &Table, cascade: bool) -> Result<()> {
        let table = self.current(table)?;
        let key = table.id.0.to_be_bytes();
        if self.catalog.materialized.remove(&table.id.0).is_some() {
            self.txn.delete(VIEWS, &key)?;
        }
        self.txn.delete(TABLES, &key)?;
        self.txn.delete(STATISTICS, &key)?;
        self.drop_trees(&table)?;
        remove(&mut self.catalog, &table.name);
        if let Some(row_ids) = table.row_id_sequence {
            self.drop_sequence(row_ids)?;
        }
        let owned = self.owned_sequences(&table, None);
        self.drop_sequences(&owned, cascade)
    }

    pub(super) fn drop_trees(&self, table: &Table) -> Result<()> {
        self.txn.drop_tree(table.tree)?;
        table.indexes.iter().try_for_each(|index| self.txn.drop_tree(index.tree))
    }

    async fn create_index(&mut self, cx: &Cx, ctx: &ExecContext, table: &Table, new: NewIndex) -> Result<()> {
        let mut table = self.current(table)?;
        self.check_free(&new.name)?;
        if !new.hidden.is_empty() {
            let is_first_hidden = |column: &IndexColumn| column.ordinal == table.columns.len();
            if !new.columns.iter().any(is_first_hidden) {
                let message = format!("relation \"{}\" was changed by another transaction", table.name);
                return Err(Error::new(SqlState::SERIALIZATION_FAILURE, message));
            }
            table = self.with_hidden(cx, ctx, &table, &new.hidden).await?;
        }
        let has_hidden = !new.hidden.is_empty();
        let index = self.new_index(new)?;
        crate::exec::build_index(cx, ctx, &table, &index).await?;
        table.indexes.push(index);
        if has_hidden { self.put_altered(table) } else { self.put_table(table) }
    }

    fn drop_index(&mut self, table: &Table, name: &str) -> Result<()> {
        let mut table = self.current(table)?;
        let position = table.indexes.iter().position(|index| index.name == name).ok_or_else(|| {
            Error::new(SqlState::UNDEFINED_OBJECT, format!("index \"{name}\" does not exist"))
        })?;
        let index = table.indexes.remove(position);
        self.txn.drop_tree(index.tree)?;
        // Nobody else has its hidden columns: they are as dropped ones from here on.
        if drop_hidden(&mut table, &index) { self.put_altered(table) } else { self.put_table(table) }
    }

    /// New, empty trees in place of the old ones.
    async fn truncate(
        &mut self,
        cx: &Cx,
        ctx: &ExecContext,
        table: &Table,
        restart_identity: bool,
    ) -> Result<()> {
        let mut table = self.current(table)?;
        self.drop_trees(&table)?;
        table.tree = TreeId(self.next_id()?);
        for index in &mut table.indexes {
            index.tree = TreeId(self.next_id()?);
        }
        if restart_identity {
            for id in self.owned_sequences(&table, None) {
                let mut sequence = self.sequence(id)?;
                sequence.position = (sequence.start, false);
                self.move_value(cx, ctx, sequence).await?;
            }
        }
        self.put_table(table)
    }
}
