//! Documents keep their word: a path that README, ARCHITECTURE or CONTRIBUTING names in backticks exists, and every
//! direct dependency has its row in ARCHITECTURE's table.

use std::collections::BTreeSet;

use super::tree::Tree;
use crate::metadata::Metadata;

const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
const FILE_ENDINGS: [&str; 8] = [".rs", ".md", ".toml", ".txt", ".yml", ".slt", ".csv", ".lock"];

/// Checks the documents.
pub fn findings(tree: &Tree, metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for name in DOCUMENTS {
        match tree.files.iter().find(|file| file.path == name) {
            Some(file) => findings.extend(missing_paths(name, &file.text, &tree.paths)),
            None => findings.push(format!("{name}: missing")),
        }
    }
    if let Some(file) = tree.files.iter().find(|file| file.path == "ARCHITECTURE.md") {
        findings.extend(missing_rows(&file.text, metadata));
    }
    findings
}

fn missing_paths(name: &str, text: &str, paths: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut is_fenced = false;
    for (number, line) in text.lines().enumerate() {
        is_fenced ^= line.trim_start().starts_with("```");
        if is_fenced {
            continue;
        }
        for quoted in line.split('`').skip(1).step_by(2).filter(|quoted| is_path(quoted)) {
            if !exists(quoted, paths) {
                findings.push(format!("{name}:{}: `{quoted}` does not exist", number + 1));
            }
        }
    }
    findings
}

/// Whether a quoted text is meant as a path of the repository: it has a slash or a file's ending, and no blank.
fn is_path(quoted: &str) -> bool {
    let is_plain = quoted.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'));
    let looks_like = quoted.contains('/') || FILE_ENDINGS.iter().any(|ending| quoted.ends_with(ending));
    let is_elsewhere = quoted.starts_with(['/', '.'])
        && !quoted.starts_with(".ci")
        && !quoted.starts_with(".cargo")
        && !quoted.starts_with(".github");
    is_plain && looks_like && !is_elsewhere && !quoted.starts_with("target/") && quoted.len() > 1
}

/// A path from the root, or the tail of one (`pages/tree.rs` within its crate).
fn exists(quoted: &str, paths: &[String]) -> bool {
    let wanted = quoted.trim_end_matches('/');
    paths.iter().any(|path| {
        let inside = format!("/{path}/");
        inside.contains(&format!("/{wanted}/"))
    })
}

fn missing_rows(text: &str, metadata: &Metadata) -> Vec<String> {
    let first_cells = text.lines().filter_map(|line| line.trim().strip_prefix('|')?.split('|').next());
    let named: Vec<&str> = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let outside = metadata.ours().flat_map(|package| package.dependencies.iter().filter(|d| !d.is_ours));
    let wanted: BTreeSet<&str> = outside.map(|dependency| dependency.name.as_str()).collect();
    let has_row = |name: &&str| named.iter().any(|row| row == name || matches_family(row, name));
    let missing = wanted.iter().filter(|name| !has_row(name));
    missing
        .map(|name| format!("ARCHITECTURE.md: no row for the dependency `{name}`: say why we have it"))
        .collect()
}

/// `arrow-*` stands for the family.
fn matches_family(row: &str, name: &str) -> bool {
    row.strip_suffix('*').is_some_and(|family| !family.is_empty() && name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Dependency, Package};

    fn check(text: &str, expected: &[&str]) {
        let paths = [
            "core/base/src/lib.rs".to_string(),
            "ci/xtask/src/main.rs".to_string(),
            "clippy.toml".to_string(),
        ];
        assert_eq!(missing_paths("README.md", text, &paths), expected);
    }

    #[test]
    fn quoted_paths_exist() {
        check("`core/base`, `core/base/`, `base/src/lib.rs`, `lib.rs`, `clippy.toml`", &[]);
        check(
            "see `core/bass`\nor `gone.md`",
            &["README.md:1: `core/bass` does not exist", "README.md:2: `gone.md` does not exist"],
        );
        check("`SELECT 1/2`, `/etc/passwd`, `cargo xtask`, `Error::at`, `a.b`, core/bass", &[]);
        check("```\n`core/bass`\n```\n`base/src/li`", &["README.md:4: `base/src/li` does not exist"]);
    }

    #[test]
    fn dependencies_have_rows() {
        let dependency = |name: &str| Dependency { name: name.into(), kind: None, is_ours: false };
        let dependencies = vec![dependency("arrow-array"), dependency("csv"), dependency("clap")];
        let package = Package { name: "a".into(), dependencies, ..Package::default() };
        let metadata = Metadata { packages: vec![package], edges: Vec::new() };
        let text = "| crate | why |\n| `arrow-*` | batches |\n| `csv`, `flate2` | import |\n";
        let findings = missing_rows(text, &metadata);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("`clap`"));
    }
}
