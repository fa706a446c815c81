//! Reading the catalog's rows.

use super::{COMMENTS, SCHEMAS, SEQUENCES, STATE, STATE_KEY, STATISTICS, TABLES, TYPES, VIEWS, codec};
use crate::bind::{derived_name, first_free};
use crate::catalog::{Catalog, Table, TableStatistics};
use orrery_base::kv::{Flow, KeyRange, Lookup, ReadMode, RowRef, RowSink, Transaction};
use orrery_base::{Cx, Error, Result, TreeId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The catalog as the transaction's snapshot has it. Suspends for pages.
///
/// # Errors
/// XX001 when a row cannot be read, and the store's.
pub async fn load_catalog(cx: &Cx, txn: &dyn Transaction) -> Result<Catalog> {
    load(cx, txn, ReadMode::Snapshot).await
}

pub(super) async fn load(cx: &Cx, txn: &dyn Transaction, mode: ReadMode) -> Result<Catalog> {
    let (version, next_tree) = read_state(cx, txn, mode).await?;
    let mut catalog = Catalog { version, next_tree, ..Catalog::default() };
    for (_, value) in rows(cx, txn, SEQUENCES, mode).await? {
        let sequence = codec::decode_sequence(&value)?;
        catalog.sequences.insert(sequence.id, sequence);
    }
    let mut statistics: BTreeMap<Vec<u8>, Arc<TableStatistics>> = BTreeMap::new();
    for (key, value) in rows(cx, txn, STATISTICS, mode).await? {
        statistics.insert(key, Arc::new(codec::decode_statistics(&value)?));
    }
    for (key, value) in rows(cx, txn, TABLES, mode).await? {
        let mut table = codec::decode_table(&value)?;
        if key != table.id.0.to_be_bytes() {
            return Err(Error::corrupt(format!("table \"{}\" lies under another table's key", table.name)));
        }
        table.statistics = statistics.remove(&key);
        insert(&mut catalog, table);
    }
    name_old_sequences(&mut catalog);
    for (key, value) in rows(cx, txn, VIEWS, mode).await? {
        let view = codec::decode_view(&value)?;
        if key != view.id.to_be_bytes() {
            return Err(Error::corrupt(format!("view \"{}\" lies under another view's key", view.name)));
        }
        match view.materialized {
            Some(_) => catalog.materialized.insert(view.id, Arc::new(view)),
            None => catalog.views.insert(view.name.clone(), Arc::new(view)),
        };
    }
    for (key, value) in rows(cx, txn, SCHEMAS, mode).await? {
        let (id, name) = codec::decode_schema(&value)?;
        if key != id.to_be_bytes() {
            return Err(Error::corrupt(format!("schema \"{name}\" lies under another schema's key")));
        }
        catalog.schemas.insert(id, name);
    }
    for (key, value) in rows(cx, txn, TYPES, mode).await? {
        let ty = codec::decode_type(&value)?;
        if key != ty.id.to_be_bytes() {
            return Err(Error::corrupt(format!("type \"{}\" lies under another type's key", ty.name)));
        }
        catalog.types.insert(ty.id, Arc::new(ty));
    }
    for (key, value) in rows(cx, txn, COMMENTS, mode).await? {
        Arc::make_mut(&mut catalog.comments)
            .insert(codec::decode_commented(&key)?, codec::decode_comment(&value)?);
    }
    Ok(catalog)
}

/// Sequences of identity columns made before sequences had names get theirs, their owner and the limits of their column.
fn name_old_sequences(catalog: &mut Catalog) {
    let tables: Vec<Arc<Table>> = catalog.tables.values().cloned().collect();
    for table in tables {
        for (ordinal, column) in table.columns.iter().enumerate() {
            let Some(id) = column.identity.map(|identity| identity.sequence) else { continue };
            let Some(old) = catalog.sequences.get(&id).filter(|it| it.name.is_none()) else { continue };
            let mut sequence = old.clone();
            let base = derived_name(&table.name, &[column.name.as_str()], "seq");
            sequence.name = Some(first_free(&base, |name| catalog.is_taken(name)));
            sequence.owner = Some((table.id.0, ordinal));
            sequence.ty = column.ty;
            sequence.min = sequence.min.max(column.ty.integer_min());
            sequence.max = sequence.max.min(column.ty.integer_max());
            catalog.sequences.insert(id, sequence);
        }
    }
}

/// Puts a table with its indexes in, or in place of its older definition.
pub(super) fn insert(catalog: &mut Catalog, table: Table) {
    remove(catalog, &table.name);
    for index in &table.indexes {
        catalog.index_owner.insert(index.name.clone(), table.name.clone());
    }
    catalog.tables.insert(table.name.clone(), Arc::new(table));
}

/// Takes a table with its indexes out.
pub(super) fn remove(catalog: &mut Catalog, name: &str) {
    if let Some(table) = catalog.tables.remove(name) {
        for index in &table.indexes {
            catalog.index_owner.remove(&index.name);
        }
    }
}

/// The schema version and the next free id; those of an empty database when there is no row.
pub(super) async fn read_state(cx: &Cx, txn: &dyn Transaction, mode: ReadMode) -> Result<(u64, u32)> {
    let mut bytes = Vec::new();
    loop {
        match txn.get(STATE, STATE_KEY, mode, &mut |value| bytes = value.to_vec())? {
            Lookup::Found { .. } => break,
            Lookup::Absent { .. } => return Ok((0, TreeId::FIRST_USER.0)),
            Lookup::Missing(page) => txn.load(cx, page).await?,
        }
    }
    let bytes: [u8; 13] = bytes
        .try_into()
        .ok()
        .filter(|bytes: &[u8; 13]| bytes[0] == 1)
        .ok_or_else(|| Error::corrupt("the catalog's state cannot be read"))?;
    let version = u64::from_le_bytes(bytes[1..9].try_into().expect("eight bytes"));
    let next = u32::from_le_bytes(bytes[9..].try_into().expect("four bytes"));
    if next < TreeId::FIRST_USER.0 {
        return Err(Error::corrupt("the catalog's next id is one of the fixed trees"));
    }
    Ok((version, next))
}

pub(super) fn encode_state(version: u64, next: u32) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&next.to_le_bytes());
    bytes
}

type Row = (Vec<u8>, Vec<u8>);

#[derive(Default)]
struct Collect(Vec<Row>);

impl RowSink for Collect {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = Vec::with_capacity(row.key_prefix.len() + row.key_suffix.len());
            row.key_into(&mut key);
            self.0.push((key, row.value.to_vec()));
        }
        Ok(Flow::More)
    }
}

async fn rows(cx: &Cx, txn: &dyn Transaction, tree: TreeId, mode: ReadMode) -> Result<Vec<Row>> {
    let mut scan = txn.scan(tree, KeyRange::all(), mode, false)?;
    let mut sink = Collect::default();
    while scan.next_batch(cx, &mut sink).await? {}
    Ok(sink.0)
}
