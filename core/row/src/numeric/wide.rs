//! The wide form: how a `numeric` without a modifier lies in a row or an array.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | 0 finite, 1 NaN, 2 Infinity, 3 -Infinity; the rest only when finite |
//! | 1–2 | display scale, little-endian |
//! | 3– | coefficient, two's complement, little-endian, shortest |

use super::{Coefficient, Numeric, SCALE_MAX};
use num_bigint::BigInt;

impl Numeric {
    /// Appends the wide form to `into`.
    pub fn write_wide(&self, into: &mut Vec<u8>) {
        let (coefficient, scale) = match self {
            Numeric::NaN => return into.push(1),
            Numeric::PositiveInfinity => return into.push(2),
            Numeric::NegativeInfinity => return into.push(3),
            Numeric::Finite { coefficient, scale } => (coefficient, scale),
        };
        into.push(0);
        into.extend_from_slice(&scale.to_le_bytes());
        match coefficient {
            Coefficient::Small(small) => {
                let bytes = small.to_le_bytes();
                let sign: u8 = if *small < 0 { 0xff } else { 0 };
                let mut len = 16;
                while len > 1 && bytes[len - 1] == sign && (bytes[len - 2] ^ sign) & 0x80 == 0 {
                    len -= 1;
                }
                into.extend_from_slice(&bytes[..len]);
            }
            Coefficient::Big(big) => into.extend_from_slice(&big.to_signed_bytes_le()),
        }
    }

    /// The wide form.
    pub fn to_wide(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(19);
        self.write_wide(&mut bytes);
        bytes
    }

    /// Reads the wide form; `None` when the bytes are no such form.
    pub fn from_wide(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [1] => Some(Numeric::NaN),
            [2] => Some(Numeric::PositiveInfinity),
            [3] => Some(Numeric::NegativeInfinity),
            [0, low, high, digits @ ..] if !digits.is_empty() => {
                let scale = u16::from_le_bytes([*low, *high]);
                if u32::from(scale) > SCALE_MAX {
                    return None;
                }
                if digits.len() > 16 {
                    return Some(Numeric::from_big_parts(
                        BigInt::from_signed_bytes_le(digits),
                        u32::from(scale),
                    ));
                }
                let negative = digits[digits.len() - 1] & 0x80 != 0;
                let mut all = [if negative { 0xff } else { 0 }; 16];
                all[..digits.len()].copy_from_slice(digits);
                Some(Numeric::from_parts(i128::from_le_bytes(all), scale))
            }
            _ => None,
        }
    }
}
