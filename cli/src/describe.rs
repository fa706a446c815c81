//! What `\d` and `\di` show: the tables' descriptions as results, so that every format can write them.
//!
//! It reads the catalog's plain values and no rows; sizes and row counts are the catalog's estimates and are headed so.

use std::io::Write;

use orrerydb::{ColumnDescription, IndexDescription, TableDescription};

use crate::error::{Result, ShellError, SqlError};
use crate::format::{Column, Format, Kind, RowSink, Writer};

/// `\d`: a line a table.
///
/// # Errors
/// The output fails.
pub fn list_tables<W: Write>(tables: &[TableDescription], writer: &mut Writer<W>) -> Result<()> {
    let columns =
        [text("table"), number("columns"), number("indexes"), number("rows_about"), text("size_about")];
    let rows = tables.iter().map(|table| {
        let bytes = table.byte_estimate + secondary(table).map(|index| index.byte_estimate).sum::<u64>();
        let is_view = table.view.is_some();
        let (rows, bytes) = if is_view {
            (String::new(), "view".into())
        } else {
            (table.row_estimate.to_string(), size(bytes))
        };
        vec![
            table.name.clone(),
            table.columns.len().to_string(),
            table.indexes.len().to_string(),
            rows,
            bytes,
        ]
    });
    show(&columns, rows, writer)
}

/// `\di`: a line an index, of one table or of all.
///
/// # Errors
/// 42P01 when there is no such table; the output fails.
pub fn list_indexes<W: Write>(
    tables: &[TableDescription],
    only: Option<&str>,
    writer: &mut Writer<W>,
) -> Result<()> {
    let one;
    let tables = match only {
        Some(name) => {
            one = [find(tables, name)?.clone()];
            &one[..]
        }
        None => tables,
    };
    let columns = [text("table"), text("index"), text("columns"), text("kind"), text("size_about")];
    let rows = tables.iter().flat_map(|table| {
        table.indexes.iter().map(|index| {
            let bytes = size(index.byte_estimate);
            vec![table.name.clone(), index.name.clone(), column_list(index), kind(index).to_string(), bytes]
        })
    });
    show(&columns, rows, writer)
}

/// `\d NAME`: the columns; for people also the indexes and constraints below them.
///
/// # Errors
/// 42P01 when there is no such table; the output fails.
pub fn table<W: Write>(tables: &[TableDescription], name: &str, writer: &mut Writer<W>) -> Result<()> {
    let table = find(tables, name)?;
    let columns = [text("column"), text("type"), text("nullable"), text("default")];
    let rows = table.columns.iter().map(|column| {
        let nullable = if column.not_null { "not null" } else { "" };
        vec![column.name.clone(), column.ty.name(), nullable.to_string(), default(column)]
    });
    if writer.format() != Format::Table {
        return show(&columns, rows, writer);
    }
    let output = || ShellError::io("output");
    let what = if table.view.is_some() { "View" } else { "Table" };
    writeln!(writer.out(), "{what} {}", quoted(&table.name)).map_err(output())?;
    show(&columns, rows, writer)?;
    if let Some(text) = &table.view {
        writeln!(writer.out(), "View definition:\n    {text}").map_err(output())?;
        return writer.out().flush().map_err(output());
    }
    let mut lines = Vec::new();
    if !table.indexes.is_empty() {
        lines.push("Indexes:".to_string());
    }
    for index in &table.indexes {
        let predicate = index.predicate.as_ref().map_or(String::new(), |text| format!(" WHERE ({text})"));
        let columns = column_list(index);
        lines.push(format!("    {} {} ({columns}){predicate}", quoted(&index.name), kind(index)));
    }
    if !table.checks.is_empty() {
        lines.push("Check constraints:".to_string());
    }
    for check in &table.checks {
        lines.push(format!("    {} CHECK ({})", quoted(&check.name), check.expression));
    }
    let analyzed = match table.analyzed_row_count {
        Some(count) => format!("{count} when last analysed"),
        None => "never analysed".to_string(),
    };
    lines.push(format!("About {} rows ({analyzed}), {}", table.row_estimate, size(table.byte_estimate)));
    for line in lines {
        writeln!(writer.out(), "{line}").map_err(output())?;
    }
    writer.out().flush().map_err(output())
}

fn show<W: Write>(
    columns: &[Column],
    rows: impl Iterator<Item = Vec<String>>,
    writer: &mut Writer<W>,
) -> Result<()> {
    let output = || ShellError::io("output");
    writer.begin(columns).map_err(output())?;
    for row in rows {
        let cells: Vec<Option<&str>> = row.iter().map(|cell| Some(cell.as_str())).collect();
        writer.row(&cells).map_err(output())?;
    }
    writer.end().map_err(output())
}

fn find<'t>(tables: &'t [TableDescription], name: &str) -> Result<&'t TableDescription> {
    let wanted = folded(name);
    let found = tables.iter().find(|table| table.name == wanted);
    found.ok_or_else(|| {
        let message = format!("relation \"{wanted}\" does not exist");
        SqlError { code: "42P01".into(), message, ..SqlError::default() }.into()
    })
}

/// A name as the catalog has it: lower case unless quoted.
fn folded(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_lowercase(),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn secondary(table: &TableDescription) -> impl Iterator<Item = &IndexDescription> {
    table.indexes.iter().filter(|index| !index.is_primary)
}

fn kind(index: &IndexDescription) -> &'static str {
    match (index.is_primary, index.is_constraint, index.unique) {
        (true, ..) => "PRIMARY KEY",
        (_, true, _) => "UNIQUE CONSTRAINT",
        (_, _, true) => "UNIQUE",
        _ => "INDEX",
    }
}

fn column_list(index: &IndexDescription) -> String {
    let column =
        |(name, descends): &(String, bool)| format!("{name}{}", if *descends { " DESC" } else { "" });
    index.columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

fn default(column: &ColumnDescription) -> String {
    match &column.identity {
        Some(identity) => {
            format!("generated {} as identity", if identity.always { "always" } else { "by default" })
        }
        None => column.default.clone().unwrap_or_default(),
    }
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

fn text(name: &str) -> Column {
    Column { name: name.into(), kind: Kind::Text }
}

fn number(name: &str) -> Column {
    Column { name: name.into(), kind: Kind::Number }
}
