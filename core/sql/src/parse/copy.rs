//! COPY: from and to, with the options of now and of before PostgreSQL 9.

use super::ast::{Copy, CopySource, CopyTo, CopyValue, Name, Statement};
use super::lexer::Kind;
use super::parser::Parser;
use orrery_base::Result;

impl Parser<'_> {
    /// What follows COPY.
    pub(super) fn copy(&mut self) -> Result<Statement> {
        if self.accept_punct(b'(')? {
            let statement = match self.change()? {
                Some(change) => change,
                None => self.query_statement()?,
            };
            self.expect_punct(b')')?;
            return self.copy_to(CopySource::Statement(Box::new(statement)));
        }
        let table = self.table_name()?;
        let columns = if self.is_punct(b'(')? { self.name_list()? } else { Vec::new() };
        if self.is_word("to")? {
            return self.copy_to(CopySource::Table(table, columns));
        }
        self.expect("from")?;
        self.refuse_word("program", "COPY FROM PROGRAM")?;
        let file = if self.accept("stdin")? { None } else { Some(self.string()?) };
        let options = self.copy_options()?;
        self.refuse_word("where", "COPY WHERE")?;
        Ok(Statement::Copy(Copy { table, columns, file, options }))
    }

    fn copy_to(&mut self, source: CopySource) -> Result<Statement> {
        self.expect("to")?;
        self.refuse_word("program", "COPY TO PROGRAM")?;
        let file = if self.accept("stdout")? { None } else { Some(self.string()?) };
        let options = self.copy_options()?;
        Ok(Statement::CopyTo(CopyTo { source, file, options }))
    }

    fn copy_options(&mut self) -> Result<Vec<(Name, CopyValue)>> {
        self.accept("with")?;
        if !self.accept_punct(b'(')? {
            return self.old_copy_options();
        }
        let options = self.list(|parser| parser.copy_option())?;
        self.expect_punct(b')')?;
        Ok(options)
    }

    pub(super) fn copy_option(&mut self) -> Result<(Name, CopyValue)> {
        let name = self.label()?;
        let next = self.peek()?;
        let value = match next.kind {
            Kind::String | Kind::EscapeString | Kind::DollarString => CopyValue::String(self.string()?),
            Kind::Word | Kind::Number => {
                self.take()?;
                CopyValue::Word(self.slice(next).to_ascii_lowercase())
            }
            Kind::Punct(b'(') => CopyValue::Names(self.name_list()?),
            Kind::Operator if self.slice(next) == "*" => {
                self.take()?;
                CopyValue::Star
            }
            _ => CopyValue::None,
        };
        Ok((name, value))
    }

    /// The syntax of before PostgreSQL 9: `CSV HEADER DELIMITER ','`.
    fn old_copy_options(&mut self) -> Result<Vec<(Name, CopyValue)>> {
        let mut options = Vec::new();
        loop {
            let at = self.at()?;
            let name = |text: &str| Name { text: text.to_owned(), at };
            if self.accept("csv")? {
                options.push((name("format"), CopyValue::Word("csv".to_owned())));
            } else if self.accept("header")? {
                options.push((name("header"), CopyValue::None));
            } else if self.accept_all(&["force", "quote"])? {
                let is_star = self.peek()?.kind == Kind::Operator;
                let value = match is_star {
                    true => self.take().map(|_| CopyValue::Star)?,
                    false => CopyValue::Names(self.list(|parser| parser.name())?),
                };
                options.push((name("force_quote"), value));
            } else if self.is_word("delimiter")?
                || self.is_word("delimiters")?
                || self.is_word("null")?
                || self.is_word("quote")?
                || self.is_word("escape")?
            {
                let mut option = self.label()?;
                if option.text == "delimiters" {
                    option.text.pop();
                }
                self.accept("as")?;
                options.push((option, CopyValue::String(self.string()?)));
            } else {
                return Ok(options);
            }
        }
    }
}
