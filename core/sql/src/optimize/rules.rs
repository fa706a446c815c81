//! Rules: predicates go down to where their columns come from, outer joins whose made-up rows a predicate refuses
//! become inner joins, equalities with constants spread over joined columns, impossible conditions become no rows.

use super::{ColumnSet, disjunct};
use crate::datum::Datum;
use crate::expr::{Expr, SubqueryUse};
use crate::plan::JoinKind;
use crate::plan::logical::{ColumnId, Logical};

/// The node with `predicates` applied as far down as may be.
pub(super) fn push_down(node: Logical, predicates: Vec<Expr>) -> Logical {
    let mut predicates = conjuncts(predicates);
    predicates.retain(|it| !matches!(it, Expr::Literal { value: Datum::Bool(true), .. }));
    let never = |it: &Expr| matches!(it, Expr::Literal { value: Datum::Bool(false) | Datum::Null, .. });
    if predicates.iter().any(never) {
        return Logical::no_row(node.columns());
    }
    match node {
        Logical::Filter { input, predicates: own } => {
            let mut all = own;
            all.append(&mut predicates);
            push_down(*input, all)
        }
        Logical::Extend { input, exprs } => push_through_extend(*input, exprs, predicates),
        Logical::Join { left, right, kind: JoinKind::Inner, on } => {
            predicates.extend(on);
            push_inner(*left, *right, predicates)
        }
        Logical::Join { left, right, kind, on } => push_outer(*left, *right, kind, on, predicates),
        Logical::Apply { left, right, kind, on, args } => {
            push_apply((*left, *right), kind, on, args, predicates)
        }
        Logical::Aggregate { input, groups, aggregates } => {
            let of = |id| {
                groups.iter().find(|(group, expr)| *group == id && !expr.is_volatile()).map(|it| it.1.clone())
            };
            // Without columns a condition would take rows from an aggregate that must give one.
            let (down, above): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(|it| {
                it.has_columns() && !it.is_volatile() && it.columns_all(|id| of(id).is_some())
            });
            let down = down.into_iter().map(|it| it.replace_columns(&of)).collect();
            let input = Box::new(push_down(*input, down));
            filter(Logical::Aggregate { input, groups, aggregates }, above)
        }
        Logical::Sort { input, keys } => {
            Logical::Sort { input: Box::new(push_down(*input, predicates)), keys }
        }
        Logical::Limit { input, limit, offset } => {
            let input = Box::new(push_down(*input, Vec::new()));
            filter(Logical::Limit { input, limit, offset }, predicates)
        }
        Logical::LockRows { input, rows, recheck } => {
            // No row is left out before it is locked that PostgreSQL would lock.
            let input = Box::new(push_down(*input, Vec::new()));
            filter(Logical::LockRows { input, rows, recheck }, predicates)
        }
        Logical::Distinct { input, columns } => {
            let (above, down): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(Expr::is_volatile);
            filter(Logical::Distinct { input: Box::new(push_down(*input, down)), columns }, above)
        }
        Logical::Append { inputs, columns } => push_append(inputs, columns, predicates),
        Logical::Window { input, partition, order, calls } => {
            // A condition on the partition alone takes whole partitions away.
            let (down, above): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(|it| {
                it.has_columns() && !it.is_volatile() && it.columns_all(|id| partition.contains(&id))
            });
            let input = Box::new(push_down(*input, down));
            filter(Logical::Window { input, partition, order, calls }, above)
        }
        Logical::Recursive { anchor, step, columns, working, distinct } => {
            let plain = |it: (Logical, Vec<ColumnId>)| Box::new((push_down(it.0, Vec::new()), it.1));
            let (anchor, step) = (plain(*anchor), plain(*step));
            filter(Logical::Recursive { anchor, step, columns, working, distinct }, predicates)
        }
        Logical::Scan { .. }
        | Logical::Values { .. }
        | Logical::Series { .. }
        | Logical::Live { .. }
        | Logical::Working { .. } => filter(node, predicates),
    }
}

