//! The text of dates, times and timestamps read: cut into fields, then each field given its meaning by what it is and what
//! came before it, as PostgreSQL's `DecodeDateTime` does.

use super::{DAY, DateOrder, HOUR, MINUTE, SECOND, Zone, checked_days};

/// What a date or timestamp text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `infinity`
    Infinity,
    /// `-infinity`
    MinusInfinity,
    /// `now`
    Now,
    /// `yesterday`, `today`, `tomorrow`: days from today.
    Day {
        /// From today.
        days: i32,
        /// Microseconds of the day.
        micros: i64,
        /// The zone, if one was given.
        zone: Option<Zone>,
    },
    /// A date, the time of day, and the zone if it has one.
    At {
        /// Day number.
        days: i32,
        /// Microseconds of the day.
        micros: i64,
        /// The zone, if one was given.
        zone: Option<Zone>,
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

/// Whether a text means another moment in each transaction.
pub fn names_clock(text: &str) -> bool {
    let is_clock = |word: &str| {
        ["now", "today", "tomorrow", "yesterday"].iter().any(|clock| word.eq_ignore_ascii_case(clock))
    };
    text.split(|c: char| !c.is_ascii_alphabetic()).any(is_clock)
}

// ---- Fields.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Digits, with a point perhaps.
    Number,
    /// Digits and letters with separators.
    Date,
    /// `04:05:06.7`
    Time,
    /// `+01:30`
    Offset,
    /// Letters.
    Word,
    /// A sign and letters: `-infinity`.
    Signed,
}

fn is_word(word: &str) -> bool {
    const OTHERS: [&str; 22] = [
        "ad", "allballs", "am", "at", "bc", "d", "epoch", "h", "infinity", "j", "jd", "julian", "m", "mm",
        "now", "on", "pm", "s", "t", "today", "tomorrow", "y",
    ];
    OTHERS.contains(&word) || word == "yesterday" || month_number(word).is_some() || is_weekday(word)
}

/// Cuts a text in lower case into its fields.
fn fields(text: &str) -> Result<Vec<(Kind, &str)>, BadMoment> {
    let bytes = text.as_bytes();
    let mut fields = Vec::new();
    let mut at = 0;
    let run = |from: usize, is_part: &dyn Fn(u8) -> bool| {
        from + bytes[from..].iter().take_while(|&&byte| is_part(byte)).count()
    };
    let digit = |byte: u8| byte.is_ascii_digit();
    let letter = |byte: u8| byte.is_ascii_alphabetic();
    while at < bytes.len() {
        let (start, first) = (at, bytes[at]);
        let kind = if digit(first) {
            at = run(at, &digit);
            match bytes.get(at) {
                Some(b':') => {
                    at = run(at, &|byte| digit(byte) || byte == b':' || byte == b'.');
                    Kind::Time
                }
                Some(&separator @ (b'-' | b'/' | b'.')) => {
                    at += 1;
                    if bytes.get(at).is_some_and(|&byte| digit(byte)) {
                        at = run(at, &digit);
                        if bytes.get(at) == Some(&separator) {
                            at = run(at, &|byte| digit(byte) || byte == separator);
                            Kind::Date
                        } else if separator == b'.' {
                            Kind::Number
                        } else {
                            Kind::Date
                        }
                    } else {
                        at = run(at, &|byte| byte.is_ascii_alphanumeric() || byte == separator);
                        Kind::Date
                    }
                }
                _ => Kind::Number,
            }
        } else if first == b'.' {
            at = run(at + 1, &digit);
            Kind::Number
        } else if letter(first) {
            at = run(at, &letter);
            let is_date = match bytes.get(at) {
                Some(b'-' | b'/' | b'.') => true,
                Some(&byte) if byte == b'+' || digit(byte) => !is_word(&text[start..at]),
                _ => false,
            };
            if is_date {
                at = run(at, &|byte| byte.is_ascii_alphanumeric() || b"+-/_.:".contains(&byte));
                Kind::Date
            } else {
                Kind::Word
            }
        } else if first == b'+' || first == b'-' {
            let sign_end = run(at + 1, &|byte| byte == b' ');
            match bytes.get(sign_end) {
                Some(&byte) if digit(byte) => {
                    at = run(sign_end, &|byte| digit(byte) || b":.-".contains(&byte));
                    Kind::Offset
                }
                Some(&byte) if letter(byte) => {
                    at = run(sign_end, &letter);
                    Kind::Signed
                }
                _ => return Err(BadMoment::Syntax),
            }
        } else if first.is_ascii_whitespace() || first == 0xb || first.is_ascii_punctuation() {
            at += 1;
            continue;
        } else {
            return Err(BadMoment::Syntax);
        };
        fields.push((kind, &text[start..at]));
    }
    Ok(fields)
}

