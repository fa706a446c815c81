//! Sequences in expressions. An evaluation cannot wait, and reserving values suspends, so there are two ways:
//!
//! - What a column gets by itself (identity, serial) is reserved for a whole batch before it is evaluated
//!   ([`SequencePool::put`]); the binder's own [`nextval`] takes from that.
//! - What users call (`nextval`, `currval`, `setval`, `lastval`) asks, as correlated subqueries do
//!   ([`crate::eval::subquery::Lookups::sequence`]): the evaluation fails, the operator has it done, and evaluates again.
//!
//! Invariant Q1: a value is handed out for each call that is evaluated, in the order of the rows and, within a row, of the
//! calls; operators evaluate row by row where there is more than one call.

use super::{EvalContext, ResultType, Scalar, Value, Volatility, kernel};
use crate::columns;
use crate::types::SqlType;
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_buffer::NullBuffer;
use orrery_base::task::lock;
use orrery_base::{Error, Result, SqlState};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

/// What a session remembers of sequences: the values it got last.
#[derive(Debug, Default)]
pub struct SessionSequences(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    current: BTreeMap<u32, i64>,
    last: Option<u32>,
}

impl SessionSequences {
    /// `nextval` gave this value.
    pub fn got(&self, sequence: u32, value: i64) {
        let mut known = lock(&self.0);
        known.current.insert(sequence, value);
        known.last = Some(sequence);
    }

    /// `setval` gave it this value.
    pub fn set(&self, sequence: u32, value: i64) {
        lock(&self.0).current.insert(sequence, value);
    }

    /// `currval`
    pub fn current(&self, sequence: u32) -> Option<i64> {
        lock(&self.0).current.get(&sequence).copied()
    }

    /// `lastval`
    pub fn last(&self) -> Option<i64> {
        let known = lock(&self.0);
        known.last.and_then(|sequence| known.current.get(&sequence).copied())
    }
}

/// Consecutive values of a sequence: the first, and how many.
pub type Run = (i64, u32);

/// Values reserved and not used yet, by sequence.
#[derive(Debug, Default)]
pub struct SequencePool {
    blocks: Mutex<BTreeMap<u32, Block>>,
    session: Option<Arc<SessionSequences>>,
}

#[derive(Debug, Default)]
struct Block {
    runs: VecDeque<Run>,
    step: i64,
}

impl SequencePool {
    /// Nothing reserved, and nobody who remembers.
    pub const fn empty() -> Self {
        SequencePool { blocks: Mutex::new(BTreeMap::new()), session: None }
    }

    /// Nothing reserved; `session` remembers what is taken.
    pub fn of(session: Arc<SessionSequences>) -> Self {
        SequencePool { blocks: Mutex::default(), session: Some(session) }
    }

    /// How many are left of a sequence.
    pub fn available(&self, sequence: u32) -> u32 {
        lock(&self.blocks).get(&sequence).map_or(0, |block| block.runs.iter().map(|run| run.1).sum())
    }

    /// Adds reserved values of a sequence with this step.
    pub fn put(&self, sequence: u32, runs: Vec<Run>, step: i64) {
        let mut blocks = lock(&self.blocks);
        let block = blocks.entry(sequence).or_default();
        block.runs.extend(runs);
        block.step = step;
    }

    /// Takes one. Errors: XX000 when none is reserved.
    pub fn take(&self, sequence: u32) -> Result<i64> {
        let mut blocks = lock(&self.blocks);
        let missing = || Error::internal("no sequence value was reserved");
        let block = blocks.get_mut(&sequence).ok_or_else(missing)?;
        let run = block.runs.front_mut().ok_or_else(missing)?;
        let value = run.0;
        run.1 -= 1;
        if run.1 == 0 {
            block.runs.pop_front();
        } else {
            run.0 = value.checked_add(block.step).ok_or_else(|| Error::internal("a run overflows"))?;
        }
        if let Some(session) = &self.session {
            session.got(sequence, value);
        }
        Ok(value)
    }
}

/// What an evaluation asks of sequences, and of advisory locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SequenceRequest {
    /// So many further values.
    Next(u32, u32),
    /// The last value this session got.
    Current(u32),
    /// To go on from these values one after the other: the value, and whether it counts as handed out.
    Set(u32, Vec<(i64, bool)>),
    /// The last value this session got of any.
    Last,
    /// Something of the session's advisory locks.
    Advisory(super::AdvisoryCall),
}

macro_rules! call {
    ($name:literal, [$($arg:ident),*], $eval:expr) => {
        Scalar {
            name: $name,
            args: &[$(SqlType::$arg),*],
            variadic: false,
            result: ResultType::Fixed(SqlType::Int8),
            strict: true,
            volatility: Volatility::Volatile,
            eval: $eval,
            typed: None,
        }
    };
}

