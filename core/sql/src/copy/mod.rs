//! COPY … FROM: text arriving in pieces becomes rows, inserted batch by batch by the same code as INSERT. COPY … TO is in `out.rs`.

mod out;
mod records;

use crate::bind::CopyFrom;
use crate::columns::ColumnBuilder;
use crate::exec::{self, Batch, ExecContext};
use crate::expr::Expr;
use crate::plan::{Field, Insert, Op, Plan, PlanNode};
use crate::text;
use crate::types::SqlType;
use orrery_base::{Cx, Error, Result, SqlState, limits};
pub use out::CopyOut;
use records::{Cells, Records};

/// A COPY under way.
pub struct CopyIn {
    copy: CopyFrom,
    context: ExecContext,
    /// INSERT of one row: what the text gives are its parameters.
    insert: Insert,
    records: Records,
    cells: Cells,
    /// The rows that are not inserted yet, by column of the text.
    columns: Vec<ColumnBuilder>,
    pending_count: usize,
    line: u64,
    row_count: u64,
    skip_header: bool,
}

impl CopyIn {
    /// Starts one. The context's transaction and settings are the statement's.
    pub fn new(copy: CopyFrom, context: ExecContext) -> Self {
        let (records, skip_header) = (Records::new(copy.format.clone()), copy.format.header);
        CopyIn {
            insert: insert_of(&copy),
            columns: builders_of(&copy),
            cells: Cells::default(),
            pending_count: 0,
            copy,
            context,
            records,
            line: 0,
            row_count: 0,
            skip_header,
        }
    }

    /// Takes the next bytes of the text, cut anywhere. Errors: 22P04 for text that is no such file, 22P02 and its kin for
    /// values, those of INSERT; the COPY is over then. Suspends for pages, locks and budget.
    pub async fn write(&mut self, cx: &Cx, bytes: &[u8]) -> Result<()> {
        self.records.push(bytes);
        self.take_records(cx).await
    }

    /// Ends the text; answers how many rows were inserted.
    pub async fn finish(mut self, cx: &Cx) -> Result<u64> {
        self.records.end();
        self.take_records(cx).await?;
        self.flush(cx).await?;
        Ok(self.row_count)
    }

    async fn take_records(&mut self, cx: &Cx) -> Result<()> {
        loop {
            let first_line = self.records.line();
            let read = self.records.next_record(&mut self.cells);
            if !read.map_err(|error| self.in_line(error, first_line))? {
                return Ok(());
            }
            self.line = first_line;
            if std::mem::take(&mut self.skip_header) {
                self.check_header().map_err(|error| self.in_line(error, first_line))?;
                continue;
            }
            self.take_row().map_err(|error| self.in_line(error, first_line))?;
            if self.pending_count >= limits::BATCH_ROW_COUNT {
                self.flush(cx).await?;
            }
        }
    }

    /// Errors: 22P04 for other names than the columns', where HEADER MATCH asks.
    fn check_header(&self) -> Result<()> {
        if !self.copy.format.header_match {
            return Ok(());
        }
        let (count, expected) = (self.cells.len(), self.copy.columns.len());
        if count != expected {
            let message = format!("wrong number of fields in header line: got {count}, expected {expected}");
            return Err(bad_file(message));
        }
        for (at, &ordinal) in self.copy.columns.iter().enumerate() {
            let name = &self.copy.table.columns[ordinal].name;
            let got = match self.cells.get(at) {
                Some(given) if given == name => continue,
                Some(given) => format!("\"{given}\""),
                None => format!("null value (\"{}\")", self.copy.format.null),
            };
            let field = at + 1;
            let message =
                format!("column name mismatch in header line field {field}: got {got}, expected \"{name}\"");
            return Err(bad_file(message));
        }
        Ok(())
    }

