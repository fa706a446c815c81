//! Every operator against a naive model on random rows, in memory and spilling.

use super::testing::{
    AMPLE, Disk, TINY, TYPES, call, column, literal, node, plan, random_rows, run, run_on, run_plan, same,
    sorted, values,
};
use crate::datum::{Datum, Interval};
use crate::expr::{AggregateCall, Expr, SubqueryUse};
use crate::functions::{self, nextval};
use crate::plan::{JoinKind, Op, Plan, PlanNode, SortKey};
use crate::types::SqlType;
use orrery_base::SqlState;
use std::cmp::Ordering;

const KINDS: [JoinKind; 4] = [JoinKind::Inner, JoinKind::Left, JoinKind::Semi, JoinKind::Anti];

fn joined_types(kind: JoinKind) -> Vec<SqlType> {
    let both = matches!(kind, JoinKind::Inner | JoinKind::Left);
    if both { [TYPES, TYPES].concat() } else { TYPES.to_vec() }
}

fn naive_join(
    left: &[Vec<Datum>],
    right: &[Vec<Datum>],
    kind: JoinKind,
    matches: impl Fn(&[Datum], &[Datum]) -> bool,
) -> Vec<Vec<Datum>> {
    let mut joined = Vec::new();
    for a in left {
        let partners: Vec<_> = right.iter().filter(|b| matches(a, b)).collect();
        match kind {
            JoinKind::Inner | JoinKind::Left => {
                joined.extend(partners.iter().map(|b| [a.as_slice(), b.as_slice()].concat()));
                if partners.is_empty() && kind == JoinKind::Left {
                    joined.push([a.as_slice(), &vec![Datum::Null; TYPES.len()]].concat());
                }
            }
            JoinKind::Semi if !partners.is_empty() => joined.push(a.clone()),
            JoinKind::Anti if partners.is_empty() => joined.push(a.clone()),
            _ => {}
        }
    }
    joined
}

fn number(row: &[Datum]) -> i64 {
    let Datum::Int8(number) = row[0] else { panic!("a number first") };
    number
}

/// Left number < right number.
fn less() -> Expr {
    call("<", column(0, SqlType::Int8), column(TYPES.len(), SqlType::Int8))
}

fn hash_join(
    left: &PlanNode,
    right: &PlanNode,
    keys: &[usize],
    kind: JoinKind,
    residual: Option<Expr>,
) -> PlanNode {
    let exprs: Vec<Expr> = keys.iter().map(|&key| column(key, TYPES[key])).collect();
    let op = Op::HashJoin {
        left: Box::new(left.clone()),
        right: Box::new(right.clone()),
        left_keys: exprs.clone(),
        right_keys: exprs,
        kind,
        residual,
    };
    node(op, &joined_types(kind))
}

#[test]
fn hash_joins_agree_with_a_naive_join() {
    let cases: [(&[usize], u64); 4] = [(&[1], 40), (&[2, 3], 3), (&[4], 9), (&[1, 2, 3, 4], 2)];
    for (seed, (keys, spread)) in cases.into_iter().enumerate() {
        let left = random_rows(seed as u64, 700, spread);
        let right = random_rows(100 + seed as u64, 500, spread);
        let (left_node, right_node) = (values(&left, &TYPES), values(&right, &TYPES));
        for kind in KINDS {
            for residual in [false, true] {
                let expected = sorted(&naive_join(&left, &right, kind, |a, b| {
                    keys.iter().all(|&key| same(&a[key], &b[key], false))
                        && (!residual || number(a) < number(b))
                }));
                let join = hash_join(&left_node, &right_node, keys, kind, residual.then(less));
                for budget in [AMPLE, TINY] {
                    let outcome = run(join.clone(), budget).unwrap();
                    assert!(
                        outcome.sorted() == expected,
                        "{keys:?} {kind:?} residual {residual} budget {budget}"
                    );
                    assert_eq!(outcome.written_bytes > 0, budget == TINY, "whether it spilled");
                    assert_eq!(outcome.metrics.node(0).rows, expected.len() as u64);
                }
            }
        }
    }
}

