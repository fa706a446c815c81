//! JSON taken apart and written again: `json` as it was given, `jsonb` in its normal form (keys by length, then bytes, the
//! last of equal ones; numbers as numerics).
//!
//! Invariant J1: two `jsonb` values are equal exactly if their [`key`]s are; the keys' order is PostgreSQL's.

use orrery_base::sorting;
use orrery_base::{Error, Result, SqlState};
use orrery_row::key::KeyWriter;
use orrery_row::numeric::Numeric;

/// How deep arrays and objects may stand in one another.
const DEPTH_MAX: usize = 1000;

/// A value, and where its text lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Its first byte in the text it was read from.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
}

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// A string, its escapes replaced.
    String(String),
    /// An array.
    Array(Vec<Node>),
    /// An object: its keys in the order of the text.
    Object(Vec<(String, Node)>),
}

impl From<Value> for Node {
    fn from(value: Value) -> Node {
        Node { value, start: 0, end: 0 }
    }
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json")
        .with_detail(detail)
}

/// Checks the text of a `json`. Errors: 22P02, 54001.
pub fn check(text: &str) -> Result<()> {
    Reader { text, at: 0, converts: false }.whole().map(drop)
}

/// Reads a text. Errors: 22P02; 22P05 for a character that text cannot hold; 54001 where it is too deep.
pub fn parse(text: &str) -> Result<Node> {
    Reader { text, at: 0, converts: true }.whole()
}

/// The normal form of a text. Errors: as [`parse`].
pub fn normalize(text: &str) -> Result<String> {
    let mut node = parse(text)?;
    sort(&mut node)?;
    Ok(to_text(&node))
}

/// The text of a value made by other means, in the normal form. Errors: 22003.
pub fn normal_text(mut node: Node) -> Result<String> {
    sort(&mut node)?;
    Ok(to_text(&node))
}

/// Brings a value into the normal form.
fn sort(node: &mut Node) -> Result<()> {
    match &mut node.value {
        Value::Number(number) => {
            let value: Numeric = number.parse()?;
            *number = value.to_string();
        }
        Value::Array(items) => items.iter_mut().try_for_each(sort)?,
        Value::Object(members) => {
            members.iter_mut().try_for_each(|(_, value)| sort(value))?;
            let mut sorted: Vec<(String, Node)> = std::mem::take(members);
            sorting::sort_by(&mut sorted, |(a, _), (b, _)| key_order(a, b));
            for member in sorted {
                match members.last_mut() {
                    Some(last) if last.0 == member.0 => *last = member,
                    _ => members.push(member),
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The order of an object's keys in the normal form.
pub fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

/// Its text as `jsonb` writes it.
pub fn to_text(node: &Node) -> String {
    let mut text = String::new();
    write(&mut text, node);
    text
}

/// Appends its text as `jsonb` writes it.
pub fn write(into: &mut String, node: &Node) {
    match &node.value {
        Value::Null => into.push_str("null"),
        Value::Bool(value) => into.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => into.push_str(number),
        Value::String(text) => quote(into, text),
        Value::Array(items) => {
            into.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    into.push_str(", ");
                }
                write(into, item);
            }
            into.push(']');
        }
        Value::Object(members) => {
            into.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    into.push_str(", ");
                }
                quote(into, key);
                into.push_str(": ");
                write(into, value);
            }
            into.push('}');
        }
    }
}

/// Appends its text over several lines (`jsonb_pretty`).
pub fn write_pretty(into: &mut String, node: &Node, indent: usize) {
    let line = |into: &mut String, indent: usize| {
        into.push('\n');
        into.extend(std::iter::repeat_n(' ', indent));
    };
    match &node.value {
        Value::Array(items) => {
            into.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                line(into, indent + 4);
                write_pretty(into, item, indent + 4);
            }
            line(into, indent);
            into.push(']');
        }
        Value::Object(members) => {
            into.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                line(into, indent + 4);
                quote(into, key);
                into.push_str(": ");
                write_pretty(into, value, indent + 4);
            }
            line(into, indent);
            into.push('}');
        }
        _ => write(into, node),
    }
}

