//! Memcomparable keys: the order of the bytes is the order of the values (DESIGN §11).
//!
//! Each column is a tag byte and its value: `01` not NULL, `02` NULL (so ascending puts NULLs last). A descending column
//! is the same bytes inverted, tag included.
//!
//! | type | value bytes |
//! |---|---|
//! | bool | 00, 01 |
//! | integers | big-endian with the sign bit flipped |
//! | floats | IEEE bits big-endian; sign bit flipped when positive, all bits when negative; -0 is 0, NaN is one value and last |
//! | bytes | as they are, `00` written `00 ff`, then `00 00` |
//! | numeric | class byte, then for finite non-zero values: decimal exponent as i32, digit pairs + 1, `00`; all inverted when negative |
//! | fixed | as they are |

use crate::numeric::Numeric;
use orrery_base::{Error, Result};

const NOT_NULL: u8 = 1;
const NULL: u8 = 2;

const CLASS_NEGATIVE_INFINITY: u8 = 0x08;
const CLASS_NEGATIVE: u8 = 0x10;
const CLASS_ZERO: u8 = 0x18;
const CLASS_POSITIVE: u8 = 0x20;
const CLASS_POSITIVE_INFINITY: u8 = 0x28;
const CLASS_NAN: u8 = 0x30;

/// Writes a key column by column into a buffer that it borrows.
pub struct KeyWriter<'a> {
    bytes: &'a mut Vec<u8>,
}

impl<'a> KeyWriter<'a> {
    /// Appends to `bytes`.
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        KeyWriter { bytes }
    }

    #[inline]
    fn column(&mut self, descending: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.push(NOT_NULL);
        write(self.bytes);
        if descending {
            invert(&mut self.bytes[start..]);
        }
    }

    /// A NULL of any type.
    pub fn null(&mut self, descending: bool) {
        self.bytes.push(if descending { !NULL } else { NULL });
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool, descending: bool) {
        self.column(descending, |bytes| bytes.push(u8::from(value)));
    }

    /// A 16-bit integer.
    pub fn i16(&mut self, value: i16, descending: bool) {
        self.column(descending, |bytes| bytes.extend_from_slice(&(value ^ i16::MIN).to_be_bytes()));
    }

    /// A 32-bit integer (dates too).
    #[inline]
    pub fn i32(&mut self, value: i32, descending: bool) {
        self.column(descending, |bytes| bytes.extend_from_slice(&(value ^ i32::MIN).to_be_bytes()));
    }

    /// A 64-bit integer (timestamps too).
    #[inline]
    pub fn i64(&mut self, value: i64, descending: bool) {
        self.column(descending, |bytes| bytes.extend_from_slice(&(value ^ i64::MIN).to_be_bytes()));
    }

    /// A 128-bit integer: the coefficient of a decimal of fixed scale.
    pub fn i128(&mut self, value: i128, descending: bool) {
        self.column(descending, |bytes| bytes.extend_from_slice(&(value ^ i128::MIN).to_be_bytes()));
    }

    /// A single-precision float.
    pub fn f32(&mut self, value: f32, descending: bool) {
        let bits = if value.is_nan() { f32::NAN } else { value + 0.0 }.to_bits()
            & !(u32::from(value.is_nan()) << 31);
        let ordered = if bits >> 31 == 0 { bits ^ 1 << 31 } else { !bits };
        self.column(descending, |bytes| bytes.extend_from_slice(&ordered.to_be_bytes()));
    }

    /// A double-precision float.
    pub fn f64(&mut self, value: f64, descending: bool) {
        let bits = if value.is_nan() { f64::NAN } else { value + 0.0 }.to_bits()
            & !(u64::from(value.is_nan()) << 63);
        let ordered = if bits >> 63 == 0 { bits ^ 1 << 63 } else { !bits };
        self.column(descending, |bytes| bytes.extend_from_slice(&ordered.to_be_bytes()));
    }

    /// A string of bytes (text in C collation too).
    pub fn bytes(&mut self, value: &[u8], descending: bool) {
        self.column(descending, |bytes| {
            for &byte in value {
                bytes.push(byte);
                if byte == 0 {
                    bytes.push(0xff);
                }
            }
            bytes.extend_from_slice(&[0, 0]);
        });
    }

    /// Bytes of a length that all values of the column share (uuid).
    pub fn fixed(&mut self, value: &[u8], descending: bool) {
        self.column(descending, |bytes| bytes.extend_from_slice(value));
    }

    /// A numeric: equal values give equal bytes, whatever their display scale.
    pub fn numeric(&mut self, value: &Numeric, descending: bool) {
        self.column(descending, |bytes| {
            let class = match value {
                Numeric::NegativeInfinity => CLASS_NEGATIVE_INFINITY,
                Numeric::PositiveInfinity => CLASS_POSITIVE_INFINITY,
                Numeric::NaN => CLASS_NAN,
                Numeric::Finite { coefficient, .. } => match coefficient.signum() {
                    0 => CLASS_ZERO,
                    1 => CLASS_POSITIVE,
                    _ => CLASS_NEGATIVE,
                },
            };
            bytes.push(class);
            if class != CLASS_POSITIVE && class != CLASS_NEGATIVE {
                return;
            }
            let start = bytes.len();
            let (digits, exponent) = value.key_digits();
            bytes.extend_from_slice(&(exponent ^ i32::MIN).to_be_bytes());
            for pair in digits.as_bytes().chunks(2) {
                let low = pair.get(1).map_or(0, |digit| digit - b'0');
                bytes.push((pair[0] - b'0') * 10 + low + 1);
            }
            bytes.push(0);
            if class == CLASS_NEGATIVE {
                invert(&mut bytes[start..]);
            }
        });
    }
}

fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

/// Reads a key column by column. Errors: XX001 when the bytes are no such key.
pub struct KeyReader<'a> {
    bytes: &'a [u8],
}

impl<'a> KeyReader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        KeyReader { bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or_else(damaged)?;
        self.bytes = rest;
        Ok(head)
    }

    /// Reads the tag: whether a value follows.
    pub fn tag(&mut self, descending: bool) -> Result<bool> {
        let tag = self.take(1)?[0];
        match if descending { !tag } else { tag } {
            NOT_NULL => Ok(true),
            NULL => Ok(false),
            _ => Err(damaged()),
        }
    }

    fn array<const N: usize>(&mut self, descending: bool) -> Result<[u8; N]> {
        let mut bytes: [u8; N] = self.take(N)?.try_into().expect("as many as asked for");
        if descending {
            invert(&mut bytes);
        }
        Ok(bytes)
    }

    /// A boolean; `None` is NULL.
    pub fn bool(&mut self, descending: bool) -> Result<Option<bool>> {
        Ok(if self.tag(descending)? { Some(self.array::<1>(descending)?[0] != 0) } else { None })
    }

    /// A 16-bit integer.
    pub fn i16(&mut self, descending: bool) -> Result<Option<i16>> {
        Ok(if self.tag(descending)? {
            Some(i16::from_be_bytes(self.array(descending)?) ^ i16::MIN)
        } else {
            None
        })
    }

    /// A 32-bit integer.
    pub fn i32(&mut self, descending: bool) -> Result<Option<i32>> {
        Ok(if self.tag(descending)? {
            Some(i32::from_be_bytes(self.array(descending)?) ^ i32::MIN)
        } else {
            None
        })
    }

    /// A 64-bit integer.
    pub fn i64(&mut self, descending: bool) -> Result<Option<i64>> {
        Ok(if self.tag(descending)? {
            Some(i64::from_be_bytes(self.array(descending)?) ^ i64::MIN)
        } else {
            None
        })
    }

    /// A 128-bit integer.
    pub fn i128(&mut self, descending: bool) -> Result<Option<i128>> {
        Ok(if self.tag(descending)? {
            Some(i128::from_be_bytes(self.array(descending)?) ^ i128::MIN)
        } else {
            None
        })
    }

    /// A single-precision float.
    pub fn f32(&mut self, descending: bool) -> Result<Option<f32>> {
        if !self.tag(descending)? {
            return Ok(None);
        }
        let ordered = u32::from_be_bytes(self.array(descending)?);
        Ok(Some(f32::from_bits(if ordered >> 31 == 1 { ordered ^ 1 << 31 } else { !ordered })))
    }

    /// A double-precision float.
    pub fn f64(&mut self, descending: bool) -> Result<Option<f64>> {
        if !self.tag(descending)? {
            return Ok(None);
        }
        let ordered = u64::from_be_bytes(self.array(descending)?);
        Ok(Some(f64::from_bits(if ordered >> 63 == 1 { ordered ^ 1 << 63 } else { !ordered })))
    }

    /// A string of bytes.
    pub fn bytes(&mut self, descending: bool) -> Result<Option<Vec<u8>>> {
        if !self.tag(descending)? {
            return Ok(None);
        }
        let mut value = Vec::new();
        loop {
            let byte = self.array::<1>(descending)?[0];
            if byte != 0 {
                value.push(byte);
                continue;
            }
            match self.array::<1>(descending)?[0] {
                0 => return Ok(Some(value)),
                0xff => value.push(0),
                _ => return Err(damaged()),
            }
        }
    }

    /// Bytes of a known length.
    pub fn fixed<const N: usize>(&mut self, descending: bool) -> Result<Option<[u8; N]>> {
        Ok(if self.tag(descending)? { Some(self.array(descending)?) } else { None })
    }

    /// A numeric, at its smallest display scale.
    pub fn numeric(&mut self, descending: bool) -> Result<Option<Numeric>> {
        if !self.tag(descending)? {
            return Ok(None);
        }
        let class = self.array::<1>(descending)?[0];
        let negative = class == CLASS_NEGATIVE;
        let inverted = negative != descending;
        match class {
            CLASS_NEGATIVE_INFINITY => return Ok(Some(Numeric::NegativeInfinity)),
            CLASS_POSITIVE_INFINITY => return Ok(Some(Numeric::PositiveInfinity)),
            CLASS_NAN => return Ok(Some(Numeric::NaN)),
            CLASS_ZERO => return Ok(Some(Numeric::ZERO)),
            CLASS_POSITIVE | CLASS_NEGATIVE => {}
            _ => return Err(damaged()),
        }
        let exponent = i32::from_be_bytes(self.array(inverted)?) ^ i32::MIN;
        let mut digits = String::new();
        loop {
            match self.array::<1>(inverted)?[0] {
                0 => break,
                pair @ 1..=100 => {
                    digits.extend([(b'0' + (pair - 1) / 10) as char, (b'0' + (pair - 1) % 10) as char])
                }
                _ => return Err(damaged()),
            }
        }
        let digits = digits.strip_suffix('0').unwrap_or(&digits);
        Numeric::from_key_digits(negative, digits, exponent).map(Some).ok_or_else(damaged)
    }
}

