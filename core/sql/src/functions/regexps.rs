//! Functions and operators over regular expressions, and SQL's own (`SIMILAR TO`), which become the former.

use super::arrays::{int4_of, text_of};
use super::sets::{SetFunction, set};
use super::{ResultType, Scalar, TypedCall, Value, Volatility, untyped};
use crate::array::ArrayValue;
use crate::datum::Datum;
use crate::regex::{Options, Regex, Spans};
use crate::types::{Element, SqlType};
use orrery_base::{Error, Result, SqlState};

const TEXT: SqlType = SqlType::Text;
const INT4: SqlType = SqlType::Int4;
const TEXT_ARRAY: SqlType = match Element::new(SqlType::Text) {
    Some(element) => SqlType::Array(element),
    None => SqlType::ANY_ARRAY,
};

fn bad(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// Options as letters, and whether `g` is among them. Errors: 22023.
fn options(letters: &str) -> Result<(Options, bool)> {
    let (mut options, mut global) = (Options::default(), false);
    for letter in letters.chars() {
        if letter == 'g' {
            global = true;
        } else if !options.set(letter)? {
            return Err(bad(format!("invalid regular expression option: \"{letter}\"")));
        }
    }
    Ok((options, global))
}

fn not_global(letters: &str, function: &str, instead: &str) -> Result<Options> {
    let (options, global) = options(letters)?;
    if global {
        let error = bad(format!("{function}() does not support the \"global\" option"));
        return Err(if instead.is_empty() {
            error
        } else {
            error.with_hint(format!("Use the {instead} function instead."))
        });
    }
    Ok(options)
}

/// The last expression of a batch: most batches have one.
#[derive(Default)]
struct Cache(Option<(String, Options, Regex)>);

impl Cache {
    fn get(&mut self, pattern: &str, options: Options) -> Result<&Regex> {
        let known = matches!(&self.0, Some((text, own, _)) if text == pattern && *own == options);
        if !known {
            self.0 = Some((pattern.to_owned(), options, Regex::new(pattern, options)?));
        }
        let found = self.0.as_ref().map(|it| &it.2);
        found.ok_or_else(|| Error::internal("a regular expression was not kept"))
    }
}

fn text(chars: &[char]) -> Datum {
    Datum::Text(chars.iter().collect::<String>().into())
}

/// The text argument with a number; of none, an empty one.
fn letters(values: &[Datum], index: usize) -> Result<&str> {
    values.get(index).map_or(Ok(""), text_of)
}

/// The integer argument with a number, which is at least `least`. Errors: 22023.
fn number(values: &[Datum], index: usize, name: &str, least: i32, default: i32) -> Result<usize> {
    let value = values.get(index).map_or(Ok(default), int4_of)?;
    if value < least {
        return Err(bad(format!("invalid value for parameter \"{name}\": {value}")));
    }
    Ok(value as usize)
}

/// All matches one after the other, from a place on; an empty one moves the next search on by a character.
fn each(regex: &Regex, text: &[char], from: usize, mut visit: impl FnMut(&Spans) -> bool) -> Result<()> {
    let mut start = from;
    while start <= text.len() {
        let Some(spans) = regex.find(text, start)? else { break };
        let Some((begin, end)) = spans[0] else { break };
        if !visit(&spans) {
            break;
        }
        start = end + usize::from(begin == end);
    }
    Ok(())
}

/// The number-th match from a place on.
fn nth(regex: &Regex, text: &[char], from: usize, count: usize) -> Result<Option<Spans>> {
    let (mut left, mut found) = (count, None);
    each(regex, text, from, |spans| {
        left -= 1;
        if left == 0 {
            found = Some(spans.clone());
        }
        left > 0
    })?;
    Ok(found)
}

/// `~` and its kin.
fn matches(call: &TypedCall<'_>, fold_case: bool, negated: bool) -> Result<Value> {
    let options = Options { fold_case, ..Options::default() };
    let mut cache = Cache::default();
    let mut chars = Vec::new();
    call.rows(true, |values| {
        chars.clear();
        chars.extend(text_of(&values[0])?.chars());
        Ok(Datum::Bool(cache.get(text_of(&values[1])?, options)?.is_match(&chars)? != negated))
    })
}

fn with_regex(
    call: &TypedCall<'_>,
    f: impl Fn(&mut Cache, &[char], &[Datum]) -> Result<Datum>,
) -> Result<Value> {
    let mut cache = Cache::default();
    let mut chars = Vec::new();
    call.rows(true, |values| {
        chars.clear();
        chars.extend(text_of(&values[0])?.chars());
        f(&mut cache, &chars, values)
    })
}

/// `substring(text from pattern)`: the first group, or the whole match where there is none.
fn substring(call: &TypedCall<'_>) -> Result<Value> {
    with_regex(call, |cache, chars, values| {
        let regex = cache.get(text_of(&values[1])?, Options::default())?;
        first_group(regex, chars)
    })
}

fn first_group(regex: &Regex, chars: &[char]) -> Result<Datum> {
    let Some(spans) = regex.find(chars, 0)? else { return Ok(Datum::Null) };
    let span = spans.get(1).unwrap_or(&spans[0]);
    Ok(span.map_or(Datum::Null, |(begin, end)| text(&chars[begin..end])))
}

fn substring_similar(call: &TypedCall<'_>) -> Result<Value> {
    with_regex(call, |cache, chars, values| {
        let pattern = similar(text_of(&values[1])?, Some(text_of(&values[2])?))?;
        first_group(cache.get(&pattern, Options::default())?, chars)
    })
}

/// What a match gives as an array: its groups, or the whole where there are none.
fn groups(spans: &Spans, chars: &[char]) -> Datum {
    let own = if spans.len() > 1 { &spans[1..] } else { &spans[..] };
    let item =
        |span: &Option<(usize, usize)>| span.map_or(Datum::Null, |(begin, end)| text(&chars[begin..end]));
    Datum::Array(ArrayValue::of(SqlType::Text, own.iter().map(item).collect()).into())
}

fn regexp_match(call: &TypedCall<'_>) -> Result<Value> {
    with_regex(call, |cache, chars, values| {
        let options = not_global(letters(values, 2)?, "regexp_match", "regexp_matches")?;
        let found = cache.get(text_of(&values[1])?, options)?.find(chars, 0)?;
        Ok(found.map_or(Datum::Null, |spans| groups(&spans, chars)))
    })
}

fn regexp_matches(values: &[Datum], _: &[SqlType]) -> Result<Vec<Datum>> {
    let (options, global) = options(letters(values, 2)?)?;
    let chars: Vec<char> = text_of(&values[0])?.chars().collect();
    let mut all = Vec::new();
    each(&Regex::new(text_of(&values[1])?, options)?, &chars, 0, |spans| {
        all.push(groups(spans, &chars));
        global
    })?;
    Ok(all)
}

/// The parts between matches; empty matches at the ends or right behind another one do not count.
fn split(values: &[Datum], function: &str) -> Result<Vec<Datum>> {
    let options = not_global(letters(values, 2)?, function, "")?;
    let chars: Vec<char> = text_of(&values[0])?.chars().collect();
    let (mut parts, mut last) = (Vec::new(), 0);
    each(&Regex::new(text_of(&values[1])?, options)?, &chars, 0, |spans| {
        if let Some((begin, end)) = spans[0]
            && begin < chars.len()
            && end > last
        {
            parts.push(text(&chars[last..begin]));
            last = end;
        }
        true
    })?;
    parts.push(text(&chars[last..]));
    Ok(parts)
}

fn split_to_array(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| {
        let parts = split(values, "regexp_split_to_array")?;
        Ok(Datum::Array(ArrayValue::of(SqlType::Text, parts).into()))
    })
}

