//! The text of dates and timestamps read, as `DateStyle = 'ISO, MDY'` has it.

use super::{DAY, HOUR, MINUTE, SECOND, checked_days};

/// What a date or timestamp text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `infinity`
    Infinity,
    /// `-infinity`
    MinusInfinity,
    /// A date, the time of day, and the zone if it has one.
    At {
        /// Day number.
        days: i32,
        /// Microseconds of the day.
        micros: i64,
        /// Seconds east of UTC.
        zone: Option<i32>,
    },
}

/// Why a text is no moment.
pub enum BadMoment {
    /// Not the syntax: 22007.
    Syntax,
    /// A field out of its range: 22008.
    Field,
    /// A zone's offset out of its range: 22009.
    Displacement,
    /// An unknown zone name: 22023.
    Zone(String),
    /// Depends on the clock: not built.
    Clock(String),
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

fn month_number(word: &str) -> Option<u32> {
    if word.len() < 3 {
        return None;
    }
    let is = |name: &&str| {
        **name == *word
            || (word.len() == 3 && name.starts_with(word))
            || (word == "sept" && **name == *"september")
    };
    MONTHS.iter().position(is).map(|index| index as u32 + 1)
}

/// The offset of a zone's abbreviation, in seconds east: those of PostgreSQL's that never meant another one.
pub fn zone_abbreviation(word: &str) -> Option<i32> {
    let minutes = match word {
        "z" | "utc" | "ut" | "gmt" | "zulu" | "wet" => 0,
        "est" | "cdt" => -300,
        "edt" | "ast" => -240,
        "cst" | "mdt" => -360,
        "mst" | "pdt" => -420,
        "pst" | "akdt" => -480,
        "akst" => -540,
        "hst" => -600,
        "adt" => -180,
        "nst" => -210,
        "ndt" => -150,
        "cet" | "met" | "bst" | "wat" => 60,
        "cest" | "mest" | "eet" | "ist" | "sast" => 120,
        "eest" | "eat" => 180,
        "hkt" | "pht" | "awst" | "sgt" => 480,
        "jst" | "kst" => 540,
        "acst" => 570,
        "aest" => 600,
        "acdt" => 630,
        "aedt" => 660,
        "nzst" => 720,
        "nzdt" => 780,
        _ => return None,
    };
    Some(minutes * 60)
}

fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    word.len() >= 3 && DAYS.iter().any(|day| day.starts_with(word))
}

#[derive(Default)]
struct Fields {
    date: Option<(i64, u32, u32)>,
    time: Option<i64>,
    zone: Option<i32>,
    month: Option<u32>,
    numbers: Vec<(i64, usize)>,
    /// A year of one or two digits as it was written.
    short_year: Option<i64>,
    bc: bool,
    afternoon: Option<bool>,
}

/// Reads a date with an optional time and zone.
pub fn parse_moment(text: &str) -> Result<Moment, BadMoment> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.as_str() {
        "infinity" | "+infinity" => return Ok(Moment::Infinity),
        "-infinity" => return Ok(Moment::MinusInfinity),
        "epoch" => return Ok(Moment::At { days: 0, micros: 0, zone: Some(0) }),
        "now" | "today" | "tomorrow" | "yesterday" => return Err(BadMoment::Clock(lower)),
        _ => {}
    }
    let mut fields = Fields::default();
    for word in lower.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()) {
        read_word(&mut fields, word)?;
    }
    finish_moment(fields)
}

