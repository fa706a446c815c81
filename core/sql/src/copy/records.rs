//! Cuts the text of a COPY into records: CSV (RFC 4180 as PostgreSQL reads it) and PostgreSQL's text format. Works on
//! pieces cut anywhere, in the middle of a quoted value or of a character too.

use crate::bind::CopyFormat;
use orrery_base::{Error, Result, SqlState};

/// The values' texts of one record. One lives through a whole COPY.
#[derive(Default)]
pub(super) struct Cells {
    text: String,
    /// Where in `text` each value begins, and whether it is NULL.
    starts: Vec<(usize, bool)>,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// A value's text; `None` is NULL.
    pub(super) fn get(&self, at: usize) -> Option<&str> {
        let (start, is_null) = self.starts[at];
        let end = self.starts.get(at + 1).map_or(self.text.len(), |next| next.0);
        (!is_null).then(|| &self.text[start..end])
    }

    fn clear(&mut self) {
        self.text.clear();
        self.starts.clear();
    }
}

/// The text so far, and where in it we are.
pub(super) struct Records {
    format: CopyFormat,
    bytes: Vec<u8>,
    start: usize,
    line: u64,
    ended: bool,
    is_over: bool,
}

impl Records {
    pub(super) fn new(format: CopyFormat) -> Self {
        Records { format, bytes: Vec::new(), start: 0, line: 1, ended: false, is_over: false }
    }

    /// The line, from 1, on which the next record begins.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// There is no more text: what is left is the last record.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Reads the next whole record; `false` until there is one. Errors: 22P04, 22021.
    pub(super) fn next_record(&mut self, into: &mut Cells) -> Result<bool> {
        into.clear();
        if self.is_over {
            return Ok(false);
        }
        let Some((len, next)) = self.record_end()? else { return Ok(false) };
        let record = &self.bytes[self.start..self.start + len];
        let line_count = record.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        if record == b"\\." {
            self.is_over = true;
            return Ok(false);
        }
        let text = std::str::from_utf8(record).map_err(|_| {
            let message = "invalid byte sequence for encoding \"UTF8\"";
            Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
        })?;
        match self.format.csv {
            true => self.csv_cells(text, into),
            false => self.text_cells(text, into)?,
        }
        self.line += line_count;
        self.start = next;
        Ok(true)
    }

    /// The record's length and where the next one begins (both relative: length from `start`, place in `bytes`).
    fn record_end(&self) -> Result<Option<(usize, usize)>> {
        let rest = &self.bytes[self.start..];
        let mut in_quotes = false;
        let mut at = 0;
        while at < rest.len() {
            let byte = rest[at];
            if self.format.csv
                && in_quotes
                && byte == self.format.escape
                && self.format.escape != self.format.quote
            {
                at += 2;
                continue;
            }
            if self.format.csv && byte == self.format.quote {
                // A doubled quote leaves and enters again, which comes to the same.
                in_quotes = !in_quotes;
            } else if !self.format.csv && byte == b'\\' {
                at += 2;
                continue;
            } else if byte == b'\n' && !in_quotes {
                let end = if at > 0 && rest[at - 1] == b'\r' { at - 1 } else { at };
                return Ok(Some((end, self.start + at + 1)));
            }
            at += 1;
        }
        if !self.ended || rest.is_empty() {
            return Ok(None);
        }
        if in_quotes {
            return Err(Error::new(SqlState::BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"));
        }
        let end = if rest.ends_with(b"\r") { rest.len() - 1 } else { rest.len() };
        Ok(Some((end, self.bytes.len())))
    }

    fn csv_cells(&self, record: &str, into: &mut Cells) {
        let format = &self.format;
        let bytes = record.as_bytes();
        let (mut start, mut quoted, mut at) = (0, false, 0);
        loop {
            let is_plain = |byte: &u8| *byte != format.quote && *byte != format.delimiter;
            let plain = bytes[at..].iter().take_while(|byte| is_plain(byte)).count();
            into.text.push_str(&record[at..at + plain]);
            at += plain;
            if bytes.get(at) == Some(&format.quote) {
                quoted = true;
                at = quoted_part(record, at + 1, format, &mut into.text);
                continue;
            }
            let is_null = !std::mem::take(&mut quoted) && into.text[start..] == format.null;
            into.starts.push((start, is_null));
            start = into.text.len();
            if at >= bytes.len() {
                return;
            }
            at += 1;
        }
    }

    fn text_cells(&self, record: &str, into: &mut Cells) -> Result<()> {
        let bytes = record.as_bytes();
        let mut start = 0;
        let mut at = 0;
        loop {
            let ends = at >= bytes.len();
            if ends || bytes[at] == self.format.delimiter {
                let raw = &record[start..at.min(bytes.len())];
                let is_null = raw == self.format.null;
                into.starts.push((into.text.len(), is_null));
                match raw.contains('\\') && !is_null {
                    true => into.text.push_str(&unescape(raw)?),
                    false => into.text.push_str(raw),
                }
                if ends {
                    return Ok(());
                }
                start = at + 1;
            }
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
    }
}

/// Copies a quoted part; gives the place after its closing quote.
fn quoted_part(record: &str, mut at: usize, format: &CopyFormat, into: &mut String) -> usize {
    let bytes = record.as_bytes();
    while at < bytes.len() {
        let is_plain = |byte: &u8| *byte != format.quote && *byte != format.escape;
        let plain = bytes[at..].iter().take_while(|byte| is_plain(byte)).count();
        into.push_str(&record[at..at + plain]);
        at += plain;
        let (Some(&byte), next) = (bytes.get(at), bytes.get(at + 1)) else { return at };
        let is_escaped = |next: &u8| *next == format.quote || *next == format.escape;
        if byte == format.escape && next.is_some_and(is_escaped) {
            into.push_str(&record[at + 1..at + 2]);
            at += 2;
        } else if byte == format.quote {
            return at + 1;
        } else {
            into.push_str(&record[at..at + 1]);
            at += 1;
        }
    }
    at
}

/// The text format's escapes (PostgreSQL documentation, COPY, "Text Format").
fn unescape(raw: &str) -> Result<String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            None => out.push(b'\\'),
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'v') => out.push(11),
            Some(b'x') if bytes.peek().is_some_and(u8::is_ascii_hexdigit) => {
                out.push(number(&mut bytes, 0, 16, 2));
            }
            Some(digit @ b'0'..=b'7') => out.push(number(&mut bytes, u32::from(digit - b'0'), 8, 2)),
            Some(other) => out.push(other),
        }
    }
    String::from_utf8(out).map_err(|_| {
        Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\"")
    })
}

