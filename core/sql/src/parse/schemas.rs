//! CREATE, ALTER and DROP SCHEMA.

use super::ast::{SchemaStatement, Statement};
use super::lexer::Kind;
use super::parser::Parser;
use orrery_base::Result;

impl Parser<'_> {
    /// The words CREATE SCHEMA are taken. Errors: 0A000 for AUTHORIZATION and for definitions inside.
    pub(super) fn create_schema(&mut self) -> Result<Statement> {
        let if_not_exists = self.accept_all(&["if", "not", "exists"])?;
        self.refuse_word("authorization", "AUTHORIZATION")?;
        let name = self.name()?;
        self.refuse_word("authorization", "AUTHORIZATION")?;
        if self.peek()?.kind == Kind::Word {
            return self.refuse("definitions in CREATE SCHEMA");
        }
        Ok(Statement::Schema(SchemaStatement::Create { name, if_not_exists }))
    }

    /// The words ALTER SCHEMA are taken.
    pub(super) fn alter_schema(&mut self) -> Result<Statement> {
        let name = self.name()?;
        self.refuse_word("owner", "OWNER TO")?;
        self.expect("rename")?;
        self.expect("to")?;
        Ok(Statement::Schema(SchemaStatement::Rename { name, to: self.name()? }))
    }

    /// The words DROP SCHEMA are taken.
    pub(super) fn drop_schema(&mut self) -> Result<Statement> {
        let if_exists = self.accept_all(&["if", "exists"])?;
        let names = self.list(|parser| parser.name())?;
        let cascade = self.accept("cascade")?;
        if !cascade {
            self.accept("restrict")?;
        }
        Ok(Statement::Schema(SchemaStatement::Drop { names, if_exists, cascade }))
    }
}
