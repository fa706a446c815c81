//! Scores PostgreSQL's regression files: `cargo run --release -p orrery-tests --bin regress -- [--suite DIR] [--failures]
//! [--uncounted] [--least PERCENT] [FILE …]`. With `--least` the exit status is 1 when fewer are equal.
//!
//! `DIR` holds `sql`, `expected` and `data`; default: `../shared/corpora/postgres/regress` beside the repository. Without it:
//! "skipped" and success, unless `CI=true`. `--failures` prints each statement that is not equal, `--uncounted` each that is
//! not counted, with its reason.

use orrery_tests::pg_regress::score;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/postgres/regress");
    let (mut failures, mut uncounted, mut least, mut names) = (false, false, 0.0, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--suite" => dir = args.next().map(PathBuf::from).unwrap_or_default(),
            "--least" => least = args.next().and_then(|it| it.parse().ok()).unwrap_or(100.0),
            "--failures" => failures = true,
            "--uncounted" => uncounted = true,
            _ => names.push(arg),
        }
    }
    if !dir.exists() {
        println!("skipped: there is no {}", dir.display());
        return if std::env::var("CI").is_ok_and(|ci| ci == "true") {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    if names.is_empty() {
        names = all_names(&dir);
    }
    let (mut counted, mut equal, mut others, mut reasons) = (0, 0, (0, 0), BTreeMap::new());
    println!("{:<18} {:>8} {:>8} {:>7}   statements without rows", "file", "counted", "equal", "%");
    for name in &names {
        let score = match score::file(&dir, name) {
            Ok(score) => score,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        let percent = 100.0 * score.equal as f64 / score.counted.max(1) as f64;
        let (held, of) = score.others;
        println!("{name:<18} {:>8} {:>8} {percent:>7.1}   {held} of {of}", score.counted, score.equal);
        (counted, equal) = (counted + score.counted, equal + score.equal);
        others = (others.0 + held, others.1 + of);
        for (line, sql, what) in score.failures.iter().filter(|_| failures) {
            println!("  {name}:{line}: {}\n      {what}", sql.replace('\n', " "));
        }
        for (line, reason) in &score.uncounted {
            *reasons.entry(*reason).or_insert(0) += 1;
            if uncounted {
                println!("  {name}:{line} is not counted: {reason}");
            }
        }
    }
    let percent = 100.0 * f64::from(equal as u32) / f64::from((counted as u32).max(1));
    println!("{:<18} {counted:>8} {equal:>8} {percent:>7.1}   {} of {}", "all", others.0, others.1);
    for (reason, count) in reasons {
        println!("not counted: {count:>5} {reason}");
    }
    if percent < least { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn all_names(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir.join("sql")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.path().file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}
