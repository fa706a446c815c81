//! A session that remembers what it was asked, for the tests of the shell. It answers by the first word of a statement.

use std::sync::Arc;

use crate::db::{Canceller, ImportRow, Session};
use crate::error::{Result, ShellError, SqlError};
use crate::format::{Column, Kind, RowSink};

/// See the head of the file.
#[derive(Debug, Default)]
pub struct FakeSession {
    /// Every statement, and `LOAD table (columns)` for a load.
    pub statements: Vec<String>,
    /// The rows of all loads.
    pub loaded: Vec<ImportRow>,
}

impl Session for FakeSession {
    fn execute(&mut self, statement: &str, sink: &mut dyn RowSink) -> Result<()> {
        self.statements.push(statement.to_string());
        match statement.split_whitespace().next().unwrap_or("") {
            "SELECT" => {
                sink.begin(&[Column { name: "a".into(), kind: Kind::Number }])
                    .map_err(ShellError::io("output"))?;
                sink.row(&[Some("1")]).map_err(ShellError::io("output"))?;
                sink.end().map_err(ShellError::io("output"))
            }
            "FAIL" => {
                let message = "it failed".to_string();
                Err(SqlError { code: "XX000".into(), message, position: Some(1), ..SqlError::default() }
                    .into())
            }
            other => sink.tag(other).map_err(ShellError::io("output")),
        }
    }

    fn load(
        &mut self,
        table: &str,
        columns: &[String],
        next: &mut dyn FnMut() -> Result<Option<ImportRow>>,
    ) -> Result<u64> {
        self.statements.push(format!("LOAD {table} ({})", columns.join(", ")));
        let mut count = 0;
        while let Some(row) = next()? {
            self.loaded.push(row);
            count += 1;
        }
        Ok(count)
    }

    fn copy_in(&mut self, statement: &str, next: &mut dyn FnMut() -> Result<Option<Vec<u8>>>) -> Result<u64> {
        self.statements.push(statement.to_string());
        let mut count = 0;
        while let Some(line) = next()? {
            self.loaded.push(vec![Some(String::from_utf8(line).expect("UTF-8"))]);
            count += 1;
        }
        Ok(count)
    }

    fn schema_script(&mut self) -> Result<orrerydb::SchemaScript> {
        Ok(orrerydb::SchemaScript::default())
    }

    fn has_pairs(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn describe(&mut self) -> Result<Vec<orrerydb::TableDescription>> {
        Ok(Vec::new())
    }

    fn canceller(&self) -> Canceller {
        Arc::new(|| {})
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
