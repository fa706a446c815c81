//! The parser's hands: tokens ahead, what is expected, errors, nesting. The grammar is in its sisters.
//!
//! Invariants:
//! 1. No recursion without [`Parser::nested`]: depth is at most `NESTING_DEPTH_MAX`.
//! 2. No tree is higher than `NESTING_DEPTH_MAX` either, also where loops build it (`1+1+1+…`): later stages recurse
//!    over it, and so does dropping it.

use super::as_of::AsOf;
use super::ast::{Expr, Name, Statement};
use super::lexer::{Kind, Lexer, Token};
use super::{keywords, literal};
use crate::names;
use orrery_base::{Error, Result, SqlState, limits};

/// A parser over one statement.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    lexer: Lexer<'a>,
    /// The next tokens; the first `ahead_count` are there.
    ahead: [Token; 5],
    ahead_count: usize,
    /// Where the last token taken ended.
    pub(super) last_end: usize,
    pub(super) depth: usize,
    /// Height of what was parsed last on this level (invariant 2).
    height: usize,
    pub(super) param_count: u32,
    /// INTO of a SELECT: its table, where it stands, and at which depth.
    pub(super) into: Option<super::create_as::Into>,
    /// The depth of the outermost SELECT.
    pub(super) select_depth_min: usize,
    /// AS OF SYSTEM TIME: the time, where the clause stands, and at which depth.
    pub(super) as_of: Option<(AsOf, u32, usize)>,
    /// Whether they are written `?`.
    pub(super) has_question_marks: bool,
}

/// The statement at the start of a text.
pub(super) struct First {
    pub statement: Statement,
    pub as_of: Option<AsOf>,
    pub param_count: u32,
    /// Its length in bytes.
    pub len: usize,
}

/// Parses the statement at the start of `text`.
pub(super) fn statement(text: &str) -> Result<First> {
    let mut parser = Parser::new(text);
    let statement = parser.statement()?;
    let as_of = parser.with_as_of(&statement)?;
    let statement = parser.with_into(statement)?;
    let next = parser.peek()?;
    if !matches!(next.kind, Kind::End | Kind::Punct(b';')) {
        return Err(parser.unexpected(next));
    }
    Ok(First { statement, as_of, param_count: parser.param_count, len: parser.last_end })
}

/// Parses a text that is one expression.
pub(super) fn expression(text: &str) -> Result<Expr> {
    let mut parser = Parser::new(text);
    let expr = parser.expr()?;
    let next = parser.peek()?;
    if next.kind != Kind::End {
        return Err(parser.unexpected(next));
    }
    Ok(expr)
}

