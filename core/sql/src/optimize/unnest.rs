//! Correlated subqueries become joins where that is the same: EXISTS and IN a semi join, their negations an anti join, an
//! aggregate a left join to groups, the row of a unique key a left join, LATERAL a join. What fits no rule stays and is run
//! for each distinct tuple of what it sees outside.
//!
//! Each rule asks that nothing that may raise is computed for rows that the subquery would not have come to.

use super::statistics::Tables;
use super::{ColumnSet, Methods, Planner, Wanted, paths, rules, simplify};
use crate::datum::Datum;
use crate::eval::may_raise;
use crate::expr::{AggregateCall, Expr, SubqueryUse};
use crate::functions::{self, Scalar};
use crate::plan::JoinKind;
use crate::plan::logical::{ColumnId, ColumnInfo, Logical, Query};
use crate::types::SqlType;

/// Rewrites a statement's query and its subqueries; those that became part of others are left as nothing.
pub(super) fn statement(columns: &mut Vec<ColumnInfo>, subqueries: &mut Vec<Query>, root: &mut Query) {
    if subqueries.is_empty() && !has_apply(&root.root) {
        return;
    }
    let mut uses = vec![0usize; subqueries.len()];
    for query in subqueries.iter().chain([&*root]) {
        query.root.any_expr(&mut |expr| {
            if let Expr::Subquery { index, .. } = expr
                && let Some(uses) = uses.get_mut(*index)
            {
                *uses += 1;
            }
            false
        });
    }
    let mut unnest = Unnest {
        columns,
        subqueries: std::mem::take(subqueries).into_iter().map(Some).collect(),
        uses,
        beside: Vec::new(),
    };
    // Each subquery refers to those before it only.
    for index in 0..unnest.subqueries.len() {
        if let Some(mut query) = unnest.subqueries[index].take() {
            unnest.tree(&mut query.root);
            unnest.subqueries[index] = Some(query);
        }
    }
    unnest.tree(&mut root.root);
    let nothing = || Query { root: Logical::no_row(Vec::new()), output: Vec::new(), fields: Vec::new() };
    *subqueries = unnest.subqueries.into_iter().map(|query| query.unwrap_or_else(nothing)).collect();
}

fn has_apply(node: &Logical) -> bool {
    matches!(node, Logical::Apply { .. }) || node.inputs().into_iter().any(has_apply)
}

struct Unnest<'a> {
    columns: &'a mut Vec<ColumnInfo>,
    /// `None`: part of another tree now.
    subqueries: Vec<Option<Query>>,
    /// How often each is named: one that is named twice stays.
    uses: Vec<usize>,
    /// The conditions beside the one that is looked at, which leave fewer rows for it.
    beside: Vec<Expr>,
}

/// The arguments of a subquery: parameters and what they stand for.
type Args = [(usize, Expr)];

