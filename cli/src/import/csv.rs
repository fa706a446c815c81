//! Reads CSV (RFC 4180) and keeps what the usual readers throw away: whether a field was quoted, because an unquoted
//! empty field is NULL and `""` is the empty string.
//!
//! Lines end with `\n` or `\r\n`. A byte-order mark at the beginning is skipped, and so are lines without any byte. A quote
//! inside an unquoted field is text.

use std::io::BufRead;

use crate::error::{Result, ShellError};

/// A field of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Its text, quotes resolved.
    pub text: String,
    /// Whether it stood in quotes.
    pub is_quoted: bool,
}

/// Reads records.
pub struct Reader<R> {
    input: R,
    line: Vec<u8>,
    /// Number of the last line read, from 1.
    line_number: u64,
    /// For messages.
    name: String,
}

impl<R: BufRead> Reader<R> {
    /// A reader of `input`, which messages call `name`.
    pub fn new(input: R, name: &str) -> Self {
        Reader { input, line: Vec::new(), line_number: 0, name: name.to_string() }
    }

    /// Number of the last line that was read.
    pub fn line_number(&self) -> u64 {
        self.line_number
    }

    /// Reads the next record, or `None` at the end.
    ///
    /// # Errors
    /// The input fails, is not UTF-8, or ends inside a quoted field.
    pub fn next_record(&mut self) -> Result<Option<Vec<Field>>> {
        loop {
            if !self.read_line()? {
                return Ok(None);
            }
            if !trim_end(&self.line).is_empty() {
                break;
            }
        }
        let mut fields = Vec::new();
        let mut at = 0;
        loop {
            let (field, next) = match self.line.get(at) {
                Some(b'"') => self.quoted_field(at + 1)?,
                _ => self.plain_field(at)?,
            };
            fields.push(field);
            match self.line.get(next) {
                Some(b',') => at = next + 1,
                _ => return Ok(Some(fields)),
            }
        }
    }

    fn read_line(&mut self) -> Result<bool> {
        self.line.clear();
        self.append_line()
    }

    fn append_line(&mut self) -> Result<bool> {
        let before = self.line.len();
        let count = self.input.read_until(b'\n', &mut self.line).map_err(ShellError::io(&self.name))?;
        self.line_number += u64::from(count > 0);
        if self.line_number == 1 && before == 0 && self.line.starts_with(b"\xef\xbb\xbf") {
            self.line.drain(..3);
        }
        Ok(count > 0)
    }

    fn plain_field(&self, start: usize) -> Result<(Field, usize)> {
        let rest = &trim_end(&self.line)[start.min(trim_end(&self.line).len())..];
        let length = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
        Ok((Field { text: self.text(&rest[..length])?, is_quoted: false }, start + length))
    }

    /// `start` is behind the opening quote. May read more lines. The answer's index is behind the closing quote.
    fn quoted_field(&mut self, start: usize) -> Result<(Field, usize)> {
        let (mut bytes, mut at) = (Vec::new(), start);
        let first_line = self.line_number;
        loop {
            match self.line.get(at).copied() {
                Some(b'"') if self.line.get(at + 1) == Some(&b'"') => {
                    bytes.push(b'"');
                    at += 2;
                }
                Some(b'"') => break,
                Some(byte) => {
                    bytes.push(byte);
                    at += 1;
                }
                None if self.append_line()? => {}
                None => return Err(self.broken(first_line, "a quoted field has no end")),
            }
        }
        let rest = trim_end(&self.line[at + 1..]);
        if !rest.is_empty() && rest[0] != b',' {
            return Err(self.broken(self.line_number, "text behind a closing quote"));
        }
        Ok((Field { text: self.text(&bytes)?, is_quoted: true }, at + 1))
    }

    fn text(&self, bytes: &[u8]) -> Result<String> {
        let text = std::str::from_utf8(bytes).map_err(|_| self.broken(self.line_number, "not UTF-8"))?;
        Ok(text.to_string())
    }

    fn broken(&self, line: u64, what: &str) -> ShellError {
        ShellError::Usage(format!("{}, line {line}: {what}", self.name))
    }
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields in brackets; quoted ones in quotes.
    fn check(text: &str, expected: &str) {
        let mut reader = Reader::new(text.as_bytes(), "x.csv");
        let mut shown = String::new();
        while let Some(record) = reader.next_record().unwrap() {
            let fields: Vec<String> = record
                .iter()
                .map(|f| if f.is_quoted { format!("'{}'", f.text) } else { f.text.clone() })
                .collect();
            shown.push_str(&format!("[{}]", fields.join("|")));
        }
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn records() {
        check("a,b\n1,2\n", "[a|b][1|2]");
        check("a,b\r\n1,2", "[a|b][1|2]");
        check("a,\"\",\n,,\n", "[a|''|][||]");
        check("\"a,b\",\"c\"\"d\"\n", "['a,b'|'c\"d']");
        check("\"a\nb\r\nc\",d\n1,2\n", "['a\nb\r\nc'|d][1|2]");
        check("\u{feff}a\n\n\r\nb\n", "[a][b]");
        check("a\"b,c\n", "[a\"b|c]");
        check("é,\"ü\"\n", "[é|'ü']");
        check("\"a\"\n\"\"\n", "['a']['']");
        check("", "");
    }

    #[test]
    fn damage_is_named_with_its_line() {
        for (text, message) in [
            (&b"a\n\"b\nc"[..], "line 2: a quoted field has no end"),
            (&b"a\n\"b\"c\n"[..], "line 2: text behind a closing quote"),
            (&b"a\nb\xff\n"[..], "line 2: not UTF-8"),
        ] {
            let mut reader = Reader::new(text, "x.csv");
            reader.next_record().unwrap();
            assert!(reader.next_record().unwrap_err().to_string().contains(message));
        }
    }
}