fn damaged() -> Error {
    Error::corrupt("a key's bytes do not fit its columns")
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::rng::Rng;

    fn key(write: impl FnOnce(&mut KeyWriter<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut KeyWriter::new(&mut bytes));
        bytes
    }

    #[test]
    fn order_of_numerics_is_order_of_bytes() {
        let mut rng = Rng::new(7);
        let mut values: Vec<Numeric> =
            ["NaN", "-inf", "inf", "0", "-0.00", "1.1", "1.10", "-1", "1e40", "-1e-40", "10", "9.99"]
                .iter()
                .map(|text| text.parse().unwrap())
                .collect();
        for _ in 0..200 {
            let coefficient = rng.next_u64() as i64 >> rng.below(60);
            values.push(Numeric::from_parts(i128::from(coefficient), rng.below(20) as u16));
        }
        for descending in [false, true] {
            for a in &values {
                let a_key = key(|k| k.numeric(a, descending));
                let back = KeyReader::new(&a_key).numeric(descending).unwrap().unwrap();
                assert_eq!(&back, a);
                for b in &values {
                    let b_key = key(|k| k.numeric(b, descending));
                    let expected = if descending { b.cmp(a) } else { a.cmp(b) };
                    assert_eq!(a_key.cmp(&b_key), expected, "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn order_of_floats_and_strings() {
        let floats = [f64::NEG_INFINITY, -1.5, -0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN];
        let keys: Vec<_> = floats.iter().map(|&value| key(|k| k.f64(value, false))).collect();
        assert!(keys.is_sorted());
        assert_eq!(key(|k| k.f64(0.0, false)), key(|k| k.f64(-0.0, false)));
        assert_eq!(key(|k| k.f64(-f64::NAN, false)), keys[6]);
        let strings: [&[u8]; 5] = [b"", b"\0", b"\0a", b"a", b"ab"];
        let ascending: Vec<_> = strings.iter().map(|value| key(|k| k.bytes(value, false))).collect();
        let descending: Vec<_> = strings.iter().rev().map(|value| key(|k| k.bytes(value, true))).collect();
        assert!(ascending.is_sorted() && descending.is_sorted());
        for (value, bytes) in strings.iter().zip(&ascending) {
            assert_eq!(KeyReader::new(bytes).bytes(false).unwrap().unwrap(), *value);
        }
    }

    #[test]
    fn nulls_last_ascending_first_descending() {
        assert!(key(|k| k.i64(i64::MAX, false)) < key(|k| k.null(false)));
        assert!(key(|k| k.null(true)) < key(|k| k.i64(i64::MAX, true)));
        assert_eq!(KeyReader::new(&key(|k| k.null(true))).i64(true).unwrap(), None);
        let bytes = key(|k| k.i32(-5, true));
        assert_eq!(KeyReader::new(&bytes).i32(true).unwrap(), Some(-5));
    }
}
