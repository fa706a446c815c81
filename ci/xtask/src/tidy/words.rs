//! Banned words with their replacements, listed in `ci/banned.txt` as `where | word | instead`. Where:
//! `core` is the code of the core outside tests, `code` all Rust code, `text` comments, literals and documents as well.

use std::fs;

use super::marks::words as whole_words;
use super::tree::{File, Tree, line_of};
use crate::command::Failure;

const LIST: &str = "ci/banned.txt";
/// Text that we did not write, or that is about the words themselves.
const EXEMPT: &[&str] = &[LIST, "Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT"];

#[derive(Debug, PartialEq, Eq)]
enum Scope {
    Core,
    Code,
    Text,
}

#[derive(Debug)]
struct Ban {
    scope: Scope,
    word: String,
    instead: String,
}

/// Checks every file.
pub fn findings(tree: &Tree) -> Result<Vec<String>, Failure> {
    let bans = parse(&fs::read_to_string(LIST).map_err(|e| Failure::new(format!("{LIST}: {e}")))?)?;
    let files = tree.files.iter().filter(|file| !EXEMPT.contains(&file.path.as_str()));
    Ok(files.flat_map(|file| bans.iter().flat_map(|ban| uses(file, ban))).collect())
}

fn parse(list: &str) -> Result<Vec<Ban>, Failure> {
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| ban(line).ok_or_else(|| Failure::new(format!("{LIST}: `{line}` is not a ban"))))
        .collect()
}

fn ban(line: &str) -> Option<Ban> {
    let mut fields = line.splitn(3, '|').map(str::trim);
    let scope = match fields.next()? {
        "core" => Scope::Core,
        "code" => Scope::Code,
        "text" => Scope::Text,
        _ => return None,
    };
    let (word, instead) = (fields.next()?.to_string(), fields.next()?.to_string());
    (!word.is_empty() && !instead.is_empty()).then_some(Ban { scope, word, instead })
}

fn uses(file: &File, ban: &Ban) -> Vec<String> {
    let text = match ban.scope {
        Scope::Core if file.path.starts_with("core/") => &file.code,
        Scope::Core => return Vec::new(),
        Scope::Code => &file.code,
        Scope::Text if file.path.starts_with("data/") => return Vec::new(),
        Scope::Text => &file.text,
    };
    let mut findings = Vec::new();
    for at in places(text, &ban.word) {
        let line = line_of(text, at);
        if ban.scope != Scope::Core || !file.is_test_line(line) {
            findings.push(format!("{}:{}: `{}`: {}", file.path, line + 1, ban.word, ban.instead));
        }
    }
    findings
}

/// Words stand alone; a path stands at the beginning of a path; anything else may stand anywhere.
fn places(text: &str, word: &str) -> Vec<usize> {
    if word.starts_with('/') {
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '*' | '/');
        return text
            .match_indices(word)
            .map(|(at, _)| at)
            .filter(|at| !text[..*at].ends_with(inside))
            .collect();
    }
    match word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ' ' | '\'')) {
        true => whole_words(text, word).collect(),
        false => text.match_indices(word).map(|(at, _)| at).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, ban_line: &str) -> usize {
        uses(&File::new(path, text.to_string()), &ban(ban_line).unwrap()).len()
    }

    #[test]
    fn scopes() {
        let text = "fn f() { x.unwrap(); }\n// x.unwrap()\n#[cfg(test)]\nmod tests {\n    fn g() { x.unwrap(); }\n}\n";
        assert_eq!(check("core/a.rs", text, "core | .unwrap() | expect"), 1);
        assert_eq!(check("cli/a.rs", text, "core | .unwrap() | expect"), 0);
        assert_eq!(check("cli/a.rs", text, "code | .unwrap() | expect"), 2);
        assert_eq!(check("cli/a.rs", text, "text | .unwrap() | expect"), 3);
        assert_eq!(check("README.md", "It hums.", "text | hums | say how"), 1);
    }

    #[test]
    fn words_stand_alone_and_paths_begin() {
        assert_eq!(check("a.md", "hum hummed", "text | hum | no"), 1);
        assert_eq!(check("a.md", "see /mill/x, not src/mill/x", "text | /mill/ | no"), 1);
    }

    #[test]
    fn a_ban_needs_a_replacement() {
        assert!(parse("code | x |").is_err());
        assert!(parse("nowhere | x | y").is_err());
        assert_eq!(parse("# head\n\ncode | x | y\n").unwrap().len(), 1);
    }
}
