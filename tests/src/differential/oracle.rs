//! The ways a query is run, and what must be equal.

#[cfg(feature = "sqlite")]
use super::engines::Sqlite;
use super::engines::{Answer, Orrery, WAYS};
use super::generate::Table;
use super::query::{Expr, Query, Ty};
use orrerydb::{Database, Result};
use std::collections::BTreeMap;

/// Two answers that should be equal and are not, or a failure that should not be.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which comparison.
    pub oracle: String,
    /// What was asked.
    pub sql: String,
    /// What the one said.
    pub expected: Answer,
    /// What the other said.
    pub actual: Answer,
}

impl Finding {
    /// Whether the same comparison fails in the same manner: by other rows, or by the same error.
    pub fn is_like(&self, other: &Finding) -> bool {
        let code = |answer: &Answer| answer.as_ref().err().map(|it| it.split(' ').next().map(str::to_owned));
        self.oracle == other.oracle
            && code(&self.actual) == code(&other.actual)
            && code(&self.expected) == code(&other.expected)
    }
}

/// The databases of one case.
pub struct Lab {
    /// With indexes, one session a way.
    ours: Vec<(&'static str, Orrery)>,
    /// Without indexes, never analysed, nothing checkpointed.
    bare: Orrery,
    #[cfg(feature = "sqlite")]
    sqlite: Sqlite,
    tables: Vec<Table>,
    /// Statements refused, by SQLSTATE; SQLite's under its name.
    pub refused: BTreeMap<String, u64>,
    /// Comparisons made.
    pub comparison_count: u64,
}

impl Lab {
    /// Fresh databases with these tables.
    ///
    /// # Errors
    /// What creating them raises: a generator that makes wrong SQL.
    pub fn new(tables: &[Table]) -> Result<Self> {
        let (indexed, plain) = (Database::in_memory()?, Database::in_memory()?);
        let mut ours = vec![("default", Orrery::new(&indexed, None)?)];
        for way in WAYS {
            ours.push((way.0, Orrery::new(&indexed, Some(way))?));
        }
        let mut lab = Lab {
            ours,
            bare: Orrery::new(&plain, None)?,
            #[cfg(feature = "sqlite")]
            sqlite: Sqlite::new().expect("a database in memory opens"),
            tables: tables.to_vec(),
            refused: BTreeMap::new(),
            comparison_count: 0,
        };
        for table in tables {
            for sql in std::iter::once(table.create()).chain(table.inserts()) {
                lab.ours[0].1.run(&sql)?;
                lab.bare.run(&sql)?;
                #[cfg(feature = "sqlite")]
                lab.sqlite.run(&sql).expect("SQLite reads what the generator makes");
            }
            for sql in table.create_indexes() {
                lab.ours[0].1.run(&sql)?;
            }
        }
        Ok(lab)
    }

    /// Folds the memtable into the tree and gathers statistics: the same rows, read from other places by other plans.
    ///
    /// # Errors
    /// What the statements raise.
    pub fn settle(&mut self) -> Result<()> {
        self.ours[0].1.run("CHECKPOINT")?;
        self.ours[0].1.run("ANALYZE")
    }

    /// Runs a query in all ways.
    pub fn query(&mut self, query: &Query) -> Option<Finding> {
        let sql = query.to_string();
        let expected = self.ours[0].1.answer(&sql);
        if let Err(code) = &expected {
            return self.refuse(&sql, &code.clone());
        }
        let is_ordered = !query.order.is_empty();
        let differs = |actual: &Answer| !same(&expected, actual, is_ordered);
        for (name, session) in &mut self.ours[1..] {
            self.comparison_count += 1;
            let actual = session.answer(&sql);
            if differs(&actual) {
                return finding(name, &sql, expected, actual);
            }
        }
        self.comparison_count += 1;
        let actual = self.bare.answer(&sql);
        if differs(&actual) {
            return finding("without indexes", &sql, expected, actual);
        }
        #[cfg(feature = "sqlite")]
        {
            self.comparison_count += 1;
            let actual = self.sqlite.answer(&sql);
            match &actual {
                Err(message) => {
                    *self.refused.entry(format!("SQLite: {message}")).or_default() += 1;
                }
                Ok(_) if differs(&actual) => return finding("SQLite", &sql, actual, expected),
                Ok(_) => {}
            }
        }
        self.partitions(query, expected)
    }

