//! Superblocks: two generations × two copies (DESIGN §4 "File").
//!
//! A copy is 4,096 bytes written alone at the start of an 8,192-byte place, so that one torn write damages one copy.
//! Places, in bytes from the file's start, whatever the page unit is:
//!
//! | generation | first copy | second copy |
//! |---|---|---|
//! | 0 | 0 | 524,288 |
//! | 1 | 8,192 | 532,480 |
//!
//! Fields, little-endian; both copies of a generation are the same bytes:
//!
//! | bytes | field |
//! |---|---|
//! | 0–7 | magic `ORRERYDB` |
//! | 8–11 | format version: 0 |
//! | 12–15 | page unit in bytes |
//! | 16–31 | database id |
//! | 32–39 | sequence: the tree version it makes current |
//! | 40–43 | checksum of the parent (the superblock current before this one); 0 for the first |
//! | 44 | generation: 0 or 1 |
//! | 45 | 1 after a clean close |
//! | 46–47 | reserved, 0 |
//! | 48–71 | pointer to the meta tree's root; zero bytes: no tree |
//! | 72–95 | pointer to the free-space root; zero bytes: all is free |
//! | 96–119 | reserved, zero bytes (the list of history runs is a tree: `history.rs`) |
//! | 120–123 | levels of the meta tree |
//! | 124–127 | encryption epoch: reserved, 0 |
//! | 128–135 | the file's units at the time (a clean close may cut unused ones off behind it) |
//! | 136–143 | entries of the meta tree |
//! | 144–151 | units of the meta tree's pages |
//! | 152–183 | log position: segment, salt, batch number, offset |
//! | 184–187 | log position: chain checksum |
//! | 188–191 | reserved, 0 |
//! | 192–199 | commit timestamp |
//! | 200–207 | clock bound |
//! | 208–215 | next transaction id |
//! | 216–223 | oldest unsealed transaction: reserved, 0 |
//! | 224–4,091 | reserved, 0 |
//! | 4,092–4,095 | CRC-32 of bytes 0–4,091 |

use super::page::{self, u32_at, u64_at};
use super::{LogPosition, StoreState};
use orrery_base::hash::checksum;
use orrery_base::sorting;
use orrery_base::{Error, PagePtr, Result, SqlState, Timestamp};

/// Bytes of a copy.
pub const COPY_BYTES: usize = 4096;
/// Bytes kept for a copy.
pub const PLACE_BYTES: u64 = 8192;
/// Where the copies lie: `[generation][copy]`.
pub const PLACES: [[u64; 2]; 2] = [[0, 524_288], [8_192, 532_480]];
const MAGIC: [u8; 8] = *b"ORRERYDB";
const FORMAT_VERSION: u32 = 0;
/// Where the fields end and the reserved space begins.
const FIELD_BYTES: usize = 224;

/// A superblock.
#[derive(Clone, Debug, PartialEq)]
pub struct Superblock {
    /// Page unit of the file.
    pub unit_bytes: usize,
    /// The database's id.
    pub database_id: [u8; 16],
    /// The tree version it makes current.
    pub sequence: u64,
    /// The checksum of the superblock that was current before.
    pub parent_checksum: u32,
    /// Which of the two generations it is.
    pub generation: usize,
    /// Root of the meta tree.
    pub meta: Option<MetaRoot>,
    /// Root of the free-space pages.
    pub free_space: Option<PagePtr>,
    /// The file's length.
    pub file_unit_count: u64,
    /// The owner's state.
    pub state: StoreState,
}

/// Where the meta tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaRoot {
    /// Its root page.
    pub ptr: PagePtr,
    /// Its levels.
    pub height: u32,
    /// Its entries: trees.
    pub entry_count: u64,
    /// Units of its pages.
    pub unit_count: u64,
}

