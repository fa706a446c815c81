//! The tables of the SQL workload. A row says which write it is (`v`), which write it replaced (`prev`), and everything
//! else in it follows from its id and `v`: a mixed-up, stale or damaged row is told from the right one, whichever way it
//! was found.
//!
//! | column | what it holds |
//! |---|---|
//! | `id` | the primary key |
//! | `v` | the write's number ([`ValueId`]) |
//! | `prev` | the write that this one replaced; NULL after an INSERT |
//! | `k` | under a secondary index; few values |
//! | `u` | UNIQUE; NULL in most rows |
//! | `p` | text that makes rows of different lengths |

use crate::history::{Key, State, ValueId};
use crate::knobs::Mix;
use orrery_base::hash::hash64;
use orrery_base::kv::{Isolation, KeyRange, ReadMode, Transaction};
use orrery_base::{Cx, Error, Result, Timestamp, TreeId};
use orrery_engine::sql::catalog::{Index, Table};
use orrery_engine::sql::datum::Datum;
use orrery_engine::sql::{ddl, encode};
use orrery_engine::{Database, Execution};
use orrery_store::TxnOptions;
use std::collections::BTreeMap;

/// Different values of `k`.
pub const K_COUNT: u64 = 13;
/// Values of `v` whose low byte is below this have a `u`.
pub const UNIQUE_BELOW: u64 = 100;

/// The columns that every query of rows asks for, in the order of [`Row::of`].
pub const COLUMNS: &str = "id, v, prev, k, u, p";

/// A table's number in the history, in a tree's place.
pub fn table_id(number: u64) -> TreeId {
    TreeId(TreeId::FIRST_USER.0 + number as u32)
}

/// A row's name in the history.
pub fn key(table: TreeId, id: i64) -> Key {
    Key(table, id.to_be_bytes().to_vec())
}

/// The id in a row's name.
pub fn id_of(key: &[u8]) -> i64 {
    i64::from_be_bytes(key.try_into().expect("keys of tables have eight bytes"))
}

/// What `k` holds.
pub fn k_of(value: ValueId, id: i64) -> i64 {
    (((value.0 & 0xff) + id as u64) % K_COUNT) as i64
}

/// What `u` holds.
pub fn u_of(value: ValueId, unique_count: u64) -> Option<i64> {
    let low = value.0 & 0xff;
    (low < UNIQUE_BELOW).then(|| (low % unique_count) as i64)
}

/// Different values of `u`.
pub fn unique_count(mix: &Mix) -> u64 {
    (mix.key_count * 2).clamp(3, UNIQUE_BELOW)
}

/// What `p` holds.
pub fn p_of(value: ValueId, mix: &Mix) -> String {
    let draw = hash64(value.0, b"p");
    let len = match draw % 1000 < mix.large_value_per_mille {
        true => 2500 + draw / 1000 % 6000,
        false => draw / 1000 % mix.value_bytes_max,
    };
    let word = format!("{:016x}", draw.rotate_left(20));
    word.repeat(len as usize / 16 + 1)[..len as usize].to_owned()
}

/// A row as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its key.
    pub id: i64,
    /// Its write.
    pub value: ValueId,
    /// The write before.
    pub previous: Option<ValueId>,
}

impl Row {
    /// Takes a row of [`COLUMNS`] apart; an error in words when it is none that was ever written.
    pub fn of(datums: &[Datum], mix: &Mix) -> Result<Row, String> {
        let wrong = |what: &str| format!("a row {what}: {datums:?}");
        let [Datum::Int8(id), Datum::Int8(v), previous, k, u, p] = datums else {
            return Err(wrong("has other columns than were asked for"));
        };
        let previous = match previous {
            Datum::Null => None,
            Datum::Int8(previous) => Some(ValueId(*previous as u64)),
            _ => return Err(wrong("has a previous write that is none")),
        };
        let value = ValueId(*v as u64);
        if *k != Datum::Int8(k_of(value, *id)) {
            return Err(wrong("has another k than its write gave it"));
        }
        if *u != u_of(value, unique_count(mix)).map_or(Datum::Null, Datum::Int8) {
            return Err(wrong("has another u than its write gave it"));
        }
        if *p != Datum::Text(p_of(value, mix).into()) {
            return Err(wrong("has another p than its write gave it"));
        }
        Ok(Row { id: *id, value, previous })
    }
}

