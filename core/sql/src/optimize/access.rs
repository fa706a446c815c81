//! Ways into one table: its own tree, bounded by the primary key, or a secondary index.

use super::bounds::{column_bound, prefix_bounds};
use super::paths::{Path, PathOp};
use super::statistics::{Known, Tables, table_pages, table_rows};
use super::{ColumnSet, Planner, Wanted, cost};
use crate::catalog::Table;
use crate::encode;
use crate::expr::Expr;
use crate::plan::logical::{ColumnId, LogicalKey};
use crate::plan::{KeyBounds, ROW_KEY};
use std::rc::Rc;
use std::sync::Arc;

/// One way in.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) table: Arc<Table>,
    /// Ordinals with their column ids.
    pub(super) columns: Vec<(usize, ColumnId)>,
    /// `None`: the table's own tree.
    pub(super) index: Option<usize>,
    pub(super) bounds: KeyBounds,
    /// What the bounds do not say.
    pub(super) filter: Vec<Expr>,
    pub(super) reverse: bool,
    pub(super) covering: bool,
}

/// Bounds found for a key, and which predicates they stand for.
#[derive(Default)]
struct Matched {
    bounds: KeyBounds,
    /// Positions of predicates that the bounds say completely.
    said: Vec<usize>,
    /// Positions of predicates that the bounds narrow.
    narrowed: Vec<usize>,
}

/// A key column: ordinal, DESC.
type KeyColumn = (usize, bool);

/// The key columns of a way in.
pub(super) fn key_columns(table: &Table, index: Option<usize>) -> Vec<KeyColumn> {
    match index {
        None => table.primary_key.iter().map(|ordinal| (*ordinal, false)).collect(),
        Some(index) => table.indexes[index].columns.iter().map(|it| (it.ordinal, it.descending)).collect(),
    }
}

