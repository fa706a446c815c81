//! Salvage: what can be read of a damaged database file becomes a new one, and what was lost is told.
//!
//! The damaged file is only read, and nobody is asked who has it open. The new one gets its name when it is whole: as a backup's
//! ([`crate::backup`]).

use crate::backup::Part;
use crate::database::{Database, Options, file_driver};
use orrery_drivers::{Driver, run};
use orrery_engine::base::{Error, Result, TreeId};
use orrery_engine::store::{Durability, FileSalvage, LogSalvage, SalvagedChange};
use orrery_engine::{MendedTable, Salvage};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a salvage read and what it lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Tables, with how many rows the new database has of each, and at least how many are lost.
    pub tables: Vec<SalvagedTable>,
    /// Rows of trees that belong to no table (keys and values of the key-value interface among them).
    pub other_row_count: u64,
    /// Commits taken from the log.
    pub commit_count: u64,
    /// What was found damaged, and what became of it: a line each.
    pub lines: Vec<String>,
    /// Whether anything is lost for good, as far as can be told.
    pub has_losses: bool,
}

/// A table of a [`SalvageReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvagedTable {
    /// Its name.
    pub table: String,
    /// Rows in the new database.
    pub row_count: u64,
    /// Rows lost, at least.
    pub lost_count: u64,
    /// Whether its indexes were made anew.
    pub is_mended: bool,
}

impl Database {
    /// Reads what can be read of the database file at `source` into a new one at `target`. Pages whose checksum is wrong are never
    /// believed: where the newer state of the file cannot be read the older one is, brought up to date by the log; where neither can, rows
    /// are lost, which the report tells. Indexes are made anew where they do not fit. The past is not salvaged. Errors: 58030 when
    /// there is a file at `target`; XX001 when no superblock is whole or the catalogue cannot be understood; nothing lies at `target`
    /// then.
    pub fn salvage(source: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<SalvageReport> {
        let target = target.as_ref();
        let options = Options { create: false, read_only: true, threads: false, ..Options::default() };
        let driver = file_driver(source.as_ref(), &options)?;
        let salvage = run(&*driver, Salvage::open(driver.world()))?;
        let part = Part::new(target)?;
        let options =
            Options { durability: Durability::None, create: true, history_seconds: 0, ..Options::default() };
        let copy = Database::open_with(&part.path, &options)?;
        let report = fill(&*driver, salvage, &copy)?;
        copy.checkpoint()?;
        let (_, findings) = copy.check()?;
        if let Some(finding) = findings.first() {
            return Err(Error::corrupt(format!("the new database does not fit together: {finding}")));
        }
        copy.close()?;
        part.finish(target)?;
        Ok(report)
    }
}

fn fill(driver: &dyn Driver, mut salvage: Salvage, copy: &Database) -> Result<SalvageReport> {
    loop {
        let (pieces, further) = run(driver, salvage.next(driver.world()))?;
        salvage = further;
        let Some(pieces) = pieces else { break };
        for piece in pieces {
            run(&*copy.0.driver, copy.0.engine.take_in(piece))?;
        }
    }
    let (file, mut log) = run(driver, salvage.finish(driver.world()))?;
    let commit_count = log.commits.len() as u64;
    let mut relogged: BTreeMap<TreeId, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for change in log.commits.iter().flatten() {
        let (SalvagedChange::Put(tree, key, _) | SalvagedChange::Delete(tree, key)) = change else {
            continue;
        };
        if file.losses.iter().any(|loss| loss.lacks(*tree, key)) {
            relogged.entry(*tree).or_default().insert(key.clone());
        }
    }
    for commit in std::mem::take(&mut log.commits) {
        run(&*copy.0.driver, copy.0.engine.take_in_commit(commit))?;
    }
    let tables = run(&*copy.0.driver, copy.0.engine.mend())?;
    Ok(told(&file, &log, tables, commit_count, &relogged))
}

/// `relogged`: the keys of lost places that the log tells of.
fn told(
    file: &FileSalvage,
    log: &LogSalvage,
    tables: Vec<MendedTable>,
    commit_count: u64,
    relogged: &BTreeMap<TreeId, BTreeSet<Vec<u8>>>,
) -> SalvageReport {
    let mut report = SalvageReport { commit_count, ..SalvageReport::default() };
    let name_of = |tree: TreeId| {
        let table = tables.iter().find(|it| it.trees.contains(&tree));
        match table {
            Some(table) if table.trees[0] == tree => format!("table {}", table.table),
            Some(table) => format!("an index of table {}", table.table),
            None if tree < TreeId::FIRST_USER => "the catalogue".to_owned(),
            None => tree.to_string(),
        }
    };
    for loss in &file.losses {
        let place = loss.tree.map_or_else(String::new, |tree| format!("{}: ", name_of(tree)));
        let fate = match (loss.tree, loss.is_replaced) {
            (None, _) => "",
            (_, true) => ": the older state was read in its place",
            (_, false) => ": lost",
        };
        report.lines.push(format!("{place}{}{fate}", loss.message));
    }
    if let Some(error) = file.free_space() {
        report.lines.push(format!("{}: not needed, free space is made anew", error.message()));
    }
    report.lines.extend(log.losses.iter().map(|it| format!("the log: {it}")));
    report.has_losses = !log.losses.is_empty();
    for table in &tables {
        let read = file.trees.get(&table.trees[0]).copied().unwrap_or_default();
        // What the log has of a lost place is there, or was deleted: no loss either way.
        let relogged = relogged.get(&table.trees[0]).map_or(0, |keys| keys.len() as u64);
        let missing = match read.lost_count {
            0 => 0,
            _ => read.expected.map_or(0, |rows| rows.saturating_sub(read.row_count + relogged)),
        };
        report.has_losses |= read.lost_count > 0;
        let lost_count = missing + table.duplicate_count + table.undecoded_count;
        if table.duplicate_count > 0 {
            let count = table.duplicate_count;
            report
                .lines
                .push(format!("table {}: {count} rows whose keys are another row's, too: lost", table.table));
        }
        report.has_losses |= lost_count > 0;
        report.tables.push(SalvagedTable {
            table: table.table.clone(),
            row_count: table.row_count,
            lost_count,
            is_mended: table.is_mended,
        });
    }
    let is_known =
        |tree: &TreeId| tables.iter().any(|it| it.trees.contains(tree)) || *tree < TreeId::FIRST_USER;
    for (_, read) in file.trees.iter().filter(|(tree, _)| !is_known(tree)) {
        report.other_row_count += read.row_count;
        report.has_losses |= read.lost_count > 0;
    }
    let catalogue = file.trees.range(..TreeId::FIRST_USER).any(|it| it.1.lost_count > 0);
    let trees = file.losses.iter().any(|it| it.tree == Some(TreeId(u32::MAX)) && !it.is_replaced);
    report.has_losses |= catalogue || trees;
    report
}
