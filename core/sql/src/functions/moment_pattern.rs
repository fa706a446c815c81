//! `to_char`, `to_date` and `to_timestamp` by templates such as `YYYY-MM-DD HH24:MI:SS`, in PostgreSQL's locale C.
//!
//! What it deliberately does not do: localized names (`TM`), spelled numbers (`SP`); ISO weeks, quarters and Julian days are
//! written but not read.

use super::arrays::text_of;
use super::number_pattern::{ordinal, quoted_text};
use super::{ResultType, Scalar, TypedCall, Value, Volatility, untyped};
use crate::civil::{self, Civil, DAY, HOUR, MINUTE, SECOND, Zone};
use crate::datum::{Datum, Interval};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// All keys; of those with a common beginning the longest first. Their cases: as here, or small.
const KEYS: &[&str] = &[
    "A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "CC", "DAY", "DDD", "DD", "DY", "Day", "Dy", "D", "FF1", "FF2",
    "FF3", "FF4", "FF5", "FF6", "FX", "HH24", "HH12", "HH", "IDDD", "ID", "IW", "IYYY", "IYY", "IY", "I",
    "J", "MI", "MM", "MONTH", "MON", "MS", "Month", "Mon", "OF", "P.M.", "PM", "Q", "RM", "SSSSS", "SSSS",
    "SS", "TZH", "TZM", "TZ", "US", "WW", "W", "Y,YYY", "YYYY", "YYY", "YY", "Y",
];

#[derive(Debug)]
enum Node {
    Field(Field),
    /// A blank or a mark.
    Separator(char),
    Text(char),
}

#[derive(Clone, Copy, Debug)]
struct Field {
    /// As in `KEYS`.
    key: &'static str,
    /// As it was written: small letters throughout.
    small: bool,
    /// FM
    fill: bool,
    /// TH (true) or th
    ordinal: Option<bool>,
}

fn parse(template: &str) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        let mut fill = false;
        let start = rest;
        for prefix in ["FM", "fm", "TM", "tm"] {
            if let Some(after) = rest.strip_prefix(prefix) {
                if prefix.eq_ignore_ascii_case("tm") {
                    return Err(Error::unsupported("template pattern \"TM\""));
                }
                (fill, rest) = (true, after);
                break;
            }
        }
        let found = KEYS.iter().find(|key| rest.starts_with(**key));
        let small = KEYS.iter().find(|key| rest.starts_with(&key.to_ascii_lowercase()));
        if let Some((key, small)) = found.map(|key| (*key, false)).or(small.map(|key| (*key, true))) {
            rest = &rest[key.len()..];
            if key == "FX" {
                return Err(Error::unsupported("template pattern \"FX\""));
            }
            let ordinal =
                if rest.starts_with("TH") { Some(true) } else { rest.starts_with("th").then_some(false) };
            if ordinal.is_some() {
                rest = &rest[2..];
            }
            nodes.push(Node::Field(Field { key, small, fill, ordinal }));
            continue;
        }
        if fill {
            // A prefix of nothing is dropped.
            continue;
        }
        rest = start;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (text, after) = quoted_text(quoted);
            nodes.extend(text.chars().map(Node::Text));
            rest = after;
            continue;
        }
        if c == '\\' && rest[1..].starts_with('"') {
            nodes.push(Node::Text('"'));
            rest = &rest[2..];
            continue;
        }
        let is_mark = c.is_ascii() && !c.is_ascii_alphanumeric() && c > ' ' && c < '\u{7f}';
        nodes.push(if is_mark || c.is_ascii_whitespace() { Node::Separator(c) } else { Node::Text(c) });
        rest = &rest[c.len_utf8()..];
    }
    Ok(nodes)
}

// ---- Writing.

/// What a template writes of.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    day_of_year: i64,
    /// Day number, of dates.
    days: i64,
    is_interval: bool,
    /// Seconds east of UTC and the abbreviation, of what has a zone.
    zone: Option<(i32, String)>,
}

fn moment_parts(micros: i64, zone: Option<(i32, String)>) -> Parts {
    let (days, time) = civil::split_timestamp(micros);
    let Civil { year, month, day } = civil::civil_from_days(days);
    let first = civil::days_from_civil(Civil { year, month: 1, day: 1 });
    Parts {
        year,
        month: month.into(),
        day: day.into(),
        hour: time / HOUR,
        minute: time / MINUTE % 60,
        second: time / SECOND % 60,
        micros: time % SECOND,
        day_of_year: days - first + 1,
        days,
        is_interval: false,
        zone,
    }
}