/// Appends what replaces a match: `\1` to `\9` are groups, `\&` the match.
fn replacement(out: &mut String, with: &str, spans: &Spans, chars: &[char]) {
    let mut rest = with.chars().peekable();
    while let Some(c) = rest.next() {
        let group = match (c, rest.peek()) {
            ('\\', Some('&')) => 0,
            ('\\', Some(digit @ '1'..='9')) => *digit as usize - '0' as usize,
            ('\\', Some('\\')) => {
                rest.next();
                out.push('\\');
                continue;
            }
            _ => {
                out.push(c);
                continue;
            }
        };
        rest.next();
        if let Some(Some((begin, end))) = spans.get(group) {
            out.extend(&chars[*begin..*end]);
        }
    }
}

/// Replaces match number `count`, or all of them for 0.
fn replace(regex: &Regex, chars: &[char], with: &str, from: usize, count: usize) -> Result<Datum> {
    let (mut out, mut copied, mut number) = (String::new(), 0, 0);
    each(regex, chars, from, |spans| {
        number += 1;
        if count != 0 && number < count {
            return true;
        }
        if let Some((begin, end)) = spans[0] {
            out.extend(&chars[copied..begin]);
            replacement(&mut out, with, spans, chars);
            copied = end;
        }
        count == 0
    })?;
    out.extend(&chars[copied..]);
    Ok(Datum::Text(out.into()))
}

