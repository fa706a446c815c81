//! `AS OF SYSTEM TIME t` behind the FROM list of a statement's outermost SELECT: the whole statement reads the past.

use super::ast::{Alias, Statement};
use super::parser::Parser;
use orrery_base::{Error, Result, SqlState};
use std::sync::Arc;

/// The time that a statement reads at, as it was written.
#[derive(Clone, Debug)]
pub struct AsOf {
    /// The expression's text.
    pub text: Arc<str>,
    /// Its position in the statement.
    pub at: u32,
}

impl Parser<'_> {
    /// Whether what comes next is AS OF SYSTEM TIME, not an alias.
    pub(super) fn is_as_of(&mut self) -> Result<bool> {
        Ok(self.is_word("as")? && self.is_word_at(1, "of")? && self.is_word_at(2, "system")?)
    }

    /// AS OF SYSTEM TIME, if it is there: noted, for the statement's end ([`Parser::with_as_of`]).
    pub(super) fn as_of_clause(&mut self) -> Result<()> {
        if !self.is_as_of()? {
            return Ok(());
        }
        let clause_at = self.at()?;
        self.accept_all(&["as", "of", "system"])?;
        self.expect("time")?;
        let start = self.peek()?;
        let param_count = std::mem::take(&mut self.param_count);
        self.expr()?;
        if self.param_count > 0 {
            return Err(Error::unsupported("AS OF SYSTEM TIME with a parameter").at(start.at));
        }
        self.param_count = param_count;
        if self.as_of.is_some() {
            return Err(misplaced().at(clause_at));
        }
        let text = Arc::from(&self.text[start.start..self.last_end]);
        self.as_of = Some((AsOf { text, at: start.at }, clause_at, self.depth));
        Ok(())
    }

    /// What [`Parser::as_of_clause`] noted for a statement that ends here. Errors: 42601 when it stands in a query that is
    /// not the whole statement, or in a statement that changes something.
    pub(super) fn with_as_of(&mut self, statement: &Statement) -> Result<Option<AsOf>> {
        let Some((as_of, at, depth)) = self.as_of.take() else { return Ok(None) };
        match statement {
            Statement::Query(_) if depth == self.select_depth_min => Ok(Some(as_of)),
            _ => Err(misplaced().at(at)),
        }
    }

    /// The alias of a table, if there is one.
    pub(super) fn table_alias(&mut self) -> Result<Option<Alias>> {
        if self.is_as_of()? {
            return Ok(None);
        }
        let name = if self.accept("as")? { Some(self.name()?) } else { self.accept_name()? };
        let Some(name) = name else { return Ok(None) };
        let columns = if self.is_punct(b'(')? { self.name_list()? } else { Vec::new() };
        Ok(Some(Alias { name, columns }))
    }
}

fn misplaced() -> Error {
    let message = "AS OF SYSTEM TIME is allowed once in a statement, in its outermost SELECT";
    Error::new(SqlState::SYNTAX_ERROR, message)
}
