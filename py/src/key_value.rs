//! The key-value interface.

use crate::error;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

/// Keys and values of bytes beside the tables, in order. Every call is a transaction of its own.
///
/// >>> import orrerydb
/// >>> kv = orrerydb.connect().key_value()
/// >>> kv.set(b"user:1", b"Ada")
/// >>> kv.get(b"user:1")
/// b'Ada'
#[pyclass(frozen, module = "orrerydb")]
pub(crate) struct KeyValue(orrerydb::KeyValue);

impl KeyValue {
    pub(crate) fn new(pairs: orrerydb::KeyValue) -> KeyValue {
        KeyValue(pairs)
    }

    fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&orrerydb::KeyValue) -> orrerydb::Result<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| work(&self.0)).map_err(|error| error::raise(py, &error))
    }
}

#[pymethods]
impl KeyValue {
    /// The value of a key, or None.
    fn get<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let value = self.run(py, |pairs| pairs.get(key))?;
        Ok(value.map(|value| PyBytes::new(py, &value)))
    }

    /// Sets a key.
    fn set(&self, py: Python<'_>, key: &[u8], value: &[u8]) -> PyResult<()> {
        self.run(py, |pairs| pairs.set(key, value))
    }

    /// Sets many keys, pairs of an iterable, in one transaction.
    fn set_all(&self, py: Python<'_>, pairs: &Bound<'_, PyAny>) -> PyResult<()> {
        let all =
            pairs.try_iter()?.map(|pair| pair?.extract()).collect::<PyResult<Vec<(Vec<u8>, Vec<u8>)>>>()?;
        self.run(py, |pairs| pairs.set_all(all.into_iter()))
    }

    /// Removes a key; whether it was there.
    fn delete(&self, py: Python<'_>, key: &[u8]) -> PyResult<bool> {
        self.run(py, |pairs| pairs.delete(key))
    }

    /// Whether a key is there.
    fn exists(&self, py: Python<'_>, key: &[u8]) -> PyResult<bool> {
        self.run(py, |pairs| pairs.exists(key))
    }

    /// The keys that begin with `prefix` and their values, in order, `limit` at most.
    #[pyo3(signature = (prefix=None, limit=None))]
    fn list<'py>(
        &self,
        py: Python<'py>,
        prefix: Option<&[u8]>,
        limit: Option<usize>,
    ) -> PyResult<Bound<'py, PyList>> {
        let pairs =
            self.run(py, |pairs| pairs.list(prefix.unwrap_or_default(), limit.unwrap_or(usize::MAX)))?;
        let pair = |(key, value): &(Vec<u8>, Vec<u8>)| {
            PyTuple::new(py, [PyBytes::new(py, key), PyBytes::new(py, value)])
        };
        PyList::new(py, pairs.iter().map(pair).collect::<PyResult<Vec<_>>>()?)
    }
}
