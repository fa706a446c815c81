//! Evaluates bound expressions over batches.
//!
//! Invariant V1: an operand that SQL does not evaluate for a row (behind a decided AND or OR, in another branch of CASE,
//! behind COALESCE's answer) cannot raise for that row: what may raise is evaluated over the remaining rows only.

mod lists;
mod params;
mod selection;
pub mod subquery;

pub use params::{cast_param_columns, cast_params, constant_in};

use crate::columns::{self, datum_at};
use crate::datum::Datum;
use crate::expr::Expr;
use crate::functions::{self, EvalContext, Value, Volatility, kernel};
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType;
use orrery_base::{Error, Result, SqlState};
pub use selection::each_column;
use selection::{filter_columns, merge};
use std::sync::Arc;

/// Evaluates an expression without columns to one value.
///
/// Errors: what its functions raise, with the position of the call.
pub fn constant(expr: &Expr, context: &EvalContext<'_>) -> Result<Datum> {
    if let Expr::Literal { value, .. } = expr {
        return Ok(value.clone());
    }
    let value = evaluate(expr, &[], 1, context)?;
    datum_at(value.array(), expr.ty(), 0)
}

/// Evaluates over `row_count` rows of `columns`.
///
/// Errors: as [`constant`].
pub fn evaluate(
    expr: &Expr,
    columns: &[ArrayRef],
    row_count: usize,
    context: &EvalContext<'_>,
) -> Result<Value> {
    match expr {
        Expr::Literal { value, ty } => Ok(Value::Constant(columns::array_of([value], *ty)?)),
        Expr::Param { index, ty } => {
            let value = context.params.get(*index);
            let value = value.ok_or_else(|| {
                Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter ${}", index + 1))
            })?;
            Ok(Value::Constant(columns::array_of([value], *ty)?))
        }
        Expr::Column { id, .. } => {
            let column = columns.get(*id).ok_or_else(|| Error::internal("a column out of range"))?;
            Ok(Value::Array(column.clone()))
        }
        Expr::Call { function, args, ty, position } => {
            let values = args
                .iter()
                .map(|arg| evaluate(arg, columns, row_count, context))
                .collect::<Result<Vec<_>>>()?;
            let call = || match function.typed {
                None => call(function, &values, *ty, row_count, context),
                Some(typed) => {
                    let types: Vec<SqlType> = args.iter().map(Expr::ty).collect();
                    let (args, types) = (values.as_slice(), types.as_slice());
                    typed(&functions::TypedCall { context, args, types, result: *ty, row_count })
                }
            };
            call().map_err(|error| error.at(*position))
        }
        Expr::Cast { input, ty, explicit, position } => {
            let value = evaluate(input, columns, row_count, context)?;
            functions::cast::cast(context, &value, input.ty(), *ty, *explicit, row_count)
                .map_err(|error| error.at(*position))
        }
        Expr::And(operands) => logical(operands, columns, row_count, context, false),
        Expr::Or(operands) => logical(operands, columns, row_count, context, true),
        Expr::Not(operand) => {
            let value = evaluate(operand, columns, row_count, context)?;
            map_bools(&value, |bools| BooleanArray::new(!bools.values(), bools.nulls().cloned()))
        }
        Expr::IsNull(operand) => Ok(is_null(&evaluate(operand, columns, row_count, context)?)),
        Expr::IsNotDistinct(left, right) => {
            let args =
                [evaluate(left, columns, row_count, context)?, evaluate(right, columns, row_count, context)?];
            not_distinct(&args, left.ty(), row_count)
        }
        Expr::Case { branches, otherwise, ty } => case(branches, otherwise, *ty, columns, row_count, context),
        Expr::Coalesce { args, ty } => coalesce(args, *ty, columns, row_count, context),
        Expr::InList { input, list } => {
            let value = evaluate(input, columns, row_count, context)?;
            lists::in_list(&value, input.ty(), list, row_count)
        }
        Expr::Subquery { index, kind, args, ty, position } if args.is_empty() => {
            let result = context.subqueries.get(*index)?;
            subquery::known(result, kind, *ty, columns, row_count, context)
                .map_err(|error| error.at(*position))
        }
        Expr::Subquery { .. } => subquery::correlated(expr, columns, row_count, context),
    }
}

/// Evaluates to an array of `row_count` values.
pub fn evaluate_array(
    expr: &Expr,
    columns: &[ArrayRef],
    row_count: usize,
    context: &EvalContext<'_>,
) -> Result<ArrayRef> {
    evaluate(expr, columns, row_count, context)?.into_array(row_count)
}

