//! The data behind `COPY … FROM stdin` in a script or at a terminal: lines up to `\.` or the end.
//!
//! What is such a COPY, the shell decides by its words, as it cuts statements: the database says what is wrong with it.

use crate::error::Result;

/// Whether a statement is COPY whose data follow it.
pub fn is_copy_from_stdin(text: &str) -> bool {
    let mut words = Words(text.char_indices().peekable(), text);
    if !words.next().is_some_and(|it| it.eq_ignore_ascii_case("copy")) {
        return false;
    }
    let mut last = "";
    for word in words {
        if last.eq_ignore_ascii_case("from") {
            return word.eq_ignore_ascii_case("stdin");
        }
        last = word;
    }
    false
}

/// The words of a statement, without strings, quoted names and what stands between.
struct Words<'t>(std::iter::Peekable<std::str::CharIndices<'t>>, &'t str);

impl<'t> Iterator for Words<'t> {
    type Item = &'t str;
    fn next(&mut self) -> Option<&'t str> {
        loop {
            let (start, c) = self.0.next()?;
            if c == '\'' || c == '"' {
                self.0.find(|(_, end)| *end == c);
                // It stands where a word would.
                return Some("");
            }
            if c.is_alphanumeric() || c == '_' {
                let mut end = start + c.len_utf8();
                while let Some((at, c)) = self.0.next_if(|(_, c)| c.is_alphanumeric() || *c == '_') {
                    end = at + c.len_utf8();
                }
                return Some(&self.1[start..end]);
            }
        }
    }
}

/// The lines, whoever gives them.
pub struct Lines<'d> {
    /// The next line with its end; empty at the end.
    data: &'d mut dyn FnMut() -> Result<Vec<u8>>,
    is_begun: bool,
    is_over: bool,
}

impl<'d> Lines<'d> {
    /// Over what `data` gives: a line with its end, or nothing at the end.
    pub fn new(data: &'d mut dyn FnMut() -> Result<Vec<u8>>) -> Self {
        Lines { data, is_begun: false, is_over: false }
    }

    /// The next line; `None` behind the last one and at `\.`.
    ///
    /// # Errors
    /// The input fails.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.is_over {
            return Ok(None);
        }
        self.is_begun = true;
        // Whatever fails, there is nothing to skip then.
        self.is_over = true;
        let line = (self.data)()?;
        self.is_over = line.is_empty() || matches!(&line[..], b"\\." | b"\\.\n" | b"\\.\r\n");
        Ok((!self.is_over).then_some(line))
    }

    /// Drops what is left of data that were begun.
    ///
    /// # Errors
    /// The input fails.
    pub fn skip(&mut self) -> Result<()> {
        while self.is_begun && self.next()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_copies_have_data() {
        for (text, expected) in [
            ("COPY t FROM stdin", true),
            ("copy \"from stdin\" (a, \"b\") FROM STDIN WITH (FORMAT csv)", true),
            ("COPY t(a)FROM stdin", true),
            ("COPY t FROM 'stdin'", false),
            ("COPY \"from\" FROM 'x'", false),
            ("COPY t TO stdout", false),
            ("SELECT a FROM stdin", false),
        ] {
            assert_eq!(is_copy_from_stdin(text), expected, "{text}");
        }
    }
}