#[test]
fn joins_with_an_empty_side() {
    let some = values(&random_rows(1, 50, 5), &TYPES);
    let none = values(&[], &TYPES);
    for kind in KINDS {
        for (left, right) in [(&some, &none), (&none, &some), (&none, &none)] {
            let unmatched = matches!(kind, JoinKind::Left | JoinKind::Anti) && std::ptr::eq(left, &some);
            let expected = if unmatched { 50 } else { 0 };
            let hash = run(hash_join(left, right, &[1], kind, None), AMPLE).unwrap();
            assert_eq!(hash.rows.len(), expected);
            assert_eq!(run(nested_loop(left, right, kind, None), AMPLE).unwrap().rows.len(), expected);
        }
    }
}

#[test]
fn a_join_of_one_key_only_ends() {
    let rows: Vec<_> = (0..300)
        .map(|n| vec![Datum::Int8(n), Datum::Int4(1), Datum::Null, Datum::Null, Datum::Null])
        .collect();
    let side = values(&rows, &TYPES);
    let outcome = run(hash_join(&side, &side, &[1], JoinKind::Inner, None), TINY).unwrap();
    assert_eq!(outcome.rows.len(), 300 * 300);
}

fn nested_loop(left: &PlanNode, right: &PlanNode, kind: JoinKind, on: Option<Expr>) -> PlanNode {
    let op = Op::NestedLoopJoin { left: Box::new(left.clone()), right: Box::new(right.clone()), kind, on };
    node(op, &joined_types(kind))
}

#[test]
fn nested_loops_agree_with_a_naive_join() {
    let left = random_rows(5, 300, 30);
    let (small, large) = (random_rows(6, 7, 30), random_rows(7, 400, 30));
    let equal = || call("=", column(1, SqlType::Int4), column(TYPES.len() + 1, SqlType::Int4));
    for right in [small, large] {
        let (left_node, right_node) = (values(&left, &TYPES), values(&right, &TYPES));
        for kind in KINDS {
            for conditions in 0..3 {
                let on = [None, Some(less()), Some(Expr::And(vec![equal(), less()]))][conditions].clone();
                let expected = sorted(&naive_join(&left, &right, kind, |a, b| {
                    (conditions < 1 || number(a) < number(b)) && (conditions < 2 || same(&a[1], &b[1], false))
                }));
                for budget in [AMPLE, TINY] {
                    let outcome =
                        run(nested_loop(&left_node, &right_node, kind, on.clone()), budget).unwrap();
                    assert!(outcome.sorted() == expected, "{kind:?} {conditions} {budget}");
                }
            }
        }
    }
}

fn aggregate(name: &str, args: Vec<Expr>, distinct: bool, filter: Option<Expr>) -> AggregateCall {
    let types: Vec<SqlType> = args.iter().map(Expr::ty).collect();
    let fits = |wanted: &[SqlType]| {
        wanted.len() == types.len()
            && wanted.iter().zip(&types).all(|(a, b)| a == b || *a == SqlType::Unknown)
    };
    let overloads = functions::aggregates(name);
    let found = overloads
        .iter()
        .find(|one| one.args == types)
        .or_else(|| overloads.iter().find(|one| fits(one.args)));
    let function = found.expect("there is such an aggregate");
    let ty = match function.result {
        functions::ResultType::Fixed(ty) => ty,
        functions::ResultType::From(from) => from(&types),
    };
    AggregateCall { function, args, order_by: Vec::new(), distinct, filter, ty, position: 1 }
}

/// count(*), sum(number), max(text), count(distinct numeric), count(*) filter (number < 500).
fn calls() -> Vec<AggregateCall> {
    let few = call("<", column(0, SqlType::Int8), literal(Datum::Int8(500), SqlType::Int8));
    vec![
        aggregate("count", vec![], false, None),
        aggregate("sum", vec![column(0, SqlType::Int8)], false, None),
        aggregate("max", vec![column(2, SqlType::Text)], false, None),
        aggregate("count", vec![column(3, SqlType::Numeric)], true, None),
        aggregate("count", vec![], false, Some(few)),
    ]
}

