//! The backslash commands: what the shell does itself, and what [`crate::describe`] shows of the tables.

use crate::error::{Result, ShellError};
use crate::format::Format;

/// A parsed backslash command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `\d`, `\dt`: list the tables.
    ListTables,
    /// `\di [NAME]`: list the indexes, of one table if it is named.
    ListIndexes(Option<String>),
    /// `\d NAME`: the columns, indexes and constraints of a table.
    Describe(String),
    /// `\timing [on|off]`: show times; `None` switches.
    Timing(Option<bool>),
    /// `\i FILE`: run a script.
    Include(String),
    /// `\format NAME`: how results are written.
    Format(Format),
    /// `\?`: list the commands.
    Help,
    /// `\q`: leave.
    Quit,
}

/// What `\?` prints.
pub const HELP: &str = "\
\\d            list the tables
\\d NAME       describe a table: columns, indexes, constraints
\\di [NAME]    list the indexes, or those of one table
\\timing       show how long each statement takes, or stop showing it (on, off)
\\i FILE       run a script
\\format NAME  write results as table, csv, json or jsonl
\\q            leave
A statement ends with ; and may span lines. Ctrl-C cancels it.
";

/// Parses the text behind the backslash.
///
/// # Errors
/// A command that is not known, or whose argument is missing or superfluous.
pub fn parse(text: &str) -> Result<Command> {
    let (name, argument) = match text.split_once(char::is_whitespace) {
        Some((name, argument)) => (name, argument.trim()),
        None => (text, ""),
    };
    match (name, unquote(argument).as_str()) {
        ("d" | "dt", "") => Ok(Command::ListTables),
        ("di", "") => Ok(Command::ListIndexes(None)),
        ("di", table) => Ok(Command::ListIndexes(Some(table.trim_end_matches(';').to_string()))),
        ("d" | "dt", table) => Ok(Command::Describe(table.trim_end_matches(';').to_string())),
        ("timing", "") => Ok(Command::Timing(None)),
        ("timing", "on") => Ok(Command::Timing(Some(true))),
        ("timing", "off") => Ok(Command::Timing(Some(false))),
        ("i" | "include", file) if !file.is_empty() => Ok(Command::Include(file.to_string())),
        ("format", format) => parse_format(format),
        ("?" | "h" | "help", "") => Ok(Command::Help),
        ("q" | "quit", "") => Ok(Command::Quit),
        _ => Err(ShellError::Usage(format!("\\{text}: no such command; \\? lists them"))),
    }
}

fn parse_format(name: &str) -> Result<Command> {
    let format = <Format as clap::ValueEnum>::from_str(name, true);
    format.map(Command::Format).map_err(|_| ShellError::Usage("\\format table|csv|json|jsonl".into()))
}

/// An argument may stand in single quotes (a file name with blanks) or be a quoted name.
fn unquote(argument: &str) -> String {
    match argument.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        Some(inner) => inner.replace("''", "'"),
        None => argument.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Command) {
        assert_eq!(parse(text).unwrap(), expected, "{text}");
    }

    #[test]
    fn commands() {
        check("d", Command::ListTables);
        check("d flights;", Command::Describe("flights".into()));
        check("di", Command::ListIndexes(None));
        check("di t", Command::ListIndexes(Some("t".into())));
        check("timing", Command::Timing(None));
        check("timing off", Command::Timing(Some(false)));
        check("i  'my script.sql'", Command::Include("my script.sql".into()));
        check("format JSONL", Command::Format(Format::Jsonl));
        check("?", Command::Help);
        check("q", Command::Quit);
        for bad in ["", "x", "i", "timing maybe", "format", "q now", "format xml"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
