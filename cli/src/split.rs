//! Cuts a stream of text into statements and backslash commands, as text arrives.
//!
//! It knows just enough of the lexical rules of PostgreSQL's dialect to tell a `;` that ends a statement from one inside
//! a string, a quoted name, a dollar quote or a comment (block comments nest). It does not check anything: an unfinished
//! string is found by the parser. The scan never goes back, so a statement of many megabytes that arrives line by line
//! costs its length once.

/// What was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A statement without its `;`, with the line (from 1) at which it begins.
    Statement {
        /// Its text, leading and trailing blanks gone.
        text: String,
        /// Where it begins in the input.
        line: usize,
    },
    /// A backslash command: the rest of its line, without the backslash.
    Command {
        /// Its text.
        text: String,
        /// Where it stands in the input.
        line: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Plain,
    /// In `'…'`; `true` if a backslash escapes (`E'…'`).
    Quote(bool),
    /// In `"…"`.
    Name,
    LineComment,
    /// In so many nested block comments.
    BlockComment(usize),
    /// In a dollar quote that ends with this delimiter, dollars included.
    Dollar(Vec<u8>),
}

/// The cutter. Give it text by [`push`](Splitter::push), take pieces by [`next_piece`](Splitter::next_piece), and at the
/// end what is left by [`finish`](Splitter::finish).
#[derive(Debug)]
pub struct Splitter {
    buffer: String,
    /// Where what waits begins; what lies before is dropped now and then, so that many statements cost their length once.
    start: usize,
    /// How much of what waits has been scanned.
    scanned: usize,
    state: State,
    /// Line of the first byte that waits.
    line: usize,
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter { buffer: String::new(), start: 0, scanned: 0, state: State::Plain, line: 1 }
    }
}

impl Splitter {
    /// Adds text. Text must come in whole lines (or be the last), so that no token is cut in two.
    pub fn push(&mut self, text: &str) {
        self.buffer.push_str(text);
    }

    /// Whether nothing but blanks and whole comments waits.
    pub fn is_blank(&self) -> bool {
        let is_open = !matches!(self.state, State::Plain | State::LineComment);
        !is_open && start_of_code(self.waiting()) == self.waiting().len()
    }

    /// Drops what waits (the user gave the statement up).
    pub fn clear(&mut self) {
        *self = Splitter { line: self.line, ..Splitter::default() };
    }

    /// The next whole statement or command, if there is one.
    pub fn next_piece(&mut self) -> Option<Piece> {
        loop {
            if self.state == State::Plain {
                let start = start_of_code(self.waiting());
                if start >= self.scanned && self.waiting()[start..].starts_with('\\') {
                    return self.command(start);
                }
            }
            let end = self.scan()?;
            let piece = self.take(end, end + 1);
            if piece.is_some() {
                return piece;
            }
        }
    }

    /// What is left at the end of the input: a last statement without its `;`.
    pub fn finish(&mut self) -> Option<Piece> {
        if let Some(piece) = self.next_piece() {
            return Some(piece);
        }
        let (is_blank, end) = (self.is_blank(), self.waiting().len());
        self.state = State::Plain;
        let piece = self.take(end, end);
        if is_blank { None } else { piece }
    }

    fn waiting(&self) -> &str {
        &self.buffer[self.start..]
    }

    fn command(&mut self, start: usize) -> Option<Piece> {
        let waiting = self.waiting();
        let line = self.line + count_lines(&waiting[..start]);
        let length = waiting[start..].find('\n').unwrap_or(waiting.len() - start);
        let text = waiting[start + 1..start + length].trim().to_string();
        let end = (start + length + 1).min(waiting.len());
        self.drop_until(end);
        Some(Piece::Command { text, line })
    }

    /// Cuts the statement that ends at `end` off, and drops the buffer until `next`. An empty one gives nothing.
    fn take(&mut self, end: usize, next: usize) -> Option<Piece> {
        let text = &self.waiting()[..end];
        let start = start_of_code(text);
        let line = self.line + count_lines(&text[..start]);
        let text = text[start..].trim().to_string();
        self.drop_until(next);
        if text.is_empty() { None } else { Some(Piece::Statement { text, line }) }
    }

