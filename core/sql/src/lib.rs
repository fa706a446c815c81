//! SQL over the key-value traits of `orrery_base::kv`: types, catalog, binder, planner and the vectorised executor.
//! The dialect is PostgreSQL's. This crate knows no page, no log, no file and no session: `orrery-engine` wires it.
//!
//! A statement's way: [`parse`] → [`bind`] (names, types, coercions, every error with its position) → logical plan →
//! [`optimize`] (rules, statistics, costs) → [`plan::PlanNode`] → [`exec`].

pub mod analyze;
pub mod array;
pub mod bind;
pub mod catalog;
pub mod civil;
pub mod columns;
pub mod copy;
pub mod datum;
pub mod ddl;
pub mod encode;
pub mod eval;
pub mod exec;
pub mod explain;
pub mod expr;
mod expr_walk;
pub mod functions;
pub mod gather;
pub mod json;
pub mod names;
pub mod optimize;
pub mod parse;
pub mod plan;
pub mod record;
pub mod regex;
pub mod system;
pub mod text;
pub mod types;
