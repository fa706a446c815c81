//! The trace of a world: one line an event, and a hash over all lines. Two runs of one binary with one seed give the
//! same hash; the first line that differs between two printed traces shows where determinism broke.
//!
//! Columns, separated by one blank: step, virtual microseconds since the world's start, who, what happened.

use orrery_base::hash::hash64;
use std::fmt::{self, Write as _};

/// Collects events.
pub struct Trace {
    hash: u64,
    line: String,
    kept: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace; `keep` keeps the lines, otherwise only their hash.
    pub fn new(keep: bool) -> Self {
        Trace { hash: 0, line: String::new(), kept: keep.then(Vec::new) }
    }

    /// Adds a line.
    pub fn event(&mut self, step: u64, micros: u64, who: &str, what: fmt::Arguments<'_>) {
        self.line.clear();
        write!(self.line, "{step} {micros} {who} {what}").expect("writing to a string does not fail");
        self.hash = hash64(self.hash, self.line.as_bytes());
        if let Some(kept) = &mut self.kept {
            kept.push(self.line.clone());
        }
    }

    /// The hash over all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines, if they were kept.
    pub fn into_lines(self) -> Vec<String> {
        self.kept.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_words_count() {
        let hash = |events: &[(u64, &str)]| {
            let mut trace = Trace::new(false);
            for (step, what) in events {
                trace.event(*step, 0, "a", format_args!("{what}"));
            }
            trace.hash()
        };
        assert_eq!(hash(&[(1, "x"), (2, "y")]), hash(&[(1, "x"), (2, "y")]));
        assert_ne!(hash(&[(1, "x"), (2, "y")]), hash(&[(2, "y"), (1, "x")]));
        assert_ne!(hash(&[(1, "x")]), hash(&[(1, "xy")]));
    }
}
