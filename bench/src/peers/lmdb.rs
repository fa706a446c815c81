//! LMDB through heed: one database, big-endian u64 keys → bytes, synchronous commits.

use super::redb::{number_of, updated_value_of, value_of};
use heed::byteorder::BE;
use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvOpenOptions};
use std::path::Path;

/// An environment with one database.
pub struct Lmdb {
    env: Env,
    db: Database<U64<BE>, Bytes>,
}

impl Lmdb {
    /// Makes the files and loads the rows in one transaction.
    #[allow(unsafe_code, reason = "heed marks opening a memory map as unsafe")]
    pub fn load(path: &Path, ids: &[i64]) -> Self {
        std::fs::create_dir_all(path).expect("folder");
        // SAFETY: the folder is this benchmark's own; nobody else changes the file under the map.
        let env = unsafe { EnvOpenOptions::new().map_size(2 << 30).max_readers(64).open(path) }
            .expect("lmdb opens");
        let mut write = env.write_txn().expect("begin");
        let db = env.create_database(&mut write, None).expect("database");
        for &id in ids {
            db.put(&mut write, &(id as u64), value_of(id).as_slice()).expect("put");
        }
        write.commit().expect("commit");
        Lmdb { env, db }
    }

    /// Reads rows by key inside one read transaction.
    pub fn get_all(&self, keys: &[i64]) -> i64 {
        let read = self.env.read_txn().expect("begin");
        keys.iter()
            .map(|&key| {
                let bytes = self.db.get(&read, &(key as u64)).expect("get").expect("row");
                number_of(bytes)
            })
            .sum()
    }

    /// Adds one to `a` of each key in one transaction.
    pub fn update(&self, keys: &[i64]) {
        let mut write = self.env.write_txn().expect("begin");
        for &id in keys {
            self.db.put(&mut write, &(id as u64), updated_value_of(id).as_slice()).expect("put");
        }
        write.commit().expect("commit");
    }

    /// Sums over all pairs.
    pub fn sum(&self) -> i64 {
        let read = self.env.read_txn().expect("begin");
        self.db.iter(&read).expect("iter").map(|pair| number_of(pair.expect("pair").1)).sum()
    }
}
