//! FROM: tables, names of WITH, subqueries, functions, joins.

use super::binder::{Binder, Cte, Level};
use super::expr::location;
use super::scope::{Scope, ScopeColumn, no_table};
use super::series::SetPart;
use crate::catalog::Table;
use crate::expr::{Expr, WindowFunction};
use crate::functions::CastContext;
use crate::parse::ast::{self, Alias, JoinCondition, Name, TableExpr};
use crate::plan::JoinKind;
use crate::plan::logical::{ColumnId, Logical, Query};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;
use std::sync::Arc;

/// An item of FROM, or several joined.
struct Item {
    root: Logical,
    scope: Scope,
    /// Parameters in `root` for columns of items to the left that are not joined to it yet.
    free: Vec<(usize, Expr)>,
}

impl From<(Logical, Scope)> for Item {
    fn from((root, scope): (Logical, Scope)) -> Item {
        Item { root, scope, free: Vec::new() }
    }
}

impl Binder<'_> {
    /// The comma list of FROM.
    pub(super) fn bind_from_list(&mut self, from: &[TableExpr]) -> Result<(Logical, Rc<Scope>)> {
        // What is LATERAL sees its own FROM, and through it the queries outside.
        let outside = std::mem::take(&mut self.lateral);
        let result = self.bind_from_items(from);
        self.lateral = outside;
        let Item { root, scope, free } = result?;
        if !free.is_empty() {
            return Err(Error::internal("a LATERAL item without what it refers to"));
        }
        Ok((root, Rc::new(scope)))
    }

    fn bind_from_items(&mut self, from: &[TableExpr]) -> Result<Item> {
        let mut all: Option<Item> = None;
        for item in from {
            let Some(left) = all else {
                all = Some(self.bind_from_item(item)?);
                continue;
            };
            let right = self.bind_beside(&left.scope, item)?;
            let left_root = self.place_whole_rows(left.root)?;
            let (root, free) = join(left_root, right.root, JoinKind::Inner, Vec::new(), right.free);
            all = Some(Item { root, scope: left.scope.join(right.scope, table_at(item))?, free });
        }
        Ok(all.unwrap_or_else(|| (Logical::one_row(), Scope::default()).into()))
    }

    /// An item right of others, whose names it sees if it is LATERAL.
    fn bind_beside(&mut self, before: &Scope, item: &TableExpr) -> Result<Item> {
        self.lateral.push(Rc::new(before.clone()));
        let bound = self.bind_from_item(item);
        self.lateral.pop();
        bound
    }

    /// Binds what sees the items to the left.
    fn bind_lateral(&mut self, bind: impl FnOnce(&mut Self) -> Result<(Logical, Scope)>) -> Result<Item> {
        let mut seen = Scope::default();
        for scope in &self.lateral {
            seen.columns.extend(scope.columns.iter().cloned());
            seen.tables.extend(scope.tables.iter().cloned());
        }
        let level = Level { forbidden: Some("FROM clause of their own query level"), ..Level::default() };
        let (_, result) = self.inside(Rc::new(seen), level, bind);
        let ((root, scope), captures) = result?;
        if !captures.is_empty() && is_volatile(&root) {
            let at = captures[0].2.at;
            return Err(Error::unsupported("volatile function in a LATERAL item").at(at));
        }
        // A column of a query further outside is its parameter here as there.
        let free = captures.into_iter().map(|it| (it.0, it.1));
        Ok(Item { root, scope, free: free.filter(|it| matches!(it.1, Expr::Column { .. })).collect() })
    }

    fn bind_from_item(&mut self, item: &TableExpr) -> Result<Item> {
        match item {
            TableExpr::Table { name, alias } => Ok(self.bind_from_table(name, alias.as_ref())?.into()),
            TableExpr::Subquery { query, lateral, alias, at } => {
                let Some(alias) = alias else { return Err(crate::parse::unnamed_subquery(*at)) };
                self.count_relation(*at)?;
                let level = std::mem::take(&mut self.level);
                let bind = |binder: &mut Self| {
                    let query = binder.query(query)?;
                    binder.derived(query, &alias.name, &alias.columns)
                };
                let item = if *lateral { self.bind_lateral(bind) } else { bind(self).map(Item::from) };
                self.level = level;
                item
            }
            TableExpr::Function { name, args, ordinality, alias, definitions } => {
                self.bind_lateral(|binder| {
                    binder.bind_from_function(name, args, *ordinality, alias.as_ref(), definitions)
                })
            }
            TableExpr::Aliased { inner, alias } => {
                let mut item = self.bind_from_item(inner)?;
                let columns = item.scope.star().map(|column| (&*column.name, column.id, column.ty));
                item.scope = named(&alias.name, columns, &alias.columns)?;
                Ok(item)
            }
            TableExpr::Join { left, right, kind, condition, at } => {
                self.bind_from_join(left, right, *kind, condition, *at)
            }
        }
    }

    fn bind_from_table(&mut self, name: &Name, alias: Option<&Alias>) -> Result<(Logical, Scope)> {
        self.count_relation(name.at)?;
        let shown = &alias.map_or_else(|| name.own(), |alias| alias.name.clone());
        let renamed: &[Name] = alias.map_or(&[], |alias| &alias.columns);
        if let Some(position) = self.ctes.iter().rposition(|cte| cte.definition.name.text == name.text) {
            let query = self.cte_query(position)?;
            return self.derived(query, shown, renamed);
        }
        if let Some(view) = self.live_view(name) {
            return self.bind_live_view(view, shown, renamed);
        }
        if let Some(view) = self.system_view(name)? {
            return self.bind_system_view(view, shown, renamed);
        }
        if let Some(view) = self.catalog.view(&self.stored(&name.text)).cloned() {
            let query = self.view_query(&view, name)?;
            return self.derived(query, shown, renamed);
        }
        let table = self.table(name)?;
        self.name_relation(table.id.0, &table.name);
        self.check_populated(&table, name)?;
        let ids = self.table_columns(&table);
        let columns =
            table.visible().map(|(ordinal, column)| (column.name.as_str(), ids[ordinal], column.ty));
        let scope = named(shown, columns, renamed)?;
        for (ordinal, expr) in self.hidden_exprs(&table)? {
            let over_ids = |at: usize| Some(Expr::Column { id: ids[at], ty: table.columns[at].ty });
            self.statement.hidden.push((ids[ordinal], expr.replace_columns(&over_ids)));
        }
        let columns = ids.into_iter().enumerate().collect();
        Ok((Logical::Scan { table, columns }, scope))
    }

    /// A query under a name. A column that it gives twice becomes two: grouping sets tell them apart.
    fn derived(&mut self, query: Query, name: &Name, renamed: &[Name]) -> Result<(Logical, Scope)> {
        let Query { mut root, mut output, fields } = query;
        let mut exprs: Vec<(ColumnId, Expr)> = Vec::new();
        for place in 1..output.len() {
            let id = output[place];
            if output[..place].contains(&id) {
                let copy = self.column(fields[place].ty);
                exprs.push((copy, self.column_expr(id)));
                output[place] = copy;
            }
        }
        if !exprs.is_empty() {
            root = Logical::Extend { input: Box::new(root), exprs };
        }
        let columns = fields.iter().zip(&output).map(|(field, id)| (field.name.as_str(), *id, field.ty));
        let scope = named(name, columns, renamed)?;
        Ok((root, scope))
    }

    /// A table of the catalog. Errors: 42P01; 0A000 for a view.
    pub(super) fn table(&self, name: &Name) -> Result<Arc<Table>> {
        match self.catalog.table(&self.stored(&name.text)) {
            Some(table) => Ok(table.clone()),
            None if self.catalog.has_index_named(&self.stored(&name.text)) => {
                let message = format!("cannot open relation \"{}\": it is an index", name.text);
                Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.at))
            }
            None if self.catalog.view(&self.stored(&name.text)).is_some() => {
                Err(Error::unsupported(format!("change of view \"{}\"", name.text)).at(name.at))
            }
            None => Err(no_table(name)),
        }
    }

    /// A WITH query put in place of its name: bound anew for each use.
    fn cte_query(&mut self, position: usize) -> Result<Query> {
        let Cte { definition, visible, outer_count } = self.ctes[position].clone();
        if let Some(change) = &definition.change {
            return self.change_query(&definition, change);
        }
        if let Some(query) = self.working_table(position, &definition.name)? {
            return Ok(query);
        }
        // A recursive query sees its own name, the others only those before.
        let visible = if definition.recursive { position + 1 } else { visible };
        let hidden = self.ctes.split_off(visible);
        let level = std::mem::take(&mut self.level);
        let seen: Vec<bool> = self.outer.iter().map(|outer| outer.is_hidden).collect();
        self.outer.iter_mut().skip(outer_count).for_each(|outer| outer.is_hidden = true);
        let query = if definition.recursive {
            self.recursive_query(position, &definition)
        } else {
            self.query(&definition.query)
        };
        self.outer.iter_mut().zip(seen).for_each(|(outer, was)| outer.is_hidden = was);
        self.level = level;
        self.ctes.truncate(visible);
        self.ctes.extend(hidden);
        let mut query = query?;
        let uses = self.used_cte(Arc::as_ptr(&definition.query));
        if uses > 1 && is_volatile(&query.root) {
            return Err(Error::unsupported("a volatile WITH query used twice").at(definition.name.at));
        }
        rename_fields(&mut query, &definition.name, &definition.columns)?;
        Ok(query)
    }

    fn bind_from_function(
        &mut self,
        name: &Name,
        args: &[ast::Expr],
        ordinality: bool,
        alias: Option<&Alias>,
        definitions: &[(Name, ast::TypeName)],
    ) -> Result<(Logical, Scope)> {
        self.count_relation(name.at)?;
        if name.text == "pg_partition_ancestors" {
            let (name, args) =
                (Name { text: "generate_series".into(), at: name.at }, super::system::no_series(name.at));
            return self.bind_from_function(&name, &args, ordinality, alias, definitions);
        }
        let is_record = super::record::is_record_function(&name.text);
        let populates = name.text.contains("_populate_");
        if is_record && definitions.is_empty() && !populates {
            return Err(super::record::needs_definitions(name.at));
        }
        if !is_record && let Some((first, _)) = definitions.first() {
            let message = "a column definition list is only allowed for functions returning \"record\"";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(first.at));
        }
        if is_record && ordinality {
            return Err(Error::unsupported("WITH ORDINALITY with a column definition list").at(name.at));
        }
        if !is_record && !crate::functions::sets::is_set_function(&name.text) {
            return Err(Error::unsupported(format!("function {} in FROM", name.text)).at(name.at));
        }
        let empty = Rc::new(Scope::default());
        let forbidden = self.level.forbidden.replace("functions in FROM");
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push((self.expr(&empty, arg)?, location(arg)));
        }
        self.level.forbidden = forbidden;
        let shown = alias.map_or(name, |alias| &alias.name);
        if is_record {
            let (root, columns) = self.record_function(name, bound, definitions)?;
            let columns = columns.iter().map(|(name, id, ty)| (name.as_str(), *id, *ty));
            let renamed: &[Name] = if populates { alias.map_or(&[], |alias| &alias.columns) } else { &[] };
            let scope = named(shown, columns, renamed)?;
            return Ok((root, scope));
        }
        // Without column names the column is called as the alias.
        let parts = self.set_function(&name.text, bound, name.at)?;
        let is_named = parts.len() > 1 || parts.iter().any(|part| part.label != name.text);
        let renamed: &[Name] = alias.map_or(&[], |alias| &alias.columns);
        let (mut series, mut columns) = (Vec::with_capacity(parts.len()), Vec::with_capacity(parts.len()));
        for SetPart { function, label, args, ty } in parts {
            let column = self.column(ty);
            series.push(Logical::Series { function, args, column, position: name.at });
            let label = alias.filter(|_| !is_named).map_or(label, |alias| alias.name.text.as_str());
            columns.push((label, column, ty));
        }
        let mut root = self.in_lockstep(series)?;
        if ordinality {
            let number = self.column(SqlType::Int8);
            let calls = vec![(number, super::select::ranking(WindowFunction::RowNumber))];
            let (partition, order) = (Vec::new(), Vec::new());
            root = Logical::Window { input: Box::new(root), partition, order, calls };
            columns.push(("ordinality", number, SqlType::Int8));
        }
        let scope = named(shown, columns.into_iter(), renamed)?;
        Ok((root, scope))
    }

    /// integer, bigint, numeric, or timestamps with an interval step.
    pub(super) fn series_args(&mut self, args: Vec<(Expr, u32)>, at: u32) -> Result<(Vec<Expr>, SqlType)> {
        let types: Vec<SqlType> = args.iter().map(|(arg, _)| arg.ty().base()).collect();
        if !(2..=3).contains(&args.len()) {
            return Err(super::resolve::no_function("generate_series", &types, at));
        }
        let bounds: Vec<(SqlType, u32)> = args.iter().take(2).map(|(arg, at)| (arg.ty(), *at)).collect();
        let over_time =
            types[..2].iter().any(|ty| super::coerce::category(*ty) == super::coerce::Category::DateTime);
        let element = if over_time {
            let zoned = types[..2].contains(&SqlType::Timestamptz);
            if zoned { SqlType::Timestamptz } else { SqlType::Timestamp }
        } else {
            let all: Vec<(SqlType, u32)> = args.iter().map(|(arg, at)| (arg.ty(), *at)).collect();
            match self.common_type("generate_series", &all)?.base() {
                SqlType::Int2 | SqlType::Int4 => SqlType::Int4,
                SqlType::Int8 => SqlType::Int8,
                SqlType::Numeric => SqlType::Numeric,
                SqlType::Text if types.iter().all(|ty| *ty == SqlType::Unknown) => {
                    return Err(super::resolve::ambiguous("generate_series", &types, at));
                }
                _ => return Err(super::resolve::no_function("generate_series", &types, at)),
            }
        };
        if over_time && (args.len() < 3 || bounds.len() < 2) {
            return Err(super::resolve::no_function("generate_series", &types, at));
        }
        let mut cast = Vec::with_capacity(args.len());
        for (index, (arg, at)) in args.into_iter().enumerate() {
            let target = if over_time && index == 2 { SqlType::Interval } else { element };
            cast.push(self.coerce(arg, target, CastContext::Implicit, at)?);
        }
        Ok((cast, element))
    }

    fn bind_from_join(
        &mut self,
        left: &TableExpr,
        right: &TableExpr,
        kind: ast::JoinKind,
        condition: &JoinCondition,
        at: u32,
    ) -> Result<Item> {
        let (left, right) = self.bind_sides(left, right, kind)?;
        let (left_scope, right_scope) = (left.scope, right.scope);
        let (scope, on, merged) = match condition {
            JoinCondition::None => (left_scope.join(right_scope, at)?, Vec::new(), Vec::new()),
            JoinCondition::On(expr) => {
                let scope = Rc::new(left_scope.join(right_scope, at)?);
                let forbidden = self.level.forbidden.replace("JOIN conditions");
                let condition = self.condition(&scope, expr, "JOIN/ON");
                self.level.forbidden = forbidden;
                let mut on = Vec::new();
                condition?.into_conjuncts(&mut on);
                (Rc::unwrap_or_clone(scope), on, Vec::new())
            }
            JoinCondition::Using(names, alias) => {
                let (mut scope, on, casts) = self.join_using(left_scope, right_scope, names, kind, at)?;
                if let Some(alias) = alias {
                    // Its columns are the merged ones alone, found by its name only.
                    let merged: Vec<ScopeColumn> = scope.columns[..names.len()]
                        .iter()
                        .map(|column| ScopeColumn {
                            table: Some(Rc::from(alias.text.as_str())),
                            merged: true,
                            ..column.clone()
                        })
                        .collect();
                    let tables = vec![Rc::from(alias.text.as_str())];
                    scope = scope.join(Scope { columns: merged, tables }, alias.at)?;
                }
                (scope, on, casts)
            }
            JoinCondition::Natural => {
                let names: Vec<Name> = left_scope
                    .star()
                    .filter(|column| right_scope.star().any(|other| other.name == column.name))
                    .map(|column| Name { text: column.name.to_string(), at })
                    .collect();
                self.join_using(left_scope, right_scope, &names, kind, at)?
            }
        };
        let left_root = self.place_whole_rows(left.root)?;
        let left_columns = left_root.columns();
        let sees_left =
            |it: &(usize, Expr)| it.1.has_columns() && it.1.columns_all(|id| left_columns.contains(&id));
        if matches!(kind, ast::JoinKind::Right | ast::JoinKind::Full) && right.free.iter().any(sees_left) {
            let message = "the combining JOIN type must be INNER or LEFT for a LATERAL reference";
            return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(at));
        }
        let (root, mut free) = match kind {
            ast::JoinKind::Inner | ast::JoinKind::Cross => {
                join(left_root, right.root, JoinKind::Inner, on, right.free)
            }
            ast::JoinKind::Left => join(left_root, right.root, JoinKind::Left, on, right.free),
            // The columns are found by id, so the sides may change places.
            ast::JoinKind::Right => {
                let (root, _) = join(right.root, left_root, JoinKind::Left, on, Vec::new());
                (root, right.free)
            }
            ast::JoinKind::Full => {
                let (root, _) = join(left_root, right.root, JoinKind::Full, on, Vec::new());
                (root, right.free)
            }
        };
        free.extend(left.free);
        let root =
            if merged.is_empty() { root } else { Logical::Extend { input: Box::new(root), exprs: merged } };
        Ok(Item { root, scope, free })
    }

    /// The sides of a join, the second of which sees the first.
    fn bind_sides(
        &mut self,
        left: &TableExpr,
        right: &TableExpr,
        kind: ast::JoinKind,
    ) -> Result<(Item, Item)> {
        let (made_up_left, made_up_right) = match kind {
            ast::JoinKind::Inner | ast::JoinKind::Cross => (0, 0),
            ast::JoinKind::Left => (0, 1),
            ast::JoinKind::Right => (1, 0),
            ast::JoinKind::Full => (1, 1),
        };
        let nullable_count = self.nullable_count;
        self.nullable_count = nullable_count + made_up_left;
        let left = self.bind_from_item(left);
        self.nullable_count = nullable_count;
        let left = left?;
        self.nullable_count = nullable_count + made_up_right;
        let right = self.bind_beside(&left.scope, right);
        self.nullable_count = nullable_count;
        Ok((left, right?))
    }

    /// The scope, the conditions, and the merged columns that have another type than either side's.
    fn join_using(
        &mut self,
        mut left: Scope,
        mut right: Scope,
        names: &[Name],
        kind: ast::JoinKind,
        at: u32,
    ) -> Result<UsingJoin> {
        let mut on = Vec::with_capacity(names.len());
        let mut merged = Vec::with_capacity(names.len());
        let mut casts = Vec::new();
        for name in names {
            let find = |scope: &Scope, side: &str| match scope.find(None, name)? {
                Some(column) => Ok(column.clone()),
                None => {
                    let message = format!(
                        "column \"{}\" specified in USING clause does not exist in {side} table",
                        name.text
                    );
                    Err(Error::new(SqlState::UNDEFINED_COLUMN, message).at(name.at))
                }
            };
            let (a, b) = (find(&left, "left")?, find(&right, "right")?);
            let sides = vec![(self.column_expr(a.id), name.at), (self.column_expr(b.id), name.at)];
            on.push(self.operator("=", sides, name.at)?);
            // The side that has no made-up NULLs gives the value; of an inner join, the one that has the common type.
            let ty = self.common_type("JOIN/USING", &[(a.ty, name.at), (b.ty, name.at)])?;
            let inner = matches!(kind, ast::JoinKind::Inner | ast::JoinKind::Cross);
            let full = kind == ast::JoinKind::Full;
            let takes_right = kind == ast::JoinKind::Right || inner && a.ty != ty && b.ty == ty;
            let kept = if takes_right { &b } else { &a };
            let mut column = ScopeColumn { table: None, merged: false, ..kept.clone() };
            if full {
                let a = self.coerce(self.column_expr(a.id), ty, CastContext::Implicit, name.at)?;
                let b = self.coerce(self.column_expr(b.id), ty, CastContext::Implicit, name.at)?;
                (column.id, column.ty) = (self.column(ty), ty);
                casts.push((column.id, Expr::Coalesce { args: vec![a, b], ty }));
            } else if column.ty != ty {
                let cast = self.coerce(self.column_expr(column.id), ty, CastContext::Implicit, name.at)?;
                (column.id, column.ty) = (self.column(ty), ty);
                casts.push((column.id, cast));
            }
            merged.push(column);
            for column in left.columns.iter_mut().filter(|column| column.id == a.id) {
                column.merged = true;
            }
            for column in right.columns.iter_mut().filter(|column| column.id == b.id) {
                column.merged = true;
            }
        }
        // A column merged before has no table name left to be found by.
        left.columns.retain(|column| !(column.merged && column.table.is_none()));
        right.columns.retain(|column| !(column.merged && column.table.is_none()));
        let mut scope = left.join(right, at)?;
        merged.append(&mut scope.columns);
        scope.columns = merged;
        Ok((scope, on, casts))
    }
}

