//! The write-ahead log: its bytes ([`format`]), its space ([`space`]) and its reading at recovery ([`read`]).
//!
//! One batch is one write. Batches are numbered without gaps and chained by checksum over all segments; a segment is a
//! preallocated file `Log(n)` that is used again, with a fresh salt, once both superblock generations lie past it.
//!
//! What it does not do: it knows nothing of transactions. Who writes batches and when is the commit queue's business.

pub mod format;
pub mod read;
pub mod space;
