//! A table of steps: each runs with its time printed, all run even when one failed, and a summary closes the run.

use std::time::{Duration, Instant};

use crate::command::{Failure, Outcome, is_ci};

/// One row of the step table.
pub struct Step {
    /// Shown in the output and the summary.
    pub name: &'static str,
    /// Runs only with `--full`.
    pub is_slow: bool,
    /// It needs tools that are not Rust's, or files that are not ours, which may not be had, in CI either: then it is skipped, and the summary says so.
    pub may_lack_tools: bool,
    /// What it does.
    pub run: fn() -> Result<Outcome, Failure>,
}

/// One line of the summary.
struct Line {
    name: &'static str,
    took: Duration,
    result: Result<Outcome, Failure>,
}

/// Runs the steps in order, skipping the slow ones unless `full`.
pub fn run_all(steps: &[Step], full: bool) -> Result<Outcome, Failure> {
    let mut lines = Vec::new();
    for step in steps.iter().filter(|step| full || !step.is_slow) {
        println!("\n== {}", step.name);
        let start = Instant::now();
        let result = verdict((step.run)(), step.may_lack_tools, is_ci());
        let took = start.elapsed();
        match &result {
            Ok(Outcome::Passed) => println!("== {}: passed in {:.1} s", step.name, took.as_secs_f64()),
            Ok(Outcome::Skipped(why)) => println!("== {}: skipped: {why}", step.name),
            Err(failure) => println!("== {}: FAILED: {failure}", step.name),
        }
        lines.push(Line { name: step.name, took, result });
    }
    summarise(&lines)
}

fn verdict(result: Result<Outcome, Failure>, may_lack_tools: bool, is_ci: bool) -> Result<Outcome, Failure> {
    match result {
        Ok(Outcome::Skipped(why)) if is_ci && !may_lack_tools => {
            Err(Failure::new(format!("skipped, which CI does not allow: {why}")))
        }
        Err(failure) if failure.is_of_tools && may_lack_tools => Ok(Outcome::Skipped(failure.to_string())),
        other => other,
    }
}

fn summarise(lines: &[Line]) -> Result<Outcome, Failure> {
    println!("\n== summary");
    for line in lines {
        let verdict = match &line.result {
            Ok(Outcome::Passed) => "passed".to_string(),
            Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
            Err(failure) => format!("FAILED: {failure}"),
        };
        println!("{:<20} {:>7.1} s  {verdict}", line.name, line.took.as_secs_f64());
    }
    let total: Duration = lines.iter().map(|line| line.took).sum();
    let failed: Vec<&str> = lines.iter().filter(|line| line.result.is_err()).map(|line| line.name).collect();
    let skipped = lines.iter().filter(|line| matches!(line.result, Ok(Outcome::Skipped(_)))).count();
    let passed = lines.len() - failed.len() - skipped;
    println!("{passed} passed, {skipped} skipped, {} failed, in {:.1} s", failed.len(), total.as_secs_f64());
    match failed.is_empty() {
        true => Ok(Outcome::Passed),
        false => Err(Failure::new(format!("failed: {}", failed.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass() -> Result<Outcome, Failure> {
        Ok(Outcome::Passed)
    }

    fn fail() -> Result<Outcome, Failure> {
        Err(Failure::new("it broke"))
    }

    #[test]
    fn one_failure_fails_the_run_and_names_the_step() {
        let steps = [
            Step { name: "good", is_slow: false, may_lack_tools: false, run: pass },
            Step { name: "bad", is_slow: false, may_lack_tools: false, run: fail },
            Step { name: "slow", is_slow: true, may_lack_tools: false, run: fail },
        ];
        let failure = run_all(&steps, false).unwrap_err();
        assert_eq!(failure.to_string(), "failed: bad");
        assert_eq!(run_all(&steps, true).unwrap_err().to_string(), "failed: bad, slow");
        assert_eq!(run_all(&steps[..1], false).unwrap(), Outcome::Passed);
    }

    #[test]
    fn a_skip_is_a_failure_on_ci_only() {
        let skip = || Ok(Outcome::Skipped("no tool".into()));
        assert!(verdict(skip(), false, true).is_err());
        assert!(verdict(skip(), false, false).is_ok());
        assert!(verdict(skip(), true, true).is_ok());
        let lacks = || Err(Failure::new("no way there").of_tools());
        assert!(matches!(verdict(lacks(), true, true), Ok(Outcome::Skipped(_))));
        assert!(verdict(lacks(), false, true).is_err());
        assert!(verdict(fail(), true, true).is_err());
    }
}
