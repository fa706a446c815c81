//! Calls with `VARIADIC`: the elements of an array in place of the last arguments. Each row calls the function with as many
//! arguments as its array has elements.

use super::arrays::array_of;
use super::{Scalar, TypedCall, Value, Volatility, json_build, jsons, strings, texts, typed_entry};
use crate::columns;
use crate::datum::Datum;
use crate::types::SqlType;
use orrery_base::{Error, Result};

/// What stands before the name of a function called so.
const PREFIX: &str = "variadic ";

/// The functions of this name that may be called with `VARIADIC`.
pub fn spread_name(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// `inner` with the last argument's elements as arguments. An array that is NULL gives NULL, or stands for none where
/// `null_is_empty`.
fn spread(
    call: &TypedCall<'_>,
    null_is_empty: bool,
    inner: fn(&TypedCall<'_>) -> Result<Value>,
) -> Result<Value> {
    let last = call.args.len() - 1;
    call.rows(false, |values| {
        let mut types: Vec<SqlType> = call.types[..last].to_vec();
        let mut args: Vec<Datum> = values[..last].to_vec();
        match &values[last] {
            Datum::Null if !null_is_empty => return Ok(Datum::Null),
            Datum::Null => {}
            array => {
                let array = array_of(array)?;
                args.extend(array.items.iter().cloned());
                types.resize(args.len(), array.element);
            }
        }
        let constant = |(value, ty): (&Datum, &SqlType)| columns::array_of([value], *ty).map(Value::Constant);
        let constants = args.iter().zip(&types).map(constant).collect::<Result<Vec<_>>>()?;
        let result = call.result;
        let one = TypedCall { context: call.context, args: &constants, types: &types, result, row_count: 1 };
        columns::datum_at(inner(&one)?.array(), result, 0)
    })
}

macro_rules! spread {
    ($name:literal, [$($arg:expr),*] => $result:expr, $inner:expr) => {
        Scalar {
            volatility: Volatility::Stable,
            ..typed_entry(concat!("variadic ", $name), &[$($arg,)* SqlType::ANY_ARRAY], $result, false, |call| {
                spread(call, false, $inner)
            })
        }
    };
}

use SqlType::{Int4, Json, Jsonb, Text};

pub(super) static ENTRIES: &[Scalar] = &[
    spread!("concat", [] => Text, |call| {
        // No elements make an empty text.
        if call.args.is_empty() {
            return call.rows(false, |_| Ok(Datum::Text("".into())));
        }
        strings::concatenate(call, false)
    }),
    spread!("concat_ws", [Text] => Text, |call| strings::concatenate(call, true)),
    Scalar {
        volatility: Volatility::Stable,
        ..typed_entry("variadic format", &[Text, SqlType::ANY_ARRAY], Text, false, |call| {
            spread(call, true, texts::formats)
        })
    },
    spread!("num_nulls", [] => Int4, |call| texts::count_nulls(call, true)),
    spread!("num_nonnulls", [] => Int4, |call| texts::count_nulls(call, false)),
    spread!("json_build_array", [] => Json, |call| json_build::build_array(call, false)),
    spread!("jsonb_build_array", [] => Jsonb, |call| json_build::build_array(call, true)),
    spread!("json_build_object", [] => Json, |call| json_build::build_object(call, false)),
    spread!("jsonb_build_object", [] => Jsonb, |call| json_build::build_object(call, true)),
    spread!("json_extract_path", [Json] => Json, |call| jsons::extract_path(call, false)),
    spread!("jsonb_extract_path", [Jsonb] => Jsonb, |call| jsons::extract_path(call, false)),
    spread!("json_extract_path_text", [Json] => Text, |call| jsons::extract_path(call, true)),
    spread!("jsonb_extract_path_text", [Jsonb] => Text, |call| jsons::extract_path(call, true)),
];

/// 42804
pub fn not_an_array() -> Error {
    Error::new(orrery_base::SqlState::DATATYPE_MISMATCH, "VARIADIC argument must be an array")
}
