//! x
use crate::plan::Plan;
use crate::plan::logical::{Query, Statement};
use crate::types::SqlType;
use orrery_base::Result;
/// x
pub struct Input {
    /// x
    pub statement: Statement,
    /// x
    pub param_types: Vec<SqlType>,
}
/// x
pub fn plan(input: Input, query: Query) -> Result<Plan> {
    let _ = (input, query);
    Err(orrery_base::Error::unsupported("planning"))
}