impl Unnest<'_> {
    fn tree(&mut self, node: &mut Logical) {
        node.inputs_mut().into_iter().for_each(|input| self.tree(input));
        match node {
            Logical::Filter { .. } => self.filter(node),
            Logical::Extend { input, exprs } => {
                for (_, expr) in exprs {
                    self.scalars(input, expr);
                }
            }
            Logical::Aggregate { .. } => self.aggregate(node),
            Logical::Apply { .. } => apply(node),
            _ => {}
        }
    }

    fn column(&mut self, ty: SqlType) -> ColumnId {
        self.columns.push(ColumnInfo { ty, origin: None });
        self.columns.len() - 1
    }

    fn filter(&mut self, node: &mut Logical) {
        let Logical::Filter { input, predicates } = node else { return };
        let mut kept = Vec::with_capacity(predicates.len());
        let is_plain = |it: &&Expr| !it.any(&mut |part| matches!(part, Expr::Subquery { .. }));
        self.beside = predicates.iter().filter(is_plain).cloned().collect();
        for mut predicate in std::mem::take(predicates) {
            if let Some(joined) = self.membership(input, &predicate) {
                **input = joined;
                continue;
            }
            self.scalars(input, &mut predicate);
            kept.push(predicate);
        }
        self.beside.clear();
        *predicates = kept;
        if predicates.is_empty() {
            *node = std::mem::replace(&mut **input, Logical::one_row());
        }
    }

    /// Aggregates compute over columns: what waits for a subquery becomes one before.
    fn aggregate(&mut self, node: &mut Logical) {
        let Logical::Aggregate { input, groups, aggregates } = node else { return };
        let mut exprs: Vec<(ColumnId, Expr)> = Vec::new();
        for (_, group) in groups {
            self.precompute(group, None, &mut exprs);
        }
        for (_, call) in aggregates {
            let AggregateCall { args, filter, .. } = call;
            for arg in args {
                self.precompute(arg, filter.as_ref(), &mut exprs);
            }
            if let Some(filter) = filter {
                self.precompute(filter, None, &mut exprs);
            }
        }
        if !exprs.is_empty() {
            let below = Box::new(std::mem::replace(&mut **input, Logical::one_row()));
            **input = Logical::Extend { input: below, exprs };
            self.tree_node(input);
        }
    }

    fn tree_node(&mut self, node: &mut Logical) {
        if let Logical::Extend { input, exprs } = node {
            for (_, expr) in exprs {
                self.scalars(input, expr);
            }
        }
    }

    fn precompute(&mut self, expr: &mut Expr, filter: Option<&Expr>, exprs: &mut Vec<(ColumnId, Expr)>) {
        if !expr.has_correlated() {
            return;
        }
        let ty = expr.ty();
        let id = self.column(ty);
        let mut value = std::mem::replace(expr, Expr::Column { id, ty });
        if let Some(filter) = filter {
            let otherwise = Box::new(Expr::Literal { value: Datum::Null, ty });
            value = Expr::Case { branches: vec![(filter.clone(), value)], otherwise, ty };
        }
        exprs.push((id, value));
    }

    /// `[NOT] EXISTS`, `[NOT] IN`, `[NOT] ANY` as a conjunct: the input joined to the subquery, if that is the same.
    fn membership(&mut self, input: &Logical, predicate: &Expr) -> Option<Logical> {
        let (inner, negated) = match predicate {
            Expr::Not(inner) => (&**inner, true),
            inner => (inner, false),
        };
        let Expr::Subquery { index, kind, args, .. } = inner else { return None };
        if matches!(kind, SubqueryUse::Scalar) || self.uses.get(*index) != Some(&1) {
            return None;
        }
        let Query { root, output, .. } = self.subqueries[*index].clone()?;
        let root =
            if matches!(kind, SubqueryUse::Exists) { rows_matter(root)? } else { order_is_nothing(root) };
        let mut pulled = Vec::new();
        let right = pull(root, &|expr| sees(expr, args), &mut pulled);
        let test = match kind {
            SubqueryUse::Exists | SubqueryUse::Scalar => None,
            SubqueryUse::In(value) => Some(equality((**value).clone(), self.column_expr(output[0]))?),
            SubqueryUse::Any { inputs, test } => {
                let width = inputs.len();
                let of = |place: usize| match place.checked_sub(width) {
                    None => Some(inputs[place].clone()),
                    Some(place) => Some(self.column_expr(output[place])),
                };
                Some((**test).clone().replace_columns(&of))
            }
        };
        if right.any_expr(&mut |expr| sees(expr, args)) || pulled.is_empty() && test.is_none() {
            return None;
        }
        // A list that is kept and looked up serves NOT IN of an uncorrelated subquery.
        let nulls = test.as_ref().is_some_and(|_| negated && !never_null(input, &right, kind, &output));
        if nulls && pulled.is_empty() || test.as_ref().is_some_and(Expr::is_volatile) {
            return None;
        }
        let mut on: Vec<Expr> = pulled.into_iter().map(|it| substituted(it, args)).collect();
        match test {
            // NOT IN keeps the rows for which every comparison is false.
            Some(test) if nulls => {
                let is_false = Expr::IsNotDistinct(Box::new(test), Box::new(Expr::bool(false)));
                on.push(Expr::Not(Box::new(is_false)));
            }
            Some(test) => test.into_conjuncts(&mut on),
            None => {}
        }
        self.subqueries[*index] = None;
        let kind = if negated { JoinKind::Anti } else { JoinKind::Semi };
        Some(Logical::Join { left: Box::new(input.clone()), right: Box::new(right), kind, on })
    }

    fn column_expr(&self, id: ColumnId) -> Expr {
        Expr::Column { id, ty: self.columns[id].ty }
    }

    /// Correlated scalar subqueries anywhere in an expression over `input`: joined to it where that is the same.
    fn scalars(&mut self, input: &mut Logical, expr: &mut Expr) {
        if !expr.has_correlated() {
            return;
        }
        expr.children_mut(|child| self.scalars(input, child));
        let Expr::Subquery { index, kind: SubqueryUse::Scalar, args, .. } = expr else { return };
        if args.is_empty() || self.uses.get(*index) != Some(&1) || !args.iter().all(|it| !it.1.is_volatile())
        {
            return;
        }
        let Some(query) = self.subqueries[*index].clone() else { return };
        let [output] = query.output[..] else { return };
        let found = match self.grouped(input, &query, output, args) {
            Some(found) => Some(found),
            None => self.unique_row(&query, output, args),
        };
        if let Some((right, on, value)) = found {
            self.subqueries[*index] = None;
            let left = Box::new(std::mem::replace(input, Logical::one_row()));
            *input = Logical::Join { left, right: Box::new(right), kind: JoinKind::Left, on };
            *expr = value;
        }
    }

    /// An aggregate of the rows that equal something outside: groups by that, joined. Without a group it is the aggregate
    /// of no row.
    fn grouped(
        &mut self,
        input: &Logical,
        query: &Query,
        output: ColumnId,
        args: &Args,
    ) -> Option<(Logical, Vec<Expr>, Expr)> {
        let mut layers = Vec::new();
        let mut node = &query.root;
        while let Logical::Extend { input, exprs } = node {
            layers.push(exprs);
            node = input;
        }
        let Logical::Aggregate { input: rows, groups, aggregates } = node else { return None };
        if !groups.is_empty() {
            return None;
        }
        let mut pulled = Vec::new();
        let rows = pull((**rows).clone(), &|expr| sees(expr, args), &mut pulled);
        if pulled.is_empty() || rows.any_expr(&mut |expr| sees(expr, args) || raises(expr)) {
            return None;
        }
        let calls = || aggregates.iter().flat_map(|it| it.1.exprs());
        if calls().any(|expr| raises(expr) || expr.any(&mut |it| sees(it, args))) {
            return None;
        }
        let mut empty = Vec::with_capacity(aggregates.len());
        for (id, call) in aggregates {
            empty.push((*id, self.with_nothing_said(*id, call)?));
        }
        let mut value = self.column_expr(output);
        for exprs in layers {
            value = value.replace_columns(&|id| exprs.iter().find(|it| it.0 == id).map(|it| it.1.clone()));
        }
        value = value.replace_columns(&|id| empty.iter().find(|it| it.0 == id).map(|it| it.1.clone()));
        let (mut keys, mut on) = (Vec::new(), Vec::new());
        for predicate in pulled {
            let (function, outside, inside) = equality_across(&predicate, args)?;
            let id = self.column(inside.ty());
            on.push(call(function, vec![substituted(outside, args), self.column_expr(id)]));
            keys.push((id, inside));
        }
        let right =
            Logical::Aggregate { input: Box::new(rows), groups: keys, aggregates: aggregates.clone() };
        if !self.pays(input, query, &right, args) {
            return None;
        }
        Some((right, on, substituted(value, args)))
    }

    /// The value of an aggregate, NULL where there is no group, as that of no row.
    fn with_nothing_said(&self, id: ColumnId, call: &AggregateCall) -> Option<Expr> {
        let column = self.column_expr(id);
        match call.function.name {
            "count" => {
                let zero = Expr::Literal { value: Datum::Int8(0), ty: SqlType::Int8 };
                Some(Expr::Coalesce { args: vec![column, zero], ty: SqlType::Int8 })
            }
            "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or" | "every" | "string_agg" => Some(column),
            _ => None,
        }
    }

    /// Whether grouping all rows once is cheaper than to run the subquery for each of the values it sees outside.
    fn pays(&mut self, input: &Logical, query: &Query, grouped: &Logical, args: &Args) -> bool {
        let planner = Planner {
            columns: std::mem::take(self.columns),
            methods: Methods::default(),
            hidden: Default::default(),
        };
        let cost = |node: &Logical| {
            let mut node = node.clone();
            simplify::tree(&mut node);
            let node = rules::push_down(node, Vec::new());
            let mut used = ColumnSet::of(node.columns());
            rules::used_columns(&node, &mut used);
            let best = paths::cheapest(&planner.paths(&node, &Wanted::default(), &used), None);
            (best.rows, best.total)
        };
        let left = Logical::Filter { input: Box::new(input.clone()), predicates: self.beside.clone() };
        let (rows, _) = cost(&left);
        let (_, each) = cost(&query.root);
        let (_, once) = cost(grouped);
        let values: Vec<&Expr> = args.iter().map(|it| &it.1).collect();
        let runs = planner.group_count(&values, rows, &Tables::of(input, &planner));
        *self.columns = planner.columns;
        once < runs * (each + super::cost::ROW_FETCH)
    }

    /// The row that a unique key names: a left join finds it, or none.
    fn unique_row(
        &mut self,
        query: &Query,
        output: ColumnId,
        args: &Args,
    ) -> Option<(Logical, Vec<Expr>, Expr)> {
        let mut node = &query.root;
        let mut predicates: Vec<Expr> = Vec::new();
        while let Logical::Filter { input, predicates: own } = node {
            predicates.extend(own.iter().cloned());
            node = input;
        }
        let Logical::Scan { table, columns } = node else { return None };
        if predicates.iter().any(raises) || !columns.iter().any(|it| it.1 == output) {
            return None;
        }
        let mut pinned = Vec::new();
        for predicate in &predicates {
            if let Some((_, _, Expr::Column { id, .. })) = equality_across(predicate, args) {
                pinned.extend(columns.iter().find(|it| it.1 == id).map(|it| it.0));
            }
        }
        let all = |ordinals: &[usize]| {
            !ordinals.is_empty() && ordinals.iter().all(|ordinal| pinned.contains(ordinal))
        };
        let unique = table.indexes.iter().filter(|index| index.unique);
        let mut keys = unique.map(|index| index.columns.iter().map(|it| it.ordinal).collect::<Vec<_>>());
        let is_unique = all(&table.primary_key) || keys.any(|key| all(&key));
        if !is_unique {
            return None;
        }
        let on = predicates.into_iter().map(|it| substituted(it, args)).collect();
        Some((node.clone(), on, self.column_expr(output)))
    }
}

