//! Values that come from outside: parameters, and expressions evaluated once for a statement.

use super::{constant, evaluate_array};
use crate::columns::{array_of, datum_at};
use crate::datum::Datum;
use crate::exec::{Batch, ExecContext, SubqueryResults};
use crate::expr::Expr;
use crate::functions::SequencePool;
use crate::text;
use crate::types::SqlType;
use arrow_array::ArrayRef;
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

/// As [`cast_params`] for many rows of parameters in columns, `given` being their types.
///
/// Errors: those of [`cast_params`].
pub fn cast_param_columns(
    context: &ExecContext,
    types: &[SqlType],
    given: &[SqlType],
    params: &Batch,
) -> Result<Batch> {
    if types.len() != given.len() || given.len() != params.columns.len() {
        let message =
            format!("the statement has {} parameters, and {} columns were given", types.len(), given.len());
        return Err(Error::new(SqlState::UNDEFINED_PARAMETER, message));
    }
    let cast = |((column, &from), &ty): ((&ArrayRef, &SqlType), &SqlType)| {
        let is_unfit = matches!(
            ty,
            SqlType::Varchar(Some(_)) | SqlType::Name | SqlType::QuotedChar | SqlType::Decimal { .. }
        );
        if from == ty
            || ty == SqlType::Unknown
            || from.base() == ty.base() && from.arrow() == ty.arrow() && !is_unfit
        {
            return Ok(column.clone());
        }
        let is_text = from.base() == SqlType::Text && !matches!(ty.base(), SqlType::Text | SqlType::Unknown);
        if is_text || from == SqlType::Unknown {
            let value = |row| cast_param(context, &datum_at(&**column, from, row)?, ty);
            let values: Vec<Datum> = (0..params.row_count).map(value).collect::<Result<_>>()?;
            return array_of(&values, ty);
        }
        let input = Box::new(Expr::Column { id: 0, ty: from });
        let (subqueries, sequences) = (SubqueryResults::none(), SequencePool::empty());
        let cast = Expr::Cast { input, ty, explicit: false, position: 0 };
        let column = std::slice::from_ref(column);
        evaluate_array(&cast, column, params.row_count, &context.eval(&subqueries, &sequences))
    };
    let columns = params.columns.iter().zip(given).zip(types).map(cast).collect::<Result<_>>()?;
    Ok(Batch { columns, row_count: params.row_count })
}

fn cast_param(context: &ExecContext, value: &Datum, ty: SqlType) -> Result<Datum> {
    let from = match value {
        Datum::Null => return Ok(Datum::Null),
        Datum::Text(text) if !matches!(ty.base(), SqlType::Text | SqlType::Unknown) => {
            return text::parse_with(text, ty, context.settings());
        }
        other => other.natural_type(),
    };
    if from == ty
        || ty == SqlType::Unknown
        || from == ty.base()
            && !matches!(
                ty,
                SqlType::Varchar(Some(_)) | SqlType::Name | SqlType::QuotedChar | SqlType::Decimal { .. }
            )
    {
        return Ok(value.clone());
    }
    let input = Expr::Literal { value: value.clone(), ty: from };
    constant_in(context, &Expr::Cast { input: Box::new(input), ty, explicit: false, position: 0 })
}
