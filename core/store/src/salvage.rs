//! Salvage: what of a damaged database can be read, for a new one. The trees are read page by page
//! ([`crate::pages::FileSalvage`]); the log is read from the oldest position from which it connects, as far as it is whole.
//!
//! Applying the log from the *older* generation's position on to rows of the newer one is right too: for each key the last change in the
//! log wins, and what it changes no more is as the newer trees have it.
//!
//! Commits behind the first batch that does not verify are lost, and told: to apply later ones without them would make states that
//! never were (I2).

use crate::log::format::{BatchHeader, ChunkHeader, CommitHeader, FrameKind, Operation, frames, operations};
use crate::log::read::{Replay, read_log};
use crate::pages::FileSalvage;
use crate::store::database_hash;
use orrery_base::hash::checksum_chain;
use orrery_base::{BoxFuture, Cx, Result, SqlState, TreeId, TxnId};
use std::collections::BTreeMap;

/// A change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SalvagedChange {
    /// A row is this.
    Put(TreeId, Vec<u8>, Vec<u8>),
    /// A row is gone.
    Delete(TreeId, Vec<u8>),
    /// A whole tree is gone.
    DropTree(TreeId),
}

/// What the log gave.
#[derive(Debug, Default)]
pub struct LogSalvage {
    /// Whole commits, in order.
    pub commits: Vec<Vec<SalvagedChange>>,
    /// Batches read.
    pub batch_count: u64,
    /// What could not be read.
    pub losses: Vec<String>,
}

#[derive(Default)]
struct Chunks {
    bytes: Vec<u8>,
    next_no: u32,
    checksum: u32,
}

#[derive(Default)]
struct Collect {
    chunks: BTreeMap<TxnId, Chunks>,
    found: LogSalvage,
    /// The batch behind those that were read.
    next_batch: u64,
}

impl Replay for Collect {
    fn batch<'a>(&'a mut self, header: &'a BatchHeader, batch: &'a [u8]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            for frame in frames(batch) {
                let frame = frame?;
                match frame.kind {
                    FrameKind::Chunk => self.chunk(frame.payload)?,
                    FrameKind::Commit => self.commit(frame.payload, header)?,
                    _ => {}
                }
            }
            self.found.batch_count += 1;
            self.next_batch = header.batch_no + 1;
            Ok(())
        })
    }
}

impl Collect {
    fn chunk(&mut self, payload: &[u8]) -> Result<()> {
        let (header, part) = ChunkHeader::decode(payload)?;
        let chunks = self.chunks.entry(header.txn).or_default();
        if header.chunk_no == 0 {
            *chunks = Chunks::default();
        }
        if header.chunk_no == chunks.next_no {
            chunks.next_no += 1;
            chunks.checksum = checksum_chain(chunks.checksum, part);
            chunks.bytes.extend_from_slice(part);
        }
        Ok(())
    }

    fn commit(&mut self, payload: &[u8], batch: &BatchHeader) -> Result<()> {
        let (header, inline) = CommitHeader::decode(payload)?;
        let chunks = self.chunks.remove(&header.txn).unwrap_or_default();
        let is_whole = chunks.next_no == header.chunk_count
            && (header.chunk_count == 0 || chunks.checksum == header.operations_checksum);
        if !is_whole {
            // Its first chunks lie before where reading began, which is so only for a commit that the trees hold.
            let message = format!("log batch {}: the chunks of a commit begin before it", batch.batch_no);
            self.found.losses.push(message);
            return Ok(());
        }
        let bytes = if header.chunk_count > 0 { &chunks.bytes[..] } else { inline };
        let changes = operations(bytes).map(|operation| {
            Ok(match operation? {
                Operation::Put { tree, key, value } => {
                    SalvagedChange::Put(tree, key.to_vec(), value.to_vec())
                }
                Operation::Delete { tree, key } => SalvagedChange::Delete(tree, key.to_vec()),
                Operation::DropTree { tree } => SalvagedChange::DropTree(tree),
            })
        });
        self.found.commits.push(changes.collect::<Result<_>>()?);
        Ok(())
    }
}

/// Reads the log of a database whose trees were salvaged: from the older generation's position if that reaches the newer one's, else from
/// there. What lies before the newer trees' position must not be applied without the rest of it, since it would make their rows older.
/// The log is held in memory: it is bounded. Errors: the disk's, 57014; damage is in the answer.
pub async fn salvage_log(cx: &Cx, file: &FileSalvage) -> Result<LogSalvage> {
    let states = file.states();
    let Some(newest) = states.first() else { return Ok(LogSalvage::default()) };
    let mut losses = Vec::new();
    for (number, state) in states.iter().enumerate().rev() {
        let mut collect = Collect { next_batch: state.log_position.batch_no, ..Collect::default() };
        let (database, position) = (database_hash(&file.database_id), state.log_position);
        let read = read_log(cx, position, database, state.clean, position.batch_no, &mut collect).await;
        let error = match read {
            Ok(_) => None,
            Err(error) if error.code() == SqlState::QUERY_CANCELED => return Err(error),
            Err(error) => Some(error),
        };
        let mut found = collect.found;
        if number == 0 || collect.next_batch >= newest.log_position.batch_no {
            losses.append(&mut found.losses);
            losses.extend(error.iter().map(|error| error.message().to_owned()));
            losses.extend(error.and_then(|error| error.detail().map(str::to_owned)));
            return Ok(LogSalvage { losses, ..found });
        }
        if file.losses.iter().any(|it| it.is_replaced && it.tree.is_some()) {
            let message = "it does not reach from the older state of the file to the newer one: \
                what was read from the older one stays as old";
            losses.push(message.to_owned());
        }
    }
    Ok(LogSalvage { losses, ..LogSalvage::default() })
}
