//! One seed from its tables to its reports.

use super::draw::Draw;
use super::generate::{self, Generator, Table};
use super::oracle::{Finding, Lab};
use super::shrink::{self, Case};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Queries of a seed.
pub const QUERY_COUNT: u64 = 30;
/// Statements of a seed that change rows.
const CHANGE_COUNT: u64 = 6;

/// What all seeds came to.
#[derive(Default)]
pub struct Total {
    /// Queries generated.
    pub query_count: u64,
    /// Statements that change rows.
    pub change_count: u64,
    /// Pairs of answers compared.
    pub comparison_count: u64,
    /// Findings.
    pub finding_count: u64,
    /// What was refused, and how often.
    pub refused: BTreeMap<String, u64>,
}

/// Runs a seed; gives a report a finding.
pub fn seed(seed: u64, total: &mut Total) -> Vec<String> {
    let mut rng = Draw::new(seed);
    let tables = generate::tables(&mut rng);
    let mut reports = Vec::new();
    let mut lab = match Lab::new(&tables) {
        Ok(lab) => lab,
        Err(error) => {
            total.finding_count += 1;
            return vec![format!("seed {seed}: the tables: {} {}", error.code(), error.message())];
        }
    };
    for number in 0..QUERY_COUNT {
        let is_settled = number >= QUERY_COUNT / 2;
        if number == QUERY_COUNT / 2
            && let Err(error) = lab.settle()
        {
            reports.push(format!("seed {seed}: {}", error.message()));
        }
        let query = Generator::new(&mut rng, &tables).statement();
        total.query_count += 1;
        if let Some(finding) = lab.query(&query) {
            let case = shrink::shrink(Case { tables: tables.clone(), is_settled, query, finding });
            reports.push(report(seed, number, &case));
        }
    }
    let mut log = Vec::new();
    for number in 0..CHANGE_COUNT {
        let sql = Generator::new(&mut rng, &tables).change(number + 1);
        total.change_count += 1;
        log.push(sql.clone());
        if let Some(finding) = lab.change(&sql) {
            reports.push(script(seed, &tables, &log, &finding));
            break;
        }
    }
    total.comparison_count += lab.comparison_count;
    total.finding_count += reports.len() as u64;
    for (what, count) in lab.refused {
        *total.refused.entry(what).or_default() += count;
    }
    reports
}

fn report(seed: u64, number: u64, case: &Case) -> String {
    let mut log = Vec::new();
    if case.is_settled {
        log.extend(["CHECKPOINT".to_owned(), "ANALYZE".to_owned()]);
    }
    log.push(case.query.to_string());
    format!("query {number} of {}", script(seed, &case.tables, &log, &case.finding))
}

fn script(seed: u64, tables: &[Table], log: &[String], finding: &Finding) -> String {
    let mut text = format!("seed {seed}: {}\n", finding.oracle);
    for table in tables {
        for sql in std::iter::once(table.create()).chain(table.inserts()).chain(table.create_indexes()) {
            writeln!(text, "{sql};").expect("writing to a string");
        }
    }
    for sql in log {
        writeln!(text, "{sql};").expect("writing to a string");
    }
    if log.last() != Some(&finding.sql) {
        writeln!(text, "-- {};", finding.sql).expect("writing to a string");
    }
    write!(text, "-- expected {:?}\n-- actual   {:?}", finding.expected, finding.actual)
        .expect("writing to a string");
    text
}
