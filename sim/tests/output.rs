//! `orrery-sim` as a process: what it does when its reader leaves, or its output cannot be written.

use std::process::{Command, Stdio};

fn simulator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orrery-sim"));
    command.args(arguments).stderr(Stdio::piped());
    command
}

/// A seed's trace is longer than what a pipe holds, so the writer meets the closed end.
#[test]
fn a_reader_that_leaves_ends_the_printing_and_nothing_else() {
    let mut child = simulator(&["--seed", "1", "--trace"]).stdout(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");

    // What went wrong still counts: this probe is in no world.
    let probes = std::env::temp_dir().join(format!("orrery-sim-probes-{}", std::process::id()));
    std::fs::write(&probes, "no such probe\n").expect("a file");
    let arguments = ["--seed", "1", "--trace", "--probes", probes.to_str().expect("a path")];
    let mut child = simulator(&arguments).stdout(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    std::fs::remove_file(&probes).expect("the file goes");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("never reached"));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_no_pass() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a device that is always full");
    let output = simulator(&["--seed", "1", "--trace"]).stdout(full).output().expect("it ends");
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("standard output: ") && said.lines().count() == 1, "{said}");
}