/// What a unit's letter says of the number behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Julian,
    Time,
}

/// A word that stands for a whole moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Infinity,
    MinusInfinity,
    Now,
    Epoch,
    Day(i32),
}

#[derive(Default)]
struct Reader {
    order: DateOrder,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    named_month: bool,
    /// The year was written with one or two digits.
    short_year: bool,
    time: Option<i64>,
    zone: Option<Zone>,
    whole: Option<Whole>,
    unit: Option<Unit>,
    bc: bool,
    afternoon: Option<bool>,
    /// Only a time is asked for: numbers are its digits.
    is_time: bool,
}

fn put<T>(place: &mut Option<T>, value: T) -> Result<(), BadMoment> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(BadMoment::Syntax),
    }
}

impl Reader {
    fn has_date(&self) -> bool {
        self.julian.is_some()
            || matches!(self.whole, Some(Whole::Day(_)))
            || self.year.is_some()
                && (self.month.is_some() && self.day.is_some() || self.day_of_year.is_some())
    }

    fn read(&mut self, fields: &[(Kind, &str)]) -> Result<(), BadMoment> {
        for &(kind, text) in fields {
            match kind {
                Kind::Number => self.number(text)?,
                Kind::Date if self.has_date() || self.unit.is_some() || self.is_zone(text) => {
                    self.unit = None;
                    self.behind_date(text)?;
                }
                Kind::Date => self.date(text)?,
                Kind::Time => {
                    if self.unit.take().is_some_and(|unit| unit != Unit::Time) {
                        return Err(BadMoment::Syntax);
                    }
                    put(&mut self.time, parse_clock(text)?)?;
                }
                Kind::Offset => put(&mut self.zone, Zone::Fixed(read_zone(text)?))?,
                Kind::Word | Kind::Signed => self.word(text)?,
            }
        }
        if self.unit.is_some() { Err(BadMoment::Syntax) } else { Ok(()) }
    }

    /// Whether a field in the place of a date is a zone's name.
    fn is_zone(&self, text: &str) -> bool {
        self.is_time
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && !text.split(|c: char| !c.is_ascii_alphabetic()).any(|word| month_number(word).is_some())
    }

