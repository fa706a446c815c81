//! What the runners print. A reader may leave early (`orrery-sim --trace | head`): what would be printed from then on is
//! dropped and the run goes on, because its exit status and the findings on standard error still count. Any other failure
//! to write is told once, and the run does not pass.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Write};

/// Exit status of a run whose output could not be written.
const WRITE_FAILED: u8 = 4;

/// Standard output and standard error.
pub struct Output<W: Write = BufWriter<io::Stdout>> {
    out: W,
    is_reader_gone: bool,
    has_failed: bool,
}

impl Output {
    /// The process's own.
    pub fn standard() -> Self {
        Output::new(BufWriter::new(io::stdout()))
    }
}

impl<W: Write> Output<W> {
    /// Prints to `out`.
    pub fn new(out: W) -> Self {
        Output { out, is_reader_gone: false, has_failed: false }
    }

    /// Prints a line to standard output.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        if !self.is_reader_gone {
            let result = writeln!(self.out, "{line}");
            self.judge(result);
        }
    }

    /// Prints a line to standard error, behind what was printed before.
    pub fn complain(&mut self, line: fmt::Arguments<'_>) {
        self.flush();
        // Where nobody listens there is nobody to tell either: the exit status says it.
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Prints what is still held back.
    pub fn flush(&mut self) {
        if !self.is_reader_gone {
            let result = self.out.flush();
            self.judge(result);
        }
    }

    /// Ends the printing: the exit status, `code` unless a pass could not be told.
    pub fn end(mut self, code: u8) -> u8 {
        self.flush();
        if code == 0 && self.has_failed { WRITE_FAILED } else { code }
    }

    fn judge(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        self.is_reader_gone = true;
        if error.kind() != ErrorKind::BrokenPipe {
            self.has_failed = true;
            let _ = writeln!(io::stderr(), "standard output: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refuses(ErrorKind, usize);

    impl Write for Refuses {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1 == 1 { Ok(bytes.len()) } else { Err(self.0.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_changes_no_status() {
        for (code, kind, expected) in [
            (0, ErrorKind::BrokenPipe, 0),
            (3, ErrorKind::BrokenPipe, 3),
            (0, ErrorKind::StorageFull, WRITE_FAILED),
            (1, ErrorKind::StorageFull, 1),
        ] {
            let mut output = Output::new(Refuses(kind, 0));
            for n in 0..5 {
                output.line(format_args!("{n}"));
            }
            assert!(output.out.1 <= 3, "nothing is written after the first failure");
            assert_eq!(output.end(code), expected);
        }
    }
}
