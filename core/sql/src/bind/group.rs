//! GROUP BY: what may stand in the output of a grouped query, and in which terms.

use super::binder::Binder;
use crate::datum::Datum;
use crate::expr::{AggregateCall, Expr, SubqueryUse};
use crate::parse::ast;
use crate::plan::JoinKind;
use crate::plan::logical::{ColumnId, Logical};
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};

/// The group columns of a SELECT; aggregates have theirs from the start.
pub(super) struct Grouping {
    pub(super) groups: Vec<(ColumnId, Expr)>,
    /// GROUPING SETS: the column that holds a set's number, and which groups each set has.
    pub(super) sets: Option<(ColumnId, Vec<Vec<usize>>)>,
}

impl Grouping {
    pub(super) fn new(binder: &mut Binder<'_>, groups: Vec<Expr>) -> Self {
        let groups = groups.into_iter().map(|expr| (binder.column(expr.ty()), expr)).collect();
        Grouping { groups, sets: None }
    }

    /// An output expression in terms of group columns and aggregates. Errors: 42803.
    pub(super) fn rewrite(&mut self, binder: &mut Binder<'_>, mut expr: Expr) -> Result<Expr> {
        let mut failed = None;
        self.rewrite_in_place(binder, &mut expr, &mut failed);
        match failed {
            Some(error) => Err(error),
            None => Ok(expr),
        }
    }

    fn rewrite_in_place(&mut self, binder: &mut Binder<'_>, expr: &mut Expr, failed: &mut Option<Error>) {
        if let Some((id, group)) = self.groups.iter().find(|(_, group)| group.same(expr)) {
            *expr = Expr::Column { id: *id, ty: group.ty() };
            return;
        }
        if let &mut Expr::Column { id, ty } = expr {
            let is_aggregate = binder.level.aggregates.iter().any(|call| call.0 == id);
            let mut windows = binder.level.windows.iter().flat_map(|window| &window.calls);
            let is_series = binder.level.series.iter().any(|call| call.column == id);
            if is_aggregate || is_series || windows.any(|call| call.0 == id) {
                return;
            }
            if let Some(index) = binder.level.groupings.iter().position(|call| call.0 == id) {
                match self.grouping_value(binder, index) {
                    Ok(value) => *expr = value,
                    Err(error) => *failed = failed.take().or(Some(error)),
                }
                return;
            }
            if self.sets.is_none() && self.depends_on_key(binder, id) {
                // The primary key is grouped, so each group has one value: group by it too.
                let new = binder.column(ty);
                self.groups.push((new, expr.clone()));
                *expr = Expr::Column { id: new, ty };
                return;
            }
            if failed.is_none() {
                *failed = Some(ungrouped(binder, id, false));
            }
            return;
        }
        if let Expr::Subquery { kind, args, .. } = expr {
            match kind {
                SubqueryUse::Scalar | SubqueryUse::Exists => {}
                SubqueryUse::In(input) => self.rewrite_in_place(binder, input, failed),
                SubqueryUse::Any { inputs, .. } => {
                    inputs.iter_mut().for_each(|input| self.rewrite_in_place(binder, input, failed));
                }
            }
            for (_, arg) in args {
                let id = if let Expr::Column { id, .. } = arg { *id } else { 0 };
                let mut refused = None;
                self.rewrite_in_place(binder, arg, &mut refused);
                if refused.is_some() && failed.is_none() {
                    *failed = Some(ungrouped(binder, id, true));
                }
            }
            return;
        }
        expr.children_mut(|child| self.rewrite_in_place(binder, child, failed));
    }

