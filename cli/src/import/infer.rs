//! Infers column types from text, for `import --create`: the narrowest type that every value of the column has, read
//! over the whole file, so that no later row can contradict it.
//!
//! It errs on the side of text: a value that would not come back as it was written (`007`, `+5`) keeps its column text.

/// A type that import creates columns with, narrow to wide where one contains another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `true`, `false`.
    Boolean,
    /// 32 bits.
    Integer,
    /// 64 bits.
    BigInt,
    /// A number with a fraction or an exponent that a double gives back as it was written.
    Double,
    /// Longer numbers.
    Numeric,
    /// `2013-01-31`.
    Date,
    /// A date and a time of day.
    Timestamp,
    /// A timestamp with a zone.
    TimestampTz,
    /// 8-4-4-4-12 hexadecimal digits.
    Uuid,
    /// Anything.
    Text,
}

impl ColumnType {
    /// Its name in SQL.
    pub fn sql_name(self) -> &'static str {
        match self {
            ColumnType::Boolean => "boolean",
            ColumnType::Integer => "integer",
            ColumnType::BigInt => "bigint",
            ColumnType::Double => "double precision",
            ColumnType::Numeric => "numeric",
            ColumnType::Date => "date",
            ColumnType::Timestamp => "timestamp",
            ColumnType::TimestampTz => "timestamptz",
            ColumnType::Uuid => "uuid",
            ColumnType::Text => "text",
        }
    }

    /// The narrowest type of one value.
    pub fn of(value: &str) -> Self {
        match value {
            "true" | "false" | "TRUE" | "FALSE" | "True" | "False" => ColumnType::Boolean,
            _ if is_integer(value) => integer_type(value),
            _ if is_decimal(value) => decimal_type(value),
            _ if is_uuid(value) => ColumnType::Uuid,
            _ => time_type(value).unwrap_or(ColumnType::Text),
        }
    }

    /// The narrowest type that holds values of both.
    pub fn join(self, other: Self) -> Self {
        use ColumnType::{BigInt, Date, Double, Integer, Numeric, Text, Timestamp};
        match (self, other) {
            (a, b) if a == b => a,
            (Integer, BigInt) | (BigInt, Integer) => BigInt,
            (Integer, Double) | (Double, Integer) => Double,
            // A double would round a long integer.
            (Integer | BigInt | Double | Numeric, Integer | BigInt | Double | Numeric) => Numeric,
            (Date, Timestamp) | (Timestamp, Date) => Timestamp,
            _ => Text,
        }
    }
}

/// The types of a table's columns as rows pass by.
#[derive(Clone, Debug)]
pub struct Inference {
    types: Vec<Option<ColumnType>>,
}

impl Inference {
    /// For so many columns.
    pub fn new(column_count: usize) -> Self {
        Inference { types: vec![None; column_count] }
    }

    /// Takes one row; NULL says nothing.
    pub fn observe<'v>(&mut self, row: impl IntoIterator<Item = Option<&'v str>>) {
        for (known, value) in self.types.iter_mut().zip(row) {
            // Text stays text: most of a file's columns need no second look.
            let (Some(value), false) = (value, *known == Some(ColumnType::Text)) else { continue };
            let seen = ColumnType::of(value);
            *known = Some(known.map_or(seen, |known| known.join(seen)));
        }
    }

    /// The types; a column of nothing but NULL is text.
    pub fn types(&self) -> Vec<ColumnType> {
        self.types.iter().map(|known| known.unwrap_or(ColumnType::Text)).collect()
    }
}

fn digits_only(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An optional minus and digits without superfluous zeros.
fn is_integer(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    digits_only(digits) && (digits == "0" || !digits.starts_with('0')) && value != "-0"
}

fn integer_type(value: &str) -> ColumnType {
    if value.parse::<i32>().is_ok() {
        ColumnType::Integer
    } else if value.parse::<i64>().is_ok() {
        ColumnType::BigInt
    } else {
        ColumnType::Numeric
    }
}

/// An integer with a fraction, an exponent, or both.
fn is_decimal(value: &str) -> bool {
    let (mantissa, exponent) = match value.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (value, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let whole_is_fine = whole == "-0" || is_integer(whole);
    let exponent_digits = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    let is_more = fraction.is_some() || exponent.is_some();
    whole_is_fine && is_more && fraction.is_none_or(digits_only) && exponent_digits.is_none_or(digits_only)
}

fn decimal_type(value: &str) -> ColumnType {
    let Ok(double) = value.parse::<f64>() else { return ColumnType::Numeric };
    // Up to 15 digits always come back; longer ones were written from a double if a double prints them: the shortest
    // text that reads back, or 17 digits.
    let digits = significant_digits(value);
    let comes_back = digits.len() <= 15
        || [format!("{double:e}"), format!("{double:.16e}")]
            .iter()
            .any(|text| significant_digits(text) == digits);
    if double.is_finite() && comes_back { ColumnType::Double } else { ColumnType::Numeric }
}

/// The digits of the mantissa without leading and trailing zeros.
fn significant_digits(value: &str) -> String {
    let mantissa = value.split(['e', 'E']).next().unwrap_or(value);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_string()
}

fn is_uuid(value: &str) -> bool {
    let groups: Vec<&str> = value.split('-').collect();
    let is_hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(is_hex)
}

/// `YYYY-MM-DD`, then perhaps a blank or `T` and `HH:MM[:SS[.ffffff]]`, then perhaps `Z` or `±HH[:MM]`.
fn time_type(value: &str) -> Option<ColumnType> {
    if !is_date(value.get(..10)?) {
        return None;
    }
    let rest = &value[10..];
    if rest.is_empty() {
        return Some(ColumnType::Date);
    }
    let rest = rest.strip_prefix(['T', ' '])?;
    let time_length = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(time_length);
    match (is_time(time), zone) {
        (true, "") => Some(ColumnType::Timestamp),
        (true, zone) if is_zone(zone) => Some(ColumnType::TimestampTz),
        _ => None,
    }
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    let is_shaped = year.len() == 4 && parts.iter().all(|part| digits_only(part));
    let number = |part: &str| part.parse::<u32>().unwrap_or(0);
    is_shaped && number(year) > 0 && (1..=days_in_month(number(year), number(month))).contains(&number(day))
}

fn days_in_month(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap),
        1..=12 => 31,
        _ => 0,
    }
}