fn naive_aggregate(rows: &[Vec<Datum>], groups: &[usize]) -> Vec<Vec<Datum>> {
    let mut found: Vec<Vec<&Vec<Datum>>> = if groups.is_empty() { vec![vec![]] } else { vec![] };
    for row in rows {
        let fits = |members: &Vec<&Vec<Datum>>| {
            groups.iter().all(|&group| same(&members[0][group], &row[group], true))
        };
        match found.iter_mut().find(|members| groups.is_empty() || fits(members)) {
            Some(members) => members.push(row),
            None => found.push(vec![row]),
        }
    }
    let result = |members: &Vec<&Vec<Datum>>| {
        let mut result: Vec<Datum> = groups.iter().map(|&group| members[0][group].clone()).collect();
        let sum: i64 = members.iter().map(|row| number(row)).sum();
        let texts = members.iter().map(|row| &row[2]).filter(|text| !text.is_null());
        let mut numerics: Vec<&Datum> = Vec::new();
        for row in members {
            if !row[3].is_null() && !numerics.iter().any(|seen| same(seen, &row[3], false)) {
                numerics.push(&row[3]);
            }
        }
        result.push(Datum::Int8(members.len() as i64));
        result.push(match members.is_empty() {
            true => Datum::Null,
            false => Datum::Numeric(orrery_row::numeric::Numeric::from_i64(sum)),
        });
        result.push(texts.max_by(|a, b| a.order(b)).cloned().unwrap_or(Datum::Null));
        result.push(Datum::Int8(numerics.len() as i64));
        result.push(Datum::Int8(members.iter().filter(|row| number(row) < 500).count() as i64));
        result
    };
    found.iter().map(result).collect()
}

fn aggregate_node(input: PlanNode, groups: &[usize], sorted: bool) -> PlanNode {
    let exprs: Vec<Expr> = groups.iter().map(|&group| column(group, TYPES[group])).collect();
    let types: Vec<SqlType> = exprs.iter().map(Expr::ty).chain(calls().iter().map(|call| call.ty)).collect();
    let op = Op::Aggregate { input: Box::new(input), groups: exprs, aggregates: calls(), sorted };
    node(op, &types)
}

#[test]
fn aggregates_agree_with_a_naive_model() {
    let cases: [(&[usize], u64); 5] = [(&[], 1), (&[1], 9), (&[1], 900), (&[3, 4], 1), (&[1, 2], 60)];
    for (seed, (groups, spread)) in cases.into_iter().enumerate() {
        let rows = random_rows(40 + seed as u64, 4500, spread);
        let expected = naive_aggregate(&rows, groups);
        let input = values(&rows, &TYPES);
        let plain = run(aggregate_node(input.clone(), groups, false), AMPLE).unwrap();
        // NaN is not equal to itself in Rust: compare what is shown.
        let shown = |rows: &[Vec<Datum>]| format!("{rows:?}");
        assert_eq!(shown(&plain.rows), shown(&expected), "groups come in the order of their first rows");
        let spilled = run(aggregate_node(input.clone(), groups, false), TINY).unwrap();
        assert_eq!(spilled.sorted(), sorted(&expected), "{groups:?} spilling");
        assert!(spilled.written_bytes > 0 || spread < 10, "{groups:?} spills");
        if !groups.is_empty() {
            let keys = groups.iter().map(|&group| (group, false, false)).collect::<Vec<_>>();
            let streamed = aggregate_node(sort_node(input, &keys, None), groups, true);
            for budget in [AMPLE, TINY] {
                assert_eq!(
                    run(streamed.clone(), budget).unwrap().sorted(),
                    sorted(&expected),
                    "{groups:?} sorted"
                );
            }
        }
    }
}

#[test]
fn aggregates_of_nothing() {
    let none = values(&[], &TYPES);
    let whole = run(aggregate_node(none.clone(), &[], false), AMPLE).unwrap();
    let zero = Datum::Int8(0);
    assert_eq!(whole.rows, [vec![zero.clone(), Datum::Null, Datum::Null, zero.clone(), zero]]);
    for sorted in [false, true] {
        assert!(run(aggregate_node(none.clone(), &[1], sorted), AMPLE).unwrap().rows.is_empty());
    }
}

#[test]
fn a_filtered_aggregate_does_not_evaluate_other_rows() {
    let divide =
        functions::scalars("/").iter().find(|one| one.args == [SqlType::Int8, SqlType::Int8]).unwrap();
    let ten = literal(Datum::Int8(10), SqlType::Int8);
    let args = vec![ten, column(0, SqlType::Int8)];
    let quotient = Expr::Call { function: divide, args, ty: SqlType::Int8, position: 3 };
    let not_zero = call("<>", column(0, SqlType::Int8), literal(Datum::Int8(0), SqlType::Int8));
    for filter in [Some(not_zero), None] {
        let guarded = filter.is_some();
        let call = aggregate("max", vec![quotient.clone()], false, filter);
        let input = values(&random_rows(3, 5, 2), &TYPES);
        let op =
            Op::Aggregate { input: Box::new(input), groups: vec![], aggregates: vec![call], sorted: false };
        match run(node(op, &[SqlType::Int8]), AMPLE) {
            Ok(outcome) => assert!(guarded && outcome.rows == [[Datum::Int8(10)]]),
            Err(error) => {
                assert!(!guarded && error.code() == SqlState::DIVISION_BY_ZERO && error.position() == Some(3))
            }
        }
    }
}

