//! `nextval` for identity columns. Reserving values suspends and evaluation does not, so the executor reserves as many
//! as a batch has rows before it evaluates the batch ([`SequencePool::put`]), and `nextval` takes from those.

use super::{EvalContext, ResultType, Scalar, Value, Volatility, kernel};
use crate::columns;
use crate::types::SqlType;
use arrow_array::types::Int64Type;
use orrery_base::task::lock;
use orrery_base::{Error, Result, SqlState};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Values reserved and not used yet, by sequence: the next one, how many, and the step between them.
#[derive(Debug, Default)]
pub struct SequencePool(Mutex<BTreeMap<u32, (i64, u32, i64)>>);

impl SequencePool {
    /// Nothing reserved.
    pub const fn empty() -> Self {
        SequencePool(Mutex::new(BTreeMap::new()))
    }

    /// How many are left of a sequence.
    pub fn available(&self, sequence: u32) -> u32 {
        lock(&self.0).get(&sequence).map_or(0, |block| block.1)
    }

    /// Sets the reserved block of a sequence that has none left.
    pub fn put(&self, sequence: u32, first: i64, count: u32, step: i64) {
        lock(&self.0).insert(sequence, (first, count, step));
    }

    /// Takes one. Errors: XX000 when none is reserved.
    pub fn take(&self, sequence: u32) -> Result<i64> {
        let mut pool = lock(&self.0);
        let block = pool.get_mut(&sequence).filter(|block| block.1 > 0);
        let (next, left, step) = block.ok_or_else(|| Error::internal("no sequence value was reserved"))?;
        let value = *next;
        *left -= 1;
        if *left > 0 {
            *next = next.checked_add(*step).ok_or_else(|| Error::internal("a reserved block overflows"))?;
        }
        Ok(value)
    }
}

static NEXTVAL: Scalar = Scalar {
    name: "nextval",
    args: &[SqlType::Int8, SqlType::Int8, SqlType::Int8],
    variadic: false,
    result: ResultType::Fixed(SqlType::Int8),
    strict: true,
    volatility: Volatility::Volatile,
    eval: next_values,
    typed: None,
};

/// The function that the binder puts in for identity columns: `nextval(sequence id, increment, limit)`, all literals. It is
/// not in the catalogue: users cannot call it.
pub fn nextval() -> &'static Scalar {
    &NEXTVAL
}

/// 2200H: the sequence has passed the last value of its column's type.
pub fn exhausted(limit: i64) -> Error {
    let end = if limit < 0 { "minimum" } else { "maximum" };
    let message = format!("nextval: reached {end} value of sequence ({limit})");
    Error::new(SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED, message)
}

fn next_values(context: &EvalContext<'_>, args: &[Value], row_count: usize) -> Result<Value> {
    let arg = kernel::Arg::new(&args[0])?;
    let limits = kernel::Arg::new(&args[2])?;
    let (kernel::Arg::I64(ids, _), kernel::Arg::I64(limits, _)) = (arg, limits) else {
        return Err(Error::internal("a sequence is named by a bigint"));
    };
    let limit = limits.first().copied().unwrap_or(i64::MAX);
    let sequence = ids.first().and_then(|&id| u32::try_from(id).ok());
    let sequence = sequence.ok_or_else(|| Error::internal("a sequence id out of range"))?;
    // One for each row, although the arguments are constants.
    let take = |_| match context.sequences.take(sequence)? {
        value if limit > 0 && value > limit || limit < 0 && value < limit => Err(exhausted(limit)),
        value => Ok(value),
    };
    let values = (0..row_count).map(take).collect::<Result<Vec<_>>>()?;
    Ok(Value::Array(columns::primitive::<Int64Type>(values, None)))
}
