//! Which snapshots a transaction may have. READ COMMITTED: one a statement, never older than what was acknowledged to
//! anybody before the statement began, never going back. The higher levels: one for the whole transaction. A commit's
//! timestamp is above its snapshot and above everything acknowledged before it was asked for.

use crate::history::{History, Outcome};
use orrery_base::kv::Isolation;

/// Checks the snapshots and commit timestamps of the epoch.
pub fn check(history: &History) -> Result<(), String> {
    let mut timestamps = std::collections::BTreeMap::new();
    for txn in &history.txns {
        for (index, statement) in txn.statements.iter().enumerate() {
            let (snapshot, floor) = (statement.snapshot, statement.floor);
            if snapshot < floor {
                return Err(format!(
                    "transaction {} reads at {snapshot}, older than the commit acknowledged at {floor} before it began",
                    txn.number
                ));
            }
            let Some(before) = index.checked_sub(1).map(|index| txn.statements[index].snapshot) else {
                continue;
            };
            let goes_back = snapshot < before;
            let moves = txn.isolation != Isolation::ReadCommitted && snapshot != before;
            if goes_back || moves {
                return Err(format!(
                    "transaction {} ({:?}) moved its snapshot from {before} to {snapshot}",
                    txn.number, txn.isolation
                ));
            }
        }
        let Outcome::Committed(timestamp) = txn.outcome else { continue };
        if txn.writes.is_empty() {
            continue;
        }
        if let Some(statement) = txn.statements.last().filter(|it| timestamp <= it.snapshot) {
            return Err(format!(
                "transaction {} committed at {timestamp}, not after {statement:?}",
                txn.number
            ));
        }
        if let Some(other) = timestamps.insert(timestamp, txn.number) {
            return Err(format!("transactions {other} and {} both committed at {timestamp}", txn.number));
        }
    }
    Ok(())
}
