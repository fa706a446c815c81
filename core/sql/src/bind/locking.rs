//! SELECT … FOR UPDATE and its kin: over one table, whose rows are locked behind ORDER BY and before LIMIT. What the query gives
//! is computed from the rows as they are once they are locked.

use super::binder::Binder;
use super::dml::TableScope;
use crate::expr::Expr;
use crate::parse::ast::{self, ExprKind, Locking, Name, OrderItem, Select, SelectItem, SetExpr, TableExpr};
use crate::plan::ROW_KEY;
use crate::plan::logical::{LockRows, Logical, LogicalKey, Query};
use crate::types::SqlType;
use orrery_base::kv::Wait;
use orrery_base::{Error, Result, SqlState};

/// Errors: 0A000.
fn refuse<T>(lock: &Locking, what: &str) -> Result<T> {
    Err(Error::unsupported(format!("row locking clause with {what}")).at(lock.at))
}

impl Binder<'_> {
    /// A SELECT whose rows are locked. Errors: 0A000 for anything but plain rows of one table; 42P01 when OF names another.
    pub(super) fn locked(
        &mut self,
        body: &SetExpr,
        order_by: &[OrderItem],
        locks: &[Locking],
    ) -> Result<Query> {
        let [lock, ..] = locks else { return Err(Error::internal("no row locking clause")) };
        let SetExpr::Select(select) = body else { return refuse(lock, "anything but a SELECT") };
        let Select {
            distinct,
            distinct_on,
            items,
            from,
            filter,
            group_by,
            group_distinct: _,
            having,
            windows,
            at: _,
        } = &**select;
        if *distinct || !distinct_on.is_empty() {
            return refuse(lock, "DISTINCT");
        }
        if !group_by.is_empty() || having.is_some() || !windows.is_empty() {
            return refuse(lock, "GROUP BY, HAVING or WINDOW");
        }
        let [TableExpr::Table { name, alias }] = from.as_slice() else {
            return refuse(lock, "anything but one table");
        };
        if self.ctes.iter().any(|cte| cte.definition.name.text == name.text) {
            return refuse(lock, "a WITH query");
        }
        if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return refuse(lock, "names of columns");
        }
        let shown = &alias.as_ref().map_or_else(|| name.own(), |alias| alias.name.clone());
        let lock = strongest(locks, shown)?;
        self.count_relation(name.at)?;
        let table = self.table(name)?;
        self.name_relation(table.id.0, &table.name);
        let level = std::mem::take(&mut self.level);
        let scope = TableScope::new(self, &table, &shown.text);
        let key = self.column(SqlType::Bytea);
        let mut columns: Vec<_> = scope.ids.iter().copied().enumerate().collect();
        columns.push((ROW_KEY, key));
        let mut root = Logical::Scan { table: table.clone(), columns };
        let mut predicate = None;
        if let Some(filter) = filter {
            self.level.forbidden = Some("WHERE");
            let bound = self.condition(&scope.scope, filter, "WHERE")?;
            let mut predicates = Vec::new();
            bound.clone().into_conjuncts(&mut predicates);
            root = Logical::Filter { input: Box::new(root), predicates };
            predicate = Some(bound);
        }
        root = self.sorted_before_lock(root, &scope, items, order_by)?;
        let locked = TableScope::new(self, &table, &shown.text);
        let (first, first_locked) = (scope.ids.first().copied(), locked.ids.first().copied());
        let moved = |expr: Expr| {
            expr.replace_columns(&|id| {
                let ordinal = id - first.unwrap_or(0);
                Some(Expr::Column { id: first_locked.unwrap_or(0) + ordinal, ty: table.columns[ordinal].ty })
            })
        };
        let has_subquery =
            predicate.as_ref().is_some_and(|it| it.any(&mut |it| matches!(it, Expr::Subquery { .. })));
        root = Logical::LockRows {
            input: Box::new(root),
            rows: LockRows {
                table: table.clone(),
                old: scope.ids.clone(),
                key,
                columns: locked.ids.clone(),
                lock: lock.lock,
                wait: lock.wait,
                can_recheck: !has_subquery,
            },
            recheck: predicate.filter(|_| !has_subquery).map(moved),
        };
        let (exprs, fields) = self.returning_items(&locked.scope, items).map_err(|error| {
            let is_misplaced = [SqlState::GROUPING_ERROR, SqlState::WINDOWING_ERROR].contains(&error.code());
            let refused = Error::unsupported("row locking clause with aggregate or window functions");
            if is_misplaced { refused.at(lock.at) } else { error }
        })?;
        let exprs: Vec<_> = exprs.into_iter().map(|expr| (self.column(expr.ty()), expr)).collect();
        let output = exprs.iter().map(|it| it.0).collect();
        root = Logical::Extend { input: Box::new(root), exprs };
        self.level = level;
        Ok(Query { root, output, fields })
    }

    /// ORDER BY, over the rows before they are locked.
    fn sorted_before_lock(
        &mut self,
        root: Logical,
        scope: &TableScope,
        items: &[SelectItem],
        order_by: &[OrderItem],
    ) -> Result<Logical> {
        if order_by.is_empty() {
            return Ok(root);
        }
        self.level.forbidden = Some("ORDER BY");
        let (mut keys, mut exprs) = (Vec::with_capacity(order_by.len()), Vec::new());
        for OrderItem { expr, descending, nulls_first } in order_by {
            let tree = meant(expr, items)?;
            let bound = self.expr(&scope.scope, tree)?;
            let bound = self.known(bound, expr.at)?;
            let column = match bound {
                Expr::Column { id, .. } => id,
                other => {
                    let id = self.column(other.ty());
                    exprs.push((id, other));
                    id
                }
            };
            let nulls_first = nulls_first.unwrap_or(*descending);
            keys.push(LogicalKey { column, descending: *descending, nulls_first });
        }
        let mut root = root;
        if !exprs.is_empty() {
            root = Logical::Extend { input: Box::new(root), exprs };
        }
        Ok(Logical::Sort { input: Box::new(root), keys })
    }
}

