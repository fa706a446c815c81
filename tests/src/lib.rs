//! The corpora and their runners: what `tests/tests/*.rs` and the binary `corpus` share.
//!
//! - [`adapter`]: a connection as `sqllogictest` sees one; how values and errors are written in `.slt` files.
//! - [`databases`]: a fresh database under each driver.
//! - [`sqlite_corpus`]: SQLite's corpus, run to the end and counted.
//! - [`differential`]: generated queries, run in several ways that must give equal rows.
//! - [`pg_regress`]: PostgreSQL's regression files, scored statement by statement.
//! - [`tpch`]: TPC-H, its tables, queries and answers.
//! - [`history`]: what the crash and damage tests write and expect back.
//!
//! What it deliberately does not do: decide what is right. The expected results of `.slt` files are PostgreSQL's
//! (`verify_on_postgres.py`).

pub mod adapter;
pub mod databases;
pub mod differential;
pub mod history;
pub mod pg_regress;
pub mod sqlite_corpus;
pub mod tpch;
