//! What the text of string and identifier tokens means.

use super::lexer::{Kind, Token};
use orrery_base::{Error, Result, SqlState};

/// The value of a string token.
pub(super) fn string(text: &str, token: Token) -> Result<String> {
    let raw = &text[token.start..token.end];
    match token.kind {
        Kind::DollarString => {
            let mark = raw[1..].find('$').expect("the lexer saw the mark") + 2;
            Ok(raw[mark..raw.len() - mark].to_owned())
        }
        Kind::EscapeString => escaped(&raw[2..raw.len() - 1], token.at),
        _ => Ok(plain(&raw[1..raw.len() - 1])),
    }
}

/// The name of a quoted identifier.
pub(super) fn quoted(text: &str, token: Token) -> String {
    text[token.start + 1..token.end - 1].replace("\"\"", "\"")
}

/// `''` is a quote; a lone quote begins a gap up to the next one (a string continued on a later line).
fn plain(inner: &str) -> String {
    if !inner.contains('\'') {
        return inner.to_owned();
    }
    let mut value = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(quote) = rest.find('\'') {
        value.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => rest = &rest[rest.find('\'').map_or(rest.len(), |next| next + 1)..],
        }
    }
    value.push_str(rest);
    value
}

fn escaped(inner: &str, at: u32) -> Result<String> {
    let mut value = Vec::with_capacity(inner.len());
    let mut chars = inner.char_indices().peekable();
    let mut buffer = [0u8; 4];
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' => {
                let Some((place, c)) = chars.next() else { break };
                let digits = match c {
                    'x' => take_digits(&inner[place + 1..], 16, 2),
                    '0'..='7' => take_digits(&inner[place..], 8, 3),
                    'u' => take_digits(&inner[place + 1..], 16, 4),
                    'U' => take_digits(&inner[place + 1..], 16, 8),
                    _ => "",
                };
                match c {
                    'x' if digits.is_empty() => value.push(b'x'),
                    'x' | '0'..='7' => {
                        let radix = if c == 'x' { 16 } else { 8 };
                        let number = u32::from_str_radix(digits, radix).expect("digits of this radix");
                        value.push(number as u8);
                        for _ in 0..digits.len() - usize::from(c != 'x') {
                            chars.next();
                        }
                    }
                    'u' | 'U' => {
                        let wanted = if c == 'u' { 4 } else { 8 };
                        let number = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == wanted);
                        let c = number.and_then(char::from_u32).ok_or_else(|| {
                            let message = "invalid Unicode escape value";
                            Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, message).at(at)
                        })?;
                        value.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
                        for _ in 0..wanted {
                            chars.next();
                        }
                    }
                    'b' => value.push(8),
                    'f' => value.push(12),
                    'n' => value.push(b'\n'),
                    'r' => value.push(b'\r'),
                    't' => value.push(b'\t'),
                    other => value.extend_from_slice(other.encode_utf8(&mut buffer).as_bytes()),
                }
            }
            '\'' => {
                // `''` is a quote; otherwise a gap to the quote on a later line.
                if chars.peek().is_some_and(|&(_, c)| c == '\'') {
                    value.push(b'\'');
                    chars.next();
                } else {
                    for (_, c) in chars.by_ref() {
                        if c == '\'' {
                            break;
                        }
                    }
                }
            }
            other => value.extend_from_slice(other.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    let invalid = || {
        let message = "invalid byte sequence for encoding \"UTF8\"";
        Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message).at(at)
    };
    if value.contains(&0) {
        return Err(invalid());
    }
    String::from_utf8(value).map_err(|_| invalid())
}

fn take_digits(text: &str, radix: u32, count_max: usize) -> &str {
    let len = text.chars().take(count_max).take_while(|c| c.is_digit(radix)).count();
    &text[..len]
}
