//! Damage to files: what a failing medium, or a person, does behind the database's back. One injury in a seed.
//!
//! Legal answers afterwards: none of these takes an acknowledged commit away unseen. After all but
//! [`Injury::NewestSuperblock`] XX001 is right (the data may really be gone), a wrong row never is. After that one even
//! XX001 is wrong: the older generation's pages and the log from its position on are kept for exactly this case.

use crate::disk::Disk;
use orrery_base::disk::FileId;
use orrery_base::rng::Rng;

/// See the file's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injury {
    /// Bits of the data file turn over.
    DataBit,
    /// A write to the data file goes elsewhere, on top of what is there.
    Misdirect,
    /// A write to the data file is lost although it was answered.
    LoseWrite,
    /// A bit of a synced log batch turns over; never of the newest, where it could not be told from a torn write.
    LogBit,
    /// The log is removed while the database is closed, from the batch on at which replay must begin. (The loss of later
    /// segments alone cannot be told from their never having been.)
    LoseLog,
    /// Both copies of the newest superblock are zeroed while the database is closed.
    NewestSuperblock,
}

impl Injury {
    /// All of them.
    pub const ALL: &'static [Injury] = &[
        Injury::DataBit,
        Injury::Misdirect,
        Injury::LoseWrite,
        Injury::LogBit,
        Injury::LoseLog,
        Injury::NewestSuperblock,
    ];

    /// Whether XX001 is a legal answer from now on.
    pub fn may_refuse(self) -> bool {
        self != Injury::NewestSuperblock
    }

    /// Does it while the database is open, if it is of that kind; says whether it was done.
    pub fn while_running(self, disk: &mut Disk, rng: &mut Rng) -> bool {
        match self {
            Injury::Misdirect => disk.misdirect_next(),
            Injury::LoseWrite => disk.lose_next(),
            Injury::DataBit => return flip_data_bit(disk, rng),
            Injury::LogBit | Injury::LoseLog | Injury::NewestSuperblock => return false,
        }
        true
    }

    /// Does it while the power is off, if it is of that kind; says whether it was done.
    pub fn while_down(self, disk: &mut Disk, rng: &mut Rng) -> bool {
        match self {
            Injury::DataBit => flip_data_bit(disk, rng),
            Injury::LogBit => {
                let byte = disk.draw_old_log_byte(rng);
                byte.is_some_and(|(file, offset)| disk.flip_bit(file, offset, rng.below(8) as u8))
            }
            Injury::LoseLog => lose_logs(disk),
            Injury::NewestSuperblock => zero_newest_superblock(disk),
            Injury::Misdirect | Injury::LoseWrite => false,
        }
    }
}

/// Bits that turn over in one injury.
const DATA_BIT_COUNT: usize = 12;

fn flip_data_bit(disk: &mut Disk, rng: &mut Rng) -> bool {
    let data = disk.durable(FileId::Data).unwrap_or_default();
    // Most of a small file is empty, where a bit says nothing: what is written is what may rot.
    let written = |rng: &mut Rng| {
        let at = rng.below(data.len() as u64);
        Some(at).filter(|&at| data[at as usize] != 0)
    };
    if data.is_empty() {
        return false;
    }
    // Much of what is written is of versions that nobody reads any more.
    let places: Vec<u64> = (0..1000).filter_map(|_| written(rng)).take(DATA_BIT_COUNT).collect();
    places.iter().filter(|at| disk.flip_bit(FileId::Data, **at, rng.below(8) as u8)).count() > 0
}

fn lose_logs(disk: &mut Disk) -> bool {
    let newest = superblocks(disk).into_iter().flatten().max_by_key(|superblock| superblock.sequence);
    let Some(first_salt) = newest.filter(|it| it.log_segment > 0).map(|it| it.log_salt) else { return false };
    // Segments are used again: a newer salt says which of them lie behind the position, not their number.
    let salt = |id: &FileId| {
        let bytes = disk.durable(*id).filter(|bytes| bytes.starts_with(b"OrLb"))?;
        Some(u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes")))
    };
    let is_lost = |id: &FileId| matches!(id, FileId::Log(_)) && salt(id).is_some_and(|it| it >= first_salt);
    let lost: Vec<FileId> = disk.file_ids().into_iter().filter(is_lost).collect();
    lost.iter().filter(|log| disk.remove_file(**log)).count() > 0
}

/// The superblocks' places and the field that orders them (docs/file-format.md).
const SUPERBLOCK_PLACES: [[u64; 2]; 2] = [[0, 524_288], [8_192, 532_480]];
const SUPERBLOCK_BYTES: usize = 4096;

struct Superblock {
    sequence: u64,
    log_segment: u64,
    log_salt: u64,
}

/// The newest readable copy of each generation.
fn superblocks(disk: &Disk) -> [Option<Superblock>; 2] {
    let data = disk.durable(FileId::Data).unwrap_or_default();
    let read = |at: u64| {
        let bytes = data.get(at as usize..at as usize + SUPERBLOCK_BYTES)?;
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let sum = u32::from_le_bytes(bytes[4092..].try_into().expect("four bytes"));
        let whole = bytes.starts_with(b"ORRERYDB") && orrery_base::hash::checksum(&bytes[..4092]) == sum;
        whole.then(|| Superblock { sequence: word(32), log_segment: word(152), log_salt: word(160) })
    };
    SUPERBLOCK_PLACES.map(|copies| copies.into_iter().filter_map(read).max_by_key(|it| it.sequence))
}

fn zero_newest_superblock(disk: &mut Disk) -> bool {
    // Without an older generation nothing could be promised.
    let [Some(first), Some(second)] = superblocks(disk) else { return false };
    for place in SUPERBLOCK_PLACES[usize::from(second.sequence > first.sequence)] {
        disk.zero(FileId::Data, place, SUPERBLOCK_BYTES);
    }
    true
}