fn interval_parts(value: Interval) -> Parts {
    let (year, month, day) =
        (i64::from(value.months / 12), i64::from(value.months % 12), i64::from(value.days));
    Parts {
        year,
        month,
        day,
        hour: value.micros / HOUR,
        minute: value.micros / MINUTE % 60,
        second: value.micros / SECOND % 60,
        micros: value.micros % SECOND,
        day_of_year: (year * 12 + month) * 30 + day,
        days: 0,
        is_interval: true,
        zone: None,
    }
}

impl Parts {
    /// The day of the week, Sunday 0.
    fn weekday(&self) -> i64 {
        (self.days + 4).rem_euclid(7)
    }

    /// The ISO year and week.
    fn iso_week(&self) -> (i64, i64) {
        let thursday = self.days - (self.days + 3).rem_euclid(7) + 3;
        let year = civil::civil_from_days(thursday).year;
        let first = civil::days_from_civil(Civil { year, month: 1, day: 1 });
        (year, (thursday - first) / 7 + 1)
    }

    /// A year as it is shown: 1 BC is year 0 inside.
    fn shown_year(&self, year: i64) -> i64 {
        if self.is_interval || year > 0 { year } else { 1 - year }
    }

    fn half(&self, key: &str) -> &'static str {
        match (self.hour.rem_euclid(24) >= 12, key.contains('.')) {
            (true, true) => "P.M.",
            (true, false) => "PM",
            (false, true) => "A.M.",
            (false, false) => "AM",
        }
    }
}

/// With zeros up to a width, unless FM; the sign takes a place of its own.
fn padded(value: i64, width: usize, fill: bool) -> String {
    match (fill, value < 0) {
        (true, _) => value.to_string(),
        (false, true) => format!("-{:0width$}", -value),
        (false, false) => format!("{value:0width$}"),
    }
}

fn cased(text: &str, field: &Field) -> String {
    let upper = field.key.chars().all(|c| !c.is_ascii_lowercase());
    match (field.small, upper) {
        (true, _) => text.to_lowercase(),
        (false, true) => text.to_uppercase(),
        (false, false) => text.to_owned(),
    }
}

fn of_interval(field: &Field) -> Error {
    let _ = field;
    Error::new(SqlState::INVALID_DATETIME_FORMAT, "invalid format specification for an interval value")
        .with_hint("Intervals are not tied to specific calendar dates.")
}

fn write_name(parts: &Parts, field: &Field) -> Result<Option<String>> {
    let key = field.key.to_ascii_uppercase();
    let name = match key.as_str() {
        "MONTH" | "MON" => match usize::try_from(parts.month - 1).ok().and_then(|at| MONTHS.get(at)) {
            Some(name) => *name,
            None => return Ok(Some(String::new())),
        },
        "DAY" | "DY" if parts.is_interval => return Err(of_interval(field)),
        "DAY" | "DY" => DAYS[parts.weekday() as usize],
        _ => return Ok(None),
    };
    let full = matches!(key.as_str(), "MONTH" | "DAY");
    let name = cased(if full { name } else { &name[..3] }, field);
    Ok(Some(if full && !field.fill { format!("{name:<9}") } else { name }))
}

fn write_year(parts: &Parts, field: &Field) -> Option<String> {
    let iso = field.key.starts_with('I');
    let year = if iso && !parts.is_interval { parts.iso_week().0 } else { parts.year };
    let year = parts.shown_year(year);
    Some(match field.key {
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "YYYY" | "IYYY" => padded(year, 4, field.fill),
        "YYY" | "IYY" => padded(year % 1000, 3, field.fill),
        "YY" | "IY" => padded(year % 100, 2, field.fill),
        "Y" | "I" => padded(year % 10, 1, field.fill),
        _ => return None,
    })
}

