//! Reservations of sequence values. A block is reserved by a small transaction of its own and handed out from memory by all
//! sessions, so a crash leaves a gap, never a repeat, and a rolled-back insert leaves one too (as in PostgreSQL).
//!
//! Invariant: a value lies under a value id, which belongs to one definition of one sequence and is never used again, also
//! when the transaction that made the sequence is rolled back; whoever changes the definition holds the locks that keep
//! everybody else from taking values.
//!
//! One run is under way at a time: it is noted under the lock of the sequence's value, and the next session to get that lock
//! commits it once more instead of reserving another. So no run is overtaken, and none is lost when its task is dropped.

use crate::advisory::Advisory;
use crate::database::Inner;
use crate::live;
use crate::settings::Settings;
use crate::statements::StatementRun;
use orrery_base::gauge::Gauge;
use orrery_base::kv::{Isolation, Lookup, ReadMode, RowLock, Transaction, Wait};
use orrery_base::task::lock;
use orrery_base::{BoxFuture, Cx, Error, Result, SqlState};
use orrery_sql::catalog::{Catalog, Sequence, is_temporary};
use orrery_sql::datum::Datum;
use orrery_sql::ddl::SEQUENCE_VALUES;
use orrery_sql::exec::Environment;
use orrery_sql::functions::{AdvisoryCall, Run, SessionSequences};
use orrery_sql::system::Live;
use orrery_store::{Txn, TxnOptions};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Reserved blocks by value id.
#[derive(Default)]
pub(crate) struct Sequences(Mutex<State>);

#[derive(Default)]
struct State {
    blocks: BTreeMap<u32, Block>,
    /// How often a value was set by hand: a block reserved before that is not used any more.
    settings: BTreeMap<u32, u64>,
}

#[derive(Clone, Copy)]
struct Block {
    next: i64,
    left: u32,
    /// What was handed out last, if anything was.
    last: Option<i64>,
    /// A run that is being reserved, and goes on where the block ends.
    coming: Option<Run>,
}

impl Block {
    /// Where the sequence stands, while values are reserved and not used.
    fn position(&self) -> Option<(i64, bool)> {
        let is_ahead = self.left > 0 || self.coming.is_some();
        is_ahead.then(|| self.last.map_or((self.next, false), |last| (last, true)))
    }
}

impl Sequences {
    /// Takes at most `count` consecutive values of what is reserved.
    fn take(&self, sequence: &Sequence, count: u32) -> Option<Run> {
        let mut state = lock(&self.0);
        let block = state.blocks.get_mut(&sequence.value_id).filter(|block| block.left > 0)?;
        let run = (block.next, count.min(block.left));
        let last = block.next + i64::from(run.1 - 1) * sequence.increment;
        block.left -= run.1;
        block.last = Some(last);
        block.next = last.wrapping_add(sequence.increment);
        Some(run)
    }

    fn setting(&self, value_id: u32) -> u64 {
        lock(&self.0).settings.get(&value_id).copied().unwrap_or(0)
    }

    /// What whoever holds the lock of a sequence's value finds: nothing, and then it may [`Sequences::begin`].
    fn found(&self, value_id: u32) -> Found {
        match lock(&self.0).blocks.get(&value_id) {
            Some(block) if block.left > 0 => Found::Left,
            Some(Block { coming: Some(run), .. }) => Found::Coming(*run),
            _ => Found::Nothing,
        }
    }

    /// A run is being reserved.
    fn begin(&self, value_id: u32, run: Run) {
        let empty = Block { next: run.0, left: 0, last: None, coming: None };
        lock(&self.0).blocks.entry(value_id).or_insert(empty).coming = Some(run);
    }

    /// A run is durable: it may be used, unless somebody said so before or the value was set by hand since `setting`.
    fn reserved(&self, value_id: u32, run: Run, setting: u64) {
        let mut state = lock(&self.0);
        if state.settings.get(&value_id).copied().unwrap_or(0) != setting {
            return;
        }
        if let Some(block) = state.blocks.get_mut(&value_id).filter(|block| block.coming == Some(run)) {
            assert_eq!(block.left, 0, "a run is begun when no value is left");
            (block.next, block.left, block.coming) = (run.0, run.1, None);
        }
    }

    /// Forgets a block: its value is set by hand.
    fn forget(&self, value_id: u32) {
        let mut state = lock(&self.0);
        state.blocks.remove(&value_id);
        *state.settings.entry(value_id).or_default() += 1;
    }

    /// Where a sequence stands that has values reserved and not used.
    fn position(&self, value_id: u32) -> Option<(i64, bool)> {
        lock(&self.0).blocks.get(&value_id)?.position()
    }

    /// Takes the unused blocks, to give them back at a clean close: value id and position.
    fn take_unused(&self) -> Vec<(u32, (i64, bool))> {
        let blocks = std::mem::take(&mut lock(&self.0).blocks);
        blocks.into_iter().filter_map(|(id, block)| Some((id, block.position()?))).collect()
    }
}

/// See [`Sequences::found`].
enum Found {
    /// Values, because another session reserved some meanwhile.
    Left,
    /// A run that another session was about to reserve.
    Coming(Run),
    Nothing,
}

