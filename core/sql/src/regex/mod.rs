//! PostgreSQL's advanced regular expressions, in its locale C: only ASCII letters are letters and have a case.
//!
//! No crate matches as PostgreSQL does: it takes the longest match (or the shortest, where the expression prefers that), divides
//! it among the parts from left to right, and has back references and lookaround beside. So this is an engine of our own, after
//! Henry Spencer's: the expression is read ([`parse`]), automata say which spans its parts may have ([`nfa`]), and the spans are
//! divided by the parts' preferences ([`dissect`]).
//!
//! Invariants:
//! - R1: a match begins as far left as any does; of those that begin there it is the longest or the shortest.
//! - R2: the work without back references is at most quadratic in the text; no pattern makes it exponential.
//!
//! What it deliberately does not do: basic regular expressions (option `b`) and collating elements of several characters: 0A000.

mod dissect;
mod nfa;
mod parse;

use dissect::Part;
use nfa::Automaton;
use orrery_base::{Error, Result, SqlState};

/// How a pattern is read and matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `i`
    pub fold_case: bool,
    /// `x`: blanks and comments do not count.
    pub expanded: bool,
    /// `q`: no character is special.
    pub literal: bool,
    /// `.` and negated brackets do not match line breaks.
    pub stops_at_newline: bool,
    /// `^` and `$` match at line breaks, too.
    pub anchors_at_newline: bool,
}

