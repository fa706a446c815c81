//! How many rows a condition lets through (PostgreSQL's selfuncs), from what ANALYZE found, with PostgreSQL's defaults
//! where it found nothing.

use super::{Planner, cost};
use crate::catalog::{ColumnStatistics, Table};
use crate::datum::Datum;
use crate::expr::{Expr, SubqueryUse};
use crate::plan::logical::ColumnId;
use std::cmp::Ordering;

const DEFAULT_EQUAL: f64 = 0.005;
const DEFAULT_INEQUALITY: f64 = 1.0 / 3.0;
const DEFAULT_RANGE: f64 = 0.005;
const DEFAULT_MATCH: f64 = 0.005;
const DEFAULT_NULL: f64 = 0.005;
const DEFAULT_OTHER: f64 = 0.5;
const DEFAULT_DISTINCT: f64 = 200.0;

/// Rows of a table.
pub(super) fn table_rows(table: &Table) -> f64 {
    table.statistics.as_ref().map_or(cost::ROW_COUNT_UNKNOWN, |it| (it.row_count as f64).max(1.0))
}

/// Pages of a table's rows.
pub(super) fn table_pages(table: &Table) -> f64 {
    let bytes = match &table.statistics {
        Some(statistics) => statistics.byte_count as f64,
        None => cost::ROW_COUNT_UNKNOWN * 32.0 * table.columns.len() as f64,
    };
    (bytes / cost::PAGE_BYTES).ceil().max(1.0)
}

/// What is known of one column of a table.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    rows: f64,
    unique: bool,
    statistics: Option<&'a ColumnStatistics>,
}