fn write_zone(parts: &Parts, field: &Field) -> Result<Option<String>> {
    if !matches!(field.key, "TZ" | "TZH" | "TZM" | "OF") {
        return Ok(None);
    }
    if parts.is_interval {
        return Err(of_interval(field));
    }
    let zone = parts.zone.as_ref().map_or(0, |zone| zone.0);
    let (sign, size) = if zone < 0 { ('-', -zone) } else { ('+', zone) };
    Ok(Some(match field.key {
        "TZ" => parts.zone.as_ref().map_or_else(String::new, |zone| cased(&zone.1, field)),
        "TZH" => format!("{sign}{:02}", size / 3600),
        "TZM" => format!("{:02}", size / 60 % 60),
        _ if size / 60 % 60 != 0 => format!("{sign}{:02}:{:02}", size / 3600, size / 60 % 60),
        _ => format!("{sign}{:02}", size / 3600),
    }))
}

fn write_field(parts: &Parts, field: &Field) -> Result<String> {
    if let Some(text) = write_name(parts, field)? {
        return Ok(text);
    }
    if let Some(text) = write_zone(parts, field)? {
        return Ok(text);
    }
    let calendar = matches!(
        field.key,
        "A.D." | "AD" | "B.C." | "BC" | "D" | "ID" | "IW" | "IDDD" | "J" | "IYYY" | "IYY" | "IY" | "I"
    );
    if parts.is_interval
        && calendar
        && !matches!(field.key, "IYYY" | "IYY" | "IY" | "I" | "IW" | "IDDD" | "J")
    {
        return Err(of_interval(field));
    }
    if let Some(text) = write_year(parts, field) {
        return Ok(text);
    }
    let number = |value: i64, width: usize| padded(value, width, field.fill);
    let hour12 = match parts.hour % 12 {
        0 => 12,
        hour => hour,
    };
    Ok(match field.key {
        "A.M." | "AM" | "P.M." | "PM" => cased(parts.half(field.key), field),
        "HH" | "HH12" => number(hour12, 2),
        "HH24" => number(parts.hour, 2),
        "MI" => number(parts.minute, 2),
        "SS" => number(parts.second, 2),
        "MS" | "FF3" => format!("{:03}", parts.micros / 1000),
        "US" | "FF6" => format!("{:06}", parts.micros),
        "FF1" => format!("{:01}", parts.micros / 100_000),
        "FF2" => format!("{:02}", parts.micros / 10_000),
        "FF4" => format!("{:04}", parts.micros / 100),
        "FF5" => format!("{:05}", parts.micros / 10),
        "SSSS" | "SSSSS" => (parts.hour * 3600 + parts.minute * 60 + parts.second).to_string(),
        "A.D." | "B.C." => cased(if parts.year <= 0 { "B.C." } else { "A.D." }, field),
        "AD" | "BC" => cased(if parts.year <= 0 { "BC" } else { "AD" }, field),
        "MM" => number(parts.month, 2),
        "DDD" => number(parts.day_of_year, 3),
        "IDDD" => number((parts.iso_week().1 - 1) * 7 + (parts.weekday() + 6) % 7 + 1, 3),
        "DD" => number(parts.day, 2),
        "D" => (parts.weekday() + 1).to_string(),
        "ID" => ((parts.weekday() + 6) % 7 + 1).to_string(),
        "WW" => number((parts.day_of_year - 1) / 7 + 1, 2),
        "IW" => number(parts.iso_week().1, 2),
        "Q" if parts.month == 0 => String::new(),
        "Q" => ((parts.month - 1) / 3 + 1).to_string(),
        "CC" => {
            let century = if parts.is_interval {
                parts.year / 100
            } else if parts.year > 0 {
                (parts.year - 1) / 100 + 1
            } else {
                -((-parts.year) / 100 + 1)
            };
            if century.abs() <= 99 { number(century, 2) } else { century.to_string() }
        }
        "RM" => match roman_place(parts).and_then(|at| ROMAN.get(at)) {
            None => String::new(),
            Some(roman) => {
                let roman = cased(roman, field);
                if field.fill { roman } else { format!("{roman:<4}") }
            }
        },
        "W" => ((parts.day - 1) / 7 + 1).to_string(),
        "J" => (parts.days + 2_440_588).to_string(),
        other => return Err(Error::unsupported(format!("template pattern \"{other}\""))),
    })
}

/// The month's place among the Roman numbers. An interval of whole years has no month, one before its start counts back.
fn roman_place(parts: &Parts) -> Option<usize> {
    let month = match parts.month {
        0 if parts.year == 0 => return None,
        0 if parts.year > 0 => 12,
        0 => 1,
        month if month < 0 => month + 13,
        month => month,
    };
    usize::try_from(month - 1).ok()
}

