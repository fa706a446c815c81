//! The conformance script through the Rust API: the first runner, which also writes the transcript (`ORRERY_UPDATE=1`). See
//! `tests/conformance/README.md`.

#![allow(clippy::unwrap_used, clippy::unit_arg, reason = "a test panics on the unexpected")]

use orrerydb::{Answer, Connection, Database, Error, Options, Result, Row, RowStream, Value};
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Default)]
struct Runner {
    folder: PathBuf,
    database: Option<Database>,
    connection: Option<Connection>,
    bound: Vec<Value>,
    rows: Vec<Vec<Value>>,
    cursor: Option<RowStream>,
    out: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn value(text: &str) -> Value {
    let (ty, value) = text.split_once(' ').unwrap_or((text, ""));
    match ty {
        "int" => Value::Int8(value.parse().unwrap()),
        "float" => Value::Float8(value.parse().unwrap()),
        "bool" => Value::Bool(value == "t"),
        "text" => Value::from(value),
        "bytes" => Value::from(bytes(value)),
        "null" => Value::Null,
        other => panic!("bind {other}"),
    }
}

/// As C's `%.17g`.
fn float(value: f64) -> String {
    if !value.is_finite() {
        return format!("{value}").to_lowercase();
    }
    let scientific = format!("{value:.16e}");
    let (digits, exponent) = scientific.split_once('e').unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match exponent {
        -4..17 => trim(&format!("{value:.*}", usize::try_from(16 - exponent).unwrap())),
        _ => format!("{}e{}{:02}", trim(digits), if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

fn shown(row: &Row) -> Result<String> {
    let cell = |column| {
        Ok(match row.value(column)? {
            Value::Float4(value) => float(value.into()),
            Value::Float8(value) => float(value),
            _ => row.text(column)?.unwrap_or_else(|| "NULL".to_owned()),
        })
    };
    Ok((0..row.len()).map(cell).collect::<Result<Vec<_>>>()?.join("|"))
}

impl Runner {
    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().unwrap()
    }

    fn line(&mut self, line: impl std::fmt::Display) {
        writeln!(self.out, "{line}").unwrap();
    }

    fn answer(&mut self, sql: &str) -> Result<Answer> {
        let bound = std::mem::take(&mut self.bound);
        let statement = self.connection().prepare(sql)?;
        self.connection().answer(&statement, &bound)
    }

    fn open(&mut self, name: &str) -> Result<()> {
        let options = Options { seed: Some(7), now: Some(1_700_000_000_000_000), ..Options::default() };
        let database = Database::open_with(self.folder.join(name), &options)?;
        self.connection = Some(database.connect());
        self.database = Some(database);
        Ok(())
    }

    fn step(&mut self, verb: &str, rest: &str) -> Result<()> {
        match verb {
            "open" => self.open(rest)?,
            "bind" => return Ok(self.bound.push(value(rest))),
            "row" => return Ok(self.rows.push(std::mem::take(&mut self.bound))),
            "run" => return self.run(rest),
            "many" => return self.many(rest),
            "cursor" => return self.cursor(rest),
            "fetch" => return self.fetch(rest.parse().unwrap()),
            "drop" => return Ok(self.cursor = None),
            "arrow" => return self.arrow(rest),
            "begin" => self.connection().execute("begin", &[]).map(drop)?,
            "commit" => self.connection().commit()?,
            "rollback" => self.connection().rollback()?,
            "hash" => {
                let hash = self.database.as_ref().unwrap().state_hash()?;
                return Ok(self.line(format!("{hash:016x}")));
            }
            "close" => {
                self.connection = None;
                self.database.take().unwrap().close()?;
            }
            _ => return self.key_value(verb, rest),
        }
        self.line("ok");
        Ok(())
    }

    fn run(&mut self, sql: &str) -> Result<()> {
        match self.answer(sql)? {
            Answer::Done(tag) => match tag.row_count {
                Some(count) => self.line(format!("changed {count}")),
                None => self.line("done"),
            },
            Answer::Rows(rows) => {
                let mut count = 0;
                for row in rows {
                    self.line(shown(&row?)?);
                    count += 1;
                }
                self.line(format!("rows {count}"));
            }
        }
        Ok(())
    }

    fn many(&mut self, sql: &str) -> Result<()> {
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        let statement = self.connection().prepare(sql)?;
        let count = self.connection().execute_many(&statement, &mut |row| {
            let next = rows.next();
            row.extend(next.iter().flatten().cloned());
            Ok(next.is_some())
        })?;
        self.line(format!("changed {count}"));
        Ok(())
    }

    fn cursor(&mut self, sql: &str) -> Result<()> {
        let Answer::Rows(rows) = self.answer(sql)? else { panic!("{sql} gives no rows") };
        let columns: Vec<_> =
            rows.fields().iter().map(|field| format!("{}:{}", field.name, field.ty)).collect();
        self.line(format!("columns {}", columns.join(" ")));
        self.cursor = Some(rows);
        Ok(())
    }

    fn fetch(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            match self.cursor.as_mut().unwrap().next().transpose()? {
                Some(row) => self.line(shown(&row)?),
                None => return Ok(self.line("end")),
            }
        }
        Ok(())
    }

    fn arrow(&mut self, sql: &str) -> Result<()> {
        let Answer::Rows(rows) = self.answer(sql)? else { panic!("{sql} gives no rows") };
        let (columns, mut count, mut reader) = (rows.fields().len(), 0, rows.into_arrow());
        while let Some(batch) = reader.next_batch()? {
            count += batch.num_rows();
        }
        self.line(format!("arrow {columns} columns, {count} rows"));
        Ok(())
    }

    fn key_value(&mut self, verb: &str, rest: &str) -> Result<()> {
        let pairs = self.database.as_ref().unwrap().key_value();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match verb {
            "set" => {
                let (key, value) = rest.split_once(' ').unwrap();
                pairs.set(key.as_bytes(), value.as_bytes())?;
                self.line("ok");
            }
            "get" => match pairs.get(rest.as_bytes())? {
                Some(value) => self.line(text(&value)),
                None => self.line("none"),
            },
            "delete" => self.line(if pairs.delete(rest.as_bytes())? { "yes" } else { "no" }),
            "list" => {
                for (key, value) in pairs.list(rest.as_bytes(), usize::MAX)? {
                    self.line(format!("{}={}", text(&key), text(&value)));
                }
            }
            other => panic!("no such step: {other}"),
        }
        Ok(())
    }

    fn error(&mut self, error: &Error) {
        self.bound.clear();
        let position = error.position().unwrap_or(0);
        self.line(format!("error {} at {position}: {}", error.code(), error.message()));
    }
}

#[test]
fn the_transcript_is_the_golden_one() {
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let steps = std::fs::read_to_string(here.join("steps.txt")).unwrap();
    let mut runner = Runner { folder: folder.path().to_owned(), ..Runner::default() };
    for step in steps.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        runner.line(format!("> {step}"));
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        if let Err(error) = runner.step(verb, rest) {
            runner.error(&error);
        }
    }
    let golden = here.join("transcript.txt");
    if std::env::var_os("ORRERY_UPDATE").is_some() {
        std::fs::write(&golden, &runner.out).unwrap();
    }
    let golden = std::fs::read_to_string(golden).unwrap();
    for (number, (found, wanted)) in runner.out.lines().zip(golden.lines()).enumerate() {
        assert_eq!(found, wanted, "line {}", number + 1);
    }
    assert_eq!(runner.out, golden);
}
