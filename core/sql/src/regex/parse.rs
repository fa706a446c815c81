//! The syntax of advanced regular expressions (PostgreSQL documentation, 9.7.3).

use super::{Options, invalid};
use orrery_base::{Error, Result};

/// A set of characters: ranges, and whether it is what is not in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {
    ranges: Vec<(char, char)>,
    negated: bool,
}

impl Set {
    /// Whether a character is in it.
    #[inline]
    pub fn contains(&self, c: char) -> bool {
        self.ranges.iter().any(|&(low, high)| low <= c && c <= high) != self.negated
    }

    fn add(&mut self, low: char, high: char) {
        self.ranges.push((low, high));
    }

    fn add_all(&mut self, ranges: &[(char, char)]) {
        self.ranges.extend_from_slice(ranges);
    }

    /// The letters' other cases, too.
    fn fold(&mut self) {
        let mut more = Vec::new();
        for &(low, high) in &self.ranges {
            for (first, last, shift) in [('a', 'z', -32i32), ('A', 'Z', 32)] {
                let (from, to) = (low.max(first), high.min(last));
                let other = |c: char| char::from_u32((c as i32 + shift) as u32).unwrap_or(c);
                if from <= to {
                    more.push((other(from), other(to)));
                }
            }
        }
        self.ranges.extend(more);
    }
}

/// A condition on a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `^`; `true`: behind line breaks, too.
    Begin(bool),
    /// `$`
    End(bool),
    /// `\m`
    WordBegin,
    /// `\M`
    WordEnd,
    /// `\y`
    WordEdge,
    /// `\Y`
    NoWordEdge,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Empty,
    /// A character of a set.
    One(Set),
    Place(Place),
    Look {
        ahead: bool,
        negated: bool,
        node: Box<Node>,
    },
    Back(usize),
    /// Parentheses, with their number if they keep what they match.
    Group(Option<usize>, Box<Node>),
    Alternatives(Vec<Node>),
    Sequence(Vec<Node>),
    Repeat {
        node: Box<Node>,
        least: u32,
        most: Option<u32>,
        prefers: Option<Preference>,
    },
}

/// What a quantifier prefers; `{m}` prefers nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    Longer,
    Shorter,
}

/// A whole expression.
pub struct Parsed {
    pub node: Node,
    pub group_count: usize,
}

