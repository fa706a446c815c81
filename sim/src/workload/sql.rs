//! Random SQL over the engine: reads by primary key, by range, by secondary and by unique index; UPDATE, INSERT and
//! DELETE of one row or several; savepoints; statements in and outside of transaction blocks, at three levels.
//!
//! What the session knows for sure it checks on the spot; the rest it writes into the history. The order of commits is
//! noted where the store is asked for one (the probe `commit: asked for`), which is inside a statement when that is a
//! transaction of its own.

use crate::history::{Key, Outcome, Predicate, Read, Seen, Statement, TxnRecord, ValueId};
use crate::knobs::Mix;
use crate::workload::kv::{self, Shared, draw_weighted};
use crate::workload::tables::{self, COLUMNS, Row};
use orrery_base::kv::{Isolation, KeyRange, ReadMode};
use orrery_base::rng::Rng;
use orrery_base::task::{Task, lock};
use orrery_base::{Cx, Error, Result, SqlState, Timestamp};
use orrery_engine::sql::columns::datum_at;
use orrery_engine::sql::datum::Datum;
use orrery_engine::{Execution, PointStep, Prepared, Session};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Runs one transaction to its end. `number` is unique in the seed and grows.
pub async fn transaction(cx: Cx, shared: Arc<Shared>, session: u64, number: u64, mut rng: Rng) {
    let isolation = kv::draw_level(&mut rng, &shared.mix);
    let floor = lock(&shared.log).history.newest_acked;
    let record = lock(&shared.log).history.begin(TxnRecord::new(number, session, isolation));
    let db = shared.db.as_ref().expect("the world has an engine");
    let session = db.session();
    let in_block = rng.chance(3, 4);
    let mix = shared.mix.clone();
    let mut client = Client {
        cx,
        shared,
        session,
        mix,
        in_block,
        isolation,
        number,
        record,
        floor,
        rng,
        own: vec![],
        savepoints: vec![],
        write_count: 0,
    };
    let outcome = client.run().await;
    client.with_record(|record| record.outcome = outcome);
}

struct OwnWrite {
    key: Key,
    value: Option<ValueId>,
}

struct Client {
    cx: Cx,
    shared: Arc<Shared>,
    session: Session,
    mix: Mix,
    /// Between BEGIN and COMMIT; else each statement is a transaction.
    in_block: bool,
    isolation: Isolation,
    number: u64,
    record: usize,
    floor: Timestamp,
    rng: Rng,
    own: Vec<OwnWrite>,
    /// For each savepoint, how many own writes there were.
    savepoints: Vec<usize>,
    write_count: u64,
}

/// What a statement gave.
struct Answer {
    rows: Vec<Vec<Datum>>,
    row_count: u64,
}

impl Client {
    async fn run(&mut self) -> Outcome {
        match self.run_to_end().await {
            Ok(outcome) => outcome,
            Err(error) => {
                kv::note_error(&self.shared, "statement", &error);
                let outcome = match error.code() {
                    SqlState::TRANSACTION_RESOLUTION_UNKNOWN => Outcome::Unknown,
                    _ => Outcome::RolledBack,
                };
                // Known from now on: the world may end during the pause.
                self.with_record(|record| record.outcome = outcome);
                if error.code() == SqlState::CANNOT_CONNECT_NOW || error.code() == SqlState::IO_ERROR {
                    // A store that refuses everything must not spin: time passes between attempts.
                    kv::pause(&self.cx, 1_000).await;
                }
                outcome
            }
        }
    }

    async fn run_to_end(&mut self) -> Result<Outcome> {
        let level = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"][self.isolation as usize];
        if !self.in_block {
            self.control(&format!("SET default_transaction_isolation = '{level}'")).await?;
            self.statement().await?;
            let at = match self.own.is_empty() {
                true => self.session.last_snapshot(),
                false => self.session.last_commit(),
            };
            return Ok(self.committed(at));
        }
        self.control(&format!("BEGIN ISOLATION LEVEL {level}")).await?;
        let statement_count = self.rng.range(1..self.mix.statement_count_max * 2 + 1);
        for _ in 0..statement_count {
            if self.rng.chance(1, 2) {
                // A statement whose pages are in memory never waits: time for others between two.
                self.cx.yield_now().await;
            }
            self.maybe_savepoint().await?;
            if let Err(error) = self.statement().await {
                if self.savepoints.is_empty() || self.rng.chance(1, 2) {
                    self.control("ROLLBACK").await?;
                    return Err(error);
                }
                kv::note_error(&self.shared, "statement", &error);
                self.roll_back_to().await?;
            }
        }
        if self.rng.chance(self.mix.rollback_per_mille, 1000) {
            self.control("ROLLBACK").await?;
            return Ok(Outcome::RolledBack);
        }
        self.commit().await
    }

