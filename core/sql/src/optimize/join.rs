//! Join order and join method: dynamic programming over connected sets up to [`DYNAMIC_MAX`] relations, greedy above.

use super::access::{key_columns, prune, rows_per_lookup};
use super::bounds::{as_key, column_bound};
use super::paths::{Lookup, Path, PathOp};
use super::statistics::Tables;
use super::{ColumnSet, Planner, Wanted, cost, disjunct, rules};
use crate::catalog::Table;
use crate::expr::Expr;
use crate::plan::JoinKind;
use crate::plan::logical::{ColumnId, Logical};
use crate::types::SqlType;
use std::rc::Rc;
use std::sync::Arc;

/// Relations whose orders are all tried.
const DYNAMIC_MAX: usize = 12;

/// Relations of which all trees are tried; above, only those that add one relation at a time.
const BUSHY_MAX: usize = 8;

// Relations are bits of a u128.
const _: () = assert!(crate::bind::RELATION_COUNT_MAX < 128);

/// A table that can be looked up in, with its columns and the predicates on it alone.
type LookupTable = (Arc<Table>, Vec<(usize, ColumnId)>, Vec<Expr>);

/// A relation to be joined.
struct Leaf {
    paths: Vec<Rc<Path>>,
    columns: ColumnSet,
    table: Option<LookupTable>,
}

/// A join condition and which relations it names, as bits.
struct Condition {
    expr: Expr,
    leaves: u128,
    share: f64,
}

/// A set of relations joined.
struct Joined {
    paths: Vec<Rc<Path>>,
    leaves: u128,
    rows: f64,
}

/// Two sides to be joined.
struct Sides<'a> {
    left: &'a [Rc<Path>],
    right: &'a [Rc<Path>],
    left_columns: &'a dyn Fn(ColumnId) -> bool,
    right_columns: &'a dyn Fn(ColumnId) -> bool,
    /// The right side when it can be looked up in.
    right_table: Option<&'a LookupTable>,
    on: Vec<Expr>,
    kind: JoinKind,
    rows: f64,
}

impl Planner {
    /// Inner joins and what they join, in the best order found.
    pub(super) fn inner_join(&self, node: &Logical, wanted: &Wanted, used: &ColumnSet) -> Vec<Rc<Path>> {
        let mut parts = Vec::new();
        let mut pool = Vec::new();
        rules::flatten(node.clone(), &mut parts, &mut pool);
        let tables = Tables::of(node, self);
        let leaves: Vec<Leaf> = parts.iter().map(|part| self.leaf(part, wanted, used)).collect();
        let conditions: Vec<Condition> = pool
            .into_iter()
            .map(|expr| {
                let mut bits = 0u128;
                expr.each_column(&mut |id| {
                    if let Some(leaf) = leaves.iter().position(|leaf| leaf.columns.contains(id)) {
                        bits |= 1 << leaf;
                    }
                });
                let mut share = self.selectivity(std::slice::from_ref(&expr), &tables);
                // What a disjunction says of one relation was asked there already.
                for leaf in &leaves {
                    if let Some(own) = disjunct::restriction(&expr, &|id| leaf.columns.contains(id)) {
                        share /= self.selectivity(std::slice::from_ref(&own), &tables).max(1e-9);
                    }
                }
                let share = share.min(1.0);
                Condition { expr, leaves: bits, share }
            })
            .collect();
        // A condition that joins nothing (it names one relation, or none) holds for the result.
        let (conditions, above): (Vec<_>, Vec<_>) =
            conditions.into_iter().partition(|it| it.leaves.count_ones() > 1);
        let paths = if leaves.len() <= DYNAMIC_MAX {
            self.dynamic(&leaves, &conditions, wanted)
        } else {
            self.greedy(&leaves, &conditions, wanted)
        };
        if above.is_empty() {
            return paths;
        }
        let share = above.iter().map(|it| it.share).product();
        let above: Vec<Expr> = above.into_iter().map(|it| it.expr).collect();
        paths.into_iter().map(|path| self.filter_path(path, above.clone(), share)).collect()
    }