/// Predicates over the left side go left, those over the right side go right where no row is made up.
fn push_apply(
    (left, right): (Logical, Logical),
    kind: JoinKind,
    on: Vec<Expr>,
    args: Vec<(usize, Expr)>,
    predicates: Vec<Expr>,
) -> Logical {
    let left_columns = ColumnSet::of(left.columns());
    let right_columns = ColumnSet::of(right.columns());
    let within = |it: &Expr, columns: &ColumnSet| {
        it.has_columns() && !it.is_volatile() && it.columns_all(|id| columns.contains(id))
    };
    let refuses = |it: &Expr| refuses_null(it, &|id| right_columns.contains(id));
    let kind = if predicates.iter().any(refuses) { JoinKind::Inner } else { kind };
    let (to_left, rest): (Vec<Expr>, Vec<Expr>) =
        predicates.into_iter().partition(|it| within(it, &left_columns));
    let is_said = |it: &Expr| !matches!(it, Expr::Literal { value: Datum::Bool(true), .. });
    let (mut to_right, on): (Vec<Expr>, Vec<Expr>) =
        on.into_iter().filter(is_said).partition(|it| within(it, &right_columns));
    let (pushed, above): (Vec<Expr>, Vec<Expr>) =
        rest.into_iter().partition(|it| kind == JoinKind::Inner && within(it, &right_columns));
    to_right.extend(pushed);
    let left = Box::new(push_down(left, to_left));
    let right = Box::new(push_down(right, to_right));
    filter(Logical::Apply { left, right, kind, on, args }, above)
}

/// ANDs taken apart.
fn conjuncts(predicates: Vec<Expr>) -> Vec<Expr> {
    let mut all = Vec::with_capacity(predicates.len());
    predicates.into_iter().for_each(|it| it.into_conjuncts(&mut all));
    all
}

fn filter(input: Logical, predicates: Vec<Expr>) -> Logical {
    if predicates.is_empty() { input } else { Logical::Filter { input: Box::new(input), predicates } }
}

fn push_through_extend(input: Logical, exprs: Vec<(ColumnId, Expr)>, predicates: Vec<Expr>) -> Logical {
    let of = |id| exprs.iter().find(|it| it.0 == id).map(|it| &it.1);
    let (down, above): (Vec<Expr>, Vec<Expr>) = predicates
        .into_iter()
        .partition(|it| it.columns_all(|id| of(id).is_none_or(|expr| !expr.is_volatile())));
    let down = down.into_iter().map(|it| it.replace_columns(&|id| of(id).cloned())).collect();
    let input = push_down(input, down);
    // Projections over projections become one when that computes nothing twice.
    let node = match input {
        Logical::Extend { input, exprs: mut inner } if !names_any(&exprs, &inner) => {
            inner.extend(exprs);
            Logical::Extend { input, exprs: inner }
        }
        input => Logical::Extend { input: Box::new(input), exprs },
    };
    filter(node, above)
}

fn names_any(exprs: &[(ColumnId, Expr)], inner: &[(ColumnId, Expr)]) -> bool {
    exprs.iter().any(|(_, expr)| !expr.columns_all(|id| inner.iter().all(|it| it.0 != id)))
}

fn push_append(
    inputs: Vec<(Logical, Vec<ColumnId>)>,
    columns: Vec<ColumnId>,
    predicates: Vec<Expr>,
) -> Logical {
    let (above, down): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(Expr::is_volatile);
    let inputs = inputs.into_iter().map(|(input, own)| {
        let mut down = down.clone();
        for predicate in &mut down {
            let taken = std::mem::replace(predicate, Expr::bool(true));
            *predicate = rename(taken, &columns, &own);
        }
        (push_down(input, down), own)
    });
    let inputs = inputs.collect();
    filter(Logical::Append { inputs, columns }, above)
}

/// Columns of one list become those of another.
fn rename(mut expr: Expr, from: &[ColumnId], to: &[ColumnId]) -> Expr {
    fn walk(expr: &mut Expr, from: &[ColumnId], to: &[ColumnId]) {
        if let Expr::Column { id, .. } = expr {
            if let Some(at) = from.iter().position(|it| it == id) {
                *id = to[at];
            }
            return;
        }
        expr.children_mut(|child| walk(child, from, to));
    }
    walk(&mut expr, from, to);
    expr
}

