//! Binding: names, types and coercions by PostgreSQL's rules; every error has its position.

use crate::catalog::{Catalog, Table};
use crate::ddl::Ddl;
use crate::expr::Expr;
use crate::parse::Parsed;
use crate::parse::ast::{self, SetValue, TransactionModes};
use crate::plan;
use crate::types::SqlType;
use orrery_base::{Error, Result};
use std::sync::Arc;

/// A bound statement.
#[derive(Clone, Debug)]
pub enum Bound {
    /// Reads or changes rows: planned.
    Dml(plan::Statement),
    /// Changes the schema.
    Ddl(Ddl),
    /// Concerns the session or the engine.
    Control(Control),
}

/// A statement that is the engine's own affair.
#[derive(Clone, Debug)]
pub enum Control {
    /// BEGIN, START TRANSACTION
    Begin(TransactionModes),
    /// COMMIT, END
    Commit,
    /// ROLLBACK, ABORT
    Rollback,
    /// SAVEPOINT
    Savepoint(String),
    /// RELEASE SAVEPOINT
    Release(String),
    /// ROLLBACK TO SAVEPOINT
    RollbackTo(String),
    /// SET TRANSACTION; `session`: SET SESSION CHARACTERISTICS
    SetTransaction {
        /// What.
        modes: TransactionModes,
        /// For all transactions to come.
        session: bool,
    },
    /// SET name
    Set {
        /// Which, folded to lower case.
        name: String,
        /// To what.
        value: SetValue,
        /// LOCAL: until the transaction ends.
        local: bool,
    },
    /// RESET name, or ALL
    Reset(Option<String>),
    /// SHOW name, or ALL
    Show(Option<String>),
    /// PREPARE
    Prepare {
        /// Its name.
        name: String,
        /// Types of its parameters, as far as given.
        types: Vec<SqlType>,
        /// What is prepared.
        statement: Arc<Parsed>,
    },
    /// EXECUTE: see [`execute_arguments`].
    Execute {
        /// Which.
        name: String,
        /// Its arguments.
        args: Vec<ast::Expr>,
    },
    /// DEALLOCATE name, or ALL
    Deallocate(Option<String>),
    /// EXPLAIN: bind `statement` with [`bind`], then [`crate::explain::text`].
    Explain {
        /// ANALYZE: run it too.
        analyze: bool,
        /// Which.
        statement: Arc<Parsed>,
    },
    /// ANALYZE: all tables when none is named.
    Analyze(Vec<Arc<Table>>),
    /// CHECKPOINT
    Checkpoint,
    /// COPY FROM
    Copy(CopyFrom),
}

/// COPY table FROM: the values of `columns` come from the text, those of the others from `defaults`.
#[derive(Clone, Debug)]
pub struct CopyFrom {
    /// Into which table.
    pub table: Arc<Table>,
    /// The ordinals the text gives, in its order.
    pub columns: Vec<usize>,
    /// For every column of the table, what it gets when the text does not give it (cast already; no columns in it).
    pub defaults: Vec<Expr>,
    /// CHECK constraints over the table's columns.
    pub checks: Vec<(String, Expr)>,
    /// A file's name; `None` is STDIN.
    pub file: Option<String>,
    /// How the text is laid out.
    pub format: CopyFormat,
}

/// The layout of COPY's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    /// CSV; otherwise PostgreSQL's text format.
    pub csv: bool,
    /// The first line is names, to be skipped.
    pub header: bool,
    /// Between values.
    pub delimiter: u8,
    /// What stands for NULL, unquoted.
    pub null: String,
    /// CSV's quote.
    pub quote: u8,
    /// CSV's escape inside quotes.
    pub escape: u8,
}

/// Binds a statement; one of rows is planned too. `param_types`: those given beforehand (`Unknown` where not); the rest
/// follow from use (42P18 where they do not).
pub fn bind(parsed: &Parsed, catalog: &Catalog, param_types: &[SqlType]) -> Result<Bound> {
    let _ = (parsed, catalog, param_types);
    Err(Error::unsupported("binding"))
}

/// Binds EXECUTE's arguments to the prepared statement's parameter types: expressions without columns, for
/// `eval::constant`. A wrong number is 42601.
pub fn execute_arguments(
    args: &[ast::Expr],
    param_types: &[SqlType],
    catalog: &Catalog,
) -> Result<Vec<Expr>> {
    let _ = (args, param_types, catalog);
    Err(Error::unsupported("binding"))
}
