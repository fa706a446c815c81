//! The short path of point statements: SELECT, INSERT, UPDATE and DELETE of one row by its full primary key, prepared once
//! and run without a plan, an array or an allocation that could be reused (DESIGN §10).
//!
//! Invariant P1: this path does only what surely succeeds at once. Whatever else turns up (a lock that must wait, a row
//! changed since the snapshot, a conflict, a NULL where none may be) is handed to the general path ([`PointOutcome::Fallback`]),
//! which then raises the right error. Nothing has been written at that point.

use crate::catalog::Table;
use crate::datum::{Datum, Interval};
use crate::encode;
use crate::expr::Expr;
use crate::plan::{Delete, Insert, KeyBounds, Op, Plan, PlanNode, ROW_KEY, Statement, Update};
use crate::types::SqlType;
use orrery_base::kv::{Isolation, Lookup, ReadMode, RowLock, Transaction};
use orrery_base::{Error, PagePtr, Result, World, plant};
use orrery_row::codec::{PhysicalType, RowLayout, RowView, RowWriter};
use orrery_row::numeric::Numeric;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Debug)]
enum Operand {
    Literal(Datum),
    Param(usize),
    /// A column of the row as it was.
    Column(usize),
}

/// A point statement, taken apart once.
#[derive(Debug)]
pub struct PointPlan {
    table: Arc<Table>,
    layout: RowLayout,
    types: Vec<SqlType>,
    /// Values of the primary key's columns, in key order.
    key: Vec<Operand>,
    action: Action,
}

#[derive(Debug)]
enum Action {
    /// Ordinals of the output columns.
    Get(Vec<usize>),
    /// A value for every column.
    Insert(Vec<Operand>),
    /// For every column its new value, if it is assigned.
    Update(Vec<Option<Operand>>),
    Delete,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PointOutcome {
    /// Done, with so many rows (0 or 1) given or changed.
    Done(u64),
    /// A page is not in memory: load it and run again.
    Missing(PagePtr),
    /// The general path must run the statement.
    Fallback,
}

/// Buffers that runs reuse.
#[derive(Debug, Default)]
pub struct PointScratch {
    key: Vec<u8>,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// A value in place.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as in `Datum`")]
pub enum PointValue<'a> {
    Null,
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(f32),
    Float8(f64),
    Numeric(Numeric),
    Text(&'a str),
    Bytea(&'a [u8]),
    Date(i32),
    Timestamp(i64),
    Timestamptz(i64),
    Interval(Interval),
    Uuid([u8; 16]),
    Time(i64),
    Jsonb(&'a str),
    Array(Arc<crate::array::ArrayValue>),
    Record(Arc<crate::record::RecordValue>),
}

impl<'a> From<&'a Datum> for PointValue<'a> {
    fn from(value: &'a Datum) -> Self {
        match value {
            Datum::Null => PointValue::Null,
            Datum::Bool(value) => PointValue::Bool(*value),
            Datum::Int2(value) => PointValue::Int2(*value),
            Datum::Int4(value) => PointValue::Int4(*value),
            Datum::Int8(value) => PointValue::Int8(*value),
            Datum::Float4(value) => PointValue::Float4(*value),
            Datum::Float8(value) => PointValue::Float8(*value),
            Datum::Date(value) => PointValue::Date(*value),
            Datum::Timestamp(value) => PointValue::Timestamp(*value),
            Datum::Timestamptz(value) => PointValue::Timestamptz(*value),
            Datum::Interval(value) => PointValue::Interval(*value),
            Datum::Uuid(value) => PointValue::Uuid(*value),
            Datum::Numeric(value) => PointValue::Numeric(value.clone()),
            Datum::Text(value) => PointValue::Text(value),
            Datum::Bytea(value) => PointValue::Bytea(value),
            Datum::Time(value) => PointValue::Time(*value),
            Datum::Jsonb(value) => PointValue::Jsonb(value),
            Datum::Array(value) => PointValue::Array(value.clone()),
            Datum::Record(value) => PointValue::Record(value.clone()),
        }
    }
}

impl From<PointValue<'_>> for Datum {
    fn from(value: PointValue<'_>) -> Self {
        match value {
            PointValue::Null => Datum::Null,
            PointValue::Bool(value) => Datum::Bool(value),
            PointValue::Int2(value) => Datum::Int2(value),
            PointValue::Int4(value) => Datum::Int4(value),
            PointValue::Int8(value) => Datum::Int8(value),
            PointValue::Float4(value) => Datum::Float4(value),
            PointValue::Float8(value) => Datum::Float8(value),
            PointValue::Date(value) => Datum::Date(value),
            PointValue::Timestamp(value) => Datum::Timestamp(value),
            PointValue::Timestamptz(value) => Datum::Timestamptz(value),
            PointValue::Interval(value) => Datum::Interval(value),
            PointValue::Uuid(value) => Datum::Uuid(value),
            PointValue::Numeric(value) => Datum::Numeric(value),
            PointValue::Text(value) => Datum::Text(value.into()),
            PointValue::Bytea(value) => Datum::Bytea(value.into()),
            PointValue::Time(value) => Datum::Time(value),
            PointValue::Jsonb(value) => Datum::Jsonb(value.into()),
            PointValue::Array(value) => Datum::Array(value),
            PointValue::Record(value) => Datum::Record(value),
        }
    }
}

/// The row that a SELECT found, in place.
pub struct PointRow<'a> {
    view: RowView<'a>,
    columns: &'a [usize],
    types: &'a [SqlType],
}

impl PointRow<'_> {
    /// How many output columns.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// An output column of an integer type that is not NULL; `None` for others.
    #[inline]
    pub fn integer(&self, index: usize) -> Option<i64> {
        let column = *self.columns.get(index)?;
        if self.view.is_null(column) {
            return None;
        }
        match self.types[column] {
            SqlType::Int2 => Some(i16::from_le_bytes(self.view.fixed(column)).into()),
            SqlType::Int4 => Some(i32::from_le_bytes(self.view.fixed(column)).into()),
            SqlType::Int8 => Some(i64::from_le_bytes(self.view.fixed(column))),
            _ => None,
        }
    }