impl<'a> Known<'a> {
    pub(super) fn of(table: &'a Table, ordinal: usize) -> Known<'a> {
        let unique = table.primary_key == [ordinal]
            || table
                .indexes
                .iter()
                .any(|it| it.unique && it.columns.len() == 1 && it.columns[0].ordinal == ordinal);
        let statistics = table.statistics.as_ref().and_then(|it| it.columns.get(ordinal));
        Known { rows: table_rows(table), unique, statistics }
    }

    fn null_fraction(&self) -> f64 {
        self.statistics.map_or(0.0, |it| it.null_fraction)
    }

    pub(super) fn distinct(&self) -> f64 {
        if self.unique {
            return self.rows;
        }
        match self.statistics {
            Some(statistics) if statistics.distinct_count >= 1.0 => statistics.distinct_count.min(self.rows),
            Some(_) => 1.0,
            None => DEFAULT_DISTINCT.min(self.rows),
        }
    }

    fn equal(&self, value: Option<&Datum>) -> f64 {
        if self.unique {
            return 1.0 / self.rows;
        }
        let Some(statistics) = self.statistics else { return DEFAULT_EQUAL };
        let common: f64 = statistics.most_common.iter().map(|it| it.1).sum();
        let rest = (1.0 - statistics.null_fraction - common).max(0.0);
        let rest_distinct = (self.distinct() - statistics.most_common.len() as f64).max(1.0);
        match value {
            None => ((1.0 - statistics.null_fraction) / self.distinct()).min(1.0),
            Some(value) => {
                let is_it = |it: &&(Datum, f64)| compare(&it.0, value) == Some(Ordering::Equal);
                match statistics.most_common.iter().find(is_it) {
                    Some((_, share)) => *share,
                    None => (rest / rest_distinct).min(rest),
                }
            }
        }
    }

    /// Share of rows below `value` (or equal to it).
    fn below(&self, value: Option<&Datum>, inclusive: bool) -> f64 {
        let (Some(statistics), Some(value)) = (self.statistics, value) else { return DEFAULT_INEQUALITY };
        let wanted = |order: Option<Ordering>| {
            order == Some(Ordering::Less) || inclusive && order == Some(Ordering::Equal)
        };
        let mut common = 0.0;
        let mut common_all = 0.0;
        for (known, share) in &statistics.most_common {
            common_all += share;
            if wanted(compare(known, value)) {
                common += share;
            }
        }
        let rest = (1.0 - statistics.null_fraction - common_all).max(0.0);
        let in_rest = match histogram_fraction(&statistics.histogram, value) {
            Some(fraction) => fraction * rest,
            None if statistics.most_common.is_empty() => return DEFAULT_INEQUALITY,
            None => rest * DEFAULT_INEQUALITY,
        };
        // Never quite none: the statistics are older than the data.
        (common + in_rest).clamp(1e-6, 1.0)
    }
}

fn histogram_fraction(bounds: &[Datum], value: &Datum) -> Option<f64> {
    if bounds.len() < 2 {
        return None;
    }
    let buckets = (bounds.len() - 1) as f64;
    let above = bounds.partition_point(|bound| compare(bound, value) == Some(Ordering::Less));
    if above == 0 {
        return Some(0.0);
    }
    if above == bounds.len() {
        return Some(1.0);
    }
    let (low, high) = (&bounds[above - 1], &bounds[above]);
    let within = match (scalar(low), scalar(high), scalar(value)) {
        (Some(low), Some(high), Some(value)) if high > low => ((value - low) / (high - low)).clamp(0.0, 1.0),
        _ => 0.5,
    };
    Some(((above - 1) as f64 + within) / buckets)
}

fn scalar(value: &Datum) -> Option<f64> {
    Some(match value {
        Datum::Bool(value) => f64::from(u8::from(*value)),
        Datum::Int2(value) => f64::from(*value),
        Datum::Int4(value) | Datum::Date(value) => f64::from(*value),
        Datum::Int8(value) | Datum::Timestamp(value) | Datum::Timestamptz(value) | Datum::Time(value) => {
            *value as f64
        }
        Datum::Float4(value) => f64::from(*value),
        Datum::Float8(value) => *value,
        Datum::Numeric(value) => value.to_f64(),
        _ => return None,
    })
}

fn compare(a: &Datum, b: &Datum) -> Option<Ordering> {
    match (a, b) {
        (Datum::Int8(a), Datum::Int8(b)) => Some(a.cmp(b)),
        // Of character(n) one side may be padded; for an estimate blanks at the end never matter.
        (Datum::Text(a), Datum::Text(b)) => Some(a.trim_end_matches(' ').cmp(b.trim_end_matches(' '))),
        (Datum::Bytea(a), Datum::Bytea(b)) => Some(a.cmp(b)),
        (Datum::Uuid(a), Datum::Uuid(b)) => Some(a.cmp(b)),
        (Datum::Jsonb(_), Datum::Jsonb(_)) | (Datum::Array(_), Datum::Array(_)) => Some(a.order(b)),
        (Datum::Interval(a), Datum::Interval(b)) => (a == b).then_some(Ordering::Equal),
        (a, b) => Some(scalar(a)?.total_cmp(&scalar(b)?)),
    }
}

fn plain(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast { input, .. } => plain(input),
        other => other,
    }
}

fn literal(expr: &Expr) -> Option<&Datum> {
    match expr {
        Expr::Literal { value, .. } if !value.is_null() => Some(value),
        _ => None,
    }
}

