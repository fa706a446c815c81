//! Backups: a copy of what is committed, made beside whoever goes on writing.
//!
//! - B1: the copy is made under another name (`TARGET.part`), walked by `check`, made durable, and then renamed: what lies at
//!   TARGET is whole. A crash leaves at most the other name, which the next backup to the same place clears away.
//! - B2: it is one snapshot: all of each transaction that was committed when it began, nothing of the others.

use crate::database::{Database, Options};
use orrery_drivers::run;
use orrery_engine::base::{Error, Result, SqlState};
use orrery_engine::store::Durability;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupSummary {
    /// Rows, index entries and the catalog's own among them.
    pub row_count: u64,
    /// Bytes of their keys and values.
    pub row_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// How often a copy of a file that another process writes to begins anew.
const ATTEMPT_COUNT_MAX: usize = 5;

impl Database {
    /// Copies what is committed now into a new database file at `target`, while others go on reading and writing here. The past
    /// (`AS OF`) is not copied. Errors: 58030 when there is a file at `target`, XX001 for damage on either side, the disk's;
    /// nothing lies at `target` then.
    pub fn backup(&self, target: impl AsRef<Path>) -> Result<BackupSummary> {
        let target = target.as_ref();
        let part = Part::new(target)?;
        let summary = self.copy_to(&part)?;
        part.finish(target)?;
        Ok(summary)
    }

    /// Copies the database file at `source`, whether another process has it open or not: then what that has committed is copied
    /// as it stands in the file. Errors: as [`Database::backup`]; 58P01 when it is not there; 72000 when the other process
    /// replaces what is to be read faster than it is read.
    pub fn backup_file(source: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<BackupSummary> {
        let (source, target) = (source.as_ref(), target.as_ref());
        let options = Options { create: false, ..Options::default() };
        match Database::open_with(source, &options) {
            Ok(database) => {
                let summary = database.backup(target)?;
                database.close()?;
                return Ok(summary);
            }
            Err(error) if error.code() == SqlState::OBJECT_IN_USE => {}
            Err(error) => return Err(error),
        }
        let options = Options { read_only: true, ..options };
        let mut attempt = 1;
        loop {
            let copied = Database::open_with(source, &options).and_then(|database| database.backup(target));
            match copied {
                // The writer went on while it was read.
                Err(error) if is_stale(&error) && attempt < ATTEMPT_COUNT_MAX => attempt += 1,
                copied => return copied,
            }
        }
    }

    fn copy_to(&self, part: &Part) -> Result<BackupSummary> {
        let options = Options {
            durability: Durability::None,
            create: true,
            // The rows come once; a past of this copy would be empty.
            history_seconds: 0,
            ..Options::default()
        };
        let copy = Database::open_with(&part.path, &options)?;
        let mut summary = BackupSummary::default();
        let mut rest = run(&*self.0.driver, self.0.engine.duplicate())?;
        while let Some((piece, further)) = self.0.explain(run(&*self.0.driver, rest.next()))? {
            summary.row_count += piece.row_count() as u64;
            summary.row_bytes += piece.byte_count() as u64;
            run(&*copy.0.driver, copy.0.engine.take_in(piece))?;
            rest = further;
        }
        copy.checkpoint()?;
        let (_, findings) = copy.check()?;
        if let Some(finding) = findings.first() {
            return Err(Error::corrupt(format!("the copy is damaged: {finding}")));
        }
        copy.close()?;
        summary.file_bytes =
            std::fs::metadata(&part.path).map_err(|error| refused(&part.path, &error))?.len();
        Ok(summary)
    }
}

fn is_stale(error: &Error) -> bool {
    [SqlState::SNAPSHOT_TOO_OLD, SqlState::DATA_CORRUPTED].contains(&error.code())
}

/// A copy that is not whole yet. Dropping it clears it away.
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    is_finished: bool,
}

impl Part {
    /// Errors: 58030 when there is something at `target`; 55006 when another backup to it is under way.
    pub(crate) fn new(target: &Path) -> Result<Part> {
        if target.symlink_metadata().is_ok() || with_suffix(target, "-log").exists() {
            let message = format!("there is a file at {} already", target.display());
            return Err(Error::new(SqlState::IO_ERROR, message));
        }
        let path = with_suffix(target, ".part");
        // Whoever is still at work there has it locked, and it is not ours to clear away.
        match File::open(&path).map(|file| file.try_lock().is_ok()) {
            Ok(false) => {
                let message = format!("another backup to {} is under way", target.display());
                return Err(Error::new(SqlState::OBJECT_IN_USE, message));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(&path, &error)),
            _ => {}
        }
        let part = Part { path, is_finished: false };
        part.clear()?;
        Ok(part)
    }

    fn clear(&self) -> Result<()> {
        let log = with_suffix(&self.path, "-log");
        for (path, removed) in
            [(&log, std::fs::remove_dir_all(&log)), (&self.path, std::fs::remove_file(&self.path))]
        {
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(path, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// It is whole and durable: it gets its name.
    pub(crate) fn finish(mut self, target: &Path) -> Result<()> {
        let parent = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let renamed = File::open(&self.path)
            .and_then(|file| file.sync_all())
            // A link does not replace what somebody else put there meanwhile, as a renaming would.
            .and_then(|()| std::fs::hard_link(&self.path, target))
            .and_then(|()| std::fs::remove_file(&self.path))
            .and_then(|()| File::open(parent)?.sync_all());
        self.is_finished = renamed.is_ok();
        renamed.map_err(|error| refused(target, &error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_finished {
            // Best effort; the next backup to the same place tries again.
            drop(self.clear());
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn refused(path: &Path, error: &io::Error) -> Error {
    Error::new(SqlState::IO_ERROR, format!("{}: {error}", path.display()))
}
