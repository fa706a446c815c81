//! The operators that keep nothing: VALUES, generate_series, filter, projection, LIMIT, append.

use super::query::{Operator, Shared, filter_batch};
use super::{Batch, prepare};
use crate::columns::ColumnBuilder;
use crate::datum::Datum;
use crate::eval;
use crate::expr::Expr;
use crate::types::SqlType;
use arrow_array::Array;
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState};
use std::sync::Arc;

/// Rows of expressions.
pub struct Values {
    shared: Arc<Shared>,
    rows: std::vec::IntoIter<Vec<Expr>>,
    types: Vec<SqlType>,
}

impl Values {
    /// These rows.
    pub fn new(shared: &Arc<Shared>, rows: Vec<Vec<Expr>>, types: Vec<SqlType>) -> Self {
        Values { shared: shared.clone(), rows: rows.into_iter(), types }
    }
}

impl Operator for Values {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            let mut builders: Vec<_> = self.types.iter().map(|&ty| ColumnBuilder::new(ty, 16)).collect();
            let mut row_count = 0;
            while row_count < BATCH_ROW_COUNT {
                let Some(row) = self.rows.next() else { break };
                prepare::reserve_sequences(cx, &self.shared, &row, 1).await?;
                for (expr, builder) in row.iter().zip(&mut builders) {
                    builder.push(&eval::constant(expr, &self.shared.eval())?)?;
                }
                row_count += 1;
                cx.charge(64 * row.len() + 16).await?;
            }
            if row_count == 0 {
                return Ok(None);
            }
            let columns = builders.into_iter().map(ColumnBuilder::finish).collect::<Result<_>>()?;
            Ok(Some(Batch { columns, row_count }))
        })
    }
}

/// `generate_series` of integers, bigints, numerics and timestamps.
pub struct GenerateSeries {
    shared: Arc<Shared>,
    args: Vec<Expr>,
    position: u32,
    ty: SqlType,
    state: Option<Series>,
}

enum Series {
    Integers { next: i128, stop: i128, step: i128 },
    Steps { next: Datum, stop: Datum, step: Datum, ascending: bool },
    Done,
}

impl GenerateSeries {
    /// With these arguments.
    pub fn new(shared: &Arc<Shared>, args: Vec<Expr>, position: u32, types: Vec<SqlType>) -> Self {
        let ty = types.first().copied().unwrap_or(SqlType::Int4);
        GenerateSeries { shared: shared.clone(), args, position, ty, state: None }
    }

    fn start(&self) -> Result<Series> {
        let context = self.shared.eval();
        let values = self.args.iter().map(|arg| eval::constant(arg, &context)).collect::<Result<Vec<_>>>()?;
        if values.iter().any(Datum::is_null) {
            return Ok(Series::Done);
        }
        let zero = || Error::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero").at(self.position);
        let integer = |value: &Datum| match value {
            Datum::Int2(value) => Some(i128::from(*value)),
            Datum::Int4(value) => Some(i128::from(*value)),
            Datum::Int8(value) => Some(i128::from(*value)),
            _ => None,
        };
        if let (Some(next), Some(stop)) = (integer(&values[0]), integer(&values[1])) {
            let step = values.get(2).map_or(Some(1), integer).ok_or_else(|| self.unsupported())?;
            return if step == 0 { Err(zero()) } else { Ok(Series::Integers { next, stop, step }) };
        }
        let (next, stop) = (values[0].clone(), values[1].clone());
        let (step, sign) = match (&values[0], values.get(2)) {
            (Datum::Numeric(_), None) => {
                (Datum::Numeric(orrery_row::numeric::Numeric::from_i64(1)), std::cmp::Ordering::Greater)
            }
            (Datum::Numeric(_), Some(Datum::Numeric(step))) => {
                if !step.is_finite() {
                    let message = "step size cannot be NaN or infinity";
                    return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(self.position));
                }
                (Datum::Numeric(step.clone()), step.cmp(&orrery_row::numeric::Numeric::ZERO))
            }
            (Datum::Timestamp(_) | Datum::Timestamptz(_), Some(Datum::Interval(step))) => {
                (Datum::Interval(*step), crate::civil::interval_key(*step).cmp(&0))
            }
            _ => return Err(self.unsupported()),
        };
        if sign.is_eq() {
            return Err(zero());
        }
        Ok(Series::Steps { next, stop, step, ascending: sign.is_gt() })
    }

    fn unsupported(&self) -> Error {
        Error::unsupported(format_args!("generate_series of {}", self.ty)).at(self.position)
    }

    fn integer(&self, value: i128) -> Datum {
        match self.ty {
            SqlType::Int2 => Datum::Int2(value as i16),
            SqlType::Int4 => Datum::Int4(value as i32),
            _ => Datum::Int8(value as i64),
        }
    }

    fn fill(&mut self, builder: &mut ColumnBuilder) -> Result<()> {
        let mut state = match self.state.take() {
            Some(state) => state,
            None => self.start()?,
        };
        while builder.len() < BATCH_ROW_COUNT {
            match &mut state {
                Series::Integers { next, stop, step } => {
                    if (*step > 0 && *next > *stop) || (*step < 0 && *next < *stop) {
                        break;
                    }
                    builder.push(&self.integer(*next))?;
                    *next += *step;
                }
                Series::Steps { next, stop, step, ascending } => {
                    let order = next.order(stop);
                    if if *ascending { order.is_gt() } else { order.is_lt() } {
                        break;
                    }
                    builder.push(next)?;
                    *next = step_on(next, step, self.shared.context.time_zone)?;
                }
                Series::Done => break,
            }
        }
        self.state = Some(state);
        Ok(())
    }
}