    async fn commit(&mut self) -> Result<Outcome> {
        let mut writes = BTreeMap::new();
        for own in self.own.drain(..) {
            writes.insert(own.key, own.value);
        }
        let is_empty = writes.is_empty();
        let snapshot = self.session.last_snapshot();
        let poisoned = self.shared.store.is_poisoned() && lock(&self.shared.legal).sync_failed;
        self.with_record(|record| record.writes = writes);
        self.control("COMMIT").await?;
        if poisoned && !is_empty {
            self.fail("a commit was acknowledged by a poisoned store".into());
        }
        let at = if is_empty { snapshot } else { self.session.last_commit() };
        Ok(self.committed(at))
    }

    fn committed(&mut self, at: Option<Timestamp>) -> Outcome {
        let Some(at) = at else { return Outcome::RolledBack };
        let history = &mut lock(&self.shared.log).history;
        history.newest_acked = at.max(history.newest_acked);
        Outcome::Committed(at)
    }

    async fn maybe_savepoint(&mut self) -> Result<()> {
        if self.rng.chance(self.mix.savepoint_per_mille, 1000) {
            self.control(&format!("SAVEPOINT s{}", self.savepoints.len())).await?;
            self.savepoints.push(self.own.len());
        } else if !self.savepoints.is_empty() && self.rng.chance(self.mix.rollback_to_per_mille, 1000) {
            self.roll_back_to().await?;
        }
        Ok(())
    }

    async fn roll_back_to(&mut self) -> Result<()> {
        let keep = self.rng.below(self.savepoints.len() as u64) as usize;
        self.control(&format!("ROLLBACK TO SAVEPOINT s{keep}")).await?;
        self.savepoints.truncate(keep + 1);
        self.own.truncate(self.savepoints[keep]);
        Ok(())
    }

    /// Reads a relation of the running database, which is of no snapshot. What it shows decides how long the client pauses, so two runs
    /// that show different things have different traces.
    async fn watch(&mut self) -> Result<()> {
        let name =
            *self.rng.pick(&["checkpoints", "locks", "memory", "settings", "statements", "tree_statistics"]);
        let prepared = self.session.prepare(&format!("SELECT * FROM orrery.{name}"))?;
        let task = self.session.execute(&prepared, vec![]);
        if let Execution::Rows(rows) = self.tracked(task).await? {
            let rows = self.collect(rows).await?.rows;
            let hash = orrery_base::hash::hash64(0, format!("{rows:?}").as_bytes());
            kv::pause(&self.cx, hash % 64).await;
        }
        Ok(())
    }

    async fn statement(&mut self) -> Result<()> {
        lock(&self.shared.log).op_count += 1;
        if self.mix.watch_per_mille > 0 && self.rng.chance(self.mix.watch_per_mille, 1000) {
            self.watch().await?;
        }
        let table = self.rng.below(self.mix.tree_count);
        // Outside of a block only what is known beforehand can be told from its traces after a crash.
        let kinds = if self.in_block { 10 } else { 7 };
        let [get, scan, update, insert, delete, modify] = self.mix.weights;
        let weights = [get, scan, scan, 1, update, insert, delete, modify, scan.min(update), 1];
        match draw_weighted(&mut self.rng, &weights[..kinds]) {
            0 => self.point_read(table).await,
            1 => self.range_read(table).await,
            2 => self.index_read(table).await,
            3 => self.unique_read(table).await,
            4 => self.update_point(table).await,
            5 => self.insert(table).await,
            6 => self.delete_point(table).await,
            7 => self.update_returning(table).await,
            8 => self.update_several(table).await,
            _ => self.delete_several(table).await,
        }
    }

