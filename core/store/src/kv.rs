//! A typed key-value interface: a [`Map`] is a user tree whose keys and values have Rust types.
//!
//! ```
//! # use orrery_store::kv::Map;
//! # use orrery_base::TreeId;
//! let ages: Map<String, u64> = Map::new(TreeId::FIRST_USER);
//! # let _ = ages;
//! // With a context `cx` and a transaction `txn`:
//! //   ages.put(cx, txn, &"Ada".to_string(), &36).await?;
//! //   assert_eq!(ages.get(cx, txn, &"Ada".to_string()).await?, Some(36));
//! ```
//!
//! Writes lock their row first, so they behave like SQL's under every isolation level: under the higher ones a row that
//! changed since the snapshot is 40001.

use crate::store::Store;
use crate::txn::Txn;
use crate::{TxnOptions, options};
use orrery_base::kv::{
    Flow, Isolation, KeyRange, Lookup, ReadMode, RowLock, RowRef, RowSink, SINK_ROW_COUNT_MAX, Transaction,
    Wait,
};
use orrery_base::{Cx, Error, Result, SqlState, Timestamp, TreeId};
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

/// A type with an order-preserving encoding.
pub trait Key: Sized + Send + Sync {
    /// Appends the encoding: bytes compare as keys do.
    fn encode(&self, into: &mut Vec<u8>);
    /// Reads it back. Errors: XX001.
    fn decode(bytes: &[u8]) -> Result<Self>;
}

/// A type with an encoding.
pub trait Value: Sized + Send {
    /// Appends the encoding.
    fn encode(&self, into: &mut Vec<u8>);
    /// Reads it back. Errors: XX001.
    fn decode(bytes: &[u8]) -> Result<Self>;
}

