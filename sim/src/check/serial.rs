//! Serializability by cycle detection (Adya, "Weak Consistency", 1999): committed SERIALIZABLE transactions depend on
//! each other by what they wrote over each other (ww), read of each other (wr) and read before the other overwrote it
//! (rw, rows missed in a scanned range included). No cycle, then some serial order explains all they saw.
//!
//! Only transactions with known timestamps take part; edges through transactions of lower levels are left out.

use crate::history::{History, Key, Outcome, Seen, TxnIndex, ValueId, Versions};
use crate::workload::tables;
use orrery_base::Timestamp;
use orrery_base::kv::Isolation;
use std::collections::{BTreeMap, BTreeSet};

type Edges = BTreeMap<TxnIndex, BTreeSet<TxnIndex>>;

/// Checks that the committed SERIALIZABLE transactions have an order.
pub fn check(history: &History) -> Result<(), String> {
    let edges = edges(history);
    let Some(cycle) = find_cycle(&edges) else { return Ok(()) };
    let names: Vec<String> = cycle
        .iter()
        .map(|&index| {
            let txn = &history.txns[index];
            format!(
                "{} (snapshot {:?}, {:?})",
                txn.number,
                txn.statements.first().map(|it| it.snapshot),
                txn.outcome
            )
        })
        .collect();
    Err(format!("no serial order of committed SERIALIZABLE transactions: {}", names.join(" -> ")))
}

fn edges(history: &History) -> Edges {
    let included = |txn: &crate::history::TxnRecord| {
        txn.isolation == Isolation::Serializable && matches!(txn.outcome, Outcome::Committed(_))
    };
    let versions = history.versions(|_, txn| included(txn));
    let mut edges = Edges::new();
    for chain in versions.values() {
        for pair in chain.windows(2) {
            edges.entry(pair[0].txn).or_default().insert(pair[1].txn);
        }
    }
    for (reader, txn) in history.txns.iter().enumerate().filter(|(_, txn)| included(txn)) {
        for read in &txn.reads {
            let snapshot = txn.statements[read.statement].snapshot;
            match &read.seen {
                Seen::Point { key, .. } => depend(&mut edges, &versions, reader, key, snapshot),
                Seen::Where { tree, predicate, rows, .. } => {
                    let is_row = |key: &Key| rows.binary_search_by(|(row, _)| row.cmp(&key.1)).is_ok();
                    for (key, chain) in versions.iter().filter(|(key, _)| key.0 == *tree) {
                        if is_row(key) {
                            depend(&mut edges, &versions, reader, key, snapshot);
                            continue;
                        }
                        // Missed: who made it a row of the condition afterwards comes after the reader.
                        let id = tables::id_of(&key.1);
                        let holds = |value: ValueId| predicate.holds(id, value, history.unique_count);
                        for version in chain.iter().filter(|version| version.txn != reader) {
                            let is_later = version.timestamp.is_some_and(|at| at > snapshot);
                            if is_later && version.value.is_some_and(holds) {
                                edges.entry(reader).or_default().insert(version.txn);
                            }
                        }
                    }
                }
                Seen::Range { tree, range, .. } => {
                    for key in versions.keys().filter(|key| key.0 == *tree && range.contains(&key.1)) {
                        depend(&mut edges, &versions, reader, key, snapshot);
                    }
                }
            }
        }
    }
    edges
}

/// Adds what reading `key` at `snapshot` makes of the reader and the key's writers.
fn depend(edges: &mut Edges, versions: &Versions, reader: TxnIndex, key: &Key, snapshot: Timestamp) {
    for version in versions.get(key).into_iter().flatten().filter(|version| version.txn != reader) {
        let is_seen = version.timestamp.is_some_and(|at| at <= snapshot);
        let (from, to) = if is_seen { (version.txn, reader) } else { (reader, version.txn) };
        edges.entry(from).or_default().insert(to);
    }
}

/// Depth-first search with an explicit stack; gives the transactions of one cycle.
fn find_cycle(edges: &Edges) -> Option<Vec<TxnIndex>> {
    let mut done = BTreeSet::new();
    for &start in edges.keys() {
        let mut path: Vec<(TxnIndex, Vec<TxnIndex>)> = vec![];
        let mut on_path = BTreeSet::new();
        let mut next = Some(start).filter(|start| !done.contains(start));
        loop {
            if let Some(node) = next.take() {
                path.push((node, edges.get(&node).into_iter().flatten().copied().collect()));
                on_path.insert(node);
            }
            let Some((node, rest)) = path.last_mut() else { break };
            match rest.pop() {
                Some(child) if on_path.contains(&child) => {
                    let from = path.iter().position(|(node, _)| *node == child).expect("it is on the path");
                    return Some(path[from..].iter().map(|(node, _)| *node).collect());
                }
                Some(child) if !done.contains(&child) => next = Some(child),
                Some(_) => {}
                None => {
                    on_path.remove(node);
                    done.insert(*node);
                    path.pop();
                }
            }
        }
    }
    None
}
