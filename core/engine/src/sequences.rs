//! Reservations of sequence values: identity columns and hidden row ids. A block is reserved by a small transaction of its
//! own and handed out from memory by all sessions, so a crash leaves a gap, never a repeat, and a rolled-back insert
//! leaves one too (as in PostgreSQL).

use crate::database::Inner;
use orrery_base::kv::{Isolation, Lookup, ReadMode, RowLock, Transaction, Wait};
use orrery_base::task::lock;
use orrery_base::{BoxFuture, Cx, Error, Result};
use orrery_sql::catalog::Sequence;
use orrery_sql::ddl::SEQUENCE_VALUES;
use orrery_sql::exec::Environment;
use orrery_sql::functions::exhausted;
use orrery_store::{Txn, TxnOptions};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Reserved blocks by sequence id.
#[derive(Default)]
pub(crate) struct Sequences(Mutex<BTreeMap<u32, Block>>);

#[derive(Clone, Copy)]
struct Block {
    next: i64,
    left: u32,
}

impl Sequences {
    fn take(&self, sequence: &Sequence, count: u32) -> Option<i64> {
        let mut blocks = lock(&self.0);
        let block = blocks.get_mut(&sequence.id).filter(|block| block.left >= count)?;
        let first = block.next;
        block.left -= count;
        block.next = first.wrapping_add(sequence.increment.wrapping_mul(i64::from(count)));
        Some(first)
    }

    fn put(&self, sequence: &Sequence, next: i64, left: u32) {
        lock(&self.0).insert(sequence.id, Block { next, left });
    }

    /// Forgets a block: its sequence was dropped or restarted.
    pub(crate) fn forget(&self, sequence: u32) {
        lock(&self.0).remove(&sequence);
    }

    /// Takes the unused blocks, to give them back at a clean close: sequence id and next value.
    pub(crate) fn take_unused(&self) -> Vec<(u32, i64)> {
        std::mem::take(&mut *lock(&self.0)).into_iter().map(|(id, block)| (id, block.next)).collect()
    }
}

/// What a statement sees of the engine: the sequences of the catalog it was bound under.
pub(crate) struct StatementEnvironment {
    pub(crate) db: Arc<Inner>,
    pub(crate) sequences: BTreeMap<u32, Sequence>,
}

impl Environment for StatementEnvironment {
    fn reserve<'a>(&'a self, cx: &'a Cx, sequence: u32, count: u32) -> BoxFuture<'a, Result<i64>> {
        Box::pin(async move {
            let sequence = self.sequences.get(&sequence);
            let sequence =
                sequence.ok_or_else(|| Error::internal("a statement asked for an unknown sequence"))?;
            if let Some(first) = self.db.sequences.take(sequence, count) {
                return Ok(first);
            }
            reserve_block(&self.db, cx, sequence, count).await
        })
    }

    fn temp_file(&self) -> u64 {
        self.db.next_temp_file()
    }

    fn discard_temp(&self, file: u64) {
        self.db.discard_temp(file);
    }
}

/// Reserves at least `count` values durably. Two sessions that arrive together reserve a block each; the later block
/// replaces the earlier one's rest, which becomes a gap.
async fn reserve_block(db: &Arc<Inner>, cx: &Cx, sequence: &Sequence, count: u32) -> Result<i64> {
    let options = TxnOptions { isolation: Isolation::ReadCommitted, read_only: false };
    let txn = db.store.begin(options, cx.now())?;
    let key = sequence.id.to_be_bytes();
    txn.lock(cx, SEQUENCE_VALUES, &key, RowLock::Update, Wait::Block).await?;
    let first = read_value(&txn, cx, &key).await?.unwrap_or(sequence.start);
    let end = |count: u32| {
        i64::from(count).checked_mul(sequence.increment).and_then(|span| first.checked_add(span))
    };
    // Near the end of all numbers a block is what was asked for.
    let whole = count.max(sequence.cache).max(1);
    let block = if end(whole).is_some() { whole } else { count };
    let limit = if sequence.increment < 0 { i64::MIN } else { i64::MAX };
    let end = end(block).ok_or_else(|| exhausted(limit))?;
    txn.put(SEQUENCE_VALUES, &key, &end.to_le_bytes())?;
    txn.commit(cx).await?;
    let rest = first + i64::from(count) * sequence.increment;
    db.sequences.put(sequence, rest, block - count);
    Ok(first)
}

/// Gives unused values back (clean close): the next open goes on without a gap.
pub(crate) async fn give_back(db: &Arc<Inner>, cx: &Cx) -> Result<()> {
    let unused = db.sequences.take_unused();
    if unused.is_empty() {
        return Ok(());
    }
    let options = TxnOptions { isolation: Isolation::ReadCommitted, read_only: false };
    let txn = db.store.begin(options, cx.now())?;
    for (id, next) in unused {
        let key = id.to_be_bytes();
        txn.lock(cx, SEQUENCE_VALUES, &key, RowLock::Update, Wait::Block).await?;
        // A sequence dropped meanwhile has no value row any more; do not bring one back.
        if read_value(&txn, cx, &key).await?.is_some() {
            txn.put(SEQUENCE_VALUES, &key, &next.to_le_bytes())?;
        }
    }
    txn.commit(cx).await.map(drop)
}

async fn read_value(txn: &Arc<Txn>, cx: &Cx, key: &[u8]) -> Result<Option<i64>> {
    loop {
        let mut value = None;
        let found = txn.get(SEQUENCE_VALUES, key, ReadMode::Current, &mut |bytes| {
            value = <[u8; 8]>::try_from(bytes).ok().map(i64::from_le_bytes);
        })?;
        match found {
            Lookup::Missing(page) => txn.load(cx, page).await?,
            Lookup::Absent { .. } => return Ok(None),
            Lookup::Found { .. } => {
                return value
                    .map(Some)
                    .ok_or_else(|| Error::corrupt("a sequence's value is not eight bytes"));
            }
        }
    }
}