fn write(parts: &Parts, template: &str) -> Result<String> {
    let mut out = String::new();
    for node in parse(template)? {
        match node {
            Node::Text(c) | Node::Separator(c) => out.push(c),
            Node::Field(field) => {
                let text = write_field(parts, &field)?;
                out.push_str(&text);
                if let (Some(upper), true) = (field.ordinal, text.ends_with(|c: char| c.is_ascii_digit())) {
                    let ending = ordinal(&text);
                    out.push_str(&if upper { ending.to_uppercase() } else { ending.to_owned() });
                }
            }
        }
    }
    Ok(out)
}

fn to_char(call: &TypedCall<'_>) -> Result<Value> {
    let zone = call.context.zone();
    call.rows(true, |values| {
        let infinite = |micros: i64| micros == i64::MAX || micros == i64::MIN;
        let template = text_of(&values[1])?;
        let parts = match &values[0] {
            Datum::Timestamp(micros) | Datum::Timestamptz(micros) if infinite(*micros) => {
                return Ok(Datum::Null);
            }
            Datum::Timestamp(micros) => moment_parts(*micros, None),
            Datum::Timestamptz(micros) => {
                let shown = (zone.offset_at(*micros), zone.abbreviation_at(*micros));
                moment_parts(zone.to_local(*micros)?, Some(shown))
            }
            Datum::Interval(interval) => interval_parts(*interval),
            _ => return Err(Error::internal("to_char of a moment was planned for another type")),
        };
        if template.is_empty() {
            return Ok(Datum::Null);
        }
        write(&parts, template).map(|out| Datum::Text(out.into()))
    })
}

// ---- Reading.

#[derive(Default)]
struct Found {
    year: Option<i64>,
    century: Option<i64>,
    bc: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    seconds_of_day: Option<i64>,
    afternoon: Option<bool>,
    twelve: bool,
    zone: Option<i32>,
}

struct Input<'a> {
    rest: &'a str,
}

impl Input<'_> {
    fn skip_blanks(&mut self) -> usize {
        let trimmed = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let count = self.rest.len() - trimmed.len();
        self.rest = trimmed;
        count
    }

    fn skip_char(&mut self) {
        let mut chars = self.rest.chars();
        chars.next();
        self.rest = chars.as_str();
    }

    /// A whole number; at most `width` digits when more digits follow in the template.
    fn number(&mut self, field: &Field, width: usize, open: bool) -> Result<i64> {
        let bytes = self.rest.as_bytes();
        let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
        let limit = if open || field.fill { usize::MAX } else { width };
        let digits =
            bytes[sign..].iter().take(limit.saturating_sub(sign)).take_while(|byte| byte.is_ascii_digit());
        let end = sign + digits.count();
        let shown = if field.small { field.key.to_lowercase() } else { field.key.to_owned() };
        if end == sign {
            let first: String = self.rest.chars().take(width).collect();
            let message = format!("invalid value \"{first}\" for \"{shown}\"");
            return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
                .with_detail("Value must be an integer."));
        }
        let value = self.rest[..end].parse::<i64>().ok().filter(|value| i32::try_from(*value).is_ok());
        let value = value.ok_or_else(|| {
            let message = format!("value for \"{shown}\" in source string is out of range");
            Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
        })?;
        self.rest = &self.rest[end..];
        Ok(value)
    }

    /// Which of the names stands here.
    fn name(&mut self, names: &[&str], short: bool, field: &Field) -> Result<usize> {
        let lower = self.rest.to_ascii_lowercase();
        for (index, name) in names.iter().enumerate() {
            let name = if short { &name[..3] } else { name };
            if lower.starts_with(&name.to_ascii_lowercase()) {
                self.rest = &self.rest[name.len()..];
                return Ok(index);
            }
        }
        let word: String = self.rest.chars().take_while(|c| !c.is_whitespace()).collect();
        let shown = if field.small { field.key.to_lowercase() } else { field.key.to_owned() };
        let message = format!("invalid value \"{word}\" for \"{shown}\"");
        Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
            .with_detail("The given value did not match any of the allowed values for this field."))
    }
}