    /// A field with separators where the date is known: a time with its zone, or a zone's name.
    fn behind_date(&mut self, text: &str) -> Result<(), BadMoment> {
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            let zone = Zone::named(text).or_else(|| posix_zone(text));
            return put(&mut self.zone, zone.ok_or_else(|| BadMoment::Zone(text.to_owned()))?);
        }
        let at = text.find('-').ok_or(BadMoment::Syntax)?;
        put(&mut self.zone, Zone::Fixed(read_zone(&text[at..])?))?;
        self.digits(&text[..at], true)
    }

    fn date(&mut self, text: &str) -> Result<(), BadMoment> {
        let mut parts = Vec::new();
        for part in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
            let mut rest = part;
            while let Some(first) = rest.chars().next() {
                let is_same = |c: char| c.is_ascii_digit() == first.is_ascii_digit();
                let end = rest.find(|c| !is_same(c)).unwrap_or(rest.len());
                parts.push(&rest[..end]);
                rest = &rest[end..];
            }
        }
        for part in &parts {
            if part.starts_with(|c: char| c.is_ascii_alphabetic()) {
                let month = month_number(part).ok_or(BadMoment::Syntax)?;
                put(&mut self.month, month.into())?;
                self.named_month = true;
            }
        }
        for part in parts.iter().filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
            if self.has_date() {
                return Err(BadMoment::Syntax);
            }
            self.date_number(part)?;
        }
        if self.has_date() { Ok(()) } else { Err(BadMoment::Syntax) }
    }

    fn number(&mut self, text: &str) -> Result<(), BadMoment> {
        if let Some(unit) = self.unit.take() {
            return self.labeled(unit, text);
        }
        let whole = text.find('.');
        let date_known = self.has_date() || self.is_time;
        match whole {
            Some(_) if !date_known && self.month.is_none() && self.year.is_none() => self.date(text),
            Some(at) if at > 2 => self.digits(text, date_known),
            _ if self.is_time && self.year.is_none() && self.month.is_none() => self.digits(text, true),
            _ if text.len() >= 6 && (!self.has_date() || self.time.is_none()) => {
                self.digits(text, date_known)
            }
            _ => self.date_number(text),
        }
    }

    fn labeled(&mut self, unit: Unit, text: &str) -> Result<(), BadMoment> {
        let clock = |micros: i64| micros;
        match unit {
            Unit::Julian => {
                let (days, fraction) = text.split_once('.').unwrap_or((text, ""));
                put(&mut self.julian, number(days)?)?;
                if !fraction.is_empty() {
                    let part: f64 = format!("0.{fraction}").parse().map_err(|_| BadMoment::Syntax)?;
                    put(&mut self.time, (part * DAY as f64).round_ties_even() as i64)?;
                }
                Ok(())
            }
            Unit::Time => self.digits(text, true),
            Unit::Year => put(&mut self.year, number(text)?),
            Unit::Month if self.month.is_some() && self.time.is_some() => {
                self.time = self.time.map(|time| clock(time + number(text).unwrap_or(0) * MINUTE));
                Ok(())
            }
            Unit::Month => put(&mut self.month, number(text)?),
            Unit::Day => put(&mut self.day, number(text)?),
            Unit::Hour => put(&mut self.time, number(text)? * HOUR),
            Unit::Minute => {
                self.time = Some(self.time.unwrap_or(0) + number(text)? * MINUTE);
                Ok(())
            }
            Unit::Second => {
                self.time = Some(self.time.unwrap_or(0) + seconds_micros(text)?);
                Ok(())
            }
        }
    }

    /// Digits run together: `19990108`, and, where the date is known, `040506.789`.
    fn digits(&mut self, text: &str, date_known: bool) -> Result<(), BadMoment> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if !text.contains('.') && !date_known && text.len() >= 6 {
            let (year, rest) = text.split_at(text.len() - 4);
            put(&mut self.year, number(year)?)?;
            put(&mut self.month, number(&rest[..2])?)?;
            put(&mut self.day, number(&rest[2..])?)?;
            self.short_year = year.len() == 2;
            return Ok(());
        }
        let (hours, minutes, seconds) = match whole.len() {
            6 => (number(&whole[..2])?, number(&whole[2..4])?, number(&whole[4..])?),
            4 if fraction.is_empty() => (number(&whole[..2])?, number(&whole[2..])?, 0),
            _ => return Err(BadMoment::Syntax),
        };
        let micros = hours * HOUR + minutes * MINUTE + seconds * SECOND + fraction_micros(fraction)?;
        if minutes > 59 || seconds > 60 || micros > DAY {
            return Err(BadMoment::Field);
        }
        put(&mut self.time, micros)
    }

    /// A number of a date: which one, its length, the numbers before it and the order say.
    fn date_number(&mut self, text: &str) -> Result<(), BadMoment> {
        let value = number(text.split('.').next().unwrap_or(text))?;
        let long = text.len() >= 3;
        let year = |reader: &mut Self| {
            reader.short_year = text.len() <= 2;
            put(&mut reader.year, value)
        };
        if text.len() == 3
            && self.year.is_some()
            && self.month.is_none()
            && self.day.is_none()
            && (1..=366).contains(&value)
        {
            return put(&mut self.day_of_year, value);
        }
        match (self.year.is_some(), self.month.is_some(), self.day.is_some()) {
            (false, false, false) if long || self.order == DateOrder::Ymd => year(self),
            (false, false, false) if self.order == DateOrder::Dmy => put(&mut self.day, value),
            (false, false, false) | (true, false, false) | (false, false, true) => {
                put(&mut self.month, value)
            }
            (false, true, false) if self.named_month && (long || self.order == DateOrder::Ymd) => year(self),
            (false, true, false) => put(&mut self.day, value),
            (true, true, false) if self.named_month && long && self.short_year => {
                // What was taken for the year was the day.
                self.day = self.year.replace(value);
                self.short_year = false;
                Ok(())
            }
            (true, true, false) => put(&mut self.day, value),
            (false, true, true) => year(self),
            _ => self.digits(text, true),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), BadMoment> {
        if let Some(offset) = zone_abbreviation(word) {
            return put(&mut self.zone, Zone::Fixed(offset));
        }
        let unit = match word {
            "infinity" | "+infinity" => return put(&mut self.whole, Whole::Infinity),
            "-infinity" => return put(&mut self.whole, Whole::MinusInfinity),
            "now" => return put(&mut self.whole, Whole::Now),
            "epoch" => return put(&mut self.whole, Whole::Epoch),
            "today" => return put(&mut self.whole, Whole::Day(0)),
            "tomorrow" => return put(&mut self.whole, Whole::Day(1)),
            "yesterday" => return put(&mut self.whole, Whole::Day(-1)),
            "allballs" if self.is_time => return put(&mut self.time, 0),
            "bc" => {
                self.bc = true;
                return Ok(());
            }
            "ad" | "at" | "on" => return Ok(()),
            "am" | "pm" => return put(&mut self.afternoon, word == "pm"),
            "j" | "jd" | "julian" => Unit::Julian,
            "t" if self.has_date() || self.is_time => Unit::Time,
            "y" => Unit::Year,
            "m" => Unit::Month,
            "d" => Unit::Day,
            "h" => Unit::Hour,
            "mm" => Unit::Minute,
            "s" => Unit::Second,
            _ => return self.name(word),
        };
        put(&mut self.unit, unit)
    }

    /// A month, a weekday or a zone by name.
    fn name(&mut self, word: &str) -> Result<(), BadMoment> {
        if let Some(month) = month_number(word) {
            if !self.named_month && self.day.is_none() && self.month.is_some_and(|month| month <= 31) {
                // What was taken for the month was the day.
                self.day = self.month.take();
            }
            self.named_month = true;
            return put(&mut self.month, month.into());
        }
        if is_weekday(word) {
            return Ok(());
        }
        put(&mut self.zone, Zone::named(word).ok_or(BadMoment::Syntax)?)
    }

    /// The day number. Errors: 22008 for a date that there is not.
    fn days(&self) -> Result<i32, BadMoment> {
        if let Some(julian) = self.julian {
            let days = i32::try_from(julian - 2_440_588).map_err(|_| BadMoment::Field)?;
            return if super::is_date(days.into()) { Ok(days) } else { Err(BadMoment::Field) };
        }
        let year = match self.year.ok_or(BadMoment::Syntax)? {
            year if self.bc && year > 0 => 1 - year,
            year if self.bc && year <= 0 => return Err(BadMoment::Field),
            year if self.short_year && year < 70 => year + 2000,
            year if self.short_year && year < 100 => year + 1900,
            year if year <= 0 => return Err(BadMoment::Field),
            year => year,
        };
        if let Some(day) = self.day_of_year {
            let first = checked_days(year, 1, 1).ok_or(BadMoment::Field)?;
            let length = if super::is_leap(year) { 366 } else { 365 };
            return if day <= length { Ok(first + day as i32 - 1) } else { Err(BadMoment::Field) };
        }
        let part =
            |value: Option<i64>| u32::try_from(value.ok_or(BadMoment::Syntax)?).map_err(|_| BadMoment::Field);
        checked_days(year, part(self.month)?, part(self.day)?).ok_or(BadMoment::Field)
    }

    /// Microseconds of the day.
    fn micros(&self) -> Result<i64, BadMoment> {
        let micros = self.time.unwrap_or(0);
        let Some(afternoon) = self.afternoon else { return Ok(micros) };
        let hours = micros / HOUR;
        if hours > 12 {
            return Err(BadMoment::Field);
        }
        Ok(match (afternoon, hours == 12) {
            (true, false) => micros + 12 * HOUR,
            (false, true) => micros - 12 * HOUR,
            _ => micros,
        })
    }

    fn has_date_part(&self) -> bool {
        self.year.is_some() || self.month.is_some() || self.day.is_some() || self.julian.is_some()
    }
}