    // ---- Reads.

    async fn point_read(&mut self, table: u64) -> Result<()> {
        let id = self.draw_id();
        let text = format!("SELECT {COLUMNS} FROM t{table} WHERE id = $1");
        let answer = self.query(&text, vec![Datum::Int8(id)]).await?;
        let key = tables::key(tables::table_id(table), id);
        let rows = self.rows(table, &answer);
        let value = rows.first().map(|row| row.value);
        if rows.len() > 1 || rows.iter().any(|row| row.id != id) {
            self.fail(format!("{key:?} reads as {rows:?}"));
        }
        match self.own_value(&key) {
            Some(own) if own != value => self.fail(format!("{key:?}: own write {own:?} reads as {value:?}")),
            Some(_) => {}
            None => self.note_read(ReadMode::Snapshot, Seen::Point { key, value, newer: None }),
        }
        Ok(())
    }

    async fn range_read(&mut self, table: u64) -> Result<()> {
        let (low, high) = self.draw_range();
        let order = ["", " ORDER BY id", " ORDER BY id DESC"][self.rng.below(3) as usize];
        let text = format!("SELECT {COLUMNS} FROM t{table} WHERE id >= $1 AND id <= $2{order}");
        let answer = self.query(&text, vec![Datum::Int8(low), Datum::Int8(high)]).await?;
        let mut rows = self.rows(table, &answer);
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let in_order = match order {
            "" => true,
            " ORDER BY id" => ids.is_sorted(),
            _ => ids.is_sorted_by(|one, other| one >= other),
        };
        if !in_order {
            self.fail(format!("rows out of order{order}: {ids:?}"));
        }
        rows.sort_by_key(|row| row.id);
        self.check_unique(&rows);
        self.note_range(table, (low, high), rows.iter().map(|row| (row.id, row.value)).collect());
        Ok(())
    }

    async fn index_read(&mut self, table: u64) -> Result<()> {
        let low = self.rng.below(tables::K_COUNT) as i64;
        let high = if self.rng.chance(1, 2) { low } else { low + self.rng.below(4) as i64 };
        let (text, params) = if low == high {
            (format!("SELECT {COLUMNS} FROM t{table} WHERE k = $1"), vec![Datum::Int8(low)])
        } else {
            let text = format!("SELECT {COLUMNS} FROM t{table} WHERE k >= $1 AND k <= $2 ORDER BY k");
            (text, vec![Datum::Int8(low), Datum::Int8(high)])
        };
        let answer = self.query(&text, params).await?;
        self.note_where(table, Predicate::K(low, high), &answer);
        Ok(())
    }

    async fn unique_read(&mut self, table: u64) -> Result<()> {
        let u = self.rng.below(self.unique_count()) as i64;
        let text = format!("SELECT {COLUMNS} FROM t{table} WHERE u = $1");
        let answer = self.query(&text, vec![Datum::Int8(u)]).await?;
        if answer.rows.len() > 1 {
            self.fail(format!("u = {u} is unique, and yet: {:?}", answer.rows));
        }
        self.note_where(table, Predicate::U(u), &answer);
        Ok(())
    }

    // ---- Writes.

    /// The usual UPDATE, which may run without a plan's operators; what it replaced is seen later, in `prev`.
    async fn update_point(&mut self, table: u64) -> Result<()> {
        let (id, value) = (self.draw_id(), self.draw_value(true));
        let key = tables::key(tables::table_id(table), id);
        let text = format!("UPDATE t{table} SET prev = v, v = $2, k = $3, u = $4, p = $5 WHERE id = $1");
        self.announce(&key, Some(value));
        let params = self.row_params(id, value);
        let answer = self.change(&text, params).await?;
        self.note_found(&key, answer.row_count, Some(value));
        Ok(())
    }

    async fn delete_point(&mut self, table: u64) -> Result<()> {
        let id = self.draw_id();
        let key = tables::key(tables::table_id(table), id);
        self.announce(&key, None);
        let answer =
            self.change(&format!("DELETE FROM t{table} WHERE id = $1"), vec![Datum::Int8(id)]).await?;
        self.note_found(&key, answer.row_count, None);
        Ok(())
    }

