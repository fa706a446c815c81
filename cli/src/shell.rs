//! The shell: runs statements and backslash commands one after another, from a terminal or a script, and flushes each
//! result before the next statement runs.
//!
//! A script stops at its first error; a person at a terminal goes on.

use std::io::{BufRead, BufReader, Write};
use std::time::Instant;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::command::{self, Command};
use crate::copy_data;
use crate::db::Session;
use crate::describe;
use crate::error::{Result, ShellError, report};
use crate::format::{Format, RowSink, Writer};
use crate::interrupt::Interrupts;
use crate::split::{Piece, Splitter};

const PROMPT: &str = "orrery=> ";
const PROMPT_MORE: &str = "orrery-> ";
/// Before a line of COPY's data.
const PROMPT_DATA: &str = ">> ";
/// Scripts that include scripts.
const INCLUDE_DEPTH_MAX: usize = 16;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next piece.
    Continue,
    /// The user wants to leave.
    Quit,
}

/// A shell over a session, an output and an error output.
pub struct Shell<'s, W: Write, E: Write> {
    session: &'s mut dyn Session,
    writer: Writer<W>,
    errors: E,
    interrupts: Interrupts,
    is_timing: bool,
    include_depth: usize,
}

impl<'s, W: Write, E: Write> Shell<'s, W, E> {
    /// A shell that writes results in `format` to `out` and errors to `errors`.
    pub fn new(
        session: &'s mut dyn Session,
        out: W,
        errors: E,
        format: Format,
        interrupts: Interrupts,
    ) -> Self {
        let writer = Writer::new(out, format);
        Shell { session, writer, errors, interrupts, is_timing: false, include_depth: 0 }
    }

