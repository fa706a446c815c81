//! Session settings: SET, SHOW and RESET. A setting that means something is a field; names that clients set out of habit
//! are accepted only with the value that describes what Orrery does.

use orrery_base::{Error, Result, SqlState};
use orrery_sql::optimize::Methods;
use orrery_sql::parse::ast::Level;

/// The settings of one session.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `default_transaction_isolation`
    pub isolation: Level,
    /// `default_transaction_read_only`
    pub read_only: bool,
    /// `statement_timeout` in milliseconds; 0 is none.
    pub statement_timeout_ms: u64,
    /// `work_mem`: bytes of a statement's sorts and hash tables before they spill.
    pub work_memory_bytes: usize,
    /// `TimeZone`: seconds east of UTC.
    pub time_zone: i32,
    /// `enable_hashjoin` and the like: what plans may be made of.
    pub methods: Methods,
    /// `application_name`
    pub application_name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            isolation: Level::ReadCommitted,
            read_only: false,
            statement_timeout_ms: 0,
            work_memory_bytes: 64 << 20,
            time_zone: 0,
            methods: Methods::default(),
            application_name: String::new(),
        }
    }
}

/// The settings that [`method`] knows.
const METHODS: [&str; 7] = [
    "enable_hashagg",
    "enable_hashjoin",
    "enable_indexscan",
    "enable_nestloop",
    "enable_seqscan",
    "enable_sort",
    "orrery.decorrelate",
];

/// What a setting switches on or off.
fn method<'a>(methods: &'a mut Methods, name: &str) -> Option<&'a mut bool> {
    Some(match name {
        "enable_hashagg" => &mut methods.hash_aggregate,
        "enable_hashjoin" => &mut methods.hash_join,
        "enable_indexscan" => &mut methods.index_scan,
        "enable_nestloop" => &mut methods.nested_loop,
        "enable_seqscan" => &mut methods.seq_scan,
        "enable_sort" => &mut methods.sort,
        "orrery.decorrelate" => &mut methods.decorrelate,
        _ => return None,
    })
}

/// Accepted with this one value, because it is what holds.
const FIXED: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO, MDY"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("server_encoding", "UTF8"),
    ("server_version", "15.0 (Orrery 0.1.0)"),
    ("standard_conforming_strings", "on"),
];

impl Settings {
    /// SET name = value; `None` is DEFAULT. Errors: 42704 for an unknown name, 22023 for a value that does not fit, 55P02
    /// for a name whose value cannot change.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        let default = Settings::default();
        let folded = name.to_ascii_lowercase();
        match folded.as_str() {
            "default_transaction_isolation" => {
                self.isolation = value.map_or(Ok(default.isolation), |value| isolation(name, value))?;
            }
            "default_transaction_read_only" => {
                self.read_only = value.map_or(Ok(default.read_only), |value| boolean(name, value))?;
            }
            "statement_timeout" => {
                self.statement_timeout_ms = value.map_or(Ok(0), |value| milliseconds(name, value))?;
            }
            "work_mem" => {
                self.work_memory_bytes =
                    value.map_or(Ok(default.work_memory_bytes), |value| bytes(name, value))?;
            }
            "timezone" => self.time_zone = value.map_or(Ok(0), |value| time_zone(name, value))?,
            "application_name" => self.application_name = value.unwrap_or_default().to_owned(),
            _ => match method(&mut self.methods, &folded) {
                Some(method) => *method = value.map_or(Ok(true), |value| boolean(name, value))?,
                None => return set_fixed(name, &folded, value),
            },
        }
        Ok(())
    }

    /// SHOW name. Errors: 42704.
    pub fn show(&self, name: &str) -> Result<String> {
        let folded = name.to_ascii_lowercase();
        Ok(match folded.as_str() {
            "default_transaction_isolation" | "transaction_isolation" => self.isolation.name().to_owned(),
            "default_transaction_read_only" => on_off(self.read_only),
            "statement_timeout" => in_units(self.statement_timeout_ms, TIME_UNITS),
            "work_mem" => in_units(self.work_memory_bytes as u64 >> 10, MEMORY_UNITS),
            "timezone" => time_zone_name(self.time_zone),
            "application_name" => self.application_name.clone(),
            _ if METHODS.contains(&folded.as_str()) => {
                on_off(method(&mut { self.methods }, &folded).is_some_and(|is_on| *is_on))
            }
            _ => match FIXED.iter().find(|(fixed, _)| *fixed == folded) {
                Some((_, value)) => (*value).to_owned(),
                None => return Err(unknown(name)),
            },
        })
    }

    /// The names SHOW ALL lists.
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<_> = FIXED.iter().map(|(name, _)| *name).collect();
        names.extend(METHODS);
        names.extend([
            "application_name",
            "default_transaction_isolation",
            "default_transaction_read_only",
            "statement_timeout",
            "timezone",
            "work_mem",
        ]);
        names.sort_unstable();
        names
    }
}

/// Milliseconds and up, each with how many make one of the next.
const TIME_UNITS: &[(&str, u64)] = &[("ms", 1000), ("s", 60), ("min", 60), ("h", 24), ("d", u64::MAX)];
/// Kibibytes and up.
const MEMORY_UNITS: &[(&str, u64)] = &[("kB", 1024), ("MB", 1024), ("GB", 1024), ("TB", u64::MAX)];

