//! The differential test: seeded schemas, rows and queries, run in several ways that must give equal rows.
//!
//! - [`query`]: queries as trees that print as SQL which PostgreSQL and SQLite read alike.
//! - [`generate`]: a case (tables, rows, queries) from a seed.
//! - [`draw`]: seeded draws.
//! - [`engines`]: who answers: Orrery under many settings, and SQLite in process (feature `sqlite`).
//! - [`oracle`]: the ways a query is run, and what must be equal (NoREC and ternary-logic partitioning among them).
//! - [`run`]: a seed from its tables to its reports.
//! - [`shrink`]: makes a finding small.
//!
//! NoREC: M. Rigger, Z. Su, "Detecting Optimization Bugs in Database Engines via Non-Optimizing Reference Engine
//! Construction", ESEC/FSE 2020. Ternary-logic partitioning: the same authors, "Finding Bugs in Database Systems via Query
//! Partitioning", OOPSLA 2020.
//!
//! What it deliberately leaves out: types and functions in which PostgreSQL and SQLite differ (those have `.slt` files that
//! ran on PostgreSQL), and statements that must fail.

pub mod draw;
pub mod engines;
pub mod generate;
pub mod oracle;
pub mod query;
pub mod run;
pub mod shrink;
