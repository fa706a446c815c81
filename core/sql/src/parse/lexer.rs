//! Text to tokens, by the rules of PostgreSQL's scanner: nested comments, `''` and `E''` and dollar-quoted strings,
//! quoted identifiers, operators as the longest run of operator characters (but no trailing `+` or `-` unless a special
//! character is among them), `$n`. Tokens are made on demand, so a long statement costs no list of them.

use orrery_base::{Error, Result, SqlState};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An unquoted identifier or keyword.
    Word,
    /// A quoted identifier.
    Quoted,
    /// `'…'`
    String,
    /// `E'…'`, `U&'…'`
    EscapeString,
    /// `$tag$…$tag$`
    DollarString,
    /// A number.
    Number,
    /// `$n`, `:n`, `?`
    Param,
    /// An operator.
    Operator,
    /// `::`
    DoubleColon,
    /// `,` `(` `)` `[` `]` `;` `.` `:`
    Punct(u8),
    /// The end of the text.
    End,
}

/// A token: its bytes in the text, and its first character's position (1-based).
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) at: u32,
}

/// Makes tokens of a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    /// Position in characters of `pos`, 1-based.
    at: u32,
}

/// Length of the blanks and comments a text begins with.
pub(super) fn skip_blank(text: &str) -> Result<usize> {
    let mut lexer = Lexer::new(text);
    lexer.skip_blank()?;
    Ok(lexer.pos)
}