fn step_on(value: &Datum, step: &Datum, time_zone: i32) -> Result<Datum> {
    use crate::civil::add_interval;
    let zone = i64::from(time_zone) * crate::civil::SECOND;
    Ok(match (value, step) {
        (Datum::Numeric(value), Datum::Numeric(step)) => Datum::Numeric(value.add(step)?),
        (Datum::Timestamp(value), Datum::Interval(step)) => Datum::Timestamp(add_interval(*value, *step)?),
        (Datum::Timestamptz(value), Datum::Interval(step)) => {
            Datum::Timestamptz(add_interval(value.saturating_add(zone), *step)?.saturating_sub(zone))
        }
        _ => return Err(Error::internal("a series of mixed types")),
    })
}

impl Operator for GenerateSeries {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            let mut builder = ColumnBuilder::new(self.ty, BATCH_ROW_COUNT);
            self.fill(&mut builder)?;
            let row_count = builder.len();
            cx.charge(row_count * 8 + 8).await?;
            if row_count == 0 {
                return Ok(None);
            }
            Ok(Some(Batch { columns: vec![builder.finish()?], row_count }))
        })
    }
}

/// Keeps the rows for which a predicate is true.
pub struct Filter {
    shared: Arc<Shared>,
    input: Box<dyn Operator>,
    predicate: Expr,
}

impl Filter {
    /// Of this input.
    pub fn new(shared: &Arc<Shared>, input: Box<dyn Operator>, predicate: Expr) -> Self {
        Filter { shared: shared.clone(), input, predicate }
    }
}

impl Operator for Filter {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            while let Some(batch) = self.input.next(cx).await? {
                cx.charge(batch.row_count * 8).await?;
                let context = self.shared.eval();
                let mask = eval::filter_mask(&self.predicate, &batch.columns, batch.row_count, &context)?;
                let kept = filter_batch(batch, &mask)?;
                if kept.row_count > 0 {
                    return Ok(Some(kept));
                }
            }
            Ok(None)
        })
    }
}

/// Computes columns.
pub struct Project {
    shared: Arc<Shared>,
    input: Box<dyn Operator>,
    exprs: Vec<Expr>,
}

impl Project {
    /// Of this input.
    pub fn new(shared: &Arc<Shared>, input: Box<dyn Operator>, exprs: Vec<Expr>) -> Self {
        Project { shared: shared.clone(), input, exprs }
    }
}

impl Operator for Project {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            let Some(batch) = self.input.next(cx).await? else { return Ok(None) };
            cx.charge(batch.row_count * 8 * self.exprs.len()).await?;
            prepare::reserve_sequences(cx, &self.shared, &self.exprs, batch.row_count).await?;
            let context = self.shared.eval();
            let compute = |expr| eval::evaluate_array(expr, &batch.columns, batch.row_count, &context);
            let columns = self.exprs.iter().map(compute).collect::<Result<_>>()?;
            Ok(Some(Batch { columns, row_count: batch.row_count }))
        })
    }
}

/// LIMIT and OFFSET.
pub struct Limit {
    shared: Arc<Shared>,
    input: Box<dyn Operator>,
    limit: Option<Expr>,
    offset: Option<Expr>,
    left: Option<(u64, u64)>,
}

impl Limit {
    /// Of this input.
    pub fn new(shared: &Arc<Shared>, input: Box<dyn Operator>, limit: Option<Expr>, offset: Option<Expr>) -> Self {
        Limit { shared: shared.clone(), input, limit, offset, left: None }
    }

    fn counts(&self) -> Result<(u64, u64)> {
        let context = self.shared.eval();
        let count = |expr: &Option<Expr>, word: &str, code: SqlState, none: u64| -> Result<u64> {
            let Some(expr) = expr else { return Ok(none) };
            match eval::constant(expr, &context)? {
                Datum::Null => Ok(none),
                Datum::Int8(count) => {
                    u64::try_from(count).map_err(|_| Error::new(code, format!("{word} must not be negative")))
                }
                _ => Err(Error::internal("LIMIT is no bigint")),
            }
        };
        let offset = count(&self.offset, "OFFSET", SqlState::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE, 0)?;
        let limit = count(&self.limit, "LIMIT", SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE, u64::MAX)?;
        Ok((offset, limit))
    }
}

impl Operator for Limit {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            let (mut skip, mut left) = match self.left {
                Some(left) => left,
                None => self.counts()?,
            };
            while left > 0 {
                let Some(batch) = self.input.next(cx).await? else { break };
                let rows = batch.row_count as u64;
                if skip >= rows {
                    skip -= rows;
                    continue;
                }
                let (start, count) = (skip as usize, (rows - skip).min(left) as usize);
                self.left = Some((0, left - count as u64));
                let columns = batch.columns.iter().map(|column| column.slice(start, count)).collect();
                return Ok(Some(Batch { columns, row_count: count }));
            }
            left = 0;
            self.left = Some((0, left));
            Ok(None)
        })
    }
}

/// One input after the other.
pub struct Append {
    inputs: std::collections::VecDeque<Box<dyn Operator>>,
}

impl Append {
    /// Of these inputs.
    pub fn new(inputs: Vec<Box<dyn Operator>>) -> Self {
        Append { inputs: inputs.into() }
    }
}

impl Operator for Append {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(async move {
            while let Some(input) = self.inputs.front_mut() {
                if let Some(batch) = input.next(cx).await? {
                    return Ok(Some(batch));
                }
                self.inputs.pop_front();
            }
            Ok(None)
        })
    }
}
