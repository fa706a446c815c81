//! Advisory locks: `pg_advisory_lock` and its kin. An evaluation cannot wait, so they ask, as sequence functions do (see
//! `sequence.rs`), and are called in the order of the rows. PostgreSQL's `void` is an empty text here. `pg_sleep` waits in the same way.

use super::{EvalContext, ResultType, Scalar, SequenceRequest, Value, Volatility};
use crate::columns::{ColumnBuilder, datum_at};
use crate::datum::Datum;
use crate::types::SqlType;
use orrery_base::kv::{AdvisoryKey, AdvisoryMode, AdvisoryScope};
use orrery_base::{Error, Result};

/// What is asked of the session's advisory locks, for each key in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvisoryCall {
    /// What.
    pub action: AdvisoryAction,
    /// How strong.
    pub mode: AdvisoryMode,
    /// How long.
    pub scope: AdvisoryScope,
    /// Which.
    pub keys: Vec<AdvisoryKey>,
}

/// What is done with an advisory lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvisoryAction {
    /// Taken, whenever that can be.
    Lock,
    /// Taken, if that needs no wait; the answer says whether.
    Try,
    /// Given back; the answer says whether the session had it.
    Unlock,
    /// All that the session has are given back.
    UnlockAll,
    /// None is meant: so many microseconds pass, which are the key.
    Sleep,
}

use AdvisoryAction::{Lock, Sleep, Try, Unlock, UnlockAll};
use AdvisoryMode::{Exclusive, Shared};
use AdvisoryScope::{Session, Transaction};

type Eval = fn(&EvalContext<'_>, &[Value], usize) -> Result<Value>;

const fn function(name: &'static str, args: &'static [SqlType], result: SqlType, eval: Eval) -> Scalar {
    let (result, volatility) = (ResultType::Fixed(result), Volatility::Volatile);
    Scalar { name, args, variadic: false, result, strict: true, volatility, eval, typed: None }
}

const ONE: &[SqlType] = &[SqlType::Int8];
const TWO: &[SqlType] = &[SqlType::Int4, SqlType::Int4];

/// Both forms of a function.
macro_rules! both {
    ($name:literal, $result:ident, $action:ident, $mode:ident, $scope:ident) => {
        [
            function($name, ONE, SqlType::$result, |context, args, row_count| {
                ask(context, args, row_count, ($action, $mode, $scope))
            }),
            function($name, TWO, SqlType::$result, |context, args, row_count| {
                ask(context, args, row_count, ($action, $mode, $scope))
            }),
        ]
    };
}

static FORMS: [[Scalar; 2]; 10] = [
    both!("pg_advisory_lock", Text, Lock, Exclusive, Session),
    both!("pg_advisory_lock_shared", Text, Lock, Shared, Session),
    both!("pg_advisory_xact_lock", Text, Lock, Exclusive, Transaction),
    both!("pg_advisory_xact_lock_shared", Text, Lock, Shared, Transaction),
    both!("pg_try_advisory_lock", Bool, Try, Exclusive, Session),
    both!("pg_try_advisory_lock_shared", Bool, Try, Shared, Session),
    both!("pg_try_advisory_xact_lock", Bool, Try, Exclusive, Transaction),
    both!("pg_try_advisory_xact_lock_shared", Bool, Try, Shared, Transaction),
    both!("pg_advisory_unlock", Bool, Unlock, Exclusive, Session),
    both!("pg_advisory_unlock_shared", Bool, Unlock, Shared, Session),
];

static ALL: [Scalar; 2] = [
    function("pg_sleep", &[SqlType::Float8], SqlType::Text, |context, args, row_count| {
        let seconds = args[0].clone().into_array(row_count)?;
        let micros = |row| -> Result<Option<i64>> {
            Ok(match datum_at(&seconds, SqlType::Float8, row)? {
                Datum::Float8(seconds) => Some((seconds * 1e6) as i64),
                _ => None,
            })
        };
        let by_row = (0..row_count).map(micros).collect::<Result<Vec<_>>>()?;
        let keys: Vec<_> = by_row.iter().flatten().map(|&micros| AdvisoryKey::One(micros)).collect();
        if !keys.is_empty() {
            answers(context, AdvisoryCall { action: Sleep, mode: Exclusive, scope: Session, keys })?;
        }
        voids(row_count, |row| by_row[row].is_some())
    }),
    function("pg_advisory_unlock_all", &[], SqlType::Text, |context, _, row_count| {
        let call = AdvisoryCall { action: UnlockAll, mode: Exclusive, scope: Session, keys: Vec::new() };
        if row_count > 0 {
            answers(context, call)?;
        }
        voids(row_count, |_| true)
    }),
];

/// All of them.
pub(super) fn entries() -> impl Iterator<Item = &'static Scalar> {
    FORMS.as_flattened().iter().chain(&ALL)
}

/// Whether it is one of them.
pub fn asks_advisory(function: &Scalar) -> bool {
    let at = std::ptr::from_ref(function);
    FORMS.as_flattened().as_ptr_range().contains(&at) || ALL.as_ptr_range().contains(&at)
}

fn ask(
    context: &EvalContext<'_>,
    args: &[Value],
    row_count: usize,
    (action, mode, scope): (AdvisoryAction, AdvisoryMode, AdvisoryScope),
) -> Result<Value> {
    let arrays = args.iter().map(|arg| arg.clone().into_array(row_count)).collect::<Result<Vec<_>>>()?;
    let key = |row: usize| -> Result<Option<AdvisoryKey>> {
        let ty = if arrays.len() == 1 { SqlType::Int8 } else { SqlType::Int4 };
        let values = arrays.iter().map(|array| datum_at(array, ty, row)).collect::<Result<Vec<_>>>()?;
        Ok(match values.as_slice() {
            [Datum::Int8(key)] => Some(AdvisoryKey::One(*key)),
            [Datum::Int4(one), Datum::Int4(two)] => Some(AdvisoryKey::Two(*one, *two)),
            _ => None,
        })
    };
    let by_row = (0..row_count).map(key).collect::<Result<Vec<_>>>()?;
    let keys: Vec<_> = by_row.iter().flatten().copied().collect();
    let mut answers = match keys.is_empty() {
        true => Vec::new(),
        false => answers(context, AdvisoryCall { action, mode, scope, keys })?,
    }
    .into_iter();
    if action == Lock {
        return voids(row_count, |row| by_row[row].is_some());
    }
    let mut builder = ColumnBuilder::new(SqlType::Bool, row_count);
    for key in by_row {
        match key.and_then(|_| answers.next()) {
            Some(answer) => builder.push(&Datum::Bool(answer != 0))?,
            None => builder.push_null(),
        }
    }
    Ok(Value::Array(builder.finish()?))
}

/// An answer for each key. Errors: 0A000 where an evaluation cannot wait.
fn answers(context: &EvalContext<'_>, call: AdvisoryCall) -> Result<Vec<i64>> {
    let answers = context.lookups.sequence(SequenceRequest::Advisory(call));
    answers.ok_or_else(|| Error::unsupported("an advisory lock function here"))
}

fn voids(row_count: usize, is_there: impl Fn(usize) -> bool) -> Result<Value> {
    let mut builder = ColumnBuilder::new(SqlType::Text, row_count);
    for row in 0..row_count {
        match is_there(row) {
            true => builder.push_bytes(b"")?,
            false => builder.push_null(),
        }
    }
    Ok(Value::Array(builder.finish()?))
}
