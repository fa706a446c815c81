//! Arrow streams in and out, through the Arrow PyCapsule interface. The only unsafe code of the module.

#![allow(unsafe_code, reason = "a stream of the Arrow C interface comes in as a pointer in a capsule")]

use crate::error::InterfaceError;
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use orrerydb::ArrowReader;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// The name that the protocol gives such a capsule.
const STREAM_NAME: &std::ffi::CStr = c"arrow_array_stream";

/// A result as a capsule.
pub(crate) fn export(py: Python<'_>, reader: ArrowReader) -> PyResult<Bound<'_, PyCapsule>> {
    let stream = FFI_ArrowArrayStream::new(Box::new(Detached(reader)));
    PyCapsule::new_with_value(py, stream, STREAM_NAME)
}

/// Whatever has the protocol as a reader.
pub(crate) fn import(data: &Bound<'_, PyAny>) -> PyResult<RecordBatchStreamReader> {
    let Ok(method) = data.getattr("__arrow_c_stream__") else {
        let message =
            format!("a {} is no Arrow stream: it has no __arrow_c_stream__", data.get_type().name()?);
        return Err(InterfaceError::new_err(message));
    };
    let capsule = method.call0()?;
    let capsule = capsule.cast::<PyCapsule>()?;
    let stream = capsule.pointer_checked(Some(STREAM_NAME))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of that name holds a stream of the Arrow C interface, and the capsule is alive. `from_raw` moves the
    // stream out and leaves a released one, as the interface wants it, so that the capsule's destructor releases nothing.
    let reader = unsafe { RecordBatchStreamReader::from_raw(stream.as_ptr()) };
    reader.map_err(|error| InterfaceError::new_err(error.to_string()))
}

/// Lets the interpreter go while the database works, whatever the consumer holds (Y2).
struct Detached(ArrowReader);

impl Iterator for Detached {
    type Item = Result<RecordBatch, ArrowError>;
    fn next(&mut self) -> Option<Self::Item> {
        // A consumer called from our own code may have let the interpreter go behind pyo3's back (pyarrow does), so pyo3's
        // count of attachments says nothing here: the interpreter itself is asked.
        // SAFETY: a consumer uses a stream only while the interpreter lives, and on any thread this is the way to attach it.
        let state = unsafe { ffi::PyGILState_Ensure() };
        // SAFETY: the thread was attached by the line before.
        let py = unsafe { Python::assume_attached() };
        let batch = py.detach(|| self.0.next());
        // SAFETY: attached again, and `state` is what the call above gave.
        unsafe { ffi::PyGILState_Release(state) };
        batch
    }
}

impl RecordBatchReader for Detached {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }
}
