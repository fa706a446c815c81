//! The Python module `orrerydb`: DB-API 2.0 and Arrow over the public Rust API. It holds no logic of its own: it turns
//! objects into values and back, and lets the interpreter go while the database works.
//!
//! Y1: the interpreter is held only where Python objects are touched, and for point statements that need no disk.
//! Y2: nobody waits for a lock of ours while holding the interpreter.

mod arrow;
mod connection;
mod cursor;
mod error;
mod key_value;
mod rows;
mod value;

use pyo3::prelude::*;

#[pymodule]
mod _orrerydb {
    use super::*;

    #[pymodule_export]
    use super::connection::{Connection, connect};
    #[pymodule_export]
    use super::cursor::Cursor;
    #[pymodule_export]
    use super::key_value::KeyValue;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        error::register(module)
    }
}