/// Reads a date with an optional time and zone.
pub fn parse_moment(text: &str, order: DateOrder) -> Result<Moment, BadMoment> {
    let lower = text.to_ascii_lowercase();
    let mut reader = Reader { order, ..Reader::default() };
    reader.read(&fields(&lower)?)?;
    let (micros, zone) = (reader.micros()?, reader.zone);
    let alone = !reader.has_date_part() && reader.time.is_none();
    Ok(match reader.whole {
        Some(_) if reader.has_date_part() => return Err(BadMoment::Syntax),
        Some(Whole::Day(days)) => Moment::Day { days, micros, zone },
        Some(_) if !alone || zone.is_some() => return Err(BadMoment::Syntax),
        Some(Whole::Infinity) => Moment::Infinity,
        Some(Whole::MinusInfinity) => Moment::MinusInfinity,
        Some(Whole::Now) => Moment::Now,
        Some(Whole::Epoch) => Moment::At { days: 0, micros: 0, zone: Some(Zone::Fixed(0)) },
        None => Moment::At { days: reader.days()?, micros, zone },
    })
}

/// Reads a time of day: a date before it does not count, nor a zone behind it. `None`: the time it is now.
pub fn parse_time(text: &str, order: DateOrder) -> Result<Option<i64>, BadMoment> {
    let lower = text.to_ascii_lowercase();
    let mut reader = Reader { order, is_time: true, ..Reader::default() };
    reader.read(&fields(&lower)?)?;
    match reader.whole {
        Some(Whole::Now) if reader.time.is_none() => return Ok(None),
        Some(_) => return Err(BadMoment::Syntax),
        None => {}
    }
    if reader.has_date_part() {
        reader.days()?;
    } else if reader.bc || matches!(reader.zone, Some(Zone::Named { .. })) {
        // Without a date nobody knows a zone's offset.
        return Err(BadMoment::Syntax);
    }
    if reader.time.is_none() {
        return Err(BadMoment::Syntax);
    }
    reader.micros().map(Some)
}

/// A zone as POSIX writes one: `GMT+8` lies eight hours west.
pub fn posix_zone(text: &str) -> Option<Zone> {
    let at = text.find(|c: char| !c.is_ascii_alphabetic())?;
    let (sign, digits) = match text.as_bytes()[at] {
        b'+' => (-1, &text[at + 1..]),
        b'-' => (1, &text[at + 1..]),
        _ => (-1, &text[at..]),
    };
    if at < 3 {
        return None;
    }
    let mut seconds = 0;
    let mut parts = digits.split(':');
    for unit in [3600, 60, 1] {
        match parts.next() {
            Some(part) => seconds += i32::try_from(number(part).ok()?).ok()?.checked_mul(unit)?,
            None => break,
        }
    }
    (parts.next().is_none() && seconds < 168 * 3600).then_some(Zone::Fixed(sign * seconds))
}

pub(super) fn number(text: &str) -> Result<i64, BadMoment> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadMoment::Syntax);
    }
    text.parse().map_err(|_| BadMoment::Syntax)
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