fn read_word(fields: &mut Fields, word: &str) -> Result<(), BadMoment> {
    let first = word.as_bytes()[0];
    if first.is_ascii_digit() {
        // 1999-01-08t04:05:06z: date and time in one word.
        if fields.date.is_none()
            && fields.numbers.is_empty()
            && fields.month.is_none()
            && let Some(at) =
                word.find('t').filter(|&at| word[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            read_word(fields, &word[..at])?;
            return read_word(fields, &word[at + 1..]);
        }
        if word.contains(':') {
            return read_time(fields, word);
        }
        return read_date(fields, word);
    }
    if (first == b'+' || first == b'-') && fields.time.is_some() && fields.zone.is_none() {
        fields.zone = Some(read_zone(word)?);
        return Ok(());
    }
    match word {
        "bc" => fields.bc = true,
        "ad" | "at" => {}
        "am" | "pm" if fields.time.is_some() => fields.afternoon = Some(word == "pm"),
        _ if fields.zone.is_none() && zone_abbreviation(word).is_some() => {
            fields.zone = zone_abbreviation(word);
        }
        _ => {
            let julian = word.strip_prefix('j').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            if let (Some(julian), None) = (julian, fields.date) {
                let civil = super::civil_from_days(number(julian)? - 2_440_588);
                // Years before the first are counted from zero here, and from one in texts.
                fields.bc |= civil.year <= 0;
                fields.date =
                    Some((if civil.year <= 0 { 1 - civil.year } else { civil.year }, civil.month, civil.day));
            } else if let Some(month) = month_number(word).filter(|_| fields.month.is_none()) {
                fields.month = Some(month);
            } else if word.split_once('-').is_some_and(|(name, _)| month_number(name).is_some()) {
                return read_date(fields, word);
            } else if word.chars().all(|c| c.is_ascii_alphabetic()) && is_weekday(word) {
            } else if word.contains('/')
                || (fields.time.is_some() && word.chars().all(|c| c.is_ascii_alphabetic()))
            {
                return Err(BadMoment::Zone(word.to_owned()));
            } else {
                return Err(BadMoment::Syntax);
            }
        }
    }
    Ok(())
}

pub(super) fn number(text: &str) -> Result<i64, BadMoment> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadMoment::Syntax);
    }
    text.parse().map_err(|_| BadMoment::Syntax)
}

fn read_date(fields: &mut Fields, word: &str) -> Result<(), BadMoment> {
    let separator = word.find(['-', '/', '.']).map(|at| word.as_bytes()[at] as char);
    let Some(separator) = separator else {
        if word.len() == 6 && fields.month.is_none() && fields.numbers.is_empty() && fields.date.is_none() {
            fields.date = Some((year(&word[..2])?, number(&word[2..4])? as u32, number(&word[4..])? as u32));
            return Ok(());
        }
        if word.len() == 8 && fields.month.is_none() && fields.numbers.is_empty() && fields.date.is_none() {
            let parts = (number(&word[..4])?, number(&word[4..6])? as u32, number(&word[6..])? as u32);
            fields.date = Some(parts);
            return Ok(());
        }
        fields.numbers.push((number(word)?, word.len()));
        return Ok(());
    };
    if fields.date.is_some() {
        return Err(BadMoment::Syntax);
    }
    let parts: Vec<&str> = word.split(separator).collect();
    // 1999.008: the day of the year.
    if let ('.', [year, day]) = (separator, parts.as_slice())
        && year.len() > 2
        && day.len() == 3
    {
        let (year, day) = (number(year)?, number(day)?);
        let days =
            checked_days(year, 1, 1).map(|first| i64::from(first) + day - 1).ok_or(BadMoment::Field)?;
        let civil = super::civil_from_days(days);
        if day == 0 || civil.year != year {
            return Err(BadMoment::Field);
        }
        fields.date = Some((civil.year, civil.month, civil.day));
        return Ok(());
    }
    let [a, b, c] = parts[..] else { return Err(BadMoment::Syntax) };
    let year = |text: &str| year(text).map(|year| (year, number(text).ok().filter(|_| text.len() <= 2)));
    let named = [a, b].iter().position(|part| month_number(part).is_some());
    let ((year, short), month, day) = match named {
        // 1999-jan-08, jan-08-1999, 08-jan-1999
        Some(1) if a.len() > 2 => ((number(a)?, None), month_number(b).unwrap_or(0), number(c)? as u32),
        Some(1) => (year(c)?, month_number(b).unwrap_or(0), number(a)? as u32),
        Some(_) => (year(c)?, month_number(a).unwrap_or(0), number(b)? as u32),
        None if a.len() > 2 => ((number(a)?, None), number(b)? as u32, number(c)? as u32),
        None => (year(c)?, number(a)? as u32, number(b)? as u32),
    };
    fields.date = Some((year, month, day));
    fields.short_year = short;
    Ok(())
}