    fn drop_until(&mut self, next: usize) {
        self.line += count_lines(&self.waiting()[..next]);
        self.start += next;
        self.scanned = 0;
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }

    /// Goes on from where the last scan stopped, until the next `;` that ends a statement.
    fn scan(&mut self) -> Option<usize> {
        let bytes = &self.buffer.as_bytes()[self.start..];
        let mut at = self.scanned;
        while at < bytes.len() {
            if self.state == State::Plain && bytes[at] == b';' {
                self.scanned = 0;
                return Some(at);
            }
            at += step(&mut self.state, bytes, at);
        }
        self.scanned = bytes.len();
        None
    }
}

/// Looks at `bytes[at]`, changes the state, and says how many bytes that took.
fn step(state: &mut State, bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    match (&mut *state, rest) {
        (State::Plain, _) => return plain_step(state, bytes, at),
        (State::Quote(true), [b'\\', _, ..]) => return 2,
        (State::Quote(_), [b'\'', ..]) | (State::Name, [b'"', ..]) | (State::LineComment, [b'\n', ..]) => {
            *state = State::Plain;
        }
        (State::BlockComment(depth), [b'/', b'*', ..]) => {
            *depth += 1;
            return 2;
        }
        (State::BlockComment(depth), [b'*', b'/', ..]) => {
            *depth -= 1;
            if *depth == 0 {
                *state = State::Plain;
            }
            return 2;
        }
        (State::Dollar(delimiter), [b'$', ..]) if rest.starts_with(delimiter) => {
            let length = delimiter.len();
            *state = State::Plain;
            return length;
        }
        _ => {}
    }
    1
}

fn plain_step(state: &mut State, bytes: &[u8], at: usize) -> usize {
    match &bytes[at..] {
        [b'\'', ..] => *state = State::Quote(has_escape_prefix(&bytes[..at])),
        [b'"', ..] => *state = State::Name,
        [b'-', b'-', ..] => *state = State::LineComment,
        [b'/', b'*', ..] => {
            *state = State::BlockComment(1);
            return 2;
        }
        [b'$', ..] if !bytes[..at].last().is_some_and(|byte| is_name_byte(*byte)) => {
            if let Some(length) = dollar_length(&bytes[at..]) {
                *state = State::Dollar(bytes[at..at + length].to_vec());
                return length;
            }
        }
        _ => {}
    }
    1
}

/// Whether the text before a quote ends with a lone `E`.
fn has_escape_prefix(before: &[u8]) -> bool {
    match before {
        [.., previous, b'e' | b'E'] => !is_name_byte(*previous),
        [b'e' | b'E'] => true,
        _ => false,
    }
}