/// Statements that make the tables that are not there.
fn schema(mix: &Mix) -> Vec<String> {
    let mut all = vec![];
    for table in 0..mix.tree_count {
        all.push(format!(
            "CREATE TABLE IF NOT EXISTS t{table} (id bigint PRIMARY KEY, v bigint NOT NULL, prev bigint, \
             k bigint NOT NULL, u bigint UNIQUE, p text NOT NULL)"
        ));
        let columns = ["k", "k DESC, v", "k, u"][table as usize % 3];
        all.push(format!("CREATE INDEX IF NOT EXISTS t{table}_k ON t{table} ({columns})"));
    }
    all
}

/// What a recovery found in the tables.
pub struct Contents {
    /// Every row's write.
    pub state: State,
    /// Every row's write with the one it replaced.
    pub previous: Vec<(Key, ValueId, Option<ValueId>)>,
    /// Where all of that was read.
    pub snapshot: Timestamp,
}

/// Makes the tables that are missing, then reads all of them, each index too. What is wrong in them is XX000: damage must
/// have been noticed by whoever read the page, so it is no excuse here.
pub async fn read_all(cx: &Cx, db: &Database, mix: &Mix) -> Result<Contents> {
    let session = db.session();
    for text in schema(mix) {
        let prepared = session.prepare(&text)?;
        match cx.run(session.execute(&prepared, vec![])).await? {
            Execution::Done(_) => {}
            Execution::Rows(_) => return Err(Error::internal("DDL gave rows")),
        }
    }
    let txn =
        db.store().begin(TxnOptions { isolation: Isolation::RepeatableRead, read_only: true }, cx.now())?;
    txn.begin_statement()?;
    let catalog = ddl::load_catalog(cx, &*txn).await?;
    let mut contents = Contents { state: State::new(), previous: vec![], snapshot: txn.snapshot_timestamp() };
    for number in 0..mix.tree_count {
        let table = catalog.table(&format!("t{number}"));
        let table = table.ok_or_else(|| Error::internal(format!("table t{number} is not in the catalog")))?;
        read_table(cx, &*txn, table, table_id(number), mix, &mut contents).await?;
    }
    txn.rollback();
    Ok(contents)
}

async fn read_table(
    cx: &Cx,
    txn: &dyn Transaction,
    table: &Table,
    id: TreeId,
    mix: &Mix,
    contents: &mut Contents,
) -> Result<()> {
    let (layout, types) = (encode::layout(table), encode::types(table));
    let mut entries: Vec<BTreeMap<Vec<u8>, Vec<u8>>> = vec![BTreeMap::new(); table.indexes.len()];
    for (row_key, bytes) in scan(cx, txn, table.tree).await? {
        let datums = encode::decode_row(&layout, &types, &bytes)?;
        let row = Row::of(&datums, mix).map_err(|what| Error::internal(format!("{}: {what}", table.name)))?;
        for (index, entries) in table.indexes.iter().zip(&mut entries) {
            if entries.insert(entry_key(index, table, &datums, &row_key)?, row_key.clone()).is_some() {
                return Err(Error::internal(format!("{} has a value twice: row {row:?}", index.name)));
            }
        }
        let key = key(id, row.id);
        contents.state.insert(key.clone(), row.value);
        contents.previous.push((key, row.value, row.previous));
    }
    for (index, due) in table.indexes.iter().zip(entries) {
        let found: BTreeMap<_, _> = scan(cx, txn, index.tree).await?.into_iter().collect();
        if found != due {
            let missing = due.keys().filter(|entry| !found.contains_key(*entry)).count();
            let excess = found.keys().filter(|entry| !due.contains_key(*entry)).count();
            return Err(Error::internal(format!(
                "index {} differs from its table: {missing} entries missing, {excess} too many",
                index.name
            )));
        }
    }
    Ok(())
}

/// The key of a row's entry in an index.
fn entry_key(index: &Index, table: &Table, row: &[Datum], row_key: &[u8]) -> Result<Vec<u8>> {
    let mut key = vec![];
    let mut any_null = false;
    for column in &index.columns {
        let value = &row[column.ordinal];
        any_null |= value.is_null();
        encode::push_key(&mut key, value, table.columns[column.ordinal].ty, column.descending)?;
    }
    if !index.unique || any_null {
        key.extend_from_slice(row_key);
    }
    Ok(key)
}

async fn scan(cx: &Cx, txn: &dyn Transaction, tree: TreeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut sink = super::Everything::default();
    let mut scan = txn.scan(tree, KeyRange::all(), ReadMode::Snapshot, false)?;
    while scan.next_batch(cx, &mut sink).await? {}
    Ok(sink.rows)
}
