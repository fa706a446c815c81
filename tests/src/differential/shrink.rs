//! Makes a finding small: fewer rows, fewer indexes, a smaller query, as long as the same comparison still fails.

use super::generate::Table;
use super::oracle::{Finding, Lab};
use super::query::{Expr, From, Query, Source};

/// Trials after which it is small enough.
const TRIAL_COUNT_MAX: usize = 4000;

/// A case that fails.
#[derive(Clone)]
pub struct Case {
    /// Its tables.
    pub tables: Vec<Table>,
    /// Whether they were checkpointed and analysed before.
    pub is_settled: bool,
    /// Its query.
    pub query: Query,
    /// What it shows.
    pub finding: Finding,
}

/// Runs a query on fresh tables.
pub fn trial(tables: &[Table], is_settled: bool, query: &Query) -> Option<Finding> {
    let mut lab = Lab::new(tables).ok()?;
    if is_settled {
        lab.settle().ok()?;
    }
    lab.query(query)
}

/// The smallest case found; the one given if it does not fail on fresh tables.
pub fn shrink(mut case: Case) -> Case {
    let mut trials = 0;
    loop {
        let before = trials;
        let mut changed = false;
        for smaller in smaller_tables(&case.tables) {
            changed |= step(&mut case, &mut trials, Some(smaller), None);
        }
        'query: loop {
            for smaller in smaller_queries(&case.query) {
                if trials > TRIAL_COUNT_MAX {
                    return case;
                }
                if step(&mut case, &mut trials, None, Some(smaller)) {
                    changed = true;
                    continue 'query;
                }
            }
            break;
        }
        if !changed || trials > TRIAL_COUNT_MAX || trials == before {
            return case;
        }
    }
}

fn step(case: &mut Case, trials: &mut usize, tables: Option<Vec<Table>>, query: Option<Query>) -> bool {
    *trials += 1;
    let (tables, query) =
        (tables.unwrap_or_else(|| case.tables.clone()), query.unwrap_or_else(|| case.query.clone()));
    match trial(&tables, case.is_settled, &query) {
        Some(finding) if finding.is_like(&case.finding) => {
            *case = Case { tables, query, finding, is_settled: case.is_settled };
            true
        }
        _ => false,
    }
}

fn smaller_tables(tables: &[Table]) -> Vec<Vec<Table>> {
    let mut all = Vec::new();
    let mut with = |index: usize, table: Option<Table>| {
        let mut tables = tables.to_vec();
        match table {
            Some(table) => tables[index] = table,
            None => drop(tables.remove(index)),
        }
        all.push(tables);
    };
    for (index, table) in tables.iter().enumerate() {
        with(index, None);
        for number in 0..table.indexes.len() {
            let mut indexes = table.indexes.clone();
            indexes.remove(number);
            with(index, Some(Table { indexes, ..table.clone() }));
        }
        let count = table.rows.len();
        let part = if count > 8 { count / 2 } else { 1 };
        for start in (0..count).step_by(part.max(1)) {
            let mut rows = table.rows.clone();
            rows.drain(start..(start + part).min(count));
            with(index, Some(Table { rows, ..table.clone() }));
        }
    }
    all
}

/// Queries with one thing less.
fn smaller_queries(query: &Query) -> Vec<Query> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Query)| {
        let mut smaller = query.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    if query.set.is_some() {
        with(&|it| it.set = None);
        with(&|it| *it = *it.set.take().expect("it is there").1);
    }
    if query.limit.is_some() {
        with(&|it| (it.order, it.limit) = (Vec::new(), None));
    }
    if query.distinct {
        with(&|it| it.distinct = false);
    }
    if query.having.is_some() {
        with(&|it| it.having = None);
    }
    if query.filter.is_some() {
        with(&|it| it.filter = None);
    }
    for index in 0..query.with.len() {
        with(&|it| drop(it.with.remove(index)));
        for smaller in smaller_queries(&query.with[index].1) {
            with(&|it| it.with[index].1 = smaller.clone());
        }
    }
    for index in 0..query.from.len() {
        with(&|it| drop(it.from.remove(index)));
        for smaller in smaller_from(&query.from[index]) {
            with(&|it| it.from[index] = smaller.clone());
        }
    }
    for index in 0..query.group.len() {
        with(&|it| drop(it.group.remove(index)));
    }
    for index in 0..query.items.len() {
        if query.items.len() > 1 && query.set.is_none() && query.order.is_empty() {
            with(&|it| drop(it.items.remove(index)));
        }
        for smaller in smaller_exprs(&query.items[index]) {
            with(&|it| it.items[index] = smaller.clone());
        }
    }
    for smaller in query.filter.iter().flat_map(smaller_exprs) {
        with(&|it| it.filter = Some(smaller.clone()));
    }
    for smaller in query.having.iter().flat_map(smaller_exprs) {
        with(&|it| it.having = Some(smaller.clone()));
    }
    if let Some((how, other)) = &query.set {
        for smaller in smaller_queries(other) {
            with(&|it| it.set = Some((how, Box::new(smaller.clone()))));
        }
    }
    all
}

fn smaller_from(from: &From) -> Vec<From> {
    let mut all = Vec::new();
    if from.join != "JOIN" && from.on.is_some() {
        all.push(From { join: "JOIN", ..from.clone() });
    }
    for on in from.on.iter().flat_map(smaller_exprs) {
        all.push(From { on: Some(on), ..from.clone() });
    }
    if let Source::Query(query) = &from.source {
        for smaller in smaller_queries(query) {
            all.push(From { source: Source::Query(Box::new(smaller)), ..from.clone() });
        }
    }
    all
}

fn smaller_exprs(expr: &Expr) -> Vec<Expr> {
    let mut all: Vec<Expr> = Vec::new();
    if !expr.args.is_empty() || expr.query.is_some() {
        all.extend(expr.ty.literals().iter().map(|literal| Expr::leaf(*literal, expr.ty)));
    }
    all.extend(expr.args.iter().filter(|arg| arg.ty == expr.ty).cloned());
    for (index, arg) in expr.args.iter().enumerate() {
        for smaller in smaller_exprs(arg) {
            let mut expr = expr.clone();
            expr.args[index] = smaller;
            all.push(expr);
        }
    }
    if let Some(query) = &expr.query {
        for smaller in smaller_queries(query) {
            all.push(Expr { query: Some(Box::new(smaller)), ..expr.clone() });
        }
    }
    all
}
