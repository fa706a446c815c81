//! Queries: SELECT, VALUES, set operations, ORDER BY, LIMIT.

use super::binder::{Binder, Cte, Level};
use super::expr::location;
use super::group::{Grouping, grouping_sets};
use super::names::output_name;
use super::scope::{Scope, no_from_entry};
use crate::datum::Datum;
use crate::expr::{
    AggregateCall, Expr, Frame, FrameBound, FrameExclude, FrameMode, WindowCall, WindowFunction,
};
use crate::functions::CastContext;
use crate::parse::ast::{self, ExprKind, OrderItem, Select, SelectItem, SetExpr, SetKind};
use crate::plan::logical::{ColumnId, Logical, LogicalKey, Query};
use crate::plan::{Field, JoinKind};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;
use std::sync::Arc;

/// An output column before it has an id.
struct Output {
    expr: Expr,
    name: String,
    /// The tree it came from, to be compared with ORDER BY's by shape; none for `*`.
    at: u32,
}

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
        for (index, definition) in with.iter().enumerate() {
            if with[..index].iter().any(|other| other.name.text == definition.name.text) {
                let message =
                    format!("WITH query name \"{}\" specified more than once", definition.name.text);
                return Err(Error::new(SqlState::DUPLICATE_ALIAS, message).at(definition.name.at));
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
            if self.is_used_cte(Arc::as_ptr(&definition.query)) {
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
        let ast::Query { with: _, body, order_by, limit, offset, with_ties, at } = query;
        let (mut bound, scope) = match body {
            SetExpr::Select(select) => self.select(select, order_by)?,
            other => {
                let mut bound = self.set_expr(other)?;
                self.order_by_output(&mut bound, order_by)?;
                (bound, Rc::new(Scope::default()))
            }
        };
        if limit.is_some() || offset.is_some() {
            let limit = self.row_count(&scope, limit.as_ref(), "LIMIT")?;
            let offset = self.row_count(&scope, offset.as_ref(), "OFFSET")?;
            if *with_ties {
                bound.root = self.with_ties(bound.root, limit, offset, *at)?;
            } else if limit.is_some() || offset.is_some() {
                bound.root = Logical::Limit { input: Box::new(bound.root), limit, offset };
            }
        }
        Ok(bound)
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
            return Ok(Logical::Limit { input: Box::new(Logical::Sort { input, keys }), limit, offset });
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
        let right = Box::new(Logical::Series { args: vec![one, series], column, position: at });
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

    /// A SELECT, and what it sees by FROM.
    fn select(&mut self, select: &Select, order_by: &[OrderItem]) -> Result<(Query, Rc<Scope>)> {
        let outer_level = std::mem::take(&mut self.level);
        let result = self.select_level(select, order_by);
        self.level = outer_level;
        result
    }

    fn select_level(&mut self, select: &Select, order_by: &[OrderItem]) -> Result<(Query, Rc<Scope>)> {
        let Select {
            distinct,
            distinct_on,
            items,
            from,
            filter,
            group_by,
            group_distinct,
            having,
            windows,
            at: _,
        } = select;
        let targets = std::mem::take(&mut self.insert_targets);
        let (mut root, scope) = self.bind_from_list(from)?;
        if let Some(filter) = filter {
            self.level.forbidden = Some("WHERE");
            let mut predicates = Vec::new();
            self.condition(&scope, filter, "WHERE")?.into_conjuncts(&mut predicates);
            root = Logical::Filter { input: Box::new(root), predicates };
        }
        self.level.forbidden = None;
        self.level.references.clear();
        self.define_windows(windows)?;
        self.level.allows_series = true;
        let mut outputs = self.select_items(&scope, items)?;
        self.level.allows_series = false;
        if !distinct {
            for (output, (column, ty)) in outputs.iter_mut().zip(&targets) {
                if output.expr.ty() == SqlType::Unknown {
                    let expr = std::mem::replace(&mut output.expr, Expr::bool(true));
                    output.expr = self.coerce_assignment(expr, column, *ty, output.at)?;
                }
            }
        }
        self.level.no_windows = Some("HAVING");
        let having = match having {
            Some(having) => Some(self.condition(&scope, having, "HAVING")?),
            None => None,
        };
        self.level.no_windows = None;
        self.level.allows_series = true;
        let mut keys = self.order_items(&scope, &outputs, order_by)?;
        self.level.allows_series = false;
        let mut on = self.distinct_keys(&scope, &outputs, distinct_on)?;
        let grouped = !group_by.is_empty()
            || !self.level.aggregates.is_empty()
            || !self.level.groupings.is_empty()
            || having.is_some();
        if grouped {
            let mut grouping = self.group_clause(&scope, group_by, *group_distinct, &outputs)?;
            for output in &mut outputs {
                output.expr =
                    grouping.rewrite(self, std::mem::replace(&mut output.expr, Expr::bool(true)))?;
            }
            for by in keys.iter_mut().map(|key| &mut key.0).chain(&mut on) {
                if let SortBy::Expr(expr, _) = by {
                    *expr = grouping.rewrite(self, std::mem::replace(expr, Expr::bool(true)))?;
                }
            }
            let mut predicates = Vec::new();
            if let Some(having) = having {
                grouping.rewrite(self, having)?.into_conjuncts(&mut predicates);
            }
            let (input, windows) = self.place_windows(root, Some(&mut grouping))?;
            self.group_series(&mut grouping)?;
            let aggregates = std::mem::take(&mut self.level.aggregates);
            root = grouping.aggregate(self, input, aggregates)?;
            if !predicates.is_empty() {
                root = Logical::Filter { input: Box::new(root), predicates };
            }
            root = self.stack_windows(root, windows);
            root = self.expand_series(root, outputs.iter().map(|it| &it.expr))?;
        } else {
            root = self.place_windows(root, None)?.0;
            root = self.expand_series(root, outputs.iter().map(|it| &it.expr))?;
        }
        Ok((self.finish_select(root, outputs, keys, *distinct, on)?, scope))
    }

    /// GROUP BY, with its grouping sets.
    fn group_clause(
        &mut self,
        scope: &Rc<Scope>,
        items: &[ast::GroupItem],
        distinct: bool,
        outputs: &[Output],
    ) -> Result<Grouping> {
        let Some(sets) = grouping_sets(items)? else {
            let exprs = items.iter().filter_map(|item| match item {
                ast::GroupItem::Expr(expr) => Some(expr),
                _ => None,
            });
            let bound = self.group_items(scope, exprs, outputs)?;
            let mut groups: Vec<Expr> = Vec::with_capacity(bound.len());
            for expr in bound {
                if !groups.iter().any(|known| known.same(&expr)) {
                    groups.push(expr);
                }
            }
            return Ok(Grouping::new(self, groups));
        };
        let mut groups: Vec<Expr> = Vec::new();
        let mut numbered: Vec<Vec<usize>> = Vec::with_capacity(sets.len());
        for set in &sets {
            let mut own: Vec<usize> = Vec::with_capacity(set.len());
            for expr in self.group_items(scope, set.iter(), outputs)? {
                let place = match groups.iter().position(|known| known.same(&expr)) {
                    Some(place) => place,
                    None => {
                        groups.push(expr);
                        groups.len() - 1
                    }
                };
                if !own.contains(&place) {
                    own.push(place);
                }
            }
            own.sort_unstable();
            if !distinct || !numbered.contains(&own) {
                numbered.push(own);
            }
        }
        let number = self.column(SqlType::Int4);
        let mut grouping = Grouping::new(self, groups);
        grouping.sets = Some((number, numbered));
        Ok(grouping)
    }

    /// The keys of DISTINCT ON.
    fn distinct_keys(
        &mut self,
        scope: &Rc<Scope>,
        outputs: &[Output],
        exprs: &[ast::Expr],
    ) -> Result<Vec<SortBy>> {
        let mut keys = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let by = self.sort_by(scope, outputs, expr, "DISTINCT ON")?;
            keys.push(by);
        }
        Ok(keys)
    }

    /// Computes the output and sort columns, then DISTINCT and ORDER BY.
    fn finish_select(
        &mut self,
        root: Logical,
        outputs: Vec<Output>,
        keys: Vec<(SortBy, (bool, bool))>,
        distinct: bool,
        on: Vec<SortBy>,
    ) -> Result<Query> {
        let mut exprs: Vec<(ColumnId, Expr)> = Vec::new();
        let mut place = |binder: &mut Self, expr: Expr| match expr {
            Expr::Column { id, .. } => id,
            expr => {
                if !expr.is_volatile()
                    && let Some((id, _)) = exprs.iter().find(|(_, known)| known.same(&expr))
                {
                    return *id;
                }
                let id = binder.column(expr.ty());
                exprs.push((id, expr));
                id
            }
        };
        let mut output = Vec::with_capacity(outputs.len());
        let mut fields = Vec::with_capacity(outputs.len());
        for Output { expr, name, at } in outputs {
            let expr = self.known(expr, at)?;
            fields.push(Field { name, ty: expr.ty() });
            output.push(place(self, expr));
        }
        let mut once: Vec<ColumnId> = Vec::with_capacity(on.len());
        for by in on {
            let column = match by {
                SortBy::Output(index) => output[index],
                SortBy::Expr(expr, _) => place(self, expr),
            };
            if !once.contains(&column) {
                once.push(column);
            }
        }
        let mut sort: Vec<LogicalKey> = Vec::with_capacity(keys.len());
        for (by, (descending, nulls_first)) in keys {
            let (column, at) = match by {
                SortBy::Output(index) => (output[index], 0),
                SortBy::Expr(Expr::Literal { .. }, _) => continue,
                SortBy::Expr(expr, at) => (place(self, expr), at),
            };
            let leads = sort.iter().all(|key| once.contains(&key.column));
            let missing = once.iter().any(|id| sort.iter().all(|key| key.column != *id));
            if !once.is_empty() && missing && !(leads && once.contains(&column)) {
                let message = "SELECT DISTINCT ON expressions must match initial ORDER BY expressions";
                return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(at));
            }
            if distinct && !output.contains(&column) {
                let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
                return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(at));
            }
            if !sort.iter().any(|key| key.column == column) {
                sort.push(LogicalKey { column, descending, nulls_first });
            }
        }
        let mut root = root;
        if !exprs.is_empty() {
            root = Logical::Extend { input: Box::new(root), exprs };
        }
        if !once.is_empty() {
            root = self.first_of_each(root, once, &sort)?;
        }
        if distinct {
            let mut columns = output.clone();
            columns.sort_unstable();
            columns.dedup();
            root = Logical::Distinct { input: Box::new(root), columns };
        }
        if !sort.is_empty() {
            root = Logical::Sort { input: Box::new(root), keys: sort };
        }
        Ok(Query { root, output, fields })
    }

    /// DISTINCT ON: of the rows that are equal in `once` the first in the order wanted.
    fn first_of_each(&mut self, root: Logical, once: Vec<ColumnId>, sort: &[LogicalKey]) -> Result<Logical> {
        let order = sort.iter().filter(|key| !once.contains(&key.column)).copied().collect();
        let number = self.column(SqlType::Int8);
        let call = ranking(WindowFunction::RowNumber);
        let calls = vec![(number, call)];
        let root = Logical::Window { input: Box::new(root), partition: once, order, calls };
        let one = Expr::Literal { value: Datum::Int8(1), ty: SqlType::Int8 };
        let is_first = self.operator("=", vec![(self.column_expr(number), 0), (one, 0)], 0)?;
        Ok(Logical::Filter { input: Box::new(root), predicates: vec![is_first] })
    }

    fn select_items(&mut self, scope: &Rc<Scope>, items: &[SelectItem]) -> Result<Vec<Output>> {
        let mut outputs = Vec::with_capacity(items.len());
        for item in items {
            match item {
                SelectItem::Star { table, at } => self.star(scope, table.as_ref(), *at, &mut outputs)?,
                SelectItem::Expr { expr, alias } => {
                    let name = alias.as_ref().map_or_else(|| output_name(expr), |alias| alias.text.clone());
                    outputs.push(Output { expr: self.expr(scope, expr)?, name, at: location(expr) });
                }
            }
        }
        Ok(outputs)
    }

    fn star(
        &mut self,
        scope: &Scope,
        table: Option<&ast::Name>,
        at: u32,
        outputs: &mut Vec<Output>,
    ) -> Result<()> {
        if let Some(table) = table
            && !scope.has_table(&table.text)
        {
            return Err(no_from_entry(table));
        }
        if table.is_none() && scope.tables.is_empty() {
            let message = "SELECT * with no tables specified is not valid";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        for column in &scope.columns {
            let wanted = match table {
                Some(table) => column.table.as_deref() == Some(table.text.as_str()),
                None => !column.merged,
            };
            if wanted {
                if !self.level.references.iter().any(|it| it.0 == column.id) {
                    let text = match &column.table {
                        Some(table) => format!("{table}.{}", column.name),
                        None => column.name.to_string(),
                    };
                    self.level.references.push((column.id, ast::Name { text, at }));
                }
                let expr = Expr::Column { id: column.id, ty: column.ty };
                outputs.push(Output { expr, name: column.name.to_string(), at });
            }
        }
        Ok(())
    }

    /// Output columns of RETURNING.
    pub(super) fn returning_items(
        &mut self,
        scope: &Rc<Scope>,
        items: &[SelectItem],
    ) -> Result<(Vec<Expr>, Vec<Field>)> {
        self.level.forbidden = Some("RETURNING");
        let outputs = self.select_items(scope, items)?;
        self.level.forbidden = None;
        let mut exprs = Vec::with_capacity(outputs.len());
        let mut fields = Vec::with_capacity(outputs.len());
        for Output { expr, name, at } in outputs {
            let expr = self.known(expr, at)?;
            fields.push(Field { name, ty: expr.ty() });
            exprs.push(expr);
        }
        Ok((exprs, fields))
    }

    fn order_items(
        &mut self,
        scope: &Rc<Scope>,
        outputs: &[Output],
        order_by: &[OrderItem],
    ) -> Result<Vec<(SortBy, (bool, bool))>> {
        let mut keys = Vec::with_capacity(order_by.len());
        for OrderItem { expr, descending, nulls_first } in order_by {
            let by = self.sort_by(scope, outputs, expr, "ORDER BY")?;
            keys.push((by, (*descending, nulls_first.unwrap_or(*descending))));
        }
        Ok(keys)
    }

    /// An output column by name or number, or an expression.
    fn sort_by(
        &mut self,
        scope: &Rc<Scope>,
        outputs: &[Output],
        expr: &ast::Expr,
        clause: &str,
    ) -> Result<SortBy> {
        if let Some(index) = output_by_name(outputs, expr, clause)? {
            return Ok(SortBy::Output(index));
        }
        let at = location(expr);
        let bound = self.expr(scope, expr)?;
        let bound = self.known(bound, at)?;
        Ok(match outputs.iter().position(|output| output.expr.same(&bound)) {
            Some(index) => SortBy::Output(index),
            None => SortBy::Expr(bound, at),
        })
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

    fn group_items<'e>(
        &mut self,
        scope: &Rc<Scope>,
        group_by: impl Iterator<Item = &'e ast::Expr>,
        outputs: &[Output],
    ) -> Result<Vec<Expr>> {
        let references = std::mem::take(&mut self.level.references);
        self.level.forbidden = Some("GROUP BY");
        let mut groups: Vec<Expr> = Vec::new();
        for expr in group_by {
            // A name is an input column first, an output column second.
            let input_column = match &expr.kind {
                ExprKind::Column { table: None, name } => scope.find(None, name)?.is_some(),
                _ => false,
            };
            let index = if input_column { None } else { output_by_name(outputs, expr, "GROUP BY")? };
            let bound = match index {
                Some(index) => {
                    let bound = outputs[index].expr.clone();
                    let windows = || self.level.windows.iter().flat_map(|window| &window.calls);
                    if bound.any(&mut |it| matches!(it, Expr::Column { id, .. } if windows().any(|call| call.0 == *id))) {
                        let message = "window functions are not allowed in GROUP BY";
                        return Err(Error::new(SqlState::WINDOWING_ERROR, message).at(outputs[index].at));
                    }
                    let aggregates = &self.level.aggregates;
                    if bound.any(&mut |it| matches!(it, Expr::Column { id, .. } if aggregates.iter().any(|call| call.0 == *id))) {
                        let message = "aggregate functions are not allowed in GROUP BY";
                        return Err(Error::new(SqlState::GROUPING_ERROR, message).at(outputs[index].at));
                    }
                    bound
                }
                None => self.expr(scope, expr)?,
            };
            let bound = self.known(bound, location(expr))?;
            groups.push(bound);
        }
        self.level.forbidden = None;
        self.level.references = references;
        Ok(groups)
    }
}

