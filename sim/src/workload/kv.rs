//! Random transactions over the store's key-value interface: point reads, scans, locked updates, inserts, deletes,
//! savepoints, at mixed levels. A session keeps the rules that SQL keeps: a key is locked before it is written, the
//! newest version is compared with the snapshot after every grant, and above READ COMMITTED a newer one is 40001.
//!
//! What the session knows for sure (its own writes, an error that may not happen) it checks on the spot; the rest it
//! writes into the [`History`] for the checkers.

use super::advisory;
use crate::history::{History, Key, Outcome, Read, Seen, Statement, TxnRecord, ValueId};
use crate::knobs::Mix;
use crate::workload::rows;
use orrery_base::kv::{
    Flow, Isolation, KeyRange, Lookup, ReadMode, RowLock, RowRef, RowSink, Savepoint, TableLock, Transaction,
    Wait,
};
use orrery_base::rng::Rng;
use orrery_base::task::lock;
use orrery_base::{Cx, Error, Result, SqlState, Timestamp, TreeId};
use orrery_engine::Database;
use orrery_store::{Store, Txn, TxnOptions};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// What all sessions of an epoch share.
pub struct Shared {
    /// The store.
    pub store: Arc<Store>,
    /// The engine over it, where the workload is SQL.
    pub db: Option<Database>,
    /// What they do.
    pub mix: Mix,
    /// What they did.
    pub log: Mutex<Log>,
    /// Errors beyond the usual that this world may answer.
    pub legal: Mutex<Legal>,
    /// Who holds which advisory lock.
    pub advisory: Mutex<advisory::Held>,
    /// The checkpointer ends at its next look.
    pub stop_checkpoints: AtomicBool,
}

/// What is recorded while sessions run.
#[derive(Default)]
pub struct Log {
    /// For the checkers.
    pub history: History,
    /// What a session itself found wrong.
    pub failures: Vec<String>,
    /// Operations so far.
    pub op_count: u64,
    /// Errors by code, for reports.
    pub errors: BTreeMap<SqlState, u64>,
}

/// Which errors the disk makes legal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Legal {
    /// Requests fail.
    pub io: bool,
    /// The disk fills up.
    pub full: bool,
    /// Files were damaged.
    pub damage: bool,
    /// Tasks are dropped: one that was writing a superblock leaves the store poisoned.
    pub drops: bool,
    /// The store is being closed.
    pub closing: bool,
    /// A sync failed in this epoch: from now on nothing may be acknowledged (I5).
    pub sync_failed: bool,
}

impl Legal {
    /// Whether this world may answer `error`.
    pub fn allows(self, error: &Error) -> bool {
        match error.code() {
            SqlState::SERIALIZATION_FAILURE
            | SqlState::DEADLOCK_DETECTED
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::UNIQUE_VIOLATION
            | SqlState::SNAPSHOT_TOO_OLD => true,
            SqlState::DISK_FULL => self.full,
            SqlState::IO_ERROR => self.io || self.drops,
            SqlState::CANNOT_CONNECT_NOW => self.io || self.closing,
            SqlState::TRANSACTION_RESOLUTION_UNKNOWN => self.io || self.drops,
            SqlState::DATA_CORRUPTED => self.damage,
            _ => false,
        }
    }
}

/// Runs one transaction to its end. `number` is unique in the seed and grows.
pub async fn transaction(cx: Cx, shared: Arc<Shared>, session: u64, number: u64, mut rng: Rng) {
    if Rng::fork(number, "past").chance(shared.mix.past_per_mille, 1000) {
        return past(cx, shared, session, number, rng).await;
    }
    let isolation = draw_level(&mut rng, &shared.mix);
    let floor = lock(&shared.log).history.newest_acked;
    let options = TxnOptions { isolation, read_only: false };
    let txn = match shared.store.begin(options, cx.now()) {
        Ok(txn) => txn,
        Err(error) => {
            note_error(&shared, "begin", &error);
            // A store that refuses everything must not spin: time passes between attempts.
            return pause(&cx, 1_000).await;
        }
    };
    let record = lock(&shared.log).history.begin(TxnRecord::new(number, session, isolation));
    let client = Client { floor, ..Client::new(cx, shared, txn, number, record, rng) };
    client.run().await;
}

