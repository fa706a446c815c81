//! Session settings: SET, SHOW and RESET. A setting that means something is a field; names that clients set out of habit
//! are accepted only with the value that describes what Orrery does.

use crate::all_settings::{self, MEMTABLES, POOL};
use orrery_base::{Error, Result, SqlState};
use orrery_sql::bind::BindSettings;
use orrery_sql::catalog::SearchPath;
use orrery_sql::civil::{DateOrder, DateStyle, IntervalStyle, Zone};
use orrery_sql::optimize::Methods;
use orrery_sql::parse::ast::Level;
use orrery_sql::text::FormatSettings;
use std::collections::BTreeMap;

/// The settings of one session.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `default_transaction_isolation`
    pub isolation: Level,
    /// `default_transaction_read_only`
    pub read_only: bool,
    /// `statement_timeout` in milliseconds; 0 is none.
    pub statement_timeout_ms: u64,
    /// `lock_timeout` in milliseconds; 0 is none.
    pub lock_timeout_ms: u64,
    /// `work_mem`: bytes of a statement's sorts and hash tables before they spill.
    pub work_memory_bytes: usize,
    /// `TimeZone`, `DateStyle`, `IntervalStyle`, `extra_float_digits`, `bytea_output`.
    pub format: FormatSettings,
    /// `enable_hashjoin` and the like: what plans may be made of.
    pub methods: Methods,
    /// `application_name`
    pub application_name: String,
    /// `search_path`, as it is shown.
    pub search_path: String,
    /// The names in it; `None`: the default.
    pub path: Option<SearchPath>,
    /// Hints for another planner that were given.
    hints: BTreeMap<&'static str, String>,
}

/// What `search_path` is at first.
const SEARCH_PATH: &str = "\"$user\", public";

