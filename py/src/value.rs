//! Values between Python and the database. Classes of the standard library are imported once, when first needed.

use crate::error::{DataError, NotSupportedError, ProgrammingError};
use orrerydb::{Interval, Numeric, Value, ValueRef};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

/// What is imported.
struct Classes {
    decimal: Py<PyAny>,
    date: Py<PyAny>,
    datetime: Py<PyAny>,
    time: Py<PyAny>,
    timedelta: Py<PyAny>,
    uuid: Py<PyAny>,
    interval: Py<PyAny>,
    epoch: Py<PyAny>,
    epoch_utc: Py<PyAny>,
}

static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

/// Days from year 1 to 1970, plus one: `date.toordinal` of the epoch.
const EPOCH_ORDINAL: i32 = 719_163;
const DAY_MICROS: i64 = 86_400_000_000;

fn classes(py: Python<'_>) -> PyResult<&'static Classes> {
    CLASSES.get_or_try_init(py, || {
        let times = py.import("datetime")?;
        let datetime = times.getattr("datetime")?;
        let utc = times.getattr("timezone")?.getattr("utc")?;
        Ok(Classes {
            decimal: py.import("decimal")?.getattr("Decimal")?.unbind(),
            date: times.getattr("date")?.unbind(),
            time: times.getattr("time")?.unbind(),
            timedelta: times.getattr("timedelta")?.unbind(),
            uuid: py.import("uuid")?.getattr("UUID")?.unbind(),
            interval: py.import("orrerydb._types")?.getattr("Interval")?.unbind(),
            epoch: datetime.call1((1970, 1, 1))?.unbind(),
            epoch_utc: datetime.call1((1970, 1, 1, 0, 0, 0, 0, utc))?.unbind(),
            datetime: datetime.unbind(),
        })
    })
}

/// The value of a parameter.
pub(crate) fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.is_none() {
        Ok(Value::Null)
    } else if object.is_exact_instance_of::<PyInt>() {
        integer(object)
    } else if let Ok(text) = object.cast_exact::<PyString>() {
        Ok(Value::Text(text.to_str()?.into()))
    } else if let Ok(float) = object.cast_exact::<PyFloat>() {
        Ok(Value::Float8(float.value()))
    } else if let Ok(bool) = object.cast_exact::<PyBool>() {
        Ok(Value::Bool(bool.is_true()))
    } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        Ok(Value::Bytea(bytes.as_bytes().into()))
    } else {
        other(object)
    }
}

fn integer(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    match object.extract::<i64>() {
        Ok(value) => Ok(Value::Int8(value)),
        Err(_) => numeric(&object.str()?),
    }
}

fn numeric(text: &Bound<'_, PyString>) -> PyResult<Value> {
    let text = text.to_str()?;
    let number = text.parse::<Numeric>();
    number.map(Value::Numeric).map_err(|_| DataError::new_err(format!("{text} is no numeric")))
}

fn other(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = object.py();
    let classes = classes(py)?;
    let is = |class: &Py<PyAny>| object.is_instance(class.bind(py));
    if is(&classes.datetime)? {
        let is_aware = !object.call_method0("utcoffset")?.is_none();
        let epoch = if is_aware { &classes.epoch_utc } else { &classes.epoch };
        let micros = micros_of(&object.sub(epoch)?)?;
        return Ok(if is_aware { Value::Timestamptz(micros) } else { Value::Timestamp(micros) });
    }
    if is(&classes.date)? {
        return Ok(Value::Date(object.call_method0("toordinal")?.extract::<i32>()? - EPOCH_ORDINAL));
    }
    if is(&classes.decimal)? {
        return numeric(&object.str()?);
    }
    if is(&classes.uuid)? {
        return Ok(Value::Uuid(object.getattr("bytes")?.extract()?));
    }
    if is(&classes.interval)? {
        let (months, days, micros) = object.extract()?;
        return Ok(Value::Interval(Interval { months, days, micros }));
    }
    if is(&classes.timedelta)? {
        let (days, micros) = (object.getattr("days")?.extract()?, micros_of(object)?);
        let micros = micros - i64::from(days) * DAY_MICROS;
        return Ok(Value::Interval(Interval { months: 0, days, micros }));
    }
    if is(&classes.time)? {
        if !object.call_method0("utcoffset")?.is_none() {
            return Err(NotSupportedError::new_err(
                "a time of day with a time zone has no counterpart in SQL",
            ));
        }
        let part = |name| object.getattr(name)?.extract::<i64>();
        let seconds = (part("hour")? * 60 + part("minute")?) * 60 + part("second")?;
        return Ok(Value::Time(seconds * 1_000_000 + part("microsecond")?));
    }
    if object.is_instance_of::<PyByteArray>() || object.is_instance_of::<PyMemoryView>() {
        let bytes = py.get_type::<PyBytes>().call1((object,))?;
        return from_python(&bytes);
    }
    if object.is_instance_of::<PyString>()
        || object.is_instance_of::<PyFloat>()
        || object.is_instance_of::<PyInt>()
    {
        // Subclasses (enumerations, numpy's float64).
        return if object.is_instance_of::<PyString>() {
            Ok(Value::Text(object.extract::<String>()?.into()))
        } else if object.is_instance_of::<PyFloat>() {
            object.extract().map(Value::Float8)
        } else {
            integer(object)
        };
    }
    // numpy's scalars know their Python value.
    if object.hasattr("dtype")? && object.hasattr("item")? {
        return from_python(&object.call_method0("item")?);
    }
    let message = format!("a parameter of type {} has no counterpart in SQL", object.get_type().name()?);
    Err(NotSupportedError::new_err(message))
}

