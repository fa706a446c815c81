//! Candidate plans of a node with their costs. Of each node a few are kept: the cheapest, the cheapest that comes in the
//! wanted order, the one that gives its first rows soonest.

use super::access::Access;
use super::statistics::Tables;
use super::{ColumnSet, Planner, Wanted, cost};
use crate::catalog::Table;
use crate::datum::Datum;
use crate::expr::{AggregateCall, Expr, WindowCall};
use crate::functions::sets::SetFunction;
use crate::plan::JoinKind;
use crate::plan::logical::{ColumnId, LockRows, Logical, LogicalKey};
use crate::system::LiveView;
use std::rc::Rc;
use std::sync::Arc;

/// A candidate.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) op: PathOp,
    pub(super) rows: f64,
    /// Bytes of a row, about.
    pub(super) width: f64,
    /// Cost until the first row.
    pub(super) startup: f64,
    /// Cost of all rows.
    pub(super) total: f64,
    /// The order its rows come in.
    pub(super) order: Vec<LogicalKey>,
    /// Columns that have one value in all rows: they do not count in an order.
    pub(super) constant: Vec<ColumnId>,
}

/// What a candidate does; [`super::emit`] makes the operator of it.
#[derive(Debug)]
pub(super) enum PathOp {
    Access(Access),
    Values {
        columns: Vec<ColumnId>,
        rows: Vec<Vec<Expr>>,
    },
    Series {
        function: Option<&'static SetFunction>,
        args: Vec<Expr>,
        column: ColumnId,
        position: u32,
    },
    Live {
        view: &'static LiveView,
        columns: Vec<ColumnId>,
    },
    Filter {
        input: Rc<Path>,
        predicates: Vec<Expr>,
    },
    Extend {
        input: Rc<Path>,
        exprs: Vec<(ColumnId, Expr)>,
    },
    Hash {
        left: Rc<Path>,
        right: Rc<Path>,
        keys: Vec<(Expr, Expr)>,
        kind: JoinKind,
        residual: Vec<Expr>,
    },
    Loop {
        left: Rc<Path>,
        right: Rc<Path>,
        kind: JoinKind,
        on: Vec<Expr>,
    },
    Apply {
        left: Rc<Path>,
        right: Rc<Path>,
        kind: JoinKind,
        on: Vec<Expr>,
        args: Vec<(usize, Expr)>,
    },
    Window {
        input: Rc<Path>,
        partition: Vec<ColumnId>,
        order: Vec<LogicalKey>,
        calls: Vec<(ColumnId, WindowCall)>,
    },
    Recursive {
        anchor: (Rc<Path>, Vec<ColumnId>),
        step: (Rc<Path>, Vec<ColumnId>),
        columns: Vec<ColumnId>,
        working: usize,
        distinct: bool,
    },
    Working {
        working: usize,
        columns: Vec<ColumnId>,
    },
    Lookup(Lookup),
    Aggregate {
        input: Rc<Path>,
        groups: Vec<(ColumnId, Expr)>,
        aggregates: Vec<(ColumnId, AggregateCall)>,
        sorted: bool,
    },
    Sort {
        input: Rc<Path>,
        keys: Vec<LogicalKey>,
        limit: Option<u64>,
    },
    LockRows {
        input: Rc<Path>,
        rows: LockRows,
        recheck: Option<Expr>,
    },
    Limit {
        input: Rc<Path>,
        limit: Option<Expr>,
        offset: Option<Expr>,
    },
    Distinct {
        input: Rc<Path>,
        columns: Vec<ColumnId>,
    },
    Append {
        inputs: Vec<(Rc<Path>, Vec<ColumnId>)>,
        columns: Vec<ColumnId>,
    },
}

/// Rows that a step of a recursion is reckoned to start from.
const WORKING_ROWS: f64 = 100.0;

/// An index join.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) outer: Rc<Path>,
    pub(super) table: Arc<Table>,
    pub(super) columns: Vec<(usize, ColumnId)>,
    pub(super) index: Option<usize>,
    pub(super) keys: Vec<Expr>,
    pub(super) kind: JoinKind,
    pub(super) residual: Vec<Expr>,
}

impl Path {
    /// Cost of the first `rows` rows.
    fn cost_of(&self, rows: Option<f64>) -> f64 {
        match rows {
            Some(rows) if rows < self.rows => {
                self.startup + (self.total - self.startup) * rows / self.rows.max(1.0)
            }
            _ => self.total,
        }
    }