fn regexp_replace(call: &TypedCall<'_>) -> Result<Value> {
    with_regex(call, |cache, chars, values| {
        let with = text_of(&values[2])?;
        let letters = letters(values, 3)?;
        if letters.starts_with(|c: char| c.is_ascii_digit()) {
            let first = &letters[..1];
            return Err(bad(format!("invalid regular expression option: \"{first}\"")).with_hint(
                "If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly.",
            ));
        }
        let (options, global) = options(letters)?;
        replace(cache.get(text_of(&values[1])?, options)?, chars, with, 0, usize::from(!global))
    })
}

/// With a start, and maybe a number and options.
fn regexp_replace_from(call: &TypedCall<'_>) -> Result<Value> {
    with_regex(call, |cache, chars, values| {
        let start = number(values, 3, "start", 1, 1)?;
        let count = number(values, 4, "n", 0, 1)?;
        let (options, global) = options(letters(values, 5)?)?;
        // Without a number, `g` decides.
        let count = if global && values.len() < 5 { 0 } else { count };
        let regex = cache.get(text_of(&values[1])?, options)?;
        replace(regex, chars, text_of(&values[2])?, start - 1, count)
    })
}

fn regexp_count(call: &TypedCall<'_>) -> Result<Value> {
    with_regex(call, |cache, chars, values| {
        let start = number(values, 2, "start", 1, 1)?;
        let options = not_global(letters(values, 3)?, "regexp_count", "")?;
        let mut count = 0;
        each(cache.get(text_of(&values[1])?, options)?, chars, start - 1, |_| {
            count += 1;
            true
        })?;
        Ok(Datum::Int4(count))
    })
}

fn regexp_like(call: &TypedCall<'_>) -> Result<Value> {
    with_regex(call, |cache, chars, values| {
        let options = not_global(letters(values, 2)?, "regexp_like", "")?;
        Ok(Datum::Bool(cache.get(text_of(&values[1])?, options)?.is_match(chars)?))
    })
}

fn regexp_instr(call: &TypedCall<'_>) -> Result<Value> {
    with_regex(call, |cache, chars, values| {
        let start = number(values, 2, "start", 1, 1)?;
        let count = number(values, 3, "n", 1, 1)?;
        let side = number(values, 4, "endoption", 0, 0)?;
        if side > 1 {
            return Err(bad(format!("invalid value for parameter \"endoption\": {side}")));
        }
        let options = not_global(letters(values, 5)?, "regexp_instr", "")?;
        let group = number(values, 6, "subexpr", 0, 0)?;
        let found = nth(cache.get(text_of(&values[1])?, options)?, chars, start - 1, count)?;
        let span = found.and_then(|spans| spans.get(group).copied().flatten());
        Ok(Datum::Int4(span.map_or(0, |(begin, end)| (if side == 1 { end } else { begin }) as i32 + 1)))
    })
}

