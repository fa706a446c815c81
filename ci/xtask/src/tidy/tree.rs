//! The files that the rules look at: everything git tracks or would track.

use std::fs;
use std::ops::Range;

use super::blank::blank;
use crate::command::{Failure, program};

/// The checkout.
#[derive(Debug, Default)]
pub struct Tree {
    /// Every text file, in path order.
    pub files: Vec<File>,
    /// Every path, those of binary files too.
    pub paths: Vec<String>,
}

/// One text file.
#[derive(Debug)]
pub struct File {
    /// Path from the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// For a Rust file its text with comments and literals emptied; otherwise empty.
    pub code: String,
    /// Line numbers (from 0) of test code.
    pub test_lines: Vec<Range<usize>>,
}

impl Tree {
    /// Reads the checkout.
    pub fn load() -> Result<Self, Failure> {
        let list =
            program("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).output()?;
        let mut paths: Vec<String> =
            list.split('\0').filter(|path| !path.is_empty()).map(str::to_string).collect();
        paths.sort();
        paths.dedup();
        let mut files = Vec::new();
        for path in &paths {
            // A file that is deleted but still tracked has no bytes, and a data file may not be text.
            if let Ok(text) =
                fs::read(path).map_err(|_| ()).and_then(|bytes| String::from_utf8(bytes).map_err(|_| ()))
            {
                files.push(File::new(path, text));
            }
        }
        Ok(Tree { files, paths })
    }

    /// The Rust files.
    pub fn rust_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }
}

impl File {
    /// A file of this path and text.
    pub fn new(path: &str, text: String) -> Self {
        let mut file = File { path: path.to_string(), text, code: String::new(), test_lines: Vec::new() };
        if file.is_rust() {
            file.code = blank(&file.text);
            file.test_lines = match is_test_path(path) {
                true => std::iter::once(0..usize::MAX).collect(),
                false => test_lines(&file.code),
            };
        }
        file
    }

    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether this line (from 0) is test code.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.test_lines.iter().any(|range| range.contains(&line))
    }
}

fn is_test_path(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.trim_end_matches(".rs");
    // Examples run outside the core, as tests do; `testing.rs` is what tests share.
    folders.split('/').any(|folder| matches!(folder, "tests" | "examples"))
        || matches!(stem, "tests" | "testing")
        || stem.ends_with("_tests")
}

/// The lines of every item under a `#[cfg(…test…)]`.
fn test_lines(code: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (start, _) in code.match_indices("#[cfg(") {
        let condition = &code[start..start + code[start..].find(']').unwrap_or(code.len() - start)];
        let names_test = condition.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test");
        if names_test && !condition.contains("not(") {
            let end = item_end(code, start + condition.len());
            ranges.push(line_of(code, start)..line_of(code, end) + 1);
        }
    }
    ranges
}

/// The byte behind the item that begins at `from`: its closing brace, or its `;`.
pub fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in code.as_bytes()[from..].iter().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *byte == b'}' {
                    return from + offset;
                }
            }
            b';' if depth == 0 => return from + offset,
            _ => {}
        }
    }
    code.len()
}

/// The line (from 0) of a byte.
pub fn line_of(code: &str, offset: usize) -> usize {
    code.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_code_is_found() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(all(test, unix))]\nfn d();\nfn e() {}\n";
        let file = File::new("core/x.rs", text.to_string());
        let lines: Vec<bool> = (0..9).map(|line| file.is_test_line(line)).collect();
        assert_eq!(lines, [false, true, true, true, true, false, true, true, false]);
        assert!(File::new("core/x/tests/y.rs", String::new()).is_test_line(0));
        assert!(!File::new("core/x.rs", "#[cfg(not(test))]\nfn a() {}\n".into()).is_test_line(1));
    }
}
