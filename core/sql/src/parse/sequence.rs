//! CREATE, ALTER SEQUENCE, and the options that identity columns share with them.

use super::ast::{AlterSequence, CreateSequence, Name, SequenceOptions, Statement};
use super::parser::Parser;
use orrery_base::{Error, Result, SqlState};

impl Parser<'_> {
    /// What follows CREATE SEQUENCE.
    pub(super) fn create_sequence(&mut self) -> Result<CreateSequence> {
        let if_not_exists = self.accept_all(&["if", "not", "exists"])?;
        let name = self.table_name()?;
        let options = self.sequence_options()?;
        Ok(CreateSequence { name, temporary: false, if_not_exists, options })
    }

    /// What follows ALTER SEQUENCE.
    pub(super) fn alter_sequence(&mut self) -> Result<Statement> {
        let if_exists = self.accept_all(&["if", "exists"])?;
        let name = self.table_name()?;
        if self.accept_all(&["rename", "to"])? {
            let rename = Some(self.name()?);
            let options = SequenceOptions::default();
            return Ok(Statement::AlterSequence(AlterSequence { name, if_exists, options, rename }));
        }
        if self.is_word("owner")? {
            return self.refuse("ALTER SEQUENCE OWNER TO");
        }
        self.refuse_word("set", "ALTER SEQUENCE SET")?;
        let options = self.sequence_options()?;
        if options.is_empty() {
            let next = self.peek()?;
            return Err(self.unexpected(next));
        }
        Ok(Statement::AlterSequence(AlterSequence { name, if_exists, options, rename: None }))
    }

    /// Options as long as there are any. Errors: 42601 for one that is said twice.
    pub(super) fn sequence_options(&mut self) -> Result<SequenceOptions> {
        let mut options = SequenceOptions::default();
        while self.sequence_option(&mut options)? {}
        Ok(options)
    }

    /// One option, if one is next.
    pub(super) fn sequence_option(&mut self, options: &mut SequenceOptions) -> Result<bool> {
        let at = self.at()?;
        let again;
        if self.accept("as")? {
            again = options.ty.replace((self.type_name()?, at)).is_some();
        } else if self.accept("increment")? {
            self.accept("by")?;
            again = options.increment.replace(self.integer()?).is_some();
        } else if self.accept("minvalue")? {
            again = options.min.replace(Some(self.integer()?)).is_some();
        } else if self.accept("maxvalue")? {
            again = options.max.replace(Some(self.integer()?)).is_some();
        } else if self.accept("cache")? {
            again = options.cache.replace(self.integer()?).is_some();
        } else if self.accept("cycle")? {
            again = options.cycle.replace(true).is_some();
        } else if self.accept("no")? {
            again = self.no_option(options)?;
        } else if self.accept("start")? {
            self.accept("with")?;
            again = options.start.replace(self.integer()?).is_some();
        } else if self.accept("restart")? {
            let with = self.accept("with")?;
            let value = if with || self.at_integer()? { Some(self.integer()?) } else { None };
            again = options.restart.replace(value).is_some();
        } else if self.accept_all(&["owned", "by"])? {
            again = options.owner.replace(self.sequence_owner()?).is_some();
        } else if self.is_word("sequence")? && self.is_word_at(1, "name")? {
            return self.refuse("SEQUENCE NAME");
        } else {
            return Ok(false);
        }
        if again {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options").at(at));
        }
        Ok(true)
    }

    fn no_option(&mut self, options: &mut SequenceOptions) -> Result<bool> {
        if self.accept("minvalue")? {
            return Ok(options.min.replace(None).is_some());
        }
        if self.accept("maxvalue")? {
            return Ok(options.max.replace(None).is_some());
        }
        self.expect("cycle")?;
        Ok(options.cycle.replace(false).is_some())
    }

    fn at_integer(&mut self) -> Result<bool> {
        let next = self.peek()?;
        Ok(next.kind == super::lexer::Kind::Number || self.is_operator("-")? || self.is_operator("+")?)
    }

    /// OWNED BY table.column, or NONE.
    fn sequence_owner(&mut self) -> Result<Option<(Name, Name)>> {
        let at = self.at()?;
        if self.accept("none")? {
            return Ok(None);
        }
        let mut table = self.name()?;
        if !self.accept_punct(b'.')? {
            let hint = "Specify OWNED BY table.column or OWNED BY NONE.";
            return Err(Error::new(SqlState::SYNTAX_ERROR, "invalid OWNED BY option").with_hint(hint).at(at));
        }
        let mut column = self.label()?;
        if self.accept_punct(b'.')? {
            table.text = crate::names::written(&table.text, &column.text);
            column = self.label()?;
        }
        Ok(Some((table, column)))
    }
}
