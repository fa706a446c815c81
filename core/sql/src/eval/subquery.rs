//! Subqueries in expressions: those that ran before, and correlated ones, whose answers an evaluation looks up by the values
//! of their arguments.
//!
//! An evaluation cannot wait. So one that misses an answer notes the question in [`Lookups`] and fails; whoever called it
//! ([`crate::exec::Shared::evaluate`]) has the subqueries run and evaluates once more. Only rows that come to the
//! subquery ask (invariant V1), and each distinct tuple asks once.

use super::{constant, evaluate, lists};
use crate::columns::{self, datum_at};
use crate::datum::Datum;
use crate::encode;
use crate::exec::SubqueryResult;
use crate::expr::{Expr, SubqueryUse};
use crate::functions::{EvalContext, SequenceRequest, Value, compare};
use crate::types::SqlType;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray};
use orrery_base::task::lock;
use orrery_base::{Error, Result, SqlState};
use orrery_row::codec::RowLayout;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Which answer: the subquery's index, and the values of its arguments and of what is compared with its rows.
pub type Key = (usize, Vec<u8>);

/// What a correlated subquery is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Values of its parameters.
    pub params: Vec<(usize, Datum)>,
    /// What is wanted of its rows.
    pub probe: Probe,
}

/// What is wanted of the rows of a subquery; the answer is one value.
#[derive(Clone, Debug)]
pub enum Probe {
    /// The only row's value.
    Scalar {
        /// Where the subquery stands.
        position: u32,
    },
    /// Whether there is a row.
    Exists,
    /// Whether a row equals the value.
    In(Datum, SqlType),
    /// Whether a row passes the test with these inputs.
    Any(Vec<(Datum, SqlType)>, Arc<Expr>),
}

/// Answers at hand during one evaluation, and questions it came to.
#[derive(Debug, Default)]
pub struct Lookups(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    found: BTreeMap<Key, Datum>,
    wanted: BTreeMap<Key, Question>,
    /// What was asked of sequences during the evaluation, in order, with the answers.
    effects: Vec<(SequenceRequest, Vec<i64>)>,
    /// How many of them the evaluation has come to, this time.
    effect_count: usize,
    effect_wanted: Option<SequenceRequest>,
}

impl Lookups {
    /// The questions since the last call.
    pub fn take_wanted(&self) -> BTreeMap<Key, Question> {
        std::mem::take(&mut lock(&self.0).wanted)
    }

    /// The evaluation starts from its beginning: it will ask the same in the same order.
    pub fn restart(&self) {
        lock(&self.0).effect_count = 0;
    }

    /// The answer to what is asked of a sequence; `None`: not yet, and it was noted.
    pub fn sequence(&self, request: SequenceRequest) -> Option<Vec<i64>> {
        let mut state = lock(&self.0);
        let at = state.effect_count;
        match state.effects.get(at) {
            Some((known, values)) if *known == request => {
                let values = values.clone();
                state.effect_count += 1;
                Some(values)
            }
            _ => {
                state.effect_wanted.get_or_insert(request);
                None
            }
        }
    }

    /// What was asked of a sequence and has no answer.
    pub fn take_effect(&self) -> Option<SequenceRequest> {
        lock(&self.0).effect_wanted.take()
    }

    /// Puts the answer in to what [`Lookups::take_effect`] gave.
    pub fn put_effect(&self, request: SequenceRequest, values: Vec<i64>) {
        let mut state = lock(&self.0);
        let at = state.effect_count;
        state.effects.truncate(at);
        state.effects.push((request, values));
    }

    /// Puts an answer in.
    pub fn put(&self, key: Key, answer: Datum) {
        lock(&self.0).found.insert(key, answer);
    }

    fn get(&self, key: &Key) -> Option<Datum> {
        lock(&self.0).found.get(key).cloned()
    }

    fn want(&self, key: Key, question: impl FnOnce() -> Question) {
        lock(&self.0).wanted.entry(key).or_insert_with(question);
    }
}

