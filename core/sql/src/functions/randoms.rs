//! `random`, `setseed`, `gen_random_uuid`: drawn from the session's generator, which the database's seed determines (law L2).
//! `setseed` gives the same numbers again, but not those of PostgreSQL.

use super::{EvalContext, ResultType, Scalar, Value, Volatility};
use crate::columns::{self, ColumnBuilder};
use crate::datum::Datum;
use crate::types::SqlType;
use arrow_array::types::Float64Type;
use orrery_base::rng::Rng;
use orrery_base::task::lock;
use orrery_base::{Error, Result, SqlState};
use std::sync::{Arc, Mutex};

/// A session's generator.
#[derive(Clone, Debug)]
pub struct Randomness(Arc<Mutex<Rng>>);

impl Default for Randomness {
    fn default() -> Self {
        Randomness::new(0)
    }
}

impl Randomness {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Randomness(Arc::new(Mutex::new(Rng::new(seed))))
    }

    fn draw(&self) -> u64 {
        lock(&self.0).next_u64()
    }
}

fn generator<'a>(context: &'a EvalContext<'_>) -> Result<&'a Randomness> {
    context.random.ok_or_else(|| Error::internal("a random number was drawn outside of a statement"))
}

fn random(context: &EvalContext<'_>, _: &[Value], row_count: usize) -> Result<Value> {
    let generator = generator(context)?;
    // 53 bits: all that a double holds below 1.
    let one = |_| (generator.draw() >> 11) as f64 / (1u64 << 53) as f64;
    Ok(Value::Array(columns::primitive::<Float64Type>((0..row_count).map(one).collect(), None)))
}

fn uuids(context: &EvalContext<'_>, _: &[Value], row_count: usize) -> Result<Value> {
    let generator = generator(context)?;
    let mut builder = ColumnBuilder::new(SqlType::Uuid, row_count);
    for _ in 0..row_count {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&generator.draw().to_be_bytes());
        bytes[8..].copy_from_slice(&generator.draw().to_be_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        builder.push(&Datum::Uuid(bytes))?;
    }
    Ok(Value::Array(builder.finish()?))
}

/// Answers an empty text, as PostgreSQL shows its `void`.
fn setseed(context: &EvalContext<'_>, args: &[Value], row_count: usize) -> Result<Value> {
    let generator = generator(context)?;
    let mut builder = ColumnBuilder::new(SqlType::Text, row_count);
    let rows = if matches!(args[0], Value::Constant(_)) { 1 } else { row_count };
    for row in 0..rows {
        match columns::datum_at(args[0].array(), SqlType::Float8, row)? {
            Datum::Float8(seed) if !(-1.0..=1.0).contains(&seed) => {
                let message = format!("setseed parameter {seed} is out of allowed range [-1,1]");
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            Datum::Float8(seed) => *lock(&generator.0) = Rng::new((seed + 0.0).to_bits()),
            _ => {}
        }
    }
    for _ in 0..row_count {
        builder.push_bytes(b"")?;
    }
    Ok(Value::Array(builder.finish()?))
}

const fn volatile(
    name: &'static str,
    args: &'static [SqlType],
    result: SqlType,
    eval: fn(&EvalContext<'_>, &[Value], usize) -> Result<Value>,
) -> Scalar {
    let (result, volatility) = (ResultType::Fixed(result), Volatility::Volatile);
    Scalar { name, args, variadic: false, result, strict: true, volatility, eval, typed: None }
}

pub(super) static ENTRIES: &[Scalar] = &[
    volatile("random", &[], SqlType::Float8, random),
    volatile("gen_random_uuid", &[], SqlType::Uuid, uuids),
    volatile("setseed", &[SqlType::Float8], SqlType::Text, setseed),
];
