//! Set-returning functions beside `generate_series`: each makes all of its rows at once. Those of several columns are several
//! functions, whose rows stand side by side.

use super::arrays::{array_of, int4_of, split_values};
use super::{ResultType, Scalar, Volatility, json_records, json_sets, untyped};
use crate::datum::Datum;
use crate::types::SqlType;
use orrery_base::Result;

/// A set-returning function, or one column of one.
#[derive(Debug)]
pub struct SetFunction {
    /// Its name, arguments and the type of its rows.
    pub signature: Scalar,
    /// What the column is called where PostgreSQL names it; otherwise it is called as the function.
    pub label: Option<&'static str>,
    /// Its rows. None of the arguments is NULL where the signature is strict.
    pub rows: fn(&[Datum], &[SqlType]) -> Result<Vec<Datum>>,
}

/// A signature of a set-returning function.
pub(super) const fn set(
    name: &'static str,
    args: &'static [SqlType],
    result: ResultType,
    strict: bool,
    rows: fn(&[Datum], &[SqlType]) -> Result<Vec<Datum>>,
) -> SetFunction {
    let volatility = Volatility::Immutable;
    let signature =
        Scalar { name, args, variadic: false, result, strict, volatility, eval: untyped, typed: None };
    SetFunction { signature, label: None, rows }
}

fn element_type(types: &[SqlType]) -> SqlType {
    types[0].element().unwrap_or(SqlType::Text)
}

fn subscripts(values: &[Datum]) -> Result<Vec<Datum>> {
    let array = array_of(&values[0])?;
    let number = int4_of(&values[1])?;
    let dimension = usize::try_from(number).ok().and_then(|it| it.checked_sub(1));
    let Some(dimension) = dimension.and_then(|it| array.dimensions.get(it)) else { return Ok(Vec::new()) };
    let mut all: Vec<Datum> = (dimension.lower..=dimension.upper()).map(Datum::Int4).collect();
    if matches!(values.get(2), Some(Datum::Bool(true))) {
        all.reverse();
    }
    Ok(all)
}

const TEXT: ResultType = ResultType::Fixed(SqlType::Text);
const INT4: ResultType = ResultType::Fixed(SqlType::Int4);

static ENTRIES: &[SetFunction] = &[
    set("unnest", &[SqlType::ANY_ARRAY], ResultType::From(element_type), true, |values, _| {
        Ok(array_of(&values[0])?.items.clone())
    }),
    set("generate_subscripts", &[SqlType::ANY_ARRAY, SqlType::Int4], INT4, true, |values, _| {
        subscripts(values)
    }),
    set(
        "generate_subscripts",
        &[SqlType::ANY_ARRAY, SqlType::Int4, SqlType::Bool],
        INT4,
        true,
        |values, _| subscripts(values),
    ),
    set("string_to_table", &[SqlType::Text, SqlType::Text], TEXT, false, |values, _| {
        Ok(split_values(values)?.unwrap_or_default())
    }),
    set("string_to_table", &[SqlType::Text, SqlType::Text, SqlType::Text], TEXT, false, |values, _| {
        Ok(split_values(values)?.unwrap_or_default())
    }),
];

fn all() -> impl Iterator<Item = &'static SetFunction> {
    ENTRIES
        .iter()
        .chain(super::regexps::SETS)
        .chain(&json_sets::JSON_SETS)
        .chain(&json_sets::JSONB_SETS)
        .chain(&json_records::SETS)
}

/// Whether a name is that of a set-returning function.
pub fn is_set_function(name: &str) -> bool {
    name == "generate_series" || all().any(|it| it.signature.name == name)
}

/// The signatures of a name, for each of its columns.
pub fn columns(name: &str) -> Vec<Vec<&'static SetFunction>> {
    let mut labels: Vec<Option<&str>> = Vec::new();
    let mut columns: Vec<Vec<&'static SetFunction>> = Vec::new();
    for function in all().filter(|it| it.signature.name == name) {
        match labels.iter().position(|label| *label == function.label) {
            Some(place) => columns[place].push(function),
            None => {
                labels.push(function.label);
                columns.push(vec![function]);
            }
        }
    }
    columns
}