#[test]
fn distinct_agrees_with_a_naive_model() {
    for (seed, spread) in [(1, 4), (2, 500)] {
        let rows: Vec<Vec<Datum>> =
            random_rows(seed, 4500, spread).into_iter().map(|row| row[1..].to_vec()).collect();
        let mut expected: Vec<Vec<Datum>> = Vec::new();
        for row in &rows {
            let seen = |other: &Vec<Datum>| row.iter().zip(other).all(|(a, b)| same(a, b, true));
            if !expected.iter().any(seen) {
                expected.push(row.clone());
            }
        }
        let distinct = node(Op::Distinct { input: Box::new(values(&rows, &TYPES[1..])) }, &TYPES[1..]);
        assert_eq!(format!("{:?}", run(distinct.clone(), AMPLE).unwrap().rows), format!("{expected:?}"));
        let spilled = run(distinct, TINY).unwrap();
        assert!(spilled.written_bytes > 0);
        assert_eq!(spilled.sorted(), sorted(&expected));
    }
}

/// Sorts by (column, descending, nulls first).
fn sort_node(input: PlanNode, keys: &[(usize, bool, bool)], limit: Option<u64>) -> PlanNode {
    let key = |&(id, descending, nulls_first): &(usize, bool, bool)| SortKey {
        expr: column(id, TYPES[id]),
        descending,
        nulls_first,
    };
    node(Op::Sort { input: Box::new(input), keys: keys.iter().map(key).collect(), limit }, &TYPES)
}