    fn leaf(&self, part: &Logical, wanted: &Wanted, used: &ColumnSet) -> Leaf {
        let own = Wanted { order: wanted.order.clone(), row_count: None };
        let paths = self.paths(part, &own, used);
        let table = match part {
            Logical::Scan { table, columns } => Some((table.clone(), columns.clone(), Vec::new())),
            Logical::Filter { input, predicates } => match &**input {
                Logical::Scan { table, columns } => {
                    Some((table.clone(), columns.clone(), predicates.clone()))
                }
                _ => None,
            },
            _ => None,
        };
        Leaf { paths, columns: ColumnSet::of(part.columns()), table }
    }

    fn dynamic(&self, leaves: &[Leaf], conditions: &[Condition], wanted: &Wanted) -> Vec<Rc<Path>> {
        let count = leaves.len();
        let full = (1usize << count) - 1;
        let mut best: Vec<Option<Joined>> = (0..=full).map(|_| None).collect();
        for (index, leaf) in leaves.iter().enumerate() {
            let bits = 1usize << index;
            best[bits] =
                Some(Joined { paths: leaf.paths.clone(), leaves: bits as u128, rows: leaf.paths[0].rows });
        }
        for set in 1..=full {
            if set.count_ones() < 2 {
                continue;
            }
            let mut paths = Vec::new();
            // First only pairs that a condition connects; if there are none, any.
            for connected in [true, false] {
                let mut left = (set - 1) & set;
                while left > 0 {
                    let right = set & !left;
                    let tried = count <= BUSHY_MAX || left.is_power_of_two() || right.is_power_of_two();
                    if let (true, Some(a), Some(b)) = (tried, &best[left], &best[right]) {
                        let is_connected = conditions.iter().any(|it| {
                            it.leaves & a.leaves != 0
                                && it.leaves & b.leaves != 0
                                && it.leaves & !(set as u128) == 0
                        });
                        if is_connected == connected {
                            paths.extend(self.join_pair(a, b, leaves, conditions, wanted));
                        }
                    }
                    left = (left - 1) & set;
                }
                if !paths.is_empty() {
                    break;
                }
            }
            let rows = paths.first().map_or(1.0, |it| it.rows);
            best[set] = Some(Joined { paths: prune(paths, wanted), leaves: set as u128, rows });
        }
        best[full].take().map(|it| it.paths).unwrap_or_default()
    }

    /// Joins the pair with the fewest result rows, until one is left.
    fn greedy(&self, leaves: &[Leaf], conditions: &[Condition], wanted: &Wanted) -> Vec<Rc<Path>> {
        let mut left: Vec<Joined> = leaves
            .iter()
            .enumerate()
            .map(|(index, leaf)| Joined {
                paths: leaf.paths.clone(),
                leaves: 1 << index,
                rows: leaf.paths[0].rows,
            })
            .collect();
        while left.len() > 1 {
            let mut choice: Option<(bool, f64, usize, usize)> = None;
            for a in 0..left.len() {
                for b in a + 1..left.len() {
                    let connected = conditions
                        .iter()
                        .any(|it| it.leaves & left[a].leaves != 0 && it.leaves & left[b].leaves != 0);
                    let rows = self.joined_rows(&left[a], &left[b], conditions);
                    let better = choice.is_none_or(|(was, fewest, ..)| (!connected, rows) < (!was, fewest));
                    if better {
                        choice = Some((connected, rows, a, b));
                    }
                }
            }
            let Some((_, rows, a, b)) = choice else { break };
            let right = left.swap_remove(b);
            let first = left.swap_remove(a);
            let mut paths = self.join_pair(&first, &right, leaves, conditions, wanted);
            paths.extend(self.join_pair(&right, &first, leaves, conditions, wanted));
            let joined = Joined { paths: prune(paths, wanted), leaves: first.leaves | right.leaves, rows };
            left.push(joined);
        }
        left.pop().map(|it| it.paths).unwrap_or_default()
    }

