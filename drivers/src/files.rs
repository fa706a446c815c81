//! Files of a Unix system.
//!
//! A database `NAME` is the file `NAME` and, while it is open or after a crash, a directory `NAME-log` beside it:
//!
//! | path | what |
//! |---|---|
//! | `NAME` | [`FileId::Data`] |
//! | `NAME-log/0000000007.log` | [`FileId::Log`]`(7)` |
//! | `NAME-log/temp-3` | [`FileId::Temp`]`(3)`; unlinked as soon as it is open, swept at open |
//! | `NAME-log/owner` | process id and host of who has it open; for messages only |
//!
//! A driver that closes removes `owner`, and the directory when nothing is left in it, so a closed database without
//! a log is one file.
//!
//! 1. The exclusive lock is `flock` on `NAME` itself: it dies with its process, so a stale `owner` file means nothing.
//! 2. Writes and reads are done whole: the loops over short ones are here.
//! 3. A file's directory entry is durable before a `Sync` of that file, or an `Allocate`, answers.
//! 4. A failed sync is reported and never repeated here (I5): the kernel may have dropped the dirty pages.
//! 5. Large writes bypass the page cache (`direct.rs`).
//! 6. Opened to read only, it changes none of these files, takes no lock and leaves no `owner`.
//! 7. `Remove` of a stream closes it; the user's file stays.

use crate::Driver;
use crate::direct::Direct;
use crate::pool::Pool;
use orrery_base::disk::{DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult, FileId};
use orrery_base::task::{SubTask, lock};
use orrery_base::{AlignedBuf, Error, Result, SqlState};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How to open.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// Make the data file when it is absent.
    pub create: bool,
    /// Threads that take sub-tasks beside the caller's own.
    pub subtask_thread_count: usize,
    /// Only read, beside whoever has the database open: no lock is taken, and nothing but temporary files is written (to the
    /// system's place for these).
    pub read_only: bool,
}

impl Default for FileOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        FileOptions { create: true, subtask_thread_count: cores.saturating_sub(1).min(16), read_only: false }
    }
}

/// Drives tasks over files. See the module's head.
pub struct FileDriver {
    // Dropped first: the threads use the disk.
    pool: Pool,
    disk: Arc<FileDisk>,
}

impl FileDriver {
    /// Opens and locks the database file at `path`.
    ///
    /// Errors: 55006 when another process (or this one) has it open, naming the owner; 58P01 when it is absent and
    /// `create` is off, or its directory is absent; 58030 when the system refuses.
    pub fn open(path: impl AsRef<Path>, options: &FileOptions) -> Result<FileDriver> {
        let disk = Arc::new(FileDisk::open(path.as_ref(), options)?);
        Ok(FileDriver { pool: Pool::new(options.subtask_thread_count, disk.clone()), disk })
    }

    /// The data file's path.
    pub fn path(&self) -> &Path {
        &self.disk.data_path
    }
}

impl Driver for FileDriver {
    fn perform(&self, op: DiskOp) -> DiskResult {
        self.disk.perform(op)
    }
    fn offer(&self, subtask: SubTask) {
        self.pool.offer(subtask);
    }
}

/// The files themselves, shared with the pool's threads.
pub(crate) struct FileDisk {
    data_path: PathBuf,
    log_dir: PathBuf,
    data: Arc<OpenFile>,
    others: Mutex<BTreeMap<FileId, Arc<OpenFile>>>,
    next_stream: AtomicU64,
    read_only: bool,
}

struct OpenFile {
    file: File,
    direct: Direct,
    /// Whether the directory entry is known durable.
    entry_synced: AtomicBool,
}

impl OpenFile {
    fn new(file: File, entry_synced: bool) -> Self {
        OpenFile { file, direct: Direct::default(), entry_synced: AtomicBool::new(entry_synced) }
    }
}

