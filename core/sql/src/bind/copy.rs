//! COPY's options, what COPY TO reads, and how COPY FROM reads users' types.

use super::binder::Binder;
use super::{CopyFormat, CopyTo, ForceQuote};
use crate::catalog::Table;
use crate::expr::Expr;
use crate::functions::CastContext;
use crate::parse::Parsed;
use crate::parse::ast::{
    self, CopySource, CopyValue, Expr as Tree, ExprKind, Name, SelectItem, SetExpr, TableExpr,
};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::collections::BTreeMap;
use std::sync::Arc;

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

    /// COPY TO: the query that gives the rows. Errors: those of names; 42809 for what is no table; 42P02 for parameters.
    pub(super) fn copy_to(&mut self, copy: &ast::CopyTo, parsed: &Parsed) -> Result<CopyTo> {
        let ast::CopyTo { source, file, options } = copy;
        if parsed.param_count > 0 {
            return Err(Error::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
        }
        let format = copy_format(options, true)?;
        let statement = match source {
            CopySource::Table(name, columns) => self.rows_of_table(name, columns)?,
            CopySource::Statement(statement) => {
                let returning = match &**statement {
                    ast::Statement::Insert(it) => Some(&it.returning),
                    ast::Statement::Update(it) => Some(&it.returning),
                    ast::Statement::Delete(it) => Some(&it.returning),
                    _ => None,
                };
                if matches!(**statement, ast::Statement::Merge(_)) {
                    return Err(Error::unsupported("MERGE in COPY"));
                }
                if returning.is_some_and(Option::is_none) {
                    let message = "COPY query must have a RETURNING clause";
                    return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
                }
                (**statement).clone()
            }
        };
        let source = Arc::new(Parsed { statement, ..parsed.clone() });
        Ok(CopyTo { source, file: file.clone(), format })
    }

    fn rows_of_table(&mut self, name: &Name, columns: &[Name]) -> Result<ast::Statement> {
        let stored = self.stored(&name.text);
        let what = match () {
            () if self.catalog.view(&stored).is_some() => "view",
            () if self.catalog.sequence(&stored).is_some() => "sequence",
            () => "",
        };
        if !what.is_empty() {
            let message = format!("cannot copy from {what} \"{}\"", name.own().text);
            let error = Error::new(SqlState::WRONG_OBJECT_TYPE, message);
            let hint = "Try the COPY (SELECT ...) TO variant.";
            return Err(if what == "view" { error.with_hint(hint) } else { error });
        }
        let table = self.table(name)?;
        let item = |column: &str| {
            let name = Name { text: column.to_owned(), at: name.at };
            let expr = Tree { kind: ExprKind::Column { table: None, name: name.clone() }, at: name.at };
            SelectItem::Expr { expr, alias: None }
        };
        let mut select = ast::Select::empty(name.at);
        for ordinal in self.copied_columns(&table, columns)? {
            select.items.push(item(&table.columns[ordinal].name));
        }
        select.from.push(TableExpr::Table { name: name.clone(), alias: None });
        Ok(ast::Statement::Query(ast::Query {
            with: Vec::new(),
            body: SetExpr::Select(Box::new(select)),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            with_ties: false,
            locks: Vec::new(),
            at: name.at,
        }))
    }

    /// The ordinals of the columns that COPY means. Errors: 42703, 42701; 42P10 for generated ones.
    pub(super) fn copied_columns(&self, table: &Table, columns: &[Name]) -> Result<Vec<usize>> {
        let mut targets = self.target_columns(table, columns)?;
        if columns.is_empty() {
            targets.retain(|&ordinal| table.columns[ordinal].generated.is_none());
        } else if let Some(at) = targets.iter().position(|&at| table.columns[at].generated.is_some()) {
            let message = format!("column \"{}\" is a generated column", columns[at].text);
            return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message)
                .with_detail("Generated columns cannot be used in COPY."));
        }
        Ok(targets)
    }
}