    /// The bytes of an output column of text or bytea that is not NULL; `None` for others.
    #[inline]
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        let column = *self.columns.get(index)?;
        let is_bytes = matches!(
            self.types[column],
            SqlType::Text | SqlType::Varchar(_) | SqlType::Name | SqlType::QuotedChar | SqlType::Bytea
        );
        if !is_bytes || self.view.is_null(column) {
            return None;
        }
        self.view.bytes(column).ok()
    }

    /// An output column. Errors: XX001.
    #[inline]
    pub fn value(&self, index: usize) -> Result<PointValue<'_>> {
        let column = self.columns[index];
        if self.view.is_null(column) {
            return Ok(PointValue::Null);
        }
        let view = &self.view;
        Ok(match self.types[column] {
            SqlType::Bool => PointValue::Bool(view.fixed::<1>(column)[0] != 0),
            SqlType::Int2 => PointValue::Int2(i16::from_le_bytes(view.fixed(column))),
            SqlType::Int4 => PointValue::Int4(i32::from_le_bytes(view.fixed(column))),
            SqlType::Date => PointValue::Date(i32::from_le_bytes(view.fixed(column))),
            SqlType::Int8 | SqlType::Reg(_) => PointValue::Int8(i64::from_le_bytes(view.fixed(column))),
            SqlType::Timestamp => PointValue::Timestamp(i64::from_le_bytes(view.fixed(column))),
            SqlType::Timestamptz => PointValue::Timestamptz(i64::from_le_bytes(view.fixed(column))),
            SqlType::Float4 => PointValue::Float4(f32::from_le_bytes(view.fixed(column))),
            SqlType::Float8 => PointValue::Float8(f64::from_le_bytes(view.fixed(column))),
            SqlType::Decimal { scale, .. } => {
                let coefficient = i128::from_le_bytes(view.fixed(column));
                PointValue::Numeric(Numeric::from_decimal128(coefficient, scale.into()))
            }
            SqlType::Numeric => PointValue::Numeric(crate::columns::numeric_from(view.bytes(column)?)?),
            SqlType::Time => PointValue::Time(i64::from_le_bytes(view.fixed(column))),
            SqlType::Jsonb => PointValue::Jsonb(encode::utf8(view.bytes(column)?)?),
            SqlType::Array(_) => {
                PointValue::Array(Arc::new(crate::array::ArrayValue::decode(view.bytes(column)?)?))
            }
            SqlType::Record(_) => {
                PointValue::Record(Arc::new(crate::record::RecordValue::decode(view.bytes(column)?)?))
            }
            SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Name
            | SqlType::QuotedChar
            | SqlType::Char(_)
            | SqlType::Enum(_)
            | SqlType::Json => PointValue::Text(encode::utf8(view.bytes(column)?)?),
            SqlType::Bytea | SqlType::Unknown => PointValue::Bytea(view.bytes(column)?),
            SqlType::Interval => {
                PointValue::Interval(crate::columns::interval_from(&view.fixed::<16>(column)))
            }
            SqlType::Uuid => PointValue::Uuid(view.fixed(column)),
            SqlType::Fitted(_) => return Err(Error::internal("a column of a type with a modifier")),
        })
    }
}