/// Reads at a time between the epoch's beginning and now.
async fn past(cx: Cx, shared: Arc<Shared>, session: u64, number: u64, mut rng: Rng) {
    let from = lock(&shared.log).history.began_at;
    let to = Timestamp::from_micros(cx.now()).max(from);
    let at = Timestamp(rng.range(from.0..to.0 + 1));
    let txn = match shared.store.begin_at(&cx, at).await {
        Ok(txn) => txn,
        Err(error) => return note_error(&shared, "begin at a time", &error),
    };
    let mut record = TxnRecord::new(number, session, Isolation::RepeatableRead);
    record.statements.push(Statement { snapshot: at, floor: Timestamp::ZERO });
    let record = lock(&shared.log).history.begin(record);
    let mut client = Client { statement: 1, ..Client::new(cx, shared, txn, number, record, rng) };
    let mix = client.shared.mix.clone();
    for _ in 0..client.rng.range(1..5) {
        lock(&client.shared.log).op_count += 1;
        let tree = rows::draw_tree(&mut client.rng, &mix);
        let key = Key(tree, rows::draw_key(&mut client.rng, tree, &mix));
        let read = match client.rng.chance(1, 2) {
            true => client.point_read(key).await,
            false => client.range_read(tree, &mix).await,
        };
        if let Err(error) = read {
            note_error(&client.shared, "read of the past", &error);
            break;
        }
    }
    client.roll_back();
}

/// Sleeps in virtual time.
pub async fn pause(cx: &Cx, micros: u64) {
    let until = cx.now() + micros;
    std::future::poll_fn(|_| {
        if cx.now() >= until {
            return std::task::Poll::Ready(());
        }
        cx.wake_no_later_than(until);
        std::task::Poll::Pending
    })
    .await;
}

/// Counts an error; one that this world may not answer is a failure.
pub fn note_error(shared: &Shared, what: &str, error: &Error) {
    let legal = lock(&shared.legal).allows(error);
    let mut log = lock(&shared.log);
    *log.errors.entry(error.code()).or_default() += 1;
    if !legal {
        log.failures.push(format!("{what}: an error that cannot be: {error:?}"));
    }
}

/// Commits up to `timestamp` are durable from now on, whatever the durability level.
pub fn note_durable(shared: &Shared, timestamp: Timestamp) {
    let mut log = lock(&shared.log);
    log.history.durable_floor = timestamp.max(log.history.durable_floor);
}

/// Notes that the task of transaction `number` was dropped.
pub fn note_dropped(shared: &Shared, number: u64) {
    let history = &mut lock(&shared.log).history;
    if let Some(index) = history.find(number) {
        history.txns[index].dropped = true;
    }
}

struct OwnWrite {
    statement: usize,
    key: Key,
    value: Option<ValueId>,
}

struct Mark {
    savepoint: Savepoint,
    own_len: usize,
    locked_len: usize,
    shared_len: usize,
    advisory_len: usize,
}

struct Client {
    cx: Cx,
    shared: Arc<Shared>,
    txn: Arc<Txn>,
    number: u64,
    record: usize,
    floor: Timestamp,
    rng: Rng,
    /// Counted from 1 in the first statement.
    statement: usize,
    own: Vec<OwnWrite>,
    locked: Vec<(Key, u64)>,
    savepoints: Vec<Mark>,
    write_count: u64,
    /// Rows that it shares, with how and what they were then.
    shared_rows: Vec<(Key, RowLock, Option<ValueId>)>,
    advisory: advisory::Client,
}

impl Client {
    fn new(cx: Cx, shared: Arc<Shared>, txn: Arc<Txn>, number: u64, record: usize, rng: Rng) -> Client {
        let advisory = advisory::Client::new(shared.clone(), number);
        Client {
            cx,
            shared,
            txn,
            number,
            record,
            floor: Timestamp::ZERO,
            rng,
            statement: 0,
            own: vec![],
            locked: vec![],
            savepoints: vec![],
            write_count: 0,
            shared_rows: vec![],
            advisory,
        }
    }