/// The length of `$$` or `$tag$` at the beginning.
fn dollar_length(rest: &[u8]) -> Option<usize> {
    let tag = rest[1..].iter().take_while(|byte| is_name_byte(**byte) && **byte != b'$').count();
    let is_tag = tag == 0 || !rest[1].is_ascii_digit();
    (is_tag && rest.get(tag + 1) == Some(&b'$')).then_some(tag + 2)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

fn count_lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Skips blanks and comments at the beginning. An unfinished block comment is not skipped.
fn start_of_code(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let mut state = State::Plain;
        if bytes[at].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let start = at;
        at += step(&mut state, bytes, at);
        if !matches!(state, State::LineComment | State::BlockComment(_)) {
            return start;
        }
        while at < bytes.len() && state != State::Plain {
            at += step(&mut state, bytes, at);
        }
        if matches!(state, State::BlockComment(_)) {
            return start;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both as one text and line by line; a command is written with its backslash.
    fn check(text: &str, expected: &[(&str, usize)]) {
        let mut whole = Splitter::default();
        whole.push(text);
        let mut by_line = Splitter::default();
        let mut pieces = Vec::new();
        for line in text.split_inclusive('\n') {
            by_line.push(line);
            pieces.extend(std::iter::from_fn(|| by_line.next_piece()));
        }
        pieces.extend(std::iter::from_fn(|| by_line.finish()));
        let expected: Vec<Piece> = expected.iter().map(|(text, line)| piece(text, *line)).collect();
        assert_eq!(pieces, expected, "line by line: {text}");
        assert_eq!(std::iter::from_fn(|| whole.finish()).collect::<Vec<_>>(), expected, "whole: {text}");
    }

    fn piece(text: &str, line: usize) -> Piece {
        match text.strip_prefix('\\') {
            Some(command) => Piece::Command { text: command.to_string(), line },
            None => Piece::Statement { text: text.to_string(), line },
        }
    }

    #[test]
    fn semicolons_end_statements() {
        check("SELECT 1; SELECT 2;\n\nSELECT\n 3", &[("SELECT 1", 1), ("SELECT 2", 1), ("SELECT\n 3", 3)]);
        check(";; ;\n", &[]);
        check("", &[]);
    }

    #[test]
    fn quotes_hide_semicolons() {
        check("SELECT ';''; ', \"a;\"\"b\";", &[("SELECT ';''; ', \"a;\"\"b\"", 1)]);
        check("SELECT E'\\';', e'\\\\'; x", &[("SELECT E'\\';', e'\\\\'", 1), ("x", 1)]);
        check("SELECT 'a\\'; x", &[("SELECT 'a\\'", 1), ("x", 1)]);
        check("SELECT name'\\'; x", &[("SELECT name'\\'", 1), ("x", 1)]);
        check("SELECT 'é;\n;'; y", &[("SELECT 'é;\n;'", 1), ("y", 2)]);
    }

    #[test]
    fn dollar_quotes_hide_semicolons() {
        check("SELECT $$;';$$; x", &[("SELECT $$;';$$", 1), ("x", 1)]);
        check("SELECT $a$; $b$ $$ ;$a$; x", &[("SELECT $a$; $b$ $$ ;$a$", 1), ("x", 1)]);
        check(
            "SELECT $1; SELECT a$b$; SELECT $2$",
            &[("SELECT $1", 1), ("SELECT a$b$", 1), ("SELECT $2$", 1)],
        );
        check("SELECT $é$;\n$é$; x", &[("SELECT $é$;\n$é$", 1), ("x", 2)]);
    }

    #[test]
    fn comments_hide_semicolons() {
        check("SELECT 1 -- ; '\n; x", &[("SELECT 1 -- ; '", 1), ("x", 2)]);
        check("/* ; /* ; */ ' */ SELECT 1; -- end", &[("SELECT 1", 1)]);
        check("-- one\n\n/* two\n */ SELECT 1", &[("SELECT 1", 4)]);
        check("SELECT 1 /* open ;", &[("SELECT 1 /* open ;", 1)]);
        check("/* open ;", &[("/* open ;", 1)]);
    }

    #[test]
    fn commands_take_their_line() {
        check("\\d t\nSELECT 1;\n\\timing on\n", &[("\\d t", 1), ("SELECT 1", 2), ("\\timing on", 3)]);
        check("-- note\n  \\q", &[("\\q", 2)]);
        check("SELECT '\n\\d\n';", &[("SELECT '\n\\d\n'", 1)]);
    }

    #[test]
    fn many_statements_in_one_line_cost_their_length_once() {
        let mut splitter = Splitter::default();
        splitter.push(&"SELECT 1; ".repeat(200_000));
        let count = std::iter::from_fn(|| splitter.next_piece()).count();
        assert_eq!(count, 200_000);
        assert!(splitter.is_blank());
    }

    #[test]
    fn a_statement_is_known_to_be_unfinished() {
        let mut splitter = Splitter::default();
        assert!(splitter.is_blank());
        splitter.push("-- nothing\n");
        assert_eq!(splitter.next_piece(), None);
        assert!(splitter.is_blank());
        splitter.push("SELECT '\n");
        assert_eq!(splitter.next_piece(), None);
        assert!(!splitter.is_blank());
        splitter.clear();
        assert!(splitter.is_blank());
        splitter.push("SELECT 2;\n");
        assert_eq!(splitter.next_piece(), Some(piece("SELECT 2", 1)));
    }
}
