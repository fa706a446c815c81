//! Statuses, and the calling thread's last error (C3).

use orrerydb::{Error, SqlState};
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a call came to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub enum orrery_status {
    /// Done.
    ORRERY_OK = 0,
    /// The database refused: see `orrery_error_sqlstate` and its kin.
    ORRERY_ERROR = 1,
    /// A handle is NULL, closed or of another kind, a pointer is NULL, or an index is out of range.
    ORRERY_MISUSE = 2,
    /// `orrery_step`: there is a row.
    ORRERY_ROW = 100,
    /// `orrery_step`: there are no more rows. Key-value calls: the key is not there.
    ORRERY_DONE = 101,
}

/// A step towards a status.
pub(crate) enum Stop {
    /// The database refused.
    Error(Error),
    /// The caller did.
    Misuse(&'static str),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

pub(crate) type Outcome = Result<orrery_status, Stop>;

/// The texts of the last error, as C wants them.
pub(crate) struct Last {
    pub(crate) sqlstate: CString,
    pub(crate) position: u32,
    pub(crate) message: CString,
    pub(crate) detail: Option<CString>,
    pub(crate) hint: Option<CString>,
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Text for C: what follows a NUL byte is lost.
pub(crate) fn c_text(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).expect("the text was cut at its first NUL")
}

fn remember(error: &Error) {
    let last = Last {
        sqlstate: c_text(error.code().as_str()),
        position: error.position().unwrap_or(0),
        message: c_text(error.message()),
        detail: error.detail().map(c_text),
        hint: error.hint().map(c_text),
    };
    LAST.with(|slot| *slot.borrow_mut() = Some(last));
}

/// Reads the last error.
pub(crate) fn last<T>(read: impl FnOnce(Option<&Last>) -> T) -> T {
    LAST.with(|slot| read(slot.borrow().as_ref()))
}

/// The pointer of a text of the last error; NULL for none.
pub(crate) fn last_text(read: impl FnOnce(&Last) -> Option<&CString>) -> *const c_char {
    last(|last| last.and_then(read).map_or(std::ptr::null(), |text| text.as_ptr()))
}

/// Runs the body of a function of the interface: no panic leaves it (C1), and its error is remembered.
pub(crate) fn guard(body: impl FnOnce() -> Outcome) -> orrery_status {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    match outcome.unwrap_or_else(|_| Err(Error::internal("a defect of ours: the call panicked").into())) {
        Ok(status) => status,
        Err(Stop::Error(error)) => {
            remember(&error);
            orrery_status::ORRERY_ERROR
        }
        Err(Stop::Misuse(what)) => {
            remember(&Error::new(SqlState(*b"HY010"), what));
            orrery_status::ORRERY_MISUSE
        }
    }
}
