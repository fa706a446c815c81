//! Rows say which write they replaced (`UPDATE … SET prev = v`): it must be the version before them, whatever the level
//! and whoever had to wait. READ COMMITTED computes on the newest row, so it loses no such update either.

use crate::history::{History, Version};

/// Checks what the rows that were read say of their past.
pub fn check(history: &History) -> Result<(), String> {
    let versions = history.versions(|_, _| true);
    for ((key, value), previous) in &history.previous {
        let Some(writer) = history.writer(*value) else { continue };
        let is_own = |it: &crate::history::ValueId| it.txn_number() == value.txn_number();
        let Some(chain) = versions.get(key) else { continue };
        let place = chain.iter().position(|it| it.txn == writer && it.value == Some(*value));
        // A write that its own transaction replaced, or one over its own: nobody else has to do with that.
        let (Some(place), false) = (place, previous.as_ref().is_some_and(is_own)) else { continue };
        // Versions without an answer may never have been; the newest sure one was, and hides all before it.
        let sure = chain[..place].iter().rposition(|it: &Version| it.timestamp.is_some());
        let base = history.base.get(key).copied();
        let mut due: Vec<_> = chain[sure.unwrap_or(0)..place].iter().map(|it| it.value).collect();
        if sure.is_none() {
            due.push(base);
        }
        if !due.contains(previous) {
            return Err(format!(
                "{key:?}: {value:?} of transaction {} ({:?}) replaced {previous:?}, due was one of {due:?}: a lost update",
                value.txn_number(),
                history.txns[writer].isolation
            ));
        }
    }
    Ok(())
}