/// Appends a string in quotes.
pub fn quote(into: &mut String, text: &str) {
    into.push('"');
    for c in text.chars() {
        match c {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\u{8}' => into.push_str("\\b"),
            '\u{c}' => into.push_str("\\f"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            c if c < ' ' => into.push_str(&format!("\\u{:04x}", c as u32)),
            c => into.push(c),
        }
    }
    into.push('"');
}

/// Bytes that order values of `jsonb` as PostgreSQL does: objects above arrays, then booleans, numbers, strings, null; objects
/// and arrays by their number of members first. `text` is a normal form.
pub fn key(text: &str) -> Vec<u8> {
    let mut key = Vec::new();
    match parse(text) {
        // PostgreSQL keeps an empty array at the top below everything.
        Ok(Node { value: Value::Array(items), .. }) if items.is_empty() => key.push(0),
        Ok(node) => push_key(&mut key, &node),
        // What is stored was read before.
        Err(_) => key.extend_from_slice(text.as_bytes()),
    }
    key
}

fn push_key(key: &mut Vec<u8>, node: &Node) {
    match &node.value {
        Value::Null => key.push(1),
        Value::String(text) => {
            key.push(2);
            KeyWriter::new(key).bytes(text.as_bytes(), false);
        }
        Value::Number(number) => {
            key.push(3);
            KeyWriter::new(key).numeric(&number.parse().unwrap_or(Numeric::NaN), false);
        }
        Value::Bool(value) => key.extend_from_slice(&[4, u8::from(*value)]),
        Value::Array(items) => {
            key.push(5);
            key.extend_from_slice(&(items.len() as u32).to_be_bytes());
            items.iter().for_each(|item| push_key(key, item));
        }
        Value::Object(members) => {
            key.push(6);
            key.extend_from_slice(&(members.len() as u32).to_be_bytes());
            for (name, value) in members {
                KeyWriter::new(key).bytes(name.as_bytes(), false);
                push_key(key, value);
            }
        }
    }
}

impl Node {
    /// `typeof`
    pub fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }

    /// As errors of casts name it.
    pub fn cast_name(&self) -> &'static str {
        match &self.value {
            Value::Number(_) => "numeric",
            _ => self.type_name(),
        }
    }

    /// The member of an object; of equal keys the last.
    pub fn member(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Object(members) => members.iter().rev().find(|(key, _)| key == name).map(|it| &it.1),
            _ => None,
        }
    }

    /// An element of an array; from the end where the index is negative.
    pub fn element(&self, index: i64) -> Option<&Node> {
        match &self.value {
            Value::Array(items) => {
                let index = if index < 0 { index + items.len() as i64 } else { index };
                usize::try_from(index).ok().and_then(|index| items.get(index))
            }
            _ => None,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Escapes are replaced, and judged.
    converts: bool,
}

impl Reader<'_> {
    fn whole(&mut self) -> Result<Node> {
        let node = self.node(0)?;
        self.blank();
        if self.at < self.text.len() {
            let found = self.token();
            return Err(invalid(format!("Expected end of input, but found \"{found}\".")));
        }
        Ok(node)
    }

    fn blank(&mut self) {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn token(&self) -> &str {
        let rest = &self.text[self.at..];
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let first = rest.chars().next().map_or(0, char::len_utf8);
        &rest[..word.max(first)]
    }

    fn unexpected(&self, wanted: &str) -> Error {
        if self.at >= self.text.len() {
            return invalid("The input string ended unexpectedly.");
        }
        let found = self.token();
        if found.chars().all(char::is_alphanumeric) && !matches!(found, "true" | "false" | "null") {
            return invalid(format!("Token \"{found}\" is invalid."));
        }
        invalid(format!("Expected {wanted}, but found \"{found}\"."))
    }

    fn node(&mut self, depth: usize) -> Result<Node> {
        if depth > DEPTH_MAX {
            return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded"));
        }
        self.blank();
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => {
                let word = self.token();
                let value = match word {
                    "null" => Value::Null,
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    _ => return Err(self.unexpected("JSON value")),
                };
                self.at += word.len();
                value
            }
        };
        Ok(Node { value, start, end: self.at })
    }

    fn object(&mut self, depth: usize) -> Result<Value> {
        self.at += 1;
        let mut members = Vec::new();
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            self.blank();
            if self.peek() != Some(b'"') {
                let wanted = if members.is_empty() { "string or \"}\"" } else { "string" };
                return Err(self.unexpected(wanted));
            }
            let key = self.string()?;
            self.blank();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("\":\""));
            }
            self.at += 1;
            members.push((key, self.node(depth + 1)?));
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("\",\" or \"}\"")),
            }
        }
        self.at += 1;
        Ok(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.node(depth + 1)?);
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("\",\" or \"]\"")),
            }
        }
        self.at += 1;
        Ok(Value::Array(items))
    }

    fn number(&mut self) -> Result<Value> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start + usize::from(bytes[start] == b'-');
        let digits = |at: &mut usize| {
            let first = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at > first
        };
        let mut good = if bytes.get(at) == Some(&b'0') {
            at += 1;
            true
        } else {
            digits(&mut at)
        };
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            good &= digits(&mut at);
        }
        if good && matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            good &= digits(&mut at);
        }
        // What runs on is one bad token.
        let end = self.text[at..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-')));
        let end = end.map_or(self.text.len(), |length| at + length);
        if !good || end > at {
            return Err(invalid(format!("Token \"{}\" is invalid.", &self.text[start..end])));
        }
        self.at = at;
        Ok(Value::Number(self.text[start..at].to_owned()))
    }

    fn string(&mut self) -> Result<String> {
        let mut out = String::new();
        let start = self.at;
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(c) = rest.chars().next() else {
                return Err(invalid(format!("Token \"{}\" is invalid.", &self.text[start..])));
            };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(out),
                '\\' => self.escape(&mut out)?,
                c if c < ' ' => {
                    return Err(invalid(format!("Character with value 0x{:02x} must be escaped.", c as u32)));
                }
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<()> {
        let rest = &self.text[self.at..];
        let Some(c) = rest.chars().next() else {
            return Err(invalid("The input string ended unexpectedly."));
        };
        self.at += c.len_utf8();
        out.push(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let code = self.hex()?;
                return if self.converts { self.unicode(code, out) } else { Ok(()) };
            }
            c => return Err(invalid(format!("Escape sequence \"\\{c}\" is invalid."))),
        });
        Ok(())
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let digits = digits.ok_or_else(|| invalid("\"\\u\" must be followed by four hexadecimal digits."))?;
        self.at += 4;
        u32::from_str_radix(digits, 16)
            .map_err(|_| invalid("\"\\u\" must be followed by four hexadecimal digits."))
    }

    fn unicode(&mut self, code: u32, out: &mut String) -> Result<()> {
        let code = match code {
            0 => {
                let message = "unsupported Unicode escape sequence";
                return Err(Error::new(SqlState::UNTRANSLATABLE_CHARACTER, message)
                    .with_detail("\\u0000 cannot be converted to text."));
            }
            0xd800..0xdc00 => {
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(invalid("Unicode low surrogate must follow a high surrogate."));
                }
                self.at += 2;
                let low = self.hex()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Err(invalid("Unicode low surrogate must follow a high surrogate."));
                }
                0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
            }
            code => code,
        };
        let c = char::from_u32(code);
        out.push(c.ok_or_else(|| invalid("Unicode low surrogate must follow a high surrogate."))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        let got = normalize(input).unwrap_or_else(|error| error.code().to_string());
        assert_eq!(got, expected, "{input:?}");
    }

    #[test]
    fn normal_forms() {
        let cases = [
            (" {\"bb\":1, \"a\":[1,2.50,1e2], \"bb\":null} ", "{\"a\": [1, 2.50, 100], \"bb\": null}"),
            ("[]", "[]"),
            ("{}", "{}"),
            ("\"a\\u00e9\\n\\ud83d\\ude04\"", "\"aé\\n😄\""),
            ("01", "22P02"),
            ("1.", "22P02"),
            ("-", "22P02"),
            ("[1,]", "22P02"),
            ("{\"a\"}", "22P02"),
            ("\"\\u0000\"", "22P05"),
            ("\"\\ud83d\"", "22P02"),
            ("true false", "22P02"),
            ("", "22P02"),
        ];
        for (input, expected) in cases {
            check(input, expected);
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn order() {
        let ascending = [
            "[]",
            "null",
            "\"a\"",
            "\"b\"",
            "-1",
            "1",
            "1.5",
            "false",
            "true",
            "[1]",
            "[1, 2]",
            "{}",
            "{\"a\": 1}",
        ];
        for pair in ascending.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{pair:?}");
        }
        assert_eq!(key("[1.0]"), key("[1.00]"));
    }
}
