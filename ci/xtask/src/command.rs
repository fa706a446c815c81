//! Running other programs: what ran is printed, a failing one is an error, and a missing one is told apart from it.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a step failed.
#[derive(Debug)]
pub struct Failure {
    reason: String,
    /// A tool could not be had: that says nothing of the project.
    pub is_of_tools: bool,
}

impl Failure {
    /// A failure with its reason, for people.
    pub fn new(reason: impl Into<String>) -> Self {
        Failure { reason: reason.into(), is_of_tools: false }
    }

    /// The same, of a tool that could not be had.
    pub fn of_tools(self) -> Self {
        Failure { is_of_tools: true, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// How a step ended when it did not fail.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and held.
    Passed,
    /// Something it needs is missing here; says what. With CI=true a skipped step counts as failed, unless its tools are
    /// other languages' ([`crate::step::Step::may_lack_tools`]).
    Skipped(String),
}

/// The root of the checkout, whatever the current directory is.
pub fn repository_root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("ci/xtask lies two folders below the root").to_path_buf()
}

/// Whether this is a CI run, where nothing may be skipped.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// A program to run, with no standard input.
pub struct Program {
    command: Command,
    shown: String,
}

/// Starts a cargo command with the cargo that runs us.
pub fn cargo(arguments: &[&str]) -> Program {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut program = Program { command: Command::new(cargo), shown: "cargo".into() };
    program.command.stdin(Stdio::null());
    program.args(arguments)
}

/// Starts any other command.
pub fn program(name: &str) -> Program {
    let mut program = Program { command: Command::new(name), shown: name.into() };
    program.command.stdin(Stdio::null());
    program
}

impl Program {
    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        for argument in arguments {
            self.shown.push(' ');
            self.shown.push_str(&argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the folder it runs in.
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it with its output shown; a status other than zero is a failure.
    pub fn run(mut self) -> Result<Outcome, Failure> {
        println!("$ {}", self.shown);
        let status = self.command.status().map_err(|e| Failure::new(format!("{}: {e}", self.shown)))?;
        match status.success() {
            true => Ok(Outcome::Passed),
            false => Err(Failure::new(format!("{} ended with {status}", self.shown))),
        }
    }

    /// Runs what brings a tool here from elsewhere.
    pub fn install(self) -> Result<Outcome, Failure> {
        self.run().map_err(Failure::of_tools)
    }

    /// Runs it and gives its standard output; its standard error is shown.
    pub fn output(mut self) -> Result<String, Failure> {
        self.command.stderr(Stdio::inherit());
        let output = self.command.output().map_err(|e| Failure::new(format!("{}: {e}", self.shown)))?;
        if !output.status.success() {
            return Err(Failure::new(format!("{} ended with {}", self.shown, output.status)));
        }
        String::from_utf8(output.stdout)
            .map_err(|_| Failure::new(format!("{}: output is not UTF-8", self.shown)))
    }

    /// Whether it runs and succeeds, with nothing shown.
    pub fn succeeds(mut self) -> bool {
        let quiet = self.command.stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }
}