fn number(bytes: &mut std::iter::Peekable<std::str::Bytes<'_>>, first: u32, radix: u32, more: usize) -> u8 {
    let mut value = first;
    for _ in 0..more {
        let Some(digit) = bytes.peek().and_then(|&byte| (byte as char).to_digit(radix)) else { break };
        value = value * radix + digit;
        bytes.next();
    }
    value as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv() -> CopyFormat {
        CopyFormat {
            csv: true,
            header: false,
            header_match: false,
            delimiter: b',',
            null: String::new(),
            quote: b'"',
            escape: b'"',
            force_quote: crate::bind::ForceQuote::Never,
        }
    }

    /// Every way to cut the text gives the same records.
    fn check(format: &CopyFormat, text: &str, expected: &[&[Option<&str>]]) {
        for cut in 0..=text.len() {
            let mut records = Records::new(format.clone());
            let (mut all, mut cells) = (Vec::new(), Cells::default());
            let mut take = |records: &mut Records| {
                while records.next_record(&mut cells).unwrap() {
                    let owned = |at| cells.get(at).map(str::to_owned);
                    all.push((0..cells.len()).map(owned).collect::<Vec<_>>());
                }
            };
            for piece in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
                records.push(piece);
                take(&mut records);
            }
            records.end();
            take(&mut records);
            let shown: Vec<Vec<Option<&str>>> =
                all.iter().map(|record| record.iter().map(Option::as_deref).collect()).collect();
            assert_eq!(shown, expected, "cut at {cut}");
        }
    }

    #[test]
    fn csv_as_postgresql_reads_it() {
        check(
            &csv(),
            "1,\"a \"\"b\"\"\nc\",\r\n2,\"\",é",
            &[&[Some("1"), Some("a \"b\"\nc"), None], &[Some("2"), Some(""), Some("é")]],
        );
        check(&csv(), "a\n\\.\nb\n", &[&[Some("a")]]);
        let mut records = Records::new(csv());
        records.push(b"\"open");
        records.end();
        assert_eq!(
            records.next_record(&mut Cells::default()).unwrap_err().code(),
            SqlState::BAD_COPY_FILE_FORMAT
        );
    }

    #[test]
    fn the_text_format() {
        let format = CopyFormat { csv: false, delimiter: b'\t', null: "\\N".into(), ..csv() };
        check(
            &format,
            "1\t\\N\ta\\tb\\\\\n\t\\x41\\101\t\n",
            &[&[Some("1"), None, Some("a\tb\\")], &[Some(""), Some("AA"), Some("")]],
        );
    }
}
