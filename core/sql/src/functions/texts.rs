//! Functions of texts and of values of any type: `format`, `quote_ident`, `pg_typeof`, `num_nulls` and the like.

use super::arrays::text_of;
use super::{Scalar, TypedCall, Value, Volatility, typed_entry as entry};
use crate::datum::Datum;
use crate::text;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

fn bad(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// A name as SQL writes it.
fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !crate::parse::is_keyword(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as SQL writes it.
fn quote_literal(text: &str) -> String {
    let escape = if text.contains('\\') { " E'" } else { "'" };
    format!("{escape}{}'", text.replace('\'', "''").replace('\\', "\\\\")).trim_start().to_owned()
}

// ---- format()

struct Spec {
    arg: Option<usize>,
    left: bool,
    width: Width,
    kind: char,
}

enum Width {
    None,
    Fixed(i32),
    /// From an argument; `None`: the next one.
    Arg(Option<usize>),
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
}

fn unterminated() -> Error {
    bad("unterminated format() type specifier").with_hint("For a single \"%\" use \"%%\".")
}

impl Reader<'_> {
    fn digits(&mut self) -> Result<Option<i32>> {
        let mut value: Option<i32> = None;
        while let Some(digit) = self.chars.peek().and_then(|c| c.to_digit(10)) {
            self.chars.next();
            let next = value.unwrap_or(0).checked_mul(10).and_then(|it| it.checked_add(digit as i32));
            value =
                Some(next.ok_or_else(|| {
                    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "number is out of range")
                })?);
        }
        Ok(value)
    }

    /// What a `%` begins.
    fn spec(&mut self) -> Result<Spec> {
        let mut spec = Spec { arg: None, left: false, width: Width::None, kind: ' ' };
        let argument = |number: i32| {
            if number == 0 {
                Err(bad("format specifies argument 0, but arguments are numbered from 1"))
            } else {
                Ok(number as usize)
            }
        };
        let mut first = self.digits()?;
        if first.is_some() && self.chars.peek() == Some(&'$') {
            self.chars.next();
            spec.arg = first.take().map(argument).transpose()?;
        }
        if first.is_none() {
            while self.chars.peek() == Some(&'-') {
                self.chars.next();
                spec.left = true;
            }
            if self.chars.peek() == Some(&'*') {
                self.chars.next();
                let number = self.digits()?;
                if number.is_some() && self.chars.next() != Some('$') {
                    return Err(bad("width argument position must be ended by \"$\""));
                }
                spec.width = Width::Arg(number.map(argument).transpose()?);
            } else {
                first = self.digits()?;
            }
        }
        if let Some(width) = first {
            spec.width = Width::Fixed(width);
        }
        spec.kind = self.chars.next().ok_or_else(unterminated)?;
        Ok(spec)
    }
}

fn too_few() -> Error {
    bad("too few arguments for format()")
}

/// `format(text, …)`; the arguments are those behind the text, each with its type.
fn format(pattern: &str, args: &[(Datum, SqlType)], settings: text::FormatSettings) -> Result<String> {
    let mut out = String::new();
    let mut reader = Reader { chars: pattern.chars().peekable() };
    let mut next = 0;
    while let Some(c) = reader.chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if reader.chars.peek() == Some(&'%') {
            reader.chars.next();
            out.push('%');
            continue;
        }
        let spec = reader.spec()?;
        if !matches!(spec.kind, 's' | 'I' | 'L') {
            let message = if spec.kind.is_ascii_digit() || spec.kind == ' ' {
                return Err(unterminated());
            } else {
                format!("unrecognized format() type specifier \"{}\"", spec.kind)
            };
            return Err(bad(message).with_hint("For a single \"%\" use \"%%\"."));
        }
        let mut left = spec.left;
        let width = match spec.width {
            Width::None => 0,
            Width::Fixed(width) => width,
            Width::Arg(number) => {
                if let Some(number) = number {
                    next = number - 1;
                }
                let (value, ty) = args.get(next).ok_or_else(too_few)?;
                next += 1;
                let width = match value {
                    Datum::Null => 0,
                    Datum::Int2(value) => (*value).into(),
                    Datum::Int4(value) => *value,
                    value => match text::parse(&text::format(value, *ty, settings), SqlType::Int4)? {
                        Datum::Int4(value) => value,
                        _ => 0,
                    },
                };
                left |= width < 0;
                width.checked_abs().ok_or_else(|| bad("number is out of range"))?
            }
        };
        if let Some(number) = spec.arg {
            next = number - 1;
        }
        let (value, ty) = args.get(next).ok_or_else(too_few)?;
        next += 1;
        let shown = match (value, spec.kind) {
            (Datum::Null, 's') => String::new(),
            (Datum::Null, 'L') => "NULL".to_owned(),
            (Datum::Null, _) => {
                let message = "null values cannot be formatted as an SQL identifier";
                return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message));
            }
            (value, kind) => {
                let shown = text::format(value, *ty, settings);
                match kind {
                    'I' => quote_ident(&shown),
                    'L' => quote_literal(&shown),
                    _ => shown,
                }
            }
        };
        let missing = (width as usize).saturating_sub(shown.chars().count());
        let fill = std::iter::repeat_n(' ', missing);
        if left {
            out.push_str(&shown);
            out.extend(fill);
        } else {
            out.extend(fill);
            out.push_str(&shown);
        }
    }
    Ok(out)
}

