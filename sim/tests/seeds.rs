//! Whole worlds: seeds that once found something, and the promise that a seed is one run.

use orrery_sim::{Door, SeedOptions, SeedOutcome, run_seed};

/// The lines of `tests/seeds/found.txt`: a seed and a door.
fn found() -> Vec<(u64, Door)> {
    let text = include_str!("../../tests/seeds/found.txt");
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let parse = |line: &str| {
        let (seed, door) = line.split_once(' ').expect("a seed and a door");
        (seed.parse().expect("a seed"), Door::named(door.trim()).expect("a door"))
    };
    lines.filter(|line| !line.is_empty()).map(parse).collect()
}

#[test]
fn seeds_that_found_something_pass() {
    assert!(!found().is_empty());
    for (seed, door) in found() {
        let report = run_seed(seed, &SeedOptions { door: Some(door), ..SeedOptions::default() });
        assert_eq!(report.outcome, SeedOutcome::Pass, "{report}");
    }
}

#[test]
fn a_seed_is_one_run() {
    for seed in 0..12 {
        let run = |keep_trace| run_seed(seed, &SeedOptions { keep_trace, ..SeedOptions::default() });
        let (one, other) = (run(true), run(false));
        assert_eq!(one.trace_hash, other.trace_hash, "seed {seed}");
        assert_eq!(one.reached, other.reached, "seed {seed}");
        assert!(!one.trace.is_empty() && other.trace.is_empty());
    }
}

/// What a seed is (docs/simulation.md): at least three sessions, 500 operations, a crash with a recovery.
#[test]
fn a_seed_is_a_world() {
    for seed in 100..120 {
        let report = run_seed(seed, &SeedOptions::default());
        assert_eq!(report.exit_code(), 0, "{report}");
        let refused = report.reached.contains_key("sim: damage refused");
        assert!(refused || report.operation_count() >= 500, "{report}");
        assert!(report.crash_count() >= 1, "{report}");
        assert!(refused || report.recovery_count() >= 1, "{report}");
        assert!(report.to_string().ends_with(&format!("rerun: orrery sim --seed {seed}")));
    }
}
