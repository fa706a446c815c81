//! COPY … FROM: text arriving in pieces becomes rows, inserted batch by batch by the same code as INSERT.

mod records;

use crate::bind::CopyFrom;
use crate::datum::Datum;
use crate::exec::{self, DmlOutcome, ExecContext};
use crate::expr::Expr;
use crate::plan::{Field, Insert, Op, Plan, PlanNode};
use crate::text;
use orrery_base::{Cx, Error, Result, SqlState, limits};
use records::{Cell, Records};

/// A COPY under way.
pub struct CopyIn {
    copy: CopyFrom,
    context: ExecContext,
    records: Records,
    rows: Vec<Vec<Expr>>,
    line: u64,
    row_count: u64,
    skip_header: bool,
}

impl CopyIn {
    /// Starts one. The context's transaction and settings are the statement's.
    pub fn new(copy: CopyFrom, context: ExecContext) -> Self {
        let (records, skip_header) = (Records::new(copy.format.clone()), copy.format.header);
        CopyIn { copy, context, records, rows: Vec::new(), line: 0, row_count: 0, skip_header }
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
            let Some(cells) = self.records.next_record().map_err(|error| self.in_line(error, first_line))?
            else {
                return Ok(());
            };
            self.line = first_line;
            if std::mem::take(&mut self.skip_header) {
                continue;
            }
            let row = self.row(&cells).map_err(|error| self.in_line(error, first_line))?;
            self.rows.push(row);
            if self.rows.len() >= limits::BATCH_ROW_COUNT {
                self.flush(cx).await?;
            }
        }
    }

    fn row(&self, cells: &[Cell]) -> Result<Vec<Expr>> {
        let columns = &self.copy.columns;
        if cells.len() > columns.len() {
            return Err(bad_file("extra data after last expected column"));
        }
        if let Some(&missing) = columns.get(cells.len()) {
            let name = &self.copy.table.columns[missing].name;
            return Err(bad_file(format!("missing data for column \"{name}\"")));
        }
        let settings = self.context.settings();
        let mut row = self.copy.defaults.clone();
        for (&ordinal, cell) in columns.iter().zip(cells) {
            let column = &self.copy.table.columns[ordinal];
            let value = match cell {
                None => Datum::Null,
                Some(cell) => text::parse_with(cell, column.assigned(), settings)?,
            };
            row[ordinal] = Expr::Literal { value, ty: column.ty };
        }
        Ok(row)
    }

    async fn flush(&mut self, cx: &Cx) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let insert = self.insert(rows);
        match exec::insert(cx, &self.context, &insert)
            .await
            .map_err(|error| self.in_line(error, self.line))?
        {
            DmlOutcome::Done { row_count, .. } => self.row_count += row_count,
            // COPY reads no row, so there is nothing that a fresh snapshot would show anew.
            DmlOutcome::Restart => return Err(Error::internal("COPY was asked to start again")),
        }
        // A later batch must see the rows of this one when it checks for duplicates, which current reads do.
        Ok(())
    }

    fn insert(&self, rows: Vec<Vec<Expr>>) -> Insert {
        let table = self.copy.table.clone();
        let fields =
            table.columns.iter().map(|column| Field { name: column.name.clone(), ty: column.ty }).collect();
        let count = rows.len() as f64;
        let root = PlanNode { op: Op::Values { rows }, fields, row_estimate: count, cost_estimate: 0.0 };
        let source = Plan {
            root,
            subqueries: Vec::new(),
            param_types: Vec::new(),
            tables: Vec::new(),
            sequences: Vec::new(),
        };
        Insert {
            table,
            source,
            generated: self.copy.generated.clone(),
            checks: self.copy.checks.clone(),
            skip: None,
            conflict_update: None,
            relations: self.copy.relations.clone(),
            returning: None,
        }
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

fn bad_file(message: impl Into<String>) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}
