//! A `.sql` file as psql reads it.

use std::collections::BTreeMap;

/// One thing psql does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// SQL without its semicolon, or a command with its backslash.
    pub text: String,
    /// The first and the last line, from 0.
    pub lines: (usize, usize),
    /// The lines that COPY … FROM STDIN reads.
    pub data: Option<Vec<String>>,
}

impl Step {
    /// Whether it is a command of psql's.
    pub fn is_command(&self) -> bool {
        self.text.starts_with('\\')
    }
}

/// Where the lexer stands.
#[derive(Clone, PartialEq, Eq)]
enum Within {
    Plain,
    /// A string; whether backslashes escape in it.
    Text(bool),
    Name,
    Comment(u32),
    Dollar(String),
}

/// Splits a file.
pub fn steps(text: &str) -> Vec<Step> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut steps, mut at) = (Vec::new(), 0);
    let mut open = Open::new(0);
    while at < lines.len() {
        let line = lines[at];
        if open.is_blank() && open.within == Within::Plain && line.trim_start().starts_with('\\') {
            steps.push(Step { text: line.trim().to_owned(), lines: (at, at), data: None });
            at += 1;
            open = Open::new(at);
            continue;
        }
        let line_number = at;
        at += 1;
        for statement in open.line(line, line_number) {
            let lines_of = (open.first_line.min(line_number), line_number);
            let mut step = Step { text: statement, lines: lines_of, data: None };
            open.first_line = line_number;
            if reads_stdin(&step.text) {
                let end =
                    lines[at..].iter().position(|line| *line == "\\.").map_or(lines.len(), |it| at + it);
                step.data = Some(lines[at..end].iter().map(|line| (*line).to_owned()).collect());
                at = (end + 1).min(lines.len());
            }
            steps.push(step);
        }
        if open.is_blank() {
            open.first_line = at;
        }
    }
    steps
}

fn reads_stdin(sql: &str) -> bool {
    let words = sql.to_ascii_lowercase();
    words.starts_with("copy") && words.split_whitespace().collect::<Vec<_>>().join(" ").contains("from stdin")
}

/// A statement under way.
struct Open {
    text: String,
    within: Within,
    parens: i32,
    first_line: usize,
}

impl Open {
    fn new(first_line: usize) -> Self {
        Open { text: String::new(), within: Within::Plain, parens: 0, first_line }
    }

    fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Reads a line; gives the statements that end in it.
    fn line(&mut self, line: &str, number: usize) -> Vec<String> {
        let mut done = Vec::new();
        let chars: Vec<char> = line.chars().collect();
        let mut at = 0;
        if self.is_blank() {
            self.first_line = number;
        }
        while at < chars.len() {
            let (one, next) = (chars[at], chars.get(at + 1).copied());
            let mut taken = 1;
            match self.within.clone() {
                Within::Plain => match (one, next) {
                    ('-', Some('-')) => break,
                    ('/', Some('*')) => (self.within, taken) = (Within::Comment(1), 2),
                    ('\'', _) => {
                        let escapes = at > 0 && matches!(chars[at - 1], 'e' | 'E');
                        self.within = Within::Text(escapes);
                    }
                    ('"', _) => self.within = Within::Name,
                    ('$', _) => {
                        if let Some(tag) = dollar_tag(&chars[at..]) {
                            taken = tag.chars().count();
                            self.within = Within::Dollar(tag);
                        }
                    }
                    ('(', _) => self.parens += 1,
                    (')', _) => self.parens -= 1,
                    ('\\', Some('g')) => {
                        // \gset and the like end a statement in psql's own way: kept in its text, for the rules.
                        self.text.extend(&chars[at..]);
                        done.push(self.take());
                        break;
                    }
                    // psql sends what it separates as one text; the results are the same but for the transaction around them.
                    ('\\', Some(';')) => {
                        at += 1;
                        continue;
                    }
                    (';', _) if self.parens <= 0 => {
                        if !self.is_blank() {
                            done.push(self.take());
                        }
                        at += 1;
                        continue;
                    }
                    _ => {}
                },
                Within::Text(escapes) => match (one, next) {
                    ('\\', Some(_)) if escapes => taken = 2,
                    ('\'', Some('\'')) => taken = 2,
                    ('\'', _) => self.within = Within::Plain,
                    _ => {}
                },
                Within::Name if one == '"' => self.within = Within::Plain,
                Within::Name => {}
                Within::Comment(depth) => match (one, next) {
                    ('*', Some('/')) => {
                        taken = 2;
                        self.within = if depth == 1 { Within::Plain } else { Within::Comment(depth - 1) };
                    }
                    ('/', Some('*')) => (self.within, taken) = (Within::Comment(depth + 1), 2),
                    _ => {}
                },
                Within::Dollar(tag) => {
                    let rest: String = chars[at..].iter().collect();
                    if rest.starts_with(&tag) {
                        taken = tag.chars().count();
                        self.within = Within::Plain;
                    }
                }
            }
            self.text.extend(&chars[at..(at + taken).min(chars.len())]);
            at += taken;
        }
        if !self.is_blank() || self.within != Within::Plain {
            self.text.push('\n');
        }
        done
    }

