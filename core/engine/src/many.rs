//! One statement over many rows of parameters: `executemany`, and rows that come in as columns.
//!
//! - B1: all of it or nothing: it is one statement to the transaction around it.
//! - B2: each row's run sees what the rows before it did, as if they had been run one after the other. An INSERT of values
//!   reads nothing but keys, in their newest state, so there the whole batch runs at once.

use crate::bind::Ready;
use crate::result::{Execution, Tag};
use crate::run::{self, Running};
use orrery_base::kv::Transaction;
use orrery_base::{Error, Result, SqlState};
use orrery_sql::bind::Bound;
use orrery_sql::columns::datum_at;
use orrery_sql::eval;
use orrery_sql::exec::{self, Batch};
use orrery_sql::plan::Statement;
use orrery_sql::types::SqlType;

/// Runs it. Errors: 42601 for what gives rows or changes none.
pub(crate) async fn dml(
    running: &mut Running<'_>,
    ready: &Ready,
    given: &[SqlType],
    batch: &Batch,
) -> Result<Execution> {
    let statement = match &*ready.bound {
        Bound::Dml(statement) if !gives_rows(statement) => statement,
        _ => {
            let message = "only INSERT, UPDATE and DELETE without RETURNING run over many rows of parameters";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
    };
    let types = run::param_types(statement);
    let context = running.context(&ready.catalog, &[], &[])?;
    let params = eval::cast_param_columns(&context, types, given, batch)?;
    let tag = |row_count| Ok(Execution::Done(Tag::rows(run::command_of(statement), row_count)));
    if let Statement::Insert(insert) = statement
        && let Some(row_count) = exec::insert_many(running.cx, &context, insert, &params).await?
    {
        return tag(row_count);
    }
    let mut row_count = 0;
    for row in 0..params.row_count {
        if row > 0 {
            running.scope.txn.begin_statement()?;
        }
        let values = params.columns.iter().zip(types).map(|(column, &ty)| datum_at(&**column, ty, row));
        let values = values.collect::<Result<Vec<_>>>()?;
        row_count += running.change(statement, ready, &values).await?;
    }
    tag(row_count)
}

fn gives_rows(statement: &Statement) -> bool {
    matches!(statement, Statement::Query(_) | Statement::With(_)) || statement.returning().is_some()
}