/// LATERAL whose conditions alone see the left side is a join.
fn apply(node: &mut Logical) {
    let Logical::Apply { left, right, kind, on, args } = node else { return };
    let mut pulled = Vec::new();
    let right = pull((**right).clone(), &|expr| sees(expr, args), &mut pulled);
    if right.any_expr(&mut |expr| sees(expr, args)) {
        return;
    }
    let mut all = std::mem::take(on);
    all.extend(pulled.into_iter().map(|it| substituted(it, args)));
    let left = std::mem::replace(left, Box::new(Logical::one_row()));
    *node = Logical::Join { left, right: Box::new(right), kind: *kind, on: all };
}

/// Whether it is one of the parameters that stand for columns outside (not one that is a parameter outside, too).
fn sees(expr: &Expr, args: &Args) -> bool {
    expr.any(&mut |it| {
        matches!(it, Expr::Param { index, .. } if args.iter().any(|arg| arg.0 == *index && arg.1.has_columns()))
    })
}

/// Parameters replaced by what they stand for.
fn substituted(mut expr: Expr, args: &Args) -> Expr {
    fn walk(expr: &mut Expr, args: &Args) {
        if let Expr::Param { index, .. } = expr {
            if let Some((_, value)) = args.iter().find(|arg| arg.0 == *index) {
                *expr = value.clone();
            }
            return;
        }
        expr.children_mut(|child| walk(child, args));
    }
    walk(&mut expr, args);
    expr
}