    async fn insert(&mut self, table: u64) -> Result<()> {
        let (id, value) = (self.draw_id(), self.draw_value(true));
        let key = tables::key(tables::table_id(table), id);
        self.announce(&key, Some(value));
        let own = self.own_value(&key);
        // Over an own deletion, the write before is one of this transaction's.
        let previous = own.map_or("NULL".into(), |_| (self.number << 16).to_string());
        let text =
            format!("INSERT INTO t{table} (id, v, prev, k, u, p) VALUES ($1, $2, {previous}, $3, $4, $5)");
        let params = self.row_params(id, value);
        self.change(&text, params).await?;
        match own {
            Some(Some(own)) => self.fail(format!("{key:?}: inserted over the own write {own:?}")),
            Some(None) => {}
            None => {
                self.note_read(ReadMode::Current, Seen::Point { key: key.clone(), value: None, newer: None })
            }
        }
        self.own.push(OwnWrite { key, value: Some(value) });
        Ok(())
    }

    async fn update_returning(&mut self, table: u64) -> Result<()> {
        let (id, value) = (self.draw_id(), self.draw_value(true));
        let text = format!(
            "UPDATE t{table} SET prev = v, v = $2, k = $3, u = $4, p = $5 WHERE id = $1 RETURNING id, prev"
        );
        let params = self.row_params(id, value);
        let answer = self.change(&text, params).await?;
        self.note_changed(table, &answer, Some(value));
        Ok(())
    }

    async fn update_several(&mut self, table: u64) -> Result<()> {
        let value = self.draw_value(false);
        let new = format!(
            "v = {}, k = ({} + id) % {}, u = NULL, p = '{}'",
            value.0,
            value.0 & 0xff,
            tables::K_COUNT,
            tables::p_of(value, &self.mix)
        );
        let (condition, range) = if self.rng.chance(1, 2) {
            let (low, high) = self.draw_range();
            let high = high.min(low + 6);
            (format!("id >= {low} AND id <= {high}"), Some((low, high)))
        } else {
            (format!("k = {}", self.rng.below(tables::K_COUNT)), None)
        };
        let text = format!("UPDATE t{table} SET prev = v, {new} WHERE {condition} RETURNING id, prev");
        let before: Vec<Key> = self.own.iter().map(|own| own.key.clone()).collect();
        let answer = self.change(&text, vec![]).await?;
        let found = self.note_changed(table, &answer, Some(value));
        if let (Some(range), true) = (range, self.isolation != Isolation::ReadCommitted) {
            // One snapshot, and nothing newer: what was changed is what a scan would have given.
            let id = tables::table_id(table);
            let others =
                found.into_iter().filter(|(row, _)| !before.contains(&tables::key(id, *row))).collect();
            self.note_others(table, range, others, before);
        }
        Ok(())
    }

    async fn delete_several(&mut self, table: u64) -> Result<()> {
        let condition = match self.rng.below(2) {
            0 => format!("u = {}", self.rng.below(self.unique_count())),
            _ => format!("k = {}", self.rng.below(tables::K_COUNT)),
        };
        let text = format!("DELETE FROM t{table} WHERE {condition} RETURNING id, v");
        let answer = self.change(&text, vec![]).await?;
        self.note_changed(table, &answer, None);
        Ok(())
    }

    // ---- Drawing.

    fn unique_count(&self) -> u64 {
        tables::unique_count(&self.mix)
    }

    fn draw_id(&mut self) -> i64 {
        self.rng.below(self.mix.key_count).min(self.rng.below(self.mix.key_count)) as i64
    }

    fn draw_range(&mut self) -> (i64, i64) {
        let (one, other) = (self.draw_id(), self.draw_id());
        (one.min(other), one.max(other))
    }

    fn draw_value(&mut self, may_be_unique: bool) -> ValueId {
        self.write_count += 1;
        let low = self.rng.range(if may_be_unique { 0 } else { tables::UNIQUE_BELOW }..256);
        ValueId(self.number << 16 | (self.write_count & 0xff) << 8 | low)
    }