    fn joined_rows(&self, a: &Joined, b: &Joined, conditions: &[Condition]) -> f64 {
        let both = a.leaves | b.leaves;
        let share: f64 = conditions
            .iter()
            .filter(|it| it.leaves & !both == 0 && it.leaves & !a.leaves != 0 && it.leaves & !b.leaves != 0)
            .map(|it| it.share)
            .product();
        (a.rows * b.rows * share).max(1.0)
    }

    fn join_pair(
        &self,
        a: &Joined,
        b: &Joined,
        leaves: &[Leaf],
        conditions: &[Condition],
        wanted: &Wanted,
    ) -> Vec<Rc<Path>> {
        let both = a.leaves | b.leaves;
        let on = conditions
            .iter()
            .filter(|it| it.leaves & !both == 0 && it.leaves & !a.leaves != 0 && it.leaves & !b.leaves != 0)
            .map(|it| it.expr.clone())
            .collect();
        let within = |bits: u128, id: ColumnId| {
            leaves.iter().enumerate().any(|(index, leaf)| bits >> index & 1 == 1 && leaf.columns.contains(id))
        };
        let right_table = match b.leaves.count_ones() {
            1 => leaves[b.leaves.trailing_zeros() as usize].table.as_ref(),
            _ => None,
        };
        self.join_methods(
            &Sides {
                left: &a.paths,
                right: &b.paths,
                left_columns: &|id| within(a.leaves, id),
                right_columns: &|id| within(b.leaves, id),
                right_table,
                on,
                kind: JoinKind::Inner,
                rows: self.joined_rows(a, b, conditions),
            },
            wanted,
        )
    }

    /// LEFT, SEMI, ANTI: the sides stay where they are.
    pub(super) fn outer_join(
        &self,
        left: &Logical,
        right: &Logical,
        kind: JoinKind,
        on: &[Expr],
        wanted: &Wanted,
        used: &ColumnSet,
    ) -> Vec<Rc<Path>> {
        let mut tables = Tables::of(left, self);
        tables.add(right, self);
        let a = self.leaf(left, wanted, used);
        let b = self.leaf(right, &Wanted::default(), used);
        let share = self.selectivity(on, &tables);
        let (left_rows, right_rows) = (a.paths[0].rows, b.paths[0].rows);
        let matches = (left_rows * right_rows * share).max(1.0);
        let rows = match kind {
            JoinKind::Inner => matches,
            JoinKind::Left => matches.max(left_rows),
            JoinKind::Full => matches.max(left_rows).max(right_rows),
            JoinKind::Semi => matches.min(left_rows),
            JoinKind::Anti => (left_rows - matches.min(left_rows)).max(1.0),
        };
        let sides = Sides {
            left: &a.paths,
            right: &b.paths,
            left_columns: &|id| a.columns.contains(id),
            right_columns: &|id| b.columns.contains(id),
            right_table: b.table.as_ref(),
            on: on.to_vec(),
            kind,
            rows,
        };
        prune(self.join_methods(&sides, wanted), wanted)
    }

    fn join_methods(&self, sides: &Sides<'_>, wanted: &Wanted) -> Vec<Rc<Path>> {
        let mut keys = Vec::new();
        let mut residual = Vec::new();
        for condition in &sides.on {
            match equi_keys(condition, sides) {
                Some(pair) => keys.push(pair),
                None => residual.push(condition.clone()),
            }
        }
        let inner = super::paths::cheapest(sides.right, None);
        let mut paths = Vec::new();
        for outer in sides.left {
            let ordered = !wanted.order.is_empty() && outer.satisfies(&wanted.order, |_| true);
            // A costlier outer side is worth a try only for its order.
            if !keys.is_empty() {
                paths.push(Rc::new(self.hash_path(outer, &inner, &keys, &residual, sides)));
            }
            if keys.is_empty() || ordered || inner.rows <= 2.0 || !self.methods.hash_join {
                paths.push(Rc::new(self.loop_path(outer, &inner, sides)));
            }
            if let Some((table, columns, predicates)) =
                sides.right_table.filter(|_| sides.kind != JoinKind::Full)
            {
                for index in std::iter::once(None).chain((0..table.indexes.len()).map(Some)) {
                    let path = self.lookup_path(outer, table, columns, predicates, index, sides);
                    paths.extend(path.map(Rc::new));
                }
            }
        }
        paths
    }