impl FileDisk {
    fn open(path: &Path, options: &FileOptions) -> Result<FileDisk> {
        let FileOptions { create, read_only, .. } = *options;
        let refuse = |error: io::Error| {
            let mut refused = disk_error(&error);
            refused.message = format!("could not open {}: {}", path.display(), refused.message);
            Error::from(refused)
        };
        let existed = path.exists();
        let file = match read_only {
            true => OpenOptions::new().read(true).open(path),
            false => OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path),
        };
        let file = file.map_err(refuse)?;
        if file.metadata().map_err(refuse)?.is_dir() {
            return Err(Error::new(SqlState::IO_ERROR, format!("{} is a directory", path.display())));
        }
        let log_dir = beside(path, "-log");
        match if read_only { Ok(()) } else { file.try_lock() } {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &log_dir)),
            Err(TryLockError::Error(error)) => return Err(refuse(error)),
        }
        if !existed {
            sync_dir(&parent_of(path)).map_err(refuse)?;
        }
        let disk = FileDisk {
            data_path: path.to_owned(),
            log_dir,
            data: Arc::new(OpenFile::new(file, true)),
            others: Mutex::default(),
            next_stream: AtomicU64::new(0),
            read_only,
        };
        if !read_only {
            disk.sweep_temp().map_err(refuse)?;
            disk.sign();
        }
        Ok(disk)
    }

    /// Removes what a crashed process left of its temporary files.
    fn sweep_temp(&self) -> io::Result<()> {
        let Ok(entries) = std::fs::read_dir(&self.log_dir) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("temp-") {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Says who has the database open. Not being able to is no error: it only makes a message poorer.
    fn sign(&self) {
        let owner = format!("process {} on {}", std::process::id(), host_name());
        if self.make_log_dir().is_ok() {
            let _ = std::fs::write(self.log_dir.join("owner"), owner);
        }
    }

    fn make_log_dir(&self) -> io::Result<()> {
        match std::fs::create_dir(&self.log_dir) {
            Ok(()) => sync_dir(&parent_of(&self.log_dir)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Performs one request.
    pub(crate) fn perform(&self, op: DiskOp) -> DiskResult {
        let file = op.file();
        self.try_perform(op).map_err(|error| {
            let mut error = disk_error(&error);
            if let Some(file) = file {
                error.message = format!("{file:?} of {}: {}", self.data_path.display(), error.message);
            }
            error
        })
    }

    fn try_perform(&self, op: DiskOp) -> io::Result<DiskReply> {
        if self.read_only && is_change(&op) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(match op {
            DiskOp::List => DiskReply::Files(self.list()?),
            DiskOp::Len { file } => DiskReply::Len(self.find(file, false)?.file.metadata()?.len()),
            DiskOp::Read { file, offset, len } => {
                DiskReply::Read(read_whole(&self.find(file, false)?.file, offset, len)?)
            }
            DiskOp::Write { file, offset, data } => {
                let open = self.find(file, true)?;
                let done = match file {
                    FileId::Data | FileId::Log(_) => open.direct.write(&open.file, &data, offset)?,
                    _ => 0,
                };
                open.file.write_all_at(&data[done..], offset + done as u64)?;
                DiskReply::Written(data.len())
            }
            DiskOp::Sync { file } => {
                let open = self.find(file, false)?;
                open.file.sync_data()?;
                self.sync_entry(file, &open)?;
                DiskReply::Done
            }
            DiskOp::Allocate { file, len, fill } => {
                self.allocate(file, len, fill)?;
                DiskReply::Done
            }
            DiskOp::Truncate { file, len } => {
                self.find(file, false)?.file.set_len(len)?;
                DiskReply::Done
            }
            DiskOp::Remove { file } => {
                self.remove(file)?;
                DiskReply::Done
            }
            DiskOp::OpenStream { name, write } => DiskReply::Stream(self.open_stream(&name, write)?),
        })
    }

    fn list(&self) -> io::Result<Vec<(FileId, u64)>> {
        let mut files = vec![(FileId::Data, self.data.file.metadata()?.len())];
        if let Ok(entries) = std::fs::read_dir(&self.log_dir) {
            for entry in entries {
                let entry = entry?;
                if let Some(number) = log_number(&entry.file_name().to_string_lossy()) {
                    files.push((FileId::Log(number), entry.metadata()?.len()));
                }
            }
        }
        for (file, open) in lock(&self.others).iter() {
            if let FileId::Temp(_) = file {
                files.push((*file, open.file.metadata()?.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// The open handle; opens a log or makes a temporary file the first time.
    fn find(&self, file: FileId, create: bool) -> io::Result<Arc<OpenFile>> {
        if file == FileId::Data {
            return Ok(self.data.clone());
        }
        let mut others = lock(&self.others);
        if let Some(open) = others.get(&file) {
            return Ok(open.clone());
        }
        let open = match file {
            FileId::Log(number) => self.open_log(number, create)?,
            FileId::Temp(number) if create => self.open_temp(number)?,
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        let open = Arc::new(open);
        others.insert(file, open.clone());
        Ok(open)
    }

    fn open_log(&self, number: u64, create: bool) -> io::Result<OpenFile> {
        let path = self.log_path(number);
        match OpenOptions::new().read(true).write(!self.read_only).open(&path) {
            // The crash of another process may have come between making it and syncing its directory.
            Ok(file) => Ok(OpenFile::new(file, false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
                self.make_log_dir()?;
                let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
                Ok(OpenFile::new(file, false))
            }
            Err(error) => Err(error),
        }
    }

    fn open_temp(&self, number: u64) -> io::Result<OpenFile> {
        let path = if self.read_only {
            std::env::temp_dir().join(format!("orrery-{}-temp-{number}", std::process::id()))
        } else {
            self.make_log_dir()?;
            self.log_dir.join(format!("temp-{number}"))
        };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(OpenFile::new(file, true))
    }

    fn sync_entry(&self, file: FileId, open: &OpenFile) -> io::Result<()> {
        if matches!(file, FileId::Log(_)) && !open.entry_synced.load(Ordering::Acquire) {
            sync_dir(&self.log_dir)?;
            open.entry_synced.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn allocate(&self, file: FileId, len: u64, fill: bool) -> io::Result<()> {
        let open = self.find(file, true)?;
        let old_len = open.file.metadata()?.len();
        if old_len < len {
            // A sync of a block that was reserved and never written must also log the change of its extent, and that
            // costs the commit path a second disk write.
            if fill {
                write_zeros(&open.file, old_len, len)?;
            } else {
                reserve(&open.file, old_len, len)?;
            }
            open.file.sync_all()?;
        }
        self.sync_entry(file, &open)
    }

    fn remove(&self, file: FileId) -> io::Result<()> {
        let path = match file {
            FileId::Data => self.data_path.clone(),
            FileId::Log(number) => self.log_path(number),
            FileId::Temp(_) | FileId::Stream(_) => {
                lock(&self.others).remove(&file);
                return Ok(());
            }
        };
        lock(&self.others).remove(&file);
        match std::fs::remove_file(&path) {
            Ok(()) => sync_dir(&parent_of(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn open_stream(&self, name: &str, write: bool) -> io::Result<FileId> {
        let file = if write { File::create(name)? } else { File::open(name)? };
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let id = FileId::Stream(self.next_stream.fetch_add(1, Ordering::Relaxed));
        lock(&self.others).insert(id, Arc::new(OpenFile::new(file, true)));
        Ok(id)
    }

    fn log_path(&self, number: u64) -> PathBuf {
        self.log_dir.join(format!("{number:010}.log"))
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        if self.read_only {
            return;
        }
        // Best effort: what stays behind is swept or ignored by the next opener. The lock goes with the handle, after.
        let _ = std::fs::remove_file(self.log_dir.join("owner"));
        let _ = std::fs::remove_dir(&self.log_dir);
    }
}

/// Whether a request changes the database's own files.
fn is_change(op: &DiskOp) -> bool {
    let file = match op {
        DiskOp::Write { file, .. }
        | DiskOp::Sync { file }
        | DiskOp::Allocate { file, .. }
        | DiskOp::Truncate { file, .. }
        | DiskOp::Remove { file } => *file,
        DiskOp::List | DiskOp::Len { .. } | DiskOp::Read { .. } | DiskOp::OpenStream { .. } => return false,
    };
    matches!(file, FileId::Data | FileId::Log(_))
}

fn log_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() >= 10).then(|| digits.parse().ok()).flatten()
}

pub(crate) fn read_whole(file: &File, offset: u64, len: usize) -> io::Result<AlignedBuf> {
    let mut bytes = AlignedBuf::zeroed(len);
    let mut done = 0;
    while done < len {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.resize(done);
    Ok(bytes)
}

fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; (to - from).min(1 << 20) as usize];
    let mut at = from;
    while at < to {
        let part = zeros.len().min((to - at) as usize);
        file.write_all_at(&zeros[..part], at)?;
        at += part as u64;
    }
    Ok(())
}

/// Reserves space that reads as zeros, so that a later write cannot meet a full disk.
#[cfg(target_os = "linux")]
fn reserve(file: &File, from: u64, to: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), from, to - from) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, from, to),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(file: &File, from: u64, to: u64) -> io::Result<()> {
    write_zeros(file, from, to)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn in_use(path: &Path, log_dir: &Path) -> Error {
    let owner = std::fs::read_to_string(log_dir.join("owner"));
    let owner = owner.ok().filter(|owner| !owner.is_empty()).unwrap_or_else(|| "another process".into());
    Error::new(SqlState::OBJECT_IN_USE, format!("database {} is in use by {owner}", path.display()))
        .with_hint("One process at a time can have a database file open.")
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"));
    name.ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this host".into())
}

pub(crate) fn disk_error(error: &io::Error) -> DiskError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => DiskErrorKind::NotFound,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskErrorKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => DiskErrorKind::Denied,
        _ => DiskErrorKind::Other,
    };
    let text = error.to_string();
    // The code is kept apart; the standard library puts it into the text too.
    let message = text.split(" (os error").next().unwrap_or(&text).to_owned();
    DiskError { kind, os_code: error.raw_os_error(), message }
}
