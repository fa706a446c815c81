//! PostgreSQL's regression files, run and scored statement by statement.
//!
//! - [`script`]: a `.sql` file as psql reads it: statements, variables, data of COPY.
//! - [`expected`]: a `.out` file as psql wrote it: the result of each statement.
//! - [`rules`]: which statements are counted, and why the others are not.
//! - [`score`]: a file run and compared.
//!
//! What it deliberately does not compare: the text of errors, notices and plans.

pub mod expected;
pub mod rules;
pub mod score;
pub mod script;