fn naive_order(a: &[Datum], b: &[Datum], keys: &[(usize, bool, bool)]) -> Ordering {
    let order = |&(id, descending, nulls_first): &(usize, bool, bool)| {
        let nulls = if nulls_first { Ordering::Less } else { Ordering::Greater };
        match (a[id].is_null(), b[id].is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => nulls,
            (false, true) => nulls.reverse(),
            _ if descending => a[id].order(&b[id]).reverse(),
            _ => a[id].order(&b[id]),
        }
    };
    keys.iter().map(order).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

#[test]
fn sorts_are_stable_and_agree_with_a_naive_sort() {
    let rows = random_rows(9, 9000, 50);
    let input = values(&rows, &TYPES);
    let cases: [&[(usize, bool, bool)]; 5] = [
        &[(1, false, false)],
        &[(2, true, true), (1, false, true)],
        &[(3, true, false), (2, false, true)],
        &[(4, false, false), (3, false, false)],
        &[(0, true, true)],
    ];
    for keys in cases {
        let mut expected = rows.clone();
        expected.sort_by(|a, b| naive_order(a, b, keys));
        for (limit, budget) in [
            (None, AMPLE),
            (None, TINY * 4),
            (Some(0), AMPLE),
            (Some(10), AMPLE),
            (Some(10), TINY),
            (Some(3000), TINY * 4),
        ] {
            let outcome = run(sort_node(input.clone(), keys, limit), budget).unwrap();
            let wanted = limit.map_or(rows.len(), |limit| limit as usize);
            assert!(
                format!("{:?}", outcome.rows) == format!("{:?}", &expected[..wanted]),
                "{keys:?} {limit:?} {budget}"
            );
            assert!(
                outcome.written_bytes > 0 || budget == AMPLE || wanted == 10,
                "{limit:?} {budget} spills"
            );
        }
    }
}

#[test]
fn the_same_input_gives_the_same_order() {
    let side = values(&random_rows(12, 1200, 200), &TYPES);
    let join = hash_join(&side, &side, &[1], JoinKind::Inner, None);
    let groups = aggregate_node(side.clone(), &[1, 2], false);
    let distinct = node(Op::Distinct { input: Box::new(side) }, &TYPES);
    for tree in [join, groups, distinct] {
        let first = run(tree.clone(), TINY).unwrap();
        let second = run(tree, TINY).unwrap();
        assert!(format!("{:?}", first.rows) == format!("{:?}", second.rows));
        assert_eq!((first.metrics, first.written_bytes), (second.metrics, second.written_bytes));
    }
}

#[test]
fn a_damaged_temporary_file_is_reported() {
    let mut disk = Disk { is_damaged: true, ..Disk::default() };
    let sort = sort_node(values(&random_rows(1, 3000, 9), &TYPES), &[(1, false, false)], None);
    let error = run_on(&mut disk, plan(sort), TINY).err().unwrap();
    assert_eq!(error.code(), SqlState::DATA_CORRUPTED);
    assert!(disk.files.is_empty(), "files are removed after an error too");
}

fn int8(value: i64) -> Expr {
    literal(Datum::Int8(value), SqlType::Int8)
}

fn series(args: Vec<Expr>, ty: SqlType) -> PlanNode {
    node(Op::GenerateSeries { function: None, args, position: 5 }, &[ty])
}

fn limited(limit: Option<Expr>, offset: Option<Expr>) -> PlanNode {
    let input = Box::new(series(vec![int8(1), int8(10_000)], SqlType::Int8));
    node(Op::Limit { input, limit, offset }, &[SqlType::Int8])
}

fn numbers(rows: &[Vec<Datum>]) -> Vec<i64> {
    rows.iter().map(|row| number(row)).collect()
}

#[test]
fn limits_and_offsets() {
    let null = || literal(Datum::Null, SqlType::Int8);
    let run = |limit, offset| run(limited(limit, offset), AMPLE);
    assert_eq!(numbers(&run(Some(int8(3)), Some(int8(2046))).unwrap().rows), [2047, 2048, 2049]);
    assert_eq!(run(Some(null()), Some(null())).unwrap().rows.len(), 10_000);
    assert_eq!(run(None, Some(int8(9_990))).unwrap().rows.len(), 10);
    let none = run(Some(int8(0)), None).unwrap();
    assert_eq!((none.rows.len(), none.metrics.node(1).batches), (0, 0), "nothing is pulled for LIMIT 0");
    assert_eq!(run(Some(int8(5)), None).unwrap().metrics.node(1).batches, 1, "it stops pulling");
    assert_eq!(run(Some(int8(-1)), None).err().unwrap().code(), SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE);
    let offset = run(None, Some(int8(-1))).err().unwrap();
    assert_eq!(offset.code(), SqlState::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE);
}

#[test]
fn series_of_every_type() {
    let run = |args, ty| run(series(args, ty), AMPLE);
    let ints = |args: &[i64]| run(args.iter().map(|&value| int8(value)).collect(), SqlType::Int8);
    assert_eq!(numbers(&ints(&[1, 5000]).unwrap().rows), (1..=5000).collect::<Vec<_>>());
    assert_eq!(numbers(&ints(&[5, 1, -2]).unwrap().rows), [5, 3, 1]);
    assert!(ints(&[5, 1]).unwrap().rows.is_empty());
    assert_eq!(numbers(&ints(&[i64::MAX - 1, i64::MAX]).unwrap().rows), [i64::MAX - 1, i64::MAX]);
    assert_eq!(ints(&[1, 2, 0]).err().unwrap().code(), SqlState::INVALID_PARAMETER_VALUE);
    let int4 = |value| literal(value, SqlType::Int4);
    let outcome = run(vec![int4(Datum::Int4(1)), int4(Datum::Null)], SqlType::Int4).unwrap();
    assert!(outcome.rows.is_empty(), "NULL gives no row");
    let numeric = |text: &str| literal(Datum::Numeric(text.parse().unwrap()), SqlType::Numeric);
    let args = vec![numeric("1"), numeric("2"), numeric("0.5")];
    assert_eq!(run(args, SqlType::Numeric).unwrap().rows.len(), 3);
    let day = 86_400_000_000;
    let month = literal(Datum::Interval(Interval { months: 1, ..Interval::default() }), SqlType::Interval);
    let time = |days: i64| literal(Datum::Timestamp(days * day), SqlType::Timestamp);
    let outcome = run(vec![time(0), time(60), month], SqlType::Timestamp).unwrap();
    assert_eq!(outcome.rows, [[0], [31], [59]].map(|[days]| vec![Datum::Timestamp(days * day)]));
}

#[test]
fn filter_project_append_and_values() {
    let rows = random_rows(2, 4000, 10);
    let keep = |low: i64| {
        let predicate = call("<", int8(low), column(0, SqlType::Int8));
        node(Op::Filter { input: Box::new(values(&rows, &TYPES)), predicate }, &TYPES)
    };
    let text = |input: PlanNode| {
        let exprs = vec![column(2, SqlType::Text), int8(7)];
        node(Op::Project { input: Box::new(input), exprs }, &[SqlType::Text, SqlType::Int8])
    };
    let inputs = vec![text(keep(3990)), text(values(&[], &TYPES)), text(keep(3997))];
    let append = node(Op::Append { inputs }, &[SqlType::Text, SqlType::Int8]);
    let expected: Vec<Vec<Datum>> =
        rows[3991..].iter().chain(&rows[3998..]).map(|row| vec![row[2].clone(), Datum::Int8(7)]).collect();
    assert_eq!(run(append, AMPLE).unwrap().rows, expected);
    let one = run(node(Op::Values { rows: vec![vec![]] }, &[]), AMPLE).unwrap();
    assert_eq!(one.rows, [Vec::<Datum>::new()]);
}

#[test]
fn identity_values_are_reserved_by_batch() {
    let args = vec![int8(4), int8(1), int8(i64::MAX)];
    let next = Expr::Call { function: nextval(), args, ty: SqlType::Int8, position: 0 };
    let input = Box::new(series(vec![int8(1), int8(3000)], SqlType::Int8));
    let project = node(Op::Project { input, exprs: vec![next] }, &[SqlType::Int8]);
    assert_eq!(numbers(&run(project, AMPLE).unwrap().rows), (1..=3000).collect::<Vec<_>>());
}

#[test]
fn subqueries_run_once_and_only_as_far_as_wanted() {
    let use_of =
        |index, kind| Expr::Subquery { index, kind, args: Vec::new(), ty: SqlType::Int8, position: 9 };
    let with = |exprs: Vec<Expr>, subqueries: Vec<PlanNode>| {
        let types: Vec<SqlType> = exprs.iter().map(Expr::ty).collect();
        let root = node(Op::Values { rows: vec![exprs] }, &types);
        run_plan(Plan { root, subqueries, param_types: vec![], tables: vec![], sequences: vec![] }, AMPLE)
    };
    let long = || series(vec![int8(1), int8(1_000_000_000)], SqlType::Int8);
    let none = || series(vec![int8(1), int8(0)], SqlType::Int8);
    let one = || series(vec![int8(6), int8(6)], SqlType::Int8);
    assert_eq!(with(vec![use_of(0, SubqueryUse::Scalar)], vec![one()]).unwrap().rows, [[Datum::Int8(6)]]);
    assert_eq!(with(vec![use_of(0, SubqueryUse::Scalar)], vec![none()]).unwrap().rows, [[Datum::Null]]);
    let error = with(vec![use_of(0, SubqueryUse::Scalar)], vec![long()]).err().unwrap();
    assert_eq!((error.code(), error.position()), (SqlState::CARDINALITY_VIOLATION, Some(9)));
    let exists = |index| Expr::Subquery {
        index,
        kind: SubqueryUse::Exists,
        args: Vec::new(),
        ty: SqlType::Bool,
        position: 9,
    };
    let outcome = with(vec![exists(0), exists(1)], vec![long(), none()]).unwrap();
    assert_eq!(outcome.rows, [[Datum::Bool(true), Datum::Bool(false)]]);
    assert_eq!(outcome.metrics.node(1).batches, 1, "EXISTS stops at the first batch");
    // A subquery that uses an earlier one.
    let second = node(Op::Values { rows: vec![vec![use_of(0, SubqueryUse::Scalar)]] }, &[SqlType::Int8]);
    let outcome = with(vec![use_of(1, SubqueryUse::Scalar)], vec![one(), second]).unwrap();
    assert_eq!(outcome.rows, [[Datum::Int8(6)]]);
    let is_in = |value: i64| {
        let kind = SubqueryUse::In(Box::new(int8(value)));
        Expr::Subquery { index: 0, kind, args: Vec::new(), ty: SqlType::Bool, position: 9 }
    };
    let ten = series(vec![int8(1), int8(10)], SqlType::Int8);
    let outcome = with(vec![is_in(10), is_in(11)], vec![ten]).unwrap();
    assert_eq!(outcome.rows, [[Datum::Bool(true), Datum::Bool(false)]]);
}
