//! Temporary tables: the names they are stored under.

use super::binder::Binder;
use crate::catalog::is_temporary;
use crate::ddl::Ddl;
use crate::names;
use crate::parse::ast::{self, Name};
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

impl Binder<'_> {
    /// The name of a temporary relation to be made.
    pub(super) fn temporary_name(&self, name: &Name) -> Result<Name> {
        let Some(prefix) = &self.catalog.temporary else {
            return Err(Error::unsupported("a temporary table here").at(name.at));
        };
        Ok(Name { text: format!("{prefix}{}", name.text), at: name.at })
    }

    /// The name that a table to be made is stored under. Errors: 42939, 3F000; 42P16 for a temporary one in a schema.
    pub(super) fn temporary_name_if(&self, temporary: bool, name: &Name) -> Result<Name> {
        match names::split_written(&name.text) {
            _ if !temporary => self.new_name(name),
            None | Some(("pg_temp", _)) => self.temporary_name(&name.own()),
            Some(_) => {
                let message = "cannot create temporary relation in non-temporary schema";
                Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message).at(name.at))
            }
        }
    }

    /// CREATE TABLE with its names as they are stored: those of what belongs to the table begin as its own does. Errors: 42939
    /// for a name that only a temporary table may have, 3F000.
    pub(super) fn new_table(&mut self, create: &ast::CreateTable) -> Result<Ddl> {
        let written;
        let create = match create.likes.is_empty() {
            true => create,
            false => {
                written = self.without_likes(create)?;
                &written
            }
        };
        let name = self.temporary_name_if(create.temporary, &create.name)?;
        if name.text == create.name.text {
            return self.create_table(create);
        }
        let mut create = create.clone();
        create.name = name;
        let prefix = names::prefix_of(&create.name.text).to_owned();
        for constraint in &mut create.constraints {
            if let Some(name) = &mut constraint.name {
                name.text.insert_str(0, &prefix);
            }
        }
        self.create_table(&create)
    }

    /// Errors: 0A000 where a temporary table has no place.
    pub(super) fn refuse_temporary(&self, stored: &str, what: &str, at: u32) -> Result<()> {
        if is_temporary(stored) { Err(Error::unsupported(what).at(at)) } else { Ok(()) }
    }

    /// The tables that a statement means which names none: not those of other sessions.
    pub(super) fn all_tables(&self) -> Vec<Arc<crate::catalog::Table>> {
        let own =
            |name: &str| self.catalog.temporary.as_ref().is_some_and(|prefix| name.starts_with(&**prefix));
        let tables = self.catalog.tables.values();
        tables.filter(|table| !is_temporary(&table.name) || own(&table.name)).cloned().collect()
    }
}

/// Errors: 42939.
pub(super) fn refuse_reserved(name: &Name) -> Result<()> {
    if is_temporary(&name.text) {
        let message = format!("unacceptable relation name \"{}\"", name.text);
        return Err(Error::new(SqlState::RESERVED_NAME, message).at(name.at));
    }
    Ok(())
}
