//! Rows of a table that changes: written anew under another definition, or held against it.

use crate::bind;
use crate::catalog::{Index, Table};
use crate::columns::{array_of, datum_at};
use crate::datum::Datum;
use crate::encode::{self, OldRows};
use crate::eval;
use crate::exec::query::reserve_sequences;
use crate::exec::{ExecContext, Query, Shared, refuse_newer_rows};
use crate::expr::Expr;
use crate::plan::{Op, Plan, PlanNode};
use crate::text::{self, FormatSettings};
use crate::types::SqlType;
use arrow_array::{Array, ArrayRef, BooleanArray};
use orrery_base::kv::{Flow, Isolation, KeyRange, Lookup, ReadMode, RowRef, RowSink, Scan};
use orrery_base::{Cx, Error, Result, SqlState};
use std::sync::Arc;

/// Rows between two waits.
const RUN_ROW_COUNT: usize = 1024;

/// Where a column's new value comes from.
pub(super) enum Fill {
    /// The row's own column of this ordinal.
    Keep(usize),
    /// An expression over the old columns by ordinal.
    Expr(Expr),
    /// A sequence nobody else knows yet: the next value, the step, the last one allowed.
    Count { next: Option<i64>, step: i64, limit: i64, name: String },
}

/// Rows copied out of a scan: key and value.
#[derive(Default)]
struct Run(Vec<(Vec<u8>, Vec<u8>)>);

