//! NOT NULL, CHECK, and the messages of violated constraints.

use super::target::Target;
use crate::catalog::Table;
use crate::datum::Datum;
use crate::eval;
use crate::expr::Expr;
use crate::functions::EvalContext;
use crate::text::{self, FormatSettings};
use crate::types::SqlType;
use arrow_array::{Array, ArrayRef, BooleanArray};
use orrery_base::{Error, Result, SqlState};

/// The CHECK constraints evaluated over a batch.
pub(super) struct Checks<'a> {
    outcomes: Vec<(&'a str, ArrayRef)>,
}

impl<'a> Checks<'a> {
    pub(super) fn evaluate(
        checks: &'a [(String, Expr)],
        columns: &[ArrayRef],
        row_count: usize,
        context: &EvalContext<'_>,
    ) -> Result<Self> {
        let outcome = |(name, predicate): &'a (String, Expr)| {
            Ok((name.as_str(), eval::evaluate_array(predicate, columns, row_count, context)?))
        };
        Ok(Checks { outcomes: checks.iter().map(outcome).collect::<Result<_>>()? })
    }

    /// No CHECK constraints: what is left are the columns that may not be NULL.
    pub(super) fn none() -> Self {
        Checks { outcomes: Vec::new() }
    }

    /// Errors: 23502, then 23514, for row `at` of the batch. A predicate that is NULL passes.
    pub(super) fn row(&self, target: &Target<'_>, at: usize, row: &[Datum]) -> Result<()> {
        for (column, value) in target.table.columns.iter().zip(row) {
            if column.not_null && value.is_null() {
                let message = format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    column.name, target.table.name
                );
                return Err(
                    Error::new(SqlState::NOT_NULL_VIOLATION, message).with_detail(failing(row, target.table))
                );
            }
        }
        for (name, outcome) in &self.outcomes {
            let outcome = outcome.as_any().downcast_ref::<BooleanArray>();
            if outcome.is_some_and(|outcome| outcome.is_valid(at) && !outcome.value(at)) {
                let relation = &target.table.name;
                let message = match name.split_once('\u{1}') {
                    Some((domain, own)) => {
                        format!("{domain}\"{}\"", own.split('\u{1}').next().unwrap_or(own))
                    }
                    None => {
                        format!("new row for relation \"{relation}\" violates check constraint \"{name}\"")
                    }
                };
                return Err(
                    Error::new(SqlState::CHECK_VIOLATION, message).with_detail(failing(row, target.table))
                );
            }
        }
        Ok(())
    }
}

/// Longest text of a value in a message, as PostgreSQL cuts them.
const SHOWN_CHARS_MAX: usize = 64;

fn shown(value: &Datum, ty: SqlType) -> String {
    if value.is_null() {
        return "null".to_owned();
    }
    let text = text::format(value, ty, FormatSettings::default());
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn failing(row: &[Datum], table: &Table) -> String {
    let values: Vec<_> = table.visible().map(|(at, column)| shown(&row[at], column.ty)).collect();
    format!("Failing row contains ({}).", values.join(", "))
}

/// 23505 with the columns and values of the key.
pub(super) fn duplicate(table: &Table, constraint: &str, ordinals: &[usize], row: &[Datum]) -> Error {
    let names: Vec<_> = ordinals.iter().map(|&at| table.columns[at].name.as_str()).collect();
    let values: Vec<_> = ordinals
        .iter()
        .map(|&at| text::format(&row[at], table.columns[at].ty, FormatSettings::default()))
        .collect();
    let message = format!("duplicate key value violates unique constraint \"{constraint}\"");
    let detail = format!("Key ({})=({}) already exists.", names.join(", "), values.join(", "));
    Error::new(SqlState::UNIQUE_VIOLATION, message).with_detail(detail)
}
