//! Array values: their bytes, their text, their order.
//!
//! The bytes of an array (in rows, Arrow columns and spilled runs alike), all numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | number of dimensions, 0 to 6; an empty array has none |
//! | 1 | the elements' type, [`SqlType::tag`] without a modifier |
//! | 8 for each dimension | its length as u32, its lower bound as i32 |
//! | for each element, the last dimension varying fastest | `00` for NULL, or `01` and its value: of fixed width as in a row, otherwise a length as u32 and bytes |
//!
//! Invariant A1: the product of the lengths is the number of elements, and no length is 0.
//!
//! What it deliberately does not do: elements are not reached without decoding those before them.

use crate::datum::Datum;
use crate::encode;
use crate::exec::rows::{read_datum, write_datum};
use crate::text::{self, FormatSettings};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::cmp::Ordering;

/// The most dimensions an array has.
pub const DIMENSION_COUNT_MAX: usize = 6;

/// One dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// How many elements.
    pub length: u32,
    /// The subscript of the first.
    pub lower: i32,
}

impl Dimension {
    /// The subscript of the last element.
    pub fn upper(&self) -> i32 {
        self.lower.wrapping_add(self.length as i32).wrapping_sub(1)
    }
}

/// An array taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayValue {
    /// The type of its elements, without a modifier.
    pub element: SqlType,
    /// Its dimensions, outermost first.
    pub dimensions: Vec<Dimension>,
    /// Its elements, the last subscript varying fastest.
    pub items: Vec<Datum>,
}

fn damaged() -> Error {
    Error::corrupt("the bytes of an array are damaged")
}

