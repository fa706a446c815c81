//! Set-returning functions. `generate_series` streams, over int4, int8, numeric, timestamp and timestamptz; the others make
//! their rows at once.

use super::Batch;
use super::query::{Operator, Place};
use crate::civil::{self, Zone};
use crate::columns::ColumnBuilder;
use crate::datum::{Datum, Interval};
use crate::eval;
use crate::expr::Expr;
use crate::functions::EvalContext;
use crate::functions::sets::SetFunction;
use crate::types::SqlType;
use orrery_base::limits::BATCH_ROW_COUNT;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState};
use orrery_row::numeric::Numeric;

/// See the module.
pub struct Series {
    function: Option<&'static SetFunction>,
    args: Vec<Expr>,
    position: u32,
    ty: SqlType,
    place: Place,
    state: State,
}

enum State {
    Opened,
    Running(Progress),
    Ended,
}

/// The next value, the last, and the step between them.
enum Progress {
    Integer {
        next: i64,
        stop: i64,
        step: i64,
    },
    /// All values at once.
    Items(std::vec::IntoIter<Datum>),
    Numeric {
        next: Numeric,
        stop: Numeric,
        step: Numeric,
    },
    Time {
        next: i64,
        stop: i64,
        step: Interval,
        ascending: bool,
        zone: Zone,
    },
}

impl Series {
    /// The series of these arguments, of the type of the node's one column.
    pub fn new(
        function: Option<&'static SetFunction>,
        args: Vec<Expr>,
        position: u32,
        types: Vec<SqlType>,
        place: Place,
    ) -> Result<Self> {
        let [ty] = types[..] else {
            return Err(Error::internal("a set-returning function gives one column"));
        };
        Ok(Series { function, args, position, ty, place, state: State::Opened })
    }

    async fn step(&mut self, cx: &Cx) -> Result<Option<Batch>> {
        if matches!(self.state, State::Opened) {
            self.state = match self.begin(cx).await.map_err(|error| error.at(self.position))? {
                Some(progress) => State::Running(progress),
                None => State::Ended,
            };
        }
        let State::Running(progress) = &mut self.state else { return Ok(None) };
        let mut builder = ColumnBuilder::new(self.ty, BATCH_ROW_COUNT);
        let mut more = true;
        while more && builder.len() < BATCH_ROW_COUNT {
            more = progress.push(self.ty, &mut builder).map_err(|error| error.at(self.position))?;
        }
        if !more {
            self.state = State::Ended;
        }
        let row_count = builder.len();
        cx.charge(builder.byte_count()).await?;
        Ok((row_count > 0).then_some(Batch { columns: vec![builder.finish()?], row_count }))
    }

    /// Evaluates the arguments; `None` when one is NULL.
    async fn begin(&self, cx: &Cx) -> Result<Option<Progress>> {
        let constants = |context: &EvalContext<'_>| {
            self.args.iter().map(|arg| eval::constant(arg, context)).collect::<Result<Vec<_>>>()
        };
        let args = self.place.shared.evaluate(cx, constants).await?;
        let zone = self.place.shared.context.format.zone;
        let strict = self.function.is_none_or(|function| function.signature.strict);
        if strict && args.iter().any(Datum::is_null) {
            return Ok(None);
        }
        if let Some(function) = self.function {
            let types: Vec<SqlType> = self.args.iter().map(Expr::ty).collect();
            return (function.rows)(&args, &types).map(|items| Some(Progress::Items(items.into_iter())));
        }
        let integer = |value: &Datum| match value {
            Datum::Int4(value) => Some(i64::from(*value)),
            Datum::Int8(value) => Some(*value),
            _ => None,
        };
        let step = args.get(2);
        Ok(Some(match (&args[0], &args[1]) {
            (Datum::Int4(_) | Datum::Int8(_), _) => {
                let parts = (integer(&args[0]), integer(&args[1]), step.map_or(Some(1), integer));
                let (Some(next), Some(stop), Some(step)) = parts else { return Err(wrong_types()) };
                not_zero(step == 0)?;
                Progress::Integer { next, stop, step }
            }
            (Datum::Numeric(start), Datum::Numeric(stop)) => numeric(start, stop, step)?,
            (Datum::Timestamp(start), Datum::Timestamp(stop))
            | (Datum::Timestamptz(start), Datum::Timestamptz(stop)) => {
                let Some(Datum::Interval(step)) = step else { return Err(wrong_types()) };
                let span = civil::interval_key(*step);
                not_zero(span == 0)?;
                // A timestamp's days have 24 hours; a timestamptz's those of the session's zone.
                let zone = if matches!(args[0], Datum::Timestamptz(_)) { zone } else { Zone::default() };
                Progress::Time { next: *start, stop: *stop, step: *step, ascending: span > 0, zone }
            }
            _ => return Err(wrong_types()),
        }))
    }
}

fn numeric(start: &Numeric, stop: &Numeric, step: Option<&Datum>) -> Result<Progress> {
    let step = match step {
        None => Numeric::from_i64(1),
        Some(Datum::Numeric(step)) => step.clone(),
        Some(_) => return Err(wrong_types()),
    };
    for (value, name) in [(start, "start"), (stop, "stop"), (&step, "step size")] {
        if !value.is_finite() {
            let what = if value.is_nan() { "NaN" } else { "infinity" };
            let message = format!("{name} value cannot be {what}").replace("size value", "size");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
    }
    not_zero(step.is_zero())?;
    Ok(Progress::Numeric { next: start.clone(), stop: stop.clone(), step })
}

fn wrong_types() -> Error {
    Error::internal("generate_series was planned with arguments of other types")
}

fn not_zero(is_zero: bool) -> Result<()> {
    if is_zero {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
    }
    Ok(())
}

impl Progress {
    /// Appends the next value; answers whether there may be another.
    fn push(&mut self, ty: SqlType, into: &mut ColumnBuilder) -> Result<bool> {
        match self {
            Progress::Items(items) => match items.next() {
                None => Ok(false),
                Some(item) => into.push(&item).map(|()| true),
            },
            Progress::Integer { next, stop, step } => {
                if if *step > 0 { *next > *stop } else { *next < *stop } {
                    return Ok(false);
                }
                let value = match ty {
                    SqlType::Int4 => Datum::Int4(i32::try_from(*next).map_err(|_| wrong_types())?),
                    _ => Datum::Int8(*next),
                };
                into.push(&value)?;
                // Past the end of the type there is nothing up to `stop`.
                Ok(next.checked_add(*step).map(|after| *next = after).is_some())
            }
            Progress::Numeric { next, stop, step } => {
                let ascending = step.signum() == Some(1);
                if if ascending { *next > *stop } else { *next < *stop } {
                    return Ok(false);
                }
                into.push(&Datum::Numeric(next.clone()))?;
                *next = next.add(step)?;
                Ok(true)
            }
            Progress::Time { next, stop, step, ascending, zone } => {
                if if *ascending { *next > *stop } else { *next < *stop } {
                    return Ok(false);
                }
                let value = match ty {
                    SqlType::Timestamptz => Datum::Timestamptz(*next),
                    _ => Datum::Timestamp(*next),
                };
                into.push(&value)?;
                *next = civil::add_interval_in(*next, *step, *zone)?;
                Ok(true)
            }
        }
    }
}

impl Operator for Series {
    fn next<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<Option<Batch>>> {
        Box::pin(self.step(cx))
    }
}
