//! The key-value interface: ordered bytes, beside the tables and in the same log.

use crate::database::Shared;
use orrery_engine::Task;
use orrery_engine::base::kv::{Isolation, KeyRange, Lookup, ReadMode, RowSink, Transaction};
use orrery_engine::base::{Cx, Result, TreeId};
use orrery_engine::store::kv::Map;
use orrery_engine::store::{Txn, TxnOptions};
use std::sync::Arc;

/// Where the pairs lie: a fixed tree, so that every program finds them.
pub(crate) const TREE: TreeId = TreeId(900);

fn map() -> Map<Vec<u8>, Vec<u8>> {
    Map::new(TREE)
}

/// Keys and values of bytes in the database's key-value tree. Every call is a transaction of its own.
pub struct KeyValue {
    shared: Arc<Shared>,
}

impl KeyValue {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        KeyValue { shared }
    }

    fn run<T: Send + 'static, F>(
        &self,
        read_only: bool,
        body: impl FnOnce(Cx, Arc<Txn>) -> F + Send + 'static,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let store = self.shared.engine.store().clone();
        let task = Task::new(self.shared.engine.world().clone(), move |cx| async move {
            let txn = store.begin(TxnOptions { isolation: Isolation::ReadCommitted, read_only }, cx.now())?;
            let answer = body(cx.clone(), txn.clone()).await?;
            if !read_only {
                txn.commit(&cx).await?;
            }
            Ok(answer)
        });
        orrery_drivers::run(&*self.shared.driver, task)
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let key = key.to_vec();
        self.run(true, move |cx, txn| async move { map().get(&cx, &txn, &key).await })
    }

    /// Whether a key is there.
    pub fn exists(&self, key: &[u8]) -> Result<bool> {
        let key = key.to_vec();
        self.run(true, move |cx, txn| async move { map().exists(&cx, &txn, &key).await })
    }

    /// Sets a key. Errors: 54000 for a key over 2 KiB or a value over 1 GiB.
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.run(false, move |cx, txn| async move { map().put(&cx, &txn, &key, &value).await })
    }

    /// Sets many keys in one transaction.
    pub fn set_all(&self, pairs: impl Iterator<Item = (Vec<u8>, Vec<u8>)> + Send + 'static) -> Result<()> {
        self.run(false, move |cx, txn| async move {
            for (key, value) in pairs {
                map().put(&cx, &txn, &key, &value).await?;
            }
            Ok(())
        })
    }

    /// Removes a key; whether it was there.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        let key = key.to_vec();
        self.run(false, move |cx, txn| async move { map().delete(&cx, &txn, &key).await })
    }

    /// The keys that begin with `prefix` and their values, in order, `limit` at most.
    pub fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let prefix = prefix.to_vec();
        self.run(true, move |cx, txn| async move { map().prefix(&cx, &txn, &prefix, limit).await })
    }

    /// A reader: one snapshot, any number of reads that copy nothing.
    pub fn reader(&self) -> Result<Reader> {
        let options = TxnOptions { isolation: Isolation::RepeatableRead, read_only: true };
        let txn = self.shared.engine.store().begin(options, self.shared.driver.now())?;
        Ok(Reader { shared: self.shared.clone(), txn })
    }
}

/// Reads in one snapshot.
pub struct Reader {
    shared: Arc<Shared>,
    txn: Arc<Txn>,
}

impl Reader {
    /// Hands the value of a key to `found`, in place; whether there is one.
    pub fn get_with(&self, key: &[u8], mut found: impl FnMut(&[u8])) -> Result<bool> {
        loop {
            match self.txn.get(TREE, key, ReadMode::Snapshot, &mut found)? {
                Lookup::Found { .. } => return Ok(true),
                Lookup::Absent { .. } => return Ok(false),
                Lookup::Missing(page) => {
                    let txn = self.txn.clone();
                    let task = Task::new(self.shared.engine.world().clone(), move |cx| async move {
                        txn.load(&cx, page).await
                    });
                    orrery_drivers::run(&*self.shared.driver, task)?;
                }
            }
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = None;
        self.get_with(key, |bytes| value = Some(bytes.to_vec()))?;
        Ok(value)
    }

    /// Hands the pairs of a range to `sink` in key order and in place, many a call; answers the sink. Errors: the sink's
    /// and the disk's.
    pub fn scan<S: RowSink + 'static>(&self, range: KeyRange, mut sink: S) -> Result<S> {
        let txn = self.txn.clone();
        let task = Task::new(self.shared.engine.world().clone(), move |cx| async move {
            let mut scan = txn.scan(TREE, range, ReadMode::Snapshot, false)?;
            while scan.next_batch(&cx, &mut sink).await? {}
            Ok(sink)
        });
        orrery_drivers::run(&*self.shared.driver, task)
    }
}