    /// Whether its order is the wanted one, or a finer one.
    pub(super) fn satisfies(&self, keys: &[LogicalKey], is_not_null: impl Fn(ColumnId) -> bool) -> bool {
        let mut own = self.order.iter();
        keys.iter().all(|key| {
            self.constant.contains(&key.column)
                || own.next().is_some_and(|it| {
                    it.column == key.column
                        && it.descending == key.descending
                        && (it.nulls_first == key.nulls_first || is_not_null(key.column))
                })
        })
    }
}

/// The best candidate for someone who takes `rows` rows (`None`: all).
pub(super) fn cheapest(paths: &[Rc<Path>], rows: Option<f64>) -> Rc<Path> {
    let mut best = &paths[0];
    for path in &paths[1..] {
        if path.cost_of(rows) < best.cost_of(rows) {
            best = path;
        }
    }
    best.clone()
}

/// log2 of a row count, by its integer part: the same bits on every platform.
fn log2(rows: f64) -> f64 {
    f64::from((rows.max(2.0) as u64).ilog2()).max(1.0)
}

pub(super) fn sort_cost(rows: f64, width: f64, limit: Option<f64>) -> f64 {
    let kept = limit.map_or(rows, |limit| limit.min(rows));
    let bytes = kept * width;
    let spill =
        if bytes > cost::WORK_MEMORY_BYTES { 2.0 * bytes / cost::PAGE_BYTES * cost::SEQ_PAGE } else { 0.0 };
    2.0 * cost::CPU_OPERATOR * rows * log2(kept) + spill
}

impl Planner {
    /// Candidates of a node; never none.
    pub(super) fn paths(&self, node: &Logical, wanted: &Wanted, used: &ColumnSet) -> Vec<Rc<Path>> {
        match node {
            Logical::Scan { table, columns } => self.access_paths(table, columns, &[], wanted, used),
            Logical::Filter { input, predicates } => match &**input {
                Logical::Scan { table, columns } if !predicates.iter().any(Expr::has_correlated) => {
                    self.access_paths(table, columns, predicates, wanted, used)
                }
                Logical::Scan { table, columns } => {
                    let (above, own): (Vec<Expr>, Vec<Expr>) =
                        predicates.iter().cloned().partition(Expr::has_correlated);
                    let share = self.selectivity(&above, &Tables::of(input, self));
                    let inner = Wanted { row_count: None, ..wanted.clone() };
                    let inputs = self.access_paths(table, columns, &own, &inner, used);
                    inputs.into_iter().map(|input| self.filter_path(input, above.clone(), share)).collect()
                }
                other => {
                    let tables = Tables::of(other, self);
                    let share = self.selectivity(predicates, &tables);
                    let inner = Wanted { row_count: None, ..wanted.clone() };
                    let inputs = self.paths(other, &inner, used);
                    inputs
                        .into_iter()
                        .map(|input| self.filter_path(input, predicates.clone(), share))
                        .collect()
                }
            },
            Logical::Extend { input, exprs } => {
                let passes = wanted.order.iter().all(|key| exprs.iter().all(|it| it.0 != key.column));
                let order = if passes { wanted.order.clone() } else { Vec::new() };
                let inputs = self.paths(input, &Wanted { order, ..wanted.clone() }, used);
                inputs.into_iter().map(|input| self.extend_path(input, exprs)).collect()
            }
            Logical::Join { kind: JoinKind::Inner, .. } => self.inner_join(node, wanted, used),
            Logical::Join { left, right, kind: JoinKind::Semi, on } => {
                let mut paths = self.outer_join(left, right, JoinKind::Semi, on, wanted, used);
                if let Some(other) = self.as_inner(left, right, on) {
                    paths.extend(self.paths(&other, wanted, used));
                    paths = super::access::prune(paths, wanted);
                }
                paths
            }
            Logical::Join { left, right, kind, on } => self.outer_join(left, right, *kind, on, wanted, used),
            Logical::Apply { left, right, kind, on, args } => {
                self.apply_paths((left, right), *kind, on, args, wanted, used)
            }
            Logical::Window { input, partition, order, calls } => {
                vec![self.window_path(input, partition, order, calls, used)]
            }
            Logical::Recursive { anchor, step, columns, working, distinct } => {
                vec![self.recursive_path(anchor, step, columns, *working, *distinct, used)]
            }
            Logical::Working { working, columns } => {
                let op = PathOp::Working { working: *working, columns: columns.clone() };
                vec![Rc::new(Path { op, rows: WORKING_ROWS, ..self.values_path(columns, &[]) })]
            }
            Logical::Values { columns, rows } => vec![Rc::new(self.values_path(columns, rows))],
            Logical::Live { view, columns } => {
                let op = PathOp::Live { view, columns: columns.clone() };
                let total = view.row_estimate * cost::CPU_TUPLE;
                vec![Rc::new(Path { op, rows: view.row_estimate, total, ..self.values_path(columns, &[]) })]
            }
            Logical::Series { function, args, column, position } => {
                vec![Rc::new(series_path(*function, args, *column, *position))]
            }
            Logical::Aggregate { input, groups, aggregates } => {
                self.aggregate_paths(input, groups, aggregates, wanted, used)
            }
            Logical::Sort { input, keys } => self.sort_paths(input, keys, wanted, used),
            Logical::Limit { input, limit, offset } => self.limit_paths(input, limit, offset, wanted, used),
            Logical::LockRows { input, rows, recheck } => {
                vec![self.lock_path(input, rows, recheck, wanted, used)]
            }
            Logical::Distinct { input, columns } => self.distinct_paths(input, columns, used),
            Logical::Append { inputs, columns } => {
                let inputs = inputs.iter().map(|(input, own)| {
                    (cheapest(&self.paths(input, &Wanted::default(), used), None), own.clone())
                });
                let inputs: Vec<(Rc<Path>, Vec<ColumnId>)> = inputs.collect();
                let sum = |f: fn(&Path) -> f64| inputs.iter().map(|it| f(&it.0)).sum::<f64>();
                let path = Path {
                    rows: sum(|it| it.rows),
                    width: self.width(columns),
                    startup: inputs.first().map_or(0.0, |it| it.0.startup),
                    total: sum(|it| it.total),
                    order: Vec::new(),
                    constant: Vec::new(),
                    op: PathOp::Append { inputs, columns: columns.clone() },
                };
                vec![Rc::new(path)]
            }
        }
    }

