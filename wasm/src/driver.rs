//! The driver: each request is one call of JavaScript, performed before it returns. Files of a page (OPFS) and of Node look the
//! same from here; a database in memory has none.

use crate::host;
use orrerydb::disk::{AlignedBuf, DiskError, DiskErrorKind, DiskOp, DiskReply, DiskResult, FileId};
use orrerydb::{Driver, MemoryDriver};

/// Longest read in one call: the buffer is ours, and bounded.
const READ_BYTES_MAX: usize = 64 << 20;

/// Where the bytes are.
pub(crate) enum HostDriver {
    /// In the module's own memory.
    Memory(MemoryDriver),
    /// On a disk of `js/host.js`.
    Disk(u32),
}

impl Driver for HostDriver {
    fn perform(&self, op: DiskOp) -> DiskResult {
        match self {
            HostDriver::Memory(memory) => memory.perform(op),
            HostDriver::Disk(disk) => on_disk(*disk, op),
        }
    }
    fn now(&self) -> u64 {
        host::now_micros() as u64
    }
    fn entropy(&self) -> u64 {
        u64::from(host::entropy()) << 32 | u64::from(host::entropy())
    }
    fn sleep(&self, until: u64) {
        host::sleep_micros(until.saturating_sub(self.now()) as f64);
    }
}

const KIND_DATA: u32 = 0;
const KIND_LOG: u32 = 1;
const KIND_TEMP: u32 = 2;
const KIND_STREAM: u32 = 3;

/// A file as JavaScript has it: kind and number.
fn numbers(file: FileId) -> (u32, f64) {
    match file {
        FileId::Data => (KIND_DATA, 0.0),
        FileId::Log(number) => (KIND_LOG, number as f64),
        FileId::Temp(number) => (KIND_TEMP, number as f64),
        FileId::Stream(number) => (KIND_STREAM, number as f64),
    }
}

fn listed(kind: f64, number: f64) -> FileId {
    match kind as u32 {
        KIND_DATA => FileId::Data,
        KIND_LOG => FileId::Log(number as u64),
        _ => FileId::Temp(number as u64),
    }
}

fn on_disk(disk: u32, op: DiskOp) -> DiskResult {
    Ok(match op {
        DiskOp::List => {
            let files = host::disk_list(disk);
            let file = |it: &[f64]| (listed(it[0], it[1]), it[2] as u64);
            let mut files: Vec<_> = files.chunks_exact(3).map(file).collect();
            files.sort();
            DiskReply::Files(files)
        }
        DiskOp::Len { file } => {
            let (kind, number) = numbers(file);
            DiskReply::Len(told(host::disk_length(disk, kind, number))? as u64)
        }
        DiskOp::Read { file, offset, len } => {
            let (kind, number) = numbers(file);
            let mut bytes = AlignedBuf::zeroed(len.min(READ_BYTES_MAX));
            let done = told(host::disk_read(disk, kind, number, offset as f64, &mut bytes))?;
            bytes.resize(done as usize);
            DiskReply::Read(bytes)
        }
        DiskOp::Write { file, offset, data } => {
            let (kind, number) = numbers(file);
            told(host::disk_write(disk, kind, number, offset as f64, &data))?;
            DiskReply::Written(data.len())
        }
        DiskOp::Sync { file } => {
            let (kind, number) = numbers(file);
            done(host::disk_sync(disk, kind, number))?
        }
        // Reserved or filled, the space is there and zero afterwards: JavaScript has one way.
        DiskOp::Allocate { file, len, fill: _ } => {
            let (kind, number) = numbers(file);
            done(host::disk_allocate(disk, kind, number, len as f64))?
        }
        DiskOp::Truncate { file, len } => {
            let (kind, number) = numbers(file);
            done(host::disk_truncate(disk, kind, number, len as f64))?
        }
        DiskOp::Remove { file } => {
            let (kind, number) = numbers(file);
            done(host::disk_remove(disk, kind, number))?
        }
        DiskOp::OpenStream { name, write } => {
            DiskReply::Stream(FileId::Stream(told(host::disk_stream(disk, &name, write))? as u64))
        }
    })
}

fn done(answer: f64) -> DiskResult {
    told(answer).map(|_| DiskReply::Done)
}

fn told(answer: f64) -> Result<f64, DiskError> {
    if answer >= 0.0 {
        return Ok(answer);
    }
    let kind = match answer as i32 {
        -1 => DiskErrorKind::NotFound,
        -2 => DiskErrorKind::Full,
        -3 => DiskErrorKind::Denied,
        _ => DiskErrorKind::Other,
    };
    Err(DiskError::new(kind, host::disk_message()))
}
