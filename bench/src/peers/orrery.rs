//! Orrery through its public API, as a user would: prepared statements, one connection. Settings are the defaults:
//! durability full, checksums on, buffer pool 256 MiB (as much as SQLite's cache here), memtable 64 MiB.

use crate::measure::{a_of, b_of};
use orrerydb::kv::{Flow, KeyRange, RowRef, RowSink};
use orrerydb::{Connection, Database, Options, Outcome, Result, Statement, Value};
use std::path::Path;

/// Its memtable: "half full" is half of this.
pub const MEMTABLE_BYTES: u64 = 64 << 20;
/// Updates of one transaction: small enough that they stay in the memtable.
const UPDATES: usize = 500;

/// A database with the table `t(id bigint primary key, a int, b text)`.
pub struct Orrery {
    /// The database.
    pub db: Database,
    /// One connection.
    pub connection: Connection,
}

impl Orrery {
    /// Opens or makes the file.
    pub fn open(path: &Path) -> Self {
        let options = Options {
            pool_bytes: Some(256 << 20),
            memtable_bytes: Some(MEMTABLE_BYTES),
            ..Options::default()
        };
        let db = Database::open_with(path, &options).expect("orrery opens");
        let mut connection = db.connect();
        connection
            .run("create table if not exists t(id bigint primary key, a integer not null, b text not null)")
            .expect("table");
        Orrery { db, connection }
    }

    /// Loads the rows in one transaction through a prepared INSERT, then checkpoints.
    pub fn load(&mut self, ids: &[i64]) {
        let insert = self.prepare("insert into t values ($1, $2, $3)");
        self.connection.execute("begin", &[]).expect("begin");
        for &id in ids {
            self.run(&insert, &[Value::Int8(id), Value::Int4(a_of(id)), b_of(id).into()]);
        }
        self.connection.execute("commit", &[]).expect("commit");
        self.db.checkpoint().expect("checkpoint");
    }

    /// Prepares.
    pub fn prepare(&self, sql: &str) -> Statement {
        self.connection.prepare(sql).expect("prepare")
    }

    /// Runs a statement that gives no rows.
    pub fn run(&mut self, statement: &Statement, params: &[Value]) -> u64 {
        self.connection.execute_prepared(statement, params).expect("execute")
    }

    /// Reads rows by key with one prepared statement; gives a checksum.
    pub fn get_all(&mut self, keys: &[i64]) -> i64 {
        let get = self.prepare("select a, b from t where id = $1");
        let mut sum = 0;
        for &key in keys {
            let found = self.connection.query_row(&get, &[Value::Int8(key)], |row| {
                sum += i64::from(row.i32(0)) + row.bytes(1).len() as i64;
            });
            found.expect("get").expect("every key is there");
        }
        sum
    }

    /// The same inside one transaction.
    pub fn get_all_in_transaction(&mut self, keys: &[i64]) -> i64 {
        self.connection.execute("begin", &[]).expect("begin");
        let sum = self.get_all(keys);
        self.connection.execute("commit", &[]).expect("commit");
        sum
    }

    /// One number from a query.
    pub fn number(&mut self, sql: &str) -> i64 {
        let statement = self.prepare(sql);
        match self.connection.execute_statement(&statement, &[]).expect("query") {
            Outcome::Rows(mut rows) => rows.next().expect("a row").expect("a row").get(0).expect("a number"),
            Outcome::Done(_) => panic!("a query gives rows"),
        }
    }

    /// Updates `a` of each key, some in each transaction.
    pub fn update(&mut self, keys: &[i64]) {
        let update = self.prepare("update t set a = a + 1 where id = $1");
        for keys in keys.chunks(UPDATES) {
            self.connection.execute("begin", &[]).expect("begin");
            for &key in keys {
                self.run(&update, &[Value::Int8(key)]);
            }
            self.connection.execute("commit", &[]).expect("commit");
        }
    }

    /// Adds rows to another table until the memtable holds `bytes`.
    pub fn pad(&mut self, bytes: u64) {
        self.connection.run("create table pad(id bigint primary key, b text not null)").expect("table");
        let insert = self.prepare("insert into pad values ($1, $2)");
        let mut id = 0;
        while self.db.stats().memtable_bytes < bytes {
            self.connection.execute("begin", &[]).expect("begin");
            for _ in 0..UPDATES {
                id += 1;
                self.run(&insert, &[Value::Int8(id), b_of(id).into()]);
            }
            self.connection.execute("commit", &[]).expect("commit");
        }
    }

    /// Closes.
    pub fn close(self) {
        drop(self.connection);
        self.db.close().expect("close");
    }

    /// Rows of the key-value interface, loaded in one transaction, then checkpointed.
    pub fn load_key_values(&self, ids: &[i64]) {
        let ids = ids.to_vec();
        let pairs = ids.into_iter().map(|id| (id.to_be_bytes().to_vec(), super::redb::value_of(id)));
        self.db.key_value().set_all(pairs).expect("set");
        self.db.checkpoint().expect("checkpoint");
    }

    /// Adds one to `a` of each key, some in each transaction.
    pub fn update_key_values(&self, keys: &[i64]) {
        let map = self.db.key_value();
        for keys in keys.chunks(UPDATES) {
            let pairs: Vec<_> = keys
                .iter()
                .map(|key| (key.to_be_bytes().to_vec(), super::redb::updated_value_of(*key)))
                .collect();
            map.set_all(pairs.into_iter()).expect("set");
        }
    }

    /// Reads rows by key inside one read transaction of the key-value interface.
    pub fn get_all_key_values(&self, keys: &[i64]) -> i64 {
        let reader = self.db.key_value().reader().expect("reader");
        let mut sum = 0;
        for &key in keys {
            let found = reader.get_with(&key.to_be_bytes(), |bytes| {
                sum += i64::from(i32::from_le_bytes(bytes[..4].try_into().expect("4"))) + bytes.len() as i64;
            });
            assert!(found.expect("get"), "every key is there");
        }
        sum
    }

    /// Sums over all pairs of the key-value interface.
    pub fn sum_key_values(&self) -> i64 {
        struct Sum(i64);
        impl RowSink for Sum {
            fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
                for row in rows {
                    let a = i32::from_le_bytes(row.value[..4].try_into().expect("4"));
                    self.0 += i64::from(a) + row.value.len() as i64;
                }
                Ok(Flow::More)
            }
        }
        let reader = self.db.key_value().reader().expect("reader");
        reader.scan(KeyRange::all(), Sum(0)).expect("scan").0
    }
}