    async fn run(mut self) {
        let statement_count = self.rng.range(1..self.shared.mix.statement_count_max + 1);
        for _ in 0..statement_count {
            if let Err(error) = self.statement().await {
                note_error(&self.shared, "statement", &error);
                if !self.recover() {
                    return self.roll_back();
                }
            }
        }
        if self.rng.chance(self.shared.mix.rollback_per_mille, 1000) {
            return self.roll_back();
        }
        self.commit().await;
    }

    /// After an error: back to a savepoint, if there is one and chance wants it.
    fn recover(&mut self) -> bool {
        if self.savepoints.is_empty() || self.rng.chance(1, 2) {
            return false;
        }
        self.roll_back_to();
        true
    }

    fn roll_back(&mut self) {
        self.advisory.ends();
        self.txn.rollback();
        self.with_record(|record| record.outcome = Outcome::RolledBack);
    }

    async fn commit(mut self) {
        if let Err(error) = self.check_shared().await {
            note_error(&self.shared, "statement", &error);
            return self.roll_back();
        }
        self.advisory.ends();
        let mut writes = BTreeMap::new();
        for own in self.own.drain(..) {
            writes.insert(own.key, own.value);
        }
        let is_empty = writes.is_empty();
        let poisoned = self.shared.store.is_poisoned() && lock(&self.shared.legal).sync_failed;
        {
            let mut log = lock(&self.shared.log);
            let order = log.history.commit_count;
            log.history.commit_count += 1;
            let record = &mut log.history.txns[self.record];
            record.commit_order = Some(order);
            record.writes = writes;
        }
        match self.txn.commit(&self.cx).await {
            Ok(timestamp) => {
                if poisoned && !is_empty {
                    self.fail(format!("a commit was acknowledged at {timestamp} by a poisoned store"));
                }
                let mut log = lock(&self.shared.log);
                log.history.newest_acked = timestamp.max(log.history.newest_acked);
                log.history.txns[self.record].outcome = Outcome::Committed(timestamp);
            }
            Err(error) => {
                note_error(&self.shared, "commit", &error);
                let unknown = error.code() == SqlState::TRANSACTION_RESOLUTION_UNKNOWN;
                let outcome = if unknown { Outcome::Unknown } else { Outcome::RolledBack };
                self.with_record(|record| record.outcome = outcome);
            }
        }
    }

    async fn statement(&mut self) -> Result<()> {
        let floor = match self.txn.isolation() {
            Isolation::ReadCommitted => lock(&self.shared.log).history.newest_acked,
            _ => self.floor,
        };
        self.txn.begin_statement()?;
        self.statement += 1;
        let snapshot = self.txn.snapshot_timestamp();
        self.with_record(|record| record.statements.push(Statement { snapshot, floor }));
        let mix = self.shared.mix.clone();
        if self.rng.chance(mix.savepoint_per_mille, 1000) {
            let savepoint = self.txn.savepoint();
            self.savepoints.push(Mark {
                savepoint,
                own_len: self.own.len(),
                locked_len: self.locked.len(),
                shared_len: self.shared_rows.len(),
                advisory_len: self.advisory.len(),
            });
        } else if !self.savepoints.is_empty() && self.rng.chance(mix.rollback_to_per_mille, 1000) {
            self.roll_back_to();
        }
        for _ in 0..self.rng.range(1..4) {
            lock(&self.shared.log).op_count += 1;
            self.operation(&mix).await?;
        }
        Ok(())
    }

    fn roll_back_to(&mut self) {
        let keep = self.rng.below(self.savepoints.len() as u64) as usize;
        self.savepoints.truncate(keep + 1);
        let mark = &self.savepoints[keep];
        self.advisory.rolled_back_to(mark.advisory_len);
        self.shared_rows.truncate(mark.shared_len);
        self.txn.rollback_to(mark.savepoint);
        self.own.truncate(mark.own_len);
        self.locked.truncate(mark.locked_len);
    }

