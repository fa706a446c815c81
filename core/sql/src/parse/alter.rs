//! ALTER.

use super::ast::Statement;
use super::keywords;
use super::lexer::Kind;
use super::parser::Parser;
use orrery_base::{Error, Result};

impl Parser<'_> {
    /// What follows ALTER.
    pub(super) fn alter(&mut self, at: u32) -> Result<Statement> {
        if self.accept("sequence")? {
            return self.alter_sequence();
        }
        let next = self.peek()?;
        let what = self.slice(next).to_ascii_uppercase();
        let is_known = keywords::is_object(&what.to_ascii_lowercase())
            || ["TABLE", "INDEX", "SYSTEM", "LARGE"].contains(&what.as_str());
        if next.kind != Kind::Word || !is_known {
            return Err(self.unexpected(next));
        }
        Err(Error::unsupported(format!("ALTER {what}")).at(at))
    }
}