/// An inner join with all its conditions in one pool.
fn push_inner(left: Logical, right: Logical, pool: Vec<Expr>) -> Logical {
    let mut pool = conjuncts(pool);
    // Conditions of inner joins below belong to the same pool: constants spread over all of it.
    let mut leaves = Vec::new();
    flatten(left, &mut leaves, &mut pool);
    flatten(right, &mut leaves, &mut pool);
    spread_constants(&mut pool);
    let mut above = Vec::new();
    let mut on = Vec::new();
    let columns: Vec<ColumnSet> = leaves.iter().map(|leaf| ColumnSet::of(leaf.columns())).collect();
    let mut own: Vec<Vec<Expr>> = leaves.iter().map(|_| Vec::new()).collect();
    for predicate in pool {
        if !predicate.has_columns() {
            above.push(predicate);
        } else if let Some(leaf) = columns.iter().position(|set| predicate.columns_all(|id| set.contains(id)))
        {
            own[leaf].push(predicate);
        } else if predicate.has_correlated() {
            above.push(predicate);
        } else {
            for (set, own) in columns.iter().zip(&mut own) {
                own.extend(disjunct::restriction(&predicate, &|id| set.contains(id)));
            }
            on.push(predicate);
        }
    }
    let mut joined: Option<Logical> = None;
    let last = leaves.len() - 1;
    for (index, (leaf, own)) in leaves.into_iter().zip(own).enumerate() {
        let leaf = push_down(leaf, own);
        joined = Some(match joined {
            None => leaf,
            Some(left) => {
                let on = if index == last { std::mem::take(&mut on) } else { Vec::new() };
                Logical::Join { left: Box::new(left), right: Box::new(leaf), kind: JoinKind::Inner, on }
            }
        });
    }
    filter(joined.expect("an inner join has two sides"), above)
}

/// Takes inner joins and filters apart.
pub(super) fn flatten(node: Logical, leaves: &mut Vec<Logical>, pool: &mut Vec<Expr>) {
    match node {
        Logical::Join { left, right, kind: JoinKind::Inner, on } => {
            pool.extend(on);
            flatten(*left, leaves, pool);
            flatten(*right, leaves, pool);
        }
        Logical::Filter { input, predicates }
            if matches!(*input, Logical::Join { kind: JoinKind::Inner, .. }) =>
        {
            pool.extend(predicates);
            flatten(*input, leaves, pool);
        }
        leaf => leaves.push(leaf),
    }
}

/// `a = b AND b = 1` says `a = 1` too, when both equalities are the same function.
fn spread_constants(pool: &mut Vec<Expr>) {
    let mut known: usize = 0;
    while known < pool.len() {
        let Some((function, column, constant)) = column_is_constant(&pool[known]) else {
            known += 1;
            continue;
        };
        let mut found = Vec::new();
        for other in pool.iter() {
            if let Expr::Call { function: same, args, ty, position } = other
                && std::ptr::eq(*same, function)
                && let [a @ Expr::Column { id: left, ty: s }, b @ Expr::Column { id: right, ty: t }] =
                    args.as_slice()
                && s == t
                && (*left == column || *right == column)
                && left != right
            {
                let spread = if *left == column { b } else { a };
                let args = vec![spread.clone(), constant.clone()];
                found.push(Expr::Call { function, args, ty: *ty, position: *position });
            }
        }
        for expr in found {
            if !pool.iter().any(|it| it.same(&expr)) {
                pool.push(expr);
            }
        }
        known += 1;
    }
    // What is pinned on both sides needs no comparison any more.
    let pinned: Vec<(ColumnId, Expr)> =
        pool.iter().filter_map(column_is_constant).map(|it| (it.1, it.2)).collect();
    pool.retain(|it| match it {
        Expr::Call { function, args, .. } if function.name == "=" => match args.as_slice() {
            [Expr::Column { id: left, ty: s }, Expr::Column { id: right, ty: t }]
                if s == t && left != right =>
            {
                let of = |id: ColumnId| pinned.iter().filter(move |it| it.0 == id);
                !of(*left).any(|a| of(*right).any(|b| a.1.same(&b.1)))
            }
            _ => true,
        },
        _ => true,
    });
}

fn column_is_constant(expr: &Expr) -> Option<(&'static crate::functions::Scalar, ColumnId, Expr)> {
    let Expr::Call { function, args, .. } = expr else { return None };
    match args.as_slice() {
        [Expr::Column { id, .. }, constant @ (Expr::Literal { .. } | Expr::Param { .. })]
            if function.name == "=" =>
        {
            Some((function, *id, constant.clone()))
        }
        _ => None,
    }
}