/// Two-digit years are 1970 to 2069.
fn year(text: &str) -> Result<i64, BadMoment> {
    let year = number(text)?;
    Ok(match text.len() {
        1 | 2 if year < 70 => year + 2000,
        1 | 2 => year + 1900,
        _ => year,
    })
}

fn read_zone(word: &str) -> Result<i32, BadMoment> {
    let (sign, rest) = if let Some(rest) = word.strip_prefix('-') { (-1, rest) } else { (1, &word[1..]) };
    let parts: Vec<&str> = rest.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours] if hours.len() <= 2 => (number(hours)?, 0, 0),
        [both] if both.len() == 4 || both.len() == 3 => {
            let cut = both.len() - 2;
            (number(&both[..cut])?, number(&both[cut..])?, 0)
        }
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return Err(BadMoment::Syntax),
    };
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(BadMoment::Displacement);
    }
    Ok(sign * (hours * 3600 + minutes * 60 + seconds) as i32)
}

fn read_time(fields: &mut Fields, word: &str) -> Result<(), BadMoment> {
    if fields.time.is_some() {
        return Err(BadMoment::Syntax);
    }
    let mut clock = word;
    if let Some(at) = clock.find(['+', '-']) {
        fields.zone = Some(read_zone(&clock[at..])?);
        clock = &clock[..at];
    } else if let Some(rest) = clock.strip_suffix('z').or_else(|| clock.strip_suffix("utc")) {
        fields.zone = Some(0);
        clock = rest;
    } else if let Some(rest) = clock.strip_suffix("am") {
        fields.afternoon = Some(false);
        clock = rest;
    } else if let Some(rest) = clock.strip_suffix("pm") {
        fields.afternoon = Some(true);
        clock = rest;
    }
    fields.time = Some(parse_clock(clock)?);
    Ok(())
}

/// `HH:MM[:SS[.ffffff]]` as microseconds of a day (24:00:00 included).
pub(super) fn parse_clock(text: &str) -> Result<i64, BadMoment> {
    let mut parts = text.split(':');
    let hours = number(parts.next().unwrap_or(""))?;
    let minutes = number(parts.next().ok_or(BadMoment::Syntax)?)?;
    let seconds = parts.next().map_or(Ok(0), seconds_micros)?;
    if parts.next().is_some() {
        return Err(BadMoment::Syntax);
    }
    let micros = hours * HOUR + minutes * MINUTE + seconds;
    // A leap second counts as the next minute's first.
    if minutes > 59 || seconds > MINUTE || micros > DAY {
        return Err(BadMoment::Field);
    }
    Ok(micros)
}

pub(super) fn seconds_micros(text: &str) -> Result<i64, BadMoment> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    Ok(number(whole)? * SECOND + fraction_micros(fraction)?)
}

/// Digits after the point as microseconds, rounded.
pub(super) fn fraction_micros(digits: &str) -> Result<i64, BadMoment> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadMoment::Syntax);
    }
    let mut micros = 0;
    for index in 0..6 {
        micros = micros * 10 + i64::from(digits.as_bytes().get(index).map_or(0, |digit| digit - b'0'));
    }
    Ok(micros + i64::from(digits.as_bytes().get(6).is_some_and(|&digit| digit >= b'5')))
}