    fn row_params(&self, id: i64, value: ValueId) -> Vec<Datum> {
        vec![
            Datum::Int8(id),
            Datum::Int8(value.0 as i64),
            Datum::Int8(tables::k_of(value, id)),
            tables::u_of(value, self.unique_count()).map_or(Datum::Null, Datum::Int8),
            Datum::Text(tables::p_of(value, &self.mix).into()),
        ]
    }

    // ---- Noting.

    /// Outside of a block, before the statement: what it will leave if it commits and nobody hears of it.
    fn announce(&mut self, key: &Key, value: Option<ValueId>) {
        if !self.in_block {
            self.with_record(|record| record.writes = BTreeMap::from([(key.clone(), value)]));
        }
    }

    /// An UPDATE or DELETE of one row that does not say what it found.
    fn note_found(&mut self, key: &Key, row_count: u64, value: Option<ValueId>) {
        if row_count > 1 {
            self.fail(format!("{key:?}: {row_count} rows have one primary key"));
        }
        match self.own_value(key) {
            Some(own) if own.is_some() != (row_count == 1) => {
                self.fail(format!("{key:?}: own write {own:?}, but {row_count} rows were changed"));
            }
            None if row_count == 0 && self.isolation != Isolation::ReadCommitted => {
                let seen = Seen::Point { key: key.clone(), value: None, newer: None };
                self.note_read(ReadMode::Snapshot, seen);
            }
            _ => {}
        }
        if row_count == 0 {
            return self.announce_nothing();
        }
        self.own.push(OwnWrite { key: key.clone(), value });
    }

    fn announce_nothing(&self) {
        if !self.in_block {
            self.with_record(|record| record.writes.clear());
        }
    }