fn read_field(input: &mut Input<'_>, field: &Field, open: bool, found: &mut Found) -> Result<()> {
    let upper = field.key.to_ascii_uppercase();
    match upper.as_str() {
        "YYYY" | "YYY" | "YY" | "Y" => {
            let width = upper.len();
            let before = input.rest.len();
            let year = input.number(field, width, open)?;
            // Years of less than four digits are the nearest to 2020.
            let digits = before - input.rest.len();
            found.year = Some(match (width, digits, year) {
                (4, ..) | (_, 4.., _) => year,
                (_, _, 0..70 | 100..520) => year + 2000,
                (_, _, 70..100) => year + 1900,
                (_, _, 520..1000) => year + 1000,
                _ => year,
            });
        }
        "MONTH" | "MON" => found.month = Some(input.name(&MONTHS, upper == "MON", field)? as i64 + 1),
        "DAY" | "DY" => drop(input.name(&DAYS, upper == "DY", field)?),
        "MM" => found.month = Some(input.number(field, 2, open)?),
        "DD" => found.day = Some(input.number(field, 2, open)?),
        "DDD" => found.day_of_year = Some(input.number(field, 3, open)?),
        "J" => found.julian = Some(input.number(field, 7, open)?),
        "CC" => found.century = Some(input.number(field, 2, open)?),
        "HH24" => found.hour = input.number(field, 2, open)?,
        "HH" | "HH12" => {
            found.hour = input.number(field, 2, open)?;
            found.twelve = true;
        }
        "MI" => found.minute = input.number(field, 2, open)?,
        "SS" => found.second = input.number(field, 2, open)?,
        "SSSS" | "SSSSS" => found.seconds_of_day = Some(input.number(field, 5, open)?),
        "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
            let width = match upper.as_str() {
                "MS" => 3,
                "US" => 6,
                key => key[2..].parse().unwrap_or(6),
            };
            let before = input.rest.len();
            let value = input.number(field, width, open)?;
            let digits = (before - input.rest.len()).min(6);
            found.micros = value * 10i64.pow(6 - digits as u32);
        }
        "AM" | "PM" | "A.M." | "P.M." => {
            let dotted = upper.contains('.');
            let names: [&str; 2] = if dotted { ["a.m.", "p.m."] } else { ["am", "pm"] };
            found.afternoon = Some(input.name(&names, false, field)? == 1);
            found.twelve = true;
        }
        "AD" | "BC" | "A.D." | "B.C." => {
            let dotted = upper.contains('.');
            let names: [&str; 2] = if dotted { ["a.d.", "b.c."] } else { ["ad", "bc"] };
            found.bc = input.name(&names, false, field)? == 1;
        }
        "TZH" => {
            let negative = input.rest.starts_with('-');
            let hours = input.number(field, 3, open)?;
            let minutes = found.zone.unwrap_or(0).abs();
            let size = hours.abs() as i32 * 3600 + minutes;
            found.zone = Some(if negative { -size } else { size });
        }
        "TZM" => {
            let minutes = input.number(field, 2, open)? as i32 * 60;
            let zone = found.zone.unwrap_or(0);
            found.zone = Some(if zone < 0 { zone - minutes } else { zone + minutes });
        }
        "Q" | "D" | "W" | "WW" => drop(input.number(field, 2, open)?),
        other => return Err(Error::unsupported(format!("reading template pattern \"{other}\""))),
    }
    Ok(())
}

/// Day number and microseconds of the day, and the zone.
fn read(text: &str, template: &str) -> Result<(i32, i64, Option<i32>)> {
    let nodes = parse(template)?;
    let mut input = Input { rest: text };
    let mut found = Found::default();
    let mut extra = 0i64;
    for (index, node) in nodes.iter().enumerate() {
        if input.rest.is_empty() {
            break;
        }
        if index == 0 || matches!(node, Node::Field(_)) {
            extra += input.skip_blanks() as i64;
        }
        if input.rest.is_empty() {
            break;
        }
        match node {
            Node::Separator(_) => {
                extra -= 1;
                let is_mark = input.rest.starts_with(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric());
                if is_mark {
                    input.skip_char();
                    extra += 1;
                }
            }
            Node::Text(_) if extra > 0 => extra -= 1,
            Node::Text(_) => input.skip_char(),
            Node::Field(field) => {
                // Digits may run on when no digits follow in the template.
                let open = match nodes.get(index + 1) {
                    None => true,
                    Some(Node::Separator(_)) => true,
                    Some(Node::Text(c)) => !c.is_ascii_digit(),
                    Some(Node::Field(next)) => {
                        !matches!(
                            next.key.as_bytes()[0],
                            b'Y' | b'D' | b'H' | b'M' | b'S' | b'U' | b'F' | b'J' | b'C' | b'Q' | b'W' | b'I'
                        ) || matches!(next.key.to_ascii_uppercase().as_str(), "MONTH" | "MON" | "DAY" | "DY")
                    }
                };
                read_field(&mut input, field, open, &mut found)?;
                if field.ordinal.is_some() {
                    input.skip_char();
                    input.skip_char();
                }
                extra = input.skip_blanks() as i64;
            }
        }
    }
    finish(found, text)
}