    fn take_row(&mut self) -> Result<()> {
        let ordinals = &self.copy.columns;
        if self.cells.len() > ordinals.len() {
            return Err(bad_file("extra data after last expected column"));
        }
        if let Some(&missing) = ordinals.get(self.cells.len()) {
            let name = &self.copy.table.columns[missing].name;
            return Err(bad_file(format!("missing data for column \"{name}\"")));
        }
        let settings = self.context.settings();
        for (at, (&ordinal, builder)) in ordinals.iter().zip(&mut self.columns).enumerate() {
            match (self.cells.get(at), self.copy.table.columns[ordinal].assigned()) {
                (None, _) => builder.push_null(),
                (Some(cell), _) if self.copy.read.contains_key(&at) => builder.push_bytes(cell.as_bytes())?,
                (Some(cell), SqlType::Text | SqlType::Varchar(None)) => {
                    builder.push_bytes(cell.as_bytes())?
                }
                (Some(cell), ty) => builder.push(&text::parse_with(cell, ty, settings)?)?,
            }
        }
        self.pending_count += 1;
        Ok(())
    }

    async fn flush(&mut self, cx: &Cx) -> Result<()> {
        let row_count = std::mem::take(&mut self.pending_count);
        if row_count == 0 {
            return Ok(());
        }
        let columns = std::mem::replace(&mut self.columns, builders_of(&self.copy));
        let columns = columns.into_iter().map(ColumnBuilder::finish).collect::<Result<_>>()?;
        let batch = Batch { columns, row_count };
        // A later batch sees the rows of this one when it checks for duplicates, which current reads do.
        let inserted = exec::insert_many(cx, &self.context, &self.insert, &batch).await;
        let inserted = inserted.map_err(|error| self.in_line(error, self.line))?;
        self.row_count += inserted.ok_or_else(|| Error::internal("COPY is an INSERT of one row"))?;
        Ok(())
    }

    fn in_line(&self, error: Error, line: u64) -> Error {
        let place = format!("COPY {}, line {line}", self.copy.table.name);
        let detail = match error.detail() {
            Some(detail) => format!("{detail} ({place})"),
            None => place,
        };
        let mut placed = Error::new(error.code(), error.message()).with_detail(detail);
        if let Some(hint) = error.hint() {
            placed = placed.with_hint(hint);
        }
        placed
    }
}

fn builders_of(copy: &CopyFrom) -> Vec<ColumnBuilder> {
    text_types(copy).map(|ty| ColumnBuilder::new(ty, limits::BATCH_ROW_COUNT)).collect()
}

/// What is kept of each of the text's values until it is inserted.
fn text_types(copy: &CopyFrom) -> impl Iterator<Item = SqlType> {
    let column = |(place, &ordinal): (usize, &usize)| match copy.read.contains_key(&place) {
        true => SqlType::Text,
        false => copy.table.columns[ordinal].ty,
    };
    copy.columns.iter().enumerate().map(column)
}

/// The INSERT that takes the text's values as parameters, in the text's order.
fn insert_of(copy: &CopyFrom) -> Insert {
    let table = copy.table.clone();
    let fields =
        table.columns.iter().map(|column| Field { name: column.name.clone(), ty: column.ty }).collect();
    let mut row = copy.defaults.clone();
    for (index, &ordinal) in copy.columns.iter().enumerate() {
        let param = || Expr::Param { index, ty: table.columns[ordinal].ty };
        row[ordinal] = copy.read.get(&index).cloned().unwrap_or_else(param);
    }
    let root = PlanNode { op: Op::Values { rows: vec![row] }, fields, row_estimate: 1.0, cost_estimate: 0.0 };
    let source = Plan {
        root,
        subqueries: Vec::new(),
        param_types: text_types(copy).collect(),
        tables: Vec::new(),
        sequences: Vec::new(),
    };
    Insert {
        table,
        source,
        generated: copy.generated.clone(),
        checks: copy.checks.clone(),
        skip: None,
        conflict_update: None,
        relations: copy.relations.clone(),
        returning: None,
    }
}

fn bad_file(message: impl Into<String>) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}
