//! Temporary tables: which name a session means, and the names they are stored under.

use super::binder::Binder;
use crate::catalog::is_temporary;
use crate::ddl::Ddl;
use crate::parse::ast::{self, Name};
use orrery_base::{Error, Result, SqlState};
use std::borrow::Cow;
use std::sync::Arc;

impl Binder<'_> {
    /// The name under which the catalog has what a statement names: the session's own temporary relation before any other,
    /// but not in the text of a view.
    pub(super) fn stored<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if let (Some(prefix), true) = (&self.catalog.temporary, self.views.is_empty()) {
            let own = format!("{prefix}{name}");
            if self.catalog.is_taken(&own) {
                return Cow::Owned(own);
            }
        }
        Cow::Borrowed(name)
    }

    /// The name of a temporary relation to be made.
    pub(super) fn temporary_name(&self, name: &Name) -> Result<Name> {
        let Some(prefix) = &self.catalog.temporary else {
            return Err(Error::unsupported("a temporary table here").at(name.at));
        };
        Ok(Name { text: format!("{prefix}{}", name.text), at: name.at })
    }

    /// The name that a table to be made is stored under. Errors: 42939.
    pub(super) fn temporary_name_if(&self, temporary: bool, name: &Name) -> Result<Name> {
        if temporary {
            return self.temporary_name(name);
        }
        refuse_reserved(name)?;
        Ok(name.clone())
    }

    /// CREATE TABLE with its names as they are stored. Errors: 42939 for a name that only a temporary table may have.
    pub(super) fn new_table(&mut self, create: &ast::CreateTable) -> Result<Ddl> {
        if !create.temporary {
            refuse_reserved(&create.name)?;
            return self.create_table(create);
        }
        let mut create = create.clone();
        create.name = self.temporary_name(&create.name)?;
        for constraint in &mut create.constraints {
            if let ast::ConstraintKind::ForeignKey(_) = constraint.kind {
                return Err(Error::unsupported("foreign key of a temporary table").at(constraint.at));
            }
            if let Some(name) = &constraint.name {
                constraint.name = Some(self.temporary_name(name)?);
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