/// Evaluates over the selected rows only; the others are NULL.
pub fn evaluate_where(
    expr: &Expr,
    columns: &[ArrayRef],
    selected: &BooleanArray,
    context: &EvalContext<'_>,
) -> Result<ArrayRef> {
    let (some, count) = filter_columns(expr, columns, selected)?;
    let value = evaluate_array(expr, &some, count, context)?;
    merge(&[(selected.clone(), value)], expr.ty(), selected.len())
}

/// The rows for which a predicate is true (NULL is not).
pub fn filter_mask(
    predicate: &Expr,
    columns: &[ArrayRef],
    row_count: usize,
    context: &EvalContext<'_>,
) -> Result<BooleanArray> {
    let value = evaluate(predicate, columns, row_count, context)?.into_array(row_count)?;
    if value.data_type() == &DataType::Null {
        return Ok(BooleanArray::from(vec![false; row_count]));
    }
    let bools = value.as_boolean();
    Ok(match bools.nulls() {
        None => bools.clone(),
        Some(nulls) => BooleanArray::new(bools.values() & nulls.inner(), None),
    })
}

fn call(
    function: &'static functions::Scalar,
    values: &[Value],
    ty: SqlType,
    row_count: usize,
    context: &EvalContext<'_>,
) -> Result<Value> {
    if function.strict {
        let shape = kernel::Shape::of(values, row_count);
        if !values.is_empty()
            && shape.all_null()
            && shape.rows > 0
            && function.volatility != Volatility::Volatile
        {
            return Ok(shape.value(columns::nulls_of(ty, shape.rows)?));
        }
    }
    (function.eval)(context, values, row_count)
}

fn map_bools(value: &Value, f: impl Fn(&BooleanArray) -> BooleanArray) -> Result<Value> {
    if value.array().data_type() == &DataType::Null {
        let nulls = columns::nulls_of(SqlType::Bool, value.array().len())?;
        return Ok(same_kind(value, nulls));
    }
    Ok(same_kind(value, Arc::new(f(value.array().as_boolean()))))
}

fn same_kind(like: &Value, array: ArrayRef) -> Value {
    match like {
        Value::Array(_) => Value::Array(array),
        Value::Constant(_) => Value::Constant(array),
    }
}

fn is_null(value: &Value) -> Value {
    let array = value.array();
    let nulls = match array.logical_nulls() {
        None => BooleanBuffer::new_unset(array.len()),
        Some(nulls) => !nulls.inner(),
    };
    same_kind(value, Arc::new(BooleanArray::new(nulls, None)))
}

/// Equality in which NULL equals NULL; never NULL.
fn not_distinct(args: &[Value; 2], ty: SqlType, row_count: usize) -> Result<Value> {
    let equal = functions::compare::equal(args, row_count, ty)?;
    let constant = matches!(equal, Value::Constant(_));
    let rows = if constant { 1 } else { row_count };
    let equal = equal.into_array(rows)?;
    let equal = equal.as_boolean();
    let [left, right] = [0, 1].map(|arg| is_null(&args[arg]).into_array(rows));
    let (left, right) = (left?, right?);
    let both_null = left.as_boolean().values() & right.as_boolean().values();
    let true_where = match equal.nulls() {
        None => equal.values().clone(),
        Some(nulls) => equal.values() & nulls.inner(),
    };
    let array: ArrayRef = Arc::new(BooleanArray::new(&true_where | &both_null, None));
    Ok(if constant { Value::Constant(array) } else { Value::Array(array) })
}

/// Whether evaluating it could raise for some row.
pub fn may_raise(expr: &Expr) -> bool {
    match expr {
        Expr::Literal { .. } | Expr::Param { .. } | Expr::Column { .. } => false,
        Expr::Call { function, args, .. } => {
            let harmless = functions::compare::Comparison::by_name(function.name).is_some();
            !harmless || args.iter().any(may_raise)
        }
        Expr::Cast { .. } | Expr::Subquery { .. } => true,
        Expr::And(operands) | Expr::Or(operands) | Expr::Coalesce { args: operands, .. } => {
            operands.iter().any(may_raise)
        }
        Expr::Not(operand) | Expr::IsNull(operand) => may_raise(operand),
        Expr::IsNotDistinct(left, right) => may_raise(left) || may_raise(right),
        Expr::Case { branches, otherwise, .. } => {
            may_raise(otherwise) || branches.iter().any(|(when, then)| may_raise(when) || may_raise(then))
        }
        Expr::InList { input, .. } => may_raise(input),
    }
}

