//! `to_char` of numbers: PostgreSQL's templates of `9`, `0`, `.`, `,`, signs and the like, in its locale C.

use super::arrays::text_of;
use super::{ResultType, Scalar, TypedCall, Value, Volatility, untyped};
use crate::datum::Datum;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use orrery_row::numeric::Numeric;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Comma,
    Point,
    Zero,
    Digit,
    Currency,
    Minus,
    Plus,
    Sign,
    Roman,
    SmallRoman,
    Ordinal,
    SmallOrdinal,
    /// What only sets a flag: B, FM, PR, S, V, EEEE.
    Flag,
}

#[derive(Debug)]
pub(super) enum Node {
    Key(Key),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignPlace {
    Before,
    After,
}

#[derive(Debug, Default)]
pub(super) struct Template {
    pub(super) nodes: Vec<Node>,
    /// Digits before and behind the point, and of V.
    before: usize,
    pub(super) behind: usize,
    pub(super) shifted: usize,
    /// Where the zeros begin, counted from 1; 0 for none, and where they end.
    zero_start: usize,
    zero_end: usize,
    pub(super) sign: Option<SignPlace>,
    sign_after: usize,
    has_zero: bool,
    pub(super) has_point: bool,
    pub(super) fills: bool,
    pub(super) brackets: bool,
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) roman: bool,
    pub(super) shifts: bool,
    pub(super) exponent: bool,
}

fn syntax(message: &str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message)
}

const KEYS: &[(&str, Key)] = &[
    ("EEEE", Key::Flag),
    ("FM", Key::Flag),
    ("MI", Key::Minus),
    ("PL", Key::Plus),
    ("PR", Key::Flag),
    ("RN", Key::Roman),
    ("SG", Key::Sign),
    ("TH", Key::Ordinal),
    (",", Key::Comma),
    (".", Key::Point),
    ("0", Key::Zero),
    ("9", Key::Digit),
    ("B", Key::Flag),
    ("D", Key::Point),
    ("G", Key::Comma),
    ("L", Key::Currency),
    ("S", Key::Flag),
    ("V", Key::Flag),
];