/// Parses a text that is a relation's name. Errors: 42602.
pub(super) fn relation_name(text: &str) -> Result<String> {
    let invalid = || Error::new(SqlState::INVALID_NAME, "invalid name syntax");
    let mut parser = Parser::new(text);
    let mut name = parser.label().map_err(|_| invalid())?;
    if parser.accept_punct(b'.')? {
        let of = parser.label().map_err(|_| invalid())?;
        name.text = names::written(&name.text, &of.text);
    }
    if parser.peek()?.kind == Kind::End { Ok(name.text) } else { Err(invalid()) }
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let blank = Token { kind: Kind::End, start: 0, end: 0, at: 1 };
        Parser {
            text,
            lexer: Lexer::new(text),
            ahead: [blank; 5],
            ahead_count: 0,
            last_end: 0,
            depth: 0,
            height: 0,
            param_count: 0,
            into: None,
            select_depth_min: usize::MAX,
            as_of: None,
            has_question_marks: false,
        }
    }

    /// The token after `index` others.
    pub(super) fn peek_at(&mut self, index: usize) -> Result<Token> {
        while self.ahead_count <= index {
            self.ahead[self.ahead_count] = self.lexer.next()?;
            self.ahead_count += 1;
        }
        Ok(self.ahead[index])
    }

    /// The next token.
    pub(super) fn peek(&mut self) -> Result<Token> {
        self.peek_at(0)
    }

    /// Takes the next token.
    pub(super) fn take(&mut self) -> Result<Token> {
        let token = self.peek()?;
        self.ahead.copy_within(1.., 0);
        self.ahead_count -= 1;
        self.last_end = token.end;
        Ok(token)
    }

    /// Goes on behind a part that another parser took.
    pub(super) fn skip_to(&mut self, end: usize, at: u32) {
        self.ahead_count = 0;
        self.last_end = end;
        self.lexer.seek(end, at);
    }

    pub(super) fn slice(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    /// The position of the next token.
    pub(super) fn at(&mut self) -> Result<u32> {
        Ok(self.peek()?.at)
    }

    fn is_word_token(&self, token: Token, word: &str) -> bool {
        token.kind == Kind::Word && self.slice(token).eq_ignore_ascii_case(word)
    }

    /// Whether the next token is this keyword (given in lower case).
    pub(super) fn is_word(&mut self, word: &str) -> Result<bool> {
        self.is_word_at(0, word)
    }

    pub(super) fn is_word_at(&mut self, index: usize, word: &str) -> Result<bool> {
        let token = self.peek_at(index)?;
        Ok(self.is_word_token(token, word))
    }

    /// Takes the keyword if it is next.
    pub(super) fn accept(&mut self, word: &str) -> Result<bool> {
        let is_it = self.is_word(word)?;
        if is_it {
            self.take()?;
        }
        Ok(is_it)
    }

    /// Takes the keywords if all of them are next (at most three).
    pub(super) fn accept_all(&mut self, words: &[&str]) -> Result<bool> {
        for (index, word) in words.iter().enumerate() {
            if !self.is_word_at(index, word)? {
                return Ok(false);
            }
        }
        for _ in words {
            self.take()?;
        }
        Ok(true)
    }

    pub(super) fn expect(&mut self, word: &str) -> Result<()> {
        if self.accept(word)? {
            return Ok(());
        }
        let next = self.peek()?;
        Err(self.unexpected(next))
    }

    pub(super) fn is_punct(&mut self, byte: u8) -> Result<bool> {
        Ok(self.peek()?.kind == Kind::Punct(byte))
    }

    pub(super) fn accept_punct(&mut self, byte: u8) -> Result<bool> {
        let is_it = self.is_punct(byte)?;
        if is_it {
            self.take()?;
        }
        Ok(is_it)
    }

    pub(super) fn expect_punct(&mut self, byte: u8) -> Result<()> {
        if self.accept_punct(byte)? {
            return Ok(());
        }
        let next = self.peek()?;
        Err(self.unexpected(next))
    }

    pub(super) fn is_operator(&mut self, operator: &str) -> Result<bool> {
        let token = self.peek()?;
        Ok(token.kind == Kind::Operator && self.slice(token) == operator)
    }

    pub(super) fn accept_operator(&mut self, operator: &str) -> Result<bool> {
        let is_it = self.is_operator(operator)?;
        if is_it {
            self.take()?;
        }
        Ok(is_it)
    }

    /// `syntax error at or near …`
    pub(super) fn unexpected(&self, token: Token) -> Error {
        let message = match token.kind {
            Kind::End => "syntax error at end of input".to_owned(),
            _ => format!("syntax error at or near \"{}\"", self.slice(token)),
        };
        Error::new(SqlState::SYNTAX_ERROR, message).at(token.at)
    }

    /// Refuses what the next token begins: PostgreSQL has it, we do not yet.
    pub(super) fn refuse<T>(&mut self, what: &str) -> Result<T> {
        let at = self.at()?;
        Err(Error::unsupported(what).at(at))
    }

    /// Refuses if the keyword is next.
    pub(super) fn refuse_word(&mut self, word: &str, what: &str) -> Result<()> {
        if self.is_word(word)? { self.refuse(what) } else { Ok(()) }
    }

    /// Runs a part of the grammar one level deeper (invariants 1 and 2).
    pub(super) fn nested<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= limits::NESTING_DEPTH_MAX {
            let at = self.at()?;
            return Err(too_deep(at));
        }
        let height = std::mem::take(&mut self.height);
        self.depth += 1;
        let result = part(self);
        self.depth -= 1;
        self.height = height.max(self.height + 1);
        if self.height > limits::NESTING_DEPTH_MAX {
            let at = self.at()?;
            return Err(too_deep(at));
        }
        result
    }

    /// A loop put one more node on top of what it has (invariant 2).
    pub(super) fn grow(&mut self, at: u32) -> Result<()> {
        self.height += 1;
        if self.height > limits::NESTING_DEPTH_MAX { Err(too_deep(at)) } else { Ok(()) }
    }

    /// Takes an identifier that `allowed` lets through when it is unquoted.
    fn name_if(&mut self, allowed: fn(&str) -> bool) -> Result<Option<Name>> {
        let token = self.peek()?;
        let text = match token.kind {
            Kind::Quoted => literal::quoted(self.text, token)?,
            Kind::Word => {
                let folded = self.slice(token).to_ascii_lowercase();
                if !allowed(&folded) {
                    return Ok(None);
                }
                folded
            }
            _ => return Ok(None),
        };
        if text.len() > limits::IDENTIFIER_BYTES_MAX {
            let message = format!("identifier is longer than {} bytes", limits::IDENTIFIER_BYTES_MAX);
            return Err(Error::new(SqlState::NAME_TOO_LONG, message).at(token.at));
        }
        self.take()?;
        Ok(Some(Name { text, at: token.at }))
    }

    /// A column's or table's name, if one is next.
    pub(super) fn accept_name(&mut self) -> Result<Option<Name>> {
        self.name_if(keywords::is_column_name)
    }

    /// A column alias without AS, if one is next.
    pub(super) fn accept_bare_alias(&mut self) -> Result<Option<Name>> {
        self.name_if(keywords::is_bare_alias)
    }

    pub(super) fn name(&mut self) -> Result<Name> {
        let name = self.accept_name()?;
        self.found(name)
    }

    /// Any identifier, reserved or not: after AS and after a dot.
    pub(super) fn label(&mut self) -> Result<Name> {
        let name = self.name_if(|_| true)?;
        self.found(name)
    }

    pub(super) fn function_name(&mut self) -> Result<Name> {
        let name = self.name_if(keywords::is_function_name)?;
        self.found(name)
    }

    fn found(&mut self, name: Option<Name>) -> Result<Name> {
        match name {
            Some(name) => Ok(name),
            None => {
                let next = self.peek()?;
                Err(self.unexpected(next))
            }
        }
    }

    /// A relation's or a type's name, which may have its schema before it ([`crate::names`]).
    pub(super) fn table_name(&mut self) -> Result<Name> {
        let first = self.name()?;
        if !self.accept_punct(b'.')? {
            return Ok(first);
        }
        let text = names::written(&first.text, &self.label()?.text);
        Ok(Name { at: first.at, text })
    }

    /// `ONLY t`, `ONLY (t)`, `t *` or `t`: no table has children here, so all mean the same.
    pub(super) fn table_with_only(&mut self) -> Result<Name> {
        if self.accept("only")? {
            if self.accept_punct(b'(')? {
                let name = self.table_name()?;
                self.expect_punct(b')')?;
                return Ok(name);
            }
            return self.table_name();
        }
        let name = self.table_name()?;
        self.accept_operator("*")?;
        Ok(name)
    }

    /// Names in parentheses, at least one.
    pub(super) fn name_list(&mut self) -> Result<Vec<Name>> {
        self.expect_punct(b'(')?;
        let names = self.list(|parser| parser.name())?;
        self.expect_punct(b')')?;
        Ok(names)
    }

    /// One or more, with commas between.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.accept_punct(b',')? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// The value of a string token, which must be next.
    pub(super) fn string(&mut self) -> Result<String> {
        let token = self.peek()?;
        if !matches!(token.kind, Kind::String | Kind::EscapeString | Kind::DollarString) {
            return Err(self.unexpected(token));
        }
        self.take()?;
        literal::string(self.text, token)
    }

    /// A whole number that fits, with an optional sign.
    pub(super) fn integer(&mut self) -> Result<i64> {
        let negative = self.accept_operator("-")?;
        if !negative {
            self.accept_operator("+")?;
        }
        let token = self.peek()?;
        if token.kind != Kind::Number {
            return Err(self.unexpected(token));
        }
        let digits = format!("{}{}", if negative { "-" } else { "" }, self.slice(token));
        let value = digits.parse().map_err(|_| self.unexpected(token))?;
        self.take()?;
        Ok(value)
    }
}

#[cold]
fn too_deep(at: u32) -> Error {
    let message = "statement is nested too deeply";
    let detail = format!("Expressions and subqueries may nest {} levels deep.", limits::NESTING_DEPTH_MAX);
    Error::new(SqlState::STATEMENT_TOO_COMPLEX, message).with_detail(detail).at(at)
}