    /// A semi join by equalities as an inner join with the distinct values: the other side may then be looked up in.
    fn as_inner(&self, left: &Logical, right: &Logical, on: &[Expr]) -> Option<Logical> {
        fn has_semi(node: &Logical) -> bool {
            matches!(node, Logical::Join { kind: JoinKind::Semi, .. })
                || node.inputs().into_iter().any(has_semi)
        }
        let inner = ColumnSet::of(right.columns());
        let mut columns = Vec::with_capacity(on.len());
        for condition in on {
            let Expr::Call { function, args, .. } = condition else { return None };
            let [a, b] = args.as_slice() else { return None };
            let outside = |it: &Expr| it.has_columns() && it.columns_all(|id| !inner.contains(id));
            let id = match (a, b) {
                (a, Expr::Column { id, .. }) if inner.contains(*id) && outside(a) => *id,
                (Expr::Column { id, .. }, b) if inner.contains(*id) && outside(b) => *id,
                _ => return None,
            };
            if function.name != "=" || condition.has_correlated() {
                return None;
            }
            if !columns.contains(&id) {
                columns.push(id);
            }
        }
        // Each would be planned twice: keep that from multiplying.
        if columns.is_empty() || has_semi(left) || has_semi(right) {
            return None;
        }
        let right = Box::new(Logical::Distinct { input: Box::new(right.clone()), columns });
        Some(Logical::Join { left: Box::new(left.clone()), right, kind: JoinKind::Inner, on: on.to_vec() })
    }

    fn window_path(
        &self,
        input: &Logical,
        partition: &[ColumnId],
        order: &[LogicalKey],
        calls: &[(ColumnId, WindowCall)],
        used: &ColumnSet,
    ) -> Rc<Path> {
        let mut keys: Vec<LogicalKey> = partition
            .iter()
            .map(|id| LogicalKey { column: *id, descending: false, nulls_first: false })
            .collect();
        keys.extend(order.iter().filter(|key| !partition.contains(&key.column)));
        let sorted = if keys.is_empty() {
            self.paths(input, &Wanted::default(), used)
        } else {
            self.sort_paths(input, &keys, &Wanted::default(), used)
        };
        let input = cheapest(&sorted, None);
        let ids: Vec<ColumnId> = calls.iter().map(|it| it.0).collect();
        let work = input.rows * (cost::CPU_TUPLE + cost::CPU_OPERATOR * calls.len() as f64);
        Rc::new(Path {
            rows: input.rows,
            width: input.width + self.width(&ids),
            startup: input.startup,
            total: input.total + work,
            order: input.order.clone(),
            constant: input.constant.clone(),
            op: PathOp::Window {
                input,
                partition: partition.to_vec(),
                order: order.to_vec(),
                calls: calls.to_vec(),
            },
        })
    }