fn is_time(text: &str) -> bool {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let limits = [24, 60, 60];
    let in_range = |(part, limit): (&&str, u32)| {
        part.len() == 2 && digits_only(part) && part.parse::<u32>().is_ok_and(|value| value < limit)
    };
    (2..=3).contains(&parts.len())
        && parts.iter().zip(limits).all(in_range)
        && fraction.is_none_or(|fraction| parts.len() == 3 && digits_only(fraction) && fraction.len() <= 6)
}

fn is_zone(text: &str) -> bool {
    let Some(offset) = text.strip_prefix(['+', '-']) else { return text == "Z" };
    let (hours, minutes) = offset.split_once(':').unwrap_or((offset, "00"));
    let is_below = |part: &str, limit: u32| {
        part.len() == 2 && digits_only(part) && part.parse().is_ok_and(|v: u32| v < limit)
    };
    is_below(hours, 16) && is_below(minutes, 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value() {
        use ColumnType::{
            BigInt, Boolean, Date, Double, Integer, Numeric, Text, Timestamp, TimestampTz, Uuid,
        };
        for (value, expected) in [
            ("true", Boolean),
            ("t", Text),
            ("0", Integer),
            ("-2147483648", Integer),
            ("2147483648", BigInt),
            ("9223372036854775808", Numeric),
            ("007", Text),
            ("+5", Text),
            ("-0", Text),
            ("-0.5", Double),
            ("41.1304722", Double),
            ("1e5", Double),
            ("1e999", Numeric),
            ("0.1234567890123456", Double),
            ("0.12345678901234567891", Numeric),
            ("48.053808600000004", Double),
            ("48.053808600000005", Numeric),
            (".5", Text),
            ("5.", Text),
            ("1.2.3", Text),
            ("NaN", Text),
            ("", Text),
            ("2013-01-31", Date),
            ("2013-02-29", Text),
            ("2012-02-29", Date),
            ("2013-01-01T10:00:00Z", TimestampTz),
            ("2013-01-01 10:00:00.123456", Timestamp),
            ("2013-01-01 10:00", Timestamp),
            ("2013-01-01 24:00", Text),
            ("2013-01-01 10:00:00+05:30", TimestampTz),
            ("2013-01-01 10:00:00.1234567", Text),
            ("123e4567-e89b-12d3-a456-426614174000", Uuid),
            ("é123456789", Text),
            ("2013-01-é1", Text),
        ] {
            assert_eq!(ColumnType::of(value), expected, "{value}");
        }
    }

    #[test]
    fn whole_columns() {
        for (values, expected) in [
            (&[Some("1"), None, Some("3000000000")][..], ColumnType::BigInt),
            (&[Some("1"), Some("2.5")], ColumnType::Double),
            (&[Some("3000000000"), Some("2.5")], ColumnType::Numeric),
            (&[Some("2013-01-01"), Some("2013-01-01 10:00")], ColumnType::Timestamp),
            (&[Some("2013-01-01"), Some("1")], ColumnType::Text),
            (&[Some("x"), Some("1")], ColumnType::Text),
            (&[None, None], ColumnType::Text),
        ] {
            let mut inference = Inference::new(1);
            for value in values {
                inference.observe([*value]);
            }
            assert_eq!(inference.types(), [expected], "{values:?}");
        }
    }

    #[test]
    fn joining_does_not_depend_on_the_order() {
        use ColumnType::*;
        let all = [Boolean, Integer, BigInt, Double, Numeric, Date, Timestamp, TimestampTz, Uuid, Text];
        for a in all {
            for b in all {
                assert_eq!(a.join(b), b.join(a), "{a:?} {b:?}");
                for c in all {
                    let (left, right) = (a.join(b).join(c), a.join(b.join(c)));
                    assert_eq!(left, right, "{a:?} {b:?} {c:?}");
                }
            }
        }
    }
}
