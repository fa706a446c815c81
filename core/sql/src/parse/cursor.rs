//! Cursors: DECLARE, FETCH, MOVE; and REINDEX.

use super::ast::{Declare, Fetch, FetchStep, Statement};
use super::lexer::Kind;
use super::parser::Parser;
use orrery_base::{Error, Result};

impl Parser<'_> {
    /// What follows DECLARE.
    pub(super) fn declare(&mut self) -> Result<Statement> {
        let name = self.name()?;
        let mut scroll = None;
        loop {
            // Every cursor is insensitive: its rows are those of its snapshot.
            if self.accept("insensitive")? || self.accept("asensitive")? {
            } else if self.accept("scroll")? {
                scroll = Some(true);
            } else if self.accept_all(&["no", "scroll"])? {
                scroll = Some(false);
            } else {
                break;
            }
        }
        self.refuse_word("binary", "BINARY cursor")?;
        self.expect("cursor")?;
        let hold = self.accept_all(&["with", "hold"])?;
        if !hold {
            self.accept_all(&["without", "hold"])?;
        }
        self.expect("for")?;
        let start = self.peek()?;
        let statement = self.inner_statement()?;
        if !matches!(statement.statement, Statement::Query(_)) {
            return Err(self.unexpected(start));
        }
        if statement.param_count > 0 {
            return Err(Error::unsupported("parameters in DECLARE CURSOR").at(start.at));
        }
        Ok(Statement::Declare(Declare { name, scroll, hold, statement }))
    }

    /// What follows FETCH or MOVE.
    pub(super) fn fetch(&mut self, moves: bool) -> Result<Statement> {
        let step = self.fetch_step()?;
        if !self.accept("from")? {
            self.accept("in")?;
        }
        Ok(Statement::Fetch(Fetch { name: self.name()?, step, moves }))
    }

    /// A direction; a cursor may bear a direction's name, then the direction comes before FROM or IN.
    fn fetch_step(&mut self) -> Result<FetchStep> {
        let next = self.peek()?;
        let is_number = next.kind == Kind::Number || matches!(self.slice(next), "-" | "+");
        if is_number {
            return Ok(FetchStep::Forward(self.integer()?));
        }
        if matches!(self.peek_at(1)?.kind, Kind::End | Kind::Punct(b';')) {
            return Ok(FetchStep::Forward(1));
        }
        for (word, step) in [
            ("next", FetchStep::Forward(1)),
            ("prior", FetchStep::Backward(1)),
            ("first", FetchStep::Absolute(1)),
            ("last", FetchStep::Absolute(-1)),
            ("all", FetchStep::Forward(i64::MAX)),
        ] {
            if self.accept(word)? {
                return Ok(step);
            }
        }
        if self.accept("absolute")? {
            return Ok(FetchStep::Absolute(self.integer()?));
        }
        if self.accept("relative")? {
            return Ok(FetchStep::Relative(self.integer()?));
        }
        if self.accept("forward")? {
            return Ok(FetchStep::Forward(self.fetch_rows()?));
        }
        if self.accept("backward")? {
            return Ok(FetchStep::Backward(self.fetch_rows()?));
        }
        Ok(FetchStep::Forward(1))
    }

    fn fetch_rows(&mut self) -> Result<i64> {
        if self.accept("all")? {
            return Ok(i64::MAX);
        }
        let next = self.peek()?;
        let is_number = next.kind == Kind::Number || matches!(self.slice(next), "-" | "+");
        if is_number { self.integer() } else { Ok(1) }
    }

    /// What follows REINDEX. Indexes here do not bloat and cannot be invalid: there is nothing to do.
    pub(super) fn reindex(&mut self) -> Result<Statement> {
        if self.is_punct(b'(')? {
            return self.refuse("REINDEX options");
        }
        let index = self.accept("index")?;
        if !index && !self.accept("table")? {
            return self.refuse("REINDEX of anything but tables and indexes");
        }
        self.accept("concurrently")?;
        Ok(Statement::Reindex { names: vec![self.table_name()?], index })
    }
}