    fn recursive_path(
        &self,
        anchor: &(Logical, Vec<ColumnId>),
        step: &(Logical, Vec<ColumnId>),
        columns: &[ColumnId],
        working: usize,
        distinct: bool,
        used: &ColumnSet,
    ) -> Rc<Path> {
        let best = |part: &(Logical, Vec<ColumnId>)| {
            (cheapest(&self.paths(&part.0, &Wanted::default(), used), None), part.1.clone())
        };
        let (anchor, step) = (best(anchor), best(step));
        // As PostgreSQL guesses: ten rounds.
        let rows = anchor.0.rows + 10.0 * step.0.rows;
        Rc::new(Path {
            rows,
            width: self.width(columns),
            startup: anchor.0.startup,
            total: anchor.0.total + 10.0 * step.0.total + rows * cost::CPU_TUPLE,
            order: Vec::new(),
            constant: Vec::new(),
            op: PathOp::Recursive { anchor, step, columns: columns.to_vec(), working, distinct },
        })
    }

    fn apply_paths(
        &self,
        (left, right): (&Logical, &Logical),
        kind: JoinKind,
        on: &[Expr],
        args: &[(usize, Expr)],
        wanted: &Wanted,
        used: &ColumnSet,
    ) -> Vec<Rc<Path>> {
        let mut tables = Tables::of(left, self);
        tables.add(right, self);
        let share = self.selectivity(on, &tables);
        let outer = cheapest(&self.paths(left, &Wanted { row_count: None, ..wanted.clone() }, used), None);
        let inner = cheapest(&self.paths(right, &Wanted::default(), used), None);
        let matches = (outer.rows * inner.rows * share).max(1.0);
        let rows = if kind == JoinKind::Left { matches.max(outer.rows) } else { matches };
        vec![Rc::new(Path {
            rows,
            width: outer.width + inner.width,
            startup: outer.startup + inner.startup,
            total: outer.total + outer.rows * (inner.total + cost::ROW_FETCH) + rows * cost::CPU_TUPLE,
            order: Vec::new(),
            constant: outer.constant.clone(),
            op: PathOp::Apply { left: outer, right: inner, kind, on: on.to_vec(), args: args.to_vec() },
        })]
    }

    pub(super) fn width(&self, columns: &[ColumnId]) -> f64 {
        columns.iter().map(|id| crate::optimize::width_of(self.columns[*id].ty)).sum()
    }

    pub(super) fn filter_path(&self, input: Rc<Path>, predicates: Vec<Expr>, share: f64) -> Rc<Path> {
        let work = input.rows * cost::CPU_OPERATOR * predicates.len() as f64;
        Rc::new(Path {
            rows: (input.rows * share).max(1.0),
            width: input.width,
            startup: input.startup,
            total: input.total + work,
            order: input.order.clone(),
            constant: input.constant.clone(),
            op: PathOp::Filter { input, predicates },
        })
    }

    fn extend_path(&self, input: Rc<Path>, exprs: &[(ColumnId, Expr)]) -> Rc<Path> {
        let ids: Vec<ColumnId> = exprs.iter().map(|it| it.0).collect();
        Rc::new(Path {
            rows: input.rows,
            width: input.width + self.width(&ids),
            startup: input.startup,
            total: input.total + input.rows * cost::CPU_OPERATOR * exprs.len() as f64,
            order: input.order.clone(),
            constant: input.constant.clone(),
            op: PathOp::Extend { input, exprs: exprs.to_vec() },
        })
    }

    fn values_path(&self, columns: &[ColumnId], rows: &[Vec<Expr>]) -> Path {
        let count = rows.len() as f64;
        Path {
            rows: count,
            width: self.width(columns),
            startup: 0.0,
            total: count * cost::CPU_TUPLE,
            order: Vec::new(),
            constant: Vec::new(),
            op: PathOp::Values { columns: columns.to_vec(), rows: rows.to_vec() },
        }
    }