/// A subquery that ran before.
///
/// Errors: 21000; what a comparison raises.
pub fn known(
    result: &SubqueryResult,
    kind: &SubqueryUse,
    ty: SqlType,
    columns: &[ArrayRef],
    row_count: usize,
    context: &EvalContext<'_>,
) -> Result<Value> {
    match kind {
        SubqueryUse::Exists => {
            let exists: ArrayRef = Arc::new(BooleanArray::from(vec![result.row_count > 0]));
            Ok(Value::Constant(exists))
        }
        SubqueryUse::Scalar if result.row_count > 1 => Err(too_many_rows()),
        SubqueryUse::Scalar if result.row_count == 0 => Ok(Value::Constant(columns::nulls_of(ty, 1)?)),
        SubqueryUse::Scalar => Ok(Value::Constant(result.columns[0].slice(0, 1))),
        SubqueryUse::In(input) => {
            let value = evaluate(input, columns, row_count, context)?;
            let (ty, column) = (input.ty(), &result.columns[0]);
            let list = (0..column.len()).map(|row| datum_at(column, ty, row));
            lists::in_list(&value, ty, &list.collect::<Result<Vec<_>>>()?, row_count)
        }
        SubqueryUse::Any { inputs, test } => {
            let tuples = Tuples::evaluate(inputs.iter(), columns, row_count, context)?;
            let mut answers: BTreeMap<Vec<u8>, Datum> = BTreeMap::new();
            tuples.values(ty, |row| {
                let key = tuples.key(row)?;
                if let Some(answer) = answers.get(&key) {
                    return Ok(answer.clone());
                }
                let probe = Probe::Any(tuples.row(row)?, test.clone());
                let answer = any(&probe, &result.columns, result.row_count, context)?;
                let answer = answer.map_or(Datum::Null, Datum::Bool);
                answers.insert(key, answer.clone());
                Ok(answer)
            })
        }
    }
}

/// 21000
pub fn too_many_rows() -> Error {
    let message = "more than one row returned by a subquery used as an expression";
    Error::new(SqlState::CARDINALITY_VIOLATION, message)
}

/// A correlated subquery: the answers for all rows, if they are at hand.
pub fn correlated(
    expr: &Expr,
    columns: &[ArrayRef],
    row_count: usize,
    context: &EvalContext<'_>,
) -> Result<Value> {
    let Expr::Subquery { index, kind, args, ty, position } = expr else {
        return Err(Error::internal("not a subquery"));
    };
    let inputs: &[Expr] = match kind {
        SubqueryUse::Scalar | SubqueryUse::Exists => &[],
        SubqueryUse::In(input) => std::slice::from_ref(&**input),
        SubqueryUse::Any { inputs, .. } => inputs,
    };
    let tuples = Tuples::evaluate(args.iter().map(|arg| &arg.1).chain(inputs), columns, row_count, context)?;
    let mut missing = false;
    let value = tuples.values(*ty, |row| {
        let key = (*index, tuples.key(row)?);
        if let Some(answer) = context.lookups.get(&key).or_else(|| context.subqueries.answer(&key)) {
            return Ok(answer);
        }
        missing = true;
        let mut values = tuples.row(row)?;
        let inputs = values.split_off(args.len());
        context.lookups.want(key, || Question {
            params: args.iter().zip(values).map(|(arg, value)| (arg.0, value.0)).collect(),
            probe: match kind {
                SubqueryUse::Scalar => Probe::Scalar { position: *position },
                SubqueryUse::Exists => Probe::Exists,
                SubqueryUse::In(_) => {
                    let (value, ty) = inputs[0].clone();
                    Probe::In(value, ty)
                }
                SubqueryUse::Any { test, .. } => Probe::Any(inputs, test.clone()),
            },
        });
        Ok(Datum::Null)
    })?;
    if missing {
        return Err(Error::internal("a correlated subquery where nobody waits for it"));
    }
    Ok(value)
}

