//! Row values: their bytes, their text, their order.
//!
//! A row value says what it is made of, so that nothing but the binder needs to know its type. Its bytes, all numbers
//! little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 2 | number of fields |
//! | for each field | its name: 1 byte of length and bytes; its type: [`SqlType::tag`], of an array followed by that of its elements; its value as in an array |
//!
//! Invariant R1: a field's type has no modifier.
//!
//! What it deliberately does not do: know the name of its own type.

use crate::datum::Datum;
use crate::encode;
use crate::exec::rows::{read_datum, write_datum};
use crate::text::{self, FormatSettings};
use crate::types::SqlType;
use orrery_base::{Error, Result};
use std::sync::Arc;

/// A field of a row value.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: Arc<str>,
    /// Its type, without a modifier.
    pub ty: SqlType,
    /// Its value.
    pub value: Datum,
}

/// A row value taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordValue {
    /// Its fields, in order.
    pub fields: Vec<Field>,
}

fn damaged() -> Error {
    Error::corrupt("the bytes of a row value are damaged")
}

impl RecordValue {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = (self.fields.len() as u16).to_le_bytes().to_vec();
        for Field { name, ty, value } in &self.fields {
            // Names are identifiers: at most 63 bytes.
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(&name.as_bytes()[..name.len().min(255)]);
            let ty = ty.base();
            bytes.push(ty.tag());
            if let SqlType::Array(element) = ty {
                bytes.push(element.ty().tag());
            }
            write_datum(&mut bytes, value);
        }
        bytes
    }

    /// The inverse of [`RecordValue::encode`]. Errors: XX001.
    pub fn decode(bytes: &[u8]) -> Result<RecordValue> {
        Self::decoded(bytes).ok_or_else(damaged)
    }

    fn decoded(bytes: &[u8]) -> Option<RecordValue> {
        let (count, mut rest) = bytes.split_first_chunk::<2>()?;
        let count = usize::from(u16::from_le_bytes(*count));
        let mut fields = Vec::with_capacity(count.min(rest.len()));
        for _ in 0..count {
            let ([length], after) = rest.split_first_chunk::<1>()?;
            let (name, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            let ty = take_type(&mut rest, true)?;
            let value = read_datum(&mut rest, ty)?;
            fields.push(Field { name: std::str::from_utf8(name).ok()?.into(), ty, value });
        }
        rest.is_empty().then_some(RecordValue { fields })
    }

    /// Bytes that order row values as PostgreSQL does: field by field, NULLs last.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        for field in &self.fields {
            // R1: nothing can fail to fit.
            encode::push_key(&mut key, &field.value, field.ty.base(), false).expect("a field of its type");
        }
        key
    }

    /// See [`Datum::identical`].
    pub fn identical(&self, other: &RecordValue) -> bool {
        self.fields.len() == other.fields.len()
            && self
                .fields
                .iter()
                .zip(&other.fields)
                .all(|(a, b)| a.name == b.name && a.ty == b.ty && a.value.identical(&b.value))
    }

    /// Its text: `(1,,"a b")`.
    pub fn format_into(&self, into: &mut String, settings: FormatSettings) {
        into.push('(');
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                into.push(',');
            }
            if !field.value.is_null() {
                quote_into(into, &text::format(&field.value, field.ty, settings));
            }
        }
        into.push(')');
    }
}

fn take_type(bytes: &mut &[u8], arrays: bool) -> Option<SqlType> {
    let ([tag], rest) = bytes.split_first_chunk::<1>()?;
    *bytes = rest;
    match tag {
        18 => Some(SqlType::Char(None)),
        21 if arrays => take_type(bytes, false)?.array(),
        tag => SqlType::of_tag(*tag),
    }
}

fn quote_into(into: &mut String, item: &str) {
    let special =
        |c: char| matches!(c, '"' | '\\' | '(' | ')' | ',') || c.is_ascii_whitespace() || c == '\u{b}';
    if !item.is_empty() && !item.contains(special) {
        into.push_str(item);
        return;
    }
    into.push('"');
    for c in item.chars() {
        if matches!(c, '"' | '\\') {
            into.push(c);
        }
        into.push(c);
    }
    into.push('"');
}

/// The texts of a row value's fields; `None`: NULL. What is wrong: PostgreSQL's words for it.
pub fn parse(text: &str) -> std::result::Result<Vec<Option<String>>, &'static str> {
    let text = text.trim();
    let inner = text.strip_prefix('(').ok_or("Missing left parenthesis.")?;
    let mut chars = inner.chars().peekable();
    let mut fields = Vec::new();
    if chars.peek() == Some(&')') {
        chars.next();
        return if chars.next().is_none() { Ok(vec![None]) } else { Err("Junk after right parenthesis.") };
    }
    loop {
        let (mut field, mut is_quoted, mut is_empty) = (String::new(), false, true);
        loop {
            match chars.peek().copied() {
                None => return Err("Unexpected end of input."),
                Some(',' | ')') if !is_quoted => break,
                Some(_) => {}
            }
            is_empty = false;
            match chars.next() {
                Some('\\') => field.push(chars.next().ok_or("Unexpected end of input.")?),
                Some('"') if is_quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    field.push('"');
                }
                Some('"') => is_quoted = !is_quoted,
                Some(c) => field.push(c),
                None => return Err("Unexpected end of input."),
            }
        }
        fields.push((!is_empty).then_some(field));
        match chars.next() {
            Some(',') => {}
            _ => break,
        }
    }
    if chars.next().is_none() { Ok(fields) } else { Err("Junk after right parenthesis.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_text() {
        let field = |name: &str, ty, value| Field { name: name.into(), ty, value };
        let inner = RecordValue { fields: vec![field("x", SqlType::Bool, Datum::Bool(true))] };
        let record = RecordValue {
            fields: vec![
                field("a", SqlType::Int4, Datum::Int4(1)),
                field("b", SqlType::Text, Datum::Null),
                field("c", SqlType::Text, Datum::Text("a \"b\"".into())),
                field("d", SqlType::Record(0), Datum::Record(inner.into())),
            ],
        };
        assert_eq!(RecordValue::decode(&record.encode()).unwrap(), record);
        let mut text = String::new();
        record.format_into(&mut text, FormatSettings::default());
        assert_eq!(text, "(1,,\"a \"\"b\"\"\",\"(t)\")");
        let texts = [Some("1".into()), None, Some("a \"b\"".into()), Some("(t)".into())];
        assert_eq!(parse(&text).unwrap(), texts);
    }
}
