//! COMMENT ON: what is meant.

use super::binder::Binder;
use super::scope::no_table;
use crate::catalog::{Commented, CommentedPart, UserTypeKind};
use crate::ddl::Ddl;
use crate::names;
use crate::parse::ast::{self, Name};
use orrery_base::{Error, Result, SqlState};

impl Binder<'_> {
    /// Errors: 42P01, 42703, 42704, 3F000; 42809 for what is of another kind; 0A000 for the system's own.
    pub(super) fn comment(&self, comment: &ast::Comment) -> Result<Ddl> {
        let ast::Comment { on, text } = comment;
        let whole = |object| Commented { object, part: CommentedPart::Whole };
        let on = match on {
            ast::Commented::Table(name) => {
                let found = self.catalog.table(&self.commented(name)?).map(|it| it.id.0);
                whole(found.ok_or_else(|| self.wrong_kind(name, "a table"))?)
            }
            ast::Commented::View(name) => {
                let found = self.catalog.view(&self.commented(name)?).map(|it| it.id);
                whole(found.ok_or_else(|| self.wrong_kind(name, "a view"))?)
            }
            ast::Commented::Sequence(name) => {
                let found = self.catalog.sequence(&self.commented(name)?).map(|it| it.id);
                whole(found.ok_or_else(|| self.wrong_kind(name, "a sequence"))?)
            }
            ast::Commented::Index(name) => {
                let stored = self.commented(name)?;
                let mut tables = self.catalog.tables.values();
                let owner = tables.find(|table| {
                    table.primary_key_name.as_ref() == Some(&stored)
                        || table.indexes.iter().any(|it| it.name == stored)
                });
                let owner = owner.ok_or_else(|| self.wrong_kind(name, "an index"))?;
                Commented { object: owner.id.0, part: CommentedPart::Index(stored) }
            }
            ast::Commented::Type(name) => whole(self.commented_type(name, false)?),
            ast::Commented::Domain(name) => whole(self.commented_type(name, true)?),
            ast::Commented::Schema(name) if name.text == "public" => whole(0),
            ast::Commented::Schema(name) => whole(self.schema_to_change(name)?),
            ast::Commented::Column { of, column } => self.commented_column(of, column)?,
            ast::Commented::Constraint { name, table } => self.commented_constraint(name, table)?,
        };
        Ok(Ddl::Comment(on, text.clone()))
    }

    /// The stored name of a relation. Errors: 42P01; 0A000 for one of the system's.
    fn commented(&self, name: &Name) -> Result<String> {
        if self.live_view(name).is_some() || self.system_view(name)?.is_some() {
            return Err(Error::unsupported("COMMENT ON a relation of the system").at(name.at));
        }
        let stored = self.stored(&name.text);
        if self.catalog.is_taken(&stored) && self.catalog.user_type(&stored).is_none() {
            return Ok(stored.into_owned());
        }
        Err(no_table(&Name { text: name.text.clone(), at: 0 }))
    }

    fn wrong_kind(&self, name: &Name, kind: &str) -> Error {
        let message = format!("\"{}\" is not {kind}", names::last(&name.text));
        Error::new(SqlState::WRONG_OBJECT_TYPE, message)
    }

    fn commented_type(&self, name: &Name, domain: bool) -> Result<u32> {
        match self.catalog.user_type(&self.stored(&name.text)) {
            Some(found) if domain && !matches!(found.kind, UserTypeKind::Domain(_)) => {
                Err(self.wrong_kind(name, "a domain"))
            }
            Some(found) => Ok(found.id),
            None if crate::parse::expression(&format!("NULL::{}", names::last(&name.text)))
                .is_ok_and(|it| matches!(it.kind, ast::ExprKind::Cast { .. }))
                || self.catalog.is_taken(&self.stored(&name.text)) =>
            {
                Err(Error::unsupported("COMMENT ON TYPE of a type that no CREATE TYPE made").at(name.at))
            }
            None => {
                let message = format!("type \"{}\" does not exist", name.text);
                Err(Error::new(SqlState::UNDEFINED_OBJECT, message))
            }
        }
    }

    fn commented_column(&self, of: &Name, column: &Name) -> Result<Commented> {
        let missing = |relation: &str| {
            let relation = names::last(relation);
            let message = format!("column \"{}\" of relation \"{relation}\" does not exist", column.text);
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        };
        let on = |object, ordinal: Option<usize>| {
            let ordinal = ordinal.ok_or_else(|| missing(&of.text))?;
            Ok(Commented { object, part: CommentedPart::Column(ordinal) })
        };
        if let Some(ty) = self.catalog.user_type(&self.stored(&of.text))
            && let UserTypeKind::Composite(fields) = &ty.kind
        {
            return on(ty.id, fields.iter().position(|it| it.0 == column.text));
        }
        let stored = self.commented(of)?;
        if let Some(table) = self.catalog.table(&stored) {
            return on(table.id.0, table.column(&column.text));
        }
        if let Some(view) = self.catalog.view(&stored) {
            return on(view.id, view.columns.iter().position(|it| it.name == column.text));
        }
        let is_sequence = self.catalog.sequence(&stored).is_some();
        let message = format!("cannot set comment on relation \"{}\"", names::last(&of.text));
        let detail = if is_sequence {
            "This operation is not supported for sequences."
        } else {
            "This operation is not supported for indexes."
        };
        Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_detail(detail))
    }

    fn commented_constraint(&self, name: &Name, of: &Name) -> Result<Commented> {
        let stored = self.commented(of)?;
        let missing = || {
            let table = names::last(&of.text);
            let message = format!("constraint \"{}\" for table \"{table}\" does not exist", name.text);
            Error::new(SqlState::UNDEFINED_OBJECT, message)
        };
        let table = self.catalog.table(&stored).ok_or_else(missing)?;
        // Those with an index are in its schema.
        let in_schema = format!("{}{}", names::prefix_of(&table.name), name.text);
        let is_index = table.primary_key_name.as_ref() == Some(&in_schema)
            || table.indexes.iter().any(|it| it.is_constraint && it.name == in_schema);
        let is_other = table.checks.iter().any(|it| it.name == name.text)
            || table.foreign_keys.iter().any(|it| it.name == name.text);
        let part = match (is_index, is_other) {
            (true, _) => in_schema,
            (false, true) => name.text.clone(),
            (false, false) => return Err(missing()),
        };
        Ok(Commented { object: table.id.0, part: CommentedPart::Constraint(part) })
    }
}