    /// Runs a script as its lines arrive, up to its first error, which is shown.
    ///
    /// # Errors
    /// `Reported` for an error that was shown; otherwise input or output failed.
    pub fn run_script(&mut self, input: &mut dyn BufRead, name: &str) -> Result<Flow> {
        let mut splitter = Splitter::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = input.read_until(b'\n', &mut line).map_err(ShellError::io(name))?;
            let text =
                std::str::from_utf8(&line).map_err(|_| ShellError::Usage(format!("{name}: not UTF-8")))?;
            splitter.push(text);
            while let Some(piece) = if count == 0 { splitter.finish() } else { splitter.next_piece() } {
                let mut data = || {
                    let mut line = Vec::new();
                    input.read_until(b'\n', &mut line).map_err(ShellError::io(name))?;
                    Ok(line)
                };
                if self.run_piece(&piece, &mut data)? == Flow::Quit {
                    return Ok(Flow::Quit);
                }
            }
            if count == 0 {
                return Ok(Flow::Continue);
            }
        }
    }

    /// Runs the script in a file.
    ///
    /// # Errors
    /// As [`run_script`](Shell::run_script), or the file cannot be read.
    pub fn run_file(&mut self, path: &str) -> Result<Flow> {
        if self.include_depth == INCLUDE_DEPTH_MAX {
            return Err(ShellError::Usage(format!("{path}: scripts include each other too deeply")));
        }
        let file = std::fs::File::open(path).map_err(ShellError::io(path))?;
        self.include_depth += 1;
        let result = self.run_script(&mut BufReader::new(file), path);
        self.include_depth -= 1;
        result
    }

    /// Talks with a person until they leave.
    ///
    /// # Errors
    /// The terminal fails.
    pub fn run_interactive(&mut self, editor: &mut DefaultEditor) -> Result<()> {
        let mut splitter = Splitter::default();
        let mut entry = String::new();
        loop {
            let prompt = if splitter.is_blank() { PROMPT } else { PROMPT_MORE };
            let line = match editor.readline(prompt) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => {
                    splitter.clear();
                    entry.clear();
                    continue;
                }
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(ShellError::Usage(format!("the terminal: {error}"))),
            };
            entry.push_str(&line);
            splitter.push(&line);
            splitter.push("\n");
            while let Some(piece) = splitter.next_piece() {
                match self.run_piece(&piece, &mut || data_line(editor)) {
                    Ok(Flow::Quit) => return Ok(()),
                    Ok(Flow::Continue) | Err(ShellError::Reported) => {}
                    Err(error) => return Err(error),
                }
            }
            if !splitter.is_blank() {
                entry.push('\n');
                continue;
            }
            // A history that cannot be kept is no reason to stop.
            let _ = editor.add_history_entry(std::mem::take(&mut entry).trim());
        }
    }

    /// Runs one statement or command. An error is shown here, once, and becomes `Reported`.
    /// `data` gives the lines behind it, for `COPY … FROM stdin`: empty at the end.
    fn run_piece(&mut self, piece: &Piece, data: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Flow> {
        let start = Instant::now();
        let result = match piece {
            Piece::Statement { text, .. } if copy_data::is_copy_from_stdin(text) => {
                self.run_copy(text, data).map(|()| Flow::Continue)
            }
            Piece::Statement { text, .. } => self.run_statement(text).map(|()| Flow::Continue),
            Piece::Command { text, .. } => command::parse(text).and_then(|command| self.run_command(command)),
        };
        let statement = if let Piece::Statement { text, .. } = piece { text } else { "" };
        if self.is_timing && !statement.is_empty() {
            let milliseconds = start.elapsed().as_secs_f64() * 1e3;
            writeln!(self.errors, "Time: {milliseconds:.3} ms").map_err(ShellError::io("output"))?;
        }
        match result {
            Err(error) if !error.is_broken_pipe() => Err(self.show(error, statement)),
            other => other,
        }
    }

    fn run_statement(&mut self, text: &str) -> Result<()> {
        let guard = self.interrupts.statement(self.session.canceller());
        let result = self.session.execute(text, &mut self.writer);
        drop(guard);
        // What an interrupted statement wrote before it failed must not be lost or come late.
        self.writer.out().flush().map_err(ShellError::io("output"))?;
        result
    }

    fn run_copy(&mut self, text: &str, data: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<()> {
        let guard = self.interrupts.statement(self.session.canceller());
        let mut lines = copy_data::Lines::new(data);
        let result = self.session.copy_in(text, &mut || lines.next());
        drop(guard);
        // Of a COPY that failed under way the rest is no statement.
        lines.skip()?;
        let tag = format!("COPY {}", result?);
        self.writer.tag(&tag).map_err(ShellError::io("output"))?;
        self.writer.out().flush().map_err(ShellError::io("output"))
    }

    fn show(&mut self, error: ShellError, statement: &str) -> ShellError {
        let text = match &error {
            ShellError::Reported => return error,
            ShellError::Sql(error) => report(error, statement),
            other => other.to_string(),
        };
        match writeln!(self.errors, "{text}").and_then(|()| self.errors.flush()) {
            Ok(()) => ShellError::Reported,
            Err(error) => ShellError::Io("output".into(), error),
        }
    }

    fn run_command(&mut self, command: Command) -> Result<Flow> {
        match command {
            Command::ListTables => describe::list_tables(&self.session.describe()?, &mut self.writer)?,
            Command::ListIndexes(table) => {
                describe::list_indexes(&self.session.describe()?, table.as_deref(), &mut self.writer)?;
            }
            Command::Describe(table) => {
                let mut tables = self.session.describe()?;
                tables.extend(orrerydb::live_relations());
                describe::table(&tables, &table, &mut self.writer)?;
            }
            Command::Timing(wanted) => {
                self.is_timing = wanted.unwrap_or(!self.is_timing);
                self.say(if self.is_timing { "Timing is on.\n" } else { "Timing is off.\n" })?;
            }
            Command::Include(path) => return self.run_file(&path),
            Command::Format(format) => self.writer.set_format(format),
            Command::Help => self.say(command::HELP)?,
            Command::Quit => return Ok(Flow::Quit),
        }
        Ok(Flow::Continue)
    }

    fn say(&mut self, text: &str) -> Result<()> {
        self.errors.write_all(text.as_bytes()).map_err(ShellError::io("output"))
    }
}

/// A line of COPY's data from a person; empty when there are no more.
fn data_line(editor: &mut DefaultEditor) -> Result<Vec<u8>> {
    match editor.readline(PROMPT_DATA) {
        Ok(line) => Ok(format!("{line}\n").into_bytes()),
        Err(ReadlineError::Eof) => Ok(Vec::new()),
        Err(ReadlineError::Interrupted) => Err(ShellError::Usage("COPY was given up".into())),
        Err(error) => Err(ShellError::Usage(format!("the terminal: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeSession;

    /// Runs a script; answers its result, the statements that reached the session, the output and the errors.
    fn run(script: &str) -> (Result<Flow>, Vec<String>, String, String) {
        let mut session = FakeSession::default();
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let mut shell = Shell::new(&mut session, &mut out, &mut errors, Format::Csv, Interrupts::default());
        let result = shell.run_script(&mut script.as_bytes(), "script");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (result, session.statements, text(out), text(errors))
    }

    #[test]
    fn statements_run_in_order() {
        let (result, statements, out, errors) = run("SELECT 1;\nCREATE x;\nSELECT\n 2");
        assert_eq!(result.unwrap(), Flow::Continue);
        assert_eq!(statements, ["SELECT 1", "CREATE x", "SELECT\n 2"]);
        assert_eq!(out, "a\n1\na\n1\n");
        assert_eq!(errors, "");
    }

    #[test]
    fn a_script_stops_at_the_first_error_and_shows_it_once() {
        let (result, statements, _, errors) = run("SELECT 1; FAIL here; SELECT 2;");
        assert!(matches!(result, Err(ShellError::Reported)));
        assert_eq!(statements, ["SELECT 1", "FAIL here"]);
        assert_eq!(errors, "ERROR:  it failed (XX000)\nLINE 1: FAIL here\n        ^\n");
        let (result, statements, _, errors) = run("\\nonsense\nSELECT 1;");
        assert!(matches!(result, Err(ShellError::Reported)));
        assert!(statements.is_empty() && errors.contains("\\nonsense: no such command"), "{errors}");
    }

    #[test]
    fn commands_between_statements() {
        let (result, statements, out, errors) = run("\\format jsonl\n\\timing on\nSELECT 1;\n\\q\nSELECT 2;");
        assert_eq!(result.unwrap(), Flow::Quit);
        assert_eq!(statements, ["SELECT 1"]);
        assert_eq!(out, "{\"a\":1}\n");
        assert!(errors.contains("Timing is on.") && errors.contains("Time: "), "{errors}");
    }

    #[test]
    fn data_behind_a_copy_are_no_statements() {
        let script = "COPY t FROM stdin;\n1\ta;b\n\\N\t\\\\.\n\\.\nSELECT 1;\ncopy t from STDIN with (format csv);\nlast";
        let mut session = FakeSession::default();
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let mut shell = Shell::new(&mut session, &mut out, &mut errors, Format::Csv, Interrupts::default());
        shell.run_script(&mut script.as_bytes(), "script").unwrap();
        assert_eq!(session.statements[..2], ["COPY t FROM stdin", "SELECT 1"]);
        let lines: Vec<&str> = session.loaded.iter().map(|row| row[0].as_deref().unwrap()).collect();
        assert_eq!(lines, ["1\ta;b\n", "\\N\t\\\\.\n", "last"]);
        assert_eq!(String::from_utf8(out).unwrap(), "a\n1\n");
        assert!(errors.is_empty());
    }

    #[test]
    fn included_scripts_stop_the_outer_one_too() {
        let path = std::env::temp_dir().join(format!("orrery-shell-{}.sql", std::process::id()));
        std::fs::write(&path, "SELECT 1;\nFAIL;\n").unwrap();
        let (result, statements, _, errors) = run(&format!("\\i {}\nSELECT 2;", path.display()));
        assert!(matches!(result, Err(ShellError::Reported)));
        assert_eq!(statements, ["SELECT 1", "FAIL"]);
        assert_eq!(errors.matches("ERROR").count(), 1);
        std::fs::write(&path, format!("\\i {}\n", path.display())).unwrap();
        let (result, _, _, errors) = run(&format!("\\i {}\n", path.display()));
        assert!(result.is_err() && errors.contains("too deeply"), "{errors}");
        std::fs::remove_file(&path).unwrap();
    }
}