impl Superblock {
    /// The 4,096 bytes of a copy.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; COPY_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(8, &FORMAT_VERSION.to_le_bytes());
        put(12, &(self.unit_bytes as u32).to_le_bytes());
        put(16, &self.database_id);
        put(32, &self.sequence.to_le_bytes());
        put(40, &self.parent_checksum.to_le_bytes());
        put(44, &[self.generation as u8, u8::from(self.state.clean)]);
        put(48, &page::encode_optional_ptr(self.meta.as_ref().map(|meta| &meta.ptr)));
        put(72, &page::encode_optional_ptr(self.free_space.as_ref()));
        if let Some(meta) = &self.meta {
            put(120, &meta.height.to_le_bytes());
            put(136, &meta.entry_count.to_le_bytes());
            put(144, &meta.unit_count.to_le_bytes());
        }
        put(128, &self.file_unit_count.to_le_bytes());
        let log = &self.state.log_position;
        for (at, number) in [(152, log.segment), (160, log.salt), (168, log.batch_no), (176, log.offset)] {
            put(at, &number.to_le_bytes());
        }
        put(184, &log.chain_checksum.to_le_bytes());
        put(192, &self.state.commit_timestamp.0.to_le_bytes());
        put(200, &self.state.clock_bound.0.to_le_bytes());
        put(208, &self.state.next_txn_id.to_le_bytes());
        put(216, &self.state.oldest_unsealed_txn.to_le_bytes());
        let sum = checksum(&bytes[..COPY_BYTES - 4]);
        bytes[COPY_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The checksum its child names.
    pub fn checksum(&self) -> u32 {
        u32_at(&self.encode(), COPY_BYTES - 4)
    }

    /// Reads the copy found in a place of `generation`.
    pub fn decode(bytes: &[u8], generation: usize) -> Result<Superblock, CopyFault> {
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(CopyFault::Empty);
        }
        if bytes.len() < COPY_BYTES || bytes[..8] != MAGIC {
            return Err(CopyFault::Foreign);
        }
        if u32_at(bytes, COPY_BYTES - 4) != checksum(&bytes[..COPY_BYTES - 4]) {
            return Err(CopyFault::Damaged("its checksum is wrong".into()));
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(CopyFault::Version(version));
        }
        if usize::from(bytes[44]) != generation {
            return Err(CopyFault::Damaged(format!("it belongs to generation {}", bytes[44])));
        }
        let unit_bytes = u32_at(bytes, 12) as usize;
        if !is_unit_bytes(unit_bytes) {
            return Err(CopyFault::Damaged(format!("a page unit of {unit_bytes} bytes is impossible")));
        }
        Ok(Self::decode_fields(bytes, generation, unit_bytes))
    }

    fn decode_fields(bytes: &[u8], generation: usize, unit_bytes: usize) -> Superblock {
        let meta = page::decode_optional_ptr(&bytes[48..72]).map(|ptr| MetaRoot {
            ptr,
            height: u32_at(bytes, 120),
            entry_count: u64_at(bytes, 136),
            unit_count: u64_at(bytes, 144),
        });
        let log_position = LogPosition {
            segment: u64_at(bytes, 152),
            salt: u64_at(bytes, 160),
            batch_no: u64_at(bytes, 168),
            offset: u64_at(bytes, 176),
            chain_checksum: u32_at(bytes, 184),
        };
        let state = StoreState {
            log_position,
            commit_timestamp: Timestamp(u64_at(bytes, 192)),
            clock_bound: Timestamp(u64_at(bytes, 200)),
            next_txn_id: u64_at(bytes, 208),
            oldest_unsealed_txn: u64_at(bytes, 216),
            clean: bytes[45] == 1,
        };
        Superblock {
            unit_bytes,
            database_id: bytes[16..32].try_into().expect("16 bytes"),
            sequence: u64_at(bytes, 32),
            parent_checksum: u32_at(bytes, 40),
            generation,
            meta,
            free_space: page::decode_optional_ptr(&bytes[72..96]),
            file_unit_count: u64_at(bytes, 128),
            state,
        }
    }
}

/// Whether a page unit may have this size.
pub fn is_unit_bytes(bytes: usize) -> bool {
    bytes.is_power_of_two() && (8192..=32_768).contains(&bytes)
}

/// Whether a byte of a copy belongs to a field, not to the reserved space.
pub fn has_field(at: usize) -> bool {
    at < FIELD_BYTES || (COPY_BYTES - 4..COPY_BYTES).contains(&at)
}

