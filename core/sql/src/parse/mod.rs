//! Text to syntax trees.
//!
//! The grammar is our own, for the part of PostgreSQL's SQL that is built: it knows the position of every node, counts
//! nesting before it recurses (54001, never a stack overflow), and refuses by name what it does not know. A general
//! parser would give trees with hundreds of fields, each to be checked for clauses that must not be ignored (L6), and
//! spans with gaps.
//!
//! Errors: 42601 for what PostgreSQL would refuse too, 0A000 for what it would take; both with a position.

mod alter;
mod array;
mod as_of;
pub mod ast;
mod comments;
mod copy;
mod create_as;
mod cursor;
mod ddl;
mod expr;
mod insert;
mod keywords;
mod lexer;
mod literal;
mod lock;
mod merge;
mod normal;
mod parser;
mod query;
mod schemas;
mod search_cycle;
mod sequence;
mod special;
mod statement;
mod types;
mod user_types;
mod window;

#[cfg(test)]
mod tests;

pub use as_of::AsOf;
pub(crate) use expr::plain_call as call;
pub use keywords::is_keyword;
pub use normal::normal_text;
use orrery_base::{Error, Result, SqlState, limits};
pub(crate) use query::unnamed_subquery;
use std::sync::Arc;

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// Its own text, from its first token to its last. Positions count from its start.
    pub text: Arc<str>,
    /// Where it begins in the whole text, in characters (0-based): add it to a position to get PostgreSQL's.
    pub offset_chars: u32,
    /// Where it begins in the whole text, in bytes.
    pub offset_bytes: usize,
    /// Its tree.
    pub statement: ast::Statement,
    /// The time that it reads at, if not now.
    pub as_of: Option<AsOf>,
    /// The largest `$n` in it.
    pub param_count: u32,
}

/// Parses all statements of a text; empty ones are left out. A syntax error's position counts from the start of the
/// whole text.
pub fn statements(text: &str) -> Result<Vec<Parsed>> {
    if text.len() > limits::STATEMENT_BYTES_MAX {
        let message = format!("statement text is longer than {} bytes", limits::STATEMENT_BYTES_MAX);
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    let mut rest = text;
    let mut offset_bytes = 0;
    let mut offset_chars = 0;
    let mut all = Vec::new();
    loop {
        let skipped = lexer::skip_blank(rest).map_err(|error| shift(error, offset_chars))?;
        offset_chars += char_count(&rest[..skipped]);
        offset_bytes += skipped;
        rest = &rest[skipped..];
        if rest.is_empty() {
            return Ok(all);
        }
        if let Some(after) = rest.strip_prefix(';') {
            rest = after;
            offset_chars += 1;
            offset_bytes += 1;
            continue;
        }
        let parser::First { statement, as_of, param_count, len } =
            parser::statement(rest).map_err(|error| shift(error, offset_chars))?;
        all.push(Parsed {
            text: Arc::from(&rest[..len]),
            offset_chars,
            offset_bytes,
            statement,
            as_of,
            param_count,
        });
        offset_chars += char_count(&rest[..len]);
        offset_bytes += len;
        rest = &rest[len..];
    }
}

/// Parses one expression on its own: a stored DEFAULT or CHECK.
pub fn expression(text: &str) -> Result<ast::Expr> {
    parser::expression(text)
}

/// The relation that a string names, as `regclass` reads it. Errors: 42602, and those of [`expression`].
pub fn relation_name(text: &str) -> Result<String> {
    parser::relation_name(text)
}

/// The text with some of its strings replaced: `with` is given the place of each (1-based, in characters).
pub fn replace_strings(text: &str, with: impl Fn(u32) -> Option<String>) -> Result<String> {
    replace(text, &[lexer::Kind::String, lexer::Kind::EscapeString, lexer::Kind::DollarString], with)
}

/// The text with some of its names replaced: `with` is given the place of each (1-based, in characters).
pub fn replace_names(text: &str, with: impl Fn(u32) -> Option<String>) -> Result<String> {
    replace(text, &[lexer::Kind::Word, lexer::Kind::Quoted], with)
}

fn replace(text: &str, kinds: &[lexer::Kind], with: impl Fn(u32) -> Option<String>) -> Result<String> {
    let mut lexer = lexer::Lexer::new(text);
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    loop {
        let token = lexer.next()?;
        if token.kind == lexer::Kind::End {
            break;
        }
        if let Some(replacement) = kinds.contains(&token.kind).then(|| with(token.at)).flatten() {
            out.push_str(&text[copied..token.start]);
            out.push_str(&replacement);
            copied = token.end;
        }
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

/// The byte just after the first `;` that ends a statement, if there is one: for shells that read line by line. An
/// unfinished string or comment ends nothing.
pub fn first_statement_end(text: &str) -> Option<usize> {
    lexer::first_semicolon(text).map(|at| at + 1)
}

fn char_count(text: &str) -> u32 {
    text.chars().count() as u32
}

/// An error whose position counts from further left.
pub fn shift(error: Error, chars: u32) -> Error {
    if chars == 0 {
        return error;
    }
    let Some(position) = error.position() else { return error };
    let mut moved = Error::new(error.code(), error.message()).at(position + chars);
    if let Some(detail) = error.detail() {
        moved = moved.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        moved = moved.with_hint(hint);
    }
    moved
}
