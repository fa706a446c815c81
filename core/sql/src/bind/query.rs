//! Queries: SELECT, VALUES, set operations, ORDER BY, LIMIT.

use super::binder::{Binder, Cte, Level};
use super::expr::location;
use super::scope::Scope;
use super::select::{Output, output_by_name, ranking};
use crate::datum::Datum;
use crate::expr::{AggregateCall, Expr, WindowFunction};
use crate::functions::CastContext;
use crate::parse::ast::{self, ExprKind, OrderItem, SetExpr, SetKind};
use crate::plan::logical::{ColumnId, Logical, LogicalKey, Query};
use crate::plan::{Field, JoinKind};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;
use std::sync::Arc;

impl Binder<'_> {
    /// A query with its WITH.
    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Query> {
        self.with(&query.with, |binder| binder.query_body(query))
    }

    /// Binds something in which the names of WITH are known.
    pub(super) fn with<T>(
        &mut self,
        with: &[ast::CommonTable],
        body: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = self.ctes.len();
        let is_top = std::mem::take(&mut self.allows_changes);
        for (index, definition) in with.iter().enumerate() {
            if with[..index].iter().any(|other| other.name.text == definition.name.text) {
                let message =
                    format!("WITH query name \"{}\" specified more than once", definition.name.text);
                return Err(Error::new(SqlState::DUPLICATE_ALIAS, message).at(definition.name.at));
            }
            if let Some(change) = &definition.change {
                self.bind_change(definition, change, is_top)?;
            }
            let visible = self.ctes.len();
            let outer_count = self.outer.len();
            self.ctes.push(Cte { definition: definition.clone(), visible, outer_count });
        }
        let result = body(self);
        let result = result.and_then(|bound| self.check_unused(with, before).map(|()| bound));
        self.ctes.truncate(before);
        result
    }

    /// A WITH query that nobody used must be right all the same; what binding it left behind is dropped.
    fn check_unused(&mut self, with: &[ast::CommonTable], before: usize) -> Result<()> {
        for (index, definition) in with.iter().enumerate() {
            if definition.change.is_some() || self.is_used_cte(Arc::as_ptr(&definition.query)) {
                continue;
            }
            let visible = before + index;
            let hidden = self.ctes.split_off(visible);
            let level = std::mem::take(&mut self.level);
            let subquery_count = self.statement.subqueries.len();
            let bound = if definition.recursive {
                let restored = self.ctes.len();
                self.ctes.push(Cte {
                    definition: definition.clone(),
                    visible,
                    outer_count: self.outer.len(),
                });
                let bound = self.recursive_query(restored, definition);
                self.ctes.truncate(restored);
                bound
            } else {
                self.query(&definition.query)
            };
            self.statement.subqueries.truncate(subquery_count);
            self.level = level;
            self.ctes.truncate(visible);
            self.ctes.extend(hidden);
            bound?;
        }
        Ok(())
    }

    fn query_body(&mut self, query: &ast::Query) -> Result<Query> {
        let ast::Query { with: _, body, order_by, limit, offset, with_ties, locks, at } = query;
        let (mut bound, scope) = match body {
            body if !locks.is_empty() => (self.locked(body, order_by, locks)?, Rc::new(Scope::default())),
            SetExpr::Select(select) => self.select(select, order_by)?,
            other => {
                let mut bound = self.set_expr(other)?;
                self.order_by_output(&mut bound, order_by)?;
                (bound, Rc::new(Scope::default()))
            }
        };
        let late = if *with_ties { Vec::new() } else { take_late(&mut bound.root) };
        if limit.is_some() || offset.is_some() {
            let limit = self.row_count(&scope, limit.as_ref(), "LIMIT")?;
            let offset = self.row_count(&scope, offset.as_ref(), "OFFSET")?;
            if *with_ties {
                bound.root = self.with_ties(bound.root, limit, offset, *at)?;
            } else if limit.is_some() || offset.is_some() {
                bound.root = self.limited(bound.root, late, limit, offset)?;
            }
        } else if !late.is_empty() {
            bound.root = Logical::Extend { input: Box::new(bound.root), exprs: late };
        }
        Ok(bound)
    }

    /// So many rows, for which `late` is computed, and for those that OFFSET skips.
    fn limited(
        &mut self,
        root: Logical,
        late: Vec<(ColumnId, Expr)>,
        limit: Option<Expr>,
        offset: Option<Expr>,
    ) -> Result<Logical> {
        let limited = |root: Logical, limit, offset| Logical::Limit { input: Box::new(root), limit, offset };
        let extended = |root: Logical| Logical::Extend { input: Box::new(root), exprs: late.clone() };
        Ok(match (limit, offset) {
            (limit, offset) if late.is_empty() => limited(root, limit, offset),
            (limit, None) => extended(limited(root, limit, None)),
            (None, offset) => limited(extended(root), None, offset),
            (Some(limit), Some(offset)) => {
                let both = self.operator("+", vec![(limit.clone(), 0), (offset.clone(), 0)], 0)?;
                limited(extended(limited(root, Some(both), None)), Some(limit), Some(offset))
            }
        })
    }

    /// FETCH FIRST … WITH TIES: so many rows, and those behind that are equal to the last of them in the order.
    fn with_ties(
        &mut self,
        root: Logical,
        limit: Option<Expr>,
        offset: Option<Expr>,
        at: u32,
    ) -> Result<Logical> {
        let Logical::Sort { input, keys } = root else {
            let message = "WITH TIES cannot be specified without ORDER BY clause";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        };
        let Some(limit) = limit else {
            let message = "row count cannot be null in FETCH FIRST ... WITH TIES clause";
            return Err(Error::new(SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE, message).at(at));
        };
        let skipped = Expr::Literal { value: Datum::Int8(0), ty: SqlType::Int8 };
        let skipped = offset.unwrap_or(skipped);
        let (number, rank) = (self.column(SqlType::Int8), self.column(SqlType::Int8));
        let calls = vec![(number, ranking(WindowFunction::RowNumber)), (rank, ranking(WindowFunction::Rank))];
        let root = Logical::Window { input, partition: Vec::new(), order: keys.clone(), calls };
        let last = self.operator("+", vec![(limit, at), (skipped.clone(), at)], at)?;
        let behind = self.operator(">", vec![(self.column_expr(number), at), (skipped, at)], at)?;
        let within = self.operator("<=", vec![(self.column_expr(rank), at), (last, at)], at)?;
        let input = Box::new(Logical::Filter { input: Box::new(root), predicates: vec![behind, within] });
        Ok(Logical::Sort { input, keys })
    }

    /// The expression of LIMIT or OFFSET; none when it is NULL.
    fn row_count(
        &mut self,
        scope: &Rc<Scope>,
        expr: Option<&ast::Expr>,
        clause: &'static str,
    ) -> Result<Option<Expr>> {
        let Some(expr) = expr else { return Ok(None) };
        let outside =
            std::mem::replace(&mut self.level, Level { forbidden: Some(clause), ..Level::default() });
        let bound = self.expr(scope, expr);
        let inside = std::mem::replace(&mut self.level, outside);
        let bound = bound?;
        if let Some((_, name)) = inside.references.first() {
            let message = format!("argument of {clause} must not contain variables");
            return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(name.at));
        }
        let ty = bound.ty();
        let bound =
            self.coerce(bound, SqlType::Int8, CastContext::Assignment, location(expr)).map_err(|error| {
                if error.code() != SqlState::CANNOT_COERCE {
                    return error;
                }
                let message =
                    format!("argument of {clause} must be type bigint, not type {}", ty.base_name());
                Error::new(SqlState::DATATYPE_MISMATCH, message).at(location(expr))
            })?;
        Ok(match bound {
            Expr::Literal { value: Datum::Null, .. } => None,
            bound => Some(bound),
        })
    }

    fn set_expr(&mut self, body: &SetExpr) -> Result<Query> {
        match body {
            SetExpr::Select(select) => self.select(select, &[]).map(|it| it.0),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values { rows, at } => self.values(rows, *at),
            SetExpr::SetOperation { kind, all, left, right, at } => {
                let left_query = self.set_operand(left)?;
                let right_query = self.set_operand(right)?;
                self.set_operation(*kind, *all, left_query, right_query, *at)
            }
        }
    }

    pub(super) fn set_operand(&mut self, body: &SetExpr) -> Result<Query> {
        let level = std::mem::take(&mut self.level);
        let query = self.set_expr(body);
        self.level = level;
        query
    }

    fn values(&mut self, rows: &[Vec<ast::Expr>], at: u32) -> Result<Query> {
        let width = rows[0].len();
        let scope = Rc::new(Scope::default());
        let forbidden = self.level.forbidden.replace("VALUES");
        let mut bound = Vec::with_capacity(rows.len());
        for row in rows {
            if row.len() != width {
                let message = "VALUES lists must all be the same length";
                return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(row.first().map_or(at, location)));
            }
            let mut cells = Vec::with_capacity(width);
            for cell in row {
                cells.push((self.expr(&scope, cell)?, location(cell)));
            }
            bound.push(cells);
        }
        self.level.forbidden = forbidden;
        let mut columns = Vec::with_capacity(width);
        let mut fields = Vec::with_capacity(width);
        for index in 0..width {
            let types: Vec<(SqlType, u32)> =
                bound.iter().map(|row| (row[index].0.ty(), row[index].1)).collect();
            let ty = self.common_type("VALUES", &types)?;
            columns.push(self.column(ty));
            fields.push(Field { name: format!("column{}", index + 1), ty });
        }
        let mut cast = Vec::with_capacity(bound.len());
        for row in bound {
            let mut cells = Vec::with_capacity(width);
            for ((cell, at), field) in row.into_iter().zip(&fields) {
                cells.push(self.coerce(cell, field.ty, CastContext::Implicit, at)?);
            }
            cast.push(cells);
        }
        Ok(Query { root: Logical::Values { columns: columns.clone(), rows: cast }, output: columns, fields })
    }

    fn set_operation(
        &mut self,
        kind: SetKind,
        all: bool,
        left: Query,
        right: Query,
        at: u32,
    ) -> Result<Query> {
        let word = match kind {
            SetKind::Union => "UNION",
            SetKind::Intersect => "INTERSECT",
            SetKind::Except => "EXCEPT",
        };
        if left.fields.len() != right.fields.len() {
            let message = format!("each {word} query must have the same number of columns");
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        let mut types = Vec::with_capacity(left.fields.len());
        for (a, b) in left.fields.iter().zip(&right.fields) {
            types.push(self.common_type(word, &[(a.ty, at), (b.ty, at)])?);
        }
        let fields: Vec<Field> = left
            .fields
            .iter()
            .zip(&types)
            .map(|(field, ty)| Field { name: field.name.clone(), ty: *ty })
            .collect();
        let mut sides = [left, right];
        for side in &mut sides {
            self.cast_output(side, &types, CastContext::Implicit, at)?;
        }
        if kind != SetKind::Union {
            return self.by_marker(kind, all, sides, types, fields, at);
        }
        let columns: Vec<ColumnId> = types.iter().map(|ty| self.column(*ty)).collect();
        let mut inputs = Vec::new();
        for side in sides {
            match side.root {
                // `a UNION ALL b UNION ALL c` is one list.
                Logical::Append { inputs: inner, columns: inner_columns }
                    if all && inner_columns == side.output =>
                {
                    inputs.extend(inner);
                }
                root => inputs.push((root, side.output)),
            }
        }
        let mut root = Logical::Append { inputs, columns: columns.clone() };
        if !all {
            root = Logical::Distinct { input: Box::new(root), columns: columns.clone() };
        }
        Ok(Query { root, output: columns, fields })
    }

    /// INTERSECT and EXCEPT: the rows of both sides grouped, with how many came from each.
    fn by_marker(
        &mut self,
        kind: SetKind,
        all: bool,
        sides: [Query; 2],
        types: Vec<SqlType>,
        fields: Vec<Field>,
        at: u32,
    ) -> Result<Query> {
        let marker = self.column(SqlType::Bool);
        let mut columns: Vec<ColumnId> = types.iter().map(|ty| self.column(*ty)).collect();
        let mut inputs = Vec::with_capacity(2);
        for (index, side) in sides.into_iter().enumerate() {
            let own = self.column(SqlType::Bool);
            let exprs = vec![(own, Expr::bool(index == 0))];
            let mut output = side.output;
            output.push(own);
            inputs.push((Logical::Extend { input: Box::new(side.root), exprs }, output));
        }
        columns.push(marker);
        let append = Logical::Append { inputs, columns: columns.clone() };
        columns.pop();
        let mut groups: Vec<(ColumnId, Expr)> = Vec::with_capacity(columns.len());
        for (id, ty) in columns.iter().zip(&types) {
            groups.push((self.column(*ty), self.column_expr(*id)));
        }
        let output: Vec<ColumnId> = groups.iter().map(|it| it.0).collect();
        let from_left = self.column_expr(marker);
        let from_right = Expr::Not(Box::new(from_left.clone()));
        let mut aggregates = Vec::with_capacity(2);
        let mut predicates = Vec::with_capacity(2);
        for (filter, wanted) in [(from_left, true), (from_right, kind == SetKind::Intersect)] {
            let (function, args, ty) = self.aggregate("count", Vec::new(), at)?;
            let id = self.column(ty);
            let call = AggregateCall {
                function,
                args,
                order_by: Vec::new(),
                distinct: false,
                filter: Some(filter),
                ty,
                position: at,
            };
            aggregates.push((id, call));
            let zero = Expr::Literal { value: Datum::Int8(0), ty: SqlType::Int8 };
            let op = if wanted { ">" } else { "=" };
            predicates.push(self.operator(op, vec![(self.column_expr(id), at), (zero, at)], at)?);
        }
        let counts: Vec<ColumnId> = aggregates.iter().map(|it| it.0).collect();
        let root = Logical::Aggregate { input: Box::new(append), groups, aggregates };
        let root = if all {
            self.repeated(root, kind, counts[0], counts[1], at)?
        } else {
            Logical::Filter { input: Box::new(root), predicates }
        };
        Ok(Query { root, output, fields })
    }

    /// INTERSECT ALL and EXCEPT ALL: each row as often as the counts of both sides say.
    fn repeated(
        &mut self,
        root: Logical,
        kind: SetKind,
        left: ColumnId,
        right: ColumnId,
        at: u32,
    ) -> Result<Logical> {
        let (a, b) = (self.column_expr(left), self.column_expr(right));
        let count = if kind == SetKind::Intersect {
            let fewer = self.operator("<", vec![(a.clone(), at), (b.clone(), at)], at)?;
            Expr::Case { branches: vec![(fewer, a)], otherwise: Box::new(b), ty: SqlType::Int8 }
        } else {
            self.operator("-", vec![(a, at), (b, at)], at)?
        };
        let id = self.column(SqlType::Int8);
        let left = Box::new(Logical::Extend { input: Box::new(root), exprs: vec![(id, count)] });
        let parameter = self.parameter_for(id);
        let one = Expr::Literal { value: Datum::Int8(1), ty: SqlType::Int8 };
        let series = Expr::Param { index: parameter, ty: SqlType::Int8 };
        let column = self.column(SqlType::Int8);
        let right =
            Box::new(Logical::Series { function: None, args: vec![one, series], column, position: at });
        let args = vec![(parameter, self.column_expr(id))];
        Ok(Logical::Apply { left, right, kind: JoinKind::Inner, on: Vec::new(), args })
    }

    /// Casts the output columns of a query.
    pub(super) fn cast_output(
        &mut self,
        query: &mut Query,
        types: &[SqlType],
        context: CastContext,
        at: u32,
    ) -> Result<()> {
        let mut exprs = Vec::new();
        for (index, ty) in types.iter().enumerate() {
            let id = query.output[index];
            if self.statement.columns[id].ty == *ty {
                continue;
            }
            let cast = self.coerce(self.column_expr(id), *ty, context, at)?;
            let new = self.column(*ty);
            exprs.push((new, cast));
            query.output[index] = new;
            query.fields[index].ty = *ty;
        }
        if !exprs.is_empty() {
            let input = Box::new(std::mem::replace(&mut query.root, Logical::one_row()));
            query.root = Logical::Extend { input, exprs };
        }
        Ok(())
    }

    fn order_by_output(&mut self, query: &mut Query, order_by: &[OrderItem]) -> Result<()> {
        let outputs: Vec<Output> = query
            .fields
            .iter()
            .zip(&query.output)
            .map(|(field, id)| Output { expr: self.column_expr(*id), name: field.name.clone(), at: 0 })
            .collect();
        let mut keys: Vec<LogicalKey> = Vec::with_capacity(order_by.len());
        for OrderItem { expr, descending, nulls_first } in order_by {
            let Some(index) = output_by_name(&outputs, expr, "ORDER BY")? else {
                if let ExprKind::Column { table: None, name } = &expr.kind {
                    return Err(super::scope::no_column(None, name));
                }
                let message = "invalid UNION/INTERSECT/EXCEPT ORDER BY clause";
                return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                    .with_detail("Only result column names can be used, not expressions or functions.")
                    .at(location(expr)));
            };
            let key = LogicalKey {
                column: query.output[index],
                descending: *descending,
                nulls_first: nulls_first.unwrap_or(*descending),
            };
            if !keys.iter().any(|known| known.column == key.column) {
                keys.push(key);
            }
        }
        if !keys.is_empty() {
            let input = Box::new(std::mem::replace(&mut query.root, Logical::one_row()));
            query.root = Logical::Sort { input, keys };
        }
        Ok(())
    }
}

/// Volatile columns that ORDER BY does not read are computed behind it and behind LIMIT, as PostgreSQL does it: takes them out.
fn take_late(root: &mut Logical) -> Vec<(ColumnId, Expr)> {
    let Logical::Sort { input, keys } = root else { return Vec::new() };
    let Logical::Extend { exprs, .. } = &mut **input else { return Vec::new() };
    let ids: Vec<ColumnId> = exprs.iter().map(|it| it.0).collect();
    let is_read = |id: ColumnId| {
        let reads = |expr: &Expr| !expr.columns_all(|other| other != id);
        keys.iter().any(|key| key.column == id) || exprs.iter().any(|(_, expr)| reads(expr))
    };
    let is_late: Vec<bool> = exprs.iter().map(|(id, expr)| expr.is_volatile() && !is_read(*id)).collect();
    let mut late = Vec::new();
    for (id, is_late) in ids.into_iter().zip(is_late) {
        if let Some(at) = exprs.iter().position(|it| is_late && it.0 == id) {
            late.push(exprs.remove(at));
        }
    }
    late
}