    fn hash_path(
        &self,
        left: &Rc<Path>,
        right: &Rc<Path>,
        keys: &[(Expr, Expr)],
        residual: &[Expr],
        sides: &Sides<'_>,
    ) -> Path {
        let count = keys.len() as f64;
        let build = right.total + right.rows * (cost::CPU_OPERATOR * count + cost::CPU_TUPLE);
        let bytes = right.rows * (right.width + 16.0);
        let spill = if bytes > cost::WORK_MEMORY_BYTES {
            2.0 * (bytes + left.rows * left.width) / cost::PAGE_BYTES * cost::SEQ_PAGE
        } else {
            0.0
        };
        let probe = left.total + left.rows * cost::CPU_OPERATOR * count;
        let work = sides.rows * (cost::CPU_TUPLE + cost::CPU_OPERATOR * residual.len() as f64);
        Path {
            rows: sides.rows,
            width: output_width(left, right, sides.kind),
            startup: build + left.startup,
            total: build + probe + work + spill + cost::of_method(self.methods.hash_join),
            order: Vec::new(),
            constant: left_constant(left, sides.kind),
            op: PathOp::Hash {
                left: left.clone(),
                right: right.clone(),
                keys: keys.to_vec(),
                kind: sides.kind,
                residual: residual.to_vec(),
            },
        }
    }

    fn loop_path(&self, left: &Rc<Path>, right: &Rc<Path>, sides: &Sides<'_>) -> Path {
        let pairs = left.rows * right.rows;
        let work = pairs * cost::CPU_OPERATOR * sides.on.len().max(1) as f64 + sides.rows * cost::CPU_TUPLE;
        Path {
            rows: sides.rows,
            width: output_width(left, right, sides.kind),
            startup: left.startup + right.total,
            total: left.total + right.total + work + cost::of_method(self.methods.nested_loop),
            // Left rows are joined a batch at a time: their order does not last.
            order: Vec::new(),
            constant: left_constant(left, sides.kind),
            op: PathOp::Loop {
                left: left.clone(),
                right: right.clone(),
                kind: sides.kind,
                on: sides.on.clone(),
            },
        }
    }

    /// For each outer row the inner rows by key: columns of the key pinned by the outer side or by constants.
    fn lookup_path(
        &self,
        outer: &Rc<Path>,
        table: &Arc<Table>,
        columns: &[(usize, ColumnId)],
        predicates: &[Expr],
        index: Option<usize>,
        sides: &Sides<'_>,
    ) -> Option<Path> {
        let key = key_columns(table, index);
        let mut keys = Vec::new();
        let mut said: Vec<&Expr> = Vec::new();
        let mut joined = false;
        for (ordinal, _) in &key {
            let Some(id) = columns.iter().find(|it| it.0 == *ordinal).map(|it| it.1) else { break };
            let ty = table.columns[*ordinal].ty;
            let by_outer =
                sides.on.iter().find_map(|it| outer_key(it, id, ty, sides).map(|value| (it, value)));
            let by_constant = || {
                predicates.iter().find_map(|it| {
                    column_bound(it, id, ty).filter(|it| it.0 == "=").map(|found| (it, found.1))
                })
            };
            joined |= by_outer.is_some();
            let Some((condition, value)) = by_outer.or_else(by_constant) else { break };
            said.push(condition);
            keys.push(value);
        }
        if !joined {
            return None;
        }
        let residual: Vec<Expr> = sides
            .on
            .iter()
            .chain(predicates)
            .filter(|it| !said.iter().any(|said| std::ptr::eq(*said, *it)))
            .cloned()
            .collect();
        let unique = index.is_none_or(|index| table.indexes[index].unique);
        let found = rows_per_lookup(table, &key, keys.len(), unique);
        let fetch = if index.is_some() { cost::ROW_FETCH } else { cost::CPU_TUPLE };
        let each = cost::ROW_FETCH
            + found * (fetch + cost::CPU_INDEX_TUPLE + cost::CPU_OPERATOR * residual.len() as f64);
        let inner = &sides.right[0];
        Some(Path {
            rows: sides.rows,
            width: output_width(outer, inner, sides.kind),
            startup: outer.startup + each,
            total: outer.total
                + outer.rows * each
                + sides.rows * cost::CPU_TUPLE
                + cost::of_method(self.methods.nested_loop && self.methods.index_scan),
            // LEFT: what found nothing comes behind the rest of its batch.
            order: if sides.kind == JoinKind::Left { Vec::new() } else { outer.order.clone() },
            constant: outer.constant.clone(),
            op: PathOp::Lookup(Lookup {
                outer: outer.clone(),
                table: table.clone(),
                columns: columns.to_vec(),
                index,
                keys,
                kind: sides.kind,
                residual,
            }),
        })
    }
}