impl Planner {
    /// All sensible ways into a table whose rows must satisfy `predicates`.
    pub(super) fn access_paths(
        &self,
        table: &Arc<Table>,
        columns: &[(usize, ColumnId)],
        predicates: &[Expr],
        wanted: &Wanted,
        used: &ColumnSet,
    ) -> Vec<Rc<Path>> {
        let scan = crate::plan::logical::Logical::Scan { table: table.clone(), columns: columns.to_vec() };
        let tables = Tables::of(&scan, self);
        let share = self.selectivity(predicates, &tables);
        let rows = (table_rows(table) * share).max(1.0);
        let mut paths = Vec::new();
        let ways = std::iter::once(None).chain((0..table.indexes.len()).map(Some));
        for index in ways {
            let keys = key_columns(table, index);
            let matched = self.match_bounds(table, &keys, columns, predicates);
            if index.is_some()
                && matched.bounds.is_unbounded()
                && wanted.order.is_empty()
                && self.methods.seq_scan
                && !self.covers(table, index, columns, predicates, used)
            {
                continue;
            }
            for reverse in [false, true] {
                let path = self.access_path(
                    table, columns, predicates, &tables, rows, index, &keys, &matched, reverse, used,
                );
                let not_null = |id: ColumnId| {
                    columns.iter().any(|(ordinal, column)| {
                        *column == id && table.columns.get(*ordinal).is_some_and(|column| column.not_null)
                    })
                };
                let ordered = !wanted.order.is_empty() && path.satisfies(&wanted.order, not_null);
                // Backwards only for the order's sake; a whole index only for its order or for covering.
                let useful = if reverse {
                    ordered
                } else {
                    index.is_none()
                        || ordered
                        || !matched.bounds.is_unbounded()
                        || path.is_covering()
                        || !self.methods.seq_scan
                };
                if useful {
                    paths.push(Rc::new(path));
                }
            }
        }
        prune(paths, wanted)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one choice")]
    fn access_path(
        &self,
        table: &Arc<Table>,
        columns: &[(usize, ColumnId)],
        predicates: &[Expr],
        tables: &Tables<'_>,
        rows: f64,
        index: Option<usize>,
        keys: &[KeyColumn],
        matched: &Matched,
        reverse: bool,
        used: &ColumnSet,
    ) -> Path {
        let filter: Vec<Expr> = predicates
            .iter()
            .enumerate()
            .filter(|(position, _)| !matched.said.contains(position))
            .map(|it| it.1.clone())
            .collect();
        let bounding: Vec<Expr> = matched
            .said
            .iter()
            .chain(&matched.narrowed)
            .map(|position| predicates[*position].clone())
            .collect();
        let share = self.selectivity(&bounding, tables);
        let all = table_rows(table);
        let visited = if matched.bounds.is_unbounded() { all } else { (all * share).max(1.0) };
        let covering = self.covers(table, index, columns, &filter, used);
        let pages = table_pages(table);
        let visit = match index {
            None => visited * cost::CPU_TUPLE + (pages * visited / all).ceil() * cost::SEQ_PAGE,
            // Entries are smaller than rows, but decoded from their keys.
            Some(_) if covering => {
                visited * cost::CPU_TUPLE * 1.2 + (0.3 * pages * visited / all).ceil() * cost::SEQ_PAGE
            }
            Some(index) => {
                let fetch = visited * (cost::CPU_INDEX_TUPLE + cost::CPU_TUPLE);
                // Where the index order is the table's order, neighbours share pages.
                let scattered = 1.0 - correlation(table, table.indexes[index].columns[0].ordinal);
                fetch + visited * cost::ROW_FETCH * scattered.max(0.1)
            }
        };
        let descent = if matched.bounds.is_unbounded() { 0.0 } else { cost::ROW_FETCH };
        let is_whole = index.is_none() && matched.bounds.is_unbounded();
        let is_on = if is_whole { self.methods.seq_scan } else { self.methods.index_scan };
        let method = cost::of_method(is_on);
        let total = descent + visit + visited * cost::CPU_OPERATOR * filter.len() as f64 + method;
        let equal = matched.bounds.equal.len();
        let id_of = |ordinal: usize| columns.iter().find(|it| it.0 == ordinal).map(|it| it.1);
        let order = keys[equal.min(keys.len())..]
            .iter()
            .map_while(|(ordinal, descending)| {
                // Ascending keys have NULLs last, descending ones first; backwards turns both round.
                let descending = *descending != reverse;
                id_of(*ordinal).map(|column| LogicalKey { column, descending, nulls_first: descending })
            })
            .collect();
        let constant = keys.iter().take(equal).filter_map(|it| id_of(it.0)).collect();
        let ids: Vec<ColumnId> = columns.iter().map(|it| it.1).filter(|id| used.contains(*id)).collect();
        Path {
            rows,
            width: self.width(&ids),
            startup: descent,
            total,
            order,
            constant,
            op: PathOp::Access(Access {
                table: table.clone(),
                columns: columns.to_vec(),
                index,
                bounds: matched.bounds.clone(),
                filter,
                reverse,
                covering,
            }),
        }
    }

    /// Whether all columns that are looked at lie in the index entry, in a form that gives their very values back
    /// (an unconstrained numeric loses its display scale in a key, a float the sign of zero). One such column spoils the
    /// whole entry: what stands behind it is not read either.
    fn covers(
        &self,
        table: &Table,
        index: Option<usize>,
        columns: &[(usize, ColumnId)],
        filter: &[Expr],
        used: &ColumnSet,
    ) -> bool {
        let Some(index) = index else { return false };
        let needed =
            |id: ColumnId| used.contains(id) || filter.iter().any(|it| !it.columns_all(|other| other != id));
        let entry = &table.indexes[index].columns;
        entry.iter().all(|it| encode::is_invertible(table.columns[it.ordinal].ty))
            && columns
                .iter()
                .filter(|it| needed(it.1))
                .all(|(ordinal, _)| *ordinal == ROW_KEY || entry.iter().any(|it| it.ordinal == *ordinal))
    }

    /// The longest run of key columns that predicates pin, and a range on the next.
    fn match_bounds(
        &self,
        table: &Table,
        keys: &[KeyColumn],
        columns: &[(usize, ColumnId)],
        predicates: &[Expr],
    ) -> Matched {
        let mut matched = Matched::default();
        for (ordinal, _) in keys {
            let Some(id) = columns.iter().find(|it| it.0 == *ordinal).map(|it| it.1) else { break };
            let column = &table.columns[*ordinal];
            let found = predicates.iter().enumerate().find_map(|(position, it)| {
                column_bound(it, id, column.ty)
                    .filter(|(op, _)| *op == "=")
                    .map(|(_, value)| (position, value))
            });
            if let Some((position, value)) = found {
                matched.bounds.equal.push(value);
                matched.said.push(position);
                continue;
            }
            for (position, predicate) in predicates.iter().enumerate() {
                let Some((op, value)) = column_bound(predicate, id, column.ty) else { continue };
                // Lower and upper are of the values, whichever way the key runs; a range never holds NULLs.
                let (slot, inclusive) = match op {
                    ">" | ">=" => (&mut matched.bounds.lower, op.ends_with('=')),
                    "<" | "<=" => (&mut matched.bounds.upper, op.ends_with('=')),
                    _ => continue,
                };
                if slot.is_none() {
                    *slot = Some((value, inclusive));
                    matched.said.push(position);
                }
            }
            if matched.bounds.lower.is_none() && matched.bounds.upper.is_none() {
                let found = predicates.iter().enumerate().find_map(|(position, it)| {
                    prefix_bounds(it, id, column.ty).map(|bounds| (position, bounds))
                });
                if let Some((position, (lower, upper))) = found {
                    matched.bounds.lower = Some((lower, true));
                    matched.bounds.upper = upper.map(|upper| (upper, false));
                    matched.narrowed.push(position);
                }
            }
            break;
        }
        matched
    }
}

impl Path {
    fn is_covering(&self) -> bool {
        matches!(&self.op, PathOp::Access(access) if access.covering)
    }
}

fn correlation(table: &Table, ordinal: usize) -> f64 {
    let statistics = table.statistics.as_ref().and_then(|it| it.columns.get(ordinal));
    statistics.map_or(0.0, |it| it.correlation.abs().min(1.0))
}

/// Rows that one lookup by the first `count` key columns gives.
pub(super) fn rows_per_lookup(table: &Table, keys: &[KeyColumn], count: usize, unique: bool) -> f64 {
    let rows = table_rows(table);
    if unique && count == keys.len() {
        return 1.0;
    }
    let distinct: f64 =
        keys.iter().take(count).map(|(ordinal, _)| Known::of(table, *ordinal).distinct()).product();
    (rows / distinct.max(1.0)).max(1.0)
}

/// Keeps what is best at something.
pub(super) fn prune(paths: Vec<Rc<Path>>, wanted: &Wanted) -> Vec<Rc<Path>> {
    let mut kept: Vec<Rc<Path>> = Vec::with_capacity(paths.len());
    for path in paths {
        let ordered = |it: &Path| !wanted.order.is_empty() && it.satisfies(&wanted.order, |_| true);
        let beats =
            |a: &Path, b: &Path| a.total <= b.total && a.startup <= b.startup && (ordered(a) || !ordered(b));
        if kept.iter().any(|it| beats(it, &path)) {
            continue;
        }
        kept.retain(|it| !beats(&path, it));
        kept.push(path);
    }
    kept
}
