//! `orrery-plants [--seeds N] [--quick] [NAME]...`: plants each bug (or those named) and hunts it; prints seeds-to-detect as a
//! table. Exit status: 0 when each was caught, 1 when one was not, 4 usage.

use orrery_base::world::Plant;
use orrery_plants::{QUICK, QUICK_SEED_COUNT, hunt};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut seed_count_max = 2_000;
    let mut names = vec![];
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--seeds" {
            let Some(count) = words.next().and_then(|text| text.parse().ok()) else {
                return usage("--seeds N");
            };
            seed_count_max = count;
        } else if word == "--quick" {
            seed_count_max = QUICK_SEED_COUNT;
            let is_quick = |plant: &Plant| QUICK.contains(plant);
            let quick = Plant::ALL.iter().filter(|(plant, _, _)| is_quick(plant));
            names.extend(quick.map(|(_, name, _)| (*name).to_owned()));
        } else if Plant::ALL.iter().any(|(_, name, _)| *name == word) {
            names.push(word);
        } else {
            return usage(&format!("no planted bug is called {word:?}"));
        }
    }
    // A caught panic is a finding like any other; its backtrace would only hide the table.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = 0;
    println!("| planted bug | what it does | seeds to detect | caught as |\n|---|---|---|---|");
    for (plant, name, _) in Plant::ALL {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let finding = hunt(*plant, seed_count_max);
        match &finding.caught {
            Some((seeds, outcome)) => {
                let message: String = outcome.message().chars().take(100).collect();
                println!("| {name} | {} | {seeds} | {} |", finding.what, message.replace('|', "/"));
            }
            None => {
                missed += 1;
                println!("| {name} | {} | not in {seed_count_max} | – |", finding.what);
            }
        }
    }
    ExitCode::from(u8::from(missed > 0))
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("orrery-plants: {problem}\nusage: orrery-plants [--seeds N] [--quick] [NAME]...");
    ExitCode::from(4)
}
