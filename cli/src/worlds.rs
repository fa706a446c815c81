//! `orrery sim`: runs simulated worlds and says what they came to.
//!
//! Exit status (`4`, usage, is the command line's): 0 pass, 1 wrong answer or lost data, 2 no progress, 3 crash. It stops at
//! the first world that does not pass.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use orrery_sim::{SeedOptions, run_seed};

use crate::SIM_USAGE_STATUS;
use crate::error::{Result, ShellError};

/// Runs the worlds of `count` seeds from `first` on.
///
/// # Errors
/// The output fails.
pub fn run(first: u64, count: u64, keep_trace: bool) -> Result<ExitCode> {
    let Some(last) = first.checked_add(count - 1) else {
        eprintln!("ERROR:  there are no {count} seeds from {first} on");
        return Ok(ExitCode::from(SIM_USAGE_STATUS));
    };
    let start = Instant::now();
    let options = SeedOptions { keep_trace, ..SeedOptions::default() };
    let mut reached: BTreeMap<&'static str, u64> = BTreeMap::new();
    // One number for a whole run: equal runs have equal ones.
    let mut hash = 0_u64;
    for seed in first..=last {
        let report = run_seed(seed, &options);
        for line in &report.trace {
            say(line)?;
        }
        if count == 1 || report.exit_code() != 0 {
            say(&report)?;
        }
        if report.exit_code() != 0 {
            return Ok(ExitCode::from(report.exit_code()));
        }
        hash = hash.rotate_left(1) ^ report.trace_hash;
        for (name, times) in &report.reached {
            *reached.entry(name).or_default() += times;
        }
    }
    if count > 1 {
        for (name, times) in &reached {
            say(&format_args!("{times:>10}  {name}"))?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let each = seconds * 1e3 / count as f64;
        say(&format_args!("seeds {first} to {last}: pass, in {seconds:.1} s, {each:.1} ms each"))?;
        say(&format_args!("hash of the trace hashes {hash:016x}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn say(what: &impl Display) -> Result<()> {
    writeln!(io::stdout(), "{what}").map_err(ShellError::io("output"))
}
