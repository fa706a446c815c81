//! The bytes of the log. The layout by offset is in `docs/log-format.md`; this file is its encoder and decoder.
//!
//! A batch is a 64-byte header and frames, and starts on a sector boundary. A frame is a 32-byte header and a payload.
//! All integers are little-endian. Two checksums stand in a batch header: one of the header alone, by which recovery
//! may believe a header whose batch is damaged (I3), and one of the whole batch chained from the batch before.
//!
//! A change is a run of *operations*. A small transaction carries them in its commit frame; a large one writes them
//! ahead in chunk frames, and its commit frame seals these by count, length and checksum. Unsealed chunks are dead.

use orrery_base::hash::{checksum, checksum_chain};
use orrery_base::{AlignedBuf, Error, Result, Timestamp, TreeId, TxnId};

/// Batches start at multiples of this.
pub const SECTOR_BYTES: usize = 512;
/// Bytes of a batch header.
pub const BATCH_HEADER_BYTES: usize = 64;
/// Bytes of a frame header.
pub const FRAME_HEADER_BYTES: usize = 32;
/// Bytes of a commit payload before its operations.
pub const COMMIT_HEADER_BYTES: usize = 48;
/// Bytes of a chunk payload before its part of the operations.
pub const CHUNK_HEADER_BYTES: usize = 16;
/// Bytes of an operation before its key.
pub const OPERATION_HEADER_BYTES: usize = 12;
/// The first four bytes of a batch.
pub const BATCH_MAGIC: [u8; 4] = *b"OrLb";
/// The format's number. Version 0 carries no promise (DESIGN §11).
pub const FORMAT_VERSION: u16 = 0;

