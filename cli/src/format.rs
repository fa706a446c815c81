//! Results as text: a table for people, CSV, JSON or JSON lines for programs.
//!
//! Rows come one at a time as text cells with NULL; CSV and JSON are written as they come, a table is drawn in runs of
//! [`TABLE_ROWS`] rows so that memory stays bounded. In CSV NULL is an unquoted empty field and the empty string is `""`.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, Table, presets};

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// A header line and comma-separated fields.
    Csv,
    /// One array of objects a result.
    Json,
    /// One object a line.
    Jsonl,
}

/// What a column's text means, as far as output cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number: to the right in a table, bare in JSON.
    Number,
    /// `t` or `f`, `true` or `false`.
    Boolean,
    /// Anything else.
    Text,
}

/// A result column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its text means.
    pub kind: Kind,
}

/// Takes one result: `begin`, any number of `row`, `end`. A statement without rows gives only `tag`.
pub trait RowSink {
    /// The columns.
    fn begin(&mut self, columns: &[Column]) -> io::Result<()>;
    /// A row: as many cells as columns; `None` is NULL.
    fn row(&mut self, cells: &[Option<&str>]) -> io::Result<()>;
    /// The end of the rows.
    fn end(&mut self) -> io::Result<()>;
    /// Bytes of `COPY … TO stdout`, as they are.
    fn data(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Err(io::Error::other("the data of a COPY have no place here"))
    }
    /// What a statement without rows did (`INSERT 0 3`).
    fn tag(&mut self, tag: &str) -> io::Result<()>;
}

/// Rows of a table drawn at once.
const TABLE_ROWS: usize = 10_000;

/// Writes results in a format.
pub struct Writer<W: Write> {
    out: W,
    format: Format,
    columns: Vec<Column>,
    /// Names as JSON keys: no two alike.
    keys: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
    row_count: u64,
}

impl<W: Write> Writer<W> {
    /// A writer of this format to `out`.
    pub fn new(out: W, format: Format) -> Self {
        Writer { out, format, columns: Vec::new(), keys: Vec::new(), rows: Vec::new(), row_count: 0 }
    }

    /// The writer below.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// The format of the results to come.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Sets the format of the results to come.
    pub fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    fn draw(&mut self) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(self.columns.iter().map(|column| Cell::new(printable(&column.name))));
        for row in &self.rows {
            table.add_row(
                row.iter().zip(&self.columns).map(|(cell, column)| table_cell(cell.as_deref(), column.kind)),
            );
        }
        self.rows.clear();
        if !self.columns.is_empty() {
            writeln!(self.out, "{table}")?;
        }
        Ok(())
    }

    fn write_json_row(&mut self, cells: &[Option<&str>]) -> io::Result<()> {
        self.out.write_all(b"{")?;
        for (index, cell) in cells.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let value = json_value(*cell, self.columns[index].kind);
            write!(self.out, "{comma}{}:{value}", json_string(&self.keys[index]))?;
        }
        self.out.write_all(b"}")
    }
}

impl<W: Write> RowSink for Writer<W> {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    fn begin(&mut self, columns: &[Column]) -> io::Result<()> {
        self.columns = columns.to_vec();
        self.keys = distinct_names(columns);
        self.rows.clear();
        self.row_count = 0;
        match self.format {
            Format::Csv => {
                let names: Vec<Option<&str>> =
                    columns.iter().map(|column| Some(column.name.as_str())).collect();
                write_csv_line(&mut self.out, &names)
            }
            Format::Json => self.out.write_all(b"["),
            Format::Table | Format::Jsonl => Ok(()),
        }
    }

    fn row(&mut self, cells: &[Option<&str>]) -> io::Result<()> {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.row_count += 1;
        match self.format {
            Format::Table => {
                self.rows.push(cells.iter().map(|cell| cell.map(str::to_string)).collect());
                if self.rows.len() == TABLE_ROWS { self.draw() } else { Ok(()) }
            }
            Format::Csv => write_csv_line(&mut self.out, cells),
            Format::Json => {
                self.out.write_all(if self.row_count > 1 { b",\n " } else { b"\n " })?;
                self.write_json_row(cells)
            }
            Format::Jsonl => {
                self.write_json_row(cells)?;
                self.out.write_all(b"\n")
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self.format {
            Format::Table => {
                if !self.rows.is_empty() || self.row_count == 0 {
                    self.draw()?;
                }
                let plural = if self.row_count == 1 { "" } else { "s" };
                writeln!(self.out, "({} row{plural})", self.row_count)?;
            }
            Format::Json => self.out.write_all(if self.row_count > 0 { b"\n]\n" } else { b"]\n" })?,
            Format::Csv | Format::Jsonl => {}
        }
        self.out.flush()
    }

    fn tag(&mut self, tag: &str) -> io::Result<()> {
        if self.format == Format::Table {
            writeln!(self.out, "{tag}")?;
        }
        self.out.flush()
    }
}

fn table_cell(cell: Option<&str>, kind: Kind) -> Cell {
    let shown = Cell::new(cell.map_or_else(|| "NULL".to_string(), printable));
    if kind == Kind::Number { shown.set_alignment(CellAlignment::Right) } else { shown }
}

/// Data must not steer the terminal: control characters but line ends are shown as escapes.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push('\n'),
            '\t' => shown.push_str("    "),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// Writes one line of CSV (RFC 4180, with `\n`), NULL as an unquoted empty field.
pub fn write_csv_line(out: &mut impl Write, cells: &[Option<&str>]) -> io::Result<()> {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        let Some(text) = cell else { continue };
        let is_plain = !text.is_empty() && !text.contains([',', '"', '\n', '\r']);
        match is_plain {
            true => out.write_all(text.as_bytes())?,
            false => write!(out, "\"{}\"", text.replace('"', "\"\""))?,
        }
    }
    out.write_all(b"\n")
}

/// Column names as keys of one object: a second `a` becomes `a_2`.
fn distinct_names(columns: &[Column]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for column in columns {
        let mut name = column.name.clone();
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{}_{number}", column.name);
            number += 1;
        }
        names.push(name);
    }
    names
}