    async fn operation(&mut self, mix: &Mix) -> Result<()> {
        let tree = rows::draw_tree(&mut self.rng, mix);
        if self.rng.chance(mix.table_lock_per_mille, 1000) {
            return self.lock_tree(tree).await;
        }
        if mix.advisory_per_mille > 0 && self.rng.chance(mix.advisory_per_mille, 1000) {
            let wait = self.draw_wait();
            let Client { cx, txn, rng, advisory, .. } = self;
            return advisory.operation(cx, txn, rng, wait).await;
        }
        let key = Key(tree, rows::draw_key(&mut self.rng, tree, mix));
        if mix.share_per_mille > 0 && self.rng.chance(mix.share_per_mille, 1000) {
            return self.share(key).await;
        }
        match draw_weighted(&mut self.rng, &mix.weights) {
            0 => self.point_read(key).await,
            1 => self.range_read(tree, mix).await,
            2 => self.update(key, mix, |found| found.then_some(true)).await,
            3 => self.update(key, mix, |found| (!found).then_some(true)).await,
            4 => self.update(key, mix, |_| Some(false)).await,
            _ => {
                self.point_read(key.clone()).await?;
                self.update(key, mix, |_| Some(true)).await
            }
        }
    }

    async fn lock_tree(&mut self, tree: TreeId) -> Result<()> {
        let modes =
            [TableLock::RowExclusive, TableLock::Share, TableLock::ShareRowExclusive, TableLock::Exclusive];
        let mode = *self.rng.pick(&modes);
        let wait = self.draw_wait();
        self.txn.lock_table(&self.cx, tree, mode, wait).await.map(drop)
    }

    /// Shares a row: until the transaction ends, nobody else changes it, or deletes it.
    async fn share(&mut self, key: Key) -> Result<()> {
        let mode = *self.rng.pick(&[RowLock::Share, RowLock::Share, RowLock::KeyShare, RowLock::NoKeyUpdate]);
        let granted = self.txn.try_lock(key.0, &key.1, mode)? || {
            let wait = self.draw_wait();
            self.txn.lock(&self.cx, key.0, &key.1, mode, wait).await?
        };
        if granted {
            let (value, _) = self.get(&key, ReadMode::Current).await?;
            self.shared_rows.push((key, mode, value));
        }
        Ok(())
    }

    /// What it shares is still what it was, but for its own changes.
    async fn check_shared(&mut self) -> Result<()> {
        for (key, mode, before) in std::mem::take(&mut self.shared_rows) {
            let (now, _) = self.get(&key, ReadMode::Current).await?;
            let is_own = self.own.iter().any(|own| own.key == key);
            // A key's share lets updates through that leave the key, as which the workload's changes may pass.
            if !is_own && mode != RowLock::KeyShare && now != before {
                self.fail(format!("{key:?}: locked {mode:?} as {before:?}, and is {now:?} now"));
            }
        }
        Ok(())
    }

    async fn point_read(&mut self, key: Key) -> Result<()> {
        let (value, _) = self.get(&key, ReadMode::Snapshot).await?;
        match self.own_value(&key, ReadMode::Snapshot) {
            Some(own) if own != value => self.fail(format!("{key:?}: own write {own:?} reads as {value:?}")),
            Some(_) => {}
            None => self.note_read(ReadMode::Snapshot, 0, Seen::Point { key, value, newer: Some(false) }),
        }
        Ok(())
    }

