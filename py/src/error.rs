//! The exceptions of DB-API 2.0, chosen by SQLSTATE class.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(orrerydb, Warning, PyException, "An important warning.");
create_exception!(
    orrerydb,
    Error,
    PyException,
    "What the database says. Attributes: `sqlstate` (five characters), `position` (1-based, in characters of the\n\
     statement, or None), `detail` and `hint` (or None)."
);
create_exception!(orrerydb, InterfaceError, Error, "The module was used wrongly.");
create_exception!(orrerydb, DatabaseError, Error, "The database refused.");
create_exception!(orrerydb, DataError, DatabaseError, "A value does not fit (class 22).");
create_exception!(
    orrerydb,
    OperationalError,
    DatabaseError,
    "Not the statement's fault: conflicts, cancellation, limits, the disk (classes 08, 40, 53 to 58, 72)."
);
create_exception!(orrerydb, IntegrityError, DatabaseError, "A constraint is violated (class 23).");
create_exception!(
    orrerydb,
    InternalError,
    DatabaseError,
    "The transaction's state does not allow it, or something inside is damaged (classes 24, 25, XX)."
);
create_exception!(orrerydb, ProgrammingError, DatabaseError, "The statement is wrong (class 42 and others).");
create_exception!(orrerydb, NotSupportedError, DatabaseError, "Not built (class 0A).");

/// The exception for an error of the database.
pub(crate) fn raise(py: Python<'_>, error: &orrerydb::Error) -> PyErr {
    let (code, message) = (error.code(), error.message().to_owned());
    let exception = match &code.as_str()[..2] {
        "0A" => NotSupportedError::new_err(message),
        "22" => DataError::new_err(message),
        "23" => IntegrityError::new_err(message),
        "24" | "25" | "XX" => InternalError::new_err(message),
        "08" | "40" | "53" | "54" | "55" | "57" | "58" | "72" => OperationalError::new_err(message),
        _ => ProgrammingError::new_err(message),
    };
    describe(py, &exception, code.as_str(), error).map_or_else(|failed| failed, |()| exception)
}

fn describe(py: Python<'_>, exception: &PyErr, code: &str, error: &orrerydb::Error) -> PyResult<()> {
    let value = exception.value(py);
    value.setattr("sqlstate", code)?;
    value.setattr("position", error.position())?;
    value.setattr("detail", error.detail())?;
    value.setattr("hint", error.hint())
}

/// A mistake in the use of this module.
pub(crate) fn misuse(py: Python<'_>, code: orrerydb::SqlState, message: &str) -> PyErr {
    raise(py, &orrerydb::Error::new(code, message))
}

/// Puts the classes under their names.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("Warning", py.get_type::<Warning>())?;
    module.add("Error", py.get_type::<Error>())?;
    module.add("InterfaceError", py.get_type::<InterfaceError>())?;
    module.add("DatabaseError", py.get_type::<DatabaseError>())?;
    module.add("DataError", py.get_type::<DataError>())?;
    module.add("OperationalError", py.get_type::<OperationalError>())?;
    module.add("IntegrityError", py.get_type::<IntegrityError>())?;
    module.add("InternalError", py.get_type::<InternalError>())?;
    module.add("ProgrammingError", py.get_type::<ProgrammingError>())?;
    module.add("NotSupportedError", py.get_type::<NotSupportedError>())
}