/// Whether evaluating it could raise for some row; a cast to a larger type cannot.
pub(super) fn raises(expr: &Expr) -> bool {
    match expr {
        Expr::Cast { input, ty, .. } => {
            let widens = matches!(
                (input.ty(), *ty),
                (SqlType::Int2, SqlType::Int4 | SqlType::Int8 | SqlType::Numeric | SqlType::Float8)
                    | (SqlType::Int4, SqlType::Int8 | SqlType::Numeric | SqlType::Float8)
                    | (SqlType::Int8 | SqlType::Decimal { .. }, SqlType::Numeric)
                    | (SqlType::Varchar(_) | SqlType::Name | SqlType::QuotedChar, SqlType::Text)
                    | (SqlType::Date, SqlType::Timestamp)
            );
            !widens || raises(input)
        }
        Expr::Call { function, args, .. } => {
            let is_comparison = functions::compare::Comparison::by_name(function.name).is_some();
            let is_match = matches!(function.name, "~~" | "!~~");
            !(is_comparison || is_match) || args.iter().any(raises)
        }
        Expr::And(parts) | Expr::Or(parts) => parts.iter().any(raises),
        Expr::Not(input) | Expr::IsNull(input) | Expr::InList { input, .. } => raises(input),
        other => may_raise(other),
    }
}

