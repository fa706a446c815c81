//! The command line. `orrery DB …` is the shell; a verb in DB's place is something else (a database named like a verb
//! needs `./`).

use std::ffi::OsString;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::db::KeyValueVerb;
use crate::format::Format;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "orrery",
    version,
    about = "A SQL database built like clockwork",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// What to do, if not the shell.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The shell's own arguments.
    #[command(flatten)]
    pub shell: ShellArguments,
}

/// Arguments of the shell.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ShellArguments {
    /// The database file (made if it is not there), or :memory:
    #[arg(value_name = "DB", required = true)]
    pub database: Option<String>,
    /// Run this SQL and leave; may be given more than once, in order with -f
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    pub commands: Vec<String>,
    /// Run this script and leave; may be given more than once, in order with -c
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<String>,
    /// How results are written
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Only read; another process may have the database open
    #[arg(long)]
    pub read_only: bool,
    /// An option of the database, as `memory=512MB` or `durability=interval:10`; may be given more than once
    #[arg(short = 'o', long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
}

/// The verbs.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Load a CSV file into a table, in one transaction
    Import(ImportArguments),
    /// Walk every page, index and free page, and say what is wrong where
    Check {
        /// Instead write what can be read of a damaged database into a new one, and say what is lost
        #[arg(long, value_name = "TARGET")]
        salvage: Option<String>,
        /// The database file
        #[arg(value_name = "DB")]
        database: String,
    },
    /// Copy what is committed into a new file, while others go on writing
    Backup {
        /// The database file; another process may have it open
        #[arg(value_name = "DB")]
        database: String,
        /// The copy; there must be no file of this name
        #[arg(value_name = "TARGET")]
        target: String,
    },
    /// Write the database as a script of SQL that makes it anew, from one snapshot
    Export {
        /// The database file; another process may have it open
        #[arg(value_name = "DB")]
        database: String,
        /// A folder for the script (schema.sql) and a CSV file for each table (made if it is not there); else all of it goes to
        /// standard output, rows as COPY … FROM stdin
        #[arg(long, value_name = "DIR")]
        to: Option<String>,
    },
    /// Use the database as a key-value store
    Kv {
        /// The database file, or :memory:
        #[arg(value_name = "DB")]
        database: String,
        /// What to do
        #[command(subcommand)]
        verb: KeyValueVerb,
    },
    /// Run simulated worlds; exits 0 pass, 1 wrong answer or lost data, 2 no progress, 3 crash, 4 usage
    Sim {
        /// The first world's seed
        #[arg(long)]
        seed: u64,
        /// How many worlds, with consecutive seeds
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
        /// Print every event
        #[arg(long)]
        trace: bool,
    },
    /// Make a database from real data, query it, kill it in the middle of a write and recover
    Demo {
        /// Where to make the database (a temporary folder if not given)
        #[arg(value_name = "DB")]
        database: Option<String>,
    },
}

/// Arguments of `import`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ImportArguments {
    /// The database file (made if it is not there)
    #[arg(value_name = "DB")]
    pub database: String,
    /// The table
    pub table: String,
    /// The file, gzipped if it ends with .gz; its first line names the columns
    #[arg(value_name = "FILE.csv[.gz]")]
    pub file: String,
    /// A text that stands for NULL, beside the unquoted empty field
    #[arg(long, value_name = "TEXT")]
    pub null: Option<String>,
    /// Create the table, with types inferred from the whole file
    #[arg(long)]
    pub create: bool,
}

/// A piece of SQL named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// The text of a `-c`.
    Text(String),
    /// The path of an `-f`.
    File(String),
}

/// Parses a command line, program name first.
///
/// # Errors
/// What clap says, help and version among it.
pub fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<(Arguments, Vec<Script>), clap::Error> {
    let matches = Arguments::command().try_get_matches_from(arguments)?;
    let parsed = Arguments::from_arg_matches(&matches)?;
    let scripts = scripts(&matches, &parsed.shell);
    Ok((parsed, scripts))
}

/// `-c` and `-f` in the order in which they were given.
fn scripts(matches: &ArgMatches, shell: &ShellArguments) -> Vec<Script> {
    let indices = |id: &str| matches.indices_of(id).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let texts = indices("commands").into_iter().zip(shell.commands.iter().cloned().map(Script::Text));
    let files = indices("files").into_iter().zip(shell.files.iter().cloned().map(Script::File));
    let mut ordered: Vec<(usize, Script)> = texts.chain(files).collect();
    ordered.sort_by_key(|(index, _)| *index);
    ordered.into_iter().map(|(_, script)| script).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<(Arguments, Vec<Script>), clap::Error> {
        parse(std::iter::once("orrery").chain(line.split(' ').filter(|word| !word.is_empty())))
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_shell() {
        let (arguments, scripts) = parse_line("a.db -c one -f two.sql -c three --format csv").unwrap();
        assert_eq!(arguments.shell.database.as_deref(), Some("a.db"));
        assert_eq!(arguments.shell.format, Format::Csv);
        let texts =
            [Script::Text("one".into()), Script::File("two.sql".into()), Script::Text("three".into())];
        assert_eq!(scripts, texts);
        assert!(arguments.verb.is_none());
        assert!(parse_line("").is_err());
        assert!(parse_line("a.db b.db").is_err());
        assert!(parse_line("a.db --format xml").is_err());
    }

    #[test]
    fn a_verb_wins_over_a_database_of_its_name() {
        assert!(matches!(parse_line("check a.db").unwrap().0.verb, Some(Verb::Check { .. })));
        assert_eq!(parse_line("./check").unwrap().0.shell.database.as_deref(), Some("./check"));
    }

    #[test]
    fn verbs() {
        let (arguments, _) = parse_line("import a.db t f.csv.gz --null NA --create").unwrap();
        let Some(Verb::Import(import)) = arguments.verb else { panic!("not an import") };
        assert_eq!((import.table.as_str(), import.null.as_deref(), import.create), ("t", Some("NA"), true));
        let (arguments, _) = parse_line("kv a.db list --prefix a --limit 3").unwrap();
        let verb = KeyValueVerb::List { prefix: "a".into(), limit: Some(3) };
        assert_eq!(arguments.verb, Some(Verb::Kv { database: "a.db".into(), verb }));
        assert_eq!(
            parse_line("sim --seed 7").unwrap().0.verb,
            Some(Verb::Sim { seed: 7, seeds: 1, trace: false })
        );
        assert_eq!(
            parse_line("export a.db --to dir").unwrap().0.verb,
            Some(Verb::Export { database: "a.db".into(), to: Some("dir".into()) })
        );
        assert_eq!(parse_line("demo").unwrap().0.verb, Some(Verb::Demo { database: None }));
        assert!(parse_line("sim").is_err());
        assert!(parse_line("kv a.db get").is_err());
    }
}