static RESERVED_NEXTVAL: Scalar = call!("nextval", [Int8, Int8], next_values);
static NEXTVAL: Scalar = call!("nextval", [Int8], |context, args, row_count| {
    ask(context, SequenceRequest::Next(sequence_of(args)?, row_count as u32), row_count)
});
static CURRVAL: Scalar = call!("currval", [Int8], |context, args, row_count| {
    ask(context, SequenceRequest::Current(sequence_of(args)?), row_count)
});
static LASTVAL: Scalar =
    call!("lastval", [], |context, _, row_count| { ask(context, SequenceRequest::Last, row_count) });
static SETVAL: Scalar = call!("setval", [Int8, Int8], set_values);
static SETVAL_CALLED: Scalar = call!("setval", [Int8, Int8, Bool], set_values);

/// The function that the binder puts in for what a column gets by itself: `nextval(sequence id, increment)`, both literals. It
/// is not in the catalogue: users cannot call it.
pub fn nextval() -> &'static Scalar {
    &RESERVED_NEXTVAL
}

/// The function that users call by this name; its first argument is the sequence's id.
pub fn sequence_function(name: &str, arg_count: usize) -> Option<&'static Scalar> {
    Some(match (name, arg_count) {
        ("nextval", 1) => &NEXTVAL,
        ("currval", 1) => &CURRVAL,
        ("lastval", 0) => &LASTVAL,
        ("setval", 2) => &SETVAL,
        ("setval", 3) => &SETVAL_CALLED,
        _ => return None,
    })
}

/// Whether it is one of those that users call, or an advisory lock's, which is asked for in the same way.
pub fn asks_sequence(function: &Scalar) -> bool {
    super::asks_advisory(function)
        || [&NEXTVAL, &CURRVAL, &LASTVAL, &SETVAL, &SETVAL_CALLED]
            .iter()
            .any(|it| std::ptr::eq(*it, function))
}

fn sequence_of(args: &[Value]) -> Result<u32> {
    let id = match args.first().map(kernel::Arg::new).transpose()? {
        Some(kernel::Arg::I64(ids, _)) => ids.first().and_then(|&id| u32::try_from(id).ok()),
        _ => None,
    };
    id.ok_or_else(|| Error::internal("a sequence is named by a bigint"))
}

fn next_values(context: &EvalContext<'_>, args: &[Value], row_count: usize) -> Result<Value> {
    let sequence = sequence_of(args)?;
    // One for each row, although the arguments are constants.
    let values = (0..row_count).map(|_| context.sequences.take(sequence)).collect::<Result<Vec<_>>>()?;
    Ok(Value::Array(columns::primitive::<Int64Type>(values, None)))
}

fn ask(context: &EvalContext<'_>, request: SequenceRequest, row_count: usize) -> Result<Value> {
    if row_count == 0 {
        return Ok(Value::Array(columns::primitive::<Int64Type>(Vec::new(), None)));
    }
    let Some(mut values) = context.lookups.sequence(request) else {
        return Err(Error::internal("a sequence function where nobody waits for it"));
    };
    if values.len() == 1 {
        values.resize(row_count, values[0]);
    }
    Ok(Value::Array(columns::primitive::<Int64Type>(values, None)))
}

fn set_values(context: &EvalContext<'_>, args: &[Value], row_count: usize) -> Result<Value> {
    let sequence = sequence_of(args)?;
    let values = args[1].clone().into_array(row_count)?;
    let called = args.get(2).map(|called| called.clone().into_array(row_count)).transpose()?;
    let numbers = values.as_primitive::<Int64Type>();
    let is_there = |row: usize| numbers.is_valid(row) && called.as_ref().is_none_or(|it| it.is_valid(row));
    let is_called = |row: usize| called.as_ref().is_none_or(|it| it.as_boolean().value(row));
    let rows: Vec<usize> = (0..row_count).filter(|&row| is_there(row)).collect();
    if !rows.is_empty() {
        let wanted = rows.iter().map(|&row| (numbers.value(row), is_called(row))).collect();
        if context.lookups.sequence(SequenceRequest::Set(sequence, wanted)).is_none() {
            return Err(Error::internal("a sequence function where nobody waits for it"));
        }
    }
    let nulls = NullBuffer::from((0..row_count).map(is_there).collect::<Vec<bool>>());
    Ok(Value::Array(columns::primitive::<Int64Type>(numbers.values().to_vec(), Some(nulls))))
}

/// 55000: `currval` or `lastval` before any `nextval`.
pub fn not_yet_defined(name: Option<&str>) -> Error {
    let message = match name {
        Some(name) => format!("currval of sequence \"{name}\" is not yet defined in this session"),
        None => "lastval is not yet defined in this session".to_owned(),
    };
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}
