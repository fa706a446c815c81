//! Large writes past the system's page cache.
//!
//! A copy into fresh pages of the cache costs more than all the rest of a bulk load, and nobody reads these bytes there:
//! the store keeps what it wrote in its own pool, and a log is read after a crash only. So writes of
//! [`DIRECT_BYTES_MIN`] and more go to a second handle of the same file, opened with `O_DIRECT`. The kernel keeps both
//! handles coherent: it writes back and drops the pages in its cache that a direct write covers.
//!
//! It is never relied on: where the file system or the alignment does not allow it, the write goes the usual way. A sync
//! is needed as ever.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Smaller writes go through the page cache: they are gathered there, and read soon.
const DIRECT_BYTES_MIN: usize = 256 << 10;
/// What address, offset and length must be multiples of.
const GRAIN_BYTES: usize = 512;

/// See the file's head.
#[derive(Default)]
pub(crate) struct Direct {
    handle: OnceLock<Option<File>>,
    is_refused: AtomicBool,
}

impl Direct {
    /// Writes as much of `data`, from its start, as can be written directly; answers how much that was.
    pub(crate) fn write(&self, file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
        let is_aligned =
            (data.as_ptr() as usize).is_multiple_of(GRAIN_BYTES) && offset.is_multiple_of(GRAIN_BYTES as u64);
        if data.len() < DIRECT_BYTES_MIN || !is_aligned || self.is_refused.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let Some(handle) = self.handle.get_or_init(|| open(file)) else { return Ok(0) };
        let len = data.len() - data.len() % GRAIN_BYTES;
        let mut done = 0;
        while done < len {
            match write_some(handle, &data[done..len], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.is_refused.store(true, Ordering::Relaxed);
                    break;
                }
                Err(error) => return Err(error),
            }
            if done % GRAIN_BYTES != 0 {
                break;
            }
        }
        Ok(done)
    }
}

#[cfg(target_os = "linux")]
fn open(file: &File) -> Option<File> {
    use rustix::fs::OFlags;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    // By number, not by name: whatever has happened to the name, this is the same file.
    let same = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::DIRECT.bits().cast_signed();
    std::fs::OpenOptions::new().write(true).custom_flags(flags).open(same).ok()
}

#[cfg(not(target_os = "linux"))]
fn open(_: &File) -> Option<File> {
    None
}

fn write_some(handle: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    handle.write_at(data, offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::AlignedBuf;
    use std::os::unix::fs::FileExt;

    /// Direct and usual writes of overlapping ranges, each read back through the page cache.
    #[test]
    fn both_ways_see_one_file() {
        let folder = tempfile::tempdir_in(".").expect("a folder on a real disk");
        let path = folder.path().join("file");
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(path).expect("a file");
        let direct = Direct::default();
        let mut expected = vec![0; 3 << 20];
        file.write_all_at(&expected, 0).expect("zeros");
        for round in 1..12u8 {
            let mut data =
                AlignedBuf::zeroed(DIRECT_BYTES_MIN * usize::from(round % 3 + 1) + usize::from(round));
            data.fill(round);
            let offset = GRAIN_BYTES * usize::from(round) * 97;
            let done = direct.write(&file, &data, offset as u64).expect("written");
            file.write_all_at(&data[done..], (offset + done) as u64).expect("the rest");
            expected[offset..offset + data.len()].copy_from_slice(&data);
            let small = GRAIN_BYTES * usize::from(round) * 91 + 7;
            file.write_all_at(&[0xee; 700], small as u64).expect("a small write");
            expected[small..small + 700].fill(0xee);
            let mut found = vec![0; expected.len()];
            file.read_exact_at(&mut found, 0).expect("read");
            assert!(found == expected, "round {round}");
        }
    }

    #[test]
    fn what_cannot_go_directly_is_left_to_the_caller() {
        let file = tempfile::tempfile().expect("a file");
        let direct = Direct::default();
        let data = AlignedBuf::zeroed(DIRECT_BYTES_MIN + GRAIN_BYTES);
        assert_eq!(direct.write(&file, &data[..1000], 0).expect("fine"), 0);
        assert_eq!(direct.write(&file, &data[1..], 0).expect("fine"), 0);
        assert_eq!(direct.write(&file, &data, 100).expect("fine"), 0);
    }
}
