//! The optimizer: from the logical plan to the physical one.
//!
//! Order of work: [`rules`] rewrite the logical plan without asking what it costs; [`lower`] walks it bottom-up, chooses
//! access paths, join order and join methods by cost, and turns column ids into positions.

pub mod columns;
pub mod lower;

use crate::plan::logical::{Query, Statement};
use crate::plan::{Plan, PlanNode};
use crate::types::SqlType;
use orrery_base::Result;
use std::collections::BTreeMap;

/// Plans a query of a statement with all its uncorrelated subqueries.
pub fn optimize(statement: &Statement, query: &Query, param_types: Vec<SqlType>) -> Result<Plan> {
    let subqueries = statement.subqueries.iter().map(|query| plan_query(statement, query));
    let subqueries = subqueries.collect::<Result<Vec<_>>>()?;
    let root = plan_query(statement, query)?;
    let by_name: BTreeMap<_, _> = statement.tables.iter().map(|table| (&table.name, table)).collect();
    Ok(Plan { root, subqueries, param_types, tables: by_name.into_values().cloned().collect() })
}

fn plan_query(statement: &Statement, query: &Query) -> Result<PlanNode> {
    lower::Lowering::new(statement).query(query)
}

/// What the binder hands over beside the query: the statement's columns, tables and subqueries, and its parameters.
pub struct Input {
    /// See [`Statement`].
    pub statement: Statement,
    /// Types of `$1…`.
    pub param_types: Vec<SqlType>,
}

/// See [`optimize`].
pub fn plan(input: Input, query: Query) -> Result<Plan> {
    optimize(&input.statement, &query, input.param_types)
}