impl RowSink for Run {
    fn rows(&mut self, rows: &[RowRef<'_>]) -> Result<Flow> {
        for row in rows {
            let mut key = Vec::new();
            row.key_into(&mut key);
            self.0.push((key, row.value.to_vec()));
        }
        Ok(if self.0.len() >= RUN_ROW_COUNT { Flow::Full } else { Flow::More })
    }
}

/// The newest rows of a table, run by run. The caller holds a lock that keeps writers out.
struct Rows {
    scan: Box<dyn Scan>,
    layout: orrery_row::codec::RowLayout,
    old: OldRows,
    more: bool,
}

type Keyed = (Vec<Vec<u8>>, Vec<Vec<Datum>>);

impl Rows {
    async fn open(cx: &Cx, context: &ExecContext, table: &Table) -> Result<Rows> {
        if context.txn.isolation() != Isolation::ReadCommitted {
            refuse_newer_rows(cx, context, table).await?;
        }
        let scan = context.txn.scan(table.tree, KeyRange::all(), ReadMode::Current, false)?;
        Ok(Rows { scan, layout: encode::layout(table), old: OldRows::of(table), more: true })
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<Keyed>> {
        while self.more {
            let mut run = Run::default();
            self.more = self.scan.next_batch(cx, &mut run).await?;
            if run.0.is_empty() {
                continue;
            }
            let (mut keys, mut rows) = (Vec::with_capacity(run.0.len()), Vec::with_capacity(run.0.len()));
            for (key, value) in run.0 {
                cx.charge(value.len() + 128).await?;
                rows.push(self.old.decode(&self.layout, &value)?);
                keys.push(key);
            }
            return Ok(Some((keys, rows)));
        }
        Ok(None)
    }
}

fn columns_of(rows: &[Vec<Datum>], types: &[SqlType]) -> Result<Vec<ArrayRef>> {
    types.iter().enumerate().map(|(at, &ty)| array_of(rows.iter().map(|row| &row[at]), ty)).collect()
}

/// What expressions outside any plan are evaluated with.
async fn runtime(cx: &Cx, context: &ExecContext) -> Result<Arc<Shared>> {
    let op = Op::Values { rows: Vec::new() };
    let root = PlanNode { op, fields: Vec::new(), row_estimate: 0.0, cost_estimate: 0.0 };
    let (subqueries, param_types, tables, sequences) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let plan = Plan { root, subqueries, param_types, tables, sequences };
    Query::open(Arc::new(plan), context.clone()).start(cx).await
}

/// Writes the rows of `old` as rows of `new`, into its (empty) trees, and fills its indexes. `fills` has one entry for each of the
/// new columns; hidden row ids are counted from 1. Gives the number of rows.
///
/// Errors: 23505, 23502 for a key; what the expressions raise.
pub(super) async fn rewrite(
    cx: &Cx,
    context: &ExecContext,
    old: &Table,
    new: &Table,
    fills: &mut [Fill],
) -> Result<u64> {
    let runtime = runtime(cx, context).await?;
    let (old_types, types, layout) = (encode::types(old), encode::types(new), encode::layout(new));
    let mut source = Rows::open(cx, context, old).await?;
    let (mut row_count, mut key, mut bytes) = (0_u64, Vec::new(), Vec::new());
    while let Some((keys, rows)) = source.next(cx).await? {
        let input = columns_of(&rows, &old_types)?;
        let mut made: Vec<Vec<Datum>> = vec![Vec::with_capacity(types.len()); rows.len()];
        for (fill, &ty) in fills.iter_mut().zip(&types) {
            fill_column(cx, &runtime, fill, ty, (&rows, &input), &mut made).await?;
        }
        context.relieve(cx, new).await?;
        for (old_key, row) in keys.iter().zip(&made) {
            row_count += 1;
            cx.charge(256).await?;
            key.clear();
            if !new.primary_key.is_empty() {
                new_key(cx, context, new, row, &mut key).await?;
            } else if old.primary_key.is_empty() {
                key.extend_from_slice(old_key);
            } else {
                encode::row_id_key(row_count as i64, &mut key);
            }
            encode::row(&layout, &types, row, &mut bytes)?;
            context.txn.put(new.tree, &key, &bytes)?;
        }
    }
    for index in &new.indexes {
        crate::exec::build_index(cx, context, new, index).await?;
    }
    Ok(row_count)
}

/// The key of a row of a table with a primary key. Errors: 23502, 23505.
async fn new_key(
    cx: &Cx,
    context: &ExecContext,
    table: &Table,
    row: &[Datum],
    key: &mut Vec<u8>,
) -> Result<()> {
    if let Some(&null) = table.primary_key.iter().find(|&&ordinal| row[ordinal].is_null()) {
        return Err(has_nulls(table, null));
    }
    encode::primary_key(table, row, key)?;
    let taken = crate::exec::get(cx, context, table.tree, key, ReadMode::Current, &mut |_| {}).await?;
    if matches!(taken, Lookup::Found { .. }) {
        let name = table.primary_key_name.as_deref().unwrap_or(&table.name);
        return Err(duplicated(table, name, &table.primary_key, row, context.format));
    }
    Ok(())
}

async fn fill_column(
    cx: &Cx,
    runtime: &Shared,
    fill: &mut Fill,
    ty: SqlType,
    (rows, input): (&[Vec<Datum>], &[ArrayRef]),
    made: &mut [Vec<Datum>],
) -> Result<()> {
    match fill {
        Fill::Keep(ordinal) => {
            for (made, row) in made.iter_mut().zip(rows) {
                made.push(row[*ordinal].clone());
            }
        }
        Fill::Expr(expr) => {
            reserve_sequences(cx, runtime, std::slice::from_ref(expr), rows.len()).await?;
            let compute = |context: &crate::functions::EvalContext<'_>| {
                eval::evaluate_array(expr, input, rows.len(), context)
            };
            let values = runtime.evaluate(cx, compute).await?;
            for (at, made) in made.iter_mut().enumerate() {
                made.push(datum_at(&*values, ty, at)?);
            }
        }
        Fill::Count { next, step, limit, name } => {
            for made in made {
                let value = next.filter(|value| if *step < 0 { *value >= *limit } else { *value <= *limit });
                let value = value.ok_or_else(|| {
                    let end = if *step < 0 { "minimum" } else { "maximum" };
                    let message = format!("nextval: reached {end} value of sequence \"{name}\" ({limit})");
                    Error::new(SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED, message)
                })?;
                made.push(match ty {
                    SqlType::Int2 => Datum::Int2(value as i16),
                    SqlType::Int4 => Datum::Int4(value as i32),
                    _ => Datum::Int8(value),
                });
                *next = value.checked_add(*step);
            }
        }
    }
    Ok(())
}

/// Holds the rows of a table against columns that may not be NULL and against CHECK constraints. Errors: 23502, 23514.
pub(super) async fn validate(
    cx: &Cx,
    context: &ExecContext,
    table: &Table,
    not_null: &[usize],
    checks: &[(String, Expr)],
) -> Result<()> {
    if not_null.is_empty() && checks.is_empty() {
        return Ok(());
    }
    let (runtime, types) = (runtime(cx, context).await?, encode::types(table));
    let mut source = Rows::open(cx, context, table).await?;
    while let Some((_, rows)) = source.next(cx).await? {
        for &ordinal in not_null {
            if rows.iter().any(|row| row[ordinal].is_null()) {
                return Err(has_nulls(table, ordinal));
            }
        }
        let columns = columns_of(&rows, &types)?;
        for (name, predicate) in checks {
            let outcome = eval::evaluate_array(predicate, &columns, rows.len(), &runtime.eval())?;
            let outcome = outcome.as_any().downcast_ref::<BooleanArray>();
            let fails = |it: &BooleanArray| (0..it.len()).any(|row| it.is_valid(row) && !it.value(row));
            if outcome.is_some_and(fails) {
                let message = format!(
                    "check constraint \"{name}\" of relation \"{}\" is violated by some row",
                    table.name
                );
                return Err(Error::new(SqlState::CHECK_VIOLATION, message));
            }
        }
    }
    Ok(())
}

/// Whether the table has a row.
pub(super) async fn has_rows(cx: &Cx, context: &ExecContext, table: &Table) -> Result<bool> {
    let mut source = Rows::open(cx, context, table).await?;
    Ok(source.next(cx).await?.is_some())
}

fn has_nulls(table: &Table, ordinal: usize) -> Error {
    let message = format!(
        "column \"{}\" of relation \"{}\" contains null values",
        table.columns[ordinal].name, table.name
    );
    Error::new(SqlState::NOT_NULL_VIOLATION, message)
}

fn duplicated(
    table: &Table,
    name: &str,
    ordinals: &[usize],
    row: &[Datum],
    settings: FormatSettings,
) -> Error {
    let names: Vec<&str> = ordinals.iter().map(|&at| table.columns[at].name.as_str()).collect();
    let values: Vec<String> =
        ordinals.iter().map(|&at| text::format(&row[at], table.columns[at].ty, settings)).collect();
    Error::new(SqlState::UNIQUE_VIOLATION, format!("could not create unique index \"{name}\""))
        .with_detail(format!("Key ({})=({}) is duplicated.", names.join(", "), values.join(", ")))
}

/// The value of an expression without columns. Suspends for what it asks.
pub(super) async fn constant(cx: &Cx, context: &ExecContext, expr: &Expr) -> Result<Datum> {
    let runtime = runtime(cx, context).await?;
    runtime.evaluate(cx, |context| eval::constant(expr, context)).await
}

/// Each of the old columns, as it is.
pub(super) fn keep_all(table: &Table) -> Vec<Fill> {
    let keep = |(ordinal, column): (usize, &crate::catalog::Column)| {
        // What was dropped is not carried on.
        let is_gone = column.hidden && column.generated.is_none();
        if is_gone { Fill::Expr(bind::null(column.ty)) } else { Fill::Keep(ordinal) }
    };
    table.columns.iter().enumerate().map(keep).collect()
}

/// Whether an index has this column.
pub(super) fn indexes_column(index: &Index, ordinal: usize) -> bool {
    index.columns.iter().any(|column| column.ordinal == ordinal) || index.include.contains(&ordinal)
}