    /// Locks, reads the newest version, and writes if `decide` says so: a new value (true) or a deletion (false).
    async fn update(&mut self, key: Key, mix: &Mix, decide: impl Fn(bool) -> Option<bool>) -> Result<()> {
        let Some(commit_order) = self.lock_row(&key).await? else { return Ok(()) };
        let (value, newer) = self.get(&key, ReadMode::Current).await?;
        match self.own_value(&key, ReadMode::Current) {
            Some(own) if own != value => self.fail(format!("{key:?}: own write {own:?} is now {value:?}")),
            Some(_) => {}
            None => {
                self.note_read(
                    ReadMode::Current,
                    commit_order,
                    Seen::Point { key: key.clone(), value, newer: Some(newer) },
                );
                if self.txn.isolation() != Isolation::ReadCommitted {
                    let (before, _) = self.get(&key, ReadMode::Snapshot).await?;
                    // A row that the snapshot saw and that is gone is newer, whatever `newer` says.
                    if newer || before != value {
                        return Err(Error::new(
                            SqlState::SERIALIZATION_FAILURE,
                            "could not serialize access",
                        ));
                    }
                }
            }
        }
        let Some(puts) = decide(value.is_some()) else { return Ok(()) };
        if self.txn.wants_relief() {
            self.txn.relieve(&self.cx).await?;
        }
        self.write_count += 1;
        let id = ValueId(self.number << 16 | self.write_count);
        if puts {
            let bytes = rows::value(id, &key.1, rows::draw_len(&mut self.rng, mix));
            self.txn.put(key.0, &key.1, &bytes)?;
        } else {
            self.txn.delete(key.0, &key.1)?;
        }
        self.own.push(OwnWrite { statement: self.statement, key, value: puts.then_some(id) });
        Ok(())
    }

    /// How many commits had been asked for when the lock was granted; `None` when it was skipped.
    async fn lock_row(&mut self, key: &Key) -> Result<Option<u64>> {
        if let Some((_, commit_order)) = self.locked.iter().find(|(locked, _)| locked == key) {
            return Ok(Some(*commit_order));
        }
        let mode = *self.rng.pick(&[RowLock::Update, RowLock::NoKeyUpdate]);
        if self.rng.chance(1, 8) {
            // An upgrade, which goes to the head of the queue.
            let weaker = *self.rng.pick(&[RowLock::KeyShare, RowLock::Share]);
            if !self.txn.lock(&self.cx, key.0, &key.1, weaker, Wait::Block).await? {
                self.fail("a lock that waits was skipped".into());
            }
        }
        let granted = self.txn.try_lock(key.0, &key.1, mode)? || {
            let wait = self.draw_wait();
            self.txn.lock(&self.cx, key.0, &key.1, mode, wait).await?
        };
        if !granted {
            return Ok(None);
        }
        let commit_order = lock(&self.shared.log).history.commit_count;
        self.locked.push((key.clone(), commit_order));
        Ok(Some(commit_order))
    }

    fn draw_wait(&mut self) -> Wait {
        if !self.rng.chance(self.shared.mix.nowait_per_mille, 1000) {
            return Wait::Block;
        }
        *self.rng.pick(&[Wait::Nowait, Wait::Skip])
    }

    async fn get(&mut self, key: &Key, mode: ReadMode) -> Result<(Option<ValueId>, bool)> {
        loop {
            let mut value = None;
            let lookup =
                self.txn.get(key.0, &key.1, mode, &mut |bytes| value = Some(rows::decode(&key.1, bytes)))?;
            let newer = match lookup {
                Lookup::Missing(page) => {
                    self.txn.load(&self.cx, page).await?;
                    continue;
                }
                Lookup::Found { newer } => newer,
                Lookup::Absent { newer } => newer,
            };
            if matches!(lookup, Lookup::Found { .. }) != value.is_some() {
                self.fail(format!("{key:?}: {lookup:?}, but the value was handed over: {}", value.is_some()));
            }
            let value = value.transpose().unwrap_or_else(|wrong| {
                self.fail(wrong);
                None
            });
            return Ok((value, newer));
        }
    }

