//! LIKE and ILIKE. `%` matches any run of characters, `_` one character, the escape character (a backslash, unless ESCAPE
//! names another) the next one literally.

use super::kernel::{Arg, Shape, bools, predicate};
use super::{Scalar, Value, scalar};
use crate::types::SqlType;
use arrow_array::Array;
use orrery_base::{Error, Result, SqlState};

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    One,
    Any,
    /// An escape character with nothing after it: an error when the match comes to it with text left.
    Dangling,
}

/// A pattern taken apart once for many texts.
#[derive(Debug)]
pub struct Pattern {
    pieces: Vec<Piece>,
    fold: bool,
}

impl Pattern {
    /// Takes a pattern apart.
    pub fn new(pattern: &str, escape: Option<char>, fold: bool) -> Pattern {
        let pattern = if fold { pattern.to_ascii_lowercase() } else { pattern.to_owned() };
        let mut pieces = Vec::new();
        let mut run = String::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            let piece = match c {
                _ if Some(c) == escape => match chars.next() {
                    Some(escaped) => {
                        run.push(escaped);
                        continue;
                    }
                    None => Piece::Dangling,
                },
                '%' => Piece::Any,
                '_' => Piece::One,
                c => {
                    run.push(c);
                    continue;
                }
            };
            if !run.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut run)));
            }
            if piece != Piece::Any || pieces.last() != Some(&Piece::Any) {
                pieces.push(piece);
            }
        }
        if !run.is_empty() {
            pieces.push(Piece::Text(run));
        }
        Pattern { pieces, fold }
    }

    /// Whether the whole text matches. Errors: 22025 when the pattern ends in its escape character and the match comes
    /// to it with text left.
    pub fn matches(&self, text: &str) -> Result<bool> {
        if self.fold {
            matches(&self.pieces, &text.to_ascii_lowercase())
        } else {
            matches(&self.pieces, text)
        }
    }

    fn is_dangling(&self) -> bool {
        self.pieces.last() == Some(&Piece::Dangling)
    }
}

/// Greedy with one point to go back to: what stands before the last `%` seen never needs another look.
fn matches(pieces: &[Piece], text: &str) -> Result<bool> {
    let (mut piece, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = &text[at..];
        let step = match pieces.get(piece) {
            Some(Piece::Any) => {
                match &pieces[piece + 1..] {
                    [] => return Ok(true),
                    // Nothing between here and the end needs a look.
                    [Piece::Text(run)] => return Ok(rest.ends_with(run.as_str())),
                    _ => {}
                }
                retry = Some((piece, at));
                Some(0)
            }
            Some(Piece::One) => rest.chars().next().map(char::len_utf8),
            Some(Piece::Text(run)) => rest.starts_with(run.as_str()).then_some(run.len()),
            Some(Piece::Dangling) if !rest.is_empty() => {
                let message = "LIKE pattern must not end with escape character";
                return Err(Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, message));
            }
            Some(Piece::Dangling) => None,
            None if rest.is_empty() => return Ok(true),
            None => None,
        };
        if let Some(step) = step {
            piece += 1;
            at += step;
            continue;
        }
        // Back to the last %, one character further.
        let Some((any, from)) = retry else { return Ok(false) };
        let Some(next) = text[from..].chars().next() else { return Ok(false) };
        let mut from = from + next.len_utf8();
        if let Some(Piece::Text(run)) = pieces.get(any + 1) {
            match text[from..].find(run.as_str()) {
                Some(found) => from += found,
                None => return Ok(false),
            }
        }
        retry = Some((any, from));
        piece = any + 1;
        at = from;
    }
}

