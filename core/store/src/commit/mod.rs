//! The life of a commit (DESIGN §5), in the order that is its correctness:
//!
//! 1. [`prepare`]: the write set is sealed and encoded, chunks of a large one are written: outside every lock.
//! 2. [`prepare`]: SERIALIZABLE reads are validated outside the lock; the sequencer's lock is taken for the rest of the
//!    validation, the timestamp, the conflict table, and the place in the queue. *Point of no return.*
//! 3. [`queue`]: the first waiter becomes the leader: one write and one sync for all that is queued. The batch in flight
//!    belongs to the queue: whoever polls next goes on with it.
//! 4. [`install`]: write sets go into the memtable in log order, are published once, their locks are released, the
//!    owners are woken.

pub mod conflict;
pub mod gate;
pub mod install;
pub mod prepare;
pub mod queue;
pub mod slot;