impl Default for Settings {
    fn default() -> Self {
        Settings {
            isolation: Level::ReadCommitted,
            read_only: false,
            statement_timeout_ms: 0,
            lock_timeout_ms: 0,
            work_memory_bytes: 64 << 20,
            format: FormatSettings::default(),
            methods: Methods::default(),
            application_name: String::new(),
            search_path: SEARCH_PATH.to_owned(),
            path: None,
            hints: BTreeMap::new(),
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
    ("integer_datetimes", "on"),
    ("server_encoding", "UTF8"),
    ("server_version", "15.0 (Orrery 0.1.0)"),
    ("standard_conforming_strings", "on"),
];

/// Hints for PostgreSQL's planner, with its defaults: kept and shown, and of no meaning here. None changes an answer.
pub(crate) const HINTS: &[(&str, &str)] = &[
    ("cpu_index_tuple_cost", "0.005"),
    ("cpu_operator_cost", "0.0025"),
    ("cpu_tuple_cost", "0.01"),
    ("cursor_tuple_fraction", "0.1"),
    ("default_statistics_target", "100"),
    ("effective_cache_size", "4GB"),
    ("enable_bitmapscan", "on"),
    ("enable_gathermerge", "on"),
    ("enable_incremental_sort", "on"),
    ("enable_indexonlyscan", "on"),
    ("enable_material", "on"),
    ("enable_memoize", "on"),
    ("enable_mergejoin", "on"),
    ("enable_parallel_append", "on"),
    ("enable_parallel_hash", "on"),
    ("enable_partition_pruning", "on"),
    ("enable_partitionwise_aggregate", "off"),
    ("enable_partitionwise_join", "off"),
    ("enable_tidscan", "on"),
    ("escape_string_warning", "on"),
    ("force_parallel_mode", "off"),
    ("from_collapse_limit", "8"),
    ("geqo", "on"),
    ("geqo_threshold", "12"),
    ("hash_mem_multiplier", "2"),
    ("jit", "on"),
    ("jit_above_cost", "100000"),
    ("join_collapse_limit", "8"),
    ("maintenance_work_mem", "64MB"),
    ("max_parallel_workers", "8"),
    ("max_parallel_workers_per_gather", "2"),
    ("min_parallel_index_scan_size", "512kB"),
    ("min_parallel_table_scan_size", "8MB"),
    ("parallel_leader_participation", "on"),
    ("parallel_setup_cost", "1000"),
    ("parallel_tuple_cost", "0.1"),
    ("random_page_cost", "4"),
    ("seq_page_cost", "1"),
];

impl Settings {
    /// A hint of PostgreSQL's; `false` when there is none of this name. Errors: 22023.
    fn set_hint(&mut self, name: &str, value: Option<&str>) -> Result<bool> {
        let Some((hint, default)) = HINTS.iter().find(|hint| hint.0 == name) else { return Ok(false) };
        let Some(value) = value else {
            self.hints.remove(hint);
            return Ok(true);
        };
        let shown = if matches!(*default, "on" | "off") {
            on_off(boolean(name, value)?)
        } else {
            let number = value.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
            number.parse::<f64>().map_err(|_| invalid(name, value))?;
            value.to_owned()
        };
        self.hints.insert(hint, shown);
        Ok(true)
    }

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
            "lock_timeout" => {
                self.lock_timeout_ms = value.map_or(Ok(0), |value| milliseconds(name, value))?;
            }
            "work_mem" => {
                self.work_memory_bytes =
                    value.map_or(Ok(default.work_memory_bytes), |value| bytes(name, value))?;
            }
            "timezone" => {
                self.format.zone = value.map_or(Ok(Zone::default()), |value| time_zone(name, value))?
            }
            "datestyle" => date_style(&mut self.format, value)?,
            "intervalstyle" => {
                let style = value.map_or(Ok(IntervalStyle::default()), |value| interval_style(name, value));
                self.format.interval_style = style?;
            }
            "extra_float_digits" => {
                let digits = value.map_or(Ok(1), |value| float_digits(name, value))?;
                self.format.extra_float_digits = digits;
            }
            "bytea_output" => {
                self.format.escapes_bytea = value.map_or(Ok(false), |value| bytea_escapes(name, value))?;
            }
            "search_path" => {
                let path = value.unwrap_or(SEARCH_PATH);
                let names = identifiers(path).ok_or_else(|| invalid(name, path))?;
                path.clone_into(&mut self.search_path);
                self.path = (path != SEARCH_PATH).then(|| names.into());
            }
            "application_name" => self.application_name = value.unwrap_or_default().to_owned(),
            POOL | MEMTABLES => {
                let message = format!("parameter \"{name}\" cannot be changed for a session");
                return Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message)
                    .with_hint(format!("use ALTER SYSTEM SET {folded}")));
            }
            _ if self.set_hint(&folded, value)? => {}
            _ => match method(&mut self.methods, &folded) {
                Some(method) => *method = value.map_or(Ok(true), |value| boolean(name, value))?,
                None => return set_fixed(name, &folded, value),
            },
        }
        Ok(())
    }

    /// What plans depend on.
    pub(crate) fn bind_settings(&self) -> BindSettings {
        BindSettings { methods: self.methods, format: self.format }
    }

    /// SHOW name. Errors: 42704.
    pub fn show(&self, name: &str) -> Result<String> {
        let folded = name.to_ascii_lowercase();
        Ok(match folded.as_str() {
            "default_transaction_isolation" | "transaction_isolation" => self.isolation.name().to_owned(),
            "default_transaction_read_only" => on_off(self.read_only),
            "statement_timeout" => in_units(self.statement_timeout_ms, TIME_UNITS),
            "lock_timeout" => in_units(self.lock_timeout_ms, TIME_UNITS),
            "work_mem" => in_units(self.work_memory_bytes as u64 >> 10, MEMORY_UNITS),
            "timezone" => self.format.zone.name(),
            "datestyle" => {
                let style = match self.format.date_style {
                    DateStyle::Iso => "ISO",
                    DateStyle::Postgres => "Postgres",
                    DateStyle::Sql => "SQL",
                    DateStyle::German => "German",
                };
                let order = match self.format.date_order {
                    DateOrder::Mdy => "MDY",
                    DateOrder::Dmy => "DMY",
                    DateOrder::Ymd => "YMD",
                };
                format!("{style}, {order}")
            }
            "intervalstyle" => INTERVAL_STYLES
                .iter()
                .find(|(_, style)| *style == self.format.interval_style)
                .map_or_else(String::new, |(name, _)| (*name).to_owned()),
            "extra_float_digits" => self.format.extra_float_digits.to_string(),
            "bytea_output" => (if self.format.escapes_bytea { "escape" } else { "hex" }).to_owned(),
            "application_name" => self.application_name.clone(),
            "search_path" => self.search_path.clone(),
            _ if METHODS.contains(&folded.as_str()) => {
                on_off(method(&mut { self.methods }, &folded).is_some_and(|is_on| *is_on))
            }
            _ => match FIXED.iter().find(|(fixed, _)| *fixed == folded) {
                Some((_, value)) => (*value).to_owned(),
                None => match HINTS.iter().find(|hint| hint.0 == folded) {
                    Some((hint, default)) => {
                        self.hints.get(hint).map_or((*default).to_owned(), String::clone)
                    }
                    None => return Err(unknown(name)),
                },
            },
        })
    }

    /// The names SHOW ALL lists.
    pub fn names() -> Vec<&'static str> {
        all_settings::about().iter().map(|it| it.name).collect()
    }
}