fn micros_of(delta: &Bound<'_, PyAny>) -> PyResult<i64> {
    let part = |name| delta.getattr(name)?.extract::<i64>();
    Ok(part("days")? * DAY_MICROS + part("seconds")? * 1_000_000 + part("microseconds")?)
}

/// Appends the parameters of one execution.
pub(crate) fn push_params(params: &Bound<'_, PyAny>, into: &mut Vec<Value>) -> PyResult<()> {
    if let Ok(tuple) = params.cast_exact::<PyTuple>() {
        for value in tuple.iter_borrowed() {
            into.push(from_python(&value)?);
        }
        return Ok(());
    }
    if params.is_instance_of::<pyo3::types::PyDict>() || params.is_instance_of::<PyString>() {
        let message = "parameters are a sequence: a tuple or a list, one value for each ? or $1";
        return Err(ProgrammingError::new_err(message));
    }
    for value in params.try_iter()? {
        into.push(from_python(&value?)?);
    }
    Ok(())
}

/// A value as Python has it.
pub(crate) fn to_python<'py>(py: Python<'py>, value: ValueRef<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        ValueRef::Null => py.None().into_bound(py),
        ValueRef::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
        ValueRef::Int2(value) => value.into_pyobject(py)?.into_any(),
        ValueRef::Int4(value) => value.into_pyobject(py)?.into_any(),
        ValueRef::Int8(value) => value.into_pyobject(py)?.into_any(),
        ValueRef::Float4(value) => PyFloat::new(py, f64::from(value)).into_any(),
        ValueRef::Float8(value) => PyFloat::new(py, value).into_any(),
        ValueRef::Text(value) | ValueRef::Jsonb(value) => PyString::new(py, value).into_any(),
        ValueRef::Time(micros) => {
            // 24:00 is no time of Python's.
            let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
            let parts = (seconds / 3600, seconds / 60 % 60, seconds % 60, micros);
            classes(py)?.time.bind(py).call1(parts).map_err(|_| out_of_range())?
        }
        ValueRef::Array(array) => {
            let mut items = array.items.iter();
            let lengths: Vec<u32> = array.dimensions.iter().map(|it| it.length).collect();
            level(py, &lengths, &mut items)?.into_any()
        }
        // Rows are shown as texts, so one only comes as a part of something else.
        ValueRef::Record(record) => {
            let mut text = String::new();
            record.format_into(&mut text, Default::default());
            PyString::new(py, &text).into_any()
        }
        ValueRef::Bytea(value) => PyBytes::new(py, value).into_any(),
        ValueRef::Numeric(value) => classes(py)?.decimal.bind(py).call1((value.to_string(),))?,
        ValueRef::Uuid(value) => {
            let none = py.None();
            classes(py)?.uuid.bind(py).call1((&none, PyBytes::new(py, &value)))?
        }
        ValueRef::Date(days) => {
            let ordinal = days.checked_add(EPOCH_ORDINAL).filter(|&day| day > 0).ok_or_else(out_of_range)?;
            let date = classes(py)?.date.bind(py).call_method1("fromordinal", (ordinal,));
            date.map_err(|_| out_of_range())?
        }
        ValueRef::Timestamp(micros) => moment(py, &classes(py)?.epoch, micros)?,
        ValueRef::Timestamptz(micros) => moment(py, &classes(py)?.epoch_utc, micros)?,
        ValueRef::Interval(Interval { months: 0, days, micros }) => {
            classes(py)?.timedelta.bind(py).call1((days, 0, micros))?
        }
        ValueRef::Interval(Interval { months, days, micros }) => {
            classes(py)?.interval.bind(py).call1((months, days, micros))?
        }
    })
}

/// One level of an array as a list; its bounds do not count.
fn level<'py>(
    py: Python<'py>,
    lengths: &[u32],
    items: &mut std::slice::Iter<'_, Value>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    let Some((length, inner)) = lengths.split_first() else { return Ok(list) };
    for _ in 0..*length {
        if !inner.is_empty() {
            list.append(level(py, inner, items)?)?;
        } else if let Some(item) = items.next() {
            list.append(to_python(py, ValueRef::from(item))?)?;
        }
    }
    Ok(list)
}

fn moment<'py>(py: Python<'py>, epoch: &Py<PyAny>, micros: i64) -> PyResult<Bound<'py, PyAny>> {
    let delta = classes(py)?.timedelta.bind(py).call1((0, 0, micros));
    delta.and_then(|delta| epoch.bind(py).add(delta)).map_err(|_| out_of_range())
}

fn out_of_range() -> PyErr {
    DataError::new_err("a date or time outside of Python's years 1 to 9999: cast it to text")
}