/// See [`Binder::join_using`].
type UsingJoin = (Scope, Vec<Expr>, Vec<(ColumnId, Expr)>);

/// A join; where the right side has columns of the left as parameters (`free`), a dependent one. Gives with it the
/// parameters for columns that are of neither side.
fn join(
    left: Logical,
    right: Logical,
    kind: JoinKind,
    on: Vec<Expr>,
    free: Vec<(usize, Expr)>,
) -> (Logical, Vec<(usize, Expr)>) {
    let columns = left.columns();
    let (args, free): (Vec<_>, Vec<_>) =
        free.into_iter().partition(|it| it.1.columns_all(|id| columns.contains(&id)));
    let (left, right) = (Box::new(left), Box::new(right));
    let root = if args.is_empty() {
        Logical::Join { left, right, kind, on }
    } else {
        Logical::Apply { left, right, kind, on, args }
    };
    (root, free)
}

fn table_at(item: &TableExpr) -> u32 {
    match item {
        TableExpr::Table { name, alias } | TableExpr::Function { name, alias, .. } => {
            alias.as_ref().map_or(name.at, |alias| alias.name.at)
        }
        TableExpr::Subquery { at, .. } | TableExpr::Join { at, .. } => *at,
        TableExpr::Aliased { alias, .. } => alias.name.at,
    }
}

