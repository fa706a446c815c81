//! redb: one table u64 → bytes, default (immediate) durability.

use crate::measure::{a_of, b_of};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("t");

/// A database with one table.
pub struct Redb {
    db: Database,
}

/// Key-value row of `id`: a then b.
pub fn value_of(id: i64) -> Vec<u8> {
    let mut value = a_of(id).to_le_bytes().to_vec();
    value.extend_from_slice(b_of(id).as_bytes());
    value
}

/// The same with one added to a.
pub fn updated_value_of(id: i64) -> Vec<u8> {
    let mut value = (a_of(id) + 1).to_le_bytes().to_vec();
    value.extend_from_slice(b_of(id).as_bytes());
    value
}

/// What a read of a value adds to the sum that all contenders must agree on.
pub fn number_of(value: &[u8]) -> i64 {
    i64::from(i32::from_le_bytes(value[..4].try_into().expect("4"))) + value.len() as i64
}

impl Redb {
    /// Adds one to `a` of each key in one transaction.
    pub fn update(&self, keys: &[i64]) {
        let write = self.db.begin_write().expect("begin");
        {
            let mut table = write.open_table(TABLE).expect("table");
            for &id in keys {
                table.insert(id as u64, updated_value_of(id).as_slice()).expect("insert");
            }
        }
        write.commit().expect("commit");
    }

    /// Sums over all pairs.
    pub fn sum(&self) -> i64 {
        let read = self.db.begin_read().expect("begin");
        let table = read.open_table(TABLE).expect("table");
        table.iter().expect("iter").map(|pair| number_of(pair.expect("pair").1.value())).sum()
    }

    /// Makes the file and loads the rows in one transaction.
    pub fn load(path: &Path, ids: &[i64]) -> Self {
        let db = Database::builder().set_cache_size(1 << 30).create(path).expect("redb opens");
        let write = db.begin_write().expect("begin");
        {
            let mut table = write.open_table(TABLE).expect("table");
            for &id in ids {
                table.insert(id as u64, value_of(id).as_slice()).expect("insert");
            }
        }
        write.commit().expect("commit");
        Redb { db }
    }

    /// Reads rows by key inside one read transaction.
    pub fn get_all(&self, keys: &[i64]) -> i64 {
        let read = self.db.begin_read().expect("begin");
        let table = read.open_table(TABLE).expect("table");
        keys.iter()
            .map(|&key| {
                let value = table.get(key as u64).expect("get").expect("row");
                number_of(value.value())
            })
            .sum()
    }
}
