//! SQLite (bundled), WAL. `synchronous=FULL` for durable rows, 256 MiB cache, mmap off, prepared statements.

use crate::measure::{a_of, b_of};
use rusqlite::{Connection, params};
use std::path::Path;

/// A database with the table `t(id integer primary key, a int, b text)`.
pub struct Sqlite {
    /// The connection.
    pub db: Connection,
}

impl Sqlite {
    /// Opens or makes the file.
    pub fn open(path: &Path, synchronous: &str) -> Self {
        let db = Connection::open(path).expect("sqlite opens");
        db.pragma_update(None, "journal_mode", "wal").expect("wal");
        db.pragma_update(None, "synchronous", synchronous).expect("synchronous");
        db.pragma_update(None, "cache_size", -262_144).expect("cache");
        db.execute_batch(
            "create table if not exists t(id integer primary key, a integer not null, b text not null)",
        )
        .expect("table");
        Sqlite { db }
    }

    /// Loads the rows in one transaction through a prepared INSERT, then checkpoints.
    pub fn load(&self, ids: &[i64]) {
        self.db.execute_batch("begin").expect("begin");
        {
            let mut insert = self.db.prepare("insert into t values (?1, ?2, ?3)").expect("prepare");
            for &id in ids {
                insert.execute(params![id, a_of(id), b_of(id)]).expect("insert");
            }
        }
        self.db.execute_batch("commit").expect("commit");
        self.checkpoint();
    }

    /// Folds the log into the file.
    pub fn checkpoint(&self) {
        self.db.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).expect("checkpoint");
    }

    /// Reads rows by key with one prepared statement; gives a checksum.
    pub fn get_all(&self, keys: &[i64]) -> i64 {
        let mut get = self.db.prepare_cached("select a, b from t where id = ?1").expect("prepare");
        keys.iter()
            .map(|key| {
                get.query_row([key], |row| {
                    let a: i64 = row.get(0)?;
                    Ok(a + row.get_ref(1)?.as_str().map_or(0, str::len) as i64)
                })
                .expect("row")
            })
            .sum()
    }

    /// The same inside one transaction.
    pub fn get_all_in_transaction(&self, keys: &[i64]) -> i64 {
        self.db.execute_batch("begin").expect("begin");
        let sum = self.get_all(keys);
        self.db.execute_batch("commit").expect("commit");
        sum
    }

    /// One number from a query.
    pub fn number(&self, sql: &str) -> i64 {
        self.db.prepare_cached(sql).expect("prepare").query_row([], |row| row.get(0)).expect("row")
    }

    /// One durable insert.
    pub fn insert(&self, id: i64) {
        let mut insert = self.db.prepare_cached("insert into t values (?1, ?2, ?3)").expect("prepare");
        insert.execute(params![id, a_of(id), b_of(id)]).expect("insert");
    }

    /// Updates `a` of each key in one transaction.
    pub fn update(&self, keys: &[i64]) {
        self.db.execute_batch("begin").expect("begin");
        {
            let mut update = self.db.prepare_cached("update t set a = a + 1 where id = ?1").expect("prepare");
            for key in keys {
                update.execute([key]).expect("update");
            }
        }
        self.db.execute_batch("commit").expect("commit");
    }
}
