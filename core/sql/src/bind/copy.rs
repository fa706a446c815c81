//! COPY's options, and how it reads users' types.

use super::CopyFormat;
use super::binder::Binder;
use crate::catalog::Table;
use crate::expr::Expr;
use crate::functions::CastContext;
use crate::parse::ast::{CopyValue, Name};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::collections::BTreeMap;

impl Binder<'_> {
    /// How the columns of users' types are made of their texts, which are parameters: what their labels and fields are, the catalog
    /// says.
    pub(super) fn read_texts(&mut self, table: &Table, targets: &[usize]) -> Result<BTreeMap<usize, Expr>> {
        let mut read = BTreeMap::new();
        for (index, &ordinal) in targets.iter().enumerate() {
            let ty = table.columns[ordinal].ty;
            if matches!(ty.element().unwrap_or(ty), SqlType::Record(_) | SqlType::Enum(_)) {
                let text = Expr::Param { index, ty: SqlType::Text };
                read.insert(index, self.coerce(text, ty, CastContext::Explicit, 0)?);
            }
        }
        Ok(read)
    }
}

/// COPY's options. Errors: 42601 for unknown ones and bad values, 0A000 for those not built.
pub(super) fn copy_format(options: &[(Name, CopyValue)]) -> Result<CopyFormat> {
    let bad = |name: &Name, message: String| Error::new(SqlState::SYNTAX_ERROR, message).at(name.at);
    let mut csv = false;
    for (name, value) in options {
        if name.text == "format" {
            csv = match value {
                CopyValue::Word(word) | CopyValue::String(word) if word.eq_ignore_ascii_case("csv") => true,
                CopyValue::Word(word) | CopyValue::String(word) if word.eq_ignore_ascii_case("text") => false,
                CopyValue::Word(word) | CopyValue::String(word) if word.eq_ignore_ascii_case("binary") => {
                    return Err(Error::unsupported("COPY FORMAT binary").at(name.at));
                }
                _ => return Err(bad(name, "COPY format not recognized".to_owned())),
            };
        }
    }
    let (delimiter, null) = if csv { (b',', "") } else { (b'\t', "\\N") };
    let mut format =
        CopyFormat { csv, header: false, delimiter, null: null.to_owned(), quote: b'"', escape: b'"' };
    let mut escape_given = false;
    for (name, value) in options {
        let text = || match value {
            CopyValue::String(text) | CopyValue::Word(text) => Ok(text.as_str()),
            CopyValue::None => Err(bad(name, format!("{} requires a parameter", name.text))),
        };
        let byte = || match text()?.as_bytes() {
            [b'\n' | b'\r'] => {
                let message = format!("COPY {} cannot be newline or carriage return", name.text);
                Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(name.at))
            }
            [one] if one.is_ascii() => Ok(*one),
            _ => {
                let message = format!("COPY {} must be a single one-byte character", name.text);
                Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(name.at))
            }
        };
        match name.text.as_str() {
            "format" => {}
            "header" => {
                format.header = match value {
                    CopyValue::None => true,
                    CopyValue::Word(word) | CopyValue::String(word) => match word.as_str() {
                        "true" | "on" | "1" => true,
                        "false" | "off" | "0" => false,
                        _ => return Err(Error::unsupported(format!("COPY HEADER {word}")).at(name.at)),
                    },
                }
            }
            "delimiter" => format.delimiter = byte()?,
            "null" => text()?.clone_into(&mut format.null),
            "quote" if csv => {
                format.quote = byte()?;
                if !escape_given {
                    format.escape = format.quote;
                }
            }
            "escape" if csv => {
                format.escape = byte()?;
                escape_given = true;
            }
            "quote" | "escape" => {
                let message = format!("COPY {} available only in CSV mode", name.text);
                return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(name.at));
            }
            "encoding" if text()?.eq_ignore_ascii_case("utf8") || text()?.eq_ignore_ascii_case("utf-8") => {}
            "force_not_null" | "force_null" | "freeze" | "encoding" | "force_quote" | "default"
            | "on_error" => {
                return Err(Error::unsupported(format!("COPY option {}", name.text)).at(name.at));
            }
            other => return Err(bad(name, format!("option \"{other}\" not recognized"))),
        }
    }
    if format.csv && format.delimiter == format.quote {
        let message = "COPY delimiter and quote must be different";
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    Ok(format)
}
