//! `to_number`: a number read by a template of `to_char`, character by character as PostgreSQL does it: the template says
//! what may stand where, and what does not fit is skipped more often than refused.

use super::arrays::text_of;
use super::number_pattern::{Key, Node, SignPlace, Template};
use super::{ResultType, Scalar, TypedCall, Value, Volatility, untyped};
use crate::datum::Datum;
use crate::text;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use orrery_row::numeric::Numeric;

struct Reader<'a> {
    template: &'a Template,
    input: Vec<char>,
    at: usize,
    sign: Option<char>,
    number: String,
    digits_before: usize,
    digits_behind: usize,
    has_point: bool,
}

impl Reader<'_> {
    fn here(&self) -> Option<char> {
        self.input.get(self.at).copied()
    }

    fn next_is_no_digit(&self) -> bool {
        self.input.get(self.at + 1).is_some_and(|c| !c.is_ascii_digit())
    }

    fn read_any(&self) -> bool {
        self.digits_before + self.digits_behind > 0
    }

    /// Skips up to `count` characters that belong to no number.
    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            match self.here() {
                Some(c) if !"0123456789.,+-".contains(c) => self.at += 1,
                _ => return,
            }
        }
    }

    /// A digit's or a point's place in the template. The caller goes on by one character.
    fn place(&mut self, is_digit: bool) {
        if self.here() == Some(' ') {
            self.at += 1;
        }
        let Some(c) = self.here() else { return };
        if self.sign.is_none() && is_digit && !self.read_any() {
            let bracket = self.template.brackets && c == '<';
            let before = self.template.sign == Some(SignPlace::Before);
            if c == '-' || bracket && !before {
                self.sign = Some('-');
                self.at += 1;
            } else if c == '+' {
                self.sign = Some('+');
                self.at += 1;
            }
        }
        let Some(c) = self.here() else { return };
        let mut is_read = false;
        if c.is_ascii_digit() {
            if self.has_point && self.digits_behind == self.template.behind {
                return;
            }
            self.number.push(c);
            if self.has_point {
                self.digits_behind += 1;
            } else {
                self.digits_before += 1;
            }
            is_read = true;
        } else if self.template.has_point && !self.has_point && c == '.' {
            self.number.push('.');
            self.has_point = true;
            is_read = true;
        }
        self.sign_behind(is_read);
    }

    /// A sign behind the last digit.
    fn sign_behind(&mut self, is_read: bool) {
        if self.sign.is_some() || !self.read_any() {
            return;
        }
        if self.template.sign.is_some() {
            if is_read && self.next_is_no_digit() {
                let next = self.input[self.at + 1];
                if matches!(next, '-' | '+') {
                    self.at += 1;
                    self.sign = Some(next);
                }
            }
        } else if !is_read && (self.template.plus || self.template.minus) {
            self.sign = self.here().filter(|c| matches!(c, '-' | '+'));
        }
    }

    fn key(&mut self, key: Key) {
        match key {
            Key::Digit | Key::Zero => self.place(true),
            Key::Point => self.place(false),
            Key::Comma if self.template.fills || self.here() != Some(',') => return,
            Key::Comma => {}
            Key::Currency => return self.skip(1),
            Key::Ordinal | Key::SmallOrdinal => return self.skip(2),
            Key::Minus | Key::Plus | Key::Sign => {
                let takes = |c: &char| match key {
                    Key::Minus => *c == '-',
                    Key::Plus => *c == '+',
                    _ => matches!(c, '-' | '+'),
                };
                match self.here().filter(takes) {
                    Some(sign) => self.sign = Some(sign),
                    None => return self.skip(1),
                }
            }
            Key::Roman | Key::SmallRoman | Key::Flag => return,
        }
        self.at += 1;
    }
}

fn to_number(input: &str, pattern: &str) -> Result<Datum> {
    if pattern.is_empty() {
        return Ok(Datum::Null);
    }
    let template = Template::parse(pattern)?;
    if template.exponent {
        return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "\"EEEE\" not supported for input"));
    }
    if template.roman {
        return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "\"RN\" not supported for input"));
    }
    let mut reader = Reader {
        template: &template,
        input: input.chars().collect(),
        at: 0,
        sign: None,
        number: String::new(),
        digits_before: 0,
        digits_behind: 0,
        has_point: false,
    };
    for node in &template.nodes {
        if reader.here().is_none() {
            break;
        }
        match node {
            Node::Key(key) => reader.key(*key),
            Node::Text(text) => reader.at += text.chars().count(),
        }
    }
    let digits = reader.number.strip_suffix('.').unwrap_or(&reader.number);
    let number = text::parse_numeric(&format!("{}{digits}", reader.sign.unwrap_or(' ')))?;
    if !template.shifts {
        return Ok(Datum::Numeric(number));
    }
    let shift = Numeric::from_i64(10).power(&Numeric::from_i64(-(template.shifted as i64)))?;
    Ok(Datum::Numeric(number.mul(&shift)?))
}

fn numbers(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| to_number(text_of(&values[0])?, text_of(&values[1])?))
}

pub(super) static ENTRIES: &[Scalar] = &[Scalar {
    name: "to_number",
    args: &[SqlType::Text, SqlType::Text],
    variadic: false,
    result: ResultType::Fixed(SqlType::Numeric),
    strict: true,
    volatility: Volatility::Stable,
    eval: untyped,
    typed: Some(numbers),
}];
