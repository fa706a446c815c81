//! From what is asked for to how: subqueries become joins ([`unnest`]), rules over the logical plan ([`rules`]), then a choice by cost among access paths, join
//! orders and join methods ([`paths`], [`access`], [`join`]), then the physical plan ([`emit`]).
//!
//! Deterministic (L2): costs are sums and products of plain `f64` (no transcendental function but `log2` of row counts,
//! from a table of integer logarithms), and ties go to the candidate made first.

mod access;
mod bounds;
mod disjunct;
mod emit;
mod hidden;
mod join;
mod nullness;
mod paths;
mod rules;
mod simplify;
mod statistics;
mod unnest;

#[cfg(test)]
mod tests;

use crate::exec::own_exprs;
use crate::plan::logical::{ColumnId, ColumnInfo, LogicalKey, Query, Statement};
use crate::plan::{Op, Plan, PlanNode};
use crate::types::SqlType;
use orrery_base::sorting;
use orrery_base::{Error, Result};

/// What the binder hands over beside the query itself.
pub struct Input {
    /// Columns, subqueries, tables.
    pub statement: Statement,
    /// Types of `$1…`.
    pub param_types: Vec<SqlType>,
    /// What plans may be made of.
    pub methods: Methods,
}

/// What plans may be made of: PostgreSQL's `enable_` settings (ch. 20.7.1). What is switched off is still taken where there
/// is no other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods {
    /// `enable_hashjoin`
    pub hash_join: bool,
    /// `enable_nestloop`, with an index inside or without
    pub nested_loop: bool,
    /// `enable_indexscan`: by a secondary index, or by bounds of the primary key
    pub index_scan: bool,
    /// `enable_seqscan`: a whole table's tree
    pub seq_scan: bool,
    /// `enable_hashagg`
    pub hash_aggregate: bool,
    /// `enable_sort`
    pub sort: bool,
    /// `orrery.decorrelate`: subqueries become joins where a rule allows it
    pub decorrelate: bool,
}

impl Default for Methods {
    fn default() -> Self {
        Methods {
            hash_join: true,
            nested_loop: true,
            index_scan: true,
            seq_scan: true,
            hash_aggregate: true,
            sort: true,
            decorrelate: true,
        }
    }
}

/// The cost units (PostgreSQL's names and values, but the last: rows are fetched from a tree in memory, mostly).
mod cost {
    pub(super) const SEQ_PAGE: f64 = 1.0;
    pub(super) const CPU_TUPLE: f64 = 0.01;
    pub(super) const CPU_INDEX_TUPLE: f64 = 0.005;
    pub(super) const CPU_OPERATOR: f64 = 0.0025;
    /// One descent of a tree to one row.
    pub(super) const ROW_FETCH: f64 = 0.5;
    /// Bytes a sort or a hash table may take before it is reckoned to spill.
    pub(super) const WORK_MEMORY_BYTES: f64 = 64e6;
    pub(super) const PAGE_BYTES: f64 = 8192.0;
    /// Rows of a table that was never analysed.
    pub(super) const ROW_COUNT_UNKNOWN: f64 = 1000.0;

    /// What a method costs beside its work: nothing, or more than any work if it is switched off.
    pub(super) fn of_method(is_on: bool) -> f64 {
        if is_on { 0.0 } else { 1e10 }
    }
}

/// Plans a query and the subqueries it uses.
pub fn plan(input: Input, query: Query) -> Result<Plan> {
    let Input { statement, param_types, methods } = input;
    let Statement { mut columns, mut subqueries, tables, sequences, hidden } = statement;
    let mut query = query;
    if methods.decorrelate {
        unnest::statement(&mut columns, &mut subqueries, &mut query);
    }
    let planner = Planner { columns, methods, hidden: hidden::Hidden::new(hidden) };
    let mut planned = Vec::with_capacity(subqueries.len());
    for subquery in subqueries {
        planned.push(planner.query(subquery));
    }
    let root = planner.query(query);
    planned.iter().chain([&root]).try_for_each(|node| check_sequences(node, false))?;
    let mut tables = tables;
    sorting::sort_by(&mut tables, |a, b| a.name.cmp(&b.name));
    tables.dedup_by(|a, b| a.id == b.id);
    Ok(Plan { root, subqueries: planned, param_types, tables, sequences })
}

/// Errors: 0A000 where sequence functions would not be called row by row as they are written.
fn check_sequences(node: &PlanNode, mut is_below: bool) -> Result<()> {
    let mut count = 0;
    own_exprs(node, &mut |expr| count += expr.sequence_call_count());
    if count > 0 {
        if is_below || !matches!(node.op, Op::Project { .. } | Op::Values { .. } | Op::Filter { .. }) {
            return Err(Error::unsupported("a sequence function here"));
        }
        is_below = true;
    }
    crate::exec::query::inputs(node).into_iter().try_for_each(|input| check_sequences(input, is_below))
}

/// What planning looks at beside the tree.
struct Planner {
    columns: Vec<ColumnInfo>,
    methods: Methods,
    hidden: hidden::Hidden,
}

/// What the parent would like: rows in this order, and how many of them it will take.
#[derive(Clone, Default)]
struct Wanted {
    order: Vec<LogicalKey>,
    row_count: Option<f64>,
}

/// A set of columns.
#[derive(Clone, Default)]
struct ColumnSet(Vec<u64>);

impl ColumnSet {
    fn insert(&mut self, id: ColumnId) {
        let word = id / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (id % 64);
    }

    fn contains(&self, id: ColumnId) -> bool {
        self.0.get(id / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    fn of(ids: impl IntoIterator<Item = ColumnId>) -> Self {
        let mut set = ColumnSet::default();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

impl Planner {
    fn query(&self, query: Query) -> crate::plan::PlanNode {
        let Query { mut root, output, fields } = query;
        simplify::tree(&mut root);
        let mut root = rules::push_down(root, Vec::new());
        self.hidden.put_in(&mut root);
        let mut used = ColumnSet::of(output.iter().copied());
        rules::used_columns(&root, &mut used);
        let paths = self.paths(&root, &Wanted::default(), &used);
        let best = paths::cheapest(&paths, None);
        self.emit_output(&best, &output, fields)
    }
}

/// Bytes a value takes, about.
fn width_of(ty: SqlType) -> f64 {
    match ty {
        SqlType::Bool => 1.0,
        SqlType::Int2 => 2.0,
        SqlType::Int4 | SqlType::Float4 | SqlType::Date => 4.0,
        SqlType::Int8
        | SqlType::Reg(_)
        | SqlType::Float8
        | SqlType::Timestamp
        | SqlType::Timestamptz
        | SqlType::Time => 8.0,
        SqlType::Decimal { .. } | SqlType::Interval | SqlType::Uuid => 16.0,
        _ => 32.0,
    }
}
