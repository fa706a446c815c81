//! The key-value interface: ordered bytes in trees of the user's, beside the tables and in the same log.

use crate::database::Shared;
use orrery_engine::Task;
use orrery_engine::base::kv::{Isolation, KeyRange};
use orrery_engine::base::{Cx, Result};
use orrery_engine::store::{Txn, TxnOptions, kv};
use std::sync::Arc;

/// Keys and values of bytes in the database's key-value tree. Every call is a transaction of its own.
pub struct KeyValue {
    shared: Arc<Shared>,
}

impl KeyValue {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        KeyValue { shared }
    }

    fn run<T: Send + 'static, F>(&self, read_only: bool, body: impl FnOnce(Cx, Arc<Txn>) -> F + Send + 'static) -> Result<T>
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
        self.run(true, move |cx, txn| async move { kv::get(&cx, &txn, kv::USER_TREE, &key).await })
    }

    /// Whether a key is there.
    pub fn exists(&self, key: &[u8]) -> Result<bool> {
        self.get(key).map(|value| value.is_some())
    }

    /// Sets a key.
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.run(false, move |cx, txn| async move { kv::put(&cx, &txn, kv::USER_TREE, &key, &value).await })
    }

    /// Removes a key; whether it was there.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        let key = key.to_vec();
        self.run(false, move |cx, txn| async move { kv::delete(&cx, &txn, kv::USER_TREE, &key).await })
    }

    /// The keys that begin with `prefix` and their values, in order, `limit` at most.
    pub fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let range = KeyRange::prefix(prefix);
        self.run(true, move |cx, txn| async move { kv::scan(&cx, &txn, kv::USER_TREE, range, limit).await })
    }
}
