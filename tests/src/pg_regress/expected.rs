//! A `.out` file as psql wrote it: each line of the script, and after the line that ends a statement what came of it.

use super::script::Step;

/// What came of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The rows of its table, blanks around values cut off; `None`: it gave no table.
    pub rows: Option<Vec<Vec<String>>>,
    /// It failed.
    pub is_error: bool,
}

/// What came of each step. `script` are the lines of the `.sql` file.
pub fn outcomes(script: &str, steps: &[Step], out: &str) -> Vec<Expected> {
    let (script, out): (Vec<&str>, Vec<&str>) = (script.lines().collect(), out.lines().collect());
    let mut reader = Reader { out: &out, at: 0 };
    let mut line = 0;
    let mut all = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        while line <= step.lines.1 {
            reader.echo(script[line]);
            line += 1;
        }
        if let Some(data) = &step.data {
            // The data and its end are not echoed.
            line = (line + data.len() + 1).min(script.len());
        }
        let is_last_of_line = steps.get(index + 1).is_none_or(|next| next.lines.1 >= line);
        let next = script[line.min(script.len())..].iter().copied().find(|it| !it.trim().is_empty());
        let next = next.filter(|_| is_last_of_line);
        // Of several statements in a line only those that may give a table are looked for one.
        if !is_last_of_line && !gives_rows(&step.text) {
            all.push(reader.outcome_without_rows());
            continue;
        }
        all.push(reader.outcome(next, is_last_of_line));
    }
    all
}

/// Whether a statement may give a table.
fn gives_rows(sql: &str) -> bool {
    let text = sql.to_ascii_lowercase();
    let first = text.split(|it: char| !it.is_alphabetic()).find(|it| !it.is_empty()).unwrap_or_default();
    matches!(first, "select" | "with" | "values" | "table" | "show" | "explain" | "fetch" | "execute")
        || text.contains("returning")
}

struct Reader<'a> {
    out: &'a [&'a str],
    at: usize,
}

impl Reader<'_> {
    /// Goes past the echo of a line of the script.
    fn echo(&mut self, line: &str) {
        if self.out.get(self.at) == Some(&line) {
            self.at += 1;
            return;
        }
        // psql does not echo blank lines between statements.
        if line.trim().is_empty() {
            return;
        }
        let near = self.out[self.at.min(self.out.len())..].iter().take(400).position(|it| *it == line);
        if let Some(distance) = near {
            self.at += distance + 1;
        }
    }

    /// Reads until the next line of the script; of several statements in a line, one table or error each.
    fn outcome(&mut self, next: Option<&str>, is_last_of_line: bool) -> Expected {
        let mut expected = Expected::default();
        while let Some(&line) = self.out.get(self.at) {
            if next == Some(line) {
                break;
            }
            if let Some(rows) = self.table() {
                expected.rows = Some(rows);
            } else {
                expected.is_error |= line.starts_with("ERROR:") || line.starts_with("FATAL:");
                self.at += 1;
            }
            let is_read = expected.rows.is_some() || expected.is_error;
            if !is_last_of_line && is_read {
                break;
            }
        }
        expected
    }

    /// An error, if one begins here; a table belongs to a statement behind.
    fn outcome_without_rows(&mut self) -> Expected {
        let says = |line: &&str, word: &str| line.starts_with(word);
        while self.out.get(self.at).is_some_and(|line| says(line, "WARNING:") || says(line, "NOTICE:")) {
            self.at += 1;
        }
        let is_error = self.out.get(self.at).is_some_and(|line| says(line, "ERROR:"));
        self.at += usize::from(is_error);
        Expected { rows: None, is_error }
    }

    /// A table, if one begins here.
    fn table(&mut self) -> Option<Vec<Vec<String>>> {
        let rule = self.out.get(self.at + 1)?;
        let is_rule = !rule.is_empty() && rule.chars().all(|it| it == '-' || it == '+');
        let bare = self.out.get(self.at).is_some_and(|line| *line == "--")
            && self.out.get(self.at + 1).is_some_and(|line| is_count(line));
        let first = match (bare, is_rule) {
            (true, _) => self.at + 1,
            (false, true) => self.at + 2,
            _ => return None,
        };
        let count = self.out[first..].iter().take(12_000).position(|line| is_count(line))?;
        let widths: Vec<usize> =
            if bare { Vec::new() } else { rule.split('+').map(|it| it.chars().count()).collect() };
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut goes_on = vec![false; widths.len()];
        for line in &self.out[first..first + count] {
            let chars: Vec<char> = line.chars().collect();
            let begins = !goes_on.contains(&true);
            let mut start = 0;
            let mut row = Vec::with_capacity(widths.len());
            for (column, width) in widths.iter().enumerate() {
                let cell: Vec<char> = chars.iter().skip(start).take(*width).copied().collect();
                // A value of several lines ends each but the last with a plus in the margin.
                let more = cell.len() == *width && cell.last() == Some(&'+') && *width > 1;
                let kept = if more { &cell[..cell.len() - 1] } else { &cell[..] };
                row.push((kept.iter().collect::<String>().trim().to_owned(), goes_on[column]));
                goes_on[column] = more;
                start += width + 1;
            }
            if begins {
                rows.push(row.into_iter().map(|it| it.0).collect());
            } else if let Some(last) = rows.last_mut() {
                for (value, (text, continues)) in last.iter_mut().zip(row) {
                    if continues {
                        value.push('\n');
                        value.push_str(&text);
                    }
                }
            }
        }
        self.at = first + count + 1;
        if self.out.get(self.at) == Some(&"") {
            self.at += 1;
        }
        if bare {
            let count = self.out[first + count].trim_start_matches('(').split(' ').next()?.parse().ok()?;
            rows = vec![Vec::new(); count];
        }
        Some(rows)
    }
}

fn is_count(line: &str) -> bool {
    let inner =
        line.strip_prefix('(').and_then(|line| line.strip_suffix(" rows)").or(line.strip_suffix(" row)")));
    inner.is_some_and(|inner| !inner.is_empty() && inner.bytes().all(|it| it.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::script;
    use super::*;

    #[test]
    fn tables_errors_and_nothing() {
        let sql = "select 1 as a, 'x\ny' as b;\n-- a remark\ncreate table t (a int);\nselect q;\n\n\nselect 2; select 3;\n";
        let out = "select 1 as a, 'x\ny' as b;\n a | b \n---+---\n 1 | x+\n   | y\n(1 row)\n\n-- a remark\ncreate table t (a int);\nselect q;\nERROR:  column \"q\" does not exist\nLINE 1: select q;\n               ^\nselect 2; select 3;\n ?column? \n----------\n        2\n(1 row)\n\n ?column? \n----------\n        3\n(1 row)\n\n";
        let steps = script::steps(sql);
        let outcomes = outcomes(sql, &steps, out);
        let table = |rows: &[&[&str]]| Expected {
            rows: Some(rows.iter().map(|row| row.iter().map(|it| (*it).to_owned()).collect()).collect()),
            is_error: false,
        };
        assert_eq!(
            outcomes,
            [
                table(&[&["1", "x\ny"]]),
                Expected::default(),
                Expected { rows: None, is_error: true },
                table(&[&["2"]]),
                table(&[&["3"]]),
            ]
        );
    }
}
