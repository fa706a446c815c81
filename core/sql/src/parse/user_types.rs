//! CREATE, ALTER and DROP of types and domains.

use super::ast::{AlterType, CreateType, DomainCheck, Name, NewType, Statement};
use super::parser::Parser;
use orrery_base::Result;

impl Parser<'_> {
    /// CREATE TYPE name AS ENUM (…) or AS (…); the words CREATE TYPE are taken.
    pub(super) fn create_type(&mut self) -> Result<Statement> {
        let name = self.table_name()?;
        if !self.accept("as")? {
            return self.refuse("CREATE TYPE of a base type");
        }
        self.refuse_word("range", "range type")?;
        let kind = if self.accept("enum")? {
            self.expect_punct(b'(')?;
            let labels = if self.is_punct(b')')? { Vec::new() } else { self.list(|parser| parser.string())? };
            self.expect_punct(b')')?;
            NewType::Enum(labels)
        } else {
            self.expect_punct(b'(')?;
            let fields = if self.is_punct(b')')? {
                Vec::new()
            } else {
                self.list(|parser| Ok((parser.name()?, parser.any_type_name()?)))?
            };
            self.expect_punct(b')')?;
            NewType::Composite(fields)
        };
        Ok(Statement::CreateType(CreateType { name, kind }))
    }

    /// CREATE DOMAIN name [AS] type …; the words CREATE DOMAIN are taken.
    pub(super) fn create_domain(&mut self) -> Result<Statement> {
        let name = self.table_name()?;
        self.accept("as")?;
        let base = self.any_type_name()?;
        let (mut default, mut not_null, mut checks) = (None, false, Vec::new());
        loop {
            let given = if self.accept("constraint")? { Some(self.name()?) } else { None };
            if self.accept("default")? {
                default = Some(self.expr_with_text()?);
            } else if self.accept_all(&["not", "null"])? {
                not_null = true;
            } else if self.accept("null")? {
                not_null = false;
            } else if self.accept("check")? {
                self.expect_punct(b'(')?;
                let (text, expr) = self.expr_with_text()?;
                self.expect_punct(b')')?;
                checks.push(DomainCheck { name: given, text, expr });
            } else if self.is_word("collate")? {
                return self.refuse("COLLATE");
            } else {
                break;
            }
        }
        let kind = NewType::Domain { base, default, not_null, checks };
        Ok(Statement::CreateType(CreateType { name, kind }))
    }

    /// ALTER TYPE; the words are taken.
    pub(super) fn alter_type(&mut self) -> Result<Statement> {
        let name = self.table_name()?;
        if !self.accept_all(&["add", "value"])? {
            return self.refuse("ALTER TYPE of this kind");
        }
        let if_not_exists = self.accept_all(&["if", "not", "exists"])?;
        let label = self.string()?;
        let place = if self.accept("before")? {
            Some((true, self.string()?))
        } else if self.accept("after")? {
            Some((false, self.string()?))
        } else {
            None
        };
        Ok(Statement::AlterType(AlterType { name, label, if_not_exists, place }))
    }

    /// DROP TYPE or DOMAIN; the words are taken.
    pub(super) fn drop_type(&mut self, domain: bool) -> Result<Statement> {
        let if_exists = self.accept_all(&["if", "exists"])?;
        let names: Vec<Name> = self.list(|parser| parser.table_name())?;
        let cascade = self.accept("cascade")?;
        if !cascade {
            self.accept("restrict")?;
        }
        if cascade {
            return self.refuse("DROP TYPE … CASCADE");
        }
        Ok(Statement::DropType { names, if_exists, domain })
    }
}