/// Hands out value ids: a sequence of the engine's own, at the end of all ids.
fn value_ids() -> Sequence {
    Sequence { value_id: u32::MAX, ..Sequence::new(u32::MAX, i64::from(1_u32 << 31), 1, 32) }
}

/// What a statement sees of the engine: the sequences of the catalog it was bound under.
pub(crate) struct StatementEnvironment {
    pub(crate) db: Arc<Inner>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) session: Arc<SessionSequences>,
    pub(crate) advisory: Advisory,
    pub(crate) txn: Arc<Txn>,
    pub(crate) read_only: bool,
    /// It reads at a time of the statement's choice.
    pub(crate) is_past: bool,
    pub(crate) settings: Arc<Settings>,
    /// Where what it does is counted.
    pub(crate) run: Option<Arc<StatementRun>>,
}

impl StatementEnvironment {
    fn sequence(&self, id: u32) -> Result<&Sequence> {
        let sequence = self.catalog.sequences.get(&id);
        sequence.ok_or_else(|| Error::internal("a statement asked for an unknown sequence"))
    }

    /// Errors: 25006, but for a temporary one.
    fn check_writable(&self, sequence: &Sequence, what: &str) -> Result<()> {
        if self.read_only && !sequence.name.as_deref().is_some_and(is_temporary) {
            let message = format!("cannot execute {what}() in a read-only transaction");
            return Err(Error::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
        }
        Ok(())
    }
}

impl Environment for StatementEnvironment {
    fn reserve<'a>(&'a self, cx: &'a Cx, sequence: u32, count: u32) -> BoxFuture<'a, Result<Vec<Run>>> {
        Box::pin(async move {
            let sequence = self.sequence(sequence)?;
            self.check_writable(sequence, "nextval")?;
            reserve(&self.db, cx, sequence, count).await
        })
    }

    fn position<'a>(&'a self, cx: &'a Cx, sequence: &'a Sequence) -> BoxFuture<'a, Result<(i64, bool)>> {
        Box::pin(async move {
            if let Some(position) = self.db.sequences.position(sequence.value_id) {
                return Ok(position);
            }
            let txn = begin(&self.db, cx)?;
            let position = read_position(&txn, cx, sequence.value_id).await?;
            txn.rollback();
            Ok(position.unwrap_or(sequence.position))
        })
    }

    fn set_value<'a>(
        &'a self,
        cx: &'a Cx,
        sequence: u32,
        values: &'a [(i64, bool)],
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let sequence = self.sequence(sequence)?;
            self.check_writable(sequence, "setval")?;
            for (value, _) in values {
                if !(sequence.min..=sequence.max).contains(value) {
                    let name = sequence.name.as_deref().unwrap_or("");
                    let message = format!(
                        "setval: value {value} is out of bounds for sequence \"{name}\" ({}..{})",
                        sequence.min, sequence.max
                    );
                    return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
                }
            }
            let Some(position) = values.last() else { return Ok(()) };
            let txn = begin(&self.db, cx)?;
            let key = sequence.value_id.to_be_bytes();
            txn.lock(cx, SEQUENCE_VALUES, &key, RowLock::Update, Wait::Block).await?;
            txn.put(SEQUENCE_VALUES, &key, &encode(*position))?;
            // Under the lock: whoever finds no block now waits for it.
            self.db.sequences.forget(sequence.value_id);
            txn.commit(cx).await.map(drop)
        })
    }

    fn new_value_id<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<u32>> {
        Box::pin(async move {
            let runs = reserve(&self.db, cx, &value_ids(), 1).await?;
            let id = runs.first().and_then(|run| u32::try_from(run.0).ok());
            id.ok_or_else(|| Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "no sequence value id is left"))
        })
    }

    fn session_sequences(&self) -> Arc<SessionSequences> {
        self.session.clone()
    }

    fn sequence_step(&self, sequence: u32) -> i64 {
        self.catalog.sequences.get(&sequence).map_or(1, |sequence| sequence.increment)
    }

    fn sequence_name(&self, sequence: u32) -> String {
        self.catalog.sequences.get(&sequence).and_then(|it| it.name.clone()).unwrap_or_default()
    }

    fn advisory<'a>(&'a self, cx: &'a Cx, call: &'a AdvisoryCall) -> BoxFuture<'a, Result<Vec<i64>>> {
        Box::pin(self.advisory.call(&self.db, &self.txn, cx, call))
    }

    fn live_rows<'a>(
        &'a self,
        cx: &'a Cx,
        what: Live,
        wanted: &'a [usize],
        part: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<Vec<Datum>>>>> {
        Box::pin(live::rows(self, cx, what, wanted, part))
    }

    fn work_gauge(&self) -> Option<Arc<Gauge>> {
        Some(self.db.work.clone())
    }

    fn spilled(&self, bytes: u64) {
        if let Some(run) = &self.run {
            run.spilled(bytes);
        }
    }

    fn temp_file(&self) -> u64 {
        self.db.next_temp_file()
    }

    fn discard_temp(&self, file: u64) {
        self.db.discard_temp(file);
    }
}

