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
        Kind::EscapeString if raw.as_bytes()[1] == b'&' => {
            let (inner, escape) = unicode_parts(raw, '\'', token.at)?;
            unicode(&plain(inner), escape, token.at)
        }
        Kind::EscapeString => escaped(&raw[2..raw.len() - 1], token.at),
        _ => Ok(plain(&raw[1..raw.len() - 1])),
    }
}

/// The name of a quoted identifier. Errors: 42601 for bad Unicode escapes.
pub(super) fn quoted(text: &str, token: Token) -> Result<String> {
    let raw = &text[token.start..token.end];
    if !raw.starts_with('"') {
        let (inner, escape) = unicode_parts(raw, '"', token.at)?;
        return unicode(&inner.replace("\"\"", "\""), escape, token.at);
    }
    Ok(raw[1..raw.len() - 1].replace("\"\"", "\""))
}

/// What stands in the quotes of `U&'…' [UESCAPE 'c']`, and the character that escapes in it.
fn unicode_parts(raw: &str, quote: char, at: u32) -> Result<(&str, char)> {
    let refuse = || Error::new(SqlState::SYNTAX_ERROR, "invalid Unicode escape character").at(at);
    // A string that goes on to the end has no clause behind it.
    let Some(without) = raw[3..].strip_suffix('\'').filter(|it| it.contains(quote)) else {
        return Ok((&raw[3..raw.len() - 1], '\\'));
    };
    let Some((before, escape)) = without.rsplit_once('\'') else { return Ok((without, '\\')) };
    let Some(inner) = trimmed_clause(before).and_then(|it| it.strip_suffix(quote)) else {
        return Ok((without, '\\'));
    };
    let mut chars = escape.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if !c.is_ascii_hexdigit() && !"+'\" \t\n\r".contains(c) => Ok((inner, c)),
        _ => Err(refuse()),
    }
}

/// A text that ends in `UESCAPE`, without it.
fn trimmed_clause(text: &str) -> Option<&str> {
    let text = text.trim_ascii_end();
    let start = text.len().checked_sub(7)?;
    let is_word = text.get(start..).is_some_and(|it| it.eq_ignore_ascii_case("uescape"));
    is_word.then(|| text[..start].trim_ascii_end())
}

/// `\XXXX`, `\+XXXXXX` and `\\`, with any character for the backslash.
fn unicode(inner: &str, escape: char, at: u32) -> Result<String> {
    let invalid = |message: &str| Error::new(SqlState::SYNTAX_ERROR, message).at(at);
    let mut out = String::with_capacity(inner.len());
    let (mut rest, mut high) = (inner, None::<u32>);
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let code = if c != escape {
            rest = after;
            c as u32
        } else if let Some(after) = after.strip_prefix(escape) {
            rest = after;
            c as u32
        } else {
            let (digits, from) = if after.starts_with('+') { (6, 1) } else { (4, 0) };
            let digits =
                after.get(from..from + digits).filter(|it| it.bytes().all(|b| b.is_ascii_hexdigit()));
            let code = digits.and_then(|it| u32::from_str_radix(it, 16).ok());
            let code = code.ok_or_else(|| {
                invalid("invalid Unicode escape").with_hint("Unicode escapes must be \\XXXX or \\+XXXXXX.")
            })?;
            rest = &after[from + digits.map_or(0, str::len)..];
            code
        };
        let code = match (high.take(), code) {
            (None, 0xd800..0xdc00) => {
                high = Some(code);
                continue;
            }
            (Some(high), 0xdc00..0xe000) => 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00),
            (Some(_), _) | (None, 0xdc00..0xe000) => return Err(invalid("invalid Unicode surrogate pair")),
            (None, code) => code,
        };
        let c = char::from_u32(code).filter(|c| *c != '\0');
        out.push(c.ok_or_else(|| invalid("invalid Unicode escape value"))?);
    }
    if high.is_some() {
        return Err(invalid("invalid Unicode surrogate pair"));
    }
    Ok(out)
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
