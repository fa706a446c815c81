//! INSERT, UPDATE, DELETE, COPY.

use super::CopyFrom;
use super::binder::{Binder, Level};
use super::expr::location;
use super::scope::{Scope, ScopeColumn};
use crate::catalog::{Column, Table};
use crate::datum::Datum;
use crate::expr::{Expr, WindowFunction};
use crate::functions::{CastContext, Volatility};
use crate::parse::ast::{self, ExprKind, InsertSource, Name, SelectItem, SetExpr};
use crate::plan::logical::{ColumnId, Logical, Query};
use crate::plan::{Arbiters, ConflictUpdate, Field, JoinKind, ROW_KEY, Returning};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;
use std::sync::Arc;

/// INSERT before planning.
pub(super) struct BoundInsert {
    pub(super) table: Arc<Table>,
    pub(super) source: Query,
    pub(super) generated: Vec<(usize, Expr)>,
    pub(super) checks: Vec<(String, Expr)>,
    pub(super) skip: Option<Arbiters>,
    pub(super) conflict_update: Option<ConflictUpdate>,
    pub(super) returning: Option<Returning>,
}

/// UPDATE and DELETE before planning.
pub(super) struct BoundChange {
    pub(super) table: Arc<Table>,
    pub(super) source: Query,
    /// The whole WHERE over the table's columns, unless a subquery is in the statement.
    pub(super) recheck: Option<Option<Expr>>,
    pub(super) assignments: Vec<(usize, Expr)>,
    pub(super) generated: Vec<(usize, Expr)>,
    pub(super) checks: Vec<(String, Expr)>,
    pub(super) returning: Option<Returning>,
}

/// The columns of a table by ordinal: what CHECK, RETURNING and assignments see.
pub(super) struct TableScope {
    pub(super) scope: Rc<Scope>,
    pub(super) ids: Vec<ColumnId>,
}

/// What stands in UPDATE's FROM or DELETE's USING.
struct Beside {
    root: Logical,
    /// The columns of the table that changes, then these.
    scope: Rc<Scope>,
}

impl TableScope {
    pub(super) fn new(binder: &mut Binder<'_>, table: &Arc<Table>, shown: &str) -> TableScope {
        let ids = binder.table_columns(table);
        let shown: Rc<str> = Rc::from(shown);
        let columns = table.visible().map(|(ordinal, column)| ScopeColumn {
            table: Some(shown.clone()),
            name: Rc::from(column.name.as_str()),
            id: ids[ordinal],
            ty: column.ty,
            merged: false,
        });
        let scope = Rc::new(Scope { columns: columns.collect(), tables: vec![shown.clone()] });
        TableScope { scope, ids }
    }

    /// The expression over ordinals in place of ids.
    pub(super) fn by_ordinal(&self, expr: Expr, table: &Table) -> Expr {
        let first = self.ids.first().copied().unwrap_or(0);
        expr.replace_columns(&|id| {
            let ordinal = id - first;
            Some(Expr::Column { id: ordinal, ty: table.columns[ordinal].ty })
        })
    }
}

