//! The size ratchet. A file has at most [`FILE_LINES_MAX`] lines and a function at most [`FUNCTION_LINES_MAX`]; above
//! [`FILE_LINES`] and [`FUNCTION_LINES`] it must stand in `ci/ratchet.txt` with its size, which may only shrink:
//! `cargo xtask tidy --shrink` lowers the list, and adding to it is a decision made by hand.

use std::collections::BTreeMap;
use std::fs;

use super::tree::{File, Tree, item_end, line_of};
use crate::command::Failure;

const FILE_LINES: usize = 700;
const FILE_LINES_MAX: usize = 1_500;
const FUNCTION_LINES: usize = 100;
const FUNCTION_LINES_MAX: usize = 150;
const LIST: &str = "ci/ratchet.txt";
const LIST_HEAD: &str = "\
# Files above 700 lines and functions above 100, with their sizes: `path lines` or `path::function lines`.
# They may only shrink: `cargo xtask tidy --shrink` lowers this list. A new line is a decision for the reviewer.
";

type Sizes = BTreeMap<String, usize>;

/// Compares the tree with the list.
pub fn findings(tree: &Tree) -> Result<Vec<String>, Failure> {
    let listed = parse(&fs::read_to_string(LIST).map_err(|e| Failure::new(format!("{LIST}: {e}")))?)?;
    Ok(compare(&oversized(tree), &listed))
}

/// Lowers the list to what is measured.
pub fn shrink(tree: &Tree) -> Result<(), Failure> {
    let listed = parse(&fs::read_to_string(LIST).map_err(|e| Failure::new(format!("{LIST}: {e}")))?)?;
    let measured = oversized(tree);
    let mut text = LIST_HEAD.to_string();
    for (name, limit) in &listed {
        if let Some(lines) = measured.get(name) {
            text.push_str(&format!("{name} {}\n", lines.min(limit)));
        }
    }
    fs::write(LIST, text).map_err(|e| Failure::new(format!("{LIST}: {e}")))
}

fn compare(measured: &Sizes, listed: &Sizes) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, lines) in measured {
        let max = if name.contains("::") { FUNCTION_LINES_MAX } else { FILE_LINES_MAX };
        match listed.get(name) {
            _ if *lines > max => findings.push(format!("{name}: {lines} lines, never above {max}: split it")),
            None => findings
                .push(format!("{name}: {lines} lines: split it (or, with a reason, list it in {LIST})")),
            Some(limit) if lines > limit => {
                findings.push(format!("{name}: grew from {limit} to {lines} lines: split it"));
            }
            Some(limit) if lines < limit => {
                findings.push(format!(
                    "{name}: shrank from {limit} to {lines} lines: `cargo xtask tidy --shrink`"
                ));
            }
            Some(_) => {}
        }
    }
    let gone = listed.keys().filter(|name| !measured.contains_key(*name));
    findings.extend(gone.map(|name| format!("{name}: within the limit now: `cargo xtask tidy --shrink`")));
    findings
}

fn parse(text: &str) -> Result<Sizes, Failure> {
    let mut sizes = Sizes::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let entry =
            line.rsplit_once(' ').and_then(|(name, lines)| Some((name.to_string(), lines.parse().ok()?)));
        let (name, lines) =
            entry.ok_or_else(|| Failure::new(format!("{LIST}: `{line}` is not `name lines`")))?;
        sizes.insert(name, lines);
    }
    Ok(sizes)
}

/// Every file and function above the first limit. Functions of one name in one file count as the longest.
fn oversized(tree: &Tree) -> Sizes {
    let mut sizes = Sizes::new();
    for file in tree.rust_files() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            sizes.insert(file.path.clone(), lines);
        }
        for (name, lines) in functions(file) {
            if lines > FUNCTION_LINES {
                let size = sizes.entry(format!("{}::{name}", file.path)).or_default();
                *size = (*size).max(lines);
            }
        }
    }
    sizes
}

/// Name and length of every function with a body, from its `fn` to its closing brace.
fn functions(file: &File) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, _) in file.code.match_indices("fn ") {
        let before = file.code[..start].chars().next_back();
        let is_keyword = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let name: String = file.code[start + 3..]
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let end = item_end(&file.code, start);
        if is_keyword && !name.is_empty() && file.code.as_bytes().get(end) == Some(&b'}') {
            found.push((name, line_of(&file.code, end) - line_of(&file.code, start) + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(entries: &[(&str, usize)]) -> Sizes {
        entries.iter().map(|(name, lines)| (name.to_string(), *lines)).collect()
    }

    #[test]
    fn functions_are_measured() {
        let text = "trait T { fn none(&self); }\nfn one() { let f = |x: [u8; 2]| { x }; }\nfn two(a: &str) -> String\nwhere\n    A: B,\n{\n    \"}\".into()\n}\n";
        let file = File::new("x.rs", text.into());
        assert_eq!(functions(&file), [("one".to_string(), 1), ("two".to_string(), 6)]);
    }

    #[test]
    fn sizes_may_only_shrink() {
        let listed = sizes(&[("a.rs", 800)]);
        assert!(compare(&sizes(&[("a.rs", 800)]), &listed).is_empty());
        assert!(compare(&sizes(&[("a.rs", 801)]), &listed)[0].contains("grew"));
        assert!(compare(&sizes(&[("a.rs", 799)]), &listed)[0].contains("shrank"));
        assert!(compare(&sizes(&[]), &listed)[0].contains("within"));
        assert!(compare(&sizes(&[("b.rs", 701)]), &Sizes::new())[0].contains("split it"));
        assert!(
            compare(&sizes(&[("a.rs", 1501)]), &sizes(&[("a.rs", 1501)]))[0].contains("never above 1500")
        );
        assert!(
            compare(&sizes(&[("a.rs::f", 151)]), &sizes(&[("a.rs::f", 151)]))[0].contains("never above 150")
        );
    }

    #[test]
    fn the_list_is_read_back() {
        assert_eq!(
            parse("# head\na.rs 800\na.rs::f 120\n").unwrap(),
            sizes(&[("a.rs", 800), ("a.rs::f", 120)])
        );
        assert!(parse("a.rs eight").is_err());
    }
}
