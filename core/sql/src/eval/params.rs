//! Values that come from outside: parameters, and expressions evaluated once for a statement.

use super::constant;
use crate::datum::Datum;
use crate::exec::{ExecContext, SubqueryResults};
use crate::expr::Expr;
use crate::functions::SequencePool;
use crate::text::{self, FormatSettings};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

/// Evaluates an expression without columns and subqueries in a statement's context.
///
/// Errors: what its functions raise.
pub fn constant_in(context: &ExecContext, expr: &Expr) -> Result<Datum> {
    let (subqueries, sequences) = (SubqueryResults::none(), SequencePool::empty());
    constant(expr, &context.eval(&subqueries, &sequences))
}

/// Fits parameter values to the types that the statement gives them. Text fits every type, as a literal in quotes would.
///
/// Errors: 08P01-like 42P02 for a wrong number of values, 22P02 and its kin for text that is no such value, 42804 for a
/// value that does not convert.
pub fn cast_params(context: &ExecContext, types: &[SqlType], params: &[Datum]) -> Result<Vec<Datum>> {
    if types.len() != params.len() {
        let message =
            format!("the statement has {} parameters, and {} values were given", types.len(), params.len());
        return Err(Error::new(SqlState::UNDEFINED_PARAMETER, message));
    }
    params.iter().zip(types).map(|(value, &ty)| cast_param(context, value, ty)).collect()
}

fn cast_param(context: &ExecContext, value: &Datum, ty: SqlType) -> Result<Datum> {
    let from = match value {
        Datum::Null => return Ok(Datum::Null),
        Datum::Text(text) if !matches!(ty.base(), SqlType::Text | SqlType::Unknown) => {
            let settings = FormatSettings { time_zone: context.time_zone };
            return text::parse_with(text, ty, settings);
        }
        other => natural_type(other),
    };
    if from == ty
        || ty == SqlType::Unknown
        || from == ty.base() && !matches!(ty, SqlType::Varchar(Some(_)) | SqlType::Decimal { .. })
    {
        return Ok(value.clone());
    }
    let input = Expr::Literal { value: value.clone(), ty: from };
    constant_in(context, &Expr::Cast { input: Box::new(input), ty, explicit: false, position: 0 })
}

/// The type a value has by itself.
fn natural_type(value: &Datum) -> SqlType {
    match value {
        Datum::Null => SqlType::Unknown,
        Datum::Bool(_) => SqlType::Bool,
        Datum::Int2(_) => SqlType::Int2,
        Datum::Int4(_) => SqlType::Int4,
        Datum::Int8(_) => SqlType::Int8,
        Datum::Float4(_) => SqlType::Float4,
        Datum::Float8(_) => SqlType::Float8,
        Datum::Numeric(_) => SqlType::Numeric,
        Datum::Text(_) => SqlType::Text,
        Datum::Bytea(_) => SqlType::Bytea,
        Datum::Date(_) => SqlType::Date,
        Datum::Timestamp(_) => SqlType::Timestamp,
        Datum::Timestamptz(_) => SqlType::Timestamptz,
        Datum::Interval(_) => SqlType::Interval,
        Datum::Uuid(_) => SqlType::Uuid,
    }
}
