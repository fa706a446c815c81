//! Rust text with comments and literals emptied, so that a rule sees only code. The result has the same lines and the
//! same length in bytes: what is emptied becomes spaces, and line ends stay.

/// Empties comments, strings and character literals.
pub fn blank(text: &str) -> String {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, out: Vec::with_capacity(text.len()) };
    while scanner.at < scanner.bytes.len() {
        scanner.step();
    }
    String::from_utf8(scanner.out).expect("only ASCII is kept and everything else becomes spaces")
}

struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
    out: Vec<u8>,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let rest = &self.bytes[self.at..];
        match rest {
            [b'/', b'/', ..] => self.empty(line_length(rest)),
            [b'/', b'*', ..] => self.empty(block_comment_length(rest)),
            [b'"', ..] => self.literal(1, string_length(&rest[1..], 0, true)),
            [b'\'', ..] => match char_literal_length(rest) {
                Some(length) => self.literal(1, length - 1),
                None => self.keep(1),
            },
            [first, ..] if is_word(*first) => self.word(),
            _ => self.keep(1),
        }
    }

    /// A word may be the prefix of a literal: `b"…"`, `r#"…"#`, `br"…"`, `c"…"`, `b'…'`.
    fn word(&mut self) {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take_while(|byte| is_word(**byte)).count();
        let (word, after) = rest.split_at(length);
        let hashes = after.iter().take_while(|byte| **byte == b'#').count();
        match word {
            b"r" | b"br" | b"cr" if after.get(hashes) == Some(&b'"') => {
                let opening = length + hashes + 1;
                self.literal(opening, string_length(&rest[opening..], hashes, false));
            }
            b"b" | b"c" if after.first() == Some(&b'"') => {
                self.literal(length + 1, string_length(&after[1..], 0, true));
            }
            b"b" if after.first() == Some(&b'\'') => match char_literal_length(after) {
                Some(end) => self.literal(length + 1, end - 1),
                None => self.keep(length),
            },
            _ => self.keep(length),
        }
    }

    /// Keeps the opening, so that a literal stays visible, and empties the rest.
    fn literal(&mut self, opening: usize, rest: usize) {
        self.keep(opening);
        self.empty(rest);
    }

    fn keep(&mut self, count: usize) {
        for byte in &self.bytes[self.at..self.at + count] {
            self.out.push(if byte.is_ascii() { *byte } else { b' ' });
        }
        self.at += count;
    }

    fn empty(&mut self, count: usize) {
        let end = (self.at + count).min(self.bytes.len());
        for byte in &self.bytes[self.at..end] {
            self.out.push(if *byte == b'\n' { b'\n' } else { b' ' });
        }
        self.at = end;
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// From behind the opening quote to behind the closing one.
fn string_length(rest: &[u8], hashes: usize, has_escapes: bool) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            b'\\' if has_escapes => at += 2,
            b'"' if rest[at + 1..].iter().take(hashes).filter(|byte| **byte == b'#').count() == hashes => {
                return at + 1 + hashes;
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal, or `None` for a lifetime.
fn char_literal_length(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|byte| *byte == b'\'')?;
        return Some(close + 4);
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)])
        .or_else(|e| std::str::from_utf8(&rest[1..1 + e.valid_up_to()]));
    let width = text.ok()?.chars().next()?.len_utf8();
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let blanked = blank(text);
        assert_eq!(blanked.len(), text.len());
        let squeezed = blanked.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed, expected, "{text}");
    }

    #[test]
    fn comments_and_literals_are_emptied() {
        check("a // todo!()\nb", "a b");
        check("a /* x /* y */ { */ b", "a b");
        check(r#"f("unsafe { \" }", x)"#, r#"f(" , x)"#);
        check(r###"f(r#"a " b"#, br"\", c"z")"###, r##"f(r#" , br" , c" )"##);
        check("f('{', '\\'', b'}', '\\u{7b}', 'é')", "f(' , ' , b' , ' , ' )");
        check("fn f<'a>(x: &'a str) -> &'static str { x }", "fn f<'a>(x: &'a str) -> &'static str { x }");
        check("'outer: loop { break 'outer }", "'outer: loop { break 'outer }");
        check("r#type = 1", "r#type = 1");
    }

    #[test]
    fn lines_stay() {
        let text = "a \"x\ny\" // z\n/* 1\n2 */ é b\n";
        assert_eq!(blank(text).lines().count(), text.lines().count());
        assert_eq!(blank(text).len(), text.len());
    }

    #[test]
    fn unfinished_literals_end_with_the_file() {
        for text in ["\"abc", "/* abc", "r#\"abc\"", "'\\", "'", "b'", "\"a\\"] {
            blank(text);
        }
    }
}