fn like(args: &[Value], rows: usize, fold: bool, negated: bool) -> Result<Value> {
    if let (Value::Constant(pattern), Arg::Text(texts, mask), Arg::Text(pattern_text, _)) =
        (&args[1], Arg::new(&args[0])?, Arg::new(&args[1])?)
        && !pattern.is_null(0)
    {
        let pattern = Pattern::new(pattern_text.value(0), Some('\\'), fold);
        if pattern.is_dangling() {
            return predicate(args, rows, |row| Ok(pattern.matches(row.text(0)?)? != negated));
        }
        let shape = Shape::of(args, rows);
        // Only a dangling escape character can fail.
        return Ok(bools(&shape, |row| pattern.matches(texts.value(row & mask)).unwrap_or(false) != negated));
    }
    predicate(args, rows, |row| {
        Ok(Pattern::new(row.text(1)?, Some('\\'), fold).matches(row.text(0)?)? != negated)
    })
}

/// `like_escape(pattern, escape)`: the same pattern with a backslash as its escape character.
pub(super) fn like_escape(pattern: &str, escape: &str, out: &mut String) -> Result<()> {
    let mut escapes = escape.chars();
    let (escape, more) = (escapes.next(), escapes.next());
    if more.is_some() {
        return Err(Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .with_hint("Escape string must be empty or one character."));
    }
    let mut after_escape = false;
    for c in pattern.chars() {
        if Some(c) == escape && !after_escape {
            out.push('\\');
            after_escape = true;
            continue;
        }
        if c == '\\' && !after_escape {
            out.push('\\');
        }
        out.push(c);
        after_escape = false;
    }
    Ok(())
}

/// In patterns the spaces of `char` count.
const PADDED: &[SqlType] = &[SqlType::Char(None), SqlType::Text];

pub(super) static ENTRIES: &[Scalar] = &[
    scalar!("~~", [Text, Text] => Bool, |_, args, rows| like(args, rows, false, false)),
    scalar!("!~~", [Text, Text] => Bool, |_, args, rows| like(args, rows, false, true)),
    scalar!("~~*", [Text, Text] => Bool, |_, args, rows| like(args, rows, true, false)),
    scalar!("!~~*", [Text, Text] => Bool, |_, args, rows| like(args, rows, true, true)),
    Scalar {
        args: PADDED,
        ..scalar!("~~", [Text, Text] => Bool, |_, args, rows| like(args, rows, false, false))
    },
    Scalar {
        args: PADDED,
        ..scalar!("!~~", [Text, Text] => Bool, |_, args, rows| like(args, rows, false, true))
    },
    Scalar {
        args: PADDED,
        ..scalar!("~~*", [Text, Text] => Bool, |_, args, rows| like(args, rows, true, false))
    },
    Scalar {
        args: PADDED,
        ..scalar!("!~~*", [Text, Text] => Bool, |_, args, rows| like(args, rows, true, true))
    },
    scalar!("like_escape", [Text, Text] => Text, |_, args, rows| {
        super::kernel::texts(args, rows, |row, out| like_escape(row.text(0)?, row.text(1)?, out))
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("abc", "abc", true),
            ("abc", "a%", true),
            ("abc", "_b_", true),
            ("abc", "c", false),
            ("", "%", true),
            ("", "_", false),
            ("aXbXc", "%X%X_", true),
            ("mississippi", "%iss%ip%i", true),
            ("mississippi", "%iss%ipp", false),
            ("100%", "100\\%", true),
            ("1000", "100\\%", false),
            ("äö", "_ö", true),
            ("aaab", "%aab", true),
            ("ab", "%_%_%", true),
            ("a", "%_%_%", false),
        ];
        for (text, pattern, expected) in cases {
            let got = Pattern::new(pattern, Some('\\'), false).matches(text).unwrap();
            assert_eq!(got, expected, "{text:?} LIKE {pattern:?}");
        }
        assert!(Pattern::new("ABC%", Some('\\'), true).matches("abcd").unwrap());
        let dangling = Pattern::new("a\\", Some('\\'), false);
        assert!(!dangling.matches("a").unwrap() && !dangling.matches("b").unwrap());
        assert_eq!(dangling.matches("ab").unwrap_err().code().as_str(), "22025");
    }
}