fn finish_moment(mut fields: Fields) -> Result<Moment, BadMoment> {
    if let (None, None, [(a, a_len), (b, _), (c, c_len)]) = (fields.date, fields.month, &fields.numbers[..]) {
        // Year, month, day, or month, day, year.
        let short = |value: i64, len: usize| match len {
            1 | 2 if value < 70 => value + 2000,
            1 | 2 => value + 1900,
            _ => value,
        };
        let parts = if *a_len > 2 { (*a, *b, *c) } else { (short(*c, *c_len), *a, *b) };
        fields.date = Some((parts.0, parts.1 as u32, parts.2 as u32));
        fields.numbers.clear();
    }
    if fields.date.is_none() {
        let month = fields.month.ok_or(BadMoment::Syntax)?;
        let [(first, first_len), (second, second_len)] = fields.numbers[..] else {
            return Err(BadMoment::Syntax);
        };
        let as_year = |value: i64, len: usize| match len {
            1 | 2 if value < 70 => value + 2000,
            1 | 2 => value + 1900,
            _ => value,
        };
        fields.short_year = (first_len <= 2 && second_len <= 2).then_some(second);
        fields.date = Some(match first_len > 2 {
            true => (first, month, second as u32),
            false => (as_year(second, second_len), month, first as u32),
        });
    } else if fields.month.is_some() || !fields.numbers.is_empty() {
        return Err(BadMoment::Syntax);
    }
    let (mut year, month, day) = fields.date.ok_or(BadMoment::Syntax)?;
    if year == 0 {
        return Err(BadMoment::Field);
    }
    if fields.bc {
        // Two digits before Christ are no year of our century.
        year = 1 - fields.short_year.unwrap_or(year);
    }
    let mut micros = fields.time.unwrap_or(0);
    if let Some(afternoon) = fields.afternoon {
        let hours = micros / HOUR;
        if hours > 12 {
            return Err(BadMoment::Field);
        }
        micros += match (afternoon, hours == 12) {
            (true, false) => 12 * HOUR,
            (false, true) => -12 * HOUR,
            _ => 0,
        };
    }
    let days = checked_days(year, month, day).ok_or(BadMoment::Field)?;
    Ok(Moment::At { days, micros, zone: fields.zone })
}

/// Reads a time of day: a date before it does not count, nor a zone behind it.
pub fn parse_time(text: &str) -> Result<i64, BadMoment> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.as_str() {
        "allballs" => return Ok(0),
        "now" => return Err(BadMoment::Clock(lower)),
        _ => {}
    }
    let mut fields = Fields::default();
    for word in lower.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()) {
        let has_time = fields.time.is_some();
        let bare = word.strip_prefix('t').unwrap_or(word);
        let (digits, fraction) = bare.split_once('.').unwrap_or((bare, ""));
        let compact = !has_time
            && fields.date.is_none()
            && matches!(digits.len(), 4 | 6)
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        if compact {
            let (hours, minutes) = (number(&digits[..2])?, number(&digits[2..4])?);
            let seconds = if digits.len() == 6 { number(&digits[4..])? } else { 0 };
            if minutes > 59 || seconds > 60 {
                return Err(BadMoment::Field);
            }
            let micros = hours * HOUR + minutes * MINUTE + seconds * SECOND + fraction_micros(fraction)?;
            fields.time = Some(if micros > DAY { return Err(BadMoment::Field) } else { micros });
        } else {
            read_word(&mut fields, word)?;
        }
    }
    let has_date = fields.date.is_some() || fields.month.is_some() || !fields.numbers.is_empty();
    if fields.time.is_none() || fields.bc && !has_date {
        return Err(BadMoment::Syntax);
    }
    if !has_date {
        fields.date = Some((2000, 1, 1));
    }
    match finish_moment(fields)? {
        Moment::At { micros, .. } => Ok(micros),
        _ => Err(BadMoment::Syntax),
    }
}