// ---- Classifying.

/// A literal or parameter of exactly the column's type.
fn constant(expr: &Expr, ty: SqlType) -> Option<Operand> {
    match expr {
        Expr::Literal { value, ty: own } if *own == ty => Some(Operand::Literal(value.clone())),
        Expr::Literal { value: Datum::Null, .. } => Some(Operand::Literal(Datum::Null)),
        Expr::Param { index, ty: own } if *own == ty => Some(Operand::Param(*index)),
        _ => None,
    }
}

/// The key operands of bounds that name one row.
fn full_key(table: &Table, bounds: &KeyBounds) -> Option<Vec<Operand>> {
    let is_point = bounds.lower.is_none() && bounds.upper.is_none() && !table.primary_key.is_empty();
    if !is_point || bounds.equal.len() != table.primary_key.len() {
        return None;
    }
    let columns = bounds.equal.iter().zip(&table.primary_key);
    columns.map(|(expr, &ordinal)| constant(expr, table.columns[ordinal].ty)).collect()
}

/// A scan of one row: its table, key operands and columns.
fn point_scan(node: &PlanNode) -> Option<(&Arc<Table>, Vec<Operand>, &[usize])> {
    match &node.op {
        Op::TableScan { table, columns, bounds, filter: None, .. } => {
            full_key(table, bounds).map(|key| (table, key, columns.as_slice()))
        }
        _ => None,
    }
}

fn query(plan: &Plan) -> Option<(Arc<Table>, Vec<Operand>, Action)> {
    let (node, exprs) = match &plan.root.op {
        Op::Project { input, exprs } => (&**input, Some(exprs)),
        _ => (&plan.root, None),
    };
    let (table, key, columns) = point_scan(node)?;
    let output: Option<Vec<usize>> = match exprs {
        None => Some(columns.to_vec()),
        Some(exprs) => exprs
            .iter()
            .map(|expr| match expr {
                Expr::Column { id, .. } => columns.get(*id).copied(),
                _ => None,
            })
            .collect(),
    };
    let output = output.filter(|output| !output.contains(&ROW_KEY))?;
    Some((table.clone(), key, Action::Get(output)))
}

