//! Row values: made, taken apart, tested for NULLs. The binder calls these by their places here; only `row_to_json` has a name.

use super::{Scalar, TypedCall, Value, Volatility, json_build, typed_entry};
use crate::datum::Datum;
use crate::record::{Field, RecordValue};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

const RECORD: SqlType = SqlType::Record(0);

/// `ROW(…)`: the names of its fields as an array, then their values.
pub static ROW: Scalar =
    Scalar { variadic: true, ..typed_entry("row", &[SqlType::Unknown], RECORD, false, row) };

/// A field of a row value, by its place from 0.
pub static FIELD: Scalar = typed_entry("field", &[RECORD, SqlType::Int4], SqlType::Unknown, true, field);

/// Whether all fields are NULL, or the row itself.
pub static ALL_NULL: Scalar = typed_entry("row is null", &[RECORD], SqlType::Bool, false, |call| {
    nulls(call, |record| record.is_none_or(|record| record.fields.iter().all(|it| it.value.is_null())))
});

/// Whether no field is NULL, nor the row itself.
pub static NONE_NULL: Scalar = typed_entry("row is not null", &[RECORD], SqlType::Bool, false, |call| {
    nulls(call, |record| record.is_some_and(|record| record.fields.iter().all(|it| !it.value.is_null())))
});

/// A text as a row: the text, and an empty row of the type.
pub static READ: Scalar = Scalar {
    volatility: Volatility::Stable,
    ..typed_entry("row read", &[SqlType::Text, RECORD], RECORD, true, read)
};

pub(super) static ENTRIES: &[Scalar] = &[
    typed_entry("row_to_json", &[RECORD], SqlType::Json, true, json_build::row_to_json),
    typed_entry("row_to_json", &[RECORD, SqlType::Bool], SqlType::Json, true, json_build::row_to_json),
];

fn row(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(false, |values| {
        let (Some(Datum::Array(names)), values) = (values.first(), &values[1..]) else {
            return Err(Error::internal("a row without the names of its fields"));
        };
        let mut fields = Vec::with_capacity(values.len());
        for ((name, value), ty) in names.items.iter().zip(values).zip(&call.types[1..]) {
            let Datum::Text(name) = name else {
                return Err(Error::internal("a field without a name"));
            };
            fields.push(Field { name: name.clone(), ty: ty.base(), value: value.clone() });
        }
        Ok(Datum::Record(RecordValue { fields }.into()))
    })
}

fn read(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| {
        let (Datum::Text(text), Datum::Record(empty)) = (&values[0], &values[1]) else {
            return Err(Error::internal("a row is read from a text"));
        };
        let malformed = |detail: &str| {
            let message = format!("malformed record literal: \"{text}\"");
            Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message).with_detail(detail.to_owned())
        };
        let texts = crate::record::parse(text).map_err(malformed)?;
        if texts.len() != empty.fields.len() {
            let few = texts.len() < empty.fields.len();
            return Err(malformed(if few { "Too few columns." } else { "Too many columns." }));
        }
        let mut fields = empty.fields.clone();
        for (field, text) in fields.iter_mut().zip(texts) {
            if let Some(text) = text {
                field.value = crate::text::parse_with(&text, field.ty, call.settings())?;
            }
        }
        Ok(Datum::Record(RecordValue { fields }.into()))
    })
}

fn field(call: &TypedCall<'_>) -> Result<Value> {
    call.rows(true, |values| match (&values[0], &values[1]) {
        (Datum::Record(record), Datum::Int4(place)) => {
            let found = usize::try_from(*place).ok().and_then(|place| record.fields.get(place));
            Ok(found.map_or(Datum::Null, |field| field.value.clone()))
        }
        _ => Err(Error::internal("a field of what is no row")),
    })
}

fn nulls(call: &TypedCall<'_>, test: impl Fn(Option<&RecordValue>) -> bool) -> Result<Value> {
    call.rows(false, |values| {
        Ok(Datum::Bool(match &values[0] {
            Datum::Record(record) => test(Some(record)),
            _ => test(None),
        }))
    })
}
