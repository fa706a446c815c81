//! `cargo xtask test`: the table of everything that must hold. `.ci/run` calls it, and so does a contributor.
//!
//! To add a check, add a row to [`STEPS`]. Counts are fixed, never seconds, so that a slow machine runs the same tests.

use crate::command::{Failure, Outcome, cargo, repository_root};
use crate::step::{Step, run_all};
use crate::{cargo_deny, doors, tidy, tools, wasm};

const STEPS: &[Step] = &[
    Step { name: "format", is_slow: false, may_lack_tools: false, run: format },
    Step { name: "tidy", is_slow: false, may_lack_tools: false, run: tidy::run },
    Step { name: "deny", is_slow: false, may_lack_tools: false, run: cargo_deny::run },
    Step { name: "clippy", is_slow: false, may_lack_tools: false, run: clippy },
    Step { name: "tests", is_slow: false, may_lack_tools: false, run: tests },
    Step { name: "doctests", is_slow: false, may_lack_tools: false, run: doctests },
    Step { name: "sim", is_slow: false, may_lack_tools: false, run: simulate },
    Step { name: "plants", is_slow: false, may_lack_tools: false, run: hunt_quickly },
    Step { name: "fuzz", is_slow: false, may_lack_tools: false, run: fuzz_quickly },
    Step { name: "corpora, in part", is_slow: false, may_lack_tools: true, run: corpora_in_part },
    Step { name: "wasm", is_slow: false, may_lack_tools: false, run: wasm::run_quickly },
    Step { name: "door: C", is_slow: false, may_lack_tools: true, run: doors::c::run },
    Step { name: "door: Python", is_slow: false, may_lack_tools: true, run: doors::python::run },
    Step {
        name: "doors: Node, browser",
        is_slow: false,
        may_lack_tools: true,
        run: doors::javascript::run_quickly,
    },
    Step { name: "corpora", is_slow: true, may_lack_tools: false, run: corpora },
    Step { name: "differential", is_slow: true, may_lack_tools: false, run: differential },
    Step { name: "doors, as shipped", is_slow: true, may_lack_tools: true, run: doors::javascript::run },
    Step { name: "slow tests", is_slow: true, may_lack_tools: false, run: slow_tests },
    Step { name: "bench", is_slow: true, may_lack_tools: false, run: build_bench },
    Step { name: "sim at length", is_slow: true, may_lack_tools: false, run: simulate_at_length },
    Step { name: "fuzz at length", is_slow: true, may_lack_tools: false, run: fuzz_at_length },
    Step { name: "plants, all", is_slow: true, may_lack_tools: false, run: hunt_all },
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
    let which = ["--test", "verbs", "--test", "flights", "--test", "tpch"];
    cargo(&["test", "--locked"]).args(which).args(["--", "--ignored", "--nocapture"]).run()
}

/// Fixed seeds, each twice; `sim/tests` replays those that once found something.
fn simulate() -> Result<Outcome, Failure> {
    cargo(&["run", "--locked", "--bin", "orrery-sim", "--", "--seeds", "200", "--twice"]).run()
}

/// As many seeds as an issue asks for; the rare states that a run of that length must reach are listed.
fn simulate_at_length() -> Result<Outcome, Failure> {
    let probes = ["--probes", "tests/seeds/probes.txt"];
    cargo(&["run", "--locked", "--release", "-p", "orrery-sim", "--", "--seeds", "20000"]).args(probes).run()
}

/// The bugs that most seeds would find.
fn hunt_quickly() -> Result<Outcome, Failure> {
    cargo(&["run", "--locked", "-p", "orrery-plants", "--", "--quick"]).run()
}

fn hunt_all() -> Result<Outcome, Failure> {
    cargo(&["run", "--locked", "--release", "-p", "orrery-plants"]).run()
}

/// A few seconds of each target.
fn fuzz_quickly() -> Result<Outcome, Failure> {
    cargo(&["run", "--locked", "--bin", "orrery-fuzz", "--", "--iterations", "100"]).run()
}

fn fuzz_at_length() -> Result<Outcome, Failure> {
    cargo(&["run", "--locked", "--release", "-p", "orrery-fuzz", "--", "--iterations", "20000"]).run()
}

/// A part of SQLite's sample.
fn corpora_in_part() -> Result<Outcome, Failure> {
    if !repository_root().join("../shared/corpora").exists() {
        return Ok(Outcome::Skipped("the corpora are not beside the repository".into()));
    }
    let parts = ["evidence", "select", "groupby", "slt_good_129", "/1000"];
    cargo(&["run", "--locked", "--bin", "corpus", "--"]).args(parts).run()
}

/// SQLite's whole sample, and PostgreSQL's regression files. They say themselves when the corpora are not there.
fn corpora() -> Result<Outcome, Failure> {
    let run = |program: &[&str]| {
        cargo(&["run", "--locked", "--release", "-p", "orrery-tests", "--bin"]).args(program).run()
    };
    run(&["corpus"])?;
    run(&["regress", "--", "--least", REGRESS_LEAST_PERCENT])
}

/// Raised with the score, never lowered.
const REGRESS_LEAST_PERCENT: &str = "90";

/// Generated queries, held against SQLite too.
fn differential() -> Result<Outcome, Failure> {
    let program = ["--bin", "differential", "--features", "sqlite", "--", "--seeds", "300"];
    cargo(&["run", "--locked", "--release", "-p", "orrery-tests"]).args(program).run()
}

/// The peers are C libraries: building them is slow.
fn build_bench() -> Result<Outcome, Failure> {
    cargo(&["check", "--locked", "-p", "orrery-bench", "--all-targets"]).run()
}
