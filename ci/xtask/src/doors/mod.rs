//! `cargo xtask doors`: each language's interface is built, put into a clean environment, and walked there: the conformance script
//! (whose transcript must be the golden one, byte for byte), its own tests, and its page in `docs`.

pub mod c;
pub mod header;
pub mod javascript;
pub mod python;

use crate::command::{Failure, Outcome, cargo};
use std::fs;
use std::path::{Path, PathBuf};

/// The steps that every door runs, and what they must print.
const STEPS: &str = "tests/conformance/steps.txt";
const TRANSCRIPT: &str = "tests/conformance/transcript.txt";

/// All of them. What is missing for one is said, and the others run.
pub fn run() -> Result<Outcome, Failure> {
    let outcomes = [c::run()?, python::run()?, javascript::run()?];
    let skipped: Vec<String> = outcomes
        .into_iter()
        .filter_map(|outcome| match outcome {
            Outcome::Skipped(why) => Some(why),
            Outcome::Passed => None,
        })
        .collect();
    Ok(if skipped.is_empty() { Outcome::Passed } else { Outcome::Skipped(skipped.join("; ")) })
}

/// Builds what the plain `cargo build` builds, the C library and the shell among it. One package alone would have other features of
/// the crates below, and so another build of everything.
fn build_native() -> Result<(), Failure> {
    cargo(&["build", "--locked"]).run().map(drop)
}

/// An empty scratch folder below the target directory, as an absolute path.
pub fn folder(name: &str) -> Result<PathBuf, Failure> {
    let path = target_folder().join("doors").join(name);
    if path.exists() {
        fs::remove_dir_all(&path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    }
    fs::create_dir_all(&path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    Ok(path)
}

/// Where builds go, as an absolute path.
pub fn target_folder() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let root = crate::command::repository_root();
    set.map_or_else(|| root.join("target"), |set| root.join(set))
}

fn read(path: impl AsRef<Path>) -> Result<String, Failure> {
    let path = path.as_ref();
    fs::read_to_string(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}

fn write(path: impl AsRef<Path>, text: &str) -> Result<(), Failure> {
    let path = path.as_ref();
    fs::write(path, text).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}

/// Holds a door's transcript against the golden one.
fn compare(door: &str, found: &str) -> Result<(), Failure> {
    let golden = read(TRANSCRIPT)?;
    if found == golden {
        println!("{door}: the transcript is the golden one ({} lines)", golden.lines().count());
        return Ok(());
    }
    let mut lines = found.lines().zip(golden.lines()).enumerate();
    let place = match lines.find(|(_, (found, golden))| found != golden) {
        Some((line, (found, golden))) => format!("line {}: {found:?} instead of {golden:?}", line + 1),
        None => format!("{} lines instead of {}", found.lines().count(), golden.lines().count()),
    };
    Err(Failure::new(format!("{door}: the transcript differs: {place}")))
}

/// The fenced blocks of a page whose opening line is ```` ```WORD ````.
fn blocks(page: &str, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind == word, String::new())),
            (Some(_), Some(_)) => {
                if let Some((true, block)) = open.take() {
                    found.push(block);
                }
            }
            (Some((_, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_one_language_are_found() {
        let page = "a\n```c\none\n\ntwo\n```\nb\n```sh\nls\n```\n```c\nthree\n```\n";
        assert_eq!(blocks(page, "c"), ["one\n\ntwo\n", "three\n"]);
        assert_eq!(blocks(page, "sh"), ["ls\n"]);
        assert!(blocks(page, "rust").is_empty());
    }
}