    /// 0A000 says that something is not built, 54001 that it is too long; numbers may grow out of their range. All else is a finding.
    fn refuse(&mut self, sql: &str, error: &str) -> Option<Finding> {
        let code = error.split(' ').next().unwrap_or(error);
        *self.refused.entry(if code == "0A000" { error.to_owned() } else { code.to_owned() }).or_default() +=
            1;
        match code {
            "0A000" | "22003" | "54001" => None,
            _ => finding("error", sql, Ok(Vec::new()), Err(error.to_owned())),
        }
    }

    /// NoREC and ternary-logic partitioning.
    fn partitions(&mut self, query: &Query, rows: Answer) -> Option<Finding> {
        let filter = query.filter.clone()?;
        let is_plain = !query.is_grouped()
            && query.set.is_none()
            && query.limit.is_none()
            && !query.distinct
            && !query.from.is_empty();
        if !is_plain {
            return None;
        }
        let session = &mut self.ours[0].1;
        let unfiltered = |item: Option<Expr>| {
            let items = item.map_or_else(|| query.items.clone(), |item| vec![item]);
            Query { filter: None, items, ..query.clone() }
        };
        let test = Expr::of("sum(CASE WHEN {} THEN 1 ELSE 0 END)", vec![filter.clone()], Ty::Int);
        let counting = unfiltered(Some(Expr::of("coalesce({}, 0)", vec![test], Ty::Int))).to_string();
        let counted = session.answer(&counting);
        let expected = rows.as_ref().map(|rows| vec![rows.len().to_string()]).map_err(Clone::clone);
        self.comparison_count += 1;
        if !is_range_error(&counted) && counted != expected {
            return finding("NoREC", &counting, expected, counted);
        }
        if query.has_windows() {
            return None;
        }
        let mut parts = rows.unwrap_or_default();
        for form in ["(NOT {})", "({} IS NULL)"] {
            let part =
                Query { filter: Some(Expr::of(form, vec![filter.clone()], Ty::Bool)), ..query.clone() };
            match session.answer(&part.to_string()) {
                Ok(rows) => parts.extend(rows),
                failed if is_range_error(&failed) => return None,
                failed => return finding("partition", &part.to_string(), Ok(Vec::new()), failed),
            }
        }
        let whole = unfiltered(None).to_string();
        let answer = session.answer(&whole);
        self.comparison_count += 1;
        if is_range_error(&answer) || same(&Ok(parts.clone()), &answer, false) {
            return None;
        }
        finding("partition", &whole, Ok(parts), answer)
    }

    /// Runs a statement that changes rows everywhere, and compares all tables.
    pub fn change(&mut self, sql: &str) -> Option<Finding> {
        let ours = self.ours[0].1.run(sql).map_err(|error| format!("{} {}", error.code(), error.message()));
        let bare = self.bare.run(sql).map_err(|error| format!("{} {}", error.code(), error.message()));
        let empty = |it: &std::result::Result<(), String>| it.clone().map(|()| Vec::new());
        self.comparison_count += 1;
        if ours.is_ok() != bare.is_ok() {
            return finding("without indexes", sql, empty(&bare), empty(&ours));
        }
        if let Err(error) = &ours {
            return self.refuse(sql, error);
        }
        #[cfg(feature = "sqlite")]
        if let Err(error) = self.sqlite.run(sql) {
            return finding("SQLite", sql, Err(error.to_string()), Ok(Vec::new()));
        }
        for table in self.tables.clone() {
            let all = format!("SELECT * FROM {} ORDER BY id", table.name);
            let ours = self.ours[0].1.answer(&all);
            let bare = self.bare.answer(&all);
            if ours != bare {
                return finding("without indexes", sql, bare, ours);
            }
            #[cfg(feature = "sqlite")]
            {
                let theirs = self.sqlite.answer(&all);
                if theirs != ours {
                    return finding("SQLite", sql, theirs, ours);
                }
            }
        }
        None
    }
}

fn is_range_error(answer: &Answer) -> bool {
    answer.as_ref().is_err_and(|code| code.starts_with("22003"))
}

fn same(one: &Answer, other: &Answer, is_ordered: bool) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) if is_ordered => one == other,
        (Ok(one), Ok(other)) => {
            let (mut one, mut other) = (one.clone(), other.clone());
            one.sort_unstable();
            other.sort_unstable();
            one == other
        }
        // A row that one plan never looks at may be what the other fails on.
        (_, other) => is_range_error(other),
    }
}

fn finding(oracle: &str, sql: &str, expected: Answer, actual: Answer) -> Option<Finding> {
    Some(Finding { oracle: oracle.to_owned(), sql: sql.to_owned(), expected, actual })
}
