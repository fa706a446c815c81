//! `orrery-plants [--seeds N] [--quick] [NAME]...`: plants each bug (or those named) and hunts it; prints seeds-to-detect as a
//! table. Exit status: 0 when each was caught, 1 when one was not, 4 usage.

use orrery_base::world::Plant;
use orrery_plants::{QUICK, QUICK_SEED_COUNT, hunt};
use orrery_sim::Output;
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
    let mut output = Output::standard();
    output.line(format_args!(
        "| planted bug | what it does | seeds to detect | caught as |\n|---|---|---|---|"
    ));
    for (plant, name, _) in Plant::ALL {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let finding = hunt(*plant, seed_count_max);
        match &finding.caught {
            Some((seeds, outcome)) => {
                let message: String = outcome.message().chars().take(100).collect();
                let message = message.replace('|', "/");
                output.line(format_args!("| {name} | {} | {seeds} | {message} |", finding.what));
            }
            None => {
                missed += 1;
                output.line(format_args!("| {name} | {} | not in {seed_count_max} | – |", finding.what));
            }
        }
        // A hunt takes seconds: each line is shown when it is known.
        output.flush();
    }
    ExitCode::from(output.end(u8::from(missed > 0)))
}

fn usage(problem: &str) -> ExitCode {
    Output::standard().complain(format_args!(
        "orrery-plants: {problem}\nusage: orrery-plants [--seeds N] [--quick] [NAME]..."
    ));
    ExitCode::from(4)
}