    fn aggregate_paths(
        &self,
        input: &Logical,
        groups: &[(ColumnId, Expr)],
        aggregates: &[(ColumnId, AggregateCall)],
        wanted: &Wanted,
        used: &ColumnSet,
    ) -> Vec<Rc<Path>> {
        let tables = Tables::of(input, self);
        let exprs: Vec<&Expr> = groups.iter().map(|it| &it.1).collect();
        let inner: Option<Vec<ColumnId>> = exprs
            .iter()
            .map(|expr| match expr {
                Expr::Column { id, .. } => Some(*id),
                _ => None,
            })
            .collect();
        let order = self.group_order(groups, wanted);
        let inputs = self.paths(input, &Wanted { order, row_count: None }, used);
        let mut ids: Vec<ColumnId> = groups.iter().map(|it| it.0).collect();
        ids.extend(aggregates.iter().map(|it| it.0));
        let width = self.width(&ids);
        let work = cost::CPU_OPERATOR * (groups.len() + aggregates.len()) as f64;
        let mut paths = Vec::new();
        for input in &inputs {
            let sorted =
                !groups.is_empty() && inner.as_ref().is_some_and(|inner| grouped_order(input, inner));
            let rows = if groups.is_empty() { 1.0 } else { self.group_count(&exprs, input.rows, &tables) };
            let bytes = rows * (width + 32.0);
            let spills = !sorted && bytes > cost::WORK_MEMORY_BYTES;
            let spill =
                if spills { 2.0 * input.rows * input.width / cost::PAGE_BYTES * cost::SEQ_PAGE } else { 0.0 };
            // A hash table costs a little more a row than comparing with the row before.
            let hashing = if groups.is_empty() || sorted { 0.0 } else { cost::CPU_OPERATOR };
            let method = cost::of_method(sorted || groups.is_empty() || self.methods.hash_aggregate);
            let total = input.total + input.rows * (work + hashing) + rows * cost::CPU_TUPLE + spill + method;
            paths.push(Rc::new(Path {
                rows,
                width,
                startup: if sorted { input.startup } else { total },
                total,
                // Even sorted input may be grouped by hashing: the groups come in no order.
                order: Vec::new(),
                constant: Vec::new(),
                op: PathOp::Aggregate {
                    input: input.clone(),
                    groups: groups.to_vec(),
                    aggregates: aggregates.to_vec(),
                    sorted,
                },
            }));
        }
        paths
    }

    /// The input order in which groups come together, the parent's wish first.
    fn group_order(&self, groups: &[(ColumnId, Expr)], wanted: &Wanted) -> Vec<LogicalKey> {
        let input_of = |id: ColumnId| {
            groups.iter().find(|it| it.0 == id).and_then(|it| match &it.1 {
                Expr::Column { id, .. } => Some(*id),
                _ => None,
            })
        };
        let mut order: Vec<LogicalKey> = Vec::with_capacity(groups.len());
        for key in &wanted.order {
            let Some(column) = input_of(key.column) else { break };
            order.push(LogicalKey { column, ..*key });
        }
        for (_, expr) in groups {
            match expr {
                Expr::Column { id, .. } if order.iter().all(|key| key.column != *id) => {
                    order.push(LogicalKey { column: *id, descending: false, nulls_first: false });
                }
                _ => {}
            }
        }
        order
    }

    fn sort_paths(
        &self,
        input: &Logical,
        keys: &[LogicalKey],
        wanted: &Wanted,
        used: &ColumnSet,
    ) -> Vec<Rc<Path>> {
        let limit = wanted.row_count.filter(|rows| *rows < 1e6);
        // How many rows are wanted is said of this order only: a sort further down must keep all of its own.
        let inputs = self.paths(input, &Wanted { order: keys.to_vec(), row_count: None }, used);
        let not_null = |id: ColumnId| self.is_not_null(input, id);
        let mut paths = Vec::with_capacity(inputs.len());
        for input in inputs {
            if input.satisfies(keys, not_null) {
                paths.push(input);
                continue;
            }
            let total =
                input.total + sort_cost(input.rows, input.width, limit) + cost::of_method(self.methods.sort);
            paths.push(Rc::new(Path {
                rows: input.rows,
                width: input.width,
                startup: total,
                total: total + cost::CPU_OPERATOR * input.rows,
                order: keys.to_vec(),
                constant: input.constant.clone(),
                op: PathOp::Sort { input, keys: keys.to_vec(), limit: limit.map(|rows| rows as u64) },
            }));
        }
        paths
    }

