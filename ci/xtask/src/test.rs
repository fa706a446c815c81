//! `cargo xtask test`: the table of everything that must hold. `.ci/run` calls it, and so does a contributor.
//!
//! To add a check, add a row to [`STEPS`]. Counts are fixed, never seconds, so that a slow machine runs the same tests.

use crate::command::{Failure, Outcome, cargo};
use crate::step::{Step, run_all};
use crate::{cargo_deny, tidy, tools, wasm};

const STEPS: &[Step] = &[
    Step { name: "format", is_slow: false, run: format },
    Step { name: "tidy", is_slow: false, run: tidy::run },
    Step { name: "deny", is_slow: false, run: cargo_deny::run },
    Step { name: "clippy", is_slow: false, run: clippy },
    Step { name: "tests", is_slow: false, run: tests },
    Step { name: "doctests", is_slow: false, run: doctests },
    Step { name: "wasm", is_slow: false, run: wasm::run },
    Step { name: "slow tests", is_slow: true, run: slow_tests },
    Step { name: "bench", is_slow: true, run: build_bench },
];

/// Runs every step, the slow ones only when `full`.
pub fn run(full: bool) -> Result<Outcome, Failure> {
    run_all(STEPS, full)
}

fn format() -> Result<Outcome, Failure> {
    cargo(&["fmt", "--all", "--", "--check"]).run()
}

fn clippy() -> Result<Outcome, Failure> {
    cargo(&["clippy", "--locked", "--all-targets", "--", "-D", "warnings"]).run()
}

fn tests() -> Result<Outcome, Failure> {
    match tools::has_nextest() {
        true => cargo(&["nextest", "run", "--locked", "--no-fail-fast"]).run(),
        false => cargo(&["test", "--locked", "--no-fail-fast", "--lib", "--bins", "--tests"]).run(),
    }
}

/// Apart from the other tests, because nextest does not run them.
fn doctests() -> Result<Outcome, Failure> {
    cargo(&["test", "--locked", "--doc"]).run()
}

/// The tests marked `#[ignore]`: they take minutes, and need the whole year of flights (`ORRERY_FLIGHTS`).
fn slow_tests() -> Result<Outcome, Failure> {
    cargo(&["test", "--locked", "--test", "verbs", "--test", "flights", "--", "--ignored", "--nocapture"])
        .run()
}

/// The peers are C libraries: building them is slow.
fn build_bench() -> Result<Outcome, Failure> {
    cargo(&["check", "--locked", "-p", "orrery-bench", "--all-targets"]).run()
}