impl Options {
    /// Takes a letter of PostgreSQL's options in; `false` for none of them. Errors: 0A000.
    pub fn set(&mut self, letter: char) -> Result<bool> {
        match letter {
            'i' => self.fold_case = true,
            'c' => self.fold_case = false,
            'e' => self.literal = false,
            'x' => self.expanded = true,
            't' => self.expanded = false,
            'q' => self.literal = true,
            'm' | 'n' => (self.stops_at_newline, self.anchors_at_newline) = (true, true),
            'p' => (self.stops_at_newline, self.anchors_at_newline) = (true, false),
            'w' => (self.stops_at_newline, self.anchors_at_newline) = (false, true),
            's' => (self.stops_at_newline, self.anchors_at_newline) = (false, false),
            'b' => return Err(Error::unsupported("basic regular expressions (option \"b\")")),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Where a match and its groups lie, in characters; `None` for a group that took no part.
pub type Spans = Vec<Option<(usize, usize)>>;

/// An expression ready to match.
#[derive(Debug)]
pub struct Regex {
    whole: Automaton,
    part: Part,
    group_count: usize,
    prefers_shorter: bool,
    has_back_references: bool,
}

fn invalid(what: &str) -> Error {
    Error::new(SqlState::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: {what}"))
}

impl Regex {
    /// Reads an expression. Errors: 2201B, 0A000.
    pub fn new(pattern: &str, options: Options) -> Result<Regex> {
        let parsed = parse::parse(pattern, options)?;
        let mut compiler = nfa::Compiler::new(&parsed);
        let whole = compiler.automaton(&parsed.node)?;
        let flags = dissect::flags(&parsed.node);
        let part = Part::of(&parsed.node, &mut compiler)?;
        Ok(Regex {
            whole,
            part,
            group_count: parsed.group_count,
            prefers_shorter: flags.shorter,
            has_back_references: flags.back_references,
        })
    }

    /// How many groups it has.
    pub fn group_count(&self) -> usize {
        self.group_count
    }

    /// Whether it matches somewhere.
    pub fn is_match(&self, text: &[char]) -> Result<bool> {
        if self.has_back_references {
            return Ok(self.find(text, 0)?.is_some());
        }
        Ok(self.whole.matches_somewhere(text, 0))
    }

    /// The first match at or behind character `from`: its span, then its groups'.
    pub fn find(&self, text: &[char], from: usize) -> Result<Option<Spans>> {
        if from > text.len() || !self.whole.matches_somewhere(text, from) {
            return Ok(None);
        }
        for begin in from..=text.len() {
            let ends = self.whole.ends(text, begin, text.len());
            let tries: Box<dyn Iterator<Item = &usize>> =
                if self.prefers_shorter { Box::new(ends.iter()) } else { Box::new(ends.iter().rev()) };
            for &end in tries {
                let mut spans: Spans = vec![None; self.group_count + 1];
                spans[0] = Some((begin, end));
                if self.group_count == 0 && !self.has_back_references {
                    return Ok(Some(spans));
                }
                if dissect::divide(&self.part, text, (begin, end), &mut spans) {
                    return Ok(Some(spans));
                }
                if !self.has_back_references {
                    // What the automaton matches can be divided.
                    return Err(Error::internal("a match of a regular expression cannot be divided"));
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: &str) {
        let chars: Vec<char> = text.chars().collect();
        let got = match Regex::new(pattern, Options::default()).and_then(|it| it.find(&chars, 0)) {
            Err(error) => error.code().to_string(),
            Ok(None) => "none".to_owned(),
            Ok(Some(spans)) => {
                let span = |span: &Option<(usize, usize)>| match span {
                    None => "-".to_owned(),
                    Some((begin, end)) => chars[*begin..*end].iter().collect(),
                };
                spans.iter().map(span).collect::<Vec<_>>().join("|")
            }
        };
        assert_eq!(got, expected, "{pattern:?} on {text:?}");
    }

    /// The expected values are PostgreSQL's.
    #[test]
    fn as_postgresql() {
        let cases = [
            ("", "abc", ""),
            ("b+", "abbbc", "bbb"),
            ("b+?", "abbbc", "b"),
            ("a|ab", "ab", "ab"),
            ("a?(ab)?", "ab", "ab|ab"),
            ("(a|ab)(c|bcd)(d*)", "abcd", "abcd|ab|c|d"),
            ("(a*)(a*)", "aaa", "aaa|aaa|"),
            ("(a*?)(a*)", "aaa", "|||".split_at(2).0),
            ("(a|b)*", "abab", "abab|b"),
            ("((a)|(b))*", "ab", "ab|b|-|b"),
            ("(\\w+)\\s+\\1", "the the", "the the|the"),
            ("(\\m).+\\1", "ac", "ac|"),
            ("(.)\\1", "abccd", "cc|c"),
            ("a(?=b)", "acab", "a"),
            ("a(?!b)", "abac", "a"),
            ("(?<=x)a", "axa", "a"),
            ("^b", "ab", "none"),
            ("\\mfoo\\M", "a foo b", "foo"),
            ("[[:digit:]]+", "ab12", "12"),
            ("[^a-c]+", "abcdef", "def"),
            ("a{2,3}", "aaaa", "aaa"),
            ("a{2,3}?", "aaaa", "aa"),
            ("x{0}a", "xa", "a"),
            ("(?i)ABC", "xabc", "abc"),
            ("***=a.c", "abca.c", "a.c"),
            ("(?:a|ab)(c|bcd)", "abcd", "abcd|bcd"),
            ("Y*([0-9]{1,3})", "XY1234Z", "Y123|123"),
            ("Y*?([0-9]{1,3})", "XY1234Z", "Y1|1"),
            ("(Y*?)([0-9]{1,3})", "XY1234Z", "Y1|Y|1"),
            ("(", "", "2201B"),
            (")", "", "2201B"),
            ("[", "", "2201B"),
            ("a**", "", "2201B"),
            ("*a", "", "2201B"),
            ("a{2,1}", "", "2201B"),
            ("(\\M)*?b", "ab", "b|-"),
            ("((a|b{1,2}))*?c", "bc", "bc|b|b"),
            ("(b|c*?)+", "cb", "cb|"),
            ("x(a|ab)*?b", "xabb", "xab|a"),
            ("(?:a*?b)+", "aab", "aab"),
            ("(.*?)x(,y)*", "ax,y", "ax|a|-"),
            ("\\", "", "2201B"),
        ];
        for (pattern, text, expected) in cases {
            check(pattern, text, expected);
        }
    }
}
