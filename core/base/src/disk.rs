//! Disk requests as values (DESIGN §3): what the core may ask of a disk, and what comes back. Drivers perform them;
//! the core never opens a file (L1).
//!
//! Rules a driver keeps:
//! - A request is performed at most once, and completed or dropped. One dropped unperformed answers
//!   [`DiskErrorKind::Abandoned`].
//! - Requests in flight at the same time may be performed in any order. `Sync` covers the writes *completed* before it
//!   was submitted, nothing else.
//! - A read or write may be short: the reply says how many bytes it did. [`crate::Cx`] has the loops.

use crate::AlignedBuf;
use std::fmt;

/// A logical file. The driver knows which path or handle it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileId {
    /// The database's data file.
    Data,
    /// A log segment, by its number.
    Log(u64),
    /// Scratch space of sorts and joins; emptied at open.
    Temp(u64),
    /// A file of the user's, opened by [`DiskOp::OpenStream`]: import, export, backup.
    Stream(u64),
}

/// One request.
#[derive(Clone, Debug)]
pub enum DiskOp {
    /// The database's files with their lengths (streams left out).
    List,
    /// Length in bytes; `NotFound` when there is no such file.
    Len {
        /// Which file.
        file: FileId,
    },
    /// Reads up to `len` bytes; fewer at the end of the file.
    Read {
        /// Which file.
        file: FileId,
        /// Where, in bytes.
        offset: u64,
        /// How many bytes.
        len: usize,
    },
    /// Writes `data`; makes the file when it is absent, and grows it.
    Write {
        /// Which file.
        file: FileId,
        /// Where, in bytes.
        offset: u64,
        /// What.
        data: AlignedBuf,
    },
    /// Makes all completed writes of the file durable.
    Sync {
        /// Which file.
        file: FileId,
    },
    /// Makes the file (durably, its directory entry too) and reserves zeroed space up to `len` bytes.
    Allocate {
        /// Which file.
        file: FileId,
        /// Its length afterwards, if it was shorter.
        len: u64,
        /// Write the zeros instead of only reserving them: small synced writes into them are then cheaper.
        fill: bool,
    },
    /// Cuts the file to `len` bytes.
    Truncate {
        /// Which file.
        file: FileId,
        /// Its length afterwards.
        len: u64,
    },
    /// Removes the file; no error when it is absent.
    Remove {
        /// Which file.
        file: FileId,
    },
    /// Opens a file of the user's by name for [`FileId::Stream`].
    OpenStream {
        /// A path, as the user wrote it.
        name: String,
        /// Whether it is made anew for writing.
        write: bool,
    },
}

/// What a performed request gives back.
#[derive(Clone, Debug)]
pub enum DiskReply {
    /// To `List`.
    Files(Vec<(FileId, u64)>),
    /// To `Len`.
    Len(u64),
    /// To `Read`: as long as what was read.
    Read(AlignedBuf),
    /// To `Write`: how many bytes were written.
    Written(usize),
    /// To `OpenStream`.
    Stream(FileId),
    /// To the others.
    Done,
}

/// The reply to a request.
pub type DiskResult = Result<DiskReply, DiskError>;

/// Why the disk refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// The kind the core acts on.
    pub kind: DiskErrorKind,
    /// The operating system's code, for the message.
    pub os_code: Option<i32>,
    /// The operating system's words.
    pub message: String,
}

/// The kinds of refusal that the core tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// No such file.
    NotFound,
    /// No space left (ENOSPC, EDQUOT).
    Full,
    /// Not allowed, or a read-only file system.
    Denied,
    /// The request was dropped and never performed.
    Abandoned,
    /// Anything else: EIO and its kin.
    Other,
}

impl DiskError {
    /// An error without an operating system code.
    pub fn new(kind: DiskErrorKind, message: impl Into<String>) -> Self {
        DiskError { kind, os_code: None, message: message.into() }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.os_code {
            Some(code) => write!(f, "{} (os error {code})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl From<DiskError> for crate::Error {
    fn from(error: DiskError) -> Self {
        use crate::SqlState;
        let code = match error.kind {
            DiskErrorKind::NotFound => SqlState::UNDEFINED_FILE,
            DiskErrorKind::Full => SqlState::DISK_FULL,
            _ => SqlState::IO_ERROR,
        };
        crate::Error::new(code, error.to_string())
    }
}

impl DiskOp {
    /// The file it is about, if one.
    pub fn file(&self) -> Option<FileId> {
        match self {
            DiskOp::List | DiskOp::OpenStream { .. } => None,
            DiskOp::Len { file }
            | DiskOp::Read { file, .. }
            | DiskOp::Write { file, .. }
            | DiskOp::Sync { file }
            | DiskOp::Allocate { file, .. }
            | DiskOp::Truncate { file, .. }
            | DiskOp::Remove { file } => Some(*file),
        }
    }
}
