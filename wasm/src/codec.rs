//! Values as bytes (J1): a tag, then what it says. `js/codec.js` is the other end. All numbers are little-endian.
//!
//! | tag | follows | as a parameter | as a value of a row |
//! |---|---|---|---|
//! | 0 | – | NULL | NULL |
//! | 1, 2 | – | false, true | false, true |
//! | 3 | f64 | `double precision` | `real`, `double precision` |
//! | 4 | i64 | `bigint` | `bigint` |
//! | 5 | u32 length, UTF-8 | `text` | `text` and all that goes as text |
//! | 6 | u32 length, bytes | `bytea` | `bytea` |
//! | 7 | u32 length, digits | `numeric` | – |
//! | 8 | f64, milliseconds since 1970 | `timestamptz` | `timestamptz` |
//! | 9 | i32 | – | `smallint`, `integer` |

use orrerydb::{Error, Result, SqlState, SqlType, Value, ValueRef, format_value};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const FLOAT: u8 = 3;
const LONG: u8 = 4;
const TEXT: u8 = 5;
const BYTES: u8 = 6;
const NUMERIC: u8 = 7;
const MOMENT: u8 = 8;
const INT: u8 = 9;

/// JavaScript's dates end here, on both sides of 1970.
const DATE_MILLIS_MAX: i64 = 8_640_000_000_000_000;

/// Reads parameters.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    /// Whether there is no value left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(torn)?;
        self.0 = rest;
        Ok(taken)
    }

    fn eight(&mut self) -> Result<[u8; 8]> {
        self.take(8)?.try_into().map_err(|_| torn())
    }

    /// A number of the frame: how many values, how many bytes.
    pub(crate) fn length(&mut self) -> Result<usize> {
        let bytes: [u8; 4] = self.take(4)?.try_into().map_err(|_| torn())?;
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    fn text(&mut self) -> Result<&str> {
        let len = self.length()?;
        std::str::from_utf8(self.take(len)?).map_err(|_| torn())
    }

    /// The next value.
    pub(crate) fn value(&mut self) -> Result<Value> {
        Ok(match self.take(1)?[0] {
            NULL => Value::Null,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            FLOAT => Value::Float8(f64::from_le_bytes(self.eight()?)),
            LONG => Value::Int8(i64::from_le_bytes(self.eight()?)),
            TEXT => Value::Text(self.text()?.into()),
            BYTES => {
                let len = self.length()?;
                Value::Bytea(self.take(len)?.into())
            }
            NUMERIC => {
                let text = self.text()?;
                let invalid = || {
                    let message = format!("{text} is no numeric");
                    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
                };
                Value::Numeric(text.parse().map_err(|_| invalid())?)
            }
            MOMENT => {
                let millis = f64::from_le_bytes(self.eight()?);
                if millis.is_nan() {
                    return Err(Error::new(
                        SqlState::DATETIME_FIELD_OVERFLOW,
                        "an invalid Date is no timestamp",
                    ));
                }
                Value::Timestamptz(millis as i64 * 1000)
            }
            _ => return Err(torn()),
        })
    }
}

/// The package's own JavaScript writes the frames.
#[cold]
fn torn() -> Error {
    Error::internal("the parameters are not whole")
}

/// Appends a value of a row.
pub(crate) fn write(into: &mut Vec<u8>, value: &ValueRef<'_>, ty: SqlType) -> Result<()> {
    match value {
        ValueRef::Null => into.push(NULL),
        ValueRef::Bool(value) => into.push(if *value { TRUE } else { FALSE }),
        ValueRef::Int2(value) => write_int(into, i32::from(*value)),
        ValueRef::Int4(value) => write_int(into, *value),
        ValueRef::Int8(value) => {
            into.push(LONG);
            into.extend_from_slice(&value.to_le_bytes());
        }
        ValueRef::Float4(value) => write_float(into, FLOAT, f64::from(*value)),
        ValueRef::Float8(value) => write_float(into, FLOAT, *value),
        ValueRef::Text(text) => write_bytes(into, TEXT, text.as_bytes()),
        ValueRef::Bytea(bytes) => write_bytes(into, BYTES, bytes),
        ValueRef::Timestamptz(micros) => {
            let millis = micros.div_euclid(1000);
            if millis.abs() > DATE_MILLIS_MAX {
                let message = "a timestamp outside of the years of JavaScript's Date: cast it to text";
                return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message));
            }
            write_float(into, MOMENT, millis as f64);
        }
        other => write_bytes(into, TEXT, format_value(&owned(other), ty).as_bytes()),
    }
    Ok(())
}

fn write_int(into: &mut Vec<u8>, value: i32) {
    into.push(INT);
    into.extend_from_slice(&value.to_le_bytes());
}

fn write_float(into: &mut Vec<u8>, tag: u8, value: f64) {
    into.push(tag);
    into.extend_from_slice(&value.to_le_bytes());
}

fn write_bytes(into: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    into.push(tag);
    // A value is at most 1 GiB (the store's limit), so the length fits.
    into.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    into.extend_from_slice(bytes);
}

fn owned(value: &ValueRef<'_>) -> Value {
    Value::from(value.clone())
}
