//! SELECT: its clauses in the order in which they apply.

use super::binder::Binder;
use super::expr::location;
use super::group::{Grouping, grouping_sets};
use super::names::output_name;
use super::scope::{Scope, no_from_entry};
use crate::datum::Datum;
use crate::expr::{Expr, Frame, FrameBound, FrameExclude, FrameMode, WindowCall, WindowFunction};
use crate::parse::ast::{self, ExprKind, OrderItem, Select, SelectItem};
use crate::plan::Field;
use crate::plan::logical::{ColumnId, Logical, LogicalKey, Query};
use crate::types::SqlType;
use orrery_base::sorting;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

/// An output column before it has an id.
pub(super) struct Output {
    pub(super) expr: Expr,
    pub(super) name: String,
    /// The tree it came from, to be compared with ORDER BY's by shape; none for `*`.
    pub(super) at: u32,
}

impl Binder<'_> {
    /// A SELECT, and what it sees by FROM.
    pub(super) fn select(&mut self, select: &Select, order_by: &[OrderItem]) -> Result<(Query, Rc<Scope>)> {
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
        root = self.place_whole_rows(root)?;
        let grouped = !group_by.is_empty()
            || !self.level.aggregates.is_empty()
            || !self.level.groupings.is_empty()
            || having.is_some();
        if grouped {
            let mut grouping = self.group_clause(&scope, group_by, *group_distinct, &outputs)?;
            let exprs = outputs.iter_mut().map(|output| &mut output.expr);
            let sorted = keys.iter_mut().map(|key| &mut key.0).chain(&mut on);
            let sorted = sorted.filter_map(|by| match by {
                SortBy::Expr(expr, _) => Some(expr),
                SortBy::Output(_) => None,
            });
            for expr in exprs.chain(sorted) {
                *expr = grouping.rewrite(self, std::mem::replace(expr, Expr::bool(true)))?;
            }
            root = self.grouped(root, grouping, having)?;
        } else {
            root = self.place_windows(root, None)?.0;
        }
        root = self.expand_series(root, outputs.iter().map(|it| &it.expr))?;
        Ok((self.finish_select(root, outputs, keys, *distinct, on)?, scope))
    }

    /// The groups, HAVING, and the windows over them.
    fn grouped(&mut self, root: Logical, mut grouping: Grouping, having: Option<Expr>) -> Result<Logical> {
        let mut predicates = Vec::new();
        if let Some(having) = having {
            grouping.rewrite(self, having)?.into_conjuncts(&mut predicates);
        }
        let (input, windows) = self.place_windows(root, Some(&mut grouping))?;
        self.group_series(&mut grouping)?;
        let aggregates = std::mem::take(&mut self.level.aggregates);
        let mut root = grouping.aggregate(self, input, aggregates)?;
        if !predicates.is_empty() {
            root = Logical::Filter { input: Box::new(root), predicates };
        }
        Ok(self.stack_windows(root, windows))
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
            sorting::sort(&mut own);
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
            check_order(column, at, &sort, &once)?;
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
            sorting::sort(&mut columns);
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
                SelectItem::Expr {
                    expr: ast::Expr { kind: ExprKind::AllFields(input), .. },
                    alias: None,
                } => {
                    self.expand_fields(scope, input, &mut outputs)?;
                }
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
            return self.outer_star(table, outputs);
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

    /// `t.*` of a table outside. Errors: 42P01.
    fn outer_star(&mut self, table: &ast::Name, outputs: &mut Vec<Output>) -> Result<()> {
        let has_it = |outer: &super::binder::Outer| !outer.is_hidden && outer.scope.has_table(&table.text);
        let Some(depth) = self.outer.iter().rposition(has_it) else { return Err(no_from_entry(table)) };
        let outer = self.outer[depth].scope.clone();
        let own = outer.columns.iter().filter(|it| it.table.as_deref() == Some(table.text.as_str()));
        for column in own {
            let shown = ast::Name { text: format!("{}.{}", table.text, column.name), at: table.at };
            let expr = self.capture(depth, column.id, column.ty, &shown);
            outputs.push(Output { expr, name: column.name.to_string(), at: table.at });
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
            let expr = self.shown(expr)?;
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
            return self.sort_output(outputs, index);
        }
        let at = location(expr);
        let bound = self.expr(scope, expr)?;
        let bound = self.known(bound, at)?;
        Ok(match outputs.iter().position(|output| output.expr.same(&bound)) {
            Some(index) => self.sort_output(outputs, index)?,
            None => SortBy::Expr(self.ranked(bound)?, at),
        })
    }

    /// By an output column; an enum's by its labels' places.
    fn sort_output(&self, outputs: &[Output], index: usize) -> Result<SortBy> {
        let output = &outputs[index];
        Ok(match output.expr.ty() {
            SqlType::Enum(_) => SortBy::Expr(self.ranked(output.expr.clone())?, output.at),
            _ => SortBy::Output(index),
        })
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

/// The columns of DISTINCT ON must lead the order. Errors: 42P10.
fn check_order(column: ColumnId, at: u32, sort: &[LogicalKey], once: &[ColumnId]) -> Result<()> {
    let leads = sort.iter().all(|key| once.contains(&key.column)) && once.contains(&column);
    let missing = once.iter().any(|id| sort.iter().all(|key| key.column != *id));
    if !missing || leads {
        return Ok(());
    }
    let message = "SELECT DISTINCT ON expressions must match initial ORDER BY expressions";
    Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(at))
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
pub(super) fn output_by_name(outputs: &[Output], expr: &ast::Expr, clause: &str) -> Result<Option<usize>> {
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
