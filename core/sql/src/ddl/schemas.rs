//! Schemas as catalog rows; what is in one goes with it.

use super::apply::Change;
use super::{SCHEMAS, SchemaChange, codec};
use crate::catalog::Table;
use crate::names;
use orrery_base::{Error, Result, SqlState};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Change {
    pub(super) fn change_schema(&mut self, change: SchemaChange) -> Result<()> {
        match change {
            SchemaChange::Create(name) => {
                self.check_new_schema(&name)?;
                let id = self.next_id()?;
                self.put_schema(id, name)
            }
            SchemaChange::Rename(id, name) => {
                self.check_new_schema(&name)?;
                self.check_schema(&names::stored_in(id, ""))?;
                self.put_schema(id, name)
            }
            SchemaChange::Drop { ids, tables, cascade } => self.drop_schemas(&ids, &tables, cascade),
        }
    }

    /// Errors: 3F000 when the schema of a stored name is gone.
    pub(super) fn check_schema(&self, stored: &str) -> Result<()> {
        match names::schema_of(stored) {
            Some(id) if !self.catalog.schemas.contains_key(&id) => {
                Err(Error::new(SqlState::UNDEFINED_SCHEMA, "the schema does not exist any more"))
            }
            _ => Ok(()),
        }
    }

    fn check_new_schema(&self, name: &str) -> Result<()> {
        if self.catalog.schema(name).is_some() {
            let message = format!("schema \"{name}\" already exists");
            return Err(Error::new(SqlState::DUPLICATE_SCHEMA, message));
        }
        Ok(())
    }

    fn put_schema(&mut self, id: u32, name: String) -> Result<()> {
        self.txn.put(SCHEMAS, &id.to_be_bytes(), &codec::encode_schema(id, &name))?;
        self.catalog.schemas.insert(id, name);
        Ok(())
    }

    /// `locked`: the tables in them that binding found. Errors: 2BP01 without CASCADE, and when something outside is of a type in
    /// one; 40001 when a table came into one since.
    fn drop_schemas(&mut self, ids: &[u32], locked: &[Arc<Table>], cascade: bool) -> Result<()> {
        let is_in = |name: &str| names::schema_of(name).is_some_and(|id| ids.contains(&id));
        let catalog = &self.catalog;
        let tables: Vec<Arc<Table>> = catalog.tables.values().filter(|it| is_in(&it.name)).cloned().collect();
        let views: Vec<_> = catalog.views.values().filter(|it| is_in(&it.name)).cloned().collect();
        let types: Vec<_> = catalog.types.values().filter(|it| is_in(&it.name)).cloned().collect();
        let sequences = catalog.sequences.values();
        let sequences: Vec<_> = sequences.filter(|it| it.name.as_deref().is_some_and(is_in)).collect();
        if let (false, Some(first)) = (cascade, ids.first()) {
            let lines = tables.iter().map(|it| format!("table {}", it.name));
            let lines = lines.chain(views.iter().map(|it| format!("view {}", it.name)));
            let lines = lines.chain(types.iter().map(|it| format!("type {}", it.name)));
            let name =
                |it: &&crate::catalog::Sequence| format!("sequence {}", it.name.as_deref().unwrap_or(""));
            let free = sequences.iter().copied().filter(|it| it.owner.is_none());
            let schema = catalog.schemas.get(first).map_or("", String::as_str);
            let lines: Vec<String> = lines.chain(free.map(|it| name(&it))).collect();
            if !lines.is_empty() {
                let message = format!("cannot drop schema {schema} because other objects depend on it");
                let detail = lines.into_iter().map(|it| format!("{it} depends on schema {schema}"));
                return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                    .with_detail(detail.collect::<Vec<_>>().join("\n"))
                    .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
        }
        if tables.iter().any(|table| locked.iter().all(|known| known.id != table.id)) {
            let message = "could not serialize access due to a concurrent schema change";
            return Err(Error::new(SqlState::SERIALIZATION_FAILURE, message));
        }
        let going: BTreeSet<u32> = views.iter().map(|it| it.id).collect();
        let sequences: Vec<u32> = sequences.iter().map(|it| it.id).collect();
        self.drop_views(&views, true)?;
        debug_assert!(self.catalog.views.values().all(|it| !going.contains(&it.id)));
        self.drop_tables(&tables, true)?;
        let left: Vec<u32> =
            sequences.into_iter().filter(|id| self.catalog.sequences.contains_key(id)).collect();
        self.drop_sequences(&left, true)?;
        self.drop_types(&types, false)?;
        for id in ids {
            self.txn.delete(SCHEMAS, &id.to_be_bytes())?;
            self.catalog.schemas.remove(id);
        }
        Ok(())
    }
}