    fn limit_paths(
        &self,
        input: &Logical,
        limit: &Option<Expr>,
        offset: &Option<Expr>,
        wanted: &Wanted,
        used: &ColumnSet,
    ) -> Vec<Rc<Path>> {
        let count = |expr: &Option<Expr>| match expr {
            Some(Expr::Literal { value: Datum::Int8(rows), .. }) if *rows >= 0 => Some(*rows as f64),
            _ => None,
        };
        let skipped = if offset.is_some() { count(offset) } else { Some(0.0) };
        let rows = count(limit).zip(skipped).map(|(limit, skipped)| limit + skipped);
        // Not known: a tenth, as PostgreSQL guesses; never for the size of a top-N.
        let inner = Wanted { order: wanted.order.clone(), row_count: rows };
        let inputs = self.paths(input, &inner, used);
        let best = cheapest(&inputs, rows);
        let taken = match rows {
            Some(rows) => rows.min(best.rows),
            None if limit.is_some() => (best.rows / 10.0).max(1.0),
            None => best.rows,
        };
        let given = (taken - skipped.unwrap_or(0.0)).max(0.0);
        vec![Rc::new(Path {
            rows: given.max(1.0).min(best.rows.max(1.0)),
            width: best.width,
            startup: best.startup,
            total: best.cost_of(Some(taken)),
            order: best.order.clone(),
            constant: best.constant.clone(),
            op: PathOp::Limit { input: best, limit: limit.clone(), offset: offset.clone() },
        })]
    }

    /// The order that is wanted is that of other columns: only how many rows are wanted counts below.
    fn lock_path(
        &self,
        input: &Logical,
        rows: &LockRows,
        recheck: &Option<Expr>,
        wanted: &Wanted,
        used: &ColumnSet,
    ) -> Rc<Path> {
        let mut used = used.clone();
        rows.old.iter().chain([&rows.key]).for_each(|id| used.insert(*id));
        let below = Wanted { row_count: wanted.row_count, ..Wanted::default() };
        let best = cheapest(&self.paths(input, &below, &used), wanted.row_count);
        Rc::new(Path {
            rows: best.rows,
            width: best.width,
            startup: best.startup,
            total: best.total + best.rows * cost::CPU_TUPLE,
            order: Vec::new(),
            constant: Vec::new(),
            op: PathOp::LockRows { input: best, rows: rows.clone(), recheck: recheck.clone() },
        })
    }

    fn distinct_paths(&self, input: &Logical, columns: &[ColumnId], used: &ColumnSet) -> Vec<Rc<Path>> {
        let tables = Tables::of(input, self);
        let best = cheapest(&self.paths(input, &Wanted::default(), used), None);
        let exprs: Vec<Expr> =
            columns.iter().map(|id| Expr::Column { id: *id, ty: self.columns[*id].ty }).collect();
        let rows = self.group_count(&exprs.iter().collect::<Vec<_>>(), best.rows, &tables);
        let work = cost::CPU_OPERATOR * (columns.len() + 1) as f64;
        vec![Rc::new(Path {
            rows,
            width: self.width(columns),
            startup: best.startup,
            total: best.total + best.rows * work + rows * cost::CPU_TUPLE,
            order: Vec::new(),
            constant: best.constant.clone(),
            op: PathOp::Distinct { input: best, columns: columns.to_vec() },
        })]
    }
}

fn series_path(
    function: Option<&'static SetFunction>,
    args: &[Expr],
    column: ColumnId,
    position: u32,
) -> Path {
    let whole = |expr: &Expr| match expr {
        Expr::Literal { value: Datum::Int4(value), .. } => Some(f64::from(*value)),
        Expr::Literal { value: Datum::Int8(value), .. } => Some(*value as f64),
        _ => None,
    };
    let step = args.get(2).map_or(Some(1.0), whole).filter(|step| *step != 0.0);
    let rows = match (function, args) {
        // What an array or a text is taken apart into.
        (Some(_), _) => 10.0,
        (None, [first, last, ..]) => match (whole(first), whole(last), step) {
            (Some(first), Some(last), Some(step)) => ((last - first) / step + 1.0).max(1.0).trunc(),
            _ => 1000.0,
        },
        _ => 1000.0,
    };
    Path {
        rows,
        width: 8.0,
        startup: 0.0,
        total: rows * cost::CPU_TUPLE,
        order: Vec::new(),
        constant: Vec::new(),
        op: PathOp::Series { function, args: args.to_vec(), column, position },
    }
}

/// Whether rows of equal group columns come one after the other.
fn grouped_order(input: &Path, groups: &[ColumnId]) -> bool {
    let varying: Vec<ColumnId> = groups.iter().copied().filter(|id| !input.constant.contains(id)).collect();
    let prefix = input.order.iter().take(varying.len());
    prefix.len() == varying.len() && prefix.into_iter().all(|key| varying.contains(&key.column))
}
