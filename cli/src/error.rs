//! What can go wrong in the shell, and how it is shown: `ERROR:  message (SQLSTATE)` on standard error, with the line of
//! the statement and a caret when the position is known.

use std::fmt;

/// An error of a statement, as the database tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlError {
    /// The SQLSTATE code.
    pub code: String,
    /// The first line.
    pub message: String,
    /// 1-based position in the statement, in characters.
    pub position: Option<usize>,
    /// The second line.
    pub detail: Option<String>,
    /// Advice.
    pub hint: Option<String>,
}

/// Why the shell stops.
#[derive(Debug)]
pub enum ShellError {
    /// A statement failed; it has been shown already.
    Reported,
    /// A statement or another request to the database failed.
    Sql(SqlError),
    /// A file, or the terminal.
    Io(String, std::io::Error),
    /// The user's input does not make sense.
    Usage(String),
}

/// The shell's result.
pub type Result<T> = std::result::Result<T, ShellError>;

impl ShellError {
    /// An input or output error with what was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ShellError {
        let what = what.into();
        move |error| ShellError::Io(what, error)
    }

    /// Whether the reader of our output went away (`orrery … | head`): a quiet end.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, ShellError::Io(_, error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl From<SqlError> for ShellError {
    fn from(error: SqlError) -> Self {
        ShellError::Sql(error)
    }
}

impl fmt::Display for ShellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShellError::Reported => Ok(()),
            ShellError::Sql(error) => write!(f, "{}", report(error, "")),
            ShellError::Io(what, error) => write!(f, "ERROR:  {what}: {error}"),
            ShellError::Usage(message) => write!(f, "ERROR:  {message}"),
        }
    }
}

/// The lines that show an error of `statement`.
pub fn report(error: &SqlError, statement: &str) -> String {
    let mut text = format!("ERROR:  {} ({})", error.message, error.code);
    if let Some(place) = error.position.and_then(|position| place(statement, position)) {
        text.push('\n');
        text.push_str(&place);
    }
    if let Some(detail) = &error.detail {
        text.push_str(&format!("\nDETAIL:  {detail}"));
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("\nHINT:  {hint}"));
    }
    text
}

/// Characters shown before and after the position, so that a long line fits a terminal.
const SHOWN_BEFORE: usize = 40;
const SHOWN_AFTER: usize = 30;

/// The line that holds the position, cut to fit, and a caret under it.
fn place(statement: &str, position: usize) -> Option<String> {
    let (mut line_number, mut column, mut line_start) = (1, 0usize, 0usize);
    let target = position.checked_sub(1)?;
    for (index, (offset, c)) in statement.char_indices().enumerate() {
        if index == target {
            break;
        }
        column += 1;
        if c == '\n' {
            (line_number, column, line_start) = (line_number + 1, 0, offset + 1);
        }
    }
    if statement.is_empty() || statement.chars().count() < target {
        return None;
    }
    let line: Vec<char> = statement[line_start..].lines().next().unwrap_or("").chars().collect();
    let from = column.saturating_sub(SHOWN_BEFORE);
    let to = line.len().min(column + SHOWN_AFTER);
    let printable = |c: &char| if c.is_control() { ' ' } else { *c };
    let shown: String = line[from.min(to)..to].iter().map(printable).collect();
    let prefix = format!("LINE {line_number}: {}", if from > 0 { "..." } else { "" });
    let caret = " ".repeat(prefix.chars().count() + column - from);
    let cut = if to < line.len() { "..." } else { "" };
    Some(format!("{prefix}{shown}{cut}\n{caret}^"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(statement: &str, position: usize, expected: &str) {
        let error = SqlError {
            code: "42601".into(),
            message: "no".into(),
            position: Some(position),
            ..SqlError::default()
        };
        assert_eq!(
            report(&error, statement),
            format!("ERROR:  no (42601){expected}"),
            "{statement} at {position}"
        );
    }

    #[test]
    fn the_caret_stands_under_the_position() {
        check("SELECT x", 8, "\nLINE 1: SELECT x\n               ^");
        check("SELECT é,\n  xy FROM t", 13, "\nLINE 2:   xy FROM t\n          ^");
        check("SELECT", 7, "\nLINE 1: SELECT\n              ^");
        check("SELECT", 99, "");
        check("SELECT", 0, "");
        check("", 1, "");
    }

    #[test]
    fn long_lines_are_cut() {
        let statement = format!("SELECT {}x{}", "a".repeat(100), "b".repeat(100));
        let error = SqlError { position: Some(108), ..SqlError::default() };
        let text = report(&error, &statement);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].chars().nth(lines[2].chars().count() - 1), Some('x'));
        assert!(lines[1].len() < 100 && lines[1].ends_with("..."));
    }

    #[test]
    fn detail_and_hint_follow() {
        let error = SqlError {
            code: "23505".into(),
            message: "duplicate".into(),
            detail: Some("Key (a)=(1).".into()),
            hint: Some("Choose another.".into()),
            position: None,
        };
        assert_eq!(
            report(&error, "x"),
            "ERROR:  duplicate (23505)\nDETAIL:  Key (a)=(1).\nHINT:  Choose another."
        );
    }
}