/// LEFT, SEMI, ANTI: predicates over the left side go left; a LEFT JOIN whose made-up rows are refused is INNER.
fn push_outer(
    left: Logical,
    right: Logical,
    kind: JoinKind,
    on: Vec<Expr>,
    predicates: Vec<Expr>,
) -> Logical {
    let (on, predicates) = (conjuncts(on), conjuncts(predicates));
    let left_columns = ColumnSet::of(left.columns());
    let right_columns = ColumnSet::of(right.columns());
    let refuses = |it: &Expr| refuses_null(it, &|id| right_columns.contains(id));
    if kind == JoinKind::Full {
        let refuses_left = |it: &Expr| refuses_null(it, &|id| left_columns.contains(id));
        return match (predicates.iter().any(refuses_left), predicates.iter().any(refuses)) {
            (true, _) => push_outer(left, right, JoinKind::Left, on, predicates),
            (false, true) => push_outer(right, left, JoinKind::Left, on, predicates),
            (false, false) => {
                let left = Box::new(push_down(left, Vec::new()));
                let right = Box::new(push_down(right, Vec::new()));
                filter(Logical::Join { left, right, kind, on }, predicates)
            }
        };
    }
    if kind == JoinKind::Left && predicates.iter().any(refuses) {
        let mut pool = on;
        pool.extend(predicates);
        return push_inner(left, right, pool);
    }
    let (to_left, above): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(|it| {
        it.has_columns() && !it.is_volatile() && it.columns_all(|id| left_columns.contains(id))
    });
    let (to_right, on): (Vec<Expr>, Vec<Expr>) = on.into_iter().partition(|it| {
        it.has_columns() && !it.is_volatile() && it.columns_all(|id| right_columns.contains(id))
    });
    let left = Box::new(push_down(left, to_left));
    let right = Box::new(push_down(right, to_right));
    filter(Logical::Join { left, right, kind, on }, above)
}

/// Whether the predicate is not true for rows in which all columns of a side are NULL.
fn refuses_null(expr: &Expr, is_null: &dyn Fn(ColumnId) -> bool) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().any(|it| refuses_null(it, is_null)),
        Expr::Or(parts) => parts.iter().all(|it| refuses_null(it, is_null)),
        Expr::Not(inner) => match &**inner {
            Expr::IsNull(input) => becomes_null(input, is_null),
            inner => becomes_null(inner, is_null),
        },
        Expr::IsNotDistinct(a, b) => {
            let constant = |it: &Expr| matches!(it, Expr::Literal { value, .. } if !value.is_null());
            constant(b) && becomes_null(a, is_null) || constant(a) && becomes_null(b, is_null)
        }
        // NULL IN (…) is NULL, or false when the list is empty.
        Expr::Subquery { kind: SubqueryUse::In(input), .. } => becomes_null(input, is_null),
        other => becomes_null(other, is_null),
    }
}

/// Whether the value is NULL when those columns are.
fn becomes_null(expr: &Expr, is_null: &dyn Fn(ColumnId) -> bool) -> bool {
    match expr {
        Expr::Column { id, .. } => is_null(*id),
        Expr::Call { function, args, .. } => {
            function.strict && args.iter().any(|it| becomes_null(it, is_null))
        }
        Expr::Cast { input, .. } | Expr::Not(input) | Expr::InList { input, .. } => {
            becomes_null(input, is_null)
        }
        _ => false,
    }
}

/// Adds the columns that anything but a filter directly over a scan looks at.
pub(super) fn used_columns(node: &Logical, used: &mut ColumnSet) {
    // What waits for a subquery is not for a scan.
    let of_scan = matches!(node, Logical::Filter { input, .. } if matches!(**input, Logical::Scan { .. }));
    for expr in node.exprs() {
        if !of_scan || expr.has_correlated() {
            expr.each_column(&mut |id| used.insert(id));
        }
    }
    match node {
        Logical::Sort { keys, .. } => keys.iter().for_each(|key| used.insert(key.column)),
        Logical::Distinct { columns, .. } => columns.iter().for_each(|id| used.insert(*id)),
        Logical::Append { inputs, .. } => inputs.iter().flat_map(|it| &it.1).for_each(|id| used.insert(*id)),
        Logical::Window { partition, order, .. } => {
            partition.iter().for_each(|id| used.insert(*id));
            order.iter().for_each(|key| used.insert(key.column));
        }
        Logical::Recursive { anchor, step, .. } => {
            anchor.1.iter().chain(&step.1).for_each(|id| used.insert(*id));
        }
        _ => {}
    }
    node.inputs().into_iter().for_each(|input| used_columns(input, used));
}