impl ArrayValue {
    /// An array of one dimension that begins at 1; of no elements, the empty array.
    pub fn of(element: SqlType, items: Vec<Datum>) -> ArrayValue {
        let dimensions = match items.len() {
            0 => Vec::new(),
            length => vec![Dimension { length: length as u32, lower: 1 }],
        };
        ArrayValue { element: element.base(), dimensions, items }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.dimensions.len() as u8, self.element.tag()];
        for dimension in &self.dimensions {
            bytes.extend_from_slice(&dimension.length.to_le_bytes());
            bytes.extend_from_slice(&dimension.lower.to_le_bytes());
        }
        self.items.iter().for_each(|item| write_datum(&mut bytes, item));
        bytes
    }

    /// The inverse of [`ArrayValue::encode`]. Errors: XX001.
    pub fn decode(bytes: &[u8]) -> Result<ArrayValue> {
        Self::decoded(bytes).ok_or_else(damaged)
    }

    fn decoded(bytes: &[u8]) -> Option<ArrayValue> {
        let ([count, tag], mut rest) = bytes.split_first_chunk::<2>()?;
        let element = match tag {
            18 => SqlType::Char(None),
            tag => SqlType::of_tag(*tag)?,
        };
        let mut dimensions = Vec::with_capacity(usize::from(*count).min(DIMENSION_COUNT_MAX));
        let mut total = usize::from(*count > 0);
        for _ in 0..*count {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (lower, after) = after.split_first_chunk::<4>()?;
            let dimension =
                Dimension { length: u32::from_le_bytes(*length), lower: i32::from_le_bytes(*lower) };
            total = total.checked_mul(dimension.length as usize).filter(|total| *total <= after.len())?;
            dimensions.push(dimension);
            rest = after;
        }
        let items = (0..total).map(|_| read_datum(&mut rest, element)).collect::<Option<Vec<_>>>()?;
        rest.is_empty().then_some(ArrayValue { element, dimensions, items })
    }

    /// Bytes that order arrays as PostgreSQL does: by their elements, then their number, then the dimensions.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        for item in &self.items {
            // Elements have no modifier, so nothing can fail to fit.
            encode::push_key(&mut key, item, self.element, false).expect("an element of its type");
        }
        key.push(0);
        key.push(self.dimensions.len() as u8);
        self.dimensions.iter().for_each(|it| key.extend_from_slice(&it.length.to_be_bytes()));
        self.dimensions.iter().for_each(|it| key.extend_from_slice(&(it.lower ^ i32::MIN).to_be_bytes()));
        key
    }

    /// PostgreSQL's order.
    pub fn order(&self, other: &ArrayValue) -> Ordering {
        self.key().cmp(&other.key())
    }

    /// See [`Datum::identical`].
    pub fn identical(&self, other: &ArrayValue) -> bool {
        self.element == other.element
            && self.dimensions == other.dimensions
            && self.items.iter().zip(&other.items).all(|(a, b)| a.identical(b))
    }

    /// Its text: `{1,NULL,"a b"}`, with the bounds before it where one does not begin at 1.
    pub fn format_into(&self, into: &mut String, settings: FormatSettings) {
        if self.dimensions.is_empty() {
            into.push_str("{}");
            return;
        }
        if self.dimensions.iter().any(|dimension| dimension.lower != 1) {
            for dimension in &self.dimensions {
                into.push_str(&format!("[{}:{}]", dimension.lower, dimension.upper()));
            }
            into.push('=');
        }
        let mut items = self.items.iter();
        self.format_level(into, 0, &mut items, settings);
    }

    fn format_level(
        &self,
        into: &mut String,
        level: usize,
        items: &mut std::slice::Iter<'_, Datum>,
        settings: FormatSettings,
    ) {
        into.push('{');
        for index in 0..self.dimensions[level].length {
            if index > 0 {
                into.push(',');
            }
            if level + 1 < self.dimensions.len() {
                self.format_level(into, level + 1, items, settings);
                continue;
            }
            match items.next() {
                None | Some(Datum::Null) => into.push_str("NULL"),
                Some(item) => quote_into(into, &text::format(item, self.element, settings)),
            }
        }
        into.push('}');
    }

    /// Reads an array's text. Errors: 22P02, 54000, and what an element's text gives.
    pub fn parse(text: &str, element: SqlType, settings: FormatSettings) -> Result<ArrayValue> {
        let mut reader = Reader { text, rest: text.trim_start(), items: Vec::new(), lengths: Vec::new() };
        let bounds = reader.bounds()?;
        reader.level(0)?;
        if !reader.rest.trim_start().is_empty() {
            return Err(reader.malformed("Junk after closing right brace."));
        }
        let mut items = Vec::with_capacity(reader.items.len());
        for item in &reader.items {
            items.push(match item {
                None => Datum::Null,
                Some(item) => text::parse_with(item, element, settings)?,
            });
        }
        let mut dimensions: Vec<Dimension> =
            reader.lengths.iter().map(|length| Dimension { length: length.unwrap_or(0), lower: 1 }).collect();
        if items.is_empty() {
            dimensions.clear();
        }
        if let Some(bounds) = bounds {
            if bounds.len() != dimensions.len()
                || bounds.iter().zip(&dimensions).any(|(a, b)| a.length != b.length)
            {
                return Err(reader.malformed("Specified array dimensions do not match array contents."));
            }
            dimensions = bounds;
        }
        Ok(ArrayValue { element: element.base(), dimensions, items })
    }
}

/// An element's text, quoted where PostgreSQL quotes it.
pub fn quote_into(into: &mut String, text: &str) {
    let special =
        |c: char| matches!(c, '{' | '}' | '"' | '\\' | ',') || c.is_ascii_whitespace() || c == '\u{b}';
    if !text.is_empty() && !text.contains(special) && !text.eq_ignore_ascii_case("null") {
        into.push_str(text);
        return;
    }
    into.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            into.push('\\');
        }
        into.push(c);
    }
    into.push('"');
}

/// 2202E
pub fn subscript_error(message: &str) -> Error {
    Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
}

/// Too many elements or dimensions. 54000.
pub fn too_large(message: impl Into<String>) -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    items: Vec<Option<String>>,
    /// The length of each level, once known.
    lengths: Vec<Option<u32>>,
}