fn json_value(cell: Option<&str>, kind: Kind) -> String {
    match (cell, kind) {
        (None, _) => "null".to_string(),
        (Some("t" | "true"), Kind::Boolean) => "true".to_string(),
        (Some("f" | "false"), Kind::Boolean) => "false".to_string(),
        (Some(text), Kind::Number) if is_json_number(text) => text.to_string(),
        (Some(text), _) => json_string(text),
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JSON has no NaN, no infinities, no leading zero and no bare point: those stay strings.
fn is_json_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && text.ends_with(|c: char| c.is_ascii_digit())
        && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(format: Format, columns: &[(&str, Kind)], rows: &[&[Option<&str>]]) -> String {
        let columns: Vec<Column> =
            columns.iter().map(|(name, kind)| Column { name: name.to_string(), kind: *kind }).collect();
        let mut writer = Writer::new(Vec::new(), format);
        writer.begin(&columns).unwrap();
        for row in rows {
            writer.row(row).unwrap();
        }
        writer.end().unwrap();
        String::from_utf8(writer.out).unwrap()
    }

    const COLUMNS: &[(&str, Kind)] = &[("id", Kind::Number), ("ok", Kind::Boolean), ("name", Kind::Text)];
    const ROWS: &[&[Option<&str>]] =
        &[&[Some("1"), Some("t"), Some("a,\"b\"")], &[Some("NaN"), None, Some("")], &[None, Some("f"), None]];

    #[test]
    fn csv_tells_null_from_empty() {
        assert_eq!(write(Format::Csv, COLUMNS, ROWS), "id,ok,name\n1,t,\"a,\"\"b\"\"\"\nNaN,,\"\"\n,f,\n");
        assert_eq!(write(Format::Csv, &[("a", Kind::Text)], &[&[Some("x\r\ny")]]), "a\n\"x\r\ny\"\n");
    }

    #[test]
    fn json_has_its_own_types() {
        let lines = "{\"id\":1,\"ok\":true,\"name\":\"a,\\\"b\\\"\"}\n{\"id\":\"NaN\",\"ok\":null,\"name\":\"\"}\n{\"id\":null,\"ok\":false,\"name\":null}\n";
        assert_eq!(write(Format::Jsonl, COLUMNS, ROWS), lines);
        let whole = write(Format::Json, COLUMNS, ROWS);
        let parsed: serde_json::Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(parsed.as_array().unwrap().len(), 3);
        assert_eq!(write(Format::Json, COLUMNS, &[]), "[]\n");
    }

    #[test]
    fn json_numbers() {
        for good in ["0", "-1", "1.50", "1e10", "123456789012345678901234567890.5"] {
            assert!(is_json_number(good), "{good}");
        }
        for bad in ["NaN", "Infinity", "-Infinity", "01", ".5", "1.", "", "1 2", "--1", "-", "true", " 1"] {
            assert!(!is_json_number(bad), "{bad}");
        }
    }

    #[test]
    fn json_keys_are_distinct() {
        let columns = [("a", Kind::Number), ("a", Kind::Number), ("a_2", Kind::Number)];
        let line = write(Format::Jsonl, &columns, &[&[Some("1"), Some("2"), Some("3")]]);
        assert_eq!(line, "{\"a\":1,\"a_2\":2,\"a_2_2\":3}\n");
    }

    #[test]
    fn tables_align_and_count() {
        let expected = "\
┌──────┬──────┬───────┐
│ id   ┆ ok   ┆ name  │
╞══════╪══════╪═══════╡
│    1 ┆ t    ┆ a,\"b\" │
│  NaN ┆ NULL ┆       │
│ NULL ┆ f    ┆ NULL  │
└──────┴──────┴───────┘
(3 rows)
";
        assert_eq!(write(Format::Table, COLUMNS, ROWS), expected);
        assert!(write(Format::Table, COLUMNS, &ROWS[..1]).ends_with("(1 row)\n"));
        assert!(write(Format::Table, COLUMNS, &[]).contains("name"));
    }

    #[test]
    fn data_does_not_steer_the_terminal() {
        let table = write(Format::Table, &[("a", Kind::Text)], &[&[Some("\u{1b}[2J")]]);
        assert!(!table.contains('\u{1b}'), "{table}");
    }

    #[test]
    fn long_results_are_drawn_in_runs() {
        let row: &[Option<&str>] = &[Some("1")];
        let rows = vec![row; TABLE_ROWS + 1];
        let table = write(Format::Table, &[("a", Kind::Number)], &rows);
        assert_eq!(table.matches('╞').count(), 2);
        assert!(table.ends_with("(10001 rows)\n"));
        let exact = write(Format::Table, &[("a", Kind::Number)], &rows[1..]);
        assert_eq!(exact.matches('╞').count(), 1);
    }

    #[test]
    fn tags_are_for_people() {
        let mut writer = Writer::new(Vec::new(), Format::Table);
        writer.tag("INSERT 0 3").unwrap();
        writer.set_format(Format::Csv);
        writer.tag("INSERT 0 4").unwrap();
        assert_eq!(String::from_utf8(writer.out).unwrap(), "INSERT 0 3\n");
    }
}