/// What a frame is. All kinds are numbered from the start; those that nothing writes yet are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A part of a large transaction's operations.
    Chunk = 1,
    /// A transaction's operations, or the seal of its chunks.
    Commit = 2,
    /// A transaction whose chunks are dead. Reserved.
    Abort = 3,
    /// A schema change. Reserved.
    Ddl = 4,
    /// A decision record (L7). Reserved.
    Decision = 5,
    /// Two-phase commit, first phase. Reserved.
    Prepare = 6,
    /// Two-phase commit, second phase. Reserved.
    Decide = 7,
    /// A change of the group's members. Reserved.
    Membership = 8,
    /// Consensus hard state. Reserved.
    HardState = 9,
    /// Cuts a suffix of the log. Reserved.
    TruncateSuffix = 10,
    /// Values handed out ahead of their use. Reserved.
    SequenceReservation = 11,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<FrameKind> {
        use FrameKind::*;
        let all = [
            Chunk,
            Commit,
            Abort,
            Ddl,
            Decision,
            Prepare,
            Decide,
            Membership,
            HardState,
            TruncateSuffix,
            SequenceReservation,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The database it belongs to: a hash of its id.
    pub database: u64,
    /// The segment's salt: which use of the file this is. Salts only grow.
    pub salt: u64,
    /// Batches are numbered from 1 without gaps.
    pub batch_no: u64,
    /// Where in its file it starts.
    pub offset: u64,
    /// Every batch up to this one was known durable when this was written.
    pub synced_through: u64,
    /// Bytes of the batch: header and frames, without padding.
    pub length: u32,
    /// The checksum of the batch before.
    pub previous: u32,
    /// The checksum of this batch, chained from `previous`.
    pub checksum: u32,
}

impl BatchHeader {
    /// Fills the header of `batch` (whose frames are in place) and gives the batch's checksum. `length` and `checksum`
    /// are computed here.
    pub fn seal(mut self, batch: &mut [u8]) -> u32 {
        self.length = u32::try_from(batch.len()).expect("a batch fits a segment");
        batch[0..4].copy_from_slice(&BATCH_MAGIC);
        batch[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        batch[6..8].fill(0);
        batch[8..16].copy_from_slice(&self.database.to_le_bytes());
        batch[16..24].copy_from_slice(&self.salt.to_le_bytes());
        batch[24..32].copy_from_slice(&self.batch_no.to_le_bytes());
        batch[32..40].copy_from_slice(&self.offset.to_le_bytes());
        batch[40..48].copy_from_slice(&self.synced_through.to_le_bytes());
        batch[48..52].copy_from_slice(&self.length.to_le_bytes());
        batch[52..56].copy_from_slice(&self.previous.to_le_bytes());
        let header = checksum(&batch[0..56]);
        batch[56..60].copy_from_slice(&header.to_le_bytes());
        let whole = batch_checksum(self.previous, batch);
        batch[60..64].copy_from_slice(&whole.to_le_bytes());
        whole
    }

    /// Reads a header and checks its own checksum; `None` when there is none here.
    pub fn decode(bytes: &[u8]) -> Option<BatchHeader> {
        let bytes = bytes.get(..BATCH_HEADER_BYTES)?;
        let good = bytes[0..4] == BATCH_MAGIC
            && bytes[4..6] == FORMAT_VERSION.to_le_bytes()
            && u32_at(bytes, 56) == checksum(&bytes[0..56]);
        good.then(|| BatchHeader {
            database: u64_at(bytes, 8),
            salt: u64_at(bytes, 16),
            batch_no: u64_at(bytes, 24),
            offset: u64_at(bytes, 32),
            synced_through: u64_at(bytes, 40),
            length: u32_at(bytes, 48),
            previous: u32_at(bytes, 52),
            checksum: u32_at(bytes, 60),
        })
    }
}

/// The chained checksum of a whole batch: all but the checksum field itself.
pub fn batch_checksum(previous: u32, batch: &[u8]) -> u32 {
    checksum_chain(checksum_chain(previous, &batch[0..60]), &batch[BATCH_HEADER_BYTES..])
}

/// A frame of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: FrameKind,
    /// Its consensus group; 0 on a single node.
    pub group: u32,
    /// Its index in the group's log; 0 on a single node.
    pub index: u64,
    /// Its term; 0 on a single node.
    pub term: u64,
    /// The rest.
    pub payload: &'a [u8],
}

/// Writes a frame header for a payload of `length` bytes at the start of `into`.
pub fn encode_frame_header(into: &mut [u8], kind: FrameKind, length: usize) {
    into[0..4].copy_from_slice(&u32::try_from(length).expect("a frame fits a segment").to_le_bytes());
    into[4..8].copy_from_slice(&[kind as u8, 0, 0, 0]);
    into[8..FRAME_HEADER_BYTES].fill(0);
}

/// The frames of a batch whose checksum is right. Errors: XX001 when they do not add up (a defect of the writer).
pub fn frames(batch: &[u8]) -> impl Iterator<Item = Result<Frame<'_>>> {
    let mut rest = &batch[BATCH_HEADER_BYTES..];
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let frame = split_frame(rest);
        rest = frame.as_ref().map_or(&[], |(_, after)| after);
        Some(
            frame
                .map(|(frame, _)| frame)
                .ok_or_else(|| Error::corrupt("a log batch holds a malformed frame")),
        )
    })
}

fn split_frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    let length = u32_at(header, 0) as usize;
    let payload = bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES.checked_add(length)?)?;
    let frame = Frame {
        kind: FrameKind::from_byte(header[4])?,
        group: u32_at(header, 8),
        index: u64_at(header, 16),
        term: u64_at(header, 24),
        payload,
    };
    Some((frame, &bytes[FRAME_HEADER_BYTES + length..]))
}

/// The head of a commit frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitHeader {
    /// Who.
    pub txn: TxnId,
    /// When, by the hybrid clock; set when the commit is sequenced.
    pub timestamp: Timestamp,
    /// When, by the wall clock, in microseconds.
    pub wall_micros: u64,
    /// How many chunk frames carry the operations; 0 when they follow here.
    pub chunk_count: u32,
    /// Checksum of all operations, when in chunks; else 0.
    pub operations_checksum: u32,
    /// Bytes of all operations.
    pub operations_length: u64,
    /// How many operations.
    pub operation_count: u64,
}

impl CommitHeader {
    /// Writes it at the start of `into`.
    pub fn encode(&self, into: &mut [u8]) {
        into[0..8].copy_from_slice(&self.txn.0.to_le_bytes());
        into[8..16].copy_from_slice(&self.timestamp.0.to_le_bytes());
        into[16..24].copy_from_slice(&self.wall_micros.to_le_bytes());
        into[24..28].copy_from_slice(&self.chunk_count.to_le_bytes());
        into[28..32].copy_from_slice(&self.operations_checksum.to_le_bytes());
        into[32..40].copy_from_slice(&self.operations_length.to_le_bytes());
        into[40..48].copy_from_slice(&self.operation_count.to_le_bytes());
    }

