//! `orrery-fuzz [pages|log|sql]... [--iterations N] [--seed S]`: runs N iterations of each target (all, if none is named), seeds S,
//! S + 1, … Prints what was seen and how fast; stops at the first finding with the words that have it again. Exit status: 0 nothing
//! found, 1 a finding, 2 an iteration that does not end, 4 usage.

use orrery_fuzz::memory::Counting;
use orrery_fuzz::{Fuzzer, KEPT, Tally, Target};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The iteration that runs: one more than its seed.
static RUNNING: AtomicU64 = AtomicU64::new(0);
/// An iteration takes far less.
const PATIENCE: Duration = Duration::from_secs(120);

struct Wanted {
    targets: Vec<(Target, &'static str)>,
    iterations: u64,
    seed: u64,
    keep_going: bool,
}

fn main() -> ExitCode {
    let Some(wanted) = wanted() else {
        eprintln!("usage: orrery-fuzz [pages|log|sql]... [--iterations N] [--seed S] [--all-findings]");
        return ExitCode::from(4);
    };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/slt");
    let fuzzer = match Fuzzer::new(&corpus) {
        Ok(fuzzer) => fuzzer,
        Err(error) => {
            eprintln!("orrery-fuzz: {error}");
            return ExitCode::from(1);
        }
    };
    // A panic is a finding with its message; where it was is worth a line.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    std::thread::spawn(watch);
    let mut has_found = false;
    for (target, seed) in KEPT {
        let is_wanted = wanted.targets.iter().any(|it| it.0 == target);
        if is_wanted && let Err(finding) = fuzzer.run(target, seed, &mut Tally::new()) {
            println!("found again, seed {seed}: {finding}");
            has_found = true;
        }
    }
    for (target, name) in &wanted.targets {
        has_found |= hunt(&fuzzer, *target, name, &wanted);
    }
    ExitCode::from(u8::from(has_found))
}

/// Whether something was found.
fn hunt(fuzzer: &Fuzzer, target: Target, name: &str, wanted: &Wanted) -> bool {
    let (start, mut tally, mut found) = (Instant::now(), Tally::new(), 0_u64);
    let mut count = 0;
    for seed in wanted.seed..wanted.seed.saturating_add(wanted.iterations) {
        RUNNING.store(seed + 1, Ordering::Relaxed);
        count += 1;
        if let Err(finding) = fuzzer.run(target, seed, &mut tally) {
            found += 1;
            println!("{name}, seed {seed}: {finding}");
            println!("again: cargo xtask fuzz {name} --seed {seed} --iterations 1");
            if !wanted.keep_going {
                break;
            }
        }
    }
    RUNNING.store(0, Ordering::Relaxed);
    let seconds = start.elapsed().as_secs_f64();
    println!("{name}: {count} iterations, {found} findings, {:.0} iterations/s", count as f64 / seconds);
    for (what, count) in &tally {
        println!("    {count:>9} {what}");
    }
    found > 0
}

/// Ends the process when an iteration does not end.
fn watch() {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = RUNNING.load(Ordering::Relaxed);
        if now != last || now == 0 {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > PATIENCE {
            println!("seed {}: no end after {} s", now - 1, PATIENCE.as_secs());
            std::process::exit(2);
        }
    }
}

fn wanted() -> Option<Wanted> {
    let mut wanted = Wanted { targets: Vec::new(), iterations: 1000, seed: 0, keep_going: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--iterations" => wanted.iterations = words.next()?.parse().ok()?,
            "--seed" => wanted.seed = words.next()?.parse().ok()?,
            "--all-findings" => wanted.keep_going = true,
            _ => wanted.targets.push(*Target::ALL.iter().find(|(_, name)| *name == word)?),
        }
    }
    if wanted.targets.is_empty() {
        wanted.targets.extend(Target::ALL);
    }
    Some(wanted)
}