/// The strongest of the locks that concern the table. Errors: 42P01.
fn strongest<'l>(locks: &'l [Locking], shown: &Name) -> Result<Locking> {
    let stray = locks.iter().flat_map(|lock: &'l Locking| &lock.of).find(|name| name.text != shown.text);
    if let Some(stray) = stray {
        let message = format!("relation \"{}\" in FOR UPDATE clause not found in FROM clause", stray.text);
        return Err(Error::new(SqlState::UNDEFINED_TABLE, message).at(stray.at));
    }
    let mut all = locks.iter();
    let mut chosen = all.next().cloned().ok_or_else(|| Error::internal("no row locking clause"))?;
    for other in all {
        chosen.lock = chosen.lock.max(other.lock);
        // As in PostgreSQL: NOWAIT before SKIP LOCKED before waiting.
        chosen.wait = match (chosen.wait, other.wait) {
            (Wait::Nowait, _) | (_, Wait::Nowait) => Wait::Nowait,
            (Wait::Skip, _) | (_, Wait::Skip) => Wait::Skip,
            _ => Wait::Block,
        };
    }
    Ok(chosen)
}

/// The expression that an ORDER BY item means: of an output column, by number or name, or its own. Errors: 0A000 for the number
/// of a column of `*`.
fn meant<'a>(expr: &'a ast::Expr, items: &'a [SelectItem]) -> Result<&'a ast::Expr> {
    let item = match &expr.kind {
        ExprKind::Number(number) => {
            let place = number.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
            let before = &items[..place.unwrap_or(0).min(items.len())];
            match place.and_then(|place| items.get(place)) {
                Some(SelectItem::Expr { expr, .. })
                    if before.iter().all(|it| matches!(it, SelectItem::Expr { .. })) =>
                {
                    Some(expr)
                }
                _ => {
                    return Err(Error::unsupported("this ORDER BY under a row locking clause").at(expr.at));
                }
            }
        }
        ExprKind::Column { table: None, name } => items.iter().find_map(|item| match item {
            SelectItem::Expr { expr, alias: Some(alias) } if alias.text == name.text => Some(expr),
            _ => None,
        }),
        _ => None,
    };
    Ok(item.unwrap_or(expr))
}