/// `a = b` with one side of each relation and types that compare as they are.
fn equi_keys(condition: &Expr, sides: &Sides<'_>) -> Option<(Expr, Expr)> {
    let Expr::Call { function, args, .. } = condition else { return None };
    let [a, b] = args.as_slice() else { return None };
    if function.name != "="
        || condition.is_volatile()
        || condition.has_correlated()
        || !a.has_columns()
        || !b.has_columns()
    {
        return None;
    }
    let is_left = |it: &Expr| it.columns_all(sides.left_columns);
    let is_right = |it: &Expr| it.columns_all(sides.right_columns);
    let (left, right) = if is_left(a) && is_right(b) {
        (a, b)
    } else if is_left(b) && is_right(a) {
        (b, a)
    } else {
        return None;
    };
    Some((as_hash_key(left, right.ty()), as_hash_key(right, left.ty())))
}

/// Decimals of different modifiers meet as plain numerics, texts as text.
fn as_hash_key(expr: &Expr, other: SqlType) -> Expr {
    let ty = expr.ty();
    if ty == other || ty == ty.base() {
        return expr.clone();
    }
    Expr::Cast { input: Box::new(expr.clone()), ty: ty.base(), explicit: false, position: 0 }
}

fn output_width(left: &Path, right: &Path, kind: JoinKind) -> f64 {
    match kind {
        JoinKind::Inner | JoinKind::Left | JoinKind::Full => left.width + right.width,
        JoinKind::Semi | JoinKind::Anti => left.width,
    }
}

/// What is the same in all rows of the left side still is, unless rows without one are added.
fn left_constant(left: &Path, kind: JoinKind) -> Vec<ColumnId> {
    if kind == JoinKind::Full { Vec::new() } else { left.constant.clone() }
}

/// `column = outer expression`, of exactly the column's type.
fn outer_key(condition: &Expr, id: ColumnId, ty: SqlType, sides: &Sides<'_>) -> Option<Expr> {
    let Expr::Call { function, args, .. } = condition else { return None };
    let [a, b] = args.as_slice() else { return None };
    if function.name != "=" || condition.is_volatile() || condition.has_correlated() {
        return None;
    }
    let is_it = |expr: &Expr| matches!(expr, Expr::Column { id: column, .. } if *column == id);
    let value = if is_it(a) {
        b
    } else if is_it(b) {
        a
    } else {
        return None;
    };
    if !value.columns_all(sides.left_columns) {
        return None;
    }
    match as_key(value, ty) {
        Some(value) => Some(value),
        // Text of another limit has the same key.
        None if ty.base() == SqlType::Text && value.ty().base() == SqlType::Text => Some(Expr::Cast {
            input: Box::new(value.clone()),
            ty: SqlType::Text,
            explicit: false,
            position: 0,
        }),
        None => None,
    }
}
