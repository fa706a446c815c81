//! Orrery: a SQL database built like clockwork.
//!
//! ```
//! use orrerydb::Database;
//!
//! # fn main() -> orrerydb::Result<()> {
//! let db = Database::in_memory()?;
//! let mut connection = db.connect();
//! connection.run("create table stock (id integer primary key, name text not null, price numeric(8,2))")?;
//! connection.execute("insert into stock values ($1, $2, $3)", &[1.into(), "lamp".into(), "19.90".into()])?;
//! for row in connection.query("select name, price * 2 from stock where id = ?", &[1.into()])? {
//!     let row = row?;
//!     assert_eq!((row.text(0)?.as_deref(), row.text(1)?.as_deref()), (Some("lamp"), Some("39.80")));
//! }
//! db.close()
//! # }
//! ```
//!
//! [`Database`] and [`Interrupt`] are `Send + Sync`; a [`Connection`] is `Send` and used by one thread at a time. Errors
//! carry SQLSTATE and, where one is known, the position in the statement's text ([`Error`]).

mod connection;
mod database;
mod key_value;
mod row_ref;
mod rows;

pub use connection::{Connection, CopyIn, Interrupt, Outcome, Statement, Transaction};
pub use database::{Database, Durability, Options};
pub use key_value::{KeyValue, Reader};
pub use row_ref::RowRef;
pub use rows::{FromValue, Row, Rows};

/// Ranges and rows of the key-value interface.
pub mod kv {
    pub use orrery_engine::base::kv::{Flow, KeyRange, RowRef, RowSink};
}

pub use orrery_drivers::{Driver, FileDriver, MemoryDriver, TestDriver};
pub use orrery_engine::Tag;
pub use orrery_engine::base::kv::Isolation;
pub use orrery_engine::base::{Duty, Error, Result, SqlState};
pub use orrery_engine::sql::datum::{Datum as Value, Interval};
pub use orrery_engine::sql::exec::Batch;
pub use orrery_engine::sql::plan::Field;
pub use orrery_engine::sql::types::SqlType;
pub use orrery_engine::store::{CheckFinding, CheckSummary};
pub use orrery_engine::{
    CheckDescription, ColumnDescription, IdentityDescription, IndexDescription, TableDescription,
};
