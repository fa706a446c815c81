//! `orrery export`: the database as a script of SQL, of one snapshot: the schema, then the rows, then what rows could break while they
//! arrive (see the engine's `export`). To standard output with `COPY … FROM stdin`, or into a folder with a CSV file for each table.
//!
//! Rows pass through; no table is ever held in memory. The script's own shell reads both; so does PostgreSQL's, but for what only
//! Orrery has. Pairs of the key-value interface are no SQL: they are left out, and that is said.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use orrerydb::TableRows;

use crate::db::Session;
use crate::error::{Result, ShellError};
use crate::format::{Column, RowSink};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;
/// The script in a folder.
const SCRIPT_FILE: &str = "schema.sql";

/// Exports everything the session sees, into the folder `to` or to standard output.
///
/// # Errors
/// What the database says; the output fails; there is a script in the folder.
pub fn run(session: &mut dyn Session, to: Option<&str>) -> Result<()> {
    match to {
        None => {
            let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
            export(session, &mut out, None)?;
            out.flush().map_err(ShellError::io("output"))?;
        }
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(ShellError::io(folder))?;
            let folder = Path::new(folder);
            let mut out = create(&folder.join(SCRIPT_FILE))?;
            export(session, &mut out, Some(folder))?;
            finish(out, SCRIPT_FILE)?;
        }
    }
    if session.has_pairs()? {
        eprintln!("NOTICE:  the pairs of the key-value interface are not exported");
    }
    Ok(())
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create_new(path).map_err(ShellError::io(path.display().to_string()))?;
    Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
}

fn finish(out: BufWriter<File>, name: &str) -> Result<()> {
    let file = out.into_inner().map_err(|error| ShellError::Io(name.into(), error.into_error()))?;
    file.sync_all().map_err(ShellError::io(name))
}

fn export(session: &mut dyn Session, out: &mut dyn Write, folder: Option<&Path>) -> Result<()> {
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &mut Nowhere)?;
    let script = session.schema_script()?;
    let output = || ShellError::io("output");
    for statement in &script.before {
        writeln!(out, "{statement};\n").map_err(output())?;
    }
    for (index, table) in script.tables.iter().enumerate() {
        match folder {
            _ if table.column_count == 0 => rows_without_columns(session, out, table)?,
            None => rows_in_the_script(session, out, table)?,
            Some(folder) => {
                let name = file_name(index, &table.table);
                rows_in_a_file(session, &folder.join(&name), table)?;
                let target = &table.target;
                writeln!(out, "COPY {target} FROM '{name}' WITH (FORMAT csv);\n").map_err(output())?;
            }
        }
    }
    for statement in &script.after {
        writeln!(out, "{statement};\n").map_err(output())?;
    }
    session.execute("COMMIT", &mut Nowhere)
}

fn rows_in_the_script(session: &mut dyn Session, out: &mut dyn Write, table: &TableRows) -> Result<()> {
    writeln!(out, "COPY {} FROM stdin;", table.target).map_err(ShellError::io("output"))?;
    session.execute(&table.query, &mut Rows { out, form: Form::Text, line: String::new() })?;
    writeln!(out, "\\.\n").map_err(ShellError::io("output"))
}

fn rows_in_a_file(session: &mut dyn Session, path: &Path, table: &TableRows) -> Result<()> {
    let mut file = create(path)?;
    session.execute(&table.query, &mut Rows { out: &mut file, form: Form::Csv, line: String::new() })?;
    finish(file, &path.display().to_string())
}

/// COPY needs a column.
fn rows_without_columns(session: &mut dyn Session, out: &mut dyn Write, table: &TableRows) -> Result<()> {
    let mut count = Count(0);
    session.execute(&table.query, &mut count)?;
    for _ in 0..count.0 {
        writeln!(out, "INSERT INTO {} DEFAULT VALUES;", table.target).map_err(ShellError::io("output"))?;
    }
    Ok(())
}

/// `3-orders.csv`: the number makes it the table's own, the name says which.
fn file_name(index: usize, table: &str) -> String {
    let plain: String =
        table.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).take(60).collect();
    format!("{}-{plain}.csv", index + 1)
}

/// How a row is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// COPY's text: tabs, `\N`, backslashes.
    Text,
    /// COPY's CSV: NULL is nothing, the empty text is `""`.
    Csv,
}

/// Writes rows as COPY reads them.
struct Rows<'o> {
    out: &'o mut dyn Write,
    form: Form,
    /// The row that is being made.
    line: String,
}

impl RowSink for Rows<'_> {
    fn begin(&mut self, _columns: &[Column]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, cells: &[Option<&str>]) -> io::Result<()> {
        self.line.clear();
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                self.line.push(if self.form == Form::Text { '\t' } else { ',' });
            }
            match (cell, self.form) {
                (Some(cell), Form::Text) => push_text(&mut self.line, cell),
                (Some(cell), Form::Csv) => push_csv(&mut self.line, cell),
                (None, Form::Text) => self.line.push_str("\\N"),
                (None, Form::Csv) => {}
            }
        }
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn tag(&mut self, _tag: &str) -> io::Result<()> {
        Ok(())
    }
}

fn push_text(line: &mut String, cell: &str) {
    let mut rest = cell;
    while let Some(at) = rest.find(['\\', '\t', '\n', '\r']) {
        line.push_str(&rest[..at]);
        line.push_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'\t' => "\\t",
            b'\n' => "\\n",
            _ => "\\r",
        });
        rest = &rest[at + 1..];
    }
    line.push_str(rest);
}

fn push_csv(line: &mut String, cell: &str) {
    if cell.is_empty() || cell == "\\." || cell.contains(['"', ',', '\n', '\r']) {
        line.push('"');
        line.push_str(&cell.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(cell);
    }
}

/// Takes what nobody reads.
struct Nowhere;

impl RowSink for Nowhere {
    fn begin(&mut self, _columns: &[Column]) -> io::Result<()> {
        Ok(())
    }
    fn row(&mut self, _cells: &[Option<&str>]) -> io::Result<()> {
        Ok(())
    }
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn tag(&mut self, _tag: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Reads one number.
struct Count(u64);

impl RowSink for Count {
    fn begin(&mut self, _columns: &[Column]) -> io::Result<()> {
        Ok(())
    }
    fn row(&mut self, cells: &[Option<&str>]) -> io::Result<()> {
        self.0 = cells.first().copied().flatten().and_then(|it| it.parse().ok()).unwrap_or(0);
        Ok(())
    }
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn tag(&mut self, _tag: &str) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_as_copy_reads_them() {
        for (cell, as_text, as_csv) in [
            ("plain", "plain", "plain"),
            ("", "", "\"\""),
            ("\\.", "\\\\.", "\"\\.\""),
            ("\\N", "\\\\N", "\\N"),
            ("a\tb\nc\rd", "a\\tb\\nc\\rd", "\"a\tb\nc\rd\""),
            ("say \"x\", é", "say \"x\", é", "\"say \"\"x\"\", é\""),
        ] {
            let (mut text, mut csv) = (String::new(), String::new());
            push_text(&mut text, cell);
            push_csv(&mut csv, cell);
            assert_eq!((text.as_str(), csv.as_str()), (as_text, as_csv));
        }
    }
}
