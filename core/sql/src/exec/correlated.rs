//! Correlated subqueries: run for each distinct tuple of their arguments, and what they answered kept for the next row
//! that asks the same.
//!
//! Invariants:
//! - C1: what is kept is bounded by a share of the statement's budget; over it, all goes. Answers that an evaluation under way
//!   needs are in its own [`crate::eval::subquery::Lookups`], so it ends however little is kept.
//! - C2: a subquery's plan sees its arguments as parameters, so an answer depends on its key only.

use super::Batch;
use super::memory::{Memory, Reservation};
use super::query::{Shared, build, node_count};
use crate::columns::datum_at;
use crate::datum::Datum;
use crate::eval::subquery::{Key, Probe, Question, any, too_many_rows};
use crate::functions::{EvalContext, SequenceRequest, not_yet_defined};
use crate::plan::{Plan, PlanNode};
use orrery_base::task::lock;
use orrery_base::{Cx, Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Share of the budget that answers may take.
const KEPT_SHARE: usize = 8;

/// The correlated subqueries of a plan.
#[derive(Debug)]
pub struct Correlated {
    plan: Arc<Plan>,
    kept: Mutex<Kept>,
    kept_bytes_max: usize,
}

#[derive(Debug)]
struct Kept {
    answers: BTreeMap<Key, Datum>,
    bytes: usize,
    reservation: Reservation,
}

impl Correlated {
    /// Those of `plan`; none ran yet.
    pub fn new(plan: Arc<Plan>, memory: &Memory) -> Self {
        let kept = Kept { answers: BTreeMap::new(), bytes: 0, reservation: memory.reserve(None) };
        Correlated { plan, kept: Mutex::new(kept), kept_bytes_max: memory.budget_bytes() / KEPT_SHARE }
    }

    /// An answer that is still known.
    pub fn get(&self, key: &Key) -> Option<Datum> {
        lock(&self.kept).answers.get(key).cloned()
    }

    fn keep(&self, key: Key, answer: Datum) {
        let bytes = key.1.len() + 96 + datum_bytes(&answer);
        let mut kept = lock(&self.kept);
        kept.bytes += bytes;
        kept.answers.insert(key, answer);
        let bytes = kept.bytes;
        if kept.reservation.set(bytes) || bytes > self.kept_bytes_max {
            kept.answers.clear();
            kept.bytes = 0;
            kept.reservation.set(0);
        }
    }

    /// The plan of a subquery and its first node's number in the metrics.
    fn subplan(&self, index: usize) -> Result<(&PlanNode, usize)> {
        let before: usize = self.plan.subqueries.iter().take(index).map(node_count).sum();
        let node = self.plan.subqueries.get(index);
        let node = node.ok_or_else(|| Error::internal("a subquery that is not in the plan"))?;
        Ok((node, node_count(&self.plan.root) + before))
    }
}

fn datum_bytes(value: &Datum) -> usize {
    match value {
        Datum::Text(text) => text.len(),
        Datum::Bytea(bytes) => bytes.len(),
        _ => 16,
    }
}

impl Shared {
    /// Evaluates something in which correlated subqueries may stand: `f` is called again until all it asked is answered.
    /// Suspends for them.
    ///
    /// Errors: what `f` and the subqueries raise.
    pub async fn evaluate<T>(
        &self,
        cx: &Cx,
        mut f: impl FnMut(&EvalContext<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        let context = self.eval();
        loop {
            context.lookups.restart();
            let outcome = f(&context);
            let wanted = context.lookups.take_wanted();
            if let Some(request) = context.lookups.take_effect() {
                let values = self.sequence(cx, &request).await?;
                context.lookups.put_effect(request, values);
                continue;
            }
            if wanted.is_empty() {
                return outcome;
            }
            let correlated = self.subqueries.correlated.as_ref();
            let correlated = correlated.ok_or_else(|| Error::internal("no correlated subqueries"))?;
            for (key, question) in wanted {
                let answer = self.answer(cx, correlated, key.0, question).await?;
                correlated.keep(key.clone(), answer.clone());
                context.lookups.put(key, answer);
            }
        }
    }

    /// Does what an evaluation asks of a sequence.
    async fn sequence(&self, cx: &Cx, request: &SequenceRequest) -> Result<Vec<i64>> {
        let environment = &self.context.environment;
        let session = environment.session_sequences();
        let undefined = |name: Option<String>| not_yet_defined(name.as_deref());
        Ok(match request {
            SequenceRequest::Next(sequence, count) => {
                let runs = environment.reserve(cx, *sequence, *count).await?;
                let step = environment.sequence_step(*sequence);
                let values: Vec<i64> = runs
                    .into_iter()
                    .flat_map(|(first, count)| (0..i64::from(count)).map(move |at| first + at * step))
                    .collect();
                if let Some(last) = values.last() {
                    session.got(*sequence, *last);
                }
                values
            }
            SequenceRequest::Current(sequence) => {
                let name = || Some(environment.sequence_name(*sequence));
                vec![session.current(*sequence).ok_or_else(|| undefined(name()))?]
            }
            SequenceRequest::Advisory(call) => environment.advisory(cx, call).await?,
            SequenceRequest::Last => vec![session.last().ok_or_else(|| undefined(None))?],
            SequenceRequest::Set(sequence, values) => {
                environment.set_value(cx, *sequence, values).await?;
                for (value, _) in values.iter().filter(|it| it.1) {
                    session.set(*sequence, *value);
                }
                Vec::new()
            }
        })
    }

    /// What operators share that run below with parameters set.
    pub fn with_params(&self, values: &[(usize, Datum)]) -> Arc<Shared> {
        let mut params = self.context.params.to_vec();
        for (index, value) in values {
            if params.len() <= *index {
                params.resize(index + 1, Datum::Null);
            }
            params[*index] = value.clone();
        }
        let mut context = self.context.clone();
        context.params = params.into();
        Arc::new(Shared {
            context,
            subqueries: self.subqueries.clone(),
            sequences: self.sequences.clone(),
            memory: self.memory.clone(),
            working: self.working.clone(),
        })
    }

    /// What operators share that run below a step of a recursion, over the rows that came last.
    pub fn with_working(&self, working: usize, rows: Arc<Vec<Batch>>) -> Arc<Shared> {
        let mut all: Vec<_> = self.working.iter().filter(|it| it.0 != working).cloned().collect();
        all.push((working, rows));
        Arc::new(Shared {
            context: self.context.clone(),
            subqueries: self.subqueries.clone(),
            sequences: self.sequences.clone(),
            memory: self.memory.clone(),
            working: all,
        })
    }

    async fn answer(
        &self,
        cx: &Cx,
        correlated: &Correlated,
        index: usize,
        question: Question,
    ) -> Result<Datum> {
        let (node, number) = correlated.subplan(index)?;
        let shared = self.with_params(&question.params);
        let mut root = build(node, &shared, number)?;
        let mut row_count = 0;
        let (mut value, mut unknown) = (Datum::Null, false);
        loop {
            cx.charge(256).await?;
            let Some(batch) = root.next(cx).await? else { break };
            if batch.row_count == 0 {
                continue;
            }
            row_count += batch.row_count;
            match &question.probe {
                Probe::Exists => return Ok(Datum::Bool(true)),
                Probe::Scalar { position } if row_count > 1 => return Err(too_many_rows().at(*position)),
                Probe::Scalar { .. } => value = datum_at(&batch.columns[0], node.fields[0].ty, 0)?,
                probe @ (Probe::In(..) | Probe::Any(..)) => {
                    match any(probe, &batch.columns, batch.row_count, &shared.eval())? {
                        Some(true) => return Ok(Datum::Bool(true)),
                        Some(false) => {}
                        None => unknown = true,
                    }
                }
            }
        }
        Ok(match question.probe {
            Probe::Exists => Datum::Bool(false),
            Probe::Scalar { .. } => value,
            Probe::In(..) | Probe::Any(..) if unknown => Datum::Null,
            Probe::In(..) | Probe::Any(..) => Datum::Bool(false),
        })
    }
}
