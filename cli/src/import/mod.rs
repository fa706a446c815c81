//! `orrery import`: a CSV file into a table, in one transaction, so that after any failure the table is as it was (or
//! absent, with `--create`).

mod csv;
mod infer;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::ImportArguments;
use crate::db::{ImportRow, Session};
use crate::error::{Result, ShellError, SqlError};
use crate::format::{Column, RowSink};
use infer::{ColumnType, Inference};

/// Imports, and answers how many rows.
///
/// # Errors
/// The file, a row that does not fit (with its line), or the database; the transaction is rolled back.
pub fn run(session: &mut dyn Session, arguments: &ImportArguments) -> Result<u64> {
    let input = Input::File(arguments.file.clone());
    let null = arguments.null.as_deref();
    let count = import(session, &input, &arguments.table, null, arguments.create)?;
    settle(session, &arguments.table);
    Ok(count)
}

/// As [`run`], from any input, and without what comes after the commit.
///
/// # Errors
/// As [`run`].
pub fn import(
    session: &mut dyn Session,
    input: &Input,
    table: &str,
    null: Option<&str>,
    is_new: bool,
) -> Result<u64> {
    let mut source = Source::open(input, null)?;
    let table = table_name(table);
    let types = if is_new { Some(infer_types(input, null)?) } else { None };
    session.execute("BEGIN", &mut Silent)?;
    let loaded = load(session, &table, &mut source, types.as_deref());
    source.progress.set_message("committing");
    match loaded.and_then(|count| session.execute("COMMIT", &mut Silent).map(|()| count)) {
        Ok(count) => {
            source.progress.finish_and_clear();
            Ok(count)
        }
        Err(error) => {
            source.progress.abandon();
            // The first error is the one to tell; a rollback that fails too leaves nothing behind either.
            let _ = session.execute("ROLLBACK", &mut Silent);
            Err(error)
        }
    }
}

/// After the commit: statistics for the planner, and the log folded into the file. The rows are durable without either,
/// so a failure is told and no error.
fn settle(session: &mut dyn Session, table: &str) {
    for statement in [format!("ANALYZE {}", table_name(table)), "CHECKPOINT".to_string()] {
        if let Err(error) = session.execute(&statement, &mut Silent) {
            eprintln!("the rows are in, but {statement} failed: {error}");
        }
    }
}

/// Where rows come from.
pub enum Input {
    /// A file, gzipped if its name ends with `.gz`.
    File(String),
    /// A file inside this program, likewise.
    Embedded(&'static str, &'static [u8]),
}

impl Input {
    fn name(&self) -> &str {
        match self {
            Input::File(path) => path,
            Input::Embedded(name, _) => name,
        }
    }

    /// Its bytes as they are, counted by the answered bar.
    fn bytes(&self) -> Result<(Box<dyn Read>, ProgressBar)> {
        match self {
            Input::File(path) => {
                let file = File::open(path).map_err(ShellError::io(path))?;
                let length = file.metadata().map_err(ShellError::io(path))?.len();
                let progress = ProgressBar::new(length).with_style(style());
                Ok((Box::new(progress.wrap_read(file)), progress))
            }
            Input::Embedded(_, bytes) => Ok((Box::new(*bytes), ProgressBar::hidden())),
        }
    }
}

fn load(
    session: &mut dyn Session,
    table: &str,
    source: &mut Source,
    types: Option<&[ColumnType]>,
) -> Result<u64> {
    let columns = source.columns.clone();
    if let Some(types) = types {
        session.execute(&create_statement(table, &columns, types), &mut Silent)?;
    }
    session.load(table, &columns, &mut || source.next_row())
}

/// A first pass over the whole file.
fn infer_types(input: &Input, null: Option<&str>) -> Result<Vec<ColumnType>> {
    let mut source = Source::open(input, null)?;
    source.progress.set_message("reading types");
    let mut inference = Inference::new(source.columns.len());
    while let Some(row) = source.next_row()? {
        inference.observe(row.iter().map(Option::as_deref));
    }
    source.progress.finish_and_clear();
    Ok(inference.types())
}

fn create_statement(table: &str, columns: &[String], types: &[ColumnType]) -> String {
    let column = |(name, of): (&String, &ColumnType)| format!("{} {}", quote(name), of.sql_name());
    let list: Vec<String> = columns.iter().zip(types).map(column).collect();
    format!("CREATE TABLE {table} ({})", list.join(", "))
}

/// The file's rows.
struct Source {
    reader: csv::Reader<Box<dyn BufRead>>,
    columns: Vec<String>,
    null: Option<String>,
    name: String,
    progress: ProgressBar,
}

impl Source {
    fn open(input: &Input, null: Option<&str>) -> Result<Self> {
        let path = input.name();
        // The bar counts bytes of the file, before they are unpacked.
        let (counted, progress) = input.bytes()?;
        let input: Box<dyn BufRead> = match path.ends_with(".gz") {
            true => Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(counted)))),
            false => Box::new(BufReader::new(counted)),
        };
        let mut source = Source {
            reader: csv::Reader::new(input, path),
            columns: Vec::new(),
            null: null.map(str::to_string),
            name: path.to_string(),
            progress,
        };
        let header = source.reader.next_record()?;
        let header = header.ok_or_else(|| ShellError::Usage(format!("{path}: no header line")))?;
        source.columns = column_names(path, header.into_iter().map(|field| field.text))?;
        Ok(source)
    }

    fn next_row(&mut self) -> Result<Option<ImportRow>> {
        let Some(record) = self.reader.next_record()? else { return Ok(None) };
        if record.len() != self.columns.len() {
            let (line, found, wanted) = (self.reader.line_number(), record.len(), self.columns.len());
            let message = format!("{}, line {line}: {found} fields, and the header has {wanted}", self.name);
            return Err(SqlError { code: "22P04".into(), message, ..SqlError::default() }.into());
        }
        let is_null = |field: &csv::Field| {
            !field.is_quoted && (field.text.is_empty() || self.null.as_deref() == Some(field.text.as_str()))
        };
        Ok(Some(
            record.into_iter().map(|field| if is_null(&field) { None } else { Some(field.text) }).collect(),
        ))
    }
}

