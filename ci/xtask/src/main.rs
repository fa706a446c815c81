//! `cargo xtask`: the checks and chores of the project, one program instead of scripts (`.ci/run` and the public CI
//! file only call it).
//!
//! It deliberately depends on none of our packages, so that it builds when they do not, and it never edits a source
//! file except where a command says so (`tidy --shrink` lowers `ci/ratchet.txt`).

mod cargo_deny;
mod command;
mod doors;
mod metadata;
mod npm;
mod step;
mod test;
mod tidy;
mod tools;
mod wasm;

use command::{Failure, Outcome, cargo, repository_root};

const USAGE: &str = "usage: cargo xtask COMMAND
  test [--full]      every check, with the time of each step; --full adds the slow ones
  tidy [--shrink]    layering, file heads, sizes, banned words, documents; --shrink lowers ci/ratchet.txt
  deny               licences, sources and duplicate versions of the dependencies
  doors [c|python|node|browser|quick]
                     build the C library, the Python wheel and the npm package, and walk each from a clean environment;
                     quick: Node and browser with the module that `test` builds
  header             write capi/include/orrery.h anew
  wasm [core]        build the core for WASM, fail if it imports anything; then the npm package, and hold its size
  sim ARGS...        run the simulator (orrery-sim) with these arguments
  fuzz [pages|log|sql]... [--iterations N] [--seed S]
                     mutate data files, logs and statements
  bench ARGS...      run the benchmarks against the peers (release build)
  bench-js           run Orrery for JavaScript beside its peers from npm, in Node";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(outcome) => {
            if let Outcome::Skipped(why) = outcome {
                println!("skipped: {why}");
            }
        }
        Err(failure) => {
            eprintln!("xtask: {failure}");
            std::process::exit(1);
        }
    }
}

fn run(arguments: &[String]) -> Result<Outcome, Failure> {
    std::env::set_current_dir(repository_root())
        .map_err(|e| Failure::new(format!("repository root: {e}")))?;
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => return Err(Failure::new(USAGE)),
    };
    match (name, rest) {
        ("test", []) => test::run(false),
        ("test", [flag]) if flag == "--full" => test::run(true),
        ("tidy", []) => tidy::run(),
        ("tidy", [flag]) if flag == "--shrink" => tidy::shrink(),
        ("deny", []) => cargo_deny::run(),
        ("doors", []) => doors::run(),
        ("doors", [door]) if door == "c" => doors::c::run(),
        ("doors", [door]) if door == "python" => doors::python::run(),
        ("doors", [door]) if door == "node" => doors::javascript::node(),
        ("doors", [door]) if door == "browser" => doors::javascript::browser(),
        ("doors", [door]) if door == "quick" => doors::javascript::run_quickly(),
        ("header", []) => doors::header::update(),
        ("wasm", []) => match wasm::run()? {
            Outcome::Passed => wasm::package::run(),
            skipped => Ok(skipped),
        },
        ("wasm", [part]) if part == "core" => wasm::run(),
        ("sim", rest) => {
            cargo(&["run", "--locked", "-p", "orrery-sim", "--bin", "orrery-sim", "--"]).args(rest).run()
        }
        ("fuzz", rest) => cargo(&["run", "--locked", "--bin", "orrery-fuzz", "--"]).args(rest).run(),
        ("bench-js", []) => doors::javascript::bench(),
        ("bench", rest) => {
            cargo(&["run", "--locked", "--release", "-p", "orrery-bench", "--"]).args(rest).run()
        }
        _ => Err(Failure::new(USAGE)),
    }
}
