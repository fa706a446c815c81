//! Plans by their EXPLAIN text, over statistics given by hand: big(1 M rows: id key, grp 100 values, val 1 M values with
//! an index), mid(10 k rows: id key, big_id with an index), small(10 rows: id key).

use crate::bind::{self, Bound};
use crate::catalog::{Catalog, Column, ColumnStatistics, Index, IndexColumn, Table, TableStatistics};
use crate::datum::Datum;
use crate::types::SqlType;
use crate::{explain, parse};
use orrery_base::TreeId;
use std::sync::Arc;

fn table(
    id: u32,
    name: &str,
    rows: u64,
    columns: &[(&str, SqlType, f64)],
    indexes: &[(&str, &[usize])],
) -> Table {
    let column = |(ordinal, (name, ty, _)): (usize, &(&str, SqlType, f64))| Column {
        not_null: ordinal == 0,
        ..Column::new(name, *ty)
    };
    let statistics = columns.iter().map(|(_, ty, distinct)| ColumnStatistics {
        null_fraction: 0.0,
        distinct_count: *distinct,
        mean_width_bytes: 8.0,
        most_common: Vec::new(),
        histogram: match ty {
            SqlType::Int8 => (0..=10).map(|step| Datum::Int8(step * rows as i64 / 10)).collect(),
            _ => Vec::new(),
        },
        correlation: 0.0,
    });
    Table {
        id: TreeId(id),
        tree: TreeId(id),
        name: name.into(),
        schema_version: 1,
        columns: columns.iter().enumerate().map(column).collect(),
        primary_key: vec![0],
        primary_key_name: Some(format!("{name}_pkey")),
        row_id_sequence: None,
        indexes: indexes
            .iter()
            .enumerate()
            .map(|(number, (name, ordinals))| Index {
                tree: TreeId(id + 1 + number as u32),
                name: (*name).into(),
                columns: ordinals.iter().map(|&ordinal| IndexColumn { ordinal, descending: false }).collect(),
                unique: false,
                is_constraint: false,
                predicate: None,
                include: Vec::new(),
            })
            .collect(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        statistics: Some(Arc::new(TableStatistics {
            row_count: rows,
            byte_count: rows * 100,
            columns: statistics.collect(),
        })),
    }
}

fn catalog() -> Catalog {
    let int8 = SqlType::Int8;
    let big = [("id", int8, 1e6), ("grp", int8, 100.0), ("val", int8, 1e6), ("note", SqlType::Text, 1e6)];
    let mid = [("id", int8, 1e4), ("big_id", int8, 1e4), ("kind", SqlType::Text, 5.0)];
    let small = [("id", int8, 10.0), ("name", SqlType::Text, 10.0)];
    let mut catalog = Catalog::default();
    for table in [
        table(1000, "big", 1_000_000, &big, &[("big_val", &[2]), ("big_grp_val", &[1, 2])]),
        table(1010, "mid", 10_000, &mid, &[("mid_big", &[1])]),
        table(1020, "small", 10, &small, &[]),
    ] {
        catalog.tables.insert(table.name.clone(), Arc::new(table));
    }
    catalog
}

fn shape(sql: &str) -> String {
    let parsed = parse::statements(sql).unwrap().remove(0);
    let bound = bind::bind(&parsed, &catalog(), &[], Default::default())
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let Bound::Dml(statement) = bound else { panic!() };
    let lines = explain::text(&statement, true, None);
    let without_costs = lines.iter().map(|line| line.split("  (cost").next().unwrap_or(line).to_owned());
    without_costs.collect::<Vec<_>>().join("\n")
}

fn check(sql: &str, expected: &str) {
    let found = shape(sql);
    assert_eq!(found.trim(), expected.trim(), "\n{sql}\nfound:\n{found}\n");
}

/// The golden plans: a query, then its plan.
const GOLDEN: &str = include_str!("../../tests/golden/plans.txt");

#[test]
fn golden_plans() {
    let mut count = 0;
    for case in GOLDEN.split("\n\n").filter(|case| !case.trim().is_empty() && !case.starts_with('#')) {
        let (sql, plan) = case.trim_start_matches('\n').split_once('\n').expect("a query, then its plan");
        check(sql, plan);
        count += 1;
    }
    assert!(count >= 12, "only {count} golden plans");
}

#[test]
#[ignore = "prints the plans for the golden file"]
fn print_plans() {
    for case in GOLDEN.split("\n\n").filter(|case| !case.trim().is_empty() && !case.starts_with('#')) {
        let sql = case.trim_start_matches('\n').lines().next().unwrap_or("");
        eprintln!("{sql}\n{}\n", shape(sql));
    }
}

#[test]
fn twelve_and_thirteen_relations_are_planned() {
    for count in [12, 13, 20] {
        let from: Vec<String> = (0..count).map(|n| format!("small s{n}")).collect();
        let on: Vec<String> = (1..count).map(|n| format!("s{}.id = s{n}.id", n - 1)).collect();
        let plan = shape(&format!("select count(*) from {} where {}", from.join(", "), on.join(" and ")));
        assert!(plan.contains("Join"), "{plan}");
    }
}

#[test]
fn estimates_follow_statistics() {
    let rows = |sql: &str| {
        let parsed = parse::statements(sql).unwrap().remove(0);
        let Bound::Dml(crate::plan::Statement::Query(plan)) =
            bind::bind(&parsed, &catalog(), &[], Default::default()).unwrap()
        else {
            panic!()
        };
        plan.root.row_estimate
    };
    let near = |sql: &str, expected: f64| {
        let found = rows(sql);
        assert!((found / expected - 1.0).abs() < 0.05, "{sql}: {found} rows, not {expected}");
    };
    near("select * from big where id = 5", 1.0);
    near("select * from big where grp = 5", 10_000.0);
    near("select * from big where val < 250000", 250_000.0);
    near("select * from big where val >= 250000 and val < 350000", 100_000.0);
    near("select * from big where grp in (1, 2, 3)", 30_000.0);
    near("select * from big join mid on big.id = mid.big_id", 10_000.0);
    near("select grp from big group by grp", 100.0);
}
