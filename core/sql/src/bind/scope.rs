//! Which names a clause sees.

use crate::parse::ast::Name;
use crate::plan::logical::ColumnId;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::rc::Rc;

/// A column in scope.
#[derive(Clone, Debug)]
pub(super) struct ScopeColumn {
    /// Its table's name or alias; `None` for a column merged by USING.
    pub(super) table: Option<Rc<str>>,
    pub(super) name: Rc<str>,
    pub(super) id: ColumnId,
    pub(super) ty: SqlType,
    /// A column merged by USING stands for it: only its qualified name finds it.
    pub(super) merged: bool,
}

/// The columns of a FROM clause, in the order of `*`.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) columns: Vec<ScopeColumn>,
    /// Names of its tables.
    pub(super) tables: Vec<Rc<str>>,
}

impl Scope {
    /// The column of this name, if there is one. Errors: 42702.
    pub(super) fn find(&self, table: Option<&Name>, name: &Name) -> Result<Option<&ScopeColumn>> {
        let mut found: Option<&ScopeColumn> = None;
        for column in &self.columns {
            let fits = match table {
                Some(table) => column.table.as_deref() == Some(table.text.as_str()),
                None => !column.merged,
            };
            if !fits || *column.name != *name.text {
                continue;
            }
            if found.is_some() {
                let message = format!("column reference \"{}\" is ambiguous", name.text);
                let at = table.map_or(name.at, |table| table.at);
                return Err(Error::new(SqlState::AMBIGUOUS_COLUMN, message).at(at));
            }
            found = Some(column);
        }
        Ok(found)
    }

    pub(super) fn has_table(&self, table: &str) -> bool {
        self.tables.iter().any(|name| **name == *table)
    }

    /// Puts another clause's names beside. Errors: 42712.
    pub(super) fn join(mut self, other: Scope, at: u32) -> Result<Scope> {
        for table in other.tables {
            if self.has_table(&table) {
                let message = format!("table name \"{table}\" specified more than once");
                return Err(Error::new(SqlState::DUPLICATE_ALIAS, message).at(at));
            }
            self.tables.push(table);
        }
        self.columns.extend(other.columns);
        Ok(self)
    }

    /// What `*` stands for.
    pub(super) fn star(&self) -> impl Iterator<Item = &ScopeColumn> {
        self.columns.iter().filter(|column| !column.merged)
    }
}

/// 42703
pub(super) fn no_column(table: Option<&Name>, name: &Name) -> Error {
    let (message, at) = match table {
        Some(table) => (format!("column {}.{} does not exist", table.text, name.text), table.at),
        None => (format!("column \"{}\" does not exist", name.text), name.at),
    };
    Error::new(SqlState::UNDEFINED_COLUMN, message).at(at)
}

/// 42P01 for a name before a dot.
pub(super) fn no_from_entry(table: &Name) -> Error {
    let message = format!("missing FROM-clause entry for table \"{}\"", table.text);
    Error::new(SqlState::UNDEFINED_TABLE, message).at(table.at)
}

/// 42P01
pub(super) fn no_table(name: &Name) -> Error {
    let message = format!("relation \"{}\" does not exist", name.text);
    Error::new(SqlState::UNDEFINED_TABLE, message).at(name.at)
}