fn regexp_substr(call: &TypedCall<'_>) -> Result<Value> {
    with_regex(call, |cache, chars, values| {
        let start = number(values, 2, "start", 1, 1)?;
        let count = number(values, 3, "n", 1, 1)?;
        let options = not_global(letters(values, 4)?, "regexp_substr", "")?;
        let group = number(values, 5, "subexpr", 0, 0)?;
        let found = nth(cache.get(text_of(&values[1])?, options)?, chars, start - 1, count)?;
        let span = found.and_then(|spans| spans.get(group).copied().flatten());
        Ok(span.map_or(Datum::Null, |(begin, end)| text(&chars[begin..end])))
    })
}

/// A pattern of SIMILAR TO as a regular expression. In a pattern with two `escape "` the part between them is its group.
/// Errors: 22025, 2200C.
fn similar(pattern: &str, escape: Option<&str>) -> Result<String> {
    let mut letters = escape.unwrap_or("\\").chars();
    let (escape, more) = (letters.next(), letters.next());
    if more.is_some() {
        return Err(Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .with_hint("Escape string must be empty or one character."));
    }
    let mut out = String::from("^(?:");
    let (mut after_escape, mut in_class, mut quotes) = (false, false, 0);
    for c in pattern.chars() {
        if after_escape {
            after_escape = false;
            if c != '"' || in_class {
                out.extend(['\\', c]);
                continue;
            }
            match quotes {
                0 => out.push_str("){1,1}?("),
                1 => out.push_str("){1,1}(?:"),
                _ => {
                    let message =
                        "SQL regular expression may not contain more than two escape-double-quote separators";
                    return Err(Error::new(SqlState::INVALID_USE_OF_ESCAPE_CHARACTER, message));
                }
            }
            quotes += 1;
        } else if Some(c) == escape {
            after_escape = true;
        } else if in_class {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
            in_class = c != ']';
        } else {
            match c {
                '[' => {
                    out.push(c);
                    in_class = true;
                }
                '%' => out.push_str(".*"),
                '_' => out.push('.'),
                '(' => out.push_str("(?:"),
                '\\' | '.' | '^' | '$' => out.extend(['\\', c]),
                c => out.push(c),
            }
        }
    }
    out.push_str(")$");
    Ok(out)
}

fn similar_to_escape(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| {
        let escape = values.get(1).map(text_of).transpose()?;
        similar(text_of(&values[0])?, escape).map(|pattern| Datum::Text(pattern.into()))
    })
}

// ---- The catalogue.

