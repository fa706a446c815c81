//! The shell as a person meets it: on a pseudo-terminal, with prompts, lines to be continued, history and Ctrl-C.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod common;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A shell on a terminal, and what it has shown so far.
struct Terminal {
    child: Child,
    keys: File,
    shown: Arc<Mutex<String>>,
    /// How much of `shown` has been waited for.
    seen: usize,
}

impl Terminal {
    fn open(home: &Path) -> Terminal {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap().into_string().unwrap();
        let side = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
        let mut command = common::orrery(home);
        command.arg("a.db").env("TERM", "xterm").stdin(side()).stdout(side()).stderr(side());
        let child = command.spawn().unwrap();
        let (keys, shown) = (File::from(main), Arc::new(Mutex::new(String::new())));
        let (mut screen, kept) = (keys.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = screen.read(&mut bytes) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let mut terminal = Terminal { child, keys, shown, seen: 0 };
        terminal.wait_for("=> ");
        terminal
    }

    fn key(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` is shown behind what was waited for before; answers everything up to its end.
    fn wait_for(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let shown = self.shown.lock().unwrap().clone();
            if let Some(at) = shown[self.seen..].find(text) {
                let end = self.seen + at + text.len();
                let part = shown[self.seen..end].to_string();
                self.seen = end;
                return part;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "no {text:?} in {:?}", &shown[self.seen..]);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types a line and waits for what it shows and the next prompt.
    fn line(&mut self, text: &str, expected: &str) {
        self.key(&format!("{text}\r"));
        self.wait_for(expected);
        self.wait_for("=> ");
    }

    fn quit(mut self) {
        self.key("\\q\r");
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn a_conversation() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(home.path());
    terminal.line("CREATE TABLE t (a integer);", "CREATE TABLE");
    // A statement over three lines: the prompt says that more is awaited.
    terminal.key("INSERT INTO t VALUES\r");
    terminal.wait_for("-> ");
    terminal.key("(1), -- ; is no end\r");
    terminal.wait_for("-> ");
    terminal.line("(20);", "INSERT 0 2");
    // An error is shown, and the conversation goes on.
    terminal.line("SELECT 1/0;", "ERROR:  division by zero (22012)");
    terminal.line("SELECT sum(a) FROM t;", "21 │");
    terminal.line("\\d", "│ t ");
    terminal.line("\\nonsense", "no such command");
    terminal.line("\\timing", "Timing is on.");
    terminal.line("SELECT 1;", "Time: ");
    // Ctrl-C while typing gives the line up.
    terminal.key("SELECT nonsense\r");
    terminal.wait_for("-> ");
    terminal.key("\u{3}");
    terminal.wait_for("=> ");
    terminal.line("SELECT 4711;", "4711 │");
    terminal.quit();
    let history = std::fs::read_to_string(home.path().join(".orrery_history")).unwrap();
    assert!(history.contains("SELECT sum(a) FROM t;") && history.contains("(20);"), "{history}");
    // The next conversation remembers: up is the last statement.
    let mut terminal = Terminal::open(home.path());
    terminal.key("\u{1b}[A\r");
    terminal.wait_for("4711 │");
    terminal.quit();
}

#[test]
fn an_interrupt_cancels_the_statement_and_the_session_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(home.path());
    terminal.line("CREATE TABLE t (a integer);", "CREATE TABLE");
    for sql in [
        "SELECT count(*) FROM generate_series(1, 1000000000000);",
        "INSERT INTO t SELECT * FROM generate_series(1, 2000000000);",
    ] {
        terminal.key(&format!("{sql}\r"));
        terminal.wait_for(";");
        std::thread::sleep(Duration::from_millis(500));
        let pid = rustix::process::Pid::from_child(&terminal.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        terminal.wait_for("(57014)");
        terminal.wait_for("=> ");
    }
    terminal.line("SELECT count(*) + 100 FROM t;", "100 │");
    // Ctrl-D ends it.
    terminal.key("\u{4}");
    assert!(terminal.child.wait().unwrap().success());
}
