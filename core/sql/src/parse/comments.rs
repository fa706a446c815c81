//! COMMENT ON.

use super::ast::{Comment, Commented, Statement};
use super::parser::Parser;
use crate::names;
use crate::parse::ast::Name;
use orrery_base::Result;

impl Parser<'_> {
    /// The word COMMENT is taken. Errors: 0A000 for what has no comments here.
    pub(super) fn comment(&mut self) -> Result<Statement> {
        self.expect("on")?;
        let on = if self.accept("table")? {
            Commented::Table(self.table_name()?)
        } else if self.accept("view")? {
            Commented::View(self.table_name()?)
        } else if self.accept("index")? {
            Commented::Index(self.table_name()?)
        } else if self.accept("sequence")? {
            Commented::Sequence(self.table_name()?)
        } else if self.accept("type")? {
            Commented::Type(self.table_name()?)
        } else if self.accept("domain")? {
            Commented::Domain(self.table_name()?)
        } else if self.accept("schema")? {
            Commented::Schema(self.name()?)
        } else if self.accept("column")? {
            self.commented_column()?
        } else if self.accept("constraint")? {
            let name = self.name()?;
            self.expect("on")?;
            self.refuse_word("domain", "COMMENT ON CONSTRAINT of a domain")?;
            Commented::Constraint { name, table: self.table_name()? }
        } else {
            return self.refuse("COMMENT ON this kind of object");
        };
        self.expect("is")?;
        let text = if self.accept("null")? { None } else { Some(self.string()?) };
        // As in PostgreSQL, an empty one is none.
        Ok(Statement::Comment(Comment { on, text: text.filter(|it| !it.is_empty()) }))
    }

    fn commented_column(&mut self) -> Result<Commented> {
        let first = self.name()?;
        self.expect_punct(b'.')?;
        let second = self.label()?;
        if !self.accept_punct(b'.')? {
            return Ok(Commented::Column { of: first, column: second });
        }
        let of = Name { text: names::written(&first.text, &second.text), at: first.at };
        Ok(Commented::Column { of, column: self.label()? })
    }
}