const fn entry(
    name: &'static str,
    args: &'static [SqlType],
    result: SqlType,
    typed: fn(&TypedCall<'_>) -> Result<Value>,
) -> Scalar {
    Scalar {
        name,
        args,
        variadic: false,
        result: ResultType::Fixed(result),
        strict: true,
        volatility: Volatility::Immutable,
        eval: untyped,
        typed: Some(typed),
    }
}

const CHAR: SqlType = SqlType::Char(None);

pub(super) static ENTRIES: &[Scalar] = &[
    entry("~", &[TEXT, TEXT], SqlType::Bool, |call| matches(call, false, false)),
    entry("~*", &[TEXT, TEXT], SqlType::Bool, |call| matches(call, true, false)),
    entry("!~", &[TEXT, TEXT], SqlType::Bool, |call| matches(call, false, true)),
    entry("!~*", &[TEXT, TEXT], SqlType::Bool, |call| matches(call, true, true)),
    entry("~", &[CHAR, TEXT], SqlType::Bool, |call| matches(call, false, false)),
    entry("~*", &[CHAR, TEXT], SqlType::Bool, |call| matches(call, true, false)),
    entry("!~", &[CHAR, TEXT], SqlType::Bool, |call| matches(call, false, true)),
    entry("!~*", &[CHAR, TEXT], SqlType::Bool, |call| matches(call, true, true)),
    entry("substring", &[TEXT, TEXT], TEXT, substring),
    entry("substring", &[TEXT, TEXT, TEXT], TEXT, substring_similar),
    entry("similar_to_escape", &[TEXT], TEXT, similar_to_escape),
    entry("similar_to_escape", &[TEXT, TEXT], TEXT, similar_to_escape),
    entry("regexp_match", &[TEXT, TEXT], TEXT_ARRAY, regexp_match),
    entry("regexp_match", &[TEXT, TEXT, TEXT], TEXT_ARRAY, regexp_match),
    entry("regexp_split_to_array", &[TEXT, TEXT], TEXT_ARRAY, split_to_array),
    entry("regexp_split_to_array", &[TEXT, TEXT, TEXT], TEXT_ARRAY, split_to_array),
    entry("regexp_replace", &[TEXT, TEXT, TEXT], TEXT, regexp_replace),
    entry("regexp_replace", &[TEXT, TEXT, TEXT, TEXT], TEXT, regexp_replace),
    entry("regexp_replace", &[TEXT, TEXT, TEXT, INT4], TEXT, regexp_replace_from),
    entry("regexp_replace", &[TEXT, TEXT, TEXT, INT4, INT4], TEXT, regexp_replace_from),
    entry("regexp_replace", &[TEXT, TEXT, TEXT, INT4, INT4, TEXT], TEXT, regexp_replace_from),
    entry("regexp_count", &[TEXT, TEXT], INT4, regexp_count),
    entry("regexp_count", &[TEXT, TEXT, INT4], INT4, regexp_count),
    entry("regexp_count", &[TEXT, TEXT, INT4, TEXT], INT4, regexp_count),
    entry("regexp_like", &[TEXT, TEXT], SqlType::Bool, regexp_like),
    entry("regexp_like", &[TEXT, TEXT, TEXT], SqlType::Bool, regexp_like),
    entry("regexp_instr", &[TEXT, TEXT], INT4, regexp_instr),
    entry("regexp_instr", &[TEXT, TEXT, INT4], INT4, regexp_instr),
    entry("regexp_instr", &[TEXT, TEXT, INT4, INT4], INT4, regexp_instr),
    entry("regexp_instr", &[TEXT, TEXT, INT4, INT4, INT4], INT4, regexp_instr),
    entry("regexp_instr", &[TEXT, TEXT, INT4, INT4, INT4, TEXT], INT4, regexp_instr),
    entry("regexp_instr", &[TEXT, TEXT, INT4, INT4, INT4, TEXT, INT4], INT4, regexp_instr),
    entry("regexp_substr", &[TEXT, TEXT], TEXT, regexp_substr),
    entry("regexp_substr", &[TEXT, TEXT, INT4], TEXT, regexp_substr),
    entry("regexp_substr", &[TEXT, TEXT, INT4, INT4], TEXT, regexp_substr),
    entry("regexp_substr", &[TEXT, TEXT, INT4, INT4, TEXT], TEXT, regexp_substr),
    entry("regexp_substr", &[TEXT, TEXT, INT4, INT4, TEXT, INT4], TEXT, regexp_substr),
];

pub(super) static SETS: &[SetFunction] = &[
    set("regexp_matches", &[TEXT, TEXT], ResultType::Fixed(TEXT_ARRAY), true, regexp_matches),
    set("regexp_matches", &[TEXT, TEXT, TEXT], ResultType::Fixed(TEXT_ARRAY), true, regexp_matches),
    set("regexp_split_to_table", &[TEXT, TEXT], ResultType::Fixed(TEXT), true, |values, _| {
        split(values, "regexp_split_to_table")
    }),
    set("regexp_split_to_table", &[TEXT, TEXT, TEXT], ResultType::Fixed(TEXT), true, |values, _| {
        split(values, "regexp_split_to_table")
    }),
];