/// A quantity in the largest unit that divides it, as PostgreSQL shows it; zero without one.
fn in_units(mut quantity: u64, units: &[(&str, u64)]) -> String {
    if quantity == 0 {
        return "0".to_owned();
    }
    let mut name = "";
    for &(unit, count) in units {
        name = unit;
        if !quantity.is_multiple_of(count) {
            break;
        }
        quantity /= count;
    }
    format!("{quantity}{name}")
}

pub(crate) fn on_off(value: bool) -> String {
    (if value { "on" } else { "off" }).to_owned()
}

fn set_fixed(name: &str, folded: &str, value: Option<&str>) -> Result<()> {
    let Some((_, fixed)) = FIXED.iter().find(|(fixed, _)| *fixed == folded) else {
        return Err(unknown(name));
    };
    let same = |value: &str| {
        let plain = |text: &str| text.to_ascii_lowercase().replace(['-', ' '], "");
        plain(value) == plain(fixed) || folded == "datestyle" && plain(value) == "iso"
    };
    match value {
        None => Ok(()),
        Some(value) if same(value) => Ok(()),
        Some(_) => {
            let message = format!("parameter \"{name}\" cannot be changed");
            Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message)
                .with_detail(format!("It is {fixed}.")))
        }
    }
}

fn unknown(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

fn invalid(name: &str, value: &str) -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{name}\": \"{value}\""),
    )
}

/// A level by its name. Errors: 22023.
pub fn isolation(name: &str, value: &str) -> Result<Level> {
    match value.to_ascii_lowercase().as_str() {
        "read uncommitted" => Ok(Level::ReadUncommitted),
        "read committed" => Ok(Level::ReadCommitted),
        "repeatable read" => Ok(Level::RepeatableRead),
        "serializable" => Ok(Level::Serializable),
        _ => Err(invalid(name, value)),
    }
}

pub(crate) fn boolean(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" | "t" => Ok(true),
        "off" | "false" | "no" | "0" | "f" => Ok(false),
        _ => Err(invalid(name, value)),
    }
}

/// Splits `64MB` into its number and unit.
fn number_and_unit<'a>(name: &str, value: &'a str) -> Result<(u64, &'a str)> {
    let value = value.trim();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let number = value[..digits].parse().map_err(|_| invalid(name, value))?;
    Ok((number, value[digits..].trim()))
}

fn milliseconds(name: &str, value: &str) -> Result<u64> {
    let (number, unit) = number_and_unit(name, value)?;
    let factor = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(invalid(name, value)),
    };
    number.checked_mul(factor).ok_or_else(|| invalid(name, value))
}

fn bytes(name: &str, value: &str) -> Result<usize> {
    let (number, unit) = number_and_unit(name, value)?;
    let factor: u64 = match unit {
        "B" => 1,
        "" | "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return Err(invalid(name, value)),
    };
    let bytes = number.checked_mul(factor).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.filter(|&bytes| bytes >= 64 << 10).ok_or_else(|| invalid(name, value))
}

/// Zones without a data base: UTC and fixed offsets (`+02`, `-05:30`). ISO's sign: east is positive.
fn time_zone(name: &str, value: &str) -> Result<i32> {
    let trimmed = value.trim();
    if ["utc", "gmt", "z", "etc/utc", "zulu"].contains(&trimmed.to_ascii_lowercase().as_str()) {
        return Ok(0);
    }
    let unsupported = || {
        Error::unsupported(format!("time zone \"{value}\""))
            .with_hint("Use UTC or a fixed offset such as +02 or -05:30.")
    };
    let (sign, rest) = match trimmed.as_bytes().first() {
        Some(b'+') => (1, &trimmed[1..]),
        Some(b'-') => (-1, &trimmed[1..]),
        Some(b'0'..=b'9') => (1, trimmed),
        _ => return Err(unsupported()),
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let hours: i32 = hours.parse().map_err(|_| invalid(name, value))?;
    let minutes: i32 = minutes.parse().map_err(|_| invalid(name, value))?;
    if hours > 15 || !(0..=59).contains(&minutes) || hours < 0 {
        return Err(invalid(name, value));
    }
    Ok(sign * (hours * 3600 + minutes * 60))
}

fn time_zone_name(seconds: i32) -> String {
    if seconds == 0 {
        return "UTC".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_and_show() {
        let mut settings = Settings::default();
        settings.set("TimeZone", Some("-05:30")).unwrap();
        settings.set("statement_timeout", Some("2s")).unwrap();
        settings.set("work_mem", Some("16MB")).unwrap();
        settings.set("client_encoding", Some("utf-8")).unwrap();
        assert_eq!(settings.show("timezone").unwrap(), "-05:30");
        assert_eq!(settings.show("statement_timeout").unwrap(), "2s");
        assert_eq!(settings.show("work_mem").unwrap(), "16MB");
        assert_eq!(settings.set("nonsense", None).unwrap_err().code(), SqlState::UNDEFINED_OBJECT);
        assert_eq!(
            settings.set("work_mem", Some("4 cats")).unwrap_err().code(),
            SqlState::INVALID_PARAMETER_VALUE
        );
        settings.set("work_mem", None).unwrap();
        assert_eq!(settings.work_memory_bytes, Settings::default().work_memory_bytes);
        for name in Settings::names() {
            settings.show(name).unwrap();
        }
    }
}
