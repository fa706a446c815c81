//! No lost update above READ COMMITTED: a committed transaction overwrote exactly the version that its snapshot saw, or
//! its own (first committer wins).

use crate::history::{History, Outcome};
use orrery_base::kv::Isolation;

/// Checks every write of committed transactions above READ COMMITTED.
pub fn check(history: &History) -> Result<(), String> {
    for (key, chain) in history.versions(|_, _| true) {
        for pair in chain.windows(2) {
            let (before, txn) = (&pair[0], &history.txns[pair[1].txn]);
            let (Outcome::Committed(_), Some(statement)) = (txn.outcome, txn.statements.first()) else {
                continue;
            };
            // An insert over a row that came and went after the snapshot conflicts with nothing that is there; whether
            // a SERIALIZABLE transaction may do so is told by the cycles.
            let came_and_went = before.value.is_none();
            if txn.isolation == Isolation::ReadCommitted || came_and_went {
                continue;
            }
            if before.timestamp.is_some_and(|at| at > statement.snapshot) {
                return Err(format!(
                    "transaction {} ({:?}) at snapshot {} overwrote {:?} in {key:?}, committed at {:?}: a lost update",
                    txn.number, txn.isolation, statement.snapshot, before.value, before.timestamp
                ));
            }
        }
    }
    Ok(())
}
