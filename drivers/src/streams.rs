//! Files of the user's (import, export) for a driver that has no file system of its own.
//!
//! On systems without positioned I/O the user has no files: opening one is refused.

use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp, DiskResult};

#[cfg(unix)]
pub(crate) use unix::Streams;

#[cfg(unix)]
mod unix {
    use super::{DiskError, DiskErrorKind, DiskOp, DiskResult};
    use crate::files::{disk_error, read_whole};
    use orrery_base::disk::{DiskReply, FileId};
    use orrery_base::task::lock;
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    /// The open files, by the number of their [`FileId::Stream`].
    #[derive(Default)]
    pub(crate) struct Streams {
        open: Mutex<BTreeMap<u64, Arc<File>>>,
        next: AtomicU64,
    }

    impl Streams {
        /// Performs a request about a stream.
        pub(crate) fn perform(&self, op: DiskOp) -> DiskResult {
            if let DiskOp::OpenStream { name, write } = op {
                return self.open(&name, write).map_err(|error| disk_error(&error));
            }
            let Some(FileId::Stream(number)) = op.file() else {
                return Err(DiskError::new(DiskErrorKind::Other, "not a request about a stream"));
            };
            if let DiskOp::Remove { .. } = op {
                lock(&self.open).remove(&number);
                return Ok(DiskReply::Done);
            }
            let file = lock(&self.open).get(&number).cloned();
            let file =
                file.ok_or_else(|| DiskError::new(DiskErrorKind::NotFound, "the stream is not open"))?;
            on_file(&file, op).map_err(|error| disk_error(&error))
        }

        fn open(&self, name: &str, write: bool) -> io::Result<DiskReply> {
            let file = if write { File::create(name)? } else { File::open(name)? };
            if file.metadata()?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            lock(&self.open).insert(number, Arc::new(file));
            Ok(DiskReply::Stream(FileId::Stream(number)))
        }
    }

    fn on_file(file: &File, op: DiskOp) -> io::Result<DiskReply> {
        Ok(match op {
            DiskOp::Len { .. } => DiskReply::Len(file.metadata()?.len()),
            DiskOp::Read { offset, len, .. } => DiskReply::Read(read_whole(file, offset, len)?),
            DiskOp::Write { offset, data, .. } => {
                file.write_all_at(&data, offset)?;
                DiskReply::Written(data.len())
            }
            DiskOp::Sync { .. } => {
                file.sync_data()?;
                DiskReply::Done
            }
            DiskOp::Truncate { len, .. } => {
                file.set_len(len)?;
                DiskReply::Done
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

/// See the module's head.
#[cfg(not(unix))]
#[derive(Default)]
pub(crate) struct Streams;

#[cfg(not(unix))]
impl Streams {
    /// Refuses.
    pub(crate) fn perform(&self, op: DiskOp) -> DiskResult {
        let what = match op {
            DiskOp::OpenStream { name, .. } => format!("there is no file {name:?} here"),
            _ => "the stream is not open".to_owned(),
        };
        Err(DiskError::new(DiskErrorKind::Denied, what))
    }
}
