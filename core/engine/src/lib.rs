//! The only crate that wires the core together, and the only door into it: databases, sessions, statements.
//!
//! Everything here comes as a [`Task`]: the caller (a driver) polls it and performs its disk requests. A session runs one
//! statement at a time; its state survives a dropped task (a dropped statement is a cancelled one).
//!
//! Life of a statement: [`Session::execute`] → `bind::prepare_to_run` (catalog, plan, table locks) → `run` (executor) →
//! `transaction` (commit when implicit) → [`Execution`].

mod advisory;
mod all_settings;
mod bind;
mod check;
mod control;
mod copy;
mod cursors;
mod database;
mod describe;
mod duplicate;
mod export;
mod live;
mod many;
mod past;
mod path;
mod plans;
mod point;
mod result;
mod run;
mod salvage;
mod schema;
mod sequences;
mod session;
mod settings;
mod state_hash;
mod statements;
mod temporary;
mod transaction;

pub use copy::{CopyIn, CopyOut};
pub use database::{Database, DatabaseOptions};
pub use describe::{
    CheckDescription, ColumnDescription, IdentityDescription, IndexDescription, TableDescription,
    live_relations,
};
pub use duplicate::{Duplicate, Piece};
pub use export::{SchemaScript, TableRows};
pub use plans::Prepared;
pub use point::PointStep;
pub use result::{Execution, Rows, Tag};
pub use salvage::{MendedTable, Salvage};
pub use session::Session;
pub use settings::Settings;

pub use orrery_base as base;
pub use orrery_base::task::{Cancel, IoRequest, SubTask, Task};
pub use orrery_row as row;
pub use orrery_sql as sql;
pub use orrery_store as store;