    async fn range_read(&mut self, tree: TreeId, mix: &Mix) -> Result<()> {
        let bound = |rng: &mut Rng| match rng.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(rows::draw_key(rng, tree, mix)),
            _ => Bound::Excluded(rows::draw_key(rng, tree, mix)),
        };
        let mut range = KeyRange { start: bound(&mut self.rng), end: bound(&mut self.rng) };
        let reverse = self.rng.chance(1, 3);
        let limit = if self.rng.chance(1, 4) { self.rng.range(1..6) as usize } else { usize::MAX };
        let mut sink = Collect { rows: vec![], batch: self.rng.range(1..20) as usize, room: 0 };
        let mut scan = self.txn.scan(tree, range.clone(), ReadMode::Snapshot, reverse)?;
        let mut more = true;
        while more && sink.rows.len() < limit {
            sink.room = sink.batch;
            more = scan.next_batch(&self.cx, &mut sink).await?;
            // Time for others to commit between the batches of one scan.
            if self.rng.chance(1, 8) {
                self.cx.yield_now().await;
            }
        }
        drop(scan);
        let mut found = sink.rows;
        if let (true, Some((last, _))) = (more, found.last()) {
            // Not read to its end: what was read is complete up to the last row.
            let last = Bound::Included(last.clone());
            if reverse { range.start = last } else { range.end = last }
        }
        if reverse {
            found.reverse();
        }
        self.note_range(tree, range, found);
        Ok(())
    }

    /// Compares own writes with the rows, and notes the others.
    fn note_range(&mut self, tree: TreeId, range: KeyRange, found: Vec<(Vec<u8>, Vec<u8>)>) {
        let mut own: BTreeMap<Vec<u8>, Option<ValueId>> = BTreeMap::new();
        for write in self.own.iter().filter(|it| it.statement < self.statement) {
            if write.key.0 == tree && range.contains(&write.key.1) {
                own.insert(write.key.1.clone(), write.value);
            }
        }
        let mut rows = vec![];
        let mut own_found = BTreeMap::new();
        for (key, bytes) in found {
            match rows::decode(&key, &bytes) {
                _ if !range.contains(&key) => self.fail(format!("a scan of {range:?} gave {key:?}")),
                Err(wrong) => self.fail(wrong),
                Ok(value) if own.contains_key(&key) => drop(own_found.insert(key, value)),
                Ok(value) => rows.push((key, value)),
            }
        }
        for (key, value) in &own {
            if own_found.get(key) != value.as_ref() {
                self.fail(format!("own write {value:?} of {key:?} scans as {:?}", own_found.get(key)));
            }
        }
        let own = own.into_keys().collect();
        self.note_read(ReadMode::Snapshot, 0, Seen::Range { tree, range, rows, own });
    }

    /// The own write that a read in this statement must see, if there is one.
    fn own_value(&self, key: &Key, mode: ReadMode) -> Option<Option<ValueId>> {
        let is_seen = |own: &&OwnWrite| mode == ReadMode::Current || own.statement < self.statement;
        self.own.iter().filter(is_seen).rfind(|own| own.key == *key).map(|own| own.value)
    }

    fn note_read(&self, mode: ReadMode, commit_order: u64, seen: Seen) {
        let statement = self.statement - 1;
        self.with_record(|record| record.reads.push(Read { statement, mode, commit_order, seen }));
    }

    fn with_record(&self, change: impl FnOnce(&mut TxnRecord)) {
        change(&mut lock(&self.shared.log).history.txns[self.record]);
    }

    fn fail(&self, what: String) {
        let what = format!("transaction {} ({:?}): {what}", self.number, self.txn.isolation());
        lock(&self.shared.log).failures.push(what);
    }
}

struct Collect {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    batch: usize,
    room: usize,
}

impl RowSink for Collect {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = vec![];
            row.key_into(&mut key);
            self.rows.push((key, row.value.to_vec()));
        }
        self.room = self.room.saturating_sub(rows.len());
        Ok(if self.room == 0 { Flow::Full } else { Flow::More })
    }
}

pub(super) fn draw_weighted(rng: &mut Rng, weights: &[u64]) -> usize {
    let mut at = rng.below(weights.iter().sum());
    weights
        .iter()
        .position(|&weight| {
            let here = at < weight;
            at = at.saturating_sub(weight);
            here
        })
        .expect("the sum is the bound")
}

pub(super) fn draw_level(rng: &mut Rng, mix: &Mix) -> Isolation {
    let levels = [Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable];
    levels[draw_weighted(rng, &mix.levels)]
}
