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
//! [`Database`], [`Interrupt`], [`Statement`] and [`KeyValue`] are `Send + Sync`; a [`Connection`] and what streams from it
//! ([`RowStream`], [`ArrowReader`]) are `Send` and used by one thread at a time. Errors
//! carry SQLSTATE and, where one is known, the position in the statement's text ([`Error`]).

mod arrow;
mod arrow_in;
#[cfg(unix)]
mod backup;
mod clock;
mod connection;
mod database;
mod key_value;
mod many;
mod row_ref;
mod rows;
#[cfg(unix)]
mod salvage;
mod stream;

pub use arrow::ArrowReader;
#[cfg(unix)]
pub use backup::BackupSummary;
pub use connection::{
    Answer, Connection, CopyIn, CopyOut, Interrupt, Outcome, Progress, Statement, Transaction,
};
pub use database::{Database, Durability, Options};
pub use key_value::{KeyValue, Reader};
pub use row_ref::RowRef;
pub use rows::{FromValue, Row, Rows, format_value, value_at};
#[cfg(unix)]
pub use salvage::{SalvageReport, SalvagedTable};
pub use stream::RowStream;

/// Ranges and rows of the key-value interface.
pub mod kv {
    pub use orrery_engine::base::kv::{Flow, KeyRange, RowRef, RowSink};
}

/// What a driver of your own is asked, and answers.
pub mod disk {
    pub use orrery_engine::base::AlignedBuf;
    pub use orrery_engine::base::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult, FileId};
}

#[cfg(unix)]
pub use orrery_drivers::FileDriver;
pub use orrery_drivers::{Driver, MemoryDriver, TestDriver};
pub use orrery_engine::Tag;
pub use orrery_engine::base::kv::Isolation;
pub use orrery_engine::base::{Duty, Error, Result, SqlState};
pub use orrery_engine::row::numeric::Numeric;
pub use orrery_engine::sql::datum::{Datum as Value, Interval};
pub use orrery_engine::sql::exec::Batch;
pub use orrery_engine::sql::exec::point::PointValue as ValueRef;
pub use orrery_engine::sql::plan::Field;
pub use orrery_engine::sql::types::SqlType;
pub use orrery_engine::store::{CheckFinding, CheckSummary};
pub use orrery_engine::{
    CheckDescription, ColumnDescription, IdentityDescription, IndexDescription, SchemaScript,
    TableDescription, TableRows, live_relations,
};

/// The ten-minute page, followed literally.
#[cfg(doctest)]
#[doc = include_str!("../../docs/rust.md")]
struct Page;

/// What the head of this page says of threads, held by the compiler.
const _: () = {
    const fn send<T: Send>() {}
    const fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Database>();
    send_and_sync::<Interrupt>();
    send_and_sync::<Statement>();
    send_and_sync::<KeyValue>();
    send::<Connection>();
    send::<RowStream>();
    send::<ArrowReader>();
};