    fn take(&mut self) -> String {
        self.parens = 0;
        std::mem::take(&mut self.text).trim().to_owned()
    }
}

fn dollar_tag(chars: &[char]) -> Option<String> {
    let end = chars[1..].iter().position(|&it| it == '$')? + 1;
    let is_tag = chars[1..end].iter().all(|it| it.is_alphanumeric() || *it == '_');
    let is_number = chars.get(1).is_some_and(char::is_ascii_digit);
    (is_tag && !is_number).then(|| chars[..=end].iter().collect())
}

/// psql's variables.
#[derive(Clone, Debug, Default)]
pub struct Variables(pub BTreeMap<String, String>);

impl Variables {
    /// `\set` and `\getenv`; whether it was one of them.
    pub fn command(&mut self, command: &str, environment: &dyn Fn(&str) -> String) -> bool {
        let mut words = command.split_whitespace();
        match (words.next(), words.next()) {
            (Some("\\set"), Some(name)) => {
                let value: String = words.map(|word| self.word(word)).collect();
                self.0.insert(name.to_owned(), value);
                true
            }
            (Some("\\getenv"), Some(name)) => {
                self.0.insert(name.to_owned(), environment(words.next().unwrap_or_default()));
                true
            }
            _ => false,
        }
    }

    fn word(&self, word: &str) -> String {
        match word.strip_prefix(':') {
            Some(name) => self.0.get(name).cloned().unwrap_or_default(),
            None => word.trim_matches('\'').to_owned(),
        }
    }

    /// A statement with `:name`, `:'name'` and `:"name"` put in.
    pub fn fill(&self, sql: &str) -> String {
        let mut text = sql.to_owned();
        for (name, value) in &self.0 {
            text = text.replace(&format!(":'{name}'"), &format!("'{}'", value.replace('\'', "''")));
            text = text.replace(&format!(":\"{name}\""), &format!("\"{value}\""));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        steps(text).into_iter().map(|step| step.text).collect()
    }

    #[test]
    fn statements_are_split_as_psql_splits_them() {
        let text = "select 1; select ';' -- no; comment\n, 2;\nselect $x$ a;b $x$;\n\\d t\nselect e'\\';';";
        assert_eq!(
            texts(text),
            ["select 1", "select ';' \n, 2", "select $x$ a;b $x$", "\\d t", "select e'\\';'"]
        );
        assert_eq!(
            texts("create rule r as (select 1; select 2);"),
            ["create rule r as (select 1; select 2)"]
        );
    }

    #[test]
    fn copy_takes_its_data() {
        let steps = steps("copy t from stdin;\n1\n2\n\\.\nselect 3;");
        assert_eq!(steps[0].data.as_deref(), Some(&["1".to_owned(), "2".to_owned()][..]));
        assert_eq!((steps[1].text.as_str(), steps[1].lines), ("select 3", (4, 4)));
    }

    #[test]
    fn variables_are_put_in() {
        let mut variables = Variables::default();
        assert!(variables.command("\\getenv dir X", &|_| "/tmp".to_owned()));
        assert!(variables.command("\\set file :dir '/a.data'", &|_| String::new()));
        assert_eq!(variables.fill("copy t from :'file'"), "copy t from '/tmp/a.data'");
    }
}