impl Planner {
    /// What is known of a column, given the scans it may come from.
    fn known<'a>(&self, expr: &Expr, tables: &'a Tables<'a>) -> Option<(ColumnId, Option<Known<'a>>)> {
        let Expr::Column { id, .. } = plain(expr) else { return None };
        let known = self.columns[*id]
            .origin
            .and_then(|(occurrence, ordinal)| tables.find(occurrence).map(|table| Known::of(table, ordinal)));
        Some((*id, known))
    }

    /// The share of rows for which all of the predicates are true.
    pub(super) fn selectivity(&self, predicates: &[Expr], tables: &Tables<'_>) -> f64 {
        let mut share = 1.0;
        let mut ranges: Vec<(ColumnId, Option<f64>, Option<f64>, f64)> = Vec::new();
        for predicate in predicates {
            match self.range(predicate, tables) {
                Some((id, is_lower, part, nulls)) => {
                    let at = ranges.iter().position(|it| it.0 == id).unwrap_or_else(|| {
                        ranges.push((id, None, None, nulls));
                        ranges.len() - 1
                    });
                    let bound = if is_lower { &mut ranges[at].1 } else { &mut ranges[at].2 };
                    *bound = Some(bound.map_or(part, |before: f64| before.min(part)));
                }
                None => share *= self.one(predicate, tables),
            }
        }
        for (_, lower, upper, nulls) in ranges {
            share *= match (lower, upper) {
                // Both from the defaults: PostgreSQL's guess for a pair.
                (Some(low), Some(high)) if low == DEFAULT_INEQUALITY && high == DEFAULT_INEQUALITY => {
                    DEFAULT_RANGE
                }
                (Some(low), Some(high)) => (low + high - 1.0 + nulls).max(1e-6),
                (Some(part), None) | (None, Some(part)) => part,
                (None, None) => 1.0,
            };
        }
        share.clamp(0.0, 1.0)
    }

    /// `column < constant` and its kin: the column, whether the bound is a lower one, the share, the share of NULLs.
    fn range(&self, predicate: &Expr, tables: &Tables<'_>) -> Option<(ColumnId, bool, f64, f64)> {
        let Expr::Call { function, args, .. } = predicate else { return None };
        let [a, b] = args.as_slice() else { return None };
        let (column, constant, op) = match (plain(a), plain(b)) {
            (Expr::Column { .. }, _) if !b.has_columns() => (a, b, function.name),
            (_, Expr::Column { .. }) if !a.has_columns() => (b, a, flipped(function.name)?),
            _ => return None,
        };
        let is_lower = match op {
            "<" | "<=" => false,
            ">" | ">=" => true,
            _ => return None,
        };
        let (id, known) = self.known(column, tables)?;
        let Some(known) = known else { return Some((id, is_lower, DEFAULT_INEQUALITY, 0.0)) };
        let inclusive = op == "<=" || op == ">";
        let below = known.below(literal(constant), inclusive);
        let share = match is_lower {
            true if below == DEFAULT_INEQUALITY => DEFAULT_INEQUALITY,
            true => (1.0 - known.null_fraction() - below).clamp(1e-6, 1.0),
            false => below,
        };
        Some((id, is_lower, share, known.null_fraction()))
    }

    fn one(&self, predicate: &Expr, tables: &Tables<'_>) -> f64 {
        match predicate {
            Expr::Literal { value, .. } => f64::from(u8::from(*value == Datum::Bool(true))),
            Expr::And(parts) => self.selectivity(parts, tables),
            Expr::Or(parts) => {
                1.0 - parts
                    .iter()
                    .map(|it| 1.0 - self.selectivity(std::slice::from_ref(it), tables))
                    .product::<f64>()
            }
            Expr::Not(inner) => match &**inner {
                Expr::IsNull(_) | Expr::Literal { .. } => 1.0 - self.one(inner, tables),
                inner => 1.0 - self.selectivity(std::slice::from_ref(inner), tables),
            },
            Expr::IsNull(input) => match self.known(input, tables) {
                Some((_, Some(known))) if known.statistics.is_some() => known.null_fraction(),
                _ => DEFAULT_NULL,
            },
            Expr::IsNotDistinct(a, b) => self.equality(a, b, tables),
            Expr::InList { input, list } => match self.known(input, tables) {
                Some((_, Some(known))) => list.iter().map(|it| known.equal(Some(it))).sum::<f64>().min(1.0),
                _ => (DEFAULT_EQUAL * list.len() as f64).min(1.0),
            },
            Expr::Call { function, args, .. } if args.len() == 2 => match function.name {
                "=" => self.equality(&args[0], &args[1], tables),
                "<>" => 1.0 - self.equality(&args[0], &args[1], tables),
                "~~" | "~~*" => DEFAULT_MATCH,
                "!~~" | "!~~*" => 1.0 - DEFAULT_MATCH,
                "<" | "<=" | ">" | ">=" => DEFAULT_INEQUALITY,
                _ => DEFAULT_OTHER,
            },
            Expr::Column { .. } => match self.known(predicate, tables) {
                Some((_, Some(known))) if known.statistics.is_some() => known.equal(Some(&Datum::Bool(true))),
                _ => DEFAULT_OTHER,
            },
            Expr::Subquery { kind: SubqueryUse::In(_), .. } => DEFAULT_OTHER,
            _ => DEFAULT_OTHER,
        }
    }

    fn equality(&self, a: &Expr, b: &Expr, tables: &Tables<'_>) -> f64 {
        match (self.known(a, tables), self.known(b, tables)) {
            (Some((_, a)), Some((_, b))) => {
                let distinct = |known: Option<Known<'_>>| known.map_or(DEFAULT_DISTINCT, |it| it.distinct());
                let nulls = |known: Option<Known<'_>>| known.map_or(0.0, |it| it.null_fraction());
                (1.0 - nulls(a)) * (1.0 - nulls(b)) / distinct(a).max(distinct(b))
            }
            (Some((_, Some(known))), None) if !b.has_columns() => known.equal(literal(b)),
            (None, Some((_, Some(known)))) if !a.has_columns() => known.equal(literal(a)),
            _ => DEFAULT_EQUAL,
        }
    }

    /// How many groups `rows` rows fall into.
    pub(super) fn group_count(&self, groups: &[&Expr], rows: f64, tables: &Tables<'_>) -> f64 {
        let mut count = 1.0;
        for group in groups {
            let mut one: f64 = 1.0;
            let mut ids = Vec::new();
            group.each_column(&mut |id| ids.push(id));
            for id in ids {
                let column = Expr::Column { id, ty: self.columns[id].ty };
                one *= match self.known(&column, tables) {
                    Some((_, Some(known))) => known.distinct(),
                    _ => DEFAULT_DISTINCT,
                };
            }
            count *= one;
        }
        count.min(rows).max(1.0)
    }
}