fn insert(statement: &Insert) -> Option<(Arc<Table>, Vec<Operand>, Action)> {
    let table = &statement.table;
    let is_plain = statement.checks.is_empty()
        && statement.generated.is_empty()
        && statement.returning.is_none()
        && statement.skip.is_none()
        && statement.relations.is_none();
    if !is_plain || !table.indexes.is_empty() || table.primary_key.is_empty() {
        return None;
    }
    let row = match &statement.source.root.op {
        Op::Values { rows } if rows.len() == 1 => &rows[0],
        Op::Project { input, exprs } => match &input.op {
            Op::Values { rows } if rows.len() == 1 && rows[0].is_empty() => exprs,
            _ => return None,
        },
        _ => return None,
    };
    if row.len() != table.columns.len() {
        return None;
    }
    let operand = |ordinal: usize| constant(&row[ordinal], table.columns[ordinal].ty);
    let key = table.primary_key.iter().map(|&ordinal| operand(ordinal)).collect::<Option<_>>()?;
    let values = (0..row.len()).map(operand).collect::<Option<_>>()?;
    Some((table.clone(), key, Action::Insert(values)))
}

/// The key of a change whose source is one row by key, whatever the order of its columns.
fn changed_row(table: &Arc<Table>, source: &Plan) -> Option<Vec<Operand>> {
    let node = match &source.root.op {
        Op::Project { input, exprs } if exprs.iter().all(|expr| matches!(expr, Expr::Column { .. })) => {
            &**input
        }
        _ => &source.root,
    };
    let (scanned, key, _) = point_scan(node)?;
    Arc::ptr_eq(scanned, table).then_some(key)
}

fn update(statement: &Update) -> Option<(Arc<Table>, Vec<Operand>, Action)> {
    let table = &statement.table;
    if !statement.checks.is_empty()
        || !statement.generated.is_empty()
        || statement.returning.is_some()
        || statement.recheck.is_none()
    {
        return None;
    }
    let key = changed_row(table, &statement.source)?;
    let mut values: Vec<Option<Operand>> = table.columns.iter().map(|_| None).collect();
    for (ordinal, expr) in &statement.assignments {
        let is_key = table.primary_key.contains(ordinal)
            || table
                .indexes
                .iter()
                .any(|index| index.columns.iter().any(|column| column.ordinal == *ordinal));
        let own_keys = &table.foreign_keys;
        if is_key || own_keys.iter().any(|key| key.columns.contains(ordinal)) {
            return None;
        }
        let ty = table.columns[*ordinal].ty;
        let operand = match expr {
            Expr::Column { id, .. } => {
                table.columns.get(*id).filter(|column| column.ty == ty)?;
                Operand::Column(*id)
            }
            expr => constant(expr, ty)?,
        };
        values[*ordinal] = Some(operand);
    }
    Some((table.clone(), key, Action::Update(values)))
}

fn delete(statement: &Delete) -> Option<(Arc<Table>, Vec<Operand>, Action)> {
    let is_plain =
        statement.returning.is_none() && statement.recheck.is_some() && statement.table.indexes.is_empty();
    let is_plain = is_plain && statement.relations.is_none();
    if !is_plain {
        return None;
    }
    let key = changed_row(&statement.table, &statement.source)?;
    Some((statement.table.clone(), key, Action::Delete))
}

impl PointPlan {
    /// Takes a statement apart; `None` when it is no point statement.
    pub fn new(statement: &Statement) -> Option<PointPlan> {
        let source = statement.source();
        if !source.subqueries.is_empty() {
            return None;
        }
        let (table, key, action) = match statement {
            Statement::Query(plan) => query(plan),
            Statement::Insert(statement) => insert(statement),
            Statement::Update(statement) => update(statement),
            Statement::Delete(statement) => delete(statement),
            Statement::Merge(_) | Statement::With(_) => None,
        }?;
        let (layout, types) = (encode::layout(&table), encode::types(&table));
        Some(PointPlan { table, layout, types, key, action })
    }

    /// The table it is about.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Whether it changes rows.
    pub fn is_write(&self) -> bool {
        !matches!(self.action, Action::Get(_))
    }

    // ---- Running.

