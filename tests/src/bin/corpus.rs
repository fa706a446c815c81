//! Measures how much of SQLite's corpus passes: a table a file, then the failures by SQLSTATE.
//!
//! The exit status is 1 when something fails that PostgreSQL passes.
//!
//! `cargo run --release -p orrery-tests --bin corpus -- [--corpus DIR] [--fails FILE] [--jobs N] [PART-OF-A-FILE-NAME …]`
//!
//! `DIR` holds `sqlite-slt.tar.gz` and, if there, `sqlite-slt.pg15-fails.txt` (what PostgreSQL does not pass either);
//! default: `../shared/corpora` beside the repository. Without it: "skipped" and success, unless `CI=true`.

use orrery_tests::sqlite_corpus::{self, Tally};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant};

struct Options {
    corpus: PathBuf,
    fails: Option<PathBuf>,
    job_count: usize,
    name_parts: Vec<String>,
}

struct FileResult {
    name: String,
    tally: Result<Tally, String>,
    took: Duration,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let archive = options.corpus.join("sqlite-slt.tar.gz");
    if !archive.exists() {
        println!("skipped: there is no {}", archive.display());
        return if std::env::var("CI").is_ok_and(|ci| ci == "true") {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    match measure(&options, &archive) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        corpus: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
        fails: None,
        job_count: std::thread::available_parallelism().map_or(1, usize::from),
        name_parts: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--corpus" => options.corpus = value()?.into(),
            "--fails" => options.fails = Some(value()?.into()),
            "--jobs" => options.job_count = value()?.parse().map_err(|_| "--jobs needs a number")?,
            _ if word.starts_with('-') => return Err(format!("unknown option {word}")),
            _ => options.name_parts.push(word),
        }
    }
    Ok(options)
}

/// Whether everything passes that PostgreSQL passes.
fn measure(options: &Options, archive: &Path) -> std::io::Result<bool> {
    let dir = tempfile::tempdir()?;
    let unpacked = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(dir.path()).status()?;
    if !unpacked.success() {
        return Err(std::io::Error::other(format!("tar could not unpack {}", archive.display())));
    }
    let mut names = Vec::new();
    collect(dir.path(), dir.path(), &mut names)?;
    names.retain(|name| {
        options.name_parts.is_empty() || options.name_parts.iter().any(|part| name.contains(part))
    });
    names.sort();
    let known = known_failures(&options.corpus);
    let started = Instant::now();
    let results = run_all(dir.path(), names, options.job_count);
    let is_good = report(&results, &known, started.elapsed());
    if let Some(path) = &options.fails {
        write_failures(path, &results)?;
    }
    Ok(is_good)
}

fn collect(root: &Path, dir: &Path, names: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, names)?;
        } else if path.extension().is_some_and(|extension| extension == "test") {
            names.push(path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// `file:line` of what PostgreSQL does not pass either.
fn known_failures(corpus: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(corpus.join("sqlite-slt.pg15-fails.txt")).unwrap_or_default();
    text.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect()
}

fn run_all(root: &Path, names: Vec<String>, job_count: usize) -> Vec<FileResult> {
    let (todo, done) = (Mutex::new(names.into_iter().rev().collect::<Vec<_>>()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..job_count.max(1) {
            scope.spawn(|| {
                loop {
                    let Some(name) = todo.lock().expect("no panic under the lock").pop() else { return };
                    let started = Instant::now();
                    let text = std::fs::read_to_string(root.join(&name)).map_err(|error| error.to_string());
                    let tally = text
                        .and_then(|text| sqlite_corpus::run_file(&text).map_err(|error| error.to_string()));
                    let result = FileResult { name, tally, took: started.elapsed() };
                    eprintln!("{} in {:.1} s", result.name, result.took.as_secs_f64());
                    done.lock().expect("no panic under the lock").push(result);
                }
            });
        }
    });
    let mut results = done.into_inner().expect("no panic under the lock");
    results.sort_by(|a, b| a.name.cmp(&b.name));
    results
}

fn report(results: &[FileResult], known: &BTreeSet<String>, took: Duration) -> bool {
    println!(
        "{:<44} {:>9} {:>7} {:>7} {:>6} {:>8} {:>8}",
        "file", "queries", "fail", "stmts", "fail", "skipped", "seconds"
    );
    let (mut total, mut whole, mut shared, mut own) = (Tally::default(), 0, 0, 0);
    let mut by_code: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
    for result in results {
        let tally = match &result.tally {
            Ok(tally) => tally,
            Err(error) => {
                println!("{:<44} {error}", result.name);
                own += 1;
                continue;
            }
        };
        let (queries, statements) =
            (tally.query_pass + tally.query_fail, tally.statement_pass + tally.statement_fail);
        println!(
            "{:<44} {queries:>9} {:>7} {statements:>7} {:>6} {:>8} {:>8.1}",
            result.name,
            tally.query_fail,
            tally.statement_fail,
            tally.skipped,
            result.took.as_secs_f64()
        );
        whole += usize::from(tally.failures.is_empty());
        total.query_pass += tally.query_pass;
        total.query_fail += tally.query_fail;
        total.statement_pass += tally.statement_pass;
        total.statement_fail += tally.statement_fail;
        total.skipped += tally.skipped;
        for failure in &tally.failures {
            let place = format!("{}:{}", result.name, failure.line);
            let is_shared = known.contains(&place);
            (shared, own) = (shared + usize::from(is_shared), own + usize::from(!is_shared));
            let (count, first) = by_code.entry(&failure.code).or_default();
            *count += 1;
            if first.len() < 5 {
                first.push(format!("{place}  {}\n      {}", failure.message, failure.sql));
            }
        }
    }
    println!(
        "{whole} of {} files whole; queries {} of {} pass; statements {} of {}; {} skipped; {shared} failures are PostgreSQL's too, {own} are not; {:.0} s",
        results.len(),
        total.query_pass,
        total.query_pass + total.query_fail,
        total.statement_pass,
        total.statement_pass + total.statement_fail,
        total.skipped,
        took.as_secs_f64()
    );
    for (code, (count, first)) in by_code {
        println!("\n{code}: {count}");
        for line in first {
            println!("  {line}");
        }
    }
    own == 0
}

fn write_failures(path: &Path, results: &[FileResult]) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for result in results {
        for failure in result.tally.iter().flat_map(|tally| &tally.failures) {
            let message = failure.message.replace('\n', " ");
            writeln!(file, "{}:{}\t{}\t{message}\t{}", result.name, failure.line, failure.code, failure.sql)?;
        }
    }
    file.flush()
}