    /// Splits a commit payload into its head and its inline operations.
    pub fn decode(payload: &[u8]) -> Result<(CommitHeader, &[u8])> {
        if payload.len() < COMMIT_HEADER_BYTES {
            return Err(Error::corrupt("a commit frame of the log is too short"));
        }
        let header = CommitHeader {
            txn: TxnId(u64_at(payload, 0)),
            timestamp: Timestamp(u64_at(payload, 8)),
            wall_micros: u64_at(payload, 16),
            chunk_count: u32_at(payload, 24),
            operations_checksum: u32_at(payload, 28),
            operations_length: u64_at(payload, 32),
            operation_count: u64_at(payload, 40),
        };
        Ok((header, &payload[COMMIT_HEADER_BYTES..]))
    }
}

/// The head of a chunk frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// Whose.
    pub txn: TxnId,
    /// Counted from 0 within the transaction.
    pub chunk_no: u32,
}

impl ChunkHeader {
    /// Writes it at the start of `into`.
    pub fn encode(&self, into: &mut [u8]) {
        into[0..8].copy_from_slice(&self.txn.0.to_le_bytes());
        into[8..12].copy_from_slice(&self.chunk_no.to_le_bytes());
        into[12..16].fill(0);
    }

    /// Splits a chunk payload into its head and its part of the operations.
    pub fn decode(payload: &[u8]) -> Result<(ChunkHeader, &[u8])> {
        if payload.len() < CHUNK_HEADER_BYTES {
            return Err(Error::corrupt("a chunk frame of the log is too short"));
        }
        let header = ChunkHeader { txn: TxnId(u64_at(payload, 0)), chunk_no: u32_at(payload, 8) };
        Ok((header, &payload[CHUNK_HEADER_BYTES..]))
    }
}

/// One change of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// A new value.
    Put {
        /// Where.
        tree: TreeId,
        /// Which key.
        key: &'a [u8],
        /// What.
        value: &'a [u8],
    },
    /// A tombstone.
    Delete {
        /// Where.
        tree: TreeId,
        /// Which key.
        key: &'a [u8],
    },
    /// The whole tree goes.
    DropTree {
        /// Which.
        tree: TreeId,
    },
}

const OPERATION_PUT: u8 = 0;
const OPERATION_DELETE: u8 = 1;
const OPERATION_DROP_TREE: u8 = 2;

impl Operation<'_> {
    /// Bytes it takes.
    pub fn encoded_len(key_len: usize, value_len: usize) -> usize {
        OPERATION_HEADER_BYTES + key_len + value_len
    }

    /// Writes it at the start of `into` and gives its length.
    #[inline]
    pub fn encode(&self, into: &mut [u8]) -> usize {
        let (kind, tree, key, value): (u8, TreeId, &[u8], &[u8]) = match *self {
            Operation::Put { tree, key, value } => (OPERATION_PUT, tree, key, value),
            Operation::Delete { tree, key } => (OPERATION_DELETE, tree, key, &[]),
            Operation::DropTree { tree } => (OPERATION_DROP_TREE, tree, &[], &[]),
        };
        let end = OPERATION_HEADER_BYTES + key.len() + value.len();
        let into = &mut into[..end];
        into[0..4].copy_from_slice(&tree.0.to_le_bytes());
        into[4..8].copy_from_slice(&(value.len() as u32).to_le_bytes());
        into[8..10].copy_from_slice(&(key.len() as u16).to_le_bytes());
        into[10] = kind;
        into[11] = 0;
        into[OPERATION_HEADER_BYTES..OPERATION_HEADER_BYTES + key.len()].copy_from_slice(key);
        into[OPERATION_HEADER_BYTES + key.len()..].copy_from_slice(value);
        end
    }
}

/// The first operation in `bytes` and what lies behind it; `None` while it is not whole.
pub fn first_operation(bytes: &[u8]) -> Option<(Operation<'_>, &[u8])> {
    split_operation(bytes)
}