fn style() -> ProgressStyle {
    let template = "{bar:40} {percent:>3} % {bytes:>10} of {total_bytes} {eta:>4} {msg}";
    ProgressStyle::with_template(template).expect("the template is a constant")
}

/// The header's names: simple ones in lower case, as SQL would fold them; an empty one gets its number.
fn column_names(path: &str, header: impl Iterator<Item = String>) -> Result<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for (index, name) in header.enumerate() {
        let name = if name.trim().is_empty() { format!("column{}", index + 1) } else { folded(name.trim()) };
        if !seen.insert(name.clone()) {
            return Err(ShellError::Usage(format!("{path}: two columns are named {name}")));
        }
        names.push(name);
    }
    Ok(names)
}

/// A table's name from the command line as SQL: parts between points fold and are quoted, so that any word will do.
fn table_name(name: &str) -> String {
    name.split('.').map(|part| quote(&folded(part))).collect::<Vec<_>>().join(".")
}

fn folded(name: &str) -> String {
    let is_simple = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_simple { name.to_lowercase() } else { name.to_string() }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// For statements whose result nobody reads.
struct Silent;

impl RowSink for Silent {
    fn begin(&mut self, _columns: &[Column]) -> std::io::Result<()> {
        Ok(())
    }
    fn row(&mut self, _cells: &[Option<&str>]) -> std::io::Result<()> {
        Ok(())
    }
    fn end(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn tag(&mut self, _tag: &str) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeSession;
    use std::io::Write;

    fn import(name: &str, bytes: &[u8], null: Option<&str>, create: bool) -> (Result<u64>, FakeSession) {
        let folder = std::env::temp_dir().join(format!("orrery-import-{}-{name}", std::process::id()));
        std::fs::write(&folder, bytes).unwrap();
        let arguments = ImportArguments {
            database: ":memory:".into(),
            table: "T".into(),
            file: folder.to_string_lossy().into_owned(),
            null: null.map(str::to_string),
            create,
        };
        let mut session = FakeSession::default();
        let result = run(&mut session, &arguments);
        std::fs::remove_file(&folder).unwrap();
        (result, session)
    }

    #[test]
    fn a_table_is_created_and_filled_in_one_transaction() {
        let (result, session) = import("a.csv", b"Id,name,\n1,x,NA\n2,\"\",2013-01-01\n", Some("NA"), true);
        assert_eq!(result.unwrap(), 2);
        let create = "CREATE TABLE \"t\" (\"id\" integer, \"name\" text, \"column3\" date)";
        let load = "LOAD \"t\" (id, name, column3)";
        assert_eq!(session.statements, ["BEGIN", create, load, "COMMIT", "ANALYZE \"t\"", "CHECKPOINT"]);
        let cell = |text: &str| Some(text.to_string());
        assert_eq!(session.loaded[0], [cell("1"), cell("x"), None]);
        assert_eq!(session.loaded[1], [cell("2"), cell(""), cell("2013-01-01")]);
    }

    #[test]
    fn gzip_is_unpacked() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"a\n1\n2\n").unwrap();
        let (result, session) = import("b.csv.gz", &encoder.finish().unwrap(), None, false);
        assert_eq!(result.unwrap(), 2);
        assert_eq!(session.statements[..3], ["BEGIN", "LOAD \"t\" (a)", "COMMIT"]);
        assert!(import("c.csv.gz", b"not gzip", None, false).0.is_err());
    }

    #[test]
    fn a_bad_row_rolls_back() {
        let (result, session) = import("d.csv", b"a,b\n1,2\n3\n", None, false);
        assert!(result.unwrap_err().to_string().contains("line 3: 1 fields, and the header has 2 (22P04)"));
        assert_eq!(session.statements.last().unwrap(), "ROLLBACK");
    }

    #[test]
    fn headers_must_make_sense() {
        assert!(
            import("e.csv", b"a,A\n1,2\n", None, false).0.unwrap_err().to_string().contains("two columns")
        );
        assert!(import("f.csv", b"", None, false).0.unwrap_err().to_string().contains("no header"));
        assert_eq!(table_name("Public.My Table\""), "\"public\".\"My Table\"\"\"");
    }

    /// The demo's data has the types that the demo's queries count on.
    #[test]
    fn types_of_the_demo_data() {
        let types = |file: &str| {
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/nycflights13/");
            infer_types(&Input::File(format!("{root}{file}")), Some("NA"))
                .unwrap()
                .into_iter()
                .map(ColumnType::sql_name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        assert_eq!(types("airlines.csv"), "text, text");
        assert_eq!(
            types("airports.csv"),
            "text, text, double precision, double precision, integer, integer, text, text"
        );
        let flights = types("flights-2013-01.csv.gz");
        assert!(flights.starts_with("integer, integer, integer, integer"), "{flights}");
        assert!(flights.ends_with("timestamptz"), "{flights}");
    }
}