/// A scope of one table.
pub(super) fn named<'n>(
    table: &Name,
    columns: impl Iterator<Item = (&'n str, ColumnId, SqlType)>,
    renamed: &[Name],
) -> Result<Scope> {
    let shown: Rc<str> = Rc::from(table.text.as_str());
    let mut scope = Scope { columns: Vec::new(), tables: vec![shown.clone()] };
    let mut names = renamed.iter();
    for (name, id, ty) in columns {
        let name = names.next().map_or(name, |name| name.text.as_str());
        scope.columns.push(ScopeColumn {
            table: Some(shown.clone()),
            name: Rc::from(name),
            id,
            ty,
            merged: false,
        });
    }
    if names.next().is_some() {
        return Err(too_many_names(table, scope.columns.len(), renamed.len()));
    }
    Ok(scope)
}

fn too_many_names(table: &Name, has: usize, given: usize) -> Error {
    let message =
        format!("table \"{}\" has {has} columns available but {given} columns specified", table.text);
    Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(table.at)
}

pub(super) fn rename_fields(query: &mut Query, name: &Name, columns: &[Name]) -> Result<()> {
    if columns.len() > query.fields.len() {
        return Err(too_many_names(name, query.fields.len(), columns.len()));
    }
    for (field, column) in query.fields.iter_mut().zip(columns) {
        field.name.clone_from(&column.text);
    }
    Ok(())
}

/// Whether a volatile function is anywhere in it.
pub(super) fn is_volatile(root: &Logical) -> bool {
    matches!(root, Logical::LockRows { .. })
        || root.exprs().into_iter().any(Expr::is_volatile)
        || root.inputs().into_iter().any(is_volatile)
}
