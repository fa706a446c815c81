//! What the tests of the binary share: running it, and where the data lie.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The binary, ready for arguments, with a home of its own so that no test touches a user's history.
pub fn orrery(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orrery"));
    command.env("HOME", home).current_dir(home);
    command
}

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Run {
    /// Standard output of a run that must succeed in silence.
    pub fn ok(self) -> String {
        assert!(self.status == 0 && self.err.is_empty(), "{self:?}");
        self.out
    }
}

/// Runs the binary with these arguments and this input, in `home`.
pub fn run(home: &Path, arguments: &[&str], input: &str) -> Run {
    let mut command = orrery(home);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let text = input.to_string();
    // A process that stops early leaves its input unread.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    let output = child.wait_with_output().expect("it ends");
    feeder.join().expect("it only writes");
    finished(&output)
}

fn finished(output: &Output) -> Run {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    Run { status: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The repository's month of flights.
pub fn data(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/nycflights13");
    folder.join(file).to_str().expect("UTF-8").to_string()
}

/// The folder of the full data set (336,776 flights), if it is here: `ORRERY_FLIGHTS`, or beside the repository.
pub fn full_data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/nycflights13");
    let folder = std::env::var_os("ORRERY_FLIGHTS").map_or_else(beside, PathBuf::from);
    folder.join("flights.csv.gz").exists().then_some(folder)
}
