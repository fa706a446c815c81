//! Users' types as catalog rows, and what keeps them from being dropped.

use super::apply::Change;
use super::{TYPES, codec};
use crate::catalog::{UserType, UserTypeKind};
use crate::names;
use crate::types::SqlType;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

impl Change {
    /// Errors: 42710, 42P07.
    pub(super) fn create_type(&mut self, mut new: UserType) -> Result<()> {
        self.check_schema(&new.name)?;
        if self.catalog.is_taken(&new.name) {
            let message = format!("type \"{}\" already exists", new.name);
            return Err(Error::new(SqlState::DUPLICATE_OBJECT, message));
        }
        new.id = self.next_id()?;
        self.put_type(new)
    }

    /// Errors: 42704 when it is gone.
    pub(super) fn alter_type(&mut self, changed: UserType) -> Result<()> {
        if !self.catalog.types.contains_key(&changed.id) {
            let message = format!("type \"{}\" does not exist", changed.name);
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message));
        }
        self.put_type(changed)
    }

    fn put_type(&mut self, ty: UserType) -> Result<()> {
        self.txn.put(TYPES, &ty.id.to_be_bytes(), &codec::encode_type(&ty))?;
        self.catalog.types.insert(ty.id, Arc::new(ty));
        Ok(())
    }

    /// Errors: 2BP01 when something is of one of them.
    pub(super) fn drop_types(&mut self, types: &[Arc<UserType>], domain: bool) -> Result<()> {
        let word = if domain { "domain" } else { "type" };
        for ty in types {
            if let Some(user) = self.user_of(ty) {
                let message = format!("cannot drop type {} because other objects depend on it", ty.name);
                return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                    .with_detail(format!("{user} depends on {word} {}", ty.name))
                    .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            self.txn.delete(TYPES, &ty.id.to_be_bytes())?;
            self.catalog.types.remove(&ty.id);
        }
        Ok(())
    }

    /// What is of this type. Views are asked by their texts: a cast in one names the type.
    fn user_of(&self, ty: &UserType) -> Option<String> {
        let is_it = |it: SqlType| matches!(it.element().unwrap_or(it), SqlType::Record(id) | SqlType::Enum(id) if id == ty.id);
        let names_it = |text: &str| text.contains(names::last(&ty.name));
        let mark = domain_mark(&ty.name);
        for table in self.catalog.tables.values() {
            for (_, column) in table.visible() {
                let in_text =
                    [&column.default, &column.generated].into_iter().flatten().any(|it| names_it(it));
                if is_it(column.ty) || in_text {
                    return Some(format!("column {} of table {}", column.name, table.name));
                }
            }
            let check = table.checks.iter().find(|it| it.name.starts_with(&mark) || names_it(&it.expression));
            if check.is_some()
                || table.indexes.iter().any(|it| it.predicate.as_ref().is_some_and(|it| names_it(it)))
            {
                return Some(format!("table {}", table.name));
            }
        }
        for view in self.catalog.views.values() {
            if names_it(&view.text) || view.columns.iter().any(|column| is_it(column.ty)) {
                return Some(format!("view {}", view.name));
            }
        }
        let uses = |other: &&Arc<UserType>| match &other.kind {
            UserTypeKind::Composite(fields) => {
                fields.iter().any(|(_, it, domain)| is_it(*it) || *domain == Some(ty.id))
            }
            UserTypeKind::Domain(domain) => {
                is_it(domain.base) || domain.checks.iter().any(|it| names_it(&it.1))
            }
            UserTypeKind::Enum(_) => false,
        };
        let others = self.catalog.types.values().filter(|it| it.id != ty.id);
        others.into_iter().find(uses).map(|it| format!("type {}", it.name))
    }
}

/// What the names of a table's constraints begin with that are a domain's, before the constraint's own name, a character that no
/// name has, and the column's ordinal.
pub fn domain_mark(domain: &str) -> String {
    format!("value for domain {domain} violates check constraint \u{1}")
}