fn wrong_type() -> Error {
    Error::corrupt("stored bytes do not have the type asked for")
}

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl Key for $type {
            fn encode(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(&self.to_be_bytes());
            }
            fn decode(bytes: &[u8]) -> Result<Self> {
                bytes.try_into().map(<$type>::from_be_bytes).map_err(|_| wrong_type())
            }
        }
        impl Value for $type {
            fn encode(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(&self.to_le_bytes());
            }
            fn decode(bytes: &[u8]) -> Result<Self> {
                bytes.try_into().map(<$type>::from_le_bytes).map_err(|_| wrong_type())
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64, u128);

macro_rules! signed {
    ($($type:ty as $unsigned:ty),*) => {$(
        impl Key for $type {
            fn encode(&self, into: &mut Vec<u8>) {
                let flipped = (*self as $unsigned) ^ (1 << (<$unsigned>::BITS - 1));
                into.extend_from_slice(&flipped.to_be_bytes());
            }
            fn decode(bytes: &[u8]) -> Result<Self> {
                let flipped = bytes.try_into().map(<$unsigned>::from_be_bytes).map_err(|_| wrong_type())?;
                Ok((flipped ^ (1 << (<$unsigned>::BITS - 1))) as $type)
            }
        }
        impl Value for $type {
            fn encode(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(&self.to_le_bytes());
            }
            fn decode(bytes: &[u8]) -> Result<Self> {
                bytes.try_into().map(<$type>::from_le_bytes).map_err(|_| wrong_type())
            }
        }
    )*};
}

signed!(i32 as u32, i64 as u64);

macro_rules! bytes {
    ($($type:ty, $from:expr;)*) => {$(
        impl Key for $type {
            fn encode(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(self.as_ref());
            }
            fn decode(bytes: &[u8]) -> Result<Self> {
                $from(bytes.to_vec())
            }
        }
        impl Value for $type {
            fn encode(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(self.as_ref());
            }
            fn decode(bytes: &[u8]) -> Result<Self> {
                $from(bytes.to_vec())
            }
        }
    )*};
}

bytes! {
    Vec<u8>, Ok;
    String, |bytes| String::from_utf8(bytes).map_err(|_| wrong_type());
}

/// A tree with typed keys and values. The tree's number is all it holds.
pub struct Map<K, V> {
    tree: TreeId,
    types: PhantomData<fn(K, V)>,
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Map<K, V> {}

impl<K: Key, V: Value> Map<K, V> {
    /// The map in this tree.
    pub fn new(tree: TreeId) -> Self {
        Map { tree, types: PhantomData }
    }

    /// The value of `key`.
    pub async fn get(&self, cx: &Cx, txn: &Txn, key: &K) -> Result<Option<V>> {
        let key = encoded(key);
        let mut value = None;
        self.look_up(cx, txn, &key, ReadMode::Snapshot, &mut |bytes| value = Some(V::decode(bytes))).await?;
        value.transpose()
    }

    /// Whether `key` is there.
    pub async fn exists(&self, cx: &Cx, txn: &Txn, key: &K) -> Result<bool> {
        let lookup = self.look_up(cx, txn, &encoded(key), ReadMode::Snapshot, &mut |_| {}).await?;
        Ok(matches!(lookup, Lookup::Found { .. }))
    }

    /// Sets the value of `key`.
    pub async fn put(&self, cx: &Cx, txn: &Txn, key: &K, value: &V) -> Result<()> {
        let key = encoded(key);
        self.lock_newest(cx, txn, &key).await?;
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        if txn.wants_relief() {
            txn.relieve(cx).await?;
        }
        txn.put(self.tree, &key, &bytes)?;
        txn.begin_own_statement()
    }

    /// Removes `key`; answers whether it was there.
    pub async fn delete(&self, cx: &Cx, txn: &Txn, key: &K) -> Result<bool> {
        let key = encoded(key);
        let existed = self.lock_newest(cx, txn, &key).await?;
        if existed {
            if txn.wants_relief() {
                txn.relieve(cx).await?;
            }
            txn.delete(self.tree, &key)?;
            txn.begin_own_statement()?;
        }
        Ok(existed)
    }

    /// The pairs from `start` (included) to `end` (excluded), at most `limit`, in key order or backwards.
    pub async fn range(
        &self,
        cx: &Cx,
        txn: &Txn,
        range: (Bound<K>, Bound<K>),
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(K, V)>> {
        let range =
            KeyRange { start: range.0.map(|key| encoded(&key)), end: range.1.map(|key| encoded(&key)) };
        self.collect(cx, txn, range, reverse, limit).await
    }

    /// The pairs whose encoded key begins with `prefix`, at most `limit`.
    pub async fn prefix(&self, cx: &Cx, txn: &Txn, prefix: &[u8], limit: usize) -> Result<Vec<(K, V)>> {
        self.collect(cx, txn, KeyRange::prefix(prefix), false, limit).await
    }

    async fn collect(
        &self,
        cx: &Cx,
        txn: &Txn,
        range: KeyRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(K, V)>> {
        let mut sink = Pairs { pairs: Vec::new(), limit };
        let mut scan = txn.scan(self.tree, range, ReadMode::Snapshot, reverse)?;
        while sink.pairs.len() < limit && scan.next_batch(cx, &mut sink).await? {}
        sink.pairs.truncate(limit);
        sink.pairs.iter().map(|(key, value)| Ok((K::decode(key)?, V::decode(value)?))).collect()
    }

    /// Locks the row; answers whether its newest version exists. Errors: 40001 when it changed since the snapshot of a
    /// higher level.
    async fn lock_newest(&self, cx: &Cx, txn: &Txn, key: &[u8]) -> Result<bool> {
        if !txn.try_lock(self.tree, key, RowLock::Update)? {
            txn.lock(cx, self.tree, key, RowLock::Update, Wait::Block).await?;
        }
        let lookup = self.look_up(cx, txn, key, ReadMode::Current, &mut |_| {}).await?;
        let (exists, newer) = match lookup {
            Lookup::Found { newer } => (true, newer),
            Lookup::Absent { newer } => (false, newer),
            Lookup::Missing(_) => unreachable!("missing pages are loaded"),
        };
        if txn.isolation() == Isolation::ReadCommitted {
            return Ok(exists);
        }
        // A checkpoint may have dropped the tombstone: what the snapshot sees and the newest version does not is gone.
        let mut is_gone = false;
        if !exists && !newer && !txn.has_deleted(self.tree, key) {
            let seen = self.look_up(cx, txn, key, ReadMode::Snapshot, &mut |_| {}).await?;
            is_gone = matches!(seen, Lookup::Found { .. });
        }
        if newer || is_gone {
            return Err(Error::new(
                SqlState::SERIALIZATION_FAILURE,
                "could not serialize access due to concurrent update",
            ));
        }
        Ok(exists)
    }

    async fn look_up(
        &self,
        cx: &Cx,
        txn: &Txn,
        key: &[u8],
        mode: ReadMode,
        found: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Lookup> {
        loop {
            match txn.get(self.tree, key, mode, found)? {
                Lookup::Missing(page) => txn.load(cx, page).await?,
                lookup => return Ok(lookup),
            }
        }
    }
}

impl Store {
    /// Sets one value in a transaction of its own.
    pub async fn put_one<K: Key, V: Value>(
        self: &Arc<Self>,
        cx: &Cx,
        map: Map<K, V>,
        key: &K,
        value: &V,
    ) -> Result<Timestamp> {
        let txn = self.begin(options::TxnOptions::default(), cx.now())?;
        map.put(cx, &txn, key, value).await?;
        txn.commit(cx).await
    }

    /// Reads one value in a transaction of its own.
    pub async fn get_one<K: Key, V: Value>(
        self: &Arc<Self>,
        cx: &Cx,
        map: Map<K, V>,
        key: &K,
    ) -> Result<Option<V>> {
        let txn = self.begin(TxnOptions { read_only: true, ..TxnOptions::default() }, cx.now())?;
        map.get(cx, &txn, key).await
    }

    /// Removes one key in a transaction of its own; answers whether it was there.
    pub async fn delete_one<K: Key, V: Value>(
        self: &Arc<Self>,
        cx: &Cx,
        map: Map<K, V>,
        key: &K,
    ) -> Result<bool> {
        let txn = self.begin(TxnOptions::default(), cx.now())?;
        let existed = map.delete(cx, &txn, key).await?;
        txn.commit(cx).await?;
        Ok(existed)
    }
}

fn encoded(key: &impl Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    bytes
}

struct Pairs {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    limit: usize,
}

impl RowSink for Pairs {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        debug_assert!(rows.len() <= SINK_ROW_COUNT_MAX, "a batch keeps its limit");
        for row in rows {
            let mut key = Vec::new();
            row.key_into(&mut key);
            self.pairs.push((key, row.value.to_vec()));
        }
        Ok(if self.pairs.len() >= self.limit { Flow::Full } else { Flow::More })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_keys_sort_as_numbers() {
        let mut keys: Vec<Vec<u8>> = [5i64, -1, i64::MIN, i64::MAX, 0].iter().map(encoded).collect();
        keys.sort();
        let back: Vec<i64> = keys.iter().map(|key| Key::decode(key).expect("eight bytes")).collect();
        assert_eq!(back, [i64::MIN, -1, 0, 5, i64::MAX]);
        assert!(<u32 as Key>::decode(&[1]).is_err());
    }
}