/// A list of identifiers with commas between; `None` when it is none.
fn identifiers(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let name = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut name = String::new();
                let mut parts = quoted;
                loop {
                    let (before, after) = parts.split_once('"')?;
                    name.push_str(before);
                    parts = after;
                    match parts.strip_prefix('"') {
                        Some(more) => {
                            name.push('"');
                            parts = more;
                        }
                        None => break,
                    }
                }
                rest = parts.trim_start();
                name
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let name = rest[..end].trim_end().to_ascii_lowercase();
                rest = &rest[end..];
                if name.is_empty() || name.contains(['"', ' ']) {
                    return None;
                }
                name
            }
        };
        names.push(name);
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => return rest.is_empty().then_some(names),
        }
    }
}

/// An identifier as it must be written.
pub(crate) fn quoted_identifier(name: &str) -> String {
    let is_plain = name.bytes().next().is_some_and(|it| it.is_ascii_lowercase() || it == b'_')
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
        && !orrery_sql::parse::is_keyword(name);
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Milliseconds and up, each with how many make one of the next.
const TIME_UNITS: &[(&str, u64)] = &[("ms", 1000), ("s", 60), ("min", 60), ("h", 24), ("d", u64::MAX)];
/// Kibibytes and up.
pub(crate) const MEMORY_UNITS: &[(&str, u64)] = &[("kB", 1024), ("MB", 1024), ("GB", 1024), ("TB", u64::MAX)];

/// A quantity in the largest unit that divides it, as PostgreSQL shows it; zero without one.
pub(crate) fn in_units(mut quantity: u64, units: &[(&str, u64)]) -> String {
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
        plain(value) == plain(fixed)
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

pub(crate) fn unknown(name: &str) -> Error {
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

pub(crate) fn bytes(name: &str, value: &str) -> Result<usize> {
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

const INTERVAL_STYLES: [(&str, IntervalStyle); 4] = [
    ("postgres", IntervalStyle::Postgres),
    ("postgres_verbose", IntervalStyle::PostgresVerbose),
    ("sql_standard", IntervalStyle::SqlStandard),
    ("iso_8601", IntervalStyle::Iso8601),
];

fn interval_style(name: &str, value: &str) -> Result<IntervalStyle> {
    let found = INTERVAL_STYLES.iter().find(|(style, _)| style.eq_ignore_ascii_case(value));
    found.map(|(_, style)| *style).ok_or_else(|| invalid(name, value))
}

/// Styles and orders by name, each at most once; what is not named stays. `None` is the default. Errors: 22023.
fn date_style(format: &mut FormatSettings, value: Option<&str>) -> Result<()> {
    let (mut style, mut order) = (None, None);
    fn put<T: PartialEq>(place: &mut Option<T>, value: T) -> bool {
        place.as_ref().is_none_or(|known| *known == value) && {
            *place = Some(value);
            true
        }
    }
    let given = value.unwrap_or("ISO, MDY");
    for word in given.split([',', ' ']).filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        let is_fine = match lower.as_str() {
            "iso" => put(&mut style, DateStyle::Iso),
            "sql" => put(&mut style, DateStyle::Sql),
            _ if lower.starts_with("postgres") => put(&mut style, DateStyle::Postgres),
            // The Germans write the day first, if nothing else is said.
            "german" => put(&mut style, DateStyle::German),
            "ymd" => put(&mut order, DateOrder::Ymd),
            "dmy" => put(&mut order, DateOrder::Dmy),
            _ if lower.starts_with("euro") => put(&mut order, DateOrder::Dmy),
            "mdy" | "us" => put(&mut order, DateOrder::Mdy),
            _ if lower.starts_with("noneuro") => put(&mut order, DateOrder::Mdy),
            "default" => {
                style.get_or_insert(DateStyle::Iso);
                order.get_or_insert(DateOrder::Mdy);
                true
            }
            _ => {
                return Err(
                    invalid("DateStyle", given).with_detail(format!("Unrecognized key word: \"{lower}\"."))
                );
            }
        };
        if !is_fine {
            return Err(invalid("DateStyle", given).with_detail("Conflicting \"datestyle\" specifications."));
        }
    }
    if style == Some(DateStyle::German) && order.is_none() {
        order = Some(DateOrder::Dmy);
    }
    format.date_style = style.unwrap_or(format.date_style);
    format.date_order = order.unwrap_or(format.date_order);
    Ok(())
}

fn float_digits(name: &str, value: &str) -> Result<i8> {
    let digits: i8 = value.trim().parse().map_err(|_| invalid(name, value))?;
    if (-15..=3).contains(&digits) {
        return Ok(digits);
    }
    let message = format!("{digits} is outside the valid range for parameter \"{name}\" (-15 .. 3)");
    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
}

fn bytea_escapes(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "hex" => Ok(false),
        "escape" => Ok(true),
        _ => Err(invalid(name, value)),
    }
}

/// A zone by name, or hours east (`+02`, `-05:30`, `10.5`).
fn time_zone(name: &str, value: &str) -> Result<Zone> {
    let trimmed = value.trim();
    if trimmed.eq_ignore_ascii_case("local") || trimmed.eq_ignore_ascii_case("default") {
        return Ok(Zone::default());
    }
    if let Some(zone) = Zone::named(trimmed) {
        return Ok(zone);
    }
    let (sign, rest) = match trimmed.as_bytes().first() {
        Some(b'+') => (1, &trimmed[1..]),
        Some(b'-') => (-1, &trimmed[1..]),
        Some(b'0'..=b'9') => (1, trimmed),
        _ if cfg!(not(feature = "zones")) || trimmed.contains(|c: char| c.is_ascii_digit()) => {
            return Err(Error::unsupported(format!("time zone \"{value}\""))
                .with_hint("Use UTC or an offset such as +02 or -05:30."));
        }
        _ => return Err(invalid(name, value)),
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let hours: f64 = hours.parse().map_err(|_| invalid(name, value))?;
    let minutes: i32 = minutes.parse().map_err(|_| invalid(name, value))?;
    if !(0.0..168.0).contains(&hours) || !(0..=59).contains(&minutes) {
        return Err(invalid(name, value));
    }
    Ok(Zone::Fixed(sign * ((hours * 3600.0) as i32 + minutes * 60)))
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
        assert_eq!(settings.show("timezone").unwrap(), "<-05:30>+05:30");
        assert_eq!(settings.show("statement_timeout").unwrap(), "2s");
        assert_eq!(settings.show("work_mem").unwrap(), "16MB");
        assert_eq!(settings.set("nonsense", None).unwrap_err().code(), SqlState::UNDEFINED_OBJECT);
        assert_eq!(
            settings.set("work_mem", Some("4 cats")).unwrap_err().code(),
            SqlState::INVALID_PARAMETER_VALUE
        );
        settings.set("work_mem", None).unwrap();
        assert_eq!(settings.work_memory_bytes, Settings::default().work_memory_bytes);
        assert!(Settings::names().is_sorted());
        for name in Settings::names().into_iter().filter(|name| ![POOL, MEMTABLES].contains(name)) {
            settings.show(name).unwrap();
        }
    }
}
