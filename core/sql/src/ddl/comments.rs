//! Comments as catalog rows.
//!
//! Invariant C1: every comment is on something that is there. Each change of the catalog ends with [`Change::keep_comments`]: comments
//! go with what they are on, and those on indexes and constraints that got another name go with them.

use super::apply::Change;
use super::{COMMENTS, codec};
use crate::catalog::{Catalog, Commented, CommentedPart, Table};
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

/// The tables that have comments on them or on what is theirs.
pub(super) fn commented_tables(catalog: &Catalog) -> Vec<Arc<Table>> {
    let is_commented = |table: &&Arc<Table>| catalog.comments.keys().any(|it| it.object == table.id.0);
    match catalog.comments.is_empty() {
        true => Vec::new(),
        false => catalog.tables.values().filter(is_commented).cloned().collect(),
    }
}

impl Change {
    /// Errors: 42704 when what it is on has gone.
    pub(super) fn change_comment(&mut self, on: &Commented, text: Option<String>) -> Result<()> {
        if !is_there(&self.catalog, on) {
            let message = "what the comment is on does not exist any more";
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message));
        }
        self.put_comment(on, text)
    }

    fn put_comment(&mut self, on: &Commented, text: Option<String>) -> Result<()> {
        let key = codec::encode_commented(on);
        let comments = Arc::make_mut(&mut self.catalog.comments);
        match text {
            Some(text) => {
                self.txn.put(COMMENTS, &key, &codec::encode_comment(&text))?;
                comments.insert(on.clone(), text);
            }
            None if comments.remove(on).is_some() => {
                self.txn.delete(COMMENTS, &key)?;
            }
            None => {}
        }
        Ok(())
    }

    /// Invariant C1.
    pub(super) fn keep_comments(&mut self) -> Result<()> {
        if self.catalog.comments.is_empty() {
            return Ok(());
        }
        let mut moved: Vec<(Commented, Option<Commented>)> = Vec::new();
        for on in self.catalog.comments.keys() {
            let before = self.commented.iter().find(|it| it.id.0 == on.object);
            let after = self.catalog.table_by_id(on.object);
            let renamed = before.zip(after).and_then(|(before, after)| new_name(&on.part, before, after));
            if let Some(part) = renamed {
                moved.push((on.clone(), Some(Commented { object: on.object, part })));
            } else if !is_there(&self.catalog, on) {
                moved.push((on.clone(), None));
            }
        }
        // All are taken away before any is put back: two may have changed names.
        let mut put = Vec::new();
        for (from, to) in moved {
            let text = self.catalog.comments.get(&from).cloned();
            self.put_comment(&from, None)?;
            put.extend(to.map(|to| (to, text)));
        }
        put.into_iter().try_for_each(|(to, text)| self.put_comment(&to, text))
    }
}

/// What an index or a constraint is called now, if it is called otherwise.
fn new_name(part: &CommentedPart, before: &Table, after: &Table) -> Option<CommentedPart> {
    let (name, is_index) = match part {
        CommentedPart::Index(name) => (name, true),
        CommentedPart::Constraint(name) => (name, false),
        CommentedPart::Whole | CommentedPart::Column(_) => return None,
    };
    let has = if is_index { has_index(after, name) } else { has_constraint(after, name) };
    if has {
        return None;
    }
    let new = if before.primary_key_name.as_ref() == Some(name) {
        after.primary_key_name.clone()
    } else if let Some(index) = before.indexes.iter().find(|it| it.name == *name) {
        after.indexes.iter().find(|it| it.tree == index.tree).map(|it| it.name.clone())
    } else if let Some(place) = before.checks.iter().position(|it| it.name == *name) {
        let same = before.checks.len() == after.checks.len();
        same.then(|| after.checks[place].name.clone())
    } else {
        let place = before.foreign_keys.iter().position(|it| it.name == *name)?;
        let same = before.foreign_keys.len() == after.foreign_keys.len();
        same.then(|| after.foreign_keys[place].name.clone())
    }?;
    Some(if is_index { CommentedPart::Index(new) } else { CommentedPart::Constraint(new) })
}

fn has_index(table: &Table, name: &str) -> bool {
    table.primary_key_name.as_deref() == Some(name) || table.indexes.iter().any(|it| it.name == name)
}

fn has_constraint(table: &Table, name: &str) -> bool {
    table.primary_key_name.as_deref() == Some(name)
        || table.indexes.iter().any(|it| it.is_constraint && it.name == name)
        || table.checks.iter().any(|it| it.name == name)
        || table.foreign_keys.iter().any(|it| it.name == name)
}

fn is_there(catalog: &Catalog, on: &Commented) -> bool {
    let Commented { object, part } = on;
    let table = catalog.table_by_id(*object);
    match part {
        CommentedPart::Whole => {
            *object == 0
                || catalog.relation_name(*object).is_some()
                || catalog.types.contains_key(object)
                || catalog.schemas.contains_key(object)
        }
        CommentedPart::Column(ordinal) => {
            let of_view = || catalog.relation_name(*object).is_some() || catalog.types.contains_key(object);
            table.map_or_else(of_view, |it| it.columns.get(*ordinal).is_some_and(|it| !it.hidden))
        }
        CommentedPart::Index(name) => table.is_some_and(|it| has_index(it, name)),
        CommentedPart::Constraint(name) => table.is_some_and(|it| has_constraint(it, name)),
    }
}