pub(super) fn formats(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(false, |values| {
        if values[0].is_null() {
            return Ok(Datum::Null);
        }
        let args: Vec<(Datum, SqlType)> =
            values[1..].iter().cloned().zip(call.types[1..].iter().copied()).collect();
        format(text_of(&values[0])?, &args, call.settings()).map(|out| Datum::Text(out.into()))
    })
}

// ---- unistr()

fn unistr(source: &str) -> Result<String> {
    let chars: Vec<char> = source.chars().collect();
    let (mut out, mut at, mut high) = (String::new(), 0, None::<u32>);
    let pair = || Error::new(SqlState::SYNTAX_ERROR, "invalid Unicode surrogate pair");
    while at < chars.len() {
        let mut code = None;
        if chars[at] != '\\' || chars.get(at + 1) == Some(&'\\') {
            let length = if chars[at] == '\\' { 2 } else { 1 };
            if high.is_some() {
                return Err(pair());
            }
            out.push(chars[at]);
            at += length;
        } else {
            for (mark, digits) in [("", 4), ("u", 4), ("+", 6), ("U", 8)] {
                let start = at + 1 + mark.len();
                let marked = mark.is_empty() || chars.get(at + 1) == mark.chars().next().as_ref();
                let text: Option<String> = chars.get(start..start + digits).map(|part| part.iter().collect());
                let text = text.filter(|text| marked && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
                if let Some(text) = text {
                    code = u32::from_str_radix(&text, 16).ok().map(|code| (code, start + digits, text));
                    break;
                }
            }
            let Some((code, end, text)) = code else {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "invalid Unicode escape")
                    .with_hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX."));
            };
            at = end;
            let code = match (high.take(), code) {
                (None, 0xd800..0xdc00) => {
                    high = Some(code);
                    continue;
                }
                (Some(high), 0xdc00..0xe000) => 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00),
                (Some(_), _) | (None, 0xdc00..0xe000) => return Err(pair()),
                (None, code) => code,
            };
            let c = char::from_u32(code).filter(|c| *c != '\0');
            out.push(c.ok_or_else(|| bad(format!("invalid Unicode code point: {}", text.to_uppercase())))?);
        }
    }
    if high.is_some() { Err(pair()) } else { Ok(out) }
}

// ---- The catalogue.

pub(super) fn count_nulls(call: &TypedCall<'_>, nulls: bool) -> Result<Value> {
    call.rows(false, |values| {
        Ok(Datum::Int4(values.iter().filter(|value| value.is_null() == nulls).count() as i32))
    })
}

use SqlType::{Int4, Text, Unknown};

pub(super) static ENTRIES: &[Scalar] = &[
    Scalar {
        volatility: Volatility::Stable,
        variadic: true,
        ..entry("format", &[Text, Unknown], Text, false, formats)
    },
    entry("format", &[Text], Text, false, formats),
    entry("quote_ident", &[Text], Text, true, |call| {
        call.rows(true, |values| Ok(Datum::Text(quote_ident(text_of(&values[0])?).into())))
    }),
    entry("quote_nullable", &[Text], Text, false, |call| {
        call.rows(false, |values| {
            Ok(Datum::Text(match &values[0] {
                Datum::Null => "NULL".into(),
                value => quote_literal(text_of(value)?).into(),
            }))
        })
    }),
    Scalar { variadic: true, ..entry("num_nulls", &[Unknown], Int4, false, |call| count_nulls(call, true)) },
    Scalar {
        variadic: true,
        ..entry("num_nonnulls", &[Unknown], Int4, false, |call| count_nulls(call, false))
    },
    entry("pg_typeof", &[Unknown], Text, false, |call| {
        let name = call.types[0].base_name();
        call.rows(false, |_| Ok(Datum::Text(name.into())))
    }),
    entry("unistr", &[Text], Text, true, |call| {
        call.rows(true, |values| unistr(text_of(&values[0])?).map(|out| Datum::Text(out.into())))
    }),
];
