//! `cargo xtask tidy`: what the compiler and clippy do not hold. One file per rule set; each gives findings of the form
//! `path:line: what is wrong and what to do`.
//!
//! Rust text is looked at through [`blank`], which empties comments and literals; there is no full parser here, so a
//! rule speaks of words and braces, never of types.

mod blank;
mod documents;
mod layers;
mod marks;
mod sizes;
mod tree;
mod words;

use crate::command::{Failure, Outcome};
use crate::metadata::Metadata;
use tree::Tree;

/// Runs every rule set.
pub fn run() -> Result<Outcome, Failure> {
    let tree = Tree::load()?;
    let metadata = Metadata::load()?;
    let mut findings = layers::findings(&metadata);
    findings.extend(sizes::findings(&tree)?);
    findings.extend(marks::findings(&tree)?);
    findings.extend(words::findings(&tree)?);
    findings.extend(documents::findings(&tree, &metadata));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    println!("{} files checked, {} findings", tree.files.len(), findings.len());
    match findings.is_empty() {
        true => Ok(Outcome::Passed),
        false => Err(Failure::new(format!("{} findings", findings.len()))),
    }
}

/// Lowers the ratchet's limits to what the files measure now, and drops what is no longer over the limit.
pub fn shrink() -> Result<Outcome, Failure> {
    sizes::shrink(&Tree::load()?)?;
    Ok(Outcome::Passed)
}
