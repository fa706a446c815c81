//! What every Rust file must carry and may not: a head, `unsafe` only where it is listed, no test that is ignored
//! without a reason, no hash container with a random seed in the core.

use std::collections::BTreeSet;
use std::fs;

use super::tree::{File, Tree, line_of};
use crate::command::Failure;

const UNSAFE_LIST: &str = "ci/unsafe.txt";

/// Checks every Rust file.
pub fn findings(tree: &Tree) -> Result<Vec<String>, Failure> {
    let list = fs::read_to_string(UNSAFE_LIST).map_err(|e| Failure::new(format!("{UNSAFE_LIST}: {e}")))?;
    let listed: BTreeSet<&str> =
        list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut findings = Vec::new();
    for file in tree.rust_files() {
        findings.extend(head(file));
        findings.extend(unsafety(file, &listed));
        findings.extend(ignored(file));
        findings.extend(random_hashers(file));
    }
    let known: BTreeSet<&str> = tree.rust_files().map(|file| file.path.as_str()).collect();
    let gone = listed.iter().filter(|path| !known.contains(**path));
    findings.extend(gone.map(|path| format!("{path}: listed in {UNSAFE_LIST} but does not exist")));
    Ok(findings)
}

fn head(file: &File) -> Option<String> {
    let first = file.text.trim_start();
    let is_build_script = file.path.ends_with("build.rs") && first.starts_with("//");
    (!first.starts_with("//!") && !is_build_script).then(|| {
        format!("{}:1: no head: begin with `//!`, what the file is and what it does not do", file.path)
    })
}

fn unsafety(file: &File, listed: &BTreeSet<&str>) -> Option<String> {
    let at = words(&file.code, "unsafe").next();
    match (at, listed.contains(file.path.as_str())) {
        (Some(at), false) => {
            let line = line_of(&file.code, at) + 1;
            Some(format!("{}:{line}: unsafe code in a file that {UNSAFE_LIST} does not list", file.path))
        }
        (None, true) => Some(format!("{}: listed in {UNSAFE_LIST} but has no unsafe code", file.path)),
        _ => None,
    }
}

fn ignored(file: &File) -> Vec<String> {
    let found = file.code.match_indices("#[ignore]").map(|(at, _)| line_of(&file.code, at) + 1);
    found
        .map(|line| format!("{}:{line}: ignored without a reason: `#[ignore = \"why\"]`", file.path))
        .collect()
}

/// Clippy's bans see `HashMap::new()`, but not `HashMap::default()` with the default hasher: its type has two
/// parameters and not three.
fn random_hashers(file: &File) -> Vec<String> {
    if !file.path.starts_with("core/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (name, parameters) in [("HashMap", 3), ("HashSet", 2)] {
        for at in words(&file.code, name) {
            let line = line_of(&file.code, at);
            let count = type_parameters(&file.code[at + name.len()..]);
            if count.is_some_and(|count| count < parameters) && !file.is_test_line(line) {
                let line = line + 1;
                findings.push(format!(
                    "{}:{line}: {name} without a hasher draws OS entropy (L2): use a BTree, or name a seeded hasher",
                    file.path
                ));
            }
        }
    }
    findings
}

/// How many parameters `<A, B<C, D>>` has; `None` if there is no list.
fn type_parameters(rest: &str) -> Option<usize> {
    let rest = rest.strip_prefix("::").unwrap_or(rest).strip_prefix('<')?;
    let (mut depth, mut count, mut last) = (1, 1, ' ');
    for c in rest.chars() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if last == '-' => {}
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 1 => count += 1,
            _ => {}
        }
        if depth == 0 {
            return Some(count);
        }
        last = c;
    }
    None
}

/// Where `word` stands as a whole word.
pub fn words<'c>(code: &'c str, word: &'c str) -> impl Iterator<Item = usize> + 'c {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let found = code.match_indices(word).map(|(at, _)| at);
    found.filter(move |at| {
        let (before, after) = (&code[..*at], &code[at + word.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File::new(path, text.to_string())
    }

    #[test]
    fn a_file_needs_a_head() {
        assert!(head(&file("a.rs", "//! What it is.\n")).is_none());
        assert!(head(&file("a.rs", "use x;\n")).is_some());
        assert!(head(&file("a.rs", "")).is_some());
        assert!(head(&file("build.rs", "// Builds.\n")).is_none());
    }

    #[test]
    fn unsafe_code_is_listed() {
        let listed = BTreeSet::from(["a.rs"]);
        let code = "fn f() { unsafe { g() } }";
        assert!(unsafety(&file("a.rs", code), &listed).is_none());
        assert!(unsafety(&file("b.rs", code), &listed).unwrap().contains("does not list"));
        assert!(unsafety(&file("a.rs", "fn f() {}"), &listed).unwrap().contains("has no unsafe"));
        assert!(unsafety(&file("b.rs", "#![deny(unsafe_code)] // unsafe\n"), &listed).is_none());
    }

    #[test]
    fn ignored_tests_have_a_reason() {
        assert_eq!(ignored(&file("a.rs", "#[test]\n#[ignore]\nfn f() {}")).len(), 1);
        assert!(ignored(&file("a.rs", "#[ignore = \"slow\"]\nfn f() {}")).is_empty());
    }

    #[test]
    fn hash_containers_of_the_core_name_their_hasher() {
        let text = "type A = HashMap<u8, Vec<(u8, u8)>>;\ntype B = HashMap<u8, u8, Seeded>;\nlet c = HashSet::<u8>::default();\n";
        assert_eq!(random_hashers(&file("core/a.rs", text)).len(), 2);
        assert!(random_hashers(&file("cli/a.rs", text)).is_empty());
        assert!(random_hashers(&file("core/tests/a.rs", text)).is_empty());
    }
}