/// Three-valued AND (`deciding` false) and OR (`deciding` true) in bitmaps: where a row is true, and where it is false.
fn logical(
    operands: &[Expr],
    columns: &[ArrayRef],
    row_count: usize,
    context: &EvalContext<'_>,
    deciding: bool,
) -> Result<Value> {
    // Undecided rows are neutral (all operands so far not deciding and not NULL) or unknown (some was NULL).
    let mut decided = BooleanBuffer::new_unset(row_count);
    let mut unknown = BooleanBuffer::new_unset(row_count);
    for operand in operands {
        let left = row_count - decided.count_set_bits();
        if left == 0 && row_count > 0 {
            break;
        }
        let partial = left < row_count && (may_raise(operand) || left * 4 < row_count);
        let (hits, nulls) = if partial {
            let open = BooleanArray::new(!&decided, None);
            let (columns, count) = filter_columns(operand, columns, &open)?;
            let value = evaluate(operand, &columns, count, context)?.into_array(count)?;
            let (hits, nulls) = truth(&value, deciding);
            (selection::spread(&open, &hits), selection::spread(&open, &nulls))
        } else {
            let value = evaluate(operand, columns, row_count, context)?.into_array(row_count)?;
            truth(&value, deciding)
        };
        decided = &decided | &hits;
        unknown = &unknown | &nulls;
    }
    let nulls = &unknown & &!&decided;
    let values = if deciding { decided } else { !&decided };
    let nulls = (nulls.count_set_bits() > 0).then(|| NullBuffer::new(!&nulls));
    Ok(Value::Array(Arc::new(BooleanArray::new(values, nulls))))
}

/// Where a boolean array equals `deciding`, and where it is NULL.
fn truth(value: &ArrayRef, deciding: bool) -> (BooleanBuffer, BooleanBuffer) {
    if value.data_type() == &DataType::Null {
        return (BooleanBuffer::new_unset(value.len()), BooleanBuffer::new_set(value.len()));
    }
    let bools = value.as_boolean();
    let hits = if deciding { bools.values().clone() } else { !bools.values() };
    match bools.nulls() {
        None => (hits, BooleanBuffer::new_unset(value.len())),
        Some(nulls) => (&hits & nulls.inner(), !nulls.inner()),
    }
}

fn case(
    branches: &[(Expr, Expr)],
    otherwise: &Expr,
    ty: SqlType,
    columns: &[ArrayRef],
    row_count: usize,
    context: &EvalContext<'_>,
) -> Result<Value> {
    let mut open = BooleanArray::new(BooleanBuffer::new_set(row_count), None);
    let mut parts: Vec<(BooleanArray, ArrayRef)> = Vec::new();
    for (when, then) in branches {
        if open.true_count() == 0 {
            break;
        }
        let (some, count) = filter_columns(when, columns, &open)?;
        let mask = filter_mask(when, &some, count, context)?;
        let taken = BooleanArray::new(selection::spread(&open, mask.values()), None);
        if taken.true_count() > 0 {
            let (some, count) = filter_columns(then, columns, &taken)?;
            parts.push((taken.clone(), evaluate_array(then, &some, count, context)?));
            open = BooleanArray::new(open.values() & &!taken.values(), None);
        }
    }
    if open.true_count() > 0 || parts.is_empty() {
        let (some, count) = filter_columns(otherwise, columns, &open)?;
        parts.push((open, evaluate_array(otherwise, &some, count, context)?));
    }
    Ok(Value::Array(merge(&parts, ty, row_count)?))
}

fn coalesce(
    args: &[Expr],
    ty: SqlType,
    columns: &[ArrayRef],
    row_count: usize,
    context: &EvalContext<'_>,
) -> Result<Value> {
    let mut open = BooleanArray::new(BooleanBuffer::new_set(row_count), None);
    let mut parts: Vec<(BooleanArray, ArrayRef)> = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        if open.true_count() == 0 && !parts.is_empty() {
            break;
        }
        let (some, count) = filter_columns(arg, columns, &open)?;
        let value = evaluate_array(arg, &some, count, context)?;
        let nulls = value.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let Some(nulls) = nulls.filter(|_| index + 1 < args.len()) else {
            parts.push((open, value));
            break;
        };
        let present = BooleanArray::new(nulls.inner().clone(), None);
        let taken = BooleanArray::new(selection::spread(&open, present.values()), None);
        if taken.true_count() > 0 {
            let kept = crate::gather::filter(&value, &present)?;
            parts.push((taken.clone(), kept));
            open = BooleanArray::new(open.values() & &!taken.values(), None);
        }
    }
    Ok(Value::Array(merge(&parts, ty, row_count)?))
}

#[cfg(test)]
mod tests;