    /// What a call of GROUPING is: a bit for each argument, set where the row's set does not have it.
    fn grouping_value(&self, binder: &mut Binder<'_>, index: usize) -> Result<Expr> {
        let (_, args, at) = binder.level.groupings[index].clone();
        let mut places = Vec::with_capacity(args.len());
        for arg in &args {
            let Some(place) = self.groups.iter().position(|(_, group)| group.same(arg)) else {
                let message =
                    "arguments to GROUPING must be grouping expressions of the associated query level";
                return Err(Error::new(SqlState::GROUPING_ERROR, message).at(at));
            };
            places.push(place);
        }
        let int = |value: i32| Expr::Literal { value: Datum::Int4(value), ty: SqlType::Int4 };
        let Some((column, sets)) = &self.sets else { return Ok(int(0)) };
        let mut branches = Vec::with_capacity(sets.len());
        for (number, set) in sets.iter().enumerate() {
            let bits = places.iter().fold(0, |bits, place| bits << 1 | i32::from(!set.contains(place)));
            let is_it = Expr::InList {
                input: Box::new(binder.column_expr(*column)),
                list: vec![Datum::Int4(number as i32)],
            };
            branches.push((is_it, int(bits)));
        }
        Ok(Expr::Case { branches, otherwise: Box::new(int(0)), ty: SqlType::Int4 })
    }

    /// The aggregation: plain, or of every row once for each grouping set.
    pub(super) fn aggregate(
        self,
        binder: &mut Binder<'_>,
        input: Logical,
        mut aggregates: Vec<(ColumnId, AggregateCall)>,
    ) -> Result<Logical> {
        let Grouping { groups, sets } = self;
        let Some((number_out, sets)) = sets else {
            return Ok(Logical::Aggregate { input: Box::new(input), groups, aggregates });
        };
        let has_empty = sets.iter().any(Vec::is_empty);
        let number = binder.column(SqlType::Int4);
        let int = |value: usize| Expr::Literal { value: Datum::Int4(value as i32), ty: SqlType::Int4 };
        let rows = (0..sets.len()).map(|set| vec![int(set)]).collect();
        let numbers = Box::new(Logical::Values { columns: vec![number], rows });
        // The empty set has its one row even of no rows: a marker tells rows from made-up ones.
        let marker = binder.column(SqlType::Bool);
        let exprs = vec![(marker, Expr::bool(true))];
        let right = Box::new(Logical::Extend { input: Box::new(input), exprs });
        let kind = if has_empty { JoinKind::Left } else { JoinKind::Inner };
        let mut root = Logical::Join { left: numbers, right, kind, on: Vec::new() };
        let mut keys = vec![(number_out, binder.column_expr(number))];
        let mut exprs = Vec::new();
        for (place, (id, group)) in groups.into_iter().enumerate() {
            let having: Vec<Datum> = sets
                .iter()
                .enumerate()
                .filter(|it| it.1.contains(&place))
                .map(|it| Datum::Int4(it.0 as i32))
                .collect();
            let ty = group.ty();
            let in_set = Expr::InList { input: Box::new(binder.column_expr(number)), list: having };
            let otherwise = Box::new(Expr::Literal { value: Datum::Null, ty });
            let value = Expr::Case { branches: vec![(in_set, group)], otherwise, ty };
            let shown = binder.column(ty);
            exprs.push((shown, value));
            keys.push((id, binder.column_expr(shown)));
        }
        if !exprs.is_empty() {
            root = Logical::Extend { input: Box::new(root), exprs };
        }
        if !has_empty {
            return Ok(Logical::Aggregate { input: Box::new(root), groups: keys, aggregates });
        }
        let is_row = Expr::Not(Box::new(Expr::IsNull(Box::new(binder.column_expr(marker)))));
        for (_, call) in &mut aggregates {
            let mut all = vec![is_row.clone()];
            all.extend(call.filter.take());
            call.filter = Expr::conjunction(all);
        }
        let (function, args, ty) = binder.aggregate("count", Vec::new(), 0)?;
        let count = binder.column(ty);
        let filter = Some(is_row);
        let order_by = Vec::new();
        aggregates.push((
            count,
            AggregateCall { function, args, order_by, distinct: false, filter, ty, position: 0 },
        ));
        let zero = Expr::Literal { value: Datum::Int8(0), ty: SqlType::Int8 };
        let has_rows = binder.operator(">", vec![(binder.column_expr(count), 0), (zero, 0)], 0)?;
        let empty =
            sets.iter().enumerate().filter(|it| it.1.is_empty()).map(|it| Datum::Int4(it.0 as i32)).collect();
        let is_empty = Expr::InList { input: Box::new(binder.column_expr(number_out)), list: empty };
        let root = Logical::Aggregate { input: Box::new(root), groups: keys, aggregates };
        Ok(Logical::Filter { input: Box::new(root), predicates: vec![Expr::Or(vec![has_rows, is_empty])] })
    }