/// Whether these bytes may be a copy of which not all sectors were written: its magic is there, or nothing in its place.
pub fn may_be_torn(bytes: &[u8]) -> bool {
    let magic = &bytes[..MAGIC.len().min(bytes.len())];
    magic == MAGIC || magic.iter().all(|&byte| byte == 0)
}

/// Why a copy is not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum CopyFault {
    /// Zero bytes: never written.
    Empty,
    /// Not ours.
    Foreign,
    /// Ours, of a format this build does not know.
    Version(u32),
    /// Ours, damaged.
    Damaged(String),
}

/// What the four places hold.
#[derive(Debug)]
pub struct Chosen {
    /// The newest whole superblock.
    pub newest: Superblock,
    /// Its parent, when that is whole.
    pub older: Option<Superblock>,
    /// The places whose copy is missing or damaged, in words.
    pub damaged: Vec<String>,
}

/// Chooses among the copies, `copies[generation][copy]`.
///
/// A twin that still holds what its generation held before is no damage: the write of the two copies was cut between
/// them. Nor is it a reason to refuse when both copies of a generation are damaged: that is what a crash between the two
/// syncs leaves, the other generation is whole with all its pages (I4), and the log reaches from it (the log's half
/// refuses when it does not).
///
/// Errors: 58000 not ours, 58P01 never finished, XX001 all damaged, 0A000 a newer format.
pub fn choose(copies: &[[Vec<u8>; 2]; 2]) -> Result<Chosen> {
    let mut whole: Vec<Superblock> = Vec::new();
    let (mut damaged, mut empty, mut foreign) = (Vec::new(), 0, 0);
    for (generation, places) in copies.iter().enumerate() {
        for (copy, bytes) in places.iter().enumerate() {
            let place = format!("superblock generation {generation}, copy {copy}");
            match Superblock::decode(bytes, generation) {
                Ok(superblock) => whole.push(superblock),
                Err(CopyFault::Version(version)) => {
                    return Err(Error::unsupported(format!("data file format {version}")));
                }
                Err(CopyFault::Empty) => {
                    empty += 1;
                    damaged.push(format!("{place}: empty"));
                }
                Err(CopyFault::Foreign) => {
                    foreign += 1;
                    damaged.push(format!("{place}: not a superblock"));
                }
                Err(CopyFault::Damaged(what)) => damaged.push(format!("{place}: {what}")),
            }
        }
    }
    sorting::sort_by_key(&mut whole, |superblock| superblock.sequence);
    let Some(newest) = whole.pop() else {
        return Err(match (empty, foreign) {
            (4, _) => {
                Error::new(SqlState::UNDEFINED_FILE, "there is no database: its creation never finished")
            }
            (_, foreign) if foreign + empty == 4 => {
                Error::new(SqlState::SYSTEM_ERROR, "not an Orrery database")
            }
            _ => Error::corrupt("all copies of the superblock are damaged").with_detail(damaged.join("; ")),
        });
    };
    let older = whole
        .into_iter()
        .rev()
        .find(|older| older.generation != newest.generation && older.checksum() == newest.parent_checksum);
    Ok(Chosen { newest, older, damaged })
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::PageNo;

    fn sample(sequence: u64, parent: Option<&Superblock>) -> Superblock {
        Superblock {
            unit_bytes: 8192,
            database_id: *b"0123456789abcdef",
            sequence,
            parent_checksum: parent.map_or(0, Superblock::checksum),
            generation: parent.map_or(0, |parent| 1 - parent.generation),
            meta: Some(MetaRoot {
                ptr: PagePtr { page_no: PageNo(70), unit_count: 1, version: sequence, checksum: 0x0102_0304 },
                height: 1,
                entry_count: 3,
                unit_count: 1,
            }),
            free_space: None,
            file_unit_count: 128,
            state: StoreState {
                log_position: LogPosition { segment: 1, salt: 2, batch_no: 3, offset: 4, chain_checksum: 5 },
                commit_timestamp: Timestamp(6),
                clock_bound: Timestamp(7),
                next_txn_id: 8,
                oldest_unsealed_txn: 0,
                clean: false,
            },
        }
    }

    fn places(first: &Superblock, second: &Superblock) -> [[Vec<u8>; 2]; 2] {
        let mut places = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
        for superblock in [first, second] {
            places[superblock.generation] = [superblock.encode(), superblock.encode()];
        }
        places
    }

    #[test]
    fn round_trip_and_golden_bytes() {
        let superblock = sample(9, None);
        let bytes = superblock.encode();
        assert_eq!(Superblock::decode(&bytes, 0), Ok(superblock));
        let hex = |range: std::ops::Range<usize>| -> String {
            bytes[range].iter().map(|b| format!("{b:02x}")).collect()
        };
        assert_eq!(hex(0..16), "4f52524552594442".to_string() + "0000000000200000");
        assert_eq!(
            hex(16..48),
            "30313233343536373839616263646566".to_string() + "09000000000000000000000000000000"
        );
        assert_eq!(hex(48..72), "460000000000000001000000040302010900000000000000");
        assert_eq!(
            hex(120..152),
            "01000000000000008000000000000000".to_string() + "03000000000000000100000000000000"
        );
        assert_eq!(
            hex(152..192),
            "0100000000000000020000000000000003000000000000000400000000000000".to_string()
                + "0500000000000000"
        );
        assert_eq!(hex(192..224), "0600000000000000070000000000000008000000000000000000000000000000");
    }

    #[test]
    fn the_newest_whole_one_is_chosen() {
        let first = sample(1, None);
        let second = sample(2, Some(&first));
        let all = places(&first, &second);
        let chosen = choose(&all).expect("all whole");
        assert_eq!((chosen.newest.sequence, chosen.older.map(|it| it.sequence)), (2, Some(1)));
        assert!(chosen.damaged.is_empty());
        // One copy of the newest damaged: its twin serves.
        for at in [0, 9, 33, 100, 4000, 4095] {
            let mut torn = all.clone();
            torn[1][0][at] ^= 1;
            let chosen = choose(&torn).expect("the twin is whole");
            assert_eq!((chosen.newest.sequence, chosen.damaged.len()), (2, 1));
        }
        // Both: the older serves.
        let mut torn = all.clone();
        torn[1][0][50] ^= 1;
        torn[1][1][50] ^= 1;
        let chosen = choose(&torn).expect("the older is whole");
        assert_eq!((chosen.newest.sequence, chosen.damaged.len()), (1, 2));
        // The write of the third was cut between its copies.
        let third = sample(3, Some(&second));
        let mut cut = all.clone();
        cut[0][1] = third.encode();
        let chosen = choose(&cut).expect("the third is whole");
        assert_eq!((chosen.newest.sequence, chosen.older.map(|it| it.sequence)), (3, Some(2)));
    }

    #[test]
    fn what_is_not_a_database_is_said() {
        let code = |places: &[[Vec<u8>; 2]; 2]| choose(places).expect_err("no superblock").code();
        let zeros = vec![0; COPY_BYTES];
        let empty = [[zeros.clone(), zeros.clone()], [zeros.clone(), zeros.clone()]];
        assert_eq!(code(&empty), SqlState::UNDEFINED_FILE);
        let mut foreign = empty.clone();
        foreign[0][0] = b"SQLite format 3\0".repeat(256);
        assert_eq!(code(&foreign), SqlState::SYSTEM_ERROR);
        let first = sample(1, None);
        let mut damaged = places(&first, &sample(2, Some(&first)));
        damaged.iter_mut().flatten().for_each(|bytes| bytes[40] ^= 1);
        assert_eq!(code(&damaged), SqlState::DATA_CORRUPTED);
        let mut newer = first.encode();
        newer[8] = 9;
        let sum = checksum(&newer[..COPY_BYTES - 4]).to_le_bytes();
        newer[COPY_BYTES - 4..].copy_from_slice(&sum);
        damaged[0][0] = newer;
        assert_eq!(code(&damaged), SqlState::FEATURE_NOT_SUPPORTED);
    }
}
