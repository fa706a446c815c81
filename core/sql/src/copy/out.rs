//! COPY … TO: rows become text, as PostgreSQL writes it and COPY FROM reads it.

use crate::bind::{CopyFormat, ForceQuote};
use crate::columns::datum_at;
use crate::exec::Batch;
use crate::plan::Field;
use crate::text::{self, FormatSettings};
use orrery_base::{Error, Result, SqlState};

/// Writes rows of these columns.
pub struct CopyOut {
    format: CopyFormat,
    settings: FormatSettings,
    fields: Vec<Field>,
    /// FORCE_QUOTE, by column.
    force: Vec<bool>,
    /// The value that is being written.
    cell: String,
    /// The names come first.
    header: bool,
}

impl CopyOut {
    /// Errors: 42703 for a name in FORCE_QUOTE that is no column.
    pub fn new(format: CopyFormat, fields: &[Field], settings: FormatSettings) -> Result<Self> {
        let mut force = vec![format.force_quote == ForceQuote::All; fields.len()];
        if let ForceQuote::Of(names) = &format.force_quote {
            for name in names {
                let Some(at) = fields.iter().position(|field| field.name == name.text) else {
                    let message = format!("column \"{}\" does not exist", name.text);
                    return Err(Error::new(SqlState::UNDEFINED_COLUMN, message).at(name.at));
                };
                force[at] = true;
            }
        }
        let header = format.header;
        Ok(CopyOut { format, settings, fields: fields.to_vec(), force, cell: String::new(), header })
    }

    /// Appends the names, if they are wanted and were not written yet.
    pub fn header(&mut self, into: &mut String) {
        if !std::mem::take(&mut self.header) {
            return;
        }
        for (at, field) in self.fields.iter().enumerate() {
            self.separate(at, into);
            match self.format.csv {
                true => push_csv(into, &field.name, &self.format, false, self.fields.len() == 1),
                false => push_text(into, &field.name, self.format.delimiter),
            }
        }
        into.push('\n');
    }

    /// Appends a batch's rows.
    pub fn rows(&mut self, batch: &Batch, into: &mut String) -> Result<()> {
        for row in 0..batch.row_count {
            for at in 0..self.fields.len() {
                self.separate(at, into);
                let value = datum_at(&*batch.columns[at], self.fields[at].ty, row)?;
                if value.is_null() {
                    into.push_str(&self.format.null);
                    continue;
                }
                self.cell.clear();
                text::format_into(&mut self.cell, &value, self.fields[at].ty, self.settings);
                match self.format.csv {
                    true => {
                        push_csv(into, &self.cell, &self.format, self.force[at], self.fields.len() == 1);
                    }
                    false => push_text(into, &self.cell, self.format.delimiter),
                }
            }
            into.push('\n');
        }
        Ok(())
    }

    fn separate(&self, at: usize, into: &mut String) {
        if at > 0 {
            into.push(self.format.delimiter as char);
        }
    }
}

fn push_text(into: &mut String, cell: &str, delimiter: u8) {
    let mut plain = 0;
    for (at, byte) in cell.bytes().enumerate() {
        let escaped = match byte {
            8 => 'b',
            9 => 't',
            10 => 'n',
            11 => 'v',
            12 => 'f',
            13 => 'r',
            b'\\' => '\\',
            _ if byte == delimiter => byte as char,
            _ => continue,
        };
        into.push_str(&cell[plain..at]);
        into.push('\\');
        into.push(escaped);
        plain = at + 1;
    }
    into.push_str(&cell[plain..]);
}

fn push_csv(into: &mut String, cell: &str, format: &CopyFormat, force: bool, is_alone: bool) {
    let is_special =
        |byte: u8| byte == format.delimiter || byte == format.quote || matches!(byte, b'\n' | b'\r');
    // `\.` on a line of its own would be the end.
    let is_end = is_alone && cell == "\\.";
    if !force && cell != format.null && !is_end && !cell.bytes().any(is_special) {
        into.push_str(cell);
        return;
    }
    into.push(format.quote as char);
    let mut plain = 0;
    for (at, byte) in cell.bytes().enumerate() {
        if byte == format.quote || byte == format.escape {
            into.push_str(&cell[plain..at]);
            into.push(format.escape as char);
            plain = at;
        }
    }
    into.push_str(&cell[plain..]);
    into.push(format.quote as char);
}