impl Template {
    pub(super) fn parse(text: &str) -> Result<Template> {
        let mut template = Template::default();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(quoted) = rest.strip_prefix('"') {
                let (literal, after) = quoted_text(quoted);
                template.nodes.push(Node::Text(literal));
                rest = after;
                continue;
            }
            if let Some(after) = rest.strip_prefix("\\\"") {
                template.nodes.push(Node::Text("\"".to_owned()));
                rest = after;
                continue;
            }
            let found = KEYS.iter().find(|(name, _)| {
                let lower = name.to_ascii_lowercase();
                rest.starts_with(name) || rest.starts_with(&lower)
            });
            let Some((name, key)) = found else {
                template.nodes.push(Node::Text(c.to_string()));
                rest = &rest[c.len_utf8()..];
                continue;
            };
            let is_small = rest.starts_with(|c: char| c.is_ascii_lowercase());
            rest = &rest[name.len()..];
            let key = match key {
                Key::Roman if is_small => Key::SmallRoman,
                Key::Ordinal if is_small => Key::SmallOrdinal,
                key => *key,
            };
            template.take(name, key)?;
        }
        Ok(template)
    }

    fn take(&mut self, name: &str, key: Key) -> Result<()> {
        if self.exponent && !matches!(key, Key::Digit) && name != "EEEE" {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        match (key, name) {
            (Key::Digit, _) => {
                if self.brackets {
                    return Err(syntax("\"9\" must be ahead of \"PR\""));
                }
                *self.count() += 1;
            }
            (Key::Zero, _) => {
                if self.brackets {
                    return Err(syntax("\"0\" must be ahead of \"PR\""));
                }
                if !self.has_zero && !self.has_point {
                    self.has_zero = true;
                    self.zero_start = self.before + 1;
                }
                if self.has_point {
                    self.behind += 1;
                } else {
                    self.before += 1;
                }
                self.zero_end = self.before + self.behind;
            }
            (Key::Point, _) => {
                if self.has_point {
                    return Err(syntax("multiple decimal points"));
                }
                if self.shifts {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.has_point = true;
            }
            (_, "FM") => self.fills = true,
            (_, "S") => {
                if self.sign.is_some() {
                    return Err(syntax("cannot use \"S\" twice"));
                }
                if self.plus || self.minus || self.brackets {
                    return Err(syntax("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
                }
                let place = if self.has_point { SignPlace::After } else { SignPlace::Before };
                self.sign = Some(place);
                self.sign_after = self.before;
            }
            (Key::Minus | Key::Plus | Key::Sign, _) => {
                if self.sign.is_some() {
                    return Err(syntax("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
                }
                self.minus |= key != Key::Plus;
                self.plus |= key != Key::Minus;
            }
            (_, "PR") => {
                if self.sign.is_some() || self.plus || self.minus {
                    return Err(syntax("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together"));
                }
                self.brackets = true;
            }
            (Key::Roman | Key::SmallRoman, _) => self.roman = true,
            (_, "V") => {
                if self.has_point {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.shifts = true;
            }
            (_, "EEEE") => {
                if self.exponent {
                    return Err(syntax("cannot use \"EEEE\" twice"));
                }
                let others = self.sign.is_some() || self.brackets || self.minus || self.plus || self.roman;
                if others || self.fills || self.shifts {
                    return Err(syntax("\"EEEE\" is incompatible with other formats").with_detail(
                        "\"EEEE\" may only be used together with digit and decimal point patterns.",
                    ));
                }
                self.exponent = true;
            }
            _ => {}
        }
        self.nodes.push(Node::Key(key));
        Ok(())
    }

    fn count(&mut self) -> &mut usize {
        if self.shifts {
            &mut self.shifted
        } else if self.has_point {
            &mut self.behind
        } else {
            &mut self.before
        }
    }
}

/// A text in quotes, and what is behind it; a backslash takes the next character as it is.
pub(super) fn quoted_text(text: &str) -> (String, &str) {
    let mut literal = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (literal, &text[at + 1..]),
            '\\' => literal.extend(chars.next().map(|it| it.1)),
            c => literal.push(c),
        }
    }
    (literal, "")
}

/// The ordinal ending of a number's text.
pub(super) fn ordinal(number: &str) -> &'static str {
    let digits = number.as_bytes();
    let last = digits.last().copied().unwrap_or(b'0');
    if digits.len() > 1 && digits[digits.len() - 2] == b'1' {
        return "th";
    }
    match last {
        b'1' => "st",
        b'2' => "nd",
        b'3' => "rd",
        _ => "th",
    }
}

fn roman(value: &Numeric) -> String {
    let Ok(mut number) = value.round(0).to_i64() else { return "#".repeat(15) };
    if !(1..=3999).contains(&number) {
        return "#".repeat(15);
    }
    let mut out = String::new();
    let steps = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    for (step, digits) in steps {
        while number >= step {
            out.push_str(digits);
            number -= step;
        }
    }
    out
}

/// The state of writing a number by a template.
struct Writer<'a> {
    template: &'a Template,
    number: Vec<u8>,
    negative: bool,
    /// Digits of the template that the number does not fill.
    spaces: usize,
    sign_place: Option<SignPlace>,
    brackets: bool,
    /// With FM: where the digits end that count.
    last: Option<usize>,
    zero_start: Option<usize>,
    sign_written: bool,
    inside: bool,
    at: usize,
    current: usize,
    count: usize,
    out: String,
}

impl Writer<'_> {
    fn last_is_point(&self) -> bool {
        self.last.is_some_and(|last| self.number.get(last) == Some(&b'.'))
    }

    /// In front of the point stands a zero that is not written.
    fn is_blank_zero(&self) -> bool {
        !self.template.has_zero
            && self.at == 0
            && self.number.first() == Some(&b'0')
            && self.template.behind != 0
    }

    fn zeros_begin_by(&self, place: usize) -> bool {
        self.zero_start.is_some_and(|start| start <= place)
    }

    fn write_sign(&mut self) {
        let begins = self.current >= self.spaces || self.zero_start == Some(self.current);
        if self.sign_written || !begins || self.is_blank_zero() && !self.last_is_point() {
            return;
        }
        match self.sign_place {
            Some(SignPlace::Before) => self.out.push(if self.negative { '-' } else { '+' }),
            Some(SignPlace::After) => return,
            None if self.brackets => self.out.push(if self.negative { '<' } else { ' ' }),
            None if self.negative => self.out.push('-'),
            None if !self.template.fills => self.out.push(' '),
            None => {}
        }
        self.sign_written = true;
    }

    /// A digit or the point.
    fn digit(&mut self, key: Key) {
        self.inside = false;
        self.write_sign();
        if self.current < self.spaces && !self.zeros_begin_by(self.current) {
            if !self.template.fills {
                self.out.push(' ');
            }
        } else if self.current < self.spaces {
            self.out.push('0');
            self.inside = true;
        } else {
            match self.number.get(self.at) {
                Some(b'.') if !self.last_is_point() || self.template.fills => self.out.push('.'),
                // A point that ends the number is not shown.
                Some(b'.') => {}
                _ if self.last.is_some_and(|last| self.at > last) && key != Key::Zero => {}
                Some(_) if self.is_blank_zero() => {
                    if !self.template.fills {
                        self.out.push(' ');
                    } else if self.last_is_point() {
                        self.out.push('0');
                    }
                }
                Some(&digit) => {
                    self.out.push(char::from(digit));
                    self.inside = true;
                }
                None => {}
            }
            self.at = (self.at + 1).min(self.number.len());
        }
        let mut end = self.count + usize::from(self.spaces > 0) + usize::from(self.template.has_point);
        if self.last == Some(self.at) {
            end = self.current;
        }
        if self.current + 1 == end {
            if self.sign_written && self.brackets {
                self.out.push(if self.negative { '>' } else { ' ' });
            } else if self.sign_place == Some(SignPlace::After) {
                self.out.push(if self.negative { '-' } else { '+' });
            }
        }
        self.current += 1;
    }

    fn key(&mut self, key: Key) {
        let fills = self.template.fills;
        match key {
            Key::Digit | Key::Zero | Key::Point => self.digit(key),
            Key::Comma if self.inside => self.out.push(','),
            Key::Comma | Key::Currency if !fills || key == Key::Currency => self.out.push(' '),
            Key::Ordinal | Key::SmallOrdinal
                if !self.negative && !self.template.has_point && self.number.first() != Some(&b'#') =>
            {
                let text = String::from_utf8_lossy(&self.number).into_owned();
                let ending = ordinal(&text);
                match key {
                    Key::Ordinal => self.out.push_str(&ending.to_uppercase()),
                    _ => self.out.push_str(ending),
                }
            }
            Key::Minus if self.negative => self.out.push('-'),
            Key::Plus if !self.negative => self.out.push('+'),
            Key::Minus | Key::Plus if !fills => self.out.push(' '),
            Key::Sign => self.out.push(if self.negative { '-' } else { '+' }),
            _ => {}
        }
    }
}

fn to_char(value: &Numeric, text: &str, float: Option<f64>) -> Result<String> {
    let mut template = Template::parse(text)?;
    if template.roman {
        let roman = roman(value);
        let mut out = String::new();
        for node in &template.nodes {
            match node {
                Node::Key(key @ (Key::Roman | Key::SmallRoman)) => {
                    let roman = if *key == Key::Roman { roman.clone() } else { roman.to_lowercase() };
                    out.push_str(&if template.fills { roman } else { format!("{roman:>15}") });
                }
                Node::Text(text) => out.push_str(text),
                Node::Key(_) => {}
            }
        }
        return Ok(out);
    }
    if template.exponent {
        return Ok(exponent(value, &template));
    }
    let mut scaled = value.clone();
    if template.shifts {
        scaled = value.mul(&format!("1e{}", template.shifted).parse()?)?;
        template.before += template.shifted;
    }
    if let Some(float) = float {
        // A double has no more digits than these.
        let digits = match float {
            float if float.is_nan() => "NaN".len(),
            float if float.is_infinite() => "Infinity".len(),
            float => format!("{:.0}", float.abs()).len(),
        };
        template.behind = if digits >= 15 { 0 } else { template.behind.min(15 - digits) };
    }
    let rounded = scaled.round(template.behind as i32);
    let shown = rounded.to_string();
    let (negative, mut digits) = match shown.strip_prefix('-') {
        Some(digits) => (true, digits.to_owned()),
        None => (false, shown.clone()),
    };
    if !rounded.is_finite() && template.before < digits.len()
        || rounded.is_nan() && digits.len() > template.before
    {
        digits = "#".repeat(template.before) + "." + &"#".repeat(template.behind);
    }
    let whole = digits.find('.').unwrap_or(digits.len());
    if whole > template.before {
        digits = "#".repeat(template.before) + "." + &"#".repeat(template.behind);
    }
    let spaces = template.before.saturating_sub(whole);
    Ok(write(&template, digits.into_bytes(), negative, spaces))
}

fn write(template: &Template, number: Vec<u8>, negative: bool, spaces: usize) -> String {
    let mut sign_place = template.sign;
    let mut brackets = template.brackets;
    let sign_written = if template.plus || template.minus {
        !template.plus || template.minus
    } else {
        if !negative && brackets && template.fills {
            brackets = false;
        }
        if sign_place == Some(SignPlace::Before) && template.before == template.sign_after {
            sign_place = Some(SignPlace::After);
        }
        !negative && template.fills && template.sign.is_none()
    };
    let mut count = (template.behind + template.before).saturating_sub(1);
    if !sign_written && spaces == 0 {
        count += 1;
    }
    let mut last = None;
    if template.fills && template.has_point {
        // Digits behind the point up to the last that is no zero; the point itself where there is none.
        last = number.iter().position(|byte| *byte == b'.').map(|point| {
            let digits = number[point..].iter().rposition(|byte| !matches!(byte, b'0' | b'.'));
            point + digits.unwrap_or(0)
        });
        if let Some(end) = last
            && template.zero_end > spaces
        {
            let zero = (number.len() - 1).min(template.zero_end - spaces);
            last = Some(end.max(zero));
        }
    }
    let zero_start = template.has_zero.then(|| template.zero_start.saturating_sub(1));
    let mut writer = Writer {
        template,
        number,
        negative,
        spaces,
        sign_place,
        brackets,
        last,
        zero_start,
        sign_written,
        inside: false,
        at: 0,
        current: 0,
        count,
        out: String::new(),
    };
    for node in &template.nodes {
        match node {
            Node::Key(key) => writer.key(*key),
            Node::Text(text) => writer.out.push_str(text),
        }
    }
    writer.out
}

fn exponent(value: &Numeric, template: &Template) -> String {
    if !value.is_finite() {
        return format!(" {}.{}", "#".repeat(template.before), "#".repeat(template.behind + 4));
    }
    let (digits, mut power) = value.key_digits();
    if value.is_zero() {
        power = 1;
    }
    let wanted = template.behind + 1;
    let mut kept: Vec<u8> = digits.bytes().chain(std::iter::repeat(b'0')).take(wanted).collect();
    if digits.as_bytes().get(wanted).is_some_and(|digit| *digit >= b'5') {
        let mut place = kept.len();
        loop {
            if place == 0 {
                kept.insert(0, b'1');
                kept.pop();
                power += 1;
                break;
            }
            place -= 1;
            if kept[place] < b'9' {
                kept[place] += 1;
                break;
            }
            kept[place] = b'0';
        }
    }
    let shown: String = kept.iter().map(|byte| char::from(*byte)).collect();
    let sign = if value.signum() == Some(-1) { '-' } else { ' ' };
    let point = if template.behind > 0 { "." } else { "" };
    let power: i32 = power - 1;
    format!(
        "{sign}{}{point}{}e{}{:02}",
        &shown[..1],
        &shown[1..],
        if power < 0 { '-' } else { '+' },
        power.abs()
    )
}

fn chars(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| {
        let (value, float) = match &values[0] {
            Datum::Int4(value) => (Numeric::from_i64((*value).into()), None),
            Datum::Int8(value) => (Numeric::from_i64(*value), None),
            Datum::Float4(value) => (Numeric::from_f32(*value), None),
            Datum::Float8(value) => (Numeric::from_f64(*value), Some(*value)),
            Datum::Numeric(value) => (value.clone(), None),
            _ => return Err(Error::internal("to_char of a number was planned for another type")),
        };
        to_char(&value, text_of(&values[1])?, float).map(|out| Datum::Text(out.into()))
    })
}

const fn entry(args: &'static [SqlType]) -> Scalar {
    Scalar {
        name: "to_char",
        args,
        variadic: false,
        result: ResultType::Fixed(SqlType::Text),
        strict: true,
        volatility: Volatility::Stable,
        eval: untyped,
        typed: Some(chars),
    }
}

pub(super) static ENTRIES: &[Scalar] = &[
    entry(&[SqlType::Int4, SqlType::Text]),
    entry(&[SqlType::Int8, SqlType::Text]),
    entry(&[SqlType::Float4, SqlType::Text]),
    entry(&[SqlType::Float8, SqlType::Text]),
    entry(&[SqlType::Numeric, SqlType::Text]),
];