/// The operations in `bytes`. Errors: XX001 when they do not add up.
pub fn operations(bytes: &[u8]) -> impl Iterator<Item = Result<Operation<'_>>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = split_operation(rest);
        rest = split.as_ref().map_or(&[], |(_, after)| after);
        Some(split.map(|(op, _)| op).ok_or_else(|| Error::corrupt("a log frame holds a malformed operation")))
    })
}

fn split_operation(bytes: &[u8]) -> Option<(Operation<'_>, &[u8])> {
    let header = bytes.get(..OPERATION_HEADER_BYTES)?;
    let tree = TreeId(u32_at(header, 0));
    let value_len = u32_at(header, 4) as usize;
    let key_end = OPERATION_HEADER_BYTES + usize::from(u16::from_le_bytes([header[8], header[9]]));
    let end = key_end.checked_add(value_len)?;
    let key = bytes.get(OPERATION_HEADER_BYTES..key_end)?;
    let value = bytes.get(key_end..end)?;
    let operation = match header[10] {
        OPERATION_PUT => Operation::Put { tree, key, value },
        OPERATION_DELETE if value.is_empty() => Operation::Delete { tree, key },
        OPERATION_DROP_TREE if end == OPERATION_HEADER_BYTES => Operation::DropTree { tree },
        _ => return None,
    };
    Some((operation, &bytes[end..]))
}

/// A commit or chunk frame with room for a batch header in front: the unit of the commit queue.
///
/// A batch of one frame is written from this very buffer; only the frames that join it are copied.
#[derive(Debug)]
pub struct EncodedFrame {
    /// Batch header (unset), frame header, payload.
    pub bytes: AlignedBuf,
    /// Whether its payload starts with a [`CommitHeader`] whose timestamp is set at sequencing.
    pub is_commit: bool,
}

impl EncodedFrame {
    /// A commit frame. `fill` writes exactly `inline_len` bytes of operations.
    pub fn commit(header: &CommitHeader, inline_len: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let payload = BATCH_HEADER_BYTES + FRAME_HEADER_BYTES;
        let mut bytes = AlignedBuf::zeroed(payload + COMMIT_HEADER_BYTES + inline_len);
        let length = COMMIT_HEADER_BYTES + inline_len;
        encode_frame_header(&mut bytes[BATCH_HEADER_BYTES..], FrameKind::Commit, length);
        header.encode(&mut bytes[payload..]);
        fill(&mut bytes[payload + COMMIT_HEADER_BYTES..]);
        EncodedFrame { bytes, is_commit: true }
    }

    /// One or more chunk frames, cut from `operations` into parts of `chunk_bytes`, numbered from `first_chunk_no`.
    pub fn chunks(txn: TxnId, first_chunk_no: u32, operations: &[u8], chunk_bytes: usize) -> Self {
        let count = operations.len().div_ceil(chunk_bytes);
        let overhead = FRAME_HEADER_BYTES + CHUNK_HEADER_BYTES;
        let mut bytes = AlignedBuf::zeroed(BATCH_HEADER_BYTES + count * overhead + operations.len());
        let mut at = BATCH_HEADER_BYTES;
        for (chunk_no, part) in (first_chunk_no..).zip(operations.chunks(chunk_bytes)) {
            encode_frame_header(&mut bytes[at..], FrameKind::Chunk, CHUNK_HEADER_BYTES + part.len());
            at += FRAME_HEADER_BYTES;
            ChunkHeader { txn, chunk_no }.encode(&mut bytes[at..]);
            at += CHUNK_HEADER_BYTES;
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        EncodedFrame { bytes, is_commit: false }
    }

    /// Sets the commit's timestamp and wall time.
    pub fn stamp(&mut self, timestamp: Timestamp, wall_micros: u64) {
        assert!(self.is_commit, "only commit frames carry a timestamp");
        let at = BATCH_HEADER_BYTES + FRAME_HEADER_BYTES;
        self.bytes[at + 8..at + 16].copy_from_slice(&timestamp.0.to_le_bytes());
        self.bytes[at + 16..at + 24].copy_from_slice(&wall_micros.to_le_bytes());
    }

    /// Bytes of the log that it takes at most: as a batch of its own.
    pub fn log_bytes(&self) -> u64 {
        round_up_to_sector(self.bytes.len() as u64)
    }

    /// Its frames, without the room for a batch header.
    pub fn frames(&self) -> &[u8] {
        &self.bytes[BATCH_HEADER_BYTES..]
    }
}

/// The next sector boundary.
pub fn round_up_to_sector(bytes: u64) -> u64 {
    bytes.next_multiple_of(SECTOR_BYTES as u64)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        let line = |row: &[u8]| row.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        bytes.chunks(16).map(line).collect::<Vec<_>>().join("\n")
    }