/// COPY's options; `to`: of COPY TO. Errors: 42601 for unknown ones and bad values, 22023 and 0A000 as in PostgreSQL, 0A000 for those
/// not built.
pub(super) fn copy_format(options: &[(Name, CopyValue)], to: bool) -> Result<CopyFormat> {
    let mut csv = false;
    for (at, (name, value)) in options.iter().enumerate() {
        if options[..at].iter().any(|(other, _)| other.text == name.text) {
            return Err(bad(name, "conflicting or redundant options".to_owned()));
        }
        if name.text == "format" {
            csv = match value {
                CopyValue::Word(word) | CopyValue::String(word) if word.eq_ignore_ascii_case("csv") => true,
                CopyValue::Word(word) | CopyValue::String(word) if word.eq_ignore_ascii_case("text") => false,
                CopyValue::Word(word) | CopyValue::String(word) if word.eq_ignore_ascii_case("binary") => {
                    return Err(Error::unsupported("COPY FORMAT binary").at(name.at));
                }
                CopyValue::Word(word) | CopyValue::String(word) => {
                    let message = format!("COPY format \"{word}\" not recognized");
                    return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(name.at));
                }
                _ => return Err(bad(name, "format requires a parameter".to_owned())),
            };
        }
    }
    let (delimiter, null) = if csv { (b',', "") } else { (b'\t', "\\N") };
    let mut format = CopyFormat {
        csv,
        header: false,
        header_match: false,
        delimiter,
        null: null.to_owned(),
        quote: b'"',
        escape: b'"',
        force_quote: ForceQuote::Never,
    };
    let mut escape = None;
    for (name, value) in options {
        option(&mut format, &mut escape, (name, value), to)?;
    }
    format.escape = escape.unwrap_or(format.quote);
    check_characters(&format)?;
    Ok(format)
}

fn bad(name: &Name, message: String) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message).at(name.at)
}

/// Takes one option.
fn option(
    format: &mut CopyFormat,
    escape: &mut Option<u8>,
    (name, value): (&Name, &CopyValue),
    to: bool,
) -> Result<()> {
    let refused = |message: String| Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(name.at));
    let text = || match value {
        CopyValue::String(text) | CopyValue::Word(text) => Ok(text.as_str()),
        _ => Err(bad(name, format!("{} requires a parameter", name.text))),
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
                _ => match text()? {
                    "true" | "on" | "1" => true,
                    "false" | "off" | "0" => false,
                    "match" if to => {
                        return refused("cannot use \"match\" with HEADER in COPY TO".to_owned());
                    }
                    "match" => {
                        format.header_match = true;
                        true
                    }
                    _ => return Err(bad(name, "header requires a Boolean value or \"match\"".to_owned())),
                },
            }
        }
        "delimiter" => format.delimiter = byte()?,
        "null" => text()?.clone_into(&mut format.null),
        "quote" if format.csv => format.quote = byte()?,
        "escape" if format.csv => *escape = Some(byte()?),
        "quote" | "escape" => return refused(format!("COPY {} available only in CSV mode", name.text)),
        "force_quote" if !format.csv => {
            return refused("COPY force quote available only in CSV mode".to_owned());
        }
        "force_quote" if !to => return refused("COPY force quote only available using COPY TO".to_owned()),
        "force_quote" => {
            format.force_quote = match value {
                CopyValue::Star => ForceQuote::All,
                CopyValue::Names(names) => ForceQuote::Of(names.clone()),
                _ => {
                    let message = "argument to option \"force_quote\" must be a list of column names";
                    return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).at(name.at));
                }
            }
        }
        "force_null" | "force_not_null" if to => {
            let what = name.text.replace('_', " ");
            return refused(format!("COPY {what} only available using COPY FROM"));
        }
        "encoding" if text()?.eq_ignore_ascii_case("utf8") || text()?.eq_ignore_ascii_case("utf-8") => {}
        "force_not_null" | "force_null" | "freeze" | "encoding" | "default" | "on_error" => {
            return Err(Error::unsupported(format!("COPY option {}", name.text)).at(name.at));
        }
        other => return Err(bad(name, format!("option \"{other}\" not recognized"))),
    }
    Ok(())
}

/// No character may have two meanings.
fn check_characters(format: &CopyFormat) -> Result<()> {
    let delimiter = format.delimiter as char;
    let invalid = |message: String| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    let refused = |message: &str| Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
    if format.null.contains(['\n', '\r']) {
        return invalid("COPY null representation cannot use newline or carriage return".to_owned());
    }
    if !format.csv
        && (delimiter.is_ascii_lowercase() || delimiter.is_ascii_digit() || "\\.".contains(delimiter))
    {
        return invalid(format!("COPY delimiter cannot be \"{delimiter}\""));
    }
    if format.csv && format.delimiter == format.quote {
        return invalid("COPY delimiter and quote must be different".to_owned());
    }
    if format.null.contains(delimiter) {
        return refused("COPY delimiter must not appear in the NULL specification");
    }
    if format.csv && format.null.contains(format.quote as char) {
        return refused("CSV quote character must not appear in the NULL specification");
    }
    Ok(())
}