fn flipped(op: &str) -> Option<&'static str> {
    Some(match op {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        _ => return None,
    })
}

/// The tables below a node, by occurrence.
#[derive(Default)]
pub(super) struct Tables<'a>(Vec<(usize, &'a Table)>);

impl<'a> Tables<'a> {
    /// Those of a logical tree.
    pub(super) fn of(node: &'a crate::plan::logical::Logical, planner: &Planner) -> Tables<'a> {
        let mut tables = Tables::default();
        tables.add(node, planner);
        tables
    }

    pub(super) fn add(&mut self, node: &'a crate::plan::logical::Logical, planner: &Planner) {
        use crate::plan::logical::Logical;
        match node {
            Logical::Scan { table, columns } => {
                let occurrence = columns.iter().find_map(|(_, id)| planner.columns[*id].origin);
                if let Some((occurrence, _)) = occurrence {
                    self.0.push((occurrence, table));
                }
            }
            Logical::Values { .. }
            | Logical::Series { .. }
            | Logical::Live { .. }
            | Logical::Working { .. }
            | Logical::Recursive { .. } => {}
            Logical::Filter { input, .. }
            | Logical::Extend { input, .. }
            | Logical::Aggregate { input, .. }
            | Logical::Sort { input, .. }
            | Logical::Window { input, .. }
            | Logical::Limit { input, .. }
            | Logical::LockRows { input, .. }
            | Logical::Distinct { input, .. } => self.add(input, planner),
            Logical::Join { left, right, .. } | Logical::Apply { left, right, .. } => {
                self.add(left, planner);
                self.add(right, planner);
            }
            Logical::Append { inputs, .. } => inputs.iter().for_each(|it| self.add(&it.0, planner)),
        }
    }

    fn find(&self, occurrence: usize) -> Option<&'a Table> {
        self.0.iter().find(|it| it.0 == occurrence).map(|it| it.1)
    }
}
