//! `orrery-sim`: runs seeds and says what they found. Exit status: 0 pass, 1 wrong answer or lost data, 2 liveness,
//! 3 crash, 4 usage, or the output could not be written. A reader that leaves early ends the printing, not the run.

use orrery_base::hash::hash64;
use orrery_sim::{Door, Output, SeedOptions, SeedReport, Trouble, rerun_command, run_seed};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: orrery-sim [--seeds N] [--from S] [--seed S] [--seeds-file FILE] [--twice] [--trace] \
[--ops N] [--without NAME]... [--shrink] [--probes FILE] [--keep-going] [--door D]
  --seeds N          run N seeds (default 1)            --from S     beginning with S (default 0)
  --seed S           run this one                       --twice      each twice; the trace hashes must agree
  --seeds-file FILE  run the seeds listed in FILE       --trace      print the trace
  --ops N            no more operations than this       --without X  turn off: faults full damage buggify drops checkpoints latency
  --shrink           find a smaller world that fails    --probes F   fail if a probe listed in F is never reached
  --keep-going       do not stop at the first failure
  --door D           through the door `kv` or `sql`, whatever the seed says";

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => {
            let mut output = Output::standard();
            let code = run(&arguments, &mut output);
            ExitCode::from(output.end(code))
        }
        Err(problem) => {
            Output::standard().complain(format_args!("orrery-sim: {problem}\n{USAGE}"));
            ExitCode::from(4)
        }
    }
}

#[derive(Default)]
struct Arguments {
    seeds: Vec<u64>,
    twice: bool,
    trace: bool,
    shrink: bool,
    keep_going: bool,
    op_count_max: Option<u64>,
    without: Vec<Trouble>,
    probes: Vec<String>,
    door: Option<Door>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments::default();
        let (mut from, mut count) = (0, 1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
            match word.as_str() {
                "--seeds" => count = number(value()?)?,
                "--from" => from = number(value()?)?,
                "--seed" => arguments.seeds.push(number(value()?)?),
                "--seeds-file" => arguments.seeds.extend(read_seeds(&value()?)?),
                "--ops" => arguments.op_count_max = Some(number(value()?)?),
                "--without" => arguments.without.push(trouble(&value()?)?),
                "--probes" => arguments.probes = read_lines(&value()?)?,
                "--door" => {
                    let name = value()?;
                    arguments.door = Some(Door::named(&name).ok_or(format!("there is no door {name:?}"))?);
                }
                "--twice" => arguments.twice = true,
                "--trace" => arguments.trace = true,
                "--shrink" => arguments.shrink = true,
                "--keep-going" => arguments.keep_going = true,
                other => return Err(format!("unknown argument {other:?}")),
            }
        }
        if arguments.seeds.is_empty() {
            arguments.seeds = (from..from.checked_add(count).ok_or("too many seeds")?).collect();
        }
        Ok(arguments)
    }

    fn options(&self) -> SeedOptions {
        SeedOptions {
            keep_trace: self.trace,
            plant: None,
            door: self.door,
            op_count_max: self.op_count_max,
            without: self.without.clone(),
        }
    }
}

fn read_lines(path: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
}

fn read_seeds(path: &str) -> Result<Vec<u64>, String> {
    let number = |line: &str| line.split(' ').next().unwrap_or_default().parse();
    let parse = |line: String| number(&line).map_err(|_| format!("{path}: {line:?} is no number"));
    read_lines(path)?.into_iter().map(parse).collect()
}

fn trouble(name: &str) -> Result<Trouble, String> {
    let found = Trouble::ALL.iter().find(|(_, known)| *known == name);
    found.map(|(trouble, _)| *trouble).ok_or(format!("nothing is called {name:?}"))
}

fn run(arguments: &Arguments, output: &mut Output) -> u8 {
    let start = Instant::now();
    let mut reached: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut worst = 0;
    let mut hashes = 0;
    for &seed in &arguments.seeds {
        let report = run_seed(seed, &arguments.options());
        for line in &report.trace {
            output.line(format_args!("{line}"));
        }
        hashes = hash64(hashes, &report.trace_hash.to_le_bytes());
        let mut code = report.outcome.exit_code();
        if code != 0 {
            explain(&report, arguments, output);
        } else if arguments.twice && run_seed(seed, &arguments.options()).trace_hash != report.trace_hash {
            output.complain(format_args!(
                "seed {seed}: two runs differ; compare two outputs of `--seed {seed} --trace`"
            ));
            code = 1;
        }
        for (name, count) in &report.reached {
            *reached.entry(name).or_default() += count;
        }
        if arguments.seeds.len() == 1 {
            output.line(format_args!("{report}"));
        }
        // A wrong answer is worse than a crash, whatever their numbers.
        worst = [1, 3, 2].into_iter().find(|kind| [worst, code].contains(kind)).unwrap_or(0);
        if code != 0 && !arguments.keep_going {
            break;
        }
    }
    summarise(arguments, &reached, start, hashes, output);
    let missed: Vec<_> =
        arguments.probes.iter().filter(|probe| !reached.contains_key(probe.as_str())).collect();
    if worst == 0 && !missed.is_empty() {
        output.complain(format_args!("never reached: {missed:?}"));
        return 1;
    }
    worst
}

fn summarise(
    arguments: &Arguments,
    reached: &BTreeMap<&'static str, u64>,
    start: Instant,
    hashes: u64,
    output: &mut Output,
) {
    if arguments.seeds.len() == 1 {
        return;
    }
    for (name, count) in reached {
        output.line(format_args!("{count:>10}  {name}"));
    }
    let elapsed = start.elapsed();
    let each = elapsed.as_secs_f64() * 1e3 / arguments.seeds.len().max(1) as f64;
    output.line(format_args!("trace hash of all {hashes:016x}"));
    let count = arguments.seeds.len();
    output.line(format_args!("{count} seeds in {:.1} s, {each:.1} ms each", elapsed.as_secs_f64()));
}

fn explain(report: &SeedReport, arguments: &Arguments, output: &mut Output) {
    output.complain(format_args!("seed {}: {}", report.seed, report.outcome));
    let commit = option_env!("ORRERY_COMMIT").map_or_else(commit, str::to_owned);
    output.complain(format_args!("commit {commit}"));
    output.complain(format_args!("rerun: {}", report.rerun_command()));
    if arguments.shrink {
        let smaller = shrink(report, arguments.options());
        output.complain(format_args!("shrunk: {}", rerun_command(report.seed, &smaller)));
    }
}

/// What is checked out here, if anything is.
fn commit() -> String {
    let output = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let hash = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    hash.map_or_else(|| "unknown".into(), |hash| String::from_utf8_lossy(&hash).trim().to_owned())
}

/// Turns off what the failure does not need, and cuts its operations.
fn shrink(report: &SeedReport, mut options: SeedOptions) -> SeedOptions {
    let fails = |options: &SeedOptions| {
        run_seed(report.seed, options).outcome.exit_code() == report.outcome.exit_code()
    };
    for (trouble, _) in Trouble::ALL {
        let mut without = options.clone();
        without.without.push(*trouble);
        if !options.without.contains(trouble) && fails(&without) {
            options = without;
        }
    }
    let mut step = report.reached.get("sim: operations").copied().unwrap_or(0);
    let mut max = step;
    while step > 1 {
        step = step.div_ceil(2);
        let fewer = SeedOptions { op_count_max: Some(max.saturating_sub(step)), ..options.clone() };
        if fails(&fewer) {
            max = max.saturating_sub(step);
            options = fewer;
        }
    }
    options
}