/// A call of a ranking function.
pub(super) fn ranking(function: WindowFunction) -> WindowCall {
    let frame = Frame {
        mode: FrameMode::Range,
        start: FrameBound::Unbounded,
        end: FrameBound::Current,
        exclude: FrameExclude::Nothing,
    };
    WindowCall { function, args: Vec::new(), filter: None, frame, ty: SqlType::Int8, position: 0 }
}

/// What ORDER BY sorts by.
enum SortBy {
    /// An output column.
    Output(usize),
    /// Something else, and where it stands.
    Expr(Expr, u32),
}

/// The output column that a bare name or a number stands for. Errors: 42702, 42P10.
fn output_by_name(outputs: &[Output], expr: &ast::Expr, clause: &str) -> Result<Option<usize>> {
    match &expr.kind {
        ExprKind::Column { table: None, name } => {
            let mut found: Option<usize> = None;
            for (index, output) in outputs.iter().enumerate() {
                if output.name != name.text {
                    continue;
                }
                match found {
                    Some(before) if !outputs[before].expr.same(&output.expr) => {
                        let message = format!("{clause} \"{}\" is ambiguous", name.text);
                        return Err(Error::new(SqlState::AMBIGUOUS_COLUMN, message).at(name.at));
                    }
                    Some(_) => {}
                    None => found = Some(index),
                }
            }
            Ok(found)
        }
        ExprKind::Number(digits) => match digits.parse::<usize>() {
            Ok(number) if (1..=outputs.len()).contains(&number) => Ok(Some(number - 1)),
            Ok(_) => {
                let message = format!("{clause} position {digits} is not in select list");
                Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(expr.at))
            }
            Err(_) => {
                let message = format!("non-integer constant in {clause}");
                Err(Error::new(SqlState::SYNTAX_ERROR, message).at(expr.at))
            }
        },
        ExprKind::String(_) | ExprKind::Bool(_) | ExprKind::Null => {
            let message = format!("non-integer constant in {clause}");
            Err(Error::new(SqlState::SYNTAX_ERROR, message).at(expr.at))
        }
        _ => Ok(None),
    }
}