    fn sample() -> AlignedBuf {
        let put = Operation::Put { tree: TreeId(1000), key: b"key", value: b"value" };
        let delete = Operation::Delete { tree: TreeId(1001), key: b"k2" };
        let length = Operation::encoded_len(3, 5) + Operation::encoded_len(2, 0);
        let header = CommitHeader {
            txn: TxnId(7),
            timestamp: Timestamp::ZERO,
            wall_micros: 0,
            chunk_count: 0,
            operations_checksum: 0,
            operations_length: length as u64,
            operation_count: 2,
        };
        let mut frame = EncodedFrame::commit(&header, length, |into| {
            let at = put.encode(into);
            delete.encode(&mut into[at..]);
        });
        frame.stamp(Timestamp(0x1122), 0x33);
        let header = BatchHeader {
            database: 0xD8,
            salt: 5,
            batch_no: 9,
            offset: 1024,
            synced_through: 8,
            length: 0,
            previous: 0xAABB_CCDD,
            checksum: 0,
        };
        header.seal(&mut frame.bytes);
        frame.bytes
    }

    /// The bytes are the format: a change here is a change of every file.
    #[test]
    fn golden_batch() {
        let golden = "4f724c6200000000d800000000000000\n\
                      05000000000000000900000000000000\n\
                      00040000000000000800000000000000\n\
                      b2000000ddccbbaa1553af299f488189\n\
                      52000000020000000000000000000000\n\
                      00000000000000000000000000000000\n\
                      07000000000000002211000000000000\n\
                      33000000000000000000000000000000\n\
                      22000000000000000200000000000000\n\
                      e803000005000000030000006b657976\n\
                      616c7565e90300000000000002000100\n\
                      6b32";
        let batch = sample();
        assert_eq!(hex(&batch), golden);
    }

    #[test]
    fn a_batch_reads_back() {
        let batch = sample();
        let header = BatchHeader::decode(&batch).expect("a header");
        assert_eq!((header.batch_no, header.salt, header.length as usize), (9, 5, batch.len()));
        assert_eq!(header.checksum, batch_checksum(header.previous, &batch));
        let frames: Vec<_> = frames(&batch).collect::<Result<_>>().expect("well formed");
        let (commit, inline) = CommitHeader::decode(frames[0].payload).expect("a commit");
        assert_eq!((commit.txn, commit.timestamp), (TxnId(7), Timestamp(0x1122)));
        let operations: Vec<_> = operations(inline).collect::<Result<_>>().expect("well formed");
        assert_eq!(operations[1], Operation::Delete { tree: TreeId(1001), key: b"k2" });
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let batch = sample();
        for at in 0..batch.len() {
            let mut bad = batch.clone();
            bad[at] ^= 1;
            let accepted = BatchHeader::decode(&bad).is_some_and(|header| {
                header.length as usize == bad.len()
                    && header.checksum == batch_checksum(header.previous, &bad)
            });
            assert!(!accepted, "byte {at}");
        }
    }

    #[test]
    fn chunks_join_again() {
        let operations: Vec<u8> = (0..100).collect();
        let frame = EncodedFrame::chunks(TxnId(3), 4, &operations, 40);
        let mut joined = Vec::new();
        for (expected, frame) in (4..).zip(frames(&frame.bytes)) {
            let (header, part) = ChunkHeader::decode(frame.expect("well formed").payload).expect("a chunk");
            assert_eq!(header, ChunkHeader { txn: TxnId(3), chunk_no: expected });
            joined.extend_from_slice(part);
        }
        assert_eq!(joined, operations);
    }
}