/// Whether some row passes: SQL's OR over the rows.
///
/// Errors: what the comparison raises.
pub fn any(
    probe: &Probe,
    columns: &[ArrayRef],
    row_count: usize,
    context: &EvalContext<'_>,
) -> Result<Option<bool>> {
    let tests = match probe {
        Probe::In(value, ty) => {
            let value = Value::Constant(columns::array_of([value], *ty)?);
            let args = [value, Value::Array(columns[0].clone())];
            compare::equal(&args, row_count, *ty)?.into_array(row_count)?
        }
        Probe::Any(inputs, test) => {
            let mut all = Vec::with_capacity(inputs.len() + columns.len());
            for (value, ty) in inputs {
                all.push(columns::array_of(std::iter::repeat_n(value, row_count), *ty)?);
            }
            all.extend(columns.iter().cloned());
            evaluate(test, &all, row_count, context)?.into_array(row_count)?
        }
        Probe::Scalar { .. } | Probe::Exists => return Err(Error::internal("no comparison with rows")),
    };
    if row_count == 0 {
        return Ok(Some(false));
    }
    if tests.data_type() == &arrow_schema::DataType::Null {
        return Ok(None);
    }
    let tests = tests.as_boolean();
    Ok(if tests.true_count() > 0 {
        Some(true)
    } else if tests.null_count() > 0 {
        None
    } else {
        Some(false)
    })
}

/// Values of several expressions, row by row.
pub struct Tuples {
    values: Vec<Value>,
    types: Vec<SqlType>,
    layout: RowLayout,
    row_count: usize,
}

impl Tuples {
    /// Evaluates them over `row_count` rows of `columns`.
    pub fn evaluate<'e>(
        exprs: impl Iterator<Item = &'e Expr>,
        columns: &[ArrayRef],
        row_count: usize,
        context: &EvalContext<'_>,
    ) -> Result<Tuples> {
        let (mut values, mut types) = (Vec::new(), Vec::new());
        for expr in exprs {
            types.push(expr.ty());
            values.push(match expr {
                // What the rows outside give is the same for the whole run.
                Expr::Param { .. } | Expr::Literal { .. } => {
                    let value = constant(expr, context)?;
                    Value::Constant(columns::array_of([&value], expr.ty())?)
                }
                expr => evaluate(expr, columns, row_count, context)?,
            });
        }
        let physical: Vec<_> = types.iter().map(|ty| encode::physical_type(*ty)).collect();
        Ok(Tuples { values, layout: RowLayout::new(0, &physical), types, row_count })
    }

    /// The values of a row, with their types.
    pub fn row(&self, row: usize) -> Result<Vec<(Datum, SqlType)>> {
        let value = |(value, &ty): (&Value, &SqlType)| {
            let at = if matches!(value, Value::Constant(_)) { 0 } else { row };
            Ok((datum_at(value.array(), ty, at)?, ty))
        };
        self.values.iter().zip(&self.types).map(value).collect()
    }

    /// Bytes that no other tuple has.
    pub fn key(&self, row: usize) -> Result<Vec<u8>> {
        let values: Vec<Datum> = self.row(row)?.into_iter().map(|it| it.0).collect();
        let mut key = Vec::new();
        encode::row(&self.layout, &self.types, &values, &mut key)?;
        Ok(key)
    }

    /// One value a row; one alone when all tuples are the same.
    fn values(&self, ty: SqlType, mut f: impl FnMut(usize) -> Result<Datum>) -> Result<Value> {
        if self.row_count == 0 {
            return Ok(Value::Array(columns::nulls_of(ty, 0)?));
        }
        if self.values.iter().all(|value| matches!(value, Value::Constant(_))) {
            return Ok(Value::Constant(columns::array_of([&f(0)?], ty)?));
        }
        let values = (0..self.row_count).map(&mut f).collect::<Result<Vec<_>>>()?;
        Ok(Value::Array(columns::array_of(&values, ty)?))
    }
}