impl Binder<'_> {
    pub(super) fn insert(&mut self, insert: &ast::Insert) -> Result<BoundInsert> {
        self.with(&insert.with, |binder| binder.insert_body(insert))
    }

    fn insert_body(&mut self, insert: &ast::Insert) -> Result<BoundInsert> {
        let ast::Insert {
            with: _,
            table: name,
            alias,
            columns,
            source,
            override_identity,
            on_conflict,
            returning,
        } = insert;
        let table = self.table(name)?;
        let targets = self.target_columns(&table, columns)?;
        let source = match source {
            InsertSource::Defaults => self.insert_values(&table, &[], &[Vec::new()], false)?,
            InsertSource::Query(query) => match plain_values(query) {
                Some(rows) => {
                    self.check_width(&rows, targets.len(), !columns.is_empty(), columns)?;
                    self.insert_values(&table, &targets, rows, *override_identity)?
                }
                None => {
                    self.insert_query(&table, &targets, query, *override_identity, !columns.is_empty())?
                }
            },
        };
        let shown = alias.clone().unwrap_or_else(|| name.own());
        let scope = TableScope::new(self, &table, &shown.text);
        let generated = self.generated(&table, &scope)?;
        let checks = self.checks(&table, &scope)?;
        let (mut skip, mut conflict_update) = (None, None);
        if let Some(on_conflict) = on_conflict {
            (skip, conflict_update) = self.on_conflict(&table, &scope, on_conflict)?;
        }
        let returning = self.returning(&table, &scope, returning.as_deref())?;
        Ok(BoundInsert { table, source, generated, checks, skip, conflict_update, returning })
    }

    /// The ordinals that INSERT or COPY names; all when it names none. Errors: 42703, 42701.
    pub(super) fn target_columns(&self, table: &Table, names: &[Name]) -> Result<Vec<usize>> {
        if names.is_empty() {
            return Ok(table.visible().map(|(ordinal, _)| ordinal).collect());
        }
        let mut targets = Vec::with_capacity(names.len());
        for name in names {
            let ordinal = self.table_column(table, name)?;
            if targets.contains(&ordinal) {
                let message = format!("column \"{}\" specified more than once", name.text);
                return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).at(name.at));
            }
            targets.push(ordinal);
        }
        Ok(targets)
    }

    pub(super) fn table_column(&self, table: &Table, name: &Name) -> Result<usize> {
        table.column(&name.text).ok_or_else(|| {
            let message = format!("column \"{}\" of relation \"{}\" does not exist", name.text, table.name);
            Error::new(SqlState::UNDEFINED_COLUMN, message).at(name.at)
        })
    }

    pub(super) fn check_width(
        &self,
        rows: &&[Vec<ast::Expr>],
        targets: usize,
        named: bool,
        names: &[Name],
    ) -> Result<()> {
        let width = rows[0].len();
        for row in *rows {
            if row.len() != width {
                let message = "VALUES lists must all be the same length";
                return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(row.first().map_or(0, location)));
            }
        }
        if width > targets {
            let at = location(&rows[0][targets]);
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "INSERT has more expressions than target columns",
            )
            .at(at));
        }
        if width < targets && named {
            let message = "INSERT has more target columns than expressions";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(names[width].at));
        }
        Ok(())
    }

    /// Rows of VALUES: each cell is cast to its column by itself.
    fn insert_values(
        &mut self,
        table: &Arc<Table>,
        targets: &[usize],
        rows: &[Vec<ast::Expr>],
        override_identity: bool,
    ) -> Result<Query> {
        let width = rows[0].len();
        let mut cell_of = vec![None; table.columns.len()];
        for (cell, ordinal) in targets.iter().take(width).enumerate() {
            cell_of[*ordinal] = Some(cell);
        }
        let scope = Rc::new(Scope::default());
        self.level = Level { forbidden: Some("VALUES"), ..Level::default() };
        // What the row does not give is the same for all rows: bound once.
        let mut defaults: Vec<Option<Expr>> = vec![None; table.columns.len()];
        let mut bound = Vec::with_capacity(rows.len());
        for row in rows {
            let mut cells = Vec::with_capacity(table.columns.len());
            for (ordinal, column) in table.columns.iter().enumerate() {
                let cell = cell_of[ordinal].map(|cell| &row[cell]);
                cells.push(match cell {
                    Some(cell) if !matches!(cell.kind, ExprKind::Default) => {
                        refuse_always(column, override_identity, location(cell))?;
                        let value = self.expr(&scope, cell)?;
                        self.coerce_assignment(value, &column.name, column.assigned(), location(cell))?
                    }
                    _ => {
                        if defaults[ordinal].is_none() {
                            defaults[ordinal] = Some(self.default_value(column)?);
                        }
                        defaults[ordinal].clone().expect("it was just made")
                    }
                });
            }
            bound.push(cells);
        }
        let columns: Vec<ColumnId> = table.columns.iter().map(|column| self.column(column.ty)).collect();
        let root = Logical::Values { columns: columns.clone(), rows: bound };
        Ok(Query { root, output: columns, fields: table_fields(table) })
    }

    fn insert_query(
        &mut self,
        table: &Arc<Table>,
        targets: &[usize],
        query: &ast::Query,
        override_identity: bool,
        named: bool,
    ) -> Result<Query> {
        if is_select(query) {
            let target = |&ordinal: &usize| {
                let column = &table.columns[ordinal];
                (column.name.clone(), column.ty)
            };
            self.insert_targets = targets.iter().map(target).collect();
        }
        let mut source = self.query(query)?;
        let width = source.fields.len();
        if width > targets.len() || width < targets.len() && named {
            let message = if width > targets.len() {
                "INSERT has more expressions than target columns"
            } else {
                "INSERT has more target columns than expressions"
            };
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(query.at));
        }
        let mut exprs = Vec::new();
        let mut output = Vec::with_capacity(table.columns.len());
        for (ordinal, column) in table.columns.iter().enumerate() {
            let given = targets.iter().take(width).position(|target| *target == ordinal);
            let value = match given {
                Some(index) => {
                    refuse_always(column, override_identity, query.at)?;
                    let value = self.column_expr(source.output[index]);
                    self.coerce_assignment(value, &column.name, column.assigned(), query.at)?
                }
                None => self.default_value(column)?,
            };
            output.push(match value {
                Expr::Column { id, .. } => id,
                value => {
                    let id = self.column(column.ty);
                    exprs.push((id, value));
                    id
                }
            });
        }
        if !exprs.is_empty() {
            source.root = Logical::Extend { input: Box::new(source.root), exprs };
        }
        Ok(Query { root: source.root, output, fields: table_fields(table) })
    }

    /// What a column gets when nothing is given: its identity's next value, its default, or NULL.
    pub(super) fn default_value(&mut self, column: &Column) -> Result<Expr> {
        if let Some(identity) = column.identity {
            let next = self.next_value(identity.sequence)?;
            return self.coerce(next, column.ty, CastContext::Assignment, 0);
        }
        match &column.default {
            None => Ok(Expr::Literal { value: Datum::Null, ty: column.ty }),
            Some(text) => {
                if let Some(sequence) = self.serial_sequence(text) {
                    let next = self.next_value(sequence)?;
                    return self.coerce(next, column.ty, CastContext::Assignment, 0);
                }
                let tree = crate::parse::expression(text)?;
                let level = std::mem::replace(
                    &mut self.level,
                    Level { forbidden: Some("DEFAULT expressions"), ..Level::default() },
                );
                let value = self.as_stored(|it| {
                    let value = it.expr(&Rc::new(Scope::default()), &tree)?;
                    // Positions inside a stored text are not the statement's.
                    it.coerce_assignment(without_positions(value), &column.name, column.assigned(), 0)
                });
                self.level = level;
                value
            }
        }
    }

    /// The generated columns: ordinals and expressions by ordinal.
    pub(super) fn generated(&mut self, table: &Arc<Table>, scope: &TableScope) -> Result<Vec<(usize, Expr)>> {
        let mut generated = Vec::new();
        for (ordinal, column) in table.columns.iter().enumerate() {
            let Some(text) = &column.generated else { continue };
            let tree = crate::parse::expression(text)?;
            let value = self.as_stored(|it| {
                let value = without_positions(it.expr(&scope.scope, &tree)?);
                it.coerce_assignment(value, &column.name, column.assigned(), 0)
            })?;
            generated.push((ordinal, scope.by_ordinal(value, table)));
        }
        Ok(generated)
    }

    /// A generated column of a table that is being made: bound to find its errors.
    pub(super) fn validate_generated(
        &mut self,
        columns: &[Column],
        ordinal: usize,
        (_, tree): &(String, ast::Expr),
    ) -> Result<()> {
        let shown: Rc<str> = Rc::from("");
        let first = self.statement.columns.len();
        let scope_columns = columns.iter().map(|column| ScopeColumn {
            table: Some(shown.clone()),
            name: Rc::from(column.name.as_str()),
            id: self.column(column.ty),
            ty: column.ty,
            merged: false,
        });
        let scope = Rc::new(Scope { columns: scope_columns.collect(), tables: Vec::new() });
        self.level = Level { forbidden: Some("column generation expressions"), ..Level::default() };
        let bound = self.expr(&scope, tree)?;
        let column = &columns[ordinal];
        let bound = self.coerce_assignment(bound, &column.name, column.assigned(), location(tree))?;
        let refuse = |message: &str| Err(Error::new(SqlState::INVALID_OBJECT_DEFINITION, message));
        if bound.any(&mut |it| matches!(it, Expr::Subquery { .. })) {
            let message = "cannot use subquery in column generation expression";
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(tree.at));
        }
        if !bound.columns_all(|id| columns[id - first].generated.is_none() && id - first != ordinal) {
            return refuse("cannot use generated column in column generation expression");
        }
        let is_immutable = |it: &Expr| match it {
            Expr::Call { function, .. } => function.volatility == Volatility::Immutable,
            Expr::Cast { input, ty, .. } => super::binder::is_stable_cast(input.ty(), *ty),
            _ => true,
        };
        if bound.any(&mut |it| !is_immutable(it)) {
            return refuse("generation expression is not immutable");
        }
        Ok(())
    }

    pub(super) fn checks(&mut self, table: &Arc<Table>, scope: &TableScope) -> Result<Vec<(String, Expr)>> {
        let mut checks = Vec::with_capacity(table.checks.len());
        for check in &table.checks {
            let tree = crate::parse::expression(&check.expression)?;
            let of_domain = check.name.split_once('\u{1}').and_then(|it| it.1.split_once('\u{1}'));
            let seen = match of_domain.and_then(|it| it.1.parse::<usize>().ok()) {
                // A domain's: it sees the one column.
                Some(ordinal) if table.columns[ordinal].hidden => continue,
                Some(ordinal) => {
                    super::user_types::value_scope(scope.ids[ordinal], table.columns[ordinal].ty)
                }
                None => scope.scope.clone(),
            };
            let predicate = self.as_stored(|it| it.condition(&seen, &tree, "CHECK"))?;
            let predicate = without_positions(predicate);
            checks.push((check.name.clone(), scope.by_ordinal(predicate, table)));
        }
        Ok(checks)
    }

    /// A CHECK of a table that is being made: bound to find its errors, with the columns it may name.
    pub(super) fn validate_check(&mut self, columns: &[Column], expr: &ast::Expr) -> Result<()> {
        let shown: Rc<str> = Rc::from("");
        let columns = columns.iter().map(|column| ScopeColumn {
            table: Some(shown.clone()),
            name: Rc::from(column.name.as_str()),
            id: self.column(column.ty),
            ty: column.ty,
            merged: false,
        });
        let columns = columns.collect();
        let scope = Rc::new(Scope { columns, tables: Vec::new() });
        self.level = Level { forbidden: Some("check constraints"), ..Level::default() };
        let bound = self.condition(&scope, expr, "CHECK")?;
        if bound.any(&mut |it| matches!(it, Expr::Subquery { .. })) {
            return Err(Error::unsupported("subquery in CHECK").at(expr.at));
        }
        Ok(())
    }

    fn returning(
        &mut self,
        table: &Arc<Table>,
        scope: &TableScope,
        items: Option<&[SelectItem]>,
    ) -> Result<Option<Returning>> {
        let Some(items) = items else { return Ok(None) };
        let (exprs, fields) = self.returning_items(&scope.scope, items)?;
        let exprs = exprs.into_iter().map(|expr| scope.by_ordinal(expr, table)).collect();
        Ok(Some(Returning { exprs, fields }))
    }

    pub(super) fn update(&mut self, update: &ast::Update) -> Result<BoundChange> {
        self.with(&update.with, |binder| binder.update_body(update))
    }

    fn update_body(&mut self, update: &ast::Update) -> Result<BoundChange> {
        let ast::Update { with: _, table: name, alias, assignments, from, filter, returning } = update;
        let table = self.table(name)?;
        let shown = alias.clone().unwrap_or_else(|| name.own());
        let scope = TableScope::new(self, &table, &shown.text);
        let beside = self.beside(&scope, from)?;
        let seen = beside.as_ref().map_or_else(|| scope.scope.clone(), |beside| beside.scope.clone());
        self.inline_rows = beside.is_none();
        self.level.forbidden = Some("UPDATE");
        let bound = self.assignments(&table, &seen, &scope.ids, assignments)?;
        self.change(table, scope, beside, filter.as_ref(), bound, returning.as_deref())
    }

    pub(super) fn delete(&mut self, delete: &ast::Delete) -> Result<BoundChange> {
        self.with(&delete.with, |binder| binder.delete_body(delete))
    }

    fn delete_body(&mut self, delete: &ast::Delete) -> Result<BoundChange> {
        let ast::Delete { with: _, table: name, alias, using, filter, returning } = delete;
        let table = self.table(name)?;
        let shown = alias.clone().unwrap_or_else(|| name.own());
        let scope = TableScope::new(self, &table, &shown.text);
        let beside = self.beside(&scope, using)?;
        self.change(table, scope, beside, filter.as_ref(), Vec::new(), returning.as_deref())
    }

    /// The items of UPDATE's FROM or DELETE's USING, and what the statement's clauses see with them.
    fn beside(&mut self, scope: &TableScope, items: &[ast::TableExpr]) -> Result<Option<Beside>> {
        let Some(first) = items.first() else { return Ok(None) };
        let (root, own) = self.bind_from_list(items)?;
        let joined = (*scope.scope).clone().join((*own).clone(), first.at())?;
        Ok(Some(Beside { root, scope: Rc::new(joined) }))
    }

    fn change(
        &mut self,
        table: Arc<Table>,
        scope: TableScope,
        beside: Option<Beside>,
        filter: Option<&ast::Expr>,
        assignments: Vec<(usize, Expr)>,
        returning: Option<&[SelectItem]>,
    ) -> Result<BoundChange> {
        let seen = beside.as_ref().map_or_else(|| scope.scope.clone(), |beside| beside.scope.clone());
        let mut predicate = None;
        self.inline_rows = beside.is_none();
        if let Some(filter) = filter {
            self.level.forbidden = Some("WHERE");
            predicate = Some(self.condition(&seen, filter, "WHERE")?);
        }
        let key = self.column(SqlType::Bytea);
        let mut output = scope.ids.clone();
        output.push(key);
        let mut columns: Vec<(usize, ColumnId)> = scope.ids.iter().copied().enumerate().collect();
        columns.push((ROW_KEY, key));
        let mut root = Logical::Scan { table: table.clone(), columns };
        let mut fields = table_fields(&table);
        fields.push(Field { name: "row_key".to_owned(), ty: SqlType::Bytea });
        let (mut generated, mut checks) = (Vec::new(), Vec::new());
        if !assignments.is_empty() {
            generated = self.generated(&table, &scope)?;
            checks = self.checks(&table, &scope)?;
        }
        let mut predicates = Vec::new();
        let is_alone = beside.is_none();
        let recheck = predicate.clone().filter(|_| is_alone).map(|it| scope.by_ordinal(it, &table));
        predicate.into_iter().for_each(|it| it.into_conjuncts(&mut predicates));
        let assignments = match beside {
            None => {
                if !predicates.is_empty() {
                    root = Logical::Filter { input: Box::new(root), predicates };
                }
                let by_ordinal = |(ordinal, value)| (ordinal, scope.by_ordinal(value, &table));
                assignments.into_iter().map(by_ordinal).collect()
            }
            Some(Beside { root: other, scope: all }) => {
                self.returning_is_of(&all, &scope, returning)?;
                root = self.once_each(root, other, predicates, key)?;
                // The new values stand behind the row.
                let mut exprs = Vec::with_capacity(assignments.len());
                let mut placed = Vec::with_capacity(assignments.len());
                for (ordinal, value) in assignments {
                    let (id, ty) = (self.column(value.ty()), value.ty());
                    placed.push((ordinal, Expr::Column { id: output.len(), ty }));
                    fields.push(Field { name: table.columns[ordinal].name.clone(), ty });
                    output.push(id);
                    exprs.push((id, value));
                }
                // The row's key is no column of the values' input.
                for (_, value) in &mut placed {
                    if let Expr::Column { id, .. } = value {
                        *id -= 1;
                    }
                }
                if !exprs.is_empty() {
                    root = Logical::Extend { input: Box::new(root), exprs };
                }
                placed
            }
        };
        let returning = self.returning(&table, &scope, returning)?;
        // Over one relation without subqueries, a row that changed meanwhile is evaluated again by itself.
        let recheck = (is_alone && self.statement.subqueries.is_empty()).then_some(recheck);
        let source = Query { root, output, fields };
        Ok(BoundChange { table, source, recheck, assignments, generated, checks, returning })
    }

    /// The rows of the table that some row beside it goes with, each once, with one such row.
    fn once_each(
        &mut self,
        target: Logical,
        other: Logical,
        on: Vec<Expr>,
        key: ColumnId,
    ) -> Result<Logical> {
        let (left, right) = (Box::new(target), Box::new(other));
        let root = Logical::Join { left, right, kind: JoinKind::Inner, on };
        let number = self.column(SqlType::Int8);
        let calls = vec![(number, super::select::ranking(WindowFunction::RowNumber))];
        let (input, order) = (Box::new(root), Vec::new());
        let root = Logical::Window { input, partition: vec![key], order, calls };
        let one = Expr::Literal { value: Datum::Int8(1), ty: SqlType::Int8 };
        let is_first = self.operator("=", vec![(self.column_expr(number), 0), (one, 0)], 0)?;
        Ok(Logical::Filter { input: Box::new(root), predicates: vec![is_first] })
    }

    /// Errors: 0A000 when RETURNING names columns of other relations than the one that changes.
    fn returning_is_of(
        &mut self,
        all: &Rc<Scope>,
        own: &TableScope,
        items: Option<&[SelectItem]>,
    ) -> Result<()> {
        let Some(items) = items else { return Ok(()) };
        let at = match &items[0] {
            SelectItem::Star { at, .. } => *at,
            SelectItem::Expr { expr, .. } => location(expr),
        };
        let subquery_count = self.statement.subqueries.len();
        let (exprs, _) = self.returning_items(all, items)?;
        self.statement.subqueries.truncate(subquery_count);
        if exprs.iter().all(|expr| expr.columns_all(|id| own.ids.contains(&id))) {
            return Ok(());
        }
        Err(Error::unsupported("RETURNING of other tables than the changed one").at(at))
    }

    pub(super) fn copy(&mut self, copy: &ast::Copy) -> Result<CopyFrom> {
        let ast::Copy { table: name, columns, file, options } = copy;
        let table = self.table(name)?;
        let targets = self.copied_columns(&table, columns)?;
        let mut defaults = Vec::with_capacity(table.columns.len());
        for (ordinal, column) in table.columns.iter().enumerate() {
            // A column that the text gives needs no default; NULL stands there and is never used.
            defaults.push(if targets.contains(&ordinal) {
                Expr::Literal { value: Datum::Null, ty: column.ty }
            } else {
                self.default_value(column)?
            });
        }
        let read = self.read_texts(&table, &targets)?;
        let scope = TableScope::new(self, &table, &name.own().text);
        let generated = self.generated(&table, &scope)?;
        let checks = self.checks(&table, &scope)?;
        let format = super::copy::copy_format(options, false)?;
        if table.foreign_keys.iter().any(|key| key.target == table.id.0) {
            // Each batch is checked at its end, and a row may refer to one of a later batch.
            return Err(Error::unsupported("COPY into a table that refers to itself").at(name.at));
        }
        let relations = self.relations(&table, false)?;
        Ok(CopyFrom {
            table,
            columns: targets,
            read,
            defaults,
            generated,
            checks,
            relations,
            file: file.clone(),
            format,
        })
    }
}