/// Takes the conditions that `wanted` holds for out of filters and inner joins that only other conditions lie above.
fn pull(node: Logical, wanted: &dyn Fn(&Expr) -> bool, pulled: &mut Vec<Expr>) -> Logical {
    let mut part = |conditions: Vec<Expr>| -> Vec<Expr> {
        let (taken, kept): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(|it| wanted(it));
        pulled.extend(taken);
        kept
    };
    match node {
        Logical::Filter { input, predicates } => {
            let predicates = part(predicates);
            let input = pull(*input, wanted, pulled);
            if predicates.is_empty() { input } else { Logical::Filter { input: Box::new(input), predicates } }
        }
        Logical::Join { left, right, kind: JoinKind::Inner, on } => {
            let on = part(on);
            let left = Box::new(pull(*left, wanted, pulled));
            let right = Box::new(pull(*right, wanted, pulled));
            Logical::Join { left, right, kind: JoinKind::Inner, on }
        }
        Logical::Join {
            left,
            right,
            kind: kind @ (JoinKind::Left | JoinKind::Semi | JoinKind::Anti),
            on,
        } => Logical::Join { left: Box::new(pull(*left, wanted, pulled)), right, kind, on },
        Logical::Apply { left, right, kind, on, args } => {
            Logical::Apply { left: Box::new(pull(*left, wanted, pulled)), right, kind, on, args }
        }
        // What may raise is computed only for the rows that the conditions below leave.
        Logical::Extend { input, exprs } if !exprs.iter().any(|it| raises(&it.1)) => {
            Logical::Extend { input: Box::new(pull(*input, wanted, pulled)), exprs }
        }
        Logical::Sort { input, keys } => {
            Logical::Sort { input: Box::new(pull(*input, wanted, pulled)), keys }
        }
        other => other,
    }
}

/// A query of which only whether it has a row matters. `None`: an aggregate that always has one.
fn rows_matter(root: Logical) -> Option<Logical> {
    Some(match root {
        Logical::Sort { input, .. } | Logical::Distinct { input, .. } => rows_matter(*input)?,
        Logical::Extend { input, exprs } if exprs.iter().all(|it| !it.1.is_volatile()) => {
            rows_matter(*input)?
        }
        Logical::Limit {
            input,
            limit: Some(Expr::Literal { value: Datum::Int8(1..), .. }),
            offset: None,
        } => rows_matter(*input)?,
        Logical::Aggregate { groups, .. } if groups.is_empty() => return None,
        other => other,
    })
}

/// A query of which the order does not matter.
fn order_is_nothing(root: Logical) -> Logical {
    match root {
        Logical::Sort { input, .. } => *input,
        Logical::Distinct { input, columns } => {
            Logical::Distinct { input: Box::new(order_is_nothing(*input)), columns }
        }
        other => other,
    }
}

/// Whether neither side of the comparison can be NULL.
fn never_null(input: &Logical, right: &Logical, kind: &SubqueryUse, output: &[ColumnId]) -> bool {
    let planner = Planner { columns: Vec::new(), methods: Methods::default(), hidden: Default::default() };
    let inputs: &[Expr] = match kind {
        SubqueryUse::In(value) => std::slice::from_ref(&**value),
        // Its comparison may be anything.
        SubqueryUse::Any { .. } | SubqueryUse::Exists | SubqueryUse::Scalar => return false,
    };
    let given = |expr: &Expr| match expr {
        Expr::Column { id, .. } => planner.is_not_null(input, *id),
        Expr::Literal { value, .. } => !value.is_null(),
        _ => false,
    };
    inputs.iter().all(given) && output.iter().all(|id| planner.is_not_null(right, *id))
}

/// `outside = inside`, each of one side only.
fn equality_across(expr: &Expr, args: &Args) -> Option<(&'static Scalar, Expr, Expr)> {
    let Expr::Call { function, args: sides, .. } = expr else { return None };
    let [a, b] = sides.as_slice() else { return None };
    if function.name != "=" || expr.is_volatile() || raises(a) || raises(b) || expr.has_correlated() {
        return None;
    }
    let inside = |it: &Expr| it.has_columns() && !sees(it, args);
    let outside = |it: &Expr| !it.has_columns() && sees(it, args);
    if outside(a) && inside(b) {
        Some((function, a.clone(), b.clone()))
    } else if outside(b) && inside(a) {
        Some((function, b.clone(), a.clone()))
    } else {
        None
    }
}

/// `a = b` of one type.
fn equality(a: Expr, b: Expr) -> Option<Expr> {
    let ty = a.ty().base();
    let function = functions::scalars("=").iter().find(|it| it.args == [ty, ty])?;
    Some(call(function, vec![a, b]))
}

fn call(function: &'static Scalar, args: Vec<Expr>) -> Expr {
    Expr::Call { function, args, ty: SqlType::Bool, position: 0 }
}
