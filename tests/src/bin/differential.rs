//! The differential test: `cargo run --release -p orrery-tests --features sqlite --bin differential -- [--from SEED]
//! [--seeds N]`. A seed is a set of tables and [`QUERY_COUNT`] queries over them, run in all ways of
//! [`orrery_tests::differential::oracle`]. A finding is shrunk and printed as a script; the exit status is then 1.
//!
//! Without the feature the comparison with SQLite is left out.

use orrery_tests::differential::run::{self, QUERY_COUNT};
use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut from, mut seeds) = (0u64, 100u64);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let number = args.next().and_then(|value| value.parse().ok());
        match (arg.as_str(), number) {
            ("--from", Some(number)) => from = number,
            ("--seeds", Some(number)) => seeds = number,
            _ => {
                eprintln!("usage: differential [--from SEED] [--seeds N]");
                return ExitCode::from(2);
            }
        }
    }
    let mut total = run::Total::default();
    for seed in from..from + seeds {
        for report in run::seed(seed, &mut total) {
            println!("{report}");
        }
    }
    println!(
        "{seeds} seeds from {from}, {QUERY_COUNT} queries each: {} queries, {} changes, {} comparisons, {} findings",
        total.query_count, total.change_count, total.comparison_count, total.finding_count
    );
    for (what, count) in &total.refused {
        println!("  refused {count}: {what}");
    }
    if total.finding_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