/// Where the first `;` outside of strings and comments is.
pub(super) fn first_semicolon(text: &str) -> Option<usize> {
    let mut lexer = Lexer::new(text);
    loop {
        let token = lexer.next().ok()?;
        match token.kind {
            Kind::Punct(b';') => return Some(token.start),
            Kind::End => return None,
            _ => {}
        }
    }
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word_part(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// `?` is not among them: it is a parameter. The operators of PostgreSQL that have one are for jsonb.
fn is_operator(byte: u8) -> bool {
    b"+-*/<>=~!@#%^&|`".contains(&byte)
}

fn lexical(at: u32, message: impl Into<String>) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message).at(at)
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer { text, pos: 0, at: 1 }
    }

    /// Where the next token is looked for, in bytes.
    pub(super) fn seek(&mut self, pos: usize, at: u32) {
        self.pos = pos;
        self.at = at;
    }

    fn byte(&self, offset: usize) -> u8 {
        self.text.as_bytes().get(self.pos + offset).copied().unwrap_or(0)
    }

    /// Moves to `pos`, counting characters (bytes that do not continue one).
    fn move_to(&mut self, pos: usize) {
        let passed = &self.text.as_bytes()[self.pos..pos];
        self.at += passed.iter().filter(|&&byte| byte & 0xc0 != 0x80).count() as u32;
        self.pos = pos;
    }

    fn skip_blank(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        loop {
            let mut pos = self.pos;
            while pos < bytes.len() && matches!(bytes[pos], b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) {
                pos += 1;
            }
            self.at += (pos - self.pos) as u32;
            self.pos = pos;
            match (self.byte(0), self.byte(1)) {
                (b'-', b'-') => {
                    let end = bytes[pos..].iter().position(|&byte| byte == b'\n' || byte == b'\r');
                    self.move_to(end.map_or(bytes.len(), |end| pos + end));
                }
                (b'/', b'*') => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_comment(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        let mut depth = 0usize;
        let mut pos = self.pos;
        while pos < bytes.len() {
            if bytes[pos..].starts_with(b"/*") {
                depth += 1;
                pos += 2;
            } else if bytes[pos..].starts_with(b"*/") {
                depth -= 1;
                pos += 2;
                if depth == 0 {
                    self.move_to(pos);
                    return Ok(());
                }
            } else {
                pos += 1;
            }
        }
        Err(lexical(self.at, "unterminated /* comment"))
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Result<Token> {
        self.skip_blank()?;
        let start = self.pos;
        let at = self.at;
        let token = |kind, end| Token { kind, start, end, at };
        let bytes = self.text.as_bytes();
        let Some(&first) = bytes.get(start) else { return Ok(token(Kind::End, start)) };
        let (kind, end) = match first {
            b'\'' => (Kind::String, self.string_end(start, false)?),
            b'"' => (Kind::Quoted, self.quoted_end(start)?),
            b'e' | b'E' if self.byte(1) == b'\'' => (Kind::EscapeString, self.string_end(start + 1, true)?),
            b'b' | b'B' | b'x' | b'X' if self.byte(1) == b'\'' => {
                return Err(Error::unsupported("bit string literal").at(at));
            }
            b'u' | b'U' if self.byte(1) == b'&' && self.byte(2) == b'\'' => {
                (Kind::EscapeString, self.with_escape(self.string_end(start + 2, false)?))
            }
            b'u' | b'U' if self.byte(1) == b'&' && self.byte(2) == b'"' => {
                (Kind::Quoted, self.with_escape(self.quoted_end(start + 2)?))
            }
            b'0'..=b'9' => (Kind::Number, self.number_end(start)?),
            b'.' if self.byte(1).is_ascii_digit() => (Kind::Number, self.number_end(start)?),
            b'$' => self.dollar(start)?,
            b'?' if matches!(self.byte(1), b'|' | b'&') && !is_operator(self.byte(2)) => {
                (Kind::Operator, start + 2)
            }
            b'@' if self.byte(1) == b'?' => (Kind::Operator, start + 2),
            b'?' => (Kind::Param, start + 1),
            b':' if self.byte(1) == b':' => (Kind::DoubleColon, start + 2),
            b':' if self.is_numeric_param(start) => self.dollar(start)?,
            b',' | b'(' | b')' | b'[' | b']' | b';' | b'.' | b':' => (Kind::Punct(first), start + 1),
            _ if is_word_start(first) => {
                let len = bytes[start..].iter().position(|&byte| !is_word_part(byte));
                (Kind::Word, len.map_or(bytes.len(), |len| start + len))
            }
            _ if is_operator(first) => (Kind::Operator, self.operator_end(start)),
            _ => {
                let near = self.text[start..].chars().next().unwrap_or(' ');
                return Err(lexical(at, format!("syntax error at or near \"{near}\"")));
            }
        };
        self.move_to(end);
        Ok(token(kind, end))
    }

    /// The end of a string whose quote is at `quote`; strings that follow on a later line belong to it.
    fn string_end(&self, quote: usize, escapes: bool) -> Result<usize> {
        let bytes = self.text.as_bytes();
        let mut pos = quote + 1;
        loop {
            match bytes.get(pos) {
                None => return Err(lexical(self.at, "unterminated quoted string")),
                Some(b'\\') if escapes => pos += 2,
                Some(b'\'') if bytes.get(pos + 1) == Some(&b'\'') => pos += 2,
                Some(b'\'') => match continuation(&bytes[pos + 1..]) {
                    Some(next) => pos += 1 + next + 1,
                    None => return Ok(pos + 1),
                },
                Some(_) => pos += 1,
            }
        }
    }

    fn quoted_end(&self, start: usize) -> Result<usize> {
        let bytes = self.text.as_bytes();
        let mut pos = start + 1;
        loop {
            match bytes.get(pos) {
                None => return Err(lexical(self.at, "unterminated quoted identifier")),
                Some(b'"') if bytes.get(pos + 1) == Some(&b'"') => pos += 2,
                Some(b'"') if pos == start + 1 => {
                    return Err(lexical(self.at, "zero-length delimited identifier"));
                }
                Some(b'"') => return Ok(pos + 1),
                Some(_) => pos += 1,
            }
        }
    }

    /// The end of `UESCAPE 'c'` behind a string or a name that ends at `end`; `end` where none is there.
    fn with_escape(&self, end: usize) -> usize {
        let blanks = |text: &str| text.len() - text.trim_ascii_start().len();
        let rest = &self.text[end..];
        let word = blanks(rest);
        let is_word = rest.get(word..word + 7).is_some_and(|it| it.eq_ignore_ascii_case("uescape"));
        if !is_word {
            return end;
        }
        let quote = word + 7 + blanks(&rest[word + 7..]);
        match rest[quote..].strip_prefix('\'').and_then(|it| it.find('\'')) {
            Some(len) => end + quote + len + 2,
            None => end,
        }
    }

    fn number_end(&self, start: usize) -> Result<usize> {
        let bytes = self.text.as_bytes();
        let digits = |mut pos: usize| {
            while bytes.get(pos).is_some_and(u8::is_ascii_digit) {
                pos += 1;
            }
            pos
        };
        let mut pos = digits(start);
        if bytes.get(pos) == Some(&b'.') && bytes.get(pos + 1) != Some(&b'.') {
            pos = digits(pos + 1);
        }
        if matches!(bytes.get(pos), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(pos + 1), Some(b'+' | b'-')));
            if bytes.get(pos + 1 + sign).is_some_and(u8::is_ascii_digit) {
                pos = digits(pos + 1 + sign);
            }
        }
        if bytes.get(pos).is_some_and(|&byte| is_word_start(byte)) {
            return Err(lexical(self.at, "trailing junk after numeric literal"));
        }
        Ok(pos)
    }

    /// `:1` is `$1` (Python's numeric style), but not in a slice: what may end an expression does not stand before it.
    fn is_numeric_param(&self, start: usize) -> bool {
        let before = start.checked_sub(1).map(|before| self.text.as_bytes()[before]);
        let ends_expression =
            |byte: u8| is_word_part(byte) || matches!(byte, b')' | b']' | b'[' | b'"' | b'\'');
        self.byte(1).is_ascii_digit() && !before.is_some_and(ends_expression)
    }

    fn dollar(&self, start: usize) -> Result<(Kind, usize)> {
        let bytes = self.text.as_bytes();
        if self.byte(1).is_ascii_digit() {
            let len = bytes[start + 1..].iter().position(|byte| !byte.is_ascii_digit());
            let end = len.map_or(bytes.len(), |len| start + 1 + len);
            if bytes.get(end).is_some_and(|&byte| is_word_start(byte)) {
                return Err(lexical(self.at, "trailing junk after parameter"));
            }
            return Ok((Kind::Param, end));
        }
        let tag = bytes[start + 1..].iter().position(|&byte| byte == b'$' || !is_word_part(byte));
        match tag.map(|len| start + 1 + len) {
            Some(close) if bytes[close] == b'$' => {
                let mark = &self.text[start..=close];
                match self.text[close + 1..].find(mark) {
                    Some(len) => Ok((Kind::DollarString, close + 1 + len + mark.len())),
                    None => Err(lexical(self.at, "unterminated dollar-quoted string")),
                }
            }
            _ => Err(lexical(self.at, "syntax error at or near \"$\"")),
        }
    }

    fn operator_end(&self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut end = start;
        while end < bytes.len() && is_operator(bytes[end]) {
            if end > start && (bytes[end..].starts_with(b"--") || bytes[end..].starts_with(b"/*")) {
                break;
            }
            end += 1;
        }
        let special = bytes[start..end].iter().any(|byte| b"~!@#%^&|`".contains(byte));
        while end - start > 1 && !special && matches!(bytes[end - 1], b'+' | b'-') {
            end -= 1;
        }
        end
    }
}

/// Where the next quote is when only blanks with a line break lie before it.
fn continuation(bytes: &[u8]) -> Option<usize> {
    let blanks = bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
    (bytes[blanks] == b'\'' && bytes[..blanks].iter().any(|&byte| byte == b'\n' || byte == b'\r'))
        .then_some(blanks)
}
