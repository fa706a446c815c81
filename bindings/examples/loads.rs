//! Loads of 100,000 rows through the Rust API, for profiles of what `bench/python/doors.py` measures: `loads arrow|many ROUNDS
//! [OPTIONS]`. Prints milliseconds a load.

use arrow_array::{Int32Array, RecordBatch, RecordBatchIterator, StringArray};
use arrow_schema::{DataType, Field, Schema};
use orrerydb::{Database, Options, Result};
use std::sync::Arc;
use std::time::Instant;

const ROW_COUNT: i32 = 100_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let kind = arguments.first().map_or("arrow", String::as_str);
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let options: Options = arguments.get(2).map_or("", String::as_str).parse()?;
    let texts: Vec<String> = (0..ROW_COUNT).map(|n| format!("text of row {n}")).collect();
    let batch = batch(&texts);
    for _ in 0..rounds {
        let db = Database::open_with(":memory:", &options)?;
        let mut connection = db.connect();
        connection.run("create table t (id integer primary key, a integer, b text)")?;
        let start = Instant::now();
        let row_count = if kind == "arrow" {
            connection.insert_arrow("t", RecordBatchIterator::new([Ok(batch.clone())], batch.schema()))?
        } else {
            let insert = connection.prepare("insert into t values (?, ?, ?)")?;
            let mut rows = (0..ROW_COUNT).zip(&texts);
            connection.execute_many(&insert, &mut |row| {
                let Some((n, text)) = rows.next() else { return Ok(false) };
                row.extend([n.into(), (n * 7 % 1000).into(), text.as_str().into()]);
                Ok(true)
            })?
        };
        println!("{kind}: {row_count} rows in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

fn batch(texts: &[String]) -> RecordBatch {
    let field = |name, ty| Field::new(name, ty, true);
    let schema = Schema::new(vec![
        field("id", DataType::Int32),
        field("a", DataType::Int32),
        field("b", DataType::Utf8),
    ]);
    let ids = Int32Array::from_iter_values(0..ROW_COUNT);
    let numbers = Int32Array::from_iter_values((0..ROW_COUNT).map(|n| n * 7 % 1000));
    let columns =
        vec![Arc::new(ids) as _, Arc::new(numbers) as _, Arc::new(StringArray::from_iter_values(texts)) as _];
    RecordBatch::try_new(Arc::new(schema), columns)
        .expect("the columns are of the schema's types and of one length")
}