    /// Rows of `RETURNING id, <the write before>`: each was seen under its lock.
    fn note_changed(&mut self, table: u64, answer: &Answer, value: Option<ValueId>) -> Vec<(i64, ValueId)> {
        let mut found = vec![];
        for row in &answer.rows {
            let [Datum::Int8(id), Datum::Int8(before)] = row[..] else {
                self.fail(format!("RETURNING gave {row:?}"));
                continue;
            };
            let (key, before) = (tables::key(tables::table_id(table), id), ValueId(before as u64));
            match self.own_value(&key) {
                Some(own) if own != Some(before) => {
                    self.fail(format!("{key:?}: own write {own:?} was changed as {before:?}"));
                }
                Some(_) => {}
                None => {
                    let seen = Seen::Point { key: key.clone(), value: Some(before), newer: None };
                    self.note_read(ReadMode::Current, seen.clone());
                    if self.isolation != Isolation::ReadCommitted {
                        self.note_read(ReadMode::Snapshot, seen);
                    }
                }
            }
            found.push((id, before));
            self.own.push(OwnWrite { key, value });
        }
        found.sort_unstable();
        if found.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            self.fail(format!("a statement changed a row twice: {found:?}"));
        }
        found
    }

    /// Decodes rows, and notes for each which write it says it replaced.
    fn rows(&mut self, table: u64, answer: &Answer) -> Vec<Row> {
        let mut rows = vec![];
        for datums in &answer.rows {
            match Row::of(datums, &self.mix) {
                Ok(row) => rows.push(row),
                Err(what) => self.fail(what),
            }
        }
        let history = &mut lock(&self.shared.log).history;
        for row in &rows {
            history.note_previous(tables::key(tables::table_id(table), row.id), row.value, row.previous);
        }
        rows
    }

    fn check_unique(&self, rows: &[Row]) {
        let mut seen = BTreeMap::new();
        for row in rows {
            let Some(u) = tables::u_of(row.value, self.unique_count()) else { continue };
            if let Some(other) = seen.insert(u, row) {
                self.fail(format!("u = {u} is unique, and yet two rows have it: {other:?}, {row:?}"));
            }
        }
    }

    /// Compares own writes with the rows of a range, and notes the others.
    fn note_range(&mut self, table: u64, range: (i64, i64), rows: Vec<(i64, ValueId)>) {
        let id = tables::table_id(table);
        let found: BTreeMap<Key, ValueId> =
            rows.into_iter().map(|(row, value)| (tables::key(id, row), value)).collect();
        let mut own: BTreeMap<Key, Option<ValueId>> = BTreeMap::new();
        for write in &self.own {
            if write.key.0 == id && (range.0..=range.1).contains(&tables::id_of(&write.key.1)) {
                own.insert(write.key.clone(), write.value);
            }
        }
        for (key, value) in &own {
            if found.get(key) != value.as_ref() {
                self.fail(format!("own write {value:?} of {key:?} scans as {:?}", found.get(key)));
            }
        }
        let others = found.iter().filter(|(key, _)| !own.contains_key(*key));
        let others = others.map(|(key, value)| (tables::id_of(&key.1), *value)).collect();
        self.note_others(table, range, others, own.into_keys().collect());
    }

    fn note_others(&mut self, table: u64, range: (i64, i64), rows: Vec<(i64, ValueId)>, own: Vec<Key>) {
        let tree = tables::table_id(table);
        let bytes = |id: i64| id.to_be_bytes().to_vec();
        if let Some((stray, _)) = rows.iter().find(|(id, _)| !(range.0..=range.1).contains(id)) {
            self.fail(format!("a scan of {range:?} gave {stray}"));
        }
        let mut own: Vec<Vec<u8>> = own.into_iter().filter(|key| key.0 == tree).map(|key| key.1).collect();
        own.sort_unstable();
        let range = KeyRange { start: Bound::Included(bytes(range.0)), end: Bound::Included(bytes(range.1)) };
        let rows = rows.into_iter().map(|(id, value)| (bytes(id), value)).collect();
        self.note_read(ReadMode::Snapshot, Seen::Range { tree, range, rows, own });
    }

    /// Rows found by a condition on other columns than the key.
    fn note_where(&mut self, table: u64, predicate: Predicate, answer: &Answer) {
        let tree = tables::table_id(table);
        let rows = self.rows(table, answer);
        let mut own: BTreeMap<Vec<u8>, Option<ValueId>> = BTreeMap::new();
        for write in self.own.iter().filter(|write| write.key.0 == tree) {
            own.insert(write.key.1.clone(), write.value);
        }
        let mut others = vec![];
        for row in &rows {
            let key = tables::key(tree, row.id).1;
            if !predicate.holds(row.id, row.value, self.unique_count()) {
                self.fail(format!("{predicate:?} gave {row:?}"));
            }
            match own.get(&key) {
                None => others.push((key, row.value)),
                Some(own) if *own != Some(row.value) => {
                    self.fail(format!("{predicate:?}: own write {own:?} is found as {row:?}"));
                }
                Some(_) => {}
            }
        }
        for (key, value) in own.iter().filter_map(|(key, value)| Some((key, (*value)?))) {
            let id = tables::id_of(key);
            if predicate.holds(id, value, self.unique_count()) && !rows.iter().any(|row| row.id == id) {
                self.fail(format!("{predicate:?} does not find the own write {value:?} of row {id}"));
            }
        }
        others.sort_unstable();
        if others.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            self.fail(format!("{predicate:?} gave a row twice: {others:?}"));
        }
        let own = own.into_keys().collect();
        self.note_read(ReadMode::Snapshot, Seen::Where { tree, predicate, rows: others, own });
    }

    fn own_value(&self, key: &Key) -> Option<Option<ValueId>> {
        self.own.iter().rfind(|own| own.key == *key).map(|own| own.value)
    }

    /// Notes a read of the statement that just ended.
    fn note_read(&self, mode: ReadMode, seen: Seen) {
        let history = &mut lock(&self.shared.log).history;
        let count = history.commit_count;
        let record = &mut history.txns[self.record];
        // A statement that was a transaction of its own has given its locks back.
        let commit_order = record.commit_order.map_or(count, |order| order.min(count));
        let statement = record.statements.len() - 1;
        record.reads.push(Read { statement, mode, commit_order, seen });
    }

    fn with_record(&self, change: impl FnOnce(&mut TxnRecord)) {
        change(&mut lock(&self.shared.log).history.txns[self.record]);
    }

    fn fail(&self, what: String) {
        let what = format!("transaction {} ({:?}): {what}", self.number, self.isolation);
        lock(&self.shared.log).failures.push(what);
    }

    // ---- Running.

    async fn control(&mut self, text: &str) -> Result<()> {
        let prepared = self.session.prepare(text)?;
        let task = self.session.execute(&prepared, vec![]);
        self.tracked(task).await.map(drop)
    }

    /// Runs a query, perhaps on the short path.
    async fn query(&mut self, text: &str, params: Vec<Datum>) -> Result<Answer> {
        self.run_statement(text, params, true).await
    }

    async fn change(&mut self, text: &str, params: Vec<Datum>) -> Result<Answer> {
        self.run_statement(text, params, false).await
    }

    async fn run_statement(&mut self, text: &str, params: Vec<Datum>, is_query: bool) -> Result<Answer> {
        let floor = match self.isolation {
            Isolation::ReadCommitted => lock(&self.shared.log).history.newest_acked,
            _ => self.floor,
        };
        let prepared = self.session.prepare(text)?;
        let short = self.in_block && self.rng.chance(1, 2);
        let answer = match if short { self.run_point(&prepared, &params).await? } else { None } {
            Some(answer) => answer,
            None => {
                let task = self.session.execute(&prepared, params);
                match self.tracked(task).await? {
                    Execution::Done(tag) => Answer { rows: vec![], row_count: tag.row_count.unwrap_or(0) },
                    Execution::Rows(rows) => self.collect(rows).await?,
                }
            }
        };
        if is_query && answer.row_count != answer.rows.len() as u64 {
            self.fail(format!("{} rows are counted as {}", answer.rows.len(), answer.row_count));
        }
        let Some(snapshot) = self.session.last_snapshot() else {
            return Err(Error::internal("a statement without a snapshot"));
        };
        self.with_record(|record| record.statements.push(Statement { snapshot, floor }));
        Ok(answer)
    }

    /// The path without tasks (`Session::point`); `None` when it leaves the statement to the general one.
    async fn run_point(&mut self, prepared: &Arc<Prepared>, params: &[Datum]) -> Result<Option<Answer>> {
        let now = self.cx.now();
        loop {
            let mut rows = vec![];
            let step = self.session.point(prepared, params, &|| now, &mut |row| {
                rows.push((0..row.column_count()).map(|index| row.value(index).map(Datum::from)).collect());
            });
            match step {
                PointStep::Done(row_count) => {
                    let rows = rows.into_iter().collect::<Result<Vec<Vec<Datum>>>>()?;
                    return Ok(Some(Answer { rows, row_count }));
                }
                PointStep::Load(task) => self.cx.run(task).await?,
                PointStep::General => return Ok(None),
            }
        }
    }

    async fn collect(&mut self, mut rows: orrery_engine::Rows) -> Result<Answer> {
        let types: Vec<_> = rows.fields().iter().map(|field| field.ty).collect();
        let mut all = vec![];
        loop {
            let (rest, batch) = self.cx.run(rows.next_batch()).await?;
            rows = rest;
            let Some(batch) = batch else { break };
            for row in 0..batch.row_count {
                let columns = batch.columns.iter().zip(&types);
                let datums = columns.map(|(column, &ty)| datum_at(&**column, ty, row));
                all.push(datums.collect::<Result<Vec<Datum>>>()?);
            }
        }
        Ok(Answer { row_count: rows.tag().row_count.unwrap_or(0), rows: all })
    }

    /// Runs a task and notes when it asks the store for a commit.
    async fn tracked<T>(&self, task: Task<T>) -> T {
        let world = self.cx.world();
        let mut running = std::pin::pin!(self.cx.run(task));
        std::future::poll_fn(|context| {
            let before = world.probe_count(COMMIT_PROBE);
            let answer = running.as_mut().poll(context);
            if world.probe_count(COMMIT_PROBE) > before {
                let history = &mut lock(&self.shared.log).history;
                let order = history.commit_count;
                history.commit_count += 1;
                history.txns[self.record].commit_order.get_or_insert(order);
            }
            answer
        })
        .await
    }
}

/// Reached in the poll in which a transaction asks for its commit, all its locks held.
const COMMIT_PROBE: &str = "commit: asked for";