fn finish(found: Found, text: &str) -> Result<(i32, i64, Option<i32>)> {
    let out_of_range = || {
        let message = format!("date/time field value out of range: \"{text}\"");
        Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
    };
    let mut hour = found.hour;
    if found.twelve {
        if !(1..=12).contains(&hour) {
            let message = format!("hour \"{hour}\" is invalid for the 12-hour clock");
            return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
                .with_hint("Use the 24-hour clock, or give an hour between 1 and 12."));
        }
        match found.afternoon {
            Some(true) if hour < 12 => hour += 12,
            Some(false) if hour == 12 => hour = 0,
            _ => {}
        }
    }
    let (mut minute, mut second) = (found.minute, found.second);
    if let Some(seconds) = found.seconds_of_day {
        (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    if !(0..=24).contains(&hour) || !(0..60).contains(&minute) || !(0..60).contains(&second) {
        return Err(out_of_range());
    }
    let time = hour * HOUR + minute * MINUTE + second * SECOND + found.micros;
    if time > DAY {
        return Err(out_of_range());
    }
    let year = match (found.year, found.century) {
        (Some(year), _) if found.bc => 1 - year,
        (Some(year), _) if year < 0 => year + 1,
        (Some(year), _) => year,
        (None, Some(century)) if found.bc || century < 0 => 1 - (century.abs() - 1) * 100,
        (None, Some(century)) => (century - 1) * 100 + 1,
        (None, None) => 0,
    };
    let days = if let Some(julian) = found.julian {
        i32::try_from(julian - 2_440_588).map_err(|_| out_of_range())?
    } else if let (Some(day), None) = (found.day_of_year, found.month) {
        let first = civil::checked_days(year, 1, 1).ok_or_else(out_of_range)?;
        let length = if civil::is_leap(year) { 366 } else { 365 };
        if !(1..=length).contains(&day) {
            return Err(out_of_range());
        }
        first + day as i32 - 1
    } else {
        let part = |value: Option<i64>| u32::try_from(value.unwrap_or(1)).map_err(|_| out_of_range());
        civil::checked_days(year, part(found.month)?, part(found.day)?).ok_or_else(out_of_range)?
    };
    Ok((days, time, found.zone))
}

fn to_date(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| {
        let (days, ..) = read(text_of(&values[0])?, text_of(&values[1])?)?;
        Ok(Datum::Date(days))
    })
}

fn to_timestamp(call: &TypedCall<'_>) -> Result<Value> {
    let session = call.context.zone();
    call.rows(true, |values| {
        let (days, time, zone) = read(text_of(&values[0])?, text_of(&values[1])?)?;
        let local = civil::timestamp_from(days.into(), time)?;
        zone.map_or(session, Zone::Fixed).to_utc(local).map(Datum::Timestamptz)
    })
}

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
        volatility: Volatility::Stable,
        eval: untyped,
        typed: Some(typed),
    }
}

pub(super) static ENTRIES: &[Scalar] = &[
    entry("to_char", &[SqlType::Timestamp, SqlType::Text], SqlType::Text, to_char),
    entry("to_char", &[SqlType::Timestamptz, SqlType::Text], SqlType::Text, to_char),
    entry("to_char", &[SqlType::Interval, SqlType::Text], SqlType::Text, to_char),
    entry("to_date", &[SqlType::Text, SqlType::Text], SqlType::Date, to_date),
    entry("to_timestamp", &[SqlType::Text, SqlType::Text], SqlType::Timestamptz, to_timestamp),
];
