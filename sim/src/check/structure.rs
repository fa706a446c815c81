//! The structural check: after each recovery the store walks every page (checksums, order, separators, counts, and that
//! free space is exactly what nothing reaches) and must find nothing.
//!
//! Findings about single superblock copies are left out: a crash between the writes of two copies leaves them unlike,
//! and one good copy of each generation is what the format asks for. Whether the *right* one was chosen, the durability
//! check sees.

use orrery_base::{Cx, Result};
use orrery_store::Store;

/// Gives the first findings in words; empty when all is well.
pub async fn check(cx: &Cx, store: &Store) -> Result<Vec<String>> {
    let mut findings = vec![];
    store
        .check(cx, &mut |finding| {
            if findings.len() < 5 && !finding.place.starts_with("superblock") {
                findings.push(format!("{finding:?}"));
            }
        })
        .await?;
    Ok(findings)
}