    /// Runs it once; the caller has begun the statement and holds the table's lock. `found` gets the row of a SELECT, in
    /// place. `params` are of the plan's parameter types.
    ///
    /// Errors: what the transaction and `found` give; nothing else (P1).
    pub fn try_run(
        &self,
        world: &World,
        txn: &dyn Transaction,
        params: &[Datum],
        scratch: &mut PointScratch,
        found: &mut dyn FnMut(&PointRow<'_>) -> Result<()>,
    ) -> Result<PointOutcome> {
        scratch.key.clear();
        for (operand, &ordinal) in self.key.iter().zip(&self.table.primary_key) {
            let value = self.constant(operand, params)?;
            if value.is_null() {
                // `= NULL` finds nothing; an insert of NULL is the general path's error.
                let is_insert = matches!(self.action, Action::Insert(_));
                return Ok(if is_insert { PointOutcome::Fallback } else { PointOutcome::Done(0) });
            }
            encode::push_key(&mut scratch.key, value, self.types[ordinal], false)?;
        }
        match &self.action {
            Action::Get(columns) => self.get(txn, columns, scratch, found),
            Action::Insert(values) => self.insert(world, txn, values, params, scratch),
            Action::Update(values) => self.change(world, txn, Some(values), params, scratch),
            Action::Delete => self.change(world, txn, None, params, scratch),
        }
    }

    fn constant<'v>(&'v self, operand: &'v Operand, params: &'v [Datum]) -> Result<&'v Datum> {
        match operand {
            Operand::Literal(value) => Ok(value),
            Operand::Param(index) => {
                params.get(*index).ok_or_else(|| Error::internal("a parameter that was not bound"))
            }
            Operand::Column(_) => Err(Error::internal("a column where a constant was planned")),
        }
    }

    fn get(
        &self,
        txn: &dyn Transaction,
        columns: &[usize],
        scratch: &PointScratch,
        found: &mut dyn FnMut(&PointRow<'_>) -> Result<()>,
    ) -> Result<PointOutcome> {
        let mut outcome = Ok(());
        let mut is_old = false;
        let mut take = |bytes: &[u8]| match RowView::new(&self.layout, bytes) {
            Ok(view) => outcome = found(&PointRow { view, columns, types: &self.types }),
            // From before a column was added, or damaged: the general path knows.
            Err(_) => is_old = true,
        };
        match txn.get(self.table.tree, &scratch.key, ReadMode::Snapshot, &mut take)? {
            Lookup::Missing(page) => Ok(PointOutcome::Missing(page)),
            Lookup::Absent { .. } => Ok(PointOutcome::Done(0)),
            Lookup::Found { .. } if is_old => Ok(PointOutcome::Fallback),
            Lookup::Found { .. } => outcome.map(|()| PointOutcome::Done(1)),
        }
    }

    fn insert(
        &self,
        world: &World,
        txn: &dyn Transaction,
        values: &[Operand],
        params: &[Datum],
        scratch: &mut PointScratch,
    ) -> Result<PointOutcome> {
        // The general path gives the transaction's memory relief.
        if txn.wants_relief() {
            return Ok(PointOutcome::Fallback);
        }
        let mut writer = RowWriter::new(&self.layout, &mut scratch.new);
        for (column, operand) in values.iter().enumerate() {
            let value = self.constant(operand, params)?;
            if value.is_null() && self.table.columns[column].not_null {
                return Ok(PointOutcome::Fallback);
            }
            encode::write_column(&mut writer, column, value, self.types[column])?;
        }
        writer.finish();
        if !txn.try_lock(self.table.tree, &scratch.key, RowLock::Update)? {
            return Ok(PointOutcome::Fallback);
        }
        let snapshot = plant!(world, SnapshotReadUniqueCheck);
        let mode = if snapshot { ReadMode::Snapshot } else { ReadMode::Current };
        match txn.get(self.table.tree, &scratch.key, mode, &mut |_| {})? {
            Lookup::Missing(page) => return Ok(PointOutcome::Missing(page)),
            Lookup::Found { .. } => return Ok(PointOutcome::Fallback),
            Lookup::Absent { .. } => {}
        }
        if txn.isolation() != Isolation::ReadCommitted {
            // A row that the snapshot still has and that was deleted since: the general path says 40001.
            match txn.get(self.table.tree, &scratch.key, ReadMode::Snapshot, &mut |_| {})? {
                Lookup::Missing(page) => return Ok(PointOutcome::Missing(page)),
                Lookup::Found { .. } => return Ok(PointOutcome::Fallback),
                Lookup::Absent { .. } => {}
            }
        }
        txn.put(self.table.tree, &scratch.key, &scratch.new)?;
        Ok(PointOutcome::Done(1))
    }

    /// UPDATE (with new values) or DELETE of a row.
    fn change(
        &self,
        world: &World,
        txn: &dyn Transaction,
        values: Option<&[Option<Operand>]>,
        params: &[Datum],
        scratch: &mut PointScratch,
    ) -> Result<PointOutcome> {
        if txn.wants_relief() {
            return Ok(PointOutcome::Fallback);
        }
        let PointScratch { key, old, new } = scratch;
        let tree = self.table.tree;
        // What the snapshot does not have is not changed, and not locked.
        old.clear();
        match txn.get(tree, key, ReadMode::Snapshot, &mut |bytes| old.extend_from_slice(bytes))? {
            Lookup::Missing(page) => return Ok(PointOutcome::Missing(page)),
            Lookup::Absent { .. } => return Ok(PointOutcome::Done(0)),
            Lookup::Found { .. } => {}
        }
        let mode = if values.is_some() { RowLock::NoKeyUpdate } else { RowLock::Update };
        if !txn.try_lock(tree, key, mode)? {
            return Ok(PointOutcome::Fallback);
        }
        if !plant!(world, SkipRecheckAfterLock) {
            old.clear();
            match txn.get(tree, key, ReadMode::Current, &mut |bytes| old.extend_from_slice(bytes))? {
                Lookup::Missing(page) => return Ok(PointOutcome::Missing(page)),
                Lookup::Found { newer: false } => {}
                // The key is the whole WHERE: under READ COMMITTED the newest version qualifies as it is.
                Lookup::Found { newer: true } if txn.isolation() == Isolation::ReadCommitted => {}
                _ => return Ok(PointOutcome::Fallback),
            }
        }
        let Some(values) = values else {
            txn.delete(tree, key)?;
            return Ok(PointOutcome::Done(1));
        };
        if !self.rewrite(values, params, old, new)? {
            return Ok(PointOutcome::Fallback);
        }
        txn.put(tree, key, new)?;
        Ok(PointOutcome::Done(1))
    }

    /// Writes the new row; false when a column would be NULL that may not be.
    fn rewrite(
        &self,
        values: &[Option<Operand>],
        params: &[Datum],
        old: &[u8],
        new: &mut Vec<u8>,
    ) -> Result<bool> {
        let Ok(view) = RowView::new(&self.layout, old) else { return Ok(false) };
        let mut writer = RowWriter::new(&self.layout, new);
        for (column, operand) in values.iter().enumerate() {
            let from = match operand {
                None => column,
                Some(Operand::Column(from)) => *from,
                Some(operand) => {
                    let value = self.constant(operand, params)?;
                    if value.is_null() && self.table.columns[column].not_null {
                        return Ok(false);
                    }
                    encode::write_column(&mut writer, column, value, self.types[column])?;
                    continue;
                }
            };
            if view.is_null(from) {
                if self.table.columns[column].not_null {
                    return Ok(false);
                }
                continue;
            }
            match self.layout.place(from) {
                place if place.ty == PhysicalType::Bytes => writer.bytes(column, view.bytes(from)?),
                place => {
                    let width = place.ty.width().unwrap_or(0);
                    writer.fixed(column, &old[place.at..place.at + width]);
                }
            }
        }
        writer.finish();
        Ok(true)
    }
}