fn begin(db: &Arc<Inner>, cx: &Cx) -> Result<Arc<Txn>> {
    let options = TxnOptions { isolation: Isolation::ReadCommitted, read_only: false };
    db.store.begin(options, cx.now())
}

/// Takes `count` values. Errors: 2200H when there are not so many.
async fn reserve(db: &Arc<Inner>, cx: &Cx, sequence: &Sequence, count: u32) -> Result<Vec<Run>> {
    let (mut runs, mut missing) = (Vec::new(), count);
    while missing > 0 {
        match db.sequences.take(sequence, missing) {
            Some(run) => {
                missing -= run.1;
                runs.push(run);
            }
            None => reserve_block(db, cx, sequence, missing).await?,
        }
    }
    Ok(runs)
}

/// Reserves a block durably, or finds that another session did.
async fn reserve_block(db: &Arc<Inner>, cx: &Cx, sequence: &Sequence, count: u32) -> Result<()> {
    let txn = begin(db, cx)?;
    let key = sequence.value_id.to_be_bytes();
    txn.lock(cx, SEQUENCE_VALUES, &key, RowLock::Update, Wait::Block).await?;
    let setting = db.sequences.setting(sequence.value_id);
    let run = match db.sequences.found(sequence.value_id) {
        Found::Left => {
            txn.rollback();
            return Ok(());
        }
        Found::Coming(run) => run,
        Found::Nothing => {
            let position = read_position(&txn, cx, sequence.value_id).await?.unwrap_or(sequence.position);
            let run = next_run(sequence, position, count)?;
            db.sequences.begin(sequence.value_id, run);
            run
        }
    };
    let last = run.0 + i64::from(run.1 - 1) * sequence.increment;
    txn.put(SEQUENCE_VALUES, &key, &encode((last, true)))?;
    txn.commit(cx).await?;
    db.sequences.reserved(sequence.value_id, run, setting);
    Ok(())
}

/// `count` values behind `position` or, where they may be had at once, more; fewer at the limit. Errors: 2200H.
fn next_run(sequence: &Sequence, position: (i64, bool), count: u32) -> Result<Run> {
    let first = sequence.after(position).ok_or_else(|| sequence.exhausted())?;
    let room = if sequence.increment < 0 {
        i128::from(first) - i128::from(sequence.min)
    } else {
        i128::from(sequence.max) - i128::from(first)
    };
    let room = room / i128::from(sequence.increment).abs() + 1;
    let block = u32::try_from(room).unwrap_or(u32::MAX).min(count.max(sequence.cache).max(1));
    Ok((first, block))
}

/// Gives unused values back (clean close): the next open goes on without a gap.
pub(crate) async fn give_back(db: &Arc<Inner>, cx: &Cx) -> Result<()> {
    let unused = db.sequences.take_unused();
    if unused.is_empty() {
        return Ok(());
    }
    let txn = begin(db, cx)?;
    for (id, position) in unused {
        let key = id.to_be_bytes();
        txn.lock(cx, SEQUENCE_VALUES, &key, RowLock::Update, Wait::Block).await?;
        // A sequence dropped meanwhile has no value row any more; do not bring one back.
        if read_position(&txn, cx, id).await?.is_some() {
            txn.put(SEQUENCE_VALUES, &key, &encode(position))?;
        }
    }
    txn.commit(cx).await.map(drop)
}

fn encode((value, is_called): (i64, bool)) -> Vec<u8> {
    let mut bytes = value.to_le_bytes().to_vec();
    bytes.push(u8::from(is_called));
    bytes
}

/// Where a sequence stands, for a transaction that only reads: never behind a value that somebody used.
pub(crate) async fn position_of(
    db: &Inner,
    cx: &Cx,
    txn: &Arc<Txn>,
    sequence: &Sequence,
) -> Result<(i64, bool)> {
    if let Some(position) = db.sequences.position(sequence.value_id) {
        return Ok(position);
    }
    Ok(read_position(txn, cx, sequence.value_id).await?.unwrap_or(sequence.position))
}

async fn read_position(txn: &Arc<Txn>, cx: &Cx, value_id: u32) -> Result<Option<(i64, bool)>> {
    let key = value_id.to_be_bytes();
    loop {
        let mut bytes = Vec::new();
        let mut copy = |value: &[u8]| bytes.extend_from_slice(value);
        match txn.get(SEQUENCE_VALUES, &key, ReadMode::Current, &mut copy)? {
            Lookup::Missing(page) => txn.load(cx, page).await?,
            Lookup::Absent { .. } => return Ok(None),
            Lookup::Found { .. } => {
                let (value, called) = bytes.split_at(bytes.len().min(8));
                let value = <[u8; 8]>::try_from(value).ok().map(i64::from_le_bytes);
                return match (value, called) {
                    (Some(value), [] | [0]) => Ok(Some((value, false))),
                    (Some(value), [1]) => Ok(Some((value, true))),
                    _ => Err(Error::corrupt("a sequence's value cannot be read")),
                };
            }
        }
    }
}
