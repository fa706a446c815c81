//! The binary `orrery`: the shell on a database file, and the verbs beside it.
//!
//! Exit status: 0 done, 1 an error (shown on standard error), 2 a command line that makes no sense. `sim` has its own.

mod args;
mod command;
mod copy_data;
mod db;
mod demo;
mod describe;
mod error;
mod export;
mod format;
mod import;
mod interrupt;
mod shell;
mod split;
#[cfg(test)]
mod testing;
mod worlds;

use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use rustyline::DefaultEditor;

use args::{Script, ShellArguments, Verb};
use db::{KeyValueAnswer, KeyValueVerb};
use error::{Result, ShellError};
use interrupt::Interrupts;
use shell::{Flow, Shell};

const USAGE_STATUS: u8 = 2;
/// The simulator keeps 1–3 for what it found.
const SIM_USAGE_STATUS: u8 = 4;

fn main() -> ExitCode {
    let (arguments, scripts) = match args::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    let result = match arguments.verb {
        Some(verb) => run_verb(verb),
        None => run_shell(&arguments.shell, &scripts).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(status) => status,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(ShellError::Reported) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints help, the version or what is wrong with the command line.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed output is no reason to say more.
    let _ = error.print();
    match error.use_stderr() {
        false => ExitCode::SUCCESS,
        true if std::env::args().nth(1).as_deref() == Some("sim") => ExitCode::from(SIM_USAGE_STATUS),
        true => ExitCode::from(USAGE_STATUS),
    }
}

fn run_verb(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Import(arguments) => {
            let mut session = db::open(&arguments.database, true)?;
            let count = import::run(session.as_mut(), &arguments)?;
            session.close()?;
            println!("{count} rows into {}", arguments.table);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Check { database, salvage: None } => run_check(&database),
        Verb::Check { database, salvage: Some(target) } => run_salvage(&database, &target),
        Verb::Backup { database, target } => {
            let summary = db::backup(&database, &target)?;
            println!("{target}: {} rows, {} bytes", summary.row_count, summary.file_bytes);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Export { database, to } => {
            let mut session = db::open_as_told(&database, &[], true)?;
            export::run(session.as_mut(), to.as_deref())?;
            session.close()?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Kv { database, verb } => run_key_value(&database, &verb),
        Verb::Sim { seed, seeds, trace } => worlds::run(seed, seeds, trace),
        Verb::Demo { database } => demo::run(database.as_deref()),
    }
}

fn run_check(database: &str) -> Result<ExitCode> {
    let (walked, findings) = db::check(database)?;
    for finding in &findings {
        println!("{finding}");
    }
    println!(
        "{database}: {} trees, {} entries, {} pages, {} free units: {} findings",
        walked.tree_count,
        walked.entry_count,
        walked.page_count,
        walked.free_unit_count,
        findings.len()
    );
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Exits 0 when nothing is lost, 1 when something is.
fn run_salvage(database: &str, target: &str) -> Result<ExitCode> {
    let report = db::salvage(database, target)?;
    for line in &report.lines {
        println!("{line}");
    }
    for table in &report.tables {
        let indexes = if table.is_mended { ", indexes made anew" } else { "" };
        let lost = match table.lost_count {
            0 => String::new(),
            count => format!(", at least {count} lost"),
        };
        println!("table {}: {} rows{lost}{indexes}", table.table, table.row_count);
    }
    if report.other_row_count > 0 {
        println!("{} rows of no table", report.other_row_count);
    }
    let verdict = if report.has_losses { "something is lost" } else { "nothing is lost" };
    println!(
        "{target}: {} tables, {} commits of the log: {verdict}",
        report.tables.len(),
        report.commit_count
    );
    Ok(if report.has_losses { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run_key_value(database: &str, verb: &KeyValueVerb) -> Result<ExitCode> {
    let answer = db::key_value(database, verb)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let is_there = answer != KeyValueAnswer::No;
    write_answer(&mut out, verb, &answer).and_then(|()| out.flush()).map_err(ShellError::io("output"))?;
    Ok(if is_there { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A value is written as it is, with a line end; an entry as `key<TAB>value`, control characters and backslashes escaped so
/// that it stays one line.
fn write_answer(out: &mut impl Write, verb: &KeyValueVerb, answer: &KeyValueAnswer) -> io::Result<()> {
    match answer {
        KeyValueAnswer::Value(value) => {
            out.write_all(value)?;
            out.write_all(b"\n")
        }
        KeyValueAnswer::Entries(entries) => {
            for (key, value) in entries {
                writeln!(out, "{}\t{}", one_line(key), one_line(value))?;
            }
            Ok(())
        }
        KeyValueAnswer::Yes if matches!(verb, KeyValueVerb::Exists { .. }) => out.write_all(b"true\n"),
        KeyValueAnswer::No if matches!(verb, KeyValueVerb::Exists { .. }) => out.write_all(b"false\n"),
        KeyValueAnswer::Yes | KeyValueAnswer::No => Ok(()),
    }
}

/// Bytes as text without line ends, tabs and other controls; what is not UTF-8 becomes `\xNN`.
fn one_line(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => shown.push_str("\\\\"),
                c if c.is_control() => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
        }
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    shown
}

fn run_shell(arguments: &ShellArguments, scripts: &[Script]) -> Result<()> {
    let database = arguments.database.as_deref().expect("clap requires DB where there is no verb");
    let mut session = db::open_as_told(database, &arguments.options, arguments.read_only)?;
    let interrupts = Interrupts::install()?;
    let out = BufWriter::new(io::stdout());
    let mut shell = Shell::new(session.as_mut(), out, io::stderr(), arguments.format, interrupts);
    if scripts.is_empty() && io::stdin().is_terminal() {
        talk(&mut shell, database)?;
    } else if scripts.is_empty() {
        shell.run_script(&mut BufReader::new(io::stdin()), "standard input")?;
    } else {
        run_scripts(&mut shell, scripts)?;
    }
    drop(shell);
    session.close()
}

fn run_scripts<W: Write, E: Write>(shell: &mut Shell<'_, W, E>, scripts: &[Script]) -> Result<()> {
    for script in scripts {
        let flow = match script {
            Script::Text(text) => shell.run_script(&mut text.as_bytes(), "-c")?,
            Script::File(path) => shell.run_file(path)?,
        };
        if flow == Flow::Quit {
            break;
        }
    }
    Ok(())
}

fn talk<W: Write, E: Write>(shell: &mut Shell<'_, W, E>, database: &str) -> Result<()> {
    println!("orrery {} on {database}. \\? for help, \\q to leave.", env!("CARGO_PKG_VERSION"));
    let mut editor = DefaultEditor::new().map_err(|e| ShellError::Usage(format!("the terminal: {e}")))?;
    let history = history_file();
    if let Some(path) = &history {
        // There is none the first time.
        let _ = editor.load_history(path);
    }
    let result = shell.run_interactive(&mut editor);
    if let Some(path) = &history
        && let Err(error) = editor.save_history(path)
    {
        eprintln!("the history was not kept: {error}");
    }
    result
}

fn history_file() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".orrery_history"))
}