fn table_fields(table: &Table) -> Vec<Field> {
    table.columns.iter().map(|column| Field { name: column.name.clone(), ty: column.ty }).collect()
}

/// A query that is nothing but VALUES.
fn plain_values(query: &ast::Query) -> Option<&[Vec<ast::Expr>]> {
    let ast::Query { with, body, order_by, limit, offset, with_ties: _, locks, at: _ } = query;
    match body {
        SetExpr::Values { rows, .. }
            if with.is_empty()
                && locks.is_empty()
                && order_by.is_empty()
                && limit.is_none()
                && offset.is_none() =>
        {
            Some(rows)
        }
        _ => None,
    }
}

/// A query that is one SELECT, in parentheses or not.
fn is_select(query: &ast::Query) -> bool {
    match &query.body {
        SetExpr::Select(_) => true,
        SetExpr::Query(inner) => is_select(inner),
        SetExpr::Values { .. } | SetExpr::SetOperation { .. } => false,
    }
}

pub(super) fn refuse_always(column: &Column, overridden: bool, at: u32) -> Result<()> {
    let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
    let refused = Error::new(SqlState::GENERATED_ALWAYS, message).at(at);
    if column.generated.is_some() {
        return Err(refused.with_detail(format!("Column \"{}\" is a generated column.", column.name)));
    }
    if overridden || !column.identity.is_some_and(|identity| identity.always) {
        return Ok(());
    }
    Err(refused
        .with_detail(format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name))
        .with_hint("Use OVERRIDING SYSTEM VALUE to override."))
}

/// The expression as if it stood nowhere.
pub(crate) fn without_positions(mut expr: Expr) -> Expr {
    fn clear(expr: &mut Expr) {
        if let Expr::Call { position, .. } | Expr::Cast { position, .. } | Expr::Subquery { position, .. } =
            expr
        {
            *position = 0;
        }
        expr.children_mut(clear);
    }
    clear(&mut expr);
    expr
}