const SPACE: &[(char, char)] = &[('\t', '\r'), (' ', ' ')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const DIGIT: &[(char, char)] = &[('0', '9')];
/// The most repetitions a bound may name.
const REPEAT_MAX: u32 = 255;
/// How deep parentheses may stand in one another.
const DEPTH_MAX: usize = 200;

struct Parser {
    chars: Vec<char>,
    at: usize,
    options: Options,
    group_count: usize,
    /// Groups that are closed: what a back reference may name.
    closed: Vec<usize>,
    depth: usize,
    in_lookaround: bool,
}

/// Reads an expression.
pub fn parse(pattern: &str, options: Options) -> Result<Parsed> {
    let (pattern, mut options) = match pattern.strip_prefix("***=") {
        Some(rest) => (rest, Options { literal: true, ..options }),
        None => (pattern.strip_prefix("***:").unwrap_or(pattern), options),
    };
    if pattern.starts_with("***") && !options.literal {
        return Err(invalid("quantifier operand invalid"));
    }
    let mut chars: Vec<char> = pattern.chars().collect();
    if !options.literal {
        embedded(&mut chars, &mut options)?;
    }
    let mut parser =
        Parser { chars, at: 0, options, group_count: 0, closed: Vec::new(), depth: 0, in_lookaround: false };
    if options.literal {
        let chars = std::mem::take(&mut parser.chars);
        let node = Node::Sequence(chars.into_iter().map(|c| parser.one(c)).collect());
        return Ok(Parsed { node, group_count: 0 });
    }
    let node = parser.alternatives()?;
    if parser.at < parser.chars.len() {
        return Err(invalid("parentheses () not balanced"));
    }
    Ok(Parsed { node, group_count: parser.group_count })
}

/// Options in front, as in `(?i)`.
fn embedded(chars: &mut Vec<char>, options: &mut Options) -> Result<()> {
    let is_options = chars.len() > 2 && chars[0] == '(' && chars[1] == '?' && chars[2].is_ascii_alphabetic();
    if !is_options {
        return Ok(());
    }
    let end = chars.iter().position(|c| *c == ')').ok_or_else(|| invalid("parentheses () not balanced"))?;
    for letter in &chars[2..end] {
        if !options.set(*letter)? {
            return Err(invalid("invalid embedded option"));
        }
    }
    chars.drain(..=end);
    Ok(())
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, c)| self.chars.get(self.at + index) == Some(&c))
    }

    fn accept(&mut self, text: &str) -> bool {
        let is_there = self.looking_at(text);
        if is_there {
            self.at += text.chars().count();
        }
        is_there
    }

    /// A character, in both cases where that is asked for.
    fn one(&self, c: char) -> Node {
        self.set(Set { ranges: vec![(c, c)], negated: false })
    }

    fn set(&self, mut set: Set) -> Node {
        if self.options.fold_case {
            set.fold();
        }
        Node::One(set)
    }

    /// Blanks and comments that do not count.
    fn skip(&mut self) {
        loop {
            if self.looking_at("(?#") {
                while self.peek().is_some_and(|c| c != ')') {
                    self.at += 1;
                }
                self.at += 1;
            } else if self.options.expanded && self.peek().is_some_and(|c| c.is_ascii_whitespace()) {
                self.at += 1;
            } else if self.options.expanded && self.peek() == Some('#') {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
            } else {
                return;
            }
        }
    }

    fn alternatives(&mut self) -> Result<Node> {
        let mut all = vec![self.sequence()?];
        while self.accept("|") {
            all.push(self.sequence()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Node::Alternatives(all) })
    }

    fn sequence(&mut self) -> Result<Node> {
        let mut all = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                None | Some('|' | ')') => break,
                Some(_) => all.push(self.quantified()?),
            }
        }
        all.retain(|node| *node != Node::Empty);
        Ok(if all.is_empty() { Node::Empty } else { Node::Sequence(all) })
    }

    fn quantified(&mut self) -> Result<Node> {
        let node = self.atom()?;
        self.skip();
        let Some((least, most, prefers)) = self.quantifier()? else { return Ok(node) };
        if matches!(node, Node::Place(_) | Node::Look { .. }) {
            return Err(invalid("quantifier operand invalid"));
        }
        self.skip();
        if self.quantifier()?.is_some() {
            return Err(invalid("quantifier operand invalid"));
        }
        if most == Some(0) {
            return Ok(Node::Empty);
        }
        Ok(Node::Repeat { node: Box::new(node), least, most, prefers })
    }

    #[allow(clippy::type_complexity, reason = "least, most, and what it prefers")]
    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>, Option<Preference>)>> {
        let (least, most, chooses) = match self.peek() {
            Some('*') => (0, None, true),
            Some('+') => (1, None, true),
            Some('?') => (0, Some(1), true),
            Some('{') if self.chars.get(self.at + 1).is_some_and(char::is_ascii_digit) => {
                self.at += 1;
                let least = self.bound()?;
                let bounds = if self.accept(",") {
                    let open = self.peek() == Some('}');
                    (least, if open { None } else { Some(self.bound()?) }, true)
                } else {
                    (least, Some(least), false)
                };
                if self.peek() != Some('}') {
                    return Err(invalid("invalid repetition count(s)"));
                }
                bounds
            }
            _ => return Ok(None),
        };
        self.at += 1;
        if most.is_some_and(|most| most < least) {
            return Err(invalid("invalid repetition count(s)"));
        }
        let shorter = self.accept("?");
        let prefers = match (chooses, shorter) {
            (true, false) => Some(Preference::Longer),
            (true, true) => Some(Preference::Shorter),
            (false, _) => None,
        };
        Ok(Some((least, most, prefers)))
    }

    fn bound(&mut self) -> Result<u32> {
        let mut value = 0;
        let mut digits = 0;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            value = value * 10 + digit;
            digits += 1;
            self.at += 1;
            if value > REPEAT_MAX {
                return Err(invalid("invalid repetition count(s)"));
            }
        }
        if digits == 0 { Err(invalid("invalid repetition count(s)")) } else { Ok(value) }
    }

    fn atom(&mut self) -> Result<Node> {
        let Some(c) = self.peek() else { return Ok(Node::Empty) };
        self.at += 1;
        match c {
            '(' => self.parentheses(),
            '[' => self.brackets(),
            '.' if self.options.stops_at_newline => {
                Ok(Node::One(Set { ranges: vec![('\n', '\n')], negated: true }))
            }
            '.' => Ok(Node::One(Set { ranges: Vec::new(), negated: true })),
            '^' => Ok(Node::Place(Place::Begin(self.options.anchors_at_newline))),
            '$' => Ok(Node::Place(Place::End(self.options.anchors_at_newline))),
            '\\' => self.escape(),
            '*' | '+' | '?' => Err(invalid("quantifier operand invalid")),
            '{' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                Err(invalid("quantifier operand invalid"))
            }
            c => Ok(self.one(c)),
        }
    }

    fn parentheses(&mut self) -> Result<Node> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(invalid("regular expression is too complex"));
        }
        let looks = [("?=", true, false), ("?!", true, true), ("?<=", false, false), ("?<!", false, true)];
        let look = looks.into_iter().find(|it| self.looking_at(it.0));
        let node = if let Some((text, ahead, negated)) = look {
            self.accept(text);
            let outside = std::mem::replace(&mut self.in_lookaround, true);
            let node = Box::new(self.alternatives()?);
            self.in_lookaround = outside;
            Node::Look { ahead, negated, node }
        } else if self.accept("?:") {
            Node::Group(None, Box::new(self.alternatives()?))
        } else if self.peek() == Some('?') {
            return Err(invalid("quantifier operand invalid"));
        } else if self.in_lookaround {
            Node::Group(None, Box::new(self.alternatives()?))
        } else {
            self.group_count += 1;
            let number = self.group_count;
            let node = Box::new(self.alternatives()?);
            self.closed.push(number);
            Node::Group(Some(number), node)
        };
        if !self.accept(")") {
            return Err(invalid("parentheses () not balanced"));
        }
        self.depth -= 1;
        Ok(node)
    }

    fn escape(&mut self) -> Result<Node> {
        let Some(c) = self.peek() else { return Err(invalid("invalid escape \\ sequence")) };
        self.at += 1;
        let place = |place| Ok(Node::Place(place));
        match c {
            'A' => place(Place::Begin(false)),
            'Z' => place(Place::End(false)),
            'm' => place(Place::WordBegin),
            'M' => place(Place::WordEnd),
            'y' => place(Place::WordEdge),
            'Y' => place(Place::NoWordEdge),
            '1'..='9' => self.back_reference(c),
            c if class_escape(c).is_some() => {
                let (ranges, negated) = class_escape(c).unwrap_or_default();
                Ok(Node::One(Set { ranges: ranges.to_vec(), negated }))
            }
            c => {
                let c = self.character_escape(c)?;
                Ok(self.one(c))
            }
        }
    }

    fn back_reference(&mut self, first: char) -> Result<Node> {
        let start = self.at;
        let mut number = first.to_digit(10).unwrap_or(0) as usize;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)).filter(|_| number < 10_000) {
            number = number * 10 + digit as usize;
            self.at += 1;
        }
        // A number of several digits that is no group's is a character's code in octal.
        if self.at > start && number > self.group_count {
            self.at = start;
            if first != '0' && first < '8' {
                return self.octal(first).map(|c| self.one(c));
            }
            number = first.to_digit(10).unwrap_or(0) as usize;
        }
        if self.in_lookaround || !self.closed.contains(&number) {
            return Err(invalid("invalid backreference number"));
        }
        Ok(Node::Back(number))
    }

    fn octal(&mut self, first: char) -> Result<char> {
        let mut value = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            value = value * 8 + digit;
            self.at += 1;
        }
        char::from_u32(value).ok_or_else(|| invalid("invalid escape \\ sequence"))
    }

    /// An escape that stands for a character.
    fn character_escape(&mut self, c: char) -> Result<char> {
        let bad = || invalid("invalid escape \\ sequence");
        Ok(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'B' => '\\',
            'c' => {
                let control = self.peek().ok_or_else(bad)?;
                self.at += 1;
                char::from_u32(control as u32 & 0x1f).ok_or_else(bad)?
            }
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'u' => self.hex(4, 4)?,
            'U' => self.hex(8, 8)?,
            'x' => self.hex(1, 255)?,
            '0' => self.octal('0')?,
            c if c.is_ascii_alphanumeric() => return Err(bad()),
            c => c,
        })
    }

    fn hex(&mut self, least: usize, most: usize) -> Result<char> {
        let (mut value, mut digits) = (0u32, 0);
        while digits < most {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else { break };
            value = value.checked_mul(16).ok_or_else(|| invalid("invalid escape \\ sequence"))? | digit;
            digits += 1;
            self.at += 1;
        }
        let c = char::from_u32(value).filter(|_| digits >= least);
        c.ok_or_else(|| invalid("invalid escape \\ sequence"))
    }

    fn brackets(&mut self) -> Result<Node> {
        if self.accept("[:<:]]") {
            return Ok(Node::Place(Place::WordBegin));
        }
        if self.accept("[:>:]]") {
            return Ok(Node::Place(Place::WordEnd));
        }
        let mut set = Set { ranges: Vec::new(), negated: self.accept("^") };
        let mut first = true;
        loop {
            let c = self.peek().ok_or_else(|| invalid("brackets [] not balanced"))?;
            if c == ']' && !first {
                self.at += 1;
                break;
            }
            first = false;
            let Some(low) = self.bracket_item(&mut set)? else {
                if self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|c| *c != ']') {
                    return Err(invalid("invalid character range"));
                }
                continue;
            };
            let is_range = self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|c| *c != ']');
            if !is_range {
                set.add(low, low);
                continue;
            }
            self.at += 1;
            let high = self.bracket_item(&mut set)?.ok_or_else(|| invalid("invalid character range"))?;
            if high < low {
                return Err(invalid("invalid character range"));
            }
            set.add(low, high);
        }
        if self.options.fold_case {
            set.fold();
        }
        if set.negated && self.options.stops_at_newline {
            set.add('\n', '\n');
        }
        Ok(Node::One(set))
    }

    /// One character, or `None` for a class that went into the set.
    fn bracket_item(&mut self, set: &mut Set) -> Result<Option<char>> {
        let c = self.peek().ok_or_else(|| invalid("brackets [] not balanced"))?;
        if c == '[' && matches!(self.chars.get(self.at + 1), Some(':' | '.' | '=')) {
            return self.bracket_class(set);
        }
        self.at += 1;
        if c != '\\' {
            return Ok(Some(c));
        }
        let escaped = self.peek().ok_or_else(|| invalid("brackets [] not balanced"))?;
        self.at += 1;
        match class_escape(escaped) {
            Some((ranges, false)) => {
                set.add_all(ranges);
                Ok(None)
            }
            Some((ranges, true)) => {
                set.add_all(&complement(ranges));
                Ok(None)
            }
            None => self.character_escape(escaped).map(Some),
        }
    }

    fn bracket_class(&mut self, set: &mut Set) -> Result<Option<char>> {
        let mark = self.chars[self.at + 1];
        let start = self.at + 2;
        let rest = &self.chars[start..];
        let length = rest.windows(2).position(|pair| pair[0] == mark && pair[1] == ']');
        let length = length.ok_or_else(|| invalid("brackets [] not balanced"))?;
        let name: String = rest[..length].iter().collect();
        self.at = start + length + 2;
        if mark == ':' {
            let ranges = class(&name).ok_or_else(|| invalid("invalid character class"))?;
            set.add_all(ranges);
            if self.options.fold_case && matches!(name.as_str(), "upper" | "lower") {
                set.add_all(class("alpha").unwrap_or_default());
            }
            return Ok(None);
        }
        let mut chars = name.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(Some(c)),
            _ => Err(Error::unsupported(format!("collating element \"{name}\" in a regular expression"))),
        }
    }
}

fn complement(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let after = |c: char| char::from_u32(c as u32 + 1).unwrap_or('\u{e000}');
    let before = |c: char| char::from_u32((c as u32).wrapping_sub(1)).unwrap_or('\u{d7ff}');
    let mut next = '\0';
    let mut out = Vec::new();
    for &(low, high) in ranges {
        if next < low {
            out.push((next, before(low)));
        }
        next = after(high);
    }
    out.push((next, char::MAX));
    out
}

/// What `\d`, `\s`, `\w` and their opposites stand for.
fn class_escape(c: char) -> Option<(&'static [(char, char)], bool)> {
    Some(match c {
        'd' => (DIGIT, false),
        'D' => (DIGIT, true),
        's' => (SPACE, false),
        'S' => (SPACE, true),
        'w' => (WORD, false),
        'W' => (WORD, true),
        _ => return None,
    })
}

fn class(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\u{7f}')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')],
        "digit" => DIGIT,
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => SPACE,
        "upper" => &[('A', 'Z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        "word" => WORD,
        _ => return None,
    })
}