impl Reader<'_> {
    fn malformed(&self, detail: &str) -> Error {
        let message = format!("malformed array literal: \"{}\"", self.text);
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message).with_detail(detail)
    }

    fn accept(&mut self, c: char) -> bool {
        match self.rest.trim_start().strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `[1:3][0:1]=` before the braces.
    fn bounds(&mut self) -> Result<Option<Vec<Dimension>>> {
        let mut bounds = Vec::new();
        while self.accept('[') {
            if bounds.len() == DIMENSION_COUNT_MAX {
                return Err(too_large("number of array dimensions exceeds the maximum allowed (6)"));
            }
            let missing = "\"[\" must introduce explicitly-specified array dimensions.";
            let end =
                self.rest.find(']').ok_or_else(|| self.malformed("Missing \"]\" after array dimensions."))?;
            let (inner, rest) = (&self.rest[..end], &self.rest[end + 1..]);
            let number = |text: &str| text.trim().parse::<i32>().map_err(|_| self.malformed(missing));
            let (lower, upper) = match inner.split_once(':') {
                Some((lower, upper)) => (number(lower)?, number(upper)?),
                None => (1, number(inner)?),
            };
            if upper < lower {
                let message = "upper bound cannot be less than lower bound";
                return Err(Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message));
            }
            let length = u32::try_from(i64::from(upper) - i64::from(lower) + 1)
                .ok()
                .filter(|length| *length < i32::MAX as u32)
                .ok_or_else(|| too_large("array size exceeds the maximum allowed (134217727)"))?;
            bounds.push(Dimension { length, lower });
            self.rest = rest;
        }
        if bounds.is_empty() {
            return Ok(None);
        }
        if !self.accept('=') {
            return Err(self.malformed("Missing \"=\" after array dimensions."));
        }
        Ok(Some(bounds))
    }

    /// One pair of braces and what is in it.
    fn level(&mut self, level: usize) -> Result<()> {
        if !self.accept('{') {
            return Err(self.malformed("Array value must start with \"{\" or dimension information."));
        }
        if level == DIMENSION_COUNT_MAX {
            return Err(too_large("number of array dimensions (7) exceeds the maximum allowed (6)"));
        }
        if level == self.lengths.len() {
            if !self.items.is_empty() {
                return Err(
                    self.malformed("Multidimensional arrays must have sub-arrays with matching dimensions.")
                );
            }
            self.lengths.push(None);
        }
        let mut length = 0;
        if !self.accept('}') {
            loop {
                if self.rest.trim_start().starts_with('{') {
                    self.level(level + 1)?;
                } else if level + 1 < self.lengths.len() {
                    return Err(self.malformed("Unexpected array element."));
                } else {
                    self.item()?;
                }
                length += 1;
                if self.accept('}') {
                    break;
                }
                if !self.accept(',') {
                    return Err(self.malformed("Unexpected end of input."));
                }
            }
        }
        match self.lengths[level] {
            None => self.lengths[level] = Some(length),
            Some(known) if known == length => {}
            Some(_) => {
                return Err(
                    self.malformed("Multidimensional arrays must have sub-arrays with matching dimensions.")
                );
            }
        }
        Ok(())
    }

    fn item(&mut self) -> Result<()> {
        self.rest = self.rest.trim_start();
        let mut value = String::new();
        let mut chars = self.rest.char_indices();
        if self.rest.starts_with('"') {
            chars.next();
            loop {
                match chars.next() {
                    None => return Err(self.malformed("Unexpected end of input.")),
                    Some((_, '\\')) => match chars.next() {
                        None => return Err(self.malformed("Unexpected end of input.")),
                        Some((_, c)) => value.push(c),
                    },
                    Some((at, '"')) => {
                        self.rest = &self.rest[at + 1..];
                        break;
                    }
                    Some((_, c)) => value.push(c),
                }
            }
            self.items.push(Some(value));
            return Ok(());
        }
        // Spaces at the end do not count, unless a backslash stands before them.
        let mut kept = 0;
        let mut escaped = false;
        let end = loop {
            match chars.next() {
                None => return Err(self.malformed("Unexpected end of input.")),
                Some((at, ',' | '}')) => break at,
                Some((_, '{')) => return Err(self.malformed("Unexpected \"{\" character.")),
                Some((_, '"')) => return Err(self.malformed("Unexpected array element.")),
                Some((_, '\\')) => match chars.next() {
                    None => return Err(self.malformed("Unexpected end of input.")),
                    Some((_, c)) => {
                        value.push(c);
                        kept = value.len();
                        escaped = true;
                    }
                },
                Some((_, c)) => {
                    value.push(c);
                    if !c.is_ascii_whitespace() {
                        kept = value.len();
                    }
                }
            }
        };
        value.truncate(kept);
        if value.is_empty() {
            let found = self.rest[end..].chars().next().unwrap_or('}');
            return Err(self.malformed(&format!("Unexpected \"{found}\" character.")));
        }
        self.rest = &self.rest[end..];
        let is_null = !escaped && value.eq_ignore_ascii_case("null");
        self.items.push(if is_null { None } else { Some(value) });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(element: SqlType, input: &str, output: &str) {
        let got = match ArrayValue::parse(input, element, FormatSettings::default()) {
            Ok(array) => {
                assert_eq!(ArrayValue::decode(&array.encode()).unwrap(), array);
                let mut text = String::new();
                array.format_into(&mut text, FormatSettings::default());
                text
            }
            Err(error) => error.code().to_string(),
        };
        assert_eq!(got, output, "{input:?}");
    }

    #[test]
    fn text_there_and_back() {
        let cases = [
            (SqlType::Int4, "{1,2,3}", "{1,2,3}"),
            (SqlType::Int4, " { 1 , null , 3 } ", "{1,NULL,3}"),
            (SqlType::Int4, "{}", "{}"),
            (SqlType::Int4, "{{1,2},{3,4}}", "{{1,2},{3,4}}"),
            (SqlType::Int4, "{{1,2},{3}}", "22P02"),
            (SqlType::Int4, "{1,{2}}", "22P02"),
            (SqlType::Int4, "{{1},2}", "22P02"),
            (SqlType::Int4, "{1,}", "22P02"),
            (SqlType::Int4, "{1", "22P02"),
            (SqlType::Int4, "1", "22P02"),
            (SqlType::Int4, "{1}x", "22P02"),
            (SqlType::Int4, "[2:3]={1,2}", "[2:3]={1,2}"),
            (SqlType::Int4, "[1:2]={1,2}", "{1,2}"),
            (SqlType::Int4, "[1:3]={1,2}", "22P02"),
            (
                SqlType::Text,
                "{a b, \"c,d\" ,\"\",\"NULL\",e\\\"f}",
                "{\"a b\",\"c,d\",\"\",\"NULL\",\"e\\\"f\"}",
            ),
            (SqlType::Numeric, "{1.50,2}", "{1.50,2}"),
        ];
        for (element, input, output) in cases {
            check(element, input, output);
        }
    }

    #[test]
    fn bytes() {
        let array = ArrayValue::parse("[2:3]={7,NULL}", SqlType::Int4, FormatSettings::default()).unwrap();
        let hex: String = array.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0103020000000200000001".to_owned() + "07000000" + "00");
        let texts = ArrayValue::of(SqlType::Text, vec![Datum::Text("ab".into())]);
        let hex: String = texts.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "010901000000010000000102000000".to_owned() + "6162");
        assert!(ArrayValue::decode(&[1, 3, 255, 255, 255, 255, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn order() {
        let of = |text: &str| ArrayValue::parse(text, SqlType::Int4, FormatSettings::default()).unwrap();
        let ascending = ["{}", "{-1}", "{1}", "{1,2}", "{1,2,0}", "{{1,2,0}}", "{1,NULL}", "{2}", "{NULL}"];
        for pair in ascending.windows(2) {
            assert_eq!(of(pair[0]).order(&of(pair[1])), Ordering::Less, "{pair:?}");
        }
    }
}