    /// Whether the column is of a table whose whole primary key is grouped.
    fn depends_on_key(&self, binder: &Binder<'_>, id: ColumnId) -> bool {
        let columns = &binder.statement.columns;
        let Some((occurrence, _)) = columns[id].origin else { return false };
        let table = &binder.statement.tables[occurrence];
        !table.primary_key.is_empty()
            && table.primary_key.iter().all(|ordinal| {
                self.groups.iter().any(|(_, group)| {
                    matches!(group, Expr::Column { id, .. } if columns[*id].origin == Some((occurrence, *ordinal)))
                })
            })
    }
}

fn ungrouped(binder: &Binder<'_>, id: ColumnId, by_subquery: bool) -> Error {
    let reference = binder.level.references.iter().find(|it| it.0 == id);
    let (name, at) = reference.map_or(("?", 0), |(_, name)| (name.text.as_str(), name.at));
    let message = if by_subquery {
        format!("subquery uses ungrouped column \"{name}\" from outer query")
    } else {
        format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function")
    };
    Error::new(SqlState::GROUPING_ERROR, message).at(at)
}

/// Grouping sets that one query may come to.
const SET_COUNT_MAX: usize = 4096;

/// The grouping sets that GROUP BY asks for, as expressions; `None` for one set of plain expressions. Errors: 54000, 54011.
pub(super) fn grouping_sets(items: &[ast::GroupItem]) -> Result<Option<Vec<Vec<ast::Expr>>>> {
    if items.iter().all(|item| matches!(item, ast::GroupItem::Expr(_))) {
        return Ok(None);
    }
    let mut all: Vec<Vec<ast::Expr>> = vec![Vec::new()];
    for item in items {
        let own = sets_of(item)?;
        if all.len().saturating_mul(own.len()) > SET_COUNT_MAX {
            let message = format!("too many grouping sets present (maximum {SET_COUNT_MAX})");
            return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, message));
        }
        let mut product = Vec::with_capacity(all.len() * own.len());
        for left in &all {
            for right in &own {
                product.push(left.iter().chain(right).cloned().collect());
            }
        }
        all = product;
    }
    Ok(Some(all))
}

fn sets_of(item: &ast::GroupItem) -> Result<Vec<Vec<ast::Expr>>> {
    Ok(match item {
        ast::GroupItem::Expr(expr) => vec![vec![expr.clone()]],
        ast::GroupItem::List(exprs) => vec![exprs.clone()],
        ast::GroupItem::Rollup(parts, _) => {
            (0..=parts.len()).rev().map(|count| parts[..count].concat()).collect()
        }
        ast::GroupItem::Cube(parts, at) => {
            if parts.len() > 12 {
                let message = "CUBE is limited to 12 elements";
                return Err(Error::new(SqlState::TOO_MANY_COLUMNS, message).at(*at));
            }
            let pick = |mask: usize| {
                let chosen =
                    parts.iter().enumerate().filter(|(place, _)| mask >> (parts.len() - 1 - place) & 1 == 1);
                chosen.flat_map(|(_, part)| part.iter().cloned()).collect()
            };
            (0..1usize << parts.len()).rev().map(pick).collect()
        }
        ast::GroupItem::Sets(items) => {
            let mut all = Vec::new();
            for item in items {
                all.extend(sets_of(item)?);
            }
            all
        }
    })
}
